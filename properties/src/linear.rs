// SPDX-License-Identifier: GPL-2.0-only
//! Linearisation: every outcome loom found is one that CPUs have which take turns.
//!
//! *Witness*: an order of steps on one thread with that outcome.
//!
//! An exploration has few outcomes, however many executions: each is looked for once, first in
//! random schedules, then in all there are, and the search ends with the last witness. Where one is
//! missing, the same again with points after every pointer that is followed and before every lock.
//!
//! The rule that matters: it is the same source on both sides. An outcome without a witness is
//! what only a memory model, or a mistake in one of the platforms, brings about.

use std::collections::BTreeSet;

use crate::explore::Report;
use crate::scenario::Scenario;
use crate::schedule::{enumerate_until, finely, random};

/// Random schedules that are tried first.
const RANDOM: u64 = 600;

/// Orders of steps that are tried at most, after them.
const ORDERS: usize = 400_000;

/// What schedules end with: outcomes, and violations.
type Outcomes = BTreeSet<Result<String, String>>;

/// Whether every outcome of an exploration has a witness. Answers the mark for a row in which one
/// was not found, among too many orders to try them all.
///
/// # Errors
/// An outcome that no order has, all of them tried.
pub fn linearised(scenario: &Scenario, report: &Report) -> Result<&'static str, String> {
    let mut wanted: BTreeSet<String> = report.outcome_set();
    let mut seen = BTreeSet::new();
    let mut all = search(scenario, &mut wanted, &mut seen);
    if !wanted.is_empty() {
        all = finely(|| search(scenario, &mut wanted, &mut seen));
    }
    match wanted.first() {
        None => Ok(""),
        Some(_) if !all => Ok(" ‡"),
        Some(outcome) => {
            let kernel = scenario.revision.name;
            Err(format!("{scenario} on {kernel}: no order answers {outcome}; they answer {seen:?}"))
        }
    }
}

/// Looks for witnesses; whether every order there is was tried, or all were found.
fn search(scenario: &Scenario, wanted: &mut BTreeSet<String>, seen: &mut Outcomes) -> bool {
    for seed in 0..RANDOM {
        if wanted.is_empty() {
            return true;
        }
        if let Ok(outcome) = random(scenario, seed, seed as u32 % 6) {
            wanted.remove(&outcome);
        }
    }
    let all = enumerate_until(scenario, ORDERS, |outcome| {
        if let Ok(outcome) = &outcome {
            wanted.remove(outcome);
        }
        seen.insert(outcome);
        wanted.is_empty()
    });
    all.is_some()
}

#[cfg(test)]
mod tests {
    use nfexp_model::revision::Revision;

    use super::*;
    use crate::explore::{Limits, explore};

    #[test]
    fn an_outcome_without_a_witness_is_told() {
        let scenario = Scenario::named(Revision::LINUX_3_9, "expire-1+match-1").expect("good");
        let mut report = explore(&scenario, Limits::NONE);
        assert_eq!(linearised(&scenario, &report), Ok(""));
        report.outcomes.insert("expire-1:won linked:0: match-1:won".to_owned(), 1);
        let strange = linearised(&scenario, &report).expect_err("both cannot win");
        assert!(strange.contains("no order answers expire-1:won"), "{strange}");
    }
}
