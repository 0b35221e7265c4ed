// SPDX-License-Identifier: GPL-2.0-only
//! As the running kernel does: recorded operations, answered by the model.
//!
//! * Every transcript that is committed, and every one in the folder that `NFEXP_TRANSCRIPTS`
//!   names, is answered without a divergence.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::conform::check;
use nfexp_traces::transcript::read::Reader;
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
    let file = File::open(path).expect("a listed file opens");
    let mut reader = Reader::new(BufReader::new(file));
    let mut read = || {
        let header = reader.header()?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line()? {
            lines.push(line);
        }
        Ok::<_, nfexp_traces::transcript::read::ReadError>((header, lines))
    };
    read().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
