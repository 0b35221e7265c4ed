// SPDX-License-Identifier: GPL-2.0-only
//! What a cell's columns say, where it could be taken for something else.
//!
//! * A table is full when a namespace's is, not when all hold as many together.
//! * Newcomers to a full table are nobody where it never was full.
//! * Who has not recovered when the run ends has no time of recovery.
//! * What is lost of PERMANENT kinds is counted against announcements, not against arrivals.
//! * Usefulness is the scenario's own, whatever timeouts are tried.
//! * Where every announcement has a master of its own, no limit per class binds.

use nfexp_model::revision::Revision;
use nfexp_sim::research::cast::Cast;
use nfexp_sim::research::cell::{Block, Cell, MOST};
use nfexp_sim::research::document::Document;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::Spec;
use nfexp_sim::research::sweep::study::shipped;
use nfexp_sim::research::workload::{What, Workload};

fn cell_under(scenario: &Document, granted: Option<&Document>, expect_max: u32) -> Cell {
    let block = Block {
        scenario,
        granted,
        revision: Revision::LINUX_6_18,
        hz: 250,
        seed: 3,
        replication: 0,
        policies: &[Spec::kernel()],
        sizes: &[expect_max],
        recording: Recording::default(),
        most_happenings: MOST,
    };
    block.run().expect("it runs").remove(0).cell
}

fn cell(scenario: &Document, expect_max: u32) -> Cell {
    cell_under(scenario, None, expect_max)
}

/// Ten announcements a second, each answered after ten seconds.
fn steady(more: &str) -> Document {
    let text = format!(
        r#"
name = "steady"
[run]
lasts = "3000s"
source = "the test"
[[class]]
name = "only"
helper = "irc"
arrivals = {{ law = "poisson", per_second = 10.0, source = "the test" }}
delay = {{ law = "constant", is = "10s", source = "the test" }}
answered = {{ share = 1.0, source = "the test" }}
policy = {{ max_expected = 0, timeout = "300s", source = "the test" }}
{more}
"#
    );
    Document::parse(&text).expect("it reads")
}

#[test]
fn a_table_is_full_when_a_namespaces_is() {
    let two = steady("namespaces = { count = 2, source = \"the test\" }");
    // A hundred together, fifty each.
    let roomy = cell(&two, 90);
    assert!(roomy.full == 0.0 && roomy.occupancy > 90.0, "{}", roomy.full);
    assert_eq!((roomy.newcomers, roomy.incumbents), (None, None));
    let narrow = cell(&two, 30);
    assert!((0.3..0.6).contains(&narrow.full), "{}", narrow.full);
    assert!(narrow.newcomers.is_some_and(|found| found < 0.1), "{:?}", narrow.newcomers);
}

#[test]
fn who_has_not_recovered_has_no_time_of_recovery() {
    let text = shipped("prototype").expect("shipped").replace(
        "hostile = true",
        "hostile = true\nduring = { from = \"10s\", to = \"370s\", source = \"the test\" }",
    );
    let mut document = Document::parse(&text).expect("it reads");
    document.set("class.attack.arrivals.per_second", "8", "the test").expect("there");
    document.set("run.lasts", "400s", "the test").expect("there");
    assert_eq!(cell(&document, 256).recovery, None);
    document.set("run.lasts", "1000s", "the test").expect("there");
    assert!(cell(&document, 256).recovery.is_some_and(|seconds| seconds > 30.0));
}

#[test]
fn losses_of_permanent_ones_are_shares_of_announcements() {
    let mut document = steady("permanent = true\nmasters = { count = 100, source = \"the test\" }");
    for (path, value) in [
        ("run.lasts", "300s"),
        ("class.only.arrivals.per_second", "2"),
        ("class.only.delay.is", "5s"),
    ] {
        document.set(path, value, "the test").expect("there");
    }
    // A hundred want in, ten are, and each would be matched ten times before it is announced anew.
    let cell = cell(&document, 10);
    let lost = cell.premature
        + cell.refused_class
        + cell.refused_table
        + cell.refused_other
        + cell.lost_other;
    assert!(cell.refused_table > 0.7 && lost <= 1.0, "{} of {lost}", cell.refused_table);
    assert!(cell.recall < 0.2, "{}", cell.recall);
}

#[test]
fn a_timeout_that_is_tried_does_not_say_what_is_useful() {
    let (asked, mut short) = (steady(""), steady(""));
    short.set("class.only.policy.timeout", "3s", "the test").expect("there");
    assert_eq!(cell(&short, 1000).useful, 0, "all come too late for it");
    let tried = cell_under(&asked, Some(&short), 1000);
    assert!(tried.useful > 10_000 && tried.hits == 0, "{} of {}", tried.hits, tried.useful);
    assert_eq!(cell_under(&asked, Some(&asked), 1000), cell(&asked, 1000));
}

#[test]
fn a_master_for_every_announcement() {
    let document = Document::parse(shipped("pxe-boot-storm").expect("shipped")).expect("it reads");
    let scenario = document.read();
    let cast = Cast::of(&scenario).expect("the helpers are there");
    let (mut holds, mut sources) = (Vec::new(), Vec::new());
    let (mut announced, mut at_once) = (0, 0);
    for happening in Workload::new(&scenario, &cast, 3, 0, 250) {
        match happening.what {
            What::Open { master, who } => {
                holds.resize(holds.len().max(master as usize + 1), None);
                holds[master as usize] = Some(0);
                sources.push(who.source);
            }
            What::Announce { master, .. } => {
                announced += 1;
                let count = holds[master as usize].as_mut().expect("it is open");
                *count += 1;
                at_once = at_once.max(*count);
            }
            What::Close { master } => holds[master as usize] = None,
            What::Arrive { .. } | What::Withdraw { .. } => {}
        }
    }
    assert_eq!((at_once, sources.len()), (1, announced));
    sources.sort_unstable();
    sources.dedup();
    assert!(sources.len() < announced / 2, "a machine has several files and one address");
    let roomy = cell(&document, 4096);
    assert!(roomy.endings.contains(";evicted-class=0;"), "{}", roomy.endings);
    assert!(roomy.recall > 0.999, "{}", roomy.recall);
}
