// SPDX-License-Identifier: GPL-2.0-only
//! What a ruleset may do: nft's `ct helper` and `ct expectation` objects.
//!
//! ```text
//!   first packet ─▶ ct helper set "…"        the connection has a helper from here on
//!                └▶ ct expectation set "…"   an answer from the other end is expected, to a port
//! ```
//!
//! The rule that matters: both work on a connection's first packet only, before it is confirmed;
//! and an expectation made so has a master with an extension, but without a helper: no policy,
//! no limit but the object's own size.
//!
//! # Source
//! `nft_ct_helper_obj_eval()` (since v4.12) and `nft_ct_expect_obj_eval()` (since v5.3), 6.18.

use crate::conn::{Attached, ConnRef, Status};
use crate::conntrack::Direction;
use crate::engine::{At, Engine, MasterCheck};
use crate::event::Origin;
use crate::expectation::Expected;
use crate::helper::{Class, HelperId};
use crate::kernel::Ticks;
use crate::kernel::platform::{Plain, Platform};
use crate::revision::NftTimeout;
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
        let status = self.conn(ct.id()).status();
        let original = self.place_of(ct.id()).0;
        let fits = self.helper(helper).l3.contains(&original.l3);
        if status.has(Status::CONFIRMED) || status.has(Status::HELPER) || !fits {
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
        if conn.attached() == Attached::Nothing && self.attach(ct, None).is_err() {
            return Verdict::Drop;
        }
        if conn.expecting[Class::DEFAULT.index()].get() >= object.size {
            return Verdict::Break;
        }
        let about = conn.about();
        let other = match direction {
            Direction::Original => about.reply,
            Direction::Reply => about.original,
        };
        let Ok(exp) = self.alloc(at, ct) else {
            return Verdict::Drop;
        };
        let expected = Expected {
            l3: about.original.l3,
            saddr: Some(other.src),
            daddr: other.dst,
            proto: object.proto,
            sport: None,
            dport: object.dport,
        };
        self.init(&exp, Class::DEFAULT, &expected);
        self.set_expires(&exp, at.now.after(self.nft_lifetime(object.timeout)));
        let related = self.related(at, &exp, Origin::KERNEL, MasterCheck::Own);
        self.put(exp);
        if related.is_ok() { Verdict::Continue } else { Verdict::Drop }
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
