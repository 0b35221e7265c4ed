// SPDX-License-Identifier: GPL-2.0-only
//! An operator's log of events (`conntrack -E expect`), beside a replay or as a trace.
//!
//! *Heard*: one event of a log, without what two runs need not share: time stamps, remaining
//! seconds, and what the XML leaves out.
//!
//! ```text
//!   replay ─▶ ExpectEvent ─▶ tool_line ─▶ heard ─┐
//!   log    ─▶ Shown ────────────────────▶ heard ─┴▶ equal, one by one?
//!   log    ─▶ Shown ─▶ conn, confirm, expect, advance, unexpect ─▶ trace
//! ```
//!
//! The rule that matters: a log says that something ended, never why. In a trace of a log an
//! expectation whose class's next one follows at once is left to the engine's eviction; any other
//! is taken back, to no effect where the engine's own timer was up before.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use nfexp_model::ctnetlink::dump::shown_mask;
use nfexp_model::event::{ExpectEvent, ExpectEventKind, Origin};
use nfexp_model::expectation::Flags;
use nfexp_model::helper::IN_TREE;
use nfexp_model::kernel::platform::Platform;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Addr, Mask, Proto, Tuple};
use nfexp_model::{At, Engine};
use nfexp_traces::step::{Announcement, HelperChoice, Place, Step, Target};
use nfexp_traces::text::{Block, Setup, Trace};
use nfexp_traces::tools::{Ends, EventWord, Shown, Stamp, ToolLine, Words};

use crate::conform::seconds_left;
use crate::golden::with_answers;
use crate::simulator::StepError;

/// An event as the tool prints it.
#[must_use]
pub fn tool_line<P: Platform>(engine: &Engine<P>, now: Jiffies, event: &ExpectEvent) -> ToolLine {
    let kind = match event.kind {
        ExpectEventKind::New => EventWord::New,
        ExpectEventKind::Destroy(_) => EventWord::Destroy,
    };
    let revision = &engine.config().revision;
    let at = At { now, ..At::default() };
    ToolLine {
        stamp: None,
        event: Some(kind),
        seconds: u32::try_from(seconds_left(engine, at, event.expires)).unwrap_or(u32::MAX),
        proto: event.tuple.proto.0,
        expected: ends(&event.tuple, revision),
        mask: mask_ends(&event.mask, &event.tuple, revision),
        master: ends(&event.master_tuple, revision),
        zone: None,
        flags: event.flags,
        class: Some(event.class.number()),
        helper: event.helper.map(|helper| engine.helper(helper).name.to_owned()),
    }
}

fn ends(tuple: &Tuple, revision: &Revision) -> Ends {
    let (src, dst) = (tuple.src.ip(tuple.l3), tuple.dst.ip(tuple.l3));
    let words = match tuple.proto {
        Proto::GRE => Words::Keys(tuple.sport, tuple.dport),
        Proto::ICMP | Proto::ICMPV6 => {
            let [kind, code] = tuple.dport.to_be_bytes();
            Words::Icmp { kind, code, id: tuple.sport }
        }
        // The tool prints ports for DCCP, though the kernel says none any more.
        Proto::DCCP => Words::Ports(tuple.sport, tuple.dport),
        proto if revision.has_ports(proto) => Words::Ports(tuple.sport, tuple.dport),
        _ => Words::None,
    };
    Ends { src, dst, words }
}

fn mask_ends(mask: &Mask, tuple: &Tuple, revision: &Revision) -> Ends {
    ends(&shown_mask(mask, tuple), revision)
}

/// What two runs share of an event; `None` for a line that is none.
#[must_use]
pub fn heard(shown: &Shown) -> Option<ToolLine> {
    told(shown).filter(|line| line.event.is_some())
}

/// What a line tells of an expectation and its master, an event or a row of a listing.
fn told(shown: &Shown) -> Option<ToolLine> {
    match shown {
        Shown::Tool(line) => Some(line.clone()),
        Shown::Xml(flow) => Some(ToolLine {
            stamp: None,
            event: flow.event,
            seconds: flow.timeout.unwrap_or(0),
            proto: flow.proto,
            expected: flow.expected,
            mask: flow.mask,
            master: flow.master,
            zone: flow.zone,
            flags: flow.flags,
            class: flow.class,
            helper: flow.helper.clone(),
        }),
        Shown::Proc(_) | Shown::Frame(_) => None,
    }
}

/// When a line says that it was, in microseconds: of the XML a local time, to the second.
fn stamp_of(shown: &Shown) -> Option<u64> {
    let stamp = match shown {
        Shown::Tool(line) => line.stamp?,
        Shown::Xml(flow) => Stamp { secs: flow.when?.seconds()?, micros: 0 },
        Shown::Proc(_) | Shown::Frame(_) => return None,
    };
    Some(stamp.in_micros())
}

/// Whether an event of a replay is one of a log.
#[must_use]
pub fn agree(replayed: &ToolLine, logged: &ToolLine) -> bool {
    // The XML has no words for ICMP, and the text none for a protocol it does not know.
    let same_ends = |a: &Ends, b: &Ends| {
        let words = a.words == b.words || matches!(a.words, Words::Icmp { .. } | Words::None);
        (a.src, a.dst) == (b.src, b.dst) && words
    };
    same_ends(&replayed.expected, &logged.expected)
        && same_ends(&replayed.mask, &logged.mask)
        && same_ends(&replayed.master, &logged.master)
        && (replayed.event, replayed.proto) == (logged.event, logged.proto)
        && (replayed.flags, replayed.class) == (logged.flags, logged.class)
        && replayed.helper == logged.helper
}

/// Turns a log into a trace, event by event.
#[derive(Debug)]
pub struct LogImporter {
    trace: Trace,
    revision: Revision,
    /// The masters that are there, by their tuples.
    masters: BTreeMap<MasterKey, Master>,
    /// Those that expect nothing.
    idle: BTreeSet<MasterKey>,
    /// The names of what is linked and their masters, by what it stands for, oldest first.
    linked: HashMap<(u8, Ends, Ends), VecDeque<(String, MasterKey)>>,
    /// What ended, until it is known whether the next one takes its place.
    ended: Option<(ToolLine, String)>,
    /// The last time stamp, in microseconds.
    last: Option<u64>,
    /// How many expectations and masters were named.
    counted: (u64, u64),
    /// How many expectations are held, and how many were at most.
    held: (u32, u32),
    /// Helpers that no kernel has in its tree.
    unknown: BTreeSet<String>,
}

/// Addresses and ports of a master, and its protocol.
type MasterKey = (IpAddr, u16, IpAddr, u16, u8);

/// A connection that expects, or did.
#[derive(Debug)]
struct Master {
    name: String,
    linked: u32,
}

const HZ: u32 = 250;
/// Expectations and connections a trace has memory for, if the log needs no more at a time.
const ROOM: u32 = 1 << 14;

impl LogImporter {
    /// A trace of the log of this name, for `revision`.
    #[must_use]
    pub fn new(name: &str, revision: Revision) -> Self {
        let setup = Setup {
            hz: Some(HZ),
            hash_size: Some(1024),
            expect_max: Some(4096),
            expectations: Some(ROOM),
            conns: Some(ROOM),
            ..Setup::default()
        };
        let comments = vec![format!(" Imported from {name}.")];
        let revisions = vec![revision.name.to_owned()];
        let trace = Trace { comments, setup, revisions, blocks: Vec::new() };
        Self {
            trace,
            revision,
            masters: BTreeMap::new(),
            idle: BTreeSet::new(),
            linked: HashMap::new(),
            ended: None,
            last: None,
            counted: (0, 0),
            held: (0, 0),
            unknown: BTreeSet::new(),
        }
    }

    /// Helpers that were named and that no kernel has in its tree: their masters have none.
    #[must_use]
    pub fn unknown(&self) -> &BTreeSet<String> {
        &self.unknown
    }

    /// Takes a line in.
    ///
    /// # Errors
    /// If there is more at a time than a trace has memory for.
    pub fn take(&mut self, shown: &Shown) -> Result<(), String> {
        let Some(mut line) = told(shown) else { return Ok(()) };
        // What a listing shows is there.
        line.event.get_or_insert(EventWord::New);
        let mut steps = Vec::new();
        self.pass(stamp_of(shown), &mut steps);
        match line.event {
            Some(EventWord::Destroy) => {
                self.settle(&mut steps);
                if let Some(name) = self.unlink(&line) {
                    self.ended = Some((line, name));
                }
            }
            _ => self.begin(line, &mut steps)?,
        }
        self.push(steps);
        Ok(())
    }

    /// Time passes between two stamps. A clock that is set back tells nothing: time stands still
    /// until it has caught up.
    fn pass(&mut self, stamp: Option<u64>, steps: &mut Vec<Step>) {
        let Some(now) = stamp else { return };
        if let Some(last) = self.last.filter(|last| *last < now) {
            let ticks = (now - last).saturating_mul(HZ.into()) / 1_000_000;
            if ticks > 0 {
                self.settle(steps);
                steps.push(Step::Advance(Ticks(ticks.min(1 << 40))));
            }
        }
        self.last = self.last.max(Some(now));
    }

    /// What ended without a successor is taken back: to no effect, if its time was up.
    fn settle(&mut self, steps: &mut Vec<Step>) {
        let Some((_, exp)) = self.ended.take() else { return };
        steps.push(Step::Unexpect { exp: exp.clone() });
        self.put(exp, steps);
    }

    fn put(&mut self, name: String, steps: &mut Vec<Step>) {
        self.held.0 -= 1;
        steps.push(Step::Put { name });
    }

    fn begin(&mut self, line: ToolLine, steps: &mut Vec<Step>) -> Result<(), String> {
        let follows = |(old, _): &mut (ToolLine, String)| {
            (old.master, old.class) == (line.master, line.class)
        };
        let evicted = self.ended.take_if(follows);
        self.settle(steps);
        let key = self.master(&line, steps)?;
        let name = self.expect(&line, &key, steps)?;
        // The engine makes room for the newcomer itself.
        if let Some((_, name)) = evicted {
            self.put(name, steps);
        }
        self.linked.entry(key_of(&line)).or_default().push_back((name, key));
        Ok(())
    }

    /// The oldest of those that stand for the same is linked no more.
    fn unlink(&mut self, line: &ToolLine) -> Option<String> {
        let key = key_of(line);
        let names = self.linked.get_mut(&key)?;
        let (name, its_master) = names.pop_front()?;
        if names.is_empty() {
            self.linked.remove(&key);
        }
        if let Some(master) = self.masters.get_mut(&its_master) {
            master.linked -= 1;
            if master.linked == 0 {
                self.idle.insert(its_master);
            }
        }
        Some(name)
    }

    /// The master; it begins where it is first heard of. When a log says that one ended is not
    /// known: those that expect nothing go where there are too many.
    fn master(&mut self, line: &ToolLine, steps: &mut Vec<Step>) -> Result<MasterKey, String> {
        let known = line.helper.as_deref().and_then(|name| IN_TREE.iter().find(|h| h.name == name));
        // Of which protocol the master is, a log does not say; its helper does.
        let proto = known.and_then(|helper| helper.proto.first()).copied().unwrap_or(Proto::TCP);
        let tuple = tuple_of(&line.master, proto.0);
        let ends = &line.master;
        let key = (ends.src, tuple.sport, ends.dst, tuple.dport, tuple.proto.0);
        if self.masters.contains_key(&key) {
            return Ok(key);
        }
        if self.masters.len() >= ROOM as usize {
            let idle = std::mem::take(&mut self.idle).into_iter();
            let gone = idle.filter_map(|key| self.masters.remove(&key));
            steps.extend(gone.map(|master| Step::Destroy { conn: master.name }));
        }
        has_room(self.masters.len() as u32, "masters that expect something")?;
        self.counted.1 += 1;
        let name = format!("m{}", self.counted.1);
        self.masters.insert(key, Master { name: name.clone(), linked: 0 });
        let conns = &mut self.trace.setup.conns;
        *conns = (*conns).max(Some(self.masters.len() as u32));
        let helper = match &line.helper {
            Some(helper) if known.is_some() => HelperChoice::Named(helper.clone()),
            unknown => {
                self.unknown.extend(unknown.clone());
                HelperChoice::Extension
            }
        };
        let place =
            Place { zone: nfexp_model::netns::Zone(line.zone.unwrap_or(0)), ..Place::default() };
        let conn = name.clone();
        steps.push(Step::Conn { name: conn, tuple, place, helper, mark: 0, secmark: 0 });
        steps.push(Step::Confirm { conn: name });
        Ok(key)
    }

    /// An expectation of a master that is there; its name.
    fn expect(
        &mut self,
        line: &ToolLine,
        key: &MasterKey,
        steps: &mut Vec<Step>,
    ) -> Result<String, String> {
        has_room(self.held.0, "expectations")?;
        self.held.0 += 1;
        self.held.1 = self.held.1.max(self.held.0);
        self.counted.0 += 1;
        let name = format!("e{}", self.counted.0);
        let mut master = String::new();
        if let Some(known) = self.masters.get_mut(key) {
            known.linked += 1;
            master.clone_from(&known.name);
        }
        self.idle.remove(key);
        let tuple = tuple_of(&line.expected, line.proto);
        let masked = tuple_of(&line.mask, line.proto);
        let mask = Mask { src: masked.src, sport: masked.sport };
        let announcement = Announcement {
            name: name.clone(),
            master,
            target: Target::Masked(tuple, mask),
            class: line.class.unwrap_or(0),
            flags: Flags(line.flags.0 & 7),
            assign: None,
            expectfn: None,
            nat: None,
            timeout: Some(Ticks(u64::from(line.seconds) * u64::from(HZ))),
        };
        steps.push(Step::Expect { announcement, skip_master: false, origin: Origin::KERNEL });
        Ok(name)
    }

    fn push(&mut self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let lines = steps.iter().map(Step::to_string).collect();
        let steps = steps.into_iter().map(|step| (0, step)).collect();
        self.trace.blocks.push(Block { lines, steps, answers: Vec::new() });
    }

    /// The trace, with the answers it gets when it is played.
    ///
    /// # Errors
    /// If it cannot be played.
    pub fn finish(mut self) -> Result<Trace, StepError> {
        let mut steps = Vec::new();
        self.settle(&mut steps);
        self.push(steps);
        self.trace.setup.expectations = Some(self.held.1.max(ROOM));
        with_answers(self.trace, self.revision)
    }
}

/// Whether a trace that has so many may have one more.
fn has_room(there: u32, what: &str) -> Result<(), String> {
    const MOST: u32 = Setup::MOST;
    let full = || format!("expected at most {MOST} {what} at a time, as a trace has memory for");
    if there < MOST { Ok(()) } else { Err(full()) }
}

/// What an expectation stands for, and whose it is.
fn key_of(line: &ToolLine) -> (u8, Ends, Ends) {
    (line.proto, line.expected, line.master)
}

fn tuple_of(ends: &Ends, proto: u8) -> Tuple {
    let (sport, dport) = match ends.words {
        Words::None => (0, 0),
        Words::Ports(source, destination) | Words::Keys(source, destination) => {
            (source, destination)
        }
        Words::Icmp { kind, code, id } => (id, u16::from_be_bytes([kind, code])),
    };
    let l3 = nfexp_model::tuple::L3::of(ends.src);
    let (src, dst) = (Addr::from(ends.src), Addr::from(ends.dst));
    Tuple { src, dst, sport, dport, l3, proto: Proto(proto) }
}
