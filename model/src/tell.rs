// SPDX-License-Identifier: GPL-2.0-only
//! Writing events: a picture of the object at the moment it is told of.

use crate::conn::ConnId;
use crate::engine::Engine;
use crate::event::{Cause, ConnEvent, ConnEventKind, Event, ExpectEvent, ExpectEventKind, Origin};
use crate::expectation::{About, Flags};
use crate::helper::HelperId;
use crate::kernel::platform::{Ordering, Platform, Word};
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::Zone;
use crate::revision::HelperFrom;
use crate::slip::Slip;

impl<P: Platform> Engine<P> {
    #[inline]
    pub(crate) fn tell_new(&self, index: u32, origin: Origin) {
        if !self.config.events || P::slips(Slip::NewUntold) {
            return;
        }
        self.tell(index, ExpectEventKind::New, origin);
    }

    #[inline]
    pub(crate) fn tell_destroy(&self, index: u32, origin: Origin, cause: Cause) {
        if !self.config.events || P::slips(Slip::DestroyUntold) {
            return;
        }
        self.tell(index, ExpectEventKind::Destroy(cause), origin);
    }

    /// `nf_ct_expect_event_report()`: heard only of masters with the event-cache extension.
    #[doc(alias = "nf_ct_expect_event_report")]
    fn tell(&self, index: u32, kind: ExpectEventKind, origin: Origin) {
        let exp = self.memory.expectations.at(index);
        let about = exp.about();
        let master = self.memory.conns.get(about.master).about();
        if !master.tells {
            return;
        }
        let flags = Flags(exp.flags.load(Ordering::Relaxed)).without(Flags::DEAD);
        self.send(Event::Expect(ExpectEvent {
            kind,
            id: self.memory.expectations.id(index),
            net: about.net,
            zone: self.zone_of(exp),
            tuple: exp.tuple(),
            mask: exp.mask(),
            master: about.master,
            master_tuple: master.original,
            class: about.class,
            flags,
            expires: self.timers.expires(&self.memory, TimerKey::expectation(index)),
            helper: self.shown_helper(&about),
            expectfn: about.expectfn,
            nat: about.has_nat.then(|| self.memory.nat.get(index)),
            origin,
        }));
    }

    /// Whose name stands at an expectation in a listing.
    pub(crate) fn shown_helper(&self, about: &About) -> Option<HelperId> {
        match self.config.revision.helper_from {
            HelperFrom::Master => {
                let master = self.memory.conns.at(about.master.index());
                crate::conn::Attached::from_word(P::rcu_dereference(&master.helper)).helper()
            }
            HelperFrom::Expectation => about.creator,
        }
    }

    /// `nf_conntrack_event_report()` for a connection that came or went.
    pub(crate) fn tell_conn(&self, id: ConnId, kind: ConnEventKind, origin: Origin) {
        let conn = self.memory.conns.get(id);
        if !self.config.events {
            return;
        }
        let about = conn.about();
        if !about.tells {
            return;
        }
        let master = about.master.map(|id| (id, self.memory.conns.get(id).about().original));
        self.send(Event::Conn(ConnEvent {
            kind,
            id,
            net: about.net,
            zone: Zone(conn.zone.load_locked() as u16),
            original: about.original,
            reply: about.reply,
            status: conn.status(),
            helper: conn.attached().helper(),
            master,
            origin,
        }));
    }
}
