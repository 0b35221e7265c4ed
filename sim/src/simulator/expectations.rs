// SPDX-License-Identifier: GPL-2.0-only
//! Steps about expectations, and the file that lists them.

use nfexp_model::At;
use nfexp_model::engine::MasterCheck;
use nfexp_model::event::Origin;
use nfexp_model::expectation::Flags;
use nfexp_model::helper::Class;
use nfexp_model::kernel::Platform;
use nfexp_model::kernel::rcu::UpRcu;
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::NetId;
use nfexp_model::proc::SeqFile;
use nfexp_model::tuple::Tuple;
use nfexp_model::watch::Counting;
use nfexp_traces::step::{Announcement, Place, Target};

use super::{Played, SimulatorOn, StepError};

impl<P: Platform<Rcu = UpRcu>> SimulatorOn<P> {
    pub(super) fn alloc(&mut self, said: &Announcement) -> Played<bool> {
        self.free_name(&said.name)?;
        let at = self.at();
        let Ok(exp) = self.engine.alloc(at, self.conn_ref(&said.master)?) else {
            self.answers.push("no-memory".into());
            return Ok(false);
        };
        let class = Class::new(said.class);
        let class = class.ok_or_else(|| StepError::Trace("a class is below 4".into()))?;
        match &said.target {
            Target::Plain(expected) => self.engine.init(&exp, class, expected),
            Target::Masked(tuple, mask) => self.engine.init_key(&exp, class, *tuple, *mask),
        }
        self.engine.set_flags(&exp, said.flags);
        if let Some(helper) = &said.assign {
            let helper = self.helper_id(helper)?;
            self.engine.set_assign_helper(&exp, Some(helper));
        }
        self.engine.set_expectfn(&exp, said.expectfn);
        if let Some(nat) = said.nat {
            self.engine.set_nat(&exp, nat);
        }
        if let Some(span) = said.timeout {
            self.engine.set_expires(&exp, self.now.after(span));
        }
        self.names.give(exp.id(), &said.name);
        self.exps.insert(said.name.clone(), exp);
        Ok(true)
    }

    pub(super) fn relate(&mut self, name: &str, skip_master: bool, origin: Origin) -> Played {
        let at = self.at();
        let masters = if skip_master { MasterCheck::Skip } else { MasterCheck::Own };
        let related = self.engine.related(at, self.exp_ref(name)?, origin, masters);
        self.drain();
        if let Err(error) = related {
            if self.looks_into(error) {
                let (exp, counting) = (self.exp_ref(name)?, Counting::Linked);
                let refused = self.engine.audit_refusal(at, exp, error, counting);
                self.find(refused);
            }
            self.answers.push(format!("refused {name} {}", error.word()));
        }
        Ok(())
    }

    pub(super) fn pair(&mut self, [first, second]: &[String; 2]) -> Played {
        let how = (Origin::KERNEL, MasterCheck::Own);
        let exps = (self.exp_ref(first)?, self.exp_ref(second)?);
        let related = self.engine.related_pair(self.at(), exps.0, exps.1, how);
        self.drain();
        if let Err(errno) = related {
            self.answers.push(format!("refused {first} {second} {errno}"));
        }
        Ok(())
    }

    /// Who holds it takes it back; after that its helper finds it in its master's list.
    pub(super) fn unexpect(&self, name: &str) -> Played {
        let at = self.at();
        if let Some(exp) = self.exps.get(name) {
            self.engine.unexpect(at, exp);
            return Ok(());
        }
        let id = self.exp_id(name)?;
        if self.engine.is_linked(id) {
            self.engine.remove_expect(at, id);
        }
        Ok(())
    }

    pub(super) fn retime(&mut self, name: &str, span: Ticks, flags: Flags) -> Played {
        let id = self.exp_id(name)?;
        let retimed = self.engine.is_linked(id)
            && self.engine.retime(self.at(), id, flags, self.now.after(span));
        self.say_unless(retimed, "too-late");
        Ok(())
    }

    pub(super) fn lookup(
        &mut self,
        tuple: &Tuple,
        place: Place,
        name: Option<&str>,
        cpu: Cpu,
    ) -> Played {
        self.known_net(place.net)?;
        self.known_cpu(cpu)?;
        let at = At { cpu, ..self.at() };
        match self.engine.find_get(at, place.net, place.zone, tuple) {
            None => self.answers.push("none".into()),
            Some(exp) => {
                self.find(self.engine.audit_found(place.net, place.zone, &exp));
                let uses = self.uses(exp.id());
                let known = self.name_of(exp.id());
                self.answers.push(format!("found {known} use={uses}"));
                match name {
                    Some(name) => drop(self.exps.insert(name.to_owned(), exp)),
                    None => self.engine.put(exp),
                }
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, name: &str) -> Played {
        let at = self.at();
        if let Some(exp) = self.exps.remove(name) {
            self.engine.put(exp);
            return Ok(());
        }
        let ct = self.take_conn(name)?;
        self.engine.put_conn(at, ct);
        Ok(())
    }

    pub(super) fn show(&mut self, net: NetId) -> Played {
        self.known_net(net)?;
        self.read(&mut SeqFile::open(net), u64::MAX);
        Ok(())
    }

    pub(super) fn open(&mut self, file: &str, net: NetId) -> Played {
        self.known_net(net)?;
        let is_open = self.files.remove(file).is_some();
        if !is_open {
            self.free_name(file)?;
        }
        self.files.insert(file.to_owned(), SeqFile::open(net));
        Ok(())
    }

    pub(super) fn read_on(&mut self, file: &str, lines: u64) -> Played {
        let missing = || StepError::Trace(format!("no file {file} is open"));
        let mut open = *self.files.get(file).ok_or_else(missing)?;
        self.read(&mut open, lines);
        self.files.insert(file.to_owned(), open);
        Ok(())
    }

    fn read(&mut self, file: &mut SeqFile, lines: u64) {
        let (whole, mut text) = (lines == u64::MAX && file.position() == 0, String::new());
        let read = file.read(&self.engine, self.at(), lines, &mut text);
        if whole {
            self.find(self.engine.audit_listing(self.at(), file.net(), &text));
        }
        if read.expect("a string takes all") == 0 {
            self.answers.push("end".into());
        }
        // A trailing blank is part of a line and would not survive an editor: shown as `$`.
        let lines = text.lines().map(|line| match line.strip_suffix(' ') {
            Some(line) => format!("{line} $"),
            None => line.to_owned(),
        });
        self.answers.extend(lines);
    }
}
