// SPDX-License-Identifier: GPL-2.0-only
//! Fragments put together, as it happens before connection tracking sees anything.
//!
//! A datagram comes out with its last missing fragment. Fragments that overlap end their
//! datagram; a repetition is ignored. (The goldens of `captures/lies` hold the finer rules.)
//!
//! A fragment of IPv6 that is the whole datagram comes out at once, unless others of its name wait: it
//! overlaps them.
//!
//! The rule that matters: memory is bounded as the kernel bounds it, by what a fragment costs
//! and not by what it carries, and a step costs little however many wait.
//!
//! # Source
//! `nf_defrag_ipv4`, `nf_defrag_ipv6`, `inet_frag_queue_insert()`, 6.18; RFC 5722.

use std::collections::{BTreeMap, BTreeSet};

use nfexp_model::tuple::{Addr, L3, Proto};

use crate::packet::{Datagram, Ends, Fragment};

/// All fragments of a family may take so many bytes (`ipfrag_high_thresh`,
/// `nf_conntrack_frag6_high_thresh`).
const MOST_BYTES: usize = 4 << 20;
/// What a datagram takes beside its fragments (`struct ipq`, `struct frag_queue`).
const QUEUE_BYTES: [usize; 2] = [200, 184];
/// So many fragments of IPv4 from one source may come between two of a datagram
/// (`ipfrag_max_dist`).
const FARTHEST: u32 = 64;
/// So much is the most that a header can say of a datagram's length.
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
    /// Runs of fragments that followed each other, by offset; they do not overlap.
    runs: BTreeMap<usize, Vec<u8>>,
    /// How many bytes they hold, and what that and the rest takes.
    carried: usize,
    bytes: usize,
    /// Where the datagram ends, as far as is known, and whether its last fragment said so.
    end: usize,
    last_in: bool,
    /// How many bytes of headers its first fragment has before them all.
    headers: usize,
    /// When waiting ends.
    deadline_ns: i64,
    /// How many fragments its source had sent with the last of them.
    heard: u32,
    /// The transport protocol, which for IPv6 only the first fragment is sure to name.
    proto: Proto,
    /// The options of its first fragment, of IPv4: they are the whole datagram's.
    options: Vec<u8>,
}

/// What becomes of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It waits.
    Held,
    /// It is dropped, as one that was there already, and the others wait on.
    Dropped,
    /// It spoils its datagram.
    Spoils,
    /// It spoils its datagram and goes its way as it is.
    Passes,
}

/// Datagrams of which parts are missing.
#[derive(Debug, Default)]
pub struct Defrag {
    queues: BTreeMap<Key, Queue>,
    /// What those of IPv4 take, and those of IPv6.
    bytes: [usize; 2],
    /// How many fragments of IPv4 a source sent, at least as long as any of them wait.
    heard: BTreeMap<Addr, u32>,
    /// No deadline is before this one.
    earliest_ns: Option<i64>,
    /// The datagram that came out last.
    whole: Vec<u8>,
    /// Its options.
    options: Vec<u8>,
    /// Its addresses; of IPv4 they are the first eight bytes.
    ends: [u8; 32],
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
        if lacks_headers(part, fragment) {
            return Some(self.as_it_is(part, fragment));
        }
        let Datagram { ends, proto, body, .. } = *part;
        let (l3, src, dst) = (ends.l3(), ends.src(), ends.dst());
        let key_proto = if l3 == L3::Ipv4 { proto } else { Proto(0) };
        let key = Key { l3, src, dst, id: fragment.id, proto: key_proto };
        let family = family(l3);
        // KERNEL: inet_frag_find(), 6.18: once more is held, nobody looks whose fragment it is.
        if self.bytes[family] > MOST_BYTES {
            return None;
        }
        // 30 s for IPv4, 60 s for IPv6.
        let patience_secs = if l3 == L3::Ipv4 { 30 } else { 60 };
        let deadline_ns = time_ns.saturating_add(patience_secs * 1_000_000_000);
        let earliest_ns = self.earliest_ns.unwrap_or(deadline_ns);
        self.earliest_ns = Some(earliest_ns.min(deadline_ns));
        let bytes = QUEUE_BYTES[family];
        let new = || Queue { deadline_ns, proto, bytes, ..Queue::default() };
        if self.heard.len() > 2 * self.queues.len() {
            let waiting: BTreeSet<Addr> = self.queues.keys().map(|key| key.src).collect();
            self.heard.retain(|src, _| waiting.contains(src));
        }
        let before = self.queues.get(&key).map_or(0, |queue| queue.bytes);
        let queue = self.queues.entry(key).or_insert_with(new);
        if l3 == L3::Ipv4 {
            let heard = self.heard.entry(src).or_default();
            *heard = heard.wrapping_add(1);
            // KERNEL: ip_frag_too_far(), ip_frag_reinit(), 6.18: numbers come again, so what is old
            // is of another datagram.
            if !queue.runs.is_empty() && heard.wrapping_sub(queue.heard) > FARTHEST {
                *queue = new();
            }
            queue.heard = *heard;
        }
        let fit = queue.insert(l3, fragment, proto, body);
        if l3 == L3::Ipv4 && fit == Fit::Held && fragment.offset == 0 {
            queue.options = part.options.to_vec();
        }
        self.bytes[family] = self.bytes[family] + queue.bytes - before;
        match fit {
            Fit::Held if queue.is_whole() => {}
            Fit::Held | Fit::Dropped => return None,
            Fit::Spoils | Fit::Passes => {}
        }
        let queue = self.queues.remove(&key)?;
        self.bytes[family] -= queue.bytes;
        match fit {
            Fit::Spoils => return None,
            Fit::Passes => return Some(self.as_it_is(part, fragment)),
            // KERNEL: ip_frag_reasm(), nf_ct_frag6_reasm(), all revisions: too long to be one.
            Fit::Held | Fit::Dropped if queue.headers + queue.end > LONGEST => return None,
            Fit::Held | Fit::Dropped => {}
        }
        self.whole.clear();
        queue.runs.values().for_each(|run| self.whole.extend_from_slice(run));
        self.options = queue.options;
        let (proto, fragment) = (queue.proto, None);
        let (marked, trackable) = (false, true);
        let ends = kept(&mut self.ends, ends);
        let (body, options) = (&self.whole, &self.options);
        let datagram = Datagram { ends, proto, fragment, marked, options, trackable, body };
        Some(if l3 == L3::Ipv6 { datagram.behind_all_extensions() } else { datagram })
    }

    /// A fragment goes on alone: only the first one has ports.
    fn as_it_is<'a>(&'a mut self, part: &Datagram<'_>, fragment: Fragment) -> Datagram<'a> {
        self.whole.clear();
        self.whole.extend_from_slice(part.body);
        let (trackable, options) = (fragment.offset == 0, &[][..]);
        let Datagram { proto, marked, .. } = *part;
        let (ends, fragment) = (kept(&mut self.ends, part.ends), None);
        let body = &self.whole;
        let alone = Datagram { ends, proto, fragment, marked, options, trackable, body };
        alone.behind_all_extensions()
    }

    /// Drops what waited too long.
    fn forget(&mut self, time_ns: i64) {
        if self.earliest_ns.is_none_or(|earliest_ns| time_ns < earliest_ns) {
            return;
        }
        let bytes = &mut self.bytes;
        self.queues.retain(|key, queue| {
            let waits = time_ns < queue.deadline_ns;
            if !waits {
                bytes[family(key.l3)] -= queue.bytes;
            }
            waits
        });
        self.earliest_ns = self.queues.values().map(|queue| queue.deadline_ns).min();
    }
}

fn family(l3: L3) -> usize {
    usize::from(l3 == L3::Ipv6)
}

/// What the buffer of a fragment takes that a device like the recordings' hands over; others leave more
/// or less room before it, so that where memory ends is exact for those alone.
///
/// # Source
/// `tun_get_user()`, `__alloc_skb()`, 6.18, of 64 bits: room before it and `skb_shared_info` behind, in
/// one piece of the allocator's sizes, of which there is a small one of its own; what is longer lies in
/// whole pages; and the `sk_buff`.
fn truesize(l3: L3, carried: usize) -> usize {
    const ROOM: usize = 64;
    const SHARED: usize = 320;
    const SMALL: usize = 576;
    const PAGE: usize = 4096;
    const BUFFER: usize = 256;
    let length = carried + if l3 == L3::Ipv4 { 20 } else { 40 + 8 };
    let linear = length.min(PAGE - SHARED - ROOM);
    let pages = (length - linear).next_multiple_of(PAGE);
    let head = match (ROOM + linear).next_multiple_of(64) + SHARED {
        ..=SMALL => SMALL,
        head => head.next_power_of_two(),
    };
    BUFFER + head + pages
}

/// The same addresses, in `space`.
fn kept<'a>(space: &'a mut [u8; 32], ends: Ends<'_>) -> Ends<'a> {
    match ends {
        Ends::V4(both) => {
            space[..8].copy_from_slice(both);
            Ends::V4(space.first_chunk().expect("eight of thirty-two"))
        }
        Ends::V6(both) => {
            *space = *both;
            Ends::V6(space)
        }
    }
}

/// Whether a first fragment of IPv6 ends within its headers; such a one is not held.
///
/// # Source
/// `ipv6frag_thdr_truncated()`, 6.18.
fn lacks_headers(part: &Datagram<'_>, fragment: Fragment) -> bool {
    if part.ends.l3() != L3::Ipv6 || fragment.offset != 0 {
        return false;
    }
    let mut inner = Datagram { fragment: None, ..*part }.behind_extensions();
    // KERNEL: ipv6_skip_exthdr(), 6.18: a fragment's header within goes by, unless it names a later
    // part.
    while let Some(within) = inner.fragment.take() {
        if within.offset != 0 {
            return false;
        }
        inner = inner.behind_extensions();
    }
    let needs = match inner.proto {
        // Nothing.
        Proto(59) => return false,
        Proto::TCP => 20,
        Proto::UDP | Proto::ICMPV6 => 8,
        _ => 1,
    };
    // KERNEL: where a header itself is cut, nothing is said of what follows.
    inner.trackable && inner.body.len() < needs
}

impl Queue {
    /// Whether every byte up to the last is there: runs do not overlap, so counting is enough.
    fn is_whole(&self) -> bool {
        self.last_in && self.end == self.carried && self.runs.contains_key(&0)
    }

    /// Adds a fragment, in the order of the kernel's checks.
    ///
    /// # Source
    /// `ip_frag_queue()`, `nf_ct_frag6_queue()`, 6.18.
    fn insert(&mut self, l3: L3, fragment: Fragment, proto: Proto, body: &[u8]) -> Fit {
        let is_ipv4 = l3 == L3::Ipv4;
        // KERNEL: ip_frag_queue() ends the datagram where nf_ct_frag6_queue() drops a fragment.
        let wrong = if is_ipv4 { Fit::Spoils } else { Fit::Dropped };
        let (start, mut end) = (fragment.offset, fragment.offset + body.len());
        if end > LONGEST && !is_ipv4 {
            return Fit::Dropped;
        }
        if fragment.more {
            if !end.is_multiple_of(8) {
                if !is_ipv4 {
                    return Fit::Passes;
                }
                end -= end % 8;
            }
            if end > self.end {
                if self.last_in {
                    return wrong;
                }
                self.end = end;
            }
        } else {
            if end < self.end || (self.last_in && end != self.end) {
                return wrong;
            }
            (self.last_in, self.end) = (true, end);
        }
        if end <= start {
            return wrong;
        }
        if start == 0 {
            self.headers = fragment.headers;
        }
        let fit = self.add(start, &body[..end - start], proto);
        if fit == Fit::Held {
            self.bytes += truesize(l3, body.len());
        }
        fit
    }

    /// Finds the fragment's place among the runs.
    ///
    /// # Source
    /// `inet_frag_queue_insert()`, 6.18: what lies within one run is a repetition, whatever it
    /// holds; what overlaps otherwise spoils the datagram.
    fn add(&mut self, start: usize, body: &[u8], proto: Proto) -> Fit {
        let end = start + body.len();
        let last_end = self.runs.last_key_value().map_or(0, |(at, run)| at + run.len());
        let run = match end > last_end {
            true if start < last_end => return Fit::Spoils,
            true => self.runs.last_entry().filter(|_| start == last_end),
            false => {
                let before = self.runs.range(..end).next_back();
                let before = before.filter(|(at, run)| *at + run.len() > start);
                if let Some((at, run)) = before {
                    let within = start >= *at && end <= at + run.len();
                    // KERNEL: ip_frag_queue(), nf_ct_frag6_queue(), 6.18: only what is kept makes
                    // them look whether all are there.
                    return if within { Fit::Dropped } else { Fit::Spoils };
                }
                None
            }
        };
        match run {
            Some(mut run) => run.get_mut().extend_from_slice(body),
            None => drop(self.runs.insert(start, body.to_vec())),
        }
        if start == 0 {
            self.proto = proto;
        }
        self.carried += body.len();
        Fit::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: usize, more: bool, body: &[u8]) -> (Datagram<'_>, Fragment) {
        let fragment = Fragment { id: 7, offset, more, headers: 20, may_split: true };
        let (ends, proto) = (Ends::V4(&[0; 8]), Proto::UDP);
        let (options, marked, trackable) = (&[][..], true, true);
        let whole = Some(fragment);
        (Datagram { ends, proto, fragment: whole, marked, options, trackable, body }, fragment)
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
        assert_eq!(play(&[(0, true, a), (8, true, a), (24, false, b)]), [None, None, None]);
        let out = play(&[(0, true, a), (8, true, b), (16, false, b)]);
        assert_eq!(out[2], Some([a, b].concat()), "what lies within is a repetition");
        let out = play(&[(0, true, a), (0, true, a), (16, false, b)]);
        assert_eq!(out[2], Some([a, b].concat()));
    }

    #[test]
    fn the_only_fragment_comes_out_unless_others_wait() {
        let (only, end) = ((0, false, [1; 24].as_slice()), (8, false, [2; 16].as_slice()));
        assert_eq!(play(&[only]), [Some(vec![1; 24])]);
        let first = (0, true, &only.2[..8]);
        assert_eq!(play(&[end, only, first]), [None, None, None], "together they are spoilt");
        assert_eq!(play(&[end, only, only]), [None, None, Some(vec![1; 24])]);
    }

    #[test]
    fn what_would_be_too_long_never_comes_out() {
        let (most, rest) = ([0; 65_504].as_slice(), [0; 16].as_slice());
        let whole =
            |last| play(&[(0, true, most), (65_504, false, last)])[1].as_deref().map(<[_]>::len);
        assert_eq!(whole(&rest[..11]), Some(65_515), "with the header, 65,535 bytes");
        assert_eq!(whole(&rest[..12]), None);
        // It was complete: what comes later begins another.
        let parts =
            [(0, true, most), (65_504, false, rest), (0, true, &rest[..8]), (8, false, rest)];
        assert_eq!(play(&parts)[3].as_deref().map(<[_]>::len), Some(24));
        // Of IPv6 the header does not count.
        let longest = |last: &[u8]| {
            let mut defrag = Defrag::default();
            [(0, true, &[0; 65_528][..]), (65_528, false, last)].map(|(offset, more, body)| {
                let (datagram, fragment) = part(offset, more, body);
                let (datagram, fragment) = (
                    Datagram { ends: Ends::V6(&[0; 32]), ..datagram },
                    Fragment { headers: 0, ..fragment },
                );
                defrag.take(0, &datagram, fragment).map(|whole| whole.body.len())
            })[1]
        };
        assert_eq!([7, 8].map(|bytes| longest(&[0; 8][..bytes])), [Some(65_535), None]);
    }

    #[test]
    fn a_fragment_within_a_fragment_needs_headers_too() {
        // Sixteen bytes of TCP, behind the header of a first and of a later part.
        let (headers, end) = ([[6, 0, 0, 1, 0, 0, 0, 9], [6, 0, 0, 9, 0, 0, 0, 9]], [7; 8]);
        let out = headers.map(|within| {
            let mut defrag = Defrag::default();
            let first = [&within[..], &[0; 16]].concat();
            let parts = [(24, false, &end[..]), (0, true, &first[..])];
            parts.map(|(offset, more, body)| {
                let (datagram, fragment) = part(offset, more, body);
                let (ends, proto) = (Ends::V6(&[0; 32]), Proto(44));
                let datagram = Datagram { ends, proto, ..datagram };
                defrag.take(0, &datagram, fragment).map(|whole| whole.body.len())
            })
        });
        assert_eq!(out[0], [None, Some(16)], "it goes on alone");
        assert_eq!(out[1][0], None);
        assert_ne!(out[1][1], Some(16), "it is held, and comes out with the other");
    }

    #[test]
    fn a_first_fragment_may_end_where_a_header_would_begin() {
        let mut defrag = Defrag::default();
        // Destination options, and behind them another fragment's header.
        let parts =
            [(0, true, &[44, 0, 1, 4, 0, 0, 0, 0][..]), (8, false, &[6, 0, 0, 0, 0, 0, 0, 9])];
        let out = parts.map(|(offset, more, body)| {
            let (datagram, fragment) = part(offset, more, body);
            let datagram = Datagram { ends: Ends::V6(&[0; 32]), proto: Proto(60), ..datagram };
            defrag.take(0, &datagram, fragment).map(|whole| whole.proto)
        });
        assert_eq!(out, [None, Some(Proto::TCP)], "it is held until the other comes");
    }

    #[test]
    fn a_first_fragment_says_what_follows_and_how_long_its_header_is() {
        let (most, rest) = ([0; 65_464].as_slice(), [0; 16].as_slice());
        // Of 60 bytes, where those behind it have 20. Of IPv4 all say the same protocol.
        let play = |ends, other, last: &[u8], first_is_last: bool| {
            let mut defrag = Defrag::default();
            let mut parts = [(0, true, most, 60, Proto::TCP), (most.len(), false, last, 20, other)];
            if first_is_last {
                parts.reverse();
            }
            let mut whole = parts.map(|(offset, more, body, headers, proto)| {
                let (datagram, fragment) = part(offset, more, body);
                let datagram = Datagram { ends, proto, ..datagram };
                let whole = defrag.take(0, &datagram, Fragment { headers, ..fragment });
                whole.map(|whole| (whole.proto, whole.body.len()))
            });
            assert_eq!((whole[0], defrag.bytes), (None, [0; 2]), "nothing is held any more");
            whole[1].take()
        };
        for (ends, other) in [(Ends::V4(&[0; 8]), Proto::TCP), (Ends::V6(&[0; 32]), Proto::UDP)] {
            for first_is_last in [false, true] {
                let whole = [11, 12].map(|bytes| play(ends, other, &rest[..bytes], first_is_last));
                assert_eq!(whole, [Some((Proto::TCP, 65_475)), None], "{ends:?} {first_is_last}");
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut defrag = Defrag::default();
        let body = [0; 4096];
        for id in 0..4096 {
            let (datagram, fragment) = part(0, true, &body);
            defrag.take(0, &datagram, Fragment { id, ..fragment });
            assert!(defrag.bytes[0] <= MOST_BYTES + truesize(L3::Ipv4, 4096) + QUEUE_BYTES[0]);
        }
        let (datagram, fragment) = part(0, true, &body);
        defrag.take(31_000_000_000, &datagram, fragment);
        let one = truesize(L3::Ipv4, 4096) + QUEUE_BYTES[0];
        assert_eq!(defrag.bytes[0], one, "the old ones are forgotten");
    }

    /// As measured at the running kernel: of so many beginnings of datagrams all come out whole, of one
    /// more none.
    #[test]
    fn what_waits_takes_what_it_takes_in_the_kernel() {
        for (l3, carried, most) in [
            (L3::Ipv4, 16, 4064),
            (L3::Ipv4, 64, 4064),
            (L3::Ipv6, 64, 4128),
            (L3::Ipv4, 200, 2833),
            (L3::Ipv4, 1400, 1675),
            (L3::Ipv4, 2000, 921),
            (L3::Ipv4, 5000, 485),
            (L3::Ipv4, 9000, 329),
            (L3::Ipv4, 20_000, 200),
        ] {
            let one = truesize(l3, carried) + QUEUE_BYTES[family(l3)];
            assert_eq!(MOST_BYTES / one, most, "{carried}");
        }
    }

    /// Once more is held than may be, nobody looks whether a fragment would free some.
    #[test]
    fn who_holds_too_much_completes_nothing() {
        for (count, whole) in [(4064, 4064), (4500, 0)] {
            let mut defrag = Defrag::default();
            let mut out = 0;
            for (offset, more) in [(0, true), (64, false)] {
                for id in 0..count {
                    let (datagram, fragment) = part(offset, more, &[0; 64]);
                    // Each of its own source: between two of one source only so many may come.
                    let [.., high, low] = u32::to_be_bytes(id);
                    let ends = [10, 0, high, low, 10, 1, 0, 1];
                    let datagram = Datagram { ends: Ends::V4(&ends), ..datagram };
                    out +=
                        u32::from(defrag.take(0, &datagram, Fragment { id, ..fragment }).is_some());
                }
            }
            assert_eq!(out, whole, "{count}");
        }
    }
}
