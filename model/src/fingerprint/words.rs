// SPDX-License-Identifier: GPL-2.0-only
//! Each word that enters a situation: if only what it is about changes, so does the number.

use super::*;
use crate::conn::{ConnRef, Status};
use crate::conntrack::Direction;
use crate::engine::{At, Config, MasterCheck};
use crate::event::Origin;
use crate::expectation::{ExpectRef, Flags, Nat};
use crate::helper::Class;
use crate::kernel::timer::TimerBase;
use crate::kernel::{Ticks, Up};
use crate::nat::Mapping;
use crate::netns::{NetId, Zone};
use crate::nft_ct::CtExpectation;
use crate::revision::Revision;
use crate::tuple::{Addr, L3, Mask, Proto};

const AT: At = At { cpu: Cpu(0), now: Jiffies(1000) };
const MASK: Mask = Mask { src: Addr([3; 16]), sport: 5 };

/// Of everything there is one: what is linked, held, waits for readers and was given back.
struct World {
    engine: Engine<Up>,
    /// Two connections; the second was announced by the first.
    conns: [ConnRef; 2],
    /// Linked ones, in the order of their insertion, the first with a translation; and two that
    /// were not announced.
    exps: [ExpectRef; 4],
    now: Jiffies,
    held: Vec<ExpectId>,
    held_conns: Vec<ConnId>,
    firing: Vec<TimerKey>,
}

fn tuple(host: u8) -> Tuple {
    let [src, dst] = [host, 1].map(|host| Addr([host; 16]));
    Tuple { src, dst, sport: 7, dport: u16::from(host), l3: L3::Ipv6, proto: Proto::UDP }
}

impl World {
    fn new() -> Self {
        let revision = Revision { fresh_memory: FreshMemory::Garbage, ..Revision::LINUX_6_18 };
        let config = Config { revision, netns: 2, ..Config::SMALL };
        let engine = Engine::<Up>::new(config).expect("memory");
        let [first, second, gone, too] = [2, 3, 4, 5].map(|host| {
            let reply = tuple(host).inverse().expect("UDP answers");
            engine.alloc_conn(NetId::INIT, Zone(0), tuple(host), reply).expect("memory")
        });
        [gone, too].into_iter().for_each(|ct| engine.put_conn(AT, ct));
        engine.attach(&first, engine.helper_named("sip")).expect("memory");
        assert!(engine.confirm(AT, &first, Origin::KERNEL));
        engine.set_conn_expiry(AT, &first, AT.now.after(Ticks(500)));
        let born = engine.conn(second.id());
        born.about.set(AboutConn { master: Some(first.id()), ..born.about() });
        let object = CtExpectation { proto: Proto::TCP, dport: 80, timeout: 9, size: 2 };
        engine.conns.lock().announces.insert(second.id(), (object, Direction::Original));
        for ct in [&first, &second] {
            engine.conns.lock().mapped.add(Mapping::default(), ct.id());
        }
        let exps = [10, 11, 12, 13, 14, 15].map(|host| {
            let exp = engine.alloc(AT, &first).expect("memory");
            engine.init_key(&exp, Class::ALL[1], tuple(host), MASK);
            exp
        });
        let nat = Nat { addr: Addr([9; 16]), port: 21, dir: 0 };
        let [one, two, three, four, waits, freed] = exps;
        [&one, &freed].into_iter().for_each(|exp| engine.set_nat(exp, nat));
        engine.put(freed);
        assert_eq!(engine.run_rcu_callbacks(), 1);
        for exp in [&one, &two] {
            engine.related(AT, exp, Origin::KERNEL, MasterCheck::Own).expect("room");
        }
        engine.rcu().hold(Cpu(1));
        engine.put(waits);
        while engine.poll_event().is_some() {}
        let held = vec![one.id(), three.id(), four.id()];
        let (held_conns, firing) = (vec![first.id(), second.id()], vec![TimerKey::conn(1)]);
        let (conns, exps) = ([first, second], [one, two, three, four]);
        Self { engine, conns, exps, now: AT.now, held, held_conns, firing }
    }

    fn held(&self, told: impl FnOnce(&Held<'_>)) {
        let Self { now, held, held_conns, firing, .. } = self;
        told(&Held { now: *now, conns: held_conns, expectations: held, firing });
    }

    fn words(&self) -> Vec<(Part, u64)> {
        let mut words = Vec::new();
        self.held(|held| self.engine.situation(held, |part, word| words.push((part, word))));
        words
    }

    fn number(&self) -> u64 {
        let mut number = 0;
        self.held(|held| number = self.engine.fingerprint(0, held));
        number
    }

    fn exp(&self) -> &Expectation<Up> {
        self.at(0)
    }

    fn at(&self, which: usize) -> &Expectation<Up> {
        self.engine.memory.expectations.get(self.exps[which].id())
    }

    fn conn(&self) -> &Conn<Up> {
        self.engine.conn(self.conns[1].id())
    }

    fn tell(&self, change: impl FnOnce(&mut About)) {
        let mut about = self.exp().about();
        change(&mut about);
        self.exp().set_about(about);
    }

    /// The timer of the first expectation is taken off; how it could be put back.
    fn detach(&self) -> (TimerKey, Jiffies) {
        let Engine { timers, memory, .. } = &self.engine;
        let key = TimerKey::expectation(self.exps[0].id().index());
        assert!(timers.detach(memory, memory.timer(key), key));
        (key, timers.expires(memory, key))
    }

    fn key(&self, change: impl FnOnce(&mut Tuple, &mut Mask)) {
        let (mut tuple, mut mask) = (self.exp().tuple(), self.exp().mask());
        change(&mut tuple, &mut mask);
        self.exp().set_key(tuple, mask);
    }

    fn nat(&self, change: impl FnOnce(&mut Nat)) {
        let mut nat = self.engine.memory.nat.get(self.exps[0].id().index());
        change(&mut nat);
        self.engine.memory.nat.set(self.exps[0].id().index(), nat);
    }

    fn tell_conn(&self, change: impl FnOnce(&mut AboutConn)) {
        let mut about = self.conn().about();
        change(&mut about);
        self.conn().about.set(about);
    }

    fn announces(&self, change: impl FnOnce(&mut (CtExpectation, Direction))) {
        let mut table = self.engine.conns.lock();
        change(table.announces.get_mut(&self.conns[1].id()).expect("it waits"));
    }
}

/// The slot that was given back.
fn freed(pool: &impl Pool) -> u32 {
    let mut freed = None;
    pool.for_next(1, |index| freed = Some(index));
    freed.expect("one was")
}

/// What it changes, which part that is, and how.
type Change = (&'static str, Part, fn(&mut World));

fn byte(addr: &mut Addr, at: usize) {
    addr.0[at] ^= 1;
}

const OF_EXPECTATIONS: &[Change] = &[
    ("source, low", Part::Expectations, |w| w.key(|tuple, _| byte(&mut tuple.src, 0))),
    ("source, high", Part::Expectations, |w| w.key(|tuple, _| byte(&mut tuple.src, 15))),
    ("destination, low", Part::Expectations, |w| w.key(|tuple, _| byte(&mut tuple.dst, 0))),
    ("destination, high", Part::Expectations, |w| w.key(|tuple, _| byte(&mut tuple.dst, 15))),
    ("source port", Part::Expectations, |w| w.key(|tuple, _| tuple.sport ^= 1)),
    ("destination port", Part::Expectations, |w| w.key(|tuple, _| tuple.dport ^= 1)),
    ("family", Part::Expectations, |w| w.key(|tuple, _| tuple.l3 = L3::Ipv4)),
    ("protocol", Part::Expectations, |w| w.key(|tuple, _| tuple.proto = Proto::TCP)),
    ("mask, low", Part::Expectations, |w| w.key(|_, mask| byte(&mut mask.src, 0))),
    ("mask, high", Part::Expectations, |w| w.key(|_, mask| byte(&mut mask.src, 15))),
    ("mask of the port", Part::Expectations, |w| w.key(|_, mask| mask.sport ^= 1)),
    ("namespace", Part::Expectations, |w| w.tell(|about| about.net = NetId(1))),
    ("zone", Part::Expectations, |w| w.tell(|about| about.zone = Zone(1))),
    ("class", Part::Expectations, |w| w.tell(|about| about.class = Class::ALL[2])),
    ("creator", Part::Expectations, |w| w.tell(|about| about.creator = None)),
    ("child's helper", Part::Expectations, |w| {
        w.tell(|about| about.assign_helper = HelperId::at(0))
    }),
    ("function", Part::Expectations, |w| {
        w.tell(|about| about.expectfn = Some(ExpectFn::NatFollowMaster))
    }),
    ("translated", Part::Expectations, |w| w.tell(|about| about.has_nat = false)),
    ("flags", Part::Expectations, |w| w.exp().flags.reset(Flags::PERMANENT.0)),
    ("references", Part::References, |w| w.exp().uses.reset(7)),
    ("expires", Part::Timers, |w| w.exp().expires.set(Jiffies(7))),
    ("saved address, low", Part::Memory, |w| w.nat(|nat| byte(&mut nat.addr, 0))),
    ("saved address, high", Part::Memory, |w| w.nat(|nat| byte(&mut nat.addr, 15))),
    ("saved port", Part::Memory, |w| w.nat(|nat| nat.port ^= 1)),
    ("direction", Part::Memory, |w| w.nat(|nat| nat.dir ^= 1)),
];

const OF_CONNECTIONS: &[Change] = &[
    ("master", Part::Conns, |w| w.tell_conn(|about| about.master = None)),
    ("status", Part::Conns, |w| w.conn().status.reset(Status::ASSURED.0)),
    ("zone", Part::Conns, |w| w.conn().zone.reset(1)),
    ("helper", Part::Conns, |w| w.conn().helper.reset(1)),
    ("namespace", Part::Conns, |w| w.tell_conn(|about| about.net = NetId(1))),
    ("whether it tells", Part::Conns, |w| w.tell_conn(|about| about.tells = false)),
    ("mark", Part::Conns, |w| w.tell_conn(|about| about.mark = 1)),
    ("whether its source was mapped", Part::Conns, |w| w.tell_conn(|about| about.mapped = true)),
    ("security mark", Part::Conns, |w| w.tell_conn(|about| about.secmark = 1)),
    ("tuple", Part::Conns, |w| w.tell_conn(|about| about.original.sport ^= 1)),
    ("answer", Part::Conns, |w| w.tell_conn(|about| about.reply.sport ^= 1)),
    ("references", Part::References, |w| w.conn().uses.reset(7)),
    ("how many of the first class", Part::Counts, |w| w.conn().expecting[0].set(1)),
    ("how many of the last", Part::Counts, |w| w.conn().expecting[3].set(1)),
    ("expires", Part::Timers, |w| w.engine.conn(w.conns[0].id()).expires.set(Jiffies(7))),
    ("an object's size", Part::Conns, |w| w.announces(|(object, _)| object.size ^= 1)),
    ("its timeout", Part::Conns, |w| w.announces(|(object, _)| object.timeout ^= 1)),
    ("its protocol", Part::Conns, |w| w.announces(|(object, _)| object.proto = Proto::UDP)),
    ("its port", Part::Conns, |w| w.announces(|(object, _)| object.dport ^= 1)),
    ("its direction", Part::Conns, |w| w.announces(|(_, side)| *side = Direction::Reply)),
];

const OF_THE_REST: &[Change] = &[
    ("the caller's clock", Part::Time, |w| w.now = Jiffies(1001)),
    ("which is held", Part::References, |w| w.held[0] = w.exps[1].id()),
    ("what is firing", Part::References, |w| w.firing[0] = TimerKey::conn(0)),
    ("a connection's or an expectation's", Part::References, |w| {
        w.firing[0] = TimerKey::expectation(w.exps[0].id().index());
    }),
    ("the base's clock", Part::Time, |w| assert!(w.engine.expire(Jiffies(1001)).is_none())),
    ("how many are linked", Part::Expectations, |w| {
        w.at(2).hprev.set(1);
        w.at(2).age.set(9);
    }),
    ("an expectation's master", Part::Expectations, |w| {
        let second = w.conns[1].id();
        w.tell(|about| about.master = second);
    }),
    ("whether it lives", Part::Expectations, |w| {
        w.tell(|about| about.master = ConnId::new(about.master.index(), 77));
    }),
    ("whose object it is", Part::Conns, |w| {
        let mut table = w.engine.conns.lock();
        let (_, word) = table.announces.pop_first().expect("it waits");
        table.announces.insert(w.conns[0].id(), word);
    }),
    ("whose source was mapped last", Part::Conns, |w| {
        let (first, mapping) = (w.conns[0].id(), Mapping::default());
        let mapped = &mut w.engine.conns.lock().mapped;
        mapped.remove(&mapping, first);
        mapped.add(mapping, first);
    }),
    ("a translation that lingers", Part::Memory, |w| {
        w.at(1).set_nat_lingers(true);
    }),
    ("what is pending", Part::Timers, |w| {
        w.detach();
    }),
    ("what fires first", Part::Timers, |w| {
        let (key, expires) = w.detach();
        let Engine { timers, memory, .. } = &w.engine;
        timers.set_expires(memory, key, expires);
        timers.add(memory, key, AT.now);
    }),
    ("which connection's memory comes next", Part::Memory, |w| {
        let [one, other] = [(); 2].map(|()| {
            w.engine.alloc_conn(NetId::INIT, Zone(0), Tuple::NONE, Tuple::NONE).expect("memory")
        });
        [one, other].into_iter().for_each(|ct| w.engine.put_conn(AT, ct));
    }),
    ("an expectation or a connection is held", Part::References, |w| {
        w.held.push(w.exps[0].id());
        w.held_conns.remove(0);
    }),
    ("a connection is held or an expectation fires", Part::References, |w| {
        w.held_conns.pop();
        w.firing.insert(0, TimerKey::expectation(w.exps[1].id().index()));
    }),
    ("a reader", Part::Waiting, |w| w.engine.rcu().hold(Cpu(1))),
    ("count", Part::Counts, |w| w.engine.nets[1].count.reset(1)),
    ("limit", Part::Counts, |w| w.engine.expect_max.reset(1)),
    ("whether a namespace is there", Part::Counts, |w| w.engine.nets[1].alive.reset(1)),
    ("the next failure", Part::Memory, |w| w.engine.fail_nth.reset(1)),
    ("a helper that has gone", Part::Gone, |w| w.engine.gone_helpers[0].reset(1)),
    ("a function that has gone", Part::Gone, |w| w.engine.gone_functions.reset(1)),
    ("expires, in free memory", Part::Memory, |w| {
        let slab = &w.engine.memory.expectations;
        slab.at(freed(slab.pool())).expires.set(Jiffies(7));
    }),
    ("translation, in free memory", Part::Memory, |w| {
        let (nat, slot) = (&w.engine.memory.nat, freed(w.engine.memory.expectations.pool()));
        nat.set(slot, Nat { port: 22, ..nat.get(slot) });
    }),
    ("zone, in free memory", Part::Memory, |w| {
        let slab = &w.engine.memory.conns;
        slab.at(freed(slab.pool())).zone.reset(7);
    }),
];

#[test]
fn whatever_alone_changes_the_number_changes() {
    let base = World::new();
    assert_eq!(World::new().number(), base.number());
    for (what, part, change) in [OF_EXPECTATIONS, OF_CONNECTIONS, OF_THE_REST].concat() {
        let mut other = World::new();
        change(&mut other);
        assert_ne!(other.number(), base.number(), "{what}");
        let (words, before) = (other.words(), base.words());
        let mut differ = words.iter().zip(&before).filter(|(now, before)| now != before);
        let alone = differ.all(|(now, _)| now.0 == part);
        assert!(words.len() != before.len() || alone, "{what}: more than {part:?}");
    }
}

#[test]
fn what_nobody_can_see_does_not() {
    let base = World::new();
    let other = World::new();
    other.conn().expires.set(Jiffies(7));
    assert_eq!(other.number(), base.number(), "of a timer that is not pending");
    // Who holds two in this order need not have made them in it.
    let mut other = World::new();
    other.at(2).set_key(tuple(13), MASK);
    other.at(3).set_key(tuple(12), MASK);
    assert_ne!(other.number(), base.number());
    other.held.swap(1, 2);
    assert_eq!(other.number(), base.number());
    let [first, second] = [0, 1].map(|which| other.at(which).age.get());
    other.at(0).age.set(second);
    other.at(1).age.set(first);
    assert_ne!(other.number(), base.number(), "which of two is older");
}

#[test]
fn a_timer_is_where_it_was_filed() {
    let [early, late] = [(); 2].map(|()| World::new());
    let now = Jiffies(1450);
    [&early, &late].into_iter().for_each(|w| assert!(w.engine.expire(now).is_none()));
    late.engine.set_conn_expiry(At { now, ..AT }, &late.conns[0], Jiffies(1500));
    // The longer a timer waits, the coarser its place in the wheel.
    assert_ne!(early.engine.next_expiry(), late.engine.next_expiry());
    let expires = |w: &World| w.engine.conn(w.conns[0].id()).expires.get();
    assert_eq!(expires(&early), expires(&late));
    assert_ne!(early.number(), late.number());
}
