// SPDX-License-Identifier: GPL-2.0-only
//! A plan: a study's blocks, in canonical order, each with its name.
//!
//! A block's name is a hash of everything its rows depend on: the scenario with its numbers set,
//! policies, sizes, revision, HZ, seed, replication, and the format of the rows. Who runs it, with
//! how many others, and when, is not among these.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use nfexp_model::revision::Revision;

use super::study::Study;
use crate::research::cell::{Block, Cell, Detail, Stopped, sizes_of};
use crate::research::document::Document;
use crate::research::estimate;
use crate::research::measure::Recording;
use crate::research::policy::{Spec, parse};

/// Changes whenever rows change their meaning.
pub const FORMAT: &str = concat!("nfexp.sweep/3 ", env!("CARGO_PKG_VERSION"));

/// How long the scenarios of all points may be, as text; in memory they are ten times as large.
const MOST_TEXT: usize = 128 << 20;

/// A study, ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked.
    pub study: Study,
    /// The policies.
    pub policies: Vec<Spec>,
    /// Scenario and revision of each point.
    pub points: Vec<Point>,
    /// All blocks: every replication of every point.
    pub blocks: Vec<Named>,
    /// About how many happenings a run of the largest has.
    pub happenings: f64,
    /// The name of the whole.
    pub hash: String,
}

/// A scenario with its numbers set, and a kernel.
#[derive(Clone, Debug)]
pub struct Point {
    /// The scenario.
    pub document: Document,
    /// The kernel.
    pub revision: Revision,
    /// What was varied, `path=value;…`.
    pub varied: String,
}

/// A block and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its point.
    pub point: usize,
    /// Its replication.
    pub replication: u32,
}

/// A row of a results file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The block it is of.
    pub block: String,
    /// The scenario.
    pub scenario: String,
    /// The kernel.
    pub revision: String,
    /// What was varied.
    pub varied: String,
    /// The cell.
    #[serde(flatten)]
    pub cell: Cell,
}

impl Plan {
    /// Plans a study whose files lie beside `beside`.
    ///
    /// # Errors
    /// If something of it does not read.
    pub fn of(mut study: Study, beside: Option<&Path>) -> Result<Self, String> {
        study.check()?;
        let policies: Vec<Spec> =
            study.policies.iter().map(|text| parse::policy(text)).collect::<Result<_, _>>()?;
        let base = study.document(beside)?;
        if base.read().is_fixed() {
            // The same each time: an interval over copies would be a lie.
            study.replications = 1;
        }
        // Each point is a document of its own in memory.
        let of_each = base.canonical().len();
        if study.points().saturating_mul(of_each) > MOST_TEXT {
            let (points, most) = (study.points(), (MOST_TEXT / of_each).max(1));
            return Err(format!(
                "{points} points of a scenario of {of_each} bytes: expected at most {most}; vary \
                 fewer values, or make several studies"
            ));
        }
        let mut points = Vec::new();
        for name in &study.revisions {
            let revision = Revision::named(name);
            let revision = revision.ok_or_else(|| {
                let names: Vec<&str> = Revision::ALL.iter().map(|known| known.name).collect();
                format!("revision {name}: expected one of {}", names.join(", "))
            })?;
            let mut documents = vec![(base.clone(), String::new())];
            for vary in &study.vary {
                let mut next = Vec::new();
                for (document, varied) in documents {
                    for value in &vary.values {
                        let mut document = document.clone();
                        document.set(&vary.path, &value.to_string(), "varied by the study")?;
                        let between = if varied.is_empty() { "" } else { ";" };
                        next.push((document, format!("{varied}{between}{}={value}", vary.path)));
                    }
                }
                documents = next;
            }
            points.extend(documents.into_iter().map(|(document, varied)| Point {
                document,
                revision,
                varied,
            }));
        }
        let mut happenings = 0.0_f64;
        for point in &points {
            let fits = estimate::fits(&point.document.read(), study.most_happenings);
            happenings = happenings.max(fits.map_err(|why| of_point(&study, point, &why))?);
        }
        let mut blocks = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let names = names_of(&study, &policies, point);
            blocks.extend((0..).zip(names).map(|(replication, name)| Named {
                name,
                point: at,
                replication,
            }));
        }
        let mut hash = Sha256::new();
        for block in &blocks {
            hash.update(&block.name);
        }
        let hash = hex(&hash.finalize(), 16);
        Ok(Self { study, policies, points, blocks, happenings, hash })
    }

    /// How many rows a block has.
    #[must_use]
    pub fn rows_per_block(&self) -> usize {
        self.policies.len() * self.study.expect_max.len().max(1)
    }

    /// Whether rows say that they are this block's, each in its place.
    #[must_use]
    pub fn has(&self, named: &Named, rows: &[Row]) -> bool {
        let point = &self.points[named.point];
        let scenario = point.document.read();
        let sizes = sizes_of(&self.study.expect_max, &scenario.run.value.expect_max);
        let cells =
            sizes.iter().flat_map(|size| self.policies.iter().map(move |spec| (size, spec)));
        rows.len() == self.rows_per_block()
            && rows.iter().zip(cells).all(|(row, (size, spec))| {
                let of_block = (&row.block, &row.scenario) == (&named.name, &scenario.name)
                    && (row.revision.as_str(), &row.varied) == (point.revision.name, &point.varied);
                let cell = (&row.cell.policy, row.cell.expect_max, row.cell.replication);
                of_block && cell == (&spec.name, *size, named.replication)
            })
    }

    /// How many bytes a block's file has at most: a row repeats names of the scenario, and numbers.
    #[must_use]
    pub fn bytes_per_block(&self, named: &Named) -> u64 {
        const NUMBERS: usize = 1 << 16;
        let point = &self.points[named.point];
        let row = NUMBERS + point.document.canonical().len() + point.varied.len();
        (self.rows_per_block() as u64 + 1).saturating_mul(row as u64)
    }

    /// Runs one block, all its detail kept.
    ///
    /// # Errors
    /// As [`Block::run`].
    pub fn detail(&self, named: &Named, recording: Recording) -> Result<Vec<Detail>, Stopped> {
        let point = &self.points[named.point];
        let block = Block {
            scenario: &point.document,
            granted: None,
            revision: point.revision,
            hz: self.study.hz,
            seed: self.study.seed,
            replication: named.replication,
            policies: &self.policies,
            sizes: &self.study.expect_max,
            recording,
            most_happenings: self.study.most_happenings,
        };
        block.run().map_err(|why| match why {
            Stopped::Asked(why) => Stopped::Asked(of_point(&self.study, point, &why)),
            here => here,
        })
    }

    /// Runs one block.
    ///
    /// # Errors
    /// As [`Block::run`].
    pub fn run(&self, named: &Named) -> Result<Vec<Row>, Stopped> {
        let point = &self.points[named.point];
        let recording = Recording { walks: self.study.walks, lifelines: 0 };
        let details = self.detail(named, recording)?;
        let scenario = point.document.read().name;
        let row = |detail: Detail| Row {
            block: named.name.clone(),
            scenario: scenario.clone(),
            revision: point.revision.name.to_owned(),
            varied: point.varied.clone(),
            cell: detail.cell,
        };
        Ok(details.into_iter().map(row).collect())
    }
}

/// What is wrong with a point, and which it is.
fn of_point(study: &Study, point: &Point, why: &str) -> String {
    match point.varied.as_str() {
        "" => format!("scenario {}: {why}", study.scenario),
        varied => format!("scenario {}: {varied}: {why}", study.scenario),
    }
}

/// The name of every replication of a point, in order.
fn names_of(study: &Study, policies: &[Spec], point: &Point) -> impl Iterator<Item = String> {
    fn part(hash: &mut Sha256, text: &str) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    // A scenario may be long, and is the same in all of them.
    let mut common = Sha256::new();
    for text in [FORMAT, &point.document.canonical(), point.revision.name, &point.varied] {
        part(&mut common, text);
    }
    for policy in policies {
        part(&mut common, &policy.name);
    }
    (0..study.replications).map(move |replication| {
        let mut hash = common.clone();
        let numbers = (&study.expect_max, study.hz, study.seed, replication, study.walks);
        part(&mut hash, &format!("{numbers:?}"));
        hex(&hash.finalize(), 20)
    })
}

/// The first `digits` of a hash.
#[must_use]
pub fn hex(bytes: &[u8], digits: usize) -> String {
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    text
}
