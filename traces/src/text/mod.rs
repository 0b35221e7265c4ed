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
//! `80/0xff00`). Spans carry a unit: `300s`, `5m`, `1500ms`, `90j` (jiffies). What the answers
//! mean stands in `nfexp_sim::simulator`.
//!
//! # The head
//!
//! ```text
//! config hz= hash-size= expect-max= expectations= conns= netns=     as few of them as are unusual
//! helper-policy NAME max= timeout=300s         one helper's limit and timeout; another, if new
//! revisions 3.9 6.18 7.2                       on which it is played
//! ```
//!
//! # The steps
//!
//! Behind `[`, what may be left out. NET and ZONE are numbers, and 0 if not given.
//!
//! ```text
//! conn NAME TUPLE [net= zone= helper=HELPER|none mark= secmark=     a connection, not confirmed
//! confirm CONN
//! delete CONN                                  by its timer or a user; its reference stays held
//! destroy CONN                                 the same, and the reference goes
//! helper CONN HELPER|none|nothing              none: the extension without a helper
//! alloc EXP master=CONN TARGET [OPTIONS        memory, and what is expected
//! relate EXP [WHO                              the table takes it, or does not
//! expect EXP master=CONN TARGET [OPTIONS WHO   both
//!   OPTIONS: class= flags=permanent,inactive,userspace|NUMBER assign=HELPER fn=FUNCTION
//!            nat=ADDRESS:PORT[,reply] timeout=SPAN
//!   WHO:     skip-master portid= report
//! pair EXP EXP                                 both or none, as SIP announces
//! unexpect EXP                                 its helper takes it back
//! flags EXP FLAGS                              as a helper sets them
//! retime EXP SPAN FLAGS                        another end and flags
//! remove CONN                                  all of this master's go
//! put NAME                                     a reference goes
//! packet TUPLE [net= zone= as=NAME dropped|template       of a known connection, an announced or a new one
//! lookup TUPLE [net= zone= as=NAME cpu=        finds; and takes a reference, if it gets a name
//! advance SPAN                                 time passes
//! fire EXP, callback EXP                       an expiry's two halves, whatever the time
//! hold cpu1, release cpu1                      a read-side section begins, ends
//! collect CONN                                 7.2's worker comes by
//! show [net=                                   the listing in /proc
//! open FILE [net=, read FILE LINES             the same, piece by piece
//! stats [net=, memory                          the counters; what is allocated
//! flush [net= portid= report                   all of a namespace's go
//! request JSON                                 an operation of a transcript: op and a
//! ct-expectation PORT [proto= dport= timeout= size=       an object of nft's, and its rule
//! unregister HELPER, unregister-function FUNCTION         a module goes
//! netns-init NET, netns-exit NET
//! sysctl expect-max=
//! fail-nth N                                   the N-th allocation from here fails
//! ```
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

#[cfg(test)]
mod tests {
    /// Every step that is written has its word in the table above.
    #[test]
    fn each_word_is_told() {
        let told = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let table = told.skip_while(|line| *line != "# The steps").collect::<Vec<_>>().join("\n");
        let words = |text: &str| {
            text.split([',', '\n'])
                .filter_map(|part| part.split_whitespace().next())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let told = words(&table);
        let step = include_str!("steps.rs").split("fn conn(").next().expect("the first part");
        let arms = step
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\" =>"));
        let mut known = 0;
        for (word, _) in arms {
            known += 1;
            assert!(told.iter().any(|there| there == word), "{word} is not told");
        }
        assert_eq!(known, 36);
    }
}
