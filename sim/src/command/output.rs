// SPDX-License-Identifier: GPL-2.0-only
//! Files that verbs write, and what they say beside.
//!
//! Progress is drawn where standard error is a terminal, and nowhere else: indicatif looks itself.
//!
//! The rule that matters: a file is written beside its place and then renamed, so that it is
//! never half there; what is no file (a pipe, `/dev/stdout`) is written into and stays what it
//! is; and whatever goes wrong, its name is told. Where a verb has a verdict, a reader who leaves
//! (`| head`) does not change it ([`verdict_behind`]).

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use indicatif::{HumanCount, ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

use super::Failure;
use crate::research::sweep::script::in_quotes;
use crate::written::{could_put_into, put};

/// A line on standard error; if nobody reads it (`2>&1 | head`), that is no failure. What a name
/// or a file holds that a terminal would obey is told, not done.
pub fn remark(line: impl Display) {
    let obeyed = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    let mut told = String::new();
    for letter in line.to_string().chars() {
        match obeyed(letter) {
            true => told.extend(letter.escape_debug()),
            false => told.push(letter),
        }
    }
    let _ = writeln!(io::stderr(), "{told}");
}

/// Standard output of a verb that has a verdict: once nobody reads it any more, nothing is written,
/// and the verb goes on until it knows how it ends.
#[must_use]
pub fn verdict_behind() -> impl Write {
    Read { out: io::stdout().lock(), by_nobody: false }
}

/// What is read until its reader leaves.
#[derive(Debug)]
struct Read<W> {
    out: W,
    by_nobody: bool,
}

impl<W: Write> Read<W> {
    /// Does it if somebody reads; `otherwise` is what is as good.
    fn or<T>(&mut self, otherwise: T, does: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.by_nobody {
            return Ok(otherwise);
        }
        match does(&mut self.out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.by_nobody = true;
                Ok(otherwise)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Read<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.or(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.or((), W::flush)
    }
}

/// A count on a terminal, where nobody knows how far it will go.
#[must_use]
pub fn counting(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} {msg}, {elapsed}");
    let style = style.expect("the template is ours");
    let bar = ProgressBar::new_spinner().with_style(style).with_message(what);
    bar.with_finish(ProgressFinish::AndClear)
}

/// The same of what is counted elsewhere: now and then `count` is asked.
#[must_use]
pub fn watching(what: &'static str, count: fn() -> usize) -> ProgressBar {
    let told = move |_: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{}", HumanCount(count() as u64));
    };
    let bar = counting(what);
    if !bar.is_hidden() {
        bar.set_style(bar.style().with_key("human_pos", told));
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

/// A word as a shell reads it: whoever is told a line can run it.
pub(super) fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,+-@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(in_quotes(word)),
    }
}

/// What is open already, under the name of a file: it may lead to one that holds more.
const OPEN: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];

/// Where a file is put, through links; none where what is there is written into, not replaced.
fn place_of(path: &Path) -> io::Result<Option<PathBuf>> {
    let is_open = OPEN.iter().any(|open| path.starts_with(open));
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if is_open || !there.is_file() => Ok(None),
        Ok(_) => path.canonicalize().map(Some),
        Err(error) if path.is_symlink() => Err(match error.kind() {
            io::ErrorKind::NotFound => io::Error::other("it is a link that leads nowhere"),
            _ => error,
        }),
        Err(_) if above(path).is_dir() => Ok(Some(path.to_owned())),
        Err(_) => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// What is there of the folders that lead to a file.
fn above(path: &Path) -> &Path {
    path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or_else(|| Path::new("."))
}

/// Writes a whole file, and the folders that lead to it; through a link, what it leads to. `-` is
/// standard output.
pub(super) fn write_beside(path: &Path, text: &str) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return Ok(io::stdout().write_all(text.as_bytes())?);
    }
    let write = || -> io::Result<()> {
        let Some(place) = place_of(path)? else {
            return OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes());
        };
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        put(&place, text.as_bytes())
    };
    write().map_err(|error| unwritten(path, &error))
}

/// Refuses a place where no file can be, before anything is made that would go there.
pub(super) fn could_be_written(path: &Path) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let place = place_of(path);
    let asked = place.and_then(|place| place.map_or(Ok(()), |place| could_put_into(above(&place))));
    asked.map_err(|error| unwritten(path, &error))
}

/// Refuses to write over what is read.
pub(super) fn is_another(out: &Path, read: &Path) -> Result<(), Failure> {
    let place = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    match place(out).is_some_and(|out| Some(out) == place(read)) {
        true => Err(Failure::Usage(format!(
            "{}: it is read here; expected another file to write",
            out.display()
        ))),
        false => Ok(()),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::System(format!("{}: cannot write: {error}", path.display()))
}
