// SPDX-License-Identifier: GPL-2.0-only
//! Operations on conntracks: masters made, found in either direction, deprived of their helper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nfexp_traces::transcript::{CtAt, CtHelp, CtNew, DumpMaster, Family, Parts};

use super::ctnetlink::inverse;
use super::generate::Generator;
use super::known::{Flow, Master};

/// The helpers there are, with the transport protocols and families they are registered for.
/// As ctnetlink finds them: one without a family of its own is found for each.
const HELPERS: &[(&str, &[u8], bool)] = &[
    ("ftp", &[6], true),
    ("tftp", &[17], true),
    ("irc", &[6], false),
    ("sip", &[6, 17], true),
    ("amanda", &[17], true),
    ("sane", &[6], true),
    ("pptp", &[6], false),
    ("netbios-ns", &[17], false),
    ("snmp", &[17], false),
    ("RAS", &[17], true),
    ("Q.931", &[6], true),
    ("H.245", &[17], true),
];

const PORTS: &[u16] = &[69, 5060, 21, 137];

/// The addresses of a family: few, so that they meet.
#[must_use]
pub(super) fn addresses(l3: Family) -> [IpAddr; 4] {
    let v6 = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    match l3 {
        Family::Ip6 => [v6(1), v6(2), v6(3), v6(1)],
        _ => [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3], [10, 0, 1, 2]]
            .map(|a| IpAddr::V4(Ipv4Addr::from(a))),
    }
}

/// A master for each helper.
pub(super) fn one_of_each() -> Vec<CtNew> {
    let master = |(number, (name, protocols, _)): (u16, &(&str, &[u8], bool))| {
        let [src, dst, ..] = addresses(Family::Ip);
        let orig = Parts {
            src: Some(src),
            dst: Some(dst),
            proto: protocols.first().copied(),
            sport: Some(1000 + number),
            dport: Some(PORTS[0]),
            ..Parts::default()
        };
        let (orig, helper) = (Some(orig), Some((*name).to_owned()));
        CtNew { orig, helper, timeout: Some(3600), ..CtNew::default() }
    };
    (0..).zip(HELPERS).map(master).collect()
}

/// A master that does not exist yet.
pub(super) fn new_master(generator: &mut Generator) -> CtNew {
    let zone = generator.zone();
    let translates = generator.profile().translates();
    let dice = &mut generator.dice;
    let l3 = if dice.percent(18) { Family::Ip6 } else { Family::Ip };
    let proto = if dice.percent(70) { 17 } else { 6 };
    let fitting: Vec<&str> = HELPERS
        .iter()
        .filter(|(_, protocols, v6)| protocols.contains(&proto) && (*v6 || l3 != Family::Ip6))
        .map(|(name, _, _)| *name)
        .collect();
    let any: Vec<&str> = HELPERS.iter().map(|(name, _, _)| *name).collect();
    let helper = match dice.below(50) {
        0..4 => None,
        4 => Some(dice.pick(&any)),
        // Media come in pairs; a read request is answered from where the master is translated to.
        _ if translates && dice.percent(50) => Some(dice.pick(&["sip", "tftp"])),
        _ => Some(dice.pick(&fitting)),
    };
    let all = addresses(l3);
    let src = dice.pick(&all);
    let others: Vec<IpAddr> = all.iter().copied().filter(|address| *address != src).collect();
    let number = u16::try_from(generator.known.masters.len()).unwrap_or_default();
    let orig = Parts {
        src: Some(src),
        dst: Some(dice.pick(&others)),
        proto: Some(proto),
        sport: Some(1000 + number % 50_000),
        dport: Some(dice.pick(PORTS)),
        ..Parts::default()
    };
    // As one that is translated, at either end.
    let reply = (translates && dice.percent(50)).then(|| {
        let (src, dst) = (dice.pick(&all), dice.pick(&all));
        Parts { src: Some(src), dst: Some(dst), ..inverse(&orig) }
    });
    CtNew {
        l3,
        orig: Some(orig),
        reply,
        helper: helper.map(str::to_owned),
        zone,
        mark: dice.percent(25).then_some(7),
        timeout: Some(3600),
    }
}

/// A master that does not exist, or one that does.
pub(super) fn new_or_old(generator: &mut Generator) -> CtNew {
    if generator.dice.percent(60)
        && let Some(master) = any(generator, 20)
    {
        let zone = generator.zone_attribute(master.zone);
        let orig = if generator.dice.percent(10) { inverse(&master.orig) } else { master.orig };
        let mark = generator.dice.percent(25).then_some(7);
        let timeout = Some(3600);
        return CtNew {
            l3: master.l3,
            orig: Some(orig),
            reply: None,
            helper: master.helper,
            zone,
            mark,
            timeout,
        };
    }
    new_master(generator)
}

/// A living master, or (so often in a hundred) any.
pub(super) fn any(generator: &mut Generator, dead: usize) -> Option<Master> {
    let Generator { dice, known, .. } = generator;
    if dice.percent(dead) {
        return dice.maybe(&known.masters).cloned();
    }
    dice.maybe(&known.living()).copied().cloned()
}

/// A conntrack to be deleted: a master, a flow, in either direction, sometimes in a wrong zone.
pub(super) fn to_delete(generator: &mut Generator) -> CtAt {
    let flow = if generator.dice.percent(30) { some_flow(generator) } else { None };
    let flow = flow.or_else(|| {
        any(generator, 15).map(|master| Flow {
            l3: master.l3,
            orig: master.orig,
            zone: master.zone,
        })
    });
    at(generator, flow)
}

/// A conntrack that exists.
pub(super) fn some_flow(generator: &mut Generator) -> Option<Flow> {
    generator.dice.maybe(&generator.known.flows).copied()
}

fn at(generator: &mut Generator, flow: Option<Flow>) -> CtAt {
    let Some(flow) = flow else {
        let new = new_master(generator);
        return CtAt { l3: new.l3, orig: new.orig, zone: new.zone };
    };
    let orig = if generator.dice.percent(12) { inverse(&flow.orig) } else { flow.orig };
    let other = if flow.l3 == Family::Ip { Family::Ip6 } else { Family::Ip };
    let l3 = if generator.dice.percent(3) { other } else { flow.l3 };
    CtAt { l3, orig: Some(orig), zone: generator.zone_attribute(flow.zone) }
}

/// A master and the helper it shall have: mostly none, or the one it has.
pub(super) fn to_help(generator: &mut Generator) -> CtHelp {
    let master = any(generator, 10);
    let own = master.as_ref().and_then(|master| master.helper.clone());
    let flow = master.map(|master| Flow { l3: master.l3, orig: master.orig, zone: master.zone });
    let at = at(generator, flow);
    let names: Vec<&str> = HELPERS.iter().map(|(name, _, _)| *name).collect();
    let helper = match generator.dice.below(8) {
        0..2 => String::new(),
        2 => "nosuch".to_owned(),
        3..5 => own.unwrap_or_else(|| "sip".to_owned()),
        _ => generator.dice.pick(&names).to_owned(),
    };
    CtHelp { at, helper: Some(helper) }
}

/// The master whose expectations are listed.
pub(super) fn to_list(generator: &mut Generator) -> DumpMaster {
    let master = any(generator, 15);
    let flow = master.map(|master| Flow { l3: master.l3, orig: master.orig, zone: master.zone });
    let at = at(generator, flow);
    DumpMaster { l3: at.l3, master: at.orig, zone: at.zone }
}
