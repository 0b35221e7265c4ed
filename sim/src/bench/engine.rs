// SPDX-License-Identifier: GPL-2.0-only
//! The engine as a contender: nothing but its public face, as the simulator uses it.

use std::borrow::Cow;

use nfexp_model::ahead::{Ahead, Coming};
use nfexp_model::conn::{ConnId, ConnRef, Status};
use nfexp_model::engine::{At, Config, Engine, MasterCheck};
use nfexp_model::event::{Cause, Origin};
use nfexp_model::expectation::{Announcement, ExpectId, Flags};
use nfexp_model::fingerprint::Held;
use nfexp_model::helper::{Class, ExpectPolicy, Helper, IN_TREE, MAX_CLASSES};
use nfexp_model::kernel::{Cpu, Jiffies, Ticks, Up};
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Tuple;

use super::deed::{Contender, Deed, Deeds, Kind, Table, expired, listed, run_on};

/// How many deeds may pass before the RCU softirq runs.
const RCU_BATCH: u32 = 32;

/// The engine, its masters and its clock.
#[derive(Debug)]
pub struct EngineContender {
    engine: Engine<Up>,
    /// Held until the end.
    masters: Vec<ConnRef>,
    now: Jiffies,
    deeds: u32,
}

impl EngineContender {
    /// A table of confirmed masters that expect nothing yet.
    ///
    /// # Panics
    /// If the table is larger than an engine can be.
    #[must_use]
    pub fn new(table: Table) -> Self {
        // Policies are static in the kernel, so they are here; a few bytes a run.
        let policy = ExpectPolicy {
            max_expected: table.max_expected,
            timeout_secs: table.lifetime,
            name: "",
        };
        let policies: &'static [ExpectPolicy] = Box::leak(Box::new([policy; MAX_CLASSES]));
        Self::with(Config {
            revision: Revision::LINUX_3_9,
            hz: 1,
            hash_size: table.buckets,
            expect_max: table.room,
            expectations: table.room + 2 * RCU_BATCH,
            conns: table.masters,
            cpus: 1,
            events: false,
            helpers: Cow::Owned(vec![Helper { policies, ..IN_TREE[0] }]),
            ..Config::SMALL
        })
    }

    fn with(config: Config) -> Self {
        let masters = config.conns;
        let engine = Engine::<Up>::new(config).expect("nothing makes an allocation fail");
        let masters = (0..masters)
            .map(|_| {
                let ct = engine.alloc_conn(NetId::INIT, Zone(0), Tuple::NONE, Tuple::NONE);
                let ct = ct.expect("there is memory for every master");
                engine.attach(&ct, engine.helper_named("ftp")).expect("there is memory");
                engine.set_status(&ct, Status::CONFIRMED);
                ct
            })
            .collect();
        Self { engine, masters, now: Jiffies::initial(1), deeds: 0 }
    }

    /// A copy that goes its own way.
    ///
    /// # Panics
    /// Never: the kernel's own eviction sits in it.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let engine = self.engine.snapshot().expect("the kernel's own eviction");
        let masters = self.masters.iter().map(ConnRef::again).collect();
        Self { engine, masters, ..*self }
    }

    /// The number of the situation it is in; the masters are nobody's but its own.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.engine.fingerprint(0, &Held { now: self.now, ..Held::default() })
    }

    /// As it was at first.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::with(self.engine.config().clone())
    }

    /// Bytes per linked expectation: of its record, the index and the timers.
    #[must_use]
    pub fn bytes_each(&self) -> [f64; 3] {
        let live = self.engine.expect_count(NetId::INIT).max(1);
        self.engine.bytes().map(|bytes| bytes as f64 / f64::from(live))
    }

    fn at(&self) -> At {
        At { cpu: Cpu(0), now: self.now }
    }

    #[inline]
    fn softirq(&mut self) {
        self.deeds += 1;
        if self.deeds == RCU_BATCH {
            self.deeds = 0;
            self.engine.run_rcu_callbacks();
        }
    }

    fn master_of(&self, id: ExpectId) -> u64 {
        // Connections are never freed here, so their slots are the masters' numbers plus one.
        u64::from(self.engine.expectation(id).about().master.index())
    }
}

/// A master by its number, as the kernel's layout has its address by it: never freed, so in its
/// first life, and slot 0 does not exist.
#[inline]
fn id_of(master: u32) -> ConnId {
    ConnId::new(master + 1, 1)
}

#[inline]
fn class_of(deed: Deed) -> Class {
    Class::ALL[usize::from(deed.class) % MAX_CLASSES]
}

impl Deeds for EngineContender {
    fn insert(&mut self, deed: Deed) -> u64 {
        let at = self.at();
        let (tuple, mask) = deed.expected();
        let flags = if deed.inactive { Flags::INACTIVE } else { Flags::NONE };
        let said = Announcement { class: class_of(deed), tuple, mask, flags, expires: None };
        let how = (Origin::KERNEL, MasterCheck::Own);
        let answer = self.engine.announce(at, id_of(deed.master), &said, how);
        self.softirq();
        let answer = answer.expect("there is memory");
        answer.map_or_else(|error| u64::from(error.errno().unsigned_abs()), |_| 0)
    }

    fn match_one(&mut self, deed: Deed) -> u64 {
        let (at, tuple) = (self.at(), deed.tuple());
        let mut locked = self.engine.lock();
        let found = locked.find_expectation(at, NetId::INIT, Zone(0), &tuple, true);
        drop(locked);
        let Some(found) = found else { return 0 };
        let master = match &found.master {
            MasterHold::Borrowed(master) => *master,
            MasterHold::Counted(master) => master.id(),
        };
        self.engine.put(found.exp);
        self.softirq();
        u64::from(master.index())
    }

    fn lookup(&mut self, deed: Deed) -> u64 {
        let found = self.engine.find_get(self.at(), NetId::INIT, Zone(0), &deed.tuple());
        let Some(exp) = found else { return 0 };
        let master = self.master_of(exp.id());
        self.engine.put(exp);
        master
    }

    fn advance(&mut self, ticks: u32) -> u64 {
        self.now = self.now.after(Ticks(u64::from(ticks)));
        let (at, mut sum) = (self.at(), 0_u64);
        while let Some(firing) = self.engine.expire(self.now) {
            let index = firing.expectation().expect("only expectations have timers here");
            let exp = self.engine.memory().expectations.at(index);
            let master = exp.about().master.index() - 1;
            sum = sum.wrapping_add(expired(master, exp.tuple().dport));
            self.engine.timed_out(at, firing);
            self.softirq();
        }
        sum
    }

    fn destroy(&mut self, master: u32) -> u64 {
        let mut locked = self.engine.lock();
        self.deeds += locked.remove_expectations(self.at(), id_of(master), Cause::MasterGone);
        drop(locked);
        if self.deeds >= RCU_BATCH {
            self.deeds = 0;
            self.engine.run_rcu_callbacks();
        }
        0
    }

    fn list(&mut self) -> u64 {
        let (mut sum, mut place) = (0_u64, 0);
        self.engine.for_each_listed(NetId::INIT, |exp| {
            let master = exp.about().master.index() - 1;
            sum = sum.wrapping_add(listed(place, master, exp.tuple().dport));
            place += 1;
        });
        sum
    }

    fn live(&self) -> u64 {
        u64::from(self.engine.expect_count(NetId::INIT))
    }
}

/// The engine, told of the next deeds before it does them.
#[derive(Debug)]
pub struct AheadContender {
    contender: EngineContender,
    ahead: Ahead,
}

impl AheadContender {
    /// As [`EngineContender::new`].
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { contender: EngineContender::new(table), ahead: Ahead::new(NetId::INIT) }
    }

    #[inline(always)]
    fn tell(&mut self, deeds: &[Deed]) {
        let coming = deeds.iter().filter_map(|deed| {
            let master = id_of(deed.master);
            match deed.kind {
                Kind::Insert => Some(Coming::Announce(deed.expected().0, master, class_of(*deed))),
                Kind::Match => Some(Coming::Match(deed.tuple())),
                Kind::Lookup => Some(Coming::Lookup(deed.tuple())),
                Kind::Destroy => Some(Coming::End(master)),
                Kind::Advance | Kind::List => None,
            }
        });
        self.contender.engine.look_ahead(&mut self.ahead, coming);
    }
}

impl Contender for AheadContender {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let mut coming = deeds.chunks(Ahead::BATCH);
        (0..2).for_each(|_| self.tell(coming.next().unwrap_or_default()));
        deeds.chunks(Ahead::BATCH).fold(0, |sum, deeds| {
            self.tell(coming.next().unwrap_or_default());
            run_on(&mut self.contender, sum, deeds)
        })
    }

    fn live(&self) -> u64 {
        Deeds::live(&self.contender)
    }
}
