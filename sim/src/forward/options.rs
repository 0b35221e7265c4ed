// SPDX-License-Identifier: GPL-2.0-only
//! Options of IP headers: which ones a router throws a packet away for.
//!
//! ```text
//!   IPv4   conntrack ─▶ options ─▶ route      a bad one is tracked, and never confirmed; what the
//!                                             host itself sends has none looked at
//!   IPv6   options ─▶ conntrack ─▶ route      a bad one is seen by nobody
//! ```
//!
//! The rule that matters: IPv6 reads its hop-by-hop header before anything else.

use nfexp_traces::packet::{Datagram, Ends};

/// Options that one hop-by-hop header may have, beside padding (`max_hbh_opts_number`).
const MOST_HOP_OPTIONS: u32 = 8;
/// Padding between two of them is at most so long.
const LONGEST_PADDING: usize = 7;

/// Whether a router takes a datagram in at all: one of IPv4 if it does not end within its header;
/// one of IPv6 if what its hop-by-hop header says is heeded, or may be ignored.
///
/// # Source
/// `ip_rcv_core()`, `ip6_rcv_core()`, `ip6_parse_tlv()`, 6.18.
pub(super) fn is_taken_in(datagram: &Datagram<'_>) -> bool {
    match datagram.ends {
        Ends::V4(_) => datagram.options != [0xff],
        Ends::V6(_) => are_hop_options_valid(datagram.options),
    }
}

fn are_hop_options_valid(options: &[u8]) -> bool {
    let (mut rest, mut count, mut padding) = (options, 0, 0);
    while let [kind, after @ ..] = rest {
        // Behind a header of forty bytes, and two of its own.
        let offset = 42 + options.len() - rest.len();
        let length = match (kind, after) {
            (0, _) => 1,
            (_, [length, ..]) => usize::from(*length) + 2,
            _ => return false,
        };
        let Some(option) = rest.get(..length) else { return false };
        rest = &rest[length..];
        let value = option.get(2..).unwrap_or_default();
        if matches!(kind, 0 | 1) {
            padding += length;
            if padding > LONGEST_PADDING || value.iter().any(|&byte| byte != 0) {
                return false;
            }
            continue;
        }
        (count, padding) = (count + 1, 0);
        let valid = match kind {
            // Router alert.
            5 => length == 4,
            // CALIPSO: as CIPSO in IPv4.
            7 => false,
            // IOAM, which no interface here listens to.
            49 => offset.is_multiple_of(4),
            // A jumbogram: longer than what a header that says its length can carry.
            0xc2 => false,
            // Unknown: the upper bits say whether that matters.
            _ => kind >> 6 == 0,
        };
        if !valid || count > MOST_HOP_OPTIONS {
            return false;
        }
    }
    true
}

/// Whether the options of an IPv4 header make sense; a source route is never followed.
///
/// # Source
/// `__ip_options_compile()`, `ip_rcv_options()`, 6.18, with `accept_source_route` off.
pub(super) fn are_options_valid(mut options: &[u8]) -> bool {
    let (mut recorded, mut stamped) = (false, false);
    while let [kind, rest @ ..] = options {
        match kind {
            0 => return true,
            1 => {
                options = rest;
                continue;
            }
            _ => {}
        }
        let Some(length) = rest.first().map(|length| usize::from(*length)) else {
            return false;
        };
        if length < 2 || length > options.len() {
            return false;
        }
        let option = &options[..length];
        let next = option.get(2).map_or(0, |next| usize::from(*next));
        let valid = match kind {
            // Source routes; and CIPSO, which is known where labels are (`CONFIG_NETLABEL`), and
            // there wants a domain that somebody configured.
            131 | 137 | 134 => false,
            // Record route.
            7 => {
                let again = std::mem::replace(&mut recorded, true);
                !again && length >= 3 && next >= 4 && (next > length || next + 3 <= length)
            }
            // Time stamps, alone or with addresses.
            68 => {
                let again = std::mem::replace(&mut stamped, true);
                let (mode, missed) = option.get(3).map_or((0, 0), |mode| (mode & 15, mode >> 4));
                let room = if matches!(mode, 1 | 3) { 7 } else { 3 };
                // KERNEL: __ip_options_compile(), all revisions: who asks named hosts counts none.
                let full = missed == 15 && mode != 3;
                let fits = if next > length { !full } else { next + room <= length };
                !again && length >= 4 && next >= 5 && fits
            }
            // Router alert.
            148 => length >= 4,
            _ => true,
        };
        if !valid {
            return false;
        }
        options = &options[length..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_looked_at() {
        for (options, valid) in [
            (&[134, 8, 0, 0, 0, 5, 1, 2][..], false),
            (&[1, 1, 0, 0xff][..], true),
            (&[148, 4, 0, 0], true),
            (&[10, 0xa1, 1, 1], false),
            (&[10, 2, 10, 2], true),
            (&[10, 1, 0, 0], false),
            (&[7, 7, 4, 0, 0, 0, 0, 0], true),
            (&[7, 6, 4, 0, 0, 0, 0, 0], false),
            (&[7, 3, 4, 0], true),
            (&[7, 3, 3, 0], false),
            (&[7, 2, 4, 0], false),
            (&[7, 7, 7, 0, 0, 0, 0], false),
            (&[7, 7, 8, 0, 0, 0, 0], true),
            (&[7, 3, 4, 7, 3, 4], false),
            (&[131, 7, 4, 10, 0, 0, 1, 0], false),
            (&[68], false),
            (&[68, 4, 5, 0xe1], true),
            (&[68, 4, 5, 0xf1], false),
            (&[68, 4, 5, 0xf3], true),
            (&[68, 4, 4, 0], false),
            (&[68, 3, 5, 0], false),
            (&[68, 4, 5, 0, 68, 4, 5, 0], false),
            (&[68, 8, 5, 0, 0, 0, 0, 0], true),
            (&[68, 8, 6, 0, 0, 0, 0, 0], false),
            (&[68, 8, 8, 0, 0, 0, 0, 0], false),
            (&[68, 8, 9, 0, 0, 0, 0, 0], true),
            (&[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0], true),
            (&[68, 12, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0], false),
            (&[148, 3, 0], false),
        ] {
            assert_eq!(are_options_valid(options), valid, "{options:?}");
        }
    }

    #[test]
    fn hop_by_hop_options_are_looked_at() {
        let unknown = |count: usize| [0x1e, 0].repeat(count);
        for (options, valid) in [
            (&[][..], true),
            (&[1, 4, 0, 0, 0, 0], true),
            (&[1, 4, 0, 0, 1, 0], false),
            (&[0, 0, 0, 0, 0, 0], true),
            (&[0; 14], false),
            (&[0, 0, 0, 0, 0, 0, 0, 0x1e, 0], true),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0x1e, 0], false),
            (&[1, 2, 0, 0, 1, 0], true),
            (&[1, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0], false),
            (&[5, 2, 0, 0, 1, 0], true),
            (&[5, 1, 0, 0, 1, 0], false),
            (&[0x1e, 2, 0, 0, 1, 0], true),
            (&[0x5e, 2, 0, 0, 1, 0], false),
            (&[0x9e, 2, 0, 0, 1, 0], false),
            (&[0xde, 2, 0, 0, 1, 0], false),
            (&[0xc2, 4, 0, 1, 0, 0], false),
            (&[7, 8, 0, 0, 0, 5, 0, 0, 0, 0, 1, 0], false),
            (&[49, 2, 0, 0, 1, 0], false),
            (&[1, 0, 49, 2, 0, 0], true),
            (&[0x1e, 32, 0, 0, 1, 0], false),
            (&[0xff], false),
            (&unknown(8), true),
            (&unknown(9), false),
        ] {
            assert_eq!(are_hop_options_valid(options), valid, "{options:?}");
        }
    }
}
