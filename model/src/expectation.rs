// SPDX-License-Identifier: GPL-2.0-only
//! The expectation itself: a record of two cache lines.
//!
//! ```text
//!   line 1   generation · use · flags · hnext · tuple · which mask, class, zone · master
//!            all that a lookup needs
//!   line 2   hprev · list links · timer · helpers, … · a mask out of the ordinary · age · expires
//! ```
//!
//! Which part is protected by what stands at each field. Three parties may hold a reference:
//! the creator (from `alloc`), the table (from `insert`) and the pending timer (from `insert`);
//! `docs/lifetimes.md` walks through their ends.

use core::fmt;

use crate::conn::ConnId;
use crate::event::ExpectFn;
use crate::helper::{Class, HelperId};
use crate::kernel::Jiffies;
use crate::kernel::platform::{Plain, Platform, Word};
use crate::kernel::prefetch::prefetch;
use crate::kernel::slab::{Id, NULL, POISON, Record};
use crate::kernel::timer::{ArrayTimers, TimerBase};
use crate::netns::{NetId, Zone};
use crate::tuple::{Addr, L3, Mask, Proto, Tuple};

/// An expectation in one of its lives.
pub type ExpectId = Id<AnyExpectation>;

/// Stands for [`Expectation`] of any platform in an id.
#[derive(Debug)]
pub enum AnyExpectation {}

/// One counted reference to an expectation. Must be given back by
/// [`Engine::put`](crate::Engine::put).
#[must_use = "a reference must be put"]
#[derive(Debug, PartialEq, Eq)]
pub struct ExpectRef(pub(crate) ExpectId);

impl ExpectRef {
    /// Whom it refers to.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> ExpectId {
        self.0
    }
}

/// An announced connection (`struct nf_conntrack_expect`).
#[doc(alias = "nf_conntrack_expect")]
#[repr(C, align(128))]
pub struct Expectation<P: Platform> {
    /// The life this slot is in; odd while allocated.
    generation: P::Plain<u32>,
    /// `use`.
    pub(crate) uses: P::Word,
    /// Flags: written under the lock, read by anyone.
    pub(crate) flags: P::Word,
    /// RCU: published by `insert`.
    pub(crate) hnext: P::Word,
    /// Fixed before `insert`.
    key: P::Plain<Key>,
    /// Under the lock.
    pub(crate) hprev: P::Plain<u32>,
    /// Place among the expectations of its master and class, under the lock (`lnode`).
    pub(crate) older: P::Plain<u32>,
    pub(crate) newer: P::Plain<u32>,
    /// `timeout`: beside what its end reads, so that a timer that was taken off is told by one line.
    pub(crate) timer: <P::Timers as TimerBase<P>>::Node,
    /// Fixed before `insert`.
    rest: P::Plain<Rest>,
    /// The mask, where the key does not say it. Fixed before `insert`.
    mask: P::Plain<Mask>,
    /// When it was inserted, as a count of insertions; under the lock.
    pub(crate) age: P::Plain<u64>,
    /// `timeout.expires`.
    pub(crate) expires: <P::Timers as TimerBase<P>>::Expires,
}

/// All that tells whether a packet hits, and whose it is then.
#[derive(Clone, Copy)]
struct Key {
    tuple: Tuple,
    mask: MaskKind,
    class: Class,
    net: NetId,
    zone: Zone,
    /// The slot of the master; in which life, the rest says.
    master: u32,
}

/// Which part of the source matters, in the few ways helpers know.
#[derive(Clone, Copy, PartialEq, Eq)]
struct MaskKind(u8);

impl MaskKind {
    const ANY: Self = Self(0);
    const ADDRESS: Self = Self(1);
    const PORT: Self = Self(2);
    /// Another, which stands beside.
    const OTHER: Self = Self(4);

    #[inline]
    fn of(l3: L3, mask: &Mask) -> Self {
        let address = match mask.src.bits() {
            0 => Self::ANY,
            bits if bits == l3.address_mask() => Self::ADDRESS,
            _ => Self::OTHER,
        };
        let port = match mask.sport {
            0 => Self::ANY,
            0xffff => Self::PORT,
            _ => Self::OTHER,
        };
        let both = address.0 | port.0;
        if both & Self::OTHER.0 != 0 { Self::OTHER } else { Self(both) }
    }

    #[inline]
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The mask, where the kind says it.
    const fn mask(self, l3: L3) -> Mask {
        let src = if self.has(Self::ADDRESS) { l3.address_mask() } else { 0 };
        let sport = if self.has(Self::PORT) { 0xffff } else { 0 };
        Mask { src: Addr(src.to_ne_bytes()), sport }
    }
}

/// What only an end asks for.
#[derive(Clone, Copy)]
struct Rest {
    /// The life of the master.
    master: u32,
    creator: Option<HelperId>,
    assign_helper: Option<HelperId>,
    expectfn: Option<ExpectFn>,
    has_nat: bool,
    /// Whether the slot's translation is another than none, whoever left it.
    nat_lingers: bool,
}

/// What an expectation is about, beside its tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The connection that expects.
    pub master: ConnId,
    /// Its kind.
    pub class: Class,
    /// The namespace, for all its life.
    pub net: NetId,
    /// The zone its master had when it was initialised.
    pub zone: Zone,
    /// The helper that made it (`exp->helper` of new kernels): its master's at `init`.
    pub creator: Option<HelperId>,
    /// The helper its connection will be given (`exp->helper` of v3.9, `assign_helper` now).
    pub assign_helper: Option<HelperId>,
    /// What is called when its connection arrives.
    pub expectfn: Option<ExpectFn>,
    /// Whether it carries [`Nat`].
    pub has_nat: bool,
}

/// How the expected connection is to be translated; carried, reported, never applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nat {
    /// The original address (`saved_addr`).
    pub addr: Addr,
    /// The original port (`saved_proto`).
    pub port: u16,
    /// The direction it concerns (`dir`): 0 original, 1 reply.
    pub dir: u32,
}

impl<P: Platform> Expectation<P> {
    /// Whom it stands for.
    #[inline]
    pub fn tuple(&self) -> Tuple {
        self.key.get().tuple
    }

    /// Which part of the source matters.
    #[inline]
    pub fn mask(&self) -> Mask {
        let Key { tuple, mask, .. } = self.key.get();
        if mask == MaskKind::OTHER { self.mask.get() } else { mask.mask(tuple.l3) }
    }

    #[inline]
    pub(crate) fn set_key(&self, tuple: Tuple, mask: Mask) {
        let kind = MaskKind::of(tuple.l3, &mask);
        self.key.set(Key { tuple, mask: kind, ..self.key.get() });
        if kind == MaskKind::OTHER {
            self.mask.set(mask);
        }
    }

    /// Whether `tuple` is one it stands for.
    #[inline(always)]
    pub(crate) fn is_hit_by(&self, tuple: &Tuple) -> bool {
        self.has_destination_of(tuple) && self.is_hit_from(tuple)
    }

    /// The same of a tuple that goes where it is expected.
    #[inline(always)]
    pub(crate) fn is_hit_from(&self, tuple: &Tuple) -> bool {
        let key = self.key.get();
        key.mask == MaskKind::ANY || self.has_source_of(&key, tuple)
    }

    #[inline]
    fn has_source_of(&self, key: &Key, tuple: &Tuple) -> bool {
        if key.mask == MaskKind::OTHER {
            let mask = self.mask.get();
            return (tuple.src.bits() ^ key.tuple.src.bits()) & mask.src.bits() == 0
                && (tuple.sport ^ key.tuple.sport) & mask.sport == 0;
        }
        (!key.mask.has(MaskKind::PORT) || tuple.sport == key.tuple.sport)
            && (!key.mask.has(MaskKind::ADDRESS) || tuple.src.agrees(key.tuple.src, key.tuple.l3))
    }

    /// Whether it is expected where `tuple` goes.
    #[inline]
    pub(crate) fn has_destination_of(&self, tuple: &Tuple) -> bool {
        self.key.get().tuple.same_destination(tuple)
    }

    /// Its namespace.
    #[inline]
    pub fn net(&self) -> NetId {
        self.key.get().net
    }

    /// The connection that expects it.
    #[inline]
    pub fn master(&self) -> ConnId {
        Id::new(self.key.get().master, self.rest.get().master)
    }

    /// Its kind.
    #[inline]
    pub fn class(&self) -> Class {
        self.key.get().class
    }

    /// The zone its master had when it was made.
    #[inline]
    pub(crate) fn zone(&self) -> Zone {
        self.key.get().zone
    }

    /// Whether both stand for the same, under the same mask.
    #[inline]
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let (a, b) = (self.key.get(), other.key.get());
        a.tuple == b.tuple
            && a.mask == b.mask
            && (a.mask != MaskKind::OTHER || self.mask.get() == other.mask.get())
    }

    /// Everything else about it.
    #[inline]
    pub fn about(&self) -> About {
        let Key { class, net, zone, .. } = self.key.get();
        let Rest { creator, assign_helper, expectfn, has_nat, .. } = self.rest.get();
        let master = self.master();
        About { master, class, net, zone, creator, assign_helper, expectfn, has_nat }
    }

    #[inline]
    pub(crate) fn set_about(&self, about: About) {
        let About { master, class, net, zone, creator, assign_helper, expectfn, has_nat } = about;
        self.key.set(Key { class, net, zone, master: master.index(), ..self.key.get() });
        let (nat_lingers, master) = (self.rest.get().nat_lingers, master.generation());
        self.rest.set(Rest { master, creator, assign_helper, expectfn, has_nat, nat_lingers });
    }

    /// A new life under this master; what the last tenant left stays beside.
    #[inline]
    pub(crate) fn begin(&self, master: ConnId, net: NetId, zone: Zone, creator: Option<HelperId>) {
        self.key.set(Key { net, zone, master: master.index(), ..self.key.get() });
        self.rest.set(Rest { master: master.generation(), creator, ..self.rest.get() });
    }

    /// Whom it stands for and in which class; no helper, no function.
    #[inline]
    pub(crate) fn set_terms(&self, class: Class, tuple: Tuple, mask: Mask, has_nat: bool) {
        let kind = MaskKind::of(tuple.l3, &mask);
        if kind == MaskKind::OTHER {
            self.mask.set(mask);
        }
        let Key { net, zone, master, .. } = self.key.get();
        self.key.set(Key { tuple, mask: kind, class, net, zone, master });
        let (assign_helper, expectfn) = (None, None);
        self.rest.set(Rest { assign_helper, expectfn, has_nat, ..self.rest.get() });
    }

    /// Whether the slot's translation is another than none.
    #[inline]
    pub(crate) fn nat_lingers(&self) -> bool {
        self.rest.get().nat_lingers
    }

    pub(crate) fn set_nat_lingers(&self, nat_lingers: bool) {
        self.rest.set(Rest { nat_lingers, ..self.rest.get() });
    }

    /// Its flags at this moment.
    pub fn flags(&self) -> Flags {
        Flags(self.flags.load(crate::kernel::platform::Ordering::Relaxed))
    }

    /// Flags, as the holder of the lock sees them.
    #[inline]
    pub(crate) fn flags_locked(&self) -> Flags {
        Flags(self.flags.load_locked())
    }
}

impl<P: Platform<Timers = ArrayTimers>> Expectation<P> {
    /// The same record once more, for a snapshot.
    pub(crate) fn copied(&self) -> Self {
        Self {
            generation: P::Plain::new(self.generation.get()),
            uses: P::Word::new(self.uses.load_locked()),
            flags: P::Word::new(self.flags.load_locked()),
            hnext: P::Word::new(self.hnext.load_locked()),
            key: P::Plain::new(self.key.get()),
            hprev: P::Plain::new(self.hprev.get()),
            older: P::Plain::new(self.older.get()),
            newer: P::Plain::new(self.newer.get()),
            timer: self.timer.clone(),
            age: P::Plain::new(self.age.get()),
            expires: self.expires.clone(),
            rest: P::Plain::new(self.rest.get()),
            mask: P::Plain::new(self.mask.get()),
        }
    }
}

impl<P: Platform> Record for Expectation<P> {
    const NAME: &'static str = "expectation";
    type Tag = AnyExpectation;

    fn blank() -> Self {
        let (timer, expires) = P::Timers::blank();
        Self {
            generation: P::Plain::new(0),
            uses: P::Word::new(0),
            flags: P::Word::new(0),
            hnext: P::Word::new(NULL),
            key: P::Plain::new(Key::NONE),
            hprev: P::Plain::new(NULL),
            older: P::Plain::new(NULL),
            newer: P::Plain::new(NULL),
            timer,
            age: P::Plain::new(0),
            expires,
            rest: P::Plain::new(Rest::NONE),
            mask: P::Plain::new(Mask::ANY),
        }
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.generation.get()
    }

    #[inline]
    fn set_generation(&self, generation: u32) {
        self.generation.set(generation);
    }

    #[inline(always)]
    fn prefetch(&self) {
        prefetch(self);
        prefetch(&self.older);
    }

    fn poison(&self) {
        self.hnext.reset(POISON);
        self.hprev.set(POISON);
        self.key.set(Key::NONE);
        self.uses.reset(0);
        self.older.set(POISON);
        self.newer.set(POISON);
        self.age.set(u64::MAX);
        P::Timers::poison(&self.timer);
        self.flags.reset(0);
        self.rest.set(Rest::NONE);
        self.mask.set(Mask::ANY);
    }
}

impl<P: Platform> fmt::Debug for Expectation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expectation").field("tuple", &self.tuple()).finish_non_exhaustive()
    }
}

impl Key {
    const NONE: Self = Self {
        tuple: Tuple::NONE,
        mask: MaskKind::ANY,
        class: Class::DEFAULT,
        net: NetId(0),
        zone: Zone(0),
        master: NULL,
    };
}

impl Rest {
    const NONE: Self = Self {
        master: 0,
        creator: None,
        assign_helper: None,
        expectfn: None,
        has_nat: false,
        nat_lingers: false,
    };
}

/// What `nf_ct_expect_init()` is told: family, addresses, protocol and ports.
///
/// What is `None` may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expected {
    /// Address family.
    pub l3: L3,
    /// Source address.
    pub saddr: Option<Addr>,
    /// Destination address.
    pub daddr: Addr,
    /// Transport protocol.
    pub proto: Proto,
    /// Source port.
    pub sport: Option<u16>,
    /// Destination port.
    pub dport: u16,
}

impl Expected {
    /// The tuple and mask it makes, unused words of a short address cleared.
    ///
    /// # Source
    /// `nf_ct_expect_init()`, v3.9: memory of an earlier, longer address must not show.
    #[must_use]
    pub fn tuple_and_mask(&self) -> (Tuple, Mask) {
        // KERNEL: nf_ct_expect_init(), v3.9: every family but IPv4 is sixteen bytes long.
        let length = if self.l3 == L3::Ipv4 { L3::Ipv4.address_mask() } else { u128::MAX };
        // Masked as one number: the check reads it so, see [`Addr::v4`].
        let clear = |addr: Addr| Addr((addr.bits() & length).to_ne_bytes());
        let tuple = Tuple {
            src: self.saddr.map(clear).unwrap_or_default(),
            dst: clear(self.daddr),
            sport: self.sport.unwrap_or(0),
            dport: self.dport,
            l3: self.l3,
            proto: self.proto,
        };
        let mask = Mask::exact(self.l3, self.saddr.is_some(), self.sport.is_some());
        (tuple, mask)
    }
}

/// What most helpers say of an expectation, all at once
/// ([`Engine::announce`](crate::Engine::announce)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its kind.
    pub class: Class,
    /// Whom it stands for.
    pub tuple: Tuple,
    /// Which part of the source matters.
    pub mask: Mask,
    /// Its flags.
    pub flags: Flags,
    /// When it expires; a master with a helper overrules it.
    pub expires: Option<Jiffies>,
}

/// Flags of an expectation, as netlink numbers them; unknown bits are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// A match does not consume it.
    #[doc(alias = "NF_CT_EXPECT_PERMANENT")]
    pub const PERMANENT: Self = Self(1);
    /// It does not match yet.
    #[doc(alias = "NF_CT_EXPECT_INACTIVE")]
    pub const INACTIVE: Self = Self(2);
    /// A program in user space made it.
    #[doc(alias = "NF_CT_EXPECT_USERSPACE")]
    pub const USERSPACE: Self = Self(4);
    /// It is gone, and waits to be collected (since 7.2; never shown).
    #[doc(alias = "NF_CT_EXPECT_DEAD")]
    pub const DEAD: Self = Self(8);

    /// The named flags users see, in the order the kernel lists them.
    pub const NAMED: [(Self, &'static str); 3] = [
        (Self::PERMANENT, "PERMANENT"),
        (Self::INACTIVE, "INACTIVE"),
        (Self::USERSPACE, "USERSPACE"),
    ];

    /// No flag.
    pub const NONE: Self = Self(0);

    /// Whether all of `other` are set.
    #[inline]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for Flags {
    /// `PERMANENT,INACTIVE`, as `/proc` shows them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut delimiter = "";
        for (flag, name) in Self::NAMED {
            if self.has(flag) {
                write!(f, "{delimiter}{name}")?;
                delimiter = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#x})", self.0)
    }
}

/// How `a` and `b` stand to each other, for an insertion.
///
/// Would two expected things clash? They do if their tuples agree under the part of the source
/// that both masks look at.
///
/// # Source
/// `expect_clash()`, all revisions; the scope (zone, namespace) is the caller's.
#[doc(alias = "expect_clash")]
#[inline]
#[must_use]
pub fn clash(a: (&Tuple, &Mask), b: (&Tuple, &Mask)) -> bool {
    a.0.matches(b.0, &a.1.intersect(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Up;

    #[test]
    fn a_record_is_two_cache_lines_and_a_lookup_reads_one() {
        assert_eq!(size_of::<Expectation<Up>>(), 128);
        assert_eq!(core::mem::offset_of!(Expectation<Up>, hprev), 64);
    }

    #[test]
    fn an_address_leaves_no_trace_of_a_longer_one() {
        let garbage = Addr([0xaa; 16]);
        let expected = Expected {
            l3: L3::Ipv4,
            saddr: Some(garbage),
            daddr: garbage,
            proto: Proto::TCP,
            sport: None,
            dport: 1,
        };
        let (tuple, mask) = expected.tuple_and_mask();
        assert_eq!(tuple.src.words()[1..], [0; 3]);
        assert_eq!(tuple.dst.words()[1..], [0; 3]);
        assert_eq!(mask, Mask::exact(L3::Ipv4, true, false));
    }
}
