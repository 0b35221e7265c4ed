// SPDX-License-Identifier: GPL-2.0-only
//! The thirteen invariants, and where each is looked at.
//!
//! Each is a predicate of the model: a table that nobody changes is [audited](nfexp_model::audit),
//! the course of things is [watched](nfexp_model::watch). Who acts ([`Actor`](crate::actor::Actor))
//! asks beside these what only a race can break: a helper read from a connection that is gone, a
//! call into freed text. Every violation begins with its invariant's name.
//!
//! ```text
//!                      1-6, 8, 9        7, 13              10            11              12
//!   loom, schedules    at the end       every event        its end, end  who reads       who is refused
//!   real threads       every round      every event (7.2)  -             who reads       -
//!   simulator          every step       every event        unregister    list, lookup    who is refused
//!   proptest           the simulator's, beside the reference, and while softirqs come late
//! ```
//!
//! The rule that matters: the same predicates run under loom, in random schedules, under real
//! threads, and after every step of the simulator; of a table too large for that, whenever so many
//! steps have passed that they pay for an audit, and at the end.

use nfexp_model::audit::Invariant;

/// The invariants: number, the name that stands in messages, and what must hold.
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
        Invariant::ToldInOrder => 7,
        Invariant::ChildHoldsMaster => 9,
        Invariant::NothingUnregistered => 10,
        Invariant::ListsOwn => 11,
        Invariant::RefusedOnlyIfFull => 12,
        Invariant::NotReinserted => 13,
    }
}

/// How the message of a comparison that failed begins.
pub const COMPARED: &str = "assertion `left == right` failed: ";

/// Which invariant a message is about, by its number; what the platform finds itself counts as
/// the invariant it breaks.
#[must_use]
pub fn broken_by(message: &str) -> Option<u8> {
    let message = message.strip_prefix(COMPARED).unwrap_or(message);
    let named = Invariant::ALL.iter().find(|named| message.starts_with(&format!("{named:?}")));
    let of_platform = || match message {
        _ if message.contains("below zero") => Some(3),
        _ if message.contains("free of connection") => Some(4),
        _ if message.contains("use after free") || message.contains("double free") => Some(3),
        _ if message.starts_with("OwnZone") => Some(11),
        _ if message.contains("in no list") || message.contains("poisoned") => Some(1),
        _ if message.contains("pending timer") => Some(13),
        _ => None,
    };
    named.map(|invariant| number(*invariant)).or_else(of_platform)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nfexp_model::audit::Violation;

    use super::*;

    #[test]
    fn every_invariant_has_a_row() {
        for (at, (number, ..)) in (1..).zip(INVARIANTS) {
            assert_eq!(number, at, "the rows are numbered from 1");
        }
        let mut numbers = BTreeSet::new();
        for invariant in Invariant::ALL {
            let number = number(*invariant);
            let row = INVARIANTS.iter().any(|(row, ..)| *row == number);
            assert!(row, "{invariant:?}: expected a row of INVARIANTS with its number, {number}");
            let told = Violation { invariant: *invariant, found: "it".to_owned() }.to_string();
            assert_eq!(broken_by(&told), Some(number), "{told}");
            numbers.insert(number);
        }
        assert_eq!(numbers.len(), INVARIANTS.len(), "each row is of an Invariant");
        for (number, name, _) in INVARIANTS {
            assert_eq!(broken_by(&format!("{name}: it")), Some(number));
        }
    }

    /// A claim that no slip breaks was no claim.
    #[test]
    fn every_invariant_is_broken_by_a_mutant() {
        let mutants = include_str!("../MUTANTS.md");
        let rows: Vec<&str> = mutants.lines().filter(|line| line.starts_with("| `")).collect();
        for (number, name, _) in INVARIANTS {
            let noticed = format!("inv {number} |");
            let is_broken = rows.iter().any(|row| row.contains(&noticed));
            let needs = "expected a slip (model/src/slip.rs) of which MUTANTS.md says";
            assert!(is_broken, "{name}: {needs} `inv {number}`");
        }
    }
}
