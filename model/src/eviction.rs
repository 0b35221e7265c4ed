// SPDX-License-Identifier: GPL-2.0-only
//! Who goes when there is no room.
//!
//! The kernel's answer, [`Oldest`], is the engine's own: the oldest of the newcomer's class and
//! master when the class is full, nobody when the table is. Another answer implements
//! [`Eviction`]: it hears of every insertion and end, keeps its own index, and names a victim.
//!
//! Four axes, in the order in which an announcement meets them:
//!
//! ```text
//!  admit ──▶ class limit ──▶ table limit ──▶ lifetime
//!    │ may it come in,          │ victim: who goes      how long it may stay
//!    │ and in whose place       │
//!    └─ refused: not-admitted   └─ nobody: class-full, table-full
//! ```
//!
//! An eviction names a victim; the other two have an answer of their own, the kernel's. A kernel
//! without another eviction asks none of them, and neither does one whose eviction only listens.
//!
//! The rule that matters: a policy is asked under the lock and must not walk the table.

use crate::conn::ConnId;
use crate::event::Cause;
use crate::expectation::{ExpectId, Flags};
use crate::helper::{Class, HelperId};
use crate::kernel::{Jiffies, Ticks};
use crate::netns::{NetId, Zone};
use crate::tuple::Tuple;

/// Why room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// The newcomer's class of its master holds all it may.
    ClassFull,
    /// The namespace holds all it may.
    TableFull,
}

/// An expectation, as an eviction sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub id: ExpectId,
    /// Its master.
    pub master: ConnId,
    /// Its class.
    pub class: Class,
    /// Its namespace.
    pub net: NetId,
    /// Its zone.
    pub zone: Zone,
    /// Whom it stands for.
    pub tuple: Tuple,
    /// Its flags.
    pub flags: Flags,
    /// When it expires; of a newcomer, whatever its memory holds.
    pub expires: Jiffies,
    /// The moment it is told of: of its insertion, or of its asking to come in.
    pub now: Jiffies,
}

/// What becomes of an announcement before any limit is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may go on to the limits.
    Granted,
    /// The same, once this one has made room.
    InPlaceOf(ExpectId),
    /// It may not come in.
    Refused,
}

/// What the engine knows anyway and a policy may ask.
pub trait Table {
    /// The oldest expectation of a class of a master.
    fn oldest(&self, master: ConnId, class: Class) -> Option<ExpectId>;
    /// The first packet of a master: who opened it, and to whom.
    fn original(&self, master: ConnId) -> Tuple;
    /// The helper of a master.
    fn helper(&self, master: ConnId) -> Option<HelperId>;
    /// How many expectations a namespace holds.
    fn count(&self, net: NetId) -> u32;
    /// How many it may hold.
    fn limit(&self) -> u32;
}

/// Chooses which expectation makes room. Called with the lock held.
///
/// Three methods are to be written; the others have the kernel's answer.
pub trait Eviction: Send {
    /// An expectation was inserted.
    fn inserted(&mut self, about: &Candidate, table: &dyn Table);
    /// One was unlinked.
    fn removed(&mut self, now: Jiffies, id: ExpectId, cause: Cause);
    /// Who goes for `newcomer`, linked as the table hands it out (the engine panics at an id of what is
    /// gone); `None` refuses it.
    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId>;

    /// Whether `newcomer` may come in, asked before the limits; the kernel lets all.
    fn admit(&mut self, _newcomer: &Candidate, _table: &dyn Table) -> Admission {
        Admission::Granted
    }

    /// How long `newcomer` lives, where its policy says `usual`; the kernel's is that.
    fn lifetime(&mut self, _newcomer: &Candidate, usual: Ticks, _table: &dyn Table) -> Ticks {
        usual
    }

    /// Whether it decides anything, asked once, when the engine is made. One that does not is told
    /// what is removed and nothing else: the kernel's own choice holds, at the kernel's own cost.
    fn decides(&self) -> bool {
        true
    }
}

/// The kernel's own choice.
///
/// # Source
/// `evict_oldest_expect()`, v3.9.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oldest;

impl Oldest {
    /// Who goes for a newcomer of this master and class.
    #[doc(alias = "evict_oldest_expect")]
    #[inline]
    pub(crate) fn choice(
        pressure: Pressure,
        master: ConnId,
        class: Class,
        table: &(impl Table + ?Sized),
    ) -> Option<ExpectId> {
        match pressure {
            Pressure::ClassFull => table.oldest(master, class),
            Pressure::TableFull => None,
        }
    }
}

impl Eviction for Oldest {
    fn inserted(&mut self, _: &Candidate, _: &dyn Table) {}

    fn removed(&mut self, _: Jiffies, _: ExpectId, _: Cause) {}

    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId> {
        Self::choice(pressure, newcomer.master, newcomer.class, table)
    }
}
