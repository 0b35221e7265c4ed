// SPDX-License-Identifier: GPL-2.0-only
//! Captures made by hand, field by field, so that any field can lie.

use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use nfexp_traces::capture::Capture;

/// The order of a number's bytes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Little,
    Big,
}
pub(crate) use Order::{Big, Little};

impl Order {
    pub(crate) fn short(self, number: u16) -> Vec<u8> {
        if self == Little { number.to_le_bytes().to_vec() } else { number.to_be_bytes().to_vec() }
    }

    pub(crate) fn long(self, number: u32) -> Vec<u8> {
        if self == Little { number.to_le_bytes().to_vec() } else { number.to_be_bytes().to_vec() }
    }

    pub(crate) fn longs(self, numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| self.long(*number)).collect()
    }
}

/// A classic header.
pub(crate) fn header(order: Order, magic: u32, snap_len: u32, link: u32) -> Vec<u8> {
    let version = [order.short(2), order.short(4)].concat();
    [order.long(magic), version, order.longs(&[0, 0, snap_len, link])].concat()
}

/// A classic record that claims to hold so many bytes.
pub(crate) fn record(order: Order, captured: u32, original: u32, bytes: &[u8]) -> Vec<u8> {
    [order.longs(&[1_000, 5, captured, original]), bytes.to_vec()].concat()
}

/// The usual header and records that tell the truth.
pub(crate) fn pcap(frames: &[&[u8]]) -> Vec<u8> {
    let records = frames.iter().flat_map(|frame| {
        let length = frame.len() as u32;
        record(Little, length, length, frame)
    });
    [header(Little, 0xa1b2_c3d4, 65_535, 1), records.collect()].concat()
}

/// A block whose lengths are what it says.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 12;
    lying_block(order, kind, length, body, length)
}

/// A block whose lengths are given.
pub(crate) fn lying_block(
    order: Order,
    kind: u32,
    length: u32,
    body: &[u8],
    again: u32,
) -> Vec<u8> {
    [order.longs(&[kind, length]), body.to_vec(), order.long(again)].concat()
}

/// A section's head.
pub(crate) fn section(order: Order) -> Vec<u8> {
    block(order, 0x0a0d_0d0a, &section_body(order, 1))
}

pub(crate) fn section_body(order: Order, major: u16) -> Vec<u8> {
    let version = [order.short(major), order.short(0)].concat();
    [order.long(0x1a2b_3c4d), version, vec![0xff; 8]].concat()
}

/// An Ethernet interface.
pub(crate) fn interface(order: Order, snap_len: u32, options: &[u8]) -> Vec<u8> {
    let head = [order.short(1), order.short(0), order.long(snap_len)].concat();
    block(order, 1, &[head, options.to_vec()].concat())
}

/// An option, padded.
pub(crate) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut option = [order.short(code), order.short(value.len() as u16), value.to_vec()].concat();
    option.resize(option.len().next_multiple_of(4), 0);
    option
}

/// A packet block's body that claims to hold so many bytes, padded.
pub(crate) fn packet_body(order: Order, interface: u32, captured: u32, bytes: &[u8]) -> Vec<u8> {
    let mut body = order.longs(&[interface, 0, 7, captured, captured]);
    body.extend_from_slice(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

pub(crate) fn packet(order: Order, interface: u32, bytes: &[u8]) -> Vec<u8> {
    block(order, 6, &packet_body(order, interface, bytes.len() as u32, bytes))
}

/// A section with one interface.
pub(crate) fn pcapng(order: Order) -> Vec<u8> {
    [section(order), interface(order, 0, &[])].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("a vector takes all");
    packer.finish().expect("a vector takes all")
}

/// An IPv4 header of 20 bytes around a body: protocol, place in the datagram.
pub(crate) fn ipv4(proto: u8, place: u16, body: &[u8]) -> Vec<u8> {
    let total = (20 + body.len() as u16).to_be_bytes();
    let place = place.to_be_bytes();
    let mut head = vec![0x45, 0, total[0], total[1], 0, 7, place[0], place[1], 64, proto, 0, 0];
    head.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    [head, body.to_vec()].concat()
}

/// An IPv6 header around a body: the next header.
pub(crate) fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    let mut head = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for host in [1, 2] {
        head.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    [head, body.to_vec()].concat()
}

pub(crate) fn udp(dport: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let fields = [40_000_u16, dport, length, 0].map(u16::to_be_bytes).concat();
    [fields, payload.to_vec()].concat()
}

pub(crate) fn tcp(flags: u8, offset: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = [40_000_u16.to_be_bytes(), 21_u16.to_be_bytes()].concat();
    head.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, offset << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    [head, payload.to_vec()].concat()
}

pub(crate) fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    [[2; 12].as_slice(), &kind.to_be_bytes(), rest].concat()
}

/// How many packets a capture gives, and how it ends; asserts that each consumes bytes.
pub(crate) fn read(bytes: Vec<u8>) -> (u64, Result<(), String>) {
    let mut capture = match Capture::new(Cursor::new(bytes)) {
        Ok(capture) => capture,
        Err(error) => return (0, Err(error.to_string())),
    };
    let (mut packets, mut offset) = (0, capture.offset());
    loop {
        match capture.next_packet() {
            Ok(Some(frame)) => {
                packets += 1;
                assert_eq!(frame.number, packets);
                assert!(frame.bytes.len() <= 16 << 20);
            }
            Ok(None) => return (packets, Ok(())),
            Err(error) => {
                let after = capture.next_packet();
                assert!(matches!(after, Ok(None)), "nothing comes after an error");
                return (packets, Err(error.to_string()));
            }
        }
        assert!(capture.offset() > offset, "a step consumes");
        offset = capture.offset();
    }
}
