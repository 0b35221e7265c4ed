// SPDX-License-Identifier: GPL-2.0-only
//! Module parameters of the helpers, by the names that modules have them under.
//!
//! Those that size a policy (`max_dcc_channels`, `dcc_timeout`, the broadcast helpers' `timeout`)
//! change the helper's registration instead: see [`Parameters::set`].

/// Module parameters of the helpers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// `nf_conntrack_ftp/loose`: an announced address need not be the announcer's.
    pub ftp_loose: bool,
    /// `nf_conntrack_amanda/master_timeout`, in seconds.
    pub amanda_master_timeout: u32,
    /// `nf_conntrack_netbios_ns/timeout`, in seconds: the master's, and the policy's.
    pub netbios_ns_timeout: u32,
    /// `nf_conntrack_snmp/timeout`, likewise.
    pub snmp_timeout: u32,
    /// `nf_conntrack_sip/sip_timeout`: the master's, in seconds.
    pub sip_timeout: u32,
    /// `nf_conntrack_sip/sip_direct_signalling`: calls come from the registrar only.
    pub sip_direct_signalling: bool,
    /// `nf_conntrack_sip/sip_direct_media`: media flow between the signalling ends only.
    pub sip_direct_media: bool,
    /// `nf_conntrack_sip/sip_external_media`: none where media go the signalling's way.
    pub sip_external_media: bool,
    /// `nf_conntrack_h323/default_rrq_ttl`, in seconds.
    pub h323_default_rrq_ttl: u32,
    /// `nf_conntrack_h323/gkrouted_only`: calls come from the gatekeeper only.
    pub h323_gkrouted_only: bool,
    /// `nf_conntrack_h323/callforward_filter`: no second leg where both ends are on one side.
    pub h323_callforward_filter: bool,
    /// `nf_conntrack_irc/max_dcc_channels`.
    pub irc_max_dcc_channels: u32,
    /// `nf_conntrack_irc/dcc_timeout`, in seconds.
    pub irc_dcc_timeout: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            ftp_loose: false,
            amanda_master_timeout: 300,
            netbios_ns_timeout: 3,
            snmp_timeout: 30,
            sip_timeout: 3600,
            sip_direct_signalling: true,
            sip_direct_media: true,
            sip_external_media: false,
            h323_default_rrq_ttl: 300,
            h323_gkrouted_only: true,
            h323_callforward_filter: true,
            irc_max_dcc_channels: 8,
            irc_dcc_timeout: 300,
        }
    }
}

/// All there are.
const KNOWN: [&str; 13] = [
    "amanda/master_timeout",
    "ftp/loose",
    "h323/callforward_filter",
    "h323/default_rrq_ttl",
    "h323/gkrouted_only",
    "irc/dcc_timeout",
    "irc/max_dcc_channels",
    "netbios_ns/timeout",
    "sip/sip_direct_media",
    "sip/sip_direct_signalling",
    "sip/sip_external_media",
    "sip/sip_timeout",
    "snmp/timeout",
];

impl Parameters {
    /// Sets one as `/sys/module/MODULE/parameters/NAME` is written.
    ///
    /// # Errors
    /// What was expected.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let expected = |what| format!("parameter `{name}`: expected {what}, found `{value}`");
        let bit = || bit(value).ok_or_else(|| expected("0 or 1"));
        // Some that only ask whether they are 0 are declared as numbers.
        let is_set = || match signed(value) {
            Some(number) => Ok(number != 0),
            None => Err(expected("a number, of which 0 is no and any other yes")),
        };
        let number = || unsigned(value).ok_or_else(|| expected("a number below 2^32"));
        let (module, parameter) = name.split_once('/').unwrap_or((name, ""));
        match (module.strip_prefix("nf_conntrack_").unwrap_or(module), parameter) {
            ("ftp", "loose") => self.ftp_loose = bit()?,
            ("amanda", "master_timeout") => self.amanda_master_timeout = number()?,
            ("netbios_ns", "timeout") => self.netbios_ns_timeout = number()?,
            ("snmp", "timeout") => self.snmp_timeout = number()?,
            ("sip", "sip_timeout") => self.sip_timeout = number()?,
            ("sip", "sip_direct_signalling") => self.sip_direct_signalling = is_set()?,
            ("sip", "sip_direct_media") => self.sip_direct_media = is_set()?,
            ("sip", "sip_external_media") => self.sip_external_media = is_set()?,
            ("h323", "default_rrq_ttl") => self.h323_default_rrq_ttl = number()?,
            ("h323", "gkrouted_only") => self.h323_gkrouted_only = is_set()?,
            ("h323", "callforward_filter") => self.h323_callforward_filter = bit()?,
            // KERNEL: nf_conntrack_irc_init() loads with no other number.
            // DEVIATION: before v4.12 any but 0 would do; a class of more than 255 has no limit there,
            // and a trace can say so (`helper-policy`).
            ("irc", "max_dcc_channels") => {
                let channels = number().ok().filter(|channels| (1..=255).contains(channels));
                self.irc_max_dcc_channels =
                    channels.ok_or_else(|| expected("a number from 1 to 255"))?;
            }
            ("irc", "dcc_timeout") => self.irc_dcc_timeout = number()?,
            _ => {
                let known = KNOWN.join(", ");
                return Err(format!("parameter `{name}`: expected one of {known}"));
            }
        }
        Ok(())
    }
}

/// As `kstrtobool()` reads it: by its first letter.
fn bit(value: &str) -> Option<bool> {
    match value.as_bytes() {
        [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}

/// As `kstrtouint()` reads it: behind `0x` hexadecimal, behind another `0` octal.
fn unsigned(value: &str) -> Option<u32> {
    let digits = value.strip_prefix('+').unwrap_or(value);
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u32::from_str_radix(digits, radix).ok().filter(|_| is_number)
}

/// As `kstrtoint()` reads it.
fn signed(value: &str) -> Option<i32> {
    match value.strip_prefix('-') {
        Some(digits) if !digits.starts_with('+') => {
            i32::try_from(-i64::from(unsigned(digits)?)).ok()
        }
        Some(_) => None,
        None => i32::try_from(unsigned(value)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_refuses_is_refused_with_what_it_takes() {
        let mut parameters = Parameters::default();
        for (name, value, expected) in [
            ("irc/max_dcc_channels", "0", "expected a number from 1 to 255, found `0`"),
            ("irc/max_dcc_channels", "256", "expected a number from 1 to 255, found `256`"),
            ("irc/max_dcc_channels", "-1", "expected a number from 1 to 255, found `-1`"),
            ("irc/dcc_timeout", "4294967296", "expected a number below 2^32, found `4294967296`"),
            ("snmp/timeout", "-1", "expected a number below 2^32, found `-1`"),
            ("sip/sip_timeout", "09", "expected a number below 2^32, found `09`"),
            ("sip/sip_direct_media", "y", "of which 0 is no and any other yes, found `y`"),
            ("h323/gkrouted_only", "2147483648", "of which 0 is no and any other yes, found"),
            ("ftp/loose", "2", "expected 0 or 1, found `2`"),
            ("h323/callforward_filter", "", "expected 0 or 1, found ``"),
            ("ftp/ports", "21", "parameter `ftp/ports`: expected one of amanda/master_timeout, "),
        ] {
            let why = parameters.set(name, value).expect_err(value);
            assert!(why.contains(expected), "{why}");
        }
        assert_eq!(parameters, Parameters::default());
    }

    #[test]
    fn what_is_named_where_a_name_is_wrong_is_there() {
        for name in KNOWN {
            Parameters::default().set(name, "1").expect(name);
        }
    }

    #[test]
    fn what_a_module_takes_is_taken() {
        let with = |name: &str, value: &str| {
            let mut parameters = Parameters::default();
            parameters.set(name, value).expect(value);
            parameters
        };
        for (value, channels) in [("1", 1), ("255", 255), ("0x10", 16), ("010", 8), ("+7", 7)] {
            let parameters = with("nf_conntrack_irc/max_dcc_channels", value);
            assert_eq!(parameters.irc_max_dcc_channels, channels, "{value}");
        }
        assert_eq!(with("irc/dcc_timeout", "4294967295").irc_dcc_timeout, u32::MAX);
        for value in ["1", "Y", "on", "true"] {
            assert!(with("ftp/loose", value).ftp_loose, "{value}");
        }
        for (value, is) in [("-2", true), ("0", false), ("-2147483648", true)] {
            assert_eq!(with("sip/sip_direct_media", value).sip_direct_media, is, "{value}");
        }
    }
}
