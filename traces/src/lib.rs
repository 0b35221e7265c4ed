// SPDX-License-Identifier: GPL-2.0-only
//! What happens to the engine: traces, captures, and what helpers read in packets.
//!
//! *Step*: one thing that is done ([`step`]). *Trace*: steps and their answers in one text
//! ([`text`]). *Capture*: packets as somebody saw them on a wire ([`capture`]). *Grammar*: what a
//! helper reads in a payload ([`helpers`]). *Transcript*: operations on a running kernel with what
//! it answered ([`transcript`]).
//!
//! ```text
//!   capture file ─▶ capture ─▶ frame ─▶ packet ─▶ (defrag) ─▶ datagram ─▶ helpers ─▶ announcement
//!   trace file   ─▶ text ─▶ steps
//! ```
//!
//! The rule that matters: whatever bytes come in, they are told apart here and panic nobody; and
//! this room knows the engine's words, but never runs it.
//!
//! Where to add: a helper is one file in [`helpers`] and one line in its `mod.rs`; a link layer an
//! arm in `link`; a kind of step a variant of [`step::Step`], read and written in [`text`]; a trace
//! a file in `corpus/`.
#![forbid(unsafe_code)]

pub mod capture;
pub mod defrag;
pub mod helpers;
mod link;
pub mod packet;
pub mod step;
pub mod text;
pub mod tools;
pub mod transcript;
