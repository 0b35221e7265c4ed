// SPDX-License-Identifier: GPL-2.0-only
//! The deeper exploration: `cargo exhaustive`.
//!
//! Every triple of the operations on one expectation, at preemption bound 2; those that hold
//! expiry, match and lookup are explored without a bound by plain `cargo test` already.

use nfexp_model::revision::Revision;
use nfexp_properties::explore::{Limits, Op, Scenario, Verdict, explore};
use nfexp_properties::smp::Right;

const OPS: [Op; 7] = [
    Op::Expire(1),
    Op::Match(1),
    Op::Lookup(1),
    Op::Unexpect(1),
    Op::Remove,
    Op::Announce(1),
    Op::Announce(2),
];

#[test]
#[ignore = "minutes: run by `cargo exhaustive`"]
fn every_triple_at_preemption_bound_two() {
    let limits = Limits { preemptions: Some(2), ..Limits::default() };
    for revision in [Revision::LINUX_3_9, Revision::LINUX_6_18] {
        let (mut triples, mut executions) = (0, 0);
        for (a, first) in OPS.iter().enumerate() {
            for (b, second) in OPS.iter().enumerate().skip(a + 1) {
                for third in &OPS[b + 1..] {
                    let actors = [*first, *second, *third];
                    let report = explore::<Right>(&Scenario::of(revision, &actors), limits);
                    assert_eq!(report.verdict, Verdict::Bounded(2), "{actors:?}");
                    triples += 1;
                    executions += report.executions;
                }
            }
        }
        eprintln!("{}: {triples} triples, {executions} executions", revision.name);
    }
}
