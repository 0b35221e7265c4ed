// SPDX-License-Identifier: GPL-2.0-only
//! Steps about namespaces and helpers, what is counted, and the end of everything.

use std::collections::BTreeMap;

use nfexp_model::event::{Cause, Origin};
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::netns::NetId;
use nfexp_model::revision::TableScope;
use nfexp_model::watch::Counting;

use super::{Played, SimulatorOn, StepError, unless_it_crashes};

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    pub(super) fn netns_init(&mut self, net: NetId) -> Played {
        if net.0 >= self.engine.config().netns {
            return Err(StepError::Trace(format!("the trace has no room for {net:?}")));
        }
        if self.engine.has_net(net) {
            return Err(StepError::Trace(format!("{net:?} exists already")));
        }
        let begun = self.engine.pernet_init(net);
        self.say_unless(begun.is_ok(), "no-memory");
        Ok(())
    }

    pub(super) fn netns_exit(&mut self, net: NetId) -> Played {
        self.known_net(net)?;
        let others = 1..self.engine.config().netns;
        let has_all = self.engine.config().revision.table == TableScope::Global;
        if net == NetId::INIT
            && has_all
            && others.into_iter().any(|n| self.engine.has_net(NetId(n)))
        {
            let why = "the first namespace has the table of all: the others end before it";
            return Err(StepError::Trace(why.to_owned()));
        }
        let at = self.at();
        let names: BTreeMap<_, _> =
            self.conns.iter().rev().map(|(name, ct)| (ct.id(), name.clone())).collect();
        for id in self.engine.conns_of(net) {
            let (tuple, zone) = self.engine.place_of(id);
            if let Some(ct) = names.get(&id).and_then(|name| self.conns.get(name)) {
                self.engine.end_conn(at, ct, Origin::KERNEL);
            } else if let Some((ct, _)) = self.engine.find_conn(net, zone, &tuple) {
                self.engine.end_conn(at, &ct, Origin::KERNEL);
                self.engine.put_conn(at, ct);
            }
            self.drain();
        }
        self.engine.lock().iterate_destroy(at, net, Origin::KERNEL, Cause::NamespaceExit, |_| true);
        self.drain();
        self.engine.pernet_fini(net);
        Ok(())
    }

    pub(super) fn stats(&mut self, net: NetId) -> Played {
        self.known_net(net)?;
        let stats = self.engine.stats(net);
        self.answers.push(format!(
            "stats found={} expect_new={} expect_create={} expect_delete={} count={}",
            stats.found,
            stats.expect_new,
            stats.expect_create,
            stats.expect_delete,
            self.engine.expect_count(net)
        ));
        Ok(())
    }

    pub(super) fn memory(&mut self) {
        let memory = self.engine.memory();
        let (exps, conns) = (memory.expectations.live(), memory.conns.live());
        let waiting = self.engine.rcu().waiting();
        self.answers.push(format!("memory expectations={exps} conns={conns} waiting={waiting}"));
    }

    /// Ends the helper.
    pub(super) fn unregister(&mut self, helper: &str) -> Played {
        let (at, helper) = (self.at(), self.helper_id(helper)?);
        self.engine.helper_unregister(at, helper);
        for net in (0..self.engine.config().netns).map(NetId) {
            if self.engine.has_net(net) {
                let counting = Counting::Live;
                let left = self.engine.lock().audit_unregistered(at, net, helper, counting);
                self.find(left);
            }
        }
        Ok(())
    }

    /// Audits, gives everything back, unloads the module, and finds nothing left.
    ///
    /// # Errors
    /// What is left, or what broke on the way.
    pub fn finish(mut self) -> Played {
        self.audit()?;
        let ended = unless_it_crashes(|| self.give_back());
        let crashed = |_| StepError::Crash("while everything was given back".to_owned());
        ended.map_err(crashed)?;
        // What the end told is heard; then nobody is left to be told of.
        while let Some(event) = self.engine.poll_event() {
            self.watch.hear(&event)?;
        }
        self.watch.all_over()?;
        self.engine.fini()?;
        Ok(())
    }

    pub(super) fn give_back(&mut self) {
        let at = self.at();
        for (cpu, depth) in std::mem::take(&mut self.held) {
            (0..depth).for_each(|_| self.engine.rcu().release(cpu));
        }
        let firing = std::mem::take(&mut self.fired).into_values();
        for firing in firing.chain(std::mem::take(&mut self.firing)) {
            self.engine.timed_out(at, firing);
        }
        std::mem::take(&mut self.exps).into_values().for_each(|exp| self.engine.put(exp));
        for ct in std::mem::take(&mut self.conns).into_values() {
            self.engine.end_conn(at, &ct, Origin::KERNEL);
            self.engine.put_conn(at, ct);
        }
        for net in (0..self.engine.config().netns).map(NetId) {
            for id in self.engine.conns_of(net) {
                let (tuple, zone) = self.engine.place_of(id);
                if let Some((ct, _)) = self.engine.find_conn(net, zone, &tuple) {
                    self.engine.end_conn(at, &ct, Origin::KERNEL);
                    self.engine.put_conn(at, ct);
                }
            }
        }
    }
}
