// SPDX-License-Identifier: GPL-2.0-only
//! A cell: one policy, one size, one replication, as a row of numbers.
//!
//! *Point*: a scenario with its numbers set, and a kernel revision. *Block*: a point and a
//! replication; its workload is made once and every policy and size meets it, and the optimum is
//! found once for each size. Blocks are what is scheduled, written and resumed.

use std::fmt;

use serde::{Deserialize, Serialize};

use nfexp_model::revision::Revision;

use super::cast::Cast;
use super::document::Document;
use super::ledger::{Account, Ending};
use super::measure::{Measure, Owned, Recording};
use super::optimum::{Bracket, Offer};
use super::policy::Spec;
use super::policy::axes::Timeout;
use super::scenario::Scenario;
use super::setup::Setup;
use super::statistics::jain;
use super::steady;
use super::workload::{Happening, What, Workload, micros};
use super::world::{Outcome, World};

/// What a block is made of.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// The scenario, with its numbers set.
    pub scenario: &'a Document,
    /// The same with other limits and timeouts, under which it is played; what is useful is the
    /// scenario's to say.
    pub granted: Option<&'a Document>,
    /// The kernel.
    pub revision: Revision,
    /// Its ticks in a second.
    pub hz: u32,
    /// The seed of the study.
    pub seed: u64,
    /// Which replication.
    pub replication: u32,
    /// The policies.
    pub policies: &'a [Spec],
    /// The sizes; the scenario's own if there is none.
    pub sizes: &'a [u32],
    /// What is recorded.
    pub recording: Recording,
    /// How many happenings it may have.
    pub most_happenings: u64,
}

/// The numbers of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The policy.
    pub policy: String,
    /// The size.
    pub expect_max: u32,
    /// The replication.
    pub replication: u32,
    /// Seconds cut off as warm-up.
    pub warm_up: f64,
    /// Whether a steady state was reached in the first half.
    pub steady: bool,
    /// Useful arrivals after the warm-up.
    pub useful: u64,
    /// Those that found their expectation.
    pub hits: u64,
    /// Their share.
    pub recall: f64,
    /// The share a perfect policy reaches at least.
    pub optimum_lower: f64,
    /// And at most.
    pub optimum_upper: f64,
    /// The share by what matches are worth; the recall, where all are worth the same.
    pub worth: f64,
    /// The share of worth a perfect policy reaches at least.
    pub worth_lower: f64,
    /// And at most.
    pub worth_upper: f64,
    /// Share of useful announcements thrown out before their match, over the whole run.
    pub premature: f64,
    /// Share of useful announcements refused because the class was full.
    pub refused_class: f64,
    /// Because the table was.
    pub refused_table: f64,
    /// Because they were not admitted, or clashed.
    pub refused_other: f64,
    /// Share lost to a refresh, a shorter timeout, or their master's end.
    pub lost_other: f64,
    /// Hits of what came later than the usual timeout.
    pub late: u64,
    /// Share of slot-seconds in use that held what is never matched.
    pub stale: f64,
    /// Slots in use, in the mean.
    pub occupancy: f64,
    /// The number in use that is exceeded half of the time.
    pub occupancy_p50: u32,
    /// That is exceeded one per cent of the time.
    pub occupancy_p99: u32,
    /// The most.
    pub occupancy_max: u32,
    /// Share of the time the table was full, in the mean over namespaces.
    pub full: f64,
    /// Hole-seconds that stood open, per second.
    pub exposure: f64,
    /// Of these, open to anybody.
    pub exposure_wide: f64,
    /// Of these, an attacker's.
    pub exposure_hostile: f64,
    /// How even masters' recalls are (Jain), and the least.
    pub jain_masters: f64,
    /// The least of those.
    pub least_master: f64,
    /// How even sources' are.
    pub jain_sources: f64,
    /// How even kinds' are.
    pub jain_kinds: f64,
    /// The least of those.
    pub least_kind: f64,
    /// How even namespaces' are.
    pub jain_nets: f64,
    /// Of useful announcements made while the table was full, by masters who held nothing: the
    /// share that was found, over the whole run; nothing if there was none.
    pub newcomers: Option<f64>,
    /// The same by masters who held something.
    pub incumbents: Option<f64>,
    /// Seconds from the attack's last announcement until recall is back; nothing if it does not
    /// stop, or recall is not back when the run ends.
    pub recovery: Option<f64>,
    /// Nodes walked under the lock: half of all walks are no longer.
    pub walk_p50: u32,
    /// 99 % are no longer.
    pub walk_p99: u32,
    /// The longest.
    pub walk_max: u32,
    /// Happenings of the workload.
    pub happenings: u64,
    /// Recall by kind, `name=recall;…`, hostile ones left out.
    pub kinds: String,
    /// How all announcements ended, `word=count;…`.
    pub endings: String,
}

/// A cell, and what it was made of, for pictures.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its numbers.
    pub cell: Cell,
    /// Its measures.
    pub outcome: Outcome,
    /// Its ceiling.
    pub bracket: Bracket,
}

/// Why a run did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// What was asked for: it cannot be cast, or there is more of it than is allowed.
    Asked(String),
    /// The machine it ran on, or an error of ours.
    Here(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Asked(why) | Self::Here(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Stopped {}

/// The sizes of a block, in the order of its rows; a scenario's own if none was asked for.
pub(crate) fn sizes_of<'a>(asked: &'a [u32], own: &'a u32) -> &'a [u32] {
    if asked.is_empty() { std::slice::from_ref(own) } else { asked }
}

impl Block<'_> {
    /// Runs every policy at every size.
    ///
    /// # Errors
    /// [`Stopped`]: a scenario cannot be cast, has too many happenings, or a ledger does not
    /// balance.
    pub fn run(&self) -> Result<Vec<Detail>, Stopped> {
        let scenario = self.scenario.read();
        let cast = Cast::of(&scenario).map_err(Stopped::Asked)?;
        let workload = Workload::new(&scenario, &cast, self.seed, self.replication, self.hz);
        let horizon = workload.horizon();
        let room = usize::try_from(self.most_happenings).unwrap_or(usize::MAX);
        let happenings: Vec<Happening> = workload.take(room.saturating_add(1)).collect();
        if happenings.len() > room {
            return Err(Stopped::Asked(too_many("more", self.most_happenings)));
        }
        let masters = masters_of(&happenings);
        let announced = happenings.iter().filter(|one| matches!(one.what, What::Announce { .. }));
        let announced = u32::try_from(announced.count()).unwrap_or(u32::MAX);
        let granted = self.granted.map(|granted| Cast::of(&granted.read()));
        let cast = granted.transpose().map_err(Stopped::Asked)?.unwrap_or(cast);
        let offered = |cast: &Cast| Offer::of(cast, &self.revision, &happenings, horizon);
        let limited = offered(&cast);
        // Who knows no limit per class is bounded by no optimum under one.
        let unlimited = self.policies.iter().any(|policy| !policy.class_limits);
        let unlimited = unlimited.then(|| offered(&cast.clone().without_class_limits()));
        let mut details = Vec::new();
        for &expect_max in sizes_of(self.sizes, &scenario.run.value.expect_max) {
            let ceilings = |offer: &Offer| {
                let by_worth = offer.has_worths().then(|| offer.worth_bracket(expect_max));
                (offer.bracket(expect_max), by_worth)
            };
            let (under, without) = (ceilings(&limited), unlimited.as_ref().map(ceilings));
            for policy in self.policies {
                let setup = Setup {
                    revision: self.revision,
                    hz: self.hz,
                    expect_max,
                    hash_size: None,
                    seed: self.seed,
                    replication: self.replication,
                    masters,
                    announced,
                    horizon,
                    recording: self.recording,
                };
                let world = World::new(&cast, policy, &setup);
                let outcome = world.and_then(|world| world.run(happenings.iter().copied()));
                let here = |why| Stopped::Here(format!("policy {}: {why}", policy.name));
                let outcome = outcome.map_err(here)?;
                let ceilings = without.as_ref().filter(|_| !policy.class_limits);
                let (bracket, by_worth) = ceilings.unwrap_or(&under);
                let ceilings = [bracket, by_worth.as_ref().unwrap_or(bracket)];
                let mut cell = of_outcome(&scenario, &cast, &policy.timeout, &outcome, ceilings);
                if cell.useful > 0 && cell.recall > cell.optimum_upper + 1e-9 {
                    let (recall, most) = (cell.recall, cell.optimum_upper);
                    return Err(here(format!(
                        "recall {recall} where no policy reaches more than {most}: this is an error \
                         of nfexp's own"
                    )));
                }
                cell.policy.clone_from(&policy.name);
                cell.expect_max = expect_max;
                cell.replication = self.replication;
                cell.happenings = happenings.len() as u64;
                details.push(Detail { cell, outcome, bracket: bracket.clone() });
            }
        }
        Ok(details)
    }
}

/// A workload that many policies meet is kept: about a gigabyte and a half of it at most, unless
/// the study says otherwise.
pub const MOST: u64 = 1 << 25;

/// Says that a run has too many happenings, and what can be done.
#[must_use]
pub fn too_many(happenings: &str, most: u64) -> String {
    format!(
        "{happenings} happenings in a run, where {most} are allowed: let it be shorter \
         (run.lasts) or its rates lower, or allow more (most_happenings; 48 bytes each)"
    )
}

/// How many masters a workload has open at once, at most.
#[must_use]
pub fn masters_of(happenings: &[Happening]) -> u32 {
    let number = |happening: &Happening| match happening.what {
        What::Open { master, .. } => Some(master + 1),
        _ => None,
    };
    happenings.iter().filter_map(number).max().unwrap_or(0)
}

/// From which bin on a run is in its steady state, and whether it is at all.
fn warm_up(
    scenario: &Scenario,
    cast: &Cast,
    timeout: &Timeout,
    measure: &Measure,
) -> (usize, bool) {
    if scenario.run.value.transient {
        return (0, true);
    }
    let longest = cast.kinds.iter().map(|kind| kind.timeout_secs).max().unwrap_or(0);
    let bins = |secs: f64| (micros(3.0 * secs) / measure.width) as usize;
    let (usual, asked) = (f64::from(longest), timeout.longest(f64::from(longest)));
    // A policy's own timeout that is next to never says nothing about when a table settles.
    let has_room = bins(asked) <= measure.bins.len() / 2;
    let floor = if has_room { bins(asked.max(usual)) } else { bins(usual) };
    steady::warm_up(&measure.bins, floor)
}

fn of_outcome(
    scenario: &Scenario,
    cast: &Cast,
    timeout: &Timeout,
    outcome: &Outcome,
    [bracket, by_worth]: [&Bracket; 2],
) -> Cell {
    let measure = &outcome.measure;
    let (cut, steady) = warm_up(scenario, cast, timeout, measure);
    let bins = &measure.bins[cut..];
    let sum = |of: fn(&super::measure::Bin) -> u64| bins.iter().map(of).sum::<u64>();
    let (useful, hits) = (sum(|bin| u64::from(bin.useful)), sum(|bin| u64::from(bin.hits)));
    let span = (bins.len() as u64 * measure.width) as f64;
    let slots = sum(|bin| bin.slots) as f64;
    let mut all = Account::default();
    let mut friendly = Account::default();
    for (account, kind) in outcome.accounts.iter().zip(&cast.kinds) {
        all = all.plus(account);
        if !kind.hostile {
            let mut account = *account;
            if kind.permanent {
                // Who is announced again stands on.
                account.lost[Ending::Refresh as usize] = 0;
            }
            friendly = friendly.plus(&account);
        }
    }
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    // Where nothing could be found, nothing was missed.
    let recall = if useful == 0 { 1.0 } else { share(hits, useful) };
    let lost = |endings: &[Ending]| {
        let lost = endings.iter().map(|ending| friendly.lost[*ending as usize]).sum();
        share(lost, friendly.sought)
    };
    let by_kind = kinds_after(measure, cast, cut);
    let (lower, upper) = bracket.shares(cut);
    let (worth_lower, worth_upper) = by_worth.shares(cut);
    let (masters, sources) = (recalls(&measure.masters), recalls(&measure.sources));
    let nets = recalls(std::slice::from_ref(&measure.nets));
    let kind_recalls: Vec<f64> =
        by_kind.iter().filter(|(_, owned)| owned.useful > 0).map(|(_, o)| o.recall()).collect();
    let per_second = |by_kind: &[u64], hostile_only: bool| {
        let counted = by_kind.iter().zip(&cast.kinds).filter(|(_, k)| k.hostile || !hostile_only);
        counted.map(|(open, _)| *open).sum::<u64>() as f64 / (measure.width * 250) as f64
    };
    let found = |seat: &Owned| (seat.useful > 0).then(|| seat.recall());
    let walks = outcome.walks.as_ref();
    let text = |items: Vec<String>| items.join(";");
    Cell {
        policy: String::new(),
        expect_max: 0,
        replication: 0,
        warm_up: (cut as u64 * measure.width) as f64 / 1e6,
        steady,
        useful,
        hits,
        recall,
        optimum_lower: lower,
        optimum_upper: upper,
        worth: worth_after(measure, cast, cut),
        worth_lower,
        worth_upper,
        premature: lost(&[Ending::EvictedByClass, Ending::EvictedByTable, Ending::EvictedByQuota]),
        refused_class: lost(&[Ending::RefusedByClass]),
        refused_table: lost(&[Ending::RefusedByTable]),
        refused_other: lost(&[Ending::NotAdmitted, Ending::RefusedByClash, Ending::NoHelp]),
        lost_other: lost(&[
            Ending::Expiry,
            Ending::Refresh,
            Ending::MasterGone,
            Ending::Deleted,
            Ending::Horizon,
        ]),
        late: friendly.late,
        stale: sum(|bin| bin.stale) as f64 / slots.max(1.0),
        occupancy: slots / span.max(1.0),
        occupancy_p50: held(&measure.held, 0.5),
        occupancy_p99: held(&measure.held, 0.99),
        occupancy_max: measure.held.len().saturating_sub(1) as u32,
        full: sum(|bin| bin.full) as f64 / span.max(1.0) / f64::from(cast.namespaces.max(1)),
        exposure: per_second(&measure.exposure, false),
        exposure_wide: per_second(&measure.wide, false),
        exposure_hostile: per_second(&measure.exposure, true),
        jain_masters: jain(&masters),
        least_master: least(&masters),
        jain_sources: jain(&sources),
        jain_kinds: jain(&kind_recalls),
        least_kind: least(&kind_recalls),
        jain_nets: jain(&nets),
        newcomers: found(&measure.seats()[0]),
        incumbents: found(&measure.seats()[1]),
        recovery: measure.recovery(),
        walk_p50: walks.map_or(0, |walks| walks.quantile(0.5)),
        walk_p99: walks.map_or(0, |walks| walks.quantile(0.99)),
        walk_max: walks.map_or(0, super::walks::Walks::longest),
        happenings: 0,
        kinds: text(
            by_kind.iter().map(|(name, owned)| format!("{name}={:.6}", owned.recall())).collect(),
        ),
        endings: text(
            Ending::ALL.iter().map(|end| format!("{}={}", end.word(), all.of(*end))).collect(),
        ),
    }
}

impl Owned {
    /// The share that hit; 1 if nothing could.
    #[must_use]
    pub fn recall(&self) -> f64 {
        if self.useful == 0 { 1.0 } else { f64::from(self.hits) / f64::from(self.useful) }
    }
}

fn kinds_after(measure: &Measure, cast: &Cast, cut: usize) -> Vec<(String, Owned)> {
    let count = cast.kinds.len();
    let of = |at: usize| {
        let bins = measure.kinds[cut * count..].chunks_exact(count);
        bins.fold(Owned::default(), |sum, bin| Owned {
            useful: sum.useful + bin[at].useful,
            hits: sum.hits + bin[at].hits,
        })
    };
    let friendly = cast.kinds.iter().enumerate().filter(|(_, kind)| !kind.hostile);
    friendly.map(|(at, kind)| (kind.name.clone(), of(at))).collect()
}

/// The share of what could be found, by what it is worth.
fn worth_after(measure: &Measure, cast: &Cast, cut: usize) -> f64 {
    let (mut found, mut there) = (0u64, 0u64);
    for bin in measure.kinds[cut * cast.kinds.len()..].chunks_exact(cast.kinds.len()) {
        for (owned, kind) in bin.iter().zip(&cast.kinds).filter(|(_, kind)| !kind.hostile) {
            found += u64::from(owned.hits) * u64::from(kind.worth);
            there += u64::from(owned.useful) * u64::from(kind.worth);
        }
    }
    if there == 0 { 1.0 } else { found as f64 / there as f64 }
}

/// The recalls of owners that had at least ten useful arrivals: fewer say nothing.
fn recalls(owned: &[Vec<Owned>]) -> Vec<f64> {
    let told = owned.iter().flatten().filter(|owned| owned.useful >= 10);
    told.map(Owned::recall).collect()
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(1.0, f64::min)
}

/// The number that is held or less for this share of the time.
fn held(held: &[u64], share: f64) -> u32 {
    let all: u64 = held.iter().sum();
    let mut left = (all as f64 * share) as u64;
    for (count, time) in held.iter().enumerate() {
        if *time > left {
            return count as u32;
        }
        left -= time;
    }
    held.len().saturating_sub(1) as u32
}
