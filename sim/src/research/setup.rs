// SPDX-License-Identifier: GPL-2.0-only
//! How a world is set up.

use nfexp_model::Config;
use nfexp_model::revision::Revision;

use super::cast::Cast;
use super::measure::Recording;
use super::workload::Micros;

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which kernel.
    pub revision: Revision,
    /// Ticks in a second.
    pub hz: u32,
    /// The table's limit, per namespace.
    pub expect_max: u32,
    /// Buckets; what a module load would choose for that limit if not given.
    pub hash_size: Option<u32>,
    /// The seed, for policies that draw.
    pub seed: u64,
    /// The replication.
    pub replication: u32,
    /// How many masters may be open at once.
    pub masters: u32,
    /// How many expectations are announced at most: more need no memory.
    pub announced: u32,
    /// When it ends.
    pub horizon: Micros,
    /// What is recorded beside the counts.
    pub recording: Recording,
}

/// Memory for so many expectations more than may be linked at once: for those that are being
/// announced, and those that wait to be freed.
pub(super) const SPARE: u32 = 64;

impl Setup {
    pub(super) fn config(&self, cast: &Cast) -> Config {
        // As nf_conntrack_expect_init() has it: four a bucket, whole pages of buckets.
        let usual = (self.expect_max / 4).max(1).next_multiple_of(512);
        let nets = u32::from(cast.namespaces);
        let most = self.expect_max.saturating_mul(nets).min(self.announced);
        Config {
            revision: self.revision,
            hz: self.hz,
            hash_size: self.hash_size.unwrap_or(usual),
            expect_max: self.expect_max,
            hash_seed: 0x5eed,
            expectations: most.saturating_add(SPARE).min(1 << 26),
            conns: self.masters.saturating_add(64),
            conns_ready: u32::MAX,
            cpus: 1,
            netns: cast.namespaces,
            events: false,
            helpers: cast.helpers.clone(),
            fail_nth: 0,
        }
    }
}
