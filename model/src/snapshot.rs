// SPDX-License-Identifier: GPL-2.0-only
//! A copy of an engine as it is at a moment, which then goes its own way.
//!
//! ```text
//!   history ─▶ engine ─┬─▶ goes on as if nothing had been
//!                      └─▶ snapshot: the same memory, its own; whoever holds a reference in the one
//!                          holds it in the other
//! ```
//!
//! Whoever explores takes one at each fork in the road instead of going the whole way again;
//! [`fingerprint`](crate::fingerprint) says whether two ways led to the same place.
//!
//! The rule that matters: a reference of the original is owed in the snapshot, too. Who goes on with
//! the snapshot holds it [`again`](crate::expectation::ExpectRef::again) there, and nowhere else.

use std::sync::Arc;

use crate::conn::ConnRef;
use crate::engine::{Engine, Firing, State};
use crate::expectation::ExpectRef;
use crate::kernel::flat::Flat;
use crate::kernel::platform::{Platform, SpinLock, Word};
use crate::kernel::rcu::UpRcu;
use crate::kernel::slab::LifoPool;
use crate::kernel::timer::ArrayTimers;

/// What [`Up`](crate::kernel::Up) stands on, in whatever world: what can be copied.
pub trait OneCpu:
    Platform<Rcu = UpRcu, Timers = ArrayTimers, Index = Flat<Self>, Pool = LifoPool>
{
}

impl<P> OneCpu for P where
    P: Platform<Rcu = UpRcu, Timers = ArrayTimers, Index = Flat<P>, Pool = LifoPool>
{
}

impl<P: OneCpu> Engine<P> {
    /// An independent copy: the same memory, slot by slot, the same timers, waiting callbacks,
    /// events, counters. `None` if another eviction than the kernel's sits in it, which only it
    /// itself could copy.
    ///
    /// # Panics
    /// If the lock is held.
    #[must_use]
    pub fn snapshot(&self) -> Option<Self> {
        let State { eviction: None, decides, insertions } = *self.lock.lock() else { return None };
        let word = |word: &P::Word| P::Word::new(word.load_locked());
        Some(Self {
            config: self.config.clone(),
            terms: self.terms.clone(),
            lock: P::SpinLock::new(State { eviction: None, decides, insertions }),
            nets: self.nets.iter().map(|net| net.copied(Flat::copied)).collect(),
            memory: Arc::new(self.memory.copied()),
            timers: self.timers.clone(),
            rcu: self.rcu.clone(),
            conns: P::SpinLock::new(self.conns.lock().clone()),
            expect_max: word(&self.expect_max),
            outbox: P::SpinLock::new(self.outbox.lock().clone()),
            gone_helpers: self.gone_helpers.iter().map(word).collect(),
            gone_functions: word(&self.gone_functions),
            fail_nth: word(&self.fail_nth),
        })
    }
}

impl ExpectRef {
    /// This reference, as whoever holds it in a [snapshot](Engine::snapshot) has it. In the engine
    /// that it was taken of nothing was counted for it: to put both there is one put too many.
    pub const fn again(&self) -> Self {
        Self(self.id())
    }
}

impl ConnRef {
    /// As [`ExpectRef::again`].
    pub const fn again(&self) -> Self {
        Self(self.id())
    }
}

impl Firing {
    /// As [`ExpectRef::again`].
    pub const fn again(&self) -> Self {
        Self(self.0)
    }
}
