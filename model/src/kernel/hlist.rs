// SPDX-License-Identifier: GPL-2.0-only
//! The bucket index: where the expectations of a destination are found.
//!
//! ```text
//!   bucket 0 ──▶ newest ──▶ … ──▶ oldest ──▶ NULL      next: a pointer under RCU
//!   bucket 1 ──▶ NULL       ◀── prev ──                prev: plain, under the lock
//! ```
//!
//! [`Index`] is the seam: [`Chain`] is the kernel's own structure (`hlist_head` per bucket), what
//! readers on other CPUs need and loom explores. On one CPU [`Flat`](super::flat::Flat) stands
//! here and answers the same: candidates of a destination newest first, buckets in order.
//!
//! The rule that matters: an unlinked node keeps its `next`, because a reader may stand on it.

use core::fmt;

use super::hash;
use super::platform::{Ordering, Plain, Platform, Word};
use super::slab::{NULL, Object, POISON, Slab};
use crate::expectation::Expectation;
use crate::netns::NetId;
use crate::revision::HashKind;
use crate::slip::Slip;
use crate::tuple::Tuple;

/// Marks a `prev` that names a bucket instead of a node.
const BUCKET: u32 = 1 << 31;

/// How a tuple's destination becomes a bucket (`nf_ct_expect_dst_hash()`).
#[derive(Clone, Copy, Debug)]
pub struct DstHash {
    /// Which function.
    pub kind: HashKind,
    /// `nf_conntrack_hash_rnd` (its low half), or the SipHash key.
    pub seed: u64,
    /// `nf_ct_expect_hsize`.
    pub buckets: u32,
}

impl DstHash {
    /// The bucket of a tuple's destination.
    ///
    /// # Source
    /// `nf_ct_expect_dst_hash()`, v3.9 (jhash2) and 6.18 (siphash, with the namespace).
    #[doc(alias = "nf_ct_expect_dst_hash")]
    #[inline]
    #[must_use]
    pub fn bucket(&self, net: NetId, tuple: &Tuple) -> u32 {
        hash::scale(self.hash(net, tuple), self.buckets)
    }

    /// The hash before it is scaled.
    #[must_use]
    pub fn hash(&self, net: NetId, tuple: &Tuple) -> u32 {
        // The port as a little-endian machine reads it from the packet.
        let dport = tuple.dport.swap_bytes();
        let words = tuple.dst.words();
        match self.kind {
            HashKind::Jhash2 => {
                let kind = u32::from(tuple.proto.0 ^ tuple.l3.number());
                hash::jhash2(&words, (kind << 16 | u32::from(dport)) ^ self.seed as u32)
            }
            HashKind::Siphash => {
                let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
                let kind = u32::from(dport)
                    | u32::from(tuple.l3.number()) << 16
                    | u32::from(tuple.proto.0) << 24;
                let message =
                    [pair(words[0], words[1]), pair(words[2], words[3]), pair(net.mix(), kind)];
                hash::siphash24([self.seed, !self.seed], &message) as u32
            }
        }
    }
}

/// What of a table the world can see beside its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Lookups change nothing on their way: only the destination matters.
    Destination,
    /// Lookups collect whatever they meet in a bucket.
    Bucket,
}

/// What an index is made for.
#[derive(Clone, Copy, Debug)]
pub struct IndexOf {
    /// Which bucket a destination belongs to.
    pub hash: DstHash,
    /// What lookups show.
    pub walk: Walk,
    /// Whose expectations it holds; `None` for all namespaces'.
    pub net: Option<NetId>,
}

/// By what right a list is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The lock is held: nobody changes the list.
    Locked,
    /// Inside a read-side critical section: the list may change under the walk.
    Rcu,
}

/// The expectations by destination. A slot that is answered may be 0, for none.
pub trait Index<P: Platform>: Sized {
    /// Where a destination belongs, as a search with the lock held found it: good for its
    /// `add_head` as long as nothing else is added.
    type Spot: Copy;

    /// An empty index.
    fn new(of: IndexOf) -> Self;

    /// The newest candidate for the destination of `tuple`. Candidates may have other
    /// destinations too; all that have this one are among them.
    fn first<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        access: Access,
    ) -> Option<Object<'a, Expectation<P>>>;
    /// The same for the destination of an expectation that is not linked, with the lock held;
    /// and where it would go. `tuple` is its own: whoever has just said it has it in registers,
    /// where the record would wait for what was written to it.
    fn search<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        exp: &Expectation<P>,
        tuple: &Tuple,
    ) -> (Option<Object<'a, Expectation<P>>>, Self::Spot);
    /// Whether candidates have no other destination.
    fn is_exact(&self) -> bool;
    /// The next older candidate.
    fn next(&self, exp: &Expectation<P>, access: Access) -> u32;

    /// `hlist_add_head_rcu()`: publishes the expectation, whose tuple must not change any more.
    /// `spot` is where it belongs, if that is known.
    fn add_head(
        &self,
        slab: &Slab<P, Expectation<P>>,
        exp: Object<'_, Expectation<P>>,
        net: NetId,
        spot: Option<Self::Spot>,
    );
    /// `hlist_del_rcu()`.
    ///
    /// # Panics
    /// If the expectation is in no list.
    fn del(&self, slab: &Slab<P, Expectation<P>>, exp: Object<'_, Expectation<P>>);
    /// Fetches what will change when a linked one goes, for whoever looks ahead.
    #[inline(always)]
    fn prefetch_linked(&self, _exp: &Expectation<P>) {}

    /// Whether an insertion that comes now should foresee: what its search reads is probably not in
    /// the nearest caches, and nobody told it before.
    #[inline(always)]
    fn foresees(&self) -> bool {
        false
    }

    /// Fetches what a search for this destination will read.
    #[inline(always)]
    fn foresee(&self, _slab: &Slab<P, Expectation<P>>, _net: NetId, _tuple: &Tuple) {}

    /// How many buckets a listing goes through.
    fn buckets(&self) -> u32;
    /// The first expectation a listing shows of a bucket.
    fn bucket_first(&self, slab: &Slab<P, Expectation<P>>, bucket: u32, access: Access) -> u32;
    /// What the listing shows next within the bucket.
    fn bucket_next(&self, slab: &Slab<P, Expectation<P>>, index: u32, access: Access) -> u32;
    /// All that a listing shows, in its order, while nothing changes.
    fn walk<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        mut each: impl FnMut(&'a Expectation<P>),
    ) {
        for bucket in 0..self.buckets() {
            let mut index = self.bucket_first(slab, bucket, Access::Locked);
            while index != NULL {
                each(slab.at(index));
                index = self.bucket_next(slab, index, Access::Locked);
            }
        }
    }
    /// Overwrites every bucket: the memory goes back (`nf_ct_free_hashtable()`).
    fn free(&self);
    /// Makes every bucket empty (`nf_ct_alloc_hashtable()`).
    fn clear(&self);
    /// How many bytes it takes, beside what it keeps in each expectation.
    fn bytes(&self) -> usize;
}

/// The kernel's own index: an array of list heads.
pub struct Chain<P: Platform> {
    hash: DstHash,
    heads: Box<[P::Word]>,
}

impl<P: Platform> Chain<P> {
    #[inline]
    fn follow(word: &P::Word, access: Access) -> u32 {
        let to = match access {
            Access::Locked => word.load_locked(),
            Access::Rcu => P::rcu_dereference(word),
        };
        if to == POISON {
            poisoned();
        }
        to
    }

    /// The same heads once more, for a snapshot.
    pub(super) fn copied(&self) -> Self {
        let heads = self.heads.iter().map(|head| P::Word::new(head.load_locked()));
        Self { hash: self.hash, heads: heads.collect() }
    }

    /// `hlist_add_tail_rcu()`, which the kernel does not use here: behind `last` and its likes.
    fn add_tail(&self, slab: &Slab<P, Expectation<P>>, index: u32, mut last: u32) {
        loop {
            match Self::node(slab, last).0.load_locked() {
                NULL => break,
                next => last = next,
            }
        }
        let (next, prev) = Self::node(slab, index);
        next.store(NULL, Ordering::Relaxed);
        prev.set(last);
        P::rcu_assign_pointer(Self::node(slab, last).0, index);
    }

    fn node(slab: &Slab<P, Expectation<P>>, index: u32) -> (&P::Word, &P::Plain<u32>) {
        let expectation = slab.at(index);
        (&expectation.hnext, &expectation.hprev)
    }
}

impl<P: Platform> fmt::Debug for Chain<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("hash", &self.hash).finish_non_exhaustive()
    }
}

#[cold]
#[inline(never)]
fn poisoned() -> ! {
    panic!("followed a poisoned link: the list was freed under the walk")
}

impl<P: Platform> Index<P> for Chain<P> {
    /// The bucket.
    type Spot = u32;

    fn new(IndexOf { hash, .. }: IndexOf) -> Self {
        Self { hash, heads: (0..hash.buckets).map(|_| P::Word::new(NULL)).collect() }
    }

    #[inline(never)]
    fn first<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        tuple: &Tuple,
        access: Access,
    ) -> Option<Object<'a, Expectation<P>>> {
        slab.follow(self.bucket_first(slab, self.hash.bucket(net, tuple), access))
    }

    #[inline(never)]
    fn search<'a>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        net: NetId,
        _: &Expectation<P>,
        tuple: &Tuple,
    ) -> (Option<Object<'a, Expectation<P>>>, u32) {
        let bucket = self.hash.bucket(net, tuple);
        (slab.follow(self.bucket_first(slab, bucket, Access::Locked)), bucket)
    }

    #[inline(always)]
    fn is_exact(&self) -> bool {
        false
    }

    #[inline]
    fn next(&self, exp: &Expectation<P>, access: Access) -> u32 {
        Self::follow(&exp.hnext, access)
    }

    #[inline(never)]
    fn add_head(
        &self,
        slab: &Slab<P, Expectation<P>>,
        exp: Object<'_, Expectation<P>>,
        net: NetId,
        spot: Option<u32>,
    ) {
        let bucket = spot.unwrap_or_else(|| self.hash.bucket(net, &exp.tuple()));
        let head = &self.heads[bucket as usize];
        let (index, next, prev) = (exp.index, &exp.hnext, &exp.hprev);
        if P::slips(Slip::AppendsToBucket) && head.load_locked() != NULL {
            self.add_tail(slab, index, head.load_locked());
            return;
        }
        let first = head.load_locked();
        // ORDERING: relaxed: nobody can see the node before it is published below.
        next.store(first, Ordering::Relaxed);
        prev.set(BUCKET | bucket);
        P::rcu_assign_pointer(head, index);
        if first != NULL {
            Self::node(slab, first).1.set(index);
        }
    }

    #[inline(never)]
    fn del(&self, slab: &Slab<P, Expectation<P>>, exp: Object<'_, Expectation<P>>) {
        let (next, prev) = (&exp.hnext, &exp.hprev);
        let to = next.load_locked();
        let from = prev.get();
        assert!(from != POISON && from != NULL, "hlist_del_rcu() of an expectation in no list");
        if from & BUCKET != 0 {
            P::rcu_unlink_pointer(&self.heads[(from & !BUCKET) as usize], to);
        } else {
            P::rcu_unlink_pointer(Self::node(slab, from).0, to);
        }
        if to != NULL {
            Self::node(slab, to).1.set(from);
        }
        // INVARIANT: `next` stays: a reader that stands here finds its way out.
        if P::slips(Slip::DelPoisonsNext) {
            next.store(POISON, Ordering::Relaxed);
        }
        prev.set(POISON);
    }

    fn buckets(&self) -> u32 {
        self.hash.buckets
    }

    #[inline]
    fn bucket_first(&self, _: &Slab<P, Expectation<P>>, bucket: u32, access: Access) -> u32 {
        Self::follow(&self.heads[bucket as usize], access)
    }

    fn bucket_next(&self, slab: &Slab<P, Expectation<P>>, index: u32, access: Access) -> u32 {
        self.next(slab.at(index), access)
    }

    fn free(&self) {
        for head in &self.heads {
            head.reset(POISON);
        }
    }

    fn clear(&self) {
        for head in &self.heads {
            head.reset(NULL);
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::Proto;

    fn hash(ip: &str, proto: Proto, dport: u16, rnd: u64) -> (u32, u32) {
        let dst = ip.parse().expect("a literal address");
        let tuple = Tuple::new(proto, dst, 0, dst, dport);
        let hash = DstHash { kind: HashKind::Jhash2, seed: rnd, buckets: 512 };
        (hash.hash(NetId(0), &tuple), hash.bucket(NetId(0), &tuple))
    }

    /// Checked once against the kernel's header on a little-endian machine.
    #[test]
    fn the_hash_is_the_one_of_linux_3_9() {
        for (ip, proto, dport, plain, seeded) in [
            ("10.9.0.2", Proto::TCP, 21, (0xb538_1935, 362), (0xa8c7_f17d, 337)),
            ("192.168.1.10", Proto::UDP, 5060, (0x109c_3a60, 33), (0x622a_389c, 196)),
            ("fd00:9::2", Proto::TCP, 40001, (0xf000_c8e3, 480), (0x8206_3544, 260)),
        ] {
            assert_eq!(hash(ip, proto, dport, 0), plain, "{ip}");
            assert_eq!(hash(ip, proto, dport, 0x1234_5678), seeded, "{ip}");
        }
    }
}
