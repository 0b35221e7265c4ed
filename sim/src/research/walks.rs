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
    pub fn check(&mut self, net: NetId, tuple: &Tuple, _master: u32) {
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
