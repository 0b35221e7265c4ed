// SPDX-License-Identifier: GPL-2.0-only
//! Expectations of the naive kernel: rows, walked one by one.

use nfexp_model::helper::ExpectPolicy;
use nfexp_traces::transcript::{
    Answer, BucketKey, Event, ExpAt, ExpNew, Family, NatArg, Parts, Row, Whose,
};

use super::super::words::{
    Errno, Key, agree, all_ones, full, parse, parts, policy_of, ret, same_dst,
};
use super::{Exp, Naive};

impl Naive {
    /// The row that a tuple hits, inactive ones included.
    pub(super) fn hit(&self, key: &Key, zone: u16) -> Option<usize> {
        self.exps.iter().position(|exp| {
            self.cts[exp.master].zone == zone
                && same_dst(&exp.key, key)
                && agree(&exp.key, key, exp.mask)
        })
    }

    pub(super) fn exp_new(&mut self, new: &ExpNew) -> Result<(), Errno> {
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
    pub(super) fn insert(
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

    pub(super) fn tell_new(&mut self, exp: &Exp, rep: bool) {
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
    pub(super) fn drop_where(&mut self, rep: bool, picked: impl Fn(&Self, &Exp) -> bool) {
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
    pub(super) fn exp_at(
        &self,
        at: &ExpAt,
        tuple: Option<Parts>,
    ) -> (Result<usize, Errno>, Option<u64>) {
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

    pub(super) fn exp_del(&mut self, at: &ExpAt) -> Answer {
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

    pub(super) fn row(&self, at: usize) -> Row {
        Row::Expectation { e: self.exps[at].e, to: self.left(&self.exps[at]) }
    }

    pub(super) fn left(&self, exp: &Exp) -> i64 {
        (exp.deadline_ms.saturating_sub(self.now_ms) / 1000) as i64
    }

    /// In the kernel's 32 bits.
    pub(super) fn lifetime_ms(&self, secs: u32) -> u64 {
        u64::from(secs.wrapping_mul(self.hz)) * 1000 / u64::from(self.hz)
    }

    pub(super) fn proc_lines(&self) -> Vec<(i64, String)> {
        self.exps.iter().map(|exp| (self.left(exp), self.proc_line(exp))).collect()
    }

    pub(super) fn proc_line(&self, exp: &Exp) -> String {
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
}
