// SPDX-License-Identifier: GPL-2.0-only
//! What the engine tells: events, in the order they are delivered.
//!
//! The kernel knows two events of an expectation, NEW and DESTROY. Beside them stands what it
//! never tells: the [`Cause`]. Events wait in a queue with a lock of its own, as netlink's do,
//! and come out by [`Engine::poll_event`](crate::Engine::poll_event).

use crate::conn::{ConnId, Status};
use crate::expectation::{ExpectId, Flags, Nat};
use crate::helper::{Class, HelperId};
use crate::kernel::Jiffies;
use crate::netns::{NetId, Zone};
use crate::revision::{NftExpect, Revision};
use crate::tuple::{Mask, Tuple};

/// Something a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// About an expectation.
    Expect(ExpectEvent),
    /// About a connection.
    Conn(ConnEvent),
}

/// `IPEXP_NEW` or `IPEXP_DESTROY`, with the expectation as it is at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectEvent {
    /// Which of the two.
    pub kind: ExpectEventKind,
    /// Whose.
    pub id: ExpectId,
    /// The namespace it happened in.
    pub net: NetId,
    /// The zone of the master.
    pub zone: Zone,
    /// Whom it stands for.
    pub tuple: Tuple,
    /// Which part of the source matters.
    pub mask: Mask,
    /// Its master.
    pub master: ConnId,
    /// The master's original tuple.
    pub master_tuple: Tuple,
    /// Its class.
    pub class: Class,
    /// Its flags, the internal one left out.
    pub flags: Flags,
    /// When it expires, or would have.
    pub expires: Jiffies,
    /// The helper a listing names.
    pub helper: Option<HelperId>,
    /// Its function.
    pub expectfn: Option<ExpectFn>,
    /// Its translation.
    pub nat: Option<Nat>,
    /// Who asked for it.
    pub origin: Origin,
}

/// NEW or DESTROY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectEventKind {
    /// It was inserted (`IPEXP_NEW`).
    New,
    /// It was unlinked (`IPEXP_DESTROY`), and why, which the kernel does not tell.
    Destroy(Cause),
}

/// Why an expectation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The announced connection arrived.
    Match,
    /// Its time was up.
    Expiry,
    /// It made room for another.
    Eviction,
    /// An equal one replaced it.
    Refresh,
    /// Its maker took it back.
    Unexpect,
    /// Its master ended.
    MasterGone,
    /// A user deleted it.
    Delete,
    /// A user deleted all.
    Flush,
    /// Its helper was unregistered.
    HelperGone,
    /// Its namespace ended.
    NamespaceExit,
}

impl Cause {
    /// All of them, in the order reports list them.
    pub const ALL: [Self; 10] = [
        Self::Match,
        Self::Expiry,
        Self::Eviction,
        Self::Refresh,
        Self::Unexpect,
        Self::MasterGone,
        Self::Delete,
        Self::Flush,
        Self::HelperGone,
        Self::NamespaceExit,
    ];

    /// The word for it in traces and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Expiry => "expiry",
            Self::Eviction => "eviction",
            Self::Refresh => "refresh",
            Self::Unexpect => "unexpect",
            Self::MasterGone => "master-gone",
            Self::Delete => "delete",
            Self::Flush => "flush",
            Self::HelperGone => "helper-gone",
            Self::NamespaceExit => "netns-exit",
        }
    }
}

/// A connection was entered into the table or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnEvent {
    /// Whether it came or went.
    pub kind: ConnEventKind,
    /// Whose.
    pub id: ConnId,
    /// The namespace.
    pub net: NetId,
    /// The zone.
    pub zone: Zone,
    /// The tuple of its first packet.
    pub original: Tuple,
    /// The tuple of the answer.
    pub reply: Tuple,
    /// Its status bits.
    pub status: Status,
    /// Its helper.
    pub helper: Option<HelperId>,
    /// The master that announced it, and that one's original tuple.
    pub master: Option<(ConnId, Tuple)>,
    /// Who asked for it.
    pub origin: Origin,
}

/// NEW or DESTROY of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnEventKind {
    /// Entered into the table.
    New,
    /// Left it.
    Destroy,
}

/// On whose behalf something happens (`portid` and `report` of netlink).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The netlink port that asked, 0 for the packet path.
    pub portid: u32,
    /// Whether it wants to be told (`nlmsg_report`).
    pub report: bool,
}

impl Origin {
    /// The kernel itself.
    pub const KERNEL: Self = Self { portid: 0, report: false };
}

/// A function that runs when an announced connection arrives (`exp->expectfn`), by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExpectFn {
    /// `nat-follow-master`.
    NatFollowMaster,
    /// `sip`.
    Sip,
    /// `Q.931`.
    Q931,
    /// `callforwarding`.
    CallForwarding,
    /// PPTP's, which has no registered name.
    Pptp,
    /// `nft_ct-follow-master`, since nft has a helper of its own.
    NftFollowMaster,
}

impl ExpectFn {
    /// Those a user may name.
    pub const REGISTERED: [Self; 5] =
        [Self::NatFollowMaster, Self::Sip, Self::Q931, Self::CallForwarding, Self::NftFollowMaster];

    /// Whether a kernel has it.
    #[must_use]
    pub fn is_in(self, revision: &Revision) -> bool {
        self != Self::NftFollowMaster || revision.nft_expect == NftExpect::AtConfirmation
    }

    /// Its registered name, if it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::NatFollowMaster => Some("nat-follow-master"),
            Self::Sip => Some("sip"),
            Self::Q931 => Some("Q.931"),
            Self::CallForwarding => Some("callforwarding"),
            Self::NftFollowMaster => Some("nft_ct-follow-master"),
            Self::Pptp => None,
        }
    }
}
