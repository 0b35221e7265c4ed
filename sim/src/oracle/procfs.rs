// SPDX-License-Identifier: GPL-2.0-only
//! What the namespace of the calling thread shows below `/proc/net`.
//!
//! The rule that matters: `/proc/net` is the process's, `/proc/thread-self/net` the thread's.

use std::fs::{self, File};
use std::io::{self, Read};

use nfexp_traces::transcript::Counters;

const LISTING: &str = "/proc/thread-self/net/nf_conntrack_expect";
const COUNTERS: &str = "/proc/thread-self/net/stat/nf_conntrack";

/// The lines of the listing: seconds, and the rest. As few calls as the file allows, for each
/// but the first resumes by a place in a table that all namespaces share.
///
/// # Errors
/// If it cannot be read.
pub(super) fn listing() -> Result<Vec<(i64, String)>, String> {
    let failed = |error: io::Error| format!("{LISTING}: {error}");
    let mut file = File::open(LISTING).map_err(failed)?;
    let mut text = Vec::new();
    let mut page = vec![0; 1 << 16];
    loop {
        match file.read(&mut page).map_err(failed)? {
            0 => return Ok(String::from_utf8_lossy(&text).lines().filter_map(row).collect()),
            length => text.extend_from_slice(&page[..length]),
        }
    }
}

/// The counters, over all processors.
///
/// # Errors
/// If they cannot be read.
pub(super) fn counters() -> Result<Counters, String> {
    let text = fs::read_to_string(COUNTERS).map_err(|error| format!("{COUNTERS}: {error}"))?;
    Ok(counted(&text))
}

fn counted(text: &str) -> Counters {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let mut sums = Counters::default();
    for line in lines {
        let words = line.split_whitespace();
        let numbers: Vec<u64> =
            words.filter_map(|word| u64::from_str_radix(word, 16).ok()).collect();
        let number = |name: &str| {
            let column = names.iter().position(|found| *found == name);
            column.and_then(|at| numbers.get(at)).copied().unwrap_or_default()
        };
        sums.expect_new += number("expect_new");
        sums.expect_create += number("expect_create");
        sums.expect_delete += number("expect_delete");
        sums.entries = number("entries");
    }
    sums
}

fn row(line: &str) -> Option<(i64, String)> {
    let (seconds, rest) = line.trim_start().split_once(' ')?;
    Some((seconds.parse().ok()?, rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_added_up_and_conntracks_are_not() {
        let text = "entries found expect_new expect_create expect_delete\n\
                    0000000a 00000001 00000002 00000010 00000001\n\
                    0000000a 00000000 00000001 00000001 00000000\n";
        let expected = Counters { expect_new: 3, expect_create: 17, expect_delete: 1, entries: 10 };
        assert_eq!(counted(text), expected);
    }

    #[test]
    fn a_line_of_the_listing_keeps_its_trailing_blank() {
        let line = "300 l3proto = 2 proto=17 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=9876 ";
        let (seconds, rest) = row(line).expect("a row");
        assert_eq!((seconds, rest.ends_with("dport=9876 ")), (300, true));
    }
}
