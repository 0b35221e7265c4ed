// SPDX-License-Identifier: GPL-2.0-only
//! Modules and namespaces that go: a helper, an expectation's function, everything.
//!
//! ```text
//!               unregister                               rmmod
//!   until v3.14 sweep and unhelp ─▶ gp ─▶ text gone      hooks off ─▶ gp ─▶ text gone
//!   until 7.1   sweep ─▶ unhelp ─▶ gp ─▶ text gone       hooks off ─▶ gp ─▶ text gone
//!   since 7.2   disable ─▶ gp ─▶ sweep, text gone        hooks off ─▶ gp ─▶ sweep ─▶ gp ─▶ text gone
//! ```
//!
//! *gp*: a grace period. *Unhelp*: masters lose their helper, in one section with the sweep where
//! connections and expectations have one lock. Before 7.2 a helper's masters read on until then, so
//! that to wait before the sweep (`synchronize_rcu()`, v3.9) orders nobody; the wait behind is
//! `free_module()`'s.
//!
//! The rule that matters: a module's text is gone after a grace period, and whoever calls into it
//! then, or might, is told.

use std::rc::Rc;
use std::sync::Arc;

use nfexp_model::At;
use nfexp_model::conn::{Attached, ConnId};
use nfexp_model::event::{Cause, ExpectFn, Origin};
use nfexp_model::helper::HelperId;
use nfexp_model::kernel::Plain;
use nfexp_model::revision::{ExpectFnExit, ExpectLock};
use nfexp_model::slip::Slip;
use nfexp_model::watch::Counting;

use super::{Actor, Done, Next, Step};
use crate::scene::{Machine, NET, Scene};

impl<P: Machine> Scene<P> {
    /// What a helper announced ends, and where it does not stay its masters lose it.
    fn sweep(&self, at: At, me: HelperId) {
        let engine = &self.engine;
        let mut locked = engine.lock();
        locked.iterate_destroy(at, NET, Origin::KERNEL, Cause::HelperGone, |exp| {
            engine.ends_with(&exp.about(), me)
        });
        if engine.config().revision.expect_lock == ExpectLock::Shared {
            self.unhelp(me);
        }
        let left = locked.audit_unregistered(at, NET, me, Counting::Linked);
        left.unwrap_or_else(|violation| panic!("{violation}"));
    }

    /// Its masters lose a helper that does not stay with them.
    fn unhelp(&self, me: HelperId) {
        let engine = &self.engine;
        if engine.helper_stays() {
            return;
        }
        let mine = |id: &ConnId| engine.attached_of(*id) == Attached::Helper(me);
        engine.conns_of(NET).into_iter().filter(mine).for_each(|id| engine.forget_helper(id));
    }
}

impl<P: Machine> Actor<P> {
    pub(super) fn unregister(&self, at: At, step: u8) -> Next {
        let engine = &self.scene.engine;
        let me = engine.helper_named("ftp").expect("it is registered");
        *self.scene.gone.borrow_mut() = Some(me);
        if !engine.helper_stays() {
            if step == 0 {
                self.scene.sweep(at, me);
                if engine.config().revision.expect_lock == ExpectLock::Own {
                    return Step;
                }
            } else {
                self.scene.unhelp(me);
            }
            let text = Arc::clone(&self.scene.helper_text);
            match P::slips(Slip::UnregisterWithoutWait) {
                true => text.set(1),
                false => P::after_grace_period(engine.rcu(), Box::new(move || text.set(1))),
            }
            return Done;
        }
        if step == 0 {
            engine.helper_disable(me);
            return Step;
        }
        let scene = Rc::clone(&self.scene);
        let ends = move || {
            scene.sweep(at, me);
            scene.helper_text.set(1);
        };
        match P::slips(Slip::UnregisterWithoutWait) {
            true => ends(),
            false => P::after_grace_period(engine.rcu(), Box::new(ends)),
        }
        Done
    }

    /// The module with the function goes.
    pub(super) fn rmmod(&self, at: At, step: u8) -> Next {
        let engine = &self.scene.engine;
        if step == 0 {
            engine.expectfn_unregister(ExpectFn::Sip);
            return Step;
        }
        let scene = Rc::clone(&self.scene);
        let sweeps = engine.config().revision.expectfn_exit == ExpectFnExit::Sweeps;
        let ends = move || {
            if !sweeps {
                return scene.text.set(1);
            }
            scene.engine.expectfn_destroy(at, ExpectFn::Sip);
            let text = Arc::clone(&scene.text);
            P::after_grace_period(scene.engine.rcu(), Box::new(move || text.set(1)));
        };
        P::after_grace_period(engine.rcu(), Box::new(ends));
        Done
    }

    pub(super) fn netns_exit(&mut self, at: At, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        match step {
            0 => {
                let master = self.scene.master.borrow_mut().take().expect("one actor ends it");
                engine.delete_conn(at, &master, Origin::KERNEL);
                self.hand.master = Some(master);
                Step
            }
            1 => {
                self.hand.master.take().into_iter().for_each(|ct| engine.put_conn(at, ct));
                Step
            }
            _ => {
                engine.pernet_fini(NET);
                Done
            }
        }
    }
}
