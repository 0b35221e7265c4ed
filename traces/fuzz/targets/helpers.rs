// SPDX-License-Identifier: GPL-2.0-only
//! One connection of one helper through a router, its payloads as given; then the audit.
//!
//! ```text
//!   helper  family and protocol  { kind  length  payload }…
//! ```
//!
//! The kind of a packet: bit 0 the direction; bit 1 another connection, to the port that the
//! next two bytes name; bit 2 a pause of ten seconds; bit 3 a reset.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_model::helper::IN_TREE;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Proto;
use nfexp_sim::forward::Router;
use nfexp_sim::replay::{Pace, Replay, Selection};
use nfexp_sim::settings::{Port, Settings};
use nfexp_traces::capture::Frame;

/// The port at which a helper listens that has none of its own (H.245).
const OTHER_PORT: u16 = 1245;

/// One side's next sequence number and port.
struct Side {
    seq: u32,
    port: u16,
    host: u8,
}

struct Session {
    six: bool,
    proto: Proto,
    sides: [Side; 2],
    replay: Replay,
    number: u64,
    time_ns: i64,
}

fuzz_target!(|bytes: &[u8]| {
    let [helper, how, rest @ ..] = bytes else { return };
    let helper = &IN_TREE[usize::from(*helper) % IN_TREE.len()];
    let proto = helper.proto[usize::from(*how >> 1) % helper.proto.len()];
    let mut settings = Settings::of(Revision::LINUX_6_18, Some(4), Some(24));
    settings.config.conns = 64;
    settings.ports.push(Port { helper: "H.245".to_owned(), proto: Proto::TCP, port: OTHER_PORT });
    let port = if helper.port == 0 { OTHER_PORT } else { helper.port };
    let router = Router::new(settings).expect("memory");
    let replay = Replay::new(router, Pace::CAPTURED, Selection::default(), false);
    let sides = [Side { seq: 100, port: 40_000, host: 1 }, Side { seq: 900, port, host: 2 }];
    let mut session = Session { six: how & 1 == 1, proto, sides, replay, number: 0, time_ns: 0 };
    session.open();
    let mut rest = rest;
    while let [kind, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (payload, more) = more.split_at(length);
        rest = more;
        if kind & 4 != 0 {
            session.time_ns += 10_000_000_000;
        }
        match kind & 10 {
            2 => session.begin(usize::from(kind & 1), payload),
            8 => session.packet(usize::from(kind & 1), 4, payload),
            _ => session.packet(usize::from(kind & 1), 0x18, payload),
        }
    }
    session.replay.finish(|_, _| {});
    session.replay.router.engine().audit().expect("the engine is sound");
});

impl Session {
    /// The handshake, or one datagram each way.
    fn open(&mut self) {
        self.packet(0, 2, b"");
        self.packet(1, 0x12, b"");
        self.packet(0, 0x10, b"");
    }

    /// The first packet of another connection, to the port its payload names.
    fn begin(&mut self, side: usize, payload: &[u8]) {
        let [high, low, ..] = payload else { return };
        let dport = u16::from_be_bytes([*high, *low]);
        let (from, to) = (self.sides[side].host, self.sides[1 - side].host);
        let proto = if dport & 1 == 0 { Proto::UDP } else { self.proto };
        let body = match proto {
            Proto::TCP => tcp(50_000, dport, 1, 0, 2, b""),
            _ => udp(50_000, dport, payload),
        };
        self.show(from, to, proto, &body);
    }

    fn packet(&mut self, side: usize, flags: u8, payload: &[u8]) {
        let (from, to) = (&self.sides[side], &self.sides[1 - side]);
        let (host, other) = (from.host, to.host);
        let body = match self.proto {
            Proto::TCP => tcp(from.port, to.port, from.seq, to.seq, flags, payload),
            _ => udp(from.port, to.port, payload),
        };
        self.sides[side].seq += payload.len() as u32 + u32::from(flags & 2 != 0);
        let proto = self.proto;
        self.show(host, other, proto, &body);
    }

    fn show(&mut self, from: u8, to: u8, proto: Proto, body: &[u8]) {
        let bytes =
            if self.six { ipv6(from, to, proto, body) } else { ipv4(from, to, proto, body) };
        self.number += 1;
        let original_len = bytes.len() as u32;
        let (number, time_ns) = (self.number, self.time_ns);
        let frame = Frame { number, time_ns, link: 101, bytes: &bytes, original_len };
        self.replay.packet(&frame, &mut |_, _| {});
    }
}

fn tcp(sport: u16, dport: u16, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    head.extend_from_slice(&[seq.to_be_bytes(), ack.to_be_bytes()].concat());
    head.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    [head.as_slice(), payload].concat()
}

fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(60_000)];
    let length = 8 + payload.len() as u16;
    [[sport, dport, length, 0].map(u16::to_be_bytes).concat().as_slice(), payload].concat()
}

fn ipv4(from: u8, to: u8, proto: Proto, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(65_000)];
    let total = (20 + body.len() as u16).to_be_bytes();
    let head =
        [0x45, 0, total[0], total[1], 0, 7, 0, 0, 64, proto.0, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
    [head.as_slice(), body].concat()
}

fn ipv6(from: u8, to: u8, proto: Proto, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(65_000)];
    let length = (body.len() as u16).to_be_bytes();
    let mut head = vec![0x60, 0, 0, 0, length[0], length[1], proto.0, 64];
    for host in [from, to] {
        head.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    [head.as_slice(), body].concat()
}
