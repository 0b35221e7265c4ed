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
/// A section normally opens and closes within one call of the engine, and then nobody can be
/// waiting for it. One that is *held* across calls makes grace periods wait.
#[derive(Debug)]
pub struct UpRcu {
    /// How deep each CPU is inside sections.
    depth: Box<[Cell<u32>]>,
    /// Callbacks in the order they were handed in, each with the CPUs it waits for, as bits.
    waiting: RefCell<VecDeque<(u64, Callback)>>,
}

impl UpRcu {
    /// Enters a section that outlasts the call.
    pub fn hold(&self, cpu: Cpu) {
        let depth = &self.depth[usize::from(cpu.0)];
        depth.set(depth.get() + 1);
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
            for (waits_for, _) in self.waiting.borrow_mut().iter_mut() {
                *waits_for &= !(1 << cpu.0);
            }
        }
    }

    /// How deep `cpu` is inside sections.
    #[must_use]
    pub fn depth(&self, cpu: Cpu) -> u32 {
        self.depth[usize::from(cpu.0)].get()
    }

    /// Whether a callback could run now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.waiting.borrow().iter().any(|&(waits_for, _)| waits_for == 0)
    }

    /// How many callbacks wait, for a reader or for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// The RCU softirq: runs the callbacks whose readers are all gone, oldest first, and
    /// answers how many.
    pub fn run_callbacks<P: Platform>(&self, memory: &Memory<P>) -> u32 {
        let mut ran = 0;
        let mut waiting = self.waiting.borrow_mut();
        // Mostly no reader is held, and all go in order.
        while let Some(&(0, callback)) = waiting.front() {
            memory.run(callback);
            ran += 1;
            waiting.pop_front();
        }
        waiting.retain(|&(waits_for, callback)| {
            if waits_for == 0 || !P::call_rcu_waits() {
                memory.run(callback);
                ran += 1;
            }
            waits_for != 0 && P::call_rcu_waits()
        });
        ran
    }

    #[inline]
    fn readers(&self) -> u64 {
        let open = self.depth.iter().enumerate().filter(|(_, depth)| depth.get() != 0);
        open.fold(0, |bits, (cpu, _)| bits | 1 << cpu)
    }
}

/// A section of the one-CPU platform.
#[derive(Debug)]
pub struct UpReader<'a> {
    rcu: &'a UpRcu,
    cpu: Cpu,
}

impl Drop for UpReader<'_> {
    #[inline]
    fn drop(&mut self) {
        // Not `release`: nothing calls `call_rcu` inside a section that lasts one call, so no
        // callback can be waiting for this one.
        let depth = &self.rcu.depth[usize::from(self.cpu.0)];
        depth.set(depth.get() - 1);
    }
}

impl<P: Platform> Rcu<P> for UpRcu {
    type Reader<'a> = UpReader<'a>;

    /// # Panics
    /// With more than 64 CPUs.
    fn new(cpus: u8) -> Self {
        assert!((1..=64).contains(&cpus), "between 1 and 64 virtual CPUs, not {cpus}");
        Self {
            depth: (0..cpus).map(|_| Cell::new(0)).collect(),
            waiting: RefCell::new(VecDeque::with_capacity(64)),
        }
    }

    #[inline]
    fn read_lock(&self, cpu: Cpu) -> UpReader<'_> {
        let depth = &self.depth[usize::from(cpu.0)];
        depth.set(depth.get() + 1);
        UpReader { rcu: self, cpu }
    }

    #[inline]
    fn call_rcu(&self, _: &Arc<Memory<P>>, callback: Callback) {
        self.waiting.borrow_mut().push_back((self.readers(), callback));
    }

    /// # Panics
    /// If a reader is still held: a real one would wait for ever.
    fn barrier(&self, memory: &Memory<P>) -> u32 {
        let ran = self.run_callbacks(memory);
        assert!(self.waiting.borrow().is_empty(), "rcu_barrier() inside a read-side section");
        ran
    }
}
