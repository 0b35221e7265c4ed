// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp sweep`: policies by sizes by workloads, with intervals.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::command::number::{natural, within};
use crate::command::{Failure, remark, verdict_behind};
use crate::opened::is_standard_input;
use crate::report::rows;
use crate::report::text::counted;
use crate::research::cell::Stopped;
use crate::research::document::read_text;
use crate::research::sweep::plan::{Plan, Row};
use crate::research::sweep::script::{Scheduler, script};
use crate::research::sweep::shard::{self, Shard, Unmerged};
use crate::research::sweep::study::{Number, Set, Study, Vary};
use crate::research::sweep::summary::{self, Line};

/// The arguments of `nfexp sweep`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sweep {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    asked: Asked,
    /// How many threads; 0 is one a core. The answer is the same for any.
    #[arg(long, default_value_t = 0, value_parser = jobs)]
    jobs: usize,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Tell more: who suffers, how long holes stand open, how many nodes are walked under the lock.
    #[arg(long)]
    metrics: bool,
    /// A folder that keeps finished blocks, so that a sweep that was killed goes on.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How a sweep is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for people, with intervals.
    Text,
    /// JSON lines, the same.
    Json,
    /// Every replication's row, for other programs.
    Csv,
}

/// What is asked: a study's file, or one line.
#[derive(Debug, Args)]
pub struct Asked {
    /// A study (TOML); `-` is standard input.
    pub(super) study: Option<PathBuf>,
    /// A shipped scenario's name, or a file [default: the study's, else mixed-isp-nat; of attack and
    /// sensitivity prototype].
    #[arg(long)]
    pub(super) scenario: Option<String>,
    /// Policies, by name or composition (`nfexp policies` tells them), separated by commas
    /// [default: the study's, else kernel].
    #[arg(long)]
    pub(super) policy: Option<String>,
    /// Table limits; where it is given twice, all of them [default: the study's, else the
    /// scenario's].
    #[arg(long, value_delimiter = ',', value_parser = |text: &str| within::<u32>(text, 1, 1 << 22), allow_hyphen_values = true)]
    pub(super) expect_max: Vec<u32>,
    /// Kernel revisions; where it is given twice, all of them [default: the study's, else 6.18].
    #[arg(long, value_delimiter = ',')]
    pub(super) revision: Vec<String>,
    /// A number of the scenario, once each: `class.ftp.arrivals.per_second=3`.
    #[arg(long)]
    pub(super) set: Vec<String>,
    /// The same with several values, once each: `class.attack.arrivals.per_second=0,1,2`.
    #[arg(long)]
    pub(super) vary: Vec<String>,
    /// How many replications [default: the study's, else 5].
    #[arg(long, value_parser = |text: &str| within::<u32>(text, 1, 10_000))]
    pub(super) replications: Option<u32>,
    /// The seed [default: the study's, else 1].
    #[arg(long, value_parser = natural)]
    pub(super) seed: Option<u64>,
    /// Timer ticks per second [default: the study's, else 250].
    #[arg(long, value_parser = |text: &str| within::<u32>(text, 1, 10_000))]
    pub(super) hz: Option<u32>,
    /// Count the nodes walked under the lock; slower.
    #[arg(long)]
    walks: bool,
    /// How many happenings a run may have, at 48 bytes each [default: 33554432].
    #[arg(long, value_name = "N", value_parser = natural)]
    most_happenings: Option<u64>,
}

impl Asked {
    /// The study that is asked for, `usual` being the scenario where none is named.
    ///
    /// # Errors
    /// If it does not read.
    pub fn study(&self, usual: &str) -> Result<(Study, Option<PathBuf>), Failure> {
        let mut beside = None;
        let mut study = match &self.study {
            None => Study::of(usual),
            Some(path) => {
                beside = path.parent().map(Path::to_owned);
                let study = read_text(path, STUDY).and_then(|text| Study::parse(&text));
                study.map_err(|why| Failure::Data(path.clone(), why))?
            }
        };
        if let Some(scenario) = &self.scenario {
            study.scenario.clone_from(scenario);
        }
        if let Some(policies) = &self.policy {
            let specs = crate::research::policy::parse::list(policies).map_err(Failure::Usage)?;
            study.policies = specs.into_iter().map(|spec| spec.name).collect();
        }
        if !self.expect_max.is_empty() {
            study.expect_max.clone_from(&self.expect_max);
        }
        if !self.revision.is_empty() {
            study.revisions.clone_from(&self.revision);
        }
        let mut given: Vec<String> = Vec::new();
        for text in &self.set {
            let (path, value) = split(text)?;
            if given.contains(&path) {
                return Err(Failure::Usage(format!("--set {path}: expected once")));
            }
            given.push(path.clone());
            study.set.push(Set { path, value: Number::Text(value) });
        }
        for text in &self.vary {
            let (path, values) = split(text)?;
            let values = values.split(',').map(|value| Number::Text(value.to_owned())).collect();
            study.vary.push(Vary { path, values });
        }
        study.replications = self.replications.unwrap_or(study.replications);
        study.seed = self.seed.unwrap_or(study.seed);
        study.hz = self.hz.unwrap_or(study.hz);
        study.walks |= self.walks;
        study.most_happenings = self.most_happenings.unwrap_or(study.most_happenings);
        Ok((study, beside))
    }

    /// Refuses what was asked for and would change nothing, `because`; `taken` is taken.
    ///
    /// # Errors
    /// [`Failure::Usage`], with the first such argument.
    pub(super) fn takes(&self, taken: &[&str], because: &str) -> Result<(), Failure> {
        let given = [
            ("--policy", self.policy.is_some()),
            ("--expect-max", !self.expect_max.is_empty()),
            ("--vary", !self.vary.is_empty()),
            ("--walks", self.walks),
            ("a second --revision", self.revision.len() > 1),
        ];
        Failure::of_idle(&given, taken, because)
    }

    /// The plan of it; `walks` are counted, or if it says so itself.
    ///
    /// # Errors
    /// If something of it does not read.
    pub fn plan(&self, usual: &str, walks: bool) -> Result<Plan, Failure> {
        let (mut study, beside) = self.study(usual)?;
        study.walks |= walks;
        Plan::of(study, beside.as_deref()).map_err(|why| self.wrong(why))
    }

    /// What stopped a run.
    pub(super) fn stopped(&self, why: Stopped) -> Failure {
        match why {
            Stopped::Asked(why) => self.wrong(why),
            Stopped::Here(why) => Failure::System(why),
        }
    }

    /// What is wrong with what was asked for: a file, or the question.
    pub(super) fn wrong(&self, why: String) -> Failure {
        let file = self.scenario.as_deref().filter(|name| Path::new(name).exists());
        let of_file = file.and_then(|name| {
            let why = why.strip_prefix(&format!("scenario {name}: "))?;
            Some(Failure::Data(name.into(), why.to_owned()))
        });
        of_file.unwrap_or_else(|| match &self.study {
            Some(path) => Failure::Data(path.clone(), why),
            None => Failure::Usage(why),
        })
    }
}

/// What a study's file should be.
const STUDY: &str = "a study in UTF-8";

/// A number of threads.
pub(super) fn jobs(text: &str) -> Result<usize, String> {
    within(text, 0, 1024)
}

fn shards(text: &str) -> Result<usize, String> {
    within(text, 1, 1_000_000)
}

fn split(text: &str) -> Result<(String, String), Failure> {
    let (path, value) = text.split_once('=').ok_or_else(|| {
        Failure::Usage(format!("expected PATH=VALUE, as in class.ftp.answered.share=0.9: {text}"))
    })?;
    Ok((path.trim().to_owned(), value.trim().to_owned()))
}

/// Parts of a sweep, for many machines.
#[derive(Debug, Subcommand)]
enum Part {
    /// Tell the blocks of a study and their names.
    Plan {
        #[command(flatten)]
        asked: Asked,
    },
    /// Run a shard into a folder.
    Run {
        #[command(flatten)]
        asked: Asked,
        /// Which part of how many: `3/8`.
        #[arg(long, value_parser = Shard::parse, default_value = "1/1", allow_hyphen_values = true)]
        shard: Shard,
        /// How many threads; 0 is one a core.
        #[arg(long, default_value_t = 0, value_parser = jobs)]
        jobs: usize,
        /// Where the blocks go.
        #[arg(long)]
        out: PathBuf,
    },
    /// Tell what is done, missing or damaged.
    Status {
        /// The study.
        study: PathBuf,
        /// The folders.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// Bring all blocks together, in the plan's order, as CSV. Of runs that are not steady it says
    /// so beside, and ends as of others: each row tells.
    Merge {
        /// The study.
        study: PathBuf,
        /// The folders.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// Print a script that runs a study in shards.
    Script {
        /// The study.
        study: PathBuf,
        /// For which scheduler.
        #[arg(long = "for", value_enum)]
        scheduler: Scheduler,
        /// How many shards.
        #[arg(long, default_value_t = 8, value_parser = shards)]
        shards: usize,
        /// Where the blocks go.
        #[arg(long, default_value = "sweep-out")]
        out: PathBuf,
    },
}

impl Sweep {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`]: bad data, a wrong question, or an inconclusive answer.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.part {
            Some(part) => part.run(),
            None => self.whole(),
        }
    }

    fn whole(&self) -> Result<(), Failure> {
        self.out.as_deref().map_or(Ok(()), is_no_output)?;
        let plan = self.asked.plan("mixed-isp-nat", self.metrics)?;
        remark(format_args!(
            "seed {}, plan {}, {}",
            plan.study.seed,
            plan.hash,
            counted(plan.blocks.len() as u64, "block")
        ));
        let bar = progress(plan.blocks.len() as u64);
        let tick = |done: u64, _: u64| bar.set_position(done);
        let rows = match &self.out {
            None => shard::run_in_memory(&plan, self.jobs, &tick),
            Some(folder) => {
                shard::run(&plan, Shard::ALL, self.jobs, folder, &tick).and_then(|_| {
                    let merged = shard::merge(&plan, std::slice::from_ref(folder));
                    merged.map_err(|why| Stopped::Here(why.to_string()))
                })
            }
        };
        bar.finish_and_clear();
        let rows = rows.map_err(|why| self.asked.stopped(why))?;
        tell(&plan, &rows, self.format, self.metrics)
    }
}

fn tell(plan: &Plan, found: &[Row], format: Format, metrics: bool) -> Result<(), Failure> {
    let mut out = verdict_behind();
    let lines = summary::lines(plan, found);
    match format {
        Format::Text => {
            out.write_all(summary::text(&lines).as_bytes())?;
            if metrics {
                write!(out, "\n{}", summary::metrics(&lines))?;
            }
            writeln!(out, "\n{}", summary::COVERS)?;
        }
        Format::Csv => out.write_all(&shard::bytes(found))?,
        Format::Json => out.write_all(rows::lines(lines.iter()).as_bytes())?,
    }
    settled(&lines)
}

/// Refuses to call settled what is not.
pub(super) fn settled(lines: &[Line]) -> Result<(), Failure> {
    match lines.iter().filter(|line| !line.steady).count() {
        0 => Ok(()),
        unsteady => Err(Failure::Inconclusive(format!(
            "{unsteady} of {} lines reached no steady state in their first half: let the run \
             last longer (--set run.lasts=…)",
            lines.len()
        ))),
    }
}

/// A bar with an estimate, on a terminal.
pub(super) fn progress(blocks: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} blocks, {eta} left");
    ProgressBar::new(blocks).with_style(style.expect("the template is ours"))
}

/// Blocks are many files; nobody else takes `-` for a folder's name.
fn is_no_output(folder: &Path) -> Result<(), Failure> {
    match folder.as_os_str() == "-" {
        true => Err(Failure::Usage("-: expected a folder for blocks (`./-` is one)".into())),
        false => Ok(()),
    }
}

/// A folder may not be there yet, but a file never becomes one.
fn is_no_file(folder: &Path) -> Result<(), Failure> {
    if folder.exists() { is_folder(folder) } else { Ok(()) }
}

/// Of a folder that is not there, a name that is misspelt, nobody would hear where others have all
/// blocks.
fn is_folder(folder: &Path) -> Result<(), Failure> {
    let why = match folder.metadata() {
        Ok(about) if about.is_dir() => return Ok(()),
        Ok(_) => "expected a folder of blocks".to_owned(),
        Err(error) => format!("expected a folder of blocks: {error}"),
    };
    Err(Failure::Data(folder.to_owned(), why))
}

/// A name as a script can hold it.
fn word(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::Usage(format!("{}: expected a name in UTF-8 for a script", path.display()))
    })
}

fn planned(study: &Path) -> Result<Plan, Failure> {
    let data = |why: String| Failure::Data(study.to_owned(), why);
    let parsed = read_text(study, STUDY).and_then(|text| Study::parse(&text)).map_err(data)?;
    Plan::of(parsed, study.parent()).map_err(data)
}

impl Part {
    fn run(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match self {
            Self::Plan { asked } => {
                let plan = asked.plan("mixed-isp-nat", false)?;
                writeln!(out, "plan {} {}", plan.hash, plan.study.name)?;
                for block in &plan.blocks {
                    let point = &plan.points[block.point];
                    let (revision, varied) = (point.revision.name, &point.varied);
                    writeln!(out, "{} {revision} #{} {varied}", block.name, block.replication)?;
                }
            }
            Self::Run { asked, shard, jobs, out: folder } => {
                is_no_output(folder)?;
                let plan = asked.plan("mixed-isp-nat", false)?;
                let bar = progress(plan.blocks.len() as u64);
                let tick = |done: u64, of: u64| {
                    bar.set_length(of);
                    bar.set_position(done);
                };
                let ran = shard::run(&plan, *shard, *jobs, folder, &tick);
                bar.finish_and_clear();
                let ran = ran.map_err(|why| asked.stopped(why))?;
                let own = (0..plan.blocks.len()).filter(|place| shard.holds(*place)).count();
                let (before, ran) = (own - ran, counted(ran as u64, "block"));
                remark(format_args!("plan {}: {ran} run, {before} done before", plan.hash));
            }
            Self::Status { study, folders } => {
                let plan = planned(study)?;
                folders.iter().try_for_each(|path| is_no_file(path))?;
                let status = shard::status(&plan, folders);
                let (missing, corrupt) = (status.missing.len(), status.corrupt.len());
                writeln!(out, "done {}, missing {missing}, damaged {corrupt}", status.done)?;
                for path in &status.corrupt {
                    writeln!(out, "damaged {}", path.display())?;
                }
                if missing > 0 {
                    let missing = counted(missing as u64, "block");
                    return Err(Failure::Inconclusive(format!(
                        "{missing} missing: sweep run makes what is missing or damaged (what was run with \
                         --seed, --set or the like is of another plan)"
                    )));
                }
            }
            Self::Merge { study, folders } => {
                let plan = planned(study)?;
                folders.iter().try_for_each(|path| is_folder(path))?;
                let rows = shard::merge(&plan, folders).map_err(|why| match why {
                    Unmerged::Damaged { path, why } => Failure::Data(path, why),
                    Unmerged::Missing(_) => Failure::Inconclusive(why.to_string()),
                })?;
                out.write_all(&shard::bytes(&rows))?;
                if let Err(unsteady) = settled(&summary::lines(&plan, &rows)) {
                    remark(unsteady);
                }
            }
            Self::Script { study, scheduler, shards, out: folder } => {
                is_no_output(folder)?;
                if is_standard_input(study) {
                    return Err(Failure::Usage(
                        "-: expected a study's file, which every shard reads for itself".into(),
                    ));
                }
                // What does not read here reads nowhere.
                planned(study)?;
                let text = script(*scheduler, word(study)?, word(folder)?, *shards);
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }
}
