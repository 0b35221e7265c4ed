// SPDX-License-Identifier: GPL-2.0-only
//! How a router is set up: the kernel, its helpers and their ports.

use nfexp_model::Config;
use nfexp_model::helper::{ExpectPolicy, Helper, IN_TREE, in_tree};
use nfexp_model::netns::Sizes;
use nfexp_model::revision::Revision;
use nfexp_model::tcp_track::TcpSettings;
use nfexp_model::tuple::Proto;
use nfexp_traces::helpers::Parameters;

use crate::forward::route::Host;
use crate::replay::{Pace, Selection};

/// How a router is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine beneath.
    pub config: Config,
    /// Which helper listens where.
    pub ports: Vec<Port>,
    /// The helpers' module parameters.
    pub parameters: Parameters,
    /// Connection tracking's own settings.
    pub sysctls: Sysctls,
    /// The router's own address, if it is a host of the capture.
    pub host: Option<Host>,
    /// Which packets are played.
    pub selection: Selection,
    /// Whether connections without helper and master are left out of a recording.
    pub lean: bool,
    /// The options that were applied, as given.
    pub given: Vec<String>,
}

/// `net.netfilter.nf_conntrack_*`, as far as it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sysctls {
    /// TCP.
    pub tcp: TcpSettings,
    /// `udp_timeout`, in seconds.
    pub udp_secs: u32,
    /// `udp_timeout_stream`, in seconds.
    pub udp_stream_secs: u32,
    /// `icmp_timeout`, in seconds.
    pub icmp_secs: u32,
    /// `icmpv6_timeout`, in seconds.
    pub icmpv6_secs: u32,
    /// `gre_timeout`, in seconds.
    pub gre_secs: u32,
    /// `gre_timeout_stream`, in seconds.
    pub gre_stream_secs: u32,
    /// `generic_timeout`, in seconds.
    pub generic_secs: u32,
}

impl Default for Sysctls {
    fn default() -> Self {
        Self {
            tcp: TcpSettings::DEFAULT,
            udp_secs: 30,
            udp_stream_secs: 120,
            icmp_secs: 30,
            icmpv6_secs: 30,
            gre_secs: 30,
            gre_stream_secs: 180,
            generic_secs: 600,
        }
    }
}

impl Sysctls {
    /// Writes one.
    ///
    /// # Errors
    /// What was expected: another name, or another value.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let known = name.strip_prefix("nf_conntrack_");
        let known = known.and_then(|name| SYSCTLS.iter().find(|(known, _)| *known == name));
        let Some((_, place)) = known else {
            let known: Vec<&str> = SYSCTLS.iter().map(|(known, _)| *known).collect();
            let known = known.join(", ");
            return Err(format!(
                "no such sysctl is modelled; there are, behind `nf_conntrack_`, expect_max, {known}"
            ));
        };
        let another = || format!("expected another number than {value}");
        let number: u32 = value.parse().map_err(|_| another())?;
        match place(self) {
            Place::Secs(place) => *place = number,
            Place::Byte(place) => *place = u8::try_from(number).map_err(|_| another())?,
            Place::Switch(place) => *place = number != 0,
            Place::Unseen => {}
            Place::Off if number == 0 => {}
            Place::Off => return Err("only 0 is modelled".to_owned()),
        }
        Ok(())
    }
}

/// Where a sysctl is written.
enum Place<'a> {
    Secs(&'a mut u32),
    Byte(&'a mut u8),
    Switch(&'a mut bool),
    /// It changes nothing that is shown.
    Unseen,
    /// It is as when off.
    Off,
}

/// Finds the place of one.
type Find = fn(&mut Sysctls) -> Place<'_>;

/// The names behind `nf_conntrack_`.
const SYSCTLS: [(&str, Find); 26] = [
    ("tcp_be_liberal", |all| Place::Switch(&mut all.tcp.be_liberal)),
    ("tcp_loose", |all| Place::Switch(&mut all.tcp.loose)),
    ("tcp_ignore_invalid_rst", |all| Place::Switch(&mut all.tcp.ignore_invalid_rst)),
    ("tcp_max_retrans", |all| Place::Byte(&mut all.tcp.max_retrans)),
    ("tcp_timeout_syn_sent", |all| Place::Secs(&mut all.tcp.timeouts_secs[1])),
    ("tcp_timeout_syn_recv", |all| Place::Secs(&mut all.tcp.timeouts_secs[2])),
    ("tcp_timeout_established", |all| Place::Secs(&mut all.tcp.timeouts_secs[3])),
    ("tcp_timeout_fin_wait", |all| Place::Secs(&mut all.tcp.timeouts_secs[4])),
    ("tcp_timeout_close_wait", |all| Place::Secs(&mut all.tcp.timeouts_secs[5])),
    ("tcp_timeout_last_ack", |all| Place::Secs(&mut all.tcp.timeouts_secs[6])),
    ("tcp_timeout_time_wait", |all| Place::Secs(&mut all.tcp.timeouts_secs[7])),
    ("tcp_timeout_close", |all| Place::Secs(&mut all.tcp.timeouts_secs[8])),
    ("tcp_timeout_max_retrans", |all| Place::Secs(&mut all.tcp.retrans_secs)),
    ("tcp_timeout_unacknowledged", |all| Place::Secs(&mut all.tcp.unacknowledged_secs)),
    ("udp_timeout", |all| Place::Secs(&mut all.udp_secs)),
    ("udp_timeout_stream", |all| Place::Secs(&mut all.udp_stream_secs)),
    ("icmp_timeout", |all| Place::Secs(&mut all.icmp_secs)),
    ("icmpv6_timeout", |all| Place::Secs(&mut all.icmpv6_secs)),
    ("gre_timeout", |all| Place::Secs(&mut all.gre_secs)),
    ("gre_timeout_stream", |all| Place::Secs(&mut all.gre_stream_secs)),
    ("generic_timeout", |all| Place::Secs(&mut all.generic_secs)),
    // With it what has a wrong checksum is invalid.
    ("checksum", |_| Place::Off),
    ("log_invalid", |_| Place::Unseen),
    ("acct", |_| Place::Unseen),
    ("timestamp", |_| Place::Unseen),
    ("helper", |_| Place::Unseen),
];

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
/// Connections for which a router has memory at the start.
const CONNS_READY: u32 = 1024;
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
        let attached = IN_TREE.iter().filter(|known| !known.proto.is_empty());
        let Some(known) = attached.clone().find(|known| known.name == helper) else {
            let known: Vec<&str> = attached.map(|known| known.name).collect();
            return Err(format!("no helper `{helper}`; there are {}", known.join(", ")));
        };
        if !known.proto.contains(&proto) {
            let speaks: Vec<String> = known.proto.iter().map(Proto::to_string).collect();
            return Err(format!("helper `{helper}` listens to {} only", speaks.join(" and ")));
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
            expectations: room(expect_max),
            conns: CONNS,
            conns_ready: CONNS_READY,
            helpers: in_tree(&revision),
            ..Config::SMALL
        };
        let attached = IN_TREE.iter().filter(|helper| helper.port != 0);
        let ports = attached.flat_map(|helper| {
            let (name, port) = (helper.name, helper.port);
            let at = move |proto: &Proto| Port { helper: name.to_owned(), proto: *proto, port };
            helper.proto.iter().map(at)
        });
        Self {
            config,
            ports: ports.collect(),
            parameters: Parameters::default(),
            sysctls: Sysctls::default(),
            host: None,
            selection: Selection::default(),
            lean: false,
            given: Vec::new(),
        }
    }

    /// Applies the options of a recording, `;` between them; `-` is none.
    ///
    /// # Errors
    /// Which option makes no sense, or contradicts an earlier one, and what was expected.
    pub fn apply(&mut self, options: &str, pace: &mut Pace) -> Result<(), String> {
        for option in each(options) {
            if let Some(earlier) = self.given.iter().find(|given| contradict(given, option)) {
                return Err(format!("options `{earlier}` and `{option}`: expected one of them"));
            }
            self.apply_one(option, pace)?;
            self.given.push(option.to_owned());
        }
        Ok(())
    }

    fn apply_one(&mut self, option: &str, pace: &mut Pace) -> Result<(), String> {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "no-ports" if value.is_empty() => self.ports.clear(),
            "port" => self.ports.push(Port::parse(value)?),
            "param" => {
                let (name, value) = value
                    .split_once(':')
                    .ok_or_else(|| format!("option `{option}`: expected MODULE/NAME:VALUE"))?;
                self.parameters.set(name, value)?;
                self.resize_policies();
            }
            "sysctl" => match value.split_once(':') {
                Some(("nf_conntrack_expect_max", max)) => {
                    let number = max.parse::<i32>().ok().and_then(|max| u32::try_from(max).ok());
                    let expected =
                        || format!("option `{option}`: expected a number from 0 to {}", i32::MAX);
                    let number = number.ok_or_else(expected)?;
                    self.config.expect_max = number;
                    self.config.expectations = self.config.expectations.max(room(number));
                }
                written => {
                    let (name, value) = written.unwrap_or((value, ""));
                    let refused = |expected| format!("option `{option}`: {expected}");
                    self.sysctls.set(name, value).map_err(refused)?;
                }
            },
            "local" => self.host = Some(Host::parse(value)?),
            "only" => self.selection.only_parse(value)?,
            "until" => self.selection.until_ns = Some(seconds(option, value)?),
            "lean" if value.is_empty() => self.lean = true,
            "pace" => {
                let factor = value.parse::<f64>().ok().filter(|pace| (1e-3..1e6).contains(pace));
                let expected = "expected a factor from 0.001 to below 1000000";
                let factor = factor.ok_or_else(|| format!("option `{option}`: {expected}"))?;
                *pace = pace.with_speed((factor * 1000.0).round() as u64);
            }
            "tail" => {
                *pace = pace.with_tail((seconds(option, value)? / 1_000_000) as u64);
            }
            _ => {
                return Err(format!(
                    "option `{option}`: expected port, param, sysctl, local, only, until, lean, \
                     no-ports, pace or tail"
                ));
            }
        }
        Ok(())
    }

    /// Module parameters that a helper's policy is made of when the module is loaded.
    fn resize_policies(&mut self) {
        let parameters = self.parameters;
        for helper in self.config.helpers.to_mut() {
            let of_module = match helper.name {
                "irc" => Some((parameters.irc_max_dcc_channels, parameters.irc_dcc_timeout)),
                "netbios-ns" => Some((1, parameters.netbios_ns_timeout)),
                "snmp" => Some((1, parameters.snmp_timeout)),
                _ => None,
            };
            if let Some((max_expected, timeout_secs)) = of_module {
                resize(helper, max_expected, timeout_secs);
            }
        }
    }
}

/// Options one by one, of a text that has `;` between them; `-` is none.
pub(crate) fn each(options: &str) -> impl Iterator<Item = &str> {
    options.split(';').filter(|option| !option.is_empty() && *option != "-")
}

/// Whether two options give one thing different values. Ports and what is played add up.
fn contradict(one: &str, other: &str) -> bool {
    let of = |option| -> Option<(&str, &str)> {
        let (key, value) = str::split_once(option, '=')?;
        match key {
            "sysctl" | "param" => {
                let (name, value) = value.split_once(':')?;
                // A module's name may stand without what all of them begin with.
                Some((name.strip_prefix("nf_conntrack_").unwrap_or(name), value))
            }
            "local" | "until" | "pace" | "tail" => Some((key, value)),
            _ => None,
        }
    };
    let same = |one: &str, other: &str| {
        one == other || one.parse::<f64>().is_ok_and(|one| other.parse() == Ok(one))
    };
    let pair = of(one).zip(of(other));
    pair.is_some_and(|((key, one), (other_key, other))| key == other_key && !same(one, other))
}

/// How many expectations there is memory for where a namespace may hold so many.
fn room(expect_max: u32) -> u32 {
    expect_max.saturating_add(1024).min(LARGEST_TABLE)
}

/// Gives a helper another policy, for as long as the process lives, as a loaded module's.
fn resize(helper: &mut Helper, max_expected: u32, timeout_secs: u32) {
    let policy = helper.policies[0];
    let wanted = ExpectPolicy { max_expected, timeout_secs, ..policy };
    if wanted != policy {
        helper.policies = Box::leak(Box::new([wanted]));
    }
}

/// Seconds as nanoseconds.
fn seconds(option: &str, value: &str) -> Result<i64, String> {
    let secs = value.parse::<f64>().ok().filter(|secs| (0.0..1e9).contains(secs));
    let secs = secs.ok_or_else(|| {
        format!("option `{option}`: expected seconds, from 0 to below 1000000000")
    })?;
    Ok((secs * 1e9) as i64)
}
