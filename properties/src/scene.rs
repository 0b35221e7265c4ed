// SPDX-License-Identifier: GPL-2.0-only
//! The world of one execution: an engine, a master, what is linked, and what was answered.
//!
//! ```text
//!   setup ─▶ actors act, step by step ─▶ audit ─▶ everything given back ─▶ leaks?
//! ```
//!
//! The rule that matters: a scene runs on any [`Machine`], under loom and on one thread alike,
//! so that what is compared between them differs in nothing but who decides the order.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use nfexp_model::audit::Violation;
use nfexp_model::conn::{ConnId, ConnRef};
use nfexp_model::engine::{At, MasterCheck};
use nfexp_model::errno::Errno;
use nfexp_model::error::RelateError;
use nfexp_model::event::{ExpectFn, Origin};
use nfexp_model::expectation::{ExpectRef, Expected, Flags};
use nfexp_model::helper::{Class, ExpectPolicy, Helper, HelperId};
use nfexp_model::kernel::hlist::DstHash;
use nfexp_model::kernel::{Plain, Platform};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::slip::Slip;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_model::watch::{Counting, Watch};
use nfexp_model::{Config, Engine};

use crate::op::Op;
use crate::scenario::Scenario;

/// A platform on which scenes run.
pub trait Machine: Platform {
    /// What follows a `synchronize_rcu()`.
    fn after_grace_period(rcu: &Self::Rcu, work: Box<dyn FnOnce()>);
    /// The next lock this CPU takes, it does not take.
    fn forget_next_lock();
    /// The lifetimes that are written now are those of what readers may reach (`WRITE_ONCE()`).
    fn changes_lifetime(changes: bool);
}

/// The namespace of all scenes.
pub const NET: NetId = NetId::INIT;
/// Their zone.
pub const ZONE: Zone = Zone(0);

/// The world of one execution.
pub struct Scene<P: Machine> {
    /// The engine.
    pub engine: Arc<Engine<P>>,
    /// What is played.
    pub scenario: Rc<Scenario>,
    /// The scene's own reference to the master, until an actor ends it.
    pub master: RefCell<Option<ConnRef>>,
    /// Who it is.
    pub master_id: ConnId,
    /// References to the master that actors hold by themselves, by CPU.
    pub dealt: RefCell<BTreeMap<u8, ConnRef>>,
    /// References to expectations that actors begin with, by port.
    pub created: RefCell<BTreeMap<u8, Vec<ExpectRef>>>,
    /// References that nobody gives back before the end.
    held: RefCell<Vec<ExpectRef>>,
    /// Announced connections that last.
    pub children: RefCell<Vec<ConnRef>>,
    /// The helper that was unregistered.
    pub gone: RefCell<Option<HelperId>>,
    /// The text of the expectations' function: written when its module goes.
    pub text: Arc<P::Plain<u32>>,
    /// The text of the helper: another module's, written when that one goes.
    pub helper_text: Arc<P::Plain<u32>>,
    notes: RefCell<Vec<String>>,
    told: RefCell<Watch>,
}

/// A tuple that comes from anywhere to the port.
#[must_use]
pub fn tuple(sport: u16, dport: u8) -> Tuple {
    let dport = u16::from(dport);
    Tuple { sport, dport, l3: L3::Ipv4, proto: Proto::TCP, ..Tuple::NONE }
}

/// The engine's configuration for a scenario.
#[must_use]
pub fn config(scenario: &Scenario) -> Config {
    static ROOMY: &[ExpectPolicy] =
        &[ExpectPolicy { max_expected: 8, timeout_secs: 300, name: "" }];
    static TIGHT: [&[ExpectPolicy]; 2] = [
        &[ExpectPolicy { max_expected: 1, timeout_secs: 300, name: "" }],
        &[ExpectPolicy { max_expected: 2, timeout_secs: 300, name: "" }],
    ];
    let linked = scenario.linked();
    let policies = match scenario.variant.one {
        true => TIGHT[usize::from(linked > 1)],
        false => ROOMY,
    };
    let (l3, proto) = (&[L3::Ipv4][..], &[Proto::TCP][..]);
    let ftp = Helper { name: "ftp", l3, proto, port: 21, policies };
    // What stands in the memory of a connection that is gone: whoever reads it shows.
    let helpers = Cow::Owned(vec![ftp, Helper { name: "another", port: 22, ..ftp }]);
    let announced: u8 = scenario.ops().map(Op::announces).sum();
    let connected = scenario.ops().filter(|op| matches!(op, Op::Connect(_) | Op::Child(_))).count();
    Config {
        revision: scenario.revision,
        hash_size: buckets(scenario),
        expectations: u32::from(linked + announced),
        conns: 1 + connected as u32,
        cpus: scenario.cpus.len().max(1) as u8,
        expect_max: if scenario.variant.full { u32::from(linked) } else { 64 },
        events: scenario.variant.told,
        helpers,
        ..Config::SMALL
    }
}

/// One bucket, so that everything meets; where an object is announced again with the next port,
/// as few as part the two ports.
fn buckets(scenario: &Scenario) -> u32 {
    let Some(port) = scenario.ops().find(|op| matches!(op, Op::Reuse(_))).and_then(|op| op.port())
    else {
        return 1;
    };
    let apart = |buckets: &u32| {
        let hash = DstHash {
            kind: scenario.revision.hash,
            seed: Config::SMALL.hash_seed,
            buckets: *buckets,
        };
        hash.bucket(NET, &tuple(0, port)) != hash.bucket(NET, &tuple(0, port + 1))
    };
    (2..64).find(apart).unwrap_or(64)
}

/// What was found violated ends the execution.
fn held(found: Result<(), Violation>) {
    found.unwrap_or_else(|violation| panic!("{violation}"));
}

impl<P: Machine> Scene<P> {
    /// The world at the start; `look` sees the engine before anything is in it.
    #[must_use]
    pub fn begin(
        scenario: Rc<Scenario>,
        config: Config,
        look: impl FnOnce(&Engine<P>),
    ) -> Rc<Self> {
        let engine = Engine::<P>::new(config).expect("there is memory");
        look(&engine);
        let (control, reply) = (tuple(40000, 21), tuple(21, 250));
        let ct = engine.alloc_conn(NET, ZONE, control, reply).expect("there is memory");
        engine.attach(&ct, engine.helper_named("ftp")).expect("there is memory");
        assert!(engine.confirm(At::default(), &ct, Origin::KERNEL), "the table is empty");
        let scene = Self {
            engine: Arc::new(engine),
            master_id: ct.id(),
            master: RefCell::new(Some(ct)),
            dealt: RefCell::default(),
            created: RefCell::default(),
            held: RefCell::default(),
            children: RefCell::default(),
            gone: RefCell::default(),
            text: Arc::new(<P::Plain<u32> as Plain<u32>>::new(0)),
            helper_text: Arc::new(<P::Plain<u32> as Plain<u32>>::new(0)),
            notes: RefCell::default(),
            told: RefCell::default(),
            scenario,
        };
        scene.link();
        scene.deal();
        Rc::new(scene)
    }

    fn link(&self) {
        let variant = self.scenario.variant;
        for port in 1..=self.scenario.linked() {
            let flags = if variant.permanent { Flags::PERMANENT } else { Flags::NONE };
            let master = self.master.borrow();
            let exp = self.alloc(At::default(), master.as_ref().expect("it lives"), port);
            self.engine.set_flags(&exp, flags);
            let related =
                self.engine.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own);
            related.expect("there is room");
            let begun = |op: &Op| matches!(op, Op::Unexpect(at) | Op::Reuse(at) | Op::Put(at) if *at == port);
            let wanted = self.scenario.ops().filter(begun).count();
            for _ in 1..wanted {
                let more = self.engine.find_get(At::default(), NET, ZONE, &tuple(41000, port));
                self.created.borrow_mut().entry(port).or_default().extend(more);
            }
            if variant.held {
                let more = self.engine.find_get(At::default(), NET, ZONE, &tuple(41000, port));
                self.held.borrow_mut().extend(more);
            }
            match wanted {
                0 => self.engine.put(exp),
                _ => self.created.borrow_mut().entry(port).or_default().push(exp),
            }
        }
        self.hear();
    }

    /// Gives those a reference to the master who need it, where somebody ends the master.
    fn deal(&self) {
        if !self.scenario.ops().any(Op::ends_master) {
            return;
        }
        let needs = |op: &Op| {
            op.announces() > 0 || matches!(op, Op::Reuse(_) | Op::Remove | Op::Urq | Op::Dump(_))
        };
        for (cpu, ops) in self.scenario.cpus.iter().enumerate() {
            if ops.iter().any(needs) {
                let master = self.master.borrow();
                let own = self.engine.get_conn(master.as_ref().expect("it lives"));
                self.dealt.borrow_mut().insert(cpu as u8, own);
            }
        }
    }

    /// Whether packets are told from what waits for them: they are in a read-side section all along.
    #[must_use]
    pub fn packets_in_sections(&self) -> bool {
        let waits = |op| matches!(op, Op::Unregister | Op::Rmmod);
        self.scenario.variant.function || self.scenario.ops().any(waits)
    }

    /// Writes down what an operation was answered.
    pub fn note(&self, op: Op, answer: impl std::fmt::Display) {
        self.notes.borrow_mut().push(format!("{op}:{answer}"));
    }

    /// A fresh expectation of the port.
    pub fn alloc(&self, at: At, master: &ConnRef, port: u8) -> ExpectRef {
        let exp = self.engine.alloc(at, master).expect("there is memory");
        self.engine.init(&exp, Class::DEFAULT, &Self::expected(port));
        // A module that goes takes its hooks back first.
        if self.scenario.variant.function && self.engine.is_callable(ExpectFn::Sip) {
            self.engine.set_expectfn(&exp, Some(ExpectFn::Sip));
        }
        exp
    }

    /// What an expectation of the port expects.
    #[must_use]
    pub fn expected(port: u8) -> Expected {
        let (l3, proto, dport) = (L3::Ipv4, Proto::TCP, u16::from(port));
        Expected { l3, saddr: None, daddr: Tuple::NONE.dst, proto, sport: None, dport }
    }

    /// Announces; a refusal for want of room is one only if there is none.
    pub fn relate(&self, at: At, exp: &ExpectRef) -> Result<(), RelateError> {
        let related = self.engine.related(at, exp, Origin::KERNEL, MasterCheck::Own);
        if related == Err(RelateError::ClassFull) {
            panic!("RefusedOnlyIfFull: refused, though the oldest of the class is on its way out");
        }
        let roomy = !self.scenario.variant.full;
        assert!(!(roomy && related == Err(RelateError::TableFull)), "RefusedOnlyIfFull: by far");
        related
    }

    /// Announces two that belong together; there is room.
    pub fn relate_pair(&self, at: At, first: &ExpectRef, second: &ExpectRef) -> Result<(), Errno> {
        let how = (Origin::KERNEL, MasterCheck::Own);
        let related = self.engine.related_pair(at, first, second, how);
        assert!(related != Err(Errno::TooMany), "RefusedOnlyIfFull: a pair, by far");
        related
    }

    /// Checks what is left, gives everything back, and says how it went.
    ///
    /// `settle` waits for all there is to wait for.
    pub fn end(&self, settle: impl Fn()) -> String {
        let at = At::default();
        self.hear();
        let alive = self.engine.has_net(NET);
        if alive {
            held(self.engine.audit().map(drop));
            // What its helper announced when that had gone is what nobody swept.
            if let Some(gone) = *self.gone.borrow() {
                let locked = self.engine.lock();
                held(locked.audit_unregistered(at, NET, gone, Counting::Linked));
            }
            let mut linked = Vec::new();
            for port in 1..=self.scenario.ports() {
                let locked = self.engine.lock();
                if locked.find(at, NET, ZONE, &tuple(41000, port)).is_some() {
                    linked.push(port.to_string());
                }
            }
            let count = self.engine.expect_count(NET);
            self.notes.borrow_mut().push(format!("linked:{count}:{}", linked.join(",")));
        }
        self.give_back(at);
        settle();
        self.hear();
        let memory = self.engine.memory();
        let left = (memory.expectations.live(), memory.conns.live());
        assert!(left == (0, 0), "NothingLeaks: {} expectations, {} connections", left.0, left.1);
        if self.scenario.variant.told {
            held(self.told.borrow().all_over());
        }
        let mut notes = self.notes.take();
        notes.sort();
        notes.join(" ")
    }

    fn hear(&self) {
        while let Some(event) = self.engine.poll_event() {
            held(self.told.borrow_mut().hear(&event));
        }
    }

    fn give_back(&self, at: At) {
        self.held.take().into_iter().for_each(|exp| self.engine.put(exp));
        self.created.take().into_values().flatten().for_each(|exp| self.engine.put(exp));
        self.children.take().into_iter().for_each(|child| self.engine.put_conn(at, child));
        if let Some(master) = self.master.take() {
            self.engine.delete_conn(at, &master, Origin::KERNEL);
            self.engine.put_conn(at, master);
        }
    }

    /// Whether this world slips here.
    #[must_use]
    pub fn slips(slip: Slip) -> bool {
        P::slips(slip)
    }
}

impl<P: Machine> std::fmt::Debug for Scene<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scene").field("scenario", &self.scenario).finish_non_exhaustive()
    }
}
