// SPDX-License-Identifier: GPL-2.0-only
//! Insertion, with `nf_conntrack_lock` held: may it come in, who makes room, how it is linked.
//!
//! ```text
//!   check:   equal one? it goes · clashing one? -EBUSY · class full? its oldest goes · table full?
//!   insert:  references for table and timer, both lists, the timer
//! ```
//!
//! The rule that matters: whom the check removed is gone, even if the newcomer is refused.

use crate::conn::{Attached, ConnId};
use crate::engine::{At, Engine, MasterCheck};
use crate::error::RelateError;
use crate::event::{Cause, Origin};
use crate::eviction::{Admission, Candidate, Eviction, Oldest, Pressure, Table};
use crate::expectation::{About, ExpectId, Expectation, Flags, clash};
use crate::helper::{Class, ExpectPolicy, HelperId};
use crate::kernel::Ticks;
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Ordering, Plain, Platform, Word};
use crate::kernel::slab::NULL;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::locked::Locked;
use crate::netns::NetId;
use crate::revision::{ClashScope, ClassLimit, Duplicate, Expiry, InsertOrder, TableScope};
use crate::slip::Slip;
use crate::tuple::Tuple;

impl<P: Platform> Locked<'_, P> {
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
        let unlimited = P::slips(Slip::OnlyFirstClassLimited) && about.class != Class::DEFAULT;
        if let Some(max) = self.class_limit(attached, about.class).filter(|_| !unlimited) {
            let expecting = &conn.expecting[about.class.index()];
            let max = max + u32::from(P::slips(Slip::ClassLimitOffByOne));
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
        let count = self.engine.net(net).count.load_locked();
        let max = self.engine.expect_max.load_locked();
        if P::slips(Slip::TableLimitOffByOne) { count > max } else { count >= max }
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
        let mut index = engine.table(net).first(slab, net, &tuple, Access::Locked);
        while index != NULL {
            let next = engine.table(net).next(slab, index, Access::Locked);
            if engine.is_over(at, index) {
                self.reap(at, index);
            } else if self.matches(slab.at(index), exp, masters)? {
                let goes = if P::slips(Slip::RefreshRemovesNewcomer) { newcomer } else { index };
                if self.remove(at, goes, Origin::KERNEL, Cause::Refresh) {
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

    /// Whether a linked one equals this, and nothing more is to be done (a broken world's own).
    pub(crate) fn is_expected_already(&self, index: u32, masters: MasterCheck) -> bool {
        let slab = &self.engine.memory.expectations;
        let exp = slab.at(index);
        let table = self.engine.table(exp.about().net);
        let mut linked = table.first(slab, exp.about().net, &exp.tuple(), Access::Locked);
        while linked != NULL {
            if self.matches(slab.at(linked), exp, masters) == Ok(true) {
                return true;
            }
            linked = table.next(slab, linked, Access::Locked);
        }
        false
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
        let (of_linked, of_newcomer) = (linked.mask(), newcomer.mask());
        let agree = if P::slips(Slip::ClashByEitherMask) {
            linked.tuple().matches(&newcomer.tuple(), &of_linked.unite(&of_newcomer))
        } else {
            clash((&linked.tuple(), &of_linked), (&newcomer.tuple(), &of_newcomer))
        };
        if !agree || P::slips(Slip::ClashUntested) {
            return false;
        }
        let (a, b) = (linked.about(), newcomer.about());
        let same_net = self.engine.config.revision.table == TableScope::PerNetns
            || a.net == b.net
            || P::slips(Slip::ClashAcrossNamespaces);
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
        if helper.policies.is_empty() {
            return None;
        }
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
        let references = if P::slips(Slip::TimerUncounted) { 1 } else { references };
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
        if !P::slips(Slip::CreateUncounted) {
            engine.count_stat(at, net, |stats| {
                stats.expect_create = stats.expect_create.wrapping_add(1);
            });
        }
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
        if !P::slips(Slip::ExpectingNotRaised) {
            expecting.set(expecting.get().wrapping_add(1));
        }

        engine.table(net).add_head(slab, index, net);
        if P::slips(Slip::TupleAfterPublish) {
            exp.set_key(exp.tuple(), exp.mask());
        }
        if !P::slips(Slip::CountNotRaised) {
            let count = &engine.net(net).count;
            count.store(count.load_locked().wrapping_add(1), Ordering::Relaxed);
        }
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
}

/// The engine, as an eviction may ask it.
struct EngineTable<'a, P: Platform>(&'a Engine<P>);

impl<P: Platform> Table for EngineTable<'_, P> {
    fn oldest(&self, master: ConnId, class: Class) -> Option<ExpectId> {
        let conn = self.0.memory.conns.get(master);
        let slab = &self.0.memory.expectations;
        let ends = if P::slips(Slip::EvictsNewest) { &conn.newest } else { &conn.oldest };
        let mut index = ends[class.index()].get();
        if P::slips(Slip::EvictsAnyClass) {
            let oldest = ends.iter().map(Plain::get).filter(|index| *index != NULL);
            index = oldest.min_by_key(|index| slab.at(*index).age.get()).unwrap_or(NULL);
        }
        if P::slips(Slip::EvictionSparesPermanent) {
            while index != NULL && slab.at(index).flags_locked().has(Flags::PERMANENT) {
                index = slab.at(index).newer.get();
            }
        }
        (index != NULL).then(|| slab.id(index))
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
