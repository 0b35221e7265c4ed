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

impl Parameters {
    /// Sets one as `/sys/module/MODULE/parameters/NAME` is written.
    ///
    /// # Errors
    /// What was expected.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bit = || match value {
            "1" | "y" | "Y" | "on" => Ok(true),
            "0" | "n" | "N" | "off" => Ok(false),
            other => match other.parse::<i32>() {
                Ok(number) => Ok(number != 0),
                Err(_) => Err(format!("parameter `{name}`: expected 0 or 1, found `{value}`")),
            },
        };
        let number = || {
            let number = value.parse::<u32>();
            number.map_err(|_| format!("parameter `{name}`: expected a number, found `{value}`"))
        };
        let (module, parameter) = name.split_once('/').unwrap_or((name, ""));
        match (module.trim_start_matches("nf_conntrack_"), parameter) {
            ("ftp", "loose") => self.ftp_loose = bit()?,
            ("amanda", "master_timeout") => self.amanda_master_timeout = number()?,
            ("netbios_ns", "timeout") => self.netbios_ns_timeout = number()?,
            ("snmp", "timeout") => self.snmp_timeout = number()?,
            ("sip", "sip_timeout") => self.sip_timeout = number()?,
            ("sip", "sip_direct_signalling") => self.sip_direct_signalling = bit()?,
            ("sip", "sip_direct_media") => self.sip_direct_media = bit()?,
            ("sip", "sip_external_media") => self.sip_external_media = bit()?,
            ("h323", "default_rrq_ttl") => self.h323_default_rrq_ttl = number()?,
            ("h323", "gkrouted_only") => self.h323_gkrouted_only = bit()?,
            ("h323", "callforward_filter") => self.h323_callforward_filter = bit()?,
            ("irc", "max_dcc_channels") => self.irc_max_dcc_channels = number()?,
            ("irc", "dcc_timeout") => self.irc_dcc_timeout = number()?,
            _ => return Err(format!("parameter `{name}`: expected one of a helper's module")),
        }
        Ok(())
    }
}
