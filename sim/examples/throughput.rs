// SPDX-License-Identifier: GPL-2.0-only
//! How many events a second the research simulator does, in CPU time, on one core.
//!
//! An *event* is an announcement, an arrival, or an end that time or another announcement
//! brought about. The workload is made before the clock starts, as peers read theirs.

use cpu_time::ProcessTime;
use nfexp_model::revision::Revision;
use nfexp_sim::research::cast::Cast;
use nfexp_sim::research::cell::masters_of;
use nfexp_sim::research::ledger::Ending;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::parse::policy;
use nfexp_sim::research::scenario::Document;
use nfexp_sim::research::sweep::study::shipped;
use nfexp_sim::research::workload::{Happening, Workload};
use nfexp_sim::research::world::{Setup, World};

fn main() {
    let wanted: usize = std::env::args()
        .nth(1)
        .map_or(2_000_000, |text| text.parse().expect("expected a number of happenings"));
    for (expect_max, scale) in [(256u32, 1.0), (4096, 20.0)] {
        let mut document =
            Document::parse(shipped("prototype").expect("it is shipped")).expect("it reads");
        let set = |document: &mut Document, path: &str, value: f64| {
            document.set(path, &value.to_string(), "throughput").expect("it is there");
        };
        for (class, rate) in
            [("ftp", 1.5), ("sip", 2.4), ("irc", 0.045), ("tftp", 0.75), ("pptp", 0.075)]
        {
            set(&mut document, &format!("class.{class}.arrivals.per_second"), rate * scale);
        }
        set(&mut document, "class.attack.arrivals.per_second", 2.0 * scale);
        document.set("run.lasts", "1000000s", "throughput").expect("it is there");
        let scenario = document.read();
        let cast = Cast::of(&scenario).expect("the helpers are there");
        let workload = Workload::new(&scenario, &cast, 1, 0, 250);
        let happenings: Vec<Happening> = workload.take(wanted).collect();
        let horizon = happenings.last().map_or(1, |last| last.at);
        for name in ["kernel", "oldest-global", "fair-share", "hazard"] {
            let setup = Setup {
                revision: Revision::LINUX_6_18,
                hz: 250,
                expect_max,
                hash_size: None,
                seed: 1,
                replication: 0,
                masters: masters_of(&happenings),
                horizon,
                recording: Recording::default(),
            };
            let policy = policy(name).expect("it is named");
            let world = World::new(&cast, &policy, &setup).expect("memory");
            let before = ProcessTime::now();
            let outcome = world.run(happenings.iter().copied()).expect("the ledger balances");
            let spent = before.elapsed().as_secs_f64();
            let ended: u64 = outcome
                .accounts
                .iter()
                .flat_map(|account| Ending::ALL.map(|ending| (ending, account.of(ending))))
                .filter(|(ending, _)| !ending.is_refusal() && *ending != Ending::Match)
                .map(|(_, count)| count)
                .sum();
            let events = happenings.len() as u64 + ended;
            let rate = events as f64 / spent / 1e6;
            println!("nfexp,{name},{expect_max},{events},{spent:.3},{rate:.2}");
        }
    }
}
