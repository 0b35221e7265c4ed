// SPDX-License-Identifier: GPL-2.0-only
//! A router that forwards a capture: packets in, events out.
//!
//! ```text
//!   datagram ─▶ whole? ─▶ known connection? ─▶ tracker ─▶ helper ─▶ confirm ─▶ forwarded
//!              fragments    no: announced?     invalid     refused: dropped
//! ```
//!
//! Helpers are attached to the first packet of a connection by its destination port, as an
//! `nft … ct helper set` rule does. What a helper reads stands in `nfexp-traces`; whether it is
//! asked, and what follows, is decided here, because the engine's answers feed back into it.
//!
//! # Source
//! `nf_conntrack_in()`, `nf_conntrack_helper`'s hook and `nf_conntrack_confirm()`, 6.18.

mod keymap;
pub mod route;
mod tracker;

use nfexp_model::conn::{ConnId, ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::engine::Firing;
use nfexp_model::error::NoMemory;
use nfexp_model::event::{Event, ExpectFn, Origin};
use nfexp_model::expectation::ExpectId;
use nfexp_model::helper::HelperId;
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::tcp_state::TcpState;
use nfexp_model::tcp_track::{Known, TcpOutcome, TcpTrack};
use nfexp_model::tcp_window::TcpHeader;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_model::{At, Engine};
use nfexp_traces::helpers::{Parameters, Seen, State, Verdict};
use nfexp_traces::packet::{Datagram, L4, Packet, Tcp, packet};

use crate::settings::{Port, Settings, Sysctls};
use keymap::Keymap;
use route::{Host, Route, route};
use tracker::Asked;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Forwarded: of a new connection.
    New,
    /// Of a connection both sides of which have spoken, or an answer.
    Established(Direction),
    /// Of an announced connection nobody has answered yet, or an ICMP error.
    Related(Direction),
    /// Forwarded, but of no connection.
    Invalid,
    /// Forwarded, and not tracked at all.
    Untracked,
    /// Dropped, by a helper, by routing or for want of memory.
    Dropped,
    /// Sent by the host itself.
    Sent,
    /// The host was not let to send it.
    Refused,
    /// For the host itself, or dropped in front of it.
    Delivered,
}

impl Fate {
    /// The letter for it in a recording: lower case for the reply direction.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::New => 'N',
            Self::Established(Direction::Original) => 'E',
            Self::Established(Direction::Reply) => 'e',
            Self::Related(Direction::Original) => 'R',
            Self::Related(Direction::Reply) => 'r',
            Self::Invalid => 'I',
            Self::Untracked => 'U',
            Self::Dropped => '-',
            Self::Sent => 'o',
            Self::Refused => 'x',
            Self::Delivered => 'l',
        }
    }
}

/// The router.
#[derive(Debug)]
pub struct Router {
    engine: Engine<Up>,
    ports: Vec<(HelperId, Proto, u16)>,
    parameters: Parameters,
    sysctls: Sysctls,
    host: Option<Host>,
    /// What is remembered of each connection, by slot.
    flows: Vec<Flow>,
    keymap: Keymap,
    now: Jiffies,
    /// The states of the connections that came and went with the packet at hand.
    states: Vec<(ConnId, TcpState)>,
    /// Where the packet at hand goes.
    route: Route,
    retimed: Vec<ExpectId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Whose; another life in the slot begins afresh.
    conn: ConnId,
    tcp: TcpTrack,
    helper: Option<State>,
    /// A UDP connection that still speaks after this is a stream.
    stream_from: Jiffies,
    /// How long a GRE connection lives, unanswered and answered, if PPTP announced it.
    pptp_secs: Option<(u32, u32)>,
}

const NET: NetId = NetId::INIT;
const ZONE: Zone = Zone(0);

impl Router {
    /// A router with an empty table, at boot.
    ///
    /// # Errors
    /// If the engine finds no memory.
    pub fn new(settings: Settings) -> Result<Self, NoMemory> {
        let engine = Engine::new(settings.config)?;
        let named = |port: Port| Some((engine.helper_named(&port.helper)?, port.proto, port.port));
        let ports = settings.ports.into_iter().filter_map(named).collect();
        let now = Jiffies::initial(engine.config().hz);
        Ok(Self {
            engine,
            ports,
            parameters: settings.parameters,
            sysctls: settings.sysctls,
            host: settings.host,
            flows: Vec::new(),
            keymap: Keymap::default(),
            now,
            states: Vec::new(),
            route: Route::Forward,
            retimed: Vec::new(),
        })
    }

    /// The engine, for looking.
    #[must_use]
    pub fn engine(&self) -> &Engine<Up> {
        &self.engine
    }

    /// Whether it is a host of the capture itself.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        self.host.is_some()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Jiffies {
        self.now
    }

    /// The state in which a connection came or went, if it is TCP and did so just now.
    #[must_use]
    pub fn tcp_state(&self, conn: ConnId) -> Option<TcpState> {
        let known = self.states.iter().rev().find(|(of, _)| *of == conn);
        let flow = || self.flows.get(conn.index() as usize).filter(|flow| flow.conn == conn);
        known.map(|(_, state)| *state).or_else(|| flow().map(|flow| flow.tcp.state()))
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// The next event that the packet, or time, caused.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.engine.poll_event()
    }

    /// Expectations that were given another time since the last call.
    pub fn take_retimed(&mut self) -> Vec<ExpectId> {
        std::mem::take(&mut self.retimed)
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Jiffies> {
        self.engine.next_expiry()
    }

    /// Time passes; what is due by then happens. Time that would go back stands still.
    pub fn advance(&mut self, to: Jiffies) {
        if to.time_after(self.now) {
            self.now = to;
        }
        while let Some(firing) = self.engine.expire(self.now) {
            self.time_out(firing);
        }
        self.engine.run_rcu_callbacks();
    }

    fn time_out(&mut self, firing: Firing) {
        let flow = firing.conn().and_then(|slot| self.flows.get(slot as usize));
        if let Some(Flow { conn, helper: Some(State::Pptp(_)), .. }) = flow {
            let (original, zone) = self.engine.place_of(*conn);
            if let Some((ct, _)) = self.engine.find_conn(NET, zone, &original) {
                self.delete(&ct);
                self.engine.put_conn(self.at(), ct);
            }
        }
        self.engine.timed_out(self.at(), firing);
    }

    /// A connection ends, and its helper hears of it.
    fn delete(&mut self, ct: &ConnRef) {
        let at = self.at();
        let tuples = self.tuples(ct);
        let Flow { mut helper, tcp, .. } = *self.flow(ct);
        self.states.push((ct.id(), tcp.state()));
        let mut asked = Asked {
            engine: &self.engine,
            at,
            ct,
            keymap: &mut self.keymap,
            retimed: &mut self.retimed,
            route: self.route,
            host: self.host.as_ref(),
            made: Vec::new(),
        };
        self.engine.delete_conn_with(at, ct, Origin::KERNEL, || {
            if let Some(helper) = &mut helper {
                helper.destroy(&tuples, &mut asked);
            }
        });
        asked.done();
    }

    fn tuples(&self, ct: &ConnRef) -> [Tuple; 2] {
        let about = self.engine.conn(ct.id()).about();
        [about.original, about.reply]
    }

    /// A whole datagram comes in.
    pub fn forward(&mut self, datagram: &Datagram<'_>) -> Fate {
        self.states.clear();
        self.route = route(self.host.as_ref(), datagram);
        let fate = match packet(datagram) {
            Err(_) => Fate::Invalid,
            Ok(packet) => self.track(&packet),
        };
        self.engine.run_rcu_callbacks();
        let lost = if self.host.is_some() { Fate::Delivered } else { Fate::Dropped };
        match (self.route, fate) {
            (Route::Send { .. }, Fate::Dropped) => Fate::Refused,
            (Route::Send { .. }, _) => Fate::Sent,
            (Route::Forward, Fate::Dropped) => lost,
            (Route::Forward, fate) => fate,
            (Route::Deliver | Route::Nowhere, _) => lost,
        }
    }

    fn track(&mut self, packet: &Packet<'_>) -> Fate {
        if let L4::Icmp { about, error } = packet.l4 {
            if packet.tuple.proto == Proto::ICMPV6 && is_neighbourly(packet.tuple.dport >> 8) {
                return Fate::Untracked;
            }
            if error {
                return about.map_or(Fate::Invalid, |about| self.error_about(&about, packet));
            }
        }
        let mut packet = *packet;
        if let L4::Gre { enhanced: true } = packet.l4 {
            packet.tuple.sport = self.keymap.source_key(&packet.tuple);
        }
        let packet = &packet;
        // A connection that turns out to be over is deleted, and the packet looked at again.
        for _ in 0..2 {
            let found = self.engine.find_conn(NET, ZONE, &packet.tuple);
            let (ct, direction) = match found {
                Some(found) => found,
                None => match self.begin(packet) {
                    Ok(ct) => (ct, Direction::Original),
                    Err(fate) => return fate,
                },
            };
            match self.accept(&ct, direction, packet) {
                Some(fate) => {
                    let fate = self.deliver(&ct, direction, packet, fate);
                    self.engine.put_conn(self.at(), ct);
                    return fate;
                }
                None => {
                    self.delete(&ct);
                    self.engine.put_conn(self.at(), ct);
                }
            }
        }
        Fate::Invalid
    }

    /// An ICMP error belongs to the connection it is about.
    fn error_about(&mut self, about: &Tuple, packet: &Packet<'_>) -> Fate {
        let mut about = *about;
        if about.proto == Proto::GRE && about.dport != 0 {
            about.sport = self.keymap.source_key(&about);
        }
        let Some((ct, direction)) = self.engine.find_conn(NET, ZONE, &about) else {
            return Fate::Invalid;
        };
        // It comes from the other end, and goes to whoever sent what it quotes.
        let fate = match direction {
            _ if packet.tuple.dst != about.src => Fate::Invalid,
            Direction::Original => Fate::Related(Direction::Reply),
            Direction::Reply => Fate::Related(Direction::Original),
        };
        let seen = fate == Fate::Related(Direction::Original) && self.is_routed();
        // KERNEL: nf_confirm(), 6.18: only an error in the reply direction is kept from the
        // helper; the other is read as if it were the helper's own protocol.
        let dropped = seen && !self.help(&ct, Direction::Original, packet, fate);
        self.engine.put_conn(self.at(), ct);
        if dropped { Fate::Dropped } else { fate }
    }

    const fn is_routed(&self) -> bool {
        !matches!(self.route, Route::Nowhere)
    }

    /// The first packet of a connection.
    fn begin(&mut self, packet: &Packet<'_>) -> Result<ConnRef, Fate> {
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
    fn pptp_began(&self, flow: &mut Flow, reply: &Tuple) {
        flow.pptp_secs = Some((600, 18_000));
        if let Some(twin) = self.engine.find_get(self.at(), NET, ZONE, reply) {
            self.engine.unexpect(self.at(), &twin);
            self.engine.put(twin);
        }
    }

    /// The helper that an expectation or a port gives a connection.
    fn give_helper(&self, ct: &ConnRef, packet: &Packet<'_>) -> Option<State> {
        let dport = packet.tuple.dport;
        let by_port = self.ports.iter().find(|(helper, proto, port)| {
            let fits = self.engine.helper(*helper).l3.contains(&packet.tuple.l3);
            *port == dport && *proto == packet.tuple.proto && fits
        });
        let by_port = by_port.map(|(helper, ..)| *helper);
        let inherited = self.engine.helper_of(ct);
        if let Some(helper) = by_port.filter(|_| inherited.is_none()) {
            // Without memory for the extension the connection goes on without.
            if self.engine.attach(ct, Some(helper)).is_ok() {
                self.engine.set_status(ct, Status::HELPER);
            }
        }
        let name = inherited.or(by_port).map(|helper| self.engine.helper(helper).name);
        name.and_then(State::of)
    }

    /// What is remembered of a connection.
    fn flow(&mut self, ct: &ConnRef) -> &mut Flow {
        let slot = ct.id().index() as usize;
        if slot >= self.flows.len() {
            self.flows.resize(slot + 1, Flow::default());
        }
        let flow = &mut self.flows[slot];
        if flow.conn != ct.id() {
            *flow = Flow { conn: ct.id(), ..Flow::default() };
        }
        flow
    }

    /// Asks the tracker; `None` if the connection is over and the packet begins another.
    fn accept(&mut self, ct: &ConnRef, direction: Direction, packet: &Packet<'_>) -> Option<Fate> {
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
                let settings = self.sysctls.tcp;
                let header = header(&tcp, packet);
                match self.flow(ct).tcp.packet(direction, &header, known, &settings) {
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
            _ => Some(self.timeout_secs(ct, packet.tuple.proto, status)),
        };
        if direction == Direction::Reply {
            self.engine.set_status(ct, Status::SEEN_REPLY);
        }
        if let Some(secs) = timeout_secs {
            let span = Ticks::of_timeout(secs, self.engine.config().hz);
            self.engine.set_conn_expiry(self.at(), ct, self.now.after(span));
        }
        Some(fate)
    }

    /// How long a connection without states lives from here.
    fn timeout_secs(&mut self, ct: &ConnRef, proto: Proto, status: Status) -> u32 {
        let (now, sysctls) = (self.now, self.sysctls);
        let seen_reply = status.has(Status::SEEN_REPLY);
        let flow = *self.flow(ct);
        match proto {
            Proto::UDP | Proto::UDPLITE => {
                // Still active two seconds after it began: a stream.
                let stream = seen_reply && now.time_after(flow.stream_from);
                if stream {
                    self.engine.set_status(ct, Status::ASSURED);
                }
                if stream { sysctls.udp_stream_secs } else { sysctls.udp_secs }
            }
            Proto::ICMP | Proto::ICMPV6 => sysctls.icmp_secs,
            Proto::GRE => {
                let usual = (sysctls.gre_secs, sysctls.gre_stream_secs);
                let (unanswered, answered) = flow.pptp_secs.unwrap_or(usual);
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

    /// Shows the packet to the helper, and confirms a new connection if it gets through.
    fn deliver(
        &mut self,
        ct: &ConnRef,
        direction: Direction,
        packet: &Packet<'_>,
        fate: Fate,
    ) -> Fate {
        // KERNEL: nf_confirm(), 6.18: the helper reads even the reset that ended its connection;
        // what it announces goes with the last reference.
        if fate == Fate::Invalid || !self.is_routed() {
            return fate;
        }
        let Route::Send { looped: true, .. } = self.route else {
            let passes = self.help(ct, direction, packet, fate) && self.confirm(ct);
            return if passes { fate } else { Fate::Dropped };
        };
        // KERNEL: ip_mc_output(), 6.18: a copy for this host, which has no socket any more, is
        // made first and passes the hooks of its own, going out and coming in.
        let original =
            std::mem::replace(&mut self.route, Route::Send { broadcast: None, looped: true });
        let copy_passes = self.help(ct, direction, packet, fate) && self.confirm(ct);
        self.route = original;
        let passes = self.help(ct, direction, packet, fate) && self.confirm(ct);
        if copy_passes {
            self.route = Route::Send { broadcast: None, looped: true };
            self.help(ct, direction, packet, fate);
            self.route = original;
        }
        if passes { fate } else { Fate::Dropped }
    }

    /// Confirms a connection that is not yet; false if another took its place.
    fn confirm(&self, ct: &ConnRef) -> bool {
        let confirmed = self.engine.conn(ct.id()).status().has(Status::CONFIRMED);
        confirmed || self.engine.confirm(self.at(), ct, Origin::KERNEL)
    }

    /// Lets the helper read; false if the packet is to be dropped.
    fn help(
        &mut self,
        ct: &ConnRef,
        direction: Direction,
        packet: &Packet<'_>,
        fate: Fate,
    ) -> bool {
        if self.engine.helper_of(ct).is_none() {
            return true;
        }
        let seq = match packet.l4 {
            L4::Tcp(tcp) => tcp.seq,
            _ => 0,
        };
        let seen = Seen {
            direction,
            established: matches!(fate, Fate::Established(_)),
            expected: self.engine.conn(ct.id()).status().has(Status::EXPECTED),
            tuples: self.tuples(ct),
            payload: packet.payload,
            seq,
        };
        let Some(mut state) = self.flow(ct).helper else {
            return true;
        };
        let mut asked = Asked {
            engine: &self.engine,
            at: self.at(),
            ct,
            keymap: &mut self.keymap,
            retimed: &mut self.retimed,
            route: self.route,
            host: self.host.as_ref(),
            made: Vec::new(),
        };
        let verdict = state.help(&self.parameters, &seen, &mut asked);
        asked.done();
        self.flow(ct).helper = Some(state);
        verdict == Verdict::Accept
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

/// Whether an ICMPv6 message is between neighbours: never tracked.
///
/// # Source
/// `nf_conntrack_icmpv6_error()`, 6.18.
const fn is_neighbourly(kind: u16) -> bool {
    matches!(kind, 130..=136 | 143)
}
