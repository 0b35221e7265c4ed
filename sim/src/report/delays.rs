// SPDX-License-Identifier: GPL-2.0-only
//! From an announcement to its connection: how long, and how often in vain.
//!
//! *Delay*: the time between the two. *Censored*: an announcement whose connection was not seen to
//! come; how long it was watched says only that the delay is longer, if there is one at all.
//! *Hole*: the time for which an announcement let something in.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Ledger, Moment};

/// The schema's name, in every line of JSON.
pub const SCHEMA: &str = "nfexp.delays.1";

/// The delays of one helper and class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delays {
    /// The schema.
    pub schema: &'static str,
    /// The helper.
    pub helper: String,
    /// The class, where it has a name.
    pub class: String,
    /// How many were announced.
    pub announced: usize,
    /// How many came.
    pub arrived: usize,
    /// How many were not seen to come.
    pub censored: usize,
    /// Half of those that came, came within so many milliseconds.
    pub median_ms: Option<u64>,
    /// Nine of ten.
    pub p90_ms: Option<u64>,
    /// Ninety-nine of a hundred.
    pub p99_ms: Option<u64>,
    /// The median of how long the censored ones were watched.
    pub watched_median_ms: Option<u64>,
}

/// The fields of [`Delays`], in their order.
pub(crate) const COLUMNS: [&str; 10] = [
    "schema",
    "helper",
    "class",
    "announced",
    "arrived",
    "censored",
    "median_ms",
    "p90_ms",
    "p99_ms",
    "watched_median_ms",
];

/// The smallest of sorted values that so many of a hundred do not exceed.
#[must_use]
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

/// Delays by helper and class, over several runs; each with the moment its capture ended.
#[must_use]
pub fn delays(ledgers: &[(Ledger, Moment)]) -> Vec<Delays> {
    let mut kinds: BTreeMap<(String, String), [Vec<u64>; 2]> = BTreeMap::new();
    for (ledger, end) in ledgers {
        for life in ledger.lives() {
            let kind = (life.helper.clone(), life.class.clone());
            let [came, watched] = kinds.entry(kind).or_default();
            let over = life.ended.map_or(*end, |(moment, _)| moment);
            match life.arrived {
                Some(arrived) => came.push(arrived.ms.saturating_sub(life.born.ms)),
                None => watched.push(over.ms.saturating_sub(life.born.ms)),
            }
        }
    }
    let row = |((helper, class), [mut came, mut watched]): ((String, String), [Vec<u64>; 2])| {
        came.sort_unstable();
        watched.sort_unstable();
        Delays {
            schema: SCHEMA,
            helper,
            class,
            announced: came.len() + watched.len(),
            arrived: came.len(),
            censored: watched.len(),
            median_ms: percentile(&came, 50),
            p90_ms: percentile(&came, 90),
            p99_ms: percentile(&came, 99),
            watched_median_ms: percentile(&watched, 50),
        }
    };
    kinds.into_iter().map(row).collect()
}

/// How long every hole of a run stayed open, in milliseconds, sorted: until it was unlinked, in 7.2
/// up to a minute after it was over; one that is still open, until `end`.
#[must_use]
pub fn holes(ledger: &Ledger, end: Moment) -> Vec<u64> {
    let open = |life: &super::Life| {
        let over = life.ended.map_or(end, |(moment, _)| moment);
        over.ms.saturating_sub(life.born.ms)
    };
    let mut holes: Vec<u64> = ledger.lives().iter().map(open).collect();
    holes.sort_unstable();
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let values = [1, 2, 3, 4, 100];
        assert_eq!(percentile(&values, 50), Some(3));
        assert_eq!(percentile(&values, 90), Some(100));
        assert_eq!(percentile(&values[..1], 99), Some(1));
        assert_eq!(percentile(&[], 50), None);
    }
}
