// SPDX-License-Identifier: GPL-2.0-only
//! Memory stays bounded, whatever a capture says.
//!
//! 1. A gibibyte of packets streams through reading, decoding and defragmentation in constant
//!    memory.
//! 2. Bombs (lengths that lie, data packed a thousandfold, blocks full of options, fragments that
//!    never become whole) take at most 64 MiB.
//!
//! One test, because the peak is the whole process's.

use std::io::{Cursor, Read};

use flate2::{Compression, read::GzEncoder};
use nfexp_traces::capture::{Capture, CaptureError};
use nfexp_traces::defrag::Defrag;
use nfexp_traces::packet::{datagram, packet};

const MOST_KIB: u64 = 64 << 10;
const GIBIBYTE: u64 = 1 << 30;

/// The most memory this process ever had, in KiB; `None` where nobody tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A stream: a head, then the same record over and over, changed a little each time.
struct Generated<F> {
    bytes: Vec<u8>,
    at: usize,
    left: u64,
    change: F,
    number: u32,
}

impl<F: FnMut(u32, &mut Vec<u8>)> Generated<F> {
    fn new(head: &[u8], length: u64, change: F) -> Self {
        Self { bytes: head.to_vec(), at: 0, left: length, change, number: 0 }
    }
}

impl<F: FnMut(u32, &mut Vec<u8>)> Read for Generated<F> {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.bytes.len() {
            if self.left == 0 {
                return Ok(0);
            }
            (self.change)(self.number, &mut self.bytes);
            self.number += 1;
            self.at = 0;
            self.left = self.left.saturating_sub(self.bytes.len() as u64);
        }
        let read = space.len().min(self.bytes.len() - self.at);
        space[..read].copy_from_slice(&self.bytes[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}

fn head() -> Vec<u8> {
    [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes).concat()
}

/// A record of an IPv4 datagram: number, place among fragments, body.
fn record(number: u32, place: u16, body: usize, into: &mut Vec<u8>) {
    let total = 20 + body as u32;
    into.clear();
    into.extend_from_slice(
        &[number / 1000, number % 1000, total, total].map(u32::to_le_bytes).concat(),
    );
    let (total, place) = ((total as u16).to_be_bytes(), place.to_be_bytes());
    let id = (number as u16).to_be_bytes();
    into.extend_from_slice(&[
        0x45, 0, total[0], total[1], id[0], id[1], place[0], place[1], 64, 17,
    ]);
    let source = number.to_be_bytes();
    into.extend_from_slice(&[0, 0, 10, source[0], source[1], source[2], 10, 0, 0, 2]);
    into.extend_from_slice(&[0x9c, 0x40, 0, 69]);
    into.extend_from_slice(&(body as u16).to_be_bytes());
    into.resize(into.len() - 6 + body, 0);
}

/// Reads all there is, as far as it can be read: packets, whole datagrams, the end.
fn read(stream: impl Read + Send + 'static) -> (u64, u64, Result<(), CaptureError>) {
    let mut defrag = Defrag::default();
    let (mut packets, mut whole) = (0, 0);
    let mut capture = match Capture::new(stream) {
        Ok(capture) => capture,
        Err(error) => return (0, 0, Err(error)),
    };
    loop {
        match capture.next_packet() {
            Ok(Some(frame)) => {
                packets += 1;
                let Ok(part) = datagram(frame.link, frame.bytes) else { continue };
                let found = match part.fragment {
                    None => packet(&part).is_ok(),
                    Some(place) => defrag.take(frame.time_ns, &part, place).is_some(),
                };
                whole += u64::from(found);
            }
            Ok(None) => return (packets, whole, Ok(())),
            Err(error) => return (packets, whole, Err(error)),
        }
    }
}

/// A pcapng section and an interface, then a block of the largest size full of empty options.
fn options_bomb(kind: u32) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes(), length.as_slice(), body, length.as_slice()].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_le_bytes(), [1, 0, 0, 0].as_slice(), &[0xff; 8]].concat();
    let mut options = vec![0; 8];
    options.extend([1, 0, 0, 0].repeat((8 << 20) / 4));
    [block(0x0a0d_0d0a, &section), block(1, &[1, 0, 0, 0, 0, 0, 0, 0]), block(kind, &options)]
        .concat()
}

#[test]
fn no_capture_takes_more_than_64_mib() {
    let Some(before) = peak_kib() else {
        eprintln!("skipped: this machine does not tell how much memory was used");
        return;
    };
    let stays_bounded = |what: &str| {
        let after = peak_kib().expect("it told before");
        assert!(after - before <= MOST_KIB, "{what}: {} KiB more than before", after - before);
    };

    let usual = |number, into: &mut Vec<u8>| record(number, 0, 1400, into);
    let (packets, whole, ended) = read(Generated::new(&head(), GIBIBYTE, usual));
    assert!(ended.is_ok() && packets == whole && packets > 700_000, "{packets} {whole} {ended:?}");
    stays_bounded("a gibibyte");

    // Fragments of eight bytes, each the first of its datagram; then eight thousand of one.
    let lone = |number, into: &mut Vec<u8>| record(number / 50_000, 0x2000, 8, into);
    let alone = move |number: u32, into: &mut Vec<u8>| {
        lone(number, into);
        into[20..22].copy_from_slice(&(number as u16).to_be_bytes());
        into[29..31].copy_from_slice(&((number >> 16) as u16).to_be_bytes());
    };
    let (packets, whole, _) = read(Generated::new(&head(), 40 << 20, alone));
    assert!(packets > 900_000 && whole == 0, "{packets} {whole}");
    let one = |number: u32, into: &mut Vec<u8>| {
        record(7, 0x2000 | (number as u16 % 8_000), 8, into);
    };
    let (packets, whole, _) = read(Generated::new(&head(), 40 << 20, one));
    assert!(packets > 900_000 && whole == 0, "{packets} {whole}");
    stays_bounded("fragments");

    for kind in [1, 4, 5, 6, 10, 99] {
        let (packets, ..) = read(Cursor::new(options_bomb(kind)));
        assert!(packets <= 1);
    }
    stays_bounded("options");

    // A length that lies, with many bytes behind it.
    let mut lie = head();
    lie.extend([1, 1, 15 << 20, 60_u32].map(u32::to_le_bytes).concat());
    for stream in [lie, options_bomb(6)[..40].to_vec()] {
        let silence = |_: u32, into: &mut Vec<u8>| *into = vec![0; 1 << 16];
        let (packets, ..) = read(Generated::new(&stream, 256 << 20, silence));
        assert!(packets <= 17 << 20);
    }
    stays_bounded("lengths");

    // A thousandfold: a gibibyte of empty packets, packed.
    let empty = |_: u32, into: &mut Vec<u8>| *into = vec![0; 1 << 16];
    let packed = GzEncoder::new(Generated::new(&head(), GIBIBYTE / 4, empty), Compression::fast());
    let (packets, ..) = read(packed);
    assert!(packets > 16_000_000, "{packets}");
    stays_bounded("packed data");

    // The measure would have noticed.
    let too_much = vec![1_u8; (MOST_KIB as usize + 1024) << 10];
    assert!(peak_kib().expect("it told before") - before > MOST_KIB && too_much[7] == 1);
}
