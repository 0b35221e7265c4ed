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

use std::collections::BTreeMap;
use std::net::IpAddr;

use nfexp_model::helper::ExpectPolicy;
use nfexp_traces::transcript::{
    Answer, BucketKey, Counters, CtNew, Event, ExpAt, ExpNew, Family, Header, NatArg,
    NftExpectation, Operation, Packet, Parts, Row, Whose,
};

use super::words::{
    Errno, Key, agree, all_ones, full, inverse, is_registered, parse, parts, policy_of, ret,
    same_dst, translated,
};

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

    // ---- connections -------------------------------------------------------------------------

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
        let reply = inverse(&orig).ok_or("EINVAL")?;
        let zone = new.zone.unwrap_or(0);
        if self.find_ct(&orig, zone).is_some() || self.find_ct(&reply, zone).is_some() {
            return Err("EEXIST");
        }
        new.timeout.ok_or("EINVAL")?;
        let helper = match &new.helper {
            Some(name) if name.len() > 15 => return Err("EINVAL"),
            Some(name) if !is_registered(name, &orig) => return Err("EOPNOTSUPP"),
            helper => helper.clone().map(Some),
        };
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

    // ---- expectations ------------------------------------------------------------------------

    /// The row that a tuple hits, inactive ones included.
    fn hit(&self, key: &Key, zone: u16) -> Option<usize> {
        self.exps.iter().position(|exp| {
            self.cts[exp.master].zone == zone
                && same_dst(&exp.key, key)
                && agree(&exp.key, key, exp.mask)
        })
    }

    fn exp_new(&mut self, new: &ExpNew) -> Result<(), Errno> {
        let unknown = new.flags.is_some_and(|flags| flags & !7 != 0);
        if unknown || new.help_name.as_ref().is_some_and(|name| name.len() > 15) {
            return Err("EINVAL");
        }
        let (Some(tuple), Some(mask), Some(master)) = (new.tuple, new.mask, new.master) else {
            return Err("EINVAL");
        };
        let key = parse(new.l3, &tuple)?;
        let zone = new.zone.unwrap_or(0);
        match self.hit(&key, zone) {
            Some(_) if new.excl => return Err("EEXIST"),
            Some(at) => {
                if let Some(secs) = new.timeout {
                    self.exps[at].deadline_ms = self.now_ms + self.lifetime_ms(secs);
                }
                return Ok(());
            }
            None if !new.create => return Err("ENOENT"),
            None => {}
        }
        let mask = parse(new.l3, &mask)?;
        let master = parse(new.l3, &master)?;
        let master = self.find_ct(&master, zone).ok_or("ENOENT")?;
        let Some(Some(helper)) = self.cts[master].helper.clone() else { return Err("EOPNOTSUPP") };
        let class = new.cls.unwrap_or(0);
        let policy = policy_of(&helper, class).ok_or("EINVAL")?;
        let known = ["nat-follow-master", "sip", "Q.931", "callforwarding"];
        if new.function.as_ref().is_some_and(|name| !known.contains(&name.as_str())) {
            return Err("EINVAL");
        }
        let nat = match new.nat {
            None => None,
            Some(NatArg { dir: Some(dir), .. }) if dir > 1 => return Err("ERANGE"),
            Some(NatArg { dir: Some(dir), tuple: Some(tuple) }) => {
                let saved = parse(self.cts[master].orig.l3, &tuple)?;
                Some((dir, saved.src, saved.a))
            }
            Some(_) => return Err("EINVAL"),
        };
        let deadline_ms = self.now_ms + self.lifetime_ms(policy.timeout_secs);
        let exp = Exp {
            e: 0,
            key,
            mask: (mask.src, mask.a),
            master,
            class,
            flags: new.flags.unwrap_or(0) & !4,
            deadline_ms,
            nat: nat.filter(|(_, addr, port)| (*addr, *port) != (0, 0)),
            function: new.function.clone(),
        };
        self.insert(exp, Some(policy), true)
    }

    /// What the core does: replace, refuse a clash, make room, refuse when full.
    fn insert(
        &mut self,
        mut exp: Exp,
        policy: Option<ExpectPolicy>,
        rep: bool,
    ) -> Result<(), Errno> {
        let zone = self.cts[exp.master].zone;
        let clashes = |old: &Exp| {
            let mask = (old.mask.0 & exp.mask.0, old.mask.1 & exp.mask.1);
            same_dst(&old.key, &exp.key) && agree(&old.key, &exp.key, mask)
        };
        let there = |old: &&Exp| self.cts[old.master].zone == zone && clashes(old);
        if let Some(old) = self.exps.iter().find(there) {
            let equal = (old.key, old.mask, old.master, old.class)
                == (exp.key, exp.mask, exp.master, exp.class);
            if !equal {
                return Err("EBUSY");
            }
            let e = old.e;
            self.drop_where(false, |_, exp| exp.e == e);
        }
        let of_class = |old: &&Exp| (old.master, old.class) == (exp.master, exp.class);
        let count = self.exps.iter().filter(of_class).count();
        if policy.is_some_and(|policy| count >= policy.max_expected as usize) {
            let oldest = self.exps.iter().filter(of_class).map(|old| old.e).min();
            self.drop_where(false, |_, exp| Some(exp.e) == oldest);
        }
        if self.exps.len() >= self.expect_max {
            return Err("EMFILE");
        }
        self.buckets.push(BucketKey::of(exp.key.l3, &parts(&exp.key)));
        exp.e = self.buckets.len() as u64;
        self.counters.expect_create += 1;
        self.tell_new(&exp, rep);
        self.exps.insert(0, exp);
        Ok(())
    }

    fn tell_new(&mut self, exp: &Exp, rep: bool) {
        let master = &self.cts[exp.master];
        let all = all_ones(exp.key.l3);
        let mask = Key { src: exp.mask.0, a: exp.mask.1, dst: all, b: 0xffff, ..exp.key };
        let nat = exp.nat.map(|(dir, src, a)| {
            let tuple = Key { src, dst: 0, a, b: 0, ..master.orig };
            Box::new(NatArg { dir: Some(dir), tuple: Some(parts(&tuple)) })
        });
        let event = Event::ExpNew {
            rep,
            e: exp.e,
            l3: exp.key.l3,
            tuple: Box::new(parts(&exp.key)),
            mask: Box::new(parts(&mask)),
            master: Box::new(parts(&master.orig)),
            to: self.left(exp),
            fl: exp.flags,
            cl: exp.class,
            helper: master.helper.clone().flatten(),
            nat,
            function: exp.function.clone(),
        };
        self.events.push(event);
    }

    /// Ends the rows that are picked, the newest first.
    fn drop_where(&mut self, rep: bool, picked: impl Fn(&Self, &Exp) -> bool) {
        let all = std::mem::take(&mut self.exps);
        let (gone, kept): (Vec<Exp>, Vec<Exp>) = all.into_iter().partition(|exp| picked(self, exp));
        self.exps = kept;
        for exp in gone {
            self.counters.expect_delete += 1;
            let to = self.left(&exp);
            self.events.push(Event::ExpDestroy { rep, e: exp.e, to });
        }
    }

    /// The row a request names, and the handle whose id it carries.
    fn exp_at(&self, at: &ExpAt, tuple: Option<Parts>) -> (Result<usize, Errno>, Option<u64>) {
        let key = tuple.ok_or("EINVAL").and_then(|tuple| parse(at.l3, &tuple));
        let found = key.and_then(|key| self.hit(&key, at.zone.unwrap_or(0)).ok_or("ENOENT"));
        let Some(id) = at.id else { return (found, None) };
        let sent = match id.of {
            Whose::Handle(handle) => handle,
            Whose::This => {
                let plain = at.tuple.or(at.master).map(|tuple| parse(at.l3, &tuple));
                let plain = plain.and_then(|key| self.hit(&key.ok()?, at.zone.unwrap_or(0)));
                plain.map_or(0, |place| self.exps[place].e)
            }
        };
        (
            found.and_then(|at| if self.exps[at].e == sent { Ok(at) } else { Err("ENOENT") }),
            Some(sent),
        )
    }

    fn exp_del(&mut self, at: &ExpAt) -> Answer {
        if at.tuple.is_none() {
            let (_, id_of) = self.exp_at(at, at.master);
            self.drop_where(true, |_, _| true);
            return Answer { id_of, ..ret(Ok(())) };
        }
        let (found, id_of) = self.exp_at(at, at.tuple);
        if let Ok(place) = found {
            let e = self.exps[place].e;
            self.drop_where(true, |_, exp| exp.e == e);
        }
        Answer { id_of, ..ret(found.map(|_| ())) }
    }

    fn row(&self, at: usize) -> Row {
        Row::Expectation { e: self.exps[at].e, to: self.left(&self.exps[at]) }
    }

    fn left(&self, exp: &Exp) -> i64 {
        (exp.deadline_ms.saturating_sub(self.now_ms) / 1000) as i64
    }

    /// In the kernel's 32 bits.
    fn lifetime_ms(&self, secs: u32) -> u64 {
        u64::from(secs.wrapping_mul(self.hz)) * 1000 / u64::from(self.hz)
    }

    fn proc_lines(&self) -> Vec<(i64, String)> {
        self.exps.iter().map(|exp| (self.left(exp), self.proc_line(exp))).collect()
    }

    fn proc_line(&self, exp: &Exp) -> String {
        let key = &exp.key;
        let l3 = if key.l3 == Family::Ip { 2 } else { 10 };
        let (src, dst) = (full(key.l3, key.src), full(key.l3, key.dst));
        let words = match key.proto {
            6 | 17 | 132 | 136 => format!("sport={} dport={} ", key.a, key.b),
            1 | 58 => format!("type={} code={} id={} ", key.b >> 8, key.b & 255, key.a),
            47 => format!("srckey=0x{:x} dstkey=0x{:x} ", key.a, key.b),
            _ => String::new(),
        };
        let names = [(1, "PERMANENT"), (2, "INACTIVE")];
        let flags = names.iter().filter(|(bit, _)| exp.flags & bit != 0).map(|(_, name)| *name);
        let flags = flags.collect::<Vec<_>>().join(",");
        let helper =
            self.cts[exp.master].helper.clone().flatten().map_or_else(String::new, |name| {
                let class = policy_of(&name, exp.class).map_or("", |policy| policy.name);
                let space = if flags.is_empty() { "" } else { " " };
                let slash = if class.is_empty() { "" } else { "/" };
                format!("{space}{name}{slash}{class}")
            });
        format!("l3proto = {l3} proto={} src={src} dst={dst} {words}{flags}{helper}", key.proto)
    }

    fn fill(&mut self, masters: u32, per: u32) -> Answer {
        let mut errs = BTreeMap::new();
        let ip = |text: &str| text.parse().expect("a literal address");
        let (client, server) = (Some(ip("10.0.0.1")), Some(ip("10.0.0.2")));
        let udp = |src, dst, sport, dport: u32| {
            let (sport, dport) = (Some(sport as u16), Some(dport as u16));
            Some(Parts { src, dst, proto: Some(17), sport, dport, ..Parts::default() })
        };
        for m in 0..masters {
            let master = udp(client, server, 1000 + m, 1719);
            let helper = Some("RAS".to_owned());
            let timeout = Some(3600);
            let new = CtNew { orig: master, helper, timeout, ..CtNew::default() };
            // Its own answer is not among those that are counted.
            let _ = self.ct_new(&new);
            for j in 0..per {
                let tuple = udp(server, client, 0, 1 + m * per + j);
                let ones = Some(ip("255.255.255.255"));
                let mask = udp(ones, ones, 0, 0xffff);
                let new = ExpNew { master, tuple, mask, ..ExpNew::default() };
                let name = self.exp_new(&new).err().unwrap_or("OK");
                *errs.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        let made = self.events.iter().filter(|event| matches!(event, Event::ExpNew { .. })).count();
        Answer { made: Some(made as u64), errs: Some(errs), ..Answer::default() }
    }

    // ---- packets -----------------------------------------------------------------------------

    fn forward(&mut self, packet: &Packet, zone: u16) -> bool {
        let l3 = match packet.tuple.src {
            Some(IpAddr::V4(_)) => Family::Ip,
            Some(IpAddr::V6(_)) => Family::Ip6,
            None => Family::Any,
        };
        let Ok(key) = parse(l3, &packet.tuple) else { return true };
        if let Some(ct) = self.find_ct(&key, zone) {
            return self.tftp(packet, ct);
        }
        let Some(reply) = inverse(&key) else { return true };
        let matched = self.exps.iter().find(|exp| {
            let here = self.cts[exp.master].zone == zone && exp.flags & 2 == 0;
            here && same_dst(&exp.key, &key) && agree(&exp.key, &key, exp.mask)
        });
        let translated = matched.and_then(|exp| {
            let saved = exp.nat.unwrap_or((0, 0, 0));
            let master = &self.cts[exp.master];
            translated(&key, exp.function.as_deref()?, saved, (&master.orig, &master.reply))
        });
        let reply = translated.unwrap_or(reply);
        let matched = matched.map(|exp| (exp.e, exp.master, exp.flags & 1 != 0));
        if let Some((e, _, permanent)) = matched {
            self.counters.expect_new += 1;
            if !permanent {
                self.drop_where(false, |_, exp| exp.e == e);
            }
        }
        // A first packet that begins nothing: a reset, an ICMP answer.
        let kind = key.b >> 8;
        let begins = match key.proto {
            6 => packet.tcp.as_deref().unwrap_or("S") == "S",
            1 => [8, 13, 15, 17].contains(&kind),
            58 => [128, 139].contains(&kind),
            _ => true,
        };
        if !begins {
            return true;
        }
        let master = matched.map(|(_, master, _)| master);
        let mark = master.map_or(0, |master| self.cts[master].mark);
        let ct = Ct { orig: key, reply, zone, helper: None, mark, master, alive: true };
        let rule = self.nft.iter().find(|rule| key.proto == 17 && key.b == rule.udp_dport).copied();
        // Somebody else may have either of its directions: then it does not get in.
        let taken = [key, reply].iter().any(|key| self.find_ct(key, zone).is_some());
        let Some(rule) = rule.filter(|rule| rule.size > 0) else {
            if !taken {
                self.ct_enters(ct, false);
            }
            return !taken;
        };
        // The rule applies before the connection is confirmed, so it is there only for a moment.
        let at = self.cts.len();
        self.cts.push(Ct { helper: Some(None), ..ct });
        let exp = Exp {
            e: 0,
            key: Key { proto: rule.l4, a: 0, b: rule.dport, ..reply },
            mask: (all_ones(key.l3), 0),
            master: at,
            class: 0,
            flags: 0,
            deadline_ms: self.now_ms + self.lifetime_ms(rule.seconds),
            nat: None,
            function: None,
        };
        let made = self.insert(exp, None, false).is_ok();
        if taken {
            self.drop_where(false, |_, exp| exp.master == at);
        }
        let ct = self.cts.pop().expect("pushed above");
        if made && !taken {
            self.ct_enters(ct, false);
        }
        made && !taken
    }

    /// A request to a TFTP server: false if the packet is dropped.
    fn tftp(&mut self, packet: &Packet, ct: usize) -> bool {
        let asks = packet
            .hex
            .as_deref()
            .is_some_and(|hex| hex.starts_with("0001") || hex.starts_with("0002"));
        let Ct { reply, helper, .. } = self.cts[ct].clone();
        if !asks || helper != Some(Some("tftp".to_owned())) {
            return true;
        }
        let policy = policy_of("tftp", 0);
        let exp = Exp {
            e: 0,
            key: Key { proto: 17, a: 0, ..reply },
            mask: (all_ones(reply.l3), 0),
            master: ct,
            class: 0,
            flags: 0,
            deadline_ms: self.now_ms + self.lifetime_ms(300),
            nat: None,
            function: None,
        };
        self.insert(exp, policy, false).is_ok()
    }
}
