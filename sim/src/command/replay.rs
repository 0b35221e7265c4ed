// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp replay`: what became of every expectation.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::against::against;
use super::input::{bytes, frames, frames_and_cut, is_trace, named_once, packets, router};
use super::kernel::{Clock, Kernel};
use super::output::verdict_behind;
use super::{Failure, trace};
use crate::forward::Router;
use crate::opened::is_file;
use crate::recording::Recording;
use crate::replay::{self, Happening};
use crate::report::{Ledger, Moment, rows, story, text};

/// The arguments of `nfexp replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// Captures (pcap, pcapng, snoop, gzipped or not) or traces (text); `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// A log of the same packets (`conntrack -E expect`, text or XML) to hold the events against.
    #[arg(long, value_name = "LOG")]
    against: Option<PathBuf>,
    #[command(flatten)]
    kernel: Kernel,
}

/// How a replay is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people, and what it comes to.
    Text,
    /// What happened at each packet, one line each.
    Story,
    /// JSON lines, one per expectation.
    Json,
    /// The same as comma-separated values.
    Csv,
    /// The lines that a recording of the running kernel has, packet by packet.
    KernelJsonl,
}

impl Replay {
    /// Replays.
    ///
    /// # Errors
    /// [`Failure`]: bad data, or a trace's answer that differs.
    pub fn run(&self) -> Result<(), Failure> {
        named_once(self.files.iter().chain(&self.against))?;
        match (&self.against, &self.files[..]) {
            (None, files) => replay(files, self.format, &self.kernel),
            (Some(_), _) if self.format != Format::Text => Err(Failure::Usage(
                "--format: whether a log agrees is told in one way only".to_owned(),
            )),
            (Some(log), [capture]) if !is_trace(capture) => against(capture, log, &self.kernel),
            (Some(_), [trace]) => Err(Failure::Usage(format!(
                "{}: expected a capture: a trace has no packets to hold a log against",
                trace.display()
            ))),
            (Some(_), _) => Err(Failure::Usage("--against: expected one capture".to_owned())),
        }
    }
}

fn replay(files: &[PathBuf], format: Format, kernel: &Kernel) -> Result<(), Failure> {
    let mut out = BufWriter::new(verdict_behind());
    let mut failures = Vec::new();
    let mut ledgers = Vec::new();
    for path in files {
        let is_trace = is_trace(path);
        let played = match (format, is_trace) {
            (Format::KernelJsonl | Format::Story, true) => {
                let deed = if format == Format::Story { "tell of" } else { "record" };
                let why = format!("{}: a trace has no packets to {deed}", path.display());
                Err(Failure::Usage(why))
            }
            (Format::KernelJsonl, false) => {
                failures.extend(record(path, kernel, &mut out).err());
                continue;
            }
            (Format::Story, false) => {
                if files.len() > 1 {
                    writeln!(out, "{}", path.display())?;
                }
                failures.extend(tell(path, kernel, &mut out).err());
                continue;
            }
            (_, true) => trace::ledger(path, kernel).map(|(ledger, ended)| {
                let end = last(&ledger);
                (ledger, end, ended)
            }),
            (_, false) => ledger(path, kernel),
        };
        // One bad file does not hide the others.
        match played {
            Err(failure) => failures.push(failure),
            Ok((ledger, end, ended)) => {
                failures.extend(ended.err());
                let name = path.display().to_string();
                match format {
                    Format::Text => {
                        if files.len() > 1 {
                            writeln!(out, "{name}")?;
                        }
                        let unit = if is_trace { "step" } else { "packet" };
                        out.write_all(text::table(&ledger, unit, end).as_bytes())?;
                    }
                    Format::Json => out.write_all(rows::json(&name, &ledger).as_bytes())?,
                    _ => ledgers.push((name, ledger)),
                }
            }
        }
    }
    if format == Format::Csv {
        out.write_all(rows::csv(&ledgers).as_bytes())?;
    }
    out.flush()?;
    Failure::first_of(failures)
}

/// The last moment of a ledger.
fn last(ledger: &Ledger) -> Moment {
    let moments = ledger.lives().iter().map(|life| life.ended.map_or(life.born, |end| end.0));
    moments.max_by_key(|moment| moment.ms).unwrap_or_default()
}

/// A ledger, the moment its capture ended, and what is wrong with that end.
pub(super) type Played = (Ledger, Moment, Result<(), Failure>);

/// Plays one capture into a ledger; what is wrong with its end does not hide its beginning.
pub(super) fn ledger(path: &Path, kernel: &Kernel) -> Result<Played, Failure> {
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let selection = settings.selection.clone();
    let mut replay = replay::Replay::new(router(settings)?, pace, selection, false);
    let mut ledger = Ledger::default();
    let mut enter = |router: &mut Router, happening: &Happening<'_>| {
        let moment = Moment { at: happening.packet, ms: milliseconds(happening.since_ns) };
        for event in happening.events {
            ledger.enter(router.engine(), moment, event);
        }
    };
    let ended = packets(path, |capture, most| replay.play(capture, most, &mut enter));
    replay.finish(enter);
    match ended {
        Err(failure) if replay.totals().packets == 0 => Err(failure),
        ended => {
            let end = Moment { at: 0, ms: milliseconds(replay.since_ns()) };
            Ok((ledger, end, ended))
        }
    }
}

fn milliseconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000).unwrap_or(0)
}

/// Tells what happened, packet by packet.
fn tell(path: &Path, kernel: &Kernel, out: &mut impl Write) -> Result<(), Failure> {
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let selection = settings.selection.clone();
    let mut replay = replay::Replay::new(router(settings)?, pace, selection, false);
    let mut written = Ok(());
    let ended = frames(path, |frame| {
        replay.packet(frame, &mut |router: &mut Router, happening: &Happening<'_>| {
            if let (Some(line), Ok(())) = (story::line(router, happening, Some(frame)), &written) {
                written = writeln!(out, "{line}");
            }
        });
    });
    replay.finish(|router: &mut Router, happening: &Happening<'_>| {
        if let (Some(line), Ok(())) = (story::line(router, happening, None), &written) {
            written = writeln!(out, "{line}");
        }
    });
    written?;
    ended
}

/// Writes the lines that a recording of the running kernel has.
fn record(path: &Path, kernel: &Kernel, out: &mut impl Write) -> Result<(), Failure> {
    let (settings, pace) = kernel.settings(Clock::Frozen).map_err(Failure::Usage)?;
    let recording = Recording::new(settings, pace);
    let mut recording = recording.map_err(|error| Failure::System(error.to_string()))?;
    let mut packets = 0;
    let ended = frames_and_cut(path, |frame| {
        packets += 1;
        recording.packet(frame);
    });
    if packets == 0 && ended.is_err() {
        return ended;
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    for line in recording.text(&name, digest(path)) {
        writeln!(out, "{line}")?;
    }
    ended
}

/// What a file's bytes come to; of a pipe nobody can tell afterwards.
pub(super) fn digest(path: &Path) -> Option<String> {
    let mut hasher = Sha256::new();
    let mut file = is_file(path).then(|| bytes(path).ok())??;
    io::copy(&mut file, &mut hasher).ok()?;
    Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
