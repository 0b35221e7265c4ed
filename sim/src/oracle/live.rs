// SPDX-License-Identifier: GPL-2.0-only
//! Sequences on the running kernel, alone or beside the model.
//!
//! *Source*: where operations come from, a generator or a list. *Finding*: the first place at
//! which kernel and model part, with everything up to it.
//!
//! ```text
//!  source ─▶ kernel: one epoch ─▶ model: the same epoch ─▶ advance ─▶ …
//!                                   └ compare, answer by answer
//! ```
//!
//! The rule that matters: the model is asked while the kernel's clock may run: after an epoch,
//! before the wait. A run whose epoch was too slow says nothing, and is repeated.

use std::fs;
use std::thread;

use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{Difference, Header, Line, Operation, compare};
use nix::time::{ClockId, clock_getres};

use super::OBJECTS;
use super::cells::Cells;
use super::generate::Generator;
use super::kernel::{Kernel, Trouble};
use super::known::Known;
use super::namespace::Lacking;
use super::profile::Profile;
use crate::conform::Player;
use crate::simulator::unless_it_crashes;

/// How often a run that was too slow is repeated.
const REPEATS: u32 = 8;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    /// The mixture.
    pub profile: Profile,
    /// The seed.
    pub seed: u64,
    /// How many operations.
    pub operations: u64,
}

/// Where kernel and model part.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The operations with the kernel's answers; the last is the one they part at.
    pub lines: Vec<Line>,
    /// What differs.
    pub difference: Difference,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Run {
    /// The operations with the kernel's answers.
    pub lines: Vec<Line>,
    /// The first difference, at the last line.
    pub difference: Option<Difference>,
    /// Whether a port was searched for before it: which one the kernel finds is chance.
    pub searched: bool,
}

impl Sequence {
    /// The transcript's first line.
    ///
    /// # Errors
    /// If the kernel does not tell its limits.
    pub fn header(&self) -> Result<Header, Lacking> {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/sys/{name}"))
                .map(|text| text.trim().to_owned())
                .map_err(|error| Lacking::step(&format!("cannot read {name}"), error))
        };
        let expect_max = read("net/netfilter/nf_conntrack_expect_max")?;
        let mut header =
            Header::usual(&self.profile.to_string(), &self.seed.to_string(), self.operations);
        header.kernel = read("kernel/osrelease")?;
        // The coarse clock moves once in a tick.
        let tick = clock_getres(ClockId::CLOCK_REALTIME_COARSE)
            .map_err(|errno| Lacking::step("cannot tell the length of a tick", errno))?;
        let per_sec = 1_000_000_000 / tick.tv_nsec().max(1);
        header.hz = u32::try_from(per_sec).unwrap_or(header.hz);
        header.expect_max =
            expect_max.parse().map_err(|error| Lacking::step("nf_conntrack_expect_max", error))?;
        header.nft = OBJECTS.to_vec();
        Ok(header)
    }

    fn generator(&self, header: &Header) -> Generator {
        Generator::new(self.profile, self.seed, self.operations, header.expect_max)
    }
}

/// The revision that the running kernel is, or its release if none is modelled.
///
/// # Errors
/// The release.
pub fn running_revision() -> Result<Revision, String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let same = |revision: &&Revision| {
        let rest = release.strip_prefix(revision.name);
        rest.is_some_and(|rest| rest.starts_with(['.', '-', '\n']))
    };
    Revision::ALL.iter().find(same).copied().ok_or_else(|| release.trim().to_owned())
}

/// Runs something in a thread and a namespace of its own.
///
/// # Errors
/// What the kernel lacks.
pub fn in_namespace<T: Send>(work: impl FnOnce(&mut Kernel) -> T + Send) -> Result<T, Lacking> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| Kernel::enter(&OBJECTS).map(|mut kernel| work(&mut kernel)));
        worker.join().expect("a worker that panics has said why")
    })
}

/// Runs a sequence on the kernel, and beside the model if there is a revision for it.
///
/// # Errors
/// If the kernel would not, or the machine is too busy for an epoch.
pub fn run(
    kernel: &mut Kernel,
    sequence: &Sequence,
    header: &Header,
    model: Option<Revision>,
    cells: &mut Cells,
) -> Result<Run, Trouble> {
    repeated(|| {
        let mut generator = sequence.generator(header);
        let mut counted = Cells::default();
        let run = play(kernel, header, model, &mut generator, &mut counted)?;
        cells.merge(&counted);
        Ok(run)
    })
}

/// Runs a list of operations on the kernel, and beside the model if there is a revision for it.
///
/// # Errors
/// As [`run`].
pub fn rerun(
    kernel: &mut Kernel,
    operations: &[Operation],
    header: &Header,
    model: Option<Revision>,
) -> Result<Run, Trouble> {
    repeated(|| {
        let mut list = List { operations, place: 0 };
        play(kernel, header, model, &mut list, &mut Cells::default())
    })
}

fn repeated(mut attempt: impl FnMut() -> Result<Run, Trouble>) -> Result<Run, Trouble> {
    for _ in 1..REPEATS {
        match attempt() {
            Err(Trouble::Slow) => {}
            done => return done,
        }
    }
    attempt()
}

/// Where operations come from.
trait Source {
    fn next_operation(&mut self) -> Option<Operation>;
    fn learn(&mut self, line: &Line);
}

impl Source for Generator {
    fn next_operation(&mut self) -> Option<Operation> {
        Self::next_operation(self)
    }

    fn learn(&mut self, line: &Line) {
        Self::learn(self, &line.operation, &line.answer);
    }
}

#[derive(Debug)]
struct List<'a> {
    operations: &'a [Operation],
    place: usize,
}

impl Source for List<'_> {
    fn next_operation(&mut self) -> Option<Operation> {
        let operation = self.operations.get(self.place).cloned();
        self.place += 1;
        operation
    }

    fn learn(&mut self, _: &Line) {}
}

fn play(
    kernel: &mut Kernel,
    header: &Header,
    model: Option<Revision>,
    source: &mut dyn Source,
    cells: &mut Cells,
) -> Result<Run, Trouble> {
    kernel.restart()?;
    let mut player = match model {
        None => None,
        Some(revision) => Some(
            Player::of_revision(header, revision)
                .map_err(|_| Trouble::System("no memory for the model".into()))?,
        ),
    };
    let mut run = Run { lines: Vec::new(), difference: None, searched: false };
    let mut known = Known::default();
    let mut asked = 0;
    cells.begin();
    loop {
        let operation = source.next_operation();
        let epoch_ends = matches!(operation, None | Some(Operation::Advance(_)));
        if epoch_ends && let Some(player) = &mut player {
            while let Some(line) = run.lines.get(asked) {
                asked += 1;
                run.difference = ask(player, header, line);
                if run.difference.is_some() {
                    run.searched = player.engine().ports_searched() > 0;
                    run.lines.truncate(asked);
                    return Ok(run);
                }
            }
        }
        let Some(operation) = operation else { return Ok(run) };
        let t = Some(kernel.now_ms());
        let answer = kernel.answer(&operation)?;
        cells.count(&known, &operation, &answer);
        known.learn(&operation, &answer);
        let line = Line { i: run.lines.len() as u64, t, operation, answer };
        source.learn(&line);
        run.lines.push(line);
    }
}

fn ask(player: &mut Player, header: &Header, line: &Line) -> Option<Difference> {
    // A model that panics has parted from the kernel, too.
    let answer = match unless_it_crashes(|| player.answer(&line.operation)) {
        Ok(answer) => answer,
        Err(why) => {
            let (kernel, model) = ("an answer".to_owned(), format!("the kernel crashes: {why}"));
            return Some(Difference { field: "run", place: None, kernel, model });
        }
    };
    compare(header.tol, &line.operation, &line.answer, &answer, &|handle| player.bucket_of(handle))
}
