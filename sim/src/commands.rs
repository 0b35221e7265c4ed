// SPDX-License-Identifier: GPL-2.0-only
//! What the verbs do.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use nfexp_model::netns::NetId;
use nfexp_model::proc::SeqFile;
use nfexp_model::{At, Engine};
use nfexp_sim::forward::Router;
use nfexp_sim::recording::Recording;
use nfexp_sim::replay::{Happening, Replay};
use nfexp_sim::report::{Ledger, Moment, rows, text};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::{Capture, CaptureError, Frame};
use sha2::{Digest, Sha256};

use crate::args::{Format, Kernel};

/// Why the command failed.
#[derive(Debug)]
pub enum Failure {
    /// The question was wrong.
    Usage(String),
    /// The data is.
    Data(PathBuf, String),
    /// The system would not.
    System(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Data(..) => 65,
            Self::System(_) => 74,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Usage(why) | Self::System(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(format!("cannot write the result: {error}"))
    }
}

fn bad_data(path: &Path, error: &CaptureError) -> Failure {
    Failure::Data(path.to_owned(), error.to_string())
}

fn router(settings: Settings) -> Result<Router, Failure> {
    Router::new(settings).map_err(|error| Failure::System(error.to_string()))
}

fn open(path: &Path) -> Result<Capture, Failure> {
    let capture = match path.as_os_str() == "-" {
        true => Capture::new(io::stdin()),
        false => Capture::open(path),
    };
    capture.map_err(|error| bad_data(path, &error))
}

fn is_trace(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "trace")
}

/// Reads a capture, with progress on a terminal.
fn frames(path: &Path, mut each: impl FnMut(&Frame<'_>)) -> Result<(), Failure> {
    let mut capture = open(path)?;
    let bar = progress(path);
    let ended = loop {
        match capture.next_packet() {
            Ok(Some(frame)) => {
                each(&frame);
                if frame.number % 4096 == 0 {
                    bar.set_position(capture.offset());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(bad_data(path, &error)),
        }
    };
    bar.finish_and_clear();
    ended
}

fn progress(path: &Path) -> ProgressBar {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    // Below a few megabytes the bar would only flicker.
    if !io::stderr().is_terminal() || length < 8 << 20 {
        return ProgressBar::hidden();
    }
    let style = "{msg} {bar:40} {bytes}/{total_bytes} {eta}";
    let style = ProgressStyle::with_template(style).expect("the template is ours");
    ProgressBar::new(length).with_style(style).with_message(path.display().to_string())
}

/// `nfexp replay`.
pub fn replay(files: &[PathBuf], format: Format, kernel: &Kernel) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut all = Vec::new();
    let mut failed = None;
    for path in files {
        if is_trace(path) {
            return Err(Failure::Usage(format!(
                "{}: traces are played by `cargo test`, not yet by this verb",
                path.display()
            )));
        }
        if format == Format::KernelJsonl {
            record(path, kernel, &mut out)?;
            continue;
        }
        let (ledger, ended) = ledger(path, format, kernel)?;
        let name = path.display().to_string();
        match format {
            Format::Text => {
                if files.len() > 1 {
                    writeln!(out, "{name}")?;
                }
                out.write_all(text::table(&ledger, "packet").as_bytes())?;
            }
            Format::Json => out.write_all(rows::json(&name, &ledger).as_bytes())?,
            Format::Csv | Format::KernelJsonl => all.push((name, ledger)),
        }
        if let Err(failure) = ended {
            failed.get_or_insert(failure);
        }
    }
    if format == Format::Csv {
        out.write_all(rows::csv(&all).as_bytes())?;
    }
    out.flush()?;
    failed.map_or(Ok(()), Err)
}

/// Plays one capture into a ledger; what is wrong with its end does not hide its beginning.
fn ledger(
    path: &Path,
    format: Format,
    kernel: &Kernel,
) -> Result<(Ledger, Result<(), Failure>), Failure> {
    let (settings, pace) = kernel.settings(format).map_err(Failure::Usage)?;
    let mut replay = Replay::new(router(settings)?, pace, false);
    let mut ledger = Ledger::default();
    let mut enter = |router: &mut Router, happening: &Happening<'_>| {
        let ms = u64::try_from(happening.since_ns / 1_000_000).unwrap_or(0);
        let moment = Moment { at: happening.packet, ms };
        for event in happening.events {
            ledger.enter(router.engine(), moment, event);
        }
    };
    let ended = frames(path, |frame| replay.packet(frame, &mut enter));
    replay.finish(enter);
    match ended {
        Err(failure) if replay.totals().packets == 0 => Err(failure),
        ended => Ok((ledger, ended)),
    }
}

/// Writes the lines that a recording of the running kernel has.
fn record(path: &Path, kernel: &Kernel, out: &mut impl Write) -> Result<(), Failure> {
    let (settings, pace) = kernel.settings(Format::KernelJsonl).map_err(Failure::Usage)?;
    let recording = Recording::new(settings, pace);
    let mut recording = recording.map_err(|error| Failure::System(error.to_string()))?;
    frames(path, |frame| recording.packet(frame))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    for line in recording.finish(&name, digest(path)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn digest(path: &Path) -> Option<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path).ok()?, &mut hasher).ok()?;
    Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `nfexp show`.
pub fn show(path: &Path, at: Option<u64>, kernel: &Kernel) -> Result<(), Failure> {
    let (settings, pace) = kernel.settings(Format::Text).map_err(Failure::Usage)?;
    let mut replay = Replay::new(router(settings)?, pace, false);
    let mut capture = open(path)?;
    let mut nothing = |_: &mut Router, _: &Happening<'_>| {};
    while at.is_none_or(|at| replay.totals().packets < at) {
        match capture.next_packet().map_err(|error| bad_data(path, &error))? {
            Some(frame) => replay.packet(&frame, &mut nothing),
            None => break,
        }
    }
    if let Some(at) = at.filter(|at| replay.totals().packets < *at) {
        let packets = replay.totals().packets;
        return Err(Failure::Usage(format!("--at {at}: the capture has {packets} packets")));
    }
    if at.is_none() {
        replay.finish(nothing);
    }
    let listing = listing(replay.router.engine(), replay.router.now());
    io::stdout().write_all(listing.as_bytes())?;
    Ok(())
}

fn listing(engine: &Engine, now: nfexp_model::kernel::Jiffies) -> String {
    let mut text = String::new();
    let at = At { now, ..At::default() };
    SeqFile::open(NetId::INIT).read(engine, at, u64::MAX, &mut text).expect("a string takes all");
    text
}

/// `nfexp import`.
pub fn import(_: &Path, _: Option<&Path>, _: &Kernel) -> Result<(), Failure> {
    Err(Failure::Usage("import is not built yet".to_owned()))
}
