// SPDX-License-Identifier: GPL-2.0-only
//! Steps as they are written.

use std::fmt::{self, Write};

use nfexp_model::event::Origin;
use nfexp_model::expectation::{Flags, Nat};
use nfexp_model::kernel::Ticks;
use nfexp_model::tuple::{Addr, L3, Mask, Tuple};

use crate::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use crate::transcript::NftExpectation;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conn { name, tuple, place, helper, mark, secmark } => {
                write!(f, "conn {name} {tuple}{}", At(place))?;
                write_helper(f, " helper=", helper)?;
                write_marks(f, *mark, *secmark)
            }
            Self::Confirm { conn } => write!(f, "confirm {conn}"),
            Self::Delete { conn } => write!(f, "delete {conn}"),
            Self::Destroy { conn } => write!(f, "destroy {conn}"),
            Self::Helper { conn, helper } => {
                write!(f, "helper {conn}")?;
                match helper {
                    HelperChoice::Nothing => f.write_str(" nothing"),
                    helper => write_helper(f, " ", helper),
                }
            }
            Self::Alloc(announcement) => write!(f, "alloc {announcement}"),
            Self::Relate { exp, skip_master, origin } => {
                write!(f, "relate {exp}")?;
                write_request(f, *skip_master, *origin)
            }
            Self::Pair { exps: [first, second] } => write!(f, "pair {first} {second}"),
            Self::Expect { announcement, skip_master, origin } => {
                write!(f, "expect {announcement}")?;
                write_request(f, *skip_master, *origin)
            }
            Self::Unexpect { exp } => write!(f, "unexpect {exp}"),
            Self::SetFlags { exp, flags } => write!(f, "flags {exp} {}", flag_words(*flags)),
            Self::Retime { exp, span: Ticks(ticks), flags } => {
                write!(f, "retime {exp} {ticks}j {}", flag_words(*flags))
            }
            Self::Remove { conn } => write!(f, "remove {conn}"),
            Self::Put { name } => write!(f, "put {name}"),
            Self::Packet { tuple, place, name, fate } => {
                write!(f, "packet {tuple}{}", At(place))?;
                write_name(f, name.as_deref())?;
                f.write_str(fate_word(*fate))
            }
            Self::Lookup { tuple, place, name, cpu } => {
                write!(f, "lookup {tuple}{}", At(place))?;
                write_name(f, name.as_deref())?;
                if cpu.0 != 0 { write!(f, " cpu={}", cpu.0) } else { Ok(()) }
            }
            Self::Advance(Ticks(ticks)) => write!(f, "advance {ticks}j"),
            Self::Fire { exp } => write!(f, "fire {exp}"),
            Self::Callback { exp } => write!(f, "callback {exp}"),
            Self::Hold(cpu) => write!(f, "hold cpu{}", cpu.0),
            Self::Release(cpu) => write!(f, "release cpu{}", cpu.0),
            Self::Show { net } => write!(f, "show net={}", net.0),
            Self::Open { file, net } => write!(f, "open {file} net={}", net.0),
            Self::Read { file, lines } => write!(f, "read {file} {lines}"),
            Self::Stats { net } => write!(f, "stats net={}", net.0),
            Self::Memory => f.write_str("memory"),
            Self::ExpectMax(max) => write!(f, "sysctl expect-max={max}"),
            Self::FailNth(nth) => write!(f, "fail-nth {nth}"),
            Self::NetnsInit(net) => write!(f, "netns-init {}", net.0),
            Self::NetnsExit(net) => write!(f, "netns-exit {}", net.0),
            Self::Flush { net, origin } => {
                write!(f, "flush net={}", net.0)?;
                write_request(f, false, *origin)
            }
            Self::Unregister { helper } => write!(f, "unregister {helper}"),
            Self::UnregisterFunction(function) => {
                write!(f, "unregister-function {}", function.name().unwrap_or_default())
            }
            Self::CtExpectation(object) => write_object(f, object),
            Self::Request(operation) => {
                let json = serde_json::to_string(operation).map_err(|_| fmt::Error)?;
                write!(f, "request {json}")
            }
            Self::Collect { conn } => write!(f, "collect {conn}"),
        }
    }
}

fn write_marks(f: &mut fmt::Formatter<'_>, mark: u32, secmark: u32) -> fmt::Result {
    for (word, value) in [("mark", mark), ("secmark", secmark)] {
        if value != 0 {
            write!(f, " {word}={value}")?;
        }
    }
    Ok(())
}

const fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Forwarded => "",
        Fate::Dropped => " dropped",
        Fate::Template => " template",
    }
}

fn write_object(f: &mut fmt::Formatter<'_>, object: &NftExpectation) -> fmt::Result {
    let NftExpectation { udp_dport, l4, dport, seconds, size } = object;
    write!(f, "ct-expectation {udp_dport} proto={l4} dport={dport} timeout={seconds} size={size}")
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} master={} {}", self.name, self.master, self.target)?;
        if self.class != 0 {
            write!(f, " class={}", self.class)?;
        }
        if self.flags != Flags::NONE {
            write!(f, " flags={}", flag_words(self.flags))?;
        }
        if let Some(helper) = &self.assign {
            write!(f, " assign={helper}")?;
        }
        if let Some(name) = self.expectfn.and_then(|function| function.name()) {
            write!(f, " fn={name}")?;
        }
        if let Some(nat) = &self.nat {
            f.write_str(" nat=")?;
            write_nat(f, nat, &self.target)?;
        }
        if let Some(Ticks(ticks)) = self.timeout {
            write!(f, " timeout={ticks}j")?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tuple, mask) = match self {
            Self::Plain(expected) => expected.tuple_and_mask(),
            Self::Masked(tuple, mask) => (*tuple, *mask),
        };
        write_target(f, &tuple, &mask)
    }
}

fn write_target(f: &mut fmt::Formatter<'_>, tuple: &Tuple, mask: &Mask) -> fmt::Result {
    let full = Mask::exact(tuple.l3, true, true);
    write!(f, "{} ", tuple.proto)?;
    if mask.src.bits() == 0 && tuple.src.bits() == 0 {
        f.write_char('*')?;
    } else {
        write_addr(f, tuple.src, tuple.l3)?;
        if mask.src != full.src {
            write!(f, "/{}", mask.src.ip(tuple.l3))?;
        }
    }
    match (mask.sport, tuple.sport) {
        (0, 0) => f.write_str(":*")?,
        (u16::MAX, port) => write!(f, ":{port}")?,
        (mask, port) => write!(f, ":{port}/{mask:#x}")?,
    }
    f.write_str(" > ")?;
    write_addr(f, tuple.dst, tuple.l3)?;
    write!(f, ":{}", tuple.dport)
}

fn write_addr(f: &mut fmt::Formatter<'_>, addr: Addr, l3: L3) -> fmt::Result {
    match l3 {
        L3::Ipv6 => write!(f, "[{}]", addr.ip(l3)),
        _ => write!(f, "{}", addr.ip(l3)),
    }
}

/// `nat=10.0.0.1:80`, and `,reply` where it concerns that direction.
fn write_nat(f: &mut fmt::Formatter<'_>, nat: &Nat, target: &Target) -> fmt::Result {
    let l3 = match target {
        Target::Plain(expected) => expected.l3,
        Target::Masked(tuple, _) => tuple.l3,
    };
    write_addr(f, nat.addr, l3)?;
    write!(f, ":{}", nat.port)?;
    if nat.dir != 0 { f.write_str(",reply") } else { Ok(()) }
}

struct At<'a>(&'a Place);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.net.0 != 0 {
            write!(f, " net={}", self.0.net.0)?;
        }
        if self.0.zone.0 != 0 {
            write!(f, " zone={}", self.0.zone.0)?;
        }
        Ok(())
    }
}

fn write_helper(f: &mut fmt::Formatter<'_>, before: &str, helper: &HelperChoice) -> fmt::Result {
    match helper {
        HelperChoice::Nothing => Ok(()),
        HelperChoice::Extension => write!(f, "{before}none"),
        HelperChoice::Named(name) => write!(f, "{before}{name}"),
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, name: Option<&str>) -> fmt::Result {
    name.map_or(Ok(()), |name| write!(f, " as={name}"))
}

fn write_request(f: &mut fmt::Formatter<'_>, skip_master: bool, origin: Origin) -> fmt::Result {
    if skip_master {
        f.write_str(" skip-master")?;
    }
    if origin.portid != 0 {
        write!(f, " portid={}", origin.portid)?;
    }
    if origin.report { f.write_str(" report") } else { Ok(()) }
}

/// `permanent,inactive`, or the number where it has other bits, or is none.
fn flag_words(flags: Flags) -> String {
    let named = Flags::NAMED.into_iter().filter(|(flag, _)| flags.has(*flag));
    let words: Vec<String> = named.clone().map(|(_, name)| name.to_lowercase()).collect();
    let all = named.fold(Flags::NONE, |all, (flag, _)| all.with(flag));
    if all == flags && !words.is_empty() { words.join(",") } else { flags.0.to_string() }
}
