// SPDX-License-Identifier: GPL-2.0-only
//! Replaying a capture gives the events that the running kernel gave, in its order.
//!
//! The captures of `traces/captures` always run; those of the folder that `NFEXP_CAPTURES`
//! names run too. Two grades: the events of expectations and announced connections must agree in
//! every capture; all events, every packet's fate, all totals and what is left at the end in every
//! one of our own.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::forward::Router;
use nfexp_sim::recording::{Recording, agreement, options_of, slack_of};
use nfexp_sim::replay::{Pace, Replay};
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

/// The folder of our own captures.
fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures")
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

/// What the model makes of a capture, as far as its `golden` goes; an error where an option is not
/// modelled.
fn play(row: &Row, golden: &[Value]) -> Result<Vec<Value>, String> {
    let mut settings = Settings::of(Revision::LINUX_6_18, None, row.expect_max);
    let mut pace = Pace::Frozen;
    settings.apply(&row.options, &mut pace)?;
    let recording = Recording::new(settings, pace).map_err(|error| error.to_string())?;
    let mut recording = recording.with_slack(slack_of(golden));
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

/// What has to agree.
#[derive(Clone, Copy, PartialEq)]
enum Grade {
    /// The events of expectations and announced connections.
    Expectations,
    /// All events, every packet's fate, and what the recording counts.
    All,
}

/// How a row differs, readable, if it does.
fn difference(row: &Row, grade: Grade) -> Option<String> {
    let name = row.golden.display();
    let golden = recorded(&row.golden);
    let model = match play(row, &golden) {
        Err(error) => return Some(format!("{name}: {error}")),
        Ok(model) => model,
    };
    let agreement = agreement(&golden, &model);
    if let Some(difference) = agreement.first_difference {
        return Some(format!("{name}: {difference:#?}"));
    }
    let total = other_total(&golden, &model);
    let in_any = agreement.in_any_event;
    let higher = in_any.is_none() && agreement.fates.is_empty() && total.is_none();
    let told = format!("{name}: fates of {:?}, {in_any:?}, {total:?}", agreement.fates);
    match grade {
        Grade::All if !higher => return Some(told),
        Grade::Expectations if !higher => eprintln!("only the lower grade: {told}"),
        _ => {}
    }
    None
}

/// A total of all packets, or what is left at their end and goes with a flush, where that differs.
fn other_total(golden: &[Value], model: &[Value]) -> Option<String> {
    let totals = ["packets", "injected", "skipped", "counts", "related", "expired", "max_gap"];
    let is_timed = golden[0]["head"]["tail"].is_number();
    let of = |lines: &[Value]| {
        let totals = totals.map(|name| (name, lines[0]["head"][name].clone()));
        let end = |name| {
            let mut end = lines.iter().find_map(|line| line[name].as_object()).cloned();
            if is_timed && let Some(end) = &mut end {
                // The kernel collects connections when it likes.
                end.remove("conntracks");
            }
            (name, end.into())
        };
        [&totals[..], &[end("final"), end("flush")]].concat()
    };
    let (golden, model) = (of(golden), of(model));
    let mut pairs = golden.into_iter().zip(model);
    pairs.find(|(golden, model)| golden != model).map(|pair| format!("{pair:?}"))
}

/// Every difference, in the order of the rows.
fn differences(rows: &[Row], grade: Grade) -> Vec<String> {
    let half = rows.len().div_ceil(2);
    let all = |rows: &[Row]| rows.iter().filter_map(|row| difference(row, grade)).collect();
    let differences: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = rows
            .chunks(half.max(1))
            .map(|rows| scope.spawn(move || -> Vec<_> { all(rows) }))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no row panics")).collect()
    });
    eprintln!("{} captures, {} differ", rows.len(), differences.len());
    differences
}

/// Recordings in real time have no line in the index: `timeouts/NAME+….golden.jsonl` is of the
/// capture of that name, and its head tells the options.
fn in_real_time(folder: &Path, rows: &[Row]) -> Vec<Row> {
    let files = fs::read_dir(folder.join("timeouts")).into_iter().flatten().flatten();
    let mut found: Vec<Row> = Vec::new();
    for golden in files.map(|file| file.path()) {
        let name =
            golden.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        let stem = name.split_once('+').map_or("", |(stem, _)| stem);
        let of_name = |row: &&Row| row.capture.file_stem().is_some_and(|known| known == stem);
        if let Some(row) = rows.iter().find(of_name).filter(|_| name.ends_with(".golden.jsonl")) {
            let (options, capture) = (options_of(&recorded(&golden)), row.capture.clone());
            found.push(Row { golden, capture, options, expect_max: None });
        }
    }
    found.sort_by(|one, other| one.golden.cmp(&other.golden));
    found
}

#[test]
fn our_own_captures_replay_as_the_kernel_saw_them() {
    let rows = rows(&ours());
    assert!(rows.len() >= 30, "only {} captures", rows.len());
    let differences = differences(&rows, Grade::All);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What is alive behind a capture, and when it is over: flushed, or its timers have ended it.
fn alive(row: &Row, ended_by_timers: bool) -> [u32; 2] {
    let mut settings = Settings::of(Revision::LINUX_6_18, None, row.expect_max);
    let mut pace = Pace::Frozen;
    settings.apply(&row.options, &mut pace).expect("options of our own");
    if ended_by_timers {
        // Longer than any of them.
        pace = Pace::CAPTURED.with_tail(1_000_000_000);
    }
    let selection = settings.selection.clone();
    let router = Router::new(settings).expect("there is memory");
    let mut replay = Replay::new(router, pace, selection, false);
    let mut capture = Capture::open(&row.capture).expect("it is there");
    while let Some(frame) = capture.next_packet().expect("it is whole") {
        replay.packet(&frame, &mut |_, _| {});
    }
    let alive = |replay: &Replay| {
        let engine = replay.router.engine();
        engine.run_rcu_callbacks();
        engine.memory().expectations.live() + engine.memory().conns.live()
    };
    let behind = alive(&replay);
    replay.finish(|_, _| {});
    if !ended_by_timers {
        replay.router.flush();
    }
    [behind, alive(&replay)]
}

/// Who forgets to give a reference back, or to arm a timer, leaves something.
#[test]
fn nothing_is_left_of_a_capture_that_is_over() {
    let mut most = 0;
    for row in rows(&ours()) {
        for ended_by_timers in [false, true] {
            let [behind, left] = alive(&row, ended_by_timers);
            assert_eq!(left, 0, "{}, by timers: {ended_by_timers}", row.capture.display());
            most = most.max(behind);
        }
    }
    assert!(most > 100, "{most} in one of them");
}

/// A capture of ours, of a second, in which nobody comes: all that is announced expires after five
/// minutes, give or take a wheel's step.
fn in_vain(tail: u64) -> Row {
    let capture = ours().join("edges/edge-sane-in-between.pcap");
    let options = format!("pace=1;tail={tail}");
    Row { golden: PathBuf::new(), capture, options, expect_max: None }
}

/// Where a running kernel's timers ran a while, ours are given one more.
#[test]
fn what_a_kernel_ended_before_us_is_no_difference() {
    let mut kernel = play(&in_vain(320), &[]).expect("the options are known");
    kernel[0]["head"]["kernel"] = "6.18".into();
    let parted = |recording: &[Value], tail| {
        let model = play(&in_vain(tail), recording).expect("the options are known");
        let end = model[0]["head"]["end"].as_f64();
        assert_eq!(end.map(f64::floor), (!recording.is_empty()).then_some(tail as f64));
        agreement(&kernel, &model).first_difference.is_some()
    };
    assert!(parted(&[], 305), "nothing has expired by then");
    assert!(!parted(&kernel, 305));
    assert!(parted(&kernel, 290), "no kernel is so early");
}

#[test]
fn a_line_tells_when() {
    let row = in_vain(320);
    let mut capture = Capture::open(&row.capture).expect("it is there");
    let mut stamps = Vec::new();
    while let Some(frame) = capture.next_packet().expect("it is whole") {
        stamps.push(frame.time_ns);
    }
    let (mut at_packets, mut behind) = (0, 0);
    for line in play(&row, &[]).expect("the options are known") {
        let Some(told) = line["t"].as_f64() else { continue };
        if let Some(packet) = line["i"].as_u64() {
            let captured = (stamps[packet as usize - 1] - stamps[0]) as f64 / 1e9;
            assert!((told - captured).abs() < 1e-6, "packet {packet}: {told}, {captured}");
            at_packets += 1;
        } else {
            assert!((300.0..318.0).contains(&told), "{line}");
            behind += 1;
        }
    }
    assert!(at_packets > 3 && behind > 0, "{at_packets} and {behind} lines");
}

#[test]
fn captures_by_others_replay_as_the_kernel_saw_them() {
    let Some(folder) = std::env::var_os("NFEXP_CAPTURES") else {
        eprintln!("skipped: NFEXP_CAPTURES names no folder");
        return;
    };
    let folder = Path::new(&folder);
    let mut rows = rows(folder);
    assert!(!rows.is_empty(), "{folder:?} has no capture");
    rows.extend(in_real_time(folder, &rows));
    let differences = differences(&rows, Grade::Expectations);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
