// SPDX-License-Identifier: GPL-2.0-only
//! A line of `conntrack -L expect` or `conntrack -E expect`, with `-o timestamp` or without.
//!
//! # Source
//! `__snprintf_expect_default()` of libnetfilter_conntrack 1.0.9 and `event_exp_cb()` of
//! conntrack-tools 1.4.7.

use std::fmt;
use std::net::IpAddr;

use nfexp_model::expectation::Flags;

use nfexp_model::tuple::Ntop;

use super::cursor::{Cursor, Read};
use super::{Ends, EventWord};

/// A line of the tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolLine {
    /// When, with `-o timestamp`.
    pub stamp: Option<Stamp>,
    /// What happened, in a log of events.
    pub event: Option<EventWord>,
    /// Remaining seconds.
    pub seconds: u32,
    /// Transport protocol.
    pub proto: u8,
    /// Whom it stands for.
    pub expected: Ends,
    /// Which part of that matters.
    pub mask: Ends,
    /// Its master; of which protocol is not said.
    pub master: Ends,
    /// The zone, where it is told.
    pub zone: Option<u16>,
    /// Its flags.
    pub flags: Flags,
    /// Its class, below four.
    pub class: Option<u8>,
    /// Its helper.
    pub helper: Option<String>,
}

/// A time stamp: seconds and microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Since 1970.
    pub secs: u64,
    /// Of a second.
    pub micros: u32,
}

impl Stamp {
    /// Microseconds since 1970, or the most that can be told.
    #[must_use]
    pub fn in_micros(self) -> u64 {
        self.secs.saturating_mul(1_000_000).saturating_add(self.micros.into())
    }
}

impl ToolLine {
    pub(super) fn parse(line: &str) -> Read<Self> {
        let mut cursor = Cursor::new(line);
        let mut stamp = None;
        if line.starts_with('[') && !line.starts_with("[DESTROY]") {
            cursor.needs("[")?;
            let secs = cursor.number(".")?;
            let before = cursor;
            let micros = cursor.until("]\t")?.trim_end().parse();
            let Ok(micros) = micros else { return before.expected("microseconds") };
            stamp = Some(Stamp { secs, micros });
        }
        let event = match () {
            () if cursor.takes("    [NEW] ") => Some(EventWord::New),
            () if cursor.takes("[DESTROY] ") => Some(EventWord::Destroy),
            () => None,
        };
        let seconds = cursor.number(" ")?;
        cursor.needs("proto=")?;
        let proto = cursor.number(" ")?;
        let expected = ends(&mut cursor, "", None)?;
        let mask = ends(&mut cursor, "mask-", Some(expected.src))?;
        let master = ends(&mut cursor, "master-", Some(expected.src))?;
        let zone = if cursor.takes("zone=") { Some(cursor.number(" ")?) } else { None };
        let mut flags = Flags::NONE;
        for (flag, name) in Flags::NAMED {
            if cursor.takes(name) {
                flags = flags.with(flag);
                if !cursor.takes(",") {
                    cursor.needs(" ")?;
                }
            }
        }
        let class = if cursor.takes("class=") { Some(cursor.class(" ")?) } else { None };
        let helper = cursor.takes("helper=").then(|| cursor.rest().to_owned());
        // Such as what ends the lines of other systems.
        if let Some(space) = helper.as_ref().and_then(|name| name.find(char::is_whitespace)) {
            cursor.takes(&cursor.rest()[..space]);
            return cursor.expected("the end of the line");
        }
        Ok(Self {
            stamp,
            event,
            seconds,
            proto,
            expected,
            mask,
            master,
            zone,
            flags,
            class,
            helper,
        })
    }
}

/// `src=… dst=…` of one family and the protocol's words, with something before.
fn ends(cursor: &mut Cursor<'_>, before: &str, like: Option<IpAddr>) -> Read<Ends> {
    cursor.needs(&format!("{before}src="))?;
    let src = match like {
        None => cursor.address(" ")?,
        Some(like) => cursor.address_as(like, " ")?,
    };
    cursor.needs(&format!("{before}dst="))?;
    Ok(Ends { src, dst: cursor.address_as(src, " ")?, words: cursor.words()? })
}

impl fmt::Display for ToolLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Stamp { secs, micros }) = self.stamp {
            write!(f, "[{secs:<8}.{micros:<6}]\t")?;
        }
        match self.event {
            Some(EventWord::New) => f.write_str("    [NEW] ")?,
            Some(EventWord::Destroy) => f.write_str("[DESTROY] ")?,
            None => {}
        }
        write!(f, "{} proto={} ", self.seconds, self.proto)?;
        for (before, ends) in
            [("", &self.expected), ("mask-", &self.mask), ("master-", &self.master)]
        {
            let Ends { src, dst, words } = ends;
            write!(f, "{before}src={} {before}dst={} {words}", Ntop(*src), Ntop(*dst))?;
        }
        if let Some(zone) = self.zone {
            write!(f, "zone={zone} ")?;
        }
        if self.flags != Flags::NONE {
            write!(f, "{} ", self.flags)?;
        }
        if let Some(class) = self.class {
            write!(f, "class={class}{}", if self.helper.is_some() { " " } else { "" })?;
        }
        match &self.helper {
            Some(helper) => write!(f, "helper={helper}"),
            None => Ok(()),
        }
    }
}
