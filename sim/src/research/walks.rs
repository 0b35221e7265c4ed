// SPDX-License-Identifier: GPL-2.0-only
//! How many nodes the kernel walks with the lock held.
//!
//! The engine's storage is its own; what is counted here is what the C file does: a bucket's
//! chain, newest first, for a lookup or a check, and a master's list for the oldest of a class.

use std::collections::BTreeMap;

use nfexp_model::Config;
use nfexp_model::kernel::hlist::DstHash;
use nfexp_model::netns::NetId;
use nfexp_model::revision::TableScope;
use nfexp_model::tuple::Tuple;

/// Chains as the kernel has them, and how long walks along them were.
#[derive(Clone, Debug)]
pub struct Walks {
    hash: DstHash,
    global: bool,
    /// By namespace and bucket: slots, newest last.
    chains: BTreeMap<(u16, u32), Vec<(u32, Tuple)>>,
    /// By slot: where it is, and whose.
    places: BTreeMap<u32, ((u16, u32), u32)>,
    per_master: BTreeMap<u32, u32>,
    /// How many walks had this length; the last holds all longer ones.
    lengths: Vec<u64>,
}

/// Lengths above are counted as this.
const LONGEST: usize = 1 << 16;

impl Walks {
    /// Of an engine with this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            hash: DstHash {
                kind: config.revision.hash,
                seed: config.hash_seed,
                buckets: config.hash_size,
            },
            global: config.revision.table == TableScope::Global,
            chains: BTreeMap::new(),
            places: BTreeMap::new(),
            per_master: BTreeMap::new(),
            lengths: Vec::new(),
        }
    }

    fn place(&self, net: NetId, tuple: &Tuple) -> (u16, u32) {
        let bucket = self.hash.bucket(net, tuple);
        (if self.global { 0 } else { net.0 }, bucket)
    }

    fn walked(&mut self, nodes: usize) {
        let nodes = nodes.min(LONGEST);
        if nodes >= self.lengths.len() {
            self.lengths.resize(nodes + 1, 0);
        }
        self.lengths[nodes] += 1;
    }

    /// A newcomer is checked against its whole chain.
    pub fn check(&mut self, net: NetId, tuple: &Tuple) {
        let place = self.place(net, tuple);
        self.walked(self.chains.get(&place).map_or(0, Vec::len));
    }

    /// A packet asks: the chain up to the one it hits, or all.
    pub fn lookup(&mut self, net: NetId, tuple: &Tuple) {
        let place = self.place(net, tuple);
        let nodes = self.chains.get(&place).map_or(0, |chain| {
            let newest_first = chain.iter().rev();
            let hit = newest_first.clone().position(|(_, other)| other.same_destination(tuple));
            hit.map_or(chain.len(), |at| at + 1)
        });
        self.walked(nodes);
    }

    /// One was linked.
    pub fn insert(&mut self, net: NetId, tuple: &Tuple, master: u32, slot: u32) {
        let place = self.place(net, tuple);
        self.chains.entry(place).or_default().push((slot, *tuple));
        self.places.insert(slot, (place, master));
        *self.per_master.entry(master).or_default() += 1;
    }

    /// One was unlinked.
    pub fn remove(&mut self, slot: u32) {
        let Some((place, master)) = self.places.remove(&slot) else { return };
        if let Some(chain) = self.chains.get_mut(&place) {
            chain.retain(|(other, _)| *other != slot);
            if chain.is_empty() {
                self.chains.remove(&place);
            }
        }
        if let Some(count) = self.per_master.get_mut(&master) {
            *count -= 1;
            if *count == 0 {
                self.per_master.remove(&master);
            }
        }
    }

    /// A class was full: its master's list is walked for the oldest.
    pub fn evict_oldest(&mut self, master: u32) {
        let nodes = self.per_master.get(&master).copied().unwrap_or(0);
        self.walked(nodes as usize);
    }

    /// The length that this share of the walks does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u32 {
        let all: u64 = self.lengths.iter().sum();
        let mut left = (all as f64 * share) as u64;
        for (length, count) in self.lengths.iter().enumerate() {
            if *count > left {
                return length as u32;
            }
            left -= count;
        }
        self.longest()
    }

    /// The longest walk.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.lengths.len().saturating_sub(1) as u32
    }
}

#[cfg(test)]
mod tests {
    use nfexp_model::tuple::{Addr, L3, Proto};

    use super::*;
    use crate::research::random::Stream;

    /// What is linked, newest first, and nothing else: chains are found by looking at all of it.
    struct Plain {
        hash: DstHash,
        linked: Vec<(u32, NetId, Tuple, u32)>,
        lengths: Vec<u64>,
    }

    impl Plain {
        fn walk(&mut self, net: NetId, tuple: &Tuple, stops: bool) {
            let here = self.hash.bucket(net, tuple);
            let mut nodes = 0;
            for (_, other_net, other, _) in &self.linked {
                if self.hash.bucket(*other_net, other) != here {
                    continue;
                }
                nodes += 1;
                if stops && other.same_destination(tuple) {
                    break;
                }
            }
            self.count(nodes);
        }

        fn count(&mut self, nodes: usize) {
            self.lengths.resize(self.lengths.len().max(nodes + 1), 0);
            self.lengths[nodes] += 1;
        }

        /// By sorting every length there was.
        fn quantile(&self, share: f64) -> u32 {
            let all: Vec<u32> = self
                .lengths
                .iter()
                .enumerate()
                .flat_map(|(length, count)| std::iter::repeat_n(length as u32, *count as usize))
                .collect();
            let at = (all.len() as f64 * share) as usize;
            all[at.min(all.len() - 1)]
        }
    }

    fn tuple(number: u32) -> Tuple {
        let dst = Addr::v4((0x0b00_0000 + number / 4).to_be_bytes());
        let dport = 1000 + (number % 4) as u16;
        Tuple { dst, dport, sport: 0, src: Addr::default(), l3: L3::Ipv4, proto: Proto::TCP }
    }

    #[test]
    fn walks_are_those_of_a_plain_list_on_a_thousand_random_traces() {
        let mut stream = Stream::keyed(1, 0, "walks", "test");
        for trace in 0..1000 {
            let config = Config { hash_size: 1 + stream.below(4), ..Config::SMALL };
            let mut walks = Walks::new(&config);
            let hash = walks.hash;
            let mut plain = Plain { hash, linked: Vec::new(), lengths: Vec::new() };
            for slot in 0..60 {
                let (net, tuple) = (NetId(0), tuple(stream.below(24)));
                let master = stream.below(3);
                match stream.below(5) {
                    0 | 1 => {
                        walks.check(net, &tuple);
                        plain.walk(net, &tuple, false);
                        walks.insert(net, &tuple, master, slot);
                        plain.linked.insert(0, (slot, net, tuple, master));
                    }
                    2 => {
                        walks.lookup(net, &tuple);
                        plain.walk(net, &tuple, true);
                    }
                    3 => {
                        walks.evict_oldest(master);
                        let held = plain.linked.iter().filter(|one| one.3 == master).count();
                        plain.count(held);
                    }
                    _ if !plain.linked.is_empty() => {
                        let at = stream.below(plain.linked.len() as u32) as usize;
                        walks.remove(plain.linked.remove(at).0);
                    }
                    _ => {}
                }
            }
            assert_eq!(walks.lengths, plain.lengths, "trace {trace}");
            for share in [0.5, 0.99] {
                assert_eq!(walks.quantile(share), plain.quantile(share), "trace {trace}");
            }
            assert_eq!(walks.longest() as usize, plain.lengths.len() - 1);
        }
    }
}
