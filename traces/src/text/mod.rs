// SPDX-License-Identifier: GPL-2.0-only
//! Traces as text: what is done above `----`, what is answered below.
//!
//! ```text
//! # The first comment says what the trace shows.
//! config hash-size=1 expect-max=4
//! revisions 3.9 6.18
//!
//! conn ftp tcp 10.0.0.2:40000 > 10.0.0.1:21 helper=ftp
//! confirm ftp
//! expect e1 master=ftp tcp 10.0.0.2:* > 10.0.0.1:50000
//! ----
//! new e1 use=3
//!
//! packet tcp 10.0.0.2:41000 > 10.0.0.1:50000
//! ---- 3.9
//! destroy e1 match
//! related ftp
//! ---- 6.18 7.2
//! destroy e1 match
//! related ftp
//! ```
//!
//! One step a line, `key=value` in any order behind what is fixed, a blank line between blocks.
//! An address or port may be `*` where anything goes, or have a mask (`10.0.0.0/255.255.255.0`,
//! `80/0xff00`). Spans carry a unit: `300s`, `5m`, `1500ms`, `90j` (jiffies). The steps are those
//! of [`Step`]; their words stand in `write`'s table.
//!
//! The rule that matters: printing what was read gives the same steps again, and no bytes make
//! reading panic.

mod line;
mod read;
mod steps;
mod tuple;
mod write;

use std::fmt;

pub use read::{parse, parse_step};

use crate::step::Step;

/// A written trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Comments before anything else, without their `#`.
    pub comments: Vec<String>,
    /// How the engine is set up.
    pub setup: Setup,
    /// The revisions it runs on; the usual ones, 3.9 and 6.18, if empty.
    pub revisions: Vec<String>,
    /// What is done and what is answered.
    pub blocks: Vec<Block>,
}

/// How the engine of a trace is set up; what is `None` is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Timer ticks per second.
    pub hz: Option<u32>,
    /// Buckets.
    pub hash_size: Option<u32>,
    /// Expectations a namespace may hold.
    pub expect_max: Option<u32>,
    /// Expectations there is memory for.
    pub expectations: Option<u32>,
    /// Connections there is memory for.
    pub conns: Option<u32>,
    /// Namespaces there can be.
    pub netns: Option<u32>,
    /// Helpers beyond the in-tree ones, or instead of one: name, limit, timeout in seconds.
    pub helpers: Vec<(String, u32, u32)>,
}

impl Setup {
    /// What a trace may ask for: enough for any behaviour, little enough for any machine.
    pub const MOST: u32 = 1 << 16;
}

/// Steps, and what they are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Comments and steps as they were written.
    pub lines: Vec<String>,
    /// The steps, each with its line in the file, from 1.
    pub steps: Vec<(usize, Step)>,
    /// The answers, by revision.
    pub answers: Vec<Answer>,
}

/// What is answered on some revisions, or on all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Which revisions; all others if empty.
    pub revisions: Vec<String>,
    /// The lines.
    pub lines: Vec<String>,
}

impl Trace {
    /// The revisions that its answers are of.
    #[must_use]
    pub fn answered_on(&self) -> Vec<&str> {
        match &self.revisions[..] {
            [] => vec!["3.9", "6.18"],
            named => named.iter().map(String::as_str).collect(),
        }
    }
}

impl Block {
    /// The lines expected on a revision.
    #[must_use]
    pub fn expected(&self, revision: &str) -> &[String] {
        let own = self.answers.iter().find(|answer| answer.revisions.iter().any(|r| r == revision));
        let other = || self.answers.iter().find(|answer| answer.revisions.is_empty());
        own.or_else(other).map_or(&[], |answer| &answer.lines)
    }
}

/// Where a text is not a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {}", shown(.found))]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What should have stood there.
    pub expected: String,
    /// What does; empty at the end of the line.
    pub found: String,
}

fn shown(word: &str) -> String {
    if word.is_empty() { "the end of the line".to_owned() } else { format!("`{word}`") }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(f, "#{comment}")?;
        }
        write!(f, "{}", self.setup)?;
        if !self.revisions.is_empty() {
            writeln!(f, "revisions {}", self.revisions.join(" "))?;
        }
        for (at, block) in self.blocks.iter().enumerate() {
            let head = self.setup != Setup::default() || !self.revisions.is_empty();
            // Its comment is not the trace's.
            let comment = block.lines.first().is_some_and(|line| line.starts_with('#'));
            if at > 0 || head || comment {
                writeln!(f)?;
            }
            block.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
            for answer in &block.answers {
                let revisions = answer.revisions.iter().map(|revision| format!(" {revision}"));
                writeln!(f, "----{}", revisions.collect::<String>())?;
                answer.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [
            ("hz", self.hz),
            ("hash-size", self.hash_size),
            ("expect-max", self.expect_max),
            ("expectations", self.expectations),
            ("conns", self.conns),
            ("netns", self.netns),
        ];
        let given = numbers.iter().filter_map(|(key, value)| Some(format!(" {key}={}", (*value)?)));
        let given: String = given.collect();
        if !given.is_empty() {
            writeln!(f, "config{given}")?;
        }
        for (name, max, timeout_secs) in &self.helpers {
            writeln!(f, "helper-policy {name} max={max} timeout={timeout_secs}s")?;
        }
        Ok(())
    }
}
