// SPDX-License-Identifier: GPL-2.0-only
//! Good captures, cut and flipped: as files, and packet by packet in front of every helper.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::helper::IN_TREE;
use nfexp_model::revision::Revision;
use nfexp_sim::forward::Router;
use nfexp_sim::replay::{Pace, Replay, Selection};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::{Capture, Frame};
use nfexp_traces::helpers::State;
use nfexp_traces::packet::datagram;

use super::bytes::{
    Big, Little, block, ethernet, gzip, header, interface, ipv4, ipv6, option, packet, packet_body,
    pcap, pcapng, read, record, tcp, udp,
};

const FLIPS: [u8; 3] = [0x01, 0x80, 0xff];

/// One small capture of each format, with everything a reader looks at.
fn files() -> Vec<Vec<u8>> {
    let frames = [
        ethernet(0x0800, &ipv4(17, 0, &udp(69, b"\0\x01x\0octet\0"))),
        ethernet(0x0800, &ipv4(6, 0, &tcp(2, 5, b""))),
        ethernet(0x86dd, &ipv6(17, &udp(5060, b"x"))),
    ];
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let ng = |order| {
        let options =
            [option(order, 2, b"eth0"), option(order, 9, &[9]), option(order, 14, &[0; 8])];
        let mut simple = [order.long(frames[0].len() as u32), frames[0].to_vec()].concat();
        simple.resize(simple.len().next_multiple_of(4), 0);
        let old = packet_body(order, 0, frames[1].len() as u32, frames[1]);
        let parts = [interface(order, 9000, &options.concat()), packet(order, 1, frames[2])];
        let more = [block(order, 3, &simple), block(order, 2, &old), block(order, 5, &[0; 12])];
        [pcapng(order), parts.concat(), more.concat()].concat()
    };
    let length = frames[1].len() as u32;
    let classic = |order, magic, more: &[u8]| {
        let bytes = [more, frames[1]].concat();
        [header(order, magic, 9000, 1), record(order, length, length, &bytes)].concat()
    };
    vec![
        pcap(&frames),
        classic(Big, 0xa1b2_3c4d, &[]),
        classic(Little, 0xa1b2_cd34, &[0; 8]),
        ng(Little),
        ng(Big),
        gzip(&pcap(&frames)),
    ]
}

#[test]
fn every_truncation_of_a_capture_is_answered() {
    for file in files() {
        let (whole, ended) = read(file.clone());
        assert!(ended.is_ok() && whole > 0, "{ended:?}");
        for at in 0..file.len() {
            let (packets, _) = read(file[..at].to_vec());
            assert!(packets <= whole);
        }
    }
}

#[test]
fn every_flipped_byte_of_a_capture_is_answered() {
    let mut refused = 0;
    for mut file in files() {
        for at in 0..file.len() {
            for flip in FLIPS {
                file[at] ^= flip;
                refused += u32::from(read(file.clone()).1.is_err());
                file[at] ^= flip;
            }
        }
    }
    assert!(refused > 100, "only {refused} were refused");
}

/// Captures recorded for a helper, by folder.
fn recorded() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("the folder has an index");
    let mut lines = index.lines();
    let names: Vec<&str> = lines.next().expect("a head line").split('\t').collect();
    let column = |name| names.iter().position(|known| *known == name).expect("the column");
    let (capture, helper) = (column("capture"), column("helper"));
    let mut seen = BTreeSet::new();
    let rows = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| seen.insert(row[capture].to_owned()))
        .map(|row| (row[helper].to_owned(), folder.join(row[capture])))
        .collect()
}

/// A router small enough to be made often; its tables fill, which is a test too.
fn router() -> Router {
    let mut settings = Settings::of(Revision::LINUX_6_18, Some(8), Some(16));
    settings.config.conns = 256;
    Router::new(settings).expect("memory")
}

/// Plays a capture; each packet is followed by its truncations and flips, on the same
/// connection, where the helper meets them.
fn play_mangled(path: &Path, most: usize) -> usize {
    let mut replay = Replay::new(router(), Pace::Frozen, Selection::default(), false);
    let mut capture = Capture::open(path).expect("our own capture");
    let mut shown = 0;
    let mut bytes = Vec::new();
    while let Some(frame) = capture.next_packet().expect("our own capture") {
        replay.packet(&frame, &mut |_, _| {});
        let Ok(good) = datagram(frame.link, frame.bytes) else { continue };
        // The link layer is flipped elsewhere; where it ends, the datagram begins.
        let start = frame.bytes.len() - good.body.len().min(frame.bytes.len());
        let start = start.saturating_sub(40);
        if shown > most {
            break;
        }
        bytes.clear();
        bytes.extend_from_slice(frame.bytes);
        let mut show = |bytes: &[u8]| {
            shown += 1;
            replay.packet(&Frame { bytes, ..frame }, &mut |_, _| {});
        };
        for at in start..bytes.len() {
            for flip in FLIPS {
                bytes[at] ^= flip;
                show(&bytes);
                bytes[at] ^= flip;
            }
            // Shorter, and the headers know: only then does a helper see the rest.
            if let Some(shorter) = shortened(frame.link, frame.bytes, at) {
                show(&shorter);
            }
            show(&bytes[..at]);
        }
    }
    replay.finish(|_, _| {});
    shown
}

/// An Ethernet frame of IPv4 cut at a place, its lengths corrected.
fn shortened(link: i32, frame: &[u8], at: usize) -> Option<Vec<u8>> {
    if link != 1 || frame.get(12..15)? != [8, 0, 0x45] || at < 14 + 28 {
        return None;
    }
    let mut cut = frame[..at].to_vec();
    let total = (at - 14) as u16;
    cut[16..18].copy_from_slice(&total.to_be_bytes());
    if cut[23] == 17 {
        cut[38..40].copy_from_slice(&(total - 20).to_be_bytes());
    }
    Some(cut)
}

/// Whatever helper gets a grammar is met here by its name, and must have a capture.
#[test]
fn every_helper_answers_mangled_packets() {
    let captures = recorded();
    let registered: Vec<&str> =
        IN_TREE.iter().map(|helper| helper.name).filter(|name| State::of(name).is_some()).collect();
    assert!(registered.len() >= 2);
    let mut without = Vec::new();
    for name in registered {
        let mut shown = 0;
        let of_it = |helpers: &str| helpers.split(',').any(|helper| helper == name);
        for (_, path) in captures.iter().filter(|(helpers, _)| of_it(helpers)) {
            if shown < 60_000 {
                shown += play_mangled(path, 20_000);
            }
        }
        if shown == 0 {
            without.push(name);
        }
    }
    assert!(without.len() + 2 <= IN_TREE.len(), "no capture for {without:?}");
}
