// SPDX-License-Identifier: GPL-2.0-only
//! What a second thread brings a sweep: nothing is shared, so nearly another one.
//!
//! The same study is run by one thread and by two, in turn. Counted is the CPU time of the whole
//! process: what two need more than one is what they cost each other (memory, caches, waiting for
//! work), whoever else has the machine. It does not see a processor that grows slower when its
//! neighbour works.

use cpu_time::ProcessTime;

use crate::research::sweep::plan::Plan;
use crate::research::sweep::shard::run_in_memory;
use crate::research::sweep::study::Study;

/// Eight blocks of a fraction of a second.
const STUDY: &str = r#"
name = "threads"
about = "What a second thread brings."
scenario = "prototype"
policies = ["kernel", "oldest-global"]
expect_max = [256, 4096]
replications = 8
set = [
  { path = "run.lasts", value = "3000s" },
  { path = "class.attack.arrivals.per_second", value = 2 },
]
"#;

/// How many times one thread's work two do in the same time: the 10 %, 50 % and 90 % quantiles
/// over so many rounds.
///
/// # Panics
/// If two threads find something else than one.
#[must_use]
pub fn two_sweep_threads(rounds: usize) -> [f64; 3] {
    let study = Study::parse(STUDY).expect("it reads");
    let plan = Plan::of(study, None).expect("it can be planned");
    let run = |jobs| {
        let from = ProcessTime::now();
        let rows = run_in_memory(&plan, jobs, &|_, _| {}).expect("it runs");
        (from.elapsed().as_secs_f64(), rows)
    };
    let mut times: Vec<f64> = (0..rounds.max(1))
        .map(|_| {
            let ((one, rows), (two, same)) = (run(1), run(2));
            assert!(rows == same, "two threads find something else than one");
            2.0 * one / two
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let last = times.len() - 1;
    [last / 10, last / 2, last - last / 10].map(|place| times[place])
}
