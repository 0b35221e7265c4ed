// SPDX-License-Identifier: GPL-2.0-only
//! A finding made small: fewer operations at which kernel and model still part.
//!
//! ```text
//!   finding ─▶ what a witness says is enough ─▶ does the kernel agree? ─▶ fewer, on the kernel
//! ```
//!
//! The rule that matters: each candidate is run again on both, from an empty table. What models
//! say among themselves is a guess, which only saves waiting.

use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{Answer, Header, Operation};

use super::kernel::{Kernel, Trouble};
use super::live::{Finding, Run, rerun};
use crate::conform::{self, Divergence, reduce};

/// How much waiting a shrink may cost, in virtual milliseconds.
const BUDGET_MS: u64 = 240_000;

/// What an attempt costs beside its waiting, in the same coin.
const ATTEMPT_MS: u64 = 50;

/// Takes operations away as long as the two still part.
///
/// # Errors
/// If the kernel would not.
pub fn shrink(
    kernel: &mut Kernel,
    header: &Header,
    revision: Revision,
    finding: Finding,
) -> Result<Finding, Trouble> {
    let mut small = finding;
    let mut spent_ms = 0;
    let mut shows = |kept: &[Operation], small: &mut Finding| -> Result<bool, Trouble> {
        if spent_ms >= BUDGET_MS {
            return Ok(false);
        }
        spent_ms += ATTEMPT_MS + waits_ms(kept);
        let Run { lines, difference, .. } = rerun(kernel, kept, header, Some(revision))?;
        let shows = difference.is_some();
        if let Some(difference) = difference {
            *small = Finding { lines, difference };
        }
        Ok(shows)
    };
    let guess = guess(header, revision, &small);
    if guess.len() < small.lines.len() {
        shows(&guess, &mut small)?;
    }
    let operations = operations(&small);
    let whole = operations.len();
    let shows =
        |kept: &[Operation]| Ok::<_, Trouble>(kept.len() == whole || shows(kept, &mut small)?);
    reduce(operations, shows)?;
    Ok(small)
}

/// What is enough if the kernel is the model with one knob turned, or another revision.
fn guess(header: &Header, revision: Revision, finding: &Finding) -> Vec<Operation> {
    let Finding { lines, difference } = finding;
    let (place, answer) = (lines.len() - 1, Answer::default());
    let divergence = Divergence { place, answer, difference: difference.clone() };
    let small = conform::shrink(header, lines, revision, &divergence);
    small.lines.into_iter().map(|line| line.operation).collect()
}

fn operations(finding: &Finding) -> Vec<Operation> {
    finding.lines.iter().map(|line| line.operation.clone()).collect()
}

fn waits_ms(operations: &[Operation]) -> u64 {
    let advances = operations.iter().filter_map(|operation| match operation {
        Operation::Advance(advance) => Some(advance.to),
        _ => None,
    });
    advances.max().unwrap_or(0)
}
