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
//! `nf_nat_follow_master()`, `nf_nat_sip_expected()` and `nf_nat_setup_info()`, 6.18.

use crate::conn::{AboutConn, ConnRef};
use crate::engine::Engine;
use crate::event::ExpectFn;
use crate::expectation::Nat;
use crate::kernel::platform::{Plain, Platform};
use crate::tuple::{Addr, Proto, Tuple};

/// Which end of a connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manip {
    Src,
    Dst,
}

impl<P: Platform> Engine<P> {
    /// Runs the function of the expectation that announced `ct`, which is not confirmed yet.
    ///
    /// # Panics
    /// If the function has gone, as a kernel crashes.
    #[doc(alias = "nf_nat_follow_master")]
    pub fn run_expectfn(&self, ct: &ConnRef, function: ExpectFn, saved: Nat) {
        assert!(self.is_callable(function), "a call into the text of a module that went");
        let Some(master) = self.conn(ct.id()).about().master else {
            return;
        };
        let AboutConn { original, reply, .. } = self.conn(master).about();
        let ends = if saved.dir == 0 { [original, reply] } else { [reply, original] };
        match function {
            // KERNEL: nft_ct_nat_follow_master(), 7.2: looks for the other by its name.
            ExpectFn::NftFollowMaster if !self.is_callable(ExpectFn::NatFollowMaster) => {}
            ExpectFn::NatFollowMaster | ExpectFn::NftFollowMaster => {
                self.translate(ct, Manip::Src, ends[1].dst, None);
                self.translate(ct, Manip::Dst, ends[1].src, Some(saved.port));
            }
            ExpectFn::Sip => {
                self.translate(ct, Manip::Dst, saved.addr, Some(saved.port));
                // DEVIATION: nf_nat_sip_expected(), 6.1 and later: media that come from where
                // another of the master's expectations was to go first (`saved_addr`) get that
                // one's destination for their source. No transcript has such a pair.
                let from = self.conn(ct.id()).about().original.src;
                if from == ends[0].src {
                    self.translate(ct, Manip::Src, ends[1].dst, None);
                }
            }
            // These read what only their own helper leaves behind.
            ExpectFn::Q931 | ExpectFn::CallForwarding | ExpectFn::Pptp => {}
        }
    }

    /// Where the packets of a connection go, after its translation.
    #[must_use]
    pub fn translated(&self, ct: &ConnRef) -> Option<Tuple> {
        self.conn(ct.id()).about().reply.inverse()
    }

    /// The source port, or another if that is taken. The kernel's search begins anywhere; this
    /// one begins somewhere else for each connection.
    #[doc(alias = "nf_nat_l4proto_unique_tuple")]
    fn free_port(&self, ct: &ConnRef, tuple: Tuple) -> u16 {
        const LOWEST: u32 = 1024;
        let begin = ct.id().index().wrapping_mul(7919);
        let others = (0..128).map(|step| {
            let port = begin.wrapping_add(step) % (u32::from(u16::MAX) - LOWEST) + LOWEST;
            u16::try_from(port).unwrap_or(u16::MAX)
        });
        let free = |sport: &u16| self.is_free(ct, &Tuple { sport: *sport, ..tuple });
        [tuple.sport].into_iter().chain(others).find(free).unwrap_or(tuple.sport)
    }

    /// Whether no connection in the same place has the answer to this tuple.
    fn is_free(&self, ct: &ConnRef, tuple: &Tuple) -> bool {
        let net = self.conn(ct.id()).about().net;
        let (_, zone) = self.place_of(ct.id());
        tuple.inverse().is_none_or(|reply| !self.is_taken(net, zone, &reply))
    }

    /// The source that another connection from the same source was given, if that is this address
    /// and leaves the tuple free. The kernel asks the newest such connection, this one any.
    #[doc(alias = "find_appropriate_src")]
    fn as_mapped_before(&self, ct: &ConnRef, tuple: Tuple, addr: Addr) -> Option<Tuple> {
        let net = self.conn(ct.id()).about().net;
        let (_, zone) = self.place_of(ct.id());
        let source = |tuple: &Tuple| (tuple.src, tuple.sport, tuple.l3, tuple.proto);
        let others = self.memory.conns.iter_live().filter(|other| *other != ct.id());
        let mapped = others.filter_map(|other| {
            let about = self.conn(other).about();
            // Most come from elsewhere.
            if source(&about.original) != source(&tuple) || about.net != net {
                return None;
            }
            let there = about.reply.inverse().filter(|there| there.src == addr)?;
            (self.place_of(other).1 == zone).then_some(Tuple {
                src: addr,
                sport: there.sport,
                ..tuple
            })
        });
        mapped.into_iter().find(|mapped| self.is_free(ct, mapped))
    }

    /// Maps one end to an address, and to a port if one is named.
    #[doc(alias = "nf_nat_setup_info")]
    fn translate(&self, ct: &ConnRef, manip: Manip, addr: Addr, port: Option<u16>) {
        let conn = self.conn(ct.id());
        let about = conn.about();
        let Some(mut tuple) = about.reply.inverse() else {
            return;
        };
        let has_words = self.config.revision.has_ports(tuple.proto)
            || matches!(tuple.proto, Proto::GRE | Proto::ICMP | Proto::ICMPV6);
        let is_icmp = matches!(tuple.proto, Proto::ICMP | Proto::ICMPV6);
        if manip == Manip::Src
            && tuple.src != addr
            && let Some(reply) =
                self.as_mapped_before(ct, tuple, addr).and_then(|mapped| mapped.inverse())
        {
            conn.about.set(AboutConn { reply, ..about });
            return;
        }
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
            tuple.sport = self.free_port(ct, tuple);
        }
        if let Some(reply) = tuple.inverse() {
            conn.about.set(AboutConn { reply, ..about });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{At, Config};
    use crate::kernel::Up;
    use crate::netns::{NetId, Zone};
    use crate::revision::Revision;

    fn tuple(proto: Proto, src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16) -> Tuple {
        Tuple::new(proto, src.into(), sport, dst.into(), dport)
    }

    const CLIENT: [u8; 4] = [10, 0, 0, 2];
    const SERVER: [u8; 4] = [10, 0, 0, 1];
    /// What the server takes the client for, and the client the server.
    const MASKED: [[u8; 4]; 2] = [[192, 0, 2, 2], [192, 0, 2, 1]];

    /// Where a connection goes that a translated master announced.
    fn follows(revision: Revision, function: ExpectFn, saved: Nat, came: Tuple) -> Tuple {
        let engine = Engine::<Up>::new(Config { revision, ..Config::SMALL }).expect("memory");
        let original = tuple(Proto::TCP, CLIENT, 40000, MASKED[1], 21);
        let reply = tuple(Proto::TCP, SERVER, 21, MASKED[0], 40000);
        let [master, ct] = [(original, reply), (came, came.inverse().expect("it is answered"))]
            .map(|(original, reply)| {
                engine.alloc_conn(NetId::INIT, Zone(0), original, reply).expect("memory")
            });
        let conn = engine.conn(ct.id());
        conn.about.set(AboutConn { master: Some(master.id()), ..conn.about() });
        engine.run_expectfn(&ct, function, saved);
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
                let followed = follows(revision, ExpectFn::NatFollowMaster, saved, came);
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
            let followed = follows(Revision::LINUX_6_18, ExpectFn::Sip, saved, came);
            assert_eq!(followed, there, "{dir} {from:?}");
        }
    }

    /// `find_appropriate_src()`: who came from the same source keeps the port that the first of them
    /// was given because another had its own.
    #[test]
    fn a_source_is_mapped_as_before() {
        let config = Config { revision: Revision::LINUX_6_18, ..Config::SMALL };
        let engine = Engine::<Up>::new(config).expect("memory");
        let (from, other) = ([10, 0, 0, 3], [10, 0, 0, 4]);
        let conn = |came: Tuple| {
            let reply = came.inverse().expect("it is answered");
            engine.alloc_conn(NetId::INIT, Zone(0), came, reply).expect("memory")
        };
        let master = conn(tuple(Proto::TCP, CLIENT, 40000, SERVER, 21));
        // It has the port already, as the master's client, towards the first.
        let taken = conn(tuple(Proto::UDP, CLIENT, 8, SERVER, 2000));
        assert!(engine.confirm(At::default(), &taken, crate::event::Origin::KERNEL));
        let ports: Vec<u16> = [(from, SERVER, 2000), (from, other, 2001), (other, other, 2002)]
            .into_iter()
            .map(|(from, to, port)| {
                let ct = conn(tuple(Proto::UDP, from, 8, to, port));
                let record = engine.conn(ct.id());
                record.about.set(AboutConn { master: Some(master.id()), ..record.about() });
                engine.translate(&ct, Manip::Src, Addr::v4(CLIENT), None);
                engine.translated(&ct).expect("it is answered").sport
            })
            .collect();
        assert_eq!((ports[0] != 8, ports[1] == ports[0], ports[2]), (true, true, 8), "{ports:?}");
    }
}
