// SPDX-License-Identifier: GPL-2.0-only
//! The trackers of the protocols: does a packet begin a connection, or belong to one, and for how
//! long does that live from here?
//!
//! The rule that matters: a packet that begins nothing has consumed its expectation all the same;
//! of 3.9, where the tracker looks before, it has not.
//!
//! # Source
//! `init_conntrack()` and `nf_conntrack_handle_packet()` of `nf_conntrack_core.c`, 6.18.

use nfexp_model::conn::{ConnId, ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::error::NoMemory;
use nfexp_model::event::ExpectFn;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::revision::TrackerOrder;
use nfexp_model::sctp_track::{SctpOutcome, SctpTrack};
use nfexp_model::tcp_state::RST;
use nfexp_model::tcp_track::{Known, TcpOutcome, TcpTrack};
use nfexp_model::tcp_window::TcpHeader;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_traces::helpers::State;
use nfexp_traces::packet::{L4, Packet, Tcp, plain_transport};

use super::flows::{Flow, Standing, Track};
use super::route::Route;
use super::{Fate, NET, Router, ZONE};

impl Router {
    /// The first packet of a connection.
    pub(super) fn begin(&mut self, packet: &Packet<'_>) -> Result<ConnRef, Fate> {
        let Some(reply) = packet.tuple.inverse() else {
            return Err(Fate::Invalid);
        };
        // KERNEL: init_conntrack(), v3.9: l4proto->new() is asked before expectations are.
        let order = self.engine.config().revision.tracker_order;
        if order == TrackerOrder::BeforeLookup && !self.begins(packet, None).0 {
            return Err(Fate::Invalid);
        }
        let at = self.at();
        let born = self.engine.init_conntrack(at, NET, ZONE, packet.tuple, reply, true);
        let born = born.map_err(|NoMemory(_)| Fate::Dropped)?;
        let ct = born.ct;
        if born.call.is_some_and(|call| call.function == ExpectFn::Pptp) {
            self.pptp_began(&reply);
        }
        // KERNEL: nf_conntrack_in(), 6.18: the tracker looks only now, so even a packet that begins
        // nothing has consumed its expectation.
        let master = self.engine.conn(ct.id()).about().master;
        let (begins, track) = self.begins(packet, master);
        let helper = self.give_helper(&ct, packet);
        self.flows.begin(ct.id(), &packet.tuple, track, helper);
        if begins {
            Ok(ct)
        } else {
            self.engine.put_conn(at, ct);
            Err(Fate::Invalid)
        }
    }

    /// Whether a packet begins a connection, and what its tracker remembers of it.
    fn begins(&self, packet: &Packet<'_>, master: Option<ConnId>) -> (bool, Track) {
        match packet.l4 {
            L4::Tcp(tcp) => {
                let track =
                    TcpTrack::begin(&header(&tcp, packet.payload.len() as u32), &self.sysctls.tcp);
                (track.is_some(), Track::Tcp(track.unwrap_or_default()))
            }
            L4::Sctp { tag } => {
                let track = SctpTrack::begin(tag, packet.payload);
                (track.is_some(), Track::Sctp(track.unwrap_or_default()))
            }
            L4::Icmp { .. } => (is_question(&packet.tuple), Track::Stateless),
            // KERNEL: nf_conntrack_udplite_packet(), 6.18: what is answered is a stream at once.
            L4::Udp if packet.tuple.proto == Proto::UDPLITE => {
                (true, Track::Udp { stream_from: Jiffies(self.now.0.wrapping_sub(1)) })
            }
            L4::Udp => {
                let stream_from = self.now.after(Ticks::of_timeout(2, self.engine.config().hz));
                (true, Track::Udp { stream_from })
            }
            L4::Gre { .. } => (true, Track::Gre { master }),
            L4::Other => (true, Track::Stateless),
            L4::Unfit => (false, Track::Stateless),
        }
    }

    /// A stream of PPTP began: its other direction is not expected any more.
    #[doc(alias = "pptp_expectfn")]
    fn pptp_began(&self, reply: &Tuple) {
        if let Some(twin) = self.engine.find_get(self.at(), NET, ZONE, reply) {
            self.engine.unexpect(self.at(), &twin);
            self.engine.put(twin);
        }
    }

    /// A packet of a plain or helped connection, as long as it does not begin another: `None` says
    /// that it may, and leaves all as it was.
    #[inline(never)]
    pub(super) fn pass(
        &mut self,
        slot: usize,
        direction: Direction,
        packet: &Packet<'_>,
    ) -> Option<Fate> {
        let Flow { standing, deadline, .. } = *self.flows.at(slot)?;
        let helped = match standing {
            _ if !deadline.time_after(self.now) => return None,
            Standing::Plain => false,
            Standing::Helped if self.route == Route::Forward => true,
            _ => return None,
        };
        let payload_len = packet.payload.len() as u32;
        let fate = self.follow(slot, direction, true, (&packet.l4, payload_len))?;
        let reads = helped && fate != Fate::Invalid && self.has_readers(slot, packet);
        Some(if reads { self.pass_helper(slot, direction, packet, fate) } else { fate })
    }

    /// [`follow`](Self::follow) for the body of a datagram; `None` also if it has no such header.
    #[inline(never)]
    pub(super) fn follow_plain(
        &mut self,
        slot: usize,
        direction: Direction,
        seen_reply: bool,
        proto: Proto,
        body: &[u8],
    ) -> Option<Fate> {
        let (l4, payload) = plain_transport(proto, body)?;
        self.follow(slot, direction, seen_reply, (&l4, payload.len() as u32))
    }

    /// What a packet of a plain or helped connection changes of its flow, or a further one of a
    /// connection without helper that nothing was answered; `None` as above.
    #[inline(always)]
    fn follow(
        &mut self,
        slot: usize,
        direction: Direction,
        seen_reply: bool,
        (l4, payload_len): (&L4<'_>, u32),
    ) -> Option<Fate> {
        let (now, sysctls) = (self.now, &self.sysctls);
        let fate = if seen_reply { Fate::Established(direction) } else { Fate::New };
        let flow = self.flows.at_mut(slot)?;
        let outcome = match (&mut flow.track, l4) {
            // It may end one that nothing was answered.
            (_, L4::Tcp(tcp)) if !seen_reply && tcp.flags & RST != 0 => return None,
            (Track::Tcp(track), L4::Tcp(tcp)) => {
                let known = Known { seen_reply, assured: flow.assured };
                track.packet(direction, &header(tcp, payload_len), known, &sysctls.tcp)
            }
            (Track::Udp { stream_from }, L4::Udp) => {
                let stream = seen_reply && now.time_after(*stream_from);
                let timeout_secs = if stream { sysctls.udp_stream_secs } else { sysctls.udp_secs };
                TcpOutcome::Accept { timeout_secs, assured: stream && !flow.assured }
            }
            _ => return None,
        };
        let TcpOutcome::Accept { timeout_secs, assured } = outcome else {
            if let TcpOutcome::Shorten { most_secs } = outcome {
                let (ct, _) = self.hold(slot, direction)?;
                self.shorten(&ct, most_secs);
                self.engine.put_conn(self.at(), ct);
            }
            return not_accepted(outcome, fate);
        };
        flow.deadline = now.after(Ticks::of_timeout(timeout_secs, self.engine.config().hz));
        if assured || flow.fires.time_after(flow.deadline) {
            self.attend(slot, direction, assured);
        }
        Some(fate)
    }

    /// The first answer of a connection that has no helper; `None` says that it may end it, and leaves
    /// all as it was.
    #[inline(never)]
    pub(super) fn answer(&mut self, slot: usize, packet: &Packet<'_>) -> Option<Fate> {
        let flow = self.flows.at_mut(slot)?;
        let before = flow.track;
        let outcome = match (&mut flow.track, &packet.l4) {
            (Track::Tcp(track), L4::Tcp(tcp)) => {
                let (header, known) = (header(tcp, packet.payload.len() as u32), Known::default());
                track.packet(Direction::Reply, &header, known, &self.sysctls.tcp)
            }
            (Track::Udp { .. }, L4::Udp) => {
                TcpOutcome::Accept { timeout_secs: self.sysctls.udp_secs, assured: false }
            }
            _ => return None,
        };
        match outcome {
            TcpOutcome::Accept { timeout_secs, .. } => {
                let span = Ticks::of_timeout(timeout_secs, self.engine.config().hz);
                flow.deadline = self.now.after(span);
            }
            TcpOutcome::Ignore => {}
            TcpOutcome::Invalid | TcpOutcome::Shorten { .. } => return Some(Fate::Invalid),
            TcpOutcome::Repeat | TcpOutcome::Kill => {
                flow.track = before;
                return None;
            }
        }
        flow.standing = Standing::Plain;
        let (ct, direction) = self.hold(slot, Direction::Reply)?;
        self.engine.set_status(&ct, Status::SEEN_REPLY);
        self.arm(&ct);
        self.engine.put_conn(self.at(), ct);
        Some(Fate::Established(direction))
    }

    /// Whether the helper of a helped connection may mind a packet.
    #[inline]
    pub(super) fn has_readers(&self, slot: usize, packet: &Packet<'_>) -> bool {
        !packet.payload.is_empty() || self.flows.helper_at(slot).is_some_and(State::minds_empty)
    }

    /// Tells the engine of a connection that it is assured, or ends before its timer fires.
    #[cold]
    #[inline(never)]
    fn attend(&mut self, slot: usize, direction: Direction, assured: bool) {
        let Some((ct, _)) = self.hold(slot, direction) else { return };
        if assured {
            self.engine.set_status(&ct, Status::ASSURED);
            self.flows.of(ct.id()).assured = true;
        }
        self.arm(&ct);
        self.engine.put_conn(self.at(), ct);
    }

    /// A connection that has two minutes or more lives at most so long from here.
    ///
    /// # Source
    /// `nf_tcp_handle_invalid()`, 6.18.
    #[cold]
    #[inline(never)]
    fn shorten(&mut self, ct: &ConnRef, most_secs: u32) {
        let span = |secs| self.now.after(Ticks::of_timeout(secs, self.engine.config().hz));
        let deadline = self.flows.of(ct.id()).deadline;
        let (soon, most) = (span(120), span(most_secs));
        if !soon.time_after(deadline) && deadline.time_after(most) {
            self.live_until(ct, most);
        }
    }

    /// Shows a packet to the helper of a helped connection.
    fn pass_helper(
        &mut self,
        slot: usize,
        direction: Direction,
        packet: &Packet<'_>,
        fate: Fate,
    ) -> Fate {
        let Some((ct, _)) = self.hold(slot, direction) else { return fate };
        let passes = self.show(&ct, direction, packet, fate);
        self.engine.put_conn(self.at(), ct);
        self.engine.run_rcu_callbacks();
        if passes { fate } else { Fate::Dropped }
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
                let header = header(&tcp, packet.payload.len() as u32);
                // It has one since it began.
                let Track::Tcp(track) = &mut self.flows.of(ct.id()).track else {
                    return Some(Fate::Invalid);
                };
                match track.packet(direction, &header, known, &self.sysctls.tcp) {
                    TcpOutcome::Accept { timeout_secs, assured } => {
                        if assured {
                            self.engine.set_status(ct, Status::ASSURED);
                        }
                        Some(timeout_secs)
                    }
                    TcpOutcome::Ignore => None,
                    TcpOutcome::Invalid => return Some(Fate::Invalid),
                    TcpOutcome::Shorten { most_secs } => {
                        self.shorten(ct, most_secs);
                        return Some(Fate::Invalid);
                    }
                    TcpOutcome::Repeat => return None,
                    TcpOutcome::Kill => {
                        self.delete(ct);
                        return Some(fate);
                    }
                }
            }
            L4::Sctp { tag } => {
                let confirmed = status.has(Status::CONFIRMED);
                let Track::Sctp(track) = &mut self.flows.of(ct.id()).track else {
                    return Some(Fate::Invalid);
                };
                match track.packet(direction, tag, packet.payload, confirmed) {
                    SctpOutcome::Accept { timeout_secs, assured } => {
                        if assured {
                            self.engine.set_status(ct, Status::ASSURED);
                        }
                        timeout_secs
                    }
                    SctpOutcome::Invalid => {
                        if track.was_established() {
                            self.engine.set_status(ct, Status::ASSURED);
                        }
                        return Some(Fate::Invalid);
                    }
                }
            }
            L4::Unfit => return Some(Fate::Invalid),
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
        match (proto, self.flows.of(ct.id()).track) {
            (Proto::UDP | Proto::UDPLITE, Track::Udp { stream_from }) => {
                // Still active two seconds after it began: a stream.
                let stream = seen_reply && now.time_after(stream_from);
                if stream {
                    self.engine.set_status(ct, Status::ASSURED);
                }
                if stream { sysctls.udp_stream_secs } else { sysctls.udp_secs }
            }
            (Proto::ICMP, _) => sysctls.icmp_secs,
            (Proto::ICMPV6, _) => sysctls.icmpv6_secs,
            // KERNEL: nf_conntrack_gre_packet(), 6.1 and 6.18: asked anew as long as it is not
            // confirmed, so that the longer ones of pptp_expectfn() are forgotten at once.
            (Proto::GRE, _) if seen_reply => {
                self.engine.set_status(ct, Status::ASSURED);
                sysctls.gre_stream_secs
            }
            (Proto::GRE, _) => sysctls.gre_secs,
            _ => sysctls.generic_secs,
        }
    }
}

/// What becomes of a packet that its tracker did not accept, of a connection that goes on; `None` if
/// it may not, and nothing was changed: what kills are resets that nothing was answered before.
#[cold]
#[inline(never)]
fn not_accepted(outcome: TcpOutcome, fate: Fate) -> Option<Fate> {
    match outcome {
        TcpOutcome::Accept { .. } | TcpOutcome::Ignore => Some(fate),
        TcpOutcome::Invalid | TcpOutcome::Shorten { .. } => Some(Fate::Invalid),
        TcpOutcome::Repeat | TcpOutcome::Kill => None,
    }
}

#[inline]
fn header<'a>(tcp: &Tcp<'a>, payload_len: u32) -> TcpHeader<'a> {
    let Tcp { seq, ack, flags, window, options } = *tcp;
    TcpHeader { flags, seq, ack, window, options, payload_len }
}

/// Whether an ICMP message asks: only a question begins a connection.
///
/// # Source
/// `icmp_packet()`, `icmpv6_packet()`, all revisions.
fn is_question(tuple: &Tuple) -> bool {
    match (tuple.l3, tuple.proto) {
        (L3::Ipv4, Proto::ICMP) => matches!(tuple.dport >> 8, 8 | 13 | 15 | 17),
        (L3::Ipv6, Proto::ICMPV6) => matches!(tuple.dport >> 8, 128 | 139),
        // KERNEL: both look at the family first, too.
        _ => false,
    }
}
