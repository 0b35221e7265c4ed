// SPDX-License-Identifier: GPL-2.0-only
//! Timers alone, in the *hold model*: so many are pending, and each that fires is armed anew.
//!
//! A deed is one jiffy. Whoever fires is armed for a jiffy that follows from who and when, so all
//! contenders have the same pending; the sum does not ask for the order within a jiffy, which a
//! heap does not keep.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use nfexp_model::engine::{Config, Engine};
use nfexp_model::kernel::timer::{ArrayTimers, TimerBase, TimerKey};
use nfexp_model::kernel::{Jiffies, Up};
use nfexp_model::revision::WheelKind;

use super::deed::{Contender, Deed, Kind};
use super::kernel_layout::{START, with_slack};

/// Timers by number.
pub(super) trait Timers {
    /// One will fire.
    fn add(&mut self, key: u32, expires: u64, now: u64);
    /// The next that is due, no longer pending.
    fn expire(&mut self, now: u64) -> Option<u32>;
}

/// So many fire in a jiffy, about.
const PER_JIFFY: u32 = 32;

/// The longest delay for so many timers, in jiffies.
pub(super) const fn longest(timers: u32) -> u32 {
    2 * timers / PER_JIFFY
}

/// After how many jiffies a timer that was armed at `now` is due.
#[inline(always)]
pub(super) fn delay(key: u32, now: u64, longest: u32) -> u64 {
    let seed = (u64::from(key) << 32 ^ now).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let random = (seed ^ seed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
    1 + ((random * u64::from(longest)) >> 32)
}

/// Timers that hold.
#[derive(Debug)]
pub(super) struct Hold<T> {
    timers: T,
    longest: u32,
    now: u64,
    pending: u64,
}

impl<T: Timers> Hold<T> {
    /// None pending yet, of so many.
    pub(super) fn new(timers: T, size: u32) -> Self {
        Self { timers, longest: longest(size), now: START, pending: 0 }
    }

    #[inline(always)]
    fn arm(&mut self, key: u32) {
        let expires = self.now.wrapping_add(delay(key, self.now, self.longest));
        self.timers.add(key, expires, self.now);
        self.pending += 1;
    }
}

impl<T: Timers> Contender for Hold<T> {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let mut sum = 0_u64;
        for deed in deeds {
            if deed.kind == Kind::Insert {
                self.arm(deed.master);
                continue;
            }
            self.now = self.now.wrapping_add(u64::from(deed.ticks));
            while let Some(key) = self.timers.expire(self.now) {
                self.pending -= 1;
                sum = sum.wrapping_add((u64::from(key) << 32 ^ self.now).wrapping_mul(0x9e37_79b9));
                self.arm(key);
            }
        }
        sum
    }

    fn live(&self) -> u64 {
        self.pending
    }
}

/// The engine's store, its timers in the records of expectations as ever.
pub(super) struct Arrays {
    engine: Engine<Up>,
    timers: ArrayTimers,
}

impl Arrays {
    /// Records for so many.
    pub(super) fn new(size: u32) -> Self {
        let config = Config { hz: 1, expectations: size, conns: 1, cpus: 1, ..Config::SMALL };
        let engine = Engine::<Up>::new(config).expect("nothing makes an allocation fail");
        for key in 0..size {
            let record = engine.memory().expectations.alloc().expect("room for all");
            assert_eq!(record.index, key + 1, "slots in order");
        }
        let (start, wheel) = (Jiffies(START), WheelKind::Cascading);
        let timers = <ArrayTimers as TimerBase<Up>>::new(wheel, start, 1, size, 1);
        Self { engine, timers }
    }
}

impl Timers for Arrays {
    #[inline(always)]
    fn add(&mut self, key: u32, expires: u64, now: u64) {
        let (memory, key) = (self.engine.memory(), TimerKey::expectation(key + 1));
        self.timers.add_at(memory, key, Jiffies(expires), Jiffies(now));
    }

    #[inline]
    fn expire(&mut self, now: u64) -> Option<u32> {
        let due = self.timers.expire(self.engine.memory(), Jiffies(now), |_, _| ());
        due.map(|key| key.index() - 1)
    }
}

/// A heap of deadlines.
#[derive(Debug, Default)]
pub(super) struct Heap(BinaryHeap<Reverse<(u64, u32)>>);

impl Timers for Heap {
    #[inline]
    fn add(&mut self, key: u32, expires: u64, now: u64) {
        // A heap cannot order across the wrap: it counts from the start.
        let since = with_slack(expires, now).wrapping_sub(START);
        self.0.push(Reverse((since, key)));
    }

    #[inline]
    fn expire(&mut self, now: u64) -> Option<u32> {
        let due = self.0.peek().is_some_and(|Reverse((at, _))| *at <= now.wrapping_sub(START));
        if due { self.0.pop().map(|Reverse((_, key))| key) } else { None }
    }
}
