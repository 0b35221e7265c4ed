// SPDX-License-Identifier: GPL-2.0-only
//! The timer wheels of Linux, in their exact order.
//!
//! ```text
//!  Cascading (until 4.7)                        Levelled (since 4.8)
//!  level 0: 256 slots of one jiffy              level n: 64 slots of 8ⁿ jiffies
//!  levels 1–4: 64 slots, each as wide as        a timer stays in its slot and fires with it:
//!  the whole level before; when level 0 has     late by up to one slot of its level
//!  turned, one slot of level 1 moves down       newest first within a slot
//!  oldest first within a slot
//! ```
//!
//! (Levels: 9 above HZ 100, else 8.) Cascading timers fire in their jiffy, but `add_timer()` first rounds a far expiry up by as
//! much as 1/256 of the delay (*slack*), so that timers meet in fewer jiffies.
//!
//! The rule that matters: silence costs nothing. Slots that were ever filled have a bit in a
//! map, so a gap of years is crossed in a few steps.
//!
//! # Source
//! `kernel/timer.c` of v3.9 (`mod_timer`, `apply_slack`, `internal_add_timer`, `cascade`,
//! `__run_timers`) and `kernel/time/timer.c` since v4.8 (`calc_wheel_index`, `collect_expired_timers`,
//! `expire_timers`).

use core::cell::Cell;

use super::jiffies::{Jiffies, Ticks};
use crate::revision::WheelKind;

/// Marks a link to a list head instead of a timer.
const HEAD: u32 = 1 << 31;
/// The list of timers that are due and not yet detached.
const DUE: usize = 0;
/// Slots of level 0 of the cascading wheel.
pub(super) const TVR: u64 = 256;
/// Slots of every other level.
pub(super) const TVN: u64 = 64;

/// A timer's place in a list; unlinked while both are zero.
#[derive(Debug, Default)]
pub struct Links {
    next: Cell<u32>,
    prev: Cell<u32>,
}

impl Links {
    /// Whether it is in a list.
    #[inline]
    pub fn is_linked(&self) -> bool {
        self.next.get() != 0
    }
}

/// Finds the parts of a timer by its key (less than 2³¹, not zero).
pub trait Owners {
    /// Its links.
    fn links(&self, key: u32) -> &Links;
    /// When it expires.
    fn expires(&self, key: u32) -> Jiffies;
}

/// A timer wheel. Time only moves forward, by [`expire`](Self::expire).
#[derive(Debug)]
pub struct Wheel {
    kind: WheelKind,
    /// How many levels the levelled wheel has: enough for 16 days at this HZ.
    levels: u32,
    /// The next jiffy to look at (`timer_jiffies`, `clk`).
    clk: Cell<u64>,
    /// List heads: the due list, then the slots of all levels.
    heads: Box<[Links]>,
    /// One bit per slot that may hold a timer. Deleting does not clear it; looking does.
    filled: Box<[Cell<u64>]>,
    pending: Cell<u32>,
}

impl Wheel {
    /// A wheel whose clock stands at `start`.
    #[must_use]
    pub fn new(kind: WheelKind, start: Jiffies, hz: u32) -> Self {
        let levels = levels(hz);
        let slots = match kind {
            WheelKind::Cascading => TVR + 4 * TVN,
            WheelKind::Levelled => TVN * u64::from(levels),
        } as usize;
        let wheel = Self {
            kind,
            levels,
            clk: Cell::new(start.0),
            heads: (0..=slots).map(|_| Links::default()).collect(),
            filled: (0..slots / 64).map(|_| Cell::new(0)).collect(),
            pending: Cell::new(0),
        };
        for head in 0..=slots {
            wheel.empty(head);
        }
        wheel
    }

    /// Makes the timer `key` pending; answers when it expires, slack included.
    pub fn add(&self, owners: &impl Owners, key: u32, expires: Jiffies, now: Jiffies) -> Jiffies {
        self.pending.set(self.pending.get() + 1);
        match self.kind {
            WheelKind::Cascading => {
                let expires = with_slack(expires, now);
                self.place(owners, key, expires);
                expires
            }
            WheelKind::Levelled => {
                let slot = levelled_slot(expires.0, self.clk.get(), self.levels);
                self.mark(slot);
                self.insert(owners, key, HEAD | (slot as u32 + 1), Side::Front);
                expires
            }
        }
    }

    /// Takes the timer off the wheel; false if it is not on it.
    #[inline]
    pub fn del(&self, owners: &impl Owners, key: u32) -> bool {
        let links = owners.links(key);
        if !links.is_linked() {
            return false;
        }
        self.unlink(owners, links);
        self.pending.set(self.pending.get() - 1);
        true
    }

    /// Takes the next timer that is due at `now` off the wheel.
    pub fn expire(&self, owners: &impl Owners, now: Jiffies) -> Option<u32> {
        loop {
            let key = self.heads[DUE].next.get();
            if key & HEAD == 0 {
                self.del(owners, key);
                return Some(key);
            }
            if Jiffies(self.clk.get()).time_after(now) {
                return None;
            }
            if self.pending.get() == 0 {
                self.clk.set(now.after(Ticks(1)).0);
                return None;
            }
            match self.kind {
                WheelKind::Cascading => self.turn_cascading(owners, now),
                WheelKind::Levelled => self.turn_levelled(owners, now),
            }
        }
    }

    /// The first moment at which [`expire`](Self::expire) has something to answer.
    #[must_use]
    pub fn next_expiry(&self, owners: &impl Owners) -> Option<Jiffies> {
        if self.pending.get() == 0 {
            return None;
        }
        let clk = Jiffies(self.clk.get());
        if !self.is_empty(DUE) {
            return Some(Jiffies(clk.0.wrapping_sub(1)));
        }
        let slots = 0..self.heads.len() - 1;
        let due = slots.filter(|&slot| self.may_hold(slot)).filter_map(|slot| match self.kind {
            WheelKind::Cascading => self.earliest(owners, slot + 1, clk),
            WheelKind::Levelled => self.levelled_due(slot, clk),
        });
        due.min_by_key(|at| at.ticks_from(clk))
    }

    // ---- cascading ----------------------------------------------------------------------

    /// Puts a timer into the slot for `expires`, at its end.
    fn place(&self, owners: &impl Owners, key: u32, expires: Jiffies) {
        let slot = cascading_slot_for(expires.0, self.clk.get());
        self.mark(slot);
        self.insert(owners, key, HEAD | (slot as u32 + 1), Side::Back);
    }

    /// One jiffy, or as many silent ones as can be crossed at once.
    fn turn_cascading(&self, owners: &impl Owners, now: Jiffies) {
        let clk = self.clk.get();
        if clk.is_multiple_of(TVR) {
            for level in 1..5 {
                let slot = cascading_slot(level, clk);
                self.cascade(owners, slot);
                // Where this level has turned too, the next one moves down as well.
                if !(clk >> (8 + 6 * (level - 1))).is_multiple_of(TVN) {
                    break;
                }
            }
        }
        let slot = (clk % TVR) as usize;
        if self.may_hold(slot) {
            self.move_to_due(owners, slot);
            self.clk.set(clk.wrapping_add(1));
            return;
        }
        let room = now.0.wrapping_sub(clk).wrapping_add(1);
        self.clk.set(clk.wrapping_add(self.silent_jiffies(slot).min(room)));
    }

    /// How many jiffies from level-0 slot `slot` on hold nothing and cascade nothing.
    fn silent_jiffies(&self, slot: usize) -> u64 {
        let rest = (slot + 1..TVR as usize).find(|&slot| self.may_hold(slot));
        if let Some(filled) = rest {
            return (filled - slot) as u64;
        }
        // To the end of this turn, and over further turns whose cascade would be empty, as long
        // as no timer can be in a slot of level 0 that lies before it.
        let to_turn = TVR - slot as u64;
        let level0_empty = (0..TVR as usize / 64).all(|map| self.filled[map].get() == 0);
        let clk = self.clk.get().wrapping_add(to_turn);
        if !level0_empty || self.filled[4].get() != 0 {
            return to_turn;
        }
        // Level 1 is empty too: nothing happens before it has turned.
        let to_level2 = clk.wrapping_neg() % (TVR * TVN);
        to_turn + to_level2
    }

    /// Spreads a slot over the levels below it.
    fn cascade(&self, owners: &impl Owners, slot: usize) {
        if !self.may_hold(slot) {
            return;
        }
        self.unmark(slot);
        let head = slot + 1;
        let mut key = self.heads[head].next.get();
        self.empty(head);
        while key & HEAD == 0 {
            let next = owners.links(key).next.get();
            self.place(owners, key, owners.expires(key));
            key = next;
        }
    }

    fn earliest(&self, owners: &impl Owners, head: usize, clk: Jiffies) -> Option<Jiffies> {
        let mut best: Option<Jiffies> = None;
        let mut key = self.heads[head].next.get();
        while key & HEAD == 0 {
            let expires = owners.expires(key);
            let at = if clk.time_after(expires) { clk } else { expires };
            if best.is_none_or(|best| best.time_after(at)) {
                best = Some(at);
            }
            key = owners.links(key).next.get();
        }
        best
    }

    // ---- levelled -----------------------------------------------------------------------

    /// Collects what is due at the next jiffy that has anything, at most `now`.
    fn turn_levelled(&self, owners: &impl Owners, now: Jiffies) {
        let clk = Jiffies(self.clk.get());
        let slots = 0..self.heads.len() - 1;
        let due = slots.filter(|&slot| self.may_hold(slot));
        let next = due.filter_map(|slot| self.levelled_due(slot, clk));
        let next = next.min_by_key(|at| at.ticks_from(clk));
        let Some(next) = next.filter(|next| !next.time_after(now)) else {
            self.clk.set(now.after(Ticks(1)).0);
            return;
        };
        // The slots of the higher levels go first.
        let turned = (0..self.levels)
            .take_while(|&level| level == 0 || next.0.is_multiple_of(1 << (3 * level)));
        let turned = turned.last().expect("level 0 turns every jiffy");
        for level in (0..=turned).rev() {
            let slot = (u64::from(level) * TVN + (next.0 >> (3 * level)) % TVN) as usize;
            if self.may_hold(slot) {
                self.move_to_due(owners, slot);
            }
        }
        self.clk.set(next.after(Ticks(1)).0);
    }

    /// When a slot of the levelled wheel is collected next, if it holds anything.
    fn levelled_due(&self, slot: usize, clk: Jiffies) -> Option<Jiffies> {
        if self.is_empty(slot + 1) {
            self.unmark(slot);
            return None;
        }
        let level = slot as u64 / TVN;
        let width = 1_u64 << (3 * level);
        // The first turn of this level at or after the clock, then on to the slot.
        let turn = clk.0.wrapping_add(width - 1) >> (3 * level);
        let ahead = (slot as u64 % TVN).wrapping_sub(turn) % TVN;
        Some(Jiffies(turn.wrapping_add(ahead) << (3 * level)))
    }

    // ---- lists --------------------------------------------------------------------------

    #[inline]
    fn at<'a>(&'a self, owners: &'a impl Owners, link: u32) -> &'a Links {
        if link & HEAD == 0 { owners.links(link) } else { &self.heads[(link & !HEAD) as usize] }
    }

    #[inline]
    fn insert(&self, owners: &impl Owners, key: u32, head: u32, side: Side) {
        let ends = self.at(owners, head);
        let (prev, next) = match side {
            Side::Front => (head, ends.next.get()),
            Side::Back => (ends.prev.get(), head),
        };
        let links = owners.links(key);
        links.prev.set(prev);
        links.next.set(next);
        self.at(owners, prev).next.set(key);
        self.at(owners, next).prev.set(key);
    }

    #[inline]
    fn unlink(&self, owners: &impl Owners, links: &Links) {
        let (prev, next) = (links.prev.get(), links.next.get());
        self.at(owners, prev).next.set(next);
        self.at(owners, next).prev.set(prev);
        links.prev.set(0);
        links.next.set(0);
    }

    /// Appends a whole slot to the due list.
    fn move_to_due(&self, owners: &impl Owners, slot: usize) {
        self.unmark(slot);
        let from = slot + 1;
        if self.is_empty(from) {
            return;
        }
        let (first, last) = (self.heads[from].next.get(), self.heads[from].prev.get());
        self.empty(from);
        let tail = self.heads[DUE].prev.get();
        self.at(owners, tail).next.set(first);
        owners.links(first).prev.set(tail);
        owners.links(last).next.set(HEAD | DUE as u32);
        self.heads[DUE].prev.set(last);
    }

    fn empty(&self, head: usize) {
        let link = HEAD | u32::try_from(head).expect("a few hundred slots");
        self.heads[head].next.set(link);
        self.heads[head].prev.set(link);
    }

    fn is_empty(&self, head: usize) -> bool {
        self.heads[head].next.get() & HEAD != 0
    }

    #[inline]
    fn may_hold(&self, slot: usize) -> bool {
        self.filled[slot / 64].get() >> (slot % 64) & 1 == 1
    }

    #[inline]
    fn mark(&self, slot: usize) {
        let map = &self.filled[slot / 64];
        map.set(map.get() | 1 << (slot % 64));
    }

    fn unmark(&self, slot: usize) {
        let map = &self.filled[slot / 64];
        map.set(map.get() & !(1 << (slot % 64)));
    }
}

#[derive(Clone, Copy)]
enum Side {
    Front,
    Back,
}

/// How many levels the levelled wheel has.
pub(super) const fn levels(hz: u32) -> u32 {
    if hz > 100 { 9 } else { 8 }
}

/// The slot of level `level` for a point in time.
#[inline]
pub(super) fn cascading_slot(level: u32, at: u64) -> usize {
    match level {
        0 => (at % TVR) as usize,
        _ => (TVR + u64::from(level - 1) * TVN + (at >> (8 + 6 * (level - 1))) % TVN) as usize,
    }
}

/// The slot in which the cascading wheel files an expiry.
///
/// # Source
/// `internal_add_timer()`, v3.9.
#[inline]
pub(super) fn cascading_slot_for(expires: u64, clk: u64) -> usize {
    let delta = expires.wrapping_sub(clk);
    let (level, at) = match delta {
        _ if (delta as i64) < 0 => (0, clk),
        0..0x100 => (0, expires),
        0x100..0x4000 => (1, expires),
        0x4000..0x10_0000 => (2, expires),
        0x10_0000..0x400_0000 => (3, expires),
        // KERNEL: internal_add_timer(), v3.9: what lies beyond the last level waits at its
        // far end and is placed again from there.
        _ => (4, if delta > 0xffff_ffff { clk.wrapping_add(0xffff_ffff) } else { expires }),
    };
    cascading_slot(level, at)
}

/// The slot in which the levelled wheel files an expiry.
///
/// # Source
/// `calc_wheel_index()`, since v4.8: rounded up, so that no timer fires early.
#[inline]
pub(super) fn levelled_slot(expires: u64, clk: u64, levels: u32) -> usize {
    let delta = expires.wrapping_sub(clk);
    // Level n takes what lies at least 63 of its lower neighbour's slots ahead.
    let start = |level: u32| 63_u64 << (3 * (level - 1));
    if (delta as i64) < 0 {
        return (clk % TVN) as usize;
    }
    // The greatest level that starts no later: starts are 63 times the powers of eight.
    let level = (delta / 63).checked_ilog2().map_or(0, |power| power / 3 + 1).min(levels - 1);
    let cutoff = start(levels);
    let width = 1 << (3 * (levels - 1));
    let expires = if delta >= cutoff { clk.wrapping_add(cutoff - width) } else { expires };
    let rounded = (expires >> (3 * level)).wrapping_add(1);
    (u64::from(level) * TVN + rounded % TVN) as usize
}

/// Rounds a far expiry up to a rounder number.
///
/// # Source
/// `apply_slack()`, v3.9, for a timer that asked for no slack of its own.
pub(super) fn with_slack(expires: Jiffies, now: Jiffies) -> Jiffies {
    let delta = expires.ticks_from(now);
    if delta < 256 {
        return expires;
    }
    let limit = expires.0.wrapping_add(delta as u64 / 256);
    let differ = expires.0 ^ limit;
    if differ == 0 {
        return expires;
    }
    // Below the highest bit in which the two differ, the limit may be cleared.
    let low = (1_u64 << differ.ilog2()) - 1;
    Jiffies(limit & !low)
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;

    /// Timers that live in a vector.
    #[derive(Default)]
    struct Field(Vec<(Links, Cell<Jiffies>)>);

    impl Owners for Field {
        fn links(&self, key: u32) -> &Links {
            &self.0[key as usize].0
        }
        fn expires(&self, key: u32) -> Jiffies {
            self.0[key as usize].1.get()
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Add { delay: u64 },
        Del { which: usize },
        Wait { ticks: u64 },
    }

    impl Arbitrary for Deed {
        fn arbitrary(g: &mut Gen) -> Self {
            let small = u64::from(u8::arbitrary(g));
            let shift = *g.choose(&[0, 0, 1, 4, 6]).expect("the slice is not empty");
            match u8::arbitrary(g) % 8 {
                0 => Self::Del { which: usize::arbitrary(g) },
                1..4 => Self::Wait { ticks: (small + 1) << shift },
                _ => Self::Add { delay: small << shift },
            }
        }
    }

    /// What fires when, waiting in steps of at most `step` ticks.
    fn run(kind: WheelKind, deeds: &[Deed], step: u64) -> Vec<(u32, Jiffies)> {
        let mut field = Field::default();
        field.0.resize_with(deeds.len() + 1, Default::default);
        let mut now = Jiffies::initial(4);
        let wheel = Wheel::new(kind, now, 250);
        let mut fired = Vec::new();
        // A time tick runs before anything else of its jiffy.
        assert_eq!(wheel.expire(&field, now), None);
        for (place, deed) in deeds.iter().enumerate() {
            match *deed {
                Deed::Add { delay } => {
                    let key = place as u32 + 1;
                    let asked = now.after(Ticks(delay));
                    let expires = wheel.add(&field, key, asked, now);
                    assert!(expires.time_after_eq(asked));
                    field.0[place + 1].1.set(expires);
                }
                Deed::Del { which } => {
                    wheel.del(&field, (which % deeds.len() + 1) as u32);
                }
                Deed::Wait { ticks } => {
                    let end = now.after(Ticks(ticks));
                    while end.time_after(now) {
                        now = now.after(Ticks(step.min(end.ticks_from(now) as u64)));
                        loop {
                            let due = wheel.next_expiry(&field);
                            let Some(key) = wheel.expire(&field, now) else {
                                assert!(due.is_none_or(|due| due.time_after(now)));
                                break;
                            };
                            assert!(due.is_some_and(|due| !due.time_after(now)));
                            fired.push((key, now));
                        }
                    }
                }
            }
        }
        fired
    }

    /// A timer of the cascading wheel fires in its very jiffy, one of the levelled wheel late
    /// by at most one slot of the level its delay belongs to (an eighth of the delay, and one).
    fn on_time(kind: WheelKind, deeds: &[Deed]) -> bool {
        let mut now = Jiffies::initial(4);
        let mut asked = vec![(now, 0); deeds.len() + 1];
        for (place, deed) in deeds.iter().enumerate() {
            match *deed {
                Deed::Add { delay } => asked[place + 1] = (now, delay),
                Deed::Wait { ticks } => now = now.after(Ticks(ticks)),
                Deed::Del { .. } => {}
            }
        }
        run(kind, deeds, 1).into_iter().all(|(key, at)| {
            let (from, delay) = asked[key as usize];
            let late = at.ticks_from(from.after(Ticks(delay)));
            let slack = match kind {
                WheelKind::Cascading => delay / 256 + u64::from(delay == 0),
                WheelKind::Levelled => delay / 7 + 1,
            };
            (0..=slack as i64).contains(&late)
        })
    }

    quickcheck! {
        fn prop_silence_may_be_crossed_at_once_when_cascading(deeds: Vec<Deed>) -> bool {
            keys(&run(WheelKind::Cascading, &deeds, 1))
                == keys(&run(WheelKind::Cascading, &deeds, u64::MAX))
        }

        fn prop_silence_may_be_crossed_at_once_when_levelled(deeds: Vec<Deed>) -> bool {
            keys(&run(WheelKind::Levelled, &deeds, 1))
                == keys(&run(WheelKind::Levelled, &deeds, u64::MAX))
        }

        fn prop_cascading_timers_fire_on_time(deeds: Vec<Deed>) -> bool {
            on_time(WheelKind::Cascading, &deeds)
        }

        fn prop_levelled_timers_fire_on_time(deeds: Vec<Deed>) -> bool {
            on_time(WheelKind::Levelled, &deeds)
        }
    }

    fn keys(fired: &[(u32, Jiffies)]) -> Vec<u32> {
        fired.iter().map(|&(key, _)| key).collect()
    }

    #[test]
    fn levels_begin_at_63_slots_of_the_lower_one() {
        for levels in [8, 9] {
            for level in 1..=levels {
                let start = 63_u64 << (3 * (level - 1));
                let level_of = |delta| levelled_slot(delta, 0, levels) as u64 / TVN;
                assert_eq!(level_of(start - 1), u64::from(level - 1));
                assert_eq!(level_of(start), u64::from(level.min(levels - 1)));
            }
        }
    }

    #[test]
    fn a_deleted_timer_does_not_fire() {
        for kind in [WheelKind::Cascading, WheelKind::Levelled] {
            let deeds = [Deed::Add { delay: 5 }, Deed::Del { which: 0 }, Deed::Wait { ticks: 99 }];
            assert!(run(kind, &deeds, 1).is_empty());
        }
    }

    /// Within one jiffy the old wheel is first in, first out, the new one the reverse.
    #[test]
    fn timers_of_one_jiffy_fire_in_the_order_of_their_wheel() {
        let deeds = [Deed::Add { delay: 5 }, Deed::Add { delay: 5 }, Deed::Wait { ticks: 9 }];
        assert_eq!(keys(&run(WheelKind::Cascading, &deeds, 1)), [1, 2]);
        assert_eq!(keys(&run(WheelKind::Levelled, &deeds, 1)), [2, 1]);
    }

    #[test]
    fn slack_makes_far_timers_meet() {
        let now = Jiffies(0);
        let at = |delay| with_slack(Jiffies(delay), now);
        assert_eq!(at(255), Jiffies(255), "near ones are exact");
        assert_eq!(at(75_000), Jiffies(75_264), "300 s at HZ 250 become 301");
        assert_eq!(at(75_001), at(75_000));
    }
}
