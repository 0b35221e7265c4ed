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
const BUDGET: usize = 12_000;

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn exhaustive_triples() {
    let columns = [
        "scenario",
        "3.9, bound 2",
        "3.9, no bound",
        "7.2, bound 2",
        "7.2, no bound",
        "safe by",
        "seconds",
    ];
    let mut table = Table::new(&columns);
    let by_kernel = KERNELS.map(triples);
    for at in 0..by_kernel[0].len() {
        let began = Stopwatch::start();
        let mut row = vec![by_kernel[0][at].to_string()];
        for triples in &by_kernel {
            let scenario = &triples[at];
            let bounded =
                cell(scenario, Limits::bound(2)).unwrap_or_else(|error| panic!("{error}"));
            let unsafe_at_two = !bounded.text.starts_with("BOUNDED");
            row.push(bounded.text);
            let limits = Limits { executions: Some(BUDGET), ..Limits::NONE };
            row.push(match is_at_the_heart(scenario) && !unsafe_at_two {
                true => cell(scenario, limits).unwrap_or_else(|error| panic!("{error}")).text,
                false => "-".to_owned(),
            });
        }
        row.push(mechanism(&by_kernel[0][at]));
        row.push(began.seconds());
        eprintln!("{}", row.join(" | "));
        table.rows.push(row);
    }
    table.settle("MATRIX.md", "triples", true).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn exhaustive_quads() {
    let mut table = Table::new(&["scenario", "3.9, bound 3", "7.2, bound 3", "seconds"]);
    for name in QUADS {
        let began = Stopwatch::start();
        let mut row = vec![name.to_owned()];
        for kernel in KERNELS {
            let scenario = Scenario::named(kernel, name).expect("a good name");
            let limits = Limits { preemptions: Some(3), executions: Some(60_000) };
            row.push(cell(&scenario, limits).unwrap_or_else(|error| panic!("{error}")).text);
        }
        row.push(began.seconds());
        eprintln!("{}", row.join(" | "));
        table.rows.push(row);
    }
    table.settle("MATRIX.md", "quads", true).unwrap_or_else(|error| panic!("{error}"));
}
