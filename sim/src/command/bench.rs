// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp bench`: how fast the engine is on this machine, as ratios.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use nfexp_model::conn::Conn;
use nfexp_model::kernel::Up;

use super::number::natural;
use super::{Failure, remark};
use crate::bench::engine::EngineContender;
use crate::bench::threads::two_sweep_threads;
use crate::bench::workload::Shape;
use crate::bench::{Contender, Figures, ROWS, Row, measure, run_once};

/// The arguments of `nfexp bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Rows whose name begins so (`churn`, `hit/1M`); a choice that takes a minute or two if not
    /// given.
    rows: Vec<String>,
    /// CPU time per row, about, in milliseconds.
    #[arg(long, default_value_t = 400, value_parser = natural)]
    millis: u64,
    /// Runs one slice of the row, at any size, by one contender, and prints for how many operations
    /// it stands: for tools that count instructions (`.ci/instructions`).
    #[arg(long, hide = true, requires = "rows", value_parser = Row::CONTENDERS)]
    once: Option<String>,
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
        let mut table = Table::new();
        let rule = LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([
            "row",
            "x kernel layout",
            "10 % - 90 %",
            "looking ahead",
            "x map and heap",
            "of a dependent access",
            "of an independent one",
            "ns",
        ]);
        let mut beside: Vec<(&str, [&str; 2])> = Vec::new();
        for row in rows {
            beside.extend(row.shape.beside().map(|beside| (row.group, beside)));
            remark(format_args!("{}", row.name()));
            let figures = measure(row, Duration::from_millis(self.millis));
            table.add_row(cells(row, &figures));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(io::stdout(), "{table}")?;
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

fn cells(row: &Row, figures: &[Figures]) -> [String; 8] {
    let [engine, ahead, kernel, map, dependent, independent] = figures else {
        unreachable!("six contenders take part in every row")
    };
    let [low, median, high] = engine.times_faster(kernel);
    // What is not one access per operation has no floor to be compared with.
    let floor = |floor: &Figures| {
        let [_, times, _] = engine.times_faster(floor);
        if row.shape.touches_one_line() { format!("{:.2}", 1.0 / times) } else { String::new() }
    };
    [
        row.name(),
        format!("{median:.2}"),
        format!("{low:.2} - {high:.2}"),
        format!("{:.2}", ahead.times_faster(kernel)[1]),
        format!("{:.2}", engine.times_faster(map)[1]),
        floor(dependent),
        floor(independent),
        format!("{:.1}", engine.nanos()),
    ]
}
