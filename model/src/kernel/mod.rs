// SPDX-License-Identifier: GPL-2.0-only
//! What `nf_conntrack_expect.c` takes for granted: the kernel beneath the engine.
//!
//! ```text
//!   engine ──▶ Platform ─┬─ words, plain memory, spin locks     platform.rs
//!                        ├─ RCU                                 rcu.rs
//!                        ├─ the bucket index (hlist)            hlist.rs
//!                        ├─ the timer base                      timer.rs, wheel.rs
//!                        └─ the order of free slots             slab.rs
//! ```
//!
//! The rule that matters: what the engine *decides* is one source for every platform; what it
//! *stands on* is chosen here. [`Up`] is the fast one-CPU platform of the simulator; loom's
//! lives in `nfexp-properties`.

pub mod hash;
pub mod hlist;
pub mod jiffies;
pub mod platform;
pub mod rcu;
pub mod slab;
pub mod timer;
mod up;
mod wheel;

pub use jiffies::{Jiffies, Ticks};
pub use platform::{Cpu, Plain, Platform, SpinLock, Word};
pub use up::Up;
pub use wheel::Wheel;
