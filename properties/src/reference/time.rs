// SPDX-License-Identifier: GPL-2.0-only
//! Time: when a timer fires, and both halves of what it does then.

use nfexp_model::kernel::{Jiffies, Ticks};
use nfexp_model::revision::WheelKind;

use super::{Exp, Reference};

impl Reference {
    /// Time passes; what is told of one moment is in no order, so each moment stands apart.
    pub(super) fn advance(&mut self, ticks: u64) -> Vec<Vec<String>> {
        self.now = self.now.after(Ticks(ticks));
        if self.collects() {
            return Vec::new();
        }
        let now = self.now;
        let due = |exp: &Exp| exp.linked && !exp.firing && now.time_after_eq(exp.deadline);
        let mut due: Vec<usize> = (0..self.exps.len()).filter(|at| due(&self.exps[*at])).collect();
        due.sort_by_key(|at| self.exps[*at].deadline.ticks_from(now));
        let mut moments: Vec<(Jiffies, Vec<String>)> = Vec::new();
        for at in due {
            let deadline = self.exps[at].deadline;
            let mut told = Vec::new();
            self.unlink(at, "expiry", &mut told);
            match moments.last_mut().filter(|(moment, _)| *moment == deadline) {
                Some((_, lines)) => lines.append(&mut told),
                None => moments.push((deadline, told)),
            }
        }
        moments.into_iter().map(|(_, lines)| lines).collect()
    }

    /// How many ticks it takes until the next expectation is over by its age.
    #[must_use]
    pub fn ticks_to_expiry(&self) -> Option<u64> {
        let waits = self.exps.iter().filter(|exp| exp.linked && !exp.firing);
        let ticks = waits.map(|exp| exp.deadline.ticks_from(self.now)).filter(|ticks| *ticks > 0);
        ticks.min().map(|ticks| ticks as u64)
    }

    /// The first half of an expiry, whatever the time.
    pub(super) fn fire(&mut self, name: &str) -> Vec<String> {
        let named = |exp: &Exp| exp.linked && exp.said.name == name;
        let at = self.exps.iter().position(named).unwrap_or_else(|| self.held[name]);
        let collects = self.collects();
        let exp = &mut self.exps[at];
        if !exp.linked || exp.firing || collects {
            return vec![format!("timer {name} lost")];
        }
        exp.firing = true;
        Vec::new()
    }

    /// The second half.
    pub(super) fn callback(&mut self, name: &str) -> Vec<String> {
        let mut told = Vec::new();
        let named = |exp: &Exp| exp.firing && exp.said.name == name;
        if let Some(at) = self.exps.iter().position(named) {
            self.unlink(at, "expiry", &mut told);
        }
        told
    }

    /// An expectation was collected, the engine says: it must have been over.
    ///
    /// # Errors
    /// If it was not.
    pub fn collected(&mut self, name: &str, cause: &str) -> Result<(), String> {
        let named = |exp: &Exp| exp.linked && exp.said.name == name;
        let at = self.exps.iter().position(named);
        let at = at.ok_or_else(|| format!("{name} is not linked"))?;
        let expected = if self.exps[at].dead { "unexpect" } else { "expiry" };
        if !self.is_over(&self.exps[at]) || cause != expected {
            return Err(format!("{name} was not over for {cause}"));
        }
        self.unlink(at, cause, &mut Vec::new());
        Ok(())
    }

    /// Whether the collector has left anything of a master that is over.
    pub(super) fn has_over(&self, master: &str) -> bool {
        let master = self.named[master];
        let conn = &self.conns[master];
        conn.confirmed
            && !conn.dying
            && self.exps.iter().any(|exp| exp.linked && exp.master == master && self.is_over(exp))
    }

    /// A user deletes everything of a namespace; in no order.
    pub(super) fn flush(&mut self, net: u16) -> Vec<String> {
        self.end_where("flush", |all, exp| all.net_of(exp) == net)
    }

    pub(super) fn end_where(
        &mut self,
        cause: &str,
        which: impl Fn(&Self, &Exp) -> bool,
    ) -> Vec<String> {
        let mut told = Vec::new();
        for at in 0..self.exps.len() {
            if self.exps[at].linked && which(self, &self.exps[at]) {
                self.end(at, cause, &mut told);
            }
        }
        told
    }
}

/// What `timer.expires` says of a timer of `span` ticks, started at `now`.
pub(super) fn counts_down_to(wheel: WheelKind, now: Jiffies, span: u64) -> Jiffies {
    match wheel {
        WheelKind::Cascading => fires_at(wheel, now, span),
        WheelKind::Levelled => now.after(Ticks(span)),
    }
}

/// When a timer of `span` ticks, started at `now`, fires.
pub(super) fn fires_at(wheel: WheelKind, now: Jiffies, span: u64) -> Jiffies {
    let expires = now.0.wrapping_add(span);
    match wheel {
        WheelKind::Cascading if span < 256 => Jiffies(expires),
        WheelKind::Cascading => {
            // The roundest number behind the expiry within a slack of 1/256.
            let limit = expires.wrapping_add(span / 256);
            let round = |zeroes: u32| Jiffies(limit >> zeroes << zeroes);
            let fits = |zeroes: &u32| round(*zeroes).time_after(Jiffies(expires));
            round((0..64).rev().find(fits).unwrap_or(0))
        }
        WheelKind::Levelled => {
            // Level n holds what is at least 63 slots of the level below ahead of the next jiffy.
            let ahead = span.saturating_sub(1);
            let level = (1..9).take_while(|level| ahead >= 63 << (3 * (level - 1))).count();
            let width = 3 * level as u64;
            Jiffies(((expires >> width).wrapping_add(1)) << width)
        }
    }
}
