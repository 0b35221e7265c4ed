// SPDX-License-Identifier: GPL-2.0-only
//! Transcripts played by the model, and compared with what a kernel said.
//!
//! ```text
//!   Header ─▶ Player::new ─▶ answer(operation) ─▶ Answer      the model's
//!                                  compare ◀────── Answer      the kernel's
//!                                     └▶ Difference ─▶ shrunk, told
//! ```
//!
//! [`Player`] answers one operation at a time and never looks at what was recorded, so a live
//! comparison can drive it; [`check`] plays a recording and stops at the first difference.
//!
//! The rule that matters: the model is asked the same questions in the same order as the kernel
//! was, and nothing of the kernel's answers reaches it.

mod host;
mod packet;
mod player;
mod run;
mod shrink;
mod told;
mod trace;

pub(crate) use host::seconds_left;
pub use host::{Done, Host};
pub use player::Player;
pub use run::{Divergence, check, check_on};
pub use shrink::{Shrunk, Witness, reduce, shrink};
pub use trace::as_trace;
