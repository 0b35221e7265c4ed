// SPDX-License-Identifier: GPL-2.0-only
//! A flat table of small handles under one-byte tags.
//!
//! ```text
//!   group    ┌ tag tag tag tag tag tag tag │ overflow ┐   one word: all that a miss reads
//!   handles  └ fingerprint·index  …                   ┘   read only where a tag agrees
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
//! miss costs 0.2 of a dependent access instead of 3 (`nfexp bench miss`). A group is one word, not
//! two, because a search of half as many tags takes half as many steps (`nfexp bench churn/1k`).

use super::prefetch::prefetch;

/// Places in a group.
const PLACES: usize = 7;
/// How many may be taken in two groups, on average, before the table grows.
const FILL: usize = 7;
const LOW: u64 = 0x0101_0101_0101_0101;
/// The high bits of the places, without that of the overflow byte.
const HIGH: u64 = 0x0080_8080_8080_8080;
/// One more overflow.
const OVERFLOW: u64 = 1 << 56;

/// With more groups than these the handles are not in the nearest caches.
const MANY: usize = 1 << 12;
/// With fewer than these the tags are: half a megabyte.
const FEW: usize = 1 << 16;

/// How many are fetched side by side when the table grows.
const AHEAD: usize = 32;

/// The handles of a group: half of a cache line, never parts of two. The last is none.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Handles([u32; PLACES + 1]);

/// Where a handle stands, and whether that is not the group its hash belongs to.
///
/// Thirty bits, so that whoever it stands for can keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    const DISPLACED: u32 = 1 << 29;

    #[inline]
    fn new(group: usize, slot: usize, displaced: bool) -> Self {
        let place = (group as u32) << 3 | slot as u32;
        Self(if displaced { place | Self::DISPLACED } else { place })
    }

    #[inline]
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    #[inline]
    const fn group(self) -> usize {
        ((self.0 & !Self::DISPLACED) / 8) as usize
    }

    #[inline]
    const fn slot(self) -> usize {
        (self.0 % 8) as usize
    }
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Tags {
    groups: Vec<u64>,
    handles: Vec<Handles>,
    /// How many more there may be before the table grows.
    room: usize,
    /// Which bits of a handle are the index; none before the first insertion.
    index_mask: u32,
}

impl Tags {
    pub(super) fn new() -> Self {
        // One group that stays empty: growing replaces it, searching needs no special case.
        let (groups, handles) = (vec![0], vec![Handles::default()]);
        Self { groups, handles, room: 0, index_mask: 0 }
    }

    /// Whether one more needs a larger table.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// A larger table with everything in it; indices are at most `largest`. Everything has moved.
    /// `fetch` is told of each some time before its hash is asked for: most are in no cache.
    pub(super) fn grow(
        &mut self,
        largest: u32,
        fetch: impl Fn(u32),
        hash_of: impl Fn(u32) -> u64,
        moved: impl Fn(u32, Place),
    ) {
        let old = core::mem::replace(self, Self::new());
        let groups = if old.index_mask == 0 { 1 } else { old.groups.len() * 5 / 4 + 1 };
        assert!(groups < 1 << 26, "a place has 29 bits: {groups} groups are too many");
        self.groups = vec![0; groups];
        self.handles = vec![Handles::default(); groups];
        self.room = room_in(groups);
        self.index_mask = u32::MAX >> largest.max(1).leading_zeros();
        let mut coming = old.indices();
        coming.by_ref().take(AHEAD).for_each(&fetch);
        for index in old.indices() {
            coming.next().into_iter().for_each(&fetch);
            let place = self.insert(hash_of(index), index);
            moved(index, place);
        }
    }

    /// The first index under `hash` that `is` the one, as what it answers.
    #[inline(always)]
    pub(super) fn find<T>(&self, hash: u64, is: impl Fn(u32) -> Option<T> + Copy) -> Option<T> {
        let home = self.home(hash);
        let tags = self.groups[home];
        let agree = places(tags, tag(hash));
        // Mostly nothing agrees, or one place, and that one is it.
        if agree == 0 && tags < OVERFLOW {
            return None;
        }
        if agree != 0 {
            let handle = self.handles[home].0[slot_of(agree)];
            let index = handle & self.index_mask;
            if handle ^ index == fingerprint(hash, self.index_mask)
                && let Some(found) = is(index)
            {
                return Some(found);
            }
        }
        self.find_further(hash, is)
    }

    /// The same for whoever inserts what is not there: the handles are needed either way, so they
    /// are asked for at once with the tags (`nfexp bench refresh`: a tenth).
    #[inline(always)]
    pub(super) fn find_spot<T>(
        &self,
        hash: u64,
        is: impl Fn(u32) -> Option<T> + Copy,
    ) -> Option<T> {
        if self.are_far() {
            self.prefetch_handles(hash);
        }
        self.find(hash, is)
    }

    /// Whether the handles are not in the nearest caches.
    #[inline(always)]
    pub(super) const fn are_far(&self) -> bool {
        self.groups.len() > MANY
    }

    /// Whether the tags are in them.
    #[inline]
    pub(super) const fn are_near(&self) -> bool {
        self.groups.len() < FEW
    }

    /// The same for all places.
    #[cold]
    #[inline(never)]
    fn find_further<T>(&self, hash: u64, is: impl Fn(u32) -> Option<T>) -> Option<T> {
        let mut group = self.home(hash);
        loop {
            let tags = self.groups[group];
            let mut agree = places(tags, tag(hash));
            while agree != 0 {
                let handle = self.handles[group].0[slot_of(agree)];
                let index = handle & self.index_mask;
                if handle ^ index == fingerprint(hash, self.index_mask)
                    && let Some(found) = is(index)
                {
                    return Some(found);
                }
                agree &= agree - 1;
            }
            if tags < OVERFLOW {
                return None;
            }
            group = self.after(group);
        }
    }

    /// Fetches what a search reads first.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&self.groups[self.home(hash)]);
    }

    /// Fetches what an insertion writes.
    #[inline(always)]
    pub(super) fn prefetch_handles(&self, hash: u64) {
        prefetch(&self.handles[self.home(hash)]);
    }

    /// Fetches the tags around a place.
    #[inline(always)]
    pub(super) fn prefetch_place(&self, place: Place) {
        if let Some(tags) = self.groups.get(place.group()) {
            prefetch(tags);
        }
    }

    /// Whom a search would look at first, 0 for nobody.
    #[inline(always)]
    pub(super) fn candidate(&self, hash: u64) -> u32 {
        let home = self.home(hash);
        match places(self.groups[home], tag(hash)) {
            0 => 0,
            agree => self.handles[home].0[slot_of(agree)] & self.index_mask,
        }
    }

    /// Adds an index; the table must not be full.
    #[inline(always)]
    pub(super) fn insert(&mut self, hash: u64, index: u32) -> Place {
        let home = self.home(hash);
        match self.insert_into(home, hash, index) {
            Some(slot) => Place::new(home, slot, false),
            None => self.insert_further(home, hash, index),
        }
    }

    /// The same where home is full.
    #[cold]
    #[inline(never)]
    fn insert_further(&mut self, home: usize, hash: u64, index: u32) -> Place {
        let mut group = home;
        loop {
            // A count that has reached its end stays there: a search goes on in vain.
            let tags = &mut self.groups[group];
            if *tags >> 56 != 0xff {
                *tags += OVERFLOW;
            }
            group = self.after(group);
            if let Some(slot) = self.insert_into(group, hash, index) {
                return Place::new(group, slot, true);
            }
        }
    }

    #[inline(always)]
    fn insert_into(&mut self, group: usize, hash: u64, index: u32) -> Option<usize> {
        let tags = &mut self.groups[group];
        let empty = places(*tags, 0);
        if empty == 0 {
            return None;
        }
        let slot = slot_of(empty);
        *tags |= u64::from(tag(hash)) << (8 * slot);
        self.handles[group].0[slot] = fingerprint(hash, self.index_mask) | index;
        self.room -= 1;
        Some(slot)
    }

    /// Puts another index under the same key.
    #[inline(always)]
    pub(super) fn replace(&mut self, place: Place, index: u32) {
        let handle = &mut self.handles[place.group()].0[place.slot()];
        *handle = *handle & !self.index_mask | index;
    }

    /// Whether this index stands there.
    pub(super) fn holds(&self, place: Place, index: u32) -> bool {
        let handles = self.handles.get(place.group());
        handles.is_some_and(|handles| handles.0[place.slot()] & self.index_mask == index)
    }

    /// Where this index stands under `hash`, if it does.
    pub(super) fn place_of(&self, hash: u64, index: u32) -> Option<Place> {
        let home = self.home(hash);
        let mut group = home;
        loop {
            let tags = self.groups[group];
            let mut agree = places(tags, tag(hash));
            while agree != 0 {
                let slot = slot_of(agree);
                if self.handles[group].0[slot] & self.index_mask == index {
                    return Some(Place::new(group, slot, group != home));
                }
                agree &= agree - 1;
            }
            if tags < OVERFLOW {
                return None;
            }
            group = self.after(group);
        }
    }

    /// Removes what stands at `place`; its hash is asked for only if it is displaced.
    #[inline(always)]
    pub(super) fn remove(&mut self, place: Place, hash: impl FnOnce() -> u64) {
        if place.bits() & Place::DISPLACED != 0 {
            let mut group = self.home(hash());
            while group != place.group() {
                let tags = &mut self.groups[group];
                if *tags >> 56 != 0xff {
                    *tags -= OVERFLOW;
                }
                group = self.after(group);
            }
        }
        self.groups[place.group()] &= !(0xff << (8 * place.slot()));
        self.room += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index_mask == 0 || self.room == room_in(self.groups.len())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.groups.capacity() * (size_of::<u64>() + size_of::<Handles>())
    }

    /// All indices, in no order that means anything.
    fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let mask = self.index_mask;
        (0..self.groups.len() * PLACES).filter_map(move |place| {
            let (group, slot) = (place / PLACES, place % PLACES);
            let tag = self.groups[group] >> (8 * slot) & 0xff;
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

/// How many so many groups may hold.
const fn room_in(groups: usize) -> usize {
    groups * FILL / 2
}

/// Neither 0, an empty place, nor 1 (see [`places`]).
#[inline]
const fn tag(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag < 2 { tag + 2 } else { tag }
}

/// Other bits of the hash than tag and home, where the index is not.
#[inline]
const fn fingerprint(hash: u64, index_mask: u32) -> u32 {
    hash as u32 & !index_mask
}

/// Which of a group's places hold this tag: a bit for each, see [`slot_of`]. Beside a place that
/// does, one with a tag that differs in the last bit only may show as well; an empty one never
/// does, because no tag is 1.
#[inline(always)]
const fn places(group: u64, tag: u8) -> u64 {
    let differ = group ^ (tag as u64 * LOW);
    differ.wrapping_sub(LOW) & !differ & HIGH
}

/// The place of the lowest bit.
#[inline(always)]
const fn slot_of(places: u64) -> usize {
    (places.trailing_zeros() / 8) as usize % 8
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
        fn prop_what_is_there_shows_and_what_is_empty_never(tags: Vec<u8>, wanted: u8) -> bool {
            let wanted = tag(u64::from(wanted));
            // Tags near the one that is looked for, whose differences carry.
            let near = [0, wanted, tag(u64::from(wanted ^ 1))];
            let mut bytes = [0; 8];
            for (byte, from) in bytes.iter_mut().zip(&tags) {
                *byte = if from % 4 == 3 { tag(u64::from(*from)) } else { near[*from as usize % 4] };
            }
            bytes[PLACES] = wanted;
            [wanted, 0].into_iter().all(|wanted| {
                let mut shown = [false; 8];
                let mut left = places(u64::from_le_bytes(bytes), wanted);
                while left != 0 {
                    shown[slot_of(left)] = true;
                    left &= left - 1;
                }
                !shown[PLACES] && (0..PLACES).all(|at| match bytes[at] {
                    byte if byte == wanted => shown[at],
                    0 => !shown[at],
                    byte => !shown[at] || wanted != 0 && byte ^ wanted == 1,
                })
            })
        }

        fn prop_a_table_is_a_set(deeds: Vec<(bool, u8)>) -> bool {
            let mut table = Tags::new();
            let places = core::cell::RefCell::new(std::collections::BTreeMap::new());
            for (add, key) in deeds.iter().cycle().take(deeds.len() * 8) {
                let key = u32::from(*key) + 1;
                let found = table.find(poor(key), |index| (index == key).then_some(()));
                assert_eq!(found.is_some(), places.borrow().contains_key(&key));
                if *add && found.is_none() {
                    if table.is_full() {
                        table.grow(256, |_| {}, poor, |key, place| {
                            places.borrow_mut().insert(key, place);
                        });
                    }
                    let place = table.insert(poor(key), key);
                    assert!(table.holds(place, key));
                    places.borrow_mut().insert(key, place);
                }
                let place = if *add { None } else { places.borrow_mut().remove(&key) };
                if let Some(place) = place {
                    table.remove(place, || poor(key));
                }
            }
            let mut all: Vec<u32> = table.indices().collect();
            all.sort_unstable();
            all.into_iter().eq(places.into_inner().into_keys())
        }
    }

    #[test]
    fn an_index_may_take_another_ones_place() {
        let mut table = Tags::new();
        table.grow(9, |_| {}, poor, |_, _| {});
        let place = table.insert(poor(3), 3);
        table.replace(place, 9);
        assert_eq!(table.find(poor(3), Some), Some(9));
    }
}
