// SPDX-License-Identifier: GPL-2.0-only
//! What happens to the engine, step by step.
//!
//! A *trace* is a sequence of [`Step`]s. Connections, expectations, references and open
//! listings have names in it, which share one namespace. [`text`](crate::text) is its written
//! form, `nfexp-sim` plays it.
//!
//! The rule that matters: a step says what is done, never what comes of it.

use nfexp_model::event::{ExpectFn, Origin};
use nfexp_model::expectation::{Expected, Flags, Nat};
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::tuple::{Mask, Tuple};

use crate::transcript::{NftExpectation, Operation};

/// A name in a trace.
pub type Name = String;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A connection comes to be, not confirmed yet. The trace holds one reference to it.
    Conn {
        /// Its name.
        name: Name,
        /// The tuple of its first packet.
        tuple: Tuple,
        /// Its place.
        place: Place,
        /// Its helper extension.
        helper: HelperChoice,
        /// Its mark.
        mark: u32,
        /// Its security mark.
        secmark: u32,
    },
    /// A connection's first packet got through.
    Confirm {
        /// Which.
        conn: Name,
    },
    /// A connection leaves the table; the trace still holds its reference.
    Delete {
        /// Which.
        conn: Name,
    },
    /// A connection leaves the table and the trace gives its reference back.
    Destroy {
        /// Which.
        conn: Name,
    },
    /// A connection's helper changes: as `ctnetlink` does, its expectations end if it loses it.
    Helper {
        /// Which connection.
        conn: Name,
        /// The new one.
        helper: HelperChoice,
    },
    /// An expectation is allocated and initialised, and no more.
    Alloc(Announcement),
    /// An allocated expectation is announced, perhaps again.
    Relate {
        /// Which.
        exp: Name,
        /// Whether another master's equal one is no obstacle.
        skip_master: bool,
        /// On whose behalf.
        origin: Origin,
    },
    /// Two allocated expectations are announced as a pair, the second only with the first.
    Pair {
        /// Which.
        exps: [Name; 2],
    },
    /// Both: what a helper does. The trace holds the creator's reference.
    Expect {
        /// What is announced.
        announcement: Announcement,
        /// Whether another master's equal one is no obstacle.
        skip_master: bool,
        /// On whose behalf.
        origin: Origin,
    },
    /// An announcement is taken back, by who made it as long as it holds it, then by its helper.
    Unexpect {
        /// Which.
        exp: Name,
    },
    /// The flags of a linked expectation change (SIP activates one so).
    SetFlags {
        /// Which.
        exp: Name,
        /// The new flags.
        flags: Flags,
    },
    /// A helper gives a linked expectation flags and another time (SIP, H.323).
    Retime {
        /// Which.
        exp: Name,
        /// How long it lives from now.
        span: Ticks,
        /// The new flags.
        flags: Flags,
    },
    /// All expectations of a master end, the master stays.
    Remove {
        /// Whose.
        conn: Name,
    },
    /// A reference is given back: a connection's or an expectation's.
    Put {
        /// Under which name the trace holds it.
        name: Name,
    },
    /// A packet: of a known connection, of an announced one, or of a new one.
    Packet {
        /// Its tuple.
        tuple: Tuple,
        /// Where.
        place: Place,
        /// The name of the connection it makes, if the trace wants to keep a reference.
        name: Option<Name>,
        /// Whether it gets through: a new connection is confirmed then.
        fate: Fate,
    },
    /// A lookup that takes a reference (`find_get`), or not (`__find`).
    Lookup {
        /// The tuple.
        tuple: Tuple,
        /// Where.
        place: Place,
        /// The name of the reference; without one it is given back at once.
        name: Option<Name>,
        /// On which processor.
        cpu: Cpu,
    },
    /// Time passes; softirqs run.
    Advance(Ticks),
    /// The first half of an expectation's expiry, now: its timer is detached.
    Fire {
        /// Whose.
        exp: Name,
    },
    /// The second half.
    Callback {
        /// Whose.
        exp: Name,
    },
    /// A processor enters a read-side critical section and stays in it.
    Hold(Cpu),
    /// It leaves it.
    Release(Cpu),
    /// The whole listing is read.
    Show {
        /// Of which namespace.
        net: NetId,
    },
    /// A listing is opened, to be read piece by piece; anew, from its start, if it is open.
    Open {
        /// The name of the open file.
        file: Name,
        /// Of which namespace.
        net: NetId,
    },
    /// Some lines of an open listing.
    Read {
        /// Which.
        file: Name,
        /// At most so many.
        lines: u64,
    },
    /// The counters are shown.
    Stats {
        /// Of which namespace.
        net: NetId,
    },
    /// What is allocated is shown: expectations, connections, callbacks that wait.
    Memory,
    /// The sysctl `nf_conntrack_expect_max` is written.
    ExpectMax(i32),
    /// The n-th allocation from now fails.
    FailNth(u32),
    /// A namespace begins.
    NetnsInit(NetId),
    /// A namespace ends: connections and expectations first.
    NetnsExit(NetId),
    /// All expectations of a namespace are deleted by a user.
    Flush {
        /// Which.
        net: NetId,
        /// Who asked.
        origin: Origin,
    },
    /// A helper is unregistered: its expectations end, its connections lose it.
    Unregister {
        /// Its name.
        helper: String,
    },
    /// A function that expectations may name is unregistered, with its module.
    UnregisterFunction(ExpectFn),
    /// A rule is added: UDP packets to a port use a `ct expectation` object.
    CtExpectation(NftExpectation),
    /// A user asks for something, or a packet is forwarded, in the words of a transcript.
    Request(Box<Operation>),
    /// The collector comes by a master: if that is confirmed and does not go, what is over of its
    /// expectations is collected (since 7.2).
    Collect {
        /// Whose.
        conn: Name,
    },
}

/// What a helper announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its name.
    pub name: Name,
    /// Who announces it.
    pub master: Name,
    /// What is expected.
    pub target: Target,
    /// Its class, by number.
    pub class: u8,
    /// Its flags.
    pub flags: Flags,
    /// The helper its connection is given, by name.
    pub assign: Option<String>,
    /// Its function.
    pub expectfn: Option<ExpectFn>,
    /// Its translation.
    pub nat: Option<Nat>,
    /// How long it lives where no policy says.
    pub timeout: Option<Ticks>,
}

/// A tuple of which parts may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// As helpers say it: address and port, each exact or any.
    Plain(Expected),
    /// With a mask of any shape, as a user may say it.
    Masked(Tuple, Mask),
}

impl Target {
    /// As a helper would say it, if it could; with a mask otherwise.
    #[must_use]
    pub fn of(tuple: Tuple, mask: Mask) -> Self {
        let full = Mask::exact(tuple.l3, true, true);
        let expected = Expected {
            l3: tuple.l3,
            saddr: (mask.src == full.src).then_some(tuple.src),
            daddr: tuple.dst,
            proto: tuple.proto,
            sport: (mask.sport == full.sport).then_some(tuple.sport),
            dport: tuple.dport,
        };
        match expected.tuple_and_mask() == (tuple, mask) {
            true => Self::Plain(expected),
            false => Self::Masked(tuple, mask),
        }
    }
}

/// Where something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The namespace.
    pub net: NetId,
    /// The zone.
    pub zone: Zone,
}

/// A connection's helper extension, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HelperChoice {
    /// No extension.
    #[default]
    Nothing,
    /// An extension without a helper.
    Extension,
    /// A helper.
    Named(String),
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It gets through.
    #[default]
    Forwarded,
    /// It is dropped behind connection tracking: a new connection is never confirmed.
    Dropped,
    /// It comes with an unconfirmed template: this pass only looks, a second one will follow.
    Template,
}
