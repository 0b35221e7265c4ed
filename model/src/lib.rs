// SPDX-License-Identifier: GPL-2.0-only
//! Linux's connection-tracking expectation engine, as a pure library.
#![forbid(unsafe_code)]

pub mod audit;
pub mod conn;
pub mod conntrack;
pub mod ctnetlink;
pub mod engine;
pub mod errno;
pub mod error;
pub mod event;
pub mod eviction;
pub mod expectation;
pub mod helper;
mod insertion;
pub mod kernel;
pub mod locked;
pub mod memory;
pub mod nat;
pub mod netns;
pub mod nft_ct;
pub mod proc;
pub mod revision;
pub mod slip;
pub mod tcp_state;
mod tell;
pub mod tuple;

pub use engine::{At, Config, Engine};
pub use locked::Locked;
