// SPDX-License-Identifier: GPL-2.0-only
//! What must hold in the course of things, where an [`audit`](crate::audit) sees only a moment.
//!
//! ```text
//!   events     ToldInOrder, NotReinserted     heard one by one
//!   answers    ListsOwn, RefusedOnlyIfFull    asked of whoever was just answered
//!   endings    NothingUnregistered            asked when a helper has gone
//! ```
//!
//! On one CPU an answer and the table that it is held against are of one moment. Where others act
//! meanwhile, only who holds the lock may ask.
//!
//! The rule that matters: a kernel's own bug is none of these. Who wants to show one asks with
//! [`Counting::Live`].

use std::collections::BTreeSet;

use crate::audit::{Invariant, Violation};
use crate::engine::{At, Engine};
use crate::error::RelateError;
use crate::event::{Event, ExpectEventKind};
use crate::expectation::{ExpectId, ExpectRef};
use crate::helper::HelperId;
use crate::kernel::hlist::{Access, Index};
use crate::kernel::platform::{Platform, Word};
use crate::kernel::slab::NULL;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::locked::Locked;
use crate::netns::{NetId, Zone};
use crate::revision::Expiry;

fn violation(invariant: Invariant, found: String) -> Result<(), Violation> {
    Err(Violation { invariant, found })
}

/// Hears events and knows which lives were begun and not ended.
///
/// # Invariants
/// NEW comes first, and not again before DESTROY; DESTROY comes once.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    linked: BTreeSet<ExpectId>,
}

impl Watch {
    /// Hears one event.
    ///
    /// # Errors
    /// If it comes out of order.
    pub fn hear(&mut self, event: &Event) -> Result<(), Violation> {
        let Event::Expect(event) = event else { return Ok(()) };
        let id = event.id;
        match event.kind {
            ExpectEventKind::New if !self.linked.insert(id) => {
                violation(Invariant::NotReinserted, format!("NEW of {id:?}, which is linked"))
            }
            ExpectEventKind::Destroy(_) if !self.linked.remove(&id) => {
                violation(Invariant::ToldInOrder, format!("DESTROY of {id:?} before its NEW"))
            }
            _ => Ok(()),
        }
    }

    /// Nothing is left: every NEW has had its DESTROY.
    ///
    /// # Errors
    /// One that has not.
    pub fn all_over(&self) -> Result<(), Violation> {
        self.linked.first().map_or(Ok(()), |id| {
            violation(Invariant::ToldInOrder, format!("{id:?} ended, and its DESTROY was not told"))
        })
    }
}

/// Which expectations count against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// All that are linked, as the kernel counts.
    Linked,
    /// Those that are not on their way out: not firing, not over, not taken back.
    Live,
}

impl<P: Platform> Engine<P> {
    /// Whether a whole listing of a namespace shows what is linked there, and no more.
    ///
    /// # Errors
    /// [`Invariant::ListsOwn`].
    pub fn audit_listing(&self, at: At, net: NetId, text: &str) -> Result<(), Violation> {
        let locked = self.lock();
        let own = locked
            .count_linked(net, |index| !self.is_over(at, self.memory.expectations.object(index)));
        let lines = text.lines().count();
        if lines == own as usize {
            return Ok(());
        }
        violation(Invariant::ListsOwn, format!("{lines} lines of {net:?}, {own} are linked there"))
    }

    /// Whether what a lookup found is of the namespace and the zone it looked in.
    ///
    /// # Errors
    /// [`Invariant::ListsOwn`].
    pub fn audit_found(&self, net: NetId, zone: Zone, found: &ExpectRef) -> Result<(), Violation> {
        let exp = self.expectation(found.id());
        // The zone is the master's, which the finder need not hold: asked only while it lives.
        let elsewhere = self.memory.conns.is_live(exp.master()) && self.zone_of(exp) != zone;
        if exp.net() == net && !elsewhere {
            return Ok(());
        }
        let place = (exp.net(), self.zone_of(exp));
        violation(Invariant::ListsOwn, format!("found in {:?}, is of {place:?}", (net, zone)))
    }

    /// Whether an announcement that was just refused for want of room had none.
    ///
    /// # Errors
    /// [`Invariant::RefusedOnlyIfFull`].
    pub fn audit_refusal(
        &self,
        at: At,
        refused: &ExpectRef,
        why: RelateError,
        counting: Counting,
    ) -> Result<(), Violation> {
        let about = self.expectation(refused.id()).about();
        let locked = self.lock();
        let counts = |index| counting == Counting::Linked || locked.is_live(at, index);
        let linked = match why {
            RelateError::TableFull => locked.count_linked(about.net, counts),
            RelateError::ClassFull => locked.count_linked(about.net, |index| {
                let other = self.memory.expectations.at(index).about();
                (other.master, other.class) == (about.master, about.class) && counts(index)
            }),
            _ => return Ok(()),
        };
        let helper = self.attached_of(about.master).helper().map(|helper| self.helper(helper));
        let limit = match why {
            RelateError::TableFull => self.expect_max.load_locked(),
            _ => helper.and_then(|helper| helper.policy(about.class)).map_or(0, |p| p.max_expected),
        };
        if linked >= limit {
            return Ok(());
        }
        let found = format!("{}: {linked} of {limit}", why.word());
        violation(Invariant::RefusedOnlyIfFull, found)
    }
}

impl<P: Platform> Locked<'_, P> {
    /// Whether nothing that is linked points at a helper that has just gone. Its maker it points
    /// at where helpers stay with their connections; with [`Counting::Linked`], whatever it made
    /// counts, also one whose timer is firing, which old kernels leave (H14).
    ///
    /// # Errors
    /// [`Invariant::NothingUnregistered`].
    pub fn audit_unregistered(
        &self,
        at: At,
        net: NetId,
        helper: HelperId,
        counting: Counting,
    ) -> Result<(), Violation> {
        let left = self.count_linked(net, |index| {
            let about = self.engine.memory.expectations.at(index).about();
            let all = counting == Counting::Linked;
            let made = about.creator == Some(helper) && (all || self.engine.helper_stays());
            let points = made || about.assign_helper == Some(helper);
            points && (all || self.is_live(at, index))
        });
        if left == 0 {
            return Ok(());
        }
        let name = self.engine.helper(helper).name;
        let found = format!("{left} still expected by {name}, which went");
        violation(Invariant::NothingUnregistered, found)
    }

    /// Whether a linked expectation is not on its way out.
    fn is_live(&self, at: At, index: u32) -> bool {
        let (engine, key) = (self.engine, TimerKey::expectation(index));
        let timers = engine.config.revision.expiry == Expiry::Timer;
        let firing = timers && !engine.timers.is_pending(&engine.memory, key);
        !firing && !engine.is_over(at, engine.memory.expectations.object(index))
    }

    fn count_linked(&self, net: NetId, counts: impl Fn(u32) -> bool) -> u32 {
        let (table, slab) = (self.engine.table(net), &self.engine.memory.expectations);
        let mut linked = 0;
        for bucket in 0..table.buckets() {
            let mut index = table.bucket_first(slab, bucket, Access::Locked);
            while index != NULL {
                linked += u32::from(slab.at(index).net() == net && counts(index));
                index = table.bucket_next(slab, index, Access::Locked);
            }
        }
        linked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, MasterCheck};
    use crate::event::Origin;
    use crate::expectation::{Announcement, Flags};
    use crate::helper::Class;
    use crate::kernel::Up;
    use crate::tuple::{L3, Mask, Proto, Tuple};

    #[test]
    fn what_was_found_is_of_where_it_was_looked_for() {
        let engine = Engine::<Up>::new(Config { netns: 2, ..Config::SMALL }).expect("memory");
        let ip = |text: &str| text.parse().expect("a literal address");
        let tuple = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 21);
        let reply = tuple.inverse().expect("tcp answers");
        let master = engine.alloc_conn(NetId::INIT, Zone(1), tuple, reply).expect("memory");
        engine.attach(&master, engine.helper_named("ftp")).expect("memory");
        let said = Announcement {
            class: Class::DEFAULT,
            tuple: Tuple { sport: 0, dport: 5000, ..tuple },
            mask: Mask::exact(L3::Ipv4, true, false),
            flags: Flags::NONE,
            expires: None,
        };
        let how = (Origin::KERNEL, MasterCheck::Own);
        let announced = engine.announce(At::default(), master.id(), &said, how).expect("memory");
        announced.expect("there is room");
        let found = engine.find_get(At::default(), NetId::INIT, Zone(1), &said.tuple);
        let found = found.expect("it was announced");
        for (net, zone, fits) in [(0, 1, true), (0, 2, false), (1, 1, false), (1, 2, false)] {
            let audited = engine.audit_found(NetId(net), Zone(zone), &found);
            assert_eq!(audited.is_ok(), fits, "net {net}, zone {zone}: {audited:?}");
        }
        engine.put(found);
    }
}
