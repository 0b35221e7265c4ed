// SPDX-License-Identifier: GPL-2.0-only
//! TCP as connection tracking follows it: is a packet part of its connection, and for how long?
//!
//! ```text
//!   sensible flags? ─▶ what the table says ─▶ exceptions ─▶ inside the windows? ─▶ new state
//! ```
//!
//! The exceptions are about being out of step: a router that missed a connection's end must not
//! stand in the way of the next one, nor let a forged reset end this one.
//!
//! The rule that matters: a SYN on a connection that has ended begins a new one, so the old one
//! must go first, and its expectations with it.
//!
//! # Source
//! `nf_conntrack_tcp_packet()` and `tcp_new()` of `nf_conntrack_proto_tcp.c`, 6.18.

use crate::conntrack::Direction;
use crate::tcp_state::{ACK, FIN, Kind, Next, RST, SYN, TcpState, is_sensible};
use crate::tcp_window::{Judged, Marks, Side, TcpHeader, judge};

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
    /// Neither is it, but both sides said an end that was not: a connection that has two minutes
    /// or more lives at most so long from here, in seconds.
    Shorten {
        /// The longest timeout.
        most_secs: u32,
    },
    /// The connection is over and this packet begins another: delete it and look again.
    Repeat,
    /// A reset without any answer seen: the connection goes at once.
    Kill,
}

/// What the tracker may be told (`nf_conntrack_tcp_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Bounds are not enforced.
    pub be_liberal: bool,
    /// Connections are picked up on their way.
    pub loose: bool,
    /// Out-of-window resets are accepted.
    pub ignore_invalid_rst: bool,
    /// So many retransmissions shorten a connection's life.
    pub max_retrans: u8,
    /// How long a connection lives, by state, in seconds.
    pub timeouts_secs: [u32; 10],
    /// How long at most with too many retransmissions, in seconds.
    pub retrans_secs: u32,
    /// How long at most with something unacknowledged, in seconds.
    pub unacknowledged_secs: u32,
}

impl TcpSettings {
    /// As a kernel starts.
    pub const DEFAULT: Self = Self {
        be_liberal: false,
        loose: true,
        ignore_invalid_rst: false,
        max_retrans: 3,
        timeouts_secs: [120, 120, 60, 432_000, 120, 60, 30, 120, 10, 120],
        retrans_secs: 300,
        unacknowledged_secs: 300,
    };
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is remembered of a connection (`struct ip_ct_tcp`).
#[doc(alias = "ip_ct_tcp")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTrack {
    state: TcpState,
    seen: [Side; 2],
    last: Last,
    retrans: u8,
    /// Both sides opened at once.
    simultaneous: bool,
    /// An answer to an ignored SYN may come in spite of LAST-ACK.
    challenge_ack: bool,
}

/// The last packet that counted, or was ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Last {
    kind: Kind,
    reply: bool,
    seq: u32,
    ack: u32,
    end: u32,
    window: u16,
    scale: u8,
    marks: Marks,
}

/// What the tracker knows of the connection beside its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// An answer was seen before.
    pub seen_reply: bool,
    /// Both sides were seen to speak in turn.
    pub assured: bool,
}

/// What the exceptions make of a packet.
enum Turn {
    /// It is judged, and this is the state it leads to.
    Judge(TcpState),
    /// It counts without being judged.
    Count(TcpState),
    Done(TcpOutcome),
}

impl TcpTrack {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> TcpState {
        self.state
    }

    /// The first packet of a connection; `None` if none begins so. It must then be shown to
    /// [`packet`](Self::packet) like any other.
    #[doc(alias = "tcp_new")]
    #[must_use]
    pub fn begin(header: &TcpHeader<'_>, settings: &TcpSettings) -> Option<Self> {
        if !is_sensible(header.flags) {
            return None;
        }
        let kind = Kind::of(header.flags);
        let Next::State(next) = TcpState::None.next(Direction::Original, kind) else {
            return None;
        };
        let mut track = Self::default();
        track.seen[0] = Side::first(header);
        if next != TcpState::SynSent {
            if !settings.loose {
                return None;
            }
            let marks = Marks::SACK_PERMITTED.with(Marks::BE_LIBERAL);
            track.seen[0].marks = marks;
            track.seen[1].marks = marks;
        }
        Some(track)
    }

    /// Takes a packet in.
    #[doc(alias = "nf_conntrack_tcp_packet")]
    #[inline]
    pub fn packet(
        &mut self,
        direction: Direction,
        header: &TcpHeader<'_>,
        known: Known,
        settings: &TcpSettings,
    ) -> TcpOutcome {
        let is_plain = header.flags & (FIN | SYN | RST | ACK) == ACK;
        if self.state == TcpState::Established && is_plain {
            // Sensible; the table says to stay, and no exception is about it. The same steps as of
            // any other, of which the compiler leaves out what such flags decide: most packets of
            // most captures (`cargo bench --bench replay`).
            let header = TcpHeader { flags: ACK, ..*header };
            let stays = (TcpState::Established, TcpState::Established);
            return self.judged(stays, Kind::Ack, direction, &header, known, settings);
        }
        // A copy, so that the header of the others need not be in memory.
        let copy = *header;
        self.any_packet(direction, &copy, known, settings)
    }

    fn any_packet(
        &mut self,
        direction: Direction,
        header: &TcpHeader<'_>,
        known: Known,
        settings: &TcpSettings,
    ) -> TcpOutcome {
        if !is_sensible(header.flags) {
            return TcpOutcome::Invalid;
        }
        let (kind, old) = (Kind::of(header.flags), self.state);
        match self.turn(direction, kind, header, known, settings) {
            Turn::Done(outcome) => outcome,
            Turn::Count(new) => {
                self.counted((old, new), kind, direction == Direction::Reply, known, settings)
            }
            Turn::Judge(new) => self.judged((old, new), kind, direction, header, known, settings),
        }
    }

    /// A packet that leads from one state to another, if it is inside the windows.
    #[inline(always)]
    fn judged(
        &mut self,
        (old, new): (TcpState, TcpState),
        kind: Kind,
        direction: Direction,
        header: &TcpHeader<'_>,
        known: Known,
        settings: &TcpSettings,
    ) -> TcpOutcome {
        let reply = direction == Direction::Reply;
        match self.judge(old, header, reply, settings) {
            Judged::Accept => self.count_repetition(kind, reply, header),
            Judged::Lenient => {}
            Judged::Ignore => return TcpOutcome::Ignore,
            Judged::Invalid => return self.note_invalid(kind, reply, known, settings),
        }
        self.counted((old, new), kind, reply, known, settings)
    }

    /// A packet that counts.
    #[inline(always)]
    fn counted(
        &mut self,
        (old, new): (TcpState, TcpState),
        kind: Kind,
        reply: bool,
        known: Known,
        settings: &TcpSettings,
    ) -> TcpOutcome {
        self.last.kind = kind;
        self.last.reply = reply;
        self.state = new;
        if old != new && new == TcpState::FinWait {
            let side = &mut self.seen[usize::from(reply)];
            side.marks = side.marks.with(Marks::CLOSE_INIT);
        }
        self.outcome((old, new), kind, known, settings)
    }

    /// Whether either side has such a mark.
    const fn any(&self, mark: Marks) -> bool {
        self.seen[0].marks.with(self.seen[1].marks).has(mark)
    }

    #[inline(always)]
    fn judge(
        &mut self,
        old: TcpState,
        header: &TcpHeader<'_>,
        reply: bool,
        settings: &TcpSettings,
    ) -> Judged {
        let opening = matches!(old, TcpState::SynSent | TcpState::SynRecv);
        let syn_sent = old == TcpState::SynSent;
        let [original, answering] = &mut self.seen;
        let (sender, receiver) = if reply { (answering, original) } else { (original, answering) };
        judge(sender, receiver, header, (opening, syn_sent, reply, settings.be_liberal))
    }

    /// What the table says, and what speaks against it.
    fn turn(
        &mut self,
        direction: Direction,
        kind: Kind,
        header: &TcpHeader<'_>,
        known: Known,
        settings: &TcpSettings,
    ) -> Turn {
        let (old, reply) = (self.state, direction == Direction::Reply);
        let next = old.next(direction, kind);
        match next {
            Next::Invalid => Turn::Done(TcpOutcome::Invalid),
            Next::Ignore => self.ignored(kind, reply, header),
            Next::State(TcpState::SynSent)
                if matches!(old, TcpState::TimeWait | TcpState::Close | TcpState::SynSent2) =>
            {
                let closed = self.any(Marks::CLOSE_INIT);
                let aborted = self.last.reply == reply && self.last.kind == Kind::Rst;
                if closed || aborted {
                    Turn::Done(TcpOutcome::Repeat)
                } else {
                    self.ignored(kind, reply, header)
                }
            }
            Next::State(TcpState::TimeWait)
                if old == TcpState::LastAck
                    && kind == Kind::Ack
                    && self.last.reply != reply
                    && self.last.kind == Kind::Syn
                    && self.challenge_ack =>
            {
                self.challenge_ack = false;
                Turn::Done(TcpOutcome::Ignore)
            }
            Next::State(new @ TcpState::SynSent2) => {
                self.simultaneous = true;
                Turn::Judge(new)
            }
            Next::State(TcpState::SynRecv) if reply && kind == Kind::Ack && self.simultaneous => {
                Turn::Judge(TcpState::Established)
            }
            Next::State(TcpState::Close) if kind == Kind::Rst => {
                self.reset(reply, header, known, settings)
            }
            Next::State(new) => Turn::Judge(new),
        }
    }

    /// The connection may be out of step: what would bring it back is remembered.
    fn ignored(&mut self, kind: Kind, reply: bool, header: &TcpHeader<'_>) -> Turn {
        let last = self.last;
        let answers_ignored_syn = kind == Kind::SynAck
            && last.kind == Kind::Syn
            && last.reply != reply
            && header.ack == last.end;
        if answers_ignored_syn {
            self.challenge_ack = false;
            self.seen[usize::from(last.reply)] = Side {
                td_end: last.end,
                td_maxend: last.end,
                td_maxwin: u32::from(last.window).max(1),
                td_scale: last.scale,
                marks: last.marks,
                ..self.seen[usize::from(last.reply)]
            };
            // KERNEL: nf_conntrack_tcp_packet(), 6.18: all is forgotten of the side that answers,
            // except that its bounds are not enforced.
            let answering = &mut self.seen[usize::from(reply)];
            let marks = answering.marks.only(Marks::BE_LIBERAL);
            *answering = Side { marks, ..Side::default() };
            return Turn::Judge(TcpState::SynRecv);
        }
        self.last =
            Last { kind, reply, seq: header.seq, end: header.end(), window: header.window, ..last };
        if kind == Kind::Syn && !reply {
            let mut offered = Side::default();
            offered.take_options(header.options);
            let scales = offered.marks.has(Marks::WINDOW_SCALE);
            self.last.marks = offered.marks.only(Marks::WINDOW_SCALE.with(Marks::SACK_PERMITTED));
            self.last.scale = if scales { offered.td_scale } else { 0 };
            self.simultaneous = false;
            self.challenge_ack = self.state == TcpState::LastAck;
        }
        if self.state == TcpState::SynSent && kind == Kind::Ack && reply {
            self.last.ack = header.ack;
        }
        Turn::Done(TcpOutcome::Ignore)
    }

    /// A reset ends the connection, unless it may be forged.
    fn reset(
        &self,
        reply: bool,
        header: &TcpHeader<'_>,
        known: Known,
        settings: &TcpSettings,
    ) -> Turn {
        let (old, last) = (self.state, self.last);
        let mut new = TcpState::Close;
        if old.is_closing() {
            return Turn::Count(new);
        }
        let other = &self.seen[usize::from(!reply)];
        if other.marks.has(Marks::MAXACK_SET) && last.kind != Kind::Syn {
            let established = old == TcpState::Established && known.assured;
            if header.seq == 0 && !established {
                return Turn::Judge(new);
            }
            let early = (header.seq.wrapping_sub(other.td_maxack) as i32) < 0;
            if early && !settings.ignore_invalid_rst {
                return Turn::Done(TcpOutcome::Invalid);
            }
            let in_a_row = last.kind == Kind::Ack && last.reply == reply && header.seq == last.end;
            if !established || header.seq == other.td_maxack || in_a_row {
                return Turn::Judge(new);
            }
            // A challenge may follow.
            new = old;
        }
        // A SYN is refused by the other side; whose ACK it was is not asked.
        let refuses = (known.seen_reply && last.kind == Kind::Syn && last.reply != reply)
            || (!known.assured && last.kind == Kind::Ack);
        if refuses && header.ack == last.end {
            return Turn::Count(new);
        }
        let answers_challenge = old == TcpState::SynSent
            && last.kind == Kind::Ack
            && last.reply
            && header.seq == last.ack;
        if answers_challenge { Turn::Count(new) } else { Turn::Judge(new) }
    }

    /// A packet that was seen before, and again, and again.
    #[inline(always)]
    fn count_repetition(&mut self, kind: Kind, reply: bool, header: &TcpHeader<'_>) {
        if kind != Kind::Ack {
            return;
        }
        let this = (reply, header.seq, header.ack, header.end(), header.window);
        let last = &mut self.last;
        let differs = u32::from(last.reply != reply)
            | (last.seq ^ header.seq)
            | (last.ack ^ header.ack)
            | (last.end ^ header.end())
            | u32::from(last.window ^ header.window);
        // KERNEL: tcp_in_window(), 6.18: a byte; the 256th repetition is none again.
        self.retrans = if differs == 0 { self.retrans.wrapping_add(1) } else { 0 };
        (last.reply, last.seq, last.ack, last.end, last.window) = this;
    }

    /// A FIN or RST outside the window is remembered: the next one of the other side counts more.
    #[doc(alias = "nf_tcp_handle_invalid")]
    fn note_invalid(
        &mut self,
        kind: Kind,
        reply: bool,
        known: Known,
        settings: &TcpSettings,
    ) -> TcpOutcome {
        let ends = |kind| matches!(kind, Kind::Fin | Kind::Rst);
        if !known.assured || !ends(kind) {
            return TcpOutcome::Invalid;
        }
        if self.last.reply != reply && ends(self.last.kind) {
            return TcpOutcome::Shorten { most_secs: settings.unacknowledged_secs };
        }
        self.last.kind = kind;
        self.last.reply = reply;
        TcpOutcome::Invalid
    }

    #[inline(always)]
    fn outcome(
        &self,
        (old, new): (TcpState, TcpState),
        kind: Kind,
        known: Known,
        settings: &TcpSettings,
    ) -> TcpOutcome {
        let by_state = settings.timeouts_secs[new as usize];
        let unacknowledged = self.any(Marks::UNACKNOWLEDGED);
        let long = by_state > settings.retrans_secs;
        // From the last word to the first, without branches: which it is nobody can foresee.
        let mut timeout_secs = by_state;
        let mut limit =
            |applies: bool, secs| timeout_secs = if applies { secs } else { timeout_secs };
        limit(self.last.window == 0 && long, settings.retrans_secs);
        limit(
            unacknowledged && by_state > settings.unacknowledged_secs,
            settings.unacknowledged_secs,
        );
        limit(kind == Kind::Rst, settings.timeouts_secs[TcpState::Close as usize]);
        limit(self.retrans >= settings.max_retrans && long, settings.retrans_secs);
        if !known.seen_reply {
            if kind == Kind::Rst {
                return TcpOutcome::Kill;
            }
            if kind == Kind::Syn && old == TcpState::SynSent {
                return TcpOutcome::Ignore;
            }
            if new == TcpState::Established {
                timeout_secs = timeout_secs.min(settings.unacknowledged_secs);
            }
        }
        let assured = known.seen_reply
            && !known.assured
            && matches!(old, TcpState::SynRecv | TcpState::Established)
            && new == TcpState::Established;
        TcpOutcome::Accept { timeout_secs, assured }
    }
}

#[cfg(test)]
mod tests;
