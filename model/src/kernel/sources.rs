// SPDX-License-Identifier: GPL-2.0-only
//! Many expectations of one destination, by their sources.
//!
//! *Wide*: a destination that more than [`WIDE`] expectations share (one server, many clients).
//! *Kind*: what of the source a mask names: nothing, the address, the port, both; or anything
//! else, for which there is no index.
//!
//! ```text
//!   hash(destination, kind, what the mask leaves of the source) ─▶ tags ─▶ expectation
//!   a lookup asks once per kind that there is
//! ```
//!
//! The rule that matters: it only says where a walk may begin: at the newest that is hit, or
//! nowhere. Two that one packet hits (one of them firing, or in another zone) are both here, and
//! from the newer the walk goes on as ever.
//!
//! Why: without it a lookup walks the destination, 2700 instructions with 256 there; the kernel's
//! chain takes 1200 (`nfexp bench group`).

use core::cell::Cell;

use super::platform::{Plain, Platform};
use super::slab::{NULL, Record, Slab};
use super::tags::Tags;
use crate::expectation::Expectation;
use crate::netns::NetId;
use crate::tuple::{Mask, Tuple};

/// So many of one destination are walked.
pub(super) const WIDE: usize = 16;
/// Kinds with an index; masks of any other count as the one behind.
const KINDS: usize = 4;

/// The expectations of all wide destinations.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    tags: Tags,
    /// How many of each kind, and of others.
    counts: [u32; KINDS + 1],
}

/// The kind of a mask, and which bits it names.
fn kind_of(tuple: &Tuple, mask: &Mask) -> usize {
    let (address, port) = (mask.src.bits() != 0, mask.sport != 0);
    if *mask == Mask::exact(tuple.l3, address, port) {
        usize::from(address) | usize::from(port) << 1
    } else {
        KINDS
    }
}

/// The hash of what a mask of this kind leaves of the source, at this destination.
fn hash(destination: u64, kind: usize, tuple: &Tuple) -> u64 {
    let [low, high] = if kind & 1 == 0 { [0; 2] } else { tuple.src.halves() };
    let port = if kind & 2 == 0 { 0 } else { u64::from(tuple.sport) };
    let rest = port << 8 | kind as u64;
    super::flat::fold(
        super::flat::fold(destination ^ low, high ^ 0xe703_7ed1_a0b4_28db) ^ rest,
        0x8ebc_6af0_9c88_c6e3,
    )
}

impl Sources {
    pub(super) fn new() -> Self {
        Self { tags: Tags::new(), counts: [0; KINDS + 1] }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.counts == [0; KINDS + 1]
    }

    /// Adds one of a wide destination.
    pub(super) fn add<P: Platform>(&mut self, slab: &Slab<P, Expectation<P>>, index: u32) {
        let (kind, hash) = place_of(slab.at(index));
        self.counts[kind] += 1;
        if kind == KINDS {
            return;
        }
        if self.tags.is_full() {
            let hash_of = |index| place_of(slab.at(index)).1;
            self.tags.grow(slab.capacity(), |index| slab.at(index).prefetch(), hash_of, |_, _| {});
        }
        self.tags.insert(hash, index);
    }

    /// Forgets one, if it is here.
    pub(super) fn remove<P: Platform>(
        &mut self,
        exp: &Expectation<P>,
        index: u32,
        is_wide: impl FnOnce() -> bool,
    ) {
        let (kind, hash) = place_of(exp);
        if kind == KINDS {
            self.counts[kind] -= u32::from(is_wide());
            return;
        }
        if let Some(place) = self.tags.place_of(hash, index) {
            self.tags.remove(place, || hash);
            self.counts[kind] -= 1;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(super) fn bytes(&self) -> usize {
        if self.is_empty() { 0 } else { self.tags.bytes() }
    }

    /// Where a walk for who is hit by `tuple` may begin; `first` is the newest of all.
    pub(super) fn first_hit<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        first: u32,
    ) -> u32 {
        if self.counts[KINDS] != 0 {
            return first;
        }
        let kinds = (0..KINDS).filter(|kind| self.counts[*kind] != 0);
        self.newest(slab, net, tuple, kinds)
    }

    /// Where a walk for whom a newcomer equals or clashes with may begin.
    pub(super) fn first_rival<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        net: NetId,
        newcomer: &Expectation<P>,
        first: u32,
    ) -> u32 {
        let tuple = newcomer.tuple();
        let own = kind_of(&tuple, &newcomer.mask());
        // What a linked mask names and the newcomer's does not, no hash can leave out.
        let wider = (0..KINDS).any(|kind| kind & !own != 0 && self.counts[kind] != 0);
        if own == KINDS || wider || self.counts[KINDS] != 0 {
            return first;
        }
        let kinds = (0..KINDS).filter(|kind| self.counts[*kind] != 0);
        self.newest(slab, net, &tuple, kinds)
    }

    /// The newest of this destination that agrees with `tuple` under its own mask.
    fn newest<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        kinds: impl Iterator<Item = usize>,
    ) -> u32 {
        let destination = super::flat::hash(net, tuple);
        let newest = Cell::new((NULL, 0));
        for kind in kinds {
            self.tags.find(hash(destination, kind, tuple), |index| -> Option<()> {
                let exp = slab.at(index);
                if exp.is_hit_by(tuple) && exp.net() == net {
                    let (best, age) = newest.get();
                    if best == NULL || exp.age.get() > age {
                        newest.set((index, exp.age.get()));
                    }
                }
                None
            });
        }
        newest.get().0
    }
}

/// The kind of an expectation, and its hash.
fn place_of<P: Platform>(exp: &Expectation<P>) -> (usize, u64) {
    let tuple = exp.tuple();
    let kind = kind_of(&tuple, &exp.mask());
    (kind, hash(super::flat::hash(exp.net(), &tuple), kind, &tuple))
}
