// SPDX-License-Identifier: GPL-2.0-only
//! The same sequences while softirqs come late: timers fire after their time, callbacks wait,
//! memory is given back steps later, all by a seed.
//!
//! * Whatever comes when, the audit after every step holds, and at the end nothing is left.
//! * But for the kernels that let a master go while a callback waits (CVE-2026-80668): there a
//!   seed gets to the use after free, and the kernel that collects instead never does.

use nfexp_model::audit::Invariant;
use nfexp_model::revision::Revision;
use nfexp_sim::schedule::Seeded;
use nfexp_sim::simulator::{Simulator, StepError, config};
use nfexp_traces::step::Step;
use proptest::strategy::{Strategy, ValueTree};

use crate::deeds::{sequences, setup};
use crate::pair::{Break, Pair};
use crate::runner;

/// The steps of a sequence in order, without those that make sense in that order alone: halves of
/// an expiry, and announcing again what by now may still be linked.
fn steps(revision: Revision, runner: &mut proptest::test_runner::TestRunner) -> Vec<Step> {
    let deeds = sequences().new_tree(runner).expect("nothing is filtered").current();
    let mut pair = Pair::new(revision, revision, Break::default());
    for deed in &deeds {
        pair.play(deed).expect("the reference agrees");
    }
    let mut steps = pair.into_steps();
    let ordered = |step: &Step| {
        matches!(step, Step::Fire { .. } | Step::Callback { .. } | Step::Relate { .. })
    };
    steps.retain(|step| !ordered(step));
    steps
}

/// Plays them while softirqs come late; a step that names what is not there is left out.
fn late(steps: &[Step], revision: Revision, seed: u64) -> Result<(), StepError> {
    let schedule = Box::new(Seeded::new(seed));
    let mut simulator = Simulator::with(config(&setup(), revision), None, schedule)?;
    for step in steps {
        match simulator.step(step) {
            Ok(_) | Err(StepError::Trace(_)) => {}
            Err(error) => {
                std::mem::forget(simulator);
                return Err(error);
            }
        }
    }
    simulator.finish()
}

/// The audit finds the dead master, or the callback does.
fn is_of_a_dead_master(error: &StepError) -> bool {
    match error {
        StepError::Violation(violation) => violation.invariant == Invariant::MasterAlive,
        StepError::Crash(why) => why.contains("use after free of connection"),
        StepError::Trace(_) => false,
    }
}

#[test]
fn late_softirqs_break_only_what_the_kernel_breaks() {
    let mut runner = runner(200);
    let mut crashes = [0; Revision::ALL.len()];
    for seed in 0..u64::from(runner.config().cases) {
        for (revision, crashes) in Revision::ALL.into_iter().zip(&mut crashes) {
            let steps = steps(revision, &mut runner);
            match late(&steps, revision, seed) {
                Ok(()) => {}
                Err(error) if is_of_a_dead_master(&error) => *crashes += 1,
                Err(error) => panic!("{}, schedule {seed}: {error}", revision.name),
            }
        }
    }
    eprintln!("freed under a callback: {crashes:?} of {}", runner.config().cases);
    // Rare among random sequences: one in a hundred.
    let enough = runner.config().cases >= 200;
    assert!(!enough || crashes[0] + crashes[1] > 0, "no schedule got to CVE-2026-80668");
    assert_eq!(crashes[2], 0, "7.2 has no callback to be late");
}
