// SPDX-License-Identifier: GPL-2.0-only
//! Good captures, cut and flipped: as files, and packet by packet in front of every helper.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::helper::{Helper, IN_TREE};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Proto;
use nfexp_sim::forward::Router;
use nfexp_sim::replay::{Happening, Pace, Replay, Selection};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::{Capture, Frame};
use nfexp_traces::helpers::State;
use nfexp_traces::packet::{datagram, packet as transport};

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

/// A capture of our own, with the helpers it is about and the options of its recording.
struct Recorded {
    helpers: String,
    options: String,
    path: PathBuf,
}

fn recorded() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("the folder has an index");
    let mut lines = index.lines();
    let names: Vec<&str> = lines.next().expect("a head line").split('\t').collect();
    let column = |name| names.iter().position(|known| *known == name).expect("the column");
    let (capture, helper, options) = (column("capture"), column("helper"), column("options"));
    let mut seen = BTreeSet::new();
    let rows = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    let of = |row: Vec<&str>| {
        let (helpers, options) = (row[helper].to_owned(), row[options].to_owned());
        Recorded { helpers, options, path: folder.join(row[capture]) }
    };
    rows.filter(|row| seen.insert(row[capture].to_owned())).map(of).collect()
}

/// A router small enough to be made often; its tables fill, which is a test too.
fn router(options: &str) -> Router {
    let mut settings = Settings::of(Revision::LINUX_6_18, Some(8), Some(16));
    settings.config.conns = 256;
    // Time stands still whatever the recording did.
    settings.apply(options, &mut Pace::Frozen).expect("options of our own recordings");
    Router::new(settings).expect("memory")
}

/// Which bytes are mangled: a flipped header may end its connection, and then nobody would read
/// the payload, so each has a play of its own.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Headers,
    Payload,
}

/// Plays a capture; each packet is followed by its truncations and flips, on the same
/// connection, where the helper meets them. How many packets, and how many events they had.
fn play_mangled(recorded: &Recorded, part: Part) -> (usize, usize) {
    let router = router(&recorded.options);
    let mut replay = Replay::new(router, Pace::Frozen, Selection::default(), false);
    let mut capture = Capture::open(&recorded.path).expect("our own capture");
    let (mut shown, mut told) = (0, 0);
    // The last packet that said something comes again before each mangled answer to it: a helper
    // may wait for one after the other.
    let (mut bytes, mut question) = (Vec::new(), Vec::new());
    while let Some(frame) = capture.next_packet().expect("our own capture") {
        replay.packet(&frame, &mut |_, _| {});
        let Ok(good) = datagram(frame.link, frame.bytes) else { continue };
        // An empty part may lie anywhere.
        let place = |part: &[u8]| part.as_ptr() as usize - frame.bytes.as_ptr() as usize;
        let at = |part: &[u8]| if part.is_empty() { frame.bytes.len() } else { place(part) };
        let payload = transport(&good).map_or(good.body, |whole| whole.payload);
        let range = match part {
            Part::Headers => at(good.body).saturating_sub(40)..at(payload),
            Part::Payload => at(payload)..at(payload) + payload.len(),
        };
        bytes.clear();
        bytes.extend_from_slice(frame.bytes);
        let mut show = |bytes: &[u8]| {
            let mut tell = |_: &mut Router, happening: &Happening<'_>| {
                told += happening.events.len();
            };
            if part == Part::Payload && !question.is_empty() {
                replay.packet(&Frame { bytes: &question, ..frame }, &mut tell);
            }
            shown += 1;
            replay.packet(&Frame { bytes, ..frame }, &mut tell);
        };
        for at in range {
            for flip in FLIPS {
                bytes[at] ^= flip;
                show(&bytes);
                bytes[at] ^= flip;
            }
            match part {
                Part::Headers => show(&bytes[..at]),
                // The lengths agree: only then does a helper see what is left.
                Part::Payload => {
                    shortened(frame.link, frame.bytes, at).iter().for_each(|s| show(s))
                }
            }
        }
        if !payload.is_empty() {
            question.clear();
            question.extend_from_slice(frame.bytes);
        }
    }
    replay.finish(|_, _| {});
    (shown, told)
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

/// A capture of whole packets to a helper's port and back, for one that has no other: words and
/// numbers, and every byte there is.
fn invented(helper: &Helper) -> Recorded {
    let text = b"HELLO (10,0,0,2,195,80) 10.0.0.2:50000 [fd00::2]:50001 |1|10.0.0.2|50002|\r\n";
    let any: Vec<u8> = (0..=u8::MAX).collect();
    let place = helper.port.to_be_bytes();
    let turned = |mut packet: Vec<u8>| {
        // Both addresses, both ports.
        packet[12..20].rotate_left(4);
        packet[20..24].rotate_left(2);
        ethernet(0x0800, &packet)
    };
    let segment = |flags, payload: &[u8]| {
        let mut segment = tcp(flags, 5, payload);
        segment[2..4].copy_from_slice(&place);
        segment[7] = if flags & 2 == 0 { 2 } else { 1 };
        segment[11] = if flags & 16 == 0 { 0 } else { 2 };
        ipv4(6, 0, &segment)
    };
    let mut frames = Vec::new();
    for proto in helper.proto.iter().filter(|_| helper.port != 0) {
        if *proto == Proto::TCP {
            frames.extend([
                ethernet(0x0800, &segment(0x02, b"")),
                turned(segment(0x12, b"")),
                ethernet(0x0800, &segment(0x10, b"")),
            ]);
        }
        for payload in [&text[..], &any] {
            let packet = match *proto {
                Proto::TCP => segment(0x18, payload),
                _ => ipv4(17, 0, &udp(helper.port, payload)),
            };
            frames.extend([ethernet(0x0800, &packet), turned(packet)]);
        }
    }
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("to-{}.pcap", helper.name));
    fs::write(&path, pcap(&frames)).expect("the target folder can be written");
    Recorded { helpers: helper.name.to_owned(), options: String::new(), path }
}

/// Shows every helper with a grammar mangled packets of its captures, up to about so many, or
/// invented ones if it has none; the helpers that were shown too few.
fn show_all(most: usize) -> Vec<&'static str> {
    let captures = recorded();
    let registered: Vec<&Helper> =
        IN_TREE.iter().filter(|helper| State::of(helper.name).is_some()).collect();
    assert!(registered.len() >= 12, "only {registered:?}");
    let shown = |helper: &&Helper| {
        let name = helper.name;
        let of_it = |recorded: &&Recorded| recorded.helpers.split(',').any(|helper| helper == name);
        let has_some = captures.iter().any(|recorded| of_it(&recorded));
        let invented = (!has_some).then(|| invented(helper));
        let mut sums = [(0, 0); 2];
        for recorded in captures.iter().filter(of_it).chain(&invented) {
            for (sum, part) in sums.iter_mut().zip([Part::Headers, Part::Payload]) {
                if sum.0 < most {
                    let (shown, told) = play_mangled(recorded, part);
                    *sum = (sum.0 + shown, sum.1 + told);
                }
            }
        }
        eprintln!("{name}: packets and their events {sums:?}");
        sums[1].0 < 500 || has_some && sums[1].1 == 0
    };
    registered.into_iter().filter(shown).map(|helper| helper.name).collect()
}

/// What to do about a helper that was shown too few.
const NEEDS: &str = "helpers that were shown too few packets, or none that they answer: each needs \
                     a capture in traces/captures whose row of INDEX.tsv names it as `helper`";

/// One without a capture meets invented packets, by TCP and by UDP.
#[test]
fn a_helper_without_a_capture_is_shown_packets_of_ours() {
    for name in ["ftp", "tftp"] {
        let helper = IN_TREE.iter().find(|helper| helper.name == name).expect("in the tree");
        let recorded = invented(helper);
        let mut replay = Replay::new(router(""), Pace::Frozen, Selection::default(), true);
        let mut capture = Capture::open(&recorded.path).expect("it was just written");
        while let Some(frame) = capture.next_packet().expect("it is whole") {
            replay.packet(&frame, &mut |_, _| {});
        }
        let letters = &replay.totals().letters;
        assert!(
            letters.starts_with('N') && letters[1..].chars().all(|l| "eE".contains(l)),
            "{letters}"
        );
        assert!(play_mangled(&recorded, Part::Payload).0 > 500, "{name}");
    }
}

/// Whatever helper gets a grammar is met here by its name.
#[test]
fn every_helper_answers_mangled_packets() {
    assert_eq!(show_all(100_000), [""; 0], "{NEEDS}");
}

#[test]
#[ignore = "a minute: run by `cargo exhaustive`"]
fn exhaustive_every_helper_answers_every_mangled_packet() {
    assert_eq!(show_all(usize::MAX), [""; 0], "{NEEDS}");
}
