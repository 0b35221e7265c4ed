// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp attack`: how little it takes until announced connections are lost.

use std::path::Path;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::sweep::{Asked, jobs};
use super::{recall_of, unsettled};
use crate::command::format::Format;
use crate::command::number::real;
use crate::command::{Failure, counting, remark};
use crate::report::text::{counted, ruled};
use crate::research::cast::Cast;
use crate::research::law::brief;
use crate::research::policy;
use crate::research::statistics::{Estimate, Verdict};
use crate::research::steady;
use crate::research::sweep::plan::Plan;
use crate::research::sweep::shard;
use crate::research::sweep::study::{Number, SIZE, Set, Study};

/// The arguments of `nfexp attack`.
#[derive(Debug, Args)]
pub struct Attack {
    #[command(flatten)]
    asked: Asked,
    /// The recall below which the attack has won.
    #[arg(long, default_value_t = 0.5, value_parser = real, allow_hyphen_values = true)]
    until_recall: f64,
    /// The number of the scenario that is the attack's rate.
    #[arg(long, default_value = "class.attack.arrivals.per_second")]
    knob: String,
    /// The highest rate that is tried.
    #[arg(long, default_value_t = 64.0, value_parser = real, allow_hyphen_values = true)]
    most: f64,
    /// How many threads; 0 is one a core.
    #[arg(long, default_value_t = 0, value_parser = jobs)]
    jobs: usize,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A rate that was tried.
#[derive(Clone, Copy, Debug)]
struct Tried {
    rate: f64,
    recall: Estimate,
    steady: bool,
}

impl Tried {
    /// What can be said of it: of a run that did not settle, nothing.
    fn against(&self, until: f64) -> Answer {
        match self.recall.against(until) {
            Verdict::Above if self.steady => Answer::Withstands,
            Verdict::Below if self.steady => Answer::Lost,
            _ => Answer::Inconclusive,
        }
    }
}

/// What can be said of a rate, or of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// The recall certainly stays above.
    Withstands,
    /// It is certainly below.
    Lost,
    /// Neither.
    Inconclusive,
}

/// What was found of a policy at a size.
#[derive(Debug)]
struct Found<'a> {
    policy: &'a str,
    expect_max: u32,
    /// So many a second hold a table of one full.
    holds_full: f64,
    below: Option<f64>,
    from: Option<f64>,
    answer: Answer,
    tried: Vec<Tried>,
}

/// A rate that was tried, for programs: what was found of its policy and size is in every one.
#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    scenario: &'a str,
    revision: &'a str,
    policy: &'a str,
    expect_max: u32,
    until_recall: f64,
    holds_full_per_second: f64,
    withstood_per_second: Option<f64>,
    lost_from_per_second: Option<f64>,
    answer: Answer,
    tried_per_second: f64,
    recall: f64,
    recall_half: Option<f64>,
    steady: bool,
    verdict: Answer,
}

/// The columns, as the fields stand above.
const COLUMNS: [&str; 15] = [
    "schema",
    "scenario",
    "revision",
    "policy",
    "expect_max",
    "until_recall",
    "holds_full_per_second",
    "withstood_per_second",
    "lost_from_per_second",
    "answer",
    "tried_per_second",
    "recall",
    "recall_half",
    "steady",
    "verdict",
];

impl Attack {
    /// Searches.
    ///
    /// # Errors
    /// [`Failure`]: a wrong question, or an answer no interval can settle.
    pub fn run(&self) -> Result<(), Failure> {
        let (mut study, beside) = self.asked.study("prototype")?;
        let seconds = self.prepare(&mut study, beside.as_deref())?;
        remark(format_args!("seed {}, {} replications", study.seed, study.replications));
        let mut found = Vec::new();
        let bar = counting("runs");
        let ended = self.find((&study, beside.as_deref()), seconds, &bar, &mut found);
        bar.finish_and_clear();
        // What stops one search does not hide those that ended.
        if ended.is_ok() || !found.is_empty() {
            let rows = found.iter().flat_map(|found| self.rows(&study, found));
            self.format.print(&COLUMNS, rows, || self.table(&found))?;
        }
        ended?;
        let mut unsteady = Vec::new();
        for Found { policy, expect_max, tried, .. } in &found {
            for Tried { rate, .. } in tried.iter().filter(|tried| !tried.steady) {
                unsteady.push(format!("{policy} at {expect_max} under {rate:.4} a second"));
            }
        }
        if !unsteady.is_empty() {
            return Err(unsettled(&unsteady));
        }
        match found.iter().filter(|found| found.answer == Answer::Inconclusive).count() {
            0 => Ok(()),
            open => Err(Failure::Inconclusive(format!(
                "{} left open: more replications, a longer run or another --most may close them",
                counted(open as u64, "answer")
            ))),
        }
    }

    /// Completes the question, or refuses it; answers how many seconds an attacker's announcement
    /// lasts.
    fn prepare(&self, study: &mut Study, beside: Option<&Path>) -> Result<f64, Failure> {
        self.asked.takes(&["--policy", "--expect-max"], "a rate is looked for by recall alone")?;
        if !(0.0..1.0).contains(&self.until_recall) {
            let expected = "--until-recall: expected a recall from 0 to below 1, not";
            return Err(Failure::Usage(format!("{expected} {}", brief(self.until_recall))));
        }
        if !(1e-6..=1e6).contains(&self.most) {
            let expected = "--most: expected a rate from 0.000001 to 1000000 a second, not";
            return Err(Failure::Usage(format!("{expected} {}", brief(self.most))));
        }
        if !study.vary.is_empty() || study.revisions.len() > 1 {
            let why = "expected a study that varies nothing and has one revision: what is varied \
                       is the attack's rate";
            return Err(self.asked.wrong(why.into()));
        }
        if study.scenario == "prototype" && !study.set.iter().any(|set| set.path == "run.lasts") {
            let value = Number::Text("4000s".into());
            study.set.push(Set { path: "run.lasts".into(), value });
        }
        let document = study.document(beside).map_err(|why| self.asked.wrong(why))?;
        let scenario = document.read();
        document.clone().set(&self.knob, "1", "tried").map_err(Failure::Usage)?;
        if study.set.iter().any(|set| set.path == self.knob) {
            let why = format!("--set {} would change nothing: it is what is tried", self.knob);
            return Err(self.asked.wrong(why));
        }
        study.check().map_err(|why| self.asked.wrong(why))?;
        if study.expect_max.is_empty() {
            study.expect_max.push(scenario.run.value.expect_max);
            study.set.retain(|set| set.path != SIZE);
        }
        let cast = Cast::of(&scenario).map_err(Failure::Usage)?;
        let attacker = self.knob.split('.').nth(1).unwrap_or_default();
        let attacker = cast.kinds.iter().find(|kind| kind.name == attacker);
        Ok(attacker.map_or(300.0, |kind| f64::from(kind.timeout_secs)))
    }

    /// Searches for every policy and size.
    fn find<'a>(
        &self,
        (study, beside): (&'a Study, Option<&Path>),
        seconds: f64,
        bar: &ProgressBar,
        found: &mut Vec<Found<'a>>,
    ) -> Result<(), Failure> {
        for policy in &study.policies {
            for &expect_max in &study.expect_max {
                let at = (policy.as_str(), expect_max);
                let one = |rate: f64| self.recall_at((study, beside), at, rate, bar);
                let spec = policy::parse::policy(policy).map_err(|why| self.asked.wrong(why))?;
                let holds_full = f64::from(expect_max) / spec.timeout.longest(seconds);
                let tried = self.search(holds_full, one)?;
                let (below, from) = bracket(&tried, self.until_recall);
                let (answer, said) = said(below, from, self.most);
                let recall = self.until_recall;
                bar.suspend(|| {
                    remark(format_args!("{policy} at {expect_max}: recall {recall} {said}"));
                });
                found.push(Found { policy, expect_max, holds_full, below, from, answer, tried });
            }
        }
        Ok(())
    }

    fn rows<'a>(&self, study: &'a Study, found: &'a Found<'_>) -> impl Iterator<Item = Row<'a>> {
        found.tried.iter().map(|tried| Row {
            schema: "nfexp.attack.1",
            scenario: &study.scenario,
            revision: study.revisions.first().map_or("", String::as_str),
            policy: found.policy,
            expect_max: found.expect_max,
            until_recall: self.until_recall,
            holds_full_per_second: found.holds_full,
            withstood_per_second: found.below,
            lost_from_per_second: found.from,
            answer: found.answer,
            tried_per_second: tried.rate,
            recall: tried.recall.mean,
            recall_half: tried.recall.known_half(),
            steady: tried.steady,
            verdict: tried.against(self.until_recall),
        })
    }

    /// The rates that were tried, for people.
    fn table(&self, found: &[Found<'_>]) -> String {
        let heads =
            ["policy", "expect_max", "full from", "withstands", "lost from", "tried", "recall", ""];
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |r| format!("{r:.4}"));
        let row = |found: &Found<'_>, tried: &Tried| {
            let said = match (tried.steady, tried.against(self.until_recall)) {
                (false, _) => steady::said(false),
                (true, Answer::Withstands) => "withstands",
                (true, Answer::Lost) => "lost",
                (true, Answer::Inconclusive) => "inconclusive",
            };
            [
                found.policy.to_owned(),
                found.expect_max.to_string(),
                rate(Some(found.holds_full)),
                rate(found.below),
                rate(found.from),
                rate(Some(tried.rate)),
                tried.recall.to_string(),
                said.to_owned(),
            ]
        };
        let rows = found.iter().flat_map(|one| one.tried.iter().map(move |tried| row(one, tried)));
        ruled(&heads, &[1, 2, 3, 4, 5], rows)
            + "full from, withstands, lost from, tried: announcements a second\n"
    }

    fn recall_at(
        &self,
        (study, beside): (&Study, Option<&Path>),
        (policy, expect_max): (&str, u32),
        rate: f64,
        bar: &ProgressBar,
    ) -> Result<Tried, Failure> {
        let mut study = study.clone();
        study.policies = vec![policy.to_owned()];
        study.expect_max = vec![expect_max];
        study.set.push(Set { path: self.knob.clone(), value: Number::Real(rate) });
        let plan = Plan::of(study, beside).map_err(|why| self.asked.wrong(why))?;
        let rows = shard::run_in_memory(&plan, self.jobs, &|_, _| bar.inc(1));
        let rows = rows.map_err(|why| self.asked.stopped(why))?;
        let steady = steady::speak(rows.iter().map(|row| row.cell.steady));
        Ok(Tried { rate, recall: recall_of(rows.iter().map(|row| &row.cell)), steady })
    }

    /// Doubles until the attack wins, halves until it does not, then closes in. The highest rate
    /// is tried unless a lower one certainly wins: nobody withstands what was not tried.
    fn search(
        &self,
        holds_full: f64,
        one: impl Fn(f64) -> Result<Tried, Failure>,
    ) -> Result<Vec<Tried>, Failure> {
        let wins = |tried: &Tried| tried.recall.mean < self.until_recall;
        let mut tried = vec![one(holds_full.min(self.most))?];
        while !wins(&tried[tried.len() - 1]) && tried[tried.len() - 1].rate < self.most {
            tried.push(one((tried[tried.len() - 1].rate * 2.0).min(self.most))?);
        }
        let mut low = tried[0];
        for _ in 0..8 {
            if !wins(&low) {
                break;
            }
            low = one(low.rate / 2.0)?;
            tried.push(low);
        }
        for _ in 0..5 {
            let won = tried.iter().filter(|tried| wins(tried)).map(|tried| tried.rate);
            let lost = tried.iter().filter(|tried| !wins(tried)).map(|tried| tried.rate);
            let (high, low) = (won.fold(f64::INFINITY, f64::min), lost.fold(0.0, f64::max));
            if high.is_infinite() || low == 0.0 {
                break;
            }
            tried.push(one(libm::sqrt(low * high))?);
        }
        let is_most = |tried: &Tried| tried.rate >= self.most;
        if bracket(&tried, self.until_recall).1.is_none() && !tried.iter().any(is_most) {
            tried.push(one(self.most)?);
        }
        tried.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        Ok(tried)
    }
}

/// The highest rate that certainly does not win, and the lowest that certainly does.
fn bracket(tried: &[Tried], until: f64) -> (Option<f64>, Option<f64>) {
    let surely = |answer: Answer| {
        tried.iter().filter(move |one| one.against(until) == answer).map(|one| one.rate)
    };
    let from = surely(Answer::Lost).reduce(f64::min);
    let below = surely(Answer::Withstands).filter(|rate| from.is_none_or(|from| *rate < from));
    (below.reduce(f64::max), from)
}

/// What a bracket answers, and in words.
fn said(below: Option<f64>, from: Option<f64>, most: f64) -> (Answer, String) {
    match (below, from) {
        (Some(below), None) if below >= most => {
            (Answer::Withstands, format!("withstands {most} a second"))
        }
        (Some(below), None) => (
            Answer::Inconclusive,
            format!("withstands {below:.3} a second; up to {most} nothing is certain"),
        ),
        (None, None) => {
            (Answer::Inconclusive, format!("may be lost at any rate up to {most} a second"))
        }
        (None, Some(from)) => {
            (Answer::Inconclusive, format!("is lost at {from:.3} a second or less"))
        }
        (Some(below), Some(from)) => {
            (Answer::Lost, format!("is lost between {below:.3} and {from:.3} a second"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(rate: f64, mean: f64, half: f64) -> Tried {
        Tried { rate, recall: Estimate { mean, half, of: 3 }, steady: true }
    }

    /// The mean at 1.7 lies above; that the interval does, too, is what counts, and at the most.
    #[test]
    fn what_was_not_seen_to_withstand_does_not() {
        let answer = |tried: &[Tried]| {
            let (below, from) = bracket(tried, 0.3);
            said(below, from, 3.0)
        };
        let low = tried(1.7, 0.4, 0.03);
        assert_eq!(answer(&[low, tried(3.0, 0.23, 0.03)]).0, Answer::Lost);
        let (open, told) = answer(&[low]);
        assert!(
            open == Answer::Inconclusive && told.starts_with("withstands 1.700 a second; up to 3"),
            "{told}"
        );
        assert_eq!(
            answer(&[low, tried(3.0, 0.4, 0.03)]),
            (Answer::Withstands, "withstands 3 a second".to_owned())
        );
        let unsettled = Tried { steady: false, ..tried(3.0, 0.4, 0.03) };
        for unsure in [tried(3.0, 0.4, f64::INFINITY), unsettled] {
            assert_eq!(answer(&[low, unsure]).0, Answer::Inconclusive);
        }
    }
}
