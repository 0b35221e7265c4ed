// SPDX-License-Identifier: GPL-2.0-only
//! A study: what is asked.
//!
//! ```toml
//! scenario = "prototype"                    # a shipped one, or a path beside the study
//! policies = ["kernel", "oldest-global"]
//! expect_max = [256]
//! replications = 10
//! [[vary]]
//! path = "class.attack.arrivals.per_second"
//! values = [0, 0.5, 1, 2]
//! ```

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::research::cell::MOST;
use crate::research::document::{Document, located};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What it is called.
    #[serde(default = "unnamed")]
    pub name: String,
    /// What it shows.
    #[serde(default)]
    pub about: String,
    /// A shipped scenario's name, or a file.
    pub scenario: String,
    /// The policies; the first is the one others are compared with.
    #[serde(default = "just_the_kernel")]
    pub policies: Vec<String>,
    /// The sizes; the scenario's own if there is none.
    #[serde(default)]
    pub expect_max: Vec<u32>,
    /// The kernels.
    #[serde(default = "usual_revisions")]
    pub revisions: Vec<String>,
    /// Ticks in a second.
    #[serde(default = "usual_hz")]
    pub hz: u32,
    /// How many replications.
    #[serde(default = "usual_replications")]
    pub replications: u32,
    /// The seed.
    #[serde(default = "usual_seed")]
    pub seed: u64,
    /// Numbers of the scenario that are set.
    #[serde(default)]
    pub set: Vec<Set>,
    /// Numbers of the scenario that are varied; the last varies fastest.
    #[serde(default)]
    pub vary: Vec<Vary>,
    /// Whether walks under the lock are counted.
    #[serde(default)]
    pub walks: bool,
    /// How many happenings a run may have; what does not fit is refused before it is run.
    #[serde(default = "usual_most")]
    pub most_happenings: u64,
}

/// Each point is a scenario of its own in memory.
const MOST_POINTS: usize = 20_000;

/// How many cells a study may have: each is a run, and a row of the answer.
pub const MOST_CELLS: usize = 2_000_000;

/// The size that a scenario names; a study's own go before.
pub const SIZE: &str = "run.expect_max";

/// A number of things, which may be more than can be counted.
pub fn many(count: usize) -> String {
    if count == usize::MAX { "uncountably many".into() } else { count.to_string() }
}

fn each_once(list: &str, items: impl IntoIterator<Item: Display>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut items = items.into_iter().map(|item| item.to_string());
    match items.find(|item| !seen.insert(item.clone())) {
        Some(item) => Err(format!("{list}: {item} stands twice: expected each once")),
        None => Ok(()),
    }
}

fn unnamed() -> String {
    "study".into()
}
fn just_the_kernel() -> Vec<String> {
    vec!["kernel".into()]
}
fn usual_revisions() -> Vec<String> {
    vec!["6.18".into()]
}
const fn usual_hz() -> u32 {
    250
}
const fn usual_replications() -> u32 {
    5
}
const fn usual_seed() -> u64 {
    1
}
const fn usual_most() -> u64 {
    MOST
}

/// A number that is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Where: `class.irc.arrivals.per_second`.
    pub path: String,
    /// To what.
    pub value: Number,
}

/// A number that is varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vary {
    /// Where.
    pub path: String,
    /// Over which values.
    pub values: Vec<Number>,
}

/// A number, or a time with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// A whole one.
    Whole(i64),
    /// Any other.
    Real(f64),
    /// A time, or a number as text.
    Text(String),
}

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Study {
    /// One line's study.
    #[must_use]
    pub fn of(scenario: &str) -> Self {
        Self {
            name: unnamed(),
            about: String::new(),
            scenario: scenario.into(),
            policies: just_the_kernel(),
            expect_max: Vec::new(),
            revisions: usual_revisions(),
            hz: usual_hz(),
            replications: usual_replications(),
            seed: usual_seed(),
            set: Vec::new(),
            vary: Vec::new(),
            walks: false,
            most_happenings: usual_most(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// What was expected, with its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let study: Self = toml::from_str(text).map_err(|error| located(text, &error))?;
        study.check()?;
        each_once("set", study.set.iter().map(|set| &set.path))?;
        Ok(study)
    }

    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=10_000).contains(&self.replications) {
            return Err("replications: expected from 1 to 10000".into());
        }
        if !(1..=10_000).contains(&self.hz) {
            return Err("hz: expected from 1 to 10000".into());
        }
        if let Some(size) = self.expect_max.iter().find(|size| !(1..=1 << 22).contains(*size)) {
            return Err(format!("expect_max: expected from 1 to 4194304, not {size}"));
        }
        if self.policies.is_empty() || self.revisions.is_empty() {
            return Err("expected at least one policy and one revision".into());
        }
        if self.vary.iter().any(|vary| vary.values.is_empty()) {
            return Err("vary: expected at least one value".into());
        }
        let points = self.points();
        if points > MOST_POINTS {
            return Err(format!(
                "{} revisions and {} varied lists make {} points: expected at most {MOST_POINTS}; \
                 vary fewer values, or make several studies",
                self.revisions.len(),
                self.vary.len(),
                many(points)
            ));
        }
        let cells = self.cells();
        if cells > MOST_CELLS {
            return Err(format!(
                "{points} points, {} replications, {} policies and {} sizes make {} cells: \
                 expected at most {MOST_CELLS}; ask for less, or make several studies",
                self.replications,
                self.policies.len(),
                self.expect_max.len().max(1),
                many(cells)
            ));
        }
        // What stands twice is run twice, into one file.
        each_once("policies", &self.policies)?;
        each_once("revisions", &self.revisions)?;
        each_once("expect_max", &self.expect_max)?;
        let changed = self.set.iter().map(|set| &set.path);
        let mut changed = changed.chain(self.vary.iter().map(|vary| &vary.path));
        if !self.expect_max.is_empty() && changed.any(|path| path == SIZE) {
            return Err(format!("{SIZE} would change nothing: `expect_max` says which sizes"));
        }
        for (at, vary) in self.vary.iter().enumerate() {
            let path = &vary.path;
            each_once(path, &vary.values)?;
            if self.vary[..at].iter().any(|other| other.path == *path) {
                return Err(format!("{path} is varied twice: expected one list of its values"));
            }
            if self.set.iter().any(|set| set.path == *path) {
                return Err(format!("{path} is set and varied: expected one of them"));
            }
        }
        Ok(())
    }

    /// How many points it has: each is a scenario and a kernel.
    #[must_use]
    pub fn points(&self) -> usize {
        let varied = self.vary.iter().map(|vary| vary.values.len());
        varied.fold(self.revisions.len(), usize::saturating_mul)
    }

    /// How many cells it asks for: each is a run.
    #[must_use]
    pub fn cells(&self) -> usize {
        let lists = [self.replications as usize, self.policies.len(), self.expect_max.len().max(1)];
        lists.into_iter().fold(self.points(), usize::saturating_mul)
    }

    /// The file of a scenario that is not shipped; `beside` is where it is looked for first.
    #[must_use]
    pub fn file(&self, beside: Option<&Path>) -> PathBuf {
        let near = beside.map(|folder| folder.join(&self.scenario));
        let path = near.filter(|path| path.exists());
        path.unwrap_or_else(|| self.scenario.clone().into())
    }

    /// Its scenario's document, numbers set; `beside` is where a file is looked for first.
    ///
    /// # Errors
    /// If it is not there or does not read.
    pub fn document(&self, beside: Option<&Path>) -> Result<Document, String> {
        let mut document = match shipped(&self.scenario) {
            Some(text) => Document::parse(text),
            None => {
                let path = self.file(beside);
                if !path.exists() {
                    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
                    let (asked, names) = (&self.scenario, names.join(", "));
                    return Err(format!("scenario {asked}: expected a file or one of {names}"));
                }
                Document::open(&path)
            }
        }
        .map_err(|why| format!("scenario {}: {why}", self.scenario))?;
        for set in &self.set {
            document.set(&set.path, &set.value.to_string(), "set by the study")?;
        }
        Ok(document)
    }
}

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// The shipped scenarios, by name.
        pub const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../scenarios/", $name, ".toml")))),*];
    };
}

scenarios! {
    "ftp",
    "sip-office",
    "sip-outage",
    "pxe-boot-storm",
    "mixed-isp-nat",
    "exhaustion",
    "prototype",
    "waste",
}

/// The text of a shipped scenario.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}
