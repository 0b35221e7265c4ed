// SPDX-License-Identifier: GPL-2.0-only
//! The index of one CPU: by destination, without buckets.
//!
//! ```text
//!   hash(destination) ─▶ tags ─▶ newest ⇄ older ⇄ …     one list per destination
//! ```
//!
//! Only expectations of one destination can match, clash with or replace each other, so a walk
//! over a bucket and a walk over a destination decide the same. What a bucket is for else, the
//! order of a listing, is computed when somebody lists (`listing.rs`).
//!
//! The rule that matters: a kernel that *collects* on its way through a bucket
//! ([`Walk::Bucket`], 7.2) shows the bucket to the world, so there the chain stays.
//!
//! Why: `nfexp bench churn` and `miss`; the tags themselves are argued for in `tags.rs`.

use core::cell::{Cell, RefCell, RefMut};
use core::fmt;

use super::hlist::{Access, Chain, Index, IndexOf, Walk};
use super::listing::Listing;
use super::platform::{Plain, Platform, Word};
use super::slab::{NULL, Object, POISON, Record, Slab};
use super::sources::{Sources, WIDE};
use super::tags::{Place, Tags};
use crate::expectation::Expectation;
use crate::netns::NetId;
use crate::tuple::Tuple;

/// Marks a `prev` of the newest of its destination: the rest is its place among the tags, so
/// that an end need not look for it.
const HEAD: u32 = 1 << 31;
/// Beside that mark: the destination is wide (`sources.rs`).
const IS_WIDE: u32 = 1 << 30;
const MARKS: u32 = HEAD | IS_WIDE;

/// The index of the one-CPU platform.
pub struct Flat<P: Platform>(Kind<P>);

#[expect(clippy::large_enum_variant, reason = "there is one per table, not one per expectation")]
enum Kind<P: Platform> {
    Chain(Chain<P>),
    Tags(Tagged),
}

/// Newest by destination.
#[derive(Clone, Debug)]
struct Tagged {
    of: IndexOf,
    tags: RefCell<Tags>,
    sources: RefCell<Sources>,
    listing: Listing,
    /// What a lookup has to know before it begins.
    before: Cell<Before>,
    /// Whether it was made empty under expectations that believe to be in it.
    dangles: Cell<bool>,
    /// Whether an end has more to ask than where it stands: it dangles, or sources are known.
    odd: Cell<bool>,
    /// How many of the next insertions were told before.
    told: Cell<u32>,
}

/// What a lookup has to know before it begins, in one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing: the one before it found nothing, or nobody looked.
    Nothing,
    /// The one before it found something, so this one may, too: it asks for the handles at once
    /// with the tags (`nfexp bench hit/1M`: half as fast again). A lookup that finds nothing would
    /// fetch them in vain, and mostly they find nothing.
    Found,
    /// The memory went back.
    Freed,
}

/// Where a destination belongs.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Its hash; the bucket of a chain.
    hash: u64,
    /// The newest of it; a chain does not ask.
    first: u32,
}

impl<P: Platform> fmt::Debug for Flat<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Chain(chain) => chain.fmt(f),
            Kind::Tags(tagged) => tagged.fmt(f),
        }
    }
}

/// Spreads a destination over 64 bits.
#[inline(always)]
pub(super) fn hash(net: NetId, tuple: &Tuple) -> u64 {
    let [low, high] = tuple.dst.halves();
    // Of an IPv4 address only a quarter is there: the rest beside it.
    let rest = u64::from(tuple.dport) << 32
        | u64::from(tuple.proto.0) << 48
        | u64::from(tuple.l3.number()) << 56;
    fold(low ^ rest ^ 0xa076_1d64_78bd_642f, high ^ u64::from(net.0) ^ 0x8ebc_6af0_9c88_c6e3)
}

/// Both halves of a product.
#[inline(always)]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn is_at<P: Platform>(exp: &Expectation<P>, net: NetId, tuple: &Tuple) -> bool {
    exp.has_destination_of(tuple) && exp.net() == net
}

impl Tagged {
    /// The tags, for a search.
    #[inline(always)]
    fn searched(&self) -> RefMut<'_, Tags> {
        self.assert_not_freed();
        // Nobody asks within, and to have them alone takes half the steps of sharing them.
        self.tags.borrow_mut()
    }

    #[inline(always)]
    fn assert_not_freed(&self) {
        assert!(self.before.get() != Before::Freed, "the table was freed under the walk");
    }

    #[inline(always)]
    fn search_tuple<'a, P: Platform>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
    ) -> Option<Object<'a, Expectation<P>>> {
        // A copy that nobody borrows: it stays in registers.
        let tuple = *tuple;
        let hash = hash(net, &tuple);
        let tags = self.tags.borrow_mut();
        if self.before.get() != Before::Nothing {
            self.assert_not_freed();
            self.before.set(Before::Nothing);
            tags.prefetch_handles(hash);
        }
        let same = move |exp: &Expectation<P>| is_at(exp, net, &tuple);
        let first =
            tags.find(hash, move |index| Some(slab.object(index)).filter(|exp| same(exp)))?;
        if tags.are_far() {
            self.before.set(Before::Found);
        }
        if is_wide(&first) {
            return slab.follow(self.first_hit(slab, net, tuple, first.index));
        }
        Some(first)
    }

    #[inline(never)]
    fn first_hit<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        net: NetId,
        tuple: Tuple,
        newest: u32,
    ) -> u32 {
        self.sources.borrow().first_hit(slab, net, &tuple, newest)
    }

    /// Marks a destination that has become wide, and adds all of it to the sources.
    fn widen<P: Platform>(&self, slab: &Slab<P, Expectation<P>>, newest: u32) {
        let chain = || {
            let next = |index: &u32| Some(slab.at(*index).hnext.load_locked());
            core::iter::successors(Some(newest), next).take_while(|index| *index != NULL)
        };
        let head = &slab.at(newest).hprev;
        if head.get() & IS_WIDE != 0 {
            self.sources.borrow_mut().add(slab, newest);
        } else if chain().nth(WIDE).is_some() {
            head.set(head.get() | IS_WIDE);
            self.odd.set(true);
            chain().for_each(|index| self.sources.borrow_mut().add(slab, index));
        }
    }

    #[inline(always)]
    fn search_exp<'a, P: Platform>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        exp: &Expectation<P>,
        tuple: &Tuple,
    ) -> (Option<Object<'a, Expectation<P>>>, u64) {
        let hash = hash(net, tuple);
        // Its tuple is read where it lies: a copy would wait for its maker's stores.
        let is = |index| Some(slab.object(index)).filter(|linked| is_at(linked, net, &exp.tuple()));
        (self.searched().find_spot(hash, is), hash)
    }

    #[inline(always)]
    fn add_head<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        exp: Object<'_, Expectation<P>>,
        net: NetId,
        spot: Option<Spot>,
    ) {
        let mut tags = self.tags.borrow_mut();
        let (hash_here, found) = match spot {
            Some(Spot { hash, first: NULL }) => (hash, None),
            Some(Spot { hash, first }) => match still_first(slab.at(first)) {
                Some(true) => (hash, Some(first)),
                Some(false) => (hash, None),
                None => find_again(&tags, slab, net, &exp),
            },
            None => find_again(&tags, slab, net, &exp),
        };
        if let Some(newest) = found {
            let newest_exp = slab.at(newest);
            let place = newest_exp.hprev.get();
            tags.replace(Place::from_bits(place & !MARKS), exp.index);
            exp.hprev.set(place);
            exp.hnext.reset(newest);
            newest_exp.hprev.set(exp.index);
            self.widen(slab, exp.index);
        } else {
            if tags.is_full() {
                grow(&mut tags, slab);
            }
            exp.hprev.set(HEAD | tags.insert(hash_here, exp.index).bits());
            exp.hnext.reset(NULL);
        }
        self.listing.outdated();
    }

    #[inline(always)]
    fn del<P: Platform>(&self, slab: &Slab<P, Expectation<P>>, exp: Object<'_, Expectation<P>>) {
        let (next, prev) = (exp.hnext.load_locked(), exp.hprev.get());
        assert!(prev != POISON && prev != NULL, "hlist_del_rcu() of an expectation in no list");
        let stands = !self.odd.get() || self.stands(slab, exp, prev);
        if prev & HEAD != 0 {
            let place = Place::from_bits(prev & !MARKS);
            if stands {
                let mut tags = self.tags.borrow_mut();
                match next {
                    NULL => tags.remove(place, || hash(exp.net(), &exp.tuple())),
                    next => tags.replace(place, next),
                }
            }
        } else {
            slab.at(prev).hnext.reset(next);
        }
        if next != NULL {
            slab.at(next).hprev.set(prev);
        }
        exp.hprev.set(POISON);
    }
}

impl Tagged {
    /// What an end asks of an odd table: forgets it among the sources, and answers whether it
    /// stands where it believes to.
    #[cold]
    #[inline(never)]
    fn stands<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        exp: Object<'_, Expectation<P>>,
        prev: u32,
    ) -> bool {
        let mut sources = self.sources.borrow_mut();
        if !sources.is_empty() {
            sources.remove(&*exp, exp.index, || {
                // What is counted too often costs a walk, no answer.
                let newest = self.search_exp(slab, exp.net(), &exp, &exp.tuple()).0;
                !self.dangles.get()
                    && newest.is_some_and(|newest| newest.hprev.get() & IS_WIDE != 0)
            });
        }
        self.odd.set(self.dangles.get() || !sources.is_empty());
        let place = Place::from_bits(prev & !MARKS);
        !self.dangles.get() || self.tags.borrow().holds(place, exp.index)
    }
}

/// Whether this newest one is that of a wide destination.
#[inline(always)]
fn is_wide<P: Platform>(first: &Expectation<P>) -> bool {
    // The line of `next` was read already.
    first.hnext.load_locked() != NULL && first.hprev.get() & IS_WIDE != 0
}

/// Whether what was the newest of its destination still is, or was the only one and is gone;
/// `None` if others may have been behind it. What is unlinked keeps its `next`, and is not freed
/// while the lock is held.
#[inline]
fn still_first<P: Platform>(first: &Expectation<P>) -> Option<bool> {
    match first.hprev.get() {
        POISON => (first.hnext.load_locked() == NULL).then_some(false),
        prev => (prev & HEAD != 0).then_some(true),
    }
}

#[inline(never)]
fn find_again<P: Platform>(
    tags: &Tags,
    slab: &Slab<P, Expectation<P>>,
    net: NetId,
    exp: &Expectation<P>,
) -> (u64, Option<u32>) {
    let tuple = exp.tuple();
    let hash = hash(net, &tuple);
    (hash, tags.find(hash, |index| is_at(slab.at(index), net, &tuple).then_some(index)))
}

#[cold]
#[inline(never)]
fn grow<P: Platform>(tags: &mut Tags, slab: &Slab<P, Expectation<P>>) {
    let hash_of = |index| {
        let exp = slab.at(index);
        hash(exp.net(), &exp.tuple())
    };
    tags.grow(
        slab.capacity(),
        |index| slab.at(index).prefetch(),
        hash_of,
        |index, place| {
            let head = &slab.at(index).hprev;
            head.set(head.get() & IS_WIDE | HEAD | place.bits());
        },
    );
}

/// What a snapshot takes along (`snapshot.rs`).
impl<P: Platform> Flat<P> {
    pub(crate) fn copied(&self) -> Self {
        Self(match &self.0 {
            Kind::Chain(chain) => Kind::Chain(chain.copied()),
            Kind::Tags(tagged) => Kind::Tags(tagged.clone()),
        })
    }
}

/// What looking ahead reads (`ahead.rs`).
impl<P: Platform> Flat<P> {
    /// Where the destination of `tuple` would be.
    #[inline]
    pub(crate) fn spot(&self, net: NetId, tuple: &Tuple) -> u64 {
        match &self.0 {
            Kind::Chain(_) => 0,
            Kind::Tags(_) => hash(net, tuple),
        }
    }

    /// Fetches the tags of spots, and the handles if they are needed.
    #[inline]
    pub(crate) fn prefetch(&self, spots: impl Iterator<Item = u64>, handles: bool) {
        if let Kind::Tags(tagged) = &self.0 {
            let tags = tagged.tags.borrow();
            for spot in spots {
                tags.prefetch(spot);
                if handles {
                    tags.prefetch_handles(spot);
                }
            }
        }
    }

    /// So many of the next insertions were told.
    #[inline]
    pub(crate) fn set_told(&self, count: usize) {
        if let Kind::Tags(tagged) = &self.0 {
            tagged.told.set(count as u32);
        }
    }

    /// Whether the last lookup found something.
    #[inline]
    pub(crate) fn lookups_find(&self) -> bool {
        matches!(&self.0, Kind::Tags(tagged) if tagged.before.get() == Before::Found)
    }

    /// Whether a lookup that finds nothing reads only what is in the cache.
    #[inline]
    pub(crate) fn is_near(&self) -> bool {
        matches!(&self.0, Kind::Tags(tagged) if tagged.tags.borrow().are_near())
    }

    /// Who is probably at a spot.
    #[inline]
    pub(crate) fn candidate(&self, spot: u64) -> u32 {
        match &self.0 {
            Kind::Chain(_) => NULL,
            Kind::Tags(tagged) => tagged.tags.borrow().candidate(spot),
        }
    }
}

impl<P: Platform> Index<P> for Flat<P> {
    type Spot = Spot;

    fn new(of: IndexOf) -> Self {
        Self(match of.walk {
            Walk::Bucket => Kind::Chain(Chain::new(of)),
            Walk::Destination => Kind::Tags(Tagged {
                of,
                tags: RefCell::new(Tags::new()),
                sources: RefCell::new(Sources::new()),
                listing: Listing::new(of),
                before: Cell::new(Before::Nothing),
                dangles: Cell::new(false),
                odd: Cell::new(false),
                told: Cell::new(0),
            }),
        })
    }

    #[inline(always)]
    fn first<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        access: Access,
    ) -> Option<Object<'a, Expectation<P>>> {
        match &self.0 {
            // A call that is not compiled in would have it in memory for both: it gets a copy.
            Kind::Chain(chain) => chain.first(slab, net, &{ *tuple }, access),
            Kind::Tags(tagged) => tagged.search_tuple(slab, net, tuple),
        }
    }

    #[inline(always)]
    fn search<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        exp: &Expectation<P>,
        tuple: &Tuple,
    ) -> (Option<Object<'a, Expectation<P>>>, Spot) {
        match &self.0 {
            Kind::Chain(chain) => {
                let (first, bucket) = chain.search(slab, net, exp, &{ *tuple });
                (first, Spot { hash: u64::from(bucket), first: NULL })
            }
            Kind::Tags(tagged) => {
                let (first, hash) = tagged.search_exp(slab, net, exp, tuple);
                let Some(newest) = first else { return (None, Spot { hash, first: NULL }) };
                let spot = Spot { hash, first: newest.index };
                if is_wide(&newest) {
                    let sources = tagged.sources.borrow();
                    let rival = sources.first_rival(slab, net, exp, newest.index);
                    return (slab.follow(rival), spot);
                }
                (first, spot)
            }
        }
    }

    #[inline(always)]
    fn is_exact(&self) -> bool {
        matches!(self.0, Kind::Tags(_))
    }

    #[inline]
    fn next(&self, exp: &Expectation<P>, access: Access) -> u32 {
        match &self.0 {
            Kind::Chain(chain) => chain.next(exp, access),
            Kind::Tags(_) => exp.hnext.load_locked(),
        }
    }

    #[inline(always)]
    fn add_head(
        &self,
        slab: &Slab<P, Expectation<P>>,
        exp: Object<'_, Expectation<P>>,
        net: NetId,
        spot: Option<Spot>,
    ) {
        match &self.0 {
            Kind::Chain(chain) => {
                chain.add_head(slab, exp, net, spot.map(|spot| spot.hash as u32));
            }
            Kind::Tags(tagged) => tagged.add_head(slab, exp, net, spot),
        }
    }

    #[inline(always)]
    fn del(&self, slab: &Slab<P, Expectation<P>>, exp: Object<'_, Expectation<P>>) {
        match &self.0 {
            Kind::Chain(chain) => chain.del(slab, exp),
            Kind::Tags(tagged) => tagged.del(slab, exp),
        }
    }

    #[inline(always)]
    fn foresees(&self) -> bool {
        let Kind::Tags(tagged) = &self.0 else { return false };
        if !tagged.tags.borrow().are_far() {
            return false;
        }
        let told = tagged.told.get();
        tagged.told.set(told.saturating_sub(1));
        told == 0
    }

    #[inline(always)]
    fn foresee(&self, slab: &Slab<P, Expectation<P>>, net: NetId, tuple: &Tuple) {
        if let Kind::Tags(tagged) = &self.0 {
            let (tags, hash) = (tagged.tags.borrow(), hash(net, tuple));
            tags.prefetch_handles(hash);
            slab.at(tags.candidate(hash)).prefetch();
        }
    }

    #[inline]
    fn prefetch_linked(&self, exp: &Expectation<P>) {
        if let Kind::Tags(tagged) = &self.0
            && exp.hprev.get() & HEAD != 0
        {
            let place = Place::from_bits(exp.hprev.get() & !MARKS);
            tagged.tags.borrow().prefetch_place(place);
        }
    }

    fn buckets(&self) -> u32 {
        match &self.0 {
            Kind::Chain(chain) => chain.buckets(),
            Kind::Tags(tagged) => tagged.of.hash.buckets,
        }
    }

    fn bucket_first(&self, slab: &Slab<P, Expectation<P>>, bucket: u32, access: Access) -> u32 {
        match &self.0 {
            Kind::Chain(chain) => chain.bucket_first(slab, bucket, access),
            Kind::Tags(tagged) => {
                tagged.assert_not_freed();
                tagged.listing.bucket_first(slab, bucket)
            }
        }
    }

    fn bucket_next(&self, slab: &Slab<P, Expectation<P>>, index: u32, access: Access) -> u32 {
        match &self.0 {
            Kind::Chain(chain) => chain.bucket_next(slab, index, access),
            Kind::Tags(tagged) => tagged.listing.bucket_next(slab, index),
        }
    }

    fn walk<'a>(&self, slab: &'a Slab<P, Expectation<P>>, each: impl FnMut(&'a Expectation<P>)) {
        match &self.0 {
            Kind::Chain(chain) => chain.walk(slab, each),
            Kind::Tags(tagged) => {
                tagged.assert_not_freed();
                tagged.listing.walk(slab, each);
            }
        }
    }

    fn free(&self) {
        match &self.0 {
            Kind::Chain(chain) => chain.free(),
            Kind::Tags(tagged) => tagged.before.set(Before::Freed),
        }
    }

    fn clear(&self) {
        match &self.0 {
            Kind::Chain(chain) => chain.clear(),
            Kind::Tags(tagged) => {
                tagged.before.set(Before::Nothing);
                tagged.dangles.set(tagged.dangles.get() || !tagged.tags.borrow().is_empty());
                tagged.odd.set(tagged.dangles.get());
                tagged.tags.borrow_mut().clear();
                tagged.sources.borrow_mut().clear();
                tagged.listing.outdated();
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.0 {
            Kind::Chain(chain) => chain.bytes(),
            Kind::Tags(tagged) => tagged.tags.borrow().bytes() + tagged.sources.borrow().bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ConnRef;
    use crate::engine::{At, Config, Engine, MasterCheck};
    use crate::event::{Cause, Origin};
    use crate::helper::Class;
    use crate::kernel::Up;
    use crate::netns::Zone;
    use crate::revision::{Revision, TableScope};
    use crate::tuple::{Addr, L3, Mask, Proto};

    fn to(port: u16) -> Tuple {
        let dst = Addr::v4([47, 100, 189, 120]);
        Tuple { dst, dport: port, l3: L3::Ipv4, proto: Proto::UDP, ..Tuple::NONE }
    }

    fn announce(engine: &Engine<Up>, ct: &ConnRef, port: u16) {
        let exp = engine.alloc(At::default(), ct).expect("memory");
        let class = Class::ALL[usize::from(1 + port % 3)];
        engine.init_key(&exp, class, to(port), Mask::ANY);
        engine.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
        engine.put(exp);
    }

    /// One destination in two namespaces, whose hashes differ only where a table of one group does
    /// not look: they are two lists, and part when the table grows.
    #[test]
    fn namespaces_whose_tags_agree_are_told_apart() {
        let nets = [NetId(0), NetId(1)];
        let hashes = nets.map(|net| hash(net, &to(1)));
        let differ = hashes[0] ^ hashes[1];
        assert_eq!((differ as u32, differ >> 63), (0, 1), "{hashes:x?}: another destination does");
        let revision = Revision::LINUX_6_18;
        assert_eq!(revision.table, TableScope::Global);
        let config = Config { revision, netns: 2, ..Config::SMALL };
        let engine = Engine::<Up>::new(config).expect("memory");
        engine.pernet_init(nets[1]).expect("memory");
        let masters = nets.map(|net| {
            let reply = to(5060).inverse().expect("UDP answers");
            let ct = engine.alloc_conn(net, Zone(0), to(5060), reply).expect("memory");
            engine.attach(&ct, engine.helper_named("sip")).expect("memory");
            assert!(engine.confirm(At::default(), &ct, Origin::KERNEL));
            ct
        });
        let found = || {
            nets.map(|net| {
                let exp = engine.find_get(At::default(), net, Zone(0), &to(1))?;
                let of = engine.expectation_about(exp.id()).map(|about| about.net);
                engine.put(exp);
                of
            })
        };
        for ct in &masters {
            announce(&engine, ct, 1);
        }
        assert_eq!(found(), nets.map(Some));
        // More destinations than a group holds.
        (2..8).for_each(|port| announce(&engine, &masters[1], port));
        assert_eq!(found(), nets.map(Some));
        engine.lock().remove_expectations(At::default(), masters[1].id(), Cause::MasterGone);
        assert_eq!(found(), [Some(nets[0]), None]);
    }
}
