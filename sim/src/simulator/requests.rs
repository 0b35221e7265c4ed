// SPDX-License-Identifier: GPL-2.0-only
//! Steps in the words of a transcript: requests of a user, and packets of a network.

use nfexp_model::ctnetlink::dump::ExpectInfo;
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_traces::transcript::Operation;

use super::SimulatorOn;
use crate::conform::seconds_left;

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    /// Answers what happened, then what was returned, then what a listing told.
    pub(super) fn request(&mut self, operation: &Operation) {
        let at = self.at();
        let Some(done) = self.host.perform(&self.engine, at, operation) else {
            return;
        };
        self.drain();
        if let Some(ret) = done.answer.ret {
            self.answers.push(format!("ret {ret}"));
        }
        if done.answer.fwd == Some(false) {
            self.answers.push("dropped".to_owned());
        }
        for info in done.told {
            let row = self.row(&info);
            self.answers.push(row);
        }
    }

    fn row(&self, info: &ExpectInfo) -> String {
        let seconds = seconds_left(&self.engine, self.at(), info.expires);
        let mut row = format!("row {} timeout={seconds}s", self.name_of(info.id));
        if info.flags.0 != 0 {
            row += &format!(" flags={:#x}", info.flags.0);
        }
        if info.class.number() != 0 {
            row += &format!(" class={}", info.class.number());
        }
        if let Some(helper) = info.helper {
            row += &format!(" helper={}", self.engine.helper(helper).name);
        }
        if let Some(name) = info.function.and_then(|function| function.name()) {
            row += &format!(" fn={name}");
        }
        if let Some(nat) = info.nat {
            let (addr, port) = (nat.tuple.src.ip(nat.tuple.l3), nat.tuple.sport);
            row += &format!(" nat={addr}:{port}/{}", nat.dir);
        }
        row
    }
}
