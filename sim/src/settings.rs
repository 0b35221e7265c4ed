// SPDX-License-Identifier: GPL-2.0-only
//! How a router is set up: the kernel, its helpers and their ports.

use nfexp_model::Config;
use nfexp_model::helper::IN_TREE;
use nfexp_model::netns::Sizes;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Proto;
use nfexp_traces::helpers::Parameters;

use crate::replay::Pace;

/// How a router is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine beneath.
    pub config: Config,
    /// Which helper listens where.
    pub ports: Vec<Port>,
    /// The helpers' module parameters.
    pub parameters: Parameters,
}

/// A port at which a helper listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The helper's name.
    pub helper: String,
    /// The protocol.
    pub proto: Proto,
    /// The destination port of the master.
    pub port: u16,
}

/// Conntrack buckets of a machine with more than four gigabytes.
const CONNTRACK_BUCKETS: u32 = 262_144;
/// Connections there may be at once (`nf_conntrack_max` of such a machine).
const CONNS: u32 = 262_144;
/// The largest table that is set up.
const LARGEST_TABLE: u32 = 1 << 22;

impl Port {
    /// Reads `ftp:tcp/2121`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected a helper and a port, as in `ftp:tcp/2121`, found `{text}`");
        let (helper, place) = text.split_once(':').ok_or_else(expected)?;
        let (proto, port) = place.split_once('/').ok_or_else(expected)?;
        let proto = Proto::parse(proto).ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        if !IN_TREE.iter().any(|known| known.name == helper) {
            let known: Vec<&str> = IN_TREE.iter().map(|known| known.name).collect();
            return Err(format!("no helper `{helper}`; there are {}", known.join(", ")));
        }
        Ok(Self { helper: helper.to_owned(), proto, port })
    }
}

impl Settings {
    /// A machine of the usual size, every in-tree helper at its usual port.
    #[must_use]
    pub fn of(revision: Revision, hash_size: Option<u32>, expect_max: Option<u32>) -> Self {
        let sizes = Sizes::at_module_init(CONNTRACK_BUCKETS, hash_size.unwrap_or(0));
        let expect_max = expect_max.unwrap_or(sizes.expect_max);
        let config = Config {
            revision,
            hash_size: hash_size.unwrap_or(sizes.hash_size),
            expect_max,
            expectations: expect_max.saturating_add(1024).min(LARGEST_TABLE),
            conns: CONNS,
            ..Config::SMALL
        };
        let attached = IN_TREE.iter().filter(|helper| helper.port != 0);
        let ports = attached.flat_map(|helper| {
            let (name, port) = (helper.name, helper.port);
            let at = move |proto: &Proto| Port { helper: name.to_owned(), proto: *proto, port };
            helper.proto.iter().map(at)
        });
        Self { config, ports: ports.collect(), parameters: Parameters::default() }
    }

    /// Applies the options of a recording, `;` between them; `-` is none.
    ///
    /// # Errors
    /// Which option makes no sense, and what was expected.
    pub fn apply(&mut self, options: &str, pace: &mut Pace) -> Result<(), String> {
        let given = options.split(';').filter(|option| !option.is_empty() && *option != "-");
        given.into_iter().try_for_each(|option| self.apply_one(option, pace))
    }

    fn apply_one(&mut self, option: &str, pace: &mut Pace) -> Result<(), String> {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "port" => self.ports.push(Port::parse(value)?),
            "param" => match value {
                "nf_conntrack_ftp/loose:1" | "nf_conntrack_ftp/loose:Y" => {
                    self.parameters.ftp_loose = true;
                }
                "nf_conntrack_ftp/loose:0" | "nf_conntrack_ftp/loose:N" => {
                    self.parameters.ftp_loose = false;
                }
                _ => return Err(format!("option `{option}`: no such parameter is modelled yet")),
            },
            "sysctl" => match value.split_once(':') {
                Some(("nf_conntrack_expect_max", max)) => {
                    let max =
                        max.parse().map_err(|_| format!("option `{option}`: expected a number"))?;
                    self.config.expect_max = max;
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
            _ => {
                return Err(format!(
                    "option `{option}`: expected port, param, sysctl, pace or tail"
                ));
            }
        }
        Ok(())
    }
}
