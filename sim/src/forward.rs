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

use std::net::IpAddr;

use nfexp_model::conn::{ConnId, ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::engine::MasterCheck;
use nfexp_model::error::NoMemory;
use nfexp_model::event::{Event, Origin};
use nfexp_model::helper::{Class, HelperId};
use nfexp_model::kernel::{Jiffies, Ticks, Up};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::tcp_state::{TcpOutcome, TcpState};
use nfexp_model::tuple::{Proto, Tuple};
use nfexp_model::{At, Engine};
use nfexp_traces::helpers::{Announced, Parameters, Reading, Seen, State};
use nfexp_traces::packet::{Datagram, L4, Packet, packet};

use crate::settings::{Port, Settings};

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
    /// Dropped, by a helper or for want of memory.
    Dropped,
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
            Self::Dropped => '-',
        }
    }
}

/// The router.
#[derive(Debug)]
pub struct Router {
    engine: Engine<Up>,
    ports: Vec<(HelperId, Proto, u16)>,
    parameters: Parameters,
    /// What is remembered of each connection, by slot.
    flows: Vec<Flow>,
    now: Jiffies,
    tcp: Option<TcpState>,
    /// Whether the packet at hand gets past routing, behind which helpers look.
    routable: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Whose; another life in the slot begins afresh.
    conn: ConnId,
    tcp: TcpState,
    helper: Option<State>,
    /// Packets of a UDP connection that was answered make it a stream.
    answered: bool,
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
        let (parameters, flows) = (settings.parameters, Vec::new());
        Ok(Self { engine, ports, parameters, flows, now, tcp: None, routable: true })
    }

    /// The engine, for looking.
    #[must_use]
    pub fn engine(&self) -> &Engine<Up> {
        &self.engine
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Jiffies {
        self.now
    }

    /// The state of the last packet's connection, if it was TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<TcpState> {
        self.tcp
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// The next event that the packet, or time, caused.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.engine.poll_event()
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
            self.engine.timed_out(self.at(), firing);
        }
        self.engine.run_rcu_callbacks();
    }

    /// A whole datagram comes in.
    pub fn forward(&mut self, datagram: &Datagram<'_>) -> Fate {
        self.tcp = None;
        self.routable = is_routable(datagram);
        let fate = match packet(datagram) {
            Err(_) => Fate::Invalid,
            Ok(packet) => self.track(&packet),
        };
        self.engine.run_rcu_callbacks();
        if self.routable { fate } else { Fate::Dropped }
    }

    fn track(&mut self, packet: &Packet<'_>) -> Fate {
        if let L4::Icmp { about: Some(about) } = packet.l4 {
            return self.error_about(&about);
        }
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
                    self.engine.delete_conn(self.at(), &ct, Origin::KERNEL);
                    self.engine.put_conn(self.at(), ct);
                }
            }
        }
        Fate::Invalid
    }

    /// An ICMP error belongs to the connection it is about.
    fn error_about(&self, about: &Tuple) -> Fate {
        match self.engine.find_conn(NET, ZONE, about) {
            None => Fate::Invalid,
            Some((ct, direction)) => {
                self.engine.put_conn(self.at(), ct);
                // It comes from the other end.
                Fate::Related(match direction {
                    Direction::Original => Direction::Reply,
                    Direction::Reply => Direction::Original,
                })
            }
        }
    }

    /// The first packet of a connection.
    fn begin(&mut self, packet: &Packet<'_>) -> Result<ConnRef, Fate> {
        let Some(reply) = packet.tuple.inverse() else {
            return Err(Fate::Invalid);
        };
        let at = self.at();
        let born = self.engine.init_conntrack(at, NET, ZONE, packet.tuple, reply, true);
        let ct = born.map_err(|NoMemory(_)| Fate::Dropped)?.ct;
        // KERNEL: nf_conntrack_in(), all revisions: the tracker looks only now, so even a packet
        // that begins nothing has consumed its expectation.
        let tcp = match packet.l4 {
            L4::Tcp(tcp) => TcpState::begin(tcp.flags),
            _ => Some(TcpState::None),
        };
        let Some(tcp) = tcp else {
            self.engine.put_conn(at, ct);
            return Err(Fate::Invalid);
        };
        let dport = packet.tuple.dport;
        let by_port = self.ports.iter().find(|(helper, proto, port)| {
            let fits = self.engine.helper(*helper).l3.contains(&packet.tuple.l3);
            *port == dport && *proto == packet.tuple.proto && fits
        });
        let by_port = by_port.map(|(helper, ..)| *helper);
        let inherited = self.engine.helper_of(&ct);
        if let Some(helper) = by_port.filter(|_| inherited.is_none()) {
            // Without memory for the extension the connection goes on without.
            if self.engine.attach(&ct, Some(helper)).is_ok() {
                self.engine.set_status(&ct, Status::HELPER);
            }
        }
        let name = inherited.or(by_port).map(|helper| self.engine.helper(helper).name);
        let helper = name.and_then(State::of);
        *self.flow(&ct) = Flow { conn: ct.id(), tcp, helper, answered: false };
        Ok(ct)
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
        let first = !status.has(Status::CONFIRMED);
        let seen_reply = status.has(Status::SEEN_REPLY);
        let fate = match direction {
            Direction::Reply => Fate::Established(direction),
            Direction::Original if seen_reply => Fate::Established(direction),
            Direction::Original if status.has(Status::EXPECTED) => Fate::Related(direction),
            Direction::Original => Fate::New,
        };
        let timeout_secs = match packet.l4 {
            L4::Tcp(tcp) if !first => {
                match self.flow(ct).tcp.packet(direction, tcp.flags, seen_reply) {
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
                        self.engine.delete_conn(self.at(), ct, Origin::KERNEL);
                        return Some(fate);
                    }
                }
            }
            L4::Tcp(_) => Some(self.flow(ct).tcp.timeout_secs()),
            _ => Some(self.timeout_secs(ct, packet.tuple.proto, seen_reply)),
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
    fn timeout_secs(&mut self, ct: &ConnRef, proto: Proto, seen_reply: bool) -> u32 {
        let was_answered = std::mem::replace(&mut self.flow(ct).answered, seen_reply);
        match proto {
            // A UDP connection becomes a stream with the first packet after its answer.
            Proto::UDP | Proto::UDPLITE if seen_reply && was_answered => 120,
            Proto::UDP | Proto::UDPLITE | Proto::ICMP | Proto::ICMPV6 => 30,
            Proto::GRE if seen_reply => 180,
            Proto::GRE => 30,
            _ => 600,
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
        let at = self.at();
        let status = self.engine.conn(ct.id()).status();
        if fate == Fate::Invalid || status.has(Status::DYING) || !self.routable {
            return fate;
        }
        if matches!(packet.l4, L4::Tcp(_)) {
            self.tcp = Some(self.flow(ct).tcp);
        }
        if !self.help(ct, direction, packet, fate) {
            return Fate::Dropped;
        }
        let unconfirmed = !status.has(Status::CONFIRMED);
        if unconfirmed && !self.engine.confirm(at, ct, Origin::KERNEL) {
            return Fate::Dropped;
        }
        fate
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
        let about = self.engine.conn(ct.id()).about();
        let seq = match packet.l4 {
            L4::Tcp(tcp) => tcp.seq,
            _ => 0,
        };
        let seen = Seen {
            direction,
            established: matches!(fate, Fate::Established(_)),
            tuples: [about.original, about.reply],
            payload: packet.payload,
            seq,
        };
        let parameters = self.parameters;
        let Some(state) = &mut self.flow(ct).helper else {
            return true;
        };
        match state.read(&parameters, &seen) {
            Reading::Nothing => true,
            Reading::Partial => false,
            Reading::Announces(announced) => self.announce(ct, &announced),
        }
    }

    fn announce(&self, ct: &ConnRef, announced: &Announced) -> bool {
        let at = self.at();
        let Ok(exp) = self.engine.alloc(at, ct) else {
            return false;
        };
        let class = Class::new(announced.class).unwrap_or_default();
        self.engine.init(&exp, class, &announced.expected);
        self.engine.set_flags(&exp, announced.flags);
        let related = self.engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own);
        self.engine.put(exp);
        related.is_ok()
    }
}

/// Whether a router forwards such a packet at all: to and from one host, and not by mistake.
///
/// # Source
/// `ip_route_input_slow()` and `ip6_forward()`, 6.18, for a router without addresses
/// that forwards loopback addresses too (`route_localnet`), as the recordings were made.
fn is_routable(datagram: &Datagram<'_>) -> bool {
    let ends = [datagram.src, datagram.dst].map(|addr| addr.ip(datagram.l3));
    ends.iter().all(|end| match end {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && ip.octets()[0] != 0,
        IpAddr::V6(ip) => {
            !ip.is_multicast()
                && !ip.is_loopback()
                && !ip.is_unspecified()
                && !ip.is_unicast_link_local()
        }
    })
}
