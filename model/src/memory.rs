// SPDX-License-Identifier: GPL-2.0-only
//! The memory all parts of the engine share: both object caches.

use core::fmt;

use crate::conn::Conn;
use crate::expectation::{Expectation, Nat};
use crate::kernel::platform::{Plain, Platform};
use crate::kernel::rcu::Callback;
use crate::kernel::slab::Slab;
use crate::kernel::timer::{TimerBase, TimerKey};

/// The object caches.
pub struct Memory<P: Platform> {
    /// `nf_conntrack_expect`: freed after a grace period.
    pub expectations: Slab<P, Expectation<P>>,
    /// `nf_conntrack`: type-safe by RCU.
    pub conns: Slab<P, Conn<P>>,
    /// The translation of each expectation: rare, so not in its two cache lines.
    pub(crate) nat: Box<[P::Plain<Nat>]>,
}

impl<P: Platform> Memory<P> {
    pub(crate) fn new(expectations: u32, conns: u32, conns_ready: u32) -> Self {
        Self {
            expectations: Slab::with_capacity(expectations),
            conns: Slab::growing(conns_ready, conns),
            nat: (0..=expectations).map(|_| P::Plain::new(Nat::default())).collect(),
        }
    }

    /// Where a timer lives.
    #[inline]
    pub fn timer(&self, key: TimerKey) -> &<P::Timers as TimerBase<P>>::Node {
        if key.is_conn() {
            &self.conns.at(key.index()).timer
        } else {
            &self.expectations.at(key.index()).timer
        }
    }

    /// Where a timer keeps when it expires, if not there.
    #[inline]
    pub(crate) fn expires(&self, key: TimerKey) -> &<P::Timers as TimerBase<P>>::Expires {
        if key.is_conn() {
            &self.conns.at(key.index()).expires
        } else {
            &self.expectations.at(key.index()).expires
        }
    }

    /// What `call_rcu()` asked for, now that the readers are gone.
    #[doc(alias = "nf_ct_expect_free_rcu")]
    #[inline(always)]
    pub fn run(&self, callback: Callback) {
        match callback {
            Callback::FreeExpectation(index) => {
                if P::SLAB_POISON {
                    self.nat[index as usize].set(Nat::default());
                }
                self.expectations.free(index);
            }
        }
    }
}

impl<P: Platform> fmt::Debug for Memory<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("expectations", &self.expectations).finish_non_exhaustive()
    }
}
