// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp sensitivity`: which knob matters.

use std::path::Path;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;

use super::sweep::{Asked, jobs};
use super::unsettled;
use crate::command::format::Format;
use crate::command::number::within;
use crate::command::{Failure, counting, remark};
use crate::report::text::ruled;
use crate::research::estimate::happenings;
use crate::research::law::brief;
use crate::research::policy::parse::lasting;
use crate::research::random::Stream;
use crate::research::statistics::{Estimate, morris, sobol};
use crate::research::steady::{said, speak};
use crate::research::sweep::plan::Plan;
use crate::research::sweep::shard;
use crate::research::sweep::study::{MOST_CELLS, Number, SIZE, Set, Study, many};

/// The arguments of `nfexp sensitivity`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --vary, several sizes or revisions, recall is the mean over all of them."
)]
pub struct Sensitivity {
    #[command(flatten)]
    asked: Asked,
    /// Screening, or indices of variance.
    #[arg(long, value_enum, default_value_t = Method::Morris)]
    method: Method,
    /// A knob and its range: `class.sip.answered.share=0.3..0.9`, `expect_max=64..1024`,
    /// `timeout=0.1..1` (a factor, of the policy's own timeout) [default: five of the scenario
    /// prototype, in runs of 6000 s].
    #[arg(long)]
    knob: Vec<String>,
    /// Paths (Morris) or rows (Sobol), at least 2: one has no interval.
    #[arg(long, default_value_t = 8, value_parser = |text: &str| within(text, 2, MOST_ROWS))]
    rows: u32,
    /// How many threads; 0 is one a core.
    #[arg(long, default_value_t = 0, value_parser = jobs)]
    jobs: usize,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A row is a plan for every knob and one or two more, each with its cells.
const MOST_ROWS: u32 = 100_000;

/// From how many rows on a bootstrap's intervals hold what they say, nearly.
const ENOUGH: u32 = 64;

/// How sensitivity is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Elementary effects.
    Morris,
    /// First-order and total indices.
    Sobol,
}

#[derive(Clone, Debug)]
struct Knob {
    path: String,
    from: f64,
    to: f64,
    unit: String,
}

/// A knob that was screened, for programs; runs that never settle tell of no knob.
#[derive(Serialize)]
struct Screened<'a> {
    schema: &'static str,
    knob: &'a str,
    from: f64,
    to: f64,
    unit: &'a str,
    effect: f64,
    effect_half: Option<f64>,
    spread: f64,
    steady: bool,
}

/// The columns, as the fields stand above.
const SCREENED: [&str; 9] =
    ["schema", "knob", "from", "to", "unit", "effect", "effect_half", "spread", "steady"];

/// A knob's share of the variance, for programs.
#[derive(Serialize)]
struct Indexed<'a> {
    schema: &'static str,
    knob: &'a str,
    from: f64,
    to: f64,
    unit: &'a str,
    first: f64,
    first_half: Option<f64>,
    total: f64,
    total_half: Option<f64>,
    steady: bool,
}

/// The columns, as the fields stand above.
const INDEXED: [&str; 10] = [
    "schema",
    "knob",
    "from",
    "to",
    "unit",
    "first",
    "first_half",
    "total",
    "total_half",
    "steady",
];

impl Knob {
    fn parse(text: &str) -> Result<Self, Failure> {
        let expected = || {
            Failure::Usage(format!("expected PATH=LOW..HIGH, as in expect_max=64..1024: {text}"))
        };
        let (path, range) = text.split_once('=').ok_or_else(expected)?;
        let (from, to) = range.split_once("..").ok_or_else(expected)?;
        let unit = &to[to.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len()..];
        let number = |text: &str| text.strip_suffix(unit).unwrap_or(text).parse::<f64>().ok();
        let (from, to) = (number(from), number(to));
        let (Some(from), Some(to)) = (from, to) else { return Err(expected()) };
        if !from.is_finite() || !to.is_finite() || from >= to {
            return Err(Failure::Usage(format!(
                "{path}: expected a lower number below a higher one, not {range}"
            )));
        }
        let bounds = match path {
            "expect_max" => 1.0..=4_194_304.0,
            "timeout" => 1e-6..=1e6,
            _ => f64::MIN..=f64::MAX,
        };
        if let Some(beyond) = [from, to].iter().find(|number| !bounds.contains(number)) {
            let (least, most, beyond) = (bounds.start(), bounds.end(), brief(*beyond));
            return Err(Failure::Usage(format!(
                "{path}: expected from {least} to {most}, not {beyond}"
            )));
        }
        Ok(Self { path: path.to_owned(), from, to, unit: unit.to_owned() })
    }

    /// How far it is turned in all.
    fn range(&self) -> String {
        format!("{}..{}", self.text(self.from), self.text(self.to))
    }

    /// How far it is turned, `input` from 0 to 1.
    fn at(&self, input: f64) -> f64 {
        self.from + (self.to - self.from) * input
    }

    /// The same as text that says it exactly. No time has an exponent.
    fn text_at(&self, input: f64) -> String {
        self.text(self.at(input))
    }

    fn text(&self, value: f64) -> String {
        let number = match self.unit.is_empty() || value.abs() >= 1e15 {
            true => brief(value),
            false => value.to_string(),
        };
        number + &self.unit
    }
}

impl Sensitivity {
    /// Screens.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self) -> Result<(), Failure> {
        let taken = ["--policy", "--expect-max", "--vary", "a second --revision"];
        self.asked.takes(&taken, "recall is what is looked at")?;
        let (mut study, beside) = self.asked.study("prototype")?;
        if self.asked.policy.is_some() && study.policies.len() > 1 {
            let said = "--policy: expected one, whose knobs are turned, not";
            return Err(Failure::Usage(format!("{said} {}", study.policies.len())));
        }
        let usual = [
            "expect_max=64..1024",
            "timeout=0.1..1",
            "class.attack.arrivals.per_second=0..4",
            "class.sip.answered.share=0.3..0.9",
            "class.sip.delay.median=2s..20s",
        ];
        let asked = match self.knob.is_empty() {
            true => usual.map(str::to_owned).to_vec(),
            false => self.knob.clone(),
        };
        let knobs: Vec<Knob> =
            asked.iter().map(|text| Knob::parse(text)).collect::<Result<_, _>>()?;
        for (at, knob) in knobs.iter().enumerate() {
            if knobs[..at].iter().any(|other| other.path == knob.path) {
                return Err(Failure::Usage(format!("{}: expected once", knob.path)));
            }
        }
        for knob in &knobs {
            let sized = [SIZE, "expect_max"].contains(&knob.path.as_str());
            let would = |what: &str| {
                let why = format!("{what} would change nothing: {} is a knob", knob.path);
                self.asked.wrong(why)
            };
            if let Some(set) =
                study.set.iter().find(|set| set.path == knob.path || sized && set.path == SIZE)
            {
                return Err(would(&format!("--set {}", set.path)));
            }
            if sized && !study.expect_max.is_empty() {
                return Err(would("expect_max of the study or the command line"));
            }
        }
        if [SIZE, "expect_max"].iter().all(|size| knobs.iter().any(|knob| knob.path == *size)) {
            return Err(Failure::Usage(format!(
                "{SIZE} and expect_max are one: expected one knob"
            )));
        }
        let is_long = |set: &Set| set.path == "run.lasts";
        if self.knob.is_empty() && !study.set.iter().any(is_long) {
            let value = Number::Text("6000s".into());
            study.set.push(Set { path: "run.lasts".into(), value });
        }
        if self.knob.is_empty() && study.scenario != "prototype" {
            let why = "--knob: expected at least one: the usual ones are of the scenario prototype";
            return Err(Failure::Usage(why.into()));
        }
        self.check((&study, beside.as_deref()), &knobs)?;
        remark(format_args!("seed {}, {} rows", study.seed, self.rows));
        if self.method == Method::Sobol && self.rows < ENOUGH {
            remark(format_args!(
                "intervals of fewer than {ENOUGH} rows are too narrow: those of eight miss the true \
                 index in 8 to 21 of a hundred studies"
            ));
        }
        Self::tell_means(&study, &knobs);
        let mut stream = Stream::keyed(study.seed, 0, "sensitivity", "design");
        let (mut failed, mut unsteady) = (None, Vec::new());
        let bar = counting("runs");
        let mut response = |inputs: &[f64]| {
            let asked = (&study, beside.as_deref());
            let recall = self.recall(asked, &knobs, inputs, &bar, &mut unsteady);
            recall.map_err(|why| {
                let told = why.to_string();
                failed = Some(why);
                told
            })
        };
        let rows = self.rows;
        match self.method {
            Method::Morris => {
                let effects = morris(knobs.len(), rows, &mut stream, &mut response);
                let effects = effects.map_err(|why| failed.unwrap_or(Failure::System(why)))?;
                bar.finish_and_clear();
                self.tell_effects(&knobs, &effects, unsteady.is_empty())?;
            }
            Method::Sobol => {
                let indices = sobol(knobs.len(), rows, &mut stream, &mut response);
                let indices = indices.map_err(|why| failed.unwrap_or(Failure::System(why)))?;
                bar.finish_and_clear();
                self.tell_indices(&knobs, &indices, unsteady.is_empty())?;
            }
        }
        if unsteady.is_empty() { Ok(()) } else { Err(unsettled(&unsteady)) }
    }

    fn tell_effects(
        &self,
        knobs: &[Knob],
        effects: &[(Estimate, f64)],
        steady: bool,
    ) -> Result<(), Failure> {
        let rows = knobs.iter().zip(effects).map(|(knob, (effect, spread))| Screened {
            schema: "nfexp.sensitivity-morris.1",
            knob: &knob.path,
            from: knob.from,
            to: knob.to,
            unit: &knob.unit,
            effect: effect.mean,
            effect_half: effect.known_half(),
            spread: *spread,
            steady,
        });
        let table = || {
            let row = |(knob, (effect, spread)): (&Knob, &(Estimate, f64))| {
                let (effect, spread) = (effect.to_string(), format!("{spread:.4}"));
                [knob.path.clone(), knob.range(), effect, spread, said(steady).to_owned()]
            };
            let heads = ["knob", "turned", "effect", "spread", ""];
            ruled(&heads, &[3], knobs.iter().zip(effects).map(row))
        };
        self.format.print(&SCREENED, rows, table)
    }

    fn tell_indices(
        &self,
        knobs: &[Knob],
        indices: &[[Estimate; 2]],
        steady: bool,
    ) -> Result<(), Failure> {
        let rows = knobs.iter().zip(indices).map(|(knob, [first, total])| Indexed {
            schema: "nfexp.sensitivity-sobol.1",
            knob: &knob.path,
            from: knob.from,
            to: knob.to,
            unit: &knob.unit,
            first: first.mean,
            first_half: first.known_half(),
            total: total.mean,
            total_half: total.known_half(),
            steady,
        });
        let table = || {
            let row = |(knob, [first, total]): (&Knob, &[Estimate; 2])| {
                let (first, total) = (first.to_string(), total.to_string());
                [knob.path.clone(), knob.range(), first, total, said(steady).to_owned()]
            };
            let heads = ["knob", "turned", "first", "total", ""];
            ruled(&heads, &[], knobs.iter().zip(indices).map(row))
        };
        self.format.print(&INDEXED, rows, table)
    }

    /// What a recall is the mean of, where that is more than replications.
    fn tell_means(study: &Study, knobs: &[Knob]) {
        if study.policies.len() > 1 {
            remark(format_args!("the knobs are turned of the first policy, {}", study.policies[0]));
        }
        let one = Study { policies: vec![String::new()], replications: 1, ..study.clone() };
        let sized = knobs.iter().any(|knob| knob.path == "expect_max");
        let cells = one.cells() / if sized { one.expect_max.len().max(1) } else { 1 };
        if cells > 1 {
            remark(format_args!(
                "recall is the mean over {cells} points: all values of --vary, sizes and revisions"
            ));
        }
    }

    /// What is wrong with the question is told before anything is run: more cells than any study
    /// may have, or more happenings in the run that has most. That one is looked for knob by knob:
    /// at which end are there more?
    fn check(
        &self,
        (study, beside): (&Study, Option<&Path>),
        knobs: &[Knob],
    ) -> Result<(), Failure> {
        let a_row = knobs.len() + if self.method == Method::Morris { 1 } else { 2 };
        let each = self.asked_at((study, knobs), &vec![0.5; knobs.len()])?.cells();
        let cells = (self.rows as usize).saturating_mul(a_row).saturating_mul(each);
        if cells > MOST_CELLS {
            return Err(self.asked.wrong(format!(
                "{} rows of {a_row} times {} cells make {}: expected at most {MOST_CELLS}; ask \
                 for fewer rows, knobs or replications",
                self.rows,
                many(each),
                many(cells)
            )));
        }
        let most_at = |inputs: &[f64]| -> Result<f64, Failure> {
            let plan = Plan::of(self.asked_at((study, knobs), inputs)?, beside);
            let plan = plan.map_err(|why| self.asked.wrong(why))?;
            let of_points = plan.points.iter().map(|point| happenings(&point.document.read()));
            Ok(of_points.fold(0.0, f64::max))
        };
        let mut most = vec![0.5; knobs.len()];
        for knob in 0..knobs.len() {
            let at_the = |end: f64| {
                let mut inputs = vec![0.5; knobs.len()];
                inputs[knob] = end;
                most_at(&inputs)
            };
            most[knob] = if at_the(0.0)? > at_the(1.0)? { 0.0 } else { 1.0 };
        }
        most_at(&most).map(drop)
    }

    fn recall(
        &self,
        (study, beside): (&Study, Option<&Path>),
        knobs: &[Knob],
        inputs: &[f64],
        bar: &ProgressBar,
        unsteady: &mut Vec<String>,
    ) -> Result<f64, Failure> {
        let study = self.asked_at((study, knobs), inputs)?;
        let plan = Plan::of(study, beside).map_err(|why| self.asked.wrong(why))?;
        let rows = shard::run_in_memory(&plan, self.jobs, &|_, _| bar.inc(1));
        let rows = rows.map_err(|why| self.asked.stopped(why))?;
        if !speak(rows.iter().map(|row| row.cell.steady)) {
            let turned = knobs
                .iter()
                .zip(inputs)
                .map(|(knob, at)| format!("{}={}", knob.path, knob.text_at(*at)));
            unsteady.push(turned.collect::<Vec<_>>().join(" "));
        }
        Ok(rows.iter().map(|row| row.cell.recall).sum::<f64>() / rows.len() as f64)
    }

    /// The study with its knobs turned.
    fn asked_at(
        &self,
        (study, knobs): (&Study, &[Knob]),
        inputs: &[f64],
    ) -> Result<Study, Failure> {
        let mut study = study.clone();
        study.policies.truncate(1);
        for (knob, input) in knobs.iter().zip(inputs) {
            let value = knob.at(*input);
            match knob.path.as_str() {
                "expect_max" => study.expect_max = vec![(value as u32).max(1)],
                "timeout" => {
                    let turned = lasting(&study.policies[0], value);
                    study.policies[0] = turned.map_err(|why| self.asked.wrong(why))?;
                }
                path => {
                    let value = Number::Text(knob.text_at(*input));
                    study.set.push(Set { path: path.to_owned(), value });
                }
            }
        }
        Ok(study)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_knob_is_turned_too() {
        let knob = Knob::parse("class.ftp.loss.connection=0..1e-7").expect("it reads");
        assert_eq!(knob.text_at(0.5), "0.00000005");
        assert_eq!(knob.text_at(0.001), "1e-10");
        let knob = Knob::parse("class.ftp.delay.median=0..1us").expect("it reads");
        assert_eq!(knob.text_at(1e-10), "0.0000000001us");
    }
}
