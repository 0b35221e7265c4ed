// SPDX-License-Identifier: GPL-2.0-only
//! The tape between the engine's eviction and the run that listens.
//!
//! The engine owns its eviction and tells it of every end; the run needs to know them in order.
//! Both hold the tape: a ring of words, written under the engine's lock and read after the call.
//! One thread writes and reads; atomics only because an eviction must be `Send`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nfexp_model::event::Cause;
use nfexp_model::eviction::Pressure;

use super::ledger::Ending;

/// A ring of endings one way, of touches the other.
#[derive(Debug)]
pub struct Tape {
    ended: Box<[AtomicU64]>,
    endings: AtomicU32,
    touched: AtomicU32,
}

impl Tape {
    /// For an engine of so many expectations: no single call can end more.
    #[must_use]
    pub fn new(expectations: u32) -> Arc<Self> {
        let ended = (0..expectations.max(8)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { ended, endings: AtomicU32::new(0), touched: AtomicU32::new(0) })
    }

    /// The expectation in `slot` ended.
    #[inline]
    pub fn end(&self, slot: u32, ending: Ending) {
        let at = self.endings.load(Ordering::Relaxed);
        let word = u64::from(slot) << 8 | ending as u64;
        self.ended[at as usize].store(word, Ordering::Relaxed);
        self.endings.store(at + 1, Ordering::Relaxed);
    }

    /// How many ended since the last call, and forgets them.
    #[inline]
    pub fn take(&self) -> u32 {
        let endings = self.endings.load(Ordering::Relaxed);
        if endings > 0 {
            self.endings.store(0, Ordering::Relaxed);
        }
        endings
    }

    /// One of those.
    #[inline]
    #[must_use]
    pub fn ended(&self, at: u32) -> (u32, Ending) {
        let word = self.ended[at as usize].load(Ordering::Relaxed);
        ((word >> 8) as u32, Ending::ALL[(word & 0xff) as usize])
    }

    /// A permanent expectation in `slot` was matched and stays.
    pub fn touch(&self, slot: u32) {
        self.touched.store(slot + 1, Ordering::Relaxed);
    }

    /// Which one was touched since the last call.
    #[inline]
    #[must_use]
    pub fn take_touched(&self) -> Option<u32> {
        let touched = self.touched.load(Ordering::Relaxed);
        if touched == 0 {
            return None;
        }
        self.touched.store(0, Ordering::Relaxed);
        Some(touched - 1)
    }
}

/// How an end that the engine tells of counts; `pressure` is the last one it asked about.
#[inline]
#[must_use]
pub fn ending(cause: Cause, pressure: Option<Pressure>) -> Ending {
    match (cause, pressure) {
        (Cause::Match, _) => Ending::Match,
        (Cause::Expiry, _) => Ending::Expiry,
        (Cause::Eviction, Some(Pressure::ClassFull)) => Ending::EvictedByClass,
        (Cause::Eviction, Some(Pressure::TableFull)) => Ending::EvictedByTable,
        (Cause::Eviction, None) => Ending::EvictedByQuota,
        (Cause::Refresh, _) => Ending::Refresh,
        (Cause::MasterGone | Cause::HelperGone | Cause::NamespaceExit, _) => Ending::MasterGone,
        (Cause::Unexpect | Cause::Delete | Cause::Flush, _) => Ending::Deleted,
    }
}
