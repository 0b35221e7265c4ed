// SPDX-License-Identifier: GPL-2.0-only
//! Files that verbs read.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use nfexp_traces::capture::{Capture, CaptureError, Frame};

use super::{Failure, remark};
use crate::forward::Router;
pub(super) use crate::opened::{begin, open as bytes};
use crate::opened::{is_file, is_standard_input};
use crate::research::document::place_behind;
use crate::settings::Settings;

pub(super) fn bad_data(path: &Path, error: &CaptureError) -> Failure {
    Failure::Data(path.to_owned(), error.to_string())
}

pub(super) fn router(settings: Settings) -> Result<Router, Failure> {
    Router::new(settings).map_err(|error| Failure::System(error.to_string()))
}

pub(super) fn open(path: &Path) -> Result<Capture, Failure> {
    let capture = bytes(path).map_err(CaptureError::Io).and_then(Capture::new);
    capture.map_err(|error| Failure::Data(path.to_owned(), with_hint(path, error.to_string())))
}

/// What is wrong with a capture; where it is none but text, with whoever reads such a file.
pub(super) fn with_hint(path: &Path, why: String) -> String {
    let is_text = || is_file(path) && begins_as_text(path);
    if why != CaptureError::NotACapture.to_string() || !is_text() {
        return why;
    }
    let hint = match path.extension().and_then(|extension| extension.to_str()) {
        // Verbs that take traces do not come here with one.
        Some("trace") => "this verb takes no trace; replay, show and diff-revisions do",
        Some("jsonl") => "conform reads transcripts, and conform-capture recordings of captures",
        _ => {
            "a trace's name ends in .trace; import reads what conntrack printed, and so does fit \
             --format toml"
        }
    };
    format!("{why}; it begins as text: {hint}")
}

/// What is wrong with a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Data(path.to_owned(), format!("cannot read: {error}"))
}

/// Refuses to read standard input twice: the second time there is nothing left.
pub(super) fn named_once<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    match paths.into_iter().filter(|path| is_standard_input(path)).nth(1) {
        None => Ok(()),
        Some(_) => Err(Failure::Usage(
            "-: expected standard input once, its bytes come once; name the others as files".into(),
        )),
    }
}

/// The text of a file of at most so many MiB: `what` it should be.
pub(super) fn text_of(path: &Path, what: &str, most_mib: u64) -> Result<String, Failure> {
    let (most, mut read) = (most_mib << 20, Vec::new());
    let done = bytes(path).and_then(|input| input.take(most + 1).read_to_end(&mut read));
    done.map_err(|error| unreadable(path, &error))?;
    if read.len() as u64 > most {
        let why = format!("expected {what} of at most {most_mib} MiB");
        return Err(Failure::Data(path.to_owned(), why));
    }
    text(path, read)
}

/// A file's bytes as text.
pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]);
        let why = format!("{}: expected text in UTF-8", place_behind(&before));
        Failure::Data(path.to_owned(), why)
    })
}

/// A file's name as a comment holds it, which ends with its line.
pub(super) fn title(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    name.replace(char::is_control, "?")
}

/// Whether a file is a trace: its name says so, or says nothing and it begins as text.
pub(super) fn is_trace(path: &Path) -> bool {
    match path.extension() {
        Some(extension) if extension == "trace" => true,
        Some(extension) if extension != "txt" => false,
        _ => begins_as_text(path),
    }
}

fn begins_as_text(path: &Path) -> bool {
    begin(path).is_ok_and(|begin| !begin.is_empty() && is_text(&begin))
}

/// Every capture has a zero or another control character early on.
fn is_text(begin: &[u8]) -> bool {
    begin.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=0x7e | 0x80..))
}

/// Reads a capture, with progress on a terminal.
pub(super) fn frames(path: &Path, mut each: impl FnMut(&Frame<'_>)) -> Result<(), Failure> {
    let each = |frame: &Frame<'_>| {
        each(frame);
        ControlFlow::Continue(())
    };
    frames_until(path, each)
}

/// The same where `some` plays so many packets at a time, and says whether there may be more.
pub(super) fn packets(
    path: &Path,
    some: impl FnMut(&mut Capture, u64) -> Result<bool, CaptureError>,
) -> Result<(), Failure> {
    in_steps(path, &mut open(path)?, some).map_err(|error| bad_data(path, &error))
}

/// The same for as long as `each` wants more.
pub(super) fn frames_until(
    path: &Path,
    each: impl FnMut(&Frame<'_>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    read(path, each)?.map_err(|error| bad_data(path, &error))
}

/// The same, and of a packet inside which the file ends comes what there is.
pub(super) fn frames_and_cut(path: &Path, each: impl FnMut(&Frame<'_>)) -> Result<(), Failure> {
    read_cut(path, each)?.map_err(|error| bad_data(path, &error))
}

/// The same where a file that ends inside a packet is no failure, only worth a word.
pub(super) fn frames_of_cut(path: &Path, each: impl FnMut(&Frame<'_>)) -> Result<(), Failure> {
    match read_cut(path, each)? {
        Err(error @ CaptureError::Truncated { .. }) => {
            remark(format_args!("nfexp: {}: {error}", path.display()));
            Ok(())
        }
        ended => ended.map_err(|error| bad_data(path, &error)),
    }
}

fn read_cut(
    path: &Path,
    mut each: impl FnMut(&Frame<'_>),
) -> Result<Result<(), CaptureError>, Failure> {
    let mut each = |frame: &Frame<'_>| {
        each(frame);
        ControlFlow::Continue(())
    };
    read_with(path, &mut each, true)
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
    let ended = in_steps(path, &mut capture, |capture, most| {
        for _ in 0..most {
            match capture.next_packet()? {
                Some(frame) if each(&frame).is_continue() => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    });
    if let (true, Err(CaptureError::Truncated { .. })) = (cut, &ended)
        && let Some(frame) = capture.cut_packet()
    {
        // The last there is, whether more is wanted or not.
        let _ = each(&frame);
    }
    Ok(ended)
}

/// Some packets after the other, with progress, until there are no more.
fn in_steps(
    path: &Path,
    capture: &mut Capture,
    mut some: impl FnMut(&mut Capture, u64) -> Result<bool, CaptureError>,
) -> Result<(), CaptureError> {
    let bar = progress(path);
    let ended = loop {
        match some(capture, 4096) {
            Ok(true) => bar.set_position(capture.offset()),
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    bar.finish_and_clear();
    ended
}

fn progress(path: &Path) -> ProgressBar {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    // Below a few megabytes the bar would only flicker.
    if length < 8 << 20 {
        return ProgressBar::hidden();
    }
    let style = "{msg} {bar:40} {bytes}/{total_bytes} {eta}";
    let style = ProgressStyle::with_template(style).expect("the template is ours");
    ProgressBar::new(length).with_style(style).with_message(path.display().to_string())
}
