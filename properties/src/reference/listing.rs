// SPDX-License-Identifier: GPL-2.0-only
//! The lines of `/proc/net/nf_conntrack_expect`, from the description of its format.

use nfexp_model::helper::Class;
use nfexp_model::revision::{ClassText, HelperFrom};

use super::{Exp, Reference};

impl Reference {
    /// The listing of a namespace, in no order; a line's trailing blank is shown as ` $`.
    pub(super) fn listing(&self, net: u16) -> Vec<String> {
        let shown = |exp: &&Exp| exp.linked && self.net_of(exp) == net && !self.is_over(exp);
        let lines: Vec<String> = self.exps.iter().filter(shown).map(|exp| self.line(exp)).collect();
        if lines.is_empty() { vec!["end".to_owned()] } else { lines }
    }

    fn line(&self, exp: &Exp) -> String {
        let left = exp.expires.ticks_from(self.now) / i64::from(self.hz);
        let left = if exp.firing { 0 } else { left };
        let tuple = &exp.said.tuple;
        let mut line = format!(
            "{left} l3proto = 2 proto=6 src={} dst={} sport={} dport={} ",
            tuple.src.ip(tuple.l3),
            tuple.dst.ip(tuple.l3),
            tuple.sport,
            tuple.dport,
        );
        let named = [(1, "PERMANENT"), (2, "INACTIVE"), (4, "USERSPACE")];
        let flags: Vec<&str> = named
            .into_iter()
            .filter(|(bit, _)| exp.said.flags.0 & bit != 0)
            .map(|(_, name)| name)
            .collect();
        line += &flags.join(",");
        let helper = match self.revision.helper_from {
            HelperFrom::Master => self.conns[exp.master].help.flatten(),
            HelperFrom::Expectation => exp.creator,
        };
        if let Some(helper) = helper {
            if !flags.is_empty() {
                line.push(' ');
            }
            line += helper.name;
            let class = Class::new(exp.said.class).expect("a class of four");
            let class = helper.policy(class).map_or("", |policy| policy.name);
            if self.revision.class_text == ClassText::Always || !class.is_empty() {
                line += &format!("/{class}");
            }
        }
        match line.strip_suffix(' ') {
            Some(line) => format!("{line} $"),
            None => line,
        }
    }
}
