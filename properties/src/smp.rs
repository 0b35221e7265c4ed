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

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use nfexp_model::kernel::hlist::Chain;
use nfexp_model::kernel::platform::Ordering;
use nfexp_model::kernel::rcu::{Callback, Rcu};
use nfexp_model::kernel::slab::Pool;
use nfexp_model::kernel::timer::{TimerBase, TimerKey};
use nfexp_model::kernel::{Cpu, Jiffies, Plain, Platform, SpinLock, Word};
use nfexp_model::memory::Memory;
use nfexp_model::revision::WheelKind;
use nfexp_model::slip::Slip;

use crate::scene::Machine;
use crate::world::{Right, World};
use crate::{grace, record};

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
            word.fetch_add(1, Ordering::AcqRel);
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
        let order = match () {
            () if W::slips(Slip::RelaxedPut) => Ordering::Relaxed,
            () if W::slips(Slip::ReleasePut) => Ordering::Release,
            () if W::slips(Slip::AcquirePut) => Ordering::Acquire,
            () => Ordering::AcqRel,
        };
        let before = if W::slips(Slip::SplitDecrement) {
            let before = word.load(order_of_load(order));
            word.store(before.wrapping_sub(1), Ordering::Release);
            before
        } else {
            word.fetch_sub(1, order)
        };
        record::count(word, "gives a reference back", -1);
        match before {
            0 => panic!("reference count below zero"),
            before => before == 1,
        }
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

/// The order of a load that is half of a read-modify-write of this order.
fn order_of_load(order: Ordering) -> Ordering {
    match order {
        Ordering::AcqRel | Ordering::Acquire => Ordering::Acquire,
        _ => Ordering::Relaxed,
    }
}

impl<W: World> Machine for Smp<W> {
    fn after_grace_period(rcu: &LoomRcu, work: Box<dyn FnOnce()>) {
        grace::start(&rcu.gp, true, work);
    }

    fn forget_next_lock() {
        NO_LOCK.set(true);
    }
}

thread_local! {
    /// Whether the next lock is not taken: set right before, with no switch in between.
    static NO_LOCK: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A word.
pub struct LoomWord(std::cell::UnsafeCell<AtomicU32>);

// SAFETY: loom runs all threads of a model on one OS thread and switches between them only
// inside its own calls, so the reference that `reset` makes is never alive beside another.
unsafe impl Sync for LoomWord {}

impl LoomWord {
    fn atomic(&self) -> &AtomicU32 {
        // SAFETY: the only mutable reference is the one in `reset`, which ends before any other
        // code runs (see above).
        unsafe { &*self.0.get() }
    }
}

impl Word for LoomWord {
    fn new(value: u32) -> Self {
        Self(std::cell::UnsafeCell::new(AtomicU32::new(value)))
    }

    fn load(&self, order: Ordering) -> u32 {
        self.atomic().load(order)
    }

    fn load_locked(&self) -> u32 {
        grace::walk();
        // SAFETY: loom checks that no store is concurrent with this and reports one that is.
        unsafe { self.atomic().unsync_load() }
    }

    fn store(&self, value: u32, order: Ordering) {
        self.atomic().store(value, order);
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.atomic().swap(value, order)
    }

    fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.atomic().fetch_add(value, order)
    }

    fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        self.atomic().fetch_sub(value, order)
    }

    fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.atomic().fetch_or(bits, order)
    }

    /// One atomic step: a guess, and on a miss another with the value that the miss told, with
    /// exploration off in between.
    fn inc_not_zero(&self) -> bool {
        let (mut guess, mut exploring) = (2, true);
        let taken = loop {
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            match self.atomic().compare_exchange(guess, guess + 1, order.0, order.1) {
                Ok(_) => break true,
                Err(0) => break false,
                Err(found) => guess = found,
            }
            if exploring {
                loom::stop_exploring();
                exploring = false;
            }
        };
        if !exploring {
            loom::explore();
        }
        taken
    }

    fn reset(&self, value: u32) {
        // SAFETY: no other reference is alive (see `Sync`); whether the access is ordered with
        // all others is what loom checks in `with_mut`.
        unsafe { (*self.0.get()).with_mut(|word| *word = value) }
    }
}

/// Plain memory.
pub struct LoomPlain<T>(UnsafeCell<T>);

// SAFETY: loom checks every access through `get` and `set` against every other.
unsafe impl<T> Sync for LoomPlain<T> {}

impl<T: Copy + 'static> Plain<T> for LoomPlain<T> {
    fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn get(&self) -> T {
        grace::walk();
        // SAFETY: loom has checked that no write is concurrent; the value is copied out before
        // any other thread runs.
        self.0.with(|value| unsafe { *value })
    }

    fn set(&self, new: T) {
        // SAFETY: loom has checked that no access is concurrent.
        self.0.with_mut(|value| unsafe { *value = new });
    }
}

/// A spin lock.
pub struct LoomLock<T> {
    lock: loom::sync::Mutex<()>,
    data: std::cell::UnsafeCell<T>,
}

// SAFETY: loom runs all threads of a model on one OS thread. Where the lock is taken it orders all
// accesses; in a broken world that does not take it, references made by the guard live no longer
// than one expression without a switch.
unsafe impl<T> Sync for LoomLock<T> {}

/// The lock held, unless this world forgot it.
pub struct LoomGuard<'a, T: 'static> {
    data: &'a std::cell::UnsafeCell<T>,
    _held: Option<loom::sync::MutexGuard<'a, ()>>,
}

impl<T: 'static> SpinLock<T> for LoomLock<T> {
    type Guard<'a> = LoomGuard<'a, T>;

    fn new(value: T) -> Self {
        Self { lock: loom::sync::Mutex::new(()), data: std::cell::UnsafeCell::new(value) }
    }

    fn lock(&self) -> Self::Guard<'_> {
        if NO_LOCK.take() {
            record::said("goes on without the lock");
            return LoomGuard { data: &self.data, _held: None };
        }
        let held = self.lock.lock().expect("a model that panicked does not go on");
        record::locked::<T>();
        LoomGuard { data: &self.data, _held: Some(held) }
    }
}

impl<T: 'static> std::ops::Deref for LoomGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: see `Sync`.
        unsafe { &*self.data.get() }
    }
}

impl<T: 'static> std::ops::DerefMut for LoomGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: see `Sync`.
        unsafe { &mut *self.data.get() }
    }
}

impl<T: 'static> Drop for LoomGuard<'_, T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            record::unlocked(&**self);
        }
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

/// The timer base: which timers are armed stands here and not in the object, because the
/// softirq looks at the base until the timer is its own.
pub struct LoomTimers {
    armed: [Box<[LoomWord]>; 2],
}

/// The object's part of its timer.
pub struct LoomTimer {
    expires: LoomPlain<Jiffies>,
    function: LoomPlain<bool>,
}

impl LoomTimers {
    fn armed(&self, key: TimerKey) -> &LoomWord {
        &self.armed[usize::from(key.is_conn())][key.index() as usize]
    }
}

impl<W: World> TimerBase<Smp<W>> for LoomTimers {
    type Node = LoomTimer;
    type Expires = ();

    fn new(_: WheelKind, _: Jiffies, _: u32, expectations: u32, conns: u32) -> Self {
        let words = |count| (0..=count).map(|_| LoomWord::new(0)).collect();
        Self { armed: [words(expectations), words(conns)] }
    }

    fn blank() -> (LoomTimer, ()) {
        let expires = LoomPlain::new(Jiffies(0));
        (LoomTimer { expires, function: LoomPlain::new(false) }, ())
    }

    fn poison(node: &LoomTimer) {
        node.expires.set(Jiffies(0));
        node.function.set(false);
    }

    fn setup(&self, memory: &Memory<Smp<W>>, key: TimerKey) {
        memory.timer(key).function.set(true);
    }

    fn has_function(&self, memory: &Memory<Smp<W>>, key: TimerKey) -> bool {
        memory.timer(key).function.get()
    }

    fn set_expires(&self, memory: &Memory<Smp<W>>, key: TimerKey, expires: Jiffies) {
        memory.timer(key).expires.set(expires);
    }

    fn expires(&self, memory: &Memory<Smp<W>>, key: TimerKey) -> Jiffies {
        memory.timer(key).expires.get()
    }

    fn is_pending(&self, _: &Memory<Smp<W>>, key: TimerKey) -> bool {
        // ORDERING: relaxed: `timer_pending()` promises nothing.
        self.armed(key).load(Ordering::Relaxed) != 0
    }

    fn add(&self, memory: &Memory<Smp<W>>, key: TimerKey, _: Jiffies) {
        memory.timer(key).function.get();
        // ORDERING: as taking and dropping the base's lock; pairs with `detach`.
        let before = self.armed(key).swap(1, Ordering::AcqRel);
        record::timer(key, "starts the timer", "pending");
        assert!(before == 0, "add_timer() of a pending timer");
    }

    fn detach(&self, memory: &Memory<Smp<W>>, _: &Self::Node, key: TimerKey) -> bool {
        // ORDERING: as taking and dropping the base's lock; pairs with `add`.
        let was_pending = if W::slips(Slip::SplitDetach) {
            let before = self.armed(key).load(Ordering::Acquire);
            self.armed(key).store(0, Ordering::Release);
            before != 0
        } else {
            self.armed(key).swap(0, Ordering::AcqRel) != 0
        };
        match was_pending {
            true => record::timer(key, "detaches the timer", "detached"),
            false => record::timer(key, "finds the timer detached", ""),
        }
        if was_pending {
            // The base unlinks the timer from its list: a touch of the object.
            memory.timer(key).function.get();
        }
        was_pending
    }

    fn expire(&self, memory: &Memory<Smp<W>>, _: Jiffies) -> Option<TimerKey> {
        let keys = (1..self.armed[0].len() as u32).map(TimerKey::expectation);
        let mut keys = keys.chain((1..self.armed[1].len() as u32).map(TimerKey::conn));
        keys.find(|key| TimerBase::<Smp<W>>::detach(self, memory, memory.timer(*key), *key))
    }

    fn next_expiry(&self, memory: &Memory<Smp<W>>) -> Option<Jiffies> {
        let keys = (1..self.armed[0].len() as u32).map(TimerKey::expectation);
        let pending = |key: &TimerKey| TimerBase::<Smp<W>>::is_pending(self, memory, *key);
        keys.filter(pending).map(|key| memory.timer(key).expires.get()).next()
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

impl<T: 'static> fmt::Debug for LoomGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoomGuard")
    }
}

opaque!(LoomWord, LoomPlain<T>, LoomLock<T>, LoomRcu, LoomTimers, LoomTimer);
