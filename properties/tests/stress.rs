// SPDX-License-Identifier: GPL-2.0-only
//! The same engine where loom cannot go: under real threads, and in thousands of random schedules
//! of up to eight CPUs. Seeds are printed; `NFEXP_SEEDS` sets how many schedules there are.
//!
//! ThreadSanitizer would see races in the first of these; it needs a nightly compiler, which this
//! project does not, so it is not run. Races are what loom looks for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nfexp_model::engine::{At, MasterCheck};
use nfexp_model::error::RelateError;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::expectation::Flags;
use nfexp_model::helper::Class;
use nfexp_model::kernel::rcu::Rcu;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::{Expiry, NewEvent, Revision};
use nfexp_model::tuple::{Mask, Proto, Tuple};
use nfexp_model::watch::Watch;
use nfexp_model::{Config, Engine};
use nfexp_properties::op::Op;
use nfexp_properties::scenario::Scenario;
use nfexp_properties::schedule::random;
use nfexp_properties::threads::Threads;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const CPUS: u8 = 6;
const ROUNDS: u64 = 12;
const DEEDS: u64 = 1_500;

fn tuple(sport: u16, dport: u16) -> Tuple {
    let ip = |last: u8| std::net::Ipv4Addr::new(10, 0, 0, last).into();
    Tuple::new(Proto::TCP, ip(1), sport, ip(2), dport)
}

/// What was done at least once: a stress that never gets there shows nothing.
#[derive(Default)]
struct Marks([AtomicU64; 8]);

impl Marks {
    const WORDS: [&'static str; 8] = [
        "inserted",
        "refused",
        "matched",
        "found",
        "expired",
        "lost to another",
        "listed",
        "ended",
    ];

    fn seen(&self, word: &str) {
        let at = Self::WORDS.iter().position(|known| *known == word).expect("a word");
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }
}

struct Stress {
    engine: Engine<Threads>,
    marks: Marks,
}

impl Stress {
    fn new(revision: Revision) -> Self {
        let sizes = Config { expectations: 4096, conns: 4096, cpus: CPUS + 1, ..Config::SMALL };
        let config = Config { revision, hash_size: 4, expect_max: 24, ..sizes };
        Self { engine: Engine::new(config).expect("memory"), marks: Marks::default() }
    }

    /// One CPU's part of a round: a master of its own, and everybody's expectations.
    fn act(&self, cpu: u8, seed: u64) {
        let (engine, mut rng) = (&self.engine, ChaCha8Rng::seed_from_u64(seed));
        let at = At { cpu: Cpu(cpu), ..At::default() };
        let control = tuple(40_000 + u16::from(cpu), 21);
        let reply = control.inverse().expect("tcp has one");
        let ct = engine.alloc_conn(NetId::INIT, Zone(0), control, reply).expect("memory");
        engine.attach(&ct, engine.helper_named("irc")).expect("memory");
        assert!(engine.confirm(at, &ct, Origin::KERNEL), "nobody else has this tuple");
        let timers = engine.config().revision.expiry == Expiry::Timer;
        for _ in 0..DEEDS {
            let port = 5000 + (rng.next_u32() % 24) as u16;
            let one = tuple(50_000, port);
            if rng.next_u32() % 64 == 0 {
                thread::yield_now();
            }
            match rng.next_u32() % 10 {
                0..3 => self.announce(at, &ct, port, rng.next_u32() % 4 == 0),
                3 => {
                    let mut locked = engine.lock();
                    let found = locked.find_expectation(at, NetId::INIT, Zone(0), &one, true);
                    drop(locked);
                    if let Some(found) = found {
                        assert_eq!(engine.expectation(found.exp.id()).tuple().dport, port);
                        engine.put(found.exp);
                        if let nfexp_model::locked::MasterHold::Counted(master) = found.master {
                            engine.put_conn(at, master);
                        }
                        self.marks.seen("matched");
                    }
                }
                4 | 5 => {
                    if let Some(exp) = engine.find_get(at, NetId::INIT, Zone(0), &one) {
                        assert_eq!(engine.expectation(exp.id()).tuple().dport, port);
                        if rng.next_u32() % 4 == 0 {
                            engine.unexpect(at, &exp);
                        }
                        engine.put(exp);
                        self.marks.seen("found");
                    }
                }
                6 | 7 if timers => {
                    let key = TimerKey::expectation(1 + rng.next_u32() % 4096);
                    if let Some(firing) = engine.expire_this(key) {
                        thread::yield_now();
                        engine.timed_out(at, firing);
                        self.marks.seen("expired");
                    }
                }
                6 | 7 => {
                    let late = At { now: at.now.after(Ticks(1 << 20)), ..at };
                    engine.help_gc(late, ct.id().index());
                    self.marks.seen("expired");
                }
                8 => {
                    let (mut file, mut text) = (SeqFile::open(NetId::INIT), String::new());
                    while file.read(engine, at, 3, &mut text).expect("a string") > 0 {}
                    assert!(text.lines().all(|line| line.contains("l3proto = 2 proto=6")));
                    self.marks.seen("listed");
                }
                _ if rng.next_u32() % 8 == 0 => {
                    engine.lock().remove_expectations(at, ct.id(), Cause::MasterGone);
                }
                _ => {
                    engine.rcu().barrier(engine.memory());
                }
            }
        }
        // In kernels with timers a master that ends while one fires is B01: nobody fires its own now.
        if !timers {
            engine.delete_conn(at, &ct, Origin::KERNEL);
            self.marks.seen("ended");
        }
        engine.put_conn(at, ct);
    }

    fn announce(&self, at: At, ct: &nfexp_model::conn::ConnRef, port: u16, permanent: bool) {
        let engine = &self.engine;
        let Ok(exp) = engine.alloc(at, ct) else { return };
        engine.init_key(&exp, Class::DEFAULT, tuple(0, port), Mask::ANY);
        engine.set_flags(&exp, if permanent { Flags::PERMANENT } else { Flags::NONE });
        match engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own) {
            Ok(()) => self.marks.seen("inserted"),
            Err(RelateError::ClassFull) => self.marks.seen("lost to another"),
            Err(_) => self.marks.seen("refused"),
        }
        engine.put(exp);
    }

    fn run(revision: Revision, told: bool) {
        let stress = Self::new(revision);
        let mut events = Watch::default();
        for round in 0..ROUNDS {
            thread::scope(|scope| {
                for cpu in 0..CPUS {
                    let stress = &stress;
                    let seed = round * u64::from(CPUS) + u64::from(cpu);
                    scope.spawn(move || stress.act(cpu, seed));
                }
            });
            let engine = &stress.engine;
            engine.audit().unwrap_or_else(|violation| panic!("round {round}: {violation}"));
            let at = At { cpu: Cpu(CPUS), ..At::default() };
            for id in engine.conns_of(NetId::INIT) {
                let (tuple, zone) = engine.place_of(id);
                if let Some((ct, _)) = engine.find_conn(NetId::INIT, zone, &tuple) {
                    engine.delete_conn(at, &ct, Origin::KERNEL);
                    engine.put_conn(at, ct);
                    stress.marks.seen("ended");
                }
            }
            while let Some(event) = engine.poll_event() {
                if told {
                    events.hear(&event).unwrap_or_else(|violation| panic!("{violation}"));
                }
            }
        }
        if told {
            events.all_over().unwrap_or_else(|violation| panic!("{violation}"));
        }
        for (word, count) in Marks::WORDS.iter().zip(&stress.marks.0) {
            let count = count.load(Ordering::Relaxed);
            eprintln!("{}: {word} {count}", revision.name);
            // These two need another thread in between, which a busy machine need not bring.
            let needs_luck = ["lost to another", "refused"].contains(word);
            assert!(count > 0 || needs_luck, "never {word}");
        }
        stress.engine.fini().unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn real_threads_on_the_newest_kernel() {
    Stress::run(Revision::LINUX_7_2, true);
}

#[test]
fn real_threads_on_the_kernel_between() {
    Stress::run(Revision::LINUX_6_18, true);
}

#[test]
fn real_threads_on_the_starting_kernel() {
    // DESTROY before NEW is the starting kernel's own (B10b).
    Stress::run(Revision::LINUX_3_9, false);
}

/// A random scenario of four to eight CPUs, each with one to three things to do.
fn scenario(seed: u64, revision: Revision) -> Scenario {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |most: u32| rng.next_u32() % most;
    let cpus = 4 + below(5);
    let cpus = (0..cpus).map(|_| {
        (0..1 + below(3))
            .map(|_| {
                let port = 1 + below(3) as u8;
                match below(13) {
                    0 | 1 => Op::Expire(port),
                    2 | 3 => Op::Match(port),
                    4 => Op::Lookup(port),
                    5 | 6 => Op::Announce(port),
                    7 => Op::Unexpect(port),
                    8 => Op::Delete(port),
                    9 => Op::ListInParts,
                    10 => Op::Remove,
                    11 => Op::Pair(port),
                    _ => Op::Put(port),
                }
            })
            .collect()
    });
    let cpus = cpus.collect();
    // DESTROY before NEW is the starting kernel's own (B10b).
    let told = revision.new_event == NewEvent::UnderLock;
    Scenario { revision, cpus, variant: Default::default() }.with(|variant| variant.told = told)
}

#[test]
fn thousands_of_random_schedules() {
    let seeds: u64 =
        std::env::var("NFEXP_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3_000);
    let mut outcomes = std::collections::BTreeSet::new();
    for revision in Revision::ALL {
        for seed in 0..seeds {
            let scenario = scenario(seed, revision);
            match random(&scenario, seed, 3) {
                Ok(outcome) => drop(outcomes.insert(outcome)),
                Err(message) => panic!("{}: seed {seed}: {scenario}: {message}", revision.name),
            }
        }
    }
    eprintln!("{} schedules, {} outcomes", 3 * seeds, outcomes.len());
    let expected =
        ["expire-1:won", "expire-1:late", "match-1:won", "match-1:none", "lookup-1:none"];
    for mark in expected.into_iter().chain(["pair-1:inserted", "pair-3:inserted"]) {
        assert!(outcomes.iter().any(|outcome| outcome.contains(mark)), "never {mark}");
    }
}
