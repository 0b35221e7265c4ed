// SPDX-License-Identifier: GPL-2.0-only
//! What the router remembers of each connection, and how a packet finds it.
//!
//! ```text
//!   tuple ─▶ key, the same both ways ─▶ up to four slots ─▶ the very same key? ─▶ flow, direction
//!                                         │ too many for one place,   │ none
//!                                         │ or another protocol       ▼
//!                                         ▼                      a new connection
//!                              the engine's table of connections
//! ```
//!
//! *Plain*: a connection that both sides have spoken in and that no helper looks at. Most packets
//! of most captures belong to such a one, and all they change lies here, in two cache lines: the
//! engine is not asked at all. *Helped*: the same with a helper, which may look.
//!
//! The rule that matters: every connection that is in the engine's table and can stand here does,
//! unless its place is full: then the engine is asked, whose table is keyed. Who aims at one place
//! makes it useless, and nothing worse.

use std::hint::black_box;

use nfexp_model::conn::ConnId;
use nfexp_model::conntrack::Direction;
use nfexp_model::kernel::Jiffies;
use nfexp_model::sctp_track::SctpTrack;
use nfexp_model::tcp_state::TcpState;
use nfexp_model::tcp_track::TcpTrack;
use nfexp_model::tuple::Tuple;
use nfexp_traces::helpers::State;

use super::key::Key;
use super::keymap::Keymap;

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Flow {
    /// By which both of its directions are found.
    key: Key,
    /// Whether its first packet was [turned](Key::of).
    turned: bool,
    pub(super) standing: Standing,
    /// As the engine's status says, of a plain or helped one.
    pub(super) assured: bool,
    /// Whose of those that were in this slot; another life begins afresh.
    generation: u32,
    /// When it ends.
    pub(super) deadline: Jiffies,
    /// When its timer fires to look at that; [`NEVER`] if it does not run.
    pub(super) fires: Jiffies,
    pub(super) track: Track,
}

/// How a flow is to be treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not found here: it is not confirmed yet, or gone.
    #[default]
    Apart,
    /// Its packets go the whole way.
    Watched,
    /// Most of its packets up to the first answer change nothing but the flow: it has no helper and
    /// was not expected.
    Unanswered,
    /// The same behind the first answer.
    Plain,
    /// The same, unless its helper has something to read.
    Helped,
}

/// What the tracker of its protocol remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Track {
    /// Nothing.
    #[default]
    Stateless,
    Tcp(TcpTrack),
    Sctp(SctpTrack),
    Udp {
        /// A connection that still speaks after this is a stream.
        stream_from: Jiffies,
    },
    Gre {
        /// Whose announced keys go with it.
        master: Option<ConnId>,
    },
}

/// A point in time behind every other.
pub(super) const NEVER: Jiffies = Jiffies(1 << 62);

/// All of them, by the engine's slot.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// In pieces, so that none is ever moved.
    flows: Vec<Box<[Flow; PIECE]>>,
    /// What their helpers remember; as far as there are any.
    helpers: Vec<Option<State>>,
    /// A power of two of places, or none.
    places: Vec<[Hint; 4]>,
}

/// What the tuple of a packet leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The flow in a slot, and which way the packet goes.
    Flow(usize, Direction),
    /// No connection.
    Nothing,
    /// Only the engine knows.
    Unknown,
}

/// So many flows to a piece.
const PIECE: usize = 256;

/// A slot, one more than it is so that zero is none, below eight bits of the mixture.
type Hint = u32;

/// In the last of four: there are more than three.
const MORE: Hint = u32::MAX;

/// So many places are of flows that are in the cache: about a megabyte of them.
const CACHED: usize = 16 << 10;

/// Slots behind this cannot be hinted at.
const MOST_SLOTS: usize = (1 << 24) - 3;

impl Flows {
    /// The flow a packet belongs to.
    #[inline(always)]
    pub(super) fn find(&self, tuple: &Tuple) -> Found {
        let (key, turned) = Key::of(tuple);
        let mixed = key.mix();
        let Some(place) = self.places.get(self.place(mixed)) else { return Found::Unknown };
        for hint in place {
            let slot = slot(*hint, mixed);
            if let Some(flow) = self.at(slot).filter(|_| slot <= MOST_SLOTS)
                && !key.differs(&flow.key)
            {
                let same_way = turned == flow.turned;
                let direction = if same_way { Direction::Original } else { Direction::Reply };
                return Found::Flow(slot, direction);
            }
        }
        let all = place[3] != MORE && self.slots() <= MOST_SLOTS && key.is_swapped();
        if all { Found::Nothing } else { Found::Unknown }
    }

    /// Whether they are more than lie in the cache anyway.
    #[inline]
    pub(super) const fn are_many(&self) -> bool {
        self.places.len() > CACHED
    }

    /// Reads what packets whose keys are mixed to these will ask for.
    #[inline(never)]
    pub(super) fn touch(&self, mixed: &[u64]) {
        let places = |mixed: u64| self.places.get(self.place(mixed)).copied().unwrap_or_default();
        // All places before any flow, and of a flow both lines: so none waits for another.
        black_box(mixed.iter().fold(0, |sum, mixed| sum ^ places(*mixed)[0]));
        let flow = |hint: Hint, mixed: u64| {
            let flow = self.at(slot(hint, mixed));
            flow.map_or(0, |flow| flow.generation ^ u32::from(flow.tcp_state() as u8))
        };
        let flows =
            |mixed: u64| places(mixed).into_iter().fold(0, |sum, hint| sum ^ flow(hint, mixed));
        black_box(mixed.iter().fold(0, |sum, mixed| sum ^ flows(*mixed)));
    }

    /// A connection is in the table: its packets find it here from now on.
    pub(super) fn settle(&mut self, conn: ConnId, standing: Standing, assured: bool) {
        let slot = conn.index() as usize;
        let Some(flow) = self.at_mut(slot).filter(|flow| flow.generation == conn.generation())
        else {
            return;
        };
        let is_new = flow.standing == Standing::Apart;
        if slot > MOST_SLOTS || !flow.key.is_swapped() {
            return;
        }
        (flow.standing, flow.assured) = (standing, assured);
        if is_new && self.places.len() < self.slots() {
            self.grow();
        } else if is_new {
            self.hint(slot);
        }
    }

    /// A connection ends: with one of GRE go the keys that its master announced.
    ///
    /// # Source
    /// `destroy_gre_conntrack()`, 6.18.
    #[inline]
    pub(super) fn let_keys_go(&self, conn: ConnId, keymap: &mut Keymap) {
        if let Some(Track::Gre { master: Some(master) }) = self.get(conn).map(|flow| flow.track) {
            keymap.destroy(master);
        }
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, slot: usize) {
        let Some(flow) = self.at_mut(slot) else { return };
        if flow.standing == Standing::Apart {
            return;
        }
        flow.standing = Standing::Apart;
        let mixed = flow.key.mix();
        let (gone, at) = (hint(mixed, slot), self.place(mixed));
        for hint in self.places[at].iter_mut().filter(|hint| **hint == gone) {
            *hint = 0;
        }
    }

    fn grow(&mut self) {
        self.places = vec![[0; 4]; (self.slots() * 2).next_power_of_two()];
        for slot in 0..self.slots().min(MOST_SLOTS + 1) {
            if self.at(slot).is_some_and(|flow| flow.standing != Standing::Apart) {
                self.hint(slot);
            }
        }
    }

    /// Puts a slot among those of its place, if there is room.
    fn hint(&mut self, slot: usize) {
        let Some(flow) = self.at(slot) else { return };
        let mixed = flow.key.mix();
        let at = self.place(mixed);
        let place = &mut self.places[at];
        match place.iter_mut().find(|hint| **hint == 0) {
            Some(free) => *free = hint(mixed, slot),
            None => place[3] = MORE,
        }
    }

    fn place(&self, mixed: u64) -> usize {
        (mixed >> 8) as usize & self.places.len().wrapping_sub(1)
    }

    /// How many slots there is memory for.
    fn slots(&self) -> usize {
        self.flows.len() * PIECE
    }

    /// The flow of a connection, if it is that one's.
    pub(super) fn get(&self, conn: ConnId) -> Option<&Flow> {
        self.at(conn.index() as usize).filter(|flow| flow.generation == conn.generation())
    }

    /// Whether a connection has not come to its timeout.
    #[doc(alias = "nf_ct_is_expired")]
    pub(super) fn lives(&self, conn: ConnId, now: Jiffies) -> bool {
        self.get(conn).is_none_or(|flow| flow.deadline.time_after(now))
    }

    /// The flow in a slot, whose ever it is.
    #[inline(always)]
    pub(super) fn at(&self, slot: usize) -> Option<&Flow> {
        Some(&self.flows.get(slot / PIECE)?[slot % PIECE])
    }

    /// The connection whose flow is in a slot.
    #[inline]
    pub(super) fn conn_at(&self, slot: usize) -> Option<ConnId> {
        Some(ConnId::new(slot as u32, self.at(slot)?.generation))
    }

    /// The same, to be changed.
    #[inline(always)]
    pub(super) fn at_mut(&mut self, slot: usize) -> Option<&mut Flow> {
        Some(&mut self.flows.get_mut(slot / PIECE)?[slot % PIECE])
    }

    /// The flow of a connection, which begins if there was none.
    pub(super) fn of(&mut self, conn: ConnId) -> &mut Flow {
        let slot = conn.index() as usize;
        if self.at(slot).is_none_or(|flow| flow.generation != conn.generation()) {
            self.begin(conn, &Tuple::NONE, Track::Stateless, None);
        }
        &mut self.flows[slot / PIECE][slot % PIECE]
    }

    /// A connection begins.
    pub(super) fn begin(
        &mut self,
        conn: ConnId,
        tuple: &Tuple,
        track: Track,
        helper: Option<State>,
    ) {
        let slot = conn.index() as usize;
        while slot >= self.slots() {
            let piece = vec![Flow::default(); PIECE].into_boxed_slice();
            self.flows.push(piece.try_into().expect("so many"));
        }
        let flow = &mut self.flows[slot / PIECE][slot % PIECE];
        debug_assert_eq!(flow.standing, Standing::Apart, "its connection is gone");
        let standing = Standing::Apart;
        let (assured, deadline, fires) = (false, Jiffies(0), NEVER);
        let ((key, turned), generation) = (Key::of(tuple), conn.generation());
        *flow = Flow { key, turned, standing, assured, generation, deadline, fires, track };
        if helper.is_some() && slot >= self.helpers.len() {
            self.helpers.resize(slot + 1, None);
        }
        if let Some(kept) = self.helpers.get_mut(slot) {
            *kept = helper;
        }
    }

    /// What the helper of a connection remembers.
    pub(super) fn helper_mut(&mut self, conn: ConnId) -> Option<&mut State> {
        self.helpers.get_mut(conn.index() as usize)?.as_mut()
    }

    /// What the helper in a slot remembers.
    pub(super) fn helper_at(&self, slot: usize) -> Option<&State> {
        self.helpers.get(slot)?.as_ref()
    }
}

const fn hint(mixed: u64, slot: usize) -> Hint {
    tag(mixed) | (slot as u32 + 1)
}

/// The slot that is hinted at; behind all of them if the tag is another's, or there is none.
const fn slot(hint: Hint, mixed: u64) -> usize {
    ((hint ^ tag(mixed)) as usize).wrapping_sub(1)
}

const fn tag(mixed: u64) -> u32 {
    (mixed as u32 & 0xff) << 24
}

impl Flow {
    /// The state of a TCP connection.
    pub(super) const fn tcp_state(&self) -> TcpState {
        match &self.track {
            Track::Tcp(track) => track.state(),
            _ => TcpState::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use nfexp_model::tuple::Proto;

    use super::*;

    fn tuple(proto: Proto, sport: u16, dport: u16) -> Tuple {
        let ip = |text: &str| text.parse().expect("a literal address");
        Tuple::new(proto, ip("10.0.0.2"), sport, ip("10.0.0.1"), dport)
    }

    #[test]
    fn a_flow_is_found_by_both_tuples_until_it_is_gone() {
        let mut flows = Flows::default();
        assert_eq!(flows.find(&tuple(Proto::TCP, 1, 2)), Found::Unknown);
        for slot in 0..3000_u32 {
            let key = tuple(Proto::TCP, slot as u16, 21);
            let conn = ConnId::new(slot, 1);
            flows.begin(conn, &key, Track::Stateless, None);
            assert!(!matches!(flows.find(&key), Found::Flow(..)), "not in the table yet");
            flows.settle(conn, Standing::Watched, false);
        }
        let mut known = 0;
        for slot in 0..3000_u16 {
            let key = tuple(Proto::TCP, slot, 21);
            let answer = key.inverse().expect("TCP is answered");
            match flows.find(&key) {
                Found::Unknown => assert_eq!(flows.find(&answer), Found::Unknown),
                there => {
                    known += 1;
                    let slot = usize::from(slot);
                    assert_eq!(there, Found::Flow(slot, Direction::Original));
                    assert_eq!(flows.find(&answer), Found::Flow(slot, Direction::Reply));
                }
            }
        }
        assert!(known > 2900, "few places are wanted by more than four");
        assert!(!matches!(flows.find(&tuple(Proto::UDP, 5, 21)), Found::Flow(..)), "not UDP");
        for slot in 0..3000 {
            flows.forget(slot);
            let key = tuple(Proto::TCP, slot as u16, 21);
            assert!(!matches!(flows.find(&key), Found::Flow(..)), "gone");
        }
    }

    #[test]
    fn one_place_for_all_is_useless_and_nothing_worse() {
        let mut flows = Flows { places: vec![[0; 4]; 512], ..Flows::default() };
        let (one, other) = ("10.0.0.2", "10.0.0.1");
        let ip = |text: &str| text.parse().expect("a literal address");
        let aimed: Vec<_> = (0..u16::MAX)
            .map(|port| Tuple::new(Proto::UDP, ip(one), port, ip(other), 53))
            .filter(|tuple| Key::of(tuple).0.mix() >> 8 & 511 == 0)
            .take(16)
            .collect();
        for (slot, key) in (0..).zip(&aimed) {
            flows.begin(ConnId::new(slot, 1), key, Track::Stateless, None);
            flows.settle(ConnId::new(slot, 1), Standing::Plain, false);
            let there = flows.find(key);
            assert_eq!(matches!(there, Found::Flow(..)), slot < 4, "{slot}: {there:?}");
            assert_ne!(there, Found::Nothing);
        }
        assert_eq!(flows.find(&aimed[0]), Found::Flow(0, Direction::Original));
        assert_eq!(flows.find(&aimed[3]), Found::Unknown, "it made way");
    }

    #[test]
    fn who_talks_to_itself_is_asked_of_the_engine() {
        let mut flows = Flows::default();
        let ip = |text: &str| text.parse().expect("a literal address");
        let key = Tuple::new(Proto::UDP, ip("10.0.0.1"), 7, ip("10.0.0.1"), 7);
        flows.begin(ConnId::new(0, 1), &key, Track::Stateless, None);
        flows.settle(ConnId::new(0, 1), Standing::Plain, false);
        assert_eq!(flows.find(&key), Found::Unknown);
    }

    #[test]
    fn a_flow_fills_two_cache_lines() {
        assert_eq!(size_of::<Flow>(), 128);
    }
}
