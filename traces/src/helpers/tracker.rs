// SPDX-License-Identifier: GPL-2.0-only
//! What a helper asks of connection tracking, and has done by it.
//!
//! *Tracker*: the engine behind the packet at hand, as far as a helper sees it: its master's
//! expectations, every linked one by tuple, its master's timeout, the GRE keys, the routes. A
//! grammar calls it in the order in which the kernel's helper calls the kernel, so that what is
//! told comes in the kernel's order too.
//!
//! The rule that matters: `related` takes effect at once, and what a helper wants undone it must
//! take back itself.

use nfexp_model::conntrack::Direction;
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::ExpectFn;
use nfexp_model::expectation::{ExpectId, Expected, Flags};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Addr, Mask, Tuple};

use crate::step::Target;

/// An expectation to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its class, by number.
    pub class: u8,
    /// Whom it stands for.
    pub target: Target,
    /// Its flags.
    pub flags: Flags,
    /// The helper that its connection is given, by name.
    pub child: Option<&'static str>,
    /// What runs when its connection comes.
    pub expectfn: Option<ExpectFn>,
    /// Whether an equal one of another master counts as this one.
    pub masters: MasterCheck,
}

impl Announced {
    /// One of the first class, without flags.
    #[must_use]
    pub const fn plain(expected: Expected) -> Self {
        Self {
            class: 0,
            target: Target::Plain(expected),
            flags: Flags::NONE,
            child: None,
            expectfn: None,
            masters: MasterCheck::Own,
        }
    }

    /// Its tuple and mask.
    #[must_use]
    pub fn key(&self) -> (Tuple, Mask) {
        match self.target {
            Target::Plain(expected) => expected.tuple_and_mask(),
            Target::Masked(tuple, mask) => (tuple, mask),
        }
    }
}

/// Why an expectation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An equal one is linked already, of another class or master (−EALREADY).
    Already,
    /// For any other reason.
    Otherwise,
}

/// A linked expectation, as a helper looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Which one.
    pub id: ExpectId,
    /// Whom it stands for.
    pub tuple: Tuple,
    /// Its class, by number.
    pub class: u8,
    /// Its flags.
    pub flags: Flags,
    /// Whether the connection at hand is its master.
    pub own: bool,
    /// Whether it is of the same helper, for the same transport.
    pub same_helper: bool,
}

/// What to do with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It is dropped.
    Drop,
}

/// Connection tracking, as a helper of one connection sees it.
pub trait Tracker {
    /// The kernel in which the helper reads.
    fn revision(&self) -> &Revision;

    /// Allocates, initialises and inserts (`nf_ct_expect_related()`).
    ///
    /// # Errors
    /// [`Refused`]: nothing was inserted.
    fn related(&mut self, announced: &Announced) -> Result<ExpectId, Refused>;

    /// Takes back what [`related`](Self::related) made during this packet, if it is still
    /// linked (`nf_ct_unexpect_related()`).
    fn unexpect(&mut self, exp: ExpectId);

    /// Ends a linked expectation (`nf_ct_remove_expect()`).
    fn remove(&mut self, exp: ExpectId);

    /// Ends all of the connection's expectations (`nf_ct_remove_expectations()`).
    fn remove_all(&mut self);

    /// The first linked expectation that `tuple` hits, inactive ones included
    /// (`__nf_ct_expect_find()`).
    fn find(&self, tuple: &Tuple) -> Option<Linked>;

    /// The connection's expectations, newest first.
    fn expectations(&self) -> Vec<Linked>;

    /// Gives a linked expectation flags and so many seconds from now. No event tells it.
    fn retime(&mut self, exp: ExpectId, flags: Flags, secs: u32);

    /// Gives the connection so many seconds from now (`nf_ct_refresh()`).
    fn refresh(&mut self, secs: u32);

    /// Remembers the key pair of a GRE direction (`nf_ct_gre_keymap_add()`); false if the
    /// connection has another one there.
    fn keymap_add(&mut self, direction: Direction, tuple: &Tuple) -> bool;

    /// Forgets the connection's key pairs (`nf_ct_gre_keymap_destroy()`).
    fn keymap_destroy(&mut self);

    /// Ends the connection of this tuple, or else the expectation it hits.
    fn end_sibling(&mut self, tuple: &Tuple);

    /// The netmask of the interface's address whose broadcast address the packet goes to, if
    /// this host itself sent it.
    fn broadcast_mask(&self) -> Option<Addr>;

    /// Whether packets to both addresses are handed to the same neighbour.
    fn same_next_hop(&self, one: Addr, other: Addr) -> bool;

    /// Whether packets to this address leave by the interface that this packet leaves by.
    fn leaves_as_this(&self, addr: Addr) -> bool;
}
