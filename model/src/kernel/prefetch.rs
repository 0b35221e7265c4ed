// SPDX-License-Identifier: GPL-2.0-only
//! A hint to the processor: this will be touched soon (`linux/prefetch.h`).
//!
//! The rule that matters: a hint changes nothing but time. Nobody waits for it, as for a load
//! that fills the queue of what is to be retired, and what it names is only an address.
//!
//! Why: a batch of plain loads waits for the slowest; hints do not. See `nfexp bench`, *looking
//! ahead*.

/// Has the cache line in which `it` begins fetched.
#[inline(always)]
pub fn prefetch<T>(it: &T) {
    prefetch_index::prefetch_index(core::slice::from_ref(it), 0);
}
