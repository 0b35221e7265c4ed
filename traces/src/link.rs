// SPDX-License-Identifier: GPL-2.0-only
//! What a frame carries below its link layer.
//!
//! ```text
//!   Ethernet · VLAN · MPLS · PPPoE · PPP · LLC/SNAP · token ring · FDDI · 802.11 · cooked · raw
//! ```
//!
//! The rule that matters: a link layer only says where the next thing begins; whether that is IP,
//! its own first four bits say.

use crate::packet::Skip;

/// The link type of Ethernet.
pub(crate) const ETHERNET: i32 = 1;

/// Tags and labels that are unwrapped at most.
const DEEPEST: u32 = 16;

/// What follows the link layer of this type; `None` if that is not IP.
pub(crate) fn payload(link: i32, frame: &[u8]) -> Option<&[u8]> {
    match link {
        // BSD loopback: an address family.
        0 | 108 => frame.get(4..),
        ETHERNET => ethertype(word(frame, 12)?, frame.get(14..)?),
        6 => {
            let routed = frame.get(8)? & 0x80 != 0;
            let route = if routed { usize::from(frame.get(14)? & 0x1f) } else { 0 };
            llc(frame.get(14 + route..)?)
        }
        9 | 50 => ppp(frame),
        10 => llc(frame.get(13..)?),
        12 | 14 | 101 | 228 | 229 => Some(frame),
        51 => ppp(frame.get(6..)?),
        104 => ethertype(word(frame, 2)?, frame.get(4..)?),
        105 => wireless(frame),
        113 => ethertype(word(frame, 14)?, frame.get(16..)?),
        // Prism and radiotap go before a frame of 802.11.
        119 => wireless(frame.get(144..)?),
        127 => {
            let length = u16::from_le_bytes([*frame.get(2)?, *frame.get(3)?]);
            wireless(frame.get(usize::from(length)..)?)
        }
        276 => ethertype(word(frame, 0)?, frame.get(20..)?),
        _ => None,
    }
}

/// Whether frames of this link type are read at all.
pub(crate) const fn is_known(link: i32) -> bool {
    matches!(link, 0 | 1 | 6 | 9 | 10 | 12 | 14 | 50 | 51 | 101 | 104 | 105 | 108 | 113)
        || matches!(link, 119 | 127 | 228 | 229 | 276)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// What a type field says is next.
fn ethertype(kind: u16, rest: &[u8]) -> Option<&[u8]> {
    let (mut kind, mut rest) = (kind, rest);
    for _ in 0..DEEPEST {
        match kind {
            0x0800 | 0x86dd => return Some(rest),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = word(rest, 2)?;
                rest = rest.get(4..)?;
            }
            0x8864 => return ppp(rest.get(6..)?),
            0x8847 | 0x8848 => {
                let last = rest.get(2)? & 1 == 1;
                rest = rest.get(4..)?;
                if last {
                    return Some(rest);
                }
            }
            0..0x0600 => {
                // A length: LLC follows, and perhaps another type.
                if let [0x06, 0x06, 3, rest @ ..] = rest {
                    return Some(rest);
                }
                kind = snap(rest)?;
                rest = rest.get(8..)?;
            }
            _ => return None,
        }
    }
    None
}

/// The type in a SNAP header, whoever defined it.
fn snap(rest: &[u8]) -> Option<u16> {
    match rest {
        [0xaa, 0xaa, 3, _, _, _, high, low, _, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

fn llc(rest: &[u8]) -> Option<&[u8]> {
    ethertype(0, rest)
}

fn ppp(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(&[0xff, 3]).unwrap_or(rest);
    match rest {
        // A protocol number may be written in one byte.
        [0x21 | 0x57, rest @ ..] | [0, 0x21 | 0x57, rest @ ..] => Some(rest),
        _ => None,
    }
}

/// A data frame of 802.11 that is not encrypted. Not read: frames with an HT control field, several
/// in one (A-MSDU), and bytes that radiotap's flags say stand behind the header.
fn wireless(frame: &[u8]) -> Option<&[u8]> {
    let (control, flags) = (*frame.first()?, *frame.get(1)?);
    if control & 0x0c != 8 || flags & 0x40 != 0 {
        return None;
    }
    let four_addresses = if flags & 3 == 3 { 6 } else { 0 };
    let quality = if control & 0x80 != 0 { 2 } else { 0 };
    llc(frame.get(24 + four_addresses + quality..)?)
}

/// The IP datagram in a frame, by its version.
pub(crate) fn ip(link: i32, frame: &[u8]) -> Result<(u8, &[u8]), Skip> {
    let ip = payload(link, frame).filter(|_| is_known(link)).ok_or(Skip::NotIp)?;
    match (ip.first().map(|byte| byte >> 4), ip.len()) {
        (Some(4), 20..) => Ok((4, ip)),
        (Some(6), 40..) => Ok((6, ip)),
        _ => Err(Skip::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappings_come_off() {
        let ip = [0x45; 20];
        let wrap = |head: &[u8]| [head, &ip].concat();
        let mac = [0_u8; 12];
        for (link, head) in [
            (1, [&mac[..], &[8, 0]].concat()),
            (1, [&mac[..], &[0x81, 0, 0, 5, 8, 0]].concat()),
            (1, [&mac[..], &[0x88, 0x47, 0, 0, 1, 64]].concat()),
            (1, [&mac[..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 22, 0, 0x21]].concat()),
            (1, [&mac[..], &[0, 28, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat()),
            (9, vec![0xff, 3, 0, 0x21]),
            (9, vec![0x21]),
            (0, vec![2, 0, 0, 0]),
            (105, [&[8, 0][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat()),
            (101, vec![]),
        ] {
            let frame = wrap(&head);
            assert_eq!(super::ip(link, &frame), Ok((4, &ip[..])), "link {link}, {head:x?}");
        }
        let zero = wrap(&[&mac[..], &[0, 0]].concat());
        assert_eq!(super::ip(1, &zero), Err(Skip::NotIp), "a length is not a type");
    }
}
