// SPDX-License-Identifier: GPL-2.0-only
//! A place in a line, and what stands there.

use std::net::IpAddr;
use std::str::FromStr;

use nfexp_model::helper::Class;

use super::{LineError, Words};

/// A place in a line.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

pub(super) type Read<T> = Result<T, LineError>;

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn expected<T>(&self, what: impl Into<String>) -> Read<T> {
        Err(LineError { column: self.at + 1, expected: what.into() })
    }

    /// Takes these words if they come next.
    pub(super) fn takes(&mut self, words: &str) -> bool {
        let is = self.rest().starts_with(words);
        if is {
            self.at += words.len();
        }
        is
    }

    pub(super) fn needs(&mut self, words: &str) -> Read<()> {
        if self.takes(words) { Ok(()) } else { self.expected(format!("`{words}`")) }
    }

    /// Everything up to `end`, which is taken too.
    pub(super) fn until(&mut self, end: &str) -> Read<&'a str> {
        match self.rest().split_once(end) {
            Some((before, _)) => {
                self.at += before.len() + end.len();
                Ok(before)
            }
            None => {
                self.at = self.text.len();
                self.expected(format!("`{end}`"))
            }
        }
    }

    /// A value up to `end`.
    pub(super) fn value<T: FromStr>(&mut self, end: &str, what: &str) -> Read<T> {
        let before = *self;
        let text = self.rest().split(end).next().unwrap_or_default();
        let value = text.parse();
        match value {
            Ok(value) => self.until(end).map(|_| value),
            Err(_) => before.expected(what),
        }
    }

    pub(super) fn number<T: FromStr>(&mut self, end: &str) -> Read<T> {
        self.value(end, "a number")
    }

    pub(super) fn address(&mut self, end: &str) -> Read<IpAddr> {
        self.value(end, "an address")
    }

    /// An address of the same family as `other`.
    pub(super) fn address_as(&mut self, other: IpAddr, end: &str) -> Read<IpAddr> {
        let before = *self;
        let address = self.address(end)?;
        match address.is_ipv4() == other.is_ipv4() {
            true => Ok(address),
            false if other.is_ipv4() => before.expected("an address of IPv4"),
            false => before.expected("an address of IPv6"),
        }
    }

    /// A number as `0x7d0`.
    pub(super) fn hex(&mut self, end: &str) -> Read<u16> {
        let before = *self;
        let text = self.until(end)?;
        let digits = text.strip_prefix("0x").and_then(|hex| u16::from_str_radix(hex, 16).ok());
        digits.map_or_else(|| before.expected("a number as `0x7d0`"), Ok)
    }

    /// A class up to `end`, or to the end of the line: no helper has a fifth, and the kernel takes
    /// none from a user either.
    pub(super) fn class(&mut self, end: &str) -> Read<u8> {
        let text = self.rest().split(end).next().unwrap_or_default();
        let Some(class) = text.parse().ok().and_then(Class::new) else {
            return self.expected("a class from 0 to 3");
        };
        self.at += text.len();
        self.takes(end);
        Ok(class.number())
    }

    /// The words of a protocol, whichever come.
    pub(super) fn words(&mut self) -> Read<Words> {
        if self.takes("sport=") {
            let source = self.number(" dport=")?;
            return Ok(Words::Ports(source, self.number(" ")?));
        }
        if self.takes("srckey=") {
            let source = self.hex(" dstkey=")?;
            return Ok(Words::Keys(source, self.hex(" ")?));
        }
        if self.takes("type=") {
            let (kind, code) = (self.number(" code=")?, self.number(" id=")?);
            return Ok(Words::Icmp { kind, code, id: self.number(" ")? });
        }
        Ok(Words::None)
    }
}
