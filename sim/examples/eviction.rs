// SPDX-License-Identifier: GPL-2.0-only
//! Another eviction than the kernel's: it never evicts what is younger than a second.
//!
//! A client asks for two data connections in a row and comes to the first. The kernel lets the newer
//! one win, whoever is on the way; this one refuses the newcomer instead.

use nfexp_model::event::Cause;
use nfexp_model::eviction::{Candidate, Eviction, Pressure, Table};
use nfexp_model::expectation::ExpectId;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::revision::Revision;
use nfexp_sim::schedule::InOrder;
use nfexp_sim::simulator::{Simulator, config};
use nfexp_traces::text::parse;

const TRACE: &str = "\
# Two announcements, one place.
conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 helper=ftp
confirm m
expect e1 master=m tcp 10.0.0.2:* > 10.0.0.1:50001
advance 100ms
expect e2 master=m tcp 10.0.0.2:* > 10.0.0.1:50002
packet tcp 10.0.0.2:41000 > 10.0.0.1:50001
";

/// Hears of every insertion and end, and remembers when each came.
#[derive(Debug, Default)]
struct SparesTheYoung {
    born: Vec<(ExpectId, Jiffies)>,
}

impl Eviction for SparesTheYoung {
    fn inserted(&mut self, about: &Candidate, _: &dyn Table) {
        self.born.push((about.id, about.now));
    }

    fn removed(&mut self, _: Jiffies, id: ExpectId, _: Cause) {
        self.born.retain(|(known, _)| *known != id);
    }

    fn victim(
        &mut self,
        pressure: Pressure,
        newcomer: &Candidate,
        table: &dyn Table,
    ) -> Option<ExpectId> {
        let oldest = match pressure {
            Pressure::ClassFull => table.oldest(newcomer.master, newcomer.class)?,
            _ => return None,
        };
        let (_, born) = self.born.iter().find(|(id, _)| *id == oldest)?;
        let grown_up = newcomer.now.time_after_eq(born.after(Ticks(250)));
        grown_up.then_some(oldest)
    }
}

fn main() {
    let trace = parse(TRACE).expect("the trace above");
    let evictions: [(&str, Option<Box<dyn Eviction>>); 2] =
        [("the kernel's", None), ("spares the young", Some(Box::<SparesTheYoung>::default()))];
    for (name, eviction) in evictions {
        println!("{name}:");
        let config = config(&trace.setup, Revision::LINUX_6_18);
        let mut simulator =
            Simulator::with(config, eviction, Box::new(InOrder)).expect("there is memory");
        for (_, step) in trace.blocks.iter().flat_map(|block| &block.steps) {
            for line in simulator.step(step).expect("the trace makes sense") {
                println!("  {line}");
            }
        }
        simulator.finish().expect("nothing is left");
    }
}
