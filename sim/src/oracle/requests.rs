// SPDX-License-Identifier: GPL-2.0-only
//! Requests about expectations: made, in each other's way, wrong, given a new timeout.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nfexp_traces::transcript::{ExpNew, Family, HelperName, NatArg, Parts};

use super::generate::Generator;
use super::known::{Master, Seen};
use super::translated::{FUNCTIONS, Translation};
use super::{ctnetlink::inverse, masters};

const ICMP: u8 = 1;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;

/// Timeouts that can end in a run are odd; the others are beyond its end.
const TIMEOUTS: &[u32] = &[3, 3, 5, 5, 7, 9, 11, 13, 15, 60, 100, 500, 3600];

/// An expectation that may well be the first of its kind.
pub(super) fn expect(generator: &mut Generator) -> ExpNew {
    let master = master(generator);
    let mut tuple = fresh_tuple(generator, master.l3);
    let mut mask = fresh_mask(generator, &tuple);
    if generator.profile().translates() && generator.dice.percent(15) {
        let anyone = tuple.src.map(unspecified);
        (tuple.src, mask.src) = (anyone, anyone);
    }
    request(generator, &master, tuple, mask)
}

/// An expectation in the way of one that exists: equal, covered, covering, or orthogonal.
pub(super) fn rival(generator: &mut Generator) -> ExpNew {
    let Some(seen) = some(generator) else { return expect(generator) };
    let same_zone: Vec<Master> = generator
        .known
        .living()
        .into_iter()
        .filter(|m| m.zone == seen.zone && m.l3 == seen.l3)
        .cloned()
        .collect();
    let there = generator.dice.maybe(&same_zone).cloned();
    let master = match there {
        Some(there) if generator.dice.percent(80) => there,
        _ => master(generator),
    };
    let mut tuple = seen.tuple;
    if generator.dice.percent(60) {
        let other = fresh_tuple(generator, seen.l3);
        tuple.src = other.src.or(tuple.src);
        if tuple.sport.is_some() {
            tuple.sport = Some(generator.dice.pick(&[0, 7, 8, 263]));
        }
    }
    let mask = if generator.dice.percent(40) {
        whole(&tuple, &seen.mask)
    } else {
        fresh_mask(generator, &tuple)
    };
    request(generator, &master, tuple, mask)
}

/// A request with one or two things wrong.
pub(super) fn wrong(generator: &mut Generator) -> ExpNew {
    let mut new = if generator.dice.percent(25) { rival(generator) } else { expect(generator) };
    for _ in 0..=generator.dice.below(2) {
        spoil(generator, &mut new);
    }
    new
}

/// A new timeout for one that exists.
pub(super) fn retime(generator: &mut Generator) -> ExpNew {
    let (l3, tuple, zone) = aimed_tuple(generator);
    let mut new = expect(generator);
    (new.l3, new.zone) = (l3, zone);
    new.mask = Some(fresh_mask(generator, &tuple));
    new.tuple = Some(tuple);
    new.timeout = generator.dice.percent(92).then(|| generator.dice.pick(TIMEOUTS));
    new.excl = generator.dice.percent(8);
    new.create = generator.dice.percent(70);
    new
}

/// The name of a helper whose expectations are to go.
pub(super) fn helper_name(generator: &mut Generator) -> HelperName {
    let own: Vec<String> =
        generator.known.living().iter().filter_map(|master| master.helper.clone()).collect();
    let name = match generator.dice.maybe(&own) {
        Some(name) if generator.dice.percent(60) => name.clone(),
        _ => generator.dice.pick(&["ftp", "irc", "sip", "tftp", "RAS", "nosuch"]).to_owned(),
    };
    HelperName { name }
}

/// A tuple that hits an expectation, or one just beside it, with the zone attribute.
pub(super) fn aimed_tuple(generator: &mut Generator) -> (Family, Parts, Option<u16>) {
    if generator.dice.percent(65)
        && let Some(seen) = some(generator)
    {
        let tuple = covered(generator, &seen);
        return (seen.l3, tuple, generator.zone_attribute(seen.zone));
    }
    let l3 = if generator.dice.percent(20) { Family::Ip6 } else { Family::Ip };
    (l3, fresh_tuple(generator, l3), generator.zone())
}

/// One that exists.
pub(super) fn some(generator: &mut Generator) -> Option<Seen> {
    let count = generator.known.expectations.len();
    // The youngest half is twice as likely: there is more to happen to them.
    let back = if generator.dice.percent(50) { count } else { count.div_ceil(2) };
    let at = generator.dice.below(back);
    generator.known.expectations.values().rev().nth(at).copied()
}

/// A tuple that an expectation matches: the bits outside its mask are anything.
pub(super) fn covered(generator: &mut Generator, seen: &Seen) -> Parts {
    let mut tuple = seen.tuple;
    let mix = |kept: u16, mask: u16, free: u16| (kept & mask) | (free & !mask);
    let mut sport = generator.dice.pick(&[7, 8, 9, 263, 1234]);
    let mut free = generator.dice.pick(&masters::addresses(seen.l3));
    if generator.profile().translates() && generator.dice.percent(70) {
        // From where the other way of a stream would go.
        let others = generator.known.expectations.values().map(|other| &other.translation);
        let others = others.filter(|other| other.is_of(&seen.translation));
        let places: Vec<_> = others.filter_map(Translation::goes_to).collect();
        let place = generator.dice.maybe(&places).filter(|(to, _)| to.is_ipv4() == free.is_ipv4());
        (free, sport) = place.copied().unwrap_or((free, sport));
    }
    if let (Some(kept), Some(mask)) = (tuple.sport, seen.mask.sport) {
        tuple.sport = Some(if tuple.proto == Some(GRE) { kept } else { mix(kept, mask, sport) });
    }
    if let (Some(kept), Some(mask)) = (tuple.id, seen.mask.id) {
        tuple.id = Some(mix(kept, mask, generator.dice.pick(&[5, 6, 9])));
    }
    tuple.src = match (tuple.src, seen.mask.src, free) {
        (Some(IpAddr::V4(kept)), Some(IpAddr::V4(mask)), IpAddr::V4(free)) => Some(IpAddr::V4(
            Ipv4Addr::from((kept.to_bits() & mask.to_bits()) | (free.to_bits() & !mask.to_bits())),
        )),
        (Some(IpAddr::V6(kept)), Some(IpAddr::V6(mask)), IpAddr::V6(free)) => Some(IpAddr::V6(
            Ipv6Addr::from((kept.to_bits() & mask.to_bits()) | (free.to_bits() & !mask.to_bits())),
        )),
        (kept, _, _) => kept,
    };
    tuple
}

/// The master of a request: mostly one that exists, sometimes named by its other direction.
fn master(generator: &mut Generator) -> Master {
    let favourite = generator.known.masters.first().filter(|master| master.alive).cloned();
    let favoured = generator.dice.percent(generator.profile().favour);
    let found = match favourite {
        Some(favourite) if favoured => Some(favourite),
        _ => masters::any(generator, 6),
    };
    let mut master = found.unwrap_or_else(|| {
        let new = masters::new_master(generator);
        let orig = new.orig.unwrap_or_default();
        let (reply, zone) = (inverse(&orig), new.zone.unwrap_or(0));
        Master { l3: new.l3, orig, reply, zone, helper: None, alive: false }
    });
    if generator.dice.percent(5) {
        master.orig = master.reply;
    }
    master
}

fn fresh_tuple(generator: &mut Generator, l3: Family) -> Parts {
    let ports = generator.profile().ports;
    let dice = &mut generator.dice;
    let all = masters::addresses(l3);
    let proto = dice.weighted(&[(17, 60), (6, 22), (99, 5), (GRE, 4), (132, 4), (ICMP, 5)]);
    let base =
        Parts { src: Some(dice.pick(&all)), dst: Some(dice.pick(&all[..2])), ..Parts::default() };
    if proto == ICMP {
        let (proto, kind) = if l3 == Family::Ip6 { (ICMPV6, 128) } else { (ICMP, 8) };
        let id = Some(dice.pick(&[5, 6]));
        return Parts { proto: Some(proto), id, kind: Some(kind), code: Some(0), ..base };
    }
    let far = ports > 3 && dice.percent(90);
    let near = dice.pick(&[2000, 2000, 2001, 2002]);
    let dport = if far { 2000 + dice.below(usize::from(ports)) as u16 } else { near };
    let (sport, dport) = match proto {
        GRE => (0, 0),
        _ => (dice.pick(&[0, 0, 7, 8, 263]), dport),
    };
    Parts { proto: Some(proto), sport: Some(sport), dport: Some(dport), ..base }
}

fn fresh_mask(generator: &mut Generator, tuple: &Parts) -> Parts {
    let dice = &mut generator.dice;
    let v4 = |bytes: [u8; 4]| IpAddr::V4(Ipv4Addr::from(bytes));
    let v6 = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits(bits));
    let src = match tuple.src {
        Some(IpAddr::V6(_)) => dice.weighted(&[
            (v6(u128::MAX), 60),
            (v6(u128::MAX << 64), 12),
            (v6(u128::MAX << 1), 14),
            (v6(0), 10),
        ]),
        _ => dice.weighted(&[
            (v4([255; 4]), 55),
            (v4([255, 255, 0, 0]), 9),
            (v4([255, 255, 255, 0]), 9),
            (v4([255, 255, 255, 254]), 9),
            (v4([255, 0, 255, 1]), 9),
            (v4([0; 4]), 9),
        ]),
    };
    let port = dice.weighted(&[(0, 60), (u16::MAX, 22), (255, 18)]);
    whole(tuple, &Parts { src: Some(src), sport: Some(port), id: Some(port), ..Parts::default() })
}

fn unspecified(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A mask as a request has it: what does not count is all ones or as in the tuple.
fn whole(tuple: &Parts, source: &Parts) -> Parts {
    let ones = |address: Option<IpAddr>| match address {
        Some(IpAddr::V6(_)) => Some(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))),
        _ => Some(IpAddr::V4(Ipv4Addr::BROADCAST)),
    };
    Parts {
        src: source.src,
        dst: ones(tuple.dst),
        proto: tuple.proto,
        sport: tuple.sport.map(|_| source.sport.unwrap_or(0)),
        dport: tuple.dport.and(Some(u16::MAX)),
        id: tuple.id.map(|_| source.id.unwrap_or(u16::MAX)),
        kind: tuple.kind,
        code: tuple.code,
    }
}

fn request(generator: &mut Generator, master: &Master, tuple: Parts, mask: Parts) -> ExpNew {
    let zone = generator.zone_attribute(master.zone);
    let functions = generator.profile().functions;
    let dice = &mut generator.dice;
    let sip = master.helper.as_deref() == Some("sip");
    let class =
        if sip { dice.pick(&[0, 1, 1, 2, 3, 3]) } else { dice.weighted(&[(0, 95), (1, 5)]) };
    ExpNew {
        l3: master.l3,
        master: Some(master.orig),
        tuple: Some(tuple),
        mask: Some(mask),
        zone,
        cls: (class != 0 || dice.percent(40)).then_some(class),
        flags: dice.weighted(&[
            (None, 36),
            (Some(0), 24),
            (Some(1), 16),
            (Some(2), 6),
            (Some(3), 6),
            (Some(4), 6),
            (Some(7), 6),
        ]),
        timeout: dice.percent(12).then(|| dice.pick(TIMEOUTS)),
        nat: dice.percent(functions.max(7)).then(|| {
            let src = dice.maybe(&masters::addresses(master.l3)).copied();
            let there = Parts { src: if dice.percent(50) { tuple.src } else { src }, ..tuple };
            translation(&there, dice.below(2) as u32, dice.pick(&[0, 5000, 8]))
        }),
        // A medium is SIP's.
        function: dice.percent(functions).then(|| {
            let sip = class != 0 && dice.percent(60);
            if sip { "sip" } else { dice.pick(&FUNCTIONS) }.to_owned()
        }),
        help_name: dice
            .weighted(&[(None, 94), (Some("ftp"), 2), (Some("sip"), 2), (Some("nosuch"), 2)])
            .map(str::to_owned),
        excl: dice.percent(78),
        create: dice.percent(96),
    }
}

fn translation(tuple: &Parts, dir: u32, sport: u16) -> NatArg {
    let tuple = Parts {
        src: tuple.src,
        dst: tuple.dst,
        proto: Some(17),
        sport: Some(sport),
        dport: Some(0),
        ..Parts::default()
    };
    NatArg { dir: Some(dir), tuple: Some(tuple) }
}

/// One thing more is wrong.
fn spoil(generator: &mut Generator, new: &mut ExpNew) {
    let which = generator.dice.below(15);
    let dice = &mut generator.dice;
    match which {
        0 => new.tuple = None,
        1 => new.mask = None,
        2 => new.master = None,
        3 => new.cls = Some(dice.pick(&[1, 2, 3, 4, 5, 9, 255])),
        4 => new.flags = Some(dice.pick(&[8, 15, 16, 1 << 31])),
        5 => new.help_name = Some("x".repeat(15 + dice.below(2))),
        6 => new.function = Some("nosuch".to_owned()),
        7 => new.l3 = dice.pick(&[Family::Any, Family::Ip, Family::Ip6]),
        8 => new.zone = Some(9),
        9 => new.nat = Some(NatArg { dir: Some(0), tuple: None }),
        10 | 11 => {
            let l3 = if dice.percent(50) { Family::Ip } else { Family::Ip6 };
            let src = Some(dice.pick(&masters::addresses(l3)));
            let tuple = Parts {
                src,
                dst: src,
                proto: Some(17),
                sport: Some(1),
                dport: Some(1),
                ..Parts::default()
            };
            new.nat = Some(NatArg {
                dir: dice.pick(&[None, Some(0), Some(1), Some(2)]),
                tuple: Some(tuple),
            });
        }
        12 => new.tuple = new.tuple.map(|tuple| damaged(dice.below(7), tuple)),
        13 => new.mask = new.mask.map(|mask| damaged(dice.below(7), mask)),
        _ => new.master = new.master.map(|master| Parts { sport: Some(9999), ..master }),
    }
}

/// A tuple that lacks something.
fn damaged(which: usize, tuple: Parts) -> Parts {
    match which {
        0 => Parts { src: None, ..tuple },
        1 => Parts { dst: None, ..tuple },
        2 => Parts { proto: None, ..tuple },
        3 => Parts { sport: None, id: None, ..tuple },
        4 => Parts { dport: None, kind: None, ..tuple },
        5 => Parts { code: None, ..tuple },
        _ => Parts { kind: tuple.kind.map(|_| 3), ..tuple },
    }
}
