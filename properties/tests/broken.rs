// SPDX-License-Identifier: GPL-2.0-only
//! Every claim fails in the world that names it: what cannot fail shows nothing.

use nfexp_model::revision::Revision;
use nfexp_properties::broken::{IncFromZero, NoGracePeriod, RelaxedPublish, RelaxedPut, TimerLies};
use nfexp_properties::explore::{Limits, Op, Scenario, Verdict, explore};
use nfexp_properties::smp::{Right, World};

/// The scenario must hold in the right world and fail in `W`, saying one of these.
fn caught<W: World>(scenario: &Scenario, messages: &[&str]) {
    let right = explore::<Right>(scenario, Limits::default());
    assert_eq!(right.verdict, Verdict::Proved, "the right world fails too");
    let broken = explore::<W>(scenario, Limits::default());
    let Verdict::Violation(found) = &broken.verdict else {
        panic!("not caught in {} executions", broken.executions)
    };
    let expected = messages.iter().any(|message| found.contains(message));
    assert!(expected, "caught for another reason: {found}");
}

const RACE: &str = "Causality violation";

fn race(actors: &[Op]) -> Scenario {
    Scenario::of(Revision::LINUX_3_9, actors)
}

#[test]
fn a_reference_taken_from_zero() {
    let scenario = race(&[Op::Expire(1), Op::Lookup(1)]);
    caught::<IncFromZero>(&scenario, &["below zero", "double free", "use after free", RACE]);
}

#[test]
fn no_grace_period() {
    caught::<NoGracePeriod>(&race(&[Op::Expire(1), Op::Lookup(1)]), &[RACE, "use after free"]);
}

#[test]
fn a_relaxed_publish() {
    let scenario = Scenario { linked: 0, ..race(&[Op::Announce(1), Op::Lookup(1)]) };
    caught::<RelaxedPublish>(&scenario, &[RACE]);
}

#[test]
fn a_timer_that_lies() {
    let messages = ["in no list", "below zero", "use after free", RACE, "LinkedOnce"];
    caught::<TimerLies>(&race(&[Op::Expire(1), Op::Match(1)]), &messages);
}

#[test]
fn a_relaxed_put() {
    caught::<RelaxedPut>(&race(&[Op::Lookup(1), Op::Expire(1)]), &[RACE]);
}

/// The canary: a world that is not broken is not caught, so `caught` can fail.
#[test]
#[should_panic(expected = "not caught")]
fn the_right_world_is_not_caught() {
    caught::<Right>(&race(&[Op::Expire(1), Op::Lookup(1)]), &[RACE]);
}
