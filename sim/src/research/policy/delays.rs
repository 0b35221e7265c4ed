// SPDX-License-Identifier: GPL-2.0-only
//! How long announcements wait for their connection, learned while running.
//!
//! An entry that is evicted or expires was not matched *so far*: its wait is *censored*, not
//! infinite, and not to be left out. Kaplan and Meier's estimate counts who was still waiting:
//!
//! ```text
//!  hazard(bin) = matched in bin / (still linked at its begin)
//! ```
//!
//! Ages fall into bins that grow by two fifths each, so that 60 ms and 60 s are both seen well.

use super::book::Map;

/// How many bins of age.
pub const BINS: usize = 40;

/// What was learned of one kind.
#[derive(Clone, Debug)]
pub struct Waits {
    matched: [f64; BINS],
    censored: [f64; BINS],
    /// Expected value per slot-second of keeping an entry of each age, as of `fresh` events.
    density: [f64; BINS],
    events: u32,
    fresh: u32,
}

/// What was learned of all kinds.
#[derive(Debug)]
pub struct Delays {
    edges: [f64; BINS + 1],
    kinds: Map<u32, Waits>,
}

impl Delays {
    /// Nothing yet.
    #[must_use]
    pub fn new(hz: u32) -> Self {
        // From 5 ms on; the last bin begins beyond every timeout.
        let mut edges = [0.0; BINS + 1];
        let mut edge = 0.005 * f64::from(hz);
        for slot in &mut edges[1..] {
            *slot = edge;
            edge *= 1.4;
        }
        Self { edges, kinds: Map::default() }
    }

    fn bin(&self, age: i64) -> usize {
        let age = age as f64;
        self.edges.partition_point(|edge| *edge <= age).clamp(1, BINS) - 1
    }

    /// One ended at this age.
    pub fn ended(&mut self, kind: u32, age: i64, matched: bool) {
        let bin = self.bin(age);
        let waits = self.kinds.entry(kind).or_insert_with(Waits::new);
        match matched {
            true => waits.matched[bin] += 1.0,
            false => waits.censored[bin] += 1.0,
        }
        waits.events += 1;
        if waits.events >= 2 * waits.fresh.max(32) || waits.events >= waits.fresh + 4096 {
            waits.fresh = waits.events;
            waits.density = waits.densities(&self.edges);
        }
    }

    /// The best rate of matches per slot-second that keeping an entry of this age can have:
    /// over all times h, the chance to match within h by the slot-seconds spent until then.
    #[must_use]
    pub fn density(&self, kind: u32, age: i64) -> f64 {
        // Of a kind nobody knows, the best is hoped: it must be kept to be learned.
        self.kinds.get(&kind).map_or(f64::INFINITY, |waits| waits.density[self.bin(age)])
    }

    /// The age by which this share of all that are ever matched has been, in ticks; `None`
    /// until enough was seen.
    #[must_use]
    pub fn quantile(&self, kind: u32, share: f64) -> Option<f64> {
        let waits = self.kinds.get(&kind)?;
        if waits.matched.iter().sum::<f64>() < 50.0 {
            return None;
        }
        let survival = waits.survival();
        let ever = 1.0 - survival[BINS];
        let goal = 1.0 - share * ever;
        let bin = survival.iter().position(|left| *left <= goal)?;
        Some(self.edges[bin])
    }
}

impl Waits {
    fn new() -> Self {
        Self {
            matched: [0.0; BINS],
            censored: [0.0; BINS],
            density: [f64::INFINITY; BINS],
            events: 0,
            fresh: 0,
        }
    }

    /// Kaplan and Meier: the share not matched at the begin of each bin.
    fn survival(&self) -> [f64; BINS + 1] {
        let mut at_risk: f64 = self.matched.iter().chain(&self.censored).sum();
        let mut survival = [1.0; BINS + 1];
        for bin in 0..BINS {
            // Who is censored within a bin was at risk for half of it.
            let exposed = at_risk - self.censored[bin] / 2.0;
            let hazard = if exposed > 0.0 { self.matched[bin] / exposed } else { 0.0 };
            survival[bin + 1] = survival[bin] * (1.0 - hazard.min(1.0));
            at_risk -= self.matched[bin] + self.censored[bin];
        }
        survival
    }

    fn densities(&self, edges: &[f64; BINS + 1]) -> [f64; BINS] {
        let survival = self.survival();
        let mut best = [0.0; BINS];
        for (from, best) in best.iter_mut().enumerate() {
            let (mut matched, mut spent) = (0.0, 0.0);
            for to in from..BINS {
                matched += survival[to] - survival[to + 1];
                let width = edges[to + 1] - edges[to];
                spent += (survival[to] + survival[to + 1]) / 2.0 * width;
                if spent > 0.0 {
                    let density: f64 = matched / spent;
                    *best = f64::max(*best, density);
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::research::law::{Law, Span};
    use crate::research::random::Stream;

    /// Half of all are never matched, and a timeout cuts at the median: a plain histogram would
    /// put the 90 % quantile below the cut.
    #[test]
    fn censored_waits_do_not_shorten_the_estimate() {
        let law = Law::Exponential { mean: Span(10.0) };
        let mut stream = Stream::keyed(1, 0, "delays", "test");
        let mut delays = Delays::new(1000);
        for _ in 0..40_000 {
            let (wait, cut) = (law.draw(&mut stream), 20.0 * stream.uniform());
            let age = (wait.min(cut) * 1000.0) as i64;
            delays.ended(1, age, wait <= cut);
        }
        // An exponential's 63 % quantile is its mean; seen is only what waits up to 20 s.
        let ever = 1.0 - libm::exp(-2.0);
        let mean = delays.quantile(1, 0.632 / ever).expect("enough was seen") / 1000.0;
        assert!((8.0..14.0).contains(&mean), "{mean}");
        assert_eq!(delays.quantile(2, 0.5), None);
    }

    #[test]
    fn a_falling_hazard_values_the_young() {
        let mut delays = Delays::new(1000);
        for at in 0..1000 {
            delays.ended(1, if at % 10 == 0 { 60_000 } else { 50 }, at % 10 != 0);
        }
        assert!(delays.density(1, 10) > 10.0 * delays.density(1, 1000));
    }
}
