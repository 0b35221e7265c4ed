// SPDX-License-Identifier: GPL-2.0-only
//! The memory all parts of the engine share: both object caches.

use core::fmt;
use std::sync::OnceLock;

use crate::conn::Conn;
use crate::expectation::{Expectation, Nat};
use crate::kernel::platform::{Plain, Platform};
use crate::kernel::rcu::Callback;
use crate::kernel::slab::{Slab, copied_steps};
use crate::kernel::timer::{ArrayTimers, TimerBase, TimerKey};

/// The object caches.
pub struct Memory<P: Platform> {
    /// `nf_conntrack_expect`: freed after a grace period.
    pub expectations: Slab<P, Expectation<P>>,
    /// `nf_conntrack`: type-safe by RCU.
    pub conns: Slab<P, Conn<P>>,
    /// The translation of each expectation.
    pub(crate) nat: Translations<P>,
}

/// What the base of the timers keeps in an owner.
type TimerOf<'a, P> = (
    &'a <<P as Platform>::Timers as TimerBase<P>>::Node,
    &'a <<P as Platform>::Timers as TimerBase<P>>::Expires,
);

/// The translations of all expectations: rare, so not in their two cache lines, and there is
/// memory only for those around one that has any.
pub(crate) struct Translations<P: Platform> {
    steps: Box<[OnceLock<Step<P>>]>,
    step: usize,
}

type Step<P> = Box<[<P as Platform>::Plain<Nat>]>;

impl<P: Platform> Translations<P> {
    fn new(expectations: u32) -> Self {
        let slots = expectations as usize + 1;
        let step = slots.min(1024);
        let steps = (0..slots.div_ceil(step)).map(|_| OnceLock::new()).collect();
        let all = Self { steps, step };
        if P::SLAB_POISON {
            // Every free writes one, and a platform that watches memory must have seen it made
            // before.
            for step in &all.steps {
                step.get_or_init(|| all.blank());
            }
        }
        all
    }

    fn copied(&self) -> Self {
        let steps = copied_steps(&self.steps, |nat| P::Plain::new(nat.get()));
        Self { steps, step: self.step }
    }

    fn blank(&self) -> Step<P> {
        (0..self.step).map(|_| P::Plain::new(Nat::default())).collect()
    }

    pub(crate) fn set(&self, index: u32, nat: Nat) {
        let (step, place) = (index as usize / self.step, index as usize % self.step);
        self.steps[step].get_or_init(|| self.blank())[place].set(nat);
    }

    pub(crate) fn get(&self, index: u32) -> Nat {
        let (step, place) = (index as usize / self.step, index as usize % self.step);
        self.steps[step].get().map_or_else(Nat::default, |step| step[place].get())
    }

    pub(crate) fn bytes(&self) -> usize {
        let steps = self.steps.iter().filter(|step| step.get().is_some());
        steps.count() * self.step * size_of::<P::Plain<Nat>>()
    }
}

impl<P: Platform> Memory<P> {
    pub(crate) fn new(expectations: u32, conns: u32, conns_ready: u32) -> Self {
        Self {
            expectations: Slab::with_capacity(expectations),
            conns: Slab::growing(conns_ready, conns),
            nat: Translations::new(expectations),
        }
    }

    /// Where a timer lives.
    #[inline]
    pub fn timer(&self, key: TimerKey) -> &<P::Timers as TimerBase<P>>::Node {
        if key.is_conn() {
            &self.conns.at(key.index()).timer
        } else {
            &self.expectations.at(key.index()).timer
        }
    }

    /// Where a timer keeps when it expires, if not there.
    #[inline]
    pub(crate) fn expires(&self, key: TimerKey) -> &<P::Timers as TimerBase<P>>::Expires {
        if key.is_conn() {
            &self.conns.at(key.index()).expires
        } else {
            &self.expectations.at(key.index()).expires
        }
    }

    /// Both.
    #[inline]
    pub(crate) fn timer_and_expires(&self, key: TimerKey) -> TimerOf<'_, P> {
        if key.is_conn() {
            let conn = self.conns.at(key.index());
            (&conn.timer, &conn.expires)
        } else {
            let exp = self.expectations.at(key.index());
            (&exp.timer, &exp.expires)
        }
    }

    /// What `call_rcu()` asked for, now that the readers are gone.
    #[doc(alias = "nf_ct_expect_free_rcu")]
    #[inline(always)]
    pub fn run(&self, callback: Callback) {
        match callback {
            Callback::FreeExpectation(index) => {
                if P::SLAB_POISON {
                    self.nat.set(index, Nat::default());
                }
                self.expectations.free(index);
            }
        }
    }

    /// The same for many, oldest first.
    #[inline]
    pub(crate) fn run_all(&self, callbacks: &[Callback]) {
        if P::SLAB_POISON {
            callbacks.iter().for_each(|&callback| self.run(callback));
            return;
        }
        let indices = callbacks.iter().map(|&Callback::FreeExpectation(index)| index);
        self.expectations.free_all(indices);
    }
}

impl<P: Platform<Timers = ArrayTimers>> Memory<P>
where
    P::Pool: Clone,
{
    /// The same memory once more, for a snapshot.
    pub(crate) fn copied(&self) -> Self {
        Self {
            expectations: self.expectations.copied(Expectation::copied),
            conns: self.conns.copied(Conn::copied),
            nat: self.nat.copied(),
        }
    }
}

impl<P: Platform> fmt::Debug for Memory<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("expectations", &self.expectations).finish_non_exhaustive()
    }
}
