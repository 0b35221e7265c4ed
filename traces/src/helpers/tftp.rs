// SPDX-License-Identifier: GPL-2.0-only
//! TFTP: the first packet announces that the server will answer from any port.
//!
//! ```text
//!   client:c ──RRQ or WRQ──▶ server:69
//!   client:c ◀────data────── server:*      expected
//! ```
//!
//! # Source
//! RFC 1350 §5 (opcodes 1 and 2); `tftp_help()` of `nf_conntrack_tftp.c`, all revisions.

use nfexp_model::expectation::Expected;
use nfexp_model::tuple::Proto;

use super::{Announced, Reading, Seen};

/// Reads a packet of either direction, the very first included.
#[doc(alias = "tftp_help")]
#[must_use]
pub fn read(seen: &Seen<'_>) -> Reading {
    // KERNEL: tftp_help(), all revisions: two bytes are enough, and the direction is not asked.
    let Some([0, 1 | 2]) = seen.payload.first_chunk::<2>() else {
        return Reading::Nothing;
    };
    let reply = &seen.tuples[1];
    let expected = Expected {
        l3: reply.l3,
        saddr: Some(reply.src),
        daddr: reply.dst,
        proto: Proto::UDP,
        sport: None,
        dport: reply.dport,
    };
    Reading::Announces(Announced::plain(expected))
}

#[cfg(test)]
mod tests {
    use nfexp_model::conntrack::Direction;
    use nfexp_model::tuple::Tuple;

    use super::*;

    #[test]
    fn requests_announce_an_answer_from_any_port() {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::UDP, ip("10.0.0.2"), 3000, ip("10.0.0.1"), 69);
        let tuples = [original, original.inverse().expect("udp answers")];
        let read = |payload: &[u8]| {
            let direction = Direction::Original;
            read(&Seen { direction, established: false, expected: false, tuples, payload, seq: 0 })
        };
        for request in [b"\x00\x01file\x00octet\x00".as_slice(), b"\x00\x02"] {
            let Reading::Announces(announced) = read(request) else {
                panic!("{request:?} announces nothing")
            };
            let (tuple, mask) = announced.key();
            assert_eq!(tuple.to_string(), "udp 10.0.0.1:0 > 10.0.0.2:3000");
            assert_eq!(mask.sport, 0);
        }
        for other in [b"\x00\x03\x00\x01".as_slice(), b"\x00", b"", b"\x01\x01"] {
            assert_eq!(read(other), Reading::Nothing);
        }
    }
}
