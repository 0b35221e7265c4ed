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

use crate::golden::Answered;
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

/// Knobs, and the differences that need all of them, by number.
type Group = (Vec<&'static str>, Vec<usize>);

/// What each step of a trace is answered on a revision; a crash is the last answer.
///
/// # Errors
/// At which line there are too many to keep.
fn play(trace: &Trace, revision: Revision) -> Result<Vec<Vec<String>>, String> {
    let (mut answers, mut answered) = (Vec::new(), Answered::default());
    let Ok(mut simulator) = Simulator::new(config(&trace.setup, revision)) else {
        return Ok(answers);
    };
    for (line, step) in trace.blocks.iter().flat_map(|block| &block.steps) {
        match simulator.step(step) {
            Ok(said) => {
                let said = answered.more(said).map_err(|error| format!("line {line}: {error}"));
                answers.push(said?);
            }
            Err(error) => {
                answers.push(vec![error.to_string()]);
                // What is broken cannot be taken apart without breaking more.
                std::mem::forget(simulator);
                return Ok(answers);
            }
        }
    }
    if let Err(error) = simulator.finish() {
        answers.push(vec![format!("at the end: {error}")]);
    }
    Ok(answers)
}

/// Every step that `from` and `to` answer differently, in order.
///
/// # Errors
/// At which line there are more answers than can be kept.
pub fn partings(trace: &Trace, from: Revision, to: Revision) -> Result<Vec<Parting>, String> {
    let (ours, theirs) = (play(trace, from)?, play(trace, to)?);
    let steps: Vec<_> = trace.blocks.iter().flat_map(|block| &block.steps).collect();
    let parting = |at: usize| {
        let (line, step) = steps
            .get(at)
            .map_or_else(|| (0, "the end".to_owned()), |(line, step)| (*line, step.to_string()));
        let answers = [&ours, &theirs].map(|answers| answers.get(at).cloned().unwrap_or_default());
        Parting { line, step, answers, knobs: Vec::new(), also: Vec::new() }
    };
    let all = 0..ours.len().max(theirs.len());
    let places: Vec<_> = all.filter(|at| ours.get(*at) != theirs.get(*at)).collect();
    let mut partings: Vec<_> = places.iter().map(|at| parting(*at)).collect();
    // No kernel is played for each place: what it answers is held against all of them.
    if places.is_empty() {
        return Ok(partings);
    }
    for knob in from.differing_knobs(&to) {
        let played = play(trace, turned(from, &[knob], &to))?;
        for (at, parting) in places.iter().zip(&mut partings) {
            let answer = played.get(*at);
            if answer == theirs.get(*at) {
                parting.knobs.push(knob);
            } else if answer != ours.get(*at) {
                parting.also.push(knob);
            }
        }
    }
    let unexplained: Vec<_> =
        (0..places.len()).filter(|number| partings[*number].knobs.is_empty()).collect();
    let gives = |played: &[Vec<String>], number: usize| {
        let at = places[number];
        played.get(at) == theirs.get(at)
    };
    for (needed, numbers) in fewest(trace, (from, to), unexplained, gives)? {
        numbers.into_iter().for_each(|number| partings[number].knobs.clone_from(&needed));
    }
    Ok(partings)
}

/// The fewest knobs of `to` that give its answer, each with those that need them; `gives` says
/// whether what was played gives it to one. Those that need the same share a play.
fn fewest(
    trace: &Trace,
    (from, to): (Revision, Revision),
    unexplained: Vec<usize>,
    gives: impl Fn(&[Vec<String>], usize) -> bool,
) -> Result<Vec<Group>, String> {
    let knobs = from.differing_knobs(&to);
    let mut groups = vec![(knobs.clone(), unexplained)];
    for knob in knobs {
        let mut parted = Vec::new();
        for (needed, numbers) in groups.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            let fewer: Vec<_> = needed.iter().copied().filter(|other| *other != knob).collect();
            let played = play(trace, turned(from, &fewer, &to))?;
            let (without, with) = numbers.into_iter().partition(|number| gives(&played, *number));
            parted.extend([(fewer, without), (needed, with)]);
        }
        groups = parted;
    }
    Ok(groups)
}

/// A kernel with these knobs of another.
fn turned(kernel: Revision, knobs: &[&str], to: &Revision) -> Revision {
    knobs.iter().fold(kernel, |kernel, knob| {
        kernel.with_knob_of(knob, to).expect("a knob that differs exists")
    })
}

/// Whether turning one knob changes what a trace is answered.
#[must_use]
pub fn changes(trace: &Trace, from: Revision, knob: &str, to: &Revision) -> bool {
    let turned = from.with_knob_of(knob, to);
    turned.is_some_and(|turned| turned != from && play(trace, turned) != play(trace, from))
}
