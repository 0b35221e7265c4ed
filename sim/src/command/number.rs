// SPDX-License-Identifier: GPL-2.0-only
//! Numbers of the command line.

use std::fmt::Display;
use std::str::FromStr;

use clap::{Arg, Command};

/// Reads a number within bounds.
///
/// # Errors
/// What was expected.
pub fn within<N: FromStr + PartialOrd + Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("expected a number from {least} to {most}"))
}

/// Any of 64 bits.
pub(super) fn natural(text: &str) -> Result<u64, String> {
    within(text, 0, u64::MAX)
}

/// Any with a fraction; the verb tells its bounds. Nothing below zero is nothing.
pub(super) fn real(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|_| "expected a number, as in 0.5".to_owned());
    number.map(|number| if number == 0.0 { 0.0 } else { number })
}

/// Lets options be given numbers below zero, which are then refused as what they are and not as
/// options that there are not.
#[must_use]
pub fn with_negative_numbers(command: Command) -> Command {
    let takes = |arg: Arg| {
        let takes = !arg.is_positional() && arg.get_action().takes_values();
        arg.allow_negative_numbers(takes)
    };
    command.mut_args(takes).mut_subcommands(with_negative_numbers)
}
