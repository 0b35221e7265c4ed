// SPDX-License-Identifier: GPL-2.0-only
//! The lines that a recording of the running kernel has, for the model.
//!
//! One line per packet that had events, with small numbers for expectations and connections in
//! order of first appearance. A recording and a run agree when these lines do.

use std::collections::{BTreeMap, HashMap};

use nfexp_model::Engine;
use nfexp_model::conn::{ConnId, Status};
use nfexp_model::event::{ConnEvent, ConnEventKind, Event, ExpectEvent, ExpectEventKind};
use nfexp_model::expectation::{ExpectId, Flags};
use nfexp_model::kernel::{Jiffies, Up};
use nfexp_model::netns::NetId;
use nfexp_model::tuple::{Addr, L3, Mask, Ntop, Proto, Tuple};
use serde_json::{Map, Value, json};

use crate::forward::Router;
use crate::replay::Happening;

/// Turns events into lines.
#[derive(Debug, Default)]
pub struct Recorder {
    exps: HashMap<ExpectId, u64>,
    conns: HashMap<ConnId, u64>,
    born: (u64, u64),
    counts: BTreeMap<&'static str, u64>,
    related: u64,
    expired: u64,
    /// What a listing is known to show of each expectation: flags and end.
    known: HashMap<ExpectId, (Flags, Jiffies)>,
    lean: bool,
    timed: bool,
}

impl Recorder {
    /// A fresh one. A lean one leaves out connections without helper and master; where time
    /// passes, the ends of connections are left out too: the kernel collects them when it likes.
    #[must_use]
    pub fn new(lean: bool, timed: bool) -> Self {
        Self { lean, timed, ..Self::default() }
    }

    /// The line of one packet, or none if nothing happened.
    pub fn packet(
        &mut self,
        router: &Router,
        head: (&str, u64, f64),
        happening: &Happening<'_>,
    ) -> Option<Value> {
        let (engine, now) = (router.engine(), router.now());
        let mut told: Vec<Value> = Vec::new();
        for event in happening.events {
            match event {
                Event::Expect(event) => told.push(self.expect(engine, now, event)),
                Event::Conn(event) => told.extend(self.conn(router, event)),
            }
        }
        let mut changed: Vec<(u64, Value)> =
            happening.retimed.iter().filter_map(|id| self.change(engine, now, *id)).collect();
        changed.sort_by_key(|(number, _)| *number);
        told.extend(changed.into_iter().map(|(_, line)| line));
        if told.is_empty() {
            return None;
        }
        let (key, at, seconds) = head;
        Some(json!({ key: at, "t": seconds, "ev": told }))
    }

    /// What a listing shows of a retimed expectation, if that is other than was told: flags, or
    /// an end more than two seconds away from the one known.
    fn change(&mut self, engine: &Engine<Up>, now: Jiffies, id: ExpectId) -> Option<(u64, Value)> {
        let number = *self.exps.get(&id)?;
        let (flags_now, (expires, _)) = (engine.expectation(id).flags(), engine.timer(id));
        let (flags_known, ends) = *self.known.get(&id)?;
        let hz = i64::from(engine.config().hz);
        let left = expires.ticks_from(now) / hz;
        if flags_now == flags_known && (left * hz - ends.ticks_from(now)).abs() <= 2 * hz {
            return None;
        }
        self.known.insert(id, (flags_now, expires));
        self.count("exp_change");
        let line = json!({
            "e": "exp_change", "id": number, "flags": flags(flags_now), "timeout": left.max(0),
        });
        Some((number, line))
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn expect(&mut self, engine: &Engine<Up>, now: Jiffies, event: &ExpectEvent) -> Value {
        let left = (event.expires.ticks_from(now) / i64::from(engine.config().hz)).max(0);
        let mut line = Map::new();
        match event.kind {
            ExpectEventKind::New => {
                self.count("exp_new");
                self.born.0 += 1;
                self.exps.insert(event.id, self.born.0);
                self.known.insert(event.id, (event.flags, event.expires));
                line.insert("e".into(), "exp_new".into());
                line.insert("id".into(), self.born.0.into());
            }
            ExpectEventKind::Destroy(_) => {
                self.known.remove(&event.id);
                self.count("exp_destroy");
                line.insert("e".into(), "exp_destroy".into());
                line.insert("id".into(), self.exps.remove(&event.id).unwrap_or(0).into());
                if left == 0 {
                    self.expired += 1;
                    line.insert("expired".into(), true.into());
                }
            }
        }
        line.insert("tuple".into(), tuple(&event.tuple));
        line.insert("mask".into(), mask(&event.tuple, &event.mask));
        line.insert("master".into(), tuple(&event.master_tuple));
        line.insert("class".into(), event.class.number().into());
        line.insert("flags".into(), flags(event.flags));
        if event.kind == ExpectEventKind::New {
            line.insert("timeout".into(), left.into());
        }
        if let Some(helper) = event.helper {
            line.insert("helper".into(), engine.helper(helper).name.into());
        }
        if let Some(name) = event.expectfn.and_then(|function| function.name()) {
            line.insert("fn".into(), name.into());
        }
        if event.zone.0 != 0 {
            line.insert("zone".into(), event.zone.0.into());
        }
        Value::Object(line)
    }

    fn conn(&mut self, router: &Router, event: &ConnEvent) -> Option<Value> {
        let mut line = Map::new();
        let plain = event.helper.is_none() && event.master.is_none();
        let (what, id) = match event.kind {
            ConnEventKind::New => {
                self.born.1 += 1;
                self.conns.insert(event.id, self.born.1);
                ("ct_new", self.born.1)
            }
            ConnEventKind::Destroy => ("ct_destroy", self.conns.remove(&event.id).unwrap_or(0)),
        };
        if (self.lean && plain) || (self.timed && event.kind == ConnEventKind::Destroy) {
            return None;
        }
        self.count(what);
        line.insert("e".into(), what.into());
        line.insert("id".into(), id.into());
        line.insert("orig".into(), tuple(&event.original));
        line.insert("reply".into(), tuple(&event.reply));
        if let Some((_, master)) = event.master.filter(|_| event.kind == ConnEventKind::New) {
            self.related += 1;
            line.insert("master".into(), tuple(&master));
        }
        line.insert("status".into(), status(event.status));
        let state = router.tcp_state(event.id).filter(|_| event.original.proto == Proto::TCP);
        if let Some(state) = state {
            line.insert("tcp".into(), state.name().into());
        }
        if let Some(helper) = event.helper.filter(|_| event.kind == ConnEventKind::New) {
            line.insert("helper".into(), router.engine().helper(helper).name.into());
        }
        Some(Value::Object(line))
    }

    /// The parts of the head line that only the end of the run knows.
    #[must_use]
    pub fn totals(&self) -> Value {
        let count = |what| self.counts.get(what).copied().unwrap_or(0);
        json!({
            "counts": {
                "exp_new": count("exp_new"),
                "exp_destroy": count("exp_destroy"),
                "exp_change": count("exp_change"),
                "ct_new": count("ct_new"),
                "ct_destroy": count("ct_destroy"),
            },
            "related": self.related,
            "expired": self.expired,
        })
    }

    /// The last two lines: what is left, and in which order a flush takes it, by master.
    #[must_use]
    pub fn end(&self, router: &mut Router) -> [Value; 2] {
        let mut alive: Vec<u64> = self.exps.values().copied().collect();
        alive.sort_unstable();
        let engine = router.engine();
        let conns = engine.conns_of(NetId::INIT);
        let expected = |id: &&ConnId| engine.conn(**id).status().has(Status::EXPECTED);
        let related = conns.iter().filter(expected).count();
        router.flush();
        let mut by_master: BTreeMap<ConnId, Vec<u64>> = BTreeMap::new();
        while let Some(event) = router.poll_event() {
            if let Event::Expect(ExpectEvent { id, master, .. }) = event {
                let number = self.exps.get(&id).copied().unwrap_or(0);
                by_master.entry(master).or_default().push(number);
            }
        }
        let mut by_master: Vec<Vec<u64>> = by_master.into_values().collect();
        by_master.sort();
        [
            json!({ "final": {
                "expectations": alive, "conntracks": conns.len(), "related": related } }),
            json!({ "flush": { "expectations": by_master, "conntracks": conns.len() } }),
        ]
    }
}

fn tuple(tuple: &Tuple) -> Value {
    let ip = |addr: Addr| Ntop(addr.ip(tuple.l3)).to_string();
    match tuple.proto {
        Proto::ICMP | Proto::ICMPV6 => json!({
            "l4": tuple.proto.0, "src": ip(tuple.src), "dst": ip(tuple.dst),
            "icmp_id": tuple.sport, "icmp_type": tuple.dport >> 8, "icmp_code": tuple.dport & 0xff,
        }),
        Proto::TCP | Proto::UDP | Proto::UDPLITE | Proto::SCTP | Proto::GRE => json!({
            "l4": tuple.proto.0, "src": ip(tuple.src), "dst": ip(tuple.dst),
            "sport": tuple.sport, "dport": tuple.dport,
        }),
        // What has no tracker of its own has no words.
        _ => json!({ "l4": tuple.proto.0, "src": ip(tuple.src), "dst": ip(tuple.dst) }),
    }
}

/// The mask as netlink shows it: a tuple whose destination is all ones.
fn mask(tuple: &Tuple, mask: &Mask) -> Value {
    let all = Mask::exact(tuple.l3, true, true);
    let ip = |addr: Addr| Ntop(addr.ip(tuple.l3)).to_string();
    debug_assert!(tuple.l3 != L3::Unspec);
    json!({
        "l4": tuple.proto.0, "src": ip(mask.src), "dst": ip(all.src),
        "sport": mask.sport, "dport": u16::MAX,
    })
}

fn flags(flags: Flags) -> Value {
    let named = Flags::NAMED.into_iter().filter(|(flag, _)| flags.has(*flag));
    named.map(|(_, name)| name.to_lowercase()).collect()
}

fn status(status: Status) -> Value {
    const NAMED: [(Status, &str); 6] = [
        (Status::EXPECTED, "expected"),
        (Status::SEEN_REPLY, "seen_reply"),
        (Status::ASSURED, "assured"),
        (Status::CONFIRMED, "confirmed"),
        (Status::DYING, "dying"),
        (Status::HELPER, "helper"),
    ];
    NAMED.into_iter().filter(|(bit, _)| status.has(*bit)).map(|(_, name)| name).collect()
}
