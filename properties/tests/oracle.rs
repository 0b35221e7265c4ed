// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel beside the model, where there is one that can be asked.
//!
//! * Fresh random sequences show no divergence.
//! * A model with one knob turned parts from the kernel, and what is left of the sequence after
//!   shrinking has at most ten steps; with the knob turned back, those steps agree.
//!
//! Without root, nf_conntrack, nf_tables or tun, or on a kernel that is none of the modelled
//! revisions, each test says `skipped` and why.
#![cfg(target_os = "linux")]

use std::time::Duration;

use nfexp_model::revision::Revision;
use nfexp_sim::oracle::cells::Cells;
use nfexp_sim::oracle::kernel::{Kernel, Trouble};
use nfexp_sim::oracle::live::{Finding, Sequence, in_namespace, rerun, run, running_revision};
use nfexp_sim::oracle::profile::Profile;
use nfexp_sim::oracle::shrink::shrink;
use nfexp_sim::oracle::soak::{Plan, soak};

/// The revision of a kernel that can be asked; otherwise says why not.
fn revision() -> Option<Revision> {
    let revision = running_revision()
        .map_err(|release| format!("the running kernel {release} is none that is modelled"));
    let asked = revision.and_then(|revision| {
        in_namespace(|_| revision)
            .map_err(|lacking| format!("this kernel cannot be asked: {}", lacking.0))
    });
    asked.inspect_err(|why| println!("skipped: {why}")).ok()
}

#[test]
fn fresh_sequences_agree_for_two_seconds() {
    let Some(revision) = revision() else { return };
    let time = Duration::from_secs(2);
    let plan = Plan { revision, seed: 1, time, waiting: 0, profile: None, operations: 200 };
    let tally = soak(plan, |_, _| ()).expect("it could be asked a moment ago");
    println!("{} operations in {} sequences", tally.operations, tally.sequences);
    assert!(tally.finding.is_none(), "{:#?}", tally.finding);
    assert!(tally.trouble.is_none(), "{:?}", tally.trouble);
}

#[test]
fn a_turned_knob_is_found_and_made_small() {
    let Some(revision) = revision() else { return };
    for (knob, profile) in
        [("clash_scope", "clash"), ("helper_reset", "bad"), ("class_text", "limit")]
    {
        let turned = Revision::ALL.iter().filter_map(|other| revision.with_knob_of(knob, other));
        let turned =
            turned.into_iter().find(|turned| *turned != revision).expect("two ways to turn it");
        let profile = Profile::named(profile).expect("it is in the table");
        let sequence = Sequence { profile, seed: 5, operations: 300 };
        let header = sequence.header().expect("it could be asked a moment ago");
        let small = in_namespace(|kernel: &mut Kernel| -> Result<Option<Finding>, Trouble> {
            let run = run(kernel, &sequence, &header, Some(turned), &mut Cells::default())?;
            let Some(difference) = run.difference else { return Ok(None) };
            shrink(kernel, &header, turned, Finding { lines: run.lines, difference }).map(Some)
        });
        let finding = match small.expect("it could be asked a moment ago") {
            Err(Trouble::Slow) => {
                println!("skipped: the machine is too busy");
                return;
            }
            small => small.expect("the kernel answers").expect("the turned knob is noticed"),
        };
        println!("{knob}: {} steps: {}", finding.lines.len(), finding.difference);
        assert!(finding.lines.len() <= 10, "{knob}: {:#?}", finding.lines);
        let operations: Vec<_> = finding.lines.into_iter().map(|line| line.operation).collect();
        let right = in_namespace(|kernel| rerun(kernel, &operations, &header, Some(revision)));
        match right.expect("it could be asked a moment ago") {
            Err(Trouble::Slow) => println!("skipped: the machine is too busy"),
            right => assert_eq!(right.expect("the kernel answers").difference, None),
        }
    }
}
