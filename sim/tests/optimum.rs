// SPDX-License-Identifier: GPL-2.0-only
//! The optimum against brute force, on random small instances.
//!
//! * The sweep matches as many as any choice (unit worth, one limit).
//! * The flow is worth as much as any choice (worths, permanent expectations).
//! * With limits per group the bracket holds the best choice; the sweep alone may miss it.
//! * For every shipped scenario the bracket is closed within a hundredth at its own size and at an
//!   eighth of it, by matches and by what they are worth; no policy beats it.
//! * No policy without limits per class beats the optimum without them.
//! * A perturbed sweep, which drops the earliest match, is caught by the same comparison.

use nfexp_model::revision::Revision;
use nfexp_sim::research::cell::{Block, MOST};
use nfexp_sim::research::document::Document;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::optimum::Interval;
use nfexp_sim::research::optimum::flow::{self, Chain};
use nfexp_sim::research::optimum::greedy::{Nested, Sweep};
use nfexp_sim::research::policy::Spec;
use nfexp_sim::research::policy::parse::policy;
use nfexp_sim::research::random::Stream;
use nfexp_sim::research::sweep::study::SHIPPED;

fn interval(from: u64, to: u64, worth: u32, group: u64) -> Interval {
    Interval { from, to, worth, group, net: 0 }
}

/// Something that may be kept from a moment until one of several, for what that is worth.
struct Item {
    from: u64,
    ends: Vec<u64>,
    worth: u32,
    group: usize,
}

type Open = (u64, u64, usize);

/// The best worth, by trying everything. No more than `slots` may be open at once, and of each
/// group no more than its limit.
fn brute(items: &[Item], chosen: &mut Vec<Open>, slots: u32, limits: &[u32]) -> u64 {
    let Some((first, rest)) = items.split_first() else { return 0 };
    let open = |chosen: &[Open], group: Option<usize>| {
        let there = |one: &&Open| {
            one.0 <= first.from && first.from < one.1 && group.is_none_or(|group| group == one.2)
        };
        chosen.iter().filter(there).count() as u32
    };
    let mut best = brute(rest, chosen, slots, limits);
    for (step, end) in first.ends.iter().enumerate() {
        // Items come by their begin: whether one fits is decided when it begins.
        let group_fits = |chosen: &[Open]| {
            let limit = limits.get(first.group);
            limit.is_none_or(|limit| open(chosen, Some(first.group)) < *limit)
        };
        if *end <= first.from || open(chosen, None) < slots && group_fits(chosen) {
            chosen.push((first.from, *end, first.group));
            let worth = u64::from(first.worth) * (step as u64 + 1);
            best = best.max(worth + brute(rest, chosen, slots, limits));
            chosen.pop();
        }
    }
    best
}

fn best_of(items: &[Item], slots: u32, limits: &[u32]) -> u64 {
    brute(items, &mut Vec::new(), slots, limits)
}

fn items_of(intervals: &[Interval]) -> Vec<Item> {
    let item = |one: &Interval| Item {
        from: one.from,
        ends: vec![one.to],
        worth: one.worth,
        group: one.group as usize,
    };
    intervals.iter().map(item).collect()
}

fn some_intervals(stream: &mut Stream, most: u32, worths: u32) -> Vec<Interval> {
    let count = 1 + stream.below(most);
    let mut intervals: Vec<Interval> = (0..count)
        .map(|_| {
            let from = u64::from(stream.below(16));
            let to = from + u64::from(stream.below(9));
            interval(from, to, 1 + stream.below(worths), u64::from(stream.below(2)))
        })
        .collect();
    intervals.sort_by_key(|one| one.from);
    intervals
}

fn sweep(intervals: &[Interval], slots: u32) -> u64 {
    let mut sweep = Sweep::new(slots);
    for one in intervals {
        sweep.offer(one.from, one.to);
    }
    intervals.len() as u64 - sweep.dropped()
}

/// A wrong sweep: who is matched first is dropped.
fn drops_earliest(intervals: &[Interval], slots: u32) -> u64 {
    let (mut open, mut dropped): (Vec<u64>, u64) = (Vec::new(), 0);
    for one in intervals.iter().filter(|one| one.to > one.from) {
        open.retain(|to| *to > one.from);
        open.push(one.to);
        open.sort_unstable();
        if open.len() > slots as usize {
            open.remove(0);
            dropped += 1;
        }
    }
    intervals.len() as u64 - dropped
}

#[test]
fn the_sweep_matches_as_many_as_any_choice() {
    let mut stream = Stream::keyed(1, 0, "optimum", "unit");
    let mut perturbed_missed = 0;
    for case in 0..10_000 {
        let intervals = some_intervals(&mut stream, 12, 1);
        let slots = 1 + stream.below(3);
        let best = best_of(&items_of(&intervals), slots, &[]);
        assert_eq!(sweep(&intervals, slots), best, "case {case}: {intervals:?}, {slots} slots");
        assert_eq!(
            flow::best(&intervals, &[], slots).expect("few").worth,
            best,
            "case {case}: {intervals:?}"
        );
        perturbed_missed += u32::from(drops_earliest(&intervals, slots) != best);
    }
    assert!(perturbed_missed > 500, "the comparison would not notice a wrong sweep");
}

#[test]
fn the_flow_is_worth_as_much_as_any_choice() {
    let mut stream = Stream::keyed(1, 0, "optimum", "flow");
    let mut hard = 0;
    for case in 0..10_000 {
        let intervals = some_intervals(&mut stream, 7, 5);
        let slots = 1 + stream.below(2);
        let chains: Vec<Chain> = (0..stream.below(4))
            .map(|_| {
                let from = u64::from(stream.below(12));
                let mut at = from;
                let matches = (0..1 + stream.below(3))
                    .map(|_| {
                        at += 1 + u64::from(stream.below(4));
                        at
                    })
                    .collect();
                Chain { from, matches, worth: 1 + stream.below(3), group: 9, net: 0 }
            })
            .collect();
        let mut items = items_of(&intervals);
        items.extend(chains.iter().map(|chain| Item {
            from: chain.from,
            ends: chain.matches.clone(),
            worth: chain.worth,
            group: 9,
        }));
        items.sort_by_key(|item| item.from);
        let best = best_of(&items, slots, &[]);
        let choice = flow::best(&intervals, &chains, slots).expect("few");
        assert_eq!(choice.worth, best, "case {case}: {intervals:?} {chains:?}, {slots} slots");
        let all = best_of(&items, u32::MAX, &[]);
        hard += u32::from(all != best);
    }
    assert!(hard > 1000, "the instances are too easy: {hard}");
}

#[test]
fn the_bracket_holds_the_best_choice_under_group_limits() {
    let mut stream = Stream::keyed(1, 0, "optimum", "groups");
    let (mut open, mut missed) = (0, 0);
    for case in 0..10_000 {
        let intervals = some_intervals(&mut stream, 10, 1);
        let slots = 1 + stream.below(3);
        let limits = [1 + stream.below(2), 1 + stream.below(2)];
        let best = best_of(&items_of(&intervals), slots, &limits);
        let mut nested = Nested::new(slots);
        let mut lower = intervals.len() as u64;
        for one in &intervals {
            let dropped = nested.offer(one, limits[one.group as usize]);
            lower -= dropped.iter().flatten().count() as u64;
        }
        let of = |group: u64| -> Vec<Interval> {
            intervals.iter().filter(|one| one.group == group).copied().collect()
        };
        let by_groups = sweep(&of(0), limits[0]) + sweep(&of(1), limits[1]);
        let upper = by_groups.min(sweep(&intervals, slots));
        assert!(lower <= best && best <= upper, "case {case}: {lower} {best} {upper}");
        open += u32::from(lower < upper);
        missed += u32::from(lower < best);
    }
    assert!(open > 0 && missed > 0, "the instances never need a bracket: {open} {missed}");
}

/// Four intervals, two slots, group A one at most, B two: the sweep keeps two, three fit.
#[test]
fn the_published_counterexample_to_greed() {
    let intervals =
        [interval(0, 11, 1, 0), interval(0, 2, 1, 1), interval(1, 21, 1, 1), interval(3, 10, 1, 0)];
    let mut nested = Nested::new(2);
    let dropped: usize = intervals
        .iter()
        .map(|one| nested.offer(one, [1, 2][one.group as usize]).iter().flatten().count())
        .sum();
    assert_eq!(4 - dropped, 2);
    assert_eq!(best_of(&items_of(&intervals), 2, &[1, 2]), 3);
}

#[test]
fn the_bracket_of_every_shipped_scenario_is_nearly_closed() {
    for (name, text) in SHIPPED {
        let mut document = Document::parse(text).expect(name);
        let lasts = document.read().run.value.lasts.0.min(3000.0);
        document.set("run.lasts", &format!("{lasts}s"), "the test").expect("there");
        let own = document.read().run.value.expect_max;
        let block = Block {
            scenario: &document,
            granted: None,
            revision: Revision::LINUX_6_18,
            hz: 250,
            seed: 3,
            replication: 0,
            policies: &[Spec::kernel(), policy("oldest-global").expect("it is named")],
            sizes: &[own, own / 8],
            recording: Recording::default(),
            most_happenings: MOST,
        };
        for detail in block.run().expect(name) {
            let cell = &detail.cell;
            let place = format!("{name} {} {}", cell.policy, cell.expect_max);
            let pairs = [
                (cell.optimum_lower, cell.recall, cell.optimum_upper),
                (cell.worth_lower, cell.worth, cell.worth_upper),
            ];
            for (lower, kept, upper) in pairs {
                assert!(lower <= upper && upper - lower <= 0.01, "{place}: [{lower}, {upper}]");
                assert!(kept <= upper, "{place}: {kept} beats {upper}");
            }
        }
    }
}

/// A burst by one master, in a class of one: of four only those that know no limit keep more than
/// the last, and 7.2 has one of 255 where none is said.
#[test]
fn who_knows_no_limit_is_bounded_by_an_optimum_without_one() {
    let text = r#"
name = "burst"
[run]
lasts = "4000s"
expect_max = 1024
source = "the test"
[[class]]
name = "files"
helper = "ftp"
arrivals = { law = "poisson", per_second = 0.01, source = "the test" }
delay = { law = "constant", is = "20s", source = "the test" }
answered = { share = 1.0, source = "the test" }
burst = { mean = 300.0, exact = true, gap = { law = "constant", is = "1ms", source = "the test" }, source = "the test" }
"#;
    let document = Document::parse(text).expect("it reads");
    let names = ["kernel", "table=oldest+limits=off", "ovs", "suricata", "zeek"];
    let policies: Vec<Spec> = names.map(|name| policy(name).expect("it reads")).into();
    for (revision, most) in [(Revision::LINUX_6_18, 1.0), (Revision::LINUX_7_2, 0.85)] {
        let block = Block {
            scenario: &document,
            granted: None,
            revision,
            hz: 250,
            seed: 3,
            replication: 0,
            policies: &policies,
            sizes: &[],
            recording: Recording::default(),
            most_happenings: MOST,
        };
        let details = block.run().expect("it runs");
        for detail in &details {
            let cell = &detail.cell;
            let place = format!("{} {}", revision.name, cell.policy);
            assert!(cell.recall <= cell.optimum_upper, "{place}: beats {}", cell.optimum_upper);
            let ceiling = if cell.policy == "kernel" { 0.01 } else { most };
            let gap = (cell.optimum_upper - ceiling).abs();
            assert!(gap < 0.01, "{place}: {}", cell.optimum_upper);
        }
        assert!(details[1].cell.recall > 0.8, "{}", details[1].cell.recall);
    }
}
