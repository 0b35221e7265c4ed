// SPDX-License-Identifier: GPL-2.0-only
//! Transcripts: recorded operations on a real kernel, with every result it gave.
//!
//! *Operation*: one thing a user or a packet does. *Answer*: everything that could be seen of
//! it: the return code, the events in order, a listing, counters. *Handle*: the number of an
//! expectation, counted by its event NEW; kernel ids are keyed hashes and cannot be predicted.
//! *Epoch*: the operations between two `advance`, which happen at one virtual time.
//!
//! ```text
//!  {"oracle":1,"kernel":…,"hz":250,"expect_max":4096,"nft":[…],"tol":1,…}      Header
//!  {"i":0,"t":0,"op":"ct_new","a":{…},"ret":"OK","ev":[…]}                      Line
//!          └── Operation ────────┘    └── Answer ───────┘
//! ```
//!
//! | where | what |
//! | --- | --- |
//! | [`Header`], [`Line`], [`read`] | a file, line by line |
//! | [`Operation`] and its arguments | what is done; an absent argument is an attribute not sent |
//! | [`Answer`], [`Event`], [`Row`] | what came of it |
//! | [`Parts`] | a tuple as netlink attributes: any part may be missing or wrong |
//! | [`compare`](compare()) | whether two answers agree, and where they do not |
//!
//! The rule that matters: a part or argument that is absent was not sent, which is not the same
//! as zero. What a kernel makes of that is the model's business, never the parser's.

use serde::{Deserialize, Serialize};

mod answer;
mod compare;
mod operation;
mod parts;
pub mod read;

pub use answer::{Answer, Counters, Event, Order, Row};
pub use compare::{BucketKey, Difference, compare, keys_to_difference};
pub use operation::{
    Advance, CtAt, CtHelp, CtNew, DumpAll, DumpMaster, ExpAt, ExpNew, Fill, HelperName, IdArg,
    NatArg, Nothing, Operation, Packet, PacketArgs, Whose,
};
pub use parts::{Family, Parts};

/// The first line of a transcript: where and how it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format: 1.
    pub oracle: u32,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// Ticks per second.
    #[serde(default = "usual_hz")]
    pub hz: u32,
    /// `nf_conntrack_expect_max`.
    #[serde(default = "usual_expect_max")]
    pub expect_max: u32,
    /// The `ct expectation` objects of the ruleset.
    #[serde(default)]
    pub nft: Vec<NftExpectation>,
    /// By how many seconds remaining times may differ.
    #[serde(default = "usual_tolerance")]
    pub tol: i64,
    /// Which mixture of operations.
    #[serde(default)]
    pub profile: String,
    /// From which seed; a number is taken as it is written.
    #[serde(default, deserialize_with = "seed")]
    pub seed: String,
    /// How many operations.
    #[serde(default)]
    pub n: u64,
}

/// An nft `ct expectation` object, and the rule that uses it: UDP packets to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NftExpectation {
    /// The rule's UDP destination port.
    pub udp_dport: u16,
    /// The expected transport protocol.
    pub l4: u8,
    /// The expected destination port.
    pub dport: u16,
    /// The lifetime, as the kernel takes it.
    pub seconds: u32,
    /// How many a connection may have.
    pub size: u8,
}

fn seed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(u64),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Text(text) => text,
        Written::Number(number) => number.to_string(),
    })
}

const fn usual_hz() -> u32 {
    250
}

const fn usual_expect_max() -> u32 {
    4096
}

const fn usual_tolerance() -> i64 {
    1
}

impl Header {
    /// A header with everything as usual, for sequences made here.
    #[must_use]
    pub fn usual(profile: &str, seed: &str, operations: u64) -> Self {
        Self {
            oracle: 1,
            kernel: String::new(),
            hz: usual_hz(),
            expect_max: usual_expect_max(),
            nft: Vec::new(),
            tol: usual_tolerance(),
            profile: profile.to_owned(),
            seed: seed.to_owned(),
            n: operations,
        }
    }
}

/// One line after the header: an operation, when it was done, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its number, from 0.
    pub i: u64,
    /// The virtual time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t: Option<u64>,
    /// What was done: `op` and `a`.
    #[serde(flatten)]
    pub operation: Operation,
    /// What was seen.
    #[serde(flatten)]
    pub answer: Answer,
}
