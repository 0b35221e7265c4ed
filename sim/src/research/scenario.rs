// SPDX-License-Identifier: GPL-2.0-only
//! A scenario: who announces what, how often, and when it is answered.
//!
//! ```toml
//! [[class]]
//! name = "ftp"
//! helper = "ftp"
//! arrivals = { law = "poisson", per_second = 1.5, source = "assumed: a small office" }
//! delay = { law = "log-normal", median = "60ms", sigma = 1.0, source = "one round trip" }
//! answered = { share = 0.97, source = "assumed" }
//! masters = { count = 15, source = "assumed" }
//! ```
//!
//! *Class* here: announcements of one kind, by one helper's policy. *Hostile*: an attacker's;
//! whether those are answered does not count.
//!
//! The rule that matters: a table that holds a number holds its `source`, too, or the scenario
//! is refused. A result is worth what its inputs are worth, so the reader must see them.

use serde::Deserialize;
use toml::{Table, Value};

use super::law::{Arrivals, Law, Span};

/// Who announces what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub about: String,
    /// How long it lasts.
    pub run: Sourced<Run>,
    /// The kinds of announcements.
    #[serde(rename = "class")]
    pub classes: Vec<ClassSpec>,
}

/// How long a scenario lasts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Run {
    /// From the first moment to the last.
    pub lasts: Span,
    /// The table's limit, where the study does not say.
    #[serde(default = "usual_limit")]
    pub expect_max: u32,
    /// Whether it is about what happens once: then nothing is warm-up.
    #[serde(default)]
    pub transient: bool,
}

const fn usual_limit() -> u32 {
    256
}

/// Something with numbers, and where they come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sourced<T> {
    /// The numbers.
    #[serde(flatten)]
    pub value: T,
    /// Where they come from.
    pub source: String,
}

/// Announcements of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSpec {
    /// What it is called; names its random streams.
    pub name: String,
    /// The helper whose policy it has.
    pub helper: String,
    /// The helper's class, by number or by name; the first if not given.
    #[serde(default)]
    pub class: Option<String>,
    /// Whether an attacker makes them.
    #[serde(default)]
    pub hostile: bool,
    /// Whether anybody may use the hole: the source is not named.
    #[serde(default)]
    pub wide: bool,
    /// Whether a match leaves them in place (`NF_CT_EXPECT_PERMANENT`).
    #[serde(default)]
    pub permanent: bool,
    /// When sessions begin.
    pub arrivals: Sourced<Arrivals>,
    /// From an announcement to its connection; of a permanent one, from one to the next.
    pub delay: Sourced<Law>,
    /// Which share is answered at all.
    pub answered: Sourced<Answered>,
    /// Who expects; a new master for every session if not given.
    #[serde(default)]
    pub masters: Option<Sourced<Count>>,
    /// From how many addresses the masters come; each its own if not given.
    #[serde(default)]
    pub sources: Option<Sourced<Count>>,
    /// Over how many namespaces they are spread.
    #[serde(default)]
    pub namespaces: Option<Sourced<Count>>,
    /// Over how many zones.
    #[serde(default)]
    pub zones: Option<Sourced<Count>>,
    /// How many announcements a session makes, and how far apart.
    #[serde(default)]
    pub burst: Option<Sourced<Burst>>,
    /// How long a session's own master lives after its last announcement.
    #[serde(default)]
    pub life: Option<Sourced<Law>>,
    /// Other limits than the helper's.
    #[serde(default)]
    pub policy: Option<Sourced<Limits>>,
    /// What is lost on the way.
    #[serde(default)]
    pub loss: Option<Sourced<Loss>>,
    /// What one of them is worth against the others.
    #[serde(default)]
    pub worth: Option<Sourced<Worth>>,
}

/// A share that is answered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Answered {
    /// From 0 to 1.
    pub share: f64,
}

/// How many of something.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Count {
    /// At least one.
    pub count: u32,
}

/// Several announcements of one session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Burst {
    /// How many, in the mean; geometric. Exactly so many if `exact`.
    pub mean: f64,
    /// Whether it is always the mean.
    #[serde(default)]
    pub exact: bool,
    /// From one to the next.
    pub gap: Law,
}

/// Limits and lifetime of a class.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Limits {
    /// How many a master may have; the helper's if not given.
    #[serde(default)]
    pub max_expected: Option<u32>,
    /// How long they live; as the helper says if not given.
    #[serde(default)]
    pub timeout: Option<Span>,
}

/// What is lost on the way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Loss {
    /// Which share of the announcements.
    #[serde(default)]
    pub announcement: f64,
    /// Which share of the connections.
    #[serde(default)]
    pub connection: f64,
}

/// What a match is worth.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Worth {
    /// Against 1 for others.
    pub is: u32,
}

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
pub struct Document(Table);

impl Document {
    /// Reads a scenario's text.
    ///
    /// # Errors
    /// What was expected, with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| located(text, &error))?;
        let document = Self(table);
        document.scenario().map_err(|why| match why.0 {
            Some(error) => located(text, &error),
            None => why.1,
        })?;
        Ok(document)
    }

    /// Changes a number: `class.irc.arrivals.per_second`. Its source becomes `why`.
    ///
    /// # Errors
    /// If there is nothing at that path.
    pub fn set(&mut self, path: &str, value: &str, why: &str) -> Result<(), String> {
        let missing = |part: &str| format!("{path}: the scenario has no `{part}`");
        let mut parts: Vec<&str> = path.split('.').collect();
        let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| missing(path))?;
        let mut table = &mut self.0;
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
        if table.contains_key("source") {
            table.insert("source".into(), Value::String(why.to_owned()));
        }
        self.scenario().map_err(|why| format!("{path}={value}: {}", why.1))?;
        Ok(())
    }

    /// Gives a class limits of its own: how many a master may have, for how many seconds.
    ///
    /// # Errors
    /// If there is no such class.
    pub fn set_policy(&mut self, class: &str, to: (u32, u32), why: &str) -> Result<(), String> {
        let classes = self.0.get_mut("class").and_then(Value::as_array_mut);
        let named = |item: &&mut Value| item.get("name").and_then(Value::as_str) == Some(class);
        let found = classes.and_then(|classes| classes.iter_mut().find(named));
        let table = found.and_then(Value::as_table_mut);
        let table = table.ok_or_else(|| format!("the scenario has no class {class}"))?;
        let mut policy = Table::new();
        policy.insert("max_expected".into(), Value::Integer(i64::from(to.0)));
        policy.insert("timeout".into(), Value::String(format!("{}s", to.1)));
        policy.insert("source".into(), Value::String(why.to_owned()));
        table.insert("policy".into(), Value::Table(policy));
        self.scenario().map_err(|why| why.1)?;
        Ok(())
    }

    /// The scenario it describes.
    fn scenario(&self) -> Result<Scenario, (Option<toml::de::Error>, String)> {
        let mut unsourced = Vec::new();
        provenance("", &self.0, &mut Vec::new(), &mut unsourced);
        if let Some(path) = unsourced.first() {
            return Err((None, format!("{path}: expected `source = …` beside its numbers")));
        }
        let scenario: Scenario =
            Value::Table(self.0.clone()).try_into().map_err(|error: toml::de::Error| {
                let text = error.message().to_owned();
                (Some(error), text)
            })?;
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
        provenance("", &self.0, &mut sourced, &mut Vec::new());
        sourced
    }

    /// The document in one spelling: what a result's identity is hashed from.
    #[must_use]
    pub fn canonical(&self) -> String {
        Value::Table(self.0.clone()).to_string()
    }
}

fn located(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return error.message().to_owned() };
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("line {line}, column {column}: {}", error.message())
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

impl Scenario {
    fn check(&self) -> Result<(), String> {
        if self.classes.is_empty() {
            return Err("expected at least one `[[class]]`".into());
        }
        let lasts = self.run.value.lasts.0;
        if !(1e-3..=1e9).contains(&lasts) {
            return Err(format!("run.lasts: expected from 1ms to 10^9 s, not {lasts} s"));
        }
        if !(1..=1 << 22).contains(&self.run.value.expect_max) {
            return Err("run.expect_max: expected from 1 to 4194304".into());
        }
        for (at, class) in self.classes.iter().enumerate() {
            let fail = |why: String| format!("class.{}: {why}", class.name);
            if self.classes[..at].iter().any(|other| other.name == class.name) {
                return Err(fail("expected a name of its own".into()));
            }
            class.check().map_err(fail)?;
        }
        Ok(())
    }
}

impl ClassSpec {
    fn check(&self) -> Result<(), String> {
        self.arrivals.value.check()?;
        self.delay.value.check()?;
        let mut shares = vec![self.answered.value.share];
        if let Some(loss) = &self.loss {
            shares.extend([loss.value.announcement, loss.value.connection]);
        }
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(format!("expected a share from 0 to 1, not {share}"));
        }
        let counts = [&self.masters, &self.sources, &self.namespaces, &self.zones];
        for count in counts.into_iter().flatten() {
            if !(1..=1 << 20).contains(&count.value.count) {
                return Err("expected a count from 1 to 1048576".into());
            }
        }
        if self.namespaces.as_ref().is_some_and(|nets| nets.value.count > 1024) {
            return Err("expected at most 1024 namespaces".into());
        }
        if let Some(burst) = &self.burst {
            burst.value.gap.check()?;
            if !(1.0..=10_000.0).contains(&burst.value.mean) {
                return Err("expected a mean burst from 1 to 10000".into());
            }
        }
        if let Some(life) = &self.life {
            life.value.check()?;
        }
        if self.permanent && self.burst.is_some() {
            return Err("expected no burst of permanent expectations".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
