// SPDX-License-Identifier: GPL-2.0-only
//! The thirteen invariants, and where each is looked at.
//!
//! A table that nobody changes is audited by the model itself ([`Invariant`]); what shows only
//! in the course of things is heard here ([`Events`]) or asked by who acts
//! ([`Actor`](crate::actor::Actor)). Every violation begins with its invariant's name.
//!
//! The rule that matters: the same predicates run under loom, in random schedules, under real
//! threads, and after every step of the simulator.

use std::collections::BTreeMap;

use nfexp_model::audit::Invariant;
use nfexp_model::event::{Event, ExpectEventKind};
use nfexp_model::expectation::ExpectId;

/// The invariants by number, as `KERNEL.md` counts them; the names that stand in messages.
pub const INVARIANTS: [(u8, &str, &str); 13] = [
    (1, "LinkedOnce", "linked means once in its bucket and once in its master's list"),
    (2, "CountIsLinked", "expect_count and expecting are what is linked"),
    (3, "ReferencesCovered", "use is at least what table, timer and holders hold; none is left"),
    (4, "MasterAlive", "the master of what is linked is alive"),
    (5, "NoClash", "no packet could hit two that are linked"),
    (6, "CreatedMinusDeleted", "insertions minus removals is what is linked"),
    (7, "ToldInOrder", "each life is told of by one NEW and then one DESTROY"),
    (8, "ClassWithinLimit", "a class holds at most what its policy says"),
    (9, "ChildHoldsMaster", "an announced connection holds its master"),
    (10, "NothingUnregistered", "nothing reachable points at a helper or function that went"),
    (11, "ListsOwn", "a reader sees its own namespace, zone and helper"),
    (12, "RefusedOnlyIfFull", "an announcement is refused for room only if there is none"),
    (13, "NotReinserted", "what is linked or reachable is not inserted or changed"),
];

/// The number of an invariant that an audit found false.
#[must_use]
pub const fn number(invariant: Invariant) -> u8 {
    match invariant {
        Invariant::LinkedOnce => 1,
        Invariant::CountIsLinked | Invariant::ExpectingIsLinked => 2,
        Invariant::ReferencesCovered | Invariant::NothingLeaks => 3,
        Invariant::MasterAlive => 4,
        Invariant::NoClash => 5,
        Invariant::CreatedMinusDeleted => 6,
        Invariant::ClassWithinLimit => 8,
        Invariant::ChildHoldsMaster => 9,
    }
}

/// How the message of a comparison that failed begins.
pub const COMPARED: &str = "assertion `left == right` failed: ";

/// Which invariant a message is about, by its number; what the platform finds itself counts as
/// the invariant it breaks.
#[must_use]
pub fn broken_by(message: &str) -> Option<u8> {
    let message = message.strip_prefix(COMPARED).unwrap_or(message);
    let named = INVARIANTS.iter().find(|(_, name, _)| message.starts_with(name));
    let of_audit = || match message {
        _ if message.starts_with("ExpectingIsLinked") => Some(2),
        _ if message.starts_with("NothingLeaks") || message.contains("below zero") => Some(3),
        _ if message.contains("free of connection") => Some(4),
        _ if message.contains("use after free") || message.contains("double free") => Some(3),
        _ if message.starts_with("OwnZone") => Some(11),
        _ if message.contains("in no list") || message.contains("poisoned") => Some(1),
        _ if message.contains("pending timer") => Some(13),
        _ => None,
    };
    named.map(|(number, ..)| *number).or_else(of_audit)
}

/// Hears events and knows how far each life has been told.
///
/// Invariant 7: NEW comes once and first, DESTROY once and after it.
#[derive(Debug, Default)]
pub struct Events {
    /// For each life, whether its DESTROY was told.
    told: BTreeMap<ExpectId, bool>,
    /// Lives that began before anybody listened.
    silent: bool,
}

impl Events {
    /// Hears from now on: what was inserted before may be told of by its DESTROY alone.
    #[must_use]
    pub fn from_now() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// Hears one event.
    ///
    /// # Panics
    /// If it comes out of order.
    pub fn hear(&mut self, event: &Event) {
        let Event::Expect(event) = event else { return };
        let destroyed = matches!(event.kind, ExpectEventKind::Destroy(_));
        match (self.told.insert(event.id, destroyed), destroyed) {
            (None, false) | (Some(false), true) => {}
            (None, true) if self.silent => {}
            (None, true) => panic!("ToldInOrder: DESTROY of {:?} before its NEW", event.id),
            (Some(false), false) => panic!("ToldInOrder: NEW of {:?} twice", event.id),
            (Some(true), false) => panic!("ToldInOrder: NEW of {:?} after DESTROY", event.id),
            (Some(true), true) => panic!("ToldInOrder: DESTROY of {:?} twice", event.id),
        }
    }

    /// Nothing is left: every NEW has had its DESTROY.
    ///
    /// # Panics
    /// If one has not.
    pub fn all_over(&self) {
        let ghost = self.told.iter().find(|(_, destroyed)| !**destroyed);
        assert!(ghost.is_none(), "ToldInOrder: {:?} ended untold", ghost.map(|(id, _)| id));
    }
}
