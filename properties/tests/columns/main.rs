// SPDX-License-Identifier: GPL-2.0-only
//! Three columns: the engine, a naive model, and a kernel.
//!
//! * What a kernel was recorded to answer, the naive model answers too, and so does the engine
//!   (`conformance.rs`).
//! * To random operations that aim, the engine and the naive model give the same answers.
//! * An engine with one knob turned is told from the naive model by such operations.
//! * On random operations two revisions answer differently only where turning a knob, or a few,
//!   explains it.

mod naive;
mod random;
mod words;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::conform::{Player, as_trace};
use nfexp_sim::revisions::partings;
use nfexp_traces::transcript::read;
use nfexp_traces::transcript::{Answer, Header, Line, Operation, Packet, PacketArgs, compare};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use naive::Naive;

fn transcripts() -> Vec<PathBuf> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/transcripts");
    let given = std::env::var_os("NFEXP_TRANSCRIPTS").map(PathBuf::from);
    let folders = std::iter::once(committed).chain(given);
    let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> (Header, Vec<Line>) {
    let file = BufReader::new(File::open(path).expect("it opens"));
    read::whole(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_naive_model_answers_as_the_kernel_was_recorded() {
    let mut operations = 0;
    for path in transcripts() {
        let (header, lines) = read(&path);
        let mut naive = Naive::new(&header);
        for line in &lines {
            let answer = naive.answer(&line.operation);
            let bucket_of = |handle| naive.bucket_of(handle);
            let found = compare(header.tol, &line.operation, &line.answer, &answer, &bucket_of);
            let name = line.operation.name();
            assert!(found.is_none(), "{}: {name} {}: {found:?}", path.display(), line.i);
            operations += 1;
        }
    }
    assert!(operations > 3000, "only {operations} operations");
}

/// Whether two models agree on a sequence; else the place and the difference.
fn side_by_side(
    header: &Header,
    revision: Revision,
    operations: &[Operation],
) -> Result<(), String> {
    let mut naive = Naive::new(header);
    let mut player: Player = Player::of_revision(header, revision).expect("memory");
    for (place, operation) in operations.iter().enumerate() {
        let (theirs, ours) = (naive.answer(operation), player.answer(operation));
        let bucket_of = |handle| player.bucket_of(handle);
        if let Some(found) = compare(header.tol, operation, &theirs, &ours, &bucket_of) {
            return Err(format!("step {place}, {operation:?}: {found}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_and_the_naive_model_agree(operations in random::operations(60)) {
        let agreed = side_by_side(&random::header(), Revision::LINUX_6_18, &operations);
        prop_assert!(agreed.is_ok(), "{}", agreed.unwrap_err());
    }
}

#[test]
fn a_reset_ends_what_nobody_answered() {
    let packet = |tcp: Option<&str>| {
        let (tuple, tcp) = (random::tuple(2, 1, 6, 8, 2000), tcp.map(str::to_owned));
        Operation::Pkt(PacketArgs { p: Packet { tuple, tcp, hex: None }, zone: 1 })
    };
    let operations = [packet(None), packet(Some("R"))];
    assert_eq!(side_by_side(&random::header(), Revision::LINUX_6_18, &operations), Ok(()));
}

#[test]
fn an_engine_with_one_knob_turned_is_told_from_the_naive_model() {
    let mut runner = TestRunner::deterministic();
    let strategy = random::operations(60);
    let mut draw = || strategy.new_tree(&mut runner).expect("a sequence").current();
    let sequences: Vec<Vec<Operation>> = (0..200).map(|_| draw()).collect();
    let (old, new) = (Revision::LINUX_3_9, Revision::LINUX_7_2);
    // (`expiry` does not show: far beyond every deadline, whoever ends it has.)
    for (knob, other) in [
        ("clash_scope", old),
        ("flags_attr", old),
        ("absent_helper", old),
        ("master_dump", old),
        ("class_text", old),
        ("helper_reset", new),
        ("nft_timeout", new),
    ] {
        let mutant = Revision::LINUX_6_18.with_knob_of(knob, &other).expect("a knob");
        let told = sequences
            .iter()
            .any(|operations| side_by_side(&random::header(), mutant, operations).is_err());
        assert!(told, "{knob}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_two_revisions_answer_differently_a_knob_explains(operations in random::operations(25)) {
        let line = |(i, operation): (usize, &Operation)| Line {
            i: i as u64,
            t: None,
            operation: operation.clone(),
            answer: Answer::default(),
        };
        let lines: Vec<Line> = operations.iter().enumerate().map(line).collect();
        let trace = as_trace(&random::header(), &lines, "random", Revision::LINUX_6_18);
        for (from, to) in [(0, 1), (1, 2)] {
            let (from, to) = (Revision::ALL[from], Revision::ALL[to]);
            for parting in partings(&trace, from, to).expect("few answers") {
                prop_assert!(!parting.knobs.is_empty(), "{parting:?}");
            }
        }
    }
}
