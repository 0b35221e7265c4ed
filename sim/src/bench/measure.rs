// SPDX-License-Identifier: GPL-2.0-only
//! Measuring a row: all contenders over the same deeds, slice by slice, in CPU time.
//!
//! A contender's slice is timed when it has run one unseen: since it last ran, five others were
//! over the caches, and whoever uses an engine has one. Where a slice begins with filling the
//! table, that is what it has run. What differs is a table too large for the nearest caches and
//! not for all: a miss in a million is 12 times as fast as the kernel's layout when it begins
//! cold, 20 when it does not, as it is alone in a process.

use std::time::Duration;

use cpu_time::ThreadTime;

use super::deed::{Contender, Deed};
use super::rows::{Pool, Row};
use super::workload::Slice;

/// What one contender needed.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Who.
    pub name: &'static str,
    /// Picoseconds per operation of every slice.
    pub slices: Vec<u64>,
}

impl Figures {
    /// The best slice, in nanoseconds per operation.
    #[must_use]
    pub fn nanos(&self) -> f64 {
        *self.slices.iter().min().expect("at least one slice") as f64 / 1000.0
    }

    /// How many times faster than `other`: the 10 %, 50 % and 90 % quantiles over the slices.
    #[must_use]
    pub fn times_faster(&self, other: &Self) -> [f64; 3] {
        let pairs = self.slices.iter().zip(&other.slices);
        let mut ratios: Vec<f64> =
            pairs.map(|(&mine, &theirs)| theirs as f64 / mine.max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        let last = ratios.len() - 1;
        [last / 10, last / 2, last - last / 10].map(|place| ratios[place])
    }
}

/// Runs a row until it took `enough` of CPU time, or thirty slices, but at least three.
///
/// # Panics
/// If two contenders answer differently: one of them is wrong.
#[must_use]
pub fn measure(row: &Row, enough: Duration) -> Vec<Figures> {
    let mut workload = row.workload();
    let memory = Pool::new();
    let named = Row::CONTENDERS.iter().enumerate();
    let mut contenders: Vec<(&'static str, Box<dyn Contender + '_>)> =
        named.map(|(place, &name)| (name, row.contender(place, &workload, &memory))).collect();
    let mut figures: Vec<Figures> =
        contenders.iter().map(|&(name, _)| Figures { name, slices: Vec::new() }).collect();
    while let Some(deeds) = workload.prefill() {
        agree(row, contenders.iter_mut().map(|(name, c)| (*name, c.run(&deeds))));
    }
    let start = ThreadTime::now();
    for slice in 0..30 {
        if slice >= 3 && start.elapsed() > enough {
            break;
        }
        let mut deeds = workload.slice();
        if deeds.setup.is_empty() {
            deeds = Slice { setup: deeds.timed, ..workload.slice() };
        }
        let count = contenders.len();
        let mut sums = Vec::with_capacity(count);
        for place in (0..count).map(|place| (place + slice) % count) {
            let (name, contender) = &mut contenders[place];
            let before = contender.run(&deeds.setup);
            let from = ThreadTime::now();
            let sum = contender.run(std::hint::black_box::<&[Deed]>(&deeds.timed));
            let took = from.elapsed().as_nanos() as u64;
            figures[place].slices.push(took * 1000 / deeds.operations.max(1));
            sums.push((*name, before ^ sum.rotate_left(1)));
        }
        agree(row, sums.into_iter());
        let live = contenders.iter().take(4).map(|(name, c)| (*name, c.live()));
        agree(row, live);
    }
    figures
}

/// Runs one slice of a row by the contender at a place, for tools that count instructions; answers
/// for how many operations the deeds that are counted stand.
///
/// # Panics
/// If there is no such place.
#[must_use]
pub fn run_once(row: &Row, place: usize) -> u64 {
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
    counted(contender.as_mut(), deeds);
    slice.operations * deeds.len() as u64 / slice.timed.len() as u64
}

/// What `.ci/instructions` counts.
#[inline(never)]
fn counted(contender: &mut dyn Contender, deeds: &[Deed]) {
    std::hint::black_box(contender.run(deeds));
}

/// All but the floors must say the same.
fn agree(row: &Row, sums: impl Iterator<Item = (&'static str, u64)>) {
    let mut first = None;
    for (name, sum) in sums.filter(|(name, _)| !name.ends_with("dependent")) {
        let (who, expected) = *first.get_or_insert((name, sum));
        assert!(sum == expected, "{}: {name} and {who} answer differently", row.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::ROWS;

    /// Every workload, small: the sizes differ, the deeds do not.
    #[test]
    fn all_contenders_answer_alike() {
        let firsts = ROWS.chunk_by(|a, b| a.group == b.group).map(|rows| &rows[0]);
        for row in firsts {
            let small = Row { size: 10 << 10, ..*row };
            let mut workload = small.workload();
            let memory = Pool::new();
            let mut contenders =
                [0, 1, 2, 3].map(|place| small.contender(place, &workload, &memory));
            while let Some(deeds) = workload.prefill() {
                agree(&small, contenders.iter_mut().map(|c| ("", c.run(&deeds))));
            }
            let slice = workload.slice();
            let (setup, timed) = (&slice.setup, &slice.timed[..slice.timed.len().min(20_000)]);
            agree(&small, contenders.iter_mut().map(|c| ("", c.run(setup))));
            agree(&small, contenders.iter_mut().map(|c| ("", c.run(timed))));
            agree(&small, contenders.iter().map(|c| ("", c.live())));
        }
    }

    #[test]
    #[should_panic(expected = "answer differently")]
    fn whoever_answers_differently_loses() {
        agree(&ROWS[0], [("engine", 1), ("kernel", 2)].into_iter());
    }
}
