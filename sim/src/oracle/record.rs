// SPDX-License-Identifier: GPL-2.0-only
//! A sequence recorded: several times, and kept when all recordings agree.
//!
//! The rule that matters: what depends on chance must not become a golden. Each recording runs
//! in a namespace of its own; they agree by the rules by which a model agrees with them.

use std::collections::BTreeMap;

use nfexp_traces::transcript::{BucketKey, Event, Header, Line, compare};

use super::cells::Cells;
use super::kernel::Trouble;
use super::live::{Sequence, in_namespace, run};
use super::namespace::Lacking;

/// Records a sequence so many times.
///
/// # Errors
/// The outer: what the kernel lacks. The inner: two recordings differ, or the machine is busy.
pub fn record(
    sequence: &Sequence,
    times: u32,
) -> Result<Result<(Header, Vec<Line>), Trouble>, Lacking> {
    let header = sequence.header()?;
    let mut kept: Option<Vec<Line>> = None;
    for _ in 0..times {
        let run =
            in_namespace(|kernel| run(kernel, sequence, &header, None, &mut Cells::default()))?;
        let lines = match run {
            Ok(run) => run.lines,
            Err(trouble) => return Ok(Err(trouble)),
        };
        if let Some(first) = &kept
            && let Some(what) = differ(&header, first, &lines)
        {
            return Ok(Err(Trouble::System(format!("two recordings differ: {what}"))));
        }
        kept.get_or_insert(lines);
    }
    Ok(Ok((header, kept.unwrap_or_default())))
}

/// Where two recordings of one sequence differ.
#[must_use]
pub fn differ(header: &Header, first: &[Line], second: &[Line]) -> Option<String> {
    if first.len() != second.len() {
        return Some(format!("{} operations, then {}", first.len(), second.len()));
    }
    let mut buckets: BTreeMap<u64, BucketKey> = BTreeMap::new();
    for (a, b) in first.iter().zip(second) {
        for event in a.answer.events() {
            if let Event::ExpNew { e, l3, tuple, .. } = event {
                buckets.insert(*e, BucketKey::of(*l3, tuple));
            }
        }
        let bucket_of = |handle: u64| buckets.get(&handle).copied();
        if a.operation != b.operation {
            return Some(format!("operation {} is another", a.i));
        }
        if let Some(difference) =
            compare(header.tol, &a.operation, &a.answer, &b.answer, &bucket_of)
        {
            return Some(format!("operation {}: {difference}", a.i));
        }
    }
    None
}
