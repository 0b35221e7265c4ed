// SPDX-License-Identifier: GPL-2.0-only
//! The part of `nf_conntrack_core.c` that expectations meet.
//!
//! ```text
//!  first packet ─▶ init_conntrack ──▶ unconfirmed ──▶ confirm ──▶ in the table
//!                    │ announced?                                   │ delete, timeout
//!                    └▶ EXPECTED, master, mark, helper              ▼
//!                                          last put ◀── dying: its expectations end
//! ```
//!
//! The rule that matters: a master's expectations end twice, when it leaves the table and
//! again when its last reference goes, because its helper may still run in between.
//!
//! # Source
//! `init_conntrack`, `__nf_conntrack_confirm`, `nf_ct_delete`, `destroy_conntrack`, v3.9 and 6.18.

use crate::conn::{AboutConn, Attached, Conn, ConnId, ConnRef, Status};
use crate::conn_table::Place;
use crate::engine::{At, Engine, Firing};
use crate::error::{AllocPoint, NoMemory};
use crate::event::{Cause, ConnEventKind, Origin};
use crate::expectation::ExpectId;
use crate::helper::{HelperId, MAX_CLASSES};
use crate::kernel::Jiffies;
use crate::kernel::platform::{Ordering, Plain, Platform, SpinLock, Word};
use crate::kernel::slab::{NULL, Object};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::locked::{Locked, MasterHold, Matched};
use crate::nat::Call;
use crate::netns::{NetId, Zone};
use crate::revision::{ExpectLock, Expiry, FoundStat};
use crate::slip::Slip;
use crate::tuple::Tuple;

/// Which way a packet of a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// As its first packet went.
    Original,
    /// Back.
    Reply,
}

/// A connection that a first packet made.
#[derive(Debug)]
#[must_use = "holds a reference"]
pub struct Born {
    /// The connection, not confirmed yet.
    pub ct: ConnRef,
    /// The expectation that announced it.
    pub announced: Option<ExpectId>,
    /// Its function, which the caller runs ([`Engine::run_expectfn`]).
    pub call: Option<Call>,
}

impl<P: Platform> Engine<P> {
    /// Memory for a connection; the creator holds its reference.
    ///
    /// # Errors
    /// When memory has run out.
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    #[doc(alias = "nf_conntrack_alloc")]
    pub fn alloc_conn(
        &self,
        net: NetId,
        zone: Zone,
        original: Tuple,
        reply: Tuple,
    ) -> Result<ConnRef, NoMemory> {
        let conn = self.conn_memory()?;
        // Readers may look while another connection moves in: words, stored one by one.
        conn.status.store(0, Ordering::Relaxed);
        conn.zone.store(u32::from(zone.0), Ordering::Relaxed);
        conn.helper.store(Attached::Nothing.to_word(), Ordering::Relaxed);
        for class in 0..MAX_CLASSES {
            conn.newest[class].set(NULL);
            conn.oldest[class].set(NULL);
            conn.expecting[class].set(0);
        }
        let tells = self.config.events;
        conn.about.set(AboutConn { original, reply, net, tells, ..AboutConn::NONE });
        conn.uses.store(1, Ordering::Release);
        Ok(ConnRef(conn.id()))
    }

    #[inline]
    fn conn_memory(&self) -> Result<Object<'_, Conn<P>>, NoMemory> {
        self.may_alloc(AllocPoint::Conn)?;
        self.memory.conns.alloc().ok_or(NoMemory(AllocPoint::Conn))
    }

    /// Gives a connection the helper extension, without or with a helper.
    ///
    /// # Errors
    /// When memory has run out: the connection goes on without.
    ///
    /// # Panics
    /// If no such helper is in the configuration.
    #[doc(alias = "nf_ct_helper_ext_add")]
    pub fn attach(&self, ct: &ConnRef, helper: Option<HelperId>) -> Result<(), NoMemory> {
        let conn = self.memory.conns.get(ct.0);
        if let Some(helper) = helper {
            // One of another engine's stops here.
            let _ = self.helper(helper);
        }
        if conn.attached() == Attached::Nothing {
            self.may_alloc(AllocPoint::HelpExtension)?;
            // KERNEL: nf_ct_helper_ext_add(), 7.2: whoever has the extension is marked, so that
            // the worker that collects finds it.
            if self.config.revision.expiry == Expiry::Collected {
                conn.status.fetch_or(Status::HELPER.0, Ordering::Relaxed);
            }
        }
        let attached = helper.map_or(Attached::Extension, Attached::Helper);
        P::rcu_assign_pointer(&conn.helper, attached.to_word());
        Ok(())
    }

    /// The helper of a connection (`nfct_help(ct)->helper`).
    #[doc(alias = "nfct_help")]
    #[must_use]
    pub fn helper_of(&self, ct: &ConnRef) -> Option<HelperId> {
        self.memory.conns.get(ct.0).attached().helper()
    }

    /// Sets `mark`, which announced connections inherit.
    pub fn set_mark(&self, ct: &ConnRef, mark: u32) {
        let conn = self.memory.conns.get(ct.0);
        conn.about.set(AboutConn { mark, ..conn.about() });
    }

    /// Sets the security mark, which they inherit too.
    pub fn set_secmark(&self, ct: &ConnRef, secmark: u32) {
        let conn = self.memory.conns.get(ct.0);
        conn.about.set(AboutConn { secmark, ..conn.about() });
    }

    /// Sets status bits.
    pub fn set_status(&self, ct: &ConnRef, bits: Status) {
        self.memory.conns.get(ct.0).status.fetch_or(bits.0, Ordering::Relaxed);
    }

    /// The connection of a first packet: asks whether it was announced, and makes it its
    /// master's child if so. `unlink` as in [`Locked::find_expectation`](crate::Locked::find_expectation).
    ///
    /// # Errors
    /// When memory has run out: the packet is dropped.
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    pub fn init_conntrack(
        &self,
        at: At,
        net: NetId,
        zone: Zone,
        tuple: Tuple,
        reply: Tuple,
        unlink: bool,
    ) -> Result<Born, NoMemory> {
        let ct = self.alloc_conn(net, zone, tuple, reply)?;
        let mut locked = self.lock();
        let found = locked.find_expectation(at, net, zone, &tuple, unlink);
        let Some(Matched { exp, master }) = found else {
            self.count_stat(at, net, |stats| stats.new = stats.new.wrapping_add(1));
            return Ok(Born { ct, announced: None, call: None });
        };
        let conn = self.memory.conns.get(ct.0);
        conn.status.fetch_or(Status::EXPECTED.0, Ordering::Relaxed);
        let about = self.memory.expectations.get(exp.id()).about();
        if let Some(helper) = about.assign_helper {
            // KERNEL: init_conntrack(), 7.2: the extension is there even if its helper may not be
            // held. Without memory for it the child goes on without a helper.
            let _ = self.attach(&ct, Some(helper).filter(|helper| self.may_hold(*helper)));
        }
        let id = match master {
            MasterHold::Counted(master) => master.0,
            MasterHold::Borrowed(id) => {
                // KERNEL: init_conntrack(), v3.9: increments even a count that reached zero,
                // where the master waits for this lock to be destroyed.
                if !P::slips(Slip::ChildWithoutMaster) {
                    P::atomic_add(&self.memory.conns.get(id).uses, 1);
                }
                id
            }
        };
        let parent = self.memory.conns.get(id).about();
        let (mark, secmark) = (parent.mark, parent.secmark);
        conn.about.set(AboutConn { master: Some(id), mark, secmark, ..conn.about() });
        self.count_stat(at, net, |stats| stats.expect_new = stats.expect_new.wrapping_add(1));
        drop(locked);
        let call = about.expectfn.map(|function| {
            let src = self.memory.expectations.get(exp.id()).tuple().src;
            Call { function, saved: self.saved(exp.id()), src, class: about.class }
        });
        let born = Born { ct, announced: Some(exp.id()), call };
        self.put(exp);
        Ok(born)
    }

    /// The same for a first packet that will not be let through, where no expectation is there
    /// that it could consume: a connection comes and goes, and nothing is written of it that nobody
    /// would read. False if there is an expectation.
    ///
    /// # Panics
    /// If the configuration has no such namespace.
    pub fn init_in_vain(&self, at: At, net: NetId) -> bool {
        if self.expect_count(net) != 0 {
            return false;
        }
        if let Ok(conn) = self.conn_memory() {
            self.count_stat(at, net, |stats| stats.new = stats.new.wrapping_add(1));
            self.memory.conns.free(conn.id().index());
        }
        true
    }

    /// The first packet got through: the connection enters the table. False if another took
    /// its place: the packet is dropped.
    #[doc(alias = "__nf_conntrack_confirm")]
    pub fn confirm(&self, at: At, ct: &ConnRef, origin: Origin) -> bool {
        let conn = self.memory.conns.get(ct.0);
        let AboutConn { original, reply, net, .. } = conn.about();
        let zone = Zone(conn.zone.load_locked() as u16);
        if !self.nft_ct_expect_help(at, ct) {
            return false;
        }
        let shared = self.lock_shared();
        let mut table = self.conns.lock();
        let places = [Place(net, zone, original), Place(net, zone, reply)];
        if conn.status().has(Status::DYING)
            || !table.insert(ct.0, &places, |slot, way| self.stands(slot, way))
        {
            self.count_stat(at, net, |s| s.insert_failed = s.insert_failed.wrapping_add(1));
            return false;
        }
        drop(table);
        P::atomic_add(&conn.uses, 1);
        conn.status.fetch_or(Status::CONFIRMED.0, Ordering::Relaxed);
        self.count_stat(at, net, |stats| stats.insert = stats.insert.wrapping_add(1));
        drop(shared);
        self.tell_conn(ct.0, ConnEventKind::New, origin);
        true
    }

    /// The lock of whoever changes the table of connections, where expectations are under it too.
    fn lock_shared(&self) -> Option<Locked<'_, P>> {
        // KERNEL: nf_ct_delete_from_lists() and __nf_conntrack_confirm(), v3.9: one
        // `nf_conntrack_lock`; since v3.15 they hold locks of the table's buckets, and only
        // nf_ct_remove_expectations() takes that of expectations.
        (self.config.revision.expect_lock == ExpectLock::Shared).then(|| self.lock())
    }

    /// The connection a packet belongs to, and which way it goes.
    #[doc(alias = "nf_conntrack_find_get")]
    pub fn find_conn(&self, net: NetId, zone: Zone, tuple: &Tuple) -> Option<(ConnRef, Direction)> {
        let (id, direction) = {
            let mut table = self.conns.lock();
            let place = Place(net, zone, *tuple);
            let found = table.find(&place, |slot, way| self.stands(slot, way))?;
            if self.config.revision.found_stat == FoundStat::EachLookup {
                let count = table.found.entry(net).or_default();
                *count = count.wrapping_add(1);
            }
            found
        };
        let conn = self.memory.conns.get(id);
        P::atomic_inc_not_zero(&conn.uses).then_some((ConnRef(id), direction))
    }

    /// Whether a connection has this tuple in either direction.
    #[doc(alias = "nf_conntrack_tuple_taken")]
    #[must_use]
    pub fn is_taken(&self, net: NetId, zone: Zone, tuple: &Tuple) -> bool {
        let place = Place(net, zone, *tuple);
        self.conns.lock().find(&place, |slot, way| self.stands(slot, way)).is_some()
    }

    /// Where a connection that is in the table stands.
    #[inline]
    fn stands(&self, slot: u32, direction: Direction) -> Place {
        let conn = self.memory.conns.at(slot);
        let AboutConn { original, reply, net, .. } = conn.about();
        let tuple = match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        Place(net, Zone(conn.zone.load_locked() as u16), tuple)
    }

    /// How many lookups found a connection (`found`), where the kernel counts them.
    pub(crate) fn found(&self, net: NetId) -> u32 {
        self.conns.lock().found.get(&net).copied().unwrap_or_default()
    }

    /// One more reference to a connection.
    pub fn get_conn(&self, ct: &ConnRef) -> ConnRef {
        P::atomic_add(&self.memory.conns.get(ct.0).uses, 1);
        ConnRef(ct.0)
    }

    /// Takes a connection out of the table; its expectations end. False if it was out already.
    #[doc(alias = "nf_ct_delete")]
    #[doc(alias = "nf_ct_delete_from_lists")]
    pub fn delete_conn(&self, at: At, ct: &ConnRef, origin: Origin) -> bool {
        self.delete(at, ct.0, origin)
    }

    fn delete(&self, at: At, id: ConnId, origin: Origin) -> bool {
        self.delete_after(at, id, origin, || ())
    }

    /// Deletes a connection; `helper_destroy` is what its helper does about it, after the event
    /// and before anything is taken away.
    #[doc(alias = "nf_ct_helper_destroy")]
    pub(crate) fn delete_after(
        &self,
        at: At,
        id: ConnId,
        origin: Origin,
        helper_destroy: impl FnOnce(),
    ) -> bool {
        let conn = self.memory.conns.get(id);
        let before = Status(conn.status.fetch_or(Status::DYING.0, Ordering::Relaxed));
        if before.has(Status::DYING) || !before.has(Status::CONFIRMED) {
            return false;
        }
        self.timers.detach(&self.memory, &conn.timer, TimerKey::conn(id.index()));
        self.tell_conn(id, ConnEventKind::Destroy, origin);
        helper_destroy();
        let shared = self.lock_shared();
        self.conns.lock().remove(id);
        let mut locked = shared.unwrap_or_else(|| self.lock());
        if !P::slips(Slip::FirstTeardownOmitted) {
            locked.remove_expectations(at, id, Cause::MasterGone);
        }
        drop(locked);
        // The table's reference.
        self.put_conn(at, ConnRef(id));
        true
    }

    /// Gives a reference back; the last one destroys the connection.
    #[doc(alias = "nf_ct_put")]
    #[doc(alias = "destroy_conntrack")]
    pub fn put_conn(&self, at: At, ct: ConnRef) {
        let mut next = Some(ct);
        // A destroyed child gives its master's reference back, which may be the last of that.
        while let Some(ct) = next.take() {
            let conn = self.memory.conns.get(ct.0);
            if P::atomic_dec_and_test(&conn.uses) {
                if !P::slips(Slip::SecondTeardownOmitted) {
                    self.lock().remove_expectations(at, ct.0, Cause::MasterGone);
                }
                next = conn.about().master.map(ConnRef);
                let _ = self.take_nft_expect(&ct);
                self.forget_mapping(ct.0);
                self.memory.conns.free(ct.0.index());
            }
        }
    }

    /// The garbage collector comes by whoever lives in a connection's slot, and collects what is over
    /// of its expectations: not of one that is not confirmed, or that goes.
    ///
    /// # Panics
    /// If there is no such slot.
    ///
    /// # Source
    /// `nf_ct_help_gc()`, 7.2; nothing before. The memory is type-stable, so that the collector holds
    /// nothing when it comes.
    #[doc(alias = "nf_ct_help_gc")]
    pub fn help_gc(&self, at: At, slot: u32) {
        let conn = self.memory.conns.object(slot);
        if !P::atomic_inc_not_zero(&conn.uses) {
            return;
        }
        let ct = ConnRef(conn.id());
        let status = Status(conn.status.load(Ordering::Acquire));
        if status.has(Status::CONFIRMED) && !status.has(Status::DYING) {
            self.lock().collect(at, ct.0);
        }
        self.put_conn(at, ct);
    }

    /// Sets when a connection times out by itself.
    #[doc(alias = "nf_ct_refresh")]
    pub fn set_conn_expiry(&self, at: At, ct: &ConnRef, expires: Jiffies) {
        let conn = self.memory.conns.get(ct.0);
        let key = TimerKey::conn(ct.0.index());
        self.timers.detach(&self.memory, &conn.timer, key);
        let timer = (&conn.timer, &conn.expires);
        self.timers.start(&self.memory, timer, key, Some(expires), at.now);
    }

    pub(crate) fn conn_timed_out(&self, at: At, index: u32) {
        self.delete(at, self.memory.conns.id(index), Origin::KERNEL);
    }

    /// The helper extension of a connection.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn attached_of(&self, id: ConnId) -> Attached {
        self.memory.conns.get(id).attached()
    }

    /// A connection's original tuple and its zone.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn place_of(&self, id: ConnId) -> (Tuple, Zone) {
        let conn = self.memory.conns.get(id);
        (conn.about().original, Zone(conn.zone.load_locked() as u16))
    }

    /// Takes the helper from a connection; the extension stays.
    ///
    /// # Panics
    /// If it is gone.
    #[doc(alias = "unhelp")]
    pub fn forget_helper(&self, id: ConnId) {
        let conn = self.memory.conns.get(id);
        P::rcu_assign_pointer(&conn.helper, Attached::Extension.to_word());
    }

    /// Every confirmed connection of a namespace, oldest slot first.
    #[must_use]
    pub fn conns_of(&self, net: NetId) -> Vec<ConnId> {
        let table = self.conns.lock();
        let here = |id: &ConnId| self.memory.conns.get(*id).about().net == net;
        let mut ids: Vec<ConnId> = table.iter().filter(here).collect();
        ids.sort_unstable();
        ids
    }
}

impl Firing {
    /// The slot of the connection whose timer it is; `None` for an expectation's.
    #[must_use]
    pub fn conn(&self) -> Option<u32> {
        self.0.is_conn().then(|| self.0.index())
    }
}
