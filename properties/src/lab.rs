// SPDX-License-Identifier: GPL-2.0-only
//! An engine to try a sequence on: masters, announcements, packets, and nothing left at the end.
//!
//! *Sound*: the table passes the audit, and what was told was told in order.
//!
//! The rule that matters: memory is poisoned and never used twice, and it is this thread's world.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use nfexp_model::conn::ConnRef;
use nfexp_model::engine::{At, MasterCheck};
use nfexp_model::error::RelateError;
use nfexp_model::event::Origin;
use nfexp_model::expectation::{ExpectRef, Flags};
use nfexp_model::helper::{Class, ExpectPolicy};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Mask, Proto, Tuple};
use nfexp_model::watch::Watch;
use nfexp_model::{Config, Engine};

use crate::turns::Turns;

/// An engine and masters, of whom nobody else knows.
pub(crate) struct Lab(pub(crate) Engine<Turns>, RefCell<Watch>);

pub(crate) const NET: NetId = NetId::INIT;

pub(crate) fn from(sport: u16, dport: u16) -> Tuple {
    let ip = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    Tuple::new(Proto::TCP, ip(1), sport, ip(2), dport)
}

impl Lab {
    pub(crate) fn new(revision: Revision) -> Self {
        Self::with(revision, 8)
    }

    /// Two helpers: the first has two classes of so many each, the second four of one.
    pub(crate) fn with(revision: Revision, max_expected: u32) -> Self {
        let policy = ExpectPolicy { max_expected, timeout_secs: 300, name: "" };
        let policies: &'static [ExpectPolicy] = Vec::leak(vec![policy; 2]);
        let mut helpers = Config::SMALL.helpers.to_vec();
        helpers[0].policies = policies;
        let sizes = Config { expectations: 1024, expect_max: 1024, netns: 2, ..Config::SMALL };
        let config = Config { revision, helpers: Cow::Owned(helpers), ..sizes };
        Self(Engine::new(config).expect("memory"), RefCell::default())
    }

    pub(crate) fn master(
        &self,
        net: NetId,
        zone: u16,
        sport: u16,
        helper: Option<&str>,
    ) -> ConnRef {
        let tuple = from(sport, 21);
        let reply = tuple.inverse().expect("tcp has one");
        let ct = self.0.alloc_conn(net, Zone(zone), tuple, reply).expect("memory");
        let helper = helper.map(|name| self.0.helper_named(name).expect("it is registered"));
        self.0.attach(&ct, helper).expect("memory");
        assert!(self.0.confirm(At::default(), &ct, Origin::KERNEL), "the table is empty");
        ct
    }

    pub(crate) fn ftp(&self) -> ConnRef {
        self.master(NET, 0, 40000, Some("ftp"))
    }

    pub(crate) fn made(
        &self,
        master: &ConnRef,
        class: u8,
        dport: u16,
        mask: Mask,
        flags: Flags,
    ) -> ExpectRef {
        let exp = self.0.alloc(At::default(), master).expect("memory");
        let class = Class::new(class).expect("below four");
        self.0.init_key(&exp, class, from(0, dport), mask);
        self.0.set_flags(&exp, flags);
        self.0.set_expires(&exp, At::default().now.after(nfexp_model::kernel::Ticks(1000)));
        exp
    }

    pub(crate) fn expect(
        &self,
        master: &ConnRef,
        class: u8,
        dport: u16,
    ) -> Result<(), RelateError> {
        self.expect_as(master, class, dport, Mask::ANY, Flags::NONE)
    }

    pub(crate) fn expect_as(
        &self,
        master: &ConnRef,
        class: u8,
        dport: u16,
        mask: Mask,
        flags: Flags,
    ) -> Result<(), RelateError> {
        let exp = self.made(master, class, dport, mask, flags);
        let related = self.0.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own);
        self.0.put(exp);
        self.sound();
        related
    }

    /// The table is sound, and so is what was told.
    pub(crate) fn sound(&self) {
        while let Some(event) = self.0.poll_event() {
            let heard = self.1.borrow_mut().hear(&event);
            heard.unwrap_or_else(|violation| panic!("{violation}"));
        }
        if let Err(violation) = self.0.audit() {
            panic!("{violation}");
        }
    }

    /// The ports linked in a namespace, in the order of its listing.
    pub(crate) fn linked(&self, master: &ConnRef) -> Vec<u16> {
        let ids = self.0.expectations_of(master.id());
        ids.into_iter().map(|id| self.0.expectation(id).tuple().dport).collect()
    }

    /// Its connection arrives; the flags and port of what it matched.
    pub(crate) fn arrive(&self, dport: u16, unlink: bool) -> Option<u16> {
        let (tuple, at) = (from(50000, dport), At::default());
        let reply = tuple.inverse().expect("tcp has one");
        let born = self.0.init_conntrack(at, NET, Zone(0), tuple, reply, unlink).expect("memory");
        self.sound();
        let matched = born.announced.is_some();
        self.0.put_conn(at, born.ct);
        matched.then_some(dport)
    }

    /// Everything is given back, and nothing is left.
    pub(crate) fn end(self, masters: impl IntoIterator<Item = ConnRef>) {
        for ct in masters {
            self.0.delete_conn(At::default(), &ct, Origin::KERNEL);
            self.0.put_conn(At::default(), ct);
            self.sound();
        }
        self.sound();
        let over = self.1.borrow().all_over();
        over.unwrap_or_else(|violation| panic!("{violation}"));
        self.0.rcu().run_callbacks(self.0.memory());
        let memory = self.0.memory();
        let left = (memory.expectations.live(), memory.conns.live());
        assert!(left == (0, 0), "NothingLeaks: {} expectations, {} connections", left.0, left.1);
    }
}
