// SPDX-License-Identifier: GPL-2.0-only
//! A capture as what kernels are played: its packets are the steps, what is told of them the answers.

use std::cell::RefCell;
use std::path::PathBuf;

use nfexp_model::revision::Revision;
use nfexp_traces::capture::{Capture, Frame};

use super::{Answers, Script};
use crate::forward::Router;
use crate::golden::Answered;
use crate::replay::{Happening, Pace, Replay};
use crate::report::story;
use crate::settings::Settings;
use crate::simulator::unless_it_crashes;

/// A capture file, and how the routers are set up that it goes through.
#[derive(Debug)]
pub struct Captured {
    path: PathBuf,
    options: String,
    /// What is wrong with its end.
    flaw: RefCell<Option<String>>,
}

impl Captured {
    /// The capture of this name, and options as recordings have them.
    #[must_use]
    pub fn new(path: PathBuf, options: String) -> Self {
        Self { path, options, flaw: RefCell::new(None) }
    }

    /// Why it ended early where it was played last, if it did.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        self.flaw.borrow().clone()
    }

    /// Reads it, for as long as `each` wants more.
    fn read(&self, mut each: impl FnMut(&Frame<'_>) -> Result<bool, String>) -> Result<(), String> {
        let mut capture = Capture::open(&self.path).map_err(|error| error.to_string())?;
        let mut packets = 0_u64;
        loop {
            match capture.next_packet() {
                Ok(Some(frame)) if each(&frame)? => packets += 1,
                Ok(_) => return Ok(()),
                // What is wrong behind the last whole packet does not hide the others.
                Err(error) if packets > 0 => {
                    *self.flaw.borrow_mut() = Some(error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn replay(&self, revision: Revision) -> Result<Replay, String> {
        let (mut settings, mut pace) = (Settings::of(revision, None, None), Pace::CAPTURED);
        settings.apply(&self.options, &mut pace)?;
        let selection = settings.selection.clone();
        let router = Router::new(settings).map_err(|error| error.to_string())?;
        Ok(Replay::new(router, pace, selection, false))
    }
}

impl Script for Captured {
    fn play(&self, revision: Revision) -> Result<Answers, String> {
        let (mut answers, mut answered) = (Answers::default(), Answered::default());
        let mut too_many = Ok(());
        let mut replay = self.replay(revision)?;
        let mut tell = |router: &mut Router, happening: &Happening<'_>| {
            let mut told = story::told(router, happening);
            if happening.between {
                told.iter_mut().for_each(|told| told.insert_str(0, "afterwards: "));
            }
            match answered.more(told) {
                Ok(told) if told.is_empty() => {}
                Ok(told) => {
                    answers.steps.entry(happening.packet as usize).or_default().extend(told)
                }
                Err(error) => too_many = Err(format!("packet {}: {error}", happening.packet)),
            }
        };
        let (mut at, mut crash) = (0, None);
        self.read(|frame| {
            at += 1;
            let played = unless_it_crashes(|| replay.packet(frame, &mut tell));
            crash = played.err();
            Ok(crash.is_none())
        })?;
        if crash.is_none() {
            crash = unless_it_crashes(|| replay.finish(tell)).err();
        }
        if let Some(words) = crash {
            answers.steps.entry(at).or_default().push(format!("the kernel crashes: {words}"));
            // What is broken cannot be taken apart without breaking more.
            std::mem::forget(replay);
        }
        too_many.map(|()| answers)
    }

    fn steps(&self, places: &[usize]) -> Result<Vec<(usize, String)>, String> {
        let (mut steps, mut at) = (Vec::new(), 0);
        self.read(|frame| {
            at += 1;
            if places.get(steps.len()) == Some(&at) {
                steps.push((at, story::described(frame)));
            }
            Ok(steps.len() < places.len())
        })?;
        Ok(steps)
    }
}
