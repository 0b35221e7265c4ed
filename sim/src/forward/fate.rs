// SPDX-License-Identifier: GPL-2.0-only
//! What becomes of a packet, and the letter that recordings have for it.

use nfexp_model::conntrack::Direction;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Forwarded: of a new connection.
    New,
    /// Of a connection both sides of which have spoken, or an answer.
    Established(Direction),
    /// Of an announced connection nobody has answered yet, or an ICMP error.
    Related(Direction),
    /// Forwarded, but of no connection.
    Invalid,
    /// Forwarded, and not tracked at all.
    Untracked,
    /// Dropped, by a helper, by routing or for want of memory.
    Dropped,
    /// Sent by the host itself.
    Sent,
    /// The host was not let to send it.
    Refused,
    /// For the host itself, or dropped in front of it.
    Delivered,
}

impl Fate {
    /// The letter for it in a recording: lower case for the reply direction.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::New => 'N',
            Self::Established(Direction::Original) => 'E',
            Self::Established(Direction::Reply) => 'e',
            Self::Related(Direction::Original) => 'R',
            Self::Related(Direction::Reply) => 'r',
            Self::Invalid => 'I',
            Self::Untracked => 'U',
            Self::Dropped => '-',
            Self::Sent => 'o',
            Self::Refused => 'x',
            Self::Delivered => 'l',
        }
    }
}
