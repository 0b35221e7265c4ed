// SPDX-License-Identifier: GPL-2.0-only
//! The wheels of `wheel.rs` again, with arrays where lists were.
//!
//! ```text
//!   slot ─▶ [ (timer, stamp, expires) … ]    appended by add, streamed by cascade and expiry
//!   timer ─▶ stamp                           zeroed by del: the entry is stale, and stays
//! ```
//!
//! *Stamp*: the number of the `add` that made an entry; what is in the timer must agree, or the
//! entry is stale. Whoever comes by drops stale entries; when they are twice what was ever pending
//! since the last time, all are swept out at once. So at most three entries stay for each timer
//! of the fullest moment, and a sweep looks at no more than three for each that was deleted.
//!
//! The rule that matters: an array keeps the order in which its list would be, so timers fire in
//! exactly the order of the revision's wheel; `del` leaves no trace that anybody could see.
//!
//! Why: deleting from a list writes to two neighbours that are not in the cache, and cascading
//! walks one by one. See `nfexp bench expire` and `churn`.

use core::cell::{Cell, RefCell};
use core::hint::black_box;

use super::jiffies::{Jiffies, Ticks};
use super::wheel::{
    TVN, TVR, cascading_slot, cascading_slot_for, levelled_slot, levels, with_slack,
};
use crate::revision::WheelKind;

/// More than this are fetched batch by batch while they fire; fewer, all at once before.
const MANY: usize = 256;
/// So many owners are touched at once.
const BATCH: usize = 16;
/// With more than this the index of the owners is not in the cache either: over two megabytes.
const FAR: usize = 256 << 10;
/// So few pending are in the cache anyway: about a megabyte of owners.
const CACHED: u32 = 8 << 10;
/// So few stale entries are not worth a sweep.
const FEW: u32 = 1024;
/// A slot that held more gives its memory back.
const SMALL: usize = 256;

/// A timer in a slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u32,
    stamp: u32,
    /// The low half of its expiry: enough for every level but the last.
    expires: u32,
}

/// Finds the parts of a timer by its key.
pub(super) trait Owners {
    /// Its stamp; 0 while it is not pending.
    fn stamp(&self, key: u32) -> &Cell<u32>;
    /// When it expires.
    fn expires(&self, key: u32) -> Jiffies;
    /// Asks for the memory of one that will fire soon: its owner's own first, then what that
    /// leads to: what will be written when it is unlinked, because a store that misses is waited
    /// for by all behind it.
    fn touch(&self, key: u32, deep: bool);
}

/// A timer wheel of arrays. Time only moves forward, by [`expire`](Self::expire).
#[derive(Debug)]
pub(super) struct ArrayWheel {
    kind: WheelKind,
    /// Levels of the levelled wheel.
    levels: u32,
    /// The next jiffy to look at.
    clk: Cell<u64>,
    slots: Box<[RefCell<Vec<Entry>>]>,
    /// One bit per slot that is not empty.
    filled: Box<[Cell<u64>]>,
    /// What is due and not yet detached, and how much of it is done.
    due: RefCell<Vec<Entry>>,
    done: Cell<usize>,
    pending: Cell<u32>,
    /// The most that were pending before a `del` since the last sweep.
    fullest: Cell<u32>,
    stale: Cell<u32>,
    stamp: Cell<u32>,
    /// The earliest expiry of the cascading wheel, while it is known.
    earliest: Cell<Option<Jiffies>>,
    /// No slot of the levelled wheel is collected before this jiffy: exact or early.
    quiet: Cell<Jiffies>,
}

impl ArrayWheel {
    /// A wheel whose clock stands at `start`.
    pub(super) fn new(kind: WheelKind, start: Jiffies, hz: u32) -> Self {
        let levels = levels(hz);
        let slots = match kind {
            WheelKind::Cascading => TVR + 4 * TVN,
            WheelKind::Levelled => TVN * u64::from(levels),
        } as usize;
        Self {
            kind,
            levels,
            clk: Cell::new(start.0),
            slots: (0..slots).map(|_| RefCell::default()).collect(),
            filled: (0..slots / 64).map(|_| Cell::new(0)).collect(),
            due: RefCell::default(),
            done: Cell::new(0),
            pending: Cell::new(0),
            fullest: Cell::new(0),
            stale: Cell::new(0),
            stamp: Cell::new(0),
            earliest: Cell::new(None),
            quiet: Cell::new(start),
        }
    }

    /// Makes the timer `key` pending; answers when it expires, slack included.
    #[inline(always)]
    pub(super) fn add(
        &self,
        owners: &impl Owners,
        its_stamp: &Cell<u32>,
        key: u32,
        expires: Jiffies,
        now: Jiffies,
    ) -> Jiffies {
        if self.stamp.get() == u32::MAX {
            self.begin_stamps_anew(owners);
        }
        let stamp = self.stamp.get() + 1;
        self.stamp.set(stamp);
        its_stamp.set(stamp);
        self.pending.set(self.pending.get() + 1);
        let (slot, expires) = match self.kind {
            WheelKind::Cascading => {
                let expires = with_slack(expires, now);
                if self.earliest.get().is_some_and(|earliest| earliest.time_after(expires)) {
                    self.earliest.set(Some(expires));
                }
                (cascading_slot_for(expires.0, self.clk.get()), expires)
            }
            WheelKind::Levelled => {
                let clk = self.clk.get();
                self.disturb(Jiffies(clk), expires);
                (levelled_slot(expires.0, clk, self.levels), expires)
            }
        };
        self.push(slot, Entry { key, stamp, expires: expires.0 as u32 });
        expires
    }

    /// Takes the timer off the wheel; false if it is not on it.
    #[inline]
    pub(super) fn del(&self, owners: &impl Owners, its_stamp: &Cell<u32>, key: u32) -> bool {
        if its_stamp.replace(0) == 0 {
            return false;
        }
        let (pending, stale) = (self.pending.get(), self.stale.get() + 1);
        let fullest = self.fullest.get().max(pending);
        self.fullest.set(fullest);
        self.pending.set(pending - 1);
        self.stale.set(stale);
        if self.earliest.get().is_some_and(|earliest| earliest == owners.expires(key)) {
            self.earliest.set(None);
        }
        if stale > FEW && (pending == 1 || stale / 2 > fullest) {
            self.sweep(owners);
        }
        true
    }

    /// Takes the next timer that is due at `now` off the wheel.
    #[inline]
    pub(super) fn expire(&self, owners: &impl Owners, now: Jiffies) -> Option<u32> {
        loop {
            if let Some((key, stamp)) = self.next_due(owners) {
                stamp.set(0);
                self.done.set(self.done.get() + 1);
                self.pending.set(self.pending.get() - 1);
                self.earliest.set(None);
                return Some(key);
            }
            if !self.turn(owners, now) {
                return None;
            }
        }
    }

    /// Goes on to the next jiffy at which something may be due; false if that lies behind `now`.
    #[inline(never)]
    fn turn(&self, owners: &impl Owners, now: Jiffies) -> bool {
        if Jiffies(self.clk.get()).time_after(now) || self.forward(now) {
            return false;
        }
        match self.kind {
            WheelKind::Cascading => {
                self.turn_cascading(owners, now);
                true
            }
            WheelKind::Levelled => self.collect_levelled(owners, now),
        }
    }

    /// The first moment at which [`expire`](Self::expire) has something to answer.
    pub(super) fn next_expiry(&self, owners: &impl Owners) -> Option<Jiffies> {
        if self.pending.get() == 0 {
            return None;
        }
        let clk = Jiffies(self.clk.get());
        if self.next_due(owners).is_some() {
            return Some(Jiffies(clk.0.wrapping_sub(1)));
        }
        match self.kind {
            WheelKind::Cascading => {
                let known = self.earliest.get().or_else(|| self.find_earliest(owners));
                self.earliest.set(known);
                known.map(|at| if clk.time_after(at) { clk } else { at })
            }
            WheelKind::Levelled => {
                let found = self.next_levelled(owners, clk);
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
        if quiet && !Jiffies(self.clk.get()).time_after(now) {
            self.clk.set(now.after(Ticks(1)).0);
        }
        quiet
    }

    /// Whether [`expire`](Self::expire) has nothing to answer up to `until`, as far as is known.
    #[inline]
    pub(super) fn is_quiet(&self, until: Jiffies) -> bool {
        if self.pending.get() == 0 {
            return true;
        }
        let known = match self.kind {
            WheelKind::Cascading => self.earliest.get(),
            WheelKind::Levelled => Some(self.quiet.get()),
        };
        self.due.borrow().is_empty() && known.is_some_and(|at| at.time_after(until))
    }

    /// The first of the due ones that is not stale, and its stamp.
    #[inline(always)]
    fn next_due<'a>(&self, owners: &'a impl Owners) -> Option<(u32, &'a Cell<u32>)> {
        let due = self.due.borrow_mut();
        while let Some(entry) = due.get(self.done.get()) {
            if self.done.get().is_multiple_of(BATCH) && due.len() > MANY {
                Self::touch_batch(owners, &due, self.done.get());
            }
            let stamp = owners.stamp(entry.key);
            if stamp.get() == entry.stamp {
                return Some((entry.key, stamp));
            }
            self.stale.set(self.stale.get() - 1);
            self.done.set(self.done.get() + 1);
        }
        if self.done.get() != 0 {
            drop(due);
            self.forget_due();
        }
        None
    }

    /// Asks for the memory of those that will fire soon, many side by side: what the next ones
    /// lead to, and what the ones behind them are.
    #[inline(never)]
    fn touch_batch(owners: &impl Owners, due: &[Entry], done: usize) {
        let batch = |from: usize| due.get(from..).unwrap_or_default().iter().take(BATCH);
        if done == 0 {
            batch(0).for_each(|entry| owners.touch(entry.key, false));
        }
        batch(done).for_each(|entry| owners.touch(entry.key, true));
        batch(done + BATCH).for_each(|entry| owners.touch(entry.key, false));
    }

    /// Reads what lies behind the next batch, where so many are pending that it is nowhere near.
    #[inline]
    pub(super) fn before_next(&self, read: impl Fn(u32) -> u32) {
        if self.done.get().is_multiple_of(BATCH) {
            self.read_batch(read);
        }
    }

    #[inline(never)]
    fn read_batch(&self, read: impl Fn(u32) -> u32) {
        let due = self.due.borrow();
        if due.len().max(self.pending.get() as usize) > FAR {
            let batch = due.get(self.done.get()..).unwrap_or_default().iter().take(BATCH);
            black_box(batch.fold(0, |sum, entry| sum ^ read(entry.key)));
        }
    }

    /// All that was due is done.
    #[inline(never)]
    fn forget_due(&self) {
        let mut due = self.due.borrow_mut();
        due.clear();
        if due.capacity() > SMALL {
            *due = Vec::new();
        }
        self.done.set(0);
    }

    // ---- cascading ----------------------------------------------------------------------

    /// One jiffy, or as many silent ones as can be crossed at once.
    fn turn_cascading(&self, owners: &impl Owners, now: Jiffies) {
        let clk = self.clk.get();
        if clk.is_multiple_of(TVR) {
            for level in 1..5 {
                self.cascade(owners, level, cascading_slot(level, clk));
                if !(clk >> (8 + 6 * (level - 1))).is_multiple_of(TVN) {
                    break;
                }
            }
        }
        let slot = (clk % TVR) as usize;
        if self.holds(slot) {
            self.move_to_due(owners, slot);
            self.clk.set(clk.wrapping_add(1));
            return;
        }
        let room = now.0.wrapping_sub(clk).wrapping_add(1);
        self.clk.set(clk.wrapping_add(self.silent_jiffies(slot).min(room)));
    }

    /// How many jiffies from level-0 slot `slot` on hold nothing and cascade nothing.
    fn silent_jiffies(&self, slot: usize) -> u64 {
        if let Some(filled) = self.filled_between(slot + 1, TVR as usize) {
            return (filled - slot) as u64;
        }
        let to_turn = TVR - slot as u64;
        if (0..=TVR as usize / 64).any(|map| self.filled[map].get() != 0) {
            return to_turn;
        }
        // Levels 0 and 1 are empty: nothing happens before level 1 has turned.
        let clk = self.clk.get().wrapping_add(to_turn);
        to_turn + clk.wrapping_neg() % (TVR * TVN)
    }

    fn filled_between(&self, from: usize, to: usize) -> Option<usize> {
        let mut slot = from;
        while slot < to {
            let rest = self.filled[slot / 64].get() >> (slot % 64);
            if rest != 0 {
                let found = slot + rest.trailing_zeros() as usize;
                return (found < to).then_some(found);
            }
            slot = (slot / 64 + 1) * 64;
        }
        None
    }

    /// Spreads a slot over the levels below it.
    fn cascade(&self, owners: &impl Owners, level: u32, slot: usize) {
        if !self.holds(slot) {
            return;
        }
        for entry in self.take(slot) {
            let expires = match level {
                4 if owners.stamp(entry.key).get() != entry.stamp => {
                    self.stale.set(self.stale.get() - 1);
                    continue;
                }
                4 => owners.expires(entry.key),
                _ => self.expiry(entry),
            };
            self.push(cascading_slot_for(expires.0, self.clk.get()), entry);
        }
    }

    /// The whole expiry of an entry below the last level: it lies near the clock.
    #[inline]
    fn expiry(&self, entry: Entry) -> Jiffies {
        let clk = self.clk.get();
        let ahead = entry.expires.wrapping_sub(clk as u32) as i32;
        Jiffies(clk.wrapping_add(ahead as u64))
    }

    /// The earliest expiry. On levels 1 to 3 only the slot the clock is in and the first behind
    /// it that holds anything can have it.
    fn find_earliest(&self, owners: &impl Owners) -> Option<Jiffies> {
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

    fn earliest_in(&self, owners: &impl Owners, slot: usize, far: bool) -> Option<Jiffies> {
        if !self.holds(slot) {
            return None;
        }
        self.drop_stale(owners, slot);
        let entries = self.slots[slot].borrow();
        let expires = entries
            .iter()
            .map(|entry| if far { owners.expires(entry.key) } else { self.expiry(*entry) });
        expires.min_by_key(|at| at.ticks_from(Jiffies(self.clk.get())))
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
    fn collect_levelled(&self, owners: &impl Owners, now: Jiffies) -> bool {
        let clk = Jiffies(self.clk.get());
        let found = self.next_levelled(owners, clk);
        let Some(next) = found.filter(|next| !next.time_after(now)) else {
            self.quiet.set(found.unwrap_or(now));
            self.clk.set(now.after(Ticks(1)).0);
            return false;
        };
        // The slots of the higher levels go first.
        let turned = (0..self.levels)
            .take_while(|&level| level == 0 || next.0.is_multiple_of(1 << (3 * level)));
        let turned = turned.last().expect("level 0 turns every jiffy");
        for level in (0..=turned).rev() {
            let slot = (u64::from(level) * TVN + (next.0 >> (3 * level)) % TVN) as usize;
            if self.holds(slot) {
                self.move_to_due(owners, slot);
            }
        }
        self.clk.set(next.after(Ticks(1)).0);
        self.quiet.set(next.after(Ticks(1)));
        true
    }

    /// When the first slot with anything pending is collected. A level is one word of the map:
    /// the first bit from the clock on, round and round, is its next.
    fn next_levelled(&self, owners: &impl Owners, clk: Jiffies) -> Option<Jiffies> {
        let mut best: Option<Jiffies> = None;
        for (level, map) in self.filled.iter().enumerate() {
            // The first turn of this level at or after the clock, then on to the slot.
            let shift = 3 * level as u64;
            let turn = clk.0.wrapping_add((1 << shift) - 1) >> shift;
            while map.get() != 0 {
                let ahead = map.get().rotate_right((turn % TVN) as u32).trailing_zeros();
                let turn = turn.wrapping_add(u64::from(ahead));
                let at = Jiffies(turn << shift);
                if best.is_some_and(|best| !best.time_after(at)) {
                    break;
                }
                let slot = level * TVN as usize + (turn % TVN) as usize;
                if self.has_pending(owners, slot) {
                    best = Some(at);
                    break;
                }
            }
        }
        best
    }

    /// Whether a slot holds more than stale entries.
    fn has_pending(&self, owners: &impl Owners, slot: usize) -> bool {
        let mut entries = self.slots[slot].borrow_mut();
        while let Some(last) = entries.last() {
            if owners.stamp(last.key).get() == last.stamp {
                return true;
            }
            entries.pop();
            self.stale.set(self.stale.get() - 1);
        }
        self.unmark(slot);
        false
    }

    // ---- slots --------------------------------------------------------------------------

    #[inline]
    fn push(&self, slot: usize, entry: Entry) {
        let mut entries = self.slots[slot].borrow_mut();
        if entries.is_empty() {
            let map = &self.filled[slot / 64];
            map.set(map.get() | 1 << (slot % 64));
        }
        entries.push(entry);
    }

    #[inline]
    fn holds(&self, slot: usize) -> bool {
        self.filled[slot / 64].get() >> (slot % 64) & 1 == 1
    }

    fn unmark(&self, slot: usize) {
        let map = &self.filled[slot / 64];
        map.set(map.get() & !(1 << (slot % 64)));
    }

    fn take(&self, slot: usize) -> Vec<Entry> {
        self.unmark(slot);
        core::mem::take(&mut *self.slots[slot].borrow_mut())
    }

    /// Appends a whole slot to what is due, without what is stale: as it is, or the levelled
    /// wheel's newest first.
    fn move_to_due(&self, owners: &impl Owners, slot: usize) {
        self.unmark(slot);
        let mut entries = self.slots[slot].borrow_mut();
        let mut due = self.due.borrow_mut();
        if entries.len() <= MANY {
            // All at once: what one look misses in the cache the next ones do not wait for.
            self.keep_pending(owners, &mut entries);
            if self.pending.get() > CACHED {
                entries.iter().for_each(|entry| owners.touch(entry.key, true));
            }
        }
        match self.kind {
            WheelKind::Cascading if due.is_empty() => core::mem::swap(&mut *due, &mut *entries),
            WheelKind::Cascading => due.extend_from_slice(&entries),
            WheelKind::Levelled => due.extend(entries.iter().rev()),
        }
        entries.clear();
        if entries.capacity() > SMALL {
            *entries = Vec::new();
        }
    }

    /// Drops what is stale. Nothing is decided on the way, so that no look waits for another:
    /// half of them may be stale, and most are not in the cache.
    #[inline]
    fn keep_pending(&self, owners: &impl Owners, entries: &mut Vec<Entry>) {
        let mut kept = 0;
        for place in 0..entries.len() {
            let entry = entries[place];
            entries[kept] = entry;
            kept += usize::from(owners.stamp(entry.key).get() == entry.stamp);
        }
        self.stale.set(self.stale.get() - (entries.len() - kept) as u32);
        entries.truncate(kept);
    }

    fn drop_stale(&self, owners: &impl Owners, slot: usize) {
        let mut entries = self.slots[slot].borrow_mut();
        self.keep_pending(owners, &mut entries);
        if entries.is_empty() {
            self.unmark(slot);
        }
    }

    /// Drops every stale entry.
    #[cold]
    #[inline(never)]
    fn sweep(&self, owners: &impl Owners) {
        self.fullest.set(self.pending.get());
        let all = self.pending.get() == 0;
        let mut due = self.due.borrow_mut();
        due.drain(..self.done.replace(0));
        for slot in (0..self.slots.len()).filter(|&slot| self.holds(slot)) {
            if all {
                self.slots[slot].borrow_mut().clear();
                self.unmark(slot);
            } else {
                self.drop_stale(owners, slot);
            }
            let mut entries = self.slots[slot].borrow_mut();
            if entries.capacity() > SMALL && entries.capacity() > 4 * entries.len() {
                entries.shrink_to_fit();
            }
        }
        due.retain(|entry| !all && owners.stamp(entry.key).get() == entry.stamp);
        self.stale.set(0);
    }

    /// Gives every pending timer a stamp from the start of the numbers. No entry may be left that
    /// could be taken for a new one.
    #[cold]
    #[inline(never)]
    fn begin_stamps_anew(&self, owners: &impl Owners) {
        self.sweep(owners);
        self.stamp.set(0);
        let mut due = self.due.borrow_mut();
        let slots = self.slots.iter().map(RefCell::borrow_mut);
        for mut entries in slots {
            for entry in entries.iter_mut() {
                self.stamp.set(self.stamp.get() + 1);
                entry.stamp = self.stamp.get();
                owners.stamp(entry.key).set(entry.stamp);
            }
        }
        for entry in due.iter_mut() {
            self.stamp.set(self.stamp.get() + 1);
            entry.stamp = self.stamp.get();
            owners.stamp(entry.key).set(entry.stamp);
        }
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let slots = self.slots.iter().map(|slot| slot.borrow().capacity());
        (slots.sum::<usize>() + self.due.borrow().capacity()) * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests;
