// SPDX-License-Identifier: GPL-2.0-only
//! Capture files in, frames out: pcap and pcapng, plain or gzipped, as a stream.
//!
//! *Frame*: the bytes of one packet with its link layer, as they were captured. Memory stays
//! bounded whatever the file says: a block that does not fit is an error with its offset.
//!
//! The rule that matters: the library reader stays behind this door, and every step either
//! consumes bytes or ends the stream.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

/// The block in which files are read.
const BLOCK_BYTES: usize = 1 << 20;
/// The largest record that is accepted.
const LARGEST_BYTES: usize = 16 << 20;
/// The most interfaces a section may describe.
const MOST_INTERFACES: usize = 1 << 16;

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
    #[error("offset 0: expected a pcap or pcapng header")]
    NotACapture,
    /// It ends inside a record.
    #[error("offset {offset}: the file ends inside a record, after {packets} whole packets")]
    Truncated {
        /// Where the record begins.
        offset: u64,
        /// How many came before.
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
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    legacy: Option<Interface>,
    packets: u64,
    frame: Vec<u8>,
    over: bool,
}

/// What a packet's record leaves to its interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    /// Units per second of its time stamps.
    resolution: u64,
    offset_secs: i64,
    snap_len: u32,
}

/// What a record tells, beside the bytes themselves.
struct Told {
    time_ns: i64,
    link: i32,
    original_len: u32,
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
    pub fn new(source: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let mut source = BufReader::with_capacity(BLOCK_BYTES, source);
        let gzipped = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn Read + Send> =
            if gzipped { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
        let reader = create_reader(BLOCK_BYTES, Whole(source)).map_err(|error| match error {
            PcapError::ReadError => CaptureError::Io(std::io::ErrorKind::InvalidData.into()),
            _ => CaptureError::NotACapture,
        })?;
        let (interfaces, frame) = (Vec::new(), Vec::new());
        Ok(Self { reader, interfaces, legacy: None, packets: 0, frame, over: false })
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// What is wrong and where. Whole packets before it have been answered; there are none
    /// after it.
    pub fn next_packet(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.over {
            return Ok(None);
        }
        match self.advance() {
            Ok(Some(told)) => {
                self.packets += 1;
                Ok(Some(Frame {
                    number: self.packets,
                    time_ns: told.time_ns,
                    link: told.link,
                    bytes: &self.frame,
                    original_len: told.original_len,
                }))
            }
            end => {
                self.over = true;
                end.map(|_| None)
            }
        }
    }

    /// How far the stream was read, in bytes after decompression.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.reader.consumed() as u64
    }

    /// Goes to the next packet; its bytes are in `frame` then.
    fn advance(&mut self) -> Result<Option<Told>, CaptureError> {
        let mut starved = 0;
        loop {
            let offset = self.reader.consumed() as u64;
            match self.reader.next() {
                Ok((0, _)) => {
                    let expected = "a record of some length";
                    return Err(CaptureError::Malformed { offset, expected });
                }
                Ok((length, block)) => {
                    let parts = (&mut self.interfaces, &mut self.legacy, &mut self.frame);
                    let told = take(block, parts, offset)?;
                    self.reader.consume(length);
                    starved = 0;
                    if told.is_some() {
                        return Ok(told);
                    }
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) => {
                    let before = self.reader.data().len();
                    if before >= LARGEST_BYTES {
                        return Err(CaptureError::TooLarge { offset });
                    }
                    self.refill()?;
                    // A stream that gives nothing twice in a row has ended inside a record.
                    starved = if self.reader.data().len() == before { starved + 1 } else { 0 };
                    if starved > 1 {
                        let packets = self.packets;
                        return Err(CaptureError::Truncated { offset, packets });
                    }
                }
                Err(PcapError::BufferTooSmall) => {
                    let size = self.reader.data().len().max(BLOCK_BYTES) * 2;
                    if size > LARGEST_BYTES || !self.reader.grow(size) {
                        return Err(CaptureError::TooLarge { offset });
                    }
                    self.refill()?;
                }
                Err(PcapError::UnexpectedEof) => {
                    return Err(CaptureError::Truncated { offset, packets: self.packets });
                }
                Err(PcapError::ReadError) => {
                    return Err(CaptureError::Io(std::io::ErrorKind::InvalidData.into()));
                }
                Err(_) => {
                    let expected = "a record of the capture format";
                    return Err(CaptureError::Malformed { offset, expected });
                }
            }
        }
    }

    fn refill(&mut self) -> Result<(), CaptureError> {
        let failed = |_| CaptureError::Io(std::io::ErrorKind::InvalidData.into());
        self.reader.refill().map_err(failed)
    }
}

/// Reads as much as is asked for, so that a stream that trickles (a pipe, a decompressor) does
/// not look like one that ends.
struct Whole(Box<dyn Read + Send>);

impl Read for Whole {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < space.len() {
            match self.0.read(&mut space[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if filled == 0 => return Err(error),
                // What was read so far is good; the error comes again with the next read.
                Err(_) => break,
            }
        }
        Ok(filled)
    }
}

type Parts<'a> = (&'a mut Vec<Interface>, &'a mut Option<Interface>, &'a mut Vec<u8>);

/// Takes one record in.
fn take(
    block: PcapBlockOwned<'_>,
    (interfaces, legacy, frame): Parts<'_>,
    offset: u64,
) -> Result<Option<Told>, CaptureError> {
    let mut keep = |bytes: &[u8]| {
        frame.clear();
        frame.extend_from_slice(bytes);
    };
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution =
                if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            let (link, snap_len) = (header.network.0 & 0x0fff_ffff, header.snaplen);
            *legacy = Some(Interface { link, resolution, offset_secs: 0, snap_len });
            Ok(None)
        }
        PcapBlockOwned::Legacy(record) => {
            let interface = legacy.ok_or(CaptureError::NotACapture)?;
            keep(record.data);
            let ticks = u64::from(record.ts_sec) * interface.resolution + u64::from(record.ts_usec);
            Ok(Some(interface.told(ticks, record.origlen)))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            Ok(None)
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            if interfaces.len() == MOST_INTERFACES {
                let expected = "at most 65536 interfaces in a section";
                return Err(CaptureError::Malformed { offset, expected });
            }
            interfaces.push(Interface {
                link: described.linktype.0,
                resolution: described.ts_resolution().unwrap_or(1_000_000).max(1),
                offset_secs: described.ts_offset(),
                snap_len: described.snaplen,
            });
            Ok(None)
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(record)) => {
            let interface = usize::try_from(record.if_id).ok().and_then(|id| interfaces.get(id));
            let expected = "a packet of an interface that was described";
            let interface = interface.ok_or(CaptureError::Malformed { offset, expected })?;
            let captured = (record.caplen as usize).min(record.data.len());
            keep(&record.data[..captured]);
            let ticks = u64::from(record.ts_high) << 32 | u64::from(record.ts_low);
            Ok(Some(interface.told(ticks, record.origlen)))
        }
        PcapBlockOwned::NG(Block::SimplePacket(record)) => {
            let expected = "an interface before a simple packet";
            let interface = interfaces.first();
            let interface = interface.ok_or(CaptureError::Malformed { offset, expected })?;
            let snapped = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
            let captured = (record.origlen.min(snapped) as usize).min(record.data.len());
            keep(&record.data[..captured]);
            Ok(Some(interface.told(0, record.origlen)))
        }
        PcapBlockOwned::NG(_) => Ok(None),
    }
}

impl Interface {
    fn told(&self, ticks: u64, original_len: u32) -> Told {
        let nanoseconds = i128::from(ticks) * 1_000_000_000 / i128::from(self.resolution)
            + i128::from(self.offset_secs) * 1_000_000_000;
        // Beyond the year 2262 time stands still.
        let time_ns = nanoseconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        Told { time_ns, link: self.link, original_len }
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("packets", &self.packets).finish_non_exhaustive()
    }
}
