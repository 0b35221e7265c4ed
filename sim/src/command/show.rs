// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp show`: the /proc file at a moment of a replay.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_model::netns::NetId;
use nfexp_model::proc::SeqFile;
use nfexp_model::{At, Engine};

use super::input::{bad_data, is_trace, open, router};
use super::kernel::{Clock, Kernel};
use super::{Failure, trace};
use crate::forward::Router;
use crate::replay::{Happening, Replay};

/// The arguments of `nfexp show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A capture or a trace.
    file: PathBuf,
    /// After this packet (or step), from 1; after the last if not given.
    #[arg(long, value_name = "PACKET", value_parser = clap::value_parser!(u64).range(1..))]
    at: Option<u64>,
    #[command(flatten)]
    kernel: Kernel,
}

impl Show {
    /// Shows it.
    ///
    /// # Errors
    /// [`Failure`]: bad data, or a moment after its end.
    pub fn run(&self) -> Result<(), Failure> {
        show(&self.file, self.at, &self.kernel)
    }
}

fn show(path: &Path, at: Option<u64>, kernel: &Kernel) -> Result<(), Failure> {
    if is_trace(path) {
        io::stdout().write_all(trace::show(path, at, kernel)?.as_bytes())?;
        return Ok(());
    }
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let selection = settings.selection.clone();
    let mut replay = Replay::new(router(settings)?, pace, selection, false);
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

pub(super) fn listing(engine: &Engine, now: nfexp_model::kernel::Jiffies) -> String {
    let mut text = String::new();
    let at = At { now, ..At::default() };
    SeqFile::open(NetId::INIT).read(engine, at, u64::MAX, &mut text).expect("a string takes all");
    text
}
