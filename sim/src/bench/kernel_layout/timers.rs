// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's wheel alone, its timers in objects that are of no other use.

use super::super::hold::Timers;
use super::Memory;
use super::objects::Entry;

/// The wheel, and what the softirq has before it.
#[derive(Debug)]
pub(in crate::bench) struct KernelTimers<'a> {
    memory: &'a Memory<'a>,
    work: Option<&'a Entry<'a>>,
}

impl<'a> KernelTimers<'a> {
    /// Nothing pending.
    pub(in crate::bench) fn new(memory: &'a Memory<'a>) -> Self {
        memory.base.init();
        for (exp, number) in memory.expects.iter().zip(0..) {
            // Its class says who it is.
            exp.class.set(number);
            exp.timeout.entry.owner.set(Some(exp));
            exp.timeout.slack.set(-1);
        }
        Self { memory, work: None }
    }
}

impl Timers for KernelTimers<'_> {
    #[inline]
    fn add(&mut self, key: u32, expires: u64, now: u64) {
        let timer = &self.memory.expects[key as usize].timeout;
        timer.expires.set(expires);
        self.memory.base.add_timer(timer, now);
    }

    #[inline]
    fn expire(&mut self, now: u64) -> Option<u32> {
        let base = &self.memory.base;
        loop {
            if let Some(exp) = self.work.and_then(|work| base.take_first(work)) {
                return Some(exp.class.get());
            }
            let is_due = now.wrapping_sub(base.timer_jiffies.get()) as i64 >= 0;
            self.work = is_due.then(|| base.turn());
            self.work?;
        }
    }
}
