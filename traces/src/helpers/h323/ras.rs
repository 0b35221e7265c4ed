// SPDX-License-Identifier: GPL-2.0-only
//! RAS: an endpoint and its gatekeeper.
//!
//! # Source
//! ITU-T H.225.0 §7; `ras_help()`, `process_ras()` and what it calls of
//! `nf_conntrack_h323_main.c`.

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::{Expected, Flags};
use nfexp_model::tuple::{Proto, Tuple};

use super::per::{self, Node};
use super::{Done, Packet, State};
use crate::helpers::Announced;

impl State {
    /// A message of either side.
    #[doc(alias = "ras_help")]
    pub(super) fn ras(&mut self, packet: &mut Packet<'_, '_>) -> Done {
        let data = packet.seen.payload;
        if data.is_empty() {
            return Ok(());
        }
        let Ok(Node::Choice(name, message)) = per::decode(data, 0, data.len(), "RasMessage") else {
            return Ok(());
        };
        match name {
            "gatekeeperConfirm" => packet.gatekeeper_confirm(data, &message),
            "registrationRequest" => self.registration_request(packet, data, &message),
            "registrationConfirm" => {
                self.registration_confirm(packet, &message);
                Ok(())
            }
            "unregistrationRequest" => {
                packet.tracker.remove_all();
                self.signal_port = [0; 2];
                // For the answer.
                packet.tracker.refresh(30);
                Ok(())
            }
            "admissionConfirm" => packet.admission_confirm(data, &message),
            "locationConfirm" => {
                let address = message.field("callSignalAddress");
                packet.expect_call(data, address)
            }
            _ => Ok(()),
        }
    }

    /// Calls to the endpoint, at the first address that is its own.
    #[doc(alias = "process_rrq")]
    #[doc(alias = "expect_q931")]
    fn registration_request(
        &mut self,
        packet: &mut Packet<'_, '_>,
        data: &[u8],
        message: &Node,
    ) -> Done {
        let addresses = message.field("callSignalAddress").map_or(&[][..], Node::items);
        let own = addresses.iter().find_map(|address| {
            let (addr, port) = packet.signal_address(data, address)?;
            (addr == packet.seen.tuple().src && port != 0).then_some(port)
        });
        if let Some(port) = own {
            let toward = packet.toward_here(Proto::TCP, port);
            let gatekeeper = toward.saddr.filter(|_| packet.parameters.h323_gkrouted_only);
            packet.announce(&call(Expected { saddr: gatekeeper, ..toward }))?;
            self.signal_port[side(packet)] = port;
        }
        self.lifetime_secs = match message.field("timeToLive") {
            Some(Node::Number(secs)) => *secs,
            _ => packet.parameters.h323_default_rrq_ttl,
        };
        Ok(())
    }

    /// How long the registration lasts, and with it what is expected.
    #[doc(alias = "process_rcf")]
    fn registration_confirm(&mut self, packet: &mut Packet<'_, '_>, message: &Node) {
        if let Some(Node::Number(secs)) = message.field("timeToLive") {
            self.lifetime_secs = *secs;
        }
        if self.lifetime_secs == 0 {
            return;
        }
        packet.tracker.refresh(self.lifetime_secs);
        let port = self.signal_port[1 - side(packet)];
        let own = packet.seen.tuple();
        // KERNEL: find_expect(), all revisions: from nowhere, so that only an expectation from
        // anywhere is found.
        let tuple =
            Tuple { dst: own.dst, dport: port, l3: own.l3, proto: Proto::TCP, ..Tuple::NONE };
        if let Some(linked) = packet.tracker.find(&tuple).filter(|linked| linked.own) {
            packet.tracker.retime(linked.id, linked.flags, self.lifetime_secs);
        }
    }
}

/// A call that may come again.
fn call(expected: Expected) -> Announced {
    Announced { flags: Flags::PERMANENT, child: Some("Q.931"), ..Announced::plain(expected) }
}

fn side(packet: &Packet<'_, '_>) -> usize {
    usize::from(packet.seen.direction == Direction::Reply)
}

impl Packet<'_, '_> {
    /// The gatekeeper is at another place than it answers from.
    #[doc(alias = "process_gcf")]
    fn gatekeeper_confirm(&mut self, data: &[u8], message: &Node) -> Done {
        let address = message.field("rasAddress");
        let Some((addr, port)) = address.and_then(|node| self.signal_address(data, node)) else {
            return Ok(());
        };
        let own = self.seen.tuple();
        // KERNEL: process_gcf(), since v4.x: a RAS connection that was itself announced does not
        // announce another.
        if (addr, port) == (own.src, own.sport) || self.seen.expected {
            return Ok(());
        }
        let expected = self.toward(addr, Proto::UDP, port);
        self.announce(&Announced { child: Some("RAS"), ..Announced::plain(expected) })
    }

    /// The call may be made, to this address.
    #[doc(alias = "process_acf")]
    fn admission_confirm(&mut self, data: &[u8], message: &Node) -> Done {
        let address = message.field("destCallSignalAddress");
        let place = address.and_then(|node| self.signal_address(data, node));
        // To the one who asked: it answers a call.
        if place.is_some_and(|(addr, _)| addr == self.seen.tuple().dst) {
            return Ok(());
        }
        self.expect_call(data, address)
    }

    /// A call to a third party.
    #[doc(alias = "process_lcf")]
    fn expect_call(&mut self, data: &[u8], address: Option<&Node>) -> Done {
        let Some((addr, port)) = address.and_then(|node| self.signal_address(data, node)) else {
            return Ok(());
        };
        self.announce(&call(self.toward(addr, Proto::TCP, port)))
    }
}
