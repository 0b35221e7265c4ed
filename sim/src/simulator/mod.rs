// SPDX-License-Identifier: GPL-2.0-only
//! Plays steps on one engine: the only place where the clock of a trace advances.
//!
//! Every step is answered by lines of text, the ones that stand below `----` in a trace:
//!
//! ```text
//!  new e1 use=3            refused e2 clash        found e1 use=4      related ftp mark=7 helper=sip
//!  destroy e1 match        no-memory               none                new-connection, known ftp original
//!  free e1                 timer e1 lost           dropped             counters, listing lines
//!  gone ftp                too-late (retime)       invalid (sysctl)    end (of a listing)
//!  ret OK (request)        not-in-the-table (delete)
//! ```
//!
//! Who is refused is refused for [`clash`, `class-full`, …](nfexp_model::error::RelateError::word); who
//! ends, ends by [`match`, `expiry`, …](nfexp_model::event::Cause::word).
//!
//! What a user asked for says so: `new e1 use=3 portid=7 report`.
//!
//! After every step the softirqs run that a [`Schedule`] picks, and the table is audited: while it is
//! small each time, and later as often as the steps pay for it (`audits.rs`).
//!
//! The rule that matters: what a kernel does wrong (a use after free of v3.9, say) is an error
//! of the step and not the end of the process: see [`Simulator::step`].

mod audits;
mod conns;
mod expectations;
mod fork;
mod names;
mod namespaces;
mod requests;
mod softirqs;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nfexp_model::audit::Violation;
use nfexp_model::conn::{ConnId, ConnRef};
use nfexp_model::engine::Firing;
use nfexp_model::event::{Cause, Event};
use nfexp_model::eviction::Eviction;
use nfexp_model::expectation::{ExpectId, ExpectRef};
use nfexp_model::helper::{ExpectPolicy, Helper, in_tree};
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Cpu, Jiffies, Platform, Up};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::watch::Watch;
use nfexp_model::{At, Config, Engine};
use nfexp_traces::step::Step;
use nfexp_traces::text::Setup;

use self::audits::Pace;
use self::names::Names;
use crate::conform::Host;
use crate::schedule::{InOrder, Schedule};

/// Why a step could not be played, or what it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The trace names what is not there.
    #[error("{0}")]
    Trace(String),
    /// An invariant is false after the step.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The engine did what would crash or corrupt a kernel.
    #[error("the kernel crashes: {0}")]
    Crash(String),
}

thread_local! {
    /// Whether a panic on this thread is a kernel's crash.
    static PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// From now on a simulated kernel's crash is told by [`StepError::Crash`] alone, and not on
/// standard error as well; other panics are told as before.
pub fn crash_quietly() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !PLAYING.get() {
            usual(panic);
        }
    }));
}

/// What a simulated kernel answers.
///
/// # Errors
/// The words of its crash; after one it is good for nothing more.
pub fn unless_it_crashes<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = PLAYING.replace(true);
    let played = catch_unwind(AssertUnwindSafe(work));
    PLAYING.set(before);
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic").to_owned()
    })
}

type Played<T = ()> = Result<T, StepError>;

/// The simulator of traces, on the one-CPU platform.
pub type Simulator = SimulatorOn<Up>;

/// An engine, its clock, and what a trace holds by name; on any platform whose softirqs run
/// when they are told to.
#[derive(Debug)]
pub struct SimulatorOn<P: Platform<Rcu = UpRcu>> {
    engine: Engine<P>,
    now: Jiffies,
    conns: BTreeMap<String, ConnRef>,
    exps: BTreeMap<String, ExpectRef>,
    /// Under which name each expectation is told of, as long as it is allocated.
    names: Names,
    conn_names: BTreeMap<ConnId, String>,
    /// How many of them there may be before those of connections that are gone are forgotten.
    conn_names_most: usize,
    /// What was freed since it was last told.
    freed: Vec<ExpectId>,
    /// Timers that a trace detached by name.
    fired: BTreeMap<String, Firing>,
    schedule: Box<dyn Schedule>,
    /// Timers that a softirq detached and whose callback waits.
    firing: Vec<Firing>,
    /// Whether the clock has moved since the timer softirq last looked.
    ticked: bool,
    files: BTreeMap<String, SeqFile>,
    held: BTreeMap<Cpu, u32>,
    /// Whether no callback was due while a reader was held, and none has left since.
    waiting: bool,
    /// Users, and packets of a network.
    host: Host,
    answers: Vec<String>,
    raw: Vec<Event>,
    /// What the events say of lives, and the first thing found wrong since the last audit.
    watch: Watch,
    found: Option<Violation>,
    audits: Pace,
    refusals: Pace,
    /// Whether an audit has seen what the last step did.
    audited: bool,
    /// What audits have looked at.
    looked: u64,
}

/// The engine of a trace.
#[must_use]
pub fn config(setup: &Setup, revision: Revision) -> Config {
    let usual = Config::SMALL;
    let mut helpers = in_tree(&revision).into_owned();
    // Of two of one name the first is meant.
    let names = helpers.iter().map(|helper| helper.name).enumerate().rev();
    let mut places: BTreeMap<&str, usize> = names.map(|(place, name)| (name, place)).collect();
    for (name, max_expected, timeout_secs) in &setup.helpers {
        // A trace's own helpers live as long as the process: there are few, and they are small.
        let name: &'static str = String::leak(name.clone());
        let policy =
            ExpectPolicy { max_expected: *max_expected, timeout_secs: *timeout_secs, name: "" };
        let policies: &'static [ExpectPolicy] = Vec::leak(vec![policy]);
        let place = *places.entry(name).or_insert(helpers.len());
        match helpers.get_mut(place) {
            Some(known) => known.policies = policies,
            None => helpers.push(Helper { name, policies, ..helpers[0] }),
        }
    }
    Config {
        revision,
        hz: setup.hz.unwrap_or(usual.hz),
        hash_size: setup.hash_size.unwrap_or(usual.hash_size),
        expect_max: setup.expect_max.unwrap_or(usual.expect_max),
        expectations: setup.expectations.unwrap_or(usual.expectations),
        conns: setup.conns.unwrap_or(usual.conns),
        netns: setup.netns.map_or(usual.netns, |count| count as u16),
        helpers: Cow::Owned(helpers),
        ..usual
    }
}

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    /// A fresh engine, at boot.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(config: Config) -> Played<Self> {
        Self::with(config, None, Box::new(InOrder))
    }

    /// The same with another eviction than the kernel's, and softirqs by `schedule`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn with(
        config: Config,
        eviction: Option<Box<dyn Eviction>>,
        schedule: Box<dyn Schedule>,
    ) -> Played<Self> {
        let now = Jiffies::initial(config.hz);
        let engine = Engine::with_eviction(config, eviction);
        let engine = engine.map_err(|error| StepError::Trace(error.to_string()))?;
        Ok(Self {
            engine,
            now,
            conns: BTreeMap::new(),
            exps: BTreeMap::new(),
            names: Names::default(),
            conn_names: BTreeMap::new(),
            conn_names_most: 0,
            freed: Vec::new(),
            fired: BTreeMap::new(),
            schedule,
            firing: Vec::new(),
            ticked: false,
            files: BTreeMap::new(),
            held: BTreeMap::new(),
            waiting: false,
            host: Host::default(),
            answers: Vec::new(),
            raw: Vec::new(),
            watch: Watch::default(),
            found: None,
            audits: Pace::default(),
            refusals: Pace::default(),
            audited: false,
            looked: 0,
        })
    }

    /// The engine, for looking.
    #[must_use]
    pub fn engine(&self) -> &Engine<P> {
        &self.engine
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Jiffies {
        self.now
    }

    /// The events of the steps since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.raw)
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// Plays a step; answers its lines.
    ///
    /// # Errors
    /// [`StepError`]; after a crash or a violation the simulator is good for nothing more.
    pub fn step(&mut self, step: &Step) -> Played<Vec<String>> {
        unless_it_crashes(|| self.play(step)).unwrap_or_else(|why| Err(StepError::Crash(why)))?;
        Ok(std::mem::take(&mut self.answers))
    }

    fn play(&mut self, step: &Step) -> Played {
        self.audited = false;
        self.act(step)?;
        self.run_softirqs();
        // What was found on the way is the cause of what an audit finds.
        if let Some(violation) = self.found.take() {
            return Err(violation.into());
        }
        self.audit_if_due()
    }

    /// Notes what was found, to be told after the step.
    fn find(&mut self, found: Result<(), Violation>) {
        self.found = self.found.take().or_else(|| found.err());
    }

    fn act(&mut self, step: &Step) -> Played {
        let at = self.at();
        match step {
            Step::Conn { name, tuple, place, helper, mark, secmark } => {
                self.conn(name, tuple, *place, helper, (*mark, *secmark))?;
            }
            Step::Confirm { conn } => self.confirm(conn)?,
            Step::Delete { conn } => self.delete(conn)?,
            Step::Destroy { conn } => self.destroy(conn)?,
            Step::Helper { conn, helper } => self.change_helper(conn, helper)?,
            Step::Alloc(announcement) => drop(self.alloc(announcement)?),
            Step::Relate { exp, skip_master, origin } => self.relate(exp, *skip_master, *origin)?,
            Step::Pair { exps } => self.pair(exps)?,
            Step::Expect { announcement, skip_master, origin } => {
                if self.alloc(announcement)? {
                    self.relate(&announcement.name, *skip_master, *origin)?;
                }
            }
            Step::Unexpect { exp } => self.unexpect(exp)?,
            Step::SetFlags { exp, flags } => self.engine.set_flags(self.exp_ref(exp)?, *flags),
            Step::Retime { exp, span, flags } => self.retime(exp, *span, *flags)?,
            Step::Remove { conn } => {
                let master = self.conn_ref(conn)?.id();
                self.engine.lock().remove_expectations(at, master, Cause::MasterGone);
            }
            Step::Put { name } => self.put(name)?,
            Step::Packet { tuple, place, name, fate } => {
                self.packet(tuple, *place, name.as_deref(), *fate)?;
            }
            Step::Lookup { tuple, place, name, cpu } => {
                self.lookup(tuple, *place, name.as_deref(), *cpu)?;
            }
            Step::Advance(span) => self.advance(*span),
            Step::Fire { exp } => self.fire(exp)?,
            Step::Callback { exp } => self.callback(exp)?,
            Step::Hold(cpu) => self.hold(*cpu)?,
            Step::Release(cpu) => self.release(*cpu)?,
            Step::Show { net } => self.show(*net)?,
            Step::Open { file, net } => self.open(file, *net)?,
            Step::Read { file, lines } => self.read_on(file, *lines)?,
            Step::Stats { net } => self.stats(*net)?,
            Step::Memory => self.memory(),
            Step::ExpectMax(max) => {
                let taken = self.engine.set_expect_max(*max);
                self.say_unless(taken, "invalid");
            }
            Step::FailNth(nth) => self.engine.fail_nth(*nth),
            Step::NetnsInit(net) => self.netns_init(*net)?,
            Step::NetnsExit(net) => self.netns_exit(*net)?,
            Step::Flush { net, origin } => {
                self.known_net(*net)?;
                self.engine.lock().iterate_destroy(at, *net, *origin, Cause::Flush, |_| true);
            }
            Step::CtExpectation(object) => self.host.nft.push(*object),
            Step::Request(operation) => self.request(operation),
            Step::Unregister { helper } => self.unregister(helper)?,
            Step::UnregisterFunction(function) => {
                self.engine.expectfn_unregister(*function);
                self.engine.expectfn_destroy(at, *function);
            }
            Step::Collect { conn } => {
                let slot = self.conn_ref(conn)?.id().index();
                self.engine.help_gc(at, slot);
            }
        }
        self.drain();
        Ok(())
    }
}
