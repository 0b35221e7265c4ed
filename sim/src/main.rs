// SPDX-License-Identifier: GPL-2.0-only
//! The command `nfexp`.
#![forbid(unsafe_code)]
#![expect(unreachable_pub, reason = "the modules of a binary have no outside")]

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.verb {
        Verb::Replay { files, format, kernel } => commands::replay(files, *format, kernel),
        Verb::Show { file, at, kernel } => commands::show(file, *at, kernel),
        Verb::Import { file, out, kernel } => commands::import(file, out.as_deref(), kernel),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("nfexp: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
