// SPDX-License-Identifier: GPL-2.0-only
//! An element of `conntrack -o xml`, which stands on a line of its own.
//!
//! # Source
//! `snprintf_expect_xml()` of libnetfilter_conntrack 1.0.9. It leaves the words of ICMP out.

use std::fmt;

use nfexp_model::expectation::Flags;

use super::cursor::{Cursor, Read};
use super::{Ends, EventWord, Words};

/// One `<flow>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlFlow {
    /// What happened, in a log of events.
    pub event: Option<EventWord>,
    /// Transport protocol.
    pub proto: u8,
    /// Its name, as the tool knows it.
    pub proto_name: String,
    /// Whom it stands for.
    pub expected: Ends,
    /// Which part of that matters.
    pub mask: Ends,
    /// Its master.
    pub master: Ends,
    /// Its helper.
    pub helper: Option<String>,
    /// Remaining seconds.
    pub timeout: Option<u32>,
    /// Its class, below four.
    pub class: Option<u8>,
    /// The zone, where it is told.
    pub zone: Option<u16>,
    /// When, with `-o timestamp`.
    pub when: Option<When>,
    /// Its flags.
    pub flags: Flags,
}

/// A moment of local time, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// `hour`, `min`, `sec`, `wday` (from 1, Sunday), `day`, `month` (from 1), `year`.
    pub parts: [u16; 7],
}

impl When {
    /// Seconds since 1970 began there, leap seconds left out; `None` of a date or a time that no
    /// calendar has, or before.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        let [hour, minute, second, _, day, month, year] = self.parts.map(u64::from);
        let there = hour < 24 && minute < 60 && second <= 60 && year >= 1970;
        if !there || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // Years begin in March here, so that a leap day is the last of one.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let leap_days = year / 4 - year / 100 + year / 400;
        let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1;
        // So many are before 1970 in that reckoning.
        Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
    }
}

const PARTS: [&str; 7] = ["hour", "min", "sec", "wday", "day", "month", "year"];
const ROLES: [&str; 3] = ["expected", "mask", "master"];
const FLAGS: [(Flags, &str); 3] = [
    (Flags::PERMANENT, "<permanent/>"),
    (Flags::INACTIVE, "<inactive/>"),
    (Flags::USERSPACE, "<userspace/>"),
];

impl XmlFlow {
    pub(super) fn parse(line: &str) -> Read<Self> {
        let mut cursor = Cursor::new(line);
        cursor.needs("<flow")?;
        let event = match cursor.takes(" type=\"") {
            false => None,
            true if cursor.takes("new\"") => Some(EventWord::New),
            true if cursor.takes("destroy\"") => Some(EventWord::Destroy),
            true => return cursor.expected("`new`, `destroy`"),
        };
        cursor.needs("><layer3 protonum=\"")?;
        let _: u8 = cursor.number("\" protoname=\"")?;
        cursor.until("\">")?;
        let mut ends: Vec<Ends> = Vec::new();
        for role in ROLES {
            cursor.needs(&format!("<{role}><src>"))?;
            let src = match ends.first() {
                None => cursor.address("</src><dst>")?,
                Some(first) => cursor.address_as(first.src, "</src><dst>")?,
            };
            let dst = cursor.address_as(src, &format!("</dst></{role}>"))?;
            ends.push(Ends { src, dst, words: Words::None });
        }
        cursor.needs("</layer3><layer4 protonum=\"")?;
        let proto = cursor.number("\" protoname=\"")?;
        let proto_name = cursor.until("\">")?.to_owned();
        for (role, ends) in ROLES.iter().zip(&mut ends) {
            cursor.needs(&format!("<{role}>"))?;
            if cursor.takes("<sport>") {
                let source = cursor.number("</sport><dport>")?;
                ends.words = Words::Ports(source, cursor.number("</dport>")?);
            } else if cursor.takes("<srckey>") {
                let source = cursor.hex("</srckey><dstkey>")?;
                ends.words = Words::Keys(source, cursor.hex("</dstkey>")?);
            }
            cursor.needs(&format!("</{role}>"))?;
        }
        cursor.needs("</layer4><meta>")?;
        let text = |cursor: &mut Cursor<'_>, name: &str| match cursor.takes(&format!("<{name}>")) {
            true => cursor.until(&format!("</{name}>")).map(|text| Some(text.to_owned())),
            false => Ok(None),
        };
        let helper = text(&mut cursor, "helper-name")?;
        let timeout = number(&mut cursor, "timeout")?;
        let class = if cursor.takes("<class>") { Some(cursor.class("</class>")?) } else { None };
        let zone = number(&mut cursor, "zone")?;
        let when = if cursor.takes("<when>") { Some(when(&mut cursor)?) } else { None };
        let mut flags = Flags::NONE;
        for (flag, element) in FLAGS {
            if cursor.takes(element) {
                flags = flags.with(flag);
            }
        }
        cursor.needs("</meta></flow>")?;
        let [expected, mask, master] = ends[..] else { return cursor.expected("three roles") };
        let (proto_name, helper) = (proto_name, helper);
        Ok(Self {
            event,
            proto,
            proto_name,
            expected,
            mask,
            master,
            helper,
            timeout,
            class,
            zone,
            when,
            flags,
        })
    }
}

fn number<T: std::str::FromStr>(cursor: &mut Cursor<'_>, name: &str) -> Read<Option<T>> {
    match cursor.takes(&format!("<{name}>")) {
        true => cursor.number(&format!("</{name}>")).map(Some),
        false => Ok(None),
    }
}

fn when(cursor: &mut Cursor<'_>) -> Read<When> {
    let mut parts = [0; 7];
    for (name, part) in PARTS.iter().zip(&mut parts) {
        cursor.needs(&format!("<{name}>"))?;
        *part = cursor.number(&format!("</{name}>"))?;
    }
    cursor.needs("</when>")?;
    Ok(When { parts })
}

impl fmt::Display for XmlFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.event {
            Some(EventWord::New) => "<flow type=\"new\">",
            Some(EventWord::Destroy) => "<flow type=\"destroy\">",
            None => "<flow>",
        })?;
        let (l3, name) = if self.expected.src.is_ipv4() { (2, "ipv4") } else { (10, "ipv6") };
        write!(f, "<layer3 protonum=\"{l3}\" protoname=\"{name}\">")?;
        let roles = ROLES.iter().zip([&self.expected, &self.mask, &self.master]);
        for (role, Ends { src, dst, .. }) in roles.clone() {
            write!(f, "<{role}><src>{src}</src><dst>{dst}</dst></{role}>")?;
        }
        let (proto, name) = (self.proto, &self.proto_name);
        write!(f, "</layer3><layer4 protonum=\"{proto}\" protoname=\"{name}\">")?;
        for (role, Ends { words, .. }) in roles {
            write!(f, "<{role}>")?;
            match words {
                Words::Ports(source, destination) => {
                    write!(f, "<sport>{source}</sport><dport>{destination}</dport>")?;
                }
                Words::Keys(source, destination) => {
                    write!(f, "<srckey>{source:#x}</srckey><dstkey>{destination:#x}</dstkey>")?;
                }
                Words::None | Words::Icmp { .. } => {}
            }
            write!(f, "</{role}>")?;
        }
        f.write_str("</layer4><meta>")?;
        if let Some(helper) = &self.helper {
            write!(f, "<helper-name>{helper}</helper-name>")?;
        }
        if let Some(timeout) = self.timeout {
            write!(f, "<timeout>{timeout}</timeout>")?;
        }
        if let Some(class) = self.class {
            write!(f, "<class>{class}</class>")?;
        }
        if let Some(zone) = self.zone {
            write!(f, "<zone>{zone}</zone>")?;
        }
        if let Some(When { parts }) = &self.when {
            f.write_str("<when>")?;
            for (name, part) in PARTS.iter().zip(parts) {
                write!(f, "<{name}>{part}</{name}>")?;
            }
            f.write_str("</when>")?;
        }
        for (flag, element) in FLAGS {
            if self.flags.has(flag) {
                f.write_str(element)?;
            }
        }
        f.write_str("</meta></flow>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_so_many_seconds_after_1970() {
        // As `date -u -d … +%s` has them.
        for (parts, seconds) in [
            ([0, 0, 0, 5, 1, 1, 1970], Some(0)),
            ([23, 59, 59, 3, 29, 2, 2000], Some(951_868_799)),
            ([0, 0, 0, 4, 1, 3, 2000], Some(951_868_800)),
            ([12, 30, 5, 2, 30, 11, 2026], Some(1_796_041_805)),
            ([0, 0, 0, 2, 1, 3, 2100], Some(4_107_542_400)),
            ([24, 0, 0, 1, 1, 1, 2000], None),
            ([0, 0, 0, 1, 0, 1, 2000], None),
            ([0, 0, 0, 1, 1, 13, 2000], None),
            ([0, 0, 0, 1, 31, 12, 1969], None),
        ] {
            assert_eq!(When { parts }.seconds(), seconds, "{parts:?}");
        }
    }
}
