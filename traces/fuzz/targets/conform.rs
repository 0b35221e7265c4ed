// SPDX-License-Identifier: GPL-2.0-only
//! A transcript, played: no user and no packet makes 6.18 crash, nor another kernel but by what
//! was mended since.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_model::kernel::Up;
use nfexp_model::revision::Revision;
use nfexp_sim::conform::Player;
use nfexp_sim::simulator::{crash_quietly, unless_it_crashes};
use nfexp_traces::transcript::read::Reader;

/// More lines than these say nothing new.
const LINES: usize = 60;

fuzz_target!(init: crash_quietly(), |bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let Ok(mut header) = reader.header() else { return };
    header.expect_max = header.expect_max.min(1 << 10);
    let mut lines = Vec::new();
    while let Ok(Some(line)) = reader.next_line() {
        lines.push(line);
        if lines.len() == LINES {
            break;
        }
    }
    for revision in Revision::ALL {
        let Ok(mut player) = Player::<Up>::of_revision(&header, revision) else { continue };
        // Whatever is answered: who stops where it differs from what was recorded sees little.
        for line in &lines {
            if let Err(why) = unless_it_crashes(|| player.answer(&line.operation)) {
                let mended = revision == Revision::LINUX_3_9 && why.starts_with("NULL dereference");
                assert!(mended, "{}: {why}", revision.name);
                std::mem::forget(player);
                break;
            }
        }
    }
});
