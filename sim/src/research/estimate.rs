// SPDX-License-Identifier: GPL-2.0-only
//! How much a scenario is, before anything of it is made.
//!
//! An estimate from rates and means, so that what would run for days, or out of memory, is refused
//! at once and says why. What comes back by chance above it still meets the bound in the run.

use super::cast::Cast;
use super::cell::too_many;
use super::law::{Arrivals, Law};
use super::random::Stream;
use super::scenario::{ClassSpec, RecordingSpec, Scenario};

/// About how many happenings a run has, if they are about as many as are allowed, or fewer.
///
/// # Errors
/// The estimate, the bound, and what can be done.
pub fn fits(scenario: &Scenario, most: u64) -> Result<f64, String> {
    let estimate = happenings(scenario);
    match estimate <= most as f64 {
        true => Ok(estimate),
        false => Err(too_many(&format!("about {estimate:.1e}"), most)),
    }
}

/// About how many happenings a run has.
#[must_use]
pub fn happenings(scenario: &Scenario) -> f64 {
    let lasts = scenario.run.value.lasts.0;
    // Which helper lets a permanent one live how long is the cast's to say.
    let cast = Cast::of(scenario).ok();
    let timeout = |at: usize| {
        let kind = cast.as_ref().and_then(|cast| cast.kinds.get(at));
        kind.map_or(300.0, |kind| f64::from(kind.timeout_secs))
    };
    let classes = scenario.classes.iter().enumerate();
    let classes: f64 = classes.map(|(at, class)| of_class(class, lasts, timeout(at))).sum();
    let recordings: f64 = scenario.recordings.iter().map(|one| of_recording(one, lasts)).sum();
    classes + recordings
}

fn of_class(class: &ClassSpec, lasts: f64, timeout: f64) -> f64 {
    let during = class.during.as_ref().map(|during| &during.value);
    let (from, to) = during.map_or((0.0, lasts), |part| (part.from.0, part.to.0.min(lasts)));
    let sessions = sessions(&class.arrivals.value, (to - from).max(0.0));
    let burst = class.burst.as_ref().map_or(1.0, |burst| burst.value.mean);
    let arrivals = match class.permanent {
        // As many as come one after the other until it expires.
        true => timeout / mean_within(&class.delay.value, timeout),
        false => 1.0,
    };
    // Their begin and their end.
    let own_masters = match class.burst.as_ref().is_some_and(|burst| burst.value.own_masters) {
        true => 2.0 * burst,
        false if class.masters.is_none() => 2.0,
        false => 0.0,
    };
    sessions * (burst * (1.0 + class.answered.value.share * arrivals) + own_masters)
}

fn of_recording(recording: &RecordingSpec, lasts: f64) -> f64 {
    let (announced, came) = recording.recorded.counts();
    let all = recording.recorded.sessions.len();
    let once = (announced + came) as f64 + 2.0 * all as f64;
    match &recording.arrivals {
        None => once,
        Some(arrivals) => sessions(&arrivals.value, lasts) * once / (all as f64).max(1.0),
    }
}

/// How many sessions begin within so many seconds; or how often what takes turns takes them, if
/// that is more often: each has to be drawn.
fn sessions(arrivals: &Arrivals, lasts: f64) -> f64 {
    match arrivals {
        Arrivals::Poisson { per_second }
        | Arrivals::Constant { per_second }
        | Arrivals::Diurnal { per_second, .. } => per_second * lasts,
        Arrivals::Renewal { gap } => lasts / mean_within(gap, lasts),
        Arrivals::TwoRates { low_per_second, high_per_second, low_for, high_for } => {
            let (low, high) = (low_for.0.max(1e-6), high_for.0.max(1e-6));
            lasts * (low_per_second * low + high_per_second * high).max(2.0) / (low + high)
        }
        Arrivals::OnOff { per_second, on, off } => {
            let (on, off) = (mean_within(on, lasts), mean_within(off, lasts));
            lasts * (per_second * on).max(2.0) / (on + off)
        }
        Arrivals::Batch { count, first, every, .. } => {
            let batches = ((lasts - first.0) / every.0.max(1e-3)).max(-1.0).floor() + 1.0;
            f64::from(*count) * batches
        }
        Arrivals::Pulsed { per_second, on, period } => {
            per_second * on.0 * (lasts / period.0).max(1.0)
        }
    }
}

/// The mean of a law, cut off at `within` seconds: such a mean is always there, and one long wait
/// is no longer than the run.
fn mean_within(law: &Law, within: f64) -> f64 {
    const DRAWS: u32 = 4096;
    let mut stream = Stream::keyed(0, 0, "estimate", "mean");
    let sum: f64 = (0..DRAWS).map(|_| law.draw(&mut stream).clamp(1e-6, within.max(1e-6))).sum();
    sum / f64::from(DRAWS)
}
