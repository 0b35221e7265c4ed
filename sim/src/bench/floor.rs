// SPDX-License-Identifier: GPL-2.0-only
//! The least a deed can cost: reading it, hashing it, and touching one line of memory.

use super::deed::{Contender, Deed};

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line(u64);

/// A floor: one line per deed, of as many lines as there are expectations.
#[derive(Debug)]
pub struct Floor {
    lines: Vec<Line>,
    /// Whether the next address waits for this line, as it does along a chain.
    dependent: bool,
}

impl Floor {
    /// Lines that all hold zero, which the compiler does not know.
    #[must_use]
    pub fn new(lines: u32, dependent: bool) -> Self {
        let mut memory = vec![Line(1); lines.max(1) as usize];
        memory.fill(std::hint::black_box(Line(0)));
        Self { lines: memory, dependent }
    }
}

impl Floor {
    #[inline(always)]
    fn touch(&self, key: u64, sum: u64, count: u64) -> u64 {
        let chained = if self.dependent { sum } else { 0 };
        let hash = (key ^ chained).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = (u128::from(hash) * u128::from(count)) >> 64;
        self.lines[place as usize].0
    }
}

impl Contender for Floor {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let (count, mut sum) = (self.lines.len() as u64, 0);
        for deed in deeds {
            let key = u64::from(deed.ends.1) << 16 | u64::from(deed.ports.1);
            sum ^= self.touch(key, sum, count);
        }
        std::hint::black_box(sum)
    }

    fn live(&self) -> u64 {
        0
    }
}

/// The same where a deed is a jiffy in which timers fire: one line per timer.
#[derive(Debug)]
pub(super) struct Fires(pub(super) Floor);

impl Contender for Fires {
    fn run(&mut self, deeds: &[Deed]) -> u64 {
        let (count, mut sum, mut fired) = (self.0.lines.len() as u64, 0, 0_u64);
        for deed in deeds {
            for _ in 0..deed.fires {
                fired += 1;
                sum ^= self.0.touch(fired, sum, count);
            }
        }
        std::hint::black_box(sum)
    }

    fn live(&self) -> u64 {
        0
    }
}
