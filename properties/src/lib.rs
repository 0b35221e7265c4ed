// SPDX-License-Identifier: GPL-2.0-only
//! What must always hold of the expectation engine, and how it is shown.
//!
//! ```text
//!   scenario, op ─▶ scene, actor ─┬─▶ explore    loom: every interleaving (smp, grace)
//!                                 └─▶ schedule   one thread: every order, or random ones (turns)
//!   world: right, or with one slip             record: what happened, as a table
//! ```
//!
//! [`smp`] is the engine's platform over loom: the very source that the simulator runs is
//! explored there. [`explore`] runs a scenario and gives an honest verdict; [`world`] is where
//! one step goes wrong, and where the claims must fail.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod actor;
pub mod bugs;
pub mod explore;
pub mod grace;
pub mod invariants;
pub mod matrix;
pub mod op;
pub mod race;
pub mod record;
pub mod reference;
pub mod scenario;
pub mod scene;
pub mod schedule;
pub mod sequences;
pub mod smp;
pub mod table;
pub mod threads;
pub mod turns;
pub mod world;
