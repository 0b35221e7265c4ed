// SPDX-License-Identifier: GPL-2.0-only
//! Time, as the kernel counts it.
//!
//! *Jiffies*: a point in time, counted in timer ticks; it wraps, so order is a question about
//! a difference. *Ticks*: a span of time. Neither knows a second: how many ticks make one
//! (HZ) is part of the configuration.
//!
//! The rule that matters: compare points in time with [`Jiffies::time_after`], never as numbers.

use core::fmt;

/// A point in time (`jiffies`, an `unsigned long` that wraps).
#[doc(alias = "jiffies")]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Jiffies(pub u64);

impl Jiffies {
    /// The time at boot: five minutes before the counter wraps, so that every run crosses the
    /// wrap.
    ///
    /// # Source
    /// `INITIAL_JIFFIES`, all revisions; there it wraps the low 32 bits.
    #[doc(alias = "INITIAL_JIFFIES")]
    #[must_use]
    pub const fn initial(hz: u32) -> Self {
        Self((300 * hz as u64).wrapping_neg())
    }

    /// Whether this point lies after `other`, across the wrap.
    #[inline]
    #[must_use]
    pub const fn time_after(self, other: Self) -> bool {
        (other.0.wrapping_sub(self.0) as i64) < 0
    }

    /// Whether this point is `other` or lies after it.
    #[inline]
    #[must_use]
    pub const fn time_after_eq(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i64) >= 0
    }

    /// The point `span` later.
    #[inline]
    #[must_use]
    pub const fn after(self, span: Ticks) -> Self {
        Self(self.0.wrapping_add(span.0))
    }

    /// The point `span` later for who counts in 32 bits: what is in their upper half has passed.
    ///
    /// # Source
    /// `nfct_time_stamp` and `nf_ct_exp_is_expired()`, 7.2.
    #[inline]
    #[must_use]
    pub const fn after_in_32_bits(self, span: Ticks) -> Self {
        Self(self.0.wrapping_add(span.0 as u32 as i32 as u64))
    }

    /// Ticks from `now` until this point, negative if it has passed.
    #[inline]
    #[must_use]
    pub const fn ticks_from(self, now: Self) -> i64 {
        self.0.wrapping_sub(now.0) as i64
    }
}

impl fmt::Debug for Jiffies {
    /// As a signed number: `-75000` is readable where its two's complement is not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}j", self.0 as i64)
    }
}

/// A span of time in timer ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticks(pub u64);

impl Ticks {
    /// `secs * HZ` in the 32-bit arithmetic of the kernel, which wraps: 17179870 s at HZ 250
    /// are no time at all.
    ///
    /// # Source
    /// `nf_ct_expect_insert()`, v3.9, and `ctnetlink_change_expect()`, all revisions.
    #[inline]
    #[must_use]
    pub const fn of_timeout(secs: u32, hz: u32) -> Self {
        Self(secs.wrapping_mul(hz) as u64)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn prop_order_survives_the_wrap(start: u64, span: u32) -> bool {
            let start = Jiffies(start);
            let later = start.after(Ticks(u64::from(span)));
            later.time_after_eq(start)
                && later.time_after(start) == (span > 0)
                && !start.time_after(later)
                && later.ticks_from(start) == i64::from(span)
        }

        fn prop_of_two_points_at_most_one_is_after_the_other(a: u64, b: u64) -> bool {
            let (a, b) = (Jiffies(a), Jiffies(b));
            !(a.time_after(b) && b.time_after(a)) || a.0.abs_diff(b.0) == 1 << 63
        }
    }

    #[test]
    fn jiffies_compare_across_the_wrap() {
        let boot = Jiffies::initial(250);
        let later = boot.after(Ticks(301 * 250));
        assert!(later.0 < boot.0, "the counter wrapped");
        assert!(later.time_after(boot));
    }

    #[test]
    fn a_timeout_wraps_in_32_bits() {
        assert_eq!(Ticks::of_timeout(17_179_870, 250).0 / 250, 0);
        assert_eq!(Ticks::of_timeout(u32::MAX, 250).0 / 250, 17_179_868);
    }
}
