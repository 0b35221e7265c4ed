// SPDX-License-Identifier: GPL-2.0-only
//! What must hold whenever nobody holds the lock.
//!
//! *Census*: everything linked, counted in two ways: through the buckets and through the
//! masters' lists. *Violation*: an invariant found false, by name.
//!
//! The rule that matters: an audit only looks, and may run after every step of everything. It looks
//! at everything, though: who steps through a large table asks what one cost, and audits less often.

use core::fmt;
use std::collections::BTreeMap;

use crate::conn::ConnId;
use crate::engine::Engine;
use crate::expectation::clash;
use crate::helper::{Class, MAX_CLASSES};
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Plain, Platform, Word};
use crate::kernel::rcu::Rcu;
use crate::kernel::slab::NULL;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::netns::{NetId, Stats};
use crate::revision::{ClashScope, Expiry};

/// What an audit counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Linked expectations, of all namespaces.
    pub linked: u32,
    /// Allocated ones: linked, held, or waiting for readers.
    pub expectations: u32,
    /// Allocated connections.
    pub conns: u32,
    /// Linked ones whose timer has been detached and whose callback has not run.
    pub firing: u32,
}

/// An invariant found false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was found.
    pub found: String,
}

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// What must hold; from `ToldInOrder` on, [`watch`](crate::watch) finds it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Invariant {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Invariant {
            /// All, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

invariants! {
    /// Linked means: once in the bucket of its tuple and once in its master's list.
    LinkedOnce,
    /// `expect_count` is the number of linked expectations of the namespace.
    CountIsLinked,
    /// `expecting[class]` is the number of linked expectations of the class.
    ExpectingIsLinked,
    /// At least one reference for the table, and one for the pending or firing timer.
    ReferencesCovered,
    /// A linked expectation's master is alive.
    MasterAlive,
    /// No packet could hit two linked expectations.
    NoClash,
    /// Insertions minus removals is what is linked.
    CreatedMinusDeleted,
    /// A class holds at most what its policy says.
    ClassWithinLimit,
    /// An announced connection holds a reference to its master.
    ChildHoldsMaster,
    /// At the end, nothing is left allocated.
    NothingLeaks,
    /// Each life is told of by one NEW and then one DESTROY.
    ToldInOrder,
    /// What is linked is not inserted again.
    NotReinserted,
    /// Nothing linked points at a helper that went.
    NothingUnregistered,
    /// Whoever lists or looks up sees their own namespace and zone.
    ListsOwn,
    /// An announcement is refused for want of room only if there is none.
    RefusedOnlyIfFull,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.found)
    }
}

impl core::error::Error for Violation {}

fn violation<T>(invariant: Invariant, found: String) -> Result<T, Violation> {
    Err(Violation { invariant, found })
}

/// What was found in a master's list, by class.
type Lists = BTreeMap<(ConnId, Class), u32>;

/// An audit on its way.
#[derive(Default)]
struct Tally {
    census: Census,
    lists: Lists,
    looked: u64,
}

impl<P: Platform> Engine<P> {
    /// Counts everything and checks what must hold.
    ///
    /// # Errors
    /// The first invariant that does not.
    pub fn audit(&self) -> Result<Census, Violation> {
        self.audit_at_cost(&mut 0)
    }

    /// The same, and adds to `looked` at how many buckets, links and slots it looked: what it cost.
    ///
    /// # Errors
    /// As [`Engine::audit`].
    pub fn audit_at_cost(&self, looked: &mut u64) -> Result<Census, Violation> {
        let mut tally = Tally::default();
        let audited = self.audit_all(&mut tally);
        *looked += tally.looked;
        audited.map(|()| tally.census)
    }

    fn audit_all(&self, tally: &mut Tally) -> Result<(), Violation> {
        let _locked = self.lock();
        tally.census.expectations = self.memory.expectations.live();
        tally.census.conns = self.memory.conns.live();
        for net in (0..self.nets.len()).map(|net| NetId(net as u16)) {
            if self.net(net).alive.load_locked() != 0 {
                self.audit_net(net, tally)?;
            }
        }
        self.audit_lists(tally)?;
        self.audit_children(tally)
    }

    fn audit_net(&self, net: NetId, tally: &mut Tally) -> Result<(), Violation> {
        let (table, slab) = (self.table(net), &self.memory.expectations);
        let mut linked = 0;
        tally.looked += u64::from(table.buckets());
        for bucket in 0..table.buckets() {
            let mut index = table.bucket_first(slab, bucket, Access::Locked);
            let mut walked = 0;
            while index != NULL {
                walked += 1;
                tally.looked += 1;
                if walked > slab.capacity() {
                    return violation(Invariant::LinkedOnce, format!("bucket {bucket} is a ring"));
                }
                let about = slab.at(index).about();
                if about.net == net {
                    linked += 1;
                    *tally.lists.entry((about.master, about.class)).or_default() += 1;
                    let firing = self.audit_one(net, index, &mut tally.looked)?;
                    tally.census.firing += u32::from(firing);
                }
                index = table.bucket_next(slab, index, Access::Locked);
            }
        }
        tally.census.linked += linked;
        let count = self.net(net).count.load_locked();
        if count != linked {
            let found = format!("expect_count of {net:?} is {count}, {linked} are linked");
            return violation(Invariant::CountIsLinked, found);
        }
        let Stats { expect_create, expect_delete, .. } = self.stats(net);
        if expect_create.wrapping_sub(expect_delete) != linked {
            let found = format!("{expect_create} - {expect_delete} is not {linked} in {net:?}");
            return violation(Invariant::CreatedMinusDeleted, found);
        }
        Ok(())
    }

    /// One linked expectation; answers whether its timer is firing.
    fn audit_one(&self, net: NetId, index: u32, looked: &mut u64) -> Result<bool, Violation> {
        let slab = &self.memory.expectations;
        let (exp, id) = (slab.at(index), slab.id(index));
        let about = exp.about();
        if id.generation() & 1 == 0 {
            return violation(Invariant::LinkedOnce, format!("{id:?} is linked and free"));
        }
        if !self.memory.conns.is_live(about.master) {
            let found = format!("{id:?} is linked to the dead master {:?}", about.master);
            return violation(Invariant::MasterAlive, found);
        }
        let timers = self.config.revision.expiry == Expiry::Timer;
        let pending = self.timers.is_pending(&self.memory, TimerKey::expectation(index));
        let (uses, owed) = (exp.uses.load_locked(), if timers { 2 } else { 1 });
        if uses < owed {
            let found = format!("{id:?} has {uses} references, table and timer hold {owed}");
            return violation(Invariant::ReferencesCovered, found);
        }
        let (mut times, mut walked) = (0, 0);
        let table = self.table(net);
        let mut other = table.first(slab, net, &exp.tuple(), Access::Locked);
        while let Some(candidate) = other {
            *looked += 1;
            walked += 1;
            if walked > slab.capacity() {
                let found = format!("the bucket of {id:?} is a ring");
                return violation(Invariant::LinkedOnce, found);
            }
            let same = candidate.index == index;
            times += u32::from(same);
            if !same && !self.may_coexist(index, candidate.index, pending || !timers) {
                let found = format!("{id:?} and {:?} clash: {}", candidate.id(), exp.tuple());
                return violation(Invariant::NoClash, found);
            }
            other = slab.follow(table.next(&candidate, Access::Locked));
        }
        if times != 1 {
            let found = format!("{id:?} is {times} times in its bucket");
            return violation(Invariant::LinkedOnce, found);
        }
        Ok(timers && !pending)
    }

    /// Whether two linked expectations of one destination may both be there.
    fn may_coexist(&self, index: u32, other: u32, settled: bool) -> bool {
        let slab = &self.memory.expectations;
        let (a, b) = (slab.at(index), slab.at(other));
        let apart = a.net() != b.net()
            || (self.config.revision.clash_scope == ClashScope::SameZone
                && self.zone_of(a) != self.zone_of(b));
        let timers = self.config.revision.expiry == Expiry::Timer;
        let pending = self.timers.is_pending(&self.memory, TimerKey::expectation(other));
        // An equal one may stand beside one that is firing. What is over is collected before its
        // successor is linked.
        let both_settled = !timers || (settled && pending);
        apart || !both_settled || !clash((&a.tuple(), &a.mask()), (&b.tuple(), &b.mask()))
    }

    fn audit_lists(&self, tally: &mut Tally) -> Result<(), Violation> {
        let slab = &self.memory.expectations;
        tally.looked += u64::from(self.memory.conns.touched());
        for master in self.memory.conns.iter_live() {
            let conn = self.memory.conns.at(master.index());
            for class in Class::ALL {
                tally.looked += 1;
                let mut listed = 0;
                let (mut index, mut newer) = (conn.newest[class.index()].get(), NULL);
                while index != NULL && listed <= slab.capacity() {
                    let exp = slab.at(index);
                    if exp.newer.get() != newer || exp.about().master != master {
                        let found = format!("{:?} does not lead back to {newer}", slab.id(index));
                        return violation(Invariant::LinkedOnce, found);
                    }
                    listed += 1;
                    tally.looked += 1;
                    newer = index;
                    index = exp.older.get();
                }
                let linked = tally.lists.get(&(master, class)).copied().unwrap_or(0);
                if listed != linked || conn.oldest[class.index()].get() != newer {
                    let found = format!("{listed} listed of {master:?} {class:?}, {linked} linked");
                    return violation(Invariant::LinkedOnce, found);
                }
                self.audit_class(master, class, linked)?;
            }
        }
        Ok(())
    }

    fn audit_children(&self, tally: &mut Tally) -> Result<(), Violation> {
        let conns = &self.memory.conns;
        tally.looked += u64::from(conns.touched());
        let mut held = BTreeMap::new();
        for child in conns.iter_live() {
            let Some(master) = conns.at(child.index()).about().master else { continue };
            if !conns.is_live(master) {
                let found = format!("{child:?} is the child of {master:?}, which is gone");
                return violation(Invariant::ChildHoldsMaster, found);
            }
            *held.entry(master).or_insert(0) += 1;
        }
        for (master, children) in held {
            let uses = conns.at(master.index()).uses.load_locked();
            if uses < children {
                let found = format!("{master:?} has {children} children and {uses} references");
                return violation(Invariant::ChildHoldsMaster, found);
            }
        }
        Ok(())
    }

    fn audit_class(&self, master: ConnId, class: Class, linked: u32) -> Result<(), Violation> {
        debug_assert!(class.index() < MAX_CLASSES);
        let conn = self.memory.conns.at(master.index());
        let expecting = conn.expecting[class.index()].get();
        if u32::from(expecting) != linked % 256 {
            let found = format!("expecting {expecting} of {master:?} {class:?}, {linked} linked");
            return violation(Invariant::ExpectingIsLinked, found);
        }
        let helper = conn.attached().helper().map(|helper| self.helper(helper));
        let policy = helper.and_then(|helper| helper.policy(class));
        // A byte cannot hold a larger limit, which therefore never holds (before 4.12).
        let limit = policy.map(|policy| policy.max_expected).filter(|max| (1..=255).contains(max));
        if limit.is_some_and(|limit| linked > limit) {
            let found = format!("{linked} of {master:?} {class:?}, the policy says {limit:?}");
            return violation(Invariant::ClassWithinLimit, found);
        }
        Ok(())
    }

    /// The module goes: waits for the callbacks, then nothing may be left.
    ///
    /// # Errors
    /// If something is: somebody kept a reference.
    ///
    /// # Source
    /// `nf_conntrack_expect_fini()`, v3.9.
    #[doc(alias = "nf_conntrack_expect_fini")]
    #[doc(alias = "rcu_barrier")]
    pub fn fini(self) -> Result<Stats, Violation> {
        self.rcu.barrier(&self.memory);
        let (expectations, conns) = (self.memory.expectations.live(), self.memory.conns.live());
        if expectations + conns != 0 {
            let found = format!("{expectations} expectations and {conns} connections are left");
            return violation(Invariant::NothingLeaks, found);
        }
        let nets = (0..self.nets.len()).map(|net| self.stats(NetId(net as u16)));
        Ok(nets.fold(Stats::default(), Stats::plus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Attached;
    use crate::engine::{At, Config, MasterCheck};
    use crate::event::Origin;
    use crate::kernel::Up;
    use crate::netns::Zone;
    use crate::tuple::{L3, Mask, Proto, Tuple};

    fn world() -> (Engine<Up>, crate::conn::ConnRef, u32) {
        let engine = Engine::<Up>::new(Config::SMALL).expect("memory");
        let tuple = Tuple { l3: L3::Ipv4, proto: Proto::TCP, dport: 21, ..Tuple::NONE };
        let ct = engine.alloc_conn(NetId::INIT, Zone(0), tuple, tuple).expect("memory");
        engine.attach(&ct, engine.helper_named("ftp")).expect("memory");
        let exp = engine.alloc(At::default(), &ct).expect("memory");
        engine.init_key(&exp, Class::DEFAULT, tuple, Mask::ANY);
        engine.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
        let index = exp.id().index();
        engine.put(exp);
        (engine, ct, index)
    }

    /// One more of the master, under a helper whose class has room.
    fn another(engine: &Engine<Up>, ct: &crate::conn::ConnRef, tuple: Tuple, mask: Mask) {
        let of = |name| Attached::Helper(engine.helper_named(name).expect("in the tree")).to_word();
        engine.conn(ct.id()).helper.set(of("amanda"));
        let exp = engine.alloc(At::default(), ct).expect("memory");
        engine.init_key(&exp, Class::DEFAULT, tuple, mask);
        engine.related(At::default(), &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
        engine.put(exp);
        engine.conn(ct.id()).helper.set(of("ftp"));
    }

    #[test]
    fn a_sound_table_passes() {
        let (engine, ..) = world();
        let census = engine.audit().expect("nothing is wrong");
        assert_eq!((census.linked, census.expectations, census.firing), (1, 1, 0));
    }

    /// A library's user may tie one (`related_pair()` of one and the same): the audit ends.
    #[test]
    fn a_ring_is_told() {
        let config = Config { revision: crate::revision::Revision::LINUX_7_2, ..Config::SMALL };
        let engine = Engine::<Up>::new(config).expect("memory");
        let tuple = Tuple { l3: L3::Ipv4, proto: Proto::TCP, dport: 21, ..Tuple::NONE };
        let ct = engine.alloc_conn(NetId::INIT, Zone(0), tuple, tuple).expect("memory");
        engine.attach(&ct, engine.helper_named("ftp")).expect("memory");
        assert!(engine.confirm(At::default(), &ct, Origin::KERNEL));
        let exp = engine.alloc(At::default(), &ct).expect("memory");
        engine.init_key(&exp, Class::DEFAULT, tuple, Mask::ANY);
        let asked = (Origin::KERNEL, MasterCheck::Own);
        assert_eq!(engine.related_pair(At::default(), &exp, &exp, asked), Ok(()));
        let told = engine.audit().expect_err("it is linked twice");
        assert_eq!(told.invariant, Invariant::LinkedOnce, "{}", told.found);
    }

    /// Each invariant is false in a table with one thing cut, or when it ends.
    #[test]
    fn a_census_with_one_link_cut_is_noticed() {
        type Cut = fn(&Engine<Up>, &crate::conn::ConnRef, u32);
        let cuts: [(Invariant, Cut); 9] = [
            (Invariant::CountIsLinked, |engine, _, _| engine.nets[0].count.set(2)),
            (Invariant::CreatedMinusDeleted, |engine, _, _| {
                engine.nets[0].stats[0].set(Stats::default());
            }),
            (Invariant::ReferencesCovered, |engine, _, index| {
                engine.memory.expectations.at(index).uses.set(1);
            }),
            (Invariant::LinkedOnce, |engine, ct, _| engine.conn(ct.id()).newest[0].set(NULL)),
            (Invariant::ExpectingIsLinked, |engine, ct, _| {
                engine.conn(ct.id()).expecting[0].set(0);
            }),
            (Invariant::MasterAlive, |engine, ct, _| engine.memory.conns.free(ct.id().index())),
            (Invariant::NoClash, |engine, ct, index| {
                let word = Mask::exact(L3::Ipv4, false, true);
                let exp = engine.memory.expectations.at(index);
                exp.set_terms(Class::DEFAULT, Tuple { sport: 1, ..exp.tuple() }, word, false);
                another(engine, ct, Tuple { sport: 2, ..exp.tuple() }, word);
                exp.set_terms(Class::DEFAULT, Tuple { sport: 2, ..exp.tuple() }, word, false);
            }),
            (Invariant::ClassWithinLimit, |engine, ct, index| {
                let tuple = engine.memory.expectations.at(index).tuple();
                another(engine, ct, Tuple { dport: tuple.dport + 1, ..tuple }, Mask::ANY);
            }),
            (Invariant::ChildHoldsMaster, |engine, ct, index| {
                assert!(engine.confirm(At::default(), ct, Origin::KERNEL), "the table is empty");
                let (zone, tuple) = (Zone(0), engine.memory.expectations.at(index).tuple());
                let born =
                    engine.init_conntrack(At::default(), NetId::INIT, zone, tuple, tuple, true);
                assert!(born.expect("memory").announced.is_some(), "it was expected");
                engine.conn(ct.id()).uses.set(0);
            }),
        ];
        let is_audited = |invariant: &&Invariant| **invariant != Invariant::ToldInOrder;
        for invariant in Invariant::ALL.iter().take_while(is_audited) {
            let is_cut = cuts.iter().any(|(cut, _)| cut == invariant);
            assert!(
                is_cut || *invariant == Invariant::NothingLeaks,
                "{invariant:?}: expected a cut above that makes it false"
            );
        }
        for (invariant, cut) in cuts {
            let (engine, ct, index) = world();
            cut(&engine, &ct, index);
            let found = engine.audit().expect_err("one thing is cut");
            assert_eq!(found.invariant, invariant, "{found}");
        }
    }

    #[test]
    fn what_is_left_at_the_end_is_a_leak() {
        let (engine, ..) = world();
        let left = engine.fini().expect_err("one of each is left");
        assert_eq!(left.invariant, Invariant::NothingLeaks);
    }
}
