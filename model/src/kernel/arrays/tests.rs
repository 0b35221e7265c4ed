// SPDX-License-Identifier: GPL-2.0-only
//! The arrays against the lists of `wheel.rs`, step by step.

use quickcheck::quickcheck;

use super::super::wheel::{Links, Owners as ListOwners, Wheel};
use super::*;

/// Timers that live in a vector, for both wheels.
#[derive(Default)]
struct Field(Vec<(Links, Cell<u32>, Cell<Jiffies>)>);

impl ListOwners for Field {
    fn links(&self, key: u32) -> &Links {
        &self.0[key as usize].0
    }
    fn expires(&self, key: u32) -> Jiffies {
        self.0[key as usize].2.get()
    }
}

impl Owners for &Field {
    fn stamp(&self, key: u32) -> &Cell<u32> {
        &self.0[key as usize].1
    }
    fn expires(&self, key: u32) -> Jiffies {
        self.0[key as usize].2.get()
    }
    fn prefetch(&self, _: u32) {}
}

/// Adds, deletes and waits; both wheels must say the same at every step.
fn agree(kind: WheelKind, deeds: &[(u8, u16, u8)]) -> bool {
    let mut field = Field::default();
    field.0.resize_with(deeds.len() + 1, Default::default);
    let mut now = Jiffies::initial(4);
    let lists = Wheel::new(kind, now, 250);
    let arrays = ArrayWheel::new(kind, now, 250);
    if deeds.len() % 2 == 1 {
        // On the way, stamps begin anew.
        arrays.stamp.set(u32::MAX - (deeds.len() / 4) as u32);
    }
    for (place, &(what, span, shift)) in deeds.iter().enumerate() {
        let span = u64::from(span) >> (what / 8 % 16) << (shift % 16);
        match what % 8 {
            0 => {
                let key = (span % deeds.len() as u64) as u32 + 1;
                if lists.del(&field, key) != arrays.del(&field, &field.0[key as usize].1, key) {
                    return false;
                }
            }
            1..4 => now = now.after(Ticks(span)),
            _ => {
                let (key, asked) = (place as u32 + 1, now.after(Ticks(span)));
                let expires = lists.add(&field, key, asked, now);
                field.0[place + 1].2.set(expires);
                if arrays.add(&field, &field.0[place + 1].1, key, asked, now) != expires {
                    return false;
                }
            }
        }
        loop {
            let ahead = now.after(Ticks(span));
            let quiet = arrays.is_quiet(ahead);
            let due = lists.next_expiry(&field);
            if arrays.next_expiry(&field) != due {
                return false;
            }
            if quiet && due.is_some_and(|due| !due.time_after(ahead)) {
                return false;
            }
            // Whoever came forward by itself is not asked, and must have nothing to answer.
            let answer =
                if arrays.forward(now) { None } else { arrays.expire(&field, now, |_, _| ()) };
            let fired = lists.expire(&field, now);
            if answer != fired {
                return false;
            }
            if fired.is_none() {
                break;
            }
        }
    }
    true
}

/// More deletions than a sweep waits for: first with many pending, then down to none; then
/// some that fire.
#[test]
fn what_is_swept_out_is_stale() {
    let (add, del, wait) = (4, 0, 1);
    let mut deeds: Vec<(u8, u16, u8)> = (0..500).map(|span| (add, 40 * span, 5)).collect();
    for place in (500..4_500).step_by(2) {
        deeds.extend([(add, place, 3), (del, place, 0)]);
    }
    deeds.extend((0..499).map(|key| (del, key, 0)));
    deeds.extend((0..100).map(|span| (add, 7 * span, 0)));
    deeds.extend([(wait, 1, 0); 800]);
    deeds.extend([(del, 499, 0)]);
    deeds.resize(1 << 13, (wait, 1, 4));
    assert!(agree(WheelKind::Cascading, &deeds) && agree(WheelKind::Levelled, &deeds));
}

/// A sweep while most of what is due waits for its turn, and stamps that begin anew then.
#[test]
fn what_is_left_by_a_sweep_while_it_fires_fires_after_it() {
    for (kind, anew) in [WheelKind::Cascading, WheelKind::Levelled]
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let mut field = Field::default();
        field.0.resize_with(1_003, Default::default);
        let start = Jiffies::initial(4);
        let (lists, arrays) = (Wheel::new(kind, start, 250), ArrayWheel::new(kind, start, 250));
        let add = |field: &mut Field, key: u32, span| {
            let (now, asked) = (start, start.after(Ticks(span)));
            let expires = lists.add(&*field, key, asked, now);
            field.0[key as usize].2.set(expires);
            let its_stamp = &field.0[key as usize].1;
            assert_eq!(arrays.add(&*field, its_stamp, key, asked, now), expires);
        };
        // Of each sixteen, one is not due yet.
        (1..=1_000).for_each(|key| add(&mut field, key, if key % 16 == 0 { 2_000 } else { 10 }));
        let fires = |field: &Field, span| {
            let now = start.after(Ticks(span));
            let (fired, listed) = (arrays.expire(field, now, |_, _| ()), lists.expire(field, now));
            assert_eq!(fired, listed, "{kind:?} {anew}");
            fired.is_some()
        };
        assert!((0..40).all(|_| fires(&field, 50)));
        assert!(arrays.left.get() > 0 && !arrays.due.borrow().is_empty());
        let del = |field: &Field, key| {
            let deleted = arrays.del(field, &field.0[key as usize].1, key);
            assert_eq!(deleted, lists.del(field, key), "{key}");
        };
        (1..=1_000).filter(|key| key % 8 != 0).for_each(|key| del(&field, key));
        for span in 1_000..3_000 {
            add(&mut field, 1_001, span);
            del(&field, 1_001);
        }
        assert!(arrays.stale.get() < 2_000, "swept on the way");
        if anew {
            arrays.stamp.set(u32::MAX);
        }
        add(&mut field, 1_002, 3_000);
        // Whoever is added again with the stamp it had before is not where it was then.
        for stamp in if anew { arrays.stamp.get() + 1..=1_000 } else { 0..=0 } {
            let waits = field.0[stamp as usize].1.get() != 0;
            let key = if waits { stamp } else { 1_001 };
            del(&field, key);
            add(&mut field, key, 4_000);
        }
        for span in [50, 6_000] {
            assert!(fires(&field, span), "something was left");
            while fires(&field, span) {}
        }
    }
}

quickcheck! {
    fn prop_arrays_fire_as_lists_when_cascading(deeds: Vec<(u8, u16, u8)>) -> bool {
        agree(WheelKind::Cascading, &deeds)
    }

    fn prop_arrays_fire_as_lists_when_levelled(deeds: Vec<(u8, u16, u8)>) -> bool {
        agree(WheelKind::Levelled, &deeds)
    }
}
