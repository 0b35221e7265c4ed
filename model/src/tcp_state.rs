// SPDX-License-Identifier: GPL-2.0-only
//! TCP as far as expectations notice: is a packet part of its connection, and for how long?
//!
//! The state machine of the kernel's tracker: flags and direction move a connection from state
//! to state. Windows are not followed: a packet that the kernel would call invalid for its
//! sequence number alone counts as valid here (`docs/omissions.md`).
//!
//! The rule that matters: a SYN on a connection that has ended begins a new one, so the old one
//! must go first, and its expectations with it.
//!
//! # Source
//! `nf_conntrack_proto_tcp.c`, 6.18 (the table is older than v3.9).

use crate::conntrack::Direction;

/// Where a connection stands (`enum tcp_conntrack`).
#[doc(alias = "tcp_conntrack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing was seen.
    #[default]
    None,
    /// A SYN went out.
    SynSent,
    /// A SYN/ACK came back.
    SynRecv,
    /// Both sides have spoken.
    Established,
    /// One side has finished.
    FinWait,
    /// The other has acknowledged that.
    CloseWait,
    /// Both have finished.
    LastAck,
    /// All is acknowledged.
    TimeWait,
    /// It was reset.
    Close,
    /// Both sides opened at once.
    SynSent2,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOutcome {
    /// It is part of the connection, which lives so long from here, in seconds.
    Accept {
        /// The new timeout.
        timeout_secs: u32,
        /// Whether the connection is assured from here on.
        assured: bool,
    },
    /// It passes and changes nothing.
    Ignore,
    /// It is not part of it.
    Invalid,
    /// The connection is over and this packet begins another: delete it and look again.
    Repeat,
    /// A reset answers the first packet: the connection goes at once.
    Kill,
}

const STATES: [TcpState; 10] = [
    TcpState::None,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::Established,
    TcpState::FinWait,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::TimeWait,
    TcpState::Close,
    TcpState::SynSent2,
];

/// The next state, by direction, kind of packet and state; one letter each.
///
/// `S`yn-sent, syn-`R`ecv, `E`stablished, `F`in-wait, close-`W`ait, `L`ast-ack, `T`ime-wait,
/// `C`lose, `2` syn-sent2; `i`gnored, `-` invalid. Columns as in [`TcpState`].
const NEXT: [[&[u8; 10]; 6]; 2] = [
    [
        b"SSiiiiiSS2", // SYN
        b"--R------R", // SYN and ACK
        b"--FFLLLTC-", // FIN
        b"E-EEWWTTC-", // ACK
        b"-CCCCCCCCC", // RST
        b"----------", // none of them
    ],
    [b"-2-----S-2", b"-RiiiiiiiR", b"--FFLLLTC-", b"-iREWWTTCi", b"-CCCCCCCCC", b"----------"],
];

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const URG: u8 = 32;

/// The row of a packet's flags.
fn row(flags: u8) -> usize {
    match flags {
        _ if flags & RST != 0 => 4,
        _ if flags & SYN != 0 => usize::from(flags & ACK != 0),
        _ if flags & FIN != 0 => 2,
        _ if flags & ACK != 0 => 3,
        _ => 5,
    }
}

/// Whether any stack sends such flags.
fn is_sensible(flags: u8) -> bool {
    const SYN_URG: u8 = SYN | URG;
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;
    const FIN_ACK_URG: u8 = FIN | ACK | URG;
    const ACK_URG: u8 = ACK | URG;
    // PSH, ECE and CWR go with anything.
    matches!(
        flags & (FIN | SYN | RST | ACK | URG),
        SYN | SYN_URG | SYN_ACK | RST | RST_ACK | FIN_ACK | FIN_ACK_URG | ACK | ACK_URG
    )
}

impl TcpState {
    /// The state after the first packet of a connection; `None` if no connection begins so.
    #[doc(alias = "tcp_new")]
    #[must_use]
    pub fn begin(flags: u8) -> Option<Self> {
        if !is_sensible(flags) {
            return None;
        }
        Self::None.next(Direction::Original, flags).and_then(|next| next)
    }

    /// Takes a packet in.
    #[doc(alias = "nf_conntrack_tcp_packet")]
    pub fn packet(&mut self, direction: Direction, flags: u8, seen_reply: bool) -> TcpOutcome {
        let old = *self;
        if !is_sensible(flags) {
            return TcpOutcome::Invalid;
        }
        let new = match old.next(direction, flags) {
            None => return TcpOutcome::Invalid,
            Some(None) => return TcpOutcome::Ignore,
            Some(Some(new)) => new,
        };
        if new == Self::SynSent && matches!(old, Self::TimeWait | Self::Close) {
            return TcpOutcome::Repeat;
        }
        if !seen_reply && direction == Direction::Reply && flags & RST != 0 {
            return TcpOutcome::Kill;
        }
        *self = new;
        let assured = seen_reply
            && matches!(old, Self::SynRecv | Self::Established)
            && new == Self::Established;
        TcpOutcome::Accept { timeout_secs: new.timeout_secs(), assured }
    }

    /// `None`: invalid; `Some(None)`: ignored.
    #[expect(clippy::option_option, reason = "three answers, two of which are not a state")]
    fn next(self, direction: Direction, flags: u8) -> Option<Option<Self>> {
        let table = &NEXT[usize::from(direction == Direction::Reply)];
        match table[row(flags)][self as usize] {
            b'-' => None,
            b'i' => Some(None),
            letter => {
                let at = b"NSREFWLTC2".iter().position(|&state| state == letter);
                Some(at.map(|at| STATES[at]))
            }
        }
    }

    /// How long a connection lives in this state, in seconds.
    #[must_use]
    pub const fn timeout_secs(self) -> u32 {
        match self {
            Self::None | Self::SynSent | Self::SynSent2 | Self::FinWait | Self::TimeWait => 120,
            Self::SynRecv | Self::CloseWait => 60,
            Self::Established => 432_000,
            Self::LastAck => 30,
            Self::Close => 10,
        }
    }

    /// Its name, as netlink listings show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::Established => "established",
            Self::FinWait => "fin_wait",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::TimeWait => "time_wait",
            Self::Close => "close",
            Self::SynSent2 => "syn_sent2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Original, Reply};

    #[test]
    fn a_connection_opens_speaks_and_closes() {
        let mut state = TcpState::begin(SYN).expect("a SYN begins one");
        let mut seen = Vec::new();
        for (direction, flags) in [
            (Reply, SYN | ACK),
            (Original, ACK),
            (Reply, ACK | 8),
            (Original, FIN | ACK),
            (Reply, FIN | ACK),
            (Original, ACK),
        ] {
            let outcome = state.packet(direction, flags, true);
            assert!(matches!(outcome, TcpOutcome::Accept { .. }), "{outcome:?}");
            seen.push(state.name());
        }
        let names = ["syn_recv", "established", "established", "fin_wait", "last_ack", "time_wait"];
        assert_eq!(seen, names);
        assert_eq!(state.packet(Original, SYN, true), TcpOutcome::Repeat);
    }

    #[test]
    fn a_reset_begins_nothing_and_refuses_at_once() {
        assert_eq!(TcpState::begin(RST), None);
        assert_eq!(TcpState::begin(ACK), Some(TcpState::Established), "picked up on its way");
        let mut state = TcpState::begin(SYN).expect("a SYN begins one");
        assert_eq!(state.packet(Reply, RST | ACK, false), TcpOutcome::Kill);
    }

    #[test]
    fn senseless_flags_are_invalid() {
        let mut state = TcpState::Established;
        for flags in [0, SYN | FIN, FIN, SYN | RST, URG] {
            assert_eq!(state.packet(Original, flags, true), TcpOutcome::Invalid);
        }
    }
}
