// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp conform-capture`: does a capture come to what the kernel made of it?

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use nfexp_traces::capture::Frame;
use nfexp_traces::transcript::keys_to_difference;
use serde_json::{Value, json};

use super::format::TextOrJson as Format;
use super::input::{frames_and_cut, frames_of_cut, named_once, text_of};
use super::kernel::{Clock, Kernel};
use super::output::verdict_behind;
use super::replay::digest;
use super::{Failure, remark};
use crate::recording::{Agreement, Difference, Recording, agreement, options_of, slack_of};
use crate::report::story::described;

/// The largest recording that is read: JSON takes some sixty times as much memory at worst.
const LARGEST_MIB: u64 = 16;

/// The arguments of `nfexp conform-capture`.
#[derive(Debug, Args)]
pub struct ConformCapture {
    /// A capture; `-` is standard input.
    capture: PathBuf,
    /// The recording of what the kernel made of it (`*.golden.jsonl`), or `-`; where no
    /// options are given, its head says with which it was made, and no argument may say otherwise.
    golden: PathBuf,
    #[command(flatten)]
    kernel: Kernel,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl ConformCapture {
    /// Compares.
    ///
    /// # Errors
    /// [`Failure::Differs`] at a divergence of either grade.
    pub fn run(&self) -> Result<(), Failure> {
        named_once([&self.capture, &self.golden])?;
        let golden = lines(&self.golden)?;
        let (mut settings, mut pace) =
            self.kernel.settings(Clock::Frozen).map_err(Failure::Usage)?;
        if self.kernel.options.is_empty() {
            let options = options_of(&golden);
            let who = format!("the head of {} says", self.golden.display());
            self.kernel.agrees(&options, &who).map_err(Failure::Usage)?;
            // Options are told by the head.
            let bad = |why| Failure::Data(self.golden.clone(), format!("line 1: {why}"));
            settings.apply(&options, &mut pace).map_err(bad)?;
        }
        let recording = Recording::new(settings, pace);
        let recording = recording.map_err(|error| Failure::System(error.to_string()))?;
        let mut recording = recording.with_slack(slack_of(&golden));
        frames_of_cut(&self.capture, |frame| recording.packet(frame))?;
        let model = recording.finish("", None);
        let agreement = agreement(&golden, &model);
        self.tell(&agreement)?;
        let Agreement { first_difference, in_any_event, fates } = agreement;
        let differs = in_any_event.is_some() || first_difference.is_some() || !fates.is_empty();
        let made_of = golden.first().and_then(|line| line["head"]["sha256"].as_str());
        if differs && made_of.zip(digest(&self.capture)).is_some_and(|(of, this)| of != this) {
            let (golden, capture) = (self.golden.display(), self.capture.display());
            remark(format_args!("nfexp: {golden} was made of another capture than {capture}"));
        }
        let letter = |lines: &[Value], at: u64| {
            let letters = lines.first().and_then(|line| line["head"]["ctinfo"].as_str());
            letters.and_then(|letters| letters.chars().nth(at as usize - 1)).unwrap_or('.')
        };
        if let Some(Difference { kernel, model }) = first_difference.or(in_any_event) {
            let place = kernel.as_ref().or(model.as_ref()).map(|(place, _)| place.clone());
            let place = place.unwrap_or_default();
            let number = place.rsplit(' ').next().and_then(|number| number.parse().ok());
            let packet = number.map_or_else(String::new, |number| self.packet(number));
            let told = |side: Option<(String, Value)>| {
                side.map_or_else(
                    || "nothing".to_owned(),
                    |(place, event)| format!("{place}: {event}"),
                )
            };
            let keys = match (&kernel, &model) {
                (Some((_, kernel)), Some((_, model))) => keys_to_difference(kernel, model),
                _ => Vec::new(),
            };
            let at =
                if keys.is_empty() { String::new() } else { format!(", in {}", keys.join(".")) };
            return Err(Failure::Differs(format!(
                "{place}{packet}{at}\n  kernel  {}\n  model   {}",
                told(kernel),
                told(model)
            )));
        }
        match fates.first() {
            None => Ok(()),
            Some(&at) => Err(Failure::Differs(format!(
                "packet {at}{}\n  kernel  {}\n  model   {}\nand {} more",
                self.packet(at),
                letter(&golden, at),
                letter(&model, at),
                fates.len() - 1
            ))),
        }
    }

    /// Tells how far they agree.
    fn tell(&self, agreement: &Agreement) -> Result<(), Failure> {
        let Agreement { first_difference, in_any_event, fates } = agreement;
        let mut out = verdict_behind();
        if self.format == Format::Json {
            let side = |side: &Option<(String, Value)>| {
                side.as_ref().map(|(place, event)| json!({"place": place, "event": event}))
            };
            let first = first_difference.as_ref().or(in_any_event.as_ref());
            let first = first.map(|Difference { kernel, model }| {
                let events = kernel.as_ref().zip(model.as_ref());
                let keys = events.map(|((_, one), (_, other))| keys_to_difference(one, other));
                let keys = keys.filter(|keys| !keys.is_empty()).map(|keys| keys.join("."));
                json!({"kernel": side(kernel), "model": side(model), "in": keys})
            });
            let row = json!({
                "schema": "nfexp.conform-capture.1",
                "capture": self.capture.display().to_string(),
                "golden": self.golden.display().to_string(),
                "revision": self.kernel.revision.name,
                "expectations_agree": first_difference.is_none(),
                "events_agree": in_any_event.is_none(),
                "first_difference": first,
                "other_fates": fates,
            });
            return Ok(writeln!(out, "{row}")?);
        }
        let grade = |agrees| if agrees { "agree" } else { "differ" };
        let expected = grade(first_difference.is_none());
        writeln!(out, "expectations and announced connections {expected}")?;
        writeln!(out, "all events {}", grade(in_any_event.is_none()))?;
        Ok(writeln!(out, "the fates of packets {}", grade(fates.is_empty()))?)
    }

    /// A packet in one line; nothing if it cannot be read twice.
    fn packet(&self, number: u64) -> String {
        let mut line = String::new();
        let mut seek = |frame: &Frame<'_>| {
            if frame.number == number {
                line = format!(" ({})", described(frame));
            }
        };
        // It was read before.
        let _ = frames_and_cut(&self.capture, &mut seek);
        line
    }
}

/// The lines of a recording.
fn lines(path: &Path) -> Result<Vec<Value>, Failure> {
    let data = |why: String| Failure::Data(path.to_owned(), why);
    let text = text_of(path, "a recording", LARGEST_MIB)?;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let expected = |error: serde_json::Error| {
            data(format!("line {}, column {}: expected JSON", at + 1, error.column()))
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: Value = serde_json::from_str(line).map_err(expected)?;
        // What is of no kind is compared with nothing.
        let (kind, is_one) = match lines.is_empty() {
            true => ("the head of a recording", line["head"].is_object()),
            false => {
                ("what a packet did (i or after, and ev), final or flush", is_of_recording(&line))
            }
        };
        if !is_one {
            return Err(data(format!("line {}: expected {kind}", at + 1)));
        }
        let events = line["ev"].as_array().into_iter().flatten();
        if let Some(other) = events.clone().find(|event| !is_event(event)) {
            let expected =
                "exp_new, exp_destroy, exp_change, ct_new or ct_destroy as e, and a number as id";
            return Err(data(format!("line {}: expected {expected}, found {other}", at + 1)));
        }
        lines.push(line);
    }
    match lines.last() {
        None => Err(data("line 1: expected the head of a recording".to_owned())),
        Some(last) if !last["flush"].is_object() => {
            let end = text.lines().count() + 1;
            Err(data(format!("line {end}: expected flush, found the end")))
        }
        Some(_) => Ok(lines),
    }
}

/// Whether it is an event, as far as it must be to be compared.
fn is_event(event: &Value) -> bool {
    const KINDS: [&str; 5] = ["exp_new", "exp_destroy", "exp_change", "ct_new", "ct_destroy"];
    event["e"].as_str().is_some_and(|kind| KINDS.contains(&kind)) && event["id"].is_u64()
}

/// Whether it is a line that a recording has behind its head.
fn is_of_recording(line: &Value) -> bool {
    let is_place = line["i"].is_u64() || line["after"].is_u64();
    is_place && line["ev"].is_array() || line["final"].is_object() || line["flush"].is_object()
}
