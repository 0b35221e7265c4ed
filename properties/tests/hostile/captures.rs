// SPDX-License-Identifier: GPL-2.0-only
//! Malformed captures, each with how far it reads and the error it gives.

use std::io::Cursor;

use nfexp_traces::capture::Capture;

use super::bytes::{
    Big, Little, ethernet, gzip, header, interface, ipv4, option, packet, pcap, read, record,
    section, udp,
};
use super::sections::sections;

const MICRO: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;
const NO_CAPTURE: &str = "offset 0: expected a pcap, pcapng or snoop header";

/// A name, the bytes, the packets that are read, and the error; empty: it ends well.
pub(crate) type Case = (&'static str, Vec<u8>, u64, &'static str);

fn frame() -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, 0, &udp(69, b"\0\x01x\0octet\0")))
}

pub(crate) fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn classic() -> Vec<Case> {
    let frame = frame();
    let length = frame.len() as u32;
    let good = record(Little, length, length, &frame);
    let head = || header(Little, MICRO, 65_535, 1);
    let after = |bad: Vec<u8>| join(&[head(), good.clone(), bad]);
    let next = 24 + 16 + frame.len();
    assert_eq!(next, 92, "where the second record begins");
    vec![
        ("empty", vec![], 0, NO_CAPTURE),
        ("one byte", vec![0xd4], 0, NO_CAPTURE),
        ("three bytes of magic", vec![0xd4, 0xc3, 0xb2], 0, NO_CAPTURE),
        ("text", b"not a capture at all, but long enough for a header".to_vec(), 0, NO_CAPTURE),
        ("zeros", vec![0; 64], 0, NO_CAPTURE),
        ("magic only", head()[..4].to_vec(), 0, "offset 0: the file ends inside a record, after 0"),
        ("half a header", head()[..12].to_vec(), 0, "offset 0: the file ends inside a record"),
        ("a header and nothing", head(), 0, ""),
        ("magic in mixed order", join(&[vec![0xb2, 0xa1, 0xd4, 0xc3], vec![0; 20]]), 0, NO_CAPTURE),
        ("big-endian", join(&[header(Big, MICRO, 9, 1), record(Big, 2, 2, b"ab")]), 1, ""),
        ("nanoseconds", join(&[header(Little, NANO, 9, 1), record(Little, 2, 2, b"ab")]), 1, ""),
        (
            "longer record heads",
            join(&[header(Little, MODIFIED, 9, 1), record(Little, 2, 2, b"12345678ab")]),
            1,
            "",
        ),
        (
            "longer record heads, big-endian",
            join(&[header(Big, MODIFIED, 9, 1), record(Big, 2, 2, b"12345678ab")]),
            1,
            "",
        ),
        (
            "a longer record head, cut",
            join(&[header(Little, MODIFIED, 9, 1), record(Little, 2, 2, b"1234567")]),
            0,
            "offset 24: the file ends inside a record, after 0 whole packets",
        ),
        ("one byte of a record", after(vec![0]), 1, "offset 92: the file ends inside a record"),
        ("a record head, cut", after(vec![0; 15]), 1, "offset 92: the file ends inside a record"),
        (
            "a record head without its bytes",
            after(record(Little, 5, 5, b"")),
            1,
            "offset 92: the file ends inside a record, after 1 whole packets",
        ),
        (
            "a record one byte short",
            after(record(Little, 5, 5, b"abcd")),
            1,
            "offset 92: the file ends inside a record, after 1 whole packets",
        ),
        (
            "a captured length of four gigabytes",
            after(record(Little, u32::MAX, 60, &[0; 4096])),
            1,
            "offset 92: expected a record of at most 16 MiB",
        ),
        (
            "one byte more than the most",
            after(record(Little, (16 << 20) + 1, 60, &[0; 4096])),
            1,
            "offset 92: expected a record of at most 16 MiB",
        ),
        (
            "the most, but not there",
            after(record(Little, 16 << 20, 60, &[0; 4096])),
            1,
            "offset 92: the file ends inside a record, after 1 whole packets",
        ),
        (
            "a record in the other byte order",
            after(record(Big, length, length, &frame)),
            1,
            "offset 92: expected a record of at most 16 MiB",
        ),
        ("an empty packet", after(record(Little, 0, 0, b"")), 2, ""),
        ("an empty capture of a packet", after(record(Little, 0, 1500, b"")), 2, ""),
        ("more captured than there was", after(record(Little, 4, 1, b"abcd")), 2, ""),
        ("an original length of four gigabytes", after(record(Little, 2, u32::MAX, b"ab")), 2, ""),
        (
            "more captured than the snap length",
            join(&[header(Little, MICRO, 1, 1), good.clone()]),
            1,
            "",
        ),
        ("a snap length of nothing", join(&[header(Little, MICRO, 0, 1), good.clone()]), 1, ""),
        (
            "a snap length of four gigabytes",
            join(&[header(Little, MICRO, u32::MAX, 1), good.clone()]),
            1,
            "",
        ),
        (
            "a link type nobody registered",
            join(&[header(Little, MICRO, 9, u32::MAX), good.clone()]),
            1,
            "",
        ),
        (
            "a fraction of more than a second",
            after(join(&[Little.longs(&[u32::MAX, u32::MAX, 2, 2]), b"ab".to_vec()])),
            2,
            "",
        ),
        ("a header within", after(head()), 2, "offset 108: the file ends inside a record, after 2"),
        ("a thousand empty packets", after(vec![0; 16_000]), 1001, ""),
    ]
}

fn packed() -> Vec<Case> {
    let good = pcap(&[&frame(), &frame()]);
    let whole = gzip(&good);
    let cut = |at: usize| whole[..at].to_vec();
    let mut spoilt = whole.clone();
    let last = spoilt.len() - 6;
    spoilt[last] ^= 1;
    let mut twice = gzip(&good[..30]);
    twice.extend(gzip(&good[30..]));
    let ends = "expected whole data in gzip's format, of which this is unpacked: the file ends";
    let damaged = "expected whole data in gzip's format, of which this is unpacked: it is damaged";
    vec![
        ("gzip", whole.clone(), 2, ""),
        ("gzip in two members", twice, 2, ""),
        ("gzip's magic only", cut(2), 0, ends),
        ("gzip's head, cut", cut(9), 0, ends),
        ("gzip, cut within", cut(whole.len() / 2), 0, ends),
        ("gzip with a wrong checksum", spoilt, 2, damaged),
        ("gzip and something else", join(&[whole.clone(), b"anything else".to_vec()]), 2, damaged),
        ("gzip and less than a head", join(&[whole.clone(), b"else".to_vec()]), 2, ends),
        ("gzip in gzip", gzip(&whole), 0, NO_CAPTURE),
        ("gzip of nothing", gzip(b""), 0, NO_CAPTURE),
    ]
}

fn snoop() -> Vec<Case> {
    let head = |version, link| join(&[b"snoop\0\0\0".to_vec(), Big.longs(&[version, link])]);
    let record = |captured, length, bytes: &[u8]| {
        join(&[Big.longs(&[60, captured, length, 0, 1, 2]), bytes.to_vec()])
    };
    let good = record(5, 32, b"abcde\0\0\0");
    let of = |bad: Vec<u8>| join(&[head(2, 4), good.clone(), bad]);
    vec![
        ("snoop", of(good.clone()), 2, ""),
        ("snoop, half a magic", b"snoo".to_vec(), 0, "offset 0: the file ends inside a record"),
        ("snoop, another magic", b"snoopy, who is a dog".to_vec(), 0, NO_CAPTURE),
        ("snoop of version 3", head(3, 4), 0, "offset 0: expected version 2 of the snoop format"),
        ("snoop of a serial line", head(2, 3), 0, "offset 0: expected a link type of Ethernet"),
        ("snoop, a record of no length", of(record(0, 0, b"")), 1, "captured length that fits"),
        ("snoop, a record too short", of(record(9, 32, &[0; 8])), 1, "captured length that fits"),
        ("snoop, too large", of(record(9, u32::MAX, &[0; 8])), 1, "of at most 16 MiB"),
        ("snoop, cut", of(record(9, 40, &[0; 8])), 1, "offset 48: the file ends inside a record"),
    ]
}

#[test]
fn malformed_captures_read_so_far_and_no_further() {
    let cases: Vec<Case> = [classic(), sections(), packed(), snoop()].concat();
    assert!(cases.len() >= 60 + 32, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(name, bytes, packets, error)| {
            let (read, ended) = read(bytes);
            let ends = match &ended {
                Ok(()) => error.is_empty(),
                Err(text) => !error.is_empty() && text.contains(error),
            };
            let wrong = format!("{name}: {read} packets, {ended:?}; expected {packets}, {error:?}");
            (read != packets || !ends).then_some(wrong)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The time of the first packet, in nanoseconds.
fn first_time(bytes: Vec<u8>) -> i64 {
    let mut capture = Capture::new(Cursor::new(bytes)).expect("a capture");
    capture.next_packet().expect("a packet").expect("a packet").time_ns
}

#[test]
fn times_have_their_sections_order_and_their_interfaces_resolution() {
    for order in [Little, Big] {
        let offset = [order.longs(&[0, 9]), order.longs(&[9, 0])];
        let offset = if order == Big { &offset[0] } else { &offset[1] };
        for (power, ns) in
            [(9, 7), (6, 7_000), (0, 7_000_000_000), (0x80, 7_000_000_000), (0x83, 875_000_000)]
        {
            let options = [option(order, 9, &[power]), option(order, 14, offset)].concat();
            let parts = [section(order), interface(order, 0, &options), packet(order, 0, b"abcd")];
            assert_eq!(first_time(join(&parts)), 9_000_000_000 + ns, "resolution {power:#x}");
        }
    }
    let furthest = [option(Little, 9, &[0]), option(Little, 14, &[0xff; 7]), vec![]].concat();
    let parts = [section(Little), interface(Little, 0, &furthest), packet(Little, 0, b"abcd")];
    assert!(matches!(read(join(&parts)), (0, Err(_))));
    let furthest = option(Little, 14, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let parts = [section(Little), interface(Little, 0, &furthest), packet(Little, 0, b"abcd")];
    assert_eq!(first_time(join(&parts)), i64::MAX, "there time stands still");
}

/// The command says where, and leaves with 65: bad input data.
#[test]
fn the_command_names_the_file_and_the_offset() {
    let path = std::env::temp_dir().join(format!("nfexp-hostile-{}.pcap", std::process::id()));
    let bad = join(&[header(Little, MICRO, 9, 1), record(Little, u32::MAX, 60, b"abc")]);
    std::fs::write(&path, bad).expect("a place for temporary files");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nfexp"));
    let output = command.arg("replay").arg(&path).output().expect("the command starts");
    std::fs::remove_file(&path).expect("it was there");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(65), "{told}");
    let expected = format!("{}: offset 24: expected a record of at most 16 MiB", path.display());
    assert!(told.contains(&expected), "{told}");
}
