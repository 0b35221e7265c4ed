// SPDX-License-Identifier: GPL-2.0-only
//! The same for programs: JSON lines and CSV, one line per expectation.

use nfexp_model::Engine;
use nfexp_model::kernel::Up;
use nfexp_model::proc::Listed;
use serde::Serialize;

use super::{Ledger, Life, class_name, target};

/// The schema's name, in every line of JSON.
pub const SCHEMA: &str = "nfexp.expectation.1";

#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    capture: &'a str,
    number: u64,
    master: String,
    expects: String,
    class: u8,
    class_name: &'a str,
    helper: &'a str,
    flags: String,
    born: u64,
    born_ms: u64,
    ended: Option<u64>,
    ended_ms: Option<u64>,
    cause: Option<&'static str>,
}

/// The columns, as the fields stand above.
const COLUMNS: [&str; 14] = [
    "schema",
    "capture",
    "number",
    "master",
    "expects",
    "class",
    "class_name",
    "helper",
    "flags",
    "born",
    "born_ms",
    "ended",
    "ended_ms",
    "cause",
];

fn row<'a>(capture: &'a str, life: &'a Life) -> Row<'a> {
    Row {
        schema: SCHEMA,
        capture,
        number: life.number,
        master: life.born_as.master_tuple.to_string(),
        expects: target(&life.born_as.tuple, &life.born_as.mask),
        class: life.born_as.class.number(),
        class_name: &life.class,
        helper: &life.helper,
        flags: life.born_as.flags.to_string(),
        born: life.born.at,
        born_ms: life.born.ms,
        ended: life.ended.map(|(moment, _)| moment.at),
        ended_ms: life.ended.map(|(moment, _)| moment.ms),
        cause: life.ended.map(|(_, cause)| cause.word()),
    }
}

/// JSON lines.
#[must_use]
pub fn json(capture: &str, ledger: &Ledger) -> String {
    lines(ledger.lives().iter().map(|life| row(capture, life)))
}

/// An expectation that is listed: of its life, what a listing tells.
#[derive(Serialize)]
struct ListedRow<'a> {
    schema: &'static str,
    capture: &'a str,
    master: String,
    expects: String,
    class: u8,
    class_name: String,
    helper: &'static str,
    flags: String,
    left_secs: Option<i64>,
}

/// JSON lines of a listing, in its order.
#[must_use]
pub fn listed(capture: &str, engine: &Engine<Up>, listed: &[Listed]) -> String {
    lines(listed.iter().map(|Listed { left_secs, expectation: exp }| {
        let helper = exp.helper.map(|id| engine.helper(id));
        ListedRow {
            schema: "nfexp.listed.1",
            capture,
            master: exp.master_tuple.to_string(),
            expects: target(&exp.tuple, &exp.mask),
            class: exp.class.number(),
            class_name: class_name(helper, exp.class),
            helper: helper.map_or("", |helper| helper.name),
            flags: exp.flags.to_string(),
            left_secs: *left_secs,
        }
    }))
}

/// Comma-separated values, with a header line even if there are none.
#[must_use]
pub fn csv(captures: &[(String, Ledger)]) -> String {
    let rows = captures
        .iter()
        .flat_map(|(capture, ledger)| ledger.lives().iter().map(move |life| row(capture, life)));
    with_header(&COLUMNS, rows)
}

/// A line of JSON for each row.
pub(crate) fn lines(rows: impl Iterator<Item = impl Serialize>) -> String {
    let line = |row| serde_json::to_string(&row).expect("plain data") + "\n";
    rows.map(line).collect()
}

/// Rows below the names of their fields.
pub(crate) fn with_header(columns: &[&str], rows: impl Iterator<Item = impl Serialize>) -> String {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns).expect("memory takes all");
    // Of another number of fields than the header has, the writer takes none.
    rows.for_each(|row| writer.serialize(row).expect("memory takes all"));
    let bytes = writer.into_inner().expect("memory takes all");
    String::from_utf8(bytes).expect("made of strings")
}
