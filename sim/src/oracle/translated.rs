// SPDX-License-Identifier: GPL-2.0-only
//! Where the answers to an announced connection come from, if a function translated it.
//!
//! Aims packets, and decides nothing: whether one is an answer the kernel says, and the model.
//!
//! # Source
//! `nf_nat_follow_master()`, `nf_nat_sip_expected()`, `ip_nat_q931_expect()` and
//! `ip_nat_callforwarding_expect()`, 6.18.

use std::net::IpAddr;

use nfexp_traces::transcript::{NatArg, Parts};

use super::ctnetlink::inverse;

/// What an expectation's function is given.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    function: Function,
    /// The original tuple of its master.
    master: Parts,
    dir: u32,
    addr: Option<IpAddr>,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Follow,
    Sip,
    Q931,
    Forward,
}

/// The functions that a user may name.
pub const FUNCTIONS: [&str; 4] = ["nat-follow-master", "sip", "Q.931", "callforwarding"];

impl Translation {
    /// Of an expectation's event.
    #[must_use]
    pub fn new(function: Option<&str>, master: Parts, nat: Option<&NatArg>) -> Option<Self> {
        let place = FUNCTIONS.iter().position(|name| function == Some(name))?;
        let function = [Function::Follow, Function::Sip, Function::Q931, Function::Forward][place];
        let saved = nat.and_then(|nat| nat.tuple);
        let port = Some(saved.and_then(|tuple| tuple.sport).unwrap_or(0));
        let dir = nat.and_then(|nat| nat.dir).unwrap_or(0);
        Some(Self { function, master, dir, addr: saved.and_then(|tuple| tuple.src), port })
    }

    /// The tuple of the answers to what came by `orig`, when `expected` waited for it.
    #[must_use]
    pub fn answers(&self, orig: &Parts, expected: &Parts) -> Parts {
        let there = inverse(&self.master);
        let (here, there) = if self.dir == 0 { (self.master, there) } else { (there, self.master) };
        let anyone = expected.src.is_some_and(|src| src.is_unspecified());
        let fresh = if self.dir == 0 { orig.dst } else { orig.src };
        let (src, dst) = match self.function {
            Function::Sip if orig.src == here.src => (there.dst, self.addr),
            Function::Sip => (orig.src, self.addr),
            Function::Q931 if anyone => (fresh, there.src),
            Function::Follow | Function::Q931 => (there.dst, there.src),
            Function::Forward => (fresh, self.addr),
        };
        let dport = orig.dport.and(self.port);
        inverse(&Parts { src: src.or(orig.src), dst: dst.or(orig.dst), dport, ..*orig })
    }
}
