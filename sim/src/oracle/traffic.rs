// SPDX-License-Identifier: GPL-2.0-only
//! Packets: those that an expectation waits for, and others.

use std::net::IpAddr;

use nfexp_traces::transcript::{Family, Packet, PacketArgs, Parts};

use super::generate::Generator;
use super::{ctnetlink::inverse, masters, requests};

const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const SCTP: u8 = 132;

/// A read request of TFTP for a file `f`.
const READ_REQUEST: &str = "000166006f6374657400";

/// A packet that an expectation waits for: any value where its mask leaves room.
pub(super) fn hit(generator: &mut Generator) -> PacketArgs {
    let Some(seen) = requests::some(generator) else { return stray(generator) };
    let tuple = requests::covered(generator, &seen);
    let elsewhere = generator.dice.percent(5);
    let zone = if elsewhere { generator.zone().unwrap_or(0) } else { seen.zone };
    sendable(plain(tuple, zone))
}

/// A packet nobody waits for.
pub(super) fn stray(generator: &mut Generator) -> PacketArgs {
    let (_, mut tuple, zone) = requests::aimed_tuple(generator);
    if generator.dice.percent(50) {
        generator.fresh += 1;
        let fresh = 20_000 + generator.fresh;
        tuple.sport = tuple.sport.map(|sport| if tuple.proto == Some(GRE) { sport } else { fresh });
        tuple.id = tuple.id.map(|_| fresh);
    }
    sendable(plain(tuple, zone.unwrap_or(0)))
}

/// A further packet of a connection that exists.
pub(super) fn again(generator: &mut Generator) -> PacketArgs {
    let Some(flow) = masters::some_flow(generator) else { return stray(generator) };
    let back = flow.orig.proto != Some(TCP) && generator.dice.percent(30);
    let tuple = if back { inverse(&flow.orig) } else { flow.orig };
    sendable(plain(tuple, flow.zone))
}

/// A packet from where the answers to a translated connection come from, or from beside.
pub(super) fn answer(generator: &mut Generator) -> PacketArgs {
    let Generator { dice, known, .. } = generator;
    let Some((flow, mut tuple)) = dice.maybe(&known.translated).copied() else {
        return hit(generator);
    };
    if dice.percent(10) {
        tuple.sport = tuple.sport.map(|_| dice.pick(&[0, 5000]));
    }
    sendable(plain(tuple, flow.zone))
}

/// A reset where there is no connection: an invalid packet.
pub(super) fn reset(generator: &mut Generator) -> PacketArgs {
    for _ in 0..8 {
        let mut packet = hit(generator);
        packet.p.tuple.sport = packet.p.tuple.sport.or(Some(7));
        let known = generator
            .known
            .flows
            .iter()
            .any(|flow| flow.orig == packet.p.tuple && flow.zone == packet.zone);
        if packet.p.tuple.proto == Some(TCP) && !known {
            packet.p.tcp = Some("R".to_owned());
            return packet;
        }
    }
    let mut packet = stray(generator);
    generator.fresh += 1;
    let tuple = &mut packet.p.tuple;
    *tuple = Parts {
        proto: Some(TCP),
        sport: Some(20_000 + generator.fresh),
        dport: Some(2001),
        src: tuple.src,
        dst: tuple.dst,
        ..Parts::default()
    };
    packet.p.tcp = Some("R".to_owned());
    packet
}

/// A read request to a master, most of them with the helper that reads it.
pub(super) fn read_request(generator: &mut Generator) -> PacketArgs {
    let readers: Vec<_> = generator
        .known
        .living()
        .into_iter()
        .filter(|master| master.helper.as_deref() == Some("tftp"))
        .cloned()
        .collect();
    let reader = generator.dice.maybe(&readers).cloned();
    let master = match reader {
        Some(reader) if generator.dice.percent(85) => Some(reader),
        _ => masters::any(generator, 10).filter(|master| master.orig.proto == Some(UDP)),
    };
    let Some(master) = master else { return stray(generator) };
    let mut packet = plain(master.orig, master.zone);
    packet.p.hex = Some(READ_REQUEST.to_owned());
    packet
}

/// The first packet of a flow whose rule expects something; or a further one.
pub(super) fn nft(generator: &mut Generator) -> PacketArgs {
    let zone = generator.zone().unwrap_or(0);
    let dice = &mut generator.dice;
    let all = masters::addresses(Family::Ip);
    let tuple = Parts {
        src: Some(dice.pick(&all)),
        dst: Some(dice.pick(&all)),
        proto: Some(UDP),
        sport: Some(dice.pick(&[5001, 5002, 5003])),
        dport: Some(dice.pick(&[4321, 4322])),
        ..Parts::default()
    };
    plain(tuple, zone)
}

fn plain(tuple: Parts, zone: u16) -> PacketArgs {
    PacketArgs { p: Packet { tuple, tcp: None, hex: None }, zone }
}

/// What can be sent: a GRE packet of the old form has no keys, what the tracker makes of an SCTP
/// packet depends on more than ports, so such a one goes by UDP, and nobody forwards what is from
/// zero and what follows it.
fn sendable(mut packet: PacketArgs) -> PacketArgs {
    let tuple = &mut packet.p.tuple;
    if tuple.proto == Some(GRE) {
        (tuple.sport, tuple.dport) = (Some(0), Some(0));
    }
    if tuple.proto == Some(SCTP) {
        tuple.proto = Some(UDP);
    }
    tuple.src = tuple.src.map(|src| match src {
        IpAddr::V4(addr) if addr.octets()[0] == 0 => masters::addresses(Family::Ip)[0],
        IpAddr::V6(addr) if addr.segments()[0] == 0 => masters::addresses(Family::Ip6)[0],
        _ => src,
    });
    packet
}
