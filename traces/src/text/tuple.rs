// SPDX-License-Identifier: GPL-2.0-only
//! Tuples and masks: `tcp 10.0.0.0/255.255.255.0:* > 10.0.0.1:21`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nfexp_model::expectation::Nat;
use nfexp_model::tuple::{Addr, L3, Mask, Proto, Tuple};

use super::TextError;
use super::line::{Line, Want};

impl Line<'_> {
    pub(super) fn exact_tuple(&mut self) -> Result<Tuple, TextError> {
        let before = self.at;
        let (tuple, mask) = self.target()?;
        if mask != Mask::exact(tuple.l3, true, true) {
            self.at = before;
            return Err(self.error("a tuple without wildcards"));
        }
        Ok(tuple)
    }

    pub(super) fn target(&mut self) -> Result<(Tuple, Mask), TextError> {
        let proto = self.read(|value| {
            Proto::parse(value.0).ok_or_else(|| "a protocol, by name or number".to_owned())
        })?;
        let src = self.read(|value| end(value.0))?;
        if !self.takes(">") {
            return Err(self.error("`>` between source and destination"));
        }
        let before = self.at;
        let dst = self.read(|value| end(value.0))?;
        let (Some((dst, None)), Some((dport, None))) = dst else {
            self.at = before;
            return Err(self.error("an exact destination, as in `10.0.0.1:21`"));
        };
        let l3 = L3::of(dst);
        let full = Mask::exact(l3, true, true);
        let (src_addr, src_mask) = match src.0 {
            None => (Addr::default(), Addr::default()),
            Some((ip, mask)) => (Addr::from(ip), mask.map_or(full.src, Addr::from)),
        };
        let families = src.0.map(|(ip, mask)| (L3::of(ip), mask.map_or(l3, L3::of)));
        if families.is_some_and(|(ip, mask)| ip != l3 || mask != l3) {
            self.at = before;
            return Err(self.error("a destination of the source's address family"));
        }
        let (sport, sport_mask) =
            src.1.map_or((0, 0), |(port, mask)| (port, mask.unwrap_or(0xffff)));
        let tuple = Tuple { src: src_addr, dst: Addr::from(dst), sport, dport, l3, proto };
        Ok((tuple, Mask { src: src_mask, sport: sport_mask }))
    }
}

type End = (Option<(IpAddr, Option<IpAddr>)>, Option<(u16, Option<u16>)>);

/// One end of a tuple: `ADDRESS[/MASK]:PORT[/MASK]`, either of which may be `*`.
fn end(text: &str) -> Want<End> {
    let expected =
        || "an address and a port, as in `10.0.0.1:21`, `[fd00::1]:21` or `*:*`".to_owned();
    let (address, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let address = match address {
        "*" => None,
        _ => {
            let (ip, mask) = match address.split_once('/') {
                Some((ip, mask)) => (ip, Some(mask)),
                None => (address, None),
            };
            let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
            let ip: IpAddr = match bare {
                Some(v6) => IpAddr::V6(v6.parse().map_err(|_| expected())?),
                None => IpAddr::V4(ip.parse().map_err(|_| expected())?),
            };
            let mask = mask.map(|mask| prefix_or_mask(mask, ip).ok_or_else(expected));
            Some((ip, mask.transpose()?))
        }
    };
    let port = match port {
        "*" => None,
        _ => {
            let (port, mask) = match port.split_once('/') {
                Some((port, mask)) => (port, Some(mask)),
                None => (port, None),
            };
            let mask = mask.map(|mask| {
                let hex = mask.strip_prefix("0x").map(|hex| u16::from_str_radix(hex, 16));
                hex.unwrap_or_else(|| mask.parse()).map_err(|_| expected())
            });
            Some((port.parse().map_err(|_| expected())?, mask.transpose()?))
        }
    };
    Ok((address, port))
}

/// `24`, or a mask written out.
fn prefix_or_mask(text: &str, of: IpAddr) -> Option<IpAddr> {
    if let Ok(mask) = text.parse::<IpAddr>() {
        return Some(mask);
    }
    let bits: u32 = text.parse().ok()?;
    Some(match of {
        IpAddr::V4(_) if bits <= 32 => {
            IpAddr::V4(Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0)))
        }
        IpAddr::V6(_) if bits <= 128 => {
            IpAddr::V6(Ipv6Addr::from(u128::MAX.checked_shl(128 - bits).unwrap_or(0)))
        }
        _ => return None,
    })
}

/// A translation: `10.0.0.1:80`, with `,reply` behind it for that direction.
pub(super) fn translation(text: &str, l3: L3) -> Want<Nat> {
    let expected =
        || "an address and a port, as in `10.0.0.1:80` or `10.0.0.1:80,reply`".to_owned();
    let (place, dir) = text.strip_suffix(",reply").map_or((text, 0), |place| (place, 1));
    match end(place)? {
        (Some((ip, None)), Some((port, None))) if L3::of(ip) == l3 => {
            Ok(Nat { addr: Addr::from(ip), port, dir })
        }
        _ => Err(expected()),
    }
}
