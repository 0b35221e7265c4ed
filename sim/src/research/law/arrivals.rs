// SPDX-License-Identifier: GPL-2.0-only
//! Arrival laws: when sessions begin.

use serde::Deserialize;

use super::{Law, Span, brief};
use crate::research::random::Stream;

/// When sessions begin.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "law", rename_all = "kebab-case", deny_unknown_fields)]
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
    /// When the next session begins, in seconds from the start; `None` if none ever does. Behind
    /// `end` nobody looks for it: what begins there may be `None` as well.
    pub fn next(&self, place: &mut Place, stream: &mut Stream, end: f64) -> Option<f64> {
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
                let turns = [low_for.0, high_for.0];
                return switched(place, stream, end, turns, rate, stay);
            }
            Self::OnOff { per_second, on, off } => {
                let stay = |high: bool, stream: &mut Stream| {
                    if high { on.draw(stream) } else { off.draw(stream) }
                };
                let turns = [off.mean(), on.mean()];
                let rate = |high: bool| if high { *per_second } else { 0.0 };
                return switched(place, stream, end, turns, rate, stay);
            }
            Self::Diurnal { per_second, swing, period } => loop {
                // Thinning: candidates at the highest rate, kept as often as the rate says.
                place.now += exponential(per_second * (1.0 + swing), stream)?;
                let turn = 2.0 * core::f64::consts::PI * place.now / period.0;
                let share = (1.0 + swing * libm::sin(turn)) / (1.0 + swing);
                if stream.uniform() < share {
                    break;
                }
                if place.now > end {
                    return None;
                }
            },
            Self::Batch { count, within, first, every } => {
                if *count == 0 {
                    return None;
                }
                if place.offsets.is_empty() {
                    place.batch = first.0 + f64::from(place.count) * every.0.max(1e-3);
                    if place.batch > end {
                        return None;
                    }
                    place.offsets = (0..*count).map(|_| within.0 * stream.uniform()).collect();
                    place.offsets.sort_unstable_by(|a, b| b.total_cmp(a));
                    place.count += 1;
                }
                place.now = place.batch + place.offsets.pop()?;
            }
            Self::Pulsed { per_second, on, period } => {
                if *per_second <= 0.0 {
                    return None;
                }
                // How many belong into so many pulses: 0.29 a second for 100 s are not 28.999…,
                // and of half an announcement a pulse every second has one.
                let each = per_second * on.0;
                let nth = f64::from(place.count);
                let pulse = libm::ceil((nth + 1.0 - 1e-6) / each) - 1.0;
                let before = libm::floor(pulse * each + 1e-6);
                place.count = place.count.wrapping_add(1);
                place.now = pulse * period.0 + (nth - before) / per_second;
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
            let rate = brief(*rate);
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
            Self::Batch { count, .. } if *count > 10_000_000 => {
                Err(format!("expected at most 10000000 in a batch, not {count}"))
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

/// A Poisson process whose rate switches between two, which stay so long in the mean. Which one it
/// begins in is drawn by how much of the time it is there: the first moment is like any other.
fn switched(
    place: &mut Place,
    stream: &mut Stream,
    end: f64,
    [low_for, high_for]: [f64; 2],
    rate: impl Fn(bool) -> f64,
    stay: impl Fn(bool, &mut Stream) -> f64,
) -> Option<f64> {
    if rate(true) <= 0.0 && rate(false) <= 0.0 {
        return None;
    }
    while place.now <= end {
        if place.now >= place.phase_end {
            place.high = match place.phase_end > 0.0 {
                true => !place.high,
                false if high_for.is_infinite() => low_for.is_finite() || stream.uniform() < 0.5,
                false => stream.uniform() * (low_for + high_for) < high_for,
            };
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
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: f64 = f64::INFINITY;

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
                let next = law.next(&mut place, &mut stream, NEVER).expect("it never ends");
                assert!(next >= last, "{law:?}");
                last = next;
            }
            assert!((20_000.0 / last / rate - 1.0).abs() < 0.06, "{law:?}: {}", 20_000.0 / last);
        }
        let pulses = Arrivals::Pulsed { per_second: 0.29, on: Span(100.0), period: Span(300.0) };
        let (mut place, mut stream) = (Place::default(), Stream::keyed(1, 0, "law", "rate"));
        let within = (0..100).filter(|_| pulses.next(&mut place, &mut stream, NEVER) < Some(300.0));
        assert_eq!(within.count(), 29);
        // Five in two pulses, and one in four.
        for (per_second, first) in [(2.5, &[0.0, 0.4, 10.0, 10.4, 10.8, 20.0][..]), (0.25, &[30.0])]
        {
            let pulses = Arrivals::Pulsed { per_second, on: Span(1.0), period: Span(10.0) };
            let mut place = Place::default();
            for at in first {
                let next = pulses.next(&mut place, &mut stream, NEVER).expect("it never ends");
                assert!((next - at).abs() < 1e-9, "{next} for {at}");
            }
        }
        let never = Arrivals::Poisson { per_second: 0.0 };
        assert_eq!(never.next(&mut Place::default(), &mut stream, NEVER), None);
    }

    /// Of a second from the start on as much comes as of any other: three eighths of the time are
    /// the high ones', a quarter is on.
    #[test]
    fn what_takes_turns_begins_as_it_goes_on() {
        let span = |seconds| Law::Exponential { mean: Span(seconds) };
        let two = Arrivals::TwoRates {
            low_per_second: 2.0,
            high_per_second: 10.0,
            low_for: Span(5.0),
            high_for: Span(3.0),
        };
        let on_off = Arrivals::OnOff { per_second: 20.0, on: span(10.0), off: span(30.0) };
        for law in [two, on_off] {
            let mut came = 0;
            for seed in 0..4000 {
                let (mut place, mut stream) =
                    (Place::default(), Stream::keyed(seed, 0, "law", "first"));
                while law.next(&mut place, &mut stream, NEVER).expect("it never ends") < 1.0 {
                    came += 1;
                }
            }
            let mean = f64::from(came) / 4000.0;
            assert!((mean - 5.0).abs() < 0.5, "{law:?}: {mean} in the first second");
        }
    }

    /// A rate at which nothing comes in a lifetime, a day that is over before it begins, a batch of
    /// millions that is too late.
    #[test]
    fn nobody_looks_for_what_begins_behind_the_end() {
        let short = Span(1e-6);
        let (on, off) = (Law::Constant { is: short }, Law::Constant { is: short });
        for law in [
            Arrivals::OnOff { per_second: 1e-13, on, off },
            Arrivals::TwoRates {
                low_per_second: 0.0,
                high_per_second: 1e-13,
                low_for: short,
                high_for: short,
            },
            Arrivals::Diurnal { per_second: 5.0, swing: 1.0, period: Span(1e-320) },
            Arrivals::Batch {
                count: 10_000_000,
                within: Span(1.0),
                first: Span(2.0),
                every: Span(1.0),
            },
        ] {
            let (mut place, mut stream) = (Place::default(), Stream::keyed(1, 0, "law", "end"));
            assert_eq!(law.next(&mut place, &mut stream, 1.0), None, "{law:?}");
            assert!(place.offsets.is_empty());
        }
    }
}
