// SPDX-License-Identifier: GPL-2.0-only
//! Namespaces and zones, and how large their tables are.
//!
//! # Source
//! `nf_conntrack_expect_init()`, `nf_conntrack_expect_pernet_init()` and their ends, v3.9.

use core::fmt;

use crate::kernel::platform::{Cpu, Plain, Platform, Word};

/// A network namespace of one engine.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetId(pub u16);

impl NetId {
    /// The first one, which always exists.
    pub const INIT: Self = Self(0);

    /// What a hash mixes in for this namespace (`net_hash_mix()`): an address there, here the
    /// number spread over the word.
    #[must_use]
    pub const fn mix(self) -> u32 {
        (self.0 as u32).wrapping_mul(0x9e37_79b9)
    }

    /// The same, with a guess at the first: whoever reads it from memory that is not in the cache
    /// goes on with the guess meanwhile (`nfexp bench churn/100k`).
    #[inline(always)]
    pub(crate) fn probably_init(self) -> Self {
        if self == Self::INIT { Self::INIT } else { elsewhere(self) }
    }
}

/// Another than the first. Nothing may be known of it, or there would be no branch to guess.
#[cold]
#[inline(never)]
fn elsewhere(net: NetId) -> NetId {
    core::hint::black_box(net)
}

impl fmt::Debug for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net{}", self.0)
    }
}

/// A conntrack zone: equal tuples of different zones are different flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(pub u16);

/// Sizes of the table (`expect_hashsize`, `nf_conntrack_expect_max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets (`nf_ct_expect_hsize`), whole pages of them.
    pub hash_size: u32,
    /// How many expectations a namespace may hold (`nf_ct_expect_max`).
    pub expect_max: u32,
}

impl Sizes {
    /// List heads in a page: 4096 bytes of 8 each.
    pub const HEADS_PER_PAGE: u32 = 512;

    /// The sizes a module load chooses, given the conntrack table's and the module parameter
    /// `expect_hashsize` (0 if not given).
    ///
    /// # Source
    /// `nf_conntrack_expect_init()` and `nf_ct_alloc_hashtable()`, v3.9: the limit is computed
    /// before the table is rounded up to whole pages.
    #[doc(alias = "nf_conntrack_expect_init")]
    #[doc(alias = "expect_hashsize")]
    #[must_use]
    pub fn at_module_init(conntrack_buckets: u32, expect_hashsize: u32) -> Self {
        let asked = match expect_hashsize {
            0 => (conntrack_buckets / 256).max(1),
            given => given,
        };
        let pages = asked.div_ceil(Self::HEADS_PER_PAGE);
        Self {
            hash_size: pages.saturating_mul(Self::HEADS_PER_PAGE),
            expect_max: asked.wrapping_mul(4),
        }
    }
}

/// Counters of one CPU in one namespace (`struct ip_conntrack_stat`), as far as they concern us.
#[doc(alias = "ip_conntrack_stat")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lookups that found a connection, where the revision counts them.
    pub found: u32,
    /// Connections made.
    pub new: u32,
    /// Packets no connection could be made of.
    pub invalid: u32,
    /// Connections entered into the table.
    pub insert: u32,
    /// Connections that lost the race to confirm, and packets dropped with them.
    pub insert_failed: u32,
    /// Packets dropped because of an allocation or a helper.
    pub drop: u32,
    /// Connections that were announced (`expect_new`).
    pub expect_new: u32,
    /// Expectations inserted (`expect_create`).
    pub expect_create: u32,
    /// Expectations unlinked (`expect_delete`).
    pub expect_delete: u32,
}

impl Stats {
    /// The sum of two CPUs.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = u32::wrapping_add;
        Self {
            found: add(self.found, other.found),
            new: add(self.new, other.new),
            invalid: add(self.invalid, other.invalid),
            insert: add(self.insert, other.insert),
            insert_failed: add(self.insert_failed, other.insert_failed),
            drop: add(self.drop, other.drop),
            expect_new: add(self.expect_new, other.expect_new),
            expect_create: add(self.expect_create, other.expect_create),
            expect_delete: add(self.expect_delete, other.expect_delete),
        }
    }
}

/// One namespace's share of the engine (`struct netns_ct`).
#[doc(alias = "netns_ct")]
pub(crate) struct Net<P: Platform> {
    /// Its own table; under [`TableScope::Global`](crate::revision::TableScope) only the first
    /// namespace's is used.
    pub(crate) index: P::Index,
    /// `expect_count`: written under the lock, read by anyone.
    pub(crate) count: P::Word,
    /// Whether the namespace exists.
    pub(crate) alive: P::Word,
    /// One record per CPU, each written by its CPU alone.
    pub(crate) stats: Box<[P::Plain<Stats>]>,
}

impl<P: Platform> Net<P> {
    pub(crate) fn new(index: P::Index, cpus: u8) -> Self {
        Self {
            index,
            count: P::Word::new(0),
            alive: P::Word::new(0),
            stats: (0..cpus).map(|_| P::Plain::new(Stats::default())).collect(),
        }
    }

    /// The same namespace once more, its table by `copy`.
    pub(crate) fn copied(&self, copy: impl Fn(&P::Index) -> P::Index) -> Self {
        Self {
            index: copy(&self.index),
            count: P::Word::new(self.count.load_locked()),
            alive: P::Word::new(self.alive.load_locked()),
            stats: self.stats.iter().map(|stats| P::Plain::new(stats.get())).collect(),
        }
    }

    #[inline(always)]
    pub(crate) fn count_stat(&self, cpu: Cpu, count: impl FnOnce(&mut Stats)) {
        let cell = &self.stats[usize::from(cpu.0)];
        let mut stats = cell.get();
        count(&mut stats);
        cell.set(stats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_a_module_load_chooses() {
        let sizes = |buckets, param| {
            let Sizes { hash_size, expect_max } = Sizes::at_module_init(buckets, param);
            (hash_size, expect_max)
        };
        assert_eq!(sizes(16384, 0), (512, 256));
        assert_eq!(sizes(65536, 0), (512, 1024));
        assert_eq!(sizes(262_144, 0), (1024, 4096), "as seen on 6.18");
        assert_eq!(sizes(100, 0), (512, 4), "at least one bucket is asked for");
        assert_eq!(sizes(16384, 513), (1024, 2052));
    }
}
