// SPDX-License-Identifier: GPL-2.0-only
//! Finding things in a SIP message: headers, their addresses and numbers, lines of SDP.
//!
//! Positions are counted from the beginning of the message; every search ends at its end. A
//! header begins a line and may go on over lines that begin with a blank. What the kernel's
//! scanner does at the edges (a needle that ends the message is not found; a header without its
//! colon ends the search) is kept.
//!
//! The rule that matters: three answers. There is none, there is one that does not parse, there
//! is one.
//!
//! # Source
//! RFC 3261 §7.3, RFC 4566; `ct_sip_get_header()`, `ct_sip_walk_headers()`,
//! `ct_sip_parse_header_uri()`, `ct_sip_get_sdp_header()` and what they call, of
//! `nf_conntrack_sip.c`, 6.18; v3.10 where [`SipScan::Lenient`] is asked for.

use memchr::memchr2;
use nfexp_model::revision::SipScan;
use nfexp_model::tuple::{Addr, L3};

use crate::helpers::address::{ipv4, ipv6};

/// A message, of which family its addresses are, and how it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub(super) text: &'a [u8],
    /// The same to the end of its packet: old kernels look for the end of a number there.
    pub(super) packet: &'a [u8],
    pub(super) l3: L3,
    pub(super) way: SipScan,
}

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: usize,
    pub(super) len: usize,
}

/// Something was there and did not parse; where its header's value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unparsable(pub(super) usize);

type Found<T> = Result<Option<T>, Unparsable>;

/// A header's name, its short form, and what to look for in its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    name: &'static [u8],
    compact: Option<u8>,
    search: &'static [u8],
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Digits,
    /// An address behind a user, with a port.
    UserAddress,
}

impl Header {
    pub(super) const CSEQ: Self = Self::digits(b"CSeq", None);
    pub(super) const EXPIRES: Self = Self::digits(b"Expires", None);
    pub(super) const CONTENT_LENGTH: Self = Self::digits(b"Content-Length", Some(b'l'));
    pub(super) const CONTACT: Self =
        Self { name: b"Contact", compact: Some(b'm'), search: b"sip:", value: Value::UserAddress };

    const fn digits(name: &'static [u8], compact: Option<u8>) -> Self {
        Self { name, compact, search: b"", value: Value::Digits }
    }
}

/// A line of SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `v=0`.
    Version,
    /// `c=IN IP4 10.0.0.1`.
    Connection,
    /// `m=audio 5000 …`.
    Media,
}

impl Line {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Version => b"v=",
            Self::Connection => b"c=",
            Self::Media => b"m=",
        }
    }
}

/// A walk through all headers of one name and the values in each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    at: usize,
    in_header: bool,
}

impl Scan<'_> {
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn is_newline(&self, at: usize) -> bool {
        matches!(self.byte(at), Some(b'\r' | b'\n'))
    }

    /// The first line end at or behind `from`.
    #[inline]
    fn line_end(&self, from: usize) -> Option<usize> {
        let at = memchr2(b'\r', b'\n', self.text.get(from..)?)?;
        Some(from + at)
    }

    /// The beginning of the line behind the line end at `at`; `None` if the message ends there.
    fn next_line(&self, at: usize, limit: usize) -> Option<usize> {
        let mut next = at + 1;
        if next < limit && self.text[at] == b'\r' && self.text[next] == b'\n' {
            next += 1;
        }
        (next < limit).then_some(next)
    }

    /// Over a line end into a line that goes on with the header.
    #[doc(alias = "sip_follow_continuation")]
    fn follow(&self, at: usize, limit: usize) -> Option<usize> {
        let mut at = self.next_line(at, limit)?;
        if !matches!(self.text[at], b' ' | b'\t') {
            return None;
        }
        while at < limit && matches!(self.text[at], b' ' | b'\t') {
            at += 1;
        }
        Some(at)
    }

    #[doc(alias = "sip_skip_whitespace")]
    fn skip_blanks(&self, mut at: usize) -> Option<usize> {
        if self.way == SipScan::Lenient {
            return self.skip_spaces(at);
        }
        while matches!(self.byte(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        if self.is_newline(at) { self.follow(at, self.text.len()) } else { Some(at) }
    }

    /// The same in old kernels: a tab is none, and what follows a line end is stepped over.
    fn skip_spaces(&self, mut at: usize) -> Option<usize> {
        loop {
            if self.is_newline(at) {
                // KERNEL: sip_skip_whitespace(), v3.10: the byte behind the leading blanks, too.
                at = self.follow(at, self.text.len())? + 1;
            } else if self.byte(at) == Some(b' ') {
                at += 1;
            } else {
                return Some(at);
            }
        }
    }

    /// Looks for `needle` within a header's value, from `at` to before `limit`.
    #[doc(alias = "ct_sip_header_search")]
    fn search(&self, mut at: usize, limit: usize, needle: &[u8]) -> Option<usize> {
        // KERNEL: ct_sip_header_search(), all revisions: what ends at the limit is not found.
        let limit = limit.checked_sub(needle.len())?;
        while at < limit {
            if self.is_newline(at) {
                // KERNEL: the byte behind the leading blanks is stepped over, too.
                at = self.follow(at, limit)? + 1;
                continue;
            }
            if self.text[at..at + needle.len()].eq_ignore_ascii_case(needle) {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// The first header of this name behind the first line end at or after `from`.
    #[doc(alias = "ct_sip_get_header")]
    pub(super) fn header(&self, header: &Header, from: usize) -> Found<Span> {
        let limit = self.text.len();
        let mut from = from;
        while let Some(at) = self.line_end(from) {
            let Some(line) = self.next_line(at, limit) else { break };
            // Wherever this line leads, the search goes on behind its first byte.
            from = line + 1;
            let Some(behind) = self.behind_name(header, line) else { continue };
            let Some(colon) = self.skip_blanks(behind) else { break };
            if self.byte(colon) != Some(b':') || colon + 1 >= limit {
                break;
            }
            let Some(value) = self.skip_blanks(colon + 1) else { break };
            let start = match header.search {
                b"" => value,
                search => match self.search(value, limit, search) {
                    None => return Err(Unparsable(value)),
                    Some(found) => found + search.len(),
                },
            };
            return self.value(header, start).map(Some).ok_or(Unparsable(value));
        }
        Ok(None)
    }

    /// Where the header's name ends, if the line begins with it.
    fn behind_name(&self, header: &Header, line: usize) -> Option<usize> {
        let rest = &self.text[line..];
        if rest.get(..header.name.len()).is_some_and(|name| name.eq_ignore_ascii_case(header.name))
        {
            return Some(line + header.name.len());
        }
        let short = header.compact?;
        let is_short =
            rest.len() >= 2 && rest[0].eq_ignore_ascii_case(&short) && !is_alpha(rest[1]);
        is_short.then_some(line + 1)
    }

    fn value(&self, header: &Header, start: usize) -> Option<Span> {
        let (at, len) = match header.value {
            Value::Digits => (start, self.digits(start)),
            Value::UserAddress => self.user_address(start)?,
        };
        (len > 0).then_some(Span { at, len })
    }

    pub(super) fn digits(&self, at: usize) -> usize {
        self.text[at.min(self.text.len())..].iter().take_while(|b| b.is_ascii_digit()).count()
    }

    /// An address with its port, perhaps behind `user@`: where it begins and how long it is.
    #[doc(alias = "skp_epaddr_len")]
    fn user_address(&self, start: usize) -> Option<(usize, usize)> {
        let line = &self.text[start.min(self.text.len())..];
        let stop = line.iter().position(|byte| matches!(byte, b'@' | b'\r' | b'\n'));
        let at = match stop {
            Some(stop) if line[stop] == b'@' => start + stop + 1,
            _ => start,
        };
        let (_, end) = self.address(at, self.text.len(), true)?;
        let end = match self.way {
            SipScan::Strict => self.port(end)?.1,
            // Whatever its digits come to.
            SipScan::Lenient if self.byte(end) == Some(b':') => end + 1 + self.digits(end + 1),
            SipScan::Lenient => end,
        };
        Some((at, end - at))
    }

    /// Reads an address; answers it and where it ends. In a URI an IPv6 address stands in
    /// brackets.
    #[doc(alias = "sip_parse_addr")]
    fn address(&self, at: usize, limit: usize, in_uri: bool) -> Option<(Addr, usize)> {
        let text = self.text.get(at..limit)?;
        if self.l3 == L3::Ipv4 {
            let (addr, len) = ipv4(text, None)?;
            return Some((addr, at + len));
        }
        let open = usize::from(in_uri && text.first() == Some(&b'['));
        if in_uri && open == 0 {
            return None;
        }
        let (addr, len) = ipv6(&text[open..], None)?;
        let end = open + len;
        let close = usize::from(in_uri && text.get(end) == Some(&b']'));
        (!in_uri || close == 1).then_some((addr, at + end + close))
    }

    /// The next parsable header or value of a walk, its address and port.
    #[doc(alias = "ct_sip_walk_headers")]
    #[doc(alias = "ct_sip_parse_header_uri")]
    pub(super) fn walk(&self, header: &Header, walk: &mut Walk) -> Found<(Span, Addr, u16)> {
        let Some(span) = self.walk_to(header, walk) else {
            return Ok(None);
        };
        let unparsable = Unparsable(span.at);
        let (addr, end) = self.address(span.at, self.text.len(), true).ok_or(unparsable)?;
        let (port, end) = self.port(end).ok_or(unparsable)?;
        walk.at = end;
        Ok(Some((span, addr, port)))
    }

    fn walk_to(&self, header: &Header, walk: &mut Walk) -> Option<Span> {
        // KERNEL: ct_sip_walk_headers(), v3.10: where it was is added to where it is.
        let behind = |from: usize, at: usize| match self.way {
            SipScan::Strict => at,
            SipScan::Lenient => from + at,
        };
        let mut from = walk.at;
        if walk.in_header {
            loop {
                match self.next_value(header, from) {
                    Ok(Some(span)) => return Some(span),
                    Ok(None) => break,
                    Err(Unparsable(at)) => from = behind(from, at),
                }
            }
            walk.in_header = false;
        }
        loop {
            match self.header(header, from) {
                Ok(Some(span)) => {
                    walk.in_header = true;
                    return Some(span);
                }
                Ok(None) => return None,
                // The value lies behind `from`, so every turn goes on.
                Err(Unparsable(at)) => from = behind(from, at),
            }
        }
    }

    /// The next value of a list with commas.
    #[doc(alias = "ct_sip_next_header")]
    fn next_value(&self, header: &Header, from: usize) -> Found<Span> {
        let limit = self.text.len();
        let Some(comma) = self.search(from, limit, b",") else {
            return Ok(None);
        };
        let Some(found) = self.search(comma, limit, header.search) else {
            return Ok(None);
        };
        let start = found + header.search.len();
        self.value(header, start).map(Some).ok_or(Unparsable(start))
    }

    /// Where the value of a parameter of the address before `from` begins.
    #[doc(alias = "ct_sip_parse_param")]
    pub(super) fn parameter(&self, name: &[u8], from: usize) -> Option<usize> {
        let limit = self.search(from, self.text.len(), b",").unwrap_or(self.text.len());
        self.search(from, limit, name).map(|at| at + name.len())
    }

    /// The first SDP line of this kind behind the first line end at or after `from`, if none of
    /// kind `end` comes before it.
    #[doc(alias = "ct_sip_get_sdp_header")]
    pub(super) fn sdp(&self, kind: Line, end: Option<Line>, from: usize) -> Option<Span> {
        let mut from = from;
        while let Some(at) = self.line_end(from) {
            let line = self.next_line(at, self.text.len())?;
            from = line + 1;
            let begins = |kind: Line| {
                let start = self.text[line..].get(..2);
                start.is_some_and(|start| start.eq_ignore_ascii_case(kind.name()))
            };
            if end.is_some_and(begins) {
                return None;
            }
            if begins(kind) {
                return self.sdp_value(kind, line + 2);
            }
        }
        None
    }

    fn sdp_value(&self, kind: Line, at: usize) -> Option<Span> {
        let (at, len) = match kind {
            Line::Version => (at, self.digits(at)),
            Line::Media => (at, self.media(at)),
            Line::Connection => {
                let needle: &[u8] = if self.l3 == L3::Ipv4 { b"IN IP4 " } else { b"IN IP6 " };
                let limit = self.text.len().checked_sub(needle.len())?;
                let line = self.text.get(at..limit).unwrap_or_default();
                let line = line.iter().take_while(|byte| !matches!(byte, b'\r' | b'\n')).count();
                let start = (at..at + line).find(|&at| self.text[at..].starts_with(needle))?;
                let start = start + needle.len();
                let (_, end) = self.address(start, self.text.len(), false)?;
                (start, end - start)
            }
        };
        (len > 0).then_some(Span { at, len })
    }

    /// A kind of media, a blank, a port.
    #[doc(alias = "media_len")]
    fn media(&self, at: usize) -> usize {
        let kind = self.text[at..].iter().take_while(|byte| is_alpha(**byte)).count();
        if self.byte(at + kind) != Some(b' ') {
            return 0;
        }
        kind + 1 + self.digits(at + kind + 1)
    }

    /// The address of an SDP line.
    #[doc(alias = "ct_sip_parse_sdp_addr")]
    pub(super) fn connection(&self, from: usize) -> Option<Addr> {
        let span = self.sdp(Line::Connection, Some(Line::Media), from)?;
        self.address(span.at, span.at + span.len, false).map(|(addr, _)| addr)
    }
}

/// The kernel's `isalpha()`, which knows Latin-1.
pub(super) const fn is_alpha(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0xff)
}
