// SPDX-License-Identifier: GPL-2.0-only
//! IRC: `PRIVMSG nick :\1DCC SEND file 167772162 5000\1` from the client.
//!
//! ```text
//!   client ──DCC … ip p──▶ server        *:* ─▶ client:p   expected
//! ```
//!
//! The packet must begin with `PRIVMSG` (blanks and line ends before it are skipped), and only the
//! text behind its first ` :` is looked at; before v6.0, all of the packet. The address is one
//! decimal number, and must be the client's own.
//!
//! The rule that matters: somewhere behind the address a newline must follow in the same packet,
//! or nothing is announced.
//!
//! # Source
//! CTCP/DCC as clients speak it; `help()` and `parse_dcc()` of `nf_conntrack_irc.c`, v3.10 and 6.18.
//! 7.2 ends the search where a command does not parse, which nothing that fits behind it can tell.

use std::ops::ControlFlow;

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::Expected;
use nfexp_model::revision::{IrcSearch, Revision};
use nfexp_model::tuple::{Addr, Proto};

use super::{Announced, Reading, Seen};

/// How much of a packet is searched (`MAX_SEARCH_SIZE`).
const SEARCHED: usize = 4095;

const PROTOCOLS: [&[u8]; 5] = [b"SEND ", b"CHAT ", b"MOVE ", b"TSEND ", b"SCHAT "];

/// Reads a packet.
#[must_use]
pub fn read(revision: &Revision, seen: &Seen<'_>) -> Reading {
    if seen.direction == Direction::Reply || !seen.established {
        return Reading::Nothing;
    }
    let found = match revision.irc_search {
        IrcSearch::Anywhere => anywhere(revision, seen.payload, seen),
        IrcSearch::AtMessage => {
            let data = &seen.payload[..seen.payload.len().min(SEARCHED)];
            at_message(revision, data, seen)
        }
    };
    found.map_or(Reading::Nothing, Reading::Announces)
}

/// What ends a search, with what it found; or from where it goes on.
type Search = ControlFlow<Option<Announced>, usize>;

fn at_message(revision: &Revision, data: &[u8], seen: &Seen<'_>) -> Option<Announced> {
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
        at = match command(revision, data, at + 5, seen) {
            Search::Continue(place) => place,
            Search::Break(found) => return found,
        };
    }
    None
}

fn anywhere(revision: &Revision, data: &[u8], seen: &Seen<'_>) -> Option<Announced> {
    let mut at = 0;
    while at + 24 < data.len() {
        if &data[at..at + 5] != b"\x01DCC " {
            at += 1;
            continue;
        }
        at = match command(revision, data, at + 5, seen) {
            Search::Continue(place) => place,
            Search::Break(found) => return found,
        };
    }
    None
}

/// What stands behind `\1DCC `.
fn command(revision: &Revision, data: &[u8], mut at: usize, seen: &Seen<'_>) -> Search {
    for protocol in PROTOCOLS {
        if !data[at..].starts_with(protocol) {
            continue;
        }
        at += protocol.len();
        match dcc(data, at) {
            None => {}
            Some((ip, port)) if is_own(revision, ip, port, seen) => {
                return Search::Break(Some(Announced::plain(Expected {
                    l3: seen.tuple().l3,
                    saddr: None,
                    daddr: seen.other().dst,
                    proto: Proto::TCP,
                    sport: None,
                    dport: port,
                })));
            }
            // KERNEL: help(), 6.18: what parses and is forged ends it, in v3.10 it does not.
            Some(_) if revision.irc_search == IrcSearch::Anywhere => {}
            Some(_) => return Search::Break(None),
        }
    }
    Search::Continue(at)
}

/// Whether an address is one that the client may speak of.
fn is_own(revision: &Revision, ip: u32, port: u16, seen: &Seen<'_>) -> bool {
    let claimed = claimed(ip);
    match revision.irc_search {
        // KERNEL: help(), v3.10: the server's is taken for the client's own behind a translation,
        // and port 0 is one.
        IrcSearch::Anywhere => claimed == seen.tuple().src || claimed == seen.tuple().dst,
        IrcSearch::AtMessage => {
            (claimed == seen.tuple().src || claimed == seen.other().dst) && port != 0
        }
    }
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
        says_on(Revision::LINUX_6_18, payload)
    }

    fn says_on(revision: Revision, payload: &[u8]) -> String {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 6667);
        let tuples = [original, original.inverse().expect("tcp answers")];
        let direction = Direction::Original;
        let seen = Seen { direction, established: true, expected: false, tuples, payload, seq: 0 };
        match read(&revision, &seen) {
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
    fn kernels_look_in_other_places() {
        let hole = "tcp 0.0.0.0:0 > 10.0.0.2:5000";
        let server = "PRIVMSG bob :\x01DCC CHAT chat 167772161 5000\x01\r\n";
        let zero = "PRIVMSG bob :\x01DCC CHAT chat 167772162 0\x01\r\n";
        let within = "PRIVMSG bob :look \x01DCC SEND notes.txt 167772162 5000\x01\n";
        let forged = "PRIVMSG bob :\x01DCC CHAT chat 167772169 5000\x01 :\x01DCC CHAT chat \
                      167772162 5000\x01\n";
        for (payload, old, now) in [
            (within, hole, "nothing"),
            (server, hole, "nothing"),
            (zero, "tcp 0.0.0.0:0 > 10.0.0.2:0", "nothing"),
            (forged, hole, "nothing"),
        ] {
            assert_eq!(says_on(Revision::LINUX_3_9, payload.as_bytes()), old, "{payload:?}");
            assert_eq!(says(payload.as_bytes()), now, "{payload:?}");
        }
    }

    #[test]
    fn only_the_first_four_kilobytes_are_searched() {
        let far = format!("PRIVMSG {} :\x01DCC CHAT chat 167772162 5000\x01\n", "b".repeat(4096));
        assert_eq!(says(far.as_bytes()), "nothing");
    }
}
