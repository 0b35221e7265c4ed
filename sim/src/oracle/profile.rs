// SPDX-License-Identifier: GPL-2.0-only
//! Which mixture of operations a sequence has.
//!
//! *Deed*: a kind of operation with a purpose (a packet that should match, a request with one
//! thing wrong). *Profile*: weights of deeds, and whether zones and time take part.
//!
//! The rule that matters: a name ending in `0` is the same profile with everything in one zone;
//! what holds there holds for kernels whose clash does not know zones.

use std::fmt;

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
    /// A reset where there is no connection.
    Reset,
    /// A read request to a master, most of them with the helper that reads it.
    Tftp,
    /// The first packet of a flow whose rule expects something.
    Nft,
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
    /// The table is filled first.
    pub full: bool,
    weights: &'static [(Deed, u32)],
}

impl Profile {
    /// All profiles that have no `0`.
    pub const ALL: &'static [Self] =
        &[CORE, CLASH, MATCH, LIMIT, TIME, BAD, HELPER, ZONES, MIX, FULL];

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

const PLAIN: Profile = Profile {
    name: "",
    zones: true,
    advance_every: 0,
    masters: 8,
    favour: 0,
    ports: 3,
    full: false,
    weights: &[],
};

const CORE: Profile = Profile {
    name: "core",
    zones: false,
    advance_every: 36,
    weights: &[
        (Deed::CtNew, 20),
        (Deed::Expect, 70),
        (Deed::Rival, 40),
        (Deed::Retime, 15),
        (Deed::Get, 16),
        (Deed::Delete, 16),
        (Deed::DeleteHelper, 2),
        (Deed::Flush, 1),
        (Deed::Dump, 5),
        (Deed::DumpMaster, 5),
        (Deed::Proc, 4),
        (Deed::Stats, 4),
        (Deed::CtDel, 6),
        (Deed::CtDump, 2),
        (Deed::Hit, 40),
        (Deed::Stray, 20),
        (Deed::Again, 8),
        (Deed::Reset, 4),
        (Deed::Tftp, 6),
    ],
    ..PLAIN
};

const CLASH: Profile = Profile {
    name: "clash",
    weights: &[
        (Deed::CtNew, 10),
        (Deed::Expect, 50),
        (Deed::Rival, 150),
        (Deed::Retime, 10),
        (Deed::Get, 20),
        (Deed::Delete, 14),
        (Deed::Dump, 7),
        (Deed::DumpMaster, 3),
        (Deed::Proc, 4),
        (Deed::Stats, 4),
        (Deed::CtDel, 4),
        (Deed::Hit, 12),
        (Deed::Stray, 6),
    ],
    ..PLAIN
};

const MATCH: Profile = Profile {
    name: "match",
    weights: &[
        (Deed::CtNew, 10),
        (Deed::Expect, 90),
        (Deed::Rival, 12),
        (Deed::Get, 5),
        (Deed::Delete, 5),
        (Deed::Dump, 6),
        (Deed::Proc, 2),
        (Deed::Stats, 6),
        (Deed::CtDel, 6),
        (Deed::CtDump, 3),
        (Deed::Hit, 100),
        (Deed::Stray, 25),
        (Deed::Again, 15),
        (Deed::Reset, 10),
        (Deed::Tftp, 4),
    ],
    ..PLAIN
};

const LIMIT: Profile = Profile {
    name: "limit",
    favour: 60,
    ports: 60,
    weights: &[
        (Deed::CtNew, 6),
        (Deed::Expect, 230),
        (Deed::Rival, 6),
        (Deed::Get, 4),
        (Deed::Delete, 9),
        (Deed::DeleteHelper, 1),
        (Deed::Dump, 2),
        (Deed::DumpMaster, 9),
        (Deed::Proc, 2),
        (Deed::Stats, 3),
        (Deed::CtDel, 2),
        (Deed::CtHelp, 2),
        (Deed::Hit, 8),
        (Deed::Tftp, 2),
    ],
    ..PLAIN
};

const TIME: Profile = Profile {
    name: "time",
    advance_every: 34,
    weights: &[
        (Deed::CtNew, 12),
        (Deed::Expect, 90),
        (Deed::Rival, 30),
        (Deed::Retime, 90),
        (Deed::Get, 16),
        (Deed::Delete, 9),
        (Deed::Dump, 9),
        (Deed::Proc, 5),
        (Deed::Stats, 6),
        (Deed::CtDel, 3),
        (Deed::CtHelp, 2),
        (Deed::Hit, 24),
        (Deed::Stray, 6),
        (Deed::Nft, 8),
        (Deed::Tftp, 2),
    ],
    ..PLAIN
};

const BAD: Profile = Profile {
    name: "bad",
    weights: &[
        (Deed::CtNew, 16),
        (Deed::Expect, 40),
        (Deed::Rival, 10),
        (Deed::Wrong, 130),
        (Deed::Get, 22),
        (Deed::Delete, 16),
        (Deed::DeleteHelper, 9),
        (Deed::Dump, 6),
        (Deed::DumpMaster, 14),
        (Deed::Proc, 1),
        (Deed::Stats, 4),
        (Deed::CtDel, 6),
        (Deed::CtHelp, 20),
        (Deed::Hit, 6),
        (Deed::Stray, 4),
    ],
    ..PLAIN
};

const HELPER: Profile = Profile {
    name: "helper",
    weights: &[
        (Deed::CtNew, 14),
        (Deed::Expect, 55),
        (Deed::Rival, 10),
        (Deed::Delete, 10),
        (Deed::DeleteHelper, 4),
        (Deed::Dump, 5),
        (Deed::DumpMaster, 8),
        (Deed::Proc, 2),
        (Deed::Stats, 4),
        (Deed::CtDel, 7),
        (Deed::CtHelp, 9),
        (Deed::CtDump, 1),
        (Deed::Hit, 45),
        (Deed::Stray, 10),
        (Deed::Nft, 45),
        (Deed::Tftp, 50),
    ],
    ..PLAIN
};

const ZONES: Profile = Profile {
    name: "zones",
    weights: &[
        (Deed::CtNew, 18),
        (Deed::Expect, 65),
        (Deed::Rival, 50),
        (Deed::Get, 20),
        (Deed::Delete, 24),
        (Deed::DeleteHelper, 1),
        (Deed::Dump, 5),
        (Deed::DumpMaster, 7),
        (Deed::Proc, 1),
        (Deed::Stats, 5),
        (Deed::CtDel, 9),
        (Deed::CtDump, 3),
        (Deed::Hit, 60),
        (Deed::Stray, 25),
        (Deed::Again, 8),
        (Deed::Nft, 6),
    ],
    ..PLAIN
};

const MIX: Profile = Profile {
    name: "mix",
    advance_every: 38,
    weights: &[
        (Deed::CtNew, 14),
        (Deed::Expect, 60),
        (Deed::Rival, 30),
        (Deed::Wrong, 10),
        (Deed::Retime, 14),
        (Deed::Get, 16),
        (Deed::Delete, 16),
        (Deed::DeleteHelper, 3),
        (Deed::Flush, 1),
        (Deed::Dump, 6),
        (Deed::DumpMaster, 5),
        (Deed::Proc, 4),
        (Deed::Stats, 3),
        (Deed::CtDel, 5),
        (Deed::CtHelp, 6),
        (Deed::CtFlush, 1),
        (Deed::CtDump, 1),
        (Deed::Hit, 40),
        (Deed::Stray, 15),
        (Deed::Again, 8),
        (Deed::Reset, 4),
        (Deed::Tftp, 8),
        (Deed::Nft, 12),
    ],
    ..PLAIN
};

const FULL: Profile = Profile {
    name: "full",
    zones: false,
    masters: 4,
    ports: 30_000,
    full: true,
    weights: &[
        (Deed::CtNew, 4),
        (Deed::Expect, 100),
        (Deed::Rival, 16),
        (Deed::Wrong, 6),
        (Deed::Retime, 6),
        (Deed::Get, 5),
        (Deed::Delete, 8),
        (Deed::DumpMaster, 3),
        (Deed::Stats, 12),
        (Deed::CtDel, 1),
        (Deed::Hit, 4),
        (Deed::Tftp, 8),
        (Deed::Nft, 8),
    ],
    ..PLAIN
};

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
