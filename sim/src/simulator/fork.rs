// SPDX-License-Identifier: GPL-2.0-only
//! A simulation that goes two ways from here on.
//!
//! The rule that matters: what is held by a name in the one is held by it in the other, and names are
//! part of the situation: who compares two names alike what is alike.

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::Firing;
use nfexp_model::expectation::ExpectRef;
use nfexp_model::fingerprint::{Fold, Held, Part};
use nfexp_model::snapshot::OneCpu;

use super::SimulatorOn;
use crate::schedule::Schedule;

impl<P: OneCpu> SimulatorOn<P> {
    /// The same simulation once more, its softirqs by `schedule`; `None` if another eviction than the
    /// kernel's sits in its engine. Events that were not taken stay with the original.
    #[must_use]
    pub fn fork(&self, schedule: Box<dyn Schedule>) -> Option<Self> {
        let exps = self.exps.iter().map(|(name, exp)| (name.clone(), exp.again()));
        let conns = self.conns.iter().map(|(name, conn)| (name.clone(), conn.again()));
        let fired = self.fired.iter().map(|(name, firing)| (name.clone(), firing.again()));
        Some(Self {
            engine: self.engine.snapshot()?,
            now: self.now,
            conns: conns.collect(),
            exps: exps.collect(),
            names: self.names.clone(),
            conn_names: self.conn_names.clone(),
            conn_names_most: self.conn_names_most,
            freed: self.freed.clone(),
            fired: fired.collect(),
            schedule,
            firing: self.firing.iter().map(Firing::again).collect(),
            ticked: self.ticked,
            files: self.files.clone(),
            held: self.held.clone(),
            waiting: self.waiting,
            host: self.host.clone(),
            answers: Vec::new(),
            raw: Vec::new(),
            watch: self.watch.clone(),
            found: self.found.clone(),
            audits: self.audits,
            refusals: self.refusals,
            audited: self.audited,
            looked: self.looked,
        })
    }

    /// Whether a trace holds something by this name.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.conns.contains_key(name) || self.exps.contains_key(name)
    }

    /// The number of the situation: the engine's, with whose references and callbacks are held by
    /// which name. Files that are open, and what users have asked for, are not in it.
    #[must_use]
    pub fn fingerprint(&self, key: u64) -> u64 {
        let mut fold = Fold::new(key);
        self.situation(|_, word| fold.word(word));
        fold.finish()
    }

    /// Tells that situation, word by word.
    pub fn situation(&self, mut told: impl FnMut(Part, u64)) {
        let names = self.conns.keys().chain(self.exps.keys()).chain(self.fired.keys());
        for name in names {
            let mut word = Fold::new(0);
            name.bytes().for_each(|byte| word.word(byte.into()));
            told(Part::References, word.finish());
        }
        let conns: Vec<_> = self.conns.values().map(ConnRef::id).collect();
        let expectations: Vec<_> = self.exps.values().map(ExpectRef::id).collect();
        let firing = self.fired.values().chain(&self.firing).map(Firing::key);
        let firing: Vec<_> = firing.collect();
        let (conns, expectations) = (conns.as_slice(), expectations.as_slice());
        self.engine.situation(&Held { now: self.now, conns, expectations, firing: &firing }, told);
    }
}
