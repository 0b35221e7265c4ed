// SPDX-License-Identifier: GPL-2.0-only
//! Tuples in numbers, and what is read from and written to a transcript.

use std::net::IpAddr;

use nfexp_model::helper::{ExpectPolicy, IN_TREE};
use nfexp_traces::transcript::{Answer, Family, Parts};

pub(crate) type Errno = &'static str;

/// A tuple in numbers: family, source, destination, protocol, and the two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) l3: Family,
    pub(crate) src: u128,
    pub(crate) dst: u128,
    pub(crate) proto: u8,
    pub(crate) a: u16,
    pub(crate) b: u16,
}

pub(crate) fn ret(result: Result<(), Errno>) -> Answer {
    Answer { ret: Some(result.err().unwrap_or("OK").to_owned()), ..Answer::default() }
}

pub(crate) fn parse(l3: Family, tuple: &Parts) -> Result<Key, Errno> {
    if l3 == Family::Any {
        return Err("EOPNOTSUPP");
    }
    let number = |address: Option<IpAddr>| match (l3, address) {
        (Family::Ip, Some(IpAddr::V4(ip))) => Ok(u128::from(ip.to_bits())),
        (Family::Ip6, Some(IpAddr::V6(ip))) => Ok(ip.to_bits()),
        _ => Err("EINVAL"),
    };
    let (src, dst) = (number(tuple.src)?, number(tuple.dst)?);
    let proto = tuple.proto.ok_or("EINVAL")?;
    let (a, b) = match proto {
        6 | 17 | 132 | 136 | 47 => (tuple.sport.ok_or("EINVAL")?, tuple.dport.ok_or("EINVAL")?),
        1 | 58 => {
            let kind = tuple.kind.ok_or("EINVAL")?;
            let code = tuple.code.ok_or("EINVAL")?;
            let id = tuple.id.ok_or("EINVAL")?;
            (id, u16::from(kind) << 8 | u16::from(code))
        }
        _ => (0, 0),
    };
    let key = Key { l3, src, dst, proto, a, b };
    inverse(&key).map(|_| key).ok_or("EINVAL")
}

pub(crate) fn inverse(key: &Key) -> Option<Key> {
    let swapped = Key { src: key.dst, dst: key.src, ..*key };
    if key.proto != 1 && key.proto != 58 {
        return Some(Key { a: key.b, b: key.a, ..swapped });
    }
    let pairs: &[(u16, u16)] = match key.proto {
        1 => &[(8, 0), (13, 14), (15, 16), (17, 18)],
        _ => &[(128, 129), (139, 140)],
    };
    let kind = key.b >> 8;
    let other = pairs.iter().find_map(|(ask, answer)| match kind {
        kind if kind == *ask => Some(*answer),
        kind if kind == *answer => Some(*ask),
        _ => None,
    });
    other.map(|other| Key { b: other << 8 | key.b & 255, ..swapped })
}

pub(crate) fn same_dst(a: &Key, b: &Key) -> bool {
    (a.l3, a.proto, a.dst, a.b) == (b.l3, b.proto, b.dst, b.b)
}

pub(crate) fn agree(a: &Key, b: &Key, mask: (u128, u16)) -> bool {
    (a.src ^ b.src) & mask.0 == 0 && (a.a ^ b.a) & mask.1 == 0
}

pub(crate) const fn all_ones(l3: Family) -> u128 {
    match l3 {
        Family::Ip => 0xffff_ffff,
        _ => u128::MAX,
    }
}

pub(crate) fn address(l3: Family, bits: u128) -> IpAddr {
    match l3 {
        Family::Ip => IpAddr::V4((bits as u32).into()),
        _ => IpAddr::V6(bits.into()),
    }
}

pub(crate) fn full(l3: Family, bits: u128) -> String {
    match address(l3, bits) {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.segments().map(|group| format!("{group:04x}")).join(":"),
    }
}

pub(crate) fn parts(key: &Key) -> Parts {
    let (src, dst) = (Some(address(key.l3, key.src)), Some(address(key.l3, key.dst)));
    let bare = Parts { src, dst, proto: Some(key.proto), ..Parts::default() };
    match key.proto {
        6 | 17 | 132 | 136 | 47 => Parts { sport: Some(key.a), dport: Some(key.b), ..bare },
        1 | 58 => {
            let [kind, code] = key.b.to_be_bytes();
            Parts { id: Some(key.a), kind: Some(kind), code: Some(code), ..bare }
        }
        _ => bare,
    }
}

pub(crate) fn policy_of(helper: &str, class: u32) -> Option<ExpectPolicy> {
    let helper = IN_TREE.iter().find(|known| known.name == helper)?;
    helper.policies.get(class as usize).copied()
}

pub(crate) fn is_registered(helper: &str, orig: &Key) -> bool {
    IN_TREE.iter().any(|known| {
        let families = known.l3.iter().any(|l3| Family::of(*l3) == orig.l3);
        let protocols = known.proto.iter().any(|proto| proto.0 == orig.proto);
        known.name == helper && families && protocols
    })
}

/// The reply tuple of an announced connection after its expectation's function; `None` if that
/// does nothing. A medium is from where its `pair` waits. The search for a free port is not
/// followed.
pub(crate) fn translated(
    key: &Key,
    function: &str,
    (expected, pair): (&Key, Option<&Key>),
    (dir, addr, port): (u32, u128, u16),
    (orig, reply): (&Key, &Key),
) -> Option<Key> {
    let (here, there) = if dir == 0 { (orig, reply) } else { (reply, orig) };
    let mut goes = *key;
    let has_words = matches!(key.proto, 6 | 17 | 132 | 136 | 47 | 1 | 58);
    let to_port = |goes: &mut Key, port| match key.proto {
        1 | 58 => goes.a = port,
        _ if has_words => goes.b = port,
        _ => {}
    };
    let first_word = if key.l3 == Family::Ip6 { expected.src >> 96 } else { expected.src };
    match function {
        // The caller of a call is known by the first word of where it is expected from.
        _ if function == "nat-follow-master" || (function == "Q.931" && first_word != 0) => {
            goes.src = there.dst;
            goes.dst = there.src;
            to_port(&mut goes, port);
        }
        "sip" => {
            goes.dst = addr;
            to_port(&mut goes, port);
            if let Some(pair) = pair {
                goes.src = pair.dst;
                goes.a = if has_words { pair.b } else { goes.a };
            } else if key.src == here.src {
                goes.src = there.dst;
            }
        }
        "Q.931" | "callforwarding" => {
            goes.src = if dir == 0 { key.dst } else { key.src };
            goes.dst = if function == "callforwarding" { addr } else { there.src };
            to_port(&mut goes, port);
        }
        _ => return None,
    }
    inverse(&goes)
}
