// SPDX-License-Identifier: GPL-2.0-only
//! What is done to both: deeds, and seeded random scripts of them.

use std::fmt;

use nfexp_model::revision::{Expiry, Revision};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How many may be expected, and for how many seconds: of the helper with one class, and of the four
/// classes of the other. No timer lives longer than the first level of any wheel.
pub(crate) const POLICIES: [(u32, u32); 5] = [(1, 40), (2, 60), (4, 50), (3, 55), (255, 20)];

/// Who a connection's ends are, as a word of a script has them; `*` is any.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) proto: u8,
    pub(crate) src: &'static str,
    pub(crate) dst: &'static str,
    pub(crate) sport: &'static str,
    pub(crate) dport: u16,
}

/// A deed. Masters and expectations are named in the order in which they are made.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A connection appears: its zone, its helper (1, 2, or 0 for the extension alone, or none), and
    /// whether it is confirmed.
    Master {
        zone: u16,
        helper: Option<u16>,
        confirmed: bool,
    },
    Confirm(usize),
    Dies(usize),
    /// An announcement: its master, class and flags, whether masters are skipped, and whether the
    /// creator keeps its reference.
    Related {
        master: usize,
        class: u8,
        ends: Ends,
        flags: u32,
        skip: bool,
        kept: bool,
    },
    /// Two at once, at this port and the next.
    Both {
        master: usize,
        class: u8,
        ends: Ends,
        skip: bool,
    },
    Unexpect(usize),
    Put(usize),
    Find(u16, Ends),
    /// A packet; whether what it hits is consumed.
    Match(u16, Ends, bool),
    End(usize),
    Collect(usize),
    Time(u64),
    List(usize),
    Stats,
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.proto, self.src, self.dst, self.sport, self.dport)
    }
}

impl Deed {
    /// The word that a line begins with; its first letter is enough.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Master { .. } => "master",
            Self::Confirm(_) => "confirm",
            Self::Dies(_) => "dies",
            Self::Related { .. } => "related",
            Self::Both { .. } => "both",
            Self::Unexpect(_) => "unexpect",
            Self::Put(_) => "put",
            Self::Find(..) => "find",
            Self::Match(..) => "x-match",
            Self::End(_) => "end",
            Self::Collect(_) => "gc",
            Self::Time(_) => "time",
            Self::List(_) => "list",
            Self::Stats => "stats",
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.word())?;
        match self {
            Self::Master { zone, helper, confirmed } => {
                let helper = helper.map_or(-1, i32::from);
                write!(f, " {zone} {helper} {}", u8::from(*confirmed))
            }
            Self::Related { master, class, ends, flags, skip, kept } => {
                let (skip, kept) = (u8::from(*skip), u8::from(*kept));
                write!(f, " {master} {class} {ends} {flags} {skip} {kept}")
            }
            Self::Both { master, class, ends, skip } => {
                write!(f, " {master} {class} {ends} {}", u8::from(*skip))
            }
            Self::Find(zone, ends) => write!(f, " {zone} {ends}"),
            Self::Match(zone, ends, unlink) => write!(f, " {zone} {ends} {}", u8::from(*unlink)),
            Self::Time(seconds) => write!(f, " {seconds}"),
            Self::Confirm(which)
            | Self::Dies(which)
            | Self::Unexpect(which)
            | Self::Put(which)
            | Self::End(which)
            | Self::Collect(which)
            | Self::List(which) => write!(f, " {which}"),
            Self::Stats => Ok(()),
        }
    }
}

/// Deeds of a script.
const DEEDS: usize = 4000;
/// Masters in all; announcements are made by the last few.
const MASTERS: usize = 60;

struct Writer {
    dice: ChaCha8Rng,
    deeds: Vec<Deed>,
    helpers: Vec<Option<u16>>,
    /// Which expectations a creator holds, and how many were made.
    held: Vec<usize>,
    made: usize,
    /// What was announced last, to be announced again.
    recent: Vec<(usize, u8, Ends)>,
}

impl Writer {
    fn below(&mut self, most: usize) -> usize {
        self.dice.next_u32() as usize % most
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn master(&mut self, has_bare: bool) {
        let bare = if has_bare { Some(0) } else { Some(2) };
        let helper = self.pick(&[Some(1), Some(1), Some(2), Some(2), Some(2), Some(2), bare, None]);
        let (zone, confirmed) = (self.pick(&[0, 0, 0, 1]), !self.one_in(5));
        self.helpers.push(helper);
        self.deeds.push(Deed::Master { zone, helper, confirmed });
    }

    fn ends(&mut self, wild: bool) -> Ends {
        let (srcs, dsts) = match self.one_in(5) {
            true => (["fd00::1", "fd00::2"], ["fd00::9", "fd00::8"]),
            false => (["10.0.0.1", "10.0.0.2"], ["10.0.0.9", "10.0.0.8"]),
        };
        let any = wild && self.one_in(3);
        Ends {
            proto: self.pick(&[6, 6, 17]),
            src: if any { "*" } else { self.pick(&srcs) },
            dst: self.pick(&dsts),
            sport: if wild {
                self.pick(&["*", "*", "*", "1000"])
            } else {
                self.pick(&["1000", "2000"])
            },
            dport: self.pick(&[5000, 5001, 5002, 5003]),
        }
    }

    /// One of the last masters, and a class it has.
    fn announcer(&mut self) -> (usize, u8) {
        let last = self.helpers.len();
        let master = last - 1 - self.below(last.min(8));
        let class = if self.helpers[master] == Some(2) { self.pick(&[0, 0, 1, 2, 3]) } else { 0 };
        (master, class)
    }

    fn related(&mut self) {
        let (mut master, mut class) = self.announcer();
        let mut ends = self.ends(true);
        if !self.recent.is_empty() && self.one_in(3) {
            let recent = self.recent.clone();
            (master, class, ends) = self.pick(&recent);
            if self.helpers[master] == Some(2) && self.one_in(6) {
                class = self.pick(&[0, 1, 2, 3]);
            }
        }
        self.recent.push((master, class, ends.clone()));
        if self.recent.len() > 12 {
            self.recent.remove(0);
        }
        let (flags, skip) = (self.pick(&[0, 0, 0, 0, 1, 2, 3]), self.one_in(4));
        let kept = self.one_in(3);
        if kept {
            self.held.push(self.made);
        }
        self.made += 1;
        self.deeds.push(Deed::Related { master, class, ends, flags, skip, kept });
    }

    fn both(&mut self) {
        let (master, class) = self.announcer();
        let ends = Ends { proto: 17, sport: "*", ..self.ends(true) };
        let (dport, skip) = (self.pick(&[5000, 5002]), self.one_in(2));
        self.made += 2;
        self.deeds.push(Deed::Both { master, class, ends: Ends { dport, ..ends }, skip });
    }

    fn deed(&mut self, revision: &Revision, can: Can) {
        let collects = revision.expiry == Expiry::Collected;
        let is_new = *revision != Revision::LINUX_3_9;
        let any = self.below(self.helpers.len());
        match self.below(100) {
            0..2 if self.helpers.len() < MASTERS => self.master(collects),
            2..42 => self.related(),
            42..45 if can.both => self.both(),
            45..50 if !self.held.is_empty() => {
                let held = self.held.clone();
                let which = self.pick(&held);
                self.deeds.push(Deed::Unexpect(which));
            }
            50..58 if !self.held.is_empty() => {
                let place = self.below(self.held.len());
                let which = self.held.swap_remove(place);
                self.deeds.push(Deed::Put(which));
            }
            58..70 => {
                let (zone, ends) = (self.pick(&[0, 0, 1]), self.ends(false));
                self.deeds.push(Deed::Find(zone, ends));
            }
            70..84 => {
                let (zone, ends) = (self.pick(&[0, 0, 1]), self.ends(false));
                let unlink = !can.look || !self.one_in(4);
                self.deeds.push(Deed::Match(zone, ends, unlink));
            }
            84..86 => self.deeds.push(Deed::End(any)),
            86 if is_new && self.one_in(3) => self.deeds.push(Deed::Dies(any)),
            86 => self.deeds.push(Deed::Confirm(any)),
            87..89 if collects && self.helpers[any].is_some() => {
                self.deeds.push(Deed::Collect(any))
            }
            89..94 => {
                let seconds = self.pick(&[1, 1, 2, 5, 10, 20, 50]);
                self.deeds.push(Deed::Time(seconds));
            }
            94..98 => self.deeds.push(Deed::List(any)),
            98.. => self.deeds.push(Deed::Stats),
            _ => {}
        }
    }
}

/// What a source has beside what all have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Can {
    /// Two may be announced at once.
    pub(crate) both: bool,
    /// A match need not consume.
    pub(crate) look: bool,
}

/// A script for a kernel of this revision.
pub(crate) fn script(seed: u64, revision: &Revision, can: Can) -> Vec<Deed> {
    let mut writer = Writer {
        dice: ChaCha8Rng::seed_from_u64(seed),
        deeds: Vec::new(),
        helpers: Vec::new(),
        held: Vec::new(),
        made: 0,
        recent: Vec::new(),
    };
    (0..4).for_each(|_| writer.master(false));
    while writer.deeds.len() < DEEDS {
        writer.deed(revision, can);
    }
    writer.deeds
}
