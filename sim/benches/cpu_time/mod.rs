// SPDX-License-Identifier: GPL-2.0-only
//! What a thread used, whoever else has the machine: for criterion, and for ratios.

use std::hint::black_box;
use std::time::Duration;

use ::cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// Thread CPU time.
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }
    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Prints at what rate of the `floor` the `other` goes: the 10 %, 50 % and 90 % quantiles over
/// rounds in which both take turns.
pub(crate) fn print_ratio(
    name: &str,
    mut floor: impl FnMut() -> u64,
    mut other: impl FnMut() -> u64,
) {
    const ROUNDS: usize = 41;
    let took = |deed: &mut dyn FnMut() -> u64| {
        let from = ThreadTime::now();
        black_box(deed());
        from.elapsed().as_nanos() as f64
    };
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| match round % 2 {
            0 => took(&mut floor) / took(&mut other),
            _ => 1.0 / (took(&mut other) / took(&mut floor)),
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let [low, median, high] =
        [ROUNDS / 10, ROUNDS / 2, ROUNDS - 1 - ROUNDS / 10].map(|at| ratios[at]);
    println!("{name}: {median:.2} of the floor's rate ({low:.2} to {high:.2})");
}
