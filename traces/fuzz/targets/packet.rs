// SPDX-License-Identifier: GPL-2.0-only
//! Frames of one link type, each behind two bytes of length and one of time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_traces::defrag::Defrag;
use nfexp_traces::packet::{datagram, packet};

const LINKS: [i32; 10] = [1, 0, 108, 6, 101, 12, 113, 276, 228, 229];

fuzz_target!(|bytes: &[u8]| {
    let [link, rest @ ..] = bytes else { return };
    let link = LINKS[usize::from(*link) % LINKS.len()];
    let mut defrag = Defrag::default();
    let (mut rest, mut time_ns) = (rest, 0_i64);
    while let [high, low, pause, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        time_ns += i64::from(*pause) * 1_000_000_000;
        if let Ok(part) = datagram(link, &more[..length]) {
            match part.fragment {
                None => _ = packet(&part),
                Some(place) => {
                    if let Some(whole) = defrag.take(time_ns, &part, place) {
                        _ = packet(&whole);
                    }
                }
            }
        }
        rest = &more[length..];
    }
});
