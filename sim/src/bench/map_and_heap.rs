// SPDX-License-Identifier: GPL-2.0-only
//! What one writes first in Rust: a hash map by destination and a heap of deadlines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashMap;
use nfexp_model::kernel::hash::{jhash2, scale};
use nfexp_model::tuple::{Mask, Tuple};

use super::deed::{Deed, Deeds, Table, expired, listed};
use super::kernel_layout::with_slack;

/// A destination: no expectation of another one can matter.
type Place = ([u8; 16], u16, u8, u8);

#[derive(Clone, Debug)]
struct Entry {
    tuple: Tuple,
    mask: Mask,
    master: u32,
    class: u8,
    inactive: bool,
    /// The n-th insertion; a deadline of another one is stale.
    number: u64,
}

/// Map, heap, and a list per master.
#[derive(Clone, Debug)]
pub struct MapAndHeap {
    table: Table,
    map: HashMap<Place, Vec<u32>>,
    entries: Vec<Entry>,
    freed: Vec<u32>,
    masters: Vec<Vec<u32>>,
    deadlines: BinaryHeap<Reverse<(u64, u64, u32)>>,
    now: u64,
    insertions: u64,
    live: u64,
}

impl MapAndHeap {
    /// Masters that expect nothing yet.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self {
            table,
            map: HashMap::with_capacity(table.room as usize),
            entries: Vec::with_capacity(table.room as usize),
            freed: Vec::new(),
            masters: vec![Vec::new(); table.masters as usize],
            deadlines: BinaryHeap::with_capacity(table.room as usize),
            now: 0_u64.wrapping_sub(300),
            insertions: 0,
            live: 0,
        }
    }

    /// The number of the situation, by std's own hash: whom it expects, the older before the younger.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut all: Vec<&Entry> =
            self.map.values().flatten().map(|&index| &self.entries[index as usize]).collect();
        all.sort_unstable_by_key(|entry| entry.number);
        for Entry { tuple, mask, master, class, inactive, .. } in all {
            (tuple, mask, master, class, inactive).hash(&mut hasher);
        }
        let mut deadlines: Vec<u64> = self.deadlines.iter().map(|due| due.0.0).collect();
        deadlines.sort_unstable();
        (deadlines, self.now, self.live).hash(&mut hasher);
        hasher.finish()
    }

    fn place(tuple: &Tuple) -> Place {
        (tuple.dst.0, tuple.dport, tuple.l3.number(), tuple.proto.0)
    }

    fn find(&self, tuple: &Tuple, inactive_too: bool) -> Option<u32> {
        let group = self.map.get(&Self::place(tuple))?;
        group.iter().copied().rev().find(|&index| {
            let entry = &self.entries[index as usize];
            (inactive_too || !entry.inactive) && tuple.matches(&entry.tuple, &entry.mask)
        })
    }

    fn remove(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.number = u64::MAX;
        let (place, master) = (Self::place(&entry.tuple), entry.master as usize);
        let group = self.map.get_mut(&place).expect("it is linked");
        group.retain(|&other| other != index);
        if group.is_empty() {
            self.map.remove(&place);
        }
        self.masters[master].retain(|&other| other != index);
        self.freed.push(index);
        self.live -= 1;
    }
}

impl Deeds for MapAndHeap {
    fn insert(&mut self, deed: Deed) -> u64 {
        let (tuple, mask) = deed.expected();
        let place = Self::place(&tuple);
        let mut same = None;
        for &index in self.map.get(&place).into_iter().flatten().rev() {
            let entry = &self.entries[index as usize];
            let (owner, newcomer) = ((entry.master, entry.class), (deed.master, deed.class));
            if owner == newcomer && entry.tuple == tuple && entry.mask == mask {
                same = Some(index);
                break;
            }
            if tuple.matches(&entry.tuple, &mask.intersect(&entry.mask)) {
                return 16;
            }
        }
        if let Some(index) = same {
            self.remove(index);
        }
        let (list, max) = (&self.masters[deed.master as usize], self.table.max_expected as usize);
        if max != 0 && list.len() >= max {
            let is_kin = |index: &&u32| self.entries[**index as usize].class == deed.class;
            if list.iter().filter(is_kin).count() >= max {
                self.remove(*list.iter().find(is_kin).expect("there are many"));
            }
        }
        if self.live >= u64::from(self.table.room) {
            return 24;
        }
        let number = self.insertions;
        self.insertions += 1;
        let Deed { master, class, inactive, .. } = deed;
        let entry = Entry { tuple, mask, master, class, inactive, number };
        let index = match self.freed.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.map.entry(place).or_default().push(index);
        self.masters[deed.master as usize].push(index);
        let expires = self.now.wrapping_add(u64::from(self.table.lifetime));
        // A heap cannot order across the wrap: it counts from the start.
        let since = with_slack(expires, self.now).wrapping_add(300);
        self.deadlines.push(Reverse((since, number, index)));
        self.live += 1;
        0
    }

    fn match_one(&mut self, deed: Deed) -> u64 {
        let Some(index) = self.find(&deed.tuple(), false) else { return 0 };
        let master = self.entries[index as usize].master;
        self.remove(index);
        u64::from(master) + 1
    }

    fn lookup(&mut self, deed: Deed) -> u64 {
        let found = self.find(&deed.tuple(), true);
        found.map_or(0, |index| u64::from(self.entries[index as usize].master) + 1)
    }

    fn advance(&mut self, ticks: u32) -> u64 {
        self.now = self.now.wrapping_add(u64::from(ticks));
        let (mut sum, since) = (0_u64, self.now.wrapping_add(300));
        while let Some(&Reverse((expires, number, index))) = self.deadlines.peek() {
            if expires > since {
                break;
            }
            self.deadlines.pop();
            let entry = &self.entries[index as usize];
            if entry.number == number {
                sum = sum.wrapping_add(expired(entry.master, entry.tuple.dport));
                self.remove(index);
            }
        }
        sum
    }

    fn destroy(&mut self, master: u32) -> u64 {
        while let Some(&index) = self.masters[master as usize].last() {
            self.remove(index);
        }
        0
    }

    fn list(&mut self) -> u64 {
        let mut all: Vec<(u32, Reverse<u64>, u32)> = Vec::with_capacity(self.live as usize);
        for &index in self.map.values().flatten() {
            let Entry { tuple, number, .. } = &self.entries[index as usize];
            let kind = u32::from(tuple.proto.0 ^ tuple.l3.number()) << 16;
            let initial = (kind | u32::from(tuple.dport.swap_bytes())) ^ 0x5eed;
            let bucket = scale(jhash2(&tuple.dst.words(), initial), self.table.buckets);
            all.push((bucket, Reverse(*number), index));
        }
        all.sort_unstable();
        all.iter().zip(0..).fold(0, |sum: u64, (&(_, _, index), place)| {
            let entry = &self.entries[index as usize];
            sum.wrapping_add(listed(place, entry.master, entry.tuple.dport))
        })
    }

    fn live(&self) -> u64 {
        self.live
    }
}
