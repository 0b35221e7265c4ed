// SPDX-License-Identifier: GPL-2.0-only
//! RCU under loom, by its axiom instead of an implementation.
//!
//! *Token*: a happens-before edge that is neither a branch point nor a dependent access for
//! loom, made of a loom `lazy_static`: its first access releases, later ones acquire.
//!
//! For a grace period G and a section R, either G's start happens before R's start, or R's end
//! before G's end; nothing else is ordered:
//!
//! ```text
//!   call_rcu      RMW(release) on one word; leaves a token; notes the sections open now
//!   read_lock     RMW(acquire) on that word: ordered after every grace period begun before
//!   read_unlock   leaves a token
//!   callback      a fresh loom thread that acquires G's start and the ends of the sections
//!                 that precede it, and no more; then it overwrites the whole object
//! ```
//!
//! Whatever access is not ordered before that write is a data race, and loom reports it in
//! whatever order the execution ran. Nothing is ordered after the callback: it may be late.
//!
//! The rule that matters: the book-keeping here is invisible to loom, so it may decide nothing
//! that loom should have branched on.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::record;

/// What a grace period does at its end.
type Work = Box<dyn FnOnce()>;

/// A happens-before edge.
#[derive(Clone, Copy, Debug)]
struct Token(usize);

/// More than any scenario of a few actors uses.
const TOKENS: usize = 256;

static EDGES: [loom::lazy_static::Lazy<()>; TOKENS] =
    [const { loom::lazy_static::Lazy { init: || (), _p: PhantomData } }; TOKENS];

impl Token {
    /// What came before is before whoever acquires the token.
    fn release() -> Self {
        let token = host(|host| {
            host.tokens += 1;
            Self(host.tokens - 1)
        });
        assert!(token.0 < TOKENS, "a scenario this large needs more tokens");
        EDGES[token.0].get();
        token
    }

    fn acquire(self) {
        EDGES[self.0].get();
    }
}

struct Grace {
    start: Token,
    /// Sections that were open at the start and have not ended.
    waits_for: Vec<usize>,
    /// The ends of the sections that precede it.
    granted: Vec<Token>,
    work: Work,
}

impl Grace {
    fn run(self) {
        self.start.acquire();
        self.granted.iter().for_each(|token| token.acquire());
        (self.work)();
    }
}

/// Everything about one execution that loom does not see.
#[derive(Default)]
struct Host {
    tokens: usize,
    /// For each section ever opened, its end once it has ended.
    sections: Vec<Option<Token>>,
    waiting: Vec<Grace>,
    threads: usize,
    running: usize,
    /// Ends of threads.
    ends: Vec<Token>,
    parked: bool,
    main: Option<loom::thread::Thread>,
    /// Grace periods for which loom has no thread left; main runs them last.
    left_over: Vec<Grace>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
    static WALKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    static UNCHECKED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn host<T>(with: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with(|host| with(&mut host.borrow_mut()))
}

/// One look at memory that nobody else can be writing: no place for loom to switch, so a list that
/// became a ring would be walked for ever.
///
/// # Panics
/// After more looks than any sound execution takes.
pub fn walk() {
    WALKED.set(WALKED.get() + 1);
    if WALKED.get() > 200_000 {
        panic!("LinkedOnce: a walk that does not end: the list is a ring");
    }
}

/// Begins an execution.
pub fn begin() {
    WALKED.set(0);
    let old = host(std::mem::take);
    // Dropped outside the borrow: work may hold the engine.
    drop(old);
}

/// Callbacks, over all executions on this thread, that main had to run itself, where a touch
/// after the free would not be seen. Taken, so that the next count begins at zero.
#[must_use]
pub fn take_unchecked() -> u64 {
    UNCHECKED.take()
}

/// `rcu_read_lock()`, given the word all grace periods write.
#[derive(Debug)]
pub struct Section(usize);

impl Section {
    /// Opens a section.
    pub fn open(gp: &loom::sync::atomic::AtomicU32) -> Self {
        // ORDERING: acquire, pairs with `start`: what preceded a grace period begun before is
        // seen; adding nothing leaves the modification order to decide which those are.
        gp.fetch_add(0, loom::sync::atomic::Ordering::Acquire);
        record::said("rcu_read_lock()");
        host(|host| {
            host.sections.push(None);
            Self(host.sections.len() - 1)
        })
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        record::said("rcu_read_unlock()");
        let end = Token::release();
        let done = host(|host| {
            host.sections[self.0] = Some(end);
            for grace in &mut host.waiting {
                if let Some(at) = grace.waits_for.iter().position(|section| *section == self.0) {
                    grace.waits_for.swap_remove(at);
                    grace.granted.push(end);
                }
            }
            host.waiting.extract_if(.., |grace| grace.waits_for.is_empty()).collect::<Vec<_>>()
        });
        done.into_iter().for_each(complete);
    }
}

/// `call_rcu()`: `work` runs after a grace period, which does not wait if `waits` is false.
pub fn start(gp: &loom::sync::atomic::AtomicU32, waits: bool, work: Work) {
    // ORDERING: release, pairs with `Section::open`.
    gp.fetch_add(1, loom::sync::atomic::Ordering::Release);
    let start = Token::release();
    let done = host(|host| {
        let open = |(at, end): (usize, &Option<Token>)| end.is_none().then_some(at);
        let waits_for: Vec<usize> = match waits {
            true => host.sections.iter().enumerate().filter_map(open).collect(),
            false => Vec::new(),
        };
        let ended = host.sections.iter().flatten().copied();
        let granted = if waits { ended.collect() } else { Vec::new() };
        let grace = Grace { start, waits_for, granted, work };
        if grace.waits_for.is_empty() {
            return Some(grace);
        }
        host.waiting.push(grace);
        None
    });
    done.into_iter().for_each(complete);
}

/// Runs a grace period's work in a thread of its own.
fn complete(grace: Grace) {
    if host(|host| host.threads) < loom::MAX_THREADS - 1 {
        spawn(move || {
            record::enter(record::Who::Rcu);
            grace.run();
        });
    } else {
        UNCHECKED.set(UNCHECKED.get() + 1);
        host(|host| host.left_over.push(grace));
    }
}

/// Starts a model thread. Its end is a token and not a join, which would multiply executions.
pub fn spawn(work: impl FnOnce() + 'static) {
    host(|host| {
        host.running += 1;
        host.threads += 1;
        host.main.get_or_insert_with(loom::thread::current);
    });
    loom::thread::spawn(move || {
        work();
        let end = Token::release();
        let wake = host(|host| {
            host.running -= 1;
            host.ends.push(end);
            // Only a parked main: unparking is an edge, and main may still be an actor.
            if host.running == 0 && host.parked { host.main.clone() } else { None }
        });
        if let Some(main) = wake {
            main.unpark();
        }
    });
}

/// Waits for every thread and callback; main is ordered after all of them then.
pub fn wait_all() {
    while host(|host| {
        host.parked = host.running > 0;
        host.parked
    }) {
        loom::thread::park();
    }
    host(|host| std::mem::take(&mut host.ends)).into_iter().for_each(Token::acquire);
    host(|host| std::mem::take(&mut host.left_over)).into_iter().for_each(Grace::run);
}
