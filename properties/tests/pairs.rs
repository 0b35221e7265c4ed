// SPDX-License-Identifier: GPL-2.0-only
//! Every pair of operations: the rows of `MATRIX.md` that take few executions are explored again,
//! in both orders of their CPUs, on each kernel, and must stand there as they are found.
//!
//! The others are left to `cargo exhaustive`, which writes the table; how many they are is said.

use nfexp_properties::matrix::{KERNELS, mechanism, pair_cell, pairs};
use nfexp_properties::scenario::Scenario;
use nfexp_properties::table::{Stopwatch, Table};

/// Executions of a row, up to which plain `cargo test` explores it.
const FEW: usize = 500;

fn counted(cell: &str) -> usize {
    let counts = cell.split(' ').nth(1).unwrap_or_default();
    counts.split('+').filter_map(|count| count.parse::<usize>().ok()).sum()
}

fn explore_kernel(at: usize, few: usize) -> Result<Vec<Vec<String>>, String> {
    let standing = Table::read("MATRIX.md", "pairs");
    let (mut rows, mut unknown) = (Vec::new(), Vec::new());
    let (mut left, mut executions) = (0, 0);
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
        let cell = match pair_cell(&scenario) {
            Ok(cell) => cell,
            Err(error) => {
                unknown.push(error);
                continue;
            }
        };
        executions += cell.executions;
        // The other kernels' cells stay empty: the table keeps what stands there.
        let mut row = vec![String::new(); 1 + KERNELS.len()];
        row[0].clone_from(&name);
        row[1 + at] = cell.text;
        let scenario = Scenario::named(KERNELS[0], &name).expect("it is its own name");
        row.extend([mechanism(&scenario), "none".into(), began.seconds()]);
        rows.push(row);
    }
    if !unknown.is_empty() {
        return Err(unknown.join("\n"));
    }
    let kernel = KERNELS[at].name;
    eprintln!("{kernel}: {} pairs, {executions} executions; {left} left to exhaustive", rows.len());
    Ok(rows)
}

const COLUMNS: [&str; 7] = ["scenario", "3.9", "6.18", "7.2", "safe by", "bound", "seconds"];

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
fn pairs_of_the_revision_between_are_as_the_matrix_says() {
    check(1, FEW);
}

#[test]
fn pairs_of_the_newest_revision_are_as_the_matrix_says() {
    check(2, FEW);
}

#[test]
#[ignore = "a minute or two: run by `cargo exhaustive`"]
fn exhaustive_pairs_of_the_starting_revision() {
    check(0, usize::MAX);
}

#[test]
#[ignore = "a minute or two: run by `cargo exhaustive`"]
fn exhaustive_pairs_of_the_revision_between() {
    check(1, usize::MAX);
}

#[test]
#[ignore = "a minute or two: run by `cargo exhaustive`"]
fn exhaustive_pairs_of_the_newest_revision() {
    check(2, usize::MAX);
}
