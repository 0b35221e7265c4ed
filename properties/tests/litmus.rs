// SPDX-License-Identifier: GPL-2.0-only
//! The platform itself, tested: does its RCU order what RCU orders, and nothing else?
//!
//! A platform that orders too much hides races; one that orders too little invents them.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use nfexp_model::kernel::{Plain, SpinLock};
use nfexp_properties::grace::{self, Section};
use nfexp_properties::smp::{LoomLock, LoomPlain};

struct Shared {
    gp: AtomicU32,
    data: LoomPlain<u32>,
    flag: AtomicU32,
    lock: LoomLock<u32>,
}

/// Whether loom reports a race in `actor` beside `main`.
fn races(main: fn(&Shared), actor: fn(&Arc<Shared>)) -> bool {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        loom::model::Builder::new().check(move || {
            grace::begin();
            let shared = Arc::new(Shared {
                gp: AtomicU32::new(0),
                data: LoomPlain::new(0),
                flag: AtomicU32::new(0),
                lock: LoomLock::new(0),
            });
            let other = Arc::clone(&shared);
            grace::spawn(move || actor(&other));
            main(&shared);
            grace::wait_all();
        });
    }));
    grace::begin();
    match ended {
        Ok(()) => false,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(text.contains("Causality violation"), "another failure: {text}");
            true
        }
    }
}

#[test]
fn sections_do_not_pass_messages() {
    let relaxed = races(
        |shared| {
            if shared.flag.load(Ordering::Relaxed) == 1 {
                let _section = Section::open(&shared.gp);
                shared.data.get();
            }
        },
        |shared| {
            let section = Section::open(&shared.gp);
            shared.data.set(1);
            drop(section);
            shared.flag.store(1, Ordering::Relaxed);
        },
    );
    assert!(relaxed, "a relaxed flag orders nothing, in sections or not");
    let ordered = races(
        |shared| {
            if shared.flag.load(Ordering::Acquire) == 1 {
                let _section = Section::open(&shared.gp);
                shared.data.get();
            }
        },
        |shared| {
            let section = Section::open(&shared.gp);
            shared.data.set(1);
            drop(section);
            shared.flag.store(1, Ordering::Release);
        },
    );
    assert!(!ordered, "release and acquire do");
}

#[test]
fn sections_exclude_nobody() {
    assert!(races(
        |shared| {
            let _section = Section::open(&shared.gp);
            shared.data.set(1);
        },
        |shared| {
            let _section = Section::open(&shared.gp);
            shared.data.set(2);
        },
    ));
}

/// Unpublish, wait, free: what a reader reached inside its section is still there.
#[test]
fn a_grace_period_waits_for_the_readers_before_it() {
    let reader = |shared: &Shared| {
        let _section = Section::open(&shared.gp);
        if shared.flag.load(Ordering::Acquire) == 0 {
            shared.data.get();
        }
    };
    assert!(!races(reader, |shared| {
        shared.flag.store(1, Ordering::Release);
        let freed = Arc::clone(shared);
        grace::start(&shared.gp, true, Box::new(move || freed.data.set(7)));
    }));
    assert!(
        races(reader, |shared| {
            shared.flag.store(1, Ordering::Release);
            let freed = Arc::clone(shared);
            grace::start(&shared.gp, false, Box::new(move || freed.data.set(7)));
        }),
        "without waiting it is a use after free"
    );
}

#[test]
fn a_reader_outside_a_section_is_not_waited_for() {
    assert!(races(
        |shared| {
            if shared.flag.load(Ordering::Acquire) == 0 {
                shared.data.get();
            }
        },
        |shared| {
            shared.flag.store(1, Ordering::Release);
            let freed = Arc::clone(shared);
            grace::start(&shared.gp, true, Box::new(move || freed.data.set(7)));
        },
    ));
}

#[test]
fn a_lock_orders_and_excludes() {
    assert!(!races(
        |shared| {
            let _guard = shared.lock.lock();
            shared.data.set(1);
        },
        |shared| {
            let _guard = shared.lock.lock();
            shared.data.set(2);
        },
    ));
}

/// What a reader saw of a word that another CPU loads and then stores.
fn seen_by_reader(checked_load: bool) -> BTreeSet<usize> {
    let seen: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
    let note = Arc::clone(&seen);
    loom::model::Builder::new().check(move || {
        let word = Arc::new(AtomicUsize::new(0));
        let other = Arc::clone(&word);
        let writer = loom::thread::spawn(move || {
            if checked_load {
                // SAFETY: nobody else stores to it.
                unsafe { other.unsync_load() };
            } else {
                other.load(Ordering::Relaxed);
            }
            other.store(1, Ordering::Relaxed);
        });
        note.lock().expect("not held across a switch").insert(word.load(Ordering::Relaxed));
        writer.join().expect("it does not panic");
    });
    Arc::into_inner(seen).expect("the model is over").into_inner().expect("nobody panicked")
}

/// loom 0.7.3 remembers one last access per word: a thread's own load hides an earlier load of
/// another from its store, and an interleaving is missed. When this fails, loom has mended it:
/// the guard (every order of the actors) and the checked loads may go.
#[test]
fn the_hole_in_loom_is_still_there_and_checked_loads_avoid_it() {
    assert_eq!(seen_by_reader(false), BTreeSet::from([0]), "the hole has closed");
    assert_eq!(seen_by_reader(true), BTreeSet::from([0, 1]));
}
