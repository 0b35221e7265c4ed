// SPDX-License-Identifier: GPL-2.0-only
//! Pictures of a study: charts as SVG, and one page that holds them all.
//!
//! The rule that matters: a page needs nothing but itself (no script, no network), and its bytes
//! depend on the study alone.

pub mod chart;
pub mod lives;
pub mod page;
