// SPDX-License-Identifier: GPL-2.0-only
//! Replaying a capture gives the events that the running kernel gave, in its order.
//!
//! The captures of `traces/captures` always run; those of the folder that `NFEXP_CAPTURES`
//! names run too. Two grades: the events of expectations and announced connections must agree in
//! every capture; all events and every packet's fate, in all but those listed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::recording::{Recording, agreement};
use nfexp_sim::replay::Pace;
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::{Capture, CaptureError};
use serde_json::Value;

/// A line of an index: where a capture and its recording are, and how it was recorded.
struct Row {
    golden: PathBuf,
    capture: PathBuf,
    options: String,
    expect_max: Option<u32>,
}

fn rows(folder: &Path) -> Vec<Row> {
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("the folder has an index");
    let mut lines = index.lines();
    let names: Vec<&str> = lines.next().expect("a head line").split('\t').collect();
    lines
        .map(|line| {
            let row: HashMap<&str, &str> = names.iter().copied().zip(line.split('\t')).collect();
            let capture = folder.join(row["capture"]);
            let golden = match row["golden"].ends_with(".jsonl") {
                true => folder.join(row["golden"]),
                false => capture.with_file_name(format!("{}.golden.jsonl", row["golden"])),
            };
            let options = row["options"].to_owned();
            let expect_max = row.get("expect_max").and_then(|max| max.parse().ok());
            Row { golden, capture, options, expect_max }
        })
        .collect()
}

/// What the model makes of a capture; an error where an option is not modelled.
fn play(row: &Row) -> Result<Vec<Value>, String> {
    let mut settings = Settings::of(Revision::LINUX_6_18, None, row.expect_max);
    let mut pace = Pace::Frozen;
    settings.apply(&row.options, &mut pace)?;
    let mut recording = Recording::new(settings, pace).map_err(|error| error.to_string())?;
    let mut capture = Capture::open(&row.capture).map_err(|error| error.to_string())?;
    loop {
        match capture.next_packet() {
            Ok(Some(frame)) => recording.packet(&frame),
            Ok(None) => break,
            Err(CaptureError::Truncated { .. }) => {
                // What is there of a cut packet is played, too.
                if let Some(frame) = capture.cut_packet() {
                    recording.packet(&frame);
                }
                break;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(recording.finish("", None))
}

fn recorded(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Every difference, readable.
fn differences(rows: &[Row]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut lower = 0;
    for row in rows {
        let name = row.golden.display();
        match play(row) {
            Err(error) => differences.push(format!("{name}: {error}")),
            Ok(model) => {
                let agreement = agreement(&recorded(&row.golden), &model);
                if let Some(difference) = agreement.first_difference {
                    differences.push(format!("{name}: {difference:#?}"));
                } else if agreement.in_any_event.is_some() || !agreement.fates.is_empty() {
                    lower += 1;
                    eprintln!(
                        "{name}: only the lower grade: fates of {:?}, {:?}",
                        agreement.fates, agreement.in_any_event
                    );
                }
            }
        }
    }
    eprintln!("{} captures, {} differ, {lower} in the higher grade", rows.len(), differences.len());
    differences
}

#[test]
fn our_own_captures_replay_as_the_kernel_saw_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let rows = rows(&folder);
    assert!(rows.len() >= 30, "only {} captures", rows.len());
    let differences = differences(&rows);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn captures_by_others_replay_as_the_kernel_saw_them() {
    let Some(folder) = std::env::var_os("NFEXP_CAPTURES") else {
        eprintln!("skipped: NFEXP_CAPTURES names no folder");
        return;
    };
    let rows = rows(Path::new(&folder));
    assert!(!rows.is_empty(), "{folder:?} has no capture");
    let differences = differences(&rows);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Headers that lie get the running kernel's verdict, packet by packet. Left out is
/// `lies-chunks`: of SCTP only the ports are read (`omissions.md`). Where the recorder could not
/// tell a fragment that is held (`f`) from a packet that is dropped (`-`), both count as one.
#[test]
fn packets_that_lie_meet_their_fate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let rows = rows(&folder);
    let lies: Vec<&Row> = rows
        .iter()
        .filter(|row| row.capture.parent().is_some_and(|at| at.ends_with("lies")))
        .filter(|row| !row.capture.ends_with("lies-chunks.pcap"))
        .collect();
    assert!(lies.len() >= 5, "only {} captures", lies.len());
    for row in lies {
        let model = play(row).expect("no option that is not modelled");
        let kernel = recorded(&row.golden);
        let letters = |lines: &[Value]| {
            let letters = lines[0]["head"]["ctinfo"].as_str().unwrap_or_default();
            letters.replace('f', "-")
        };
        let (theirs, ours) = (letters(&kernel), letters(&model));
        let parted: Vec<usize> = (0..theirs.len().max(ours.len()))
            .filter(|&at| theirs.as_bytes().get(at) != ours.as_bytes().get(at))
            .map(|at| at + 1)
            .collect();
        assert!(parted.is_empty(), "{:?}\n{theirs}\n{ours}\npackets {parted:?}", row.golden);
    }
}
