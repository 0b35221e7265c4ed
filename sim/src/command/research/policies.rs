// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp policies`: what there is to choose from, and what it can be made of.

use std::io::{self, Write};

use clap::Args;

use crate::command::Failure;
use crate::research::policy::expression::Name;
use crate::research::policy::names::NAMED;
use crate::research::policy::parse::GRAMMAR;

/// The arguments of `nfexp policies`: none.
#[derive(Debug, Args)]
pub struct Policies {}

impl Policies {
    /// Tells.
    ///
    /// # Errors
    /// [`Failure`], if nobody can be told.
    pub fn run(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let longest = NAMED.iter().map(|named| named.name.len()).max().unwrap_or(0);
        for named in NAMED {
            writeln!(out, "{:longest$}  {}", named.name, named.does)?;
            writeln!(out, "{:longest$}    {}", "", named.composition)?;
        }
        writeln!(out, "\nOr a composition of one's own; what is left out is the kernel's:\n")?;
        writeln!(out, "{GRAMMAR}\n")?;
        let names: Vec<&str> = Name::ALL.iter().map(|(_, name)| *name).collect();
        writeln!(
            out,
            "EXPRESSION: numbers, + - * / ( ), log() sqrt() not(), and of an expectation"
        )?;
        writeln!(out, "{};", names.join(", "))?;
        writeln!(out, "the one with the least value goes, of 32 that are drawn")?;
        Ok(())
    }
}
