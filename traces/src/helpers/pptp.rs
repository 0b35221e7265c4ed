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

    /// How much of a message must be in the packet.
    const fn shortest(kind: u16) -> usize {
        match kind {
            1 | 2 => 144,
            3 | 4 | 14 => 4,
            7 => 156,
            8 | 15 => 20,
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
