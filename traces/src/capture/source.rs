// SPDX-License-Identifier: GPL-2.0-only
//! The bytes of a capture, unpacked and counted.
//!
//! The rule that matters: space for what a length promises is made step by step, as the bytes
//! come, so that a length that lies costs nothing.

use std::io::{self, BufReader, ErrorKind, Read};
use std::ops::Range;

use flate2::bufread::MultiGzDecoder;

use super::{CaptureError, LARGEST_BYTES};

/// The block in which files are read.
const BLOCK_BYTES: usize = 1 << 16;
/// By how much space grows at a time.
const STEP_BYTES: usize = 1 << 16;

/// A stream of bytes with a place.
pub(super) struct Source {
    stream: Box<dyn Read + Send>,
    gzipped: bool,
    /// How many bytes were taken.
    offset: u64,
    /// Where the record being read begins.
    record: u64,
    /// Holds the last bytes that were asked for; only grows.
    space: Vec<u8>,
    /// Where in `space` the frame lies.
    frame: Range<usize>,
    /// How many bytes of the last, incomplete record there were.
    there: usize,
}

impl Source {
    pub(super) fn new(stream: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let mut stream = BufReader::with_capacity(BLOCK_BYTES, stream);
        let mut head = [0; 2];
        let there = fill(&mut stream, &mut head)?;
        let gzipped = head[..there] == [0x1f, 0x8b];
        let whole = io::Cursor::new(head).take(there as u64).chain(stream);
        let stream: Box<dyn Read + Send> = if gzipped {
            let packed = BufReader::with_capacity(BLOCK_BYTES, whole);
            Box::new(BufReader::with_capacity(BLOCK_BYTES, MultiGzDecoder::new(packed)))
        } else {
            Box::new(BufReader::with_capacity(BLOCK_BYTES, whole))
        };
        Ok(Self { stream, gzipped, offset: 0, record: 0, space: Vec::new(), frame: 0..0, there: 0 })
    }

    /// The first bytes of the next record; `None` at the end of the stream.
    pub(super) fn next_record(
        &mut self,
        length: u32,
        packets: u64,
    ) -> Result<Option<&[u8]>, CaptureError> {
        self.record = self.offset;
        match self.read(length as usize)? {
            0 if length > 0 => Ok(None),
            there if there == length as usize => Ok(Some(&self.space[..there])),
            _ => Err(self.truncated(packets)),
        }
    }

    /// More bytes of the same record; the earlier ones are gone.
    pub(super) fn more(&mut self, length: u32, packets: u64) -> Result<&[u8], CaptureError> {
        if length > LARGEST_BYTES {
            return Err(CaptureError::TooLarge { offset: self.record });
        }
        match self.read(length as usize)? {
            there if there == length as usize => Ok(&self.space[..there]),
            there => {
                self.there = there;
                Err(self.truncated(packets))
            }
        }
    }

    /// How many bytes there were of those that were asked for last and were not all there.
    pub(super) const fn there(&self) -> usize {
        self.there
    }

    /// Passes over bytes of the same record, however many.
    pub(super) fn skip(&mut self, length: u32, packets: u64) -> Result<(), CaptureError> {
        let mut left = length as usize;
        while left > 0 {
            let step = left.min(STEP_BYTES);
            if self.read(step)? < step {
                return Err(self.truncated(packets));
            }
            left -= step;
        }
        Ok(())
    }

    /// The first of the bytes that were asked for last.
    pub(super) fn last(&self, length: usize) -> &[u8] {
        &self.space[..length]
    }

    /// Says where the frame lies in what was asked for last.
    pub(super) fn set_frame(&mut self, frame: Range<usize>) {
        self.frame = frame;
    }

    pub(super) fn frame(&self) -> &[u8] {
        &self.space[self.frame.clone()]
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The error of a record that does not follow the format.
    pub(super) const fn expected(&self, expected: &'static str) -> CaptureError {
        CaptureError::Malformed { offset: self.record, expected }
    }

    const fn truncated(&self, packets: u64) -> CaptureError {
        CaptureError::Truncated { offset: self.record, packets }
    }

    /// Reads as many bytes as are there, at most `length`, to the start of `space`.
    fn read(&mut self, length: usize) -> Result<usize, CaptureError> {
        let mut filled = 0;
        while filled < length {
            let end = length.min(filled + STEP_BYTES);
            if self.space.len() < end {
                self.space.resize(end, 0);
            }
            let there =
                fill(&mut self.stream, &mut self.space[filled..end]).map_err(
                    |error| match error.kind() {
                        ErrorKind::InvalidData
                        | ErrorKind::InvalidInput
                        | ErrorKind::UnexpectedEof
                            if self.gzipped =>
                        {
                            let expected = "whole data in gzip's format, of which this is unpacked";
                            CaptureError::Malformed {
                                offset: self.offset + filled as u64,
                                expected,
                            }
                        }
                        _ => CaptureError::Io(error),
                    },
                )?;
            filled += there;
            if filled < end {
                break;
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

/// Reads until `space` is full or the stream ends: one that trickles (a pipe, a decompressor) is
/// not one that ends.
fn fill(stream: &mut impl Read, space: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < space.len() {
        match stream.read(&mut space[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
