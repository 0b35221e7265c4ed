// SPDX-License-Identifier: GPL-2.0-only
//! The sweep: admit all, and if one too many is open, drop the one whose match is farthest away.
//!
//! Exact for unit worths and one limit: whoever keeps another of the open ones can exchange it
//! for the one dropped last without losing anything (Carlisle and Lloyd 1995).

use std::collections::{BTreeMap, BTreeSet};

use super::Interval;
use crate::research::workload::Micros;

/// One limit. Intervals are offered in the order of their begin.
#[derive(Clone, Debug)]
pub struct Sweep {
    limit: u32,
    open: BTreeSet<(Micros, u64)>,
    offered: u64,
    dropped: u64,
}

impl Sweep {
    /// With room for `limit` at once.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, open: BTreeSet::new(), offered: 0, dropped: 0 }
    }

    /// Offers [from, to); answers the end of the one that is dropped for good, if one is.
    pub fn offer(&mut self, from: Micros, to: Micros) -> Option<Micros> {
        self.close(from);
        self.offered += 1;
        if to <= from {
            // Matched at once: it needs no slot that anybody could miss.
            return None;
        }
        self.open.insert((to, self.offered));
        if self.open.len() as u64 <= u64::from(self.limit) {
            return None;
        }
        self.dropped += 1;
        self.open.pop_last().map(|(to, _)| to)
    }

    fn close(&mut self, now: Micros) {
        while self.open.first().is_some_and(|(to, _)| *to <= now) {
            self.open.pop_first();
        }
    }

    /// Whether anything offered is still open then.
    #[must_use]
    pub fn is_open_at(&self, now: Micros) -> bool {
        self.open.last().is_some_and(|(to, _)| *to > now)
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A limit for each group within a limit for all: feasible, and near the best.
#[derive(Clone, Debug)]
pub struct Nested {
    limit: u32,
    open: BTreeMap<(Micros, u64), u64>,
    groups: BTreeMap<u64, BTreeSet<(Micros, u64)>>,
    offered: u64,
}

impl Nested {
    /// With room for `limit` of all groups.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, open: BTreeMap::new(), groups: BTreeMap::new(), offered: 0 }
    }

    /// Offers an interval to its group, which has room for `group_limit`; answers which ones are
    /// dropped, by how many had been offered before.
    pub fn offer(&mut self, interval: &Interval, group_limit: u32) -> [Option<usize>; 2] {
        while let Some((&key, &group)) = self.open.first_key_value() {
            if key.0 > interval.from {
                break;
            }
            self.open.pop_first();
            self.leave(group, key);
        }
        self.offered += 1;
        if interval.to <= interval.from {
            return [None, None];
        }
        let key = (interval.to, self.offered);
        let group = self.groups.entry(interval.group).or_default();
        group.insert(key);
        self.open.insert(key, interval.group);
        let mut dropped = [None, None];
        let over = group.len() as u64 > u64::from(group_limit);
        if let Some(latest) = over.then(|| group.pop_last()).flatten() {
            self.open.remove(&latest);
            dropped[0] = Some(latest.1 as usize - 1);
        }
        let over = self.open.len() as u64 > u64::from(self.limit);
        if let Some((latest, group)) = over.then(|| self.open.pop_last()).flatten() {
            self.leave(group, latest);
            dropped[1] = Some(latest.1 as usize - 1);
        }
        dropped
    }

    fn leave(&mut self, group: u64, key: (Micros, u64)) {
        if let Some(members) = self.groups.get_mut(&group) {
            members.remove(&key);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}
