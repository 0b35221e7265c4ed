// SPDX-License-Identifier: GPL-2.0-only
//! What happens by itself: time, timers, grace periods, events.

use nfexp_model::event::{ConnEventKind, Event, ExpectEventKind, Origin};
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::kernel::{Cpu, Ticks};

use super::{Played, SimulatorOn, StepError};
use crate::schedule::Softirq;

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    /// Lets time pass, from one due timer to the next.
    pub(super) fn advance(&mut self, span: Ticks) {
        let end = self.now.after(span);
        while let Some(due) = self.engine.next_expiry().filter(|due| !due.time_after(end)) {
            if due.time_after(self.now) {
                self.now = due;
            }
            self.run_softirqs();
            if self.engine.next_expiry().is_some_and(|due| !due.time_after(self.now)) {
                // The schedule lets it wait: the rest of the span passes over it.
                break;
            }
        }
        self.now = end;
        // The wheel's clock comes along, so that what is added next is filed from here.
        self.ticked = true;
        self.run_softirqs();
    }

    /// Runs what the schedule picks until it picks nothing, or nothing is left.
    pub(super) fn run_softirqs(&mut self) {
        loop {
            let mut runnable: Vec<Softirq> =
                self.firing.iter().map(|firing| Softirq::TimedOut(firing.key())).collect();
            let due = self.engine.next_expiry().is_some_and(|due| !due.time_after(self.now));
            if self.ticked || due {
                runnable.push(Softirq::Timers);
            }
            if self.callbacks_are_due() {
                runnable.push(Softirq::RcuCallbacks);
            }
            let pick = if runnable.is_empty() { None } else { self.schedule.pick(&runnable) };
            let Some(pick) = pick else { break };
            match runnable[pick] {
                Softirq::TimedOut(_) => {
                    let firing = self.firing.remove(pick);
                    self.engine.timed_out(self.at(), firing);
                    self.drain();
                }
                Softirq::Timers => match self.engine.expire(self.now) {
                    Some(firing) => self.firing.push(firing),
                    None => self.ticked = false,
                },
                Softirq::RcuCallbacks => self.run_rcu_callbacks(),
            }
        }
        self.tell_freed();
    }

    /// Whether a callback could run. Who waits for a reader waits as long as none leaves, and is
    /// not asked again at each step.
    fn callbacks_are_due(&mut self) -> bool {
        if self.waiting {
            return false;
        }
        let due = self.engine.rcu().is_due();
        self.waiting = !due && self.held.values().any(|depth| *depth > 0);
        due
    }

    fn run_rcu_callbacks(&mut self) {
        let waiting = self.engine.waiting_to_be_freed();
        self.engine.run_rcu_callbacks();
        let slab = &self.engine.memory().expectations;
        self.freed.extend(waiting.into_iter().filter(|id| !slab.is_live(*id)));
    }

    /// The first half of an expiry, whatever the time.
    pub(super) fn fire(&mut self, exp: &str) -> Played {
        let key = TimerKey::expectation(self.exp_id(exp)?.index());
        match self.engine.expire_this(key) {
            Some(firing) => drop(self.fired.insert(exp.to_owned(), firing)),
            None => self.answers.push(format!("timer {exp} lost")),
        }
        Ok(())
    }

    /// The second.
    pub(super) fn callback(&mut self, exp: &str) -> Played {
        let firing = self.fired.remove(exp);
        let not_fired = || StepError::Trace(format!("the timer of {exp} is not firing"));
        self.engine.timed_out(self.at(), firing.ok_or_else(not_fired)?);
        Ok(())
    }

    pub(super) fn hold(&mut self, cpu: Cpu) -> Played {
        self.known_cpu(cpu)?;
        self.engine.rcu().hold(cpu);
        *self.held.entry(cpu).or_default() += 1;
        Ok(())
    }

    pub(super) fn release(&mut self, cpu: Cpu) -> Played {
        let depth = self.held.get_mut(&cpu).filter(|depth| **depth > 0);
        let depth = depth.ok_or_else(|| StepError::Trace(format!("{cpu:?} holds no section")))?;
        *depth -= 1;
        self.waiting = false;
        self.engine.rcu().release(cpu);
        Ok(())
    }

    /// Forgets the names of what is gone; tells what was freed while a reader is or was held.
    fn tell_freed(&mut self) {
        let mut freed = std::mem::take(&mut self.freed);
        freed.sort_unstable();
        for name in freed.into_iter().filter_map(|id| self.names.take(id)) {
            if !self.held.is_empty() {
                self.answers.push(format!("free {name}"));
            }
        }
        // No event tells when a connection's memory goes, and nobody asks for what has gone.
        if self.conn_names.len() > self.conn_names_most {
            let conns = &self.engine.memory().conns;
            self.conn_names.retain(|id, _| conns.is_live(*id));
            self.conn_names_most = self.conn_names.len() * 2 + 64;
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            let heard = self.watch.hear(&event);
            self.find(heard);
            self.raw.push(event);
            self.host.learn(&event);
            match event {
                Event::Expect(event) => {
                    let name = self.name_of(event.id);
                    let what = match event.kind {
                        ExpectEventKind::New => format!("new {name} use={}", self.uses(event.id)),
                        ExpectEventKind::Destroy(cause) => {
                            format!("destroy {name} {}", cause.word())
                        }
                    };
                    self.answers.push(format!("{what}{}", who(event.origin)));
                }
                // A connection that comes is the answer to its own step.
                Event::Conn(event) if event.kind == ConnEventKind::Destroy => {
                    let name = self.conn_names.get(&event.id).map_or("unnamed", String::as_str);
                    self.answers.push(format!("gone {name}"));
                }
                Event::Conn(_) => {}
            }
        }
    }
}

/// On whose behalf, where it is somebody's.
fn who(origin: Origin) -> String {
    let portid = match origin.portid {
        0 => String::new(),
        portid => format!(" portid={portid}"),
    };
    portid + if origin.report { " report" } else { "" }
}
