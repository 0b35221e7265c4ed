// SPDX-License-Identifier: GPL-2.0-only
//! ctnetlink's attributes: tuples, conntracks and expectations, written and read.
//!
//! *Tuple*: two nests, the addresses and the protocol's part. *Mask*: a tuple too, on the wire.
//!
//! The rule that matters: an absent field is an attribute not sent. What the kernel makes of an
//! incomplete tuple is part of what is measured, so nothing is filled in here.
//!
//! # Source
//! `include/uapi/linux/netfilter/nfnetlink_conntrack.h`, 6.18.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nfexp_traces::transcript::{CtAt, CtNew, ExpAt, ExpNew, Family, NatArg, Parts};

use super::netlink::{Attributes, Writer};

/// Requests and events about conntracks.
pub const CONNTRACK: u16 = 1 << 8;
/// Requests and events about expectations.
pub const EXPECTATION: u16 = 2 << 8;
/// New or changed.
pub const NEW: u16 = 0;
/// One, or with a dump flag all.
pub const GET: u16 = 1;
/// Away with it.
pub const DELETE: u16 = 2;

/// The multicast groups: conntracks and expectations, new and destroyed.
pub const GROUPS: u32 = 1 | 1 << 2 | 1 << 3 | 1 << 5;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_HELP: u16 = 5;
const CTA_TIMEOUT: u16 = 7;
const CTA_MARK: u16 = 8;
const CTA_TUPLE_MASTER: u16 = 14;
const CTA_ZONE: u16 = 18;
const CTA_HELP_NAME: u16 = 1;

const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;

const CTA_EXPECT_MASTER: u16 = 1;
const CTA_EXPECT_TUPLE: u16 = 2;
const CTA_EXPECT_MASK: u16 = 3;
const CTA_EXPECT_TIMEOUT: u16 = 4;
const CTA_EXPECT_ID: u16 = 5;
const CTA_EXPECT_HELP_NAME: u16 = 6;
const CTA_EXPECT_ZONE: u16 = 7;
const CTA_EXPECT_FLAGS: u16 = 8;
const CTA_EXPECT_CLASS: u16 = 9;
const CTA_EXPECT_NAT: u16 = 10;
const CTA_EXPECT_FN: u16 = 11;

const IPS_EXPECTED: u64 = 1;
const ICMPV6: u8 = 58;

/// The number of a family in netfilter's header.
#[must_use]
pub fn family_number(family: Family) -> u8 {
    match family {
        Family::Any => 0,
        Family::Ip => 2,
        Family::Ip6 => 10,
    }
}

/// The family of a number; what is neither is nobody's.
#[must_use]
pub fn family_of(number: u8) -> Family {
    match number {
        2 => Family::Ip,
        10 => Family::Ip6,
        _ => Family::Any,
    }
}

/// A conntrack as an event or a dump shows it.
#[derive(Clone, Debug)]
pub struct Conntrack {
    /// The tuple of its first packet.
    pub orig: Parts,
    /// Whether an expectation matched that packet.
    pub expected: bool,
    /// Its zone.
    pub zone: u16,
    /// Its mark.
    pub mark: u32,
    /// Its helper.
    pub helper: Option<String>,
    /// The tuple of the conntrack that expected it.
    pub master: Option<Parts>,
}

/// An expectation as an event or a dump shows it.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The kernel's keyed hash of it.
    pub id: u32,
    /// What is expected.
    pub tuple: Parts,
    /// Which bits of its source count.
    pub mask: Parts,
    /// The tuple of the conntrack that expects.
    pub master: Parts,
    /// Whole seconds left.
    pub timeout_secs: u32,
    /// Its flags.
    pub flags: u32,
    /// Its class.
    pub class: u32,
    /// Whose helper it is.
    pub helper: Option<String>,
    /// Where it will be translated to.
    pub nat: Option<NatArg>,
    /// What is called when it matches.
    pub function: Option<String>,
}

/// Writes a tuple (or mask).
pub fn put_tuple(writer: &mut Writer, kind: u16, tuple: &Parts) {
    writer.nest(kind, |writer| {
        writer.nest(CTA_TUPLE_IP, |writer| {
            for (address, v4, v6) in [(tuple.src, 1, 3), (tuple.dst, 2, 4)] {
                match address {
                    Some(IpAddr::V4(address)) => writer.put(v4, &address.octets()),
                    Some(IpAddr::V6(address)) => writer.put(v6, &address.octets()),
                    None => {}
                }
            }
        });
        writer.nest(CTA_TUPLE_PROTO, |writer| put_protocol(writer, tuple));
    });
}

fn put_protocol(writer: &mut Writer, tuple: &Parts) {
    if let Some(number) = tuple.proto {
        writer.put(1, &[number]);
    }
    for (kind, port) in [(2, tuple.sport), (3, tuple.dport)] {
        if let Some(port) = port {
            writer.be16(kind, port);
        }
    }
    let icmp = if tuple.proto == Some(ICMPV6) { 7 } else { 4 };
    if let Some(id) = tuple.id {
        writer.be16(icmp, id);
    }
    for (kind, byte) in [(icmp + 1, tuple.kind), (icmp + 2, tuple.code)] {
        if let Some(byte) = byte {
            writer.put(kind, &[byte]);
        }
    }
}

/// The tuple of the answers.
#[must_use]
pub fn inverse(tuple: &Parts) -> Parts {
    let answer = |kind| match kind {
        8 => 0,
        0 => 8,
        128 => 129,
        129 => 128,
        13 | 15 | 17 => kind + 1,
        14 | 16 | 18 => kind - 1,
        other => other,
    };
    let swapped = Parts { src: tuple.dst, dst: tuple.src, ..*tuple };
    match tuple.kind {
        Some(kind) => Parts { kind: Some(answer(kind)), ..swapped },
        None => Parts { sport: tuple.dport, dport: tuple.sport, ..swapped },
    }
}

fn put_zone(writer: &mut Writer, kind: u16, zone: Option<u16>) {
    if let Some(zone) = zone {
        writer.be16(kind, zone);
    }
}

fn put_helper(writer: &mut Writer, name: Option<&str>) {
    if let Some(name) = name {
        writer.nest(CTA_HELP, |writer| writer.text(CTA_HELP_NAME, name));
    }
}

/// The attributes of a conntrack to be made.
pub fn put_conntrack(writer: &mut Writer, new: &CtNew) {
    if let Some(orig) = &new.orig {
        put_tuple(writer, CTA_TUPLE_ORIG, orig);
        put_tuple(writer, CTA_TUPLE_REPLY, &new.reply.unwrap_or_else(|| inverse(orig)));
    }
    if let Some(timeout) = new.timeout {
        writer.be32(CTA_TIMEOUT, timeout);
    }
    put_zone(writer, CTA_ZONE, new.zone);
    put_helper(writer, new.helper.as_deref());
    if let Some(mark) = new.mark {
        writer.be32(CTA_MARK, mark);
    }
}

/// The attributes by which a conntrack is found, and its new helper.
pub fn put_conntrack_key(writer: &mut Writer, key: &CtAt, helper: Option<&str>) {
    if let Some(orig) = &key.orig {
        put_tuple(writer, CTA_TUPLE_ORIG, orig);
    }
    put_zone(writer, CTA_ZONE, key.zone);
    put_helper(writer, helper);
}

/// The attributes of an expectation to be made.
pub fn put_expectation(writer: &mut Writer, new: &ExpNew) {
    for (kind, tuple) in [
        (CTA_EXPECT_MASTER, &new.master),
        (CTA_EXPECT_TUPLE, &new.tuple),
        (CTA_EXPECT_MASK, &new.mask),
    ] {
        if let Some(tuple) = tuple {
            put_tuple(writer, kind, tuple);
        }
    }
    put_zone(writer, CTA_EXPECT_ZONE, new.zone);
    for (kind, number) in [
        (CTA_EXPECT_TIMEOUT, new.timeout),
        (CTA_EXPECT_FLAGS, new.flags),
        (CTA_EXPECT_CLASS, new.cls),
    ] {
        if let Some(number) = number {
            writer.be32(kind, number);
        }
    }
    if let Some(nat) = &new.nat {
        writer.nest(CTA_EXPECT_NAT, |writer| {
            if let Some(direction) = nat.dir {
                writer.be32(1, direction);
            }
            if let Some(tuple) = &nat.tuple {
                put_tuple(writer, 2, tuple);
            }
        });
    }
    for (kind, text) in [(CTA_EXPECT_FN, &new.function), (CTA_EXPECT_HELP_NAME, &new.help_name)] {
        if let Some(text) = text {
            writer.text(kind, text);
        }
    }
}

/// The attributes by which an expectation is found.
pub fn put_expectation_key(writer: &mut Writer, key: &ExpAt, id: Option<u32>) {
    for (kind, tuple) in [(CTA_EXPECT_TUPLE, &key.tuple), (CTA_EXPECT_MASTER, &key.master)] {
        if let Some(tuple) = tuple {
            put_tuple(writer, kind, tuple);
        }
    }
    put_zone(writer, CTA_EXPECT_ZONE, key.zone);
    if let Some(id) = id {
        writer.be32(CTA_EXPECT_ID, id);
    }
}

/// The name by which a helper's expectations are deleted.
pub fn put_helper_name(writer: &mut Writer, name: &str) {
    writer.text(CTA_EXPECT_HELP_NAME, name);
}

/// Reads a tuple.
#[must_use]
pub fn tuple(attributes: Attributes<'_>) -> Parts {
    let mut tuple = Parts::default();
    let addresses = attributes.nested(CTA_TUPLE_IP).unwrap_or(Attributes(&[]));
    let address = |v4, v6| {
        let short = addresses.get(v4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let long = addresses.get(v6).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        short
            .map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)))
            .or_else(|| long.map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))))
    };
    (tuple.src, tuple.dst) = (address(1, 3), address(2, 4));
    let protocol = attributes.nested(CTA_TUPLE_PROTO).unwrap_or(Attributes(&[]));
    let byte = |kind| protocol.number(kind).and_then(|number| u8::try_from(number).ok());
    let half = |kind| protocol.number(kind).and_then(|number| u16::try_from(number).ok());
    tuple.proto = byte(1);
    (tuple.sport, tuple.dport) = (half(2), half(3));
    tuple.id = half(4).or_else(|| half(7));
    tuple.kind = byte(5).or_else(|| byte(8));
    tuple.code = byte(6).or_else(|| byte(9));
    tuple
}

fn nested_tuple(attributes: Attributes<'_>, kind: u16) -> Option<Parts> {
    attributes.nested(kind).map(tuple)
}

fn number(attributes: Attributes<'_>, kind: u16) -> u32 {
    attributes.number(kind).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// Reads a conntrack.
#[must_use]
pub fn conntrack(attributes: Attributes<'_>) -> Conntrack {
    Conntrack {
        orig: nested_tuple(attributes, CTA_TUPLE_ORIG).unwrap_or_default(),
        expected: attributes.number(CTA_STATUS).unwrap_or_default() & IPS_EXPECTED != 0,
        zone: u16::try_from(number(attributes, CTA_ZONE)).unwrap_or_default(),
        mark: number(attributes, CTA_MARK),
        helper: attributes.nested(CTA_HELP).and_then(|help| help.text(CTA_HELP_NAME)),
        master: nested_tuple(attributes, CTA_TUPLE_MASTER),
    }
}

/// Reads an expectation.
#[must_use]
pub fn expectation(attributes: Attributes<'_>) -> Expectation {
    Expectation {
        id: number(attributes, CTA_EXPECT_ID),
        tuple: nested_tuple(attributes, CTA_EXPECT_TUPLE).unwrap_or_default(),
        mask: nested_tuple(attributes, CTA_EXPECT_MASK).unwrap_or_default(),
        master: nested_tuple(attributes, CTA_EXPECT_MASTER).unwrap_or_default(),
        timeout_secs: number(attributes, CTA_EXPECT_TIMEOUT),
        flags: number(attributes, CTA_EXPECT_FLAGS),
        class: number(attributes, CTA_EXPECT_CLASS),
        helper: attributes.text(CTA_EXPECT_HELP_NAME),
        nat: attributes
            .nested(CTA_EXPECT_NAT)
            .map(|nat| NatArg { dir: Some(number(nat, 1)), tuple: nested_tuple(nat, 2) }),
        function: attributes.text(CTA_EXPECT_FN),
    }
}
