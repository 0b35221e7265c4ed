// SPDX-License-Identifier: GPL-2.0-only
//! The verbs of eviction research.

pub mod sweep;

use clap::Subcommand;

use super::Failure;

/// What research can ask.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Compare evictions: policies by sizes by workloads, with intervals and the optimum.
    Sweep(Box<sweep::Sweep>),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Sweep(verb) => verb.run(),
        }
    }
}
