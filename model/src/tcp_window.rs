// SPDX-License-Identifier: GPL-2.0-only
//! What each side of a TCP connection may send and acknowledge.
//!
//! ```text
//!   sender    ····· td_end ───────── td_maxend     the last byte sent, and the last one allowed
//!   receiver  ····· td_maxack                      the furthest it has acknowledged
//! ```
//!
//! A packet is judged by four bounds: its first byte must not lie behind what the other side
//! allows, its last not before what the other side must have, its acknowledgement not behind what
//! was sent, nor too far before it. Windows grow with what is seen; they never shrink.
//!
//! The rule that matters: what breaks an upper bound is invalid, what breaks a lower one is old:
//! it passes, and teaches nothing.
//!
//! # Source
//! Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter"; RFC 7323, RFC 2018;
//! `tcp_in_window()`, `tcp_init_sender()`, `tcp_options()`, `tcp_sack()` of
//! `nf_conntrack_proto_tcp.c`, 6.18.

use crate::tcp_state::{ACK, FIN, RST, SYN};

/// A TCP header, as far as it is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpHeader<'a> {
    /// The flag byte.
    pub flags: u8,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement.
    pub ack: u32,
    /// Window, not scaled.
    pub window: u16,
    /// Options, as they stand.
    pub options: &'a [u8],
    /// How many bytes follow.
    pub payload_len: u32,
}

impl TcpHeader<'_> {
    /// Whether all these flags are set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The sequence number behind the packet.
    #[doc(alias = "segment_seq_plus_len")]
    #[must_use]
    pub const fn end(&self) -> u32 {
        let marks = self.has(SYN) as u32 + self.has(FIN) as u32;
        self.seq.wrapping_add(self.payload_len).wrapping_add(marks)
    }
}

/// What was seen of one side (`struct ip_ct_tcp_state`).
#[doc(alias = "ip_ct_tcp_state")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Behind the last byte it sent.
    pub td_end: u32,
    /// Behind the last byte it may send.
    pub td_maxend: u32,
    /// The largest window it offered.
    pub td_maxwin: u32,
    /// The furthest it has acknowledged.
    pub td_maxack: u32,
    /// By how many bits its windows are shifted.
    pub td_scale: u8,
    /// What it can do, and what is due from it.
    pub marks: Marks,
}

/// Marks of a side (`IP_CT_TCP_FLAG_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// It offered to scale windows.
    pub const WINDOW_SCALE: Self = Self(1);
    /// It takes selective acknowledgements.
    pub const SACK_PERMITTED: Self = Self(1 << 1);
    /// It began to close.
    pub const CLOSE_INIT: Self = Self(1 << 2);
    /// The connection was picked up on its way: bounds are not enforced.
    pub const BE_LIBERAL: Self = Self(1 << 3);
    /// What it sent is not acknowledged yet.
    pub const UNACKNOWLEDGED: Self = Self(1 << 4);
    /// `td_maxack` holds something.
    pub const MAXACK_SET: Self = Self(1 << 5);

    /// Whether there are all of these.
    #[inline]
    #[must_use]
    pub const fn has(self, marks: Self) -> bool {
        self.0 & marks.0 == marks.0
    }

    /// With these, too.
    #[inline]
    #[must_use]
    pub const fn with(self, marks: Self) -> Self {
        Self(self.0 | marks.0)
    }

    /// Without these.
    #[inline]
    #[must_use]
    pub const fn without(self, marks: Self) -> Self {
        Self(self.0 & !marks.0)
    }

    /// These, or none.
    #[inline]
    const fn if_so(self, so: bool) -> Self {
        Self(self.0 * so as u8)
    }

    /// Of these only those that are there.
    #[inline]
    #[must_use]
    pub const fn only(self, marks: Self) -> Self {
        Self(self.0 & marks.0)
    }
}

impl Side {
    fn mark(&mut self, marks: Marks) {
        self.marks = self.marks.with(marks);
    }
}

/// How a packet stands to the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Inside.
    Accept,
    /// Not measured, or outside where that is not minded: it counts, and teaches nothing.
    Lenient,
    /// Old, or a little too much: it passes.
    Ignore,
    /// Outside.
    Invalid,
}

/// The least by which an acknowledgement may lag.
const MAXACKWINCONST: u32 = 66_000;

const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

const fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

impl Side {
    /// The side that sends the first packet of a connection.
    #[must_use]
    pub fn first(header: &TcpHeader<'_>) -> Self {
        let window = u32::from(header.window).max(1);
        let end = header.end();
        let mut side = Self { td_end: end, td_maxend: end, td_maxwin: window, ..Self::default() };
        if header.has(SYN) {
            side.take_options(header.options);
        } else {
            side.td_maxend = end.wrapping_add(window);
        }
        side
    }

    /// Reads what a SYN offers.
    #[doc(alias = "tcp_options")]
    pub fn take_options(&mut self, options: &[u8]) {
        if options.is_empty() {
            return;
        }
        self.td_scale = 0;
        self.marks = self.marks.only(Marks::BE_LIBERAL);
        for (kind, value) in Options(options) {
            match (kind, value) {
                (4, []) => self.mark(Marks::SACK_PERMITTED),
                (3, [scale]) => {
                    self.td_scale = (*scale).min(14);
                    self.mark(Marks::WINDOW_SCALE);
                }
                _ => {}
            }
        }
    }

    const fn ack_window(&self) -> u32 {
        if self.td_maxwin > MAXACKWINCONST { self.td_maxwin } else { MAXACKWINCONST }
    }
}

/// Options one by one: kind and value, without padding; a broken one ends them.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.0 {
                [1, ref rest @ ..] => self.0 = rest,
                [kind, length, ..] if kind != 0 => {
                    let value = self.0.get(2..usize::from(length))?;
                    self.0 = &self.0[usize::from(length)..];
                    return Some((kind, value));
                }
                _ => return None,
            }
        }
    }
}

/// The furthest that a packet acknowledges, selectively or not.
#[doc(alias = "tcp_sack")]
#[inline]
fn sack(ack: u32, options: &[u8]) -> u32 {
    // Most segments have nothing but a time stamp.
    if options.len() < 10 || matches!(options, [1, 1, 8, 10, rest @ ..] if rest.len() == 8) {
        return ack;
    }
    sack_among(ack, options)
}

fn sack_among(ack: u32, options: &[u8]) -> u32 {
    let blocks = Options(options)
        .find(|(kind, value)| *kind == 5 && !value.is_empty() && value.len().is_multiple_of(8));
    let (words, _) = blocks.map_or(&[][..], |(_, value)| value).as_chunks::<4>();
    let ends = words.iter().skip(1).step_by(2).map(|word| u32::from_be_bytes(*word));
    ends.fold(ack, |furthest, end| if after(end, furthest) { end } else { furthest })
}

/// Judges a packet, and learns from one that is inside. `opening` says whether the connection is
/// still being opened, `syn_sent` whether only its SYN was seen, `reply` which way the packet goes.
#[doc(alias = "tcp_in_window")]
#[inline(always)]
pub fn judge(
    sender: &mut Side,
    receiver: &mut Side,
    header: &TcpHeader<'_>,
    (opening, syn_sent, reply, be_liberal): (bool, bool, bool, bool),
) -> Judged {
    let (mut seq, mut end) = (header.seq, header.end());
    let mut ack = header.ack;
    let mut sack =
        if receiver.marks.has(Marks::SACK_PERMITTED) { sack(ack, header.options) } else { ack };
    let window = u32::from(header.window);
    if sender.td_maxwin == 0 {
        // A copy, so that the header of all others need not be in memory.
        let copy = *header;
        init_sender(sender, receiver, &copy, sack, reply);
        if header.has(SYN) && !header.has(ACK) {
            return Judged::Lenient;
        }
    } else if header.has(SYN) && after(end, sender.td_end) && opening {
        // Opened anew with other numbers.
        init_sender(sender, receiver, header, sack, reply);
        if reply && !header.has(ACK) {
            return Judged::Lenient;
        }
    }
    if !header.has(ACK) || (header.has(ACK | RST) && ack == 0) {
        ack = receiver.td_end;
        sack = ack;
    }
    if header.has(RST) && seq == 0 && syn_sent {
        seq = sender.td_end;
        end = seq;
    }
    let judged = bounds((seq, end, sack), sender, receiver);
    if judged != Judged::Accept {
        let lenient = be_liberal || sender.marks.has(Marks::BE_LIBERAL);
        return if lenient { Judged::Lenient } else { judged };
    }
    let scaled = if header.has(SYN) { window } else { window << sender.td_scale };
    learn((end, ack, sack, scaled), header.has(ACK), sender, receiver);
    Judged::Accept
}

/// The first packet of a side.
#[doc(alias = "tcp_init_sender")]
#[inline(never)]
fn init_sender(
    sender: &mut Side,
    receiver: &mut Side,
    header: &TcpHeader<'_>,
    sack: u32,
    reply: bool,
) {
    let (end, window) = (header.end(), u32::from(header.window));
    if header.has(SYN) {
        (sender.td_end, sender.td_maxend, sender.td_maxwin) = (end, end, window.max(1));
        sender.take_options(header.options);
        // Windows are scaled if both sides offer to.
        let both = sender.marks.has(Marks::WINDOW_SCALE) && receiver.marks.has(Marks::WINDOW_SCALE);
        if reply && !both {
            (sender.td_scale, receiver.td_scale) = (0, 0);
        }
        return;
    }
    sender.td_end = end;
    sender.td_maxwin = (window << sender.td_scale).max(1);
    sender.td_maxend = end.wrapping_add(sender.td_maxwin);
    if receiver.td_maxwin == 0 {
        (receiver.td_end, receiver.td_maxend) = (sack, sack);
    } else if sack == receiver.td_end.wrapping_add(1) {
        // Probably the answer to a keepalive.
        receiver.td_end = sack;
    }
}

#[inline(always)]
fn bounds((seq, end, sack): (u32, u32, u32), sender: &mut Side, receiver: &Side) -> Judged {
    let lower = sender.td_end.wrapping_sub(receiver.td_maxwin).wrapping_sub(1);
    let oldest = receiver.td_end.wrapping_sub(sender.ack_window()).wrapping_sub(1);
    let acks_what_was_sent = before(sack, receiver.td_end.wrapping_add(1));
    if !before(seq, sender.td_maxend.wrapping_add(1)) {
        let overshot = end.wrapping_sub(sender.td_maxend).wrapping_add(1);
        let a_little = receiver.td_maxwin != 0
            && after(end, lower)
            && after(sack, oldest)
            && overshot <= receiver.td_maxwin
            && acks_what_was_sent;
        if a_little {
            // It may be acknowledged all the same.
            sender.td_end = end;
            sender.mark(Marks::UNACKNOWLEDGED);
            return Judged::Ignore;
        }
        return Judged::Invalid;
    }
    if !acks_what_was_sent {
        return Judged::Invalid;
    }
    let known = receiver.td_maxwin != 0;
    if (known && !after(end, lower)) || !after(sack, oldest) {
        return Judged::Ignore;
    }
    Judged::Accept
}

#[inline(always)]
fn learn(
    (end, ack, sack, window): (u32, u32, u32, u32),
    acknowledges: bool,
    sender: &mut Side,
    receiver: &mut Side,
) {
    // Without branches: which of these a packet does nobody can foresee.
    sender.td_maxwin = sender.td_maxwin.max(window.wrapping_add(sack.wrapping_sub(ack)));
    let sends = after(end, sender.td_end);
    sender.td_end = if sends { end } else { sender.td_end };
    let further = !sender.marks.has(Marks::MAXACK_SET) | after(ack, sender.td_maxack);
    let acknowledges = acknowledges & further;
    sender.td_maxack = if acknowledges { ack } else { sender.td_maxack };
    let taught = Marks::UNACKNOWLEDGED.if_so(sends).with(Marks::MAXACK_SET.if_so(acknowledges));
    sender.mark(taught);
    let grown = end.wrapping_sub(sender.td_maxend);
    let grows = (receiver.td_maxwin != 0) & after(end, sender.td_maxend);
    receiver.td_maxwin = receiver.td_maxwin.wrapping_add(if grows { grown } else { 0 });
    let allowed = sack.wrapping_add(window);
    let allows = after(allowed, receiver.td_maxend.wrapping_sub(1));
    let allowed = allowed.wrapping_add(u32::from(window == 0));
    receiver.td_maxend = if allows { allowed } else { receiver.td_maxend };
    let all = Marks::UNACKNOWLEDGED.if_so(ack == receiver.td_end);
    receiver.marks = receiver.marks.without(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Side, Side) {
        let syn = TcpHeader { flags: SYN, seq: 1000, window: 5000, ..TcpHeader::default() };
        let mut client = Side::first(&syn);
        let mut server = Side::default();
        let flags = SYN | ACK;
        let answer = TcpHeader { flags, seq: 7000, ack: 1001, window: 4000, ..syn };
        let open = (true, true, true, false);
        assert_eq!(judge(&mut server, &mut client, &answer, open), Judged::Accept);
        (client, server)
    }

    #[test]
    fn data_inside_the_window_pass_and_data_beyond_it_do_not() {
        let (mut client, mut server) = pair();
        let data = |seq, payload_len| TcpHeader {
            flags: ACK,
            seq,
            ack: 7001,
            window: 5000,
            payload_len,
            ..TcpHeader::default()
        };
        let open = (false, false, false, false);
        let mut say = |header| judge(&mut client, &mut server, &header, open);
        assert_eq!(say(data(1001, 100)), Judged::Accept);
        assert_eq!(say(data(9000, 100)), Judged::Invalid, "beyond the window");
        assert_eq!(say(data(1101, 10)), Judged::Accept);
        let early = TcpHeader { ack: 9999, ..data(1111, 1) };
        assert_eq!(say(early), Judged::Invalid, "acknowledges what was never sent");
        let liberal = judge(&mut client, &mut server, &data(9000, 1), (false, false, false, true));
        assert_eq!(liberal, Judged::Lenient);
    }

    #[test]
    fn each_bound_lies_where_it_lies() {
        use Judged::{Accept, Ignore, Invalid};
        let marks = Marks::default();
        let sent =
            Side { td_end: 10_000, td_maxend: 15_000, td_maxwin: 3_000, marks, ..Side::default() };
        let taken = Side { td_end: 500_000, td_maxwin: 2_000, ..Side::default() };
        let (wide, far) = (Side { td_maxwin: 70_000, ..sent }, Side { td_end: 30_000, ..sent });
        let mute = Side { td_maxwin: 0, ..taken };
        for ((sender, receiver), bound, found) in [
            // The first byte, and a little beyond: which has bounds of its own.
            ((sent, taken), (15_000, 15_000, 500_000), Accept),
            ((sent, taken), (15_001, 15_001, 500_000), Ignore),
            ((sent, taken), (15_001, 16_999, 500_000), Ignore),
            ((sent, taken), (15_001, 17_000, 500_000), Invalid),
            ((sent, taken), (15_001, 15_001, 434_000), Ignore),
            ((sent, taken), (15_001, 15_001, 433_999), Invalid),
            ((sent, taken), (15_001, 15_001, 500_001), Invalid),
            ((far, taken), (15_001, 15_001, 500_000), Invalid),
            ((sent, mute), (15_001, 15_001, 500_000), Invalid),
            // The last byte.
            ((sent, taken), (8_000, 8_000, 500_000), Accept),
            ((sent, taken), (7_999, 7_999, 500_000), Ignore),
            ((sent, mute), (7_999, 7_999, 500_000), Accept),
            // What is acknowledged.
            ((sent, taken), (10_000, 10_000, 500_001), Invalid),
            ((sent, taken), (7_999, 7_999, 500_001), Invalid),
            ((sent, taken), (10_000, 10_000, 434_000), Accept),
            ((sent, taken), (10_000, 10_000, 433_999), Ignore),
            ((wide, taken), (10_000, 10_000, 430_000), Accept),
            ((wide, taken), (10_000, 10_000, 429_999), Ignore),
        ] {
            let mut after = sender;
            assert_eq!(bounds(bound, &mut after, &receiver), found, "{bound:?} {sender:?}");
            // Only what goes a little beyond teaches, though it is old.
            let learnt = found == Ignore && bound.0 > sender.td_maxend;
            let marks = Marks::UNACKNOWLEDGED.if_so(learnt);
            let td_end = if learnt { bound.1 } else { sender.td_end };
            assert_eq!(after, Side { td_end, marks, ..sender });
        }
    }

    #[test]
    fn a_packet_inside_teaches_each_thing_it_shows() {
        let sender = Side {
            td_end: 10_000,
            td_maxend: 15_000,
            td_maxwin: 3_000,
            td_maxack: 400_000,
            marks: Marks::MAXACK_SET,
            ..Side::default()
        };
        let receiver = Side {
            td_end: 500_000,
            td_maxend: 600_000,
            td_maxwin: 2_000,
            marks: Marks::UNACKNOWLEDGED,
            ..Side::default()
        };
        let (fresh, mute) =
            (Side { marks: Marks::default(), ..sender }, Side { td_maxwin: 0, ..receiver });
        let learns = |(mut sender, mut receiver), shown, acknowledges| {
            learn(shown, acknowledges, &mut sender, &mut receiver);
            (sender, receiver)
        };
        let unacknowledged = sender.marks.with(Marks::UNACKNOWLEDGED);
        let sends = |td_end| Side { td_end, marks: unacknowledged, ..sender };
        let both = (sender, receiver);
        let nothing = (10_000, 400_000, 400_000, 1);
        assert_eq!(learns(both, nothing, true), both);
        assert_eq!(learns(both, (10_001, 400_000, 400_000, 1), true), (sends(10_001), receiver));
        assert_eq!(learns(both, (15_000, 400_000, 400_000, 1), true), (sends(15_000), receiver));
        let wider = Side { td_maxwin: 2_001, ..receiver };
        assert_eq!(learns(both, (15_001, 400_000, 400_000, 1), true), (sends(15_001), wider));
        let shown = (15_001, 400_000, 400_000, 1);
        assert_eq!(learns((sender, mute), shown, true), (sends(15_001), mute));
        // The furthest acknowledgement.
        let acks = |td_maxack| (Side { td_maxack, ..sender }, receiver);
        assert_eq!(learns(both, (10_000, 400_001, 400_001, 1), true), acks(400_001));
        assert_eq!(learns(both, (10_000, 400_001, 400_001, 1), false), both);
        assert_eq!(learns(both, (10_000, 399_999, 399_999, 1), true), both);
        let first = learns((fresh, receiver), (10_000, 399_999, 399_999, 1), true);
        assert_eq!(first, acks(399_999));
        assert_eq!(learns((fresh, receiver), nothing, false), (fresh, receiver));
        // The window, and how far it lets the other side go.
        let larger = |td_maxwin| (Side { td_maxwin, ..sender }, receiver);
        assert_eq!(learns(both, (10_000, 400_000, 400_000, 3_001), true), larger(3_001));
        assert_eq!(learns(both, (10_000, 400_000, 400_020, 2_981), true), larger(3_001));
        let allows = |td_maxend| (sender, Side { td_maxend, ..receiver });
        assert_eq!(learns(both, (10_000, 400_000, 400_000, 0), true), both);
        for (sack, window, td_maxend) in
            [(599_998, 1, 600_000), (600_000, 1, 600_001), (600_000, 0, 600_001)]
        {
            let shown = (10_000, sack, sack, window);
            assert_eq!(learns(both, shown, false), allows(td_maxend), "{shown:?}");
        }
        // All that was sent is acknowledged.
        let all = learns(both, (10_000, 500_000, 500_000, 1), false);
        assert_eq!(all, (sender, Side { marks: Marks::default(), ..receiver }));
    }

    #[test]
    fn options_end_where_they_are_broken() {
        let mut side = Side::default();
        side.take_options(&[1, 4, 2, 3, 3, 20, 0]);
        assert!(side.marks.has(Marks::SACK_PERMITTED.with(Marks::WINDOW_SCALE)));
        assert_eq!(side.td_scale, 14);
        side.take_options(&[3, 1, 7]);
        assert_eq!(side, Side::default());
        assert_eq!(sack(5, &[5, 10, 0, 0, 0, 7, 0, 0, 0, 9]), 9);
        assert_eq!(sack(5, &[5, 9, 0, 0, 0, 7, 0, 0, 0]), 5);
        let blocks = [5, 18, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 4];
        let behind = |options: &[u8]| sack(5, &[options, &blocks].concat());
        assert_eq!(behind(&[]), 9);
        assert_eq!(behind(&[8, 10, 0, 0, 0, 99, 0, 0, 0, 99]), 9, "another option");
        assert_eq!(behind(&[5, 2]), 9, "no block");
        assert_eq!(behind(&[5, 10 + 4, 0, 0, 0, 99, 0, 0, 0, 99, 0, 0, 0, 99]), 9, "half a block");
    }
}
