// SPDX-License-Identifier: GPL-2.0-only
//! Looking ahead: whoever knows what will be asked next has its memory fetched meanwhile.
//!
//! ```text
//!   told now            tags, masters ──▶
//!   a batch before                        records ──▶
//!   two batches before                                neighbours ──▶ asked
//! ```
//!
//! *Coming*: a question that will be asked soon. *Batch*: a few of them, told together. Of each
//! batch one step is fetched at a time, and two other batches are answered before it is: what a
//! step reads is there when the next one needs it, and nothing is waited for.
//!
//! The rule that matters: nothing here changes an answer. They are the same without.
//!
//! Why: a dependent access to memory costs nineteen independent ones (the floors of `nfexp
//! bench`). It costs some instructions, so a table that fits the cache is left alone. Why so few at
//! a time: what is fetched has to stay in the nearest cache until it is used, and no processor waits
//! for more than some twenty lines at once. 8 in three steps take 0.85 of the time of 32 in one go
//! (`nfexp bench churn/1M`, `destroy-8/1M`), 0.8 at `hit/1M`; 4, 16 and 24 take longer.

use crate::conn::ConnId;
use crate::engine::Engine;
use crate::helper::Class;
use crate::kernel::Up;
use crate::kernel::flat::Flat;
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

/// So few expectations are in the cache anyway: about a megabyte of records.
const FEW: u32 = 8 << 10;
/// So much of a master's list is fetched, from each end.
const DEEP: usize = 32;

/// Some of a batch, in their order.
#[derive(Clone, Copy, Debug)]
struct Few<T, const N: usize = { Ahead::BATCH }> {
    items: [T; N],
    count: usize,
}

impl<T: Copy + Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { items: [T::default(); N], count: 0 }
    }
}

impl<T: Copy, const N: usize> Few<T, N> {
    #[inline(always)]
    fn push(&mut self, item: T) {
        self.push_if(true, item);
    }

    /// Decides nothing on the way.
    #[inline(always)]
    fn push_if(&mut self, really: bool, item: T) {
        self.items[self.count % N] = item;
        self.count += usize::from(really);
    }

    #[inline(always)]
    fn all(&self) -> &[T] {
        &self.items[..self.count.min(N)]
    }
}

/// Where a newcomer's destination would be, its master, and its class.
type Newcomer = (u64, u32, Class);

/// Questions that are asked one behind the other, and what is known of their answers so far.
#[derive(Clone, Debug, Default)]
struct Batch {
    /// Where the destinations of lookups would be, and of matches.
    lookups: Few<u64>,
    matches: Few<u64>,
    newcomers: Few<Newcomer>,
    /// Masters.
    ends: Few<u32>,
    /// Who will go, and leaves neighbours behind.
    leaves: Few<u32, { 2 * Ahead::BATCH }>,
}

impl Batch {
    /// Nothing was told; what it was stays beside.
    #[inline(always)]
    fn forget(&mut self) {
        let Self { lookups, matches, newcomers, ends, leaves } = self;
        (lookups.count, matches.count, newcomers.count) = (0, 0, 0);
        (ends.count, leaves.count) = (0, 0);
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.lookups.count | self.matches.count | self.newcomers.count | self.ends.count == 0
    }
}

/// The batches of questions that one engine was told and not asked yet.
///
/// ```
/// use nfexp_model::ahead::{Ahead, Coming};
/// use nfexp_model::engine::{At, Config, Engine};
/// use nfexp_model::netns::{NetId, Zone};
/// use nfexp_model::tuple::Tuple;
///
/// let engine: Engine = Engine::new(Config::SMALL)?;
/// let tuples = [Tuple::NONE; 20];
/// let mut ahead = Ahead::new(NetId::INIT);
/// let mut coming = tuples.chunks(Ahead::BATCH);
/// let mut tell = || {
///     let batch = coming.next().unwrap_or_default();
///     engine.look_ahead(&mut ahead, batch.iter().map(|tuple| Coming::Lookup(*tuple)));
/// };
/// tell();
/// tell();
/// for batch in tuples.chunks(Ahead::BATCH) {
///     tell();
///     for tuple in batch {
///         assert!(engine.find_get(At::default(), NetId::INIT, Zone(0), tuple).is_none());
///     }
/// }
/// # Ok::<(), nfexp_model::error::NoMemory>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ahead {
    net: NetId,
    batches: [Batch; 3],
    /// The place of the one that was told last.
    last: usize,
}

impl Ahead {
    /// At most so many questions are told at a time.
    pub const BATCH: usize = 8;

    /// Nothing was told yet of what will be asked in this namespace.
    #[must_use]
    pub fn new(net: NetId) -> Self {
        Self { net, batches: Default::default(), last: 0 }
    }
}

impl Engine<Up> {
    /// Tells at most [`Ahead::BATCH`] questions that will be asked when two more batches were told:
    /// what their answers will touch is fetched meanwhile, if it is not in the cache anyway. What is
    /// beyond is not looked at.
    ///
    /// # Panics
    /// If this engine has no such namespace or master.
    #[inline]
    pub fn look_ahead(&self, ahead: &mut Ahead, coming: impl IntoIterator<Item = Coming>) {
        if self.memory.expectations.live() >= FEW {
            self.fetch(ahead, coming);
        }
    }

    /// The same, however small the table.
    ///
    /// # Panics
    /// As [`look_ahead`](Self::look_ahead).
    #[inline]
    pub fn fetch(&self, ahead: &mut Ahead, coming: impl IntoIterator<Item = Coming>) {
        let (net, table) = (ahead.net, self.table(ahead.net));
        ahead.last = (ahead.last + 1) % 3;
        let batch = &mut ahead.batches[ahead.last];
        batch.forget();
        let Batch { lookups, matches, newcomers, ends, .. } = batch;
        // While lookups find nothing they need no handles, and if the tags are in the cache, nothing.
        let finds = table.lookups_find();
        let in_vain = !finds && table.is_near();
        for coming in coming.into_iter().take(Ahead::BATCH) {
            match coming {
                Coming::Lookup(_) if in_vain => {}
                Coming::Lookup(tuple) => lookups.push(table.spot(net, &tuple)),
                Coming::Match(tuple) => matches.push(table.spot(net, &tuple)),
                Coming::Announce(tuple, master, class) => {
                    newcomers.push((table.spot(net, &tuple), master.index(), class));
                }
                Coming::End(master) => ends.push(master.index()),
            }
        }
        if !batch.is_empty() {
            self.fetch_heads(table, batch, finds);
        }
        let before = &mut ahead.batches[(ahead.last + 2) % 3];
        if !before.is_empty() {
            self.fetch_records(table, before);
        }
        let first = &ahead.batches[(ahead.last + 1) % 3];
        if !first.is_empty() {
            self.fetch_neighbours(table, first);
        }
    }

    /// The tags, the handles where they are needed, and the masters.
    #[inline]
    fn fetch_heads(&self, table: &Flat<Up>, batch: &Batch, finds: bool) {
        table.prefetch(batch.lookups.all().iter().copied(), finds);
        table.prefetch(batch.matches.all().iter().copied(), true);
        table.prefetch(batch.newcomers.all().iter().map(|newcomer| newcomer.0), true);
        for &(_, master, _) in batch.newcomers.all() {
            prefetch(self.memory.conns.at(master));
        }
        for &master in batch.ends.all() {
            prefetch(self.memory.conns.at(master));
        }
    }

    /// Who is there, and beside whom a newcomer comes.
    #[inline(never)]
    fn fetch_records(&self, table: &Flat<Up>, batch: &mut Batch) {
        let slab = &self.memory.expectations;
        let Batch { lookups, matches, newcomers, ends, leaves } = batch;
        for &spot in lookups.all() {
            // All that a lookup reads.
            prefetch(slab.at(table.candidate(spot)));
        }
        for &spot in matches.all() {
            let found = table.candidate(spot);
            slab.at(found).prefetch();
            leaves.push_if(found != NULL, found);
        }
        for &(spot, master, class) in newcomers.all() {
            let found = table.candidate(spot);
            slab.at(found).prefetch();
            leaves.push_if(found != NULL, found);
            let conn = self.memory.conns.at(master);
            prefetch(&slab.at(conn.newest[class.index()].get()).older);
            let limit = self.terms.of(conn.helper.get(), class).limit;
            if u32::from(conn.expecting[class.index()].get()) >= limit {
                let oldest = conn.oldest[class.index()].get();
                slab.at(oldest).prefetch();
                leaves.push(oldest);
            }
        }
        for &master in ends.all() {
            prefetch(&slab.at(self.memory.conns.at(master).newest[0].get()).older);
        }
    }

    /// Whom those leave behind that go, and what newcomers will be.
    #[inline(never)]
    fn fetch_neighbours(&self, table: &Flat<Up>, batch: &Batch) {
        batch.leaves.all().iter().for_each(|&index| self.prefetch_behind(index, true));
        self.memory.expectations.prefetch_free(batch.newcomers.count);
        table.set_told(batch.newcomers.count);
        if batch.ends.count > 0 {
            self.fetch_lists(table, batch.ends.all());
        }
    }

    /// The lists of the masters that end, from both ends: the next of each, side by side.
    #[inline(never)]
    fn fetch_lists(&self, table: &Flat<Up>, ends: &[u32]) {
        let slab = &self.memory.expectations;
        for class in Class::ALL.map(Class::index) {
            let mut next = [[NULL; 2]; Ahead::BATCH];
            for (next, &master) in next.iter_mut().zip(ends) {
                let conn = self.memory.conns.at(master);
                *next = [conn.newest[class].get(), conn.oldest[class].get()];
                next.iter().for_each(|&index| prefetch(&slab.at(index).older));
            }
            for _ in 0..DEEP {
                let mut left = NULL;
                for next in next.iter_mut().filter(|next| **next != [NULL; 2]) {
                    *next = self.prefetch_ends(table, *next).unwrap_or([NULL; 2]);
                    left |= next[0];
                    next.iter().for_each(|&index| prefetch(&slab.at(index).older));
                }
                if left == NULL {
                    break;
                }
            }
        }
    }
}
