// SPDX-License-Identifier: GPL-2.0-only
//! How many events a second the research simulator does, in CPU time, on one core.
//!
//! `throughput [EVENTS [POLICY …]]`: the workload is made before the clock starts, as peers read
//! theirs. `throughput --stream EVENTS [POLICY …]`: it is made while it is played, nothing of it
//! is kept, and the last column is the most memory the process ever had, in KiB.
//!
//! An *event* is an announcement, an arrival, or an end of an expectation that neither a match nor
//! the run's end brought about: what the prototype's simulator had, which knew no other. Masters
//! begin and end as well; that takes time, and is not counted.

use std::cell::Cell;

use cpu_time::ProcessTime;
use nfexp_model::revision::Revision;
use nfexp_sim::research::cast::Cast;
use nfexp_sim::research::document::Document;
use nfexp_sim::research::ledger::Ending;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::parse::policy;
use nfexp_sim::research::setup::Setup;
use nfexp_sim::research::sweep::study::shipped;
use nfexp_sim::research::workload::{Happening, Micros, What, Workload, masters_at_once};
use nfexp_sim::research::world::World;

const HZ: u32 = 250;

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    let stream = words.next_if(|word| word == "--stream").is_some();
    let wanted =
        words.next().map_or(2_000_000, |text| text.parse().expect("expected a number of events"));
    let mut policies: Vec<String> = words.collect();
    if policies.is_empty() {
        policies = ["kernel", "oldest-global", "fair-share", "hazard"].map(str::to_owned).to_vec();
    }
    for (expect_max, scale) in [(256u32, 1.0), (4096, 20.0)] {
        let mut document = scaled(scale);
        let first = of(&document).take(if stream { 100_000 } else { wanted });
        let mut happenings: Vec<Happening> = first.collect();
        let last = happenings.last().map_or(1, |last| last.at);
        if stream {
            // So long that about so many happen.
            let seconds = last as f64 / happenings.len() as f64 * wanted as f64 / 1e6;
            document.set("run.lasts", &format!("{seconds:.0}s"), "throughput").expect("there");
            happenings = Vec::new();
        }
        for name in &policies {
            let happened = Cell::new(0);
            if stream {
                let workload = of(&document);
                let horizon = workload.horizon();
                let counted = workload.inspect(|one| happened.set(happened.get() + counts(one)));
                measured(&document, name, expect_max, horizon, counted, &happened);
            } else {
                happened.set(happenings.iter().map(counts).sum());
                let workload = happenings.iter().copied();
                measured(&document, name, expect_max, last, workload, &happened);
            }
        }
    }
}

fn of(document: &Document) -> Workload {
    let scenario = document.read();
    let cast = Cast::of(&scenario).expect("the helpers are there");
    Workload::new(&scenario, &cast, 1, 0, HZ)
}

/// 1 for what is an event.
fn counts(happening: &Happening) -> u64 {
    u64::from(!matches!(happening.what, What::Open { .. } | What::Close { .. }))
}

/// Plays a workload and prints a line about it; `happened` is how many of its events will have
/// been played by then. (A function of its own, so that `callgrind
/// --toggle-collect='throughput::measured'` counts the instructions of the play and of nothing else.)
#[inline(never)]
fn measured(
    document: &Document,
    name: &str,
    expect_max: u32,
    horizon: Micros,
    workload: impl Iterator<Item = Happening>,
    happened: &Cell<u64>,
) {
    let scenario = document.read();
    let cast = Cast::of(&scenario).expect("the helpers are there");
    let setup = Setup {
        revision: Revision::LINUX_6_18,
        hz: HZ,
        expect_max,
        hash_size: None,
        seed: 1,
        replication: 0,
        masters: masters_at_once(&scenario, &cast),
        announced: u32::MAX,
        horizon,
        recording: Recording::default(),
    };
    let policy = policy(name).expect("it is named");
    let world = World::new(&cast, &policy, &setup).expect("memory");
    let before = ProcessTime::now();
    let outcome = world.run(workload).expect("the ledger balances");
    let spent = before.elapsed().as_secs_f64();
    let ended: u64 = outcome
        .accounts
        .iter()
        .flat_map(|account| Ending::ALL.map(|ending| (ending, account.of(ending))))
        .filter(|(ending, _)| !ending.is_refusal())
        .filter(|(ending, _)| !matches!(ending, Ending::Match | Ending::Horizon))
        .map(|(_, count)| count)
        .sum();
    let (events, kib) = (happened.get() + ended, most_memory());
    let rate = events as f64 / spent / 1e6;
    println!("nfexp,{name},{expect_max},{events},{spent:.3},{rate:.2},{kib}");
}

/// The most memory this process had, in KiB; 0 where the system does not tell.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The prototype's scenario at so many times its rates, and without an end.
fn scaled(scale: f64) -> Document {
    let mut document =
        Document::parse(shipped("prototype").expect("it is shipped")).expect("it reads");
    for (class, rate) in [
        ("ftp", 1.5),
        ("sip", 2.4),
        ("irc", 0.045),
        ("tftp", 0.75),
        ("pptp", 0.075),
        ("attack", 2.0),
    ] {
        let path = format!("class.{class}.arrivals.per_second");
        document.set(&path, &(rate * scale).to_string(), "throughput").expect("it is there");
    }
    document.set("run.lasts", "1000000s", "throughput").expect("it is there");
    document
}
