// SPDX-License-Identifier: GPL-2.0-only
//! From where on a run is in its steady state, and whether it ever is.
//!
//! *Warm-up*: bins from the start that are left out: as many as MSER-5 says of recall or of
//! occupancy, and three of the longest timeouts at least, of a policy's own where half of the run
//! holds three of those. A run whose warm-up reaches into its
//! second half is *not steady*, and no more is claimed of it; nor of replications of which more than
//! one in ten is not.
//!
//! The rule that matters: MSER is asked only about what moves. Of a series that is nearly all one
//! value it would cut behind the last blip, wherever chance put that one.

use super::measure::{BINS, Bin};
use super::statistics::mser5;

/// With fewer misses, one in ten bins, a run's recall says nothing about its warm-up.
const SPEAKS: u32 = BINS as u32 / 10;

/// An occupancy that spreads less than this share of its mean is settled.
const SETTLED: f64 = 0.01;

/// How many bins are warm-up, `floor` at least; and whether the rest is a steady state.
#[must_use]
pub fn warm_up(bins: &[Bin], floor: usize) -> (usize, bool) {
    let cut = by_recall(bins).max(by_occupancy(bins, floor)).max(floor);
    (cut.min(bins.len().saturating_sub(1)), cut <= bins.len() / 2)
}

/// Whether replications may be spoken of: nine in ten of them, at least, are steady. Where nothing
/// changes any more, a few of many are still called not steady, by chance.
#[must_use]
pub fn speak(of: impl Iterator<Item = bool>) -> bool {
    let (all, steady) = of.fold((0u64, 0), |(all, steady), is| (all + 1, steady + u64::from(is)));
    (all - steady) * 10 <= all
}

/// What tables say beside a row: of one that is not steady, that nothing is claimed.
#[must_use]
pub const fn said(steady: bool) -> &'static str {
    if steady { "" } else { "inconclusive: not steady" }
}

fn by_recall(bins: &[Bin]) -> usize {
    let misses: u32 = bins.iter().map(|bin| bin.useful - bin.hits).sum();
    if misses < SPEAKS {
        return 0;
    }
    // An empty bin says nothing about recall; the one before speaks for it.
    let mut last = 1.0;
    let recall: Vec<f64> = bins
        .iter()
        .map(|bin| {
            if bin.useful > 0 {
                last = f64::from(bin.hits) / f64::from(bin.useful);
            }
            last
        })
        .collect();
    mser5(&recall)
}

fn by_occupancy(bins: &[Bin], floor: usize) -> usize {
    let slots: Vec<f64> = bins.iter().map(|bin| bin.slots as f64).collect();
    let rest = &slots[floor.min(slots.len())..];
    let mean = rest.iter().sum::<f64>() / rest.len().max(1) as f64;
    let squares: f64 = rest.iter().map(|slots| (slots - mean) * (slots - mean)).sum();
    let spread = libm::sqrt(squares / rest.len().max(1) as f64);
    if spread <= SETTLED * mean { 0 } else { mser5(&slots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(of: impl Fn(usize) -> (u32, u32, u64)) -> Vec<Bin> {
        let bin = |at| {
            let (useful, hits, slots) = of(at);
            Bin { useful, hits, slots, ..Bin::default() }
        };
        (0..BINS).map(bin).collect()
    }

    #[test]
    fn a_few_late_misses_are_no_warm_up() {
        // 24 misses, all of them in the second half: MSER alone would cut behind the last.
        let late = bins(|at| (100, 100 - u32::from((150..174).contains(&at)), 1000));
        assert_eq!(warm_up(&late, 10), (10, true));
        let recall: Vec<f64> = late.iter().map(|bin| f64::from(bin.hits) / 100.0).collect();
        assert!(mser5(&recall) > BINS / 2, "without the rule it would be called not steady");
        // One more, and they speak: a recall that falls in the second half is no steady one.
        let more = bins(|at| (100, 100 - u32::from((150..175).contains(&at)), 1000));
        assert!(!warm_up(&more, 10).1);
    }

    #[test]
    fn one_replication_in_ten_may_be_called_not_steady() {
        let some = |of: u64, unsteady: u64| speak((0..of).map(|at| at >= unsteady));
        assert!(some(10, 1) && !some(10, 2) && !some(9, 1) && some(100, 10) && !some(100, 11));
    }

    #[test]
    fn a_full_table_with_a_blip_is_settled() {
        let blip = bins(|at| (100, 50, if at == 180 { 990 } else { 1000 }));
        assert_eq!(warm_up(&blip, 10), (10, true));
        let slots: Vec<f64> = blip.iter().map(|bin| bin.slots as f64).collect();
        assert!(mser5(&slots) > BINS / 2, "without the rule it would be called not steady");
    }

    #[test]
    fn what_fills_is_cut_and_what_never_settles_is_said() {
        let fills = bins(|at| (100, 90, 1000 * at.min(60) as u64));
        let (cut, steady) = warm_up(&fills, 10);
        assert!((50..=70).contains(&cut) && steady, "{cut}");
        let rises = bins(|at| (100, 90, 1000 * at as u64));
        assert!(!warm_up(&rises, 10).1);
        assert_eq!(warm_up(&bins(|_| (0, 0, 0)), BINS), (BINS - 1, false));
    }
}
