// SPDX-License-Identifier: GPL-2.0-only
//! A world: one engine, one policy, and a workload played on it.
//!
//! ```text
//!  Happening ──▶ World ──▶ Engine<Up> (the one the tests prove) ──▶ Tape ──▶ Ledger, Measure
//! ```
//!
//! Time goes by jiffies: before anything happens in a jiffy, every timer due until then fires in
//! its own.
//!
//! The rule that matters: the world asks the engine and believes it; what it counts itself is
//! checked against the engine's count at the end.

use std::sync::Arc;

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::MasterCheck;
use nfexp_model::error::RelateError;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::expectation::{Announcement, ExpectId, Expected, Flags};
use nfexp_model::helper::HelperId;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::Expiry;
use nfexp_model::tuple::{Addr, L3, Proto, Tuple};
use nfexp_model::{At, Engine};

use super::cast::{Cast, Kind};
use super::ledger::{Account, Ending, Unbalanced};
use super::measure::{Measure, Owned, Seat};
use super::policy::{Spec, Surroundings};
use super::setup::{SPARE, Setup};
use super::tape::Tape;
use super::walks::Walks;
use super::workload::{Happening, Micros, NEVER, What, Who, jiffy};
use crate::collector::Collector;

/// What is linked in a slot, as the run knows it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    pub(super) kind: u16,
    pub(super) master: u32,
    pub(super) born: Micros,
    pub(super) arrives: Micros,
    pub(super) hit: bool,
    pub(super) told: bool,
    pub(super) seat: Seat,
}

/// A place of a connection that announces.
#[derive(Debug, Default)]
struct Master {
    ct: Option<ConnRef>,
    who: Who,
    /// How many it holds.
    holds: u32,
    /// Its latest useful arrivals, all of one kind.
    found: Owned,
    kind: u16,
}

/// An engine, and all that is counted.
#[derive(Debug)]
pub struct World {
    engine: Engine<Up>,
    kinds: Vec<Kind>,
    hz: u64,
    horizon: Micros,
    start: Jiffies,
    now: Jiffies,
    jiffy: u64,
    /// No timer fires, and 7.2's worker does not come by, before this jiffy.
    quiet_until: u64,
    timers: bool,
    namespaces: u16,
    collector: Collector,
    /// Whether a full table refuses whoever holds nothing: nothing but the kernel's own choice,
    /// and timers, so that what is over is gone (7.2 has none, and collects it then).
    full_refuses: bool,
    /// Up to which jiffy its wheel was turned.
    turned: u64,
    masters: Vec<Master>,
    live: Vec<Live>,
    linked: u32,
    /// How many expectations wait to be freed, at most.
    waiting: u32,
    tape: Arc<Tape>,
    accounts: Vec<Account>,
    measure: Measure,
    walks: Option<Walks>,
}

/// What a run answers.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By kind.
    pub accounts: Vec<Account>,
    /// Over time, and all else that was measured.
    pub measure: Measure,
    /// How many nodes were walked under the lock, if that was asked for.
    pub walks: Option<Walks>,
}

impl World {
    /// A world at boot.
    ///
    /// # Errors
    /// If the engine finds no memory.
    pub fn new(cast: &Cast, policy: &Spec, setup: &Setup) -> Result<Self, String> {
        let cast = match policy.class_limits {
            true => cast.clone(),
            false => cast.clone().without_class_limits(),
        };
        let config = setup.config(&cast);
        let expectations = config.expectations;
        let tape = Tape::new(expectations + 64);
        let worth = |kind: &Kind| ((kind.helper, kind.class.number()), kind.worth);
        let surroundings = Surroundings {
            hz: setup.hz,
            seed: setup.seed,
            replication: setup.replication,
            worth: cast.kinds.iter().map(worth).filter(|(_, worth)| *worth != 1).collect(),
        };
        let eviction = policy.build(&surroundings, Arc::clone(&tape));
        let walks = setup.recording.walks.then(|| Walks::new(&config));
        let timers = config.revision.expiry == Expiry::Timer;
        let full_refuses = timers && !eviction.decides();
        let engine =
            Engine::with_eviction(config, Some(eviction)).map_err(|error| error.to_string())?;
        for net in 1..cast.namespaces {
            engine.pernet_init(NetId(net)).map_err(|error| error.to_string())?;
        }
        let start = Jiffies::initial(setup.hz);
        let collector = Collector::new(engine.config(), start);
        Ok(Self {
            engine,
            hz: u64::from(setup.hz),
            horizon: setup.horizon,
            start,
            now: start,
            jiffy: 0,
            quiet_until: if timers { u64::MAX } else { next_scan(&collector, start, start) },
            timers,
            namespaces: cast.namespaces,
            collector,
            full_refuses,
            turned: 0,
            masters: Vec::new(),
            live: vec![Live::default(); expectations as usize + 1],
            linked: 0,
            waiting: 0,
            tape,
            accounts: vec![Account::default(); cast.kinds.len()],
            measure: Measure::new(&cast, setup),
            walks,
            kinds: cast.kinds,
        })
    }

    /// Plays all of a workload.
    ///
    /// # Errors
    /// If memory runs out or the ledger does not balance.
    pub fn run(mut self, workload: impl Iterator<Item = Happening>) -> Result<Outcome, String> {
        for happening in workload {
            self.play(&happening)?;
        }
        self.finish().map_err(|unbalanced| unbalanced.to_string())
    }

    /// Plays one happening.
    ///
    /// # Errors
    /// If memory for a master runs out.
    #[inline(always)]
    pub fn play(&mut self, happening: &Happening) -> Result<(), String> {
        let Happening { at, what } = *happening;
        // Without asking whether that is a later one: who knows is wrong half of the time.
        self.advance(jiffy(at, self.hz));
        match what {
            What::Announce { master, kind, key, arrives } => {
                self.announce(at, master, kind, key, arrives);
            }
            What::Arrive { master, kind, key, useful } => {
                self.arrive(at, master, kind, key, useful)
            }
            What::Withdraw { master, kind, key } => self.withdraw(at, master, kind, key),
            What::Open { master, who } => return self.open(master, who),
            What::Close { master } => self.close(at, master),
        }
        Ok(())
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// Lets time pass until `jiffy`: timers fire in their own.
    #[inline]
    fn advance(&mut self, jiffy: u64) {
        while self.quiet_until <= jiffy {
            self.expire_next(jiffy);
        }
        self.jiffy = jiffy;
        self.now = self.start.after(Ticks(jiffy));
    }

    fn expire_next(&mut self, until: u64) {
        if self.collector.collects() {
            self.collect();
            return;
        }
        let Some(due) = self.engine.next_expiry() else {
            self.quiet_until = u64::MAX;
            return;
        };
        let due_jiffy = due.ticks_from(self.start).max(0) as u64;
        self.quiet_until = due_jiffy;
        if due_jiffy > until {
            return;
        }
        if due_jiffy > self.jiffy {
            self.jiffy = due_jiffy;
            self.now = due;
        }
        if !self.fire() {
            // A cascade without a timer: the next question is about the next jiffy.
            self.quiet_until = self.jiffy + 1;
        }
    }

    /// 7.2's worker comes by.
    fn collect(&mut self) {
        self.jiffy = self.quiet_until;
        self.now = self.start.after(Ticks(self.jiffy));
        self.quiet_until = next_scan(&self.collector, self.start, self.now);
        for net in 0..self.namespaces {
            Collector::scan(&self.engine, self.at(), NetId(net));
        }
        self.settle(self.jiffy * 1_000_000 / self.hz);
    }

    /// Fires what is due now; whether there was anything. The wheel's clock comes along, so that
    /// what is added next is filed from here.
    fn fire(&mut self) -> bool {
        let mut fired = false;
        while let Some(firing) = self.engine.expire(self.now) {
            self.engine.timed_out(self.at(), firing);
            fired = true;
        }
        if fired {
            self.settle(self.jiffy * 1_000_000 / self.hz);
        }
        fired
    }

    /// The wheel's clock follows when something is about to be filed: by then nothing is due.
    #[inline]
    fn turn_wheel(&mut self) {
        if self.timers && self.turned != self.jiffy {
            self.turned = self.jiffy;
            if !self.engine.forward_timers(self.now) {
                self.fire();
            }
        }
    }

    fn open(&mut self, master: u32, who: Who) -> Result<(), String> {
        let place = master as usize;
        if place >= self.masters.len() {
            self.masters.resize_with(place + 1, Master::default);
        }
        let kind = &self.kinds[usize::from(who.kind)];
        let original = Tuple {
            src: address(10, u32::from(who.kind) << 20 ^ who.source),
            dst: address(172, master),
            sport: (master & 0x7fff) as u16 | 0x8000,
            dport: 5060,
            l3: L3::Ipv4,
            proto: Proto::TCP,
        };
        let reply = original.inverse().expect("tcp answers");
        let (net, zone) = (NetId(who.net), Zone(who.zone));
        let ct = self.engine.alloc_conn(net, zone, original, reply);
        let ct = ct.map_err(|error| format!("{error}: more masters at once than foreseen"))?;
        let helper = HelperId::at(kind.helper);
        self.engine.attach(&ct, helper).map_err(|error| error.to_string())?;
        self.engine.confirm(self.at(), &ct, Origin::KERNEL);
        self.enter_found(place);
        let master = &mut self.masters[place];
        (master.ct, master.who) = (Some(ct), who);
        Ok(())
    }

    /// Enters what useful arrivals at a master came to, for those to whom they belong.
    fn enter_found(&mut self, place: usize) {
        let Master { who, found, kind, .. } = &mut self.masters[place];
        self.measure.belongs(*kind, who, std::mem::take(found));
    }

    fn close(&mut self, at: Micros, master: u32) {
        if let Some(ct) = self.masters[master as usize].ct.take() {
            self.engine.delete_conn(self.at(), &ct, Origin::KERNEL);
            self.engine.put_conn(self.at(), ct);
            self.settle(at);
        }
    }

    #[inline(always)]
    fn announce(&mut self, at: Micros, master: u32, kind: u16, key: u64, arrives: Micros) {
        let Master { who, holds, .. } = self.masters[master as usize];
        let full = self.engine.expect_count(NetId(who.net)) >= self.engine.config().expect_max;
        // Who holds nothing has nothing that could go: it will not be filed.
        let hopeless = full && holds == 0 && self.full_refuses;
        if !hopeless {
            self.turn_wheel();
        }
        let now = self.at();
        let Self { engine, kinds, masters, .. } = self;
        let Master { ct, .. } = &masters[master as usize];
        let spec = &kinds[usize::from(kind)];
        let account = &mut self.accounts[usize::from(kind)];
        account.announced += 1;
        account.sought += u64::from(arrives <= self.horizon);
        self.measure.announced(at, kind);
        let seat = Seat::of(full & !spec.hostile & (arrives <= self.horizon), holds > 0);
        self.measure.seeks(seat);
        let expected = Expected {
            l3: L3::Ipv4,
            saddr: (!spec.wide).then(|| address(10, u32::from(who.kind) << 20 ^ who.source)),
            daddr: address(11, (key >> 16) as u32),
            proto: spec.proto,
            sport: None,
            dport: key as u16,
        };
        let (tuple, mask) = expected.tuple_and_mask();
        let flags = if spec.permanent { Flags::PERMANENT } else { Flags::NONE };
        let said = Announcement { class: spec.class, tuple, mask, flags, expires: None };
        let by = (Origin::KERNEL, MasterCheck::Own);
        if let (Some(walks), Some(_)) = (&mut self.walks, ct) {
            walks.check(NetId(who.net), &tuple);
        }
        // Without memory, as without a master: there is nobody to help.
        let related = ct.as_ref().and_then(|ct| engine.announce(now, ct.id(), &said, by).ok());
        let related = related.unwrap_or(Err(RelateError::NoHelper));
        if related.is_err() {
            // Nobody else ever held it, if there was any.
            self.frees(1);
        }
        self.settle(at);
        match related {
            Ok(id) => {
                assert!(!hopeless, "a full table took in whom nobody made room for");
                self.measure.clock(at, self.linked);
                let told = self.measure.inserted(at, who.net, arrives != NEVER);
                self.live[id.index() as usize] =
                    Live { kind, master, born: at, arrives, hit: false, told, seat };
                self.linked += 1;
                self.masters[master as usize].holds += 1;
                if let Some(walks) = &mut self.walks {
                    walks.insert(NetId(who.net), &tuple, master, id.index());
                }
                if self.timers {
                    let (expires, _) = self.engine.timer(id);
                    let expires = expires.ticks_from(self.start).max(0) as u64;
                    self.quiet_until = self.quiet_until.min(expires);
                }
            }
            Err(error) => {
                let ending = match error {
                    RelateError::NoHelper => Ending::NoHelp,
                    RelateError::Clash | RelateError::AlreadyExpected => Ending::RefusedByClash,
                    RelateError::ClassFull => Ending::RefusedByClass,
                    RelateError::TableFull => Ending::RefusedByTable,
                    RelateError::NotAdmitted => Ending::NotAdmitted,
                };
                self.measure.loses(seat);
                self.refused(at, kind, arrives, ending);
            }
        }
    }

    #[inline(always)]
    fn refused(&mut self, at: Micros, kind: u16, arrives: Micros, ending: Ending) {
        let account = &mut self.accounts[usize::from(kind)];
        account.ended[ending as usize] += 1;
        account.lost[ending as usize] += u64::from(arrives <= self.horizon);
        self.measure.refused(at);
    }

    #[inline(always)]
    fn arrive(&mut self, at: Micros, master: u32, kind: u16, key: u64, useful: bool) {
        let who = self.masters[master as usize].who;
        let spec = &self.kinds[usize::from(kind)];
        let tuple = Tuple {
            src: address(10, u32::from(who.kind) << 20 ^ who.source),
            dst: address(11, (key >> 16) as u32),
            sport: 40000,
            dport: key as u16,
            l3: L3::Ipv4,
            proto: spec.proto,
        };
        let (net, zone, now) = (NetId(who.net), Zone(who.zone), self.at());
        if let Some(walks) = &mut self.walks {
            walks.lookup(net, &tuple);
        }
        let matched = self.engine.lock().find_expectation(now, net, zone, &tuple, true);
        let hit = matched.is_some();
        if let Some(matched) = matched {
            let slot = matched.exp.id().index();
            self.live[slot as usize].hit = true;
            self.engine.put(matched.exp);
            if let MasterHold::Counted(ct) = matched.master {
                self.engine.put_conn(now, ct);
            }
            if spec.permanent {
                self.tape.touch(slot);
            }
        }
        if useful {
            self.measure.useful(at, kind, hit);
            if self.masters[master as usize].kind != kind {
                self.enter_found(master as usize);
            }
            let master = &mut self.masters[master as usize];
            master.kind = kind;
            master.found.count(hit);
        } else if hit {
            self.accounts[usize::from(kind)].late += 1;
        }
        self.settle(at);
    }

    /// An announcement is taken back, if it still stands.
    fn withdraw(&mut self, at: Micros, master: u32, kind: u16, key: u64) {
        let Some(ct) = &self.masters[master as usize].ct else { return };
        let stands = |id: &ExpectId| {
            let tuple = self.engine.expectation(*id).tuple();
            self.live[id.index() as usize].kind == kind
                && (tuple.dst, tuple.dport) == (address(11, (key >> 16) as u32), key as u16)
        };
        let found = self.engine.expectations_of(ct.id()).into_iter().find(stands);
        if let Some(id) = found {
            let (at, cause) = (self.at(), Cause::Unexpect);
            self.engine.lock().remove(at, id.index(), Origin::KERNEL, cause);
        }
        self.settle(at);
    }

    /// Enters what ended.
    #[inline(always)]
    fn settle(&mut self, at: Micros) {
        let endings = self.tape.take();
        if endings > 0 {
            self.enter(at, endings);
        }
    }

    #[inline(never)]
    fn enter(&mut self, at: Micros, endings: u32) {
        self.frees(endings);
        for entry in 0..endings {
            let (slot, ending) = self.tape.ended(entry);
            self.ended(at, slot, ending);
        }
    }

    /// So many expectations wait for their readers, of whom there are none: many are freed at
    /// once, before the room is gone that [`Setup`] leaves beside the table.
    #[inline(always)]
    fn frees(&mut self, more: u32) {
        self.waiting += more;
        if self.waiting >= SPARE / 2 {
            self.waiting = 0;
            self.engine.run_rcu_callbacks();
        }
    }

    fn ended(&mut self, at: Micros, slot: u32, ending: Ending) {
        let live = self.live[slot as usize];
        self.measure.clock(at, self.linked);
        self.linked -= 1;
        self.masters[live.master as usize].holds -= 1;
        let account = &mut self.accounts[usize::from(live.kind)];
        account.ended[ending as usize] += 1;
        let lost = (ending != Ending::Match) & !live.hit & (live.arrives <= self.horizon);
        account.lost[ending as usize] += u64::from(lost);
        self.measure.loses(if lost { live.seat } else { Seat::FREE });
        let net = self.masters[live.master as usize].who.net;
        self.measure.ended(at, net, &live, ending);
        if let Some(walks) = &mut self.walks {
            if ending == Ending::EvictedByClass {
                walks.evict_oldest(live.master);
            }
            walks.remove(slot);
        }
    }

    fn finish(mut self) -> Result<Outcome, Unbalanced> {
        let end = jiffy(self.horizon, self.hz);
        if end > self.jiffy {
            self.advance(end);
        }
        self.measure.clock(self.horizon, self.linked);
        let counted: u32 =
            (0..self.engine.config().netns).map(|net| self.engine.expect_count(NetId(net))).sum();
        if counted != self.linked {
            let (said, found) = (u64::from(counted), u64::from(self.linked));
            return Err(Unbalanced { what: "linked in the engine", said, found });
        }
        for net in 0..self.engine.config().netns {
            for master in self.engine.conns_of(NetId(net)) {
                for id in self.engine.expectations_of(master) {
                    let live = self.live[id.index() as usize];
                    self.accounts[usize::from(live.kind)].ended[Ending::Horizon as usize] += 1;
                    self.measure.ended(self.horizon, net, &live, Ending::Horizon);
                }
            }
        }
        (0..self.masters.len()).for_each(|place| self.enter_found(place));
        let sums = self.measure.sum_up();
        for ((account, kind), sum) in self.accounts.iter_mut().zip(&self.kinds).zip(sums) {
            (account.useful, account.hits) = sum;
            account.balance(!kind.permanent)?;
        }
        Ok(Outcome { accounts: self.accounts, measure: self.measure, walks: self.walks })
    }
}

/// An address of a network of ours, by number.
#[inline]
/// The jiffy in which 7.2's worker comes by next.
fn next_scan(collector: &Collector, start: Jiffies, now: Jiffies) -> u64 {
    collector.next(now.after(Ticks(1))).ticks_from(start).max(0).cast_unsigned()
}

fn address(network: u32, number: u32) -> Addr {
    Addr::v4(((network << 24) ^ number).to_be_bytes())
}
