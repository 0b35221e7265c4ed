// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios, their exploration, and honest verdicts.
//!
//! *Scenario*: a small world and what each of its CPUs does. *Outcome*: what they were answered
//! in one execution. *Mark*: an outcome that a scenario exists to show (`sometimes`).
//!
//! ```text
//!   setup on main ─▶ actors, one CPU each ─▶ all ended ─▶ audit ─▶ everything given back ─▶ leaks?
//! ```
//!
//! The rule that matters: loom is silent when it stops early, so executions are counted and a
//! run that met its budget is never called proved.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::{At, MasterCheck};
use nfexp_model::event::{Event, ExpectEventKind, Origin};
use nfexp_model::expectation::{ExpectRef, Expected, Flags};
use nfexp_model::helper::{Class, ExpectPolicy, Helper};
use nfexp_model::kernel::Cpu;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_model::{Config, Engine};

use crate::grace;
use crate::smp::{Smp, World};

/// What one CPU does. Expectations are named by their destination port; those below
/// [`Scenario::linked`] exist from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Its timer expires: detached, then the callback.
    Expire(u16),
    /// Its connection arrives (`nf_ct_find_expectation`).
    Match(u16),
    /// Somebody looks it up and takes a reference (`nf_ct_expect_find_get`).
    Lookup(u16),
    /// Its maker takes it back and gives the creator's reference back.
    Unexpect(u16),
    /// A helper announces it: new, or a refresh of the one that is linked.
    Announce(u16),
    /// The master's expectations end (`nf_ct_remove_expectations`).
    Remove,
    /// The master leaves the table and its last reference goes.
    Destroy,
    /// The listing is read.
    List,
}

/// A small world and its actors.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Which kernel.
    pub revision: Revision,
    /// How many expectations are linked at the start.
    pub linked: u16,
    /// Whether these are permanent.
    pub permanent: bool,
    /// How many the master's class may have.
    pub max_expected: u32,
    /// Whether events are told, and their order checked.
    pub events: bool,
    /// What each CPU does; the first acts on main.
    pub actors: Vec<Op>,
}

impl Scenario {
    /// One linked expectation and these actors.
    #[must_use]
    pub fn of(revision: Revision, actors: &[Op]) -> Self {
        let actors = actors.to_vec();
        Self { revision, linked: 1, permanent: false, max_expected: 8, events: false, actors }
    }
}

/// How far a scenario is explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Preemptions per execution; none is no bound.
    pub preemptions: Option<usize>,
    /// Executions after which to give up; none is no budget.
    pub executions: Option<usize>,
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
    /// The outcomes alone: they must not depend on the order of the actors.
    #[must_use]
    pub fn outcome_set(&self) -> BTreeSet<String> {
        self.outcomes.keys().cloned().collect()
    }

    /// Whether some execution ended with this mark.
    #[must_use]
    pub fn sometimes(&self, mark: &str) -> bool {
        self.outcomes.keys().any(|outcome| outcome.split(' ').any(|note| note == mark))
    }
}

/// Explores a scenario in the world `W`.
#[must_use]
pub fn explore<W: World>(scenario: &Scenario, limits: Limits) -> Report {
    let outcomes: Arc<Mutex<(usize, BTreeMap<String, usize>)>> = Arc::default();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = limits.preemptions;
    builder.max_permutations = limits.executions;
    builder.max_branches = 10_000;
    let (seen, scenario) = (Arc::clone(&outcomes), scenario.clone());
    let _ = grace::take_unchecked();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            seen.lock().expect("not held across an execution").0 += 1;
            let outcome = execute::<W>(&scenario);
            let mut seen = seen.lock().expect("not held across an execution");
            *seen.1.entry(outcome).or_default() += 1;
        });
    }));
    grace::begin();
    let (executions, outcomes) = std::mem::take(&mut *outcomes.lock().expect("nobody holds it"));
    let verdict = match (ended, limits) {
        (Err(panic), _) => Verdict::Violation(message(&*panic)),
        (Ok(()), Limits { executions: Some(most), .. }) if executions >= most => Verdict::Budget,
        (Ok(()), Limits { preemptions: Some(bound), .. }) => Verdict::Bounded(bound),
        (Ok(()), _) => Verdict::Proved,
    };
    Report { verdict, executions, outcomes, unchecked: grace::take_unchecked() }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// The world of one execution.
struct World1<W: World> {
    engine: Arc<Engine<Smp<W>>>,
    master: Rc<RefCell<Option<ConnRef>>>,
    /// The creator's references of those that an actor takes back.
    created: Rc<RefCell<BTreeMap<u16, ExpectRef>>>,
    notes: Rc<RefCell<Vec<String>>>,
}

impl<W: World> Clone for World1<W> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            master: Rc::clone(&self.master),
            created: Rc::clone(&self.created),
            notes: Rc::clone(&self.notes),
        }
    }
}

const NET: NetId = NetId::INIT;
const ZONE: Zone = Zone(0);

fn tuple(sport: u16, dport: u16) -> Tuple {
    Tuple { sport, dport, l3: L3::Ipv4, proto: Proto::TCP, ..Tuple::NONE }
}

fn config(scenario: &Scenario) -> Config {
    let announced = scenario.actors.iter().filter(|op| matches!(op, Op::Announce(_))).count();
    let policy = ExpectPolicy { max_expected: scenario.max_expected, timeout_secs: 300, name: "" };
    let (l3, proto) = (&[L3::Ipv4][..], &[Proto::TCP][..]);
    // A table of one row; loom's worlds live for the whole run anyway.
    let policies: &'static [ExpectPolicy] = Vec::leak(vec![policy]);
    let helpers = Cow::Owned(vec![Helper { name: "ftp", l3, proto, port: 21, policies }]);
    Config {
        revision: scenario.revision,
        hash_size: 1,
        expectations: u32::from(scenario.linked) + announced as u32,
        conns: 1,
        cpus: scenario.actors.len() as u8,
        events: scenario.events,
        helpers,
        ..Config::SMALL
    }
}

fn execute<W: World>(scenario: &Scenario) -> String {
    grace::begin();
    let world = World1::<W>::new(scenario);
    let acting = scenario.actors.iter().enumerate().skip(1);
    for (cpu, op) in acting {
        let (world, op) = (world.clone(), *op);
        grace::spawn(move || world.act(cpu as u8, op));
    }
    if let Some(op) = scenario.actors.first() {
        world.act(0, *op);
    }
    grace::wait_all();
    world.end()
}

impl<W: World> World1<W> {
    fn new(scenario: &Scenario) -> Self {
        let engine = Engine::<Smp<W>>::new(config(scenario)).expect("there is memory");
        let control = tuple(40000, 21);
        let reply = tuple(21, 40000);
        let ct = engine.alloc_conn(NET, ZONE, control, reply).expect("there is memory");
        engine.attach(&ct, engine.helper_named("ftp")).expect("there is memory");
        assert!(engine.confirm(At::default(), &ct, Origin::KERNEL), "the table is empty");
        let world = Self {
            engine: Arc::new(engine),
            master: Rc::new(RefCell::new(Some(ct))),
            created: Rc::default(),
            notes: Rc::default(),
        };
        for port in 1..=scenario.linked {
            let flags = if scenario.permanent { Flags::PERMANENT } else { Flags::NONE };
            let exp = world.announce(At::default(), port, flags).expect("there is room");
            if scenario.actors.contains(&Op::Unexpect(port)) {
                world.created.borrow_mut().insert(port, exp);
            } else {
                world.engine.put(exp);
            }
        }
        world
    }

    fn note(&self, what: impl Into<String>) {
        self.notes.borrow_mut().push(what.into());
    }

    fn announce(&self, at: At, port: u16, flags: Flags) -> Option<ExpectRef> {
        let master = self.master.borrow();
        let exp = self.engine.alloc(at, master.as_ref()?).expect("there is memory");
        let (l3, proto) = (L3::Ipv4, Proto::TCP);
        let (saddr, daddr) = (None, Tuple::NONE.dst);
        let expected = Expected { l3, saddr, daddr, proto, sport: None, dport: port };
        self.engine.init(&exp, Class::DEFAULT, &expected);
        self.engine.set_flags(&exp, flags);
        match self.engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own) {
            Ok(()) => Some(exp),
            Err(_) => {
                self.engine.put(exp);
                None
            }
        }
    }

    fn act(&self, cpu: u8, op: Op) {
        let at = At { cpu: Cpu(cpu), ..At::default() };
        match op {
            Op::Expire(port) => {
                // Expectation n is the n-th of the cache.
                let key = TimerKey::expectation(u32::from(port));
                match self.engine.expire_this(key) {
                    None => self.note("timer-late"),
                    Some(firing) => {
                        self.engine.timed_out(at, firing);
                        self.note("timer-won");
                    }
                }
            }
            Op::Match(port) => {
                let mut locked = self.engine.lock();
                let found = locked.find_expectation(at, NET, ZONE, &tuple(41000, port), true);
                drop(locked);
                let Some(found) = found else { return self.note("match-none") };
                assert_eq!(self.engine.expectation(found.exp.id()).tuple().dport, port);
                self.engine.put(found.exp);
                if let MasterHold::Counted(master) = found.master {
                    self.engine.put_conn(at, master);
                }
                self.note("match-won");
            }
            Op::Lookup(port) => match self.engine.find_get(at, NET, ZONE, &tuple(41000, port)) {
                None => self.note("lookup-none"),
                Some(exp) => {
                    assert_eq!(self.engine.expectation(exp.id()).tuple().dport, port);
                    self.engine.put(exp);
                    self.note("lookup-found");
                }
            },
            Op::Unexpect(port) => {
                let exp = self.created.borrow_mut().remove(&port).expect("kept at the start");
                self.engine.unexpect(at, &exp);
                self.engine.put(exp);
            }
            Op::Announce(port) => match self.announce(at, port, Flags::NONE) {
                None => self.note("announce-refused"),
                Some(exp) => {
                    self.engine.put(exp);
                    self.note("announced");
                }
            },
            Op::Remove => {
                let master = self.master.borrow().as_ref().map(ConnRef::id);
                let master = master.expect("no actor destroys it in this scenario");
                let cause = nfexp_model::event::Cause::MasterGone;
                self.engine.lock().remove_expectations(at, master, cause);
            }
            Op::Destroy => {
                let master = self.master.borrow_mut().take().expect("one actor destroys it");
                self.engine.delete_conn(at, &master, Origin::KERNEL);
                self.engine.put_conn(at, master);
            }
            Op::List => {
                let mut text = String::new();
                let mut file = SeqFile::open(NET);
                let read = file.read(&self.engine, at, u64::MAX, &mut text);
                self.note(format!("listed-{}", read.expect("a string takes all")));
            }
        }
    }

    /// Checks what is left, gives everything back, and says how it went.
    fn end(self) -> String {
        let at = At::default();
        if let Err(violation) = self.engine.audit() {
            panic!("{violation}");
        }
        self.check_events();
        if let Some(master) = self.master.take() {
            self.engine.delete_conn(at, &master, Origin::KERNEL);
            self.engine.put_conn(at, master);
        }
        grace::wait_all();
        let memory = self.engine.memory();
        let left = (memory.expectations.live(), memory.conns.live());
        assert!(left == (0, 0), "leak: {} expectations, {} connections", left.0, left.1);
        let mut notes = self.notes.take();
        notes.sort();
        notes.join(" ")
    }

    /// Each life is told of by one NEW and then at most one DESTROY.
    fn check_events(&self) {
        let mut told = BTreeMap::new();
        while let Some(event) = self.engine.poll_event() {
            let Event::Expect(event) = event else { continue };
            let new = event.kind == ExpectEventKind::New;
            let before = told.insert(event.id, new);
            assert!(!new || before.is_none(), "NEW of {:?} after its DESTROY", event.id);
            assert!(new || before == Some(true), "DESTROY of {:?} before its NEW", event.id);
        }
    }
}
