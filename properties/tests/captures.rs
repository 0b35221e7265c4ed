// SPDX-License-Identifier: GPL-2.0-only
//! Replaying a capture gives the events that the running kernel gave, in its order.
//!
//! The captures of `traces/captures` always run; those of the folder that `NFEXP_CAPTURES`
//! names run too, as far as their helper has a grammar here.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::recording::{Recording, agreement};
use nfexp_sim::replay::Pace;
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::Capture;
use serde_json::Value;

/// A line of an index: where a capture and its recording are, and how it was recorded.
struct Row {
    golden: PathBuf,
    capture: PathBuf,
    options: String,
    expect_max: Option<u32>,
    helper: String,
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
            let kind = capture.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            let helper = row.get("helper").copied().or(kind).unwrap_or_default().to_owned();
            Row { golden, capture, options, expect_max, helper }
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
    while let Some(frame) = capture.next_packet().map_err(|error| error.to_string())? {
        recording.packet(&frame);
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
    for row in rows {
        let name = row.golden.display();
        match play(row) {
            Err(error) => differences.push(format!("{name}: {error}")),
            Ok(model) => {
                let agreement = agreement(&recorded(&row.golden), &model);
                if let Some(difference) = agreement.first_difference {
                    differences.push(format!("{name}: {difference:#?}"));
                }
            }
        }
    }
    differences
}

#[test]
fn our_own_captures_replay_as_the_kernel_saw_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let rows = rows(&folder);
    let ours = rows.iter().filter(|row| has_grammar(row)).collect::<Vec<_>>();
    assert!(ours.len() >= 15, "only {} captures", ours.len());
    let differences: Vec<String> =
        ours.iter().flat_map(|row| differences(std::slice::from_ref(*row))).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn captures_by_others_replay_as_the_kernel_saw_them() {
    let Some(folder) = std::env::var_os("NFEXP_CAPTURES") else {
        eprintln!("skipped: NFEXP_CAPTURES names no folder");
        return;
    };
    let mut rows = rows(Path::new(&folder));
    rows.retain(|row| has_grammar(row) && !row.options.contains("local="));
    assert!(!rows.is_empty(), "{folder:?} has no capture of a helper that is modelled");
    let differences = differences(&rows);
    eprintln!("{} captures by others compared", rows.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Whether the capture's helpers are modelled: the others come later.
fn has_grammar(row: &Row) -> bool {
    row.helper.split(',').all(|helper| matches!(helper, "ftp" | "tftp" | "-"))
}
