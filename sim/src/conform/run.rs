// SPDX-License-Identifier: GPL-2.0-only
//! A recording, played until the model says something else than the kernel did; and made small.
//!
//! Shrinking leaves operations out. What a kernel would have answered without them nobody
//! knows. Where a *witness*, a model that agrees with the whole recording, can say it, its
//! answers take the place of the recorded ones; else a shorter recording counts only if the
//! model still agrees with all that is kept, and both sides say at the end what they said.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nfexp_model::kernel::Up;
use nfexp_model::kernel::platform::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{
    Answer, Difference, Event, ExpAt, Header, Line, Operation, Row, Whose, compare,
};

use super::Player;

/// Where model and kernel part.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// At which of the lines.
    pub place: usize,
    /// What the model answers.
    pub answer: Answer,
    /// The first difference between that and what the kernel said.
    pub difference: Difference,
}

/// Plays lines on a fresh model of `revision`; answers the first divergence.
///
/// What would crash a kernel is a divergence too.
#[must_use]
pub fn check(header: &Header, lines: &[Line], revision: Revision) -> Option<Divergence> {
    check_on::<Up>(header, lines, revision)
}

/// The same on another platform, one on which a kernel slips, say.
#[must_use]
pub fn check_on<P: Platform<Rcu = UpRcu>>(
    header: &Header,
    lines: &[Line],
    revision: Revision,
) -> Option<Divergence> {
    let mut player = match Player::<P>::of_revision(header, revision) {
        Ok(player) => player,
        Err(error) => return Some(crash(0, &error.to_string())),
    };
    for (place, line) in lines.iter().enumerate() {
        match difference(&mut player, header.tol, &line.operation, &line.answer) {
            Ok((_, None)) => {}
            Ok((answer, Some(difference))) => {
                return Some(Divergence { place, answer, difference });
            }
            Err(why) => return Some(crash(place, &why)),
        }
    }
    None
}

fn difference<P: Platform<Rcu = UpRcu>>(
    player: &mut Player<P>,
    tolerance: i64,
    operation: &Operation,
    kernel: &Answer,
) -> Result<(Answer, Option<Difference>), String> {
    let played = catch_unwind(AssertUnwindSafe(|| player.answer(operation)));
    let answer = played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic").to_owned()
    })?;
    let bucket_of = |handle| player.bucket_of(handle);
    let difference = compare(tolerance, operation, kernel, &answer, &bucket_of);
    Ok((answer, difference))
}

fn crash(place: usize, why: &str) -> Divergence {
    let (kernel, model) = ("an answer".to_owned(), format!("the kernel crashes: {why}"));
    let difference = Difference { field: "run", place: None, kernel, model };
    Divergence { place, answer: Answer::default(), difference }
}

/// Leaves out of a recording whatever its divergence does not need; the last line is the one
/// that diverges. Lines and handles are numbered anew.
///
/// `witness` is a revision that answers everything that was recorded as the kernel did; without
/// one, what a kernel would have said to fewer operations nobody knows, and only lines are left
/// out that change nothing of either answer.
#[must_use]
pub fn shrink(
    header: &Header,
    lines: &[Line],
    revision: Revision,
    divergence: &Divergence,
) -> Vec<Line> {
    let lines = &lines[..=divergence.place];
    let right = Revision::LINUX_6_18;
    let witness = (revision != right && check(header, lines, right).is_none()).then_some(right);
    let attempt = Attempt { header, revision, witness, wanted: &divergence.difference };
    let mut kept: Vec<&Line> = lines.iter().collect();
    let mut best = attempt.replay(&kept);
    let mut chunk = kept.len() / 2;
    while chunk >= 1 {
        let mut from = 0;
        while from + 1 < kept.len() {
            // The last line stays: it is what the rest is for.
            let to = (from + chunk).min(kept.len() - 1);
            let mut fewer = kept.clone();
            fewer.drain(from..to);
            match attempt.replay(&fewer) {
                Some(shorter) => (kept, best) = (fewer, Some(shorter)),
                None => from = to,
            }
        }
        chunk /= 2;
    }
    best.unwrap_or_else(|| lines.to_vec())
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
    /// as it did.
    fn replay(&self, lines: &[&Line]) -> Option<Vec<Line>> {
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
                    let answer = witness.answer(&operation);
                    handles.pair(line, &answer);
                    Answer { order: line.answer.order, ..answer }
                }
                None => handles.renumber(line),
            };
            let line = Line { i: i as u64, t: line.t, operation, answer };
            let last = i + 1 == lines.len();
            let found = difference(&mut player, self.header.tol, &line.operation, &line.answer);
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

    /// Learns which handle is which from what the witness answers to a recorded line.
    fn pair(&mut self, line: &Line, answer: &Answer) {
        let recorded = line.answer.events().iter().filter_map(begun);
        for (old, new) in recorded.zip(answer.events().iter().filter_map(begun)) {
            self.new.insert(old, new);
        }
    }

    /// A recorded answer with the handles' new numbers.
    fn renumber(&mut self, line: &Line) -> Answer {
        let mut answer = line.answer.clone();
        for event in answer.ev.iter_mut().flatten() {
            match event {
                Event::ExpNew { e, .. } => {
                    self.made += 1;
                    self.new.insert(*e, self.made);
                    *e = self.made;
                }
                Event::ExpDestroy { e, .. } => *e = self.of(*e),
                _ => {}
            }
        }
        if let (Operation::Fill(_), Some(made)) = (&line.operation, answer.made) {
            self.made += made;
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

fn begun(event: &Event) -> Option<u64> {
    match event {
        Event::ExpNew { e, .. } => Some(*e),
        _ => None,
    }
}
