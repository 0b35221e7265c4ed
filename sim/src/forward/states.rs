// SPDX-License-Identifier: GPL-2.0-only
//! The trackers of the protocols: does a packet begin a connection, or belong to one, and for how
//! long does that live from here?
//!
//! The rule that matters: a packet that begins nothing has consumed its expectation all the same.
//!
//! # Source
//! `init_conntrack()` and `nf_conntrack_handle_packet()` of `nf_conntrack_core.c`, 6.18.

use nfexp_model::conn::{ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::error::NoMemory;
use nfexp_model::event::ExpectFn;
use nfexp_model::kernel::Ticks;
use nfexp_model::sctp_track::{SctpOutcome, SctpTrack};
use nfexp_model::tcp_track::{Known, TcpOutcome, TcpTrack};
use nfexp_model::tcp_window::TcpHeader;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_traces::packet::{L4, Packet, Tcp};

use super::{Fate, Flow, NET, Router, ZONE};

impl Router {
    /// The first packet of a connection.
    pub(super) fn begin(&mut self, packet: &Packet<'_>) -> Result<ConnRef, Fate> {
        let Some(reply) = packet.tuple.inverse() else {
            return Err(Fate::Invalid);
        };
        let at = self.at();
        let born = self.engine.init_conntrack(at, NET, ZONE, packet.tuple, reply, true);
        let born = born.map_err(|NoMemory(_)| Fate::Dropped)?;
        let ct = born.ct;
        let mut flow = Flow { conn: ct.id(), ..Flow::default() };
        if born.expectfn == Some(ExpectFn::Pptp) {
            self.pptp_began(&mut flow, &reply);
        }
        // KERNEL: nf_conntrack_in(), all revisions: the tracker looks only now, so even a packet
        // that begins nothing has consumed its expectation.
        let begins = match packet.l4 {
            L4::Tcp(tcp) => {
                let track = TcpTrack::begin(&header(&tcp, packet), &self.sysctls.tcp);
                flow.tcp = track.unwrap_or_default();
                track.is_some()
            }
            L4::Sctp { tag } => {
                let track = SctpTrack::begin(tag, packet.payload);
                flow.sctp = track.unwrap_or_default();
                track.is_some()
            }
            L4::Icmp { .. } => is_question(&packet.tuple),
            _ => true,
        };
        flow.stream_from = self.now.after(Ticks::of_timeout(2, self.engine.config().hz));
        flow.helper = self.give_helper(&ct, packet);
        *self.flow(&ct) = flow;
        if begins {
            Ok(ct)
        } else {
            self.engine.put_conn(at, ct);
            Err(Fate::Invalid)
        }
    }

    /// A stream of PPTP lives longer, and its other direction is not expected any more.
    #[doc(alias = "pptp_expectfn")]
    pub(super) fn pptp_began(&self, flow: &mut Flow, reply: &Tuple) {
        flow.pptp_secs = Some((600, 18_000));
        if let Some(twin) = self.engine.find_get(self.at(), NET, ZONE, reply) {
            self.engine.unexpect(self.at(), &twin);
            self.engine.put(twin);
        }
    }

    /// Asks the tracker; `None` if the connection is over and the packet begins another.
    pub(super) fn accept(
        &mut self,
        ct: &ConnRef,
        direction: Direction,
        packet: &Packet<'_>,
    ) -> Option<Fate> {
        let status = self.engine.conn(ct.id()).status();
        let seen_reply = status.has(Status::SEEN_REPLY);
        let fate = match direction {
            Direction::Reply => Fate::Established(direction),
            Direction::Original if seen_reply => Fate::Established(direction),
            Direction::Original if status.has(Status::EXPECTED) => Fate::Related(direction),
            Direction::Original => Fate::New,
        };
        let timeout_secs = match packet.l4 {
            L4::Tcp(tcp) => {
                let known = Known { seen_reply, assured: status.has(Status::ASSURED) };
                let header = header(&tcp, packet);
                // It has one since it began.
                let Some(flow) = self.flows.get_mut(ct.id().index() as usize) else {
                    return Some(Fate::Invalid);
                };
                match flow.tcp.packet(direction, &header, known, &self.sysctls.tcp) {
                    TcpOutcome::Accept { timeout_secs, assured } => {
                        if assured {
                            self.engine.set_status(ct, Status::ASSURED);
                        }
                        Some(timeout_secs)
                    }
                    TcpOutcome::Ignore => None,
                    TcpOutcome::Invalid => return Some(Fate::Invalid),
                    TcpOutcome::Repeat => return None,
                    TcpOutcome::Kill => {
                        self.delete(ct);
                        return Some(fate);
                    }
                }
            }
            L4::Sctp { tag } => {
                let confirmed = status.has(Status::CONFIRMED);
                let track = &mut self.flow(ct).sctp;
                match track.packet(direction, tag, packet.payload, confirmed) {
                    SctpOutcome::Accept { timeout_secs, assured } => {
                        if assured {
                            self.engine.set_status(ct, Status::ASSURED);
                        }
                        timeout_secs
                    }
                    SctpOutcome::Invalid => return Some(Fate::Invalid),
                }
            }
            _ => Some(self.timeout_secs(ct, packet.tuple.proto, status)),
        };
        if direction == Direction::Reply {
            self.engine.set_status(ct, Status::SEEN_REPLY);
        }
        if let Some(secs) = timeout_secs {
            let span = Ticks::of_timeout(secs, self.engine.config().hz);
            self.live_until(ct, self.now.after(span));
        }
        Some(fate)
    }

    /// How long a connection without states lives from here.
    pub(super) fn timeout_secs(&mut self, ct: &ConnRef, proto: Proto, status: Status) -> u32 {
        let (now, sysctls) = (self.now, self.sysctls);
        let seen_reply = status.has(Status::SEEN_REPLY);
        let &mut Flow { stream_from, pptp_secs, .. } = self.flow(ct);
        match proto {
            Proto::UDP | Proto::UDPLITE => {
                // Still active two seconds after it began: a stream.
                let stream = seen_reply && now.time_after(stream_from);
                if stream {
                    self.engine.set_status(ct, Status::ASSURED);
                }
                if stream { sysctls.udp_stream_secs } else { sysctls.udp_secs }
            }
            Proto::ICMP | Proto::ICMPV6 => sysctls.icmp_secs,
            Proto::GRE => {
                let usual = (sysctls.gre_secs, sysctls.gre_stream_secs);
                let (unanswered, answered) = pptp_secs.unwrap_or(usual);
                if seen_reply {
                    self.engine.set_status(ct, Status::ASSURED);
                    answered
                } else {
                    unanswered
                }
            }
            _ => sysctls.generic_secs,
        }
    }
}

fn header<'a>(tcp: &Tcp<'a>, packet: &Packet<'a>) -> TcpHeader<'a> {
    let Tcp { seq, ack, flags, window, options } = *tcp;
    TcpHeader { flags, seq, ack, window, options, payload_len: packet.payload.len() as u32 }
}

/// Whether an ICMP message asks: only a question begins a connection.
///
/// # Source
/// `icmp_packet()`, `icmpv6_packet()`, all revisions.
fn is_question(tuple: &Tuple) -> bool {
    match tuple.l3 {
        L3::Ipv4 => matches!(tuple.dport >> 8, 8 | 13 | 15 | 17),
        _ => matches!(tuple.dport >> 8, 128 | 139),
    }
}
