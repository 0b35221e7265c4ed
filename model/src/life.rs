// SPDX-License-Identifier: GPL-2.0-only
//! The life of an expectation, from its maker's side: made, said what it is, announced, taken
//! back, given back.
//!
//! ```text
//!   alloc ─▶ init, set_… ─▶ related ─▶ linked
//!              │                          │ unexpect
//!              └── put ──▶ free ◀── put ──┘
//! ```
//!
//! The rule that matters: who made it holds one reference until its own `put`, whatever becomes
//! of the announcement.

use crate::conn::{Attached, Conn, ConnId, ConnRef};
use crate::engine::{At, Engine, MasterCheck};
use crate::error::{AllocPoint, NoMemory, RelateError};
use crate::event::{ExpectFn, Origin};
use crate::expectation::{
    About, Announcement, ExpectId, ExpectRef, Expectation, Expected, Flags, Nat,
};
use crate::helper::{Class, HelperId};
use crate::kernel::Jiffies;
use crate::kernel::hlist::Index;
use crate::kernel::platform::{Ordering, Plain, Platform, Word};
use crate::kernel::prefetch::prefetch;
use crate::kernel::rcu::{Callback, Rcu};
use crate::kernel::slab::{Object, Record};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::{NetId, Zone};
use crate::revision::{NatInit, NewEvent};
use crate::slip::Slip;
use crate::tuple::{Mask, Tuple};

impl<P: Platform> Engine<P> {
    /// Makes an expectation, says what it is, announces it and gives it back: all that most
    /// helpers do, and nothing is looked up twice on the way.
    ///
    /// # Errors
    /// When memory has run out; within, as [`related`](Self::related).
    ///
    /// # Panics
    /// If nobody holds a reference to `master`.
    #[inline(always)]
    pub fn announce(
        &self,
        at: At,
        master: ConnId,
        said: &Announcement,
        (origin, masters): (Origin, MasterCheck),
    ) -> Result<Result<ExpectId, RelateError>, NoMemory> {
        self.foresee(master, said);
        let (exp, conn) = self.alloc_object(at, master)?;
        self.init_object(exp, said.class, said.tuple, said.mask);
        exp.flags.reset(said.flags.0);
        if let Some(expires) = said.expires {
            self.timers.set_expires(&self.memory, TimerKey::expectation(exp.index), expires);
        }
        let id = exp.id();
        let known = (Some(conn), &said.tuple);
        let related = self.related_object(at, exp, known, (origin, masters));
        self.put_object(exp);
        Ok(related.map(|()| id))
    }

    /// Asks for the memory of the master, of whom the newcomer probably replaces and of whom it may
    /// push out, while it is made (`nfexp bench refresh`: a third; `evict`: a tenth).
    #[inline(always)]
    fn foresee(&self, master: ConnId, said: &Announcement) {
        // Which namespace it is the master would say, later; mostly it is this.
        let (net, table) = (NetId::INIT, self.table(NetId::INIT));
        if table.foresees() {
            let (slab, conn) = (&self.memory.expectations, self.memory.conns.at(master.index()));
            prefetch(conn);
            table.foresee(slab, net, &said.tuple);
            slab.at(conn.oldest[said.class.index()].get()).prefetch();
        }
    }

    /// A fresh expectation of `master`, to be initialised; the creator holds its reference.
    ///
    /// # Errors
    /// When memory has run out.
    #[doc(alias = "nf_ct_expect_alloc")]
    #[inline(always)]
    pub fn alloc(&self, at: At, master: &ConnRef) -> Result<ExpectRef, NoMemory> {
        let (exp, _) = self.alloc_object(at, master.id())?;
        Ok(ExpectRef(exp.id()))
    }

    #[inline(always)]
    fn alloc_object(
        &self,
        at: At,
        master: ConnId,
    ) -> Result<(Object<'_, Expectation<P>>, &Conn<P>), NoMemory> {
        self.may_alloc(AllocPoint::Expectation)?;
        let exp = self.memory.expectations.alloc().ok_or(NoMemory(AllocPoint::Expectation))?;
        let conn = self.memory.conns.get(master);
        if self.config.revision.fresh_memory == crate::revision::FreshMemory::Zeroed {
            self.timers.set_expires(&self.memory, TimerKey::expectation(exp.index), at.now);
            if exp.nat_lingers() {
                self.memory.nat.set(exp.index, Nat::default());
                exp.set_nat_lingers(false);
            }
        }
        let zone = Zone(conn.zone.load(Ordering::Relaxed) as u16);
        let creator = Attached::from_word(conn.helper.load(Ordering::Relaxed)).helper();
        exp.begin(master, conn.about().net.probably_init(), zone, creator);
        exp.uses.reset(1);
        Ok((exp, conn))
    }

    /// Says what is expected: tuple and mask, class; all the rest is cleared.
    #[doc(alias = "nf_ct_expect_init")]
    pub fn init(&self, exp: &ExpectRef, class: Class, expected: &Expected) {
        let (tuple, mask) = expected.tuple_and_mask();
        self.init_key(exp, class, tuple, mask);
    }

    /// The same with any mask, as ctnetlink and the broadcast helper make them.
    pub fn init_key(&self, exp: &ExpectRef, class: Class, tuple: Tuple, mask: Mask) {
        self.init_object(self.memory.expectations.get_object(exp.0), class, tuple, mask);
    }

    #[inline(always)]
    fn init_object(&self, exp: Object<'_, Expectation<P>>, class: Class, tuple: Tuple, mask: Mask) {
        exp.flags.reset(0);
        let has_nat = match self.config.revision.nat_init {
            NatInit::Cleared => false,
            // KERNEL: nf_ct_expect_init(), v3.9: the translation of the memory's last tenant is
            // told with this one.
            NatInit::LeftOver => exp.nat_lingers(),
        };
        exp.set_terms(class, tuple, mask, has_nat);
    }

    /// Sets its flags before it is inserted.
    pub fn set_flags(&self, exp: &ExpectRef, flags: Flags) {
        self.memory.expectations.get(exp.0).flags.reset(flags.0);
    }

    /// Names the helper its connection will be given.
    pub fn set_assign_helper(&self, exp: &ExpectRef, helper: Option<HelperId>) {
        let record = self.memory.expectations.get(exp.0);
        record.set_about(About { assign_helper: helper, ..record.about() });
    }

    /// Names its function.
    pub fn set_expectfn(&self, exp: &ExpectRef, expectfn: Option<ExpectFn>) {
        let record = self.memory.expectations.get(exp.0);
        record.set_about(About { expectfn, ..record.about() });
    }

    /// Gives it a translation.
    pub fn set_nat(&self, exp: &ExpectRef, nat: Nat) {
        let record = self.memory.expectations.get(exp.0);
        record.set_about(About { has_nat: true, ..record.about() });
        record.set_nat_lingers(nat != Nat::default());
        self.memory.nat.set(exp.0.index(), nat);
    }

    /// Sets when it expires; a master with a helper overrules it at insertion.
    pub fn set_expires(&self, exp: &ExpectRef, expires: Jiffies) {
        self.timers.set_expires(&self.memory, TimerKey::expectation(exp.0.index()), expires);
    }

    /// Announces it: checks, makes room, inserts, tells.
    ///
    /// # Errors
    /// [`RelateError`]; the reference stays the caller's either way.
    #[doc(alias = "nf_ct_expect_related_report")]
    #[doc(alias = "nf_ct_expect_related")]
    #[inline(always)]
    pub fn related(
        &self,
        at: At,
        exp: &ExpectRef,
        origin: Origin,
        masters: MasterCheck,
    ) -> Result<(), RelateError> {
        let exp = self.memory.expectations.get_object(exp.0);
        self.related_object(at, exp, (None, &exp.tuple()), (origin, masters))
    }

    /// The same, where it lies; `conn` is its master, if that was looked up before, and `tuple` its
    /// own.
    #[inline(always)]
    fn related_object<'a>(
        &'a self,
        at: At,
        exp: Object<'a, Expectation<P>>,
        (conn, tuple): (Option<&'a Conn<P>>, &Tuple),
        (origin, masters): (Origin, MasterCheck),
    ) -> Result<(), RelateError> {
        let mut locked = self.lock();
        if P::slips(Slip::RefreshWithoutInsert) && locked.is_expected_already(exp, masters) {
            return Ok(());
        }
        let conn = conn.unwrap_or_else(|| self.memory.conns.get(exp.master()));
        let checked = locked.check(at, exp, (conn, tuple), masters)?;
        locked.insert(at, exp, checked);
        match self.config.revision.new_event {
            NewEvent::UnderLock => self.tell_new(exp.index, origin),
            NewEvent::AfterUnlock => {
                // KERNEL: nf_ct_expect_related_report(), v3.9: another CPU may match and tell
                // DESTROY between here and there.
                drop(locked);
                self.tell_new(exp.index, origin);
            }
        }
        Ok(())
    }

    /// Takes an announcement back. It may have matched already: that is not undone.
    #[doc(alias = "nf_ct_unexpect_related")]
    pub fn unexpect(&self, at: At, exp: &ExpectRef) {
        let exp = self.memory.expectations.get_object(exp.0);
        self.lock().unexpect(at, exp);
    }

    /// Gives a reference back; the last one frees, once the readers of this moment are gone.
    #[doc(alias = "nf_ct_expect_put")]
    #[inline(always)]
    pub fn put(&self, exp: ExpectRef) {
        self.put_object(self.memory.expectations.get_object(exp.0));
    }

    #[inline(always)]
    pub(crate) fn put_object(&self, exp: Object<'_, Expectation<P>>) {
        if P::atomic_dec_and_test(&exp.uses) {
            self.rcu.call_rcu(&self.memory, Callback::FreeExpectation(exp.index));
        }
    }
}
