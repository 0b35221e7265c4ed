// SPDX-License-Identifier: GPL-2.0-only
//! Who plays it, and when: the simulator, captures through a router, and reports.
//!
//! *Simulator*: plays steps on one virtual machine ([`simulator`]), softirqs in the order that a
//! [`schedule`] picks. *Router*: forwards the packets of a capture, connection tracking and helpers
//! included ([`forward`], [`replay`]). *Ledger*: what became of every expectation ([`report`]).
//! *Golden*: a trace together with its answers ([`golden`]).
//!
//! ```text
//!   steps   ─▶ Simulator ─┐
//!                         ├─▶ Engine ─▶ events ─▶ Ledger ─▶ table, JSON lines, CSV
//!   packets ─▶ Router ────┘
//! ```
//!
//! The rule that matters: this is the only room in which time passes. Nothing here looks at a
//! clock either: a trace and a capture bring their own.
//!
//! Where to add: a verb of the command is one file in [`command`]; a kind of step an arm in
//! [`simulator`]; a format of `replay` a file in [`report`]; an eviction to study a type in
//! [`research::policy`] (`examples/own_policy.rs` is one); a workload a file in `scenarios/`.
#![forbid(unsafe_code)]
// They panic when nobody reads any more: what is told goes through `writeln!` or `remark`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
mod collector;
pub mod command;
pub mod conform;
pub mod forward;
pub mod golden;
pub mod import;
pub mod log;
mod opened;
pub mod oracle;
pub mod recording;
pub mod replay;
pub mod report;
pub mod research;
pub mod revisions;
pub mod schedule;
pub mod settings;
pub mod simulator;
pub mod visited;
mod written;
