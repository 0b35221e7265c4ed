// SPDX-License-Identifier: GPL-2.0-only
//! The timer base: who is to be called when.
//!
//! *Pending*: on the base. *Firing*: detached from the base, the callback has not run yet.
//! *Idle*: neither. Expiry has two halves because the kernel's has: the softirq detaches a
//! timer under the base's lock, drops that lock, and then calls the function, which may have
//! to wait for another lock. The race of the whole engine lives in that gap:
//!
//! ```text
//!   softirq   detach ─────────────── (spins for the lock) ─▶ unlink, put
//!   packet              del_timer() = false: somebody else will do it
//! ```
//!
//! The rule that matters: whoever detaches a timer, the softirq or `del_timer()`, and nobody
//! else, may unlink the expectation and owns the timer's reference.
//!
//! One base serves expectations and connections, as in the kernel, so that timers of both that
//! expire in one jiffy keep the kernel's order.

use core::cell::Cell;

use super::arrays::ArrayWheel;
use super::jiffies::Jiffies;
use super::platform::Platform;
use super::prefetch::prefetch;
use super::wheel::{Links, Wheel};
use crate::memory::Memory;
use crate::revision::WheelKind;

/// Whose timer: an expectation's or a connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(u32);

impl TimerKey {
    const CONN: u32 = 1 << 30;

    /// The timer of the expectation in slot `index`.
    #[inline]
    #[must_use]
    pub const fn expectation(index: u32) -> Self {
        Self(index)
    }

    /// The timer of the connection in slot `index`.
    #[inline]
    #[must_use]
    pub const fn conn(index: u32) -> Self {
        Self(index | Self::CONN)
    }

    /// Whether it is a connection's.
    #[inline]
    #[must_use]
    pub const fn is_conn(self) -> bool {
        self.0 & Self::CONN != 0
    }

    /// The slot of its owner.
    #[inline]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 & !Self::CONN
    }

    #[inline]
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The timers of all expectations and connections.
///
/// `setup`, then `set_expires`, then `add`; `del` or `expire` end what `add` began.
pub trait TimerBase<P: Platform>: Sized {
    /// What the base keeps inside the owner.
    type Node: 'static;
    /// What it keeps there beside, for listings and events.
    type Expires: 'static;

    /// A base on which nothing is pending.
    fn new(wheel: WheelKind, start: Jiffies, hz: u32, expectations: u32, conns: u32) -> Self;
    /// The timer of a blank owner.
    fn blank() -> (Self::Node, Self::Expires);
    /// Overwrites the timer of freed memory.
    fn poison(node: &Self::Node);

    /// `setup_timer()`: from now on it has a function.
    fn setup(&self, memory: &Memory<P>, key: TimerKey);
    /// Whether it has one. Memory that was never set up may say anything.
    fn has_function(&self, memory: &Memory<P>, key: TimerKey) -> bool;
    /// Sets `timer.expires` before `add`.
    fn set_expires(&self, memory: &Memory<P>, key: TimerKey, expires: Jiffies);
    /// `timer.expires`, pending or not.
    fn expires(&self, memory: &Memory<P>, key: TimerKey) -> Jiffies;
    /// `timer_pending()`.
    fn is_pending(&self, memory: &Memory<P>, key: TimerKey) -> bool;

    /// `add_timer()`.
    ///
    /// # Panics
    /// If it is pending already (`BUG_ON`).
    fn add(&self, memory: &Memory<P>, key: TimerKey, now: Jiffies);
    /// `timer.expires` and `add_timer()`.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    #[inline]
    fn add_at(&self, memory: &Memory<P>, key: TimerKey, expires: Jiffies, now: Jiffies) {
        self.set_expires(memory, key, expires);
        self.add(memory, key, now);
    }
    /// `setup_timer()`, `timer.expires` if it is told, and `add_timer()`; `_timer` is what the
    /// owner holds.
    #[inline]
    fn start(
        &self,
        memory: &Memory<P>,
        _timer: (&Self::Node, &Self::Expires),
        key: TimerKey,
        expires: Option<Jiffies>,
        now: Jiffies,
    ) {
        self.setup(memory, key);
        if let Some(expires) = expires {
            self.set_expires(memory, key, expires);
        }
        self.add(memory, key, now);
    }
    /// `del_timer()` and the first half of expiry: takes the timer off the base, and answers
    /// whether it was on it. `node` is the owner's.
    fn detach(&self, memory: &Memory<P>, node: &Self::Node, key: TimerKey) -> bool;
    /// Takes the next timer due at `now` off the base, in the order the softirq would. Where many
    /// are pending, `behind` may hear of expectations that fire soon, and fetches what they lead to;
    /// the index, too, if there are so many that it is told so.
    fn expire(
        &self,
        memory: &Memory<P>,
        now: Jiffies,
        behind: impl Fn(u32, bool),
    ) -> Option<TimerKey>;
    /// The first moment at which `expire` has something to answer.
    fn next_expiry(&self, memory: &Memory<P>) -> Option<Jiffies>;

    /// Whether `expire` is known to have nothing to answer up to `until`; false if it would have
    /// to look.
    #[inline]
    fn is_quiet(&self, _until: Jiffies) -> bool {
        false
    }

    /// Lets the clock come to `now`, as `expire` would that finds nothing; false, and nothing is
    /// changed, if it would have to look.
    #[inline]
    fn forward(&self, _now: Jiffies) -> bool {
        false
    }

    /// An expectation's timer is firing from now on.
    #[inline(always)]
    fn begin_firing(&self) {}
    /// The callback of one has run.
    #[inline(always)]
    fn end_firing(&self) {}
    /// Whether the masters of all linked expectations are known to live: none is firing, and
    /// whoever ends the master of one that is pending takes its timer off. Only where nobody else
    /// runs.
    #[inline(always)]
    fn vouches_for_masters(&self) -> bool {
        false
    }

    /// How many bytes it takes, beside what it keeps in each owner.
    fn bytes(&self) -> usize {
        0
    }
}

/// The base of the one-CPU platform: the kernel's wheel, of arrays.
#[derive(Clone, Debug)]
pub struct ArrayTimers {
    wheel: ArrayWheel,
    /// How many expectations are firing.
    firing: Cell<u32>,
}

impl<P: Platform<Timers = Self>> TimerBase<P> for ArrayTimers {
    /// The stamp of the entry that stands for it; 0 while it is not pending.
    type Node = Cell<u32>;
    type Expires = Cell<Jiffies>;

    fn new(wheel: WheelKind, start: Jiffies, hz: u32, _: u32, _: u32) -> Self {
        Self { wheel: ArrayWheel::new(wheel, start, hz), firing: Cell::new(0) }
    }

    fn blank() -> (Cell<u32>, Cell<Jiffies>) {
        (Cell::new(0), Cell::new(UpTimers::NEVER))
    }

    fn poison(_: &Cell<u32>) {}

    #[inline]
    fn setup(&self, memory: &Memory<P>, key: TimerKey) {
        let expires = memory.expires(key);
        if expires.get() == UpTimers::NEVER {
            // Garbage in the kernel; here, a timer that is due at once.
            expires.set(Jiffies(0));
        }
    }

    fn has_function(&self, memory: &Memory<P>, key: TimerKey) -> bool {
        memory.expires(key).get() != UpTimers::NEVER
    }

    #[inline]
    fn set_expires(&self, memory: &Memory<P>, key: TimerKey, expires: Jiffies) {
        memory.expires(key).set(expires);
    }

    #[inline]
    fn expires(&self, memory: &Memory<P>, key: TimerKey) -> Jiffies {
        memory.expires(key).get()
    }

    #[inline]
    fn is_pending(&self, memory: &Memory<P>, key: TimerKey) -> bool {
        memory.timer(key).get() != 0
    }

    #[inline]
    fn add(&self, memory: &Memory<P>, key: TimerKey, now: Jiffies) {
        let (stamp, cell) = memory.timer_and_expires(key);
        self.file(memory, (stamp, cell), key, cell.get(), now);
    }

    #[inline(always)]
    fn add_at(&self, memory: &Memory<P>, key: TimerKey, expires: Jiffies, now: Jiffies) {
        self.file(memory, memory.timer_and_expires(key), key, expires, now);
    }

    #[inline(always)]
    fn start(
        &self,
        memory: &Memory<P>,
        (stamp, cell): (&Cell<u32>, &Cell<Jiffies>),
        key: TimerKey,
        expires: Option<Jiffies>,
        now: Jiffies,
    ) {
        let expires = expires.unwrap_or_else(|| match cell.get() {
            // As in `setup`.
            UpTimers::NEVER => Jiffies(0),
            left => left,
        });
        self.file(memory, (stamp, cell), key, expires, now);
    }

    #[inline]
    fn detach(&self, memory: &Memory<P>, stamp: &Cell<u32>, key: TimerKey) -> bool {
        self.wheel.del(Stamps(memory), stamp, key.bits())
    }

    #[inline(always)]
    fn expire(
        &self,
        memory: &Memory<P>,
        now: Jiffies,
        behind: impl Fn(u32, bool),
    ) -> Option<TimerKey> {
        let behind = |key, far| {
            let key = TimerKey::from_bits(key);
            if !key.is_conn() {
                behind(key.index(), far);
            }
        };
        self.wheel.expire(Stamps(memory), now, behind).map(TimerKey::from_bits)
    }

    fn next_expiry(&self, memory: &Memory<P>) -> Option<Jiffies> {
        self.wheel.next_expiry(Stamps(memory))
    }

    #[inline]
    fn is_quiet(&self, until: Jiffies) -> bool {
        self.wheel.is_quiet(until)
    }

    #[inline]
    fn forward(&self, now: Jiffies) -> bool {
        self.wheel.forward(now)
    }

    #[inline(always)]
    fn begin_firing(&self) {
        self.firing.set(self.firing.get().wrapping_add(1));
    }

    #[inline(always)]
    fn end_firing(&self) {
        // One that was never counted makes it large, and masters are asked: slow, not wrong.
        self.firing.set(self.firing.get().wrapping_sub(1));
    }

    #[inline(always)]
    fn vouches_for_masters(&self) -> bool {
        self.firing.get() == 0
    }

    fn bytes(&self) -> usize {
        self.wheel.bytes()
    }
}

impl ArrayTimers {
    /// The next jiffy to look at.
    pub(crate) const fn clock(&self) -> u64 {
        self.wheel.clock()
    }

    /// Tells what is pending, and where it is filed: place 0 is what is due.
    pub(crate) fn filed<P: Platform<Timers = Self>>(
        &self,
        memory: &Memory<P>,
        mut each: impl FnMut(usize, TimerKey),
    ) {
        self.wheel.filed(Stamps(memory), |place, key| each(place, TimerKey::from_bits(key)));
    }

    #[inline(always)]
    fn file<P: Platform<Timers = Self>>(
        &self,
        memory: &Memory<P>,
        (stamp, cell): (&Cell<u32>, &Cell<Jiffies>),
        key: TimerKey,
        expires: Jiffies,
        now: Jiffies,
    ) {
        assert!(stamp.get() == 0, "add_timer() of a pending timer");
        cell.set(self.wheel.add(Stamps(memory), stamp, key.bits(), expires, now));
    }
}

/// Where the arrays find the stamp of a timer: in its owner.
struct Stamps<'a, P: Platform>(&'a Memory<P>);

impl<P: Platform> Clone for Stamps<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for Stamps<'_, P> {}

impl<P: Platform<Timers = ArrayTimers>> super::arrays::Owners for Stamps<'_, P> {
    #[inline]
    fn stamp(&self, key: u32) -> &Cell<u32> {
        self.0.timer(TimerKey::from_bits(key))
    }

    #[inline]
    fn expires(&self, key: u32) -> Jiffies {
        self.0.expires(TimerKey::from_bits(key)).get()
    }

    #[inline]
    fn prefetch(&self, key: u32) {
        let key = TimerKey::from_bits(key);
        let (stamp, expires) = self.0.timer_and_expires(key);
        prefetch(stamp);
        // Of an expectation it is the same line.
        if key.is_conn() {
            prefetch(expires);
        }
    }
}

/// A one-CPU base with the kernel's own lists, linked inside the owners.
#[derive(Debug)]
pub struct UpTimers {
    wheel: Wheel,
}

/// A timer of the one-CPU platform.
#[derive(Debug, Default)]
pub struct UpTimer {
    links: Links,
    expires: Cell<Jiffies>,
}

impl UpTimers {
    /// Memory that was never set up has neither function nor list: `expires` is the flag, and
    /// this is what it holds then.
    const NEVER: Jiffies = Jiffies(u64::MAX / 3);

    #[inline]
    fn node<P: Platform<Timers = Self>>(memory: &Memory<P>, key: TimerKey) -> &UpTimer {
        memory.timer(key)
    }
}

impl<P: Platform<Timers = Self>> TimerBase<P> for UpTimers {
    type Node = UpTimer;
    type Expires = ();

    fn new(wheel: WheelKind, start: Jiffies, hz: u32, _: u32, _: u32) -> Self {
        Self { wheel: Wheel::new(wheel, start, hz) }
    }

    fn blank() -> (UpTimer, ()) {
        (UpTimer { links: Links::default(), expires: Cell::new(Self::NEVER) }, ())
    }

    fn poison(_: &UpTimer) {}

    fn setup(&self, memory: &Memory<P>, key: TimerKey) {
        let expires = &Self::node(memory, key).expires;
        if expires.get() == Self::NEVER {
            // Garbage in the kernel; here, a timer that is due at once.
            expires.set(Jiffies(0));
        }
    }

    fn has_function(&self, memory: &Memory<P>, key: TimerKey) -> bool {
        Self::node(memory, key).expires.get() != Self::NEVER
    }

    #[inline]
    fn set_expires(&self, memory: &Memory<P>, key: TimerKey, expires: Jiffies) {
        Self::node(memory, key).expires.set(expires);
    }

    #[inline]
    fn expires(&self, memory: &Memory<P>, key: TimerKey) -> Jiffies {
        Self::node(memory, key).expires.get()
    }

    #[inline]
    fn is_pending(&self, memory: &Memory<P>, key: TimerKey) -> bool {
        Self::node(memory, key).links.is_linked()
    }

    #[inline]
    fn add(&self, memory: &Memory<P>, key: TimerKey, now: Jiffies) {
        let node = Self::node(memory, key);
        assert!(!node.links.is_linked(), "add_timer() of a pending timer");
        let owners = Owners(memory);
        let expires = self.wheel.add(&owners, key.bits(), node.expires.get(), now);
        node.expires.set(expires);
    }

    #[inline]
    fn detach(&self, memory: &Memory<P>, _: &UpTimer, key: TimerKey) -> bool {
        self.wheel.del(&Owners(memory), key.bits())
    }

    fn expire(&self, memory: &Memory<P>, now: Jiffies, _: impl Fn(u32, bool)) -> Option<TimerKey> {
        self.wheel.expire(&Owners(memory), now).map(TimerKey::from_bits)
    }

    fn next_expiry(&self, memory: &Memory<P>) -> Option<Jiffies> {
        self.wheel.next_expiry(&Owners(memory))
    }
}

/// Where the wheel finds the links of a timer: in its owner.
struct Owners<'a, P: Platform>(&'a Memory<P>);

impl<P: Platform<Timers = UpTimers>> super::wheel::Owners for Owners<'_, P> {
    #[inline]
    fn links(&self, key: u32) -> &Links {
        &UpTimers::node(self.0, TimerKey::from_bits(key)).links
    }

    #[inline]
    fn expires(&self, key: u32) -> Jiffies {
        UpTimers::node(self.0, TimerKey::from_bits(key)).expires.get()
    }
}
