// SPDX-License-Identifier: GPL-2.0-only
//! Capture files in, frames out: pcap, pcapng and snoop, plain or gzipped, as a stream.
//!
//! *Frame*: the bytes of one packet with its link layer, as they were captured. *Record*: what
//! a file holds of one packet; in pcapng a *block*, of which there are other kinds too.
//!
//! ```text
//!   bytes ─▶ (gunzip) ─▶ source ─┬─▶ pcap   ─┐
//!                                ├─▶ pcapng ─┼─▶ record: frame, time, link type
//!                                └─▶ snoop  ─┘
//! ```
//!
//! The rules that matter: every step consumes at least one byte or ends the stream; a length is
//! believed only as far as there are bytes for it, and memory stays bounded whatever the file
//! says; an error tells where its record begins and what should have stood there.

mod pcap;
mod pcapng;
mod snoop;
mod source;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use source::Source;

/// The largest record that is accepted.
pub const LARGEST_BYTES: u32 = 16 << 20;

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its number, from 1, as other tools count.
    pub number: u64,
    /// When it was captured, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// The link type, by its registered number.
    pub link: i32,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// How long it was.
    pub original_len: u32,
}

/// Why a capture could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened or read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no capture.
    #[error("offset 0: expected a pcap, pcapng or snoop header")]
    NotACapture,
    /// It ends inside a record.
    #[error("offset {offset}: the file ends inside a record, after {packets} whole packets")]
    Truncated {
        /// Where the record begins.
        offset: u64,
        /// How many packets came before.
        packets: u64,
    },
    /// A record is larger than any sensible packet.
    #[error("offset {offset}: expected a record of at most 16 MiB")]
    TooLarge {
        /// Where the record begins.
        offset: u64,
    },
    /// A record does not follow the format.
    #[error("offset {offset}: expected {expected}")]
    Malformed {
        /// Where the record begins.
        offset: u64,
        /// What should have stood there.
        expected: &'static str,
    },
}

/// A capture being read.
pub struct Capture {
    source: Source,
    format: Format,
    packets: u64,
    over: bool,
}

/// How a file is laid out.
enum Format {
    Pcap(pcap::Reader),
    Pcapng(pcapng::Reader),
    Snoop(snoop::Reader),
}

/// What a record tells; its frame lies in the source.
struct Record {
    time_ns: i64,
    link: i32,
    original_len: u32,
}

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endian {
    Little,
    Big,
}

impl Capture {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::new(File::open(path)?)
    }

    /// Reads a stream.
    ///
    /// # Errors
    /// If it cannot be read or is no capture.
    pub fn new(stream: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let mut source = Source::new(stream)?;
        let magic = source.next_record(4, 0).map_err(|error| match error {
            CaptureError::Truncated { .. } => CaptureError::NotACapture,
            error => error,
        })?;
        let Some(&[a, b, c, d]) = magic else { return Err(CaptureError::NotACapture) };
        let format = match [a, b, c, d] {
            pcapng::MAGIC => Format::Pcapng(pcapng::Reader::new(&mut source)?),
            snoop::MAGIC => Format::Snoop(snoop::Reader::new(&mut source)?),
            magic => Format::Pcap(pcap::Reader::new(magic, &mut source)?),
        };
        Ok(Self { source, format, packets: 0, over: false })
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// What is wrong and where. Whole packets before it have been answered; there are none
    /// after it.
    #[inline]
    pub fn next_packet(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        // Most records lie whole where they were read; all others are asked for piece by piece.
        if let Format::Pcap(reader) = &self.format
            && !self.over
            && let Some(record) = reader.here(&mut self.source)
        {
            self.packets += 1;
            return Ok(Some(self.frame(&record)));
        }
        self.next_in_pieces()
    }

    fn next_in_pieces(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.over {
            return Ok(None);
        }
        let Self { source, packets, .. } = self;
        let read = match &mut self.format {
            Format::Pcap(reader) => reader.next(source, *packets),
            Format::Pcapng(reader) => reader.next(source, *packets),
            Format::Snoop(reader) => reader.next(source, *packets),
        };
        match read {
            Ok(Some(record)) => {
                self.packets += 1;
                Ok(Some(self.frame(&record)))
            }
            end => {
                self.over = true;
                end.map(|_| None)
            }
        }
    }

    /// The frame of the record that was read last.
    #[inline]
    fn frame(&self, record: &Record) -> Frame<'_> {
        let Record { time_ns, link, original_len } = *record;
        Frame { number: self.packets, time_ns, link, bytes: self.source.frame(), original_len }
    }

    /// The frames that come next, as far as they were read already: for whoever looks ahead. Of
    /// other formats than the classic one there are none.
    #[must_use]
    pub fn coming(&self) -> Coming<'_> {
        let reader = match &self.format {
            Format::Pcap(reader) if !self.over => Some(reader),
            _ => None,
        };
        Coming { reader, ahead: self.source.ahead() }
    }

    /// What there is of the packet inside which a classic file ends, after
    /// [`CaptureError::Truncated`].
    pub fn cut_packet(&mut self) -> Option<Frame<'_>> {
        let Format::Pcap(reader) = &mut self.format else { return None };
        let Record { time_ns, link, original_len } = reader.cut.take()?;
        let number = self.packets + 1;
        Some(Frame { number, time_ns, link, bytes: self.source.frame(), original_len })
    }

    /// How far the stream was read, in bytes after decompression.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }
}

/// The frames that come next, each with its link type.
pub struct Coming<'a> {
    reader: Option<&'a pcap::Reader>,
    ahead: &'a [u8],
}

impl<'a> Iterator for Coming<'a> {
    type Item = (i32, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (record, frame) = self.reader?.first(self.ahead)?;
        let (taken, rest) = self.ahead.split_at(frame.end);
        self.ahead = rest;
        Some((record.link, &taken[frame.start..]))
    }
}

impl std::fmt::Debug for Coming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coming").field("ahead", &self.ahead.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Endian {
    /// The two bytes at `at`, which are there.
    #[inline]
    fn short(self, bytes: &[u8], at: usize) -> u16 {
        let pair = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(pair),
            Self::Big => u16::from_be_bytes(pair),
        }
    }

    /// The four bytes at `at`, which are there.
    #[inline]
    fn long(self, bytes: &[u8], at: usize) -> u32 {
        let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        }
    }
}

/// A point in time from a count of ticks; beyond the year 2262 time stands still.
#[inline]
fn nanoseconds(ticks: u64, per_second: u64, offset_secs: i64) -> i64 {
    // Narrow for the usual resolutions: a wide division costs more than the rest of a record.
    let unit_ns = match per_second {
        1_000_000 => Some(1000),
        1_000_000_000 => Some(1),
        _ => None,
    };
    let since = unit_ns.and_then(|unit| i64::try_from(ticks).ok()?.checked_mul(unit));
    let offset = offset_secs.checked_mul(1_000_000_000);
    match since.zip(offset).and_then(|(since, offset)| since.checked_add(offset)) {
        Some(narrow) => narrow,
        None => wide_nanoseconds(ticks, per_second, offset_secs),
    }
}

#[cold]
fn wide_nanoseconds(ticks: u64, per_second: u64, offset_secs: i64) -> i64 {
    let since = i128::from(ticks) * 1_000_000_000 / i128::from(per_second);
    let nanoseconds = since + i128::from(offset_secs) * 1_000_000_000;
    nanoseconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that trickles: at most so many bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
            let most = space.len().min(self.1);
            self.0.read(&mut space[..most])
        }
    }

    fn told(bytes: &'static [u8], at_a_time: usize) -> Vec<String> {
        let mut told = Vec::new();
        let mut capture = match Capture::new(Trickle(bytes, at_a_time)) {
            Ok(capture) => capture,
            Err(error) => return vec![error.to_string()],
        };
        loop {
            let coming = capture.coming().next().map(|(link, bytes)| (link, bytes.to_vec()));
            let (frame, over) = match capture.next_packet() {
                Ok(Some(frame)) => {
                    let comes =
                        coming.is_none_or(|coming| coming == (frame.link, frame.bytes.to_vec()));
                    assert!(comes, "what comes is what was coming");
                    (format!("{frame:?}"), false)
                }
                Ok(None) => (String::from("end"), true),
                Err(error) => (error.to_string(), true),
            };
            told.push(format!("{frame}, then {}", capture.offset()));
            if over {
                told.extend(capture.cut_packet().map(|frame| format!("{frame:?}")));
                return told;
            }
        }
    }

    #[test]
    fn records_are_the_same_in_one_piece_and_in_many() {
        let bytes = include_bytes!("../../captures/tftp/tftp-read-v4.pcap");
        for cut in (0..bytes.len()).rev().step_by(61) {
            let bytes = &bytes[..=cut];
            let whole = told(bytes, usize::MAX);
            assert!(cut < 1000 || whole.len() > 5, "{whole:?}");
            for at_a_time in [1, 15, 16, 17, 1000] {
                assert_eq!(told(bytes, at_a_time), whole, "{at_a_time} at a time of {cut}");
            }
        }
    }

    #[test]
    fn what_comes_next_is_known_as_far_as_it_was_read() {
        let bytes = include_bytes!("../../captures/tftp/tftp-read-v4.pcap");
        let mut capture = Capture::new(&bytes[..]).expect("ours");
        let coming: Vec<_> = capture.coming().map(|(_, bytes)| bytes.to_vec()).collect();
        assert!(coming.len() > 5, "all of it was read with its header");
        for bytes in coming {
            assert_eq!(capture.next_packet().expect("whole").expect("it comes").bytes, bytes);
        }
        assert!(capture.next_packet().expect("whole").is_none());
        assert_eq!(capture.coming().count(), 0);
    }

    #[test]
    fn narrow_numbers_say_the_same_as_wide_ones() {
        let edges = [0, 1, 999_999, 1 << 32, i64::MAX as u64 / 1000, i64::MAX as u64, u64::MAX];
        let offsets = [0, 1, -1, 9_223_372_036, -9_223_372_037, i64::MAX, i64::MIN];
        for per_second in [1, 1000, 1_000_000, 1 << 30, 1_000_000_000, u64::MAX] {
            for ticks in edges.into_iter().flat_map(|edge| [edge, edge.wrapping_add(1)]) {
                for offset in offsets {
                    let wide = wide_nanoseconds(ticks, per_second, offset);
                    let narrow = nanoseconds(ticks, per_second, offset);
                    assert_eq!(narrow, wide, "{ticks} of {per_second} a second, and {offset} s");
                }
            }
        }
    }
}
