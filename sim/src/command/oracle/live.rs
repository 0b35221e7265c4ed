// SPDX-License-Identifier: GPL-2.0-only
//! The verbs, where there is a kernel to ask.

use std::io::{self, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use nfexp_traces::transcript::read;
use nfexp_traces::transcript::{Header, Line, Operation};

use super::told::{Cell, Compared, Found, Soaked, tell};
use super::{Deed, Failure, ModelArgs, SequenceArgs};
use crate::command::input::{bytes, unreadable};
use crate::command::output::{could_be_written, quoted, remark, write_beside};
use crate::conform::Witness;
use crate::oracle::cells::Cells;
use crate::oracle::kernel::{Kernel, Trouble};
use crate::oracle::live::{Finding, Run, Sequence, in_namespace, rerun, run as run_sequence};
use crate::oracle::namespace::Lacking;
use crate::oracle::record::record;
use crate::oracle::shrink::shrink;
use crate::oracle::soak::{HELD_FROM, Plan, soak};

impl From<Lacking> for Failure {
    fn from(lacking: Lacking) -> Self {
        Self::Skipped(format!("this kernel cannot be asked: {}", lacking.0))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Slow => Self::Inconclusive(
                "the machine is too busy: an epoch of the sequence took more than 0.3 s each time"
                    .into(),
            ),
            Trouble::Operation(what) => Self::Usage(what),
            Trouble::System(what) => Self::System(what),
        }
    }
}

pub(super) fn run(deed: &Deed) -> Result<(), Failure> {
    match deed {
        Deed::Record { sequence, times, out } => {
            out.as_deref().map_or(Ok(()), could_be_written)?;
            record_one(sequence, *times, out.as_deref())
        }
        Deed::Compare { files, sequence, model } if files.is_empty() => {
            compare_seed(sequence, model)
        }
        Deed::Compare { files, model, .. } => {
            files.iter().try_for_each(|file| compare_file(file, model))
        }
        Deed::Soak { minutes, seed, profile, n, waiting, model } => {
            let plan = Plan {
                revision: model.revision()?,
                seed: *seed,
                time: Duration::from_secs_f64(minutes * 60.0),
                waiting: usize::from(*waiting),
                profile: *profile,
                operations: *n,
            };
            soak_all(plan, model)
        }
    }
}

impl SequenceArgs {
    fn sequence(&self) -> Sequence {
        remark(format_args!("profile {}, seed {}, {} operations", self.profile, self.seed, self.n));
        Sequence { profile: self.profile, seed: self.seed, operations: self.n }
    }
}

fn record_one(args: &SequenceArgs, times: u32, out: Option<&Path>) -> Result<(), Failure> {
    let (header, lines) = record(&args.sequence(), times)??;
    match out {
        None => write_transcript(io::stdout().lock(), &header, &lines)?,
        Some(path) => save(path, &header, &lines)?,
    }
    Ok(())
}

fn compare_seed(args: &SequenceArgs, model: &ModelArgs) -> Result<(), Failure> {
    let sequence = args.sequence();
    let revision = model.revision()?;
    let header = sequence.header()?;
    let name = format!("{}-{}", sequence.profile, sequence.seed);
    in_namespace(|kernel| {
        let mut cells = Cells::default();
        let run = run_sequence(kernel, &sequence, &header, Some(revision), &mut cells)?;
        settle(kernel, &header, model, &name, run)
    })?
}

fn compare_file(path: &Path, model: &ModelArgs) -> Result<(), Failure> {
    let revision = model.revision()?;
    let (header, operations) = operations_of(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    remark(format_args!("{}", path.display()));
    in_namespace(|kernel| {
        let run = rerun(kernel, &operations, &header, Some(revision))?;
        settle(kernel, &header, model, &name, run)
    })?
}

/// Tells how a run ended; a difference is made small and saved.
fn settle(
    kernel: &mut Kernel,
    header: &Header,
    model: &ModelArgs,
    name: &str,
    run: Run,
) -> Result<(), Failure> {
    let revision = model.revision()?;
    let row = |agree, diverges| Compared {
        schema: "nfexp.oracle.compare.1",
        name,
        revision: revision.name,
        inject: model.inject.as_deref(),
        agree,
        diverges,
    };
    let Run { lines, difference: Some(difference), .. } = run else {
        let agree = run.lines.len();
        return tell(model.format, &row(agree, None), |out| {
            writeln!(out, "{agree} operations, no divergence")
        });
    };
    let agree = lines.len() - 1;
    let finding = shrink(kernel, header, revision, Finding { lines, difference })?;
    let found = found(header, model, name, &finding)?;
    tell(model.format, &row(agree, Some(found.diverges())), |out| found.print(out))?;
    found.failure()
}

/// Saves a finding, and asks who would have answered so.
fn found<'a>(
    header: &Header,
    model: &ModelArgs,
    name: &str,
    finding: &'a Finding,
) -> Result<Found<'a>, Failure> {
    let path = model.save.join(format!("{name}.jsonl"));
    let head = Header { n: finding.lines.len() as u64, ..header.clone() };
    let saved = save(&path, &head, &finding.lines);
    let again = format!("nfexp oracle compare{} {}", asked(model), quoted(&path.to_string_lossy()));
    let witness = Witness::of(header, &finding.lines, model.revision()?);
    Ok(Found { finding, witness, path, saved, again })
}

/// What was said of the model, as it is said again.
fn asked(model: &ModelArgs) -> String {
    let revision = model.revision.map(|revision| format!(" --revision {}", revision.name));
    let inject = model.inject.as_ref().map(|knob| format!(" --inject {knob}"));
    revision.into_iter().chain(inject).collect()
}

fn soak_all(plan: Plan, model: &ModelArgs) -> Result<(), Failure> {
    remark(format_args!("seed {}", plan.seed));
    let bar = ProgressBar::new_spinner();
    let tally = soak(plan, |sequences, operations| {
        bar.set_message(format!("{sequences} sequences, {operations} operations"));
        bar.tick();
    })?;
    bar.finish_and_clear();
    // One mixture does not reach what others are for.
    let empty = if plan.profile.is_none() { tally.cells.empty() } else { Vec::new() };
    let found = tally.finding.as_ref().map(|(sequence, finding)| {
        let name = format!("{}-{}", sequence.profile, sequence.seed);
        found(&sequence.header()?, model, &name, finding)
    });
    let found = found.transpose()?;
    let rows =
        tally.cells.rows().map(|(operation, outcome, times)| Cell { operation, outcome, times });
    let none = empty.iter().map(|(operation, outcome)| Cell { operation, outcome, times: 0 });
    let soaked = Soaked {
        schema: "nfexp.oracle.soak.1",
        seed: plan.seed,
        revision: plan.revision.name,
        inject: model.inject.as_deref(),
        operations: tally.operations,
        sequences: tally.sequences,
        did_not_come_back: tally.chance.len(),
        behind_a_search: tally.behind_a_search,
        cells: rows.chain(none).collect(),
        diverges: found.as_ref().map(Found::diverges),
    };
    tell(model.format, &soaked, |out| {
        soaked.print(out)?;
        found.as_ref().map_or(Ok(()), |found| found.print(out))
    })?;
    if let Some(found) = found {
        return found.failure();
    }
    if let Some(trouble) = tally.trouble {
        return Err(trouble.into());
    }
    if let Some((sequence, finding)) = tally.chance.first() {
        return Err(Failure::Inconclusive(format!(
            "{} differences did not come back; the first: nfexp oracle compare{} --profile {} --seed {} -n {}: {}",
            tally.chance.len(),
            asked(model),
            sequence.profile,
            sequence.seed,
            sequence.operations,
            finding.difference
        )));
    }
    if plan.time >= HELD_FROM && !empty.is_empty() {
        let names: Vec<String> =
            empty.iter().map(|(name, what)| format!("{name}: {what}")).collect();
        return Err(Failure::Inconclusive(format!(
            "cells that were not reached: {}",
            names.join("; ")
        )));
    }
    Ok(())
}

fn operations_of(path: &Path) -> Result<(Header, Vec<Operation>), Failure> {
    let input = bytes(path).map_err(|error| unreadable(path, &error))?;
    let (header, lines) = read::whole(BufReader::new(input))
        .map_err(|error| Failure::Data(path.to_owned(), error.to_string()))?;
    Ok((header, lines.into_iter().map(|line| line.operation).collect()))
}

fn write_transcript(mut out: impl Write, header: &Header, lines: &[Line]) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string(header)?)?;
    for line in lines {
        writeln!(out, "{}", serde_json::to_string(line)?)?;
    }
    Ok(())
}

fn save(path: &Path, header: &Header, lines: &[Line]) -> Result<(), Failure> {
    let mut text = Vec::new();
    write_transcript(&mut text, header, lines)?;
    write_beside(path, &String::from_utf8(text).expect("JSON is text"))
}
