// SPDX-License-Identifier: GPL-2.0-only
//! The naive reference: what a listener and a caller see, and nothing of how.
//!
//! Expectations stand in a vector, every operation looks at all of them, and time is a
//! comparison with a deadline. There is no list, no bucket, no timer base, no RCU, so it cannot
//! be wrong in the way an engine is. It answers the lines that `nfexp-sim` answers.
//!
//! One thing it cannot know: since 7.2 an expectation that is over stays until somebody comes by
//! its bucket. It is told what was collected ([`Reference::collected`]), says whether that may
//! be, and predicts everything else.
//!
//! The rule that matters: it is written from the description of the kernel, not from the engine.

mod announce;
mod conns;
mod listing;
mod steps;
mod time;

use std::collections::BTreeMap;

use nfexp_model::Config;
use nfexp_model::expectation::Flags;
use nfexp_model::helper::Helper;
use nfexp_model::kernel::Jiffies;
use nfexp_model::revision::{Expiry, Revision};
use nfexp_model::tuple::{Mask, Tuple};
use nfexp_traces::step::{Place, Step};

/// What the reference is told of an expectation.
#[derive(Clone, Debug)]
struct Said {
    /// Its name.
    name: String,
    /// Its master's name.
    master: String,
    /// What is expected.
    tuple: Tuple,
    /// Which part of the source matters.
    mask: Mask,
    /// Its class.
    class: u8,
    /// Its flags.
    flags: Flags,
    /// The helper its connection is given.
    assign: Option<Helper>,
    /// How long it lives where no policy says, in ticks.
    lives: u64,
}

/// A connection's helper extension, as the reference sees it.
type Help = Option<Option<Helper>>;

#[derive(Clone, Debug)]
struct Exp {
    said: Said,
    master: usize,
    /// The helper that announced it.
    creator: Option<Helper>,
    linked: bool,
    /// Its time was up and nobody has unlinked it yet; nobody but the callback may.
    firing: bool,
    /// Taken back, and not collected yet (since 7.2).
    dead: bool,
    held: u32,
    /// What a listing counts down to.
    expires: Jiffies,
    /// When it is gone, the wheel's lateness included.
    deadline: Jiffies,
}

#[derive(Clone, Debug)]
struct Conn {
    name: Option<String>,
    tuple: Tuple,
    place: Place,
    help: Help,
    confirmed: bool,
    dying: bool,
    /// Held by the trace, the table, and children.
    refs: u32,
    parent: Option<usize>,
}

/// The reference.
#[derive(Clone, Debug)]
pub struct Reference {
    revision: Revision,
    hz: u32,
    expect_max: u32,
    helpers: Vec<Helper>,
    /// The names of those that were unregistered.
    gone: Vec<String>,
    now: Jiffies,
    exps: Vec<Exp>,
    conns: Vec<Conn>,
    /// What the trace holds: indices into `conns` and `exps`.
    named: BTreeMap<String, usize>,
    held: BTreeMap<String, usize>,
    /// New, create, delete and found, by namespace.
    stats: BTreeMap<u16, [u32; 4]>,
}

impl Reference {
    /// An empty table of a kernel that is set up so.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            revision: config.revision,
            hz: config.hz,
            expect_max: config.expect_max,
            helpers: config.helpers.to_vec(),
            gone: Vec::new(),
            now: Jiffies::initial(config.hz),
            exps: Vec::new(),
            conns: Vec::new(),
            named: BTreeMap::new(),
            held: BTreeMap::new(),
            stats: BTreeMap::new(),
        }
    }

    /// Whether expectations stay until they are collected.
    #[must_use]
    pub fn collects(&self) -> bool {
        self.revision.expiry == Expiry::Collected
    }

    /// Whether a held expectation is linked.
    #[must_use]
    pub fn is_linked(&self, name: &str) -> bool {
        self.held.get(name).is_some_and(|at| self.exps[*at].linked)
    }

    /// The expectations whose callback waits.
    #[must_use]
    pub fn firing(&self) -> Vec<String> {
        let firing = self.exps.iter().filter(|exp| exp.linked && exp.firing);
        firing.map(|exp| exp.said.name.clone()).collect()
    }

    /// Whether an expectation that was announced under this name is linked.
    #[must_use]
    pub fn links(&self, name: &str) -> bool {
        self.exps.iter().any(|exp| exp.linked && exp.said.name == name)
    }

    /// Plays a step that an engine answered so. The answers must be the same, but for what cannot
    /// be known here: what was collected on the way (since 7.2), which is checked. Answers what was
    /// expected, what was collected first, and whether it was answered.
    ///
    /// # Errors
    /// If something was collected that must not be.
    pub fn beside(
        &mut self,
        step: &Step,
        answered: &[String],
    ) -> Result<(Vec<String>, bool), String> {
        let mut collected = Vec::new();
        if self.collects() {
            for line in answered {
                if let ["destroy", name, cause @ ("expiry" | "unexpect")] =
                    line.split(' ').collect::<Vec<_>>()[..]
                {
                    let may = self.collected(name, cause);
                    may.map_err(|why| format!("`{step}`: collected, but {why}"))?;
                    collected.push(line.clone());
                }
            }
        }
        let told = self.step(step);
        let mut rest = answered.iter().filter(|line| !collected.contains(line));
        let agree = told.iter().all(|group| {
            let mut group: Vec<&String> = group.iter().collect();
            let mut same: Vec<&String> = rest.by_ref().take(group.len()).collect();
            group.sort();
            same.sort();
            group == same
        });
        let agree = agree && rest.next().is_none();
        Ok(([collected, told.concat()].concat(), agree))
    }

    /// The counters of a namespace.
    fn stats(&self, net: u16) -> Vec<String> {
        let [new, create, delete, found] = self.stats.get(&net).copied().unwrap_or_default();
        let linked = self.linked_in(net);
        vec![format!(
            "stats found={found} expect_new={new} expect_create={create} expect_delete={delete} count={linked}"
        )]
    }

    /// The limit of the table changes; new kernels take no limit below one.
    fn set_expect_max(&mut self, max: i32) -> Vec<String> {
        use nfexp_model::revision::ExpectMaxRange::AtLeastOne;
        if self.revision.expect_max_range == AtLeastOne && max < 1 {
            return vec!["invalid".into()];
        }
        self.expect_max = max as u32;
        Vec::new()
    }

    /// Memory an expectation is still in, whoever holds it.
    fn references(&self, exp: &Exp) -> u32 {
        match (exp.linked, self.collects()) {
            (false, _) => exp.held,
            (true, true) => exp.held + 1,
            (true, false) => exp.held + 2,
        }
    }

    fn net_of(&self, exp: &Exp) -> u16 {
        self.conns[exp.master].place.net.0
    }

    fn linked_in(&self, net: u16) -> u32 {
        self.exps.iter().filter(|exp| exp.linked && self.net_of(exp) == net).count() as u32
    }

    /// Whether it counts as gone though it is linked.
    fn is_over(&self, exp: &Exp) -> bool {
        self.collects() && (exp.dead || self.now.time_after_eq(exp.deadline))
    }

    /// Ends it, unless its callback waits: then that will.
    fn end(&mut self, at: usize, cause: &str, told: &mut Vec<String>) -> bool {
        if self.exps[at].firing {
            return false;
        }
        self.unlink(at, cause, told);
        true
    }

    fn unlink(&mut self, at: usize, cause: &str, told: &mut Vec<String>) {
        let net = self.net_of(&self.exps[at]);
        self.exps[at].linked = false;
        self.exps[at].firing = false;
        self.stats.entry(net).or_default()[2] += 1;
        told.push(format!("destroy {} {cause}", self.exps[at].said.name));
    }
}
