// SPDX-License-Identifier: GPL-2.0-only
//! Announcements: what is checked, who makes room, and what lookups find.

use nfexp_model::expectation::Flags;
use nfexp_model::helper::{Class, ExpectPolicy};
use nfexp_model::kernel::Ticks;
use nfexp_model::revision::{ClashScope, ClassLimit, Duplicate};
use nfexp_model::tuple::Tuple;
use nfexp_traces::step::Place;

use super::time::{counts_down_to, fires_at};
use super::{Exp, Reference, Said};

impl Reference {
    /// An announcement; the reference to it is held under its name.
    pub(super) fn expect(&mut self, said: Said, skip_master: bool) -> Vec<String> {
        let (master, name) = (self.named[&said.master], said.name.clone());
        let creator = self.conns[master].help.flatten();
        let (linked, firing, dead) = (false, false, false);
        let (expires, deadline) = (self.now, self.now);
        let fresh = Exp { said, master, creator, linked, firing, dead, held: 1, expires, deadline };
        self.held.insert(name.clone(), self.exps.len());
        self.exps.push(fresh);
        self.relate(&name, skip_master)
    }

    /// The same object is announced again.
    pub(super) fn relate(&mut self, name: &str, skip_master: bool) -> Vec<String> {
        let was = self.held[name];
        let new = self.exps[was].clone();
        let mut told = Vec::new();
        let checked = self.check(&new, skip_master, &mut told);
        // What stands later in the vector is younger: whoever is inserted moves to its end, and
        // an empty place stays where it was.
        let blank = Exp { linked: false, held: 0, ..new.clone() };
        self.exps[was] = blank;
        self.held.values_mut().filter(|at| **at == was).for_each(|at| *at = usize::MAX);
        self.exps.push(new);
        let at = self.exps.len() - 1;
        self.held.values_mut().filter(|at| **at == usize::MAX).for_each(|place| *place = at);
        let line = match checked {
            Err(why) => format!("refused {name} {why}"),
            Ok(()) => {
                self.insert(at);
                format!("new {} use={}", self.exps[at].said.name, self.references(&self.exps[at]))
            }
        };
        told.push(line);
        told
    }

    fn insert(&mut self, at: usize) {
        let exp = &self.exps[at];
        let policy = self.policy(exp);
        let span = policy
            .map_or(exp.said.lives, |policy| u64::from(policy.timeout_secs) * u64::from(self.hz));
        let (kind, now, net) = (self.revision.wheel, self.now, self.net_of(exp));
        let exact = self.collects();
        let exp = &mut self.exps[at];
        exp.linked = true;
        exp.expires = if exact { now.after(Ticks(span)) } else { counts_down_to(kind, now, span) };
        exp.deadline = if exact { exp.expires } else { fires_at(kind, now, span) };
        self.stats.entry(net).or_default()[1] += 1;
    }

    /// Whether a held expectation's master is there, and has a policy for it at this moment.
    #[must_use]
    pub fn has_policy(&self, name: &str) -> bool {
        let exp = &self.exps[self.held[name]];
        self.conns[exp.master].refs > 0 && self.policy(exp).is_some()
    }

    /// Whether a connection's helper has more than one class.
    #[must_use]
    pub fn has_classes(&self, master: &str) -> bool {
        let helper = self.conns[self.named[master]].help.flatten();
        helper.is_some_and(|helper| helper.policies.len() > 1)
    }

    /// Whether a connection has the helper extension.
    #[must_use]
    pub fn has_extension(&self, conn: &str) -> bool {
        self.conns[self.named[conn]].help.is_some()
    }

    /// The name an expectation was announced under, whatever it is held as.
    #[must_use]
    pub fn name_of(&self, held: &str) -> String {
        self.exps[self.held[held]].said.name.clone()
    }

    /// Whether a lookup would find something.
    #[must_use]
    pub fn finds(&self, tuple: &Tuple, place: Place) -> bool {
        self.hit(tuple, place, false).is_some()
    }

    fn policy(&self, exp: &Exp) -> Option<ExpectPolicy> {
        let helper = self.conns[exp.master].help.flatten()?;
        let class = Class::new(exp.said.class).expect("a class of four");
        Some(helper.policy(class).copied().unwrap_or_default())
    }

    fn check(
        &mut self,
        new: &Exp,
        skip_master: bool,
        told: &mut Vec<String>,
    ) -> Result<(), &'static str> {
        if self.conns[new.master].help.is_none() {
            return Err("no-helper");
        }
        // Youngest first, as a bucket is.
        for at in (0..self.exps.len()).rev() {
            if self.exps[at].linked && !self.is_over(&self.exps[at]) {
                if self.replaces(at, new, skip_master)? {
                    if self.end(at, "refresh", told) {
                        break;
                    }
                } else if self.clashes(at, new) {
                    return Err("clash");
                }
            }
        }
        if let Some(max) = self.class_limit(new) {
            self.make_room(new, max, told)?;
        }
        let full = self.linked_in(self.net_of(new)) >= self.expect_max;
        if full { Err("table-full") } else { Ok(()) }
    }

    fn replaces(&self, at: usize, new: &Exp, skip_master: bool) -> Result<bool, &'static str> {
        let old = &self.exps[at];
        let same_place = self.conns[old.master].place == self.conns[new.master].place;
        let equal = old.said.tuple == new.said.tuple && old.said.mask == new.said.mask;
        let (own, class) = (old.master == new.master, old.said.class == new.said.class);
        if !equal || !same_place {
            return Ok(false);
        }
        let answers = self.revision.duplicate == Duplicate::AnswerAlready;
        match own && class {
            true => Ok(true),
            false if answers && (own || skip_master) => Err("already-expected"),
            false => Ok(false),
        }
    }

    fn clashes(&self, at: usize, new: &Exp) -> bool {
        let old = &self.exps[at];
        let (here, there) = (self.conns[new.master].place, self.conns[old.master].place);
        let scope = here.net == there.net
            && (here.zone == there.zone || self.revision.clash_scope == ClashScope::AnyZone);
        let both = old.said.mask.intersect(&new.said.mask);
        scope && old.said.tuple.matches(&new.said.tuple, &both)
    }

    fn class_limit(&self, new: &Exp) -> Option<u32> {
        let max = self.policy(new).map_or(0, |policy| policy.max_expected);
        match self.revision.class_limit {
            ClassLimit::PolicyOnly => Some(max).filter(|max| *max != 0),
            ClassLimit::AtMost255 => Some(if max == 0 { 255 } else { max.min(255) }),
        }
    }

    fn make_room(
        &mut self,
        new: &Exp,
        max: u32,
        told: &mut Vec<String>,
    ) -> Result<(), &'static str> {
        let of_class =
            |exp: &Exp| exp.linked && exp.master == new.master && exp.said.class == new.said.class;
        let count = |all: &Self| all.exps.iter().filter(|exp| of_class(exp)).count() as u32;
        if count(self) < max {
            return Ok(());
        }
        let own_over =
            self.exps.iter().any(|exp| exp.linked && exp.master == new.master && self.is_over(exp));
        if own_over {
            return Err("what is over was not collected before somebody was evicted");
        }
        if let Some(oldest) = self.exps.iter().position(of_class) {
            self.end(oldest, "eviction", told);
        }
        let refuses = self.revision.class_limit == ClassLimit::PolicyOnly;
        if refuses && count(self) >= max { Err("class-full") } else { Ok(()) }
    }

    /// An announcement is taken back.
    pub(super) fn unexpect(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        let at = self.held[name];
        match self.collects() {
            // It is marked, linked or not: what is announced again later is still dead.
            true => self.exps[at].dead = true,
            false if self.exps[at].linked => drop(self.end(at, "unexpect", &mut told)),
            false => {}
        }
        told
    }

    /// Its flags change where it is.
    pub(super) fn set_flags(&mut self, name: &str, flags: Flags) {
        let at = self.held[name];
        self.exps[at].said.flags = flags;
        self.exps[at].dead = false;
    }

    /// A held expectation is given back.
    pub(super) fn put(&mut self, name: &str) {
        if let Some(at) = self.held.remove(name) {
            self.exps[at].held -= 1;
        }
    }

    /// The youngest that a tuple hits.
    pub(super) fn hit(&self, tuple: &Tuple, place: Place, active: bool) -> Option<usize> {
        (0..self.exps.len()).rev().find(|at| {
            let exp = &self.exps[*at];
            exp.linked
                && !self.is_over(exp)
                && tuple.matches(&exp.said.tuple, &exp.said.mask)
                && self.conns[exp.master].place == place
                && !(active && exp.said.flags.has(Flags::INACTIVE))
        })
    }

    /// A lookup, which may keep its reference under a name.
    pub(super) fn lookup(
        &mut self,
        tuple: &Tuple,
        place: Place,
        name: Option<&str>,
    ) -> Vec<String> {
        let Some(at) = self.hit(tuple, place, false) else { return vec!["none".into()] };
        self.exps[at].held += 1;
        let uses = self.references(&self.exps[at]);
        let line = format!("found {} use={uses}", self.exps[at].said.name);
        match name {
            Some(name) => drop(self.held.insert(name.to_owned(), at)),
            None => self.exps[at].held -= 1,
        }
        vec![line]
    }
}
