// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's own bugs, rediscovered: each with the kernel that has it, the smallest scenario
//! that shows it, and what repairs it.
//!
//! ```text
//!   kernel (+ slip) ──▶ scenario or sequence ──▶ VIOLATION        the bug shows
//!   the same, with one knob turned           ──▶ PROVED, or ok    and is gone
//! ```
//!
//! *Slip*: bugs that came after the starting revision and went before the newest are no knob of
//! any kernel here; they are slips.
//!
//! The rule that matters: a bug that does not show is no bug of this table, and a repair after
//! which it still shows is none.

use nfexp_model::revision::Revision;
use nfexp_model::slip::Slip;

use crate::explore::{Limits, Report, Verdict, explore, quietly};
use crate::scenario::Scenario;
use crate::{sequences, world};

/// One bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its number in the catalogue: B for what happened, H for what could.
    pub id: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// CVE, or the commit that mends it.
    pub cve: &'static str,
    /// The kernel that has it.
    pub kernel: Revision,
    /// The slip it is, if it is no knob.
    pub slip: Option<Slip>,
    /// What shows it.
    pub show: Show,
    /// What repairs it.
    pub repair: Repair,
}

/// What shows a bug.
#[derive(Clone, Copy, Debug)]
pub enum Show {
    /// A scenario, by loom.
    Race(&'static str),
    /// A sequence on one CPU.
    Sequence(fn(Revision)),
}

/// What repairs a bug.
#[derive(Clone, Copy, Debug)]
pub enum Repair {
    /// This knob as the newest kernel has it.
    Knob(&'static str),
    /// This knob as the kernel before the newest has it.
    KnobBack(&'static str),
    /// No slip.
    NoSlip,
    /// The caller does something else.
    Instead(&'static str),
}

const OLD: Revision = Revision::LINUX_3_9;
const NOW: Revision = Revision::LINUX_7_2;
const MIDDLE: Revision = Revision::LINUX_6_18;

const fn seed(
    id: &'static str,
    cve: &'static str,
    what: &'static str,
    show: Show,
    knob: &'static str,
) -> Bug {
    Bug { id, what, cve, kernel: OLD, slip: None, show, repair: Repair::Knob(knob) }
}

const fn later(
    id: &'static str,
    cve: &'static str,
    what: &'static str,
    slip: Slip,
    kernel: Revision,
    show: Show,
) -> Bug {
    Bug { id, what, cve, kernel, slip: Some(slip), show, repair: Repair::NoSlip }
}

const fn newest(id: &'static str, what: &'static str, show: Show, knob: &'static str) -> Bug {
    Bug { id, what, cve: "-", kernel: NOW, slip: None, show, repair: Repair::KnobBack(knob) }
}

use Show::{Race, Sequence};

/// All of them.
pub const BUGS: &[Bug] = &[
    seed(
        "B01",
        "CVE-2026-80668, b8b09dc2bf35",
        "a firing timer unlinks through a master that is gone",
        Race("expire-1+destroy"),
        "expiry",
    ),
    seed(
        "B02",
        "e1b207dac13d",
        "a child holds a master whose last reference went",
        Race("announce-1+connect-1+destroy:empty"),
        "master_ref",
    ),
    seed(
        "B03",
        "4b31814d20cb",
        "a clash with another zone",
        Sequence(sequences::clash_of_zones),
        "clash_scope",
    ),
    later(
        "B04",
        "2614f8649012",
        "a refresh that inserts nothing",
        Slip::RefreshWithoutInsert,
        OLD,
        Sequence(sequences::lives),
    ),
    later(
        "B06",
        "36ac344e16e0",
        "a refresh removes the newcomer",
        Slip::RefreshRemovesNewcomer,
        MIDDLE,
        Race("announce-1"),
    ),
    later(
        "B07",
        "a242a9ae58aa",
        "a helper's expectations are sought by NULL",
        Slip::UnregisterByNull,
        MIDDLE,
        Race("unregister"),
    ),
    seed(
        "B08",
        "CVE-2026-53349, c3009418f9fa",
        "a match calls a function whose module went",
        Race("match-1+rmmod:function"),
        "expectfn_exit",
    ),
    seed(
        "B09",
        "CVE-2026-31414, 9c42bc9db90a",
        "a listing reads the helper of a master that is gone",
        Race("destroy+list"),
        "helper_from",
    ),
    seed(
        "B10a",
        "CVE-2026-43116, bffcaad9afdf",
        "netlink reads a master that is gone",
        Race("destroy+get-1"),
        "new_event",
    ),
    seed(
        "B10b",
        "CVE-2026-43116, bffcaad9afdf",
        "DESTROY is told before NEW",
        Race("announce-1+match-1:empty,told"),
        "new_event",
    ),
    seed(
        "B11",
        "02a3231b6d82",
        "a lookup reads the zone of a master that is gone",
        Race("lookup-elsewhere-1+destroy:held"),
        "zone_from",
    ),
    later(
        "B12",
        "CVE-2026-31496, 3db5647984de",
        "a listing shows other namespaces",
        Slip::ListsOtherNamespaces,
        MIDDLE,
        Sequence(sequences::listing_of_another_namespace),
    ),
    seed(
        "B13",
        "917b61fa2042",
        "a class is judged by another helper",
        Sequence(sequences::class_of_another_helper),
        "help_name_attr",
    ),
    Bug {
        id: "B16",
        what: "what was only marked is inserted again",
        cve: "4aa63842fc92",
        kernel: NOW,
        slip: None,
        show: Race("reuse-1"),
        repair: Repair::Instead("unexpect-1,announce-2"),
    },
    seed(
        "B17",
        "397c8300972f",
        "a limit that a byte cannot hold",
        Sequence(sequences::limit_beyond_a_byte),
        "class_limit",
    ),
    seed(
        "B18",
        "be57dd9c1c17",
        "no helper, no limit",
        Sequence(sequences::no_helper_no_limit),
        "class_limit",
    ),
    later(
        "B20",
        "CVE-2025-39764, 1492e3dcb2be",
        "a dump takes its resume reference twice",
        Slip::DumpReferenceTwice,
        OLD,
        Race("dump-1"),
    ),
    later(
        "B21",
        "CVE-2026-23458, 5cb81eeda909",
        "a dump keeps no reference to its master",
        Slip::DumpUncountedMaster,
        MIDDLE,
        Race("dump-1+destroy"),
    ),
    later(
        "B22",
        "0ef71ee1a5b9, 95dd8653de65",
        "a creation by netlink keeps its references",
        Slip::CreateReferenceKept,
        OLD,
        Sequence(sequences::created_by_netlink),
    ),
    later(
        "B23",
        "CVE-2026-52970, 19f94b6fee75",
        "a creator keeps its reference",
        Slip::CreatorReferenceKept,
        MIDDLE,
        Race("announce-2"),
    ),
    seed(
        "B32",
        "ca7433df3a67",
        "URQ ends expectations without the lock",
        Race("expire-1+urq"),
        "urq_lock",
    ),
    seed(
        "B34",
        "4914109a8e1e",
        "a lookup that only looks consumes",
        Sequence(sequences::lookup_that_only_looks),
        "match_unlinks",
    ),
    later(
        "B38",
        "expect-evict-order, 2004",
        "the newest is evicted",
        Slip::EvictsNewest,
        OLD,
        Sequence(sequences::oldest_goes),
    ),
    later(
        "B39",
        "e844a928431f",
        "a walker stands on a link that is poisoned",
        Slip::DelPoisonsNext,
        OLD,
        Race("delete-1+list"),
    ),
    seed(
        "B46",
        "since 7.2",
        "a helper announces when it has gone",
        Race("announce-1+unregister:empty"),
        "helper_exit",
    ),
    seed(
        "H01",
        "b8b09dc2bf35",
        "a refusal while the oldest is on its way out",
        Race("announce-2+expire-1:one"),
        "expiry",
    ),
    Bug {
        id: "H02",
        what: "a helper is taken while its announcement is judged",
        cve: "since 7.2",
        kernel: MIDDLE,
        slip: None,
        show: Race("announce-1+unregister:empty"),
        repair: Repair::Knob("helper_exit"),
    },
    seed(
        "H03",
        "about v4.12",
        "a reader sees a timer that is not set up",
        Race("announce-1+list:empty"),
        "insert_order",
    ),
    Bug {
        id: "H05",
        what: "an object is announced again while a match holds it",
        cve: "-",
        kernel: OLD,
        slip: None,
        show: Race("reuse-1+match-1"),
        repair: Repair::Instead("unexpect-1,announce-2+match-1"),
    },
    seed(
        "H10",
        "b8b09dc2bf35; its buckets: 0a93aaedc46a",
        "a timer outlives its namespace",
        Race("expire-1+netns-exit"),
        "expiry",
    ),
    seed(
        "H14",
        "b8b09dc2bf35",
        "an expectation outlives its helper",
        Race("expire-1+unregister"),
        "expiry",
    ),
    newest(
        "H21",
        "refused for want of room that only the dead take",
        Sequence(sequences::room_of_the_dead),
        "expiry",
    ),
    newest(
        "H24a",
        "a pair exceeds the limit of its class",
        Sequence(sequences::pair_within_its_limit),
        "pair_insert",
    ),
    newest(
        "H24b",
        "the two of a pair are not held against each other",
        Sequence(sequences::pair_that_clashes),
        "pair_insert",
    ),
];

/// What was found of a bug, or of its repair.
#[derive(Clone, Debug)]
pub struct Found {
    /// Executions until it was found, or until there were no more.
    pub executions: usize,
    /// What was violated.
    pub violation: Option<String>,
    /// How far it was looked for.
    pub verdict: Verdict,
}

impl From<Report> for Found {
    fn from(report: Report) -> Self {
        let violation = report.violation().map(str::to_owned);
        assert!(report.verdict != Verdict::Budget, "neither found nor exhausted");
        Self { executions: report.executions, violation, verdict: report.verdict }
    }
}

impl Bug {
    /// The bug of this number.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        BUGS.iter().find(|bug| bug.id.eq_ignore_ascii_case(id))
    }

    /// Shows it.
    #[must_use]
    pub fn found(&self) -> Found {
        world::with(self.slip, || play(self.kernel, self.show))
    }

    /// Tries to show it where it is repaired.
    #[must_use]
    pub fn repaired(&self) -> Found {
        match self.repair {
            Repair::Knob(knob) => play(self.with_knob(knob), self.show),
            Repair::KnobBack(knob) => {
                let kernel = self.kernel.with_knob_of(knob, &MIDDLE);
                play(kernel.unwrap_or_else(|| panic!("no knob {knob}")), self.show)
            }
            Repair::NoSlip => play(self.kernel, self.show),
            Repair::Instead(name) => play(self.kernel, Race(name)),
        }
    }

    /// Its kernel with this knob as the newest has it.
    ///
    /// # Panics
    /// If there is no such knob.
    #[must_use]
    pub fn with_knob(&self, knob: &str) -> Revision {
        self.kernel.with_knob_of(knob, &NOW).unwrap_or_else(|| panic!("no knob {knob}"))
    }

    /// The scenario that shows it, if it is a race.
    #[must_use]
    pub fn scenario(&self) -> Option<Scenario> {
        match self.show {
            Race(name) => Some(Scenario::named(self.kernel, name).expect("a good name")),
            Sequence(_) => None,
        }
    }
}

fn play(kernel: Revision, show: Show) -> Found {
    match show {
        Race(name) => {
            let scenario = Scenario::named(kernel, name).expect("a good name");
            // Three CPUs are bounded, and said to be.
            let bound = (scenario.cpus.len() > 2).then_some(2);
            explore(&scenario, Limits { preemptions: bound, ..Limits::NONE }).into()
        }
        Sequence(sequence) => {
            let violation = quietly(|| sequence(kernel)).err();
            Found { executions: 1, violation, verdict: Verdict::Proved }
        }
    }
}
