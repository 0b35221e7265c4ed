// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp conform`: does the model answer as a kernel did?

use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_model::revision::Revision;
use nfexp_traces::transcript::read::{ReadError, Reader};
use nfexp_traces::transcript::{Answer, Header, Line};
use serde::Serialize;

use super::Failure;
use super::input::{bytes, named_once, unreadable};
use super::kernel::revision;
use super::output::{quoted, write_beside};
use crate::conform::{Divergence, Player, Shrunk, as_trace, check, shrink};
use crate::report::text::counted;
use crate::simulator::unless_it_crashes;

/// How many steps are told before a divergence.
const TOLD: usize = 10;
/// The largest transcript that is compared: all of it is kept, to be shrunk.
const LARGEST_BYTES: u64 = 64 << 20;
/// And the longest.
const MOST_LINES: u64 = 1 << 20;
/// And how many masters and expectations its fills may ask for: a few words each.
const MOST_FILLED: u64 = 1 << 23;

/// The arguments of `nfexp conform`.
#[derive(Debug, Args)]
pub struct Conform {
    /// Transcripts (`.jsonl`); `-` is standard input.
    #[arg(required_unless_present = "answer")]
    files: Vec<PathBuf>,
    /// Which revision behaves: 3.9, 6.18 or 7.2.
    #[arg(long, default_value = "6.18", value_parser = revision)]
    revision: Revision,
    /// Answer operations from standard input, one line each, instead of comparing.
    #[arg(long, conflicts_with = "files")]
    answer: bool,
    /// Where a divergence, shrunk, is written.
    #[arg(long, default_value = "target/divergences")]
    out: PathBuf,
}

impl Conform {
    /// Compares, or answers.
    ///
    /// # Errors
    /// [`Failure`]: bad data, or a divergence.
    pub fn run(&self) -> Result<(), Failure> {
        named_once(&self.files)?;
        if self.answer {
            let (input, output) = (io::stdin().lock(), io::stdout().lock());
            return answer(self.revision, BufReader::new(input), output);
        }
        let mut out = BufWriter::new(io::stdout().lock());
        let (mut files, mut operations, mut diverged) = (0, 0, 0);
        let mut failures = Vec::new();
        for path in &self.files {
            let (header, lines) = match read(path) {
                Ok(read) => read,
                // One bad file does not hide the others.
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            files += 1;
            match check(&header, &lines, self.revision) {
                None => {
                    operations += lines.len();
                    writeln!(out, "{}: {} operations agree", path.display(), lines.len())?;
                }
                Some(divergence) => {
                    operations += divergence.place;
                    let told = self.tell(&mut out, path, (&header, &lines), &divergence);
                    if diverged == 0 {
                        failures.push(Failure::Differs(format!(
                            "the model parts from the kernel; again: nfexp conform --revision {} {}",
                            self.revision.name,
                            quoted(&path.to_string_lossy())
                        )));
                    }
                    failures.extend(told.err());
                    diverged += 1;
                }
            }
            out.flush()?;
        }
        if files > 0 {
            let told = [
                counted(files, "transcript"),
                counted(operations as u64, "operation"),
                counted(diverged, "divergence"),
            ];
            writeln!(out, "{}", told.join(", "))?;
        }
        out.flush()?;
        Failure::first_of(failures)
    }

    /// Tells of a divergence, and writes it down, shrunk.
    fn tell(
        &self,
        out: &mut impl Write,
        path: &Path,
        (header, lines): (&Header, &[Line]),
        divergence: &Divergence,
    ) -> Result<(), Failure> {
        let Divergence { place, answer, difference } = divergence;
        let line = &lines[*place];
        let name = line.operation.name();
        writeln!(out, "{}: diverges at {name} {}", path.display(), line.i)?;
        writeln!(out, "  {difference}")?;
        writeln!(out, "the operation:\n  {}", json(&line.operation))?;
        writeln!(out, "the kernel said:\n  {}", json(&line.answer))?;
        writeln!(out, "the model says:\n  {}", json(answer))?;
        writeln!(out, "the steps before it:")?;
        for earlier in &lines[place.saturating_sub(TOLD)..*place] {
            writeln!(out, "  {}", json(earlier))?;
        }
        let Shrunk { lines: shrunk, witness, is_least } =
            shrink(header, lines, self.revision, divergence);
        if let Some(witness) = witness {
            writeln!(out, "{witness}")?;
        }
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let base = self.out.join(format!("{stem}.{}", self.revision.name));
        let head = Header { n: shrunk.len() as u64, ..header.clone() };
        let jsonl = std::iter::once(json(&head)).chain(shrunk.iter().map(json));
        let jsonl: Vec<String> = jsonl.collect();
        let trace = as_trace(header, &shrunk, &difference.to_string(), self.revision);
        let written = [
            (append(&base, "jsonl"), jsonl.join("\n") + "\n"),
            (append(&base, "trace"), trace.to_string()),
        ];
        let perhaps = if is_least { "" } else { ", perhaps fewer (not all was tried)" };
        writeln!(out, "{} steps show it as well{perhaps}, in", shrunk.len())?;
        for (path, text) in written {
            write_beside(&path, &text)?;
            writeln!(out, "  {}", path.display())?;
        }
        Ok(())
    }
}

fn append(base: &Path, ending: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a transcript's values are plain")
}

fn bad_data(path: &Path, error: &ReadError) -> Failure {
    Failure::Data(path.to_owned(), error.to_string())
}

fn read(path: &Path) -> Result<(Header, Vec<Line>), Failure> {
    let input = bytes(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = Reader::new(BufReader::new(input));
    let header = reader.header().map_err(|error| bad_data(path, &error))?;
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().map_err(|error| bad_data(path, &error))? {
        lines.push(line);
        let within = reader.is_within(LARGEST_BYTES, MOST_LINES, MOST_FILLED);
        within.map_err(|error| bad_data(path, &error))?;
    }
    Ok((header, lines))
}

/// Answers operations as they come: each answer is out before the next operation is read.
fn answer(
    revision: Revision,
    input: impl io::BufRead,
    mut output: impl Write,
) -> Result<(), Failure> {
    let stdin = Path::new("standard input");
    let mut reader = Reader::new(input);
    let header = reader.header().map_err(|error| bad_data(stdin, &error))?;
    let player = Player::of_revision(&header, revision);
    let mut player: Player = player.map_err(|error| Failure::System(error.to_string()))?;
    while let Some(line) = reader.next_line().map_err(|error| bad_data(stdin, &error))? {
        let answer = unless_it_crashes(|| player.answer(&line.operation));
        let answer = answer.map_err(|why| {
            Failure::Differs(format!("operation {}: the kernel crashes: {why}", line.i))
        })?;
        writeln!(output, "{}", json(&Answered { i: line.i, answer: &answer }))?;
        output.flush()?;
    }
    Ok(())
}

/// A line of `--answer`.
#[derive(Serialize)]
struct Answered<'a> {
    i: u64,
    #[serde(flatten)]
    answer: &'a Answer,
}
