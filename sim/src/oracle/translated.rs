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
#[derive(Clone, Copy, Debug, Default)]
pub struct Translation {
    function: Option<Function>,
    /// Its master's tuples.
    master: [Parts; 2],
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
    pub fn new(function: Option<&str>, master: [Parts; 2], nat: Option<&NatArg>) -> Self {
        let place = FUNCTIONS.iter().position(|name| function == Some(name));
        let all = [Function::Follow, Function::Sip, Function::Q931, Function::Forward];
        let function = place.map(|place| all[place]);
        let saved = nat.and_then(|nat| nat.tuple);
        let port = Some(saved.and_then(|tuple| tuple.sport).unwrap_or(0));
        let dir = nat.and_then(|nat| nat.dir).unwrap_or(0);
        Self { function, master, dir, addr: saved.and_then(|tuple| tuple.src), port }
    }

    /// Whether both are of one master.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.master == other.master
    }

    /// Where it goes.
    #[must_use]
    pub fn goes_to(&self) -> Option<(IpAddr, u16)> {
        self.addr.zip(self.port)
    }

    /// The tuple of the answers to what came by `orig`, when `expected` waited for it; a medium
    /// is from where its `pair` waits. None if no function translates it.
    #[must_use]
    pub fn answers(&self, orig: &Parts, expected: &Parts, pair: Option<&Parts>) -> Option<Parts> {
        let [here, there] =
            if self.dir == 0 { self.master } else { [self.master[1], self.master[0]] };
        let anyone = expected.src.is_some_and(|src| src.is_unspecified());
        let fresh = if self.dir == 0 { orig.dst } else { orig.src };
        let sport = orig.sport;
        let (src, sport, dst) = match (self.function?, pair) {
            (Function::Sip, Some(pair)) => (pair.dst, pair.dport, self.addr),
            (Function::Sip, None) if orig.src == here.src => (there.dst, sport, self.addr),
            (Function::Sip, None) => (orig.src, sport, self.addr),
            (Function::Q931, _) if anyone => (fresh, sport, there.src),
            (Function::Follow | Function::Q931, _) => (there.dst, sport, there.src),
            (Function::Forward, _) => (fresh, sport, self.addr),
        };
        let dport = orig.dport.and(self.port);
        let (src, dst) = (src.or(orig.src), dst.or(orig.dst));
        Some(inverse(&Parts { src, sport, dst, dport, ..*orig }))
    }
}
