// SPDX-License-Identifier: GPL-2.0-only
//! Facts that a faster storage may lean on, because nobody can see the difference.
//!
//! 1. *The destination is exact*: `theorems_of_place.rs`.
//! 2. *One fits*: at most one linked expectation matches a packet.
//! 3. *All that decide agree*: what one linked expectation makes of an announcement (it is replaced,
//!    it is the answer, it clashes), no other contradicts, and no two are replaced; so those of one
//!    destination may be searched in any order.
//! 4. *What order is seen*: a master's end, the victim, what an announcement tells, what is skipped.
//! 5. and 6., of time: `theorems_of_time.rs`.
//!
//! Each is checked on random sequences for every revision, on the kernel's own lists in one bucket
//! and on what one CPU has instead; and each check fails in a world in which its premise does not
//! hold: a callback that waits, a slip, somebody who is told in another order.

use std::collections::BTreeMap;

use nfexp_model::conn::{ConnId, Status};
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::{Cause, Event, ExpectEvent, ExpectEventKind};
use nfexp_model::expectation::{ExpectId, Flags, clash};
use nfexp_model::helper::Class;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Platform, Ticks, Up, UpLists};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::{ClashScope, Duplicate, Expiry, MasterRef, Revision};
use nfexp_model::slip::Slip;
use nfexp_model::tuple::{Mask, Tuple};
use nfexp_properties::collisions::{
    Answer, Op, World, class, fails, master_check, place, run, tuple_and_mask,
};
use nfexp_properties::turns::Mutated;
use nfexp_properties::world;

/// That a check fails in the world with this slip.
fn fails_with(slip: Slip, why: &str, check: impl FnOnce()) {
    world::with(Some(slip), || fails(why, check));
}

// ---- what is linked -------------------------------------------------------------------------

/// What is known of a linked one, or of one that is about to be.
#[derive(Clone, Copy, Debug)]
struct Linked {
    tuple: Tuple,
    mask: Mask,
    master: ConnId,
    class: Class,
    at: (NetId, Zone),
    inactive: bool,
}

impl Linked {
    fn fits(&self, at: (NetId, Zone), packet: &Tuple) -> bool {
        self.at == at && packet.matches(&self.tuple, &self.mask)
    }
}

/// Who only hears the events: all that was told to begin and not to end, the oldest first.
#[derive(Default)]
struct Listener {
    linked: BTreeMap<u64, (ExpectId, Linked)>,
    born: BTreeMap<ExpectId, u64>,
}

impl Listener {
    fn hear(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let Event::Expect(event) = event else { continue };
            if event.kind == ExpectEventKind::New {
                let ExpectEvent { id, tuple, mask, master, class, net, zone, flags, .. } = event;
                let (at, inactive) = ((net, zone), flags.has(Flags::INACTIVE));
                let born = self.born.len() as u64;
                self.born.insert(id, born);
                self.linked.insert(born, (id, Linked { tuple, mask, master, class, at, inactive }));
            } else {
                self.linked.remove(&self.born[&event.id]);
            }
        }
    }

    /// All that is linked and not over, the oldest first.
    fn linked<P: Platform<Rcu = UpRcu>>(&self, world: &World<P>) -> Vec<(ExpectId, Linked)> {
        let collects = world.engine.config().revision.expiry == Expiry::Collected;
        let alive = self.linked.values().copied().filter(|&(id, _)| {
            let dead = world.engine.expectation(id).flags().has(Flags::DEAD);
            !collects || !dead && !world.now.time_after_eq(world.engine.timer(id).0)
        });
        alive.collect()
    }

    /// The callbacks that wait run, and are heard.
    fn late_callbacks<P: Platform<Rcu = UpRcu>>(&mut self, world: &mut World<P>) {
        world.late_callbacks();
        self.hear(std::iter::from_fn(|| world.engine.poll_event()));
    }
}

/// An operation about few destinations.
fn narrow(op: Op) -> Op {
    // One address, two ports.
    Op { random: op.random & !(1 << 4 | 3 << 9), ..op }
}

/// What ended, and why.
fn ends(answer: &Answer) -> impl Iterator<Item = (&ExpectEvent, Cause)> {
    answer.events.iter().filter_map(|event| match event {
        Event::Expect(event) => match event.kind {
            ExpectEventKind::Destroy(cause) => Some((event, cause)),
            ExpectEventKind::New => None,
        },
        Event::Conn(_) => None,
    })
}

// ---- 2: one fits ----------------------------------------------------------------------------

/// Of two that one packet fits, the second was refused or replaced the first.
fn one_fits<P: Platform<Rcu = UpRcu>>(revision: Revision, wait: bool) {
    let (mut world, mut listener) = (World::<P>::new(revision, 1), Listener::default());
    let mut fitted = 0;
    run(11, 40_000, |op| {
        let op = narrow(op);
        listener.hear(world.apply(op).events);
        if !wait {
            listener.late_callbacks(&mut world);
        }
        let (packet, _) = tuple_and_mask(op.random);
        let all = listener.linked(&world);
        let fitting = all.iter().filter(|(_, exp)| exp.fits(place(op), &packet)).count();
        assert!(fitting <= 1, "{}: {fitting} fit {packet:?}", revision.name);
        fitted += fitting;
    });
    assert!(fitted > 50, "{fitted} are too few");
}

#[test]
fn theorem_2_a_packet_fits_at_most_one() {
    for revision in Revision::ALL {
        one_fits::<UpLists>(revision, false);
        one_fits::<Up>(revision, false);
    }
}

/// A callback that waits leaves the old one linked beside the new one; an untested clash, all.
#[test]
fn theorem_2_fails_while_a_callback_waits() {
    for revision in Revision::ALL.into_iter().filter(|r| r.expiry == Expiry::Timer) {
        fails("fit", || one_fits::<UpLists>(revision, true));
        fails("fit", || one_fits::<Up>(revision, true));
    }
    let collects = Revision::LINUX_7_2;
    fails_with(Slip::ClashUntested, "fit", || one_fits::<Mutated>(collects, false));
}

/// The same by hand: the first was firing, so the order within a destination matters after all.
#[test]
fn a_packet_may_hit_two_while_a_callback_waits() {
    let mut world = World::<Up>::new(Revision::LINUX_3_9, 4);
    // The third helper, `irc`, may have more than one.
    world.connect(NetId::INIT, Zone(0), 2);
    let announcement = Op { what: 0, which: 0, random: 1 << 52 };
    let packet = tuple_and_mask(announcement.random).0;
    let mut listener = Listener::default();
    let mut hits = |world: &World<Up>| {
        listener.hear(std::iter::from_fn(|| world.engine.poll_event()));
        let all = listener.linked(world);
        all.iter().filter(|(_, exp)| exp.fits((NetId::INIT, Zone(0)), &packet)).count()
    };
    assert_eq!(world.announce(announcement), 1);
    world.now = world.now.after(Ticks(400 * 250));
    let firing = world.engine.expire(world.now).expect("its time is up");
    assert_eq!(world.announce(announcement), 1);
    assert_eq!(hits(&world), 2);
    world.engine.timed_out(world.at(), firing);
    assert_eq!(hits(&world), 1);
}

// ---- 3: all that decide agree ---------------------------------------------------------------------

/// What one linked expectation makes of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Replaced,
    Already,
    Clashes,
}

/// What `old` makes of the announcement of `new`.
fn verdict(
    revision: &Revision,
    old: &Linked,
    new: &Linked,
    masters: MasterCheck,
) -> Option<Verdict> {
    let ((net, zone), (other_net, other_zone)) = (old.at, new.at);
    if net != other_net || !clash((&old.tuple, &old.mask), (&new.tuple, &new.mask)) {
        return None;
    }
    let same_kind = old.master == new.master && old.class == new.class;
    let equal = (old.tuple, old.mask, zone) == (new.tuple, new.mask, other_zone);
    let answers = revision.duplicate == Duplicate::AnswerAlready;
    if equal && same_kind {
        Some(Verdict::Replaced)
    } else if equal && answers && (old.master == new.master || masters == MasterCheck::Skip) {
        Some(Verdict::Already)
    } else {
        let apart = revision.clash_scope == ClashScope::SameZone && zone != other_zone;
        (!apart).then_some(Verdict::Clashes)
    }
}

/// What this operation announces, if it does.
fn newcomer<P: Platform<Rcu = UpRcu>>(world: &World<P>, op: Op) -> Option<(Linked, MasterCheck)> {
    if op.what >= 80 || world.conns.is_empty() {
        return None;
    }
    let op = world.announced(op);
    let master = world.conns[op.which % world.conns.len()].id();
    let (tuple, mask) = tuple_and_mask(op.random);
    let at = (world.engine.conn(master).about().net, world.engine.place_of(master).1);
    let class = class(op);
    Some((Linked { tuple, mask, master, class, at, inactive: false }, master_check(op)))
}

/// The group of a destination may be searched in any order: whoever has a say says the same, at
/// most one is replaced, and that alone is the answer.
fn all_agree<P: Platform<Rcu = UpRcu>>(revision: Revision, wait: bool) {
    let (mut world, mut listener) = (World::<P>::new(revision, 1), Listener::default());
    let mut seen = [0; 4];
    run(19, 40_000, |op| {
        let op = narrow(op);
        if !wait {
            listener.late_callbacks(&mut world);
        }
        let Some((new, masters)) = newcomer(&world, op) else {
            listener.hear(world.apply(op).events);
            return;
        };
        let all = listener.linked(&world);
        let voices = all.iter().filter_map(|(_, old)| verdict(&revision, old, &new, masters));
        let voices: Vec<Verdict> = voices.collect();
        let agree = voices.len() <= 1 || voices.iter().all(|voice| *voice == Verdict::Clashes);
        assert!(agree, "{}: {voices:?} decide", revision.name);
        let answer = world.apply(op);
        listener.hear(answer.events.iter().copied());
        if answer.word == -12 {
            return;
        }
        let replaced = ends(&answer).any(|(_, cause)| cause == Cause::Refresh);
        let said = match answer.word {
            -16 => Some(Verdict::Clashes),
            -114 => Some(Verdict::Already),
            _ => replaced.then_some(Verdict::Replaced),
        };
        let voice = voices.first().copied();
        assert!(said == voice, "{}: {said:?} was said, {voice:?} decide", revision.name);
        seen[said.map_or(3, |verdict| verdict as usize)] += 1;
    });
    let already = revision.duplicate == Duplicate::AnswerAlready;
    assert!(seen[0] > 20 && seen[2] > 20 && (seen[1] > 2) == already, "{seen:?} are too few");
}

#[test]
fn theorem_3_at_most_all_agree() {
    for revision in Revision::ALL {
        all_agree::<UpLists>(revision, false);
        all_agree::<Up>(revision, false);
    }
}

/// What is firing equals the newcomer and does not go; where clashes go untested, many have a say.
#[test]
fn theorem_3_fails_while_a_callback_waits() {
    for revision in Revision::ALL {
        if revision.expiry == Expiry::Timer {
            fails("decide", || all_agree::<Up>(revision, true));
        }
        fails_with(Slip::ClashUntested, "decide", || all_agree::<Mutated>(revision, false));
    }
}

// ---- 4: what order is seen --------------------------------------------------------------------

/// What was seen of the order.
#[derive(Default)]
struct Seen {
    of_ends: u32,
    of_evictions: u32,
    in_vain: u32,
    inactive: u32,
}

impl Seen {
    /// A master's end: all its classes mixed, the newest first.
    fn check_ends_of_masters(&mut self, name: &str, listener: &Listener, answer: &Answer) {
        let mut last = BTreeMap::new();
        for (event, _) in ends(answer).filter(|(_, cause)| *cause == Cause::MasterGone) {
            let born = listener.born[&event.id];
            if let Some(earlier) = last.insert(event.master, born) {
                assert!(born < earlier, "{name}: order of a master's end");
                self.of_ends += 1;
            }
        }
    }

    /// An announcement: what it replaces, whom it evicts, and then itself; no eviction if it is
    /// refused for another, but one may be in vain. The victim is the oldest of the class.
    fn check_announcement(
        &mut self,
        name: &str,
        new: &Linked,
        before: &[(ExpectId, Linked)],
        answer: &Answer,
    ) {
        let stages = answer.events.iter().filter_map(|event| match event {
            Event::Expect(event) => match event.kind {
                ExpectEventKind::Destroy(Cause::Refresh) => Some(1),
                ExpectEventKind::Destroy(Cause::Eviction) => Some(2),
                ExpectEventKind::New => Some(3),
                ExpectEventKind::Destroy(_) => None,
            },
            Event::Conn(_) => None,
        });
        assert!(stages.is_sorted_by(|a, b| a < b), "{name}: order of an announcement");
        let replaced = ends(answer).find(|(_, cause)| *cause == Cause::Refresh);
        let replaced = replaced.map(|(event, _)| event.id);
        let evicted = ends(answer).find(|(_, cause)| *cause == Cause::Eviction);
        let Some((evicted, _)) = evicted else { return };
        assert!(![-16, -114].contains(&answer.word), "{name}: order of refusal and eviction");
        let mut class = before.iter().filter(|(id, old)| {
            (old.master, old.class) == (new.master, new.class) && Some(*id) != replaced
        });
        let oldest = class.next().map(|(id, _)| *id);
        assert!(oldest == Some(evicted.id), "{name}: order of eviction");
        self.of_evictions += 1;
        self.in_vain += u32::from(answer.word < 0);
    }

    /// A match skips what is inactive, and gives up at a master that is not confirmed (or, where
    /// it counts its master, is dying); a mere lookup does neither.
    fn check_lookup<P: Platform<Rcu = UpRcu>>(
        &mut self,
        world: &World<P>,
        op: Op,
        before: &[(ExpectId, Linked)],
        answer: &Answer,
    ) {
        let Revision { name, master_ref, .. } = world.engine.config().revision;
        let (packet, _) = tuple_and_mask(op.random);
        let fitting = before.iter().find(|(_, exp)| exp.fits(place(op), &packet));
        let expected = fitting.filter(|(_, exp)| {
            let status = world.engine.conn(exp.master).status();
            let counted = master_ref == MasterRef::Counted;
            op.what >= 120
                || !exp.inactive
                    && status.has(Status::CONFIRMED)
                    && !(counted && status.has(Status::DYING))
        });
        assert!(answer.id == expected.map(|(id, _)| *id), "{name}: order of a lookup");
        self.inactive += u32::from(expected.is_some_and(|(_, exp)| exp.inactive));
    }
}

/// Checks what order can be seen by whom `tell` tells it.
fn order_is_seen<P: Platform<Rcu = UpRcu>>(revision: Revision, tell: impl Fn(&mut Answer)) {
    let (mut world, mut listener) = (World::<P>::new(revision, 1), Listener::default());
    let (mut seen, name) = (Seen::default(), revision.name);
    run(23, 80_000, |op| {
        let op = narrow(op);
        listener.late_callbacks(&mut world);
        let (new, before) = (newcomer(&world, op), listener.linked(&world));
        let mut answer = world.apply(op);
        let told = answer.events.clone();
        tell(&mut answer);
        match (op.what, new) {
            (_, Some((new, _))) => seen.check_announcement(name, &new, &before, &answer),
            (80..150, _) => seen.check_lookup(&world, op, &before, &answer),
            _ => seen.check_ends_of_masters(name, &listener, &answer),
        }
        listener.hear(told);
    });
    let Seen { of_ends, of_evictions, in_vain, inactive } = seen;
    let least = of_ends.min(of_evictions).min(10 * in_vain).min(inactive);
    assert!(least > 9, "{of_ends}, {of_evictions}, {in_vain}, {inactive} are too few");
}

#[test]
fn theorem_4_the_order_that_is_seen() {
    for revision in Revision::ALL {
        order_is_seen::<UpLists>(revision, |_| ());
        order_is_seen::<Up>(revision, |_| ());
    }
}

#[test]
fn theorem_4_fails_in_another_order() {
    for revision in Revision::ALL {
        for slip in [Slip::EvictsNewest, Slip::EvictsAnyClass] {
            fails_with(slip, "order of eviction", || order_is_seen::<Mutated>(revision, |_| ()));
        }
        for slip in [Slip::MatchesInactive, Slip::MatchesUnconfirmed, Slip::ZoneIgnored] {
            fails_with(slip, "order of a lookup", || order_is_seen::<Mutated>(revision, |_| ()));
        }
        // A master's end told class by class, and an announcement told before its consequences.
        fails("order of a master's end", || {
            order_is_seen::<UpLists>(revision, |answer| {
                answer.events.sort_by_key(|event| match event {
                    Event::Expect(event) => event.class,
                    Event::Conn(_) => Class::DEFAULT,
                });
            });
        });
        fails("order of an announcement", || {
            order_is_seen::<UpLists>(revision, |answer| {
                answer.events.sort_by_key(|event| match event {
                    Event::Expect(event) => event.kind != ExpectEventKind::New,
                    Event::Conn(_) => false,
                });
            });
        });
    }
}

/// A linked expectation whose timer is pending has the zone its master has: a storage may keep it.
#[test]
fn a_pending_timer_vouches_for_the_zone() {
    let (mut world, mut listener) = (World::<Up>::new(Revision::LINUX_3_9, 4), Listener::default());
    let mut seen = 0;
    run(13, 4_000, |op| {
        listener.hear(world.apply(op).events);
        for (id, exp) in listener.linked(&world) {
            if world.engine.timer(id).1 {
                seen += 1;
                assert_eq!(world.engine.place_of(exp.master).1, exp.at.1);
            }
        }
    });
    assert!(seen > 1_000);
}
