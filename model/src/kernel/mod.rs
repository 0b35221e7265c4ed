// SPDX-License-Identifier: GPL-2.0-only
//! What `nf_conntrack_expect.c` takes for granted: the kernel beneath the engine.
//!
//! ```text
//!   engine ──▶ Platform ─┬─ words, plain memory, spin locks     platform.rs
//!                        ├─ RCU                                 rcu.rs
//!                        ├─ the bucket index                    hlist.rs; flat.rs, tags.rs, sources.rs, listing.rs
//!                        ├─ the timer base                      timer.rs, wheel.rs; arrays.rs
//!                        └─ the order of free slots             slab.rs
//! ```
//!
//! The rule that matters: what the engine *decides* is one source for every platform; what it
//! *stands on* is chosen here. [`Up`] is the fast one-CPU platform of the simulator; loom's
//! lives in `nfexp-properties`.

mod arrays;
pub mod flat;
pub mod hash;
pub mod hlist;
pub mod jiffies;
mod listing;
pub mod platform;
pub mod prefetch;
pub mod rcu;
pub mod slab;
mod sources;
mod tags;
pub mod timer;
mod up;
mod wheel;

pub use jiffies::{Jiffies, Ticks};
pub use platform::{Cpu, Plain, Platform, SpinLock, Word};
pub use up::{Up, UpLists};
pub use wheel::Wheel;
