// SPDX-License-Identifier: GPL-2.0-only
//! Choices that a seed decides, for ever the same.
//!
//! The rule that matters: every choice takes exactly one number from the generator, so a change
//! of one list does not shift the choices behind it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded generator with the questions that are asked of it.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = u64::from(self.0.next_u32()) * end as u64;
        (wide >> 32) as usize
    }

    /// Whether something that happens `of` times in a hundred happens now.
    pub fn percent(&mut self, of: usize) -> bool {
        self.below(100) < of
    }

    /// One of several.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// One of several, if there is any.
    pub fn maybe<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// One of several, each with its weight.
    ///
    /// # Panics
    /// If no weight is above 0.
    pub fn weighted<T: Copy>(&mut self, from: &[(T, u32)]) -> T {
        let total: u32 = from.iter().map(|(_, weight)| weight).sum();
        let mut at = self.below(total as usize) as u32;
        for (choice, weight) in from {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *choice,
            }
        }
        unreachable!("a number below the sum of the weights lies in one of them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_of_nothing_is_never_chosen() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            assert_ne!(dice.weighted(&[('a', 1), ('b', 0), ('c', 3)]), 'b');
        }
        assert_eq!(dice.maybe::<u8>(&[]), None);
    }
}
