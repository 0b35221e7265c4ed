// SPDX-License-Identifier: GPL-2.0-only
//! The timer base under loom.
//!
//! The rule that matters: whoever swaps the armed word to zero has the timer; nobody looks at the
//! object before. Where there is no timer but a `timeout`, everybody looks at that: every look is
//! marked (`READ_ONCE()`, 7.2), and so is the store that changes it, but not the one before `insert`.

use std::cell::Cell;

use nfexp_model::kernel::platform::Ordering;
use nfexp_model::kernel::timer::{TimerBase, TimerKey};
use nfexp_model::kernel::{Jiffies, Plain, Word};
use nfexp_model::memory::Memory;
use nfexp_model::revision::WheelKind;
use nfexp_model::slip::Slip;

use super::{LoomPlain, LoomWord, Smp};
use crate::record;
use crate::world::World;
/// The timer base: which timers are armed stands here and not in the object, because the
/// softirq looks at the base until the timer is its own.
pub struct LoomTimers {
    armed: [Box<[LoomWord]>; 2],
}

/// The object's part of its timer.
pub struct LoomTimer {
    expires: LoomPlain<Jiffies>,
    timeout: LoomWord,
    function: LoomPlain<bool>,
}

thread_local! {
    static MARKED: Cell<bool> = const { Cell::new(false) };
    static CHANGES: Cell<bool> = const { Cell::new(false) };
}

/// From now on a lifetime is a marked word, or plain memory.
pub fn mark_lifetimes(marked: bool) {
    MARKED.set(marked);
    CHANGES.set(false);
}

/// Whether what is written next is the lifetime of what readers may reach.
pub(super) fn changes_lifetime(changes: bool) {
    CHANGES.set(changes);
}

impl LoomTimers {
    fn armed(&self, key: TimerKey) -> &LoomWord {
        &self.armed[usize::from(key.is_conn())][key.index() as usize]
    }
}

impl<W: World> TimerBase<Smp<W>> for LoomTimers {
    type Node = LoomTimer;
    type Expires = ();

    fn new(_: WheelKind, _: Jiffies, _: u32, expectations: u32, conns: u32) -> Self {
        let words = |count| (0..=count).map(|_| LoomWord::new(0)).collect();
        Self { armed: [words(expectations), words(conns)] }
    }

    fn blank() -> (LoomTimer, ()) {
        let expires = LoomPlain::new(Jiffies(0));
        (LoomTimer { expires, timeout: LoomWord::new(0), function: LoomPlain::new(false) }, ())
    }

    fn poison(node: &LoomTimer) {
        node.expires.set(Jiffies(0));
        node.timeout.reset(0);
        node.function.set(false);
    }

    fn setup(&self, memory: &Memory<Smp<W>>, key: TimerKey) {
        memory.timer(key).function.set(true);
    }

    fn has_function(&self, memory: &Memory<Smp<W>>, key: TimerKey) -> bool {
        memory.timer(key).function.get()
    }

    fn set_expires(&self, memory: &Memory<Smp<W>>, key: TimerKey, expires: Jiffies) {
        let timer = memory.timer(key);
        // Times here are a few lifetimes after zero.
        let timeout = expires.0 as u32;
        match (MARKED.get(), CHANGES.get()) {
            (true, true) => timer.timeout.store(timeout, Ordering::Relaxed),
            (true, false) => timer.timeout.reset(timeout),
            (false, _) => timer.expires.set(expires),
        }
    }

    fn expires(&self, memory: &Memory<Smp<W>>, key: TimerKey) -> Jiffies {
        let timer = memory.timer(key);
        match MARKED.get() {
            true => Jiffies(u64::from(timer.timeout.load(Ordering::Relaxed))),
            false => timer.expires.get(),
        }
    }

    fn is_pending(&self, _: &Memory<Smp<W>>, key: TimerKey) -> bool {
        // ORDERING: relaxed: `timer_pending()` promises nothing.
        self.armed(key).load(Ordering::Relaxed) != 0
    }

    fn add(&self, memory: &Memory<Smp<W>>, key: TimerKey, _: Jiffies) {
        memory.timer(key).function.get();
        // ORDERING: as taking and dropping the base's lock; pairs with `detach`.
        let before = self.armed(key).swap(1, Ordering::AcqRel);
        record::timer(key, "starts the timer", "pending");
        assert!(before == 0, "add_timer() of a pending timer");
    }

    fn detach(&self, memory: &Memory<Smp<W>>, _: &Self::Node, key: TimerKey) -> bool {
        // ORDERING: as taking and dropping the base's lock; pairs with `add`.
        let was_pending = if W::slips(Slip::SplitDetach) {
            let before = self.armed(key).load(Ordering::Acquire);
            self.armed(key).store(0, Ordering::Release);
            before != 0
        } else {
            self.armed(key).swap(0, Ordering::AcqRel) != 0
        };
        match was_pending {
            true => record::timer(key, "detaches the timer", "detached"),
            false => record::timer(key, "finds the timer detached", ""),
        }
        if was_pending {
            // The base unlinks the timer from its list: a touch of the object.
            memory.timer(key).function.get();
        }
        was_pending
    }

    fn expire(
        &self,
        memory: &Memory<Smp<W>>,
        _: Jiffies,
        _: impl Fn(u32, bool),
    ) -> Option<TimerKey> {
        let keys = (1..self.armed[0].len() as u32).map(TimerKey::expectation);
        let mut keys = keys.chain((1..self.armed[1].len() as u32).map(TimerKey::conn));
        keys.find(|key| TimerBase::<Smp<W>>::detach(self, memory, memory.timer(*key), *key))
    }

    fn next_expiry(&self, memory: &Memory<Smp<W>>) -> Option<Jiffies> {
        let keys = (1..self.armed[0].len() as u32).map(TimerKey::expectation);
        let pending = |key: &TimerKey| TimerBase::<Smp<W>>::is_pending(self, memory, *key);
        keys.filter(pending).map(|key| memory.timer(key).expires.get()).next()
    }
}
