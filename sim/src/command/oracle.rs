// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp oracle`: the running kernel beside the model.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nfexp_model::revision::Revision;

use super::Failure;
use super::kernel::revision;
use super::number::{natural, within};
use crate::oracle::profile::Profile;

/// The arguments of `nfexp oracle`.
#[derive(Debug, Args)]
pub struct Oracle {
    #[command(subcommand)]
    verb: Deed,
}

/// What is done with the running kernel. Needs Linux with nf_conntrack, nf_tables and tun, and
/// root; works in network namespaces of its own.
#[derive(Debug, Subcommand)]
enum Deed {
    /// Record a seeded random sequence as a transcript.
    Record {
        #[command(flatten)]
        sequence: SequenceArgs,
        /// How many recordings must agree.
        #[arg(long, default_value_t = 1, value_parser = |text: &str| within::<u32>(text, 1, 20))]
        times: u32,
        /// Where to write it; standard output if not given, or if it is `-`.
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Run a sequence, or the operations of transcripts, on the kernel and in the model, and tell
    /// where they part.
    Compare {
        /// Transcripts whose operations are run (`-` is standard input); a seeded sequence if none.
        #[arg(conflicts_with_all = ["profile", "seed", "n"])]
        files: Vec<PathBuf>,
        #[command(flatten)]
        sequence: SequenceArgs,
        #[command(flatten)]
        model: ModelArgs,
    },
    /// Compare fresh sequences for some minutes, and tell what was reached.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10.0, value_parser = minutes, allow_hyphen_values = true)]
        minutes: f64,
        /// The first seed.
        #[arg(long, default_value_t = 1, value_parser = natural)]
        seed: u64,
        /// One mixture of operations; all if not given.
        #[arg(long, value_parser = profile)]
        profile: Option<Profile>,
        /// How many operations a sequence has.
        #[arg(short, long, default_value_t = 400, value_parser = |text: &str| within::<u64>(text, 1, 5000))]
        n: u64,
        /// How many namespaces wait for time to pass, beside the one where it stands still.
        #[arg(long, default_value_t = 12, value_parser = |text: &str| within::<u16>(text, 0, 256))]
        waiting: u16,
        #[command(flatten)]
        model: ModelArgs,
    },
}

/// Which sequence.
#[derive(Debug, Args)]
struct SequenceArgs {
    /// The mixture of operations: core, clash, match, limit, time, bad, helper, zones, mix, full,
    /// wild or follow; a `0` at the end keeps all in one zone.
    #[arg(long, default_value = "mix", value_parser = profile)]
    profile: Profile,
    /// The seed.
    #[arg(long, default_value_t = 1, value_parser = natural)]
    seed: u64,
    /// How many operations.
    #[arg(short, long, default_value_t = 300, value_parser = |text: &str| within::<u64>(text, 1, 20_000))]
    n: u64,
}

/// Which model.
#[derive(Debug, Args)]
struct ModelArgs {
    /// Which revision the model is; that of the running kernel if not given.
    #[arg(long, value_parser = revision)]
    revision: Option<Revision>,
    /// Turn one knob of it the other way, to see that the comparison notices.
    #[arg(long, value_name = "KNOB")]
    inject: Option<String>,
    /// Where a divergence is saved.
    #[arg(long, default_value = "target/oracle")]
    save: PathBuf,
}

fn profile(text: &str) -> Result<Profile, String> {
    Profile::named(text).ok_or_else(|| format!("expected one of {}", Profile::names().join(", ")))
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.0..=10_000.0).contains(minutes));
    minutes.ok_or_else(|| "expected from 0 to 10000 minutes, such as 10 or 0.5".to_owned())
}

impl ModelArgs {
    /// The revision, with its knob turned.
    #[cfg(target_os = "linux")]
    fn revision(&self) -> Result<Revision, Failure> {
        let running = || {
            crate::oracle::live::running_revision().map_err(|release| {
                let what =
                    "is none that is modelled: name a revision to compare it with all the same";
                Failure::Skipped(format!("the running kernel {release} {what}"))
            })
        };
        let right = self.revision.map_or_else(running, Ok)?;
        let Some(knob) = &self.inject else { return Ok(right) };
        Revision::ALL
            .iter()
            .filter_map(|other| right.with_knob_of(knob, other))
            .find(|turned| *turned != right)
            .ok_or_else(|| {
                let names = Revision::KNOBS.join(", ");
                Failure::Usage(format!(
                    "no knob `{knob}` that could be turned: expected one of {names}"
                ))
            })
    }
}

impl Oracle {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`]: the kernel lacks something, or kernel and model part.
    pub fn run(&self) -> Result<(), Failure> {
        #[cfg(target_os = "linux")]
        return live::run(&self.verb);
        #[cfg(not(target_os = "linux"))]
        Err(Failure::Skipped("the oracle is a running Linux kernel: this is none".into()))
    }
}

#[cfg(target_os = "linux")]
mod live {
    use std::io::{self, BufReader, Write};
    use std::path::Path;
    use std::time::Duration;

    use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
    use indicatif::ProgressBar;
    use nfexp_traces::transcript::read;
    use nfexp_traces::transcript::{Header, Line, Operation};

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
    use crate::oracle::soak::{HELD_FROM, Plan, Tally, soak};

    impl From<Lacking> for Failure {
        fn from(lacking: Lacking) -> Self {
            Self::Skipped(format!("this kernel cannot be asked: {}", lacking.0))
        }
    }

    impl From<Trouble> for Failure {
        fn from(trouble: Trouble) -> Self {
            match trouble {
                Trouble::Slow => Self::Inconclusive(
                    "the machine is too busy: an epoch of the sequence took more than 0.3 s each time".into(),
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
            remark(format_args!(
                "profile {}, seed {}, {} operations",
                self.profile, self.seed, self.n
            ));
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
        let Run { lines, difference: Some(difference), .. } = run else {
            writeln!(io::stdout(), "{} operations, no divergence", run.lines.len())?;
            return Ok(());
        };
        let finding = shrink(kernel, header, model.revision()?, Finding { lines, difference })?;
        tell(header, model, name, &finding)
    }

    /// Prints a finding, saves it, and fails.
    fn tell(
        header: &Header,
        model: &ModelArgs,
        name: &str,
        finding: &Finding,
    ) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        for line in finding.lines.iter().rev().take(10).rev() {
            writeln!(out, "{}", serde_json::to_string(line).map_err(io::Error::from)?)?;
        }
        writeln!(out, "{}", finding.difference)?;
        if let Some(witness) = Witness::of(header, &finding.lines, model.revision()?) {
            writeln!(out, "{witness}")?;
        }
        let path = model.save.join(format!("{name}.jsonl"));
        let head = Header { n: finding.lines.len() as u64, ..header.clone() };
        save(&path, &head, &finding.lines)?;
        Err(Failure::Differs(format!(
            "kernel and model part after {} operations; see it again with: nfexp oracle compare{} {}",
            finding.lines.len(),
            asked(model),
            quoted(&path.to_string_lossy())
        )))
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
        print_cells(&tally, &empty)?;
        if let Some((sequence, finding)) = &tally.finding {
            let header = sequence.header()?;
            return tell(
                &header,
                model,
                &format!("{}-{}", sequence.profile, sequence.seed),
                finding,
            );
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

    fn print_cells(tally: &Tally, empty: &[(String, String)]) -> Result<(), Failure> {
        let mut table = Table::new();
        let rule = LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_header(["operation", "outcome", "times"]);
        for (name, what, count) in tally.cells.rows() {
            table.add_row([name.to_owned(), what.to_owned(), count.to_string()]);
        }
        for (name, what) in empty {
            table.add_row([name, what, "0"]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{table}")?;
        let divergences = usize::from(tally.finding.is_some());
        writeln!(
            out,
            "{} operations in {} sequences, {divergences} divergences, {} that did not come back{}",
            tally.operations,
            tally.sequences,
            tally.chance.len(),
            match tally.behind_a_search {
                0 => String::new(),
                count => format!(" ({count} more behind a search for a port)"),
            }
        )?;
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
}
