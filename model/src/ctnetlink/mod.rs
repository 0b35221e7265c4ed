// SPDX-License-Identifier: GPL-2.0-only
//! What a user may ask for: the control plane, without its bytes.
//!
//! *Attribute*: a part of a request that may be missing. *Request*: attributes and a family;
//! what is missing, or makes no sense together, decides which errno comes first.
//!
//! ```text
//!   NEW      attributes ─▶ tuple ─▶ hit by it? ─ yes ─▶ EEXIST, or only the timeout changes
//!                                      └ no ─▶ create: mask, master, helper, class, function,
//!                                              translation, and then what related() says
//!   GET      tuple (or the master's tuple in its place) ─▶ hit by it? ─▶ id? ─▶ told
//!   DELETE   tuple ─▶ hit by it? ─▶ id? ─▶ unlinked;   helper's name: all of its;   else: all
//!   dumps    piece by piece, from where the last piece ended: see [`dump`]
//! ```
//!
//! The rule that matters: a lookup compares under the *existing* expectation's mask, so
//! "there is one already" means "one would be hit", not "an equal one".
//!
//! # Source
//! `nf_conntrack_netlink.c`, v3.9 and 6.18 by knob; what 6.18 answers was observed running.

use core::net::IpAddr;

use crate::errno::Errno;
use crate::revision::{FlagsAttr, NatDirAttr, Revision};
use crate::tuple::{Addr, L3, Proto, Tuple};

pub mod conntrack;
pub mod dump;
pub mod expect;

/// Longest helper name (`NF_CT_HELPER_NAME_LEN`, without the zero).
#[doc(alias = "NF_CT_HELPER_NAME_LEN")]
pub const HELPER_NAME_LEN: usize = 15;

/// The attributes of a tuple (`CTA_TUPLE_*`, `CTA_IP_*`, `CTA_PROTO_*`).
///
/// An address is sent as an attribute of its own family, whatever the request's family is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TupleAttr {
    /// Source address.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Transport protocol.
    pub proto: Option<u8>,
    /// Source port or key.
    pub sport: Option<u16>,
    /// Destination port or key.
    pub dport: Option<u16>,
    /// ICMP id.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
}

/// `CTA_EXPECT_NAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatAttr {
    /// `CTA_EXPECT_NAT_DIR`.
    pub dir: Option<u32>,
    /// `CTA_EXPECT_NAT_TUPLE`.
    pub tuple: Option<TupleAttr>,
}

/// A request about expectations: its family and attributes (`CTA_EXPECT_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpectRequest<'a> {
    /// `nfgen_family`; [`L3::Unspec`] for none.
    pub family: L3,
    /// `CTA_EXPECT_MASTER`.
    pub master: Option<TupleAttr>,
    /// `CTA_EXPECT_TUPLE`.
    pub tuple: Option<TupleAttr>,
    /// `CTA_EXPECT_MASK`.
    pub mask: Option<TupleAttr>,
    /// `CTA_EXPECT_TIMEOUT`.
    pub timeout_secs: Option<u32>,
    /// `CTA_EXPECT_ID`.
    pub id: Option<u32>,
    /// `CTA_EXPECT_HELP_NAME`.
    pub help_name: Option<&'a str>,
    /// `CTA_EXPECT_ZONE`.
    pub zone: Option<u16>,
    /// `CTA_EXPECT_FLAGS`.
    pub flags: Option<u32>,
    /// `CTA_EXPECT_CLASS`.
    pub class: Option<u32>,
    /// `CTA_EXPECT_NAT`.
    pub nat: Option<NatAttr>,
    /// `CTA_EXPECT_FN`.
    pub function: Option<&'a str>,
}

impl TupleAttr {
    /// The tuple they make in a request of this family.
    ///
    /// # Errors
    /// [`Errno::NotSupported`] for a family that is neither IPv4 nor IPv6; [`Errno::Invalid`]
    /// for a part that is missing, of the other family, or an ICMP type that asks nothing.
    #[doc(alias = "ctnetlink_parse_tuple")]
    pub fn parse(&self, family: L3, revision: &Revision) -> Result<Tuple, Errno> {
        if family == L3::Unspec {
            return Err(Errno::NotSupported);
        }
        let address = |address: Option<IpAddr>| {
            address.filter(|ip| L3::of(*ip) == family).map(Addr::from).ok_or(Errno::Invalid)
        };
        let (src, dst) = (address(self.src)?, address(self.dst)?);
        let proto = Proto(self.proto.ok_or(Errno::Invalid)?);
        let (sport, dport) = self.words(proto, revision)?;
        Ok(Tuple { src, dst, sport, dport, l3: family, proto })
    }

    /// The protocol's own part (`nlattr_to_tuple` of each protocol).
    fn words(&self, proto: Proto, revision: &Revision) -> Result<(u16, u16), Errno> {
        if proto == Proto::ICMP || proto == Proto::ICMPV6 {
            let kind = self.icmp_type.ok_or(Errno::Invalid)?;
            let code = self.icmp_code.ok_or(Errno::Invalid)?;
            let id = self.icmp_id.ok_or(Errno::Invalid)?;
            let word = u16::from(kind) << 8 | u16::from(code);
            let asks = Tuple { proto, dport: word, ..Tuple::NONE }.inverse().is_some();
            return if asks { Ok((id, word)) } else { Err(Errno::Invalid) };
        }
        if proto == Proto::GRE || revision.has_ports(proto) {
            let port = |port: Option<u16>| port.ok_or(Errno::Invalid);
            return Ok((port(self.sport)?, port(self.dport)?));
        }
        // A protocol without a tracker has no words, whatever was sent.
        Ok((0, 0))
    }
}

impl ExpectRequest<'_> {
    /// What is looked at before anything is looked for (`exp_nla_policy`).
    #[doc(alias = "exp_nla_policy")]
    fn validate(&self, revision: &Revision) -> Result<(), Errno> {
        let unknown = self.flags.is_some_and(|flags| flags & !7 != 0);
        if unknown && revision.flags_attr == FlagsAttr::KnownOnly {
            return Err(Errno::Invalid);
        }
        if self.help_name.is_some_and(|name| name.len() > HELPER_NAME_LEN) {
            return Err(Errno::Invalid);
        }
        Ok(())
    }
}

impl NatAttr {
    /// The translation it asks for, on a master of this family.
    #[doc(alias = "ctnetlink_parse_expect_nat")]
    fn parse(&self, family: L3, revision: &Revision) -> Result<crate::expectation::Nat, Errno> {
        let out_of_range = self.dir.is_some_and(|dir| dir > 1);
        if out_of_range && revision.nat_dir_attr == NatDirAttr::AtMostOne {
            return Err(Errno::Range);
        }
        let (Some(dir), Some(tuple)) = (self.dir, self.tuple) else {
            return Err(Errno::Invalid);
        };
        let tuple = tuple.parse(family, revision)?;
        // KERNEL: ctnetlink_parse_expect_nat(), v3.9: any number becomes the direction.
        Ok(crate::expectation::Nat { addr: tuple.src, port: tuple.sport, dir })
    }
}
