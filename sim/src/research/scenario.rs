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

use std::collections::BTreeMap;
use std::sync::Arc;

use nfexp_model::helper::{Class, ExpectPolicy, IN_TREE};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::cast::Cast;
use super::law::{Arrivals, Law, Span, brief};
use super::recorded::{Recorded, Sort};

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
    #[serde(rename = "class", default)]
    pub classes: Vec<ClassSpec>,
    /// What was recorded.
    #[serde(rename = "recording", default)]
    pub recordings: Vec<RecordingSpec>,
}

/// A recording that is played.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingSpec {
    /// What it is called; names its kinds.
    pub name: String,
    /// A capture, or a log of `conntrack -E expect -o timestamp`; beside the scenario.
    pub file: String,
    /// Where that comes from.
    pub source: String,
    /// How its router was set up, as for `nfexp replay --options`.
    #[serde(default)]
    pub options: String,
    /// Whether an attacker made it.
    #[serde(default)]
    pub hostile: bool,
    /// Whether it is played as it happened, the same in every replication. If not, every
    /// replication draws as many masters as there were, with replacement.
    #[serde(default)]
    pub as_it_happened: bool,
    /// When sessions begin, each one of the recorded ones; as recorded if not given.
    #[serde(default)]
    pub arrivals: Option<Sourced<Arrivals>>,
    /// Other limits than the recorded ones, by kind.
    #[serde(default)]
    pub limits: BTreeMap<String, Sourced<Limits>>,
    /// What was read of it.
    #[serde(skip)]
    pub recorded: Arc<Recorded>,
}

impl RecordingSpec {
    /// The name of the kind that a sort of it makes.
    #[must_use]
    pub fn name_of(&self, sort: &Sort) -> String {
        let mut name = format!("{}/{}", self.name, sort.helper);
        let helper = IN_TREE.iter().find(|helper| helper.name == sort.helper);
        let class = Class::new(sort.class);
        let policy = helper.zip(class).and_then(|(helper, class)| helper.policy(class));
        match policy.map_or("", |policy| policy.name) {
            "" if sort.class == 0 => {}
            "" => name += &format!("/{}", sort.class),
            class => name += &format!("/{class}"),
        }
        let same = |other: &&Sort| (&other.helper, other.class) == (&sort.helper, sort.class);
        if self.recorded.sorts.iter().filter(same).count() > 1 {
            name += if sort.wide { "/wide" } else { "/narrow" };
            name += if sort.permanent { "/permanent" } else { "/once" };
        }
        name
    }

    /// Whether chance has no part in it.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.arrivals.is_none() && (self.as_it_happened || self.recorded.sessions.len() < 2)
    }
}

/// How long a scenario lasts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Sourced<T> {
    /// The numbers.
    pub value: T,
    /// Where they come from.
    pub source: String,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Sourced<T> {
    /// What `serde(flatten)` would do, but a key that means nothing is refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Table::deserialize(deserializer)?;
        let source = table.remove("source").ok_or_else(|| D::Error::missing_field("source"))?;
        let source = source.try_into().map_err(|_| D::Error::custom("source: expected text"))?;
        let mut numbers = Value::Table(table);
        without_sources(&mut numbers);
        let value = numbers.try_into();
        let value = value.map_err(|error: toml::de::Error| D::Error::custom(by_its_key(&error)))?;
        Ok(Self { value, source })
    }
}

/// What is wrong within a table, behind the key it stands at.
fn by_its_key(error: &toml::de::Error) -> String {
    let told = error.to_string();
    match told.trim_end().trim_end_matches('`').rsplit_once("\nin `") {
        Some((what, key)) => format!("{key}: {what}"),
        None => error.message().to_owned(),
    }
}

/// Laws within laws have sources, too; the document has asked for them.
fn without_sources(value: &mut Value) {
    match value {
        Value::Table(table) => {
            table.remove("source");
            table.iter_mut().for_each(|(_, inner)| without_sources(inner));
        }
        Value::Array(items) => items.iter_mut().for_each(without_sources),
        _ => {}
    }
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
    /// From when to when sessions begin; all the time if not given.
    #[serde(default)]
    pub during: Option<Sourced<During>>,
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
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// From 0 to 1.
    pub share: f64,
}

/// How many of something.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// At least one.
    pub count: u32,
}

/// Several announcements of one session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// How many, in the mean; geometric. Exactly so many if `exact`.
    pub mean: f64,
    /// Whether it is always the mean.
    #[serde(default)]
    pub exact: bool,
    /// Whether each is announced by a master of its own, at the same address: a TFTP request is
    /// the master of its file, so a burst of them is no burst of one master.
    #[serde(default)]
    pub own_masters: bool,
    /// From one to the next.
    pub gap: Law,
}

/// A part of the run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct During {
    /// Its begin.
    pub from: Span,
    /// Its end.
    pub to: Span,
}

/// Limits and lifetime of a class.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How many a master may have; the helper's if not given.
    #[serde(default)]
    pub max_expected: Option<u32>,
    /// How long they live; as the helper says if not given.
    #[serde(default)]
    pub timeout: Option<Span>,
}

impl Limits {
    /// A policy with these limits in place of its own.
    #[must_use]
    pub fn over(&self, policy: ExpectPolicy) -> ExpectPolicy {
        ExpectPolicy {
            max_expected: self.max_expected.unwrap_or(policy.max_expected),
            timeout_secs: self
                .timeout
                .map_or(policy.timeout_secs, |timeout| (timeout.0 as u32).max(1)),
            ..policy
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.timeout {
            Some(timeout) if timeout > Span::LONGEST => {
                Err(format!("expected a timeout of at most 10^9 s, not {} s", brief(timeout.0)))
            }
            _ => Ok(()),
        }
    }
}

/// What is lost on the way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct Worth {
    /// Against 1 for others.
    pub is: u32,
}

/// Each kind has addresses of its own.
const MOST_CLASSES: usize = 1000;
/// Masters that are there all the time, of all classes: each takes memory, in every thread.
const MOST_MASTERS: u32 = 1 << 20;

impl Scenario {
    /// Whether chance has no part in it: every replication would be the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.classes.is_empty() && self.recordings.iter().all(RecordingSpec::is_fixed)
    }

    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.classes.is_empty() && self.recordings.is_empty() {
            return Err("expected at least one `[[class]]` or `[[recording]]`".into());
        }
        let lasts = self.run.value.lasts.0;
        if !(1e-3..=1e9).contains(&lasts) {
            let lasts = brief(lasts);
            return Err(format!("run.lasts: expected from 1ms to 10^9 s, not {lasts} s"));
        }
        if !(1..=1 << 22).contains(&self.run.value.expect_max) {
            return Err("run.expect_max: expected from 1 to 4194304".into());
        }
        if self.classes.len() + self.recordings.len() > MOST_CLASSES {
            return Err(format!("expected at most {MOST_CLASSES} classes and recordings"));
        }
        for (at, class) in self.classes.iter().enumerate() {
            let fail = |why: String| format!("class.{}: {why}", class.name);
            if self.classes[..at].iter().any(|other| other.name == class.name) {
                return Err(fail("expected a name of its own".into()));
            }
            is_part_of_a_path(&class.name).map_err(fail)?;
            class.check().map_err(fail)?;
        }
        let masters = self.classes.iter().filter_map(|class| class.masters.as_ref());
        let masters: u64 = masters.map(|count| u64::from(count.value.count)).sum();
        if masters > u64::from(MOST_MASTERS) {
            return Err(format!(
                "expected at most {MOST_MASTERS} masters in all classes, found {masters}"
            ));
        }
        for (at, recording) in self.recordings.iter().enumerate() {
            let fail = |why: String| format!("recording.{}: {why}", recording.name);
            let others = self.recordings[..at].iter().map(|other| &other.name);
            if others
                .chain(self.classes.iter().map(|class| &class.name))
                .any(|n| *n == recording.name)
            {
                return Err(fail("expected a name of its own".into()));
            }
            is_part_of_a_path(&recording.name).map_err(fail)?;
            if recording.source.trim().is_empty() {
                return Err(fail("expected `source = …`".into()));
            }
            if let Some(arrivals) = &recording.arrivals {
                arrivals.value.check().map_err(|why| fail(format!("arrivals: {why}")))?;
            }
            recording.limits.values().try_for_each(|limits| limits.value.check()).map_err(fail)?;
        }
        // What it names must be there: a helper, and a class of it.
        Cast::of(self).map(drop)
    }
}

/// Numbers are named by paths (`class.ftp.answered.share`), a recording's kinds by `office/sip`.
fn is_part_of_a_path(name: &str) -> Result<(), String> {
    match name.contains(['.', '/', '=']) || name.trim().is_empty() {
        true => Err("expected a name without `.`, `/` and `=`".into()),
        false => Ok(()),
    }
}

impl ClassSpec {
    fn check(&self) -> Result<(), String> {
        let of = |what: &'static str| move |why: String| format!("{what}: {why}");
        self.arrivals.value.check().map_err(of("arrivals"))?;
        if self.during.as_ref().is_some_and(|during| during.value.to <= during.value.from) {
            return Err("during: expected `from` before `to`".into());
        }
        self.delay.value.check().map_err(of("delay"))?;
        let mut shares = vec![self.answered.value.share];
        if let Some(loss) = &self.loss {
            shares.extend([loss.value.announcement, loss.value.connection]);
        }
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(format!("expected a share from 0 to 1, not {}", brief(*share)));
        }
        let counts = [&self.masters, &self.sources, &self.namespaces, &self.zones];
        for count in counts.into_iter().flatten() {
            if !(1..=MOST_MASTERS).contains(&count.value.count) {
                return Err(format!("expected a count from 1 to {MOST_MASTERS}"));
            }
        }
        if self.namespaces.as_ref().is_some_and(|nets| nets.value.count > 1024) {
            return Err("expected at most 1024 namespaces".into());
        }
        if let Some(burst) = &self.burst {
            burst.value.gap.check().map_err(of("burst.gap"))?;
            if !(1.0..=10_000.0).contains(&burst.value.mean) {
                return Err("expected a mean burst from 1 to 10000".into());
            }
            if burst.value.exact && burst.value.mean.fract() != 0.0 {
                let mean = brief(burst.value.mean);
                return Err(format!("burst.exact: expected a whole number, not {mean}"));
            }
            if burst.value.own_masters && self.masters.is_some() {
                return Err(
                    "burst.own_masters: expected no `masters` that they are drawn from".into()
                );
            }
        }
        if let Some(life) = &self.life {
            life.value.check().map_err(of("life"))?;
        }
        let policy = self.policy.as_ref().map_or(Ok(()), |policy| policy.value.check());
        policy.map_err(of("policy"))?;
        if self.permanent && self.burst.is_some() {
            return Err("expected no burst of permanent expectations".into());
        }
        Ok(())
    }
}
