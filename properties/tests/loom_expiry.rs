// SPDX-License-Identifier: GPL-2.0-only
//! The race that the whole engine is about: a timer expires while its connection arrives and
//! somebody looks.
//!
//! Exhaustively, without a bound on preemptions, on the engine's own source: no execution
//! touches freed memory, unlinks twice, loses or leaks a reference, or leaves the table unsound.

use nfexp_model::revision::{NewEvent, Revision};
use nfexp_properties::explore::{Limits, Op, Report, Scenario, Verdict, explore};
use nfexp_properties::smp::Right;

const KERNELS: [Revision; 2] = [Revision::LINUX_3_9, Revision::LINUX_6_18];

fn proved(revision: Revision, actors: &[Op]) -> Report {
    let report = explore::<Right>(&Scenario::of(revision, actors), Limits::default());
    assert_eq!(report.verdict, Verdict::Proved, "{actors:?} {}", revision.name);
    assert_eq!(report.unchecked, 0, "every free is checked");
    eprintln!("{} {actors:?}: proved in {} executions", revision.name, report.executions);
    report
}

/// The set of outcomes must not depend on who acts on which thread: loom 0.7.3 can miss an
/// interleaving in one order that it finds in the other.
fn proved_in_every_order(revision: Revision, actors: &[Op]) -> Report {
    let report = proved(revision, actors);
    for turn in 1..actors.len() {
        let mut turned = actors.to_vec();
        turned.rotate_left(turn);
        let other = proved(revision, &turned);
        assert_eq!(report.outcome_set(), other.outcome_set(), "{actors:?} against {turned:?}");
    }
    report
}

#[test]
fn expiry_vs_match_vs_lookup() {
    for revision in KERNELS {
        let actors = [Op::Expire(1), Op::Match(1), Op::Lookup(1)];
        let report = proved_in_every_order(revision, &actors);
        for mark in ["timer-won", "timer-late", "match-won", "match-none"] {
            assert!(report.sometimes(mark), "never {mark}");
        }
        assert!(report.sometimes("lookup-found") && report.sometimes("lookup-none"));
        // Exactly one of the two unlinks it.
        for outcome in report.outcomes.keys() {
            let won = outcome.split(' ').filter(|note| note.ends_with("-won")).count();
            assert_eq!(won, 1, "{outcome}");
        }
    }
}

#[test]
fn pairs_of_expiry_unlink_and_lookup() {
    let ops = [
        Op::Expire(1),
        Op::Match(1),
        Op::Lookup(1),
        Op::Unexpect(1),
        Op::Remove,
        Op::Announce(1),
        Op::Announce(2),
    ];
    for revision in KERNELS {
        for (at, first) in ops.iter().enumerate() {
            for second in &ops[at + 1..] {
                proved_in_every_order(revision, &[*first, *second]);
            }
        }
    }
}

#[test]
fn a_permanent_expectation_is_matched_by_both() {
    let actors = [Op::Match(1), Op::Match(1), Op::Expire(1)];
    let scenario = Scenario { permanent: true, ..Scenario::of(Revision::LINUX_3_9, &actors) };
    let report = explore::<Right>(&scenario, Limits::default());
    assert_eq!(report.verdict, Verdict::Proved);
    assert!(report.sometimes("match-won"));
    let both = report.outcomes.keys().any(|o| o.matches("match-won").count() == 2);
    assert!(both, "{:?}", report.outcomes);
}

/// CVE-2026-80668, in the seed and until 7.2: the timer waits for the lock while its master is
/// destroyed; then it unlinks through memory that is another connection's.
#[test]
fn the_seed_unlinks_through_a_master_that_is_gone() {
    for revision in KERNELS {
        let scenario = Scenario::of(revision, &[Op::Expire(1), Op::Destroy]);
        let report = explore::<Right>(&scenario, Limits::default());
        let Verdict::Violation(message) = &report.verdict else {
            panic!("not found in {} executions: {:?}", report.executions, report.verdict)
        };
        // The callback reads the master's memory while, or after, it is freed.
        let found = ["use after free of connection", "Causality violation"];
        assert!(found.iter().any(|found| message.contains(found)), "{message}");
    }
}

/// CVE-2026-43116, half of it: the event NEW is sent after the lock is dropped, so a match on
/// another CPU can tell DESTROY before it.
#[test]
fn the_seed_tells_destroy_before_new_and_one_knob_repairs_it() {
    let actors = [Op::Announce(1), Op::Match(1)];
    let seed = Scenario { linked: 0, events: true, ..Scenario::of(Revision::LINUX_3_9, &actors) };
    let report = explore::<Right>(&seed, Limits::default());
    let Verdict::Violation(message) = report.verdict else { panic!("{:?}", report.verdict) };
    assert!(message.contains("before its NEW"), "{message}");
    let revision = Revision { new_event: NewEvent::UnderLock, ..Revision::LINUX_3_9 };
    let repaired = Scenario { revision, ..seed };
    assert_eq!(explore::<Right>(&repaired, Limits::default()).verdict, Verdict::Proved);
}

#[test]
fn a_run_that_meets_its_budget_is_not_called_proved() {
    let scenario = Scenario::of(Revision::LINUX_3_9, &[Op::Expire(1), Op::Match(1)]);
    let limits = Limits { executions: Some(3), ..Limits::default() };
    assert_eq!(explore::<Right>(&scenario, limits).verdict, Verdict::Budget);
    let limits = Limits { preemptions: Some(1), ..Limits::default() };
    assert_eq!(explore::<Right>(&scenario, limits).verdict, Verdict::Bounded(1));
}
