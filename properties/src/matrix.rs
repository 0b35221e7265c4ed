// SPDX-License-Identifier: GPL-2.0-only
//! The matrix: every pair of operations, on one object and on two, in every variant that has a
//! meaning; and what makes each pair safe.
//!
//! The scenarios are generated, not chosen. What is left out is left out by the kernel's own
//! order (`EXCLUDED`), and the table says so.
//!
//! The rule that matters: a pair is explored in both orders of its CPUs, and both must have the
//! same outcomes: loom 0.7.3 can miss an interleaving in one that it finds in the other.

use nfexp_model::revision::{ExpectLock, Expiry, Revision};

use crate::explore::{Limits, explore};
use crate::linear::linearised;
use crate::marks::sees_its_race;
use crate::op::Op;
use crate::scenario::{Scenario, Variant};

/// The kernels of the pairs.
pub const KERNELS: [Revision; 3] = Revision::ALL;

/// Those of more than two CPUs: where it started, and the newest.
pub const ENDS: [Revision; 2] = [Revision::LINUX_3_9, Revision::LINUX_7_2];

/// What meets on one object (and what a second announcement adds).
pub const ONE: [Op; 18] = [
    Op::Expire(1),
    Op::Match(1),
    Op::Connect(1),
    Op::Lookup(1),
    Op::Find(1),
    Op::Announce(1),
    Op::Announce(2),
    Op::Unexpect(1),
    Op::Put(1),
    Op::Remove,
    Op::Destroy,
    Op::List,
    Op::ListInParts,
    Op::Get(1),
    Op::Delete(1),
    Op::Change(1),
    Op::Flush,
    Op::Unregister,
];

/// What happens to a second object beside them.
const TWO: [Op; 5] = [Op::Expire(2), Op::Match(2), Op::Lookup(2), Op::Unexpect(2), Op::Delete(2)];

/// Who finds what is over, and since 7.2 collects it by the way.
const LATE: [Op; 8] = [
    Op::Expire(1),
    Op::Match(1),
    Op::Lookup(1),
    Op::Announce(1),
    Op::Announce(2),
    Op::List,
    Op::Delete(1),
    Op::Change(1),
];

/// Threads of two steps, and objects made during the run.
const TURNS: [&[Op]; 4] = [
    &[Op::Lookup(1), Op::Unexpect(1)],
    &[Op::Announce(2), Op::Unexpect(2)],
    &[Op::Announce(2), Op::Announce(3)],
    &[Op::Match(1), Op::Announce(1)],
];

/// Meetings that the kernel's own order makes impossible.
pub const EXCLUDED: [(&str, &str); 3] = [
    ("netns-exit and packets or netlink", "synchronize_net() has waited for them"),
    ("netns-exit and a listing", "remove_proc_entry() has waited for its readers"),
    ("unregister and unregister", "a module goes once"),
];

/// Every pair.
#[must_use]
pub fn pairs(revision: Revision) -> Vec<Scenario> {
    let mut pairs = Vec::new();
    let mut add = |cpus: [&[Op]; 2], variant: Variant| {
        let cpus = cpus.map(<[Op]>::to_vec).to_vec();
        let scenario = Scenario { revision, cpus, variant };
        let twice = |once: fn(Op) -> bool| scenario.ops().filter(|op| once(*op)).count() > 1;
        let twice = twice(Op::ends_master) || twice(|op| op == Op::Unregister);
        if !twice && !pairs.contains(&scenario) {
            pairs.push(scenario);
        }
    };
    let plain = Variant::default();
    for (at, first) in ONE.iter().enumerate() {
        for second in &ONE[at..] {
            add([&[*first], &[*second]], plain);
        }
        for second in TWO {
            add([&[*first], &[second]], plain);
        }
        for turns in TURNS {
            add([turns, &[*first]], plain);
        }
        add([&[Op::Match(1)], &[*first]], Variant { permanent: true, ..plain });
        add([&[Op::Announce(2)], &[*first]], Variant { one: true, ..plain });
        add([&[Op::Announce(2)], &[*first]], Variant { full: true, ..plain });
        add([&[Op::Announce(1)], &[*first]], Variant { told: true, ..plain });
        // Where nothing is linked, nobody has a reference to give back.
        if !matches!(first, Op::Unexpect(_) | Op::Put(_)) {
            for newcomer in [Op::Announce(1), Op::Pair(1)] {
                add([&[newcomer], &[*first]], Variant { empty: true, ..plain });
                add([&[newcomer], &[*first]], Variant { empty: true, told: true, ..plain });
            }
        }
        add([&[Op::LookupElsewhere(1)], &[*first]], Variant { held: true, ..plain });
        add([&[Op::Urq], &[*first]], plain);
        add([&[Op::Dump(1)], &[*first]], plain);
        add([&[Op::Rmmod], &[*first]], Variant { function: true, ..plain });
        add([&[Op::Reuse(1)], &[*first]], plain);
        add([&[Op::Child(1)], &[*first]], plain);
        add([&[Op::Pair(1)], &[*first]], plain);
        add([&[Op::Pair(2)], &[*first]], plain);
        for second in LATE.iter().filter(|_| LATE.contains(first)) {
            add([&[*first], &[*second]], Variant { late: true, ..plain });
        }
    }
    for second in [Op::Expire(1), Op::Put(1)] {
        add([&[Op::NetnsExit], &[second]], plain);
    }
    pairs
}

/// What makes a meeting safe: read off what its operations take and hold.
#[must_use]
pub fn mechanism(scenario: &Scenario) -> String {
    let timers = scenario.revision.expiry == Expiry::Timer;
    let count = |is: fn(Op) -> bool| {
        scenario.cpus.iter().filter(|ops| ops.iter().any(|op| is(*op))).count()
    };
    let lockless =
        |op: Op| matches!(op.letter(), 'G' | 'D') && !matches!(op, Op::Find(_) | Op::Follow(_));
    let lockers = count(|op| {
        !matches!(op.letter(), 'G' | 'D' | 'P') || matches!(op, Op::Find(_) | Op::Follow(_))
    });
    let enders = count(|op| matches!(op.letter(), 'T' | 'I' | 'F' | 'R' | 'U' | 'X' | 'H' | 'N'));
    let readers =
        count(lockless) + if timers { count(|op| matches!(op, Op::Delete(_))) } else { 0 };
    let holders = count(|op| matches!(op.letter(), 'P' | 'U' | 'F') || matches!(op, Op::Delete(_)))
        + count(|op| {
            matches!(op, Op::Lookup(_) | Op::LookupElsewhere(_) | Op::Get(_) | Op::Dump(_))
        });
    let mut by = Vec::new();
    if lockers > 1 {
        by.push("lock");
    }
    if timers && enders > 1 {
        by.push("del_timer token");
    }
    if readers > 0 && enders > 0 {
        by.push("RCU");
    }
    if holders > 0 && enders + holders > 1 {
        by.push("refcount");
    }
    if by.is_empty() {
        by.push("nothing changes");
    }
    by.join(", ")
}

/// The bug or hazard that a violation of this scenario is, if it is a known one of the kernel.
#[must_use]
pub fn known(scenario: &Scenario, message: &str) -> Option<&'static str> {
    let has = |op: fn(&Op) -> bool| scenario.ops().any(|found| op(&found));
    let timers = scenario.revision.expiry == Expiry::Timer;
    let race = message.contains("Causality violation");
    let master_ends = has(|op| op.ends_master());
    let own_lock = scenario.revision.expect_lock == ExpectLock::Own;
    let announces = has(|op| op.letter() == 'I' || matches!(op, Op::Reuse(_)));
    let fires = timers && has(|op| matches!(op, Op::Expire(_)));
    Some(match () {
        () if has(|op| matches!(op, Op::NetnsExit)) && fires => "H10",
        () if fires && master_ends => "B01",
        () if !timers && has(|op| matches!(op, Op::Reuse(_))) => "B16",
        () if message.starts_with("RefusedOnlyIfFull") => "H01",
        () if message.starts_with("ToldInOrder") => "B10b",
        () if race && own_lock && has(|op| matches!(op, Op::Unregister)) && announces => "H02",
        () if message.starts_with("NothingUnregistered: a call") => "B08",
        () if has(|op| matches!(op, Op::Rmmod)) && race => "B08",
        () if message.starts_with("NothingUnregistered") && announces => "B46",
        () if message.starts_with("NothingUnregistered") => "H14",
        () if message.starts_with("OwnZone") => "B11",
        () if message.starts_with("ListsOwn") => "B09",
        () if has(|op| matches!(op, Op::Urq)) => "B32",
        () if has(|op| matches!(op, Op::Reuse(_))) => "H05",
        () if has(|op| matches!(op, Op::Get(_))) && master_ends => "B10a",
        () if has(|op| matches!(op, Op::Dump(_))) && master_ends => "B21",
        () if race && has(|op| op.letter() == 'D') && has(|op| op.letter() == 'I') => "H03",
        () if race && has(|op| matches!(op, Op::Change(_))) => "H15",
        () if master_ends && has(|op| matches!(op, Op::Announce(_))) => "B10b",
        () => return None,
    })
}

/// One scenario explored: what stands in its cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The verdict and its executions, as the table says it.
    pub text: String,
    /// Executions, all orders together.
    pub executions: usize,
}

/// Explores a pair in both orders.
///
/// # Errors
/// An unknown violation, or outcomes that depend on the order.
pub fn pair_cell(scenario: &Scenario) -> Result<Cell, String> {
    let reports = [0, 1].map(|turn| explore(&scenario.turned(turn), Limits::NONE));
    let executions = reports.iter().map(|report| report.executions).sum();
    let counted = format!("{}+{}", reports[0].executions, reports[1].executions);
    let unchecked = reports.iter().any(|report| report.unchecked > 0);
    let dagger = if unchecked { " †" } else { "" };
    let kernel = scenario.revision.name;
    let text = match [reports[0].violation(), reports[1].violation()] {
        [None, None] if reports[0].outcome_set() != reports[1].outcome_set() => {
            return Err(format!(
                "{scenario} on {kernel}: the outcomes depend on the order: {:?} against {:?}",
                reports[0].outcome_set(),
                reports[1].outcome_set()
            ));
        }
        [None, None] => {
            sees_its_race(scenario, &[&reports[0], &reports[1]])?;
            let one_cpu = linearised(scenario, &reports[0])?;
            format!("PROVED {counted}{dagger}{one_cpu}")
        }
        [Some(message), _] | [None, Some(message)] => {
            let bug = known(scenario, message)
                .ok_or_else(|| format!("{scenario} on {kernel}: {message}"))?;
            if reports.iter().any(|report| report.violation().is_none()) {
                return Err(format!("{scenario} on {kernel}: {bug} shows in one order only"));
            }
            format!("{bug} {counted}")
        }
    };
    Ok(Cell { text, executions })
}

/// Explores a scenario of more CPUs in one order.
///
/// # Errors
/// An unknown violation.
pub fn cell(scenario: &Scenario, limits: Limits) -> Result<Cell, String> {
    let report = explore(scenario, limits);
    let executions = report.executions;
    let dagger = if report.unchecked > 0 { " †" } else { "" };
    let text = match report.violation() {
        None => {
            sees_its_race(scenario, &[&report])?;
            let one_cpu = linearised(scenario, &report)?;
            format!("{} {executions}{dagger}{one_cpu}", report.verdict)
        }
        Some(message) => {
            let kernel = scenario.revision.name;
            let bug = known(scenario, message);
            let bug = bug.ok_or_else(|| format!("{scenario} on {kernel}: {message}"))?;
            format!("{bug} {executions}")
        }
    };
    Ok(Cell { text, executions })
}

/// Every three of what matters most.
#[must_use]
pub fn triples(revision: Revision) -> Vec<Scenario> {
    let ops = [
        Op::Expire(1),
        Op::Match(1),
        Op::Lookup(1),
        Op::Announce(1),
        Op::Announce(2),
        Op::Unexpect(1),
        Op::Remove,
        Op::Destroy,
        Op::List,
        Op::Delete(1),
    ];
    let mut triples = Vec::new();
    for (a, first) in ops.iter().enumerate() {
        for (b, second) in ops.iter().enumerate().skip(a) {
            for third in &ops[b..] {
                let scenario = Scenario::of(revision, &[*first, *second, *third]);
                let ends = scenario.ops().filter(|op| op.ends_master()).count();
                if ends < 2 {
                    triples.push(scenario);
                }
            }
        }
    }
    triples
}

/// Whether a triple has two of expiry, unlink and lookup.
#[must_use]
pub fn is_at_the_heart(scenario: &Scenario) -> bool {
    let kind = |op: Op| match op.letter() {
        'T' => Some(0),
        'F' | 'U' | 'R' | 'X' => Some(1),
        'G' => Some(2),
        _ => None,
    };
    let mut kinds: Vec<u8> = scenario.ops().filter_map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len() >= 2
}

/// Twenty meetings of four.
pub const QUADS: [&str; 20] = [
    "expire-1+match-1+lookup-1+remove",
    "expire-1+match-1+lookup-1+list",
    "expire-1+match-1+lookup-1+unexpect-1",
    "expire-1+match-1+lookup-1+delete-1",
    "expire-1+match-1+remove+list",
    "expire-1+match-1+remove+unexpect-1",
    "expire-1+match-1+match-1+lookup-1",
    "expire-1+match-1+unexpect-1+delete-1",
    "expire-1+lookup-1+lookup-1+match-1",
    "expire-1+lookup-1+remove+list",
    "expire-1+lookup-1+unexpect-1+remove",
    "expire-1+unexpect-1+delete-1+flush",
    "expire-1+change-1+match-1+lookup-1",
    "expire-1+change-1+delete-1+remove",
    "match-1+lookup-1+unexpect-1+remove",
    "match-1+match-1+match-1+expire-1:permanent",
    "announce-1+expire-1+match-1+remove",
    "announce-2+expire-1+match-1+unexpect-1",
    "announce-1+match-1+lookup-1+delete-1:empty",
    "expire-1+expire-2+match-1+match-2",
];
