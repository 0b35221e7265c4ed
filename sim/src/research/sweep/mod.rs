// SPDX-License-Identifier: GPL-2.0-only
//! Sweeps: studies of many cells, over all cores and many machines.
//!
//! ```text
//!  study (TOML or one line) ──▶ plan: blocks in canonical order, each named by a hash of all
//!      its inputs ──▶ run (any jobs, any shards, any order) ──▶ one file a block ──▶ merge
//! ```
//!
//! A block's file is written beside its place, synced and renamed: `kill -9` loses blocks, never
//! halves of them, and the next run does what is missing.
//!
//! The rule that matters: the merged bytes depend on the study alone.

pub mod plan;
pub mod script;
pub mod shard;
pub mod study;
pub mod summary;
