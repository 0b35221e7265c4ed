// SPDX-License-Identifier: GPL-2.0-only
//! nf_tables, as far as it is needed: zones by interface, and `ct expectation` objects.
//!
//! ```text
//! table inet nfexp  chain zones   prerouting -300   iif z1: ct zone set 1 …
//!                   chain silent  output     -300   drop: the namespace itself says nothing
//! table ip nfexp    ct expectation e4321 …
//!                   chain expect  prerouting    0   udp dport 4321: ct expectation set "e4321"
//! ```
//!
//! The rule that matters: one batch, one answer; a batch is taken whole or not at all.
//!
//! # Source
//! `include/uapi/linux/netfilter/nf_tables.h`, 6.18.

use nfexp_traces::transcript::NftExpectation;

use super::netlink::{ACK, APPEND, CREATE, Writer};

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const NEW_OBJECT: u16 = SUBSYSTEM | 18;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const INET: u8 = 1;
const IPV4: u8 = 2;
const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const CT_EXPECTATION: u32 = 9;
const TABLE: &str = "nfexp";
const REGISTER: u32 = 1;
const UDP: u8 = 17;

/// The whole rule set: `zones` are pairs of interface index and zone.
#[must_use]
pub fn ruleset(sequence: u32, zones: &[(u32, u16)], objects: &[NftExpectation]) -> Vec<u8> {
    let mut batch = Batch { writer: Writer::default(), sequence };
    batch.writer.begin_netfilter(BATCH_BEGIN, 0, sequence, 0, SUBSYSTEM >> 8);
    batch.table(INET);
    batch.chain(INET, "silent", OUTPUT, -300, DROP);
    batch.chain(INET, "zones", PREROUTING, -300, ACCEPT);
    for (index, zone) in zones {
        batch.rule(INET, "zones", 0, |rule| {
            load_meta(rule, 4);
            compare(rule, &index.to_ne_bytes());
            expression(rule, "immediate", |data| {
                data.be32(1, REGISTER);
                data.nest(2, |value| value.put(1, &zone.to_ne_bytes()));
            });
            expression(rule, "ct", |data| {
                data.be32(2, 17);
                data.be32(4, REGISTER);
            });
        });
    }
    batch.table(IPV4);
    batch.chain(IPV4, "expect", PREROUTING, 0, ACCEPT);
    for object in objects {
        batch.object(object);
    }
    for (place, object) in objects.iter().enumerate() {
        let last = place + 1 == objects.len();
        batch.rule(IPV4, "expect", if last { ACK } else { 0 }, |rule| {
            load_meta(rule, 16);
            compare(rule, &[UDP]);
            expression(rule, "payload", |data| {
                data.be32(1, REGISTER);
                data.be32(2, 2);
                data.be32(3, 2);
                data.be32(4, 2);
            });
            compare(rule, &object.udp_dport.to_be_bytes());
            expression(rule, "objref", |data| {
                data.be32(1, CT_EXPECTATION);
                data.text(2, &name(object));
            });
        });
    }
    batch.writer.begin_netfilter(BATCH_END, 0, sequence, 0, SUBSYSTEM >> 8);
    batch.writer.finish()
}

#[derive(Debug)]
struct Batch {
    writer: Writer,
    sequence: u32,
}

impl Batch {
    fn table(&mut self, family: u8) {
        self.writer.begin_netfilter(NEW_TABLE, CREATE, self.sequence, family, 0);
        self.writer.text(1, TABLE);
    }

    fn chain(&mut self, family: u8, name: &str, hook: u32, priority: i32, policy: u32) {
        self.writer.begin_netfilter(NEW_CHAIN, CREATE, self.sequence, family, 0);
        self.writer.text(1, TABLE);
        self.writer.text(3, name);
        self.writer.nest(4, |spec| {
            spec.be32(1, hook);
            spec.put(2, &priority.to_be_bytes());
        });
        self.writer.be32(5, policy);
        self.writer.text(7, "filter");
    }

    fn object(&mut self, object: &NftExpectation) {
        self.writer.begin_netfilter(NEW_OBJECT, CREATE, self.sequence, IPV4, 0);
        self.writer.text(1, TABLE);
        self.writer.text(2, &name(object));
        self.writer.be32(3, CT_EXPECTATION);
        self.writer.nest(4, |data| {
            data.be16(1, u16::from(IPV4));
            data.put(2, &[object.l4]);
            data.be16(3, object.dport);
            data.put(4, &object.seconds.to_ne_bytes());
            data.put(5, &[object.size]);
        });
    }

    fn rule(&mut self, family: u8, chain: &str, flags: u16, expressions: impl FnOnce(&mut Writer)) {
        self.writer.begin_netfilter(NEW_RULE, CREATE | APPEND | flags, self.sequence, family, 0);
        self.writer.text(1, TABLE);
        self.writer.text(2, chain);
        self.writer.nest(4, expressions);
    }
}

fn name(object: &NftExpectation) -> String {
    format!("e{}", object.udp_dport)
}

fn expression(rule: &mut Writer, name: &str, data: impl FnOnce(&mut Writer)) {
    rule.nest(1, |element| {
        element.text(1, name);
        element.nest(2, data);
    });
}

fn load_meta(rule: &mut Writer, key: u32) {
    expression(rule, "meta", |data| {
        data.be32(1, REGISTER);
        data.be32(2, key);
    });
}

fn compare(rule: &mut Writer, value: &[u8]) {
    expression(rule, "cmp", |data| {
        data.be32(1, REGISTER);
        data.be32(2, 0);
        data.nest(3, |inside| inside.put(1, value));
    });
}
