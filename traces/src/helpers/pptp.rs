// SPDX-License-Identifier: GPL-2.0-only
//! PPTP: a call that was accepted makes two GRE streams expected, one each way.
//!
//! ```text
//!   client ──OUT_CALL_REQUEST id a──▶ server
//!   client ◀──OUT_CALL_REPLY  id b── server       gre client(a) ─▶ server(b)   expected
//!                                                 gre server(b) ─▶ client(a)   expected
//! ```
//!
//! The first of the two that matches takes the other away: they are one connection. GRE packets
//! carry only the receiver's key; the key map finds the sender's.
//!
//! The rule that matters: the side that opened the control connection is taken for the client,
//! and one call at a time is remembered.
//!
//! # Source
//! RFC 2637 §2; `conntrack_pptp_help()`, `pptp_inbound_pkt()`, `pptp_outbound_pkt()`, `exp_gre()`,
//! `pptp_destroy_siblings()` of `nf_conntrack_pptp.c`.

use nfexp_model::conntrack::Direction;
use nfexp_model::event::ExpectFn;
use nfexp_model::expectation::Expected;
use nfexp_model::revision::GreKeys;
use nfexp_model::tuple::{Proto, Tuple};

use super::{Announced, Seen, Tracker, Verdict};

/// What the helper remembers of a control connection (`struct nf_ct_pptp_master`).
#[doc(alias = "nf_ct_pptp_master")]
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    session: Session,
    call: Call,
    /// The server's call id.
    pac_call: u16,
    /// The client's.
    pns_call: u16,
}

/// Where the control connection stands, in the kernel's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Session {
    #[default]
    None,
    Error,
    StopRequested,
    Requested,
    Confirmed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Call {
    #[default]
    None,
    OutRequested,
    OutConfirmed,
    InRequested,
    InReplied,
    InConfirmed,
    ClearRequested,
}

/// A control message behind its header.
#[derive(Clone, Copy)]
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let (head, body) = payload.split_first_chunk::<12>()?;
        let control = head[2..4] == [0, 1] && head[4..8] == [0x1a, 0x2b, 0x3c, 0x4d];
        let kind = u16::from_be_bytes([head[8], head[9]]);
        let whole = body.len() >= Self::shortest(kind);
        (control && whole).then_some(Self { kind, body })
    }

    /// How much of a message must be in the packet, if it is one that is read.
    const fn shortest(kind: u16) -> usize {
        match kind {
            1 | 2 => 144,
            3 | 4 => 4,
            7 => 156,
            8 => 20,
            9 => 208,
            10 => 12,
            11 => 16,
            12 => 4,
            13 => 136,
            _ => 0,
        }
    }

    /// A field; bytes beyond the packet read as zero, as unused memory would.
    fn word(self, at: usize) -> u16 {
        let byte = |at| self.body.get(at).copied().unwrap_or(0);
        u16::from_be_bytes([byte(at), byte(at + 1)])
    }

    fn byte(self, at: usize) -> u8 {
        self.body.get(at).copied().unwrap_or(0)
    }
}

impl State {
    /// Shows a packet to the helper. It never drops one.
    #[doc(alias = "conntrack_pptp_help")]
    pub fn help(&mut self, seen: &Seen<'_>, tracker: &mut dyn Tracker) -> Verdict {
        if let Some(message) = Message::read(seen.payload).filter(|_| seen.established) {
            match seen.direction {
                Direction::Original => self.outbound(message),
                Direction::Reply => self.inbound(message, seen, tracker),
            }
        }
        Verdict::Accept
    }

    /// From the server.
    #[doc(alias = "pptp_inbound_pkt")]
    fn inbound(&mut self, message: Message<'_>, seen: &Seen<'_>, tracker: &mut dyn Tracker) {
        let confirmed = self.session == Session::Confirmed;
        match message.kind {
            // Start session reply.
            2 if self.session >= Session::Requested => {
                let ok = message.byte(2) == 1;
                self.session = if ok { Session::Confirmed } else { Session::Error };
            }
            // Stop session reply.
            4 if self.session <= Session::StopRequested => {
                let ok = message.byte(0) == 1;
                self.session = if ok { Session::None } else { Session::Error };
            }
            // Outgoing call reply.
            8 if confirmed && matches!(self.call, Call::OutRequested | Call::OutConfirmed) => {
                let (call, peer) = (message.word(0), message.word(2));
                if peer != self.pns_call {
                    return;
                }
                if message.byte(4) == 1 {
                    self.call = Call::OutConfirmed;
                    self.pac_call = call;
                    expect_gre(call, peer, seen, tracker);
                } else {
                    self.call = Call::None;
                }
            }
            // Incoming call request.
            9 if confirmed => {
                self.call = Call::InRequested;
                self.pac_call = message.word(0);
            }
            // Incoming call connected.
            11 if confirmed && matches!(self.call, Call::InReplied | Call::InConfirmed) => {
                if message.word(0) != self.pns_call {
                    return;
                }
                self.call = Call::InConfirmed;
                expect_gre(self.pac_call, self.pns_call, seen, tracker);
            }
            // Call disconnect notify.
            13 => {
                self.call = Call::None;
                self.destroy_siblings(&seen.tuples, tracker);
            }
            _ => {}
        }
    }

    /// From the client.
    #[doc(alias = "pptp_outbound_pkt")]
    fn outbound(&mut self, message: Message<'_>) {
        match message.kind {
            // Start session request.
            1 if self.session == Session::None => self.session = Session::Requested,
            // Stop session request.
            3 => self.session = Session::StopRequested,
            // Outgoing call request.
            7 if self.session == Session::Confirmed => {
                self.call = Call::OutRequested;
                self.pns_call = message.word(0);
            }
            // Incoming call reply.
            10 if matches!(self.call, Call::InRequested | Call::InReplied) => {
                if message.word(2) != self.pac_call {
                    return;
                }
                if message.byte(4) == 1 {
                    self.call = Call::InReplied;
                    self.pns_call = message.word(0);
                } else {
                    self.call = Call::None;
                }
            }
            // Call clear request.
            12 if self.session == Session::Confirmed => self.call = Call::ClearRequested,
            _ => {}
        }
    }

    /// Ends both streams and what is still expected of them.
    #[doc(alias = "pptp_destroy_siblings")]
    pub fn destroy_siblings(&mut self, tuples: &[Tuple; 2], tracker: &mut dyn Tracker) {
        tracker.keymap_destroy();
        let keys = [(self.pns_call, self.pac_call), (self.pac_call, self.pns_call)];
        for (tuple, (sport, dport)) in tuples.iter().zip(keys) {
            tracker.end_sibling(&Tuple { proto: Proto::GRE, sport, dport, ..*tuple });
        }
    }
}

/// Both or neither.
#[doc(alias = "exp_gre")]
fn expect_gre(call: u16, peer: u16, seen: &Seen<'_>, tracker: &mut dyn Tracker) {
    let one = |tuple: &Tuple, sport, dport| Announced {
        expectfn: Some(ExpectFn::Pptp),
        ..Announced::plain(Expected {
            l3: tuple.l3,
            saddr: Some(tuple.src),
            daddr: tuple.dst,
            proto: Proto::GRE,
            sport: Some(sport),
            dport,
        })
    };
    let there = one(&seen.tuples[0], peer, call);
    let back = one(&seen.tuples[1], call, peer);
    let Ok(original) = tracker.related(&there) else {
        return;
    };
    let Ok(reply) = tracker.related(&back) else {
        tracker.unexpect(original);
        return;
    };
    if tracker.keymap_add(Direction::Original, &there.key().0) {
        if tracker.keymap_add(Direction::Reply, &back.key().0) {
            return;
        }
        // KERNEL: exp_gre(), 6.18: the pair of the call before is lost. In 7.2 both are looked at
        // before either is changed.
        if tracker.revision().gre_keys == GreKeys::OneByOne {
            tracker.keymap_destroy();
        }
    }
    tracker.unexpect(reply);
    tracker.unexpect(original);
}

#[cfg(test)]
mod tests {
    use Direction::{Original, Reply};
    use nfexp_model::revision::Revision;

    use super::super::asked::Asked;
    use super::*;

    /// How long the structures are from which `pptp_msg_size` is made, by kind.
    const SIZES: [usize; 14] = [0, 144, 144, 4, 4, 0, 0, 156, 20, 208, 12, 16, 4, 136];

    /// A message as long as its kind is, with these bytes in front.
    fn message(kind: u16, front: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 12 + SIZES[usize::from(kind)]];
        bytes[2..8].copy_from_slice(&[0, 1, 0x1a, 0x2b, 0x3c, 0x4d]);
        bytes[8..10].copy_from_slice(&kind.to_be_bytes());
        bytes[12..12 + front.len()].copy_from_slice(front);
        bytes
    }

    fn play(tracker: &mut Asked, packets: &[(Direction, Vec<u8>)]) -> Vec<String> {
        let ip = |text: &str| text.parse().expect("a literal address");
        let original = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 1723);
        let tuples = [original, original.inverse().expect("tcp answers")];
        let mut state = State::default();
        for &(direction, ref payload) in packets {
            let (established, expected, seq) = (true, false, 0);
            let seen = Seen { direction, established, expected, tuples, payload, seq };
            assert_eq!(state.help(&seen, tracker), Verdict::Accept);
        }
        tracker.told()
    }

    const OK: u8 = 1;

    fn requested() -> (Direction, Vec<u8>) {
        (Original, message(1, &[]))
    }

    fn replied(result: u8) -> (Direction, Vec<u8>) {
        (Reply, message(2, &[1, 0, result]))
    }

    fn stop() -> (Direction, Vec<u8>) {
        (Original, message(3, &[]))
    }

    fn stopped(result: u8) -> (Direction, Vec<u8>) {
        (Reply, message(4, &[result]))
    }

    /// The client calls as 7.
    fn call() -> (Direction, Vec<u8>) {
        (Original, message(7, &[0, 7]))
    }

    /// The server takes call `peer` as 9.
    fn answer(peer: u8, result: u8) -> (Direction, Vec<u8>) {
        (Reply, message(8, &[0, 9, 0, peer, result]))
    }

    /// The server is called as 9.
    fn called() -> (Direction, Vec<u8>) {
        (Reply, message(9, &[0, 9]))
    }

    /// The client takes call `peer` as 7.
    fn taken(peer: u8, result: u8) -> (Direction, Vec<u8>) {
        (Original, message(10, &[0, 7, 0, peer, result]))
    }

    fn connected(peer: u8) -> (Direction, Vec<u8>) {
        (Reply, message(11, &[0, peer]))
    }

    fn clear() -> (Direction, Vec<u8>) {
        (Original, message(12, &[]))
    }

    fn disconnected() -> (Direction, Vec<u8>) {
        (Reply, message(13, &[]))
    }

    /// How many pairs of streams are announced, in what state the kernel is: `sstate`, `cstate`.
    #[test]
    fn a_call_counts_where_its_messages_come_in_order() {
        let calls = |packets: &[(Direction, Vec<u8>)]| {
            let told = play(&mut Asked { keys: 9, ..Asked::of(Revision::LINUX_6_18) }, packets);
            told.iter().filter(|line| line.starts_with("gre ")).count() / 2
        };
        let session = [requested(), replied(OK)];
        let after = |packets: &[(Direction, Vec<u8>)]| calls(&[&session[..], packets].concat());
        assert_eq!(calls(&[call(), answer(7, OK)]), 0, "no session");
        assert_eq!(calls(&[replied(OK), call(), answer(7, OK)]), 0, "nobody requested one");
        assert_eq!(calls(&[requested(), replied(2), call(), answer(7, OK)]), 0, "an error");
        let twice = [requested(), replied(OK), requested(), call(), answer(7, OK)];
        assert_eq!(calls(&twice), 1, "a session is requested once");
        let again = [&session[..], &[replied(2), call(), answer(7, OK)]].concat();
        assert_eq!(calls(&again), 0, "the last reply counts");
        for (stopping, counts) in [
            (vec![stop()], 0),
            (vec![stop(), stopped(OK)], 0),
            (vec![stop(), stopped(OK), requested(), replied(OK)], 1),
            (vec![stop(), requested(), replied(OK)], 0),
            (vec![stop(), stopped(2), requested(), replied(OK)], 0),
            (vec![stopped(OK)], 1),
            (vec![stopped(2)], 1),
        ] {
            assert_eq!(after(&[&stopping[..], &[call(), answer(7, OK)]].concat()), counts);
        }
        for (packets, counts) in [
            (vec![call(), answer(7, OK)], 1),
            (vec![answer(7, OK)], 0),
            (vec![answer(0, OK)], 0),
            (vec![call(), answer(8, OK)], 0),
            (vec![call(), answer(8, OK), answer(7, OK)], 1),
            (vec![call(), answer(7, OK), answer(7, OK)], 2),
            (vec![call(), answer(7, 2), answer(7, OK)], 0),
            (vec![call(), clear(), answer(7, OK)], 0),
            (vec![call(), disconnected(), answer(7, OK)], 0),
            (vec![called(), taken(9, OK), connected(7)], 1),
            (vec![called(), connected(0)], 0),
            (vec![called(), taken(8, OK), connected(0)], 0),
            (vec![called(), taken(9, OK), connected(8)], 0),
            (vec![called(), taken(9, OK), connected(7), connected(7)], 2),
            (vec![called(), taken(9, OK), taken(9, OK), connected(7)], 1),
            (vec![called(), taken(9, OK), taken(9, 2), connected(7)], 0),
            (vec![called(), taken(9, 2), taken(9, OK), connected(7)], 0),
            (vec![called(), taken(9, OK), clear(), connected(7)], 0),
            (vec![called(), answer(0, OK)], 0),
            (vec![taken(0, OK), connected(7)], 0),
        ] {
            assert_eq!(after(&packets), counts, "{packets:?}");
        }
        // A request that came before there was a session is none; what is cleared then, neither.
        let early = [vec![called()], session.to_vec(), vec![taken(9, OK), connected(7)]].concat();
        assert_eq!(calls(&early), 0);
        let late = [&session[..], &[call(), stop(), clear(), stopped(OK)], &session[..]].concat();
        assert_eq!(calls(&[&late[..], &[answer(7, OK)]].concat()), 1);
    }

    /// `pptp_msg_size`.
    #[test]
    fn a_message_that_is_cut_is_not_read() {
        let whole = [requested(), replied(OK), called(), taken(9, OK), connected(7)];
        let outgoing = [requested(), replied(OK), call(), answer(7, OK)];
        for packets in [&whole[..], &outgoing] {
            for at in 0..packets.len() {
                let mut cut = packets.to_vec();
                cut[at].1.pop();
                let told = play(&mut Asked::of(Revision::LINUX_6_18), &cut);
                assert_eq!(told, [""; 0], "{:?}", cut[at]);
            }
        }
        let cut = |mut message: (Direction, Vec<u8>)| {
            message.1.pop();
            message
        };
        for late in [stop(), clear(), disconnected()] {
            let packets = [requested(), replied(OK), call(), cut(late), answer(7, OK)];
            let told = play(&mut Asked::of(Revision::LINUX_6_18), &packets);
            assert_eq!(told.len(), 4, "{packets:?}");
        }
    }

    /// `exp_gre()`: both or neither, whatever fails.
    #[test]
    fn both_streams_are_expected_or_neither() {
        const THERE: &str = "gre 10.0.0.2:7 > 10.0.0.1:9";
        const BACK: &str = "gre 10.0.0.1:9 > 10.0.0.2:7";
        let packets = [requested(), replied(OK), call(), answer(7, OK)];
        let (key_there, key_back) = (&*format!("key {THERE}"), &*format!("key {BACK}"));
        let [one, other] = ["unexpect 1", "unexpect 2"];
        let (old, new) = (Revision::LINUX_6_18, Revision::LINUX_7_2);
        for (revision, refuses, keys, told) in [
            (old, &[][..], 2, vec![THERE, BACK, key_there, key_back]),
            (old, &[1], 2, vec![THERE]),
            (old, &[2], 2, vec![THERE, BACK, one]),
            (old, &[], 0, vec![THERE, BACK, key_there, other, one]),
            (old, &[], 1, vec![THERE, BACK, key_there, key_back, "no keys", other, one]),
            (new, &[], 1, vec![THERE, BACK, key_there, key_back, other, one]),
        ] {
            let mut tracker = Asked { refuses, keys, ..Asked::of(revision) };
            assert_eq!(play(&mut tracker, &packets), told);
        }
        let ended = [&packets[..], &[disconnected()]].concat();
        let told = play(&mut Asked::of(old), &ended);
        assert_eq!(
            told[4..],
            ["no keys".to_owned(), format!("end {THERE}"), format!("end {BACK}")]
        );
    }
}
