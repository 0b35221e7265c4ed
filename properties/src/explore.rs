// SPDX-License-Identifier: GPL-2.0-only
//! The explorer: loom around a scenario, and honest verdicts.
//!
//! *Outcome*: what the CPUs were answered in one execution, and what was linked in the end.
//! *Mark*: an answer that a scenario exists to show (`sometimes`).
//!
//! ```text
//!   PROVED      every execution loom knows of was run, and none violated anything
//!   BOUNDED     every execution with at most so many preemptions
//!   BUDGET      the budget ran out first: nothing is claimed
//!   VIOLATION   this was violated, in the last execution
//! ```
//!
//! The rule that matters: loom is silent when it stops early, so executions are counted, a run that
//! met its budget or made none is never called proved, and nothing is left to loom's environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nfexp_model::Config;
use nfexp_model::revision::Expiry;

use crate::actor::Actor;
use crate::grace;
use crate::record::{self, Step, Who};
use crate::scenario::Scenario;
use crate::scene::{Scene, config};
use crate::smp::{Smp, mark_lifetimes};
use crate::world::{self, Broken, Right, World};

/// How far a scenario is explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Preemptions per execution; none is no bound.
    pub preemptions: Option<usize>,
    /// Executions after which to give up, those included; none is no budget.
    pub executions: Option<usize>,
}

impl Limits {
    /// No bound and no budget.
    pub const NONE: Self = Self { preemptions: None, executions: None };

    /// At most so many preemptions.
    #[must_use]
    pub const fn bound(preemptions: usize) -> Self {
        Self { preemptions: Some(preemptions), executions: None }
    }
}

/// What an exploration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every execution was explored and none violated anything.
    Proved,
    /// Every execution with at most so many preemptions.
    Bounded(usize),
    /// The budget ran out first: nothing is claimed.
    Budget,
    /// This was violated, in the last execution.
    Violation(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved => f.write_str("PROVED"),
            Self::Bounded(bound) => write!(f, "BOUNDED {bound}"),
            Self::Budget => f.write_str("BUDGET"),
            Self::Violation(_) => f.write_str("VIOLATION"),
        }
    }
}

/// The result of an exploration.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was found.
    pub verdict: Verdict,
    /// How many executions were run.
    pub executions: usize,
    /// Every outcome seen, and how often.
    pub outcomes: BTreeMap<String, usize>,
    /// Frees that loom had no thread left to check.
    pub unchecked: u64,
}

impl Report {
    /// The outcomes alone: they must not depend on the order of the CPUs.
    #[must_use]
    pub fn outcome_set(&self) -> BTreeSet<String> {
        self.outcomes.keys().cloned().collect()
    }

    /// Whether some execution ended with this mark.
    #[must_use]
    pub fn sometimes(&self, mark: &str) -> bool {
        self.outcomes.keys().any(|outcome| outcome.split(' ').any(|note| note == mark))
    }

    /// The message of the violation, its first line.
    #[must_use]
    pub fn violation(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Violation(message) => message.lines().find(|line| !line.trim().is_empty()),
            _ => None,
        }
    }
}

/// Executions of all explorations.
static RUN: AtomicUsize = AtomicUsize::new(0);

/// How many executions this process has run, of whatever it explores: for whoever waits.
#[must_use]
pub fn run_so_far() -> usize {
    RUN.load(Ordering::Relaxed)
}

/// Explores a scenario in this thread's world: the right one, or the one with a slip.
#[must_use]
pub fn explore(scenario: &Scenario, limits: Limits) -> Report {
    match world::slip() {
        None => explore_in::<Right>(scenario, limits),
        Some(_) => explore_in::<Broken>(scenario, limits),
    }
}

fn explore_in<W: World>(scenario: &Scenario, limits: Limits) -> Report {
    let outcomes: Arc<Mutex<(usize, BTreeMap<String, usize>)>> = Arc::default();
    let builder = builder(limits);
    let (seen, scenario, config) = (Arc::clone(&outcomes), scenario.clone(), config(scenario));
    let _ = grace::take_unchecked();
    let ended = quietly(|| {
        builder.check(move || {
            seen.lock().expect("not held across an execution").0 += 1;
            RUN.fetch_add(1, Ordering::Relaxed);
            let outcome = execute::<W>(&scenario, config.clone());
            let mut seen = seen.lock().expect("not held across an execution");
            *seen.1.entry(outcome).or_default() += 1;
        });
    });
    grace::begin();
    let (executions, outcomes) = std::mem::take(&mut *outcomes.lock().expect("nobody holds it"));
    let verdict = match (ended, limits) {
        (Err(message), _) => Verdict::Violation(message),
        (Ok(()), _) if executions == 0 => Verdict::Budget,
        (Ok(()), Limits { executions: Some(most), .. }) if executions >= most => Verdict::Budget,
        (Ok(()), Limits { preemptions: Some(bound), .. }) => Verdict::Bounded(bound),
        (Ok(()), _) => Verdict::Proved,
    };
    Report { verdict, executions, outcomes, unchecked: grace::take_unchecked() }
}

/// How loom is asked: every field by us, as loom reads its environment for them.
fn builder(limits: Limits) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.max_threads = loom::MAX_THREADS;
    builder.max_branches = 10_000;
    builder.preemption_bound = limits.preemptions;
    // loom asks for the budget at its checkpoints alone, before the execution that it counts.
    let next = limits.executions.map(|most| most.saturating_add(1));
    builder.max_permutations = next;
    builder.checkpoint_interval = next.unwrap_or(usize::MAX);
    (builder.max_duration, builder.checkpoint_file) = (None, None);
    (builder.expect_explicit_explore, builder.location, builder.log) = (false, false, false);
    builder
}

/// The steps of the shortest failing interleaving there is a bound for: preemptions 0, 1, 2, …
/// are tried in turn. `None` if nothing fails within the limits.
#[must_use]
pub fn shortest(scenario: &Scenario, limits: Limits) -> Option<(usize, Report, Vec<Step>)> {
    let most = limits.preemptions.unwrap_or(6);
    for bound in 0..=most {
        record::switch(true);
        let report = explore(scenario, Limits { preemptions: Some(bound), ..limits });
        let steps = record::take();
        record::switch(false);
        if report.violation().is_some() {
            return Some((bound, report, steps));
        }
    }
    None
}

/// Runs `work`; what it panics with is the answer and not printed.
///
/// # Errors
/// The message of the panic.
pub fn quietly(work: impl FnOnce()) -> Result<(), String> {
    thread_local! {
        static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    ended.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}

fn execute<W: World>(scenario: &Scenario, config: Config) -> String {
    grace::begin();
    record::begin(scenario.revision.expect_lock);
    mark_lifetimes(config.revision.expiry == Expiry::Collected);
    let scene = Scene::<Smp<W>>::begin(Rc::new(scenario.clone()), config, |engine| {
        record::objects(engine.memory());
    });
    record::act();
    record::enter(Who::Cpu(0));
    for cpu in 1..scene.scenario.cpus.len() as u8 {
        let scene = Rc::clone(&scene);
        grace::spawn(move || {
            record::enter(Who::Cpu(cpu));
            Actor::new(scene, cpu).run();
        });
    }
    Actor::new(Rc::clone(&scene), 0).run();
    grace::wait_all();
    record::said("everybody is done: the audit");
    scene.end(grace::wait_all)
}

#[cfg(test)]
mod tests {
    use nfexp_model::revision::Revision;

    use super::*;

    /// loom by itself would go on to its next checkpoint, 20 000 executions away.
    #[test]
    fn a_budget_stops_where_it_says() {
        let scenario = Scenario::named(Revision::LINUX_3_9, "expire-1+lookup-1");
        let scenario = scenario.expect("a good name");
        let whole = explore(&scenario, Limits::NONE);
        assert_eq!(whole.verdict, Verdict::Proved);
        for executions in [1, 7, whole.executions - 1, whole.executions + 1] {
            let report =
                explore(&scenario, Limits { executions: Some(executions), ..Limits::NONE });
            assert_eq!(report.executions, executions.min(whole.executions));
            let fits = executions > whole.executions;
            assert_eq!(report.verdict, if fits { Verdict::Proved } else { Verdict::Budget });
        }
    }
}
