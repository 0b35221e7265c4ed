// SPDX-License-Identifier: GPL-2.0-only
//! The ceiling: what a policy that knew the future would reach.
//!
//! A match consumes its expectation, so keeping one half the time is worth nothing: the best any
//! policy can do is to choose intervals \[announced, matched) of which at most C overlap. What is
//! never matched is never kept. Evicting is then not needed: choosing whom to admit is all.
//!
//! ```text
//!  one-shot, worth 1, limit C        greedy::Sweep      exact
//!  worths, PERMANENT                 flow::best         exact (min-cost flow)
//!  limits per master and class, too  bracket            lower: nested sweep
//!                                                       upper: the least of the relaxations
//! ```
//!
//! Holds for the open loop (nobody tries again after a loss), one packet for one expectation,
//! and timeouts as given.
//!
//! The rule that matters: with class limits the sweep is no optimum (a published instance of four
//! intervals shows it, pinned in the tests), so a bracket is told, never a point.

pub mod flow;
pub mod greedy;

use std::collections::BTreeMap;

use self::flow::Chain;
use self::greedy::{Nested, Sweep};
use super::cast::Cast;
use super::measure::BINS;
use super::workload::{Happening, Micros, NEVER, What};

/// What the best policy could match: not less than `lower`, not more than `upper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// What a feasible choice matches, by bin of time.
    pub lower: Vec<u64>,
    /// What no choice exceeds, by bin.
    pub upper: Vec<u64>,
    /// All useful arrivals, by bin.
    pub useful: Vec<u64>,
}

impl Bracket {
    /// The bracket of the share, from a bin on.
    #[must_use]
    pub fn shares(&self, from: usize) -> (f64, f64) {
        let sum = |bins: &[u64]| bins[from.min(bins.len())..].iter().sum::<u64>() as f64;
        let useful = sum(&self.useful).max(1.0);
        (sum(&self.lower) / useful, sum(&self.upper).min(useful) / useful)
    }
}

/// An expectation that is matched once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// When it is announced.
    pub from: Micros,
    /// When it is matched.
    pub to: Micros,
    /// What that is worth.
    pub worth: u32,
    /// Whose limit it falls under.
    pub group: u64,
    /// In which namespace.
    pub net: u16,
}

/// What a workload offers an optimum.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// One-shot expectations, in the order of their announcement.
    pub intervals: Vec<Interval>,
    /// Permanent ones.
    pub chains: Vec<Chain>,
    /// The limit of each group.
    limits: BTreeMap<u64, u32>,
    width: Micros,
}

impl Offer {
    /// Of a workload; hostile announcements offer nothing.
    #[must_use]
    pub fn of(cast: &Cast, happenings: &[Happening], horizon: Micros) -> Self {
        let width = (horizon / BINS as u64).max(1);
        let mut offer = Self { width, ..Self::default() };
        let mut nets = Vec::new();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        let mut opened = 0u64;
        let mut lives = Vec::new();
        for happening in happenings {
            match happening.what {
                What::Open { master, who } => {
                    let place = master as usize;
                    if place >= nets.len() {
                        nets.resize(place + 1, 0);
                        lives.resize(place + 1, 0);
                    }
                    opened += 1;
                    (nets[place], lives[place]) = (who.net, opened);
                }
                What::Announce { master, kind, key, arrives } => {
                    let spec = &cast.kinds[usize::from(kind)];
                    if spec.hostile {
                        continue;
                    }
                    let (net, life) = (nets[master as usize], lives[master as usize]);
                    let group = life << 18 | u64::from(spec.helper) << 2;
                    let group = group | u64::from(spec.class.number());
                    if spec.max_expected > 0 {
                        offer.limits.insert(group, spec.max_expected);
                    }
                    // Recall counts matches, whatever they are worth.
                    let (from, worth) = (happening.at, 1);
                    if spec.permanent {
                        open.insert(key, offer.chains.len());
                        offer.chains.push(Chain { from, matches: Vec::new(), worth, group, net });
                    } else if arrives != NEVER && arrives <= horizon {
                        offer.intervals.push(Interval { from, to: arrives, worth, group, net });
                    }
                }
                What::Arrive { key, useful, kind, .. } => {
                    let chain = open.get(&key).filter(|_| useful);
                    if let Some(chain) = chain.filter(|_| cast.kinds[usize::from(kind)].permanent) {
                        offer.chains[*chain].matches.push(happening.at);
                    }
                }
                What::Close { .. } => {}
            }
        }
        offer.chains.retain(|chain| !chain.matches.is_empty());
        offer
    }

    fn bin(&self, at: Micros) -> usize {
        ((at / self.width) as usize).min(BINS - 1)
    }

    /// The best there is with `expect_max` slots a namespace.
    #[must_use]
    pub fn bracket(&self, expect_max: u32) -> Bracket {
        let nets = self.intervals.iter().map(|interval| interval.net);
        let nets = nets.chain(self.chains.iter().map(|chain| chain.net)).max().unwrap_or(0);
        let mut bracket =
            Bracket { lower: vec![0; BINS], upper: vec![0; BINS], useful: vec![0; BINS] };
        for interval in &self.intervals {
            bracket.useful[self.bin(interval.to)] += 1;
        }
        for at in self.chains.iter().flat_map(|chain| &chain.matches) {
            bracket.useful[self.bin(*at)] += 1;
        }
        for net in 0..=nets {
            let (lower, upper) = self.one_net(net, expect_max);
            for (all, of_net) in bracket.lower.iter_mut().zip(lower) {
                *all += of_net;
            }
            for (all, of_net) in bracket.upper.iter_mut().zip(upper) {
                *all += of_net;
            }
        }
        bracket
    }

    /// Lower and upper bound of one namespace, by bin.
    fn one_net(&self, net: u16, expect_max: u32) -> (Vec<u64>, Vec<u64>) {
        let chains: Vec<Chain> = self.chains.iter().filter(|one| one.net == net).cloned().collect();
        let intervals: Vec<Interval> =
            self.intervals.iter().filter(|one| one.net == net).copied().collect();
        if !chains.is_empty() {
            return self.with_chains(&intervals, &chains, expect_max);
        }
        let lower = self.nested(&intervals, expect_max);
        // Two relaxations: every group alone under its own limit, and all under the global one.
        let by_groups = self.alone(&intervals);
        let by_limit = self.swept(&intervals, expect_max);
        let total = |bins: &[u64]| bins.iter().sum::<u64>();
        let upper = if total(&by_groups) < total(&by_limit) { by_groups } else { by_limit };
        (lower, upper)
    }

    fn limit_of(&self, group: u64) -> u32 {
        self.limits.get(&group).copied().unwrap_or(u32::MAX)
    }

    /// Which matches a feasible choice keeps: the nested sweep's.
    fn nested(&self, intervals: &[Interval], expect_max: u32) -> Vec<u64> {
        let mut bins = vec![0; BINS];
        let mut nested = Nested::new(expect_max);
        for one in intervals {
            bins[self.bin(one.to)] += 1;
            let dropped = nested.offer(one, self.limit_of(one.group));
            for dropped in dropped.into_iter().flatten() {
                bins[self.bin(dropped)] -= 1;
            }
        }
        bins
    }

    /// Which matches each group could keep if it were alone.
    fn alone(&self, intervals: &[Interval]) -> Vec<u64> {
        let mut bins = vec![0; BINS];
        let mut alone: BTreeMap<u64, Sweep> = BTreeMap::new();
        for one in intervals {
            bins[self.bin(one.to)] += 1;
            let limit = self.limit_of(one.group);
            let sweep = alone.entry(one.group).or_insert_with(|| Sweep::new(limit));
            if let Some(dropped) = sweep.offer(one.from, one.to) {
                bins[self.bin(dropped)] -= 1;
            }
            if alone.len() > 4096 {
                // A group all of whose intervals are over starts afresh without a difference.
                alone.retain(|_, sweep| sweep.is_open_at(one.from));
            }
        }
        bins
    }

    /// Which matches all could keep under the global limit alone.
    fn swept(&self, intervals: &[Interval], expect_max: u32) -> Vec<u64> {
        let mut bins = vec![0; BINS];
        let mut sweep = Sweep::new(expect_max);
        for one in intervals {
            bins[self.bin(one.to)] += 1;
            if let Some(dropped) = sweep.offer(one.from, one.to) {
                bins[self.bin(dropped)] -= 1;
            }
        }
        bins
    }

    /// With permanent ones: the flow, which knows no groups, is the upper bound; what of its
    /// choice also keeps the groups' limits is feasible.
    fn with_chains(
        &self,
        intervals: &[Interval],
        chains: &[Chain],
        expect_max: u32,
    ) -> (Vec<u64>, Vec<u64>) {
        let (mut lower, mut upper) = (vec![0; BINS], vec![0; BINS]);
        let chosen = flow::best(intervals, chains, expect_max);
        for at in &chosen.matches {
            upper[self.bin(*at)] += 1;
        }
        let mut kept = chosen.kept;
        kept.sort_unstable_by_key(|one| one.from);
        for (bin, count) in self.nested(&kept, u32::MAX).into_iter().enumerate() {
            lower[bin] += count;
        }
        // A permanent class of one per master meets its limit by a refresh only, which ends the
        // chain in any case.
        for at in &chosen.chain_matches {
            lower[self.bin(*at)] += 1;
        }
        (lower, upper)
    }
}
