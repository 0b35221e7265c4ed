// SPDX-License-Identifier: GPL-2.0-only
//! What is pending, and where it is filed: all that decides who fires when.
//!
//! The rule that matters: stale entries, stamps and blocks do not show, for nobody can see them.

use super::slots::Chain;
use super::{ArrayWheel, Owners};
use crate::revision::WheelKind;

impl ArrayWheel {
    /// The next jiffy to look at.
    pub(in crate::kernel) const fn clock(&self) -> u64 {
        self.clk.get()
    }

    /// Tells the keys of all that is pending: first, as place 0, what is due, in the order in which
    /// it fires; then slot by slot, counted from 1, in the order in which it was filed.
    pub(in crate::kernel) fn filed(&self, owners: impl Owners, mut each: impl FnMut(usize, u32)) {
        let pending = |key: u32, stamp: u32| owners.stamp(key).get() == stamp;
        for ready in self.ready[..self.left.get()].iter().rev() {
            let (key, stamp) = ready.get();
            if pending(key, stamp) {
                each(0, key);
            }
        }
        let slots = self.slots.borrow();
        let in_chain = |mut chain: Chain, keys: &mut Vec<u32>| {
            keys.clear();
            while !chain.is_empty() {
                let (block, count) = slots.shift(&mut chain);
                let entries = slots.block(block)[..count].iter();
                let entries = entries.filter(|entry| pending(entry.key, entry.stamp));
                keys.extend(entries.map(|entry| entry.key));
            }
        };
        let mut keys = Vec::new();
        for chain in self.due.borrow().iter().rev() {
            in_chain(*chain, &mut keys);
            match self.kind {
                WheelKind::Cascading => keys.iter().for_each(|&key| each(0, key)),
                WheelKind::Levelled => keys.iter().rev().for_each(|&key| each(0, key)),
            }
        }
        for slot in slots.all() {
            in_chain(slots.chain(slot), &mut keys);
            keys.iter().for_each(|&key| each(slot + 1, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::{At, Config, Engine, MasterCheck};
    use crate::event::Origin;
    use crate::helper::Class;
    use crate::kernel::timer::TimerKey;
    use crate::kernel::{Jiffies, Ticks, Up};
    use crate::netns::{NetId, Zone};
    use crate::revision::Revision;
    use crate::tuple::{Mask, Tuple};

    /// More than two blocks are due in one jiffy, a third of them stale; after each that fires, what
    /// is said to be due is what fires then, in that order.
    #[test]
    fn what_is_said_to_be_due_fires_in_that_order() {
        for revision in [Revision::LINUX_3_9, Revision::LINUX_6_18] {
            let config = Config { revision, expect_max: 255, ..Config::SMALL };
            let engine = Engine::<Up>::new(config).expect("memory");
            let mut at = At { now: Jiffies::initial(250), ..At::default() };
            assert!(engine.expire(at.now).is_none());
            let ct = engine.alloc_conn(NetId::INIT, Zone(0), Tuple::NONE, Tuple::NONE);
            let ct = ct.expect("memory");
            engine.attach(&ct, None).expect("memory");
            for dport in 0..100 {
                let exp = engine.alloc(at, &ct).expect("memory");
                let tuple = Tuple { dport, ..Tuple::NONE };
                engine.init_key(&exp, Class::DEFAULT, tuple, Mask::ANY);
                engine.set_expires(&exp, at.now.after(Ticks(10)));
                engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own).expect("room");
                if dport % 3 == 0 {
                    engine.unexpect(at, &exp);
                }
                engine.put(exp);
            }
            at.now = engine.next_expiry().expect("some are pending");
            let (mut said, mut fired) = (Vec::<TimerKey>::new(), Vec::new());
            while let Some(firing) = engine.expire(at.now) {
                fired.push(firing.key());
                engine.timed_out(at, firing);
                let mut due = Vec::new();
                engine.timers.filed(&engine.memory, |place, key| {
                    assert_eq!(place, 0, "all were due at once");
                    due.push(key);
                });
                match said.as_slice() {
                    [] => said = due,
                    all => assert_eq!(due, all[fired.len() - 1..]),
                }
            }
            assert_eq!((fired.len(), &fired[1..]), (66, said.as_slice()), "{}", revision.name);
        }
    }
}
