// SPDX-License-Identifier: GPL-2.0-only
//! The order of a listing, for an index that has no buckets: computed when somebody lists.
//!
//! ```text
//!   records ─▶ (bucket, newest first) ─▶ sorted once ─▶ walked by position
//! ```
//!
//! The order is that of the kernel's table: bucket by bucket as the revision's hash says, newest
//! first within each. What is removed after it was computed is skipped; an insertion makes the
//! next step compute it anew.
//!
//! The rule that matters: a walk stands at an expectation, not at a place, so it goes on rightly
//! in an order computed since.
//!
//! Why: leaving the bucket's hash out of insertion and lookup saves 7 ns of each; a listing of a
//! million pays them once (`nfexp bench listing`).

use core::cell::{Cell, RefCell};

use super::hlist::IndexOf;
use super::platform::{Plain, Platform};
use super::slab::{NULL, POISON, Slab};
use crate::expectation::Expectation;

/// One line of the listing, ordered as listings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    bucket: u32,
    /// Newest first: the complement of the age.
    youth: u64,
    index: u32,
}

/// The order, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    of: IndexOf,
    lines: RefCell<Vec<Line>>,
    known: Cell<bool>,
    /// Where the last answer stands.
    hint: Cell<usize>,
}

impl Listing {
    pub(super) fn new(of: IndexOf) -> Self {
        Self { of, lines: RefCell::default(), known: Cell::new(false), hint: Cell::new(0) }
    }

    /// Something was inserted.
    #[inline]
    pub(super) fn outdated(&self) {
        self.known.set(false);
    }

    pub(super) fn bucket_first<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        bucket: u32,
    ) -> u32 {
        self.know(slab);
        let lines = self.lines.borrow();
        let before = |line: &Line| line.bucket < bucket;
        // A walk over all buckets mostly asks for the one behind the last answer.
        let hint = self.hint.get().min(lines.len());
        let near = hint..(hint + 3).min(lines.len());
        let starts = near
            .clone()
            .find(|&place| !before(&lines[place]) && (place == 0 || before(&lines[place - 1])));
        let start = starts.unwrap_or_else(|| lines.partition_point(before));
        self.answer(slab, &lines, start, bucket)
    }

    pub(super) fn bucket_next<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        index: u32,
    ) -> u32 {
        self.know(slab);
        let lines = self.lines.borrow();
        let hint = self.hint.get();
        let stands = lines.get(hint).filter(|line| line.index == index);
        let (bucket, place) = match stands {
            Some(line) => (line.bucket, hint + 1),
            None => {
                let line = self.line(slab.at(index), index);
                (line.bucket, lines.partition_point(|other| *other <= line))
            }
        };
        self.answer(slab, &lines, place, bucket)
    }

    /// The whole listing, while nothing changes: no look waits for the one before.
    pub(super) fn walk<'a, P: Platform>(
        &self,
        slab: &'a Slab<P, Expectation<P>>,
        each: impl FnMut(&'a Expectation<P>),
    ) {
        self.know(slab);
        let lines = self.lines.borrow();
        let shown = lines.iter().map(|line| (line, slab.at(line.index)));
        let shown = shown.filter(|(line, exp)| is_linked(exp) && !exp.age.get() == line.youth);
        shown.map(|(_, exp)| exp).for_each(each);
    }

    /// The first at or behind `place` that is linked still, if it is of the bucket.
    fn answer<P: Platform>(
        &self,
        slab: &Slab<P, Expectation<P>>,
        lines: &[Line],
        place: usize,
        bucket: u32,
    ) -> u32 {
        for (place, line) in lines.iter().enumerate().skip(place) {
            if line.bucket != bucket {
                break;
            }
            let exp = slab.at(line.index);
            if is_linked(exp) && !exp.age.get() == line.youth {
                self.hint.set(place);
                return line.index;
            }
        }
        NULL
    }

    fn line<P: Platform>(&self, exp: &Expectation<P>, index: u32) -> Line {
        let bucket = self.of.hash.bucket(exp.net(), &exp.tuple());
        Line { bucket, youth: !exp.age.get(), index }
    }

    fn know<P: Platform>(&self, slab: &Slab<P, Expectation<P>>) {
        if self.known.replace(true) {
            return;
        }
        let here = |exp: &Expectation<P>| self.of.net.is_none_or(|net| exp.net() == net);
        let linked = (1..=slab.touched()).map(|index| (slab.at(index), index));
        let linked = linked.filter(|(exp, _)| is_linked(exp) && here(exp));
        let mut lines = self.lines.borrow_mut();
        lines.clear();
        lines.extend(linked.map(|(exp, index)| self.line(exp, index)));
        sort(&mut lines);
        self.hint.set(0);
    }
}

fn is_linked<P: Platform>(exp: &Expectation<P>) -> bool {
    !matches!(exp.hprev.get(), NULL | POISON)
}

/// Sorts: first spread by bucket, then each bucket for itself.
fn sort(lines: &mut Vec<Line>) {
    let Some(most) = lines.iter().map(|line| line.bucket).max() else { return };
    // Spreading pays as long as there are not many more buckets than lines.
    if most as usize > 4 * lines.len() + 1024 {
        lines.sort_unstable();
        return;
    }
    let mut starts = vec![0_u32; most as usize + 2];
    for line in lines.iter() {
        starts[line.bucket as usize + 1] += 1;
    }
    for bucket in 1..starts.len() {
        starts[bucket] += starts[bucket - 1];
    }
    let mut spread = vec![Line { bucket: 0, youth: 0, index: NULL }; lines.len()];
    for line in lines.iter() {
        let place = &mut starts[line.bucket as usize];
        spread[*place as usize] = *line;
        *place += 1;
    }
    // Each start has moved to its end.
    let mut from = 0;
    for &to in &starts[..=most as usize] {
        spread[from..to as usize].sort_unstable();
        from = to as usize;
    }
    *lines = spread;
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn prop_spreading_sorts(keys: Vec<(u8, u8)>) -> bool {
            let lines = keys.iter().zip(1..).map(|(&(bucket, youth), index)| {
                Line { bucket: bucket.into(), youth: youth.into(), index }
            });
            let mut lines: Vec<Line> = lines.collect();
            let mut expected = lines.clone();
            expected.sort();
            sort(&mut lines);
            lines == expected
        }
    }
}
