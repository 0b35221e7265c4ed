// SPDX-License-Identifier: GPL-2.0-only
//! Reading a trace.

use nfexp_model::event::{ExpectFn, Origin};
use nfexp_model::expectation::Flags;
use nfexp_model::kernel::{Cpu, Ticks};
use nfexp_model::netns::{NetId, Zone};

use super::line::{Line, Value, Want};
use super::tuple::translation;
use super::{Answer, Block, Setup, TextError, Trace};
use crate::step::{Announcement, Fate, HelperChoice, Place, Step, Target};
use crate::transcript::{NftExpectation, Operation};

/// Ticks per second where a trace does not say.
const HZ: u32 = 250;

/// Reads a trace.
///
/// # Errors
/// The first place at which the text is no trace.
pub fn parse(text: &str) -> Result<Trace, TextError> {
    let mut trace = Trace::default();
    let mut block = Block::default();
    let mut in_head = true;
    for (number, raw) in text.lines().enumerate().map(|(at, raw)| (at + 1, raw.trim_end())) {
        let mut line = Line::new(number, raw);
        if raw.is_empty() {
            in_head = false;
            if !block.lines.is_empty() || !block.answers.is_empty() {
                trace.blocks.push(std::mem::take(&mut block));
            }
        } else if let Some(revisions) = raw.strip_prefix("----") {
            let revisions = revisions.split_whitespace().map(str::to_owned).collect();
            block.answers.push(Answer { revisions, lines: Vec::new() });
        } else if let Some(answer) = block.answers.last_mut() {
            answer.lines.push(raw.to_owned());
        } else if let Some(comment) = raw.strip_prefix('#') {
            if in_head {
                trace.comments.push(comment.to_owned());
            } else {
                block.lines.push(raw.to_owned());
            }
        } else if line.takes("config") {
            line.setup(&mut trace.setup)?;
        } else if line.takes("helper-policy") {
            let name = line.word("a helper's name")?.to_owned();
            let (mut max, mut timeout) = (0, 0);
            line.options(|key, value| match key {
                "max" => value.number().map(|number| max = number),
                "timeout" => value.span(1).map(|Ticks(secs)| timeout = secs as u32),
                _ => Err("`max` or `timeout`".to_owned()),
            })?;
            trace.setup.helpers.push((name, max, timeout));
        } else if line.takes("revisions") {
            while let Some(word) = line.next() {
                trace.revisions.push(word.to_owned());
            }
        } else {
            in_head = false;
            let step = line.step(trace.setup.hz.unwrap_or(HZ))?;
            line.end()?;
            block.steps.push((number, step));
            block.lines.push(raw.to_owned());
        }
    }
    if !block.lines.is_empty() || !block.answers.is_empty() {
        trace.blocks.push(block);
    }
    Ok(trace)
}

/// Reads one step.
///
/// # Errors
/// The place at which the line is no step.
pub fn parse_step(text: &str, hz: u32) -> Result<Step, TextError> {
    let mut line = Line::new(1, text);
    let step = line.step(hz)?;
    line.end()?;
    Ok(step)
}

impl Line<'_> {
    fn setup(&mut self, setup: &mut Setup) -> Result<(), TextError> {
        // What a trace may ask for: enough for any behaviour, little enough for any machine.
        const MOST: u32 = 1 << 16;
        self.options(|key, value| {
            let number: u32 = value.number()?;
            let (place, most) = match key {
                "hz" => (&mut setup.hz, 10_000),
                "hash-size" => (&mut setup.hash_size, MOST),
                "expect-max" => (&mut setup.expect_max, u32::MAX),
                "expectations" => (&mut setup.expectations, MOST),
                "conns" => (&mut setup.conns, MOST),
                "netns" => (&mut setup.netns, 64),
                _ => return Err("hz, hash-size, expect-max, expectations, conns or netns".into()),
            };
            let least = u32::from(key != "expect-max");
            if !(least..=most).contains(&number) {
                return Err(format!("a number from {least} to {most}"));
            }
            *place = Some(number);
            Ok(())
        })
    }

    fn step(&mut self, hz: u32) -> Result<Step, TextError> {
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
            "alloc" => Step::Alloc(self.announcement(hz)?.0),
            "relate" => {
                let exp = self.name()?;
                let (mut skip_master, mut origin) = (false, Origin::KERNEL);
                self.options(|key, value| request(key, value, &mut skip_master, &mut origin))?;
                Step::Relate { exp, skip_master, origin }
            }
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
            "sysctl" => {
                let mut max = None;
                self.options(|key, value| match key {
                    "expect-max" => value.number().map(|number| max = Some(number)),
                    _ => Err("`expect-max`".to_owned()),
                })?;
                Step::ExpectMax(max.ok_or_else(|| self.error("`expect-max`"))?)
            }
            "fail-nth" => Step::FailNth(self.read(Value::number)?),
            "netns-init" => Step::NetnsInit(NetId(self.read(Value::number)?)),
            "netns-exit" => Step::NetnsExit(NetId(self.read(Value::number)?)),
            "flush" => {
                let (mut net, mut origin) = (NetId::INIT, Origin::KERNEL);
                self.options(|key, value| match key {
                    "net" => value.number().map(|number| net = NetId(number)),
                    _ => who(key, value, &mut origin, "`net`"),
                })?;
                Step::Flush { net, origin }
            }
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
        let expected = "an operation of a transcript, `{\"op\":…,\"a\":{…}}`";
        let operation = serde_json::from_str(self.rest());
        let operation: Operation = operation.map_err(|_| self.error(expected))?;
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
            "dropped" => {
                fate = Fate::Dropped;
                Ok(())
            }
            "template" => {
                fate = Fate::Template;
                Ok(())
            }
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
        "skip-master" => {
            *skip_master = true;
            Ok(())
        }
        _ => {
            who(key, value, origin, "`skip-master`, an option of an announcement (class, flags, …)")
        }
    }
}

fn who(key: &str, value: Value<'_>, origin: &mut Origin, others: &str) -> Want<()> {
    match key {
        "portid" => value.number().map(|number| origin.portid = number),
        "report" => {
            origin.report = true;
            Ok(())
        }
        _ => Err(format!("{others}, `portid` or `report`")),
    }
}

fn cpu_number(text: &str) -> Want<Cpu> {
    let number = text.parse().ok().filter(|number| *number < 64);
    number.map(Cpu).ok_or_else(|| "a processor, as in `cpu1`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 net=1 zone=2 helper=ftp mark=7 secmark=8
confirm m
delete m
destroy m
helper m none
alloc e master=m udp [fd00::2]:* > [fd00::1]:69 class=1 flags=permanent,inactive assign=sip fn=sip nat=[fd00::9]:80,reply timeout=90j
relate e skip-master portid=3 report
expect e master=m tcp 10.0.0.0/255.255.255.0:80/0xff00 > 10.0.0.1:5 nat=10.0.0.7:8 portid=9
unexpect e
flags e 0
remove m
put e
packet tcp 10.0.0.2:1 > 10.0.0.1:5 as=child dropped
lookup icmp 10.0.0.2:1 > 10.0.0.1:2048 as=r cpu=1
advance 75000j
fire e
callback e
hold cpu1
release cpu1
show net=0
open f net=1
read f 3
stats net=0
memory
sysctl expect-max=-1
fail-nth 2
netns-init 1
netns-exit 1
flush net=0 portid=4 report
unregister ftp
unregister-function Q.931
collect m";

    #[test]
    fn every_step_is_printed_as_it_is_read() {
        for line in ALL.lines() {
            let step = parse_step(line, HZ).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(step.to_string(), line);
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (text, message) in [
            ("conn", "line 1, column 5: expected a name, found the end of the line"),
            (
                "conn m tcp 1.1.1.1:5 21",
                "line 1, column 22: expected `>` between source and destination, found `21`",
            ),
            (
                "advance 300",
                "line 1, column 9: expected a span with a unit, as in `300s`, found `300`",
            ),
            ("\n\njump", "line 3, column 1: expected a step, found `jump`"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn no_cut_and_no_flip_panics() {
        let bytes = ALL.as_bytes();
        for cut in 0..bytes.len() {
            let _ = parse(&String::from_utf8_lossy(&bytes[..cut]));
            for flip in [0x01, 0x20, 0x80] {
                let mut flipped = bytes.to_vec();
                flipped[cut] ^= flip;
                let line = flipped.split(|byte| *byte == b'\n').nth(cut % 31).unwrap_or_default();
                let _ = parse(&String::from_utf8_lossy(line));
            }
        }
    }

    #[test]
    fn a_trace_is_printed_as_it_is_read() {
        let text = "# What it shows.\nconfig hz=100 hash-size=1\nrevisions 3.9 7.2\n\n\
                    # A comment.\nmemory\n---- 3.9\na\n----\nb\n\nmemory\n";
        let trace = parse(text).expect("a trace");
        assert_eq!(trace.to_string(), text);
        assert_eq!(trace.blocks[0].expected("3.9"), ["a"]);
        assert_eq!(trace.blocks[0].expected("7.2"), ["b"]);
    }
}
