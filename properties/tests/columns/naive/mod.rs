// SPDX-License-Identifier: GPL-2.0-only
//! A naive user, network and kernel: what Linux 6.18 answers to the operations of a transcript,
//! written from what was observed, with nothing but lists.
//!
//! No bucket, no timer, no reference, no lock: an expectation is a row with a deadline, and every
//! question walks all rows, the newest first. It shares the policies and the transcript's types
//! with the model, and no code.
//!
//! The rule that matters: it is slow and obvious. Where it and the engine differ, one of them
//! misreads the kernel, and a recording says which.

mod exps;
mod packets;

use std::collections::BTreeMap;

use nfexp_traces::transcript::{
    Answer, BucketKey, Counters, CtNew, Event, Family, Header, NftExpectation, Operation, Parts,
    Row,
};

use super::words::{Errno, Key, inverse, is_registered, parse, parts, ret};

#[derive(Clone, Debug)]
struct Ct {
    orig: Key,
    reply: Key,
    zone: u16,
    /// No extension, one without a helper, or a helper.
    helper: Option<Option<String>>,
    mark: u32,
    master: Option<usize>,
    alive: bool,
}

#[derive(Clone, Debug)]
struct Exp {
    e: u64,
    key: Key,
    mask: (u128, u16),
    master: usize,
    class: u32,
    flags: u32,
    deadline_ms: u64,
    nat: Option<(u32, u128, u16)>,
    function: Option<String>,
}

/// The naive model.
#[derive(Debug)]
pub(crate) struct Naive {
    hz: u32,
    expect_max: usize,
    nft: Vec<NftExpectation>,
    now_ms: u64,
    cts: Vec<Ct>,
    /// The newest first.
    exps: Vec<Exp>,
    buckets: Vec<BucketKey>,
    counters: Counters,
    events: Vec<Event>,
}

impl Naive {
    /// Nothing is there yet.
    pub(crate) fn new(header: &Header) -> Self {
        Self {
            hz: header.hz,
            expect_max: header.expect_max as usize,
            nft: header.nft.clone(),
            now_ms: 0,
            cts: Vec::new(),
            exps: Vec::new(),
            buckets: Vec::new(),
            counters: Counters::default(),
            events: Vec::new(),
        }
    }

    /// The destination of a handle.
    pub(crate) fn bucket_of(&self, handle: u64) -> Option<BucketKey> {
        self.buckets.get(usize::try_from(handle.checked_sub(1)?).ok()?).copied()
    }

    /// Does an operation.
    pub(crate) fn answer(&mut self, operation: &Operation) -> Answer {
        let mut answer = match operation {
            Operation::CtNew(new) => ret(self.ct_new(new)),
            Operation::CtDel(at) => ret(self.ct_at(at.l3, at.orig, at.zone).map(|ct| {
                self.ct_del(ct, true);
            })),
            Operation::CtHelp(help) => {
                let found = self.ct_at(help.at.l3, help.at.orig, help.at.zone);
                ret(found.and_then(|ct| self.ct_help(ct, help.helper.as_deref())))
            }
            Operation::CtFlush(_) => {
                let alive: Vec<usize> =
                    (0..self.cts.len()).filter(|ct| self.cts[*ct].alive).collect();
                alive.into_iter().for_each(|ct| self.ct_del(ct, true));
                ret(Ok(()))
            }
            Operation::CtDump(_) => Answer { dump: Some(self.ct_rows()), ..ret(Ok(())) },
            Operation::ExpNew(new) => ret(self.exp_new(new)),
            Operation::ExpGet(at) => {
                let (found, id_of) = self.exp_at(at, at.tuple.or(at.master));
                let rows = found.ok().map(|place| vec![self.row(place)]).unwrap_or_default();
                Answer { id_of, dump: Some(rows), ..ret(found.map(|_| ())) }
            }
            Operation::ExpDel(at) => self.exp_del(at),
            Operation::ExpDelHelper(helper) if helper.name.len() > 15 => ret(Err("EINVAL")),
            Operation::ExpDelHelper(helper) => {
                self.drop_where(true, |naive, exp| {
                    naive.cts[exp.master].helper == Some(Some(helper.name.clone()))
                });
                ret(Ok(()))
            }
            Operation::ExpFlush(_) => {
                self.drop_where(true, |_, _| true);
                ret(Ok(()))
            }
            Operation::ExpDump(which) => {
                let shown = |exp: &Exp| which.l3 == Family::Any || exp.key.l3 == which.l3;
                let all = 0..self.exps.len();
                let rows = all.filter(|at| shown(&self.exps[*at])).map(|at| self.row(at));
                Answer { dump: Some(rows.collect()), ..ret(Ok(())) }
            }
            Operation::ExpDumpMaster(which) => {
                let master = self.ct_at(which.l3, which.master, which.zone);
                let shown = |at: &usize| Ok(self.exps[*at].master) == master;
                let rows = (0..self.exps.len()).filter(shown).map(|at| self.row(at)).collect();
                Answer { dump: Some(rows), ..ret(master.map(|_| ())) }
            }
            Operation::Proc(_) => Answer { proc: Some(self.proc_lines()), ..Answer::default() },
            Operation::Stats(_) => {
                let entries = (0..self.cts.len()).filter(|ct| self.is_in_memory(*ct)).count();
                let stats = Counters { entries: entries as u64, ..self.counters };
                Answer { stats: Some(stats), ..Answer::default() }
            }
            Operation::Pkt(packet) => {
                let fwd = self.forward(&packet.p, packet.zone);
                Answer { fwd: Some(fwd), ..Answer::default() }
            }
            Operation::Advance(advance) => {
                self.now_ms = self.now_ms.max(advance.to);
                let now = self.now_ms;
                self.drop_where(false, |_, exp| exp.deadline_ms <= now);
                Answer::default()
            }
            Operation::Fill(fill) => self.fill(fill.masters, fill.per),
            Operation::ExpFlushQuiet(_) => {
                self.drop_where(true, |_, _| true);
                let made = Some(self.events.len() as u64);
                Answer { made, errs: Some(BTreeMap::new()), ..ret(Ok(())) }
            }
        };
        let quiet = matches!(operation, Operation::Fill(_) | Operation::ExpFlushQuiet(_));
        let events = std::mem::take(&mut self.events);
        answer.ev = Some(if quiet { Vec::new() } else { events });
        answer
    }

    fn find_ct(&self, key: &Key, zone: u16) -> Option<usize> {
        (0..self.cts.len()).find(|ct| {
            let ct = &self.cts[*ct];
            ct.alive && ct.zone == zone && (ct.orig == *key || ct.reply == *key)
        })
    }

    fn ct_at(&self, l3: Family, tuple: Option<Parts>, zone: Option<u16>) -> Result<usize, Errno> {
        let key = parse(l3, &tuple.ok_or("EINVAL")?)?;
        self.find_ct(&key, zone.unwrap_or(0)).ok_or("ENOENT")
    }

    fn ct_new(&mut self, new: &CtNew) -> Result<(), Errno> {
        let orig = parse(new.l3, &new.orig.ok_or("EINVAL")?)?;
        let reply = match &new.reply {
            Some(reply) => parse(new.l3, reply)?,
            None => inverse(&orig).ok_or("EINVAL")?,
        };
        let zone = new.zone.unwrap_or(0);
        if self.find_ct(&orig, zone).is_some() {
            return Err("EEXIST");
        }
        if orig.proto != reply.proto {
            return Err("EINVAL");
        }
        new.timeout.ok_or("EINVAL")?;
        let helper = match &new.helper {
            Some(name) if name.len() > 15 => return Err("EINVAL"),
            Some(name) if !is_registered(name, &orig) => return Err("EOPNOTSUPP"),
            helper => helper.clone().map(Some),
        };
        if self.find_ct(&reply, zone).is_some() {
            return Err("EEXIST");
        }
        let mark = new.mark.unwrap_or(0);
        let ct = Ct { orig, reply, zone, helper, mark, master: None, alive: true };
        self.ct_enters(ct, true);
        Ok(())
    }

    fn ct_enters(&mut self, ct: Ct, rep: bool) {
        let master = ct.master.map(|master| Box::new(parts(&self.cts[master].orig)));
        let (l3, orig, zone) = (ct.orig.l3, Box::new(parts(&ct.orig)), ct.zone);
        let expected = ct.master.is_some();
        self.events.push(Event::CtNew { rep, l3, orig, expected, zone, master });
        self.cts.push(ct);
    }

    fn ct_del(&mut self, at: usize, rep: bool) {
        let ct = &mut self.cts[at];
        ct.alive = false;
        let (l3, orig, zone) = (ct.orig.l3, Box::new(parts(&ct.orig)), ct.zone);
        self.events.push(Event::CtDestroy { rep, l3, orig, zone });
        self.drop_where(false, |_, exp| exp.master == at);
    }

    fn ct_help(&mut self, at: usize, name: Option<&str>) -> Result<(), Errno> {
        let Some(name) = name else { return Ok(()) };
        let ct = &self.cts[at];
        let has = matches!(&ct.helper, Some(Some(helper)) if helper == name);
        match () {
            () if name.len() > 15 => Err("EINVAL"),
            () if ct.master.is_some() => {
                if has {
                    Ok(())
                } else {
                    Err("EBUSY")
                }
            }
            () if name.is_empty() => {
                if matches!(ct.helper, Some(Some(_))) {
                    self.cts[at].helper = Some(None);
                    self.drop_where(false, |_, exp| exp.master == at);
                }
                Ok(())
            }
            () if !is_registered(name, &ct.orig) || ct.helper.is_none() => Err("EOPNOTSUPP"),
            () => {
                if has {
                    Ok(())
                } else {
                    Err("EBUSY")
                }
            }
        }
    }

    /// Alive, or dead and the master of one in memory.
    fn is_in_memory(&self, at: usize) -> bool {
        let child = |ct: usize| self.cts[ct].master == Some(at) && self.is_in_memory(ct);
        self.cts[at].alive || (at + 1..self.cts.len()).any(child)
    }

    fn ct_rows(&self) -> Vec<Row> {
        let alive = self.cts.iter().filter(|ct| ct.alive);
        let row = |ct: &Ct| Row::Connection {
            l3: ct.orig.l3,
            orig: Box::new(parts(&ct.orig)),
            expected: ct.master.is_some(),
            zone: ct.zone,
            mark: ct.mark,
            helper: ct.helper.clone().flatten(),
            master: ct.master.map(|master| Box::new(parts(&self.cts[master].orig))),
        };
        alive.map(row).collect()
    }
}
