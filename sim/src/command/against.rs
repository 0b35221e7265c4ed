// SPDX-License-Identifier: GPL-2.0-only
//! A replay beside an operator's log of the same packets.

use std::io::{self, BufReader, Write};
use std::path::Path;

use nfexp_model::event::Event;
use nfexp_traces::tools::lines;

use super::Failure;
use super::input::{bytes, packets, router, unreadable};
use super::kernel::{Clock, Kernel};
use crate::forward::Router;
use crate::log::{agree, heard, tool_line};
use crate::replay::{Happening, Replay};

/// Holds the events of a capture's replay against a log, one by one.
pub(super) fn against(path: &Path, log: &Path, kernel: &Kernel) -> Result<(), Failure> {
    let bad = |why: String| Failure::Data(log.to_owned(), why);
    let input = bytes(log).map_err(|error| unreadable(log, &error))?;
    let mut logged = Vec::new();
    for line in lines(BufReader::new(input)) {
        logged.extend(heard(&line.map_err(|error| bad(error.to_string()))?.1));
    }
    let (settings, pace) = kernel.settings(Clock::Capture).map_err(Failure::Usage)?;
    let selection = settings.selection.clone();
    let mut replay = Replay::new(router(settings)?, pace, selection, false);
    let mut replayed = Vec::new();
    let mut hear = |router: &mut Router, happening: &Happening<'_>| {
        for event in happening.events {
            if let Event::Expect(event) = event {
                let line = tool_line(router.engine(), router.now(), event);
                replayed.push((happening.packet, line));
            }
        }
    };
    packets(path, |capture, most| replay.play(capture, most, &mut hear))?;
    replay.finish(&mut hear);
    let parted = (0..replayed.len().max(logged.len())).find(|at| {
        let pair = replayed.get(*at).zip(logged.get(*at));
        !pair.is_some_and(|((_, replayed), logged)| agree(replayed, logged))
    });
    let Some(at) = parted else {
        writeln!(io::stdout(), "{} events, as logged", replayed.len())?;
        return Ok(());
    };
    let nothing = || "nothing more".to_owned();
    let logged = logged.get(at).map_or_else(nothing, ToString::to_string);
    let (packet, replayed) = replayed.get(at).map_or_else(
        || (String::new(), nothing()),
        |(packet, line)| (format!(" (packet {packet})"), line.to_string()),
    );
    let what = format!("event {}{packet} differs from the log", at + 1);
    Err(Failure::Differs(format!("{what}\n  log:    {logged}\n  replay: {replayed}")))
}
