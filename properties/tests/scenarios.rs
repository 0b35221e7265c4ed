// SPDX-License-Identifier: GPL-2.0-only
//! Random sequences of steps, answered by the engine and by the naive reference alike.
//!
//! * Every answer, event, cause and counter is the same, step by step.
//! * After every step the table is audited.
//! * At the end everything is given back and nothing is left.
//!
//! `NFEXP_CASES` sets how many sequences run. A sequence that fails is shrunk and printed as a
//! trace: saved below `traces/regressions` it is a test for ever.

use std::cell::RefCell;
use std::collections::BTreeSet;

use nfexp_model::Config;
use nfexp_model::event::Origin;
use nfexp_model::expectation::Flags;
use nfexp_model::kernel::Ticks;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::{ClashScope, Duplicate, MasterRef, Revision, WheelKind};
use nfexp_model::tuple::{Mask, Proto, Tuple};
use nfexp_properties::reference::{Reference, Said};
use nfexp_sim::simulator::{Simulator, config};
use nfexp_traces::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use nfexp_traces::text::{Answer, Block, Setup, Trace};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, TestRunner};

/// A step in small numbers, to be made into one of what is there.
#[derive(Clone, Debug)]
enum Deed {
    Conn { zone: bool, helper: u8 },
    Confirm { conn: usize },
    Delete { conn: usize },
    Destroy { conn: usize },
    Expect { conn: usize, src: u8, mask: u8, dport: u16, class: u8, flags: u8, keep: bool },
    Unexpect { exp: usize },
    Put { exp: usize },
    Packet { src: u8, sport: u16, dport: u16, zone: bool },
    Lookup { src: u8, sport: u16, dport: u16, zone: bool },
    Advance { ticks: u64 },
    Flush,
    Stats,
    ExpectMax { max: u8 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let (src, dport, sport) = (0..3_u8, 1..5_u16, 1000..1004_u16);
    let zone = prop::bool::weighted(0.2);
    let expect = (0..8_usize, src.clone(), 0..6_u8, dport.clone(), 0..4_u8, 0..8_u8, any::<bool>());
    prop_oneof![
        3 => (zone, 0..4_u8).prop_map(|(zone, helper)| Deed::Conn { zone, helper }),
        3 => (0..8_usize).prop_map(|conn| Deed::Confirm { conn }),
        1 => (0..8_usize).prop_map(|conn| Deed::Delete { conn }),
        1 => (0..8_usize).prop_map(|conn| Deed::Destroy { conn }),
        12 => expect.prop_map(|(conn, src, mask, dport, class, flags, keep)| {
            Deed::Expect { conn, src, mask, dport, class, flags, keep }
        }),
        2 => (0..8_usize).prop_map(|exp| Deed::Unexpect { exp }),
        3 => (0..8_usize).prop_map(|exp| Deed::Put { exp }),
        6 => (src.clone(), sport.clone(), dport.clone(), zone).prop_map(
            |(src, sport, dport, zone)| Deed::Packet { src, sport, dport, zone }
        ),
        4 => (src, sport, dport, zone).prop_map(
            |(src, sport, dport, zone)| Deed::Lookup { src, sport, dport, zone }
        ),
        3 => (1..2000_u64).prop_map(|ticks| Deed::Advance { ticks }),
        1 => Just(Deed::Flush),
        1 => Just(Deed::Stats),
        1 => (0..10_u8).prop_map(|max| Deed::ExpectMax { max }),
    ]
}

fn setup() -> Setup {
    Setup {
        hz: Some(100),
        hash_size: Some(2),
        expect_max: Some(8),
        expectations: Some(512),
        conns: Some(512),
        netns: None,
        helpers: vec![("ftp".into(), 2, 10), ("tftp".into(), 1, 3)],
    }
}

fn tuple(src: u8, sport: u16, dport: u16) -> Tuple {
    let ip = |last: u8| std::net::Ipv4Addr::new(10, 0, 0, last).into();
    Tuple::new(Proto::TCP, ip(src), sport, ip(200), dport)
}

/// The engine and the reference, side by side.
struct Pair {
    simulator: Simulator,
    reference: Reference,
    steps: Vec<(Step, Vec<String>)>,
    conns: Vec<(String, Zone)>,
    exps: Vec<String>,
    counted: (u32, u32),
}

thread_local! {
    /// What was answered at least once, so that a run that never gets there fails.
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

impl Pair {
    fn new(engine: Revision, reference: Revision) -> Self {
        let config: Config = config(&setup(), engine);
        let (hz, expect_max) = (config.hz, config.expect_max);
        let mut pair = Self {
            simulator: Simulator::new(config).expect("memory"),
            reference: Reference::new(reference, hz, expect_max),
            steps: Vec::new(),
            conns: Vec::new(),
            exps: Vec::new(),
            counted: (0, 0),
        };
        // One tick has passed before anything happens, as on any machine.
        pair.play(&Deed::Advance { ticks: 1 }).expect("nothing is there");
        pair
    }

    fn play(&mut self, deed: &Deed) -> Result<(), String> {
        let Some((step, expected)) = self.answer(deed) else { return Ok(()) };
        let unordered = matches!(deed, Deed::Advance { .. } | Deed::Flush);
        let answered = self.simulator.step(&step);
        self.steps.push((step.clone(), expected.clone()));
        let answered = answered.map_err(|error| format!("`{step}`: {error}"))?;
        SEEN.with_borrow_mut(|seen| {
            let words = |line: &String| {
                let mut words = line.split(' ');
                (words.next().map(str::to_owned), words.next_back().map(str::to_owned))
            };
            for (first, last) in answered.iter().map(words) {
                let first = first.unwrap_or_default();
                match first.as_str() {
                    "destroy" | "refused" => seen.insert(last.unwrap_or_default()),
                    _ => seen.insert(first),
                };
            }
        });
        let (mut ours, mut theirs) = (answered, expected);
        if unordered {
            ours.sort();
            theirs.sort();
        }
        if ours == theirs {
            return Ok(());
        }
        Err(format!("`{step}`: the engine answers {ours:?}, the reference {theirs:?}"))
    }

    /// The step that a deed comes to here, and what the reference answers.
    fn answer(&mut self, deed: &Deed) -> Option<(Step, Vec<String>)> {
        let conn = |pair: &Self, at: usize| pair.conns.get(at % pair.conns.len().max(1)).cloned();
        let place = |zone: bool| Place { net: NetId::INIT, zone: Zone(u16::from(zone)) };
        Some(match *deed {
            Deed::Conn { zone, helper } => self.begin(zone, helper)?,
            Deed::Confirm { conn: at } => {
                let (conn, _) = conn(self, at)?;
                let told = self.reference.confirm(&conn);
                (Step::Confirm { conn }, told)
            }
            Deed::Delete { conn: at } => {
                let (conn, _) = conn(self, at)?;
                let told = self.reference.delete(&conn);
                (Step::Delete { conn }, told)
            }
            Deed::Destroy { conn: at } => {
                let (conn, _) = conn(self, at)?;
                self.conns.retain(|(name, _)| *name != conn);
                let told = self.reference.destroy(&conn);
                (Step::Destroy { conn }, told)
            }
            Deed::Expect { conn: at, src, mask, dport, class, flags, keep } => {
                let (master, _) = conn(self, at)?;
                return self.expect(master, (src, mask, dport), class, flags, keep);
            }
            Deed::Unexpect { exp } => {
                let exp = self.exps.get(exp % self.exps.len().max(1)).cloned()?;
                let told = self.reference.unexpect(&exp);
                (Step::Unexpect { exp }, told)
            }
            Deed::Put { exp } => {
                let name = self.exps.get(exp % self.exps.len().max(1)).cloned()?;
                self.exps.retain(|exp| *exp != name);
                self.reference.put(&name);
                (Step::Put { name }, Vec::new())
            }
            Deed::Packet { src, sport, dport, zone } => {
                let (tuple, place, fate) = (tuple(src, sport, dport), place(zone), Fate::Forwarded);
                let told = self.reference.packet(tuple, place.zone);
                (Step::Packet { tuple, place, name: None, fate }, told)
            }
            Deed::Lookup { src, sport, dport, zone } => {
                let (tuple, place) = (tuple(src, sport, dport), place(zone));
                let told = self.reference.lookup(&tuple, place.zone);
                let cpu = nfexp_model::kernel::Cpu(0);
                (Step::Lookup { tuple, place, name: None, cpu }, told)
            }
            Deed::Advance { ticks } => {
                let told = self.reference.advance(ticks);
                (Step::Advance(Ticks(ticks)), told)
            }
            Deed::Flush => {
                let told = self.reference.flush();
                (Step::Flush { net: NetId::INIT, origin: Origin::KERNEL }, told)
            }
            Deed::Stats => (Step::Stats { net: NetId::INIT }, self.reference.stats()),
            Deed::ExpectMax { max } => {
                let max = i32::from(max) + 1;
                self.reference.set_expect_max(max as u32);
                (Step::ExpectMax(max), Vec::new())
            }
        })
    }

    fn begin(&mut self, zone: bool, helper: u8) -> Option<(Step, Vec<String>)> {
        if self.conns.len() == 6 {
            return None;
        }
        self.counted.0 += 1;
        let name = format!("m{}", self.counted.0);
        let zone = Zone(u16::from(zone));
        let (choice, policies) = match helper {
            0 => (HelperChoice::Nothing, None),
            1 => (HelperChoice::Named("ftp".into()), Some(vec![(2, 10)])),
            2 => (HelperChoice::Named("tftp".into()), Some(vec![(1, 3)])),
            _ => {
                let sip = vec![(1, 180), (4, 180), (4, 180), (2, 180)];
                (HelperChoice::Named("sip".into()), Some(sip))
            }
        };
        // A master of its own for each name.
        let sport = 20_000 + self.counted.0 as u16;
        let tuple = tuple(100, sport, 21);
        self.reference.conn(&name, tuple, zone, policies);
        self.conns.push((name.clone(), zone));
        let place = Place { net: NetId::INIT, zone };
        Some((Step::Conn { name, tuple, place, helper: choice, mark: 0, secmark: 0 }, Vec::new()))
    }

    fn expect(
        &mut self,
        master: String,
        (src, mask, dport): (u8, u8, u16),
        class: u8,
        flags: u8,
        keep: bool,
    ) -> Option<(Step, Vec<String>)> {
        let l3 = nfexp_model::tuple::L3::Ipv4;
        let mut bits = Mask::exact(l3, matches!(mask, 1 | 3), matches!(mask, 2 | 3));
        if mask == 4 {
            bits.src.0[3] = 0xfe;
            bits.src.0[..3].fill(0xff);
        }
        if mask == 5 {
            bits.sport = 0xfffe;
        }
        let tuple = tuple(src, 1000 + u16::from(class % 2), dport);
        // Only SIP has more than one class; the others would read behind their policies.
        let class = if self.steps.iter().any(|(step, _)| {
            matches!(step, Step::Conn { name, helper: HelperChoice::Named(helper), .. }
                if *name == master && helper == "sip")
        }) {
            class
        } else {
            0
        };
        let flags = Flags(u32::from(if flags < 5 { 0 } else { flags - 4 }));
        self.counted.1 += 1;
        let name = format!("e{}", self.counted.1);
        let said =
            Said { name: name.clone(), master: master.clone(), tuple, mask: bits, class, flags };
        let told = self.reference.expect(said);
        if keep && self.exps.len() < 5 {
            self.exps.push(name.clone());
        }
        let announcement = Announcement {
            name: name.clone(),
            master,
            target: Target::Masked(tuple, bits),
            class,
            flags,
            assign: None,
            expectfn: None,
            nat: None,
            timeout: None,
        };
        Some((Step::Expect { announcement, skip_master: false, origin: Origin::KERNEL }, told))
    }

    /// Gives back what is not kept: every announcement's reference but those that are held on.
    fn put_what_is_not_kept(&mut self) -> Result<(), String> {
        let Some((Step::Expect { announcement, .. }, _)) = self.steps.last() else { return Ok(()) };
        let name = announcement.name.clone();
        if self.exps.contains(&name) {
            return Ok(());
        }
        self.reference.put(&name);
        let step = Step::Put { name };
        self.steps.push((step.clone(), Vec::new()));
        let answered = self.simulator.step(&step).map_err(|error| error.to_string())?;
        if answered.is_empty() { Ok(()) } else { Err(format!("`{step}`: {answered:?}")) }
    }

    /// The steps so far as a trace, with the reference's answers.
    fn trace(&self, why: &str, revision: Revision) -> Trace {
        let blocks = self.steps.iter().map(|(step, told)| {
            let answers = vec![Answer { revisions: Vec::new(), lines: told.clone() }];
            let answers = if told.is_empty() { Vec::new() } else { answers };
            Block { lines: vec![step.to_string()], steps: vec![(0, step.clone())], answers }
        });
        let (comments, revisions) = (vec![format!(" {why}")], vec![revision.name.to_owned()]);
        Trace { comments, setup: setup(), revisions, blocks: blocks.collect() }
    }
}

/// Plays a sequence on both; the failure comes with its trace.
fn play(deeds: &[Deed], engine: Revision, reference: Revision) -> Result<(), String> {
    let mut pair = Pair::new(engine, reference);
    for deed in deeds {
        let played = pair.play(deed).and_then(|()| pair.put_what_is_not_kept());
        if let Err(why) = played {
            let trace = pair.trace(&why, engine);
            std::mem::forget(pair.simulator);
            return Err(format!("{why}\nas a trace:\n\n{trace}"));
        }
    }
    pair.simulator.finish().map_err(|error| format!("at the end: {error}"))
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Runner {
        cases: std::env::var("NFEXP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Runner::default()
    })
}

fn sequences() -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec(deed(), 200..260)
}

fn agrees(revision: Revision) {
    let run = runner(500)
        .run(&sequences(), |deeds| play(&deeds, revision, revision).map_err(TestCaseError::fail));
    if let Err(error) = run {
        panic!("{error}");
    }
    let mut outcomes = vec![
        "match",
        "expiry",
        "eviction",
        "refresh",
        "unexpect",
        "master-gone",
        "flush",
        "clash",
        "table-full",
        "no-helper",
        "related",
        "new-connection",
        "known",
        "found",
        "none",
        "gone",
        "dropped",
        "not-in-the-table",
    ];
    if revision.duplicate == Duplicate::AnswerAlready {
        outcomes.push("already-expected");
    }
    SEEN.with_borrow(|seen| {
        for outcome in outcomes {
            assert!(seen.contains(outcome), "no sequence got to {outcome}");
        }
    });
}

#[test]
fn the_engine_answers_as_the_reference_does_on_3_9() {
    agrees(Revision::LINUX_3_9);
}

#[test]
fn the_engine_answers_as_the_reference_does_on_6_18() {
    agrees(Revision::LINUX_6_18);
}

/// The canary: an engine that behaves otherwise is noticed by this very suite.
#[test]
fn a_kernel_with_one_knob_turned_is_noticed() {
    let old = Revision::LINUX_3_9;
    for turned in [
        Revision { clash_scope: ClashScope::SameZone, ..old },
        Revision { duplicate: Duplicate::AnswerAlready, ..old },
        Revision { master_ref: MasterRef::Counted, ..old },
        Revision { wheel: WheelKind::Levelled, ..old },
        Revision { expiry: nfexp_model::revision::Expiry::Collected, ..old },
    ] {
        let mut runner = TestRunner::new(Runner {
            cases: 300,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..Runner::default()
        });
        let run = runner
            .run(&sequences(), |deeds| play(&deeds, turned, old).map_err(TestCaseError::fail));
        assert!(run.is_err(), "{:?} was not noticed", turned.differing_knobs(&old));
    }
}
