// SPDX-License-Identifier: GPL-2.0-only
//! Numbers of a SIP message: as far as they fit, or, in old kernels, as C reads them.
//!
//! The rule that matters: a number that does not fit is none where it is read strictly, and wraps
//! where it is not.
//!
//! # Source
//! `sip_parse_port()`, `sip_strtouint()` of `nf_conntrack_sip.c`, 6.18; `simple_strtoul()`, v3.10.

use nfexp_model::revision::SipScan;

use super::scan::Scan;

/// The port where none is written.
const SIP_PORT: u16 = 5060;
/// The most digits of a number.
const MOST_DIGITS: usize = 11;

impl Scan<'_> {
    /// The port behind an address, and where it ends; the usual one where there is none. Read
    /// strictly, something must follow.
    #[doc(alias = "sip_parse_port")]
    pub(super) fn port(&self, at: usize) -> Option<(u16, usize)> {
        let first = match self.way {
            SipScan::Strict => Some(self.byte(at)?),
            SipScan::Lenient => self.packet.get(at).copied(),
        };
        if first != Some(b':') {
            return Some((SIP_PORT, at));
        }
        let (number, end) = self.number(at + 1);
        if self.way == SipScan::Strict {
            self.byte(end).filter(|_| (1..=5).contains(&(end - at - 1)))?;
        }
        let port = u16::try_from(number).ok().filter(|&port| port >= 1024)?;
        Some((port, end))
    }

    /// A decimal number and where it ends. Read strictly, one beyond 32 bits, or of more than eleven
    /// digits, is 0 and ends where it begins, like one without digits.
    #[doc(alias = "sip_strtouint")]
    #[doc(alias = "simple_strtoul")]
    pub(super) fn number(&self, at: usize) -> (u32, usize) {
        if self.way == SipScan::Lenient {
            return self.wrapped(at, 10);
        }
        let len = self.digits(at);
        let digits = self.text.get(at..at + len).unwrap_or_default();
        let value = digits.iter().take(MOST_DIGITS).fold(0_u64, |value, digit| {
            value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        match u32::try_from(value) {
            Ok(value) if len <= MOST_DIGITS => (value, at + len),
            _ => (0, at),
        }
    }

    /// The number of a parameter: in old kernels it may be octal or hexadecimal.
    #[doc(alias = "ct_sip_parse_numerical_param")]
    pub(super) fn parameter_number(&self, at: usize) -> (u32, usize) {
        let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        let byte = |at: usize| self.packet.get(at).copied();
        match byte(at) {
            Some(b'0') if self.way == SipScan::Lenient => {
                let marked = matches!(byte(at + 1), Some(b'x' | b'X'));
                let hex = marked && is_hex(byte(at + 2));
                if hex { self.wrapped(at + 2, 16) } else { self.wrapped(at, 8) }
            }
            _ => self.number(at),
        }
    }

    /// Digits as far as they go, beyond the message as well, in 64 bits and then in 32.
    fn wrapped(&self, at: usize, radix: u32) -> (u32, usize) {
        let rest = self.packet.get(at..).unwrap_or_default();
        let digits = rest.iter().map_while(|byte| char::from(*byte).to_digit(radix));
        let (value, len) = digits.fold((0_u64, 0), |(value, len), digit| {
            let value = value.wrapping_mul(u64::from(radix)).wrapping_add(u64::from(digit));
            (value, len + 1)
        });
        (value as u32, at + len)
    }
}
