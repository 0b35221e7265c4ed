// SPDX-License-Identifier: GPL-2.0-only
//! Admission, quota and timeout: the axes beside the victim.
//!
//! *Admission* decides whether a newcomer may come in at all; *quota* how many an owner may hold,
//! beside the kernel's own limits; *timeout* how long one lives.

use super::book::{Book, Entry, Map, Scope};
use crate::research::law::Span;
use crate::research::random::Stream;

/// May a newcomer come in?
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// All may.
    All,
    /// Above this share of the limit, fewer and fewer (random early drop).
    EarlyDrop {
        /// Where it begins, 0 to 1.
        above: f64,
    },
    /// So many per second and owner, and so many at once.
    TokenBucket {
        /// Whose.
        scope: Scope,
        /// Tokens in a second.
        per_second: f64,
        /// At most this many saved.
        burst: f64,
    },
    /// Above half of the limit, those owners whose past announcements were answered.
    Doorkeeper {
        /// Whose past.
        scope: Scope,
        /// The least share.
        share: f64,
    },
    /// The last slots are kept for announcements worth more than the least.
    Reserve {
        /// Which share of the limit.
        share: f64,
    },
}

impl Admission {
    /// Whether it may, given what is saved and drawn so far.
    pub(super) fn grants(
        &self,
        newcomer: &Entry,
        book: &Book,
        tokens: &mut Map<u64, (f64, i64)>,
        stream: &mut Stream,
    ) -> bool {
        let filled = f64::from(book.count) / f64::from(book.limit.max(1));
        match self {
            Self::All => true,
            Self::EarlyDrop { above } => {
                // One draw each, so that what is decided shifts nobody's chance.
                let chance = stream.uniform();
                chance >= (filled - above) / (1.0 - above).max(1e-9)
            }
            Self::TokenBucket { scope, per_second, burst } => {
                let fresh = (*burst, book.now);
                if tokens.len() > 1 << 17 {
                    tokens.clear();
                }
                let (saved, since) = tokens.entry(scope.owner(newcomer)).or_insert(fresh);
                let passed = (book.now - *since) as f64 / f64::from(book.hz);
                *saved = (*saved + passed * per_second).min(*burst);
                *since = book.now;
                let granted = *saved >= 1.0;
                if granted {
                    *saved -= 1.0;
                }
                granted
            }
            Self::Doorkeeper { scope, share } => {
                let record = book.record(*scope, scope.owner(newcomer));
                filled < 0.5 || record.match_share() >= *share
            }
            Self::Reserve { share } => filled < 1.0 - share || newcomer.worth > 1,
        }
    }
}

/// How many may an owner hold?
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Whose.
    pub scope: Scope,
    /// How many.
    pub most: Most,
    /// Whether the owner's oldest goes, or the newcomer.
    pub replaces: bool,
}

/// How many.
#[derive(Clone, Debug, PartialEq)]
pub enum Most {
    /// A number.
    Fixed(u32),
    /// So many times the free slots (dynamic threshold of shared buffers).
    OfFree(f64),
}

impl Quota {
    /// Whether the newcomer's owner holds all it may.
    pub(super) fn is_met(&self, newcomer: &Entry, book: &Book) -> bool {
        let owner = self.scope.owner(newcomer);
        let live = book.record(self.scope, owner).live;
        match self.most {
            Most::Fixed(most) => live >= most,
            Most::OfFree(alpha) => {
                let free = book.limit.saturating_sub(book.count);
                f64::from(live) >= alpha * f64::from(free).max(1.0)
            }
        }
    }
}

/// How long does one live?
#[derive(Clone, Debug, PartialEq)]
pub enum Timeout {
    /// As long as its policy says.
    Usual,
    /// So long.
    Fixed(Span),
    /// So many times as long.
    Factor(f64),
    /// Shorter the fuller the table is: T·(1 − n/C), an eighth at least.
    Shrinking,
    /// Until this share of those that are ever matched has been, by what was learned; the usual
    /// until enough was seen, and never longer.
    Quantile(f64),
}

impl Timeout {
    /// How long one lives at most, where its policy says `usual`, both in seconds.
    #[must_use]
    pub fn longest(&self, usual: f64) -> f64 {
        match self {
            Self::Usual | Self::Shrinking | Self::Quantile(_) => usual,
            Self::Fixed(span) => span.0,
            Self::Factor(factor) => usual * factor,
        }
    }

    /// The lifetime in ticks.
    pub(super) fn ticks(&self, newcomer: &Entry, usual: u64, book: &Book) -> u64 {
        let hz = f64::from(book.hz);
        let ticks = match self {
            Self::Usual => return usual,
            Self::Fixed(span) => span.0 * hz,
            Self::Factor(factor) => usual as f64 * factor,
            Self::Shrinking => {
                let filled = f64::from(book.count) / f64::from(book.limit.max(1));
                usual as f64 * (1.0 - filled).max(0.125)
            }
            Self::Quantile(share) => match book.delays.quantile(newcomer.class, *share) {
                Some(age) => age.min(usual as f64),
                None => usual as f64,
            },
        };
        (ticks as u64).max(1)
    }
}
