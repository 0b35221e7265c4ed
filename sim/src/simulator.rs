// SPDX-License-Identifier: GPL-2.0-only
//! Plays steps on one engine: the only place where the clock of a trace advances.
//!
//! Every step is answered by lines of text, the ones that stand below `----` in a trace:
//!
//! ```text
//!  new e1 use=3            refused e2 clash        found e1 use=4      related ftp mark=7 helper=sip
//!  destroy e1 match        no-memory               none                new-connection, known ftp original
//!  free e1                 timer e1 lost           unmatched           dropped, counters, listing lines
//! ```
//!
//! After every step the RCU softirq runs, unless a reader is held, and the table is audited.
//!
//! The rule that matters: what a kernel does wrong (a use after free of v3.9, say) is an error
//! of the step and not the end of the process: see [`Simulator::step`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nfexp_model::audit::Violation;
use nfexp_model::conn::{Attached, ConnRef};
use nfexp_model::conntrack::Direction;
use nfexp_model::engine::{Firing, MasterCheck};
use nfexp_model::event::{Cause, ConnEventKind, Event, ExpectEventKind, Origin};
use nfexp_model::expectation::{ExpectId, ExpectRef};
use nfexp_model::helper::{Class, ExpectPolicy, Helper, HelperId};
use nfexp_model::kernel::timer::TimerKey;
use nfexp_model::kernel::{Cpu, Jiffies, Ticks, Up};
use nfexp_model::netns::NetId;
use nfexp_model::proc::SeqFile;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::Tuple;
use nfexp_model::{At, Config, Engine};
use nfexp_traces::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use nfexp_traces::text::Setup;

/// Why a step could not be played, or what it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The trace names what is not there.
    #[error("{0}")]
    Trace(String),
    /// An invariant is false after the step.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The engine did what would crash or corrupt a kernel.
    #[error("the kernel crashes: {0}")]
    Crash(String),
}

type Played<T = ()> = Result<T, StepError>;

/// An engine, its clock, and what a trace holds by name.
#[derive(Debug)]
pub struct Simulator {
    engine: Engine<Up>,
    now: Jiffies,
    conns: BTreeMap<String, ConnRef>,
    exps: BTreeMap<String, ExpectRef>,
    /// Under which name each expectation is told of, as long as it is allocated.
    names: BTreeMap<ExpectId, String>,
    conn_names: BTreeMap<nfexp_model::conn::ConnId, String>,
    fired: BTreeMap<String, Firing>,
    files: BTreeMap<String, SeqFile>,
    held: BTreeMap<Cpu, u32>,
    answers: Vec<String>,
    raw: Vec<Event>,
}

/// The engine of a trace.
#[must_use]
pub fn config(setup: &Setup, revision: Revision) -> Config {
    let usual = Config::SMALL;
    let mut helpers = usual.helpers.to_vec();
    for (name, max_expected, timeout_secs) in &setup.helpers {
        // A trace's own helpers live as long as the process: there are few, and they are small.
        let name: &'static str = String::leak(name.clone());
        let policy =
            ExpectPolicy { max_expected: *max_expected, timeout_secs: *timeout_secs, name: "" };
        let policies: &'static [ExpectPolicy] = Vec::leak(vec![policy]);
        match helpers.iter_mut().find(|helper| helper.name == name) {
            Some(known) => known.policies = policies,
            None => helpers.push(Helper { name, policies, ..helpers[0] }),
        }
    }
    Config {
        revision,
        hz: setup.hz.unwrap_or(usual.hz),
        hash_size: setup.hash_size.unwrap_or(usual.hash_size),
        expect_max: setup.expect_max.unwrap_or(usual.expect_max),
        expectations: setup.expectations.unwrap_or(usual.expectations),
        conns: setup.conns.unwrap_or(usual.conns),
        netns: setup.netns.map_or(usual.netns, |count| count as u16),
        helpers: Cow::Owned(helpers),
        ..usual
    }
}

impl Simulator {
    /// A fresh engine, at boot.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(config: Config) -> Played<Self> {
        let now = Jiffies::initial(config.hz);
        let engine = Engine::new(config).map_err(|error| StepError::Trace(error.to_string()))?;
        Ok(Self {
            engine,
            now,
            conns: BTreeMap::new(),
            exps: BTreeMap::new(),
            names: BTreeMap::new(),
            conn_names: BTreeMap::new(),
            fired: BTreeMap::new(),
            files: BTreeMap::new(),
            held: BTreeMap::new(),
            answers: Vec::new(),
            raw: Vec::new(),
        })
    }

    /// The engine, for looking.
    #[must_use]
    pub fn engine(&self) -> &Engine<Up> {
        &self.engine
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Jiffies {
        self.now
    }

    /// The events of the steps since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.raw)
    }

    fn at(&self) -> At {
        At { now: self.now, ..At::default() }
    }

    /// Plays a step; answers its lines.
    ///
    /// # Errors
    /// [`StepError`]; after a crash or a violation the simulator is good for nothing more.
    pub fn step(&mut self, step: &Step) -> Played<Vec<String>> {
        let played = catch_unwind(AssertUnwindSafe(|| self.play(step)));
        played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(StepError::Crash(text.unwrap_or("a panic").to_owned()))
        })?;
        Ok(std::mem::take(&mut self.answers))
    }

    fn play(&mut self, step: &Step) -> Played {
        self.act(step)?;
        self.settle();
        self.engine.audit()?;
        Ok(())
    }

    fn act(&mut self, step: &Step) -> Played {
        let at = self.at();
        match step {
            Step::Conn { name, tuple, place, helper, mark } => {
                self.conn(name, tuple, *place, helper, *mark)?;
            }
            Step::Confirm { conn } => {
                let confirmed = self.engine.confirm(at, self.conn_ref(conn)?, Origin::KERNEL);
                self.say_unless(confirmed, "dropped");
            }
            Step::Delete { conn } => {
                let deleted = self.engine.delete_conn(at, self.conn_ref(conn)?, Origin::KERNEL);
                self.drain();
                self.say_unless(deleted, "not-in-the-table");
            }
            Step::Destroy { conn } => {
                let ct = self.take_conn(conn)?;
                self.engine.delete_conn(at, &ct, Origin::KERNEL);
                self.engine.put_conn(at, ct);
            }
            Step::Helper { conn, helper } => self.change_helper(conn, helper)?,
            Step::Alloc(announcement) => {
                self.alloc(announcement)?;
            }
            Step::Relate { exp, skip_master, portid } => self.relate(exp, *skip_master, *portid)?,
            Step::Expect { announcement, skip_master, portid } => {
                if self.alloc(announcement)? {
                    self.relate(&announcement.name, *skip_master, *portid)?;
                }
            }
            Step::Unexpect { exp } => self.engine.unexpect(at, self.exp_ref(exp)?),
            Step::SetFlags { exp, flags } => {
                let exp = self.exp_ref(exp)?;
                self.engine.set_flags(exp, *flags);
            }
            Step::Remove { conn } => {
                let master = self.conn_ref(conn)?.id();
                self.engine.lock().remove_expectations(at, master, Cause::MasterGone);
            }
            Step::Put { name } => self.put(name)?,
            Step::Packet { tuple, place, name, fate } => {
                self.packet(tuple, *place, name.as_deref(), *fate)?;
            }
            Step::Lookup { tuple, place, name, cpu } => {
                self.lookup(tuple, *place, name.as_deref(), *cpu);
            }
            Step::Advance(span) => self.advance(*span),
            Step::Fire { exp } => {
                let id = self.exp_id(exp)?;
                match self.engine.expire_this(TimerKey::expectation(id.index())) {
                    Some(firing) => drop(self.fired.insert(exp.clone(), firing)),
                    None => self.answers.push(format!("timer {exp} lost")),
                }
            }
            Step::Callback { exp } => {
                let firing = self.fired.remove(exp);
                let not_fired = || StepError::Trace(format!("the timer of {exp} is not firing"));
                self.engine.timed_out(at, firing.ok_or_else(not_fired)?);
            }
            Step::Hold(cpu) => {
                self.known_cpu(*cpu)?;
                self.engine.rcu().hold(*cpu);
                *self.held.entry(*cpu).or_default() += 1;
            }
            Step::Release(cpu) => self.release(*cpu)?,
            Step::Show { net } => {
                self.known_net(*net)?;
                let mut file = SeqFile::open(*net);
                self.read(&mut file, u64::MAX);
            }
            Step::Open { file, net } => {
                self.known_net(*net)?;
                self.files.insert(file.clone(), SeqFile::open(*net));
            }
            Step::Read { file, lines } => {
                let missing = || StepError::Trace(format!("no file {file} is open"));
                let mut open = *self.files.get(file).ok_or_else(missing)?;
                self.read(&mut open, *lines);
                self.files.insert(file.clone(), open);
            }
            Step::Stats { net } => {
                self.known_net(*net)?;
                let stats = self.engine.stats(*net);
                self.answers.push(format!(
                    "stats expect_new={} expect_create={} expect_delete={} count={}",
                    stats.expect_new,
                    stats.expect_create,
                    stats.expect_delete,
                    self.engine.expect_count(*net)
                ));
            }
            Step::Memory => {
                let memory = self.engine.memory();
                let (exps, conns) = (memory.expectations.live(), memory.conns.live());
                let waiting = self.engine.rcu().waiting();
                let line = format!("memory expectations={exps} conns={conns} waiting={waiting}");
                self.answers.push(line);
            }
            Step::ExpectMax(max) => {
                let taken = self.engine.set_expect_max(*max);
                self.say_unless(taken, "invalid");
            }
            Step::FailNth(nth) => self.engine.fail_nth(*nth),
            Step::NetnsInit(net) => self.netns_init(*net)?,
            Step::NetnsExit(net) => self.netns_exit(*net)?,
            Step::Flush { net, portid } => {
                self.known_net(*net)?;
                let origin = Origin { portid: *portid, report: true };
                self.engine.lock().iterate_destroy(at, *net, origin, Cause::Flush, |_| true);
            }
            Step::Unregister { helper } => self.unregister(helper)?,
            Step::Collect { conn } => {
                let master = self.conn_ref(conn)?.id();
                self.engine.lock().collect(at, master);
            }
        }
        self.drain();
        Ok(())
    }

    // ---- connections -----------------------------------------------------------------------

    fn conn(
        &mut self,
        name: &str,
        tuple: &Tuple,
        place: Place,
        helper: &HelperChoice,
        mark: u32,
    ) -> Played {
        self.free_name(name)?;
        self.known_net(place.net)?;
        let unanswerable = || StepError::Trace(format!("nothing answers {tuple}"));
        let reply = tuple.inverse().ok_or_else(unanswerable)?;
        let Ok(ct) = self.engine.alloc_conn(place.net, place.zone, *tuple, reply) else {
            self.answers.push("no-memory".into());
            return Ok(());
        };
        self.engine.set_mark(&ct, mark);
        let attached = match helper {
            HelperChoice::Nothing => Ok(()),
            HelperChoice::Extension => self.engine.attach(&ct, None),
            HelperChoice::Named(helper) => {
                let helper = self.helper_id(helper)?;
                self.engine.attach(&ct, Some(helper))
            }
        };
        self.say_unless(attached.is_ok(), "no-memory");
        self.conn_names.insert(ct.id(), name.to_owned());
        self.conns.insert(name.to_owned(), ct);
        Ok(())
    }

    fn change_helper(&mut self, conn: &str, helper: &HelperChoice) -> Played {
        let at = self.at();
        let helper = match helper {
            HelperChoice::Named(name) => Some(self.helper_id(name)?),
            _ => None,
        };
        let ct = self.conn_ref(conn)?;
        if helper.is_none() {
            self.engine.lock().remove_expectations(at, ct.id(), Cause::MasterGone);
        }
        let attached = self.engine.attach(ct, helper);
        self.drain();
        self.say_unless(attached.is_ok(), "no-memory");
        Ok(())
    }

    fn packet(&mut self, tuple: &Tuple, place: Place, name: Option<&str>, fate: Fate) -> Played {
        self.known_net(place.net)?;
        let at = self.at();
        if let Some((ct, direction)) = self.engine.find_conn(place.net, place.zone, tuple) {
            let known = self.conn_names.get(&ct.id()).map_or("unnamed", String::as_str);
            let way = if direction == Direction::Original { "original" } else { "reply" };
            self.answers.push(format!("known {known} {way}"));
            self.engine.put_conn(at, ct);
            return Ok(());
        }
        if let Some(name) = name {
            self.free_name(name)?;
        }
        let unanswerable = || StepError::Trace(format!("nothing answers {tuple}"));
        let reply = tuple.inverse().ok_or_else(unanswerable)?;
        let born = self.engine.init_conntrack(at, place.net, place.zone, *tuple, reply, true);
        let Ok(born) = born else {
            self.drain();
            self.answers.push("dropped".into());
            return Ok(());
        };
        self.drain();
        self.answers.push(self.describe(&born.ct));
        match fate {
            Fate::Forwarded => {
                let confirmed = self.engine.confirm(at, &born.ct, Origin::KERNEL);
                self.say_unless(confirmed, "dropped");
            }
            Fate::Dropped => self.answers.push("dropped".into()),
        }
        match name {
            Some(name) => {
                self.conn_names.insert(born.ct.id(), name.to_owned());
                self.conns.insert(name.to_owned(), born.ct);
            }
            None => self.engine.put_conn(at, born.ct),
        }
        Ok(())
    }

    /// What a new connection got from its master.
    fn describe(&self, ct: &ConnRef) -> String {
        let about = self.engine.conn(ct.id()).about();
        let Some(master) = about.master else {
            return "new-connection".to_owned();
        };
        let master = self.conn_names.get(&master).map_or("unnamed", String::as_str);
        let mut line = format!("related {master}");
        if about.mark != 0 {
            line += &format!(" mark={}", about.mark);
        }
        if let Some(helper) = self.engine.helper_of(ct) {
            line += &format!(" helper={}", self.engine.helper(helper).name);
        }
        line
    }

    // ---- expectations ----------------------------------------------------------------------

    fn alloc(&mut self, said: &Announcement) -> Played<bool> {
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
        self.names.insert(exp.id(), said.name.clone());
        self.exps.insert(said.name.clone(), exp);
        Ok(true)
    }

    fn relate(&mut self, name: &str, skip_master: bool, portid: u32) -> Played {
        let at = self.at();
        let masters = if skip_master { MasterCheck::Skip } else { MasterCheck::Own };
        let origin = Origin { portid, report: portid != 0 };
        let related = self.engine.related(at, self.exp_ref(name)?, origin, masters);
        self.drain();
        if let Err(error) = related {
            self.answers.push(format!("refused {name} {}", error.word()));
        }
        Ok(())
    }

    fn lookup(&mut self, tuple: &Tuple, place: Place, name: Option<&str>, cpu: Cpu) {
        let at = At { cpu, ..self.at() };
        match self.engine.find_get(at, place.net, place.zone, tuple) {
            None => self.answers.push("none".into()),
            Some(exp) => {
                let uses = self.uses(exp.id());
                let known = self.name_of(exp.id());
                self.answers.push(format!("found {known} use={uses}"));
                match name {
                    Some(name) => drop(self.exps.insert(name.to_owned(), exp)),
                    None => self.engine.put(exp),
                }
            }
        }
    }

    fn put(&mut self, name: &str) -> Played {
        let at = self.at();
        if let Some(exp) = self.exps.remove(name) {
            self.engine.put(exp);
            return Ok(());
        }
        let ct = self.take_conn(name)?;
        self.engine.put_conn(at, ct);
        Ok(())
    }

    fn read(&mut self, file: &mut SeqFile, lines: u64) {
        let mut text = String::new();
        let read = file.read(&self.engine, self.at(), lines, &mut text);
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

    // ---- time and softirqs -----------------------------------------------------------------

    fn advance(&mut self, span: Ticks) {
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

    fn release(&mut self, cpu: Cpu) -> Played {
        let depth = self.held.get_mut(&cpu).filter(|depth| **depth > 0);
        let depth = depth.ok_or_else(|| StepError::Trace(format!("{cpu:?} holds no section")))?;
        *depth -= 1;
        self.engine.rcu().release(cpu);
        Ok(())
    }

    /// The RCU softirq; tells what it freed while a reader is or was held.
    fn settle(&mut self) {
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

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.raw.push(event);
            match event {
                Event::Expect(event) => {
                    let name = self.name_of(event.id);
                    self.answers.push(match event.kind {
                        ExpectEventKind::New => format!("new {name} use={}", self.uses(event.id)),
                        ExpectEventKind::Destroy(cause) => {
                            format!("destroy {name} {}", cause.word())
                        }
                    });
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

    // ---- namespaces and helpers ------------------------------------------------------------

    fn netns_init(&mut self, net: NetId) -> Played {
        if net.0 >= self.engine.config().netns {
            return Err(StepError::Trace(format!("the trace has no room for {net:?}")));
        }
        let begun = self.engine.pernet_init(net);
        self.say_unless(begun.is_ok(), "no-memory");
        Ok(())
    }

    fn netns_exit(&mut self, net: NetId) -> Played {
        self.known_net(net)?;
        let at = self.at();
        for id in self.engine.conns_of(net) {
            let (tuple, zone) = self.engine.place_of(id);
            let named = self.conns.values().find(|ct| ct.id() == id);
            if let Some(ct) = named {
                self.engine.delete_conn(at, ct, Origin::KERNEL);
            } else if let Some((ct, _)) = self.engine.find_conn(net, zone, &tuple) {
                self.engine.delete_conn(at, &ct, Origin::KERNEL);
                self.engine.put_conn(at, ct);
            }
            self.drain();
        }
        self.engine.lock().iterate_destroy(at, net, Origin::KERNEL, Cause::NamespaceExit, |_| true);
        self.drain();
        self.engine.pernet_fini(net);
        Ok(())
    }

    /// Ends the helper's expectations, then its connections lose it.
    fn unregister(&self, helper: &str) -> Played {
        let (at, helper) = (self.at(), self.helper_id(helper)?);
        for net in (0..self.engine.config().netns).map(NetId) {
            let conns: Vec<_> = self.engine.memory().conns.iter_live().collect();
            let mine: Vec<_> = conns
                .into_iter()
                .filter(|id| self.engine.conn(*id).about().net == net)
                .filter(|id| self.engine.attached_of(*id) == Attached::Helper(helper))
                .collect();
            if !self.engine.has_net(net) {
                continue;
            }
            let origin = Origin::KERNEL;
            self.engine.lock().iterate_destroy(at, net, origin, Cause::HelperGone, |exp| {
                let about = exp.about();
                mine.contains(&about.master) || about.assign_helper == Some(helper)
            });
            mine.iter().for_each(|id| self.engine.forget_helper(*id));
        }
        Ok(())
    }

    // ---- names -----------------------------------------------------------------------------

    fn say_unless(&mut self, fine: bool, line: &str) {
        if !fine {
            self.answers.push(line.to_owned());
        }
    }

    fn uses(&self, id: ExpectId) -> u32 {
        self.engine.use_count(id)
    }

    fn name_of(&self, id: ExpectId) -> String {
        let tuple = || self.engine.expectation(id).tuple().to_string();
        self.names.get(&id).cloned().unwrap_or_else(tuple)
    }

    fn free_name(&self, name: &str) -> Played {
        let taken = self.conns.contains_key(name) || self.exps.contains_key(name);
        if taken { Err(StepError::Trace(format!("{name} is held already"))) } else { Ok(()) }
    }

    fn conn_ref(&self, name: &str) -> Played<&ConnRef> {
        let missing = || StepError::Trace(format!("no connection {name} is held"));
        self.conns.get(name).ok_or_else(missing)
    }

    fn take_conn(&mut self, name: &str) -> Played<ConnRef> {
        let missing = || StepError::Trace(format!("nothing is held as {name}"));
        self.conns.remove(name).ok_or_else(missing)
    }

    fn exp_ref(&self, name: &str) -> Played<&ExpectRef> {
        let missing = || StepError::Trace(format!("no expectation {name} is held"));
        self.exps.get(name).ok_or_else(missing)
    }

    fn exp_id(&self, name: &str) -> Played<ExpectId> {
        let named = self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
        let held = self.exps.get(name).map(ExpectRef::id);
        held.or(named).ok_or_else(|| StepError::Trace(format!("there is no expectation {name}")))
    }

    fn helper_id(&self, name: &str) -> Played<HelperId> {
        let missing = || StepError::Trace(format!("there is no helper {name}"));
        self.engine.helper_named(name).ok_or_else(missing)
    }

    fn known_net(&self, net: NetId) -> Played {
        let missing = || StepError::Trace(format!("there is no {net:?}"));
        if self.engine.has_net(net) { Ok(()) } else { Err(missing()) }
    }

    fn known_cpu(&self, cpu: Cpu) -> Played {
        let missing = || StepError::Trace(format!("there is no {cpu:?}"));
        if cpu.0 < self.engine.config().cpus { Ok(()) } else { Err(missing()) }
    }

    /// Gives everything back, unloads the module, and finds nothing left.
    ///
    /// # Errors
    /// What is left, or what broke on the way.
    pub fn finish(mut self) -> Played {
        let ended = catch_unwind(AssertUnwindSafe(|| self.give_back()));
        let crashed = |_| StepError::Crash("while everything was given back".to_owned());
        ended.map_err(crashed)?;
        self.engine.fini()?;
        Ok(())
    }

    fn give_back(&mut self) {
        let at = self.at();
        for (cpu, depth) in std::mem::take(&mut self.held) {
            (0..depth).for_each(|_| self.engine.rcu().release(cpu));
        }
        for firing in std::mem::take(&mut self.fired).into_values() {
            self.engine.timed_out(at, firing);
        }
        std::mem::take(&mut self.exps).into_values().for_each(|exp| self.engine.put(exp));
        for ct in std::mem::take(&mut self.conns).into_values() {
            self.engine.delete_conn(at, &ct, Origin::KERNEL);
            self.engine.put_conn(at, ct);
        }
        for net in (0..self.engine.config().netns).map(NetId) {
            for id in self.engine.conns_of(net) {
                let (tuple, zone) = self.engine.place_of(id);
                if let Some((ct, _)) = self.engine.find_conn(net, zone, &tuple) {
                    self.engine.delete_conn(at, &ct, Origin::KERNEL);
                    self.engine.put_conn(at, ct);
                }
            }
        }
    }
}
