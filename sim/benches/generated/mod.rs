// SPDX-License-Identifier: GPL-2.0-only
//! Captures of packets that no helper looks at: so many flows in turn, so many bytes each packet.
//!
//! Three of four flows are TCP, with a handshake and sequence numbers that add up, the others UDP;
//! both ends speak. The next packet is of the same flow or of any other.

use std::path::{Path, PathBuf};

/// One flow, as far as it has come.
#[derive(Clone, Copy, Default)]
struct Flow {
    packets: u32,
    /// What the client and the server have sent.
    sent: [u32; 2],
}

/// How long a file is, about.
const FILE_BYTES: usize = 48 << 20;
/// Writes a classic capture; answers where, and how many packets it has.
pub(crate) fn capture(flows: usize, size: usize) -> (PathBuf, u64) {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    let mut all = vec![Flow::default(); flows];
    let (mut packets, mut dice, mut at) = (0_u32, 7_u32, 0);
    while bytes.len() < FILE_BYTES {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if !(dice >> 24).is_multiple_of(4) {
            at = (dice >> 4) as usize % flows;
        }
        let size = size as u32;
        for word in [packets / 100_000, packets % 100_000 * 10, size, size] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        packet(at as u32, &mut all[at], size as usize, &mut bytes);
        packets += 1;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{flows}-{size}.pcap"));
    std::fs::write(&path, bytes).expect("there is room for a capture");
    (path, u64::from(packets))
}

fn packet(number: u32, flow: &mut Flow, size: usize, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    let from_server = usize::from(flow.packets % 2 == 1);
    bytes.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    let is_udp = number.is_multiple_of(4);
    let total = ((size - 14) as u16).to_be_bytes();
    let proto = if is_udp { 17 } else { 6 };
    bytes.extend_from_slice(&[0x45, 0, total[0], total[1], 0, 7, 0x40, 0, 64, proto, 0, 0]);
    let host = (number / 1000).to_be_bytes();
    let (client, server) = ([10, 1, host[2], host[3]], [10, 2, 0, number as u8]);
    let (sport, dport) = (40_000 + (number % 1000) as u16, 443_u16);
    let (ends, ports) = match from_server {
        0 => ([client, server], [sport, dport]),
        _ => ([server, client], [dport, sport]),
    };
    bytes.extend_from_slice(&ends.concat());
    bytes.extend(ports.into_iter().flat_map(u16::to_be_bytes));
    if is_udp {
        bytes.extend_from_slice(&(size as u16 - 34).to_be_bytes());
    } else {
        let (words, flags) = match flow.packets {
            // Options that end at once fill them up.
            0 => ((size - 34) / 4, 0x02),
            1 => ((size - 34) / 4, 0x12),
            _ => (5, 0x10),
        };
        let words = words.min(15);
        let [seq, ack] = [flow.sent[from_server], flow.sent[1 - from_server]];
        bytes.extend([seq, ack].into_iter().flat_map(u32::to_be_bytes));
        bytes.extend_from_slice(&[(words as u8) << 4, flags, 0xff, 0xff]);
        let payload = (size - 34 - words * 4) as u32;
        flow.sent[from_server] += payload + u32::from(flags & 2 != 0);
    }
    flow.packets += 1;
    bytes.resize(start + size, 0);
}
