// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp oracle`: the running kernel beside the model.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nfexp_model::revision::Revision;

use super::Failure;
use super::format::TextOrJson as Format;
use super::kernel::revision;
use super::number::{natural, within};
use crate::oracle::profile::Profile;

#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod told;

/// The arguments of `nfexp oracle`.
#[derive(Debug, Args)]
pub struct Oracle {
    #[command(subcommand)]
    verb: Deed,
}

/// What is done with the running kernel. Needs Linux with nf_conntrack, nf_tables and tun, and
/// root; works in network namespaces of its own.
#[derive(Debug, Subcommand)]
enum Deed {
    /// Record a seeded random sequence as a transcript.
    Record {
        #[command(flatten)]
        sequence: SequenceArgs,
        /// How many recordings must agree.
        #[arg(long, default_value_t = 1, value_parser = |text: &str| within::<u32>(text, 1, 20))]
        times: u32,
        /// Where to write it; standard output if not given, or if it is `-`.
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Run a sequence, or the operations of transcripts, on the kernel and in the model, and tell
    /// where they part.
    Compare {
        /// Transcripts whose operations are run (`-` is standard input); a seeded sequence if none.
        #[arg(conflicts_with_all = ["profile", "seed", "n"])]
        files: Vec<PathBuf>,
        #[command(flatten)]
        sequence: SequenceArgs,
        #[command(flatten)]
        model: ModelArgs,
    },
    /// Compare fresh sequences for some minutes, and tell what was reached.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10.0, value_parser = minutes, allow_hyphen_values = true)]
        minutes: f64,
        /// The first seed.
        #[arg(long, default_value_t = 1, value_parser = natural)]
        seed: u64,
        /// One mixture of operations; all if not given.
        #[arg(long, value_parser = profile)]
        profile: Option<Profile>,
        /// How many operations a sequence has.
        #[arg(short, long, default_value_t = 400, value_parser = |text: &str| within::<u64>(text, 1, 5000))]
        n: u64,
        /// How many namespaces wait for time to pass, beside the one where it stands still.
        #[arg(long, default_value_t = 12, value_parser = |text: &str| within::<u16>(text, 0, 256))]
        waiting: u16,
        #[command(flatten)]
        model: ModelArgs,
    },
}

/// Which sequence.
#[derive(Debug, Args)]
struct SequenceArgs {
    /// The mixture of operations: core, clash, match, limit, time, bad, helper, zones, mix, full,
    /// wild or follow; a `0` at the end keeps all in one zone.
    #[arg(long, default_value = "mix", value_parser = profile)]
    profile: Profile,
    /// The seed.
    #[arg(long, default_value_t = 1, value_parser = natural)]
    seed: u64,
    /// How many operations.
    #[arg(short, long, default_value_t = 300, value_parser = |text: &str| within::<u64>(text, 1, 20_000))]
    n: u64,
}

/// Which model.
#[derive(Debug, Args)]
struct ModelArgs {
    /// Which revision the model is; that of the running kernel if not given.
    #[arg(long, value_parser = revision)]
    revision: Option<Revision>,
    /// Turn one knob of it the other way, to see that the comparison notices.
    #[arg(long, value_name = "KNOB")]
    inject: Option<String>,
    /// Where a divergence is saved.
    #[arg(long, default_value = "target/oracle")]
    save: PathBuf,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn profile(text: &str) -> Result<Profile, String> {
    Profile::named(text).ok_or_else(|| format!("expected one of {}", Profile::names().join(", ")))
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.0..=10_000.0).contains(minutes));
    minutes.ok_or_else(|| "expected from 0 to 10000 minutes, such as 10 or 0.5".to_owned())
}

impl ModelArgs {
    /// The revision, with its knob turned.
    #[cfg(target_os = "linux")]
    fn revision(&self) -> Result<Revision, Failure> {
        let running = || {
            crate::oracle::live::running_revision().map_err(|release| {
                let what =
                    "is none that is modelled: name a revision to compare it with all the same";
                Failure::Skipped(format!("the running kernel {release} {what}"))
            })
        };
        let right = self.revision.map_or_else(running, Ok)?;
        let Some(knob) = &self.inject else { return Ok(right) };
        Revision::ALL
            .iter()
            .filter_map(|other| right.with_knob_of(knob, other))
            .find(|turned| *turned != right)
            .ok_or_else(|| {
                let names = Revision::KNOBS.join(", ");
                Failure::Usage(format!(
                    "no knob `{knob}` that could be turned: expected one of {names}"
                ))
            })
    }
}

impl Oracle {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`]: the kernel lacks something, or kernel and model part.
    pub fn run(&self) -> Result<(), Failure> {
        #[cfg(target_os = "linux")]
        return live::run(&self.verb);
        #[cfg(not(target_os = "linux"))]
        Err(Failure::Skipped("the oracle is a running Linux kernel: this is none".into()))
    }
}
