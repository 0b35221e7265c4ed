// SPDX-License-Identifier: GPL-2.0-only
//! A capture through the router, against merely reading and decoding the same packets.
//!
//! The capture is made of the recorded ones of `traces/captures`, over and over, from memory; the
//! router keeps its table, so that later rounds meet known connections, as in a long capture.

use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nfexp_model::revision::Revision;
use nfexp_sim::forward::Router;
use nfexp_sim::replay::{Pace, Replay, Selection};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::Capture;
use nfexp_traces::packet::{datagram, packet};

/// A classic capture of so many packets of recorded Ethernet sessions, and how many those are.
fn capture(most: u64) -> (Vec<u8>, u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures");
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    let mut packets = 0;
    while packets < most {
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
    (bytes, packets)
}

fn replay(criterion: &mut Criterion) {
    let (bytes, packets) = capture(100_000);
    let mut group = criterion.benchmark_group("capture");
    group.throughput(Throughput::Elements(packets)).sample_size(10);
    group.bench_function("decode/100k", |bencher| {
        bencher.iter(|| {
            let mut capture = Capture::new(Cursor::new(bytes.clone())).expect("ours");
            while let Some(frame) = capture.next_packet().expect("ours") {
                let whole = datagram(frame.link, frame.bytes);
                let _ = black_box(whole.map(|whole| packet(&whole).map(|packet| packet.tuple)));
            }
        });
    });
    group.bench_function("replay/100k", |bencher| {
        bencher.iter(|| {
            let settings = Settings::of(Revision::LINUX_6_18, None, None);
            let router = Router::new(settings).expect("memory");
            let mut replay = Replay::new(router, Pace::CAPTURED, Selection::default(), false);
            let mut capture = Capture::new(Cursor::new(bytes.clone())).expect("ours");
            while let Some(frame) = capture.next_packet().expect("ours") {
                replay.packet(&frame, &mut |_, happening| {
                    black_box(happening.events.len());
                });
            }
        });
    });
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
