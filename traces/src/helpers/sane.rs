// SPDX-License-Identifier: GPL-2.0-only
//! SANE: the answer to `SANE_NET_START` names the port from which the picture is fetched.
//!
//! ```text
//!   client ──NET_START handle──▶ server
//!   client ◀──status 0, 0, p──── server        client:* ─▶ server:p   expected
//! ```
//!
//! The rule that matters: a request counts only if it is alone in its packet, eight bytes long; the
//! next packet of the server is taken for its answer, whatever it is.
//!
//! # Source
//! SANE standard 1.06 §5.2 (`SANE_NET_START` is RPC code 7); `help()` of `nf_conntrack_sane.c`.

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::Expected;
use nfexp_model::tuple::Proto;

use super::{Announced, Reading, Seen};

/// Whether the next answer is awaited (`struct nf_ct_sane_master`).
#[doc(alias = "nf_ct_sane_master")]
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    requested: bool,
}

const NET_START: [u8; 4] = [0, 0, 0, 7];

impl State {
    /// Reads a packet.
    pub fn read(&mut self, seen: &Seen<'_>) -> Reading {
        if !seen.established || seen.payload.is_empty() {
            return Reading::Nothing;
        }
        if seen.direction == Direction::Original {
            // A packet of another length leaves the state as it is.
            if seen.payload.len() == 8 {
                self.requested = seen.payload[..4] == NET_START;
            }
            return Reading::Nothing;
        }
        if !std::mem::take(&mut self.requested) {
            return Reading::Nothing;
        }
        let Some(&[0, 0, 0, 0, 0, 0, high, low]) = seen.payload.first_chunk::<8>() else {
            return Reading::Nothing;
        };
        let original = &seen.tuples[0];
        Reading::Announces(Announced::plain(Expected {
            l3: original.l3,
            saddr: Some(original.src),
            daddr: original.dst,
            proto: Proto::TCP,
            sport: None,
            dport: u16::from_be_bytes([high, low]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use nfexp_model::tuple::Tuple;

    use super::*;

    #[test]
    fn only_the_answer_to_a_lone_request_announces() {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 6566);
        let tuples = [original, original.inverse().expect("tcp answers")];
        let mut state = State::default();
        let mut show = |established, direction, payload: &[u8]| {
            let (expected, seq) = (false, 0);
            match state.read(&Seen { direction, established, expected, tuples, payload, seq }) {
                Reading::Announces(announced) => announced.key().0.dport,
                _ => 0,
            }
        };
        let request = [0, 0, 0, 7, 0, 0, 0, 1];
        let answer = [0, 0, 0, 0, 0, 0, 0x13, 0x88, 9];
        show(false, Direction::Original, &request);
        assert_eq!(show(true, Direction::Reply, &answer), 0, "nobody had answered yet");
        let mut read = |direction, payload: &[u8]| show(true, direction, payload);
        assert_eq!(read(Direction::Reply, &answer), 0, "nobody asked");
        read(Direction::Original, &request);
        assert_eq!(read(Direction::Reply, &answer), 5000);
        assert_eq!(read(Direction::Reply, &answer), 0, "answered already");
        read(Direction::Original, &request);
        read(Direction::Original, &[0, 0, 0, 5, 0, 0, 0, 1]);
        assert_eq!(read(Direction::Reply, &answer), 0, "something else was asked");
        read(Direction::Original, &request);
        assert_eq!(read(Direction::Reply, &[0, 0, 0, 1, 0, 0, 0x13, 0x88]), 0, "refused");
        for longer in [&request[..7], &[0, 0, 0, 7, 0, 0, 0, 1, 0]] {
            read(Direction::Original, longer);
            assert_eq!(read(Direction::Reply, &answer), 0, "no request");
        }
        read(Direction::Original, &request);
        read(Direction::Reply, &[]);
        read(Direction::Original, &[0, 0, 0, 5]);
        assert_eq!(read(Direction::Reply, &answer), 5000, "whoever says nothing answers nothing");
        read(Direction::Original, &request);
        read(Direction::Reply, &answer[..7]);
        assert_eq!(read(Direction::Reply, &answer), 0, "half an answer is the answer");
    }
}
