// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp import`: a capture, a log of events or a listing, as a text trace.

use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_traces::text::{Setup, Trace};
use nfexp_traces::tools::{Shown, lines};

use super::Failure;
use super::input::{begin, bytes, packets, router, title, unreadable};
use super::kernel::{Clock, Kernel};
use super::output::{could_be_written, is_another, remark, write_beside};
use super::trace::could_be_read;
use crate::forward::Router;
use crate::import::Importer;
use crate::log::LogImporter;
use crate::replay::{Happening, Replay};
use crate::simulator::StepError;

/// The arguments of `nfexp import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A capture, or what `conntrack -E expect` or `conntrack -L expect` printed (text or XML); `-`
    /// is standard input.
    file: PathBuf,
    /// Where to write the trace; standard output if not given, or if it is `-`.
    #[arg(long, short)]
    out: Option<PathBuf>,
    #[command(flatten)]
    kernel: Kernel,
}

impl Import {
    /// Imports it.
    ///
    /// # Errors
    /// [`Failure`]: bad data.
    pub fn run(&self) -> Result<(), Failure> {
        if let Some(out) = &self.out {
            could_be_written(out)?;
            is_another(out, &self.file)?;
        }
        let trace = match is_log(&self.file)? {
            true => log(&self.file, &self.kernel)?,
            false => capture(&self.file, &self.kernel)?,
        };
        let text = trace.to_string();
        could_be_read(&text).map_err(|why| {
            let less =
                "import less of it (of a capture, --options until=SECONDS or only=PROTO/PORT)";
            Failure::Data(
                self.file.clone(),
                format!("the trace cannot be read again: {why}; {less}"),
            )
        })?;
        match &self.out {
            Some(out) => write_beside(out, &text),
            None => Ok(io::stdout().write_all(text.as_bytes())?),
        }
    }
}

/// Whether a file is a tool's text: it begins as one, blank lines aside, and no capture does.
fn is_log(path: &Path) -> Result<bool, Failure> {
    let begin = begin(path).map_err(|error| unreadable(path, &error))?;
    let mut begin = begin.iter().skip_while(|byte| **byte == b'\n');
    Ok(begin.next().is_some_and(|byte| b"<[ ".contains(byte) || byte.is_ascii_digit()))
}

/// A log of events as a trace.
fn log(path: &Path, kernel: &Kernel) -> Result<Trace, Failure> {
    let because = format!("{}: a log says what happened, not why", path.display());
    kernel.takes(&["--revision"], &because)?;
    let bad = |why: String| Failure::Data(path.to_owned(), why);
    let input = bytes(path).map_err(|error| unreadable(path, &error))?;
    let name = title(path);
    let mut importer = LogImporter::new(&name, kernel.revision);
    for line in lines(BufReader::new(input)) {
        let (number, shown) = line.map_err(|error| bad(error.to_string()))?;
        if matches!(shown, Shown::Proc(_)) {
            let expected = "expected what `conntrack` prints: /proc does not tell whose each is";
            return Err(bad(format!("line {number}: {expected}")));
        }
        importer.take(&shown).map_err(|why| bad(format!("line {number}: {why}")))?;
    }
    for helper in importer.unknown() {
        let none = "is no helper of the kernel's tree: its masters have none in the trace";
        remark(format_args!("nfexp: {}: {helper} {none}", path.display()));
    }
    importer.finish().map_err(|error| unplayable(path, &error))
}

fn capture(path: &Path, kernel: &Kernel) -> Result<Trace, Failure> {
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let (buckets, most) = (settings.config.hash_size, Setup::MOST);
    if buckets > most {
        let why =
            format!("--hash-size {buckets}: expected at most {most}, which a trace may ask for");
        return Err(Failure::Usage(why));
    }
    let selection = settings.selection.clone();
    let mut replay = Replay::new(router(settings)?, pace, selection, false);
    let name = title(path);
    let mut importer = Importer::new(&name, &replay.router);
    let mut take =
        |router: &mut Router, happening: &Happening<'_>| importer.take(router, happening);
    packets(path, |capture, most| replay.play(capture, most, &mut take))?;
    replay.finish(take);
    importer.finish(replay.router.engine()).map_err(|error| unplayable(path, &error))
}

/// There is more in a file than a trace has memory for, or what no trace can say.
fn unplayable(path: &Path, error: &StepError) -> Failure {
    Failure::Data(path.to_owned(), format!("the trace does not play: {error}"))
}
