// SPDX-License-Identifier: GPL-2.0-only
//! What is done: the operations of a transcript and their arguments.

use nfexp_model::tuple::Proto;
use serde::{Deserialize, Serialize};

use super::parts::{Family, Parts};

/// One operation. Written as `"op"` and `"a"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", content = "a", rename_all = "snake_case")]
pub enum Operation {
    /// A user makes a connection (`NLM_F_CREATE|NLM_F_EXCL`); the reply is the inverse.
    CtNew(CtNew),
    /// A user deletes one, found by either direction.
    CtDel(CtAt),
    /// A user changes its helper.
    CtHelp(CtHelp),
    /// A user deletes all.
    CtFlush(Nothing),
    /// A user lists all.
    CtDump(Nothing),
    /// A user makes or changes an expectation.
    ExpNew(Box<ExpNew>),
    /// A user asks for one.
    ExpGet(ExpAt),
    /// A user deletes one.
    ExpDel(ExpAt),
    /// A user deletes those of a helper.
    ExpDelHelper(HelperName),
    /// A user deletes all.
    ExpFlush(Nothing),
    /// A user lists all.
    ExpDump(DumpAll),
    /// A user lists those of one master.
    ExpDumpMaster(DumpMaster),
    /// Somebody reads `/proc/net/nf_conntrack_expect`.
    Proc(Nothing),
    /// Somebody reads the counters.
    Stats(Nothing),
    /// A packet is forwarded.
    Pkt(PacketArgs),
    /// Time passes.
    Advance(Advance),
    /// Many masters and expectations are made.
    Fill(Fill),
    /// A user deletes all; only the number of events is kept.
    ExpFlushQuiet(Nothing),
}

impl Operation {
    /// Its name, as `"op"` says it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CtNew(_) => "ct_new",
            Self::CtDel(_) => "ct_del",
            Self::CtHelp(_) => "ct_help",
            Self::CtFlush(_) => "ct_flush",
            Self::CtDump(_) => "ct_dump",
            Self::ExpNew(_) => "exp_new",
            Self::ExpGet(_) => "exp_get",
            Self::ExpDel(_) => "exp_del",
            Self::ExpDelHelper(_) => "exp_del_helper",
            Self::ExpFlush(_) => "exp_flush",
            Self::ExpDump(_) => "exp_dump",
            Self::ExpDumpMaster(_) => "exp_dump_master",
            Self::Proc(_) => "proc",
            Self::Stats(_) => "stats",
            Self::Pkt(_) => "pkt",
            Self::Advance(_) => "advance",
            Self::Fill(_) => "fill",
            Self::ExpFlushQuiet(_) => "exp_flush_quiet",
        }
    }
}

impl Operation {
    /// Whether its arguments make sense.
    ///
    /// # Errors
    /// What is expected in their place.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.names().into_iter().flatten().any(|name| name.contains('\0')) {
            return Err("a name without a zero");
        }
        match self {
            Self::Fill(fill) if !fill.has_ports() => {
                Err("a fill of as many masters and expectations as there are ports")
            }
            Self::Pkt(packet) if !packet.p.has_its_keys() => {
                Err("a packet of GRE with sport and dport, its keys")
            }
            Self::Pkt(packet) if !packet.p.has_flags() => {
                Err("flags of TCP: letters of FSRPAU, in either case")
            }
            Self::Pkt(packet) if !packet.p.has_bytes() => {
                Err("a payload in hexadecimal, two digits a byte")
            }
            _ => Ok(()),
        }
    }

    /// The names it says: of a helper, of a function.
    fn names(&self) -> [Option<&str>; 2] {
        match self {
            Self::CtNew(new) => [new.helper.as_deref(), None],
            Self::CtHelp(help) => [help.helper.as_deref(), None],
            Self::ExpNew(new) => [new.help_name.as_deref(), new.function.as_deref()],
            Self::ExpDelHelper(helper) => [Some(&helper.name), None],
            _ => [None; 2],
        }
    }

    /// Whether a user asks for it or a packet does it; else time passes, or somebody looks at
    /// the listing in `/proc` or at counters.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        !matches!(
            self,
            Self::Proc(_)
                | Self::Stats(_)
                | Self::Advance(_)
                | Self::Fill(_)
                | Self::ExpFlushQuiet(_)
        )
    }
}

/// No arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// A connection to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtNew {
    /// The request's family.
    #[serde(default)]
    pub l3: Family,
    /// The tuple of its first packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orig: Option<Parts>,
    /// The tuple of the answers; the inverse of `orig` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Parts>,
    /// Its helper, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
    /// Its mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// When it ends by itself, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
}

/// A connection, by the tuple of either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtAt {
    /// The request's family.
    #[serde(default)]
    pub l3: Family,
    /// The tuple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orig: Option<Parts>,
    /// The zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
}

/// A connection and the helper it shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtHelp {
    /// Which connection.
    #[serde(flatten)]
    pub at: CtAt,
    /// The helper's name; the empty name takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
}

/// An expectation to be made or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpNew {
    /// The request's family.
    #[serde(default)]
    pub l3: Family,
    /// `CTA_EXPECT_MASTER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<Parts>,
    /// `CTA_EXPECT_TUPLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<Parts>,
    /// `CTA_EXPECT_MASK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Parts>,
    /// `CTA_EXPECT_ZONE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
    /// `CTA_EXPECT_CLASS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cls: Option<u32>,
    /// `CTA_EXPECT_FLAGS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<u32>,
    /// `CTA_EXPECT_TIMEOUT`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// `CTA_EXPECT_NAT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<NatArg>,
    /// `CTA_EXPECT_FN`.
    #[serde(default, rename = "fn", skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// `CTA_EXPECT_HELP_NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help_name: Option<String>,
    /// `NLM_F_EXCL`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub excl: bool,
    /// `NLM_F_CREATE`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub create: bool,
}

impl Default for ExpNew {
    fn default() -> Self {
        Self {
            l3: Family::Ip,
            master: None,
            tuple: None,
            mask: None,
            zone: None,
            cls: None,
            flags: None,
            timeout: None,
            nat: None,
            function: None,
            help_name: None,
            excl: true,
            create: true,
        }
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_yes(flag: &bool) -> bool {
    *flag
}

/// `CTA_EXPECT_NAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatArg {
    /// `CTA_EXPECT_NAT_DIR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<u32>,
    /// `CTA_EXPECT_NAT_TUPLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<Parts>,
}

/// An expectation, by a tuple that hits it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpAt {
    /// The request's family.
    #[serde(default)]
    pub l3: Family,
    /// `CTA_EXPECT_TUPLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<Parts>,
    /// `CTA_EXPECT_ZONE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
    /// `CTA_EXPECT_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<IdArg>,
    /// `CTA_EXPECT_MASTER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<Parts>,
}

/// Whose id is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdArg {
    /// Of whom.
    pub of: Whose,
}

/// Whose id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of the expectation a plain lookup finds.
    This,
    /// That of a handle; one nobody has is an id that never matches.
    Handle(u64),
}

impl Serialize for Whose {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::This => serializer.serialize_str("this"),
            Self::Handle(handle) => serializer.serialize_u64(*handle),
        }
    }
}

impl<'de> Deserialize<'de> for Whose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(handle) => Ok(Self::Handle(handle)),
            Written::Word(word) if word == "this" => Ok(Self::This),
            Written::Word(word) => {
                let expected = format!("expected a handle or \"this\", found {word:?}");
                Err(serde::de::Error::custom(expected))
            }
        }
    }
}

/// A helper's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperName {
    /// `CTA_EXPECT_HELP_NAME`.
    pub name: String,
}

/// Which expectations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpAll {
    /// Those of this family.
    #[serde(default)]
    pub l3: Family,
}

/// Whose expectations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpMaster {
    /// The request's family.
    #[serde(default)]
    pub l3: Family,
    /// `CTA_EXPECT_MASTER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<Parts>,
    /// `CTA_EXPECT_ZONE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
}

/// A packet and the zone it comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketArgs {
    /// The packet.
    pub p: Packet,
    /// The zone.
    #[serde(default)]
    pub zone: u16,
}

/// A packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Who to whom.
    #[serde(flatten)]
    pub tuple: Parts,
    /// TCP flags, where they are not SYN, by their first letters: `R` is a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// Its payload, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
}

impl Packet {
    /// Whether it says its keys, where it is one of GRE.
    fn has_its_keys(&self) -> bool {
        let keys = [self.tuple.sport, self.tuple.dport];
        self.tuple.proto != Some(Proto::GRE.0) || keys.iter().all(Option::is_some)
    }

    fn has_flags(&self) -> bool {
        let letters = self.tcp.as_deref().unwrap_or_default();
        letters.chars().all(|letter| "FSRPAUfsrpau".contains(letter))
    }

    fn has_bytes(&self) -> bool {
        let digits = self.hex.as_deref().unwrap_or_default();
        digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    }
}

/// Until when time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// The virtual time in milliseconds.
    pub to: u64,
}

/// How many masters and expectations are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// RAS connections.
    pub masters: u32,
    /// Expectations of each.
    pub per: u32,
}

impl Fill {
    /// The source port of the first master.
    const FIRST_PORT: u64 = 1000;

    /// Whether there is a port for each master, and one for each expectation.
    #[must_use]
    pub fn has_ports(self) -> bool {
        let (masters, per) = (u64::from(self.masters), u64::from(self.per));
        let last = Self::FIRST_PORT.saturating_add(masters);
        last <= 1 << 16 && masters.saturating_mul(per) < 1 << 16 && per < 1 << 16
    }

    /// How many masters and expectations are asked for, together.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.masters).saturating_mul(u64::from(self.per) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_master_has_a_port_and_every_expectation() {
        for (masters, per, has) in [
            (1, 65_535, true),
            (1, 65_536, false),
            (64_536, 1, true),
            (64_537, 1, false),
            (256, 255, true),
            (256, 256, false),
            (0, 65_535, true),
            (0, 65_536, false),
        ] {
            assert_eq!(Fill { masters, per }.has_ports(), has, "{masters} of {per}");
        }
    }
}
