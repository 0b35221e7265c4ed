// SPDX-License-Identifier: GPL-2.0-only
//! What a generator knows to exist, from the answers so far.
//!
//! *Master*: a conntrack that was made by a request. *Flow*: any conntrack. *Seen*: an
//! expectation whose event came.
//!
//! The rule that matters: only answers teach; what was asked for proves nothing.

use std::collections::BTreeMap;

use nfexp_traces::transcript::{Answer, Event, Family, Operation, PacketArgs, Parts};

use super::cells::covers;
use super::ctnetlink::inverse;
use super::filling;
use super::translated::Translation;

/// A conntrack that was made by a request.
#[derive(Clone, Debug)]
pub struct Master {
    /// Its family.
    pub l3: Family,
    /// The tuple of its first packet.
    pub orig: Parts,
    /// The tuple of the answers.
    pub reply: Parts,
    /// Its zone.
    pub zone: u16,
    /// Its helper.
    pub helper: Option<String>,
    /// Whether it is still there.
    pub alive: bool,
}

/// An expectation whose event came.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its family.
    pub l3: Family,
    /// What is expected.
    pub tuple: Parts,
    /// Which part of the source counts.
    pub mask: Parts,
    /// Its zone.
    pub zone: u16,
    /// Its flags.
    pub flags: u32,
    /// Its class.
    pub class: u32,
    /// What its function will be given.
    pub translation: Translation,
}

/// Any conntrack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its family.
    pub l3: Family,
    /// The tuple of its first packet.
    pub orig: Parts,
    /// Its zone.
    pub zone: u16,
}

/// Everything known to exist.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The masters, dead ones too.
    pub masters: Vec<Master>,
    /// The living expectations, by handle.
    pub expectations: BTreeMap<u64, Seen>,
    /// The living conntracks.
    pub flows: Vec<Flow>,
    /// Those that were translated, with the tuple of their answers.
    pub translated: Vec<(Flow, Parts)>,
    /// The last handle.
    pub last_handle: u64,
}

impl Known {
    /// What an answer teaches.
    pub fn learn(&mut self, operation: &Operation, answer: &Answer) {
        let ok = answer.ret.as_deref() == Some("OK");
        let waiting = match operation {
            Operation::Pkt(packet) => self.waiting(packet).map(|(_, seen)| seen),
            _ => None,
        };
        for event in answer.events() {
            self.event(operation, event);
            self.translated(event, waiting.as_ref());
        }
        match operation {
            Operation::CtNew(new) if ok => {
                if let Some(orig) = new.orig {
                    let (l3, zone) = (new.l3, new.zone.unwrap_or(0));
                    let helper = new.helper.clone();
                    let reply = new.reply.unwrap_or_else(|| inverse(&orig));
                    self.masters.push(Master { l3, orig, reply, zone, helper, alive: true });
                }
            }
            Operation::CtHelp(help) if ok && help.helper.as_deref() == Some("") => {
                let zone = help.at.zone.unwrap_or(0);
                let found = self
                    .masters
                    .iter_mut()
                    .find(|m| Some(m.orig) == help.at.orig && m.zone == zone);
                if let Some(master) = found {
                    master.helper = None;
                }
            }
            Operation::Fill(fill) => {
                for number in 0..fill.masters {
                    let (orig, expected) = filling(number, fill.per);
                    let (l3, zone, helper) = (Family::Ip, 0, Some("RAS".to_owned()));
                    let reply = inverse(&orig);
                    self.masters.push(Master { l3, orig, reply, zone, helper, alive: true });
                    self.flows.push(Flow { l3, orig, zone });
                    for new in expected {
                        self.last_handle += 1;
                        if let (Some(tuple), Some(mask)) = (new.tuple, new.mask) {
                            self.expectations.insert(
                                self.last_handle,
                                Seen {
                                    l3,
                                    tuple,
                                    mask,
                                    zone,
                                    flags: 0,
                                    class: 0,
                                    translation: Translation::default(),
                                },
                            );
                        }
                    }
                }
            }
            Operation::ExpFlushQuiet(_) => self.expectations.clear(),
            _ => {}
        }
    }

    /// An expectation that waits for a packet, with its handle.
    #[must_use]
    pub fn waiting(&self, packet: &PacketArgs) -> Option<(u64, Seen)> {
        let waits = |seen: &Seen| seen.zone == packet.zone && covers(seen, &packet.p.tuple);
        let mut all = self.expectations.iter();
        all.find(|(_, seen)| waits(seen)).map(|(handle, seen)| (*handle, *seen))
    }

    /// The living masters.
    #[must_use]
    pub fn living(&self) -> Vec<&Master> {
        self.masters.iter().filter(|master| master.alive).collect()
    }

    fn translated(&mut self, event: &Event, waiting: Option<&Seen>) {
        if let Event::CtNew { l3, orig, zone, expected: true, .. } = event
            && let Some(seen) = waiting
        {
            let translation = seen.translation;
            let mut newest = self.expectations.values().rev();
            let pair = newest.find(|other| {
                (other.l3, other.tuple.proto) == (*l3, orig.proto)
                    && other.translation.is_of(&translation)
                    && other.translation.goes_to() == orig.src.zip(orig.sport)
            });
            let pair = pair.map(|other| &other.tuple).filter(|_| seen.class != 0);
            if let Some(answers) = translation.answers(orig, &seen.tuple, pair) {
                let flow = Flow { l3: *l3, orig: **orig, zone: *zone };
                self.translated.push((flow, answers));
            }
        }
    }

    fn event(&mut self, operation: &Operation, event: &Event) {
        match event {
            Event::ExpNew { e, l3, tuple, mask, master, fl, cl, nat, function, .. } => {
                let zone = match operation {
                    Operation::ExpNew(new) => new.zone.unwrap_or(0),
                    Operation::Pkt(packet) => packet.zone,
                    _ => 0,
                };
                self.last_handle = *e;
                let (tuple, mask) = (**tuple, **mask);
                let made = |known: &&Master| known.orig == **master && known.zone == zone;
                let made = self.masters.iter().rev().find(made).map(|known| known.reply);
                let ends = [**master, made.unwrap_or_else(|| inverse(master))];
                let translation = Translation::new(function.as_deref(), ends, nat.as_deref());
                let seen = Seen { l3: *l3, tuple, mask, zone, flags: *fl, class: *cl, translation };
                self.expectations.insert(*e, seen);
            }
            Event::ExpDestroy { e, .. } => {
                self.expectations.remove(e);
            }
            Event::CtNew { l3, orig, zone, .. } => {
                self.flows.push(Flow { l3: *l3, orig: **orig, zone: *zone });
            }
            Event::CtDestroy { l3, orig, zone, .. } => {
                let gone = Flow { l3: *l3, orig: **orig, zone: *zone };
                self.flows.retain(|flow| *flow != gone);
                self.translated.retain(|(flow, _)| *flow != gone);
                for master in &mut self.masters {
                    if master.orig == gone.orig && master.zone == gone.zone {
                        master.alive = false;
                    }
                }
            }
        }
    }
}
