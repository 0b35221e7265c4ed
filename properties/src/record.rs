// SPDX-License-Identifier: GPL-2.0-only
//! What happened in an execution, step by step, as the platform's verbs saw it.
//!
//! *Step*: one verb on one CPU, in words. Beside it stands what became of each expectation: its
//! use count, whether it is linked, its timer. The engine is not asked: all of it follows from
//! the verbs, and an execution that is recorded is the same as one that is not.
//!
//! The rule that matters: nothing here is visible to loom, so recording changes no execution.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use nfexp_model::event::{Event, ExpectEventKind};
use nfexp_model::expectation::Expectation;
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::memory::Memory;
use nfexp_model::revision::ExpectLock;

/// One verb on one CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which column: a CPU, or the RCU softirq.
    pub who: Who,
    /// What it did.
    pub what: String,
    /// Every expectation after it.
    pub after: Vec<State>,
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A CPU of the scenario.
    Cpu(u8),
    /// A callback at the end of a grace period.
    Rcu,
}

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its reference count, as the verbs left it.
    pub uses: i64,
    /// Whether it is in its bucket.
    pub linked: bool,
    /// Its timer: idle, pending, detached.
    pub timer: &'static str,
}

impl Default for State {
    fn default() -> Self {
        Self { uses: 1, linked: false, timer: "idle" }
    }
}

#[derive(Default)]
struct Recorder {
    steps: Vec<Step>,
    /// Where the words of expectations and connections are.
    expectations: Vec<(usize, usize)>,
    conns: Vec<(usize, usize)>,
    states: Vec<State>,
    /// The bucket, first to last.
    chain: Vec<u32>,
    who: Vec<(loom::thread::ThreadId, Who)>,
    /// What the lock of expectations is called.
    lock: &'static str,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static RECORDER: RefCell<Recorder> = RefCell::default();
}

/// Records from the next execution on, or no more.
pub fn switch(on: bool) {
    ON.set(on);
    RECORDER.take();
}

/// The steps of the last execution.
#[must_use]
pub fn take() -> Vec<Step> {
    RECORDER.take().steps
}

/// An execution begins, in a kernel whose expectations are under this lock.
pub fn begin(expect_lock: ExpectLock) {
    if ON.get() {
        let lock = match expect_lock {
            ExpectLock::Shared => "nf_conntrack_lock",
            ExpectLock::Own => "nf_conntrack_expect_lock",
        };
        RECORDER.set(Recorder { lock, ..Recorder::default() });
    }
}

/// The setup is over, the actors begin: what came so far is forgotten but for its effects.
pub fn act() {
    with(|recorder| recorder.steps.clear());
}

/// This thread is that one from now on.
pub fn enter(who: Who) {
    with(|recorder| recorder.who.push((loom::thread::current().id(), who)));
}

/// Where the objects are.
pub fn objects<P: Platform>(memory: &Memory<P>) {
    with(|recorder| {
        let slab = &memory.expectations;
        let size = size_of::<Expectation<P>>();
        let start = |index| std::ptr::from_ref(slab.at(index)).addr();
        recorder.expectations = (0..=slab.capacity()).map(|at| (start(at), size)).collect();
        recorder.states = vec![State::default(); slab.capacity() as usize];
        let conns = &memory.conns;
        let size = size_of_val(conns.at(1));
        let start = |index| std::ptr::from_ref(conns.at(index)).addr();
        recorder.conns = (0..=conns.capacity()).map(|at| (start(at), size)).collect();
    });
}

fn with(change: impl FnOnce(&mut Recorder)) {
    if ON.get() {
        RECORDER.with_borrow_mut(change);
    }
}

fn place(ranges: &[(usize, usize)], at: usize) -> Option<u32> {
    let found = ranges.iter().position(|(start, size)| (*start..start + size).contains(&at));
    found.map(|at| at as u32)
}

impl Recorder {
    fn step(&mut self, what: String) {
        let id = loom::thread::current().id();
        let who = self.who.iter().rev().find(|(known, _)| *known == id).map(|(_, who)| *who);
        let after = self.states.clone();
        self.steps.push(Step { who: who.unwrap_or(Who::Cpu(0)), what, after });
    }

    fn state(&mut self, index: u32) -> Option<&mut State> {
        self.states.get_mut((index as usize).checked_sub(1)?)
    }

    fn name(&self, word: usize) -> Option<String> {
        let exp = place(&self.expectations, word).map(|at| format!("e{at}"));
        exp.or_else(|| place(&self.conns, word).map(|at| format!("master {at}")))
    }
}

fn address<T>(word: &T) -> usize {
    std::ptr::from_ref(word).addr()
}

/// A CPU says what it does.
pub fn said(what: &str) {
    with(|recorder| recorder.step(what.to_owned()));
}

/// A reference count changes.
pub fn count<T>(word: &T, what: &str, by: i32) {
    with(|recorder| {
        let at = address(word);
        let name = recorder.name(at).unwrap_or_else(|| "something".into());
        if let Some(index) = place(&recorder.expectations, at)
            && let Some(state) = recorder.state(index)
        {
            state.uses += i64::from(by);
        }
        recorder.step(format!("{what}: {name}"));
    });
}

/// A pointer is published.
pub fn published<T>(word: &T, to: u32) {
    with(|recorder| {
        if let Some(master) = place(&recorder.conns, address(word)) {
            // What is published in a master is its helper, and CPUs only ever take one away.
            return recorder.step(format!("takes the helper of master {master} away"));
        }
        recorder.chain.insert(0, to);
        if let Some(state) = recorder.state(to) {
            state.linked = true;
        }
        recorder.step(format!("links e{to} (hlist_add_head_rcu)"));
    });
}

/// A pointer now skips a node.
pub fn unlinked<T>(word: &T, _: u32) {
    with(|recorder| {
        let before = place(&recorder.expectations, address(word));
        let at = before.and_then(|index| recorder.chain.iter().position(|e| *e == index));
        let at = at.map_or(0, |at| at + 1);
        if at < recorder.chain.len() {
            let gone = recorder.chain.remove(at);
            if let Some(state) = recorder.state(gone) {
                state.linked = false;
            }
            recorder.step(format!("unlinks e{gone} (hlist_del_rcu)"));
        }
    });
}

/// A reader follows a pointer.
pub fn followed<T>(word: &T, to: u32) {
    with(|recorder| {
        if let Some(master) = place(&recorder.conns, address(word)) {
            return recorder.step(format!("reads the helper of master {master}"));
        }
        recorder.step(match to {
            0 => "reads on: the end of the bucket".to_owned(),
            to => format!("reads on: e{to}"),
        });
    });
}

/// A timer starts, is detached, or is found detached.
pub fn timer(key: TimerKey, what: &str, becomes: &'static str) {
    with(|recorder| {
        if key.is_conn() {
            return;
        }
        if let Some(state) = recorder.state(key.index())
            && !becomes.is_empty()
        {
            state.timer = becomes;
        }
        recorder.step(format!("{what} of e{}", key.index()));
    });
}

fn is_the_lock<T>() -> bool {
    std::any::type_name::<T>().ends_with("engine::State")
}

/// A lock is taken.
pub fn locked<T>() {
    if ON.get() && is_the_lock::<T>() {
        with(|recorder| recorder.step(format!("takes {}", recorder.lock)));
    }
}

/// A lock is dropped; of the queue of events, what stands last in it.
pub fn unlocked<T: 'static>(data: &T) {
    if !ON.get() {
        return;
    }
    if is_the_lock::<T>() {
        with(|recorder| recorder.step(format!("drops {}", recorder.lock)));
    } else if let Some(queue) = (data as &dyn Any).downcast_ref::<VecDeque<Event>>()
        && let Some(Event::Expect(event)) = queue.back()
    {
        let kind = match event.kind {
            ExpectEventKind::New => "NEW",
            ExpectEventKind::Destroy(_) => "DESTROY",
        };
        said(&format!("tells {kind} of e{}", event.id.index()));
    }
}

/// A callback waits for a grace period.
pub fn queued(index: u32) {
    with(|recorder| recorder.step(format!("call_rcu: e{index} is freed after a grace period")));
}

/// A callback frees.
pub fn freed(index: u32) {
    with(|recorder| recorder.step(format!("frees e{index}")));
}
