// SPDX-License-Identifier: GPL-2.0-only
//! Laws between the small types: what clashing, matching and hashing have to do with each other.
//!
//! * Clashing is symmetric, and everything clashes with itself.
//! * Two things clash exactly if some packet could hit both.
//! * Whatever a packet hits lies in the packet's own bucket; so does whatever clashes.

use nfexp_model::expectation::clash;
use nfexp_model::kernel::hlist::DstHash;
use nfexp_model::netns::NetId;
use nfexp_model::revision::HashKind;
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};
use quickcheck::{Arbitrary, Gen, quickcheck};

/// An expectation's key, from few enough values that clashes and hits are common.
#[derive(Clone, Debug)]
struct Key(Tuple, Mask);

fn bits<const N: usize>(g: &mut Gen) -> u8 {
    let values = [0x00, 0xff, 0xf0, 0x0f, 0x80, 0x01];
    values[usize::arbitrary(g) % values.len().min(N)]
}

impl Arbitrary for Key {
    fn arbitrary(g: &mut Gen) -> Self {
        let l3 = *g.choose(&[L3::Ipv4, L3::Ipv4, L3::Ipv6]).expect("not empty");
        let (mut src, mut dst, mut mask) = ([0; 16], [0; 16], [0; 16]);
        let len = if l3 == L3::Ipv4 { 4 } else { 16 };
        for at in [0, len - 1] {
            src[at] = bits::<6>(g);
            mask[at] = bits::<6>(g);
        }
        dst[len - 1] = u8::arbitrary(g) % 2;
        let proto = *g.choose(&[Proto::TCP, Proto::TCP, Proto::UDP]).expect("not empty");
        let port = |g: &mut Gen| u16::from(bits::<6>(g)) << 8 | u16::from(bits::<2>(g));
        let (src, dst, sport, sport_mask) = (Addr(src), Addr(dst), port(g), port(g));
        let dport = u16::from(u8::arbitrary(g) % 2);
        let mask = Mask { src: Addr(mask), sport: sport_mask };
        Self(Tuple { src, dst, sport, dport, l3, proto }, mask)
    }
}

/// The packet that looks like both wherever their masks look.
fn witness(a: &Key, b: &Key) -> Tuple {
    let mut src = [0; 16];
    for (at, byte) in src.iter_mut().enumerate() {
        *byte = a.0.src.0[at] & a.1.src.0[at] | b.0.src.0[at] & b.1.src.0[at];
    }
    Tuple { src: Addr(src), sport: a.0.sport & a.1.sport | b.0.sport & b.1.sport, ..a.0 }
}

fn clashes(a: &Key, b: &Key) -> bool {
    clash((&a.0, &a.1), (&b.0, &b.1))
}

fn buckets(tuple: &Tuple) -> [u32; 2] {
    [HashKind::Jhash2, HashKind::Siphash]
        .map(|kind| DstHash { kind, seed: 0x5eed, buckets: 1 << 20 }.bucket(NetId(1), tuple))
}

quickcheck! {
    fn prop_clashing_is_symmetric(a: Key, b: Key) -> bool {
        clashes(&a, &b) == clashes(&b, &a)
    }

    fn prop_everything_clashes_with_itself(a: Key) -> bool {
        clashes(&a, &a)
    }

    fn prop_two_clash_exactly_if_a_packet_hits_both(a: Key, b: Key) -> bool {
        let packet = witness(&a, &b);
        let hits = packet.matches(&a.0, &a.1) && packet.matches(&b.0, &b.1);
        clashes(&a, &b) == hits
    }

    fn prop_what_a_packet_hits_is_in_its_bucket(a: Key, packet: Key) -> bool {
        !packet.0.matches(&a.0, &a.1) || buckets(&packet.0) == buckets(&a.0)
    }

    fn prop_what_clashes_is_in_one_bucket(a: Key, b: Key) -> bool {
        !clashes(&a, &b) || buckets(&a.0) == buckets(&b.0)
    }

    fn prop_the_source_is_not_hashed(a: Key, b: Key) -> bool {
        let moved = Tuple { src: b.0.src, sport: b.0.sport, ..a.0 };
        buckets(&moved) == buckets(&a.0)
    }
}

/// The laws above are not about nothing: clashes and hits do come up.
#[test]
fn clashes_are_common() {
    let mut g = Gen::new(100);
    let pairs: Vec<(Key, Key)> = (0..1000).map(|_| Arbitrary::arbitrary(&mut g)).collect();
    let count = pairs.iter().filter(|(a, b)| clashes(a, b)).count();
    assert!((10..990).contains(&count), "{count} of 1000");
}
