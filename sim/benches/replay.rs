// SPDX-License-Identifier: GPL-2.0-only
//! A capture through the router, against merely reading and decoding the same packets.
//!
//! *Sessions*: the recorded ones of `traces/captures`, over and over, whose helpers read most packets.
//! The others are generated, and no helper looks. *Traffic*: as a busy link has it, so many flows
//! open at a time. The rest: so many flows in turn, so many bytes each packet; with fifty thousand
//! most of the work is to begin connections, of which many have one packet or two. *Yours*: the
//! capture that `NFEXP_CAPTURE` names.

mod cpu_time;
mod generated;
#[path = "generated/traffic.rs"]
mod traffic;

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nfexp_model::revision::Revision;
use nfexp_sim::forward::Router;
use nfexp_sim::replay::{Happening, Pace, Replay, Selection};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::Capture;
use nfexp_traces::packet::{datagram, packet};

use cpu_time::{CpuTime, print_ratio};
use generated::capture;
use traffic::traffic;

/// A classic capture of recorded Ethernet sessions, and how many packets it has.
fn sessions() -> (PathBuf, u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    let mut packets = 0;
    while packets < 100_000 {
        for name in ["ftp/ftp-several-active", "tftp/tftp-write-v4", "sip/sip-busy"] {
            let mut source = Capture::open(&folder.join(format!("{name}.pcap"))).expect("ours");
            while let Some(frame) = source.next_packet().expect("ours") {
                let length = frame.bytes.len() as u32;
                for word in [packets as u32 / 1000, 0, length, length] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                bytes.extend_from_slice(frame.bytes);
                packets += 1;
            }
        }
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sessions.pcap");
    std::fs::write(&path, bytes).expect("there is room for a capture");
    (path, packets)
}

/// The reader's own capture, and how many packets it has.
fn yours() -> Option<(String, (PathBuf, u64))> {
    let path = PathBuf::from(std::env::var_os("NFEXP_CAPTURE")?);
    let packets = played(&path, false).totals().packets;
    Some((String::from("yours"), (path, packets)))
}

/// Reads and decodes all packets; answers how many could be decoded.
fn decoded(path: &Path) -> u64 {
    let mut capture = Capture::open(path).expect("a capture");
    let mut whole = 0;
    while let Some(frame) = capture.next_packet().expect("whole") {
        if let Ok(datagram) = &datagram(frame.link, frame.bytes) {
            let packet = packet(datagram);
            whole += u64::from(black_box(&packet).is_ok());
        }
    }
    whole
}

/// Plays all packets.
fn played(path: &Path, keep_letters: bool) -> Replay {
    let settings = Settings::of(Revision::LINUX_6_18, None, None);
    let router = Router::new(settings).expect("memory");
    let mut replay = Replay::new(router, Pace::CAPTURED, Selection::default(), keep_letters);
    let mut capture = Capture::open(path).expect("a capture");
    let mut tell = |_: &mut Router, happening: &Happening<'_>| {
        black_box(happening.events.len());
    };
    replay.play(&mut capture, u64::MAX, &mut tell).expect("whole");
    replay
}

fn replay(criterion: &mut Criterion<CpuTime>) {
    let generated = [(20, 77), (20, 633), (50_000, 77), (50_000, 633)];
    let generated =
        generated.map(|(flows, size)| (format!("{flows}x{size}"), capture(flows, size)));
    let traffic = [1000, 20_000].map(|open| {
        let (path, packets, flows) = traffic(open);
        println!("replay/traffic-{open}: {packets} packets of {flows} flows");
        (format!("traffic-{open}"), (path, packets))
    });
    let sessions = [(String::from("sessions"), sessions())];
    let made = generated.into_iter().chain(traffic).map(|row| (row, true));
    let recorded = sessions.into_iter().chain(yours()).map(|row| (row, false));
    for ((name, (path, packets)), is_made) in made.chain(recorded) {
        if is_made {
            let letters = played(&path, true).totals().letters.clone();
            assert!(!letters.contains(['I', '-', '.']), "all belong to a connection");
            assert_eq!(decoded(&path), packets, "all can be decoded");
        }
        let replayed = || played(&path, false).totals().packets;
        print_ratio(&format!("replay/{name}"), || decoded(&path), replayed);
        let mut group = criterion.benchmark_group(format!("replay/{name}"));
        group.throughput(Throughput::Elements(packets)).sample_size(10);
        group.bench_function("decode", |bencher| bencher.iter(|| decoded(&path)));
        group.bench_function("replay", |bencher| bencher.iter(replayed));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime).without_plots();
    targets = replay
}
criterion_main!(benches);
