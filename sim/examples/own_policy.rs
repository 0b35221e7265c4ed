// SPDX-License-Identifier: GPL-2.0-only
//! A policy of one's own in one file: three methods, and it stands in a sweep beside the kernel.
//!
//! The rule: when the table is full, the announcement of whoever announced last goes.

use nfexp_model::expectation::ExpectId;
use nfexp_model::revision::Revision;
use nfexp_sim::research::cell::{Block, MOST};
use nfexp_sim::research::document::Document;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::Spec;
use nfexp_sim::research::policy::book::{Book, Entry};
use nfexp_sim::research::policy::victim::Victim;
use nfexp_sim::research::sweep::study::shipped;

#[derive(Debug, Default)]
struct LastGoes {
    linked: Vec<ExpectId>,
}

impl Victim for LastGoes {
    fn inserted(&mut self, entry: &Entry, _: &Book) {
        self.linked.push(entry.id);
    }

    fn removed(&mut self, entry: &Entry) {
        self.linked.retain(|id| *id != entry.id);
    }

    fn victim(&mut self, _: &Entry, _: &Book) -> Option<ExpectId> {
        self.linked.last().copied()
    }
}

fn main() {
    let mut document =
        Document::parse(shipped("prototype").expect("it is shipped")).expect("it reads");
    for (path, value) in [("run.lasts", "2000s"), ("class.attack.arrivals.per_second", "2")] {
        document.set(path, value, "the example").expect("it is there");
    }
    let policies = [Spec::kernel(), Spec::own("last-goes", || Box::<LastGoes>::default())];
    let block = Block {
        scenario: &document,
        granted: None,
        revision: Revision::LINUX_6_18,
        hz: 250,
        seed: 1,
        replication: 0,
        policies: &policies,
        sizes: &[256],
        recording: Recording::default(),
        most_happenings: MOST,
    };
    let details = block.run().expect("the ledger balances");
    for detail in &details {
        println!("{}: recall {:.3}", detail.cell.policy, detail.cell.recall);
    }
    assert!(details[1].cell.recall > details[0].cell.recall, "newest-first beats refusing");
}
