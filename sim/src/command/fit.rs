// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp fit`: how long after its announcement a connection comes.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, TableStyle};

use super::Failure;
use super::input::{named_once, title, with_hint};
use super::kernel::Kernel;
use super::output::verdict_behind;
use super::replay::ledger;
use crate::report::delays::{COLUMNS, Delays, delays};
use crate::report::rows::{lines, with_header};
use crate::research::fit::toml;
use crate::research::recorded::Recorded;
use crate::settings::Port;

/// The arguments of `nfexp fit`.
#[derive(Debug, Args)]
pub struct Fit {
    /// Captures (pcap, pcapng or snoop, gzipped or not); for `toml` also logs of
    /// `conntrack -E expect -o timestamp`. `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    kernel: Kernel,
}

/// How delays are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// JSON lines, one per helper and class.
    Json,
    /// The same as comma-separated values.
    Csv,
    /// Laws with their sources, for a scenario's `fits`.
    Toml,
}

impl Fit {
    /// Measures.
    ///
    /// # Errors
    /// [`Failure`]: bad data.
    pub fn run(&self) -> Result<(), Failure> {
        named_once(&self.files)?;
        if self.format == Format::Toml {
            return self.toml();
        }
        let (mut ledgers, mut failures) = (Vec::new(), Vec::new());
        for path in &self.files {
            match ledger(path, &self.kernel) {
                Err(failure) => failures.push(failure),
                Ok((ledger, end, ended)) => {
                    failures.extend(ended.err());
                    ledgers.push((ledger, end));
                }
            }
        }
        let rows = delays(&ledgers);
        let mut out = BufWriter::new(verdict_behind());
        match self.format {
            // Of what could not be read nobody knows what was announced.
            Format::Text if ledgers.is_empty() => {}
            Format::Text => out.write_all(table(&rows).as_bytes())?,
            Format::Json => out.write_all(lines(rows.iter()).as_bytes())?,
            Format::Csv => out.write_all(with_header(&COLUMNS, rows.iter()).as_bytes())?,
            Format::Toml => unreachable!("told apart above"),
        }
        out.flush()?;
        Failure::first_of(failures)
    }

    fn toml(&self) -> Result<(), Failure> {
        let because = "a law is of what was asked for, whatever a table grants";
        self.kernel.takes(&["--helper", "--options"], because)?;
        let mut options = self.kernel.options.clone();
        for Port { helper, proto, port } in &self.kernel.helpers {
            options += &format!(";port={helper}:{proto}/{port}");
        }
        let mut recordings = Vec::new();
        for path in &self.files {
            let recorded = Recorded::read(path, &options);
            let bad = |why| Failure::Data(path.clone(), with_hint(path, why));
            recordings.push(recorded.map_err(bad)?);
        }
        let names: Vec<String> = self.files.iter().map(|path| title(path)).collect();
        io::stdout().write_all(toml(&recordings, &names.join(" ")).as_bytes())?;
        Ok(())
    }
}

fn table(rows: &[Delays]) -> String {
    if rows.is_empty() {
        return "Nothing was announced.\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    let heads =
        ["helper", "announced", "came", "censored", "median", "p90", "p99", "watched, median"];
    table.set_header(heads);
    for at in 1..heads.len() {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    for row in rows {
        let name = match row.class.as_str() {
            "" => row.helper.clone(),
            class => format!("{}/{class}", row.helper),
        };
        let counts = [row.announced, row.arrived, row.censored].map(|count| count.to_string());
        let times = [row.median_ms, row.p90_ms, row.p99_ms, row.watched_median_ms].map(time);
        table.add_row([name].into_iter().chain(counts).chain(times));
    }
    let lines: Vec<String> =
        table.to_string().lines().map(|line| line.trim().to_owned() + "\n").collect();
    lines.concat()
        + "median, p90, p99: of those that came, in whole milliseconds; --format toml counts who was \
           cut short, too\n"
}
