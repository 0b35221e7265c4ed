// SPDX-License-Identifier: GPL-2.0-only
//! The states of a TCP connection, and what moves it from one to another.
//!
//! The table of the kernel's tracker: flags and direction of a packet, and the state before it.
//! Whether the packet counts at all, [`tcp_track`](crate::tcp_track) decides.
//!
//! The rule that matters: an entry says where to go, that the packet is to be ignored, or that it
//! is invalid; what the tracker makes of the last two depends on more than the table.
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

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go to this state.
    State(TcpState),
    /// The connection may be out of step: let it pass and remember it (`TCP_CONNTRACK_IGNORE`).
    Ignore,
    /// It cannot be (`TCP_CONNTRACK_MAX`).
    Invalid,
}

/// What a packet's flags come to (`enum tcp_bit_set`).
#[doc(alias = "tcp_bit_set")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// SYN.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// FIN.
    Fin,
    /// ACK alone.
    Ack,
    /// RST.
    Rst,
    /// None of them.
    #[default]
    None,
}

/// The next state, by direction, kind of packet and state; one letter each.
///
/// `S`yn-sent, syn-`R`ecv, `E`stablished, `F`in-wait, close-`W`ait, `L`ast-ack, `T`ime-wait,
/// `C`lose, `2` syn-sent2; `i`gnored, `-` invalid. Columns as in [`TcpState`].
/// Rows as in [`Kind`].
const LETTERS: [[&[u8; 10]; 6]; 2] = [
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

/// The same, read once.
static NEXT: [[[Next; 10]; 6]; 2] = {
    let mut next = [[[Next::Invalid; 10]; 6]; 2];
    let mut at = 0;
    while at < 2 * 6 * 10 {
        let (direction, kind, state) = (at / 60, at / 10 % 6, at % 10);
        next[direction][kind][state] = read(LETTERS[direction][kind][state]);
        at += 1;
    }
    next
};

/// What a letter of the table says.
const fn read(letter: u8) -> Next {
    Next::State(match letter {
        b'S' => TcpState::SynSent,
        b'R' => TcpState::SynRecv,
        b'E' => TcpState::Established,
        b'F' => TcpState::FinWait,
        b'W' => TcpState::CloseWait,
        b'L' => TcpState::LastAck,
        b'T' => TcpState::TimeWait,
        b'C' => TcpState::Close,
        b'2' => TcpState::SynSent2,
        b'i' => return Next::Ignore,
        b'-' => return Next::Invalid,
        _ => panic!("expected a letter of the table"),
    })
}

/// FIN.
pub const FIN: u8 = 1;
/// SYN.
pub const SYN: u8 = 2;
/// RST.
pub const RST: u8 = 4;
/// ACK.
pub const ACK: u8 = 16;
/// URG.
pub const URG: u8 = 32;

impl Kind {
    /// What flags come to.
    #[doc(alias = "get_conntrack_index")]
    #[must_use]
    pub const fn of(flags: u8) -> Self {
        match flags {
            _ if flags & RST != 0 => Self::Rst,
            _ if flags & SYN != 0 && flags & ACK != 0 => Self::SynAck,
            _ if flags & SYN != 0 => Self::Syn,
            _ if flags & FIN != 0 => Self::Fin,
            _ if flags & ACK != 0 => Self::Ack,
            _ => Self::None,
        }
    }
}

/// Whether any stack sends such flags (`tcp_valid_flags`).
#[doc(alias = "tcp_valid_flags")]
#[must_use]
pub const fn is_sensible(flags: u8) -> bool {
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
    /// Where a packet of this kind leads.
    #[must_use]
    pub fn next(self, direction: Direction, kind: Kind) -> Next {
        NEXT[usize::from(direction == Direction::Reply)][kind as usize][self as usize]
    }

    /// Whether both sides have begun to finish: such a connection may be reused, or make room.
    #[doc(alias = "tcp_can_early_drop")]
    #[must_use]
    pub const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close
        )
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
        let mut state = TcpState::None;
        let mut seen = Vec::new();
        for (direction, kind) in [
            (Original, Kind::Syn),
            (Reply, Kind::SynAck),
            (Original, Kind::Ack),
            (Original, Kind::Fin),
            (Reply, Kind::Fin),
            (Original, Kind::Ack),
        ] {
            let Next::State(next) = state.next(direction, kind) else {
                panic!("{state:?} ends at {kind:?}")
            };
            state = next;
            seen.push(state.name());
        }
        let names = ["syn_sent", "syn_recv", "established", "fin_wait", "last_ack", "time_wait"];
        assert_eq!(seen, names);
        assert_eq!(state.next(Original, Kind::Syn), Next::State(TcpState::SynSent));
    }

    #[test]
    fn senseless_flags_are_told_apart() {
        for flags in [0, SYN | FIN, FIN, SYN | RST, URG] {
            assert!(!is_sensible(flags), "{flags:#x}");
        }
        assert!(is_sensible(ACK | 8 | 64));
    }
}
