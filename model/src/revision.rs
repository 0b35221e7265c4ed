// SPDX-License-Identifier: GPL-2.0-only
//! A kernel as a value: which of two behaviours, one knob each.
//!
//! Every knob is an enum of two words that names both behaviours, is read at one place in the
//! engine, and stands with its commit in `docs/revisions.md`. Because a revision is a value,
//! `LINUX_3_9` with a single knob turned is also a kernel:
//!
//! ```
//! use nfexp_model::revision::{ClashScope, Revision};
//! let patched = Revision { clash_scope: ClashScope::SameZone, ..Revision::LINUX_3_9 };
//! assert_ne!(patched, Revision::LINUX_3_9);
//! ```
//!
//! The rule that matters: nothing asks *which* revision it is, only which way one knob points.

use crate::tuple::Proto;

macro_rules! knobs {
    ($($(#[$doc:meta])* $field:ident : $knob:ident { $($(#[$way_doc:meta])* $way:ident),+ $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum $knob { $($(#[$way_doc])* $way),+ }
        )*

        /// A set of kernel behaviours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Revision {
            /// What people call it.
            pub name: &'static str,
            $($(#[$doc])* pub $field: $knob,)*
        }

        impl Revision {
            /// The names of all knobs, as `docs/revisions.md` lists them.
            pub const KNOBS: &'static [&'static str] = &[$(stringify!($field)),*];

            /// This revision with one knob as `other` has it; `None` for an unknown knob.
            #[must_use]
            pub fn with_knob_of(self, knob: &str, other: &Self) -> Option<Self> {
                match knob {
                    $(stringify!($field) => Some(Self { $field: other.$field, ..self }),)*
                    _ => None,
                }
            }

            /// The knobs that point another way than in `other`.
            pub fn differing_knobs(&self, other: &Self) -> Vec<&'static str> {
                let mut knobs = Vec::new();
                $(if self.$field != other.$field { knobs.push(stringify!($field)); })*
                knobs
            }
        }
    };
}

knobs! {
    /// Which function hashes a destination.
    hash: HashKind {
        /// Bob Jenkins' jhash2, seeded once for all namespaces.
        Jhash2,
        /// SipHash-2-4 over destination and namespace.
        Siphash,
    }
    /// Whether namespaces have a table each.
    table: TableScope {
        /// One table in every namespace.
        PerNetns,
        /// One for all; whoever walks it filters.
        Global,
    }
    /// Which lock expectations are under.
    expect_lock: ExpectLock {
        /// The connections' too: a connection and what it expects leave in one section.
        Shared,
        /// Their own: a connection leaves first, then what it expects; of a helper that goes the
        /// expectations leave first, then its connections lose it.
        Own,
    }
    /// Where a lookup finds the zone of an expectation.
    zone_from: ZoneFrom {
        /// In its master, which may be another connection by then.
        Master,
        /// In the expectation, since it was initialised.
        Expectation,
    }
    /// Between which expectations a clash is looked for.
    clash_scope: ClashScope {
        /// All, whatever their zone.
        AnyZone,
        /// Those of one zone.
        SameZone,
    }
    /// What an equal expectation of another class or master is.
    duplicate: Duplicate {
        /// A clash: only the same master and class refresh.
        SameMasterOnly,
        /// Answered with -EALREADY: another class, or another master if the caller skips it.
        AnswerAlready,
    }
    /// When a match takes its reference to the master.
    master_ref: MasterRef {
        /// The caller does, after the lookup.
        Borrowed,
        /// The lookup does, unless the master is dying or gone.
        Counted,
    }
    /// When the event NEW is sent.
    new_event: NewEvent {
        /// After the lock is dropped: DESTROY may overtake it.
        AfterUnlock,
        /// Before.
        UnderLock,
    }
    /// What an insertion does first.
    insert_order: InsertOrder {
        /// It publishes, then sets the timer up.
        ListsThenTimer,
        /// It sets the timer up, then publishes.
        TimerThenLists,
    }
    /// Who judges a first packet first.
    tracker_order: TrackerOrder {
        /// Its tracker: what begins nothing consumes nothing.
        BeforeLookup,
        /// The lookup: what begins nothing has consumed its expectation.
        AfterLookup,
    }
    /// Whether a match consumes.
    match_unlinks: MatchUnlinks {
        /// Unless the expectation is permanent.
        Always,
        /// And unless the caller only looks.
        WhenAsked,
    }
    /// The timer wheel beneath.
    wheel: WheelKind {
        /// Exact, with slack (until 4.7).
        Cascading,
        /// Rounded up by level (since 4.8).
        Levelled,
    }
    /// How an expectation ends by age.
    expiry: Expiry {
        /// Its own timer unlinks it.
        Timer,
        /// It counts as gone at once, and is collected by whoever comes by.
        Collected,
    }
    /// Whose helper a listing names.
    helper_from: HelperFrom {
        /// The master's of this moment.
        Master,
        /// The one that made the expectation.
        Expectation,
    }
    /// How many expectations a class of a master may hold.
    class_limit: ClassLimit {
        /// What the helper's policy says; 0, or no helper, is no limit.
        PolicyOnly,
        /// At most 255 always.
        AtMost255,
    }
    /// What a fresh expectation holds before it is initialised.
    fresh_memory: FreshMemory {
        /// What the last tenant left.
        Garbage,
        /// Zeroes.
        Zeroed,
    }
    /// When a listing shows the class.
    class_text: ClassText {
        /// Always, even an empty name: `ftp/`.
        Always,
        /// If the class has a name.
        IfNamed,
    }
    /// Which protocols' ports a listing shows.
    port_text: PortText {
        /// DCCP's too.
        WithDccp,
        /// Not DCCP's.
        WithoutDccp,
    }
    /// What the end of a function's module does with expectations that name it.
    expectfn_exit: ExpectFnExit {
        /// Nothing: a match calls into freed text.
        Leaves,
        /// It removes them.
        Sweeps,
    }
    /// Whether an H.323 unregistration takes the lock to end a master's expectations.
    urq_lock: UrqLock {
        /// It does not.
        NotTaken,
        /// It does: the function takes it.
        Taken,
    }
    /// Whether lookups that find a connection are counted (`found`).
    found_stat: FoundStat {
        /// Each is.
        EachLookup,
        /// Packets in the fast path cost no counter any more.
        NotCounted,
    }
    /// Which table sizes the sysctl accepts.
    expect_max_range: ExpectMaxRange {
        /// Any: 0 refuses all, a negative number none.
        AnyInt,
        /// 1 and more.
        AtLeastOne,
    }
    /// Which flags a request may set.
    flags_attr: FlagsAttr {
        /// Any: unknown bits are stored as they came.
        Verbatim,
        /// The three that have names; others are refused.
        KnownOnly,
    }
    /// Which direction of a translation a request may name.
    nat_dir_attr: NatDirAttr {
        /// Any number.
        AnyNumber,
        /// 0 or 1.
        AtMostOne,
    }
    /// What the helper's name in a request for an expectation does.
    help_name_attr: HelpNameAttr {
        /// It is looked up, judges the class, and is given to the announced connection.
        Obeyed,
        /// Nothing.
        Ignored,
    }
    /// Whether a request may announce under a master without a helper.
    absent_helper: AbsentHelper {
        /// It may; a master without the extension refuses later.
        Accepted,
        /// It may not.
        Refused,
    }
    /// What deleting by a helper's name does at an expectation without one.
    name_sweep: NameSweep {
        /// It follows the NULL pointer.
        FollowsNull,
        /// It goes on to the next.
        SkipsNull,
    }
    /// What a zone says in a request that deletes connections and names none.
    flush_zone: FlushZone {
        /// Nothing: all go.
        Ignored,
        /// Those of this zone go.
        Obeyed,
    }
    /// For which connections a helper that is registered for no family is found by its name.
    helper_family: HelperFamily {
        /// For none.
        Exact,
        /// For those of any family.
        UnspecIsAny,
    }
    /// What a listing of one master's expectations is.
    master_dump: MasterDump {
        /// A listing of all: the master is not looked at.
        TakenForAll,
        /// What was asked for.
        Served,
    }
    /// Whether a user may take the helper from a connection.
    helper_reset: HelperReset {
        /// Yes: its expectations end.
        Allowed,
        /// No.
        Refused,
    }
    /// Whether a user may name the helper of an announced connection.
    sibling_helper: SiblingHelper {
        /// No, whichever it is.
        Refused,
        /// If it is the one it has.
        SameIsFine,
    }
    /// What a fresh expectation's translation is.
    nat_init: NatInit {
        /// What the memory's last tenant left.
        LeftOver,
        /// None.
        Cleared,
    }
    /// How a media stream and its control channel are announced.
    pair_insert: PairInsert {
        /// One after the other; the first is taken back if the second is refused.
        OneByOne,
        /// In one section: both, or none.
        Together,
    }
    /// In which unit nft's lifetimes are taken.
    nft_timeout: NftTimeout {
        /// Milliseconds as if they were seconds.
        TakenForSeconds,
        /// As they are written.
        Milliseconds,
    }
    /// What an unregistered helper leaves behind.
    helper_exit: HelperExit {
        /// Nothing: its connections lose it, and all they expect ends.
        Unhelps,
        /// Connections keep it, counted; what it made ends.
        StaysCounted,
    }
    /// When a `ct expectation` object announces.
    nft_expect: NftExpect {
        /// When a rule names it, under a master without a helper.
        AtTheRule,
        /// When its packet got through, by a helper of its own.
        AtConfirmation,
    }
    /// Whether UDP-Lite has a tracker, and so ports.
    udplite: Udplite {
        /// It has.
        Tracked,
        /// It has not.
        Untracked,
    }
    /// Where the numbers of FTP's answer to `PASV` stand.
    ftp_reply: FtpReply {
        /// Between parentheses.
        InParentheses,
        /// From the first digit on, whatever is around them.
        FromFirstDigit,
    }
    /// What a number of FTP is that does not fit.
    ftp_numbers: FtpNumbers {
        /// What is left of it in so many bits.
        Wrap,
        /// None: the command does not parse.
        MustFit,
    }
    /// Where a DCC command of IRC is looked for.
    irc_search: IrcSearch {
        /// Anywhere; one of another's address is passed over, and the server's counts as own.
        Anywhere,
        /// Where a message begins, in four kilobytes; one of another's address ends the search.
        AtMessage,
    }
    /// How many streams of Amanda there are.
    amanda_streams: AmandaStreams {
        /// Data, messages, index.
        Three,
        /// State, too.
        Four,
    }
    /// How SIP's text is read.
    sip_scan: SipScan {
        /// Numbers as C reads them, methods by their first letters, zero as no number.
        Lenient,
        /// Numbers as far as they fit, methods as whole words.
        Strict,
    }
    /// Where a translated media stream of SIP is from.
    sip_media: SipMedia {
        /// Its master's other end, if it came from the master's.
        FromTheMaster,
        /// The place of the stream's other way, if that is announced.
        FromThePair,
    }
    /// How the key pairs of PPTP's streams are kept.
    gre_keys: GreKeys {
        /// One after the other: one that differs takes both away.
        OneByOne,
        /// Together: what differs changes nothing.
        Together,
    }
}

impl Revision {
    /// The starting revision: Linux 3.9 (2013).
    pub const LINUX_3_9: Self = Self {
        name: "3.9",
        hash: HashKind::Jhash2,
        table: TableScope::PerNetns,
        expect_lock: ExpectLock::Shared,
        zone_from: ZoneFrom::Master,
        clash_scope: ClashScope::AnyZone,
        duplicate: Duplicate::SameMasterOnly,
        master_ref: MasterRef::Borrowed,
        new_event: NewEvent::AfterUnlock,
        insert_order: InsertOrder::ListsThenTimer,
        tracker_order: TrackerOrder::BeforeLookup,
        match_unlinks: MatchUnlinks::Always,
        wheel: WheelKind::Cascading,
        expiry: Expiry::Timer,
        helper_from: HelperFrom::Master,
        class_limit: ClassLimit::PolicyOnly,
        fresh_memory: FreshMemory::Garbage,
        class_text: ClassText::Always,
        port_text: PortText::WithDccp,
        found_stat: FoundStat::EachLookup,
        expect_max_range: ExpectMaxRange::AnyInt,
        flags_attr: FlagsAttr::Verbatim,
        nat_dir_attr: NatDirAttr::AnyNumber,
        help_name_attr: HelpNameAttr::Obeyed,
        absent_helper: AbsentHelper::Accepted,
        name_sweep: NameSweep::FollowsNull,
        flush_zone: FlushZone::Ignored,
        helper_family: HelperFamily::Exact,
        master_dump: MasterDump::TakenForAll,
        helper_reset: HelperReset::Allowed,
        sibling_helper: SiblingHelper::Refused,
        nat_init: NatInit::LeftOver,
        pair_insert: PairInsert::OneByOne,
        nft_timeout: NftTimeout::TakenForSeconds,
        udplite: Udplite::Tracked,
        helper_exit: HelperExit::Unhelps,
        nft_expect: NftExpect::AtTheRule,
        expectfn_exit: ExpectFnExit::Leaves,
        urq_lock: UrqLock::NotTaken,
        ftp_reply: FtpReply::InParentheses,
        ftp_numbers: FtpNumbers::Wrap,
        irc_search: IrcSearch::Anywhere,
        amanda_streams: AmandaStreams::Three,
        sip_scan: SipScan::Lenient,
        sip_media: SipMedia::FromTheMaster,
        gre_keys: GreKeys::OneByOne,
    };

    /// Linux 6.18 (2025), as observed running.
    pub const LINUX_6_18: Self = Self {
        name: "6.18",
        hash: HashKind::Siphash,
        table: TableScope::Global,
        expect_lock: ExpectLock::Own,
        zone_from: ZoneFrom::Master,
        clash_scope: ClashScope::SameZone,
        duplicate: Duplicate::AnswerAlready,
        master_ref: MasterRef::Counted,
        new_event: NewEvent::UnderLock,
        insert_order: InsertOrder::TimerThenLists,
        tracker_order: TrackerOrder::AfterLookup,
        match_unlinks: MatchUnlinks::WhenAsked,
        wheel: WheelKind::Levelled,
        expiry: Expiry::Timer,
        helper_from: HelperFrom::Expectation,
        class_limit: ClassLimit::PolicyOnly,
        fresh_memory: FreshMemory::Garbage,
        class_text: ClassText::IfNamed,
        port_text: PortText::WithoutDccp,
        found_stat: FoundStat::NotCounted,
        expect_max_range: ExpectMaxRange::AtLeastOne,
        flags_attr: FlagsAttr::KnownOnly,
        nat_dir_attr: NatDirAttr::AtMostOne,
        help_name_attr: HelpNameAttr::Ignored,
        absent_helper: AbsentHelper::Refused,
        name_sweep: NameSweep::SkipsNull,
        flush_zone: FlushZone::Obeyed,
        helper_family: HelperFamily::UnspecIsAny,
        master_dump: MasterDump::Served,
        helper_reset: HelperReset::Allowed,
        sibling_helper: SiblingHelper::SameIsFine,
        nat_init: NatInit::Cleared,
        pair_insert: PairInsert::OneByOne,
        nft_timeout: NftTimeout::TakenForSeconds,
        udplite: Udplite::Tracked,
        helper_exit: HelperExit::Unhelps,
        nft_expect: NftExpect::AtTheRule,
        expectfn_exit: ExpectFnExit::Leaves,
        urq_lock: UrqLock::Taken,
        ftp_reply: FtpReply::FromFirstDigit,
        ftp_numbers: FtpNumbers::Wrap,
        irc_search: IrcSearch::AtMessage,
        amanda_streams: AmandaStreams::Four,
        sip_scan: SipScan::Strict,
        sip_media: SipMedia::FromThePair,
        gre_keys: GreKeys::OneByOne,
    };

    /// Linux 7.2 (2026), which has no timer per expectation any more.
    pub const LINUX_7_2: Self = Self {
        name: "7.2",
        zone_from: ZoneFrom::Expectation,
        expiry: Expiry::Collected,
        class_limit: ClassLimit::AtMost255,
        fresh_memory: FreshMemory::Zeroed,
        helper_reset: HelperReset::Refused,
        pair_insert: PairInsert::Together,
        nft_timeout: NftTimeout::Milliseconds,
        udplite: Udplite::Untracked,
        helper_exit: HelperExit::StaysCounted,
        nft_expect: NftExpect::AtConfirmation,
        expectfn_exit: ExpectFnExit::Sweeps,
        ftp_numbers: FtpNumbers::MustFit,
        gre_keys: GreKeys::Together,
        ..Self::LINUX_6_18
    };

    /// Whether a protocol has a tracker that knows its ports.
    #[must_use]
    pub fn has_ports(&self, proto: Proto) -> bool {
        match proto {
            Proto::TCP | Proto::UDP | Proto::SCTP => true,
            Proto::UDPLITE => self.udplite == Udplite::Tracked,
            Proto::DCCP => self.port_text == PortText::WithDccp,
            _ => false,
        }
    }

    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::LINUX_3_9, Self::LINUX_6_18, Self::LINUX_7_2];

    /// The revision of this name (`3.9`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_every_knob_makes_the_other_kernel() {
        let (old, new) = (Revision::LINUX_3_9, Revision::LINUX_7_2);
        let turned = old.differing_knobs(&new).into_iter().fold(old, |kernel, knob| {
            kernel.with_knob_of(knob, &new).expect("a knob that differs exists")
        });
        assert_eq!(Revision { name: new.name, ..turned }, new);
    }
}
