// SPDX-License-Identifier: GPL-2.0-only
//! Who plays it, and when: the simulator, captures through a router, and reports.
#![forbid(unsafe_code)]

pub mod bench;
pub mod command;
pub mod conform;
pub mod forward;
pub mod golden;
pub mod import;
pub mod recording;
pub mod replay;
pub mod report;
pub mod research;
pub mod revisions;
pub mod schedule;
pub mod settings;
pub mod simulator;
