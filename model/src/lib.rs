// SPDX-License-Identifier: GPL-2.0-only
//! Linux's connection-tracking expectation engine, as a pure library.
#![forbid(unsafe_code)]

pub mod tuple;
