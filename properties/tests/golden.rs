// SPDX-License-Identifier: GPL-2.0-only
//! Every trace of the corpus is answered as it says, on every revision it names.
//!
//! `UPDATE_TRACES=1` writes the answers anew; the difference is to be read like code.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::golden::play;
use nfexp_sim::simulator::crash_quietly;
use nfexp_traces::text::{Answer, Trace, parse};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces").join(name)
}

/// All traces below a folder, in order of their names.
fn traces(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(traces(&path));
        } else if path.extension().is_some_and(|extension| extension == "trace") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn revisions(trace: &Trace) -> Vec<Revision> {
    let named = |name: &str| Revision::named(name).unwrap_or_else(|| panic!("{name}?"));
    trace.answered_on().into_iter().map(named).collect()
}

/// What each block is answered.
fn answers(trace: &Trace, revision: Revision) -> Vec<Vec<String>> {
    play(trace, revision, |_, _| ControlFlow::Continue(())).expect("memory").answers
}

/// The trace with the answers it gets.
fn answered(mut trace: Trace) -> Trace {
    let kernels = revisions(&trace);
    let played: Vec<_> = kernels.iter().map(|kernel| answers(&trace, *kernel)).collect();
    for (at, block) in trace.blocks.iter_mut().enumerate() {
        block.answers.clear();
        for (kernel, answers) in kernels.iter().zip(&played) {
            let same = block.answers.iter_mut().find(|answer| answer.lines == answers[at]);
            match same {
                Some(answer) => answer.revisions.push(kernel.name.to_owned()),
                None => block.answers.push(Answer {
                    revisions: vec![kernel.name.to_owned()],
                    lines: answers[at].clone(),
                }),
            }
        }
        if let [only] = &mut block.answers[..] {
            only.revisions.clear();
        }
        block.answers.retain(|answer| !answer.revisions.is_empty() || !answer.lines.is_empty());
    }
    trace
}

#[test]
fn every_trace_is_answered_as_it_says() {
    crash_quietly();
    let update = std::env::var_os("UPDATE_TRACES").is_some();
    let mut wrong = Vec::new();
    let mut paths = traces(&folder("corpus"));
    paths.extend(traces(&folder("regressions")));
    for path in &paths {
        let text = fs::read_to_string(path).expect("a trace can be read");
        let trace = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!trace.comments.is_empty(), "{}: what does it show?", path.display());
        let answered = answered(trace).to_string();
        if answered != text && update {
            fs::write(path, answered).expect("a trace can be written");
        } else if answered != text {
            wrong.push(format!("{}:\n{}", path.display(), difference(&text, &answered)));
        }
    }
    let right = "UPDATE_TRACES=1 writes the answers anew; read what changed like code";
    assert!(wrong.is_empty(), "{}\n{right}", wrong.join("\n"));
    eprintln!("{} traces", paths.len());
}

fn difference(expected: &str, answered: &str) -> String {
    let lines = expected.lines().zip(answered.lines()).enumerate();
    let first = lines.into_iter().find(|(_, (expected, answered))| expected != answered);
    first.map_or_else(
        || format!("lengths differ; answered:\n{answered}"),
        |(at, (expected, answered))| {
            format!("line {}: expected `{expected}`, answered `{answered}`", at + 1)
        },
    )
}

/// The table of branches names every trace, and every trace it names is there.
#[test]
fn the_corpus_table_is_complete() {
    let corpus = folder("corpus");
    let table = fs::read_to_string(corpus.join("README.md")).expect("the corpus has a table");
    let mut missing = Vec::new();
    let paths = traces(&corpus);
    for path in &paths {
        let name = path.strip_prefix(&corpus).expect("found there").with_extension("");
        let name = name.display().to_string();
        if !table.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    let table_of = "expected a row in the table of traces/corpus/README.md for each of";
    assert!(missing.is_empty(), "{table_of} {missing:?}");
    for named in
        table.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains('.'))
    {
        assert!(corpus.join(format!("{named}.trace")).exists(), "no trace {named}");
    }
    assert!(paths.len() >= 60, "only {} traces", paths.len());
}
