// SPDX-License-Identifier: GPL-2.0-only
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nfexp_model::Config;
use nfexp_model::netns::Sizes;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Proto;
use nfexp_sim::forward::{Port, Settings};
use nfexp_sim::replay::Pace;
use nfexp_traces::helpers::Parameters;

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
        /// A capture or a trace.
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
    #[arg(long = "helper", value_parser = port)]
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

fn port(text: &str) -> Result<Port, String> {
    let expected = || format!("expected a helper and a port, as in `ftp:tcp/2121`, found `{text}`");
    let (helper, place) = text.split_once(':').ok_or_else(expected)?;
    let (proto, port) = place.split_once('/').ok_or_else(expected)?;
    let proto = Proto::parse(proto).ok_or_else(expected)?;
    let port = port.parse().map_err(|_| expected())?;
    if !nfexp_model::helper::IN_TREE.iter().any(|known| known.name == helper) {
        let known: Vec<&str> = nfexp_model::helper::IN_TREE.iter().map(|h| h.name).collect();
        return Err(format!("no helper `{helper}`; there are {}", known.join(", ")));
    }
    Ok(Port { helper: helper.to_owned(), proto, port })
}

impl Kernel {
    /// The router these arguments describe, and how its time passes.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn settings(&self, format: Format) -> Result<(Settings, Pace), String> {
        let frozen = Clock::Frozen
            == self.clock.unwrap_or(match format {
                Format::KernelJsonl => Clock::Frozen,
                _ => Clock::Capture,
            });
        let mut pace = match frozen {
            true => Pace::Frozen,
            false => Pace::Captured { tail_secs: self.tail },
        };
        let sizes = Sizes::at_module_init(262_144, self.hash_size.unwrap_or(0));
        let expect_max = self.expect_max.unwrap_or(sizes.expect_max);
        let config = Config {
            revision: self.revision,
            hz: self.hz,
            hash_size: self.hash_size.unwrap_or(sizes.hash_size),
            expect_max,
            expectations: expect_max.saturating_add(1024).min(1 << 22),
            conns: 1 << 18,
            ..Config::SMALL
        };
        let in_tree = nfexp_model::helper::IN_TREE.iter().filter(|helper| helper.port != 0);
        let usual = in_tree.flat_map(|helper| {
            let helper_port = move |proto: &Proto| Port {
                helper: helper.name.to_owned(),
                proto: *proto,
                port: helper.port,
            };
            helper.proto.iter().map(helper_port)
        });
        let mut settings = Settings {
            config,
            ports: usual.chain(self.helpers.iter().cloned()).collect(),
            parameters: Parameters::default(),
        };
        for option in self.options.split(';').filter(|option| !option.is_empty() && *option != "-")
        {
            apply(option, &mut settings, &mut pace)?;
        }
        Ok((settings, pace))
    }
}

/// One option of a recording.
fn apply(option: &str, settings: &mut Settings, pace: &mut Pace) -> Result<(), String> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    match key {
        "port" => settings.ports.push(port(value)?),
        "param" => match value {
            "nf_conntrack_ftp/loose:1" | "nf_conntrack_ftp/loose:Y" => {
                settings.parameters.ftp_loose = true;
            }
            "nf_conntrack_ftp/loose:0" | "nf_conntrack_ftp/loose:N" => {
                settings.parameters.ftp_loose = false;
            }
            _ => return Err(format!("option `{option}`: no such parameter is modelled yet")),
        },
        "sysctl" => match value.split_once(':') {
            Some(("nf_conntrack_expect_max", max)) => {
                let max =
                    max.parse().map_err(|_| format!("option `{option}`: expected a number"))?;
                settings.config.expect_max = max;
            }
            // Windows are not followed, so this one is always on.
            Some(("nf_conntrack_tcp_be_liberal", _)) => {}
            _ => return Err(format!("option `{option}`: no such sysctl is modelled yet")),
        },
        "pace" => *pace = Pace::Captured { tail_secs: 0 },
        "tail" => {
            let secs = value.parse::<f64>().ok().filter(|secs| (0.0..1e9).contains(secs));
            let secs = secs.ok_or_else(|| format!("option `{option}`: expected seconds"))?;
            *pace = Pace::Captured { tail_secs: secs as u64 };
        }
        _ => return Err(format!("option `{option}`: expected port, param, sysctl, pace or tail")),
    }
    Ok(())
}
