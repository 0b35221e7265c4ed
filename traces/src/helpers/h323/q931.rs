// SPDX-License-Identifier: GPL-2.0-only
//! Q.931 with H.225.0 in its user-user element: calls.
//!
//! # Source
//! ITU-T Q.931 §4, H.225.0 §7.3; `DecodeQ931()`, `process_q931()` and what it calls,
//! `expect_h245()`, `expect_callforwarding()` of `nf_conntrack_h323_{asn1,main}.c`.

use nfexp_model::tuple::Proto;

use super::per::{self, Node, Undecodable};
use super::{Done, Packet};
use crate::helpers::Announced;

/// The user-user element.
const USER_USER: u8 = 0x7e;

/// Decodes a message as far as its user-user element.
#[doc(alias = "DecodeQ931")]
pub(super) fn decode(data: &[u8]) -> Result<Node, Undecodable> {
    let byte = |at: usize| data.get(at).copied().ok_or(Undecodable);
    if byte(0)? != 8 {
        return Err(Undecodable);
    }
    // Behind the call reference stand the message's kind and, perhaps, one more byte of it.
    let mut at = 2 + usize::from(byte(1)?);
    byte(at + 1)?;
    at += 1;
    if byte(at)? & 0x80 != 0 {
        at += 1;
    }
    while at < data.len() {
        if data[at] == USER_USER {
            let length = usize::from(u16::from_be_bytes([byte(at + 1)?, byte(at + 2)?]));
            let (start, end) = (at + 4, at + 3 + length);
            if length == 0 || end > data.len() {
                return Err(Undecodable);
            }
            return per::decode(data, start, end, "H323-UserInformation");
        }
        // KERNEL: DecodeQ931(), all revisions: an element of one byte is read as one with a
        // length, too.
        at += 2 + usize::from(byte(at + 1)?);
    }
    Err(Undecodable)
}

impl Packet<'_, '_> {
    #[doc(alias = "process_q931")]
    pub(super) fn q931(&mut self, data: &[u8], message: &Node) -> Done {
        let Some(pdu) = message.field("h323-uu-pdu") else {
            return Ok(());
        };
        if let Some(Node::Choice(name, body)) = pdu.field("h323-message-body") {
            match *name {
                "facility" => self.facility(data, body)?,
                "setup" | "callProceeding" | "connect" | "alerting" | "progress" => {
                    self.call(data, body)?;
                }
                _ => {}
            }
        }
        // H.245 inside.
        for control in pdu.field("h245Control").map_or(&[][..], Node::items) {
            self.h245(data, control)?;
        }
        Ok(())
    }

    /// Any message of a call: where its media control is, and media opened at once.
    fn call(&mut self, data: &[u8], body: &Node) -> Done {
        if let Some(address) = body.field("h245Address") {
            self.expect_h245(data, address)?;
        }
        for channel in body.field("fastStart").map_or(&[][..], Node::items) {
            self.open_channel(data, channel)?;
        }
        Ok(())
    }

    #[doc(alias = "process_facility")]
    fn facility(&mut self, data: &[u8], body: &Node) -> Done {
        let reason = body.field("reason");
        if reason.and_then(|reason| reason.alternative("callForwarded")).is_some() {
            return match body.field("alternativeAddress") {
                Some(address) => self.expect_forwarded(data, address),
                None => Ok(()),
            };
        }
        self.call(data, body)
    }

    fn expect_h245(&mut self, data: &[u8], address: &Node) -> Done {
        let Some((addr, port)) = self.signal_address(data, address) else {
            return Ok(());
        };
        if addr != self.seen.tuple().src || port == 0 {
            return Ok(());
        }
        let expected = self.toward_here(Proto::TCP, port);
        self.announce(&Announced { child: Some("H.245"), ..Announced::plain(expected) })
    }

    /// The second leg of a call that was forwarded.
    #[doc(alias = "expect_callforwarding")]
    fn expect_forwarded(&mut self, data: &[u8], address: &Node) -> Done {
        let Some((addr, port)) = self.signal_address(data, address).filter(|place| place.1 != 0)
        else {
            return Ok(());
        };
        let caller = self.seen.other().src;
        if self.parameters.h323_callforward_filter && self.tracker.same_next_hop(addr, caller) {
            return Ok(());
        }
        let expected = self.toward(addr, Proto::TCP, port);
        self.announce(&Announced { child: Some("Q.931"), ..Announced::plain(expected) })
    }
}
