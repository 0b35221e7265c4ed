// SPDX-License-Identifier: GPL-2.0-only
//! What came of an operation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::operation::NatArg;
use super::parts::{Family, Parts};

/// Everything that can be seen of an operation. What it does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The handle whose id was sent; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_of: Option<u64>,
    /// `OK`, or the name of an errno.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<String>,
    /// A listing through netlink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<Vec<Row>>,
    /// The lines of `/proc/net/nf_conntrack_expect`: seconds, and the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proc: Option<Vec<(i64, String)>>,
    /// The counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Counters>,
    /// Whether a packet left the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fwd: Option<bool>,
    /// How many events there were, where they are not written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<u64>,
    /// How often each return code came, where there were many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errs: Option<BTreeMap<String, u64>>,
    /// How much of the order of the events means something; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ev: Option<Vec<Event>>,
}

impl Answer {
    /// The events; none where none are written.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.ev.as_deref().unwrap_or_default()
    }
}

/// How much of an order means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// That inside one bucket.
    Bucket,
    /// Nothing.
    None,
}

/// An event. `rep`: it carries the port of the request that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    /// An expectation was inserted.
    ExpNew {
        /// Asked for.
        rep: bool,
        /// Its handle.
        e: u64,
        /// Its family.
        l3: Family,
        /// Whom it stands for.
        tuple: Box<Parts>,
        /// Which part of the source matters; the rest is all ones.
        mask: Box<Parts>,
        /// Its master's original tuple.
        master: Box<Parts>,
        /// Remaining seconds.
        to: i64,
        /// Flags.
        fl: u32,
        /// Class.
        cl: u32,
        /// Helper.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        helper: Option<String>,
        /// Translation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nat: Option<Box<NatArg>>,
        /// Function.
        #[serde(default, rename = "fn", skip_serializing_if = "Option::is_none")]
        function: Option<String>,
    },
    /// An expectation was unlinked.
    ExpDestroy {
        /// Asked for.
        rep: bool,
        /// Its handle.
        e: u64,
        /// Remaining seconds.
        to: i64,
    },
    /// A connection entered the table.
    CtNew {
        /// Asked for.
        rep: bool,
        /// Its family.
        l3: Family,
        /// The tuple of its first packet.
        orig: Box<Parts>,
        /// Whether it was announced.
        expected: bool,
        /// Its zone.
        zone: u16,
        /// The original tuple of the master that announced it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        master: Option<Box<Parts>>,
    },
    /// A connection left the table.
    CtDestroy {
        /// Asked for.
        rep: bool,
        /// Its family.
        l3: Family,
        /// The tuple of its first packet.
        orig: Box<Parts>,
        /// Its zone.
        zone: u16,
    },
}

/// A row of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Row {
    /// An expectation; all else was told by its event.
    Expectation {
        /// Its handle.
        e: u64,
        /// Remaining seconds.
        to: i64,
    },
    /// A connection.
    Connection {
        /// Its family.
        l3: Family,
        /// The tuple of its first packet.
        orig: Box<Parts>,
        /// Whether it was announced.
        expected: bool,
        /// Its zone.
        zone: u16,
        /// Its mark.
        mark: u32,
        /// Its helper.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        helper: Option<String>,
        /// The original tuple of the master that announced it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        master: Option<Box<Parts>>,
    },
}

/// The counters of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections that were announced.
    pub expect_new: u64,
    /// Expectations inserted.
    pub expect_create: u64,
    /// Expectations unlinked.
    pub expect_delete: u64,
    /// Connections in memory: a deleted master counts as long as a connection refers to it.
    pub entries: u64,
}
