// SPDX-License-Identifier: GPL-2.0-only
//! The end of a helper, and of a function: who loses it, and who keeps what has gone.
//!
//! *Registered*: found by its name. *Held*: a connection's extension points to it.
//!
//! ```text
//!            unregister
//!   until 7.1 ──▶ its masters' expectations end, its masters lose it
//!   since 7.2 ──▶ the expectations it made end, its masters keep it (it reads nothing any more)
//!                 and it is given to nobody once no connection holds it
//! ```
//!
//! The rule that matters: `ct_refcnt` is not stored, it is what points to the helper: the
//! registration, and the connections. So it cannot be wrong, and it is only counted (by looking
//! at all connections) for a helper that has gone.
//!
//! # Source
//! `nf_conntrack_helper_unregister()`, v3.9 and v7.2; `nf_ct_helper_expectfn_unregister()`.

use crate::conn::{Attached, ConnId};
use crate::engine::{At, Engine};
use crate::event::{Cause, ExpectFn, Origin};
use crate::expectation::{About, Expectation};
use crate::helper::HelperId;
use crate::kernel::platform::{Ordering, Platform, Word};
use crate::netns::NetId;
use crate::revision::{ExpectFnExit, HelperExit};
use crate::slip::Slip;

impl<P: Platform> Engine<P> {
    /// A helper goes: its expectations end in every namespace, and before 7.2 its connections
    /// lose it.
    #[doc(alias = "nf_conntrack_helper_unregister")]
    pub fn helper_unregister(&self, at: At, helper: HelperId) {
        self.helper_disable(helper);
        let live: Vec<ConnId> = self.memory.conns.iter_live().collect();
        for net in (0..self.config.netns).map(NetId).filter(|net| self.has_net(*net)) {
            let origin = Origin::KERNEL;
            let ends = |exp: &Expectation<P>| self.ends_with(&exp.about(), helper);
            self.lock().iterate_destroy(at, net, origin, Cause::HelperGone, ends);
            let here = live.iter().filter(|id| self.conn(**id).about().net == net);
            let mine = here.filter(|id| self.attached_of(**id) == Attached::Helper(helper));
            if !self.helper_stays() {
                mine.for_each(|id| self.forget_helper(*id));
            }
        }
    }

    /// The first half: nobody finds it any more, and since 7.2 it reads nothing (`me->help = NULL`).
    /// Whoever waits for the packets inside it does so next.
    pub fn helper_disable(&self, helper: HelperId) {
        let place = u32::from(helper.place());
        if let Some(word) = self.gone_helpers.get(place as usize / 32) {
            word.fetch_or(1 << (place % 32), Ordering::Release);
        }
    }

    /// A function goes, with the module it is in: nobody finds it any more.
    #[doc(alias = "nf_ct_helper_expectfn_unregister")]
    pub fn expectfn_unregister(&self, function: ExpectFn) {
        self.gone_functions.fetch_or(1 << function as u32, Ordering::Release);
    }

    /// After a grace period: since 2026 the expectations that name it end.
    #[doc(alias = "nf_ct_helper_expectfn_destroy")]
    pub fn expectfn_destroy(&self, at: At, function: ExpectFn) {
        if self.config.revision.expectfn_exit == ExpectFnExit::Leaves {
            return;
        }
        for net in (0..self.config.netns).map(NetId).filter(|net| self.has_net(*net)) {
            self.lock().iterate_destroy(at, net, Origin::KERNEL, Cause::HelperGone, |exp| {
                exp.about().expectfn == Some(function)
            });
        }
    }

    /// Whether a function is there to run and to be found by its name.
    #[must_use]
    pub fn is_callable(&self, function: ExpectFn) -> bool {
        self.gone_functions.load(Ordering::Acquire) & 1 << function as u32 == 0
    }

    /// Whether an expectation ends with this helper.
    #[doc(alias = "expect_iter_me")]
    #[must_use]
    pub fn ends_with(&self, about: &About, helper: HelperId) -> bool {
        if P::slips(Slip::UnregisterByNull) {
            return false;
        }
        let made = match self.helper_stays() {
            true => about.creator,
            false => self.attached_of(about.master).helper(),
        };
        [made, about.assign_helper].contains(&Some(helper))
    }

    /// Whether a helper that goes stays with its connections.
    #[must_use]
    pub fn helper_stays(&self) -> bool {
        self.config.revision.helper_exit == HelperExit::StaysCounted
    }

    /// Whether a helper is there to read packets and to be found by its name.
    #[must_use]
    pub fn is_registered(&self, helper: HelperId) -> bool {
        let place = u32::from(helper.place());
        let word = self.gone_helpers.get(place as usize / 32);
        word.is_none_or(|word| word.load(Ordering::Acquire) & 1 << (place % 32) == 0)
    }

    /// Whether another connection may point to a helper (`refcount_inc_not_zero()` of its
    /// `ct_refcnt`).
    pub(crate) fn may_hold(&self, helper: HelperId) -> bool {
        !self.helper_stays()
            || self.is_registered(helper)
            || self
                .memory
                .conns
                .iter_live()
                .any(|id| self.attached_of(id) == Attached::Helper(helper))
    }
}
