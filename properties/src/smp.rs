// SPDX-License-Identifier: GPL-2.0-only
//! The platform of several CPUs: every primitive is loom's.
//!
//! In the world [`Broken`](crate::world::Broken) one verb is wrong, or one step of the engine.
//!
//! The rule that matters: whatever the engine may touch from two CPUs is a loom object, so
//! that loom either orders the touches or reports a race.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicU32, fence};
use nfexp_model::kernel::hlist::Chain;
use nfexp_model::kernel::platform::Ordering;
use nfexp_model::kernel::rcu::{Callback, Rcu};
use nfexp_model::kernel::slab::Pool;
use nfexp_model::kernel::{Cpu, Platform, Word};
use nfexp_model::memory::Memory;
use nfexp_model::slip::Slip;

use crate::scene::Machine;
use crate::world::{Right, World};
use crate::{grace, record};

mod memory;
mod timers;

pub use memory::{LoomGuard, LoomLock, LoomPlain, LoomWord};
pub use timers::{LoomTimer, LoomTimers, mark_lifetimes};

/// Several CPUs, in the world `W`.
#[derive(Clone, Copy, Debug)]
pub struct Smp<W = Right>(PhantomData<W>);

impl<W: World> Platform for Smp<W> {
    type Word = LoomWord;
    type Plain<T: Copy + 'static> = LoomPlain<T>;
    type SpinLock<T: 'static> = LoomLock<T>;
    type Rcu = LoomRcu;
    type Timers = LoomTimers;
    type Index = Chain<Self>;
    type Pool = Fresh;

    const SLAB_POISON: bool = true;

    fn atomic_inc_not_zero(word: &LoomWord) -> bool {
        let taken = if W::slips(Slip::IncFromZero) {
            word.fetch_add(1, Ordering::Relaxed);
            true
        } else {
            word.inc_not_zero()
        };
        record::count(
            word,
            if taken { "takes a reference" } else { "finds no reference left" },
            i32::from(taken),
        );
        taken
    }

    fn atomic_dec_and_test(word: &LoomWord) -> bool {
        // ORDERING: of all revisions the weakest, `refcount_dec_and_test()`: it releases, and
        // acquires where it was the last. `atomic_dec_and_test()` of 3.9 is a full barrier.
        let releases = !W::slips(Slip::RelaxedPut) && !W::slips(Slip::AcquirePut);
        let acquires = !W::slips(Slip::RelaxedPut) && !W::slips(Slip::ReleasePut);
        let order = if releases { Ordering::Release } else { Ordering::Relaxed };
        let before = if W::slips(Slip::SplitDecrement) {
            let before = word.load(Ordering::Relaxed);
            word.store(before.wrapping_sub(1), order);
            before
        } else {
            word.fetch_sub(1, order)
        };
        record::count(word, "gives a reference back", -1);
        assert!(before > 0, "reference count below zero");
        let last = before == 1;
        if last && acquires {
            fence(Ordering::Acquire);
        }
        last
    }

    fn rcu_assign_pointer(word: &LoomWord, to: u32) {
        let relaxed = W::slips(Slip::RelaxedPublish);
        word.store(to, if relaxed { Ordering::Relaxed } else { Ordering::Release });
        record::published(word, to);
    }

    fn rcu_dereference(word: &LoomWord) -> u32 {
        let relaxed = W::slips(Slip::RelaxedDereference);
        let to = word.load(if relaxed { Ordering::Relaxed } else { Ordering::Acquire });
        record::followed(word, to);
        to
    }

    fn rcu_unlink_pointer(word: &LoomWord, to: u32) {
        let relaxed = W::slips(Slip::RelaxedUnlink);
        word.store(to, if relaxed { Ordering::Relaxed } else { Ordering::Release });
        record::unlinked(word, to);
    }

    fn atomic_add(word: &LoomWord, count: u32) {
        if W::slips(Slip::SplitIncrement) {
            let before = word.load(Ordering::Relaxed);
            word.store(before + count, Ordering::Relaxed);
        } else {
            word.fetch_add(count, Ordering::Relaxed);
        }
        record::count(word, "takes a reference more", count as i32);
    }

    fn timer_detached(was_pending: bool) -> bool {
        was_pending || W::slips(Slip::TimerLies)
    }

    fn call_rcu_waits() -> bool {
        !W::slips(Slip::NoGracePeriod)
    }

    fn slips(slip: Slip) -> bool {
        W::slips(slip)
    }
}

impl<W: World> Machine for Smp<W> {
    fn after_grace_period(rcu: &LoomRcu, work: Box<dyn FnOnce()>) {
        grace::start(&rcu.gp, true, work);
    }

    fn forget_next_lock() {
        memory::NO_LOCK.set(true);
    }

    fn changes_lifetime(changes: bool) {
        timers::changes_lifetime(changes);
    }
}

/// RCU by its axiom: see [`grace`].
pub struct LoomRcu {
    gp: AtomicU32,
}

impl<W: World> Rcu<Smp<W>> for LoomRcu {
    type Reader<'a> = grace::Section;

    fn new(_: u8) -> Self {
        Self { gp: AtomicU32::new(0) }
    }

    fn read_lock(&self, _: Cpu) -> grace::Section {
        grace::Section::open(&self.gp)
    }

    fn call_rcu(&self, memory: &Arc<Memory<Smp<W>>>, callback: Callback) {
        let memory = Arc::clone(memory);
        let Callback::FreeExpectation(index) = callback;
        record::queued(index);
        let work = Box::new(move || {
            record::freed(index);
            memory.run(callback);
        });
        grace::start(&self.gp, !W::slips(Slip::NoGracePeriod), work);
    }

    /// Callbacks run by themselves; whoever calls this has waited for all threads.
    fn barrier(&self, _: &Memory<Smp<W>>) -> u32 {
        0
    }
}

/// Slots that were never used, in order; none is used twice, so that nothing hides a use after
/// free behind a new tenant.
#[derive(Debug)]
pub struct Fresh(Mutex<(VecDeque<u32>, u32)>);

impl Pool for Fresh {
    fn new(capacity: u32) -> Self {
        Self(Mutex::new(((1..=capacity).collect(), 0)))
    }

    fn take(&self) -> Option<u32> {
        let mut pool = self.0.lock().expect("nothing panics in here");
        let index = pool.0.pop_front()?;
        pool.1 += 1;
        Some(index)
    }

    fn give(&self, _: u32) {
        self.0.lock().expect("nothing panics in here").1 -= 1;
    }

    fn live(&self) -> u32 {
        self.0.lock().expect("nothing panics in here").1
    }
}

macro_rules! opaque {
    ($($name:ident $(<$t:ident>)?),*) => {$(
        impl$(<$t>)? fmt::Debug for $name$(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

opaque!(LoomWord, LoomPlain<T>, LoomLock<T>, LoomRcu, LoomTimers, LoomTimer);
