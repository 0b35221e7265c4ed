// SPDX-License-Identifier: GPL-2.0-only
//! Every situation of a small world, on one CPU.
//!
//! * To some depth every sequence of deeds is answered as the reference answers it, and every table
//!   passes its audit: the table `states` of `README.md` says how many situations and sequences that
//!   are. `cargo exhaustive` goes further.
//! * Two histories that lead to one situation go on alike, whatever is done; if any part of what a
//!   situation is were left out of its number, some would not.
//! * A world in which a single step goes wrong is found, at the depth that is written here.

use nfexp_model::fingerprint::Part;
use nfexp_model::kernel::Up;
use nfexp_model::revision::Revision;
use nfexp_model::slip::Slip::{self, *};
use nfexp_model::snapshot::OneCpu;
use nfexp_properties::states::{Limits, Report, Verdict, alphabet, explore, twins};
use nfexp_properties::table::{Stopwatch, Table};
use nfexp_properties::turns::Flawed;
use nfexp_properties::world;
use nfexp_sim::simulator::crash_quietly;

/// How far plain `cargo test` goes.
const DEPTH: usize = 4;
/// How far `cargo exhaustive` goes.
const FURTHER: usize = 6;

fn of<P: OneCpu>(revision: Revision, depth: usize, states: usize, key: u64) -> Report {
    let (config, deeds) = (alphabet::config(revision), alphabet::deeds());
    explore::<P>(&config, &deeds, Limits { depth, states, key })
}

/// Explores, and holds the table current.
fn all(revision: Revision, depth: usize) -> Report {
    let began = Stopwatch::start();
    let report = of::<Up>(revision, depth, usize::MAX, 0);
    eprintln!("{}: {report}", revision.name);
    assert_eq!(report.verdict, Verdict::Exhaustive(depth), "{report}");
    let columns = ["kernel, depth", "situations", "deeds", "sequences", "seconds"];
    let mut table = Table::new(&columns);
    let name = format!("{}, {depth}", revision.name);
    let Report { states, deeds, sequences, .. } = &report;
    let counts = [states.to_string(), deeds.to_string(), sequences.to_string()];
    table.rows.push([vec![name], counts.to_vec(), vec![began.seconds()]].concat());
    table.settle("README.md", "states", false).unwrap_or_else(|error| panic!("{error}"));
    report
}

#[test]
fn every_situation_of_a_few_deeds() {
    for revision in Revision::ALL {
        let report = all(revision, DEPTH);
        // Another key finds as many: no two had one number.
        let other = of::<Up>(revision, DEPTH - 1, usize::MAX, 1);
        assert_eq!(other.levels, report.levels[..DEPTH]);
        // So does the platform of the broken worlds, where nothing is broken.
        let right = of::<Flawed>(revision, DEPTH - 1, usize::MAX, 0);
        assert_eq!((right.verdict, right.levels), (other.verdict, other.levels));
    }
}

#[test]
#[ignore = "a minute: run by `cargo exhaustive`"]
fn exhaustive_situations_of_3_9() {
    all(Revision::LINUX_3_9, FURTHER);
}

#[test]
#[ignore = "a minute: run by `cargo exhaustive`"]
fn exhaustive_situations_of_6_18() {
    all(Revision::LINUX_6_18, FURTHER);
}

#[test]
#[ignore = "a minute: run by `cargo exhaustive`"]
fn exhaustive_situations_of_7_2() {
    all(Revision::LINUX_7_2, FURTHER);
}

/// Who runs out of budget says so, and claims no more than was looked at.
#[test]
fn a_budget_is_said() {
    let report = of::<Up>(Revision::LINUX_3_9, DEPTH, 500, 0);
    assert_eq!(report.verdict, Verdict::Budget(2));
    assert!(report.to_string().starts_with("out of budget; exhaustive to depth 2 over this"));
    assert_eq!(report.sequences, of::<Up>(Revision::LINUX_3_9, 2, 500, 0).sequences);
}

// ---- twins -----------------------------------------------------------------------------------

#[test]
fn twins_go_on_alike() {
    for revision in Revision::ALL {
        let (config, deeds) = (alphabet::config(revision), alphabet::deeds());
        let pairs = twins::<Up>(&config, &deeds, (3, 1), None);
        let pairs = pairs.unwrap_or_else(|why| panic!("{}: {why}", revision.name));
        assert!(pairs > 3_000, "{pairs} pairs");
    }
}

/// What no deed of this alphabet shows is shown in `model/src/fingerprint.rs`.
const ELSEWHERE: [Part; 2] = [Part::Waiting, Part::Memory];

#[test]
fn no_part_can_be_left_out() {
    for part in Part::ALL.into_iter().filter(|part| !ELSEWHERE.contains(part)) {
        let differ = Revision::ALL.into_iter().find_map(|revision| {
            let (config, deeds) = (alphabet::config(revision), alphabet::deeds());
            twins::<Up>(&config, &deeds, (2, 30), Some(part)).err()
        });
        assert!(differ.is_some(), "{part:?} could be left out");
    }
}

// ---- broken worlds ---------------------------------------------------------------------------

/// What is found, by the depth at which it is. The others show on a second CPU, in another
/// namespace or zone, to users who ask by netlink, or nowhere on this storage.
const FOUND: [&[Slip]; 4] = [
    &[
        TimerReferenceKept,
        TableReferenceKept,
        DestroyUntold,
        SecondTeardownOmitted,
        TimerUncounted,
        ExpectingNotRaised,
        CountNotRaised,
        CreateUncounted,
        NewUntold,
    ],
    &[
        MatchesInactive,
        MatchesUnconfirmed,
        ConsumesPermanent,
        PermanentUncounted,
        MatchStaysLinked,
        MatchPutsTwice,
        CountNotLowered,
        ExpectingKeptByMatch,
        ExpectingKeptByExpiry,
        ExpectingKeptByEviction,
        ExpectingOfFirstClass,
        StaysInMastersList,
        DeleteUncounted,
        CallbackKeepsReference,
        CallbackPutsTwice,
        ClashUntested,
        ClashByEitherMask,
        RefreshWithoutInsert,
        RefreshRemovesNewcomer,
        OnlyFirstClassLimited,
        ClassLimitOffByOne,
        RefusesEarly,
        ChildWithoutMaster,
        UnregisterByNull,
    ],
    &[
        TimerLies,
        MatchIgnoresTimer,
        MasterNotGivenBack,
        RefreshIgnoresTimer,
        UnexpectIgnoresTimer,
        TeardownIgnoresTimer,
        FirstTeardownOmitted,
        TeardownStopsEarly,
        TableLimitOffByOne,
        EvictsAnyClass,
    ],
    &[
        MatchesDying,
        MatchesLast,
        MasterFromZero,
        EvictionIgnoresTimer,
        EvictsNewest,
        EvictionSparesPermanent,
    ],
];

/// The depth at which a slip is found, in the first kernel that shows it.
fn depth_of(slip: Option<Slip>, depth: usize) -> Option<usize> {
    Revision::ALL.into_iter().find_map(|revision| {
        let report = world::with(slip, || of::<Flawed>(revision, depth, usize::MAX, 0));
        match report.verdict {
            Verdict::Violated(path, _) => Some(path.len()),
            _ => None,
        }
    })
}

#[test]
fn broken_worlds_are_found() {
    crash_quietly();
    for (depth, slips) in (1..).zip(FOUND) {
        for slip in slips {
            assert_eq!(depth_of(Some(*slip), depth), Some(depth), "{}", world::name(*slip));
        }
    }
    // The canary: what is not broken is not found.
    assert_eq!(depth_of(None, 2), None);
    assert_eq!(depth_of(Some(Nowhere), 2), None);
}
