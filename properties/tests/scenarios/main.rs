// SPDX-License-Identifier: GPL-2.0-only
//! Random sequences of steps, answered by the engine and by the naive reference alike.
//!
//! * Every answer, event, cause, counter and listing is the same, step by step, on every
//!   revision and on every kernel between two of them.
//! * After every step the table is audited.
//! * At the end everything is given back and nothing is left.
//! * An engine that is broken on purpose is noticed by the very same sequences.
//!
//! The sequences are the same in every run. `NFEXP_SEED` draws others, `NFEXP_CASES` more. One
//! that fails is shrunk and written as a trace below `target/regressions`: moved to
//! `traces/regressions` it is a test for ever.

mod broken;
mod deeds;
mod pair;
mod softirqs;

use std::path::PathBuf;

use nfexp_model::revision::{Duplicate, Expiry, Revision};
use proptest::test_runner::{
    Config as Runner, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};

use crate::deeds::{Deed, sequences};
use crate::pair::{Break, Pair, SEEN};

/// The sequences of a run without `NFEXP_SEED`.
const SEED: u64 = 20_130_428;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: expected a number, found `{text}`")))
}

fn runner(cases: u32) -> TestRunner {
    runner_of(number("NFEXP_CASES").map_or(cases, |cases| cases as u32))
}

fn runner_of(cases: u32) -> TestRunner {
    let seed = number("NFEXP_SEED").unwrap_or(SEED);
    eprintln!("{cases} sequences, NFEXP_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config =
        Runner { cases, failure_persistence: None, max_shrink_iters: 0, ..Runner::default() };
    TestRunner::new_with_rng(config, rng)
}

/// Plays a sequence on both.
fn play(
    deeds: &[Deed],
    engine: Revision,
    reference: Revision,
    broken: Break,
) -> Result<(), String> {
    let mut pair = Pair::new(engine, reference, broken);
    for deed in deeds {
        if let Err(why) = pair.play(deed) {
            // What is broken cannot be taken apart without breaking more.
            std::mem::forget(pair);
            return Err(why);
        }
    }
    pair.finish()
}

/// Leaves out what the failure does not need: halves first, single deeds last.
///
/// proptest would not go below the 200 deeds it is asked for.
fn shrink(mut deeds: Vec<Deed>, revision: Revision) -> Vec<Deed> {
    let fails = |deeds: &[Deed]| play(deeds, revision, revision, Break::default()).is_err();
    let mut size = deeds.len() / 2;
    while size > 0 {
        let before = deeds.len();
        let mut at = 0;
        while at < deeds.len() {
            let end = (at + size).min(deeds.len());
            let without = [&deeds[..at], &deeds[end..]].concat();
            if fails(&without) {
                deeds = without;
            } else {
                at = end;
            }
        }
        size = if size == 1 && deeds.len() < before { 1 } else { size / 2 };
    }
    deeds
}

/// Writes the shrunk sequence as a trace; answers where, and why it fails.
fn save(deeds: &[Deed], revision: Revision) -> (PathBuf, String) {
    let mut pair = Pair::new(revision, revision, Break::default());
    let why = deeds.iter().find_map(|deed| pair.play(deed).err());
    let why = why.unwrap_or_else(|| "something is left at the end".to_owned());
    let trace = pair.trace(&why, revision);
    std::mem::forget(pair);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/regressions");
    let path = folder.join(format!("sequence-{}.trace", revision.name));
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    std::fs::write(&path, trace.to_string()).expect("the target folder can be written");
    (path, why)
}

fn agrees(revision: Revision, cases: u32) {
    let run = runner(cases).run(&sequences(), |deeds| {
        play(&deeds, revision, revision, Break::default()).map_err(TestCaseError::fail)
    });
    match run {
        Ok(()) => {}
        Err(TestError::Fail(_, deeds)) => {
            let (path, why) = save(&shrink(deeds, revision), revision);
            panic!("{}: {why}\nas a trace: {}", revision.name, path.display());
        }
        Err(abort) => panic!("{abort}"),
    }
}

/// Every outcome was reached: a suite that never gets somewhere shows nothing of it.
fn everything_was_seen(revision: Revision) {
    let mut outcomes = vec![
        "match",
        "expiry",
        "eviction",
        "refresh",
        "unexpect",
        "master-gone",
        "flush",
        "helper-gone",
        "clash",
        "table-full",
        "no-helper",
        "related",
        "new-connection",
        "known",
        "found",
        "none",
        "gone",
        "dropped",
        "not-in-the-table",
        "listed",
    ];
    if revision.duplicate == Duplicate::AnswerAlready {
        outcomes.push("already-expected");
    }
    if revision.expiry == Expiry::Timer {
        outcomes.extend(["class-full", "lost"]);
    }
    SEEN.with_borrow(|seen| {
        for outcome in outcomes {
            assert!(seen.contains(outcome), "no sequence got to {outcome}: {seen:?}");
        }
    });
}

#[test]
fn the_engine_answers_as_the_reference_does_on_3_9() {
    agrees(Revision::LINUX_3_9, 500);
    everything_was_seen(Revision::LINUX_3_9);
}

#[test]
fn the_engine_answers_as_the_reference_does_on_6_18() {
    agrees(Revision::LINUX_6_18, 500);
    everything_was_seen(Revision::LINUX_6_18);
}

#[test]
fn the_engine_answers_as_the_reference_does_on_7_2() {
    agrees(Revision::LINUX_7_2, 500);
    everything_was_seen(Revision::LINUX_7_2);
}

/// A kernel with one change of a later one is a kernel, too, and so is one that lacks it.
#[test]
fn the_engine_answers_as_the_reference_does_on_every_kernel_between() {
    let (old, new) = (Revision::LINUX_3_9, Revision::LINUX_7_2);
    for knob in old.differing_knobs(&new) {
        for (kernel, other) in [(old, new), (new, old)] {
            agrees(kernel.with_knob_of(knob, &other).expect("a knob that differs exists"), 30);
        }
    }
}
