// SPDX-License-Identifier: GPL-2.0-only
//! What a frame holds, as far as connection tracking looks at it.
//!
//! ```text
//!   link layer ─▶ IP datagram ─▶ (fragments: defrag) ─▶ tuple, transport header, payload
//! ```
//!
//! Written by hand: of each header only lengths, addresses and ports are needed, every read is
//! bounds-checked, and nothing is allocated (`decisions.md` weighs a library against this).
//!
//! The rule that matters: lengths come from the IP header, as the kernel takes them; what the
//! snap length cut off is [`Skip::Cut`].

use nfexp_model::tuple::{Addr, L3, Proto, Tuple};

/// Why a frame holds nothing to track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// No IP in it, or of a link layer that is not read.
    NotIp,
    /// The capture does not hold the whole datagram.
    Cut,
    /// A header does not fit.
    Malformed,
}

/// An IP datagram, perhaps a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Family.
    pub l3: L3,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Transport protocol, after IPv6 extension headers.
    pub proto: Proto,
    /// Which part of which datagram it is, if it is a fragment.
    pub fragment: Option<Fragment>,
    /// What follows the IP headers.
    pub body: &'a [u8],
}

/// A fragment's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What its datagram is called.
    pub id: u32,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Whether more follow.
    pub more: bool,
}

/// A transport header and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Who talks to whom.
    pub tuple: Tuple,
    /// The rest of the header.
    pub l4: L4<'a>,
    /// What the helpers read.
    pub payload: &'a [u8],
}

/// What a transport header says beyond the tuple.
#[derive(Clone, Copy, Debug)]
pub enum L4<'a> {
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP and UDP-Lite.
    Udp,
    /// ICMP or ICMPv6; an error carries the tuple it is about.
    Icmp {
        /// The tuple of the packet that an error is about.
        about: Option<Tuple>,
    },
    /// Anything else.
    Other,
}

/// A TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement.
    pub ack: u32,
    /// The flag byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Options, as they stand.
    pub options: &'a [u8],
}

/// Finds the IP datagram in a frame.
///
/// # Errors
/// Why there is none.
pub fn datagram<'a>(link: i32, frame: &'a [u8]) -> Result<Datagram<'a>, Skip> {
    let (kind, rest) = match link {
        0 | 108 => loopback(link, frame)?,
        1 => ethernet(word(frame, 12)?, tail(frame, 14)?)?,
        6 => llc(tail(frame, 14 + routing_len(frame)?)?)?,
        12 | 14 | 101 => (0, frame),
        113 => ethernet(word(frame, 14)?, tail(frame, 16)?)?,
        228 => (0x0800, frame),
        229 => (0x86dd, frame),
        276 => ethernet(word(frame, 0)?, tail(frame, 20)?)?,
        _ => return Err(Skip::NotIp),
    };
    match (kind, rest.first().map(|byte| byte >> 4)) {
        (0 | 0x0800, Some(4)) => ipv4(rest),
        (0 | 0x86dd, Some(6)) => ipv6(rest),
        _ => Err(Skip::NotIp),
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, Skip> {
    let pair = bytes.get(at..at + 2).ok_or(Skip::NotIp)?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

fn tail(bytes: &[u8], at: usize) -> Result<&[u8], Skip> {
    bytes.get(at..).ok_or(Skip::NotIp)
}

/// BSD loopback: an address family, in the byte order of whoever captured.
fn loopback(link: i32, frame: &[u8]) -> Result<(u16, &[u8]), Skip> {
    let head: [u8; 4] = frame.get(..4).and_then(|head| head.try_into().ok()).ok_or(Skip::NotIp)?;
    let family = match (link, u32::from_le_bytes(head)) {
        (0, family) if family < 0x1_0000 => family,
        _ => u32::from_be_bytes(head),
    };
    let kind = match family {
        2 => 0x0800,
        // IPv6 has another number in each system.
        10 | 24 | 28 | 30 => 0x86dd,
        _ => return Err(Skip::NotIp),
    };
    Ok((kind, &frame[4..]))
}

/// How long the source route of a token ring frame is.
fn routing_len(frame: &[u8]) -> Result<usize, Skip> {
    let routed = frame.get(8).ok_or(Skip::NotIp)? & 0x80 != 0;
    Ok(if routed { usize::from(frame.get(14).ok_or(Skip::NotIp)? & 0x1f) } else { 0 })
}

/// What a type field says is next, tags and tunnels unwrapped.
fn ethernet(kind: u16, rest: &[u8]) -> Result<(u16, &[u8]), Skip> {
    let (mut kind, mut rest) = (kind, rest);
    // As many tags as anybody stacks.
    for _ in 0..8 {
        match kind {
            0x8100 | 0x88a8 | 0x9100 => {
                kind = word(rest, 2)?;
                rest = tail(rest, 4)?;
            }
            0x8864 => {
                // PPPoE session: the PPP protocol number.
                kind = match word(rest, 6)? {
                    0x0021 => 0x0800,
                    0x0057 => 0x86dd,
                    _ => return Err(Skip::NotIp),
                };
                rest = tail(rest, 8)?;
            }
            0x8847 => {
                let last = rest.get(2).ok_or(Skip::NotIp)? & 1 == 1;
                rest = tail(rest, 4)?;
                if last {
                    kind = 0;
                }
            }
            length if (1..0x0600).contains(&length) => return llc(rest),
            _ => return Ok((kind, rest)),
        }
    }
    Err(Skip::NotIp)
}

/// LLC with SNAP.
fn llc(rest: &[u8]) -> Result<(u16, &[u8]), Skip> {
    match rest {
        [0xaa, 0xaa, 3, 0, 0, 0, high, low, rest @ ..] => {
            Ok((u16::from_be_bytes([*high, *low]), rest))
        }
        _ => Err(Skip::NotIp),
    }
}

fn ipv4(bytes: &[u8]) -> Result<Datagram<'_>, Skip> {
    let head = bytes.get(..20).ok_or(Skip::Cut)?;
    let header_len = usize::from(head[0] & 15) * 4;
    let total = match u16::from_be_bytes([head[2], head[3]]) {
        // Left to the network card by whoever sent it.
        0 => bytes.len(),
        total => usize::from(total),
    };
    if header_len < 20 || total < header_len {
        return Err(Skip::Malformed);
    }
    let body = bytes.get(header_len..total).ok_or(Skip::Cut)?;
    let place = u16::from_be_bytes([head[6], head[7]]);
    let (more, offset) = (place & 0x2000 != 0, usize::from(place & 0x1fff) * 8);
    let id = u32::from(u16::from_be_bytes([head[4], head[5]]));
    let fragment = (more || offset != 0).then_some(Fragment { id, offset, more });
    let addr = |at: usize| {
        let mut addr = [0; 16];
        addr[..4].copy_from_slice(&head[at..at + 4]);
        Addr(addr)
    };
    let (src, dst) = (addr(12), addr(16));
    Ok(Datagram { l3: L3::Ipv4, src, dst, proto: Proto(head[9]), fragment, body })
}

fn ipv6(bytes: &[u8]) -> Result<Datagram<'_>, Skip> {
    let head = bytes.get(..40).ok_or(Skip::Cut)?;
    let length = match u16::from_be_bytes([head[4], head[5]]) {
        0 => bytes.len() - 40,
        length => usize::from(length),
    };
    let mut body = bytes.get(40..40 + length).ok_or(Skip::Cut)?;
    let addr = |at: usize| {
        let mut addr = [0; 16];
        addr.copy_from_slice(&head[at..at + 16]);
        Addr(addr)
    };
    let mut next = head[6];
    let mut fragment = None;
    // Extension headers: hop-by-hop, routing, fragment, authentication, destination.
    while let 0 | 43 | 44 | 51 | 60 = next {
        let extension = body.get(..8).ok_or(Skip::Malformed)?;
        let length = match next {
            44 => 8,
            51 => (usize::from(extension[1]) + 2) * 4,
            _ => (usize::from(extension[1]) + 1) * 8,
        };
        if next == 44 {
            let place = u16::from_be_bytes([extension[2], extension[3]]);
            let id = u32::from_be_bytes([extension[4], extension[5], extension[6], extension[7]]);
            let (offset, more) = (usize::from(place & 0xfff8), place & 1 != 0);
            if more || offset != 0 {
                fragment = Some(Fragment { id, offset, more });
            }
        }
        next = extension[0];
        body = body.get(length..).ok_or(Skip::Malformed)?;
        if fragment.is_some_and(|fragment| fragment.offset != 0) {
            break;
        }
    }
    let (src, dst) = (addr(8), addr(24));
    Ok(Datagram { l3: L3::Ipv6, src, dst, proto: Proto(next), fragment, body })
}

/// Reads the transport header of a whole datagram.
///
/// # Errors
/// If it does not fit.
pub fn packet<'a>(datagram: &Datagram<'a>) -> Result<Packet<'a>, Skip> {
    let Datagram { l3, src, dst, proto, body, .. } = *datagram;
    let of = |sport, dport| Tuple { src, dst, sport, dport, l3, proto };
    let at = |at: usize| {
        let pair = body.get(at..at + 2).ok_or(Skip::Malformed)?;
        Ok::<_, Skip>(u16::from_be_bytes([pair[0], pair[1]]))
    };
    match proto {
        Proto::TCP => {
            let head = body.get(..20).ok_or(Skip::Malformed)?;
            let header_len = usize::from(head[12] >> 4) * 4;
            let options = body.get(20..header_len).ok_or(Skip::Malformed)?;
            let long = |at: usize| {
                u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            let tcp = Tcp { seq: long(4), ack: long(8), flags: head[13], window: at(14)?, options };
            let payload = body.get(header_len..).ok_or(Skip::Malformed)?;
            Ok(Packet { tuple: of(at(0)?, at(2)?), l4: L4::Tcp(tcp), payload })
        }
        Proto::UDP | Proto::UDPLITE => {
            let length = usize::from(at(4)?);
            // KERNEL: udp_error(), all revisions: a length beyond the datagram is invalid; for
            // UDP-Lite the field is the checksum's coverage.
            let payload = match (proto, length) {
                (Proto::UDP, length) if length < 8 || length > body.len() => {
                    return Err(Skip::Malformed);
                }
                (Proto::UDP, length) => &body[8..length],
                _ => body.get(8..).ok_or(Skip::Malformed)?,
            };
            Ok(Packet { tuple: of(at(0)?, at(2)?), l4: L4::Udp, payload })
        }
        Proto::SCTP | Proto::DCCP => {
            let payload = body.get(12..).ok_or(Skip::Malformed)?;
            Ok(Packet { tuple: of(at(0)?, at(2)?), l4: L4::Other, payload })
        }
        Proto::ICMP | Proto::ICMPV6 => {
            let head = body.get(..8).ok_or(Skip::Malformed)?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let (error, query) = match proto {
                Proto::ICMP => {
                    (matches!(head[0], 3 | 4 | 5 | 11 | 12), matches!(head[0], 0 | 8 | 13..=18))
                }
                _ => (head[0] < 128, matches!(head[0], 128 | 129 | 139 | 140)),
            };
            let about = if error { inner_tuple(l3, &body[8..]) } else { None };
            let id = if query { u16::from_be_bytes([head[4], head[5]]) } else { 0 };
            Ok(Packet { tuple: of(id, kind), l4: L4::Icmp { about }, payload: &body[8..] })
        }
        Proto::GRE => {
            // Only the enhanced form of PPTP carries a call id.
            let version = at(0)? & 7;
            let key = if version == 1 { at(6)? } else { 0 };
            Ok(Packet { tuple: of(0, key), l4: L4::Other, payload: tail(body, 4)? })
        }
        _ => Ok(Packet { tuple: of(0, 0), l4: L4::Other, payload: body }),
    }
}

/// The tuple of the packet that an error quotes, of which only the first bytes are there.
fn inner_tuple(l3: L3, quoted: &[u8]) -> Option<Tuple> {
    let (proto, src, dst, body) = match l3 {
        L3::Ipv4 => {
            let header_len = usize::from(quoted.first()? & 15) * 4;
            let mut ends = [[0; 16]; 2];
            ends[0][..4].copy_from_slice(quoted.get(12..16)?);
            ends[1][..4].copy_from_slice(quoted.get(16..20)?);
            (*quoted.get(9)?, Addr(ends[0]), Addr(ends[1]), quoted.get(header_len.max(20)..)?)
        }
        _ => {
            let mut ends = [[0; 16]; 2];
            ends[0].copy_from_slice(quoted.get(8..24)?);
            ends[1].copy_from_slice(quoted.get(24..40)?);
            (*quoted.get(6)?, Addr(ends[0]), Addr(ends[1]), quoted.get(40..)?)
        }
    };
    let at = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let proto = Proto(proto);
    let (sport, dport) = match proto {
        Proto::TCP | Proto::UDP | Proto::UDPLITE | Proto::SCTP | Proto::DCCP => (at(0)?, at(2)?),
        Proto::ICMP | Proto::ICMPV6 => (at(4)?, at(0)?),
        _ => (0, 0),
    };
    Some(Tuple { src, dst, sport, dport, l3, proto })
}
