// SPDX-License-Identifier: GPL-2.0-only
//! As the running kernel does: recorded operations, answered by the model.
//!
//! * Every transcript that is committed, and every one in the folder that `NFEXP_TRANSCRIPTS`
//!   names, is answered without a divergence.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use nfexp_model::kernel::Up;
use nfexp_model::revision::Revision;
use nfexp_sim::conform::{Player, check};
use nfexp_traces::transcript::read;
use nfexp_traces::transcript::{Header, Line};

/// The transcripts of a folder, in the order of their names; none if it is not there.
fn transcripts_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect();
    files.sort();
    files
}

fn committed() -> Vec<PathBuf> {
    transcripts_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/transcripts"))
}

fn read(path: &Path) -> (Header, Vec<Line>) {
    read_from(BufReader::new(File::open(path).expect("a listed file opens")), path)
}

fn read_from(text: impl BufRead, path: &Path) -> (Header, Vec<Line>) {
    read::whole(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn recorded_operations_are_answered_as_the_kernel_did() {
    let mut files = committed();
    if let Ok(folder) = std::env::var("NFEXP_TRANSCRIPTS") {
        let given = transcripts_of(Path::new(&folder));
        assert!(!given.is_empty(), "NFEXP_TRANSCRIPTS names {folder}, which has no transcript");
        files.extend(given);
    }
    let mut divergences = Vec::new();
    for path in &files {
        let (header, lines) = read(path);
        if let Some(divergence) = check(&header, &lines, Revision::LINUX_6_18) {
            let line = &lines[divergence.place];
            let name = line.operation.name();
            let told = format!("{}: {name} {}: {}", path.display(), line.i, divergence.difference);
            divergences.push(told);
        }
    }
    assert!(divergences.is_empty(), "{}", divergences.join("\n"));
}

/// A moment beyond all that jiffies can tell is the last, and none that has been.
#[test]
fn time_goes_on_however_far() {
    let left_at = |moment: u64| {
        let text = format!(
            "{{\"oracle\":1,\"hz\":1000}}\n\
             {{\"i\":0,\"t\":0,\"op\":\"fill\",\"a\":{{\"masters\":1,\"per\":3}}}}\n\
             {{\"i\":1,\"t\":0,\"op\":\"advance\",\"a\":{{\"to\":{moment}}}}}\n\
             {{\"i\":2,\"t\":0,\"op\":\"proc\"}}\n"
        );
        let (header, lines) = read_from(text.as_bytes(), Path::new("here"));
        let mut player = Player::<Up>::new(&header).expect("there is memory");
        let answers = lines.iter().map(|line| player.answer(&line.operation));
        format!("{:?}", answers.last().expect("three lines"))
    };
    let all_over = left_at(10_000_000);
    assert_ne!(left_at(1), all_over);
    for far in [1 << 62, 1 << 63, u64::MAX] {
        assert_eq!(left_at(far), all_over, "{far}");
    }
}

/// What 3.9's `nf_conntrack_expect.c` does otherwise than 6.18's, requests and texts apart.
const CORE: [&str; 14] = [
    "hash",
    "table",
    "expect_lock",
    "clash_scope",
    "duplicate",
    "master_ref",
    "new_event",
    "insert_order",
    "match_unlinks",
    "helper_from",
    "port_text",
    "urq_lock",
    "found_stat",
    "expect_max_range",
];

/// In one zone, and on one CPU, nobody can tell the core of 3.9 from that of 6.18; in several, whoever
/// announces one tuple twice can.
#[test]
fn in_one_zone_the_core_of_3_9_answers_alike() {
    let old = |revision: Revision, knob| {
        revision.with_knob_of(knob, &Revision::LINUX_3_9).expect("a knob")
    };
    let core = CORE.into_iter().fold(Revision::LINUX_6_18, old);
    let mut files = committed();
    files.extend(
        std::env::var("NFEXP_TRANSCRIPTS")
            .into_iter()
            .flat_map(|folder| transcripts_of(Path::new(&folder))),
    );
    let parts = |path: &PathBuf| {
        let (header, lines) = read(path);
        check(&header, &lines, core).is_some()
    };
    let (one, several): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("core-") || name.starts_with("full-") || name.contains("0-")
    });
    let told: Vec<_> = one.iter().filter(|path| parts(path)).collect();
    assert!(one.len() > 8 && told.is_empty(), "{told:?}");
    assert!(several.iter().any(parts), "zones do not show");
}
