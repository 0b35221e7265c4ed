// SPDX-License-Identifier: GPL-2.0-only
//! Two storages, one engine: the flat one of [`Up`] and the kernel's lists of [`UpLists`].
//!
//! *Equivalent*: the same random operations give the same answers, the same events in the same
//! order, the same timers in the same order, the same listings and counters, in every revision.
//! Operations collide on purpose: few destinations, four kinds of masks, two zones, two
//! namespaces, timers left firing, readers that hold, connections that end.
//!
//! Beside it stand the facts that the flat storage leans on, each with a world in which it is
//! false.
//!
//! A few seconds by default; `NFEXP_OPERATIONS=10000000 cargo test --release -p nfexp-properties
//! --test equivalence` is the deep run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use nfexp_model::ahead::Coming;
use nfexp_model::conn::ConnRef;
use nfexp_model::engine::{At, Config, Engine, Firing, MasterCheck};
use nfexp_model::event::{Cause, Event, ExpectEventKind, Origin};
use nfexp_model::expectation::{ExpectId, ExpectRef, Flags};
use nfexp_model::helper::Class;
use nfexp_model::kernel::hlist::Chain;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::slab::LifoPool;
use nfexp_model::kernel::timer::{TimerKey, UpTimers};
use nfexp_model::kernel::{Cpu, Jiffies, Platform, Ticks, Up, UpLists};
use nfexp_model::locked::{MasterHold, Matched};
use nfexp_model::netns::{NetId, Stats, Zone};
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::{Expiry, Revision};
use nfexp_model::slip::Slip;
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};

/// Numbers from a seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

/// One operation: what, and the numbers it needs.
#[derive(Clone, Copy, Debug)]
struct Op {
    what: u8,
    /// Which of what there is.
    which: usize,
    random: u64,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    word: i64,
    id: Option<ExpectId>,
    keys: Vec<TimerKey>,
    next: Option<Jiffies>,
    text: String,
    stats: Option<[Stats; 2]>,
    events: Vec<Event>,
}

/// An engine with what its callers hold.
struct World<P: Platform<Rcu = UpRcu>> {
    engine: Engine<P>,
    now: Jiffies,
    conns: Vec<ConnRef>,
    held: Vec<ExpectRef>,
    firing: Vec<Firing>,
    readers: u32,
    /// The last announcement, to be made again.
    last: Option<Op>,
}

fn config(revision: Revision, hash_size: u32) -> Config {
    let room = 48;
    Config {
        revision,
        hash_size,
        expect_max: 32,
        expectations: room,
        conns: 24,
        netns: 2,
        ..Config::SMALL
    }
}

/// A tuple of a small world, and one of five masks.
fn tuple_and_mask(random: u64) -> (Tuple, Mask) {
    let bits = |from: u32, count: u32| (random >> from & ((1 << count) - 1)) as u8;
    let l3 = if bits(0, 2) == 0 { L3::Ipv6 } else { L3::Ipv4 };
    let addr = |host: u8| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[10, 0, 0, host]);
        if l3 == L3::Ipv6 {
            bytes[15] = host;
        }
        Addr(bytes)
    };
    let tuple = Tuple {
        src: addr(bits(2, 2)),
        dst: addr(bits(4, 1)),
        // The upper bits are drawn in a crowd only.
        sport: u16::from(bits(6, 2) | bits(60, 3) << 2),
        dport: u16::from(bits(8, 3)),
        l3,
        proto: if bits(11, 2) == 0 { Proto::UDP } else { Proto::TCP },
    };
    let mask = match bits(13, 3) {
        0 => Mask { src: addr(2), sport: 1 },
        kind => Mask::exact(l3, kind & 1 == 1, kind & 2 == 2),
    };
    (tuple, mask)
}

impl<P: Platform<Rcu = UpRcu>> World<P> {
    fn new(revision: Revision, hash_size: u32) -> Self {
        let engine = Engine::new(config(revision, hash_size)).expect("memory suffices");
        engine.pernet_init(NetId(1)).expect("memory suffices");
        let now = Jiffies::initial(250);
        let (conns, held, firing) = (Vec::new(), Vec::new(), Vec::new());
        Self { engine, now, conns, held, firing, readers: 0, last: None }
    }

    fn at(&self) -> At {
        At { cpu: Cpu(0), now: self.now }
    }

    fn apply(&mut self, op: Op) -> Answer {
        let mut answer = Answer::default();
        let (at, random) = (self.at(), op.random);
        let (net, zone) = (NetId((random >> 40 & 7 == 0).into()), Zone((random >> 44 & 1) as u16));
        let tuple = tuple_and_mask(random).0;
        match op.what {
            0..80 if !self.conns.is_empty() => answer.word = self.announce(op),
            80..120 => answer.id = self.find_expectation(net, zone, &tuple, random >> 50 & 7 != 0),
            120..150 => {
                let found = self.engine.find_get(at, net, zone, &tuple);
                answer.id = found.as_ref().map(ExpectRef::id);
                if let Some(found) = found {
                    self.engine.put(found);
                }
            }
            150..160 if !self.held.is_empty() => {
                let exp = self.held.swap_remove(op.which % self.held.len());
                if random & 1 == 1 {
                    self.engine.unexpect(at, &exp);
                }
                self.engine.put(exp);
            }
            160..185 => answer.keys = self.pass(random),
            185..190 => {
                // The first half alone: the callback is late.
                if let Some(firing) = self.engine.expire(self.now) {
                    answer.keys.push(firing.key());
                    if firing.key().is_conn() {
                        self.late_callbacks();
                        self.engine.timed_out(self.at(), firing);
                    } else {
                        self.firing.push(firing);
                    }
                }
            }
            190..196 => self.late_callbacks(),
            196..212 => answer.word = i64::from(self.connect(net, zone, random)),
            212..218 if !self.conns.is_empty() => self.end(op.which, random),
            218..222 if !self.conns.is_empty() => {
                let ct = &self.conns[op.which % self.conns.len()];
                let delay = Ticks(random >> 20 & 0xffff);
                self.engine.set_conn_expiry(at, ct, self.now.after(delay));
            }
            222..226 => self.hold_or_release(random),
            226..240 => answer.word = i64::from(self.engine.run_rcu_callbacks()),
            240..246 => answer.text = self.listing(net),
            246..248 => {
                let (from, to) = (random & 3, random >> 2 & 3);
                self.engine.lock().iterate_destroy(at, net, Origin::KERNEL, Cause::Flush, |exp| {
                    (from..=to).contains(&u64::from(exp.tuple().dport))
                });
            }
            248..250 => answer.word = self.engine.set_expect_max((random % 40) as i32).into(),
            _ => answer.stats = Some([0, 1].map(|net| self.engine.stats(NetId(net)))),
        }
        answer.next = self.engine.next_expiry();
        answer.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
        answer
    }

    fn announce(&mut self, op: Op) -> i64 {
        let again = self.last.filter(|_| op.random >> 56 & 3 == 0);
        let op = again.unwrap_or(op);
        self.last = Some(op);
        let (at, ct) = (self.at(), &self.conns[op.which % self.conns.len()]);
        let Ok(exp) = self.engine.alloc(at, ct) else { return -12 };
        let (tuple, mask) = tuple_and_mask(op.random);
        let class = Class::ALL[(op.random >> 32 & 3) as usize];
        self.engine.init_key(&exp, class, tuple, mask);
        let flags = [0, 0, 0, 0, 0, 1, 2, 3][(op.random >> 34 & 7) as usize];
        self.engine.set_flags(&exp, Flags(flags));
        let masters = if op.random >> 37 & 7 == 0 { MasterCheck::Skip } else { MasterCheck::Own };
        let answer = self.engine.related(at, &exp, Origin::KERNEL, masters);
        if op.random >> 52 & 7 == 0 && self.held.len() < 8 {
            self.held.push(exp);
        } else {
            self.engine.put(exp);
        }
        answer.map_or_else(|error| i64::from(error.errno()), |()| 1)
    }

    fn find_expectation(
        &self,
        net: NetId,
        zone: Zone,
        tuple: &Tuple,
        unlink: bool,
    ) -> Option<ExpectId> {
        let at = self.at();
        let found = self.engine.lock().find_expectation(at, net, zone, tuple, unlink);
        let Matched { exp, master } = found?;
        let id = exp.id();
        if let MasterHold::Counted(master) = master {
            self.engine.put_conn(at, master);
        }
        self.engine.put(exp);
        Some(id)
    }

    /// Time passes, jiffy by jiffy where something is due; answers who fired.
    fn pass(&mut self, random: u64) -> Vec<TimerKey> {
        let span = (random >> 8) % [4, 300, 20_000, 90_000][(random & 3) as usize];
        let end = self.now.after(Ticks(span));
        let mut keys = Vec::new();
        while let Some(due) = self.engine.next_expiry().filter(|due| !due.time_after(end)) {
            if due.time_after(self.now) {
                self.now = due;
            }
            self.fire(&mut keys);
        }
        self.now = end;
        self.fire(&mut keys);
        keys
    }

    fn fire(&mut self, keys: &mut Vec<TimerKey>) {
        let at = self.at();
        while let Some(firing) = self.engine.expire(self.now) {
            keys.push(firing.key());
            if firing.key().is_conn() {
                // A master must not end under a callback that waits.
                self.late_callbacks();
            }
            self.engine.timed_out(at, firing);
        }
    }

    fn late_callbacks(&mut self) {
        for firing in std::mem::take(&mut self.firing) {
            self.engine.timed_out(self.at(), firing);
        }
    }

    fn connect(&mut self, net: NetId, zone: Zone, random: u64) -> bool {
        let (tuple, _) = tuple_and_mask(random ^ random >> 17);
        let reply = tuple.inverse().expect("ports swap");
        let Ok(ct) = self.engine.alloc_conn(net, zone, tuple, reply) else { return false };
        let helpers = self.engine.config().helpers.len();
        let helper = self.engine.config().helpers[random as usize % helpers].name;
        self.engine.attach(&ct, self.engine.helper_named(helper)).expect("memory suffices");
        let confirmed = self.engine.confirm(self.at(), &ct, Origin::KERNEL);
        self.conns.push(ct);
        confirmed
    }

    fn end(&mut self, which: usize, random: u64) {
        self.late_callbacks();
        let ct = self.conns.swap_remove(which % self.conns.len());
        if random & 3 != 0 {
            self.engine.delete_conn(self.at(), &ct, Origin::KERNEL);
        }
        // What its last reference ends with it, nobody may hold a callback of.
        self.engine.put_conn(self.at(), ct);
    }

    fn hold_or_release(&mut self, random: u64) {
        if self.readers > 0 && random & 1 == 1 {
            self.readers -= 1;
            self.engine.rcu().release(Cpu(1));
        } else if self.readers < 2 {
            self.readers += 1;
            self.engine.rcu().hold(Cpu(1));
        }
    }

    fn listing(&self, net: NetId) -> String {
        let mut text = String::new();
        let mut file = SeqFile::open(net);
        // In pieces, as a small buffer makes it.
        while file.read(&self.engine, self.at(), 3, &mut text).expect("a string takes all") > 0 {}
        text
    }
}

fn operations(default: u64) -> u64 {
    let asked = std::env::var("NFEXP_OPERATIONS").ok();
    asked.map_or(default, |asked| asked.parse().expect("NFEXP_OPERATIONS: a number"))
}

/// The operations of a seed.
fn run(seed: u64, count: u64, mut each: impl FnMut(Op)) {
    let mut draw = Draw(seed);
    for _ in 0..count {
        let what = draw.next() as u8;
        let (which, random) = (draw.below(1 << 16), draw.next());
        each(Op { what, which, random: random & !(7 << 60) });
    }
}

/// The same operations on one destination: most name the source whole.
fn crowd(op: Op, draw: &mut Draw) -> Op {
    // IPv4, one address, one port, TCP.
    let random = op.random & !0x1f13 | 1 | 1 << 11 | draw.next() & 7 << 60;
    let whole = if op.random >> 18 & 7 == 0 { 0 } else { 3 << 13 };
    let what = if op.what.is_multiple_of(4) { 0 } else { op.what };
    Op { what, random: random | whole, ..op }
}

/// Compares two storages over so many operations; answers which ends were seen.
fn compare<A, B>(revision: Revision, total: u64) -> BTreeSet<Cause>
where
    A: Platform<Rcu = UpRcu>,
    B: Platform<Rcu = UpRcu>,
{
    let mut seen = BTreeSet::new();
    // Worlds of moderate age, so that a failure is near its seed.
    for seed in 0..total.div_ceil(20_000) {
        let hash_size = [3, 1, 16, 64][seed as usize % 4];
        let mut flat = World::<A>::new(revision, hash_size);
        let mut lists = World::<B>::new(revision, hash_size);
        let mut number = 0;
        run(seed, total.min(20_000), |op| {
            let (a, b) = (flat.apply(op), lists.apply(op));
            assert_eq!(a, b, "{} seed {seed}, operation {number}: {op:?}", revision.name);
            seen.extend(a.events.iter().filter_map(|event| match event {
                Event::Expect(event) => match event.kind {
                    ExpectEventKind::Destroy(cause) => Some(cause),
                    ExpectEventKind::New => None,
                },
                Event::Conn(_) => None,
            }));
            number += 1;
        });
        assert_eq!(flat.engine.audit(), lists.engine.audit());
    }
    seen
}

#[test]
fn flat_storage_and_the_kernels_lists_are_equivalent() {
    for revision in Revision::ALL {
        let seen = compare::<Up, UpLists>(revision, operations(60_000));
        let every = [
            Cause::Match,
            Cause::Expiry,
            Cause::Eviction,
            Cause::Refresh,
            Cause::Unexpect,
            Cause::MasterGone,
            Cause::Flush,
        ];
        for cause in every {
            assert!(seen.contains(&cause), "{}: nothing ended by {cause:?}", revision.name);
        }
    }
}

/// Whatever is looked ahead at, and whether it comes or not, nothing changes.
#[test]
fn looking_ahead_changes_nothing() {
    for revision in Revision::ALL {
        let (mut ahead, mut plain) = (World::<Up>::new(revision, 4), World::<Up>::new(revision, 4));
        run(17, operations(60_000) / 10, |op| {
            let master = ahead.conns.get(op.which % ahead.conns.len().max(1)).map(ConnRef::id);
            let tuple = tuple_and_mask(op.random).0;
            let other = tuple_and_mask(op.random.rotate_left(21)).0;
            let class = Class::ALL[(op.random >> 32 & 3) as usize];
            let masters = master
                .into_iter()
                .flat_map(|master| [Coming::Announce(tuple, master, class), Coming::End(master)]);
            let coming = [Coming::Lookup(tuple), Coming::Match(other)].into_iter().chain(masters);
            let net = NetId((op.random >> 40 & 7 == 0).into());
            ahead.engine.fetch(net, coming.cycle().take(op.which % 70));
            assert_eq!(ahead.apply(op), plain.apply(op), "{}: {op:?}", revision.name);
        });
        assert_eq!(ahead.engine.audit(), plain.engine.audit());
    }
}

/// Many of one destination, with an index by source and without.
#[test]
fn a_crowd_at_one_destination_is_equivalent() {
    for revision in Revision::ALL {
        let (mut crowds, mut total) = (0, 0);
        for seed in 0..operations(60_000).div_ceil(20_000) {
            let mut flat = World::<Up>::new(revision, 3);
            let mut lists = World::<UpLists>::new(revision, 3);
            let mut draw = Draw(seed ^ 0xc0d);
            run(seed, 20_000, |op| {
                let op = crowd(op, &mut draw);
                assert_eq!(
                    flat.apply(op),
                    lists.apply(op),
                    "{} seed {seed}: {op:?}",
                    revision.name
                );
                crowds += u32::from(flat.engine.expect_count(NetId::INIT) > 20);
                total += 1;
            });
            assert_eq!(flat.engine.audit(), lists.engine.audit());
        }
        assert!(crowds > total / 100, "{}: {crowds} of {total}", revision.name);
    }
}

/// The broken world: a chain that appends where the kernel prepends.
struct Appends;

impl Platform for Appends {
    type Word = Cell<u32>;
    type Plain<T: Copy + 'static> = Cell<T>;
    type SpinLock<T: 'static> = RefCell<T>;
    type Rcu = UpRcu;
    type Timers = UpTimers;
    type Index = Chain<Self>;
    type Pool = LifoPool;

    const SLAB_POISON: bool = false;

    fn slips(slip: Slip) -> bool {
        slip == Slip::AppendsToBucket
    }
}

#[test]
#[should_panic(expected = "operation")]
fn another_order_is_noticed() {
    compare::<Up, Appends>(Revision::LINUX_3_9, 20_000);
}

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

/// How many linked expectations of a namespace and zone a packet hits.
fn hits<P: Platform<Rcu = UpRcu>>(
    engine: &Engine<P>,
    net: NetId,
    zone: Zone,
    tuple: &Tuple,
) -> u32 {
    let mut hits = 0;
    engine.for_each_listed(net, |exp| {
        let about = exp.about();
        let here = about.net == net && about.zone == zone;
        hits += u32::from(here && tuple.matches(&exp.tuple(), &exp.mask()));
    });
    hits
}

/// Of two that one packet hits, the second was refused or replaced the first …
#[test]
fn a_packet_hits_at_most_one_when_no_callback_waits() {
    for revision in Revision::ALL.into_iter().filter(|r| r.expiry == Expiry::Timer) {
        let mut world = World::<Up>::new(revision, 4);
        let mut most = 0;
        run(11, 4_000, |op| {
            world.apply(op);
            world.late_callbacks();
            let tuple = tuple_and_mask(op.random).0;
            let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let places = places.map(|(net, zone)| (NetId(net), Zone(zone)));
            most = places
                .into_iter()
                .map(|(net, zone)| hits(&world.engine, net, zone, &tuple))
                .fold(most, u32::max);
        });
        assert_eq!(most, 1, "{}", revision.name);
    }
}

/// … unless the first was firing: the order within a destination matters after all.
#[test]
fn a_packet_may_hit_two_while_a_callback_waits() {
    let mut world = World::<Up>::new(Revision::LINUX_3_9, 4);
    // The third helper, `irc`, may have more than one.
    world.connect(NetId::INIT, Zone(0), 2);
    let announcement = Op { what: 0, which: 0, random: 1 << 52 };
    assert_eq!(world.announce(announcement), 1);
    world.now = world.now.after(Ticks(400 * 250));
    let firing = world.engine.expire(world.now).expect("its time is up");
    assert_eq!(world.announce(announcement), 1);
    let tuple = tuple_and_mask(announcement.random).0;
    assert_eq!(hits(&world.engine, NetId::INIT, Zone(0), &tuple), 2);
    world.engine.timed_out(world.at(), firing);
    assert_eq!(hits(&world.engine, NetId::INIT, Zone(0), &tuple), 1);
}

/// A linked expectation whose timer is pending has the zone its master has.
#[test]
fn a_pending_timer_vouches_for_the_zone() {
    let mut world = World::<Up>::new(Revision::LINUX_3_9, 4);
    let mut seen = 0;
    run(13, 4_000, |op| {
        world.apply(op);
        let engine = &world.engine;
        let mut pending = Vec::new();
        engine.for_each_listed(NetId::INIT, |exp| pending.push((exp.about(), exp.tuple())));
        for (about, tuple) in pending {
            let found = engine.lock().find(world.at(), about.net, about.zone, &tuple);
            if found.is_some_and(|id| engine.timer(id).1) {
                seen += 1;
                assert_eq!(engine.place_of(about.master).1, about.zone);
            }
        }
    });
    assert!(seen > 1_000);
}
