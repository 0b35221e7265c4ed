// SPDX-License-Identifier: GPL-2.0-only
//! Read-copy-update: who may still be looking.
//!
//! *Read-side critical section*: from `rcu_read_lock()` to `rcu_read_unlock()`. *Grace period*:
//! from `call_rcu()` until every section that was open at that moment has ended; only then
//! does the callback run.
//!
//! ```text
//!   cpu0   ├── section ──┤                    may hold what is being freed
//!   cpu1        call_rcu ▼·················▼ callback
//!   cpu2                   ├── section ──┤    began later: cannot have seen it
//! ```
//!
//! The rule that matters: sections order nothing among themselves, and grace periods wait for
//! nobody who came later.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use super::platform::{Cpu, Platform};
use crate::memory::Memory;

/// What is to be done when the readers of a moment are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    /// Free the expectation in this slot.
    #[doc(alias = "nf_ct_expect_free_rcu")]
    FreeExpectation(u32),
}

/// An RCU domain.
pub trait Rcu<P: Platform>: Sized {
    /// A read-side critical section; dropping it is `rcu_read_unlock()`.
    type Reader<'a>
    where
        Self: 'a;
    /// A domain of `cpus` processors.
    fn new(cpus: u8) -> Self;
    /// `rcu_read_lock()`.
    fn read_lock(&self, cpu: Cpu) -> Self::Reader<'_>;
    /// `call_rcu()`: remembers the readers of this moment.
    fn call_rcu(&self, memory: &Arc<Memory<P>>, callback: Callback);
    /// `rcu_barrier()`: every callback handed in before has run. Answers how many still ran.
    fn barrier(&self, memory: &Memory<P>) -> u32;
}

/// RCU on one CPU's thread, for several virtual CPUs.
///
/// A section normally opens and closes within one call of the engine, and no call both is in one
/// and hands a callback in: nobody can be waiting for it, so it leaves no trace. One that is
/// *held* across calls makes grace periods wait.
#[derive(Clone, Debug)]
pub struct UpRcu {
    /// How deep each CPU is inside held sections, and which are at all, as bits.
    depth: Box<[Cell<u32>]>,
    held: Cell<u64>,
    /// Whether somebody is, or callbacks wait.
    waits: Cell<bool>,
    /// Callbacks that wait for nobody, in the order they were handed in: before all that wait.
    ready: RefCell<Vec<Callback>>,
    /// Callbacks in the order they were handed in, each with the CPUs it waits for, as bits.
    waiting: RefCell<VecDeque<(u64, Callback)>>,
}

impl UpRcu {
    /// Enters a section that outlasts the call.
    pub fn hold(&self, cpu: Cpu) {
        let depth = &self.depth[usize::from(cpu.0)];
        depth.set(depth.get() + 1);
        self.held.set(self.held.get() | 1 << cpu.0);
        self.waits.set(true);
    }

    /// Leaves it.
    ///
    /// # Panics
    /// If the CPU is in no section.
    pub fn release(&self, cpu: Cpu) {
        let depth = &self.depth[usize::from(cpu.0)];
        let left = depth.get().checked_sub(1);
        let left = left.unwrap_or_else(|| panic!("rcu_read_unlock() on {cpu:?} outside a section"));
        depth.set(left);
        if left == 0 {
            self.held.set(self.held.get() & !(1 << cpu.0));
            let mut waiting = self.waiting.borrow_mut();
            for (waits_for, _) in waiting.iter_mut() {
                *waits_for &= !(1 << cpu.0);
            }
            self.waits.set(self.held.get() != 0 || !waiting.is_empty());
        }
    }

    /// How deep `cpu` is inside held sections.
    #[must_use]
    pub fn depth(&self, cpu: Cpu) -> u32 {
        self.depth[usize::from(cpu.0)].get()
    }

    /// Whether a callback could run now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.ready.borrow().is_empty()
            || self.waiting.borrow().iter().any(|&(waits_for, _)| waits_for == 0)
    }

    /// How many callbacks wait, for a reader or for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ready.borrow().len() + self.waiting.borrow().len()
    }

    /// The callbacks that wait, in their order, each with the CPUs it waits for, as bits.
    pub(crate) fn in_order(&self) -> Vec<(u64, Callback)> {
        let ready = self.ready.borrow();
        let ready = ready.iter().map(|&callback| (0, callback));
        ready.chain(self.waiting.borrow().iter().copied()).collect()
    }

    /// The RCU softirq: runs the callbacks whose readers are all gone, oldest first, and
    /// answers how many.
    #[inline]
    pub fn run_callbacks<P: Platform>(&self, memory: &Memory<P>) -> u32 {
        if self.waiting() == 0 { 0 } else { self.run_some(memory) }
    }

    fn run_some<P: Platform>(&self, memory: &Memory<P>) -> u32 {
        let mut ready = self.ready.borrow_mut();
        let mut ran = ready.len() as u32;
        memory.run_all(&ready);
        ready.clear();
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            return ran;
        }
        waiting.retain(|&(waits_for, callback)| {
            let runs = waits_for == 0 || !P::call_rcu_waits();
            if runs {
                memory.run(callback);
                ran += 1;
            }
            !runs
        });
        self.waits.set(self.held.get() != 0 || !waiting.is_empty());
        ran
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, callback: Callback) {
        self.waiting.borrow_mut().push_back((self.held.get(), callback));
    }
}

/// A section of the one-CPU platform that lasts one call.
#[derive(Debug)]
pub struct UpReader;

impl<P: Platform> Rcu<P> for UpRcu {
    type Reader<'a> = UpReader;

    /// # Panics
    /// With more than 64 CPUs.
    fn new(cpus: u8) -> Self {
        assert!((1..=64).contains(&cpus), "between 1 and 64 virtual CPUs, not {cpus}");
        Self {
            depth: (0..cpus).map(|_| Cell::new(0)).collect(),
            held: Cell::new(0),
            waits: Cell::new(false),
            ready: RefCell::new(Vec::with_capacity(64)),
            waiting: RefCell::default(),
        }
    }

    #[inline(always)]
    fn read_lock(&self, _: Cpu) -> UpReader {
        UpReader
    }

    #[inline(always)]
    fn call_rcu(&self, _: &Arc<Memory<P>>, callback: Callback) {
        if self.waits.get() {
            self.wait(callback);
        } else {
            self.ready.borrow_mut().push(callback);
        }
    }

    /// # Panics
    /// If a reader is still held: a real one would wait for ever.
    fn barrier(&self, memory: &Memory<P>) -> u32 {
        let ran = self.run_callbacks(memory);
        assert!(self.waiting.borrow().is_empty(), "rcu_barrier() inside a read-side section");
        ran
    }
}
