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

pub(crate) mod ahead;
mod fate;
mod flows;
mod hook;
mod key;
mod keymap;
mod options;
pub mod route;
mod states;
mod tracker;

use nfexp_model::conn::{ConnId, ConnRef, Status};
use nfexp_model::conntrack::Direction;
use nfexp_model::engine::Firing;
use nfexp_model::error::NoMemory;
use nfexp_model::event::{Event, Origin};
use nfexp_model::expectation::ExpectId;
use nfexp_model::helper::HelperId;
use nfexp_model::kernel::{Jiffies, Up};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::{FoundStat, TrackerOrder};
use nfexp_model::tcp_state::TcpState;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_model::{At, Engine};
use nfexp_traces::helpers::{Parameters, State};
use nfexp_traces::packet::{
    Datagram, L4, Packet, generic_packet, packet, plain_packet, plain_tuple, unfit_packet,
};

use crate::collector::Collector;
use crate::settings::{Port, Settings, Sysctls};
use ahead::Recent;
pub use fate::Fate;
use flows::{Flow, Flows, Found, NEVER, Standing};
use keymap::Keymap;
use route::{Host, Route, route};
use tracker::Asked;

/// The router.
#[derive(Debug)]
pub struct Router {
    engine: Engine<Up>,
    ports: Vec<(HelperId, Proto, u16)>,
    /// A bit for the last six of each of these: most ports have none.
    port_bits: u64,
    parameters: Parameters,
    sysctls: Sysctls,
    host: Option<Host>,
    flows: Flows,
    recent: Recent,
    /// Whether each lookup of a connection is counted, so that the engine must be asked.
    counts_lookups: bool,
    collector: Collector,
    keymap: Keymap,
    now: Jiffies,
    /// The states of the connections that came and went with the packet at hand.
    states: Vec<(ConnId, TcpState)>,
    /// Where the packet at hand goes.
    route: Route,
    retimed: Vec<ExpectId>,
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
        let mut ports: Vec<_> = settings.ports.into_iter().filter_map(named).collect();
        // KERNEL: nft_ct_helper_obj_eval(), 6.18: the first rule that fits attaches, and a recording's
        // rules stand in the helpers' order.
        ports.sort_by_key(|(helper, ..)| *helper);
        let port_bits = ports.iter().fold(0, |bits, (_, _, port)| bits | port_bit(*port));
        let now = Jiffies::initial(engine.config().hz);
        let counts_lookups = engine.config().revision.found_stat == FoundStat::EachLookup;
        let collector = Collector::new(engine.config(), now);
        Ok(Self {
            engine,
            ports,
            port_bits,
            parameters: settings.parameters,
            sysctls: settings.sysctls,
            host: settings.host,
            flows: Flows::default(),
            recent: Recent::default(),
            counts_lookups,
            collector,
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

    /// Whether it sent a packet itself.
    #[must_use]
    pub fn is_from_here(&self, datagram: &Datagram<'_>) -> bool {
        self.host.as_ref().is_some_and(|host| host.is(datagram.ends.src()))
    }

    /// Whether it takes a datagram in at all; if not, nothing that tracks sees it.
    #[must_use]
    pub fn takes_in(&self, datagram: &Datagram<'_>) -> bool {
        route::is_taken_in(datagram.ends) && options::is_taken_in(datagram)
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
        known.map(|(_, state)| *state).or_else(|| self.flows.get(conn).map(Flow::tcp_state))
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// The next event that the packet, or time, caused.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.engine.poll_event()
    }

    /// All connections end, as a user's flush ends them.
    ///
    /// # Source
    /// `ctnetlink_flush_conntrack()`, 6.18.
    pub fn flush(&mut self) {
        // One may take others along: where they stand is asked first.
        let ids = self.engine.conns_of(NET).into_iter();
        let places: Vec<_> = ids.map(|id| self.engine.place_of(id)).collect();
        for (tuple, zone) in places {
            if let Some((ct, _)) = self.engine.find_conn(NET, zone, &tuple) {
                self.delete(&ct);
                self.engine.put_conn(self.at(), ct);
            }
        }
    }

    /// Expectations that were given another time since the last call.
    pub fn take_retimed(&mut self) -> Vec<ExpectId> {
        std::mem::take(&mut self.retimed)
    }

    /// When the next timer is due, or the worker finds something, if it is by then.
    #[must_use]
    #[inline]
    pub fn next_expiry_by(&self, until: Jiffies) -> Option<Jiffies> {
        let timer = self.engine.next_expiry_by(until);
        if !self.collector.collects() {
            return timer;
        }
        let until = timer.unwrap_or(until);
        self.collector.due(&self.engine, NET, self.now, until).or(timer)
    }

    /// Time passes; what is due by then happens. Time that would go back stands still.
    pub fn advance(&mut self, to: Jiffies) {
        let to = if to.time_after(self.now) { to } else { self.now };
        while let Some(scan) = self.collector.due(&self.engine, NET, self.now, to) {
            self.fire(scan);
            Collector::scan(&self.engine, self.at(), NET);
        }
        self.fire(to);
    }

    fn fire(&mut self, to: Jiffies) {
        self.now = to;
        if self.engine.forward_timers(self.now) {
            return;
        }
        while let Some(firing) = self.engine.expire(self.now) {
            self.time_out(firing);
        }
        self.engine.run_rcu_callbacks();
    }

    /// The same if it is known that nothing is due by then: false, and no time passes, if it is not.
    #[inline]
    pub fn advance_quietly(&mut self, to: Jiffies) -> bool {
        let to = if to.time_after(self.now) { to } else { self.now };
        let quiet = self.collector.due(&self.engine, NET, self.now, to).is_none()
            && self.engine.forward_timers(to);
        self.now = if quiet { to } else { self.now };
        quiet
    }

    fn time_out(&mut self, firing: Firing) {
        let slot = firing.conn().map(|slot| slot as usize);
        if let Some((slot, conn)) = slot.and_then(|slot| Some((slot, self.flows.conn_at(slot)?))) {
            let deadline = self.flows.of(conn).deadline;
            let lives = deadline.time_after(self.now);
            if lives || matches!(self.flows.helper_at(slot), Some(State::Pptp(_))) {
                let (original, zone) = self.engine.place_of(conn);
                if let Some((ct, _)) = self.engine.find_conn(NET, zone, &original) {
                    if lives {
                        self.flows.of(ct.id()).fires = NEVER;
                        self.live_until(&ct, deadline);
                    } else {
                        self.delete(&ct);
                    }
                    self.engine.put_conn(self.at(), ct);
                    if lives {
                        return;
                    }
                }
            }
            self.flows.let_keys_go(conn, &mut self.keymap);
            self.flows.forget(slot);
        }
        self.engine.timed_out(self.at(), firing);
    }

    /// A connection lives until then, if it is ever confirmed. Its timer is left alone if it fires
    /// before: it will see.
    ///
    /// KERNEL: nf_ct_refresh(), since v4.9: only a time stamp is written.
    fn live_until(&mut self, ct: &ConnRef, deadline: Jiffies) {
        self.flows.of(ct.id()).deadline = deadline;
        if self.engine.conn(ct.id()).status().has(Status::CONFIRMED) {
            self.arm(ct);
        }
    }

    /// What was found, unless that connection is past its timeout: then it ends now.
    ///
    /// KERNEL: nf_ct_gc_expired(), since v4.9: whoever finds it asks its time stamp; what collects
    /// the others, here the timer, may be late.
    fn unless_over(&mut self, found: (ConnRef, Direction)) -> Option<(ConnRef, Direction)> {
        let (ct, direction) = found;
        let lives = self.flows.lives(ct.id(), self.now);
        if lives || !self.engine.conn(ct.id()).status().has(Status::CONFIRMED) {
            return Some((ct, direction));
        }
        self.delete(&ct);
        self.engine.put_conn(self.at(), ct);
        None
    }

    /// The timer of a connection that is in the table fires when it ends, or before; of one that is
    /// past its timeout already, when it would have.
    fn arm(&mut self, ct: &ConnRef) {
        let flow = self.flows.of(ct.id());
        let deadline = flow.deadline;
        if flow.fires.time_after(deadline) && deadline.time_after(self.now) {
            flow.fires = deadline;
            self.engine.set_conn_expiry(self.at(), ct, deadline);
        }
    }

    /// A connection ends, and its helper hears of it.
    fn delete(&mut self, ct: &ConnRef) {
        let at = self.at();
        let tuples = self.tuples(ct);
        let mut helper = self.flows.helper_mut(ct.id()).copied();
        self.states.push((ct.id(), self.flows.of(ct.id()).tcp_state()));
        self.flows.let_keys_go(ct.id(), &mut self.keymap);
        self.flows.forget(ct.id().index() as usize);
        let mut asked = Asked {
            engine: &self.engine,
            at,
            ct,
            flows: &mut self.flows,
            keymap: &mut self.keymap,
            retimed: &mut self.retimed,
            route: self.route,
            host: self.host.as_ref(),
            made: Vec::new(),
            deadline: None,
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
        // KERNEL: nf_conntrack_in(), 6.18: the rest of a header is looked at behind the lookup,
        // so even a packet of which only the ports fit consumes its expectation; v3.9: before
        // (l4proto->error).
        let is_found = self.engine.config().revision.tracker_order == TrackerOrder::AfterLookup;
        let read = match datagram.proto {
            proto if self.is_generic(proto) => generic_packet(datagram),
            _ => packet(datagram).ok().or_else(|| unfit_packet(datagram).filter(|_| is_found)),
        };
        let fate = match read {
            None => Fate::Invalid,
            Some(packet) => self.track(&packet),
        };
        let lost = if self.host.is_some() { Fate::Delivered } else { Fate::Dropped };
        match (self.route, fate) {
            (Route::Send { .. }, Fate::Dropped) => Fate::Refused,
            (Route::Send { .. }, _) => Fate::Sent,
            (Route::Forward, Fate::Dropped) => lost,
            (Route::Forward, fate) => fate,
            (Route::Deliver | Route::Nowhere, _) => lost,
        }
    }

    /// The same for TCP and UDP from one host to another, as most datagrams of most captures are:
    /// `None` says that this is another, and leaves all as it was. Beside its fate, whether more
    /// changed than its flow, or a helper read it: only then may there be anything to tell.
    // Inlined, so that nothing of such a one is written to memory but what its flow keeps; what is
    // asked for by the way is not, so that each has all registers to itself.
    #[inline(always)]
    pub fn forward_plain(&mut self, datagram: &Datagram<'_>) -> Option<(Fate, bool)> {
        if self.counts_lookups || !route::is_plain(self.host.as_ref(), datagram) {
            return None;
        }
        let found = self.flows.find(&plain_tuple(datagram)?);
        self.states.clear();
        self.route = Route::Forward;
        if let Found::Flow(slot, direction) = found
            && let Some(fate) = self.forward_found(slot, direction, datagram)
        {
            return Some(fate);
        }
        // A copy, so that those of others need not be in memory.
        let copy = *datagram;
        self.forward_others(&copy, found)
    }

    /// What changes nothing but its flow, unless a helper reads it.
    #[inline(always)]
    fn forward_found(
        &mut self,
        slot: usize,
        direction: Direction,
        datagram: &Datagram<'_>,
    ) -> Option<(Fate, bool)> {
        let Flow { standing, deadline, .. } = *self.flows.at(slot)?;
        if !deadline.time_after(self.now) {
            return None;
        }
        let seen_reply = match standing {
            Standing::Plain | Standing::Helped => true,
            Standing::Unanswered => false,
            Standing::Apart | Standing::Watched => return None,
        };
        if standing == Standing::Helped {
            let packet = plain_packet(datagram)?;
            if self.has_readers(slot, &packet) {
                return Some((self.pass(slot, direction, &packet)?, true));
            }
        } else if !seen_reply && direction == Direction::Reply {
            return Some((self.answer(slot, &plain_packet(datagram)?)?, false));
        }
        let (proto, body) = (datagram.proto, datagram.body);
        Some((self.follow_plain(slot, direction, seen_reply, proto, body)?, false))
    }

    #[inline(never)]
    fn forward_others(&mut self, datagram: &Datagram<'_>, found: Found) -> Option<(Fate, bool)> {
        let fate = self.track_whole(&plain_packet(datagram)?, found);
        self.engine.run_rcu_callbacks();
        Some((fate, true))
    }

    fn track(&mut self, packet: &Packet<'_>) -> Fate {
        let known =
            if self.counts_lookups { Found::Unknown } else { self.flows.find(&packet.tuple) };
        if let Found::Flow(slot, direction) = known
            && let Some(fate) = self.pass(slot, direction, packet)
        {
            return fate;
        }
        let fate = self.track_whole(packet, known);
        self.engine.run_rcu_callbacks();
        fate
    }

    /// The whole way of a packet.
    fn track_whole(&mut self, packet: &Packet<'_>, mut known: Found) -> Fate {
        if let L4::Icmp { about, error, enhanced } = packet.l4 {
            if is_neighbourly(&packet.tuple) {
                return Fate::Untracked;
            }
            if error {
                let Some(mut about) = about else { return Fate::Invalid };
                if enhanced {
                    about.sport = self.keymap.source_key(&about);
                }
                if self.is_generic(about.proto) {
                    (about.sport, about.dport) = (0, 0);
                }
                return self.error_about(&about, packet);
            }
        }
        let mut packet = *packet;
        if let L4::Gre { enhanced: true } = packet.l4 {
            packet.tuple.sport = self.keymap.source_key(&packet.tuple);
        }
        let packet = &packet;
        // A connection that turns out to be over is deleted, and the packet looked at again.
        for _ in 0..2 {
            let found = match std::mem::replace(&mut known, Found::Unknown) {
                Found::Flow(slot, direction) => self.hold(slot, direction),
                Found::Nothing => None,
                Found::Unknown => self.engine.find_conn(NET, ZONE, &packet.tuple),
            };
            let found = found.and_then(|found| self.unless_over(found));
            let (ct, direction) = match found {
                Some(found) => found,
                None if self.begins_in_vain(&packet.tuple) => return Fate::Invalid,
                None => match self.begin(packet) {
                    Ok(ct) => (ct, Direction::Original),
                    Err(fate) => return fate,
                },
            };
            match self.accept(&ct, direction, packet) {
                Some(fate) => {
                    let fate = self.deliver(&ct, direction, packet, fate);
                    self.settle(&ct);
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

    /// Whether a connection would never be confirmed, seen by no helper, and consume no expectation.
    fn begins_in_vain(&self, tuple: &Tuple) -> bool {
        // What nothing answers begins none.
        !self.is_routed()
            && !self.counts_lookups
            && tuple.inverse().is_some()
            && self.engine.init_in_vain(self.at(), NET)
    }

    /// A reference to the connection of a flow that was found.
    fn hold(&self, slot: usize, direction: Direction) -> Option<(ConnRef, Direction)> {
        Some((self.engine.hold_conn(self.flows.conn_at(slot)?)?, direction))
    }

    /// Later packets find a connection that is in the table by its flow.
    fn settle(&mut self, ct: &ConnRef) {
        let status = self.engine.conn(ct.id()).status();
        if !status.has(Status::CONFIRMED) {
            self.flows.let_keys_go(ct.id(), &mut self.keymap);
            return;
        }
        if status.has(Status::DYING) {
            return;
        }
        let standing = match (status.has(Status::SEEN_REPLY), self.engine.helper_of(ct)) {
            (false, None) if !status.has(Status::EXPECTED) => Standing::Unanswered,
            (false, _) => Standing::Watched,
            (true, None) => Standing::Plain,
            (true, Some(_)) => Standing::Helped,
        };
        self.flows.settle(ct.id(), standing, status.has(Status::ASSURED));
    }

    /// An ICMP error belongs to the connection it is about.
    fn error_about(&mut self, about: &Tuple, packet: &Packet<'_>) -> Fate {
        let found = self.engine.find_conn(NET, ZONE, about);
        let found = found.and_then(|found| self.unless_over(found));
        let Some((ct, direction)) = found else {
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

    /// Whether a protocol that is read here has no tracker in this kernel.
    fn is_generic(&self, proto: Proto) -> bool {
        proto == Proto::UDPLITE && !self.engine.config().revision.has_ports(proto)
    }

    const fn is_routed(&self) -> bool {
        !matches!(self.route, Route::Nowhere)
    }
}

const fn port_bit(port: u16) -> u64 {
    1 << (port % 64)
}

/// Whether a message is one of ICMPv6 between neighbours, about groups, or between routers of those:
/// never tracked.
///
/// # Source
/// `nf_conntrack_icmpv6_error()`, 6.18; of IPv6 only.
fn is_neighbourly(tuple: &Tuple) -> bool {
    let kind = matches!(tuple.dport >> 8, 130..=136 | 143 | 151 | 152);
    kind && tuple.proto == Proto::ICMPV6 && tuple.l3 == L3::Ipv6
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nfexp_model::kernel::Ticks;
    use nfexp_model::revision::Revision;
    use nfexp_traces::capture::Capture;
    use nfexp_traces::packet::{Ends, datagram};

    use super::*;

    /// Everything that can be seen of a router: its events, and when its connections end.
    fn seen(router: &mut Router) -> String {
        let events: Vec<Event> = std::iter::from_fn(|| router.poll_event()).collect();
        let engine = &router.engine;
        let of =
            |id| (id, engine.conn(id).status(), router.flows.get(id).map(|flow| flow.deadline));
        let conns: Vec<_> = engine.conns_of(NET).into_iter().map(of).collect();
        format!("{events:?} {conns:?} {:?}", router.take_retimed())
    }

    /// A timer of five seconds is late by up to 64 ticks; whoever speaks again asks the time stamp.
    #[test]
    fn who_speaks_again_past_its_timeout_begins_anew() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("../traces/captures/found/found-just-past-its-timeout.pcap");
        let mut capture = Capture::open(&path).unwrap();
        let frame = capture.next_packet().unwrap().expect("it holds a datagram");
        let datagram = datagram(frame.link, frame.bytes).expect("it is one");
        for (late_ticks, again) in [(-1, false), (0, true), (1, true), (63, true), (64, true)] {
            let mut settings = Settings::of(Revision::LINUX_6_18, None, None);
            settings.sysctls.udp_secs = 5;
            let mut router = Router::new(settings).expect("memory");
            assert_eq!(router.forward(&datagram), Fate::New);
            let ticks = (1250_i64 + late_ticks) as u64;
            router.advance(router.now().after(Ticks(ticks)));
            assert_eq!(router.forward(&datagram), Fate::New);
            let begun = std::iter::from_fn(|| router.poll_event())
                .filter(|event| matches!(event, Event::Conn(_)))
                .count();
            assert_eq!(begun, if again { 3 } else { 1 }, "{late_ticks} ticks late");
        }
    }

    #[test]
    fn what_lost_its_tracker_has_no_ports_and_is_never_invalid() {
        let bodies = [&[0, 1, 0, 2, 0, 0, 0, 1][..], &[0, 3, 0, 4, 0, 0, 0, 1], &[0; 8], &[0; 2]];
        for (revision, invalid, conns) in
            [(Revision::LINUX_6_18, 2, 2), (Revision::LINUX_7_2, 0, 1)]
        {
            let mut router = Router::new(Settings::of(revision, None, None)).expect("memory");
            let (ends, proto) = (Ends::V4(&[10, 0, 0, 2, 10, 0, 0, 1]), Proto::UDPLITE);
            let (fragment, marked, options, trackable) = (None, false, &[][..], true);
            let of = |body| Datagram { ends, proto, fragment, marked, options, trackable, body };
            let fates = bodies.map(|body| router.forward(&of(body)));
            let of_none = fates.iter().filter(|fate| **fate == Fate::Invalid).count();
            let known = router.engine.conns_of(NET).len();
            assert_eq!((of_none, known), (invalid, conns), "{}: {fates:?}", revision.name);
        }
    }

    #[test]
    fn what_changes_nothing_but_its_flow_becomes_what_it_would_on_the_whole_way() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
        let mut plain_ones = 0;
        for name in ["ftp/ftp-several-active", "irc/irc-dcc-chat", "tftp/tftp-write-v4"] {
            let mut capture = Capture::open(&folder.join(name).with_extension("pcap")).unwrap();
            let settings = || Settings::of(Revision::LINUX_6_18, None, None);
            let [mut one, mut other] = [(); 2].map(|()| Router::new(settings()).expect("memory"));
            // Twice: what is told is new then, or seen before.
            let mut frames = Vec::new();
            while let Some(frame) = capture.next_packet().unwrap() {
                frames.push((frame.link, frame.bytes.to_vec()));
            }
            for (link, bytes) in frames.iter().chain(&frames) {
                let Ok(datagram) = datagram(*link, bytes) else { continue };
                let plain = one.forward_plain(&datagram);
                plain_ones += u32::from(plain.is_some());
                let fate = plain.map_or_else(|| one.forward(&datagram), |(fate, _)| fate);
                assert_eq!(fate, other.forward(&datagram), "{name}");
                assert_eq!(seen(&mut one), seen(&mut other), "{name}");
                for router in [&mut one, &mut other] {
                    router.advance(router.now().after(Ticks(100)));
                }
                assert_eq!(seen(&mut one), seen(&mut other), "{name}");
            }
        }
        assert!(plain_ones > 50, "{plain_ones}");
    }
}
