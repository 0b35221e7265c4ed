// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp race` says "proved" and ends with 0 only where every execution was run and checked.

use std::process::Stdio;

use nfexp_properties::bugs::{BUGS, Show};
use nfexp_properties::world;

use super::{nfexp, run};

/// loom reads its environment for what ends an exploration early.
#[test]
fn the_environment_proves_nothing() {
    let stops = [
        [("LOOM_MAX_PERMUTATIONS", "1"), ("LOOM_CHECKPOINT_INTERVAL", "1")],
        [("LOOM_MAX_DURATION", "0"), ("LOOM_CHECKPOINT_INTERVAL", "1")],
        [("LOOM_MAX_PREEMPTIONS", "0"), ("LOOM_CHECKPOINT_FILE", "nowhere/it")],
        [("LOOM_MAX_BRANCHES", "3"), ("LOOM_LOCATION", "1")],
    ];
    for (race, code) in [("expire-1+lookup-1", 0), ("B01", 1)] {
        let (_, alone, _) = run(&["race", race]);
        for stop in stops {
            let mut raced = nfexp(&["race", race]);
            let raced = raced.envs(stop).stdin(Stdio::null()).output().expect("it is built");
            assert_eq!(raced.status.code(), Some(code), "{race}: {stop:?}");
            assert_eq!(String::from_utf8_lossy(&raced.stdout), alone, "{race}: {stop:?}");
        }
    }
    for name in ["LOOM_MAX_BRANCHES", "LOOM_MAX_PREEMPTIONS", "LOOM_CHECKPOINT_INTERVAL"] {
        let mut raced = nfexp(&["race", "B01"]);
        let raced = raced.env(name, "abc").stdin(Stdio::null()).output().expect("it is built");
        let told = String::from_utf8_lossy(&raced.stderr);
        assert_eq!(raced.status.code(), Some(2), "{told}");
        assert_eq!(told, format!("nfexp: {name}=abc: expected a number: unset it\n"));
    }
    let (code, shown, _) = run(&["race", "expire-1+match-1", "--budget", "0"]);
    assert_eq!((code, shown.trim()), (3, "expire-1+match-1: BUDGET in 0 executions (3.9)"));
}

/// A bug is in its own kernel, whoever names that, and the text says what was explored.
#[test]
fn a_bug_is_in_its_kernel() {
    for bug in BUGS {
        let (Some(slip), Show::Race(scenario)) = (bug.slip, bug.show) else { continue };
        let own = bug.kernel.name;
        let (code, shown, told) = run(&["race", bug.id, "--revision", own]);
        assert_eq!(code, 1, "{}: {shown}{told}", bug.id);
        let head = format!("{scenario} on Linux {own}, mutant {}: VIOLATION", world::name(slip));
        assert!(shown.starts_with(&head), "{}: {shown}", bug.id);
    }
    let (code, shown, _) = run(&["race", "expire-1+lookup-1", "--mutant", "inc-from-zero"]);
    assert!(code == 1 && shown.contains(" on Linux 3.9, mutant inc-from-zero: "), "{shown}");
    let (code, shown, _) = run(&["race", "B01", "--revision", "7.2"]);
    assert!(code == 0 && shown.contains(" executions (7.2)\n"), "{shown}");
}

/// What loom cannot count is a wrong question and no violation.
#[test]
fn a_bound_is_a_byte() {
    for bound in ["256", "65536", "18446744073709551616"] {
        let (code, shown, told) = run(&["race", "expire-1+match-1", "--bound", bound]);
        assert_eq!((code, shown.as_str()), (2, ""), "{told}");
        assert!(told.contains("at most 255"), "{told}");
    }
    let (code, shown, _) = run(&["race", "expire-1+match-1", "--bound", "255"]);
    assert!(code == 3 && shown.starts_with("expire-1+match-1: BOUNDED 255 in"), "{shown}");
}

/// Frees for which loom had no thread left are no part of a proof.
#[test]
fn frees_that_were_not_checked_are_told() {
    let race = ["race", "announce-2,announce-3+announce-1"];
    let (code, shown, told) = run(&race);
    assert_eq!(code, 3, "{shown}");
    let first = shown.lines().next().unwrap_or_default();
    assert!(first.contains(": PROVED in ") && first.ends_with(" executions (3.9) †"), "{first}");
    assert!(told.contains("were not checked"), "{told}");
    let (code, shown, _) = run(&[&race[..], &["--format", "json"]].concat());
    assert!(code == 3 && !shown.contains("\"unchecked\":0,"), "{shown}");
}
