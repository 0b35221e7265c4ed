// SPDX-License-Identifier: GPL-2.0-only
//! Real threads: the engine on the standard library's atomics and locks.
//!
//! For stress: many more CPUs, objects and operations than loom can explore, on the machine's own
//! memory model, with the audits on. What it does not find is not shown to be absent.
//!
//! ```text
//!   Word      AtomicU32            RCU    readers share a lock; whoever frees has it alone
//!   Plain     a value in a mutex   Pool   first freed, first used: memory is used again late
//! ```
//!
//! The rule that matters: plain memory is guarded here, so that a race is no undefined behaviour.
//! Races are loom's to find; this finds wrong answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use nfexp_model::kernel::hlist::Chain;
use nfexp_model::kernel::platform::Ordering;
use nfexp_model::kernel::rcu::{Callback, Rcu};
use nfexp_model::kernel::slab::Pool;
use nfexp_model::kernel::timer::{TimerBase, TimerKey};
use nfexp_model::kernel::{Cpu, Jiffies, Plain, Platform, SpinLock, Word};
use nfexp_model::memory::Memory;
use nfexp_model::revision::WheelKind;

/// Real threads.
#[derive(Clone, Copy, Debug)]
pub struct Threads;

impl Platform for Threads {
    type Word = ThreadWord;
    type Plain<T: Copy + 'static> = ThreadPlain<T>;
    type SpinLock<T: 'static> = ThreadLock<T>;
    type Rcu = ThreadRcu;
    type Timers = ThreadTimers;
    type Index = Chain<Self>;
    type Pool = Queue;

    const SLAB_POISON: bool = true;
}

const SOUND: &str = "nobody panics while holding it";

/// A word.
#[derive(Debug)]
pub struct ThreadWord(AtomicU32);

impl Word for ThreadWord {
    fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }
    fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }
    fn load_locked(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
    fn store(&self, value: u32, order: Ordering) {
        self.0.store(value, order);
    }
    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.0.swap(value, order)
    }
    fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.0.fetch_add(value, order)
    }
    fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        self.0.fetch_sub(value, order)
    }
    fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.0.fetch_or(bits, order)
    }
    fn inc_not_zero(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen != 0 {
            let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
            match self.0.compare_exchange_weak(seen, seen + 1, done, failed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
    fn reset(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Plain memory.
#[derive(Debug)]
pub struct ThreadPlain<T>(Mutex<T>);

impl<T: Copy + 'static> Plain<T> for ThreadPlain<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
    fn get(&self) -> T {
        *self.0.lock().expect(SOUND)
    }
    fn set(&self, value: T) {
        *self.0.lock().expect(SOUND) = value;
    }
}

/// A lock.
#[derive(Debug)]
pub struct ThreadLock<T>(Mutex<T>);

impl<T: 'static> SpinLock<T> for ThreadLock<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect(SOUND)
    }
}

/// RCU: sections share a lock, a grace period is having it alone.
#[derive(Debug, Default)]
pub struct ThreadRcu {
    sections: RwLock<()>,
    waiting: Mutex<Vec<Callback>>,
}

impl Rcu<Threads> for ThreadRcu {
    type Reader<'a> = RwLockReadGuard<'a, ()>;

    fn new(_: u8) -> Self {
        Self::default()
    }
    fn read_lock(&self, _: Cpu) -> RwLockReadGuard<'_, ()> {
        self.sections.read().expect(SOUND)
    }
    fn call_rcu(&self, _: &Arc<Memory<Threads>>, callback: Callback) {
        self.waiting.lock().expect(SOUND).push(callback);
    }
    fn barrier(&self, memory: &Memory<Threads>) -> u32 {
        let due = std::mem::take(&mut *self.waiting.lock().expect(SOUND));
        drop(self.sections.write().expect(SOUND));
        due.iter().for_each(|callback| memory.run(*callback));
        due.len() as u32
    }
}

/// Which timers are armed.
#[derive(Debug)]
pub struct ThreadTimers([Box<[AtomicU32]>; 2]);

/// The owner's part of its timer.
#[derive(Debug, Default)]
pub struct ThreadTimer {
    expires: AtomicU64,
    function: AtomicBool,
}

impl ThreadTimers {
    fn armed(&self, key: TimerKey) -> &AtomicU32 {
        &self.0[usize::from(key.is_conn())][key.index() as usize]
    }
}

impl TimerBase<Threads> for ThreadTimers {
    type Node = ThreadTimer;
    type Expires = ();

    fn new(_: WheelKind, _: Jiffies, _: u32, expectations: u32, conns: u32) -> Self {
        let words = |count| (0..=count).map(|_| AtomicU32::new(0)).collect();
        Self([words(expectations), words(conns)])
    }
    fn blank() -> (ThreadTimer, ()) {
        (ThreadTimer::default(), ())
    }
    fn poison(node: &ThreadTimer) {
        node.function.store(false, Ordering::Relaxed);
    }
    fn setup(&self, memory: &Memory<Threads>, key: TimerKey) {
        memory.timer(key).function.store(true, Ordering::Relaxed);
    }
    fn has_function(&self, memory: &Memory<Threads>, key: TimerKey) -> bool {
        memory.timer(key).function.load(Ordering::Relaxed)
    }
    fn set_expires(&self, memory: &Memory<Threads>, key: TimerKey, expires: Jiffies) {
        memory.timer(key).expires.store(expires.0, Ordering::Relaxed);
    }
    fn expires(&self, memory: &Memory<Threads>, key: TimerKey) -> Jiffies {
        Jiffies(memory.timer(key).expires.load(Ordering::Relaxed))
    }
    fn is_pending(&self, _: &Memory<Threads>, key: TimerKey) -> bool {
        self.armed(key).load(Ordering::Relaxed) != 0
    }
    fn add(&self, _: &Memory<Threads>, key: TimerKey, _: Jiffies) {
        // ORDERING: as taking and dropping the base's lock; pairs with `detach`.
        let before = self.armed(key).swap(1, Ordering::AcqRel);
        assert!(before == 0, "add_timer() of a pending timer");
    }
    fn detach(&self, _: &Memory<Threads>, _: &Self::Node, key: TimerKey) -> bool {
        // ORDERING: as taking and dropping the base's lock; pairs with `add`.
        self.armed(key).swap(0, Ordering::AcqRel) != 0
    }
    fn expire(
        &self,
        memory: &Memory<Threads>,
        _: Jiffies,
        _: impl Fn(u32, bool),
    ) -> Option<TimerKey> {
        let mut keys = (1..self.0[0].len() as u32).map(TimerKey::expectation);
        keys.find(|key| TimerBase::<Threads>::detach(self, memory, memory.timer(*key), *key))
    }
    fn next_expiry(&self, _: &Memory<Threads>) -> Option<Jiffies> {
        None
    }
}

/// Free slots, first freed, first used.
#[derive(Debug)]
pub struct Queue(Mutex<(VecDeque<u32>, u32)>);

impl Pool for Queue {
    fn new(capacity: u32) -> Self {
        Self(Mutex::new(((1..=capacity).collect(), 0)))
    }
    fn take(&self) -> Option<u32> {
        let mut pool = self.0.lock().expect(SOUND);
        let index = pool.0.pop_front()?;
        pool.1 += 1;
        Some(index)
    }
    fn give(&self, index: u32) {
        let mut pool = self.0.lock().expect(SOUND);
        pool.0.push_back(index);
        pool.1 -= 1;
    }
    fn live(&self) -> u32 {
        self.0.lock().expect(SOUND).1
    }
}
