// SPDX-License-Identifier: GPL-2.0-only
//! A CPU's part in a scene: its operations, cut into the steps between which others may act.
//!
//! A *step* is what the kernel does without leaving a lock or a function of the file: the timer
//! detached, then the callback; the lookup, then the put. Under loom the cuts mean nothing, the
//! steps follow each other and everything may come in between anywhere; on one thread they are
//! where a schedule may turn to another CPU.
//!
//! The rule that matters: an actor holds what it holds in its hand, and its hand is empty at the
//! end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use nfexp_model::At;
use nfexp_model::conn::ConnRef;
use nfexp_model::engine::Firing;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::expectation::ExpectRef;
use nfexp_model::helper::Class;
use nfexp_model::kernel::rcu::Rcu;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::kernel::{Cpu, Plain, Ticks};
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::Zone;
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::{Expiry, NewEvent, UrqLock};
use nfexp_model::slip::Slip;

use crate::op::Op;
use crate::scene::{Machine, NET, Scene, ZONE, tuple};

mod modules;
mod userspace;

/// One CPU and its operations.
pub struct Actor<P: Machine> {
    scene: Rc<Scene<P>>,
    cpu: u8,
    /// The operation it is at, and the step of that.
    at: (usize, u8),
    hand: Hand,
}

/// What an actor holds between its steps.
#[derive(Default)]
struct Hand {
    firing: Option<Firing>,
    exp: Option<ExpectRef>,
    /// What was announced together with it.
    second: Option<ExpectRef>,
    master: Option<ConnRef>,
    /// Its own reference to the scene's master, where somebody ends that.
    own: Option<ConnRef>,
    file: Option<(SeqFile, String)>,
    /// Kept for a later operation, by port.
    kept: BTreeMap<u8, ExpectRef>,
}

/// Whether an operation goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Step,
    Done,
}

use Next::{Done, Step};

impl<P: Machine> Actor<P> {
    /// The actor of a CPU.
    #[must_use]
    pub fn new(scene: Rc<Scene<P>>, cpu: u8) -> Self {
        let own = scene.dealt.borrow_mut().remove(&cpu);
        Self { scene, cpu, at: (0, 0), hand: Hand { own, ..Hand::default() } }
    }

    /// Whether it has nothing left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.op().is_none()
    }

    /// What it does next.
    #[must_use]
    pub fn op(&self) -> Option<Op> {
        self.scene.scenario.cpus[usize::from(self.cpu)].get(self.at.0).copied()
    }

    /// Whether its next step takes no lock, so that it may run inside another's.
    #[must_use]
    pub fn is_lockless(&self) -> bool {
        let lockless_get = self.scene.engine.config().revision.new_event == NewEvent::AfterUnlock;
        let timers = self.scene.engine.config().revision.expiry == Expiry::Timer;
        match (self.op(), self.at.1) {
            (Some(Op::Lookup(_) | Op::LookupElsewhere(_) | Op::Put(_)), _)
            | (Some(Op::List | Op::ListInParts), _) => true,
            (Some(Op::Expire(_)), 0) => timers,
            (Some(Op::Delete(_)), 0) | (Some(Op::Get(_)), _) => lockless_get,
            _ => false,
        }
    }

    /// Acts to the end.
    pub fn run(mut self) {
        while self.step() {}
    }

    /// Takes one step; answers whether there is another.
    pub fn step(&mut self) -> bool {
        let Some(op) = self.op() else { return false };
        let late = if self.scene.scenario.variant.late { Ticks(1 << 20) } else { Ticks(0) };
        let at = At { cpu: Cpu(self.cpu), now: At::default().now.after(late) };
        self.at = match self.act(at, op, self.at.1) {
            Step => (self.at.0, self.at.1 + 1),
            Done => (self.at.0 + 1, 0),
        };
        if self.is_done() {
            let kept = std::mem::take(&mut self.hand.kept);
            kept.into_values().for_each(|exp| self.scene.engine.put(exp));
            let held = [self.hand.master.take(), self.hand.own.take()];
            held.into_iter().flatten().for_each(|ct| self.scene.engine.put_conn(at, ct));
            return false;
        }
        true
    }

    fn act(&mut self, at: At, op: Op, step: u8) -> Next {
        match op {
            Op::Expire(port) => self.expire(at, op, port, step),
            Op::Match(port) => self.arrive(at, op, port, step),
            Op::Connect(port) | Op::Child(port) => self.connect(at, op, port),
            Op::Lookup(port) => self.lookup(at, op, port, ZONE, step),
            Op::LookupElsewhere(port) => {
                let elsewhere = Zone(nfexp_model::conn::Conn::<P>::RECYCLED_ZONE as u16);
                self.lookup(at, op, port, elsewhere, step)
            }
            Op::Find(port) => {
                let locked = self.scene.engine.lock();
                let found = locked.find(at, NET, ZONE, &tuple(41000, port)).is_some();
                drop(locked);
                self.note(op, if found { "found" } else { "none" })
            }
            Op::Follow(port) => self.follow(at, op, port),
            Op::Announce(port) => self.announce(at, op, port, step),
            Op::Pair(port) => self.pair(at, op, port, step),
            Op::Unexpect(port) | Op::Put(port) => self.unexpect(at, op, port, step),
            Op::Reuse(port) => self.reuse(at, op, port, step),
            Op::Remove | Op::Urq => self.remove(at, op),
            Op::Destroy => self.destroy(at, step),
            Op::List => self.list(at, op, u64::MAX),
            Op::ListInParts => self.list(at, op, 1),
            Op::Get(port) => self.get(at, op, port, step),
            Op::Dump(port) => self.dump(at, op, port, step),
            Op::Delete(port) => self.delete(at, op, port, step),
            Op::Change(port) => self.change(at, op, port),
            Op::Flush => {
                let mut locked = self.scene.engine.lock();
                locked.iterate_destroy(at, NET, Origin::KERNEL, Cause::Flush, |_| true);
                Done
            }
            Op::Unregister => self.unregister(at, step),
            Op::Rmmod => self.rmmod(at, step),
            Op::NetnsExit => self.netns_exit(at, step),
        }
    }

    fn note(&self, op: Op, answer: impl std::fmt::Display) -> Next {
        self.scene.note(op, answer);
        Done
    }

    /// Whether a later operation of this CPU wants the reference.
    fn wants(&self, port: u8) -> bool {
        let ops = &self.scene.scenario.cpus[usize::from(self.cpu)];
        let later = ops.iter().skip(self.at.0 + 1);
        let mut later = later.filter(|op| op.port() == Some(port));
        later.any(|op| matches!(op, Op::Unexpect(_) | Op::Reuse(_) | Op::Put(_)))
    }

    fn keep_or_put(&mut self, port: u8, exp: ExpectRef) {
        if self.wants(port) && !self.hand.kept.contains_key(&port) {
            self.hand.kept.insert(port, exp);
        } else {
            self.scene.engine.put(exp);
        }
    }

    // ---- timers and packets ------------------------------------------------------------------

    fn expire(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = &self.scene.engine;
        if engine.config().revision.expiry == Expiry::Collected {
            // No timer: time passes, and the garbage collector comes by.
            let late = At { now: at.now.after(Ticks(1 << 20)), ..at };
            let _section = engine.rcu().read_lock(at.cpu);
            engine.help_gc(late, self.scene.master_id.index());
            return self.note(op, "collected");
        }
        if step == 0 {
            // Expectation n is the n-th of the cache.
            self.hand.firing = engine.expire_this(TimerKey::expectation(u32::from(port)));
            let late = self.hand.firing.is_none();
            return if late { self.note(op, "late") } else { Step };
        }
        if P::slips(Slip::CallbackWithoutLock) {
            P::forget_next_lock();
        }
        engine.timed_out(at, self.hand.firing.take().expect("detached in the first step"));
        self.note(op, "won")
    }

    fn arrive(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        if step > 0 {
            self.hand.exp.take().into_iter().for_each(|exp| engine.put(exp));
            self.hand.master.take().into_iter().for_each(|ct| engine.put_conn(at, ct));
            return Done;
        }
        let packet = self.scene.packets_in_sections();
        let section = packet.then(|| engine.rcu().read_lock(at.cpu));
        let mut locked = engine.lock();
        let found = locked.find_expectation(at, NET, ZONE, &tuple(41000, port), true);
        drop(locked);
        let Some(found) = found else { return self.note(op, "none") };
        let exp = engine.expectation(found.exp.id());
        assert_eq!(exp.tuple().dport, u16::from(port), "a match of another tuple");
        if exp.about().expectfn.is_some() {
            assert!(self.scene.text.get() == 0, "NothingUnregistered: a call into freed text");
        }
        drop(section);
        self.hand.exp = Some(found.exp);
        if let MasterHold::Counted(master) = found.master {
            self.hand.master = Some(master);
        }
        self.scene.note(op, "won");
        Step
    }

    fn connect(&self, at: At, op: Op, port: u8) -> Next {
        let (engine, tuple) = (&self.scene.engine, tuple(41000, port));
        let reply = tuple.inverse().expect("tcp has one");
        let born = engine.init_conntrack(at, NET, ZONE, tuple, reply, true);
        let born = born.expect("there is memory");
        self.scene.note(op, if born.announced.is_some() { "related" } else { "new" });
        match op {
            Op::Child(_) => self.scene.children.borrow_mut().push(born.ct),
            _ => engine.put_conn(at, born.ct),
        }
        Done
    }

    fn lookup(&mut self, at: At, op: Op, port: u8, zone: Zone, step: u8) -> Next {
        if step > 0 {
            let exp = self.hand.exp.take().expect("found in the first step");
            self.keep_or_put(port, exp);
            return Done;
        }
        let Some(exp) = self.scene.engine.find_get(at, NET, zone, &tuple(41000, port)) else {
            return self.note(op, "none");
        };
        let found = self.scene.engine.expectation(exp.id()).tuple();
        assert_eq!(found.dport, u16::from(port), "a lookup of another tuple");
        assert!(zone == ZONE, "OwnZone: found from another zone");
        self.hand.exp = Some(exp);
        self.scene.note(op, "found");
        Step
    }

    fn follow(&self, at: At, op: Op, port: u8) -> Next {
        let engine = &self.scene.engine;
        let locked = engine.lock();
        let found = locked.find(at, NET, ZONE, &tuple(41000, port));
        let master = found.map(|exp| engine.expectation(exp).about().master);
        let answer = match master {
            None => "none",
            Some(master) if engine.conns_of(NET).contains(&master) => "in-the-table",
            Some(_) => "on-its-way-out",
        };
        drop(locked);
        self.note(op, answer)
    }

    // ---- helpers -----------------------------------------------------------------------------

    fn announce(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        if step > 0 {
            let exp = self.hand.exp.take().expect("announced in the first step");
            self.keep_or_put(port, exp);
            return Done;
        }
        let engine = Arc::clone(&self.scene.engine);
        let packet = self.scene.packets_in_sections();
        let _section = packet.then(|| engine.rcu().read_lock(at.cpu));
        let Some(exp) = self.made(at, port) else { return self.note(op, "unhelped") };
        match self.scene.relate(at, &exp) {
            Ok(()) => self.scene.note(op, "inserted"),
            Err(error) => self.scene.note(op, error.word()),
        }
        if P::slips(Slip::CreatorReferenceKept) {
            return Done;
        }
        self.hand.exp = Some(exp);
        Step
    }

    /// What the helper makes of a packet, if it is asked.
    fn made(&self, at: At, port: u8) -> Option<ExpectRef> {
        let engine = &self.scene.engine;
        let packet = self.scene.packets_in_sections();
        let me = engine.helper_named("ftp").expect("there is one");
        if packet && engine.helper_stays() && !engine.is_registered(me) {
            return None;
        }
        let exp = {
            let shared = self.scene.master.borrow();
            let master = self.hand.own.as_ref().or(shared.as_ref()).expect("somebody holds it");
            self.scene.alloc(at, master, port)
        };
        if packet && engine.expectation(exp.id()).about().creator.is_none() {
            engine.put(exp);
            return None;
        }
        if packet {
            let text = self.scene.helper_text.get();
            assert!(text == 0, "NothingUnregistered: a helper runs whose text is gone");
        }
        Some(exp)
    }

    /// Two that belong together.
    fn pair(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        match step {
            0 => {
                let packet = self.scene.packets_in_sections();
                let _section = packet.then(|| engine.rcu().read_lock(at.cpu));
                let Some(first) = self.made(at, port) else { return self.note(op, "unhelped") };
                let Some(second) = self.made(at, port + 1) else {
                    engine.put(first);
                    return self.note(op, "unhelped");
                };
                match self.scene.relate_pair(at, &first, &second) {
                    Ok(()) => self.scene.note(op, "inserted"),
                    Err(error) => self.scene.note(op, error),
                }
                (self.hand.exp, self.hand.second) = (Some(first), Some(second));
                Step
            }
            _ => {
                let both = [self.hand.exp.take(), self.hand.second.take()];
                for (port, exp) in (port..).zip(both.into_iter().flatten()) {
                    self.keep_or_put(port, exp);
                }
                Done
            }
        }
    }

    fn own(&mut self, port: u8) -> Option<ExpectRef> {
        let kept = self.hand.kept.remove(&port);
        kept.or_else(|| self.scene.created.borrow_mut().get_mut(&port)?.pop())
    }

    fn unexpect(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        if step == 0 && matches!(op, Op::Unexpect(_)) {
            let Some(exp) = self.own(port) else { return Done };
            if P::slips(Slip::UnexpectWithoutLock) {
                P::forget_next_lock();
            }
            self.scene.engine.unexpect(at, &exp);
            self.hand.exp = Some(exp);
            return Step;
        }
        let exp = self.hand.exp.take().or_else(|| self.own(port));
        exp.into_iter().for_each(|exp| self.scene.engine.put(exp));
        Done
    }

    /// The port was taken on the other side of a NAT: the same object, with the next port.
    fn reuse(&mut self, at: At, op: Op, port: u8, step: u8) -> Next {
        let engine = Arc::clone(&self.scene.engine);
        match step {
            0 => {
                let Some(exp) = self.own(port) else { return Done };
                engine.unexpect(at, &exp);
                self.hand.exp = Some(exp);
                Step
            }
            1 => {
                let exp = self.hand.exp.as_ref().expect("taken back in the first step");
                engine.init(exp, Class::DEFAULT, &Scene::<P>::expected(port + 1));
                let related = self.scene.relate(at, exp);
                self.scene.note(op, related.map_or_else(|error| error.word(), |()| "inserted"));
                Step
            }
            _ => {
                self.hand.exp.take().into_iter().for_each(|exp| engine.put(exp));
                Done
            }
        }
    }

    // ---- the master's end --------------------------------------------------------------------

    fn remove(&self, at: At, op: Op) -> Next {
        let engine = &self.scene.engine;
        if op == Op::Urq && engine.config().revision.urq_lock == UrqLock::NotTaken {
            P::forget_next_lock();
        }
        engine.lock().remove_expectations(at, self.scene.master_id, Cause::MasterGone);
        Done
    }

    fn destroy(&mut self, at: At, step: u8) -> Next {
        let engine = &self.scene.engine;
        if step == 0 {
            let master = self.scene.master.borrow_mut().take().expect("one actor destroys it");
            engine.delete_conn(at, &master, Origin::KERNEL);
            self.hand.master = Some(master);
            return Step;
        }
        self.hand.master.take().into_iter().for_each(|master| engine.put_conn(at, master));
        Done
    }
}

impl<P: Machine> std::fmt::Debug for Actor<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor").field("cpu", &self.cpu).field("at", &self.at).finish()
    }
}
