// SPDX-License-Identifier: GPL-2.0-only
//! Where a router's packets go: on, to itself, or nowhere.
//!
//! *Host*: the router itself, if it is one of the hosts of the capture (`local=ADDR/LEN`): what
//! it sent leaves it, what is for it stays. Without an address it is for all the others only.
//!
//! The rule that matters: a helper looks, and a connection is confirmed, behind routing: a packet
//! that goes nowhere leaves nothing behind.
//!
//! # Source
//! `ip_route_input_slow()`, `ip_route_output_key()`, `ip6_forward()`, 6.18, for a router that
//! forwards loopback addresses too (`route_localnet`), with everything behind one interface, as
//! the recordings were made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nfexp_model::tuple::Addr;
use nfexp_traces::packet::{Datagram, Ends};

use super::options::are_options_valid;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// From others to others.
    Forward,
    /// To this host, or to all.
    Deliver,
    /// From this host.
    Send {
        /// The netmask of the subnet all of which it goes to.
        broadcast: Option<Addr>,
        /// Whether a copy of it goes to this host, too.
        looped: Looped,
    },
    /// Nowhere.
    Nowhere,
}

/// Whether a copy of what this host sends comes back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looped {
    /// None is made.
    Not,
    /// None is made: it goes to this host alone.
    Itself,
    /// One is, and delivered.
    Delivered,
    /// One is, and dropped as it comes in.
    Dropped,
}

/// The group that every host has joined.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// The router's own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    addr: Ipv4Addr,
    mask: u32,
}

impl Host {
    /// Reads `10.0.5.233/23`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an address, as in `10.0.5.233/23`, found `{text}`");
        let (addr, length) = text.split_once('/').unwrap_or((text, "32"));
        let addr = addr.parse().map_err(|_| expected())?;
        let length: u32 = length.parse().map_err(|_| expected())?;
        let mask = 32_u32.checked_sub(length).ok_or_else(expected)?;
        Ok(Self { addr, mask: u32::MAX.checked_shl(mask).unwrap_or(0) })
    }

    fn broadcast(&self) -> Option<Ipv4Addr> {
        // Two hosts need no broadcast address.
        let wide = self.mask.count_zeros() > 1;
        wide.then(|| Ipv4Addr::from(u32::from(self.addr) | !self.mask))
    }

    /// Whether an address is its own.
    #[must_use]
    pub fn is(&self, addr: Addr) -> bool {
        addr == Addr::from(IpAddr::V4(self.addr))
    }
}

/// Whether a packet is one of those that a router without an address forwards, as most are: without
/// options, from and to what is neither 0.0.0.0/8 nor multicast or beyond, or is a global or a
/// unique local address.
#[inline]
pub(super) fn is_plain(host: Option<&Host>, datagram: &Datagram<'_>) -> bool {
    let is_usual = match datagram.ends {
        Ends::V4(&[src, _, _, _, dst, ..]) => {
            [src, dst].iter().all(|first| matches!(first, 1..=223))
        }
        Ends::V6(both) => {
            [both[0], both[16]].iter().all(|first| matches!(first, 0x20..=0x3f | 0xfc | 0xfd))
        }
    };
    is_usual && host.is_none() && datagram.options.is_empty()
}

/// Where a packet goes.
///
/// # Source
/// `ip_rcv_finish_core()`, 6.18: the options of what comes in are looked at, those of what is sent,
/// with a header of the sender's own, are not.
#[must_use]
pub fn route(host: Option<&Host>, datagram: &Datagram<'_>) -> Route {
    match datagram.ends {
        Ends::V4(&[a, b, c, d, dst @ ..]) => {
            let route = route_v4(host, [a, b, c, d].into(), dst.into());
            match route {
                _ if are_options_valid(datagram.options) => route,
                Route::Send { broadcast, looped: Looped::Delivered } => {
                    Route::Send { broadcast, looped: Looped::Dropped }
                }
                Route::Send { .. } => route,
                _ => Route::Nowhere,
            }
        }
        Ends::V6(both) => {
            let (src, dst) = halves(both);
            route_v6(src, dst)
        }
    }
}

fn halves(both: &[u8; 32]) -> (Ipv6Addr, Ipv6Addr) {
    let half = |at: usize| *both[at..].first_chunk::<16>().expect("sixteen are left");
    (half(0).into(), half(16).into())
}

fn route_v4(host: Option<&Host>, src: Ipv4Addr, dst: Ipv4Addr) -> Route {
    let broadcast = host.and_then(Host::broadcast);
    if let Some(host) = host.filter(|host| host.addr == src) {
        let mask = Addr::from(IpAddr::V4(Ipv4Addr::from(host.mask)));
        // KERNEL: fib_add_ifaddr(): the way to an address of its own was there first.
        let to_itself = dst == host.addr || dst.is_unspecified();
        let to_all = broadcast == Some(dst) && !to_itself;
        let looped = match to_all || dst.is_broadcast() || dst == ALL_HOSTS {
            _ if to_itself => Looped::Itself,
            true => Looped::Delivered,
            false => Looped::Not,
        };
        // KERNEL: nf_conntrack_broadcast_help(): a mask of zero is none.
        let subnet = (to_all && host.mask != 0).then_some(mask);
        return Route::Send { broadcast: subnet, looped };
    }
    if src.is_multicast() || src.is_broadcast() {
        return Route::Nowhere;
    }
    if dst == ALL_HOSTS {
        return Route::Deliver;
    }
    if dst.is_multicast() {
        return Route::Nowhere;
    }
    if dst.is_broadcast() || (src.is_unspecified() && dst.is_unspecified()) {
        return Route::Deliver;
    }
    // Since v5.3 the rest of 0.0.0.0/8 is like any other network.
    if src.is_unspecified() || dst.is_unspecified() {
        return Route::Nowhere;
    }
    let here = broadcast == Some(dst) || host.is_some_and(|host| host.addr == dst);
    if here { Route::Deliver } else { Route::Forward }
}

/// Whether a router takes a datagram between them in at all; of IPv6, not what should never have
/// left a host.
///
/// # Source
/// `ip6_rcv_core()`, 6.18.
pub(super) fn is_taken_in(ends: Ends<'_>) -> bool {
    let Ends::V6(both) = ends else { return true };
    let (src, dst) = halves(both);
    // A group of one interface, or of none.
    let stays = dst.is_multicast() && matches!(dst.octets()[1] & 15, 0 | 1);
    !(stays || src.is_multicast() || src.is_loopback() || dst.is_loopback())
}

fn route_v6(src: Ipv6Addr, dst: Ipv6Addr) -> Route {
    let link_local = |ip: Ipv6Addr| ip.is_unicast_link_local();
    if dst.is_multicast() {
        // All nodes and all routers, which every router has joined.
        let joined = matches!(
            dst.segments(),
            [0xff02, 0, 0, 0, 0, 0, 0, 1 | 2] | [0xff05, 0, 0, 0, 0, 0, 0, 2]
        );
        return if joined { Route::Deliver } else { Route::Nowhere };
    }
    let goes = !src.is_unspecified() && !link_local(src) && !link_local(dst);
    if goes { Route::Forward } else { Route::Nowhere }
}

/// Whether what this host sent to either would go to the same one next: everything is on the link,
/// so everybody is its own next hop.
///
/// # Source
/// `ip_route_output_key_hash_rcu()`, 6.18: 0.0.0.0 is written over as 127.0.0.1, which is reached
/// the same way only where it is this host's address.
pub(super) fn have_same_next_hop(host: Option<&Host>, one: IpAddr, other: IpAddr) -> bool {
    let is_loopback = host.is_some_and(|host| host.addr == Ipv4Addr::LOCALHOST);
    let hop = |addr| match addr {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) if is_loopback => Ipv4Addr::LOCALHOST.into(),
        addr => addr,
    };
    hop(one) == hop(other)
}

/// Whether what this host sent to an address would take the interface that a packet takes.
///
/// # Source
/// `ip_route_output_key_hash_rcu()`, `ip6_route_output_flags()`, 6.18, with an interface for what
/// comes in before the one for what goes out.
pub(super) fn leaves_like(packet: Route, host: Option<&Host>, addr: IpAddr) -> bool {
    let stays = match addr {
        // KERNEL: to 0.0.0.0 is to this host itself.
        IpAddr::V4(addr) => addr.is_unspecified() || host.is_some_and(|host| host.addr == addr),
        // KERNEL: each interface has a way to all groups, and the first one is taken: by which what
        // is for a group that this host has joined came in, and stays.
        IpAddr::V6(addr) if addr.is_multicast() => return packet == Route::Deliver,
        IpAddr::V6(_) if packet == Route::Deliver => return false,
        IpAddr::V6(addr) => addr.is_loopback(),
    };
    // What is for this host, a copy of what it sent to all, too, stays with it.
    let to_itself = matches!(packet, Route::Send { looped: Looped::Itself, .. });
    stays == (packet == Route::Deliver || to_itself)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(host: Option<&str>, src: &str, dst: &str) -> Route {
        let ip = |text: &str| text.parse().expect("a literal address");
        let host = host.map(|text| Host::parse(text).expect("a literal host"));
        route_v4(host.as_ref(), ip(src), ip(dst))
    }

    #[test]
    fn a_router_without_address_forwards_what_is_for_one_host() {
        assert_eq!(v4(None, "10.0.0.1", "10.0.0.2"), Route::Forward);
        assert_eq!(v4(None, "127.0.0.1", "127.0.0.1"), Route::Forward);
        assert_eq!(v4(None, "10.0.0.1", "10.0.0.255"), Route::Forward);
        assert_eq!(v4(None, "0.0.0.0", "255.255.255.255"), Route::Deliver);
        assert_eq!(v4(None, "10.0.0.1", "224.0.0.1"), Route::Deliver);
        assert_eq!(v4(None, "10.0.0.1", "239.255.255.250"), Route::Nowhere);
        assert_eq!(v4(None, "0.0.0.0", "10.0.0.2"), Route::Nowhere);
        assert_eq!(v4(None, "0.1.0.1", "10.0.0.2"), Route::Forward);
    }

    #[test]
    fn media_may_leave_as_their_signalling_does() {
        let host = Host::parse("10.0.4.1/23").expect("a literal host");
        let leave = |packet, addr: &str| {
            leaves_like(packet, Some(&host), addr.parse().expect("a literal address"))
        };
        for addr in ["10.0.0.2", "10.0.5.255", "127.0.0.1", "0.0.0.1", "224.0.0.1", "::", "fe80::1"]
        {
            assert!(leave(Route::Forward, addr), "{addr}");
            assert!(!leave(Route::Deliver, addr), "{addr}");
        }
        let itself = v4(Some("10.0.4.1/23"), "10.0.4.1", "10.0.4.1");
        let copy = v4(Some("10.0.4.1/23"), "10.0.4.1", "10.0.5.255");
        for addr in ["10.0.4.1", "0.0.0.0"] {
            assert!(!leave(Route::Forward, addr) && !leave(copy, addr), "{addr}");
            assert!(leave(Route::Deliver, addr) && leave(itself, addr), "{addr}");
        }
        assert!(leave(copy, "10.0.0.2") && !leave(itself, "10.0.0.2"));
        // What comes to a group comes from without, and to another group would go there.
        assert!(!leave(Route::Forward, "::1") && !leave(Route::Deliver, "::1"));
        for group in ["ff02::1", "ff0e::1"] {
            let ways = [Route::Forward, Route::Deliver].map(|packet| leave(packet, group));
            assert_eq!(ways, [false, true], "{group}");
        }
    }

    #[test]
    fn nobody_is_reached_by_way_of_another_but_this_host() {
        let ask = |host: Option<&str>, one: &str, other: &str| {
            let host = host.map(|text| Host::parse(text).expect("a literal host"));
            let ip = |text: &str| text.parse().expect("a literal address");
            have_same_next_hop(host.as_ref(), ip(one), ip(other))
        };
        assert!(ask(None, "10.0.0.2", "10.0.0.2") && !ask(None, "10.0.0.2", "10.0.0.3"));
        for host in [None, Some("10.0.0.1/24"), Some("127.0.0.1/32")] {
            for (one, other) in [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")] {
                assert_eq!(ask(host, one, other), host == Some("127.0.0.1/32"), "{host:?}");
            }
            assert!(ask(host, "0.0.0.0", "0.0.0.0") && !ask(host, "::", "127.0.0.1"));
        }
    }

    #[test]
    fn plain_ones_are_forwarded() {
        let mut others = 0;
        let mut ask = |ends: Ends<'_>| {
            let datagram = Datagram {
                ends,
                proto: nfexp_model::tuple::Proto::TCP,
                fragment: None,
                marked: false,
                options: &[],
                trackable: true,
                body: &[],
            };
            if is_plain(None, &datagram) {
                assert_eq!(route(None, &datagram), Route::Forward, "{ends:?}");
            } else {
                others += 1;
            }
            assert!(!is_plain(None, &Datagram { options: &[148, 4, 0, 0], ..datagram }));
            let host = Host::parse("10.0.4.1/23").expect("a literal host");
            assert!(!is_plain(Some(&host), &datagram));
        };
        for (src, dst) in (0..=255_u8).flat_map(|src| (0..=255_u8).map(move |dst| (src, dst))) {
            for fill in [0, 1, 255] {
                let ends = [[src, fill, fill, fill], [dst, fill, fill, fill]].concat();
                ask(Ends::V4(ends[..].first_chunk().expect("eight")));
                let end = |first| [[first; 1].as_slice(), &[fill; 15]].concat();
                let ends = [end(src), end(dst)].concat();
                ask(Ends::V6(ends[..].first_chunk().expect("thirty-two")));
            }
        }
        assert!(others > 1000, "multicast, loopback and nowhere are for the whole way");
    }

    #[test]
    fn a_host_sends_and_receives() {
        let host = Some("10.0.4.1/23");
        assert_eq!(v4(host, "10.0.4.9", "10.0.4.1"), Route::Deliver);
        assert_eq!(v4(host, "10.0.4.9", "10.0.5.255"), Route::Deliver);
        assert_eq!(
            v4(host, "10.0.4.1", "10.0.4.9"),
            Route::Send { broadcast: None, looped: Looped::Not }
        );
        let mask = Addr::from(IpAddr::V4(Ipv4Addr::new(255, 255, 254, 0)));
        assert_eq!(
            v4(host, "10.0.4.1", "10.0.5.255"),
            Route::Send { broadcast: Some(mask), looped: Looped::Delivered }
        );
        for (dst, looped) in [
            ("255.255.255.255", Looped::Delivered),
            ("224.0.0.1", Looped::Delivered),
            ("10.0.3.255", Looped::Not),
        ] {
            assert_eq!(v4(host, "10.0.4.1", dst), Route::Send { broadcast: None, looped }, "{dst}");
        }
        let own = Host::parse("10.0.4.1/23").expect("a literal host");
        assert!(own.is(Addr::v4([10, 0, 4, 1])) && !own.is(Addr::v4([10, 0, 4, 2])));
        for (mask, broadcast) in [(30, Some([10, 0, 4, 3])), (31, None), (32, None)] {
            let host = Host::parse(&format!("10.0.4.1/{mask}")).expect("a literal host");
            assert_eq!(host.broadcast(), broadcast.map(Ipv4Addr::from), "/{mask}");
        }
        assert!(Host::parse("10.0.4.1/33").is_err());
        assert!(Host::parse("fe80::1/64").is_err());
    }
}
