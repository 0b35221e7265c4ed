// SPDX-License-Identifier: GPL-2.0-only
//! What is pending, and where it is filed: all that decides who fires when.
//!
//! The rule that matters: stale entries, stamps and blocks do not show, for nobody can see them.

use super::slots::{Chain, MAPS};
use super::{ArrayWheel, Owners};
use crate::revision::WheelKind;

impl ArrayWheel {
    /// The next jiffy to look at.
    pub(in crate::kernel) const fn clock(&self) -> u64 {
        self.clk.get()
    }

    /// Tells the keys of all that is pending: first, as place 0, what is due, in the order in which
    /// it fires; then slot by slot, counted from 1, in the order in which it was filed.
    pub(in crate::kernel) fn filed(&self, owners: impl Owners, mut each: impl FnMut(usize, u32)) {
        let pending = |key: u32, stamp: u32| owners.stamp(key).get() == stamp;
        for ready in self.ready[..self.left.get()].iter().rev() {
            let (key, stamp) = ready.get();
            if pending(key, stamp) {
                each(0, key);
            }
        }
        let slots = self.slots.borrow();
        let in_chain = |mut chain: Chain, keys: &mut Vec<u32>| {
            keys.clear();
            while !chain.is_empty() {
                let (block, count) = slots.shift(&mut chain);
                let entries = slots.block(block)[..count].iter();
                let entries = entries.filter(|entry| pending(entry.key, entry.stamp));
                keys.extend(entries.map(|entry| entry.key));
            }
        };
        let mut keys = Vec::new();
        for chain in self.due.borrow().iter().rev() {
            in_chain(*chain, &mut keys);
            match self.kind {
                WheelKind::Cascading => keys.iter().for_each(|&key| each(0, key)),
                WheelKind::Levelled => keys.iter().rev().for_each(|&key| each(0, key)),
            }
        }
        // Mostly few of hundreds hold anything: word by word, a fifth of a snapshot's number.
        for map in 0..MAPS {
            let mut filled = slots.filled(map);
            while filled != 0 {
                let slot = map * 64 + filled.trailing_zeros() as usize;
                filled &= filled - 1;
                in_chain(slots.chain(slot), &mut keys);
                keys.iter().for_each(|&key| each(slot + 1, key));
            }
        }
    }
}
