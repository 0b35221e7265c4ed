// SPDX-License-Identifier: GPL-2.0-only
//! The connections that are confirmed, by either tuple.
//!
//! ```text
//!   tuple ─▶ hash ─▶ heads[place] ─▶ node ─▶ node        two nodes a connection, one a direction
//!                                      │ the same hash?
//!                                      ▼
//!                                   the connection itself says which tuple it has
//! ```
//!
//! A node is a hash and a link: six of them to a cache line. Both directions of a connection have
//! the same hash, if their tuples are each other's answers, so one chain is walked for both.
//!
//! The rule that matters: what a sender can choose reaches the chains through a hash under a key that
//! nobody knows. It is multilinear (Carter and Wegman 1979; Lemire and Kaser, "Strongly universal
//! string hashing is fast", 2014): of any two inputs, whichever they are, one key in 2³² makes one
//! hash, as is proven and not only believed. A capture is written before the process that reads it
//! draws its key, and nothing that is answered depends on the key, so no amount of work beforehand
//! makes its chains longer than chance does. Who could send packets to a running process and time
//! each of them might learn the key; SipHash would be for those.
//!
//! # Source
//! `nf_conntrack_hash` of `nf_conntrack_core.c`: one table, keyed, of both directions; the nodes are
//! part of the connection (`tuplehash`).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use crate::conn::ConnId;
use crate::conntrack::Direction;
use crate::nat::Mapped;
use crate::netns::{NetId, Zone};
use crate::nft_ct::CtExpectation;
use crate::tuple::Tuple;

/// Where a connection is found: hashed as one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) NetId, pub(crate) Zone, pub(crate) Tuple);

type Found = (ConnId, Direction);

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnTable {
    /// Drawn anew by each table, so no capture can aim at a chain; the order is seen by none.
    key: Key,
    /// A power of two of chains, or none.
    heads: Vec<u32>,
    /// By [`node_of`].
    nodes: Vec<Node>,
    /// How many are linked.
    linked: usize,
    /// How many lookups found one, by namespace.
    pub(crate) found: BTreeMap<NetId, u32>,
    /// What nft's own helper has to announce for connections that are not confirmed yet.
    pub(crate) announces: BTreeMap<ConnId, (CtExpectation, Direction)>,
    /// The connections whose source was mapped.
    pub(crate) mapped: Mapped,
    /// How often a port was searched for.
    pub(crate) ports_searched: u64,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u32,
    /// The next of its chain, or [`END`].
    next: u32,
    /// Its connection's life, which is odd, while it is linked; 0 if it is not.
    generation: u32,
}

/// No node.
const END: u32 = u32::MAX;

/// One random number for each half of each word, and one more.
#[derive(Clone, Debug)]
struct Key([u64; 13]);

impl Default for Key {
    fn default() -> Self {
        let random = RandomState::new();
        Self(core::array::from_fn(|at| random.hash_one(at)))
    }
}

impl Key {
    /// The hash of a place: the same of both directions.
    fn hash(&self, place: &Place) -> u32 {
        let Place(NetId(net), Zone(zone), tuple) = *place;
        let ends = [(tuple.src, tuple.sport), (tuple.dst, tuple.dport)]
            .map(|(addr, port)| (addr.bits(), port));
        let [(low, low_port), (high, high_port)] =
            if ends[0] <= ends[1] { ends } else { [ends[1], ends[0]] };
        let ports = u64::from(low_port) << 16 | u64::from(high_port);
        let kind = u64::from(tuple.proto.0) << 8 | tuple.l3 as u64;
        let words =
            [low as u64, high as u64, ports << 32 | kind, u64::from(net) << 32 | u64::from(zone)];
        let part = |at: usize, word: u64| {
            let [one, other] = [self.0[at * 2], self.0[at * 2 + 1]];
            one.wrapping_mul(word & 0xffff_ffff).wrapping_add(other.wrapping_mul(word >> 32))
        };
        let mut sum = self.0[12];
        for (at, word) in words.into_iter().enumerate() {
            sum = sum.wrapping_add(part(at, word));
        }
        // What is zero adds nothing: of IPv4 this is all.
        let rest = [(low >> 64) as u64, (high >> 64) as u64];
        if rest != [0, 0] {
            sum = sum.wrapping_add(part(4, rest[0])).wrapping_add(part(5, rest[1]));
        }
        (sum >> 32) as u32
    }
}

impl ConnTable {
    /// Adds a connection in both directions, unless another stands in either place; `of` says where
    /// a connection in the table stands.
    pub(crate) fn insert(
        &mut self,
        id: ConnId,
        places: &[Place; 2],
        of: impl Fn(u32, Direction) -> Place,
    ) -> bool {
        let hashes = places.each_ref().map(|place| self.key.hash(place));
        if (0..2).any(|at| self.search(&places[at], hashes[at], &of) != END) {
            return false;
        }
        self.make_room(id);
        for (at, direction) in [Direction::Original, Direction::Reply].into_iter().enumerate() {
            let index = node_of(id, direction);
            let (hash, generation) = (hashes[at], id.generation());
            self.nodes[index as usize] = Node { hash, next: END, generation };
            self.link(index);
            self.linked += 1;
        }
        true
    }

    /// Takes it out, if it is there.
    pub(crate) fn remove(&mut self, id: ConnId) {
        for direction in [Direction::Original, Direction::Reply] {
            let index = node_of(id, direction);
            let Some(&Node { hash, next, generation }) = self.nodes.get(index as usize) else {
                return;
            };
            if generation != id.generation() {
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
            self.nodes[index as usize].generation = 0;
            self.linked -= 1;
        }
    }

    /// Finds a connection; `of` says where one in the table stands.
    pub(crate) fn find(
        &self,
        place: &Place,
        of: impl Fn(u32, Direction) -> Place,
    ) -> Option<Found> {
        let index = self.search(place, self.key.hash(place), of);
        let node = self.nodes.get(index as usize)?;
        Some((ConnId::new(index / 2, node.generation), direction_of(index)))
    }

    /// The connections in the table, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ConnId> {
        let nodes = (0..).zip(self.nodes.iter().step_by(2));
        let linked = nodes.filter(|(_, node)| node.generation != 0);
        linked.map(|(slot, node)| ConnId::new(slot, node.generation))
    }

    /// The node that stands in `place`.
    #[inline]
    fn search(&self, place: &Place, hash: u32, of: impl Fn(u32, Direction) -> Place) -> u32 {
        let Some(&head) = self.heads.get(self.head_of(hash)) else { return END };
        let mut index = head;
        while index != END {
            let node = &self.nodes[index as usize];
            if node.hash == hash && of(index / 2, direction_of(index)) == *place {
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
            for index in 0..self.nodes.len() as u32 {
                if self.nodes[index as usize].generation != 0 {
                    self.link(index);
                }
            }
        }
    }

    fn head_of(&self, hash: u32) -> usize {
        hash as usize & self.heads.len().wrapping_sub(1)
    }
}

impl Node {
    const FREE: Self = Self { hash: 0, next: END, generation: 0 };
}

/// The node of a direction of a connection.
fn node_of(id: ConnId, direction: Direction) -> u32 {
    id.index() * 2 + direction as u32
}

/// Which direction of its connection a node is.
fn direction_of(node: u32) -> Direction {
    if node.is_multiple_of(2) { Direction::Original } else { Direction::Reply }
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

    fn of(slot: u32, direction: Direction) -> Place {
        places(slot as u16)[direction as usize]
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        let mut table = ConnTable::default();
        assert_eq!(table.find(&place(0, 1), of), None, "nothing is there yet");
        for round in [1, 3, 5] {
            let conn = |number: u16| ConnId::new(u32::from(number), round);
            for number in 0..500 {
                assert!(table.insert(conn(number), &places(number), of));
                assert!(!table.insert(conn(500), &places(number), of), "it is taken");
            }
            for number in 0..500 {
                let [original, reply] = places(number);
                let there = |direction| Some((conn(number), direction));
                assert_eq!(table.find(&original, of), there(Direction::Original));
                assert_eq!(table.find(&reply, of), there(Direction::Reply));
                assert_eq!(table.find(&place(number % 3 + 1, number), of), None);
            }
            assert!(table.iter().eq((0..500).map(conn)));
            for number in (0..500).rev().step_by(2).chain((0..500).step_by(2)) {
                table.remove(conn(number));
                assert_eq!(table.find(&places(number)[0], of), None, "it was taken out");
                assert_eq!(table.find(&places(number)[1], of), None);
            }
            assert_eq!(table.iter().count(), 0);
        }
    }

    #[test]
    fn one_tuple_both_ways_is_one_place_twice() {
        let mut table = ConnTable::default();
        let (id, place) = (ConnId::new(7, 1), place(0, 9));
        let of = |_, _| place;
        assert!(table.insert(id, &[place, place], of));
        let found = table.find(&place, of);
        assert_eq!(found, Some((id, Direction::Reply)), "who came last stands first");
        table.remove(ConnId::new(8, 1));
        table.remove(ConnId::new(7, 3));
        assert_eq!(table.find(&place, of), found, "others were never in it");
        table.remove(id);
        assert_eq!(table.find(&place, of), None);
    }

    /// Every bit of a place counts, whichever key was drawn, and the direction does not.
    #[test]
    fn hashes_differ_but_for_the_direction() {
        let ip = |text: &str| text.parse().expect("a literal address");
        let (one, other) = (ip("2001:db8::1"), ip("2001:db8:0:7::2"));
        let tuple = Tuple::new(Proto::TCP, one, 40_000, other, 443);
        let place = |tuple| Place(NetId::INIT, Zone(7), tuple);
        for _ in 0..20 {
            let key = Key::default();
            let hash = key.hash(&place(tuple));
            let answer = tuple.inverse().expect("TCP is answered");
            assert_eq!(key.hash(&place(answer)), hash);
            let mut changed = Vec::from([
                place(Tuple { proto: Proto::UDP, ..tuple }),
                Place(NetId(9), Zone(7), tuple),
                Place(NetId::INIT, Zone(8), tuple),
            ]);
            for bit in 0..128 {
                let mut flipped = [tuple.src, tuple.dst];
                flipped[bit % 2].0[bit / 8] ^= 1 << (bit % 8);
                changed.push(place(Tuple { src: flipped[0], dst: flipped[1], ..tuple }));
            }
            for bit in 0..16 {
                changed.push(place(Tuple { sport: tuple.sport ^ 1 << bit, ..tuple }));
                changed.push(place(Tuple { dport: tuple.dport ^ 1 << bit, ..tuple }));
            }
            // A pair in 2³² is the same by chance.
            assert!(changed.iter().all(|other| key.hash(other) != hash));
        }
    }
}
