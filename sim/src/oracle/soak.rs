// SPDX-License-Identifier: GPL-2.0-only
//! Fresh sequences for some minutes, in several namespaces at once.
//!
//! *Worker*: a thread with a namespace of its own. One works through profiles in which time
//! stands still; the others wait most of the time, for theirs must pass.
//!
//! The rule that matters: a difference counts when it comes back in a fresh namespace. One that
//! does not is told as well, and the soak proves nothing; unless it stands behind a kernel's search
//! for a port, which begins anywhere: such are counted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nfexp_model::revision::Revision;

use super::OBJECTS;
use super::cells::Cells;
use super::generate::LAST_EPOCH_MS;
use super::kernel::{Kernel, Trouble, clock};
use super::live::{Finding, Run, Sequence, rerun, run};
use super::namespace::Lacking;
use super::profile::Profile;
use super::shrink::shrink;

/// From how long a soak on an empty reachable cell is held against it.
pub const HELD_FROM: Duration = Duration::from_secs(120);

/// How a soak is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What the model is.
    pub revision: Revision,
    /// The first seed.
    pub seed: u64,
    /// How long.
    pub time: Duration,
    /// How many workers wait for time to pass.
    pub waiting: usize,
    /// Of which mixture; of all if none is named.
    pub profile: Option<Profile>,
    /// How many operations a sequence has.
    pub operations: u64,
}

/// What came of a soak.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many operations kernel and model were both asked.
    pub operations: u64,
    /// In how many sequences.
    pub sequences: u64,
    /// What was reached.
    pub cells: Cells,
    /// Where they part, made small.
    pub finding: Option<(Sequence, Finding)>,
    /// Differences that did not come back.
    pub chance: Vec<(Sequence, Finding)>,
    /// How many more did not, behind a search for a port, which a kernel begins anywhere.
    pub behind_a_search: u64,
    /// What went wrong beside.
    pub trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    until: Instant,
    seed: AtomicU64,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

/// Soaks; `told` hears of the progress about once a second.
///
/// # Errors
/// What the kernel lacks.
pub fn soak(plan: Plan, mut told: impl FnMut(u64, u64)) -> Result<Tally, Lacking> {
    let shared = Shared {
        plan,
        until: clock() + plan.time,
        seed: AtomicU64::new(plan.seed),
        stop: AtomicBool::new(false),
        tally: Mutex::default(),
    };
    let (timed, still): (Vec<Profile>, Vec<Profile>) =
        profiles(plan).into_iter().partition(|p| p.advance_every > 0);
    let long = plan.time > Duration::from_millis(LAST_EPOCH_MS * 2) || still.is_empty();
    let standing = usize::from(!still.is_empty());
    let waiting = if long && !timed.is_empty() { plan.waiting.max(1 - standing) } else { 0 };
    let failed =
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for _ in 0..standing {
                let longest = plan.time.min(Duration::from_secs(16)) / 8;
                let (shared, still) = (&shared, &still);
                workers.push(scope.spawn(move || worker(shared, still, longest)));
            }
            for _ in 0..waiting {
                workers.push(scope.spawn(|| {
                    worker(&shared, &timed, Duration::from_millis(LAST_EPOCH_MS + 2_000))
                }));
            }
            while workers.iter().any(|worker| !worker.is_finished()) {
                thread::sleep(Duration::from_millis(200));
                let tally = shared.tally.lock().expect("nobody panics with the tally");
                told(tally.sequences, tally.operations);
            }
            workers
                .into_iter()
                .find_map(|worker| worker.join().expect("a worker that panics has said why").err())
        });
    match failed {
        Some(lacking) => Err(lacking),
        None => Ok(shared.tally.into_inner().expect("nobody panics with the tally")),
    }
}

/// The one that is named, or all, with and without zones.
fn profiles(plan: Plan) -> Vec<Profile> {
    let all = || Profile::names().iter().filter_map(|name| Profile::named(name)).collect();
    plan.profile.map_or_else(all, |profile| vec![profile])
}

fn worker(shared: &Shared, profiles: &[Profile], longest: Duration) -> Result<(), Lacking> {
    let mut kernel = Kernel::enter(&OBJECTS)?;
    let still = |now: Instant| now + longest < shared.until && !shared.stop.load(Ordering::Relaxed);
    let mut first = true;
    while first || still(clock()) {
        first = false;
        let seed = shared.seed.fetch_add(1, Ordering::Relaxed);
        let profile = profiles[seed as usize % profiles.len()];
        let sequence = Sequence { profile, seed, operations: shared.plan.operations };
        if let Err(trouble) = one(shared, &mut kernel, &sequence) {
            shared.stop.store(true, Ordering::Relaxed);
            lock(shared).trouble.get_or_insert(trouble);
        }
    }
    Ok(())
}

fn one(shared: &Shared, kernel: &mut Kernel, sequence: &Sequence) -> Result<(), Trouble> {
    let lacking = |lacking: Lacking| Trouble::System(lacking.0);
    let header = sequence.header().map_err(lacking)?;
    let revision = shared.plan.revision;
    let mut cells = Cells::default();
    let run = match run(kernel, sequence, &header, Some(revision), &mut cells) {
        // The machine is too busy: this sequence says nothing.
        Err(Trouble::Slow) => return Ok(()),
        done => done?,
    };
    let operations = run.lines.len() as u64;
    {
        let mut tally = lock(shared);
        tally.operations += operations;
        tally.sequences += 1;
        tally.cells.merge(&cells);
    }
    let Run { lines, difference: Some(difference), searched } = run else { return Ok(()) };
    let finding = Finding { lines, difference };
    let again: Vec<_> = finding.lines.iter().map(|line| line.operation.clone()).collect();
    let back = super::live::in_namespace(|fresh| rerun(fresh, &again, &header, Some(revision)));
    if back.map_err(lacking)??.difference.is_none() {
        let mut tally = lock(shared);
        if searched {
            tally.behind_a_search += 1;
        } else {
            tally.chance.push((*sequence, finding));
        }
        return Ok(());
    }
    if !shared.stop.swap(true, Ordering::Relaxed) {
        let small = shrink(kernel, &header, revision, finding)?;
        lock(shared).finding = Some((*sequence, small));
    }
    Ok(())
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Tally> {
    shared.tally.lock().expect("nobody panics with the tally")
}
