// SPDX-License-Identifier: GPL-2.0-only
//! A text trace, played by three kernels: it may make a kernel crash, as kernels do, or an
//! invariant false; nothing else panics.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use nfexp_model::revision::Revision;
use nfexp_sim::golden;
use nfexp_sim::simulator::{StepError, crash_quietly};
use nfexp_traces::text::parse;

/// How a kernel crashes.
const CRASHES: [&str; 10] = [
    "NULL dereference",
    "a call into the text",
    "use after free",
    "double free",
    "followed a poisoned link",
    "the table was freed",
    "hlist_del_rcu()",
    "add_timer()",
    "reference count below zero",
    "recursive spin lock",
];
/// So many steps are enough for anything.
const STEPS: u64 = 400;

fuzz_target!(init: crash_quietly(), |bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(trace) = parse(text) else { return };
    for revision in Revision::ALL {
        let enough = |steps, _: &mut _| match steps < STEPS {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let Ok(played) = golden::play(&trace, revision, enough) else { continue };
        if let Some((line, StepError::Crash(why))) = played.failure {
            let known = CRASHES.iter().any(|crash| why.starts_with(crash));
            assert!(known, "{} line {line}: {why}", revision.name);
        }
    }
});
