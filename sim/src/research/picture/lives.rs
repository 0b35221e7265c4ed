// SPDX-License-Identifier: GPL-2.0-only
//! Lifelines: one line for each expectation, from its announcement to its end.

use std::fmt::Write;

use super::chart::{STYLE, escape, short};
use crate::research::ledger::Ending;
use crate::research::measure::Lifeline;
use crate::research::workload::NEVER;

/// Which colour and which word an ending has.
const LOOKS: [(Ending, usize); 8] = [
    (Ending::Match, 2),
    (Ending::Expiry, 7),
    (Ending::EvictedByClass, 4),
    (Ending::EvictedByTable, 1),
    (Ending::EvictedByQuota, 5),
    (Ending::Refresh, 3),
    (Ending::MasterGone, 6),
    (Ending::Horizon, 0),
];

/// Some lives as SVG; a ring marks a connection that came too late.
#[must_use]
pub fn svg(title: &str, lives: &[Lifeline], kinds: &[String]) -> String {
    let (left, width, row) = (110.0, 760.0, 13.0);
    let first = lives.iter().map(|life| life.born).min().unwrap_or(0);
    let last = lives.iter().map(|life| life.ended).max().unwrap_or(first + 1).max(first + 1);
    let x = |at: u64| left + (width - left - 16.0) * (at - first) as f64 / (last - first) as f64;
    let mut lives: Vec<&Lifeline> = lives.iter().collect();
    lives.sort_by_key(|life| (life.born, life.ended));
    let mut body = String::new();
    for (at, life) in lives.iter().enumerate() {
        let y = 20.0 + row * at as f64;
        let colour = LOOKS.iter().find(|look| look.0 == life.ending).map_or(7, |look| look.1);
        let kind = kinds.get(usize::from(life.kind)).map_or("", String::as_str);
        let (from, to) = (x(life.born), x(life.ended));
        let _ = write!(
            body,
            "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"10\">{}</text>\
             <line class=\"line s{colour}\" x1=\"{from:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <circle class=\"f{colour}\" cx=\"{to:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>",
            left - 8.0,
            y + 3.5,
            escape(kind),
            to.max(from + 1.0)
        );
        if life.ending != Ending::Match && life.arrives != NEVER && life.arrives <= last {
            let late = x(life.arrives);
            let _ = write!(
                body,
                "<circle class=\"line s1\" cx=\"{late:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"
            );
        }
    }
    let foot = 30.0 + row * lives.len() as f64;
    for step in 0..=5u64 {
        let at = first + (last - first) * step / 5;
        let seconds = short(at as f64 / 1e6);
        // The last one would stand out of the picture.
        let (anchor, place) = match step {
            5 => ("end", width - 2.0),
            _ => ("middle", x(at)),
        };
        let _ = write!(
            body,
            "<text class=\"soft\" x=\"{place:.1}\" y=\"{foot:.1}\" \
             text-anchor=\"{anchor}\">{seconds} s</text>"
        );
    }
    let mut place = left;
    for (ending, colour) in LOOKS {
        if !lives.iter().any(|life| life.ending == ending) {
            continue;
        }
        let _ = write!(
            body,
            "<circle class=\"f{colour}\" cx=\"{place:.1}\" cy=\"{:.1}\" r=\"4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            foot + 20.0,
            place + 10.0,
            foot + 24.0,
            ending.word()
        );
        place += 34.0 + 7.2 * ending.word().len() as f64;
    }
    let (title, height) = (escape(title), foot + 34.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{title}\"><title>{title}</title><style>{STYLE}</style>{body}</svg>"
    )
}
