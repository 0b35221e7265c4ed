// SPDX-License-Identifier: GPL-2.0-only
//! Where a kernel slipped, or could: one place each.
//!
//! *Slip*: a single wrong step. *Broken world*: a platform on which one slip happens
//! ([`Platform::slips`](crate::kernel::Platform::slips)); all others answer `false`, a constant,
//! so that the normal build holds neither the question nor the wrong step.
//!
//! The rule that matters: a claim that survives its slip was no claim. `properties/MUTANTS.md`
//! names, for every row below, who notices.

macro_rules! slips {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// One wrong step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Slip {
            $($(#[doc = $doc])+ $name,)*
            /// Asked nowhere, so that nobody can notice it: who claims to is broken.
            Nowhere,
        }

        impl Slip {
            /// All that happen somewhere, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What goes wrong, in a sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)*
                    Self::Nowhere => "Nothing.",
                }
            }
        }
    };
}

slips! {
    // ---- the platform's verbs -------------------------------------------------------------
    /// A lookup takes a reference even where none is left.
    IncFromZero,
    /// Memory is freed while readers may still look.
    NoGracePeriod,
    /// A pointer is published without what it points at.
    RelaxedPublish,
    /// A pointer is followed without what it points at.
    RelaxedDereference,
    /// The store that unlinks is relaxed, as the kernel writes it and C11 does not mean it.
    RelaxedUnlink,
    /// `del_timer()` says yes even if somebody else detached the timer.
    TimerLies,
    /// The last to give a reference back does not see what the others did.
    RelaxedPut,
    /// A reference is given back without seeing what the others did before.
    ReleasePut,
    /// A reference is given back without showing what its holder did.
    AcquirePut,
    /// `atomic_inc()` is a load and a store.
    SplitIncrement,
    /// `atomic_dec_and_test()` is a load and a store.
    SplitDecrement,
    /// `del_timer()` looks and detaches in two steps.
    SplitDetach,
    /// `hlist_del()`: the unlinked node leads nowhere, though a reader may stand on it.
    DelPoisonsNext,

    // ---- lookups --------------------------------------------------------------------------
    /// A match takes an inactive expectation.
    MatchesInactive,
    /// A match goes through a master that is not confirmed.
    MatchesUnconfirmed,
    /// A match goes through a master that is dying.
    MatchesDying,
    /// A match takes the last that fits instead of the first.
    MatchesLast,
    /// A match consumes a permanent expectation.
    ConsumesPermanent,
    /// A permanent expectation is handed out without a reference.
    PermanentUncounted,
    /// A match wins and leaves the expectation linked.
    MatchStaysLinked,
    /// A match goes ahead although the timer was faster.
    MatchIgnoresTimer,
    /// A match hands a reference out and gives it back, too.
    MatchPutsTwice,
    /// A match that loses keeps its reference to the master.
    MasterNotGivenBack,
    /// A match takes a reference to any master, dying or without one left.
    MasterFromZero,
    /// A lookup does not look at the zone.
    ZoneIgnored,
    /// A lookup does not look at the namespace, though all share a table.
    NamespaceIgnored,
    /// A lookup leaves its section before it takes the reference.
    SectionEndsEarly,

    // ---- removal --------------------------------------------------------------------------
    /// A refresh does not ask whether the timer was faster.
    RefreshIgnoresTimer,
    /// An eviction does not ask whether the timer was faster.
    EvictionIgnoresTimer,
    /// Taking back does not ask whether the timer was faster.
    UnexpectIgnoresTimer,
    /// The end of a master does not ask whether the timer was faster.
    TeardownIgnoresTimer,
    /// Whoever wins forgets the timer's reference.
    TimerReferenceKept,
    /// Unlinking forgets the table's reference.
    TableReferenceKept,
    /// Unlinking does not lower `expect_count`.
    CountNotLowered,
    /// A match does not lower `expecting`.
    ExpectingKeptByMatch,
    /// An expiry does not lower `expecting`.
    ExpectingKeptByExpiry,
    /// An eviction does not lower `expecting`.
    ExpectingKeptByEviction,
    /// Unlinking lowers `expecting` of the first class, whatever the class.
    ExpectingOfFirstClass,
    /// Unlinking leaves the expectation in its master's list.
    StaysInMastersList,
    /// Unlinking is not told.
    DestroyUntold,
    /// Unlinking is not counted in the statistics.
    DeleteUncounted,
    /// The timer's callback keeps its reference.
    CallbackKeepsReference,
    /// The timer's callback gives back one reference too many.
    CallbackPutsTwice,
    /// A connection that leaves the table keeps its expectations.
    FirstTeardownOmitted,
    /// A connection that is destroyed does not end what was announced since it left the table.
    SecondTeardownOmitted,
    /// Ending a master's expectations stops after the first.
    TeardownStopsEarly,

    // ---- insertion ------------------------------------------------------------------------
    /// Nobody looks for a clash.
    ClashUntested,
    /// A clash is looked for under either mask instead of both.
    ClashByEitherMask,
    /// An expectation clashes with those of other namespaces.
    ClashAcrossNamespaces,
    /// An equal expectation is refreshed and success answered, nothing inserted (before 3.7).
    RefreshWithoutInsert,
    /// A refresh removes the newcomer instead of the one it replaces (until 4.13).
    RefreshRemovesNewcomer,
    /// Only the first class has a limit (4.12).
    OnlyFirstClassLimited,
    /// A class may hold one more than its policy says.
    ClassLimitOffByOne,
    /// The table may hold one more than its limit.
    TableLimitOffByOne,
    /// The table is called full with room for one more.
    RefusesEarly,
    /// What is announced again while it is linked is inserted again.
    LinkedNotSeen,
    /// A pair of which the second is refused keeps the first one's place (7.2 was careful).
    PairPlaceKept,
    /// The newest of a class goes first (2004).
    EvictsNewest,
    /// The oldest of any class goes.
    EvictsAnyClass,
    /// A permanent expectation is never evicted.
    EvictionSparesPermanent,
    /// Insertion takes no reference for the timer.
    TimerUncounted,
    /// Insertion does not raise `expecting`.
    ExpectingNotRaised,
    /// Insertion does not raise `expect_count`.
    CountNotRaised,
    /// The tuple is written after the expectation is published.
    TupleAfterPublish,
    /// An expectation is appended to its bucket instead of put in front.
    AppendsToBucket,
    /// Insertion is not counted in the statistics.
    CreateUncounted,
    /// Insertion is not told.
    NewUntold,

    // ---- the listing ----------------------------------------------------------------------
    /// A listing shows other namespaces (CVE-2026-31496).
    ListsOtherNamespaces,
    /// A listing reads outside of a read-side section.
    ListsWithoutSection,

    // ---- who calls into the file ----------------------------------------------------------
    /// An announced connection takes no reference to its master.
    ChildWithoutMaster,
    /// The timer's callback does not take the lock.
    CallbackWithoutLock,
    /// Taking back does not take the lock.
    UnexpectWithoutLock,
    /// A helper does not give its creator's reference back (CVE-2026-52970).
    CreatorReferenceKept,
    /// A creation by netlink keeps its references to both (3.12 to 4.2).
    CreateReferenceKept,
    /// A helper goes, and expectations are compared with NULL (4.14 to 7.0).
    UnregisterByNull,
    /// A helper goes without waiting for the packets inside it.
    UnregisterWithoutWait,
    /// A dump that resumes takes its reference twice (6.17, CVE-2025-39764).
    DumpReferenceTwice,
    /// A dump of one master keeps no reference to it (since 3.10, CVE-2026-23458).
    DumpUncountedMaster,
}
