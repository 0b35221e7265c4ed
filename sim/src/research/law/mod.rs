// SPDX-License-Identifier: GPL-2.0-only
//! Laws of chance: how long something takes, and when the next one comes.
//!
//! *Delay law*: the time from an announcement to its connection. *Arrival law*: when sessions
//! begin. All times are seconds here; the workload rounds them to microseconds.
//!
//! The rule that matters: same bytes on every machine. Elementary functions come from `libm`,
//! and a delay spends one number of its stream where an inverse exists, so that two scenarios
//! whose laws differ stay comparable draw by draw.

pub mod arrivals;
pub mod normal;

use serde::{Deserialize, Deserializer};

pub use self::arrivals::{Arrivals, Place};
pub use self::normal::normal_quantile;
use super::random::Stream;

/// A span of time, written with its unit: `60ms`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Span(pub f64);

impl Span {
    /// Longer than anything lasts: thirty years, a jiffy's worth of which can still be counted.
    pub const LONGEST: Self = Self(1e9);

    /// Reads one.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a time with its unit, as in 60ms or 5m: {text}");
        let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(expected)?;
        let unit = match &text[split..] {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(expected()),
        };
        let number: f64 = text[..split].trim().parse().map_err(|_| expected())?;
        let fine = number.is_finite() && (0.0..1e12).contains(&number);
        if fine { Ok(Self(number * unit)) } else { Err(expected()) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A number as people write it: where that has more digits than anybody counts, with an exponent.
#[must_use]
pub fn brief(number: f64) -> String {
    match number.abs() {
        far if far.is_finite() && far != 0.0 && !(1e-9..1e15).contains(&far) => {
            format!("{number:e}")
        }
        _ => number.to_string(),
    }
}

/// How long something takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "law", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Law {
    /// Always the same.
    Constant {
        /// How long.
        is: Span,
    },
    /// Anything between two bounds.
    Uniform {
        /// The lower.
        from: Span,
        /// The upper.
        to: Span,
    },
    /// Without memory.
    Exponential {
        /// Its mean.
        mean: Span,
    },
    /// Rises, then falls: networks and people.
    LogNormal {
        /// Half are shorter.
        median: Span,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Hazard rising (shape > 1) or falling (shape < 1).
    Weibull {
        /// 63 % are shorter.
        scale: Span,
        /// The exponent.
        shape: f64,
    },
    /// A sum of exponentials, and what lies between.
    Gamma {
        /// Its mean.
        mean: Span,
        /// How many exponentials.
        shape: f64,
    },
    /// A heavy tail.
    Pareto {
        /// The shortest.
        scale: Span,
        /// The exponent of the tail.
        alpha: f64,
    },
    /// One of several laws.
    Mixture {
        /// The laws, with their weights.
        parts: Vec<Part>,
    },
    /// As observed: quantiles from the lowest to the highest, equally far apart.
    Empirical {
        /// At least two, rising.
        quantiles: Vec<Span>,
    },
}

/// A part of a mixture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How often, against the other parts.
    pub weight: f64,
    /// Its law.
    #[serde(rename = "of")]
    pub law: Law,
}

impl Law {
    /// One draw, in seconds.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::Gamma { mean, shape } => mean.0 / shape * gamma(*shape, stream),
            Self::Mixture { parts } => {
                let total: f64 = parts.iter().map(|part| part.weight).sum();
                let mut left = stream.uniform() * total;
                let within = |part: &&Part| {
                    left -= part.weight;
                    left < 0.0
                };
                let part = parts.iter().find(within).or_else(|| parts.last());
                part.map_or(0.0, |part| part.law.draw(stream))
            }
            _ => self.quantile(stream.uniform()),
        }
    }

    /// The time that a share `p` stays below, where the law has a formula for it.
    fn quantile(&self, p: f64) -> f64 {
        match self {
            Self::Constant { is } => is.0,
            Self::Uniform { from, to } => from.0 + (to.0 - from.0) * p,
            Self::Exponential { mean } => -mean.0 * libm::log1p(-p),
            Self::LogNormal { median, sigma } => median.0 * libm::exp(sigma * normal_quantile(p)),
            Self::Weibull { scale, shape } => scale.0 * libm::pow(-libm::log1p(-p), 1.0 / shape),
            Self::Pareto { scale, alpha } => scale.0 * libm::pow(1.0 - p, -1.0 / alpha),
            Self::Empirical { quantiles } => {
                let place = p * (quantiles.len() - 1) as f64;
                let low = (place as usize).min(quantiles.len() - 2);
                let (a, b) = (quantiles[low].0, quantiles[low + 1].0);
                a + (b - a) * (place - low as f64)
            }
            Self::Gamma { .. } | Self::Mixture { .. } => 0.0,
        }
    }

    /// The mean, in seconds; infinite where the tail is as heavy as that.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant { is } => is.0,
            Self::Uniform { from, to } => (from.0 + to.0) / 2.0,
            Self::Exponential { mean } | Self::Gamma { mean, .. } => mean.0,
            Self::LogNormal { median, sigma } => median.0 * libm::exp(sigma * sigma / 2.0),
            Self::Weibull { scale, shape } => scale.0 * libm::tgamma(1.0 + 1.0 / shape),
            Self::Pareto { alpha, .. } if *alpha <= 1.0 => f64::INFINITY,
            Self::Pareto { scale, alpha } => scale.0 * alpha / (alpha - 1.0),
            Self::Mixture { parts } => {
                let total: f64 = parts.iter().map(|part| part.weight).sum();
                parts.iter().map(|part| part.weight * part.law.mean()).sum::<f64>() / total
            }
            // Straight between its quantiles.
            Self::Empirical { quantiles } => {
                let pairs = quantiles.windows(2).map(|pair| (pair[0].0 + pair[1].0) / 2.0);
                pairs.sum::<f64>() / (quantiles.len() - 1) as f64
            }
        }
    }

    /// Whether its parameters make sense.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self) -> Result<(), String> {
        let positive = |what: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(format!("expected a positive {what}, not {}", brief(value))),
        };
        match self {
            Self::Constant { .. } => Ok(()),
            Self::Uniform { from, to } if from <= to => Ok(()),
            Self::Uniform { .. } => Err("expected `from` below `to`".into()),
            Self::Exponential { mean } => positive("mean", mean.0),
            Self::LogNormal { median, sigma } => {
                positive("median", median.0).and_then(|()| positive("sigma", *sigma))
            }
            Self::Weibull { scale, shape } => {
                positive("scale", scale.0).and_then(|()| positive("shape", *shape))
            }
            // The mean of one of so few exponentials is beyond all numbers.
            Self::Gamma { shape, .. } if *shape > 0.0 && *shape < 1e-100 => {
                Err(format!("expected a shape of at least 1e-100, not {}", brief(*shape)))
            }
            Self::Gamma { mean, shape } => {
                positive("mean", mean.0).and_then(|()| positive("shape", *shape))
            }
            Self::Pareto { scale, alpha } => {
                positive("scale", scale.0).and_then(|()| positive("alpha", *alpha))
            }
            Self::Mixture { parts } if parts.is_empty() => Err("expected parts".into()),
            Self::Mixture { parts } => parts.iter().try_for_each(|part| {
                positive("weight", part.weight).and_then(|()| part.law.check())
            }),
            Self::Empirical { quantiles } => {
                let rising = quantiles.windows(2).all(|pair| pair[0] <= pair[1]);
                match quantiles.len() >= 2 && rising {
                    true => Ok(()),
                    false => Err("expected at least two rising quantiles".into()),
                }
            }
        }
    }
}

/// Marsaglia and Tsang's method, for a mean of `shape`.
fn gamma(shape: f64, stream: &mut Stream) -> f64 {
    if shape < 1.0 {
        let lift = libm::pow(stream.uniform(), 1.0 / shape);
        return lift * gamma(shape + 1.0, stream);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal_quantile(stream.uniform());
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        let u = stream.uniform();
        if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_in_no_more_digits_than_anybody_counts() {
        let told = [0.0, 0.5, 256.0, -1e9, 1e300, -2.5e-300, f64::NAN, f64::INFINITY].map(brief);
        assert_eq!(told, ["0", "0.5", "256", "-1000000000", "1e300", "-2.5e-300", "NaN", "inf"]);
    }

    #[test]
    fn every_law_has_the_mean_its_formula_says() {
        let span = Span;
        let laws = [
            (Law::Constant { is: span(2.0) }, 2.0),
            (Law::Uniform { from: span(1.0), to: span(2.0) }, 1.5),
            (Law::Exponential { mean: span(3.0) }, 3.0),
            (Law::LogNormal { median: span(1.0), sigma: 0.5 }, libm::exp(0.125)),
            (Law::Weibull { scale: span(1.0), shape: 2.0 }, 0.886_226_925),
            (Law::Gamma { mean: span(4.0), shape: 0.5 }, 4.0),
            (Law::Gamma { mean: span(4.0), shape: 3.0 }, 4.0),
            (Law::Pareto { scale: span(1.0), alpha: 5.0 }, 1.25),
            (Law::Empirical { quantiles: vec![span(0.0), span(1.0), span(4.0)] }, 1.5),
        ];
        for (law, mean) in laws {
            let mut stream = Stream::keyed(1, 0, "law", "mean");
            let sum: f64 = (0..40_000).map(|_| law.draw(&mut stream)).sum();
            assert!((sum / 40_000.0 / mean - 1.0).abs() < 0.03, "{law:?}: {}", sum / 40_000.0);
            assert!((law.mean() / mean - 1.0).abs() < 1e-6, "{law:?}: {}", law.mean());
        }
    }
}
