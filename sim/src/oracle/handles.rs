// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's events as a transcript has them, with handles for its ids.
//!
//! *Id*: a keyed hash that the kernel shows; it may come back. *Handle*: 1, 2, 3… in the order
//! of the events NEW.
//!
//! The rule that matters: an id means the expectation of the last event NEW that carried it.

use std::collections::BTreeMap;

use nfexp_traces::transcript::{Event, Row};

use super::ctnetlink::{self, CONNTRACK, DELETE, EXPECTATION, NEW};
use super::netlink::{CREATE, Message};

/// The kernel's ids and our handles.
#[derive(Debug, Default)]
pub(super) struct Handles {
    last: u64,
    /// The handles of the living, by id.
    pub(super) live: BTreeMap<u32, u64>,
    /// The ids of all, by handle.
    pub(super) ids: BTreeMap<u64, u32>,
}

impl Handles {
    /// What a message of the listener tells; `port` is that of our requests.
    pub(super) fn event(&mut self, message: &Message<'_>, port: u32) -> Option<Event> {
        let rep = message.port == port;
        let l3 = ctnetlink::family_of(message.family());
        let new = message.flags & CREATE != 0;
        let ct = || ctnetlink::conntrack(message.attributes());
        match (message.kind & !0xff, message.kind & 0xff) {
            (CONNTRACK, NEW) if new => {
                let ct = ct();
                let (orig, expected, zone, master) = (ct.orig, ct.expected, ct.zone, ct.master);
                let (orig, master) = (Box::new(orig), master.map(Box::new));
                Some(Event::CtNew { rep, l3, orig, expected, zone, master })
            }
            (CONNTRACK, DELETE) => {
                let ct = ct();
                Some(Event::CtDestroy { rep, l3, orig: Box::new(ct.orig), zone: ct.zone })
            }
            (EXPECTATION, NEW) if new => {
                let exp = ctnetlink::expectation(message.attributes());
                self.last += 1;
                self.live.insert(exp.id, self.last);
                self.ids.insert(self.last, exp.id);
                Some(Event::ExpNew {
                    rep,
                    e: self.last,
                    l3,
                    tuple: Box::new(exp.tuple),
                    mask: Box::new(exp.mask),
                    master: Box::new(exp.master),
                    to: i64::from(exp.timeout_secs),
                    fl: exp.flags,
                    cl: exp.class,
                    helper: exp.helper,
                    nat: exp.nat.map(Box::new),
                    function: exp.function,
                })
            }
            (EXPECTATION, DELETE) => {
                let exp = ctnetlink::expectation(message.attributes());
                let e = self.live.remove(&exp.id).unwrap_or_default();
                Some(Event::ExpDestroy { rep, e, to: i64::from(exp.timeout_secs) })
            }
            _ => None,
        }
    }

    /// A row of a listing. Handle 0: nobody told of it.
    #[must_use]
    pub(super) fn row(&self, id: u32, timeout_secs: u32) -> Row {
        Row::Expectation {
            e: self.live.get(&id).copied().unwrap_or_default(),
            to: i64::from(timeout_secs),
        }
    }

    /// An id that nobody has.
    #[must_use]
    pub(super) fn stranger(&self) -> u32 {
        (0x5eed_0000..).find(|id| !self.live.contains_key(id)).unwrap_or_default()
    }
}
