// SPDX-License-Identifier: GPL-2.0-only
//! SCTP as connection tracking follows it: is a packet part of its association, and for how long?
//!
//! ```text
//!   chunks well formed? ─▶ does one begin an association? ─▶ tags ─▶ chunk by chunk: new state
//! ```
//!
//! *Tag*: what each side asks the other to put into every packet (the verification tag).
//!
//! The rule that matters: only what may come out of the blue begins an association: data do not,
//! so one that is seen from its middle on stays invalid until it sends a heartbeat.
//!
//! # Source
//! `nf_conntrack_sctp_packet()`, `sctp_new()`, `do_basic_checks()` of
//! `nf_conntrack_proto_sctp.c`, 6.18; RFC 9260, sections 8.4 and 8.5.

use crate::conntrack::Direction;

/// Where an association stands (`enum sctp_conntrack`).
#[doc(alias = "sctp_conntrack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Nothing was seen.
    #[default]
    None,
    Closed,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    HeartbeatSent,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpOutcome {
    /// It is part of the association, which lives so long from here, in seconds.
    Accept {
        /// The new timeout; none if it stays as it is.
        timeout_secs: Option<u32>,
        /// Whether the association was established just now.
        assured: bool,
    },
    /// It is not part of it.
    Invalid,
}

/// What is remembered of an association (`struct ip_ct_sctp`).
#[doc(alias = "ip_ct_sctp")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpTrack {
    state: State,
    /// What packets must be tagged with, by direction.
    tags: [u32; 2],
    /// Who has begun with INIT.
    init: [bool; 2],
    /// A heartbeat had another tag, and who sent it.
    other_tag: Option<bool>,
    was_established: bool,
}

/// One chunk: its type, its flags and what follows its head.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    kind: u8,
    flags: u8,
    length: u16,
    rest: &'a [u8],
}

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ACK: u8 = 5;
const ABORT: u8 = 6;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;

/// How long an association lives, by state, in seconds.
const TIMEOUTS_SECS: [u32; 9] = [0, 10, 3, 3, 210, 3, 3, 3, 30];

/// The next state, by direction, chunk and state; one letter each: `C`losed, cookie-`W`ait,
/// cookie-`E`choed, es`T`ablished, shutdown-`S`ent, shutdown-`R`eceived, shutdown-`A`ck-sent,
/// `H`eartbeat-sent, `-` invalid. Columns as in [`State`].
const NEXT: [[&[u8; 9]; 11]; 2] = [
    [
        b"CCWETCCAW", // INIT
        b"CCWETSRAC", // INIT ACK
        b"CCCCCCCCC", // ABORT
        b"CCWESSRAC", // SHUTDOWN
        b"ACWETAAAA", // SHUTDOWN ACK
        b"CCWETSRAC", // ERROR
        b"CCEETSRAC", // COOKIE ECHO
        b"CCWTTSRAC", // COOKIE ACK
        b"CCWETSRCC", // SHUTDOWN COMPLETE
        b"HCWETSRAH", // HEARTBEAT
        b"CCWETSRAH", // HEARTBEAT ACK
    ],
    [
        b"-CWETSRA-",
        b"-WWETSRA-",
        b"-CCCCCCC-",
        b"-CWERSRA-",
        b"-CWETAAA-",
        b"-CWCTSRA-",
        b"-CEETSRA-",
        b"-CWTTSRA-",
        b"-CWETSRC-",
        b"-CWETSRAH",
        b"-CWETSRAT",
    ],
];

impl State {
    /// Where a chunk leads; `None` if it cannot come here. Other chunks change nothing.
    #[doc(alias = "sctp_new_state")]
    fn next(self, reply: bool, kind: u8) -> Option<Self> {
        let row = match kind {
            INIT => 0,
            INIT_ACK => 1,
            ABORT => 2,
            7 => 3,
            SHUTDOWN_ACK => 4,
            9 => 5,
            COOKIE_ECHO => 6,
            COOKIE_ACK => 7,
            SHUTDOWN_COMPLETE => 8,
            HEARTBEAT => 9,
            HEARTBEAT_ACK => 10,
            _ => return Some(self),
        };
        Some(match NEXT[usize::from(reply)][row][self as usize] {
            b'C' => Self::Closed,
            b'W' => Self::CookieWait,
            b'E' => Self::CookieEchoed,
            b'T' => Self::Established,
            b'S' => Self::ShutdownSent,
            b'R' => Self::ShutdownReceived,
            b'A' => Self::ShutdownAckSent,
            b'H' => Self::HeartbeatSent,
            _ => return None,
        })
    }
}

/// Chunk by chunk, each with the padding that its length leaves out.
#[doc(alias = "for_each_sctp_chunk")]
fn chunks(body: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut left = body;
    std::iter::from_fn(move || {
        let &[kind, flags, high, low, ref rest @ ..] = left else { return None };
        let length = u16::from_be_bytes([high, low]);
        // One without length ends the walk: it was refused before.
        let step = (usize::from(length) + 3) & !3;
        left = if step == 0 { &[] } else { left.get(step..).unwrap_or_default() };
        Some(Chunk { kind, flags, length, rest })
    })
}

/// Which chunks there are; `None` if they do not go together.
#[doc(alias = "do_basic_checks")]
fn kinds(body: &[u8]) -> Option<[u64; 4]> {
    let (mut map, mut alone) = ([0; 4], false);
    for (count, chunk) in chunks(body).enumerate() {
        alone |= matches!(chunk.kind, INIT | INIT_ACK | SHUTDOWN_COMPLETE);
        let first = alone || matches!(chunk.kind, COOKIE_ACK | COOKIE_ECHO);
        if (first && count != 0) || chunk.length == 0 {
            return None;
        }
        map[usize::from(chunk.kind) / 64] |= 1 << (chunk.kind % 64);
    }
    (map != [0; 4]).then_some(map)
}

fn has(map: &[u64; 4], kinds: &[u8]) -> bool {
    kinds.iter().any(|kind| map[usize::from(*kind) / 64] >> (kind % 64) & 1 == 1)
}

/// The tag that INIT and INIT ACK ask for.
fn init_tag(chunk: &Chunk<'_>) -> Option<u32> {
    let head = chunk.rest.get(..16)?;
    Some(u32::from_be_bytes([head[0], head[1], head[2], head[3]]))
}

impl SctpTrack {
    /// The first packet of an association, with its tag and chunks; `None` if none begins so. It
    /// must then be shown to [`packet`](Self::packet) like any other.
    #[doc(alias = "sctp_new")]
    #[must_use]
    pub fn begin(tag: u32, body: &[u8]) -> Option<Self> {
        let map = kinds(body)?;
        if has(&map, &[ABORT, SHUTDOWN_COMPLETE, COOKIE_ACK]) {
            return None;
        }
        let mut track = Self::default();
        for chunk in chunks(body) {
            if State::None.next(false, chunk.kind).is_none_or(|state| state == State::None) {
                return None;
            }
            match chunk.kind {
                INIT => track.tags[1] = init_tag(&chunk)?,
                HEARTBEAT => track.tags[0] = tag,
                SHUTDOWN_ACK => track.tags[1] = tag,
                // KERNEL: sctp_new(), 6.18: no other chunk says what the answer is tagged with.
                _ => {}
            }
        }
        Some(track)
    }

    /// Whether it was established ever. So it may be since a packet that is invalid.
    ///
    /// # Source
    /// `nf_conntrack_sctp_packet()`, 6.18: each chunk has its effect, whatever is behind it.
    #[must_use]
    pub const fn was_established(&self) -> bool {
        self.was_established
    }

    /// Takes a packet in. `confirmed` says whether its connection is.
    #[doc(alias = "nf_conntrack_sctp_packet")]
    pub fn packet(
        &mut self,
        direction: Direction,
        tag: u32,
        body: &[u8],
        confirmed: bool,
    ) -> SctpOutcome {
        let reply = direction == Direction::Reply;
        self.take(reply, tag, body, confirmed).unwrap_or(SctpOutcome::Invalid)
    }

    fn take(&mut self, reply: bool, tag: u32, body: &[u8], confirmed: bool) -> Option<SctpOutcome> {
        let map = kinds(body)?;
        let own = usize::from(reply);
        let special =
            [INIT, SHUTDOWN_COMPLETE, COOKIE_ECHO, ABORT, SHUTDOWN_ACK, HEARTBEAT, HEARTBEAT_ACK];
        if !has(&map, &special) && tag != self.tags[own] {
            return None;
        }
        let (mut keep_timeout, mut assured) = (false, false);
        for chunk in chunks(body) {
            match self.check_tag(&chunk, reply, tag)? {
                Tagged::Well => {}
                Tagged::Otherwise if has(&map, &[DATA]) || keep_timeout => return None,
                Tagged::Otherwise if chunk.kind == HEARTBEAT => {
                    (self.other_tag, keep_timeout) = (Some(reply), true);
                    continue;
                }
                // Its answer shows that both sides have begun anew behind our back.
                Tagged::Otherwise if self.other_tag == Some(!reply) => {
                    self.other_tag = None;
                    (self.tags[own], self.tags[1 - own]) = (tag, 0);
                }
                Tagged::Otherwise => return None,
            }
            let old = self.state;
            let new = old.next(reply, chunk.kind)?;
            match chunk.kind {
                INIT => {
                    let asked = init_tag(&chunk)?;
                    // KERNEL: nf_conntrack_sctp_packet(), 6.18.44 and 7.2: one that asks for the
                    // tag that is known is a repetition, and says nothing of who began.
                    if old == State::None || self.tags[1 - own] != asked {
                        self.init[1 - own] &= !self.init[own];
                        self.init[own] = true;
                    }
                    self.tags[1 - own] = asked;
                    // KERNEL: nf_conntrack_sctp_packet(), 6.18: INIT again does not keep a
                    // connection alive.
                    keep_timeout |= new == State::Closed && old == State::Closed && confirmed;
                }
                INIT_ACK => {
                    let (asked, known) = (init_tag(&chunk)?, self.tags[1 - own]);
                    let collides = self.init == [true; 2] && known != asked;
                    if collides || (!self.init[1 - own] && known != 0 && known != asked) {
                        return None;
                    }
                    self.tags[1 - own] = asked;
                }
                _ => {}
            }
            self.state = new;
            if old != new && new == State::Established {
                (assured, self.was_established) = (true, true);
            }
        }
        let timeout_secs = (!keep_timeout).then(|| TIMEOUTS_SECS[self.state as usize]);
        Some(SctpOutcome::Accept { timeout_secs, assured })
    }

    /// How a chunk's packet is tagged, for those that have rules of their own; `None` if wrong.
    fn check_tag(&mut self, chunk: &Chunk<'_>, reply: bool, tag: u32) -> Option<Tagged> {
        let own = usize::from(reply);
        let fits = match chunk.kind {
            INIT => tag == 0,
            // Whoever knows no association answers with the tag that it was sent (T).
            ABORT | SHUTDOWN_COMPLETE if chunk.flags & 1 == 1 => tag == self.tags[1 - own],
            ABORT | SHUTDOWN_COMPLETE | COOKIE_ECHO => tag == self.tags[own],
            COOKIE_ACK => {
                self.init = [false; 2];
                true
            }
            HEARTBEAT | HEARTBEAT_ACK if self.tags[own] == 0 => {
                self.tags[own] = tag;
                true
            }
            HEARTBEAT | HEARTBEAT_ACK if tag == self.tags[own] => {
                self.other_tag = None;
                true
            }
            HEARTBEAT | HEARTBEAT_ACK => return Some(Tagged::Otherwise),
            _ => true,
        };
        fits.then_some(Tagged::Well)
    }
}

/// How a packet is tagged.
enum Tagged {
    Well,
    /// As no packet of this side should be.
    Otherwise,
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Original, Reply};

    fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0, 4 + body.len() as u8], body].concat()
    }

    fn init(kind: u8, tag: u32) -> Vec<u8> {
        chunk(kind, &[&tag.to_be_bytes()[..], &[0; 12]].concat())
    }

    #[test]
    fn an_association_opens_and_closes() {
        let mut track = SctpTrack::begin(0, &init(INIT, 7)).expect("INIT begins one");
        let mut lives = Vec::new();
        for (direction, tag, body) in [
            (Original, 0, init(INIT, 7)),
            (Reply, 7, init(INIT_ACK, 9)),
            (Original, 9, chunk(COOKIE_ECHO, &[])),
            (Reply, 7, chunk(COOKIE_ACK, &[])),
            (Original, 9, chunk(DATA, &[0; 16])),
            (Original, 9, chunk(7, &[0; 4])),
            (Reply, 7, chunk(SHUTDOWN_ACK, &[])),
            (Original, 9, chunk(SHUTDOWN_COMPLETE, &[])),
        ] {
            match track.packet(direction, tag, &body, true) {
                SctpOutcome::Accept { timeout_secs, .. } => lives.push(timeout_secs),
                SctpOutcome::Invalid => panic!("{track:?} ends at {body:?}"),
            }
        }
        assert_eq!(lives, [10, 3, 3, 210, 210, 3, 3, 10].map(Some));
        let forged = track.packet(Original, 8, &chunk(DATA, &[0; 16]), true);
        assert_eq!(forged, SctpOutcome::Invalid, "another tag");
    }

    #[test]
    fn who_begins_with_two_chunks_is_answered_with_the_tag_of_a_few() {
        const ERROR: u8 = 9;
        let data = chunk(DATA, &[0; 16]);
        // What is begun with, and which tag is taken from either side then.
        for (kinds, taken) in [
            ([HEARTBEAT, HEARTBEAT], Some([5, 0])),
            ([HEARTBEAT, ERROR], Some([5, 0])),
            ([ERROR, HEARTBEAT_ACK], Some([5, 0])),
            ([SHUTDOWN_ACK, ERROR], Some([0, 5])),
            ([HEARTBEAT, SHUTDOWN_ACK], Some([5, 5])),
            ([COOKIE_ECHO, HEARTBEAT], Some([5, 0])),
            ([COOKIE_ECHO, HEARTBEAT_ACK], None),
            ([ERROR, ERROR], None),
        ] {
            let body = kinds.map(|kind| chunk(kind, &[0; 4])).concat();
            let mut track = SctpTrack::begin(5, &body).expect("either would begin one");
            let begins = track.packet(Original, 5, &body, false) != SctpOutcome::Invalid;
            let takes = |direction, tag| {
                let mut track = track;
                track.packet(direction, tag, &data, true) != SctpOutcome::Invalid
            };
            let tag_of = |direction| [0, 5].into_iter().find(|tag| takes(direction, *tag));
            let found = begins.then(|| [Original, Reply].map(|side| tag_of(side).unwrap_or(9)));
            assert_eq!(found, taken, "{kinds:?}");
        }
    }

    #[test]
    fn who_began_beside_the_other_is_answered_with_the_tag_it_asked_for() {
        let began = (Original, init(INIT, 7));
        let (beside, anew) = ((Reply, init(INIT, 9)), (Original, init(INIT, 6)));
        // What came before, how the answer is tagged, and whether it may then ask for 9, and for
        // another tag.
        for (before, tag, may) in [
            (vec![], 7, [true, true]),
            (vec![&began], 7, [true, true]),
            (vec![&beside], 7, [true, false]),
            (vec![&beside, &began], 7, [true, false]),
            (vec![&beside, &anew], 6, [true, true]),
            (vec![&beside, &beside], 7, [true, false]),
            (vec![&beside, &beside, &began], 7, [true, false]),
        ] {
            let mut track = SctpTrack::begin(0, &began.1).expect("INIT begins one");
            for (direction, body) in std::iter::once(&began).chain(before.iter().copied()) {
                let outcome = track.packet(*direction, 0, body, false);
                assert_ne!(outcome, SctpOutcome::Invalid, "{before:?}");
            }
            let takes = |asked| {
                let (mut track, answer) = (track, init(INIT_ACK, asked));
                track.packet(Reply, tag, &answer, true) != SctpOutcome::Invalid
            };
            assert_eq!([takes(9), takes(8)], may, "{before:?}");
        }
    }

    /// What becomes of packets in turn: for how many seconds each lets the association live, `=`
    /// for no longer than it did, `!` if it assures it, `x` for an invalid one.
    fn fates(packets: &[(Direction, u32, Vec<u8>)]) -> String {
        let mut track = SctpTrack::begin(packets[0].1, &packets[0].2).expect("it begins one");
        let fates = packets.iter().enumerate().map(|(at, (direction, tag, body))| {
            match track.packet(*direction, *tag, body, at > 0) {
                SctpOutcome::Accept { timeout_secs, assured } => {
                    let secs = timeout_secs.map_or_else(|| "=".to_owned(), |secs| secs.to_string());
                    secs + if assured { "!" } else { "" }
                }
                SctpOutcome::Invalid => "x".to_owned(),
            }
        });
        fates.collect::<Vec<_>>().join(" ")
    }

    /// Both sides have agreed that who begins tags with 9, and who answers with 7.
    fn open() -> Vec<(Direction, u32, Vec<u8>)> {
        vec![
            (Original, 0, init(INIT, 7)),
            (Reply, 7, init(INIT_ACK, 9)),
            (Original, 9, chunk(COOKIE_ECHO, &[])),
            (Reply, 7, chunk(COOKIE_ACK, &[])),
        ]
    }

    fn then(steps: &[(Direction, u32, Vec<u8>)]) -> String {
        let all = fates(&[&open(), steps].concat());
        all.strip_prefix("10 3 3 210! ").expect("it opened").to_owned()
    }

    #[test]
    fn what_a_chunk_established_stays_though_the_next_is_invalid() {
        let open = open();
        let mut track = SctpTrack::begin(open[0].1, &open[0].2).expect("it begins one");
        for (direction, tag, body) in &open[..3] {
            assert_ne!(track.packet(*direction, *tag, body, true), SctpOutcome::Invalid);
        }
        assert!(!track.was_established());
        let body = [chunk(COOKIE_ACK, &[]), vec![ABORT, 1, 0, 4]].concat();
        assert_eq!(track.packet(Reply, 7, &body, true), SctpOutcome::Invalid);
        assert!(track.was_established());
    }

    #[test]
    fn each_chunk_is_tagged_as_its_kind_has_to_be() {
        let turned = |kind| vec![kind, 1, 0, 4];
        for (tag, body, fate) in [
            (9, chunk(DATA, &[0; 16]), "210"),
            (7, chunk(DATA, &[0; 16]), "x"),
            (9, chunk(ABORT, &[]), "10"),
            (7, chunk(ABORT, &[]), "x"),
            (9, turned(ABORT), "x"),
            (7, turned(ABORT), "10"),
            (9, chunk(SHUTDOWN_COMPLETE, &[]), "210"),
            (7, chunk(SHUTDOWN_COMPLETE, &[]), "x"),
            (9, turned(SHUTDOWN_COMPLETE), "x"),
            (7, turned(SHUTDOWN_COMPLETE), "210"),
            (9, chunk(COOKIE_ECHO, &[]), "210"),
            (7, chunk(COOKIE_ECHO, &[]), "x"),
            (7, chunk(SHUTDOWN_ACK, &[]), "210"),
            (0, init(INIT, 5), "210"),
            (9, init(INIT, 5), "x"),
            // Nobody begins now: the answer asks for what is known.
            (9, init(INIT_ACK, 7), "210"),
            (9, init(INIT_ACK, 5), "x"),
            // Who asks for a cookie to be taken says it first; a chunk has a length.
            (9, [chunk(COOKIE_ECHO, &[]), chunk(DATA, &[0; 16])].concat(), "210"),
            (9, [chunk(DATA, &[0; 16]), chunk(COOKIE_ECHO, &[])].concat(), "x"),
            (9, [chunk(DATA, &[0; 16]), vec![DATA, 0, 0, 0]].concat(), "x"),
        ] {
            assert_eq!(then(&[(Original, tag, body.clone())]), fate, "{tag} {body:?}");
        }
    }

    /// Who has begun decides whether an answer may ask for another tag.
    #[test]
    fn the_end_of_an_opening_forgets_who_began_it() {
        let answer = |side, tag, asked| (side, tag, init(INIT_ACK, asked));
        let cookie_ack = |side, tag| (side, tag, chunk(COOKIE_ACK, &[]));
        let again = |side, asked| (side, 0, init(INIT, asked));
        for (steps, fate) in [
            (vec![answer(Reply, 7, 9)], "210"),
            (vec![answer(Reply, 7, 8)], "x"),
            // Who asks for the tag that is known did not begin.
            (vec![again(Original, 7), answer(Reply, 7, 8)], "210 x"),
            (vec![again(Reply, 9), answer(Original, 9, 6)], "210 x"),
            (vec![again(Original, 6), answer(Reply, 6, 8)], "210 210"),
            (vec![again(Original, 6), cookie_ack(Reply, 6), answer(Reply, 6, 8)], "210 210 x"),
            (vec![again(Reply, 5), answer(Original, 5, 6)], "210 210"),
            (vec![again(Reply, 5), cookie_ack(Reply, 7), answer(Original, 5, 6)], "210 210 x"),
        ] {
            assert_eq!(then(&steps), fate, "{steps:?}");
        }
    }

    #[test]
    fn a_heartbeat_of_another_tag_is_believed_when_it_is_answered() {
        let beat = |side, tag| (side, tag, chunk(HEARTBEAT, &[0; 4]));
        let answer = |side, tag| (side, tag, chunk(HEARTBEAT_ACK, &[0; 4]));
        let data = |side, tag| (side, tag, chunk(DATA, &[0; 16]));
        let with = |kind| [chunk(HEARTBEAT, &[0; 4]), chunk(kind, &[0; 16])].concat();
        // The answerer's tag is another; who began has none until its next heartbeat.
        let steps = [
            beat(Original, 8),
            answer(Reply, 6),
            data(Reply, 6),
            data(Reply, 7),
            data(Original, 9),
            beat(Original, 33),
            data(Original, 33),
            data(Original, 9),
        ];
        assert_eq!(then(&steps), "= 210 210 x x 210 210 x");
        for (steps, fate) in [
            (vec![answer(Reply, 6)], "x"),
            (vec![beat(Original, 8), answer(Original, 6)], "= x"),
            (vec![beat(Original, 8), beat(Original, 9), answer(Reply, 6)], "= 210 x"),
            (vec![beat(Original, 8), answer(Reply, 7), answer(Reply, 6)], "= 210 x"),
            (vec![beat(Original, 8), answer(Reply, 6), answer(Original, 0)], "= 210 210"),
            (vec![beat(Original, 8), answer(Reply, 6), answer(Reply, 5)], "= 210 x"),
            // It comes without data, and once in a packet.
            (vec![(Original, 8, with(DATA))], "x"),
            (vec![(Original, 9, with(DATA))], "210"),
            (vec![(Original, 8, with(HEARTBEAT))], "x"),
            (vec![(Original, 9, with(HEARTBEAT))], "210"),
            (vec![(Original, 8, with(3))], "="),
        ] {
            assert_eq!(then(&steps), fate, "{steps:?}");
        }
    }

    #[test]
    fn an_init_that_is_repeated_lets_nothing_live_longer() {
        let again = (Original, 0, init(INIT, 7));
        let beat = (Original, 5, chunk(HEARTBEAT, &[0; 4]));
        assert_eq!(fates(&[again.clone(), again.clone(), again.clone()]), "10 = =");
        assert_eq!(fates(&[beat.clone(), again.clone(), again.clone()]), "30 3 3");
        let shutdown = (Original, 9, chunk(7, &[0; 4]));
        assert_eq!(then(&[shutdown, again.clone(), again.clone()]), "3 10 =");
        let abort = (Reply, 7, chunk(ABORT, &[]));
        assert_eq!(then(&[again.clone(), abort, again.clone()]), "210 10 =");
        let mut track = SctpTrack::begin(0, &again.2).expect("INIT begins one");
        let ten = SctpOutcome::Accept { timeout_secs: Some(10), assured: false };
        assert_eq!([(); 2].map(|()| track.packet(Original, 0, &again.2, false)), [ten; 2]);
        // Of a side that nobody asked for a tag any is taken; what is answered is assured.
        assert_eq!(fates(&[beat.clone(), (Original, 5, init(INIT_ACK, 3))]), "30 10");
        assert_eq!(fates(&[beat, (Reply, 6, chunk(HEARTBEAT_ACK, &[0; 4]))]), "30 210!");
    }

    #[test]
    fn only_some_chunks_begin_an_association() {
        assert_eq!(SctpTrack::begin(5, &chunk(DATA, &[0; 16])), None);
        assert_eq!(SctpTrack::begin(0, &[]), None);
        assert_eq!(SctpTrack::begin(0, &[INIT, 0, 0, 0]), None, "a chunk without length");
        assert_eq!(SctpTrack::begin(0, &chunk(INIT, &[])), None, "an INIT without tag");
        assert_eq!(SctpTrack::begin(5, &[HEARTBEAT, 0, 0, 0]), None, "a chunk without length");
        assert!(SctpTrack::begin(5, &chunk(HEARTBEAT, &[0; 4])).is_some());
        for kind in [ABORT, SHUTDOWN_COMPLETE, COOKIE_ACK] {
            assert_eq!(SctpTrack::begin(5, &chunk(kind, &[])), None, "{kind}");
        }
        let two = [chunk(COOKIE_ECHO, &[]), init(INIT, 7)].concat();
        assert_eq!(SctpTrack::begin(0, &two), None, "INIT comes alone");
    }
}
