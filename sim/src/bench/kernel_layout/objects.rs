// SPDX-License-Identifier: GPL-2.0-only
//! The objects, each field where a 64-bit v3.9 has it, and the two kinds of lists.
//!
//! ```text
//!   HNode   next ─▶ object      pprev ─▶ whatever points here      hash chain, master's list
//!   Entry   next ⇄ prev         owner: the object                  timers; heads are entries
//! ```
//!
//! Links are references of eight bytes: following one is one load and nothing is checked.

use std::cell::Cell;

use super::KernelLayout;

/// A pointer to an expectation, or NULL.
pub(super) type Link<'a> = Option<&'a Expect<'a>>;
/// Where such a pointer stands.
pub(super) type Slot<'a> = Cell<Link<'a>>;

/// `struct hlist_node`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct HNode<'a> {
    pub(super) next: Slot<'a>,
    pub(super) pprev: Cell<Option<&'a Slot<'a>>>,
}

/// Puts `exp` first in the list at `head`.
#[inline(always)]
pub(super) fn add_head<'a>(
    head: &'a Slot<'a>,
    exp: &'a Expect<'a>,
    node: impl Fn(&'a Expect<'a>) -> &'a HNode<'a>,
) {
    let (this, first) = (node(exp), head.get());
    this.next.set(first);
    if let Some(first) = first {
        node(first).pprev.set(Some(&this.next));
    }
    head.set(Some(exp));
    this.pprev.set(Some(head));
}

/// Takes a node out of its list.
#[inline(always)]
pub(super) fn del<'a>(this: &'a HNode<'a>, node: impl Fn(&'a Expect<'a>) -> &'a HNode<'a>) {
    let (next, pprev) = (this.next.get(), this.pprev.take());
    pprev.expect("it is in a list").set(next);
    if let Some(next) = next {
        node(next).pprev.set(pprev);
    }
}

/// `struct list_head`, with whose it is in place of `container_of()`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Entry<'a> {
    pub(super) next: Cell<Option<&'a Self>>,
    pub(super) prev: Cell<Option<&'a Self>>,
    pub(super) owner: Cell<Link<'a>>,
}

/// What a timer calls.
pub(super) type Function<'a> = fn(&mut KernelLayout<'a>, &'a Expect<'a>);

/// `struct timer_list`; its `data` is the owner of the entry.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Timer<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) expires: Cell<u64>,
    base: u64,
    pub(super) function: Cell<Option<Function<'a>>>,
    pub(super) slack: Cell<i32>,
}

/// `union nf_inet_addr`: four words, compared one by one until two differ.
pub(super) type Addr = [u32; 4];

/// `struct nf_conntrack_tuple_mask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Mask {
    pub(super) src: Addr,
    pub(super) sport: u16,
}

impl Mask {
    /// What both look at.
    #[inline(always)]
    pub(super) fn intersect(&self, other: &Self) -> Self {
        let [a, b] = [self.src, other.src];
        let src = [a[0] & b[0], a[1] & b[1], a[2] & b[2], a[3] & b[3]];
        Self { src, sport: self.sport & other.sport }
    }
}

/// `nf_inet_addr_cmp()`.
#[inline(always)]
fn same(a: &Addr, b: &Addr) -> bool {
    a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3]
}

/// `struct nf_conntrack_tuple`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Tuple {
    pub(super) src: Addr,
    pub(super) sport: u16,
    pub(super) l3: u16,
    pub(super) dst: Addr,
    pub(super) dport: u16,
    pub(super) proto: u8,
    pub(super) dir: u8,
}

impl Tuple {
    /// `nf_ct_tuple_mask_cmp()`: the source first.
    #[inline(always)]
    pub(super) fn matches(&self, other: &Self, mask: &Mask) -> bool {
        (0..4).all(|word| (self.src[word] ^ other.src[word]) & mask.src[word] == 0)
            && (self.sport ^ other.sport) & mask.sport == 0
            && self.l3 == other.l3
            && self.proto == other.proto
            && same(&self.dst, &other.dst)
            && self.dport == other.dport
    }

    /// `nf_ct_tuple_equal()`.
    #[inline(always)]
    pub(super) fn equals(&self, other: &Self) -> bool {
        same(&self.src, &other.src)
            && self.sport == other.sport
            && self.l3 == other.l3
            && same(&self.dst, &other.dst)
            && self.dport == other.dport
            && self.proto == other.proto
    }
}

/// `struct nf_conntrack_expect`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Expect<'a> {
    /// In a free object, the next free one, as SLUB keeps it.
    pub(super) lnode: HNode<'a>,
    pub(super) hnode: HNode<'a>,
    pub(super) tuple: Cell<Tuple>,
    pub(super) mask: Cell<Mask>,
    pub(super) expectfn: Cell<u64>,
    pub(super) helper: Cell<Option<&'a Helper>>,
    pub(super) master: Cell<Option<&'a Conn<'a>>>,
    pub(super) timeout: Timer<'a>,
    pub(super) uses: Cell<u32>,
    pub(super) flags: Cell<u32>,
    pub(super) class: Cell<u32>,
    saved: [u32; 5],
    dir: u32,
    pub(super) rcu_next: Slot<'a>,
    pub(super) rcu_func: Cell<Option<Function<'a>>>,
}

/// `struct nf_conn`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Conn<'a> {
    pub(super) uses: Cell<u32>,
    lock: u32,
    tuplehash: [[u64; 7]; 2],
    pub(super) status: Cell<u64>,
    master: u64,
    timeout: [u64; 7],
    mark: [u32; 2],
    /// Which of the masters it is, for the checksum.
    pub(super) number: u32,
    pub(super) net: &'a Net<'a>,
    pub(super) ext: &'a Ext<'a>,
    proto: [u64; 9],
}

/// `struct nf_ct_ext` with the helper's, the event cache's and the zone's extension.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Ext<'a> {
    rcu: [u64; 2],
    pub(super) offset: Cell<[u8; 9]>,
    pub(super) help: Help<'a>,
    ecache: [u64; 4],
    pub(super) zone: Cell<u16>,
}

/// `struct nf_conn_help`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Help<'a> {
    pub(super) helper: Cell<Option<&'a Helper>>,
    pub(super) expectations: Slot<'a>,
    pub(super) expecting: [Cell<u8>; 4],
    data: [u32; 9],
}

/// `struct nf_conntrack_helper`, of which only the policies matter.
#[derive(Debug)]
pub(super) struct Helper {
    /// `max_expected` and `timeout` of each class.
    pub(super) policies: [(u32, u32); 4],
}

/// The part of `struct net` that expectations use.
#[derive(Debug, Default)]
pub(super) struct Net<'a> {
    pub(super) count: Cell<u32>,
    /// `nf_expect_event_cb`: nobody listens.
    pub(super) listener: Cell<Option<Function<'a>>>,
    pub(super) created: Cell<u32>,
    pub(super) deleted: Cell<u32>,
    pub(super) new: Cell<u32>,
}

/// Extension numbers: the helper's and the zone's.
pub(super) const HELPER: usize = 0;
pub(super) const ZONE: usize = 5;

impl<'a> Conn<'a> {
    /// A confirmed one.
    pub(super) fn new(number: u32, net: &'a Net<'a>, ext: &'a Ext<'a>) -> Self {
        Self {
            uses: Cell::new(1),
            lock: 0,
            tuplehash: [[0; 7]; 2],
            status: Cell::new(8),
            master: 0,
            timeout: [0; 7],
            mark: [0; 2],
            number,
            net,
            ext,
            proto: [0; 9],
        }
    }

    /// `nfct_help()`.
    #[inline(always)]
    pub(super) fn help(&self) -> Option<&'a Help<'a>> {
        (self.ext.offset.get()[HELPER] != 0).then_some(&self.ext.help)
    }

    /// `nf_ct_zone()`.
    #[inline(always)]
    pub(super) fn zone(&self) -> u16 {
        if self.ext.offset.get()[ZONE] == 0 { 0 } else { self.ext.zone.get() }
    }
}

impl<'a> Ext<'a> {
    pub(super) fn new(helper: &'a Helper) -> Self {
        let mut offset = [0; 9];
        (offset[HELPER], offset[ZONE]) = (32, 120);
        let help = Help {
            helper: Cell::new(Some(helper)),
            expectations: Slot::default(),
            expecting: [const { Cell::new(0) }; 4],
            data: [0; 9],
        };
        Self { rcu: [0; 2], offset: Cell::new(offset), help, ecache: [0; 4], zone: Cell::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_as_large_as_the_kernels() {
        assert_eq!(size_of::<Timer<'_>>(), 56);
        assert_eq!(size_of::<Expect<'_>>(), 232);
        assert_eq!(size_of::<Conn<'_>>(), 296);
        assert_eq!(size_of::<Ext<'_>>(), 128);
    }
}
