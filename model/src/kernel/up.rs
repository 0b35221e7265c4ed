// SPDX-License-Identifier: GPL-2.0-only
//! One CPU: `CONFIG_SMP=n`, where every primitive becomes plain memory.
//!
//! Costs nothing beyond the memory accesses themselves and is not `Sync`, so the compiler
//! keeps an engine on one thread.

use core::cell::{Cell, RefCell, RefMut};

use super::flat::Flat;
use super::hlist::Chain;
use super::platform::{Ordering, Plain, Platform, SpinLock, Word};
use super::rcu::UpRcu;
use super::slab::LifoPool;
use super::timer::{ArrayTimers, UpTimers};

/// The one-CPU platform.
#[derive(Clone, Copy, Debug)]
pub struct Up;

impl Platform for Up {
    type Word = Cell<u32>;
    type Plain<T: Copy + 'static> = Cell<T>;
    type SpinLock<T: 'static> = RefCell<T>;
    type Rcu = UpRcu;
    type Timers = ArrayTimers;
    type Index = Flat<Self>;
    type Pool = LifoPool;

    const SLAB_POISON: bool = false;
}

/// One CPU on the kernel's own structures: chained buckets and wheels of lists. Slower than
/// [`Up`], and what [`Up`] is compared with.
#[derive(Clone, Copy, Debug)]
pub struct UpLists;

impl Platform for UpLists {
    type Word = Cell<u32>;
    type Plain<T: Copy + 'static> = Cell<T>;
    type SpinLock<T: 'static> = RefCell<T>;
    type Rcu = UpRcu;
    type Timers = UpTimers;
    type Index = Chain<Self>;
    type Pool = LifoPool;

    const SLAB_POISON: bool = false;
}

impl Word for Cell<u32> {
    #[inline]
    fn new(value: u32) -> Self {
        Self::new(value)
    }
    #[inline]
    fn load(&self, _: Ordering) -> u32 {
        self.get()
    }
    #[inline]
    fn load_locked(&self) -> u32 {
        self.get()
    }
    #[inline]
    fn store(&self, value: u32, _: Ordering) {
        self.set(value);
    }
    #[inline]
    fn swap(&self, value: u32, _: Ordering) -> u32 {
        self.replace(value)
    }
    #[inline]
    fn fetch_add(&self, value: u32, _: Ordering) -> u32 {
        self.replace(self.get().wrapping_add(value))
    }
    #[inline]
    fn fetch_sub(&self, value: u32, _: Ordering) -> u32 {
        self.replace(self.get().wrapping_sub(value))
    }
    #[inline]
    fn fetch_or(&self, bits: u32, _: Ordering) -> u32 {
        self.replace(self.get() | bits)
    }
    #[inline]
    fn inc_not_zero(&self) -> bool {
        let value = self.get();
        if value != 0 {
            self.set(value + 1);
        }
        value != 0
    }
    #[inline]
    fn reset(&self, value: u32) {
        self.set(value);
    }
}

impl<T: Copy + 'static> Plain<T> for Cell<T> {
    #[inline]
    fn new(value: T) -> Self {
        Self::new(value)
    }
    #[inline]
    fn get(&self) -> T {
        self.get()
    }
    #[inline]
    fn set(&self, value: T) {
        self.set(value);
    }
}

impl<T: 'static> SpinLock<T> for RefCell<T> {
    type Guard<'a> = RefMut<'a, T>;

    fn new(value: T) -> Self {
        Self::new(value)
    }

    #[inline]
    fn lock(&self) -> RefMut<'_, T> {
        self.try_borrow_mut().unwrap_or_else(|_| panic!("recursive spin lock: this would hang"))
    }
}
