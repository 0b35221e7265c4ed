// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp attack`: how little it takes until announced connections are lost.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;

use super::sweep::{Asked, jobs};
use crate::command::number::real;
use crate::command::{Failure, remark};
use crate::research::cast::Cast;
use crate::research::law::brief;
use crate::research::statistics::{Estimate, Verdict};
use crate::research::sweep::plan::Plan;
use crate::research::sweep::study::{Number, Set, Study};
use crate::research::sweep::{shard, summary};

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
            "policy,expect_max,holds_full_per_second,won_below,won_from,tried,recall,half"
        )?;
        let mut open = 0;
        for policy in &study.policies {
            for &expect_max in &study.expect_max {
                let one = |rate: f64| {
                    self.recall_at((&study, beside.as_deref()), policy, expect_max, rate)
                };
                let tried = self.search(f64::from(expect_max) / seconds, one)?;
                let (below, from) = bracket(&tried, self.until_recall);
                open += u32::from(from.is_some() && below.is_none());
                let text = |rate: Option<f64>| rate.map_or_else(String::new, |r| format!("{r:.4}"));
                for Tried { rate, recall } in &tried {
                    writeln!(
                        out,
                        "{policy},{expect_max},{:.4},{},{},{rate:.4},{:.4},{:.4}",
                        f64::from(expect_max) / seconds,
                        text(below),
                        text(from),
                        recall.mean,
                        recall.half
                    )?;
                }
                let said = match (below, from) {
                    (_, None) => format!("withstands {} a second", self.most),
                    (None, Some(from)) => format!("is lost at {from:.3} a second or less"),
                    (Some(below), Some(from)) => {
                        format!("is lost between {below:.3} and {from:.3} a second")
                    }
                };
                remark(format_args!(
                    "{policy} at {expect_max}: recall {} {said}",
                    self.until_recall
                ));
            }
        }
        match open {
            0 => Ok(()),
            _ => Err(Failure::Inconclusive(format!("{open} answers have no lower end"))),
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
        Ok(Tried { rate, recall: summary::lines(&plan, &rows)[0].recall })
    }

    /// Doubles until the attack wins, halves until it does not, then closes in.
    fn search(
        &self,
        holds_full: f64,
        one: impl Fn(f64) -> Result<Tried, Failure>,
    ) -> Result<Vec<Tried>, Failure> {
        let wins = |tried: &Tried| tried.recall.mean < self.until_recall;
        let mut tried = vec![one(holds_full.min(self.most))?];
        while !wins(&tried[tried.len() - 1]) {
            let rate = tried[tried.len() - 1].rate * 2.0;
            if rate > self.most {
                break;
            }
            tried.push(one(rate)?);
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
        tried.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        Ok(tried)
    }
}

/// The highest rate that certainly does not win, and the lowest that certainly does.
fn bracket(tried: &[Tried], until: f64) -> (Option<f64>, Option<f64>) {
    let surely = |verdict: Verdict| {
        tried.iter().filter(move |one| one.recall.against(until) == verdict).map(|one| one.rate)
    };
    let from = surely(Verdict::Below).reduce(f64::min);
    let below = surely(Verdict::Above).filter(|rate| from.is_none_or(|from| *rate < from));
    (below.reduce(f64::max), from)
}
