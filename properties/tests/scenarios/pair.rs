// SPDX-License-Identifier: GPL-2.0-only
//! The engine and the reference, side by side.

use std::cell::RefCell;
use std::collections::BTreeSet;

use nfexp_model::Config;
use nfexp_model::event::Origin;
use nfexp_model::eviction::Eviction;
use nfexp_model::expectation::Flags;
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::{ClassLimit, Revision};
use nfexp_model::tuple::{L3, Mask};
use nfexp_properties::reference::Reference;
use nfexp_sim::schedule::InOrder;
use nfexp_sim::simulator::{Simulator, config};
use nfexp_traces::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use nfexp_traces::text::{Answer, Block, Trace};

use crate::deeds::{Deed, Key, Wish, setup, tuple};

thread_local! {
    /// What was answered at least once, so that a run that never gets there fails.
    pub(crate) static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

pub(crate) type NewEviction = fn() -> Box<dyn Eviction>;
pub(crate) type ChangeConfig = fn(Config) -> Config;

/// How an engine is broken, if it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Break {
    /// Another eviction than the kernel's.
    pub(crate) eviction: Option<NewEviction>,
    /// Another set-up than the reference is told.
    pub(crate) config: Option<ChangeConfig>,
}

pub(crate) struct Pair {
    simulator: Simulator,
    reference: Reference,
    steps: Vec<(Step, Vec<String>)>,
    conns: Vec<String>,
    exps: Vec<String>,
    counted: u32,
    /// Whether a timer may be detached ahead of its callback.
    fires: bool,
}

impl Pair {
    pub(crate) fn new(engine: Revision, reference: Revision, broken: Break) -> Self {
        let right = config(&setup(), engine);
        let reference = Reference::new(&Config { revision: reference, ..right.clone() });
        let config = match broken.config {
            Some(change) => change(right),
            None => right,
        };
        let eviction = broken.eviction.map(|eviction| eviction());
        let simulator = Simulator::with(config, eviction, Box::new(InOrder)).expect("memory");
        // With timers and a hard limit of 255 a class would be over it while one is firing.
        let fires = engine.class_limit == ClassLimit::PolicyOnly;
        let (steps, conns, exps, counted) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut pair = Self { simulator, reference, steps, conns, exps, counted, fires };
        pair.compare(Step::NetnsInit(NetId(1))).expect("nothing is there");
        // One tick has passed before anything happens, as on any machine.
        pair.compare(Step::Advance(Ticks(1))).expect("nothing is there");
        pair
    }

    /// Plays a deed on both.
    pub(crate) fn play(&mut self, deed: &Deed) -> Result<(), String> {
        if !may_wait_for_a_callback(deed) {
            for exp in self.reference.firing() {
                self.compare(Step::Callback { exp })?;
            }
        }
        let Some(step) = self.step(deed) else { return Ok(()) };
        let announced = match &step {
            Step::Expect { announcement, .. } => Some(announcement.name.clone()),
            _ => None,
        };
        self.compare(step)?;
        match announced.filter(|name| !self.exps.contains(name)) {
            Some(name) => self.compare(Step::Put { name }),
            None => Ok(()),
        }
    }

    /// Plays a step on the engine; the reference must answer the same, but for what it cannot
    /// know: what was collected on the way (since 7.2), which it checks.
    fn compare(&mut self, step: Step) -> Result<(), String> {
        let answered = self.simulator.step(&step);
        self.steps.push((step.clone(), Vec::new()));
        let answered = answered.map_err(|error| format!("`{step}`: {error}"))?;
        mark(&answered);
        let (expected, agree) = self.reference.beside(&step, &answered)?;
        self.steps.last_mut().expect("just pushed").1 = expected.clone();
        if agree {
            return Ok(());
        }
        Err(format!("`{step}`: the engine answers {answered:?}, the reference {expected:?}"))
    }

    /// The step that a deed comes to here.
    fn step(&mut self, deed: &Deed) -> Option<Step> {
        Some(match deed {
            Deed::Conn { place, helper } => return self.begin(*place, *helper),
            Deed::Confirm { conn } => Step::Confirm { conn: self.conn(*conn)? },
            Deed::Delete { conn } => Step::Delete { conn: self.conn(*conn)? },
            Deed::Destroy { conn } => {
                let conn = self.conn(*conn)?;
                self.conns.retain(|name| *name != conn);
                Step::Destroy { conn }
            }
            Deed::Helper { conn, helper } => {
                let conn = self.conn(*conn)?;
                // A helper is given to whoever has none yet, and taken from whoever has one.
                let given = helper_name(*helper).filter(|_| !self.reference.has_extension(&conn));
                let helper = given.map_or(HelperChoice::Extension, HelperChoice::Named);
                Step::Helper { conn, helper }
            }
            Deed::Remove { conn } => Step::Remove { conn: self.conn(*conn)? },
            Deed::Collect { conn } => {
                let conn = self.conn(*conn).filter(|_| self.reference.collects())?;
                Step::Collect { conn }
            }
            Deed::Expect(wish) => return self.expect(wish),
            Deed::Relate { exp, skip_master } => {
                // What is linked must not be inserted again: a kernel's lists break then.
                let free =
                    |exp: &String| !self.reference.is_linked(exp) && self.reference.has_policy(exp);
                let exp = self.exp(*exp).filter(free)?;
                Step::Relate { exp, skip_master: *skip_master, origin: Origin::KERNEL }
            }
            Deed::Unexpect { exp } => Step::Unexpect { exp: self.exp(*exp)? },
            Deed::SetFlags { exp, flags } => {
                Step::SetFlags { exp: self.exp(*exp)?, flags: Flags(u32::from(*flags)) }
            }
            Deed::Put { exp } => {
                let name = self.exp(*exp)?;
                self.exps.retain(|exp| *exp != name);
                Step::Put { name }
            }
            Deed::Packet { key, keep, dropped } => return Some(self.packet(key, *keep, *dropped)),
            Deed::Lookup { key, keep } => return Some(self.lookup(key, *keep)),
            Deed::Advance { ticks } => Step::Advance(Ticks(*ticks)),
            Deed::Fire { exp } => {
                let linked = |exp: &String| self.fires && self.reference.is_linked(exp);
                let exp = self.exp(*exp).filter(linked)?;
                Step::Fire { exp: self.reference.name_of(&exp) }
            }
            Deed::Callback => Step::Callback { exp: self.reference.firing().pop()? },
            Deed::Flush { net } => {
                Step::Flush { net: NetId(u16::from(*net)), origin: Origin::KERNEL }
            }
            Deed::Unregister { helper } => Step::Unregister { helper: helper_name(*helper)? },
            Deed::Stats { net } => Step::Stats { net: NetId(u16::from(*net)) },
            Deed::Show { net } => Step::Show { net: NetId(u16::from(*net)) },
            Deed::ExpectMax { max } => Step::ExpectMax(i32::from(*max)),
        })
    }

    fn count(&mut self, kind: char) -> String {
        self.counted += 1;
        format!("{kind}{}", self.counted)
    }

    fn conn(&self, at: usize) -> Option<String> {
        self.conns.get(at % self.conns.len().max(1)).cloned()
    }

    fn exp(&self, at: usize) -> Option<String> {
        self.exps.get(at % self.exps.len().max(1)).cloned()
    }

    fn begin(&mut self, at: u8, helper: u8) -> Option<Step> {
        if self.conns.len() >= 8 {
            return None;
        }
        let name = self.count('m');
        let helper = match helper {
            4 => HelperChoice::Nothing,
            number => helper_name(number).map_or(HelperChoice::Extension, HelperChoice::Named),
        };
        // A tuple of its own for each.
        let tuple = tuple(100, 20_000 + self.counted as u16, 21);
        self.conns.push(name.clone());
        let (mark, secmark) = (0, 0);
        Some(Step::Conn { name, tuple, place: place(at), helper, mark, secmark })
    }

    fn packet(&mut self, key: &Key, keep: bool, dropped: bool) -> Step {
        let tuple = tuple(key.src, key.sport, key.dport);
        let fate = if dropped { Fate::Dropped } else { Fate::Forwarded };
        let place = place(key.place);
        let new = !self.reference.knows(&tuple, place);
        let name = (keep && new && self.conns.len() < 8).then(|| self.count('c'));
        self.conns.extend(name.clone());
        Step::Packet { tuple, place, name, fate }
    }

    fn lookup(&mut self, key: &Key, keep: bool) -> Step {
        let (tuple, place) = (tuple(key.src, key.sport, key.dport), place(key.place));
        let finds = self.reference.finds(&tuple, place);
        let name = (keep && finds && self.exps.len() < 8).then(|| self.count('r'));
        self.exps.extend(name.clone());
        Step::Lookup { tuple, place, name, cpu: Cpu(0) }
    }

    fn expect(&mut self, wish: &Wish) -> Option<Step> {
        let master = self.conn(wish.conn)?;
        let mut mask =
            Mask::exact(L3::Ipv4, matches!(wish.mask, 1 | 3), matches!(wish.mask, 2 | 3));
        match wish.mask {
            4 => mask.src.0[..4].copy_from_slice(&[255, 255, 255, 0xfe]),
            5 => mask.sport = 0xfffe,
            _ => {}
        }
        let tuple = tuple(wish.src, 1000 + u16::from(wish.class % 2), wish.dport);
        let name = self.count('e');
        // Only SIP has more than one class; others would read behind their policies.
        let class = if self.reference.has_classes(&master) { wish.class } else { 0 };
        if wish.keep && self.exps.len() < 8 {
            self.exps.push(name.clone());
        }
        let announcement = Announcement {
            name,
            master,
            target: Target::Masked(tuple, mask),
            class,
            flags: Flags(u32::from(wish.flags.saturating_sub(4))),
            assign: helper_name(wish.assign),
            expectfn: None,
            nat: None,
            timeout: Some(Ticks(wish.lives)),
        };
        let origin = Origin::KERNEL;
        Some(Step::Expect { announcement, skip_master: wish.skip_master, origin })
    }

    /// The steps so far as a trace, with the reference's answers.
    pub(crate) fn trace(&self, why: &str, revision: Revision) -> Trace {
        let blocks = self.steps.iter().map(|(step, told)| {
            let answers = vec![Answer { revisions: Vec::new(), lines: told.clone() }];
            let answers = if told.is_empty() { Vec::new() } else { answers };
            Block { lines: vec![step.to_string()], steps: vec![(0, step.clone())], answers }
        });
        let (comments, revisions) = (vec![format!(" {why}")], vec![revision.name.to_owned()]);
        Trace { comments, setup: setup(), revisions, blocks: blocks.collect() }
    }

    /// The steps so far.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps.into_iter().map(|(step, _)| step).collect()
    }

    /// Everything is given back, and nothing is left.
    pub(crate) fn finish(self) -> Result<(), String> {
        self.simulator.finish().map_err(|error| format!("at the end: {error}"))
    }
}

/// A master must not be freed beside a waiting callback: old kernels crash then, which the corpus
/// shows (`master/dies_under_a_firing_timer`) and the reference cannot answer.
fn may_wait_for_a_callback(deed: &Deed) -> bool {
    matches!(
        deed,
        Deed::Expect(_)
            | Deed::Packet { dropped: false, .. }
            | Deed::Lookup { .. }
            | Deed::Unexpect { .. }
            | Deed::Relate { .. }
            | Deed::Delete { .. }
            | Deed::Remove { .. }
            | Deed::Flush { .. }
            | Deed::Unregister { .. }
            | Deed::Stats { .. }
            | Deed::Show { .. }
            | Deed::Fire { .. }
            | Deed::Callback
    )
}

fn helper_name(number: u8) -> Option<String> {
    ["ftp", "tftp", "sip"].get(usize::from(number)).map(|name| (*name).to_owned())
}

fn place(number: u8) -> Place {
    Place { net: NetId(u16::from(number & 1)), zone: Zone(u16::from(number >> 1)) }
}

/// Remembers what was answered: the cause of an end, the reason of a refusal, or the first word.
fn mark(answered: &[String]) {
    SEEN.with_borrow_mut(|seen| {
        for line in answered {
            let words: Vec<&str> = line.split(' ').collect();
            let word = match words[..] {
                ["destroy" | "refused", _, what] => what,
                [_, "l3proto", ..] => "listed",
                ["timer", _, "lost"] => "lost",
                _ => words[0],
            };
            seen.insert(word.to_owned());
        }
    });
}
