// SPDX-License-Identifier: GPL-2.0-only
//! A recording, played until the model says something else than the kernel did.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nfexp_model::revision::Revision;
use nfexp_traces::transcript::{Answer, Difference, Header, Line, compare};

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
    let mut player = match Player::of_revision(header, revision) {
        Ok(player) => player,
        Err(error) => return Some(crash(0, &error.to_string())),
    };
    for (place, line) in lines.iter().enumerate() {
        let played = catch_unwind(AssertUnwindSafe(|| player.answer(&line.operation)));
        let answer = match played {
            Ok(answer) => answer,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                return Some(crash(place, text.unwrap_or("a panic")));
            }
        };
        let bucket_of = |handle| player.bucket_of(handle);
        let difference = compare(header.tol, &line.operation, &line.answer, &answer, &bucket_of);
        if let Some(difference) = difference {
            return Some(Divergence { place, answer, difference });
        }
    }
    None
}

fn crash(place: usize, why: &str) -> Divergence {
    let (kernel, model) = ("an answer".to_owned(), format!("the kernel crashes: {why}"));
    let difference = Difference { field: "run", place: None, kernel, model };
    Divergence { place, answer: Answer::default(), difference }
}
