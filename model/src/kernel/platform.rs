// SPDX-License-Identifier: GPL-2.0-only
//! The primitives a platform supplies, and the verbs built on them.
//!
//! *Word*: what several CPUs may touch at once (`atomic_t`, a pointer under RCU). *Plain*
//! memory: touching it from two CPUs without an order between them is a bug, and a platform
//! that can tell will say so. *Verb*: a kernel primitive by its own name.
//!
//! ```text
//!              Up (this crate)          Smp (nfexp-properties)
//!   Word       Cell<u32>                loom's AtomicU32
//!   Plain<T>   Cell<T>                  loom's UnsafeCell<T>: reports data races
//!   SpinLock   RefCell                  loom's Mutex
//! ```
//!
//! The rule that matters: the engine touches shared memory through the verbs only, and each
//! verb is right by default. A broken world gets exactly one thing wrong: see
//! [`Slip`].

use Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::fmt;
use core::ops::DerefMut;
pub use core::sync::atomic::Ordering;

use super::hlist::Index;
use super::rcu::Rcu;
use super::slab::Pool;
use super::timer::TimerBase;
use crate::slip::Slip;

/// A kernel to stand on: what `nf_conntrack_expect.c` takes for granted.
pub trait Platform: Sized + 'static {
    /// A word that several CPUs may touch at once.
    type Word: Word;
    /// Ordinary memory.
    type Plain<T: Copy + 'static>: Plain<T>;
    /// `spinlock_t`, taken with bottom halves off.
    type SpinLock<T: 'static>: SpinLock<T>;
    /// An RCU domain.
    type Rcu: Rcu<Self>;
    /// The timer base.
    type Timers: TimerBase<Self>;
    /// The bucket index: finds the expectations of a destination.
    type Index: Index<Self>;
    /// Which free slot comes next.
    type Pool: Pool;

    /// Whether freed memory is overwritten, so that every touch after the free shows
    /// (`SLAB_POISON`).
    const SLAB_POISON: bool;

    /// `atomic_inc_not_zero()`: takes a reference unless none is left.
    #[inline]
    fn atomic_inc_not_zero(word: &Self::Word) -> bool {
        word.inc_not_zero()
    }

    /// `atomic_dec_and_test()`: gives a reference back; true if it was the last.
    ///
    /// # Panics
    /// If there was none to give back.
    #[inline]
    fn atomic_dec_and_test(word: &Self::Word) -> bool {
        // ORDERING: release, so that what the holder did to the object comes before its end;
        // acquire, so that whoever ends it comes after all other holders. Pairs with itself.
        match word.fetch_sub(1, AcqRel) {
            0 => panic!("reference count below zero"),
            before => before == 1,
        }
    }

    /// `rcu_assign_pointer()`: publishes what was written before.
    #[inline]
    fn rcu_assign_pointer(word: &Self::Word, to: u32) {
        // ORDERING: release, pairs with `rcu_dereference`: a reader that sees the pointer sees
        // the object behind it initialised.
        word.store(to, Release);
    }

    /// `rcu_dereference()`.
    #[inline]
    fn rcu_dereference(word: &Self::Word) -> u32 {
        // ORDERING: acquire stands for the address dependency, which C11 does not have;
        // pairs with `rcu_assign_pointer`.
        word.load(Acquire)
    }

    /// `hlist_del_rcu()`'s own store: the neighbour now skips the unlinked node.
    #[inline]
    fn rcu_unlink_pointer(word: &Self::Word, to: u32) {
        // ORDERING: release. WRITE_ONCE in the kernel, whose memory model orders the successor's
        // publication before it through the lock; C11 orders that for nobody outside the lock.
        word.store(to, Release);
    }

    /// Takes a reference while another is known to be held (`atomic_inc()`, `atomic_add()`).
    #[inline]
    fn atomic_add(word: &Self::Word, count: u32) {
        // ORDERING: relaxed: the reference already held keeps the object where it is.
        word.fetch_add(count, Relaxed);
    }

    /// What `del_timer()` answers, given whether the timer was pending: the right to unlink.
    #[inline]
    fn timer_detached(was_pending: bool) -> bool {
        was_pending
    }

    /// Whether `call_rcu()` waits for the readers of this moment.
    #[inline]
    fn call_rcu_waits() -> bool {
        true
    }

    /// Whether this is a broken world in which this slip happens. A constant wherever nothing
    /// is broken on purpose, so that the question costs nothing.
    #[inline(always)]
    fn slips(_: Slip) -> bool {
        false
    }
}

/// A word that several CPUs may touch at once.
pub trait Word: 'static {
    /// A word with this value.
    fn new(value: u32) -> Self;
    /// `READ_ONCE()`, or stronger as `order` says.
    fn load(&self, order: Ordering) -> u32;
    /// A read by someone whom nobody can be storing against: the holder of the lock that all
    /// writers take (`rcu_dereference_protected()`).
    fn load_locked(&self) -> u32;
    /// `WRITE_ONCE()`, or stronger as `order` says.
    fn store(&self, value: u32, order: Ordering);
    /// Stores, and answers what was there.
    fn swap(&self, value: u32, order: Ordering) -> u32;
    /// Adds, wrapping, and answers what was there.
    fn fetch_add(&self, value: u32, order: Ordering) -> u32;
    /// Subtracts, wrapping, and answers what was there.
    fn fetch_sub(&self, value: u32, order: Ordering) -> u32;
    /// Sets bits, and answers what was there.
    fn fetch_or(&self, bits: u32, order: Ordering) -> u32;
    /// Adds one unless the value is zero, in one atomic step; false if it was.
    fn inc_not_zero(&self) -> bool;
    /// Exclusive access, at allocation and at free: whatever is not ordered with it is a bug.
    fn reset(&self, value: u32);
}

/// Ordinary memory: two CPUs that touch it unordered make a data race.
pub trait Plain<T: Copy>: 'static {
    /// Memory holding this value.
    fn new(value: T) -> Self;
    /// Reads it.
    fn get(&self) -> T;
    /// Writes it.
    fn set(&self, value: T);
}

/// `spinlock_t` and what it protects.
pub trait SpinLock<T> {
    /// The lock held; dropping it is `spin_unlock_bh()`.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;
    /// A lock nobody holds.
    fn new(value: T) -> Self;
    /// `spin_lock_bh()`.
    ///
    /// # Panics
    /// On one CPU, if the lock is held already: a real one would spin for ever.
    fn lock(&self) -> Self::Guard<'_>;
}

/// One processor, by its number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cpu(pub u8);

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}
