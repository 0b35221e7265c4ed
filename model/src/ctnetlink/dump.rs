// SPDX-License-Identifier: GPL-2.0-only
//! Listings through netlink: in pieces, each as long as a message buffer has room.
//!
//! *Room*: how many expectations fit into one piece. *Resume point*: the expectation that did
//! not fit, by which the next piece begins.
//!
//! ```text
//!   table:   bucket after bucket; the next piece looks for its resume point in that bucket
//!   master:  its list, newest first; likewise
//!            gone in between? the bucket, or the list, begins again: some are told twice
//! ```
//!
//! The rule that matters: a listing is no snapshot. What is linked or unlinked between two
//! pieces may be told, or not, or twice; but nothing that stays is left out.
//!
//! # Source
//! `ctnetlink_exp_dump_table()`, v3.9, and `ctnetlink_exp_ct_dump_table()`, v3.10: the resume
//! point is held.
// DEVIATION: since v6.17 (1492e3dcb2be) only a number is kept of the resume point, its address
// and its master's and class in one, which nobody but a newcomer in the same memory has. What is
// gone is found by neither; that its memory waits for the next piece, no claim is about.

use crate::conn::{Attached, ConnId, ConnRef};
use crate::ctnetlink::TupleAttr;
use crate::engine::{At, Engine};
use crate::errno::Errno;
use crate::event::ExpectFn;
use crate::expectation::{ExpectId, ExpectRef, Flags, Nat};
use crate::helper::{Class, HelperId};
use crate::kernel::Jiffies;
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Ordering, Platform, Word};
use crate::kernel::slab::NULL;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::{NetId, Zone};
use crate::revision::MasterDump;
use crate::tuple::{L3, Mask, Proto, Tuple};

/// An expectation as netlink tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectInfo {
    /// Whose.
    pub id: ExpectId,
    /// What a user sees of that.
    pub netlink_id: u32,
    /// Whom it stands for.
    pub tuple: Tuple,
    /// Which part of the source matters.
    pub mask: Mask,
    /// Its master's original tuple.
    pub master_tuple: Tuple,
    /// The zone.
    pub zone: Zone,
    /// When it expires.
    pub expires: Jiffies,
    /// Its flags.
    pub flags: Flags,
    /// Its class.
    pub class: Class,
    /// The helper a listing names.
    pub helper: Option<HelperId>,
    /// Its function.
    pub function: Option<ExpectFn>,
    /// Its translation.
    pub nat: Option<ShownNat>,
}

/// A translation as it is told: the original address and port stand in the source of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownNat {
    /// The direction.
    pub dir: u32,
    /// The tuple; its protocol is the master's.
    pub tuple: Tuple,
}

impl ShownNat {
    /// How a translation is told of an expectation of this master; `None` if it is empty.
    #[must_use]
    pub fn of(nat: Nat, master: &Tuple) -> Option<Self> {
        let empty = nat.addr == crate::tuple::Addr::default() && nat.port == 0;
        let (l3, proto) = (master.l3, master.proto);
        let tuple = Tuple { src: nat.addr, sport: nat.port, l3, proto, ..Tuple::NONE };
        (!empty).then_some(Self { dir: nat.dir, tuple })
    }
}

/// The mask as it is told: a tuple whose destination is all ones.
#[must_use]
pub fn shown_mask(mask: &Mask, tuple: &Tuple) -> Tuple {
    let all_ones = Mask::exact(tuple.l3, true, true);
    Tuple { src: mask.src, sport: mask.sport, dst: all_ones.src, dport: all_ones.sport, ..*tuple }
}

/// A listing in progress. Ended by [`Dump::next_piece`] answering nothing, or by [`Dump::done`].
#[derive(Debug)]
#[must_use = "a listing may hold references"]
pub struct Dump {
    net: NetId,
    family: L3,
    what: What,
    resume: Option<ExpectRef>,
}

#[derive(Debug)]
enum What {
    /// The table, from this bucket.
    Table { bucket: u32 },
    /// A master's list.
    Master(ConnRef),
    /// Nothing more.
    Over,
}

impl Dump {
    /// A listing of all expectations of a namespace; [`L3::Unspec`] lists every family.
    pub const fn all(net: NetId, family: L3) -> Self {
        Self { net, family, what: What::Table { bucket: 0 }, resume: None }
    }

    /// A listing of one master's.
    ///
    /// # Errors
    /// Those of [`TupleAttr::parse`]; [`Errno::NoEntry`] if there is no such connection.
    #[doc(alias = "ctnetlink_dump_exp_ct")]
    pub fn of_master<P: Platform>(
        engine: &Engine<P>,
        net: NetId,
        family: L3,
        (master, zone): (TupleAttr, Zone),
    ) -> Result<Self, Errno> {
        if engine.config.revision.master_dump == MasterDump::TakenForAll {
            return Ok(Self::all(net, family));
        }
        let master = master.parse(family, &engine.config.revision)?;
        let (ct, _) = engine.find_conn(net, zone, &master).ok_or(Errno::NoEntry)?;
        Ok(Self { net, family, what: What::Master(ct), resume: None })
    }

    /// The next piece, of at most `room` expectations; empty at the end.
    pub fn next_piece<P: Platform>(
        &mut self,
        engine: &Engine<P>,
        at: At,
        room: usize,
    ) -> Vec<ExpectInfo> {
        let mut piece = Vec::new();
        let resume = self.resume.take();
        match &mut self.what {
            What::Over => {}
            What::Table { bucket } => {
                let mut from = resume.as_ref().map(|exp| exp.id().index());
                let buckets = engine.table(self.net).buckets();
                while *bucket < buckets {
                    let chain = engine.chain(self.net, *bucket);
                    // KERNEL: ctnetlink_exp_dump_table(), 7.2: what is over is skipped here, but
                    // not in a master's list.
                    let slab = &engine.memory.expectations;
                    let lasts = |index: &u32| !engine.is_over(at, slab.object(*index));
                    let chain: Vec<u32> = chain.into_iter().filter(lasts).collect();
                    self.resume =
                        tell(engine, (self.net, self.family), &chain, from, room, &mut piece);
                    if self.resume.is_some() {
                        break;
                    }
                    from = None;
                    *bucket += 1;
                }
            }
            What::Master(ct) => {
                let from = resume.as_ref().map(|exp| exp.id().index());
                let list = match engine.attached_of(ct.id()) {
                    // Nobody answers but the acknowledgement.
                    Attached::Nothing => Vec::new(),
                    _ => engine.list_of(ct.id()),
                };
                self.resume = tell(engine, (self.net, self.family), &list, from, room, &mut piece);
            }
        }
        if let Some(exp) = resume {
            engine.put(exp);
        }
        if self.resume.is_none() {
            self.done(engine, at);
        }
        piece
    }

    /// Ends the listing.
    #[doc(alias = "ctnetlink_exp_done")]
    pub fn done<P: Platform>(&mut self, engine: &Engine<P>, at: At) {
        if let Some(exp) = self.resume.take() {
            engine.put(exp);
        }
        if let What::Master(ct) = std::mem::replace(&mut self.what, What::Over) {
            engine.put_conn(at, ct);
        }
    }
}

/// Tells of a chain from its resume point; answers where it stopped for want of room.
fn tell<P: Platform>(
    engine: &Engine<P>,
    (net, family): (NetId, L3),
    chain: &[u32],
    from: Option<u32>,
    room: usize,
    piece: &mut Vec<ExpectInfo>,
) -> Option<ExpectRef> {
    let slab = &engine.memory.expectations;
    // The resume point may be gone: then the chain begins again.
    let start = from.and_then(|from| chain.iter().position(|index| *index == from));
    for &index in &chain[start.unwrap_or(0)..] {
        let exp = slab.at(index);
        if exp.about().net != net || (family != L3::Unspec && exp.tuple().l3 != family) {
            continue;
        }
        if piece.len() >= room.max(1) {
            // KERNEL: ctnetlink_exp_dump_table(), v3.9: goes on behind one that is being freed.
            if !P::atomic_inc_not_zero(&exp.uses) {
                continue;
            }
            return Some(ExpectRef(slab.id(index)));
        }
        piece.push(engine.expect_info(index));
    }
    None
}

impl<P: Platform> Engine<P> {
    /// One chain of the table, in its order.
    fn chain(&self, net: NetId, bucket: u32) -> Vec<u32> {
        let (table, slab) = (self.table(net), &self.memory.expectations);
        let mut index = table.bucket_first(slab, bucket, Access::Rcu);
        let mut chain = Vec::new();
        while index != NULL {
            chain.push(index);
            index = table.bucket_next(slab, index, Access::Rcu);
        }
        chain
    }

    fn list_of(&self, master: ConnId) -> Vec<u32> {
        self.expectations_of(master).into_iter().map(ExpectId::index).collect()
    }

    /// Everything netlink tells of a linked or held expectation.
    #[doc(alias = "ctnetlink_exp_dump_expect")]
    pub(crate) fn expect_info(&self, index: u32) -> ExpectInfo {
        let exp = self.memory.expectations.at(index);
        let about = exp.about();
        let master_tuple = self.memory.conns.at(about.master.index()).about().original;
        let id = self.memory.expectations.id(index);
        let nat = about.has_nat.then(|| self.memory.nat.get(index));
        ExpectInfo {
            id,
            netlink_id: self.netlink_id(id),
            tuple: exp.tuple(),
            mask: exp.mask(),
            master_tuple,
            zone: self.zone_of(exp),
            expires: self.timers.expires(&self.memory, TimerKey::expectation(index)),
            flags: Flags(exp.flags.load(Ordering::Relaxed)).without(Flags::DEAD),
            class: about.class,
            helper: self.shown_helper(&about),
            function: about.expectfn.filter(|function| function.name().is_some()),
            nat: nat.and_then(|nat| ShownNat::of(nat, &master_tuple)),
        }
    }

    /// The number by which a user knows an expectation: the same as long as it lives.
    ///
    /// # Source
    /// `nf_expect_get_id()`, 6.18: a keyed hash over addresses in memory.
    // DEVIATION: over its slot and life here, so that no second one ever has it; the kernel
    // gives an equal expectation in the same memory the same number again. No claim rests on it.
    #[doc(alias = "nf_expect_get_id")]
    #[must_use]
    pub fn netlink_id(&self, id: ExpectId) -> u32 {
        let key = self.config.hash_seed;
        let words = [id.index(), id.generation(), key as u32, (key >> 32) as u32];
        let hash = crate::kernel::hash::jhash2(&words, Proto::GRE.0.into());
        // 0 is an id that nobody has.
        hash.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::Addr;

    #[test]
    fn a_translation_to_nothing_is_not_told() {
        let nat = |last, port| Nat { addr: Addr::v4([0, 0, 0, last]), port, dir: 1 };
        let told = [(0, 0), (0, 21), (7, 0)].map(|(last, port)| {
            ShownNat::of(nat(last, port), &Tuple::NONE).map(|nat| (nat.tuple.src, nat.tuple.sport))
        });
        assert_eq!(told, [None, Some((Addr::default(), 21)), Some((Addr::v4([0, 0, 0, 7]), 0))]);
    }
}
