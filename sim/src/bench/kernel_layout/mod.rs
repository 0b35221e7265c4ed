// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's layout and the kernel's work, written down plainly: what every ratio is a ratio
//! to.
//!
//! ```text
//!   bucket ─▶ expectation ⇄ expectation      232 bytes each, from an object cache
//!   master ─▶ extension ─▶ expectation       296 bytes and 128
//!   jiffy  ─▶ expectation ⇄ expectation      a wheel of five levels, a look at every jiffy
//! ```
//!
//! What v3.9 does on one CPU is done here, verb by verb, with nothing around it: references
//! counted, the helper, the namespace and the zone reached through the master, counters, the
//! question whether anybody listens, a queue of grace periods whose callbacks run in batches.
//! Locks vanish, as they do on one CPU.
//!
//! The rule that matters: it must be as fast as the C it stands for.
//! `sim/benches/README.md` puts its instruction counts beside those of the compiled C file.

mod objects;
mod timers;
mod wheel;

use std::cell::Cell;

use nfexp_model::kernel::hash::{jhash2, scale};

use super::deed::{Deed, Deeds, Table, expired, listed};
use objects::{
    Addr, Conn, Expect, Ext, Function, HNode, Helper, Link, Mask, Net, Slot, Tuple, add_head, del,
};
pub(super) use timers::KernelTimers;
use wheel::Base;
pub(super) use wheel::with_slack;

const EBUSY: u64 = 16;
const EMFILE: u64 = 24;
const ESHUTDOWN: u64 = 108;
const INACTIVE: u32 = 2;
const PERMANENT: u32 = 1;
const CONFIRMED: u64 = 8;
/// `nf_conntrack_hash_rnd`.
const RND: u32 = 0x5eed;
/// How many deeds may pass before the RCU softirq runs.
const RCU_BATCH: u32 = 32;

/// Where the objects lie; what points at them borrows it.
#[derive(Debug)]
pub struct Memory<'a> {
    table: Table,
    net: Net<'a>,
    base: Base<'a>,
    helper: Helper,
    heads: Box<[Slot<'a>]>,
    expects: Box<[Expect<'a>]>,
    exts: std::cell::OnceCell<Box<[Ext<'a>]>>,
    conns: std::cell::OnceCell<Box<[Conn<'a>]>>,
}

impl Memory<'_> {
    /// Room for the table, nothing in it.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let room = table.room as usize + 2 * RCU_BATCH as usize;
        Self {
            table,
            net: Net::default(),
            base: Base::new(START),
            helper: Helper { policies: [(table.max_expected, table.lifetime); 4] },
            heads: (0..table.buckets).map(|_| Slot::default()).collect(),
            expects: (0..room).map(|_| Expect::default()).collect(),
            exts: std::cell::OnceCell::new(),
            conns: std::cell::OnceCell::new(),
        }
    }
}

/// Five minutes before the wrap of 2^64, as the kernel has it before that of 2^32.
pub(super) const START: u64 = 0_u64.wrapping_sub(300);

/// The table, the masters and the wheel.
#[derive(Debug)]
pub struct KernelLayout<'a> {
    memory: &'a Memory<'a>,
    conns: &'a [Conn<'a>],
    /// The object cache: what was freed last comes first.
    freelist: Link<'a>,
    /// The callbacks that wait, and the end of their list.
    waiting: Slot<'a>,
    tail: Option<&'a Slot<'a>>,
    jiffies: u64,
    deeds: u32,
    /// What the callbacks of one `advance` add up to.
    sum: u64,
}

#[inline(always)]
fn lnode<'a>(exp: &'a Expect<'a>) -> &'a HNode<'a> {
    &exp.lnode
}

#[inline(always)]
fn hnode<'a>(exp: &'a Expect<'a>) -> &'a HNode<'a> {
    &exp.hnode
}

impl<'a> KernelLayout<'a> {
    /// Masters that expect nothing yet.
    ///
    /// # Panics
    /// If the memory is somebody's already.
    #[must_use]
    pub fn new(memory: &'a Memory<'a>) -> Self {
        let table = memory.table;
        memory.base.init();
        let exts = (0..table.masters).map(|_| Ext::new(&memory.helper)).collect();
        memory.exts.set(exts).expect("nobody's memory");
        let exts = memory.exts.get().expect("just set");
        let conns = exts.iter().zip(0..).map(|(ext, number)| Conn::new(number, &memory.net, ext));
        memory.conns.set(conns.collect()).expect("nobody's memory");
        let conns = memory.conns.get().expect("just set");
        let mut freelist = None;
        for exp in memory.expects.iter().rev() {
            exp.lnode.next.set(freelist);
            freelist = Some(exp);
        }
        Self {
            memory,
            conns,
            freelist,
            waiting: Slot::default(),
            tail: None,
            jiffies: START,
            deeds: 0,
            sum: 0,
        }
    }

    // ---- memory --------------------------------------------------------------------------

    /// `nf_ct_expect_alloc()`.
    #[inline(always)]
    fn alloc(&mut self, master: &'a Conn<'a>) -> &'a Expect<'a> {
        let exp = self.freelist.expect("room for some more than the limit");
        self.freelist = exp.lnode.next.get();
        exp.master.set(Some(master));
        exp.uses.set(1);
        exp
    }

    /// `nf_ct_expect_put()`.
    #[inline(always)]
    fn put(&mut self, exp: &'a Expect<'a>) {
        let uses = exp.uses.get() - 1;
        exp.uses.set(uses);
        if uses == 0 {
            self.call_rcu(exp, Self::free_rcu);
        }
    }

    #[inline(always)]
    fn call_rcu(&mut self, exp: &'a Expect<'a>, func: Function<'a>) {
        exp.rcu_func.set(Some(func));
        exp.rcu_next.set(None);
        match self.tail {
            Some(tail) => tail.set(Some(exp)),
            None => self.waiting.set(Some(exp)),
        }
        self.tail = Some(&exp.rcu_next);
    }

    fn free_rcu(&mut self, exp: &'a Expect<'a>) {
        exp.lnode.next.set(self.freelist);
        self.freelist = Some(exp);
    }

    fn rcu_softirq(&mut self) {
        let mut next = self.waiting.take();
        self.tail = None;
        while let Some(exp) = next {
            next = exp.rcu_next.get();
            let func = exp.rcu_func.get().expect("call_rcu() set it");
            func(self, exp);
        }
    }

    #[inline(always)]
    fn softirq(&mut self) {
        self.deeds += 1;
        if self.deeds == RCU_BATCH {
            self.deeds = 0;
            self.rcu_softirq();
        }
    }

    // ---- lookups -------------------------------------------------------------------------

    /// `nf_ct_expect_dst_hash()`.
    #[inline(always)]
    fn head(&self, tuple: &Tuple) -> &'a Slot<'a> {
        let kind = u32::from(u16::from(tuple.proto) ^ tuple.l3) << 16;
        let initial = (kind | u32::from(tuple.dport.swap_bytes())) ^ RND;
        let bucket = scale(jhash2(&tuple.dst, initial), self.memory.table.buckets);
        &self.memory.heads[bucket as usize]
    }

    /// `__nf_ct_expect_find()`.
    #[inline]
    fn find(&self, tuple: &Tuple, zone: u16) -> Link<'a> {
        if self.memory.net.count.get() == 0 {
            return None;
        }
        let mut next = self.head(tuple).get();
        while let Some(exp) = next {
            if tuple.matches(&exp.tuple.get(), &exp.mask.get()) && master(exp).zone() == zone {
                return Some(exp);
            }
            next = exp.hnode.next.get();
        }
        None
    }

    /// `nf_ct_find_expectation()`.
    #[inline]
    fn find_expectation(&mut self, tuple: &Tuple, zone: u16) -> Link<'a> {
        if self.memory.net.count.get() == 0 {
            return None;
        }
        let mut next = self.head(tuple).get();
        let exp = loop {
            let exp = next?;
            if exp.flags.get() & INACTIVE == 0
                && tuple.matches(&exp.tuple.get(), &exp.mask.get())
                && master(exp).zone() == zone
            {
                break exp;
            }
            next = exp.hnode.next.get();
        };
        if master(exp).status.get() & CONFIRMED == 0 {
            return None;
        }
        if exp.flags.get() & PERMANENT != 0 {
            exp.uses.set(exp.uses.get() + 1);
            return Some(exp);
        }
        if self.memory.base.del_timer(&exp.timeout) {
            self.unlink(exp);
            return Some(exp);
        }
        None
    }

    // ---- insertion and removal -------------------------------------------------------------

    /// `nf_ct_unlink_expect_report()`.
    #[inline(always)]
    fn unlink(&mut self, exp: &'a Expect<'a>) {
        let conn = master(exp);
        let (help, net) = (conn.help().expect("a master has a helper"), conn.net);
        assert!(exp.timeout.entry.next.get().is_none(), "unlinked while its timer is pending");
        del(&exp.hnode, hnode);
        net.count.set(net.count.get() - 1);
        del(&exp.lnode, lnode);
        let expecting = &help.expecting[exp.class.get() as usize & 3];
        expecting.set(expecting.get().wrapping_sub(1));
        self.tell(exp);
        self.put(exp);
        add(&net.deleted);
    }

    /// `nf_ct_expect_event_report()`.
    #[inline(always)]
    fn tell(&mut self, exp: &'a Expect<'a>) {
        if let Some(listener) = master(exp).net.listener.get() {
            listener(self, exp);
        }
    }

    /// `nf_ct_expectation_timed_out()`.
    fn timed_out(&mut self, exp: &'a Expect<'a>) {
        self.sum = self.sum.wrapping_add(expired(master(exp).number, exp.tuple.get().dport));
        self.unlink(exp);
        self.put(exp);
    }

    /// Ends it unless its timer was faster.
    #[inline(always)]
    fn remove(&mut self, exp: &'a Expect<'a>) -> bool {
        let won = self.memory.base.del_timer(&exp.timeout);
        if won {
            self.unlink(exp);
            self.put(exp);
        }
        won
    }

    /// `evict_oldest_expect()`: walks the master's list to its end.
    fn evict_oldest(&mut self, conn: &'a Conn<'a>, newcomer: &'a Expect<'a>) {
        let mut last = None;
        let mut next = conn.help().expect("asked before").expectations.get();
        while let Some(exp) = next {
            if exp.class.get() == newcomer.class.get() {
                last = Some(exp);
            }
            next = exp.lnode.next.get();
        }
        if let Some(last) = last {
            self.remove(last);
        }
    }

    /// `__nf_ct_expect_check()`.
    #[inline]
    fn check(&mut self, expect: &'a Expect<'a>) -> u64 {
        let conn = master(expect);
        let Some(help) = conn.help() else { return ESHUTDOWN };
        let tuple = expect.tuple.get();
        let mut next = self.head(&tuple).get();
        while let Some(exp) = next {
            if matches(exp, expect) {
                if self.remove(exp) {
                    break;
                }
            } else if tuple.matches(&exp.tuple.get(), &expect.mask.get().intersect(&exp.mask.get()))
            {
                return EBUSY;
            }
            next = exp.hnode.next.get();
        }
        if let Some(helper) = help.helper.get() {
            let class = expect.class.get() as usize & 3;
            let (max, _) = helper.policies[class];
            if max != 0 && u32::from(help.expecting[class].get()) >= max {
                self.evict_oldest(conn, expect);
                if u32::from(help.expecting[class].get()) >= max {
                    return EMFILE;
                }
            }
        }
        if conn.net.count.get() >= self.memory.table.room { EMFILE } else { 0 }
    }

    /// `nf_ct_expect_insert()`.
    #[inline]
    fn insert_checked(&self, exp: &'a Expect<'a>) {
        let conn = master(exp);
        let (help, net) = (conn.help().expect("asked before"), conn.net);
        let head = self.head(&exp.tuple.get());
        exp.uses.set(exp.uses.get() + 2);
        let class = exp.class.get() as usize & 3;
        add_head(&help.expectations, exp, lnode);
        help.expecting[class].set(help.expecting[class].get().wrapping_add(1));
        add_head(head, exp, hnode);
        net.count.set(net.count.get() + 1);
        exp.timeout.entry.next.set(None);
        exp.timeout.entry.owner.set(Some(exp));
        exp.timeout.function.set(Some(Self::timed_out));
        exp.timeout.slack.set(-1);
        if let Some(helper) = help.helper.get() {
            let (_, timeout) = helper.policies[class];
            exp.timeout.expires.set(self.jiffies.wrapping_add(u64::from(timeout)));
        }
        self.memory.base.add_timer(&exp.timeout, self.jiffies);
        add(&net.created);
    }
}

/// Whose it is.
#[inline(always)]
fn master<'a>(exp: &'a Expect<'a>) -> &'a Conn<'a> {
    exp.master.get().expect("set by alloc()")
}

#[inline(always)]
fn add(counter: &Cell<u32>) {
    counter.set(counter.get().wrapping_add(1));
}

/// `expect_matches()`.
#[inline]
fn matches<'a>(a: &'a Expect<'a>, b: &'a Expect<'a>) -> bool {
    std::ptr::eq(master(a), master(b))
        && a.class.get() == b.class.get()
        && a.tuple.get().equals(&b.tuple.get())
        && a.mask.get() == b.mask.get()
        && master(a).zone() == master(b).zone()
}

/// `nf_ct_expect_init()`.
#[inline]
fn init(exp: &Expect<'_>, deed: Deed) {
    let [src, dst] = addresses(deed);
    let (src, mask) = if deed.source { (src, full(deed)) } else { Default::default() };
    exp.flags.set(if deed.inactive { INACTIVE } else { 0 });
    exp.class.set(u32::from(deed.class));
    exp.expectfn.set(0);
    exp.helper.set(None);
    exp.tuple.set(Tuple {
        src,
        sport: 0,
        l3: u16::from(deed.l3().number()),
        dst,
        dport: deed.ports.1,
        proto: 6,
        dir: 0,
    });
    exp.mask.set(Mask { src: mask, sport: 0 });
}

#[inline(always)]
fn full(deed: Deed) -> Addr {
    if deed.v6 { [u32::MAX; 4] } else { [u32::MAX, 0, 0, 0] }
}

#[inline(always)]
fn addresses(deed: Deed) -> [Addr; 2] {
    // As `Addr::words()` says, without the way through bytes.
    let words = |number: u32| match (deed.v6, number.swap_bytes()) {
        (false, word) => [word, 0, 0, 0],
        (true, word) => [0xfd00_0009_u32.swap_bytes(), 0, 0, word],
    };
    [words(deed.ends.0), words(deed.ends.1)]
}

/// A packet's tuple.
#[inline]
fn packet(deed: Deed) -> Tuple {
    let [src, dst] = addresses(deed);
    Tuple {
        src,
        sport: deed.ports.0,
        l3: u16::from(deed.l3().number()),
        dst,
        dport: deed.ports.1,
        proto: 6,
        dir: 0,
    }
}

impl Deeds for KernelLayout<'_> {
    fn insert(&mut self, deed: Deed) -> u64 {
        let exp = self.alloc(&self.conns[deed.master as usize]);
        init(exp, deed);
        let answer = self.check(exp);
        if answer == 0 {
            self.insert_checked(exp);
            self.tell(exp);
        }
        self.put(exp);
        self.softirq();
        answer
    }

    fn match_one(&mut self, deed: Deed) -> u64 {
        let Some(exp) = self.find_expectation(&packet(deed), 0) else { return 0 };
        let number = master(exp).number;
        add(&self.memory.net.new);
        self.put(exp);
        self.softirq();
        u64::from(number) + 1
    }

    fn lookup(&mut self, deed: Deed) -> u64 {
        // `nf_ct_expect_find_get()`.
        let Some(exp) = self.find(&packet(deed), 0) else { return 0 };
        if exp.uses.get() == 0 {
            return 0;
        }
        exp.uses.set(exp.uses.get() + 1);
        let number = master(exp).number;
        self.put(exp);
        u64::from(number) + 1
    }

    fn advance(&mut self, ticks: u32) -> u64 {
        self.jiffies = self.jiffies.wrapping_add(u64::from(ticks));
        self.sum = 0;
        let base = &self.memory.base;
        while (self.jiffies.wrapping_sub(base.timer_jiffies.get()) as i64) >= 0 {
            let head = base.turn();
            while let Some(exp) = base.take_first(head) {
                let function = exp.timeout.function.get().expect("add_timer() wants one");
                function(self, exp);
                self.softirq();
            }
        }
        self.sum
    }

    fn destroy(&mut self, master: u32) -> u64 {
        // `nf_ct_remove_expectations()`.
        let Some(help) = self.conns[master as usize].help() else { return 0 };
        let mut next = help.expectations.get();
        while let Some(exp) = next {
            next = exp.lnode.next.get();
            self.remove(exp);
            self.softirq();
        }
        0
    }

    fn list(&mut self) -> u64 {
        let (mut sum, mut place) = (0_u64, 0);
        for head in &self.memory.heads {
            let mut next = head.get();
            while let Some(exp) = next {
                sum = sum.wrapping_add(listed(place, master(exp).number, exp.tuple.get().dport));
                place += 1;
                next = exp.hnode.next.get();
            }
        }
        sum
    }

    fn live(&self) -> u64 {
        u64::from(self.memory.net.count.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_deed() {
        for v6 in [false, true] {
            let deed = Deed { v6, ends: (0x0102_0304, 0xa0b0_c0d0), ..Deed::default() };
            assert_eq!(addresses(deed), deed.addresses().map(|addr| addr.words()));
        }
    }
}
