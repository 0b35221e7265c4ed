// SPDX-License-Identifier: GPL-2.0-only
//! A file: every frame of it is taken apart as far as a transport header.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use nfexp_traces::capture::Capture;
use nfexp_traces::defrag::Defrag;
use nfexp_traces::packet::{datagram, packet};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut capture) = Capture::new(Cursor::new(bytes.to_vec())) else { return };
    let mut defrag = Defrag::default();
    let mut offset = capture.offset();
    while let Ok(Some(frame)) = capture.next_packet() {
        if let Ok(part) = datagram(frame.link, frame.bytes) {
            match part.fragment {
                None => _ = packet(&part),
                Some(place) => {
                    if let Some(whole) = defrag.take(frame.time_ns, &part, place) {
                        _ = packet(&whole);
                    }
                }
            }
        }
        assert!(capture.offset() > offset, "a step consumes");
        offset = capture.offset();
    }
});
