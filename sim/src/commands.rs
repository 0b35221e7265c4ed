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
use nfexp_sim::import::Importer;
use nfexp_sim::recording::Recording;
use nfexp_sim::replay::{Happening, Replay};
use nfexp_sim::report::{Ledger, Moment, rows, text};
use nfexp_sim::settings::Settings;
use nfexp_sim::simulator::{Simulator, config};
use nfexp_traces::capture::{Capture, CaptureError, Frame};
use nfexp_traces::text::parse;
use sha2::{Digest, Sha256};

use crate::args::{Format, Kernel};

/// Why the command failed.
#[derive(Debug)]
pub enum Failure {
    /// The question was wrong.
    Usage(String),
    /// The data is.
    Data(PathBuf, String),
    /// An answer is another than the trace says.
    Differs(String),
    /// The system would not.
    System(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Differs(_) => 1,
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
            Self::Usage(why) | Self::System(why) | Self::Differs(why) => f.write_str(why),
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
        if format == Format::KernelJsonl && is_trace(path) {
            let why = format!("{}: a trace has no packets to record", path.display());
            return Err(Failure::Usage(why));
        }
        if format == Format::KernelJsonl {
            record(path, kernel, &mut out)?;
            continue;
        }
        let (ledger, ended, unit) = match is_trace(path) {
            true => {
                let (ledger, ended) = trace_ledger(path, kernel)?;
                (ledger, ended, "step")
            }
            false => {
                let (ledger, ended) = ledger(path, format, kernel)?;
                (ledger, ended, "packet")
            }
        };
        let name = path.display().to_string();
        match format {
            Format::Text => {
                if files.len() > 1 {
                    writeln!(out, "{name}")?;
                }
                out.write_all(text::table(&ledger, unit).as_bytes())?;
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
pub fn import(path: &Path, out: Option<&Path>, kernel: &Kernel) -> Result<(), Failure> {
    let (settings, pace) = kernel.settings(Format::Text).map_err(Failure::Usage)?;
    let mut replay = Replay::new(router(settings)?, pace, false);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut importer = Importer::new(&name, &replay.router);
    let mut take =
        |router: &mut Router, happening: &Happening<'_>| importer.take(router, happening);
    frames(path, |frame| replay.packet(frame, &mut take))?;
    replay.finish(take);
    let trace = importer.finish(replay.router.engine());
    let trace =
        trace.map_err(|error| Failure::System(format!("the trace does not play: {error}")))?;
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

/// Plays a trace into a ledger; the failure is the first answer that differs.
fn trace_ledger(path: &Path, kernel: &Kernel) -> Result<(Ledger, Result<(), Failure>), Failure> {
    let data = |why: String| Failure::Data(path.to_owned(), why);
    let bytes = std::fs::read(path).map_err(|error| data(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| data(error.to_string()))?;
    let trace = parse(&text).map_err(|error| data(error.to_string()))?;
    let mut simulator = Simulator::new(config(&trace.setup, kernel.revision))
        .map_err(|error| Failure::System(error.to_string()))?;
    let start = simulator.now();
    let hz = u64::from(simulator.engine().config().hz);
    let mut ledger = Ledger::default();
    let mut steps = 0;
    for block in &trace.blocks {
        let mut answers = Vec::new();
        let mut line = 0;
        for (number, step) in &block.steps {
            line = *number;
            steps += 1;
            let said = simulator.step(step);
            answers.extend(said.map_err(|error| data(format!("line {line}: {error}")))?);
            let ticks = u64::try_from(simulator.now().ticks_from(start)).unwrap_or(0);
            let moment = Moment { at: steps, ms: ticks.saturating_mul(1000) / hz };
            for event in simulator.take_events() {
                ledger.enter(simulator.engine(), moment, &event);
            }
        }
        let expected = block.expected(kernel.revision.name);
        if answers != expected {
            let differs = Failure::Differs(format!(
                "{}: behind line {line}, expected:\n  {}\nanswered:\n  {}",
                path.display(),
                expected.join("\n  "),
                answers.join("\n  ")
            ));
            return Ok((ledger, Err(differs)));
        }
    }
    Ok((ledger, Ok(())))
}
