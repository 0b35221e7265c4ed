// SPDX-License-Identifier: GPL-2.0-only
//! What both directions of a connection have in common.
//!
//! *End*: an address and a port. A tuple says which end a packet comes from and which it goes to; its
//! *key* says only which two they are: the lower first. So either direction is found by the same
//! comparison, and which it is needs no guess.
//!
//! The rule that matters: of a protocol whose answers swap the words, tuple and answer have the same
//! key, and nothing else has.

use nfexp_model::tuple::{Addr, L3, Proto, Tuple};

/// Two ends, and of what protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// The lower end; of IPv4, address and port together in the first word.
    low: [u64; 2],
    /// The higher one.
    high: [u64; 2],
    /// Protocol and family; of IPv6, also the ports.
    rest: u64,
}

impl Key {
    /// The key of a tuple, and whether it is turned: from the higher end to the lower.
    #[inline(always)]
    pub(super) fn of(tuple: &Tuple) -> (Self, bool) {
        let rest = u64::from(tuple.proto.0) | u64::from(tuple.l3.number()) << 8;
        if tuple.l3 == L3::Ipv4 {
            let end = |addr: Addr, port| u64::from(addr.words()[0]) << 16 | u64::from(port);
            let (src, dst) = (end(tuple.src, tuple.sport), end(tuple.dst, tuple.dport));
            return (Self { low: [src.min(dst), 0], high: [src.max(dst), 0], rest }, src > dst);
        }
        let (src, dst) = ((tuple.src.bits(), tuple.sport), (tuple.dst.bits(), tuple.dport));
        let turned = src > dst;
        let (low, high) = if turned { (dst, src) } else { (src, dst) };
        let halves = |bits: u128| [bits as u64, (bits >> 64) as u64];
        let rest = rest | u64::from(low.1) << 16 | u64::from(high.1) << 32;
        (Self { low: halves(low.0), high: halves(high.0), rest }, turned)
    }

    /// Whether it is another, without a branch.
    #[inline(always)]
    pub(super) const fn differs(&self, other: &Self) -> bool {
        let low = (self.low[0] ^ other.low[0]) | (self.low[1] ^ other.low[1]);
        let high = (self.high[0] ^ other.high[0]) | (self.high[1] ^ other.high[1]);
        low | high | (self.rest ^ other.rest) != 0
    }

    /// Whether the answers have the words swapped, and are not the same again.
    #[inline]
    pub(super) fn is_swapped(&self) -> bool {
        let swaps = matches!(Proto(self.rest as u8), Proto::TCP | Proto::UDP | Proto::UDPLITE);
        let one = self.rest >> 16 & 0xffff == self.rest >> 32;
        swaps && !(self.low == self.high && one)
    }

    /// Mixed, 56 bits of it.
    #[inline(always)]
    pub(super) const fn mix(&self) -> u64 {
        let low = self.low[0] ^ self.low[1] ^ 0x9e37_79b9_7f4a_7c15;
        let high = self.high[0] ^ self.high[1] ^ self.rest ^ 0xc2b2_ae3d_27d4_eb4f;
        let product = low as u128 * high as u128;
        (product as u64 ^ (product >> 64) as u64) >> 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuple_and_answer_have_one_key_and_no_other_has() {
        let ends = [("10.0.0.1", 1), ("10.0.0.1", 2), ("10.0.0.2", 1), ("1.0.0.10", 1)];
        let ends_v6 = [("fd00::1", 1), ("fd00::1", 2), ("fd00::2", 1), ("1::fd00", 1), ("::", 1)];
        let both = |(one, port): (&str, u16), (other, other_port): (&str, u16), proto| {
            let ip = |text: &str| text.parse().expect("a literal address");
            Tuple::new(proto, ip(one), port, ip(other), other_port)
        };
        let mut tuples = Vec::new();
        for proto in [Proto::TCP, Proto::UDP] {
            for ends in [&ends[..], &ends_v6[..]] {
                let pairs = ends.iter().flat_map(|one| ends.iter().map(move |other| (one, other)));
                tuples.extend(pairs.map(|(one, other)| both(*one, *other, proto)));
            }
        }
        for one in &tuples {
            let (key, turned) = Key::of(one);
            assert_eq!(key.is_swapped(), one.inverse() != Some(*one), "{one}");
            for other in &tuples {
                let (other_key, other_turned) = Key::of(other);
                let answers = one.inverse() == Some(*other);
                assert_eq!(key == other_key, one == other || answers, "{one} and {other}");
                assert_eq!(key.differs(&other_key), key != other_key);
                if answers && one != other {
                    assert_ne!(turned, other_turned, "{one} and {other}");
                }
            }
        }
    }
}
