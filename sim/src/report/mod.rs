// SPDX-License-Identifier: GPL-2.0-only
//! What a run comes to, for people and for programs.
//!
//! *Ledger*: one line per expectation, from its birth to its end and the cause of it; filled
//! from events alone. [`text`] and [`rows`] show it, [`kernel_jsonl`] writes the lines that a
//! recording of the running kernel has.

pub mod delays;
pub mod kernel_jsonl;
pub mod rows;
pub mod story;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use nfexp_model::Engine;
use nfexp_model::event::{Cause, ConnEventKind, Event, ExpectEvent, ExpectEventKind};
use nfexp_model::expectation::ExpectId;
use nfexp_model::helper::{Class, Helper};
use nfexp_model::kernel::Up;
use nfexp_model::tuple::{Mask, Tuple};

/// A moment of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// The packet of a capture, or the step of a trace, counted from 1; 0 is after the last.
    pub at: u64,
    /// Milliseconds since the run began.
    pub ms: u64,
}

impl Moment {
    /// Seconds since the run began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.ms as f64 / 1000.0
    }
}

/// One expectation's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Its number in this run, from 1.
    pub number: u64,
    /// Its picture at birth.
    pub born_as: ExpectEvent,
    /// Its helper, as a listing names it.
    pub helper: String,
    /// Its class's name, or number where it has none and is not the first.
    pub class: String,
    /// When it was inserted.
    pub born: Moment,
    /// When its connection came: the first, if it may come again.
    pub arrived: Option<Moment>,
    /// When and why it was unlinked.
    pub ended: Option<(Moment, Cause)>,
}

/// All expectations of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    lives: Vec<Life>,
    open: BTreeMap<ExpectId, usize>,
    /// Those of them whose connection has not come, by where it is to go.
    awaited: BTreeMap<Tuple, BTreeSet<usize>>,
    /// Connections that came, and how many of them were announced.
    conns: u64,
    related: u64,
    peak: u64,
}

impl Ledger {
    /// Enters an event.
    pub fn enter(&mut self, engine: &Engine<Up>, moment: Moment, event: &Event) {
        match event {
            Event::Expect(event) => self.enter_expect(engine, moment, event),
            Event::Conn(event) if event.kind == ConnEventKind::New => {
                self.conns += 1;
                if event.master.is_some() {
                    self.related += 1;
                    self.enter_arrival(moment, &event.original);
                }
            }
            Event::Conn(_) => {}
        }
    }

    /// An announced connection came; what announced it may be there to stay.
    fn enter_arrival(&mut self, moment: Moment, original: &Tuple) {
        let lives = &mut self.lives;
        let Some(awaited) = self.awaited.get_mut(&destination(original)) else { return };
        awaited.retain(|at| {
            let life = &mut lives[*at];
            let comes = original.matches(&life.born_as.tuple, &life.born_as.mask);
            if comes {
                life.arrived = Some(moment);
            }
            !comes
        });
    }

    fn enter_expect(&mut self, engine: &Engine<Up>, moment: Moment, event: &ExpectEvent) {
        match event.kind {
            ExpectEventKind::New => {
                let helper = event.helper.map(|id| engine.helper(id));
                let class = class_name(helper, event.class);
                self.open.insert(event.id, self.lives.len());
                let awaited = self.awaited.entry(destination(&event.tuple)).or_default();
                awaited.insert(self.lives.len());
                self.peak = self.peak.max(self.open.len() as u64);
                self.lives.push(Life {
                    number: self.lives.len() as u64 + 1,
                    born_as: *event,
                    helper: helper.map_or_else(String::new, |helper| helper.name.to_owned()),
                    class,
                    born: moment,
                    arrived: None,
                    ended: None,
                });
            }
            ExpectEventKind::Destroy(cause) => {
                if let Some(at) = self.open.remove(&event.id) {
                    let place = destination(&event.tuple);
                    if let Some(awaited) = self.awaited.get_mut(&place) {
                        awaited.remove(&at);
                        if awaited.is_empty() {
                            self.awaited.remove(&place);
                        }
                    }
                    let life = &mut self.lives[at];
                    life.ended = Some((moment, cause));
                    if cause == Cause::Match {
                        life.arrived = Some(moment);
                    }
                }
            }
        }
    }

    /// All lives, in order of birth.
    #[must_use]
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// How many ended for each cause, in the order of [`Cause::ALL`].
    #[must_use]
    pub fn ends(&self) -> Vec<(Cause, u64)> {
        let count = |cause| {
            let ended =
                self.lives.iter().filter(|life| life.ended.is_some_and(|end| end.1 == cause));
            ended.count() as u64
        };
        Cause::ALL.into_iter().map(|cause| (cause, count(cause))).collect()
    }

    /// How many are still linked.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.len() as u64
    }

    /// The most that were linked at one time.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Connections that were confirmed, and how many of them were announced.
    #[must_use]
    pub fn conns(&self) -> (u64, u64) {
        (self.conns, self.related)
    }
}

/// A class's name, or its number where it has none and is not the first.
fn class_name(helper: Option<&Helper>, class: Class) -> String {
    let policy = helper.and_then(|helper| helper.policy(class));
    match (policy.map_or("", |policy| policy.name), class.number()) {
        ("", 0) => String::new(),
        ("", number) => number.to_string(),
        (name, _) => name.to_owned(),
    }
}

/// A tuple without its source.
fn destination(tuple: &Tuple) -> Tuple {
    Tuple { src: Tuple::NONE.src, sport: Tuple::NONE.sport, ..*tuple }
}

/// Writes an expectation's tuple with `*` where anything goes.
#[must_use]
pub fn target(tuple: &Tuple, mask: &Mask) -> String {
    let full = Mask::exact(tuple.l3, true, true);
    let v6 = tuple.l3 == nfexp_model::tuple::L3::Ipv6;
    let ip = |addr: nfexp_model::tuple::Addr| match (addr.ip(tuple.l3), v6) {
        (ip, true) => format!("[{ip}]"),
        (ip, false) => ip.to_string(),
    };
    let src = match mask.src {
        m if m == full.src => ip(tuple.src),
        m if m.bits() == 0 => "*".to_owned(),
        m => format!("{}/{}", ip(tuple.src), m.ip(tuple.l3)),
    };
    let sport = match mask.sport {
        u16::MAX => tuple.sport.to_string(),
        0 => "*".to_owned(),
        partial => format!("{}/{partial:#x}", tuple.sport),
    };
    format!("{} {src}:{sport} > {}:{}", tuple.proto, ip(tuple.dst), tuple.dport)
}
