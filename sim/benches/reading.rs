// SPDX-License-Identifier: GPL-2.0-only
//! Reading and decoding a capture, against the least that can be done with it.
//!
//! *The floor*: blocks of 1 MiB, records found in them, and the five-tuple of plain IPv4 over
//! Ethernet; no time stamps, no other format or link layer, nothing that an error could be told of.
//!
//! The captures are files of packets that no helper looks at: 633 bytes each, as an average of
//! traffic has it, and 77 bytes each, as a resolver's has it. Answers are compared before anything
//! is timed.

mod cpu_time;
mod generated;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nfexp_model::tuple::Tuple;
use nfexp_traces::capture::Capture;
use nfexp_traces::packet::{datagram, packet};

use cpu_time::{CpuTime, print_ratio};
use generated::capture;

/// How long each packet is, in bytes.
const SIZES: [usize; 2] = [77, 633];

/// Source, destination, ports, protocol, in one number.
fn fold(src: [u8; 4], dst: [u8; 4], ports: [u16; 2], proto: u8) -> u64 {
    let ends = u64::from(u32::from_be_bytes(src)) << 32 | u64::from(u32::from_be_bytes(dst));
    let rest = u64::from(ports[0]) << 24 | u64::from(ports[1]) << 8 | u64::from(proto);
    ends ^ rest << 7
}

fn floor(path: &Path) -> u64 {
    let mut file = File::open(path).expect("it was written");
    let mut block = vec![0; 1 << 20];
    let (mut kept, mut sum) = (24, 0_u64);
    file.read_exact(&mut block[..24]).expect("a header");
    kept -= 24;
    loop {
        let read = file.read(&mut block[kept..]).expect("it can be read");
        if read == 0 {
            return sum;
        }
        let mut left = &block[..kept + read];
        while let Some((head, rest)) = left.split_first_chunk::<16>() {
            let captured = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
            let Some((frame, behind)) = rest.split_at_checked(captured as usize) else { break };
            sum = sum.rotate_left(1) ^ five_tuple(frame).unwrap_or(0);
            left = behind;
        }
        let end = kept + read;
        kept = left.len();
        block.copy_within(end - kept..end, 0);
    }
}

fn five_tuple(frame: &[u8]) -> Option<u64> {
    let head = frame.first_chunk::<34>()?;
    if (head[12], head[13], head[14] >> 4) != (8, 0, 4) {
        return None;
    }
    let ports = frame.get(14 + usize::from(head[14] & 15) * 4..)?.first_chunk::<4>()?;
    let [src, dst] = [26, 30].map(|at| [head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let ports = [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes);
    Some(fold(src, dst, ports, head[23]))
}

fn ours(path: &Path) -> u64 {
    let mut capture = Capture::open(path).expect("a capture");
    let mut sum = 0_u64;
    while let Some(frame) = capture.next_packet().expect("whole") {
        let tuple = match &datagram(frame.link, frame.bytes) {
            Ok(whole) => packet(whole).ok().map(|packet| packet.tuple),
            Err(_) => None,
        };
        let tuple = tuple.map(|Tuple { src, dst, sport, dport, proto, .. }| {
            let four = |addr: [u8; 16]| [addr[0], addr[1], addr[2], addr[3]];
            fold(four(src.0), four(dst.0), [sport, dport], proto.0)
        });
        sum = sum.rotate_left(1) ^ tuple.unwrap_or(0);
    }
    sum
}

fn reading(criterion: &mut Criterion<CpuTime>) {
    for size in SIZES {
        let (path, packets) = capture(5000, size);
        assert_eq!(floor(&path), ours(&path), "both find the same tuples");
        print_ratio(&format!("reading/{size}"), || floor(&path), || ours(&path));
        let mut group = criterion.benchmark_group(format!("reading/{size}"));
        group.throughput(Throughput::Elements(packets)).sample_size(10);
        group.bench_function("floor", |bencher| bencher.iter(|| floor(&path)));
        group.bench_function("ours", |bencher| bencher.iter(|| ours(&path)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime).without_plots();
    targets = reading
}
criterion_main!(benches);
