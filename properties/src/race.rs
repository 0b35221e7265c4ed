// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp race`: explores a scenario, and shows the interleaving that violates something.
//!
//! ```text
//!   nfexp race B01                                     a bug of the table, in its kernel
//!   nfexp race expire-1+match-1 --revision 6.18        any scenario
//!   nfexp race expire-1+lookup-1 --mutant inc-from-zero
//! ```
//!
//! The exit code is the verdict: 0 proved, 1 violated, 3 bounded, out of budget, or `†`: loom had no
//! thread left in which to check a free.
//!
//! The rule that matters: what is shown is the shortest kind of failing execution there is a
//! bound for: one with no preemption if one fails, else with one, and so on.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use nfexp_model::revision::Revision;
use nfexp_model::slip::Slip;
use nfexp_sim::command::number::within;
use nfexp_sim::command::{Failure, verdict_behind, watching};

use crate::bugs::{BUGS, Bug, Show};
use crate::explore::{Limits, Report, Verdict, explore, run_so_far, shortest};
use crate::record::{Step, Who};
use crate::scenario::{Scenario, Variant};
use crate::world;

/// The arguments of `nfexp race`.
#[derive(Debug, Args)]
pub struct Race {
    /// A bug (B01) or a scenario (expire-1+match-1).
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// List the bugs, the operations, the variants and the mutants.
    #[arg(long, exclusive = true)]
    list: bool,
    /// The kernel: 3.9, 6.18 or 7.2; if not given, a bug's own, and 3.9 for a scenario.
    #[arg(long)]
    revision: Option<String>,
    /// A slip that happens in this world.
    #[arg(long)]
    mutant: Option<String>,
    /// Preemptions per execution, or none for no bound.
    #[arg(long, default_value = "none")]
    bound: String,
    /// Executions after which to give up.
    #[arg(long, value_parser = |text: &str| within::<usize>(text, 0, usize::MAX))]
    budget: Option<usize>,
    /// How a violation is shown.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a violation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table, one column per CPU.
    Text,
    /// A Mermaid sequence diagram.
    Mermaid,
    /// JSON lines.
    Json,
}

/// What is explored.
struct Question {
    scenario: Scenario,
    slip: Option<Slip>,
    limits: Limits,
}

impl Race {
    /// Explores.
    ///
    /// # Errors
    /// [`Failure`]: a violation, a bound, or a question that makes no sense.
    pub fn run(&self) -> Result<(), Failure> {
        let mut out = verdict_behind();
        if self.list {
            return Ok(out.write_all(listing().as_bytes())?);
        }
        let question = self.question().map_err(Failure::Usage)?;
        readable_by_loom().map_err(Failure::Usage)?;
        let Question { scenario, slip, limits } = &question;
        let bar = watching("executions", run_so_far);
        let failing = world::with(*slip, || shortest(scenario, *limits));
        let Some((bound, report, steps)) = failing else {
            let report = world::with(*slip, || explore(scenario, *limits));
            bar.finish_and_clear();
            return verdict(&mut out, &question, &report, self.format);
        };
        bar.finish_and_clear();
        let text = match self.format {
            Format::Text => text(&question, bound, &report, &steps),
            Format::Mermaid => mermaid(&question, &report, &steps),
            Format::Json => json(&question, bound, &report, &steps),
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if self.format != Format::Json {
            let comment = if self.format == Format::Mermaid { "%% " } else { "" };
            writeln!(out, "{comment}{}", question.again(self.format))?;
        }
        Err(Failure::Differs(report.violation().unwrap_or_default().to_owned()))
    }

    fn question(&self) -> Result<Question, String> {
        let name = self.name.as_deref().unwrap_or_default();
        let bug = Bug::named(name);
        let revision = match (&self.revision, bug) {
            (Some(name), _) => Revision::named(name)
                .ok_or_else(|| format!("no kernel `{name}`; expected 3.9, 6.18 or 7.2"))?,
            (None, Some(bug)) => bug.kernel,
            (None, None) => Revision::LINUX_3_9,
        };
        let slip = match (&self.mutant, bug) {
            (Some(name), _) => {
                Some(world::named(name).ok_or_else(|| format!("no mutant `{name}`; see --list"))?)
            }
            // Another kernel is one without the bug.
            (None, Some(bug)) if revision == bug.kernel => bug.slip,
            _ => None,
        };
        let scenario = match bug.map(|bug| bug.show) {
            Some(Show::Sequence(_)) => {
                return Err(format!("{name} needs no race: it stands in BUGS.md, as a sequence"));
            }
            Some(Show::Race(scenario)) => Scenario::named(revision, scenario)?,
            None if name.starts_with(['B', 'H']) => {
                return Err(format!("no bug `{name}`; see --list"));
            }
            None => Scenario::named(revision, name)?,
        };
        let preemptions = match self.bound.as_str() {
            "none" => None,
            // loom counts them in a byte.
            bound => Some(bound.parse::<u8>().map(usize::from).map_err(|_| {
                format!(
                    "--bound: expected a number of preemptions or `none`, found `{bound}`; \
                     loom takes at most {}",
                    u8::MAX
                )
            })?),
        };
        let limits = Limits { preemptions, executions: self.budget };
        Ok(Question { scenario, slip, limits })
    }
}

impl Question {
    /// The line that reproduces it.
    fn again(&self, format: Format) -> String {
        let mut line =
            format!("nfexp race '{}' --revision {}", self.scenario, self.scenario.revision.name);
        if let Some(slip) = self.slip {
            let _ = write!(line, " --mutant {}", world::name(slip));
        }
        if let Some(bound) = self.limits.preemptions {
            let _ = write!(line, " --bound {bound}");
        }
        match format {
            Format::Text => {}
            Format::Mermaid => line.push_str(" --format mermaid"),
            Format::Json => line.push_str(" --format json"),
        }
        line
    }
}

fn verdict(
    out: &mut impl io::Write,
    question: &Question,
    report: &Report,
    format: Format,
) -> Result<(), Failure> {
    let Question { scenario, .. } = question;
    if format == Format::Json {
        out.write_all(json_verdict(question, report).as_bytes())?;
    } else {
        // Nothing to draw: a comment, where it is to be a diagram.
        let comment = if format == Format::Mermaid { "%% " } else { "" };
        let Report { verdict, executions, outcomes, unchecked } = report;
        let dagger = if *unchecked > 0 { " †" } else { "" };
        let world = world(question);
        let told = format!("{scenario}: {verdict} in {executions} executions ({world}){dagger}");
        writeln!(out, "{comment}{told}")?;
        for (outcome, times) in outcomes {
            writeln!(out, "{comment}  {times:>7}  {outcome}")?;
        }
    }
    match report.verdict {
        Verdict::Proved if report.unchecked > 0 => Err(Failure::Inconclusive(format!(
            "{} frees were not checked: loom had no thread left; no proof",
            report.unchecked
        ))),
        Verdict::Proved => Ok(()),
        Verdict::Violation(_) => Err(Failure::Differs(question.again(Format::Text))),
        Verdict::Bounded(bound) => {
            Err(Failure::Inconclusive(format!("nothing found with {bound} preemptions; no proof")))
        }
        Verdict::Budget => Err(Failure::Inconclusive("the budget ran out; nothing shown".into())),
    }
}

/// loom reads its environment before anybody can say that it counts for nothing here, and panics at
/// what is no number.
fn readable_by_loom() -> Result<(), String> {
    for name in [
        "LOOM_CHECKPOINT_INTERVAL",
        "LOOM_MAX_BRANCHES",
        "LOOM_MAX_DURATION",
        "LOOM_MAX_PERMUTATIONS",
        "LOOM_MAX_PREEMPTIONS",
    ] {
        if let Ok(value) = std::env::var(name)
            && value.parse::<usize>().is_err()
        {
            return Err(format!("{name}={value}: expected a number: unset it"));
        }
    }
    Ok(())
}

fn listing() -> String {
    let mut text = String::from("bugs\n");
    for bug in BUGS {
        let show = match bug.show {
            Show::Race(name) => name,
            Show::Sequence(_) => "a sequence",
        };
        let _ = writeln!(text, "  {:<5} {:<5} {:<36} {}", bug.id, bug.kernel.name, show, bug.what);
    }
    text.push_str("operations (join CPUs with +, what one CPU does in turn with a comma)\n");
    for (name, what) in crate::op::Op::all() {
        let _ = writeln!(text, "  {name:<20}{what}");
    }
    text.push_str(
        "variants (behind a colon, with commas between them: announce-2+match-1:one,told)\n",
    );
    for (word, what) in Variant::WORDS {
        let _ = writeln!(text, "  {word:<20}{}", what.trim());
    }
    text.push_str("mutants\n");
    for slip in Slip::ALL {
        let _ = writeln!(text, "  {:<28}{}", world::name(*slip), slip.what().trim());
    }
    text
}

fn head(question: &Question, bound: usize, report: &Report) -> String {
    format!(
        "{} on Linux {}: VIOLATION in execution {}, {bound} preemptions\n",
        question.scenario,
        world(question),
        report.executions
    )
}

/// The kernel that is explored, and what is done wrong in it.
fn world(question: &Question) -> String {
    let slip =
        question.slip.map_or(String::new(), |slip| format!(", mutant {}", world::name(slip)));
    format!("{}{slip}", question.scenario.revision.name)
}

/// The columns: CPUs by number, the RCU softirq last.
fn columns(question: &Question, steps: &[Step]) -> Vec<(Who, String)> {
    let ops = question.scenario.cpus.iter().enumerate().map(|(cpu, ops)| {
        let names: Vec<String> = ops.iter().map(ToString::to_string).collect();
        (Who::Cpu(cpu as u8), format!("CPU{cpu}: {}", names.join(", ")))
    });
    let rcu = steps.iter().any(|step| step.who == Who::Rcu);
    ops.chain(rcu.then(|| (Who::Rcu, "RCU".to_owned()))).collect()
}

/// What became of every expectation, in a cell: `e1 2 linked pending`.
fn states(step: &Step) -> String {
    let states = step.after.iter().enumerate().map(|(at, state)| {
        let linked = if state.linked { "linked" } else { "-" };
        format!("e{} use={} {linked} {}", at + 1, state.uses, state.timer)
    });
    states.collect::<Vec<_>>().join("; ")
}

fn text(question: &Question, bound: usize, report: &Report, steps: &[Step]) -> String {
    let mut text = head(question, bound, report);
    text.push_str(&table(question, steps));
    let _ = writeln!(text, "\n{}", report.violation().unwrap_or_default());
    text
}

fn table(question: &Question, steps: &[Step]) -> String {
    let columns = columns(question, steps);
    let mut rows = vec![columns.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>()];
    rows[0].push("afterwards".to_owned());
    for step in steps {
        let mut row: Vec<String> = columns
            .iter()
            .map(|(who, _)| if *who == step.who { step.what.clone() } else { String::new() })
            .collect();
        row.push(states(step));
        rows.push(row);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let number = if at == 0 { " #".to_owned() } else { format!("{at:>2}") };
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = format!("{number}  {}", cells.collect::<Vec<_>>().join("  "));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn mermaid(question: &Question, report: &Report, steps: &[Step]) -> String {
    let columns = columns(question, steps);
    let name = |who: Who| match who {
        Who::Cpu(cpu) => format!("cpu{cpu}"),
        Who::Rcu => "rcu".to_owned(),
    };
    let mut text = String::from("sequenceDiagram\n");
    for (who, title) in &columns {
        let _ = writeln!(text, "  participant {} as {title}", name(*who));
    }
    for step in steps {
        let what = step.what.replace(';', ",");
        let _ = writeln!(text, "  {0}->>{0}: {what}", name(step.who));
    }
    let all: Vec<String> = columns.iter().map(|(who, _)| name(*who)).collect();
    let over = match &all[..] {
        [only] => only.clone(),
        [first, .., last] => format!("{first},{last}"),
        [] => String::new(),
    };
    let violation = report.violation().unwrap_or_default().replace(';', ",");
    let _ = writeln!(text, "  Note over {over}: {violation}");
    text
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if (letter as u32) < 0x20 => {}
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// An exploration that shows nothing, as a line of JSON.
fn json_verdict(question: &Question, report: &Report) -> String {
    let outcomes = report.outcomes.iter();
    let outcomes = outcomes.map(|(outcome, times)| format!("{}:{times}", quote(outcome)));
    format!(
        "{{\"schema\":\"nfexp.race.1\",\"scenario\":{},\"revision\":{},\"mutant\":{},\
         \"verdict\":{},\"executions\":{},\"unchecked\":{},\"outcomes\":{{{}}},\"again\":{}}}\n",
        quote(&question.scenario.to_string()),
        quote(question.scenario.revision.name),
        question.slip.map_or_else(|| "null".to_owned(), |slip| quote(&world::name(slip))),
        quote(&report.verdict.to_string()),
        report.executions,
        report.unchecked,
        outcomes.collect::<Vec<_>>().join(","),
        quote(&question.again(Format::Json)),
    )
}

fn json(question: &Question, bound: usize, report: &Report, steps: &[Step]) -> String {
    let mut text = format!(
        "{{\"schema\":\"nfexp.race.1\",\"scenario\":{},\"revision\":{},\"mutant\":{},\
         \"verdict\":\"VIOLATION\",\"execution\":{},\"preemptions\":{bound},\"violation\":{},\"again\":{}}}\n",
        quote(&question.scenario.to_string()),
        quote(question.scenario.revision.name),
        question.slip.map_or_else(|| "null".to_owned(), |slip| quote(&world::name(slip))),
        report.executions,
        quote(report.violation().unwrap_or_default()),
        quote(&question.again(Format::Json)),
    );
    for (at, step) in steps.iter().enumerate() {
        let who = match step.who {
            Who::Cpu(cpu) => format!("cpu{cpu}"),
            Who::Rcu => "rcu".to_owned(),
        };
        let states = step.after.iter().map(|state| {
            let timer = quote(state.timer);
            format!("{{\"use\":{},\"linked\":{},\"timer\":{timer}}}", state.uses, state.linked)
        });
        let _ = writeln!(
            text,
            "{{\"schema\":\"nfexp.race-step.1\",\"step\":{},\"who\":{},\"what\":{},\"after\":[{}]}}",
            at + 1,
            quote(&who),
            quote(&step.what),
            states.collect::<Vec<_>>().join(",")
        );
    }
    text
}

/// The interleaving that shows a bug, as a table; `None` if it is a sequence.
#[must_use]
pub fn interleaving(bug: &Bug) -> Option<String> {
    let scenario = bug.scenario()?;
    let limits = Limits::NONE;
    let question = Question { scenario, slip: bug.slip, limits };
    let found = world::with(bug.slip, || shortest(&question.scenario, limits));
    let (_, report, steps) = found?;
    let violation = report.violation().unwrap_or_default();
    Some(format!("{}\n{violation}\n", table(&question, &steps)))
}
