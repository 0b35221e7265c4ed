// SPDX-License-Identifier: GPL-2.0-only
//! Solaris' format.
//!
//! ```text
//!   header  "snoop"  version  link type                                      16 bytes
//!   record  original  captured  record length  drops  seconds  µs  bytes…  record length
//! ```
//!
//! # Source
//! RFC 1761.

use super::source::Source;
use super::{CaptureError, Endian, Record, nanoseconds};

/// The first half of the magic number.
pub(super) const MAGIC: [u8; 4] = *b"snoo";

/// How the records of a file are to be read.
pub(super) struct Reader {
    link: i32,
}

impl Reader {
    /// Reads the header behind the first half of its magic number.
    pub(super) fn new(source: &mut Source) -> Result<Self, CaptureError> {
        let header = source.more(12, 0)?;
        if header[..4] != *b"p\0\0\0" {
            return Err(CaptureError::NotACapture);
        }
        let (version, link) = (Endian::Big.long(header, 4), Endian::Big.long(header, 8));
        if version != 2 {
            return Err(source.expected("version 2 of the snoop format"));
        }
        // Its numbers of link types are its own.
        let link = match link {
            0 | 1 => 6,
            4 => 1,
            8 => 10,
            _ => return Err(source.expected("a link type of Ethernet, token ring or FDDI")),
        };
        Ok(Self { link })
    }

    pub(super) fn next(
        &self,
        source: &mut Source,
        packets: u64,
    ) -> Result<Option<Record>, CaptureError> {
        let Some(head) = source.next_record(24, packets)? else { return Ok(None) };
        let long = |at| Endian::Big.long(head, at);
        let (original_len, captured, length) = (long(0), long(4), long(8));
        let ticks = u64::from(long(16)) * 1_000_000 + u64::from(long(20));
        let body = length.checked_sub(24).filter(|&body| body >= captured);
        let Some(body) = body else {
            return Err(source.expected("a captured length that fits its record"));
        };
        source.more(body, packets)?;
        source.set_frame(0..captured as usize);
        let time_ns = nanoseconds(ticks, 1_000_000, 0);
        Ok(Some(Record { time_ns, link: self.link, original_len }))
    }
}
