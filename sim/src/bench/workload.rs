// SPDX-License-Identifier: GPL-2.0-only
//! The deeds of a row, slice by slice. The same seed is the same deeds.
//!
//! Everything follows from an insertion's number: master, addresses and ports, whether it will
//! match and at what age. So nothing is kept but numbers, and every contender hears the same.

use super::deed::{Deed, Kind, Table};
use super::hold::{delay, longest};
use super::kernel_layout::{START, with_slack};

/// What is done to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 32 insertions a jiffy; half match at a random age, half expire.
    Churn,
    /// The same, and all match.
    ChurnMatch,
    /// The same, and all expire.
    ChurnExpire,
    /// The same over IPv6.
    ChurnV6,
    /// The same, with twenty lookups of foreign connections per insertion.
    Ftp,
    /// Calls: two announcements each, some announced again, matched, hung up or left to expire;
    /// registrations that do not match yet; lookups of foreign connections.
    Sip,
    /// Lookups that find nothing.
    Miss,
    /// Lookups in a table that holds nothing.
    MissEmpty,
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
    /// Timers alone: each that fires is armed anew.
    Hold,
    /// Copies of the table, each with the number of its situation.
    Snapshot,
    /// Numbers of situations, half of them new, into a set that begins empty.
    Visited,
}

impl Shape {
    /// Insertions every jiffy, that match or expire.
    #[must_use]
    const fn churns(self) -> bool {
        matches!(
            self,
            Self::Churn
                | Self::ChurnMatch
                | Self::ChurnExpire
                | Self::ChurnV6
                | Self::Ftp
                | Self::Sip
        )
    }

    /// Whether an operation looks at one place of the table, as the floors do.
    #[must_use]
    pub const fn touches_one_line(self) -> bool {
        !matches!(
            self,
            Self::MissEmpty
                | Self::Burst
                | Self::Spread
                | Self::Silent
                | Self::Destroy(_)
                | Self::Listing
                | Self::Snapshot
        )
    }

    /// What stands where others have the kernel's layout, and beside map and heap, if that is
    /// something else.
    #[must_use]
    pub const fn beside(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Snapshot => {
                Some(["the same history once more", "map and heap cloned and hashed"])
            }
            Self::Visited => Some(["open addressing, a batch ahead", "std's hash"]),
            _ => None,
        }
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
        let churns = shape.churns();
        // How many a jiffy adds for good, where a matched one lives half as long as one that expires.
        let steadily = match shape {
            Shape::ChurnMatch => PER_JIFFY / 2,
            Shape::ChurnExpire => PER_JIFFY,
            Shape::Sip => CALLS * 3 / 2,
            _ => PER_JIFFY * 3 / 4,
        };
        let churning = (size / steadily).max(4);
        let (masters, max_expected, lifetime) = match shape {
            Shape::Evict(max) => (size / max, max, FOREVER),
            Shape::Destroy(each) => (size / each, 255, FOREVER),
            Shape::Burst => (size, 255, 200),
            Shape::Spread => (size, 255, 16_000),
            Shape::Silent => (size, 255, 10_000),
            Shape::Snapshot => ((size / 8).max(2), 255, FOREVER),
            Shape::Visited => (1, 255, FOREVER),
            _ if churns => (size, 255, churning),
            _ => (size, 255, FOREVER),
        };
        let table = Table {
            buckets: (size / load).max(1),
            masters,
            room: match shape {
                // Whoever explores has no more than it needs.
                Shape::Snapshot => size + size / 8,
                _ => size + size / 8 + 4 * PER_JIFFY + 256,
            },
            max_expected,
            lifetime,
        };
        let jiffies = match shape {
            // And what slack adds.
            Shape::Hold => (longest(size) + longest(size) / 256) as usize,
            _ if churns => churning as usize,
            _ => 0,
        };
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
            shape if shape.churns() => {
                while self.filling > 0 && deeds.len() < SLICE as usize {
                    self.filling -= 1;
                    match self.shape {
                        Shape::Sip => self.calls(&mut deeds),
                        _ => self.churn(&mut deeds, 0),
                    }
                }
            }
            Shape::Hold => {
                while self.inserted < self.size && deeds.len() < SLICE as usize {
                    let key = self.inserted;
                    self.inserted += 1;
                    self.arm(key);
                    deeds.push(Deed { master: key, ..Deed::default() });
                }
            }
            Shape::MissEmpty
            | Shape::Burst
            | Shape::Spread
            | Shape::Silent
            | Shape::Destroy(_)
            | Shape::Visited => {}
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
            Shape::Churn | Shape::ChurnMatch | Shape::ChurnExpire | Shape::ChurnV6 | Shape::Ftp => {
                let foreign = if self.shape == Shape::Ftp { 20 } else { 0 };
                while slice.timed.len() < SLICE as usize {
                    self.churn(&mut slice.timed, foreign);
                }
                // Insertions, matches, and as many expiries as did not match.
                let count = |kind| slice.timed.iter().filter(|deed| deed.kind == kind).count();
                operations = Some(2 * count(Kind::Insert) + count(Kind::Lookup));
            }
            Shape::Sip => {
                while slice.timed.len() < SLICE as usize {
                    self.calls(&mut slice.timed);
                }
                let counts = slice.timed.iter().filter(|deed| deed.kind != Kind::Advance);
                operations = Some(counts.count());
            }
            Shape::Hold => {
                let mut fired = 0;
                while fired < SLICE as usize {
                    let deed = self.fire();
                    fired += deed.fires as usize;
                    slice.timed.push(deed);
                }
                operations = Some(fired);
            }
            Shape::Miss | Shape::MissEmpty => self.draw(&mut slice.timed, |this, random| {
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
            Shape::Snapshot => {
                let copies = 2 * SLICE / (self.size + 64);
                slice.timed.resize(copies as usize, Deed { kind: Kind::List, ..Deed::default() });
            }
            Shape::Visited => {
                let rounds = SLICE.div_ceil(self.size);
                for _ in 0..rounds {
                    self.visits(&mut slice.timed);
                }
                operations = Some(rounds as usize * self.size as usize);
            }
            Shape::Listing => {
                slice.timed.push(Deed { kind: Kind::List, ..Deed::default() });
                operations = Some(self.size as usize);
            }
        }
        slice.operations = operations.unwrap_or(slice.timed.len()) as u64;
        slice
    }

    /// So many numbers of situations as the row is large, half of them new.
    fn visits(&mut self, to: &mut Vec<Deed>) {
        to.push(Deed { kind: Kind::List, ..Deed::default() });
        let mut seen = 0;
        for _ in 0..self.size {
            self.drawn += 1;
            let random = mix(self.drawn ^ 0xf1e_0000_0000);
            let number = if random & 1 == 1 { seen } else { (random >> 1) % (seen + 1) };
            seen = seen.max(number + 1);
            let fingerprint = mix(number ^ 0x517_0000_0000);
            let ends = ((fingerprint >> 32) as u32, fingerprint as u32);
            to.push(Deed { ends, ..Deed::default() });
        }
    }

    fn draw(&mut self, to: &mut Vec<Deed>, deed: impl Fn(&mut Self, u64) -> Deed) {
        let count = match self.shape {
            // A walk through many takes the kernel's layout many times as long.
            Shape::Group(each) => SLICE / (each / 256).max(1),
            Shape::Evict(each) => SLICE / (each / 32).max(1),
            _ => SLICE,
        };
        for _ in 0..count {
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
            ..Deed::default()
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
            let matches = match self.shape {
                Shape::ChurnMatch => true,
                Shape::ChurnExpire => false,
                _ => fate & 1 == 1,
            };
            if matches {
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

// ---- calls ------------------------------------------------------------------------------

/// Calls per jiffy.
const CALLS: u32 = 8;
/// Lookups of foreign connections per call.
const FOREIGN: u32 = 6;
/// Where registrations are announced.
const SIP_PORT: u16 = 5060;

impl Workload {
    /// What a call of this number is about: its media, whose port is even, or its control beside.
    fn media(&self, number: u32, control: bool, kind: Kind) -> Deed {
        let deed = self.about(number, kind);
        let port = deed.ports.1 & !1 | u16::from(control);
        Deed { class: 1 + (number & 1) as u8, ports: (deed.ports.0, port), ..deed }
    }

    /// One jiffy: new calls, and what becomes of earlier ones.
    fn calls(&mut self, to: &mut Vec<Deed>) {
        to.push(advance(1));
        self.jiffy = (self.jiffy + 1) % self.ring.len();
        let ages = u64::from(self.table.lifetime - 1);
        for _ in 0..CALLS {
            let number = self.inserted;
            self.inserted += 1;
            let fate = mix(u64::from(number) ^ 0xfa7e_0000_0000);
            if fate & 3 == 3 {
                // A registration does not match before it is answered.
                let deed = self.about(number, Kind::Insert);
                let register = Deed { ports: (deed.ports.0, SIP_PORT), inactive: true, ..deed };
                to.push(register);
                to.push(Deed { kind: Kind::Match, ..register });
                to.push(Deed { kind: Kind::Lookup, ..register });
            }
            // The helper asks whether the address is announced already.
            to.push(self.media(number, false, Kind::Lookup));
            to.push(self.media(number, false, Kind::Insert));
            to.push(self.media(number, true, Kind::Insert));
            if fate >> 2 & 1 == 1 {
                // The answer announces the same again.
                to.push(self.media(number, false, Kind::Insert));
                to.push(self.media(number, true, Kind::Insert));
            }
            for _ in 0..FOREIGN {
                self.drawn += 1;
                let stranger = mix(self.drawn ^ 0xd2a_0000_0000) as u32 | 1 << 31;
                to.push(self.media(stranger, false, Kind::Lookup));
            }
            if fate >> 4 & 3 != 0 {
                let age = 1 + (fate >> 8) % ages;
                let when = (self.jiffy + age as usize) % self.ring.len();
                self.ring[when].push(number);
            }
        }
        for number in std::mem::take(&mut self.ring[self.jiffy]) {
            let fate = mix(u64::from(number) ^ 0xfa7e_0000_0000);
            if fate >> 4 & 7 == 7 {
                // It is hung up: all that its master still expects goes.
                to.push(destroy(self.media(number, false, Kind::Destroy).master));
            } else {
                to.push(self.media(number, false, Kind::Match));
                to.push(self.media(number, true, Kind::Match));
            }
        }
    }
}

// ---- timers -----------------------------------------------------------------------------

impl Workload {
    /// Notes when a timer will fire, as every contender will find out.
    fn arm(&mut self, key: u32) {
        let now = START.wrapping_add(self.drawn);
        let expires = now.wrapping_add(delay(key, now, longest(self.size)));
        let since = with_slack(expires, now).wrapping_sub(START);
        let when = (since % self.ring.len() as u64) as usize;
        self.ring[when].push(key);
    }

    /// One jiffy.
    fn fire(&mut self) -> Deed {
        self.drawn += 1;
        let when = (self.drawn % self.ring.len() as u64) as usize;
        let due = std::mem::take(&mut self.ring[when]);
        for &key in &due {
            self.arm(key);
        }
        Deed { fires: due.len() as u32, ..advance(1) }
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
