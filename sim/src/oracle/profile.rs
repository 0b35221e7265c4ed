// SPDX-License-Identifier: GPL-2.0-only
//! Which mixture of operations a sequence has.
//!
//! *Deed*: a kind of operation with a purpose (a packet that should match, a request with one
//! thing wrong). *Profile*: weights of deeds, and whether zones and time take part.
//!
//! The rule that matters: a name ending in `0` is the same profile with everything in one zone;
//! what holds there holds for kernels whose clash does not know zones.

use std::fmt;

use super::mixtures::ALL;

/// A kind of operation with a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A master is made; sometimes one that exists.
    CtNew,
    /// An expectation that may well be the first of its kind.
    Expect,
    /// One that collides with, is covered by or covers one that exists.
    Rival,
    /// A request with something wrong.
    Wrong,
    /// A new timeout for one that exists.
    Retime,
    /// One is asked for.
    Get,
    /// One is deleted.
    Delete,
    /// Those of a helper are deleted.
    DeleteHelper,
    /// All are deleted.
    Flush,
    /// A listing through netlink.
    Dump,
    /// The listing of one master.
    DumpMaster,
    /// The listing in `/proc`.
    Proc,
    /// The counters.
    Stats,
    /// A master or another conntrack is deleted.
    CtDel,
    /// A helper is taken away or given.
    CtHelp,
    /// All conntracks are deleted.
    CtFlush,
    /// All conntracks are listed.
    CtDump,
    /// A packet that an expectation waits for.
    Hit,
    /// A packet nobody waits for.
    Stray,
    /// A further packet of a connection that exists.
    Again,
    /// A packet from where the answers to a translated flow come from.
    Answer,
    /// A reset where there is no connection.
    Reset,
    /// A read request to a master, most of them with the helper that reads it.
    Tftp,
    /// The first packet of a flow whose rule expects something.
    Nft,
    /// A conntrack of a rare kind.
    WildCtNew,
    /// A request whose numbers are at an edge.
    WildRequest,
    /// One is deleted, by too little or too much.
    WildDelete,
    /// One is asked for, by too little or too much.
    WildGet,
    /// Any conntrack gets or loses a helper.
    WildHelp,
    /// The listing of any conntrack.
    WildDumpMaster,
    /// A packet of a rare kind.
    WildPacket,
}

/// A mixture of deeds.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name, without the `0`.
    pub name: &'static str,
    /// Whether more than one zone takes part.
    pub zones: bool,
    /// Time passes once in so many operations; 0: never.
    pub advance_every: usize,
    /// How many masters there are to begin with.
    pub masters: usize,
    /// How often, in a hundred, the first master is the one.
    pub favour: usize,
    /// How many ports are expected.
    pub ports: u16,
    /// How many requests in a hundred name a function.
    pub functions: usize,
    /// The table is filled first.
    pub full: bool,
    pub(super) weights: &'static [(Deed, u32)],
}

impl Profile {
    /// All profiles that have no `0`.
    pub const ALL: &'static [Self] = ALL;

    /// The profile of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let bare = name.strip_suffix('0');
        let found = Self::ALL.iter().find(|profile| profile.name == bare.unwrap_or(name))?;
        let single = bare.is_some() || !found.zones;
        Some(Self { zones: !single, ..*found })
    }

    /// The names there are.
    #[must_use]
    pub fn names() -> Vec<String> {
        let with_zones = Self::ALL.iter().filter(|profile| profile.zones);
        Self::ALL
            .iter()
            .map(ToString::to_string)
            .chain(with_zones.filter(|p| p.name != "zones").map(|p| format!("{}0", p.name)))
            .collect()
    }

    /// Whether it is about what functions make of announced connections.
    #[must_use]
    pub fn translates(&self) -> bool {
        self.functions > 50
    }

    /// The deeds and their weights.
    #[must_use]
    pub fn weights(&self) -> &'static [(Deed, u32)] {
        self.weights
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let declared = Self::ALL.iter().any(|profile| profile.name == self.name && profile.zones);
        write!(f, "{}{}", self.name, if declared && !self.zones { "0" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_profiles_belong_together() {
        for name in Profile::names() {
            assert_eq!(Profile::named(&name).expect("it is there").to_string(), name);
        }
        assert!(Profile::named("mix0").is_some_and(|profile| !profile.zones));
        assert!(Profile::named("none").is_none());
    }
}
