// SPDX-License-Identifier: GPL-2.0-only
//! Packets, as small as the connection tracker takes them.
//!
//! The rule that matters: only what the tracker looks at is filled in. The namespace does not
//! check transport checksums; the IPv4 header's own is right, for the router does.

use std::net::IpAddr;

use nfexp_traces::transcript::Packet;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDPLITE: u8 = 136;

/// The bytes of a packet; `None` if it lacks addresses or mixes families.
#[must_use]
pub fn bytes(packet: &Packet) -> Option<Vec<u8>> {
    let protocol = packet.tuple.proto?;
    let payload = transport(packet, protocol)?;
    match (packet.tuple.src?, packet.tuple.dst?) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let length = u16::try_from(20 + payload.len()).ok()?;
            let mut header = vec![0x45, 0];
            header.extend_from_slice(&length.to_be_bytes());
            header.extend_from_slice(&[0, 0, 0, 0, 64, protocol, 0, 0]);
            header.extend_from_slice(&src.octets());
            header.extend_from_slice(&dst.octets());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header.extend_from_slice(&payload);
            Some(header)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let length = u16::try_from(payload.len()).ok()?;
            let mut header = vec![0x60, 0, 0, 0];
            header.extend_from_slice(&length.to_be_bytes());
            header.extend_from_slice(&[protocol, 64]);
            header.extend_from_slice(&src.octets());
            header.extend_from_slice(&dst.octets());
            header.extend_from_slice(&payload);
            Some(header)
        }
        _ => None,
    }
}

fn transport(packet: &Packet, protocol: u8) -> Option<Vec<u8>> {
    let tuple = &packet.tuple;
    let mut bytes = Vec::new();
    let mut ports = |first: Option<u16>, second: Option<u16>| -> Option<()> {
        bytes.extend_from_slice(&first?.to_be_bytes());
        bytes.extend_from_slice(&second?.to_be_bytes());
        Some(())
    };
    match protocol {
        TCP => {
            ports(tuple.sport, tuple.dport)?;
            let letters = packet.tcp.as_deref().unwrap_or("S");
            let flags = letters.chars().fold(0, |flags, letter| flags | flag(letter));
            bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        }
        UDP | UDPLITE => {
            ports(tuple.sport, tuple.dport)?;
            let data = unhex(packet.hex.as_deref().unwrap_or("78"))?;
            bytes.extend_from_slice(&u16::try_from(8 + data.len()).ok()?.to_be_bytes());
            // No checksum is fine for UDP, and never for UDP-Lite.
            bytes.extend_from_slice(&[0, u8::from(protocol == UDPLITE)]);
            bytes.extend_from_slice(&data);
        }
        SCTP => {
            ports(tuple.sport, tuple.dport)?;
            // No tag yet, then an INIT chunk with a tag, a window, one stream each way.
            bytes.extend_from_slice(&[0; 8]);
            bytes.extend_from_slice(&[1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
        }
        GRE => match tuple.dport {
            // The old form has no keys.
            None | Some(0) => bytes.extend_from_slice(&[0, 0, 8, 0]),
            Some(key) => {
                bytes.extend_from_slice(&[0x20, 1, 0x88, 0x0b, 0, 0]);
                bytes.extend_from_slice(&key.to_be_bytes());
            }
        },
        ICMP | ICMPV6 => {
            bytes.extend_from_slice(&[tuple.kind?, tuple.code?, 0, 0]);
            bytes.extend_from_slice(&tuple.id?.to_be_bytes());
            bytes.extend_from_slice(&[0, 1]);
        }
        _ => bytes.extend_from_slice(&[0; 8]),
    }
    Some(bytes)
}

/// A TCP flag by its letter.
fn flag(letter: char) -> u8 {
    match letter {
        'F' => 0x01,
        'S' => 0x02,
        'R' => 0x04,
        'P' => 0x08,
        'A' => 0x10,
        'U' => 0x20,
        _ => 0,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).expect("sixteen bits are left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfexp_traces::transcript::Parts;

    #[test]
    fn a_header_sums_up_to_nothing() {
        let tuple = Parts {
            src: Some("10.0.0.1".parse().unwrap()),
            dst: Some("10.0.0.2".parse().unwrap()),
            proto: Some(UDP),
            sport: Some(7),
            dport: Some(2000),
            ..Parts::default()
        };
        let packet = Packet { tuple, tcp: None, hex: Some("0001ff".into()) };

        let bytes = bytes(&packet).unwrap();

        assert_eq!(checksum(&bytes[..20]), 0);
        assert_eq!(&bytes[20..], &[0, 7, 7, 208, 0, 11, 0, 0, 0, 1, 255]);
    }
}
