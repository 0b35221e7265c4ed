// SPDX-License-Identifier: GPL-2.0-only
//! The comparison with recorded operations is sharp: a model that is wrong in one rule is found.
//!
//! * Each of the mutants below, a slip of the engine or one knob of 6.18 turned, diverges from
//!   some committed transcript.
//! * Where one diverges, the divergence is shrunk to at most ten steps, and still diverges.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use nfexp_model::revision::Revision;
use nfexp_model::slip::Slip;
use nfexp_properties::turns::Mutated;
use nfexp_properties::world;
use nfexp_sim::conform::{check, check_on, shrink};
use nfexp_traces::transcript::read::Reader;
use nfexp_traces::transcript::{Header, Line};

fn transcripts() -> Vec<(Header, Vec<Line>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/transcripts");
    let entries = fs::read_dir(folder).expect("transcripts are committed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    paths.sort();
    let read = |path: &Path| {
        let mut reader = Reader::new(BufReader::new(File::open(path).expect("it opens")));
        let header = reader.header().expect("a header");
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().expect("a line") {
            lines.push(line);
        }
        (header, lines)
    };
    paths.iter().map(|path| read(path)).collect()
}

/// Slips of the engine that recorded operations notice. The others of [`Slip`] need a second
/// CPU, a second namespace, a module that leaves, or a caller that is not among the operations.
const SLIPS: [Slip; 32] = [
    Slip::MatchesInactive,
    Slip::ConsumesPermanent,
    Slip::PermanentUncounted,
    Slip::MatchStaysLinked,
    Slip::MatchPutsTwice,
    Slip::ZoneIgnored,
    Slip::TableReferenceKept,
    Slip::CountNotLowered,
    Slip::ExpectingKeptByMatch,
    Slip::ExpectingKeptByExpiry,
    Slip::ExpectingKeptByEviction,
    Slip::ExpectingOfFirstClass,
    Slip::DestroyUntold,
    Slip::DeleteUncounted,
    Slip::CallbackPutsTwice,
    Slip::FirstTeardownOmitted,
    Slip::TeardownStopsEarly,
    Slip::ClashUntested,
    Slip::ClashByEitherMask,
    Slip::RefreshWithoutInsert,
    Slip::OnlyFirstClassLimited,
    Slip::ClassLimitOffByOne,
    Slip::TableLimitOffByOne,
    Slip::EvictsNewest,
    Slip::EvictsAnyClass,
    Slip::EvictionSparesPermanent,
    Slip::TimerUncounted,
    Slip::ExpectingNotRaised,
    Slip::CountNotRaised,
    Slip::AppendsToBucket,
    Slip::CreateUncounted,
    Slip::NewUntold,
];

/// Knobs of 6.18 that recorded operations notice when they are turned to another revision's way.
const KNOBS: [(&str, Revision); 11] = [
    ("clash_scope", Revision::LINUX_3_9),
    ("expiry", Revision::LINUX_7_2),
    ("class_text", Revision::LINUX_3_9),
    ("flags_attr", Revision::LINUX_3_9),
    ("help_name_attr", Revision::LINUX_3_9),
    ("absent_helper", Revision::LINUX_3_9),
    ("name_sweep", Revision::LINUX_3_9),
    ("master_dump", Revision::LINUX_3_9),
    ("helper_reset", Revision::LINUX_7_2),
    ("nat_init", Revision::LINUX_3_9),
    ("nft_timeout", Revision::LINUX_7_2),
];

/// 6.18 with one knob turned.
fn turned(knob: &str, other: &Revision) -> Revision {
    Revision::LINUX_6_18.with_knob_of(knob, other).expect("the knob exists")
}

/// Runs without the messages of panics: a kernel that crashes is a divergence like any other.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = run();
    std::panic::set_hook(hook);
    result
}

#[test]
fn mutants_are_noticed_and_shrunk() {
    let transcripts = transcripts();
    let blunt: Vec<String> = quietly(|| {
        let slips = SLIPS.iter().filter(|slip| {
            world::with(Some(**slip), || {
                !transcripts.iter().any(|(header, lines)| {
                    check_on::<Mutated>(header, lines, Revision::LINUX_6_18).is_some()
                })
            })
        });
        let mut blunt: Vec<String> = slips.map(|slip| format!("{slip:?}")).collect();
        for (knob, other) in &KNOBS {
            let mutant = turned(knob, other);
            let shortest = transcripts.iter().filter_map(|(header, lines)| {
                let divergence = check(header, lines, mutant)?;
                let shrunk = shrink(header, lines, mutant, &divergence).lines;
                // What was shrunk diverges at its last step, and only with the knob turned.
                let again = check(header, &shrunk, mutant).map(|again| again.place + 1);
                let right = check(header, &shrunk, Revision::LINUX_6_18).is_none();
                let shows = right && again == Some(shrunk.len());
                Some(if shows { shrunk.len() } else { usize::MAX })
            });
            // The first one says enough of how well it shrinks.
            match shortest.take(1).max() {
                Some(length) if length <= 10 => {}
                found => blunt.push(format!("{knob} of {}: {found:?} steps", other.name)),
            }
        }
        blunt
    });
    assert!(blunt.is_empty(), "not noticed, or not shrunk: {blunt:?}");
}

#[test]
fn nothing_is_noticed_where_nothing_slips() {
    for (header, lines) in transcripts() {
        assert!(check_on::<Mutated>(&header, &lines, Revision::LINUX_6_18).is_none());
    }
}
