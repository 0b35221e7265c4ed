// SPDX-License-Identifier: GPL-2.0-only
//! Files that are written beside their place and then renamed.
//!
//! The rule that matters: a file is never half there, and no other is touched: what stands beside
//! its place for that while has a name that nothing had.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Puts a file of these bytes in its place, whatever file was there before.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (beside, mut file) = beside(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let done = written.and_then(|()| fs::rename(&beside, path));
    // Where the disk is full or the name is a folder's, nothing stays behind.
    done.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Whether files can be made in a folder.
pub(crate) fn could_put_into(folder: &Path) -> io::Result<()> {
    beside(&folder.join("nfexp")).and_then(|(path, _)| fs::remove_file(path))
}

/// An empty file under a new name: `X.new`, or `X.1.new` and so on where somebody has that.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut taken = 0_u64;
    loop {
        let mut beside = path.to_owned();
        beside.as_mut_os_string().push(match taken {
            0 => ".new".to_owned(),
            taken => format!(".{taken}.new"),
        });
        match File::create_new(&beside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => taken += 1,
            made => return made.map(|file| (beside, file)),
        }
    }
}
