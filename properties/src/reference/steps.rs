// SPDX-License-Identifier: GPL-2.0-only
//! The steps of a trace, as far as the reference understands them.

use nfexp_model::helper::Helper;
use nfexp_model::kernel::Ticks;
use nfexp_traces::step::{Announcement, HelperChoice, Step, Target};

use super::{Help, Reference, Said};

impl Reference {
    /// What a step is answered: groups of lines in this order, each group in any order.
    ///
    /// # Panics
    /// If it is a step about memory, processors or open files, of which nothing is known here.
    pub fn step(&mut self, step: &Step) -> Vec<Vec<String>> {
        let told = match step {
            Step::Conn { name, tuple, place, helper, .. } => {
                let help = self.help(helper);
                self.conn(name, *tuple, *place, help);
                Vec::new()
            }
            Step::Confirm { conn } => self.confirm(conn),
            Step::Delete { conn } => self.delete(conn),
            Step::Destroy { conn } => self.destroy(conn),
            Step::Helper { conn, helper } => {
                let helper = self.help(helper).flatten();
                self.change_helper(conn, helper)
            }
            Step::Expect { announcement, skip_master, .. } => {
                let said = self.said(announcement);
                self.expect(said, *skip_master)
            }
            Step::Relate { exp, skip_master, .. } => self.relate(exp, *skip_master),
            Step::Unexpect { exp } => self.unexpect(exp),
            Step::SetFlags { exp, flags } => {
                self.set_flags(exp, *flags);
                Vec::new()
            }
            Step::Remove { conn } => self.remove(conn),
            Step::Put { name } => {
                self.put(name);
                Vec::new()
            }
            Step::Packet { tuple, place, name, fate } => {
                self.packet(*tuple, *place, name.as_deref(), *fate)
            }
            Step::Lookup { tuple, place, name, .. } => self.lookup(tuple, *place, name.as_deref()),
            Step::Advance(Ticks(ticks)) => return self.advance(*ticks),
            Step::Fire { exp } => self.fire(exp),
            Step::Callback { exp } => self.callback(exp),
            Step::Show { net } => return vec![self.listing(net.0)],
            Step::Stats { net } => self.stats(net.0),
            Step::ExpectMax(max) => self.set_expect_max(*max),
            Step::Flush { net, .. } => return vec![self.flush(net.0)],
            Step::Unregister { helper } => return vec![self.unregister(helper)],
            Step::Collect { conn } => {
                assert!(!self.has_over(conn), "what is over was not collected");
                Vec::new()
            }
            Step::NetnsInit(_) => Vec::new(),
            other => panic!("the reference does not know `{other}`"),
        };
        told.into_iter().map(|line| vec![line]).collect()
    }

    fn helper(&self, name: &str) -> Option<Helper> {
        self.helpers.iter().find(|helper| helper.name == name).copied()
    }

    fn help(&self, choice: &HelperChoice) -> Help {
        match choice {
            HelperChoice::Nothing => None,
            HelperChoice::Extension => Some(None),
            HelperChoice::Named(name) => Some(self.helper(name)),
        }
    }

    fn said(&self, announcement: &Announcement) -> Said {
        let (tuple, mask) = match &announcement.target {
            Target::Plain(expected) => expected.tuple_and_mask(),
            Target::Masked(tuple, mask) => (*tuple, *mask),
        };
        Said {
            name: announcement.name.clone(),
            master: announcement.master.clone(),
            tuple,
            mask,
            class: announcement.class,
            flags: announcement.flags,
            assign: announcement.assign.as_deref().and_then(|name| self.helper(name)),
            lives: announcement.timeout.map_or(0, |Ticks(ticks)| ticks),
        }
    }
}
