// SPDX-License-Identifier: GPL-2.0-only
//! Snapshots: what goes on from one is what would have gone on.
//!
//! * *It behaves as its original*: the same operations, done to both, are answered alike: results,
//!   events with their ids, timers, listings, counters, fingerprints.
//! * *It disturbs nobody*: whatever is done to a snapshot, the original is where it was.
//!
//! That equal fingerprints mean equal behaviour is asked where many histories lead to one situation:
//! `tests/states.rs`.

use nfexp_model::engine::{Config, Engine};
use nfexp_model::eviction::Oldest;
use nfexp_model::kernel::Up;
use nfexp_model::revision::Revision;
use nfexp_properties::collisions::{Draw, Op, World, fails, run};

fn ops(seed: u64, count: u64) -> Vec<Op> {
    let mut all = Vec::new();
    run(seed, count, |op| all.push(op));
    all
}

/// Goes its way in one world, and every now and then elsewhere in a snapshot of it: first another
/// way, then, in a second one that `late` says where to take, the same.
fn goes_its_way(revision: Revision, late: fn(&mut World<Up>)) {
    let mut draw = Draw(7);
    for seed in 0..6 {
        let mut world = World::<Up>::new(revision, [3, 1, 64][seed as usize % 3]);
        let mut snapshots = 0;
        for ops in ops(seed, 12_000).chunks(40) {
            let here = world.fingerprint();
            let mut same = world.fork();
            assert_eq!(same.fingerprint(), here, "another situation at once");
            late(&mut same);
            let mut other = world.fork();
            run(draw.next(), 20, |op| drop(other.apply(op)));
            assert_eq!(world.fingerprint(), here, "disturbed by its snapshot");
            for op in ops {
                let (a, b) = (world.apply(*op), same.apply(*op));
                assert_eq!(a, b, "{}: another answer to {op:?}", revision.name);
            }
            assert_eq!(world.fingerprint(), same.fingerprint(), "another situation at last");
            assert_eq!(world.engine.audit(), same.engine.audit());
            snapshots += u32::from(world.engine.expect_count(nfexp_model::netns::NetId::INIT) > 3);
        }
        assert!(snapshots > 50, "{snapshots} snapshots of more than nothing");
    }
}

#[test]
fn a_snapshot_behaves_as_its_original_and_disturbs_it_not() {
    for revision in Revision::ALL {
        goes_its_way(revision, |_| ());
    }
}

/// The broken world: a snapshot of a moment later.
#[test]
fn a_snapshot_of_another_moment_is_noticed() {
    for revision in Revision::ALL {
        fails("another", || {
            goes_its_way(revision, |world| run(5, 3, |op| drop(world.apply(op))));
        });
    }
}

/// An eviction of another's making cannot be copied.
#[test]
fn there_is_no_snapshot_with_another_eviction() {
    let engine = Engine::<Up>::with_eviction(Config::SMALL, Some(Box::new(Oldest)));
    assert!(engine.expect("memory").snapshot().is_none());
    assert!(Engine::<Up>::new(Config::SMALL).expect("memory").snapshot().is_some());
}
