// SPDX-License-Identifier: GPL-2.0-only
//! Where two revisions part on a trace or a capture, and which knob does it.
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

mod captured;

use std::collections::{BTreeMap, BTreeSet};

use nfexp_model::revision::Revision;
use nfexp_traces::text::Trace;

pub use captured::Captured;

use crate::golden::Answered;
use crate::simulator::{Simulator, StepError, config};

/// What is played on one kernel after the other.
pub trait Script {
    /// What each step is answered on a revision, by its place; a crash is the last answer, and so is
    /// why a step cannot be played. A step that is answered nothing need not be there.
    ///
    /// # Errors
    /// Why it cannot be played, or where there are too many answers to keep.
    fn play(&self, revision: Revision) -> Result<Answers, String>;

    /// The line of the step at each place, or the packet's number, and how it is written; places
    /// ascend.
    ///
    /// # Errors
    /// Why it cannot be read again.
    fn steps(&self, places: &[usize]) -> Result<Vec<(usize, String)>, String>;
}

/// What a script is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// What each step is, by its place.
    pub steps: BTreeMap<usize, Vec<String>>,
    /// Why it went no further, and where: a step asks for what is not there.
    pub ended: Option<String>,
}

/// A step that two revisions answer differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Its line in the trace, or its number among the packets of a capture.
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

impl Script for Trace {
    fn play(&self, revision: Revision) -> Result<Answers, String> {
        let (mut answers, mut answered) = (Answers::default(), Answered::default());
        let simulator = Simulator::new(config(&self.setup, revision));
        let mut simulator = simulator.map_err(|error| error.to_string())?;
        let steps = self.blocks.iter().flat_map(|block| &block.steps);
        for (at, (line, step)) in steps.enumerate() {
            match simulator.step(step) {
                Ok(said) => {
                    let said = answered.more(said).map_err(|error| format!("line {line}: {error}"));
                    answers.steps.insert(at, said?);
                }
                Err(error) => {
                    answers.steps.insert(at, vec![error.to_string()]);
                    if let StepError::Trace(why) = error {
                        answers.ended = Some(format!("line {line}: {why}"));
                    }
                    // What is broken cannot be taken apart without breaking more.
                    std::mem::forget(simulator);
                    return Ok(answers);
                }
            }
        }
        if let Err(error) = simulator.finish() {
            let end = answers.steps.len();
            answers.steps.insert(end, vec![format!("at the end: {error}")]);
        }
        Ok(answers)
    }

    fn steps(&self, places: &[usize]) -> Result<Vec<(usize, String)>, String> {
        let steps: Vec<_> = self.blocks.iter().flat_map(|block| &block.steps).collect();
        let step = |at: &usize| {
            let end = || (0, "the end".to_owned());
            steps.get(*at).map_or_else(end, |(line, step)| (*line, step.to_string()))
        };
        Ok(places.iter().map(step).collect())
    }
}

/// Every step that `from` and `to` answer differently, in order.
///
/// # Errors
/// As [`Script::play`] and [`Script::steps`]; where neither kernel can be played a step.
pub fn partings(
    script: &impl Script,
    from: Revision,
    to: Revision,
) -> Result<Vec<Parting>, String> {
    let (ours, theirs) = (script.play(from)?, script.play(to)?);
    // What only one of them cannot be played is a difference between them.
    if let Some(why) = ours.ended.filter(|why| theirs.ended.as_ref() == Some(why)) {
        return Err(why);
    }
    let (ours, theirs) = (ours.steps, theirs.steps);
    let all: BTreeSet<usize> = ours.keys().chain(theirs.keys()).copied().collect();
    let places: Vec<_> = all.into_iter().filter(|at| ours.get(at) != theirs.get(at)).collect();
    let parting = |((line, step), at): ((usize, String), &usize)| {
        let answers = [&ours, &theirs].map(|answers| answers.get(at).cloned().unwrap_or_default());
        Parting { line, step, answers, knobs: Vec::new(), also: Vec::new() }
    };
    let steps = script.steps(&places)?.into_iter();
    let mut partings: Vec<_> = steps.zip(&places).map(parting).collect();
    // No kernel is played for each place: what it answers is held against all of them.
    if places.is_empty() {
        return Ok(partings);
    }
    for knob in from.differing_knobs(&to) {
        let played = script.play(turned(from, &[knob], &to))?.steps;
        for (at, parting) in places.iter().zip(&mut partings) {
            let answer = played.get(at);
            if answer == theirs.get(at) {
                parting.knobs.push(knob);
            } else if answer != ours.get(at) {
                parting.also.push(knob);
            }
        }
    }
    let unexplained: Vec<_> =
        (0..places.len()).filter(|number| partings[*number].knobs.is_empty()).collect();
    let gives = |played: &Answers, number: usize| {
        let at = &places[number];
        played.steps.get(at) == theirs.get(at)
    };
    for (needed, numbers) in fewest(script, (from, to), unexplained, gives)? {
        numbers.into_iter().for_each(|number| partings[number].knobs.clone_from(&needed));
    }
    Ok(partings)
}

/// The fewest knobs of `to` that give its answer, each with those that need them; `gives` says
/// whether what was played gives it to one. Those that need the same share a play.
fn fewest(
    script: &impl Script,
    (from, to): (Revision, Revision),
    unexplained: Vec<usize>,
    gives: impl Fn(&Answers, usize) -> bool,
) -> Result<Vec<Group>, String> {
    let knobs = from.differing_knobs(&to);
    let mut groups = vec![(knobs.clone(), unexplained)];
    for knob in knobs {
        let mut parted = Vec::new();
        for (needed, numbers) in groups.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            let fewer: Vec<_> = needed.iter().copied().filter(|other| *other != knob).collect();
            let played = script.play(turned(from, &fewer, &to))?;
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

/// Whether turning one knob changes what is answered.
#[must_use]
pub fn changes(script: &impl Script, from: Revision, knob: &str, to: &Revision) -> bool {
    let turned = from.with_knob_of(knob, to);
    turned.is_some_and(|turned| turned != from && script.play(turned) != script.play(from))
}
