// SPDX-License-Identifier: GPL-2.0-only
//! Shared memory under loom: words, plain memory, and the lock.
//!
//! The rule that matters: what is read under the lock is read without a switch, so that a concurrent
//! store is a race and not one more interleaving, and so that loom's hole has nothing to hide.

use std::fmt;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use nfexp_model::kernel::platform::Ordering;
use nfexp_model::kernel::{Plain, SpinLock, Word};

use crate::{grace, record};
thread_local! {
    /// Whether the next lock is not taken: set right before, with no switch in between.
    pub(super) static NO_LOCK: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
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
            // ORDERING: none, as `refcount_inc_not_zero()` has none.
            let relaxed = Ordering::Relaxed;
            match self.atomic().compare_exchange(guess, guess + 1, relaxed, relaxed) {
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

impl<T: 'static> fmt::Debug for LoomGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoomGuard")
    }
}
