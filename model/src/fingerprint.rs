// SPDX-License-Identifier: GPL-2.0-only
//! A number for the situation an engine is in, the same for every history that leads there.
//!
//! *Situation*: everything that a later answer, event, listing or the growth of a counter may depend
//! on. *Part*: what a word of it is about.
//!
//! ```text
//!   linked 7th, 9th, 12th        ─▶ first, second, third     insertions: only their order counts
//!   slots, lives, timer stamps   ─▶ whose they are           nobody can see them
//!   totals of counters           ─▶ nothing                  what is added does not depend on them
//!   time, slots of connections   ─▶ as they are              wheels turn at round jiffies; a dump
//!                                                            of connections goes by slot
//! ```
//!
//! Memory that was given back belongs to it where the revision hands it on as it is
//! ([`FreshMemory`]): such a kernel remembers.
//!
//! Two situations that differ get the same number with a chance of about 2⁻⁶⁴, as far as the
//! multiplication mixes (it is no cryptography, and no adversary is thought of): among `n` of them,
//! some two with at most `n² / 2⁶⁵`, 3 in a million for ten million. Another key asks again, so that
//! two counts that agree under two keys leave the square of that.
//!
//! Left out, because no answer depends on them: what a search or a wheel knows only to be faster
//! ([`Engine::forward_timers`] may say `false` of the one and `true` of the other), and which of its
//! expectations a table still has that was made anew under them ([`Engine::pernet_fini`]).
//!
//! The rule that matters: all in it is of one configuration, and of engines that keep the contract of
//! references. Whoever compares two has set both up alike.

use crate::conn::{AboutConn, Conn, ConnId};
use crate::engine::Engine;
use crate::event::ExpectFn;
use crate::expectation::{About, ExpectId, Expectation};
use crate::helper::HelperId;
use crate::kernel::Jiffies;
use crate::kernel::platform::{Cpu, Plain, SpinLock, Word};
use crate::kernel::rcu::Callback;
use crate::kernel::slab::{NULL, POISON, Pool};
use crate::kernel::timer::TimerKey;
use crate::revision::FreshMemory;
use crate::snapshot::OneCpu;
use crate::tuple::Tuple;

/// What callers know and will go by: the time, and what they hold, in an order of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held<'a> {
    /// The caller's clock.
    pub now: Jiffies,
    /// Connections.
    pub conns: &'a [ConnId],
    /// Expectations.
    pub expectations: &'a [ExpectId],
    /// Timers that are detached and whose callbacks are the caller's to run.
    pub firing: &'a [TimerKey],
}

/// What a part of a situation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The callers' clock and the base's.
    Time,
    /// Whom each expectation stands for, whose it is, its flags; the older before the younger.
    Expectations,
    /// References: to expectations, to connections, and who holds them.
    References,
    /// When timers expire, and where they are filed.
    Timers,
    /// Connections, in the table or not.
    Conns,
    /// Counts that limits are held against, and the limits.
    Counts,
    /// Callbacks that wait for readers, and the readers.
    Waiting,
    /// What memory holds that was given back, and how much there is.
    Memory,
    /// Helpers and functions that have gone.
    Gone,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Time,
        Self::Expectations,
        Self::References,
        Self::Timers,
        Self::Conns,
        Self::Counts,
        Self::Waiting,
        Self::Memory,
        Self::Gone,
    ];
}

/// A multiply-fold over words: each is mixed in by both halves of a product.
#[derive(Clone, Copy, Debug)]
pub struct Fold(u64);

impl Fold {
    /// One of 2⁶⁴ functions.
    #[inline]
    #[must_use]
    pub const fn new(key: u64) -> Self {
        Self(key ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Mixes a word in.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        let sum = self.0.rotate_left(23).wrapping_add(0x8ebc_6af0_9c88_c6e3);
        self.0 = sum ^ crate::kernel::flat::fold(word ^ self.0, 0xa076_1d64_78bd_642f);
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

/// Names for expectations: linked ones by age, then the caller's, then those that wait.
struct Names {
    /// By slot; 0 for none.
    of: Vec<u32>,
    order: Vec<u32>,
    linked: usize,
}

impl Names {
    fn add(&mut self, index: u32) {
        let name = &mut self.of[index as usize];
        if *name == 0 {
            self.order.push(index);
            *name = self.order.len() as u32;
        }
    }
}

/// Whoever is told the words of a situation.
struct Told<F>(F);

impl<F: FnMut(Part, u64)> Told<F> {
    #[inline(always)]
    fn word(&mut self, part: Part, word: u64) {
        (self.0)(part, word);
    }

    #[inline(always)]
    fn tuple(&mut self, part: Part, tuple: &Tuple) {
        let Tuple { src, dst, sport, dport, l3, proto } = *tuple;
        let ports = u64::from(sport) << 16 | u64::from(dport);
        let kind = u64::from(l3.number()) << 8 | u64::from(proto.0);
        for half in src.halves().into_iter().chain(dst.halves()) {
            self.word(part, half);
        }
        self.word(part, ports << 16 | kind);
    }
}

fn place(helper: Option<HelperId>) -> u64 {
    helper.map_or(0, |helper| u64::from(helper.place()) + 1)
}

fn function(function: Option<ExpectFn>) -> u64 {
    function.map_or(0, |function| function as u64 + 1)
}

impl<P: OneCpu> Engine<P> {
    /// The number of the situation, under this key.
    ///
    /// # Panics
    /// If events wait, which are part of no situation: poll them before.
    #[must_use]
    pub fn fingerprint(&self, key: u64, held: &Held<'_>) -> u64 {
        let mut fold = Fold::new(key);
        self.situation(held, |_, word| fold.word(word));
        fold.finish()
    }

    /// Tells the situation itself, word by word.
    ///
    /// # Panics
    /// As [`fingerprint`](Self::fingerprint).
    pub fn situation(&self, held: &Held<'_>, told: impl FnMut(Part, u64)) {
        assert!(self.outbox.lock().is_empty(), "events wait: poll them before");
        let mut told = Told(told);
        let names = self.names(held);
        told.word(Part::Time, held.now.0);
        told.word(Part::Time, self.timers.clock());
        told.word(Part::Expectations, names.linked as u64);
        names.order.iter().for_each(|&index| self.tell_expectation(&mut told, index));
        self.tell_conns(&mut told);
        self.tell_pending(&mut told, &names);
        self.tell_held(&mut told, &names, held);
        self.tell_counts(&mut told);
        self.tell_free(&mut told);
    }

    fn names(&self, held: &Held<'_>) -> Names {
        let slab = &self.memory.expectations;
        let mut live: Vec<ExpectId> = Vec::with_capacity(slab.live() as usize);
        live.extend(slab.iter_live());
        let is_linked = |exp: &Expectation<P>| !matches!(exp.hprev.get(), NULL | POISON);
        let linked = live.iter().map(|id| id.index()).filter(|&index| is_linked(slab.at(index)));
        let mut order: Vec<u32> = Vec::with_capacity(live.len());
        order.extend(linked);
        order.sort_unstable_by_key(|&index| slab.at(index).age.get());
        let mut of = vec![0; slab.touched() as usize + 1];
        for (name, &index) in (1..).zip(&order) {
            of[index as usize] = name;
        }
        let linked = order.len();
        let mut names = Names { of, order, linked };
        held.expectations.iter().for_each(|id| names.add(id.index()));
        for (_, Callback::FreeExpectation(index)) in self.rcu.in_order() {
            names.add(index);
        }
        // What is left nobody will give back.
        live.iter().for_each(|id| names.add(id.index()));
        names
    }

    fn tell_expectation(&self, told: &mut Told<impl FnMut(Part, u64)>, index: u32) {
        let exp = self.memory.expectations.at(index);
        let About { master, class, net, zone, creator, assign_helper, expectfn, has_nat } =
            exp.about();
        let (tuple, mask) = (exp.tuple(), exp.mask());
        told.tuple(Part::Expectations, &tuple);
        let [low, high] = mask.src.halves();
        let lives = u64::from(self.memory.conns.is_live(master));
        let who = u64::from(master.index()) << 1 | lives;
        let kind = u64::from(net.0) << 32 | u64::from(zone.0) << 16 | u64::from(mask.sport);
        let flags = u64::from(exp.flags.load_locked()) << 8 | (class.index() as u64) << 1;
        for word in [low, high, kind, who, flags | u64::from(has_nat)] {
            told.word(Part::Expectations, word);
        }
        let helpers = place(creator) << 32 | place(assign_helper) << 8 | function(expectfn);
        told.word(Part::Expectations, helpers);
        told.word(Part::References, u64::from(exp.uses.load_locked()));
        told.word(Part::Timers, exp.expires.get().0);
        if has_nat || exp.nat_lingers() {
            self.tell_nat(told, index);
        }
    }

    fn tell_nat(&self, told: &mut Told<impl FnMut(Part, u64)>, index: u32) {
        let nat = self.memory.nat.get(index);
        let rest = u64::from(nat.port) << 32 | u64::from(nat.dir);
        let [low, high] = nat.addr.halves();
        for word in [low, high, rest] {
            told.word(Part::Memory, word);
        }
    }

    fn tell_conns(&self, told: &mut Told<impl FnMut(Part, u64)>) {
        let conns = &self.memory.conns;
        for id in conns.iter_live() {
            let conn = conns.at(id.index());
            let AboutConn { original, reply, net, master, mark, secmark, tells, mapped } =
                conn.about();
            let master = master.map_or(0, ConnId::index);
            let words = [
                u64::from(id.index()) << 32 | u64::from(master),
                u64::from(conn.status.load_locked()) << 32 | u64::from(conn.zone.load_locked()),
                u64::from(conn.helper.load_locked()) << 32
                    | u64::from(net.0) << 2
                    | u64::from(mapped) << 1
                    | u64::from(tells),
                u64::from(mark) << 32 | u64::from(secmark),
            ];
            words.into_iter().for_each(|word| told.word(Part::Conns, word));
            told.tuple(Part::Conns, &original);
            told.tuple(Part::Conns, &reply);
            told.word(Part::References, u64::from(conn.uses.load_locked()));
            told.word(Part::Counts, expecting(conn));
            if conn.timer.get() != 0 {
                told.word(Part::Timers, conn.expires.get().0);
            }
        }
        let table = self.conns.lock();
        for (id, (object, direction)) in &table.announces {
            let size = u64::from(object.size) << 32 | u64::from(object.timeout);
            let port = u64::from(object.proto.0) << 16 | u64::from(object.dport);
            let who = u64::from(id.index()) << 1 | *direction as u64;
            [size, port, who].into_iter().for_each(|word| told.word(Part::Conns, word));
        }
        table.mapped.iter().for_each(|id| told.word(Part::Conns, u64::from(id.index())));
    }

    fn tell_pending(&self, told: &mut Told<impl FnMut(Part, u64)>, names: &Names) {
        self.timers.filed(&self.memory, |place, key| {
            let who = timer_name(key, names);
            told.word(Part::Timers, (place as u64) << 40 ^ who);
        });
        told.word(Part::Timers, u64::MAX);
        for cpu in 0..self.config.cpus {
            told.word(Part::Waiting, u64::from(self.rcu.depth(Cpu(cpu))));
        }
        for (waits_for, Callback::FreeExpectation(index)) in self.rcu.in_order() {
            told.word(Part::Waiting, waits_for);
            told.word(Part::Waiting, u64::from(names.of[index as usize]));
        }
        told.word(Part::Waiting, u64::MAX);
    }

    fn tell_held(&self, told: &mut Told<impl FnMut(Part, u64)>, names: &Names, held: &Held<'_>) {
        let exps = held.expectations.iter().map(|id| u64::from(names.of[id.index() as usize]));
        let conns = held.conns.iter().map(|id| u64::from(id.index()));
        let firing = held.firing.iter().map(|key| timer_name(*key, names));
        let ends = core::iter::once(u64::MAX);
        for word in exps.chain(ends.clone()).chain(conns).chain(ends.clone()).chain(firing) {
            told.word(Part::References, word);
        }
    }

    fn tell_counts(&self, told: &mut Told<impl FnMut(Part, u64)>) {
        for net in &self.nets {
            let count = u64::from(net.count.load_locked()) << 1;
            told.word(Part::Counts, count | u64::from(net.alive.load_locked()));
        }
        told.word(Part::Counts, u64::from(self.expect_max.load_locked()));
        told.word(Part::Memory, u64::from(self.fail_nth.load_locked()));
        for gone in self.gone_helpers.iter().chain([&self.gone_functions]) {
            told.word(Part::Gone, u64::from(gone.load_locked()));
        }
    }

    /// What the next allocations find.
    fn tell_free(&self, told: &mut Told<impl FnMut(Part, u64)>) {
        let (slab, conns) = (&self.memory.expectations, &self.memory.conns);
        told.word(Part::Memory, u64::from(slab.capacity() - slab.live()));
        if self.config.revision.fresh_memory == FreshMemory::Garbage {
            slab.pool().for_next(usize::MAX, |index| {
                let exp = slab.at(index);
                told.word(Part::Memory, exp.expires.get().0);
                if exp.nat_lingers() {
                    self.tell_nat(told, index);
                }
            });
        }
        told.word(Part::Memory, u64::MAX);
        conns.pool().for_next(usize::MAX, |index| {
            // A reader who comes late finds the zone of whoever was there.
            let zone = conns.at(index).zone.load_locked();
            told.word(Part::Memory, u64::from(index) << 32 | u64::from(zone));
        });
        told.word(Part::Memory, u64::from(conns.capacity() - conns.live()));
    }
}

/// How many of each class, in a word.
fn expecting<P: OneCpu>(conn: &Conn<P>) -> u64 {
    conn.expecting.iter().fold(0, |word, count| word << 8 | u64::from(count.get()))
}

fn timer_name(key: TimerKey, names: &Names) -> u64 {
    match key.is_conn() {
        true => 1 << 32 | u64::from(key.index()),
        false => u64::from(names.of[key.index() as usize]),
    }
}

#[cfg(test)]
mod words;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ConnRef;
    use crate::engine::{At, Config, MasterCheck};
    use crate::event::Origin;
    use crate::helper::Class;
    use crate::kernel::{Ticks, Up};
    use crate::netns::{NetId, Zone};
    use crate::revision::Revision;
    use crate::tuple::{L3, Mask, Proto};

    const AT: At = At { cpu: Cpu(0), now: Jiffies(0) };

    /// An engine with a master that has no helper, and so no policy.
    fn engine(revision: Revision) -> (Engine<Up>, ConnRef) {
        let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
        let tuple = Tuple { l3: L3::Ipv4, proto: Proto::TCP, dport: 21, ..Tuple::NONE };
        let ct = engine.alloc_conn(NetId::INIT, Zone(0), tuple, tuple).expect("memory");
        engine.attach(&ct, None).expect("memory");
        (engine, ct)
    }

    /// An expectation comes and goes, and was to expire then.
    fn come_and_go(engine: &Engine<Up>, ct: &ConnRef, expires: u64) {
        let exp = engine.alloc(AT, ct).expect("memory");
        engine.set_expires(&exp, AT.now.after(Ticks(expires)));
        engine.put(exp);
    }

    /// When the next one expires, of which nobody said when.
    fn next_expires(engine: &Engine<Up>, ct: &ConnRef) -> Jiffies {
        let exp = engine.alloc(AT, ct).expect("memory");
        engine.init_key(&exp, Class::DEFAULT, Tuple::NONE, Mask::ANY);
        engine.related(AT, &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
        let (expires, id) = (engine.timer(exp.id()).0, exp.id());
        engine.put(exp);
        assert!(engine.expectation_about(id).is_some(), "it is linked");
        expires
    }

    fn number(engine: &Engine<Up>, ct: &ConnRef) -> u64 {
        engine.fingerprint(0, &Held { now: AT.now, conns: &[ct.id()], ..Held::default() })
    }

    #[test]
    fn a_kernel_that_hands_memory_on_as_it_is_remembers() {
        for revision in Revision::ALL {
            let [(one, ct), (other, same_ct)] = [engine(revision), engine(revision)];
            come_and_go(&one, &ct, 10);
            come_and_go(&other, &same_ct, 20);
            assert_eq!([&one, &other].map(Engine::run_rcu_callbacks), [1, 1]);
            let remembers = revision.fresh_memory == FreshMemory::Garbage;
            assert_eq!(number(&one, &ct) != number(&other, &same_ct), remembers);
            let differ = next_expires(&one, &ct) != next_expires(&other, &same_ct);
            assert_eq!(differ, remembers, "{}", revision.name);
        }
    }

    #[test]
    fn whoever_waits_for_readers_is_in_another_situation() {
        let [(one, ct), (other, same_ct)] = [(); 2].map(|()| engine(Revision::LINUX_7_2));
        one.rcu().hold(Cpu(1));
        assert_ne!(number(&one, &ct), number(&other, &same_ct), "a reader");
        for (engine, ct) in [(&one, &ct), (&other, &same_ct)] {
            come_and_go(engine, ct, 10);
        }
        one.rcu().release(Cpu(1));
        assert_eq!(number(&one, &ct), number(&other, &same_ct), "both wait for nobody");
        one.rcu().hold(Cpu(0));
        come_and_go(&one, &ct, 10);
        come_and_go(&other, &same_ct, 10);
        one.rcu().hold(Cpu(0));
        other.rcu().hold(Cpu(0));
        other.rcu().hold(Cpu(0));
        assert_ne!(number(&one, &ct), number(&other, &same_ct), "one waits for a reader");
        let ran = [&one, &other].map(Engine::run_rcu_callbacks);
        assert_eq!(ran, [1, 2]);
    }

    /// Slots, lives, stamps, how many insertions there were, how much was counted: nobody can see
    /// them in what comes.
    #[test]
    fn what_has_gone_leaves_no_trace() {
        let revision = Revision { fresh_memory: FreshMemory::Zeroed, ..Revision::LINUX_6_18 };
        let [(one, ct), (other, same_ct)] = [engine(revision), engine(revision)];
        for _ in 0..3 {
            next_expires(&one, &ct);
            one.lock().remove_expectations(AT, ct.id(), crate::event::Cause::MasterGone);
        }
        while one.poll_event().is_some() {}
        let kept = one.alloc(AT, &ct).expect("memory");
        one.run_rcu_callbacks();
        one.put(kept);
        one.run_rcu_callbacks();
        assert_eq!(number(&one, &ct), number(&other, &same_ct));
        assert_eq!(next_expires(&one, &ct), next_expires(&other, &same_ct));
        for engine in [&one, &other] {
            while engine.poll_event().is_some() {}
        }
        assert_eq!(number(&one, &ct), number(&other, &same_ct));
    }
}
