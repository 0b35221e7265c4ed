// SPDX-License-Identifier: GPL-2.0-only
//! FTP: `PORT` and `EPRT` from the client, `227` and `229` from the server.
//!
//! ```text
//!   active    client ──PORT h,p──▶ server        server:* ─▶ client:p   expected
//!   passive   client ◀──227 h,p─── server        client:* ─▶ server:p   expected
//! ```
//!
//! A command counts only if it is the first thing in its packet and the packet begins a line:
//! its sequence number must be one that is known to follow a newline. Two such numbers are
//! remembered per direction, so the very first line of a direction is never read.
//!
//! The rule that matters: what begins like a command and does not end like one makes the packet
//! be dropped.
//!
//! # Source
//! RFC 959, RFC 2428; `help()`, `find_pattern()`, `try_number()`, `try_rfc959()`,
//! `try_rfc1123()`, `try_eprt()`, `try_epsv_response()`, `get_port()`, `find_nl_seq()` and
//! `update_nl_seq()` of `nf_conntrack_ftp.c`, v3.10, 6.18 and 7.2.

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::Expected;
use nfexp_model::revision::{FtpNumbers, FtpReply, Revision};
use nfexp_model::tuple::{Addr, L3, Proto};

use super::address::ipv6;
use super::{Announced, Reading, Seen};

/// What the helper remembers of a control connection (`struct nf_ct_ftp_master`).
#[doc(alias = "nf_ct_ftp_master")]
#[derive(Clone, Copy, Debug, Default)]
pub struct State([Newlines; 2]);

/// Sequence numbers that follow a newline, at most two (`seq_aft_nl`).
#[derive(Clone, Copy, Debug, Default)]
struct Newlines {
    seqs: [u32; 2],
    known: u8,
}

impl Newlines {
    #[doc(alias = "find_nl_seq")]
    fn knows(&self, seq: u32) -> bool {
        self.seqs[..usize::from(self.known)].contains(&seq)
    }

    #[doc(alias = "update_nl_seq")]
    fn learn(&mut self, seq: u32) {
        if self.knows(seq) {
            return;
        }
        if self.known < 2 {
            self.seqs[usize::from(self.known)] = seq;
            self.known += 1;
            return;
        }
        // The older of the two goes, unless this one is older still.
        let is_before = |a: u32, b: u32| (a.wrapping_sub(b) as i32) < 0;
        let older = &mut self.seqs[usize::from(!is_before(self.seqs[0], self.seqs[1]))];
        if is_before(*older, seq) {
            *older = seq;
        }
    }
}

/// Where an announcement says the connection will go.
#[derive(Clone, Copy)]
struct Command {
    addr: Addr,
    port: u16,
}

/// Reads a number list or the like; `None` if it does not parse.
type GetNum = fn(Text<'_>, L3, Command) -> Option<Command>;

/// What follows a pattern, and what its numbers may be.
#[derive(Clone, Copy)]
struct Text<'a> {
    data: &'a [u8],
    numbers: FtpNumbers,
}

/// One thing to look for.
struct Pattern {
    text: &'static [u8],
    /// What to skip to behind it.
    skip: Option<u8>,
    get_num: GetNum,
}

const COMMANDS: [Pattern; 2] = [
    Pattern { text: b"PORT", skip: Some(b' '), get_num: port_command },
    Pattern { text: b"EPRT", skip: Some(b' '), get_num: eprt_command },
];

const REPLIES: [Pattern; 2] = [
    Pattern { text: b"227 ", skip: None, get_num: pasv_reply },
    Pattern { text: b"229 ", skip: Some(b'('), get_num: epsv_reply },
];

/// As they were before RFC 1123 was heeded.
const REPLIES_IN_PARENTHESES: [Pattern; 2] = [
    Pattern { text: b"227 ", skip: Some(b'('), get_num: pasv_reply_in_parentheses },
    Pattern { text: b"229 ", skip: Some(b'('), get_num: epsv_reply },
];

impl State {
    /// Reads a packet.
    pub fn read(&mut self, loose: bool, revision: &Revision, seen: &Seen<'_>) -> Reading {
        // Until both sides have spoken, nothing is looked at.
        let Some(&last) = seen.payload.last().filter(|_| seen.established) else {
            return Reading::Nothing;
        };
        let (newlines, patterns) = match seen.direction {
            Direction::Original => (&mut self.0[0], &COMMANDS),
            Direction::Reply => {
                let replies = match revision.ftp_reply {
                    FtpReply::InParentheses => &REPLIES_IN_PARENTHESES,
                    FtpReply::FromFirstDigit => &REPLIES,
                };
                (&mut self.0[1], replies)
            }
        };
        let reading = if newlines.knows(seen.seq) {
            search(patterns, loose, revision.ftp_numbers, seen)
        } else {
            Reading::Nothing
        };
        // KERNEL: help(), all revisions: a dropped half teaches nothing; a refused announcement
        // does.
        // DEVIATION: neither does one for which there was no memory; it comes again anyway.
        if reading != Reading::Partial && last == b'\n' {
            newlines.learn(seen.seq.wrapping_add(seen.payload.len() as u32));
        }
        reading
    }
}

fn search(patterns: &[Pattern], loose: bool, numbers: FtpNumbers, seen: &Seen<'_>) -> Reading {
    let own = seen.tuple();
    let (nowhere, text) =
        (Command { addr: own.src, port: 0 }, Text { data: seen.payload, numbers });
    let found = patterns.iter().find_map(|pattern| find(pattern, text, own.l3, nowhere));
    let command = match found {
        None => return Reading::Nothing,
        Some(Err(Half)) => return Reading::Partial,
        Some(Ok(command)) => command,
    };
    let mut daddr = seen.other().dst;
    if command.addr != own.src {
        // Not the announcer's own address: a hole for a third party.
        if !loose {
            return Reading::Nothing;
        }
        daddr = command.addr;
    }
    let expected = Expected {
        l3: own.l3,
        saddr: Some(seen.other().src),
        daddr,
        proto: Proto::TCP,
        sport: None,
        dport: command.port,
    };
    Reading::Announces(Announced::plain(expected))
}

/// A pattern that began and did not end.
struct Half;

/// `None`: not this pattern.
#[doc(alias = "find_pattern")]
fn find(
    pattern: &Pattern,
    text: Text<'_>,
    l3: L3,
    nowhere: Command,
) -> Option<Result<Command, Half>> {
    let data = text.data;
    let length = pattern.text.len();
    if data.len() <= length {
        let begins = pattern.text[..data.len()].eq_ignore_ascii_case(data);
        return begins.then_some(Err(Half));
    }
    if !data[..length].eq_ignore_ascii_case(pattern.text) {
        return None;
    }
    let mut rest = &data[length..];
    if let Some(skip) = pattern.skip {
        let Some(at) = rest.iter().position(|&byte| byte == skip) else {
            return Some(Err(Half));
        };
        rest = &rest[at + 1..];
    }
    Some((pattern.get_num)(Text { data: rest, ..text }, l3, nowhere).ok_or(Half))
}

/// Numbers with a separator between them; answers their length, too. They end at `end`, or at
/// anything if there is none, and something must follow.
///
/// # Source
/// `try_number()`, 6.18: an empty number is 0, a large one wraps in 32 bits; 7.2: one beyond a byte
/// is none.
#[doc(alias = "try_number")]
fn numbers<const N: usize>(
    text: Text<'_>,
    separator: u8,
    end: Option<u8>,
) -> Option<([u32; N], usize)> {
    let mut numbers = [0_u32; N];
    let mut at = 0;
    for (length, &byte) in text.data.iter().enumerate() {
        if at == N {
            break;
        }
        if byte.is_ascii_digit() {
            numbers[at] = numbers[at].wrapping_mul(10).wrapping_add(u32::from(byte - b'0'));
            if text.numbers == FtpNumbers::MustFit && numbers[at] > 255 {
                return None;
            }
        } else if byte == separator {
            at += 1;
        } else {
            let ended = end.is_none_or(|end| end == byte) && at == N - 1;
            return ended.then_some((numbers, length));
        }
    }
    None
}

/// Four numbers as an address: what does not fit a byte spills into its neighbours.
fn with_ipv4(addr: Addr, n: [u32; 4]) -> Addr {
    let ip = n[0] << 24 | n[1] << 16 | n[2] << 8 | n[3];
    let mut bytes = addr.0;
    // KERNEL: try_rfc959(), all revisions: in an IPv6 session, too, it writes the first word.
    bytes[..4].copy_from_slice(&ip.to_be_bytes());
    Addr(bytes)
}

fn host_and_port(text: Text<'_>, end: Option<u8>, command: Command) -> Option<Command> {
    let ([a, b, c, d, high, low], _) = numbers::<6>(text, b',', end)?;
    let addr = with_ipv4(command.addr, [a, b, c, d]);
    Some(Command { addr, port: (high << 8 | low) as u16 })
}

#[doc(alias = "try_rfc959")]
fn port_command(text: Text<'_>, _: L3, command: Command) -> Option<Command> {
    host_and_port(text, Some(b'\r'), command)
}

/// The numbers of a 227 end with the parenthesis that is skipped to before them.
fn pasv_reply_in_parentheses(text: Text<'_>, _: L3, command: Command) -> Option<Command> {
    host_and_port(text, Some(b')'), command)
}

/// The numbers of a 227 begin with the first digit, whatever stands before.
#[doc(alias = "try_rfc1123")]
fn pasv_reply(text: Text<'_>, _: L3, command: Command) -> Option<Command> {
    let first = text.data.iter().position(u8::is_ascii_digit)?;
    host_and_port(Text { data: &text.data[first..], ..text }, None, command)
}

fn is_delimiter(byte: u8) -> bool {
    !byte.is_ascii_digit() && (33..=126).contains(&byte)
}

#[doc(alias = "try_eprt")]
fn eprt_command(text: Text<'_>, l3: L3, command: Command) -> Option<Command> {
    let (&[delimiter, family, again], rest) = text.data.split_first_chunk::<3>()?;
    if rest.is_empty() || !is_delimiter(delimiter) || again != delimiter {
        return None;
    }
    let (addr, length) = match (l3, family) {
        (L3::Ipv4, b'1') => {
            let text = Text { data: rest, ..text };
            let (n, length) = numbers::<4>(text, b'.', Some(delimiter))?;
            (with_ipv4(command.addr, n), length)
        }
        // KERNEL: get_ipv6_addr(), all revisions: the port begins behind whatever byte ended the
        // address, if it was a zero or a colon, too.
        (L3::Ipv6, b'2') => ipv6(rest, Some(delimiter))?,
        _ => return None,
    };
    let text = Text { data: rest.get(length + 1..)?, ..text };
    Some(Command { addr, port: port(text, delimiter)? })
}

#[doc(alias = "try_epsv_response")]
fn epsv_reply(text: Text<'_>, _: L3, command: Command) -> Option<Command> {
    let (&[delimiter, second, third], rest) = text.data.split_first_chunk::<3>()?;
    if rest.is_empty() || !is_delimiter(delimiter) || [second, third] != [delimiter; 2] {
        return None;
    }
    Some(Command { port: port(Text { data: rest, ..text }, delimiter)?, ..command })
}

/// A port up to the delimiter; one beyond 16 bits wraps (in 7.2 it is none), and 0 is none.
#[doc(alias = "get_port")]
fn port(text: Text<'_>, delimiter: u8) -> Option<u16> {
    let mut port = 0_u16;
    for &byte in text.data {
        if byte == delimiter {
            return (port != 0).then_some(port);
        }
        if !byte.is_ascii_digit() {
            return None;
        }
        let wide = u32::from(port) * 10 + u32::from(byte - b'0');
        if text.numbers == FtpNumbers::MustFit && wide > u32::from(u16::MAX) {
            return None;
        }
        port = wide as u16;
    }
    None
}

#[cfg(test)]
mod tests {
    use nfexp_model::tuple::Tuple;

    use super::*;

    fn tuples(v6: bool) -> [Tuple; 2] {
        let ip = |text: &str| text.parse().expect("a literal address");
        let (client, server) = if v6 { ("fd00::2", "fd00::1") } else { ("10.0.0.2", "10.0.0.1") };
        let original = Tuple::new(Proto::TCP, ip(client), 40000, ip(server), 21);
        [original, original.inverse().expect("tcp answers")]
    }

    /// Reads `payload` where a line is known to begin.
    fn line(direction: Direction, v6: bool, loose: bool, payload: &str) -> String {
        line_on(Revision::LINUX_6_18, (direction, v6, loose), payload)
    }

    fn line_on(
        revision: Revision,
        (direction, v6, loose): (Direction, bool, bool),
        payload: &str,
    ) -> String {
        let mut state = State::default();
        let seen = |payload, seq| Seen {
            direction,
            established: true,
            expected: false,
            tuples: tuples(v6),
            payload,
            seq,
        };
        assert_eq!(state.read(loose, &revision, &seen(b"\n", 0)), Reading::Nothing);
        match state.read(loose, &revision, &seen(payload.as_bytes(), 1)) {
            Reading::Nothing => "nothing".into(),
            Reading::Partial => "partial".into(),
            Reading::Announces(announced) => announced.key().0.to_string(),
        }
    }

    #[test]
    fn what_the_client_says() {
        for (payload, reading) in [
            ("PORT 10,0,0,2,195,80\r\n", "tcp 10.0.0.1:0 > 10.0.0.2:50000"),
            ("port 10,0,0,2,195,80\r\n", "tcp 10.0.0.1:0 > 10.0.0.2:50000"),
            ("PORT   10,0,0,2,1,2\r\n", "partial"),
            ("PORT 10,0,0,2,195,80\n", "partial"),
            ("PORT 10,0,0,9,195,80\r\n", "nothing"),
            ("PORT 1234\r\n", "partial"),
            ("PORT 114,115\r\n", "partial"),
            ("PO", "partial"),
            ("PORTER\r\n", "partial"),
            ("USER PORT 10,0,0,2,195,80\r\n", "nothing"),
            ("EPRT |1|10.0.0.2|50000|\r\n", "tcp 10.0.0.1:0 > 10.0.0.2:50000"),
            ("EPRT |2|fd00::2|50000|\r\n", "partial"),
            ("EPRT |1|10.0.0.2|0|\r\n", "partial"),
            ("227 Entering (10,0,0,2,1,2)\r\n", "nothing"),
        ] {
            assert_eq!(line(Direction::Original, false, false, payload), reading, "{payload:?}");
        }
        let v6 = line(Direction::Original, true, false, "EPRT |2|fd00::2|50000|\r\n");
        assert_eq!(v6, "tcp [fd00::1]:0 > [fd00::2]:50000");
    }

    #[test]
    fn what_the_server_says() {
        for (payload, reading) in [
            ("227 Entering Passive Mode (10,0,0,1,195,80).\r\n", "tcp 10.0.0.2:0 > 10.0.0.1:50000"),
            ("227 =10,0,0,1,195,80\r\n", "tcp 10.0.0.2:0 > 10.0.0.1:50000"),
            ("227 Logout.\r\n", "partial"),
            ("227 Entering (10,0,0,9,195,80)\r\n", "nothing"),
            (
                "229 Entering Extended Passive Mode (|||50000|)\r\n",
                "tcp 10.0.0.2:0 > 10.0.0.1:50000",
            ),
            ("229 no parenthesis\r\n", "partial"),
            ("229 (|||x|)\r\n", "partial"),
            ("230 Login successful.\r\n", "nothing"),
        ] {
            assert_eq!(line(Direction::Reply, false, false, payload), reading, "{payload:?}");
        }
        let v6 = line(Direction::Reply, true, false, "229 (|||50000|)\r\n");
        assert_eq!(v6, "tcp [fd00::2]:0 > [fd00::1]:50000");
    }

    #[test]
    fn kernels_read_other_numbers() {
        let (client, server) =
            ("tcp 10.0.0.1:0 > 10.0.0.2:50000", "tcp 10.0.0.2:0 > 10.0.0.1:50000");
        let (old, now, new) = (Revision::LINUX_3_9, Revision::LINUX_6_18, Revision::LINUX_7_2);
        for (direction, payload, readings) in [
            (Direction::Reply, "227 Go (10,0,0,1,195,80)\r\n", [server; 3]),
            (
                Direction::Reply,
                "227 Go (10,0,0,1,195,255)\r\n",
                ["tcp 10.0.0.2:0 > 10.0.0.1:50175"; 3],
            ),
            (Direction::Reply, "227 Go =10,0,0,1,195,80\r\n", ["partial", server, server]),
            (Direction::Reply, "227 (10,0,0,1,195,80\r\n", ["partial", server, server]),
            (Direction::Reply, "229 Go (|||115536|)\r\n", [server, server, "partial"]),
            (Direction::Original, "PORT 10,0,0,2,195,80\r\n", [client; 3]),
            (Direction::Original, "PORT 10,0,0,2,194,336\r\n", [client, client, "partial"]),
            (Direction::Original, "PORT 8,512,0,2,195,80\r\n", [client, client, "partial"]),
            (Direction::Original, "EPRT |1|10.0.0.2|115536|\r\n", [client, client, "partial"]),
            (
                Direction::Original,
                "EPRT |1|10.0.0.2|65535|\r\n",
                ["tcp 10.0.0.1:0 > 10.0.0.2:65535"; 3],
            ),
            (Direction::Original, "EPRT |1|10.0.0.2|65536|\r\n", ["partial"; 3]),
        ] {
            let readings_are = [old, now, new]
                .map(|revision| line_on(revision, (direction, false, false), payload));
            assert_eq!(readings_are, readings, "{payload:?}");
        }
    }

    #[test]
    fn a_third_party_needs_a_loose_helper() {
        let payload = "PORT 10,0,0,9,195,80\r\n";
        assert_eq!(
            line(Direction::Original, false, true, payload),
            "tcp 10.0.0.1:0 > 10.0.0.9:50000"
        );
    }

    #[test]
    fn a_line_must_follow_a_newline_that_was_seen() {
        let mut state = State::default();
        let mut read = |payload: &str, seq, established| {
            let (direction, tuples) = (Direction::Original, tuples(false));
            let payload = payload.as_bytes();
            state.read(
                false,
                &Revision::LINUX_6_18,
                &Seen { direction, established, expected: false, tuples, payload, seq },
            )
        };
        let port = "PORT 10,0,0,2,195,80\r\n";
        assert_eq!(read(port, 100, false), Reading::Nothing, "nobody has answered yet");
        assert_eq!(read(port, 100, true), Reading::Nothing, "the first line of a direction");
        assert!(matches!(read(port, 122, true), Reading::Announces(_)), "follows a newline");
        assert!(matches!(read(port, 122, true), Reading::Announces(_)), "a retransmission");
        assert_eq!(read("PORT 10,0,", 144, true), Reading::Partial);
        assert_eq!(read("0,2,195,80\r\n", 154, true), Reading::Nothing, "not reassembled");
        assert_eq!(read(port, 154, true), Reading::Nothing, "not after a newline");
        assert!(matches!(read(port, 166, true), Reading::Announces(_)));
    }

    #[test]
    fn every_cut_and_every_flip_is_survived() {
        for line in
            ["PORT 10,0,0,2,195,80\r\n", "EPRT |2|fd00::2|50000|\r\n", "229 (|||50000|)\r\n"]
        {
            for cut in 0..=line.len() {
                for flip in 0..cut {
                    let mut bytes = line.as_bytes()[..cut].to_vec();
                    bytes[flip] ^= 0x81;
                    for direction in [Direction::Original, Direction::Reply] {
                        for v6 in [false, true] {
                            let (tuples, seq) = (tuples(v6), 1);
                            let mut state = State::default();
                            state.0.iter_mut().for_each(|newlines| newlines.learn(1));
                            let payload = &bytes;
                            let established = true;
                            state.read(
                                true,
                                &Revision::LINUX_6_18,
                                &Seen {
                                    direction,
                                    established,
                                    expected: false,
                                    tuples,
                                    payload,
                                    seq,
                                },
                            );
                        }
                    }
                }
            }
        }
    }
}
