// SPDX-License-Identifier: GPL-2.0-only
//! Two expectations that belong together: a media stream and its control channel.
//!
//! ```text
//!   one by one:  related(first) ─ok─▶ related(second) ─refused─▶ unexpect(first): NEW, DESTROY
//!   together:    check(first), place kept ─▶ check(second) ─▶ both linked, both told
//!                                              └ refused: nothing was linked, nobody hears
//! ```
//!
//! The rule that matters: together is not all or nothing. Whom the checks removed is gone, and
//! the two are not checked against each other.
//!
//! # Source
//! `nf_ct_expect_related_pair()`, 7.2; before, what the SIP helper does for itself.

use crate::conn::Attached;
use crate::engine::{At, Engine, MasterCheck};
use crate::errno::Errno;
use crate::event::Origin;
use crate::expectation::{ExpectRef, Expectation};
use crate::kernel::platform::{Plain, Platform};
use crate::kernel::slab::Object;
use crate::revision::PairInsert;
use crate::slip::Slip;

impl<P: Platform> Engine<P> {
    /// Announces two, the second only with the first.
    ///
    /// # Errors
    /// [`Errno::Invalid`] if they have not one master, or it has no extension (where they are
    /// inserted together); else what [`Engine::related`] answers for the one that is refused.
    #[doc(alias = "nf_ct_expect_related_pair")]
    pub fn related_pair(
        &self,
        at: At,
        first: &ExpectRef,
        second: &ExpectRef,
        (origin, masters): (Origin, MasterCheck),
    ) -> Result<(), Errno> {
        match self.config.revision.pair_insert {
            PairInsert::OneByOne => {
                self.related(at, first, origin, masters)?;
                self.related(at, second, origin, masters).map_err(|error| {
                    self.unexpect(at, first);
                    error.into()
                })
            }
            PairInsert::Together => self.together(at, [first, second], origin, masters),
        }
    }

    fn together(
        &self,
        at: At,
        pair: [&ExpectRef; 2],
        origin: Origin,
        masters: MasterCheck,
    ) -> Result<(), Errno> {
        let exps = pair.map(|exp| self.memory.expectations.get_object(exp.id()));
        let masters_of_both = exps.map(|exp| exp.master());
        // KERNEL: nf_ct_expect_related_pair(), 7.2: it is the extension that must be the same.
        if masters_of_both[0] != masters_of_both[1]
            || self.attached_of(masters_of_both[0]) == Attached::Nothing
        {
            return Err(Errno::Invalid);
        }
        let conn_of = |exp: Object<'_, Expectation<P>>| self.memory.conns.get(exp.master());
        let mut locked = self.lock();
        let first = locked.check(at, exps[0], (conn_of(exps[0]), &exps[0].tuple()), masters)?;
        // The first one's place is kept while the second is looked at; the table's is not.
        let expecting = &first.conn().expecting[exps[0].class().index()];
        expecting.set(expecting.get().wrapping_add(1));
        let second = locked.check(at, exps[1], (conn_of(exps[1]), &exps[1].tuple()), masters);
        if !P::slips(Slip::PairPlaceKept) || second.is_ok() {
            expecting.set(expecting.get().wrapping_sub(1));
        }
        let second = second?.after_another();
        for (exp, checked) in exps.into_iter().zip([first, second]) {
            locked.insert(at, exp, checked);
            self.tell_new(exp.index, origin);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Config;
    use crate::expectation::{Expected, Flags};
    use crate::helper::Class;
    use crate::kernel::{Jiffies, Ticks, Up};
    use crate::netns::{NetId, Zone};
    use crate::revision::Revision;
    use crate::tuple::{L3, Proto, Tuple};

    #[test]
    fn a_class_that_a_pair_filled_beyond_its_limit_gives_one_up_though_another_was_over() {
        let revision = Revision::LINUX_7_2;
        let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
        let at =
            |secs: u64| At { now: Jiffies::initial(250).after(Ticks(250 * secs)), ..At::default() };
        let ip = |last| [10, 0, 0, last].into();
        let tuple = Tuple::new(Proto::TCP, ip(2), 40000, ip(1), 21);
        let reply = tuple.inverse().expect("it can be answered");
        let ct = engine.alloc_conn(NetId::INIT, Zone(0), tuple, reply).expect("memory");
        engine.attach(&ct, engine.helper_named("ftp")).expect("memory");
        assert!(engine.confirm(at(0), &ct, Origin::KERNEL));
        let made = |at, dport| {
            let exp = engine.alloc(at, &ct).expect("memory");
            let (saddr, daddr, sport) = (Some(tuple.src), tuple.dst, None);
            let (l3, proto) = (L3::Ipv4, Proto::TCP);
            let expected = Expected { l3, saddr, daddr, proto, sport, dport };
            engine.init(&exp, Class::DEFAULT, &expected);
            exp
        };
        let how = (Origin::KERNEL, MasterCheck::Own);

        let [first, second] = [1, 2].map(|port| made(at(0), port));
        assert_eq!(engine.related_pair(at(0), &first, &second, how), Ok(()));
        assert!(engine.retime(at(0), second.id(), Flags::NONE, at(900).now));
        let third = made(at(600), 3);
        assert_eq!(engine.related(at(600), &third, how.0, how.1), Ok(()));

        let linked = [&first, &second, &third].map(|exp| engine.is_linked(exp.id()));
        assert_eq!(linked, [false, false, true]);
        [first, second, third].into_iter().for_each(|exp| engine.put(exp));
        engine.put_conn(at(600), ct);
    }
}
