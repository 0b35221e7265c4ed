// SPDX-License-Identifier: GPL-2.0-only
//! What helpers do to expectations that are linked already, and to connections as they go.
//!
//! A SIP registrar's answer activates an expectation and gives it a new time; an H.323
//! gatekeeper's gives it a new time; PPTP ends the streams of a call that is over. No event tells
//! of a new time: a listing shows it.
//!
//! # Source
//! `refresh_signalling_expectation()` of `nf_conntrack_sip.c`, `set_expect_timeout()` of
//! `nf_conntrack_h323_main.c`, `nf_ct_helper_destroy()` of `nf_conntrack_helper.c`.

use crate::conn::{ConnId, ConnRef};
use crate::engine::{At, Engine};
use crate::event::{Cause, Origin};
use crate::expectation::{ExpectId, Flags};
use crate::kernel::platform::{Ordering, Platform, Word};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::kernel::{Jiffies, Ticks};
use crate::revision::Expiry;

impl<P: Platform> Engine<P> {
    /// Gives a linked expectation flags and another end; false if its timer is not pending any
    /// more (`mod_timer_pending()`). Its place among its master's stays: it is no younger.
    ///
    /// # Panics
    /// If it is gone.
    pub fn retime(&self, at: At, id: ExpectId, flags: Flags, expires: Jiffies) -> bool {
        let locked = self.lock();
        let exp = self.memory.expectations.get_object(id);
        let key = TimerKey::expectation(id.index());
        let timer = self.config.revision.expiry == Expiry::Timer;
        let lasts = match timer {
            true => self.timers.detach(&self.memory, &exp.timer, key),
            // KERNEL: refresh_signalling_expectation(), 7.2: what is over and nobody has collected
            // yet begins anew, and only what was taken back stays gone.
            false => self.is_linked(id),
        };
        if lasts {
            let dead = exp.flags_locked().0 & Flags::DEAD.0;
            exp.flags.store(flags.0 | dead, Ordering::Relaxed);
            let span = Ticks(expires.ticks_from(at.now) as u64);
            self.timers.setup(&self.memory, key);
            self.timers.set_expires(&self.memory, key, self.lifetime_ends(at, span));
            if timer {
                self.timers.add(&self.memory, key, at.now);
            }
        }
        drop(locked);
        lasts
    }

    /// Ends a linked expectation, as its helper does it; nothing if it ended before.
    #[doc(alias = "nf_ct_remove_expect")]
    pub fn remove_expect(&self, at: At, id: ExpectId) {
        let mut locked = self.lock();
        if self.is_linked(id) {
            locked.remove(at, id.index(), Origin::KERNEL, Cause::Unexpect);
        }
    }

    /// As [`delete_conn`](Self::delete_conn); `destroy` runs when the connection is known to be
    /// going and its expectations are still there, as the helper's own `destroy()` does.
    pub fn delete_conn_with(
        &self,
        at: At,
        ct: &ConnRef,
        origin: Origin,
        destroy: impl FnOnce(),
    ) -> bool {
        self.delete_after(at, ct.id(), origin, destroy)
    }

    /// A reference to a connection that is known to be in the table.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn hold_conn(&self, id: ConnId) -> Option<ConnRef> {
        P::atomic_inc_not_zero(&self.memory.conns.get(id).uses).then_some(ConnRef(id))
    }
}
