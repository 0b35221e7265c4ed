// SPDX-License-Identifier: GPL-2.0-only
//! The engine, as the helper of one connection asks it.

use nfexp_model::conn::ConnRef;
use nfexp_model::conntrack::Direction;

use nfexp_model::error::RelateError;
use nfexp_model::event::{Cause, Origin};
use nfexp_model::expectation::{ExpectId, ExpectRef, Flags};
use nfexp_model::helper::Class;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::revision::{HelperFrom, Revision};
use nfexp_model::tuple::{Addr, Tuple};
use nfexp_model::{At, Engine};
use nfexp_traces::helpers::{Announced, Linked, Refused, Tracker};

use super::flows::Flows;
use super::keymap::Keymap;
use super::route::{self, Host, Route};
use super::{NET, ZONE};

/// What a helper may do while it looks at a packet.
pub(super) struct Asked<'a> {
    pub(super) engine: &'a Engine<Up>,
    pub(super) at: At,
    pub(super) ct: &'a ConnRef,
    pub(super) flows: &'a mut Flows,
    pub(super) keymap: &'a mut Keymap,
    /// Expectations that were given another time.
    pub(super) retimed: &'a mut Vec<ExpectId>,
    pub(super) route: Route,
    pub(super) host: Option<&'a Host>,
    /// What the helper made during this packet: its references.
    pub(super) made: Vec<ExpectRef>,
    /// Until when the connection lives, if the helper said so.
    pub(super) deadline: Option<Jiffies>,
}

impl Asked<'_> {
    /// The helper is done: its references go back. Answers the connection's new deadline.
    pub(super) fn done(self) -> Option<Jiffies> {
        for exp in self.made {
            self.engine.put(exp);
        }
        self.deadline
    }

    fn linked(&self, id: ExpectId) -> Linked {
        let exp = self.engine.expectation(id);
        let about = exp.about();
        let helper = |conn| self.engine.attached_of(conn).helper();
        // KERNEL: set_expected_rtp_rtcp(), all revisions: the helper as a listing names it.
        let its_helper = match self.revision().helper_from {
            HelperFrom::Master => helper(about.master),
            HelperFrom::Expectation => about.creator,
        };
        // KERNEL: nf_conntrack_helper_register(), all revisions: a helper of two transports is two.
        let transport = |conn| self.engine.conn(conn).about().original.proto;
        let same_transport = transport(about.master) == transport(self.ct.id());
        Linked {
            id,
            tuple: exp.tuple(),
            class: about.class.number(),
            flags: exp.flags(),
            own: about.master == self.ct.id(),
            same_helper: same_transport && its_helper == helper(self.ct.id()),
        }
    }
}

impl Tracker for Asked<'_> {
    fn revision(&self) -> &Revision {
        &self.engine.config().revision
    }

    fn related(&mut self, announced: &Announced) -> Result<ExpectId, Refused> {
        let exp = self.engine.alloc(self.at, self.ct).map_err(|_| Refused::Otherwise)?;
        let (tuple, mask) = announced.key();
        let class = Class::new(announced.class).unwrap_or_default();
        self.engine.init_key(&exp, class, tuple, mask);
        self.engine.set_flags(&exp, announced.flags);
        let child = announced.child.and_then(|name| self.engine.helper_named(name));
        self.engine.set_assign_helper(&exp, child);
        self.engine.set_expectfn(&exp, announced.expectfn);
        let id = exp.id();
        let related = self.engine.related(self.at, &exp, Origin::KERNEL, announced.masters);
        self.made.push(exp);
        related.map(|()| id).map_err(|error| match error {
            RelateError::AlreadyExpected => Refused::Already,
            _ => Refused::Otherwise,
        })
    }

    fn unexpect(&mut self, exp: ExpectId) {
        if let Some(exp) = self.made.iter().find(|made| made.id() == exp) {
            self.engine.unexpect(self.at, exp);
        }
    }

    fn remove(&mut self, exp: ExpectId) {
        self.engine.remove_expect(self.at, exp);
    }

    fn remove_all(&mut self) {
        self.engine.lock().remove_expectations(self.at, self.ct.id(), Cause::Unexpect);
    }

    fn find(&self, tuple: &Tuple) -> Option<Linked> {
        let found = self.engine.lock().find(self.at, NET, ZONE, tuple);
        found.map(|id| self.linked(id))
    }

    fn expectations(&self) -> Vec<Linked> {
        let all = self.engine.expectations_of(self.ct.id());
        all.into_iter().map(|id| self.linked(id)).collect()
    }

    fn retime(&mut self, exp: ExpectId, flags: Flags, secs: u32) {
        let span = Ticks::of_timeout(secs, self.engine.config().hz);
        if self.engine.retime(self.at, exp, flags, self.at.now.after(span)) {
            self.retimed.push(exp);
        }
    }

    fn refresh(&mut self, secs: u32) {
        let span = Ticks::of_timeout(secs, self.engine.config().hz);
        // KERNEL: nf_ct_is_expired(), since v4.9: half of all time stamps lie in the past.
        let lies_ahead = span.0 as i32 > 0;
        let now = self.at.now;
        self.deadline = Some(if lies_ahead { now.after(span) } else { now });
    }

    fn keymap_add(&mut self, direction: Direction, tuple: &Tuple) -> bool {
        self.keymap.add(self.ct.id(), direction, tuple)
    }

    fn keymap_destroy(&mut self) {
        self.keymap.destroy(self.ct.id());
    }

    fn end_sibling(&mut self, tuple: &Tuple) {
        if let Some((sibling, _)) = self.engine.find_conn(NET, ZONE, tuple) {
            let id = sibling.id();
            // KERNEL: nf_conntrack_find_get(), since v4.9: what is past its timeout is collected and
            // not found.
            let lives = self.flows.lives(id, self.at.now);
            self.flows.let_keys_go(id, self.keymap);
            self.flows.forget(id.index() as usize);
            self.engine.delete_conn(self.at, &sibling, Origin::KERNEL);
            self.engine.put_conn(self.at, sibling);
            if lives {
                return;
            }
        }
        if let Some(exp) = self.engine.find_get(self.at, NET, ZONE, tuple) {
            self.engine.unexpect(self.at, &exp);
            self.engine.put(exp);
        }
    }

    fn broadcast_mask(&self) -> Option<Addr> {
        match self.route {
            Route::Send { broadcast, .. } => broadcast,
            _ => None,
        }
    }

    fn same_next_hop(&self, one: Addr, other: Addr) -> bool {
        let l3 = self.engine.conn(self.ct.id()).about().original.l3;
        route::have_same_next_hop(self.host, one.ip(l3), other.ip(l3))
    }

    fn leaves_as_this(&self, addr: Addr) -> bool {
        let l3 = self.engine.conn(self.ct.id()).about().original.l3;
        route::leaves_like(self.route, self.host, addr.ip(l3))
    }
}

#[cfg(test)]
mod tests {
    use nfexp_model::expectation::Expected;
    use nfexp_model::tuple::{L3, Proto};
    use nfexp_traces::packet::{Datagram, Ends};

    use super::super::Router;
    use super::*;
    use crate::settings::Settings;

    fn forwarded(proto: Proto, body: &[u8]) -> Datagram<'_> {
        let (ends, fragment, options) = (Ends::V4(&[10, 0, 0, 2, 10, 0, 0, 1]), None, &[][..]);
        Datagram { ends, proto, fragment, marked: false, options, trackable: true, body }
    }

    /// `destroy_sibling_or_exp()`: one of both ends, a stream or what expects the next.
    #[test]
    fn a_stream_past_its_timeout_is_none_to_be_ended() {
        let addr = |last| Addr::v4([10, 0, 0, last]);
        for (late_ticks, expected) in [(-1, 1), (0, 0), (1, 0)] {
            let settings = Settings::of(Revision::LINUX_6_18, None, None);
            let mut router = Router::new(settings).expect("memory");
            let syn = [0x9c, 0x40, 6, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0];
            router.forward(&forwarded(Proto::TCP, &syn));
            router.forward(&forwarded(Proto::GRE, &[0x30, 1, 0x88, 0x0b, 0, 4, 0, 7, 0, 0, 0, 1]));
            let find = |router: &Router, tuple: &Tuple| {
                router.engine.find_conn(NET, ZONE, tuple).map(|(ct, _)| ct)
            };
            let control =
                Tuple::new(Proto::TCP, addr(2).ip(L3::Ipv4), 40000, addr(1).ip(L3::Ipv4), 1723);
            let stream = Tuple { proto: Proto::GRE, sport: 0, dport: 7, ..control };
            let master = find(&router, &control).expect("it was begun");
            let ct = find(&router, &stream).expect("it was begun, too");
            let deadline = router.flows.of(ct.id()).deadline;
            router.now = Jiffies(deadline.0.wrapping_add_signed(late_ticks));
            let mut asked = Asked {
                engine: &router.engine,
                at: At { now: router.now, ..At::default() },
                ct: &master,
                flows: &mut router.flows,
                keymap: &mut router.keymap,
                retimed: &mut router.retimed,
                route: Route::Forward,
                host: None,
                made: Vec::new(),
                deadline: None,
            };
            let announced = Announced::plain(Expected {
                l3: L3::Ipv4,
                saddr: Some(addr(2)),
                daddr: addr(1),
                proto: Proto::GRE,
                sport: Some(0),
                dport: 7,
            });
            assert!(asked.related(&announced).is_ok());
            asked.end_sibling(&stream);
            assert_eq!(asked.expectations().len(), expected, "{late_ticks} ticks late");
            asked.done();
            let at = At { now: router.now, ..At::default() };
            router.engine.put_conn(at, ct);
            router.engine.put_conn(at, master);
            assert!(find(&router, &stream).is_none(), "the connection is gone in any case");
        }
    }
}
