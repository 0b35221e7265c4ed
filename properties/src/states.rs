// SPDX-License-Identifier: GPL-2.0-only
//! Every situation that a small alphabet of deeds leads to, on one CPU.
//!
//! *Situation*: all that what comes later may depend on, as a number
//! ([`fingerprint`](nfexp_model::fingerprint)). *Twins*: two histories that lead to the same one.
//!
//! ```text
//!   level 0    ●                       breadth first; a situation is gone on from once,
//!   level 1    ● ● ●                   however many sequences of deeds lead to it
//!   level 2    ● ● ●─┐● ●   seen: ●◀┘
//! ```
//!
//! At every deed the engine and the naive [`reference`](mod@crate::reference) must answer the same
//! and the table must pass its audit; in every new situation they must list and count the same, and
//! nothing may be left once everything is given back.
//!
//! Of a situation only its number and the deed that led to it are kept: whoever goes on from it does
//! the deeds before once more, and then forks for each of the next.
//!
//! The rule that matters: what is shown is shown of this alphabet, to this depth, and of situations
//! that no two have the same number. "Exhaustive" is never said without the depth, and not at all if
//! the budget ran out.

pub mod alphabet;

use std::collections::HashMap;
use std::fmt;

use nfexp_model::Config;
use nfexp_model::fingerprint::{Fold, Part};
use nfexp_model::kernel::Ticks;
use nfexp_model::netns::NetId;
use nfexp_model::snapshot::OneCpu;
use nfexp_sim::schedule::InOrder;
use nfexp_sim::simulator::{SimulatorOn, unless_it_crashes};
use nfexp_sim::visited::Visited;
use nfexp_traces::step::Step;

use crate::collisions::Draw;
use crate::reference::Reference;
use alphabet::{Deed, Need, What};

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most so many deeds one after the other.
    pub depth: usize,
    /// At most so many situations.
    pub states: usize,
    /// The key of the fingerprints.
    pub key: u64,
}

/// How an exploration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every sequence of at most so many deeds leads to a situation that was gone on from.
    Exhaustive(usize),
    /// There were more situations than the budget; all sequences of so many deeds were looked at.
    Budget(usize),
    /// Something is wrong behind these deeds.
    Violated(Vec<String>, String),
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// Situations.
    pub states: usize,
    /// Deeds done in them.
    pub deeds: usize,
    /// How many sequences of at most so many deeds there are.
    pub sequences: u128,
    /// How many situations are new at each depth.
    pub levels: Vec<usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, states, deeds, sequences, levels } = self;
        match verdict {
            Verdict::Exhaustive(depth) => write!(f, "exhaustive to depth {depth}")?,
            Verdict::Budget(depth) => write!(f, "out of budget; exhaustive to depth {depth}")?,
            Verdict::Violated(path, why) => {
                return write!(f, "violated at depth {}: {}: {why}", path.len(), path.join("; "));
            }
        }
        write!(
            f,
            " over this alphabet: {states} states {levels:?} by {deeds} deeds, for {sequences} sequences"
        )
    }
}

/// The engine and the reference, side by side.
struct Pair<P: OneCpu> {
    engine: SimulatorOn<P>,
    reference: Reference,
}

type Answer = Vec<String>;

impl<P: OneCpu> Pair<P> {
    fn begin(config: &Config) -> Result<Self, String> {
        let engine = SimulatorOn::new(config.clone()).map_err(|error| error.to_string())?;
        let mut pair = Self { engine, reference: Reference::new(config) };
        for step in alphabet::beginning() {
            pair.step(&step)?;
        }
        Ok(pair)
    }

    fn fork(&self) -> Self {
        let engine = self.engine.fork(Box::new(InOrder)).expect("the kernel's own eviction");
        Self { engine, reference: self.reference.clone() }
    }

    fn step(&mut self, step: &Step) -> Result<Answer, String> {
        let answered = self.engine.step(step).map_err(|error| format!("`{step}`: {error}"))?;
        let (expected, agree) = self.reference.beside(step, &answered)?;
        match agree {
            true => Ok(answered),
            false => Err(format!("`{step}`: the engine answers {answered:?}, not {expected:?}")),
        }
    }

    /// Does a deed; `None` if it cannot be done here.
    fn play(&mut self, deed: &Deed) -> Option<Result<Answer, String>> {
        if !deed.needs.iter().all(|need| self.has(need)) {
            return None;
        }
        Some(match &deed.what {
            What::Step(step) => self.step(step),
            What::Announce(step) => self.announce(step),
            What::ToNextExpiry => {
                let ticks = self.reference.ticks_to_expiry()?;
                self.step(&Step::Advance(Ticks(ticks)))
            }
        })
    }

    fn announce(&mut self, step: &Step) -> Result<Answer, String> {
        let Step::Expect { announcement, .. } = step else { unreachable!("{step}") };
        let told = self.step(step)?;
        self.step(&Step::Put { name: announcement.name.clone() })?;
        Ok(told)
    }

    fn has(&self, need: &Need) -> bool {
        let (engine, reference) = (&self.engine, &self.reference);
        let fires = |name: &str| reference.firing().iter().any(|firing| firing == name);
        match need {
            Need::Held(name) => engine.holds(name),
            Need::NotHeld(name) => !engine.holds(name),
            Need::MayReturn(name) => !reference.is_linked(name) && reference.has_policy(name),
            Need::Pending(name) => !reference.collects() && reference.links(name) && !fires(name),
            Need::Firing(name) => fires(name),
            Need::NothingFires => reference.firing().is_empty(),
        }
    }

    /// Whether both list and count the same, and nothing would be left if all were given back.
    fn look(&mut self) -> Result<(), String> {
        let net = NetId::INIT;
        self.step(&Step::Show { net })?;
        self.step(&Step::Stats { net })?;
        let ended = unless_it_crashes(|| self.fork().engine.finish())?;
        ended.map_err(|error| format!("at the end: {error}"))
    }
}

/// A situation: the deed that led to it first, and from where.
#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    deed: u8,
    fingerprint: u64,
}

/// An exploration that goes on.
struct Search<'a> {
    config: &'a Config,
    deeds: &'a [Deed],
    nodes: Vec<Node>,
    /// From which node to which number.
    edges: Vec<(u32, u64)>,
}

impl<'a> Search<'a> {
    fn begin(config: &'a Config, deeds: &'a [Deed]) -> Self {
        Self { config, deeds, nodes: Vec::new(), edges: Vec::new() }
    }

    /// The deeds that lead to a node.
    fn path(&self, mut node: u32) -> Vec<u8> {
        let mut path = Vec::new();
        while node != 0 {
            let Node { parent, deed, .. } = self.nodes[node as usize];
            path.push(deed);
            node = parent;
        }
        path.reverse();
        path
    }

    /// These deeds and one more, in words.
    fn told(&self, path: &[u8], deed: u8) -> Vec<String> {
        self.told_all(&[path, &[deed]].concat())
    }

    fn told_all(&self, path: &[u8]) -> Vec<String> {
        path.iter().map(|deed| self.deeds[usize::from(*deed)].what.to_string()).collect()
    }

    /// Does the deeds of a path.
    fn go<P: OneCpu>(&self, path: &[u8]) -> Result<Pair<P>, String> {
        let mut pair = Pair::begin(self.config)?;
        for deed in path {
            let played = pair.play(&self.deeds[usize::from(*deed)]);
            played.expect("it was done there before")?;
        }
        Ok(pair)
    }

    /// How many sequences there are of at most `depth` deeds, each of which leads through
    /// situations that were gone on from.
    fn sequences(&self, depth: usize) -> u128 {
        let nodes = (0_u32..).zip(&self.nodes);
        let by_number: HashMap<u64, u32> =
            nodes.map(|(node, found)| (found.fingerprint, node)).collect();
        let edges: Vec<(u32, u32)> =
            self.edges.iter().map(|(from, to)| (*from, by_number[to])).collect();
        let mut ways = vec![0_u128; self.nodes.len()];
        ways[0] = 1;
        let mut all = 0;
        for _ in 0..depth {
            let mut next = vec![0; ways.len()];
            for (from, to) in &edges {
                next[*to as usize] += ways[*from as usize];
            }
            ways = next;
            all += ways.iter().sum::<u128>();
        }
        all
    }
}

/// A deed went wrong: what is broken cannot be taken apart without breaking more.
fn violated<P: OneCpu>(pair: Pair<P>, path: Vec<String>, why: String) -> Verdict {
    std::mem::forget(pair);
    Verdict::Violated(path, why)
}

/// Goes on from every situation once, breadth first.
#[must_use]
pub fn explore<P: OneCpu>(config: &Config, deeds: &[Deed], limits: Limits) -> Report {
    let mut search = Search::begin(config, deeds);
    let (mut visited, mut levels) = (Visited::default(), vec![1]);
    let (verdict, depth) = walk::<P>(&mut search, &mut visited, &mut levels, limits);
    Report {
        verdict,
        states: search.nodes.len(),
        deeds: search.edges.len(),
        sequences: search.sequences(depth),
        levels,
    }
}

/// The verdict, and to which depth every sequence was looked at.
fn walk<P: OneCpu>(
    search: &mut Search<'_>,
    visited: &mut Visited,
    levels: &mut Vec<usize>,
    limits: Limits,
) -> (Verdict, usize) {
    let root = match Pair::<P>::begin(search.config) {
        Ok(root) => root,
        Err(why) => return (Verdict::Violated(Vec::new(), why), 0),
    };
    let fingerprint = root.engine.fingerprint(limits.key);
    visited.insert(fingerprint);
    search.nodes.push(Node { parent: 0, deed: 0, fingerprint });
    let mut level = 0..1_u32;
    for depth in 0..limits.depth {
        for node in level.clone() {
            match go_on::<P>(search, visited, node, limits.key) {
                Ok(()) if search.nodes.len() > limits.states => {
                    return (Verdict::Budget(depth), depth);
                }
                Ok(()) => {}
                Err(verdict) => return (verdict, depth),
            }
        }
        level = level.end..search.nodes.len() as u32;
        levels.push(level.len());
    }
    (Verdict::Exhaustive(limits.depth), limits.depth)
}

/// Does every deed that can be done in a situation.
fn go_on<P: OneCpu>(
    search: &mut Search<'_>,
    visited: &mut Visited,
    node: u32,
    key: u64,
) -> Result<(), Verdict> {
    let path = search.path(node);
    let here = search.go::<P>(&path);
    let here = here.map_err(|why| Verdict::Violated(search.told_all(&path), why))?;
    for (deed, what) in (0_u8..).zip(search.deeds) {
        let mut there = here.fork();
        match there.play(what) {
            None => continue,
            Some(Ok(_)) => {}
            Some(Err(why)) => return Err(violated(there, search.told(&path, deed), why)),
        }
        let fingerprint = there.engine.fingerprint(key);
        search.edges.push((node, fingerprint));
        if !visited.insert(fingerprint) {
            continue;
        }
        search.nodes.push(Node { parent: node, deed, fingerprint });
        if let Err(why) = there.look() {
            return Err(violated(there, search.told(&path, deed), why));
        }
    }
    Ok(())
}

// ---- twins ---------------------------------------------------------------------------------

/// So many deeds are done by both twins.
const TOGETHER: usize = 8;

/// Whether twins, whenever one comes up within `depth` deeds, go on alike: the same random deeds can
/// be done, are answered alike, take as long, add as much to the counters, and end in one situation.
/// Each pair is tried so many `times`. With `leaves_out` they are twins if only that part differs,
/// and where they end does not count. Answers how many pairs there were.
///
/// # Errors
/// What two of them do differently.
///
/// # Panics
/// If the engine and the reference part.
pub fn twins<P: OneCpu>(
    config: &Config,
    deeds: &[Deed],
    (depth, times): (usize, usize),
    leaves_out: Option<Part>,
) -> Result<usize, String> {
    let number = |pair: &Pair<P>| number_without(pair, leaves_out);
    let begin = || Pair::<P>::begin(config).expect("nothing is wrong at the start");
    let mut search = Search::begin(config, deeds);
    let mut seen = HashMap::from([(number(&begin()), 0_u32)]);
    search.nodes.push(Node { parent: 0, deed: 0, fingerprint: 0 });
    let (mut draw, mut pairs, mut node) = (Draw(1), 0, 0);
    while node < search.nodes.len() as u32 {
        let path = search.path(node);
        let here = search.go::<P>(&path).expect("it was done before");
        for (deed, what) in (0_u8..).zip(deeds).filter(|_| path.len() < depth) {
            let mut there = here.fork();
            let Some(played) = there.play(what) else { continue };
            played.unwrap_or_else(|why| panic!("{}: {why}", search.told(&path, deed).join("; ")));
            let fingerprint = number(&there);
            let Some(&twin) = seen.get(&fingerprint) else {
                seen.insert(fingerprint, search.nodes.len() as u32);
                search.nodes.push(Node { parent: node, deed, fingerprint });
                continue;
            };
            pairs += 1;
            let twin_path = search.path(twin);
            let twin = search.go::<P>(&twin_path).expect("it was done before");
            for _ in 0..times {
                let ends = leaves_out.is_none();
                let together = go_on_together([twin.fork(), there.fork()], deeds, &mut draw, ends);
                together.map_err(|why| {
                    let twin = search.told_all(&twin_path).join("; ");
                    format!("[{}] and [{twin}]: {why}", search.told(&path, deed).join("; "))
                })?;
            }
        }
        node += 1;
    }
    Ok(pairs)
}

/// The number of a situation, as if a part of it were nothing.
fn number_without<P: OneCpu>(pair: &Pair<P>, leaves_out: Option<Part>) -> u64 {
    let mut fold = Fold::new(0);
    pair.engine.situation(|part, word| {
        if Some(part) != leaves_out {
            fold.word(word);
        }
    });
    fold.finish()
}

fn go_on_together<P: OneCpu>(
    mut twins: [Pair<P>; 2],
    deeds: &[Deed],
    draw: &mut Draw,
    same_end: bool,
) -> Result<(), String> {
    let counters =
        |twins: &[Pair<P>; 2]| twins.each_ref().map(|pair| pair.engine.engine().stats(NetId::INIT));
    let began = twins.each_ref().map(|pair| pair.engine.now());
    let before = counters(&twins);
    let mut done = Vec::new();
    for _ in 0..TOGETHER {
        let deed = &deeds[draw.below(deeds.len())];
        done.push(deed.what.to_string());
        let said = twins.each_mut().map(|pair| {
            let said = pair.play(deed);
            (said, pair.step(&Step::Show { net: NetId::INIT }))
        });
        if said[0] != said[1] {
            return Err(format!("{}: {said:?}", done.join("; ")));
        }
    }
    let now = counters(&twins);
    let ends: [_; 2] = std::array::from_fn(|twin| {
        let Pair { engine, .. } = &twins[twin];
        let took = engine.now().ticks_from(began[twin]);
        // What the one has now and the other had before: the same of both if they grew alike.
        let counted = now[twin].plus(before[1 - twin]);
        (took, counted, same_end.then(|| engine.fingerprint(0)))
    });
    if ends[0] == ends[1] { Ok(()) } else { Err(format!("{}: {ends:?}", done.join("; "))) }
}
