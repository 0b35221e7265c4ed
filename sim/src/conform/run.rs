// SPDX-License-Identifier: GPL-2.0-only
//! A recording, played until the model says something else than the kernel did; and made small.
//!
//! Shrinking leaves operations out. What a kernel would have answered without them nobody
//! knows, so a shorter recording counts only if the model still agrees with everything that is
//! kept of the kernel's answers, but for the numbers of the handles, and parts in the same field
//! of the same operation at the end.

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
#[must_use]
pub fn shrink(
    header: &Header,
    lines: &[Line],
    revision: Revision,
    divergence: &Divergence,
) -> Vec<Line> {
    let field = divergence.difference.field;
    let mut kept: Vec<&Line> = lines[..=divergence.place].iter().collect();
    let mut best = replayed(header, &kept, revision, field);
    let mut chunk = kept.len() / 2;
    while chunk >= 1 {
        let mut from = 0;
        while from + 1 < kept.len() {
            // The last line stays: it is what the rest is for.
            let to = (from + chunk).min(kept.len() - 1);
            let mut fewer = kept.clone();
            fewer.drain(from..to);
            match replayed(header, &fewer, revision, field) {
                Some(shorter) => (kept, best) = (fewer, Some(shorter)),
                None => from = to,
            }
        }
        chunk /= 2;
    }
    best.unwrap_or_else(|| lines[..=divergence.place].to_vec())
}

/// The lines, numbered anew, if the model agrees with all but the last, in which it differs in
/// `field`.
fn replayed(
    header: &Header,
    lines: &[&Line],
    revision: Revision,
    field: &str,
) -> Option<Vec<Line>> {
    let mut player = Player::<Up>::of_revision(header, revision).ok()?;
    let mut handles = Handles::default();
    let mut done = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        let line = handles.renumber(i as u64, line);
        let last = i + 1 == lines.len();
        match difference(&mut player, header.tol, &line.operation, &line.answer) {
            Ok((_, None)) if !last => {}
            Ok((_, Some(difference))) if last && difference.field == field => {}
            Err(_) if last && field == "run" => {}
            _ => return None,
        }
        done.push(line);
    }
    Some(done)
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

    fn renumber(&mut self, i: u64, line: &Line) -> Line {
        let mut line = line.clone();
        line.i = i;
        if let Operation::ExpGet(ExpAt { id: Some(id), .. })
        | Operation::ExpDel(ExpAt { id: Some(id), .. }) = &mut line.operation
            && let Whose::Handle(handle) = &mut id.of
        {
            *handle = self.of(*handle);
        }
        for event in line.answer.ev.iter_mut().flatten() {
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
        if let (Operation::Fill(_), Some(made)) = (&line.operation, line.answer.made) {
            self.made += made;
        }
        if let Some(handle) = &mut line.answer.id_of {
            *handle = self.of(*handle);
        }
        for row in line.answer.dump.iter_mut().flatten() {
            if let Row::Expectation { e, .. } = row {
                *e = self.of(*e);
            }
        }
        line
    }
}
