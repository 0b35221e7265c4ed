// SPDX-License-Identifier: GPL-2.0-only
//! Whether two answers agree.
//!
//! *Remaining time*: whole seconds, cut off; two agree if they are at most the tolerance apart.
//! *Order*: exact, or that inside a bucket, or none (see [`Order`]). Between buckets of a
//! kernel's hash table the order depends on a secret, inside one the newest comes first.
//!
//! The rule that matters: both sides are brought into the same order first, by what both have;
//! then they are compared position by position.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use super::answer::{Answer, Event, Order, Row};
use super::operation::Operation;
use super::parts::{Family, Parts};

/// What decides in which bucket an expectation is: its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketKey {
    l3: Family,
    proto: u8,
    dst: Option<IpAddr>,
    dport: u16,
    kind: u8,
    code: u8,
}

impl BucketKey {
    /// The bucket of a tuple.
    #[must_use]
    pub fn of(l3: Family, tuple: &Parts) -> Self {
        Self {
            l3,
            proto: tuple.proto.unwrap_or(0),
            dst: tuple.dst,
            dport: tuple.dport.unwrap_or(0),
            kind: tuple.kind.unwrap_or(0),
            code: tuple.code.unwrap_or(0),
        }
    }

    /// The bucket of a line of `/proc/net/nf_conntrack_expect`, without its seconds.
    #[must_use]
    pub fn of_proc_line(line: &str) -> Self {
        let mut parts = Parts::default();
        let mut l3 = Family::Any;
        let mut last = "";
        for word in line.split_ascii_whitespace() {
            if last == "=" {
                l3 = if word == "10" { Family::Ip6 } else { Family::Ip };
            }
            last = word;
            let Some((name, value)) = word.split_once('=') else { continue };
            let hex = |value: &str| u16::from_str_radix(value.trim_start_matches("0x"), 16).ok();
            match name {
                "proto" => parts.proto = value.parse().ok(),
                "dst" => parts.dst = value.parse().ok(),
                "dport" => parts.dport = value.parse().ok(),
                "dstkey" => parts.dport = hex(value),
                "type" => parts.kind = value.parse().ok(),
                "code" => parts.code = value.parse().ok(),
                _ => {}
            }
        }
        Self::of(l3, &parts)
    }
}

/// Where two answers part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field.
    pub field: &'static str,
    /// At which place of a list, after both sides were brought into order.
    pub place: Option<usize>,
    /// What the kernel said.
    pub kernel: String,
    /// What the model says.
    pub model: String,
}

impl Difference {
    /// The field, the place in it, and the first key within that of which both say something else:
    /// `ev[0].mask.src`.
    #[must_use]
    pub fn path(&self) -> String {
        let place = self.place.map_or_else(String::new, |place| format!("[{place}]"));
        let [kernel, model] = [&self.kernel, &self.model].map(|side| serde_json::from_str(side));
        let keys = match (kernel, model) {
            (Ok(kernel), Ok(model)) => keys_to_difference(&kernel, &model),
            _ => Vec::new(),
        };
        let keys: String = keys.iter().map(|key| format!(".{key}")).collect();
        format!("{}{place}{keys}", self.field)
    }
}

/// The keys that lead to the first thing that two objects say differently, the outermost first; none
/// if they are no objects, or the same.
#[must_use]
pub fn keys_to_difference(one: &Value, other: &Value) -> Vec<String> {
    let (Value::Object(left), Value::Object(right)) = (one, other) else { return Vec::new() };
    let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
    let Some(key) = keys.into_iter().find(|key| left.get(*key) != right.get(*key)) else {
        return Vec::new();
    };
    let mut path = vec![key.clone()];
    if let (Some(left), Some(right)) = (left.get(key), right.get(key)) {
        path.extend(keys_to_difference(left, right));
    }
    path
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path())?;
        write!(f, ": the kernel said {}, the model says {}", self.kernel, self.model)
    }
}

/// The first difference between what the kernel answered to `operation` and what the model
/// does; `bucket_of` knows the destinations of the handles.
#[must_use]
pub fn compare(
    tolerance: i64,
    operation: &Operation,
    kernel: &Answer,
    model: &Answer,
    bucket_of: &dyn Fn(u64) -> Option<BucketKey>,
) -> Option<Difference> {
    scalars(kernel, model)
        .or_else(|| events(tolerance, operation, kernel, model, bucket_of))
        .or_else(|| dumps(tolerance, operation, kernel, model, bucket_of))
        .or_else(|| proc_lines(tolerance, kernel, model))
}

fn scalars(kernel: &Answer, model: &Answer) -> Option<Difference> {
    field("ret", &kernel.ret, &model.ret)
        .or_else(|| field("id_of", &kernel.id_of, &model.id_of))
        .or_else(|| field("fwd", &kernel.fwd, &model.fwd))
        .or_else(|| field("made", &kernel.made, &model.made))
        .or_else(|| field("errs", &kernel.errs, &model.errs))
        .or_else(|| field("stats", &kernel.stats, &model.stats))
}

fn field<T: PartialEq + serde::Serialize>(
    field: &'static str,
    kernel: &Option<T>,
    model: &Option<T>,
) -> Option<Difference> {
    (kernel != model).then(|| Difference {
        field,
        place: None,
        kernel: said(kernel.as_ref()),
        model: said(model.as_ref()),
    })
}

/// How a value is quoted; what is not there is nothing.
fn said<T: serde::Serialize + ?Sized>(value: Option<&T>) -> String {
    value.map_or_else(
        || "nothing".to_owned(),
        |value| serde_json::to_string(value).expect("answers have no maps with other keys"),
    )
}

/// Compares two lists that are in order, element by element.
fn lists<T: serde::Serialize>(
    field: &'static str,
    kernel: &[T],
    model: &[T],
    agree: impl Fn(&T, &T) -> bool,
) -> Option<Difference> {
    (0..kernel.len().max(model.len())).find_map(|place| {
        let (theirs, ours) = (kernel.get(place), model.get(place));
        let same = matches!((theirs, ours), (Some(a), Some(b)) if agree(a, b));
        let place = Some(place);
        (!same).then(|| Difference { field, place, kernel: said(theirs), model: said(ours) })
    })
}

/// How much of the order of an operation's events means something.
fn order_of(operation: &Operation, kernel: &Answer) -> Option<Order> {
    kernel.order.or_else(|| match operation {
        Operation::ExpFlush(_) | Operation::ExpDelHelper(_) => Some(Order::Bucket),
        Operation::Advance(_) => Some(Order::None),
        operation if flushes(operation) => Some(Order::None),
        _ => None,
    })
}

/// Whether it deletes all connections: to name none says so, too.
fn flushes(operation: &Operation) -> bool {
    match operation {
        Operation::CtFlush(_) => true,
        Operation::CtDel(place) => place.orig.is_none(),
        _ => false,
    }
}

/// A flush comes to connections in the order of their hash, and a pptp master that goes takes the
/// GRE connections of its call along: whether one of them is told as the user's deed or as its
/// master's depends on whose hash is less, and so on a secret.
fn forget_who_ended_gre(event: &mut Event) {
    if let Event::CtDestroy { rep, orig, .. } = event
        && orig.proto == Some(47)
    {
        *rep = false;
    }
}

fn events(
    tolerance: i64,
    operation: &Operation,
    kernel: &Answer,
    model: &Answer,
    bucket_of: &dyn Fn(u64) -> Option<BucketKey>,
) -> Option<Difference> {
    let (mut theirs, mut ours) = (kernel.events().to_vec(), model.events().to_vec());
    if flushes(operation) {
        [&mut theirs, &mut ours].into_iter().flatten().for_each(forget_who_ended_gre);
    }
    match order_of(operation, kernel) {
        None => {}
        Some(Order::Bucket) => {
            for list in [&mut theirs, &mut ours] {
                list.sort_by_key(|event| handle_of(event).and_then(bucket_of));
            }
        }
        Some(Order::None) => {
            for list in [&mut theirs, &mut ours] {
                list.sort_by_cached_key(|event| match handle_of(event) {
                    Some(handle) => {
                        (matches!(event, Event::ExpDestroy { .. }), handle, String::new())
                    }
                    None => (false, 0, said(Some(event))),
                });
            }
        }
    }
    lists("ev", &theirs, &ours, |a, b| events_agree(tolerance, a, b))
}

fn handle_of(event: &Event) -> Option<u64> {
    match event {
        Event::ExpNew { e, .. } | Event::ExpDestroy { e, .. } => Some(*e),
        _ => None,
    }
}

fn events_agree(tolerance: i64, kernel: &Event, model: &Event) -> bool {
    let near = |a: i64, b: i64| a.abs_diff(b) <= tolerance.unsigned_abs();
    let mut timed = model.clone();
    match (kernel, &mut timed) {
        (Event::ExpNew { to: a, .. }, Event::ExpNew { to: b, .. })
        | (Event::ExpDestroy { to: a, .. }, Event::ExpDestroy { to: b, .. })
            if near(*a, *b) =>
        {
            *b = *a;
        }
        _ => {}
    }
    *kernel == timed
}

fn dumps(
    tolerance: i64,
    operation: &Operation,
    kernel: &Answer,
    model: &Answer,
    bucket_of: &dyn Fn(u64) -> Option<BucketKey>,
) -> Option<Difference> {
    let (Some(theirs), Some(ours)) = (&kernel.dump, &model.dump) else {
        return field("dump", &kernel.dump, &model.dump);
    };
    let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
    for list in [&mut theirs, &mut ours] {
        match operation {
            Operation::ExpDump(_) => list.sort_by_key(|row| match row {
                Row::Expectation { e, .. } => bucket_of(*e),
                Row::Connection { .. } => None,
            }),
            Operation::CtDump(_) => list.sort_by_cached_key(|row| said(Some(row))),
            _ => {}
        }
    }
    lists("dump", &theirs, &ours, |a, b| match (a, b) {
        (Row::Expectation { e: a, to: left }, Row::Expectation { e: b, to: right }) => {
            a == b && left.abs_diff(*right) <= tolerance.unsigned_abs()
        }
        _ => a == b,
    })
}

fn proc_lines(tolerance: i64, kernel: &Answer, model: &Answer) -> Option<Difference> {
    let (Some(theirs), Some(ours)) = (&kernel.proc, &model.proc) else {
        return field("proc", &kernel.proc, &model.proc);
    };
    let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
    for list in [&mut theirs, &mut ours] {
        list.sort_by_cached_key(|(_, line)| BucketKey::of_proc_line(line));
    }
    lists("proc", &theirs, &ours, |(left, a), (right, b)| {
        a == b && left.abs_diff(*right) <= tolerance.unsigned_abs()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{CtAt, Nothing};
    use super::*;

    #[test]
    fn who_ended_a_gre_stream_counts_but_in_a_flush() {
        let ended = |proto: u8, rep: bool| {
            let orig = Box::new(Parts { proto: Some(proto), ..Parts::default() });
            let event = Event::CtDestroy { rep, l3: Family::Ip, orig, zone: 0 };
            Answer { ev: Some(vec![event]), ..Answer::default() }
        };
        let parts = |operation: &Operation, proto| {
            let (kernel, model) = (ended(proto, false), ended(proto, true));
            compare(1, operation, &kernel, &model, &|_| None).is_some()
        };
        assert!(!parts(&Operation::CtFlush(Nothing {}), 47));
        assert!(parts(&Operation::CtFlush(Nothing {}), 6));
        let named = CtAt { orig: Some(Parts::default()), ..CtAt::default() };
        assert!(parts(&Operation::CtDel(named), 47));
        assert!(!parts(&Operation::CtDel(CtAt::default()), 47), "it names none: a flush");
    }
}
