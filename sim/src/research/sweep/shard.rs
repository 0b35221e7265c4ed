// SPDX-License-Identifier: GPL-2.0-only
//! Running a plan: shards, jobs, files, and what is left to do.
//!
//! *Shard* i of n: every n-th block of the plan, from the i-th. Shards share nothing but the plan;
//! their folders are merged afterwards, or they write into one folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::plan::{Named, Plan, Row, hex};
use crate::research::cell::{Cell, MOST, Stopped};
use crate::written::put;

/// Part of a plan: `3/8`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// The whole.
    pub const ALL: Self = Self { index: 1, of: 1 };

    /// Reads one.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a shard as in 3/8, not `{text}`");
        let (index, of) = text.split_once('/').ok_or_else(expected)?;
        let (index, of) = (index.parse().ok(), of.parse().ok());
        let (Some(index), Some(of)) = (index, of) else { return Err(expected()) };
        if (1..=of).contains(&index) { Ok(Self { index, of }) } else { Err(expected()) }
    }

    /// Whether it has the block at a place of the plan.
    #[must_use]
    pub fn holds(self, place: usize) -> bool {
        place % self.of == self.index - 1
    }
}

/// What there is of a plan in some folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Blocks that are done.
    pub done: usize,
    /// Blocks that are not.
    pub missing: Vec<String>,
    /// Files that are damaged.
    pub corrupt: Vec<PathBuf>,
}

fn place_of(folder: &Path, block: &Named) -> PathBuf {
    folder.join(format!("{}.csv", block.name))
}

/// Runs a shard of a plan into a folder, with so many jobs (0: one a core); what is done
/// already is not done again. `progress` hears how many of how many are done.
///
/// # Errors
/// The first block that fails, or what the file system says.
pub fn run(
    plan: &Plan,
    shard: Shard,
    jobs: usize,
    folder: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<usize, Stopped> {
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let own = plan.blocks.iter().enumerate().filter(|(place, _)| shard.holds(*place));
    let own: Vec<&Named> = own.map(|(_, block)| block).collect();
    let missing: Vec<&Named> =
        own.iter().filter(|block| read(plan, block, folder).is_err()).copied().collect();
    // A block may take hours, and a folder does not give way to it.
    if let Some(path) = missing.iter().map(|block| place_of(folder, block)).find(|at| at.is_dir()) {
        let why = "expected a block's file, or none: this is a folder; remove or rename it";
        return Err(Stopped::Here(format!("{}: {why}", path.display())));
    }
    let done = AtomicU64::new((own.len() - missing.len()) as u64);
    pool(plan.happenings, jobs)?.install(|| {
        missing.par_iter().try_for_each(|block| -> Result<(), Stopped> {
            let rows = plan.run(block)?;
            let path = place_of(folder, block);
            let written = put(&path, &sealed(&bytes(&rows)));
            written.map_err(|error| unwritten(&path, &error))?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(done, own.len() as u64);
            Ok(())
        })
    })?;
    Ok(missing.len())
}

/// Runs a whole plan in memory.
///
/// # Errors
/// The first block that fails.
pub fn run_in_memory(
    plan: &Plan,
    jobs: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Vec<Row>, Stopped> {
    let done = AtomicU64::new(0);
    let rows: Vec<Vec<Row>> = pool(plan.happenings, jobs)?.install(|| {
        let run = |block| {
            let rows = plan.run(block);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, plan.blocks.len() as u64);
            rows
        };
        plan.blocks.par_iter().map(run).collect::<Result<_, _>>()
    })?;
    Ok(rows.into_iter().flatten().collect())
}

/// Threads for so many jobs; 0 is one a core, or fewer where runs have so many `happenings` that all
/// at once would keep more than two of the largest that are allowed usually.
///
/// # Errors
/// If the system has no threads.
pub fn pool(happenings: f64, jobs: usize) -> Result<rayon::ThreadPool, Stopped> {
    let at_once = (2.0 * MOST as f64 / happenings.max(1.0)).max(1.0) as usize;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = if jobs == 0 && at_once < cores { at_once } else { jobs };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
    pool.map_err(|error| Stopped::Here(error.to_string()))
}

/// Rows as bytes.
///
/// # Panics
/// Never: memory does not refuse to be written.
#[must_use]
pub fn bytes(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if at == 0 {
            out.extend(header());
        }
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.serialize(Flat::of(row)).expect("memory takes all");
        out.extend(writer.into_inner().expect("memory takes all"));
    }
    out
}

fn header() -> Vec<u8> {
    let mut names = vec!["block", "scenario", "revision", "varied"];
    names.extend(CELL_COLUMNS);
    (names.join(",") + "\n").into_bytes()
}

/// CSV knows no nesting: the four leading columns, then the cell's.
type Flat<'a> = (&'a str, &'a str, &'a str, &'a str, &'a Cell);

trait Flatten<'a> {
    fn of(row: &'a Row) -> Self;
}

impl<'a> Flatten<'a> for Flat<'a> {
    fn of(row: &'a Row) -> Self {
        (&row.block, &row.scenario, &row.revision, &row.varied, &row.cell)
    }
}

/// The columns of a cell, in order.
pub const CELL_COLUMNS: [&str; 43] = [
    "policy",
    "expect_max",
    "replication",
    "warm_up",
    "steady",
    "useful",
    "hits",
    "recall",
    "optimum_lower",
    "optimum_upper",
    "worth",
    "worth_lower",
    "worth_upper",
    "premature",
    "refused_class",
    "refused_table",
    "refused_other",
    "lost_other",
    "late",
    "stale",
    "occupancy",
    "occupancy_p50",
    "occupancy_p99",
    "occupancy_max",
    "full",
    "exposure",
    "exposure_wide",
    "exposure_hostile",
    "jain_masters",
    "least_master",
    "jain_sources",
    "jain_kinds",
    "least_kind",
    "jain_nets",
    "newcomers",
    "incumbents",
    "recovery",
    "walk_p50",
    "walk_p99",
    "walk_max",
    "happenings",
    "kinds",
    "endings",
];

/// Rows as a block's file has them, with a last line that no changed digit leaves true.
#[must_use]
pub fn sealed(rows: &[u8]) -> Vec<u8> {
    let digest = hex(&Sha256::digest(rows), 64);
    [rows, format!("# SHA-256 {digest}\n").as_bytes()].concat()
}

/// The rows of a block's file; those of one without a seal, as they were written once, are taken as
/// they stand.
fn unsealed(text: &str) -> Result<&str, String> {
    let last = text.strip_suffix('\n').unwrap_or(text).rfind('\n').map_or(0, |end| end + 1);
    let (rows, seal) = text.split_at(last);
    if !seal.starts_with('#') {
        return Ok(text);
    }
    match sealed(rows.as_bytes()) == text.as_bytes() {
        true => Ok(rows),
        false => Err("expected the rows whose SHA-256 the last line tells".into()),
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Stopped {
    Stopped::Here(format!("{}: cannot write: {error}", path.display()))
}

/// Reads a block's file, and checks that it is whole and of this block.
fn read(plan: &Plan, block: &Named, folder: &Path) -> Result<Vec<Row>, String> {
    let path = place_of(folder, block);
    // A pipe would wait for whoever writes into it, and a device has no end.
    let about = fs::metadata(&path).map_err(|error| error.to_string())?;
    if !about.is_file() || about.len() > plan.bytes_per_block(block) {
        return Err("expected a file as a run writes it".into());
    }
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let text = unsealed(&text)?;
    let rows = parse(text)?;
    match plan.has(block, &rows) && bytes(&rows) == text.as_bytes() {
        true => Ok(rows),
        false => Err("expected a whole block".into()),
    }
}

/// Reads rows.
///
/// # Errors
/// What was expected, with its line.
pub fn parse(text: &str) -> Result<Vec<Row>, String> {
    let Some(rest) = text.strip_prefix(std::str::from_utf8(&header()).unwrap_or_default()) else {
        return Err("line 1: expected the columns of a results file of this version".into());
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(rest.as_bytes());
    let mut rows = Vec::new();
    for (at, record) in reader.deserialize::<Owned>().enumerate() {
        let (block, scenario, revision, varied, cell) =
            record.map_err(|error| format!("line {}: {error}", at + 2))?;
        rows.push(Row { block, scenario, revision, varied, cell });
    }
    Ok(rows)
}

type Owned = (String, String, String, String, Cell);

/// What there is of a plan.
#[must_use]
pub fn status(plan: &Plan, folders: &[PathBuf]) -> Status {
    let mut status = Status::default();
    for block in &plan.blocks {
        let mut done = false;
        for folder in folders {
            let path = place_of(folder, block);
            if path.exists() {
                match read(plan, block, folder) {
                    Ok(_) => done = true,
                    Err(_) => status.corrupt.push(path),
                }
            }
        }
        match done {
            true => status.done += 1,
            false => status.missing.push(block.name.clone()),
        }
    }
    status
}

/// Why the files of a plan cannot be brought together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmerged {
    /// No folder has this block.
    #[error(
        "block {0} is missing: sweep run makes it (with another --seed, --set or the like it is of another plan)"
    )]
    Missing(String),
    /// A file is not what a run wrote, or not what another run did.
    #[error("{}: {why}", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was expected.
        why: String,
    },
}

/// All rows of a plan, from files in any of the folders.
///
/// # Errors
/// If a block is missing, a file is damaged, or two files of one block differ.
pub fn merge(plan: &Plan, folders: &[PathBuf]) -> Result<Vec<Row>, Unmerged> {
    let mut found: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for block in &plan.blocks {
        for folder in folders {
            let path = place_of(folder, block);
            if !path.exists() {
                continue;
            }
            let damaged = |why: String| Unmerged::Damaged { path: path.clone(), why };
            let rows = read(plan, block, folder).map_err(|why| {
                damaged(format!("{why}: sweep run into its folder makes the block anew"))
            })?;
            match found.get(block.name.as_str()) {
                Some(known) if *known != rows => {
                    return Err(damaged(
                        "expected the rows of the other file of this block: one of them is no \
                         result of this study; remove it"
                            .into(),
                    ));
                }
                _ => drop(found.insert(&block.name, rows)),
            }
        }
    }
    let mut rows = Vec::new();
    for block in &plan.blocks {
        match found.remove(block.name.as_str()) {
            Some(of_block) => rows.extend(of_block),
            None => return Err(Unmerged::Missing(block.name.clone())),
        }
    }
    Ok(rows)
}
