// SPDX-License-Identifier: GPL-2.0-only
//! The deeds of a row, slice by slice. The same seed is the same deeds.
//!
//! Everything follows from an insertion's number: master, addresses and ports, whether it will
//! match and at what age. So nothing is kept but numbers, and every contender hears the same.

use super::deed::{Deed, Kind, Table};

/// What is done to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 32 insertions a jiffy; half match at a random age, half expire.
    Churn,
    /// The same over IPv6.
    ChurnV6,
    /// The same, with twenty lookups of foreign connections per insertion.
    Ftp,
    /// Lookups that find nothing.
    Miss,
    /// Lookups that find something.
    Hit,
    /// Insertions of what is there already.
    Refresh,
    /// Insertions of which each evicts, so many per master.
    Evict(u32),
    /// All timers in one jiffy.
    Burst,
    /// Timers over ten thousand jiffies.
    Spread,
    /// A few insertions, then fifteen thousand silent jiffies.
    Silent,
    /// Masters end, each with so many.
    Destroy(u32),
    /// Lookups where so many share a destination.
    Group(u32),
    /// The ordered listing.
    Listing,
}

impl Shape {
    /// Whether an operation looks at one place of the table, as the floors do.
    #[must_use]
    pub const fn touches_one_line(self) -> bool {
        !matches!(
            self,
            Self::Burst | Self::Spread | Self::Silent | Self::Destroy(_) | Self::Listing
        )
    }
}

/// One slice: what is done unseen, and what is timed.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Restores the table.
    pub setup: Vec<Deed>,
    /// What is measured.
    pub timed: Vec<Deed>,
    /// How many operations `timed` stands for.
    pub operations: u64,
}

/// The source of a row's deeds.
#[derive(Debug)]
pub struct Workload {
    shape: Shape,
    size: u32,
    /// The table it is made for.
    pub table: Table,
    /// Insertions so far.
    inserted: u32,
    /// Draws so far.
    drawn: u64,
    /// Numbers that will match, by jiffy.
    ring: Vec<Vec<u32>>,
    jiffy: usize,
    /// In which order the masters fill up.
    order: Vec<u32>,
    /// Jiffies until the table holds its steady number.
    filling: usize,
}

/// Insertions per jiffy of the churning shapes.
const PER_JIFFY: u32 = 32;
/// Deeds of a slice, about.
const SLICE: u32 = 1 << 17;
/// Longer than any run.
const FOREVER: u32 = 1 << 30;

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A permutation of 32-bit numbers: distinct insertions have distinct destinations.
fn scatter(number: u32) -> u32 {
    let x = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    let x = (x ^ x >> 15).wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

impl Workload {
    /// `size` expectations at `load` per bucket.
    #[must_use]
    pub fn new(shape: Shape, size: u32, load: u32) -> Self {
        let churns = matches!(shape, Shape::Churn | Shape::ChurnV6 | Shape::Ftp);
        // A matched one lives half as long: three quarters of a lifetime on average.
        let churning = (size / (PER_JIFFY * 3 / 4)).max(4);
        let (masters, max_expected, lifetime) = match shape {
            Shape::Evict(max) => (size / max, max, FOREVER),
            Shape::Destroy(each) => (size / each, 255, FOREVER),
            Shape::Burst => (size, 255, 200),
            Shape::Spread => (size, 255, 16_000),
            Shape::Silent => (size, 255, 10_000),
            _ if churns => (size, 255, churning),
            _ => (size, 255, FOREVER),
        };
        let table = Table {
            buckets: (size / load).max(1),
            masters,
            room: size + size / 8 + 4 * PER_JIFFY + 256,
            max_expected,
            lifetime,
        };
        let jiffies = if churns { churning as usize } else { 0 };
        let ring = vec![Vec::new(); jiffies + 1];
        let filling = jiffies + jiffies / 8;
        let order = match shape {
            Shape::Evict(_) | Shape::Destroy(_) => shuffled(size, masters),
            _ => Vec::new(),
        };
        Self { shape, size, table, inserted: 0, drawn: 0, ring, jiffy: 0, order, filling }
    }

    /// What fills the table at first, in pieces; `None` once it is full.
    pub fn prefill(&mut self) -> Option<Vec<Deed>> {
        let mut deeds = Vec::new();
        match self.shape {
            Shape::Churn | Shape::ChurnV6 | Shape::Ftp => {
                while self.filling > 0 && deeds.len() < SLICE as usize {
                    self.filling -= 1;
                    self.churn(&mut deeds, 0);
                }
            }
            Shape::Burst | Shape::Spread | Shape::Silent | Shape::Destroy(_) => {}
            _ => {
                while self.inserted < self.size && deeds.len() < SLICE as usize {
                    deeds.push(self.insertion());
                }
            }
        }
        (!deeds.is_empty()).then_some(deeds)
    }

    /// The next slice.
    pub fn slice(&mut self) -> Slice {
        let mut slice = Slice::default();
        let mut operations = None;
        match self.shape {
            Shape::Churn | Shape::ChurnV6 | Shape::Ftp => {
                let foreign = if self.shape == Shape::Ftp { 20 } else { 0 };
                while slice.timed.len() < SLICE as usize {
                    self.churn(&mut slice.timed, foreign);
                }
                // Insertions, matches, and as many expiries as did not match.
                let count = |kind| slice.timed.iter().filter(|deed| deed.kind == kind).count();
                operations = Some(2 * count(Kind::Insert) + count(Kind::Lookup));
            }
            Shape::Miss => self.draw(&mut slice.timed, |this, random| {
                this.about(random as u32 | 1 << 31, Kind::Lookup)
            }),
            Shape::Hit | Shape::Group(_) => self.draw(&mut slice.timed, |this, random| {
                this.about((random % u64::from(this.size)) as u32, Kind::Lookup)
            }),
            Shape::Refresh => self.draw(&mut slice.timed, |this, random| {
                this.about((random % u64::from(this.size)) as u32, Kind::Insert)
            }),
            Shape::Evict(_) => self.draw(&mut slice.timed, |this, random| {
                let master = (random % u64::from(this.table.masters)) as u32;
                Deed { master, ..this.insertion() }
            }),
            Shape::Burst => {
                self.fill(&mut slice.setup, self.size);
                slice.timed.push(advance(200));
                operations = Some(self.size as usize);
            }
            Shape::Spread => {
                for _ in 0..10_000 {
                    self.fill(&mut slice.setup, self.size / 10_000);
                    slice.setup.push(advance(1));
                }
                slice.setup.push(advance(5_900));
                slice.timed.resize(10_300, advance(1));
                operations = Some((self.size / 10_000 * 10_000) as usize);
            }
            Shape::Silent => {
                for _ in 0..32 {
                    self.fill(&mut slice.timed, 200);
                    slice.timed.push(advance(15_000));
                }
            }
            Shape::Destroy(_) => {
                self.fill(&mut slice.setup, self.size);
                let all = shuffled(self.table.masters, self.table.masters);
                slice.timed = all.into_iter().rev().map(destroy).collect();
                operations = Some(self.size as usize);
            }
            Shape::Listing => {
                slice.timed.push(Deed { kind: Kind::List, ..Deed::default() });
                operations = Some(self.size as usize);
            }
        }
        slice.operations = operations.unwrap_or(slice.timed.len()) as u64;
        slice
    }

    fn draw(&mut self, to: &mut Vec<Deed>, deed: impl Fn(&mut Self, u64) -> Deed) {
        for _ in 0..SLICE {
            self.drawn += 1;
            let random = mix(self.drawn ^ 0xd2a_0000_0000);
            to.push(deed(self, random));
        }
    }

    fn fill(&mut self, to: &mut Vec<Deed>, count: u32) {
        for _ in 0..count {
            to.push(self.insertion());
        }
    }

    fn insertion(&mut self) -> Deed {
        let number = self.inserted;
        self.inserted += 1;
        self.about(number, Kind::Insert)
    }

    /// The deed about the expectation of this number.
    fn about(&self, number: u32, kind: Kind) -> Deed {
        let random = mix(u64::from(number));
        let master = match self.shape {
            Shape::Evict(_) | Shape::Destroy(_) => self.order[(number % self.size) as usize],
            _ => (random % u64::from(self.table.masters)) as u32,
        };
        let place = match self.shape {
            Shape::Group(each) => number / each,
            _ => number,
        };
        let dport = 1024 | (mix(u64::from(place)) >> 48) as u16;
        Deed {
            kind,
            v6: self.shape == Shape::ChurnV6,
            // As most helpers do: the other end is known, its port is not.
            source: true,
            ports: ((random >> 32) as u16, dport),
            master,
            ends: (scatter(!number), scatter(place)),
            ticks: 0,
        }
    }

    fn churn(&mut self, to: &mut Vec<Deed>, foreign: u32) {
        to.push(advance(1));
        self.jiffy = (self.jiffy + 1) % self.ring.len();
        let ages = u64::from(self.table.lifetime - 1);
        for _ in 0..PER_JIFFY {
            let number = self.inserted;
            let deed = self.insertion();
            to.push(deed);
            let fate = mix(u64::from(number) ^ 0xfa7e_0000_0000);
            if fate & 1 == 1 {
                let age = 1 + (fate >> 8) % ages;
                let when = (self.jiffy + age as usize) % self.ring.len();
                self.ring[when].push(number);
            }
            for _ in 0..foreign {
                self.drawn += 1;
                let stranger = mix(self.drawn ^ 0xd2a_0000_0000) as u32 | 1 << 31;
                to.push(self.about(stranger, Kind::Lookup));
            }
        }
        for number in std::mem::take(&mut self.ring[self.jiffy]) {
            to.push(self.about(number, Kind::Match));
        }
    }
}

/// Every master equally often, in no order that hardware could guess.
fn shuffled(size: u32, masters: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..size).map(|place| place % masters).collect();
    for place in (1..order.len()).rev() {
        let other = mix(place as u64 ^ 0x5_4aff_0000_0000) % (place as u64 + 1);
        order.swap(place, other as usize);
    }
    order
}

fn advance(ticks: u32) -> Deed {
    Deed { kind: Kind::Advance, ticks, ..Deed::default() }
}

fn destroy(master: u32) -> Deed {
    Deed { kind: Kind::Destroy, master, ..Deed::default() }
}
