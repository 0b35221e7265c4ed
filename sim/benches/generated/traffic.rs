// SPDX-License-Identifier: GPL-2.0-only
//! A capture as a busy link might have it, of packets that no helper looks at.
//!
//! *Flow*: half are a question and an answer over UDP. The others are TCP from handshake to FIN, in
//! which the server sends; how much follows a Pareto law of exponent 1.2, so most are short and most
//! packets are of a few long ones. *Train*: packets of one flow follow each other, four on average.
//!
//! So many flows are open at a time; one that ends makes room for a new one. Full segments have 1514
//! bytes, and every second one is acknowledged, in 66.

use std::path::{Path, PathBuf};

/// A flow, as far as it has come.
struct Flow {
    number: u32,
    is_udp: bool,
    packets: u32,
    /// How many segments the server is still to send.
    left: u32,
    /// How many packets of the end were sent: a FIN, another, and the last acknowledgement.
    ended: u32,
    /// What the client and the server have sent.
    sent: [u32; 2],
}

/// How long the file is, about.
const FILE_BYTES: usize = 192 << 20;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Writes a classic capture; answers where, how many packets it has, and of how many flows.
pub(crate) fn traffic(open: usize) -> (PathBuf, u64, u64) {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    let (mut dice, mut packets, mut flows, mut at) = (Dice(7), 0_u32, 0, 0);
    let mut all: Vec<Flow> = (0..open).map(|_| Flow::new(&mut flows, &mut dice)).collect();
    while bytes.len() < FILE_BYTES {
        if dice.below(4) == 0 {
            at = dice.below(open as u32) as usize;
        }
        let start = bytes.len();
        for word in [packets / 100_000, packets % 100_000 * 10, 0, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let goes_on = all[at].packet(&mut bytes);
        let length = (bytes.len() - start - 16) as u32;
        for place in [8, 12] {
            bytes[start + place..][..4].copy_from_slice(&length.to_le_bytes());
        }
        if !goes_on {
            all[at] = Flow::new(&mut flows, &mut dice);
            at = dice.below(open as u32) as usize;
        }
        packets += 1;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("traffic-{open}.pcap"));
    std::fs::write(&path, bytes).expect("there is room for a capture");
    (path, u64::from(packets), u64::from(flows))
}

/// Numbers that look drawn.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (((self.0 >> 32) * u64::from(bound)) >> 32) as u32
    }
}

impl Flow {
    fn new(flows: &mut u32, dice: &mut Dice) -> Self {
        let number = *flows;
        *flows += 1;
        // Four segments at least, by the inverse of the law; no one flow is the whole capture.
        let chance = (f64::from(dice.below(1 << 20)) + 1.0) / f64::from(1 << 20);
        let left = (4.0 * chance.powf(-1.0 / 1.2)).min(20_000.0) as u32;
        Self { number, is_udp: dice.below(2) == 0, packets: 0, left, ended: 0, sent: [0; 2] }
    }

    /// Writes the next packet; answers whether another follows.
    fn packet(&mut self, bytes: &mut Vec<u8>) -> bool {
        let turn = self.packets;
        self.packets += 1;
        if self.is_udp {
            let from_server = turn == 1;
            self.write(from_server, None, if from_server { 120 } else { 35 }, bytes);
            return turn == 0;
        }
        // Handshake, question, then two segments and their acknowledgement, and so on; at the end
        // both sides finish.
        let (from_server, flags, payload) = match turn {
            0 => (false, SYN, 0),
            1 => (true, SYN | ACK, 0),
            2 => (false, ACK, 0),
            3 => (false, ACK, 400),
            _ if self.left > 0 && !turn.is_multiple_of(3) => {
                self.left -= 1;
                (true, ACK, 1448)
            }
            _ if self.left > 0 => (false, ACK, 0),
            _ => {
                self.ended += 1;
                (self.ended != 2, if self.ended < 3 { FIN | ACK } else { ACK }, 0)
            }
        };
        self.write(from_server, Some(flags), payload, bytes);
        self.ended < 3
    }

    fn write(&mut self, from_server: bool, tcp: Option<u8>, payload: usize, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        let (proto, header) = if tcp.is_some() { (6, 32) } else { (17, 8) };
        let total = ((20 + header + payload) as u16).to_be_bytes();
        bytes.extend_from_slice(&[0x45, 0, total[0], total[1], 0, 7, 0x40, 0, 64, proto, 0, 0]);
        let host = (self.number / 20_000).to_be_bytes();
        let (client, server) = ([10, 1, host[2], host[3]], [10, 2, 0, self.number as u8]);
        let (sport, dport) = (40_000 + (self.number % 20_000) as u16, 443_u16);
        let (ends, ports) = match from_server {
            false => ([client, server], [sport, dport]),
            true => ([server, client], [dport, sport]),
        };
        bytes.extend_from_slice(&ends.concat());
        bytes.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        match tcp {
            None => {
                let length = ((header + payload) as u16).to_be_bytes();
                bytes.extend_from_slice(&[length[0], length[1], 0, 0]);
            }
            Some(flags) => {
                let [client, server] = self.sent;
                let [seq, ack] = if from_server { [server, client] } else { [client, server] };
                let ack = if flags & ACK == 0 { 0 } else { ack };
                bytes.extend([seq, ack].into_iter().flat_map(u32::to_be_bytes));
                bytes.extend_from_slice(&[8 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
                // A time stamp, as nearly every segment has.
                bytes.extend_from_slice(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1]);
                let marks = u32::from(flags & (SYN | FIN) != 0);
                self.sent[usize::from(from_server)] += payload as u32 + marks;
            }
        }
        bytes.resize(bytes.len() + payload, 0);
    }
}
