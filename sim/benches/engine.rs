// SPDX-License-Identifier: GPL-2.0-only
//! `cargo bench`: every row through criterion, in thread CPU time.
//!
//! Criterion shows how each contender's figures lie; the ratios, measured slice by slice over
//! the same deeds, are what `nfexp bench` prints.
//!
//! The rule that matters: set-up is not timed, and answers are compared before anything is.

#[expect(dead_code, reason = "`nfexp bench` has the ratios of the rows")]
mod cpu_time;

use std::time::Duration;

use ::cpu_time::ThreadTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nfexp_sim::bench::workload::Workload;
use nfexp_sim::bench::{Contender, Pool, ROWS, Row, measure};

use cpu_time::CpuTime;

/// A contender with its table filled, and what it is to do next.
struct Running<'a> {
    workload: Workload,
    contender: Box<dyn Contender + 'a>,
}

impl<'a> Running<'a> {
    fn start(row: &Row, place: usize, memory: &'a Pool<'a>) -> Self {
        let mut workload = row.workload();
        let mut contender = row.contender(place, &workload, memory);
        while let Some(deeds) = workload.prefill() {
            contender.run(&deeds);
        }
        Self { workload, contender }
    }

    /// Runs so many slices, timing only what counts.
    fn time(&mut self, slices: u64) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..slices {
            let slice = self.workload.slice();
            self.contender.run(&slice.setup);
            let from = ThreadTime::now();
            std::hint::black_box(self.contender.run(&slice.timed));
            took += from.elapsed();
        }
        took
    }
}

fn rows(criterion: &mut Criterion<CpuTime>) {
    for row in ROWS {
        let mut group = criterion.benchmark_group(row.name());
        group.throughput(Throughput::Elements(row.workload().slice().operations));
        for (place, name) in Row::CONTENDERS.into_iter().enumerate() {
            // Made when criterion asks for it, so that a filter costs nothing.
            let memory = Pool::new();
            let mut running: Option<Running<'_>> = None;
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                let running = running.get_or_insert_with(|| Running::start(row, place, &memory));
                bencher.iter_custom(|slices| running.time(slices));
            });
        }
        group.finish();
    }
}

/// The answers first: a row whose contenders disagree is no bench.
fn answers(_: &mut Criterion<CpuTime>) {
    for row in ROWS.iter().filter(|row| row.size <= 10 << 10) {
        let _ = measure(row, Duration::ZERO);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(500));
    targets = answers, rows
}
criterion_main!(benches);
