// SPDX-License-Identifier: GPL-2.0-only
//! Who talks to whom: tuples, and the masks that blur their source.
//!
//! *Tuple*: source and destination address, the two protocol words (ports, ICMP id, GRE keys),
//! the address family and the transport protocol. *Mask*: which bits of the *source* must be
//! equal for a tuple to match. The destination is always compared exactly:
//!
//! ```text
//!            src address   src word   family   protocol   dst address   dst word
//!  matches:   under mask  under mask   equal      equal       equal        equal
//! ```
//!
//! The rule that matters: two expectations can only match, clash with or replace each other
//! if their destinations are equal, so hashing the destination alone loses nothing.
//!
//! IPv4 addresses occupy the first four bytes of an [`Addr`]; the other twelve are zero, and
//! every constructor keeps them so. Without that, equality would compare garbage.
//!
//! # Source
//! `nf_conntrack_tuple.h`, all revisions: `nf_ct_tuple_equal`, `nf_ct_tuple_mask_cmp`,
//! `nf_ct_tuple_mask_equal`.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One end-to-end flow in one direction (`struct nf_conntrack_tuple`, without its direction).
#[doc(alias = "nf_conntrack_tuple")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct Tuple {
    /// Source address (`src.u3`).
    pub src: Addr,
    /// Destination address (`dst.u3`).
    pub dst: Addr,
    /// Source protocol word (`src.u.all`): port, ICMP id or GRE key, in host order.
    pub sport: u16,
    /// Destination protocol word (`dst.u.all`): port, GRE key, or ICMP type and code
    /// (type in the high byte), in host order.
    pub dport: u16,
    /// Address family (`src.l3num`).
    pub l3: L3,
    /// Transport protocol (`dst.protonum`).
    pub proto: Proto,
}

impl Tuple {
    /// No flow at all: a blank record.
    pub const NONE: Self = Self {
        src: Addr([0; 16]),
        dst: Addr([0; 16]),
        sport: 0,
        dport: 0,
        l3: L3::Unspec,
        proto: Proto(0),
    };

    /// A tuple between two addresses of one family.
    ///
    /// # Panics
    /// If the two addresses are of different families: no packet has such a pair.
    #[must_use]
    pub fn new(proto: Proto, src: IpAddr, sport: u16, dst: IpAddr, dport: u16) -> Self {
        let l3 = L3::of(src);
        assert!(l3 == L3::of(dst), "a tuple has one address family: {src} > {dst}");
        Self { src: src.into(), dst: dst.into(), sport, dport, l3, proto }
    }

    /// Whether this tuple is one that `expected`, blurred by `mask`, stands for.
    ///
    /// # Source
    /// `nf_ct_tuple_mask_cmp()`, all revisions.
    #[doc(alias = "nf_ct_tuple_mask_cmp")]
    #[inline]
    #[must_use]
    pub fn matches(&self, expected: &Self, mask: &Mask) -> bool {
        // Destination first: within a bucket it differs far more often than the source.
        self.same_destination(expected)
            && (self.src.bits() ^ expected.src.bits()) & mask.src.bits() == 0
            && (self.sport ^ expected.sport) & mask.sport == 0
    }

    /// Equal destination address and word, family and protocol.
    #[doc(alias = "__nf_ct_tuple_dst_equal")]
    #[inline]
    #[must_use]
    pub fn same_destination(&self, other: &Self) -> bool {
        self.dst.bits() == other.dst.bits() && self.tail() == other.tail()
    }

    /// Destination word, family and protocol in one word, as they lie in memory.
    #[inline(always)]
    pub(crate) const fn tail(&self) -> u32 {
        self.dport as u32 | (self.l3.number() as u32) << 16 | (self.proto.0 as u32) << 24
    }

    /// The tuple of the answer, as each protocol inverts it; `None` where the protocol has no
    /// answer to this (an ICMP error, say).
    ///
    /// # Source
    /// `nf_ct_invert_tuple()` and the `invert_tuple` of each protocol, all revisions.
    #[doc(alias = "nf_ct_invert_tuple")]
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let swapped = Self { src: self.dst, dst: self.src, ..*self };
        Some(match self.proto {
            Proto::ICMP => Self { dport: icmp_answer(self.dport)?, ..swapped },
            Proto::ICMPV6 => Self { dport: icmpv6_answer(self.dport)?, ..swapped },
            // A protocol without a tracker of its own has no words: swapping zeroes is right too.
            _ => Self { sport: self.dport, dport: self.sport, ..swapped },
        })
    }
}

impl fmt::Display for Tuple {
    /// `tcp 10.0.0.2:40000 > 10.0.0.1:21`, the form of a trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.proto)?;
        write_end(f, self.src.ip(self.l3), self.sport)?;
        f.write_str(" > ")?;
        write_end(f, self.dst.ip(self.l3), self.dport)
    }
}

fn write_end(f: &mut fmt::Formatter<'_>, ip: IpAddr, word: u16) -> fmt::Result {
    match ip {
        IpAddr::V4(ip) => write!(f, "{ip}:{word}"),
        IpAddr::V6(ip) => write!(f, "[{ip}]:{word}"),
    }
}

/// Type and code of the ICMP message that answers `word`.
fn icmp_answer(word: u16) -> Option<u16> {
    let answer = match word >> 8 {
        8 => 0,
        0 => 8,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    };
    Some(answer << 8 | word & 0xff)
}

/// Type and code of the ICMPv6 message that answers `word`.
fn icmpv6_answer(word: u16) -> Option<u16> {
    let answer = match word >> 8 {
        128 => 129,
        129 => 128,
        139 => 140,
        140 => 139,
        _ => return None,
    };
    Some(answer << 8 | word & 0xff)
}

/// Which bits of a tuple's source must be equal (`struct nf_conntrack_tuple_mask`).
#[doc(alias = "nf_conntrack_tuple_mask")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mask {
    /// Bits of the source address.
    pub src: Addr,
    /// Bits of the source protocol word.
    pub sport: u16,
}

impl Mask {
    /// Nothing of the source matters.
    pub const ANY: Self = Self { src: Addr([0; 16]), sport: 0 };

    /// The mask of an expectation that names its source address, its source word, both or
    /// neither. The bits beyond an IPv4 address stay zero, as `nf_ct_expect_init()` leaves them.
    #[inline]
    #[must_use]
    pub fn exact(l3: L3, address: bool, word: bool) -> Self {
        let src = if address { l3.address_mask() } else { 0 };
        Self { src: Addr(src.to_ne_bytes()), sport: if word { 0xffff } else { 0 } }
    }

    /// What both masks look at: two expectations that agree on it could be hit by one packet.
    #[inline]
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self {
            src: Addr((self.src.bits() & other.src.bits()).to_ne_bytes()),
            sport: self.sport & other.sport,
        }
    }

    /// The part that either looks at.
    #[must_use]
    pub fn unite(&self, other: &Self) -> Self {
        Self {
            src: Addr((self.src.bits() | other.src.bits()).to_ne_bytes()),
            sport: self.sport | other.sport,
        }
    }
}

/// An address as the kernel stores it (`union nf_inet_addr`): sixteen bytes in network order,
/// an IPv4 address in the first four and zeroes behind it.
#[doc(alias = "nf_inet_addr")]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// An IPv4 address: four bytes, and zeroes behind them.
    ///
    /// Written as two words, as they will be read: a processor that has to put a word together
    /// from smaller stores waits for them (5 ns of an insertion, `nfexp bench churn`).
    #[inline]
    #[must_use]
    pub const fn v4(octets: [u8; 4]) -> Self {
        let low = u64::from_le_bytes([octets[0], octets[1], octets[2], octets[3], 0, 0, 0, 0]);
        Self((low as u128).to_le_bytes())
    }

    /// All bits at once, in no particular byte order: good for masking and comparing.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u128 {
        u128::from_ne_bytes(self.0)
    }

    /// Whether both are the same address of the family `l3`.
    #[inline]
    pub(crate) const fn agrees(self, other: Self, l3: L3) -> bool {
        let differ = self.bits() ^ other.bits();
        match l3 {
            L3::Unspec => true,
            L3::Ipv4 => differ & l3.address_mask() == 0,
            L3::Ipv6 => differ == 0,
        }
    }

    /// Both halves: good for hashing that nobody sees.
    #[inline]
    #[must_use]
    pub const fn halves(self) -> [u64; 2] {
        let bits = self.bits();
        [bits as u64, (bits >> 64) as u64]
    }

    /// The four words as a little-endian machine reads them from memory, whatever machine this
    /// is: hashes, and with them listings, are the same everywhere.
    #[inline]
    #[must_use]
    pub fn words(self) -> [u32; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.0.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        words
    }

    /// The address, read as one of the family `l3`.
    #[must_use]
    pub fn ip(self, l3: L3) -> IpAddr {
        match l3 {
            L3::Ipv6 => IpAddr::V6(Ipv6Addr::from(self.0)),
            _ => IpAddr::V4(Ipv4Addr::new(self.0[0], self.0[1], self.0[2], self.0[3])),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l3 = if self.0[4..].iter().all(|&byte| byte == 0) { L3::Ipv4 } else { L3::Ipv6 };
        self.ip(l3).fmt(f)
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4(ip.octets()),
            IpAddr::V6(ip) => Self(ip.octets()),
        }
    }
}

/// An address as `inet_ntop()` writes it, and with it every tool that talks to the kernel: the
/// end of an IPv6 address that begins with 96 zero bits is written as an IPv4 address, unless it
/// is below 2^16.
#[derive(Clone, Copy, Debug)]
pub struct Ntop(pub IpAddr);

impl fmt::Display for Ntop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(ip) if (1 << 16..1 << 32).contains(&ip.to_bits()) => {
                write!(f, "::{}", Ipv4Addr::from_bits(ip.to_bits() as u32))
            }
            ip => ip.fmt(f),
        }
    }
}

/// Address family (`src.l3num`), with the kernel's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum L3 {
    /// `AF_UNSPEC`: no address at all; a blank record.
    #[default]
    Unspec = 0,
    /// `AF_INET`.
    Ipv4 = 2,
    /// `AF_INET6`.
    Ipv6 = 10,
}

impl L3 {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The kernel's number: 2 or 10.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The bits of an [`Addr`] that an address of this family uses.
    #[inline]
    pub(crate) const fn address_mask(self) -> u128 {
        const WORD: u128 =
            Addr([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).bits();
        match self {
            Self::Unspec => 0,
            Self::Ipv4 => WORD,
            Self::Ipv6 => u128::MAX,
        }
    }
}

/// Transport protocol, by its IANA number (`dst.protonum`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Proto(pub u8);

impl Proto {
    /// ICMP over IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// GRE, whose words are the keys.
    pub const GRE: Self = Self(47);
    /// ICMP over IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::ICMP, "icmp"),
        (Self::TCP, "tcp"),
        (Self::UDP, "udp"),
        (Self::DCCP, "dccp"),
        (Self::GRE, "gre"),
        (Self::ICMPV6, "icmpv6"),
        (Self::SCTP, "sctp"),
        (Self::UDPLITE, "udplite"),
    ];

    /// The protocol of this name, or of this number written out.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let named = Self::NAMES.iter().find(|(_, known)| *known == name);
        named.map(|(proto, _)| *proto).or_else(|| name.parse().ok().map(Self))
    }

    /// Its name, where it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(proto, _)| *proto == self).map(|(_, name)| *name)
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;

    #[test]
    fn addresses_are_written_as_the_tools_write_them() {
        for (written, read) in [
            ("::21.0.0.7", "::1500:7"),
            ("::0.1.0.0", "::1:0"),
            ("::7", "::7"),
            ("::1:0:0", "::1:0:0"),
            ("::ffff:1.2.3.4", "::ffff:102:304"),
            ("::ffff:0:102:304", "::ffff:0:1.2.3.4"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            let ip: IpAddr = read.parse().expect("an address");
            assert_eq!(Ntop(ip).to_string(), written);
            assert_eq!(written.parse(), Ok(ip), "and it is read again");
        }
    }

    /// Few distinct values, so that equality and near-equality both happen often.
    impl Arbitrary for Addr {
        fn arbitrary(g: &mut Gen) -> Self {
            let mut bytes = [0; 16];
            for byte in &mut bytes {
                *byte = *g.choose(&[0, 0, 0, 1, 0xf0, 0xff]).expect("the slice is not empty");
            }
            Self(bytes)
        }
    }

    impl Arbitrary for Mask {
        fn arbitrary(g: &mut Gen) -> Self {
            let sport = *g.choose(&[0, 0xffff, 0xff00, 1]).expect("the slice is not empty");
            Self { src: Addr::arbitrary(g), sport }
        }
    }

    impl Arbitrary for Tuple {
        fn arbitrary(g: &mut Gen) -> Self {
            let protos = [Proto::TCP, Proto::UDP, Proto::GRE, Proto(200)];
            Self {
                src: Addr::arbitrary(g),
                dst: Addr([u8::arbitrary(g) & 1; 16]),
                sport: u16::arbitrary(g) & 3,
                dport: u16::arbitrary(g) & 1,
                l3: *g.choose(&[L3::Ipv4, L3::Ipv6]).expect("the slice is not empty"),
                proto: *g.choose(&protos).expect("the slice is not empty"),
            }
        }
    }

    quickcheck! {
        fn prop_mask_intersection_commutes(a: Mask, b: Mask) -> bool {
            a.intersect(&b) == b.intersect(&a)
        }

        fn prop_mask_intersection_is_idempotent(a: Mask, b: Mask) -> bool {
            a.intersect(&a) == a && a.intersect(&b).intersect(&b) == a.intersect(&b)
        }

        fn prop_a_tuple_matches_itself_under_any_mask(t: Tuple, m: Mask) -> bool {
            t.matches(&t, &m)
        }

        fn prop_matching_is_symmetric_in_its_tuples(a: Tuple, b: Tuple, m: Mask) -> bool {
            a.matches(&b, &m) == b.matches(&a, &m)
        }

        fn prop_a_wider_mask_never_loses_a_match(a: Tuple, b: Tuple, m: Mask, n: Mask) -> bool {
            !a.matches(&b, &m) || a.matches(&b, &m.intersect(&n))
        }

        fn prop_a_full_mask_is_equality(a: Tuple, b: Tuple) -> bool {
            a.matches(&b, &Mask::exact(L3::Ipv6, true, true)) == (a == b)
        }

        fn prop_inverting_twice_is_nothing(t: Tuple) -> bool {
            t.inverse().and_then(|reply| reply.inverse()) == Some(t)
        }
    }

    #[test]
    fn an_ipv4_mask_leaves_the_unused_words_clear() {
        let mask = Mask::exact(L3::Ipv4, true, false);
        assert_eq!(mask.src.words(), [u32::MAX, 0, 0, 0]);
        assert_eq!(mask.sport, 0);
    }

    /// Of all 256 types: errors, and what routers and neighbours tell, are answered by nothing.
    #[test]
    fn a_question_is_answered_and_an_answer_asked_for() {
        let pairs_of = |proto| {
            let answer = |word| Tuple { sport: 7, dport: word, proto, ..Tuple::NONE }.inverse();
            let types = (0..=255).filter_map(move |kind: u16| {
                let answer = answer(kind << 8 | 3)?;
                assert_eq!((answer.sport, answer.dport & 0xff), (7, 3), "id and code stay");
                Some((kind, answer.dport >> 8))
            });
            types.collect::<Vec<_>>()
        };
        let icmp = [(0, 8), (8, 0), (13, 14), (14, 13), (15, 16), (16, 15), (17, 18), (18, 17)];
        assert_eq!(pairs_of(Proto::ICMP), icmp);
        assert_eq!(pairs_of(Proto::ICMPV6), [(128, 129), (129, 128), (139, 140), (140, 139)]);
    }

    #[test]
    fn a_tuple_is_shown_as_traces_write_it() {
        let ip = |s: &str| s.parse().expect("a literal address");
        let t = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 21);
        assert_eq!(t.to_string(), "tcp 10.0.0.2:40000 > 10.0.0.1:21");
        let t = Tuple::new(Proto::UDP, ip("fd00::2"), 1, ip("fd00::1"), 69);
        assert_eq!(t.to_string(), "udp [fd00::2]:1 > [fd00::1]:69");
    }
}
