// SPDX-License-Identifier: GPL-2.0-only
//! What happens by itself: time, timers, grace periods, events.

use std::collections::BTreeMap;

use nfexp_model::event::{ConnEventKind, Event, ExpectEventKind, Origin};
use nfexp_model::kernel::{Cpu, Ticks};

use super::{Played, Simulator, StepError};

impl Simulator {
    pub(super) fn advance(&mut self, span: Ticks) {
        let end = self.now.after(span);
        while let Some(due) = self.engine.next_expiry().filter(|due| !due.time_after(end)) {
            if due.time_after(self.now) {
                self.now = due;
            }
            while let Some(firing) = self.engine.expire(self.now) {
                self.engine.timed_out(self.at(), firing);
                self.drain();
            }
            self.settle();
        }
        self.now = end;
        // The wheel's clock comes along, so that what is added next is filed from here.
        while let Some(firing) = self.engine.expire(end) {
            self.engine.timed_out(self.at(), firing);
        }
    }

    pub(super) fn release(&mut self, cpu: Cpu) -> Played {
        let depth = self.held.get_mut(&cpu).filter(|depth| **depth > 0);
        let depth = depth.ok_or_else(|| StepError::Trace(format!("{cpu:?} holds no section")))?;
        *depth -= 1;
        self.engine.rcu().release(cpu);
        Ok(())
    }

    /// The RCU softirq; tells what it freed while a reader is or was held.
    pub(super) fn settle(&mut self) {
        self.engine.run_rcu_callbacks();
        let memory = self.engine.memory();
        let (gone, here): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|(id, _)| !memory.expectations.is_live(*id));
        self.names = here;
        if !self.held.is_empty() {
            self.answers.extend(gone.into_values().map(|name| format!("free {name}")));
        }
        self.conn_names.retain(|id, _| memory.conns.is_live(*id));
    }

    pub(super) fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.raw.push(event);
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
