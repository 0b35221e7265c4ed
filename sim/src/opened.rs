// SPDX-License-Identifier: GPL-2.0-only
//! Files whose beginning is looked at before they are read.
//!
//! *Pipe*: what gives its bytes once: standard input, `<(…)`, a FIFO. `-` is standard input.
//!
//! The rule that matters: what was looked at of a pipe is kept, and whoever opens it next reads it
//! from its beginning.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Pipes that were looked at and not read yet.
static LOOKED_AT: Mutex<Vec<(PathBuf, BufReader<File>)>> = Mutex::new(Vec::new());

/// How a file begins, in a few bytes; whoever opens it next finds them again.
pub(crate) fn begin(path: &Path) -> io::Result<Vec<u8>> {
    const ENOUGH: u64 = 64;
    let first = |bytes: &[u8]| bytes.iter().take(ENOUGH as usize).copied().collect();
    if is_standard_input(path) {
        return Ok(first(io::stdin().lock().fill_buf()?));
    }
    if is_file(path) {
        let mut begin = Vec::new();
        File::open(path)?.take(ENOUGH).read_to_end(&mut begin)?;
        return Ok(begin);
    }
    let mut pipe = taken(path).map_or_else(|| File::open(path).map(BufReader::new), Ok)?;
    let begin = first(pipe.fill_buf()?);
    LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), pipe));
    Ok(begin)
}

/// A file's bytes.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if is_standard_input(path) {
        return Ok(Box::new(io::stdin()));
    }
    Ok(match taken(path) {
        Some(pipe) => Box::new(pipe),
        None => Box::new(File::open(path)?),
    })
}

/// Whether it can be read twice.
pub(crate) fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file())
}

pub(crate) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn taken(path: &Path) -> Option<BufReader<File>> {
    let mut looked_at = LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    let place = looked_at.iter().position(|(known, _)| known == path)?;
    Some(looked_at.swap_remove(place).1)
}
