// SPDX-License-Identifier: GPL-2.0-only
//! H.323: three helpers that hand each other on.
//!
//! ```text
//!   RAS, udp 1719          RRQ ─▶ calls to the endpoint     ACF, LCF ─▶ the call itself
//!     └▶ Q.931, tcp 1720     h245Address ─▶ media control    fastStart ─▶ media
//!          └▶ H.245            logical channels ─▶ RTP and RTCP, T.120
//! ```
//!
//! Messages are ASN.1 in packed encoding. `per` walks through them with the types of
//! `schema`, as the kernel's own decoder does: a general codec would decode what the kernel
//! stumbles over, and refuse what it takes (`docs/decisions.md`).
//!
//! The rule that matters: what does not decode is let through unread; what cannot be announced is
//! dropped.
//!
//! # Source
//! ITU-T H.225.0, H.245; `nf_conntrack_h323_main.c`, 6.18.

mod h225;
mod h245;
mod media;
mod per;
mod q931;
mod ras;
mod schema;

use nfexp_model::conntrack::Direction;
use nfexp_model::tuple::{Addr, L3};

use super::{Announced, Parameters, Seen, Tracker, Verdict};
use per::Node;

/// Which of the three helpers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Registration, admission and status.
    Ras,
    /// Call signalling.
    Q931,
    /// Media control.
    H245,
}

/// What a helper remembers of a connection (`struct nf_ct_h323_master`).
#[doc(alias = "nf_ct_h323_master")]
#[derive(Clone, Copy, Debug)]
pub struct State {
    channel: Channel,
    /// The length of a TPKT whose header came alone, by direction.
    awaited: [u16; 2],
    /// Where calls are expected, by direction.
    signal_port: [u16; 2],
    /// The time a registration was asked for, in seconds.
    lifetime_secs: u32,
}

/// The packet cannot be announced from: it is dropped.
struct Dropped;

type Done = Result<(), Dropped>;

/// Everything about the packet at hand.
struct Packet<'a, 'b> {
    seen: &'a Seen<'a>,
    parameters: &'a Parameters,
    tracker: &'b mut dyn Tracker,
}

impl State {
    /// A fresh one.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self { channel, awaited: [0; 2], signal_port: [0; 2], lifetime_secs: 0 }
    }

    /// Shows a packet to the helper.
    pub fn help(
        &mut self,
        parameters: &Parameters,
        seen: &Seen<'_>,
        tracker: &mut dyn Tracker,
    ) -> Verdict {
        let mut packet = Packet { seen, parameters, tracker };
        let done = match self.channel {
            Channel::Ras => self.ras(&mut packet),
            Channel::Q931 | Channel::H245 if !seen.established => Ok(()),
            Channel::Q931 | Channel::H245 => self.stream(&mut packet),
        };
        match done {
            Ok(()) => Verdict::Accept,
            Err(Dropped) => Verdict::Drop,
        }
    }

    /// Each TPKT of a segment, until one does not decode.
    fn stream(&mut self, packet: &mut Packet<'_, '_>) -> Done {
        let mut at = None;
        while let Some((start, end)) = self.next_tpkt(packet.seen, at) {
            at = Some(end);
            let data = &packet.seen.payload[start..end];
            let decoded = match self.channel {
                Channel::H245 => per::decode(data, 0, data.len(), "MultimediaSystemControlMessage"),
                _ => q931::decode(data),
            };
            let Ok(message) = decoded else { break };
            match self.channel {
                Channel::H245 => packet.h245(data, &message)?,
                _ => packet.q931(data, &message)?,
            }
        }
        Ok(())
    }

    /// Where the next TPKT's contents stand, behind the one that ended at `behind`.
    #[doc(alias = "get_tpkt_data")]
    fn next_tpkt(&mut self, seen: &Seen<'_>, behind: Option<usize>) -> Option<(usize, usize)> {
        let awaited = &mut self.awaited[usize::from(seen.direction == Direction::Reply)];
        let rest = &seen.payload[behind.unwrap_or(0)..];
        let is_tpkt = rest.len() >= 4 && rest[..2] == [3, 0];
        if behind.is_none() && !rest.is_empty() && !is_tpkt {
            // NetMeeting sends header and contents apart.
            let length = usize::from(*awaited);
            if length == 0 {
                return None;
            }
            *awaited = 0;
            return (length <= rest.len()).then_some((0, length));
        }
        if rest.is_empty() || !is_tpkt || (behind.is_some() && rest.len() == 4) {
            *awaited = 0;
            return None;
        }
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length > rest.len() && rest.len() == 4 {
            *awaited = length as u16 - 4;
            return None;
        }
        *awaited = 0;
        let start = behind.unwrap_or(0);
        (4..=rest.len()).contains(&length).then_some((start + 4, start + length))
    }
}

impl Packet<'_, '_> {
    /// The address and port that a kept address names, if it is of the connection's family.
    fn place(&self, data: &[u8], node: &Node, v4: &str, v6: &str) -> Option<(Addr, u16)> {
        let (alternative, length) = match self.seen.tuples[0].l3 {
            L3::Ipv4 => (v4, 4),
            _ => (v6, 16),
        };
        let Some(Node::Address(at)) = node.alternative(alternative)?.field("ip") else {
            return None;
        };
        let bytes = data.get(*at..at + length + 2)?;
        let mut addr = Addr::default();
        addr.0[..length].copy_from_slice(&bytes[..length]);
        Some((addr, u16::from_be_bytes([bytes[length], bytes[length + 1]])))
    }

    /// An address of H.225.0.
    #[doc(alias = "get_h225_addr")]
    fn signal_address(&self, data: &[u8], node: &Node) -> Option<(Addr, u16)> {
        self.place(data, node, "ipAddress", "ip6Address")
    }

    /// Announces, or has the packet dropped.
    fn announce(&mut self, announced: &Announced) -> Done {
        self.tracker.related(announced).map(|_| ()).map_err(|_| Dropped)
    }
}

#[cfg(test)]
mod tests;
