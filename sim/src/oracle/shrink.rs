// SPDX-License-Identifier: GPL-2.0-only
//! A finding made small: fewer operations at which kernel and model still part.
//!
//! The rule that matters: each candidate is run again on both, from an empty table. What is left
//! is checked once more in a fresh namespace.

use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{Header, Operation};

use super::kernel::{Kernel, Trouble};
use super::live::{Finding, Run, rerun};

/// How much waiting a shrink may cost, in virtual milliseconds.
const BUDGET_MS: u64 = 240_000;

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
    let mut chunk = small.lines.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut shorter = false;
        // The last operation is the one they part at: it stays, until another takes its place.
        while at + 1 < small.lines.len() && spent_ms < BUDGET_MS {
            let without = |(place, _): &(usize, &Operation)| !(at..at + chunk).contains(place);
            let operations: Vec<Operation> =
                small.lines.iter().map(|line| line.operation.clone()).collect();
            let last = operations.len() - 1;
            let candidate: Vec<Operation> = operations
                .iter()
                .enumerate()
                .filter(|place| place.0 == last || without(place))
                .map(|(_, operation)| operation.clone())
                .collect();
            spent_ms += waits_ms(&candidate);
            match rerun(kernel, &candidate, header, Some(revision))? {
                Run { lines, difference: Some(difference) } => {
                    small = Finding { lines, difference };
                    shorter = true;
                }
                Run { difference: None, .. } => at += chunk,
            }
        }
        if !(shorter && chunk == 1) {
            chunk /= 2;
        }
    }
    Ok(small)
}

fn waits_ms(operations: &[Operation]) -> u64 {
    let advances = operations.iter().filter_map(|operation| match operation {
        Operation::Advance(advance) => Some(advance.to),
        _ => None,
    });
    advances.max().unwrap_or(0)
}
