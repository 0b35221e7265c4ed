// SPDX-License-Identifier: GPL-2.0-only
//! One slice of one row by one contender, for tools that count instructions:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='deeds::timed' \
//!     target/release/examples/deeds churn/10k engine
//! ```
//!
//! Prints how many operations the counted part stands for.

use nfexp_sim::bench::{Contender, Deed, Pool, Row};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (row, who) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let row = Row::named(&row);
    let place = Row::CONTENDERS.iter().position(|known| *known == who);
    let (Some(row), Some(place)) = (row, place) else {
        eprintln!("deeds: expected a row and a contender, as in `deeds churn/10k engine`");
        std::process::exit(2);
    };
    let mut workload = row.workload();
    let memory = Pool::new();
    let mut contender = row.contender(place, &workload, &memory);
    while let Some(deeds) = workload.prefill() {
        contender.run(&deeds);
    }
    let slice = workload.slice();
    contender.run(&slice.setup);
    // A shorter slice than is timed: instructions do not vary.
    let deeds = &slice.timed[..slice.timed.len().min(20_000)];
    timed(contender.as_mut(), deeds);
    println!("{}", slice.operations * deeds.len() as u64 / slice.timed.len() as u64);
}

#[inline(never)]
fn timed(contender: &mut dyn Contender, deeds: &[Deed]) {
    std::hint::black_box(contender.run(deeds));
}
