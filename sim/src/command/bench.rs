// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp bench`: how fast the engine is on this machine, as ratios.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use nfexp_model::conn::Conn;
use nfexp_model::kernel::Up;

use super::format::Format;
use super::number::within;
use super::{Failure, remark};
use crate::bench::engine::EngineContender;
use crate::bench::threads::two_sweep_threads;
use crate::bench::workload::Shape;
use crate::bench::{Contender, Figures, ROWS, Row, measure, run_once};
use crate::report::text::ruled;

/// The arguments of `nfexp bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Rows whose name begins so (`churn`, `hit/1M`); a choice that takes a minute or two if not
    /// given.
    rows: Vec<String>,
    /// CPU time per row, about, in milliseconds.
    #[arg(long, default_value_t = 400, value_parser = millis)]
    millis: u64,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Runs one slice of the row, at any size, by one contender, and prints for how many operations
    /// it stands: for tools that count instructions (`.ci/instructions`).
    #[arg(long, hide = true, requires = "rows", conflicts_with = "format", value_parser = Row::CONTENDERS)]
    once: Option<String>,
}

/// A minute is longer than any row needs.
fn millis(text: &str) -> Result<u64, String> {
    within(text, 0, 60_000)
}

impl Bench {
    /// Measures and prints the table.
    ///
    /// # Errors
    /// [`Failure`]: no row has such a name.
    pub fn run(&self) -> Result<(), Failure> {
        if let (Some(once), [name, ..]) = (&self.once, self.rows.as_slice()) {
            let place = Row::CONTENDERS.iter().position(|name| name == once);
            let row = Row::named(name).ok_or_else(|| unknown(name))?;
            writeln!(io::stdout(), "{}", run_once(&row, place.expect("it was parsed")))?;
            return Ok(());
        }
        let asked = |row: &&Row| match self.rows.as_slice() {
            [] => is_shown(row),
            rows => rows.iter().any(|prefix| row.name().starts_with(prefix)),
        };
        let rows: Vec<&Row> = ROWS.iter().filter(asked).collect();
        let is_none = |asked: &&String| !ROWS.iter().any(|row| row.name().starts_with(*asked));
        if let Some(asked) = self.rows.iter().find(is_none) {
            return Err(unknown(asked));
        }
        let told = |row: &&Row| {
            remark(format_args!("{}", row.name()));
            Measured::of(row, &measure(row, Duration::from_millis(self.millis)))
        };
        let measured: Vec<Measured> = rows.iter().map(told).collect();
        self.format.print(&COLUMNS, measured.iter(), || table(&measured))?;
        // What is no row is told to people alone.
        if self.format == Format::Text { self.tell_more(&rows) } else { Ok(()) }
    }

    /// What stands below the table.
    fn tell_more(&self, rows: &[&Row]) -> Result<(), Failure> {
        let mut beside: Vec<(&str, [&str; 2])> = Vec::new();
        for row in rows {
            beside.extend(row.shape.beside().map(|beside| (row.group, beside)));
        }
        beside.dedup();
        for (group, [kernel, map]) in beside {
            writeln!(io::stdout(), "{group}: no kernel does it; beside {kernel}, and {map}")?;
        }
        write!(io::stdout(), "{}", bytes_line())?;
        if self.rows.is_empty() {
            remark(format_args!("two sweep threads"));
            let [low, median, high] = two_sweep_threads(5);
            writeln!(
                io::stdout(),
                "two sweep threads: {median:.2} times one ({low:.2} - {high:.2}), by their CPU time"
            )?;
        }
        Ok(())
    }
}

fn unknown(asked: &str) -> Failure {
    let names: Vec<String> = ROWS.iter().map(Row::name).collect();
    Failure::Usage(format!("no row `{asked}`: expected one of {}", names.join(", ")))
}

const MILLION: u32 = 1 << 20;

/// What a minute or two has time for: lookups up to a million, the rest below; short chains at one
/// size; of the kernel's own size, 4096, what churns.
fn is_shown(row: &Row) -> bool {
    let looks = matches!(row.shape, Shape::Miss | Shape::Hit);
    let is_a_look_at_4k = looks && row.size == 4 << 10;
    match row.load {
        4 => !is_a_look_at_4k && (row.size < MILLION || (looks && row.size == MILLION)),
        _ => row.size == 100 << 10,
    }
}

/// What memory an expectation takes in a table that churns.
fn bytes_line() -> String {
    let row = ROWS.iter().find(|row| row.name() == "churn/100k").expect("it is a row");
    let mut workload = row.workload();
    let mut engine = EngineContender::new(workload.table);
    while let Some(deeds) = workload.prefill() {
        engine.run(&deeds);
    }
    let [record, index, timers] = engine.bytes_each();
    format!(
        "{:.0} bytes per expectation (record {record:.0}, index {index:.0}, timers {timers:.0}); \
         the kernel's layout: 232 and its bucket\n\
         {} bytes per master, whatever it expects; the kernel's layout: 424\n",
        record + index + timers,
        size_of::<Conn<Up>>()
    )
}

/// A row that was measured.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    schema: &'static str,
    row: String,
    expectations: u32,
    per_bucket: u32,
    /// What stands where others have the kernel's layout.
    kernel_layout_is: Option<&'static str>,
    /// And what where others have map and heap.
    map_and_heap_is: Option<&'static str>,
    times_kernel_layout: f64,
    times_kernel_layout_p10: f64,
    times_kernel_layout_p90: f64,
    times_kernel_layout_looking_ahead: f64,
    times_map_and_heap: f64,
    of_dependent_access: Option<f64>,
    of_independent_access: Option<f64>,
    ns_per_operation: f64,
}

/// The columns, as the fields stand above.
const COLUMNS: [&str; 14] = [
    "schema",
    "row",
    "expectations",
    "per_bucket",
    "kernel_layout_is",
    "map_and_heap_is",
    "times_kernel_layout",
    "times_kernel_layout_p10",
    "times_kernel_layout_p90",
    "times_kernel_layout_looking_ahead",
    "times_map_and_heap",
    "of_dependent_access",
    "of_independent_access",
    "ns_per_operation",
];

impl Measured {
    fn of(row: &Row, figures: &[Figures]) -> Self {
        let [engine, ahead, kernel, map, dependent, independent] = figures else {
            unreachable!("six contenders take part in every row")
        };
        let [low, median, high] = engine.times_faster(kernel);
        // What is not one access per operation has no floor to be compared with.
        let floor = |floor: &Figures| {
            let [_, times, _] = engine.times_faster(floor);
            row.shape.touches_one_line().then_some(1.0 / times)
        };
        let beside = row.shape.beside();
        Self {
            schema: "nfexp.bench.1",
            row: row.name(),
            expectations: row.size,
            per_bucket: row.load,
            kernel_layout_is: beside.map(|[kernel, _]| kernel),
            map_and_heap_is: beside.map(|[_, map]| map),
            times_kernel_layout: median,
            times_kernel_layout_p10: low,
            times_kernel_layout_p90: high,
            times_kernel_layout_looking_ahead: ahead.times_faster(kernel)[1],
            times_map_and_heap: engine.times_faster(map)[1],
            of_dependent_access: floor(dependent),
            of_independent_access: floor(independent),
            ns_per_operation: engine.nanos(),
        }
    }
}

fn table(rows: &[Measured]) -> String {
    let heads = [
        "row",
        "x kernel layout",
        "10 % - 90 %",
        "looking ahead",
        "x map and heap",
        "of a dependent access",
        "of an independent one",
        "ns",
    ];
    let share = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{share:.2}"));
    let row = |row: &Measured| {
        [
            row.row.clone(),
            format!("{:.2}", row.times_kernel_layout),
            format!("{:.2} - {:.2}", row.times_kernel_layout_p10, row.times_kernel_layout_p90),
            format!("{:.2}", row.times_kernel_layout_looking_ahead),
            format!("{:.2}", row.times_map_and_heap),
            share(row.of_dependent_access),
            share(row.of_independent_access),
            format!("{:.1}", row.ns_per_operation),
        ]
    };
    ruled(&heads, &[1, 2, 3, 4, 5, 6, 7], rows.iter().map(row))
}
