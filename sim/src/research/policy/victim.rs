// SPDX-License-Identifier: GPL-2.0-only
//! Who goes: the third axis.
//!
//! ```text
//!  Ranked    first by a rank that is fixed, or moves when an entry is touched; an ordered index
//!  Share     the owner who holds most, and of its entries the oldest
//!  Sampled   the lowest of k drawn entries by a score that changes with time
//! ```
//!
//! To add one of your own: a type with the three methods of [`Victim`], and a
//! [`Spec::own`](super::Spec::own) that makes it; `sim/examples/own_policy.rs` is a whole one.
//!
//! The rule that matters: no walk over the table. An index answers in logarithmic time, a sample
//! in constant.

use std::collections::BTreeSet;
use std::fmt::Debug;

use nfexp_model::expectation::ExpectId;

use super::book::{Book, Entry, Map, Scope};
use super::expression::Expression;
use crate::research::random::Stream;

/// Chooses who makes room. All it hears, it hears in order.
pub trait Victim: Send + Debug {
    /// An entry was inserted, or touched by a match that left it (then it is told again).
    fn inserted(&mut self, entry: &Entry, book: &Book);
    /// An entry ended.
    fn removed(&mut self, entry: &Entry);
    /// Who goes for the newcomer; `None` refuses it.
    fn victim(&mut self, newcomer: &Entry, book: &Book) -> Option<ExpectId>;
}

/// A fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Oldest,
    /// The youngest first.
    Newest,
    /// The one that expires first.
    Soonest,
    /// The one that expires last.
    Latest,
    /// The one whose last match is longest ago (LRU).
    LeastRecent,
    /// The one matched least often (LFU).
    LeastOften,
    /// The one that is worth least.
    Cheapest,
    /// The one with the widest hole.
    Widest,
}

impl Order {
    /// All, with their words.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Oldest, "oldest"),
        (Self::Newest, "newest"),
        (Self::Soonest, "soonest"),
        (Self::Latest, "latest"),
        (Self::LeastRecent, "lru"),
        (Self::LeastOften, "lfu"),
        (Self::Cheapest, "cheapest"),
        (Self::Widest, "widest"),
    ];

    fn rank(self, entry: &Entry) -> i64 {
        match self {
            Self::Oldest => 0,
            Self::Newest => -(entry.seq as i64),
            Self::Soonest => entry.expires,
            Self::Latest => -entry.expires,
            Self::LeastRecent => entry.touched,
            Self::LeastOften => i64::from(entry.hits),
            Self::Cheapest => i64::from(entry.worth),
            Self::Widest => -i64::from(entry.wide),
        }
    }
}

/// First by an order, ties to the oldest.
#[derive(Debug)]
pub struct Ranked {
    order: Order,
    scope: Scope,
    index: BTreeSet<(u64, i64, u64, u32)>,
    places: Map<u32, (u64, i64, u64)>,
}

impl Ranked {
    /// An empty index.
    #[must_use]
    pub fn new(order: Order, scope: Scope) -> Self {
        Self { order, scope, index: BTreeSet::new(), places: Map::default() }
    }
}

impl Victim for Ranked {
    fn inserted(&mut self, entry: &Entry, _: &Book) {
        self.removed(entry);
        let place = (self.scope.owner(entry), self.order.rank(entry), entry.seq);
        self.places.insert(entry.id.index(), place);
        self.index.insert((place.0, place.1, place.2, entry.id.index()));
    }

    fn removed(&mut self, entry: &Entry) {
        if let Some(place) = self.places.remove(&entry.id.index()) {
            self.index.remove(&(place.0, place.1, place.2, entry.id.index()));
        }
    }

    fn victim(&mut self, newcomer: &Entry, book: &Book) -> Option<ExpectId> {
        let owner = self.scope.owner(newcomer);
        let first = self.index.range((owner, i64::MIN, 0, 0)..).next()?;
        (first.0 == owner).then(|| book.entry(first.3)).flatten().map(|entry| entry.id)
    }
}

/// The oldest of the owner who holds most of its namespace; the newcomer counts with its owner.
#[derive(Debug)]
pub struct Share {
    scope: Scope,
    held: Map<u64, BTreeSet<(u64, u32)>>,
    /// Of each namespace, by how much they hold, and of equals the one whose oldest is the oldest
    /// last.
    owners: BTreeSet<(u16, u32, u64, u64)>,
}

impl Share {
    /// Nobody holds anything.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self { scope, held: Map::default(), owners: BTreeSet::new() }
    }

    fn move_owner(
        &mut self,
        entry: &Entry,
        change: impl FnOnce(&mut BTreeSet<(u64, u32)>) -> bool,
    ) {
        let owner = self.scope.owner(entry);
        let held = self.held.entry(owner).or_default();
        if let Some(place) = place_of(entry.net, owner, held) {
            self.owners.remove(&place);
        }
        change(held);
        match place_of(entry.net, owner, held) {
            None => self.held.remove(&owner).is_some(),
            Some(place) => self.owners.insert(place),
        };
    }
}

fn place_of(net: u16, owner: u64, held: &BTreeSet<(u64, u32)>) -> Option<(u16, u32, u64, u64)> {
    let oldest = held.first()?.0;
    Some((net, held.len() as u32, u64::MAX - oldest, owner))
}

impl Victim for Share {
    fn inserted(&mut self, entry: &Entry, _: &Book) {
        let item = (entry.seq, entry.id.index());
        self.move_owner(entry, |held| held.insert(item));
    }

    fn removed(&mut self, entry: &Entry) {
        let item = (entry.seq, entry.id.index());
        self.move_owner(entry, |held| held.remove(&item));
    }

    fn victim(&mut self, newcomer: &Entry, book: &Book) -> Option<ExpectId> {
        let net = newcomer.net;
        let of_net = (net, 0, 0, 0)..=(net, u32::MAX, u64::MAX, u64::MAX);
        let (_, most, _, greatest) = *self.owners.range(of_net).next_back()?;
        // The newcomer's own gives if it would hold more than all others.
        let own = self.scope.owner(newcomer);
        let own_holds = self.held.get(&own).map_or(0, |held| held.len() as u32);
        let owner = if own_holds > 0 && own_holds + 1 > most { own } else { greatest };
        let oldest = self.held[&owner].first()?.1;
        book.entry(oldest).map(|entry| entry.id)
    }
}

/// What a sample is judged by; the lowest goes.
#[derive(Clone, Debug)]
pub enum Score {
    /// All alike: the drawn one goes.
    Alike,
    /// What remains of its time.
    Remaining,
    /// What keeping it may still bring, by what was learned of its kind's waits.
    HitDensity,
    /// An expression of the user's.
    Of(Expression),
}

impl Score {
    fn of(&self, entry: &Entry, book: &Book) -> f64 {
        match self {
            Self::Alike => 0.0,
            Self::Remaining => (entry.expires - book.now) as f64,
            Self::HitDensity => {
                book.delays.density(entry.class, book.now - entry.born) * f64::from(entry.worth)
            }
            Self::Of(expression) => expression.value(entry, book),
        }
    }
}

/// The lowest of `k` entries drawn from a scope.
#[derive(Debug)]
pub struct Sampled {
    score: Score,
    scope: Scope,
    k: u32,
    stream: Stream,
    members: Map<u64, Vec<u32>>,
    places: Map<u32, (u64, u32)>,
}

impl Sampled {
    /// An empty one; `k` of 0 looks at all.
    #[must_use]
    pub fn new(score: Score, scope: Scope, k: u32, stream: Stream) -> Self {
        Self { score, scope, k, stream, members: Map::default(), places: Map::default() }
    }
}

impl Victim for Sampled {
    fn inserted(&mut self, entry: &Entry, _: &Book) {
        let slot = entry.id.index();
        if self.places.contains_key(&slot) {
            return;
        }
        let owner = self.scope.owner(entry);
        let members = self.members.entry(owner).or_default();
        self.places.insert(slot, (owner, members.len() as u32));
        members.push(slot);
    }

    fn removed(&mut self, entry: &Entry) {
        let Some((owner, place)) = self.places.remove(&entry.id.index()) else { return };
        let Some(members) = self.members.get_mut(&owner) else { return };
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize) {
            self.places.insert(*moved, (owner, place));
        }
        if members.is_empty() {
            self.members.remove(&owner);
        }
    }

    fn victim(&mut self, newcomer: &Entry, book: &Book) -> Option<ExpectId> {
        let members = self.members.get(&self.scope.owner(newcomer))?;
        let all = members.len() as u32;
        let looked = if self.k == 0 { all } else { self.k.min(all) };
        let mut lowest: Option<(f64, u64, ExpectId)> = None;
        for at in 0..looked {
            let place = if looked == all { at } else { self.stream.below(all) };
            let slot = match self.k {
                1 => members[self.stream.below(all) as usize],
                _ => members[place as usize],
            };
            let Some(entry) = book.entry(slot) else { continue };
            let score = self.score.of(entry, book);
            let lower = lowest.is_none_or(|(low, seq, _)| {
                score.total_cmp(&low).then(entry.seq.cmp(&seq)).is_lt()
            });
            if lower {
                lowest = Some((score, entry.seq, entry.id));
            }
        }
        lowest.map(|(_, _, id)| id)
    }
}
