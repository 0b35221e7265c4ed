// SPDX-License-Identifier: GPL-2.0-only
//! Looking at an engine from outside, and the small ways to its parts.
//!
//! The rule that matters: nothing here changes anything, but [`Engine::fail_nth`].

use crate::conn::{Conn, ConnId};
use crate::engine::{Config, Engine};
use crate::error::{AllocPoint, NoMemory};
use crate::expectation::{About, ExpectId, Expectation};
use crate::helper::{Helper, HelperId, NFT_CT_EXPECT};
use crate::kernel::Jiffies;
use crate::kernel::hlist::Index;
use crate::kernel::platform::{Ordering, Plain, Platform, Word};
use crate::kernel::rcu::{Callback, UpRcu};
use crate::kernel::slab::{NULL, POISON};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::memory::Memory;
use crate::netns::{Net, NetId};
use crate::revision::TableScope;
use std::sync::Arc;

impl<P: Platform> Engine<P> {
    /// How the engine was set up.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The object caches, for audits and platforms.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory<P>> {
        &self.memory
    }

    /// The RCU domain.
    #[must_use]
    pub fn rcu(&self) -> &P::Rcu {
        &self.rcu
    }

    /// How many bytes stand for the expectations that are allocated: records, index, timers.
    #[must_use]
    pub fn bytes(&self) -> [usize; 3] {
        let records = self.memory.expectations.live() as usize * size_of::<Expectation<P>>();
        let index = self.nets.iter().map(|net| net.index.bytes()).sum();
        [records + self.memory.nat.bytes(), index, self.timers.bytes()]
    }

    /// An expectation whose life lasts.
    ///
    /// # Panics
    /// If it is over: a use after free.
    #[must_use]
    pub fn expectation(&self, id: ExpectId) -> &Expectation<P> {
        self.memory.expectations.get(id)
    }

    /// A connection whose life lasts.
    ///
    /// # Panics
    /// If it is over.
    #[must_use]
    pub fn conn(&self, id: ConnId) -> &Conn<P> {
        self.memory.conns.get(id)
    }

    /// What a linked or held expectation is about; `None` once its life is over.
    #[must_use]
    pub fn expectation_about(&self, id: ExpectId) -> Option<About> {
        let lives = self.memory.expectations.is_live(id);
        lives.then(|| self.memory.expectations.at(id.index()).about())
    }

    /// Whether an expectation is in its bucket.
    #[must_use]
    pub fn is_linked(&self, id: ExpectId) -> bool {
        let lives = self.memory.expectations.is_live(id);
        lives && !matches!(self.memory.expectations.at(id.index()).hprev.get(), NULL | POISON)
    }

    /// How many references to an expectation are held (`use`).
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn use_count(&self, id: ExpectId) -> u32 {
        self.memory.expectations.get(id).uses.load(Ordering::Relaxed)
    }

    /// Whether a namespace exists.
    #[must_use]
    pub fn has_net(&self, net: NetId) -> bool {
        self.nets.get(usize::from(net.0)).is_some_and(|net| net.alive.load_locked() != 0)
    }

    /// When an expectation expires, and whether its timer is pending; of one that is gone, nothing
    /// that means anything.
    #[inline]
    #[must_use]
    pub fn timer(&self, id: ExpectId) -> (Jiffies, bool) {
        let key = TimerKey::expectation(id.index());
        (self.timers.expires(&self.memory, key), self.timers.is_pending(&self.memory, key))
    }

    /// The expectations of a master, newest first: the kernel's per-master list.
    #[must_use]
    pub fn expectations_of(&self, master: ConnId) -> Vec<ExpectId> {
        let locked = self.lock();
        let mut cursor = locked.cursor(master.index());
        let mut list = Vec::new();
        while let Some(exp) = locked.advance(&mut cursor) {
            list.push(exp.id());
        }
        list
    }

    /// A helper of the table, or nft's own.
    ///
    /// # Panics
    /// If no such helper is in the configuration.
    #[must_use]
    pub fn helper(&self, id: HelperId) -> &Helper {
        let of_table = self.config.helpers.get(usize::from(id.place()));
        of_table.unwrap_or_else(|| {
            assert!(id == HelperId::NFT_CT_EXPECT, "no {id:?} among {}", self.config.helpers.len());
            &NFT_CT_EXPECT
        })
    }

    /// The helper of this name.
    #[must_use]
    pub fn helper_named(&self, name: &str) -> Option<HelperId> {
        let at = self.config.helpers.iter().position(|helper| helper.name == name)?;
        HelperId::at(u16::try_from(at).ok()?)
    }

    #[inline]
    pub(crate) fn net(&self, net: NetId) -> &Net<P> {
        &self.nets[usize::from(net.0)]
    }

    /// The table in which a namespace's expectations are.
    #[inline]
    pub(crate) fn table(&self, net: NetId) -> &P::Index {
        self.table_of(self.net(net))
    }

    #[inline(always)]
    pub(crate) fn table_of<'a>(&'a self, net: &'a Net<P>) -> &'a P::Index {
        match self.config.revision.table {
            TableScope::PerNetns => &net.index,
            TableScope::Global => &self.nets[0].index,
        }
    }

    /// What a namespace takes along that a linked expectation needs, beside itself.
    pub(crate) const fn owned_by_net(&self) -> &'static str {
        match self.config.revision.table {
            TableScope::PerNetns => "the table of ",
            TableScope::Global => "",
        }
    }

    /// Lets the n-th allocation from now fail; 0 lets none.
    pub fn fail_nth(&self, nth: u32) {
        self.fail_nth.reset(nth);
    }

    pub(crate) fn may_alloc(&self, point: AllocPoint) -> Result<(), NoMemory> {
        let left = self.fail_nth.load_locked();
        if left == 0 {
            return Ok(());
        }
        self.fail_nth.store(left - 1, Ordering::Relaxed);
        if left == 1 { Err(NoMemory(point)) } else { Ok(()) }
    }
}

impl<P: Platform<Rcu = UpRcu>> Engine<P> {
    /// The expectations that nobody holds any more and that a callback is to free, in its order.
    #[must_use]
    pub fn waiting_to_be_freed(&self) -> Vec<ExpectId> {
        let slab = &self.memory.expectations;
        let freed = |(_, Callback::FreeExpectation(index))| slab.id(index);
        self.rcu.in_order().into_iter().map(freed).collect()
    }
}
