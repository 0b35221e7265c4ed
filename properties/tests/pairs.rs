// SPDX-License-Identifier: GPL-2.0-only
//! Every pair of operations: the rows of `MATRIX.md` that take few executions are explored again,
//! in both orders of their CPUs, on both kernels, and must stand there as they are found.
//!
//! The others are left to `cargo exhaustive`, which writes the table; how many they are is said.

use nfexp_model::revision::Revision;
use nfexp_properties::matrix::{KERNELS, mechanism, pair_cell, pairs};
use nfexp_properties::table::{Stopwatch, Table};

/// Executions of a row, up to which plain `cargo test` explores it.
const FEW: usize = 150;

fn counted(cell: &str) -> usize {
    let counts = cell.split(' ').nth(1).unwrap_or_default();
    counts.split('+').filter_map(|count| count.parse::<usize>().ok()).sum()
}

fn explore_kernel(at: usize, few: usize) -> Result<Vec<Vec<String>>, String> {
    let standing = Table::read("MATRIX.md", "pairs");
    let (mut rows, mut left, mut executions) = (Vec::new(), 0, 0);
    for scenario in pairs(KERNELS[at]) {
        let name = scenario.to_string();
        let known = standing.rows.iter().find(|row| row[0] == name);
        if known.is_none() && few != usize::MAX {
            return Err(format!(
                "{name} has no row in MATRIX.md: run `UPDATE_TABLES=1 cargo exhaustive`"
            ));
        }
        if known.is_some_and(|row| counted(&row[1 + at]) > few) {
            left += 1;
            continue;
        }
        let began = Stopwatch::start();
        let cell = pair_cell(&scenario)?;
        executions += cell.executions;
        let empty = || vec![name.clone(), String::new(), String::new()];
        let mut row = known.cloned().unwrap_or_else(empty);
        row.truncate(3);
        row[1 + at] = cell.text;
        row.extend([mechanism(&pairs_of(KERNELS[0], &name)), "none".into(), String::new()]);
        row[5] = began.seconds();
        rows.push(row);
    }
    let kernel = KERNELS[at].name;
    eprintln!("{kernel}: {} pairs, {executions} executions; {left} left to exhaustive", rows.len());
    Ok(rows)
}

fn pairs_of(revision: Revision, name: &str) -> nfexp_properties::scenario::Scenario {
    nfexp_properties::scenario::Scenario::named(revision, name).expect("it is its own name")
}

const COLUMNS: [&str; 6] = ["scenario", "3.9", "7.2", "safe by", "bound", "seconds"];

fn check(at: usize, few: usize) {
    let mut table = Table::new(&COLUMNS);
    table.rows = explore_kernel(at, few).unwrap_or_else(|error| panic!("{error}"));
    table.settle("MATRIX.md", "pairs", few == usize::MAX).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn pairs_of_the_starting_revision_are_as_the_matrix_says() {
    check(0, FEW);
}

#[test]
fn pairs_of_the_newest_revision_are_as_the_matrix_says() {
    check(1, FEW);
}

#[test]
#[ignore = "a minute or two: run by `cargo exhaustive`"]
fn exhaustive_pairs() {
    check(0, usize::MAX);
    check(1, usize::MAX);
}
