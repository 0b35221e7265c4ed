// SPDX-License-Identifier: GPL-2.0-only
//! The table for people.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::{Ledger, Life, Moment, target};

/// The table of all expectations and a summary below it.
#[must_use]
pub fn table(ledger: &Ledger, unit: &str) -> String {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule).bottom_border(rule));
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["#", "master", "expects", "helper", "born", "ended", "cause"]);
    for column in [0, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for life in ledger.lives() {
        table.add_row(row(life));
    }
    let mut out = String::new();
    if ledger.lives().is_empty() {
        out.push_str("No expectation was born.\n");
    } else {
        let lines = table.to_string();
        for line in lines.lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        let _ = writeln!(out, "born, ended: {unit} and seconds since the first");
    }
    out.push_str(&summary(ledger));
    out
}

fn row(life: &Life) -> [String; 7] {
    let flags = life.born_as.flags.to_string();
    let mut expects = target(&life.born_as);
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

fn summary(ledger: &Ledger) -> String {
    let ends = ledger.ends();
    let named: Vec<String> = ends
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{count} {}", cause.word()))
        .collect();
    let (conns, related) = ledger.conns();
    let ended = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
    format!(
        "{} expectations: {ended}; {} still linked; at most {} at a time\n\
         {conns} connections, {related} of them announced\n",
        ledger.lives().len(),
        ledger.open(),
        ledger.peak(),
    )
}
