// SPDX-License-Identifier: GPL-2.0-only
//! Policies, composed of four axes.
//!
//! ```text
//!  admit=…  +  quota=…  +  class=… / table=…  +  timeout=…
//!  may it      how many     who goes when          how long
//!  come in     an owner     class or table          one lives
//!              may hold     is full
//! ```
//!
//! A policy is a name of [`names::NAMED`] or such a composition; what is left out is the
//! kernel's: all are admitted, no further quota, the oldest of its class goes, a full table
//! refuses, the timeout is the policy's.
//!
//! The rule that matters: `kernel` is the engine's own [`Oldest`], not a copy of it; the others
//! answer through the same seam.

pub mod axes;
pub mod book;
pub mod delays;
pub mod expression;
pub mod names;
pub mod parse;
pub mod victim;

use std::fmt;
use std::sync::Arc;

use nfexp_model::event::Cause;
use nfexp_model::eviction::{Admission as Verdict, Candidate, Eviction, Oldest, Pressure, Table};
use nfexp_model::expectation::ExpectId;
use nfexp_model::kernel::{Jiffies, Ticks};

use self::axes::{Admission, Quota, Timeout};
use self::book::{Book, Entry, Map, Scope};
use self::expression::Expression;
use self::victim::{Order, Ranked, Sampled, Score, Share, Victim};
use super::random::Stream;
use super::tape::{Tape, ending};

/// Who goes when something is full.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Nobody: the newcomer is refused.
    Nobody,
    /// The engine's own: the oldest of the newcomer's class and master.
    Oldest,
    /// First by an order.
    Ranked(Order, Scope),
    /// The owner who holds most gives its oldest.
    Share(Scope),
    /// Any.
    Random(Scope),
    /// Of so many drawn, the one whose time is up first.
    BestOf(u32, Scope),
    /// Of so many drawn, the one with the least hit density.
    Hazard(u32, Scope),
    /// The one with the least score; of so many drawn, or of all if 0.
    Least(Expression, u32, Scope),
}

/// Makes a victim rule of the user's own.
pub type Own = Arc<dyn Fn() -> Box<dyn Victim> + Send + Sync>;

/// A policy, as a description.
#[derive(Clone)]
pub struct Spec {
    /// As it was asked for.
    pub name: String,
    /// May a newcomer come in?
    pub admission: Admission,
    /// How many may an owner hold?
    pub quota: Option<Quota>,
    /// Who goes when the class is full?
    pub class_full: Choice,
    /// Who goes when the table is full?
    pub table_full: Choice,
    /// How long does one live?
    pub timeout: Timeout,
    /// Whether the helpers' limits per class hold.
    pub class_limits: bool,
    /// A rule of the user's own for the full table.
    pub own: Option<Own>,
}

impl Spec {
    /// The kernel's.
    #[must_use]
    pub fn kernel() -> Self {
        Self {
            name: "kernel".into(),
            admission: Admission::All,
            quota: None,
            class_full: Choice::Oldest,
            table_full: Choice::Nobody,
            timeout: Timeout::Usual,
            class_limits: true,
            own: None,
        }
    }

    /// The kernel's, but a rule of the user's own decides who goes when the table is full.
    pub fn own(name: &str, own: impl Fn() -> Box<dyn Victim> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), own: Some(Arc::new(own)), ..Self::kernel() }
    }

    /// Whether it is the engine's own, axis by axis.
    #[must_use]
    pub fn is_kernel(&self) -> bool {
        self.admission == Admission::All
            && self.quota.is_none()
            && self.class_full == Choice::Oldest
            && self.table_full == Choice::Nobody
            && self.timeout == Timeout::Usual
            && self.own.is_none()
    }

    /// The eviction it describes.
    #[must_use]
    pub fn build(&self, surroundings: &Surroundings, tape: Arc<Tape>) -> Box<dyn Eviction> {
        if self.is_kernel() {
            return Box::new(Kernel { tape });
        }
        Box::new(Composed::new(self, surroundings, tape))
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What a policy is told of the world it works in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Ticks in a second.
    pub hz: u32,
    /// The seed of the run.
    pub seed: u64,
    /// Its replication.
    pub replication: u32,
    /// What a match is worth, by helper and class, where it is not 1.
    pub worth: Vec<((u16, u8), u32)>,
}

/// The engine's own choice, with somebody listening.
#[derive(Debug)]
struct Kernel {
    tape: Arc<Tape>,
}

impl Eviction for Kernel {
    fn inserted(&mut self, _: &Candidate, _: &dyn Table) {}

    #[inline]
    fn removed(&mut self, _: Jiffies, id: ExpectId, cause: Cause) {
        // The kernel evicts only within a full class: a full table refuses.
        self.tape.end(id.index(), ending(cause, Some(Pressure::ClassFull)));
    }

    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId> {
        Oldest.victim(pressure, newcomer, table)
    }

    fn decides(&self) -> bool {
        false
    }
}

/// Four axes as one eviction.
#[derive(Debug)]
struct Composed {
    tape: Arc<Tape>,
    book: Book,
    start: Jiffies,
    worth: Map<u32, u32>,
    admission: Admission,
    tokens: Map<u64, (f64, i64)>,
    stream: Stream,
    quota: Option<(Quota, Ranked)>,
    class_oldest: bool,
    class_full: Option<Box<dyn Victim>>,
    table_full: Option<Box<dyn Victim>>,
    timeout: Timeout,
    pressure: Option<Pressure>,
}

impl Composed {
    fn new(spec: &Spec, surroundings: &Surroundings, tape: Arc<Tape>) -> Self {
        let Surroundings { hz, seed, replication, worth } = surroundings;
        let stream = |purpose: &str| Stream::keyed(*seed, *replication, "policy", purpose);
        let rule = |choice: &Choice, purpose: &str| -> Option<Box<dyn Victim>> {
            let drawn = |score, k: u32, scope| -> Option<Box<dyn Victim>> {
                Some(Box::new(Sampled::new(score, scope, k, stream(purpose))))
            };
            match choice {
                Choice::Nobody | Choice::Oldest => None,
                Choice::Ranked(order, scope) => Some(Box::new(Ranked::new(*order, *scope))),
                Choice::Share(scope) => Some(Box::new(Share::new(*scope))),
                Choice::Random(scope) => drawn(Score::Alike, 1, *scope),
                Choice::BestOf(k, scope) => drawn(Score::Remaining, *k, *scope),
                Choice::Hazard(k, scope) => drawn(Score::HitDensity, *k, *scope),
                Choice::Least(expression, k, scope) => {
                    drawn(Score::Of(expression.clone()), *k, *scope)
                }
            }
        };
        let quota = spec.quota.clone();
        let key = |&((helper, class), worth): &((u16, u8), u32)| {
            (u32::from(helper) << 2 | u32::from(class), worth)
        };
        Self {
            tape,
            book: Book::new(*hz),
            start: Jiffies::initial(*hz),
            worth: worth.iter().map(key).collect(),
            admission: spec.admission.clone(),
            tokens: Map::default(),
            stream: stream("admission"),
            quota: quota.map(|quota| {
                let oldest = Ranked::new(Order::Oldest, quota.scope);
                (quota, oldest)
            }),
            class_oldest: spec.class_full == Choice::Oldest,
            class_full: rule(&spec.class_full, "class-full"),
            table_full: match &spec.own {
                Some(own) => Some(own()),
                None => rule(&spec.table_full, "table-full"),
            },
            timeout: spec.timeout.clone(),
            pressure: None,
        }
    }

    /// Takes note of the moment, and of what was touched since the last one.
    fn catch_up(&mut self, now: Jiffies) {
        self.book.now = now.ticks_from(self.start);
        let Some(slot) = self.tape.take_touched() else { return };
        let now = self.book.now;
        let Some(entry) = self.book.touch(slot, now) else { return };
        if entry.hits == 1 {
            self.book.delays.ended(entry.class, now - entry.born, true);
        }
        for victim in [&mut self.class_full, &mut self.table_full].into_iter().flatten() {
            victim.inserted(&entry, &self.book);
        }
    }

    fn entry(&self, about: &Candidate, table: &dyn Table) -> Entry {
        let helper = table.helper(about.master).map_or(u32::MAX >> 2, |id| u32::from(id.place()));
        let class = helper << 2 | u32::from(about.class.number());
        let source = table.original(about.master).src.bits();
        let mixed = (source ^ source >> 64) as u64 ^ u64::from(about.net.0) << 48;
        let now = about.now.ticks_from(self.start);
        let (index, generation) = (about.master.index(), about.master.generation());
        Entry {
            id: about.id,
            seq: self.book.inserted_so_far(),
            class,
            master: u64::from(generation) << 30 ^ u64::from(index),
            source: mixed,
            net: about.net.0,
            // What may come from anywhere is announced without a source address.
            wide: about.tuple.src == nfexp_model::tuple::Addr::default(),
            worth: self.worth.get(&class).copied().unwrap_or(1),
            born: now,
            expires: about.expires.ticks_from(self.start),
            hits: 0,
            touched: now,
        }
    }

    fn look_up(&mut self, about: &Candidate, table: &dyn Table) -> Entry {
        self.catch_up(about.now);
        self.book.count = table.count(about.net);
        self.book.limit = table.limit();
        self.entry(about, table)
    }
}

impl Eviction for Composed {
    fn inserted(&mut self, about: &Candidate, table: &dyn Table) {
        let entry = self.look_up(about, table);
        self.book.insert(entry);
        if let Some((_, oldest)) = &mut self.quota {
            oldest.inserted(&entry, &self.book);
        }
        for victim in [&mut self.class_full, &mut self.table_full].into_iter().flatten() {
            victim.inserted(&entry, &self.book);
        }
    }

    fn removed(&mut self, now: Jiffies, id: ExpectId, cause: Cause) {
        self.tape.end(id.index(), ending(cause, self.pressure));
        self.catch_up(now);
        let matched = cause == Cause::Match;
        let Some(entry) = self.book.remove(id.index(), matched) else { return };
        if entry.hits == 0 {
            self.book.delays.ended(entry.class, self.book.now - entry.born, matched);
        }
        if let Some((_, oldest)) = &mut self.quota {
            oldest.removed(&entry);
        }
        for victim in [&mut self.class_full, &mut self.table_full].into_iter().flatten() {
            victim.removed(&entry);
        }
    }

    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId> {
        self.pressure = Some(pressure);
        if pressure == Pressure::ClassFull && self.class_oldest {
            return Oldest.victim(pressure, newcomer, table);
        }
        let entry = self.look_up(newcomer, table);
        let rule = match pressure {
            Pressure::ClassFull => self.class_full.as_mut(),
            Pressure::TableFull => self.table_full.as_mut(),
        };
        rule?.victim(&entry, &self.book)
    }

    fn admit(&mut self, newcomer: &Candidate, table: &dyn Table) -> Verdict {
        let entry = self.look_up(newcomer, table);
        self.pressure = None;
        let Self { admission, book, tokens, stream, .. } = self;
        if !admission.grants(&entry, book, tokens, stream) {
            return Verdict::Refused;
        }
        let Some((quota, oldest)) = &mut self.quota else { return Verdict::Granted };
        if !quota.is_met(&entry, &self.book) {
            return Verdict::Granted;
        }
        match oldest.victim(&entry, &self.book).filter(|_| quota.replaces) {
            Some(victim) => Verdict::InPlaceOf(victim),
            None => Verdict::Refused,
        }
    }

    fn lifetime(&mut self, newcomer: &Candidate, usual: Ticks, table: &dyn Table) -> Ticks {
        if self.timeout == Timeout::Usual {
            return usual;
        }
        let entry = self.look_up(newcomer, table);
        Ticks(self.timeout.ticks(&entry, usual.0, &self.book))
    }
}
