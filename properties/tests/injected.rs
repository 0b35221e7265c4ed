// SPDX-License-Identifier: GPL-2.0-only
//! Models in the kernel's place: what generated sequences show of a knob.
//!
//! * A divergence injected on purpose is found, explained and made small, for every knob that a
//!   generated sequence can show at all.
//! * Wherever two revisions part on a generated sequence, a knob says why.
//!
//! A model answers generated sequences in the kernel's place, so no kernel is needed and the
//! outcome is the same everywhere; `tests/oracle.rs` does it with the running kernel.

use std::collections::BTreeSet;

use nfexp_model::revision::Revision;
use nfexp_sim::conform::{Player, Witness, check, shrink};
use nfexp_sim::oracle::OBJECTS;
use nfexp_sim::oracle::generate::Generator;
use nfexp_sim::oracle::profile::Profile;
use nfexp_sim::simulator::{crash_quietly, unless_it_crashes};
use nfexp_traces::transcript::{Header, Line};

const RIGHT: Revision = Revision::LINUX_6_18;

/// How long a sequence is.
const OPERATIONS: u64 = 300;

/// In how many sequences a knob is made small at most: one says enough, two are better.
const SEQUENCES: usize = 2;

/// What operations of a user and packets of one CPU and one namespace cannot show, and why; each
/// has another witness in `model/docs/revisions.md`.
const BEYOND: [(&str, &str); 24] = [
    ("table", "needs a second namespace"),
    ("expect_lock", "needs a second CPU"),
    ("zone_from", "needs a second CPU"),
    ("duplicate", "needs SIP, which alone skips the master"),
    ("master_ref", "needs a packet between a master's death and its end"),
    ("new_event", "needs a second CPU"),
    ("insert_order", "needs a second CPU"),
    ("match_unlinks", "needs a template's lookup"),
    ("helper_from", "needs a helper that changes under its expectations"),
    ("class_limit", "needs a policy of 0 or above 255"),
    ("fresh_memory", "needs a master without a helper, which 6.18 refuses"),
    ("expectfn_exit", "needs a module that leaves"),
    ("urq_lock", "needs a second CPU"),
    ("found_stat", "is not among the counters of a transcript"),
    ("expect_max_range", "the sysctl is not among the operations"),
    ("flush_zone", "the generator names a connection, or deletes all"),
    ("sibling_helper", "needs SIP or H.323, which alone give a helper to what they announce"),
    ("pair_insert", "needs SIP"),
    ("helper_exit", "needs a module that leaves"),
    ("ftp_reply", "is about what a helper reads"),
    ("ftp_numbers", "is about what a helper reads"),
    ("irc_search", "is about what a helper reads"),
    ("sip_scan", "is about what a helper reads"),
    ("gre_keys", "is about what a helper reads"),
];

/// What a kernel answers to a generated sequence.
fn recording(kernel: Revision, profile: Profile, seed: u64) -> (Header, Vec<Line>) {
    let mut header = Header::usual(&profile.to_string(), &seed.to_string(), OPERATIONS);
    header.nft = OBJECTS.to_vec();
    let mut player: Player = Player::of_revision(&header, kernel).expect("there is memory");
    let mut generator = Generator::new(profile, seed, OPERATIONS, header.expect_max);
    let mut lines = Vec::new();
    while let Some(operation) = generator.next_operation() {
        // A kernel that crashes has said all that it will say.
        let Ok(answer) = unless_it_crashes(|| player.answer(&operation)) else { break };
        generator.learn(&operation, &answer);
        lines.push(Line { i: lines.len() as u64, t: None, operation, answer });
    }
    (header, lines)
}

fn recordings(kernel: Revision, seeds: u64) -> Vec<(Header, Vec<Line>)> {
    let profiles = Profile::names().into_iter().filter_map(|name| Profile::named(&name));
    let profiles: Vec<Profile> = profiles.collect();
    (0..seeds)
        .flat_map(|seed| profiles.iter().map(move |it| recording(kernel, *it, seed)))
        .collect()
}

/// The ways in which 6.18 can be turned by one knob.
fn turned(knob: &str) -> impl Iterator<Item = Revision> {
    let others = Revision::ALL.into_iter();
    others.filter_map(move |other| RIGHT.with_knob_of(knob, &other)).filter(|it| *it != RIGHT)
}

#[test]
fn every_turned_knob_is_found_and_made_small() {
    // A kernel that crashes is a divergence like any other.
    crash_quietly();
    let (recordings, mut faults, mut unseen) = (recordings(RIGHT, 3), Vec::new(), Vec::new());
    for knob in Revision::KNOBS {
        let mut seen = 0;
        for mutant in turned(knob) {
            let found = recordings
                .iter()
                .filter_map(|(header, lines)| Some((header, lines, check(header, lines, mutant)?)));
            for (header, lines, divergence) in found.take(SEQUENCES) {
                seen += 1;
                let small = shrink(header, lines, mutant, &divergence).lines;
                let place = check(header, &small, mutant).map(|again| again.place + 1);
                let right = check(header, &small, RIGHT).is_none();
                let explained = Witness::of(header, lines, mutant).and_then(|it| it.knob);
                if small.len() > 10 || place != Some(small.len()) || !right {
                    faults.push(format!("{knob}: {} steps, of {place:?}", small.len()));
                }
                if explained != Some(*knob) {
                    faults.push(format!("{knob}: explained by {explained:?}"));
                }
            }
        }
        if seen == 0 {
            unseen.push(*knob);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(unseen, BEYOND.map(|(knob, _)| knob), "not found by any generated sequence");
}

/// `kernel` with these knobs as `right` has them.
fn with(kernel: Revision, knobs: &[&'static str], right: &Revision) -> Revision {
    knobs.iter().fold(kernel, |kernel, knob| {
        kernel.with_knob_of(knob, right).expect("a knob that differs exists")
    })
}

/// Turns knobs until `kernel` agrees with what `right` answered: each time the fewest that let it
/// agree beyond the place where they part. Answers which they were, time by time.
fn explained(
    (header, lines): &(Header, Vec<Line>),
    mut kernel: Revision,
    right: &Revision,
) -> Vec<Vec<&'static str>> {
    let mut turned = Vec::new();
    while let Some(parted) = check(header, lines, kernel) {
        let agrees = |knobs: &[&'static str]| {
            check(header, &lines[..=parted.place], with(kernel, knobs, right)).is_none()
        };
        let mut needed = kernel.differing_knobs(right);
        for knob in kernel.differing_knobs(right) {
            let fewer: Vec<_> = needed.iter().copied().filter(|other| *other != knob).collect();
            if agrees(&fewer) {
                needed = fewer;
            }
        }
        assert!(agrees(&needed), "no knob explains {} of {}", parted.difference, header.profile);
        kernel = with(kernel, &needed, right);
        turned.push(needed);
    }
    turned
}

#[test]
fn two_revisions_part_only_where_a_knob_says_why() {
    crash_quietly();
    let mut found = BTreeSet::new();
    for (kernel, right) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let (kernel, right) = (Revision::ALL[kernel], Revision::ALL[right]);
        for recording in recordings(right, 1) {
            for knobs in explained(&recording, kernel, &right) {
                let profile = &recording.0.profile;
                let named = (1..=3).contains(&knobs.len());
                assert!(named, "{} beside {}, {profile}: {knobs:?}", kernel.name, right.name);
                found.extend(knobs);
            }
        }
    }
    assert!(found.len() >= 15, "only these knobs mattered: {found:?}");
}
