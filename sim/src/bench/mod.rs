// SPDX-License-Identifier: GPL-2.0-only
//! How fast the engine is, told as ratios: the same deeds done by several contenders.
//!
//! *Deed*: one thing done to a table, in 32 bytes. *Workload*: deeds, slice by slice, from a
//! seed. *Contender*: who does them: the engine, the kernel's layout, a map and a heap, and a
//! floor that only touches memory. *Row*: one workload at one size.
//!
//! ```text
//!             slice 1                 slice 2
//!   engine    ├─ setup ─┤═ timed ═╡   ├─ setup ─┤═ timed ═╡    thread CPU time
//!   kernel    ├─ setup ─┤═ timed ═╡   ├─ setup ─┤═ timed ═╡    ratio per slice
//!   map+heap  ├─ setup ─┤═ timed ═╡   …                         then the median
//! ```
//!
//! The rule that matters: whoever answers differently has lost, however fast it was. Every
//! deed's result goes into a checksum, and all checksums of a slice must agree.

pub mod deed;
pub mod engine;
mod explore;
pub mod floor;
mod hold;
pub mod kernel_layout;
pub mod map_and_heap;
pub mod measure;
pub mod rows;
pub mod threads;
pub mod workload;

pub use deed::{Contender, Deed, Deeds, Kind, Table};
pub use measure::{Figures, measure, run_once};
pub use rows::{Pool, ROWS, Row};
