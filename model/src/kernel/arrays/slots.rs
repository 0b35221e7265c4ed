// SPDX-License-Identifier: GPL-2.0-only
//! Where the entries of the wheel of arrays lie: in blocks of 32, chained by slot.
//!
//! ```text
//!   slot    first ─▶ [32] ⇄ [32] ⇄ [32] ⇄ [7 … ]◀─ end
//!   free    ─▶ [ ] ─▶ [ ]                             last freed, first used: in the cache
//! ```
//!
//! Why not a vector for each slot: those grow by moving what they hold, and every slot that has
//! fired gives its memory back, to ask for it again a turn later. See `nfexp bench hold`.

use super::super::prefetch::prefetch;

/// A timer in a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) key: u32,
    pub(super) stamp: u32,
    /// The low half of its expiry: enough for every level but the last.
    pub(super) expires: u32,
}

/// Entries of a block.
pub(super) const BLOCK: usize = 32;
/// So many words of 64 slots.
const MAPS: usize = 9;
/// Bytes that come at once.
const LINE: usize = 64;
/// No block.
const NONE: u32 = u32::MAX;

/// Entries that lie side by side.
pub(super) type Block = [Entry; BLOCK];

/// The entries of a slot, oldest first. All of its blocks are full but the last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    first: u32,
    /// Where its next entry comes to lie; a multiple of [`BLOCK`] if that takes another block, and
    /// 0 while there is no entry.
    end: u32,
}

impl Chain {
    #[inline]
    pub(super) const fn is_empty(self) -> bool {
        self.end == 0
    }

    #[inline]
    const fn last(self) -> u32 {
        (self.end - 1) / BLOCK as u32
    }
}

/// The neighbours of a block in its chain; in the list of free ones, the next.
#[derive(Clone, Copy, Debug)]
struct Links {
    next: u32,
    prev: u32,
}

/// All slots and their memory.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    links: Vec<Links>,
    free: u32,
    chains: [Chain; 64 * MAPS],
    /// One bit per slot that is not empty.
    filled: [u64; MAPS],
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            links: Vec::new(),
            free: NONE,
            chains: [Chain::default(); 64 * MAPS],
            filled: [0; MAPS],
        }
    }

    // ---- slots --------------------------------------------------------------------------

    /// Appends an entry to a slot.
    #[inline(always)]
    pub(super) fn push(&mut self, slot: usize, entry: Entry) {
        let mut end = self.chains[slot].end;
        if end.is_multiple_of(BLOCK as u32) {
            end = self.open_slot(slot);
        }
        self.entries[end as usize] = entry;
        self.chains[slot].end = end + 1;
    }

    #[inline(never)]
    fn open_slot(&mut self, slot: usize) -> u32 {
        self.filled[slot / 64] |= 1 << (slot % 64);
        let mut chain = self.chains[slot];
        self.open(&mut chain);
        self.chains[slot] = chain;
        chain.end
    }

    #[inline]
    pub(super) const fn holds(&self, slot: usize) -> bool {
        self.filled[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// Which of 64 slots hold anything, a bit each.
    #[inline]
    pub(super) const fn filled(&self, map: usize) -> u64 {
        self.filled[map]
    }

    /// The first slot from `from` on and before `to` that holds anything.
    pub(super) fn filled_between(&self, from: usize, to: usize) -> Option<usize> {
        let mut slot = from;
        while slot < to {
            let rest = self.filled(slot / 64) >> (slot % 64);
            if rest != 0 {
                let found = slot + rest.trailing_zeros() as usize;
                return (found < to).then_some(found);
            }
            slot = (slot / 64 + 1) * 64;
        }
        None
    }

    /// Empties a slot.
    pub(super) const fn take(&mut self, slot: usize) -> Chain {
        self.filled[slot / 64] &= !(1 << (slot % 64));
        core::mem::replace(&mut self.chains[slot], Chain { first: 0, end: 0 })
    }

    /// Fills an empty one.
    pub(super) const fn put(&mut self, slot: usize, chain: Chain) {
        self.chains[slot] = chain;
        if !chain.is_empty() {
            self.filled[slot / 64] |= 1 << (slot % 64);
        }
    }

    /// What a slot holds.
    pub(super) const fn chain(&self, slot: usize) -> Chain {
        self.chains[slot]
    }

    /// Every slot that holds anything.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> + use<> {
        // Word by word, for mostly few of hundreds hold anything: of a snapshot's number, a fifth.
        self.filled.into_iter().enumerate().flat_map(|(map, mut rest)| {
            core::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(map * 64 + bit)
            })
        })
    }

    /// The youngest entry of a slot.
    pub(super) fn newest(&self, slot: usize) -> Option<Entry> {
        let end = self.chains[slot].end as usize;
        (end > 0).then(|| self.entries[end - 1])
    }

    /// Drops that one.
    pub(super) fn drop_newest(&mut self, slot: usize) {
        let mut chain = self.take(slot);
        let last = chain.last();
        chain.end -= 1;
        if chain.end == last * BLOCK as u32 {
            self.end_before(&mut chain, last);
            self.release(last);
        }
        self.put(slot, chain);
    }

    // ---- chains -------------------------------------------------------------------------

    /// Appends an entry.
    pub(super) fn append(&mut self, chain: &mut Chain, entry: Entry) {
        if chain.end.is_multiple_of(BLOCK as u32) {
            self.open(chain);
        }
        self.entries[chain.end as usize] = entry;
        chain.end += 1;
    }

    /// Gives a chain another block.
    #[inline]
    fn open(&mut self, chain: &mut Chain) {
        if self.free == NONE {
            self.grow();
        }
        let block = self.free;
        self.free = self.links[block as usize].next;
        if chain.is_empty() {
            chain.first = block;
        } else {
            let last = chain.last();
            self.links[last as usize].next = block;
            self.links[block as usize].prev = last;
        }
        chain.end = block * BLOCK as u32;
    }

    /// Takes the first block off a chain, with how many entries. To be [released](Self::release).
    #[inline]
    pub(super) fn shift(&self, chain: &mut Chain) -> (u32, usize) {
        let (block, last) = (chain.first, chain.last());
        if block != last {
            chain.first = self.links[block as usize].next;
            return (block, BLOCK);
        }
        let count = chain.end as usize - last as usize * BLOCK;
        *chain = Chain::default();
        (block, count)
    }

    /// The same for the last.
    #[inline]
    pub(super) fn pop(&self, chain: &mut Chain) -> (u32, usize) {
        let last = chain.last();
        let count = chain.end as usize - last as usize * BLOCK;
        self.end_before(chain, last);
        (last, count)
    }

    fn end_before(&self, chain: &mut Chain, last: u32) {
        if last == chain.first {
            *chain = Chain::default();
        } else {
            chain.end = (self.links[last as usize].prev + 1) * BLOCK as u32;
        }
    }

    /// Fetches the first blocks of a chain; answers how many.
    #[inline(never)]
    pub(super) fn prefetch(&self, mut chain: Chain, most: usize) -> usize {
        let mut fetched = 0;
        while fetched < most && !chain.is_empty() {
            let (block, _) = self.shift(&mut chain);
            self.block(block).iter().step_by(LINE / size_of::<Entry>()).for_each(prefetch);
            fetched += 1;
        }
        fetched
    }

    // ---- blocks -------------------------------------------------------------------------

    /// What lies in a block.
    #[inline]
    pub(super) fn block(&self, block: u32) -> &Block {
        &self.entries.as_chunks().0[block as usize]
    }

    #[inline]
    pub(super) fn release(&mut self, block: u32) {
        self.links[block as usize].next = self.free;
        self.free = block;
    }

    /// Gives back all blocks of a chain.
    pub(super) fn release_all(&mut self, mut chain: Chain) {
        while !chain.is_empty() {
            let (block, _) = self.shift(&mut chain);
            self.release(block);
        }
    }

    /// An eighth more, for what is not used is memory, too.
    #[cold]
    fn grow(&mut self) {
        let (from, more) = (self.links.len(), (self.links.len() / 8).max(8));
        self.links.reserve_exact(more);
        self.entries.reserve_exact(more * BLOCK);
        self.entries.resize((from + more) * BLOCK, Entry::default());
        u32::try_from(self.entries.len()).expect("three entries for each of 2^30 timers");
        for block in from as u32..(from + more) as u32 {
            self.links.push(Links { next: block + 1, prev: NONE });
        }
        self.links.last_mut().expect("some were added").next = NONE;
        self.free = from as u32;
    }

    /// Does something with every entry of a chain.
    pub(super) fn for_each(&mut self, mut chain: Chain, mut what: impl FnMut(&mut Entry)) {
        while !chain.is_empty() {
            let (block, count) = self.shift(&mut chain);
            let from = block as usize * BLOCK;
            self.entries[from..from + count].iter_mut().for_each(&mut what);
        }
    }

    /// How many bytes it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.links.capacity() * size_of::<Links>()
    }
}
