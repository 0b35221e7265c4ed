// SPDX-License-Identifier: GPL-2.0-only
//! Which situations were seen already, by their fingerprints.
//!
//! ```text
//!   fingerprint ─▶ home ─▶ [ 0 │ f │ f │ f │ 0 … ]     open addressing, one line mostly
//! ```
//!
//! A fingerprint is as good as random, so it is its own hash, and 0 marks an empty place (it counts
//! as 1).
//!
//! The rule that matters: a set of numbers forgets what they stand for. Two situations with one
//! number are one to it; how rarely that happens stands in [`nfexp_model::fingerprint`].
//!
//! Why not hashbrown's set with such a hash: it keeps a byte of each beside, in another line; with
//! half of what comes new, it takes longer by the factor that `nfexp bench visited` shows.

use nfexp_model::kernel::prefetch::prefetch;

/// A set of fingerprints.
#[derive(Clone, Debug)]
pub struct Visited {
    slots: Vec<u64>,
    count: usize,
}

/// So many are looked ahead at.
const AHEAD: usize = 16;

impl Default for Visited {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl Visited {
    /// An empty set that has room for so many before it grows.
    #[must_use]
    pub fn with_room(count: usize) -> Self {
        Self { slots: vec![0; (count * 3).div_ceil(2).next_power_of_two().max(16)], count: 0 }
    }

    /// Adds one; whether it is new.
    #[inline]
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        if self.count * 3 >= self.slots.len() * 2 {
            self.grow();
        }
        self.put(fingerprint.max(1))
    }

    /// Adds all, in this order; tells which of them are new. The memory of those behind is fetched
    /// meanwhile.
    pub fn insert_all(&mut self, fingerprints: &[u64], mut is_new: impl FnMut(usize)) {
        for (place, &fingerprint) in fingerprints.iter().enumerate() {
            if let Some(&next) = fingerprints.get(place + AHEAD) {
                prefetch(&self.slots[self.home(next.max(1))]);
            }
            if self.insert(fingerprint) {
                is_new(place);
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    fn home(&self, fingerprint: u64) -> usize {
        // The lower bits: whoever sorts or splits by the upper ones does not crowd them.
        fingerprint as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn put(&mut self, fingerprint: u64) -> bool {
        let mut place = self.home(fingerprint);
        loop {
            match self.slots[place] {
                0 => break,
                there if there == fingerprint => return false,
                _ => place = (place + 1) & (self.slots.len() - 1),
            }
        }
        self.slots[place] = fingerprint;
        self.count += 1;
        true
    }

    #[cold]
    fn grow(&mut self) {
        let twice = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, twice);
        self.count = 0;
        for fingerprint in old.into_iter().filter(|fingerprint| *fingerprint != 0) {
            self.put(fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Few numbers, and crowded ones: homes collide, what is there comes again, the set grows.
    #[test]
    fn it_is_a_set() {
        let (mut visited, mut naive) = (Visited::default(), BTreeSet::new());
        let mut number = 1_u64;
        for batch in 0..200 {
            let fingerprints: Vec<u64> = (0..batch)
                .map(|_| {
                    number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    ((number >> 40) % 3_000) << [0, 20][(number >> 63) as usize]
                })
                .collect();
            let mut new = Vec::new();
            visited.insert_all(&fingerprints, |place| new.push(place));
            let expected =
                (0..fingerprints.len()).filter(|&at| naive.insert(fingerprints[at].max(1)));
            assert_eq!(new, expected.collect::<Vec<_>>());
            assert_eq!(visited.len(), naive.len());
        }
        assert!(naive.len() > 2_000 && !visited.is_empty());
        assert!(naive.iter().all(|fingerprint| !visited.insert(*fingerprint)));
        assert!(visited.insert(u64::MAX));
    }
}
