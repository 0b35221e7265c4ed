// SPDX-License-Identifier: GPL-2.0-only
//! A verb's rows: a table for people, JSON lines and CSV for programs.
//!
//! The rule that matters: a program gets whatever a person sees of a row, with every digit, and
//! how the verb ends is the same for both.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::{Failure, verdict_behind};
use crate::report::rows::{lines, with_header};

/// How comparisons are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TextOrJson {
    /// For people.
    Text,
    /// JSON lines: one per recording or sequence, or per step that differs.
    Json,
}

/// How rows are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// JSON lines, one per row, with every digit.
    Json,
    /// The same as comma-separated values.
    Csv,
}

impl Format {
    /// Prints rows whose fields have these names, or for people what `text` makes of them.
    pub(super) fn print(
        self,
        columns: &[&str],
        rows: impl Iterator<Item = impl Serialize>,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let printed = match self {
            Self::Text => text(),
            Self::Json => lines(rows),
            Self::Csv => with_header(columns, rows),
        };
        Ok(verdict_behind().write_all(printed.as_bytes())?)
    }
}
