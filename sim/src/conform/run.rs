// SPDX-License-Identifier: GPL-2.0-only
//! A recording, played until the model says something else than the kernel did.
//!
//! The rule that matters: the model is asked what the kernel was asked, and the first answer that
//! differs ends it; what comes after a divergence proves nothing.

use nfexp_model::kernel::Up;
use nfexp_model::kernel::platform::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{Answer, Difference, Header, Line, Operation, compare};

use super::Player;
use crate::simulator::unless_it_crashes;

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

pub(super) fn difference<P: Platform<Rcu = UpRcu>>(
    player: &mut Player<P>,
    tolerance: i64,
    operation: &Operation,
    kernel: &Answer,
) -> Result<(Answer, Option<Difference>), String> {
    let answer = unless_it_crashes(|| player.answer(operation))?;
    let bucket_of = |handle| player.bucket_of(handle);
    let difference = compare(tolerance, operation, kernel, &answer, &bucket_of);
    Ok((answer, difference))
}

fn crash(place: usize, why: &str) -> Divergence {
    let (kernel, model) = ("an answer".to_owned(), format!("the kernel crashes: {why}"));
    let difference = Difference { field: "run", place: None, kernel, model };
    Divergence { place, answer: Answer::default(), difference }
}
