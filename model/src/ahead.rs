// SPDX-License-Identifier: GPL-2.0-only
//! Looking ahead: whoever knows what will be asked next has its memory fetched meanwhile.
//!
//! ```text
//!   one at a time    tags ──▶ record ──▶ neighbours    tags ──▶ record ──▶ …    each waits
//!   a batch ahead    tags tags tags … ▶ record record record … ▶ neighbours …   waits once
//! ```
//!
//! *Coming*: a question that will be asked soon. A batch of them is gone through in stages; what
//! a stage reads does not depend on what it read for the one before, so a processor reads it
//! side by side.
//!
//! The rule that matters: nothing here changes anything. The answers are the same without.
//!
//! Why: a dependent access to memory costs nineteen independent ones (the floors of `nfexp
//! bench`). It costs some instructions, so a table that fits the cache is left alone.

use crate::conn::{Conn, ConnId};
use crate::engine::Engine;
use crate::helper::Class;
use crate::kernel::Up;
use crate::kernel::hlist::Index;
use crate::kernel::prefetch::prefetch;
use crate::kernel::slab::{NULL, Record};
use crate::netns::NetId;
use crate::tuple::Tuple;

/// What will be asked of an engine soon.
#[derive(Clone, Copy, Debug)]
pub enum Coming {
    /// Who is hit by this tuple?
    Lookup(Tuple),
    /// The same, and it is consumed.
    Match(Tuple),
    /// An announcement of this tuple.
    Announce(Tuple, ConnId, Class),
    /// The end of a master.
    End(ConnId),
}

/// So many are looked at side by side.
const BATCH: usize = 32;
/// So few expectations are in the cache anyway: about a megabyte of records.
const FEW: u32 = 8 << 10;
/// So much of a master's list is fetched.
const DEEP: usize = 64;

/// A question, and what is known of its answer so far.
#[derive(Clone, Copy, Default)]
struct Plan {
    asks: Asks,
    class: u8,
    master: u32,
    /// Where the destination would be.
    spot: u64,
    /// Who is probably there.
    found: u32,
    /// Whom a newcomer touches in its master's list.
    beside: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Asks {
    #[default]
    Lookup,
    Match,
    Announce,
    End,
}

impl Engine<Up> {
    /// Fetches what the answers to these questions will touch, if it is not in the cache anyway.
    /// Some dozens at a time do best.
    #[inline]
    pub fn look_ahead(&self, net: NetId, coming: impl IntoIterator<Item = Coming>) {
        if self.memory.expectations.live() >= FEW {
            self.fetch(net, coming);
        }
    }

    /// The same, however small the table.
    pub fn fetch(&self, net: NetId, coming: impl IntoIterator<Item = Coming>) {
        let mut coming = coming.into_iter();
        loop {
            let mut plans = [Plan::default(); BATCH];
            let (count, ends) = self.fetch_heads(net, &mut plans, &mut coming);
            let plans = &mut plans[..count];
            self.find_records(net, plans);
            self.fetch_neighbours(net, plans);
            if ends {
                self.fetch_lists(net, plans);
            }
            if count < BATCH {
                return;
            }
        }
    }

    /// The tags and handles, the masters, and what newcomers will be. Answers how many questions
    /// there are, and whether any is an end. While lookups find nothing they need no handles, and
    /// if the tags are in the cache, nothing.
    #[inline]
    fn fetch_heads(
        &self,
        net: NetId,
        plans: &mut [Plan; BATCH],
        coming: &mut impl Iterator<Item = Coming>,
    ) -> (usize, bool) {
        let table = self.table(net);
        let (mut count, mut newcomers, mut ends) = (0, 0, false);
        let finds = table.lookups_find();
        let is_near = !finds && table.is_near();
        let coming = coming.filter(|coming| !(is_near && matches!(coming, Coming::Lookup(_))));
        for (plan, coming) in plans.iter_mut().zip(coming) {
            count += 1;
            let (asks, tuple) = match coming {
                Coming::Lookup(tuple) => (Asks::Lookup, tuple),
                Coming::Match(tuple) => (Asks::Match, tuple),
                Coming::Announce(tuple, master, class) => {
                    (plan.master, plan.class) = (master.index(), class.index() as u8);
                    prefetch(self.memory.conns.at(plan.master));
                    newcomers += 1;
                    (Asks::Announce, tuple)
                }
                Coming::End(master) => {
                    (plan.asks, plan.master, ends) = (Asks::End, master.index(), true);
                    prefetch(self.memory.conns.at(plan.master));
                    continue;
                }
            };
            plan.asks = asks;
            plan.spot = table.spot(net, &tuple);
            table.prefetch(plan.spot, finds || asks != Asks::Lookup);
        }
        self.memory.expectations.prefetch_free(newcomers);
        (count, ends)
    }

    /// Who is there, and beside whom a newcomer comes.
    fn find_records(&self, net: NetId, plans: &mut [Plan]) {
        let (table, slab) = (self.table(net), &self.memory.expectations);
        for plan in plans.iter_mut().filter(|plan| plan.asks != Asks::End) {
            plan.found = table.candidate(plan.spot);
            if plan.asks == Asks::Announce {
                plan.beside = self.beside(self.memory.conns.at(plan.master), plan.class);
            }
            for index in [plan.found, plan.beside] {
                if index != NULL {
                    slab.at(index).prefetch();
                }
            }
        }
    }

    /// Whom a newcomer touches in its master's list: the newest, or the oldest if it must go.
    fn beside(&self, conn: &Conn<Up>, class: u8) -> u32 {
        let class = Class::ALL[usize::from(class)];
        let newest = conn.newest[class.index()].get();
        if newest == NULL {
            return NULL;
        }
        let policy = conn.attached().helper().and_then(|id| self.helper(id).policy(class));
        let expecting = u32::from(conn.expecting[class.index()].get());
        let is_full = policy.is_some_and(|policy| expecting >= policy.max_expected);
        if is_full { conn.oldest[class.index()].get() } else { newest }
    }

    /// Whom an unlinked record leaves behind.
    fn fetch_neighbours(&self, net: NetId, plans: &[Plan]) {
        let (table, slab) = (self.table(net), &self.memory.expectations);
        for plan in plans.iter().filter(|plan| plan.asks != Asks::Lookup) {
            for index in [plan.found, plan.beside] {
                if index == NULL {
                    continue;
                }
                let record = slab.at(index);
                for index in [record.older.get(), record.newer.get()] {
                    if index != NULL {
                        prefetch(&slab.at(index).older);
                    }
                }
                prefetch(self.memory.conns.at(record.master().index()));
                table.prefetch_linked(record);
            }
        }
    }

    /// The lists of the masters that end: the next of each, side by side.
    fn fetch_lists(&self, net: NetId, plans: &mut [Plan]) {
        let (table, slab) = (self.table(net), &self.memory.expectations);
        for class in Class::ALL {
            let mut left = 0;
            for plan in plans.iter_mut().filter(|plan| plan.asks == Asks::End) {
                plan.found = self.memory.conns.at(plan.master).newest[class.index()].get();
                left |= plan.found;
                prefetch(&slab.at(plan.found).older);
            }
            for _ in 0..DEEP {
                if left == NULL {
                    break;
                }
                left = NULL;
                let ends = plans.iter_mut().filter(|plan| plan.asks == Asks::End);
                for plan in ends.filter(|plan| plan.found != NULL) {
                    let record = slab.at(plan.found);
                    prefetch(record);
                    table.prefetch_linked(record);
                    plan.found = record.older.get();
                    left |= plan.found;
                    prefetch(&slab.at(plan.found).older);
                }
            }
        }
    }
}
