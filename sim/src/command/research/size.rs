// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp size`: how large, how long, how many; and whether that is enough.

use std::fmt::Write;

use clap::Args;
use indicatif::ProgressBar;
use rayon::ThreadPool;
use serde::Serialize;

use super::sweep::Asked;
use super::{recall_of, unsettled};
use crate::command::format::Format;
use crate::command::number::real;
use crate::command::{Failure, counting, remark};
use crate::research::cast::{Cast, Kind};
use crate::research::cell::{Block, Detail, Stopped};
use crate::research::document::Document;
use crate::research::estimate;
use crate::research::law::brief;
use crate::research::ledger::{Account, Ending};
use crate::research::measure::Recording;
use crate::research::policy::Spec;
use crate::research::scenario::Scenario;
use crate::research::statistics::{Estimate, Verdict};
use crate::research::steady::speak;
use crate::research::sweep::shard::pool;
use crate::research::sweep::study::SIZE;
use crate::research::workload::{Happening, NEVER, What, Workload};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Proto;

/// The arguments of `nfexp size`.
#[derive(Debug, Args)]
pub struct Size {
    #[command(flatten)]
    asked: Asked,
    /// Which share of the announced connections must find their expectation.
    #[arg(long, default_value_t = 0.999, value_parser = real, allow_hyphen_values = true)]
    target: f64,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What is advised for a kind; or how its helper has it, where nothing is.
#[derive(Clone, Debug)]
struct Advice {
    name: String,
    protocol: &'static str,
    port: u16,
    timeout_secs: u32,
    max_expected: u32,
    advised: Advised,
}

impl Advice {
    fn of(kind: &Kind, cast: &Cast, advised: Advised) -> Self {
        Self {
            name: kind.name.clone(),
            protocol: if kind.proto == Proto::UDP { "udp" } else { "tcp" },
            port: cast.helpers[usize::from(kind.helper)].port,
            timeout_secs: kind.timeout_secs,
            max_expected: kind.max_expected,
            advised,
        }
    }
}

/// Whether something is advised for a kind, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Advised {
    /// It is.
    Yes,
    /// It is an attacker's.
    Attacker,
    /// A match leaves it.
    Permanent,
    /// No connection of it came in time.
    Unseen,
}

/// A size that was found, and what it keeps by other chances than those it was found by.
#[derive(Clone, Copy, Debug)]
struct Found {
    expect_max: u32,
    recall: Estimate,
    steady: bool,
    verdict: Keeps,
}

/// Whether a size keeps what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Keeps {
    /// It does.
    Verified,
    /// It does not.
    Missed,
    /// Neither is certain.
    Inconclusive,
}

/// A kind, for programs: the table's size and what it keeps are in every one.
#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    scenario: &'a str,
    revision: &'a str,
    target: f64,
    expect_max: u32,
    recall: f64,
    recall_half: Option<f64>,
    steady: bool,
    verdict: Keeps,
    kind: &'a str,
    protocol: &'a str,
    dport: u16,
    timeout_secs: u32,
    max_expected: u32,
    advised: Advised,
}

/// The columns, as the fields stand above.
const COLUMNS: [&str; 15] = [
    "schema",
    "scenario",
    "revision",
    "target",
    "expect_max",
    "recall",
    "recall_half",
    "steady",
    "verdict",
    "kind",
    "protocol",
    "dport",
    "timeout_secs",
    "max_expected",
    "advised",
];

impl Size {
    /// Finds and verifies.
    ///
    /// # Errors
    /// [`Failure`]: a wrong question, or a target that no size reaches.
    pub fn run(&self) -> Result<(), Failure> {
        self.asked.takes(&[], "a size is looked for under the kernel's own policy")?;
        if !(0.0..1.0).contains(&self.target) {
            let expected = "--target: expected a share from 0 to below 1, not";
            return Err(Failure::Usage(format!("{expected} {}", brief(self.target))));
        }
        let (study, beside) = self.asked.study("mixed-isp-nat")?;
        if study.replications < LEAST {
            let (given, expected) = (study.replications, format!("expected at least {LEAST}"));
            let why = format!("replications: {expected}, not {given}: fewer verify nothing");
            return Err(self.asked.wrong(why));
        }
        if study.set.iter().any(|set| set.path == SIZE) {
            let why = format!("{SIZE} would change nothing: the size is what is looked for");
            return Err(self.asked.wrong(why));
        }
        let document = study.check().and_then(|()| study.document(beside.as_deref()));
        let asked_for = document.map_err(|why| self.asked.wrong(why))?;
        let mut document = asked_for.clone();
        let scenario = asked_for.read();
        let happenings = estimate::fits(&scenario, study.most_happenings)
            .map_err(|why| self.asked.wrong(format!("scenario {}: {why}", study.scenario)))?;
        if scenario.is_fixed() {
            return Err(Failure::Usage(
                "expected a scenario that leaves something to chance: nothing can be verified by \
                 one run that is always the same"
                    .into(),
            ));
        }
        let revision = study.revisions.first().and_then(|name| Revision::named(name));
        let revision = revision.ok_or_else(|| Failure::Usage("expected a revision".into()))?;
        let pool = pool(happenings, 0).map_err(|why| self.asked.stopped(why))?;
        let trial = Trial {
            asked: &self.asked,
            name: &study.scenario,
            scenario: &asked_for,
            revision,
            hz: study.hz,
            replications: study.replications,
            most_happenings: study.most_happenings,
            pool,
            bar: counting("runs"),
        };
        remark(format_args!("seed {} to find, {} to verify", study.seed, study.seed ^ VERIFY));
        // A third of what may be lost for each of timeout, class limits and the table.
        let allowed = (1.0 - self.target) / 3.0;
        let mut advice = advise(&mut document, study.seed, study.hz, allowed, &trial)?;
        let mut expect_max = 16u32;
        let keeps = |expect_max| -> Result<bool, Failure> {
            let cells = trial.cells(&document, study.seed, expect_max)?;
            let recall = recall_of(cells.iter().map(|detail| &detail.cell));
            // Where nothing could be found, there is nothing to look for: told at the end.
            Ok(recall.of == 0 || recall.mean >= self.target + allowed / 2.0)
        };
        while !keeps(expect_max)? {
            expect_max *= 2;
            if expect_max > 1 << 20 {
                return Err(Failure::Inconclusive(format!(
                    "no table reaches {}: what is lost is not lost for want of room",
                    self.target
                )));
            }
        }
        let (mut low, mut high) = (expect_max / 2, expect_max);
        while high - low > (high / 16).max(4) {
            let middle = (low + high) / 2;
            if keeps(middle)? { high = middle } else { low = middle }
        }
        // As nf_conntrack_expect_init() makes it: four for each bucket.
        let expect_max = high.next_multiple_of(4);
        let cells = trial.cells(&document, study.seed ^ VERIFY, expect_max)?;
        let recall = recall_of(cells.iter().map(|detail| &detail.cell));
        let verifies = speaks(&cells, expect_max);
        let verdict = match recall.against(self.target) {
            Verdict::Above if verifies.is_ok() => Keeps::Verified,
            Verdict::Below if verifies.is_ok() => Keeps::Missed,
            _ => Keeps::Inconclusive,
        };
        advice.extend(unadvised(&scenario, &advice)?);
        let steady = speak(cells.iter().map(|detail| detail.cell.steady));
        trial.bar.finish_and_clear();
        let found = Found { expect_max, recall, steady, verdict };
        let rows = advice.iter().map(|one| self.row(&trial, found, one));
        self.format.print(&COLUMNS, rows, || self.text(found, &advice))?;
        verifies?;
        match verdict {
            Keeps::Verified => Ok(()),
            Keeps::Missed => Err(Failure::Differs(format!(
                "other chances give {recall}, below the target {}",
                self.target
            ))),
            Keeps::Inconclusive => Err(Failure::Inconclusive(format!(
                "the interval {recall} holds the target {}: more replications, or a longer run",
                self.target
            ))),
        }
    }

    fn row<'a>(&self, trial: &Trial<'a>, found: Found, advice: &'a Advice) -> Row<'a> {
        Row {
            schema: "nfexp.size.1",
            scenario: trial.name,
            revision: trial.revision.name,
            target: self.target,
            expect_max: found.expect_max,
            recall: found.recall.mean,
            recall_half: found.recall.known_half(),
            steady: found.steady,
            verdict: found.verdict,
            kind: &advice.name,
            protocol: advice.protocol,
            dport: advice.port,
            timeout_secs: advice.timeout_secs,
            max_expected: advice.max_expected,
            advised: advice.advised,
        }
    }

    /// What a person loads.
    fn text(&self, found: Found, advice: &[Advice]) -> String {
        let Found { expect_max, recall, verdict, .. } = found;
        let word = if verdict == Keeps::Verified { "verified" } else { "not verified" };
        let (mut objects, mut beside) = (String::new(), String::new());
        for one in advice {
            let Advice { name, protocol, port, timeout_secs, max_expected, .. } = one;
            let to = if one.advised == Advised::Yes { &mut objects } else { &mut beside };
            let usual = format!("{timeout_secs} s, {max_expected} a master, as its helper has it");
            let told = match one.advised {
                Advised::Yes => format!(
                    "  ct expectation {name} {{\n    protocol {protocol}; dport {port};\n    \
                     timeout {timeout_secs}s; size {max_expected}; l3proto ip;\n  }}"
                ),
                Advised::Attacker => {
                    format!("# {name}: an attacker's; nothing is advised for it")
                }
                Advised::Permanent => format!(
                    "# {name}: no advice ({usual}). PERMANENT: a match leaves it, so a shorter \
                     timeout ends what is still in use,\n#   and nft's `ct expectation` makes none. \
                     It takes its slot all the while: the table's size counts it."
                ),
                Advised::Unseen => {
                    format!("# {name}: no advice ({usual}): no connection of it came in time")
                }
            };
            let _ = writeln!(to, "{told}");
        }
        format!(
            "# {word} by simulation with other chances: recall {recall}\n# target {}\n\
             sysctl -w net.netfilter.nf_conntrack_expect_max={expect_max}\n\
             table inet nfexp {{\n{objects}}}\n{beside}{BESIDE}",
            self.target
        )
    }
}

/// What whoever loads the objects has to know.
const BESIDE: &str = "\
# An object's dport is the announced connection's port, and what stands there is the helper's: put
# in what is announced. It is obeyed by what a rule announces (`ct expectation set`), not by the
# kernel's own helpers: those take their limits from module parameters where they have any
# (max_dcc_channels, sip_timeout). nft 1.0.6 hands the kernel milliseconds where it counts
# seconds: look at `conntrack -L expect` afterwards.
";

/// An interval over fewer replications is as wide as the question.
const LEAST: u32 = 3;

/// What the seed is crossed with, so that what was found is not verified by its own chances.
const VERIFY: u64 = 0x5eed_0bad;

struct Trial<'a> {
    asked: &'a Asked,
    name: &'a str,
    /// As it was asked for: whom its timeouts let come in time is not for the advice to say.
    scenario: &'a Document,
    revision: Revision,
    hz: u32,
    replications: u32,
    most_happenings: u64,
    pool: ThreadPool,
    bar: ProgressBar,
}

impl Trial<'_> {
    /// The scenario as it was asked for, under the limits of `document`.
    fn cells(
        &self,
        document: &Document,
        seed: u64,
        expect_max: u32,
    ) -> Result<Vec<Detail>, Failure> {
        use rayon::prelude::*;
        let policies = [Spec::kernel()];
        let run = |replication: u32| {
            let block = Block {
                scenario: self.scenario,
                granted: Some(document),
                revision: self.revision,
                hz: self.hz,
                seed,
                replication,
                policies: &policies,
                sizes: &[expect_max],
                recording: Recording::default(),
                most_happenings: self.most_happenings,
            };
            let ran = block.run();
            self.bar.inc(1);
            ran
        };
        let runs: Result<Vec<_>, Stopped> =
            self.pool.install(|| (0..self.replications).into_par_iter().map(run).collect());
        let runs = runs.map_err(|why| match why {
            Stopped::Asked(why) => self.asked.wrong(format!("scenario {}: {why}", self.name)),
            here => self.asked.stopped(here),
        });
        Ok(runs?.into_iter().flatten().collect())
    }
}

/// Whether what these cells keep can be a verdict.
fn speaks(cells: &[Detail], expect_max: u32) -> Result<(), Failure> {
    let of = |detail: &Detail| {
        format!("replication {} at expect_max {expect_max}", detail.cell.replication)
    };
    let unsteady: Vec<String> = cells.iter().filter(|detail| !detail.cell.steady).map(of).collect();
    if !speak(cells.iter().map(|detail| detail.cell.steady)) {
        return Err(unsettled(&unsteady));
    }
    match cells.iter().find(|detail| detail.cell.useful == 0) {
        None => Ok(()),
        Some(empty) => Err(Failure::Inconclusive(format!(
            "{}: no connection came in time, so that none could be lost: nothing is verified",
            of(empty)
        ))),
    }
}

/// Kinds that are left as their helper has them, and why: nobody shall take silence for advice.
fn unadvised(scenario: &Scenario, advice: &[Advice]) -> Result<Vec<Advice>, Failure> {
    let cast = Cast::of(scenario).map_err(Failure::Usage)?;
    let left = cast.kinds.iter().filter(|kind| advice.iter().all(|one| one.name != kind.name));
    let why = |kind: &Kind| match kind {
        _ if kind.hostile => Advised::Attacker,
        Kind { permanent: true, .. } => Advised::Permanent,
        _ => Advised::Unseen,
    };
    Ok(left.map(|kind| Advice::of(kind, &cast, why(kind))).collect())
}

/// Timeouts from how long connections take, limits from how many come together.
fn advise(
    document: &mut Document,
    seed: u64,
    hz: u32,
    allowed: f64,
    trial: &Trial<'_>,
) -> Result<Vec<Advice>, Failure> {
    let scenario = document.read();
    let cast = Cast::of(&scenario).map_err(Failure::Usage)?;
    let mut waits = vec![Vec::new(); cast.kinds.len()];
    for Happening { at, what } in Workload::new(&scenario, &cast, seed, 0, hz) {
        if let What::Announce { kind, arrives, .. } = what
            && arrives != NEVER
        {
            waits[usize::from(kind)].push(arrives - at);
        }
    }
    let mut advice = Vec::new();
    for (kind, waits) in cast.kinds.iter().zip(&mut waits) {
        if kind.hostile || kind.permanent || waits.is_empty() {
            continue;
        }
        waits.sort_unstable();
        let place = ((waits.len() - 1) as f64 * (1.0 - allowed / 2.0)) as usize;
        // Half as long again: a sample knows little of what is rarer than itself.
        let timeout = (waits[place] as f64 * 1.5 / 1e6) as u32 + 1;
        let timeout_secs = timeout.max(3).min(kind.timeout_secs);
        let max_expected = kind.max_expected.max(1);
        let usual = Advice::of(kind, &cast, Advised::Yes);
        advice.push(Advice { timeout_secs, max_expected, ..usual });
    }
    // Class limits double until what they cost is allowed.
    for _ in 0..8 {
        for one in &advice {
            let policy = (one.max_expected, one.timeout_secs);
            document.set_policy(&one.name, policy, "advised").map_err(Failure::Usage)?;
        }
        let details = trial.cells(document, seed, 1 << 16)?;
        let mut changed = false;
        for one in &mut advice {
            let place = cast.kinds.iter().position(|kind| kind.name == one.name);
            let Some(place) = place else { continue };
            let accounts = details.iter().map(|detail| detail.outcome.accounts[place]);
            let all = accounts.fold(Default::default(), |sum: Account, one| sum.plus(&one));
            let lost = all.lost[Ending::EvictedByClass as usize]
                + all.lost[Ending::RefusedByClass as usize];
            if lost as f64 > allowed * all.useful as f64 && one.max_expected < 128 {
                one.max_expected *= 2;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    Ok(advice)
}
