// SPDX-License-Identifier: GPL-2.0-only
//! A flat table of small handles under one-byte tags.
//!
//! ```text
//!   group    ┌ tag tag tag … 15 of them │ overflow ┐   16 bytes: all that a miss reads
//!   handles  └ fingerprint·index  …                ┘   read only where a tag agrees
//! ```
//!
//! *Tag*: eight bits of a key's hash; 0 is an empty place. *Overflow*: how many keys that belong
//! here went on to the next group because this one was full; a search stops where it is zero, so
//! nothing is ever left behind by a removal. *Fingerprint*: more of the hash, in the bits of a
//! handle that the index leaves free.
//!
//! The rule that matters: tags and fingerprints only say no. Who asks compares the key itself.
//!
//! Why: at a million entries the tags are 2 MB where chains are spread over all records, so a
//! miss costs 0.2 of a dependent access instead of 3 (`nfexp bench miss`).

/// Places in a group.
const PLACES: usize = 15;
/// How many of them may be taken on average before the table grows.
const FILL: usize = 12;
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
/// The high bits of the seven places beside the overflow byte.
const HIGH_OF_SEVEN: u64 = HIGH >> 8;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Handles([u32; 16]);

/// Where a handle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    group: usize,
    slot: usize,
}

/// The table.
#[derive(Debug)]
pub(super) struct Tags {
    groups: Vec<[u64; 2]>,
    handles: Vec<Handles>,
    used: usize,
    /// Which bits of a handle are the index; none before the first insertion.
    index_mask: u32,
}

impl Tags {
    pub(super) fn new() -> Self {
        // One group that stays empty: growing replaces it, searching needs no special case.
        let (groups, handles) = (vec![[0; 2]], vec![Handles([0; 16])]);
        Self { groups, handles, used: 0, index_mask: 0 }
    }

    /// Whether one more needs a larger table.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.index_mask == 0 || self.used >= self.groups.len() * FILL
    }

    /// A larger table with everything in it; indices are at most `largest`.
    pub(super) fn grow(&mut self, largest: u32, hash_of: impl Fn(u32) -> u64) {
        let old = core::mem::replace(self, Self::new());
        let groups = if old.index_mask == 0 { 1 } else { old.groups.len() * 3 / 2 + 1 };
        self.groups = vec![[0; 2]; groups];
        self.handles = vec![Handles([0; 16]); groups];
        self.index_mask = u32::MAX >> largest.max(1).leading_zeros();
        for index in old.indices() {
            self.insert(hash_of(index), index);
        }
    }

    /// The first index under `hash` that `is` the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<(Place, u32)> {
        let mut group = self.home(hash);
        let wanted = u64::from(tag(hash)) * LOW;
        loop {
            let [low, high] = self.groups[group];
            let mut agree = zero_bytes(low ^ wanted);
            let mut above = zero_bytes(high ^ wanted) & HIGH_OF_SEVEN;
            if agree | above != 0 {
                let mut base = 0;
                loop {
                    if agree == 0 {
                        if above == 0 {
                            break;
                        }
                        (agree, above, base) = (above, 0, 8);
                    }
                    let slot = base + (agree.trailing_zeros() / 8) as usize;
                    let handle = self.handles[group].0[slot & 15];
                    let index = handle & self.index_mask;
                    if handle ^ index == fingerprint(hash, self.index_mask) && is(index) {
                        return Some((Place { group, slot }, index));
                    }
                    agree &= agree - 1;
                }
            }
            if high >> 56 == 0 {
                return None;
            }
            group = self.after(group);
        }
    }

    /// Adds an index; the table must not be full.
    pub(super) fn insert(&mut self, hash: u64, index: u32) {
        let mut group = self.home(hash);
        loop {
            let tags = &mut self.groups[group];
            let empty = [zero_bytes(tags[0]), zero_bytes(tags[1]) & HIGH_OF_SEVEN];
            let word = usize::from(empty[0] == 0);
            if empty[word] != 0 {
                let byte = empty[word].trailing_zeros() / 8;
                tags[word] |= u64::from(tag(hash)) << (8 * byte);
                let slot = word * 8 + byte as usize;
                self.handles[group].0[slot] = fingerprint(hash, self.index_mask) | index;
                self.used += 1;
                return;
            }
            // A count that has reached its end stays there: a search goes on in vain.
            if tags[1] >> 56 != 0xff {
                tags[1] += 1 << 56;
            }
            group = self.after(group);
        }
    }

    /// Puts another index under the same key.
    pub(super) fn replace(&mut self, place: Place, index: u32) {
        let handle = &mut self.handles[place.group].0[place.slot];
        *handle = *handle & !self.index_mask | index;
    }

    /// Removes what stands at `place` under `hash`.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        let mut group = self.home(hash);
        while group != place.group {
            let overflow = &mut self.groups[group][1];
            if *overflow >> 56 != 0xff {
                *overflow -= 1 << 56;
            }
            group = self.after(group);
        }
        self.groups[group][place.slot / 8] &= !(0xff << (8 * (place.slot % 8)));
        self.used -= 1;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.groups.capacity() * (size_of::<[u64; 2]>() + size_of::<Handles>())
    }

    /// All indices, in no order that means anything.
    fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let mask = self.index_mask;
        (0..self.groups.len() * PLACES).filter_map(move |place| {
            let (group, slot) = (place / PLACES, place % PLACES);
            let tag = self.groups[group][slot / 8] >> (8 * (slot % 8)) & 0xff;
            (tag != 0).then(|| self.handles[group].0[slot] & mask)
        })
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.groups.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, group: usize) -> usize {
        if group + 1 == self.groups.len() { 0 } else { group + 1 }
    }
}

#[inline]
const fn tag(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag == 0 { 1 } else { tag }
}

/// Other bits of the hash than tag and home, where the index is not.
#[inline]
const fn fingerprint(hash: u64, index_mask: u32) -> u32 {
    hash as u32 & !index_mask
}

/// The high bit of every byte that is zero, and of no other: an empty place must not show.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    !((word & !HIGH).wrapping_add(!HIGH) | word | !HIGH)
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    /// A poor hash, so that groups overflow: a few homes, few tags.
    fn poor(key: u32) -> u64 {
        u64::from(key % 3) << 62 | u64::from(key % 5) << 8 | u64::from(key % 7)
    }

    quickcheck! {
        fn prop_a_table_is_a_set(deeds: Vec<(bool, u8)>) -> bool {
            let mut table = Tags::new();
            let mut set = std::collections::BTreeSet::new();
            for (add, key) in deeds.iter().cycle().take(deeds.len() * 8) {
                let key = u32::from(*key) + 1;
                let found = table.find(poor(key), |index| index == key);
                assert_eq!(found.is_some(), set.contains(&key));
                match (add, found) {
                    (true, None) => {
                        if table.is_full() {
                            table.grow(256, poor);
                        }
                        table.insert(poor(key), key);
                        set.insert(key);
                    }
                    (false, Some((place, _))) => {
                        table.remove(poor(key), place);
                        set.remove(&key);
                    }
                    _ => {}
                }
            }
            let mut all: Vec<u32> = table.indices().collect();
            all.sort_unstable();
            all.into_iter().eq(set)
        }
    }

    #[test]
    fn an_index_may_take_another_ones_place() {
        let mut table = Tags::new();
        table.grow(9, poor);
        table.insert(poor(3), 3);
        let (place, _) = table.find(poor(3), |_| true).expect("it was inserted");
        table.replace(place, 9);
        assert_eq!(table.find(poor(3), |_| true), Some((place, 9)));
    }
}
