// SPDX-License-Identifier: GPL-2.0-only
//! The command `nfexp`: what the simulator can do, and the races.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use nfexp_sim::command::number::with_negative_numbers;
use nfexp_sim::command::{Failure, remark};

/// Linux's connection-tracking expectations: replayed, compared, measured, raced.
#[derive(Debug, Parser)]
#[command(name = "nfexp", version, arg_required_else_help = true)]
struct Cli {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Sim(nfexp_sim::command::Verb),
    /// Explore a race, and show the interleaving that violates something.
    Race(nfexp_properties::race::Race),
}

impl Verb {
    fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Sim(verb) => verb.run(),
            Self::Race(race) => race.run(),
        }
    }
}

fn main() -> ExitCode {
    nfexp_sim::simulator::crash_quietly();
    let mut command = with_negative_numbers(Cli::command());
    let asked = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|asked| Cli::from_arg_matches(&asked).map_err(|told| told.format(&mut command)));
    let ended = match asked {
        Ok(asked) => asked.verb.run(),
        // Help that is asked for is a result, and may find no room.
        Err(told) => match told.print() {
            Ok(()) => return ExitCode::from(told.exit_code() as u8),
            Err(error) => Err(error.into()),
        },
    };
    match ended {
        Ok(()) | Err(Failure::NoReader) => ExitCode::SUCCESS,
        Err(failure) => {
            remark(format_args!("nfexp: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}
