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
//!
//! On one CPU [`states`] goes through every situation that a few deeds lead to.
//!
//! Where to add: a race is an [`op::Op`], done by an [`actor`], and its pairs with all others are
//! generated; what must hold in all of them stands in [`invariants`]; a kernel's bug in [`bugs`]; a
//! broken world is a row of [`nfexp_model::slip`], asked where it happens; a behaviour on one CPU a
//! deed of `tests/scenarios`, with its naive counterpart in [`reference`](mod@reference).
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod actor;
pub mod bugs;
pub mod collisions;
pub mod explore;
pub mod grace;
pub mod invariants;
pub(crate) mod lab;
pub mod linear;
pub mod marks;
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
pub mod states;
pub mod table;
pub mod threads;
pub mod turns;
pub mod world;
