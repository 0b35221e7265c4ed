// SPDX-License-Identifier: GPL-2.0-only
//! Scenes on one thread: every order of their steps, or random ones.
//!
//! *Schedule*: who acts next, asked between steps and at points inside them
//! ([`turns`](crate::turns)). *Enumeration*: all schedules there are, one after the other, by
//! running again with the last choice that has an alternative changed. *PCT*: random priorities
//! that change at a few random moments, so that a bug of depth `d` is met with a probability that
//! is known (Burckhardt et al., ASPLOS 2010).
//!
//! The rule that matters: the engine is the same source as under loom. What loom finds and this
//! does not is loom's memory model, or a mistake in one of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::actor::Actor;
use crate::explore::quietly;
use crate::scenario::Scenario;
use crate::scene::{Scene, config};
use crate::turns::{Turns, is_locked};

/// Who decides.
enum Chooser {
    /// The choices so far, each with how many there were; those to repeat come first.
    Enumerate { taken: Vec<(usize, usize)>, repeated: usize },
    /// Priorities by CPU, and the moments at which the one that acts loses its own.
    Pct { priorities: Vec<u64>, change_at: BTreeSet<u64>, moment: u64 },
}

impl Chooser {
    /// One of the CPUs, or `None`: whoever acts goes on, if it may.
    fn choose(&mut self, acting: Option<u8>, others: &[u8]) -> Option<u8> {
        match self {
            Self::Enumerate { taken, repeated } => {
                let options = others.len() + usize::from(acting.is_some());
                if options == 1 {
                    return others.first().copied();
                }
                if *repeated == taken.len() {
                    taken.push((0, options));
                }
                let choice = taken[*repeated].0;
                *repeated += 1;
                match acting {
                    Some(_) => choice.checked_sub(1).map(|at| others[at]),
                    None => Some(others[choice]),
                }
            }
            Self::Pct { priorities, change_at, moment } => {
                *moment += 1;
                if let Some(acting) = acting.filter(|_| change_at.contains(moment)) {
                    // Below all others, the later the lower.
                    priorities[usize::from(acting)] = 1000 - *moment % 1000;
                }
                let all = others.iter().copied().chain(acting);
                let best = all.max_by_key(|cpu| priorities[usize::from(*cpu)])?;
                (Some(best) != acting).then_some(best)
            }
        }
    }
}

struct Running {
    scene: Rc<Scene<Turns>>,
    /// The actors that are not in the middle of a step.
    actors: Vec<Option<Actor<Turns>>>,
    chooser: Chooser,
    /// Who is in the middle of a step, innermost last.
    acting: Vec<u8>,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

fn running<T>(with: impl FnOnce(&mut Running) -> T) -> Option<T> {
    RUNNING.with(|running| running.borrow_mut().as_mut().map(with))
}

thread_local! {
    static FINE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` with two kinds of points more: after each pointer followed, between it and what it
/// leads to, and before each lock, between what one call did and what the next will do.
pub fn finely<T>(work: impl FnOnce() -> T) -> T {
    let before = FINE.replace(true);
    let done = work();
    FINE.set(before);
    done
}

/// A point, where schedules are [fine](finely).
pub fn fine_point() {
    if FINE.get() {
        point();
    }
}

/// A place where others can see what was done: the schedule may turn to one of them.
pub fn point() {
    loop {
        let next = running(|running| {
            let acting = *running.acting.last()?;
            if running.acting.len() > 3 {
                return None;
            }
            let may =
                |actor: &Actor<Turns>| !actor.is_done() && (!is_locked() || actor.is_lockless());
            let others = running.ready(may);
            if others.is_empty() { None } else { running.chooser.choose(Some(acting), &others) }
        });
        match next.flatten() {
            Some(cpu) => step(cpu),
            None => return,
        }
    }
}

impl Running {
    fn ready(&self, may: impl Fn(&Actor<Turns>) -> bool) -> Vec<u8> {
        let ready = self.actors.iter().enumerate();
        let ready = ready.filter(|(_, actor)| actor.as_ref().is_some_and(&may));
        ready.map(|(cpu, _)| cpu as u8).collect()
    }
}

fn step(cpu: u8) {
    let actor = running(|running| {
        running.acting.push(cpu);
        running.actors[usize::from(cpu)].take()
    });
    let Some(mut actor) = actor.flatten() else { return };
    actor.step();
    let scene = running(|running| {
        running.acting.pop();
        running.actors[usize::from(cpu)] = Some(actor);
        Rc::clone(&running.scene)
    });
    if let Some(scene) = scene {
        scene.engine.rcu().run_callbacks(scene.engine.memory());
    }
}

/// Plays one schedule; answers its outcome or what was violated, and the chooser.
fn play(scenario: &Rc<Scenario>, chooser: Chooser) -> (Result<String, String>, Chooser) {
    let scene = Scene::<Turns>::begin(Rc::clone(scenario), config(scenario), |_| ());
    let cpus = scenario.cpus.len() as u8;
    let actors = (0..cpus).map(|cpu| Some(Actor::new(Rc::clone(&scene), cpu))).collect();
    let running = Running { scene: Rc::clone(&scene), actors, chooser, acting: Vec::new() };
    RUNNING.with(|slot| *slot.borrow_mut() = Some(running));
    let mut outcome = String::new();
    let ended = quietly(|| {
        loop {
            let next = self::running(|running| {
                let others = running.ready(|actor| !actor.is_done());
                if others.is_empty() { None } else { running.chooser.choose(None, &others) }
            });
            match next.flatten() {
                Some(cpu) => step(cpu),
                None => break,
            }
        }
        let memory = || scene.engine.rcu().run_callbacks(scene.engine.memory());
        outcome = scene.end(memory);
    });
    let over = RUNNING.with(|slot| slot.borrow_mut().take()).expect("it was put there");
    (ended.map(|()| outcome), over.chooser)
}

/// Every outcome of every schedule, a violation as what it says.
///
/// `None` if there are more schedules than `most`.
#[must_use]
pub fn enumerate(
    scenario: &Scenario,
    most: usize,
) -> Option<(usize, BTreeSet<Result<String, String>>)> {
    let mut outcomes = BTreeSet::new();
    let hear = |outcome| {
        outcomes.insert(outcome);
        false
    };
    let schedules = enumerate_until(scenario, most, hear)?;
    Some((schedules, outcomes))
}

/// Tells `hear` the outcome of one schedule after the other, until it has heard enough; answers
/// how many were played.
///
/// `None` if there are more schedules than `most`.
pub fn enumerate_until(
    scenario: &Scenario,
    most: usize,
    mut hear: impl FnMut(Result<String, String>) -> bool,
) -> Option<usize> {
    let scenario = Rc::new(scenario.clone());
    let mut taken = Vec::new();
    for schedules in 1..=most {
        let (outcome, chooser) = play(&scenario, Chooser::Enumerate { taken, repeated: 0 });
        let Chooser::Enumerate { taken: mut choices, .. } = chooser else { return None };
        // The last choice that has an alternative takes it; what came after is forgotten.
        while choices.last().is_some_and(|(choice, options)| choice + 1 == *options) {
            choices.pop();
        }
        if hear(outcome) {
            return Some(schedules);
        }
        match choices.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return Some(schedules),
        }
        taken = choices;
    }
    None
}

/// One random schedule of the seed, with `depth` changes of priority.
///
/// # Errors
/// What was violated.
pub fn random(scenario: &Scenario, seed: u64, depth: u32) -> Result<String, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let priorities = scenario.cpus.iter().map(|_| 1000 + rng.next_u64() / 2).collect();
    let change_at = (0..depth).map(|_| 1 + rng.next_u64() % 40).collect();
    let chooser = Chooser::Pct { priorities, change_at, moment: 0 };
    play(&Rc::new(scenario.clone()), chooser).0
}

#[cfg(test)]
mod tests {
    use nfexp_model::revision::Revision;

    use super::*;

    fn answers(name: &str) -> BTreeSet<String> {
        let scenario = Scenario::named(Revision::LINUX_3_9, name).expect("a good name");
        let (_, outcomes) = enumerate(&scenario, 100_000).expect("few orders");
        outcomes.into_iter().map(|outcome| outcome.expect("nothing is violated")).collect()
    }

    /// A reader that comes in the middle of a refresh finds neither the old nor the new one.
    #[test]
    fn a_schedule_turns_in_the_middle_of_a_step() {
        let seen = answers("announce-1+lookup-1");
        assert!(seen.contains("announce-1:inserted linked:1:1 lookup-1:none"), "{seen:?}");
        let seen = answers("announce-2,announce-2+list-in-parts");
        assert!(seen.iter().any(|seen| seen.contains("list-in-parts:1")), "{seen:?}");
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let name = "expire-1+match-1+lookup-1+delete-1+list";
        let scenario = Scenario::named_wide(Revision::LINUX_3_9, name).expect("a good name");
        let all: BTreeSet<_> = (0..50).map(|seed| random(&scenario, seed, 3)).collect();
        assert!(all.len() > 3, "random schedules differ: {all:?}");
        assert_eq!(random(&scenario, 7, 3), random(&scenario, 7, 3));
    }
}
