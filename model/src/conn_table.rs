// SPDX-License-Identifier: GPL-2.0-only
//! The connections that are confirmed, by either tuple.
//!
//! ```text
//!   tuple ─▶ cheap mix ─▶ recent[place]  the very same tuple? ─▶ found
//!                             │ no
//!                             ▼
//!                         table (SipHash)
//! ```
//!
//! Packets of one flow come in bursts: the few thousand places of `recent` answer most lookups.
//!
//! The rule that matters: what a sender can choose reaches the table through SipHash only, under a
//! key that nobody knows. Who aims at one place of `recent` makes it useless, and nothing worse.
//!
//! # Source
//! `nf_conntrack_hash` of `nf_conntrack_core.c`: one table, keyed, of both directions.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use crate::conn::ConnId;
use crate::conntrack::Direction;
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
    /// Its key is drawn anew by each process, so no capture can aim at it; its order is seen by none.
    table: HashMap<Place, Found>,
    /// A power of two of places, or none; what stands in one is in the table, too.
    recent: Vec<Option<(Place, Found)>>,
    /// How many lookups found one, by namespace.
    pub(crate) found: BTreeMap<NetId, u32>,
    /// What nft's own helper has to announce for connections that are not confirmed yet.
    pub(crate) announces: BTreeMap<ConnId, (CtExpectation, Direction)>,
}

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

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = [0; 48];
        for (room, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            room.copy_from_slice(&word.to_le_bytes());
        }
        state.write(&bytes);
    }
}

impl ConnTable {
    /// Adds a connection in one direction.
    pub(crate) fn insert(&mut self, place: Place, found: Found) {
        self.table.insert(place, found);
        let wanted = (self.table.len() * 2).next_power_of_two().clamp(16, MOST_RECENT);
        if self.recent.len() < wanted {
            self.recent = vec![None; wanted];
        }
        self.remember(place, found);
    }

    /// Takes it out.
    pub(crate) fn remove(&mut self, place: &Place) {
        self.table.remove(place);
        let at = self.recent_at(place);
        if let Some(recent) = self.recent.get_mut(at).filter(|recent| is_of(recent, place)) {
            *recent = None;
        }
    }

    /// Finds a connection.
    pub(crate) fn find(&mut self, place: &Place) -> Option<Found> {
        if let Some(Some((known, found))) = self.recent.get(self.recent_at(place))
            && known == place
        {
            return Some(*found);
        }
        let found = *self.table.get(place)?;
        self.remember(*place, found);
        Some(found)
    }

    /// Whether there is one.
    pub(crate) fn contains(&self, place: &Place) -> bool {
        self.table.contains_key(place)
    }

    /// Every connection, once per direction, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Place, &Found)> {
        self.table.iter()
    }

    fn remember(&mut self, place: Place, found: Found) {
        let at = self.recent_at(&place);
        self.recent[at] = Some((place, found));
    }

    fn recent_at(&self, place: &Place) -> usize {
        place.mix() as usize & self.recent.len().wrapping_sub(1)
    }
}

fn is_of(recent: &Option<(Place, Found)>, place: &Place) -> bool {
    recent.as_ref().is_some_and(|(known, _)| known == place)
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

    #[test]
    fn the_recent_ones_tell_what_the_table_tells() {
        let mut table = ConnTable::default();
        assert_eq!(table.find(&place(0, 1)), None, "nothing is there yet");
        for round in 0..3_u16 {
            for sport in 0..500 {
                let found = (ConnId::new(u32::from(sport), 1), Direction::Reply);
                table.insert(place(sport % 3, sport), found);
            }
            for sport in 0..500 {
                let there = table.find(&place(sport % 3, sport)).map(|(id, _)| id.index());
                assert_eq!(there, Some(u32::from(sport)), "in round {round}");
                assert_eq!(table.find(&place(sport % 3 + 1, sport)), None);
            }
            for sport in 0..500 {
                table.remove(&place(sport % 3, sport));
                assert_eq!(table.find(&place(sport % 3, sport)), None, "removed");
            }
        }
        assert_eq!(table.iter().count(), 0);
    }
}
