// SPDX-License-Identifier: GPL-2.0-only
//! Files that verbs read.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use nfexp_traces::capture::{Capture, CaptureError, Frame};

use super::Failure;
use crate::forward::Router;
use crate::settings::Settings;

pub(super) fn bad_data(path: &Path, error: &CaptureError) -> Failure {
    Failure::Data(path.to_owned(), error.to_string())
}

pub(super) fn router(settings: Settings) -> Result<Router, Failure> {
    Router::new(settings).map_err(|error| Failure::System(error.to_string()))
}

pub(super) fn open(path: &Path) -> Result<Capture, Failure> {
    let capture = match path.as_os_str() == "-" {
        true => Capture::new(io::stdin()),
        false => Capture::open(path),
    };
    capture.map_err(|error| bad_data(path, &error))
}

pub(super) fn is_trace(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "trace")
}

/// Reads a capture, with progress on a terminal.
pub(super) fn frames(path: &Path, mut each: impl FnMut(&Frame<'_>)) -> Result<(), Failure> {
    let each = |frame: &Frame<'_>| {
        each(frame);
        ControlFlow::Continue(())
    };
    frames_until(path, each)
}

/// The same for as long as `each` wants more.
pub(super) fn frames_until(
    path: &Path,
    each: impl FnMut(&Frame<'_>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    read(path, each)?.map_err(|error| bad_data(path, &error))
}

/// The same where a file that ends inside a packet is no failure, only worth a word: what there is
/// of the packet comes last.
pub(super) fn frames_of_cut(path: &Path, mut each: impl FnMut(&Frame<'_>)) -> Result<(), Failure> {
    let mut each = |frame: &Frame<'_>| {
        each(frame);
        ControlFlow::Continue(())
    };
    match read_with(path, &mut each, true)? {
        Err(error @ CaptureError::Truncated { .. }) => {
            eprintln!("nfexp: {}: {error}", path.display());
            Ok(())
        }
        ended => ended.map_err(|error| bad_data(path, &error)),
    }
}

/// Reads as far as it goes; the inner error is what is wrong behind the last whole packet.
fn read(
    path: &Path,
    mut each: impl FnMut(&Frame<'_>) -> ControlFlow<()>,
) -> Result<Result<(), CaptureError>, Failure> {
    read_with(path, &mut each, false)
}

fn read_with(
    path: &Path,
    each: &mut impl FnMut(&Frame<'_>) -> ControlFlow<()>,
    cut: bool,
) -> Result<Result<(), CaptureError>, Failure> {
    let mut capture = open(path)?;
    let bar = progress(path);
    let ended = loop {
        match capture.next_packet() {
            Ok(Some(frame)) => {
                let number = frame.number;
                if each(&frame).is_break() {
                    break Ok(());
                }
                if number % 4096 == 0 {
                    bar.set_position(capture.offset());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    bar.finish_and_clear();
    if let (true, Err(CaptureError::Truncated { .. })) = (cut, &ended)
        && let Some(frame) = capture.cut_packet()
    {
        // The last there is, whether more is wanted or not.
        let _ = each(&frame);
    }
    Ok(ended)
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
