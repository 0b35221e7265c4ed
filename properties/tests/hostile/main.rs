// SPDX-License-Identifier: GPL-2.0-only
//! Hostile bytes: whatever stands in a file, reading it ends.
//!
//! 1. A malformed capture gives the packets before the place where it goes wrong, then an error
//!    that names the place and what was expected; or it is read in a stated way. No step of a
//!    reader stays where it is.
//! 2. Every truncation and every flipped byte of good captures, of packets shown to every
//!    helper, of text traces, of transcripts and of tools' logs gives an answer: no panic, no hang.
//!
//! Memory has a test of its own (`memory.rs`), because it measures the whole process. What the
//! running kernel makes of headers that lie stands in `traces/captures/lies`.

mod bytes;
mod captures;
mod flips;
mod sections;
mod texts;
