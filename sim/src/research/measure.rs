// SPDX-License-Identifier: GPL-2.0-only
//! What is measured of a run, beside its ledger.
//!
//! Time is cut into equal *bins*, so that the warm-up can be cut off afterwards. *Stale* slots
//! hold what will never be matched; *exposure* is how long holes stood open.

use std::ops::Range;

use super::cast::Cast;
use super::ledger::Ending;
use super::setup::Setup;
use super::workload::{Micros, NEVER, Who};
use super::world::Live;

/// What is recorded beside the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// How many lifelines, of those born from the middle of the run on.
    pub lifelines: u32,
    /// Whether walks under the lock are counted; slow.
    pub walks: bool,
}

/// A slice of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Useful arrivals of kinds that are not hostile.
    pub useful: u32,
    /// Those that found their expectation.
    pub hits: u32,
    /// Slot-microseconds in use.
    pub slots: u64,
    /// Of these, by expectations that are never matched.
    pub stale: u64,
    /// How long the table was full, in microseconds, all namespaces' together.
    pub full: u64,
    /// How many were evicted.
    pub evicted: u32,
    /// How many were refused.
    pub refused: u32,
}

/// The life of one expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifeline {
    /// Which kind.
    pub kind: u16,
    /// When it was announced.
    pub born: Micros,
    /// When it ended.
    pub ended: Micros,
    /// How.
    pub ending: Ending,
    /// When its connection comes, if ever.
    pub arrives: Micros,
}

/// Useful arrivals and hits of one owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Useful arrivals.
    pub useful: u32,
    /// Those that hit.
    pub hits: u32,
}

/// Who asked for a slot. A number, because nobody can foresee who asks: what is counted by number
/// costs no wrong guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat(u8);

impl Seat {
    /// There were free ones, or nothing useful was asked for.
    pub(super) const FREE: Self = Self(0);

    /// `asks`: something useful, of a full table; `holds`: by a master who held something.
    #[inline(always)]
    pub(super) fn of(asks: bool, holds: bool) -> Self {
        Self(u8::from(asks) << u8::from(holds))
    }
}

/// All that is measured.
#[derive(Clone, Debug)]
pub struct Measure {
    /// How long a bin lasts.
    pub width: Micros,
    /// The bins.
    pub bins: Vec<Bin>,
    /// By bin, then by kind.
    pub kinds: Vec<Owned>,
    /// By kind, by member of its pool.
    pub masters: Vec<Vec<Owned>>,
    /// By kind, by source, the first thousand.
    pub sources: Vec<Vec<Owned>>,
    /// By namespace.
    pub nets: Vec<Owned>,
    /// By kind: slot-microseconds that holes stood open.
    pub exposure: Vec<u64>,
    /// By kind: the same of those open to anybody.
    pub wide: Vec<u64>,
    /// How long the table held so many, in microseconds.
    pub held: Vec<u64>,
    /// Some lives.
    pub lifelines: Vec<Lifeline>,
    /// Useful announcements made while the table was full, by [`Seat`], and those that were lost.
    asked: [u32; 3],
    lost: [u32; 3],
    /// By kind: when one was announced last.
    last_announced: Vec<Option<Micros>>,
    hostile: Vec<bool>,
    is_wide: Vec<bool>,
    limit: u32,
    /// How many are linked in each namespace, and how many of these are full.
    in_net: Vec<u32>,
    full_now: u32,
    stale_now: u32,
    last: Micros,
    /// The bin of `last`, and where it begins and ends.
    here: usize,
    span: Range<Micros>,
    wanted: u32,
    horizon: Micros,
}

/// Into how many bins a run is cut.
pub const BINS: usize = 250;

const SOURCES: usize = 1000;

impl Measure {
    pub(super) fn new(cast: &Cast, setup: &Setup) -> Self {
        let kinds = cast.kinds.len();
        Self {
            width: (setup.horizon / BINS as u64).max(1),
            bins: vec![Bin::default(); BINS],
            kinds: vec![Owned::default(); BINS * kinds],
            masters: vec![Vec::new(); kinds],
            sources: vec![Vec::new(); kinds],
            nets: vec![Owned::default(); usize::from(cast.namespaces)],
            exposure: vec![0; kinds],
            wide: vec![0; kinds],
            held: Vec::new(),
            lifelines: Vec::new(),
            asked: [0; 3],
            lost: [0; 3],
            last_announced: vec![None; kinds],
            hostile: cast.kinds.iter().map(|kind| kind.hostile).collect(),
            is_wide: cast.kinds.iter().map(|kind| kind.wide).collect(),
            limit: setup.expect_max,
            in_net: vec![0; usize::from(cast.namespaces)],
            full_now: 0,
            stale_now: 0,
            last: 0,
            here: 0,
            span: 0..(setup.horizon / BINS as u64).max(1),
            wanted: setup.recording.lifelines,
            horizon: setup.horizon,
        }
    }

    /// The last bin has no end.
    #[inline]
    fn bin(&self, at: Micros) -> usize {
        if self.span.contains(&at) {
            return self.here;
        }
        ((at / self.width) as usize).min(BINS - 1)
    }

    /// It is `at`, in this bin.
    #[inline(never)]
    fn enter(&mut self, at: Micros) {
        self.here = self.bin(at);
        let start = self.here as u64 * self.width;
        self.span = start..if self.here + 1 == BINS { Micros::MAX } else { start + self.width };
    }

    /// Time has passed until `at`, with so many linked.
    #[inline]
    pub(super) fn clock(&mut self, at: Micros, linked: u32) {
        if at <= self.last {
            return;
        }
        if at >= self.span.end || linked as usize >= self.held.len() {
            self.clock_further(at, linked);
            return;
        }
        self.pass(at, linked);
    }

    /// The same over the end of a bin, or with more linked than ever before.
    #[cold]
    #[inline(never)]
    fn clock_further(&mut self, at: Micros, linked: u32) {
        let most = self.held.len().max(linked as usize + 1);
        self.held.resize(most, 0);
        while self.last < at {
            let end = at.min(self.span.end);
            self.pass(end, linked);
            if end == self.span.end {
                self.enter(end);
            }
        }
    }

    /// The same within a bin, of a number that was there before.
    #[inline(always)]
    fn pass(&mut self, until: Micros, linked: u32) {
        let passed = until - self.last;
        self.last = until;
        self.held[linked as usize] += passed;
        let slice = &mut self.bins[self.here];
        slice.slots += passed * u64::from(linked);
        slice.stale += passed * u64::from(self.stale_now);
        slice.full += passed * u64::from(self.full_now);
    }

    /// One of this kind was announced.
    #[inline]
    pub(super) fn announced(&mut self, at: Micros, kind: u16) {
        self.last_announced[usize::from(kind)] = Some(at);
    }

    /// An announcement; it counts as found until it is lost.
    #[inline]
    pub(super) fn seeks(&mut self, seat: Seat) {
        self.asked[usize::from(seat.0)] += 1;
    }

    /// It was lost.
    #[inline]
    pub(super) fn loses(&mut self, seat: Seat) {
        self.lost[usize::from(seat.0)] += 1;
    }

    /// Useful announcements made while the table was full, and those that were found: by masters
    /// who held nothing, and by those who held something.
    #[must_use]
    pub fn seats(&self) -> [Owned; 2] {
        let of = |seat: usize| {
            let (useful, lost) = (self.asked[seat], self.lost[seat]);
            Owned { useful, hits: useful - lost }
        };
        [of(1), of(2)]
    }

    /// When an attacker announced last.
    #[must_use]
    pub fn last_hostile(&self) -> Option<Micros> {
        let announced = self.last_announced.iter().zip(&self.hostile);
        announced.filter(|(_, hostile)| **hostile).filter_map(|(last, _)| *last).max()
    }

    /// How long after an attacker's last announcement less than 95 of 100 were still found, as
    /// finely as a bin; nothing if the attack lasts nearly to the end, or its harm to the very end.
    #[must_use]
    pub fn recovery(&self) -> Option<f64> {
        let stopped = self.last_hostile().filter(|at| *at < self.horizon - self.horizon / 20)?;
        let poor = |bin: &Bin| f64::from(bin.hits) < 0.95 * f64::from(bin.useful);
        let first = self.bin(stopped) + 1;
        let last = (first..BINS).rev().find(|at| poor(&self.bins[*at]));
        if last == Some(BINS - 1) {
            return None;
        }
        let until = last.map_or(stopped, |at| (at as u64 + 1) * self.width);
        Some((until - stopped) as f64 / 1e6)
    }

    #[inline]
    pub(super) fn inserted(&mut self, at: Micros, net: u16, useful: bool) -> bool {
        self.stale_now += u32::from(!useful);
        let linked = &mut self.in_net[usize::from(net)];
        *linked += 1;
        self.full_now += u32::from(*linked == self.limit);
        // The first ones born in the second half, whenever they end.
        let told = self.wanted > 0 && at >= self.horizon / 2;
        self.wanted -= u32::from(told);
        told
    }

    #[inline]
    pub(super) fn refused(&mut self, at: Micros) {
        let bin = self.bin(at);
        self.bins[bin].refused += 1;
    }

    #[inline]
    pub(super) fn ended(&mut self, at: Micros, net: u16, live: &Live, ending: Ending) {
        self.stale_now -= u32::from(live.arrives == NEVER);
        let linked = &mut self.in_net[usize::from(net)];
        self.full_now -= u32::from(*linked == self.limit);
        *linked -= 1;
        let kind = usize::from(live.kind);
        let open = at.saturating_sub(live.born);
        self.exposure[kind] += open;
        self.wide[kind] += if self.is_wide[kind] { open } else { 0 };
        if ending.is_eviction() {
            let bin = self.bin(at);
            self.bins[bin].evicted += 1;
        }
        if live.told {
            self.lifelines.push(Lifeline {
                kind: live.kind,
                born: live.born,
                ended: at,
                ending,
                arrives: live.arrives,
            });
        }
    }

    /// A useful arrival of this kind. What it counts for beside kind and bin is entered later:
    /// [`belongs`](Self::belongs), [`sum_up`](Self::sum_up).
    #[inline(always)]
    pub(super) fn useful(&mut self, at: Micros, kind: u16, hit: bool) {
        let of_bin = self.bin(at) * self.hostile.len();
        self.kinds[of_bin + usize::from(kind)].count(hit);
    }

    /// What the useful arrivals of one kind at a master came to: they are those of its namespace,
    /// its pool's member and its source, too.
    pub(super) fn belongs(&mut self, kind: u16, who: &Who, found: Owned) {
        let kind = usize::from(kind);
        if found.useful == 0 || self.hostile[kind] {
            return;
        }
        self.nets[usize::from(who.net)].add(found);
        if who.member != u32::MAX {
            grown(&mut self.masters[kind], who.member as usize).add(found);
        }
        if (who.source as usize) < SOURCES {
            grown(&mut self.sources[kind], who.source as usize).add(found);
        }
    }

    /// The run is over: what was counted by kind is summed up by bin; answers the sums by kind.
    pub(super) fn sum_up(&mut self) -> Vec<(u64, u64)> {
        let mut sums = vec![(0, 0); self.hostile.len()];
        for (bin, kinds) in self.bins.iter_mut().zip(self.kinds.chunks_exact(sums.len().max(1))) {
            for ((owned, hostile), sum) in kinds.iter().zip(&self.hostile).zip(&mut sums) {
                *sum = (sum.0 + u64::from(owned.useful), sum.1 + u64::from(owned.hits));
                if !hostile {
                    bin.useful += owned.useful;
                    bin.hits += owned.hits;
                }
            }
        }
        sums
    }
}

impl Owned {
    #[inline(always)]
    pub(super) fn count(&mut self, hit: bool) {
        self.add(Self { useful: 1, hits: u32::from(hit) });
    }

    #[inline(always)]
    fn add(&mut self, more: Self) {
        self.useful += more.useful;
        self.hits += more.hits;
    }
}

fn grown(owned: &mut Vec<Owned>, at: usize) -> &mut Owned {
    if at >= owned.len() {
        owned.resize(at + 1, Owned::default());
    }
    &mut owned[at]
}
