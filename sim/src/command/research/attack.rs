// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp attack`: how little it takes until announced connections are lost.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;

use super::sweep::{Asked, jobs};
use super::{recall_of, unsettled};
use crate::command::number::real;
use crate::command::{Failure, remark};
use crate::report::text::counted;
use crate::research::cast::Cast;
use crate::research::law::brief;
use crate::research::statistics::{Estimate, Verdict};
use crate::research::sweep::plan::Plan;
use crate::research::sweep::shard;
use crate::research::sweep::study::{Number, Set, Study};

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
    fn against(&self, until: f64) -> Verdict {
        if self.steady { self.recall.against(until) } else { Verdict::Inconclusive }
    }
}

impl Attack {
    /// Searches.
    ///
    /// # Errors
    /// [`Failure`]: a wrong question, or an answer no interval can settle.
    pub fn run(&self) -> Result<(), Failure> {
        let (mut study, beside) = self.asked.study("prototype")?;
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
        let document = study.document(beside.as_deref()).map_err(|why| self.asked.wrong(why))?;
        let scenario = document.read();
        document.clone().set(&self.knob, "1", "tried").map_err(Failure::Usage)?;
        if study.expect_max.is_empty() {
            study.expect_max.push(scenario.run.value.expect_max);
        }
        let cast = Cast::of(&scenario).map_err(Failure::Usage)?;
        let attacker = self.knob.split('.').nth(1).unwrap_or_default();
        let attacker = cast.kinds.iter().find(|kind| kind.name == attacker);
        // So many a second hold a table of one full.
        let seconds = attacker.map_or(300.0, |kind| f64::from(kind.timeout_secs));
        remark(format_args!("seed {}, {} replications", study.seed, study.replications));
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "policy,expect_max,holds_full_per_second,won_below,won_from,tried,recall,half,steady"
        )?;
        let (mut open, mut unsteady) = (0u64, Vec::new());
        for policy in &study.policies {
            for &expect_max in &study.expect_max {
                let one = |rate: f64| {
                    self.recall_at((&study, beside.as_deref()), policy, expect_max, rate)
                };
                let tried = self.search(f64::from(expect_max) / seconds, one)?;
                let (below, from) = bracket(&tried, self.until_recall);
                let text = |rate: Option<f64>| rate.map_or_else(String::new, |r| format!("{r:.4}"));
                for Tried { rate, recall, steady } in &tried {
                    writeln!(
                        out,
                        "{policy},{expect_max},{:.4},{},{},{rate:.4},{:.4},{:.4},{steady}",
                        f64::from(expect_max) / seconds,
                        text(below),
                        text(from),
                        recall.mean,
                        recall.half
                    )?;
                    if !steady {
                        unsteady.push(format!("{policy} at {expect_max} under {rate:.4} a second"));
                    }
                }
                let (closed, said) = said(below, from, self.most);
                open += u64::from(!closed);
                remark(format_args!(
                    "{policy} at {expect_max}: recall {} {said}",
                    self.until_recall
                ));
            }
        }
        match unsteady.as_slice() {
            [] if open == 0 => Ok(()),
            [] => Err(Failure::Inconclusive(format!(
                "{} left open: more replications, a longer run or another --most may close them",
                counted(open, "answer")
            ))),
            which => Err(unsettled(which)),
        }
    }

    fn recall_at(
        &self,
        (study, beside): (&Study, Option<&Path>),
        policy: &str,
        expect_max: u32,
        rate: f64,
    ) -> Result<Tried, Failure> {
        let mut study = study.clone();
        study.policies = vec![policy.to_owned()];
        study.expect_max = vec![expect_max];
        study.set.push(Set { path: self.knob.clone(), value: Number::Real(rate) });
        let plan = Plan::of(study, beside).map_err(|why| self.asked.wrong(why))?;
        let rows = shard::run_in_memory(&plan, self.jobs, &|_, _| {});
        let rows = rows.map_err(|why| self.asked.stopped(why))?;
        let steady = rows.iter().all(|row| row.cell.steady);
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
    let surely = |verdict: Verdict| {
        tried.iter().filter(move |one| one.against(until) == verdict).map(|one| one.rate)
    };
    let from = surely(Verdict::Below).reduce(f64::min);
    let below = surely(Verdict::Above).filter(|rate| from.is_none_or(|from| *rate < from));
    (below.reduce(f64::max), from)
}

/// Whether a bracket answers the question, and in words.
fn said(below: Option<f64>, from: Option<f64>, most: f64) -> (bool, String) {
    match (below, from) {
        (Some(below), None) if below >= most => (true, format!("withstands {most} a second")),
        (Some(below), None) => {
            (false, format!("withstands {below:.3} a second; up to {most} nothing is certain"))
        }
        (None, None) => (false, format!("may be lost at any rate up to {most} a second")),
        (None, Some(from)) => (false, format!("is lost at {from:.3} a second or less")),
        (Some(below), Some(from)) => {
            (true, format!("is lost between {below:.3} and {from:.3} a second"))
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
        assert!(answer(&[low, tried(3.0, 0.23, 0.03)]).0);
        let (closed, told) = answer(&[low]);
        assert!(!closed && told.starts_with("withstands 1.700 a second; up to 3"), "{told}");
        assert_eq!(
            answer(&[low, tried(3.0, 0.4, 0.03)]),
            (true, "withstands 3 a second".to_owned())
        );
        assert!(!answer(&[low, tried(3.0, 0.4, f64::INFINITY)]).0);
        assert!(!answer(&[low, Tried { steady: false, ..tried(3.0, 0.4, 0.03) }]).0);
    }
}
