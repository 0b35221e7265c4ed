// SPDX-License-Identifier: GPL-2.0-only
//! The ledger: every announcement ends in exactly one way.
//!
//! ```text
//!  announced = refused (5 ways) + ended (8 ways) + still there at the horizon
//!  useful    = hits + lost, by the same ways              (one-shot kinds)
//! ```
//!
//! The rule that matters: the ledger balances at the end of every run, or the run is an error.

use std::fmt;

/// How an announcement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Ending {
    /// Its connection came.
    Match,
    /// Its time was up.
    Expiry,
    /// It made room in its class.
    EvictedByClass,
    /// It made room in the table.
    EvictedByTable,
    /// It made room for its owner's next, by a quota.
    EvictedByQuota,
    /// An equal one replaced it.
    Refresh,
    /// Its master ended.
    MasterGone,
    /// Somebody took it back.
    Deleted,
    /// Refused: its class was full.
    RefusedByClass,
    /// Refused: the table was full.
    RefusedByTable,
    /// Refused: a packet could hit another, too, or another stands already.
    RefusedByClash,
    /// Refused by admission or quota.
    NotAdmitted,
    /// Refused: its master had no helper, or there was no memory.
    NoHelp,
    /// It was there when the run ended.
    Horizon,
}

impl Ending {
    /// All, in the order of reports.
    pub const ALL: [Self; 14] = [
        Self::Match,
        Self::Expiry,
        Self::EvictedByClass,
        Self::EvictedByTable,
        Self::EvictedByQuota,
        Self::Refresh,
        Self::MasterGone,
        Self::Deleted,
        Self::RefusedByClass,
        Self::RefusedByTable,
        Self::RefusedByClash,
        Self::NotAdmitted,
        Self::NoHelp,
        Self::Horizon,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Expiry => "expiry",
            Self::EvictedByClass => "evicted-class",
            Self::EvictedByTable => "evicted-table",
            Self::EvictedByQuota => "evicted-quota",
            Self::Refresh => "refresh",
            Self::MasterGone => "master-gone",
            Self::Deleted => "deleted",
            Self::RefusedByClass => "refused-class",
            Self::RefusedByTable => "refused-table",
            Self::RefusedByClash => "refused-clash",
            Self::NotAdmitted => "not-admitted",
            Self::NoHelp => "no-help",
            Self::Horizon => "horizon",
        }
    }

    /// Whether it was never inserted.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::RefusedByClass
                | Self::RefusedByTable
                | Self::RefusedByClash
                | Self::NotAdmitted
                | Self::NoHelp
        )
    }

    /// Whether it was thrown out for another.
    #[must_use]
    pub const fn is_eviction(self) -> bool {
        matches!(self, Self::EvictedByClass | Self::EvictedByTable | Self::EvictedByQuota)
    }
}

/// What became of the announcements of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many were announced.
    pub announced: u64,
    /// How many of them had a useful arrival to come.
    pub sought: u64,
    /// How they ended.
    pub ended: [u64; Ending::ALL.len()],
    /// How many useful arrivals there were.
    pub useful: u64,
    /// How many of them found their expectation.
    pub hits: u64,
    /// Arrivals that found one although they were not useful: late, by a longer timeout.
    pub late: u64,
    /// How the announcements of useful arrivals that found none had ended.
    pub lost: [u64; Ending::ALL.len()],
}

impl Account {
    /// Both accounts as one.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.announced += other.announced;
        self.sought += other.sought;
        self.useful += other.useful;
        self.hits += other.hits;
        self.late += other.late;
        for at in 0..Ending::ALL.len() {
            self.ended[at] += other.ended[at];
            self.lost[at] += other.lost[at];
        }
        self
    }

    /// How many ended this way.
    #[must_use]
    pub fn of(&self, ending: Ending) -> u64 {
        self.ended[ending as usize]
    }

    /// Whether every announcement has ended, and every useful arrival is accounted for.
    ///
    /// # Errors
    /// [`Unbalanced`].
    pub fn balance(&self, one_shot: bool) -> Result<(), Unbalanced> {
        let ended: u64 = self.ended.iter().sum();
        if ended != self.announced {
            return Err(Unbalanced { what: "announcements", said: self.announced, found: ended });
        }
        let accounted = self.hits + self.lost.iter().sum::<u64>();
        if one_shot && accounted != self.useful {
            return Err(Unbalanced { what: "useful", said: self.useful, found: accounted });
        }
        Ok(())
    }
}

/// A ledger that does not balance: an error of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced {
    /// Of what.
    pub what: &'static str,
    /// How many there were.
    pub said: u64,
    /// How many are accounted for.
    pub found: u64,
}

impl fmt::Display for Unbalanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, said, found } = self;
        write!(f, "the ledger does not balance: {said} {what}, {found} accounted for")
    }
}

impl std::error::Error for Unbalanced {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_that_vanished_is_noticed() {
        let mut account = Account { announced: 2, useful: 1, hits: 1, ..Account::default() };
        account.ended[Ending::Match as usize] = 1;
        let why = account.balance(true).expect_err("one is missing");
        assert_eq!(
            why.to_string(),
            "the ledger does not balance: 2 announcements, 1 accounted for"
        );
        account.ended[Ending::Horizon as usize] = 1;
        assert_eq!(account.balance(true), Ok(()));
        account.useful = 2;
        assert!(account.balance(true).is_err() && account.balance(false).is_ok());
    }
}
