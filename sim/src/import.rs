// SPDX-License-Identifier: GPL-2.0-only
//! A capture as a text trace: what its helpers and connections did, from the events they caused.
//!
//! Each packet that had events becomes a block; its answers are what the engine says when the
//! steps are played again; so the trace ends as the capture did. What left no event (a refused
//! announcement, a connection that neither announces nor was announced) is not in the trace.

use std::collections::{BTreeMap, BTreeSet};

use nfexp_model::Engine;
use nfexp_model::conn::ConnId;
use nfexp_model::event::{
    Cause, ConnEvent, ConnEventKind, Event, ExpectEvent, ExpectEventKind, Origin,
};
use nfexp_model::expectation::ExpectId;
use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::revision::Expiry;
use nfexp_traces::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use nfexp_traces::text::{Block, Setup, Trace};

use crate::forward::Router;
use crate::golden::with_answers;
use crate::replay::Happening;
use crate::simulator::StepError;

/// Collects the steps of a replay.
#[derive(Debug)]
pub struct Importer {
    trace: Trace,
    now: Jiffies,
    conns: BTreeMap<ConnId, String>,
    /// What is linked, and the name of its master.
    exps: BTreeMap<ExpectId, (String, String)>,
    /// Those of a first packet that is a step already, and let them in.
    came: BTreeSet<ConnId>,
    counted: (u64, u64),
    /// Those that ended for the next one's sake, and are there until it is.
    leaving: usize,
    /// How many expectations and connections there were at most.
    most: (usize, usize),
}

/// Expectations and connections a trace has memory for, if no more were there at a time.
const ROOM: u32 = 4096;

impl Importer {
    /// A trace of the capture of this name, on an engine like the router's.
    #[must_use]
    pub fn new(name: &str, router: &Router) -> Self {
        let engine = router.engine().config();
        let setup = Setup {
            hz: Some(engine.hz),
            hash_size: Some(engine.hash_size),
            expect_max: Some(engine.expect_max),
            expectations: Some(ROOM),
            conns: Some(ROOM),
            ..Setup::default()
        };
        let comments = vec![format!(" Imported from {name}.")];
        let revisions = vec![engine.revision.name.to_owned()];
        let trace = Trace { comments, setup, revisions, blocks: Vec::new() };
        let (conns, exps, came) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self {
            trace,
            now: router.now(),
            conns,
            exps,
            came,
            counted: (0, 0),
            leaving: 0,
            most: (0, 0),
        }
    }

    /// Takes in what happened at a packet, or between two.
    pub fn take(&mut self, router: &Router, happening: &Happening<'_>) {
        let mut steps = Vec::new();
        let passed = router.now().ticks_from(self.now);
        if passed > 0 {
            steps.push(Step::Advance(Ticks(passed as u64)));
        }
        let before = steps.len();
        for event in in_order_of_steps(happening.events) {
            match event {
                Event::Expect(event) => self.expect(router.engine(), event, &mut steps),
                Event::Conn(event) => self.conn(router.engine(), event, &mut steps),
            }
        }
        self.dropped(router.engine(), happening.events, &mut steps);
        for id in happening.retimed {
            steps.extend(self.retime(router, *id));
        }
        let ends = happening.events.iter().any(|event| matches!(event, Event::Expect(_)));
        if steps.len() == before && !ends {
            return;
        }
        self.now = router.now();
        let when = happening.since_ns as f64 / 1e9;
        let place = if happening.between { "after packet" } else { "packet" };
        let mut lines = vec![format!("# {place} {}, {when:.3} s", happening.packet)];
        lines.extend(steps.iter().map(Step::to_string));
        let steps = steps.into_iter().map(|step| (0, step)).collect();
        self.trace.blocks.push(Block { lines, steps, answers: Vec::new() });
    }

    fn expect(&mut self, engine: &Engine, event: &ExpectEvent, steps: &mut Vec<Step>) {
        if let ExpectEventKind::Destroy(cause) = event.kind {
            self.end(engine, event, cause, steps);
            return;
        }
        let master = match self.conns.get(&event.master) {
            Some(name) => name.clone(),
            // A first packet that announces: its connection is not confirmed yet.
            None => self.begin(engine, event, steps),
        };
        self.counted.0 += 1;
        let name = format!("e{}", self.counted.0);
        self.exps.insert(event.id, (name.clone(), master.clone()));
        let there = self.exps.len() + std::mem::take(&mut self.leaving);
        self.most.0 = self.most.0.max(there);
        let announcement = Announcement {
            name: name.clone(),
            master,
            target: Target::Masked(event.tuple, event.mask),
            class: event.class.number(),
            flags: event.flags,
            assign: engine
                .expectation_about(event.id)
                .and_then(|about| about.assign_helper)
                .map(|helper| engine.helper(helper).name.to_owned()),
            // A function without a name cannot be written down.
            expectfn: event.expectfn.filter(|function| function.name().is_some()),
            nat: event.nat,
            timeout: None,
        };
        steps.push(Step::Expect { announcement, skip_master: false, origin: Origin::KERNEL });
        steps.push(Step::Put { name });
    }

    /// What packets, timers and newcomers end, they end again when the trace is played; what a
    /// helper took back is said, and where nothing fires, who collected.
    fn end(&mut self, engine: &Engine, event: &ExpectEvent, cause: Cause, steps: &mut Vec<Step>) {
        let Some((exp, conn)) = self.exps.remove(&event.id) else { return };
        self.leaving += usize::from(matches!(cause, Cause::Eviction | Cause::Refresh));
        let collected = engine.config().revision.expiry == Expiry::Collected;
        let mut said = Vec::new();
        if cause == Cause::Unexpect {
            said.push(Step::Unexpect { exp });
        }
        if collected && cause == Cause::Expiry {
            said.push(Step::Collect { conn: conn.clone() });
        }
        // A helper takes back before its connection goes, and is heard after that.
        let goes = |step: &Step| matches!(step, Step::Destroy { conn: gone } if *gone == conn);
        let stays = said.is_empty() || self.conns.contains_key(&event.master);
        let place = if stays { None } else { steps.iter().position(goes) };
        let place = place.unwrap_or(steps.len());
        steps.splice(place..place, said);
    }

    /// Of a connection whose first packet announced and was dropped, only its expectations tell that
    /// it is gone: it was never confirmed.
    fn dropped(&mut self, engine: &Engine, events: &[Event], steps: &mut Vec<Step>) {
        for event in events {
            let Event::Expect(ExpectEvent { kind, master, .. }) = event else { continue };
            let gone = *kind == ExpectEventKind::Destroy(Cause::MasterGone)
                && !engine.memory().conns.is_live(*master);
            if gone && let Some(conn) = self.conns.remove(master) {
                steps.push(Step::Destroy { conn });
            }
        }
    }

    /// Another time, other flags: nothing tells of them.
    fn retime(&self, router: &Router, id: ExpectId) -> Option<Step> {
        let (exp, _) = self.exps.get(&id)?;
        let engine = router.engine();
        let left = engine.timer(id).0.ticks_from(router.now());
        let (span, flags) = (Ticks(u64::try_from(left).ok()?), engine.expectation(id).flags());
        Some(Step::Retime { exp: exp.clone(), span, flags })
    }

    fn begin(&mut self, engine: &Engine, event: &ExpectEvent, steps: &mut Vec<Step>) -> String {
        let name = self.name_conn(event.master);
        let place = Place { net: event.net, zone: event.zone };
        // One whose packet was dropped may be gone by now.
        let lives = engine.memory().conns.is_live(event.master);
        if lives && engine.conn(event.master).about().master.is_some() {
            // It was announced itself, and consumes before it announces.
            self.came.insert(event.master);
            let (tuple, fate) = (event.master_tuple, Fate::Forwarded);
            steps.push(Step::Packet { tuple, place, name: Some(name.clone()), fate });
            return name;
        }
        let helper = event.helper.map(|helper| engine.helper(helper).name.to_owned());
        steps.push(Step::Conn {
            name: name.clone(),
            tuple: event.master_tuple,
            place,
            helper: helper.map_or(HelperChoice::Extension, HelperChoice::Named),
            mark: 0,
            secmark: 0,
        });
        name
    }

    fn name_conn(&mut self, id: ConnId) -> String {
        self.counted.1 += 1;
        let name = format!("c{}", self.counted.1);
        self.conns.insert(id, name.clone());
        self.most.1 = self.most.1.max(self.conns.len());
        name
    }

    fn conn(&mut self, engine: &Engine, event: &ConnEvent, steps: &mut Vec<Step>) {
        let known = self.conns.get(&event.id).cloned();
        let place = Place { net: event.net, zone: event.zone };
        match (event.kind, known) {
            (ConnEventKind::Destroy, Some(conn)) => {
                self.conns.remove(&event.id);
                steps.push(Step::Destroy { conn });
            }
            (ConnEventKind::New, Some(_)) if self.came.remove(&event.id) => {}
            (ConnEventKind::New, Some(conn)) => steps.push(Step::Confirm { conn }),
            (ConnEventKind::New, None) if event.master.is_some() => {
                let name = Some(self.name_conn(event.id));
                let (tuple, fate) = (event.original, Fate::Forwarded);
                steps.push(Step::Packet { tuple, place, name, fate });
            }
            (ConnEventKind::New, None) => {
                if let Some(helper) = event.helper {
                    let name = self.name_conn(event.id);
                    let helper = HelperChoice::Named(engine.helper(helper).name.to_owned());
                    let (conn, tuple) = (name.clone(), event.original);
                    steps.push(Step::Conn { name, tuple, place, helper, mark: 0, secmark: 0 });
                    steps.push(Step::Confirm { conn });
                }
            }
            (ConnEventKind::Destroy, None) => {}
        }
    }

    /// The trace, with the answers it gets when it is played.
    ///
    /// # Errors
    /// If it cannot be played.
    pub fn finish(mut self, engine: &Engine) -> Result<Trace, StepError> {
        self.trace.setup.expectations = Some(room(self.most.0, "expectations")?);
        self.trace.setup.conns = Some(room(self.most.1, "connections with a helper or a master")?);
        with_answers(self.trace, engine.config().revision)
    }
}

/// Memory for so many at a time.
fn room(there: usize, what: &str) -> Result<u32, StepError> {
    const MOST: u32 = Setup::MOST;
    let room = u32::try_from(there).ok().filter(|there| *there <= MOST);
    let full = || format!("it has memory for {MOST} {what} at a time, and there are {there}");
    room.map(|there| there.max(ROOM)).ok_or_else(|| StepError::Trace(full()))
}

/// The events, with the end of a connection behind what it announced after it: the packet that ended
/// it is read all the same. Its steps have no such time: what announces is there.
fn in_order_of_steps(events: &[Event]) -> Vec<&Event> {
    let mut ordered: Vec<&Event> = events.iter().collect();
    let announcer = |event: &Event| match event {
        Event::Expect(event) if event.kind == ExpectEventKind::New => Some(event.master),
        _ => None,
    };
    // Where many end at a time, none of them announces.
    let announce: BTreeSet<ConnId> = events.iter().filter_map(announcer).collect();
    for at in (0..ordered.len()).rev() {
        let Event::Conn(ConnEvent { id, kind: ConnEventKind::Destroy, .. }) = ordered[at] else {
            continue;
        };
        if !announce.contains(id) {
            continue;
        }
        let announces = |event: &&Event| announcer(event) == Some(*id);
        if let Some(last) = ordered[at..].iter().rposition(announces) {
            ordered[at..=at + last].rotate_left(1);
        }
    }
    ordered
}
