// SPDX-License-Identifier: GPL-2.0-only
//! The table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::delays::{holes, percentile};
use super::{Ledger, Life, Moment, target};

/// The table of all expectations and a summary below it.
#[must_use]
pub fn table(ledger: &Ledger, unit: &str, end: Moment) -> String {
    let mut out = String::new();
    if ledger.lives().is_empty() {
        out.push_str("No expectation was born.\n");
    } else {
        let heads = ["#", "master", "expects", "helper", "born", "ended", "cause"];
        out.push_str(&ruled(&heads, &[0, 4, 5], ledger.lives().iter().map(row)));
        let _ = writeln!(out, "born, ended: {unit} and seconds since the first");
    }
    out.push_str(&summary(ledger, end));
    out
}

/// A table between rules, below its heads; the columns of numbers stand to the right.
pub(crate) fn ruled<R: IntoIterator<Item = String>>(
    heads: &[&str],
    numbers: &[usize],
    rows: impl Iterator<Item = R>,
) -> String {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule).bottom_border(rule));
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads);
    for row in rows {
        table.add_row(row);
    }
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string().lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

fn row(life: &Life) -> [String; 7] {
    let flags = life.born_as.flags.to_string();
    let mut expects = target(&life.born_as.tuple, &life.born_as.mask);
    if !flags.is_empty() {
        let _ = write!(expects, " {flags}");
    }
    let helper = match life.class.as_str() {
        "" => life.helper.clone(),
        class => format!("{}/{class}", life.helper),
    };
    let (ended, cause) = life.ended.map_or_else(
        || ("-".to_owned(), "still linked".to_owned()),
        |(moment, cause)| (when(moment), cause.word().to_owned()),
    );
    let master = life.born_as.master_tuple.to_string();
    [life.number.to_string(), master, expects, helper, when(life.born), ended, cause]
}

fn when(moment: Moment) -> String {
    match moment.at {
        0 => format!("end {:.3}", moment.seconds()),
        at => format!("{at} {:.3}", moment.seconds()),
    }
}

fn summary(ledger: &Ledger, end: Moment) -> String {
    let ends = ledger.ends();
    let named: Vec<String> = ends
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{count} {}", cause.word()))
        .collect();
    let (conns, related) = ledger.conns();
    let ended = if named.is_empty() { "none ended".to_owned() } else { named.join(", ") };
    let mut out = format!(
        "{}: {ended}; {} still linked; at most {} at a time\n{}, {related} of them announced\n",
        counted(ledger.lives().len() as u64, "expectation"),
        ledger.open(),
        ledger.peak(),
        counted(conns, "connection"),
    );
    out.push_str(&in_vain(ledger, end));
    out
}

/// So many of what `what` is one of.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Announcements whose connection did not come, and how long holes stayed open.
fn in_vain(ledger: &Ledger, end: Moment) -> String {
    let mut by_helper: BTreeMap<&str, u64> = BTreeMap::new();
    for life in ledger.lives().iter().filter(|life| life.arrived.is_none()) {
        *by_helper.entry(life.helper.as_str()).or_default() += 1;
    }
    if ledger.lives().is_empty() {
        return String::new();
    }
    let total: u64 = by_helper.values().sum();
    let named: Vec<String> =
        by_helper.iter().map(|(helper, count)| format!("{count} {helper}")).collect();
    let named = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
    let holes = holes(ledger, end);
    let secs = |percent| percentile(&holes, percent).unwrap_or(0) as f64 / 1000.0;
    format!(
        "announced in vain: {total} ({named}); holes open for {:.3} s in the median, {:.3} s in \
         nine of ten, {:.3} s at most\n",
        secs(50),
        secs(90),
        secs(100),
    )
}
