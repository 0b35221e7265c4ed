// SPDX-License-Identifier: GPL-2.0-only
//! What a comparison with the running kernel says: to people, or as one line of JSON to a program.

use std::io::{self, Write};
use std::path::PathBuf;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use nfexp_traces::transcript::{Answer, Operation};
use serde::Serialize;

use super::{Failure, Format};
use crate::command::verdict_behind;
use crate::conform::Witness;
use crate::oracle::live::Finding;
use crate::report::rows::lines;
use crate::report::text::counted;

/// How many operations are told of those that end at a divergence.
const TOLD: usize = 10;

/// Where kernel and model part, made small.
pub(super) struct Found<'a> {
    pub(super) finding: &'a Finding,
    /// Who would have answered as the kernel did.
    pub(super) witness: Option<Witness>,
    /// Where it is kept,
    pub(super) path: PathBuf,
    /// if it could be,
    pub(super) saved: Result<(), Failure>,
    /// and the line that asks both once more.
    pub(super) again: String,
}

/// The same for a program.
#[derive(Serialize)]
pub(super) struct Diverges<'a> {
    operation: &'a Operation,
    kernel: &'a Answer,
    difference: String,
    /// How many operations show it, this one the last.
    steps: usize,
    /// The knob that, turned alone, makes the model agree; else the revision that agrees.
    knob: Option<&'static str>,
    revision: Option<&'static str>,
    /// Null where it could not be written; so is the line.
    transcript: Option<String>,
    again: Option<&'a str>,
}

/// A sequence that kernel and model were both asked.
#[derive(Serialize)]
pub(super) struct Compared<'a> {
    pub(super) schema: &'static str,
    pub(super) name: &'a str,
    pub(super) revision: &'static str,
    /// The knob of it that was turned.
    pub(super) inject: Option<&'a str>,
    /// How many operations agree, from the first on.
    pub(super) agree: usize,
    /// Where the next one does not, made small; null if all do.
    pub(super) diverges: Option<Diverges<'a>>,
}

/// Many of them.
#[derive(Serialize)]
pub(super) struct Soaked<'a> {
    pub(super) schema: &'static str,
    /// The first.
    pub(super) seed: u64,
    pub(super) revision: &'static str,
    pub(super) inject: Option<&'a str>,
    pub(super) operations: u64,
    pub(super) sequences: u64,
    /// Differences that a fresh namespace did not show again: nothing is shown by such a soak.
    pub(super) did_not_come_back: usize,
    /// And those behind a kernel's search for a port, which begins anywhere.
    pub(super) behind_a_search: u64,
    /// What was reached, and what was not.
    pub(super) cells: Vec<Cell<'a>>,
    pub(super) diverges: Option<Diverges<'a>>,
}

/// An operation with one of its outcomes.
#[derive(Serialize)]
pub(super) struct Cell<'a> {
    pub(super) operation: &'a str,
    pub(super) outcome: &'a str,
    pub(super) times: u64,
}

/// A row for programs, a text for people.
pub(super) fn tell(
    format: Format,
    row: &impl Serialize,
    text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut out = verdict_behind();
    match format {
        Format::Text => text(&mut out)?,
        Format::Json => out.write_all(lines([row].into_iter()).as_bytes())?,
    }
    Ok(())
}

impl Found<'_> {
    pub(super) fn diverges(&self) -> Diverges<'_> {
        let Finding { lines, difference } = self.finding;
        let last = lines.last().expect("they part at an operation");
        let (knob, revision) = self.witness.map_or((None, None), Witness::told);
        let is_saved = self.saved.is_ok();
        Diverges {
            operation: &last.operation,
            kernel: &last.answer,
            difference: difference.to_string(),
            steps: lines.len(),
            knob,
            revision,
            transcript: is_saved.then(|| self.path.display().to_string()),
            again: is_saved.then_some(&self.again),
        }
    }

    /// The last steps, what differs behind them, and why, if a knob says so.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Finding { lines, difference } = self.finding;
        for line in &lines[lines.len().saturating_sub(TOLD)..] {
            writeln!(out, "{}", serde_json::to_string(line)?)?;
        }
        writeln!(out, "{difference}")?;
        self.witness.map_or(Ok(()), |witness| writeln!(out, "{witness}"))
    }

    /// That they part, and then that it could not be saved.
    pub(super) fn failure(self) -> Result<(), Failure> {
        let again = match &self.saved {
            Ok(()) => format!("; see it again with: {}", self.again),
            Err(_) => String::new(),
        };
        let steps = counted(self.finding.lines.len() as u64, "operation");
        let parts = Failure::Differs(format!("kernel and model part after {steps}{again}"));
        Failure::first_of([parts].into_iter().chain(self.saved.err()).collect())
    }
}

impl Soaked<'_> {
    /// What was reached, as a table, and how much was asked.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new();
        let rule = LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_header(["operation", "outcome", "times"]);
        for Cell { operation, outcome, times } in &self.cells {
            table.add_row([*operation, *outcome, &times.to_string()]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "{table}")?;
        let divergences = usize::from(self.diverges.is_some());
        writeln!(
            out,
            "{} operations in {} sequences, {divergences} divergences, {} that did not come back{}",
            self.operations,
            self.sequences,
            self.did_not_come_back,
            match self.behind_a_search {
                0 => String::new(),
                count => format!(" ({count} more behind a search for a port)"),
            }
        )
    }
}
