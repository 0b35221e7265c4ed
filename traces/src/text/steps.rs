// SPDX-License-Identifier: GPL-2.0-only
//! Reading one step: its verb, what is fixed behind it, then its options in any order.

use nfexp_model::event::{ExpectFn, Origin};
use nfexp_model::expectation::Flags;
use nfexp_model::kernel::Cpu;
use nfexp_model::netns::{NetId, Zone};

use super::TextError;
use super::line::{Line, Value, Want};
use super::tuple::translation;
use crate::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use crate::transcript::{NftExpectation, Operation};

impl Line<'_> {
    pub(super) fn step(&mut self, hz: u32) -> Result<Step, TextError> {
        let start = self.at;
        let verb = self.word("a step")?;
        Ok(match verb {
            "conn" => self.conn()?,
            "confirm" => Step::Confirm { conn: self.name()? },
            "delete" => Step::Delete { conn: self.name()? },
            "destroy" => Step::Destroy { conn: self.name()? },
            "helper" => {
                let conn = self.name()?;
                Step::Helper { conn, helper: helper_choice(&self.name()?) }
            }
            "alloc" => {
                let before = self.at;
                let (announcement, skip_master, origin) = self.announcement(hz)?;
                if skip_master || origin != Origin::KERNEL {
                    self.at = before;
                    let told = "no `skip-master`, `portid` or `report`: `relate` has them";
                    return Err(self.error(told));
                }
                Step::Alloc(announcement)
            }
            "relate" => self.relate()?,
            "pair" => Step::Pair { exps: [self.name()?, self.name()?] },
            "expect" => {
                let (announcement, skip_master, origin) = self.announcement(hz)?;
                Step::Expect { announcement, skip_master, origin }
            }
            "unexpect" => Step::Unexpect { exp: self.name()? },
            "flags" => {
                let exp = self.name()?;
                Step::SetFlags { exp, flags: self.read(Value::flags)? }
            }
            "retime" => {
                let (exp, span) = (self.name()?, self.read(|value| value.span(hz))?);
                Step::Retime { exp, span, flags: self.read(Value::flags)? }
            }
            "remove" => Step::Remove { conn: self.name()? },
            "put" => Step::Put { name: self.name()? },
            "packet" => self.packet()?,
            "lookup" => self.lookup()?,
            "advance" => Step::Advance(self.read(|value| value.span(hz))?),
            "fire" => Step::Fire { exp: self.name()? },
            "callback" => Step::Callback { exp: self.name()? },
            "hold" => Step::Hold(self.cpu()?),
            "release" => Step::Release(self.cpu()?),
            "show" => Step::Show { net: self.net_option()? },
            "open" => {
                let file = self.name()?;
                Step::Open { file, net: self.net_option()? }
            }
            "read" => {
                let file = self.name()?;
                Step::Read { file, lines: self.read(Value::number)? }
            }
            "stats" => Step::Stats { net: self.net_option()? },
            "memory" => Step::Memory,
            "sysctl" => self.sysctl()?,
            "fail-nth" => Step::FailNth(self.read(Value::number)?),
            "netns-init" => Step::NetnsInit(NetId(self.read(Value::number)?)),
            "netns-exit" => Step::NetnsExit(NetId(self.read(Value::number)?)),
            "flush" => self.flush()?,
            "ct-expectation" => self.ct_expectation()?,
            "request" => self.request()?,
            "unregister" => Step::Unregister { helper: self.name()? },
            "unregister-function" => Step::UnregisterFunction(self.read(|v| function(v.0))?),
            "collect" => Step::Collect { conn: self.name()? },
            _ => {
                self.at = start;
                return Err(self.error("a step"));
            }
        })
    }

    fn conn(&mut self) -> Result<Step, TextError> {
        let name = self.name()?;
        let tuple = self.exact_tuple()?;
        let (mut place, mut helper) = (Place::default(), HelperChoice::Nothing);
        let (mut mark, mut secmark) = (0, 0);
        self.options(|key, value| match key {
            "helper" => value.name().map(|name| helper = helper_choice(&name)),
            "mark" => value.number().map(|number| mark = number),
            "secmark" => value.number().map(|number| secmark = number),
            _ => place_option(key, value, &mut place, "`helper`, `mark`, `secmark`"),
        })?;
        Ok(Step::Conn { name, tuple, place, helper, mark, secmark })
    }

    fn relate(&mut self) -> Result<Step, TextError> {
        let exp = self.name()?;
        let (mut skip_master, mut origin) = (false, Origin::KERNEL);
        self.options(|key, value| request(key, value, &mut skip_master, &mut origin))?;
        Ok(Step::Relate { exp, skip_master, origin })
    }

    fn sysctl(&mut self) -> Result<Step, TextError> {
        let mut max = None;
        self.options(|key, value| match key {
            "expect-max" => value.number().map(|number| max = Some(number)),
            _ => Err("`expect-max`".to_owned()),
        })?;
        Ok(Step::ExpectMax(max.ok_or_else(|| self.error("`expect-max`"))?))
    }

    fn flush(&mut self) -> Result<Step, TextError> {
        let (mut net, mut origin) = (NetId::INIT, Origin::KERNEL);
        self.options(|key, value| match key {
            "net" => value.number().map(|number| net = NetId(number)),
            _ => who(key, value, &mut origin, "`net`"),
        })?;
        Ok(Step::Flush { net, origin })
    }

    fn ct_expectation(&mut self) -> Result<Step, TextError> {
        let udp_dport = self.read(Value::number)?;
        let mut object = NftExpectation { udp_dport, l4: 17, dport: 0, seconds: 0, size: 1 };
        self.options(|key, value| match key {
            "proto" => value.number().map(|number| object.l4 = number),
            "dport" => value.number().map(|number| object.dport = number),
            "timeout" => value.number().map(|number| object.seconds = number),
            "size" => value.number().map(|number| object.size = number),
            _ => Err("`proto`, `dport`, `timeout` or `size`".to_owned()),
        })?;
        Ok(Step::CtExpectation(object))
    }

    /// An operation as transcripts write it, of a user or a packet.
    fn request(&mut self) -> Result<Step, TextError> {
        let operation = Operation::read(self.rest().as_bytes());
        let operation = operation
            .map_err(|what| self.error(what.strip_prefix("expected ").unwrap_or(&what)))?;
        if !operation.is_request() {
            return Err(self.error("an operation of a user, or a packet"));
        }
        while self.next().is_some() {}
        Ok(Step::Request(Box::new(operation)))
    }

    fn packet(&mut self) -> Result<Step, TextError> {
        let tuple = self.exact_tuple()?;
        let (mut place, mut name, mut fate) = (Place::default(), None, Fate::Forwarded);
        self.options(|key, value| match key {
            "as" => value.name().map(|given| name = Some(given)),
            "dropped" | "template" if fate != Fate::Forwarded => {
                Err("`dropped` or `template`, not both".to_owned())
            }
            "dropped" => value.alone(key).map(|()| fate = Fate::Dropped),
            "template" => value.alone(key).map(|()| fate = Fate::Template),
            _ => place_option(key, value, &mut place, "`as`, `dropped`, `template`"),
        })?;
        Ok(Step::Packet { tuple, place, name, fate })
    }

    fn lookup(&mut self) -> Result<Step, TextError> {
        let tuple = self.exact_tuple()?;
        let (mut place, mut name, mut cpu) = (Place::default(), None, Cpu(0));
        self.options(|key, value| match key {
            "as" => value.name().map(|given| name = Some(given)),
            "cpu" => cpu_number(value.0).map(|given| cpu = given),
            _ => place_option(key, value, &mut place, "`as`, `cpu`"),
        })?;
        Ok(Step::Lookup { tuple, place, name, cpu })
    }

    fn announcement(&mut self, hz: u32) -> Result<(Announcement, bool, Origin), TextError> {
        let name = self.name()?;
        let master = self.read(|value| {
            let master = value.0.strip_prefix("master=").filter(|name| !name.is_empty());
            master.map(str::to_owned).ok_or_else(|| "`master=` and a name".to_owned())
        })?;
        let (tuple, mask) = self.target()?;
        let target = Target::of(tuple, mask);
        let (class, flags, assign, expectfn) = (0, Flags::NONE, None, None);
        let (nat, timeout) = (None, None);
        let mut said =
            Announcement { name, master, target, class, flags, assign, expectfn, nat, timeout };
        let (mut skip_master, mut origin) = (false, Origin::KERNEL);
        self.options(|key, value| match key {
            "class" => {
                let class: u8 = value.number()?;
                said.class = Some(class).filter(|class| *class < 4).ok_or("a class below 4")?;
                Ok(())
            }
            "flags" => value.flags().map(|flags| said.flags = flags),
            "assign" => value.name().map(|helper| said.assign = Some(helper)),
            "timeout" => value.span(hz).map(|span| said.timeout = Some(span)),
            "fn" => function(value.0).map(|function| said.expectfn = Some(function)),
            "nat" => translation(value.0, tuple.l3).map(|nat| said.nat = Some(nat)),
            _ => request(key, value, &mut skip_master, &mut origin),
        })?;
        Ok((said, skip_master, origin))
    }

    fn net_option(&mut self) -> Result<NetId, TextError> {
        let mut net = NetId::INIT;
        self.options(|key, value| match key {
            "net" => value.number().map(|number| net = NetId(number)),
            _ => Err("`net`".to_owned()),
        })?;
        Ok(net)
    }

    fn cpu(&mut self) -> Result<Cpu, TextError> {
        self.read(|value| cpu_number(value.0.strip_prefix("cpu").unwrap_or_default()))
    }
}

fn function(name: &str) -> Want<ExpectFn> {
    let known = ExpectFn::REGISTERED.into_iter().find(|known| known.name() == Some(name));
    known.ok_or_else(|| "the name of a registered function".to_owned())
}

fn helper_choice(word: &str) -> HelperChoice {
    match word {
        "nothing" => HelperChoice::Nothing,
        "none" => HelperChoice::Extension,
        name => HelperChoice::Named(name.to_owned()),
    }
}

fn place_option(key: &str, value: Value<'_>, place: &mut Place, others: &str) -> Want<()> {
    match key {
        "net" => value.number().map(|number| place.net = NetId(number)),
        "zone" => value.number().map(|number| place.zone = Zone(number)),
        _ => Err(format!("{others}, `net` or `zone`")),
    }
}

fn request(key: &str, value: Value<'_>, skip_master: &mut bool, origin: &mut Origin) -> Want<()> {
    match key {
        "skip-master" => value.alone(key).map(|()| *skip_master = true),
        _ => {
            who(key, value, origin, "`skip-master`, an option of an announcement (class, flags, …)")
        }
    }
}

fn who(key: &str, value: Value<'_>, origin: &mut Origin, others: &str) -> Want<()> {
    match key {
        "portid" => value.number().map(|number| origin.portid = number),
        "report" => value.alone(key).map(|()| origin.report = true),
        _ => Err(format!("{others}, `portid` or `report`")),
    }
}

fn cpu_number(text: &str) -> Want<Cpu> {
    let number = text.parse().ok().filter(|number| *number < 64);
    number.map(Cpu).ok_or_else(|| "a processor, as in `cpu1`".to_owned())
}
