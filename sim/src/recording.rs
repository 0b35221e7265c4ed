// SPDX-License-Identifier: GPL-2.0-only
//! A replay written down as the running kernel's would be, and whether two such agree.
//!
//! They agree when, packet by packet, the events of expectations are the same in order and in
//! every field, and so are the connections that were announced; the numbers of expectations
//! count by first appearance. A higher grade asks for every packet's fate too.

use std::collections::HashMap;

use nfexp_model::error::NoMemory;
use nfexp_model::revision::Revision;
use nfexp_traces::capture::Frame;
use serde_json::{Map, Value, json};

use crate::forward::Router;
use crate::replay::{Happening, Pace, Replay};
use crate::report::kernel_jsonl::Recorder;
use crate::settings::{Port, Settings};

/// A replay being written down. Its lines are kept until the end, because the first tells the
/// totals: memory grows with the events, by what they take as text.
#[derive(Debug)]
pub struct Recording {
    replay: Replay,
    recorder: Recorder,
    lines: Vec<String>,
    ports: Vec<Port>,
    given: Vec<String>,
    pace: Pace,
    /// How many seconds go on behind the tail.
    slack_secs: u64,
}

impl Recording {
    /// A recording of a fresh router.
    ///
    /// # Errors
    /// If the engine finds no memory.
    pub fn new(settings: Settings, pace: Pace) -> Result<Self, NoMemory> {
        let (ports, selection) = (settings.ports.clone(), settings.selection.clone());
        let given = told_of(&settings);
        let recorder = Recorder::new(settings.lean, pace.keeps_real_time());
        let replay = Replay::new(Router::new(settings)?, pace, selection, true);
        let slack_secs = 0;
        Ok(Self { replay, recorder, lines: Vec::new(), ports, given, pace, slack_secs })
    }

    /// Goes on for a while behind the tail, to be compared with a recording whose timers may have
    /// fired earlier than ours ([`slack_of`]). What happens then is `late`, where the packets
    /// between which it happens are told; the head tells the `end` of the tail.
    #[must_use]
    pub fn with_slack(self, slack_secs: u64) -> Self {
        Self { slack_secs, ..self }
    }

    /// Plays a frame.
    pub fn packet(&mut self, frame: &Frame<'_>) {
        let Self { replay, recorder, lines, .. } = self;
        replay.packet(frame, &mut |router: &mut Router, happening: &Happening<'_>| {
            lines.extend(line(recorder, router, happening, "after"));
        });
    }

    /// All lines, after the last frame. `name` and `sha256` are the capture's.
    ///
    /// # Panics
    /// Never: what was written reads.
    #[must_use]
    pub fn finish(self, name: &str, sha256: Option<String>) -> Vec<Value> {
        let lines = self.text(name, sha256);
        lines.iter().map(|line| serde_json::from_str(line).expect("it was written here")).collect()
    }

    /// The same as text, which takes a tenth of the memory.
    #[must_use]
    pub fn text(mut self, name: &str, sha256: Option<String>) -> Vec<String> {
        let Self { replay, recorder, lines, slack_secs, .. } = &mut self;
        replay.finish(|router: &mut Router, happening: &Happening<'_>| {
            lines.extend(line(recorder, router, happening, "after"));
        });
        let end_ns = replay.since_ns();
        replay.go_on(*slack_secs * 1000, |router: &mut Router, happening: &Happening<'_>| {
            lines.extend(line(recorder, router, happening, "late"));
        });
        let end = self.recorder.end(&mut self.replay.router);
        let mut head = json!({ "head": self.head(name, sha256) });
        if self.slack_secs > 0 {
            head["head"]["end"] = (end_ns as f64 / 1e9).into();
        }
        let end = end.map(|line| line.to_string());
        std::iter::once(head.to_string()).chain(self.lines).chain(end).collect()
    }

    fn head(&self, name: &str, sha256: Option<String>) -> Value {
        let mut helpers = Map::new();
        for port in &self.ports {
            let list = helpers.entry(port.helper.clone()).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(format!("{}/{}", port.proto, port.port).into());
            }
        }
        let totals = self.replay.totals();
        let revision = self.replay.router.engine().config().revision.name;
        let mut head = json!({
            "pcap": name,
            "sha256": sha256,
            "kernel": format!("nfexp {} as {revision}", env!("CARGO_PKG_VERSION")),
            "helpers": helpers,
            "packets": totals.packets,
            "injected": totals.packets - totals.not_ip - totals.cut - totals.filtered,
            "skipped": {
                "non-ip": totals.not_ip,
                "truncated": totals.cut,
                "filtered": totals.filtered,
            },
        });
        if let (Value::Object(head), Value::Object(more)) = (&mut head, self.recorder.totals()) {
            head.extend(more);
            let gap = (totals.largest_gap_ns as f64 / 1e6).round() / 1e3;
            head.insert("max_gap".into(), gap.into());
            head.insert("ctinfo".into(), totals.letters.clone().into());
            if let Pace::Captured { tail_ms, speed } = self.pace {
                if speed > 0 {
                    head.insert("pace".into(), (speed as f64 / 1e3).into());
                }
                let tail: Value = match tail_ms % 1000 {
                    0 => (tail_ms / 1000).into(),
                    _ => (tail_ms as f64 / 1e3).into(),
                };
                head.insert("tail".into(), tail);
            }
            self.tell_options(head);
        }
        head
    }

    /// Into the head what [`options_of`] finds there; helpers and pace it tells anyhow.
    fn tell_options(&self, head: &mut Map<String, Value>) {
        for option in &self.given {
            match option.split_once('=') {
                None => drop(head.insert(option.clone(), true.into())),
                Some(("port" | "pace" | "tail", _)) => {}
                Some((key @ ("sysctl" | "param"), setting)) => {
                    let settings = head.entry(key).or_insert_with(|| json!({}));
                    if let (Value::Object(settings), Some((name, value))) =
                        (settings, setting.split_once(':'))
                    {
                        settings.insert(name.to_owned(), value.into());
                    }
                }
                Some((key, value)) => {
                    // Of all others only `until` is a number.
                    let number = value.parse().ok().filter(|_| key == "until").map(f64::into);
                    head.insert(key.to_owned(), number.unwrap_or_else(|| value.into()));
                }
            }
        }
    }
}

/// The options that were given, and the limit of the table where that was given otherwise. How many
/// buckets there are no option says.
fn told_of(settings: &Settings) -> Vec<String> {
    const LIMIT: &str = "sysctl=nf_conntrack_expect_max:";
    let (mut told, config) = (settings.given.clone(), &settings.config);
    let usual = Settings::of(config.revision, None, None).config.expect_max;
    if config.expect_max != usual && !told.iter().any(|option| option.starts_with(LIMIT)) {
        told.push(format!("{LIMIT}{}", config.expect_max));
    }
    told
}

/// The line of one happening; `between` is what it says of one between two packets.
fn line(
    recorder: &mut Recorder,
    router: &Router,
    happening: &Happening<'_>,
    between: &str,
) -> Option<String> {
    let (key, unit) = if happening.between { (between, 10_f64) } else { ("i", 1e6) };
    let seconds = (happening.since_ns as f64 / 1e9 * unit).round() / unit;
    let head = (key, happening.packet, seconds);
    recorder.packet(router, head, happening).map(|line| line.to_string())
}

/// How much later than ours a running kernel's timer of minutes may fire, in seconds: its wheel's
/// step, and when the machine was booted.
const SLACK_SECS: u64 = 17;

/// How many seconds a recording is to be followed behind its end: one of a running kernel in which
/// time passed, by the slack of its timers, for ours may still be pending when it ended.
#[must_use]
pub fn slack_of(lines: &[Value]) -> u64 {
    let head = lines.first().map(|line| &line["head"]);
    let is_timed = head.is_some_and(|head| head["tail"].is_number());
    let ours = head.and_then(|head| head["kernel"].as_str());
    let ours = ours.is_some_and(|kernel| kernel.starts_with("nfexp "));
    if is_timed && !ours { SLACK_SECS } else { 0 }
}

/// The options with which a recording was made, as its head tells them.
#[must_use]
pub fn options_of(lines: &[Value]) -> String {
    let Some(head) = lines.first().map(|line| &line["head"]) else { return String::new() };
    let mut options = Vec::new();
    let usual: Vec<String> = Settings::of(Revision::LINUX_6_18, None, None)
        .ports
        .iter()
        .map(|port| format!("{}:{}/{}", port.helper, port.proto, port.port))
        .collect();
    if let Some(helpers) = head["helpers"].as_object() {
        let places = |places: &Value| places.as_array().cloned().unwrap_or_default();
        let named = helpers.iter().flat_map(|(helper, at)| {
            let port = |place: Value| Some(format!("{helper}:{}", place.as_str()?));
            places(at).into_iter().filter_map(port).collect::<Vec<_>>()
        });
        let mut named: Vec<String> = named.collect();
        if usual.iter().all(|port| named.contains(port)) {
            named.retain(|port| !usual.contains(port));
        } else {
            options.push("no-ports".to_owned());
        }
        options.extend(named.into_iter().map(|port| format!("port={port}")));
    }
    for key in ["local", "only", "until", "pace", "tail"] {
        match &head[key] {
            Value::String(value) => options.push(format!("{key}={value}")),
            Value::Number(value) => options.push(format!("{key}={value}")),
            _ => {}
        }
    }
    if head["lean"] == true {
        options.push("lean".to_owned());
    }
    for key in ["sysctl", "param"] {
        for (name, value) in head[key].as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            options.push(format!("{key}={name}:{value}"));
        }
    }
    options.join(";")
}

/// How far two recordings agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// The first difference in the events of expectations and announced connections.
    pub first_difference: Option<Difference>,
    /// The higher grade: the first difference in any event.
    pub in_any_event: Option<Difference>,
    /// Packets, from 1, whose fate differs.
    pub fates: Vec<u64>,
}

/// Where two recordings part.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What the kernel told, and where.
    pub kernel: Option<(String, Value)>,
    /// What the model told.
    pub model: Option<(String, Value)>,
}

impl Difference {
    fn first(kernel: &[(String, Value)], model: &[(String, Value)]) -> Option<Self> {
        let length = kernel.len().max(model.len());
        let part = (0..length).find(|&at| kernel.get(at) != model.get(at))?;
        Some(Self { kernel: kernel.get(part).cloned(), model: model.get(part).cloned() })
    }
}

/// Which events have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// Those of expectations, and of connections that were announced.
    Expectations,
    /// All, in every field.
    All,
}

/// Compares a recording of the kernel with one of the model. What is `late` in the model's may be
/// missing in the kernel's, which had ended, and so may be what expired shortly before that.
#[must_use]
pub fn agreement(kernel: &[Value], model: &[Value]) -> Agreement {
    let difference = |grade| {
        let (kernel, mut model) = (told(kernel, grade), told(model, grade));
        let mut rest = kernel.iter().peekable();
        model.retain(|told| {
            let beside = rest.next_if(|there| !told.is_late || there.what == told.what);
            beside.is_some() || !told.is_late
        });
        let what = |told: Vec<Told>| told.into_iter().map(|told| told.what).collect::<Vec<_>>();
        Difference::first(&what(kernel), &what(model))
    };
    let letters = |lines: &[Value]| {
        let head = lines.first().and_then(|line| line["head"]["ctinfo"].as_str());
        head.unwrap_or_default().as_bytes().to_vec()
    };
    let (ours, theirs) = (letters(model), letters(kernel));
    let packets = 0..ours.len().max(theirs.len());
    // Nobody was given the packet that a file holds in part: whether it counts is all the same.
    let fate = |letters: &[u8], at: usize| letters.get(at).copied().unwrap_or(b'.');
    let fates = packets.filter(|&at| fate(&ours, at) != fate(&theirs, at)).map(|at| at as u64 + 1);
    Agreement {
        first_difference: difference(Grade::Expectations),
        in_any_event: difference(Grade::All),
        fates: fates.collect(),
    }
}

/// What was told: a place and an event.
struct Told {
    what: (String, Value),
    /// Whether it was behind the recording's end, or would be if its timer fired as late as it may.
    is_late: bool,
}

/// How late a timer of so many seconds may fire at most, in seconds: by the step of its level of the
/// wheel, which begins at 63/8 such steps.
fn lateness(secs: f64) -> f64 {
    (secs * 8.0 / 63.0).min(SLACK_SECS as f64)
}

/// What has to agree: place and event, in order; numbers count by first appearance.
fn told(lines: &[Value], grade: Grade) -> Vec<Told> {
    let mut numbers = [HashMap::new(), HashMap::new()];
    let mut told = Vec::new();
    let head = lines.first().map_or(&Value::Null, |line| &line["head"]);
    let (end, pace) = (head["end"].as_f64(), head["pace"].as_f64().unwrap_or(1.0));
    let mut lifetimes = HashMap::new();
    for line in lines {
        let is_late = line["late"].is_number();
        let left = end.filter(|_| line["after"].is_number()).zip(line["t"].as_f64());
        let left = left.map(|(end, t)| (end - t) / pace);
        let place = match (&line["i"], if is_late { &line["late"] } else { &line["after"] }) {
            (Value::Number(at), _) => format!("packet {at}"),
            (_, Value::Number(at)) => format!("after packet {at}"),
            _ => continue,
        };
        for event in line["ev"].as_array().into_iter().flatten() {
            let id = event["id"].to_string();
            if let Some(secs) = event["timeout"].as_f64() {
                lifetimes.insert(id.clone(), secs);
            }
            let may_be_late = event["expired"] == true
                && left.is_some_and(|left| {
                    lifetimes.get(&id).is_some_and(|secs| left < lateness(*secs))
                });
            let is_late = is_late || may_be_late;
            let mut tell = |event| told.push(Told { what: (place.clone(), event), is_late });
            let mut event = event.clone();
            let of_conn = match event["e"].as_str() {
                Some("exp_new" | "exp_destroy" | "exp_change") => false,
                Some("ct_new" | "ct_destroy") if grade == Grade::All => true,
                Some("ct_new") if event.get("master").is_some() => {
                    let keep = ["e", "orig", "reply", "master"];
                    event =
                        keep.iter().map(|key| ((*key).to_owned(), event[*key].clone())).collect();
                    tell(event);
                    continue;
                }
                _ => continue,
            };
            let numbers = &mut numbers[usize::from(of_conn)];
            let next = numbers.len() + 1;
            let number = *numbers.entry(event["id"].to_string()).or_insert(next);
            event["id"] = number.into();
            tell(event);
        }
    }
    // Between packets, connections end as the kernel's walk through its salted table meets them:
    // only the order within one of them says something.
    for run in told.chunk_by_mut(|one, next| one.what.0 == next.what.0) {
        if run[0].what.0.starts_with("after") {
            run.sort_by_cached_key(|Told { what: (_, event), .. }| match &event["master"] {
                Value::Null => event["orig"].to_string(),
                master => master.to_string(),
            });
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_matter_and_fields_do() {
        let lines = |id: u64, dport: u16| {
            let event = json!({ "e": "exp_new", "id": id, "tuple": { "dport": dport } });
            vec![json!({ "head": { "ctinfo": "Ne" } }), json!({ "i": 1, "ev": [event] })]
        };
        assert_eq!(agreement(&lines(1, 5), &lines(9, 5)).first_difference, None);
        let parted = agreement(&lines(1, 5), &lines(1, 6)).first_difference;
        let parted = parted.expect("the ports differ");
        assert_eq!(parted.model.map(|(place, _)| place), Some("packet 1".to_owned()));
        assert!(agreement(&lines(1, 5), &lines(1, 5)[..1]).first_difference.is_some());
    }

    #[test]
    fn a_recording_is_followed_where_a_kernels_timers_ran() {
        let of = |kernel: &str, tail: Option<u64>| {
            slack_of(&[json!({ "head": { "kernel": kernel, "tail": tail } })])
        };
        assert_eq!(of("6.18.44", Some(3)), SLACK_SECS);
        assert_eq!(
            [of("6.18.44", None), of("nfexp 0.1.0 as 6.18", Some(3)), slack_of(&[])],
            [0; 3]
        );
    }

    /// Of an announced connection the lower grade holds whose it is, and of any other nothing.
    #[test]
    fn a_grade_holds_so_much_of_a_connection() {
        let of = |orig: u64, master: Option<u64>, status: &str| {
            let mut event = json!({ "e": "ct_new", "id": 1, "orig": { "sport": orig },
                "reply": { "sport": 1 }, "status": [status] });
            if let Some(master) = master {
                event["master"] = json!({ "sport": master });
            }
            [json!({ "head": {} }), json!({ "i": 1, "ev": [event] })]
        };
        for (kernel, model, lower, higher) in [
            (of(5, Some(3), "seen"), of(5, Some(3), "seen"), true, true),
            (of(5, Some(3), "seen"), of(5, Some(3), "new"), true, false),
            (of(5, Some(3), "seen"), of(5, Some(4), "seen"), false, false),
            (of(5, Some(3), "seen"), of(6, Some(3), "seen"), false, false),
            (of(5, None, "seen"), of(6, None, "seen"), true, false),
        ] {
            let Agreement { first_difference, in_any_event, .. } = agreement(&kernel, &model);
            let agrees = (first_difference.is_none(), in_any_event.is_none());
            assert_eq!(agrees, (lower, higher), "{kernel:?}, {model:?}");
        }
    }

    /// Shortly before the end a timer of minutes may not have fired yet; one of seconds has.
    #[test]
    fn what_expired_just_before_the_end_may_be_missing() {
        let lines = |timeout: u64, expired_at: Option<f64>| {
            let new = json!({ "e": "exp_new", "id": 1, "timeout": timeout });
            let gone = json!({ "e": "exp_destroy", "id": 1, "expired": true });
            let gone = expired_at.map(|t| json!({ "after": 1, "t": t, "ev": [gone] }));
            let mut lines =
                vec![json!({ "head": { "end": 250.0 } }), json!({ "i": 1, "ev": [new] })];
            lines.extend(gone);
            lines
        };
        for (timeout, at, agrees) in
            [(240, 244.0, true), (240, 232.0, false), (8, 249.5, true), (8, 248.0, false)]
        {
            let found = agreement(&lines(timeout, None), &lines(timeout, Some(at)));
            assert_eq!(found.first_difference.is_none(), agrees, "{timeout} s at {at}");
            let both = agreement(&lines(timeout, Some(249.0)), &lines(timeout, Some(at)));
            assert_eq!(both.first_difference, None, "{timeout} s at {at}");
        }
    }

    /// Behind the recording's end it told nothing; before, it would have.
    #[test]
    fn what_comes_late_may_be_missing() {
        let gone = |id: u64| json!({ "e": "exp_destroy", "id": id, "master": { "sport": id } });
        let lines = |after: &[u64], late: &[u64]| {
            let events = |ids: &[u64]| ids.iter().map(|id| gone(*id)).collect::<Vec<_>>();
            vec![
                json!({ "head": {} }),
                json!({ "i": 1, "ev": [gone(7), gone(8), gone(9)] }),
                json!({ "after": 2, "ev": events(after) }),
                json!({ "late": 2, "ev": events(late) }),
            ]
        };
        let agrees = |kernel: &[u64], after: &[u64], late: &[u64]| {
            agreement(&lines(kernel, &[]), &lines(after, late)).first_difference.is_none()
        };
        assert!(agrees(&[8], &[8], &[7, 9]));
        assert!(agrees(&[7, 9], &[7], &[8, 9]), "ours was later");
        assert!(!agrees(&[8], &[7, 8], &[9]));
        assert!(!agrees(&[8], &[], &[7, 9]));
    }

    #[test]
    fn a_packet_that_nobody_was_given_is_none() {
        let lines = |letters: &str| vec![json!({ "head": { "ctinfo": letters } })];
        let fates = |kernel, model| agreement(&lines(kernel), &lines(model)).fates;
        assert!(fates("Ne.", "Ne").is_empty());
        assert_eq!(fates("NeE", "Ne"), [3]);
        assert_eq!(fates("N.e", "Ne"), [2, 3]);
    }
}
