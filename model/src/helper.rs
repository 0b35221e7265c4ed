// SPDX-License-Identifier: GPL-2.0-only
//! Who reads announcements: connection-tracking helpers and their policies.
//!
//! *Helper*: reads one protocol's control connection and makes expectations from it. *Class*:
//! a kind of expectation of one helper (SIP has four: signalling, audio, video, image).
//! *Policy*: how many of a class one master may have at a time, and how long each lives.
//!
//! The rule that matters: [`IN_TREE`] is the one table. To add a helper's policies, add a row;
//! what the helper reads in a packet stands in `nfexp-traces`, one file per helper.
//!
//! # Source
//! The helper modules of v3.12 and v7.2 (`net/netfilter/nf_conntrack_{ftp,irc,…}.c`); where the
//! two differ, the row says so.

use core::fmt;
use core::num::NonZeroU16;
use std::borrow::Cow;

use crate::revision::{AmandaStreams, HelperFamily, Revision};
use crate::tuple::{L3, Proto};

/// How many classes a helper may have (`NF_CT_MAX_EXPECT_CLASSES`).
#[doc(alias = "NF_CT_MAX_EXPECT_CLASSES")]
pub const MAX_CLASSES: usize = 4;

/// A kind of expectation of one helper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(u8);

impl Class {
    /// The only class of most helpers (`NF_CT_EXPECT_CLASS_DEFAULT`).
    #[doc(alias = "NF_CT_EXPECT_CLASS_DEFAULT")]
    pub const DEFAULT: Self = Self(0);

    /// All classes there can be.
    pub const ALL: [Self; MAX_CLASSES] = [Self(0), Self(1), Self(2), Self(3)];

    /// A class by its number, if it is below [`MAX_CLASSES`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < MAX_CLASSES { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) const fn index(self) -> usize {
        // Masked, so that the compiler sees what `new` ensured.
        (self.0 & 3) as usize
    }
}

/// Limit and lifetime of a class (`struct nf_conntrack_expect_policy`).
#[doc(alias = "nf_conntrack_expect_policy")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExpectPolicy {
    /// How many expectations of the class a master may have at a time; 0 is no limit in old
    /// kernels, 255 in new ones.
    pub max_expected: u32,
    /// How long an expectation lives, in seconds.
    pub timeout_secs: u32,
    /// The class's name, empty for most.
    pub name: &'static str,
}

/// A connection-tracking helper (`struct nf_conntrack_helper`).
#[doc(alias = "nf_conntrack_helper")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Helper {
    /// As `/proc` and `conntrack(8)` show it.
    pub name: &'static str,
    /// The families it is registered for.
    pub l3: &'static [L3],
    /// The transport protocols it is registered for.
    pub proto: &'static [Proto],
    /// The control port it is usually attached to; 0 where only expectations attach it.
    pub port: u16,
    /// The policies of its classes, by class; the last class with a policy is
    /// `expect_class_max`.
    pub policies: &'static [ExpectPolicy],
}

impl Helper {
    /// The policy of a class; `None` above `expect_class_max`.
    #[inline]
    #[must_use]
    pub fn policy(&self, class: Class) -> Option<&ExpectPolicy> {
        self.policies.get(class.index())
    }
}

const IPV4: &[L3] = &[L3::Ipv4];
const BOTH: &[L3] = &[L3::Ipv4, L3::Ipv6];
const TCP: &[Proto] = &[Proto::TCP];
const UDP: &[Proto] = &[Proto::UDP];

const fn one(max_expected: u32, timeout_secs: u32) -> ExpectPolicy {
    ExpectPolicy { max_expected, timeout_secs, name: "" }
}

const fn named(name: &'static str, max_expected: u32, timeout_secs: u32) -> ExpectPolicy {
    ExpectPolicy { max_expected, timeout_secs, name }
}

/// The helpers of the kernel tree.
pub const IN_TREE: &[Helper] = &[
    Helper { name: "ftp", l3: BOTH, proto: TCP, port: 21, policies: &[one(1, 300)] },
    Helper { name: "tftp", l3: BOTH, proto: UDP, port: 69, policies: &[one(1, 300)] },
    // max_dcc_channels, dcc_timeout.
    Helper { name: "irc", l3: IPV4, proto: TCP, port: 6667, policies: &[one(8, 300)] },
    Helper {
        name: "sip",
        l3: BOTH,
        proto: &[Proto::UDP, Proto::TCP],
        port: 5060,
        policies: &[
            named("signalling", 1, 180),
            named("audio", 4, 180),
            named("video", 4, 180),
            named("image", 2, 180),
        ],
    },
    // Three in v3.10: see [`in_tree`].
    Helper { name: "amanda", l3: BOTH, proto: UDP, port: 10080, policies: &[one(4, 180)] },
    Helper { name: "sane", l3: BOTH, proto: TCP, port: 6566, policies: &[one(1, 300)] },
    Helper { name: "pptp", l3: IPV4, proto: TCP, port: 1723, policies: &[one(2, 300)] },
    Helper { name: "netbios-ns", l3: IPV4, proto: UDP, port: 137, policies: &[one(1, 3)] },
    Helper { name: "snmp", l3: IPV4, proto: UDP, port: 161, policies: &[one(1, 30)] },
    Helper { name: "RAS", l3: BOTH, proto: UDP, port: 1719, policies: &[one(32, 240)] },
    Helper { name: "Q.931", l3: BOTH, proto: TCP, port: 1720, policies: &[one(20, 240)] },
    // Attached to TCP by the expectation of a Q.931 connection; but registered, for no family of
    // its own, under UDP (`nf_conntrack_h323_main.c`), which a request by name comes upon.
    Helper { name: "H.245", l3: BOTH, proto: UDP, port: 0, policies: &[one(18, 240)] },
];

/// The same as a revision has them.
#[must_use]
pub fn in_tree(revision: &Revision) -> Cow<'static, [Helper]> {
    let mut helpers = Cow::Borrowed(IN_TREE);
    if revision.amanda_streams == AmandaStreams::Three
        && let Some(amanda) = helpers.to_mut().iter_mut().find(|helper| helper.name == "amanda")
    {
        amanda.policies = const { &[one(3, 180)] };
    }
    // KERNEL: __nf_conntrack_helper_find(), v3.9: AF_UNSPEC is a family like any other.
    if revision.helper_family == HelperFamily::Exact
        && let Some(h245) = helpers.to_mut().iter_mut().find(|helper| helper.name == "H.245")
    {
        h245.l3 = &[];
    }
    helpers
}

/// nft's own helper, which announces what a `ct expectation` object says. It cannot be asked for
/// by name. What a user announces under its master is over at once: the lifetime of its one class
/// is nothing, and what it announces itself brings the object's.
pub const NFT_CT_EXPECT: Helper =
    Helper { name: "nft_ct_expect", l3: BOTH, proto: &[], port: 0, policies: &[one(255, 0)] };

/// A helper of one engine, by its place in [`Config::helpers`](crate::engine::Config::helpers).
///
/// # Invariants
/// Holds the place plus one, so that an optional id takes no more room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HelperId(NonZeroU16);

impl HelperId {
    /// [`NFT_CT_EXPECT`]: the last place, which no table reaches.
    pub const NFT_CT_EXPECT: Self = Self(NonZeroU16::MAX);

    /// The helper at this place; `None` for the one place no table can have.
    #[must_use]
    pub const fn at(place: u16) -> Option<Self> {
        match NonZeroU16::new(place.wrapping_add(1)) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its place.
    #[inline]
    #[must_use]
    pub const fn place(self) -> u16 {
        self.0.get() - 1
    }
}

impl fmt::Debug for HelperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "helper{}", self.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_helper_has_between_one_and_four_classes_that_count_in_a_byte() {
        for helper in IN_TREE {
            assert!((1..=MAX_CLASSES).contains(&helper.policies.len()), "{}", helper.name);
            for policy in helper.policies {
                assert!((1..=255).contains(&policy.max_expected), "{}", helper.name);
            }
        }
    }
}
