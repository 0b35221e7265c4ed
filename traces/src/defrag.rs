// SPDX-License-Identifier: GPL-2.0-only
//! Fragments put together, as it happens before connection tracking sees anything.
//!
//! A datagram comes out with its last missing fragment. Fragments that overlap end their
//! datagram; an exact repetition is ignored.
//!
//! The rule that matters: memory is bounded as the kernel bounds it, by what a fragment costs
//! and not by what it carries, and a step costs little however many wait.
//!
//! # Source
//! `nf_defrag_ipv4`, `nf_defrag_ipv6`, `inet_frag_queue_insert()`, 6.18; RFC 5722.

use std::collections::BTreeMap;

use nfexp_model::tuple::{Addr, L3, Proto};

use crate::packet::{Datagram, Fragment};

/// All fragments together may take so many bytes (`ipfrag_high_thresh`).
const MOST_BYTES: usize = 4 << 20;
/// What a fragment takes beside its bytes: about the `truesize` of a buffer that holds nothing.
const FRAGMENT_BYTES: usize = 768;
/// A datagram is at most so long.
const LONGEST: usize = 65_535;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    l3: L3,
    src: Addr,
    dst: Addr,
    id: u32,
    proto: Proto,
}

#[derive(Debug, Default)]
struct Queue {
    /// By offset; they do not overlap.
    parts: BTreeMap<usize, Vec<u8>>,
    /// How many bytes they carry.
    carried: usize,
    /// Where the last one ends, once it is there.
    end: Option<usize>,
    /// When waiting ends.
    deadline_ns: i64,
    /// The transport protocol, which for IPv6 only the first fragment is sure to name.
    proto: Proto,
}

/// Datagrams of which parts are missing.
#[derive(Debug, Default)]
pub struct Defrag {
    queues: BTreeMap<Key, Queue>,
    bytes: usize,
    /// No deadline is before this one.
    earliest_ns: Option<i64>,
    /// The datagram that came out last.
    whole: Vec<u8>,
}

impl Defrag {
    /// Takes a fragment in at its time; answers the whole datagram if this completes one.
    pub fn take<'a>(
        &'a mut self,
        time_ns: i64,
        part: &Datagram<'_>,
        fragment: Fragment,
    ) -> Option<Datagram<'a>> {
        self.forget(time_ns);
        let Datagram { l3, src, dst, proto, body, .. } = *part;
        let key_proto = if l3 == L3::Ipv4 { proto } else { Proto(0) };
        let key = Key { l3, src, dst, id: fragment.id, proto: key_proto };
        if self.bytes + body.len() + FRAGMENT_BYTES > MOST_BYTES {
            return None;
        }
        // 30 s for IPv4, 60 s for IPv6.
        let patience_secs = if l3 == L3::Ipv4 { 30 } else { 60 };
        let deadline_ns = time_ns.saturating_add(patience_secs * 1_000_000_000);
        let earliest_ns = self.earliest_ns.unwrap_or(deadline_ns);
        self.earliest_ns = Some(earliest_ns.min(deadline_ns));
        let new = Queue { deadline_ns, proto, ..Queue::default() };
        let queue = self.queues.entry(key).or_insert(new);
        let before = queue.bytes();
        let fits = queue.insert(fragment, proto, body);
        self.bytes = self.bytes + queue.bytes() - before;
        if fits && !queue.is_whole() {
            return None;
        }
        let queue = self.queues.remove(&key)?;
        self.bytes -= queue.bytes();
        if !fits {
            return None;
        }
        self.whole.clear();
        queue.parts.values().for_each(|part| self.whole.extend_from_slice(part));
        let proto = queue.proto;
        let (fragment, options, trackable) = (None, &[][..], true);
        Some(Datagram { l3, src, dst, proto, fragment, options, trackable, body: &self.whole })
    }

    /// Drops what waited too long.
    fn forget(&mut self, time_ns: i64) {
        if self.earliest_ns.is_none_or(|earliest_ns| time_ns < earliest_ns) {
            return;
        }
        let bytes = &mut self.bytes;
        self.queues.retain(|_, queue| {
            let waits = time_ns < queue.deadline_ns;
            if !waits {
                *bytes -= queue.bytes();
            }
            waits
        });
        self.earliest_ns = self.queues.values().map(|queue| queue.deadline_ns).min();
    }
}

impl Queue {
    /// What it takes of the memory for all.
    fn bytes(&self) -> usize {
        self.carried + self.parts.len() * FRAGMENT_BYTES
    }

    /// Whether every byte up to the last is there: parts do not overlap, so counting is enough.
    fn is_whole(&self) -> bool {
        self.end == Some(self.carried)
    }

    /// Adds a part; false if the datagram is spoilt.
    fn insert(&mut self, fragment: Fragment, proto: Proto, body: &[u8]) -> bool {
        let (start, end) = (fragment.offset, fragment.offset + body.len());
        if end > LONGEST || (fragment.more && !body.len().is_multiple_of(8)) || body.is_empty() {
            return false;
        }
        let last_end = self.parts.last_key_value().map_or(0, |(at, part)| at + part.len());
        let bounded = match (fragment.more, self.end) {
            (false, Some(known)) => known == end,
            (false, None) => end >= last_end,
            (true, Some(known)) => end <= known,
            (true, None) => true,
        };
        if !bounded {
            return false;
        }
        if self.parts.get(&start).is_some_and(|part| part.len() == body.len()) {
            return true;
        }
        let before = self.parts.range(..=start).next_back();
        let after = self.parts.range(start..).next();
        if before.is_some_and(|(at, part)| at + part.len() > start)
            || after.is_some_and(|(at, _)| *at < end)
        {
            return false;
        }
        if start == 0 {
            self.proto = proto;
        }
        if !fragment.more {
            self.end = Some(end);
        }
        self.carried += body.len();
        self.parts.insert(start, body.to_vec());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: usize, more: bool, body: &[u8]) -> (Datagram<'_>, Fragment) {
        let fragment = Fragment { id: 7, offset, more };
        let (src, dst) = (Addr::default(), Addr::default());
        let (l3, proto) = (L3::Ipv4, Proto::UDP);
        let (whole, options, trackable) = (Some(fragment), &[][..], true);
        (Datagram { l3, src, dst, proto, fragment: whole, options, trackable, body }, fragment)
    }

    fn play(parts: &[(usize, bool, &[u8])]) -> Vec<Option<Vec<u8>>> {
        let mut defrag = Defrag::default();
        let come_out = parts.iter().map(|&(offset, more, body)| {
            let (datagram, fragment) = part(offset, more, body);
            defrag.take(0, &datagram, fragment).map(|whole| whole.body.to_vec())
        });
        come_out.collect()
    }

    #[test]
    fn the_last_missing_fragment_completes_in_any_order() {
        let (a, b, c) = ([1; 8].as_slice(), [2; 8].as_slice(), [3; 3].as_slice());
        let whole = Some([a, b, c].concat());
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let parts = [(0, true, a), (8, true, b), (16, false, c)];
            let out = play(&order.map(|at| parts[at]));
            assert_eq!(out, [None, None, whole.clone()]);
        }
    }

    #[test]
    fn an_overlap_spoils_the_datagram_and_a_repetition_does_not() {
        let (a, b) = ([1; 16].as_slice(), [2; 8].as_slice());
        assert_eq!(play(&[(0, true, a), (8, true, b), (16, false, b)]), [None, None, None]);
        let out = play(&[(0, true, a), (0, true, a), (16, false, b)]);
        assert_eq!(out[2], Some([a, b].concat()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut defrag = Defrag::default();
        let body = [0; 4096];
        for id in 0..4096 {
            let (datagram, _) = part(0, true, &body);
            defrag.take(0, &datagram, Fragment { id, offset: 0, more: true });
            assert!(defrag.bytes <= MOST_BYTES);
        }
        let (datagram, fragment) = part(0, true, &body);
        defrag.take(31_000_000_000, &datagram, fragment);
        assert_eq!(defrag.bytes, 4096 + FRAGMENT_BYTES, "the old ones are forgotten");
    }
}
