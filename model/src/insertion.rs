// SPDX-License-Identifier: GPL-2.0-only
//! Insertion, with `nf_conntrack_lock` held: may it come in, who makes room, how it is linked.
//!
//! ```text
//!   check:   equal one? it goes · clashing one? -EBUSY · class full? its oldest goes · table full?
//!   insert:  references for table and timer, both lists, the timer
//! ```
//!
//! The rule that matters: whom the check removed is gone, even if the newcomer is refused.

use crate::conn::{Attached, Conn, ConnId};
use crate::engine::{At, Engine, MasterCheck};
use crate::error::RelateError;
use crate::event::Cause;
use crate::eviction::{Admission, Candidate, Oldest, Pressure, Table};
use crate::expectation::{About, ExpectId, Expectation, Flags, clash};
use crate::helper::{Class, HelperId};
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Ordering, Plain, Platform, Word};
use crate::kernel::slab::{NULL, Object};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::locked::{Ending, Locked, either};
use crate::netns::{Net, NetId};
use crate::revision::{ClashScope, ClassLimit, Duplicate, Expiry, InsertOrder, TableScope};
use crate::slip::Slip;
use crate::terms::Terms;
use crate::tuple::Tuple;

/// What a check found out: how the expectation is to be inserted.
pub(crate) struct Checked<'a, P: Platform> {
    conn: &'a Conn<P>,
    net: &'a Net<P>,
    terms: &'a Terms,
    /// Where it belongs, until another is inserted.
    spot: Option<<P::Index as Index<P>>::Spot>,
}

impl<'a, P: Platform> Checked<'a, P> {
    /// The master.
    pub(crate) fn conn(&self) -> &'a Conn<P> {
        self.conn
    }

    /// The same after another insertion.
    pub(crate) fn after_another(self) -> Self {
        Self { spot: None, ..self }
    }
}

impl<'a, P: Platform> Locked<'a, P> {
    /// Whether the expectation of this tuple and master may be inserted, after making what room may
    /// be made.
    #[doc(alias = "__nf_ct_expect_check")]
    #[inline(always)]
    pub(crate) fn check(
        &mut self,
        at: At,
        exp: Object<'a, Expectation<P>>,
        (conn, tuple): (&'a Conn<P>, &Tuple),
        masters: MasterCheck,
    ) -> Result<Checked<'a, P>, RelateError> {
        let engine = self.engine;
        let attached = conn.helper.load_locked();
        if attached == Attached::Nothing.to_word() {
            return Err(RelateError::NoHelper);
        }
        let (slab, net) = (&engine.memory.expectations, engine.net(exp.net()));
        let (first, spot) = engine.table_of(net).search(slab, exp.net(), &exp, tuple);
        if let Some(first) = first {
            self.check_others(at, exp, masters, first)?;
        }
        if self.state.decides {
            self.admit(at, exp)?;
        }
        let class = exp.class();
        let terms = engine.terms.of(attached, class);
        let unlimited = P::slips(Slip::OnlyFirstClassLimited) && class != Class::DEFAULT;
        if !unlimited {
            let expecting = &conn.expecting[class.index()];
            let max = if P::slips(Slip::ClassLimitOffByOne) {
                terms.limit.saturating_add(1)
            } else {
                terms.limit
            };
            if u32::from(expecting.get()) >= max {
                let named = self.make_room_in_class(at, exp, max);
                // KERNEL: __nf_ct_expect_check(), 7.2: the newcomer comes in whatever is left; but
                // another eviction than the kernel's, which names nobody, refuses it.
                let refuses = self.state.decides && !named;
                if u32::from(expecting.get()) >= max
                    && (engine.config.revision.class_limit == ClassLimit::PolicyOnly || refuses)
                {
                    return Err(RelateError::ClassFull);
                }
            }
        }
        if self.is_full(net) {
            // KERNEL: __nf_ct_expect_check(), v3.9: whom the class evicted above is lost even
            // if the newcomer is refused here.
            self.evict(at, exp, Pressure::TableFull);
            if self.is_full(net) {
                return Err(RelateError::TableFull);
            }
        }
        Ok(Checked { conn, net, terms, spot: Some(spot) })
    }

    #[inline(always)]
    fn is_full(&self, net: &Net<P>) -> bool {
        let count = net.count.load_locked();
        let max = self.engine.expect_max.load_locked();
        match () {
            () if P::slips(Slip::TableLimitOffByOne) => count > max,
            () if P::slips(Slip::RefusesEarly) => count + 1 >= max,
            () => count >= max,
        }
    }

    /// Replaces an equal expectation, and refuses a clashing one.
    #[inline(never)]
    fn check_others(
        &mut self,
        at: At,
        newcomer: Object<'a, Expectation<P>>,
        masters: MasterCheck,
        first: Object<'a, Expectation<P>>,
    ) -> Result<(), RelateError> {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let table = engine.table(newcomer.net());
        let mut candidate = Some(first);
        while let Some(linked) = candidate {
            candidate = slab.follow(table.next(&linked, Access::Locked));
            if linked.index == newcomer.index && P::slips(Slip::LinkedNotSeen) {
                // Inserted again, then.
            } else if engine.is_over(at, linked) {
                self.reap(at, linked);
            } else if self.matches(linked, newcomer, masters)? {
                let goes = if P::slips(Slip::RefreshRemovesNewcomer) { newcomer } else { linked };
                if self.end(goes, &Ending::by_kernel(at, Cause::Refresh)) {
                    // KERNEL: __nf_ct_expect_check(), all revisions: the rest of the chain is
                    // not looked at; nothing in it can clash with what equals a linked one.
                    break;
                }
            } else if self.clashes(linked, newcomer) {
                return Err(RelateError::Clash);
            }
        }
        Ok(())
    }

    /// Whether a linked one equals this, and nothing more is to be done (a broken world's own).
    pub(crate) fn is_expected_already(
        &self,
        exp: Object<'a, Expectation<P>>,
        masters: MasterCheck,
    ) -> bool {
        let slab = &self.engine.memory.expectations;
        let table = self.engine.table(exp.net());
        let mut candidate = table.first(slab, exp.net(), &exp.tuple(), Access::Locked);
        while let Some(linked) = candidate {
            if self.matches(linked, exp, masters) == Ok(true) {
                return true;
            }
            candidate = slab.follow(table.next(&linked, Access::Locked));
        }
        false
    }

    /// Whether `linked` is the one that `newcomer` replaces.
    #[doc(alias = "expect_matches")]
    #[doc(alias = "master_matches")]
    #[inline]
    fn matches(
        &self,
        linked: Object<'a, Expectation<P>>,
        newcomer: Object<'a, Expectation<P>>,
        masters: MasterCheck,
    ) -> Result<bool, RelateError> {
        if !linked.equals(&newcomer) {
            return Ok(false);
        }
        let (a, b) = (linked, newcomer);
        let (master, other) = (a.master(), b.master());
        if a.net() != b.net() || self.engine.zone_of(&a) != self.engine.zone_of(&b) {
            return Ok(false);
        }
        let same_kind = master == other && a.class() == b.class();
        match self.engine.config.revision.duplicate {
            Duplicate::SameMasterOnly => Ok(same_kind),
            Duplicate::AnswerAlready if same_kind => Ok(true),
            Duplicate::AnswerAlready => {
                if master == other || masters == MasterCheck::Skip {
                    Err(RelateError::AlreadyExpected)
                } else {
                    Ok(false)
                }
            }
        }
    }

    #[inline]
    fn clashes(&self, a: Object<'a, Expectation<P>>, b: Object<'a, Expectation<P>>) -> bool {
        if !a.has_destination_of(&b.tuple()) {
            return false;
        }
        let agree = if P::slips(Slip::ClashByEitherMask) {
            a.tuple().matches(&b.tuple(), &a.mask().unite(&b.mask()))
        } else {
            clash((&a.tuple(), &a.mask()), (&b.tuple(), &b.mask()))
        };
        if !agree || P::slips(Slip::ClashUntested) {
            return false;
        }
        let same_net = self.engine.config.revision.table == TableScope::PerNetns
            || a.net() == b.net()
            || P::slips(Slip::ClashAcrossNamespaces);
        let same_zone = match self.engine.config.revision.clash_scope {
            ClashScope::AnyZone => true,
            ClashScope::SameZone => self.engine.zone_of(&a) == self.engine.zone_of(&b),
        };
        same_net && same_zone
    }

    /// Whether somebody was named, or nobody needs to be any more.
    #[inline(never)]
    fn make_room_in_class(
        &mut self,
        at: At,
        newcomer: Object<'a, Expectation<P>>,
        max: u32,
    ) -> bool {
        if self.engine.config.revision.expiry == Expiry::Collected {
            let (master, class) = (newcomer.master(), newcomer.class());
            let expecting = &self.engine.memory.conns.get(master).expecting[class.index()];
            self.collect(at, master);
            // KERNEL: evict_oldest_expect(), 7.2: one goes for each newcomer as long as the class
            // is full, which two that came as a pair may have filled beyond its limit.
            if u32::from(expecting.get()) < max {
                return true;
            }
        }
        self.evict(at, newcomer, Pressure::ClassFull)
    }

    /// Asks who goes, and ends that one unless it is firing; only that one is tried. Whether
    /// somebody was named.
    #[doc(alias = "evict_oldest_expect")]
    #[inline(always)]
    fn evict(&mut self, at: At, newcomer: Object<'a, Expectation<P>>, pressure: Pressure) -> bool {
        let engine = self.engine;
        let table = EngineTable(engine);
        let victim = if self.state.decides {
            self.ask(at, newcomer, pressure)
        } else {
            Oldest::choice(pressure, newcomer.master(), newcomer.class(), &table)
        };
        if let Some(victim) = victim {
            let victim = engine.memory.expectations.get_object(victim);
            self.end(victim, &Ending::by_kernel(at, Cause::Eviction));
        }
        victim.is_some()
    }

    /// Asks another eviction than the kernel's.
    #[inline(never)]
    fn ask(
        &mut self,
        at: At,
        newcomer: Object<'a, Expectation<P>>,
        pressure: Pressure,
    ) -> Option<ExpectId> {
        let about = self.candidate(at, newcomer);
        let table = EngineTable(self.engine);
        self.state.eviction.as_mut()?.victim(pressure, &about, &table)
    }

    /// Asks another eviction than the kernel's whether the newcomer may come in.
    #[inline(never)]
    fn admit(&mut self, at: At, newcomer: Object<'a, Expectation<P>>) -> Result<(), RelateError> {
        let about = self.candidate(at, newcomer);
        let table = EngineTable(self.engine);
        let eviction = self.state.eviction.as_mut();
        match eviction.map_or(Admission::Granted, |eviction| eviction.admit(&about, &table)) {
            Admission::Granted => Ok(()),
            Admission::Refused => Err(RelateError::NotAdmitted),
            Admission::InPlaceOf(victim) => {
                let victim = self.engine.memory.expectations.get_object(victim);
                self.end(victim, &Ending::by_kernel(at, Cause::Eviction));
                Ok(())
            }
        }
    }

    #[inline(never)]
    fn candidate(&self, at: At, exp: Object<'a, Expectation<P>>) -> Candidate {
        let About { master, class, net, zone, .. } = exp.about();
        let key = TimerKey::expectation(exp.index);
        Candidate {
            id: exp.id(),
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
    #[inline(always)]
    pub(crate) fn insert(
        &mut self,
        at: At,
        exp: Object<'a, Expectation<P>>,
        checked: Checked<'a, P>,
    ) {
        let engine = self.engine;
        let references = match engine.config.revision.expiry {
            Expiry::Timer => 2,
            Expiry::Collected => 1,
        };
        let references = if P::slips(Slip::TimerUncounted) { 1 } else { references };
        P::atomic_add(&exp.uses, references);
        match engine.config.revision.insert_order {
            InsertOrder::ListsThenTimer => {
                self.link(exp, &checked);
                self.start_timer(at, exp, checked.terms);
            }
            InsertOrder::TimerThenLists => {
                self.start_timer(at, exp, checked.terms);
                self.link(exp, &checked);
            }
        }
        if self.state.decides {
            let about = self.candidate(at, exp);
            if let Some(eviction) = &mut self.state.eviction {
                eviction.inserted(&about, &EngineTable(engine));
            }
        }
        if !P::slips(Slip::CreateUncounted) {
            checked.net.count_stat(at.cpu, |stats| {
                stats.expect_create = stats.expect_create.wrapping_add(1);
            });
        }
    }

    #[inline(always)]
    fn link(&mut self, exp: Object<'a, Expectation<P>>, checked: &Checked<'a, P>) {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let (conn, class) = (checked.conn, exp.class().index());
        let newest = conn.newest[class].get();
        exp.older.set(newest);
        exp.newer.set(NULL);
        either(newest, &conn.oldest[class], &slab.at(newest).newer).set(exp.index);
        conn.newest[class].set(exp.index);
        exp.age.set(self.state.insertions);
        self.state.insertions += 1;
        let expecting = &conn.expecting[class];
        // KERNEL: nf_ct_expect_insert(), v3.9: a byte; the 256th of an unlimited class is the
        // zeroth again.
        if !P::slips(Slip::ExpectingNotRaised) {
            expecting.set(expecting.get().wrapping_add(1));
        }

        engine.table_of(checked.net).add_head(slab, exp, exp.net(), checked.spot);
        if P::slips(Slip::TupleAfterPublish) {
            exp.set_key(exp.tuple(), exp.mask());
        }
        if !P::slips(Slip::CountNotRaised) {
            let count = &checked.net.count;
            count.store(count.load_locked().wrapping_add(1), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn start_timer(&mut self, at: At, exp: Object<'a, Expectation<P>>, terms: &Terms) {
        let engine = self.engine;
        let mut lifetime = terms.lifetime();
        if let Some(usual) = lifetime
            && self.state.decides
        {
            let about = self.candidate(at, exp);
            if let Some(eviction) = &mut self.state.eviction {
                lifetime = Some(eviction.lifetime(&about, usual, &EngineTable(engine)));
            }
        }
        // KERNEL: nf_ct_expect_insert(), v3.9: without a helper `expires` stays what the caller
        // set, or what the memory's last tenant left.
        let expires = lifetime.map(|lifetime| engine.lifetime_ends(at, lifetime));
        let key = TimerKey::expectation(exp.index);
        match engine.config.revision.expiry {
            Expiry::Timer => {
                let timer = (&exp.timer, &exp.expires);
                engine.timers.start(&engine.memory, timer, key, expires, at.now);
            }
            Expiry::Collected => {
                engine.timers.setup(&engine.memory, key);
                if let Some(expires) = expires {
                    engine.timers.set_expires(&engine.memory, key, expires);
                }
            }
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
