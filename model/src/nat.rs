// SPDX-License-Identifier: GPL-2.0-only
//! What an expectation's function does to an announced connection: its translation.
//!
//! ```text
//!   client ──▶ master ──▶ server        master's tuples
//!      src' ◀────────────────── announced connection: source becomes the master's client,
//!      dst' ──────────────────▶                       destination its server, at a saved port
//! ```
//!
//! Nothing of a packet is rewritten here; what changes is the connection's reply tuple, under
//! which answers, and users, find it.
//!
//! # Source
//! `nf_nat_follow_master()`, `nf_nat_sip_expected()`, `ip_nat_q931_expect()`,
//! `ip_nat_callforwarding_expect()` and `nf_nat_setup_info()`, 6.18.

use std::collections::BTreeMap;

use crate::conn::{AboutConn, ConnId, ConnRef};
use crate::engine::Engine;
use crate::event::ExpectFn;
use crate::expectation::{ExpectId, Nat};
use crate::helper::Class;
use crate::kernel::platform::{Plain, Platform, SpinLock};
use crate::netns::{NetId, Zone};
use crate::revision::SipMedia;
use crate::tuple::{Addr, L3, Proto, Tuple};

/// The class of SIP's signalling (`SIP_EXPECT_SIGNALLING`): its others are media.
const SIGNALLING: Class = Class::DEFAULT;

/// Which end of a connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manip {
    Src,
    Dst,
}

/// The call of the function of an announced connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub function: ExpectFn,
    /// The expectation's translation.
    pub saved: Nat,
    /// Whom it waited for (`tuple.src`); all zero if for anyone.
    pub src: Addr,
    /// The expectation's class.
    pub class: Class,
}

/// From where, and to which address, the source of a connection was mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    net: NetId,
    zone: Zone,
    src: Addr,
    sport: u16,
    l3: L3,
    proto: Proto,
    to: Addr,
}

/// The connections whose source was mapped, the newest of each source last.
#[doc(alias = "nf_nat_bysource")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapped(BTreeMap<Mapping, Vec<ConnId>>);

impl Mapped {
    pub(crate) fn add(&mut self, mapping: Mapping, id: ConnId) {
        self.0.entry(mapping).or_default().push(id);
    }

    fn newest(&self, mapping: &Mapping) -> Option<ConnId> {
        self.0.get(mapping)?.last().copied()
    }

    pub(crate) fn remove(&mut self, mapping: &Mapping, id: ConnId) {
        if let Some(ids) = self.0.get_mut(mapping) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.0.remove(mapping);
            }
        }
    }

    /// All of them, source by source, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.0.values().flatten().copied()
    }
}

impl<P: Platform> Engine<P> {
    /// Runs the function of the expectation that announced `ct`, which is not confirmed yet.
    ///
    /// # Panics
    /// If the function has gone, as a kernel crashes.
    #[doc(alias = "nf_nat_follow_master")]
    #[doc(alias = "nf_nat_sip_expected")]
    #[doc(alias = "ip_nat_q931_expect")]
    #[doc(alias = "ip_nat_callforwarding_expect")]
    pub fn run_expectfn(&self, ct: &ConnRef, call: &Call) {
        let Call { function, saved, src, class } = *call;
        assert!(self.is_callable(function), "a call into the text of a module that went");
        let Some(master) = self.conn(ct.id()).about().master else {
            return;
        };
        let ends = |id| {
            let AboutConn { original, reply, .. } = self.conn(id).about();
            if saved.dir == 0 { [original, reply] } else { [reply, original] }
        };
        let (own, ends) = (ends(ct.id()), ends(master));
        match function {
            // KERNEL: nft_ct_nat_follow_master(), 7.2: looks for the other by its name.
            ExpectFn::NftFollowMaster if !self.is_callable(ExpectFn::NatFollowMaster) => {}
            // KERNEL: ip_nat_q931_expect(), 6.18: whom is waited for is asked of the first word.
            ExpectFn::Q931 if src.words()[0] == 0 => {
                self.translate(ct, Manip::Src, own[1].src, None);
                self.translate(ct, Manip::Dst, ends[1].src, Some(saved.port));
            }
            ExpectFn::NatFollowMaster | ExpectFn::NftFollowMaster | ExpectFn::Q931 => {
                self.translate(ct, Manip::Src, ends[1].dst, None);
                self.translate(ct, Manip::Dst, ends[1].src, Some(saved.port));
            }
            ExpectFn::CallForwarding => {
                self.translate(ct, Manip::Src, own[1].src, None);
                self.translate(ct, Manip::Dst, saved.addr, Some(saved.port));
            }
            ExpectFn::Sip => {
                self.translate(ct, Manip::Dst, saved.addr, Some(saved.port));
                let came = self.conn(ct.id()).about().original;
                let pairs =
                    class != SIGNALLING && self.config.revision.sip_media == SipMedia::FromThePair;
                if let Some(pair) = pairs.then(|| self.media_pair(master, &came)).flatten() {
                    self.translate(ct, Manip::Src, pair.dst, Some(pair.dport));
                } else if came.src == ends[0].src {
                    self.translate(ct, Manip::Src, ends[1].dst, None);
                }
            }
            // Reads what only its own helper leaves behind.
            ExpectFn::Pptp => {}
        }
    }

    /// What another expectation of the master waits for that is to be translated to where this one
    /// came from: the other way of one media stream.
    fn media_pair(&self, master: ConnId, came: &Tuple) -> Option<Tuple> {
        let locked = self.lock();
        let mut cursor = locked.cursor(master.index());
        while let Some(exp) = locked.advance(&mut cursor) {
            let tuple = exp.tuple();
            let saved = self.saved(exp.id());
            if (tuple.l3, tuple.proto) == (came.l3, came.proto)
                && (saved.addr, saved.port) == (came.src, came.sport)
            {
                return Some(tuple);
            }
        }
        None
    }

    /// The translation of an expectation.
    pub(crate) fn saved(&self, id: ExpectId) -> Nat {
        match self.memory.expectations.get(id).about().has_nat {
            true => self.memory.nat.get(id.index()),
            false => Nat::default(),
        }
    }

    /// Where the packets of a connection go, after its translation.
    #[must_use]
    pub fn translated(&self, ct: &ConnRef) -> Option<Tuple> {
        self.conn(ct.id()).about().reply.inverse()
    }

    /// The source port, or another of its kind if that is taken. The kernel's search begins
    /// anywhere; this one begins somewhere else for each connection.
    #[doc(alias = "nf_nat_l4proto_unique_tuple")]
    fn free_port(&self, ct: &ConnRef, tuple: Tuple) -> u16 {
        let free = |sport: &u16| self.is_free(ct, &Tuple { sport: *sport, ..tuple });
        if free(&tuple.sport) {
            return tuple.sport;
        }
        let ports = match (tuple.proto, tuple.sport) {
            (Proto::GRE, _) => 1..=u16::MAX,
            (Proto::ICMP | Proto::ICMPV6, _) => 0..=u16::MAX - 1,
            (_, ..512) => 1..=511,
            (_, ..1024) => 600..=1023,
            _ => 1024..=u16::MAX,
        };
        self.conns.lock().ports_searched += 1;
        let begin = ct.id().index().wrapping_mul(7919);
        let size = u32::from(ports.end() - ports.start()) + 1;
        let mut others = (0..128).map(|step| {
            let port = begin.wrapping_add(step) % size;
            ports.start() + u16::try_from(port).unwrap_or(0)
        });
        others.find(free).unwrap_or(tuple.sport)
    }

    /// How often a source port was taken, so that another was searched for: which one a kernel
    /// finds is chance.
    #[must_use]
    pub fn ports_searched(&self) -> u64 {
        self.conns.lock().ports_searched
    }

    /// Whether no connection in the same place has the answer to this tuple.
    fn is_free(&self, ct: &ConnRef, tuple: &Tuple) -> bool {
        let net = self.conn(ct.id()).about().net;
        let (_, zone) = self.place_of(ct.id());
        tuple.inverse().is_none_or(|reply| !self.is_taken(net, zone, &reply))
    }

    /// The source that the newest connection from the same source was given, of those that were
    /// given this address, if that leaves the tuple free.
    #[doc(alias = "find_appropriate_src")]
    fn as_mapped_before(&self, ct: &ConnRef, tuple: Tuple, addr: Addr) -> Option<Tuple> {
        // An ICMP id may be another by now.
        let mapping = Mapping { sport: tuple.sport, ..self.mapping_of(ct.id(), addr) };
        let newest = self.conns.lock().mapped.newest(&mapping)?;
        let sport = self.conn(newest).about().reply.inverse()?.sport;
        let mapped = Tuple { src: addr, sport, ..tuple };
        self.is_free(ct, &mapped).then_some(mapped)
    }

    /// Remembers which source a connection was given, until its memory is freed.
    fn remember_mapping(&self, id: ConnId, addr: Addr) {
        let conn = self.conn(id);
        let about = conn.about();
        if !about.mapped {
            conn.about.set(AboutConn { mapped: true, ..about });
            let mapping = self.mapping_of(id, addr);
            self.conns.lock().mapped.add(mapping, id);
        }
    }

    /// The connection's memory is freed.
    pub(crate) fn forget_mapping(&self, id: ConnId) {
        let about = self.conn(id).about();
        if about.mapped
            && let Some(there) = about.reply.inverse()
        {
            let mapping = self.mapping_of(id, there.src);
            self.conns.lock().mapped.remove(&mapping, id);
        }
    }

    fn mapping_of(&self, id: ConnId, to: Addr) -> Mapping {
        let net = self.conn(id).about().net;
        let (Tuple { src, sport, l3, proto, .. }, zone) = self.place_of(id);
        Mapping { net, zone, src, sport, l3, proto, to }
    }

    /// Maps one end to an address, and to a port if one is named.
    #[doc(alias = "nf_nat_setup_info")]
    fn translate(&self, ct: &ConnRef, manip: Manip, addr: Addr, port: Option<u16>) {
        let conn = self.conn(ct.id());
        let about = conn.about();
        let Some(mut tuple) = about.reply.inverse() else {
            return;
        };
        let before = match manip {
            Manip::Src if tuple.src != addr && port.is_none() => {
                self.as_mapped_before(ct, tuple, addr)
            }
            _ => None,
        };
        if let Some(mapped) = before {
            tuple = mapped;
        } else {
            self.map(ct, manip, addr, port, &mut tuple);
        }
        if let Some(reply) = tuple.inverse() {
            conn.about.set(AboutConn { reply, ..about });
            if manip == Manip::Src {
                self.remember_mapping(ct.id(), addr);
            }
        }
    }

    /// The tuple with its end at the address, at a port that is free or the one that is named.
    fn map(&self, ct: &ConnRef, manip: Manip, addr: Addr, port: Option<u16>, tuple: &mut Tuple) {
        let has_words = self.config.revision.has_ports(tuple.proto)
            || matches!(tuple.proto, Proto::GRE | Proto::ICMP | Proto::ICMPV6);
        let is_icmp = matches!(tuple.proto, Proto::ICMP | Proto::ICMPV6);
        match manip {
            Manip::Src => tuple.src = addr,
            Manip::Dst => tuple.dst = addr,
        }
        if let Some(port) = port.filter(|_| has_words) {
            match manip {
                Manip::Dst if !is_icmp => tuple.dport = port,
                _ => tuple.sport = port,
            }
        }
        if port.is_none() && has_words && manip == Manip::Src {
            tuple.sport = self.free_port(ct, *tuple);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{At, Config};
    use crate::kernel::Up;
    use crate::revision::Revision;

    fn tuple(proto: Proto, src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16) -> Tuple {
        Tuple::new(proto, src.into(), sport, dst.into(), dport)
    }

    const CLIENT: [u8; 4] = [10, 0, 0, 2];
    const SERVER: [u8; 4] = [10, 0, 0, 1];
    /// What the server takes the client for, and the client the server.
    const MASKED: [[u8; 4]; 2] = [[192, 0, 2, 2], [192, 0, 2, 1]];

    fn call(function: ExpectFn, saved: Nat, src: Addr) -> Call {
        Call { function, saved, src, class: Class::DEFAULT }
    }

    /// Where a connection goes that a translated master announced.
    fn follows(revision: Revision, call: Call, came: Tuple) -> Tuple {
        let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
        let original = tuple(Proto::TCP, CLIENT, 40000, MASKED[1], 21);
        let reply = tuple(Proto::TCP, SERVER, 21, MASKED[0], 40000);
        let [master, ct] = [(original, reply), (came, came.inverse().expect("it is answered"))]
            .map(|(original, reply)| {
                engine.alloc_conn(NetId::INIT, Zone(0), original, reply).expect("memory")
            });
        let conn = engine.conn(ct.id());
        conn.about.set(AboutConn { master: Some(master.id()), ..conn.about() });
        engine.run_expectfn(&ct, &call);
        let translated = engine.translated(&ct).expect("it is answered");
        engine.put_conn(At::default(), ct);
        translated
    }

    /// `nf_nat_l4proto_unique_tuple()`: a key of GRE is one of its side, the id of ICMP one of
    /// both, and who has no words keeps none.
    #[test]
    fn the_saved_word_goes_where_its_protocol_has_one() {
        let saved = Nat { addr: Addr::v4(SERVER), port: 2121, dir: 0 };
        for revision in Revision::ALL {
            let ports = if revision.has_ports(Proto::DCCP) { (41000, 2121) } else { (0, 0) };
            for (proto, words, there) in [
                (Proto::TCP, (41000, 50000), (41000, 2121)),
                (Proto::DCCP, if ports == (0, 0) { ports } else { (41000, 50000) }, ports),
                (Proto::GRE, (7, 9), (7, 2121)),
                (Proto::ICMP, (7, 0x0800), (2121, 0x0800)),
                (Proto::ICMPV6, (7, 0x8000), (2121, 0x8000)),
                (Proto(50), (0, 0), (0, 0)),
            ] {
                let came = tuple(proto, CLIENT, words.0, MASKED[1], words.1);
                let there = tuple(proto, MASKED[0], there.0, SERVER, there.1);
                let call = call(ExpectFn::NatFollowMaster, saved, came.src);
                let followed = follows(revision, call, came);
                assert_eq!(followed, there, "{}", revision.name);
            }
        }
    }

    /// `nf_nat_sip_expected()`: who it came from is asked in the direction of the expectation.
    #[test]
    fn a_call_of_sip_is_from_who_the_master_is_only_if_it_came_from_there() {
        let other = [10, 0, 0, 3];
        for (dir, from, taken_for) in [
            (0, CLIENT, MASKED[0]),
            (0, SERVER, SERVER),
            (0, other, other),
            (1, SERVER, MASKED[1]),
            (1, CLIENT, CLIENT),
            (1, MASKED[1], MASKED[1]),
        ] {
            let saved = Nat { addr: Addr::v4([10, 0, 0, 9]), port: 5064, dir };
            let came = tuple(Proto::UDP, from, 6000, SERVER, 5062);
            let there = tuple(Proto::UDP, taken_for, 6000, [10, 0, 0, 9], 5064);
            let call = call(ExpectFn::Sip, saved, came.src);
            let followed = follows(Revision::LINUX_6_18, call, came);
            assert_eq!(followed, there, "{dir} {from:?}");
        }
    }

    /// `ip_nat_q931_expect()` and `ip_nat_callforwarding_expect()`: for which a call that anyone may
    /// make goes to the master's other end, or to the saved one, and its source is that of the
    /// connection's own other direction.
    #[test]
    fn functions_of_h323_translate() {
        let (other, there) = ([10, 0, 0, 3], [10, 0, 0, 9]);
        let anyone = Addr::v4([0; 4]);
        let function = [ExpectFn::Q931, ExpectFn::CallForwarding];
        for (function, dir, src, from, to) in [
            (function[0], 0, Addr::v4(other), MASKED[0], SERVER),
            (function[0], 1, Addr::v4(other), MASKED[1], CLIENT),
            (function[0], 0, anyone, MASKED[1], SERVER),
            (function[0], 1, anyone, other, CLIENT),
            (function[1], 0, anyone, MASKED[1], there),
            (function[1], 1, Addr::v4(other), other, there),
        ] {
            let saved = Nat { addr: Addr::v4(there), port: 1720, dir };
            let came = tuple(Proto::TCP, other, 6000, MASKED[1], 5062);
            let followed = follows(Revision::LINUX_6_18, call(function, saved, src), came);
            let goes = tuple(Proto::TCP, from, 6000, to, 1720);
            assert_eq!(followed, goes, "{function:?} {dir} {src:?}");
        }
    }

    /// Who announced connections come from, and whom they are taken for.
    struct Mapper {
        engine: Engine<Up>,
        master: ConnRef,
    }

    const FROM: [u8; 4] = [10, 0, 0, 3];
    const OTHER: [u8; 4] = [10, 0, 0, 4];

    impl Mapper {
        fn new() -> Self {
            let config = Config { revision: Revision::LINUX_6_18, ..Config::SMALL };
            let engine = Engine::<Up>::new(config).expect("memory");
            let master = Self::conn(&engine, tuple(Proto::TCP, CLIENT, 40000, SERVER, 21));
            Self { engine, master }
        }

        fn conn(engine: &Engine<Up>, came: Tuple) -> ConnRef {
            let reply = came.inverse().expect("it is answered");
            engine.alloc_conn(NetId::INIT, Zone(0), came, reply).expect("memory")
        }

        /// The client itself sends from this port.
        fn take(&self, sport: u16, dport: u16) {
            let taken = Self::conn(&self.engine, tuple(Proto::UDP, CLIENT, sport, SERVER, dport));
            assert!(self.engine.confirm(At::default(), &taken, crate::event::Origin::KERNEL));
            self.engine.put_conn(At::default(), taken);
        }

        /// An announced connection from port 8, and its port when it is taken for the client's.
        fn map(&self, from: [u8; 4], dport: u16) -> (ConnRef, u16) {
            let ct = Self::conn(&self.engine, tuple(Proto::UDP, from, 8, SERVER, dport));
            let record = self.engine.conn(ct.id());
            record.about.set(AboutConn { master: Some(self.master.id()), ..record.about() });
            let _ = self.engine.get_conn(&self.master);
            self.engine.translate(&ct, Manip::Src, Addr::v4(CLIENT), None);
            let sport = self.engine.translated(&ct).expect("it is answered").sport;
            (ct, sport)
        }
    }

    /// `find_appropriate_src()`: who comes from the same source keeps the port that another was
    /// given because somebody had its own.
    #[test]
    fn a_source_is_mapped_as_before() {
        let mapper = Mapper::new();
        mapper.take(8, 2000);
        let (_first, port) = mapper.map(FROM, 2000);
        assert!(port != 8 && port < 512, "{port}: another of its kind");
        assert_eq!(mapper.map(FROM, 2001).1, port);
        assert_eq!(mapper.map(OTHER, 2002).1, 8, "from elsewhere");
    }

    /// Of several the newest is asked, and no older one if its port is taken there.
    #[test]
    fn the_newest_mapping_of_a_source_is_asked() {
        let mapper = Mapper::new();
        mapper.take(8, 2000);
        let (_first, port) = mapper.map(FROM, 2000);
        mapper.take(port, 2001);
        let (second, own) = mapper.map(FROM, 2001);
        let (third, same) = mapper.map(FROM, 2002);
        assert_eq!((own, same), (8, 8), "it is free there");
        mapper.take(8, 2003);
        let (fourth, another) = mapper.map(FROM, 2003);
        assert!(another != 8 && another != port, "{another}");
        for ct in [second, fourth, third] {
            mapper.engine.put_conn(At::default(), ct);
        }
        assert_eq!(mapper.map(FROM, 2004).1, port, "the others were freed");
    }

    /// `same_src()` compares with what the connection is by now: SIP's function gave it the saved id.
    #[test]
    fn an_icmp_id_is_that_of_the_moment() {
        let Mapper { engine, .. } = Mapper::new();
        let echo = |from, id, to| tuple(Proto::ICMP, from, id, to, 0x0800);
        let client = Mapper::conn(&engine, echo(CLIENT, 9, SERVER));
        assert!(engine.confirm(At::default(), &client, crate::event::Origin::KERNEL));
        let first = Mapper::conn(&engine, echo(FROM, 9, SERVER));
        engine.translate(&first, Manip::Src, Addr::v4(CLIENT), None);
        let id = engine.translated(&first).expect("an echo is answered").sport;
        assert_ne!(id, 9);
        let second = Mapper::conn(&engine, echo(FROM, 5, OTHER));
        engine.translate(&second, Manip::Dst, Addr::v4(OTHER), Some(9));
        engine.translate(&second, Manip::Src, Addr::v4(CLIENT), None);
        assert_eq!(engine.translated(&second), Some(echo(CLIENT, id, OTHER)));
    }
}
