// SPDX-License-Identifier: GPL-2.0-only
//! Honest statistics: an interval for every number.
//!
//! *Replication*: the same scenario with other chances. *Interval*: Student's, over independent
//! replications. *Warm-up*: cut off where MSER-5 says; a run whose cut lies in its second half
//! has no steady state to speak of, and the verdict is *inconclusive*.
//!
//! The rule that matters: a mean never leaves here without its interval.

use serde::{Deserialize, Serialize};

use super::law::normal_quantile;
use super::random::Stream;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval; infinite if there was one value only.
    pub half: f64,
    /// Of how many values.
    pub of: u32,
}

impl Estimate {
    /// Of independent values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        // The sum of nothing is minus nothing.
        let mean = (values.iter().sum::<f64>() + 0.0) / n.max(1) as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let half = match n {
            0 | 1 => f64::INFINITY,
            _ => t_quantile(n - 1) * libm::sqrt(squares / (n - 1) as f64 / n as f64),
        };
        Self { mean, half, of: n as u32 }
    }

    /// Of shares, each as so many found of so many.
    #[must_use]
    pub fn of_shares(shares: &[(u64, u64)]) -> Self {
        let share = |&(found, of): &(u64, u64)| found as f64 / of as f64;
        let values: Vec<f64> = shares.iter().filter(|(_, of)| *of > 0).map(share).collect();
        Self::of(&values).of_so_many(shares.iter().map(|(_, of)| of).sum())
    }

    /// The same of shares of so many in all, or more. Runs that are all alike do not vouch for their
    /// share: what they looked at together does.
    #[must_use]
    pub fn of_so_many(self, of: u64) -> Self {
        match self.half == 0.0 && of > 0 {
            true => Self { half: deviation(self.mean, of), ..self },
            false => self,
        }
    }

    /// Of differences between paired values.
    #[must_use]
    pub fn of_pairs(a: &[f64], b: &[f64]) -> Self {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self::of(&differences)
    }

    /// Half the width, where there is an interval: no program reads infinity alike.
    #[must_use]
    pub fn known_half(&self) -> Option<f64> {
        self.half.is_finite().then_some(self.half)
    }

    /// Whether the value lies in the interval.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (value - self.mean).abs() <= self.half
    }

    /// How it compares to a value, as far as the interval lets one say.
    #[must_use]
    pub fn against(&self, value: f64) -> Verdict {
        if self.mean - self.half > value {
            Verdict::Above
        } else if self.mean + self.half < value {
            Verdict::Below
        } else {
            Verdict::Inconclusive
        }
    }
}

impl std::fmt::Display for Estimate {
    /// `0.9963 ± 0.0004`, as many digits as the interval is worth; never a bare mean.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.of == 0 {
            return f.write_str("-");
        }
        if self.half.is_infinite() {
            return write!(f, "{:.4} ± ?", self.mean);
        }
        write!(f, "{:.4} ± {:.4}", self.mean, self.half)
    }
}

/// How far from a share that `of` independent trials had the true one may lie: the farther end of
/// Chernoff's interval, 95 %. Where all or none were found it is Clopper and Pearson's (3.7 / `of`,
/// as the rule of three has it for one side); elsewhere it is wider than theirs.
fn deviation(share: f64, of: u64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * libm::log(p / q) } else { 0.0 };
    let allowed = -libm::log(0.025) / of as f64;
    let beyond = |end: f64| {
        let (mut inside, mut outside) = (share, end);
        for _ in 0..100 {
            let middle = (inside + outside) / 2.0;
            let far = part(share, middle) + part(1.0 - share, 1.0 - middle);
            if far > allowed { outside = middle } else { inside = middle }
        }
        (outside - share).abs()
    };
    beyond(0.0).max(beyond(1.0))
}

/// What an interval lets one say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it lies above.
    Above,
    /// All of it lies below.
    Below,
    /// Neither.
    Inconclusive,
}

/// Student's 97.5 % quantile.
///
/// # Source
/// A table up to 30 degrees, Cornish and Fisher's expansion beyond (error below 10⁻⁵).
#[must_use]
pub fn t_quantile(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814,
        2.20099, 2.17881, 2.16037, 2.14479, 2.13145, 2.11991, 2.10982, 2.10092, 2.09302, 2.08596,
        2.07961, 2.07387, 2.06866, 2.06390, 2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
    ];
    if let Some(value) = degrees.checked_sub(1).and_then(|at| TABLE.get(at)) {
        return *value;
    }
    let (z, n) = (normal_quantile(0.975), degrees.max(1) as f64);
    let power = |exponent: i32| (0..exponent).fold(1.0, |product, _| product * z);
    let terms = [
        (power(3) + z) / 4.0,
        (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / 96.0,
        (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z) / 384.0,
    ];
    z + (terms[0] + (terms[1] + terms[2] / n) / n) / n
}

/// How many of the first values are warm-up: the first cut that makes the standard error of the
/// rest nearly least (within a factor of two), over batches of five. The very least would be a
/// lottery where values go together over several batches: late cuts leave few of them.
///
/// # Source
/// White, An effective truncation heuristic for bias reduction (MSER), and Spratt's MSER-5.
#[must_use]
pub fn mser5(values: &[f64]) -> usize {
    let batches: Vec<f64> =
        values.chunks_exact(5).map(|batch| batch.iter().sum::<f64>() / 5.0).collect();
    // The last five batches say nothing about a mean.
    let scores: Vec<f64> = (0..batches.len().saturating_sub(5))
        .map(|cut| {
            let rest = &batches[cut..];
            let n = rest.len() as f64;
            let mean = rest.iter().sum::<f64>() / n;
            let squares: f64 = rest.iter().map(|value| (value - mean) * (value - mean)).sum();
            squares / (n * n)
        })
        .collect();
    // What spreads by less than a millionth of its mean spreads by rounding.
    let mean = batches.iter().sum::<f64>() / batches.len().max(1) as f64;
    let rounding = 1e-12 * mean * mean / batches.len().max(1) as f64;
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min).max(rounding);
    5 * scores.iter().position(|score| *score <= 2.0 * least).unwrap_or(0)
}

/// How even shares are: 1 if all are equal, 1/n if one has all (Jain).
#[must_use]
pub fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (values.len() as f64 * squares) }
}

/// The share of calls that find all of `servers` busy when `offered` Erlang come.
#[must_use]
pub fn erlang_b(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked))
}

/// A response for screening: what comes out for inputs in [0, 1).
pub trait Response {
    /// Its value.
    fn at(&mut self, inputs: &[f64]) -> Result<f64, String>;
}

impl<F: FnMut(&[f64]) -> Result<f64, String>> Response for F {
    fn at(&mut self, inputs: &[f64]) -> Result<f64, String> {
        self(inputs)
    }
}

/// Morris' screening: mean absolute elementary effect and its spread, by input.
///
/// # Errors
/// As the response.
pub fn morris(
    inputs: usize,
    paths: u32,
    stream: &mut Stream,
    response: &mut impl Response,
) -> Result<Vec<(Estimate, f64)>, String> {
    const LEVELS: u32 = 4;
    let step = f64::from(LEVELS) / (2.0 * f64::from(LEVELS - 1));
    let mut effects = vec![Vec::new(); inputs];
    for _ in 0..paths {
        let mut point: Vec<f64> = (0..inputs)
            .map(|_| f64::from(stream.below(LEVELS / 2)) / f64::from(LEVELS - 1))
            .collect();
        let mut order: Vec<usize> = (0..inputs).collect();
        for at in (1..inputs).rev() {
            order.swap(at, stream.below(at as u32 + 1) as usize);
        }
        let mut before = response.at(&point)?;
        for input in order {
            point[input] += step;
            let after = response.at(&point)?;
            effects[input].push((after - before) / step);
            before = after;
        }
    }
    let summary = |effects: Vec<f64>| {
        let absolute: Vec<f64> = effects.iter().map(|effect| effect.abs()).collect();
        let mean = effects.iter().sum::<f64>() / effects.len().max(1) as f64;
        let squares: f64 = effects.iter().map(|effect| (effect - mean) * (effect - mean)).sum();
        let spread = libm::sqrt(squares / (effects.len().max(2) - 1) as f64);
        (Estimate::of(&absolute), spread)
    };
    Ok(effects.into_iter().map(summary).collect())
}

/// First-order and total Sobol indices by input, with bootstrap intervals.
///
/// # Source
/// Saltelli et al. 2010 (first order) and Jansen (total).
///
/// # Errors
/// As the response.
pub fn sobol(
    inputs: usize,
    rows: u32,
    stream: &mut Stream,
    response: &mut impl Response,
) -> Result<Vec<[Estimate; 2]>, String> {
    let mut draw = |count: u32| -> Vec<Vec<f64>> {
        (0..count).map(|_| (0..inputs).map(|_| stream.uniform()).collect()).collect()
    };
    let (a, b) = (draw(rows), draw(rows));
    let mut of = |points: &[Vec<f64>]| -> Result<Vec<f64>, String> {
        points.iter().map(|point| response.at(point)).collect()
    };
    let (fa, fb) = (of(&a)?, of(&b)?);
    let mut answers = Vec::new();
    for input in 0..inputs {
        let mixed: Vec<Vec<f64>> = a
            .iter()
            .zip(&b)
            .map(|(a, b)| {
                let mut point = a.clone();
                point[input] = b[input];
                point
            })
            .collect();
        let fab = of(&mixed)?;
        let indices = |rows: &[usize]| {
            let n = rows.len() as f64;
            let both = || rows.iter().flat_map(|&row| [fa[row], fb[row]]);
            let mean = both().sum::<f64>() / (2.0 * n);
            let variance = both().map(|f| (f - mean) * (f - mean)).sum::<f64>() / (2.0 * n);
            let first: f64 =
                rows.iter().map(|&row| (fb[row] - mean) * (fab[row] - fa[row])).sum::<f64>() / n;
            let total: f64 =
                rows.iter().map(|&row| (fa[row] - fab[row]) * (fa[row] - fab[row])).sum::<f64>()
                    / (2.0 * n);
            match variance > 0.0 {
                true => [first / variance, total / variance],
                false => [0.0, 0.0],
            }
        };
        let all: Vec<usize> = (0..rows as usize).collect();
        let [first, total] = indices(&all);
        let resampled: Vec<[f64; 2]> = (0..200)
            .map(|_| {
                let rows: Vec<usize> = all.iter().map(|_| stream.below(rows) as usize).collect();
                indices(&rows)
            })
            .collect();
        let half = |which: usize, mean: f64| {
            let squares: f64 = resampled
                .iter()
                .map(|sample| (sample[which] - mean) * (sample[which] - mean))
                .sum();
            1.96 * libm::sqrt(squares / resampled.len() as f64)
        };
        answers.push([
            Estimate { mean: first, half: half(0, first), of: rows },
            Estimate { mean: total, half: half(1, total), of: rows },
        ]);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_are_alike_do_not_vouch_for_their_share() {
        // 0.025 = (1 - half)^300.
        let all = Estimate::of_shares(&[(100, 100); 3]);
        assert!((all.half - 0.012_221).abs() < 1e-6 && all.mean == 1.0, "{all}");
        assert_eq!(all.against(0.99), Verdict::Inconclusive);
        assert_eq!(Estimate::of_shares(&[(1000, 1000); 3]).against(0.99), Verdict::Above);
        let none = Estimate::of_shares(&[(0, 100); 3]);
        assert!((none.half - all.half).abs() < 1e-12, "{none}");
        assert_eq!(Estimate::of(&[0.0; 3]).of_so_many(300), none);
        // Clopper and Pearson's interval of 150 in 300 is 0.442 to 0.558.
        let half = Estimate::of_shares(&[(50, 100); 3]).half;
        assert!((0.058..0.08).contains(&half), "{half}");
        let spread = [(90, 100), (80, 100), (85, 100)];
        assert_eq!(Estimate::of_shares(&spread), Estimate::of(&[0.9, 0.8, 0.85]));
        let nothing = Estimate::of_shares(&[(0, 0); 3]);
        assert!(nothing.half.is_infinite() && nothing.to_string() == "-");
    }

    #[test]
    fn students_quantile_meets_its_table() {
        assert!((t_quantile(40) - 2.02108).abs() < 2e-5);
        assert!((t_quantile(120) - 1.97993).abs() < 1e-5);
        assert!(t_quantile(1) > 12.0);
    }

    #[test]
    fn mser_cuts_a_ramp_and_leaves_what_is_steady() {
        let mut stream = Stream::keyed(1, 0, "mser", "test");
        let mut noise = || stream.uniform() - 0.5;
        let steady: Vec<f64> = (0..200).map(|_| noise()).collect();
        assert!(mser5(&steady) <= 50, "{}", mser5(&steady));
        let ramp: Vec<f64> = (0..200).map(|at| noise() + f64::from(60 - at.min(60))).collect();
        assert!((50..=70).contains(&mser5(&ramp)), "{}", mser5(&ramp));
        let rising: Vec<f64> = (0..200).map(f64::from).collect();
        assert!(mser5(&rising) > 100, "a run that never settles has no steady half");
    }

    #[test]
    fn erlangs_formula_gives_the_published_values() {
        assert!((erlang_b(1, 1.0) - 0.5).abs() < 1e-15);
        assert!((erlang_b(10, 5.0) - 0.018_384_6).abs() < 1e-6);
    }

    #[test]
    fn an_interval_is_never_left_out() {
        let one = Estimate::of(&[0.5]);
        assert_eq!(one.to_string(), "0.5000 ± ?");
        assert_eq!(one.against(0.1), Verdict::Inconclusive);
        let many = Estimate::of(&[0.5, 0.6, 0.7]);
        assert_eq!(many.to_string(), "0.6000 ± 0.2484");
        assert_eq!(many.against(0.2), Verdict::Above);
        assert_eq!(jain(&[1.0, 0.0]), 0.5);
    }

    /// Ishigami's function, whose indices are known.
    #[test]
    fn sobol_finds_ishigamis_indices_and_morris_its_order() {
        let pi = core::f64::consts::PI;
        let mut ishigami = |x: &[f64]| {
            let x: Vec<f64> = x.iter().map(|x| (2.0 * x - 1.0) * pi).collect();
            let (s1, s2) = (libm::sin(x[0]), libm::sin(x[1]));
            Ok(s1 + 7.0 * s2 * s2 + 0.1 * libm::pow(x[2], 4.0) * s1)
        };
        let mut stream = Stream::keyed(1, 0, "sobol", "test");
        let found = sobol(3, 40_000, &mut stream, &mut ishigami).expect("it answers");
        let known = [[0.3139, 0.5576], [0.4424, 0.4424], [0.0, 0.2437]];
        for (found, known) in found.iter().zip(known) {
            for (found, known) in found.iter().zip(known) {
                assert!((found.mean - known).abs() < 0.02, "{found} for {known}");
                assert!(found.half < 0.05);
            }
        }
        let mut linear = |x: &[f64]| Ok(3.0 * x[0] + x[1]);
        let effects = morris(3, 20, &mut stream, &mut linear).expect("it answers");
        let means: Vec<f64> = effects.iter().map(|(effect, _)| effect.mean).collect();
        assert!((means[0] - 3.0).abs() < 1e-9 && (means[1] - 1.0).abs() < 1e-9);
        assert!(means[2].abs() < 1e-9);
    }
}
