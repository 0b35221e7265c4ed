// SPDX-License-Identifier: GPL-2.0-only
//! REGISTER and its answer: where a phone will be called.

use nfexp_model::expectation::{Expected, Flags};
use nfexp_model::revision::SipScan;
use nfexp_model::tuple::Proto;

use super::scan::{Header, Walk};
use super::{Class, Message};
use crate::helpers::{Announced, Verdict};

impl Message<'_, '_> {
    /// Expects calls at the contact. `None`: accepted without remembering its number.
    #[doc(alias = "process_register_request")]
    pub(super) fn register_request(&mut self) -> Option<Verdict> {
        if self.seen.expected {
            return None;
        }
        let mut expires = self.expires_header();
        let contact = self.scan.walk(&Header::CONTACT, &mut Walk::default());
        let Ok(contact) = contact else {
            return Some(Verdict::Drop);
        };
        let (span, addr, port) = contact?;
        // Nobody registers for a third party.
        if addr != self.seen.tuple().src {
            return None;
        }
        let behind = span.at + span.len;
        let proto = self.transport(behind)?;
        if self.expires_parameter(behind, &mut expires).is_none() {
            return Some(Verdict::Drop);
        }
        if expires == 0 {
            return Some(Verdict::Accept);
        }
        let registrar = self.seen.other().src;
        let expected = Expected {
            l3: self.scan.l3,
            saddr: self.parameters.sip_direct_signalling.then_some(registrar),
            daddr: addr,
            proto,
            sport: None,
            dport: port,
        };
        let announced = Announced {
            class: Class::Signalling as u8,
            flags: Flags::PERMANENT.with(Flags::INACTIVE),
            child: Some("sip"),
            ..Announced::plain(expected)
        };
        Some(match self.tracker.related(&announced) {
            Ok(_) => Verdict::Accept,
            Err(_) => Verdict::Drop,
        })
    }

    /// Activates what was expected, or ends it.
    #[doc(alias = "process_register_response")]
    pub(super) fn register_response(&mut self, code: u32) -> Verdict {
        if matches!(code, 100..=199) {
            return Verdict::Accept;
        }
        if matches!(code, 200..=299) {
            let expires = self.expires_header();
            let mut walk = Walk::default();
            loop {
                let Ok(contact) = self.scan.walk(&Header::CONTACT, &mut walk) else {
                    return Verdict::Drop;
                };
                let Some((span, addr, port)) = contact else { break };
                if addr != self.seen.tuple().dst {
                    continue;
                }
                let behind = span.at + span.len;
                let Some(proto) = self.transport(behind) else { continue };
                let mut expires = expires;
                if self.expires_parameter(behind, &mut expires).is_none() {
                    return Verdict::Drop;
                }
                if expires == 0 {
                    break;
                }
                let known = self.tracker.expectations().into_iter().find(|linked| {
                    let tuple = &linked.tuple;
                    linked.class == Class::Signalling as u8
                        && (tuple.dst, tuple.dport, tuple.proto) == (addr, port, proto)
                });
                if let Some(known) = known {
                    let flags = known.flags.without(Flags::INACTIVE);
                    self.tracker.retime(known.id, flags, expires);
                    return Verdict::Accept;
                }
            }
        }
        let signalling = |class| class == Class::Signalling as u8;
        let linked = self.tracker.expectations().into_iter().find(|exp| signalling(exp.class));
        if let Some(linked) = linked {
            self.tracker.remove(linked.id);
        }
        Verdict::Accept
    }

    fn expires_header(&self) -> u32 {
        match self.scan.header(&Header::EXPIRES, 0) {
            Ok(Some(span)) => self.scan.number(span.at).0,
            _ => 0,
        }
    }

    /// `;expires=60` behind an address overrules the header; `None` if it is no number.
    #[doc(alias = "ct_sip_parse_numerical_param")]
    fn expires_parameter(&self, behind: usize, expires: &mut u32) -> Option<()> {
        if let Some(at) = self.scan.parameter(b"expires=", behind) {
            let (value, end) = self.scan.parameter_number(at);
            *expires = value;
            // KERNEL: ct_sip_parse_numerical_param(), v3.10: without digits it is 0.
            return (end > at || self.scan.way == SipScan::Lenient).then_some(());
        }
        Some(())
    }

    /// `;transport=tcp` must be the transport that is spoken; `None` if it is not.
    #[doc(alias = "ct_sip_parse_transport")]
    fn transport(&self, behind: usize) -> Option<Proto> {
        let spoken = self.seen.tuples[0].proto;
        let Some(at) = self.scan.parameter(b"transport=", behind) else {
            return Some(spoken);
        };
        // KERNEL: ct_sip_parse_transport() compares three bytes, wherever the message ends.
        let name = self.scan.packet.get(at..at + 3)?;
        let named = match name {
            _ if name.eq_ignore_ascii_case(b"TCP") => Proto::TCP,
            _ if name.eq_ignore_ascii_case(b"UDP") => Proto::UDP,
            _ => return None,
        };
        (named == spoken).then_some(named)
    }
}
