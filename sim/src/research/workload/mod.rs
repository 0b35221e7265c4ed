// SPDX-License-Identifier: GPL-2.0-only
//! A workload: a scenario, a seed and a replication, as a stream of happenings.
//!
//! ```text
//!  session ──▶ open a master ──▶ announce, announce, … ──▶ close the master
//!                                    └──▶ arrive (perhaps), after the delay law
//! ```
//!
//! Where every announcement of a burst has a master of its own, each of these opens and closes.
//!
//! *Useful*: a connection that arrives while its expectation would still stand if there were no
//! limits: before its class's timeout and its master's end. The share of useful arrivals that
//! find their expectation is the *recall*.
//!
//! Happenings come in the order of time, ties in the order they were made; memory is bounded by
//! what is under way, not by how long it lasts.
//!
//! The rule that matters: open loop. Nothing here depends on what the table answers, so every
//! policy meets the same happenings.

pub mod happening;
mod queue;
mod session;

pub use self::happening::{Happening, Micros, NEVER, What, Who, jiffy, micros};
use self::queue::{Next, Queue};
use super::cast::{Cast, Kind};
use super::law::{Arrivals, Place};
use super::random::Stream;
use super::scenario::{ClassSpec, Count, Scenario, Sourced};

/// A stream of happenings.
#[derive(Debug)]
pub struct Workload {
    horizon: Micros,
    hz: u64,
    kinds: Vec<KindState>,
    tapes: Vec<session::Played>,
    masters: Vec<MasterState>,
    free: Vec<u32>,
    /// What is to come. The kinds of the classes are its first sources, then the recordings.
    queue: Queue<Pending>,
    next_key: u64,
    fresh_sources: u32,
}

#[derive(Debug)]
struct KindState {
    spec: ClassSpec,
    timeout_ticks: u64,
    first_master: u32,
    place: Place,
    arrivals: Stream,
    who: Stream,
    answer: Stream,
    delay: Stream,
    burst: Stream,
    life: Stream,
}

#[derive(Clone, Copy, Debug, Default)]
struct MasterState {
    who: Who,
    open: bool,
    closes: Micros,
    /// The key of its permanent expectation, and how often it was announced.
    key: Option<u64>,
    epoch: u32,
}

#[derive(Clone, Copy, Debug)]
enum Pending {
    Announce { kind: u16, master: u32 },
    Another { who: Who },
    Arrive { kind: u16, master: u32, key: u64, useful: bool, epoch: u32, until: Micros },
    Say { tape: u16, session: u32, said: u32, master: u32, began: Micros, key: u64 },
    Come { kind: u16, master: u32, key: u64, useful: bool },
    Withdraw { kind: u16, master: u32, key: u64 },
    Close { master: u32 },
}

impl Workload {
    /// The workload of a scenario, in a kernel that counts `hz` ticks a second.
    #[must_use]
    pub fn new(scenario: &Scenario, cast: &Cast, seed: u64, replication: u32, hz: u32) -> Self {
        let mut masters = Vec::new();
        let mut kinds = Vec::new();
        for (index, (spec, kind)) in scenario.classes.iter().zip(&cast.kinds).enumerate() {
            let stream = |purpose: &str| Stream::keyed(seed, replication, &spec.name, purpose);
            let index = u16::try_from(index).expect("few classes");
            let pool = spec.masters.as_ref().map_or(0, |count| count.value.count);
            let first_master = u32::try_from(masters.len()).expect("checked counts");
            masters.extend((0..pool).map(|member| MasterState {
                who: Who { kind: index, member, ..Who::default() },
                closes: NEVER,
                ..MasterState::default()
            }));
            kinds.push(KindState {
                spec: spec.clone(),
                timeout_ticks: u64::from(kind.timeout_secs) * u64::from(hz),
                first_master,
                place: Place::default(),
                arrivals: stream("arrivals"),
                who: stream("masters"),
                answer: stream("answered"),
                delay: stream("delay"),
                burst: stream("burst"),
                life: stream("life"),
            });
        }
        let tapes = session::Played::all(scenario, cast, kinds.len(), (seed, replication, hz));
        let mut workload = Self {
            horizon: micros(scenario.run.value.lasts.0),
            hz: u64::from(hz),
            queue: Queue::new(kinds.len() + tapes.len()),
            tapes,
            kinds,
            masters,
            free: Vec::new(),
            next_key: 1,
            fresh_sources: 0,
        };
        for kind in 0..workload.kinds.len() {
            workload.next_session(kind as u16);
        }
        for tape in 0..workload.tapes.len() {
            workload.next_recorded(tape as u16);
        }
        workload
    }

    /// The moment it ends.
    #[must_use]
    pub fn horizon(&self) -> Micros {
        self.horizon
    }

    fn next_session(&mut self, kind: u16) {
        let state = &mut self.kinds[usize::from(kind)];
        let during = state.spec.during.as_ref().map(|during| &during.value);
        let (from, to) = during.map_or((0, NEVER), |part| (micros(part.from.0), micros(part.to.0)));
        let last = self.horizon.min(to);
        let law = &state.spec.arrivals.value;
        let next = law.next(&mut state.place, &mut state.arrivals, behind(last, from));
        let next = next.map_or(NEVER, |next| micros(next).saturating_add(from));
        if next <= last {
            self.queue.begin(usize::from(kind), next);
        }
    }

    /// A session of a class begins; answers its master's beginning, if that begins with it.
    fn session(&mut self, at: Micros, kind: u16) -> Option<What> {
        self.next_session(kind);
        let (master, opens) = self.pick_master(kind);
        self.queue.enter(at, Pending::Announce { kind, master });
        let KindState { spec, burst, .. } = &mut self.kinds[usize::from(kind)];
        let (mut last, mut own_masters) = (at, false);
        let who = self.masters[master as usize].who;
        if let Some(shape) = spec.burst.as_ref().map(|shape| &shape.value) {
            let count = match shape.exact {
                true => shape.mean as u32,
                false => geometric(shape.mean, burst.uniform()),
            };
            own_masters = shape.own_masters;
            for _ in 1..count {
                last = last.saturating_add(micros(shape.gap.draw(burst)));
                let next = match own_masters {
                    true => Pending::Another { who },
                    false => Pending::Announce { kind, master },
                };
                self.queue.enter(last, next);
            }
        }
        if spec.masters.is_none() {
            self.close_after(if own_masters { at } else { last }, master);
        }
        opens
    }

    /// A master that ends: so long after its last announcement as the law says, or stays until
    /// nothing it announced can stand any more.
    fn close_after(&mut self, last: Micros, master: u32) {
        let kind = self.masters[master as usize].who.kind;
        let KindState { spec, life, timeout_ticks, .. } = &mut self.kinds[usize::from(kind)];
        let own = spec.life.as_ref().map(|law| micros(law.value.draw(life)));
        let usual = (*timeout_ticks * 9 / 8 + 2 * self.hz) * 1_000_000 / self.hz;
        let closes = last.saturating_add(own.unwrap_or(usual));
        self.masters[master as usize].closes = closes;
        self.queue.enter(closes, Pending::Close { master });
    }

    /// Another announcement of a session, and the master that is its own.
    fn another(&mut self, at: Micros, who: Who) -> What {
        let master = self.free_master();
        let state = MasterState { who, open: true, ..MasterState::default() };
        self.masters[master as usize] = state;
        self.queue.enter(at, Pending::Announce { kind: who.kind, master });
        self.close_after(at, master);
        What::Open { master, who }
    }

    fn pick_master(&mut self, kind: u16) -> (u32, Option<What>) {
        let state = &mut self.kinds[usize::from(kind)];
        let draw = state.who.bits();
        let below = |bound: u32| (((draw >> 32) * u64::from(bound)) >> 32) as u32;
        let of = |count: &Option<Sourced<Count>>| count.as_ref().map(|count| count.value.count);
        let (pool, sources) = (of(&state.spec.masters), of(&state.spec.sources));
        let (nets, zones) = (of(&state.spec.namespaces), of(&state.spec.zones));
        let (master, number) = match pool {
            Some(pool) => (state.first_master + below(pool), below(pool)),
            None => {
                self.fresh_sources = self.fresh_sources.wrapping_add(1);
                let fresh = MasterState::default();
                let master = self.free_master();
                self.masters[master as usize] =
                    MasterState { who: Who { kind, member: u32::MAX, ..Who::default() }, ..fresh };
                let number = sources.map_or(self.fresh_sources, below);
                (master, number)
            }
        };
        let master_state = &mut self.masters[master as usize];
        let opens = (!master_state.open).then(|| {
            master_state.open = true;
            master_state.who.source = sources.map_or(number, |sources| number % sources);
            master_state.who.net = nets.map_or(0, |nets| (number % nets) as u16);
            // Each namespace has all the zones.
            let within = number / nets.unwrap_or(1);
            master_state.who.zone = zones.map_or(0, |zones| (within % zones) as u16);
            let who = master_state.who;
            What::Open { master, who }
        });
        (master, opens)
    }

    /// A number for a new master.
    fn free_master(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.masters.push(MasterState::default());
            self.masters.len() as u32 - 1
        })
    }

    fn announce(&mut self, at: Micros, kind: u16, master: u32) -> Option<What> {
        let state = &mut self.kinds[usize::from(kind)];
        // One draw per question, whatever the answers: scenarios stay comparable.
        let (answered, lost) = (state.answer.uniform(), state.answer.uniform());
        let delay = state.spec.delay.value.draw(&mut state.delay);
        let loss = state.spec.loss.as_ref().map(|loss| &loss.value);
        let (no_announcement, no_connection) =
            loss.map_or((0.0, 0.0), |loss| (loss.announcement, loss.connection));
        if lost < no_announcement {
            return None;
        }
        let answered = answered < state.spec.answered.value.share * (1.0 - no_connection);
        let permanent = state.spec.permanent;
        let until = at.saturating_add(state.timeout_ticks * 1_000_000 / self.hz);
        let gone = jiffy(at, self.hz) + state.timeout_ticks;
        let master_state = &mut self.masters[master as usize];
        let key = match master_state.key.filter(|_| permanent) {
            Some(key) => key,
            None => {
                self.next_key += 1;
                self.next_key
            }
        };
        if permanent {
            master_state.key = Some(key);
            master_state.epoch += 1;
        }
        let (epoch, closes) = (master_state.epoch, master_state.closes);
        let mut arrives = NEVER;
        if answered {
            let time = at.saturating_add(micros(delay));
            let useful = self.jiffy(time) < gone && time < closes;
            // After its master's end nobody waits for it, and the number may be another's.
            if time < closes && time <= self.horizon {
                let arrival = Pending::Arrive { kind, master, key, useful, epoch, until };
                self.queue.enter(time, arrival);
            }
            if useful {
                arrives = time;
            }
        }
        Some(What::Announce { master, kind, key, arrives })
    }

    fn arrive(&mut self, at: Micros, pending: Pending) -> Option<What> {
        let Pending::Arrive { kind, master, key, useful, epoch, until } = pending else {
            return None;
        };
        let state = &mut self.kinds[usize::from(kind)];
        if state.spec.permanent {
            // A later announcement took over, with arrivals of its own.
            if self.masters[master as usize].epoch != epoch {
                return None;
            }
            let next = at.saturating_add(micros(state.spec.delay.value.draw(&mut state.delay)));
            if next < until.min(self.masters[master as usize].closes) && next <= self.horizon {
                self.queue.enter(next, pending);
            }
        }
        Some(What::Arrive { master, kind, key, useful })
    }

    fn come(&mut self, at: Micros, pending: Pending) -> Option<What> {
        match pending {
            Pending::Announce { kind, master } => self.announce(at, kind, master),
            Pending::Another { who } => Some(self.another(at, who)),
            Pending::Arrive { .. } => self.arrive(at, pending),
            Pending::Say { .. } => self.say(at, pending),
            Pending::Come { kind, master, key, useful } => {
                Some(What::Arrive { master, kind, key, useful })
            }
            Pending::Withdraw { kind, master, key } => Some(What::Withdraw { master, kind, key }),
            Pending::Close { master } => {
                self.masters[master as usize].open = false;
                self.free.push(master);
                Some(What::Close { master })
            }
        }
    }

    fn jiffy(&self, at: Micros) -> u64 {
        jiffy(at, self.hz)
    }
}

impl Iterator for Workload {
    type Item = Happening;

    fn next(&mut self) -> Option<Happening> {
        loop {
            let (at, next) = self.queue.next()?;
            if at > self.horizon {
                return None;
            }
            let what = match next {
                Next::Begins(source) => match source.checked_sub(self.kinds.len()) {
                    None => self.session(at, source as u16),
                    Some(tape) => Some(self.begin(at, tape as u16)),
                },
                Next::Comes(pending) => self.come(at, pending),
            };
            if let Some(what) = what {
                return Some(Happening { at, what });
            }
        }
    }
}

/// In seconds from `from`, a moment that is behind `last` however it is rounded.
fn behind(last: Micros, from: Micros) -> f64 {
    last.saturating_sub(from).saturating_add(1) as f64 / 1e6
}

/// A geometric number with this mean, at least one.
fn geometric(mean: f64, uniform: f64) -> u32 {
    if mean <= 1.0 {
        return 1;
    }
    let more = libm::log(uniform) / libm::log(1.0 - 1.0 / mean);
    1 + (more as u32).min(100_000)
}

/// How many masters may be open at once, for sizing the engine's memory.
#[must_use]
pub fn masters_at_once(scenario: &Scenario, cast: &Cast) -> u32 {
    let of = |(spec, kind): (&ClassSpec, &Kind)| {
        if let Some(pool) = &spec.masters {
            return f64::from(pool.value.count);
        }
        let rate = match &spec.arrivals.value {
            Arrivals::Poisson { per_second }
            | Arrivals::Constant { per_second }
            | Arrivals::OnOff { per_second, .. }
            | Arrivals::Pulsed { per_second, .. } => *per_second,
            Arrivals::Diurnal { per_second, swing, .. } => per_second * (1.0 + swing),
            Arrivals::TwoRates { high_per_second, low_per_second, .. } => {
                high_per_second.max(*low_per_second)
            }
            Arrivals::Batch { count, every, .. } => f64::from(*count) / every.0.min(1.0),
            Arrivals::Renewal { .. } => 100.0,
        };
        let each = match spec.burst.as_ref().map(|burst| &burst.value) {
            Some(burst) if burst.own_masters => burst.mean,
            _ => 1.0,
        };
        rate * each * 1.5 * (f64::from(kind.timeout_secs) * 1.25 + 60.0) + 1000.0
    };
    let sum: f64 = scenario.classes.iter().zip(&cast.kinds).map(of).sum();
    (sum as u32).clamp(1024, 1 << 22)
}
