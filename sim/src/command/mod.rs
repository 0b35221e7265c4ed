// SPDX-License-Identifier: GPL-2.0-only
//! The command line, one file per verb.
//!
//! *Verb*: what `nfexp` can do: a struct of arguments with a `run`. To add one: a file here, a
//! line in [`Verb`], a line in [`Verb::run`]. Verbs that need loom stand in `nfexp-properties`,
//! where the binary is built.
//!
//! The rule that matters: results go to standard output, everything else to standard error, and
//! how it ended is the exit code ([`Failure::code`]).

mod against;
pub mod bench;
pub mod conform;
pub mod conform_capture;
pub mod diff_revisions;
pub mod fit;
pub mod format;
pub mod import;
pub mod input;
pub mod kernel;
pub mod number;
pub mod oracle;
mod output;
pub mod replay;
pub mod research;
pub mod show;
mod trace;

use std::borrow::Cow;
use std::path::PathBuf;
use std::{fmt, io};

use clap::Subcommand;

pub use output::{counting, remark, verdict_behind, watching};

/// What the command can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Replay captures or traces and tell what became of every expectation.
    Replay(replay::Replay),
    /// Print /proc/net/nf_conntrack_expect as it stands at a moment of a replay.
    Show(show::Show),
    /// Compare the model with recorded operations on a kernel, or answer operations.
    Conform(conform::Conform),
    /// Compare what the model makes of a capture with what a running kernel made of it.
    ConformCapture(conform_capture::ConformCapture),
    /// Tell where two revisions part on a trace, and which knob does it.
    DiffRevisions(diff_revisions::DiffRevisions),
    /// Measure how long after their announcement connections come.
    Fit(fit::Fit),
    /// Turn a capture, a log or a listing into a text trace, with the answers.
    Import(import::Import),
    /// Ask the running kernel what the model is asked.
    Oracle(oracle::Oracle),
    /// Measure the engine beside the kernel's layout, on this machine.
    Bench(bench::Bench),
    /// Eviction research.
    #[command(flatten)]
    Research(research::Verb),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`], which knows its exit code.
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Replay(verb) => verb.run(),
            Self::Show(verb) => verb.run(),
            Self::Conform(verb) => verb.run(),
            Self::DiffRevisions(verb) => verb.run(),
            Self::ConformCapture(verb) => verb.run(),
            Self::Fit(verb) => verb.run(),
            Self::Import(verb) => verb.run(),
            Self::Oracle(verb) => verb.run(),
            Self::Bench(verb) => verb.run(),
            Self::Research(verb) => verb.run(),
        }
    }
}

/// Why the command failed.
#[derive(Debug)]
pub enum Failure {
    /// The question was wrong.
    Usage(String),
    /// The data is.
    Data(PathBuf, String),
    /// An answer is another than the one expected: a divergence, a violation.
    Differs(String),
    /// A bound or a budget was met first.
    Inconclusive(String),
    /// What it needs is not on this machine.
    Skipped(String),
    /// The system would not.
    System(String),
    /// Whoever read the result has seen enough (`| head`), and there is no verdict behind it.
    NoReader,
    /// Several, told in order; the first decides how it ended.
    Several(Vec<Self>),
}

impl Failure {
    /// All failures as one, of which the first decides how it ended.
    ///
    /// # Errors
    /// That one, if there are any.
    pub fn first_of(mut failures: Vec<Self>) -> Result<(), Self> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Self::Several(failures)),
        }
    }

    /// Refuses the first argument that was given, is not `taken` and would change nothing.
    fn of_idle(given: &[(&str, bool)], taken: &[&str], because: &str) -> Result<(), Self> {
        let idle = given.iter().find(|(name, given)| *given && !taken.contains(name));
        idle.map_or(Ok(()), |(name, _)| {
            Err(Self::Usage(format!("{because}: {name} would change nothing")))
        })
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Differs(_) => 1,
            Self::Usage(_) => 2,
            Self::Inconclusive(_) => 3,
            Self::Skipped(_) => 4,
            Self::Data(..) => 65,
            Self::System(_) => 74,
            Self::NoReader => 0,
            Self::Several(failures) => failures.first().map_or(0, Self::code),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(path, why) => write!(f, "{}: {}", path.display(), brief(why)),
            // Where answers differ, all of both is what was asked for.
            Self::Differs(why) => f.write_str(why),
            Self::Usage(why) | Self::System(why) | Self::Inconclusive(why) | Self::Skipped(why) => {
                f.write_str(&brief(why))
            }
            Self::NoReader => Ok(()),
            Self::Several(failures) => failures.iter().enumerate().try_for_each(|(at, failure)| {
                let between = if at == 0 { "" } else { "\nnfexp: " };
                write!(f, "{between}{failure}")
            }),
        }
    }
}

/// What is wrong, without the middle if that is long: what stands in a file or an argument is.
fn brief(why: &str) -> Cow<'_, str> {
    const BEGIN: usize = 1500;
    const END: usize = 500;
    let at = |mut place: usize| {
        while !why.is_char_boundary(place) {
            place -= 1;
        }
        place
    };
    match why.len().checked_sub(END).filter(|end| *end > BEGIN) {
        Some(end) => Cow::Owned(format!("{} … {}", &why[..at(BEGIN)], &why[at(end)..])),
        None => Cow::Borrowed(why),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::NoReader;
        }
        Self::System(format!("cannot write the result: {error}"))
    }
}
