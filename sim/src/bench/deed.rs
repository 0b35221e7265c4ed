// SPDX-License-Identifier: GPL-2.0-only
//! One thing done to a table of expectations, and who can do it.

use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Announce an expectation.
    #[default]
    Insert,
    /// The announced connection arrives: the expectation is consumed.
    Match,
    /// Find it and leave it.
    Lookup,
    /// Time passes.
    Advance,
    /// A master ends, with all it expects.
    Destroy,
    /// List the whole table in the kernel's order.
    List,
}

/// One deed. Addresses are numbers; a family spreads them over its bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub struct Deed {
    /// What is done.
    pub kind: Kind,
    /// Whether addresses are IPv6.
    pub v6: bool,
    /// Whether an inserted mask names the source address.
    pub source: bool,
    /// The class of what is inserted.
    pub class: u8,
    /// Whether what is inserted does not match yet.
    pub inactive: bool,
    /// The ports.
    pub ports: (u16, u16),
    /// The master, from 0.
    pub master: u32,
    /// Source and destination.
    pub ends: (u32, u32),
    /// For `Advance`: how many jiffies.
    pub ticks: u32,
    /// For `Advance` where timers hold: how many fire.
    pub fires: u32,
}

impl Deed {
    #[inline]
    fn addr(self, number: u32) -> Addr {
        if self.v6 {
            Addr((0xfd00_0009_u128 << 96 | u128::from(number)).to_be_bytes())
        } else {
            Addr::v4(number.to_be_bytes())
        }
    }

    /// Source and destination.
    #[inline]
    #[must_use]
    pub fn addresses(self) -> [Addr; 2] {
        [self.addr(self.ends.0), self.addr(self.ends.1)]
    }

    /// The family.
    #[inline]
    #[must_use]
    pub fn l3(self) -> L3 {
        if self.v6 { L3::Ipv6 } else { L3::Ipv4 }
    }

    /// The tuple it is about: exact, as a packet has it.
    #[inline]
    #[must_use]
    pub fn tuple(self) -> Tuple {
        Tuple {
            src: self.addr(self.ends.0),
            dst: self.addr(self.ends.1),
            sport: self.ports.0,
            dport: self.ports.1,
            l3: self.l3(),
            proto: Proto::TCP,
        }
    }

    /// The tuple and mask of an expectation: the source port is always free.
    #[inline]
    #[must_use]
    pub fn expected(self) -> (Tuple, Mask) {
        let mut tuple = self.tuple();
        tuple.sport = 0;
        if !self.source {
            tuple.src = Addr::default();
        }
        (tuple, Mask::exact(self.l3(), self.source, false))
    }
}

/// The table a workload is made for.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Buckets.
    pub buckets: u32,
    /// Masters.
    pub masters: u32,
    /// Memory for expectations.
    pub room: u32,
    /// How many a master may have at a time.
    pub max_expected: u32,
    /// How long one lives, in jiffies (HZ is 1).
    pub lifetime: u32,
}

/// Who can do deeds, each in its own way. Results are the same for all.
pub trait Deeds {
    /// 0 if it was inserted, else the `errno`.
    fn insert(&mut self, deed: Deed) -> u64;
    /// The master of what was matched, plus one; 0 for none.
    fn match_one(&mut self, deed: Deed) -> u64;
    /// The master of what was found, plus one; 0 for none.
    fn lookup(&mut self, deed: Deed) -> u64;
    /// Time passes: the sum of [`expired`] over what ended.
    fn advance(&mut self, ticks: u32) -> u64;
    /// A master's expectations end.
    fn destroy(&mut self, master: u32) -> u64;
    /// The sum over the listing of [`listed`].
    fn list(&mut self) -> u64;
    /// How many are linked.
    fn live(&self) -> u64;
}

/// What an expired expectation adds to a checksum: who expected what, in which call.
#[inline]
#[must_use]
pub fn expired(master: u32, dport: u16) -> u64 {
    u64::from(master) << 16 | u64::from(dport)
}

/// What the entry at `place` adds to a listing's checksum.
#[inline]
#[must_use]
pub fn listed(place: u64, master: u32, dport: u16) -> u64 {
    (place + 1).wrapping_mul(expired(master, dport))
}

/// Someone who does deeds for a living.
pub trait Contender {
    /// Does them all; answers the checksum of the results.
    fn run(&mut self, deeds: &[Deed]) -> u64;
    /// How many expectations are linked.
    fn live(&self) -> u64;
}

impl<T: Deeds> Contender for T {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        run_on(self, 0, deeds)
    }

    fn live(&self) -> u64 {
        Deeds::live(self)
    }
}

/// Does the deeds that follow those of which `sum` is the checksum.
#[inline]
pub(super) fn run_on(who: &mut impl Deeds, sum: u64, deeds: &[Deed]) -> u64 {
    deeds.iter().fold(sum, |sum, &deed| {
        let result = match deed.kind {
            Kind::Insert => who.insert(deed),
            Kind::Match => who.match_one(deed),
            Kind::Lookup => who.lookup(deed),
            Kind::Advance => who.advance(deed.ticks),
            Kind::Destroy => who.destroy(deed.master),
            Kind::List => who.list(),
        };
        (sum.rotate_left(5) ^ result).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
