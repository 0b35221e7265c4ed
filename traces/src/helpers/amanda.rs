// SPDX-License-Identifier: GPL-2.0-only
//! Amanda: `CONNECT DATA 1001 MESG 1002 INDEX 1003` from the backed-up host.
//!
//! ```text
//!   backup server ◀──CONNECT … n── host      server:* ─▶ host:n   expected, for each stream
//! ```
//!
//! The words are looked for on the rest of the line behind the first `CONNECT `, each on its own:
//! their order does not matter. A stream without a port ends the search, not the others found.
//!
//! The rule that matters: every answer keeps the master for another five minutes, whatever it says.
//!
//! # Source
//! Amanda's `protocol(7)`; `amanda_help()` of `nf_conntrack_amanda.c`; v3.10 knows no `STATE`.

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::Expected;
use nfexp_model::revision::AmandaStreams;
use nfexp_model::tuple::Proto;

use super::{Announced, Parameters, Seen, Tracker, Verdict};

const STREAMS: [&[u8]; 4] = [b"DATA ", b"MESG ", b"INDEX ", b"STATE "];

/// Shows a packet to the helper.
#[doc(alias = "amanda_help")]
pub fn help(parameters: &Parameters, seen: &Seen<'_>, tracker: &mut dyn Tracker) -> Verdict {
    if seen.direction == Direction::Original {
        return Verdict::Accept;
    }
    tracker.refresh(parameters.amanda_master_timeout);
    let Some(line) = streams(seen.payload) else {
        return Verdict::Accept;
    };
    let known = match tracker.revision().amanda_streams {
        AmandaStreams::Three => &STREAMS[..3],
        AmandaStreams::Four => &STREAMS[..],
    };
    let mut verdict = Verdict::Accept;
    for &stream in known {
        let Some(at) = find(line, stream) else { continue };
        let text = &line[at + stream.len()..];
        // Five digits at most, so that 123456 is 12345.
        let digits = text.iter().take(5).take_while(|byte| byte.is_ascii_digit());
        let port = digits.fold(0_u32, |port, digit| port * 10 + u32::from(digit - b'0')) as u16;
        if port == 0 {
            break;
        }
        let original = &seen.tuples[0];
        let announced = Announced::plain(Expected {
            l3: original.l3,
            saddr: Some(original.src),
            daddr: original.dst,
            proto: Proto::TCP,
            sport: None,
            dport: port,
        });
        // KERNEL: amanda_help(), all revisions: one refused stream does not keep the others out.
        if tracker.related(&announced).is_err() {
            verdict = Verdict::Drop;
        }
    }
    verdict
}

/// The rest of the line behind `CONNECT `, if the line ends in this packet.
fn streams(payload: &[u8]) -> Option<&[u8]> {
    const CONNECT: &[u8] = b"CONNECT ";
    let rest = &payload[find(payload, CONNECT)? + CONNECT.len()..];
    Some(&rest[..find(rest, b"\n")?])
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use nfexp_model::revision::Revision;
    use nfexp_model::tuple::Tuple;

    use super::super::asked::Asked;
    use super::*;

    /// `amanda_help()`, by packet: what is asked, each port for a line, and whether it is dropped.
    #[test]
    fn each_stream_is_announced_until_one_has_no_port() {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::UDP, ip("10.0.0.2"), 700, ip("10.0.0.1"), 10080);
        let tuples = [original, original.inverse().expect("udp answers")];
        let (established, expected, seq) = (true, false, 0);
        let parameters = Parameters { amanda_master_timeout: 77, ..Parameters::default() };
        let ask = |tracker: &mut Asked, direction, text: &str| {
            let payload = text.as_bytes();
            let seen = Seen { direction, established, expected, tuples, payload, seq };
            (help(&parameters, &seen, tracker), tracker.told())
        };
        for (text, ports) in [
            ("CONNECT DATA 1 MESG 2 INDEX 3\n", &[1, 2, 3][..]),
            ("CONNECT INDEX 3 MESG 2 DATA 1\n", &[1, 2, 3]),
            ("CONNECT DATA 1 MESG x INDEX 3\n", &[1]),
            ("CONNECT DATA 1 MESG 0 INDEX 3\n", &[1]),
            ("CONNECT DATA 123456 MESG 65537 INDEX 65536\n", &[12345, 1]),
            ("CONNECT DATA 1 STATE 4\n", &[1, 4]),
            ("CONNECT DATA 1\nMESG 2\n", &[1]),
            ("CONNECT DATA 1", &[]),
            ("", &[]),
        ] {
            let (verdict, told) = ask(&mut Asked::of(Revision::LINUX_6_18), Direction::Reply, text);
            let there = |port: &u16| format!("tcp 10.0.0.2:0 > 10.0.0.1:{port} any port");
            let all: Vec<String> =
                ["refresh 77s".to_owned()].into_iter().chain(ports.iter().map(there)).collect();
            assert_eq!((verdict, told), (Verdict::Accept, all), "{text}");
        }
        let four = "CONNECT DATA 1 MESG 2 INDEX 3 STATE 4\n";
        let mut old = Asked::of(Revision::LINUX_3_9);
        assert_eq!(ask(&mut old, Direction::Reply, four).1.len(), 4, "without STATE");
        let mut tracker = Asked { refuses: &[2], ..Asked::of(Revision::LINUX_6_18) };
        let (verdict, told) = ask(&mut tracker, Direction::Reply, four);
        assert_eq!((verdict, told.len()), (Verdict::Drop, 5), "the others stay");
        let asked = ask(&mut tracker, Direction::Original, four);
        assert_eq!(asked, (Verdict::Accept, vec![]), "a question");
    }

    #[test]
    fn the_line_behind_connect_must_end() {
        let found = streams(b"SEQ 1\nCONNECT DATA 1 MESG 2\nOPTIONS ;\n");
        assert_eq!(found, Some(b"DATA 1 MESG 2".as_slice()));
        assert_eq!(streams(b"CONNECT DATA 1"), None);
        assert_eq!(streams(b"SEQ 1\n"), None);
    }
}
