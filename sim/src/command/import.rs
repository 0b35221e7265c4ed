// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp import`: a capture, or a log of events, as a text trace.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_traces::text::Trace;
use nfexp_traces::tools::lines;

use super::Failure;
use super::input::{frames, router};
use super::kernel::{Clock, Kernel};
use crate::forward::Router;
use crate::import::Importer;
use crate::log::LogImporter;
use crate::replay::{Happening, Replay};

/// The arguments of `nfexp import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A capture, or a log of `conntrack -E expect` (text or XML); `-` is standard input.
    file: PathBuf,
    /// Where to write the trace; standard output if not given.
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
        let trace = match is_log(&self.file)? {
            true => log(&self.file, &self.kernel)?,
            false => capture(&self.file, &self.kernel)?,
        };
        write(self.out.as_deref(), &trace)
    }
}

/// Whether a file is a tool's text: it begins as one, and no capture does.
fn is_log(path: &Path) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::Data(path.to_owned(), error.to_string());
    let mut first = [0];
    let read = match path.as_os_str() == "-" {
        // Only looked at: the next reader finds it again.
        true => {
            let mut stdin = io::stdin().lock();
            let begin = stdin.fill_buf().map_err(failed)?;
            begin.first().map_or(0, |byte| {
                first = [*byte];
                1
            })
        }
        false => File::open(path).and_then(|mut file| file.read(&mut first)).map_err(failed)?,
    };
    Ok(read == 1 && (b"<[ ".contains(&first[0]) || first[0].is_ascii_digit()))
}

/// A log of events as a trace.
fn log(path: &Path, kernel: &Kernel) -> Result<Trace, Failure> {
    let bad = |why: String| Failure::Data(path.to_owned(), why);
    let input: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(|error| bad(error.to_string()))?),
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut importer = LogImporter::new(&name, kernel.revision);
    for line in lines(BufReader::new(input)) {
        importer.take(&line.map_err(|error| bad(error.to_string()))?);
    }
    let trace = importer.finish();
    trace.map_err(|error| Failure::System(format!("the trace does not play: {error}")))
}

fn capture(path: &Path, kernel: &Kernel) -> Result<Trace, Failure> {
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let selection = settings.selection.clone();
    let mut replay = Replay::new(router(settings)?, pace, selection, false);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut importer = Importer::new(&name, &replay.router);
    let mut take =
        |router: &mut Router, happening: &Happening<'_>| importer.take(router, happening);
    frames(path, |frame| replay.packet(frame, &mut take))?;
    replay.finish(take);
    let trace = importer.finish(replay.router.engine());
    trace.map_err(|error| Failure::System(format!("the trace does not play: {error}")))
}

fn write(out: Option<&Path>, trace: &Trace) -> Result<(), Failure> {
    match out {
        None => io::stdout().write_all(trace.to_string().as_bytes())?,
        // Beside the place and then into it: never half a file.
        Some(out) => {
            let beside = out.with_extension("trace.new");
            std::fs::write(&beside, trace.to_string())?;
            std::fs::rename(&beside, out)?;
        }
    }
    Ok(())
}
