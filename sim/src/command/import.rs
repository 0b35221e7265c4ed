// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp import`: a capture as a text trace.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::input::{frames, router};
use super::kernel::{Clock, Kernel};
use crate::forward::Router;
use crate::import::Importer;
use crate::replay::{Happening, Replay};

/// The arguments of `nfexp import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A capture.
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
        import(&self.file, self.out.as_deref(), &self.kernel)
    }
}

fn import(path: &Path, out: Option<&Path>, kernel: &Kernel) -> Result<(), Failure> {
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
