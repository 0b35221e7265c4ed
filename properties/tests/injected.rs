// SPDX-License-Identifier: GPL-2.0-only
//! A divergence injected on purpose is found, explained and made small, for every knob that a
//! generated sequence can show at all.
//!
//! A model of 6.18 answers generated sequences in the kernel's place, so no kernel is needed and
//! the outcome is the same everywhere; `tests/oracle.rs` does it with the running kernel.

use nfexp_model::revision::Revision;
use nfexp_sim::conform::{Player, Witness, check, shrink};
use nfexp_sim::oracle::OBJECTS;
use nfexp_sim::oracle::generate::Generator;
use nfexp_sim::oracle::profile::Profile;
use nfexp_sim::simulator::crash_quietly;
use nfexp_traces::transcript::{Header, Line};

const RIGHT: Revision = Revision::LINUX_6_18;

/// How long a sequence is.
const OPERATIONS: u64 = 300;

/// In how many sequences a knob is made small at most: one says enough, two are better.
const SEQUENCES: usize = 2;

/// What operations of a user and packets of one CPU and one namespace cannot show, and why; each
/// has another witness in `model/docs/revisions.md`.
const BEYOND: [(&str, &str); 17] = [
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
    ("pair_insert", "needs SIP"),
    ("helper_exit", "needs a module that leaves"),
];

/// What 6.18 answers to a generated sequence.
fn recording(profile: Profile, seed: u64) -> (Header, Vec<Line>) {
    let mut header = Header::usual(&profile.to_string(), &seed.to_string(), OPERATIONS);
    header.nft = OBJECTS.to_vec();
    let mut player: Player = Player::of_revision(&header, RIGHT).expect("there is memory");
    let mut generator = Generator::new(profile, seed, OPERATIONS, header.expect_max);
    let mut lines = Vec::new();
    while let Some(operation) = generator.next_operation() {
        let answer = player.answer(&operation);
        generator.learn(&operation, &answer);
        lines.push(Line { i: lines.len() as u64, t: None, operation, answer });
    }
    (header, lines)
}

fn recordings() -> Vec<(Header, Vec<Line>)> {
    let profiles = Profile::names().into_iter().filter_map(|name| Profile::named(&name));
    let profiles: Vec<Profile> = profiles.collect();
    (0..3).flat_map(|seed| profiles.iter().map(move |it| recording(*it, seed))).collect()
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
    let (recordings, mut faults, mut unseen) = (recordings(), Vec::new(), Vec::new());
    for knob in Revision::KNOBS {
        let mut seen = 0;
        for mutant in turned(knob) {
            let found = recordings
                .iter()
                .filter_map(|(header, lines)| Some((header, lines, check(header, lines, mutant)?)));
            for (header, lines, divergence) in found.take(SEQUENCES) {
                seen += 1;
                let small = shrink(header, lines, mutant, &divergence);
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
