// SPDX-License-Identifier: GPL-2.0-only
//! Modules and namespaces that go: a helper, an expectation's function, everything.
//!
//! The rule that matters: a module's text is gone after a grace period, and whoever calls into it
//! then, or might, is told.

use std::sync::Arc;

use nfexp_model::At;
use nfexp_model::conn::Attached;
use nfexp_model::event::{Cause, ExpectFn, Origin};
use nfexp_model::kernel::Plain;
use nfexp_model::slip::Slip;
use nfexp_model::watch::Counting;

use super::{Actor, Done, Next, Step};
use crate::scene::{Machine, NET};
impl<P: Machine> Actor<P> {
    pub(super) fn unregister(&self, at: At) -> Next {
        let engine = &self.scene.engine;
        let me = engine.helper_named("ftp").expect("it is registered");
        let mut locked = engine.lock();
        locked.iterate_destroy(at, NET, Origin::KERNEL, Cause::HelperGone, |exp| {
            engine.ends_with(&exp.about(), me)
        });
        for id in engine.conns_of(NET) {
            if engine.attached_of(id) != Attached::Nothing && !engine.helper_stays() {
                engine.forget_helper(id);
            }
        }
        let left = locked.audit_unregistered(at, NET, me, Counting::Linked);
        left.unwrap_or_else(|violation| panic!("{violation}"));
        drop(locked);
        if self.scene.scenario.variant.function {
            let text = Arc::clone(&self.scene.helper_text);
            if P::slips(Slip::UnregisterWithoutWait) {
                text.set(1);
            } else {
                P::after_grace_period(engine.rcu(), Box::new(move || text.set(1)));
            }
        }
        Done
    }

    /// The module with the function goes.
    pub(super) fn rmmod(&self, at: At, step: u8) -> Next {
        let engine = &self.scene.engine;
        if step == 0 {
            engine.expectfn_unregister(at, ExpectFn::Sip);
            return Step;
        }
        let text = Arc::clone(&self.scene.text);
        P::after_grace_period(engine.rcu(), Box::new(move || text.set(1)));
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
