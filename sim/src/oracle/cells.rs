// SPDX-License-Identifier: GPL-2.0-only
//! What has been reached: operations by what came of them.
//!
//! *Cell*: an operation and an outcome (the return code with the kinds of events in their
//! order), or an operation and something particular about it: which mask clashed, whose class
//! was full. *Reachable*: a cell that any soak of some length must fill.
//!
//! The rule that matters: a generator that never gets somewhere says nothing about it. An empty
//! reachable cell fails a soak.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nfexp_traces::transcript::{Answer, Event, Family, Operation, Parts};

use super::known::{Flow, Known, Seen};

const PERMANENT: u32 = 1;
const INACTIVE: u32 = 2;

/// How often each cell was reached.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    counts: BTreeMap<(String, String), u64>,
    matched: BTreeMap<u64, u32>,
}

impl Cells {
    /// Counts an operation; `known` is what existed before it.
    pub fn count(&mut self, known: &Known, operation: &Operation, answer: &Answer) {
        let name = operation.name();
        self.add(name, outcome(answer));
        for particular in self.particulars(known, operation, answer) {
            self.add(name, particular);
        }
    }

    /// A sequence begins: handles begin again.
    pub fn begin(&mut self) {
        self.matched.clear();
    }

    /// Adds what others reached.
    pub fn merge(&mut self, other: &Self) {
        for (cell, count) in &other.counts {
            *self.counts.entry(cell.clone()).or_default() += count;
        }
    }

    /// The cells in order, with their counts.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.counts.iter().map(|((name, what), count)| (name.as_str(), what.as_str(), *count))
    }

    /// The reachable cells that nothing reached.
    #[must_use]
    pub fn empty(&self) -> Vec<(String, String)> {
        let reached: BTreeSet<&(String, String)> = self.counts.keys().collect();
        reachable().into_iter().filter(|cell| !reached.contains(cell)).collect()
    }

    fn add(&mut self, name: &str, what: String) {
        *self.counts.entry((name.to_owned(), what)).or_default() += 1;
    }

    fn particulars(
        &mut self,
        known: &Known,
        operation: &Operation,
        answer: &Answer,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let events = answer.events();
        match operation {
            Operation::ExpNew(new) => {
                if answer.ret.as_deref() == Some("EBUSY") {
                    found.extend(new.mask.map(|mask| format!("clash under {}", shape(&mask))));
                }
                if let [Event::ExpDestroy { .. }, Event::ExpNew { helper, cl, .. }] = events {
                    found.push(format!("evicts {}/{cl}", helper.as_deref().unwrap_or("-")));
                }
                for event in events {
                    if let Event::ExpNew { l3: Family::Ip6, .. } = event {
                        found.push("of ip6".to_owned());
                    }
                }
                if new.zone.unwrap_or(0) != 0 && !events.is_empty() {
                    found.push("in a zone".to_owned());
                }
            }
            Operation::Pkt(packet) => {
                let waiting = known.waiting(packet);
                let first = events.iter().find_map(|event| match event {
                    Event::CtNew { expected, .. } => Some(*expected),
                    _ => None,
                });
                match (waiting, first) {
                    (Some((handle, seen)), Some(true)) if seen.flags & PERMANENT != 0 => {
                        let times = self.matched.entry(handle).or_default();
                        *times += 1;
                        if *times == 3 {
                            found.push("a permanent one matched thrice".to_owned());
                        }
                    }
                    (Some((_, seen)), Some(false)) if seen.flags & INACTIVE != 0 => {
                        found.push("an inactive one skipped".to_owned());
                    }
                    _ => {}
                }
                let answers = |(flow, answers): &&(Flow, Parts)| {
                    flow.zone == packet.zone && *answers == packet.p.tuple
                };
                if first.is_none() && known.translated.iter().any(|flow| answers(&flow)) {
                    found.push("an answer to a translated one".to_owned());
                }
                if packet.zone != 0 && first == Some(true) {
                    found.push("related in a zone".to_owned());
                }
            }
            Operation::CtDel(_)
                if events.iter().any(|event| matches!(event, Event::ExpDestroy { .. })) =>
            {
                found.push("a master with expectations".to_owned());
            }
            Operation::ExpDumpMaster(_) | Operation::ExpDump(_) => {
                let rows = answer.dump.as_ref().map_or(0, Vec::len);
                found.push(many(rows));
            }
            Operation::Proc(_) => found.push(many(answer.proc.as_ref().map_or(0, Vec::len))),
            _ => {}
        }
        found
    }
}

fn many(rows: usize) -> String {
    match rows {
        0 => "nothing",
        1 => "one row",
        _ => "rows",
    }
    .to_owned()
}

/// The return code, whether a packet left, and the kinds of events; what repeats is one.
fn outcome(answer: &Answer) -> String {
    let mut kinds = vec![];
    kinds.extend(answer.ret.clone());
    kinds.extend(answer.fwd.map(|left| if left { "forwarded" } else { "dropped" }.to_owned()));
    for event in answer.events() {
        let kind = match event {
            Event::ExpNew { .. } => "+exp",
            Event::ExpDestroy { .. } => "-exp",
            Event::CtNew { expected: true, .. } => "+related",
            Event::CtNew { .. } => "+ct",
            Event::CtDestroy { .. } => "-ct",
        };
        if kinds.last().is_none_or(|last| last != kind) {
            kinds.push(kind.to_owned());
        }
    }
    // A flush of many: which and in which order is a matter of the hash.
    kinds.truncate(4);
    if kinds.is_empty() { "-".to_owned() } else { kinds.join(" ") }
}

/// What a mask leaves open.
fn shape(mask: &Parts) -> String {
    let source = match mask.src {
        Some(IpAddr::V4(mask)) => match mask.to_bits() {
            u32::MAX => "exact",
            0 => "any",
            bits if bits.leading_ones() + bits.trailing_zeros() == 32 => "net",
            _ => "odd",
        },
        Some(IpAddr::V6(mask)) => match mask.to_bits() {
            u128::MAX => "exact",
            0 => "any",
            _ => "net",
        },
        None => "no",
    };
    let port = match mask.sport.or(mask.id) {
        Some(0) => "any port",
        Some(u16::MAX) => "one port",
        Some(_) => "part of a port",
        None => "no port",
    };
    format!("{source} source, {port}")
}

/// Whether an expectation waits for a tuple.
pub(super) fn covers(seen: &Seen, tuple: &Parts) -> bool {
    let half = |a: Option<u16>, b: Option<u16>, mask: Option<u16>| match (a, b) {
        (Some(a), Some(b)) => (a ^ b) & mask.unwrap_or(u16::MAX) == 0,
        _ => a == b,
    };
    let source = match (seen.tuple.src, tuple.src, seen.mask.src) {
        (Some(IpAddr::V4(a)), Some(IpAddr::V4(b)), Some(IpAddr::V4(mask))) => {
            (a.to_bits() ^ b.to_bits()) & mask.to_bits() == 0
        }
        (Some(IpAddr::V6(a)), Some(IpAddr::V6(b)), Some(IpAddr::V6(mask))) => {
            (a.to_bits() ^ b.to_bits()) & mask.to_bits() == 0
        }
        _ => false,
    };
    source
        && (seen.tuple.dst, seen.tuple.proto, seen.tuple.dport)
            == (tuple.dst, tuple.proto, tuple.dport)
        && (seen.tuple.kind, seen.tuple.code) == (tuple.kind, tuple.code)
        && half(seen.tuple.sport, tuple.sport, seen.mask.sport)
        && half(seen.tuple.id, tuple.id, seen.mask.id)
}

/// The cells a soak must reach.
#[must_use]
pub fn reachable() -> Vec<(String, String)> {
    let mut cells: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, what: &str| cells.push((name.to_owned(), what.to_owned()));
    for (name, outcomes) in OUTCOMES {
        outcomes.iter().for_each(|outcome| add(name, outcome));
    }
    for source in ["exact", "net", "odd", "any"] {
        for port in ["any port", "one port", "part of a port"] {
            // Whom such a one would clash with covers it, and is found before.
            if (source, port) == ("exact", "one port") {
                continue;
            }
            add("exp_new", &format!("clash under {source} source, {port}"));
        }
    }
    for (helper, classes) in POLICIES {
        (0..*classes).for_each(|class| add("exp_new", &format!("evicts {helper}/{class}")));
    }
    cells
}

/// The helpers and how many classes they have. Each class has a limit, and is evicted from.
const POLICIES: &[(&str, u32)] = &[
    ("ftp", 1),
    ("tftp", 1),
    ("sane", 1),
    ("irc", 1),
    ("pptp", 1),
    ("amanda", 1),
    ("netbios-ns", 1),
    ("snmp", 1),
    ("RAS", 1),
    ("Q.931", 1),
    ("H.245", 1),
    ("sip", 4),
];

const OUTCOMES: &[(&str, &[&str])] = &[
    ("ct_new", &["OK +ct", "EEXIST", "EOPNOTSUPP"]),
    ("ct_del", &["OK -ct", "OK -ct -exp", "ENOENT", "EINVAL", "a master with expectations"]),
    ("ct_help", &["OK", "OK -exp", "EBUSY", "EOPNOTSUPP", "ENOENT"]),
    ("ct_flush", &["OK -ct -exp -ct"]),
    ("ct_dump", &["OK"]),
    (
        "exp_new",
        &[
            "OK +exp",
            "OK -exp +exp",
            "OK",
            "EEXIST",
            "EBUSY",
            "EMFILE",
            "EINVAL",
            "ENOENT",
            "EOPNOTSUPP",
            "ERANGE",
            "of ip6",
            "in a zone",
        ],
    ),
    ("exp_get", &["OK", "ENOENT"]),
    ("exp_del", &["OK -exp", "ENOENT"]),
    ("exp_del_helper", &["OK", "OK -exp"]),
    ("exp_flush", &["OK -exp"]),
    ("exp_flush_quiet", &["OK"]),
    ("exp_dump", &["OK", "nothing", "one row", "rows"]),
    ("exp_dump_master", &["OK", "ENOENT", "nothing", "one row", "rows"]),
    ("proc", &["-", "rows"]),
    ("stats", &["-"]),
    ("fill", &["-"]),
    ("advance", &["-", "-exp"]),
    (
        "pkt",
        &[
            "forwarded",
            "forwarded +ct",
            "forwarded -exp +related",
            "forwarded +related",
            "forwarded -exp",
            "forwarded +exp",
            "forwarded -exp +exp",
            "forwarded +exp +ct",
            "dropped",
            "a permanent one matched thrice",
            "an inactive one skipped",
            "related in a zone",
            "an answer to a translated one",
        ],
    ),
];
