// SPDX-License-Identifier: GPL-2.0-only
//! Random operations that aim: few addresses, few ports, few masks, so that tuples meet.

use std::net::IpAddr;

use nfexp_traces::transcript::{
    Advance, CtAt, CtHelp, CtNew, DumpAll, DumpMaster, ExpAt, ExpNew, Family, Header, HelperName,
    IdArg, NftExpectation, Nothing, Operation, Packet, PacketArgs, Parts, Whose,
};
use proptest::prelude::*;

/// As recordings have it, with a table that can be full.
pub(crate) fn header() -> Header {
    let rule =
        |udp_dport, l4, dport, seconds| NftExpectation { udp_dport, l4, dport, seconds, size: 1 };
    Header {
        expect_max: 12,
        nft: vec![rule(4321, 17, 2000, 5), rule(4322, 6, 2001, 60)],
        ..Header::usual("random", "0", 60)
    }
}

fn ip(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([10, 0, 0, last]))
}

pub(crate) fn tuple(src: u8, dst: u8, proto: u8, sport: u16, dport: u16) -> Parts {
    let (sport, dport) = (Some(sport), Some(dport));
    Parts { src: ip(src), dst: ip(dst), proto: Some(proto), sport, dport, ..Parts::default() }
}

const HELPERS: [(&str, u8); 6] =
    [("tftp", 17), ("sip", 17), ("RAS", 17), ("netbios-ns", 17), ("ftp", 6), ("irc", 6)];

/// One of six masters that there may be.
fn master() -> impl Strategy<Value = (Parts, &'static str)> {
    (0..HELPERS.len()).prop_map(|at| {
        let (name, proto) = HELPERS[at];
        (tuple(1, 2, proto, 1000 + at as u16, 69), name)
    })
}

fn zone() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(0)), 2 => Just(Some(1))]
}

fn target() -> impl Strategy<Value = Parts> {
    let proto = prop_oneof![3 => Just(17_u8), 1 => Just(6)];
    let sport = prop_oneof![Just(0_u16), Just(7), Just(8), Just(263)];
    (1_u8..4, 1_u8..3, proto, sport, 2000_u16..2003)
        .prop_map(|(src, dst, proto, sport, dport)| tuple(src, dst, proto, sport, dport))
}

fn mask() -> impl Strategy<Value = Parts> {
    let src = prop_oneof![4 => Just(u32::MAX), 1 => Just(0), 1 => Just(!1), 1 => Just(0xffff_ff00)];
    let sport = prop_oneof![4 => Just(0_u16), 1 => Just(0xffff), 1 => Just(0xff)];
    (src, sport).prop_map(|(src, sport)| {
        let src = Some(IpAddr::from(src.to_be_bytes()));
        Parts { src, ..tuple(255, 255, 17, sport, 0xffff) }
    })
}

fn new_expectation() -> impl Strategy<Value = Operation> {
    let cls = prop_oneof![3 => Just(None), 2 => (0_u32..4).prop_map(Some)];
    let flags = prop_oneof![3 => Just(None), 3 => (0_u32..8).prop_map(Some), 1 => Just(Some(8))];
    let timeout = prop_oneof![4 => Just(None), 1 => Just(Some(60)), 1 => Just(Some(500))];
    let how = (any::<bool>(), prop_oneof![5 => Just(true), 1 => Just(false)]);
    (master(), target(), mask(), zone(), cls, flags, timeout, how).prop_map(
        |((master, _), tuple, mask, zone, cls, flags, timeout, (excl, create))| {
            let mask = Parts { proto: tuple.proto, ..mask };
            let (master, tuple, mask) = (Some(master), Some(tuple), Some(mask));
            let new =
                ExpNew { master, tuple, mask, zone, cls, flags, timeout, ..ExpNew::default() };
            Operation::ExpNew(Box::new(ExpNew { excl, create, ..new }))
        },
    )
}

fn packet() -> impl Strategy<Value = Operation> {
    let plain = (target(), zone(), prop_oneof![5 => Just(None), 1 => Just(Some("R"))]);
    let plain = plain.prop_map(|(tuple, zone, tcp)| {
        let tcp = tcp.filter(|_| tuple.proto == Some(6)).map(str::to_owned);
        (Packet { tuple, tcp, hex: None }, zone)
    });
    let request = (master(), zone()).prop_map(|((tuple, _), zone)| {
        let hex = Some("000166006f6374657400".to_owned());
        (Packet { tuple, tcp: None, hex }, zone)
    });
    let ruled = (1_u8..4, 5001_u16..5003, 4321_u16..4323, zone());
    let ruled = ruled.prop_map(|(src, sport, dport, zone)| {
        (Packet { tuple: tuple(src, 2, 17, sport, dport), tcp: None, hex: None }, zone)
    });
    prop_oneof![4 => plain, 1 => request, 2 => ruled]
        .prop_map(|(p, zone)| Operation::Pkt(PacketArgs { p, zone: zone.unwrap_or(0) }))
}

fn lookup() -> impl Strategy<Value = ExpAt> {
    let id = prop_oneof![3 => Just(None), 1 => Just(Some(Whose::This)), 1 => (0_u64..9).prop_map(|h| Some(Whose::Handle(h)))];
    (target(), zone(), id, any::<bool>()).prop_map(|(tuple, zone, id, by_master)| {
        let id = id.map(|of| IdArg { of });
        let (tuple, master) = if by_master { (None, Some(tuple)) } else { (Some(tuple), None) };
        ExpAt { l3: Family::Ip, tuple, zone, id, master }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let ct_new = (master(), zone(), prop_oneof![4 => Just(true), 1 => Just(false)]);
    let ct_new = ct_new.prop_map(|((orig, helper), zone, helped)| {
        let helper = helped.then(|| helper.to_owned());
        let (orig, timeout) = (Some(orig), Some(3600));
        Operation::CtNew(CtNew {
            l3: Family::Ip,
            orig,
            helper,
            zone,
            mark: Some(7),
            timeout,
            ..CtNew::default()
        })
    });
    let place = || {
        (master(), zone()).prop_map(|((orig, _), zone)| CtAt {
            l3: Family::Ip,
            orig: Some(orig),
            zone,
        })
    };
    let names = prop_oneof![Just(""), Just("tftp"), Just("sip"), Just("nosuch")];
    let ct_help = (place(), names)
        .prop_map(|(at, name)| Operation::CtHelp(CtHelp { at, helper: Some(name.to_owned()) }));
    let dump_master = (master(), zone()).prop_map(|((master, _), zone)| {
        Operation::ExpDumpMaster(DumpMaster { l3: Family::Ip, master: Some(master), zone })
    });
    let by_helper = master()
        .prop_map(|(_, name)| Operation::ExpDelHelper(HelperName { name: name.to_owned() }));
    // By tuple only: without one, everything goes.
    let delete = lookup().prop_map(|at| {
        let tuple = at.tuple.or(at.master);
        Operation::ExpDel(ExpAt { tuple, master: None, ..at })
    });
    let look = prop_oneof![
        lookup().prop_map(Operation::ExpGet),
        dump_master,
        Just(Operation::ExpDump(DumpAll { l3: Family::Any })),
        Just(Operation::Proc(Nothing {})),
        Just(Operation::Stats(Nothing {})),
        Just(Operation::CtDump(Nothing {})),
    ];
    prop_oneof![
        12 => new_expectation(),
        6 => packet(),
        4 => ct_new,
        1 => place().prop_map(Operation::CtDel),
        1 => ct_help,
        2 => delete,
        1 => by_helper,
        1 => prop_oneof![Just(Operation::ExpFlush(Nothing {})), Just(Operation::CtFlush(Nothing {}))],
        // Far beyond every timer: between a deadline and its firing the two need not agree.
        1 => Just(Operation::Advance(Advance { to: 0 })),
        4 => look,
    ]
}

/// A sequence; each `advance` goes ten minutes further, at most fifty.
pub(crate) fn operations(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..most).prop_map(|mut operations| {
        let mut now = 0;
        for operation in &mut operations {
            if let Operation::Advance(advance) = operation {
                // Beyond any expectation's timer, and never beyond a connection's.
                now = (now + 600_000).min(3_000_000);
                advance.to = now;
            }
        }
        operations
    })
}
