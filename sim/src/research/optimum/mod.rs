// SPDX-License-Identifier: GPL-2.0-only
//! The ceiling: what a policy that knew the future would reach.
//!
//! A match consumes its expectation, so keeping one half the time is worth nothing: the best any
//! policy can do is to choose intervals \[announced, matched) of which at most C overlap. What is
//! never matched is never kept. Evicting is then not needed: choosing whom to admit is all.
//!
//! ```text
//!  one-shot, worth 1, limit C        greedy::Sweep      exact
//!  worths, PERMANENT, limit C        flow::best         exact (min-cost flow)
//!  limits per master and class, too  bracket            lower: nested sweep, all or the flow's
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
        let useful = sum(&self.useful);
        if useful == 0.0 {
            return (1.0, 1.0);
        }
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
                    let (from, worth) = (happening.at, spec.worth);
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
                What::Withdraw { .. } | What::Close { .. } => {}
            }
        }
        offer.chains.retain(|chain| !chain.matches.is_empty());
        offer
    }

    fn bin(&self, at: Micros) -> usize {
        ((at / self.width) as usize).min(BINS - 1)
    }

    /// Whether some matches are worth more than others.
    #[must_use]
    pub fn has_worths(&self) -> bool {
        let worths = self.intervals.iter().map(|one| one.worth);
        worths.chain(self.chains.iter().map(|one| one.worth)).any(|worth| worth != 1)
    }

    /// The best there is with `expect_max` slots a namespace: matches, whatever they are worth.
    #[must_use]
    pub fn bracket(&self, expect_max: u32) -> Bracket {
        match self.has_worths() {
            true => self.of_worth_one().worth_bracket(expect_max),
            false => self.worth_bracket(expect_max),
        }
    }

    fn of_worth_one(&self) -> Self {
        let mut one = self.clone();
        one.intervals.iter_mut().for_each(|interval| interval.worth = 1);
        one.chains.iter_mut().for_each(|chain| chain.worth = 1);
        one
    }

    /// The same by what matches are worth.
    #[must_use]
    pub fn worth_bracket(&self, expect_max: u32) -> Bracket {
        let nets = self.intervals.iter().map(|interval| interval.net);
        let nets = nets.chain(self.chains.iter().map(|chain| chain.net)).max().unwrap_or(0);
        let mut bracket =
            Bracket { lower: vec![0; BINS], upper: vec![0; BINS], useful: vec![0; BINS] };
        for interval in &self.intervals {
            bracket.useful[self.bin(interval.to)] += u64::from(interval.worth);
        }
        for chain in &self.chains {
            self.enter(&mut bracket.useful, &chain.matches, chain.worth);
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

    fn enter(&self, bins: &mut [u64], matches: &[Micros], worth: u32) {
        for at in matches {
            bins[self.bin(*at)] += u64::from(worth);
        }
    }

    /// Lower and upper bound of one namespace, by bin.
    fn one_net(&self, net: u16, expect_max: u32) -> (Vec<u64>, Vec<u64>) {
        let chains: Vec<Chain> = self.chains.iter().filter(|one| one.net == net).cloned().collect();
        let intervals: Vec<Interval> =
            self.intervals.iter().filter(|one| one.net == net).copied().collect();
        if !chains.is_empty() || intervals.iter().any(|one| one.worth != 1) {
            return self.by_flow(&intervals, &chains, expect_max);
        }
        let lower = self.nested(&Kept::all(&intervals, &[]), expect_max);
        // Two relaxations: every group alone under its own limit, and all under the global one.
        let by_groups = self.alone(&intervals);
        let by_limit = self.swept(&intervals, expect_max);
        let upper = if total(&by_groups) < total(&by_limit) { by_groups } else { by_limit };
        (lower, upper)
    }

    fn limit_of(&self, group: u64) -> u32 {
        self.limits.get(&group).copied().unwrap_or(u32::MAX)
    }

    /// What a feasible choice of these is worth: the nested sweep's.
    fn nested(&self, kept: &[Kept<'_>], expect_max: u32) -> Vec<u64> {
        let mut bins = vec![0; BINS];
        let mut nested = Nested::new(expect_max);
        let mut dropped = vec![false; kept.len()];
        for one in kept {
            let out = nested.offer(&one.interval, self.limit_of(one.interval.group));
            out.into_iter().flatten().for_each(|at| dropped[at] = true);
        }
        for (one, _) in kept.iter().zip(dropped).filter(|(_, dropped)| !dropped) {
            match one.matches {
                [] => self.enter(&mut bins, &[one.interval.to], one.interval.worth),
                matches => self.enter(&mut bins, matches, one.interval.worth),
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

    /// With worths or permanent ones: the flow, which knows no groups, is the upper bound. What of
    /// its choice also keeps the groups' limits is feasible, and so is the nested sweep of all.
    fn by_flow(
        &self,
        intervals: &[Interval],
        chains: &[Chain],
        expect_max: u32,
    ) -> (Vec<u64>, Vec<u64>) {
        let chosen = flow::best(intervals, chains, expect_max);
        let mut upper = vec![0; BINS];
        for one in &chosen.kept {
            self.enter(&mut upper, &[one.to], one.worth);
        }
        let mut shorter = chains.to_vec();
        for (chain, kept) in shorter.iter_mut().zip(&chosen.matches) {
            chain.matches.truncate(*kept);
            self.enter(&mut upper, &chain.matches, chain.worth);
        }
        let of_flow = self.nested(&Kept::all(&chosen.kept, &shorter), expect_max);
        let of_all = self.nested(&Kept::all(intervals, chains), expect_max);
        let lower = if total(&of_all) > total(&of_flow) { of_all } else { of_flow };
        (lower, upper)
    }
}

fn total(bins: &[u64]) -> u64 {
    bins.iter().sum()
}

/// An interval, or a chain as the interval until its last match.
#[derive(Clone, Copy, Debug)]
struct Kept<'a> {
    interval: Interval,
    /// A chain's matches; none of an interval.
    matches: &'a [Micros],
}

impl<'a> Kept<'a> {
    /// All of them, in the order of their begin.
    fn all(intervals: &[Interval], chains: &'a [Chain]) -> Vec<Self> {
        let mut kept: Vec<Self> =
            intervals.iter().map(|one| Self { interval: *one, matches: &[] }).collect();
        for Chain { from, matches, worth, group, net } in chains {
            let Some(&to) = matches.last() else { continue };
            let (from, worth, group, net) = (*from, *worth, *group, *net);
            kept.push(Self { interval: Interval { from, to, worth, group, net }, matches });
        }
        kept.sort_by_key(|one| one.interval.from);
        kept
    }
}
