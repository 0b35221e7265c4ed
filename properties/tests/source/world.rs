// SPDX-License-Identifier: GPL-2.0-only
//! The engine's side: the same deeds, told in the same words.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use nfexp_model::conn::{ConnRef, Status};
use nfexp_model::engine::{At, Config, Engine, MasterCheck};
use nfexp_model::event::{Cause, Event, ExpectEventKind, Origin};
use nfexp_model::expectation::{ExpectId, ExpectRef, Expected, Flags};
use nfexp_model::helper::{Class, ExpectPolicy, Helper, HelperId, IN_TREE};
use nfexp_model::kernel::{Cpu, Jiffies, Ticks};
use nfexp_model::locked::MasterHold;
use nfexp_model::netns::{NetId, Zone};
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{Addr, L3, Proto, Tuple};

use super::script::{Deed, Ends, POLICIES};

const fn policy((max_expected, timeout_secs): (u32, u32)) -> ExpectPolicy {
    ExpectPolicy { max_expected, timeout_secs, name: "" }
}

const ONE: &[ExpectPolicy] = &[policy(POLICIES[0])];
const FOUR: &[ExpectPolicy] =
    &[policy(POLICIES[1]), policy(POLICIES[2]), policy(POLICIES[3]), policy(POLICIES[4])];
const NET: NetId = NetId::INIT;

/// An engine, and what a script calls whom.
pub(crate) struct World {
    engine: Engine,
    now: Jiffies,
    masters: Vec<ConnRef>,
    names: HashMap<ExpectId, usize>,
    held: HashMap<usize, ExpectRef>,
    made: usize,
}

impl World {
    /// One with a table of this size.
    pub(crate) fn new(revision: Revision, expect_max: u32) -> Self {
        let helper = |name, policies| Helper { name, policies, ..IN_TREE[0] };
        let config = Config {
            revision,
            hz: 1,
            hash_size: 1,
            expect_max,
            expectations: 4096,
            conns: 64,
            cpus: 1,
            helpers: Cow::Owned(vec![helper("one", ONE), helper("four", FOUR)]),
            ..Config::SMALL
        };
        Self {
            engine: Engine::new(config).expect("nothing makes an allocation fail"),
            now: Jiffies::initial(1),
            masters: Vec::new(),
            names: HashMap::new(),
            held: HashMap::new(),
            made: 0,
        }
    }

    fn at(&self) -> At {
        At { cpu: Cpu(0), now: self.now }
    }

    /// Does a deed; answers the line that the source would.
    pub(crate) fn play(&mut self, deed: &Deed) -> String {
        let answer = self.answer(deed);
        let mut line = deed.word().to_owned();
        while let Some(event) = self.engine.poll_event() {
            if let Event::Expect(event) = event {
                let sign = if event.kind == ExpectEventKind::New { '+' } else { '-' };
                let _ = write!(line, " {sign}{}", self.names[&event.id]);
            }
        }
        line.push_str(&answer);
        self.engine.run_rcu_callbacks();
        let engine = &self.engine;
        self.names.retain(|id, _| engine.expectation_about(*id).is_some());
        line
    }

    fn answer(&mut self, deed: &Deed) -> String {
        let at = self.at();
        match deed {
            Deed::Master { zone, helper, confirmed } => {
                self.master(Zone(*zone), *helper, *confirmed);
            }
            Deed::Confirm(which) => {
                self.engine.set_status(&self.masters[*which], Status::CONFIRMED);
            }
            Deed::Dies(which) => self.engine.set_status(&self.masters[*which], Status::DYING),
            Deed::Related { master, class, ends, flags, skip, kept } => {
                let exp = self.announced(*master, *class, ends);
                let name = self.made - 1;
                self.engine.set_flags(&exp, Flags(*flags));
                let answer = self.engine.related(at, &exp, Origin::KERNEL, masters(*skip));
                match kept {
                    true => drop(self.held.insert(name, exp)),
                    false => self.engine.put(exp),
                }
                return format!(" {}", answer.map_or_else(|error| error.errno(), |()| 0));
            }
            Deed::Both { master, class, ends, skip } => {
                let first = self.announced(*master, *class, ends);
                let next = Ends { dport: ends.dport + 1, ..ends.clone() };
                let second = self.announced(*master, *class, &next);
                let how = (Origin::KERNEL, masters(*skip));
                let answer = self.engine.related_pair(at, &first, &second, how);
                self.engine.put(first);
                self.engine.put(second);
                return format!(" {}", answer.map_or_else(|error| error.number(), |()| 0));
            }
            Deed::Unexpect(name) => self.engine.unexpect(at, &self.held[name]),
            Deed::Put(name) => {
                let exp = self.held.remove(name).expect("a script puts what is held");
                self.engine.put(exp);
            }
            Deed::Find(zone, ends) => {
                let found = self.engine.find_get(at, NET, Zone(*zone), &tuple(ends));
                return found.map_or_else(String::new, |exp| self.found(exp));
            }
            Deed::Match(zone, ends, unlink) => {
                let mut locked = self.engine.lock();
                let found = locked.find_expectation(at, NET, Zone(*zone), &tuple(ends), *unlink);
                drop(locked);
                let Some(found) = found else { return String::new() };
                if let MasterHold::Counted(master) = found.master {
                    self.engine.put_conn(at, master);
                }
                return self.found(found.exp);
            }
            Deed::End(which) => {
                let master = self.masters[*which].id();
                self.engine.lock().remove_expectations(at, master, Cause::MasterGone);
            }
            Deed::Collect(which) => self.engine.lock().collect(at, self.masters[*which].id()),
            Deed::Time(seconds) => {
                for _ in 0..*seconds {
                    self.now = self.now.after(Ticks(1));
                    while let Some(firing) = self.engine.expire(self.now) {
                        self.engine.timed_out(self.at(), firing);
                    }
                }
            }
            Deed::List(which) => return self.list(*which),
            Deed::Stats => {
                let stats = self.engine.stats(NET);
                let (made, gone) = (stats.expect_create, stats.expect_delete);
                return format!(" {} {made} {gone}", self.engine.expect_count(NET));
            }
        }
        String::new()
    }

    fn master(&mut self, zone: Zone, helper: Option<u16>, confirmed: bool) {
        let ct = self.engine.alloc_conn(NET, zone, Tuple::NONE, Tuple::NONE).expect("memory");
        if let Some(helper) = helper {
            // Without a helper it has the extension alone.
            let helper = helper.checked_sub(1).and_then(HelperId::at);
            self.engine.attach(&ct, helper).expect("memory");
        }
        if confirmed {
            self.engine.set_status(&ct, Status::CONFIRMED);
        }
        self.masters.push(ct);
    }

    fn announced(&mut self, master: usize, class: u8, ends: &Ends) -> ExpectRef {
        let exp = self.engine.alloc(self.at(), &self.masters[master]).expect("memory");
        self.names.insert(exp.id(), self.made);
        self.made += 1;
        let dst = ip(ends.dst);
        let expected = Expected {
            l3: if dst.is_ipv4() { L3::Ipv4 } else { L3::Ipv6 },
            saddr: (ends.src != "*").then(|| Addr::from(ip(ends.src))),
            daddr: Addr::from(dst),
            proto: Proto(ends.proto),
            sport: ends.sport.parse().ok(),
            dport: ends.dport,
        };
        self.engine.init(&exp, Class::new(class).expect("below four"), &expected);
        exp
    }

    fn found(&self, exp: ExpectRef) -> String {
        let name = self.names[&exp.id()];
        self.engine.put(exp);
        format!(" {name}")
    }

    fn list(&self, which: usize) -> String {
        let linked = self.engine.expectations_of(self.masters[which].id());
        let shown = linked.into_iter().map(|id| {
            let flags = self.engine.expectation(id).flags().0;
            format!(" {}:{flags}", self.names[&id])
        });
        shown.collect()
    }
}

const fn masters(skip: bool) -> MasterCheck {
    if skip { MasterCheck::Skip } else { MasterCheck::Own }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a script has addresses")
}

fn tuple(ends: &Ends) -> Tuple {
    let sport = ends.sport.parse().expect("a packet has ports");
    Tuple::new(Proto(ends.proto), ip(ends.src), sport, ip(ends.dst), ends.dport)
}
