// SPDX-License-Identifier: GPL-2.0-only
//! Laws fitted to what was recorded, as text that a scenario includes.
//!
//! *Wait*: from an announcement to its connection, or to the moment it was watched last: then it
//! is *censored*, and says only that the delay is longer, if there is one at all.
//!
//! ```text
//!  waits ─▶ Kaplan and Meier ─▶ share answered, quantiles        [ftp.delay], [ftp.answered]
//!        └▶ most likely log-normal, of those ever answered       [ftp.log-normal],
//!           and their share by that law                          [ftp.log-normal-answered]
//! ```
//!
//! The rule that matters: a wait that was cut short shortens no estimate.
//!
//! A log holds only what a table took in: what a full one refused was never announced to it, so its
//! rates are too low, and a size found by them too small.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::Value;

use super::recorded::{Recorded, Said, Sort};
use super::workload::Micros;
use crate::report::text::counted;

/// From an announcement to its connection, or as far as it was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// How long.
    pub micros: Micros,
    /// Whether it was cut short; of equal waits, those that were not are first.
    pub censored: bool,
}

/// What waits come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The share that is answered, in the end.
    pub answered: f64,
    /// Quantiles of those, in microseconds, equally far apart.
    pub quantiles: Vec<Micros>,
    /// The most likely log-normal law of those, with a share of its own.
    pub log_normal: Option<LogNormal>,
}

/// A log-normal law of those who are ever answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    /// Its median in seconds.
    pub median: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// The share that is ever answered: more than [`Fitted::answered`], where the law goes on
    /// behind the longest wait that was seen.
    pub answered: f64,
}

/// How many steps from the lowest quantile to the highest.
const STEPS: usize = 32;

/// Fits; nothing if nobody came.
#[must_use]
pub fn fit(waits: &[Wait]) -> Option<Fitted> {
    let mut waits = waits.to_vec();
    waits.sort_unstable();
    let (mut survival, mut steps) = (1.0, Vec::new());
    for (at, wait) in waits.iter().enumerate().filter(|(_, wait)| !wait.censored) {
        survival *= 1.0 - 1.0 / (waits.len() - at) as f64;
        steps.push((1.0 - survival, wait.micros));
    }
    let (answered, longest) = *steps.last()?;
    let quantile = |step: usize| {
        let goal = answered * step as f64 / STEPS as f64;
        let found = steps.iter().find(|(share, _)| *share >= goal - 1e-12);
        found.map_or(longest, |(_, micros)| *micros)
    };
    Some(Fitted {
        answered,
        quantiles: (0..=STEPS).map(quantile).collect(),
        log_normal: log_normal(&waits),
    })
}

/// The most likely log-normal law of those that are ever answered (a cure model), by expectation
/// and maximisation: a censored wait is answered later with the chance the law gives it.
fn log_normal(waits: &[Wait]) -> Option<LogNormal> {
    let log = |wait: &Wait| libm::log(wait.micros.max(1) as f64 / 1e6);
    let came: Vec<f64> = waits.iter().filter(|wait| !wait.censored).map(log).collect();
    let cut: Vec<f64> = waits.iter().filter(|wait| wait.censored).map(log).collect();
    let count = came.len() as f64;
    let mut mean = came.iter().sum::<f64>() / count;
    let mut variance = came.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    if came.len() < 10 || variance <= 0.0 {
        return None;
    }
    let mut answered = count / waits.len() as f64;
    for _ in 0..2000 {
        let sigma = libm::sqrt(variance);
        // Of each censored wait: the chance that it is answered later, and its moments then.
        let later: Vec<(f64, f64, f64)> =
            cut.iter().map(|x| tail(*x, mean, sigma, answered)).collect();
        let all = count + later.iter().map(|one| one.0).sum::<f64>();
        let sum = came.iter().sum::<f64>() + later.iter().map(|(w, m, _)| w * m).sum::<f64>();
        let next = sum / all;
        let spread = came.iter().map(|x| (x - next) * (x - next)).sum::<f64>()
            + later.iter().map(|(w, m, v)| w * (v + (m - next) * (m - next))).sum::<f64>();
        let moved = (next - mean).abs() + (spread / all - variance).abs();
        (mean, variance, answered) = (next, spread / all, all / waits.len() as f64);
        if moved < 1e-9 {
            break;
        }
    }
    Some(LogNormal { median: libm::exp(mean), sigma: libm::sqrt(variance), answered })
}

fn tail(x: f64, mean: f64, sigma: f64, answered: f64) -> (f64, f64, f64) {
    let z = (x - mean) / sigma;
    let beyond = 0.5 * libm::erfc(z / core::f64::consts::SQRT_2);
    if beyond < 1e-12 {
        return (0.0, x, 0.0);
    }
    let weight = answered * beyond / (answered * beyond + 1.0 - answered).max(1e-300);
    let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * core::f64::consts::PI);
    let ratio = density / beyond;
    let variance = sigma * sigma * (1.0 + z * ratio - ratio * ratio);
    (weight.min(1.0), mean + sigma * ratio, variance.max(0.0))
}

/// All waits of some recordings, by helper and class.
#[must_use]
pub fn waits(recordings: &[Recorded]) -> BTreeMap<String, Vec<Wait>> {
    let mut waits: BTreeMap<String, Vec<Wait>> = BTreeMap::new();
    for recorded in recordings {
        let said = recorded.sessions.iter().flat_map(|session| &session.said);
        for said in said {
            let sort = &recorded.sorts[usize::from(said.sort)];
            let end = said.arrivals.first().copied().unwrap_or(said.watched);
            let wait = Wait { micros: end - said.at.min(end), censored: said.arrivals.is_empty() };
            waits.entry(name_of(sort)).or_default().push(wait);
        }
    }
    waits
}

fn name_of(sort: &Sort) -> String {
    use nfexp_model::helper::{Class, IN_TREE};
    let helper = IN_TREE.iter().find(|helper| helper.name == sort.helper);
    let policy =
        helper.zip(Class::new(sort.class)).and_then(|(helper, class)| helper.policy(class));
    match policy.map_or("", |policy| policy.name) {
        "" if sort.class == 0 => sort.helper.clone(),
        "" => format!("{}/{}", sort.helper, sort.class),
        class => format!("{}/{class}", sort.helper),
    }
}

/// The laws as TOML, for a scenario's `fits`.
#[must_use]
pub fn toml(recordings: &[Recorded], files: &str) -> String {
    let mut out = format!("# nfexp fit --format toml {files}\n");
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let seconds = recordings.iter().map(|recorded| recorded.span).sum::<Micros>() as f64 / 1e6;
    for (name, waits) in waits(recordings) {
        let came = waits.iter().filter(|wait| !wait.censored).count();
        let of = format!("measured: {came} of {} came ({files})", waits.len());
        let Some(Fitted { answered, quantiles, log_normal }) = fit(&waits) else {
            let _ = writeln!(out, "\n# {name}: none of {} came", waits.len());
            continue;
        };
        let key = quoted(&name);
        let spans: Vec<String> = quantiles.iter().map(|micros| format!("\"{micros}us\"")).collect();
        let law = quoted(&format!("{of}; censored waits by Kaplan and Meier"));
        let _ = write!(
            out,
            "\n[{key}.delay]\nlaw = \"empirical\"\nquantiles = [{}]\nsource = {law}\n\
             \n[{key}.answered]\nshare = {answered:.6}\nsource = {law}\n",
            spans.join(", "),
        );
        let said_it = |recorded: &Recorded| {
            let says = |said: &Said| name_of(&recorded.sorts[usize::from(said.sort)]) == name;
            recorded.sessions.iter().filter(|session| session.said.iter().any(says)).count()
        };
        let told = format!(
            "{} by {} in {seconds:.3} s ({files})",
            counted(waits.len() as u64, "announcement"),
            counted(recordings.iter().map(said_it).sum::<usize>() as u64, "master"),
        );
        let _ = match waits.len() >= 2 && seconds >= 1.0 {
            true => write!(
                out,
                "\n[{key}.arrivals]\nlaw = \"poisson\"\nper_second = {:.6}\nsource = {}\n",
                waits.len() as f64 / seconds,
                quoted(&format!("measured: {told}; that they come without memory is assumed")),
            ),
            false => {
                writeln!(out, "\n# {name}: no rate of arrivals: {told}; it takes two, and a second")
            }
        };
        if let Some(LogNormal { median, sigma, answered }) = log_normal {
            let law = quoted(&format!(
                "{of}; the most likely log-normal law, censored waits counted; its share is \
                 [{name}.log-normal-answered]"
            ));
            let share = quoted(&format!("{of}; ever answered by the law of [{name}.log-normal]"));
            let _ = write!(
                out,
                "\n[{key}.log-normal]\nlaw = \"log-normal\"\nmedian = \"{}us\"\nsigma = {sigma:.6}\n\
                 source = {law}\n\
                 \n[{key}.log-normal-answered]\nshare = {answered:.6}\nsource = {share}\n",
                (median * 1e6) as u64,
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::research::law::{Law, Span};
    use crate::research::random::Stream;
    use crate::research::recorded::{Said, Session};

    /// Ten thousand waits, four of ten cut short: the law comes out within five per cent. The
    /// median of those that came does not.
    #[test]
    fn a_log_normal_law_is_found_though_four_of_ten_are_censored() {
        let law = Law::LogNormal { median: Span(8.0), sigma: 0.6 };
        let cut = Law::LogNormal { median: Span(9.8), sigma: 0.5 };
        let mut stream = Stream::keyed(1, 0, "fit", "test");
        let mut draw = |law: &Law| (law.draw(&mut stream) * 1e6) as Micros;
        let waits: Vec<Wait> = (0..10_000)
            .map(|_| {
                let (wait, until) = (draw(&law), draw(&cut));
                Wait { micros: wait.min(until), censored: wait > until }
            })
            .collect();
        let censored = waits.iter().filter(|wait| wait.censored).count();
        assert!((3500..4500).contains(&censored), "{censored}");
        let fitted = fit(&waits).expect("most came");
        let LogNormal { median, sigma, answered } = fitted.log_normal.expect("enough came");
        // All are answered in the end, and the law says so.
        assert!(answered > 0.99, "{answered}");
        assert!((median / 8.0 - 1.0).abs() < 0.05, "{median}");
        assert!((sigma / 0.6 - 1.0).abs() < 0.05, "{sigma}");
        let middle = fitted.quantiles[STEPS / 2] as f64 / 1e6;
        assert!((middle / 8.0 - 1.0).abs() < 0.05, "{middle}");
        let mut came: Vec<Micros> =
            waits.iter().filter(|wait| !wait.censored).map(|wait| wait.micros).collect();
        came.sort_unstable();
        let naive = came[came.len() / 2] as f64 / 1e6;
        assert!((naive / 8.0 - 1.0).abs() > 0.05, "the waits would not need the care: {naive}");
    }

    /// A third is never answered, and a timeout ends the watch.
    #[test]
    fn who_is_never_answered_is_not_taken_for_slow() {
        let law = Law::Exponential { mean: Span(2.0) };
        let mut stream = Stream::keyed(2, 0, "fit", "test");
        let waits: Vec<Wait> = (0..6000)
            .map(|at| match at % 3 {
                0 => Wait { micros: 300_000_000, censored: true },
                _ => Wait { micros: (law.draw(&mut stream) * 1e6) as Micros, censored: false },
            })
            .collect();
        let fitted = fit(&waits).expect("most came");
        assert!((fitted.answered - 2.0 / 3.0).abs() < 1e-9, "{}", fitted.answered);
        let median = fitted.quantiles[STEPS / 2] as f64 / 1e6;
        assert!((median / (2.0 * core::f64::consts::LN_2) - 1.0).abs() < 0.05, "{median}");
        assert_eq!(fit(&[Wait { micros: 5, censored: true }]), None);
    }

    /// A rate needs two announcements and a second; what is none stands there as a comment.
    #[test]
    fn a_moment_has_no_rate() {
        let said = |at| Said {
            at,
            sort: 0,
            whom: 0,
            arrivals: vec![at + 1000],
            withdrawn: None,
            watched: at + 1000,
        };
        let sort = Sort {
            helper: "ftp".into(),
            class: 0,
            permanent: false,
            wide: false,
            timeout_secs: 300,
            most: 1,
        };
        let recorded = |span, said: &[Said]| Recorded {
            span,
            sorts: vec![sort.clone()],
            sessions: vec![Session {
                begins: 0,
                source: 0,
                zone: 0,
                closes: None,
                said: said.to_vec(),
            }],
            ..Recorded::default()
        };
        let text = |span, said: &[Said]| toml(&[recorded(span, said)], "one.pcap");
        let two = [said(0), said(10_000)];
        let short = text(44_000, &two);
        assert!(!short.contains("per_second") && short.contains("# ftp: no rate of"), "{short}");
        assert!(!text(9_000_000, &two[..1]).contains("per_second"));
        let long = text(4_000_000, &two);
        assert!(long.contains("per_second = 0.500000"), "{long}");
        assert!(long.parse::<toml::Table>().is_ok() && short.parse::<toml::Table>().is_ok());
    }
}
