// SPDX-License-Identifier: GPL-2.0-only
//! What happens to the engine: traces, captures, and what helpers read in packets.
#![forbid(unsafe_code)]

pub mod capture;
pub mod defrag;
pub mod helpers;
pub mod packet;
pub mod step;
pub mod text;
pub mod transcript;
