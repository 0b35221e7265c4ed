// SPDX-License-Identifier: GPL-2.0-only
//! Revisions as sets of knobs.
//!
//! * Every knob, turned alone, changes what some trace of the corpus is answered; but for those
//!   that only show while another CPU looks, which have their race instead.
//! * Whatever two revisions answer differently on the corpus, knobs explain.

use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::revisions::{changes, partings};
use nfexp_traces::text::{Trace, parse};

/// What happens inside one call, through memory that is another's by then, or when a module
/// leaves: a trace cannot look there, the races can.
const NEEDS_TWO_CPUS: [&str; 5] =
    ["zone_from", "new_event", "insert_order", "expectfn_exit", "urq_lock"];

fn traces(folder: &Path, found: &mut Vec<(PathBuf, Trace)>) {
    let entries = fs::read_dir(folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            traces(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "trace") {
            let text = fs::read_to_string(&path).expect("a trace can be read");
            found.push((path, parse(&text).expect("a trace of the corpus")));
        }
    }
}

fn corpus() -> Vec<(PathBuf, Trace)> {
    let mut found = Vec::new();
    traces(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus"), &mut found);
    found
}

#[test]
fn every_knob_changes_a_trace() {
    let corpus = corpus();
    let mut idle = Vec::new();
    for knob in Revision::KNOBS {
        let turned = Revision::ALL.iter().any(|from| {
            let other = Revision::ALL.iter().filter(|to| from.differing_knobs(to).contains(knob));
            other.clone().any(|to| corpus.iter().any(|(_, trace)| changes(trace, *from, knob, to)))
        });
        if !turned {
            idle.push(*knob);
        }
    }
    idle.sort_unstable();
    let mut expected = NEEDS_TWO_CPUS;
    expected.sort_unstable();
    assert_eq!(idle, expected, "no trace shows these");
}

#[test]
fn whatever_two_revisions_answer_differently_knobs_explain() {
    let mut found = 0;
    for (path, trace) in corpus() {
        for (from, to) in [(0, 1), (1, 0), (1, 2)] {
            let (from, to) = (Revision::ALL[from], Revision::ALL[to]);
            for parting in partings(&trace, from, to) {
                found += 1;
                assert!(!parting.knobs.is_empty(), "{}: {parting:?}", path.display());
            }
        }
    }
    assert!(found > 100, "only {found} differences: the corpus shows too little");
}
