// SPDX-License-Identifier: GPL-2.0-only
//! A capture from its first packet to its last, through a router.
//!
//! Time is the capture's own, made monotonous; or it stands still, as when a recording was made
//! by forwarding the packets as fast as possible.

use nfexp_model::event::Event;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_traces::capture::Frame;
use nfexp_traces::defrag::Defrag;
use nfexp_traces::packet::{Datagram, Skip, datagram};

use crate::forward::Router;

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As captured, so many seconds beyond the last packet.
    Captured {
        /// Seconds after the last packet.
        tail_secs: u64,
    },
    /// Not at all.
    Frozen,
}

/// Something that happened while a capture was replayed.
#[derive(Debug)]
pub struct Happening<'a> {
    /// The packet, from 1; between packets, the one before.
    pub packet: u64,
    /// Whether it happened between packets.
    pub between: bool,
    /// Nanoseconds since the first packet.
    pub since_ns: i64,
    /// What was told.
    pub events: &'a [Event],
}

/// What became of all packets.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Packets in the capture.
    pub packets: u64,
    /// Those without IP.
    pub not_ip: u64,
    /// Those the capture does not hold whole.
    pub cut: u64,
    /// The largest silence, in nanoseconds.
    pub largest_gap_ns: i64,
    /// One letter per packet, as recordings have them.
    pub letters: String,
}

/// Replays captures; events go to `tell`, after each packet that had any.
#[derive(Debug)]
pub struct Replay {
    /// The router, which keeps its table.
    pub router: Router,
    pace: Pace,
    defrag: Defrag,
    events: Vec<Event>,
    totals: Totals,
    start: Option<(i64, Jiffies)>,
    /// The furthest the capture's clock has been.
    latest_ns: i64,
    keep_letters: bool,
}

impl Replay {
    /// A replay through `router`.
    #[must_use]
    pub fn new(router: Router, pace: Pace, keep_letters: bool) -> Self {
        Self {
            router,
            pace,
            defrag: Defrag::default(),
            events: Vec::new(),
            totals: Totals::default(),
            start: None,
            latest_ns: 0,
            keep_letters,
        }
    }

    /// What became of all packets so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Plays one frame.
    pub fn packet(
        &mut self,
        frame: &Frame<'_>,
        tell: &mut impl FnMut(&mut Router, &Happening<'_>),
    ) {
        self.totals.packets += 1;
        let letter = match datagram(frame.link, frame.bytes) {
            Err(skip) => {
                match skip {
                    Skip::NotIp => self.totals.not_ip += 1,
                    Skip::Cut | Skip::Malformed => self.totals.cut += 1,
                }
                '.'
            }
            Ok(datagram) => {
                self.pass_time(frame.time_ns, tell);
                self.datagram(frame.time_ns, &datagram)
            }
        };
        if self.keep_letters {
            self.totals.letters.push(letter);
        }
        self.tell(self.totals.packets, false, tell);
    }

    fn datagram(&mut self, time_ns: i64, datagram: &Datagram<'_>) -> char {
        let Some(fragment) = datagram.fragment else {
            return self.router.forward(datagram).letter();
        };
        match self.defrag.take(time_ns, datagram, fragment) {
            None => 'f',
            Some(whole) => self.router.forward(&whole).letter(),
        }
    }

    /// Lets the timers fire that are due before this packet, each batch at its own moment.
    fn pass_time(&mut self, time_ns: i64, tell: &mut impl FnMut(&mut Router, &Happening<'_>)) {
        let (start_ns, start) = *self.start.get_or_insert_with(|| (time_ns, self.router.now()));
        let since = time_ns.saturating_sub(start_ns);
        self.totals.largest_gap_ns = self.totals.largest_gap_ns.max(since - self.latest_ns);
        self.latest_ns = self.latest_ns.max(since);
        if self.pace != Pace::Frozen {
            self.pass_until(start.after(self.ticks(self.latest_ns)), tell);
        }
    }

    fn pass_until(&mut self, until: Jiffies, tell: &mut impl FnMut(&mut Router, &Happening<'_>)) {
        let before = self.totals.packets.saturating_sub(1);
        while let Some(due) = self.router.next_expiry().filter(|due| !due.time_after(until)) {
            self.router.advance(due);
            self.tell(before, true, tell);
        }
        self.router.advance(until);
        self.tell(before, true, tell);
    }

    fn ticks(&self, nanoseconds: i64) -> Ticks {
        let hz = i128::from(self.router.engine().config().hz);
        let ticks = i128::from(nanoseconds) * hz / 1_000_000_000;
        Ticks(u64::try_from(ticks).unwrap_or(0))
    }

    /// The time after the last packet.
    pub fn finish(&mut self, mut tell: impl FnMut(&mut Router, &Happening<'_>)) {
        if let (Pace::Captured { tail_secs }, Some((_, start))) = (self.pace, self.start) {
            let tail_ns =
                i64::try_from(tail_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
            self.latest_ns = self.latest_ns.saturating_add(tail_ns);
            // Past the last packet: what happens now comes after it.
            self.totals.packets += 1;
            self.pass_until(start.after(self.ticks(self.latest_ns)), &mut tell);
            self.totals.packets -= 1;
        }
    }

    fn tell(
        &mut self,
        packet: u64,
        between: bool,
        tell: &mut impl FnMut(&mut Router, &Happening<'_>),
    ) {
        self.events.clear();
        while let Some(event) = self.router.poll_event() {
            self.events.push(event);
        }
        if self.events.is_empty() {
            return;
        }
        let since_ns = match (between, self.start) {
            (true, Some((_, start))) => {
                let hz = i128::from(self.router.engine().config().hz);
                let ticks = i128::from(self.router.now().ticks_from(start));
                i64::try_from(ticks * 1_000_000_000 / hz).unwrap_or(i64::MAX)
            }
            _ => self.latest_ns,
        };
        let happening = Happening { packet, between, since_ns, events: &self.events };
        tell(&mut self.router, &happening);
    }
}
