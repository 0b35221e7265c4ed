// SPDX-License-Identifier: GPL-2.0-only
//! A scenario as a document: its numbers have paths, by which they are changed, and sources.
//!
//! The rule that matters: a table that holds a number holds its `source`, too, or the document is
//! refused.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::included;
use super::law::Span;
use super::recorded::{self, Recorded};
use super::scenario::Scenario;
use crate::opened;

/// A number of a scenario and where it comes from, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Where in the scenario it stands.
    pub path: String,
    /// The numbers as written.
    pub value: String,
    /// Where they come from.
    pub source: String,
}

/// A scenario as a document, in which numbers can be changed by path.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    table: Table,
    /// What was read for `[[recording]]`: file, options, and what is in it.
    files: Vec<(String, String, Arc<Recorded>)>,
}

impl Document {
    /// Reads a scenario's text, whose files lie in the working directory.
    ///
    /// # Errors
    /// What was expected, with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_beside(text, Path::new(""))
    }

    /// Reads a scenario's text, whose files lie in this folder.
    ///
    /// # Errors
    /// What was expected, with its line.
    pub fn parse_beside(text: &str, folder: &Path) -> Result<Self, String> {
        let mut table: Table =
            text.parse().map_err(|error: toml::de::Error| located(text, &error))?;
        included::fits(&mut table, folder)?;
        let files = included::recordings(&table, folder)?;
        let document = Self { table, files };
        document.scenario().map_err(|why| match toml::from_str::<Scenario>(text) {
            // The table knows no places any more; the text does.
            Err(error) if why.0.is_some() => located(text, &error),
            _ => why.1,
        })?;
        Ok(document)
    }

    /// A file: a scenario, or a recording that is played as a scenario of its own.
    ///
    /// # Errors
    /// What was expected, with its place.
    pub fn open(path: &Path) -> Result<Self, String> {
        let head = opened::begin(path).map_err(|error| format!("cannot read: {error}"))?;
        if recorded::is_recording(&head) {
            return Self::of_recording(path);
        }
        let text = read_text(path, "a scenario in UTF-8, a capture or a log")?;
        Self::parse_beside(&text, path.parent().unwrap_or_else(|| Path::new("")))
    }

    fn of_recording(path: &Path) -> Result<Self, String> {
        let recorded = Recorded::read_some(path, "")?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let text = |text: &str| Value::String(text.to_owned());
        // A moment longer, so that the last packet is in it.
        let lasts = match recorded.span.saturating_add(1_000_000) {
            short @ 0..1_000_000_000_000 => format!("{short}us"),
            // No number of a scenario is larger.
            long => format!("{}s", long.div_ceil(1_000_000)),
        };
        let run = [
            ("lasts", text(&lasts)),
            ("transient", Value::Boolean(true)),
            ("source", text("as long as the recording, and a second")),
        ];
        let recording =
            [("name", text("recorded")), ("file", text(&name)), ("source", text(&name))];
        let table_of = |pairs: &[(&str, Value)]| -> Table {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let table = table_of(&[
            ("name", text(&name)),
            ("about", text("Announcements and connections as they were recorded.")),
            ("run", Value::Table(table_of(&run))),
            ("recording", Value::Array(vec![Value::Table(table_of(&recording))])),
        ]);
        let document = Self { table, files: vec![(name, String::new(), Arc::new(recorded))] };
        document.scenario().map_err(|why| why.1)?;
        Ok(document)
    }

    /// Changes a number: `class.irc.arrivals.per_second`. Its source becomes `why`, beside that of
    /// the other numbers there.
    ///
    /// # Errors
    /// If there is nothing at that path.
    pub fn set(&mut self, path: &str, value: &str, why: &str) -> Result<(), String> {
        let missing = |part: &str| format!("{path}: the scenario has no `{part}`");
        let mut parts: Vec<&str> = path.split('.').collect();
        let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| missing(path))?;
        let mut table = &mut self.table;
        let mut at = 0;
        while at < parts.len() {
            let part = parts[at];
            at += 1;
            table = match table.get_mut(part).ok_or_else(|| missing(part))? {
                Value::Table(inner) => inner,
                Value::Array(items) => {
                    let name = parts.get(at).copied().unwrap_or(last);
                    at += 1;
                    let named =
                        |item: &&mut Value| item.get("name").and_then(Value::as_str) == Some(name);
                    let item = items.iter_mut().find(named).and_then(Value::as_table_mut);
                    item.ok_or_else(|| missing(name))?
                }
                _ => return Err(missing(part)),
            };
        }
        let slot = table.get_mut(last).ok_or_else(|| missing(last))?;
        let parsed = match slot {
            Value::String(_) => Some(Value::String(value.to_owned())),
            Value::Boolean(_) => value.parse().ok().map(Value::Boolean),
            _ => value.parse::<i64>().ok().map(Value::Integer).or_else(|| {
                value.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::Float)
            }),
        };
        *slot = parsed.ok_or_else(|| format!("{path}: expected a number, not `{value}`"))?;
        let numbers = table.iter().filter(|(key, value)| *key != "source" && is_number(value));
        let alone = numbers.count() < 2;
        if let Some(Value::String(source)) = table.get_mut("source") {
            // What stands beside it comes from where it came.
            *source = if alone { why.to_owned() } else { format!("{last} {why}; {source}") };
        }
        self.scenario().map_err(|why| format!("{path}={value}: {}", why.1))?;
        Ok(())
    }

    /// Gives a class limits of its own: how many a master may have, for how many seconds.
    ///
    /// # Errors
    /// If there is no such class.
    pub fn set_policy(&mut self, class: &str, to: (u32, u32), why: &str) -> Result<(), String> {
        let mut policy = Table::new();
        policy.insert("max_expected".into(), Value::Integer(i64::from(to.0)));
        policy.insert("timeout".into(), Value::String(format!("{}s", to.1)));
        policy.insert("source".into(), Value::String(why.to_owned()));
        // A recording's kinds are named after it: `office/sip/audio`.
        let (array, owner) = match class.split_once('/') {
            Some((recording, _)) => ("recording", recording),
            None => ("class", class),
        };
        let items = self.table.get_mut(array).and_then(Value::as_array_mut);
        let named = |item: &&mut Value| item.get("name").and_then(Value::as_str) == Some(owner);
        let found = items.and_then(|items| items.iter_mut().find(named));
        let table = found.and_then(Value::as_table_mut);
        let table = table.ok_or_else(|| format!("the scenario has no {array} {owner}"))?;
        match array {
            "recording" => {
                let limits = table.entry("limits").or_insert_with(|| Value::Table(Table::new()));
                let limits = limits.as_table_mut().ok_or("limits: expected a table")?;
                limits.insert(class.to_owned(), Value::Table(policy));
            }
            _ => drop(table.insert("policy".into(), Value::Table(policy))),
        }
        self.scenario().map_err(|why| why.1)?;
        Ok(())
    }

    /// The scenario it describes.
    fn scenario(&self) -> Result<Scenario, (Option<toml::de::Error>, String)> {
        let mut unsourced = Vec::new();
        provenance("", &self.table, &mut Vec::new(), &mut unsourced);
        if let Some(path) = unsourced.first() {
            return Err((None, format!("{path}: expected `source = …` beside its numbers")));
        }
        let mut scenario: Scenario =
            Value::Table(self.table.clone()).try_into().map_err(|error: toml::de::Error| {
                let text = error.message().to_owned();
                (Some(error), text)
            })?;
        for recording in &mut scenario.recordings {
            let same = |(file, options, _): &&(String, String, Arc<Recorded>)| {
                (file, options) == (&recording.file, &recording.options)
            };
            let found = self.files.iter().find(same).map(|(.., recorded)| Arc::clone(recorded));
            let missing = || (None, format!("recording.{}: it cannot be changed", recording.name));
            recording.recorded = found.ok_or_else(missing)?;
        }
        scenario.check().map_err(|why| (None, why))?;
        Ok(scenario)
    }

    /// The same, once it was parsed: cannot fail.
    ///
    /// # Panics
    /// Never: a document is checked whenever it changes.
    #[must_use]
    pub fn read(&self) -> Scenario {
        self.scenario().expect("checked whenever it changes")
    }

    /// Every number with its source.
    #[must_use]
    pub fn provenance(&self) -> Vec<Provenance> {
        let mut sourced = Vec::new();
        provenance("", &self.table, &mut sourced, &mut Vec::new());
        for recording in self.read().recordings {
            let (announced, came) = recording.recorded.counts();
            sourced.push(Provenance {
                path: format!("recording.{}", recording.name),
                value: format!(
                    "{}, SHA-256 {}…: {} masters announced {announced} connections in {} s, \
                     {came} came",
                    recording.file,
                    recording.recorded.digest,
                    recording.recorded.sessions.len(),
                    recording.recorded.span as f64 / 1e6
                ),
                source: recording.source,
            });
        }
        sourced
    }

    /// The document in one spelling: what a result's identity is hashed from.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = Value::Table(self.table.clone()).to_string();
        for (file, options, recorded) in &self.files {
            text += &format!("\n{file} {options} {}", recorded.digest);
        }
        text
    }
}

/// The text of a file that people write: no longer than any of them would; `-` is standard input.
///
/// # Errors
/// What the system says, or where it is no text: `expected` is what it should be.
pub fn read_text(path: &Path, expected: &str) -> Result<String, String> {
    // What is read of it takes a hundred times as much memory.
    const MOST: u64 = 4 << 20;
    let mut bytes = Vec::new();
    let file = opened::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    file.map_err(|error| format!("cannot read: {error}"))?;
    if bytes.len() as u64 > MOST {
        return Err(format!("offset {MOST}: expected the end of {expected}"));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("offset {}: expected {expected}", error.utf8_error().valid_up_to())
    })
}

pub(super) fn located(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return error.message().to_owned() };
    let before = text.get(..span.start).unwrap_or(text);
    format!("{}: {}", place_behind(before), error.message())
}

/// The place in a text that has this before it.
pub(crate) fn place_behind(before: &str) -> String {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("line {line}, column {column}")
}

/// Collects the tables that hold numbers: with a source, and without.
fn provenance(
    path: &str,
    table: &Table,
    sourced: &mut Vec<Provenance>,
    unsourced: &mut Vec<String>,
) {
    let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let mut numbers = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => provenance(&under(key), inner, sourced, unsourced),
            Value::Array(items) if items.iter().any(Value::is_table) => {
                for (at, item) in items.iter().enumerate() {
                    let name = item.get("name").and_then(Value::as_str).map(str::to_owned);
                    let place = under(&format!("{key}.{}", name.unwrap_or_else(|| at.to_string())));
                    if let Value::Table(inner) = item {
                        provenance(&place, inner, sourced, unsourced);
                    }
                }
            }
            _ if is_number(value) => numbers.push(format!("{key} = {value}")),
            _ => {}
        }
    }
    if numbers.is_empty() {
        return;
    }
    match table.get("source").and_then(Value::as_str).filter(|source| !source.trim().is_empty()) {
        Some(source) => {
            let value = numbers.join(", ");
            sourced.push(Provenance { path: path.to_owned(), value, source: source.to_owned() });
        }
        None => unsourced.push(if path.is_empty() { numbers.join(", ") } else { path.to_owned() }),
    }
}

fn is_number(value: &Value) -> bool {
    match value {
        Value::Integer(_) | Value::Float(_) => true,
        Value::String(text) => Span::parse(text).is_ok(),
        Value::Array(items) => items.iter().any(is_number),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::research::law::{Arrivals, Law};

    const TEXT: &str = r#"
name = "one"
[run]
lasts = "100s"
source = "the test"
[[class]]
name = "ftp"
helper = "ftp"
arrivals = { law = "poisson", per_second = 1.5, source = "the test" }
delay = { law = "log-normal", median = "60ms", sigma = 1, source = "the test" }
answered = { share = 0.97, source = "the test" }
"#;

    #[test]
    fn a_scenario_reads_and_its_numbers_can_be_changed() {
        let mut document = Document::parse(TEXT).expect("it is fine");
        assert_eq!(
            document.read().classes[0].delay.value.clone(),
            Law::LogNormal { median: Span(0.06), sigma: 1.0 }
        );
        document.set("class.ftp.arrivals.per_second", "3", "the command line").expect("there");
        document.set("class.ftp.delay.median", "1s", "the command line").expect("there");
        let scenario = document.read();
        assert_eq!(scenario.classes[0].arrivals.source, "the command line");
        assert_eq!(scenario.classes[0].arrivals.value, Arrivals::Poisson { per_second: 3.0 });
        assert!(document.set("class.irc.arrivals.per_second", "3", "x").is_err());
        assert!(document.set("class.ftp.answered.share", "3", "x").is_err());
    }

    #[test]
    fn a_number_without_a_source_is_refused_and_named() {
        let without = TEXT.replace(", source = \"the test\" }\nanswered", " }\nanswered");
        let why = Document::parse(&without).expect_err("it has no source");
        assert_eq!(why, "class.ftp.delay: expected `source = …` beside its numbers");
        let why = Document::parse("name = 3 x").expect_err("no toml");
        assert!(why.starts_with("line 1, column 8: "), "{why}");
        let why = Document::parse(&TEXT.replace("100s", "100")).expect_err("it has no unit");
        let told = "line 3, column 1: lasts: expected a time with its unit";
        assert!(why.starts_with(told), "{why}");
    }

    #[test]
    fn a_burst_is_of_whole_announcements_and_of_masters_that_can_be() {
        let burst = |more: &str, masters: &str| {
            let gap = "gap = { law = \"constant\", is = \"1ms\", source = \"the test\" }";
            Document::parse(&format!(
                "{TEXT}{masters}burst = {{ mean = 2.9, {more}, {gap}, source = \"the test\" }}\n"
            ))
        };
        let why = burst("exact = true", "").expect_err("nobody announces nine tenths");
        assert_eq!(why, "class.ftp: burst.exact: expected a whole number, not 2.9");
        assert!(burst("own_masters = true", "").is_ok());
        let masters = "masters = { count = 5, source = \"the test\" }\n";
        let why = burst("own_masters = true", masters).expect_err("they are five, or new ones");
        assert!(why.starts_with("class.ftp: burst.own_masters: expected no `masters`"), "{why}");
    }

    /// Whatever table it stands in: what means nothing is no parameter.
    #[test]
    fn a_key_that_means_nothing_is_refused() {
        for (right, wrong) in [
            ("lasts = \"100s\"", "lasts = \"100s\"\nexpectmax = 3"),
            ("per_second = 1.5", "per_second = 1.5, per_minute = 2"),
            ("sigma = 1,", "sigma = 1, mean = \"1s\","),
            ("share = 0.97", "share = 0.97, chare = 1"),
        ] {
            let why = Document::parse(&TEXT.replace(right, wrong)).expect_err(wrong);
            assert!(why.starts_with("line ") && why.contains("unknown field `"), "{why}");
        }
        for more in [
            "policy = { max_expeted = 1, source = \"x\" }",
            "loss = { conection = 0.9, source = \"x\" }",
            "worth = { is = 2, was = 1, source = \"x\" }",
            "during = { from = \"0s\", to = \"9s\", at = \"1s\", source = \"x\" }",
            "masters = { count = 1, of = 2, source = \"x\" }",
        ] {
            let why = Document::parse(&format!("{TEXT}{more}\n")).expect_err(more);
            assert!(why.contains("unknown field `"), "{why}");
        }
        let gap = "gap = { law = \"constant\", is = \"1ms\", isnt = 2, source = \"x\" }";
        let burst = format!("{TEXT}burst = {{ mean = 2, {gap}, source = \"x\" }}\n");
        let why = Document::parse(&burst).expect_err("it is a law within a burst");
        assert!(why.contains("unknown field `isnt`"), "{why}");
    }

    #[test]
    fn what_is_not_set_keeps_its_source() {
        let mut document = Document::parse(TEXT).expect("it is fine");
        document.set("class.ftp.delay.sigma", "0.5", "set by the study").expect("there");
        let source = &document.read().classes[0].delay.source;
        assert_eq!(source, "sigma set by the study; the test");
    }

    #[test]
    fn names_are_parts_of_paths() {
        for name in ["a/b", "my.class", "a=b", " "] {
            let text = TEXT.replace("name = \"ftp\"", &format!("name = {name:?}"));
            let why = Document::parse(&text).expect_err(name);
            assert!(why.contains("expected a name without `.`, `/` and `=`"), "{why}");
        }
    }
}
