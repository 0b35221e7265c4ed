// SPDX-License-Identifier: GPL-2.0-only
//! Packets of the naive network, and the many requests at once of `fill`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nfexp_traces::transcript::{Answer, CtNew, Event, ExpNew, Family, Packet, Parts};

use super::super::words::{Key, agree, all_ones, inverse, parse, policy_of, same_dst, translated};
use super::{Ct, Exp, Naive};

impl Naive {
    pub(super) fn fill(&mut self, masters: u32, per: u32) -> Answer {
        let mut errs = BTreeMap::new();
        let ip = |text: &str| text.parse().expect("a literal address");
        let (client, server) = (Some(ip("10.0.0.1")), Some(ip("10.0.0.2")));
        let udp = |src, dst, sport, dport: u32| {
            let (sport, dport) = (Some(sport as u16), Some(dport as u16));
            Some(Parts { src, dst, proto: Some(17), sport, dport, ..Parts::default() })
        };
        for m in 0..masters {
            let master = udp(client, server, 1000 + m, 1719);
            let helper = Some("RAS".to_owned());
            let timeout = Some(3600);
            let new = CtNew { orig: master, helper, timeout, ..CtNew::default() };
            // Its own answer is not among those that are counted.
            let _ = self.ct_new(&new);
            for j in 0..per {
                let tuple = udp(server, client, 0, 1 + m * per + j);
                let ones = Some(ip("255.255.255.255"));
                let mask = udp(ones, ones, 0, 0xffff);
                let new = ExpNew { master, tuple, mask, ..ExpNew::default() };
                let name = self.exp_new(&new).err().unwrap_or("OK");
                *errs.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        let made = self.events.iter().filter(|event| matches!(event, Event::ExpNew { .. })).count();
        Answer { made: Some(made as u64), errs: Some(errs), ..Answer::default() }
    }

    pub(super) fn forward(&mut self, packet: &Packet, zone: u16) -> bool {
        let l3 = match packet.tuple.src {
            Some(IpAddr::V4(_)) => Family::Ip,
            Some(IpAddr::V6(_)) => Family::Ip6,
            None => Family::Any,
        };
        let Ok(key) = parse(l3, &packet.tuple) else { return true };
        if let Some(ct) = self.find_ct(&key, zone) {
            if key.proto == 6 && packet.tcp.as_deref() == Some("R") {
                // KERNEL: nf_conntrack_tcp_packet(), all revisions: nobody has answered here, so
                // a reset ends it at once.
                self.ct_del(ct, false);
                return true;
            }
            return self.tftp(packet, ct);
        }
        let Some(reply) = inverse(&key) else { return true };
        let matched = self.exps.iter().find(|exp| {
            let here = self.cts[exp.master].zone == zone && exp.flags & 2 == 0;
            here && same_dst(&exp.key, &key) && agree(&exp.key, &key, exp.mask)
        });
        let translated = matched.and_then(|exp| {
            let saved = exp.nat.unwrap_or((0, 0, 0));
            let master = &self.cts[exp.master];
            let rest = self.exps.iter().filter(|other| exp.flags & 1 != 0 || other.e != exp.e);
            let mut rest = rest.filter(|other| other.master == exp.master && exp.class != 0);
            let pair = rest.find(|other| {
                let (_, addr, port) = other.nat.unwrap_or((0, 0, 0));
                let same = (other.key.l3, other.key.proto) == (key.l3, key.proto);
                same && (addr, port) == (key.src, key.a)
            });
            let of = (&exp.key, pair.map(|pair| &pair.key));
            let ends = (&master.orig, &master.reply);
            translated(&key, exp.function.as_deref()?, of, saved, ends)
        });
        let reply = translated.unwrap_or(reply);
        let matched = matched.map(|exp| (exp.e, exp.master, exp.flags & 1 != 0));
        if let Some((e, _, permanent)) = matched {
            self.counters.expect_new += 1;
            if !permanent {
                self.drop_where(false, |_, exp| exp.e == e);
            }
        }
        // A first packet that begins nothing: a reset, an ICMP answer.
        let kind = key.b >> 8;
        let begins = match key.proto {
            6 => packet.tcp.as_deref().unwrap_or("S") == "S",
            1 => [8, 13, 15, 17].contains(&kind),
            58 => [128, 139].contains(&kind),
            _ => true,
        };
        if !begins {
            return true;
        }
        let master = matched.map(|(_, master, _)| master);
        let mark = master.map_or(0, |master| self.cts[master].mark);
        let ct = Ct { orig: key, reply, zone, helper: None, mark, master, alive: true };
        let rule = self.nft.iter().find(|rule| key.proto == 17 && key.b == rule.udp_dport).copied();
        // Somebody else may have either of its directions: then it does not get in.
        let taken = [key, reply].iter().any(|key| self.find_ct(key, zone).is_some());
        let Some(rule) = rule.filter(|rule| rule.size > 0) else {
            if !taken {
                self.ct_enters(ct, false);
            }
            return !taken;
        };
        // The rule applies before the connection is confirmed, so it is there only for a moment.
        let at = self.cts.len();
        self.cts.push(Ct { helper: Some(None), ..ct });
        let exp = Exp {
            e: 0,
            key: Key { proto: rule.l4, a: 0, b: rule.dport, ..reply },
            mask: (all_ones(key.l3), 0),
            master: at,
            class: 0,
            flags: 0,
            deadline_ms: self.now_ms + self.lifetime_ms(rule.seconds),
            nat: None,
            function: None,
        };
        let made = self.insert(exp, None, false).is_ok();
        if taken {
            self.drop_where(false, |_, exp| exp.master == at);
        }
        let ct = self.cts.pop().expect("pushed above");
        if made && !taken {
            self.ct_enters(ct, false);
        }
        made && !taken
    }

    /// A request to a TFTP server: false if the packet is dropped.
    pub(super) fn tftp(&mut self, packet: &Packet, ct: usize) -> bool {
        let asks = packet
            .hex
            .as_deref()
            .is_some_and(|hex| hex.starts_with("0001") || hex.starts_with("0002"));
        let Ct { reply, helper, .. } = self.cts[ct].clone();
        if !asks || helper != Some(Some("tftp".to_owned())) {
            return true;
        }
        let policy = policy_of("tftp", 0);
        let exp = Exp {
            e: 0,
            key: Key { proto: 17, a: 0, ..reply },
            mask: (all_ones(reply.l3), 0),
            master: ct,
            class: 0,
            flags: 0,
            deadline_ms: self.now_ms + self.lifetime_ms(300),
            nat: None,
            function: None,
        };
        self.insert(exp, policy, false).is_ok()
    }
}
