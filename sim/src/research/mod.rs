// SPDX-License-Identifier: GPL-2.0-only
//! Eviction research: which policy, which size, and what a perfect one would reach.
//!
//! ```text
//!  scenario (TOML) ──▶ workload ──▶ world: the engine with a policy ──▶ outcome ──▶ statistics
//!                          └──────▶ optimum: the ceiling                └────▶ report
//! ```
//!
//! *Scenario*: who announces what, with a source for each number. *Workload*: a scenario with a
//! seed, as a stream of happenings. *Policy*: admission, quota, victim and timeout. *Recall*:
//! which share of the useful arrivals found their expectation.
//!
//! The rule that matters: one seed, one result, byte for byte, on every machine and with any
//! number of threads.

pub mod cast;
pub mod cell;
pub mod document;
pub mod estimate;
pub mod fit;
mod included;
pub mod law;
pub mod ledger;
pub mod measure;
pub mod optimum;
pub mod picture;
pub mod policy;
pub mod random;
pub mod recorded;
pub mod scenario;
pub mod setup;
pub mod statistics;
pub mod steady;
pub mod sweep;
pub mod tape;
pub mod walks;
pub mod workload;
pub mod world;
