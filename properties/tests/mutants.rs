// SPDX-License-Identifier: GPL-2.0-only
//! Every mutant is noticed, by a suite that `MUTANTS.md` names.
//!
//! Four tools look at each: loom, random schedules, sequences on one CPU, and the corpus of
//! traces. `UPDATE_TABLES=1` searches the smallest scenario that loom needs; otherwise the one
//! that stands in the table is taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::kernel::{Platform, Up, rcu::UpRcu};
use nfexp_model::revision::Revision;
use nfexp_model::slip::Slip;
use nfexp_properties::explore::{Limits, explore, quietly};
use nfexp_properties::invariants::broken_by;
use nfexp_properties::matrix::{ONE, pairs};
use nfexp_properties::scenario::Scenario;
use nfexp_properties::schedule::random;
use nfexp_properties::table::Table;
use nfexp_properties::turns::Mutated;
use nfexp_properties::{sequences, world};
use nfexp_sim::simulator::{SimulatorOn, config};
use nfexp_traces::text::{Trace, parse};

const KERNELS: [Revision; 3] = Revision::ALL;

/// What noticed a violation, by its message.
fn oracle(message: &str) -> String {
    if message.contains("Causality violation") {
        return "data race".into();
    }
    match broken_by(message) {
        Some(number) => format!("inv {number}"),
        None if message.contains("kernel crashes") => "crash".into(),
        None => "answer".into(),
    }
}

type Sequence = (&'static str, fn(Revision));

const SEQUENCES: [Sequence; 10] = [
    ("matches", sequences::matches),
    ("clashes", sequences::clashes),
    ("limits", sequences::limits),
    ("lives", sequences::lives),
    ("oldest_goes", sequences::oldest_goes),
    ("beside_a_firing_one", sequences::beside_a_firing_one),
    ("listing_of_another_namespace", sequences::listing_of_another_namespace),
    ("announced_twice", sequences::announced_twice),
    ("pair_refused", sequences::pair_refused),
    ("created_by_netlink", sequences::created_by_netlink),
];

/// Sequences that hold on every kernel, so that whatever fails is the slip's doing.
#[test]
fn sequences_hold_in_the_right_world() {
    for kernel in KERNELS {
        for (_, sequence) in SEQUENCES {
            sequence(kernel);
        }
    }
}

fn by_sequence(slip: Slip) -> Option<String> {
    for kernel in KERNELS {
        for (name, sequence) in SEQUENCES {
            if let Err(message) = world::with(Some(slip), || quietly(|| sequence(kernel))) {
                return Some(format!("`{name}` {}: {}", kernel.name, oracle(&message)));
            }
        }
    }
    None
}

// ---- traces ----------------------------------------------------------------------------------

fn corpus() -> Vec<Trace> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "trace") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus"), &mut found);
    found.sort();
    let read = |path: PathBuf| parse(&fs::read_to_string(path).expect("it can be read")).ok();
    found.into_iter().filter_map(read).collect()
}

/// What a trace is answered, until something breaks.
fn answers<P: Platform<Rcu = UpRcu>>(trace: &Trace, revision: Revision) -> Vec<String> {
    let Ok(mut simulator) = SimulatorOn::<P>::new(config(&trace.setup, revision)) else {
        return Vec::new();
    };
    let mut answers = Vec::new();
    for (_, step) in trace.blocks.iter().flat_map(|block| &block.steps) {
        match simulator.step(step) {
            Ok(lines) => answers.extend(lines),
            Err(error) => {
                answers.push(format!("error: {error}"));
                std::mem::forget(simulator);
                return answers;
            }
        }
    }
    if let Err(error) = simulator.finish() {
        answers.push(format!("error: {error}"));
    }
    answers
}

/// Each form of a question is looked at where it is answered: in a world in which it is answered
/// wrong, that step names the invariant.
#[test]
fn what_a_step_answers_is_looked_at() {
    let setting = "config expect-max=2\n\
        conn m tcp 10.0.0.2:40000 > 10.0.0.1:6667 zone=1 helper=irc\nconfirm m\n\
        expect e master=m tcp 10.0.0.2:* > 10.0.0.1:1\n";
    let another = "f master=m tcp 10.0.0.2:* > 10.0.0.1:2";
    for (slip, asked, invariant) in [
        (Slip::RefusesEarly, format!("expect {another}"), 12),
        (Slip::RefusesEarly, format!("alloc {another}\nrelate f"), 12),
        (Slip::ZoneIgnored, "lookup tcp 10.0.0.2:1 > 10.0.0.1:1 zone=2".to_owned(), 11),
    ] {
        let trace = parse(&format!("{setting}{asked}\n")).expect("a trace");
        let kernel = Revision::LINUX_6_18;
        assert!(!answers::<Up>(&trace, kernel).iter().any(|line| line.starts_with("error: ")));
        let told = world::with(Some(slip), || answers::<Mutated>(&trace, kernel));
        let last = told.last().and_then(|line| line.strip_prefix("error: "));
        assert_eq!(last.and_then(broken_by), Some(invariant), "{slip:?}, {asked}: {told:?}");
    }
}

struct Played {
    trace: Trace,
    kernel: Revision,
    right: Vec<String>,
}

fn played() -> Vec<Played> {
    let mut all = Vec::new();
    for trace in corpus() {
        for kernel in KERNELS {
            let right = answers::<Up>(&trace, kernel);
            all.push(Played { trace: trace.clone(), kernel, right });
        }
    }
    all
}

fn by_trace(slip: Slip, all: &[Played]) -> Option<String> {
    world::with(Some(slip), || {
        for Played { trace, kernel, right } in all {
            let mut mutated = Vec::new();
            let crashed = quietly(|| mutated = answers::<Mutated>(trace, *kernel));
            if crashed.is_ok() && mutated == *right {
                continue;
            }
            let error = mutated.iter().find_map(|line| line.strip_prefix("error: "));
            let error = error.filter(|error| !right.iter().any(|line| line.ends_with(error)));
            return Some(error.map_or_else(|| "golden".to_owned(), oracle));
        }
        None
    })
}

// ---- random schedules ------------------------------------------------------------------------

const SCHEDULED: [&str; 8] = [
    "expire-1+match-1+lookup-1+delete-1+list-in-parts",
    "expire-1+announce-1+lookup-1+unexpect-1+remove:told",
    "announce-2+announce-3+expire-1+match-1+lookup-1:one,told",
    "lookup-1,unexpect-1+expire-1+match-1+delete-1+list",
    "destroy+announce-1+match-1+lookup-1+connect-1",
    "match-1+match-1+expire-1+connect-1:permanent",
    "announce-2,unexpect-2+expire-2+match-1+dump-1",
    "flush+expire-1+expire-2+lookup-2+announce-1:told",
];

/// The revision in which all of this is sound.
const SOUND: Revision = Revision::LINUX_7_2;

fn by_schedule(slip: Slip) -> Option<String> {
    for kernel in [SOUND, Revision::LINUX_6_18] {
        for name in SCHEDULED.iter().filter(|name| kernel == SOUND || !name.contains("destroy")) {
            let scenario = Scenario::named_wide(kernel, name).expect("a good name");
            for seed in 0..40 {
                let broken = world::with(Some(slip), || random(&scenario, seed, 3));
                let Err(message) = broken else { continue };
                if random(&scenario, seed, 3).is_ok() {
                    return Some(oracle(&message));
                }
            }
        }
    }
    None
}

// ---- loom ------------------------------------------------------------------------------------

fn counted(cell: &str) -> Option<usize> {
    let (verdict, counts) = cell.split_once(' ')?;
    (verdict == "PROVED")
        .then(|| counts.split(['+', ' ']).filter_map(|n| n.parse::<usize>().ok()).sum())
}

/// What loom is asked, smallest first: single operations, then pairs by their executions.
fn candidates() -> Vec<(Scenario, usize)> {
    let mut all: Vec<(Scenario, usize)> = Vec::new();
    for kernel in KERNELS {
        let alone = ONE.iter().map(|op| Scenario::of(kernel, &[*op]));
        all.extend(alone.map(|scenario| (scenario, 1)));
        let more = [
            "unregister",
            "dump-1",
            "lookup-elsewhere-1",
            "announce-1:told",
            "match-1:told",
            "announce-2:one,told",
        ];
        for name in more {
            all.push((Scenario::named(kernel, name).expect("a good name"), 1));
        }
    }
    let matrix = Table::read("MATRIX.md", "pairs");
    for (column, kernel) in [(1, KERNELS[0]), (3, KERNELS[2])] {
        let cells: BTreeMap<&str, usize> = matrix
            .rows
            .iter()
            .filter_map(|row| Some((row[0].as_str(), counted(&row[column])?)))
            .collect();
        for scenario in pairs(kernel) {
            if let Some(executions) = cells.get(scenario.to_string().as_str()) {
                all.push((scenario, *executions));
            }
        }
    }
    all.retain(|(_, executions)| *executions <= MOST);
    let more = [
        "expire-1+match-1",
        "connect-1+destroy",
        "announce-2+unregister:function",
        "announce-1,announce-2+match-2+lookup-1:empty",
        "announce-1+connect-1+destroy:empty",
        "dump-1+destroy",
    ];
    for name in more {
        for kernel in KERNELS {
            all.push((Scenario::named(kernel, name).expect("a good name"), MOST));
        }
    }
    all.sort_by_key(|(_, executions)| *executions);
    all
}

/// Executions in the right world, up to which a pair is tried on a mutant.
const MOST: usize = 700;

fn budget(scenario: &Scenario) -> Limits {
    let bound = (scenario.cpus.len() > 2).then_some(2);
    Limits { preemptions: bound, executions: Some(5_000) }
}

/// Whether loom kills the slip with this scenario, and not the right world.
fn kills(slip: Slip, scenario: &Scenario) -> Option<(usize, String)> {
    let report = world::with(Some(slip), || explore(scenario, budget(scenario)));
    let message = report.violation()?.to_owned();
    explore(scenario, budget(scenario))
        .violation()
        .is_none()
        .then_some((report.executions, message))
}

fn by_loom(
    slip: Slip,
    standing: Option<&Vec<String>>,
    all: &[(Scenario, usize)],
) -> Option<[String; 3]> {
    let cells = |kernel: &str, name: &str, (executions, message): (usize, String)| {
        [format!("{kernel} `{name}`"), executions.to_string(), oracle(&message)]
    };
    if let Some(row) = standing.filter(|_| std::env::var_os("UPDATE_TABLES").is_none()) {
        let (kernel, name) = row[2].split_once(' ')?;
        let name = name.trim_matches('`');
        let scenario = Scenario::named(Revision::named(kernel)?, name).expect("a good name");
        return kills(slip, &scenario).map(|kill| cells(kernel, name, kill));
    }
    all.iter().find_map(|(scenario, _)| {
        let kill = kills(slip, scenario)?;
        Some(cells(scenario.revision.name, &scenario.to_string(), kill))
    })
}

/// Who notices a slip: the row of the table, and whether anybody does.
fn row(
    slip: Slip,
    standing: &Table,
    all: &[(Scenario, usize)],
    traces: &[Played],
) -> (Vec<String>, bool) {
    let name = world::name(slip);
    let known = standing.rows.iter().find(|row| row[0] == format!("`{name}`"));
    let loom = by_loom(slip, known, all);
    let others = [by_schedule(slip), by_sequence(slip), by_trace(slip, traces)];
    let caught = loom.is_some() || others.iter().any(Option::is_some);
    let dash = || "-".to_owned();
    let mut row = vec![format!("`{name}`"), slip.what().trim().replace('|', "/")];
    row.extend(loom.unwrap_or_else(|| [dash(), dash(), dash()]));
    row.extend(others.into_iter().map(|kill| kill.unwrap_or_else(dash)));
    (row, caught)
}

/// The rows of these slips; whoever is not caught fails it.
fn rows(
    slips: &[Slip],
    all: &[(Scenario, usize)],
    traces: &[Played],
) -> Result<Vec<Vec<String>>, String> {
    let standing = Table::read("MUTANTS.md", "mutants");
    let (mut rows, mut alive) = (Vec::new(), Vec::new());
    for slip in slips {
        let (row, caught) = row(*slip, &standing, all, traces);
        if std::env::var_os("UPDATE_TABLES").is_some() {
            eprintln!("{}", row.join(" | "));
        }
        if !caught {
            alive.push(world::name(*slip));
        }
        rows.push(row);
    }
    if alive.is_empty() { Ok(rows) } else { Err(format!("{} is not caught", alive.join(", "))) }
}

#[test]
fn every_mutant_is_caught() {
    let columns = [
        "mutant",
        "what goes wrong",
        "loom, smallest",
        "executions",
        "loom says",
        "schedules",
        "sequence",
        "traces",
    ];
    let mut table = Table::new(&columns);
    let searches = std::env::var_os("UPDATE_TABLES").is_some();
    let all = if searches { candidates() } else { Vec::new() };
    table.rows = rows(Slip::ALL, &all, &played()).unwrap_or_else(|alive| panic!("{alive}"));
    assert!(table.rows.len() >= 60, "{} mutants", table.rows.len());
    table.settle("MUTANTS.md", "mutants", true).unwrap_or_else(|error| panic!("{error}"));
}

/// A child that is alive at the audit: no crash and no dead master says it before.
#[test]
fn a_child_without_its_master_breaks_the_ninth() {
    let scenario = Scenario::named(Revision::LINUX_3_9, "child-1,destroy").expect("a good name");
    assert_eq!(kills(Slip::ChildWithoutMaster, &scenario).map(|(_, why)| oracle(&why)), {
        Some("inv 9".to_owned())
    });
}

/// The canary: in the right world nothing is caught, so that "caught" can fail.
#[test]
fn the_right_world_is_not_caught() {
    for name in ["expire-1+match-1", "expire-1+lookup-1", "announce-1"] {
        let scenario = Scenario::named(Revision::LINUX_3_9, name).expect("a good name");
        assert_eq!(explore(&scenario, budget(&scenario)).violation(), None, "{name}");
    }
    for played in played() {
        let mutated = answers::<Mutated>(&played.trace, played.kernel);
        assert_eq!(mutated, played.right, "no slip, and yet another answer");
    }
}

/// The canary of the other kind: a slip that happens nowhere goes through the suite's own loop,
/// schedules, sequences and traces included, is not caught there, and fails it.
#[test]
fn a_mutant_that_nobody_can_notice_fails_the_suite() {
    assert!(!Slip::ALL.contains(&Slip::Nowhere), "it is no mutant of the table");
    let scenario = Scenario::named(Revision::LINUX_3_9, "expire-1+match-1").expect("a good name");
    let ended = rows(&[Slip::MatchStaysLinked, Slip::Nowhere], &[(scenario, 12)], &played());
    assert_eq!(ended, Err("nowhere is not caught".to_owned()));
}
