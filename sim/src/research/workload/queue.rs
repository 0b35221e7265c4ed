// SPDX-License-Identifier: GPL-2.0-only
//! What is still to come, by time; at one time, in the order it was entered.
//!
//! ```text
//!  begins   the next session of each source: few, and each always there
//!  latest   what was entered last, if nothing waits that comes before it
//!  later    all else, a heap
//! ```
//!
//! The rule that matters: wherever something waits, it comes when one heap of all would let it
//! come.
//!
//! Why: half of all that was entered into one heap was a session's first announcement, which is
//! the very next to come, or the next session of a class. A heap of everything took a third of the
//! time of a run whose workload is made while it is played.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Micros;

/// What is still to come; `T` is what happens then. Sessions are known by the number of their
/// source.
#[derive(Debug)]
pub(super) struct Queue<T> {
    entered: u64,
    begins: Vec<When>,
    /// The source that begins next, while it is known.
    first: Option<usize>,
    latest: Option<Entry<T>>,
    later: BinaryHeap<Entry<T>>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// A session of this source begins.
    Begins(usize),
    /// What was entered for now.
    Comes(T),
}

/// A moment, and which of those entered for it: as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct When(u128);

impl When {
    const NEVER: Self = Self(u128::MAX);

    #[inline]
    fn at(self) -> Micros {
        (self.0 >> 64) as Micros
    }
}

#[derive(Debug)]
struct Entry<T> {
    when: When,
    what: T,
}

impl<T> Queue<T> {
    /// Nothing is to come of so many sources.
    pub(super) fn new(sources: usize) -> Self {
        Self {
            entered: 0,
            begins: vec![When::NEVER; sources],
            first: None,
            latest: None,
            later: BinaryHeap::new(),
        }
    }

    #[inline]
    fn when(&mut self, at: Micros) -> When {
        self.entered += 1;
        When(u128::from(at) << 64 | u128::from(self.entered))
    }

    /// The next session of a source begins then; it replaces what was entered of it before.
    pub(super) fn begin(&mut self, source: usize, at: Micros) {
        self.begins[source] = self.when(at);
        self.first = None;
    }

    /// The source that begins next, and when.
    #[inline]
    fn first(&mut self) -> (usize, When) {
        let first = self.first.unwrap_or_else(|| {
            let all = self.begins.iter().enumerate();
            all.min_by_key(|(_, when)| **when).map_or(0, |(source, _)| source)
        });
        self.first = Some(first);
        (first, self.begins.get(first).copied().unwrap_or(When::NEVER))
    }

    /// This happens then.
    #[inline]
    pub(super) fn enter(&mut self, at: Micros, what: T) {
        let when = self.when(at);
        let entry = Entry { when, what };
        if self.latest.is_none() && self.later.peek().is_none_or(|top| when < top.when) {
            self.latest = Some(entry);
        } else {
            self.later.push(entry);
        }
    }

    /// What comes next, and when.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(Micros, Next<T>)> {
        let (source, begins) = self.first();
        let later = self.later.peek().map_or(When::NEVER, |top| top.when);
        if let Some(Entry { when, what }) =
            self.latest.take_if(|latest| latest.when < begins.min(later))
        {
            return Some((when.at(), Next::Comes(what)));
        }
        if begins < later {
            self.begins[source] = When::NEVER;
            self.first = None;
            return Some((begins.at(), Next::Begins(source)));
        }
        let Entry { when, what } = self.later.pop()?;
        Some((when.at(), Next::Comes(what)))
    }
}

/// The first is the greatest: the heap has that on top.
impl<T> Ord for Entry<T> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        other.when.cmp(&self.when)
    }
}

impl<T> PartialOrd for Entry<T> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.when == other.when
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::research::random::Stream;

    /// Every queue of a thousand is asked side by side with a list that is searched as a whole.
    #[test]
    fn whatever_waits_comes_by_time_then_by_order() {
        let mut stream = Stream::keyed(1, 0, "queue", "test");
        for sources in (0..4).cycle().take(1000) {
            let mut queue = Queue::new(sources);
            let mut plain: Vec<(Micros, u64, Next<u64>)> = Vec::new();
            let mut now = 0;
            for number in 0..60 {
                // Few moments, so that many things share one.
                let at = now + Micros::from(stream.below(4));
                match stream.below(5) {
                    0 if sources > 0 => {
                        let source = stream.below(sources as u32) as usize;
                        queue.begin(source, at);
                        plain.retain(|(_, _, next)| *next != Next::Begins(source));
                        plain.push((at, number, Next::Begins(source)));
                    }
                    0..3 => {
                        queue.enter(at, number);
                        plain.push((at, number, Next::Comes(number)));
                    }
                    _ => {
                        let all = plain.iter().enumerate();
                        let first = all.min_by_key(|(_, (at, number, _))| (*at, *number));
                        let first = first.map(|(place, _)| place).map(|place| plain.remove(place));
                        let expected = first.map(|(at, _, next)| (at, next));
                        now = expected.as_ref().map_or(now, |(at, _)| *at);
                        assert_eq!(queue.next(), expected);
                    }
                }
            }
        }
    }
}
