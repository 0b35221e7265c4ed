// SPDX-License-Identifier: GPL-2.0-only
//! The engine: expectations, their masters, and the lock between them.
//!
//! ```text
//!  alloc ─▶ init ─▶ related ──▶ linked, pending ──▶ find_expectation, unexpect, eviction, …
//!                                     │  won del_timer(): unlink, and the timer's reference
//!                                     └─▶ expire ─▶ Firing ─▶ timed_out: unlink, put
//!  last put ─▶ waiting for readers ─▶ run_rcu_callbacks ─▶ free
//! ```
//!
//! Methods come in three families: verbs of the C file; `poll_*` for what comes out; and what a
//! softirq would do when the caller says so (`expire`, `timed_out`, `run_rcu_callbacks`).
//! Nothing here looks at a clock: who runs, and when, is the argument [`At`].
//!
//! The rule that matters: what needs the lock is a method of [`Locked`].
//!
//! # Source
//! `net/netfilter/nf_conntrack_expect.c`, v3.9, and later revisions by knob.

use core::fmt;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::conn_table::ConnTable;
use crate::error::{AllocPoint, NoMemory};
use crate::event::{Cause, Event};
use crate::eviction::Eviction;
use crate::expectation::{ExpectRef, Expectation, Flags};
use crate::helper::{Helper, IN_TREE};
use crate::kernel::hlist::{Access, DstHash, Index, IndexOf, Walk};
use crate::kernel::platform::{Cpu, Ordering, Plain, Platform, SpinLock, Word};
use crate::kernel::prefetch::prefetch;
use crate::kernel::rcu::{Rcu, UpRcu};
use crate::kernel::slab::Object;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::kernel::{Jiffies, Ticks, Up};
use crate::locked::{Ending, Locked};
use crate::memory::Memory;
use crate::netns::{Net, NetId, Sizes, Stats, Zone};
use crate::revision::{Expiry, Revision, TableScope, ZoneFrom};
use crate::slip::Slip;
use crate::terms::TermsTable;
use crate::tuple::Tuple;

/// What no engine can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which field of a [`Config`].
    pub field: &'static str,
    /// What it may be.
    pub expected: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config::{}: expected {}", self.field, self.expected)
    }
}

impl core::error::Error for ConfigError {}

/// How an engine is set up: module parameters, sysctls, and what stands for chance.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which kernel.
    pub revision: Revision,
    /// Timer ticks per second (`CONFIG_HZ`).
    pub hz: u32,
    /// Buckets (`nf_ct_expect_hsize`).
    pub hash_size: u32,
    /// Expectations per namespace (`nf_conntrack_expect_max`); as unsigned as the kernel takes it.
    pub expect_max: u32,
    /// `nf_conntrack_hash_rnd`: chance is an argument.
    pub hash_seed: u64,
    /// Memory: how many expectations there can be at once; beyond, `alloc` fails.
    pub expectations: u32,
    /// Memory: how many connections.
    pub conns: u32,
    /// How many of them memory is made ready for at the start; for the rest as they come.
    pub conns_ready: u32,
    /// Virtual processors, 1 to 64.
    pub cpus: u8,
    /// Namespaces there can be; the first always exists.
    pub netns: u16,
    /// Whether events are told (`nf_conntrack_events`).
    pub events: bool,
    /// The helpers that are registered.
    pub helpers: Cow<'static, [Helper]>,
    /// Lets the n-th allocation from the start fail, as fault injection does; 0 lets none.
    pub fail_nth: u32,
}

impl Config {
    /// A small table of the starting revision: room for tests and examples.
    pub const SMALL: Self = Self {
        revision: Revision::LINUX_3_9,
        hz: 250,
        hash_size: 16,
        expect_max: 64,
        hash_seed: 0x5eed,
        expectations: 256,
        conns: 256,
        conns_ready: u32::MAX,
        cpus: 2,
        netns: 1,
        events: true,
        helpers: Cow::Borrowed(IN_TREE),
        fail_nth: 0,
    };

    /// Whether an engine can be made of it.
    ///
    /// # Errors
    /// The first field that cannot be as it is.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ROOM: u32 = (1 << 30) - 2;
        let policies = |helper: &Helper| (1..=4).contains(&helper.policies.len());
        for (fine, field, expected) in [
            ((1..=10_000).contains(&self.hz), "hz", "1 to 10000"),
            (self.hash_size > 0, "hash_size", "at least one bucket"),
            (self.expectations <= ROOM, "expectations", "at most 2^30 - 2"),
            (self.conns <= ROOM, "conns", "at most 2^30 - 2"),
            ((1..=64).contains(&self.cpus), "cpus", "1 to 64"),
            (self.netns > 0, "netns", "at least the first"),
            (self.helpers.len() < usize::from(u16::MAX) - 1, "helpers", "fewer than 65534"),
            (self.helpers.iter().all(policies), "helpers", "one to four policies each"),
        ] {
            if !fine {
                return Err(ConfigError { field, expected });
            }
        }
        Ok(())
    }

    /// The sizes a machine with so many conntrack buckets chooses by itself.
    #[must_use]
    pub fn from_conntrack_hash(revision: Revision, buckets: u32) -> Self {
        let Sizes { hash_size, expect_max } = Sizes::at_module_init(buckets, 0);
        let room = expect_max.saturating_mul(2);
        Self { revision, hash_size, expect_max, expectations: room, conns: room, ..Self::SMALL }
    }
}

/// Who runs, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The processor.
    pub cpu: Cpu,
    /// The time.
    pub now: Jiffies,
}

/// Whether an insertion minds that an equal expectation has another master
/// (`NF_CT_EXP_F_SKIP_MASTER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MasterCheck {
    /// It does.
    #[default]
    Own,
    /// It does not; old kernels cannot say so.
    #[doc(alias = "NF_CT_EXP_F_SKIP_MASTER")]
    Skip,
}

/// A timer that was detached and whose callback has not run: holds the timer's reference.
/// Must be spent by [`Engine::timed_out`].
#[must_use = "the callback must run"]
#[derive(Debug, PartialEq, Eq)]
pub struct Firing(pub(crate) TimerKey);

impl Firing {
    /// The slot of the expectation whose timer it is; `None` for a connection's.
    #[must_use]
    pub fn expectation(&self) -> Option<u32> {
        (!self.0.is_conn()).then(|| self.0.index())
    }

    /// Whose timer it is.
    #[must_use]
    pub fn key(&self) -> TimerKey {
        self.0
    }
}

/// The expectation engine on a platform.
pub struct Engine<P: Platform = Up> {
    pub(crate) config: Config,
    pub(crate) terms: TermsTable,
    /// `nf_conntrack_lock`, with what only its holder touches.
    pub(crate) lock: P::SpinLock<State>,
    pub(crate) nets: Box<[Net<P>]>,
    pub(crate) memory: Arc<Memory<P>>,
    pub(crate) timers: P::Timers,
    pub(crate) rcu: P::Rcu,
    pub(crate) conns: P::SpinLock<ConnTable>,
    /// `nf_ct_expect_max`: a sysctl, so it may change.
    pub(crate) expect_max: P::Word,
    pub(crate) outbox: P::SpinLock<VecDeque<Event>>,
    /// The helpers that were unregistered, one bit each by place.
    pub(crate) gone_helpers: Box<[P::Word]>,
    /// The functions of expectations that were unregistered, one bit each.
    pub(crate) gone_functions: P::Word,
    /// How many allocations succeed before one fails; 0: all do.
    pub(crate) fail_nth: P::Word,
}

/// What the lock protects beside the lists.
pub(crate) struct State {
    /// Another choice than the kernel's own, or who listens to that.
    pub(crate) eviction: Option<Box<dyn Eviction>>,
    /// Whether it is asked, and told of insertions.
    pub(crate) decides: bool,
    /// How many insertions there were: the age of the next.
    pub(crate) insertions: u64,
}

impl<P: Platform> Engine<P> {
    /// An engine with the kernel's own eviction; the first namespace exists.
    ///
    /// # Errors
    /// If one of the allocations of module or namespace init fails.
    ///
    /// # Panics
    /// If [`Config::check`] refuses the configuration.
    ///
    /// # Source
    /// `nf_conntrack_expect_init()`, v3.9.
    #[doc(alias = "nf_conntrack_expect_init")]
    pub fn new(config: Config) -> Result<Self, NoMemory> {
        Self::with_eviction(config, None)
    }

    /// An engine that asks `eviction` who goes; `None`, and one that does not
    /// [decide](Eviction::decides), is the kernel's own choice.
    ///
    /// # Errors
    /// As [`Engine::new`].
    ///
    /// # Panics
    /// As [`Engine::new`].
    pub fn with_eviction(
        config: Config,
        eviction: Option<Box<dyn Eviction>>,
    ) -> Result<Self, NoMemory> {
        config.check().unwrap_or_else(|error| panic!("{error}"));
        let hash = DstHash {
            kind: config.revision.hash,
            seed: config.hash_seed,
            buckets: config.hash_size,
        };
        let walk = match config.revision.expiry {
            Expiry::Timer => Walk::Destination,
            Expiry::Collected => Walk::Bucket,
        };
        let index = |net| {
            P::Index::new(match config.revision.table {
                TableScope::PerNetns => IndexOf { hash, walk, net: Some(NetId(net)) },
                TableScope::Global if net == 0 => IndexOf { hash, walk, net: None },
                // Under one global table only the first namespace's is ever used.
                TableScope::Global => {
                    IndexOf { hash: DstHash { buckets: 0, ..hash }, walk, net: None }
                }
            })
        };
        let start = Jiffies::initial(config.hz);
        let (room, conns) = (config.expectations, config.conns);
        let memory = Memory::new(room, conns, config.conns_ready);
        let decides = eviction.as_ref().is_some_and(|eviction| eviction.decides());
        let engine = Self {
            lock: P::SpinLock::new(State { eviction, decides, insertions: 0 }),
            nets: (0..config.netns).map(|net| Net::new(index(net), config.cpus)).collect(),
            memory: Arc::new(memory),
            timers: P::Timers::new(config.revision.wheel, start, config.hz, room, conns),
            rcu: P::Rcu::new(config.cpus),
            conns: P::SpinLock::new(ConnTable::default()),
            expect_max: P::Word::new(config.expect_max),
            outbox: P::SpinLock::new(VecDeque::new()),
            gone_helpers: (0..config.helpers.len().div_ceil(32)).map(|_| P::Word::new(0)).collect(),
            gone_functions: P::Word::new(0),
            fail_nth: P::Word::new(config.fail_nth),
            terms: TermsTable::new(&config),
            config,
        };
        engine.may_alloc(AllocPoint::Cache)?;
        engine.pernet_init(NetId::INIT)?;
        Ok(engine)
    }

    /// A namespace begins: its table is empty.
    ///
    /// # Errors
    /// If there is no memory for the table or the `/proc` entry.
    ///
    /// # Panics
    /// If it exists already, or the configuration has no room for it.
    #[doc(alias = "nf_conntrack_expect_pernet_init")]
    #[doc(alias = "exp_proc_init")]
    pub fn pernet_init(&self, net: NetId) -> Result<(), NoMemory> {
        let slot = &self.nets[usize::from(net.0)];
        assert!(slot.alive.load_locked() == 0, "{net:?} exists already");
        slot.count.reset(0);
        self.may_alloc(AllocPoint::HashTable)?;
        self.may_alloc(AllocPoint::ProcEntry)?;
        slot.index.clear();
        slot.alive.reset(1);
        Ok(())
    }

    /// A namespace ends: its table goes, whatever may still be in it.
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    ///
    /// # Source
    /// `nf_conntrack_expect_pernet_fini()`, v3.9: neither checks that the table is empty nor
    /// waits for a timer.
    #[doc(alias = "nf_conntrack_expect_pernet_fini")]
    #[doc(alias = "exp_proc_remove")]
    pub fn pernet_fini(&self, net: NetId) {
        let slot = &self.nets[usize::from(net.0)];
        slot.alive.reset(0);
        slot.index.free();
    }

    /// Takes the lock (`spin_lock_bh(&nf_conntrack_lock)`).
    #[inline]
    pub fn lock(&self) -> Locked<'_, P> {
        Locked { engine: self, state: self.lock.lock() }
    }

    // ---- lookups without the lock ----------------------------------------------------------

    /// The first expectation that `tuple` hits, inactive ones included. Inside a read-side
    /// section, or under the lock.
    #[doc(alias = "__nf_ct_expect_find")]
    #[inline(always)]
    pub(crate) fn find(
        &self,
        at: At,
        net: NetId,
        zone: Zone,
        tuple: &Tuple,
        access: Access,
    ) -> Option<Object<'_, Expectation<P>>> {
        // ORDERING: relaxed: a lookup that misses an insertion not yet counted came before it.
        let here = self.net(net);
        if here.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let table = self.table_of(here);
        let slab = &self.memory.expectations;
        // A copy, which stays in registers (`nfexp bench hit/1k`: four instructions).
        let (exact, tuple) = (table.is_exact(), *tuple);
        let mut candidate = table.first(slab, net, &tuple, access);
        while let Some(exp) = candidate {
            let is_hit = if exact { exp.is_hit_from(&tuple) } else { exp.is_hit_by(&tuple) };
            if is_hit && self.is_in(exp, net, zone) && !self.is_over(at, exp) {
                return Some(exp);
            }
            candidate = slab.follow(table.next(&exp, access));
        }
        None
    }

    /// Finds an expectation and takes a reference to it; it stays where it is.
    // Compiled into its callers: a tuple that has just been made stays in registers (`nfexp bench
    // miss/1k`: 120 instructions instead of 177).
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    #[doc(alias = "nf_ct_expect_find_get")]
    #[inline(always)]
    pub fn find_get(&self, at: At, net: NetId, zone: Zone, tuple: &Tuple) -> Option<ExpectRef> {
        let section = self.rcu.read_lock(at.cpu);
        let exp = self.find(at, net, zone, tuple, Access::Rcu)?;
        let _section = (!P::slips(Slip::SectionEndsEarly)).then_some(section);
        // KERNEL: nf_ct_expect_find_get(), all revisions: who loses here does not look further.
        P::atomic_inc_not_zero(&exp.uses).then(|| ExpectRef(exp.id()))
    }

    /// Whether an expectation belongs to this namespace and zone.
    #[inline(always)]
    pub(crate) fn is_in(&self, exp: Object<'_, Expectation<P>>, net: NetId, zone: Zone) -> bool {
        let here = self.config.revision.table == TableScope::PerNetns
            || exp.net() == net
            || P::slips(Slip::NamespaceIgnored);
        here && (self.zone_of_linked(exp) == zone || P::slips(Slip::ZoneIgnored))
    }

    /// The same for a linked one: while its master lives, whose zone never changes, the copy from
    /// `alloc` is as good.
    #[inline(always)]
    fn zone_of_linked(&self, exp: Object<'_, Expectation<P>>) -> Zone {
        if self.timers.vouches_for_masters() { exp.zone() } else { self.zone_of(&exp) }
    }

    #[inline]
    pub(crate) fn zone_of(&self, exp: &Expectation<P>) -> Zone {
        match self.config.revision.zone_from {
            // KERNEL: __nf_ct_expect_find(), v3.9: under RCU alone the master may be another
            // connection by now; its memory is readable, its zone is not ours.
            ZoneFrom::Master => {
                let master = self.memory.conns.at(exp.master().index());
                Zone(master.zone.load(Ordering::Relaxed) as u16)
            }
            ZoneFrom::Expectation => exp.zone(),
        }
    }

    /// When a lifetime that begins now is over.
    #[inline(always)]
    pub(crate) fn lifetime_ends(&self, at: At, span: Ticks) -> Jiffies {
        match self.config.revision.expiry {
            Expiry::Timer => at.now.after(span),
            Expiry::Collected => at.now.after_in_32_bits(span),
        }
    }

    /// Whether a linked expectation counts as gone, though nobody has collected it yet.
    #[inline(always)]
    pub(crate) fn is_over(&self, at: At, exp: Object<'_, Expectation<P>>) -> bool {
        self.config.revision.expiry == Expiry::Collected && self.is_over_at(at.now, exp)
    }

    fn is_over_at(&self, now: Jiffies, exp: Object<'_, Expectation<P>>) -> bool {
        let flags = Flags(exp.flags.load(Ordering::Relaxed));
        let expires = self.timers.expires(&self.memory, TimerKey::expectation(exp.index));
        flags.has(Flags::DEAD) || now.time_after_eq(expires)
    }

    // ---- what softirqs would do ------------------------------------------------------------

    /// When the next timer is due.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Jiffies> {
        self.timers.next_expiry(&self.memory)
    }

    /// The same if it is at most `until`: cheaper to ask, for mostly it is not.
    #[inline]
    pub fn next_expiry_by(&self, until: Jiffies) -> Option<Jiffies> {
        if self.timers.is_quiet(until) {
            return None;
        }
        self.next_expiry().filter(|due| !due.time_after(until))
    }

    /// Lets the base's clock come to `now`, so that what is added is filed from there, if nothing
    /// is due by then; false if [`expire`](Self::expire) has to be asked, which does the same.
    #[doc(alias = "forward_timer_base")]
    #[inline]
    pub fn forward_timers(&self, now: Jiffies) -> bool {
        self.timers.forward(now)
    }

    /// The first half of expiry: detaches the next timer due at `now`.
    #[inline]
    pub fn expire(&self, now: Jiffies) -> Option<Firing> {
        let behind = |index, far| self.prefetch_behind(index, far);
        let key = self.timers.expire(&self.memory, now, behind)?;
        Some(self.firing(key))
    }

    /// Fetches what will be written when an expectation is unlinked: its first line, its
    /// neighbours, its master and, if that is `far`, its place in the index. Its second line was
    /// fetched before.
    #[inline]
    pub(crate) fn prefetch_behind(&self, index: u32, far: bool) {
        let slab = &self.memory.expectations;
        let exp = slab.at(index);
        prefetch(exp);
        prefetch(&slab.at(exp.older.get()).older);
        prefetch(&slab.at(exp.newer.get()).older);
        prefetch(self.memory.conns.at(exp.master().index()));
        if far {
            self.table(exp.net()).prefetch_linked(exp);
        }
    }

    /// Fetches the two ends of what is left of a master's list, each of which has been asked for
    /// where it is linked; answers those within, or nothing once they have met.
    #[inline(always)]
    pub(crate) fn prefetch_ends(
        &self,
        table: &P::Index,
        [newest, oldest]: [u32; 2],
    ) -> Option<[u32; 2]> {
        let slab = &self.memory.expectations;
        let (new, old) = (slab.at(newest), slab.at(oldest));
        for exp in [new, old] {
            prefetch(exp);
            table.prefetch_linked(exp);
        }
        let (older, newer) = (new.older.get(), old.newer.get());
        (newest != oldest && older != oldest).then_some([older, newer])
    }

    /// The first half of expiry for this very timer, whatever the time; `None` if somebody
    /// detached it before.
    pub fn expire_this(&self, key: TimerKey) -> Option<Firing> {
        let node = self.memory.timer(key);
        self.timers.detach(&self.memory, node, key).then(|| self.firing(key))
    }

    #[inline(always)]
    fn firing(&self, key: TimerKey) -> Firing {
        if !key.is_conn() {
            self.timers.begin_firing();
        }
        Firing(key)
    }

    /// The second half: the callback.
    #[doc(alias = "nf_ct_expectation_timed_out")]
    #[doc(alias = "death_by_timeout")]
    #[inline(always)]
    pub fn timed_out(&self, at: At, firing: Firing) {
        let index = firing.0.index();
        if firing.0.is_conn() {
            self.conn_timed_out(at, index);
            return;
        }
        let exp = self.memory.expectations.object(index);
        self.lock().unlink(exp, None, &Ending::by_kernel(at, Cause::Expiry));
        self.timers.end_firing();
        if !P::slips(Slip::CallbackKeepsReference) {
            self.put_object(exp);
        }
        if P::slips(Slip::CallbackPutsTwice) {
            self.put_object(exp);
        }
    }

    // ---- what comes out --------------------------------------------------------------------

    /// The next event, in the order of delivery.
    pub fn poll_event(&self) -> Option<Event> {
        self.outbox.lock().pop_front()
    }

    pub(crate) fn send(&self, event: Event) {
        self.outbox.lock().push_back(event);
    }

    /// The counters of a namespace, all CPUs together.
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    #[must_use]
    pub fn stats(&self, net: NetId) -> Stats {
        let per_cpu = self.net(net).stats.iter().map(Plain::get);
        Stats { found: self.found(net), ..per_cpu.fold(Stats::default(), Stats::plus) }
    }

    #[inline(always)]
    pub(crate) fn count_stat(&self, at: At, net: NetId, count: impl FnOnce(&mut Stats)) {
        self.net(net).count_stat(at.cpu, count);
    }

    /// How many expectations a namespace holds (`expect_count`).
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    #[must_use]
    pub fn expect_count(&self, net: NetId) -> u32 {
        self.net(net).count.load(Ordering::Relaxed)
    }

    /// The limit per namespace (`nf_conntrack_expect_max`).
    #[must_use]
    pub fn expect_max(&self) -> u32 {
        self.expect_max.load(Ordering::Relaxed)
    }

    /// Writes the sysctl `nf_conntrack_expect_max`; false if this kernel refuses the value.
    #[doc(alias = "nf_conntrack_expect_max")]
    pub fn set_expect_max(&self, value: i32) -> bool {
        use crate::revision::ExpectMaxRange::AtLeastOne;
        let refused = self.config.revision.expect_max_range == AtLeastOne && value < 1;
        if !refused {
            self.expect_max.store(value as u32, Ordering::Relaxed);
        }
        !refused
    }
}

impl<P: Platform<Rcu = UpRcu>> Engine<P> {
    /// The RCU softirq: frees what no reader can see any more; answers how many.
    pub fn run_rcu_callbacks(&self) -> u32 {
        self.rcu.run_callbacks(&self.memory)
    }
}

impl<P: Platform> fmt::Debug for Engine<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::HelperId;

    #[test]
    fn a_configuration_says_what_is_wrong() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 6] = [
            ("hz", |config| config.hz = 0),
            ("hash_size", |config| config.hash_size = 0),
            ("expectations", |config| config.expectations = 1 << 30),
            ("cpus", |config| config.cpus = 65),
            ("netns", |config| config.netns = 0),
            ("helpers", |config| config.helpers.to_mut()[0].policies = &[]),
        ];
        for (field, change) in changes {
            let mut config = Config::SMALL;
            change(&mut config);
            assert_eq!(config.check().map_err(|error| error.field), Err(field));
        }
        assert_eq!(Config::SMALL.check(), Ok(()));
    }

    #[test]
    #[should_panic(expected = "no helper500 among")]
    fn a_helper_is_of_the_configuration() {
        let engine: Engine = Engine::new(Config::SMALL).expect("memory");
        let _ = engine.helper(HelperId::at(500).expect("a place"));
    }
}
