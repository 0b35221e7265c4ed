// SPDX-License-Identifier: GPL-2.0-only
//! The research simulator against theory.
//!
//! * A table that refuses when full blocks as Erlang's formula says.
//! * Oldest-first and random victims keep what Che's approximation says, within 2/C.
//! * A class of one keeps what the closed form says.
//! * Our 95 % intervals hold the true value in 181 to 198 of 200 experiments.
//! * LRU and LFU are FIFO where nothing is matched twice, ending by ending.
//! * When the table is full, the kernel rewards waste; oldest-first over the table does not.
//! * At a full table who holds something finds more than who holds nothing, and what an attack
//!   took comes back within a timeout of its end.
//! * The kernel's policy, which only listens, ends all as one that is asked and answers the same,
//!   in every kernel.
//! * Who suffers is seen by namespace, source and master.
//! * A policy that always names a victim refuses nobody, in any number of namespaces; one that names
//!   nobody in a full class refuses in every kernel; and policies tell classes by their worth.

use std::collections::BTreeSet;

use nfexp_model::expectation::ExpectId;
use nfexp_model::revision::Revision;
use nfexp_sim::research::cast::Cast;
use nfexp_sim::research::cell::masters_of;
use nfexp_sim::research::document::Document;
use nfexp_sim::research::ledger::Ending;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::Spec;
use nfexp_sim::research::policy::book::{Book, Entry};
use nfexp_sim::research::policy::parse::policy;
use nfexp_sim::research::policy::victim::Victim;
use nfexp_sim::research::setup::Setup;
use nfexp_sim::research::statistics::{Estimate, erlang_b};
use nfexp_sim::research::sweep::study::shipped;
use nfexp_sim::research::workload::{Happening, What, Workload};
use nfexp_sim::research::world::{Outcome, World};

fn one_class(
    rate: f64,
    delay: &str,
    share: f64,
    masters: u32,
    policy: &str,
    lasts: u32,
) -> Document {
    let text = format!(
        r#"
name = "one"
[run]
lasts = "{lasts}s"
source = "the test"
[[class]]
name = "only"
helper = "irc"
arrivals = {{ law = "poisson", per_second = {rate:?}, source = "the test" }}
delay = {{ {delay}, source = "the test" }}
answered = {{ share = {share:?}, source = "the test" }}
masters = {{ count = {masters}, source = "the test" }}
policy = {{ {policy}, source = "the test" }}
"#
    );
    Document::parse(&text).expect("the scenario reads")
}

fn play(document: &Document, name: &str, expect_max: u32, replication: u32) -> Outcome {
    let policy = policy(name).expect("the policy is known");
    play_by(document, (&policy, Revision::LINUX_3_9), expect_max, replication)
}

fn play_by(
    document: &Document,
    (policy, revision): (&Spec, Revision),
    expect_max: u32,
    replication: u32,
) -> Outcome {
    let scenario = document.read();
    let cast = Cast::of(&scenario).expect("the helpers are there");
    let workload = Workload::new(&scenario, &cast, 7, replication, 1000);
    let horizon = workload.horizon();
    let happenings: Vec<Happening> = workload.collect();
    let setup = Setup {
        revision,
        hz: 1000,
        expect_max,
        hash_size: None,
        seed: 7,
        replication,
        masters: masters_of(&happenings),
        announced: happenings.len() as u32,
        horizon,
        recording: Recording::default(),
    };
    let world = World::new(&cast, policy, &setup).expect("memory");
    world.run(happenings.into_iter()).expect("the ledger balances")
}

/// Recall over the second nine tenths of a run.
fn recall(outcome: &Outcome) -> f64 {
    let bins = &outcome.measure.bins[25..];
    let sum = |of: fn(&nfexp_sim::research::measure::Bin) -> u32| -> f64 {
        bins.iter().map(|bin| f64::from(of(bin))).sum()
    };
    sum(|bin| bin.hits) / sum(|bin| bin.useful)
}

fn blocking(document: &Document, expect_max: u32, replication: u32) -> f64 {
    let outcome = play(document, "kernel", expect_max, replication);
    let bins = &outcome.measure.bins[25..];
    let refused: f64 = bins.iter().map(|bin| f64::from(bin.refused)).sum();
    let hits: f64 = bins.iter().map(|bin| f64::from(bin.hits)).sum();
    refused / (refused + hits)
}

/// Insensitive to the law of the delay: three laws of one mean.
#[test]
fn a_full_table_blocks_as_erlang_says() {
    let laws = [
        r#"law = "exponential", mean = "2s""#,
        r#"law = "constant", is = "2s""#,
        r#"law = "uniform", from = "0s", to = "4s""#,
    ];
    for law in laws {
        let document = one_class(6.0, law, 1.0, 200, "max_expected = 0", 4000);
        let values: Vec<f64> = (0..6).map(|n| blocking(&document, 10, n)).collect();
        let estimate = Estimate::of(&values);
        let exact = erlang_b(10, 12.0);
        assert!(estimate.half < 0.02, "{estimate}");
        // Nearly four standard errors; the seed is fixed, so what holds once holds for ever.
        assert!((estimate.mean - exact).abs() < 1.5 * estimate.half, "{law}: {estimate}, {exact}");
    }
}

#[test]
fn our_intervals_hold_the_truth_as_often_as_they_say() {
    let document =
        one_class(6.0, r#"law = "exponential", mean = "500ms""#, 1.0, 50, "max_expected = 0", 60);
    let exact = erlang_b(3, 3.0);
    let holds = (0..200).filter(|experiment| {
        let values: Vec<f64> = (0..8).map(|n| blocking(&document, 3, experiment * 8 + n)).collect();
        Estimate::of(&values).holds(exact)
    });
    let held = holds.count();
    assert!((181..=198).contains(&held), "{held} of 200");
}

/// The time T at which rate·E[min(D*, T)] = C, by bisection.
fn characteristic(c: f64, spent: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if spent(middle) < c { low = middle } else { high = middle }
    }
    low
}

#[test]
fn oldest_and_random_keep_what_che_says() {
    let (rate, mean, share, c) = (20.0, 10.0, 0.6, 256u32);
    let document = one_class(
        rate,
        r#"law = "exponential", mean = "10s""#,
        share,
        400,
        "max_expected = 0",
        2000,
    );
    let fifo = characteristic(f64::from(c), |t| {
        rate * (share * mean * (1.0 - libm::exp(-t / mean)) + (1.0 - share) * t)
    });
    let expected = 1.0 - libm::exp(-fifo / mean);
    let found = recall(&play(&document, "oldest-global", c, 0));
    assert!((found - expected).abs() < 2.0 / f64::from(c) + 0.005, "{found} {expected}");
    // A random victim: every slot is taken with a constant hazard 1/t.
    let random = characteristic(f64::from(c), |t| {
        rate * (share * mean * t / (mean + t) + (1.0 - share) * t)
    });
    let expected = random / (mean + random);
    let found = recall(&play(&document, "random-global", c, 0));
    assert!((found - expected).abs() < 2.0 / f64::from(c) + 0.005, "{found} {expected}");
}

#[test]
fn a_class_of_one_keeps_what_comes_before_the_next() {
    // Ten masters, each announcing once in two seconds; the next one throws the last out.
    let document =
        one_class(5.0, r#"law = "exponential", mean = "1s""#, 1.0, 10, "max_expected = 1", 4000);
    let found = recall(&play(&document, "kernel", 1000, 0));
    let expected = 1.0 / (1.0 + 0.5);
    assert!((found - expected).abs() < 0.015, "{found} {expected}");
}

#[test]
fn without_a_second_match_lru_and_lfu_are_fifo() {
    let mut document = Document::parse(shipped("prototype").expect("shipped")).expect("it reads");
    document.set("run.lasts", "1500s", "the test").expect("there");
    document.set("class.attack.arrivals.per_second", "8", "the test").expect("there");
    let fifo = play(&document, "oldest-global", 128, 0);
    for name in ["lru", "lfu", "soonest-deadline"] {
        let other = play(&document, name, 128, 0);
        let same = other.accounts == fifo.accounts && other.measure.bins == fifo.measure.bins;
        // Soonest-deadline differs as soon as classes live differently long: SIP's 180 s do.
        assert_eq!(same, name != "soonest-deadline", "{name}");
    }
}

#[test]
fn the_kernel_rewards_waste_and_oldest_first_does_not() {
    let mut document = Document::parse(shipped("waste").expect("shipped")).expect("it reads");
    document.set("run.lasts", "6000s", "the test").expect("there");
    let ratio = |name: &str| {
        let outcome = play(&document, name, 256, 0);
        let share = |kind: usize| {
            let account = &outcome.accounts[kind];
            account.hits as f64 / account.useful as f64
        };
        share(0) / share(1)
    };
    let (kernel, oldest) = (ratio("kernel"), ratio("oldest-global"));
    assert!(kernel >= 1.5, "{kernel}");
    assert!((0.9..=1.1).contains(&oldest), "{oldest}");
}

#[test]
fn a_full_table_favours_who_sits_and_empties_within_a_timeout() {
    let mut document = Document::parse(shipped("waste").expect("shipped")).expect("it reads");
    document.set("run.lasts", "6000s", "the test").expect("there");
    let seats =
        |name: &str| play(&document, name, 256, 0).measure.seats().map(|seat| seat.recall());
    let ([newcomers, incumbents], [fair_newcomers, fair_incumbents]) =
        (seats("kernel"), seats("oldest-global"));
    assert!(newcomers < 0.3 && incumbents > 2.0 * newcomers, "{newcomers} {incumbents}");
    assert!(fair_newcomers > 0.9 && fair_incumbents > 0.9, "{fair_newcomers} {fair_incumbents}");

    let text = shipped("prototype").expect("shipped").replace(
        "hostile = true",
        "hostile = true\nduring = { from = \"2000s\", to = \"3000s\", source = \"the test\" }",
    );
    let mut document = Document::parse(&text).expect("it reads");
    document.set("run.lasts", "5000s", "the test").expect("there");
    document.set("class.attack.arrivals.per_second", "8", "the test").expect("there");
    let recovery = |name: &str| play(&document, name, 256, 0).measure.recovery();
    // What was announced last stays for 300 s; a bin is 20 s.
    let kernel = recovery("kernel").expect("the attack stops");
    assert!((100.0..=340.0).contains(&kernel), "{kernel}");
    let oldest = recovery("oldest-global").expect("the attack stops");
    assert!(oldest <= 60.0, "{oldest}");
    document.set("class.attack.during.to", "5000s", "the test").expect("there");
    assert_eq!(play(&document, "kernel", 256, 0).measure.recovery(), None);
}

#[test]
fn who_suffers_is_seen_by_namespace_source_and_master() {
    let text = shipped("prototype").expect("shipped").replace(
        "masters = { count = 15,",
        "namespaces = { count = 2, source = \"the test\" }\nmasters = { count = 15,",
    );
    let mut document = Document::parse(&text).expect("it reads");
    document.set("run.lasts", "3000s", "the test").expect("there");
    // The attacker fills the first namespace's table, not the second's.
    document.set("class.attack.arrivals.per_second", "8", "the test").expect("there");
    let measure = play(&document, "kernel", 256, 0).measure;
    let [first, second] = measure.nets[..] else { panic!("two namespaces") };
    assert!(first.recall() < 0.3 && second.recall() > 0.9, "{first:?} {second:?}");
    let jain = |recalls: &[f64]| nfexp_sim::research::statistics::jain(recalls);
    let (a, b) = (first.recall(), second.recall());
    let by_hand = (a + b) * (a + b) / (2.0 * (a * a + b * b));
    assert!((jain(&[a, b]) - by_hand).abs() < 1e-12 && by_hand < 0.8);
    // Each ftp master lives in one of the two, and is its own source.
    for owned in [&measure.masters[0], &measure.sources[0]] {
        let poor = owned.iter().filter(|owned| owned.useful >= 10 && owned.recall() < 0.5);
        let well = owned.iter().filter(|owned| owned.useful >= 10 && owned.recall() > 0.9);
        assert!(poor.count() >= 3 && well.count() >= 3, "{owned:?}");
    }
}

/// Asked whenever the table is full, it names nobody, as the kernel does.
#[derive(Debug)]
struct Nobody;

impl Victim for Nobody {
    fn inserted(&mut self, _: &Entry, _: &Book) {}

    fn removed(&mut self, _: &Entry) {}

    fn victim(&mut self, _: &Entry, _: &Book) -> Option<ExpectId> {
        None
    }
}

#[test]
fn who_listens_ends_all_as_who_is_asked_and_answers_as_the_kernel() {
    let (kernel, nobody) = (Spec::kernel(), Spec::own("nobody", || Box::new(Nobody)));
    for (scenario, revision) in ["prototype", "mixed-isp-nat"]
        .into_iter()
        .flat_map(|scenario| Revision::ALL.iter().map(move |revision| (scenario, *revision)))
    {
        let mut document = Document::parse(shipped(scenario).expect("shipped")).expect("reads");
        document.set("run.lasts", "1000s", "the test").expect("it is there");
        let listens = play_by(&document, (&kernel, revision), 32, 0);
        let asked = play_by(&document, (&nobody, revision), 32, 0);
        let of = revision.name;
        assert!(listens.accounts == asked.accounts, "{scenario}, {of}");
        // Where time stood still for who is refused, it would show here.
        assert_eq!(listens.measure.bins, asked.measure.bins, "{scenario}, {of}");
        let all = |ending: Ending| -> u64 {
            listens.accounts.iter().map(|account| account.of(ending)).sum()
        };
        let full = [Ending::EvictedByClass, Ending::RefusedByTable, Ending::Expiry].map(all);
        assert!(full.into_iter().all(|count| count > 0), "{scenario}, {of}: {full:?}");
        let otherwise = policy("oldest-global").expect("the policy is known");
        let otherwise = play_by(&document, (&otherwise, revision), 32, 0);
        assert!(listens.accounts != otherwise.accounts, "{scenario}: it can be told apart");
    }
}

/// Two classes of sixty irc masters each, in so many namespaces.
fn classes_of(namespaces: u32, more: [&str; 2]) -> String {
    let class = |(name, more): (&str, &str)| {
        format!(
            r#"
[[class]]
name = "{name}"
helper = "irc"
arrivals = {{ law = "poisson", per_second = 4.0, source = "the test" }}
delay = {{ law = "exponential", mean = "10s", source = "the test" }}
answered = {{ share = 0.8, source = "the test" }}
masters = {{ count = 60, source = "the test" }}
namespaces = {{ count = {namespaces}, source = "the test" }}
{more}"#
        )
    };
    let run = "name = \"two\"\n[run]\nlasts = \"1500s\"\nsource = \"the test\"\n";
    run.to_owned() + &["first", "second"].into_iter().zip(more).map(class).collect::<String>()
}

#[test]
fn who_always_names_a_victim_refuses_nobody_whatever_the_namespace() {
    let document = Document::parse(&classes_of(4, [""; 2])).expect("it reads");
    for name in [
        "oldest-global",
        "newest-global",
        "random-global",
        "fair-share",
        "fair-share-kind",
        "hazard",
    ] {
        let name = if name == "hazard" { "table=hazard" } else { name };
        let outcome = play(&document, name, 16, 0);
        let all = |ending: Ending| -> u64 {
            outcome.accounts.iter().map(|account| account.of(ending)).sum()
        };
        assert_eq!(all(Ending::RefusedByTable), 0, "{name}");
        assert!(all(Ending::EvictedByTable) > 1000, "{name}");
    }
}

#[test]
fn a_full_class_that_gives_up_nobody_refuses_in_every_kernel() {
    let two = "policy = { max_expected = 2, source = \"the test\" }";
    let document = Document::parse(&classes_of(1, [two; 2])).expect("it reads");
    let tail_drop = policy("tail-drop").expect("the policy is known");
    for revision in Revision::ALL {
        let outcome = play_by(&document, (&tail_drop, revision), 1 << 16, 0);
        let refused: u64 = outcome.accounts.iter().map(|one| one.of(Ending::RefusedByClass)).sum();
        // Two each of a hundred and twenty masters.
        let most = outcome.measure.held.len() - 1;
        assert!(refused > 1000 && most <= 240, "{}: {refused} {most}", revision.name);
    }
}

/// A kernel sees a helper and its class; one that has a policy of its own is a helper of its own.
#[test]
fn policies_tell_classes_by_their_worth_where_a_kernel_can() {
    let worth = |limits: &str| {
        let dear = format!("worth = {{ is = 9, source = \"the test\" }}\n{limits}");
        Document::parse(&classes_of(1, ["", &dear]))
    };
    let why = worth("").expect_err("they cannot be told apart");
    assert!(why.starts_with("class.second: worth: 9 where class first"), "{why}");
    let document = worth("policy = { max_expected = 8, source = \"the test\" }").expect("it reads");
    let outcome = play(&document, "cheapest", 64, 0);
    let share = |kind: usize| {
        let account = &outcome.accounts[kind];
        account.hits as f64 / account.useful as f64
    };
    assert!(share(0) < 0.5 && share(1) > 0.9, "{} {}", share(0), share(1));
}

/// One class in four namespaces has both zones in each.
#[test]
fn every_namespace_has_all_the_zones() {
    let text = shipped("mixed-isp-nat").expect("shipped");
    let mut document = Document::parse(text).expect("it reads");
    document.set("run.lasts", "200s", "the test").expect("there");
    let scenario = document.read();
    let cast = Cast::of(&scenario).expect("the helpers are there");
    let opened = Workload::new(&scenario, &cast, 7, 0, 1000).filter_map(|one| match one.what {
        What::Open { who, .. } => Some((who.net, who.zone)),
        _ => None,
    });
    let places: BTreeSet<(u16, u16)> = opened.collect();
    assert_eq!(places.len(), 8, "{places:?}");
}
