// SPDX-License-Identifier: GPL-2.0-only
//! Expectations by request: create, change, ask, delete.
//!
//! Which errno comes first is part of the behaviour; each function asks its questions in the
//! kernel's order, top to bottom.

use crate::conn::{Attached, ConnRef};
use crate::ctnetlink::dump::ExpectInfo;
use crate::ctnetlink::{ExpectRequest, TupleAttr};
use crate::engine::{At, Engine, MasterCheck};
use crate::errno::Errno;
use crate::event::{Cause, ExpectFn, Origin};
use crate::expectation::{ExpectRef, Flags};
use crate::helper::{Class, HelperId};
use crate::kernel::Ticks;
use crate::kernel::platform::Platform;
use crate::kernel::timer::{TimerBase, TimerKey};
use crate::locked::Locked;
use crate::netns::{NetId, Zone};
use crate::revision::{AbsentHelper, Expiry, HelpNameAttr, NameSweep};
use crate::slip::Slip;
use crate::tuple::{Mask, Tuple};

/// What a NEW request does where nothing is hit (`NLM_F_CREATE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfAbsent {
    /// It makes one.
    #[doc(alias = "NLM_F_CREATE")]
    #[default]
    Create,
    /// It fails.
    Fail,
}

/// What a NEW request does where one is hit (`NLM_F_EXCL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfPresent {
    /// It fails.
    #[doc(alias = "NLM_F_EXCL")]
    #[default]
    Fail,
    /// It changes it, as far as it can be changed.
    Change,
}

impl<P: Platform> Engine<P> {
    /// Makes an expectation, or changes the timeout of the one that the tuple hits.
    ///
    /// # Errors
    /// In this order: [`Errno::Invalid`] for flags or a name that cannot be, or for a missing
    /// master, tuple or mask; those of [`TupleAttr::parse`] for the tuple; [`Errno::Exists`]
    /// if one is hit and must not be; [`Errno::NoEntry`] if none is and none may be made; then
    /// those of its creation: mask and master as tuples, [`Errno::NoEntry`] without the
    /// master, [`Errno::NotSupported`] without a helper, [`Errno::Invalid`] or
    /// [`Errno::Range`] for class, function or translation, and at last what
    /// [`Engine::related`] answers.
    #[doc(alias = "ctnetlink_new_expect")]
    pub fn new_expect(
        &self,
        at: At,
        net: NetId,
        request: &ExpectRequest<'_>,
        (absent, present): (IfAbsent, IfPresent),
        origin: Origin,
    ) -> Result<(), Errno> {
        let revision = &self.config.revision;
        request.validate(revision)?;
        let (Some(tuple), Some(mask), Some(master)) = (request.tuple, request.mask, request.master)
        else {
            return Err(Errno::Invalid);
        };
        let zone = Zone(request.zone.unwrap_or(0));
        let tuple = tuple.parse(request.family, revision)?;
        let mut locked = self.lock();
        match (locked.find(at, net, zone, &tuple), absent, present) {
            (Some(_), _, IfPresent::Fail) => Err(Errno::Exists),
            // KERNEL: ctnetlink_change_expect(), all revisions: whatever else was asked for is
            // ignored, and nobody hears of the change.
            (Some(id), _, IfPresent::Change) => match request.timeout_secs {
                Some(secs) => locked.change_timeout(at, id.index(), secs),
                None => Ok(()),
            },
            (None, IfAbsent::Fail, _) => Err(Errno::NoEntry),
            (None, IfAbsent::Create, _) => {
                drop(locked);
                self.create_expect(at, net, request, (tuple, mask, master), origin)
            }
        }
    }

    #[doc(alias = "ctnetlink_create_expect")]
    fn create_expect(
        &self,
        at: At,
        net: NetId,
        request: &ExpectRequest<'_>,
        (tuple, mask, master): (Tuple, TupleAttr, TupleAttr),
        origin: Origin,
    ) -> Result<(), Errno> {
        let revision = &self.config.revision;
        let mask = mask.parse(request.family, revision)?;
        let master = master.parse(request.family, revision)?;
        // Only the source of a mask is kept: a destination is always exact.
        let mask = Mask { src: mask.src, sport: mask.sport };
        let zone = Zone(request.zone.unwrap_or(0));
        let (ct, _) = self.find_conn(net, zone, &master).ok_or(Errno::NoEntry)?;
        let created = self.alloc_expect(at, request, &ct, (tuple, mask));
        let result = created.and_then(|exp| {
            let related = self.related(at, &exp, origin, MasterCheck::Own);
            if related.is_err() || !P::slips(Slip::CreateReferenceKept) {
                self.put(exp);
            }
            related.map_err(Errno::from)
        });
        if result.is_err() || !P::slips(Slip::CreateReferenceKept) {
            self.put_conn(at, ct);
        }
        result
    }

    #[doc(alias = "ctnetlink_alloc_expect")]
    fn alloc_expect(
        &self,
        at: At,
        request: &ExpectRequest<'_>,
        ct: &ConnRef,
        key: (Tuple, Mask),
    ) -> Result<ExpectRef, Errno> {
        let revision = &self.config.revision;
        let attached = self.attached_of(ct.id());
        let named = self.named_helper(request, ct)?;
        if revision.absent_helper == AbsentHelper::Refused && attached.helper().is_none() {
            return Err(Errno::NotSupported);
        }
        // KERNEL: ctnetlink_alloc_expect(), v3.9: without a named helper the class is not looked
        // at; with one it is checked against that one, though the master's decides.
        let judge = match revision.help_name_attr {
            HelpNameAttr::Obeyed => named,
            HelpNameAttr::Ignored => attached.helper(),
        };
        let class = self.class_for(request.class, judge)?;
        let exp = self.alloc(at, ct)?;
        self.init_key(&exp, class, key.0, key.1);
        match self.fill_expect(at, request, ct, &exp) {
            Ok(()) => {
                self.set_assign_helper(&exp, named);
                Ok(exp)
            }
            Err(errno) => {
                self.put(exp);
                Err(errno)
            }
        }
    }

    /// Flags, lifetime, function and translation.
    fn fill_expect(
        &self,
        at: At,
        request: &ExpectRequest<'_>,
        ct: &ConnRef,
        exp: &ExpectRef,
    ) -> Result<(), Errno> {
        let asked = Flags(request.flags.unwrap_or(0));
        if self.attached_of(ct.id()) == Attached::Nothing {
            // KERNEL: ctnetlink_alloc_expect(), v3.9: a program in user space would have to look
            // after it; the insertion refuses it nevertheless.
            let secs = request.timeout_secs.ok_or(Errno::Invalid)?;
            let lifetime = Ticks::of_timeout(secs, self.config.hz);
            self.set_expires(exp, at.now.after(lifetime));
            self.set_flags(exp, asked.with(Flags::USERSPACE));
        } else {
            self.set_flags(exp, asked.without(Flags::USERSPACE));
        }
        if let Some(name) = request.function {
            let known = ExpectFn::REGISTERED.into_iter().find(|known| known.name() == Some(name));
            let known = known
                .filter(|known| known.is_in(&self.config.revision) && self.is_callable(*known));
            self.set_expectfn(exp, Some(known.ok_or(Errno::Invalid)?));
        }
        if let Some(nat) = request.nat {
            let family = self.place_of(ct.id()).0.l3;
            self.set_nat(exp, nat.parse(family, &self.config.revision)?);
        }
        Ok(())
    }

    /// The helper a request names, where kernels listen to that.
    fn named_helper(
        &self,
        request: &ExpectRequest<'_>,
        ct: &ConnRef,
    ) -> Result<Option<HelperId>, Errno> {
        match (self.config.revision.help_name_attr, request.help_name) {
            (HelpNameAttr::Ignored, _) | (_, None) => Ok(None),
            (HelpNameAttr::Obeyed, Some(name)) => {
                let tuple = self.place_of(ct.id()).0;
                self.helper_for(name, &tuple).map(Some).ok_or(Errno::NotSupported)
            }
        }
    }

    fn class_for(&self, class: Option<u32>, helper: Option<HelperId>) -> Result<Class, Errno> {
        let (Some(number), Some(helper)) = (class, helper) else {
            return Ok(Class::DEFAULT);
        };
        let class = u8::try_from(number).ok().and_then(Class::new).ok_or(Errno::Invalid)?;
        self.helper(helper).policy(class).map(|_| class).ok_or(Errno::Invalid)
    }

    /// Tells of the expectation that the tuple, or the master's tuple in its place, hits.
    ///
    /// # Errors
    /// [`Errno::Invalid`] without either; those of [`TupleAttr::parse`]; [`Errno::NoEntry`] if
    /// none is hit, or another one than the id says.
    #[doc(alias = "ctnetlink_get_expect")]
    pub fn get_expect(
        &self,
        at: At,
        net: NetId,
        request: &ExpectRequest<'_>,
    ) -> Result<ExpectInfo, Errno> {
        request.validate(&self.config.revision)?;
        // KERNEL: ctnetlink_get_expect(), all revisions: the master's tuple is looked for among
        // the expectations.
        let tuple = request.tuple.or(request.master).ok_or(Errno::Invalid)?;
        let exp = self.hit_expect(at, net, request, tuple)?;
        let info = self.expect_info(exp.id().index());
        self.put(exp);
        Ok(info)
    }

    /// Deletes the expectation that the tuple hits; without a tuple all of the named helper's;
    /// without that, all.
    ///
    /// # Errors
    /// With a tuple: those of [`TupleAttr::parse`]; [`Errno::NoEntry`] as in
    /// [`Engine::get_expect`].
    #[doc(alias = "ctnetlink_del_expect")]
    pub fn del_expect(
        &self,
        at: At,
        net: NetId,
        request: &ExpectRequest<'_>,
        origin: Origin,
    ) -> Result<(), Errno> {
        request.validate(&self.config.revision)?;
        match (request.tuple, request.help_name) {
            (Some(tuple), _) => {
                let exp = self.hit_expect(at, net, request, tuple)?;
                // KERNEL: ctnetlink_del_expect(), v3.9: success, even if the timer was faster.
                self.lock().remove(at, exp.id().index(), origin, Cause::Delete);
                self.put(exp);
            }
            (None, Some(name)) => self.del_of_helper(at, net, name, origin),
            // Family, zone and master make no difference.
            (None, None) => {
                self.lock().iterate_destroy(at, net, origin, Cause::Flush, |_| true);
            }
        }
        Ok(())
    }

    fn del_of_helper(&self, at: At, net: NetId, name: &str, origin: Origin) {
        self.lock().iterate_destroy(at, net, origin, Cause::Delete, |exp| {
            match self.shown_helper(&exp.about()) {
                Some(helper) => self.helper(helper).name == name,
                // KERNEL: expect_iter_name(), v3.9: follows a pointer that may be NULL.
                None if self.config.revision.name_sweep == NameSweep::FollowsNull => {
                    panic!("NULL dereference of the helper of an expectation")
                }
                None => false,
            }
        });
    }

    /// The expectation that `tuple` hits, if it is the one whose id was sent.
    fn hit_expect(
        &self,
        at: At,
        net: NetId,
        request: &ExpectRequest<'_>,
        tuple: TupleAttr,
    ) -> Result<ExpectRef, Errno> {
        let tuple = tuple.parse(request.family, &self.config.revision)?;
        let zone = Zone(request.zone.unwrap_or(0));
        let exp = self.find_get(at, net, zone, &tuple).ok_or(Errno::NoEntry)?;
        if request.id.is_some_and(|id| id != self.netlink_id(exp.id())) {
            self.put(exp);
            return Err(Errno::NoEntry);
        }
        Ok(exp)
    }

    /// The helper of this name that is registered for such a connection.
    #[doc(alias = "__nf_conntrack_helper_find")]
    #[must_use]
    pub fn helper_for(&self, name: &str, original: &Tuple) -> Option<HelperId> {
        let helper = self.helper_named(name).filter(|helper| self.is_registered(*helper))?;
        let about = self.helper(helper);
        let fits = about.l3.contains(&original.l3) && about.proto.contains(&original.proto);
        fits.then_some(helper)
    }
}

impl<P: Platform> Locked<'_, P> {
    /// Sets when a linked expectation expires; its age stays.
    ///
    /// # Errors
    /// [`Errno::TimedOut`] if its timer is firing.
    #[doc(alias = "ctnetlink_change_expect")]
    pub fn change_timeout(&mut self, at: At, index: u32, secs: u32) -> Result<(), Errno> {
        let (engine, key) = (self.engine, TimerKey::expectation(index));
        let (timers, memory) = (&engine.timers, &engine.memory);
        let with_timer = engine.config.revision.expiry == Expiry::Timer;
        let node = memory.timer(key);
        if with_timer && !P::timer_detached(timers.detach(memory, node, key)) {
            return Err(Errno::TimedOut);
        }
        let lifetime = Ticks::of_timeout(secs, engine.config.hz);
        timers.set_expires(memory, key, engine.lifetime_ends(at, lifetime));
        if with_timer {
            timers.add(memory, key, at.now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Config;
    use crate::kernel::Up;
    use crate::revision::{FlagsAttr, Revision};
    use crate::tuple::{L3, Proto};

    const AT: At = At { cpu: crate::kernel::Cpu(0), now: crate::kernel::Jiffies(0) };

    fn attr(sport: u16, dport: u16) -> TupleAttr {
        let ip = |host| Some([10, 0, 0, host].into());
        let (sport, dport) = (Some(sport), Some(dport));
        let proto = Some(Proto::TCP.0);
        TupleAttr { src: ip(2), dst: ip(1), proto, sport, dport, ..TupleAttr::default() }
    }

    /// An engine in which there is one.
    fn engine(revision: Revision) -> Engine<Up> {
        let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
        let master = attr(40000, 21).parse(L3::Ipv4, &revision).expect("it is whole");
        let reply = master.inverse().expect("TCP answers");
        let ct = engine.alloc_conn(NetId::INIT, Zone(0), master, reply).expect("memory");
        engine.attach(&ct, engine.helper_named("ftp")).expect("memory");
        assert!(engine.confirm(AT, &ct, Origin::KERNEL));
        engine.put_conn(AT, ct);
        let request = ExpectRequest {
            family: L3::Ipv4,
            master: Some(attr(40000, 21)),
            tuple: Some(attr(0, 50000)),
            mask: Some(attr(0, 0xffff)),
            ..ExpectRequest::default()
        };
        let how = (IfAbsent::Create, IfPresent::Fail);
        assert_eq!(engine.new_expect(AT, NetId::INIT, &request, how, Origin::KERNEL), Ok(()));
        engine
    }

    /// Attributes are validated before the request is looked at (`exp_nla_policy`); then the
    /// tuple is parsed, and the master's only where there is none.
    #[test]
    fn a_request_to_tell_of_one_is_refused_for_its_form_first() {
        let it = Some(attr(0, 50000));
        let whole = ExpectRequest { family: L3::Ipv4, tuple: it, ..ExpectRequest::default() };
        let partial = Some(TupleAttr { dport: None, ..attr(0, 50000) });
        let (fifteen, sixteen) = (Some("fifteen-letters"), Some("sixteen--letters"));
        for revision in Revision::ALL {
            let known_only = revision.flags_attr == FlagsAttr::KnownOnly;
            let flagged = |otherwise| if known_only { Err(Errno::Invalid) } else { otherwise };
            let (flags, family) = (Some(8), L3::Unspec);
            for (request, answer) in [
                (whole, Ok(())),
                (ExpectRequest { flags: Some(7), ..whole }, Ok(())),
                (ExpectRequest { flags, ..whole }, flagged(Ok(()))),
                (ExpectRequest { flags, family, ..whole }, flagged(Err(Errno::NotSupported))),
                (ExpectRequest { family, ..whole }, Err(Errno::NotSupported)),
                (ExpectRequest { help_name: fifteen, ..whole }, Ok(())),
                (ExpectRequest { help_name: sixteen, ..whole }, Err(Errno::Invalid)),
                (ExpectRequest { help_name: sixteen, family, ..whole }, Err(Errno::Invalid)),
                (ExpectRequest { tuple: None, ..whole }, Err(Errno::Invalid)),
                (ExpectRequest { tuple: None, family, ..whole }, Err(Errno::Invalid)),
                (ExpectRequest { tuple: None, master: it, ..whole }, Ok(())),
                (ExpectRequest { tuple: partial, master: it, ..whole }, Err(Errno::Invalid)),
                (ExpectRequest { family: L3::Ipv6, ..whole }, Err(Errno::Invalid)),
                (ExpectRequest { zone: Some(1), ..whole }, Err(Errno::NoEntry)),
                (ExpectRequest { id: Some(1), ..whole }, Err(Errno::NoEntry)),
            ] {
                let engine = engine(revision);
                let told = engine.get_expect(AT, NetId::INIT, &request).map(drop);
                assert_eq!(told, answer, "{}: {request:?}", revision.name);
                // Deleted is what is told of, but the master's tuple is nobody's.
                if request.tuple.is_some() {
                    let gone = engine.del_expect(AT, NetId::INIT, &request, Origin::KERNEL);
                    assert_eq!(gone, answer, "{}: {request:?}", revision.name);
                    let left = u32::from(answer.is_err());
                    assert_eq!(engine.expect_count(NetId::INIT), left, "{request:?}");
                }
            }
        }
    }
}
