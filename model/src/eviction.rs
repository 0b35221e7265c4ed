// SPDX-License-Identifier: GPL-2.0-only
//! Who goes when there is no room.
//!
//! The kernel's answer, [`Oldest`], is the engine's own: the oldest of the newcomer's class and
//! master when the class is full, nobody when the table is. Another answer implements
//! [`Eviction`]: it hears of every insertion and end, keeps its own index, and names a victim.
//!
//! The rule that matters: a policy is asked under the lock and must not walk the table.

use crate::conn::ConnId;
use crate::event::Cause;
use crate::expectation::{ExpectId, Flags};
use crate::helper::Class;
use crate::kernel::Jiffies;
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
    /// When it expires, if its policy says.
    pub expires: Jiffies,
}

/// What the engine knows anyway and a policy may ask.
pub trait Table {
    /// The oldest expectation of a class of a master.
    fn oldest(&self, master: ConnId, class: Class) -> Option<ExpectId>;
}

/// Chooses which expectation makes room. Called with the lock held.
pub trait Eviction: Send {
    /// An expectation was inserted.
    fn inserted(&mut self, about: &Candidate);
    /// One was unlinked.
    fn removed(&mut self, id: ExpectId, cause: Cause);
    /// Who goes for `newcomer`; `None` refuses it.
    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId>;
}

/// The kernel's own choice.
///
/// # Source
/// `evict_oldest_expect()`, v3.9.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oldest;

impl Eviction for Oldest {
    fn inserted(&mut self, _: &Candidate) {}

    fn removed(&mut self, _: ExpectId, _: Cause) {}

    #[doc(alias = "evict_oldest_expect")]
    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId> {
        match pressure {
            Pressure::ClassFull => table.oldest(newcomer.master, newcomer.class),
            Pressure::TableFull => None,
        }
    }
}
