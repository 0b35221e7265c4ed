// SPDX-License-Identifier: GPL-2.0-only
//! The verbs of eviction research.

pub mod attack;
pub mod policies;
pub mod report;
pub mod sensitivity;
pub mod size;
pub mod sweep;

use clap::Subcommand;

use super::Failure;
use crate::research::cell::Cell;
use crate::research::statistics::Estimate;

/// What research can ask.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Compare evictions: policies by sizes by workloads, with intervals and the optimum.
    Sweep(Box<sweep::Sweep>),
    /// Tell the policies by name, and what one's own can be made of.
    Policies(policies::Policies),
    /// Find the least rate of unanswered announcements that costs others theirs.
    Attack(Box<attack::Attack>),
    /// Advise sizes, timeouts and limits for a target, and verify them.
    Size(Box<size::Size>),
    /// Rank knobs by how much they matter.
    Sensitivity(Box<sensitivity::Sensitivity>),
    /// Write a study's answer as one page with pictures.
    Report(Box<report::Report>),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Sweep(verb) => verb.run(),
            Self::Policies(verb) => verb.run(),
            Self::Attack(verb) => verb.run(),
            Self::Size(verb) => verb.run(),
            Self::Sensitivity(verb) => verb.run(),
            Self::Report(verb) => verb.run(),
        }
    }
}

/// The share that replications found, as far as it can be told.
fn recall_of<'a>(cells: impl Iterator<Item = &'a Cell>) -> Estimate {
    let found: Vec<(u64, u64)> = cells.map(|cell| (cell.hits, cell.useful)).collect();
    Estimate::of_shares(&found)
}

/// No more is claimed of runs that never settle, whatever else they say.
fn unsettled(which: &[String]) -> Failure {
    let (first, more) = (&which[0], which.len() - 1);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Failure::Inconclusive(format!(
        "{first}{more} reached no steady state in the first half: let the run last longer (--set \
         run.lasts=…)"
    ))
}
