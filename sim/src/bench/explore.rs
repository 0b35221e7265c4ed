// SPDX-License-Identifier: GPL-2.0-only
//! What an exploration of situations does most: copies an engine and gives its situation a number,
//! and asks whether that number was seen.
//!
//! A deed of the first kind is one copy with its number; all contenders must find the situation that
//! they found first. A deed of the second is one number, half of them new; a set begins empty and
//! grows as it will.
//!
//! No kernel does either. Where other rows have its layout, the first has the *history again*: an
//! engine made anew, in which everything is announced once more; the second a set of our own making,
//! which decided that hashbrown's is what explorations use. Beside the map and the heap stands what
//! one writes first: their clone, hashed by std; and std's own hash in that set.

use std::hash::BuildHasher;

use hashbrown::HashSet;
use nfexp_model::kernel::prefetch::prefetch;

use super::deed::{Contender, Deed, Kind};
use super::engine::EngineContender;

// ---- copies ----------------------------------------------------------------------------------

/// Copies of one situation.
#[derive(Debug)]
pub(super) struct Copies<S> {
    of: S,
    /// All that was announced to it.
    said: Vec<Deed>,
    copied: fn(&S, &[Deed]) -> S,
    number: fn(&S) -> u64,
    first: Option<(u64, u64)>,
}

impl<S> Copies<S> {
    /// Copies of `of`, by itself or from what was announced to it.
    pub(super) const fn new(of: S, copied: fn(&S, &[Deed]) -> S, number: fn(&S) -> u64) -> Self {
        Self { of, said: Vec::new(), copied, number, first: None }
    }
}

impl Copies<EngineContender> {
    /// The history once more, in an engine made anew.
    pub(super) const fn again(of: EngineContender) -> Self {
        let anew = |of: &EngineContender, said: &[Deed]| {
            let mut anew = of.anew();
            let _ = anew.run(said);
            anew
        };
        Self::new(of, anew, EngineContender::number)
    }
}

impl<S: Contender> Contender for Copies<S> {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let mut sum = 0;
        for deed in deeds {
            if deed.kind == Kind::Insert {
                let _ = self.of.run(&[*deed]);
                self.said.push(*deed);
                continue;
            }
            let copy = (self.copied)(&self.of, &self.said);
            let found = (copy.live(), (self.number)(&copy));
            assert_eq!(found, *self.first.get_or_insert(found), "another situation");
            sum += found.0;
        }
        sum
    }

    fn live(&self) -> u64 {
        self.first.map_or(0, |(live, _)| live)
    }
}

// ---- what was seen ---------------------------------------------------------------------------

/// The number that a deed is about.
#[inline(always)]
fn fingerprint(deed: &Deed) -> u64 {
    u64::from(deed.ends.0) << 32 | u64::from(deed.ends.1)
}

/// One after the other into a set; any other deed than an insertion begins anew.
#[derive(Debug, Default)]
pub(super) struct Seen<H>(HashSet<u64, H>);

impl<H: BuildHasher + Default> Contender for Seen<H> {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let mut new = 0;
        for deed in deeds {
            if deed.kind == Kind::Insert {
                new += u64::from(self.0.insert(fingerprint(deed)));
            } else {
                self.0 = HashSet::default();
            }
        }
        new
    }

    fn live(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Open addressing over the numbers themselves, 0 for an empty place (it counts as 1): a batch at a
/// time, the places of those behind are fetched meanwhile.
#[derive(Debug, Default)]
pub(super) struct Open {
    slots: Vec<u64>,
    count: usize,
}

/// So many at once.
const BATCH: usize = 256;
/// So many are looked ahead at.
const AHEAD: usize = 16;

impl Open {
    fn insert_all(&mut self, deeds: &[Deed]) -> u64 {
        let before = self.count;
        for (place, deed) in deeds.iter().enumerate() {
            if self.count * 3 >= self.slots.len() * 2 {
                self.grow();
            }
            if let Some(next) = deeds.get(place + AHEAD) {
                prefetch(&self.slots[self.home(fingerprint(next).max(1))]);
            }
            self.insert(fingerprint(deed).max(1));
        }
        (self.count - before) as u64
    }

    #[inline]
    fn home(&self, fingerprint: u64) -> usize {
        fingerprint as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn insert(&mut self, fingerprint: u64) {
        let mut place = self.home(fingerprint);
        while self.slots[place] != 0 {
            if self.slots[place] == fingerprint {
                return;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
        self.slots[place] = fingerprint;
        self.count += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![0; (self.slots.len() * 2).max(16)];
        let old = std::mem::replace(&mut self.slots, larger);
        self.count = 0;
        old.into_iter().filter(|number| *number != 0).for_each(|number| self.insert(number));
    }
}

impl Contender for Open {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let mut new = 0;
        for part in deeds.chunk_by(|_, deed| deed.kind == Kind::Insert) {
            let numbers = match part {
                [first, rest @ ..] if first.kind != Kind::Insert => {
                    *self = Self::default();
                    rest
                }
                all => all,
            };
            new += numbers.chunks(BATCH).map(|batch| self.insert_all(batch)).sum::<u64>();
        }
        new
    }

    fn live(&self) -> u64 {
        self.count as u64
    }
}
