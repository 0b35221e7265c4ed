// SPDX-License-Identifier: GPL-2.0-only
//! A capture from its first packet to its last, through a router.
//!
//! Time is the capture's own, made monotonous; or it stands still, as when a recording was made
//! by forwarding the packets as fast as possible.

use nfexp_model::event::Event;
use nfexp_model::expectation::ExpectId;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::tuple::Proto;
use nfexp_traces::capture::{Capture, CaptureError, Frame};
use nfexp_traces::defrag::Defrag;
use nfexp_traces::packet::{Datagram, Fragment, Skip, datagram, plain_datagram};

use crate::forward::{Fate, Router, ahead};

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As captured, so many milliseconds beyond the last packet.
    Captured {
        /// Milliseconds after the last packet.
        tail_ms: u64,
        /// How many times as fast as captured, in thousandths; 0 is as fast as possible.
        speed: u64,
    },
    /// Not at all.
    Frozen,
}

impl Pace {
    /// As captured.
    pub const CAPTURED: Self = Self::Captured { tail_ms: 0, speed: 1000 };

    /// With so many milliseconds after the last packet.
    #[must_use]
    pub const fn with_tail(self, tail_ms: u64) -> Self {
        Self::Captured { tail_ms, speed: self.speed() }
    }

    /// Whether time passes between packets.
    #[must_use]
    pub const fn keeps_real_time(self) -> bool {
        self.speed() > 0
    }

    /// So many thousandths as fast as captured.
    #[must_use]
    pub const fn with_speed(self, speed: u64) -> Self {
        let tail_ms = match self {
            Self::Captured { tail_ms, .. } => tail_ms,
            Self::Frozen => 0,
        };
        Self::Captured { tail_ms, speed }
    }

    const fn speed(self) -> u64 {
        match self {
            Self::Captured { speed, .. } => speed,
            Self::Frozen => 0,
        }
    }

    /// The speed by which a span is measured: without one, as captured.
    const fn measure(self) -> u64 {
        match self.speed() {
            0 => 1000,
            speed => speed,
        }
    }

    /// How fast jiffies pass.
    fn rate(self, hz: u32) -> Rate {
        let ticks = u128::from(hz) * 1000;
        let ns = u128::from(self.measure()) * 1_000_000_000;
        let (mut rest, mut common) = (ticks, ns);
        while rest != 0 {
            (rest, common) = (common % rest, rest);
        }
        let narrow = |number: u128| u64::try_from(number / common).unwrap_or(u64::MAX);
        Rate { ticks: narrow(ticks), ns: narrow(ns) }
    }
}

/// So many jiffies pass in so many nanoseconds of the capture, in lowest terms: nearly always
/// one, so that a month's capture needs no wide division for each packet.
#[derive(Clone, Copy, Debug)]
struct Rate {
    ticks: u64,
    ns: u64,
}

impl Rate {
    fn ticks(self, nanoseconds: i64) -> Ticks {
        let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
        Ticks(match nanoseconds.checked_mul(self.ticks) {
            Some(scaled) => scaled / self.ns,
            None => {
                let scaled = u128::from(nanoseconds) * u128::from(self.ticks);
                u64::try_from(scaled / u128::from(self.ns)).unwrap_or(u64::MAX)
            }
        })
    }

    /// The first nanosecond of which [`ticks`](Self::ticks) says this, or one before; the past if
    /// the number is too large to tell.
    fn begin_of(self, ticks: Ticks) -> i64 {
        let begin = ticks.0.checked_mul(self.ns).map(|scaled| match self.ticks {
            1 => scaled,
            ticks => scaled / ticks,
        });
        begin.and_then(|begin| i64::try_from(begin).ok()).unwrap_or(i64::MIN)
    }
}

/// Which packets of a capture are played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These protocols and ports, or all if there are none.
    pub only: Vec<(Proto, Option<u16>)>,
    /// Up to this many nanoseconds after the first packet played.
    pub until_ns: Option<i64>,
}

impl Selection {
    /// Reads `udp/137,tcp`.
    ///
    /// # Errors
    /// What was expected.
    pub fn only_parse(&mut self, text: &str) -> Result<(), String> {
        for item in text.split(',') {
            let expected =
                || format!("expected a protocol and a port, as in `udp/137`, found `{item}`");
            let (proto, port) = item.split_once('/').unwrap_or((item, ""));
            let proto = Proto::parse(proto).ok_or_else(expected)?;
            let port = match port {
                "" => None,
                port => Some(port.parse().map_err(|_| expected())?),
            };
            self.only.push((proto, port));
        }
        Ok(())
    }

    /// Whether every packet is played.
    #[inline]
    fn is_all(&self) -> bool {
        self.only.is_empty() && self.until_ns.is_none()
    }

    /// Whether a datagram is played; a later fragment has no ports.
    fn wants(&self, datagram: &Datagram<'_>) -> bool {
        let port = |at: usize| match datagram.body.get(at..at + 2) {
            Some(&[high, low]) if datagram.fragment.is_none_or(|part| part.offset == 0) => {
                u16::from_be_bytes([high, low])
            }
            _ => 0,
        };
        let ports = match datagram.proto {
            Proto::TCP if datagram.body.len() >= 20 => [port(0), port(2)],
            Proto::UDP | Proto::UDPLITE if datagram.body.len() >= 8 => [port(0), port(2)],
            _ => [0, 0],
        };
        self.only.is_empty()
            || self.only.iter().any(|(proto, port)| {
                *proto == datagram.proto && port.is_none_or(|port| ports.contains(&port))
            })
    }
}

/// The largest number of a datagram that a header of IPv4 can hold.
const LARGEST_ID: u32 = 0xffff;

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
    /// Expectations that were given another time or other flags, which nothing tells.
    pub retimed: &'a [ExpectId],
    /// What became of the packet; nothing between packets.
    pub letter: char,
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
    /// Those that were not asked for.
    pub filtered: u64,
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
    rate: Rate,
    defrag: Defrag,
    /// The number last given to a fragment without one.
    numbered: u32,
    events: Vec<Event>,
    totals: Totals,
    start: Option<(i64, Jiffies)>,
    /// The furthest the capture's clock has been.
    latest_ns: i64,
    /// Before this the jiffy does not change.
    tick_ends_ns: i64,
    keep_letters: bool,
    selection: Selection,
    over: bool,
}

impl Replay {
    /// A replay through `router`.
    #[must_use]
    pub fn new(router: Router, pace: Pace, selection: Selection, keep_letters: bool) -> Self {
        let rate = pace.rate(router.engine().config().hz);
        Self {
            router,
            pace,
            rate,
            defrag: Defrag::default(),
            numbered: LARGEST_ID,
            events: Vec::new(),
            totals: Totals::default(),
            start: None,
            latest_ns: 0,
            tick_ends_ns: i64::MIN,
            keep_letters,
            selection,
            over: false,
        }
    }

    /// What became of all packets so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How far the capture's clock has come, in nanoseconds since the first packet.
    #[must_use]
    pub const fn since_ns(&self) -> i64 {
        self.latest_ns
    }

    /// Plays what is left of a capture, or so many packets of it; answers whether there may be more.
    /// The same as [`packet`](Self::packet) with one frame after the other, but it looks ahead.
    ///
    /// # Errors
    /// As [`Capture::next_packet`].
    pub fn play(
        &mut self,
        capture: &mut Capture,
        most: u64,
        tell: &mut impl FnMut(&mut Router, &Happening<'_>),
    ) -> Result<bool, CaptureError> {
        for number in 0..most {
            if number % ahead::BATCH as u64 == 0 && self.selection.is_all() {
                self.router.look_ahead(capture.coming());
            }
            let Some(frame) = capture.next_packet()? else { return Ok(false) };
            self.packet(&frame, tell);
        }
        Ok(true)
    }

    /// Plays one frame.
    #[inline]
    pub fn packet(
        &mut self,
        frame: &Frame<'_>,
        tell: &mut impl FnMut(&mut Router, &Happening<'_>),
    ) {
        if self.over {
            return;
        }
        self.totals.packets += 1;
        if self.selection.is_all()
            && let Some(datagram) = plain_datagram(frame.link, frame.bytes)
        {
            self.pass_time(frame.time_ns, tell);
            let (letter, may_tell) = match self.router.forward_plain(&datagram) {
                Some((fate, may_tell)) => (fate.letter(), may_tell),
                None => {
                    // A copy, so that the others need not be in memory.
                    let copy = datagram;
                    let taken = self.router.takes_in(&copy);
                    let fate = taken.then(|| self.router.forward(&copy));
                    (self.letter(fate, &copy), true)
                }
            };
            if self.keep_letters {
                self.totals.letters.push(letter);
            }
            if may_tell {
                self.tell((self.totals.packets, false, letter), tell);
            }
            return;
        }
        self.any_packet(frame, tell);
    }

    /// Plays any frame.
    fn any_packet(
        &mut self,
        frame: &Frame<'_>,
        tell: &mut impl FnMut(&mut Router, &Happening<'_>),
    ) {
        // Looked at where it lies: it is large to be moved for every packet.
        let letter = match &datagram(frame.link, frame.bytes) {
            Err(Skip::NotIp) => {
                self.totals.not_ip += 1;
                '.'
            }
            Err(Skip::Cut | Skip::Malformed) => {
                self.totals.cut += 1;
                '.'
            }
            Ok(datagram) if !self.selection.wants(datagram) => {
                self.totals.filtered += 1;
                '.'
            }
            Ok(_) if self.is_late(frame.time_ns) => {
                self.over = true;
                self.totals.packets -= 1;
                return;
            }
            Ok(datagram) => {
                self.pass_time(frame.time_ns, tell);
                self.datagram(datagram)
            }
        };
        if self.keep_letters {
            self.totals.letters.push(letter);
        }
        self.tell((self.totals.packets, false, letter), tell);
    }

    fn is_late(&self, time_ns: i64) -> bool {
        let Some(until) = self.selection.until_ns else { return false };
        self.since(time_ns).is_some_and(|since| since > until)
    }

    fn datagram(&mut self, datagram: &Datagram<'_>) -> char {
        let fate = match datagram.fragment {
            _ if !self.router.takes_in(datagram) => None,
            None => Some(self.router.forward(datagram)),
            Some(fragment) => {
                let fragment = self.sent_as(datagram, fragment);
                let whole = self.defrag.take(self.waited_ns(), datagram, fragment);
                whole.map(|whole| self.router.forward(&whole))
            }
        };
        self.letter(fate, datagram)
    }

    /// A fragment as it leaves, if this host sends it: one without a number is given a number of its
    /// own, unless it must not be split, and so never meets another.
    ///
    /// # Source
    /// `raw_send_hdrinc()`, `ip_select_ident()`, 6.18.
    fn sent_as(&mut self, datagram: &Datagram<'_>, fragment: Fragment) -> Fragment {
        if fragment.id != 0 || !fragment.may_split || !self.router.is_from_here(datagram) {
            return fragment;
        }
        // DEVIATION: the kernel's is random, and may be that of another; this is none of IPv4.
        self.numbered = self.numbered.checked_add(1).unwrap_or(LARGEST_ID + 1);
        Fragment { id: self.numbered, ..fragment }
    }

    /// The letter of a datagram; without a fate it was not let in, or waits for its other parts.
    fn letter(&self, fate: Option<Fate>, datagram: &Datagram<'_>) -> char {
        match fate.map(Fate::letter) {
            // What is marked as a fragment and does not come out again counts as held.
            None if self.router.is_from_here(datagram) => 'o',
            None | Some('-') if self.router.is_host() => 'l',
            None | Some('-') if datagram.marked => 'f',
            None => '-',
            Some(letter) => letter,
        }
    }

    /// How long fragments have waited: their patience is measured by the clock of the replay, as
    /// timers are, which stands still where time does not pass.
    fn waited_ns(&self) -> i64 {
        match self.pace.speed() {
            0 => 0,
            1000 => self.latest_ns,
            speed => {
                let waited = i128::from(self.latest_ns) * 1000 / i128::from(speed);
                i64::try_from(waited).unwrap_or(i64::MAX)
            }
        }
    }

    /// Lets the timers fire that are due before this packet, each batch at its own moment.
    #[inline(always)]
    fn pass_time(&mut self, time_ns: i64, tell: &mut impl FnMut(&mut Router, &Happening<'_>)) {
        // Mostly it is still the same jiffy, and there were longer silences.
        if let Some((start_ns, _)) = self.start
            && let Some(since) = time_ns.checked_sub(start_ns)
            && (self.latest_ns..self.tick_ends_ns).contains(&since)
            && since - self.latest_ns <= self.totals.largest_gap_ns
        {
            self.latest_ns = since;
            return;
        }
        self.pass_any_time(time_ns, tell);
    }

    #[inline(never)]
    fn pass_any_time(&mut self, time_ns: i64, tell: &mut impl FnMut(&mut Router, &Happening<'_>)) {
        let (start_ns, start) = *self.start.get_or_insert_with(|| (time_ns, self.router.now()));
        let since = time_ns.saturating_sub(start_ns);
        self.totals.largest_gap_ns = self.totals.largest_gap_ns.max(since - self.latest_ns);
        self.latest_ns = self.latest_ns.max(since);
        if !self.pace.keeps_real_time() {
            self.tick_ends_ns = i64::MAX;
        } else if self.latest_ns >= self.tick_ends_ns {
            let ticks = self.rate.ticks(self.latest_ns);
            self.tick_ends_ns = self.rate.begin_of(Ticks(ticks.0.saturating_add(1)));
            self.pass_until(start.after(ticks), tell);
        }
    }

    #[inline]
    fn pass_until(&mut self, until: Jiffies, tell: &mut impl FnMut(&mut Router, &Happening<'_>)) {
        if !self.router.advance_quietly(until) {
            self.fire_until(until, tell);
        }
    }

    #[inline(never)]
    fn fire_until(&mut self, until: Jiffies, tell: &mut impl FnMut(&mut Router, &Happening<'_>)) {
        let before = self.totals.packets.saturating_sub(1);
        while let Some(due) = self.router.next_expiry_by(until) {
            self.router.advance(due);
            self.tell((before, true, '.'), tell);
        }
        // Nothing fires any more: the clock comes along.
        self.router.advance(until);
    }

    /// How long after the first packet a time stamp is; `None` before that one.
    #[must_use]
    pub fn since(&self, time_ns: i64) -> Option<i64> {
        self.start.map(|(start_ns, _)| time_ns.saturating_sub(start_ns))
    }

    /// Lets time pass until so long after the first packet; not at all if it does not pass.
    pub fn wait_until(&mut self, since_ns: i64, mut tell: impl FnMut(&mut Router, &Happening<'_>)) {
        let Some((_, start)) = self.start.filter(|_| self.pace.speed() > 0) else { return };
        self.latest_ns = self.latest_ns.max(since_ns);
        // What happens now comes after the last packet.
        self.totals.packets += 1;
        self.pass_until(start.after(self.rate.ticks(self.latest_ns)), &mut tell);
        self.totals.packets -= 1;
    }

    /// The time after the last packet.
    pub fn finish(&mut self, tell: impl FnMut(&mut Router, &Happening<'_>)) {
        if let Pace::Captured { tail_ms, speed } = self.pace {
            if speed == 0 {
                // No time has passed so far.
                self.latest_ns = 0;
            }
            self.go_on(tail_ms, tell);
        }
    }

    /// So many milliseconds more, of real time, after the last packet; none if time does not pass.
    pub fn go_on(&mut self, ms: u64, mut tell: impl FnMut(&mut Router, &Happening<'_>)) {
        let (Pace::Captured { .. }, Some((_, start))) = (self.pace, self.start) else { return };
        let more_ns = u128::from(ms) * 1000 * u128::from(self.pace.measure());
        let more_ns = i64::try_from(more_ns).unwrap_or(i64::MAX);
        self.latest_ns = self.latest_ns.saturating_add(more_ns);
        // Past the last packet: what happens now comes after it.
        self.totals.packets += 1;
        self.pass_until(start.after(self.rate.ticks(self.latest_ns)), &mut tell);
        self.totals.packets -= 1;
    }

    fn tell(
        &mut self,
        (packet, between, letter): (u64, bool, char),
        tell: &mut impl FnMut(&mut Router, &Happening<'_>),
    ) {
        self.events.clear();
        while let Some(event) = self.router.poll_event() {
            self.events.push(event);
        }
        let retimed = self.router.take_retimed();
        if self.events.is_empty() && retimed.is_empty() && letter != '-' {
            return;
        }
        let since_ns = match (between, self.start) {
            (true, Some((_, start))) => {
                let hz = i128::from(self.router.engine().config().hz);
                let ticks = i128::from(self.router.now().ticks_from(start));
                let since = ticks * 1_000_000 * i128::from(self.pace.measure()) / hz;
                i64::try_from(since).unwrap_or(i64::MAX)
            }
            _ => self.latest_ns,
        };
        let events = &self.events;
        let happening = Happening { packet, between, since_ns, events, retimed: &retimed, letter };
        tell(&mut self.router, &happening);
    }
}

#[cfg(test)]
mod tests {
    use nfexp_model::event::ConnEventKind;
    use nfexp_model::revision::Revision;

    use super::*;
    use crate::settings::Settings;

    /// What becomes of two fragments of one datagram that lie 45 s apart: IPv4 waits 30.
    fn letters(pace: Pace) -> String {
        let settings = Settings::of(Revision::LINUX_6_18, None, None);
        let router = Router::new(settings).expect("memory");
        let mut replay = Replay::new(router, pace, Selection::default(), true);
        let udp = [0x9c, 0x40, 0, 9, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        for (number, place, body) in [(1_u64, [0x20, 0], &udp[..8]), (2, [0, 1], &udp[8..])] {
            let head = [0x45, 0, 0, 28, 0, 7, place[0], place[1], 64, 17, 0, 0];
            let bytes = [&head[..], &[10, 0, 0, 1], &[10, 0, 1, 1], body].concat();
            let time_ns = number as i64 * 45_000_000_000;
            let original_len = bytes.len() as u32;
            let frame = Frame { number, time_ns, link: 101, bytes: &bytes, original_len };
            replay.packet(&frame, &mut |_, _| {});
        }
        replay.totals().letters.clone()
    }

    /// `raw_send_hdrinc()`: what this host sends without a number.
    #[test]
    fn fragments_of_this_host_without_a_number_never_meet() {
        for (id, flags, from, begun) in
            [(0, 0, 1, 0), (0, 0x40, 1, 1), (1, 0, 1, 1), (0, 0, 9, 1), (0, 0x40, 9, 1)]
        {
            let mut replay = replay("local=10.0.0.1/24", Pace::Frozen);
            let udp = [0x9c, 0x40, 0, 9, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            for (number, place, body) in [(1, [0x20, 0], &udp[..8]), (2, [0, 1], &udp[8..])] {
                let head = [0x45, 0, 0, 28, 0, id, place[0] | flags, place[1], 64, 17, 0, 0];
                let bytes =
                    [&head[..], &[10, 0, 0, from], &[10, 0, 0, 1 + from % 9], body].concat();
                let (time_ns, original_len) = (0, bytes.len() as u32);
                let frame = Frame { number, time_ns, link: 101, bytes: &bytes, original_len };
                replay.packet(&frame, &mut |_, _| {});
            }
            let conns = replay.router.engine().conns_of(nfexp_model::netns::NetId::INIT).len();
            assert_eq!(conns, begun, "{id} {flags:#x} from {from}");
        }
    }

    /// A replay with these options.
    fn replay(options: &str, mut pace: Pace) -> Replay {
        let mut settings = Settings::of(Revision::LINUX_6_18, None, None);
        settings.apply(options, &mut pace).expect("options");
        let selection = settings.selection.clone();
        Replay::new(Router::new(settings).expect("memory"), pace, selection, true)
    }

    /// UDP from and to these ports, with this in it, at so many seconds; how many connections begin.
    fn datagrams(replay: &mut Replay, ports: [u16; 2], text: &str, seconds: &[i64]) -> usize {
        let [[a, b], [c, d]] = ports.map(u16::to_be_bytes);
        let length = 8 + text.len() as u8;
        let mut begun = 0;
        for (number, second) in (1..).zip(seconds) {
            let head =
                [0x45, 0, 0, 20 + length, 0, 7, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 1, 1];
            let bytes = [&head[..], &[a, b, c, d, 0, length, 0, 0], text.as_bytes()].concat();
            let (time_ns, original_len) = (second * 1_000_000_000, bytes.len() as u32);
            let frame = Frame { number, time_ns, link: 101, bytes: &bytes, original_len };
            replay.packet(&frame, &mut |_, happening| {
                let begins = |event: &&Event| {
                    matches!(event, Event::Conn(conn) if conn.kind == ConnEventKind::New)
                };
                begun += happening.events.iter().filter(begins).count();
            });
        }
        begun
    }

    /// A connection in which anything is said to SIP lives an hour, whatever those of UDP do.
    #[test]
    fn a_message_of_sip_keeps_its_connection() {
        for (text, begun) in [("OPTIONS sip:x SIP/2.0\r\n\r\n", 1), ("", 2)] {
            let mut replay = replay("", Pace::CAPTURED);
            assert_eq!(datagrams(&mut replay, [5060; 2], text, &[0, 3000]), begun, "{text:?}");
        }
    }

    #[test]
    fn a_port_that_is_asked_for_is_of_one_protocol() {
        for (only, played) in
            [("udp/9", 1), ("udp", 1), ("udp/40000", 1), ("tcp/9", 0), ("tcp", 0), ("udp/10", 0)]
        {
            let mut replay = replay(&format!("only={only}"), Pace::CAPTURED);
            datagrams(&mut replay, [40000, 9], "", &[0]);
            assert_eq!(1 - replay.totals().filtered, played, "{only}");
        }
    }

    #[test]
    fn what_comes_later_than_was_asked_for_is_not_played() {
        let mut replay = replay("until=2.5", Pace::CAPTURED);
        assert_eq!(replay.selection.until_ns, Some(2_500_000_000));
        datagrams(&mut replay, [40000, 9], "", &[0, 2, 3]);
        assert_eq!(replay.totals().letters, "NN");
    }

    /// Where no time passes between packets, the time behind them begins with the first.
    #[test]
    fn a_tail_is_as_long_as_it_says() {
        for (tail, ends) in [(25_000, 0), (29_500, 0), (32_500, 1), (40_000, 1)] {
            let mut replay = replay("", Pace::CAPTURED.with_speed(0).with_tail(tail));
            datagrams(&mut replay, [40000, 9], "", &[0, 45]);
            let mut ended = 0;
            replay.finish(|_, happening| ended += happening.events.len());
            assert_eq!(ended, ends, "UDP waits half a minute, or two seconds more, of {tail} ms");
        }
    }

    #[test]
    fn fragments_wait_by_the_clock_of_the_replay() {
        assert_eq!(letters(Pace::Frozen), "fN", "no time passes");
        assert_eq!(letters(Pace::CAPTURED), "ff");
        assert_eq!(letters(Pace::CAPTURED.with_speed(2000)), "fN", "22.5 s");
    }
}
