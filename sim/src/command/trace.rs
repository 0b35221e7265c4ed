// SPDX-License-Identifier: GPL-2.0-only
//! Traces, for the verbs that take captures as well.

use std::ops::ControlFlow;
use std::path::Path;

use nfexp_model::kernel::Ticks;
use nfexp_traces::step::Step;
use nfexp_traces::text::{Block, Trace, parse};

use super::input::text_of;
use super::kernel::Kernel;
use super::show::{Format, Moment as At};
use super::{Failure, remark};
use crate::golden::{Played, play};
use crate::report::{Ledger, Moment};
use crate::simulator::{Simulator, StepError, config};

/// The largest trace that is read.
const LARGEST_MIB: u64 = 64;
/// The longest: a line, however short, may be a step, which takes some hundred bytes, and as many to
/// answer.
const MOST_LINES: usize = 1 << 20;

/// Reads a trace.
///
/// # Errors
/// [`Failure::Data`], with line, column and what was expected there.
pub(super) fn read(path: &Path) -> Result<Trace, Failure> {
    let data = |why: String| Failure::Data(path.to_owned(), why);
    let text = text_of(path, "a trace", LARGEST_MIB)?;
    if text.lines().nth(MOST_LINES).is_some() {
        let line = MOST_LINES + 1;
        return Err(data(format!("line {line}: expected a trace of at most {MOST_LINES} lines")));
    }
    parse(&text).map_err(|error| data(error.to_string()))
}

/// Refuses a trace's text that is more than is read.
pub(super) fn could_be_read(text: &str) -> Result<(), String> {
    let (lines, most_bytes) = (text.lines().count(), (LARGEST_MIB as usize) << 20);
    if lines > MOST_LINES {
        return Err(format!("it has {lines} lines, expected at most {MOST_LINES}"));
    }
    if text.len() > most_bytes {
        return Err(format!("it has {} bytes, expected at most {LARGEST_MIB} MiB", text.len()));
    }
    Ok(())
}

/// Refuses what a trace says itself, in its first lines and by its steps.
fn says_itself(path: &Path, kernel: &Kernel) -> Result<(), Failure> {
    let because = format!("{}: a trace says itself how its kernel is set up", path.display());
    kernel.takes(&["--revision"], &because)
}

/// Plays a trace into a ledger; the failure is the first answer that differs.
pub(super) fn ledger(
    path: &Path,
    kernel: &Kernel,
) -> Result<(Ledger, Result<(), Failure>), Failure> {
    says_itself(path, kernel)?;
    let trace = read(path)?;
    let mut ledger = Ledger::default();
    let mut start = None;
    let played = play(&trace, kernel.revision, |step, simulator| {
        let hz = u64::from(simulator.engine().config().hz);
        let now = simulator.now();
        let ticks = now.ticks_from(*start.get_or_insert(now));
        let ms = u64::try_from(ticks).unwrap_or(0).saturating_mul(1000) / hz;
        for event in simulator.take_events() {
            ledger.enter(simulator.engine(), Moment { at: step, ms }, &event);
        }
        ControlFlow::Continue(())
    });
    let played = played.map_err(|error| Failure::System(error.to_string()))?;
    Ok((ledger, verdict(path, &trace, &played, kernel)))
}

/// Whether a trace was answered as it says.
fn verdict(path: &Path, trace: &Trace, played: &Played, kernel: &Kernel) -> Result<(), Failure> {
    let Some(difference) = played.difference(trace, &kernel.revision) else { return Ok(()) };
    let (of, revision) = (trace.answered_on(), kernel.revision.name);
    if !of.contains(&revision) {
        let (path, line, its) = (path.display(), difference.line, of.join(" and "));
        let instead = of.last().unwrap_or(&revision);
        return Err(Failure::Inconclusive(format!(
            "{path}: behind line {line} {revision} answers otherwise, but the answers are of {its}: \
             hold it against them with --revision {instead}"
        )));
    }
    if let Some((line, error @ StepError::Trace(_))) = &played.failure {
        return Err(Failure::Data(path.to_owned(), format!("line {line}: {error}")));
    }
    let or_nothing = |lines: &[String]| match lines {
        [] => "(nothing)".to_owned(),
        lines => lines.join("\n  "),
    };
    Err(Failure::Differs(format!(
        "{}: behind line {}, expected:\n  {}\nanswered:\n  {}",
        path.display(),
        difference.line,
        or_nothing(&difference.expected),
        or_nothing(&difference.answered),
    )))
}

/// The listing at a moment, or at the end.
pub(super) fn show(
    path: &Path,
    at: Option<At>,
    format: Format,
    kernel: &Kernel,
) -> Result<String, Failure> {
    says_itself(path, kernel)?;
    let mut trace = read(path)?;
    if let Some(At::Since(span)) = at {
        let hz = config(&trace.setup, kernel.revision).hz;
        let ns = span.nanoseconds(hz).unsigned_abs();
        let ticks = u128::from(ns) * u128::from(hz) / 1_000_000_000;
        end_at(&mut trace, u64::try_from(ticks).unwrap_or(u64::MAX));
    }
    // A listing is as long as the table, which may grow with every step: only the one is made.
    let listed_after = |wanted: u64| {
        let (mut steps, mut text) = (0, None);
        let look = |step, simulator: &mut Simulator| {
            steps = step;
            if step != wanted {
                return ControlFlow::Continue(());
            }
            text = Some(format.listing(path, simulator.engine(), simulator.now()));
            ControlFlow::Break(())
        };
        let played = play(&trace, kernel.revision, look);
        let played = played.map_err(|error| Failure::System(error.to_string()))?;
        Ok::<_, Failure>((played, steps, text))
    };
    let all = trace.blocks.iter().map(|block| block.steps.len() as u64).sum();
    let (played, steps, mut text) =
        listed_after(if let Some(At::After(at)) = at { at } else { all })?;
    let cannot_be_played = matches!(played.failure, Some((_, StepError::Trace(_))));
    if let (None, false, Some((line, error))) = (at, cannot_be_played, &played.failure) {
        // It crashed: what was so far is shown.
        remark(format_args!("nfexp: {}: line {line}: {error}", path.display()));
        if steps > 0 {
            text = listed_after(steps)?.2;
        }
    }
    let is_there = match at {
        None => !cannot_be_played,
        Some(At::After(at)) => at == steps,
        Some(At::Since(_)) => played.failure.is_none(),
    };
    match (is_there, at, &played.failure) {
        (false, _, Some((line, error))) => {
            Err(Failure::Data(path.to_owned(), format!("line {line}: {error}")))
        }
        (false, Some(At::After(at)), None) => {
            Err(Failure::Usage(format!("--at {at}: the trace has {steps} steps")))
        }
        _ => Ok(text.unwrap_or_default()),
    }
}

/// Ends a trace so long after its first step: what is due by then still happens, and what comes
/// later does not.
fn end_at(trace: &mut Trace, ticks: u64) {
    let mut left = ticks;
    for block in 0..trace.blocks.len() {
        let steps = &mut trace.blocks[block].steps;
        for at in 0..steps.len() {
            let Step::Advance(Ticks(span)) = &mut steps[at].1 else { continue };
            if *span > left {
                *span = left;
                steps.truncate(at + 1);
                trace.blocks.truncate(block + 1);
                return;
            }
            left -= *span;
        }
    }
    let steps = vec![(0, Step::Advance(Ticks(left)))];
    trace.blocks.push(Block { lines: Vec::new(), steps, answers: Vec::new() });
}
