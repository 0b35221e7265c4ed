// SPDX-License-Identifier: GPL-2.0-only
//! A tuple as attributes, and the family of a request.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use nfexp_model::revision::Revision;
use nfexp_model::tuple::{L3, Proto, Tuple};

/// The family a request names (`nfgen_family`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Family {
    /// None: 0.
    #[serde(rename = "any")]
    Any,
    /// IPv4.
    #[default]
    #[serde(rename = "ip")]
    Ip,
    /// IPv6.
    #[serde(rename = "ip6")]
    Ip6,
}

impl Family {
    /// The family of a tuple.
    #[must_use]
    pub const fn of(l3: L3) -> Self {
        match l3 {
            L3::Ipv4 => Self::Ip,
            L3::Ipv6 => Self::Ip6,
            L3::Unspec => Self::Any,
        }
    }

    /// As the model names it; [`L3::Unspec`] for none.
    #[must_use]
    pub const fn l3(self) -> L3 {
        match self {
            Self::Any => L3::Unspec,
            Self::Ip => L3::Ipv4,
            Self::Ip6 => L3::Ipv6,
        }
    }
}

/// The attributes of a tuple: what a request sends, any of which may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parts {
    /// Source address; its own family decides which attribute it is sent as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Destination address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
    /// Transport protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<u8>,
    /// Source port or key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Destination port or key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    /// ICMP id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u16>,
    /// ICMP type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<u8>,
    /// ICMP code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
}

impl Parts {
    /// A tuple as a kernel tells it: both addresses, the protocol, and the words which that
    /// protocol has there.
    #[must_use]
    pub fn of(tuple: &Tuple, revision: &Revision) -> Self {
        let bare = Self {
            src: Some(tuple.src.ip(tuple.l3)),
            dst: Some(tuple.dst.ip(tuple.l3)),
            proto: Some(tuple.proto.0),
            ..Self::default()
        };
        match tuple.proto {
            Proto::ICMP | Proto::ICMPV6 => Self {
                id: Some(tuple.sport),
                kind: Some((tuple.dport >> 8) as u8),
                code: Some((tuple.dport & 0xff) as u8),
                ..bare
            },
            proto if proto == Proto::GRE || revision.has_ports(proto) => {
                Self { sport: Some(tuple.sport), dport: Some(tuple.dport), ..bare }
            }
            _ => bare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_where_a_revision_has_a_tracker() {
        let ports = |proto| {
            let ip = |last| [10, 0, 0, last].into();
            let tuple = Tuple::new(proto, ip(1), 5000, ip(2), 4000);
            Revision::ALL.map(|revision| Parts::of(&tuple, &revision).dport.is_some())
        };
        assert_eq!(ports(Proto::TCP), [true; 3]);
        assert_eq!(ports(Proto::GRE), [true; 3]);
        assert_eq!(ports(Proto::UDPLITE), [true, true, false]);
        assert_eq!(ports(Proto::DCCP), [true, false, false]);
    }
}
