// SPDX-License-Identifier: GPL-2.0-only
//! The race that the whole engine is about: a timer expires while its connection arrives and
//! somebody looks.
//!
//! Exhaustively, without a bound on preemptions, on the engine's own source: no execution
//! touches freed memory, unlinks twice, loses or leaks a reference, or leaves the table unsound.

use nfexp_model::revision::Revision;
use nfexp_properties::explore::{Limits, Report, Verdict, explore};
use nfexp_properties::scenario::Scenario;

const KERNELS: [Revision; 2] = [Revision::LINUX_3_9, Revision::LINUX_6_18];

/// The set of outcomes must not depend on who acts on which thread: loom 0.7.3 can miss an
/// interleaving in one order that it finds in the other.
fn proved_in_orders(revision: Revision, name: &str, orders: usize) -> Report {
    let scenario = Scenario::named(revision, name).expect("a good name");
    let mut reports = (0..orders).map(|turn| {
        let report = explore(&scenario.turned(turn), Limits::NONE);
        assert_eq!(report.verdict, Verdict::Proved, "{name} {}", revision.name);
        assert_eq!(report.unchecked, 0, "every free is checked");
        eprintln!("{} {name}: proved in {} executions", revision.name, report.executions);
        report
    });
    let first = reports.next().expect("there is an order");
    for other in reports {
        assert_eq!(first.outcome_set(), other.outcome_set(), "{name}");
    }
    first
}

#[test]
fn expiry_vs_match_vs_lookup() {
    for (revision, orders) in KERNELS.into_iter().zip([3, 1]) {
        let report = proved_in_orders(revision, "expire-1+match-1+lookup-1", orders);
        for mark in ["expire-1:won", "expire-1:late", "match-1:won", "match-1:none"] {
            assert!(report.sometimes(mark), "never {mark}");
        }
        assert!(report.sometimes("lookup-1:found") && report.sometimes("lookup-1:none"));
        // Exactly one of the two unlinks it.
        for outcome in report.outcomes.keys() {
            let won = outcome.split(' ').filter(|note| note.ends_with(":won")).count();
            assert_eq!(won, 1, "{outcome}");
        }
    }
}

#[test]
fn a_permanent_expectation_is_matched_by_both() {
    let name = "match-1+match-1+expire-1:permanent";
    let report = proved_in_orders(Revision::LINUX_3_9, name, 3);
    let both = report.outcomes.keys().any(|o| o.matches("match-1:won").count() == 2);
    assert!(both, "{:?}", report.outcomes);
}

#[test]
fn a_run_that_meets_its_budget_is_not_called_proved() {
    let scenario = Scenario::named(Revision::LINUX_3_9, "expire-1+match-1").expect("good");
    let limits = Limits { executions: Some(3), ..Limits::default() };
    assert_eq!(explore(&scenario, limits).verdict, Verdict::Budget);
    assert_eq!(explore(&scenario, Limits::bound(1)).verdict, Verdict::Bounded(1));
}
