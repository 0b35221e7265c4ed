// SPDX-License-Identifier: GPL-2.0-only
//! A sweep's answer: for each point, policy and size one line, with intervals.
//!
//! *Regret*: what the optimum would have matched and the policy did not; paired, replication by
//! replication. *Against the first*: the paired difference to the study's first policy.

use serde::Serialize;

use super::plan::{Plan, Row};
use crate::report::text::ruled;
use crate::research::cell::Cell;
use crate::research::statistics::Estimate;
use crate::research::steady::{said, speak};

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which schema this is.
    pub schema: &'static str,
    /// The scenario.
    pub scenario: String,
    /// The kernel.
    pub revision: String,
    /// What was varied.
    pub varied: String,
    /// The policy.
    pub policy: String,
    /// The size.
    pub expect_max: u32,
    /// Whether replications reached a steady state: nine in ten of them, at least.
    pub steady: bool,
    /// Which share of the useful arrivals found their expectation.
    pub recall: Estimate,
    /// What a perfect policy reaches, at least.
    pub optimum_lower: Estimate,
    /// And at most.
    pub optimum_upper: Estimate,
    /// The optimum's upper bound less the recall.
    pub regret: Estimate,
    /// The share by what matches are worth.
    pub worth: Estimate,
    /// What a perfect policy reaches of that, at least.
    pub worth_lower: Estimate,
    /// And at most.
    pub worth_upper: Estimate,
    /// The recall less the first policy's, same workloads.
    pub against_first: Estimate,
    /// Thrown out before their match.
    pub premature: Estimate,
    /// Refused by the full table.
    pub refused_table: Estimate,
    /// Refused or thrown out by the class limit, not admitted, or lost otherwise.
    pub lost_other: Estimate,
    /// Slot-seconds that held what is never matched.
    pub stale: Estimate,
    /// Slots in use.
    pub occupancy: Estimate,
    /// How even masters fare.
    pub jain_masters: Estimate,
    /// The kind that fares worst.
    pub least_kind: Estimate,
    /// Open hole-seconds a second.
    pub exposure: Estimate,
    /// Of these, open to anybody.
    pub exposure_wide: Estimate,
    /// Of these, an attacker's.
    pub exposure_hostile: Estimate,
    /// How even sources fare.
    pub jain_sources: Estimate,
    /// How even kinds, the scenario's classes, fare.
    pub jain_kinds: Estimate,
    /// How even namespaces fare.
    pub jain_nets: Estimate,
    /// Found of what newcomers asked for at a full table, over the replications in which some did.
    pub newcomers: Option<Estimate>,
    /// Found of what those asked for who held something.
    pub incumbents: Option<Estimate>,
    /// Seconds from the end of an attack until recall is back; nothing if none ends, or recall is
    /// not back in some replication.
    pub recovery: Option<Estimate>,
    /// Half of all walks under the lock are no longer; 0 if not counted.
    pub walk_p50: u32,
    /// 99 % are no longer.
    pub walk_p99: u32,
    /// The longest walk under the lock; 0 if not counted.
    pub walk_max: u32,
}

impl Line {
    /// Whether some matches are worth more than others, as far as this line tells.
    #[must_use]
    pub fn has_worths(&self) -> bool {
        let means = |of: [Estimate; 2]| of.map(|one| one.mean);
        means([self.worth_lower, self.worth_upper])
            != means([self.optimum_lower, self.optimum_upper])
            || self.recall.of > 0 && self.worth.mean != self.recall.mean
    }
}

/// The lines of a plan, in its order. Rows come block by block, in the plan's order.
#[must_use]
pub fn lines(plan: &Plan, rows: &[Row]) -> Vec<Line> {
    let per_block = plan.rows_per_block();
    let replications = plan.study.replications as usize;
    let policies = plan.policies.len();
    let mut lines = Vec::new();
    for of_point in rows.chunks(per_block * replications) {
        for place in 0..per_block {
            let cells = |place: usize| -> Vec<&Cell> {
                of_point.chunks(per_block).map(|block| &block[place].cell).collect()
            };
            let first = cells(place - place % policies);
            lines.push(line(&of_point[place], &cells(place), &first));
        }
    }
    lines
}

fn line(row: &Row, cells: &[&Cell], first: &[&Cell]) -> Line {
    let values =
        |of: &dyn Fn(&Cell) -> f64| -> Vec<f64> { cells.iter().map(|cell| of(cell)).collect() };
    let estimate = |of: &dyn Fn(&Cell) -> f64| Estimate::of(&values(of));
    let some = |of: &dyn Fn(&Cell) -> Option<f64>| {
        let values: Vec<f64> = cells.iter().filter_map(|cell| of(cell)).collect();
        (!values.is_empty()).then(|| Estimate::of(&values))
    };
    // Shares of what was useful; of the whole run where a warm-up is not cut off, which is more.
    let useful = cells.iter().map(|cell| cell.useful).sum();
    let share = |of: &dyn Fn(&Cell) -> f64| estimate(of).of_so_many(useful);
    let recalls = values(&|cell| cell.recall);
    let firsts: Vec<f64> = first.iter().map(|cell| cell.recall).collect();
    Line {
        schema: "nfexp.sweep-line.1",
        scenario: row.scenario.clone(),
        revision: row.revision.clone(),
        varied: row.varied.clone(),
        policy: row.cell.policy.clone(),
        expect_max: row.cell.expect_max,
        steady: speak(cells.iter().map(|cell| cell.steady)),
        recall: Estimate::of_shares(
            &cells.iter().map(|cell| (cell.hits, cell.useful)).collect::<Vec<_>>(),
        ),
        optimum_lower: estimate(&|cell| cell.optimum_lower),
        optimum_upper: estimate(&|cell| cell.optimum_upper),
        regret: Estimate::of_pairs(&values(&|cell| cell.optimum_upper), &recalls)
            .of_so_many(useful),
        worth: share(&|cell| cell.worth),
        worth_lower: estimate(&|cell| cell.worth_lower),
        worth_upper: estimate(&|cell| cell.worth_upper),
        against_first: Estimate::of_pairs(&recalls, &firsts),
        premature: share(&|cell| cell.premature),
        refused_table: share(&|cell| cell.refused_table),
        lost_other: share(&|cell| cell.refused_class + cell.refused_other + cell.lost_other),
        stale: estimate(&|cell| cell.stale),
        occupancy: estimate(&|cell| cell.occupancy),
        jain_masters: estimate(&|cell| cell.jain_masters),
        least_kind: estimate(&|cell| cell.least_kind),
        exposure: estimate(&|cell| cell.exposure),
        exposure_wide: estimate(&|cell| cell.exposure_wide),
        exposure_hostile: estimate(&|cell| cell.exposure_hostile),
        jain_sources: estimate(&|cell| cell.jain_sources),
        jain_kinds: estimate(&|cell| cell.jain_kinds),
        jain_nets: estimate(&|cell| cell.jain_nets),
        newcomers: some(&|cell| cell.newcomers),
        incumbents: some(&|cell| cell.incumbents),
        recovery: cells
            .iter()
            .map(|cell| cell.recovery)
            .collect::<Option<Vec<f64>>>()
            .map(|times| Estimate::of(&times)),
        walk_p50: cells.iter().map(|cell| cell.walk_p50).max().unwrap_or(0),
        walk_p99: cells.iter().map(|cell| cell.walk_p99).max().unwrap_or(0),
        walk_max: cells.iter().map(|cell| cell.walk_max).max().unwrap_or(0),
    }
}

/// Which columns of the tables a warm-up is cut off from, and which not.
pub const COVERS: &str = "thrown out, table full, else lost (refused by a class that is full or not \
    admitted, expired, refreshed, or gone with the master) and what --metrics adds, even classes \
    excepted, are of the whole run, warm-up included; the rest is of what follows the warm-up";

/// What stands in the columns of the second table, and what it means: `nfexp sweep --metrics`
/// and the page say the same.
pub const METRICS: [(&str, &str); 10] = [
    (
        "even masters",
        "Jain's index of the recalls of masters: 1 if all fare alike, 1/n if one has all; whoever had \
         fewer than ten useful arrivals is left out, and it is 1 where nobody is left",
    ),
    ("even sources", "the same of the addresses that masters come from"),
    ("even classes", "the same of the scenario's classes"),
    ("even namespaces", "the same of network namespaces"),
    ("open holes", "how many expectations stand open in the mean: hole-seconds a second"),
    ("to anybody", "of these, those that name no source address"),
    ("attacker's", "of these, those that an attacker announced"),
    (
        "newcomers",
        "the share found of what masters announced to a full table while they held nothing, over \
         the replications in which some did; - where none did",
    ),
    (
        "incumbents",
        "the same of masters who held something: more than newcomers' means that waste is rewarded",
    ),
    (
        "walked p50/p99/max",
        "nodes the kernel walks under its lock for a check, a lookup or an eviction; the greatest of \
         the replications",
    ),
];

/// The cells of a line in the second table, as [`METRICS`] names them.
#[must_use]
pub fn metrics_of(line: &Line) -> [String; 10] {
    let some =
        |share: Option<Estimate>| share.map_or_else(|| "-".to_owned(), |share| share.to_string());
    let walked = format!("{}/{}/{}", line.walk_p50, line.walk_p99, line.walk_max);
    [
        line.jain_masters.to_string(),
        line.jain_sources.to_string(),
        line.jain_kinds.to_string(),
        line.jain_nets.to_string(),
        line.exposure.to_string(),
        line.exposure_wide.to_string(),
        line.exposure_hostile.to_string(),
        some(line.newcomers),
        some(line.incumbents),
        walked,
    ]
}

/// Tables for people: what was kept and what was lost.
#[must_use]
pub fn text(lines: &[Line]) -> String {
    let worths = lines.iter().any(Line::has_worths);
    let otherwise = lines.iter().any(|line| line.lost_other.mean > 0.0);
    let recovers = lines.iter().any(|line| line.recovery.is_some());
    let mut head = vec!["policy", "expect_max", "recall", "optimum", "regret"];
    if worths {
        head.extend(["worth", "its optimum"]);
    }
    head.extend(["thrown out", "table full"]);
    if otherwise {
        head.push("else lost");
    }
    head.extend(["stale", "worst kind"]);
    if recovers {
        head.push("recovery");
    }
    head.push("");
    tables(lines, &head, |line| {
        let (lower, upper) = (line.optimum_lower.mean, line.optimum_upper.mean);
        let mut row = vec![
            line.policy.clone(),
            line.expect_max.to_string(),
            line.recall.to_string(),
            format!("[{lower:.4}, {upper:.4}]"),
            line.regret.to_string(),
        ];
        if worths {
            let (lower, upper) = (line.worth_lower.mean, line.worth_upper.mean);
            row.extend([line.worth.to_string(), format!("[{lower:.4}, {upper:.4}]")]);
        }
        row.extend([line.premature.to_string(), line.refused_table.to_string()]);
        if otherwise {
            row.push(line.lost_other.to_string());
        }
        row.extend([line.stale.to_string(), line.least_kind.to_string()]);
        if recovers {
            let seconds = |recovery: Estimate| format!("{recovery} s");
            row.push(line.recovery.map_or_else(String::new, seconds));
        }
        row.push(said(line.steady).to_owned());
        row
    })
}

/// Tables for people: who suffers, how much stands open, what it costs; and what that means.
#[must_use]
pub fn metrics(lines: &[Line]) -> String {
    let mut head = vec!["policy", "expect_max"];
    head.extend(METRICS.iter().map(|(name, _)| *name));
    let mut out = tables(lines, &head, |line| {
        let mut row = vec![line.policy.clone(), line.expect_max.to_string()];
        row.extend(metrics_of(line));
        row
    });
    for (name, means) in METRICS {
        out += &format!("{name}: {means}\n");
    }
    out
}

/// A table for each point.
fn tables(lines: &[Line], head: &[&str], row: impl Fn(&Line) -> Vec<String>) -> String {
    let mut out = String::new();
    let point = |line: &Line| (line.scenario.clone(), line.revision.clone(), line.varied.clone());
    for of_point in lines.chunk_by(|a, b| point(a) == point(b)) {
        let (scenario, revision, varied) = point(&of_point[0]);
        let varied = match varied.is_empty() {
            true => String::new(),
            false => format!(" · {}", varied.replace(';', " · ")),
        };
        let table = ruled(head, &[1], of_point.iter().map(&row));
        let between = if out.is_empty() { "" } else { "\n" };
        out += &format!("{between}{scenario} · Linux {revision}{varied}\n{table}");
    }
    out
}
