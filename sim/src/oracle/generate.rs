// SPDX-License-Identifier: GPL-2.0-only
//! Random sequences that aim.
//!
//! *To aim*: half of the keys name something that exists, or something one bit beside it.
//! *Epoch*: the operations between two advances.
//!
//! ```text
//! masters ─▶ deed, deed, …, advance to an even second, deed, … ─▶ listings, flush
//!               ▲                                            │
//!               └───────── what the answers teach ◀──────────┘
//! ```
//!
//! The rule that matters: time. An epoch lies at an even second and takes less than 0.3 s; each
//! timeout that can end in a run is an odd number of seconds below sixteen, where a timer of the
//! kernel is at most a quarter of a second late. So no deadline is ever within 0.4 s of an
//! epoch, and no whole second of a remainder can be off by more than one.

use nfexp_traces::transcript::{
    Advance, Answer, CtNew, DumpAll, ExpAt, Family, Fill, IdArg, Nothing, Operation, Whose,
};

use super::dice::Dice;
use super::known::Known;
use super::profile::{Deed, Profile};
use super::{masters, requests, traffic, wild};

/// The last epoch: no conntrack that a packet makes ends before.
pub const LAST_EPOCH_MS: u64 = 26_000;

/// Makes operations, one after the other.
#[derive(Clone, Debug)]
pub struct Generator {
    profile: Profile,
    /// What decides.
    pub(super) dice: Dice,
    /// What exists.
    pub(super) known: Known,
    /// How many ports have been used up.
    pub(super) fresh: u16,
    made: u64,
    total: u64,
    now_ms: u64,
    expect_max: u32,
}

impl Generator {
    /// A sequence of `total` operations for a kernel with this `nf_conntrack_expect_max`.
    #[must_use]
    pub fn new(profile: Profile, seed: u64, total: u64, expect_max: u32) -> Self {
        let dice = Dice::new(seed);
        let known = Known::default();
        Self { profile, dice, known, fresh: 0, made: 0, total, now_ms: 0, expect_max }
    }

    /// The next operation; `None` behind the last.
    pub fn next_operation(&mut self) -> Option<Operation> {
        let place = self.made;
        self.made += 1;
        let closing = Self::closing(self.profile);
        let rest = self.total.checked_sub(place).filter(|rest| *rest > 0)?;
        let opening = self.profile.masters as u64;
        if rest <= closing.len() as u64 && self.total > opening + closing.len() as u64 {
            return closing.into_iter().rev().nth(rest as usize - 1);
        }
        if place < opening {
            return Some(Operation::CtNew(self.new_master()));
        }
        if place == opening && self.profile.full {
            return Some(Operation::Fill(Fill {
                masters: self.expect_max.div_ceil(32).min(2000),
                per: 32,
            }));
        }
        if self.profile.advance_every > 0 && self.dice.below(self.profile.advance_every) == 0 {
            let step = 2_000 * (1 + self.dice.below(3) as u64);
            if self.now_ms + step <= LAST_EPOCH_MS {
                self.now_ms += step;
                return Some(Operation::Advance(Advance { to: self.now_ms }));
            }
        }
        let deed = self.dice.weighted(self.profile.weights());
        Some(self.operation(deed))
    }

    /// What came of the last operation.
    pub fn learn(&mut self, operation: &Operation, answer: &Answer) {
        self.known.learn(operation, answer);
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    fn closing(profile: Profile) -> Vec<Operation> {
        let all = DumpAll { l3: Family::Any };
        if profile.full {
            let quiet = Operation::ExpFlushQuiet(Nothing {});
            return vec![
                Operation::Stats(Nothing {}),
                quiet,
                Operation::Stats(Nothing {}),
                Operation::ExpDump(all),
            ];
        }
        vec![
            Operation::Proc(Nothing {}),
            Operation::ExpDump(all),
            Operation::CtDump(Nothing {}),
            Operation::ExpFlush(Nothing {}),
            Operation::Stats(Nothing {}),
        ]
    }

    fn operation(&mut self, deed: Deed) -> Operation {
        match deed {
            Deed::CtNew => Operation::CtNew(masters::new_or_old(self)),
            Deed::CtDel => Operation::CtDel(masters::to_delete(self)),
            Deed::CtHelp => Operation::CtHelp(masters::to_help(self)),
            Deed::CtFlush => Operation::CtFlush(Nothing {}),
            Deed::CtDump => Operation::CtDump(Nothing {}),
            Deed::Expect => Operation::ExpNew(Box::new(requests::expect(self))),
            Deed::Rival => Operation::ExpNew(Box::new(requests::rival(self))),
            Deed::Wrong => Operation::ExpNew(Box::new(requests::wrong(self))),
            Deed::Retime => Operation::ExpNew(Box::new(requests::retime(self))),
            Deed::Get => Operation::ExpGet(self.by_key(true)),
            Deed::Delete => Operation::ExpDel(self.by_key(false)),
            Deed::DeleteHelper => Operation::ExpDelHelper(requests::helper_name(self)),
            Deed::Flush => Operation::ExpFlush(Nothing {}),
            Deed::Dump => Operation::ExpDump(DumpAll {
                l3: self.dice.pick(&[Family::Any, Family::Any, Family::Ip, Family::Ip6]),
            }),
            Deed::DumpMaster => Operation::ExpDumpMaster(masters::to_list(self)),
            Deed::Proc => Operation::Proc(Nothing {}),
            Deed::Stats => Operation::Stats(Nothing {}),
            Deed::Hit => Operation::Pkt(traffic::hit(self)),
            Deed::Stray => Operation::Pkt(traffic::stray(self)),
            Deed::Answer => Operation::Pkt(traffic::answer(self)),
            Deed::Again => Operation::Pkt(traffic::again(self)),
            Deed::Reset => Operation::Pkt(traffic::reset(self)),
            Deed::Tftp => Operation::Pkt(traffic::read_request(self)),
            Deed::Nft => Operation::Pkt(traffic::nft(self)),
            Deed::WildCtNew => Operation::CtNew(wild::master(self)),
            Deed::WildRequest => Operation::ExpNew(Box::new(wild::request(self))),
            Deed::WildDelete => Operation::ExpDel(wild::key(self)),
            Deed::WildGet => Operation::ExpGet(wild::key(self)),
            Deed::WildHelp => Operation::CtHelp(wild::helped(self)),
            Deed::WildDumpMaster => Operation::ExpDumpMaster(wild::listed(self)),
            Deed::WildPacket => Operation::Pkt(wild::packet(self)),
        }
    }

    fn new_master(&mut self) -> CtNew {
        masters::new_master(self)
    }

    /// By which an expectation is asked for or deleted.
    fn by_key(&mut self, may_ask_by_master: bool) -> ExpAt {
        let (l3, tuple, zone) = requests::aimed_tuple(self);
        let id = if self.dice.percent(25) {
            let last = self.known.last_handle;
            let of = match self.dice.below(8) {
                0..4 => Whose::This,
                4 => Whose::Handle(0),
                5 => Whose::Handle(last + 7),
                _ => Whose::Handle(self.dice.below(last as usize + 1) as u64),
            };
            Some(IdArg { of })
        } else {
            None
        };
        if may_ask_by_master && self.dice.percent(8) {
            return ExpAt { l3, tuple: None, zone, id, master: Some(tuple) };
        }
        ExpAt { l3, tuple: Some(tuple), zone, id, master: None }
    }

    /// The zone of something new: the attribute, if it is sent.
    pub(super) fn zone(&mut self) -> Option<u16> {
        if !self.profile.zones {
            return self.dice.percent(50).then_some(0);
        }
        let weights = [(None, 45), (Some(0), 10), (Some(1), 26), (Some(2), 15), (Some(3), 4)];
        self.dice.weighted(&weights)
    }

    /// The attribute that names a zone; mostly the right one.
    pub(super) fn zone_attribute(&mut self, right: u16) -> Option<u16> {
        if self.dice.percent(4) {
            return self.zone();
        }
        (right != 0 || self.dice.percent(50)).then_some(right)
    }
}
