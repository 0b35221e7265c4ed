// SPDX-License-Identifier: GPL-2.0-only
//! Which world this is: the right one, or one in which a single slip happens.
//!
//! *Mutant*: the engine in a broken world. The slip is a value of this thread and not a type, so
//! two instances of the engine serve all mutants: the right one, in which the question is a
//! constant, and the broken one, which asks here.
//!
//! The rule that matters: the slip is set before an exploration and stays until its end. loom
//! does not see it, so it may not change in between.

use std::cell::Cell;

use nfexp_model::slip::Slip;

thread_local! {
    static SLIP: Cell<Option<Slip>> = const { Cell::new(None) };
}

/// What a world gets wrong.
pub trait World: Sized + 'static {
    /// Whether this slip happens here.
    fn slips(slip: Slip) -> bool;
}

/// The world as it should be.
#[derive(Clone, Copy, Debug)]
pub struct Right;

impl World for Right {
    #[inline(always)]
    fn slips(_: Slip) -> bool {
        false
    }
}

/// The world in which this thread's slip happens.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

impl World for Broken {
    fn slips(slip: Slip) -> bool {
        SLIP.get() == Some(slip)
    }
}

/// Does `work` in the world with this slip.
pub fn with<T>(slip: Option<Slip>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Slip>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SLIP.set(self.0);
        }
    }
    let _restore = Restore(SLIP.replace(slip));
    work()
}

/// The slip of this thread's world.
#[must_use]
pub fn slip() -> Option<Slip> {
    SLIP.get()
}

/// A slip by its name in command lines and tables: `inc-from-zero`.
#[must_use]
pub fn named(name: &str) -> Option<Slip> {
    Slip::ALL.iter().copied().find(|slip| self::name(*slip) == name)
}

/// The name of a slip in command lines and tables.
#[must_use]
pub fn name(slip: Slip) -> String {
    let mut name = String::new();
    for letter in format!("{slip:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}
