// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp diff-revisions`: where two kernels part, and which knob does it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_model::revision::Revision;

use super::format::TextOrJson as Format;
use super::input::{is_trace, with_hint};
use super::kernel::revision;
use super::output::verdict_behind;
use super::{Failure, trace};
use crate::opened::{is_file, is_standard_input};
use crate::revisions::{Captured, Parting, Script, partings};

/// The arguments of `nfexp diff-revisions`.
#[derive(Debug, Args)]
pub struct DiffRevisions {
    /// Traces (text; `-` is standard input) or captures.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The one revision.
    #[arg(long, default_value = "3.9", value_parser = revision)]
    from: Revision,
    /// The other.
    #[arg(long, default_value = "6.18", value_parser = revision)]
    to: Revision,
    /// Options for captures, as recordings have them: `port=ftp:tcp/2121`.
    #[arg(long, default_value = "")]
    options: String,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl DiffRevisions {
    /// Tells of every step that differs, the first one first; that some do is no failure.
    ///
    /// # Errors
    /// [`Failure`]: bad data.
    pub fn run(&self) -> Result<(), Failure> {
        let mut out = BufWriter::new(verdict_behind());
        let mut failures = Vec::new();
        for path in &self.files {
            // One bad file does not hide the others.
            let flaw = match is_trace(path) {
                true => self.trace(&mut out, path).err(),
                false => self.capture(&mut out, path).err(),
            };
            failures.extend(flaw);
        }
        out.flush()?;
        Failure::first_of(failures)
    }

    fn trace(&self, out: &mut impl Write, path: &Path) -> Result<(), Failure> {
        let idle = [("--options", !self.options.is_empty())];
        let because = format!("{}: a trace says itself how its kernel is set up", path.display());
        Failure::of_idle(&idle, &[], &because)?;
        self.compare(out, path, &trace::read(path)?, ["trace", "line"])
    }

    fn capture(&self, out: &mut impl Write, path: &Path) -> Result<(), Failure> {
        // A folder cannot be read at all, as is told below.
        if path.exists() && !is_file(path) && !path.is_dir() || is_standard_input(path) {
            let why = "expected a file: a capture is played on one kernel after the other";
            return Err(Failure::Usage(format!("{}: {why}", path.display())));
        }
        let captured = Captured::new(path.to_owned(), self.options.clone());
        self.compare(out, path, &captured, ["capture", "packet"])?;
        // What is wrong with its end does not hide its beginning.
        captured.flaw().map_or(Ok(()), |flaw| Err(Failure::Data(path.to_owned(), flaw)))
    }

    /// Tells where the two part on a script; `units` are what JSON calls it and its places.
    fn compare(
        &self,
        out: &mut impl Write,
        path: &Path,
        script: &impl Script,
        units: [&str; 2],
    ) -> Result<(), Failure> {
        let partings = partings(script, self.from, self.to)
            .map_err(|why| Failure::Data(path.to_owned(), with_hint(path, why)))?;
        for parting in &partings {
            match self.format {
                Format::Text => self.tell(out, path, parting)?,
                Format::Json => writeln!(out, "{}", self.json(path, parting, units))?,
            }
        }
        if partings.is_empty() && self.format == Format::Text {
            let (from, to) = (self.from.name, self.to.name);
            writeln!(out, "{}: {from} and {to} answer alike", path.display())?;
        }
        Ok(())
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

    fn json(&self, path: &Path, parting: &Parting, units: [&str; 2]) -> serde_json::Value {
        let [file, place] = units;
        serde_json::json!({
            "schema": "nfexp.revisions.1",
            file: path.display().to_string(),
            place: parting.line,
            "step": parting.step,
            "from": { "revision": self.from.name, "answers": parting.answers[0] },
            "to": { "revision": self.to.name, "answers": parting.answers[1] },
            "knobs": parting.knobs,
            "also": parting.also,
        })
    }
}
