// SPDX-License-Identifier: GPL-2.0-only
//! What was recorded somewhere, as a workload: announcements and connections as they happened.
//!
//! *Session*: one master, from its first announcement on. *Sort*: announcements of one helper and
//! class. A capture goes through the helpers and the engine, without any limit, so that what is
//! found is what was asked for, not what a table granted; a log of `conntrack -E expect` is taken
//! at its word.
//!
//! ```text
//!  capture ─▶ router, no limits ─▶ events ─┐
//!  log     ─▶ lines ───────────────────────┴▶ Gather ─▶ sessions ─▶ workload, delays
//! ```
//!
//! Played again, whoever was not seen to come never comes, though some were only cut short: by the
//! recording's end, or by a timeout that is tried longer now. A log knows nothing of what a full
//! table refused, so a size found by the log of one is too small.
//!
//! The rule that matters: a log says that something ended, never why. What ends alone, before its
//! time and without a successor, is taken for a match; two of one master that end together, for
//! taken back.

mod capture;
mod log;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::workload::Micros;
use crate::opened;

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The first digits of the file's SHA-256.
    pub digest: String,
    /// From the first packet or line to the last.
    pub span: Micros,
    /// The sorts of announcements.
    pub sorts: Vec<Sort>,
    /// The sessions, in the order of their begin.
    pub sessions: Vec<Session>,
}

/// Announcements of one helper and class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The helper's name.
    pub helper: String,
    /// The class.
    pub class: u8,
    /// Whether a match leaves them in place.
    pub permanent: bool,
    /// Whether anybody may use the hole.
    pub wide: bool,
    /// How long they were to live, most often.
    pub timeout_secs: u32,
    /// How many one master had at once, at most.
    pub most: u32,
}

/// One master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// When it announced first, from the recording's begin.
    pub begins: Micros,
    /// Its address, by number of first appearance.
    pub source: u32,
    /// Its zone.
    pub zone: u16,
    /// When it ended, from its begin; unknown if it was not seen to.
    pub closes: Option<Micros>,
    /// What it announced, in order.
    pub said: Vec<Said>,
}

/// An announcement. Times count from its session's begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Micros,
    /// Which sort.
    pub sort: u16,
    /// Whom for, by number within the session: equal ones refresh each other.
    pub whom: u32,
    /// When its connection came; several times if it is permanent.
    pub arrivals: Vec<Micros>,
    /// When it was taken back.
    pub withdrawn: Option<Micros>,
    /// Until when it was watched: its end, or the recording's.
    pub watched: Micros,
}

impl Recorded {
    /// Reads a capture (pcap, pcapng, snoop) or a log of `conntrack -E expect -o timestamp`; `-`
    /// is standard input.
    /// `options` set up the router as for `nfexp replay --options`.
    ///
    /// # Errors
    /// What was expected, and where.
    pub fn read(path: &Path, options: &str) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("cannot read: {error}");
        let head = opened::begin(path).map_err(cannot)?;
        let mut file = Hashed::of(opened::open(path).map_err(cannot)?);
        let mut recorded = match is_log(&head) {
            true => log::read(file.clone())?,
            false => capture::read(file.clone(), options)?,
        };
        // What stands behind the last packet is part of the file.
        io::copy(&mut file, &mut io::sink()).map_err(cannot)?;
        recorded.digest = file.digest(options);
        Ok(recorded)
    }

    /// The same, where something must be announced in it.
    ///
    /// # Errors
    /// As [`Self::read`], or if nothing is.
    pub fn read_some(path: &Path, options: &str) -> Result<Self, String> {
        let recorded = Self::read(path, options)?;
        match recorded.sessions.is_empty() {
            true => Err("expected announcements, found none".into()),
            false => Ok(recorded),
        }
    }

    /// How many were announced, and how many of those came.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let said = || self.sessions.iter().flat_map(|session| &session.said);
        (said().count(), said().filter(|said| !said.arrivals.is_empty()).count())
    }
}

/// A file that may give its bytes once, and what those that were read come to.
#[derive(Clone)]
struct Hashed(Arc<Mutex<(Box<dyn Read + Send>, Sha256)>>);

impl Hashed {
    fn of(file: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Mutex::new((file, Sha256::new()))))
    }

    fn digest(self, options: &str) -> String {
        let mut hash = self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        hash.update(options);
        super::sweep::plan::hex(&hash.finalize(), 16)
    }
}

impl Read for Hashed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, hash) = &mut *shared;
        let read = file.read(bytes)?;
        hash.update(&bytes[..read]);
        Ok(read)
    }
}

/// Whether a file that begins so is a log of the tool, not a scenario and not a capture.
#[must_use]
pub fn is_log(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let second = text.get(1).copied().unwrap_or(0);
    match text.first() {
        Some(b'<') => true,
        Some(b'[') => second.is_ascii_digit() || text.starts_with(b"[NEW]"),
        Some(first) => first.is_ascii_digit(),
        None => false,
    }
}

/// Whether a file that begins so is a recording at all.
#[must_use]
pub fn is_recording(head: &[u8]) -> bool {
    is_log(head) || head.contains(&0) || head.starts_with(&[0x1f, 0x8b])
}

/// What is told of an announcement.
#[derive(Debug)]
struct Told<'a> {
    source: u128,
    zone: u16,
    helper: &'a str,
    class: u8,
    permanent: bool,
    wide: bool,
    secs: u32,
    whom: String,
}

/// Where an announcement was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    session: usize,
    said: usize,
}

/// Collects sessions; masters are known by `K`.
#[derive(Debug)]
struct Gather<K> {
    sessions: Vec<Session>,
    masters: BTreeMap<K, usize>,
    sources: BTreeMap<u128, u32>,
    sorts: Vec<Sort>,
    timeouts: Vec<BTreeMap<u32, u32>>,
    whom: BTreeMap<(usize, u16, String), u32>,
    linked: BTreeMap<(usize, u16), u32>,
}

impl<K: Ord> Gather<K> {
    /// So many kinds of expectations are told apart at most: no machine has so many helpers, and a kind
    /// is known by 16 bits.
    const MOST_SORTS: usize = 4096;

    fn new() -> Self {
        Self {
            sessions: Vec::new(),
            masters: BTreeMap::new(),
            sources: BTreeMap::new(),
            sorts: Vec::new(),
            timeouts: Vec::new(),
            whom: BTreeMap::new(),
            linked: BTreeMap::new(),
        }
    }

    fn sort(&mut self, told: &Told<'_>) -> u16 {
        let same = |sort: &Sort| {
            (sort.helper.as_str(), sort.class, sort.permanent, sort.wide)
                == (told.helper, told.class, told.permanent, told.wide)
        };
        let place = self.sorts.iter().position(same).unwrap_or_else(|| {
            let helper = told.helper.to_owned();
            let (class, permanent, wide) = (told.class, told.permanent, told.wide);
            self.sorts.push(Sort { helper, class, permanent, wide, timeout_secs: 1, most: 0 });
            self.timeouts.push(BTreeMap::new());
            self.sorts.len() - 1
        });
        *self.timeouts[place].entry(told.secs).or_default() += 1;
        // A helper has four classes: sorts are few, or `read` of a log has refused them.
        place as u16
    }

    fn said(&mut self, now: Micros, master: K, told: &Told<'_>) -> At {
        let sort = self.sort(told);
        let next = self.sources.len() as u32;
        let source = *self.sources.entry(told.source).or_insert(next);
        let fresh = self.sessions.len();
        let session = *self.masters.entry(master).or_insert(fresh);
        if session == fresh {
            let zone = told.zone;
            let (closes, said) = (None, Vec::new());
            self.sessions.push(Session { begins: now, source, zone, closes, said });
        }
        let number = self.sessions[session].said.len() as u32;
        let whom = *self.whom.entry((session, sort, told.whom.clone())).or_insert(number);
        let linked = self.linked.entry((session, sort)).or_default();
        *linked += 1;
        let most = &mut self.sorts[usize::from(sort)].most;
        *most = (*most).max(*linked);
        let state = &mut self.sessions[session];
        let at = now.saturating_sub(state.begins);
        let (arrivals, withdrawn) = (Vec::new(), None);
        state.said.push(Said { at, sort, whom, arrivals, withdrawn, watched: Micros::MAX });
        At { session, said: state.said.len() - 1 }
    }

    fn of(&mut self, at: At, now: Micros) -> (&mut Said, Micros) {
        let session = &mut self.sessions[at.session];
        let after = now.saturating_sub(session.begins);
        (&mut session.said[at.said], after)
    }

    fn arrived(&mut self, at: At, now: Micros) {
        let (said, after) = self.of(at, now);
        said.arrivals.push(after);
    }

    fn withdrawn(&mut self, at: At, now: Micros) {
        let (said, after) = self.of(at, now);
        said.withdrawn = Some(after);
    }

    fn ended(&mut self, at: At, now: Micros) {
        let (said, after) = self.of(at, now);
        said.watched = after;
        let sort = said.sort;
        if let Some(linked) = self.linked.get_mut(&(at.session, sort)) {
            *linked = linked.saturating_sub(1);
        }
    }

    fn closed(&mut self, master: &K, now: Micros) {
        if let Some(session) = self.masters.remove(master) {
            let session = &mut self.sessions[session];
            session.closes = Some(now.saturating_sub(session.begins));
        }
    }

    fn finish(mut self, span: Micros) -> Recorded {
        for (sort, timeouts) in self.sorts.iter_mut().zip(&self.timeouts) {
            // The most frequent; of several the longest.
            let most = timeouts.iter().max_by_key(|(secs, count)| (**count, **secs));
            sort.timeout_secs = most.map_or(1, |(secs, _)| (*secs).max(1));
        }
        for session in &mut self.sessions {
            let end = span.saturating_sub(session.begins);
            for said in &mut session.said {
                said.watched = said.watched.min(end);
            }
        }
        self.sessions.sort_by_key(|session| session.begins);
        let Self { sorts, sessions, .. } = self;
        Recorded { digest: String::new(), span, sorts, sessions }
    }
}
