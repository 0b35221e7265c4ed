// SPDX-License-Identifier: GPL-2.0-only
//! What happens in a workload, and when.

/// A microsecond count from the start.
pub type Micros = u64;

/// Never.
pub const NEVER: Micros = u64::MAX;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Micros,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A master begins; its number may have been another's that ended.
    Open {
        /// Its number.
        master: u32,
        /// Who it is.
        who: Who,
    },
    /// It announces a connection.
    Announce {
        /// The announcing master.
        master: u32,
        /// Which kind.
        kind: u16,
        /// Whom for: the destination's number, unless it is a refresh never used before.
        key: u64,
        /// When the connection will come first; [`NEVER`] if not, or too late.
        arrives: Micros,
    },
    /// The first packet of an announced connection.
    Arrive {
        /// The master that announced it.
        master: u32,
        /// Which kind.
        kind: u16,
        /// The destination's number.
        key: u64,
        /// Whether it is useful.
        useful: bool,
    },
    /// A master takes an announcement back.
    Withdraw {
        /// The master.
        master: u32,
        /// Which kind.
        kind: u16,
        /// The destination's number.
        key: u64,
    },
    /// A master ends.
    Close {
        /// Its number.
        master: u32,
    },
}

/// Who a master is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Its kind.
    pub kind: u16,
    /// Its place in its kind's pool; `u32::MAX` outside any.
    pub member: u32,
    /// Its address, as a number of its kind.
    pub source: u32,
    /// Its namespace.
    pub net: u16,
    /// Its zone.
    pub zone: u16,
}

/// Seconds as microseconds.
#[must_use]
pub fn micros(seconds: f64) -> Micros {
    // Saturates, and nothing is negative.
    (seconds * 1e6) as u64
}

/// In which jiffy a moment lies.
#[inline]
#[must_use]
pub fn jiffy(at: Micros, hz: u64) -> u64 {
    match at.checked_mul(hz) {
        Some(ticks) => ticks / 1_000_000,
        None => (u128::from(at) * u128::from(hz) / 1_000_000) as u64,
    }
}
