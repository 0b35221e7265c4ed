// SPDX-License-Identifier: GPL-2.0-only
//! CPUs that take turns on one thread: the one-CPU platform, where a schedule may turn to another
//! CPU in the middle of an operation.
//!
//! *Point*: a place where others can see what was done so far: a pointer published, unlinked or
//! followed. At a point the schedule may let another CPU take a step, inside this one's, as an
//! interrupt would; where the lock is held, only one that does not need it. A fine schedule has
//! points before each lock, too: between one call and the next.
//!
//! ```text
//!   Turns       memory is poisoned and never used twice, grace periods end as early as they can
//!   Mutated     the simulator's own platform, in a world that may have a slip
//!   Flawed      the same upon the simulator's own storage, so that it can be copied
//! ```
//!
//! The rule that matters: nothing happens here that the schedule did not choose.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use nfexp_model::kernel::flat::Flat;
use nfexp_model::kernel::hlist::{Chain, Index};
use nfexp_model::kernel::platform::{Cpu, Ordering};
use nfexp_model::kernel::rcu::{Callback, Rcu, UpRcu};
use nfexp_model::kernel::slab::LifoPool;
use nfexp_model::kernel::timer::{ArrayTimers, TimerBase, UpTimers};
use nfexp_model::kernel::{Platform, SpinLock, Word};
use nfexp_model::memory::Memory;
use nfexp_model::slip::Slip;

use crate::scene::Machine;
use crate::schedule;
use crate::smp::Fresh;
use crate::world::{Broken, World};

/// CPUs that take turns, in this thread's world.
#[derive(Clone, Copy, Debug)]
pub struct Turns;

/// The simulator's platform, in this thread's world.
#[derive(Clone, Copy, Debug)]
pub struct Mutated<S = Lists>(PhantomData<S>);

/// The same upon the simulator's own storage.
pub type Flawed = Mutated<Arrays>;

/// What [`Mutated`] keeps expectations and timers in.
pub trait Storage: Sized + 'static {
    /// The timer base.
    type Timers: TimerBase<Mutated<Self>>;
    /// The bucket index.
    type Index: Index<Mutated<Self>>;
}

/// The kernel's lists.
#[derive(Clone, Copy, Debug)]
pub enum Lists {}

/// The arrays and tags of [`Up`](nfexp_model::kernel::Up).
#[derive(Clone, Copy, Debug)]
pub enum Arrays {}

impl Storage for Lists {
    type Timers = UpTimers;
    type Index = Chain<Mutated<Self>>;
}

impl Storage for Arrays {
    type Timers = ArrayTimers;
    type Index = Flat<Mutated<Self>>;
}

fn inc_not_zero(word: &Cell<u32>) -> bool {
    if Broken::slips(Slip::IncFromZero) {
        word.set(word.get() + 1);
        return true;
    }
    word.inc_not_zero()
}

impl<S: Storage> Platform for Mutated<S> {
    type Word = Cell<u32>;
    type Plain<T: Copy + 'static> = Cell<T>;
    type SpinLock<T: 'static> = RefCell<T>;
    type Rcu = UpRcu;
    type Timers = S::Timers;
    type Index = S::Index;
    type Pool = LifoPool;

    const SLAB_POISON: bool = false;

    fn atomic_inc_not_zero(word: &Cell<u32>) -> bool {
        inc_not_zero(word)
    }

    fn timer_detached(was_pending: bool) -> bool {
        was_pending || Broken::slips(Slip::TimerLies)
    }

    fn call_rcu_waits() -> bool {
        !Broken::slips(Slip::NoGracePeriod)
    }

    fn slips(slip: Slip) -> bool {
        Broken::slips(slip)
    }
}

impl Platform for Turns {
    type Word = Cell<u32>;
    type Plain<T: Copy + 'static> = Cell<T>;
    type SpinLock<T: 'static> = TurnLock<T>;
    type Rcu = TurnRcu;
    type Timers = UpTimers;
    type Index = Chain<Self>;
    type Pool = Fresh;

    const SLAB_POISON: bool = true;

    fn atomic_inc_not_zero(word: &Cell<u32>) -> bool {
        inc_not_zero(word)
    }

    fn atomic_add(word: &Cell<u32>, count: u32) {
        word.set(word.get() + count);
    }

    fn rcu_assign_pointer(word: &Cell<u32>, to: u32) {
        word.set(to);
        schedule::point();
    }

    fn rcu_dereference(word: &Cell<u32>) -> u32 {
        schedule::point();
        let to = word.load(Ordering::Acquire);
        schedule::fine_point();
        to
    }

    fn rcu_unlink_pointer(word: &Cell<u32>, to: u32) {
        word.set(to);
        schedule::point();
    }

    fn timer_detached(was_pending: bool) -> bool {
        schedule::point();
        was_pending || Broken::slips(Slip::TimerLies)
    }

    fn slips(slip: Slip) -> bool {
        Broken::slips(slip)
    }
}

impl Machine for Turns {
    fn after_grace_period(_: &TurnRcu, work: Box<dyn FnOnce()>) {
        // Steps that call into the text are whole: nobody is inside one now.
        work();
    }

    fn forget_next_lock() {}

    fn changes_lifetime(_: bool) {}
}

thread_local! {
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// Whether some lock is held: whoever would take it cannot act now.
#[must_use]
pub fn is_locked() -> bool {
    HELD.get() > 0
}

/// A spin lock that is taken by one CPU at a time, as all of them run on one thread.
#[derive(Debug)]
pub struct TurnLock<T>(RefCell<T>);

/// The lock held.
#[derive(Debug)]
pub struct TurnGuard<'a, T>(RefMut<'a, T>);

impl<T: 'static> SpinLock<T> for TurnLock<T> {
    type Guard<'a> = TurnGuard<'a, T>;

    fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    fn lock(&self) -> TurnGuard<'_, T> {
        schedule::fine_point();
        let taken = self.0.try_borrow_mut();
        let guard = taken.unwrap_or_else(|_| panic!("recursive spin lock: this would hang"));
        HELD.set(HELD.get() + 1);
        TurnGuard(guard)
    }
}

impl<T> std::ops::Deref for TurnGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for TurnGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for TurnGuard<'_, T> {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// RCU whose grace periods end as early as they can.
#[derive(Debug, Default)]
pub struct TurnRcu {
    sections: RefCell<(u64, BTreeSet<u64>)>,
    waiting: RefCell<Vec<(BTreeSet<u64>, Callback)>>,
}

/// A section.
#[derive(Debug)]
pub struct TurnReader<'a>(&'a TurnRcu, u64);

impl Drop for TurnReader<'_> {
    fn drop(&mut self) {
        self.0.sections.borrow_mut().1.remove(&self.1);
        for (waits_for, _) in self.0.waiting.borrow_mut().iter_mut() {
            waits_for.remove(&self.1);
        }
    }
}

impl TurnRcu {
    /// Frees what no reader can see any more.
    pub fn run_callbacks(&self, memory: &Memory<Turns>) {
        let due: Vec<Callback> = {
            let mut waiting = self.waiting.borrow_mut();
            let due = waiting.extract_if(.., |(waits_for, _)| waits_for.is_empty());
            due.map(|(_, callback)| callback).collect()
        };
        due.into_iter().for_each(|callback| memory.run(callback));
    }
}

impl Rcu<Turns> for TurnRcu {
    type Reader<'a> = TurnReader<'a>;

    fn new(_: u8) -> Self {
        Self::default()
    }

    fn read_lock(&self, _: Cpu) -> TurnReader<'_> {
        let mut sections = self.sections.borrow_mut();
        sections.0 += 1;
        let section = sections.0;
        sections.1.insert(section);
        TurnReader(self, section)
    }

    fn call_rcu(&self, memory: &Arc<Memory<Turns>>, callback: Callback) {
        if Broken::slips(Slip::NoGracePeriod) {
            return memory.run(callback);
        }
        let readers = self.sections.borrow().1.clone();
        self.waiting.borrow_mut().push((readers, callback));
    }

    fn barrier(&self, memory: &Memory<Turns>) -> u32 {
        self.run_callbacks(memory);
        0
    }
}
