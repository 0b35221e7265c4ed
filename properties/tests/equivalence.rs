// SPDX-License-Identifier: GPL-2.0-only
//! Two storages, one engine: the flat one of [`Up`] and the kernel's lists of [`UpLists`].
//!
//! *Equivalent*: the same random operations give the same answers, the same events in the same
//! order, the same timers in the same order, the same listings and counters, in every revision.
//! Operations collide on purpose: few destinations, four kinds of masks, two zones, two
//! namespaces, timers left firing, readers that hold, connections that end.
//!
//! The facts that the flat storage leans on stand in `theorems.rs`.
//!
//! A few seconds by default; `NFEXP_OPERATIONS=10000000 cargo test --release -p nfexp-properties
//! --test equivalence` is the deep run.

use std::collections::BTreeSet;

use nfexp_model::ahead::{Ahead, Coming};
use nfexp_model::conn::ConnRef;
use nfexp_model::event::{Cause, Event, ExpectEventKind};
use nfexp_model::helper::Class;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Platform, Up, UpLists};
use nfexp_model::netns::NetId;
use nfexp_model::revision::Revision;
use nfexp_model::slip::Slip;
use nfexp_properties::collisions::{Draw, Op, World, run, tuple_and_mask};
use nfexp_properties::turns::Mutated;
use nfexp_properties::world;

fn operations(default: u64) -> u64 {
    let asked = std::env::var("NFEXP_OPERATIONS").ok();
    asked.map_or(default, |asked| asked.parse().expect("NFEXP_OPERATIONS: a number"))
}

/// The same operations on one destination: most name the source whole.
fn crowd(op: Op, draw: &mut Draw) -> Op {
    // IPv4, one address, one port, TCP.
    let random = op.random & !0x1f13 | 1 | 1 << 11 | draw.next() & 7 << 60;
    let whole = if op.random >> 18 & 7 == 0 { 0 } else { 3 << 13 };
    let what = if op.what.is_multiple_of(4) { 0 } else { op.what };
    Op { what, random: random | whole, ..op }
}

/// Compares two storages over so many operations; answers which ends were seen.
fn compare<A, B>(revision: Revision, total: u64) -> BTreeSet<Cause>
where
    A: Platform<Rcu = UpRcu>,
    B: Platform<Rcu = UpRcu>,
{
    let mut seen = BTreeSet::new();
    // Worlds of moderate age, so that a failure is near its seed.
    for seed in 0..total.div_ceil(20_000) {
        let hash_size = [3, 1, 16, 64][seed as usize % 4];
        let mut flat = World::<A>::new(revision, hash_size);
        let mut lists = World::<B>::new(revision, hash_size);
        let (mut number, mut begun) = (0, 0);
        run(seed, total.min(20_000), |op| {
            let (a, b) = (flat.apply(op), lists.apply(op));
            assert_eq!(a, b, "{} seed {seed}, operation {number}: {op:?}", revision.name);
            seen.extend(a.events.iter().filter_map(|event| match event {
                Event::Expect(event) => match event.kind {
                    ExpectEventKind::Destroy(cause) => Some(cause),
                    ExpectEventKind::New => {
                        begun = number;
                        None
                    }
                },
                Event::Conn(_) => None,
            }));
            number += 1;
        });
        assert!(begun + 2_000 > number, "seed {seed}: nothing happens since operation {begun}");
        assert_eq!(flat.engine.audit(), lists.engine.audit());
    }
    seen
}

#[test]
fn flat_storage_and_the_kernels_lists_are_equivalent() {
    for revision in Revision::ALL {
        let seen = compare::<Up, UpLists>(revision, operations(60_000));
        let every = [
            Cause::Match,
            Cause::Expiry,
            Cause::Eviction,
            Cause::Refresh,
            Cause::Unexpect,
            Cause::MasterGone,
            Cause::Flush,
        ];
        for cause in every {
            assert!(seen.contains(&cause), "{}: nothing ended by {cause:?}", revision.name);
        }
    }
}

/// Whatever is looked ahead at, and whether it comes or not, nothing changes.
#[test]
fn looking_ahead_changes_nothing() {
    for revision in Revision::ALL {
        let (mut ahead, mut plain) = (World::<Up>::new(revision, 4), World::<Up>::new(revision, 4));
        let mut told = [NetId(0), NetId(1)].map(Ahead::new);
        run(17, operations(60_000) / 10, |op| {
            let master = ahead.conns.get(op.which % ahead.conns.len().max(1)).map(ConnRef::id);
            let tuple = tuple_and_mask(op.random).0;
            let other = tuple_and_mask(op.random.rotate_left(21)).0;
            let class = Class::ALL[(op.random >> 32 & 3) as usize];
            let masters = master
                .into_iter()
                .flat_map(|master| [Coming::Announce(tuple, master, class), Coming::End(master)]);
            let coming = [Coming::Lookup(tuple), Coming::Match(other)].into_iter().chain(masters);
            let told = &mut told[usize::from(op.random >> 40 & 7 == 0)];
            let few = coming.cycle().skip(op.which % 3).take(op.which % 20);
            ahead.engine.fetch(told, few);
            assert_eq!(ahead.apply(op), plain.apply(op), "{}: {op:?}", revision.name);
        });
        assert_eq!(ahead.engine.audit(), plain.engine.audit());
    }
}

/// Many of one destination, with an index by source and without.
#[test]
fn a_crowd_at_one_destination_is_equivalent() {
    for revision in Revision::ALL {
        let (mut crowds, mut total) = (0, 0);
        for seed in 0..operations(60_000).div_ceil(20_000) {
            let mut flat = World::<Up>::new(revision, 3);
            let mut lists = World::<UpLists>::new(revision, 3);
            let mut draw = Draw(seed ^ 0xc0d);
            run(seed, 20_000, |op| {
                let op = crowd(op, &mut draw);
                assert_eq!(
                    flat.apply(op),
                    lists.apply(op),
                    "{} seed {seed}: {op:?}",
                    revision.name
                );
                crowds += u32::from(flat.engine.expect_count(NetId::INIT) > 20);
                total += 1;
            });
            assert_eq!(flat.engine.audit(), lists.engine.audit());
        }
        assert!(crowds > total / 100, "{}: {crowds} of {total}", revision.name);
    }
}

/// The broken world: a chain that appends where the kernel prepends.
#[test]
#[should_panic(expected = "operation")]
fn another_order_is_noticed() {
    world::with(Some(Slip::AppendsToBucket), || {
        compare::<Up, Mutated>(Revision::LINUX_3_9, 20_000);
    });
}
