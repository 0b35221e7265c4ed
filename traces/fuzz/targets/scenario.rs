// SPDX-License-Identifier: GPL-2.0-only
//! A line with a policy, then a scenario: a short run of it ends, its ledger balances, and no
//! policy does better than the best there can be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_model::revision::Revision;
use nfexp_sim::research::cell::{Block, Stopped};
use nfexp_sim::research::document::Document;
use nfexp_sim::research::estimate;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::policy::parse::policy;

/// So many happenings are a short run.
const MOST: u64 = 2000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((asked, scenario)) = text.split_once('\n') else { return };
    let Ok(policy) = policy(asked) else { return };
    // No file of the machine is read: that is another's to try.
    if scenario.contains("recording") || scenario.contains("fits") {
        return;
    }
    let Ok(document) = Document::parse(scenario) else { return };
    if estimate::fits(&document.read(), MOST).is_err() {
        return;
    }
    let block = Block {
        scenario: &document,
        granted: None,
        revision: Revision::ALL[bytes.len() % 3],
        hz: 250,
        seed: 1,
        replication: 0,
        policies: &[policy],
        sizes: &[1, 5, 40],
        recording: Recording { lifelines: 3, walks: bytes.len().is_multiple_of(2) },
        most_happenings: MOST,
    };
    match block.run() {
        Err(Stopped::Here(why)) => panic!("{why}"),
        Err(Stopped::Asked(_)) => {}
        Ok(details) => assert_eq!(details.len(), 3),
    }
});
