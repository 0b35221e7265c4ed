// SPDX-License-Identifier: GPL-2.0-only
//! What a frame holds, as far as connection tracking looks at it.
//!
//! ```text
//!   link layer ─▶ IP datagram ─▶ (fragments: defrag) ─▶ tuple, transport header, payload
//! ```
//!
//! Written by hand: of each header only lengths, addresses and ports are needed, every read is
//! bounds-checked, and nothing is allocated (`decisions.md` weighs a library against this).
//!
//! The rule that matters: lengths come from the IP header, as the kernel takes them; what the
//! snap length cut off is [`Skip::Cut`].

use nfexp_model::tuple::{Addr, L3, Proto, Tuple};

use crate::link;

/// Why a frame holds nothing to track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// No IP in it, or of a link layer that is not read.
    NotIp,
    /// The capture does not hold the whole datagram.
    Cut,
    /// A header does not fit.
    Malformed,
}

/// An IP datagram, perhaps a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// From where to where.
    pub ends: Ends<'a>,
    /// Transport protocol, after IPv6 extension headers.
    pub proto: Proto,
    /// Which part of which datagram it is, if it is a fragment; of IPv6 perhaps the only one.
    pub fragment: Option<Fragment>,
    /// Whether IP's own header says that it is a fragment, if only of one part.
    pub marked: bool,
    /// The options of an IPv4 header, or of an IPv6 hop-by-hop header, as they stand; a single
    /// 0xff where the datagram ends within them, or where its fragment's header is lost with it.
    pub options: &'a [u8],
    /// Whether IPv6 extension headers lead to a transport protocol.
    pub trackable: bool,
    /// What follows the IP headers.
    pub body: &'a [u8],
}

/// Source and destination address, as they stand in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends<'a> {
    /// Of IPv4.
    V4(&'a [u8; 8]),
    /// Of IPv6.
    V6(&'a [u8; 32]),
}

/// A fragment's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What its datagram is called.
    pub id: u32,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Whether more follow.
    pub more: bool,
    /// How many bytes of headers would stand before the whole datagram; of IPv6, behind the first
    /// forty.
    pub headers: usize,
    /// Whether it may be split further; of IPv6, nothing may.
    pub may_split: bool,
}

/// A transport header and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Who talks to whom.
    pub tuple: Tuple,
    /// The rest of the header.
    pub l4: L4<'a>,
    /// What the helpers read.
    pub payload: &'a [u8],
}

/// What a transport header says beyond the tuple.
#[derive(Clone, Copy, Debug)]
pub enum L4<'a> {
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP and UDP-Lite.
    Udp,
    /// SCTP, of which the payload is its chunks.
    Sctp {
        /// The verification tag.
        tag: u32,
    },
    /// ICMP or ICMPv6; an error carries the tuple it is about.
    Icmp {
        /// Whether it is an error.
        error: bool,
        /// The tuple of the packet that an error is about, if it can be told.
        about: Option<Tuple>,
        /// Whether that is of GRE in the form that PPTP uses.
        enhanced: bool,
    },
    /// GRE.
    Gre {
        /// Whether it is the form that PPTP uses, with the receiver's key.
        enhanced: bool,
    },
    /// Anything else.
    Other,
    /// What does not fit behind the ports.
    Unfit,
}

/// A TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement.
    pub ack: u32,
    /// The flag byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Options, as they stand.
    pub options: &'a [u8],
}

/// Finds the IP datagram in a frame.
///
/// # Errors
/// Why there is none.
#[inline]
pub fn datagram<'a>(link: i32, frame: &'a [u8]) -> Result<Datagram<'a>, Skip> {
    plain_datagram(link, frame).map_or_else(|| any_datagram(link, frame), Ok)
}

/// What most frames hold: Ethernet, then an IPv4 header without options of what is no fragment, or
/// an IPv6 header that names the transport protocol. Says the same as [`datagram`], or nothing; in a
/// fifth of the time (`cargo bench --bench reading`).
#[inline(always)]
#[must_use]
pub fn plain_datagram(link: i32, frame: &[u8]) -> Option<Datagram<'_>> {
    let head = frame.first_chunk::<34>().filter(|_| link == link::ETHERNET)?;
    let (ends, proto, body) = match (head[12], head[13], head[14]) {
        (0x08, 0x00, 0x45) => {
            let (length, place) = ([head[16], head[17]], [head[20], head[21]]);
            let is_fragment = u16::from_be_bytes(place) & 0x3fff != 0;
            let body = frame.get(34..14 + usize::from(u16::from_be_bytes(length)));
            let ends = Ends::V4(head[26..].first_chunk()?);
            (ends, Proto(head[23]), body.filter(|_| !is_fragment)?)
        }
        (0x86, 0xdd, 0x60..=0x6f) => {
            let head = frame.first_chunk::<54>()?;
            let is_last = matches!(head[20], 6 | 17 | 58);
            let length = usize::from(u16::from_be_bytes([head[18], head[19]]));
            let body = frame.get(54..54 + length).filter(|_| is_last)?;
            (Ends::V6(head[22..].first_chunk()?), Proto(head[20]), body)
        }
        _ => return None,
    };
    let (fragment, marked, options, trackable) = (None, false, &[][..], true);
    Some(Datagram { ends, proto, fragment, marked, options, trackable, body })
}

fn any_datagram(link: i32, frame: &[u8]) -> Result<Datagram<'_>, Skip> {
    match link::ip(link, frame)? {
        (4, bytes) => ipv4(bytes),
        (_, bytes) => ipv6(bytes),
    }
}

fn ipv4(bytes: &[u8]) -> Result<Datagram<'_>, Skip> {
    let head = bytes.first_chunk::<20>().ok_or(Skip::NotIp)?;
    let header_len = usize::from(head[0] & 15) * 4;
    let total = match u16::from_be_bytes([head[2], head[3]]) {
        // Left to the network card by whoever sent it.
        0 => bytes.len().min(65_535),
        total => usize::from(total),
    };
    if header_len < 20 {
        return Err(Skip::NotIp);
    }
    let whole = bytes.get(..total).ok_or(Skip::Cut)?;
    // One that ends within its own header goes nowhere.
    let (options, body) = match whole.get(20..header_len) {
        Some(options) => (options, &whole[header_len..]),
        None => (&[0xff][..], &[][..]),
    };
    let place = u16::from_be_bytes([head[6], head[7]]);
    let (more, offset) = (place & 0x2000 != 0, usize::from(place & 0x1fff) * 8);
    let id = u32::from(u16::from_be_bytes([head[4], head[5]]));
    let (headers, may_split) = (header_len, place & 0x4000 == 0);
    let part = Fragment { id, offset, more, headers, may_split };
    let fragment = (more || offset != 0).then_some(part);
    let ends = Ends::V4(head.last_chunk().expect("they end the header"));
    let (proto, marked, trackable) = (Proto(head[9]), fragment.is_some(), true);
    Ok(Datagram { ends, proto, fragment, marked, options, trackable, body })
}

fn ipv6(bytes: &[u8]) -> Result<Datagram<'_>, Skip> {
    let head = bytes.first_chunk::<40>().ok_or(Skip::NotIp)?;
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let body = bytes.get(40..40 + length).ok_or(Skip::Cut)?;
    let ends = Ends::V6(head.last_chunk().expect("they end the header"));
    let proto = Proto(head[6]);
    let options = match proto {
        _ if is_lost_fragment(proto, body) => &[0xff],
        Proto(0) => hop_by_hop(body),
        _ => &[][..],
    };
    let (fragment, marked, trackable) = (None, head[6] == 44, true);
    let datagram = Datagram { ends, proto, fragment, marked, options, trackable, body };
    Ok(datagram.behind_extensions())
}

/// Whether a datagram ends within the header that makes it a fragment, and goes nowhere. As far as
/// that header tells what it begins with, and that is no extension, it is no fragment and goes on.
///
/// # Source
/// `find_prev_fhdr()`, `nf_ct_frag6_gather()`, 6.18.
fn is_lost_fragment(mut proto: Proto, mut body: &[u8]) -> bool {
    let is_empty = body.is_empty();
    while proto != Proto(44) {
        let Some((following, length)) = extension(proto, body) else { return false };
        let Some(rest) = body.get(length..) else { return false };
        (proto, body) = (following, rest);
    }
    match *body {
        _ if is_empty || body.len() >= 8 => false,
        [following, _, high, low, ..] => {
            let begins = u16::from_be_bytes([high, low]) & 0xfff8 == 0;
            !begins || matches!(following, 0 | 43 | 44 | 51 | 59 | 60)
        }
        _ => true,
    }
}

/// What follows an extension header that is not a fragment's, and where.
fn extension(proto: Proto, body: &[u8]) -> Option<(Proto, usize)> {
    let [following, length, ..] = *body else { return None };
    let length = usize::from(length);
    match proto.0 {
        0 | 43 | 60 => Some((Proto(following), (length + 1) * 8)),
        51 => Some((Proto(following), (length + 2) * 4)),
        _ => None,
    }
}

/// The options of the header that a body begins with.
fn hop_by_hop(body: &[u8]) -> &[u8] {
    let length = body.get(1).map_or(8, |length| (usize::from(*length) + 1) * 8);
    body.get(2..length).unwrap_or(&[0xff])
}

impl Ends<'_> {
    /// Family.
    #[inline]
    #[must_use]
    pub const fn l3(&self) -> L3 {
        match self {
            Self::V4(_) => L3::Ipv4,
            Self::V6(_) => L3::Ipv6,
        }
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Addr {
        self.tuple(Proto(0), 0, 0).src
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Addr {
        self.tuple(Proto(0), 0, 0).dst
    }

    /// A tuple between them.
    #[inline]
    #[must_use]
    pub fn tuple(&self, proto: Proto, sport: u16, dport: u16) -> Tuple {
        let (src, dst) = match *self {
            Self::V4(&[a, b, c, d, rest @ ..]) => (Addr::v4([a, b, c, d]), Addr::v4(rest)),
            Self::V6(both) => {
                let half = |at: usize| Addr(*both[at..].first_chunk().expect("sixteen are left"));
                (half(0), half(16))
            }
        };
        Tuple { src, dst, sport, dport, l3: self.l3(), proto }
    }
}

impl Datagram<'_> {
    /// What is not taken for a fragment, behind all its extension headers: a fragment's header
    /// is one of them, as long as it names the beginning.
    #[must_use]
    pub(crate) fn behind_all_extensions(self) -> Self {
        let mut inner = Self { fragment: None, ..self }.behind_extensions();
        while let Some(fragment) = inner.fragment.take() {
            if fragment.offset != 0 {
                inner.trackable = false;
                break;
            }
            inner = inner.behind_extensions();
        }
        inner
    }

    /// The same behind IPv6 extension headers, or behind the header that makes it a fragment:
    /// what follows that is read when the datagram is whole.
    #[must_use]
    pub(crate) fn behind_extensions(mut self) -> Self {
        let before = self.body.len();
        // Hop-by-hop, routing, fragment, authentication, destination, none.
        while let 0 | 43 | 44 | 51 | 59 | 60 = self.proto.0 {
            let extension = match (self.proto.0, self.body) {
                // KERNEL: ipv6_skip_exthdr(), 6.18: the name is not looked at.
                (44, [following, _, high, low, id @ ..]) => {
                    let place = u16::from_be_bytes([*high, *low]);
                    let id = id.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
                    let (offset, more) = (usize::from(place & 0xfff8), place & 1 != 0);
                    let headers = before - self.body.len();
                    let may_split = false;
                    self.fragment = Some(Fragment { id, offset, more, headers, may_split });
                    Some((Proto(*following), 8))
                }
                _ => extension(self.proto, self.body),
            };
            let Some((following, length)) = extension else {
                self.trackable = false;
                break;
            };
            self.proto = following;
            self.body = self.body.get(length..).unwrap_or_default();
            if self.fragment.is_some() {
                break;
            }
        }
        self
    }
}

/// Reads the transport header of a whole datagram.
///
/// # Errors
/// If it does not fit.
#[inline]
pub fn packet<'a>(datagram: &Datagram<'a>) -> Result<Packet<'a>, Skip> {
    let Datagram { ends, proto, body, trackable, .. } = *datagram;
    match proto {
        Proto::TCP if trackable => {
            let ([sport, dport], tcp, payload) = tcp(body).ok_or(Skip::Malformed)?;
            let tuple = ends.tuple(proto, sport, dport);
            Ok(Packet { tuple, l4: L4::Tcp(tcp), payload })
        }
        Proto::UDP | Proto::UDPLITE if trackable => {
            let ([sport, dport], payload) = udp(proto, body).ok_or(Skip::Malformed)?;
            let tuple = ends.tuple(proto, sport, dport);
            Ok(Packet { tuple, l4: L4::Udp, payload })
        }
        _ => other_packet(datagram),
    }
}

/// What a datagram is taken for whose transport header does not fit, as long as it has ports.
///
/// # Source
/// `nf_ct_get_tuple()`, 6.18: the first four bytes are all that is needed.
#[must_use]
pub fn unfit_packet<'a>(datagram: &Datagram<'a>) -> Option<Packet<'a>> {
    let has_ports =
        matches!(datagram.proto, Proto::TCP | Proto::UDP | Proto::UDPLITE | Proto::SCTP);
    let &[a, b, c, d] = datagram.body.first_chunk().filter(|_| has_ports && datagram.trackable)?;
    let [sport, dport] = [[a, b], [c, d]].map(u16::from_be_bytes);
    Some(Packet {
        tuple: datagram.ends.tuple(datagram.proto, sport, dport),
        l4: L4::Unfit,
        payload: &[],
    })
}

/// What most datagrams hold: TCP or UDP that fits. Says the same as [`packet`], or nothing.
#[inline(always)]
#[must_use]
pub fn plain_packet<'a>(datagram: &Datagram<'a>) -> Option<Packet<'a>> {
    let (l4, payload) = plain_transport(datagram.proto, datagram.body)?;
    Some(Packet { tuple: plain_tuple(datagram)?, l4, payload })
}

/// The tuple of what [`plain_packet`] reads, and of some that it does not.
#[inline(always)]
#[must_use]
pub fn plain_tuple(datagram: &Datagram<'_>) -> Option<Tuple> {
    let is_plain = matches!(datagram.proto, Proto::TCP | Proto::UDP) && datagram.trackable;
    let &[a, b, c, d, ..] = datagram.body.first_chunk::<8>().filter(|_| is_plain)?;
    let [sport, dport] = [[a, b], [c, d]].map(u16::from_be_bytes);
    Some(datagram.ends.tuple(datagram.proto, sport, dport))
}

/// The rest of its header, and what follows: to be asked for where it is needed, so that nothing of
/// it has to be in memory before.
#[inline(always)]
#[must_use]
pub fn plain_transport(proto: Proto, body: &[u8]) -> Option<(L4<'_>, &[u8])> {
    match proto {
        Proto::TCP => tcp(body).map(|(_, tcp, payload)| (L4::Tcp(tcp), payload)),
        Proto::UDP => udp(proto, body).map(|(_, payload)| (L4::Udp, payload)),
        _ => None,
    }
}

/// The ports, the rest of the header, and what follows it.
#[inline(always)]
fn tcp(body: &[u8]) -> Option<([u16; 2], Tcp<'_>, &[u8])> {
    let head = body.first_chunk::<20>()?;
    let header_len = usize::from(head[12] >> 4) * 4;
    let options = body.get(20..header_len)?;
    let at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let long = |place: usize| u32::from(at(place)) << 16 | u32::from(at(place + 2));
    let (seq, ack, flags, window) = (long(4), long(8), head[13], at(14));
    let tcp = Tcp { seq, ack, flags, window, options };
    Some(([at(0), at(2)], tcp, &body[header_len..]))
}

/// The ports, and what follows the header.
#[inline(always)]
fn udp(proto: Proto, body: &[u8]) -> Option<([u16; 2], &[u8])> {
    // KERNEL: tftp_help() and the other helpers of UDP, all revisions: what they read ends with the
    // IP datagram, not where this header says.
    let (head, payload) = body.split_first_chunk::<8>()?;
    let at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let length = usize::from(at(4));
    // KERNEL: udp_error(), all revisions: a length beyond the datagram is invalid. udplite_error():
    // for UDP-Lite the field is the checksum's coverage, of which 0 is all, and there must be a
    // checksum.
    let lies = match proto {
        Proto::UDP => length < 8 || length > body.len(),
        _ => (1..8).contains(&length) || length > body.len() || at(6) == 0,
    };
    (!lies).then(|| ([at(0), at(2)], payload))
}

/// The transport header of anything but TCP and UDP.
fn other_packet<'a>(datagram: &Datagram<'a>) -> Result<Packet<'a>, Skip> {
    let Datagram { ends, proto, body, trackable, .. } = *datagram;
    if !trackable {
        return Err(Skip::Malformed);
    }
    let of = |sport, dport| ends.tuple(proto, sport, dport);
    let at = |at: usize| {
        let pair = body.get(at..at + 2).ok_or(Skip::Malformed)?;
        Ok::<_, Skip>(u16::from_be_bytes([pair[0], pair[1]]))
    };
    match proto {
        Proto::SCTP => {
            let payload = body.get(12..).ok_or(Skip::Malformed)?;
            let tag = u32::from(at(4)?) << 16 | u32::from(at(6)?);
            Ok(Packet { tuple: of(at(0)?, at(2)?), l4: L4::Sctp { tag }, payload })
        }
        Proto::ICMP | Proto::ICMPV6 => {
            let head = body.get(..8).ok_or(Skip::Malformed)?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let (error, query) = match proto {
                Proto::ICMP => {
                    (matches!(head[0], 3 | 4 | 5 | 11 | 12), matches!(head[0], 0 | 8 | 13..=18))
                }
                _ => (head[0] < 128, matches!(head[0], 128 | 129 | 139 | 140)),
            };
            // KERNEL: nf_conntrack_handle_icmp(), 6.18: of the other family it is taken for a question.
            let error = error && (proto == Proto::ICMP) == (ends.l3() == L3::Ipv4);
            let about = if error { inner_tuple(ends.l3(), &body[8..]) } else { None };
            let enhanced = about.is_some_and(|(_, enhanced)| enhanced);
            let about = about.map(|(tuple, _)| tuple);
            let id = if query { u16::from_be_bytes([head[4], head[5]]) } else { 0 };
            let l4 = L4::Icmp { error, about, enhanced };
            Ok(Packet { tuple: of(id, kind), l4, payload: &body[8..] })
        }
        Proto::GRE => {
            let (key, enhanced) = gre_key(body).ok_or(Skip::Malformed)?;
            let payload = body.get(4..).unwrap_or_default();
            Ok(Packet { tuple: of(0, key), l4: L4::Gre { enhanced }, payload })
        }
        _ => generic_packet(datagram).ok_or(Skip::Malformed),
    }
}

/// What a datagram is taken for of whose protocol a kernel knows nothing.
#[must_use]
pub fn generic_packet<'a>(datagram: &Datagram<'a>) -> Option<Packet<'a>> {
    let Datagram { ends, proto, body, trackable, .. } = *datagram;
    let packet = Packet { tuple: ends.tuple(proto, 0, 0), l4: L4::Other, payload: body };
    trackable.then_some(packet)
}

/// The receiver's key, and whether there is one; `None` for an enhanced header without PPP.
///
/// # Source
/// `gre_pkt_to_tuple()`, all revisions: only the enhanced form of PPTP carries a call id.
fn gre_key(body: &[u8]) -> Option<(u16, bool)> {
    match body {
        [_, flags, high, low, _, _, key_high, key_low, ..] if flags & 7 == 1 => {
            let is_ppp = [*high, *low] == [0x88, 0x0b];
            is_ppp.then(|| (u16::from_be_bytes([*key_high, *key_low]), true))
        }
        _ => Some((0, false)),
    }
}

/// The tuple of the packet that an error quotes, of which only the first bytes are there; and whether
/// it is of enhanced GRE.
fn inner_tuple(l3: L3, quoted: &[u8]) -> Option<(Tuple, bool)> {
    let (proto, ends, body) = match l3 {
        L3::Ipv4 => {
            let header_len = usize::from(quoted.first()? & 15) * 4;
            // A later fragment has no transport header.
            if u16::from_be_bytes([*quoted.get(6)?, *quoted.get(7)?]) & 0x1fff != 0 {
                return None;
            }
            let ends = Ends::V4(quoted.get(12..)?.first_chunk()?);
            (*quoted.get(9)?, ends, quoted.get(header_len..)?)
        }
        _ => {
            let ends = Ends::V6(quoted.get(8..)?.first_chunk()?);
            let (proto, body, options) = (Proto(*quoted.get(6)?), quoted.get(40..)?, &[][..]);
            let (fragment, marked, trackable) = (None, false, true);
            let inner = Datagram { ends, proto, fragment, marked, options, trackable, body };
            let inner = inner.behind_all_extensions();
            if !inner.trackable {
                return None;
            }
            (inner.proto.0, ends, inner.body)
        }
    };
    let at = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let proto = Proto(proto);
    let mut enhanced = false;
    let (sport, dport) = match proto {
        Proto::TCP | Proto::UDP | Proto::UDPLITE | Proto::SCTP => (at(0)?, at(2)?),
        Proto::GRE => {
            let key;
            (key, enhanced) = gre_key(body)?;
            (0, key)
        }
        // KERNEL: icmp_pkt_to_tuple(), icmpv6_pkt_to_tuple(), all revisions: the whole header is read.
        Proto::ICMP | Proto::ICMPV6 if body.len() < 8 => return None,
        Proto::ICMP | Proto::ICMPV6 => (at(4)?, at(0)?),
        _ => (0, 0),
    };
    Some((ends.tuple(proto, sport, dport), enhanced))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::capture::Capture;

    /// Each recorded frame, cut everywhere in its headers, and with each bit of them flipped.
    #[test]
    fn plain_frames_are_read_as_any_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
        let (mut plain_ones, mut others) = (0, 0);
        for name in ["ftp/ftp-active-v4", "ftp/ftp-active-v6", "amanda/amanda-backup-v4"] {
            let mut capture = Capture::open(&folder.join(name).with_extension("pcap")).unwrap();
            while let Some(frame) = capture.next_packet().unwrap() {
                let mut agree = |bytes: &[u8]| match plain_datagram(frame.link, bytes) {
                    Some(datagram) => {
                        assert_eq!(Ok(datagram), any_datagram(frame.link, bytes), "{bytes:x?}");
                        if let Some(plain) = plain_packet(&datagram) {
                            let any = packet(&datagram).expect("it fits");
                            assert_eq!(format!("{plain:?}"), format!("{any:?}"), "{bytes:x?}");
                            plain_ones += 1;
                        }
                    }
                    None => others += 1,
                };
                let headers = frame.bytes.len().min(56);
                (0..=headers).for_each(|cut| agree(&frame.bytes[..cut]));
                let mut bytes = frame.bytes.to_vec();
                for bit in 0..headers * 8 {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    agree(&bytes);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                agree(&bytes);
            }
        }
        assert!(plain_ones > 1000 && others > 1000, "{plain_ones} {others}");
    }

    /// What a header says of its datagram's length: all of it, and in UDP-Lite as far as the checksum
    /// goes.
    #[test]
    fn a_length_that_lies_is_no_header() {
        for (length, checksum, of_udp, of_udp_lite) in [
            (12, 1, true, true),
            (13, 1, false, false),
            (11, 1, true, true),
            (8, 1, true, true),
            (7, 1, false, false),
            (1, 1, false, false),
            (0, 1, false, true),
            (12, 0, true, false),
            (0, 0, false, false),
        ] {
            let body = [0, 1, 0, 2, 0, length, 0, checksum, b'a', b'b', b'c', b'd'];
            let read = [Proto::UDP, Proto::UDPLITE].map(|proto| udp(proto, &body));
            for (read, fits) in read.iter().zip([of_udp, of_udp_lite]) {
                let expected = fits.then_some(([1, 2], &b"abcd"[..]));
                assert_eq!(*read, expected, "{length} with checksum {checksum}");
            }
        }
        assert_eq!(udp(Proto::UDP, &[0, 1, 0, 2, 0, 8, 0]), None);
    }

    #[test]
    fn what_cannot_be_tracked_has_no_ports() {
        let (ends, body) = (Ends::V4(&[10, 0, 0, 1, 10, 0, 0, 2]), &[0, 1, 0, 2, 0, 8, 0, 0][..]);
        let (fragment, marked, options) = (None, false, &[][..]);
        for (proto, trackable, has) in
            [(Proto::UDP, true, true), (Proto::UDP, false, false), (Proto::ICMP, true, false)]
        {
            let datagram = Datagram { ends, proto, fragment, marked, options, trackable, body };
            let of = [plain_tuple(&datagram), unfit_packet(&datagram).map(|packet| packet.tuple)];
            assert_eq!(of.map(|tuple| tuple.is_some()), [has; 2], "{proto:?} {trackable}");
        }
    }

    #[test]
    fn a_datagram_may_end_within_its_fragment_header() {
        for (body, lost) in [
            (&[][..], false),
            (&[6], true),
            (&[6, 0, 0], true),
            (&[6, 0, 0, 7], false),
            (&[6, 0, 0, 8], true),
            (&[6, 0, 1, 0, 0, 0, 0], true),
            (&[0, 0, 0, 0], true),
            (&[60, 0, 0, 0], true),
            (&[6, 0, 0, 8, 0, 0, 0, 1], false),
        ] {
            assert_eq!(is_lost_fragment(Proto(44), body), lost, "{body:?}");
            let behind = [&[44, 0, 0, 0, 0, 0, 0, 0], body].concat();
            let lost = lost || body.is_empty();
            assert_eq!(is_lost_fragment(Proto(60), &behind), lost, "behind another: {body:?}");
        }
        assert!(!is_lost_fragment(Proto(60), &[6, 0, 0, 0, 0, 0, 0, 0]), "there is none");
    }
}
