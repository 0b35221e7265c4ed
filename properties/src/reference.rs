// SPDX-License-Identifier: GPL-2.0-only
//! The naive reference: what a listener and a caller see, and nothing of how.
//!
//! Expectations stand in a vector, every operation looks at all of them, and time is a
//! comparison with a deadline. There is no list, no bucket, no timer base, no RCU, so it cannot
//! be wrong in the way an engine is. It answers the lines that `nfexp-sim` answers.
//!
//! The rule that matters: it is written from the description of the kernel, not from the engine.

use std::collections::BTreeMap;

use nfexp_model::expectation::Flags;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::netns::Zone;
use nfexp_model::revision::{ClashScope, Duplicate, MasterRef, Revision, WheelKind};
use nfexp_model::tuple::{Mask, Tuple};

/// What the reference is told of an expectation.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its name.
    pub name: String,
    /// Its master's name.
    pub master: String,
    /// What is expected.
    pub tuple: Tuple,
    /// Which part of the source matters.
    pub mask: Mask,
    /// Its class.
    pub class: u8,
    /// Its flags.
    pub flags: Flags,
}

#[derive(Clone, Debug)]
struct Exp {
    said: Said,
    master: usize,
    linked: bool,
    held: u32,
    /// When it is gone, the wheel's lateness included.
    deadline: Jiffies,
}

#[derive(Clone, Debug)]
struct Conn {
    name: Option<String>,
    tuple: Tuple,
    zone: Zone,
    policies: Option<Vec<(u32, u32)>>,
    confirmed: bool,
    dying: bool,
    /// Held by the trace, the table, and children.
    refs: u32,
    parent: Option<usize>,
}

/// The reference.
#[derive(Clone, Debug)]
pub struct Reference {
    revision: Revision,
    hz: u32,
    expect_max: u32,
    now: Jiffies,
    exps: Vec<Exp>,
    conns: Vec<Conn>,
    /// What the trace holds: indices into `conns` and `exps`.
    named: BTreeMap<String, usize>,
    held: BTreeMap<String, usize>,
    stats: [u32; 3],
}

impl Reference {
    /// An empty table.
    #[must_use]
    pub fn new(revision: Revision, hz: u32, expect_max: u32) -> Self {
        Self {
            revision,
            hz,
            expect_max,
            now: Jiffies::initial(hz),
            exps: Vec::new(),
            conns: Vec::new(),
            named: BTreeMap::new(),
            held: BTreeMap::new(),
            stats: [0; 3],
        }
    }

    /// A master: its helper's limits and timeouts in seconds, by class; `None` for no extension.
    pub fn conn(
        &mut self,
        name: &str,
        tuple: Tuple,
        zone: Zone,
        policies: Option<Vec<(u32, u32)>>,
    ) {
        self.named.insert(name.to_owned(), self.conns.len());
        let (name, parent) = (Some(name.to_owned()), None);
        let (confirmed, dying, refs) = (false, false, 1);
        self.conns.push(Conn { name, tuple, zone, policies, confirmed, dying, refs, parent });
    }

    /// Its first packet got through.
    pub fn confirm(&mut self, name: &str) -> Vec<String> {
        let conn = &mut self.conns[self.named[name]];
        if conn.confirmed || conn.dying {
            return vec!["dropped".into()];
        }
        conn.confirmed = true;
        conn.refs += 1;
        Vec::new()
    }

    /// It leaves the table.
    pub fn delete(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        if !self.leave_table(self.named[name], &mut told) {
            told.push("not-in-the-table".into());
        }
        told
    }

    /// It leaves the table and its reference is given back.
    pub fn destroy(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        if let Some(index) = self.named.remove(name) {
            self.leave_table(index, &mut told);
            self.put_conn(index, &mut told);
        }
        told
    }

    fn leave_table(&mut self, index: usize, told: &mut Vec<String>) -> bool {
        let conn = &mut self.conns[index];
        let was = std::mem::replace(&mut conn.dying, true);
        if was || !conn.confirmed {
            return false;
        }
        told.push(format!("gone {}", conn.name.as_deref().unwrap_or("unnamed")));
        self.end_all_of(index, told);
        self.put_conn(index, told);
        true
    }

    fn put_conn(&mut self, index: usize, told: &mut Vec<String>) {
        self.conns[index].refs -= 1;
        if self.conns[index].refs == 0 {
            self.end_all_of(index, told);
            if let Some(parent) = self.conns[index].parent {
                self.put_conn(parent, told);
            }
        }
    }

    fn end_all_of(&mut self, master: usize, told: &mut Vec<String>) {
        for at in (0..self.exps.len()).rev() {
            if self.exps[at].linked && self.exps[at].master == master {
                self.end(at, "master-gone", told);
            }
        }
    }

    fn end(&mut self, at: usize, cause: &str, told: &mut Vec<String>) {
        self.exps[at].linked = false;
        self.stats[2] += 1;
        told.push(format!("destroy {} {cause}", self.exps[at].said.name));
    }

    /// An announcement; the reference to it is held under its name.
    pub fn expect(&mut self, said: Said) -> Vec<String> {
        let (master, name) = (self.named[&said.master], said.name.clone());
        let fresh = Exp { said, master, linked: false, held: 1, deadline: self.now };
        let mut told = Vec::new();
        let checked = self.check(&fresh, &mut told);
        told.push(match checked {
            Err(why) => format!("refused {name} {why}"),
            Ok(()) => format!("new {name} use=3"),
        });
        let policies = self.conns[master].policies.as_ref();
        let policy = policies.and_then(|policies| policies.get(usize::from(fresh.said.class)));
        let span = policy.map_or(0, |(_, timeout)| u64::from(*timeout) * u64::from(self.hz));
        let deadline = fires_at(self.revision.wheel, self.now, span);
        // Inserted last: what stands later in the vector is younger.
        self.held.insert(name, self.exps.len());
        self.exps.push(Exp { linked: checked.is_ok(), deadline, ..fresh });
        self.stats[1] += u32::from(checked.is_ok());
        told
    }

    fn check(&mut self, new: &Exp, told: &mut Vec<String>) -> Result<(), &'static str> {
        let Some(policies) = self.conns[new.master].policies.clone() else {
            return Err("no-helper");
        };
        let zone = self.conns[new.master].zone;
        // Youngest first, as a bucket is.
        for at in (0..self.exps.len()).rev() {
            let old = &self.exps[at];
            if !old.linked {
                continue;
            }
            let same_zone = self.conns[old.master].zone == zone;
            let equal = old.said.tuple == new.said.tuple && old.said.mask == new.said.mask;
            let (own, class) = (old.master == new.master, old.said.class == new.said.class);
            if equal && same_zone && own && class {
                self.end(at, "refresh", told);
                break;
            }
            if equal && same_zone && own && self.revision.duplicate == Duplicate::AnswerAlready {
                return Err("already-expected");
            }
            let scope = same_zone || self.revision.clash_scope == ClashScope::AnyZone;
            let both = old.said.mask.intersect(&new.said.mask);
            if scope && old.said.tuple.matches(&new.said.tuple, &both) {
                return Err("clash");
            }
        }
        let (max, _) = policies.get(usize::from(new.said.class)).copied().unwrap_or((0, 0));
        let of_class =
            |exp: &Exp| exp.linked && exp.master == new.master && exp.said.class == new.said.class;
        let count = self.exps.iter().filter(|exp| of_class(exp)).count() as u32;
        if max != 0 && count >= max {
            if let Some(oldest) = self.exps.iter().position(of_class) {
                self.end(oldest, "eviction", told);
            }
            if count > max {
                return Err("class-full");
            }
        }
        let linked = self.exps.iter().filter(|exp| exp.linked).count() as u32;
        if linked >= self.expect_max { Err("table-full") } else { Ok(()) }
    }

    /// An announcement is taken back.
    pub fn unexpect(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        let at = self.held[name];
        if self.exps[at].linked {
            self.end(at, "unexpect", &mut told);
        }
        told
    }

    /// A held expectation is given back.
    pub fn put(&mut self, name: &str) {
        if let Some(at) = self.held.remove(name) {
            self.exps[at].held -= 1;
        }
    }

    fn hit(&self, tuple: &Tuple, zone: Zone, active: bool) -> Option<usize> {
        (0..self.exps.len()).rev().find(|at| {
            let exp = &self.exps[*at];
            exp.linked
                && tuple.matches(&exp.said.tuple, &exp.said.mask)
                && self.conns[exp.master].zone == zone
                && !(active && exp.said.flags.has(Flags::INACTIVE))
        })
    }

    /// A lookup that keeps nothing.
    #[must_use]
    pub fn lookup(&self, tuple: &Tuple, zone: Zone) -> Vec<String> {
        vec![match self.hit(tuple, zone, false) {
            None => "none".into(),
            Some(at) => {
                let exp = &self.exps[at];
                format!("found {} use={}", exp.said.name, 2 + exp.held + 1)
            }
        }]
    }

    /// A packet that gets through.
    pub fn packet(&mut self, tuple: Tuple, zone: Zone) -> Vec<String> {
        let known = self.conns.iter().find_map(|conn| {
            let here = conn.confirmed && !conn.dying && conn.zone == zone;
            let name = conn.name.as_deref().unwrap_or("unnamed");
            match here {
                true if conn.tuple == tuple => Some(format!("known {name} original")),
                true if conn.tuple.inverse() == Some(tuple) => Some(format!("known {name} reply")),
                _ => None,
            }
        });
        if let Some(known) = known {
            return vec![known];
        }
        let mut told = Vec::new();
        let parent = self.hit(&tuple, zone, true).filter(|at| {
            let master = &self.conns[self.exps[*at].master];
            let counted = self.revision.master_ref == MasterRef::Counted;
            master.confirmed && !(counted && master.dying)
        });
        let master = parent.map(|at| self.exps[at].master);
        if let Some(at) = parent {
            if !self.exps[at].said.flags.has(Flags::PERMANENT) {
                self.end(at, "match", &mut told);
            }
            self.stats[0] += 1;
        }
        told.push(match master {
            None => "new-connection".into(),
            Some(master) => {
                self.conns[master].refs += 1;
                format!("related {}", self.conns[master].name.as_deref().unwrap_or("unnamed"))
            }
        });
        let (name, policies, parent) = (None, None, master);
        let (confirmed, dying, refs) = (true, false, 1);
        self.conns.push(Conn { name, tuple, zone, policies, confirmed, dying, refs, parent });
        told
    }

    /// Time passes; what is told of one moment is in no order.
    pub fn advance(&mut self, ticks: u64) -> Vec<String> {
        self.now = self.now.after(Ticks(ticks));
        self.end_where("expiry", |exp, now| now.time_after_eq(exp.deadline))
    }

    /// A user deletes everything; in no order.
    pub fn flush(&mut self) -> Vec<String> {
        self.end_where("flush", |_, _| true)
    }

    fn end_where(&mut self, cause: &str, which: fn(&Exp, Jiffies) -> bool) -> Vec<String> {
        let mut told = Vec::new();
        for at in 0..self.exps.len() {
            if self.exps[at].linked && which(&self.exps[at], self.now) {
                self.end(at, cause, &mut told);
            }
        }
        told
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Vec<String> {
        let linked = self.exps.iter().filter(|exp| exp.linked).count();
        let [new, create, delete] = self.stats;
        vec![format!(
            "stats expect_new={new} expect_create={create} expect_delete={delete} count={linked}"
        )]
    }

    /// The limit of the table changes.
    pub fn set_expect_max(&mut self, max: u32) {
        self.expect_max = max;
    }
}

/// When a timer of `span` ticks, started at `now`, fires.
fn fires_at(wheel: WheelKind, now: Jiffies, span: u64) -> Jiffies {
    let expires = now.0.wrapping_add(span);
    match wheel {
        WheelKind::Cascading if span < 256 => Jiffies(expires),
        WheelKind::Cascading => {
            // The roundest number behind the expiry within a slack of 1/256.
            let limit = expires.wrapping_add(span / 256);
            let round = |zeroes: u32| Jiffies(limit >> zeroes << zeroes);
            let fits = |zeroes: &u32| round(*zeroes).time_after(Jiffies(expires));
            round((0..64).rev().find(fits).unwrap_or(0))
        }
        WheelKind::Levelled => {
            // Level n holds what is at least 63 slots of the level below ahead of the next jiffy.
            let ahead = span.saturating_sub(1);
            let level = (1..9).take_while(|level| ahead >= 63 << (3 * (level - 1))).count();
            let width = 3 * level as u64;
            Jiffies(((expires >> width).wrapping_add(1)) << width)
        }
    }
}
