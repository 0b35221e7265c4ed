// SPDX-License-Identifier: GPL-2.0-only
//! NetBIOS names and SNMP: a question to all is answered by each.
//!
//! ```text
//!   this host:c ──any question──▶ 10.0.0.255:137      10.0.0.0/24:137 ─▶ this host:c   expected
//! ```
//!
//! What the question says is not looked at. Everybody of the subnet may answer, from the service's
//! port, and more than once: the expectation is permanent.
//!
//! The rule that matters: only what this host itself sends to the broadcast address of its own
//! interface counts; a router that forwards such packets never expects anything.
//!
//! # Source
//! RFC 1002 §4.2, RFC 3416; `nf_conntrack_broadcast_help()` of `nf_conntrack_broadcast.c`,
//! `nf_conntrack_netbios_ns.c`, `nf_conntrack_snmp.c`.

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::Flags;
use nfexp_model::tuple::{Mask, Tuple};

use super::{Announced, Parameters, Seen, Tracker, Verdict};
use crate::step::Target;

/// Whose broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// NetBIOS name service.
    NetbiosNs,
    /// SNMP.
    Snmp,
}

impl Service {
    /// The port from which answers come, whatever port was asked.
    const fn port(self) -> u16 {
        match self {
            Self::NetbiosNs => 137,
            Self::Snmp => 161,
        }
    }
}

/// Shows a packet to the helper.
#[doc(alias = "nf_conntrack_broadcast_help")]
pub fn help(
    service: Service,
    parameters: &Parameters,
    seen: &Seen<'_>,
    tracker: &mut dyn Tracker,
) -> Verdict {
    if seen.direction == Direction::Reply {
        return Verdict::Accept;
    }
    let Some(mask) = tracker.broadcast_mask() else {
        return Verdict::Accept;
    };
    let tuple = Tuple { sport: service.port(), ..seen.tuples[1] };
    // DEVIATION: the kernel leaves three words of the mask as it finds them, until 2026; here
    // they are zero, as in a slab that held IPv4 before.
    let mask = Mask { src: mask, sport: u16::MAX };
    let announced = Announced {
        class: 0,
        target: Target::Masked(tuple, mask),
        flags: Flags::PERMANENT,
        child: None,
        expectfn: None,
        masters: nfexp_model::engine::MasterCheck::Own,
    };
    // KERNEL: nf_conntrack_broadcast_help(), all revisions: a refusal does not drop the packet.
    let _ = tracker.related(&announced);
    tracker.refresh(match service {
        Service::NetbiosNs => parameters.netbios_ns_timeout,
        Service::Snmp => parameters.snmp_timeout,
    });
    Verdict::Accept
}

#[cfg(test)]
mod tests {
    use nfexp_model::revision::Revision;
    use nfexp_model::tuple::{Addr, Proto};

    use super::super::asked::Asked;
    use super::*;

    /// `nf_conntrack_broadcast_help()`: whoever answers does so from the service's port.
    #[test]
    fn a_question_to_all_is_answered_from_the_port_of_the_service() {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::UDP, ip("10.0.0.2"), 5000, ip("10.0.0.255"), 9);
        let tuples = [original, original.inverse().expect("udp answers")];
        let (established, expected, payload, seq) = (false, false, &[][..], 0);
        let parameters =
            Parameters { netbios_ns_timeout: 3, snmp_timeout: 30, ..Parameters::default() };
        let net = Some(Addr::v4([255, 255, 255, 0]));
        for (service, port, secs) in [(Service::NetbiosNs, 137, 3), (Service::Snmp, 161, 30)] {
            let ask = |direction, mask, refuses| {
                let seen = Seen { direction, established, expected, tuples, payload, seq };
                let mut tracker = Asked { mask, refuses, ..Asked::of(Revision::LINUX_6_18) };
                let verdict = help(service, &parameters, &seen, &mut tracker);
                assert_eq!(verdict, Verdict::Accept);
                tracker.told()
            };
            let all = [
                format!("udp 10.0.0.255:{port} > 10.0.0.2:5000 flags 1"),
                format!("refresh {secs}s"),
            ];
            assert_eq!(ask(Direction::Original, net, &[]), all);
            assert_eq!(ask(Direction::Original, net, &[1]), all, "refused");
            assert_eq!(ask(Direction::Original, None, &[]), [""; 0], "forwarded");
            assert_eq!(ask(Direction::Reply, net, &[]), [""; 0]);
        }
    }
}
