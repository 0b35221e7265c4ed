// SPDX-License-Identifier: GPL-2.0-only
//! What was recorded, as a workload.
//!
//! * A capture's announcements and connections are those its replay tells of; so are its log's.
//! * As it happened, a run gives each announcement the end the capture's own replay gave it.
//! * What is drawn differs from replication to replication, and is the same twice; what is not
//!   drawn is run once, and no interval is claimed.
//! * A fitted law stands in the scenario with its numbers and source.
//! * What is broken is refused with its place.

use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;
use nfexp_sim::research::cast::Cast;
use nfexp_sim::research::cell::{Block, MOST};
use nfexp_sim::research::document::Document;
use nfexp_sim::research::fit;
use nfexp_sim::research::law::Law;
use nfexp_sim::research::ledger::Ending;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::Spec;
use nfexp_sim::research::recorded::Recorded;
use nfexp_sim::research::sweep::plan::Plan;
use nfexp_sim::research::sweep::shard;
use nfexp_sim::research::sweep::study::Study;
use nfexp_sim::research::workload::{Happening, Workload};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn capture(name: &str) -> PathBuf {
    repository().join("traces/captures").join(name)
}

#[test]
fn a_capture_and_its_log_tell_of_the_same_connections() {
    for (name, announced, came) in [
        ("ftp/ftp-eviction", 2, 1),
        ("ftp/ftp-two-clients", 4, 4),
        ("ftp/ftp-several-active", 4, 4),
        ("ftp/ftp-never-comes", 1, 0),
        ("ftp/ftp-refresh", 2, 1),
        ("tftp/tftp-read-v4", 1, 1),
        ("irc/irc-dcc-chat", 2, 2),
    ] {
        let seen = Recorded::read(&capture(&format!("{name}.pcap")), "").expect(name);
        let logged = Recorded::read(&capture(&format!("{name}.expect.log")), "").expect(name);
        assert_eq!(seen.counts(), (announced, came), "{name}");
        assert_eq!(logged.counts(), (announced, came), "{name}, its log");
        let waits = |recorded: &Recorded| -> Vec<u64> {
            let said = recorded.sessions.iter().flat_map(|session| &session.said);
            said.flat_map(|said| said.arrivals.first().map(|at| at - said.at)).collect()
        };
        for (seen, logged) in waits(&seen).into_iter().zip(waits(&logged)) {
            // The kernel forwarded the packets anew when it wrote the log.
            assert!(seen.abs_diff(logged) < 500_000, "{name}: {seen} {logged} us");
        }
    }
}

#[test]
fn as_it_happened_every_announcement_ends_as_in_the_replay() {
    for (name, endings) in [
        ("ftp/ftp-eviction.pcap", vec![(Ending::Match, 1), (Ending::EvictedByClass, 1)]),
        ("ftp/ftp-refresh.pcap", vec![(Ending::Match, 1), (Ending::Refresh, 1)]),
        ("ftp/ftp-eviction.expect.log", vec![(Ending::Match, 1), (Ending::EvictedByClass, 1)]),
        ("timeouts/ftp-expiry.pcap", vec![(Ending::Expiry, 1)]),
    ] {
        for revision in [Revision::LINUX_3_9, Revision::LINUX_6_18] {
            let document = Document::open(&capture(name)).expect(name);
            assert!(document.read().is_fixed(), "{name}");
            let block = Block {
                scenario: &document,
                granted: None,
                revision,
                hz: 250,
                seed: 1,
                replication: 0,
                policies: &[Spec::kernel()],
                sizes: &[],
                recording: Recording::default(),
                most_happenings: MOST,
            };
            let details = block.run().expect("the ledger balances");
            let accounts = &details[0].outcome.accounts;
            for (ending, count) in &endings {
                let found: u64 = accounts.iter().map(|account| account.of(*ending)).sum();
                assert_eq!(found, *count, "{name} {}: {ending:?}", revision.name);
            }
        }
    }
}

/// Once, with a table of two.
fn of_two<'a>(scenario: &'a Document, policies: &'a [Spec]) -> Block<'a> {
    Block {
        scenario,
        granted: None,
        revision: Revision::LINUX_6_18,
        hz: 250,
        seed: 1,
        replication: 1,
        policies,
        sizes: &[2],
        recording: Recording::default(),
        most_happenings: MOST,
    }
}

/// Every capture and log of the repository, under every named policy and a table of two: the
/// ledger balances, and no optimum is beaten.
#[test]
fn whatever_was_recorded_plays_under_every_policy() {
    let policies: Vec<Spec> = nfexp_sim::research::policy::names::NAMED
        .iter()
        .map(|named| nfexp_sim::research::policy::parse::policy(named.name).expect("it reads"))
        .collect();
    let mut played = 0;
    for folder in fs::read_dir(capture("")).expect("it is there").flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let path = file.path();
            let wanted = |ending: &&str| path.to_string_lossy().ends_with(*ending);
            if [".pcap", ".pcapng", ".expect.log"].iter().all(|ending| !wanted(ending)) {
                continue;
            }
            let Ok(document) = Document::open(&path) else { continue };
            let details = of_two(&document, &policies)
                .run()
                .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            for detail in details {
                let (cell, place) = (&detail.cell, path.display());
                let kept = cell.optimum_upper + 1e-9;
                assert!(cell.recall <= kept, "{place}: {} beats the optimum", cell.policy);
            }
            played += 1;
        }
    }
    assert!(played > 60, "{played}");
}

/// Where events come faster than they are read, some are not heard. The connection found the one that
/// stood, which is the later of two equal ones; as if it were the first's, it was counted twice.
#[test]
fn an_end_that_was_not_heard_belongs_to_no_later_one() {
    let log = fs::read_to_string(capture("irc/irc-dcc-chat.expect.log")).expect("our own");
    let (first, rest) = log.split_once('\n').expect("several lines");
    let again = first.replace("1795559907.840626", "1795559908.100626");
    assert_ne!(first, again);
    let path = folder("unheard").join("unheard.log");
    fs::write(&path, format!("{first}\n{again}\n{rest}")).expect("a folder of ours");
    let recorded = Recorded::read(&path, "").expect("a log");
    let said = &recorded.sessions[0].said;
    assert_eq!(said.iter().map(|said| said.watched).collect::<Vec<_>>(), [260_000, 1_004_548]);
    assert_eq!(said.iter().map(|said| said.arrivals.len()).collect::<Vec<_>>(), [0, 1]);
    let document = Document::open(&path).expect("a scenario");
    let kernel = nfexp_sim::research::policy::parse::policy("kernel").expect("it reads");
    of_two(&document, &[kernel]).run().expect("the ledger balances");
}

/// Two weeks are more microseconds than a number of a scenario may be.
#[test]
fn a_recording_of_weeks_is_a_scenario() {
    let log = fs::read_to_string(capture("irc/irc-dcc-chat.expect.log")).expect("our own");
    let path = folder("weeks").join("weeks.log");
    fs::write(&path, log.replace("1795559908.", "1796769508.")).expect("a folder of ours");
    let document = Document::open(&path).expect("a scenario");
    assert_eq!(document.read().run.value.lasts.0, 1_209_603.0);
}

const SCENARIO: &str = r#"
name = "again"
fits = "again.fits.toml"
[run]
lasts = "1500s"
expect_max = 16
source = "the test"
[[recording]]
name = "drawn"
file = "irc-dcc-variants.pcap"
source = "traces/captures"
arrivals = { law = "poisson", per_second = 0.1, source = "the test" }
[[class]]
name = "files"
helper = "ftp"
arrivals = { law = "poisson", per_second = 0.5, source = "the test" }
delay = { fitted = "ftp.log-normal" }
answered = { fitted = "ftp.log-normal-answered" }
"#;

fn folder(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("it can be made");
    place
}

fn prepared(name: &str) -> PathBuf {
    let place = folder(name);
    let from = capture("irc/irc-dcc-variants.pcap");
    fs::copy(from, place.join("irc-dcc-variants.pcap")).expect("it can be copied");
    let fits = repository().join("sim/scenarios/recorded.fits.toml");
    fs::copy(fits, place.join("again.fits.toml")).expect("it can be copied");
    place
}

#[test]
fn sessions_are_drawn_anew_in_every_replication_and_the_same_twice() {
    let document = Document::parse_beside(SCENARIO, &prepared("drawn")).expect("it reads");
    let scenario = document.read();
    let cast = Cast::of(&scenario).expect("the helpers are there");
    let play = |replication| -> Vec<Happening> {
        Workload::new(&scenario, &cast, 1, replication, 250).collect()
    };
    let (one, other) = (play(0), play(1));
    assert!(one.len() > 500 && one != other);
    assert!(one == play(0));
    assert!(one.windows(2).all(|pair| pair[0].at <= pair[1].at));
    // The fitted law stands there as if it had been written by hand, with where it comes from.
    assert!(matches!(scenario.classes[0].delay.value, Law::LogNormal { .. }));
    let provenance = document.provenance();
    let source = |path: &str| {
        let one = provenance.iter().find(|one| one.path == path).expect("it is told");
        (one.value.clone(), one.source.clone())
    };
    assert!(source("class.files.delay").1.starts_with("measured: 16 of 17 came (ftp-active-v4"));
    assert!(source("recording.drawn").0.starts_with("irc-dcc-variants.pcap, SHA-256 "));
}

#[test]
fn what_leaves_nothing_to_chance_is_run_once() {
    let study = Study::of(&capture("ftp/ftp-eviction.pcap").to_string_lossy());
    let plan = Plan::of(study, None).expect("it can be planned");
    assert_eq!((plan.study.replications, plan.blocks.len()), (1, 1));
    let study = Study::of(&capture("ftp/ftp-two-clients.pcap").to_string_lossy());
    let plan = Plan::of(study, None).expect("it can be planned");
    assert_eq!(plan.blocks.len(), 5, "two masters are a sample");
    let run = || shard::bytes(&shard::run_in_memory(&plan, 2, &|_, _| {}).expect("it runs"));
    assert!(run() == run());
}

/// The laws that the shipped scenario includes are those the command prints.
#[test]
fn the_shipped_fits_are_what_fit_makes_of_its_captures() {
    let text = fs::read_to_string(repository().join("sim/scenarios/recorded.fits.toml"));
    let text = text.expect("it is there");
    let line = text.lines().next().expect("it has a first line");
    let names = line.strip_prefix("# nfexp fit --format toml ").expect("it says what it is");
    let recordings: Vec<Recorded> = names
        .split(' ')
        .map(|name| Recorded::read(&capture("ftp").join(name), "").expect(name))
        .collect();
    assert_eq!(fit::toml(&recordings, names), text);
    Document::open(&repository().join("sim/scenarios/recorded.toml")).expect("it reads");
}

#[test]
fn what_is_broken_is_refused_with_its_place() {
    let place = prepared("broken");
    let refused = |text: &str| Document::parse_beside(text, &place).expect_err("it is broken");
    let with = |from: &str, to: &str| refused(&SCENARIO.replace(from, to));
    assert!(with("irc-dcc-variants.pcap", "none.pcap").starts_with("recording.drawn: none.pcap: "));
    assert!(
        with("\"ftp.log-normal\"", "\"sip\"")
            .starts_with("class.files.delay: again.fits.toml has no table")
    );
    assert!(with("fits = \"again.fits.toml\"", "").contains("expected `fits = \"FILE\"`"));
    assert!(with("source = \"traces/captures\"", "").contains("missing field `source`"));
    assert!(with("name = \"files\"", "name = \"drawn\"").contains("a name of its own"));
    fs::write(place.join("again.fits.toml"), "[ftp\n").expect("it can be written");
    assert!(refused(SCENARIO).starts_with("fits: again.fits.toml: line 1, column "));

    let pcap = fs::read(capture("ftp/ftp-eviction.pcap")).expect("it is there");
    let cut = place.join("cut.pcap");
    fs::write(&cut, &pcap[..pcap.len() - 7]).expect("it can be written");
    let why = Document::open(&cut).expect_err("it is cut");
    assert!(why.starts_with("offset ") && why.contains("ends inside a record"), "{why}");
    let log = fs::read_to_string(capture("ftp/ftp-eviction.expect.log")).expect("it is there");
    let bad = place.join("bad.log");
    fs::write(&bad, log.replacen("dport=", "dprot=", 1)).expect("it can be written");
    let why = Document::open(&bad).expect_err("it is misspelt");
    assert!(why.starts_with("line 1, column "), "{why}");
    fs::write(&bad, "    [NEW] 300 proto=6").expect("it can be written");
    assert!(Document::open(&bad).expect_err("it is half").starts_with("line 1, column "));
    let first = log.lines().next().expect("several lines");
    let crowd = (0..5000).map(|number| format!("{first}{number}\n")).collect::<String>();
    fs::write(&bad, crowd).expect("it can be written");
    let why = Document::open(&bad).expect_err("a number of 16 bits would not tell them apart");
    assert!(why.starts_with("line 4097: expected at most 4096 kinds of expectations"), "{why}");
}
