// SPDX-License-Identifier: GPL-2.0-only
//! Chance, named: every stream of numbers has a key, and the key alone decides it.
//!
//! ```text
//!  hash(seed, replication, who, what for) ──▶ ChaCha8 ──▶ numbers in (0, 1)
//! ```
//!
//! Two policies meet the same workload because no draw of one can shift a draw of another
//! (*common random numbers*); a class that is added leaves the others' streams alone.
//!
//! The rule that matters: a stream belongs to one purpose, and one draw answers one question.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `who` for one purpose in one replication.
    #[must_use]
    pub fn keyed(seed: u64, replication: u32, who: &str, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"nfexp stream 1");
        hash.update(seed.to_le_bytes());
        hash.update(replication.to_le_bytes());
        for part in [who, purpose] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// A number strictly between 0 and 1.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        ((self.0.next_u64() >> 11) as f64 + 0.5) * STEP
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If the bound is 0.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "there is no number below 0");
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// Sixty-four bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_for_ever() {
        let mut stream = Stream::keyed(1, 0, "ftp", "delay");
        let bits: Vec<u64> = (0..3).map(|_| stream.bits()).collect();
        let mut other = Stream::keyed(1, 0, "ftp", "delays");
        assert_ne!(bits[0], other.bits());
        let mut again = Stream::keyed(1, 0, "ftp", "delay");
        assert_eq!(bits, (0..3).map(|_| again.bits()).collect::<Vec<_>>());
        // Part of our format: a change of these numbers is a change of every published result.
        assert_eq!(bits[0], PINNED);
    }

    const PINNED: u64 = 16_633_713_965_048_072_374;
}
