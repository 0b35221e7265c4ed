// SPDX-License-Identifier: GPL-2.0-only
//! The book: what policies may know of the table, kept once for all of them.
//!
//! *Entry*: a linked expectation with its owners. *Owner*: a class, master, source, namespace or
//! the table. The engine tells of every insertion and end; the book keeps entries by slot and
//! counts by owner, so that no policy walks anything.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use nfexp_model::expectation::ExpectId;

use super::delays::Delays;

/// An expectation, as a policy sees it. Times are ticks since the start.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub id: ExpectId,
    /// How many were inserted before it.
    pub seq: u64,
    /// Its helper and class: its kind, as far as a kernel sees.
    pub class: u32,
    /// Its master.
    pub master: u64,
    /// Who opened its master: the address, and the namespace.
    pub source: u64,
    /// Its namespace.
    pub net: u16,
    /// Whether anybody may use the hole.
    pub wide: bool,
    /// What a match is worth.
    pub worth: u32,
    /// When it was inserted.
    pub born: i64,
    /// When it expires.
    pub expires: i64,
    /// How often it was matched, if it is permanent.
    pub hits: u32,
    /// When last; when it was born if never.
    pub touched: i64,
}

/// Whose expectations a question is about. The limit is a namespace's: each scope ends there, for
/// nobody elsewhere could make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One class of one master.
    Class,
    /// One master.
    Master,
    /// One source.
    Source,
    /// One kind of announcement, whoever makes it.
    Kind,
    /// One namespace.
    Net,
    /// All that share the limit: those of the namespace.
    Table,
}

impl Scope {
    /// All, with their words.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Class, "class"),
        (Self::Master, "master"),
        (Self::Source, "source"),
        (Self::Kind, "kind"),
        (Self::Net, "net"),
        (Self::Table, "table"),
    ];

    /// The scope of this word.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == word);
        let names: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
        let expected = || format!("expected one of {}, not `{word}`", names.join(", "));
        found.map(|(scope, _)| *scope).ok_or_else(expected)
    }

    /// Whose an entry is.
    #[must_use]
    pub fn owner(self, entry: &Entry) -> u64 {
        match self {
            Self::Class => entry.master << 2 | u64::from(entry.class & 3),
            Self::Master => entry.master,
            Self::Source => entry.source,
            Self::Kind => u64::from(entry.net) << 32 | u64::from(entry.class),
            Self::Net | Self::Table => u64::from(entry.net),
        }
    }
}

/// What is remembered of an owner.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    /// How many are linked now.
    pub live: u32,
    /// How many ended.
    pub ended: u32,
    /// How many of those by a match.
    pub matched: u32,
}

impl Record {
    /// The share that was matched, half if nothing is known; fades towards it.
    #[must_use]
    pub fn match_share(&self) -> f64 {
        f64::from(self.matched + 1) / f64::from(self.ended + 2)
    }
}

/// What policies may know.
#[derive(Debug)]
pub struct Book {
    /// Now, in ticks since the start.
    pub now: i64,
    /// Ticks in a second.
    pub hz: u32,
    /// How many the newcomer's namespace holds, and may hold.
    pub count: u32,
    /// The limit of the table.
    pub limit: u32,
    /// How long entries of each kind waited for their match.
    pub delays: Delays,
    entries: Vec<Option<Entry>>,
    owners: [Map<u64, Record>; 5],
    inserted: u64,
}

impl Book {
    /// An empty one.
    #[must_use]
    pub fn new(hz: u32) -> Self {
        Self {
            now: 0,
            hz,
            count: 0,
            limit: 0,
            delays: Delays::new(hz),
            entries: Vec::new(),
            owners: Default::default(),
            inserted: 0,
        }
    }

    /// How many were inserted so far: the age of the next.
    #[must_use]
    pub fn inserted_so_far(&self) -> u64 {
        self.inserted
    }

    /// What is linked in a slot.
    #[inline]
    #[must_use]
    pub fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// What is remembered of an owner.
    #[must_use]
    pub fn record(&self, scope: Scope, owner: u64) -> Record {
        let scope = if scope == Scope::Table { Scope::Net } else { scope };
        self.owners[scope as usize].get(&owner).copied().unwrap_or_default()
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let slot = entry.id.index() as usize;
        if slot >= self.entries.len() {
            self.entries.resize(slot + 1, None);
        }
        self.entries[slot] = Some(entry);
        self.inserted += 1;
        for (at, (scope, _)) in Scope::ALL[..5].iter().enumerate() {
            self.owners[at].entry(scope.owner(&entry)).or_default().live += 1;
        }
    }

    pub(super) fn touch(&mut self, slot: u32, now: i64) -> Option<Entry> {
        let entry = self.entries.get_mut(slot as usize)?.as_mut()?;
        entry.hits += 1;
        entry.touched = now;
        Some(*entry)
    }

    pub(super) fn remove(&mut self, slot: u32, matched: bool) -> Option<Entry> {
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        for (at, (scope, _)) in Scope::ALL[..5].iter().enumerate() {
            let owner = scope.owner(&entry);
            let Some(record) = self.owners[at].get_mut(&owner) else { continue };
            record.live -= 1;
            record.ended += 1;
            record.matched += u32::from(matched || entry.hits > 0);
            if record.ended > 1 << 12 {
                // The past fades, so that who changes is seen to change.
                record.ended /= 2;
                record.matched /= 2;
            }
            // Masters and classes of theirs come and go: nothing is remembered of those.
            if record.live == 0 && matches!(scope, Scope::Class | Scope::Master) {
                self.owners[at].remove(&owner);
            }
        }
        let sources = &mut self.owners[Scope::Source as usize];
        if sources.len() > 1 << 17 {
            sources.retain(|_, record| record.live > 0);
        }
        Some(entry)
    }
}

/// A map nobody iterates in an order that shows.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// A fast hash of small keys, the same everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
