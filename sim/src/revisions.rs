// SPDX-License-Identifier: GPL-2.0-only
//! Where two revisions part on a trace, and which knob does it.
//!
//! ```text
//!   from ──────●───────────●────▶    a step answered otherwise
//!   to   ──────●───────────●────▶
//!              │           └ knob b alone, turned in `from`, gives the answer of `to`
//!              └ knob a alone
//! ```
//!
//! Knobs are turned one at a time in `from`. Where none alone gives the answer of `to`, the
//! fewest are looked for: from all that differ, each is turned back if the answer stays.
//!
//! The rule that matters: a difference without a knob that explains it is a fault of the model.

use nfexp_model::revision::Revision;
use nfexp_traces::text::Trace;

use crate::simulator::{Simulator, config};

/// A step that two revisions answer differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Its line in the trace.
    pub line: usize,
    /// The step, as it is written.
    pub step: String,
    /// What either answers; nothing once a kernel has crashed.
    pub answers: [Vec<String>; 2],
    /// The knobs which, turned together, make the one the other here: one, nearly always.
    pub knobs: Vec<&'static str>,
    /// Knobs that change this step as well, without making it the other's.
    pub also: Vec<&'static str>,
}

/// What each step of a trace is answered on a revision; a crash is the last answer.
fn play(trace: &Trace, revision: Revision) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    let Ok(mut simulator) = Simulator::new(config(&trace.setup, revision)) else {
        return answers;
    };
    for (_, step) in trace.blocks.iter().flat_map(|block| &block.steps) {
        match simulator.step(step) {
            Ok(said) => answers.push(said),
            Err(error) => {
                answers.push(vec![error.to_string()]);
                // What is broken cannot be taken apart without breaking more.
                std::mem::forget(simulator);
                return answers;
            }
        }
    }
    if let Err(error) = simulator.finish() {
        answers.push(vec![format!("at the end: {error}")]);
    }
    answers
}

/// Every step that `from` and `to` answer differently, in order.
#[must_use]
pub fn partings(trace: &Trace, from: Revision, to: Revision) -> Vec<Parting> {
    let (ours, theirs) = (play(trace, from), play(trace, to));
    let knobs = from.differing_knobs(&to);
    let turn = |kernel: Revision, knob: &str| {
        kernel.with_knob_of(knob, &to).expect("a knob that differs exists")
    };
    let alone: Vec<_> = knobs.iter().map(|knob| play(trace, turn(from, knob))).collect();
    let steps: Vec<_> = trace.blocks.iter().flat_map(|block| &block.steps).collect();
    let mut partings = Vec::new();
    for at in 0..ours.len().max(theirs.len()) {
        if ours.get(at) == theirs.get(at) {
            continue;
        }
        let with = |answers: &[Vec<Vec<String>>], wanted: &dyn Fn(Option<&Vec<String>>) -> bool| {
            let chosen = knobs.iter().zip(answers).filter(|(_, played)| wanted(played.get(at)));
            chosen.map(|(knob, _)| *knob).collect::<Vec<_>>()
        };
        let single = with(&alone, &|answer| answer == theirs.get(at));
        let also = with(&alone, &|answer| answer != theirs.get(at) && answer != ours.get(at));
        let responsible = match single.is_empty() {
            false => single,
            true => fewest(trace, from, to, (at, theirs.get(at))),
        };
        let (line, step) = steps
            .get(at)
            .map_or_else(|| (0, "the end".to_owned()), |(line, step)| (*line, step.to_string()));
        let answers = [&ours, &theirs].map(|answers| answers.get(at).cloned().unwrap_or_default());
        partings.push(Parting { line, step, answers, knobs: responsible, also });
    }
    partings
}

/// The fewest knobs of `to` that give its answer at a step.
fn fewest(
    trace: &Trace,
    from: Revision,
    to: Revision,
    (at, wanted): (usize, Option<&Vec<String>>),
) -> Vec<&'static str> {
    let mut needed = from.differing_knobs(&to);
    for knob in from.differing_knobs(&to) {
        let fewer: Vec<_> = needed.iter().copied().filter(|other| *other != knob).collect();
        let kernel = fewer.iter().fold(from, |kernel, knob| {
            kernel.with_knob_of(knob, &to).expect("a knob that differs exists")
        });
        if play(trace, kernel).get(at) == wanted {
            needed = fewer;
        }
    }
    needed
}

/// Whether turning one knob changes what a trace is answered.
#[must_use]
pub fn changes(trace: &Trace, from: Revision, knob: &str, to: &Revision) -> bool {
    let turned = from.with_knob_of(knob, to);
    turned.is_some_and(|turned| turned != from && play(trace, turned) != play(trace, from))
}
