// SPDX-License-Identifier: GPL-2.0-only
//! The framing by itself; what is read in it, the captures test.

use nfexp_model::tuple::{Proto, Tuple};

use super::*;

fn frames(packets: &[&[u8]]) -> Vec<Vec<(usize, usize)>> {
    let ip = |text: &str| text.parse().expect("a literal address");
    let original = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 1720);
    let tuples = [original, original.inverse().expect("tcp answers")];
    let mut state = State::new(Channel::Q931);
    let each = packets.iter().map(|payload| {
        let direction = Direction::Original;
        let seen = Seen { direction, established: true, expected: false, tuples, payload, seq: 0 };
        let mut found: Vec<(usize, usize)> = Vec::new();
        while let Some(tpkt) = state.next_tpkt(&seen, found.last().map(|last| last.1)) {
            found.push(tpkt);
        }
        found
    });
    each.collect()
}

#[test]
fn a_segment_holds_frames_one_behind_the_other() {
    let two: &[u8] = &[3, 0, 0, 6, 8, 9, 3, 0, 0, 5, 7];
    assert_eq!(frames(&[two]), [vec![(4, 6), (10, 11)]]);
    assert_eq!(frames(&[&two[..9]]), [vec![(4, 6)]], "the second is cut");
    assert_eq!(frames(&[b"GET / HTTP/1.1"]), [vec![]]);
}

#[test]
fn a_header_may_come_alone() {
    assert_eq!(frames(&[&[3, 0, 0, 7], &[8, 9, 10]]), [vec![], vec![(0, 3)]]);
    assert_eq!(frames(&[&[3, 0, 0, 7], &[8, 9], &[8, 9, 10]]), [vec![], vec![], vec![]]);
    // Only the next packet is its contents, even if that has none.
    for between in [&[][..], &[3, 0, 0, 5, 1], &[3, 0, 0, 3]] {
        let told = frames(&[&[3, 0, 0, 7], between, &[8, 9, 10]]);
        assert_eq!(told[2], [], "{between:?}");
    }
    assert_eq!(frames(&[&[3, 0, 0, 7], &[3, 0, 0, 6], &[8, 9]])[2], [(0, 2)], "the last counts");
}
