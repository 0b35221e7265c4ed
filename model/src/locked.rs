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

use crate::conn::{Conn, ConnId, ConnRef, Status};
use crate::engine::{At, Engine, State};
use crate::event::{Cause, Origin};
use crate::expectation::{ExpectId, ExpectRef, Expectation, Flags};
use crate::helper::MAX_CLASSES;
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Ordering, Plain, Platform, SpinLock, Word};
use crate::kernel::slab::{NULL, Object};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::{NetId, Zone};
use crate::revision::{Expiry, MasterRef, MatchUnlinks};
use crate::slip::Slip;
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

/// How an expectation ends: when, on whose behalf, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) at: At,
    pub(crate) origin: Origin,
    pub(crate) cause: Cause,
}

impl Ending {
    /// By the kernel itself.
    #[inline(always)]
    pub(crate) const fn by_kernel(at: At, cause: Cause) -> Self {
        Self { at, origin: Origin::KERNEL, cause }
    }
}

/// Whether an expectation that ends is in its master's list: no longer, if the whole list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Yes,
    No,
}

/// Where a walk over a master's list stands: the next of each class.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cursor {
    /// Only the first class has any, as with most helpers.
    One(u32),
    Several([u32; MAX_CLASSES]),
}

impl Cursor {
    #[inline(always)]
    fn at_newest<P: Platform>(conn: &Conn<P>) -> Self {
        let newest: [u32; MAX_CLASSES] = core::array::from_fn(|class| conn.newest[class].get());
        match newest {
            [only, NULL, NULL, NULL] => Self::One(only),
            several => Self::Several(several),
        }
    }

    /// How many classes may have any.
    #[inline(always)]
    const fn classes(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several(_) => MAX_CLASSES,
        }
    }
}

/// What points at a place in a master's list: the master at its end, else the neighbour. Both are
/// looked up before one is chosen: which it will be no processor can guess, and half a wrong guess
/// at a time was a tenth of an operation (`nfexp bench churn/1k`).
#[inline(always)]
pub(crate) fn either<'a, T>(link: u32, end: &'a T, neighbour: &'a T) -> &'a T {
    if link == NULL { end } else { neighbour }
}

impl<'a, P: Platform> Locked<'a, P> {
    // ---- lookups ---------------------------------------------------------------------------

    /// What the first packet of a connection asks: was it announced?
    ///
    /// With `unlink`, or in a kernel that does not ask, the expectation is consumed unless it
    /// is permanent.
    #[doc(alias = "nf_ct_find_expectation")]
    #[inline(always)]
    pub fn find_expectation(
        &mut self,
        at: At,
        net: NetId,
        zone: Zone,
        tuple: &Tuple,
        unlink: bool,
    ) -> Option<Matched> {
        let engine = self.engine;
        let here = engine.net(net);
        if here.count.load_locked() == 0 {
            return None;
        }
        let table = engine.table_of(here);
        let exp = self.first_active(at, table, (net, zone), tuple)?;
        let (hold, conn) = self.hold_master(exp.master())?;
        let consumes = match engine.config.revision.match_unlinks {
            MatchUnlinks::Always => true,
            MatchUnlinks::WhenAsked => unlink,
        };
        let permanent =
            exp.flags_locked().has(Flags::PERMANENT) && !P::slips(Slip::ConsumesPermanent);
        if permanent || !consumes {
            if !P::slips(Slip::PermanentUncounted) {
                P::atomic_add(&exp.uses, 1);
            }
            return Some(Matched { exp: ExpectRef(exp.id()), master: hold });
        }
        if !self.win(exp) && !P::slips(Slip::MatchIgnoresTimer) {
            // KERNEL: nf_ct_find_expectation(), all revisions: the timer was faster, and nobody
            // looks for a second one.
            if let MasterHold::Counted(master) = hold
                && !P::slips(Slip::MasterNotGivenBack)
            {
                // Not the last: the lock is held, and the caller of the last put would want it.
                P::atomic_dec_and_test(&engine.memory.conns.get(master.0).uses);
            }
            return None;
        }
        if engine.config.revision.expiry == Expiry::Collected {
            P::atomic_add(&exp.uses, 1);
        }
        if !P::slips(Slip::MatchStaysLinked) {
            let master = Some((conn, Listed::Yes));
            self.unlink(exp, master, &Ending::by_kernel(at, Cause::Match));
        }
        if P::slips(Slip::MatchPutsTwice) {
            engine.put_object(exp);
        }
        Some(Matched { exp: ExpectRef(exp.id()), master: hold })
    }

    #[inline(always)]
    fn first_active(
        &mut self,
        at: At,
        table: &P::Index,
        (net, zone): (NetId, Zone),
        tuple: &Tuple,
    ) -> Option<Object<'a, Expectation<P>>> {
        let engine = self.engine;
        let slab = &engine.memory.expectations;
        let exact = table.is_exact();
        let mut candidate = table.first(slab, net, tuple, Access::Locked);
        let mut last = None;
        while let Some(exp) = candidate {
            let next = table.next(&exp, Access::Locked);
            if engine.is_over(at, exp) {
                self.reap(at, exp);
            } else if (if exact { exp.is_hit_from(tuple) } else { exp.is_hit_by(tuple) })
                && (!exp.flags_locked().has(Flags::INACTIVE) || P::slips(Slip::MatchesInactive))
                && engine.is_in(exp, net, zone)
            {
                last = Some(exp);
                if !P::slips(Slip::MatchesLast) {
                    break;
                }
            }
            candidate = slab.follow(next);
        }
        last
    }

    /// Whether a match may go through this master, and how it is held then.
    #[inline(always)]
    fn hold_master(&self, master: ConnId) -> Option<(MasterHold, &'a Conn<P>)> {
        let conn = self.engine.memory.conns.get(master);
        let status = Status(conn.status.load(Ordering::Relaxed));
        // A master whose first packet has not got through yet announced nothing anybody saw.
        if !status.has(Status::CONFIRMED) && !P::slips(Slip::MatchesUnconfirmed) {
            return None;
        }
        let holds = match self.engine.config.revision.master_ref {
            MasterRef::Borrowed => return Some((MasterHold::Borrowed(master), conn)),
            MasterRef::Counted if P::slips(Slip::MasterFromZero) => {
                P::atomic_add(&conn.uses, 1);
                true
            }
            MasterRef::Counted if status.has(Status::DYING) && !P::slips(Slip::MatchesDying) => {
                false
            }
            MasterRef::Counted => P::atomic_inc_not_zero(&conn.uses),
        };
        holds.then_some((MasterHold::Counted(ConnRef(master)), conn))
    }

    /// Finds an expectation that `tuple` hits, inactive ones included; takes no reference.
    #[doc(alias = "__nf_ct_expect_find")]
    #[must_use]
    pub fn find(&self, at: At, net: NetId, zone: Zone, tuple: &Tuple) -> Option<ExpectId> {
        Some(self.engine.find(at, net, zone, tuple, Access::Locked)?.id())
    }

    // ---- removal ---------------------------------------------------------------------------

    /// Takes the right to unlink: `del_timer()` said yes.
    #[inline(always)]
    fn win(&self, exp: Object<'a, Expectation<P>>) -> bool {
        match self.engine.config.revision.expiry {
            Expiry::Timer => {
                let (engine, key) = (self.engine, TimerKey::expectation(exp.index));
                P::timer_detached(engine.timers.detach(&engine.memory, &exp.timer, key))
            }
            // Without timers nobody competes: the lock is all.
            Expiry::Collected => true,
        }
    }

    /// Ends a linked expectation, unless its timer was faster; answers whether it did.
    pub fn remove(&mut self, at: At, index: u32, origin: Origin, cause: Cause) -> bool {
        self.end(self.engine.memory.expectations.object(index), &Ending { at, origin, cause })
    }

    /// The same, where it lies.
    #[inline(never)]
    pub(crate) fn end(&mut self, exp: Object<'a, Expectation<P>>, ending: &Ending) -> bool {
        let won = self.may_end(exp, ending.cause);
        if won {
            self.end_won(exp, None, ending);
        }
        won
    }

    #[inline(always)]
    fn may_end(&self, exp: Object<'a, Expectation<P>>, cause: Cause) -> bool {
        let blind = match cause {
            Cause::Refresh => P::slips(Slip::RefreshIgnoresTimer),
            Cause::Eviction => P::slips(Slip::EvictionIgnoresTimer),
            Cause::Unexpect => P::slips(Slip::UnexpectIgnoresTimer),
            Cause::MasterGone => P::slips(Slip::TeardownIgnoresTimer),
            _ => false,
        };
        self.win(exp) || blind
    }

    #[inline(always)]
    fn end_won(
        &mut self,
        exp: Object<'a, Expectation<P>>,
        conn: Option<(&Conn<P>, Listed)>,
        ending: &Ending,
    ) {
        self.unlink(exp, conn, ending);
        if self.engine.config.revision.expiry == Expiry::Timer
            && !P::slips(Slip::TimerReferenceKept)
        {
            self.engine.put_object(exp);
        }
    }

    /// Collects what is over: by its age, or because it was taken back before.
    pub(crate) fn reap(&mut self, at: At, exp: Object<'a, Expectation<P>>) {
        let dead = exp.flags_locked().has(Flags::DEAD);
        let cause = if dead { Cause::Unexpect } else { Cause::Expiry };
        self.end(exp, &Ending::by_kernel(at, cause));
    }

    /// Takes a won expectation out of both lists, tells, and gives the table's reference back;
    /// `conn` is its master, if that was looked up before, and whether it is in its list.
    #[doc(alias = "nf_ct_unlink_expect_report")]
    #[doc(alias = "nf_ct_unlink_expect")]
    #[inline(always)]
    pub(crate) fn unlink(
        &mut self,
        exp: Object<'a, Expectation<P>>,
        conn: Option<(&Conn<P>, Listed)>,
        ending: &Ending,
    ) {
        let engine = self.engine;
        let net = exp.net();
        let slot = engine.net(net);
        assert!(
            slot.alive.load_locked() != 0,
            "use after free of {}{net:?}",
            engine.owned_by_net()
        );
        engine.table_of(slot).del(&engine.memory.expectations, exp);
        if !P::slips(Slip::CountNotLowered) {
            slot.count.store(slot.count.load_locked().wrapping_sub(1), Ordering::Relaxed);
        }
        let (conn, listed) =
            conn.unwrap_or_else(|| (engine.memory.conns.get(exp.master()), Listed::Yes));
        self.unlist(exp, (conn, listed), ending.cause);
        engine.tell_destroy(exp.index, ending.origin, ending.cause);
        if let Some(eviction) = &mut self.state.eviction {
            eviction.removed(ending.at.now, exp.id(), ending.cause);
        }
        if !P::slips(Slip::TableReferenceKept) {
            engine.put_object(exp);
        }
        if !P::slips(Slip::DeleteUncounted) {
            slot.count_stat(ending.at.cpu, |stats| {
                stats.expect_delete = stats.expect_delete.wrapping_add(1);
            });
        }
    }

    /// Takes an expectation out of its master's list, and out of its count.
    #[inline(always)]
    fn unlist(
        &self,
        exp: Object<'a, Expectation<P>>,
        (conn, listed): (&Conn<P>, Listed),
        cause: Cause,
    ) {
        let slab = &self.engine.memory.expectations;
        let class = exp.class().index();
        if listed == Listed::Yes && !P::slips(Slip::StaysInMastersList) {
            let (older, newer) = (exp.older.get(), exp.newer.get());
            either(older, &conn.oldest[class], &slab.at(older).newer).set(newer);
            either(newer, &conn.newest[class], &slab.at(newer).older).set(older);
        }
        let kept = match cause {
            Cause::Match => P::slips(Slip::ExpectingKeptByMatch),
            Cause::Expiry => P::slips(Slip::ExpectingKeptByExpiry),
            Cause::Eviction => P::slips(Slip::ExpectingKeptByEviction),
            _ => false,
        };
        if !kept {
            let first = P::slips(Slip::ExpectingOfFirstClass);
            let expecting = &conn.expecting[if first { 0 } else { class }];
            // KERNEL: nf_ct_unlink_expect_report(), v3.9: a byte, which wraps like one.
            expecting.set(expecting.get().wrapping_sub(1));
        }
    }

    /// Ends all expectations of a connection, newest first; answers how many. A connection without
    /// a helper extension has none.
    #[doc(alias = "nf_ct_remove_expectations")]
    pub fn remove_expectations(&mut self, at: At, master: ConnId, cause: Cause) -> u32 {
        let conn = self.engine.memory.conns.get(master);
        let mut ended = 0;
        let mut cursor = Cursor::at_newest(conn);
        let classes = cursor.classes();
        self.touch_list(conn);
        // KERNEL: nf_ct_remove_expectations(), v3.9: one whose timer is firing stays linked to
        // a master that may be freed before the callback runs (CVE-2026-80668).
        let ending = Ending::by_kernel(at, cause);
        // The list is not mended each time one goes: at last it is made of those that stay.
        let mut stays = [NULL; MAX_CLASSES];
        while let Some(exp) = self.advance(&mut cursor) {
            let ends = self.may_end(exp, cause);
            if ends {
                self.end_won(exp, Some((conn, Listed::No)), &ending);
                ended += 1;
            }
            if !ends || P::slips(Slip::StaysInMastersList) {
                self.follow_with(conn, &mut stays, exp);
            }
            if P::slips(Slip::TeardownStopsEarly) {
                while let Some(rest) = self.advance(&mut cursor) {
                    self.follow_with(conn, &mut stays, rest);
                }
            }
        }
        for (class, &last) in stays.iter().enumerate().take(classes) {
            self.after(conn, class, last).set(NULL);
            conn.oldest[class].set(last);
        }
        ended
    }

    /// What points at whoever is behind `last` in the list of a class.
    #[inline(always)]
    fn after<'b>(&self, conn: &'b Conn<P>, class: usize, last: u32) -> &'b P::Plain<u32>
    where
        'a: 'b,
    {
        either(last, &conn.newest[class], &self.engine.memory.expectations.at(last).older)
    }

    /// Lets `exp` be behind those of its class that stay.
    #[cold]
    #[inline(never)]
    fn follow_with(
        &self,
        conn: &Conn<P>,
        stays: &mut [u32; MAX_CLASSES],
        exp: Object<'a, Expectation<P>>,
    ) {
        let class = exp.class().index();
        self.after(conn, class, stays[class]).set(exp.index);
        exp.newer.set(stays[class]);
        stays[class] = exp.index;
    }

    pub(crate) fn unexpect(&mut self, at: At, exp: Object<'a, Expectation<P>>) {
        match self.engine.config.revision.expiry {
            Expiry::Timer => {
                self.end(exp, &Ending::by_kernel(at, Cause::Unexpect));
            }
            // KERNEL: nf_ct_unexpect_related(), 7.2: only marked; whoever comes by collects it.
            Expiry::Collected => {
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
        let (table, slab) = (engine.table(net), &engine.memory.expectations);
        for bucket in 0..table.buckets() {
            let mut index = table.bucket_first(slab, bucket, Access::Locked);
            while index != NULL {
                let exp = slab.object(index);
                index = table.bucket_next(slab, index, Access::Locked);
                if exp.net() == net && which(&exp) {
                    self.end(exp, &Ending { at, origin, cause });
                }
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
        while let Some(exp) = self.advance(&mut cursor) {
            if self.engine.is_over(at, exp) {
                self.reap(at, exp);
            }
        }
    }

    // ---- walks over a master's list ----------------------------------------------------------

    /// The start of a master's list.
    #[inline]
    pub(crate) fn cursor(&self, master: u32) -> Cursor {
        Cursor::at_newest(self.engine.memory.conns.at(master))
    }

    /// Asks for the memory of a master's first list from both ends, so that two misses are waited
    /// for at a time and those behind them not at all (`nfexp bench destroy-64`).
    #[inline(always)]
    fn touch_list(&self, conn: &Conn<P>) {
        let ends @ [newest, oldest] = [conn.newest[0].get(), conn.oldest[0].get()];
        if P::SLAB_POISON || newest == oldest {
            return;
        }
        let engine = self.engine;
        let table = engine.table(engine.memory.expectations.at(newest).net());
        let mut left = Some(ends);
        while let Some(ends) = left {
            left = engine.prefetch_ends(table, ends);
        }
    }

    /// The next of a master's list, newest first over all classes. The one answered may be
    /// unlinked before the next call.
    #[inline]
    pub(crate) fn advance(&self, cursor: &mut Cursor) -> Option<Object<'a, Expectation<P>>> {
        let slab = &self.engine.memory.expectations;
        match cursor {
            Cursor::One(NULL) => None,
            Cursor::One(newest) => {
                let exp = slab.object(*newest);
                *newest = exp.older.get();
                Some(exp)
            }
            Cursor::Several(classes) => self.advance_merging(classes),
        }
    }

    #[inline(never)]
    fn advance_merging(
        &self,
        classes: &mut [u32; MAX_CLASSES],
    ) -> Option<Object<'a, Expectation<P>>> {
        let slab = &self.engine.memory.expectations;
        let linked = classes.iter_mut().filter(|index| **index != NULL);
        let newest = linked.max_by_key(|index| slab.at(**index).age.get())?;
        let exp = slab.object(*newest);
        *newest = exp.older.get();
        Some(exp)
    }
}

impl<P: Platform> core::fmt::Debug for Locked<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}
