// SPDX-License-Identifier: GPL-2.0-only
//! Worlds in which one kernel verb is wrong.
//!
//! Every claim names a world here in which it fails; `tests/broken.rs` fails if it does not. To
//! add a world: one line here, one scenario that catches it there.

use nfexp_model::kernel::Word;
use nfexp_model::kernel::platform::Ordering;

use crate::smp::{LoomWord, World};

macro_rules! world {
    ($(#[$doc:meta])* $name:ident, $($verb:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl World for $name {
            $($verb)*
        }
    };
}

world! {
    /// A lookup takes a reference even where none is left.
    IncFromZero,
    fn inc_not_zero(word: &LoomWord) -> bool {
        word.fetch_add(1, Ordering::AcqRel);
        true
    }
}

world! {
    /// Memory is freed while readers may still look.
    NoGracePeriod,
    fn call_rcu_waits() -> bool {
        false
    }
}

world! {
    /// A pointer is published without what it points at.
    RelaxedPublish,
    fn publish_order() -> Ordering {
        Ordering::Relaxed
    }
}

world! {
    /// `del_timer()` says yes even if the timer was detached by somebody else.
    TimerLies,
    fn timer_detached(_: bool) -> bool {
        true
    }
}

world! {
    /// The last to give a reference back does not see what the others did.
    RelaxedPut,
    fn put_order() -> Ordering {
        Ordering::Relaxed
    }
}
