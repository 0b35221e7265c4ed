// SPDX-License-Identifier: GPL-2.0-only
//! IRC: `PRIVMSG nick :\1DCC SEND file 167772162 5000\1` from the client.
//!
//! ```text
//!   client ──DCC … ip p──▶ server        *:* ─▶ client:p   expected
//! ```
//!
//! The packet must begin with `PRIVMSG` (blanks and line ends before it are skipped), and only the
//! text behind its first ` :` is looked at. The address is one decimal number, and must be the
//! client's own.
//!
//! The rule that matters: somewhere behind the address a newline must follow in the same packet,
//! or nothing is announced.
//!
//! # Source
//! CTCP/DCC as clients speak it; `help()` and `parse_dcc()` of `nf_conntrack_irc.c`, since v6.0
//! (older kernels look for `\1DCC ` anywhere).

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::Expected;
use nfexp_model::tuple::{Addr, Proto};

use super::{Announced, Reading, Seen};

/// How much of a packet is searched (`MAX_SEARCH_SIZE`).
const SEARCHED: usize = 4095;

const PROTOCOLS: [&[u8]; 5] = [b"SEND ", b"CHAT ", b"MOVE ", b"TSEND ", b"SCHAT "];

/// Reads a packet.
#[must_use]
pub fn read(seen: &Seen<'_>) -> Reading {
    if seen.direction == Direction::Reply || !seen.established {
        return Reading::Nothing;
    }
    let data = &seen.payload[..seen.payload.len().min(SEARCHED)];
    announcement(data, seen).map_or(Reading::Nothing, Reading::Announces)
}

fn announcement(data: &[u8], seen: &Seen<'_>) -> Option<Announced> {
    let mut at = 0;
    while at + 10 < data.len() && matches!(data[at], b' ' | b'\r' | b'\n') {
        at += 1;
    }
    // KERNEL: help(), 6.18: a packet too short for `PRIVMSG x ` is searched without it.
    if at + 10 < data.len() {
        if !data[at..at + 8].eq_ignore_ascii_case(b"PRIVMSG ") {
            return None;
        }
        at += 8;
    }
    while at + 26 < data.len() {
        if &data[at..at + 2] != b" :" {
            at += 1;
            continue;
        }
        at += 2;
        // Only the beginning of the message may be a command.
        if &data[at..at + 5] != b"\x01DCC " {
            return None;
        }
        at += 5;
        for protocol in PROTOCOLS {
            if !data[at..].starts_with(protocol) {
                continue;
            }
            at += protocol.len();
            // KERNEL: help(), 6.18: what does not parse lets the search go on from here, what
            // parses and is forged ends it.
            let Some((ip, port)) = dcc(data, at) else { continue };
            let claimed = claimed(ip);
            let own = claimed == seen.tuple().src || claimed == seen.other().dst;
            if !own || port == 0 {
                return None;
            }
            let (l3, daddr) = (seen.tuple().l3, seen.other().dst);
            return Some(Announced::plain(Expected {
                l3,
                saddr: None,
                daddr,
                proto: Proto::TCP,
                sport: None,
                dport: port,
            }));
        }
    }
    None
}

fn claimed(ip: u32) -> Addr {
    Addr::v4(ip.to_be_bytes())
}

/// Address and port behind the name of a file.
#[doc(alias = "parse_dcc")]
fn dcc(data: &[u8], mut at: usize) -> Option<(u32, u16)> {
    loop {
        let byte = *data.get(at)?;
        at += 1;
        if byte == b' ' {
            break;
        }
        if at + 12 > data.len() {
            return None;
        }
    }
    if !data.get(at..)?.contains(&b'\n') {
        return None;
    }
    let (ip, mut at) = decimal(data, at);
    while data.get(at) == Some(&b' ') {
        at += 1;
    }
    let (port, _) = decimal(data, at);
    Some((ip as u32, port as u16))
}

/// Digits as far as they go, and where they end; none are zero, many wrap.
fn decimal(data: &[u8], at: usize) -> (u64, usize) {
    let digits = data[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = data[at..at + digits]
        .iter()
        .fold(0_u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    (value, at + digits)
}

#[cfg(test)]
mod tests {
    use nfexp_model::tuple::Tuple;

    use super::*;

    fn says(payload: &[u8]) -> String {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 6667);
        let tuples = [original, original.inverse().expect("tcp answers")];
        let direction = Direction::Original;
        let seen = Seen { direction, established: true, expected: false, tuples, payload, seq: 0 };
        match read(&seen) {
            Reading::Announces(announced) => announced.key().0.to_string(),
            _ => "nothing".into(),
        }
    }

    #[test]
    fn what_a_client_offers() {
        let hole = "tcp 0.0.0.0:0 > 10.0.0.2:5000";
        for (payload, reading) in [
            ("PRIVMSG bob :\x01DCC SEND notes.txt 167772162 5000 17\x01\r\n", hole),
            ("privmsg bob :\x01DCC CHAT chat 167772162 5000\x01\n", hole),
            ("\r\n PRIVMSG bob :\x01DCC TSEND notes.txt 167772162 5000 17\x01\n", hole),
            ("PRIVMSG bob :\x01DCC SEND notes.txt 167772162   5000 17\x01\n", hole),
            ("PRIVMSG bob :\x01DCC SEND notes.txt 167772162 5000 17\x01", "nothing"),
            ("PRIVMSG bob :\x01DCC SEND notes.txt 167772169 5000 17\x01\n", "nothing"),
            ("PRIVMSG bob :\x01DCC SEND notes.txt 167772162 0 17\x01\r\n", "nothing"),
            ("PRIVMSG bob :\x01dcc SEND notes.txt 167772162 5000 17\x01\n", "nothing"),
            ("PRIVMSG bob :look \x01DCC SEND notes.txt 167772162 5000\x01\n", "nothing"),
            ("NOTICE bob :\x01DCC SEND notes.txt 167772162 5000 17\x01\r\n", "nothing"),
            ("PRIVMSG bob :\x01DCC RESUME notes.txt 5000 167772162 17\x01\n", "nothing"),
        ] {
            assert_eq!(says(payload.as_bytes()), reading, "{payload:?}");
        }
    }

    #[test]
    fn only_the_first_four_kilobytes_are_searched() {
        let far = format!("PRIVMSG {} :\x01DCC CHAT chat 167772162 5000\x01\n", "b".repeat(4096));
        assert_eq!(says(far.as_bytes()), "nothing");
    }
}
