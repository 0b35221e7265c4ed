// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario must have shown to have been explored at all.
//!
//! *Mark*: an answer of an operation. *Race*: one operation asks for an expectation, another ends
//! it. Whoever comes first, the one that asks must have been answered both ways in some execution:
//!
//! ```text
//!   match-1 + unexpect-1    sometimes match-1:won, sometimes match-1:none
//!   lookup-1 + put-1        nobody ends it: nothing is asked
//! ```
//!
//! The rule that matters: the marks are derived from the operations, for every scenario there is,
//! and a scenario that misses one fails: an exploration in which nobody met proves nothing.

use nfexp_model::error::RelateError;
use nfexp_model::revision::{ExpectFnExit, Expiry, HelperExit};

use crate::explore::{Report, Verdict};
use crate::matrix::mechanism;
use crate::op::Op;
use crate::scenario::Scenario;

/// Every mark that a scenario must show.
#[must_use]
pub fn marks(scenario: &Scenario) -> Vec<String> {
    // Only what a CPU does first can come before everything, and after.
    let firsts: Vec<Op> = scenario.cpus.iter().filter_map(|ops| ops.first().copied()).collect();
    let mut marks = Vec::new();
    for (at, asks) in firsts.iter().enumerate() {
        let beside = firsts.iter().enumerate().filter(|(other, _)| *other != at);
        if beside.into_iter().any(|(_, ends)| meet(scenario, *asks, *ends)) {
            let answers = answers(scenario, *asks);
            marks.extend(answers.iter().map(|answer| format!("{asks}:{answer}")));
        }
    }
    marks.sort();
    marks.dedup();
    marks
}

/// The two answers of an operation: before the expectation's end, and after it.
fn answers(scenario: &Scenario, op: Op) -> Vec<&'static str> {
    let timers = scenario.revision.expiry == Expiry::Timer;
    let only = scenario.linked() == 1 && scenario.ops().all(|op| op.announces() == 0);
    match op {
        Op::Expire(_) if timers => vec!["won", "late"],
        Op::Match(_) => vec!["won", "none"],
        Op::Connect(_) | Op::Child(_) => vec!["related", "new"],
        Op::Lookup(_) | Op::Find(_) | Op::Get(_) => vec!["found", "none"],
        Op::Delete(_) => vec!["done", "none"],
        Op::Change(_) => vec!["changed", "none"],
        Op::List | Op::ListInParts if only => vec!["0", "1"],
        Op::Announce(2) if scenario.variant.full && scenario.linked() == 1 => {
            vec!["inserted", RelateError::TableFull.word()]
        }
        _ => vec![],
    }
}

/// Whether one operation asks for what the other ends.
fn meet(scenario: &Scenario, asks: Op, ends: Op) -> bool {
    let variant = scenario.variant;
    let about = match asks {
        Op::List | Op::ListInParts | Op::Announce(2) => 1,
        _ => asks.port().unwrap_or(0),
    };
    let collected = scenario.revision.expiry == Expiry::Collected;
    // What is over when they begin, nobody finds.
    let over = variant.late && collected;
    if variant.empty || over || about == 0 || about > scenario.linked() {
        return false;
    }
    // What is taken back is only marked by then, and counts until somebody collects it (H21).
    let marks_only = collected && matches!(ends, Op::Unexpect(_) | Op::Reuse(_));
    // Who announces after the sweep is gone by then.
    let stays = scenario.revision.helper_exit == HelperExit::StaysCounted;
    match ends {
        Op::Unregister if stays && asks.announces() > 0 => false,
        Op::Match(port) | Op::Connect(port) | Op::Child(port) => {
            port == about && !variant.permanent
        }
        Op::Unexpect(_) | Op::Reuse(_) if marks_only && asks.announces() > 0 => false,
        // The collector comes for all of a master's.
        Op::Expire(_) if collected => true,
        Op::Expire(port) | Op::Unexpect(port) | Op::Delete(port) => port == about,
        // The same object is announced again, elsewhere.
        Op::Reuse(port) => port == about && !matches!(asks, Op::List | Op::ListInParts),
        Op::Remove | Op::Urq | Op::Destroy | Op::Flush | Op::Unregister => true,
        Op::Rmmod => variant.function && scenario.revision.expectfn_exit == ExpectFnExit::Sweeps,
        _ => false,
    }
}

/// Whether an exploration met what its scenario exists for.
///
/// # Errors
/// The mark that no execution showed, or that no two executions differed.
pub fn sees_its_race(scenario: &Scenario, orders: &[&Report]) -> Result<(), String> {
    // Whoever stopped early claims nothing, and so has nothing to show.
    if orders.iter().any(|report| report.verdict == Verdict::Budget) {
        return Ok(());
    }
    let kernel = scenario.revision.name;
    let never = |mark: &String| !orders.iter().any(|report| report.sometimes(mark));
    if let Some(mark) = marks(scenario).into_iter().find(never) {
        return Err(format!("{scenario} on {kernel}: never {mark}: nobody met"));
    }
    let alone = orders.iter().all(|report| report.executions < 2);
    if alone && mechanism(scenario).starts_with("lock") {
        return Err(format!("{scenario} on {kernel}: one execution: nobody met at the lock"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nfexp_model::revision::Revision;

    use super::*;
    use crate::explore::{Limits, explore};

    fn scenario(name: &str) -> Scenario {
        Scenario::named(Revision::LINUX_3_9, name).expect("a good name")
    }

    #[test]
    fn marks_are_both_answers_of_whoever_asks() {
        let both = ["expire-1:late", "expire-1:won", "match-1:none", "match-1:won"];
        assert_eq!(marks(&scenario("expire-1+match-1")), both);
        assert_eq!(marks(&scenario("lookup-1+remove")), ["lookup-1:found", "lookup-1:none"]);
        assert_eq!(marks(&scenario("lookup-1+match-1:permanent")), [""; 0]);
        assert_eq!(marks(&scenario("lookup-1+put-1")), [""; 0]);
        let full = ["announce-2:inserted", "announce-2:table-full"];
        assert_eq!(marks(&scenario("announce-2+remove:full")), full);
    }

    /// Executions of which none switches at the right moment are no exploration of the race.
    #[test]
    fn a_scenario_that_never_meets_its_race_fails() {
        let scenario = scenario("lookup-1+remove");
        let whole = explore(&scenario, Limits::NONE);
        assert_eq!(sees_its_race(&scenario, &[&whole]), Ok(()));
        let mut once = explore(&scenario, Limits { executions: Some(1), ..Limits::NONE });
        assert_eq!(sees_its_race(&scenario, &[&once]), Ok(()), "a budget claims nothing");
        once.verdict = Verdict::Proved;
        let missed = sees_its_race(&scenario, &[&once]).expect_err("it was found once");
        assert!(missed.contains("never lookup-1:none"), "{missed}");
        let meeting = tests::scenario("announce-1+unexpect-1:empty");
        let nobody = explore(&meeting, Limits::NONE);
        assert!(sees_its_race(&meeting, &[&nobody]).is_err(), "there is nothing to take back");
    }
}
