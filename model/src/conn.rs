// SPDX-License-Identifier: GPL-2.0-only
//! The master's side: a connection, and the helper extension that lists what it expects.
//!
//! *Master*: a connection that expects others. *Confirmed*: its first packet got through, it is
//! in the table. *Dying*: it left the table and will never match again.
//!
//! The kernel keeps one list of a master's expectations, newest first. Here each class has its
//! own, with both ends known, so the oldest of a class is at hand; the kernel's list is their
//! merge by age ([`Engine::expectations_of`](crate::Engine::expectations_of)).
//!
//! The rule that matters: connections live in type-stable memory. A reader that came through an
//! expectation may find another connection there, so what it reads is a word, never plain.

use core::fmt;

use crate::helper::{HelperId, MAX_CLASSES};
use crate::kernel::platform::{Ordering, Plain, Platform, Word};
use crate::kernel::slab::{Id, NULL, Record};
use crate::kernel::timer::{ArrayTimers, TimerBase};
use crate::netns::NetId;
use crate::tuple::Tuple;

/// A connection in one of its lives.
pub type ConnId = Id<AnyConn>;

/// Stands for [`Conn`] of any platform in an id.
#[derive(Debug)]
pub enum AnyConn {}

/// One counted reference to a connection. Must be given back by
/// [`Engine::put_conn`](crate::Engine::put_conn).
#[must_use = "a reference must be put"]
#[derive(Debug, PartialEq, Eq)]
pub struct ConnRef(pub(crate) ConnId);

impl ConnRef {
    /// Whom it refers to.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> ConnId {
        self.0
    }
}

/// A connection (`struct nf_conn` with its helper extension).
#[doc(alias = "nf_conn")]
#[doc(alias = "nf_conn_help")]
#[repr(C, align(64))]
pub struct Conn<P: Platform> {
    generation: P::Word,
    /// `ct_general.use`.
    pub(crate) uses: P::Word,
    /// `status`.
    pub(crate) status: P::Word,
    /// `zone`: readers come here through `exp->master`.
    pub(crate) zone: P::Word,
    /// The helper extension: see [`Attached`]. RCU.
    pub(crate) helper: P::Word,
    /// Newest and oldest expectation of each class; under the lock (`help->expectations`).
    pub(crate) newest: [P::Plain<u32>; MAX_CLASSES],
    pub(crate) oldest: [P::Plain<u32>; MAX_CLASSES],
    /// How many of each class are linked: a byte, as in the kernel; under the lock.
    pub(crate) expecting: [P::Plain<u8>; MAX_CLASSES],
    /// The connection's own timer.
    pub(crate) timer: <P::Timers as TimerBase<P>>::Node,
    /// The rest: written before it is shared, or under the lock. Its namespace, which an
    /// insertion asks for, ends the first cache line.
    pub(crate) about: P::Plain<AboutConn>,
    pub(crate) expires: <P::Timers as TimerBase<P>>::Expires,
}

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct AboutConn {
    /// Its namespace.
    pub net: NetId,
    /// Whether its events are told (the event-cache extension).
    pub tells: bool,
    /// Whether it stands among those whose source was mapped (`IPS_SRC_NAT_DONE`).
    pub(crate) mapped: bool,
    /// The tuple of its first packet.
    pub original: Tuple,
    /// The tuple of the answer.
    pub reply: Tuple,
    /// The connection that announced it; holds a reference.
    pub master: Option<ConnId>,
    /// `mark`, inherited by announced connections.
    pub mark: u32,
    /// `secmark`, inherited too.
    pub secmark: u32,
}

/// A connection's helper extension, packed into a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// No extension: nothing can be expected (-ESHUTDOWN).
    Nothing,
    /// An extension without a helper.
    Extension,
    /// A helper.
    Helper(HelperId),
}

impl Attached {
    #[inline]
    pub(crate) const fn from_word(word: u32) -> Self {
        match word {
            0 => Self::Nothing,
            1 => Self::Extension,
            id => match HelperId::at((id - 2) as u16) {
                Some(helper) => Self::Helper(helper),
                None => Self::Extension,
            },
        }
    }

    #[inline]
    pub(crate) const fn to_word(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Extension => 1,
            Self::Helper(id) => id.place() as u32 + 2,
        }
    }

    /// The helper, if there is one.
    #[inline]
    #[must_use]
    pub const fn helper(self) -> Option<HelperId> {
        match self {
            Self::Helper(id) => Some(id),
            _ => None,
        }
    }
}

/// Status bits of a connection (`enum ip_conntrack_status`).
#[doc(alias = "ip_conntrack_status")]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// It was announced.
    #[doc(alias = "IPS_EXPECTED")]
    pub const EXPECTED: Self = Self(1);
    /// Both directions were seen.
    #[doc(alias = "IPS_SEEN_REPLY")]
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// It is never dropped early.
    #[doc(alias = "IPS_ASSURED")]
    pub const ASSURED: Self = Self(1 << 2);
    /// Its first packet got through.
    #[doc(alias = "IPS_CONFIRMED")]
    pub const CONFIRMED: Self = Self(1 << 3);
    /// It left the table.
    #[doc(alias = "IPS_DYING")]
    pub const DYING: Self = Self(1 << 9);
    /// It is a template, never confirmed.
    #[doc(alias = "IPS_TEMPLATE")]
    pub const TEMPLATE: Self = Self(1 << 11);
    /// Its helper was assigned by a rule.
    #[doc(alias = "IPS_HELPER")]
    pub const HELPER: Self = Self(1 << 13);

    /// Whether all of `other` are set.
    #[inline]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl<P: Platform> Conn<P> {
    /// What stands in the zone of freed memory, as of another connection that moved in.
    pub const RECYCLED_ZONE: u32 = 2;
    /// The helper that stands there: the second one of the engine's table.
    const RECYCLED_HELPER: u32 = 3;

    /// Status bits, as anyone may read them.
    #[inline]
    pub fn status(&self) -> Status {
        Status(self.status.load_locked())
    }

    /// What it is about.
    #[inline]
    pub fn about(&self) -> AboutConn {
        self.about.get()
    }

    /// The helper extension, as the holder of the lock sees it.
    #[inline]
    pub(crate) fn attached(&self) -> Attached {
        Attached::from_word(self.helper.load_locked())
    }
}

impl<P: Platform<Timers = ArrayTimers>> Conn<P> {
    /// The same record once more, for a snapshot.
    pub(crate) fn copied(&self) -> Self {
        let word = |word: &P::Word| P::Word::new(word.load_locked());
        let links = |links: &[P::Plain<u32>; MAX_CLASSES]| {
            core::array::from_fn(|class| P::Plain::new(links[class].get()))
        };
        Self {
            generation: word(&self.generation),
            uses: word(&self.uses),
            status: word(&self.status),
            zone: word(&self.zone),
            helper: word(&self.helper),
            newest: links(&self.newest),
            oldest: links(&self.oldest),
            expecting: core::array::from_fn(|class| P::Plain::new(self.expecting[class].get())),
            timer: self.timer.clone(),
            expires: self.expires.clone(),
            about: P::Plain::new(self.about.get()),
        }
    }
}

impl AboutConn {
    pub(crate) const NONE: Self = Self {
        original: Tuple::NONE,
        reply: Tuple::NONE,
        net: NetId(0),
        master: None,
        mark: 0,
        secmark: 0,
        tells: false,
        mapped: false,
    };
}

impl<P: Platform> Record for Conn<P> {
    const NAME: &'static str = "connection";
    type Tag = AnyConn;

    fn blank() -> Self {
        let (timer, expires) = P::Timers::blank();
        Self {
            generation: P::Word::new(0),
            uses: P::Word::new(0),
            status: P::Word::new(0),
            zone: P::Word::new(0),
            helper: P::Word::new(0),
            newest: core::array::from_fn(|_| P::Plain::new(NULL)),
            oldest: core::array::from_fn(|_| P::Plain::new(NULL)),
            expecting: core::array::from_fn(|_| P::Plain::new(0)),
            timer,
            expires,
            about: P::Plain::new(AboutConn::NONE),
        }
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.generation.load_locked()
    }

    #[inline]
    fn set_generation(&self, generation: u32) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Type-stable memory stays readable: only what no reader may touch is overwritten.
    fn poison(&self) {
        self.about.set(AboutConn::NONE);
        for class in 0..MAX_CLASSES {
            self.newest[class].set(crate::kernel::slab::POISON);
            self.oldest[class].set(crate::kernel::slab::POISON);
            self.expecting[class].set(0);
        }
        P::Timers::poison(&self.timer);
        // Whoever still looks may find another connection: of another zone, with another helper.
        self.zone.store(Self::RECYCLED_ZONE, Ordering::Relaxed);
        self.helper.store(Self::RECYCLED_HELPER, Ordering::Relaxed);
    }
}

impl<P: Platform> fmt::Debug for Conn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Up;

    #[test]
    fn an_insertion_reads_one_line_of_the_master() {
        let about = core::mem::offset_of!(Conn<Up>, about);
        assert!(about + core::mem::offset_of!(AboutConn, net) + size_of::<NetId>() <= 64);
        assert_eq!(size_of::<Conn<Up>>(), 192);
    }
}
