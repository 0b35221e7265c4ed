// SPDX-License-Identifier: GPL-2.0-only
//! The connections that are confirmed, by either tuple.
//!
//! ```text
//!   tuple ─▶ cheap mix ─▶ recent[place]  ─▶ node: the very same tuple? ─▶ found
//!                             │ no
//!                             ▼
//!            SipHash ─▶ heads[place] ─▶ node ─▶ node        two nodes a connection, one a direction
//! ```
//!
//! Packets of one flow come in bursts: the few thousand places of `recent` answer most lookups. A
//! node keeps its hash, so a tuple is hashed once when its connection enters, and not when it leaves.
//!
//! The rule that matters: what a sender can choose reaches the chains through SipHash only, under a
//! key that nobody knows. Who aims at one place of `recent` makes it useless, and nothing worse.
//!
//! # Source
//! `nf_conntrack_hash` of `nf_conntrack_core.c`: one table, keyed, of both directions; the nodes are
//! part of the connection (`tuplehash`).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use crate::conn::ConnId;
use crate::conntrack::Direction;
use crate::kernel::hash::siphash13;
use crate::netns::{NetId, Zone};
use crate::nft_ct::CtExpectation;
use crate::tuple::Tuple;

/// Where a connection is found: hashed as one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) NetId, pub(crate) Zone, pub(crate) Tuple);

type Found = (ConnId, Direction);

/// The table.
#[derive(Debug, Default)]
pub(crate) struct ConnTable {
    key: Key,
    /// A power of two of chains, or none.
    heads: Vec<u32>,
    /// By [`node_of`].
    nodes: Vec<Node>,
    /// How many are linked.
    linked: usize,
    /// A power of two of nodes that were found lately, or none; they may be linked no more.
    recent: Vec<u32>,
    /// How many lookups found one, by namespace.
    pub(crate) found: BTreeMap<NetId, u32>,
    /// What nft's own helper has to announce for connections that are not confirmed yet.
    pub(crate) announces: BTreeMap<ConnId, (CtExpectation, Direction)>,
}

/// A key of SipHash, drawn anew by each table, so no capture can aim at a chain; the order is seen
/// by none.
#[derive(Clone, Copy, Debug)]
struct Key([u64; 2]);

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Node {
    place: Place,
    hash: u32,
    /// The next of its chain, or [`END`].
    next: u32,
    /// Its connection's life, while it is linked.
    generation: Option<u32>,
}

/// No node.
const END: u32 = u32::MAX;

/// At most so many places for recent lookups.
const MOST_RECENT: usize = 1 << 16;

impl Place {
    /// The words of it.
    fn words(&self) -> [u64; 6] {
        let Self(NetId(net), Zone(zone), tuple) = *self;
        let half = |addr: &[u8; 16], at: usize| {
            let half: [u8; 8] = addr[at..at + 8].try_into().expect("half of sixteen");
            u64::from_le_bytes(half)
        };
        let (src, dst) = (&tuple.src.0, &tuple.dst.0);
        let ports = u64::from(tuple.sport) << 48 | u64::from(tuple.dport) << 32;
        let rest = u64::from(net) << 16 | u64::from(zone);
        let kind = u64::from(tuple.proto.0) << 8 | tuple.l3 as u64;
        [half(src, 0), half(src, 8), half(dst, 0), half(dst, 8), ports | kind, rest]
    }

    /// A cheap mixture of the words.
    fn mix(&self) -> u64 {
        let [a, b, c, d, e, f] = self.words();
        let one = (a ^ b.rotate_left(17) ^ f).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let other = (c ^ d.rotate_left(29) ^ e).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        let mixed = (one ^ other.rotate_left(32)).wrapping_mul(0x1656_67b1_9e37_79f9);
        mixed >> 40
    }
}

impl Key {
    /// The hash of a place: of three words where it is IPv4's, of six otherwise. SipHash counts
    /// them, so no three equal six.
    fn hash(self, place: &Place) -> u32 {
        let words @ [src, src_rest, dst, dst_rest, ports, rest] = place.words();
        let hash = if (src | dst) >> 32 == 0 && src_rest | dst_rest == 0 {
            siphash13(self.0, &[src << 32 | dst, ports, rest])
        } else {
            siphash13(self.0, &words)
        };
        hash as u32
    }
}

impl Default for Key {
    fn default() -> Self {
        let chance = RandomState::new();
        Self([0, 1].map(|half: u64| chance.hash_one(half)))
    }
}

impl ConnTable {
    /// Adds a connection in both directions, unless another stands in either place.
    pub(crate) fn insert(&mut self, id: ConnId, places: &[Place; 2]) -> bool {
        let hashes = places.each_ref().map(|place| self.key.hash(place));
        if (0..2).any(|at| self.search(&places[at], hashes[at]) != END) {
            return false;
        }
        self.make_room(id);
        for (at, direction) in [Direction::Original, Direction::Reply].into_iter().enumerate() {
            let (index, place) = (node_of(id, direction), places[at]);
            let generation = Some(id.generation());
            self.nodes[index as usize] = Node { place, hash: hashes[at], next: END, generation };
            self.link(index);
            self.remember(&place, index);
            self.linked += 1;
        }
        true
    }

    /// Takes it out, if it is there.
    pub(crate) fn remove(&mut self, id: ConnId) {
        for direction in [Direction::Original, Direction::Reply] {
            let index = node_of(id, direction);
            let Some(&Node { hash, next, generation, .. }) = self.nodes.get(index as usize) else {
                return;
            };
            if generation != Some(id.generation()) {
                return;
            }
            let head = self.head_of(hash);
            if self.heads[head] == index {
                self.heads[head] = next;
            } else {
                let mut before = self.heads[head];
                while self.nodes[before as usize].next != index {
                    before = self.nodes[before as usize].next;
                }
                self.nodes[before as usize].next = next;
            }
            self.nodes[index as usize].generation = None;
            self.linked -= 1;
        }
    }

    /// Finds a connection.
    pub(crate) fn find(&mut self, place: &Place) -> Option<Found> {
        if let Some(&index) = self.recent.get(self.recent_at(place))
            && let Some(node) = self.nodes.get(index as usize)
            && node.place == *place
            && let Some(generation) = node.generation
        {
            return Some(found(index, generation));
        }
        let index = self.search(place, self.key.hash(place));
        let generation = self.nodes.get(index as usize)?.generation?;
        self.remember(place, index);
        Some(found(index, generation))
    }

    /// Whether there is one.
    pub(crate) fn contains(&self, place: &Place) -> bool {
        self.search(place, self.key.hash(place)) != END
    }

    /// The connections in the table, once per direction, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NetId, ConnId)> {
        let nodes = (0..).zip(&self.nodes);
        nodes.filter_map(|(index, node)| Some((node.place.0, found(index, node.generation?).0)))
    }

    /// The node that stands in `place`.
    fn search(&self, place: &Place, hash: u32) -> u32 {
        let Some(&head) = self.heads.get(self.head_of(hash)) else { return END };
        let mut index = head;
        while index != END {
            let node = &self.nodes[index as usize];
            if node.hash == hash && node.place == *place {
                break;
            }
            index = node.next;
        }
        index
    }

    /// Puts a node in front of its chain.
    fn link(&mut self, index: u32) {
        let head = self.head_of(self.nodes[index as usize].hash);
        self.nodes[index as usize].next = self.heads[head];
        self.heads[head] = index;
    }

    /// So many heads that chains stay short, and a node for each direction of `id`.
    fn make_room(&mut self, id: ConnId) {
        let nodes = node_of(id, Direction::Reply) as usize + 1;
        if nodes > self.nodes.len() {
            self.nodes.resize(nodes, Node::FREE);
        }
        let wanted = self.linked + 2;
        if wanted > self.heads.len() {
            self.heads = vec![END; (wanted * 2).next_power_of_two().max(16)];
            self.recent = vec![END; self.heads.len().min(MOST_RECENT)];
            for index in 0..self.nodes.len() as u32 {
                if self.nodes[index as usize].generation.is_some() {
                    self.link(index);
                }
            }
        }
    }

    fn remember(&mut self, place: &Place, index: u32) {
        let at = self.recent_at(place);
        self.recent[at] = index;
    }

    fn recent_at(&self, place: &Place) -> usize {
        place.mix() as usize & self.recent.len().wrapping_sub(1)
    }

    fn head_of(&self, hash: u32) -> usize {
        hash as usize & self.heads.len().wrapping_sub(1)
    }
}

impl Node {
    const FREE: Self =
        Self { place: Place(NetId(0), Zone(0), Tuple::NONE), hash: 0, next: END, generation: None };
}

/// The node of a direction of a connection.
fn node_of(id: ConnId, direction: Direction) -> u32 {
    id.index() * 2 + direction as u32
}

/// Whose node it is.
fn found(index: u32, generation: u32) -> Found {
    let direction = if index.is_multiple_of(2) { Direction::Original } else { Direction::Reply };
    (ConnId::new(index / 2, generation), direction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::Proto;

    fn place(zone: u16, sport: u16) -> Place {
        let ip = |text: &str| text.parse().expect("a literal address");
        let tuple = Tuple::new(Proto::UDP, ip("10.0.0.2"), sport, ip("10.0.0.1"), 69);
        Place(NetId::INIT, Zone(zone), tuple)
    }

    fn places(number: u16) -> [Place; 2] {
        [place(number % 3, number), place(number % 3, number | 0x8000)]
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        let mut table = ConnTable::default();
        assert_eq!(table.find(&place(0, 1)), None, "nothing is there yet");
        for round in 1..4 {
            let conn = |number: u16| ConnId::new(u32::from(number), round);
            for number in 0..500 {
                assert!(table.insert(conn(number), &places(number)));
                assert!(!table.insert(conn(500), &places(number)), "it is taken");
            }
            for number in 0..500 {
                let [original, reply] = places(number);
                for _ in 0..2 {
                    assert_eq!(table.find(&original), Some((conn(number), Direction::Original)));
                    assert_eq!(table.find(&reply), Some((conn(number), Direction::Reply)));
                }
                assert_eq!(table.find(&place(number % 3 + 1, number)), None);
            }
            let mut all: Vec<_> = table.iter().map(|(_, id)| id).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all, (0..500).map(conn).collect::<Vec<_>>());
            for number in (0..500).rev().step_by(2).chain((0..500).step_by(2)) {
                table.remove(conn(number));
                assert_eq!(table.find(&places(number)[0]), None, "it was taken out");
                assert!(!table.contains(&places(number)[1]));
            }
            assert_eq!(table.iter().count(), 0);
        }
    }

    #[test]
    fn one_tuple_both_ways_is_one_place_twice() {
        let mut table = ConnTable::default();
        let (id, place) = (ConnId::new(7, 1), place(0, 9));
        assert!(table.insert(id, &[place, place]));
        assert_eq!(table.find(&place), Some((id, Direction::Reply)), "who came last stands first");
        table.remove(ConnId::new(8, 1));
        table.remove(ConnId::new(7, 2));
        assert!(table.contains(&place), "others were never in it");
        table.remove(id);
        assert_eq!(table.find(&place), None);
    }
}
