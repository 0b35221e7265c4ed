// SPDX-License-Identifier: GPL-2.0-only
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nfexp_model::revision::Revision;
use nfexp_sim::replay::Pace;
use nfexp_sim::settings::{Port, Settings};

/// Linux's connection-tracking expectations: replay, look, import.
#[derive(Debug, Parser)]
#[command(name = "nfexp", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the command can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Replay captures or traces and tell what became of every expectation.
    Replay {
        /// Captures (pcap, pcapng, gzipped or not) or traces (`.trace`); `-` is standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How to tell it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        #[command(flatten)]
        kernel: Kernel,
    },
    /// Print /proc/net/nf_conntrack_expect as it stands at a moment of a replay.
    Show {
        /// A capture.
        file: PathBuf,
        /// After this packet (or step), from 1; after the last if not given.
        #[arg(long)]
        at: Option<u64>,
        #[command(flatten)]
        kernel: Kernel,
    },
    /// Turn a capture into a text trace of what its helpers did, with the answers.
    Import {
        /// A capture.
        file: PathBuf,
        /// Where to write the trace; standard output if not given.
        #[arg(long, short)]
        out: Option<PathBuf>,
        #[command(flatten)]
        kernel: Kernel,
    },
}

/// How a replay is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Text,
    /// JSON lines, one per expectation.
    Json,
    /// The same as comma-separated values.
    Csv,
    /// The lines that a recording of the running kernel has, packet by packet.
    KernelJsonl,
}

/// Which kernel, and how it is set up.
#[derive(Debug, Args)]
pub struct Kernel {
    /// Which revision behaves: 3.9, 6.18 or 7.2.
    #[arg(long, default_value = "6.18", value_parser = revision)]
    pub revision: Revision,
    /// Timer ticks per second.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub hz: u32,
    /// Buckets; what a module load would choose if not given.
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
    /// Seconds to wait after the last packet.
    #[arg(long, default_value_t = 0)]
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

fn revision(text: &str) -> Result<Revision, String> {
    let names: Vec<&str> = Revision::ALL.iter().map(|revision| revision.name).collect();
    let expected = || format!("expected one of {}", names.join(", "));
    Revision::named(text).ok_or_else(expected)
}

impl Kernel {
    /// The router these arguments describe, and how its time passes.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn settings(&self, format: Format) -> Result<(Settings, Pace), String> {
        let clock = self.clock.unwrap_or(match format {
            Format::KernelJsonl => Clock::Frozen,
            _ => Clock::Capture,
        });
        let mut pace = match clock {
            Clock::Frozen => Pace::Frozen,
            Clock::Capture => Pace::Captured { tail_secs: self.tail },
        };
        let mut settings = Settings::of(self.revision, self.hash_size, self.expect_max);
        settings.config.hz = self.hz;
        settings.ports.extend(self.helpers.iter().cloned());
        settings.apply(&self.options, &mut pace)?;
        Ok((settings, pace))
    }
}
