// SPDX-License-Identifier: GPL-2.0-only
//! A text trace: what can be read prints, and what was printed reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_traces::text::{Trace, parse};

fn steps(trace: &Trace) -> Vec<&nfexp_traces::step::Step> {
    trace.blocks.iter().flat_map(|block| block.steps.iter().map(|(_, step)| step)).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(trace) = parse(text) else { return };
    let printed = trace.to_string();
    let again = parse(&printed).expect("what was printed is a trace");
    assert_eq!(steps(&again), steps(&trace));
});
