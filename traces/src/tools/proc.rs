// SPDX-License-Identifier: GPL-2.0-only
//! A line of `/proc/net/nf_conntrack_expect`.
//!
//! # Source
//! `exp_seq_show()`, v3.9 and 6.18: the old one always prints the class's name, even an empty one
//! (`ftp/`), and `-` for a timer without a function.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use nfexp_model::expectation::Flags;

use super::Ends;
use super::cursor::{Cursor, Read};

/// A line of the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcLine {
    /// Remaining seconds.
    pub seconds: Seconds,
    /// Transport protocol.
    pub proto: u8,
    /// Whom it stands for.
    pub expected: Ends,
    /// Its flags, as far as they have names.
    pub flags: Flags,
    /// Its helper.
    pub helper: Option<String>,
    /// Its class; an old kernel writes an empty name, too.
    pub class: Option<String>,
    /// Whether a flag without a name is set: it shows as a further space.
    pub unnamed_flag: bool,
}

/// Remaining seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seconds {
    /// So many; fewer than none while an old kernel's timer is late.
    Left(i64),
    /// `-`: the timer has no function yet.
    NoTimer,
}

impl ProcLine {
    pub(super) fn parse(line: &str) -> Read<Self> {
        let mut cursor = Cursor::new(line);
        let seconds = match cursor.takes("- ") {
            true => Seconds::NoTimer,
            false => Seconds::Left(cursor.number(" ")?),
        };
        cursor.needs("l3proto = ")?;
        let before = cursor;
        let l3: u8 = cursor.number(" ")?;
        if l3 != 2 && l3 != 10 {
            return before.expected("2 or 10");
        }
        cursor.needs("proto=")?;
        let proto = cursor.number(" ")?;
        cursor.needs("src=")?;
        let src = cursor.address(" ")?;
        cursor.needs("dst=")?;
        let expected = Ends { src, dst: cursor.address_as(src, " ")?, words: cursor.words()? };
        let mut flags = Flags::NONE;
        for (flag, name) in Flags::NAMED {
            if cursor.takes(name) {
                flags = flags.with(flag);
                cursor.takes(",");
            }
        }
        let any = flags != Flags::NONE;
        let unnamed_flag = !any && cursor.rest().starts_with(' ');
        if !cursor.takes(" ") && any && !cursor.rest().is_empty() {
            return cursor.expected("a space");
        }
        let rest = cursor.rest();
        let (helper, class) = match rest.split_once('/') {
            Some((helper, class)) => (Some(helper), Some(class.to_owned())),
            None => (Some(rest).filter(|rest| !rest.is_empty()), None),
        };
        let helper = helper.map(str::to_owned);
        Ok(Self { seconds, proto, expected, flags, helper, class, unnamed_flag })
    }
}

impl fmt::Display for ProcLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            Seconds::Left(seconds) => write!(f, "{seconds} ")?,
            Seconds::NoTimer => f.write_str("- ")?,
        }
        let Ends { src, dst, words } = &self.expected;
        let l3 = if src.is_ipv4() { 2 } else { 10 };
        write!(f, "l3proto = {l3} proto={} src={} dst={} ", self.proto, Full(src), Full(dst))?;
        write!(f, "{words}{}", self.flags)?;
        if let Some(helper) = &self.helper {
            let space = self.flags != Flags::NONE || self.unnamed_flag;
            write!(f, "{}{helper}", if space { " " } else { "" })?;
        }
        match &self.class {
            Some(class) => write!(f, "/{class}"),
            None => Ok(()),
        }
    }
}

/// An IPv6 address in all its digits.
struct Full<'a>(&'a IpAddr);

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => full(address, f),
        }
    }
}

fn full(address: &Ipv6Addr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, group) in address.segments().iter().enumerate() {
        let colon = if place == 0 { "" } else { ":" };
        write!(f, "{colon}{group:04x}")?;
    }
    Ok(())
}
