// SPDX-License-Identifier: GPL-2.0-only
//! What a trace holds by name.

use std::collections::{BTreeMap, BTreeSet};

use nfexp_model::conn::ConnRef;
use nfexp_model::expectation::{ExpectId, ExpectRef};
use nfexp_model::helper::HelperId;
use nfexp_model::kernel::Cpu;
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::netns::NetId;

use super::{Played, SimulatorOn, StepError};

/// What each expectation is called, and which ones are called so: one name may be given again.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    of: BTreeMap<ExpectId, String>,
    called: BTreeMap<String, BTreeSet<ExpectId>>,
}

impl Names {
    pub(super) fn give(&mut self, id: ExpectId, name: &str) {
        self.take(id);
        self.of.insert(id, name.to_owned());
        self.called.entry(name.to_owned()).or_default().insert(id);
    }

    /// Forgets the name of an expectation.
    pub(super) fn take(&mut self, id: ExpectId) -> Option<String> {
        let name = self.of.remove(&id)?;
        if let Some(called) = self.called.get_mut(&name) {
            called.remove(&id);
            if called.is_empty() {
                self.called.remove(&name);
            }
        }
        Some(name)
    }

    fn of(&self, id: ExpectId) -> Option<&String> {
        self.of.get(&id)
    }

    /// The first of this name.
    fn called(&self, name: &str) -> Option<ExpectId> {
        self.called.get(name)?.first().copied()
    }
}

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    pub(super) fn say_unless(&mut self, fine: bool, line: &str) {
        if !fine {
            self.answers.push(line.to_owned());
        }
    }

    pub(super) fn uses(&self, id: ExpectId) -> u32 {
        self.engine.use_count(id)
    }

    pub(super) fn name_of(&self, id: ExpectId) -> String {
        let tuple = || self.engine.expectation(id).tuple().to_string();
        self.names.of(id).cloned().unwrap_or_else(tuple)
    }

    pub(super) fn free_name(&self, name: &str) -> Played {
        let taken = self.conns.contains_key(name)
            || self.exps.contains_key(name)
            || self.files.contains_key(name);
        if taken { Err(StepError::Trace(format!("{name} is held already"))) } else { Ok(()) }
    }

    pub(super) fn conn_ref(&self, name: &str) -> Played<&ConnRef> {
        let missing = || StepError::Trace(format!("no connection {name} is held"));
        self.conns.get(name).ok_or_else(missing)
    }

    pub(super) fn take_conn(&mut self, name: &str) -> Played<ConnRef> {
        let missing = || StepError::Trace(format!("nothing is held as {name}"));
        self.conns.remove(name).ok_or_else(missing)
    }

    pub(super) fn exp_ref(&self, name: &str) -> Played<&ExpectRef> {
        let missing = || StepError::Trace(format!("no expectation {name} is held"));
        self.exps.get(name).ok_or_else(missing)
    }

    pub(super) fn exp_id(&self, name: &str) -> Played<ExpectId> {
        let held = self.exps.get(name).map(ExpectRef::id);
        held.or_else(|| self.names.called(name))
            .ok_or_else(|| StepError::Trace(format!("there is no expectation {name}")))
    }

    pub(super) fn helper_id(&self, name: &str) -> Played<HelperId> {
        self.engine.helper_named(name).ok_or_else(|| {
            // A trace may define thousands.
            let named = self.engine.config().helpers.iter().map(|helper| helper.name).take(32);
            let named = named.collect::<Vec<_>>().join(", ");
            StepError::Trace(format!("there is no helper {name}: expected one of {named}"))
        })
    }

    pub(super) fn known_net(&self, net: NetId) -> Played {
        let missing = || StepError::Trace(format!("there is no {net:?}"));
        if self.engine.has_net(net) { Ok(()) } else { Err(missing()) }
    }

    pub(super) fn known_cpu(&self, cpu: Cpu) -> Played {
        let missing = || StepError::Trace(format!("there is no {cpu:?}"));
        if cpu.0 < self.engine.config().cpus { Ok(()) } else { Err(missing()) }
    }
}
