// SPDX-License-Identifier: GPL-2.0-only
//! What helpers read: "this payload announces that".
//!
//! *Grammar*: how one helper reads a packet. It knows no engine: it is shown what the kernel's
//! helper would look at ([`Seen`]) and answers a [`Reading`]. Whether it is asked at all, and
//! what follows when its announcement is refused, is decided by whoever plays the packets.
//!
//! To add a helper: one file here with its grammar, one line in [`State::of`], and its policies
//! in `nfexp_model::helper::IN_TREE`.
//!
//! The rule that matters: a grammar reads what the kernel's parser reads, quirks included, not
//! what the protocol means.

pub mod ftp;
pub mod tftp;

use nfexp_model::conntrack::Direction;
use nfexp_model::expectation::{Expected, Flags};
use nfexp_model::tuple::Tuple;

/// What a helper is shown of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Whether packets were seen in both directions (`IP_CT_ESTABLISHED` or its reply).
    pub established: bool,
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

/// An expectation to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its class, by number.
    pub class: u8,
    /// The arguments of `nf_ct_expect_init()`.
    pub expected: Expected,
    /// Its flags.
    pub flags: Flags,
}

/// Module parameters of the helpers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `nf_conntrack_ftp.loose`: an announced address need not be the announcer's.
    pub ftp_loose: bool,
}

/// What a helper remembers of a connection (`nfct_help_data()`).
#[derive(Clone, Copy, Debug)]
pub enum State {
    /// FTP.
    Ftp(ftp::State),
    /// TFTP remembers nothing.
    Tftp,
}

impl State {
    /// A fresh state for the helper of this name; `None` for one that has no grammar here yet.
    #[must_use]
    pub fn of(helper: &str) -> Option<Self> {
        match helper {
            "ftp" => Some(Self::Ftp(ftp::State::default())),
            "tftp" => Some(Self::Tftp),
            _ => None,
        }
    }

    /// Reads a packet.
    pub fn read(&mut self, parameters: &Parameters, seen: &Seen<'_>) -> Reading {
        match self {
            Self::Ftp(state) => state.read(parameters.ftp_loose, seen),
            Self::Tftp => tftp::read(seen),
        }
    }
}
