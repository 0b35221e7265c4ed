// SPDX-License-Identifier: GPL-2.0-only
//! The deeper exploration, run by `cargo exhaustive`: triples, and four CPUs.
//!
//! Every triple is explored at two preemptions. Those with two of expiry, unlink and lookup are
//! explored without a bound, too, up to a budget of executions: what does not fit is called so.

use nfexp_properties::explore::Limits;
use nfexp_properties::matrix::{KERNELS, QUADS, cell, is_at_the_heart, mechanism, triples};
use nfexp_properties::scenario::Scenario;
use nfexp_properties::table::{Stopwatch, Table};

/// Executions after which an unbounded triple is given up.
const BUDGET: usize = 1_500;

/// Executions after which four CPUs are given up.
const BUDGET_OF_FOUR: usize = 8_000;

/// The cell, or why there is none.
fn text(scenario: &Scenario, limits: Limits, unknown: &mut Vec<String>) -> String {
    match cell(scenario, limits) {
        Ok(cell) => cell.text,
        Err(error) => {
            unknown.push(error);
            "VIOLATION".to_owned()
        }
    }
}

/// Compares with the rows that stand in the file, if any were written yet.
fn settle(table: &Table, name: &str) {
    let empty = Table::read("MATRIX.md", name).rows.is_empty();
    if empty && std::env::var_os("UPDATE_TABLES").is_none() {
        return eprintln!("MATRIX.md has no rows of {name} yet: UPDATE_TABLES=1 writes them");
    }
    table.settle("MATRIX.md", name, true).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn exhaustive_triples() {
    let columns =
        ["scenario", "3.9, bound 2", "3.9, no bound", "7.2, bound 2", "safe by", "seconds"];
    let (mut table, mut unknown) = (Table::new(&columns), Vec::new());
    let [old, new] = KERNELS.map(triples);
    for (old, new) in old.iter().zip(&new) {
        let began = Stopwatch::start();
        let bounded = text(old, Limits::bound(2), &mut unknown);
        let limits = Limits { executions: Some(BUDGET), ..Limits::NONE };
        let whole = is_at_the_heart(old) && bounded.starts_with("BOUNDED");
        let whole = if whole { text(old, limits, &mut unknown) } else { "-".to_owned() };
        let newest = text(new, Limits::bound(2), &mut unknown);
        let row = [old.to_string(), bounded, whole, newest, mechanism(old), began.seconds()];
        eprintln!("{}", row.join(" | "));
        table.rows.push(row.to_vec());
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    settle(&table, "triples");
}

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn exhaustive_quads() {
    let mut table = Table::new(&["scenario", "3.9, bound 3", "7.2, bound 3", "seconds"]);
    let mut unknown = Vec::new();
    for name in QUADS {
        let began = Stopwatch::start();
        let mut row = vec![name.to_owned()];
        for kernel in KERNELS {
            let scenario = Scenario::named(kernel, name).expect("a good name");
            let limits = Limits { preemptions: Some(3), executions: Some(BUDGET_OF_FOUR) };
            row.push(text(&scenario, limits, &mut unknown));
        }
        row.push(began.seconds());
        eprintln!("{}", row.join(" | "));
        table.rows.push(row);
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    settle(&table, "quads");
}
