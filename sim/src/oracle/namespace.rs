// SPDX-License-Identifier: GPL-2.0-only
//! A network namespace of the calling thread's own, with a router in it.
//!
//! *Zone device*: a tun device whose packets belong to one conntrack zone. *Out*: the tun device
//! all routes lead to. Writing a packet into a zone device runs it through prerouting, forward
//! and postrouting before the call returns; what is forwarded can then be read from *out*.
//!
//! ```text
//!   z0  z1  z2  z3        one device per zone
//!    \   \  /   /
//!     forwarding  ──────  out
//! ```
//!
//! The rule that matters: a namespace belongs to the thread that made it and ends with it.
//! Nothing outside is changed: all settings written here are per namespace.

use std::fmt;
use std::fs;
use std::io;

use nfexp_traces::transcript::NftExpectation;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::SockProtocol;
use tappers::{Interface, Tun};

use super::netlink::{ACK, CREATE, EXCL, Writer};
use super::nftables::ruleset;
use super::socket::Link;

/// How many zones there are, from 0.
pub const ZONES: u16 = 4;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const IFF_UP: u32 = 1;
const MTU: u32 = 65535;

/// Why the kernel cannot be asked; one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking(pub String);

impl Lacking {
    /// A step of the preparation that failed.
    pub fn step(what: &str, why: impl fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

/// The devices of the namespace.
pub struct Namespace {
    zones: Vec<Tun>,
    out: Tun,
    buffer: Vec<u8>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("zones", &self.zones.len()).finish_non_exhaustive()
    }
}

impl Namespace {
    /// Moves the calling thread into a new namespace and sets a router up in it.
    ///
    /// # Errors
    /// If the kernel lacks something or the process may not.
    pub fn enter(objects: &[NftExpectation]) -> Result<Self, Lacking> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::EPERM => Lacking("making a network namespace needs root".into()),
            errno => Lacking::step("cannot make a network namespace", errno),
        })?;
        settings()?;
        let zones =
            (0..ZONES).map(|zone| device(&format!("z{zone}"))).collect::<Result<Vec<_>, _>>()?;
        let out = device("out")?;
        let index = |name: &str| {
            if_nametoindex(name)
                .map_err(|errno| Lacking::step(&format!("cannot find the device {name}"), errno))
        };
        let mut indexes = Vec::new();
        for zone in 0..ZONES {
            indexes.push((index(&format!("z{zone}"))?, zone));
        }
        let out_index = index("out")?;
        route(&indexes, out_index)
            .map_err(|errno| Lacking::step("cannot set up devices and routes", errno))?;
        let mut link = Link::new(SockProtocol::NetlinkNetFilter)
            .map_err(|errno| Lacking::step("cannot open a netfilter netlink socket", errno))?;
        let sequence = link.next_sequence();
        link.ask(&ruleset(sequence, &indexes[1..], objects), |_| ()).map_err(|errno| {
            Lacking::step("the kernel does not take the nf_tables rules", errno)
        })?;
        let mut namespace = Self { zones, out, buffer: vec![0; 1 << 17] };
        namespace.forwarded();
        Ok(namespace)
    }

    /// Puts a packet into a zone; whether it left the namespace.
    ///
    /// # Errors
    /// If the device refuses it.
    pub fn send(&mut self, zone: u16, packet: &[u8]) -> io::Result<bool> {
        let device = self.zones.get(usize::from(zone)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("expected a zone below {ZONES}"))
        })?;
        device.send(packet)?;
        Ok(self.forwarded())
    }

    fn forwarded(&mut self) -> bool {
        let mut any = false;
        while self.out.recv(&mut self.buffer).is_ok() {
            any = true;
        }
        any
    }
}

fn settings() -> Result<(), Lacking> {
    // Per device: the defaults are written before there is any.
    for scope in ["all", "default"] {
        for (name, value) in [
            ("rp_filter", "0"),
            ("forwarding", "1"),
            ("route_localnet", "1"),
            ("send_redirects", "0"),
        ] {
            write(&format!("net/ipv4/conf/{scope}/{name}"), value)?;
        }
        for (name, value) in [("forwarding", "1"), ("accept_ra", "0"), ("accept_dad", "0")] {
            write(&format!("net/ipv6/conf/{scope}/{name}"), value)?;
        }
    }
    write("net/ipv6/conf/default/addr_gen_mode", "1")?;
    write("net/netfilter/nf_conntrack_checksum", "0")?;
    // Always: in automatic mode a conntrack made while nobody listens never tells of expectations.
    write("net/netfilter/nf_conntrack_events", "1")
}

fn write(name: &str, value: &str) -> Result<(), Lacking> {
    fs::write(format!("/proc/sys/{name}"), value)
        .map_err(|error| Lacking::step(&format!("cannot set {name} in the namespace"), error))
}

fn device(name: &str) -> Result<Tun, Lacking> {
    let failed = |error| Lacking::step("cannot make a tun device (/dev/net/tun)", error);
    let interface = Interface::new(name).map_err(failed)?;
    let mut device = Tun::new_named(interface).map_err(failed)?;
    device.set_nonblocking(true).map_err(failed)?;
    Ok(device)
}

fn route(zones: &[(u32, u16)], out: u32) -> Result<(), Errno> {
    let mut link = Link::new(SockProtocol::NetlinkRoute)?;
    for index in zones.iter().map(|(index, _)| *index).chain([out]) {
        let mut writer = Writer::default();
        writer.begin(RTM_NEWLINK, ACK, link.next_sequence());
        let mut info = vec![0; 4];
        info.extend_from_slice(&index.to_ne_bytes());
        info.extend_from_slice(&IFF_UP.to_ne_bytes());
        info.extend_from_slice(&IFF_UP.to_ne_bytes());
        writer.raw(&info);
        writer.put(4, &MTU.to_ne_bytes());
        link.ask(&writer.finish(), |_| ())?;
    }
    for family in [2, 10] {
        let mut writer = Writer::default();
        writer.begin(RTM_NEWROUTE, ACK | CREATE | EXCL, link.next_sequence());
        // Main table, by hand, to anywhere, unicast.
        writer.raw(&[family, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
        writer.put(4, &out.to_ne_bytes());
        link.ask(&writer.finish(), |_| ())?;
    }
    Ok(())
}
