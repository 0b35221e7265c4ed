// SPDX-License-Identifier: GPL-2.0-only
//! The classic format: a header, then records.
//!
//! ```text
//!   header  magic  version  zone  accuracy  snap length  link type      24 bytes
//!   record  seconds  fraction  captured  original  bytes…            16 + captured
//! ```
//!
//! Either byte order, microseconds or nanoseconds, and Kuznetzov's variant, whose records have
//! eight more bytes. A record may be longer than the snap length says; what counts is its own
//! length.

use std::ops::Range;

use super::source::Source;
use super::{CaptureError, Endian, LARGEST_BYTES, Record};

/// How the records of a file are to be read.
pub(super) struct Reader {
    endian: Endian,
    /// The unit of the fraction, in nanoseconds.
    unit_ns: i64,
    record_head: u32,
    link: i32,
    /// The record inside which the file ends; what is there of its frame lies in the source.
    pub(super) cut: Option<Record>,
}

impl Reader {
    /// Reads the header behind its magic number.
    pub(super) fn new(magic: [u8; 4], source: &mut Source) -> Result<Self, CaptureError> {
        let (endian, magic) = match magic[0] {
            0xa1 => (Endian::Big, magic),
            _ => (Endian::Little, [magic[3], magic[2], magic[1], magic[0]]),
        };
        let (unit_ns, record_head) = match u32::from_be_bytes(magic) {
            0xa1b2_c3d4 => (1000, 16),
            0xa1b2_3c4d => (1, 16),
            0xa1b2_cd34 => (1000, 24),
            _ => return Err(CaptureError::NotACapture),
        };
        let header = source.more(20, 0)?;
        // The upper bits tell of checksums at the end of frames.
        let link = (endian.long(header, 16) & 0x03ff_ffff) as i32;
        Ok(Self { endian, unit_ns, record_head, link, cut: None })
    }

    /// The next record, if all of it was read already: the same as [`next`](Self::next).
    #[inline]
    pub(super) fn here(&self, source: &mut Source) -> Option<Record> {
        let (record, frame) = self.first(source.ahead())?;
        source.take_frame(frame);
        Some(record)
    }

    /// The record that bytes begin with, if all of it is there, and where in them its frame lies.
    #[inline]
    pub(super) fn first(&self, bytes: &[u8]) -> Option<(Record, Range<usize>)> {
        let (record, captured) = self.record(bytes.first_chunk()?);
        let start = self.record_head as usize;
        let end = start + captured as usize;
        let is_whole = captured <= LARGEST_BYTES && end <= bytes.len();
        is_whole.then_some((record, start..end))
    }

    pub(super) fn next(
        &mut self,
        source: &mut Source,
        packets: u64,
    ) -> Result<Option<Record>, CaptureError> {
        let Some(head) = source.next_record(self.record_head, packets)? else { return Ok(None) };
        let head = head.first_chunk().expect("no record's head is shorter");
        let (record, captured) = self.record(head);
        match source.more(captured, packets) {
            Ok(_) => source.set_frame(0..captured as usize),
            Err(error) => {
                if matches!(error, CaptureError::Truncated { .. }) {
                    source.set_frame(0..source.there());
                    self.cut = Some(record);
                }
                return Err(error);
            }
        }
        Ok(Some(record))
    }

    /// What a record's head says, and how many bytes were captured.
    #[inline]
    fn record(&self, head: &[u8; 16]) -> (Record, u32) {
        let long = |at| self.endian.long(head, at);
        let (secs, fraction, captured, original_len) = (long(0), long(4), long(8), long(12));
        // Far from the year 2262, whatever both say.
        let time_ns = i64::from(secs) * 1_000_000_000 + i64::from(fraction) * self.unit_ns;
        (Record { time_ns, link: self.link, original_len }, captured)
    }
}
