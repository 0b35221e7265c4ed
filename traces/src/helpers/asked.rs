// SPDX-License-Identifier: GPL-2.0-only
//! A tracker for tests: it writes down what a helper asks of it.

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::{ExpectId, Flags};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Addr, Tuple};

use super::{Announced, Linked, Refused, Tracker};

/// What was asked, and what is answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) revision: Revision,
    /// Which announcements are refused, counted from 1.
    pub(super) refuses: &'static [u32],
    /// How many key pairs there is room for.
    pub(super) keys: usize,
    pub(super) mask: Option<Addr>,
    pub(super) announced: u32,
    pub(super) log: Vec<String>,
}

impl Asked {
    pub(super) fn of(revision: Revision) -> Self {
        let log = Vec::new();
        Self { revision, refuses: &[], keys: 2, mask: None, announced: 0, log }
    }

    /// What was asked since it was last asked for.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

impl Tracker for Asked {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn related(&mut self, announced: &Announced) -> Result<ExpectId, Refused> {
        self.announced += 1;
        let (tuple, mask) = announced.key();
        let exact = if mask.sport == u16::MAX { "" } else { " any port" };
        let flags = announced.flags.0;
        let flags = if flags == 0 { String::new() } else { format!(" flags {flags}") };
        self.log.push(format!("{tuple}{exact}{flags}"));
        match self.refuses.contains(&self.announced) {
            true => Err(Refused::Otherwise),
            false => Ok(ExpectId::new(self.announced, 1)),
        }
    }

    fn unexpect(&mut self, exp: ExpectId) {
        self.log.push(format!("unexpect {}", exp.index()));
    }

    fn remove(&mut self, exp: ExpectId) {
        self.log.push(format!("remove {}", exp.index()));
    }

    fn remove_all(&mut self) {
        self.log.push("remove all".to_owned());
    }

    fn find(&self, _: &Tuple) -> Option<Linked> {
        None
    }

    fn expectations(&self) -> Vec<Linked> {
        Vec::new()
    }

    fn retime(&mut self, exp: ExpectId, flags: Flags, secs: u32) {
        self.log.push(format!("retime {} flags {} {secs}s", exp.index(), flags.0));
    }

    fn refresh(&mut self, secs: u32) {
        self.log.push(format!("refresh {secs}s"));
    }

    fn keymap_add(&mut self, _: Direction, tuple: &Tuple) -> bool {
        self.log.push(format!("key {tuple}"));
        let room = self.keys > 0;
        self.keys -= usize::from(room);
        room
    }

    fn keymap_destroy(&mut self) {
        self.log.push("no keys".to_owned());
    }

    fn end_sibling(&mut self, tuple: &Tuple) {
        self.log.push(format!("end {tuple}"));
    }

    fn broadcast_mask(&self) -> Option<Addr> {
        self.mask
    }

    fn same_next_hop(&self, _: Addr, _: Addr) -> bool {
        false
    }

    fn leaves_as_this(&self, _: Addr) -> bool {
        false
    }
}
