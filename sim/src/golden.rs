// SPDX-License-Identifier: GPL-2.0-only
//! A trace played from its first block to its last, as its answers are golden.
//!
//! What ends a trace early is an answer as well, `error: …`, and so is what is left at the end:
//! a kernel that crashes can be shown to do so. The blocks behind it answer nothing.

use std::ops::ControlFlow;

use nfexp_model::revision::Revision;
use nfexp_traces::text::{Answer, Block, Trace};

use crate::simulator::{Simulator, StepError, config};

/// A trace that was played.
#[derive(Debug, Default)]
pub struct Played {
    /// What each block was answered.
    pub answers: Vec<Vec<String>>,
    /// The line in the file and the error that ended it.
    pub failure: Option<(usize, StepError)>,
}

/// How much a trace is answered: who lists a full table again and again is answered more than a
/// machine keeps.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    bytes: usize,
}

/// A block that was answered otherwise than it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of its last step.
    pub line: usize,
    /// What it says.
    pub expected: Vec<String>,
    /// What it was answered.
    pub answered: Vec<String>,
}

impl Answered {
    /// A million lines of a hundred bytes.
    const MOST: usize = 128 << 20;

    /// What a step is answered, if that is not too much.
    ///
    /// # Errors
    /// [`StepError::Trace`].
    pub(crate) fn more(&mut self, said: Vec<String>) -> Result<Vec<String>, StepError> {
        self.bytes += said.iter().map(|said| size_of::<String>() + said.len()).sum::<usize>();
        if self.bytes <= Self::MOST {
            return Ok(said);
        }
        let most = Self::MOST >> 20;
        Err(StepError::Trace(format!("expected at most {most} MiB of answers in all")))
    }
}

impl Played {
    /// The first block that differs.
    #[must_use]
    pub fn difference(&self, trace: &Trace, revision: &Revision) -> Option<Difference> {
        let blocks = trace.blocks.iter().zip(&self.answers);
        let differs = |block: &Block, answered: &[String]| {
            let expected = block.expected(revision.name);
            let line = block.steps.last().map_or(0, |(line, _)| *line);
            (expected != answered).then(|| Difference {
                line,
                expected: expected.to_vec(),
                answered: answered.to_vec(),
            })
        };
        blocks.into_iter().find_map(|(block, answered)| differs(block, answered))
    }
}

/// A trace of nothing but steps, with what it is answered when it is played.
///
/// # Errors
/// If it cannot be played.
pub fn with_answers(mut trace: Trace, revision: Revision) -> Result<Trace, StepError> {
    let mut simulator = Simulator::new(config(&trace.setup, revision))?;
    for block in &mut trace.blocks {
        let mut lines = Vec::new();
        for (_, step) in &block.steps {
            lines.extend(simulator.step(step)?);
        }
        if !lines.is_empty() {
            block.answers.push(Answer { revisions: Vec::new(), lines });
        }
    }
    simulator.audit()?;
    Ok(trace)
}

/// Plays a trace on a kernel; `each` hears of every step by its number, from 1, and may stop it.
///
/// # Errors
/// If there is no memory for the engine.
pub fn play(
    trace: &Trace,
    revision: Revision,
    mut each: impl FnMut(u64, &mut Simulator) -> ControlFlow<()>,
) -> Result<Played, StepError> {
    let mut simulator = Simulator::new(config(&trace.setup, revision))?;
    let mut played = Played::default();
    let (mut steps, mut answered) = (0, Answered::default());
    for block in &trace.blocks {
        let mut lines = Vec::new();
        for (line, step) in &block.steps {
            if played.failure.is_some() {
                break;
            }
            match simulator.step(step).and_then(|said| answered.more(said)) {
                Ok(said) => lines.extend(said),
                Err(error) => {
                    lines.push(format!("error: {error}"));
                    played.failure = Some((*line, error));
                    break;
                }
            }
            steps += 1;
            if each(steps, &mut simulator).is_break() {
                played.answers.push(lines);
                return Ok(played);
            }
        }
        played.answers.push(lines);
    }
    if played.failure.is_some() {
        // What is broken cannot be taken apart without breaking more.
        std::mem::forget(simulator);
    } else if let Err(error) = simulator.finish()
        && let Some(last) = played.answers.last_mut()
    {
        last.push(format!("error at the end: {error}"));
    }
    Ok(played)
}
