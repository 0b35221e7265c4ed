// SPDX-License-Identifier: GPL-2.0-only
//! Revisions as sets of knobs.
//!
//! *Witness*: a trace that is answered otherwise when one knob is turned; for what helpers read, a
//! capture; for what becomes of announced packets, a transcript; or, for what shows only while
//! another CPU looks, a race that ends otherwise.
//!
//! * Every knob has its row in `model/docs/revisions.md`, and whatever the row says shows it does.
//! * Whatever two revisions answer differently on the corpus, or tell differently of our captures,
//!   knobs explain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nfexp_model::revision::Revision;
use nfexp_properties::explore::{Limits, Verdict, explore};
use nfexp_properties::scenario::Scenario;
use nfexp_sim::conform::check;
use nfexp_sim::revisions::{Captured, Parting, changes, partings};
use nfexp_traces::text::{Trace, parse};
use nfexp_traces::transcript::read;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn traces(folder: &Path, found: &mut Vec<(PathBuf, Trace)>) {
    let entries = fs::read_dir(folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            traces(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "trace") {
            found.push((path.clone(), trace(&path).expect("a trace of the corpus")));
        }
    }
}

fn trace(path: &Path) -> Option<Trace> {
    let text = fs::read_to_string(path).ok()?;
    Some(parse(&text).expect("a trace of the corpus"))
}

fn corpus() -> Vec<(PathBuf, Trace)> {
    let mut found = Vec::new();
    traces(&repository().join("traces/corpus"), &mut found);
    found
}

/// A knob, and what its row says shows it.
struct Shown {
    knob: String,
    witnesses: Vec<String>,
}

fn rows() -> Vec<Shown> {
    let text = fs::read_to_string(repository().join("model/docs/revisions.md")).expect("a page");
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let knob = quoted(cells[0]).remove(0);
        Shown { knob, witnesses: quoted(cells.last().expect("a column")) }
    })
    .collect()
}

/// How a race ends on a kernel: what is violated, or everything that may come of it.
fn ends(kernel: Revision, name: &str) -> Result<BTreeSet<String>, String> {
    let scenario = Scenario::named(kernel, name)?;
    assert!(scenario.cpus.len() < 3, "{name} is too large for a witness");
    let report = explore(&scenario, Limits::NONE);
    Ok(match &report.verdict {
        Verdict::Violation(message) => BTreeSet::from([message.clone()]),
        _ => report.outcome_set(),
    })
}

/// Whether turning the knob, in any kernel to any other's way, changes what a witness shows.
fn shows(knob: &str, witness: &str) -> Result<bool, String> {
    let kernels = Revision::ALL.iter().flat_map(|from| {
        let to = Revision::ALL.iter().filter(|to| from.differing_knobs(to).contains(&knob));
        to.map(move |to| (*from, to))
    });
    if let Some(trace) = trace(&repository().join(format!("traces/corpus/{witness}.trace"))) {
        return Ok(kernels.into_iter().any(|(from, to)| changes(&trace, from, knob, to)));
    }
    if witness.starts_with("captures/") {
        let path = repository().join(format!("traces/{witness}.pcap"));
        assert!(path.is_file(), "{witness}: there is no such capture");
        let capture = Captured::new(path, String::new());
        return Ok(kernels.into_iter().any(|(from, to)| changes(&capture, from, knob, to)));
    }
    if witness.starts_with("transcripts/") {
        let path = repository().join(format!("traces/{witness}.jsonl"));
        let text = fs::read(&path).map_err(|error| format!("{witness}: {error}"))?;
        let (header, lines) = read::whole(&text[..]).expect("a transcript of ours");
        let parts = |kernel| check(&header, &lines, kernel).map(|it| it.place);
        return Ok(kernels.into_iter().any(|(from, to)| {
            let turned = from.with_knob_of(knob, to).expect("a knob that differs");
            parts(from) != parts(turned)
        }));
    }
    for (from, to) in kernels {
        let turned = from.with_knob_of(knob, to).expect("a knob that differs");
        if ends(from, witness)? != ends(turned, witness)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn every_knob_has_a_witness() {
    let rows = rows();
    let named: Vec<&str> = rows.iter().map(|row| row.knob.as_str()).collect();
    for knob in Revision::KNOBS {
        let rows = named.iter().filter(|name| *name == knob).count();
        assert_eq!(rows, 1, "rows of `{knob}` in model/docs/revisions.md");
    }
    let mut blind = Vec::new();
    for Shown { knob, witnesses } in &rows {
        assert!(Revision::KNOBS.contains(&knob.as_str()), "`{knob}` is no knob");
        if witnesses.is_empty() {
            blind.push(format!("{knob}: nothing shows it"));
        }
        for witness in witnesses {
            match shows(knob, witness) {
                Ok(true) => {}
                Ok(false) => blind.push(format!("{knob}: `{witness}` is the same either way")),
                Err(error) => blind.push(format!("{knob}: no trace and no race: {error}")),
            }
        }
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}

#[test]
fn whatever_two_revisions_answer_differently_knobs_explain() {
    let mut found = 0;
    for (path, trace) in corpus() {
        for (from, to) in [(0, 1), (1, 0), (1, 2)] {
            let (from, to) = (Revision::ALL[from], Revision::ALL[to]);
            for parting in partings(&trace, from, to).expect("few answers") {
                found += 1;
                assert!(!parting.knobs.is_empty(), "{}: {parting:?}", path.display());
                // A knob that does it alone is not one that does something else.
                let alone = parting.knobs.len() == 1;
                let twice = parting.also.iter().any(|knob| parting.knobs.contains(knob));
                assert!(!(alone && twice), "{}: {parting:?}", path.display());
            }
        }
    }
    assert!(found > 100, "only {found} differences: the corpus shows too little");
}

/// Every capture of the index, with its options.
fn captures() -> Vec<(PathBuf, String)> {
    let folder = repository().join("traces/captures");
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("the folder has an index");
    let mut lines = index.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().expect("a head line");
    let column = |name| head.iter().position(|it| *it == name).expect("a column");
    let (capture, options) = (column("capture"), column("options"));
    lines.map(|row| (folder.join(row[capture]), row[options].to_owned())).collect()
}

#[test]
fn whatever_is_told_differently_of_a_capture_knobs_explain() {
    let mut found = 0;
    for (path, options) in captures() {
        let capture = Captured::new(path.clone(), options);
        for (from, to) in [(0, 1), (1, 2)] {
            let (from, to) = (Revision::ALL[from], Revision::ALL[to]);
            for parting in partings(&capture, from, to).expect("few answers") {
                found += 1;
                assert!(!parting.knobs.is_empty(), "{}: {parting:?}", path.display());
            }
        }
    }
    assert!(found > 50, "only {found} differences: the captures show too little");
}

/// Two knobs make each of these listings the other's. Who plays the trace for each of them, for every
/// knob, takes minutes.
#[test]
fn many_differences_take_as_long_as_one() {
    let path = repository().join("traces/corpus/proc/class_without_a_name.trace");
    let text = fs::read_to_string(path).expect("a trace of the corpus");
    let (steps, _) = text.split_once("show\n").expect("it lists");
    let (tell, told) = channel();
    let text = format!("{steps}{}", "show\n".repeat(3000));
    thread::spawn(move || {
        let trace = parse(&text).expect("a trace");
        let partings = partings(&trace, Revision::LINUX_3_9, Revision::LINUX_6_18);
        tell.send(partings.expect("few answers"))
    });
    let told = told.recv_timeout(Duration::from_secs(60)).expect("it takes a second or two");
    let listings: Vec<_> = told.iter().filter(|parting| parting.step == "show net=0").collect();
    assert_eq!(listings.len(), 3000);
    let both = ["wheel", "class_text"];
    let explained = |parting: &&Parting| parting.knobs == both && parting.also == both;
    assert!(listings.iter().all(explained), "{told:?}");
}
