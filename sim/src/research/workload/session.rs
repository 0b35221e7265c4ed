// SPDX-License-Identifier: GPL-2.0-only
//! Recorded sessions, played again.
//!
//! ```text
//!  as it happened      every session at its own time
//!  drawn (the usual)   as many as there were, with replacement, each at its own time
//!  by an arrival law   each session one of the recorded ones, drawn
//! ```
//!
//! The rule that matters: a session keeps its own distances, and its destinations are nobody
//! else's.

use std::sync::Arc;

use super::{MasterState, Micros, NEVER, Pending, What, Who, Workload, behind, jiffy, micros};
use crate::research::cast::Cast;
use crate::research::law::{Arrivals, Place};
use crate::research::random::Stream;
use crate::research::recorded::Recorded;
use crate::research::scenario::Scenario;

/// A recording being played.
#[derive(Debug)]
pub(super) struct Played {
    recorded: Arc<Recorded>,
    /// The kind of the first sort; the others follow.
    first_kind: u16,
    timeout_ticks: Vec<u64>,
    /// The sessions to come, the next one last; unless they come by a law.
    order: Vec<u32>,
    arrivals: Option<Arrivals>,
    place: Place,
    when: Stream,
    which: Stream,
}

impl Played {
    /// All recordings of a scenario; their kinds come after those of `classes` classes.
    pub(super) fn all(
        scenario: &Scenario,
        cast: &Cast,
        classes: usize,
        (seed, replication, hz): (u64, u32, u32),
    ) -> Vec<Self> {
        let mut first = classes;
        let mut all = Vec::new();
        for spec in &scenario.recordings {
            let stream = |purpose: &str| Stream::keyed(seed, replication, &spec.name, purpose);
            let mut which = stream("sessions");
            let recorded = Arc::clone(&spec.recorded);
            let count = recorded.sessions.len() as u32;
            let mut order: Vec<u32> = match (spec.as_it_happened, &spec.arrivals) {
                (_, Some(_)) => Vec::new(),
                (true, None) => (0..count).collect(),
                (false, None) => (0..count).map(|_| which.below(count)).collect(),
            };
            // Sessions are sorted by their begin.
            order.sort_unstable_by(|a, b| b.cmp(a));
            let kinds = &cast.kinds[first..first + recorded.sorts.len()];
            let ticks = kinds.iter().map(|kind| u64::from(kind.timeout_secs) * u64::from(hz));
            all.push(Self {
                first_kind: u16::try_from(first).expect("few kinds"),
                timeout_ticks: ticks.collect(),
                order,
                arrivals: spec.arrivals.as_ref().map(|arrivals| arrivals.value.clone()),
                place: Place::default(),
                when: stream("arrivals"),
                which,
                recorded,
            });
            first += kinds.len();
        }
        all
    }
}

impl Workload {
    pub(super) fn next_recorded(&mut self, tape: u16) {
        let played = &mut self.tapes[usize::from(tape)];
        let end = behind(self.horizon, 0);
        let at = match &played.arrivals {
            Some(law) => law.next(&mut played.place, &mut played.when, end).map(micros),
            None => played.order.last().map(|next| played.recorded.sessions[*next as usize].begins),
        };
        if let Some(at) = at.filter(|at| *at <= self.horizon) {
            self.queue.begin(self.kinds.len() + usize::from(tape), at);
        }
    }

    /// A session begins: its master opens, and what it says is known.
    pub(super) fn begin(&mut self, at: Micros, tape: u16) -> What {
        let master = self.free_master();
        self.fresh_sources = self.fresh_sources.wrapping_add(1);
        let played = &mut self.tapes[usize::from(tape)];
        let recorded = Arc::clone(&played.recorded);
        let count = recorded.sessions.len() as u32;
        let by_law = played.arrivals.is_some();
        let number = match by_law {
            true => played.which.below(count),
            false => played.order.pop().expect("it was looked at before"),
        };
        let session = &recorded.sessions[number as usize];
        let sort = session.said.first().map_or(0, |said| said.sort);
        let longest = played.timeout_ticks.iter().copied().max().unwrap_or(0);
        let who = Who {
            kind: played.first_kind + sort,
            // Who is drawn again is another one with the same habits, at the same address.
            member: if by_law { u32::MAX } else { number },
            source: if by_law { self.fresh_sources } else { session.source },
            net: 0,
            zone: session.zone,
        };
        // Who was not seen to end stays until nothing it announced can stand any more.
        let last = session.said.last().map_or(0, |said| said.at);
        let usual = last + (longest * 9 / 8 + 2 * self.hz) * 1_000_000 / self.hz;
        let closes = at.saturating_add(session.closes.unwrap_or(usual));
        self.masters[master as usize] =
            MasterState { who, open: true, closes, ..MasterState::default() };
        let key = self.next_key + 1;
        let whom = session.said.iter().map(|said| u64::from(said.whom)).max().unwrap_or(0);
        self.next_key += whom + 1;
        for (said, one) in session.said.iter().enumerate() {
            let (session, said) = (number, said as u32);
            let say = Pending::Say { tape, session, said, master, began: at, key };
            self.queue.enter(at.saturating_add(one.at), say);
        }
        self.queue.enter(closes, Pending::Close { master });
        self.next_recorded(tape);
        What::Open { master, who }
    }

    pub(super) fn say(&mut self, at: Micros, pending: Pending) -> Option<What> {
        let Pending::Say { tape, session, said, master, began, key } = pending else {
            return None;
        };
        let played = &self.tapes[usize::from(tape)];
        let recorded = Arc::clone(&played.recorded);
        let said = &recorded.sessions[session as usize].said[said as usize];
        let (kind, key) = (played.first_kind + said.sort, key + u64::from(said.whom));
        let gone = jiffy(at, self.hz) + played.timeout_ticks[usize::from(said.sort)];
        let closes = self.masters[master as usize].closes;
        let mut arrives = NEVER;
        for after in &said.arrivals {
            let time = began.saturating_add(*after);
            if time >= closes || time > self.horizon {
                continue;
            }
            let useful = jiffy(time, self.hz) < gone;
            self.queue.enter(time, Pending::Come { kind, master, key, useful });
            if useful {
                arrives = arrives.min(time);
            }
        }
        let withdrawn = said.withdrawn.map(|after| began.saturating_add(after));
        if let Some(time) = withdrawn.filter(|time| *time < closes && *time <= self.horizon) {
            self.queue.enter(time, Pending::Withdraw { kind, master, key });
        }
        Some(What::Announce { master, kind, key, arrives })
    }
}
