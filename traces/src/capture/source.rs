// SPDX-License-Identifier: GPL-2.0-only
//! The bytes of a capture, unpacked and counted.
//!
//! ```text
//!   stream ─▶ (gunzip) ─▶ space   ···taken··· │ last asked for │ not yet │
//! ```
//!
//! The stream is read in blocks, and a record is looked at where it was read: only what crosses
//! the end of a block is moved, to the start of the next.
//!
//! The rule that matters: space for what a length promises is made step by step, as the bytes
//! come, so that a length that lies costs nothing.

use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::ops::Range;

use flate2::bufread::MultiGzDecoder;

use super::{CaptureError, LARGEST_BYTES};

/// The block in which files are read, and by how much space grows at a time.
const BLOCK_BYTES: usize = 1 << 18;
/// The block in which packed data is read: what a block holds before it goes wrong is lost.
const PACKED_BYTES: usize = 1 << 16;

/// What stands where packed data ends too early.
const CUT: &str = "whole data in gzip's format, of which this is unpacked: the file ends inside it";
/// What stands where it is not as it was packed.
const DAMAGED: &str = "whole data in gzip's format, of which this is unpacked: it is damaged";

/// A stream of bytes with a place.
pub(super) struct Source {
    stream: Box<dyn Read + Send>,
    gzipped: bool,
    /// What was read of the stream, from `before` on, up to `end`; only grows.
    space: Vec<u8>,
    /// The offset of the first byte in `space`.
    before: u64,
    /// Where in `space` the bytes that were asked for last begin.
    last: usize,
    /// Where in `space` those end, and what was not asked for yet begins.
    at: usize,
    /// Where in `space` what was read ends.
    end: usize,
    /// The offset of the record being read.
    record: u64,
    /// Where in `space` the frame lies.
    frame: Range<usize>,
}

impl Source {
    pub(super) fn new(mut stream: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let mut space = vec![0; PACKED_BYTES];
        let mut end = 0;
        // Two bytes tell whether it is packed; what comes with them is kept.
        while end < 2 {
            match read(&mut stream, &mut space[end..])? {
                0 => break,
                there => end += there,
            }
        }
        let gzipped = space[..end].starts_with(&[0x1f, 0x8b]);
        let stream: Box<dyn Read + Send> = if gzipped {
            space.truncate(end);
            let whole = Cursor::new(std::mem::take(&mut space)).chain(stream);
            end = 0;
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED_BYTES, whole)))
        } else {
            Box::new(stream)
        };
        let (before, last, at, record, frame) = (0, 0, 0, 0, 0..0);
        Ok(Self { stream, gzipped, space, before, last, at, end, record, frame })
    }

    /// The first bytes of the next record; `None` at the end of the stream.
    pub(super) fn next_record(
        &mut self,
        length: u32,
        packets: u64,
    ) -> Result<Option<&[u8]>, CaptureError> {
        self.record = self.offset();
        match self.take(length as usize)? {
            0 if length > 0 => Ok(None),
            there if there == length as usize => Ok(Some(self.last(there))),
            _ => Err(self.truncated(packets)),
        }
    }

    /// More bytes of the same record; the earlier ones are gone.
    pub(super) fn more(&mut self, length: u32, packets: u64) -> Result<&[u8], CaptureError> {
        if length > LARGEST_BYTES {
            return Err(CaptureError::TooLarge { offset: self.record });
        }
        match self.take(length as usize)? {
            there if there == length as usize => Ok(self.last(there)),
            _ => Err(self.truncated(packets)),
        }
    }

    /// How many bytes there were of those that were asked for last and were not all there.
    pub(super) const fn there(&self) -> usize {
        self.at - self.last
    }

    /// Passes over bytes of the same record, however many.
    pub(super) fn skip(&mut self, length: u32, packets: u64) -> Result<(), CaptureError> {
        let mut left = length as usize;
        while left > 0 {
            let step = left.min(PACKED_BYTES);
            if self.take(step)? < step {
                return Err(self.truncated(packets));
            }
            left -= step;
        }
        Ok(())
    }

    /// The first of the bytes that were asked for last.
    pub(super) fn last(&self, length: usize) -> &[u8] {
        &self.space[self.last..][..length]
    }

    /// Says where the frame lies in what was asked for last.
    pub(super) fn set_frame(&mut self, frame: Range<usize>) {
        self.frame = self.last + frame.start..self.last + frame.end;
    }

    /// What was read already, and not asked for yet.
    #[inline]
    pub(super) fn ahead(&self) -> &[u8] {
        &self.space[self.at..self.end]
    }

    /// Takes what lies ahead up to the end of a frame.
    #[inline]
    pub(super) fn take_frame(&mut self, frame: Range<usize>) {
        self.frame = self.at + frame.start..self.at + frame.end;
        self.at = self.frame.end;
    }

    #[inline]
    pub(super) fn frame(&self) -> &[u8] {
        &self.space[self.frame.clone()]
    }

    pub(super) const fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// The error of a record that does not follow the format.
    pub(super) const fn expected(&self, expected: &'static str) -> CaptureError {
        CaptureError::Malformed { offset: self.record, expected }
    }

    #[cold]
    const fn truncated(&self, packets: u64) -> CaptureError {
        CaptureError::Truncated { offset: self.record, packets }
    }

    /// Takes as many bytes as are there, at most `length`.
    fn take(&mut self, length: usize) -> Result<usize, CaptureError> {
        if self.end - self.at < length {
            self.fetch(length)?;
        }
        let there = length.min(self.end - self.at);
        self.last = self.at;
        self.at += there;
        Ok(there)
    }

    /// Reads on until so many bytes are there that were not asked for yet, or the stream ends: one
    /// that trickles (a pipe, a decompressor) is not one that ends.
    #[cold]
    fn fetch(&mut self, length: usize) -> Result<(), CaptureError> {
        self.space.copy_within(self.at..self.end, 0);
        self.before += self.at as u64;
        (self.end, self.at) = (self.end - self.at, 0);
        let block = if self.gzipped { PACKED_BYTES } else { BLOCK_BYTES };
        while self.end < length {
            let room = self.end + block;
            if self.space.len() < room {
                self.space.resize(room, 0);
            }
            match read(&mut self.stream, &mut self.space[self.end..room]) {
                Ok(0) => break,
                Ok(there) => self.end += there,
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        Ok(())
    }

    /// The error of a stream that ends before its end.
    fn unreadable(&self, error: io::Error) -> CaptureError {
        match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
                if self.gzipped =>
            {
                let expected = match error.kind() {
                    ErrorKind::UnexpectedEof => CUT,
                    _ => DAMAGED,
                };
                let whole = self.end - self.end % PACKED_BYTES;
                CaptureError::Malformed { offset: self.before + whole as u64, expected }
            }
            _ => CaptureError::Io(error),
        }
    }
}

/// What the stream has, in one piece; nothing at its end.
fn read(stream: &mut impl Read, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(space) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
