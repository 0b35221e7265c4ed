// SPDX-License-Identifier: GPL-2.0-only
//! The optimum with worths and permanent expectations, as a flow of least cost.
//!
//! ```text
//!  time   ●──────▶●──────▶●──────▶●       idle slots, C at most
//!          ╰── −w ────────▶╯               an interval: one slot, from a to r
//!          ╰▶ p₁ ─▶ p₂ ─▶ p₃              a permanent one: each match only through the last,
//!              ╰▶●    ╰▶●                  and free to leave after any
//! ```
//!
//! C units travel from the first moment to the last; what they pass is what is kept. The matrix
//! has consecutive ones, so whole slots lose nothing against fractions.
//!
//! Moments at which no more than C could be open bind nobody: they are contracted, and what
//! falls apart is solved apart.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Interval;
use crate::research::workload::Micros;

/// A permanent expectation: matched again and again, gone for good if evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// When it is announced.
    pub from: Micros,
    /// Its matches, rising.
    pub matches: Vec<Micros>,
    /// What each is worth.
    pub worth: u32,
    /// Whose limit it falls under.
    pub group: u64,
    /// In which namespace.
    pub net: u16,
}

/// The best choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What it is worth.
    pub worth: u64,
    /// The one-shot ones that are kept.
    pub kept: Vec<Interval>,
    /// How many matches of each permanent one are kept, from the first on.
    pub matches: Vec<usize>,
}

/// An item on the line of time: an interval, or the steps of a chain.
#[derive(Clone, Copy, Debug)]
struct Item {
    from: Micros,
    to: Micros,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Interval(usize),
    Chain(usize),
}

/// How much work a flow may be: paths times arcs, some seconds where no cache holds them.
const MOST_WORK: u64 = 1 << 23;

/// The best choice of intervals and chains for so many slots; `None` where that takes too long to
/// find.
#[must_use]
pub fn best(intervals: &[Interval], chains: &[Chain], slots: u32) -> Option<Choice> {
    let mut choice = Choice { matches: vec![0; chains.len()], ..Choice::default() };
    let mut items = Vec::new();
    for (at, one) in intervals.iter().enumerate() {
        match one.to > one.from {
            true => items.push(Item { from: one.from, to: one.to, what: What::Interval(at) }),
            false => keep_interval(&mut choice, one),
        }
    }
    for (at, chain) in chains.iter().enumerate() {
        let Some(&to) = chain.matches.last() else { continue };
        match to > chain.from {
            true => items.push(Item { from: chain.from, to, what: What::Chain(at) }),
            false => keep_chain(&mut choice, at, chain, chain.matches.len()),
        }
    }
    items.sort_unstable_by_key(|item| (item.from, item.to));
    let between = chains.iter().flat_map(|chain| chain.matches.iter().copied());
    let points = Points::of(&items, between, slots);
    let mut component: Vec<Item> = Vec::new();
    let (mut reach, mut worked) = (0, 0u64);
    let mut solve_soon = |component: &[Item], choice: &mut Choice| {
        worked += work(component, chains, slots);
        let is_soon = worked <= MOST_WORK;
        is_soon.then(|| solve(component, &points, intervals, chains, slots, choice))
    };
    for item in items {
        let (from, to) = (points.node(item.from), points.node(item.to));
        if from == to {
            // Only uncongested moments: nobody is in its way.
            match item.what {
                What::Interval(at) => keep_interval(&mut choice, &intervals[at]),
                What::Chain(at) => keep_chain(&mut choice, at, &chains[at], usize::MAX),
            }
            continue;
        }
        if from >= reach && !component.is_empty() {
            solve_soon(&component, &mut choice)?;
            component.clear();
        }
        reach = reach.max(to);
        component.push(item);
    }
    if !component.is_empty() {
        solve_soon(&component, &mut choice)?;
    }
    Some(choice)
}

/// One path for each slot, each through all that is there.
fn work(component: &[Item], chains: &[Chain], slots: u32) -> u64 {
    let arcs = component.iter().map(|item| match item.what {
        What::Interval(_) => 1,
        What::Chain(at) => chains[at].matches.len() as u64,
    });
    let paths = u64::from(slots).min(component.len() as u64);
    arcs.sum::<u64>().saturating_mul(paths)
}

fn keep_interval(choice: &mut Choice, one: &Interval) {
    choice.worth += u64::from(one.worth);
    choice.kept.push(*one);
}

fn keep_chain(choice: &mut Choice, at: usize, chain: &Chain, matches: usize) {
    let matches = matches.min(chain.matches.len());
    choice.worth += u64::from(chain.worth) * matches as u64;
    choice.matches[at] += matches;
}

/// The moments that matter: neighbours with no congested stretch between them are one.
struct Points {
    times: Vec<Micros>,
    nodes: Vec<u32>,
}

impl Points {
    fn of(items: &[Item], between: impl Iterator<Item = Micros>, slots: u32) -> Self {
        let mut changes: Vec<(Micros, i64)> = Vec::with_capacity(2 * items.len());
        for item in items {
            changes.push((item.from, 1));
            changes.push((item.to, -1));
        }
        // A match in the middle of a chain changes nothing, but is a moment to tell apart.
        changes.extend(between.map(|time| (time, 0)));
        changes.sort_unstable();
        let (mut times, mut nodes) = (Vec::new(), Vec::new());
        let (mut open, mut node, mut at) = (0i64, 0u32, 0);
        while at < changes.len() {
            let time = changes[at].0;
            times.push(time);
            nodes.push(node);
            while at < changes.len() && changes[at].0 == time {
                open += changes[at].1;
                at += 1;
            }
            // From this moment to the next so many are open.
            node += u32::from(open > i64::from(slots));
        }
        Self { times, nodes }
    }

    /// The node of a moment: of the last change at or before it.
    fn node(&self, time: Micros) -> u32 {
        let at = self.times.partition_point(|other| *other <= time);
        self.nodes[at.saturating_sub(1)]
    }
}

/// An arc of the network, with its reverse.
#[derive(Clone, Copy, Debug)]
struct Arc {
    to: u32,
    room: u32,
    cost: i64,
}

#[derive(Debug, Default)]
struct Network {
    /// Arc 2k and its reverse 2k + 1.
    arcs: Vec<Arc>,
    from: Vec<u32>,
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl Network {
    fn arc(&mut self, from: u32, to: u32, room: u32, cost: i64) -> usize {
        self.arcs.push(Arc { to, room, cost });
        self.arcs.push(Arc { to: from, room: 0, cost: -cost });
        self.from.extend([from, to]);
        self.arcs.len() - 2
    }

    /// Orders arcs by where they leave.
    fn index(&mut self, nodes: usize) {
        self.starts = vec![0; nodes + 1];
        for &from in &self.from {
            self.starts[from as usize + 1] += 1;
        }
        for node in 0..nodes {
            self.starts[node + 1] += self.starts[node];
        }
        let mut next = self.starts.clone();
        self.order = vec![0; self.from.len()];
        for (arc, &from) in self.from.iter().enumerate() {
            self.order[next[from as usize] as usize] = arc as u32;
            next[from as usize] += 1;
        }
    }

    fn leaving(&self, node: usize) -> &[u32] {
        &self.order[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// Pushes up to `units` from the first node to the last, each along the cheapest path, as
    /// long as a path costs less than nothing. `rank` orders the nodes along all arcs.
    fn push(&mut self, units: u32, sink: usize, rank: &[u32]) {
        let nodes = self.starts.len() - 1;
        let mut potential = vec![i64::MAX; nodes];
        potential[0] = 0;
        for &node in rank {
            let here = potential[node as usize];
            if here == i64::MAX {
                continue;
            }
            for &arc in self.leaving(node as usize) {
                let Arc { to, room, cost } = self.arcs[arc as usize];
                if room > 0 && here + cost < potential[to as usize] {
                    potential[to as usize] = here + cost;
                }
            }
        }
        let mut distance = vec![i64::MAX; nodes];
        let mut parent = vec![u32::MAX; nodes];
        let mut heap = BinaryHeap::new();
        let mut left = units;
        while left > 0 {
            distance.fill(i64::MAX);
            distance[0] = 0;
            heap.push(Reverse((0i64, 0u32)));
            while let Some(Reverse((so_far, node))) = heap.pop() {
                if so_far > distance[node as usize] {
                    continue;
                }
                for &arc in self.leaving(node as usize) {
                    let Arc { to, room, cost } = self.arcs[arc as usize];
                    if room == 0 || potential[to as usize] == i64::MAX {
                        continue;
                    }
                    let reduced = cost + potential[node as usize] - potential[to as usize];
                    let next = so_far + reduced;
                    if next < distance[to as usize] {
                        distance[to as usize] = next;
                        parent[to as usize] = arc;
                        heap.push(Reverse((next, to)));
                    }
                }
            }
            for (potential, distance) in potential.iter_mut().zip(&distance) {
                if *distance != i64::MAX && *potential != i64::MAX {
                    *potential += distance;
                }
            }
            if potential[sink] - potential[0] >= 0 {
                return;
            }
            left -= self.augment(sink, &parent, left);
        }
    }

    /// Pushes along the path that leads to the sink; answers how many units.
    fn augment(&mut self, sink: usize, parent: &[u32], units: u32) -> u32 {
        let (mut pushed, mut node) = (units, sink);
        while node != 0 {
            let arc = parent[node] as usize;
            pushed = pushed.min(self.arcs[arc].room);
            node = self.arcs[arc ^ 1].to as usize;
        }
        node = sink;
        while node != 0 {
            let arc = parent[node] as usize;
            self.arcs[arc].room -= pushed;
            self.arcs[arc ^ 1].room += pushed;
            node = self.arcs[arc ^ 1].to as usize;
        }
        pushed
    }
}

/// Solves what hangs together.
fn solve(
    items: &[Item],
    points: &Points,
    intervals: &[Interval],
    chains: &[Chain],
    slots: u32,
    choice: &mut Choice,
) {
    let place = |time: Micros| points.node(time);
    let ends = |item: &Item| [place(item.from), place(item.to)];
    let mut used: Vec<u32> = items.iter().flat_map(ends).collect();
    for item in items {
        if let What::Chain(at) = item.what {
            used.extend(chains[at].matches.iter().map(|time| place(*time)));
        }
    }
    used.sort_unstable();
    used.dedup();
    let node = |time: Micros| {
        used.binary_search(&place(time)).expect("every end was entered above") as u32
    };
    let line = used.len();
    // Nodes in the order of time: the line's own, and after each the steps that fall on it.
    let mut steps: Vec<(u32, u32)> = Vec::new();
    let mut network = Network::default();
    for at in 0..line - 1 {
        network.arc(at as u32, at as u32 + 1, slots, 0);
    }
    let mut taken: Vec<(usize, What)> = Vec::new();
    let mut nodes = line as u32;
    for item in items {
        match item.what {
            What::Interval(at) => {
                let cost = -i64::from(intervals[at].worth);
                let arc = network.arc(node(item.from), node(item.to), 1, cost);
                taken.push((arc, item.what));
            }
            What::Chain(at) => {
                let chain = &chains[at];
                let mut before = node(chain.from);
                for time in &chain.matches {
                    let here = node(*time);
                    if here == before {
                        // Nobody was in its way so far: it is still at the line, and matched.
                        keep_chain(choice, at, chain, 1);
                        continue;
                    }
                    let arc = network.arc(before, nodes, 1, -i64::from(chain.worth));
                    taken.push((arc, item.what));
                    network.arc(nodes, here, 1, 0);
                    steps.push((here, nodes));
                    before = nodes;
                    nodes += 1;
                }
            }
        }
    }
    // A step lies before the moment it can leave to, and after those before it: stable.
    steps.sort_by_key(|(here, step)| (*here, *step));
    let mut rank = Vec::with_capacity(nodes as usize);
    let mut next = 0;
    for at in 0..line as u32 {
        while next < steps.len() && steps[next].0 == at {
            rank.push(steps[next].1);
            next += 1;
        }
        rank.push(at);
    }
    network.index(nodes as usize);
    network.push(slots, line - 1, &rank);
    for (arc, what) in taken {
        if network.arcs[arc].room > 0 {
            continue;
        }
        match what {
            What::Interval(at) => keep_interval(choice, &intervals[at]),
            What::Chain(at) => keep_chain(choice, at, &chains[at], 1),
        }
    }
}
