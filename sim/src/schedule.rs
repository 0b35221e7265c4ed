// SPDX-License-Identifier: GPL-2.0-only
//! Which softirq runs next, and which has to wait.
//!
//! *Softirq*: what the kernel does by itself after an interrupt. Three kinds concern an
//! expectation, and each may be late:
//!
//! ```text
//!   Timers        detaches the next timer that is due       pending ─▶ firing
//!   TimedOut      runs the callback of a detached one       firing  ─▶ unlinked, put
//!   RcuCallbacks  frees what no reader can see any more
//! ```
//!
//! The rule that matters: a schedule decides by what it is offered and by its own seed alone, so
//! the same seed is the same run, on every machine.

use std::collections::VecDeque;
use std::fmt;

use nfexp_model::kernel::timer::TimerKey;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Something the kernel would do by itself now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Softirq {
    /// Detaches the next due timer.
    Timers,
    /// Runs the callback of a timer that was detached.
    TimedOut(TimerKey),
    /// Runs the callbacks whose grace period is over.
    RcuCallbacks,
}

/// Decides which softirq runs next.
pub trait Schedule: fmt::Debug {
    /// The place of the one that runs; `None` lets all of them wait for the next step, or for
    /// the end of the span that is passing. Never asked about nothing.
    fn pick(&mut self, runnable: &[Softirq]) -> Option<usize>;
}

/// Everything at once, in the order the kernel has when nothing disturbs it: each callback right
/// after its timer, frees last.
#[derive(Clone, Copy, Debug, Default)]
pub struct InOrder;

impl Schedule for InOrder {
    fn pick(&mut self, _: &[Softirq]) -> Option<usize> {
        Some(0)
    }
}

/// By a seed: any of them, or none for now.
#[derive(Clone, Debug)]
pub struct Seeded(ChaCha8Rng);

impl Seeded {
    /// The schedule of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }
}

impl Schedule for Seeded {
    fn pick(&mut self, runnable: &[Softirq]) -> Option<usize> {
        // A remainder favours small numbers by one in a billion, which no schedule notices.
        let choice = self.0.next_u32() as usize % (runnable.len() + 1);
        Some(choice).filter(|choice| *choice < runnable.len())
    }
}

/// As it is told; then in order.
#[derive(Clone, Debug, Default)]
pub struct Scripted(VecDeque<Option<usize>>);

impl Scripted {
    /// These picks, one after another.
    pub fn new(picks: impl IntoIterator<Item = Option<usize>>) -> Self {
        Self(picks.into_iter().collect())
    }
}

impl Schedule for Scripted {
    fn pick(&mut self, runnable: &[Softirq]) -> Option<usize> {
        self.0.pop_front().unwrap_or(Some(0)).map(|pick| pick.min(runnable.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule_for_ever() {
        let offered = [Softirq::Timers, Softirq::RcuCallbacks];
        let picks = |seed| {
            let mut schedule = Seeded::new(seed);
            (0..8).map(|_| schedule.pick(&offered)).collect::<Vec<_>>()
        };
        let expected = [None, None, None, Some(0), Some(0), Some(1), Some(0), Some(0)];
        assert_eq!(picks(1), expected);
        assert_ne!(picks(1), picks(2));
    }
}
