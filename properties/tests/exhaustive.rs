// SPDX-License-Identifier: GPL-2.0-only
//! The deeper exploration, run by `cargo exhaustive`: triples, and four CPUs.
//!
//! *Usual run*: rows of up to [`USUAL`] executions are explored again, and must stand in
//! `MATRIX.md` as they are found. *Long run*: `NFEXP_BUDGET=300000 cargo exhaustive` explores
//! rows of up to so many; what only it explored is marked `§`, and the usual run looks at no more
//! than the first [`FIRST`] executions of it.
//!
//! The rule that matters: a row that met the budget is called `BUDGET`, whatever it was before.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nfexp_properties::explore::{Limits, Verdict, explore};
use nfexp_properties::matrix::{ENDS, QUADS, cell, is_at_the_heart, mechanism, triples};
use nfexp_properties::scenario::Scenario;
use nfexp_properties::table::{Stopwatch, Table};

/// Executions up to which the usual run explores a row.
const USUAL: usize = 125_000;

/// Executions of a larger row that the usual run looks at.
const FIRST: usize = 1_500;

/// Executions up to which this run explores a row.
fn budget() -> usize {
    let asked = std::env::var("NFEXP_BUDGET").ok();
    asked.map_or(USUAL, |asked| asked.parse().expect("NFEXP_BUDGET is a number of executions"))
}

/// The executions that a cell of the table says, if it is a verdict.
fn said(cell: &str) -> Option<usize> {
    let mut numbers = cell.split(' ').filter_map(|word| word.parse().ok());
    cell.starts_with(|letter: char| letter.is_uppercase()).then(|| numbers.next_back())?
}

/// What is to stand in the cell of a scenario, given what stands there.
fn deep(scenario: &Scenario, preemptions: Option<usize>, standing: &str) -> Result<String, String> {
    let long = said(standing).is_some_and(|executions| executions > budget());
    let executions = Some(if long { FIRST } else { budget() });
    let limits = Limits { preemptions, executions };
    if long && explore(scenario, limits).verdict == Verdict::Budget {
        return Ok(standing.to_owned());
    }
    let found = cell(scenario, limits)?;
    let mark = if found.executions > USUAL { " §" } else { "" };
    Ok(format!("{}{mark}", found.text))
}

/// Does `work` for each of so many rows, on as many threads as the machine runs at once.
fn rows(
    count: usize,
    work: impl Fn(usize) -> Result<Vec<String>, String> + Sync,
) -> Vec<Vec<String>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new((vec![Vec::new(); count], Vec::new())));
    let act = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            let found = work(at);
            let mut done = done.lock().expect("nobody panics with it");
            match found {
                Ok(row) => {
                    eprintln!("{}", row.join(" | "));
                    done.0[at] = row;
                }
                Err(error) => done.1.push(error),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(act);
        }
    });
    let (rows, errors) = done.into_inner().expect("nobody panics with it");
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    rows
}

/// The cell that stands in a row of the table.
fn standing<'a>(table: &'a Table, row: &str, column: &str) -> &'a str {
    let row = table.rows.iter().find(|standing| standing[0] == row);
    let column = table.columns.iter().position(|standing| standing == column);
    row.zip(column).and_then(|(row, column)| row.get(column)).map_or("", String::as_str)
}

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn exhaustive_triples() {
    let [bounded, whole] = [["3.9, bound 2", "7.2, bound 2"], ["3.9, no bound", "7.2, no bound"]];
    let columns = ["scenario", bounded[0], whole[0], bounded[1], whole[1], "safe by", "seconds"];
    let (mut table, before) = (Table::new(&columns), Table::read("MATRIX.md", "triples"));
    let [old, new] = ENDS.map(triples);
    table.rows = rows(old.len(), |at| {
        let (began, mut row) = (Stopwatch::start(), vec![old[at].to_string()]);
        for (kernel, scenario) in [&old[at], &new[at]].into_iter().enumerate() {
            let at_two = cell(scenario, Limits::bound(2))?.text;
            let all = match is_at_the_heart(scenario) && at_two.starts_with("BOUNDED") {
                true => deep(scenario, None, standing(&before, &row[0], whole[kernel]))?,
                false => "-".to_owned(),
            };
            row.extend([at_two, all]);
        }
        row.extend([mechanism(&old[at]), began.seconds()]);
        Ok(row)
    });
    table.settle("MATRIX.md", "triples", true).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn exhaustive_quads() {
    let kernels = ["3.9, bound 3", "7.2, bound 3"];
    let mut table = Table::new(&["scenario", kernels[0], kernels[1], "seconds"]);
    let before = Table::read("MATRIX.md", "quads");
    table.rows = rows(QUADS.len(), |at| {
        let (began, mut row) = (Stopwatch::start(), vec![QUADS[at].to_owned()]);
        for (column, kernel) in kernels.iter().zip(ENDS) {
            let scenario = Scenario::named(kernel, QUADS[at]).expect("a good name");
            row.push(deep(&scenario, Some(3), standing(&before, QUADS[at], column))?);
        }
        row.push(began.seconds());
        Ok(row)
    });
    table.settle("MATRIX.md", "quads", true).unwrap_or_else(|error| panic!("{error}"));
}
