// SPDX-License-Identifier: GPL-2.0-only
//! The timer wheel of v3.9: five levels of lists, a look at every jiffy.
//!
//! ```text
//!   tv1  256 slots of a jiffy ◀─ tv2  64 of 256 ◀─ tv3 … tv5      a turn pulls the next down
//! ```

use std::cell::Cell;

use super::objects::{Entry, Expect, Timer};

/// `struct tvec_base`.
#[derive(Debug)]
pub(super) struct Base<'a> {
    pub(super) timer_jiffies: Cell<u64>,
    next_timer: Cell<u64>,
    active_timers: Cell<u64>,
    /// `tv1` to `tv5`: the heads of their lists.
    slots: Box<[Entry<'a>]>,
    /// What the softirq has before it.
    work: Entry<'a>,
}

/// The lists are rings.
const LINKED: &str = "a linked entry has neighbours";

impl<'a> Base<'a> {
    /// Nothing pending; [`Self::init`] closes the rings.
    pub(super) fn new(jiffies: u64) -> Self {
        Self {
            timer_jiffies: Cell::new(jiffies),
            next_timer: Cell::new(jiffies),
            active_timers: Cell::new(0),
            slots: (0..512).map(|_| Entry::default()).collect(),
            work: Entry::default(),
        }
    }

    /// `INIT_LIST_HEAD()` of every slot.
    pub(super) fn init(&'a self) {
        for slot in &self.slots {
            slot.next.set(Some(slot));
            slot.prev.set(Some(slot));
        }
    }

    /// `add_timer()`.
    #[inline]
    pub(super) fn add_timer(&'a self, timer: &'a Timer<'a>, now: u64) {
        assert!(timer.entry.next.get().is_none(), "add_timer() of a pending timer");
        let expires = if timer.slack.get() < 0 {
            with_slack(timer.expires.get(), now)
        } else {
            timer.expires.get() + timer.slack.get() as u64
        };
        timer.expires.set(expires);
        self.internal_add_timer(timer);
        if (expires.wrapping_sub(self.next_timer.get()) as i64) < 0 {
            self.next_timer.set(expires);
        }
        self.active_timers.set(self.active_timers.get() + 1);
    }

    fn internal_add_timer(&'a self, timer: &'a Timer<'a>) {
        let expires = timer.expires.get();
        let delta = expires.wrapping_sub(self.timer_jiffies.get());
        let slot = match delta {
            _ if (delta as i64) < 0 => self.timer_jiffies.get() & 255,
            0..0x100 => expires & 255,
            0x100..0x4000 => 256 + (expires >> 8 & 63),
            0x4000..0x10_0000 => 320 + (expires >> 14 & 63),
            0x10_0000..0x400_0000 => 384 + (expires >> 20 & 63),
            _ => 448 + (expires >> 26 & 63),
        };
        let head = &self.slots[slot as usize];
        let last = head.prev.replace(Some(&timer.entry)).expect(LINKED);
        timer.entry.next.set(Some(head));
        timer.entry.prev.set(Some(last));
        last.next.set(Some(&timer.entry));
    }

    /// `del_timer()`: whether it was pending.
    #[inline]
    pub(super) fn del_timer(&'a self, timer: &'a Timer<'a>) -> bool {
        if timer.entry.next.get().is_none() {
            return false;
        }
        detach(&timer.entry);
        self.active_timers.set(self.active_timers.get() - 1);
        if timer.expires.get() == self.next_timer.get() {
            self.next_timer.set(self.timer_jiffies.get());
        }
        true
    }

    fn cascade(&'a self, slot: u64) {
        let head = &self.slots[slot as usize];
        let mut entry = head.next.replace(Some(head)).expect(LINKED);
        head.prev.set(Some(head));
        while let Some(owner) = entry.owner.get() {
            let next = entry.next.get().expect(LINKED);
            self.internal_add_timer(&owner.timeout);
            entry = next;
        }
    }

    /// The softirq of one jiffy begins: moves what is due to a list of its own.
    #[inline]
    pub(super) fn turn(&'a self) -> &'a Entry<'a> {
        let now = self.timer_jiffies.get();
        let index = now & 255;
        if index == 0 {
            for level in 1..5 {
                let turn = now >> (8 + 6 * (level - 1)) & 63;
                self.cascade(192 + 64 * level + turn);
                if turn != 0 {
                    break;
                }
            }
        }
        self.timer_jiffies.set(now.wrapping_add(1));
        // `list_replace_init()`; in this order, an empty list leaves both closed.
        let (head, work) = (&self.slots[index as usize], &self.work);
        let next = head.next.get().expect(LINKED);
        work.next.set(Some(next));
        next.prev.set(Some(work));
        let prev = head.prev.get().expect(LINKED);
        work.prev.set(Some(prev));
        prev.next.set(Some(work));
        head.next.set(Some(head));
        head.prev.set(Some(head));
        work
    }

    /// The first timer of a slot, taken off it.
    #[inline]
    pub(super) fn take_first(&self, head: &'a Entry<'a>) -> Option<&'a Expect<'a>> {
        let first = head.next.get().expect(LINKED);
        let owner = first.owner.get()?;
        detach(first);
        self.active_timers.set(self.active_timers.get() - 1);
        Some(owner)
    }
}

/// `detach_timer()`.
#[inline(always)]
fn detach<'a>(entry: &'a Entry<'a>) {
    let (next, prev) = (entry.next.take().expect(LINKED), entry.prev.take().expect(LINKED));
    next.prev.set(Some(prev));
    prev.next.set(Some(next));
}

/// `apply_slack()` of v3.9: far timers meet in rounder jiffies.
pub(in crate::bench) fn with_slack(expires: u64, now: u64) -> u64 {
    let delta = expires.wrapping_sub(now);
    if delta < 256 {
        return expires;
    }
    let limit = expires.wrapping_add(delta / 256);
    match expires ^ limit {
        0 => expires,
        differ => limit & !((1 << differ.ilog2()) - 1),
    }
}
