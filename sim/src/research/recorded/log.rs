// SPDX-License-Identifier: GPL-2.0-only
//! A log's announcements, and what its ends say about connections.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::net::IpAddr;

use nfexp_model::expectation::Flags;
use nfexp_model::tuple::Addr;
use nfexp_traces::tools::{Ends, EventWord, ToolLine, Words, lines};

use super::{At, Gather, Recorded, Told};
use crate::log::heard;
use crate::research::workload::Micros;

/// What one master does this close together is one deed: a flush, its own end, an eviction by the
/// next one (a few microseconds apart in what we recorded; a match and a reply are hundreds).
const TOGETHER: Micros = 100;

type Master = (IpAddr, IpAddr, u16, u16);

/// By what an expectation that stands is told from all others.
type Known = (u8, Ends, Ends, Option<u16>);

pub(super) fn read(file: impl Read) -> Result<Recorded, String> {
    let mut log = Log { gather: Gather::new(), open: HashMap::new(), ended: Vec::new() };
    let (mut start, mut last) = (None, 0);
    for line in lines(BufReader::new(file)) {
        let (number, shown) = line.map_err(|error| error.to_string())?;
        let Some(line) = heard(&shown) else { continue };
        let Some(stamp) = line.stamp else {
            return Err(format!(
                "line {number}: expected a time stamp, as `conntrack -E expect -o timestamp` prints \
                 it in text"
            ));
        };
        let now = stamp.in_micros();
        // A clock that is set back tells nothing: time stands still until it has caught up.
        last = now.saturating_sub(*start.get_or_insert(now)).max(last);
        log.take(last, line);
        let most = Gather::<Master>::MOST_SORTS;
        if log.gather.sorts.len() > most {
            return Err(format!(
                "line {number}: expected at most {most} kinds of expectations, by helper, class and flags"
            ));
        }
    }
    log.settle();
    Ok(log.gather.finish(last))
}

#[derive(Debug)]
struct Log {
    gather: Gather<Master>,
    open: HashMap<Known, At>,
    /// What ended of one master at one time, and when: nothing else was heard since.
    ended: Vec<(ToolLine, At, Micros)>,
}

impl Log {
    fn take(&mut self, now: Micros, line: ToolLine) {
        let follows = |(ended, _, when): &(ToolLine, At, Micros)| {
            ended.master == line.master && now - *when <= TOGETHER
        };
        if line.event == Some(EventWord::Destroy) {
            if !self.ended.iter().all(follows) {
                self.settle();
            }
            if let Some(at) = self.open.remove(&known_by(&line)) {
                self.gather.ended(at, now);
                self.ended.push((line, at, now));
            }
            return;
        }
        // Evicted by the next of its class, or replaced by its equal: whether its connection
        // would have come, nobody knows.
        if let [(ended, _, when)] = &self.ended[..]
            && (ended.master, ended.class) == (line.master, line.class)
            && now - *when <= TOGETHER
        {
            self.ended.clear();
        }
        self.settle();
        // Its end was not heard, as when events come faster than they are read: no two equal ones
        // stand at a time, so that from here on it is this one that a connection finds.
        if let Some(before) = self.open.remove(&known_by(&line)) {
            self.gather.ended(before, now);
        }
        let permanent = line.flags.has(Flags::PERMANENT);
        let told = Told {
            source: Addr::from(line.master.src).bits(),
            zone: line.zone.unwrap_or(0),
            helper: line.helper.as_deref().unwrap_or(""),
            class: line.class.unwrap_or(0),
            permanent,
            wide: line.mask.src.is_unspecified(),
            secs: line.seconds,
            whom: format!("{} {:?} {:?}", line.proto, line.expected, line.mask),
        };
        let at = self.gather.said(now, master(&line.master), &told);
        self.open.insert(known_by(&line), at);
    }

    /// What ended alone and before its time was matched.
    fn settle(&mut self) {
        let alone = self.ended.len() == 1;
        for (line, at, when) in self.ended.drain(..) {
            match line.seconds > 0 && !line.flags.has(Flags::PERMANENT) && alone {
                true => self.gather.arrived(at, when),
                false if line.seconds > 0 => self.gather.withdrawn(at, when),
                false => {}
            }
        }
    }
}

fn known_by(line: &ToolLine) -> Known {
    (line.proto, line.expected, line.master, line.zone)
}

fn master(ends: &Ends) -> Master {
    let (sport, dport) = match ends.words {
        Words::Ports(sport, dport) | Words::Keys(sport, dport) => (sport, dport),
        Words::None | Words::Icmp { .. } => (0, 0),
    };
    (ends.src, ends.dst, sport, dport)
}
