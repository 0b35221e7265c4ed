// SPDX-License-Identifier: GPL-2.0-only
//! A divergence made small: fewer operations that show it as well.
//!
//! *Witness*: a model that agrees with the whole recording. What a kernel would have answered
//! without some of its operations nobody knows; the witness says it in the kernel's place.
//!
//! ```text
//!   lines ─▶ halves, quarters, … single ones, pairs left out ─▶ witness │ model ─▶ still part?
//! ```
//!
//! What is tried is bounded by what it takes ([`SEARCH`], [`TRIALS`]), so that a long recording ends
//! in time, too, if in more steps than it needs.
//!
//! The rule that matters: a second by which the kernel's clock was off stays in the witness's
//! words as it was recorded. Without a witness only lines are left out that change nothing of
//! either answer.

use std::collections::BTreeMap;
use std::fmt;

use nfexp_model::kernel::Up;
use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{
    Answer, Difference, Event, ExpAt, Header, Line, Operation, Row, Whose,
};

use super::Player;
use super::run::{Divergence, check, difference};

/// Up to how many items pairs are tried: one that takes memory and one that gives it back, say.
const PAIRED: usize = 48;

/// How much is played to find a witness among single knobs; more, and only revisions are tried.
/// In operations, and what they make or list.
const SEARCH: u64 = 1 << 25;
/// How much is played to leave lines out; of a long recording more: so many times all of it.
const TRIALS: u64 = 1 << 21;
const TIMES: u64 = 24;

/// A kernel that answers everything that was recorded as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The kernel.
    pub revision: Revision,
    /// The knob that tells it from the model that was asked, if it is one.
    pub knob: Option<&'static str>,
}

impl Witness {
    /// What explains a recording, for programs: a knob, or else a revision.
    #[must_use]
    pub fn told(self) -> (Option<&'static str>, Option<&'static str>) {
        (self.knob, self.knob.is_none().then_some(self.revision.name))
    }

    /// The witness of a recording: `revision` with one knob turned, or another revision.
    #[must_use]
    pub fn of(header: &Header, lines: &[Line], revision: Revision) -> Option<Self> {
        let turned = Revision::ALL.iter().flat_map(|other| {
            let knobs = revision.differing_knobs(other).into_iter();
            knobs.filter_map(|knob| Some((revision.with_knob_of(knob, other)?, Some(knob))))
        });
        let mut turned: Vec<_> = turned.collect();
        if all_work(lines).saturating_mul(turned.len() as u64) > SEARCH {
            turned.clear();
        }
        let others = Revision::ALL.into_iter().map(|kernel| (kernel, None));
        turned
            .into_iter()
            .chain(others)
            .filter(|(kernel, _)| *kernel != revision)
            .find(|(kernel, _)| check(header, lines, *kernel).is_none())
            .map(|(revision, knob)| Self { revision, knob })
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.knob {
            Some(knob) => write!(f, "with the knob `{knob}` turned the model agrees"),
            None => write!(f, "{} agrees", self.revision.name),
        }
    }
}

/// A recording that shows a divergence, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Its lines, numbered anew, and so are their handles; the last is the one that diverges.
    pub lines: Vec<Line>,
    /// Who answers in the kernel's place.
    pub witness: Option<Witness>,
    /// Whether everything was tried; else some of it may not be needed.
    pub is_least: bool,
}

/// Leaves out of a recording whatever its divergence does not need.
#[must_use]
pub fn shrink(
    header: &Header,
    lines: &[Line],
    revision: Revision,
    divergence: &Divergence,
) -> Shrunk {
    let lines = &lines[..=divergence.place];
    let witness = Witness::of(header, lines, revision);
    let right = witness.map(|witness| witness.revision);
    let attempt = Attempt { header, revision, witness: right, wanted: &divergence.difference };
    let (mut best, mut left) = (None, TRIALS.max(all_work(lines).saturating_mul(TIMES)));
    let shows = |kept: &[&Line]| {
        let shorter = attempt.replay(kept, &mut left);
        let shows = shorter.is_some();
        best = shorter.or_else(|| best.take());
        if left > 0 { Ok(shows) } else { Err(Spent) }
    };
    let is_least = reduce(lines.iter().collect(), shows).is_ok();
    Shrunk { lines: best.unwrap_or_else(|| lines.to_vec()), witness, is_least }
}

/// All that may be played was.
struct Spent;

fn all_work(lines: &[Line]) -> u64 {
    lines.iter().map(|line| work(&line.operation, &line.answer)).sum()
}

/// What an operation takes, in such operations as make or list one thing.
fn work(operation: &Operation, answer: &Answer) -> u64 {
    let filled = match operation {
        Operation::Fill(fill) => fill.count(),
        _ => 0,
    };
    let lists = [
        answer.ev.as_ref().map_or(0, Vec::len),
        answer.dump.as_ref().map_or(0, Vec::len),
        answer.proc.as_ref().map_or(0, Vec::len),
    ];
    1 + filled + lists.into_iter().sum::<usize>() as u64
}

/// Leaves out of a list whatever it does not need in order to show something; the last item
/// stays. First `shows` is asked of the whole list: if not even that shows it, it stays whole.
///
/// # Errors
/// What `shows` fails with.
pub fn reduce<T: Clone, E>(
    mut kept: Vec<T>,
    mut shows: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    if !shows(&kept)? {
        return Ok(kept);
    }
    loop {
        let mut chunk = kept.len() / 2;
        while chunk >= 1 {
            let (mut from, before) = (0, kept.len());
            while from + 1 < kept.len() {
                let to = (from + chunk).min(kept.len() - 1);
                let mut fewer = kept.clone();
                fewer.drain(from..to);
                match shows(&fewer)? {
                    true => kept = fewer,
                    false => from = to,
                }
            }
            // What is gone may have been all that another was needed for.
            if chunk > 1 || kept.len() == before {
                chunk /= 2;
            }
        }
        match without_a_pair(&kept, &mut shows)? {
            Some(fewer) => kept = fewer,
            None => return Ok(kept),
        }
    }
}

fn without_a_pair<T: Clone, E>(
    kept: &[T],
    shows: &mut impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Option<Vec<T>>, E> {
    if kept.len() > PAIRED {
        return Ok(None);
    }
    for second in 1..kept.len().saturating_sub(1) {
        for first in 0..second {
            let mut fewer = kept.to_vec();
            fewer.remove(second);
            fewer.remove(first);
            if shows(&fewer)? {
                return Ok(Some(fewer));
            }
        }
    }
    Ok(None)
}

/// How fewer lines are tried.
struct Attempt<'a> {
    header: &'a Header,
    revision: Revision,
    witness: Option<Revision>,
    wanted: &'a Difference,
}

impl Attempt<'_> {
    /// The lines, numbered anew, if the model agrees with all but the last, in which it differs
    /// as it did. Takes what it plays from what is `left`.
    fn replay(&self, lines: &[&Line], left: &mut u64) -> Option<Vec<Line>> {
        let tol = self.header.tol;
        let mut player = Player::<Up>::of_revision(self.header, self.revision).ok()?;
        let mut witness = match self.witness {
            Some(right) => Some(Player::<Up>::of_revision(self.header, right).ok()?),
            None => None,
        };
        let mut handles = Handles::default();
        let mut done = Vec::with_capacity(lines.len());
        for (i, line) in lines.iter().enumerate() {
            let operation = handles.rename(&line.operation);
            let answer = match &mut witness {
                Some(witness) => {
                    let mut said = witness.answer(&operation);
                    let recorded = handles.paired(line, &said);
                    keep_seconds(&mut said, &recorded, tol);
                    Answer { order: recorded.order, ..said }
                }
                None => handles.numbered(line),
            };
            let line = Line { i: i as u64, t: line.t, operation, answer };
            let last = i + 1 == lines.len();
            let found = difference(&mut player, tol, &line.operation, &line.answer);
            let answer = found.as_ref().map_or(&line.answer, |(answer, _)| answer);
            *left = left.saturating_sub(work(&line.operation, answer));
            match found {
                Ok((_, None)) if !last => {}
                Ok((_, Some(found))) if last && self.is_wanted(&found) => {}
                Err(_) if last && self.wanted.field == "run" => {}
                _ => return None,
            }
            done.push(line);
        }
        Some(done)
    }

    fn is_wanted(&self, found: &Difference) -> bool {
        let same_words = || {
            without_handles(&found.kernel) == without_handles(&self.wanted.kernel)
                && without_handles(&found.model) == without_handles(&self.wanted.model)
        };
        found.field == self.wanted.field && (self.witness.is_some() || same_words())
    }
}

/// What is said, but for the numbers of the handles.
fn without_handles(said: &str) -> String {
    let mut parts = said.split("\"e\":");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += part.trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    text
}

/// What the handles of a recording are called when some of them are left out.
#[derive(Default)]
struct Handles {
    new: BTreeMap<u64, u64>,
    made: u64,
}

impl Handles {
    /// A handle that was left out is one that nobody has.
    fn of(&self, handle: u64) -> u64 {
        self.new.get(&handle).copied().unwrap_or(0)
    }

    fn rename(&self, operation: &Operation) -> Operation {
        let mut operation = operation.clone();
        if let Operation::ExpGet(ExpAt { id: Some(id), .. })
        | Operation::ExpDel(ExpAt { id: Some(id), .. }) = &mut operation
            && let Whose::Handle(handle) = &mut id.of
        {
            *handle = self.of(*handle);
        }
        operation
    }

    /// A recorded answer with the numbers that a witness gave.
    fn paired(&mut self, line: &Line, said: &Answer) -> Answer {
        let recorded = line.answer.events().iter().filter_map(begun);
        for (old, new) in recorded.zip(said.events().iter().filter_map(begun)) {
            self.new.insert(old, new);
        }
        self.renamed(&line.answer)
    }

    /// A recorded answer with numbers that leave nothing out.
    fn numbered(&mut self, line: &Line) -> Answer {
        for old in line.answer.events().iter().filter_map(begun) {
            self.made += 1;
            self.new.insert(old, self.made);
        }
        if let (Operation::Fill(_), Some(made)) = (&line.operation, line.answer.made) {
            self.made += made;
        }
        self.renamed(&line.answer)
    }

    fn renamed(&self, answer: &Answer) -> Answer {
        let mut answer = answer.clone();
        for event in answer.ev.iter_mut().flatten() {
            if let Event::ExpNew { e, .. } | Event::ExpDestroy { e, .. } = event {
                *e = self.of(*e);
            }
        }
        if let Some(handle) = &mut answer.id_of {
            *handle = self.of(*handle);
        }
        for row in answer.dump.iter_mut().flatten() {
            if let Row::Expectation { e, .. } = row {
                *e = self.of(*e);
            }
        }
        answer
    }
}

/// Puts the recorded seconds into what is said of the same expectations.
fn keep_seconds(said: &mut Answer, recorded: &Answer, tol: i64) {
    let keep = |said: &mut i64, recorded: Option<i64>| {
        *said = recorded.filter(|to| (*to - *said).abs() <= tol).unwrap_or(*said);
    };
    let told = |event: &Event| match *event {
        Event::ExpNew { e, to, .. } => Some(((e, true), to)),
        Event::ExpDestroy { e, to, .. } => Some(((e, false), to)),
        _ => None,
    };
    let events: BTreeMap<_, _> = recorded.events().iter().filter_map(told).collect();
    for event in said.ev.iter_mut().flatten() {
        let recorded = told(event).and_then(|(which, _)| events.get(&which).copied());
        if let Event::ExpNew { to, .. } | Event::ExpDestroy { to, .. } = event {
            keep(to, recorded);
        }
    }
    let row = |row: &Row| match row {
        Row::Expectation { e, to } => Some((*e, *to)),
        Row::Connection { .. } => None,
    };
    let rows: BTreeMap<_, _> = recorded.dump.iter().flatten().filter_map(row).collect();
    for row in said.dump.iter_mut().flatten() {
        if let Row::Expectation { e, to } = row {
            keep(to, rows.get(e).copied());
        }
    }
    let lines: BTreeMap<_, _> =
        recorded.proc.iter().flatten().map(|(to, text)| (text.clone(), *to)).collect();
    for (to, text) in said.proc.iter_mut().flatten() {
        keep(to, lines.get(text).copied());
    }
}

fn begun(event: &Event) -> Option<u64> {
    match event {
        Event::ExpNew { e, .. } => Some(*e),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_must_go_together_goes_together() {
        // 3 needs 7, 7 needs 3; 9 is what it is about.
        let shows = |kept: &[u32]| {
            let pair = kept.contains(&3) == kept.contains(&7);
            Ok::<_, Infallible>(pair && kept.contains(&5) && kept.ends_with(&[9]))
        };
        assert_eq!(reduce((0..10).collect(), shows), Ok(vec![5, 9]));
        let never = |_: &[u32]| Ok::<_, Infallible>(false);
        assert_eq!(reduce((0..10).collect(), never), Ok((0..10).collect()));
    }
}
