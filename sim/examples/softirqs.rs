// SPDX-License-Identifier: GPL-2.0-only
//! One trace under a thousand schedules: what if softirqs come late?
//!
//! A master ends while the timer of what it expects is due. In order, the callback has run by
//! then. If it is late, kernels before 7.2 free the master under it (CVE-2026-80668).

use nfexp_model::revision::Revision;
use nfexp_sim::schedule::Seeded;
use nfexp_sim::simulator::{Simulator, StepError, config, crash_quietly};
use nfexp_traces::text::{Trace, parse};

const TRACE: &str = "\
# A master ends at the moment its expectation expires.
helper-policy ftp max=1 timeout=1s

conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 helper=ftp
confirm m
expect e master=m tcp 10.0.0.2:* > 10.0.0.1:50000
put e
advance 1100ms
destroy m
memory
advance 1s
";

fn play(trace: &Trace, revision: Revision, seed: u64) -> Result<(), StepError> {
    let schedule = Box::new(Seeded::new(seed));
    let mut simulator = Simulator::with(config(&trace.setup, revision), None, schedule)?;
    for (_, step) in trace.blocks.iter().flat_map(|block| &block.steps) {
        if let Err(error) = simulator.step(step) {
            // What is broken cannot be taken apart without breaking more.
            std::mem::forget(simulator);
            return Err(error);
        }
    }
    simulator.finish()
}

fn main() {
    crash_quietly();
    let trace = parse(TRACE).expect("the trace above");
    for revision in Revision::ALL {
        let broken: Vec<(u64, StepError)> = (0..1000)
            .filter_map(|seed| Some((seed, play(&trace, revision, seed).err()?)))
            .collect();
        print!("{:>4}: {} of 1000 schedules break it", revision.name, broken.len());
        match broken.first() {
            Some((seed, error)) => println!("; seed {seed}: {error}"),
            None => println!(),
        }
    }
}
