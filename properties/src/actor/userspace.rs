// SPDX-License-Identifier: GPL-2.0-only
//! What user space does: the listing, and ctnetlink.
//!
//! The rule that matters: where a revision looks without the lock, a step ends after the lookup,
//! and another is between it and what is done with what was found.

use std::sync::Arc;

use nfexp_model::At;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::NewEvent;
use nfexp_model::slip::Slip;

use super::{Actor, Done, Hand, Next, Step};
use crate::op::Op;
use crate::scene::{Machine, NET, ZONE, tuple};
impl<P: Machine> Actor<P> {
    pub(super) fn list(&mut self, at: At, op: Op, lines: u64) -> Next {
        let fresh = || (SeqFile::open(NET), String::new());
        let (mut file, mut text) = self.hand.file.take().unwrap_or_else(fresh);
        let read = file.read(&*self.scene.engine, at, lines, &mut text).expect("a string");
        if lines == 1 && read > 0 {
            self.hand.file = Some((file, text));
            return Step;
        }
        assert!(!text.contains("another"), "ListsOwn: the helper of another connection: {text}");
        self.note(op, text.lines().count())
    }

    pub(super) fn get(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        let shown = |id| {
            let master = engine.expectation(id).about().master;
            assert_eq!(engine.conn(master).about().original.dport, 21, "another connection");
        };
        if engine.config().revision.new_event == NewEvent::UnderLock {
            // The same commit that moved the event took the lock here (bffcaad9afdf).
            let locked = engine.lock();
            let found = locked.find(at, NET, ZONE, &tuple(41000, port));
            found.into_iter().for_each(shown);
            return self.note(op, if found.is_some() { "found" } else { "none" });
        }
        match step {
            0 => match engine.find_get(at, NET, ZONE, &tuple(41000, port)) {
                None => return self.note(op, "none"),
                Some(exp) => self.hand.exp = Some(exp),
            },
            1 => self.hand.exp.iter().for_each(|exp| shown(exp.id())),
            _ => {
                self.hand.exp.take().into_iter().for_each(|exp| engine.put(exp));
                return self.note(op, "found");
            }
        }
        Step
    }

    /// A dump whose buffer is full at the first expectation, twice; it resumes there.
    pub(super) fn dump(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        let full_at = |hand: &mut Hand| {
            let here = engine.find_get(at, NET, ZONE, &tuple(41000, port));
            if P::slips(Slip::DumpReferenceTwice) {
                hand.exp = None;
            }
            let before = std::mem::replace(&mut hand.exp, here);
            before.into_iter().for_each(|exp| engine.put(exp));
        };
        match step {
            0 => {
                match self.hand.own.take() {
                    Some(own) if P::slips(Slip::DumpUncountedMaster) => engine.put_conn(at, own),
                    own => self.hand.master = own,
                }
                full_at(&mut self.hand);
            }
            1 => {
                let listed = engine.expectations_of(self.scene.master_id).len();
                self.scene.note(op, listed);
                full_at(&mut self.hand);
            }
            _ => {
                self.hand.exp.take().into_iter().for_each(|exp| engine.put(exp));
                self.hand.master.take().into_iter().for_each(|ct| engine.put_conn(at, ct));
                return Done;
            }
        }
        Step
    }

    pub(super) fn delete(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        let origin = Origin { portid: 1, report: true };
        if engine.config().revision.new_event == NewEvent::UnderLock {
            // The same commit that moved the event took the lock here (bffcaad9afdf).
            let mut locked = engine.lock();
            let found = locked.find(at, NET, ZONE, &tuple(41000, port));
            found.map(|exp| locked.remove(at, exp.index(), origin, Cause::Delete));
            drop(locked);
            return self.note(op, if found.is_some() { "done" } else { "none" });
        }
        match step {
            0 => match engine.find_get(at, NET, ZONE, &tuple(41000, port)) {
                None => return self.note(op, "none"),
                Some(exp) => self.hand.exp = Some(exp),
            },
            1 => {
                let index = self.hand.exp.as_ref().expect("found before").id().index();
                engine.lock().remove(at, index, origin, Cause::Delete);
                // KERNEL: ctnetlink_del_expect(), v3.9: success, whoever removed it.
                self.scene.note(op, "done");
            }
            _ => {
                self.hand.exp.take().into_iter().for_each(|exp| engine.put(exp));
                return Done;
            }
        }
        Step
    }

    pub(super) fn change(&self, at: At, op: Op, port: u8) -> Next {
        let mut locked = self.scene.engine.lock();
        let found = locked.find(at, NET, ZONE, &tuple(41000, port));
        P::changes_lifetime(true);
        let answer = match found {
            None => "none",
            Some(exp) if locked.change_timeout(at, exp.index(), 10).is_ok() => "changed",
            Some(_) => "late",
        };
        P::changes_lifetime(false);
        drop(locked);
        self.note(op, answer)
    }
}
