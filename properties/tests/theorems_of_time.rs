// SPDX-License-Identifier: GPL-2.0-only
//! Theorems 5 and 6, of time; the others stand in `theorems.rs`.
//!
//! 5. *One lifetime is a queue*: what lives equally long ends in the order in which it came; in
//!    wheels with levels (6.18) the newest of a moment first. With the slack of 3.9 that holds unless
//!    a lifetime and a 256th more of it lie on both sides of a level's edge. Where two lifetimes meet
//!    in a jiffy, 3.9's order is that of arrival in the wheel's first level.
//! 6. *Time may jump*: in a jiffy in which nothing is due nothing happens.
//!
//! Each is checked on random sequences for every revision and both storages, and each check fails
//! in a world in which its premise does not hold: two lifetimes, a lifetime at an edge, leaps.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use nfexp_model::conn::{ConnRef, Status};
use nfexp_model::engine::{At, Config, Engine, MasterCheck};
use nfexp_model::event::Origin;
use nfexp_model::helper::{Class, ExpectPolicy, Helper, IN_TREE};
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Jiffies, Platform, Ticks, Up, UpLists};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::{Expiry, Revision, WheelKind};
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};
use nfexp_properties::collisions::{Draw, Passage, World, fails, run};

// ---- 5: one lifetime is a queue ---------------------------------------------------------------

/// An expectation that came and went.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// Which of the lifetimes.
    class: usize,
    /// The n-th that came.
    number: u64,
    came: Jiffies,
    went: Jiffies,
}

/// Expectations of lifetimes, in seconds, come at random and end by age.
struct Queue<P: Platform> {
    engine: Engine<P>,
    masters: Vec<ConnRef>,
    at: At,
    waiting: BTreeMap<u32, Life>,
    /// Those that went, in order.
    gone: Vec<Life>,
}

impl<P: Platform<Rcu = UpRcu>> Queue<P> {
    fn new(revision: Revision, hz: u32, lifetimes: &[u32]) -> Self {
        let policy = |secs| ExpectPolicy { max_expected: 255, timeout_secs: secs, name: "" };
        let policies: Vec<ExpectPolicy> = lifetimes.iter().map(|&secs| policy(secs)).collect();
        let policies: &'static [ExpectPolicy] = policies.leak();
        let engine = Engine::<P>::new(Config {
            revision,
            hz,
            expect_max: 4_000,
            expectations: 4_000,
            helpers: Cow::Owned(vec![Helper { policies, ..IN_TREE[0] }]),
            events: false,
            ..Config::SMALL
        });
        let engine = engine.expect("memory suffices");
        let master = || {
            let ct = engine.alloc_conn(NetId::INIT, Zone(0), Tuple::NONE, Tuple::NONE);
            let ct = ct.expect("memory suffices");
            engine.attach(&ct, engine.helper_named("ftp")).expect("memory suffices");
            engine.set_status(&ct, Status::CONFIRMED);
            ct
        };
        let masters = (0..16).map(|_| master()).collect();
        let at = At { now: Jiffies::initial(hz), ..At::default() };
        Self { engine, masters, at, waiting: BTreeMap::new(), gone: Vec::new() }
    }

    fn tuple(number: u64) -> Tuple {
        let dst = Addr::v4((number as u32).to_be_bytes());
        Tuple { dst, dport: 1, l3: L3::Ipv4, proto: Proto::TCP, ..Tuple::NONE }
    }

    fn come(&mut self, class: usize, number: u64) {
        let master = &self.masters[number as usize % self.masters.len()];
        let exp = self.engine.alloc(self.at, master).expect("memory suffices");
        let mask = Mask::exact(L3::Ipv4, false, false);
        self.engine.init_key(&exp, Class::ALL[class], Self::tuple(number), mask);
        let related = self.engine.related(self.at, &exp, Origin::KERNEL, MasterCheck::Own);
        related.expect("nothing like it is there");
        let (came, index) = (self.at.now, exp.id().index());
        self.engine.put(exp);
        self.waiting.insert(index, Life { class, number, came, went: came });
    }

    fn pass(&mut self, ticks: u64) {
        let end = self.at.now.after(Ticks(ticks));
        while let Some(due) = self.engine.next_expiry().filter(|due| !due.time_after(end)) {
            self.at.now = due;
            while let Some(firing) = self.engine.expire(due) {
                let index = firing.expectation().expect("connections have no timers here");
                let life = self.waiting.remove(&index).expect("it came");
                self.gone.push(Life { went: due, ..life });
                self.engine.timed_out(self.at, firing);
            }
            self.engine.run_rcu_callbacks();
        }
        self.at.now = end;
        assert!(self.engine.expire(end).is_none(), "late");
    }

    fn is_found(&self, number: u64) -> bool {
        let found = self.engine.find_get(self.at, NetId::INIT, Zone(0), &Self::tuple(number));
        found.map(|exp| self.engine.put(exp)).is_some()
    }
}

/// The order in which they went, 900 of them over some thousands of jiffies.
fn lives<P: Platform<Rcu = UpRcu>>(revision: Revision, hz: u32, lifetimes: &[u32]) -> Vec<Life> {
    let mut queue = Queue::<P>::new(revision, hz, lifetimes);
    let mut draw = Draw(u64::from(hz));
    for number in 0..900 {
        queue.come(draw.below(lifetimes.len()), number);
        queue.pass([0, 1, 2, 30][draw.below(4)]);
    }
    let longest = lifetimes.iter().max().expect("there is one");
    queue.pass(u64::from(longest * hz) * 5 / 4);
    assert!(queue.waiting.is_empty(), "all are gone");
    queue.gone
}

/// Whether they went as they came; where there are levels, the newest of a moment first.
fn is_queue(wheel: WheelKind, lives: &[Life]) -> bool {
    match wheel {
        WheelKind::Cascading => lives.is_sorted_by_key(|life| life.number),
        WheelKind::Levelled => {
            let mut by_age = lives.to_vec();
            by_age.sort_by_key(|life| life.number);
            by_age.is_sorted_by_key(|life| life.went.0 as i64)
                && lives.is_sorted_by_key(|life| (life.went.0 as i64, Reverse(life.number)))
        }
    }
}

/// What lives equally long is a queue of its own.
fn each_class_is_queue<P: Platform<Rcu = UpRcu>>(revision: Revision, hz: u32, lifetimes: &[u32]) {
    let lives = lives::<P>(revision, hz, lifetimes);
    for (class, secs) in lifetimes.iter().enumerate() {
        let one: Vec<Life> = lives.iter().copied().filter(|life| life.class == class).collect();
        let queue = is_queue(revision.wheel, &one);
        assert!(queue, "{}: no queue of {secs} s at {hz}", revision.name);
    }
}

/// Whether slack may lay two of this lifetime on both sides of a level's edge.
fn meets_edge(ticks: u64) -> bool {
    [1 << 8, 1 << 14, 1 << 20, 1 << 26]
        .iter()
        .any(|&edge| ticks < edge && edge <= ticks + ticks / 256)
}

/// The lifetimes of all helpers of the tree, and some that are no one's.
fn lifetimes() -> Vec<u32> {
    let policies = IN_TREE.iter().flat_map(|helper| helper.policies);
    let mut all: Vec<u32> =
        policies.map(|policy| policy.timeout_secs).chain([1, 60, 3600]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn with_timers() -> impl Iterator<Item = Revision> {
    Revision::ALL.into_iter().filter(|revision| revision.expiry == Expiry::Timer)
}

#[test]
fn theorem_5_one_lifetime_is_a_queue() {
    for revision in with_timers() {
        for hz in [100, 250, 1000] {
            for lifetimes in lifetimes().chunks(2) {
                assert!(lifetimes.iter().all(|&secs| !meets_edge(u64::from(secs * hz))));
                each_class_is_queue::<UpLists>(revision, hz, lifetimes);
                each_class_is_queue::<Up>(revision, hz, lifetimes);
            }
        }
    }
}

/// Without timers: at any moment those of one lifetime that are found are the latest that came.
#[test]
fn theorem_5_where_nothing_fires_the_found_are_the_latest() {
    let found_are_latest = |lifetimes: &[u32], queues: &dyn Fn(usize) -> usize| {
        let mut queue = Queue::<Up>::new(Revision::LINUX_7_2, 250, lifetimes);
        let (mut draw, mut came) = (Draw(3), Vec::new());
        for number in 0..300 {
            let class = draw.below(lifetimes.len());
            queue.come(class, number);
            came.push((queues(class), number));
            queue.pass(draw.below(60) as u64);
            for one in 0..lifetimes.len() {
                let of_one = came.iter().filter(|(queue, _)| *queue == one);
                let found = of_one.map(|&(_, number)| queue.is_found(number));
                assert!(found.is_sorted(), "no queue of {lifetimes:?} s");
            }
        }
        assert!(!queue.is_found(0), "the first is over");
    };
    found_are_latest(&[3, 12], &|class| class);
    fails("no queue", || found_are_latest(&[3, 12], &|_| 0));
}

/// Two lifetimes are no queue.
#[test]
fn theorem_5_fails_where_lifetimes_mix() {
    for revision in with_timers() {
        let mixed = lives::<UpLists>(revision, 250, &[3, 30]);
        assert!(!is_queue(revision.wheel, &mixed), "{}", revision.name);
    }
}

/// Slack lets two meet in a jiffy of which one came by a higher level: 1048 s at HZ 1000 are short
/// of 2^20 jiffies, and a 256th more is beyond.
#[test]
fn theorem_5_fails_at_a_levels_edge() {
    assert!(meets_edge(1_048_000));
    let (old, one) = (Revision::LINUX_3_9, "no queue of 1048 s");
    fails(one, || each_class_is_queue::<UpLists>(old, 1000, &[1048]));
    fails(one, || each_class_is_queue::<Up>(old, 1000, &[1048]));
    each_class_is_queue::<Up>(Revision::LINUX_6_18, 1000, &[1048]);
}

/// When it arrived in each level of 3.9's wheel, the first level first: the order of a jiffy.
/// What moves down does so before anybody comes in that jiffy.
fn arrivals(life: &Life) -> [(i64, bool); 5] {
    let (came, went) = (life.came.0 as i64, life.went.0 as i64);
    // The clock of the wheel is a jiffy ahead of the last that was looked at.
    let delta = went - (came + 1);
    [8, 14, 20, 26, 32].map(|bits| {
        let moves_down = delta >= 1 << bits;
        if moves_down { (went & !((1 << bits) - 1), false) } else { (came, true) }
    })
}

/// Where lifetimes meet in a jiffy, who arrived in the first level first goes first.
fn arrivals_decide(key: impl Fn(&Life) -> [(i64, bool); 5]) {
    let mut met = 0;
    for (hz, lifetimes) in [(250, [1, 3]), (250, [3, 60]), (100, [180, 300]), (1000, [1, 18])] {
        let lives = lives::<Up>(Revision::LINUX_3_9, hz, &lifetimes);
        let order = |life: &Life| (life.went.0 as i64, key(life), life.number);
        assert!(lives.is_sorted_by_key(order), "other than by arrival: {lifetimes:?} s at {hz}");
        let meet = |pair: &&[Life]| pair[0].went == pair[1].went && pair[0].class != pair[1].class;
        met += lives.windows(2).filter(meet).count();
    }
    assert!(met > 10, "{met} meetings are too few");
}

#[test]
fn theorem_5_arrivals_decide_where_lifetimes_meet() {
    arrivals_decide(arrivals);
    // In a wheel of one level nothing moves down.
    fails("other than by arrival", || arrivals_decide(|life| [(life.came.0 as i64, true); 5]));
}

// ---- 6: time may jump -------------------------------------------------------------------------

/// Worlds alike but for how time passes say the same.
fn passages_agree<P: Platform<Rcu = UpRcu>>(revision: Revision, other: Passage) {
    let (mut jumps, mut walks) = (World::<P>::new(revision, 4), World::<P>::new(revision, 4));
    walks.passage = other;
    (jumps.longest, walks.longest) = (3_000, 3_000);
    let mut fired = 0;
    run(29, 6_000, |op| {
        let answer = jumps.apply(op);
        fired += answer.fired.len();
        assert!(answer == walks.apply(op), "{}: time does not jump: {op:?}", revision.name);
    });
    assert!(fired > 50, "{fired} timers are too few");
}

#[test]
fn theorem_6_time_may_jump() {
    for revision in Revision::ALL {
        passages_agree::<Up>(revision, Passage::Steps);
        passages_agree::<UpLists>(revision, Passage::Steps);
    }
}

/// Over what is due it may not.
#[test]
fn theorem_6_fails_where_time_leaps() {
    for revision in Revision::ALL {
        fails("time does not jump", || passages_agree::<Up>(revision, Passage::Leaps));
        fails("time does not jump", || passages_agree::<UpLists>(revision, Passage::Leaps));
    }
}
