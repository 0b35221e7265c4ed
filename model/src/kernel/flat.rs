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

use core::cell::{Cell, RefCell};
use core::fmt;

use super::hlist::{Access, Chain, Index, IndexOf, Walk};
use super::listing::Listing;
use super::platform::{Plain, Platform, Word};
use super::slab::{NULL, POISON, Slab};
use super::tags::Tags;
use crate::expectation::Expectation;
use crate::netns::NetId;
use crate::tuple::Tuple;

/// Marks a `prev`: the newest of its destination.
const HEAD: u32 = 1 << 31;

/// The index of the one-CPU platform.
pub struct Flat<P: Platform>(Kind<P>);

enum Kind<P: Platform> {
    Chain(Chain<P>),
    Tags(Tagged),
}

/// Newest by destination.
#[derive(Debug)]
struct Tagged {
    of: IndexOf,
    tags: RefCell<Tags>,
    listing: Listing,
    /// Whether the memory went back.
    freed: Cell<bool>,
    /// What was looked for last under the lock and not found, until something changes: whoever
    /// finds nothing in the way inserts.
    missed: Cell<Option<Missed>>,
}

#[derive(Clone, Copy, Debug)]
struct Missed {
    hash: u64,
    net: NetId,
    tuple: Tuple,
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
#[inline]
fn hash(net: NetId, tuple: &Tuple) -> u64 {
    let [low, high] = tuple.dst.halves();
    let rest = u64::from(tuple.dport)
        | u64::from(tuple.proto.0) << 16
        | u64::from(tuple.l3.number()) << 24
        | u64::from(net.0) << 32;
    let first = fold(low ^ 0xa076_1d64_78bd_642f, high ^ 0xe703_7ed1_a0b4_28db);
    fold(first ^ rest, 0x8ebc_6af0_9c88_c6e3)
}

/// Both halves of a product.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn is_at<P: Platform>(exp: &Expectation<P>, net: NetId, tuple: &Tuple) -> bool {
    exp.has_destination_of(tuple) && exp.net() == net
}

impl Tagged {
    #[inline]
    fn first<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        access: Access,
    ) -> u32 {
        assert!(!self.freed.get(), "the table was freed under the walk");
        let hash = hash(net, tuple);
        match self.tags.borrow().find(hash, |index| is_at(slab.at(index), net, tuple)) {
            Some((_, index)) => index,
            None => {
                if access == Access::Locked {
                    self.missed.set(Some(Missed { hash, net, tuple: *tuple }));
                }
                NULL
            }
        }
    }

    fn add_head<P: Platform>(&self, slab: &Slab<P, Expectation<P>>, index: u32, net: NetId) {
        let exp = slab.at(index);
        let tuple = exp.tuple();
        let mut tags = self.tags.borrow_mut();
        let missed = self.missed.take();
        let missed = missed.filter(|m| m.net == net && m.tuple.same_destination(&tuple));
        let (hash_here, found) = match missed {
            Some(Missed { hash, .. }) => (hash, None),
            None => {
                let hash = hash(net, &tuple);
                (hash, tags.find(hash, |index| is_at(slab.at(index), net, &tuple)))
            }
        };
        exp.hprev.set(HEAD);
        if let Some((place, newest)) = found {
            tags.replace(place, index);
            exp.hnext.reset(newest);
            slab.at(newest).hprev.set(index);
        } else {
            if tags.is_full() {
                tags.grow(slab.capacity(), |index| {
                    let exp = slab.at(index);
                    hash(exp.net(), &exp.tuple())
                });
            }
            tags.insert(hash_here, index);
            exp.hnext.reset(NULL);
        }
        self.listing.outdated();
    }

    fn del<P: Platform>(&self, slab: &Slab<P, Expectation<P>>, index: u32) {
        let exp = slab.at(index);
        let (next, prev) = (exp.hnext.load_locked(), exp.hprev.get());
        assert!(prev != POISON && prev != NULL, "hlist_del_rcu() of an expectation in no list");
        if prev == HEAD {
            let hash = hash(exp.net(), &exp.tuple());
            let mut tags = self.tags.borrow_mut();
            // Not there if the namespace ended and began again meanwhile.
            if let Some((place, _)) = tags.find(hash, |other| other == index) {
                match next {
                    NULL => tags.remove(hash, place),
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

impl<P: Platform> Index<P> for Flat<P> {
    fn new(of: IndexOf) -> Self {
        Self(match of.walk {
            Walk::Bucket => Kind::Chain(Chain::new(of)),
            Walk::Destination => Kind::Tags(Tagged {
                of,
                tags: RefCell::new(Tags::new()),
                listing: Listing::new(of),
                freed: Cell::new(false),
                missed: Cell::new(None),
            }),
        })
    }

    #[inline]
    fn first(
        &self,
        slab: &Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        access: Access,
    ) -> u32 {
        match &self.0 {
            Kind::Chain(chain) => chain.first(slab, net, tuple, access),
            Kind::Tags(tagged) => tagged.first(slab, net, tuple, access),
        }
    }

    #[inline]
    fn next(&self, slab: &Slab<P, Expectation<P>>, index: u32, access: Access) -> u32 {
        match &self.0 {
            Kind::Chain(chain) => chain.next(slab, index, access),
            Kind::Tags(_) => slab.at(index).hnext.load_locked(),
        }
    }

    #[inline]
    fn add_head(&self, slab: &Slab<P, Expectation<P>>, index: u32, net: NetId) {
        match &self.0 {
            Kind::Chain(chain) => chain.add_head(slab, index, net),
            Kind::Tags(tagged) => tagged.add_head(slab, index, net),
        }
    }

    #[inline]
    fn del(&self, slab: &Slab<P, Expectation<P>>, index: u32) {
        match &self.0 {
            Kind::Chain(chain) => chain.del(slab, index),
            Kind::Tags(tagged) => tagged.del(slab, index),
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
                assert!(!tagged.freed.get(), "the table was freed under the walk");
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

    fn free(&self) {
        match &self.0 {
            Kind::Chain(chain) => chain.free(),
            Kind::Tags(tagged) => tagged.freed.set(true),
        }
    }

    fn clear(&self) {
        match &self.0 {
            Kind::Chain(chain) => chain.clear(),
            Kind::Tags(tagged) => {
                tagged.freed.set(false);
                tagged.missed.set(None);
                tagged.tags.borrow_mut().clear();
                tagged.listing.outdated();
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.0 {
            Kind::Chain(chain) => chain.bytes(),
            Kind::Tags(tagged) => tagged.tags.borrow().bytes(),
        }
    }
}
