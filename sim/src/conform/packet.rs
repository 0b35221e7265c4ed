// SPDX-License-Identifier: GPL-2.0-only
//! A packet of a transcript, forwarded.
//!
//! ```text
//!   known? ─ no ─▶ announced? ─▶ tracker ─▶ function ─▶ rule ─▶ helper ─▶ confirm ─▶ forwarded
//!      └─ yes ──────────────────▶ tracker ──────────────────▶ helper ──────────────▶ forwarded
//! ```
//!
//! The rule that matters: the tracker looks only after the expectation was consumed, so a first
//! packet that begins nothing has used one up. Of 3.9 the tracker looks before.
//!
//! # Source
//! `nf_conntrack_in()`, 6.18; `init_conntrack()`, v3.9.

use nfexp_model::conn::{ConnRef, Status};
use nfexp_model::conntrack::{Born, Direction};
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::Origin;
use nfexp_model::expectation::{Announcement, Flags};
use nfexp_model::helper::{Class, HelperId};
use nfexp_model::kernel::platform::Platform;
use nfexp_model::netns::Zone;
use nfexp_model::nft_ct::{CtExpectation, Verdict};
use nfexp_model::revision::TrackerOrder;
use nfexp_model::tcp_track::{Known, TcpOutcome, TcpSettings, TcpTrack};
use nfexp_model::tcp_window::TcpHeader;
use nfexp_model::tuple::{L3, Proto, Tuple};
use nfexp_traces::helpers::{Reading, Seen, tftp};
use nfexp_traces::transcript::Packet;

use super::host::{Asked, NET, attributes};

impl<P: Platform> Asked<'_, P> {
    /// Whether the packet leaves the namespace.
    pub(super) fn forward(&mut self, packet: &Packet, zone: Zone) -> bool {
        let family = packet.tuple.src.map_or(L3::Unspec, L3::of);
        let revision = self.engine.config().revision;
        let Ok(tuple) = attributes(&packet.tuple).parse(family, &revision) else {
            // No tracker makes anything of it: it is forwarded as it came.
            return true;
        };
        for _ in 0..2 {
            match self.engine.find_conn(NET, zone, &tuple) {
                None => return self.first(packet, &tuple, zone),
                Some((ct, direction)) => {
                    let fate = self.known(packet, &tuple, &ct, direction);
                    self.engine.put_conn(self.at, ct);
                    if let Some(forwarded) = fate {
                        return forwarded;
                    }
                }
            }
        }
        true
    }

    /// The first packet of a connection.
    fn first(&mut self, packet: &Packet, tuple: &Tuple, zone: Zone) -> bool {
        let at = self.at;
        let Some(reply) = tuple.inverse() else {
            return true;
        };
        let begun = begin(packet, tuple);
        let order = self.engine.config().revision.tracker_order;
        if begun.is_none() && order == TrackerOrder::BeforeLookup {
            return true;
        }
        let Ok(born) = self.engine.init_conntrack(at, NET, zone, *tuple, reply, true) else {
            return false;
        };
        let Born { ct, call, .. } = born;
        let Some(state) = begun else {
            self.engine.put_conn(at, ct);
            return true;
        };
        if let Some(call) = call {
            self.engine.run_expectfn(&ct, &call);
        }
        let forwarded = self.rules(&ct, tuple)
            && self.help(packet, &ct)
            && self.engine.confirm(at, &ct, Origin::KERNEL);
        if forwarded && tuple.proto == Proto::TCP {
            self.host.tcp.insert(ct.id(), state);
        }
        self.engine.put_conn(at, ct);
        forwarded
    }

    /// A packet of a known connection; `None` if it is over and the packet begins another.
    fn known(
        &mut self,
        packet: &Packet,
        tuple: &Tuple,
        ct: &ConnRef,
        direction: Direction,
    ) -> Option<bool> {
        let status = self.engine.conn(ct.id()).status();
        if tuple.proto == Proto::TCP {
            let assured = status.has(Status::ASSURED);
            let known = Known { seen_reply: status.has(Status::SEEN_REPLY), assured };
            let track = self.host.tcp.entry(ct.id()).or_default();
            match track.packet(direction, &tcp_header(packet), known, &NUMBERLESS) {
                TcpOutcome::Accept { .. } | TcpOutcome::Ignore => {}
                TcpOutcome::Invalid | TcpOutcome::Shorten { .. } => return Some(true),
                TcpOutcome::Repeat => {
                    self.engine.end_conn(self.at, ct, Origin::KERNEL);
                    return None;
                }
                TcpOutcome::Kill => {
                    self.engine.end_conn(self.at, ct, Origin::KERNEL);
                    return Some(true);
                }
            }
        }
        if direction == Direction::Reply {
            self.engine.set_status(ct, Status::SEEN_REPLY);
        }
        Some(self.help(packet, ct))
    }

    /// The ruleset: `ct expectation` objects by UDP port; false if the packet is dropped.
    fn rules(&self, ct: &ConnRef, tuple: &Tuple) -> bool {
        let rule = self
            .host
            .nft
            .iter()
            .find(|rule| tuple.proto == Proto::UDP && tuple.dport == rule.udp_dport);
        let Some(rule) = rule else {
            return true;
        };
        let object = CtExpectation {
            proto: Proto(rule.l4),
            dport: rule.dport,
            timeout: rule.seconds,
            size: rule.size,
        };
        let verdict = self.engine.nft_ct_expect(self.at, ct, Direction::Original, &object);
        verdict != Verdict::Drop
    }

    /// Lets the helper read, where it is the one whose words transcripts speak: TFTP's. False if
    /// the packet is dropped.
    fn help(&self, packet: &Packet, ct: &ConnRef) -> bool {
        let reads = |helper: &HelperId| self.engine.is_registered(*helper);
        let helper = self.engine.helper_of(ct).filter(reads);
        let helper = helper.map(|helper| self.engine.helper(helper).name);
        let payload = packet.hex.as_deref().map(bytes).unwrap_or_default();
        if helper != Some("tftp") || payload.is_empty() {
            return true;
        }
        let about = self.engine.conn(ct.id()).about();
        let seen = Seen {
            direction: Direction::Original,
            established: false,
            expected: false,
            tuples: [about.original, about.reply],
            payload: &payload,
            seq: 0,
        };
        let Reading::Announces(announced) = tftp::read(&seen) else {
            return true;
        };
        let (tuple, mask) = announced.key();
        let (class, flags) = (Class::DEFAULT, Flags::NONE);
        let said = Announcement { class, tuple, mask, flags, expires: None };
        let how = (Origin::KERNEL, MasterCheck::Own);
        let related = self.engine.announce(self.at, ct.id(), &said, how);
        related.is_ok_and(|related| related.is_ok())
    }
}

/// Where a connection stands after its first packet; `None` if none begins so.
fn begin(packet: &Packet, tuple: &Tuple) -> Option<TcpTrack> {
    let kind = tuple.dport >> 8;
    let asks = match tuple.proto {
        Proto::TCP => {
            let header = tcp_header(packet);
            let mut track = TcpTrack::begin(&header, &NUMBERLESS)?;
            track.packet(Direction::Original, &header, Known::default(), &NUMBERLESS);
            return Some(track);
        }
        // KERNEL: nf_conntrack_icmp_packet(), nf_conntrack_icmpv6_packet(), 6.18: of no other family.
        Proto::ICMP => tuple.l3 == L3::Ipv4 && matches!(kind, 8 | 13 | 15 | 17),
        Proto::ICMPV6 => tuple.l3 == L3::Ipv6 && matches!(kind, 128 | 139),
        _ => true,
    };
    asks.then(TcpTrack::default)
}

/// Packets of transcripts have no sequence numbers, so that no window is looked at.
const NUMBERLESS: TcpSettings = TcpSettings { be_liberal: true, ..TcpSettings::DEFAULT };

fn tcp_header(packet: &Packet) -> TcpHeader<'static> {
    TcpHeader { flags: tcp_flags(packet), window: u16::MAX, ..TcpHeader::default() }
}

/// The flags a packet names by letter; a SYN if it names none.
fn tcp_flags(packet: &Packet) -> u8 {
    let letters = packet.tcp.as_deref().unwrap_or("S");
    letters.chars().fold(0, |flags, letter| {
        flags
            | match letter.to_ascii_uppercase() {
                'F' => 1,
                'S' => 2,
                'R' => 4,
                'P' => 8,
                'A' => 16,
                'U' => 32,
                _ => 0,
            }
    })
}

/// The bytes of a payload; what is no hexadecimal ends it.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map_while(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
