// SPDX-License-Identifier: GPL-2.0-only
//! 7.2's worker, which comes by every connection and collects what is over of its expectations.
//!
//! KERNEL: gc_worker(), since v4.9: a scan begins a minute (`GC_SCAN_INTERVAL_MAX`) after the one
//! before, unless there are connections by the million. It counts from the module's load, here from
//! the clock's start. In a trace it comes where a step says so.

use nfexp_model::conn::ConnId;
use nfexp_model::expectation::Flags;
use nfexp_model::kernel::{Jiffies, Platform, Ticks};
use nfexp_model::netns::NetId;
use nfexp_model::revision::Expiry;
use nfexp_model::{At, Config, Engine};

/// How far apart its scans begin.
const SECONDS: u64 = 60;

/// When it comes, if ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collector {
    start: Jiffies,
    every: Ticks,
    collects: bool,
}

impl Collector {
    /// The worker of a kernel whose clock starts now.
    pub(crate) fn new(config: &Config, start: Jiffies) -> Self {
        let collects = config.revision.expiry == Expiry::Collected;
        Self { start, every: Ticks(SECONDS * u64::from(config.hz)), collects }
    }

    /// Whether there is one.
    pub(crate) const fn collects(&self) -> bool {
        self.collects
    }

    /// Its first scan at or behind a moment.
    pub(crate) fn next(&self, from: Jiffies) -> Jiffies {
        let since = from.ticks_from(self.start).max(0).cast_unsigned();
        self.start.after(Ticks(since.div_ceil(self.every.0).max(1) * self.every.0))
    }

    /// The first scan behind `now` that finds something, if it begins by `until`.
    pub(crate) fn due<P: Platform>(
        &self,
        engine: &Engine<P>,
        net: NetId,
        now: Jiffies,
        until: Jiffies,
    ) -> Option<Jiffies> {
        let next = self.next(now.after(Ticks(1)));
        if !self.collects || next.time_after(until) || engine.expect_count(net) == 0 {
            return None;
        }
        let expectations = |master: ConnId| engine.expectations_of(master);
        let all = engine.conns_of(net).into_iter().flat_map(expectations);
        let over = |exp| match engine.expectation(exp).flags().has(Flags::DEAD) {
            true => 0,
            false => engine.timer(exp).0.ticks_from(next),
        };
        let first = all.map(over).min()?;
        let scan = self.next(next.after(Ticks(first.max(0).cast_unsigned())));
        (!scan.time_after(until)).then_some(scan)
    }

    /// It comes by.
    pub(crate) fn scan<P: Platform>(engine: &Engine<P>, at: At, net: NetId) {
        for master in engine.conns_of(net) {
            engine.help_gc(at, master.index());
        }
    }
}
