// SPDX-License-Identifier: GPL-2.0-only
//! What becomes of packets in turn.

use super::*;
use Direction::{Original, Reply};

const SETTINGS: TcpSettings = TcpSettings::DEFAULT;

fn header(flags: u8, seq: u32, ack: u32) -> TcpHeader<'static> {
    TcpHeader { flags, seq, ack, window: 1000, ..TcpHeader::default() }
}

fn open() -> TcpTrack {
    let syn = header(SYN, 100, 0);
    let mut track = TcpTrack::begin(&syn, &SETTINGS).expect("a SYN begins one");
    track.packet(Original, &syn, Known::default(), &SETTINGS);
    track.packet(Reply, &header(SYN | ACK, 500, 101), Known::default(), &SETTINGS);
    let known = Known { seen_reply: true, assured: false };
    let outcome = track.packet(Original, &header(ACK, 101, 501), known, &SETTINGS);
    assert_eq!(outcome, TcpOutcome::Accept { timeout_secs: 432_000, assured: true });
    track
}

const KNOWN: Known = Known { seen_reply: true, assured: true };

quickcheck::quickcheck! {
    fn prop_plain_packets_are_taken_as_any_other(steps: Vec<(u8, [u8; 3], bool)>) -> bool {
        let (mut track, mut other) = (open(), open());
        // How far each side has come; now and then a number is out of its window.
        let mut ends = [101_u32, 501];
        steps.into_iter().all(|(dice, [ahead, size, back], assured)| {
            let side = usize::from(dice & 1);
            let far = |bit: u8| u32::from(dice >> bit & 3 == 3) * 0x4000_0000;
            let seq = ends[side].wrapping_add(u32::from(ahead % 4)).wrapping_add(far(1));
            let ack = ends[1 - side].wrapping_sub(u32::from(back % 4)).wrapping_add(far(3));
            let flags = [ACK, ACK, ACK, ACK, ACK | 32, FIN | ACK, RST, SYN][usize::from(dice >> 5)];
            let (window, payload_len) = (u16::from(back / 4), u32::from(size));
            let header = TcpHeader { window, payload_len, ..header(flags, seq, ack) };
            ends[side] = ends[side].wrapping_add(payload_len);
            let (known, direction) =
                (Known { assured, ..KNOWN }, if side == 1 { Reply } else { Original });
            let taken = track.packet(direction, &header, known, &SETTINGS);
            taken == other.any_packet(direction, &header, known, &SETTINGS) && track == other
        })
    }
}

#[test]
fn an_acknowledgement_is_a_repetition_if_all_of_it_is() {
    let first = TcpHeader { payload_len: 3, ..header(ACK, 101, 501) };
    let mut track = open();
    let mut counted = |kind, reply, header: &TcpHeader<'_>| {
        track.count_repetition(kind, reply, header);
        track.retrans
    };
    for (reply, other) in [
        (true, first),
        (false, TcpHeader { seq: 102, payload_len: 2, ..first }),
        (false, TcpHeader { ack: 502, ..first }),
        (false, TcpHeader { payload_len: 4, ..first }),
        (false, TcpHeader { window: 1001, ..first }),
    ] {
        assert_eq!(counted(Kind::Ack, false, &first), 0, "another before it");
        assert_eq!(counted(Kind::Ack, false, &first), 1);
        assert_eq!(counted(Kind::Fin, reply, &other), 1, "no acknowledgement is none of them");
        assert_eq!(counted(Kind::Ack, false, &first), 2);
        assert_eq!(counted(Kind::Ack, reply, &other), 0, "{reply} {other:?}");
    }
    let counts: Vec<_> = (0..257).map(|_| counted(Kind::Ack, false, &first)).collect();
    assert_eq!((counts[255], counts[256]), (255, 0), "a byte");
}

#[test]
fn a_syn_after_the_end_begins_another_connection() {
    let mut track = open();
    for (direction, header) in [
        (Original, header(FIN | ACK, 101, 501)),
        (Reply, header(FIN | ACK, 501, 102)),
        (Original, header(ACK, 102, 502)),
    ] {
        let outcome = track.packet(direction, &header, KNOWN, &SETTINGS);
        assert!(matches!(outcome, TcpOutcome::Accept { .. }), "{outcome:?}");
    }
    assert_eq!(track.state(), TcpState::TimeWait);
    let syn = header(SYN, 9000, 0);
    assert_eq!(track.packet(Original, &syn, KNOWN, &SETTINGS), TcpOutcome::Repeat);
}

/// What becomes of packets in turn: how many seconds the connection lives then, `!` if that
/// assures it, `i` for an ignored one, `x` for an invalid one, `x<` if it lives so long at most behind
/// it; and the letter of its state.
fn course(packets: &[(Direction, TcpHeader<'_>)]) -> String {
    course_under(&SETTINGS, packets)
}

fn course_under(settings: &TcpSettings, packets: &[(Direction, TcpHeader<'_>)]) -> String {
    let mut track = TcpTrack::begin(&packets[0].1, settings).expect("it begins one");
    let mut known = Known::default();
    let fates = packets.iter().map(|(direction, header)| {
        let fate = match track.packet(*direction, header, known, settings) {
            TcpOutcome::Accept { timeout_secs, assured } => {
                known.assured |= assured;
                format!("{timeout_secs}{}", if assured { "!" } else { "" })
            }
            TcpOutcome::Ignore => "i".to_owned(),
            TcpOutcome::Invalid => "x".to_owned(),
            TcpOutcome::Shorten { most_secs } => format!("x<{most_secs}"),
            TcpOutcome::Kill => "kill".to_owned(),
            TcpOutcome::Repeat => "again".to_owned(),
        };
        known.seen_reply |= *direction == Reply;
        fate + &"NSREFWLTC2"[track.state() as usize..][..1]
    });
    fates.collect::<Vec<_>>().join(" ")
}

/// The same after a connection was opened, of which both sides have a window of 1000.
fn then(steps: &[(Direction, TcpHeader<'_>)]) -> String {
    then_under(&SETTINGS, steps)
}

fn then_under(settings: &TcpSettings, steps: &[(Direction, TcpHeader<'_>)]) -> String {
    let open = [
        (Original, header(SYN, 100, 0)),
        (Reply, header(SYN | ACK, 500, 101)),
        (Original, header(ACK, 101, 501)),
    ];
    let all = course_under(settings, &[&open, steps].concat());
    all.strip_prefix("120S 60R 432000!E ").expect("it opened").to_owned()
}

/// A sequence number that lies in no window.
const FAR: u32 = 90_000_000;

#[test]
fn both_sides_may_open_at_once() {
    let both = [(Original, header(SYN, 100, 0)), (Reply, header(SYN, 500, 0))];
    let (ours, theirs) =
        ((Original, header(SYN | ACK, 100, 501)), (Reply, header(SYN | ACK, 500, 101)));
    let acks = (Reply, header(ACK, 501, 101));
    let again = both[0];
    for (steps, fate) in [
        (vec![ours, acks], "60R 432000!E"),
        (vec![theirs, acks], "60R 432000!E"),
        // An early answer changes nothing, a SYN does: it may be that of another connection.
        (vec![acks, ours, acks], "i2 60R 432000!E"),
        (vec![ours, again, acks], "60R iR 60R"),
    ] {
        let all = course(&[&both, &steps[..]].concat());
        assert_eq!(all, format!("120S i2 {fate}"), "{steps:?}");
    }
    assert_eq!(course(&[both[0], theirs, acks]), "120S 60R 60R", "one after the other");
}

#[test]
fn an_ignored_syn_that_is_answered_begins_anew() {
    const SCALED: [u8; 3] = [3, 3, 2];
    let syn = header(SYN, 9000, 0);
    let anew = header(SYN | ACK, FAR, 9001);
    let data = |seq, ack| TcpHeader { payload_len: 10, ..header(ACK, seq, ack) };
    for (steps, fate) in [
        (vec![(Original, syn), (Reply, anew)], "iE 60R"),
        (vec![(Original, syn), (Reply, header(SYN | ACK, FAR, 5))], "iE iE"),
        (vec![(Reply, header(SYN | ACK, 500, 101))], "iE"),
        (vec![(Original, syn), (Original, data(FAR, 501)), (Reply, anew)], "iE xE 60R"),
        // A window of none counts as one of 1.
        (
            vec![
                (Original, TcpHeader { window: 0, ..syn }),
                (Reply, anew),
                (Original, data(FAR, FAR + 1)),
            ],
            "iE 60R xR",
        ),
    ] {
        assert_eq!(then(&steps), fate, "{steps:?}");
    }
    // Windows are scaled as the two that opened it offered.
    for (options, fate) in [(&SCALED[..], "300E"), (&[], "xE")] {
        let steps = [
            (Original, TcpHeader { options, ..syn }),
            (Reply, TcpHeader { options: &SCALED, ..anew }),
            (Original, header(ACK, 9001, FAR + 1)),
            (Reply, data(FAR + 3900, 9001)),
        ];
        assert_eq!(then(&steps), format!("iE 60R 432000E {fate}"));
    }
    let early = [(Original, header(SYN, 100, 0)), (Reply, header(ACK, 500, 0))];
    assert_eq!(course(&early), "120S iS", "an ACK is no such answer");
}

#[test]
fn a_reset_counts_where_it_answers() {
    let (ours, theirs) = (header(RST, 101, 0), header(RST, 501, 0));
    let syn = (Original, header(SYN, 9000, 0));
    let data = (Original, TcpHeader { payload_len: 10, ..header(ACK, 101, 501) });
    let far = |flags| (Original, header(flags, FAR, 501));
    for (steps, fate) in [
        (vec![(Reply, theirs), far(ACK)], "10C xC"),
        // A SYN begins another connection behind the reset of who sends it.
        (vec![(Reply, theirs), syn, syn], "10C iC iC"),
        (vec![(Original, header(RST, 501, 0))], "10E"),
        (vec![(Original, ours), syn], "10C againC"),
        // A reset that goes on where the data ended, unless something odd came between.
        (vec![data, (Original, header(RST, 111, 0))], "300E 10C"),
        (vec![data, (Original, header(RST, 112, 0))], "300E 10E"),
        (vec![data, far(FIN | ACK), (Original, header(RST, 111, 0))], "300E xE 10E"),
        (vec![data, far(RST), (Original, header(RST, 111, 0))], "300E xE 10E"),
        (vec![data, far(ACK), (Original, header(RST, 111, 0))], "300E xE 10C"),
        // Who is closing is reset from anywhere.
        (vec![(Original, header(FIN | ACK, 101, 501)), far(RST)], "120F 10C"),
        (vec![far(SYN | FIN)], "xE"),
    ] {
        assert_eq!(then(&steps), fate, "{steps:?}");
    }
    // What answers a challenge is not held against the window.
    let challenged = [(Original, header(SYN, 100, 0)), (Reply, header(ACK, 999, 777))];
    for (seq, fate) in [(777, "10C"), (778, "xS")] {
        let steps = [&challenged[..], &[(Original, header(RST, seq, 0))]].concat();
        assert_eq!(course(&steps), format!("120S iS {fate}"));
    }
    let half = [
        (Original, header(SYN, 100_000, 0)),
        (Reply, header(SYN | ACK, 500_000, 100_001)),
        (Original, header(RST, 0, 0)),
    ];
    assert_eq!(course(&half), "120S 60R iR");
    assert_eq!(TcpTrack::begin(&header(SYN | FIN, 100, 0), &SETTINGS), None);
}

#[test]
fn an_end_outside_the_window_behind_the_other_sides_shortens_a_life() {
    let end = |side| (side, header(FIN | ACK, FAR, if side == Original { 501 } else { 101 }));
    let [one, other] = [end(Original), end(Reply)];
    assert_eq!(then(&[one, one]), "xE xE");
    assert_eq!(then(&[one, other, other]), "xE x<300E x<300E");
    assert_eq!(then(&[one, (Reply, header(ACK, FAR, 101))]), "xE xE");
}

#[test]
fn an_ack_that_challenges_a_syn_is_no_last_one() {
    // Who sent the SYN, whose ACK comes, and where it leads.
    for (side, state) in [(Reply, TcpState::LastAck), (Original, TcpState::TimeWait)] {
        let mut track = open();
        track.packet(Original, &header(FIN | ACK, 101, 501), KNOWN, &SETTINGS);
        track.packet(Reply, &header(FIN | ACK, 501, 102), KNOWN, &SETTINGS);
        assert_eq!(track.state(), TcpState::LastAck);
        let syn = header(SYN, 9000, 0);
        assert_eq!(track.packet(Original, &syn, KNOWN, &SETTINGS), TcpOutcome::Ignore);
        let ack = if side == Reply { header(ACK, 502, 102) } else { header(ACK, 102, 502) };
        let mut again = |state| {
            track.packet(side, &ack, KNOWN, &SETTINGS);
            assert_eq!(track.state(), state);
        };
        again(state);
        // A challenge is one answer; the next ACK is the last.
        again(TcpState::TimeWait);
    }
    // Nor is it a challenge once the FIN came again.
    let fins = [(Original, header(FIN | ACK, 101, 501)), (Reply, header(FIN | ACK, 501, 102))];
    let rest = [(Original, header(SYN, 9000, 0)), fins[0], (Reply, header(ACK, 502, 102))];
    assert_eq!(then(&[&fins[..], &rest].concat()), "120F 30L iL 30L 120T");
}

#[test]
fn repetitions_shorten_a_life_and_are_counted_in_a_byte() {
    let mut track = open();
    let mut lives = || {
        let outcome = track.packet(Original, &header(ACK, 101, 501), KNOWN, &SETTINGS);
        let TcpOutcome::Accept { timeout_secs, .. } = outcome else { panic!("{outcome:?}") };
        timeout_secs
    };
    for repetition in 1..600 {
        let expected = if repetition % 256 >= 3 { 300 } else { 432_000 };
        assert_eq!(lives(), expected, "{repetition}");
    }
}

#[test]
fn a_syn_is_refused_by_the_other_side() {
    let syn = header(SYN, 100, 0);
    let known = Known { seen_reply: true, assured: false };
    let ends = |direction| {
        let mut track = TcpTrack::begin(&syn, &SETTINGS).expect("a SYN begins one");
        track.packet(Original, &syn, Known::default(), &SETTINGS);
        track.packet(Reply, &header(SYN | ACK, 500, 101), Known::default(), &SETTINGS);
        // Ignored, and remembered.
        track.packet(Original, &syn, known, &SETTINGS);
        // Far outside the window.
        track.packet(direction, &header(RST | ACK, 90_000_000, 101), known, &SETTINGS);
        track.state() == TcpState::Close
    };
    assert!(ends(Reply) && !ends(Original));
}

#[test]
fn a_reset_begins_nothing_and_refuses_at_once() {
    assert_eq!(TcpTrack::begin(&header(RST, 0, 0), &SETTINGS), None);
    assert!(TcpTrack::begin(&header(ACK, 1, 1), &SETTINGS).is_some(), "picked up");
    let strict = TcpSettings { loose: false, ..SETTINGS };
    assert_eq!(TcpTrack::begin(&header(ACK, 1, 1), &strict), None);
    let syn = header(SYN, 100, 0);
    let mut track = TcpTrack::begin(&syn, &SETTINGS).expect("a SYN begins one");
    track.packet(Original, &syn, Known::default(), &SETTINGS);
    let reset = header(RST | ACK, 0, 101);
    assert_eq!(track.packet(Reply, &reset, Known::default(), &SETTINGS), TcpOutcome::Kill);
}

#[test]
fn a_reset_that_may_be_forged_does_not_end_a_connection() {
    let mut track = open();
    let forged = header(RST, 400, 0);
    assert_eq!(track.packet(Reply, &forged, KNOWN, &SETTINGS), TcpOutcome::Invalid);
    let inside = header(RST, 600, 0);
    track.packet(Reply, &inside, KNOWN, &SETTINGS);
    assert_eq!(track.state(), TcpState::Established, "not the next byte: challenged");
    track.packet(Reply, &header(RST, 501, 0), KNOWN, &SETTINGS);
    assert_eq!(track.state(), TcpState::Close);
}

/// `tcp_ignore_invalid_rst`: nobody asks whether it comes before what was acknowledged; the
/// windows are asked all the same, and the connection ends only if it did not stand.
#[test]
fn a_reset_that_may_be_forged_counts_where_that_is_set() {
    let ignoring = TcpSettings { ignore_invalid_rst: true, ..SETTINGS };
    let half = [(Original, header(SYN, 1000, 0)), (Reply, header(SYN | ACK, 5000, 1001))];
    let forged = |seq| (Original, header(RST, seq, 0));
    for (settings, stands, half_open) in [(SETTINGS, "xE xE", "xR"), (ignoring, "10E xE", "10C")] {
        assert_eq!(then_under(&settings, &[forged(100), forged(FAR)]), stands);
        let steps = [half[0], half[1], forged(1000)];
        assert_eq!(course_under(&settings, &steps), format!("120S 60R {half_open}"));
    }
}

/// `nf_tcp_handle_invalid()`: a FIN or RST out of the window is noted as the last packet, but no
/// answer to the other side's.
#[test]
fn an_end_out_of_the_window_is_noted_unless_it_answers_one() {
    let far = |side, flags| (side, header(flags, FAR, 501));
    let syn = (Original, header(SYN, 9000, 0));
    let ended = |side| match side {
        Original => (Original, header(RST, 101, 0)),
        Reply => (Reply, header(RST, 501, 0)),
    };
    // A SYN begins another connection if the last packet was a reset of the same side.
    for (steps, fate) in [
        (vec![ended(Original), far(Original, FIN | ACK), syn], "10C xC iC"),
        (
            vec![ended(Original), far(Original, FIN | ACK), far(Reply, FIN | ACK), syn],
            "10C xC x<300C iC",
        ),
        (vec![ended(Original), far(Reply, FIN | ACK), syn], "10C x<300C againC"),
        (vec![ended(Original), far(Original, ACK), syn], "10C xC againC"),
        (vec![ended(Reply), far(Original, FIN | ACK), syn], "10C x<300C iC"),
    ] {
        assert_eq!(then(&steps), fate, "{steps:?}");
    }
    // Only of a connection that is assured.
    let steps = [
        (Original, header(SYN, 100, 0)),
        (Reply, header(SYN | ACK, 500, 101)),
        ended(Original),
        far(Original, FIN | ACK),
        syn,
    ];
    assert_eq!(course(&steps), "120S 60R 10C xC againC");
}

#[test]
fn a_connection_picked_up_is_bounded_by_nothing_and_lives_shortly() {
    let ours = (Original, header(ACK, 100, 500));
    let steps =
        [ours, ours, (Original, header(ACK, FAR, 500)), (Reply, header(ACK, 500, 100)), ours];
    assert_eq!(course(&steps), "300E 300E 300E 300E 432000!E");
    assert_eq!(then(&[(Reply, TcpHeader { window: 0, ..header(ACK, 501, 101) })]), "300E");
}

#[test]
fn windows_are_as_both_sides_said_when_they_opened() {
    const SCALE: [&[u8]; 2] = [&[3, 3, 2], &[3, 3, 3]];
    let data = |seq, ack| TcpHeader { payload_len: 10, ..header(ACK, seq, ack) };
    let (syn, answer) = (header(SYN, 100, 0), header(SYN | ACK, 500, 101));
    for (options, fate) in [
        (SCALE, "xR 432000!E 300E 300E"),
        ([&[][..], SCALE[1]], "xR 432000!E xE xE"),
        ([SCALE[0], &[]], "xR 432000!E xE xE"),
    ] {
        let steps = [
            (Original, TcpHeader { options: options[0], ..syn }),
            (Reply, TcpHeader { options: options[1], ..answer }),
            // The window of a SYN is not scaled.
            (Original, data(3101, 501)),
            (Original, header(ACK, 101, 501)),
            (Reply, data(501 + 3900, 101)),
            (Original, data(101 + 7900, 501)),
        ];
        assert_eq!(course(&steps), format!("120S 60R {fate}"));
    }
    // None is one of 1, not none that is known.
    let none = |header: TcpHeader<'static>| TcpHeader { window: 0, ..header };
    let far = data(FAR, 501);
    assert_eq!(course(&[(Original, none(syn)), (Reply, answer), (Original, far)]), "120S 60R xR");
    let steps = [(Original, syn), (Reply, none(answer)), (Reply, data(FAR, 101))];
    assert_eq!(course(&steps), "120S 60R xR");
}

#[test]
fn what_is_acknowledged_selectively_was_sent() {
    const BLOCKS: [u8; 12] = [1, 1, 5, 10, 0, 0, 0, 150, 0, 0, 0, 200];
    for (options, fate) in [(&[4, 2, 1, 1][..], "xR"), (&[], "60R")] {
        let steps = [
            (Original, TcpHeader { options, ..header(SYN, 100, 0) }),
            (Reply, header(SYN | ACK, 500, 101)),
            (Reply, TcpHeader { options: &BLOCKS, ..header(ACK, 501, 101) }),
        ];
        assert_eq!(course(&steps), format!("120S 60R {fate}"));
    }
}

#[test]
fn a_syn_that_goes_further_opens_anew() {
    let answer = |ack| (Reply, header(SYN | ACK, 500, ack));
    let syn = |seq| (Original, header(SYN, seq, 0));
    assert_eq!(course(&[syn(100), syn(5000), answer(5001)]), "120S iS 60R");
    assert_eq!(course(&[syn(100), syn(50), answer(101)]), "120S iS 60R");
}

#[test]
fn a_reset_need_not_acknowledge() {
    let open =
        [(Original, header(SYN, 1_000_000, 0)), (Reply, header(SYN | ACK, 2_000_000, 1_000_001))];
    for (flags, ack, fate) in
        [(RST, 5, "10C"), (RST | ACK, 0, "10C"), (RST | ACK, 5, "iR"), (FIN | ACK, 0, "iR")]
    {
        let last = (Reply, header(flags, 2_000_001, ack));
        assert_eq!(course(&[open[0], open[1], last]), format!("120S 60R {fate}"));
    }
    // Nor, while only a SYN was seen, have a number.
    let steps = [(Original, header(SYN, 3_000_000_000, 0)), (Original, header(RST, 0, 0))];
    assert_eq!(course(&steps), "120S killC");
}
