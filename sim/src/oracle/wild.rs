// SPDX-License-Identifier: GPL-2.0-only
//! Operations at the edges: transport protocols, timeouts, masks and payloads that nobody needs.
//!
//! The rule that matters: still nothing that depends on chance or on the clock. A timeout that
//! wraps round ends far beyond the run.

use nfexp_traces::transcript::{
    CtAt, CtHelp, CtNew, DumpMaster, ExpAt, ExpNew, Family, Packet, PacketArgs, Parts,
};

use super::generate::Generator;
use super::known::Flow;
use super::{ctnetlink::inverse, masters, requests, traffic};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;

/// A conntrack of any protocol, or of none: something may be missing.
pub(super) fn master(generator: &mut Generator) -> CtNew {
    let mut new = masters::new_master(generator);
    let dice = &mut generator.dice;
    let number = new.orig.and_then(|orig| orig.sport);
    let bare = new.orig.map(|orig| Parts { sport: None, dport: None, ..orig });
    match dice.below(8) {
        0 => new.orig = None,
        1 => new.timeout = None,
        2 => new.helper = Some("nosuch".to_owned()),
        3 => {
            let (proto, kind) = if new.l3 == Family::Ip6 { (ICMPV6, 128) } else { (ICMP, 8) };
            let kind = if dice.percent(20) { 0 } else { kind };
            let parts = bare.unwrap_or_default();
            let (kind, code) = (Some(kind), Some(0));
            new.orig = Some(Parts { proto: Some(proto), id: number, kind, code, ..parts });
            new.helper = None;
        }
        4 => new.orig = bare,
        5 => new.orig = new.orig.map(|orig| Parts { proto: None, ..orig }),
        _ => {
            let proto = Some(dice.pick(&[132, 136, GRE, 99, 33]));
            new.orig = new.orig.map(|orig| Parts { proto, ..orig });
            if dice.percent(70) {
                new.helper = None;
            }
        }
    }
    new
}

/// A request whose numbers are at an edge.
pub(super) fn request(generator: &mut Generator) -> ExpNew {
    let mut new = if generator.dice.percent(50) {
        requests::expect(generator)
    } else {
        requests::retime(generator)
    };
    let flow = masters::some_flow(generator);
    let dice = &mut generator.dice;
    match dice.below(8) {
        0 => new.timeout = Some(dice.pick(&[17_179_869, u32::MAX, 4_000_000])),
        1 => {
            new.tuple =
                new.tuple.map(|tuple| Parts { proto: Some(dice.pick(&[136, 33, 255])), ..tuple })
        }
        2 => {
            new.mask =
                new.mask.map(|mask| Parts { sport: Some(dice.pick(&[0x0f0f, 1, 0x8000])), ..mask })
        }
        3 => {
            new.mask =
                new.mask.map(|mask| Parts { dst: mask.src, dport: Some(0), proto: Some(0), ..mask })
        }
        4 => {
            let other = dice.pick(&masters::addresses(if new.l3 == Family::Ip {
                Family::Ip6
            } else {
                Family::Ip
            }));
            new.mask = new.mask.map(|mask| Parts { src: Some(other), ..mask });
        }
        5 => new.tuple = new.tuple.map(|tuple| Parts { dport: tuple.dport.map(|_| 0), ..tuple }),
        _ => {
            if let Some(flow) = flow.filter(|flow| flow.l3 == new.l3) {
                new.master = Some(flow.orig);
                new.zone = Some(flow.zone);
            }
        }
    }
    new
}

/// By which an expectation is asked for or deleted, where that is too little or too much.
pub(super) fn key(generator: &mut Generator) -> ExpAt {
    let (l3, tuple, zone) = requests::aimed_tuple(generator);
    let other = requests::aimed_tuple(generator).1;
    match generator.dice.below(4) {
        0 => ExpAt { l3, zone, ..ExpAt::default() },
        1 => ExpAt { l3, zone, master: Some(tuple), ..ExpAt::default() },
        _ => ExpAt { l3, zone, tuple: Some(tuple), master: Some(other), ..ExpAt::default() },
    }
}

/// Any conntrack, also one that was never a master or was announced itself.
fn at(generator: &mut Generator) -> CtAt {
    let flow = masters::some_flow(generator);
    let Some(Flow { l3, orig, zone }) = flow else { return masters::to_delete(generator) };
    let orig = if generator.dice.percent(20) { inverse(&orig) } else { orig };
    CtAt { l3, orig: Some(orig), zone: Some(zone) }
}

/// Any conntrack and the helper it shall have.
pub(super) fn helped(generator: &mut Generator) -> CtHelp {
    let at = at(generator);
    let helper = generator.dice.pick(&["", "tftp", "ftp", "sip", "nosuch", "H.245"]).to_owned();
    CtHelp { at, helper: Some(helper) }
}

/// Any conntrack as the one whose expectations are listed.
pub(super) fn listed(generator: &mut Generator) -> DumpMaster {
    let at = at(generator);
    DumpMaster { l3: at.l3, master: at.orig, zone: at.zone }
}

/// A packet of a rare kind, the first of its connection.
pub(super) fn packet(generator: &mut Generator) -> PacketArgs {
    if generator.dice.percent(35) {
        let mut packet = traffic::read_request(generator);
        if packet.p.hex.is_some() {
            let hex = ["000266006f6374657400", "0003000161", "00", "0001", "0001666f6f"];
            packet.p.hex = Some(generator.dice.pick(&hex).to_owned());
            if generator.dice.percent(20) {
                packet.p.tuple = inverse(&packet.p.tuple);
            }
        }
        return packet;
    }
    let l3 = if generator.dice.percent(25) { Family::Ip6 } else { Family::Ip };
    let zone = generator.zone().unwrap_or(0);
    generator.fresh += 1;
    let fresh = Some(20_000 + generator.fresh);
    let dice = &mut generator.dice;
    let all = masters::addresses(l3);
    let ends =
        Parts { src: Some(dice.pick(&all)), dst: Some(dice.pick(&all[..2])), ..Parts::default() };
    let ports = Parts { sport: fresh, dport: Some(dice.pick(&[2000, 2001, 2002])), ..ends };
    let kinds: &[u8] = if l3 == Family::Ip6 { &[128, 129] } else { &[0, 8, 13, 14, 15, 17, 18] };
    let echo =
        Parts { id: fresh, kind: Some(dice.pick(kinds)), code: Some(dice.below(2) as u8), ..ends };
    let icmp = if l3 == Family::Ip6 { ICMPV6 } else { ICMP };
    let (tuple, tcp) = match dice.below(4) {
        0 => (Parts { proto: Some(132), ..ports }, None),
        1 => (Parts { proto: Some(136), ..ports }, None),
        2 => (Parts { proto: Some(icmp), ..echo }, None),
        _ => (
            Parts { proto: Some(TCP), ..ports },
            Some(dice.pick(&["A", "F", "SA", "FA", "RA", "SF"]).to_owned()),
        ),
    };
    PacketArgs { p: Packet { tuple, tcp, hex: None }, zone }
}
