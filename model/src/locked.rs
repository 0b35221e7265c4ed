// SPDX-License-Identifier: GPL-2.0-only
//! What the C file does with `nf_conntrack_lock` held.
//!
//! *Winning* an expectation: taking its timer off the base. Whoever wins, and nobody else,
//! unlinks it and owns the timer's reference:
//!
//! ```text
//!   won:   unlink (gives back the table's reference), then put (the timer's)
//!   lost:  leave it alone; the callback that waits for this very lock will do both
//! ```
//!
//! The rule that matters: every removal below goes through `remove`, except the match, which
//! hands the timer's reference on to its caller, and the callback itself.

use crate::conn::{Attached, ConnId, ConnRef, Status};
use crate::engine::{At, Engine, MasterCheck, State};
use crate::error::RelateError;
use crate::event::{Cause, Origin};
use crate::eviction::{Admission, Candidate, Eviction, Oldest, Pressure, Table};
use crate::expectation::{About, ExpectId, ExpectRef, Expectation, Flags, clash};
use crate::helper::{Class, ExpectPolicy, HelperId, MAX_CLASSES};
use crate::kernel::Ticks;
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Ordering, Plain, Platform, SpinLock, Word};
use crate::kernel::slab::NULL;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::{NetId, Zone};
use crate::revision::{
    ClashScope, ClassLimit, Duplicate, Expiry, InsertOrder, MasterRef, MatchUnlinks, TableScope,
};
use crate::tuple::Tuple;

/// The lock, held: `lockdep_is_held()` as a type.
pub struct Locked<'a, P: Platform> {
    pub(crate) engine: &'a Engine<P>,
    pub(crate) state: <P::SpinLock<State> as SpinLock<State>>::Guard<'a>,
}

/// What a match hands to its caller.
#[derive(Debug)]
#[must_use = "holds references"]
pub struct Matched {
    /// The expectation: consumed, or still linked if it is permanent.
    pub exp: ExpectRef,
    /// Its master.
    pub master: MasterHold,
}

/// How a match holds the master.
#[derive(Debug, PartialEq, Eq)]
pub enum MasterHold {
    /// Not at all: good only while the lock is held (v3.9).
    Borrowed(ConnId),
    /// By a reference.
    Counted(ConnRef),
}

/// Where a walk over a master's list stands: the next of each class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor([u32; MAX_CLASSES]);

impl<P: Platform> Locked<'_, P> {
    // ---- lookups ---------------------------------------------------------------------------

    /// What the first packet of a connection asks: was it announced?
    ///
    /// With `unlink`, or in a kernel that does not ask, the expectation is consumed unless it
    /// is permanent.
    #[doc(alias = "nf_ct_find_expectation")]
    pub fn find_expectation(
        &mut self,
        at: At,
        net: NetId,
        zone: Zone,
        tuple: &Tuple,
        unlink: bool,
    ) -> Option<Matched> {
        let engine = self.engine;
        if engine.net(net).count.load_locked() == 0 {
            return None;
        }
        let slab = &engine.memory.expectations;
        let index = self.first_active(at, net, zone, tuple)?;
        let exp = slab.at(index);
        let master = exp.about().master;
        let hold = self.hold_master(master)?;
        let consumes = match engine.config.revision.match_unlinks {
            MatchUnlinks::Always => true,
            MatchUnlinks::WhenAsked => unlink,
        };
        if exp.flags_locked().has(Flags::PERMANENT) || !consumes {
            P::atomic_add(&exp.uses, 1);
            return Some(Matched { exp: ExpectRef(slab.id(index)), master: hold });
        }
        if !self.win(index) {
            // KERNEL: nf_ct_find_expectation(), all revisions: the timer was faster, and nobody
            // looks for a second one.
            if let MasterHold::Counted(master) = hold {
                // Not the last: the lock is held, and the caller of the last put would want it.
                P::atomic_dec_and_test(&engine.memory.conns.get(master.0).uses);
            }
            return None;
        }
        if engine.config.revision.expiry == Expiry::Collected {
            P::atomic_add(&exp.uses, 1);
        }
        self.unlink(at, index, Origin::KERNEL, Cause::Match);
        Some(Matched { exp: ExpectRef(slab.id(index)), master: hold })
    }

    fn first_active(&mut self, at: At, net: NetId, zone: Zone, tuple: &Tuple) -> Option<u32> {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let mut index = engine.table(net).first(net, tuple, Access::Locked);
        while index != NULL {
            let exp = slab.at(index);
            let next = engine.table(net).next(slab, index, Access::Locked);
            if engine.is_over(at, index) {
                self.remove(at, index, Origin::KERNEL, Cause::Expiry);
            } else if exp.is_hit_by(tuple)
                && !exp.flags_locked().has(Flags::INACTIVE)
                && engine.is_in(exp, net, zone)
            {
                return Some(index);
            }
            index = next;
        }
        None
    }

    /// Whether a match may go through this master, and how it is held then.
    fn hold_master(&self, master: ConnId) -> Option<MasterHold> {
        let conn = self.engine.memory.conns.get(master);
        let status = Status(conn.status.load(Ordering::Relaxed));
        // A master whose first packet has not got through yet announced nothing anybody saw.
        if !status.has(Status::CONFIRMED) {
            return None;
        }
        match self.engine.config.revision.master_ref {
            MasterRef::Borrowed => Some(MasterHold::Borrowed(master)),
            MasterRef::Counted if status.has(Status::DYING) => None,
            MasterRef::Counted => {
                P::atomic_inc_not_zero(&conn.uses).then_some(MasterHold::Counted(ConnRef(master)))
            }
        }
    }

    /// Finds an expectation that `tuple` hits, inactive ones included; takes no reference.
    #[doc(alias = "__nf_ct_expect_find")]
    #[must_use]
    pub fn find(&self, at: At, net: NetId, zone: Zone, tuple: &Tuple) -> Option<ExpectId> {
        let index = self.engine.find(at, net, zone, tuple, Access::Locked)?;
        Some(self.engine.memory.expectations.id(index))
    }

    // ---- removal ---------------------------------------------------------------------------

    /// Takes the right to unlink: `del_timer()` said yes.
    fn win(&self, index: u32) -> bool {
        match self.engine.config.revision.expiry {
            Expiry::Timer => {
                let key = TimerKey::expectation(index);
                P::timer_detached(self.engine.timers.detach(&self.engine.memory, key))
            }
            // Without timers nobody competes: the lock is all.
            Expiry::Collected => true,
        }
    }

    /// Ends a linked expectation, unless its timer was faster; answers whether it did.
    pub fn remove(&mut self, at: At, index: u32, origin: Origin, cause: Cause) -> bool {
        let won = self.win(index);
        if won {
            self.unlink(at, index, origin, cause);
            if self.engine.config.revision.expiry == Expiry::Timer {
                self.engine.put_index(index);
            }
        }
        won
    }

    /// Takes a won expectation out of both lists, tells, and gives the table's reference back.
    #[doc(alias = "nf_ct_unlink_expect_report")]
    #[doc(alias = "nf_ct_unlink_expect")]
    pub(crate) fn unlink(&mut self, at: At, index: u32, origin: Origin, cause: Cause) {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let exp = slab.at(index);
        let About { master, class, net, .. } = exp.about();
        let slot = engine.net(net);
        assert!(slot.alive.load_locked() != 0, "use after free of the table of {net:?}");
        engine.table(net).del(slab, index);
        slot.count.store(slot.count.load_locked().wrapping_sub(1), Ordering::Relaxed);

        let conn = engine.memory.conns.get(master);
        let (older, newer) = (exp.older.get(), exp.newer.get());
        match older {
            NULL => conn.oldest[class.index()].set(newer),
            older => slab.at(older).newer.set(newer),
        }
        match newer {
            NULL => conn.newest[class.index()].set(older),
            newer => slab.at(newer).older.set(older),
        }
        let expecting = &conn.expecting[class.index()];
        // KERNEL: nf_ct_unlink_expect_report(), v3.9: a byte, which wraps like one.
        expecting.set(expecting.get().wrapping_sub(1));

        engine.tell_destroy(index, origin, cause);
        if let Some(eviction) = &mut self.state.eviction {
            eviction.removed(at.now, slab.id(index), cause);
        }
        engine.put_index(index);
        engine.count_stat(at, net, |stats| {
            stats.expect_delete = stats.expect_delete.wrapping_add(1);
        });
    }

    /// Ends all expectations of a connection, newest first.
    #[doc(alias = "nf_ct_remove_expectations")]
    pub fn remove_expectations(&mut self, at: At, master: ConnId, cause: Cause) {
        let conn = self.engine.memory.conns.get(master);
        if conn.attached() == Attached::Nothing {
            return;
        }
        let mut cursor = self.cursor(master.index());
        // KERNEL: nf_ct_remove_expectations(), v3.9: one whose timer is firing stays linked to
        // a master that may be freed before the callback runs (CVE-2026-80668).
        while let Some(index) = self.advance(&mut cursor) {
            self.remove(at, index, Origin::KERNEL, cause);
        }
    }

    pub(crate) fn unexpect(&mut self, at: At, index: u32) {
        match self.engine.config.revision.expiry {
            Expiry::Timer => {
                self.remove(at, index, Origin::KERNEL, Cause::Unexpect);
            }
            // KERNEL: nf_ct_unexpect_related(), 7.2: only marked; whoever comes by collects it.
            Expiry::Collected => {
                let exp = self.engine.memory.expectations.at(index);
                let dead = exp.flags_locked().with(Flags::DEAD);
                exp.flags.store(dead.0, Ordering::Relaxed);
            }
        }
    }

    /// Ends every expectation of a namespace, or of all, that `which` picks; table order.
    #[doc(alias = "nf_ct_expect_iterate_destroy")]
    #[doc(alias = "nf_ct_expect_iterate_net")]
    pub fn iterate_destroy(
        &mut self,
        at: At,
        net: NetId,
        origin: Origin,
        cause: Cause,
        mut which: impl FnMut(&Expectation<P>) -> bool,
    ) {
        let engine = self.engine;
        let table = engine.table(net);
        for bucket in 0..table.buckets() {
            let mut index = table.bucket_first(bucket, Access::Locked);
            while index != NULL {
                let exp = engine.memory.expectations.at(index);
                let next = table.bucket_next(&engine.memory.expectations, index, Access::Locked);
                if exp.about().net == net && which(exp) {
                    self.remove(at, index, origin, cause);
                }
                index = next;
            }
        }
    }

    /// Collects what is over of one master's expectations.
    ///
    /// # Source
    /// `nf_ct_expectation_gc()`, 7.2; nothing before.
    #[doc(alias = "nf_ct_expectation_gc")]
    pub fn collect(&mut self, at: At, master: ConnId) {
        let mut cursor = self.cursor(master.index());
        while let Some(index) = self.advance(&mut cursor) {
            if self.engine.is_over(at, index) {
                self.remove(at, index, Origin::KERNEL, Cause::Expiry);
            }
        }
    }

    // ---- insertion -------------------------------------------------------------------------

    /// Whether the expectation may be inserted, after making what room may be made.
    #[doc(alias = "__nf_ct_expect_check")]
    pub(crate) fn check(
        &mut self,
        at: At,
        index: u32,
        masters: MasterCheck,
    ) -> Result<(), RelateError> {
        let engine = self.engine;
        let about = engine.memory.expectations.at(index).about();
        let conn = engine.memory.conns.get(about.master);
        let attached = conn.attached();
        if attached == Attached::Nothing {
            return Err(RelateError::NoHelper);
        }
        self.check_others(at, index, masters)?;
        if self.state.eviction.is_some() {
            self.admit(at, index)?;
        }
        if let Some(max) = self.class_limit(attached, about.class) {
            let expecting = &conn.expecting[about.class.index()];
            if u32::from(expecting.get()) >= max {
                self.make_room_in_class(at, index);
                if u32::from(expecting.get()) >= max
                    && engine.config.revision.class_limit == ClassLimit::PolicyOnly
                {
                    return Err(RelateError::ClassFull);
                }
            }
        }
        if self.is_full(about.net) {
            // KERNEL: __nf_ct_expect_check(), v3.9: whom the class evicted above is lost even
            // if the newcomer is refused here.
            self.evict(at, index, Pressure::TableFull);
            if self.is_full(about.net) {
                return Err(RelateError::TableFull);
            }
        }
        Ok(())
    }

    fn is_full(&self, net: NetId) -> bool {
        self.engine.net(net).count.load_locked() >= self.engine.expect_max.load_locked()
    }

    /// Replaces an equal expectation, and refuses a clashing one.
    fn check_others(
        &mut self,
        at: At,
        newcomer: u32,
        masters: MasterCheck,
    ) -> Result<(), RelateError> {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let exp = slab.at(newcomer);
        let (tuple, net) = (exp.tuple(), exp.about().net);
        let mut index = engine.table(net).first(net, &tuple, Access::Locked);
        while index != NULL {
            let next = engine.table(net).next(slab, index, Access::Locked);
            if engine.is_over(at, index) {
                self.remove(at, index, Origin::KERNEL, Cause::Expiry);
            } else if self.matches(slab.at(index), exp, masters)? {
                if self.remove(at, index, Origin::KERNEL, Cause::Refresh) {
                    // KERNEL: __nf_ct_expect_check(), all revisions: the rest of the chain is
                    // not looked at; nothing in it can clash with what equals a linked one.
                    break;
                }
            } else if self.clashes(slab.at(index), exp) {
                return Err(RelateError::Clash);
            }
            index = next;
        }
        Ok(())
    }

    /// Whether `linked` is the one that `newcomer` replaces.
    #[doc(alias = "expect_matches")]
    #[doc(alias = "master_matches")]
    fn matches(
        &self,
        linked: &Expectation<P>,
        newcomer: &Expectation<P>,
        masters: MasterCheck,
    ) -> Result<bool, RelateError> {
        if linked.tuple() != newcomer.tuple() || linked.mask() != newcomer.mask() {
            return Ok(false);
        }
        let (a, b) = (linked.about(), newcomer.about());
        if a.net != b.net || self.engine.zone_of(&a) != self.engine.zone_of(&b) {
            return Ok(false);
        }
        let same_kind = a.master == b.master && a.class == b.class;
        match self.engine.config.revision.duplicate {
            Duplicate::SameMasterOnly => Ok(same_kind),
            Duplicate::AnswerAlready if same_kind => Ok(true),
            Duplicate::AnswerAlready => {
                if a.master == b.master || masters == MasterCheck::Skip {
                    Err(RelateError::AlreadyExpected)
                } else {
                    Ok(false)
                }
            }
        }
    }

    fn clashes(&self, linked: &Expectation<P>, newcomer: &Expectation<P>) -> bool {
        if !clash((&linked.tuple(), &linked.mask()), (&newcomer.tuple(), &newcomer.mask())) {
            return false;
        }
        let (a, b) = (linked.about(), newcomer.about());
        let same_net = self.engine.config.revision.table == TableScope::PerNetns || a.net == b.net;
        let same_zone = match self.engine.config.revision.clash_scope {
            ClashScope::AnyZone => true,
            ClashScope::SameZone => self.engine.zone_of(&a) == self.engine.zone_of(&b),
        };
        same_net && same_zone
    }

    /// How many of the class a master may have; `None` for no limit.
    fn class_limit(&self, attached: Attached, class: Class) -> Option<u32> {
        let policy = self.policy(attached, class);
        match self.engine.config.revision.class_limit {
            ClassLimit::PolicyOnly => policy.map(|p| p.max_expected).filter(|&max| max != 0),
            ClassLimit::AtMost255 => {
                let max = policy.map_or(255, |policy| policy.max_expected);
                Some(if max == 0 { 255 } else { max.min(255) })
            }
        }
    }

    /// The policy of the master's helper, if it has a helper.
    fn policy(&self, attached: Attached, class: Class) -> Option<ExpectPolicy> {
        let helper = self.engine.helper(attached.helper()?);
        // DEVIATION: a class above the helper's last one (ctnetlink of v3.9 lets it through)
        // reads behind the array in the kernel; here it has no limit and no lifetime.
        Some(helper.policy(class).copied().unwrap_or_default())
    }

    fn make_room_in_class(&mut self, at: At, newcomer: u32) {
        let about = self.engine.memory.expectations.at(newcomer).about();
        if self.engine.config.revision.expiry == Expiry::Collected {
            let expecting = &self.engine.memory.conns.get(about.master).expecting;
            let before = expecting[about.class.index()].get();
            self.collect(at, about.master);
            if expecting[about.class.index()].get() < before {
                return;
            }
        }
        self.evict(at, newcomer, Pressure::ClassFull);
    }

    /// Asks who goes, and ends that one unless it is firing; only that one is tried.
    #[doc(alias = "evict_oldest_expect")]
    fn evict(&mut self, at: At, newcomer: u32, pressure: Pressure) {
        if self.state.eviction.is_none() && pressure == Pressure::TableFull {
            return;
        }
        let about = self.candidate(at, newcomer);
        let engine = self.engine;
        let table = EngineTable(engine);
        let victim = match &mut self.state.eviction {
            Some(eviction) => eviction.victim(pressure, &about, &table),
            None => Oldest.victim(pressure, &about, &table),
        };
        if let Some(victim) = victim {
            engine.memory.expectations.get(victim);
            self.remove(at, victim.index(), Origin::KERNEL, Cause::Eviction);
        }
    }

    /// Asks another eviction than the kernel's whether the newcomer may come in.
    #[inline(never)]
    fn admit(&mut self, at: At, newcomer: u32) -> Result<(), RelateError> {
        let about = self.candidate(at, newcomer);
        let table = EngineTable(self.engine);
        let eviction = self.state.eviction.as_mut();
        match eviction.map_or(Admission::Granted, |eviction| eviction.admit(&about, &table)) {
            Admission::Granted => Ok(()),
            Admission::Refused => Err(RelateError::NotAdmitted),
            Admission::InPlaceOf(victim) => {
                self.engine.memory.expectations.get(victim);
                self.remove(at, victim.index(), Origin::KERNEL, Cause::Eviction);
                Ok(())
            }
        }
    }

    fn candidate(&self, at: At, index: u32) -> Candidate {
        let slab = &self.engine.memory.expectations;
        let exp = slab.at(index);
        let About { master, class, net, zone, .. } = exp.about();
        let key = TimerKey::expectation(index);
        Candidate {
            id: slab.id(index),
            master,
            class,
            net,
            zone,
            tuple: exp.tuple(),
            flags: exp.flags_locked(),
            expires: self.engine.timers.expires(&self.engine.memory, key),
            now: at.now,
        }
    }

    /// Links a checked expectation: both lists, both references, its timer.
    #[doc(alias = "nf_ct_expect_insert")]
    pub(crate) fn insert(&mut self, at: At, index: u32) {
        let engine = self.engine;
        let exp = engine.memory.expectations.at(index);
        let About { net, .. } = exp.about();
        let references = match engine.config.revision.expiry {
            Expiry::Timer => 2,
            Expiry::Collected => 1,
        };
        P::atomic_add(&exp.uses, references);
        match engine.config.revision.insert_order {
            InsertOrder::ListsThenTimer => {
                self.link(index);
                self.start_timer(at, index);
            }
            InsertOrder::TimerThenLists => {
                self.start_timer(at, index);
                self.link(index);
            }
        }
        if self.state.eviction.is_some() {
            let about = self.candidate(at, index);
            if let Some(eviction) = &mut self.state.eviction {
                eviction.inserted(&about, &EngineTable(engine));
            }
        }
        engine.count_stat(at, net, |stats| {
            stats.expect_create = stats.expect_create.wrapping_add(1);
        });
    }

    fn link(&mut self, index: u32) {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let exp = slab.at(index);
        let About { master, class, net, .. } = exp.about();
        let conn = engine.memory.conns.get(master);
        let newest = conn.newest[class.index()].get();
        exp.older.set(newest);
        exp.newer.set(NULL);
        match newest {
            NULL => conn.oldest[class.index()].set(index),
            newest => slab.at(newest).newer.set(index),
        }
        conn.newest[class.index()].set(index);
        exp.age.set(self.state.insertions);
        self.state.insertions += 1;
        let expecting = &conn.expecting[class.index()];
        // KERNEL: nf_ct_expect_insert(), v3.9: a byte; the 256th of an unlimited class is the
        // zeroth again.
        expecting.set(expecting.get().wrapping_add(1));

        engine.table(net).add_head(slab, index, net);
        let count = &engine.net(net).count;
        count.store(count.load_locked().wrapping_add(1), Ordering::Relaxed);
    }

    fn start_timer(&mut self, at: At, index: u32) {
        let engine = self.engine;
        let key = TimerKey::expectation(index);
        let About { master, class, .. } = engine.memory.expectations.at(index).about();
        engine.timers.setup(&engine.memory, key);
        let attached = engine.memory.conns.get(master).attached();
        // KERNEL: nf_ct_expect_insert(), v3.9: without a helper `expires` stays what the caller
        // set, or what the memory's last tenant left.
        if let Some(policy) = self.policy(attached, class) {
            let mut lifetime = Ticks::of_timeout(policy.timeout_secs, engine.config.hz);
            if self.state.eviction.is_some() {
                let about = self.candidate(at, index);
                if let Some(eviction) = &mut self.state.eviction {
                    lifetime = eviction.lifetime(&about, lifetime, &EngineTable(engine));
                }
            }
            engine.timers.set_expires(&engine.memory, key, at.now.after(lifetime));
        }
        if engine.config.revision.expiry == Expiry::Timer {
            engine.timers.add(&engine.memory, key, at.now);
        }
    }

    // ---- walks over a master's list ----------------------------------------------------------

    /// The start of a master's list.
    pub(crate) fn cursor(&self, master: u32) -> Cursor {
        let conn = self.engine.memory.conns.at(master);
        Cursor(core::array::from_fn(|class| conn.newest[class].get()))
    }

    /// The next of a master's list, newest first over all classes. The one answered may be
    /// unlinked before the next call.
    pub(crate) fn advance(&self, cursor: &mut Cursor) -> Option<u32> {
        let slab = &self.engine.memory.expectations;
        let linked = cursor.0.iter_mut().filter(|index| **index != NULL);
        let newest = linked.max_by_key(|index| slab.at(**index).age.get())?;
        let index = *newest;
        *newest = slab.at(index).older.get();
        Some(index)
    }
}

/// The engine, as an eviction may ask it.
struct EngineTable<'a, P: Platform>(&'a Engine<P>);

impl<P: Platform> Table for EngineTable<'_, P> {
    fn oldest(&self, master: ConnId, class: Class) -> Option<ExpectId> {
        match self.0.memory.conns.get(master).oldest[class.index()].get() {
            NULL => None,
            index => Some(self.0.memory.expectations.id(index)),
        }
    }

    fn original(&self, master: ConnId) -> Tuple {
        self.0.memory.conns.get(master).about().original
    }

    fn helper(&self, master: ConnId) -> Option<HelperId> {
        self.0.memory.conns.get(master).attached().helper()
    }

    fn count(&self, net: NetId) -> u32 {
        self.0.net(net).count.load_locked()
    }

    fn limit(&self) -> u32 {
        self.0.expect_max.load_locked()
    }
}

impl<P: Platform> core::fmt::Debug for Locked<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}
