// SPDX-License-Identifier: GPL-2.0-only
//! Tables that the suites write and that a test holds current.
//!
//! A table is Markdown between two comments of its file, so that prose may stand around it:
//!
//! ```text
//!   <!-- pairs -->
//!   | scenario | 3.9 | … | seconds |
//!   <!-- end of pairs -->
//! ```
//!
//! An empty cell was not looked at: the one that stands in the file is kept.
//!
//! The rule that matters: a column called `seconds` is what a machine took, not what is claimed,
//! and is not compared; it is written only with another change of its row. `UPDATE_TABLES=1`
//! writes what was found; the difference is to be read like code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A table of one of the files of `properties`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The names of its columns; the first names the row.
    pub columns: Vec<String>,
    /// Its rows, in order.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    /// The table of this name, as it stands in the file; empty if it is not there.
    #[must_use]
    pub fn read(file: &str, name: &str) -> Self {
        let text = fs::read_to_string(path(file)).unwrap_or_default();
        let Some((_, rest)) = text.split_once(&opens(name)) else { return Self::default() };
        let inside = rest.split(&closes(name)).next().unwrap_or_default();
        let mut lines = inside.lines().filter(|line| line.starts_with('|')).map(cells);
        let columns = lines.next().unwrap_or_default();
        Self { columns, rows: lines.skip(1).collect() }
    }

    /// Whether the rows stand in the file as they were found, but for `seconds`; or writes them.
    ///
    /// Rows of the file that were not looked at stay as they are; with `whole`, there may be none.
    ///
    /// # Errors
    /// The rows that differ, and what to do.
    pub fn settle(&self, file: &str, name: &str, whole: bool) -> Result<(), String> {
        static WRITING: Mutex<()> = Mutex::new(());
        let _writing = WRITING.lock().map_err(|_| "another table failed".to_owned())?;
        let standing = Self::read(file, name);
        let known: BTreeMap<&String, &Vec<String>> =
            standing.rows.iter().map(|row| (&row[0], row)).collect();
        let mut table = Self { columns: self.columns.clone(), rows: Vec::new() };
        let mut differing = Vec::new();
        for row in &self.rows {
            let old = known.get(&row[0]);
            let kept = |at: usize| old.and_then(|old| old.get(at)).cloned().unwrap_or_default();
            let cell = |(at, cell): (usize, &String)| match cell.is_empty() {
                true => kept(at),
                false => cell.clone(),
            };
            let row: Vec<String> = row.iter().enumerate().map(cell).collect();
            match old {
                Some(old) if self.stable(old) == self.stable(&row) => {
                    table.rows.push((*old).clone());
                    continue;
                }
                Some(old) => {
                    differing.push(format!("- {}\n+ {}", old.join(" | "), row.join(" | ")))
                }
                None => differing.push(format!("+ {}", row.join(" | "))),
            }
            table.rows.push(row);
        }
        if whole {
            let found = |row: &&Vec<String>| self.rows.iter().any(|own| own[0] == row[0]);
            let gone = standing.rows.iter().filter(|row| !found(row));
            differing.extend(gone.map(|row| format!("- {}", row.join(" | "))));
        }
        if differing.is_empty() {
            return Ok(());
        }
        if std::env::var_os("UPDATE_TABLES").is_some() {
            table.write(file, name, &standing, whole);
            return Ok(());
        }
        Err(format!(
            "properties/{file} ({name}) is not current:\n{}\nread the difference, then \
             UPDATE_TABLES=1 and run this again",
            differing.join("\n")
        ))
    }

    fn stable<'a>(&self, row: &'a [String]) -> Vec<&'a String> {
        let named = row.iter().zip(&self.columns);
        named.filter(|(_, column)| *column != "seconds").map(|(cell, _)| cell).collect()
    }

    fn write(&self, file: &str, name: &str, standing: &Self, whole: bool) {
        let mut rows = if whole { Vec::new() } else { standing.rows.clone() };
        for row in &self.rows {
            match rows.iter_mut().find(|old| old[0] == row[0]) {
                Some(old) => old.clone_from(row),
                None => rows.push(row.clone()),
            }
        }
        let table = Self { columns: self.columns.clone(), rows };
        let text = fs::read_to_string(path(file)).unwrap_or_default();
        let (open, close) = (opens(name), closes(name));
        let body = format!("{open}\n{}{close}", table.markdown());
        let text = match (text.split_once(&open), text.split_once(&close)) {
            (Some((before, _)), Some((_, after))) => format!("{before}{body}{after}"),
            _ => format!("{text}\n{body}\n"),
        };
        fs::write(path(file), text).expect("the table can be written");
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = vec!["---".to_owned(); self.columns.len()];
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.columns), line(&rule))
    }
}

/// Whether a text stands in the file as it was found; or writes it.
///
/// # Errors
/// That it differs, and what to do.
pub fn settle_text(file: &str, name: &str, found: &str) -> Result<(), String> {
    let text = fs::read_to_string(path(file)).unwrap_or_default();
    let (open, close) = (opens(name), closes(name));
    let split = text.split_once(&open).and_then(|(before, rest)| {
        let (standing, after) = rest.split_once(&close)?;
        Some((before, standing, after))
    });
    let Some((before, standing, after)) = split else {
        return Err(format!("properties/{file} has no place for {name}"));
    };
    if standing.trim() == found.trim() {
        return Ok(());
    }
    if std::env::var_os("UPDATE_TABLES").is_some() {
        let written = fs::write(path(file), format!("{before}{open}\n{found}{close}{after}"));
        return written.map_err(|error| error.to_string());
    }
    Err(format!("properties/{file} ({name}) is not current: UPDATE_TABLES=1 and run this again"))
}

/// How long something takes, for a column of seconds: never compared, never decided by.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "seconds are told, nothing depends on them")]
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The seconds since.
    #[must_use]
    pub fn seconds(self) -> String {
        format!("{:.2}", self.0.elapsed().as_secs_f64())
    }
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

fn opens(name: &str) -> String {
    format!("<!-- {name} -->\n")
}

fn closes(name: &str) -> String {
    format!("<!-- end of {name} -->")
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
