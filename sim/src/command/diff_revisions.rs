// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp diff-revisions`: where two kernels part, and which knob does it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nfexp_model::revision::Revision;

use super::kernel::revision;
use super::{Failure, trace};
use crate::revisions::{Parting, partings};

/// The arguments of `nfexp diff-revisions`.
#[derive(Debug, Args)]
pub struct DiffRevisions {
    /// Traces (text); `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The one revision.
    #[arg(long, default_value = "3.9", value_parser = revision)]
    from: Revision,
    /// The other.
    #[arg(long, default_value = "6.18", value_parser = revision)]
    to: Revision,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How differences are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// JSON lines, one per step that differs.
    Json,
}

impl DiffRevisions {
    /// Tells of every step that differs, the first one first.
    ///
    /// # Errors
    /// [`Failure`]: bad data.
    pub fn run(&self) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut failures = Vec::new();
        for path in &self.files {
            let trace = match trace::read(path) {
                Ok(trace) => trace,
                // One bad file does not hide the others.
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            // A kernel that crashes is an answer, not worth a message of its own.
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| ()));
            let partings = partings(&trace, self.from, self.to);
            std::panic::set_hook(hook);
            let partings = match partings {
                Ok(partings) => partings,
                Err(why) => {
                    failures.push(Failure::Data(path.clone(), why));
                    continue;
                }
            };
            for parting in &partings {
                match self.format {
                    Format::Text => self.tell(&mut out, path, parting)?,
                    Format::Json => writeln!(out, "{}", self.json(path, parting))?,
                }
            }
            if partings.is_empty() && self.format == Format::Text {
                let (from, to) = (self.from.name, self.to.name);
                writeln!(out, "{}: {from} and {to} answer alike", path.display())?;
            }
        }
        out.flush()?;
        Failure::first_of(failures)
    }

    fn tell(&self, out: &mut impl Write, path: &Path, parting: &Parting) -> io::Result<()> {
        writeln!(out, "{}:{}: {}", path.display(), parting.line, parting.step)?;
        for (revision, answers) in [self.from, self.to].iter().zip(&parting.answers) {
            writeln!(out, "  {}", revision.name)?;
            for answer in answers {
                writeln!(out, "    {answer}")?;
            }
            if answers.is_empty() {
                writeln!(out, "    (nothing)")?;
            }
        }
        writeln!(out, "  knob: {}", parting.knobs.join(", "))?;
        if !parting.also.is_empty() {
            writeln!(out, "  changed otherwise by: {}", parting.also.join(", "))?;
        }
        Ok(())
    }

    fn json(&self, path: &Path, parting: &Parting) -> serde_json::Value {
        serde_json::json!({
            "schema": "nfexp.revisions.1",
            "trace": path.display().to_string(),
            "line": parting.line,
            "step": parting.step,
            "from": { "revision": self.from.name, "answers": parting.answers[0] },
            "to": { "revision": self.to.name, "answers": parting.answers[1] },
            "knobs": parting.knobs,
            "also": parting.also,
        })
    }
}
