// SPDX-License-Identifier: GPL-2.0-only
//! What a ruleset may do: nft's `ct helper` and `ct expectation` objects.
//!
//! ```text
//!   first packet ─▶ ct helper set "…"        the connection has a helper from here on
//!                └▶ ct expectation set "…"   an answer from the other end is expected, to a port:
//!                                            at once, or since 7.2 when the packet got through
//! ```
//!
//! The rule that matters: both work on a connection's first packet only, before it is confirmed;
//! and an expectation made so has a master with an extension, but without a helper (since 7.2,
//! with nft's own): no policy, no limit but the object's own size.
//!
//! # Source
//! `nft_ct_helper_obj_eval()` (since v4.12) and `nft_ct_expect_obj_eval()` (since v5.3), 6.18;
//! `ct_expect_help()`, 7.2.

use crate::conn::{Attached, ConnRef, Status};
use crate::conntrack::Direction;
use crate::engine::{At, Engine, MasterCheck};
use crate::error::{NoMemory, RelateError};
use crate::event::Origin;
use crate::expectation::{Announcement, ExpectId, Expected, Flags};
use crate::helper::{Class, HelperId};
use crate::kernel::Ticks;
use crate::kernel::platform::{Plain, Platform, SpinLock};
use crate::revision::{NftExpect, NftTimeout};
use crate::tuple::Proto;

/// A `ct expectation` object.
#[doc(alias = "nft_ct_expect_obj")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtExpectation {
    /// The expected transport protocol.
    pub proto: Proto,
    /// The expected destination port.
    pub dport: u16,
    /// The lifetime as it was written, in milliseconds.
    pub timeout: u32,
    /// How many a connection may have.
    pub size: u8,
}

/// What a rule says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On to the next expression.
    Continue,
    /// The rule does not apply (`NFT_BREAK`).
    Break,
    /// The packet goes no further.
    Drop,
}

impl<P: Platform> Engine<P> {
    /// Evaluates `ct helper set`: a rule assigns a helper, once.
    #[doc(alias = "nft_ct_helper_obj_eval")]
    pub fn nft_ct_helper(&self, ct: &ConnRef, helper: HelperId) {
        let conn = self.conn(ct.id());
        let status = conn.status();
        let original = self.place_of(ct.id()).0;
        let fits = self.helper(helper).l3.contains(&original.l3);
        // KERNEL: nf_ct_ext_add(), all revisions: there is one extension of a kind, so who has one,
        // by its expectation or a `ct expectation` object, keeps the helper it has, or none.
        let has_extension = conn.attached() != Attached::Nothing;
        if status.has(Status::CONFIRMED) || status.has(Status::HELPER) || has_extension || !fits {
            return;
        }
        // Without memory for the extension the connection goes on without a helper.
        if self.attach(ct, Some(helper)).is_ok() {
            self.set_status(ct, Status::HELPER);
        }
    }

    /// Evaluates `ct expectation set` for a packet that goes this way.
    #[doc(alias = "nft_ct_expect_obj_eval")]
    pub fn nft_ct_expect(
        &self,
        at: At,
        ct: &ConnRef,
        direction: Direction,
        object: &CtExpectation,
    ) -> Verdict {
        let conn = self.conn(ct.id());
        let status = conn.status();
        if status.has(Status::CONFIRMED) || status.has(Status::TEMPLATE) {
            return Verdict::Break;
        }
        if self.nft_waits() {
            return self.nft_ct_expect_attach(ct, direction, object);
        }
        if conn.attached() == Attached::Nothing && self.attach(ct, None).is_err() {
            return Verdict::Drop;
        }
        if conn.expecting[Class::DEFAULT.index()].get() >= object.size {
            return Verdict::Break;
        }
        match self.nft_announce(at, ct, direction, object) {
            Ok(Ok(_)) => Verdict::Continue,
            _ => Verdict::Drop,
        }
    }

    /// Since 7.2 the rule only leaves word with a helper of nft's own, whatever the object's size:
    /// 0 is 255. Who has the extension already keeps what is in it.
    fn nft_ct_expect_attach(
        &self,
        ct: &ConnRef,
        direction: Direction,
        object: &CtExpectation,
    ) -> Verdict {
        if self.attached_of(ct.id()) != Attached::Nothing {
            return Verdict::Break;
        }
        if self.attach(ct, Some(HelperId::NFT_CT_EXPECT)).is_err() {
            return Verdict::Drop;
        }
        self.conns.lock().announces.insert(ct.id(), (*object, direction));
        Verdict::Continue
    }

    /// What nft's own helper does when a first packet got through: announces; false drops it.
    #[doc(alias = "ct_expect_help")]
    pub(crate) fn nft_ct_expect_help(&self, at: At, ct: &ConnRef) -> bool {
        let word = self.take_nft_expect(ct);
        // KERNEL: ct_expect_help(), 7.2: an announcement that is refused costs nobody a packet.
        word.is_none_or(|(object, direction)| self.nft_announce(at, ct, direction, &object).is_ok())
    }

    fn nft_waits(&self) -> bool {
        self.config.revision.nft_expect == NftExpect::AtConfirmation
    }

    /// Takes what nft's own helper was told, if it is this connection's.
    pub(crate) fn take_nft_expect(&self, ct: &ConnRef) -> Option<(CtExpectation, Direction)> {
        let own = Attached::Helper(HelperId::NFT_CT_EXPECT);
        if self.nft_waits() && self.attached_of(ct.id()) == own {
            self.conns.lock().announces.remove(&ct.id())
        } else {
            None
        }
    }

    /// Announces what an object says.
    fn nft_announce(
        &self,
        at: At,
        ct: &ConnRef,
        direction: Direction,
        object: &CtExpectation,
    ) -> Result<Result<ExpectId, RelateError>, NoMemory> {
        let about = self.conn(ct.id()).about();
        let other = match direction {
            Direction::Original => about.reply,
            Direction::Reply => about.original,
        };
        let expected = Expected {
            l3: about.original.l3,
            saddr: Some(other.src),
            daddr: other.dst,
            proto: object.proto,
            sport: None,
            dport: object.dport,
        };
        let (tuple, mask) = expected.tuple_and_mask();
        let said = Announcement {
            class: Class::DEFAULT,
            tuple,
            mask,
            flags: Flags::NONE,
            expires: Some(at.now.after(self.nft_lifetime(object.timeout))),
        };
        self.announce(at, ct.id(), &said, (Origin::KERNEL, MasterCheck::Own))
    }

    fn nft_lifetime(&self, timeout: u32) -> Ticks {
        match self.config.revision.nft_timeout {
            NftTimeout::TakenForSeconds => Ticks::of_timeout(timeout, self.config.hz),
            NftTimeout::Milliseconds => {
                Ticks((u64::from(timeout) * u64::from(self.config.hz)).div_ceil(1000))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Config;
    use crate::kernel::{Jiffies, Up};
    use crate::netns::{NetId, Zone};
    use crate::revision::Revision;
    use crate::tuple::Tuple;

    /// How many are expected after the rule, and after the packet got through or was dropped.
    fn counts(revision: Revision, forwarded: bool) -> [u32; 2] {
        let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
        let at = At { now: Jiffies::initial(250), ..At::default() };
        let (net, ip) = (NetId::INIT, |last| [10, 0, 0, last].into());
        let tuple = Tuple::new(Proto::UDP, ip(1), 5000, ip(2), 4321);
        let reply = tuple.inverse().expect("it can be answered");
        let ct = engine.alloc_conn(net, Zone(0), tuple, reply).expect("memory");
        let object = CtExpectation { proto: Proto::TCP, dport: 2000, timeout: 5000, size: 1 };
        let verdict = engine.nft_ct_expect(at, &ct, Direction::Original, &object);
        assert_eq!(verdict, Verdict::Continue);
        let ruled = engine.expect_count(net);
        assert!(!forwarded || engine.confirm(at, &ct, Origin::KERNEL));
        engine.put_conn(at, ct);
        [ruled, engine.expect_count(net)]
    }

    #[test]
    fn who_has_the_extension_is_given_no_helper_by_a_rule() {
        for revision in Revision::ALL {
            let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
            let ip = |last| [10, 0, 0, last].into();
            let tuple = Tuple::new(Proto::TCP, ip(1), 5000, ip(2), 21);
            let reply = tuple.inverse().expect("it can be answered");
            let conn = || engine.alloc_conn(NetId::INIT, Zone(0), tuple, reply).expect("memory");
            let ftp = engine.helper_named("ftp").expect("it is in the tree");
            let [bare, without, with] = [conn(), conn(), conn()];
            engine.attach(&without, None).expect("memory");
            engine.attach(&with, engine.helper_named("sane")).expect("memory");
            for ct in [&bare, &without, &with] {
                engine.nft_ct_helper(ct, ftp);
            }
            assert_eq!(engine.helper_of(&bare), Some(ftp), "{}", revision.name);
            assert_eq!(engine.helper_of(&without), None, "{}", revision.name);
            assert_eq!(engine.helper_of(&with), engine.helper_named("sane"), "{}", revision.name);
            let marked = |ct: &ConnRef| engine.conn(ct.id()).status().has(Status::HELPER);
            let by_the_extension = revision == Revision::LINUX_7_2;
            assert_eq!([&bare, &with].map(marked), [true, by_the_extension], "{}", revision.name);
            for ct in [bare, without, with] {
                engine.put_conn(At::default(), ct);
            }
        }
    }

    #[test]
    fn since_7_2_a_packet_that_is_dropped_later_announces_nothing_in_between() {
        assert_eq!(counts(Revision::LINUX_6_18, true), [1, 1]);
        assert_eq!(counts(Revision::LINUX_6_18, false), [1, 0]);
        assert_eq!(counts(Revision::LINUX_7_2, true), [0, 1]);
        assert_eq!(counts(Revision::LINUX_7_2, false), [0, 0]);
    }
}
