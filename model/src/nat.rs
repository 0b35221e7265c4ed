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
            ExpectFn::NatFollowMaster => {
                self.translate(ct, Manip::Src, ends[1].dst, None);
                self.translate(ct, Manip::Dst, ends[1].src, Some(saved.port));
            }
            ExpectFn::Sip => {
                self.translate(ct, Manip::Dst, saved.addr, Some(saved.port));
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
        let net = self.conn(ct.id()).about().net;
        let (_, zone) = self.place_of(ct.id());
        let begin = ct.id().index().wrapping_mul(7919);
        let others = (0..128).map(|step| {
            let port = begin.wrapping_add(step) % (u32::from(u16::MAX) - LOWEST) + LOWEST;
            u16::try_from(port).unwrap_or(u16::MAX)
        });
        let free = |sport: &u16| {
            let reply = Tuple { sport: *sport, ..tuple }.inverse();
            reply.is_none_or(|reply| !self.is_taken(net, zone, &reply))
        };
        [tuple.sport].into_iter().chain(others).find(free).unwrap_or(tuple.sport)
    }

    /// Maps one end to an address, and to a port if one is named.
    #[doc(alias = "nf_nat_setup_info")]
    fn translate(&self, ct: &ConnRef, manip: Manip, addr: Addr, port: Option<u16>) {
        let conn = self.conn(ct.id());
        let about = conn.about();
        let Some(mut tuple) = about.reply.inverse() else {
            return;
        };
        let has_words = !matches!(tuple.proto, Proto::DCCP)
            && (self.config.revision.has_ports(tuple.proto)
                || matches!(tuple.proto, Proto::GRE | Proto::ICMP | Proto::ICMPV6));
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
            tuple.sport = self.free_port(ct, tuple);
        }
        if let Some(reply) = tuple.inverse() {
            conn.about.set(AboutConn { reply, ..about });
        }
    }
}
