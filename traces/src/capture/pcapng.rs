// SPDX-License-Identifier: GPL-2.0-only
//! The newer format: blocks, in sections, each section with its own byte order and interfaces.
//!
//! ```text
//!   block    kind  length  body…  length again
//!   section  byte order, version            ends the interfaces of the one before
//!   interface  link type, snap length, options (resolution and offset of time stamps)
//!   packet   interface, time, captured, original, bytes, options
//! ```
//!
//! Blocks of other kinds are passed over, however long. The options of packets are not read.
//!
//! The rule that matters: a block's two lengths must agree, and what a packet claims to hold
//! must fit its block; otherwise nothing behind it can be trusted.

use super::source::Source;
use super::{CaptureError, Endian, Record, nanoseconds};

/// A section's kind, the same in either byte order.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The old form of a packet.
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;
/// The most interfaces a section may describe.
const MOST_INTERFACES: usize = 1 << 16;
/// Kind, length and length again.
const AROUND: u32 = 12;

/// What is known of the section being read.
pub(super) struct Reader {
    endian: Endian,
    interfaces: Vec<Interface>,
}

/// What a packet's block leaves to its interface.
#[derive(Clone, Copy)]
struct Interface {
    link: i32,
    snap_len: u32,
    /// Units per second of its time stamps.
    resolution: u64,
    offset_secs: i64,
}

/// A packet's head: which interface, when, how long.
struct Head {
    interface: u32,
    ticks: u64,
    captured: u32,
    original_len: u32,
    /// Where the bytes begin.
    start: usize,
}

impl Reader {
    /// Reads the first section's head behind its kind.
    pub(super) fn new(source: &mut Source) -> Result<Self, CaptureError> {
        let mut reader = Self { endian: Endian::Little, interfaces: Vec::new() };
        reader.section(source, 0)?;
        Ok(reader)
    }

    /// The next packet, with whatever blocks come before it.
    pub(super) fn next(
        &mut self,
        source: &mut Source,
        packets: u64,
    ) -> Result<Option<Record>, CaptureError> {
        loop {
            let Some(kind) = source.next_record(4, packets)? else { return Ok(None) };
            let kind = self.endian.long(kind, 0);
            let read = match kind {
                SECTION => self.section(source, packets).map(|()| None),
                INTERFACE => self.interface(source, packets).map(|()| None),
                OLD_PACKET | SIMPLE_PACKET | PACKET => self.packet(kind, source, packets).map(Some),
                _ => self.pass_over(source, packets).map(|()| None),
            };
            if let Some(record) = read? {
                return Ok(Some(record));
            }
        }
    }

    /// Begins a section.
    fn section(&mut self, source: &mut Source, packets: u64) -> Result<(), CaptureError> {
        let head = source.more(8, packets)?;
        let endian = match head[4..8] {
            [0x1a, 0x2b, 0x3c, 0x4d] => Endian::Big,
            [0x4d, 0x3c, 0x2b, 0x1a] => Endian::Little,
            _ => return Err(source.expected("a byte-order mark, 1a2b3c4d in either order")),
        };
        let length = endian.long(head, 0);
        let body = body_length(length, 16, source)?;
        let rest = source.more(body, packets)?;
        let major = endian.short(rest, 0);
        let again = endian.long(rest, rest.len() - 4);
        if again != length {
            return Err(source.expected("the block's length again at its end"));
        }
        if major != 1 {
            return Err(source.expected("version 1 of the pcapng format"));
        }
        self.endian = endian;
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, source: &mut Source, packets: u64) -> Result<(), CaptureError> {
        if self.interfaces.len() == MOST_INTERFACES {
            return Err(source.expected("at most 65536 interfaces in a section"));
        }
        let endian = self.endian;
        let body = self.body(8, source, packets)?;
        let described = Interface::of(endian, body);
        self.interfaces.push(described.map_err(|expected| source.expected(expected))?);
        Ok(())
    }

    fn packet(&self, kind: u32, source: &mut Source, packets: u64) -> Result<Record, CaptureError> {
        let least = if kind == SIMPLE_PACKET { 4 } else { 20 };
        let body = self.body(least, source, packets)?;
        let (length, head) = (body.len(), Head::of(kind, self.endian, body));
        let Some(interface) = self.interfaces.get(head.interface as usize) else {
            return Err(source.expected("a packet of an interface that was described"));
        };
        let captured = match (kind, interface.snap_len) {
            (SIMPLE_PACKET, 1..) => head.captured.min(interface.snap_len),
            _ => head.captured,
        };
        let end = head.start + captured as usize;
        if end > length {
            return Err(source.expected("a captured length that fits its block"));
        }
        source.set_frame(head.start..end);
        let time_ns = nanoseconds(head.ticks, interface.resolution, interface.offset_secs);
        Ok(Record { time_ns, link: interface.link, original_len: head.original_len })
    }

    fn pass_over(&self, source: &mut Source, packets: u64) -> Result<(), CaptureError> {
        let length = self.endian.long(source.more(4, packets)?, 0);
        let body = body_length(length, 0, source)?;
        source.skip(body, packets)?;
        let again = self.endian.long(source.more(4, packets)?, 0);
        if again != length {
            return Err(source.expected("the block's length again at its end"));
        }
        Ok(())
    }

    /// A block's body, of at least so many bytes.
    fn body<'s>(
        &self,
        least: u32,
        source: &'s mut Source,
        packets: u64,
    ) -> Result<&'s [u8], CaptureError> {
        let length = self.endian.long(source.more(4, packets)?, 0);
        let body = body_length(length, least, source)?;
        let rest = source.more(body + 4, packets)?;
        if self.endian.long(rest, body as usize) != length {
            return Err(source.expected("the block's length again at its end"));
        }
        Ok(source.last(body as usize))
    }
}

/// How long a block's body is, if its length can be true.
fn body_length(length: u32, least: u32, source: &Source) -> Result<u32, CaptureError> {
    if !length.is_multiple_of(4) {
        return Err(source.expected("a block length that is a multiple of 4"));
    }
    let body = length.checked_sub(AROUND).filter(|&body| body >= least);
    body.ok_or_else(|| source.expected("a block length that holds the block's own fields"))
}

impl Interface {
    /// From the body of its block; the error tells what should have stood there.
    fn of(endian: Endian, body: &[u8]) -> Result<Self, &'static str> {
        let (link, snap_len) = (i32::from(endian.short(body, 0)), endian.long(body, 4));
        let mut described = Self { link, snap_len, resolution: 1_000_000, offset_secs: 0 };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, length) = (endian.short(options, 0), endian.short(options, 2));
            let length = usize::from(length);
            let value = options.get(4..4 + length).ok_or("options that fit their block")?;
            match (code, length) {
                (0, _) => break,
                (9, 1) => described.resolution = resolution(value[0])?,
                (9, _) => return Err("one byte as the resolution of time stamps"),
                (14, 8) => {
                    let (first, second) = (endian.long(value, 0), endian.long(value, 4));
                    let (high, low) = match endian {
                        Endian::Little => (second, first),
                        Endian::Big => (first, second),
                    };
                    described.offset_secs = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                (14, _) => return Err("eight bytes as the offset of time stamps"),
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(described)
    }
}

/// Units per second, from the negative power of ten or, with the high bit, of two.
fn resolution(power: u8) -> Result<u64, &'static str> {
    let units = match power {
        0..0x80 => 10_u64.checked_pow(u32::from(power)),
        _ => 1_u64.checked_shl(u32::from(power & 0x7f)),
    };
    units.ok_or("a resolution of at most 10^-19 or 2^-63 seconds")
}

impl Head {
    fn of(kind: u32, endian: Endian, body: &[u8]) -> Self {
        let long = |at| endian.long(body, at);
        if kind == SIMPLE_PACKET {
            let original_len = long(0);
            return Self { interface: 0, ticks: 0, captured: original_len, original_len, start: 4 };
        }
        let interface = if kind == PACKET { long(0) } else { u32::from(endian.short(body, 0)) };
        let ticks = u64::from(long(4)) << 32 | u64::from(long(8));
        Self { interface, ticks, captured: long(12), original_len: long(16), start: 20 }
    }
}
