// SPDX-License-Identifier: GPL-2.0-only
//! Which kernel, and how it is set up: arguments that several verbs share.

use clap::{Args, ValueEnum};
use nfexp_model::revision::Revision;

use super::Failure;
use super::number::within;
use crate::replay::Pace;
use crate::settings::{Port, Settings, each};

/// Which kernel, and how it is set up.
#[derive(Debug, Args)]
pub struct Kernel {
    /// Which revision behaves: 3.9, 6.18 or 7.2.
    #[arg(long, default_value = "6.18", value_parser = revision)]
    pub revision: Revision,
    /// Timer ticks per second [default: 250].
    #[arg(long, value_parser = |text: &str| within::<u32>(text, 1, 10_000))]
    pub hz: Option<u32>,
    /// Buckets, exactly so many; what a module load would choose, whole pages of them, if not given.
    #[arg(long, value_parser = |text: &str| within::<u32>(text, 1, 1 << 20))]
    pub hash_size: Option<u32>,
    /// Expectations a namespace may hold (`nf_conntrack_expect_max`).
    #[arg(long, value_parser = |text: &str| within::<u32>(text, 0, 1 << 22))]
    pub expect_max: Option<u32>,
    /// A helper at a further port: `ftp:tcp/2121`.
    #[arg(long = "helper", value_parser = Port::parse)]
    pub helpers: Vec<Port>,
    /// How time passes: as captured, or not at all (the default for kernel-jsonl).
    #[arg(long, value_enum)]
    pub clock: Option<Clock>,
    /// How long to wait after the last packet, to the millisecond: `5m`, `300s`, `75000j` (timer
    /// ticks), or a number of seconds [default: 0s].
    #[arg(long, value_parser = tail, allow_hyphen_values = true)]
    pub tail: Option<Span>,
    /// Options as recordings have them: `port=ftp:tcp/2121;param=nf_conntrack_ftp/loose:1`. Also
    /// `sysctl=NAME:VALUE`, `local=ADDRESS/BITS` (the router's own), `only=udp/137,tcp`,
    /// `until=SECONDS`, `pace=FACTOR`, `tail=SECONDS`, `lean`, `no-ports` (but those behind it).
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

/// A span of time, as it is written: how long a tick is, a kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// So long.
    Nanoseconds(i64),
    /// So many ticks.
    Ticks(u32),
}

impl Span {
    /// With its unit (`2.5s`, `5m`, `1500ms`, `1h`, `90j`), up to thirty years.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('j') {
            Some(ticks) => ticks.parse().ok().map(Self::Ticks),
            None => nanoseconds(text).map(Self::Nanoseconds),
        }
    }

    /// Where so many ticks make a second; the first nanosecond at which they have passed.
    pub(super) fn nanoseconds(self, hz: u32) -> i64 {
        match self {
            Self::Nanoseconds(ns) => ns,
            Self::Ticks(ticks) => {
                let ns = (u64::from(ticks) * 1_000_000_000).div_ceil(u64::from(hz.max(1)));
                ns.min(LONGEST) as i64
            }
        }
    }
}

/// Thirty years, in nanoseconds.
const LONGEST: u64 = 1_000_000_000_000_000_000;

fn nanoseconds(text: &str) -> Option<i64> {
    let units = [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
    let (number, unit) =
        units.iter().find_map(|(unit, ns)| Some((text.strip_suffix(unit)?, ns)))?;
    let ns = number.parse::<f64>().ok()? * unit;
    (0.0..LONGEST as f64).contains(&ns).then_some(ns as i64)
}

/// A span, or a number of seconds.
fn tail(text: &str) -> Result<Span, String> {
    let seconds = text.parse().ok().filter(|seconds: &i64| (0..=1_000_000_000).contains(seconds));
    let seconds = seconds.map(|seconds| Span::Nanoseconds(seconds * 1_000_000_000));
    let of_span = || Span::parse(text);
    let expected = || {
        format!(
            "expected whole seconds up to 1000000000, or a time with its unit below that, \
             as in `5m`, found `{text}`"
        )
    };
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
            ("--tail", self.tail.is_some_and(|tail| tail.nanoseconds(HZ) != 0)),
            ("--options", !self.options.is_empty()),
        ];
        Failure::of_idle(&given, taken, because)
    }

    /// The router these arguments describe, and how its time passes; `usual` is how it does
    /// where nothing is said.
    ///
    /// # Errors
    /// If an option makes no sense, or contradicts another argument.
    pub fn settings(&self, usual: Clock) -> Result<(Settings, Pace), String> {
        let clock = self.clock.unwrap_or(usual);
        let hz = self.hz.unwrap_or(HZ);
        let tail = self.tail.map_or(0, |tail| tail.nanoseconds(hz));
        if tail % 1_000_000 != 0 {
            let ms = tail as f64 / 1e6;
            return Err(format!("--tail: expected whole milliseconds, not {ms} ms"));
        }
        if clock == Clock::Frozen && tail != 0 {
            return Err(
                "--tail: no time passes where the clock is frozen; ask for --clock capture".into(),
            );
        }
        let mut pace = match clock {
            Clock::Frozen => Pace::Frozen,
            Clock::Capture => Pace::CAPTURED.with_tail(tail as u64 / 1_000_000),
        };
        let mut settings = Settings::of(self.revision, self.hash_size, self.expect_max);
        settings.config.hz = hz;
        settings.ports.extend(self.helpers.iter().cloned());
        self.agrees(&self.options, "--options say")?;
        settings.apply(&self.options, &mut pace)?;
        Ok((settings, pace))
    }

    /// Refuses options that say otherwise than an argument that was given; `who` says them.
    ///
    /// # Errors
    /// Both.
    pub(super) fn agrees(&self, options: &str, who: &str) -> Result<(), String> {
        let is_frozen = self.clock == Some(Clock::Frozen);
        let tail = self.tail.map(|tail| tail.nanoseconds(self.hz.unwrap_or(HZ)) as f64 / 1e9);
        for option in each(options) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let is_none = || value.parse() == Ok(0.0);
            let given = match (key, value.split_once(':')) {
                ("sysctl", Some(("nf_conntrack_expect_max", max))) => self
                    .expect_max
                    .filter(|given| max.parse() != Ok(*given))
                    .map(|given| format!("--expect-max {given}")),
                ("pace", _) if is_frozen => Some("--clock frozen".to_owned()),
                ("tail", _) if is_frozen && !is_none() => Some("--clock frozen".to_owned()),
                ("tail", _) => tail
                    .filter(|given| value.parse() != Ok(*given))
                    .map(|given| format!("--tail {given}s")),
                _ => None,
            };
            if let Some(given) = given {
                return Err(format!("{given}, but {who} `{option}`: expected one of them"));
            }
        }
        Ok(())
    }
}
