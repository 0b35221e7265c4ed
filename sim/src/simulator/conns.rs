// SPDX-License-Identifier: GPL-2.0-only
//! Steps about connections.

use nfexp_model::conn::ConnRef;
use nfexp_model::conntrack::Direction;
use nfexp_model::event::{Cause, ExpectFn, Origin};
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::tuple::Tuple;
use nfexp_traces::step::{Fate, HelperChoice, Place};

use super::{Played, SimulatorOn, StepError};

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    pub(super) fn conn(
        &mut self,
        name: &str,
        tuple: &Tuple,
        place: Place,
        helper: &HelperChoice,
        (mark, secmark): (u32, u32),
    ) -> Played {
        self.free_name(name)?;
        self.known_net(place.net)?;
        let unanswerable = || StepError::Trace(format!("nothing answers {tuple}"));
        let reply = tuple.inverse().ok_or_else(unanswerable)?;
        let Ok(ct) = self.engine.alloc_conn(place.net, place.zone, *tuple, reply) else {
            self.answers.push("no-memory".into());
            return Ok(());
        };
        self.engine.set_mark(&ct, mark);
        self.engine.set_secmark(&ct, secmark);
        let attached = match helper {
            HelperChoice::Nothing => Ok(()),
            HelperChoice::Extension => self.engine.attach(&ct, None),
            HelperChoice::Named(helper) => {
                let helper = self.helper_id(helper)?;
                self.engine.attach(&ct, Some(helper))
            }
        };
        self.say_unless(attached.is_ok(), "no-memory");
        self.conn_names.insert(ct.id(), name.to_owned());
        self.conns.insert(name.to_owned(), ct);
        Ok(())
    }

    pub(super) fn confirm(&mut self, conn: &str) -> Played {
        let confirmed = self.engine.confirm(self.at(), self.conn_ref(conn)?, Origin::KERNEL);
        self.say_unless(confirmed, "dropped");
        Ok(())
    }

    pub(super) fn delete(&mut self, conn: &str) -> Played {
        let deleted = self.engine.end_conn(self.at(), self.conn_ref(conn)?, Origin::KERNEL);
        self.drain();
        self.say_unless(deleted, "not-in-the-table");
        Ok(())
    }

    pub(super) fn destroy(&mut self, conn: &str) -> Played {
        let ct = self.take_conn(conn)?;
        self.engine.end_conn(self.at(), &ct, Origin::KERNEL);
        self.engine.put_conn(self.at(), ct);
        Ok(())
    }

    pub(super) fn change_helper(&mut self, conn: &str, helper: &HelperChoice) -> Played {
        let at = self.at();
        let helper = match helper {
            HelperChoice::Named(name) => Some(self.helper_id(name)?),
            _ => None,
        };
        let ct = self.conn_ref(conn)?;
        if helper.is_none() {
            self.engine.lock().remove_expectations(at, ct.id(), Cause::MasterGone);
        }
        let attached = self.engine.attach(ct, helper);
        self.drain();
        self.say_unless(attached.is_ok(), "no-memory");
        Ok(())
    }

    pub(super) fn packet(
        &mut self,
        tuple: &Tuple,
        place: Place,
        name: Option<&str>,
        fate: Fate,
    ) -> Played {
        self.known_net(place.net)?;
        let at = self.at();
        if let Some((ct, direction)) = self.engine.find_conn(place.net, place.zone, tuple) {
            let known = self.conn_names.get(&ct.id()).map_or("unnamed", String::as_str);
            let way = if direction == Direction::Original { "original" } else { "reply" };
            self.answers.push(format!("known {known} {way}"));
            self.engine.put_conn(at, ct);
            return Ok(());
        }
        if let Some(name) = name {
            self.free_name(name)?;
        }
        let unanswerable = || StepError::Trace(format!("nothing answers {tuple}"));
        let reply = tuple.inverse().ok_or_else(unanswerable)?;
        let unlink = fate != Fate::Template;
        let born = self.engine.init_conntrack(at, place.net, place.zone, *tuple, reply, unlink);
        let Ok(born) = born else {
            self.drain();
            self.answers.push("dropped".into());
            return Ok(());
        };
        self.drain();
        self.answers.push(self.describe(&born.ct, born.call.map(|call| call.function)));
        match fate {
            Fate::Forwarded => {
                let confirmed = self.engine.confirm(at, &born.ct, Origin::KERNEL);
                self.say_unless(confirmed, "dropped");
            }
            Fate::Dropped | Fate::Template => self.answers.push("dropped".into()),
        }
        match name {
            Some(name) => {
                self.conn_names.insert(born.ct.id(), name.to_owned());
                self.conns.insert(name.to_owned(), born.ct);
            }
            None => self.engine.put_conn(at, born.ct),
        }
        Ok(())
    }

    /// What a new connection got from its master.
    pub(super) fn describe(&self, ct: &ConnRef, expectfn: Option<ExpectFn>) -> String {
        let about = self.engine.conn(ct.id()).about();
        let Some(master) = about.master else {
            return "new-connection".to_owned();
        };
        let master = self.conn_names.get(&master).map_or("unnamed", String::as_str);
        let mut line = format!("related {master}");
        for (word, mark) in [("mark", about.mark), ("secmark", about.secmark)] {
            if mark != 0 {
                line += &format!(" {word}={mark}");
            }
        }
        if let Some(helper) = self.engine.helper_of(ct) {
            line += &format!(" helper={}", self.engine.helper(helper).name);
        }
        if let Some(function) = expectfn {
            // Nothing is translated here, so that it is called is all there is to tell.
            line += &format!(" fn={}", function.name().unwrap_or("unnamed"));
        }
        line
    }
}
