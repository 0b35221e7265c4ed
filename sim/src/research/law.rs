// SPDX-License-Identifier: GPL-2.0-only
//! Laws of chance: how long something takes, and when the next one comes.
//!
//! *Delay law*: the time from an announcement to its connection. *Arrival law*: when sessions
//! begin. All times are seconds here; the workload rounds them to microseconds.
//!
//! The rule that matters: same bytes on every machine. Elementary functions come from `libm`,
//! and a delay spends one number of its stream where an inverse exists, so that two scenarios
//! whose laws differ stay comparable draw by draw.

use serde::{Deserialize, Deserializer};

use super::random::Stream;

/// A span of time, written with its unit: `60ms`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Span(pub f64);

impl Span {
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

/// How long something takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "law", rename_all = "kebab-case")]
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

    /// Whether its parameters make sense.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self) -> Result<(), String> {
        let positive = |what: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(format!("expected a positive {what}, not {value}")),
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

fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// The normal quantile, to about sixteen digits.
///
/// # Source
/// Wichura, algorithm AS 241, Applied Statistics 37 (1988).
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(r, &CENTRE[0]) / polynomial(r, &CENTRE[1]);
    }
    let r = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p }));
    let value = match r <= 5.0 {
        true => polynomial(r - 1.6, &NEAR[0]) / polynomial(r - 1.6, &NEAR[1]),
        false => polynomial(r - 5.0, &FAR[0]) / polynomial(r - 5.0, &FAR[1]),
    };
    if q < 0.0 { -value } else { value }
}

const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];
const NEAR: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_545,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];
const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

/// When sessions begin.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "law", rename_all = "kebab-case")]
pub enum Arrivals {
    /// Without memory.
    Poisson {
        /// How many in a second.
        per_second: f64,
    },
    /// At equal distances.
    Constant {
        /// How many in a second.
        per_second: f64,
    },
    /// Renewals with distances of any law.
    Renewal {
        /// From one to the next.
        gap: Law,
    },
    /// Poisson with two rates that take turns (MMPP-2).
    TwoRates {
        /// How many in a second while low.
        low_per_second: f64,
        /// How many in a second while high.
        high_per_second: f64,
        /// How long low lasts, in the mean.
        low_for: Span,
        /// How long high lasts, in the mean.
        high_for: Span,
    },
    /// Poisson while on, nothing while off; both last as their laws say.
    OnOff {
        /// How many in a second while on.
        per_second: f64,
        /// How long on lasts.
        on: Law,
        /// How long off lasts.
        off: Law,
    },
    /// Poisson whose rate swings with the day.
    Diurnal {
        /// How many in a second, in the mean.
        per_second: f64,
        /// By which share of the mean it swings, 0 to 1.
        swing: f64,
        /// How long a day is.
        period: Span,
    },
    /// Many at once, spread over a while.
    Batch {
        /// How many.
        count: u32,
        /// Within which time, evenly.
        within: Span,
        /// When the first batch begins.
        first: Span,
        /// From one batch's begin to the next.
        every: Span,
    },
    /// At equal distances while on, again and again.
    Pulsed {
        /// How many in a second while on.
        per_second: f64,
        /// How long on lasts.
        on: Span,
        /// From one pulse's begin to the next.
        period: Span,
    },
}

/// Where an arrival law stands.
#[derive(Clone, Debug, Default)]
pub struct Place {
    now: f64,
    /// Until when the present phase lasts, and whether it is the high one.
    phase_end: f64,
    high: bool,
    count: u32,
    batch: f64,
    offsets: Vec<f64>,
}

impl Arrivals {
    /// When the next session begins, in seconds from the start; `None` if none ever does.
    pub fn next(&self, place: &mut Place, stream: &mut Stream) -> Option<f64> {
        match self {
            Self::Poisson { per_second } => {
                place.now += exponential(*per_second, stream)?;
            }
            Self::Constant { per_second } => {
                if *per_second <= 0.0 {
                    return None;
                }
                place.count = place.count.wrapping_add(1);
                place.now += 1.0 / per_second;
            }
            Self::Renewal { gap } => place.now += gap.draw(stream).max(1e-6),
            Self::TwoRates { low_per_second, high_per_second, low_for, high_for } => {
                let stay = |high: bool, stream: &mut Stream| {
                    let mean = if high { high_for.0 } else { low_for.0 };
                    -mean * libm::log(stream.uniform())
                };
                let rate = |high: bool| if high { *high_per_second } else { *low_per_second };
                return switched(place, stream, rate, stay);
            }
            Self::OnOff { per_second, on, off } => {
                let stay = |high: bool, stream: &mut Stream| {
                    if high { on.draw(stream) } else { off.draw(stream) }
                };
                return switched(place, stream, |high| if high { *per_second } else { 0.0 }, stay);
            }
            Self::Diurnal { per_second, swing, period } => loop {
                // Thinning: candidates at the highest rate, kept as often as the rate says.
                place.now += exponential(per_second * (1.0 + swing), stream)?;
                let turn = 2.0 * core::f64::consts::PI * place.now / period.0;
                let share = (1.0 + swing * libm::sin(turn)) / (1.0 + swing);
                if stream.uniform() < share {
                    break;
                }
            },
            Self::Batch { count, within, first, every } => {
                if *count == 0 {
                    return None;
                }
                if place.offsets.is_empty() {
                    place.offsets = (0..*count).map(|_| within.0 * stream.uniform()).collect();
                    place.offsets.sort_unstable_by(|a, b| b.total_cmp(a));
                    place.batch = first.0 + f64::from(place.count) * every.0.max(1e-3);
                    place.count += 1;
                }
                place.now = place.batch + place.offsets.pop()?;
            }
            Self::Pulsed { per_second, on, period } => {
                let per_pulse = (per_second * on.0) as u32;
                if per_pulse == 0 {
                    return None;
                }
                let (pulse, within) = (place.count / per_pulse, place.count % per_pulse);
                place.count += 1;
                place.now = f64::from(pulse) * period.0 + f64::from(within) / per_second;
            }
        }
        Some(place.now)
    }

    /// Whether its parameters make sense.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self) -> Result<(), String> {
        let rates: &[f64] = match self {
            Self::Poisson { per_second }
            | Self::Constant { per_second }
            | Self::OnOff { per_second, .. }
            | Self::Diurnal { per_second, .. }
            | Self::Pulsed { per_second, .. } => &[*per_second],
            Self::TwoRates { low_per_second, high_per_second, .. } => {
                &[*low_per_second, *high_per_second]
            }
            Self::Renewal { .. } | Self::Batch { .. } => &[],
        };
        if let Some(rate) = rates.iter().find(|rate| !(0.0..=1e7).contains(*rate)) {
            return Err(format!("expected a rate from 0 to 10000000 per second, not {rate}"));
        }
        match self {
            Self::Renewal { gap } => gap.check(),
            Self::OnOff { on, off, .. } => on.check().and_then(|()| off.check()),
            Self::Diurnal { swing, period, .. } => {
                match (0.0..=1.0).contains(swing) && period.0 > 0.0 {
                    true => Ok(()),
                    false => Err("expected a swing from 0 to 1 and a positive period".into()),
                }
            }
            Self::TwoRates { low_for, high_for, .. } if low_for.0 <= 0.0 || high_for.0 <= 0.0 => {
                Err("expected positive stays in both rates".into())
            }
            Self::Batch { within, every, .. } if every.0 < within.0.max(1e-3) => {
                Err("expected `every` no shorter than `within`".into())
            }
            Self::Pulsed { on, period, .. } if on.0 <= 0.0 || period.0 < on.0 => {
                Err("expected a pulse that is shorter than its period".into())
            }
            _ => Ok(()),
        }
    }
}

fn exponential(rate: f64, stream: &mut Stream) -> Option<f64> {
    let gap = -libm::log(stream.uniform()) / rate;
    gap.is_finite().then_some(gap)
}

/// A Poisson process whose rate switches between two.
fn switched(
    place: &mut Place,
    stream: &mut Stream,
    rate: impl Fn(bool) -> f64,
    stay: impl Fn(bool, &mut Stream) -> f64,
) -> Option<f64> {
    if rate(true) <= 0.0 && rate(false) <= 0.0 {
        return None;
    }
    loop {
        if place.now >= place.phase_end {
            place.high = !place.high;
            place.phase_end = place.now + stay(place.high, stream).max(1e-6);
        }
        let next = match rate(place.high) {
            rate if rate > 0.0 => place.now - libm::log(stream.uniform()) / rate,
            _ => f64::INFINITY,
        };
        if next < place.phase_end {
            place.now = next;
            return Some(next);
        }
        // What was drawn beyond the phase is void: without memory, nothing is lost.
        place.now = place.phase_end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_quantile_is_the_inverse_of_the_normal_law() {
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-14);
        for p in [1e-300, 1e-12, 1e-5, 0.01, 0.07, 0.3, 0.5, 0.8, 0.999, 1.0 - 1e-9] {
            let x = normal_quantile(p);
            let back = 0.5 * libm::erfc(-x / core::f64::consts::SQRT_2);
            assert!((back / p - 1.0).abs() < 1e-9, "{p}: {back}");
        }
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
        }
    }

    #[test]
    fn every_arrival_law_has_its_rate_and_never_turns_back() {
        let (on, off) = (Law::Constant { is: Span(1.0) }, Law::Exponential { mean: Span(3.0) });
        let laws = [
            (Arrivals::Poisson { per_second: 5.0 }, 5.0),
            (Arrivals::Constant { per_second: 5.0 }, 5.0),
            (Arrivals::Renewal { gap: Law::Uniform { from: Span(0.0), to: Span(0.4) } }, 5.0),
            (
                Arrivals::TwoRates {
                    low_per_second: 2.0,
                    high_per_second: 10.0,
                    low_for: Span(5.0),
                    high_for: Span(3.0),
                },
                5.0,
            ),
            (Arrivals::OnOff { per_second: 20.0, on, off }, 5.0),
            (Arrivals::Diurnal { per_second: 5.0, swing: 0.8, period: Span(100.0) }, 5.0),
            (
                Arrivals::Batch {
                    count: 50,
                    within: Span(4.0),
                    first: Span(0.0),
                    every: Span(10.0),
                },
                5.0,
            ),
            (Arrivals::Pulsed { per_second: 20.0, on: Span(1.0), period: Span(4.0) }, 5.0),
        ];
        for (law, rate) in laws {
            assert_eq!(law.check(), Ok(()));
            let (mut place, mut stream) = (Place::default(), Stream::keyed(1, 0, "law", "rate"));
            let mut last = 0.0;
            for _ in 0..20_000 {
                let next = law.next(&mut place, &mut stream).expect("it never ends");
                assert!(next >= last, "{law:?}");
                last = next;
            }
            assert!((20_000.0 / last / rate - 1.0).abs() < 0.06, "{law:?}: {}", 20_000.0 / last);
        }
        let mut stream = Stream::keyed(1, 0, "law", "rate");
        let never = Arrivals::Poisson { per_second: 0.0 };
        assert_eq!(never.next(&mut Place::default(), &mut stream), None);
    }
}
