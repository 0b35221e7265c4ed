// SPDX-License-Identifier: GPL-2.0-only
//! Which kernel, and how it is set up: arguments that several verbs share.

use clap::{Args, ValueEnum};
use nfexp_model::revision::Revision;

use super::Failure;
use crate::replay::Pace;
use crate::settings::{Port, Settings};

/// Which kernel, and how it is set up.
#[derive(Debug, Args)]
pub struct Kernel {
    /// Which revision behaves: 3.9, 6.18 or 7.2.
    #[arg(long, default_value = "6.18", value_parser = revision)]
    pub revision: Revision,
    /// Timer ticks per second [default: 250].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub hz: Option<u32>,
    /// Buckets, exactly so many; what a module load would choose, whole pages of them, if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub hash_size: Option<u32>,
    /// Expectations a namespace may hold (`nf_conntrack_expect_max`).
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=1 << 22))]
    pub expect_max: Option<u32>,
    /// A helper at a further port: `ftp:tcp/2121`.
    #[arg(long = "helper", value_parser = Port::parse)]
    pub helpers: Vec<Port>,
    /// How time passes: as captured, or not at all (the default for kernel-jsonl).
    #[arg(long, value_enum)]
    pub clock: Option<Clock>,
    /// How long to wait after the last packet: `5m`, `300s`, or a number of seconds.
    #[arg(long, default_value = "0s", value_parser = tail)]
    pub tail: u64,
    /// Options as recordings have them: `port=ftp:tcp/2121;param=nf_conntrack_ftp/loose:1`.
    #[arg(long, default_value = "")]
    pub options: String,
}

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// By the capture's time stamps.
    Capture,
    /// Not at all: no timer fires.
    Frozen,
}

/// Ticks per second of most distributions' kernels.
const HZ: u32 = 250;

/// A span of time with its unit (`2.5s`, `5m`, `1500ms`, `1h`), up to thirty years.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let units = [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
    let (number, unit) =
        units.iter().find_map(|(unit, ns)| Some((text.strip_suffix(unit)?, ns)))?;
    let ns = number.parse::<f64>().ok()? * unit;
    (0.0..1e18).contains(&ns).then_some(ns as i64)
}

/// A span as whole seconds.
fn tail(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 1_000_000_000);
    let of_span = || nanoseconds(text).map(|ns| ns as u64 / 1_000_000_000);
    let expected = || format!("expected a span of up to thirty years, as in `5m`, found `{text}`");
    seconds.or_else(of_span).ok_or_else(expected)
}

pub(super) fn revision(text: &str) -> Result<Revision, String> {
    let names: Vec<&str> = Revision::ALL.iter().map(|revision| revision.name).collect();
    let expected = || format!("expected one of {}", names.join(", "));
    Revision::named(text).ok_or_else(expected)
}

impl Kernel {
    /// Refuses what was given and would change nothing, `because`; `taken` is taken.
    ///
    /// # Errors
    /// [`Failure::Usage`], with the first such argument.
    pub(super) fn takes(&self, taken: &[&str], because: &str) -> Result<(), Failure> {
        let given = [
            ("--revision", self.revision != Revision::LINUX_6_18),
            ("--hz", self.hz.is_some()),
            ("--hash-size", self.hash_size.is_some()),
            ("--expect-max", self.expect_max.is_some()),
            ("--helper", !self.helpers.is_empty()),
            ("--clock", self.clock.is_some()),
            ("--tail", self.tail != 0),
            ("--options", !self.options.is_empty()),
        ];
        let idle = given.iter().find(|(name, given)| *given && !taken.contains(name));
        idle.map_or(Ok(()), |(name, _)| {
            Err(Failure::Usage(format!("{because}: {name} would change nothing")))
        })
    }

    /// The router these arguments describe, and how its time passes; `usual` is how it does
    /// where nothing is said.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn settings(&self, usual: Clock) -> Result<(Settings, Pace), String> {
        let clock = self.clock.unwrap_or(usual);
        if clock == Clock::Frozen && self.tail != 0 {
            return Err(
                "--tail: no time passes where the clock is frozen; ask for --clock capture".into(),
            );
        }
        let mut pace = match clock {
            Clock::Frozen => Pace::Frozen,
            Clock::Capture => Pace::CAPTURED.with_tail(self.tail),
        };
        let mut settings = Settings::of(self.revision, self.hash_size, self.expect_max);
        settings.config.hz = self.hz.unwrap_or(HZ);
        settings.ports.extend(self.helpers.iter().cloned());
        settings.apply(&self.options, &mut pace)?;
        Ok((settings, pace))
    }
}
