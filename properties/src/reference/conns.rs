// SPDX-License-Identifier: GPL-2.0-only
//! Connections: they come, are confirmed, and take their expectations along.

use nfexp_model::expectation::Flags;
use nfexp_model::helper::Helper;
use nfexp_model::revision::{FoundStat, HelperExit, MasterRef, MatchUnlinks};
use nfexp_model::tuple::Tuple;
use nfexp_traces::step::{Fate, Place};

use super::{Conn, Help, Reference};

impl Reference {
    /// A connection that the trace holds.
    pub(super) fn conn(&mut self, name: &str, tuple: Tuple, place: Place, help: Help) {
        self.named.insert(name.to_owned(), self.conns.len());
        let (name, parent) = (Some(name.to_owned()), None);
        let (confirmed, dying, refs) = (false, false, 1);
        self.conns.push(Conn { name, tuple, place, help, confirmed, dying, refs, parent });
    }

    /// Its first packet got through.
    pub(super) fn confirm(&mut self, name: &str) -> Vec<String> {
        let conn = &self.conns[self.named[name]];
        let taken = self.known(&conn.tuple, conn.place).is_some();
        let conn = &mut self.conns[self.named[name]];
        if conn.confirmed || conn.dying || taken {
            return vec!["dropped".into()];
        }
        conn.confirmed = true;
        conn.refs += 1;
        Vec::new()
    }

    /// It leaves the table.
    pub(super) fn delete(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        if !self.leave_table(self.named[name], &mut told) {
            told.push("not-in-the-table".into());
        }
        told
    }

    /// It leaves the table and its reference is given back.
    pub(super) fn destroy(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        if let Some(index) = self.named.remove(name) {
            self.leave_table(index, &mut told);
            self.put_conn(index, &mut told);
        }
        told
    }

    /// All it expects ends; it stays.
    pub(super) fn remove(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        self.end_all_of(self.named[name], &mut told);
        told
    }

    /// Its helper changes; losing it ends what it expects.
    pub(super) fn change_helper(&mut self, name: &str, helper: Option<Helper>) -> Vec<String> {
        let told = if helper.is_none() { self.remove(name) } else { Vec::new() };
        self.conns[self.named[name]].help = Some(helper);
        told
    }

    /// A helper is unregistered: what it announced or would be given ends, in no order.
    pub(super) fn unregister(&mut self, helper: &str) -> Vec<String> {
        let is = |candidate: &Option<Helper>| candidate.is_some_and(|named| named.name == helper);
        let stays = self.revision.helper_exit == HelperExit::StaysCounted;
        let told = self.end_where("helper-gone", |all, exp| {
            let made = if stays { exp.creator } else { all.conns[exp.master].help.flatten() };
            is(&made) || is(&exp.said.assign)
        });
        self.gone.push(helper.to_owned());
        if stays {
            return told;
        }
        for conn in self.conns.iter_mut().filter(|conn| conn.help.as_ref().is_some_and(is)) {
            conn.help = Some(None);
        }
        told
    }

    /// Since 7.2 a helper that has gone is given only while a connection still has it.
    fn may_be_given(&self, helper: &str) -> bool {
        let has = |conn: &Conn| conn.help.flatten().is_some_and(|has| has.name == helper);
        self.revision.helper_exit == HelperExit::Unhelps
            || !self.gone.iter().any(|gone| gone == helper)
            || self.conns.iter().any(|conn| conn.refs > 0 && has(conn))
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

    /// A packet; `name` keeps the connection it makes.
    pub(super) fn packet(
        &mut self,
        tuple: Tuple,
        place: Place,
        name: Option<&str>,
        fate: Fate,
    ) -> Vec<String> {
        if let Some(known) = self.known(&tuple, place) {
            if self.revision.found_stat == FoundStat::EachLookup {
                self.stats.entry(place.net.0).or_default()[3] += 1;
            }
            return vec![known];
        }
        let mut told = Vec::new();
        let asked = fate != Fate::Template || self.revision.match_unlinks == MatchUnlinks::Always;
        let found = self.announced(&tuple, place, asked, &mut told);
        let master = found.map(|at| self.exps[at].master);
        let assign = found.and_then(|at| self.exps[at].said.assign);
        let given = assign.filter(|helper| self.may_be_given(helper.name));
        let mut line = "new-connection".to_owned();
        if let Some(master) = master {
            self.stats.entry(place.net.0).or_default()[0] += 1;
            self.conns[master].refs += 1;
            line = format!("related {}", self.conns[master].name.as_deref().unwrap_or("unnamed"));
            if let Some(helper) = given {
                line += &format!(" helper={}", helper.name);
            }
        }
        told.push(line);
        let confirmed = fate == Fate::Forwarded;
        if !confirmed {
            told.push("dropped".into());
        }
        let index = self.conns.len();
        self.conns.push(Conn {
            name: name.map(str::to_owned),
            tuple,
            place,
            // 7.2: the extension is there even if the helper is not given.
            help: assign.map(|_| given),
            confirmed,
            dying: false,
            refs: u32::from(confirmed) + 1,
            parent: master,
        });
        match name {
            Some(name) => drop(self.named.insert(name.to_owned(), index)),
            None => self.put_conn(index, &mut told),
        }
        told
    }

    /// Whether a packet belongs to a connection that is there.
    #[must_use]
    pub fn knows(&self, tuple: &Tuple, place: Place) -> bool {
        self.known(tuple, place).is_some()
    }

    fn known(&self, tuple: &Tuple, place: Place) -> Option<String> {
        self.conns.iter().find_map(|conn| {
            let here = conn.confirmed && !conn.dying && conn.place == place;
            let name = conn.name.as_deref().unwrap_or("unnamed");
            match here {
                true if conn.tuple == *tuple => Some(format!("known {name} original")),
                true if conn.tuple.inverse().as_ref() == Some(tuple) => {
                    Some(format!("known {name} reply"))
                }
                _ => None,
            }
        })
    }

    /// The expectation that a first packet finds, consumed if that is asked and it is not permanent.
    fn announced(
        &mut self,
        tuple: &Tuple,
        place: Place,
        asked: bool,
        told: &mut Vec<String>,
    ) -> Option<usize> {
        let at = self.hit(tuple, place, true)?;
        let master = &self.conns[self.exps[at].master];
        let counted = self.revision.master_ref == MasterRef::Counted;
        if !master.confirmed || counted && master.dying {
            return None;
        }
        let consumes = asked && !self.exps[at].said.flags.has(Flags::PERMANENT);
        // Who comes while the callback waits finds nothing, and does not look further.
        (!consumes || self.end(at, "match", told)).then_some(at)
    }
}
