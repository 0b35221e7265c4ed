// SPDX-License-Identifier: GPL-2.0-only
//! Behind routing: the helper reads, and a new connection is confirmed.
//!
//! The rule that matters: a connection whose first packet is dropped leaves nothing behind.
//!
//! # Source
//! `nf_confirm()` and `nf_conntrack_confirm()`, 6.18.

use nfexp_model::conn::{AboutConn, ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::event::Origin;
use nfexp_traces::helpers::{Seen, State, Verdict};
use nfexp_traces::packet::{L4, Packet};

use super::route::{Looped, Route};
use super::tracker::Asked;
use super::{Fate, Router, port_bit};

impl Router {
    /// The helper that an expectation or a port gives a connection.
    pub(super) fn give_helper(&self, ct: &ConnRef, packet: &Packet<'_>) -> Option<State> {
        let dport = packet.tuple.dport;
        let may_listen = self.port_bits & port_bit(dport) != 0;
        let ports = if may_listen { &self.ports[..] } else { &[] };
        let by_port = ports.iter().find(|(helper, proto, port)| {
            let listens = *port == dport && *proto == packet.tuple.proto;
            listens && self.engine.helper(*helper).l3.contains(&packet.tuple.l3)
        });
        let by_port = by_port.map(|(helper, ..)| *helper);
        let inherited = self.engine.helper_of(ct);
        if let Some(helper) = by_port.filter(|_| inherited.is_none()) {
            // Without memory for the extension the connection goes on without.
            if self.engine.attach(ct, Some(helper)).is_ok() {
                self.engine.set_status(ct, Status::HELPER);
            }
        }
        let name = inherited.or(by_port).map(|helper| self.engine.helper(helper).name);
        name.and_then(State::of)
    }

    /// Shows the packet to the helper, and confirms a new connection if it gets through.
    pub(super) fn deliver(
        &mut self,
        ct: &ConnRef,
        direction: Direction,
        packet: &Packet<'_>,
        fate: Fate,
    ) -> Fate {
        // KERNEL: nf_confirm(), 6.18: the helper reads even the reset that ended its connection;
        // what it announces goes with the last reference.
        if fate == Fate::Invalid || !self.is_routed() {
            return fate;
        }
        let Route::Send { looped: looped @ (Looped::Delivered | Looped::Dropped), .. } = self.route
        else {
            let passes = self.help(ct, direction, packet, fate) && self.confirm(ct);
            return if passes { fate } else { Fate::Dropped };
        };
        // KERNEL: ip_mc_output(), 6.18: a copy for this host, which has no socket any more, is
        // made first and passes the hooks of its own, going out and, at once, coming in.
        let copy = Route::Send { broadcast: None, looped };
        let original = std::mem::replace(&mut self.route, copy);
        let left = self.help(ct, direction, packet, fate) && self.confirm(ct);
        if left && looped == Looped::Delivered {
            self.route = Route::Deliver;
            self.help(ct, direction, packet, fate);
        }
        self.route = original;
        let passes = self.help(ct, direction, packet, fate) && self.confirm(ct);
        if passes { fate } else { Fate::Dropped }
    }

    /// Confirms a connection that is not yet; false if another took its place.
    pub(super) fn confirm(&mut self, ct: &ConnRef) -> bool {
        if self.engine.conn(ct.id()).status().has(Status::CONFIRMED) {
            return true;
        }
        let confirmed = self.engine.confirm(self.at(), ct, Origin::KERNEL);
        if confirmed {
            self.arm(ct);
        }
        confirmed
    }

    /// Lets the helper read; false if the packet is to be dropped.
    pub(super) fn help(
        &mut self,
        ct: &ConnRef,
        direction: Direction,
        packet: &Packet<'_>,
        fate: Fate,
    ) -> bool {
        self.engine.helper_of(ct).is_none() || self.show(ct, direction, packet, fate)
    }

    /// Lets the helper read, which there is.
    pub(super) fn show(
        &mut self,
        ct: &ConnRef,
        direction: Direction,
        packet: &Packet<'_>,
        fate: Fate,
    ) -> bool {
        let seq = match packet.l4 {
            L4::Tcp(tcp) => tcp.seq,
            _ => 0,
        };
        let conn = self.engine.conn(ct.id());
        let AboutConn { original, reply, .. } = conn.about();
        let seen = Seen {
            direction,
            established: matches!(fate, Fate::Established(_)),
            expected: conn.status().has(Status::EXPECTED),
            tuples: [original, reply],
            payload: packet.payload,
            seq,
        };
        let Some(mut state) = self.flows.helper_mut(ct.id()).copied() else {
            return true;
        };
        let mut asked = Asked {
            engine: &self.engine,
            at: self.at(),
            ct,
            flows: &mut self.flows,
            keymap: &mut self.keymap,
            retimed: &mut self.retimed,
            route: self.route,
            host: self.host.as_ref(),
            made: Vec::new(),
            deadline: None,
        };
        let verdict = state.help(&self.parameters, &seen, &mut asked);
        let deadline = asked.done();
        if let Some(kept) = self.flows.helper_mut(ct.id()) {
            *kept = state;
        }
        if let Some(deadline) = deadline {
            self.live_until(ct, deadline);
        }
        verdict == Verdict::Accept
    }
}
