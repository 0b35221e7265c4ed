// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp conform`: does the model answer as a kernel did?

use std::collections::BTreeSet;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_model::revision::Revision;
use nfexp_traces::transcript::read::{ReadError, Reader};
use nfexp_traces::transcript::{Answer, Difference, Header, Line, Operation};
use serde::Serialize;

use super::format::TextOrJson as Format;
use super::input::{bytes, named_once, unreadable};
use super::kernel::revision;
use super::output::{quoted, verdict_behind, write_beside};
use super::{Failure, remark};
use crate::conform::{Divergence, Player, Shrunk, Witness, as_trace, check, shrink};
use crate::report::text::counted;
use crate::simulator::unless_it_crashes;

/// Where a divergence is written if nothing is said.
const OUT: &str = "target/divergences";
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
    #[arg(long, default_value = OUT, conflicts_with = "answer")]
    out: PathBuf,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "answer")]
    format: Format,
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
        let mut out = BufWriter::new(verdict_behind());
        let (mut files, mut operations, mut diverged) = (0, 0, 0);
        let (mut failures, mut taken) = (Vec::new(), BTreeSet::new());
        for path in &self.files {
            let Transcript { header, lines, numbers, remarks } = match read(path) {
                Ok(read) => read,
                // One bad file does not hide the others.
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            files += 1;
            for what in &remarks {
                remark(format_args!("nfexp: {}: {what}", path.display()));
            }
            match check(&header, &lines, self.revision) {
                None => {
                    operations += lines.len();
                    match self.format {
                        Format::Text => {
                            writeln!(out, "{}: {} operations agree", path.display(), lines.len())?;
                        }
                        Format::Json => {
                            let row = Row::of(path, self.revision, lines.len(), &remarks);
                            writeln!(out, "{}", json(&row))?;
                        }
                    }
                }
                Some(divergence) => {
                    operations += divergence.place;
                    let places = self.places(path, &mut taken);
                    let transcript = Transcript { header, lines, numbers, remarks };
                    let told = self.tell(&mut out, (path, &places), &transcript, &divergence);
                    if diverged == 0 {
                        let (again, name) = (self.again(path), self.revision.name);
                        let kernel = &transcript.header.kernel;
                        let parts = match kernel.is_empty() || kernel.starts_with(name) {
                            true => format!("the model parts from the kernel; again: {again}"),
                            false => format!(
                                "the model of {name} parts from the kernel, {kernel}; again: {again}"
                            ),
                        };
                        failures.push(Failure::Differs(parts));
                    }
                    failures.extend(told.err());
                    diverged += 1;
                }
            }
            out.flush()?;
        }
        if files > 0 && self.format == Format::Text {
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

    /// The line that shows a divergence again.
    fn again(&self, path: &Path) -> String {
        let mut line = format!("nfexp conform --revision {}", self.revision.name);
        if self.out != Path::new(OUT) {
            line += &format!(" --out {}", quoted(&self.out.to_string_lossy()));
        }
        line + " " + &quoted(&path.to_string_lossy())
    }

    /// Tells of a divergence, and writes it down, shrunk.
    fn tell(
        &self,
        out: &mut impl Write,
        (path, places): (&Path, &[PathBuf; 2]),
        transcript: &Transcript,
        divergence: &Divergence,
    ) -> Result<(), Failure> {
        let Transcript { header, lines, numbers, remarks } = transcript;
        let Divergence { place, answer, difference } = divergence;
        let line = &lines[*place];
        if self.format == Format::Text {
            let name = line.operation.name();
            let number = numbers[*place];
            let path = path.display();
            writeln!(out, "{path}: line {number}: diverges at {name} {}", line.i)?;
            writeln!(out, "  {difference}")?;
            writeln!(out, "the operation:\n  {}", json(&line.operation))?;
            writeln!(out, "the kernel said:\n  {}", json(&line.answer))?;
            writeln!(out, "the model says:\n  {}", json(answer))?;
            writeln!(out, "the steps before it:")?;
            for earlier in &lines[place.saturating_sub(TOLD)..*place] {
                writeln!(out, "  {}", json(earlier))?;
            }
        }
        let shrunk = shrink(header, lines, self.revision, divergence);
        let written = self.write_down(places, header, &shrunk, difference);
        let Shrunk { lines: steps, witness, is_least } = shrunk;
        let steps = steps.len();
        let told = |place: &PathBuf| written.is_ok().then(|| place.display().to_string());
        let [transcript, trace] = places.each_ref().map(told);
        if self.format == Format::Json {
            let (knob, revision) = witness.map_or((None, None), Witness::told);
            let small = Small { steps, is_least, knob, revision, transcript, trace };
            let diverges = Diverges {
                i: line.i,
                line: numbers[*place],
                operation: &line.operation,
                at: difference.path(),
                difference: difference.to_string(),
                kernel: &line.answer,
                model: answer,
                small,
            };
            let row = Row::of(path, self.revision, *place, remarks);
            let row = Row { diverges: Some(diverges), ..row };
            writeln!(out, "{}", json(&row))?;
            return written;
        }
        if let Some(witness) = witness {
            writeln!(out, "{witness}")?;
        }
        let perhaps = if is_least { "" } else { ", perhaps fewer (not all was tried)" };
        writeln!(out, "{steps} steps show it as well{perhaps}, in")?;
        for place in [transcript, trace].into_iter().flatten() {
            writeln!(out, "  {place}")?;
        }
        written
    }

    /// Where a divergence of this file is written down: as a transcript, and as a trace. A second
    /// file of one name, in another folder, has a number behind it.
    fn places(&self, path: &Path, taken: &mut BTreeSet<String>) -> [PathBuf; 2] {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let stem =
            names.find(|stem| taken.insert(stem.clone())).expect("there are more than files");
        ["jsonl", "trace"].map(|end| self.out.join(format!("{stem}.{}.{end}", self.revision.name)))
    }

    fn write_down(
        &self,
        [transcript, trace]: &[PathBuf; 2],
        header: &Header,
        shrunk: &Shrunk,
        difference: &Difference,
    ) -> Result<(), Failure> {
        let head = Header { n: shrunk.lines.len() as u64, ..header.clone() };
        let jsonl = std::iter::once(json(&head)).chain(shrunk.lines.iter().map(json));
        let jsonl: Vec<String> = jsonl.collect();
        write_beside(transcript, &(jsonl.join("\n") + "\n"))?;
        let played = as_trace(header, &shrunk.lines, &difference.to_string(), self.revision);
        write_beside(trace, &played.to_string())
    }
}

/// What a program is told of a transcript.
#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    file: String,
    revision: &'static str,
    /// How many operations agree, from the first on.
    agree: usize,
    /// What is odd about it, and changes no answer.
    remarks: &'a [String],
    /// Where the next one does not; null if all do.
    diverges: Option<Diverges<'a>>,
}

/// A divergence.
#[derive(Serialize)]
struct Diverges<'a> {
    i: u64,
    /// Where that stands in the file, from 1.
    line: u64,
    operation: &'a Operation,
    /// Where in the answer: `ev[0].mask.src`.
    at: String,
    difference: String,
    kernel: &'a Answer,
    model: &'a Answer,
    small: Small,
}

/// What shows it as well.
#[derive(Serialize)]
struct Small {
    /// How many operations,
    steps: usize,
    /// and whether everything was tried to have fewer.
    is_least: bool,
    /// The knob that, turned alone, makes the model agree; else the revision that agrees.
    knob: Option<&'static str>,
    revision: Option<&'static str>,
    /// Where it was written; null where it could not be.
    transcript: Option<String>,
    trace: Option<String>,
}

impl<'a> Row<'a> {
    fn of(path: &Path, revision: Revision, agree: usize, remarks: &'a [String]) -> Self {
        let (file, revision) = (path.display().to_string(), revision.name);
        Self { schema: "nfexp.conform.1", file, revision, agree, remarks, diverges: None }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a transcript's values are plain")
}

fn bad_data(path: &Path, error: &ReadError) -> Failure {
    Failure::Data(path.to_owned(), error.to_string())
}

/// All of a transcript.
struct Transcript {
    header: Header,
    lines: Vec<Line>,
    /// Where in the file each of them stands, from 1.
    numbers: Vec<u64>,
    /// What is odd about it: numbers and times are not needed to play it.
    remarks: Vec<String>,
}

/// What is odd: the first number that does not rise, the first time that goes back or that no
/// `advance` led to, and a length that is not what the header says.
fn remarks(header: &Header, lines: &[Line], numbers: &[u64]) -> Vec<String> {
    let mut odd: [Option<String>; 3] = [None, None, None];
    let (mut last, mut clock) = (None, 0);
    for (line, number) in lines.iter().zip(numbers) {
        let at = |what| format!("line {number}: {what}");
        if last.is_some_and(|last| line.i <= last) {
            odd[0].get_or_insert_with(|| at(format!("i is {} and does not rise", line.i)));
        }
        last = Some(line.i);
        if let Some(t) = line.t.filter(|t| *t != clock) {
            let why = format!("t is {t} where the last advance led to {clock}");
            odd[1].get_or_insert_with(|| at(why));
        }
        if let Operation::Advance(advance) = &line.operation {
            if advance.to < clock {
                let why = format!("an advance from {clock} back to {}", advance.to);
                odd[2].get_or_insert_with(|| at(why));
            }
            clock = clock.max(advance.to);
        }
    }
    let mut odd: Vec<String> = odd.into_iter().flatten().collect();
    if header.n > 0 && lines.len() as u64 != header.n {
        let (lines, n) = (lines.len(), header.n);
        odd.push(format!("{} here, the header says {n}", counted(lines as u64, "operation")));
    }
    odd
}

fn read(path: &Path) -> Result<Transcript, Failure> {
    let input = bytes(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = Reader::new(BufReader::new(input));
    let header = reader.header().map_err(|error| bad_data(path, &error))?;
    let (mut lines, mut numbers) = (Vec::new(), Vec::new());
    while let Some(line) = reader.next_line().map_err(|error| bad_data(path, &error))? {
        lines.push(line);
        numbers.push(reader.line());
        let within = reader.is_within(LARGEST_BYTES, MOST_LINES, MOST_FILLED);
        within.map_err(|error| bad_data(path, &error))?;
    }
    let mut remarks = remarks(&header, &lines, &numbers);
    remarks.extend(reader.unknown().map(|(line, what)| format!("line {line}: {what}")));
    Ok(Transcript { header, lines, numbers, remarks })
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
    let mut told = false;
    while let Some(line) = reader.next_line().map_err(|error| bad_data(stdin, &error))? {
        let answer = unless_it_crashes(|| player.answer(&line.operation));
        let answer = answer.map_err(|why| {
            Failure::Differs(format!("operation {}: the kernel crashes: {why}", line.i))
        })?;
        if let Some((line, what)) = reader.unknown().filter(|_| !told) {
            told = true;
            remark(format_args!("nfexp: {}: line {line}: {what}", stdin.display()));
        }
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
