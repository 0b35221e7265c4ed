// SPDX-License-Identifier: GPL-2.0-only
//! What helpers read: "this payload announces that".
//!
//! *Grammar*: how one helper reads a packet. It knows no engine: it is shown what the kernel's
//! helper would look at ([`Seen`]) and answers a [`Reading`], or, where a helper asks and does
//! more than announce, talks to a [`Tracker`]. Whether it is asked at all is decided by whoever
//! plays the packets.
//!
//! To add a helper: one file here with its grammar, a [`State`] with a line in [`State::of`] and one
//! in [`State::help`], and its policies in `nfexp_model::helper::IN_TREE`.
//!
//! The rule that matters: a grammar reads what the kernel's parser reads, quirks included, not
//! what the protocol means. Where kernels read otherwise, it asks a knob of the tracker's revision.

mod address;
pub mod amanda;
#[cfg(test)]
mod asked;
pub mod broadcast;
pub mod ftp;
pub mod h323;
pub mod irc;
pub mod parameters;
pub mod pptp;
pub mod sane;
pub mod sip;
pub mod tftp;
pub mod tracker;

use nfexp_model::conntrack::Direction;
use nfexp_model::tuple::Tuple;

pub use parameters::Parameters;
pub use tracker::{Announced, Linked, Refused, Tracker, Verdict};

/// What a helper is shown of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Whether packets were seen in both directions (`IP_CT_ESTABLISHED` or its reply).
    pub established: bool,
    /// Whether the master was itself announced.
    pub expected: bool,
    /// The master's tuples: original, reply.
    pub tuples: [Tuple; 2],
    /// What follows the transport header.
    pub payload: &'a [u8],
    /// TCP sequence number of its first byte; 0 elsewhere.
    pub seq: u32,
}

impl Seen<'_> {
    /// The master's tuple in the packet's own direction.
    #[must_use]
    pub const fn tuple(&self) -> &Tuple {
        match self.direction {
            Direction::Original => &self.tuples[0],
            Direction::Reply => &self.tuples[1],
        }
    }

    /// The tuple of the other direction.
    #[must_use]
    pub const fn other(&self) -> &Tuple {
        match self.direction {
            Direction::Original => &self.tuples[1],
            Direction::Reply => &self.tuples[0],
        }
    }
}

/// What a helper makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing of interest.
    Nothing,
    /// An announcement.
    Announces(Announced),
    /// Half of one: the packet is dropped, so that it comes again whole.
    Partial,
}

/// What a helper remembers of a connection (`nfct_help_data()`).
#[derive(Clone, Copy, Debug)]
pub enum State {
    /// Amanda remembers nothing.
    Amanda,
    /// Neither do the helpers of broadcasts; the port is where their answers come from.
    Broadcast(broadcast::Service),
    /// FTP.
    Ftp(ftp::State),
    /// The three helpers of H.323.
    H323(h323::State),
    /// IRC remembers nothing.
    Irc,
    /// PPTP.
    Pptp(pptp::State),
    /// SANE.
    Sane(sane::State),
    /// SIP.
    Sip(sip::State),
    /// TFTP remembers nothing.
    Tftp,
}

impl State {
    /// A fresh state for the helper of this name; `None` for one without a grammar.
    #[must_use]
    pub fn of(helper: &str) -> Option<Self> {
        Some(match helper {
            "amanda" => Self::Amanda,
            "ftp" => Self::Ftp(ftp::State::default()),
            "H.245" => Self::H323(h323::State::new(h323::Channel::H245)),
            "Q.931" => Self::H323(h323::State::new(h323::Channel::Q931)),
            "RAS" => Self::H323(h323::State::new(h323::Channel::Ras)),
            "irc" => Self::Irc,
            "netbios-ns" => Self::Broadcast(broadcast::Service::NetbiosNs),
            "pptp" => Self::Pptp(pptp::State::default()),
            "sane" => Self::Sane(sane::State::default()),
            "sip" => Self::Sip(sip::State::default()),
            "snmp" => Self::Broadcast(broadcast::Service::Snmp),
            "tftp" => Self::Tftp,
            _ => return None,
        })
    }

    /// Whether a packet without payload may change what it remembers or does.
    #[must_use]
    pub const fn minds_empty(&self) -> bool {
        // KERNEL: get_tpkt_data(), all revisions: an empty segment ends the wait for a TPKT whose
        // header came alone. Those below return before they look at anything.
        !matches!(self, Self::Ftp(_) | Self::Irc | Self::Pptp(_) | Self::Sane(_) | Self::Sip(_))
    }

    /// Shows a packet to the helper.
    pub fn help(
        &mut self,
        parameters: &Parameters,
        seen: &Seen<'_>,
        tracker: &mut dyn Tracker,
    ) -> Verdict {
        let reading = match self {
            Self::Amanda => return amanda::help(parameters, seen, tracker),
            Self::Broadcast(service) => {
                return broadcast::help(*service, parameters, seen, tracker);
            }
            Self::H323(state) => return state.help(parameters, seen, tracker),
            Self::Pptp(state) => return state.help(seen, tracker),
            Self::Sip(state) => return state.help(parameters, seen, tracker),
            Self::Ftp(state) => state.read(parameters.ftp_loose, tracker.revision(), seen),
            Self::Irc => irc::read(tracker.revision(), seen),
            Self::Sane(state) => state.read(seen),
            Self::Tftp => tftp::read(seen),
        };
        match reading {
            Reading::Nothing => Verdict::Accept,
            Reading::Partial => Verdict::Drop,
            Reading::Announces(announced) => match tracker.related(&announced) {
                Ok(_) => Verdict::Accept,
                Err(_) => Verdict::Drop,
            },
        }
    }

    /// The connection leaves the table (`helper->destroy()`).
    pub fn destroy(&mut self, tuples: &[Tuple; 2], tracker: &mut dyn Tracker) {
        if let Self::Pptp(state) = self {
            state.destroy_siblings(tuples, tracker);
        }
    }
}
