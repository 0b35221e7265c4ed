// SPDX-License-Identifier: GPL-2.0-only
//! Theorem 1: the destination is exact; the others stand in `theorems.rs`.
//!
//! An expectation of another destination can neither match, nor clash, nor be replaced: leave out
//! all that is done about others, and nothing changes. Hence buckets are seen in listings only.
//!
//! Checked for every revision and both storages. False where a limit bites, since an eviction asks
//! for the master and not for the destination; and what a kernel that collects tells of the ends it
//! meets in a bucket is left out, for there the bucket is seen.

use std::borrow::Cow;
use std::collections::BTreeMap;

use nfexp_model::conn::{ConnRef, Status};
use nfexp_model::engine::{At, Config, Engine, MasterCheck};
use nfexp_model::event::{Cause, Event, ExpectEventKind, Origin};
use nfexp_model::expectation::ExpectId;
use nfexp_model::helper::{ExpectPolicy, Helper, IN_TREE};
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Jiffies, Platform, Ticks, Up, UpLists};
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::{Expiry, Revision};
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};
use nfexp_properties::collisions::{Answer, Op, World, class, fails, run, tuple_and_mask};

/// What is told and answered, listings aside, with this many buckets.
fn answers(revision: Revision, hash_size: u32) -> Vec<Answer> {
    let mut world = World::<UpLists>::new(revision, hash_size);
    let mut answers = Vec::new();
    run(7, 4_000, |op| {
        if (246..248).contains(&op.what) {
            return;
        }
        let answer = world.apply(op);
        answers.push(Answer { text: String::new(), ..answer });
    });
    answers
}

/// Buckets are seen in listings only (and by a flush, which goes through them in order) …
#[test]
fn buckets_do_not_matter_to_a_kernel_with_timers() {
    for revision in Revision::ALL.into_iter().filter(|r| r.expiry == Expiry::Timer) {
        assert!(answers(revision, 1) == answers(revision, 64), "{}", revision.name);
    }
}

/// … but a kernel that collects whatever it meets in a bucket shows them to everybody.
#[test]
fn buckets_matter_to_a_kernel_that_collects() {
    assert!(answers(Revision::LINUX_7_2, 1) != answers(Revision::LINUX_7_2, 64));
}

type Destination = (Addr, u16, L3, Proto);

fn destination(tuple: &Tuple) -> Destination {
    (tuple.dst, tuple.dport, tuple.l3, tuple.proto)
}

/// An engine on which little but calls about destinations is made.
struct Calls<P: Platform> {
    engine: Engine<P>,
    masters: [ConnRef; 4],
    at: At,
    /// Names that do not depend on whose memory it was before.
    names: BTreeMap<ExpectId, u64>,
}

impl<P: Platform<Rcu = UpRcu>> Calls<P> {
    /// A class holds at most `limit`.
    fn new(revision: Revision, limit: u32) -> Self {
        let policy = ExpectPolicy { max_expected: limit, timeout_secs: 60, name: "" };
        let policies: &'static [ExpectPolicy] = Box::leak(Box::new([policy; 4]));
        let engine = Engine::<P>::new(Config {
            revision,
            hash_size: 1,
            expect_max: 2_000,
            expectations: 2_000,
            helpers: Cow::Owned(vec![Helper { policies, ..IN_TREE[0] }]),
            ..Config::SMALL
        });
        let engine = engine.expect("memory suffices");
        let masters = [0, 1, 2, 3].map(|_| {
            let ct = engine.alloc_conn(NetId::INIT, Zone(0), Tuple::NONE, Tuple::NONE);
            let ct = ct.expect("memory suffices");
            engine.attach(&ct, engine.helper_named("ftp")).expect("memory suffices");
            engine.set_status(&ct, Status::CONFIRMED);
            ct
        });
        let at = At { now: Jiffies::initial(250), ..At::default() };
        Self { engine, masters, at, names: BTreeMap::new() }
    }

    fn pass(&mut self, ticks: u64) {
        self.at.now = self.at.now.after(Ticks(ticks));
        while let Some(firing) = self.engine.expire(self.at.now) {
            self.engine.timed_out(self.at, firing);
        }
    }

    /// Makes a call; answers what came of it.
    fn call(&mut self, number: u64, op: Op) -> String {
        let (engine, at) = (&self.engine, self.at);
        let (tuple, mask) = narrow(op);
        match op.what {
            0..120 => {
                let exp = engine.alloc(at, &self.masters[op.which % 4]).expect("memory suffices");
                self.names.insert(exp.id(), number);
                engine.init_key(&exp, class(op), tuple, mask);
                let answer = engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own);
                engine.put(exp);
                format!("{answer:?}")
            }
            120..180 => {
                let found = engine.lock().find_expectation(at, NetId::INIT, Zone(0), &tuple, true);
                let Some(found) = found else { return "matched none".into() };
                let name = self.names[&found.exp.id()];
                engine.put(found.exp);
                if let MasterHold::Counted(ct) = found.master {
                    engine.put_conn(at, ct);
                }
                format!("matched {name}")
            }
            _ => {
                let found = engine.find_get(at, NetId::INIT, Zone(0), &tuple);
                let name = found.as_ref().map(|exp| self.names[&exp.id()]);
                if let Some(exp) = found {
                    engine.put(exp);
                }
                format!("found {name:?}")
            }
        }
    }

    /// What was told of a destination, but for ends by age: a kernel that collects tells of them
    /// when it meets them.
    fn told_of(&self, one: Destination) -> String {
        let mut told = String::new();
        for event in std::iter::from_fn(|| self.engine.poll_event()) {
            if let Event::Expect(event) = event
                && destination(&event.tuple) == one
                && event.kind != ExpectEventKind::Destroy(Cause::Expiry)
            {
                told += &format!(" {:?} {}", event.kind, self.names[&event.id]);
            }
        }
        told
    }
}

/// A tuple of two ports, and a mask.
fn narrow(op: Op) -> (Tuple, Mask) {
    tuple_and_mask(op.random & !(3 << 9))
}

/// What is answered and told of a destination, if only calls about those that are `made` are.
fn seen_of<P: Platform<Rcu = UpRcu>>(
    revision: Revision,
    limit: u32,
    one: Destination,
    made: impl Fn(Destination) -> bool,
) -> Vec<(u64, String)> {
    let (mut calls, mut seen, mut number) = (Calls::<P>::new(revision, limit), Vec::new(), 0);
    run(5, 3_000, |op| {
        number += 1;
        let about = destination(&narrow(op).0);
        if op.what >= 240 {
            calls.pass(op.random >> 20 & 0xfff);
        } else if made(about) {
            let mut answer = calls.call(number, op);
            answer += &calls.told_of(one);
            if about == one {
                seen.push((number, answer));
            }
        }
        calls.engine.run_rcu_callbacks();
    });
    seen
}

/// Leaving all calls about other destinations out changes nothing.
fn others_do_not_matter<P: Platform<Rcu = UpRcu>>(revision: Revision, limit: u32) {
    let mut calls = 0;
    // UDP and TCP, IPv4; the first port; both addresses.
    for random in [0b1, 0b1_0001, 0b1000_0000_0001] {
        let one = destination(&tuple_and_mask(random).0);
        let among_others = seen_of::<P>(revision, limit, one, |_| true);
        let alone = seen_of::<P>(revision, limit, one, |other| other == one);
        assert!(among_others == alone, "{}: others matter", revision.name);
        calls += alone.len();
    }
    assert!(calls > 200, "{calls} calls are too few");
}

#[test]
fn theorem_1_only_the_same_destination_matters() {
    for revision in Revision::ALL {
        others_do_not_matter::<UpLists>(revision, 0);
        others_do_not_matter::<Up>(revision, 0);
    }
}

/// Where a class is full, whoever has the master in common is evicted.
#[test]
fn theorem_1_fails_where_limits_bite() {
    for revision in Revision::ALL {
        fails("others matter", || others_do_not_matter::<UpLists>(revision, 2));
    }
}
