// SPDX-License-Identifier: GPL-2.0-only
//! The wheels of `wheel.rs` again, with arrays where lists were.
//!
//! ```text
//!   slot ─▶ [ (timer, stamp, expires) … ]    appended by add, streamed by cascade and expiry
//!   timer ─▶ stamp                           zeroed by del: the entry is stale, and stays
//! ```
//!
//! *Stamp*: the number of the `add` that made an entry; what is in the timer must agree, or the
//! entry is stale. Whoever comes by drops stale entries; when they are twice what was pending
//! before so many were deleted, all are swept out at once. So about three entries stay for each
//! timer of the fullest moment, and a sweep looks at no more than three for each that was deleted.
//!
//! *Ready*: the block of entries that fires now, out of those that are *due*. What firing will
//! touch is read block by block, so that many misses are waited for at a time.
//!
//! The rule that matters: an array keeps the order in which its list would be, so timers fire in
//! exactly the order of the revision's wheel; `del` leaves no trace that anybody could see.
//!
//! Why: deleting from a list writes to two neighbours that are not in the cache, and cascading
//! walks one by one. See `nfexp bench hold`, `expire-burst` and `churn`.

mod order;
mod slots;

use core::cell::{Cell, RefCell};

use slots::{BLOCK, Chain, Entry, Slots};

use super::jiffies::{Jiffies, Ticks};
use super::wheel::{
    TVN, TVR, cascading_slot, cascading_slot_for, levelled_slot, levels, with_slack,
};
use crate::revision::WheelKind;

/// So few pending are in the cache anyway: about a megabyte of owners.
const CACHED: u32 = 8 << 10;
/// With more than this the index of the owners is not in the cache either: over two megabytes.
const FAR: u32 = 256 << 10;
/// So many blocks are read before they are needed, where they are not in the cache.
const AHEAD: usize = 8;
/// So few stale entries are not worth a sweep.
const FEW: u32 = 1024;

/// Finds the parts of a timer by its key.
pub(super) trait Owners: Copy {
    /// Its stamp; 0 while it is not pending.
    fn stamp(&self, key: u32) -> &Cell<u32>;
    /// When it expires.
    fn expires(&self, key: u32) -> Jiffies;
    /// Fetches both.
    fn prefetch(&self, key: u32);
}

/// A timer wheel of arrays. Time only moves forward, by [`expire`](Self::expire).
#[derive(Clone, Debug)]
pub(super) struct ArrayWheel {
    kind: WheelKind,
    /// Levels of the levelled wheel.
    levels: u32,
    /// The next jiffy to look at.
    clk: Cell<u64>,
    /// The number of the last `add`.
    stamp: Cell<u32>,
    pending: Cell<u32>,
    stale: Cell<u32>,
    /// More stale entries than this may be worth a sweep.
    bearable: Cell<u32>,
    /// Nothing fires before this jiffy: exact or early.
    quiet: Cell<Jiffies>,
    /// Whether the earliest timer of the cascading wheel expires right then.
    exact: Cell<bool>,
    /// Keys and stamps of what fires now, the first of them last, and how many there are.
    ready: [Cell<(u32, u32)>; BLOCK],
    left: Cell<usize>,
    /// Whether the owners of the block that becomes ready next were fetched.
    fetched: Cell<bool>,
    /// What fires behind it, the first of these last.
    due: RefCell<Vec<Chain>>,
    slots: RefCell<Slots>,
}

impl ArrayWheel {
    /// A wheel whose clock stands at `start`.
    pub(super) fn new(kind: WheelKind, start: Jiffies, hz: u32) -> Self {
        Self {
            kind,
            levels: levels(hz),
            clk: Cell::new(start.0),
            stamp: Cell::new(0),
            pending: Cell::new(0),
            stale: Cell::new(0),
            bearable: Cell::new(FEW),
            quiet: Cell::new(start),
            exact: Cell::new(false),
            ready: [const { Cell::new((0, 0)) }; BLOCK],
            left: Cell::new(0),
            fetched: Cell::new(false),
            due: RefCell::default(),
            slots: RefCell::new(Slots::new()),
        }
    }

    /// Makes the timer `key` pending; answers when it expires, slack included.
    #[inline(always)]
    pub(super) fn add(
        &self,
        owners: impl Owners,
        its_stamp: &Cell<u32>,
        key: u32,
        expires: Jiffies,
        now: Jiffies,
    ) -> Jiffies {
        let mut stamp = self.stamp.get().wrapping_add(1);
        if stamp == 0 {
            stamp = self.begin_stamps_anew(owners);
        }
        self.stamp.set(stamp);
        its_stamp.set(stamp);
        self.pending.set(self.pending.get() + 1);
        let clk = self.clk.get();
        let (slot, expires) = match self.kind {
            WheelKind::Cascading => {
                let expires = with_slack(expires, now);
                if self.quiet.get().time_after(expires) {
                    self.quiet.set(expires);
                }
                (cascading_slot_for(expires.0, clk), expires)
            }
            WheelKind::Levelled => {
                self.disturb(Jiffies(clk), expires);
                (levelled_slot(expires.0, clk, self.levels), expires)
            }
        };
        let entry = Entry { key, stamp, expires: expires.0 as u32 };
        self.slots.borrow_mut().push(slot, entry);
        expires
    }

    /// Takes the timer off the wheel; false if it is not on it.
    #[inline]
    pub(super) fn del(&self, owners: impl Owners, its_stamp: &Cell<u32>, key: u32) -> bool {
        if its_stamp.replace(0) == 0 {
            return false;
        }
        let (pending, stale) = (self.pending.get() - 1, self.stale.get() + 1);
        self.pending.set(pending);
        self.stale.set(stale);
        if self.exact.get() && self.quiet.get() == owners.expires(key) {
            self.exact.set(false);
        }
        if pending == 0 || stale > self.bearable.get() {
            self.tidy(owners);
        }
        true
    }

    /// Takes the next timer that is due at `now` off the wheel. Of those that fire soon, `behind`
    /// fetches what they lead to, if so many are pending that this is not in the cache; whether that
    /// goes for the index as well, it is told.
    #[inline(always)]
    pub(super) fn expire(
        &self,
        owners: impl Owners,
        now: Jiffies,
        behind: impl Fn(u32, bool),
    ) -> Option<u32> {
        self.take_ready(owners).or_else(|| self.make_and_take_ready(owners, now, behind))
    }

    /// Takes the next that is ready, if there is one and it is not stale. Apart from what else
    /// expiry does, so that it is compiled into its callers: for most timers it is all there is.
    #[inline(always)]
    fn take_ready(&self, owners: impl Owners) -> Option<u32> {
        let left = self.left.get().checked_sub(1)?;
        let (key, number) = self.ready[left % BLOCK].get();
        let stamp = owners.stamp(key);
        if stamp.get() != number {
            return None;
        }
        stamp.set(0);
        self.left.set(left);
        self.pending.set(self.pending.get() - 1);
        Some(key)
    }

    #[inline(never)]
    fn make_and_take_ready(
        &self,
        owners: impl Owners,
        now: Jiffies,
        behind: impl Fn(u32, bool),
    ) -> Option<u32> {
        loop {
            while let Some(left) = self.left.get().checked_sub(1) {
                let taken = self.take_ready(owners);
                if taken.is_some() {
                    return taken;
                }
                self.left.set(left);
                self.stale.set(self.stale.get() - 1);
            }
            if !self.turn(owners, now) {
                return None;
            }
            if self.pending.get() > CACHED {
                self.prefetch_ready(owners, &behind);
            }
        }
    }

    /// Fetches what firing will touch, many side by side: what the owners lead to, and the owners
    /// of the block behind them. What is written then is in the cache; a store that misses is
    /// waited for by all behind it.
    #[inline(never)]
    fn prefetch_ready(&self, owners: impl Owners, behind: &impl Fn(u32, bool)) {
        let ready = &self.ready[..self.left.get()];
        let (slots, far) = (self.slots.borrow(), self.pending.get() > FAR);
        if !self.fetched.replace(false) {
            ready.iter().rev().for_each(|of| owners.prefetch(of.get().0));
        }
        ready.iter().rev().for_each(|of| behind(of.get().0, far));
        // What fires next is due, too, or in the slot of the next jiffy.
        let turn = if self.kind == WheelKind::Cascading { TVR } else { TVN };
        let soon = |jiffies| slots.chain((self.clk.get().wrapping_add(jiffies) % turn) as usize);
        let (mut next, then) = match self.due.borrow().last() {
            Some(due) => (*due, soon(0)),
            None => (soon(0), soon(1)),
        };
        if !next.is_empty() {
            let (block, count) = self.next_block(&slots, &mut next);
            slots.block(block)[..count].iter().for_each(|entry| owners.prefetch(entry.key));
            self.fetched.set(true);
        }
        slots.prefetch(if next.is_empty() { then } else { next }, 1);
    }

    /// Makes the next block ready, or goes on to the next jiffy at which something may be due;
    /// false if that lies behind `now`.
    #[inline(never)]
    fn turn(&self, owners: impl Owners, now: Jiffies) -> bool {
        while !self.make_ready(owners) {
            if Jiffies(self.clk.get()).time_after(now) {
                return false;
            }
            let turned = match self.kind {
                _ if self.pending.get() == 0 => false,
                WheelKind::Cascading => self.turn_cascading(owners, now),
                WheelKind::Levelled => self.turn_levelled(owners, now),
            };
            if !turned {
                self.come_to(now);
                return false;
            }
        }
        true
    }

    /// Makes the next due block ready, if there is one, without what is stale.
    fn make_ready(&self, owners: impl Owners) -> bool {
        let (mut due, slots) = (self.due.borrow_mut(), &mut *self.slots.borrow_mut());
        let Some(chain) = due.last_mut() else { return false };
        let (block, count) = self.next_block(slots, chain);
        if chain.is_empty() {
            due.pop();
        }
        let entries = &slots.block(block)[..count];
        let left = match self.kind {
            WheelKind::Cascading => self.make_ready_of(owners, entries.iter().rev()),
            WheelKind::Levelled => self.make_ready_of(owners, entries.iter()),
        };
        self.left.set(left);
        self.stale.set(self.stale.get() - (count - left) as u32);
        slots.release(block);
        true
    }

    /// Takes the block of a due chain that fires next off it, with how many entries.
    #[inline(always)]
    fn next_block(&self, slots: &Slots, chain: &mut Chain) -> (u32, usize) {
        match self.kind {
            WheelKind::Cascading => slots.shift(chain),
            WheelKind::Levelled => slots.pop(chain),
        }
    }

    /// Nothing is decided on the way, so that no look waits for another: half of the entries may
    /// be stale, and most owners are not in the cache.
    #[inline(always)]
    fn make_ready_of<'a>(
        &self,
        owners: impl Owners,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> usize {
        let (none_stale, mut left) = (self.stale.get() == 0, 0);
        for entry in entries {
            self.ready[left % BLOCK].set((entry.key, entry.stamp));
            left += usize::from(none_stale || owners.stamp(entry.key).get() == entry.stamp);
        }
        left
    }

    /// Whether anything that is due is pending; what comes before it and is not is dropped.
    fn has_due(&self, owners: impl Owners) -> bool {
        loop {
            while let Some(left) = self.left.get().checked_sub(1) {
                let (key, number) = self.ready[left].get();
                if owners.stamp(key).get() == number {
                    return true;
                }
                self.stale.set(self.stale.get() - 1);
                self.left.set(left);
            }
            if !self.make_ready(owners) {
                return false;
            }
        }
    }

    /// The first moment at which [`expire`](Self::expire) has something to answer.
    pub(super) fn next_expiry(&self, owners: impl Owners) -> Option<Jiffies> {
        if self.pending.get() == 0 {
            return None;
        }
        let clk = Jiffies(self.clk.get());
        if self.has_due(owners) {
            return Some(Jiffies(clk.0.wrapping_sub(1)));
        }
        match self.kind {
            WheelKind::Cascading => {
                if !self.exact.get() {
                    self.quiet.set(self.find_earliest(owners)?);
                    self.exact.set(true);
                }
                let at = self.quiet.get();
                Some(if clk.time_after(at) { clk } else { at })
            }
            WheelKind::Levelled => {
                let found = self.next_levelled(owners);
                if let Some(at) = found {
                    self.quiet.set(at);
                }
                found
            }
        }
    }

    /// As [`expire`](Self::expire) would that finds nothing, if it is known to: false if it is not.
    #[inline]
    pub(super) fn forward(&self, now: Jiffies) -> bool {
        let quiet = match self.kind {
            // What is on it has to be cascaded, jiffy by jiffy.
            WheelKind::Cascading => self.pending.get() == 0,
            WheelKind::Levelled => self.is_quiet(now),
        };
        if quiet {
            self.come_to(now);
        }
        quiet
    }

    #[inline]
    fn come_to(&self, now: Jiffies) {
        if !Jiffies(self.clk.get()).time_after(now) {
            self.clk.set(now.after(Ticks(1)).0);
        }
    }

    /// Whether [`expire`](Self::expire) has nothing to answer up to `until`, as far as is known.
    #[inline]
    pub(super) fn is_quiet(&self, until: Jiffies) -> bool {
        let none_due = || self.left.get() == 0 && self.due.borrow().is_empty();
        self.pending.get() == 0 || self.quiet.get().time_after(until) && none_due()
    }

    // ---- cascading ----------------------------------------------------------------------

    /// On to the next jiffy in which something is due, up to `now`; false if there is none.
    fn turn_cascading(&self, owners: impl Owners, now: Jiffies) -> bool {
        let slots = &mut *self.slots.borrow_mut();
        let mut clk = self.clk.get();
        loop {
            if clk.is_multiple_of(TVR) {
                self.cascade_down(owners, slots, clk);
            }
            let slot = (clk % TVR) as usize;
            if slots.holds(slot) {
                self.due.borrow_mut().push(slots.take(slot));
                self.exact.set(false);
                self.clk.set(clk.wrapping_add(1));
                return true;
            }
            let silent = silent_jiffies(slots, clk);
            if silent > now.0.wrapping_sub(clk) {
                return false;
            }
            clk = clk.wrapping_add(silent);
        }
    }

    /// Level 0 has turned: spreads the next slot of level 1, and of those above that have turned
    /// with it.
    #[inline(never)]
    fn cascade_down(&self, owners: impl Owners, slots: &mut Slots, clk: u64) {
        for level in 1..5 {
            self.cascade(owners, slots, (level, clk));
            if !(clk >> (8 + 6 * (level - 1))).is_multiple_of(TVN) {
                break;
            }
        }
    }

    /// Spreads a slot over the levels below it.
    fn cascade(&self, owners: impl Owners, slots: &mut Slots, (level, clk): (u32, u64)) {
        let slot = cascading_slot(level, clk);
        if !slots.holds(slot) {
            return;
        }
        let mut chain = slots.take(slot);
        let mut fetched = 0;
        while !chain.is_empty() {
            if fetched == 0 && self.pending.get() > CACHED {
                fetched = slots.prefetch(chain, AHEAD);
            }
            fetched -= fetched.min(1);
            let (block, mut count) = slots.shift(&mut chain);
            let mut entries = *slots.block(block);
            slots.release(block);
            if level == 4 {
                count = self.keep_pending(owners, &mut entries[..count]);
            }
            for &entry in &entries[..count] {
                let slot = match level {
                    // All of it expires within this turn of level 0.
                    1 => u64::from(entry.expires) as usize % TVR as usize,
                    4 => cascading_slot_for(owners.expires(entry.key).0, clk),
                    _ => cascading_slot_for(expiry(entry, clk).0, clk),
                };
                slots.push(slot, entry);
            }
        }
    }

    /// The earliest expiry. On levels 1 to 3 only the slot the clock is in and the first behind
    /// it that holds anything can have it.
    fn find_earliest(&self, owners: impl Owners) -> Option<Jiffies> {
        let clk = Jiffies(self.clk.get());
        let mut best: Option<Jiffies> = None;
        for level in 0..5 {
            let (first, count) = match level {
                0 => (0, TVR as usize),
                _ => ((TVR + (level - 1) * TVN) as usize, TVN as usize),
            };
            let here = cascading_slot(level as u32, clk.0) - first;
            for step in 0..count {
                let slot = first + (here + step) % count;
                let found = self.earliest_in(owners, slot, level == 4);
                best = [best, found].into_iter().flatten().min_by_key(|at| at.ticks_from(clk));
                if found.is_some() && step > 0 && level < 4 {
                    break;
                }
            }
        }
        best
    }

    fn earliest_in(&self, owners: impl Owners, slot: usize, far: bool) -> Option<Jiffies> {
        let slots = &mut *self.slots.borrow_mut();
        if !slots.holds(slot) {
            return None;
        }
        self.drop_stale(owners, slots, slot);
        let (clk, mut best) = (self.clk.get(), None);
        slots.for_each(slots.chain(slot), |entry| {
            let at = if far { owners.expires(entry.key) } else { expiry(*entry, clk) };
            let ahead = at.ticks_from(Jiffies(clk));
            best = Some(best.map_or(ahead, |best: i64| best.min(ahead)));
        });
        best.map(|ahead| Jiffies(clk.wrapping_add(ahead as u64)))
    }

    // ---- levelled -----------------------------------------------------------------------

    /// A timer is added: the wheel may have to be asked earlier. A slot is never collected before
    /// what is in it expires, save that what lies beyond the last level is filed at its end.
    #[inline]
    fn disturb(&self, clk: Jiffies, expires: Jiffies) {
        let last_level = 1_i64 << (3 * (self.levels - 1));
        let ahead = expires.ticks_from(clk).clamp(0, last_level);
        let at = clk.after(Ticks(ahead as u64));
        if self.quiet.get().time_after(at) {
            self.quiet.set(at);
        }
    }

    /// Collects what is due at the next jiffy that has anything, at most `now`; answers whether
    /// there was one.
    fn turn_levelled(&self, owners: impl Owners, now: Jiffies) -> bool {
        let found = self.next_levelled(owners);
        let Some(next) = found.filter(|next| !next.time_after(now)) else {
            self.quiet.set(found.unwrap_or(now));
            return false;
        };
        // The slots of the higher levels go first, as the last of what is due.
        let (mut due, slots) = (self.due.borrow_mut(), &mut *self.slots.borrow_mut());
        for level in 0..self.levels {
            if !next.0.is_multiple_of(1 << (3 * level)) {
                break;
            }
            let slot = (u64::from(level) * TVN + (next.0 >> (3 * level)) % TVN) as usize;
            if slots.holds(slot) {
                due.push(slots.take(slot));
            }
        }
        self.quiet.set(next.after(Ticks(1)));
        self.clk.set(next.after(Ticks(1)).0);
        true
    }

    /// When the first slot with anything pending is collected. A level is one word of the map:
    /// the first bit from the clock on, round and round, is its next.
    fn next_levelled(&self, owners: impl Owners) -> Option<Jiffies> {
        let (clk, slots) = (self.clk.get(), &mut *self.slots.borrow_mut());
        let mut best: Option<Jiffies> = None;
        for level in 0..self.levels as usize {
            // The first turn of this level at or after the clock, then on to the slot.
            let shift = 3 * level as u64;
            let turn = clk.wrapping_add((1 << shift) - 1) >> shift;
            while slots.filled(level) != 0 {
                let ahead = slots.filled(level).rotate_right((turn % TVN) as u32).trailing_zeros();
                let turn = turn.wrapping_add(u64::from(ahead));
                let at = Jiffies(turn << shift);
                if best.is_some_and(|best| !best.time_after(at)) {
                    break;
                }
                let slot = level * TVN as usize + (turn % TVN) as usize;
                if self.has_pending(owners, slots, slot) {
                    best = Some(at);
                    break;
                }
            }
        }
        best
    }

    /// Whether a slot holds more than stale entries.
    fn has_pending(&self, owners: impl Owners, slots: &mut Slots, slot: usize) -> bool {
        while let Some(newest) = slots.newest(slot) {
            if owners.stamp(newest.key).get() == newest.stamp {
                return true;
            }
            slots.drop_newest(slot);
            self.stale.set(self.stale.get() - 1);
        }
        false
    }

    // ---- stale entries ------------------------------------------------------------------

    /// Drops what is stale; answers how many are left. Decides nothing on the way, as
    /// [`make_ready_of`](Self::make_ready_of).
    fn keep_pending(&self, owners: impl Owners, entries: &mut [Entry]) -> usize {
        let mut kept = 0;
        for place in 0..entries.len() {
            let entry = entries[place];
            entries[kept] = entry;
            kept += usize::from(owners.stamp(entry.key).get() == entry.stamp);
        }
        self.stale.set(self.stale.get() - (entries.len() - kept) as u32);
        kept
    }

    fn drop_stale(&self, owners: impl Owners, slots: &mut Slots, slot: usize) {
        if self.stale.get() > 0 {
            let chain = slots.take(slot);
            let kept = self.without_stale(owners, slots, chain);
            slots.put(slot, kept);
        }
    }

    fn without_stale(&self, owners: impl Owners, slots: &mut Slots, mut chain: Chain) -> Chain {
        let mut kept = Chain::default();
        while !chain.is_empty() {
            let (block, count) = slots.shift(&mut chain);
            let mut entries = *slots.block(block);
            slots.release(block);
            let count = self.keep_pending(owners, &mut entries[..count]);
            entries[..count].iter().for_each(|&entry| slots.append(&mut kept, entry));
        }
        kept
    }

    /// Drops the stale entries, if there are many: none is pending any more, or they are twice
    /// what was.
    #[cold]
    #[inline(never)]
    fn tidy(&self, owners: impl Owners) {
        let (pending, stale) = (self.pending.get(), self.stale.get());
        if stale <= FEW {
            return;
        }
        self.bearable.set(self.bearable.get().max(2 * pending));
        if pending == 0 {
            self.clear();
        } else if stale > self.bearable.get() {
            self.sweep(owners);
        } else {
            return;
        }
        self.bearable.set(FEW.max(2 * pending));
    }

    /// Whatever there is, is stale: nobody has to be asked.
    fn clear(&self) {
        let slots = &mut *self.slots.borrow_mut();
        for slot in slots.all() {
            let chain = slots.take(slot);
            slots.release_all(chain);
        }
        self.due.borrow_mut().drain(..).for_each(|chain| slots.release_all(chain));
        self.left.set(0);
        self.stale.set(0);
    }

    fn sweep(&self, owners: impl Owners) {
        let (mut due, slots) = (self.due.borrow_mut(), &mut *self.slots.borrow_mut());
        for slot in slots.all() {
            self.drop_stale(owners, slots, slot);
        }
        for chain in due.iter_mut() {
            *chain = self.without_stale(owners, slots, *chain);
        }
        due.retain(|chain| !chain.is_empty());
        let mut kept = 0;
        for place in 0..self.left.get() {
            let (key, number) = self.ready[place].get();
            self.ready[kept].set((key, number));
            kept += usize::from(owners.stamp(key).get() == number);
        }
        self.left.set(kept);
        self.stale.set(0);
    }

    /// Gives every pending timer a stamp from the start of the numbers, and answers the next. No
    /// entry may be left that could be taken for a new one.
    #[cold]
    #[inline(never)]
    fn begin_stamps_anew(&self, owners: impl Owners) -> u32 {
        self.sweep(owners);
        let mut last = 0;
        let mut next = |key| {
            last += 1;
            owners.stamp(key).set(last);
            last
        };
        for ready in &self.ready[..self.left.get()] {
            let (key, _) = ready.get();
            ready.set((key, next(key)));
        }
        let slots = &mut *self.slots.borrow_mut();
        let filled = slots.all().map(|slot| slots.chain(slot));
        let chains: Vec<Chain> = filled.chain(self.due.borrow().iter().copied()).collect();
        for chain in chains {
            slots.for_each(chain, |entry| entry.stamp = next(entry.key));
        }
        last + 1
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.borrow().bytes()
    }
}

/// How many jiffies from the clock on hold nothing and cascade nothing; level 0 is empty there.
fn silent_jiffies(slots: &Slots, clk: u64) -> u64 {
    let slot = (clk % TVR) as usize;
    if let Some(filled) = slots.filled_between(slot + 1, TVR as usize) {
        return (filled - slot) as u64;
    }
    let to_turn = TVR - slot as u64;
    if (0..=TVR as usize / 64).any(|map| slots.filled(map) != 0) {
        return to_turn;
    }
    // Levels 0 and 1 are empty: nothing happens before level 1 has turned.
    let clk = clk.wrapping_add(to_turn);
    to_turn + clk.wrapping_neg() % (TVR * TVN)
}

/// The whole expiry of an entry below the last level: it lies near the clock.
#[inline]
const fn expiry(entry: Entry, clk: u64) -> Jiffies {
    let ahead = entry.expires.wrapping_sub(clk as u32) as i32;
    Jiffies(clk.wrapping_add(ahead as u64))
}

#[cfg(test)]
mod tests;
