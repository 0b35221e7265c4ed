// SPDX-License-Identifier: GPL-2.0-only
//! Addresses in a text, as the kernel reads them.
//!
//! ```text
//!   010.0.0.1        10.0.0.1: leading zeros are nothing
//!   fd00::00001      fd00::1: so many of them as one likes
//!   ::10.0.0.1:21    ::10.0.0.1, which the colon ends
//! ```
//!
//! The rule that matters: a zero byte ends an address wherever it stands, and where no delimiter is
//! asked for, so does everything that cannot go on with one.
//!
//! # Source
//! `in4_pton()` and `in6_pton()` of `net/core/utils.c`, all revisions.

use nfexp_model::tuple::Addr;

/// What a byte is to whoever reads an address.
enum Kind {
    End,
    Colon,
    Dot,
    /// A hexadecimal digit.
    Digit(u8),
    Strange,
}

/// An address, and its length.
type Read = Option<(Addr, usize)>;

/// What stands at a place. The delimiter may be a byte that would be something else.
#[doc(alias = "xdigit2bin")]
fn kind(text: &[u8], at: usize, delimiter: Option<u8>) -> Kind {
    match text.get(at) {
        None | Some(0) => Kind::End,
        Some(byte) if Some(*byte) == delimiter => Kind::End,
        Some(b':') => Kind::Colon,
        Some(b'.') => Kind::Dot,
        Some(byte) => match (char::from(*byte).to_digit(16), delimiter) {
            (Some(digit), _) => Kind::Digit(digit as u8),
            (None, None) => Kind::End,
            (None, Some(_)) => Kind::Strange,
        },
    }
}

/// An IPv4 address; a colon ends it, too.
#[doc(alias = "in4_pton")]
pub(super) fn ipv4(text: &[u8], delimiter: Option<u8>) -> Read {
    let (octets, len) = octets(text, delimiter)?;
    Some((Addr::v4(octets), len))
}

fn octets(text: &[u8], delimiter: Option<u8>) -> Option<([u8; 4], usize)> {
    let (mut octets, mut at) = ([0; 4], 0);
    for part in 0..4 {
        let (start, mut value) = (at, 0_u32);
        while let Kind::Digit(digit @ 0..=9) = kind(text, at, delimiter) {
            value = value * 10 + u32::from(digit);
            if value > 255 {
                return None;
            }
            at += 1;
        }
        octets[part] = value as u8;
        match kind(text, at, delimiter) {
            _ if at == start => return None,
            Kind::Dot if part < 3 => at += 1,
            Kind::End | Kind::Colon if part == 3 => return Some((octets, at)),
            _ => return None,
        }
    }
    None
}

/// An IPv6 address. Its last two words may be written as an IPv4 address.
#[doc(alias = "in6_pton")]
pub(super) fn ipv6(text: &[u8], delimiter: Option<u8>) -> Read {
    let kind = |at| kind(text, at, delimiter);
    let (mut words, mut at) = (Words::default(), 0);
    if let (Kind::Colon, Kind::Colon) = (kind(0), kind(1)) {
        (words, at) = (words.with_gap()?, 2);
    }
    loop {
        // Behind a gap, it may be over.
        if words.ends_with_gap()
            && let Kind::End = kind(at)
        {
            return Some((words.addr(), at));
        }
        let (start, mut value) = (at, 0_u16);
        while let (0..0x1000, Kind::Digit(digit)) = (value, kind(at)) {
            value = value << 4 | u16::from(digit);
            at += 1;
        }
        match kind(at) {
            Kind::Dot if words.has_room_for_ipv4() => {
                let ([a, b, c, d], len) = octets(&text[start..], delimiter)?;
                let pair = [[a, b], [c, d]].map(u16::from_be_bytes);
                let words = words.with(pair[0])?.with(pair[1])?;
                return Some((words.addr(), start + len));
            }
            _ if at == start => return None,
            Kind::End => {
                let words = words.with(value)?;
                let complete = words.gap.is_some() || words.count == 8;
                return complete.then_some((words.addr(), at));
            }
            Kind::Colon => (words, at) = (words.with(value)?, at + 1),
            _ => return None,
        }
        if let Kind::Colon = kind(at) {
            (words, at) = (words.with_gap()?, at + 1);
        }
    }
}

/// The words of an IPv6 address, as far as they were read.
#[derive(Clone, Copy, Default)]
struct Words {
    words: [u16; 8],
    count: usize,
    /// Behind how many of them any number of zeros stands.
    gap: Option<usize>,
}

impl Words {
    /// One more.
    fn with(mut self, word: u16) -> Option<Self> {
        *self.words.get_mut(self.count)? = word;
        self.count += 1;
        Some(self)
    }

    /// A gap, of one word at least; there is one only.
    fn with_gap(self) -> Option<Self> {
        let words = self.with(0).filter(|words| words.gap.is_none())?;
        Some(Self { gap: Some(words.count), ..words })
    }

    fn ends_with_gap(&self) -> bool {
        self.gap == Some(self.count)
    }

    fn has_room_for_ipv4(&self) -> bool {
        self.count == 6 || (self.gap.is_some() && self.count < 6)
    }

    fn addr(mut self) -> Addr {
        if let Some(gap) = self.gap {
            // What is behind the gap belongs to the end; in between are zeros.
            self.words[gap..].rotate_right(8 - self.count);
        }
        let mut bytes = [0; 16];
        for (place, word) in bytes.chunks_exact_mut(2).zip(self.words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        Addr(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use nfexp_model::tuple::L3;

    use super::*;

    fn six(text: &str, delimiter: Option<u8>) -> Option<(String, usize)> {
        ipv6(text.as_bytes(), delimiter).map(|(addr, len)| (addr.ip(L3::Ipv6).to_string(), len))
    }

    fn four(text: &str, delimiter: Option<u8>) -> Option<(String, usize)> {
        ipv4(text.as_bytes(), delimiter).map(|(addr, len)| (addr.ip(L3::Ipv4).to_string(), len))
    }

    #[test]
    fn four_octets() {
        let read = |addr: &str, len| Some((addr.to_owned(), len));
        for (text, expected) in [
            ("10.0.0.1", read("10.0.0.1", 8)),
            ("010.000.0.0001;", read("10.0.0.1", 14)),
            ("10.0.0.1:21", read("10.0.0.1", 8)),
            ("10.0.0.1\0.2", read("10.0.0.1", 8)),
            ("10.0.0.1x", read("10.0.0.1", 8)),
            ("10.0.0.1a", None),
            ("10.0.0.1.", None),
            ("10.0.0.256", None),
            ("10.0..1", None),
            ("10.0.1", None),
            ("", None),
        ] {
            assert_eq!(four(text, None), expected, "{text:?}");
        }
        assert_eq!(four("10.0.0.1|x", Some(b'|')), read("10.0.0.1", 8));
        assert_eq!(four("10.0.0.1x", Some(b'|')), None);
    }

    #[test]
    fn words_that_no_standard_writes() {
        let read = |addr: &str, len| Some((addr.to_owned(), len));
        for (text, expected) in [
            ("fd00::000001", read("fd00::1", 12)),
            ("0000fd00::1", read("fd00::1", 11)),
            ("fd00::10000", None),
            ("fd00::1\0|", read("fd00::1", 7)),
            ("fd00::10.0.0.1:21", read("fd00::a00:1", 14)),
            ("fd00::010.0.0.01", read("fd00::a00:1", 16)),
            ("fd00::1.", None),
            ("fd00::1:", None),
            ("fd00::1::", None),
            ("fd00:::1", None),
            (":fd00::1", None),
            ("fd00", None),
            ("", None),
        ] {
            assert_eq!(six(text, None), expected, "{text:?}");
        }
        assert_eq!(six("fd00::1 x", None), read("fd00::1", 7));
        assert_eq!(six("fd00::1 x", Some(b'|')), None);
        assert_eq!(six("fd00::1bc", Some(b'b')), read("fd00::1", 7));
        assert_eq!(six("fd00::1", Some(b':')), None, "a delimiter is no colon");
    }

    /// What a standard allows is read as the library reads it, and little else.
    #[test]
    fn words_as_the_library_reads_them() {
        let parts =
            ["", ":", "::", "1", "ab:", "1:2:3", ":4:5:6", "7", "::8", "10.0.0.1", ".", "x"];
        let mut read = 0;
        for number in 0..parts.len().pow(4) {
            let digits = (0..4).map(|place| number / parts.len().pow(place) % parts.len());
            let text: String = digits.map(|digit| parts[digit]).collect();
            let whole = ipv6(text.as_bytes(), Some(b'|')).filter(|(_, len)| *len == text.len());
            let library = text.parse::<Ipv6Addr>().ok().map(|addr| Addr(addr.octets()));
            assert_eq!(whole.map(|(addr, _)| addr), library, "{text:?}");
            read += u32::from(library.is_some());
        }
        assert!(read > 500, "{read}");
    }
}
