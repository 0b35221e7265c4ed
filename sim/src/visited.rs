// SPDX-License-Identifier: GPL-2.0-only
//! Which situations were seen already, by their fingerprints.
//!
//! A fingerprint is as good as random, so it is its own hash.
//!
//! The rule that matters: a set of numbers forgets what they stand for. Two situations with one
//! number are one to it; how rarely that happens stands in [`nfexp_model::fingerprint`].
//!
//! Why no set of our own: open addressing over plain numbers with hints for a batch ahead is a tenth
//! to a fifth slower where sets grow as they fill (`nfexp bench visited` has both).

use std::hash::{BuildHasherDefault, Hasher};

/// A set of fingerprints.
pub type Visited = hashbrown::HashSet<u64, BuildHasherDefault<Same>>;

/// A number is its own hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole numbers are hashed")
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
