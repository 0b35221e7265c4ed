// SPDX-License-Identifier: GPL-2.0-only
//! The short way of a packet through the router, against the whole way.
//!
//! A kernel that counts each lookup of a connection makes the router ask the engine each time, so
//! the same kernel with that one knob turned is the reference:
//!
//! * Every recorded capture, and each with bytes changed, packets left out, doubled and swapped,
//!   has the same events at the same packets, the same fates, and the same ends as time goes on.
//! * A replay that looks ahead tells the same as one that is given packet after packet.
//! * A connection whose first packet is dropped leaves nothing behind, not even a timer.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use nfexp_model::revision::{FoundStat, Revision};
use nfexp_sim::forward::Router;
use nfexp_sim::replay::{Happening, Pace, Replay, Selection};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::{Capture, Frame};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A packet that outlives its file.
#[derive(Clone)]
struct Kept {
    time_ns: i64,
    link: i32,
    bytes: Vec<u8>,
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    for path in entries.map(|entry| entry.expect("readable").path()) {
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => captures(&path, found),
            Some("pcap" | "pcapng" | "gz") => found.push(path),
            _ => {}
        }
    }
}

fn read(path: &Path) -> Vec<Kept> {
    let mut capture = Capture::open(path).expect("one of ours");
    let mut kept = Vec::new();
    while let Some(Frame { time_ns, link, bytes, .. }) = capture.next_packet().expect("whole") {
        kept.push(Kept { time_ns, link, bytes: bytes.to_vec() });
    }
    kept
}

/// All that a replay tells, packet by packet, and after ten days.
fn told(packets: &[Kept], found_stat: FoundStat) -> Vec<String> {
    let revision = Revision { found_stat, ..Revision::LINUX_6_18 };
    let settings = Settings::of(revision, None, None);
    let router = Router::new(settings).expect("memory");
    let pace = Pace::CAPTURED.with_tail(864_000_000);
    let mut replay = Replay::new(router, pace, Selection::default(), true);
    let mut told = Vec::new();
    for (number, packet) in (1..).zip(packets) {
        let (link, bytes) = (packet.link, &packet.bytes[..]);
        let original_len = bytes.len() as u32;
        let frame = Frame { number, time_ns: packet.time_ns, link, bytes, original_len };
        replay.packet(&frame, &mut |_, happening| told.push(format!("{happening:?}")));
    }
    replay.finish(|_, happening| told.push(format!("{happening:?}")));
    told.push(replay.totals().letters.clone());
    told
}

/// Some packets changed: bytes, order, number, and time.
fn changed(packets: &[Kept], random: &mut ChaCha8Rng) -> Vec<Kept> {
    let mut packets = packets.to_vec();
    for _ in 0..1 + random.next_u32() % 6 {
        let at = random.next_u32() as usize % packets.len();
        match random.next_u32() % 6 {
            0 if packets.len() > 1 => drop(packets.remove(at)),
            1 => packets.insert(at, packets[at].clone()),
            2 => {
                let other = random.next_u32() as usize % packets.len();
                let (one, other) = (packets[at].bytes.clone(), packets[other].bytes.clone());
                packets[at].bytes = other;
                packets.push(Kept { bytes: one, ..packets[at].clone() });
            }
            3 => {
                let later = i64::from(random.next_u32() % 400_000) * 1_000_000;
                packets[at..].iter_mut().for_each(|packet| packet.time_ns += later);
            }
            _ => {
                // Where headers are, mostly.
                let bytes = &mut packets[at].bytes;
                let place = random.next_u32() as usize % bytes.len().clamp(1, 80);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (random.next_u32() % 8);
                }
            }
        }
    }
    packets
}

#[test]
fn packets_that_go_the_short_way_tell_what_the_whole_way_tells() {
    let mut paths = Vec::new();
    captures(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures"), &mut paths);
    paths.sort();
    assert!(paths.len() > 80, "{} captures", paths.len());
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut events = 0;
    for path in paths {
        let packets = read(&path);
        for round in 0..30 {
            let packets = match round {
                0 => packets.clone(),
                _ => changed(&packets, &mut random),
            };
            let short = told(&packets, FoundStat::NotCounted);
            assert_eq!(short, told(&packets, FoundStat::EachLookup), "{path:?}, round {round}");
            events += short.len();
        }
    }
    assert!(events > 20_000, "{events}: the captures are about something");
}

#[test]
fn looking_ahead_changes_nothing() {
    // Twenty thousand flows in turn, three times: UDP, and back.
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend_from_slice(&[0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    for number in 0..60_000_u32 {
        let port = (1000 + number % 20_000) as u16;
        let (mut ends, mut ports) = ([[10, 0, 0, 1], [10, 0, 0, 2]], [port, 53]);
        if number / 20_000 == 1 {
            (ends, ports) = ([ends[1], ends[0]], [53, port]);
        }
        for word in [number / 1000, number % 1000, 42, 42] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&[[2; 12].as_slice(), &[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0]].concat());
        file.extend_from_slice(&[[64, 17, 0, 0].as_slice(), &ends.concat()].concat());
        for word in [ports[0], ports[1], 8, 0] {
            file.extend_from_slice(&word.to_be_bytes());
        }
    }
    let told = |ahead: bool| {
        let router = Router::new(Settings::of(Revision::LINUX_6_18, None, None)).expect("memory");
        let mut replay = Replay::new(router, Pace::CAPTURED, Selection::default(), true);
        let mut capture = Capture::new(Cursor::new(file.clone())).expect("a capture");
        let mut told = Vec::new();
        let mut tell = |_: &mut Router, happening: &Happening<'_>| {
            told.push(format!("{happening:?}"));
        };
        if ahead {
            assert!(!replay.play(&mut capture, u64::MAX, &mut tell).expect("whole"));
        } else {
            while let Some(frame) = capture.next_packet().expect("whole") {
                replay.packet(&frame, &mut tell);
            }
        }
        (replay.totals().letters.clone(), told)
    };
    let (letters, events) = told(true);
    assert_eq!(
        letters,
        [("N", 20_000), ("e", 20_000), ("E", 20_000)].map(|(l, n)| l.repeat(n)).concat()
    );
    assert!(events.len() >= 20_000, "{}", events.len());
    assert_eq!((letters, events), told(false));
}

#[test]
fn a_connection_whose_first_packet_is_dropped_leaves_no_timer() {
    // No request without a sequence: the helper gives the connection an hour, and drops it.
    let text = b"INVITE sip:b@10.91.2.2 SIP/2.0\r\n\r\n";
    let (udp_len, ip_len) = (8 + text.len() as u16, 28 + text.len() as u16);
    let [high, low] = ip_len.to_be_bytes();
    let mut bytes = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0];
    bytes.extend_from_slice(&[10, 91, 1, 2, 10, 91, 2, 2, 0x13, 0xc4, 0x13, 0xc4]);
    bytes.extend_from_slice(&udp_len.to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(text);
    let at = |secs: i64| Kept { time_ns: secs * 1_000_000_000, link: 101, bytes: bytes.clone() };
    let packets = [at(0), at(40), at(400), at(8000)];
    let told = told(&packets, FoundStat::NotCounted);
    assert_eq!(told.last().map(String::as_str), Some("----"), "each is dropped: {told:?}");
    assert!(!told.iter().any(|line| line.contains("Destroy")), "{told:?}");
}
