// SPDX-License-Identifier: GPL-2.0-only
//! When the table is audited.
//!
//! ```text
//!   the last one looked at ≤ SMALL    after every step
//!   the last one looked at > SMALL    after 1/PER_STEP of that in steps, which pay for it
//!   at the end                        whatever no audit has seen
//! ```
//!
//! The rule that matters: a step costs the same however large the table is. What a step of a large
//! one breaks is an error of a later step, or of the end; nothing is called well before that.

use nfexp_model::error::RelateError;
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::netns::NetId;

use super::{Played, SimulatorOn, StepError, unless_it_crashes};

/// How much an audit may look at and be made after every step.
const SMALL: u64 = 2048;
/// How much of a larger one a step pays for.
const PER_STEP: u64 = 256;

/// Lets a check that grows with the table be made as often as can be afforded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// What the last one looked at, as far as it is not paid for.
    owed: u64,
}

impl Pace {
    /// Pays for an occasion; answers whether it is one.
    pub(super) const fn is_due(&mut self) -> bool {
        self.owed = self.owed.saturating_sub(PER_STEP);
        self.owed == 0
    }

    /// One has looked at so much.
    pub(super) const fn owes(&mut self, looked: u64) {
        self.owed = if looked <= SMALL { 0 } else { looked };
    }
}

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    /// Audits what no audit has seen yet: before anybody says that all is well.
    /// [`finish`](Self::finish) does so itself.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn audit(&mut self) -> Played {
        if self.audited {
            return Ok(());
        }
        unless_it_crashes(|| self.audit_now()).unwrap_or_else(|why| Err(StepError::Crash(why)))
    }

    /// How many buckets, links and slots all audits have looked at: what they cost.
    #[must_use]
    pub const fn looked_at(&self) -> u64 {
        self.looked
    }

    /// After a step: an audit, if one is due.
    pub(super) fn audit_if_due(&mut self) -> Played {
        if self.audits.is_due() { self.audit_now() } else { Ok(()) }
    }

    fn audit_now(&mut self) -> Played {
        let mut looked = 0;
        let audited = self.engine.audit_at_cost(&mut looked);
        self.looked += looked;
        self.audits.owes(looked);
        audited?;
        self.audited = true;
        Ok(())
    }

    /// Whether it is looked into why there was no room, which takes a walk through the table.
    pub(super) fn looks_into(&mut self, refused: RelateError) -> bool {
        let due = matches!(refused, RelateError::TableFull | RelateError::ClassFull)
            && self.refusals.is_due();
        if due {
            let config = self.engine.config();
            let nets = (0..config.netns).map(NetId);
            let linked: u64 = nets.map(|net| u64::from(self.engine.expect_count(net))).sum();
            let looked = u64::from(config.hash_size) + linked;
            self.looked += looked;
            self.refusals.owes(looked);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use nfexp_model::Config;
    use nfexp_model::audit::Invariant;
    use nfexp_traces::step::Step;
    use nfexp_traces::text::parse;

    use super::*;
    use crate::simulator::Simulator;

    /// So many masters, one after the other, who expect one each; there is room for half of those.
    fn expecting(masters: u32) -> Simulator {
        let config = Config {
            hash_size: 1024,
            expect_max: masters / 2,
            expectations: masters,
            conns: masters,
            ..Config::SMALL
        };
        let mut simulator = Simulator::new(config).expect("memory");
        for master in 1..=masters {
            let [high, low] = [master >> 8, master & 0xff];
            let steps = format!(
                "conn m{master} tcp 10.1.{high}.{low}:40000 > 10.0.0.1:21 helper=ftp\n\
                 confirm m{master}\n\
                 expect e{master} master=m{master} tcp 10.1.{high}.{low}:* > 10.0.0.1:{master}\n"
            );
            let trace = parse(&steps).expect("steps");
            for (_, step) in trace.blocks.iter().flat_map(|block| &block.steps) {
                simulator.step(step).expect("the engine is sound");
            }
        }
        simulator
    }

    #[test]
    fn twice_the_steps_look_at_twice_as_much() {
        let [half, all] = [2_000, 4_000].map(|masters| {
            let mut simulator = expecting(masters);
            simulator.audit().expect("the engine is sound");
            simulator.looked_at()
        });
        assert!(all < half * 5 / 2, "{half} for half of it, {all} for all");
    }

    #[test]
    fn what_breaks_a_large_table_is_told_at_the_end_at_the_latest() {
        let mut simulator = expecting(1_000);
        simulator.audit().expect("the engine is sound");
        simulator.audits.owes(SMALL * 100);
        let master = simulator.conns["m7"].id();
        simulator.engine.memory().conns.free(master.index());
        assert_eq!(simulator.step(&Step::Memory).map(|said| said.len()), Ok(1), "not due");
        let Err(StepError::Violation(found)) = simulator.finish() else { panic!("it is broken") };
        assert_eq!(found.invariant, Invariant::MasterAlive, "{found}");
    }

    #[test]
    fn what_is_small_is_looked_at_each_time_and_what_is_large_when_paid_for() {
        let mut pace = Pace::default();
        assert!((0..9).all(|_| {
            let due = pace.is_due();
            pace.owes(SMALL);
            due
        }));
        pace.owes(PER_STEP * 100);
        assert_eq!((1..).find(|_| pace.is_due()), Some(100));
        assert!(pace.is_due());
    }
}
