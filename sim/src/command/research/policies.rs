// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp policies`: what there is to choose from, and what it can be made of.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;

use crate::command::Failure;
use crate::command::format::Format;
use crate::research::policy::expression::Name;
use crate::research::policy::names::{NAMED, Named};
use crate::research::policy::parse::GRAMMAR;

/// The arguments of `nfexp policies`.
#[derive(Debug, Args)]
pub struct Policies {
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A policy, for programs.
#[derive(Serialize)]
struct Row {
    schema: &'static str,
    policy: &'static str,
    composition: &'static str,
    does: &'static str,
}

/// The columns, as the fields stand above.
const COLUMNS: [&str; 4] = ["schema", "policy", "composition", "does"];

impl Policies {
    /// Tells.
    ///
    /// # Errors
    /// [`Failure`], if nobody can be told.
    pub fn run(&self) -> Result<(), Failure> {
        let row = |named: &Named| {
            let &Named { name: policy, composition, does } = named;
            Row { schema: "nfexp.policy.1", policy, composition, does }
        };
        self.format.print(&COLUMNS, NAMED.iter().map(row), text)
    }
}

/// What there is to choose from, and what one's own is made of.
fn text() -> String {
    let longest = NAMED.iter().map(|named| named.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for named in NAMED {
        let _ = writeln!(out, "{:longest$}  {}", named.name, named.does);
        let _ = writeln!(out, "{:longest$}    {}", "", named.composition);
    }
    let names: Vec<&str> = Name::ALL.iter().map(|(_, name)| *name).collect();
    let _ = writeln!(
        out,
        "\nOr a composition of one's own; what is left out is the kernel's:\n\n{GRAMMAR}\n\n\
         EXPRESSION: numbers, + - * / ( ), log() sqrt() not(), and of an expectation (times in seconds)\n\
         {};\n\
         the one with the least value goes, of 32 that are drawn",
        names.join(", ")
    );
    out
}
