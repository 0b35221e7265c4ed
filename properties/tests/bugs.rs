// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's bugs show in the kernels that have them, and are gone where they are repaired.
//!
//! `BUGS.md` is what this found: `UPDATE_TABLES=1` writes it.

use nfexp_properties::bugs::{BUGS, Repair, Show};
use nfexp_properties::invariants::{COMPARED, broken_by};
use nfexp_properties::race::interleaving;
use nfexp_properties::table::{Table, settle_text};
use nfexp_properties::world;

#[test]
fn every_bug_shows_and_its_repair_repairs_it() {
    let columns = [
        "bug",
        "what",
        "CVE, commit",
        "kernel",
        "shown by",
        "executions",
        "breaks",
        "found",
        "repaired by",
        "then",
    ];
    let mut table = Table::new(&columns);
    let mut pictures = String::new();
    for bug in BUGS {
        let found = bug.found();
        let violation = found.violation.unwrap_or_else(|| panic!("{} does not show", bug.id));
        let repaired = bug.repaired();
        assert_eq!(repaired.violation, None, "{} is not repaired", bug.id);
        let (shown, then) = match bug.show {
            Show::Race(name) => {
                (format!("`{name}`"), format!("{} {}", repaired.verdict, repaired.executions))
            }
            Show::Sequence(_) => ("a sequence".to_owned(), "as expected".to_owned()),
        };
        let slip = bug.slip.map(|slip| format!(", slip `{}`", world::name(slip)));
        let repair = match bug.repair {
            Repair::Knob(knob) => format!("knob `{knob}`"),
            Repair::KnobBack(knob) => format!("knob `{knob}` as in 6.18"),
            Repair::NoSlip => "no slip".to_owned(),
            Repair::Instead(name) => format!("`{name}` instead"),
        };
        let race = violation.contains("Causality violation");
        let other = if race { "race" } else { "answer" };
        let invariant =
            broken_by(&violation).map_or_else(|| other.into(), |number| number.to_string());
        let message = violation.strip_prefix(COMPARED).unwrap_or(&violation);
        let message: String = message.lines().next().unwrap_or("").chars().take(90).collect();
        table.rows.push(vec![
            bug.id.into(),
            bug.what.into(),
            bug.cve.into(),
            format!("{}{}", bug.kernel.name, slip.unwrap_or_default()),
            shown,
            found.executions.to_string(),
            invariant,
            message.replace('|', "/"),
            repair,
            then,
        ]);
        if let Some(picture) = interleaving(bug) {
            pictures += &format!("### {}: {}\n\n```text\n{picture}```\n\n", bug.id, bug.what);
        }
    }
    let readme = include_str!("../../README.md");
    let counted = format!("{} bugs of the kernel", BUGS.len());
    assert!(readme.contains(&counted), "README.md: expected `{counted}`");
    table.settle("BUGS.md", "bugs", true).unwrap_or_else(|error| panic!("{error}"));
    settle_text("BUGS.md", "interleavings", &pictures).unwrap_or_else(|error| panic!("{error}"));
}
