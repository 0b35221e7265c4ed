// SPDX-License-Identifier: GPL-2.0-only
//! What must always hold of the expectation engine, and how it is shown.
//!
//! [`smp`] is the engine's platform over loom: the very source that the simulator runs is
//! explored there in every interleaving. [`explore`] runs a scenario and gives an honest verdict;
//! [`broken`] holds worlds in which one kernel verb is wrong, and in which the claims must fail.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod broken;
pub mod explore;
pub mod grace;
pub mod reference;
pub mod smp;
