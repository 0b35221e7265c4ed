// SPDX-License-Identifier: GPL-2.0-only
//! Malformed captures of the newer format: blocks, their lengths, sections, options.

use super::bytes::{
    Big, Little, block, interface, lying_block, option, packet, packet_body, pcapng, section,
    section_body,
};
use super::captures::{Case, join};

const AGAIN: &str = "expected the block's length again at its end";
const FIELDS: &str = "expected a block length that holds the block's own fields";
const FITS: &str = "expected a captured length that fits its block";

pub(crate) fn sections() -> Vec<Case> {
    let ng = || pcapng(Little);
    let good = packet(Little, 0, b"abcd");
    let after = |bad: Vec<u8>| join(&[ng(), good.clone(), bad]);
    let next = 28 + 20 + 36;
    assert_eq!(after(vec![]).len(), next, "where the bad block begins: offset 84");
    let body = section_body(Little, 1);
    let long = |options: Vec<u8>| join(&[section(Little), interface(Little, 0, &options)]);
    vec![
        ("a kind only", b"\x0a\x0d\x0d\x0a".to_vec(), 0, "offset 0: the file ends inside a record"),
        ("a section, cut", section(Little)[..27].to_vec(), 0, "offset 0: the file ends inside"),
        ("a section and nothing", section(Little), 0, ""),
        (
            "a section without a byte order",
            block(Little, 0x0a0d_0d0a, &[0; 16]),
            0,
            "offset 0: expected a byte-order mark, 1a2b3c4d in either order",
        ),
        (
            "a section too short for its fields",
            lying_block(Little, 0x0a0d_0d0a, 24, &body, 24),
            0,
            "offset 0: expected a block length that holds the block's own fields",
        ),
        (
            "a section of no length",
            lying_block(Little, 0x0a0d_0d0a, 0, &body, 0),
            0,
            "offset 0: expected a block length that holds the block's own fields",
        ),
        (
            "a section of four gigabytes",
            lying_block(Little, 0x0a0d_0d0a, 0xffff_fffc, &body, 0),
            0,
            "offset 0: expected a record of at most 16 MiB",
        ),
        (
            "a section of version 2",
            block(Little, 0x0a0d_0d0a, &section_body(Little, 2)),
            0,
            "offset 0: expected version 1 of the pcapng format",
        ),
        (
            "a section's length again, wrong",
            lying_block(Little, 0x0a0d_0d0a, 28, &body, 32),
            0,
            "offset 0: expected the block's length again at its end",
        ),
        ("a block of no length", after(lying_block(Little, 6, 0, b"", 0)), 1, FIELDS),
        ("a block of 8 bytes", after(lying_block(Little, 6, 8, b"", 8)), 1, FIELDS),
        ("an unknown block of no length", after(lying_block(Little, 99, 0, b"", 0)), 1, FIELDS),
        ("a packet block too short", after(block(Little, 6, &[0; 16])), 1, FIELDS),
        ("an old packet block too short", after(block(Little, 2, &[0; 16])), 1, FIELDS),
        ("a simple packet block too short", after(block(Little, 3, b"")), 1, FIELDS),
        ("an interface too short", after(block(Little, 1, &[0; 4])), 1, FIELDS),
        (
            "a length that is no multiple of 4",
            after(lying_block(Little, 6, 37, &packet_body(Little, 0, 4, b"abcd"), 37)),
            1,
            "offset 84: expected a block length that is a multiple of 4",
        ),
        (
            "a packet block of four gigabytes",
            after(lying_block(Little, 6, 0xffff_fffc, &[0; 64], 0)),
            1,
            "offset 84: expected a record of at most 16 MiB",
        ),
        (
            "an unknown block of four gigabytes that is not there",
            after(lying_block(Little, 99, 0xffff_fffc, &[0; 64], 0)),
            1,
            "offset 84: the file ends inside a record, after 1 whole packets",
        ),
        (
            "an unknown block whose length again is wrong",
            after(lying_block(Little, 99, 20, &[0; 8], 24)),
            1,
            AGAIN,
        ),
        (
            "a packet block whose length again is wrong",
            after(lying_block(Little, 6, 36, &packet_body(Little, 0, 4, b"abcd"), 0)),
            1,
            AGAIN,
        ),
        (
            "a simple packet whose length again is wrong",
            after(lying_block(Little, 3, 20, &[0; 8], 21)),
            1,
            AGAIN,
        ),
        (
            "unknown blocks before a packet",
            after(join(&[block(Little, 99, &[0; 400]), good.clone()])),
            2,
            "",
        ),
        (
            "names without an end, which nobody reads",
            after(join(&[block(Little, 4, &[0, 1, 0xff, 0xff]), good.clone()])),
            2,
            "",
        ),
        (
            "a packet of an interface that is not there",
            after(packet(Little, 1, b"abcd")),
            1,
            "offset 84: expected a packet of an interface that was described",
        ),
        (
            "a packet of interface four billion",
            after(packet(Little, u32::MAX, b"abcd")),
            1,
            "offset 84: expected a packet of an interface that was described",
        ),
        (
            "a packet before any interface",
            join(&[section(Little), good.clone()]),
            0,
            "offset 28: expected a packet of an interface that was described",
        ),
        (
            "a simple packet before any interface",
            join(&[section(Little), block(Little, 3, &[0; 8])]),
            0,
            "offset 28: expected a packet of an interface that was described",
        ),
        (
            "interfaces do not outlive their section",
            after(join(&[section(Little), good.clone()])),
            1,
            "offset 112: expected a packet of an interface that was described",
        ),
        (
            "a captured length beyond its block",
            after(block(Little, 6, &packet_body(Little, 0, 5, b"abcd"))),
            1,
            FITS,
        ),
        (
            "a captured length of four gigabytes",
            after(block(Little, 6, &packet_body(Little, 0, u32::MAX, b"ab"))),
            1,
            FITS,
        ),
        (
            "a captured length that wraps when padded",
            after(block(Little, 6, &packet_body(Little, 0, u32::MAX - 2, b"ab"))),
            1,
            FITS,
        ),
        (
            "a simple packet longer than its block",
            after(block(Little, 3, &Little.longs(&[9, 0]))),
            1,
            FITS,
        ),
        ("a packet of nothing", after(packet(Little, 0, b"")), 2, ""),
        ("a simple packet of nothing", after(block(Little, 3, &Little.long(0))), 2, ""),
        (
            "a simple packet cut by the snap length",
            join(&[
                section(Little),
                interface(Little, 4, &[]),
                block(Little, 3, &Little.longs(&[1500, 7])),
            ]),
            1,
            "",
        ),
        ("an old packet", after(block(Little, 2, &packet_body(Little, 0, 4, b"abcd"))), 2, ""),
        (
            "options of a packet that lie, which nobody reads",
            after(block(
                Little,
                6,
                &join(&[packet_body(Little, 0, 4, b"abcd"), Little.long(0xffff_0001)]),
            )),
            2,
            "",
        ),
        (
            "a section in the other byte order",
            after(join(&[pcapng(Big), packet(Big, 0, b"abcd")])),
            2,
            "",
        ),
        (
            "a block in the other byte order",
            after(packet(Big, 0, b"abcd")),
            1,
            "offset 84: the file ends inside a record, after 1 whole packets",
        ),
        (
            "options beyond their block",
            long(Little.long(0xffff_0002)),
            0,
            "offset 28: expected options that fit their block",
        ),
        (
            "a resolution of two bytes",
            long(option(Little, 9, &[6, 6])),
            0,
            "offset 28: expected one byte as the resolution of time stamps",
        ),
        (
            "a resolution of 10^-20",
            long(option(Little, 9, &[20])),
            0,
            "offset 28: expected a resolution of at most 10^-19 or 2^-63 seconds",
        ),
        (
            "a resolution of 2^-64",
            long(option(Little, 9, &[0xc0])),
            0,
            "offset 28: expected a resolution of at most 10^-19 or 2^-63 seconds",
        ),
        (
            "an offset of four bytes",
            long(option(Little, 14, &[1; 4])),
            0,
            "offset 28: expected eight bytes as the offset of time stamps",
        ),
        (
            "the finest resolution and the furthest offset",
            join(&[
                long(join(&[option(Little, 9, &[19]), option(Little, 14, &[0x7f; 8])])),
                good.clone(),
            ]),
            1,
            "",
        ),
        ("options after the last", long(join(&[Little.long(0), Little.long(0xffff_0002)])), 0, ""),
        (
            "half an option",
            long(vec![9, 0]),
            0,
            "offset 28: expected a block length that is a multiple",
        ),
        ("a trailing kind", after(Little.long(6)), 1, "offset 84: the file ends inside a record"),
        ("trailing zeros", after(vec![0; 64]), 1, FIELDS),
    ]
}
