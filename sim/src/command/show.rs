// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp show`: the /proc file at a moment of a replay.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nfexp_model::kernel::Jiffies;
use nfexp_model::netns::NetId;
use nfexp_model::proc::SeqFile;
use nfexp_model::{At, Engine};

use super::input::{frames_until, is_trace, router};
use super::kernel::{Clock, Kernel, Span};
use super::{Failure, trace};
use crate::forward::Router;
use crate::replay::{Happening, Replay};
use crate::report::rows;

/// The arguments of `nfexp show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A capture or a trace; `-` is standard input.
    file: PathBuf,
    /// After this packet or step, from 1; or so long after the first of them (`2.5s`, `5m`, or
    /// `90j`: timer ticks); after the last one if not given.
    #[arg(long, value_name = "MOMENT", value_parser = Moment::parse, allow_hyphen_values = true)]
    at: Option<Moment>,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Proc)]
    format: Format,
    #[command(flatten)]
    kernel: Kernel,
}

/// How a listing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The file, as the kernel prints it.
    Proc,
    /// JSON lines, one per line of the file.
    Json,
}

impl Format {
    /// The listing of a capture or a trace as it stands.
    pub(super) fn listing(self, path: &Path, engine: &Engine, now: Jiffies) -> String {
        let at = At { now, ..At::default() };
        let mut file = SeqFile::open(NetId::INIT);
        if self == Self::Json {
            let listed = file.listed(engine, at);
            return rows::listed(&path.display().to_string(), engine, &listed);
        }
        let mut text = String::new();
        file.read(engine, at, u64::MAX, &mut text).expect("a string takes all");
        text
    }
}

/// A moment of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// After so many packets or steps.
    After(u64),
    /// So long after the first packet or step.
    Since(Span),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected the number of a packet or step, from 1, or a time below 1000000000s, \
                 as in `2.5s`, found `{text}`"
            )
        };
        match Span::parse(text) {
            Some(since) => Ok(Self::Since(since)),
            None => {
                let number = text.parse().ok().filter(|number| *number > 0);
                number.map(Self::After).ok_or_else(expected)
            }
        }
    }
}

impl Show {
    /// Shows it.
    ///
    /// # Errors
    /// [`Failure`]: bad data, or a moment after its end.
    pub fn run(&self) -> Result<(), Failure> {
        show(&self.file, self.at, self.format, &self.kernel)
    }
}

fn show(path: &Path, at: Option<Moment>, format: Format, kernel: &Kernel) -> Result<(), Failure> {
    if is_trace(path) {
        io::stdout().write_all(trace::show(path, at, format, kernel)?.as_bytes())?;
        return Ok(());
    }
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let selection = settings.selection.clone();
    let hz = settings.config.hz;
    let mut replay = Replay::new(router(settings)?, pace, selection, false);
    let mut nothing = |_: &mut Router, _: &Happening<'_>| {};
    frames_until(path, |frame| {
        if let Some(Moment::Since(at)) = at
            && replay.since(frame.time_ns).is_some_and(|since| since > at.nanoseconds(hz))
        {
            return ControlFlow::Break(());
        }
        replay.packet(frame, &mut nothing);
        match at {
            Some(Moment::After(at)) if at == replay.totals().packets => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })?;
    match at {
        None => replay.finish(nothing),
        Some(Moment::Since(at)) => replay.wait_until(at.nanoseconds(hz), nothing),
        Some(Moment::After(at)) if at > replay.totals().packets => {
            let packets = replay.totals().packets;
            return Err(Failure::Usage(format!("--at {at}: the capture has {packets} packets")));
        }
        Some(Moment::After(_)) => {}
    }
    let listing = format.listing(path, replay.router.engine(), replay.router.now());
    io::stdout().write_all(listing.as_bytes())?;
    Ok(())
}
