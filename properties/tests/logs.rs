// SPDX-License-Identifier: GPL-2.0-only
//! An operator's log of events, held against a replay of the same packets.
//!
//! * The logs of the FTP and TFTP captures have the events of their replay, one by one.
//! * Another capture's log has not.
//! * A log becomes a trace that plays, with as many expectations as the log begins; a listing
//!   becomes one, too, as text or XML; and a log of more masters than a trace has memory for.
//! * Time passes as stamps say, of text and of XML; and not again, where a clock was set back.

use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::event::Event;
use nfexp_model::revision::Revision;
use nfexp_sim::forward::Router;
use nfexp_sim::log::{LogImporter, agree, heard, tool_line};
use nfexp_sim::replay::{Happening, Pace, Replay, Selection};
use nfexp_sim::settings::Settings;
use nfexp_traces::capture::Capture;
use nfexp_traces::text::Trace;
use nfexp_traces::tools::{EventWord, ToolLine, lines};

fn captures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/captures").join(folder);
    let entries = fs::read_dir(folder).expect("the captures are there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let mut found: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "pcap")).collect();
    found.sort();
    found
}

fn logged(capture: &Path) -> Vec<ToolLine> {
    let text = fs::read(capture.with_extension("expect.log")).expect("a capture has a log");
    lines(&text[..]).filter_map(|line| heard(&line.expect("a tool's line").1)).collect()
}

fn replayed(capture: &Path) -> Vec<ToolLine> {
    // As they were recorded: one on another port, one with a small table.
    let name = capture.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let max = (name == "ftp-table-full").then_some(2);
    let mut settings = Settings::of(Revision::LINUX_6_18, None, max);
    let mut pace = Pace::CAPTURED;
    if name == "ftp-port-2121" {
        settings.apply("port=ftp:tcp/2121", &mut pace).expect("an option");
    }
    let router = Router::new(settings).expect("memory");
    let mut replay = Replay::new(router, pace, Selection::default(), false);
    let mut heard = Vec::new();
    let mut hear = |router: &mut Router, happening: &Happening<'_>| {
        for event in happening.events {
            if let Event::Expect(event) = event {
                heard.push(tool_line(router.engine(), router.now(), event));
            }
        }
    };
    let mut capture = Capture::open(capture).expect("a capture");
    while let Some(frame) = capture.next_packet().expect("a packet") {
        replay.packet(&frame, &mut hear);
    }
    replay.finish(&mut hear);
    heard
}

fn same(replayed: &[ToolLine], logged: &[ToolLine]) -> bool {
    let pairs = || replayed.iter().zip(logged);
    replayed.len() == logged.len() && pairs().all(|(replayed, logged)| agree(replayed, logged))
}

#[test]
fn logs_have_the_events_of_their_replays_and_no_others() {
    let mut found = 0;
    let (mut previous, mut mixed_up) = (Vec::new(), 0);
    for capture in ["ftp", "tftp"].iter().flat_map(|folder| captures(folder)) {
        let (logged, replayed) = (logged(&capture), replayed(&capture));
        assert!(same(&replayed, &logged), "{}: {replayed:#?}\n{logged:#?}", capture.display());
        found += logged.len();
        mixed_up += usize::from(same(&replayed, &previous));
        previous = logged;
    }
    assert!(found > 50, "only {found} events");
    assert!(mixed_up <= 1, "another capture's log agreed {mixed_up} times");
}

#[test]
fn a_log_becomes_a_trace_that_plays() {
    for capture in captures("ftp") {
        let text = fs::read(capture.with_extension("expect.log")).expect("a capture has a log");
        let trace = imported("a log", &text[..]).to_string();
        let begun =
            logged(&capture).iter().filter(|line| line.event == Some(EventWord::New)).count();
        assert_eq!(trace.lines().filter(|line| line.starts_with("new ")).count(), begun, "{trace}");
        let parsed = nfexp_traces::text::parse(&trace).expect("a trace");
        assert_eq!(parsed.to_string(), trace);
    }
}

#[test]
fn a_listing_becomes_a_trace_in_either_form() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/tools");
    let rows = |name: &str, keep: &dyn Fn(&str) -> bool, event: &str| {
        let text = fs::read_to_string(folder.join(name)).expect("our own");
        let kept = text.lines().filter(|line| keep(line)).map(|line| line.replace(event, ""));
        kept.collect::<Vec<_>>().join("\n")
    };
    let begun = |text: &str| {
        let trace = imported("a listing", text.as_bytes()).to_string();
        trace.lines().filter(|line| line.starts_with("new ")).count()
    };
    let text = rows("list.txt", &|_| true, "");
    let xml = rows("events.xml", &|line| line.contains("type=\"new\""), " type=\"new\"");
    assert_eq!(begun(&text), text.lines().count(), "{text}");
    assert!(begun(&xml) > 10 && begun(&xml) == xml.lines().count(), "{xml}");
}

/// What a tool tells of an expectation of FTP, whose master comes from there.
fn expected(from: &str) -> String {
    let mask = "mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535";
    format!(
        "proto=6 src={from} dst=10.0.0.1 sport=0 dport=5000 {mask} \
         master-src={from} master-dst=10.0.0.1 sport=40000 dport=21 class=0 helper=ftp"
    )
}

/// The trace that a log becomes.
fn imported(name: &str, text: &[u8]) -> Trace {
    let mut importer = LogImporter::new(name, Revision::LINUX_6_18);
    for line in lines(text) {
        importer.take(&line.expect("a tool's line").1).expect("there is room");
    }
    importer.finish().expect("the trace plays")
}

#[test]
fn a_log_of_more_masters_than_there_is_memory_for_becomes_a_trace_while_few_expect() {
    let master = |number: u32| expected(&format!("10.1.{}.{}", number >> 8, number & 0xff));
    let both = |line: String| format!("    [NEW] 300 {line}\n[DESTROY] 300 {line}\n");
    // The first of them comes again when it has gone.
    let numbers = (1..=17_000).chain([1]);
    let text: String = numbers.map(|number| both(master(number))).collect();
    let trace = imported("a long log", text.as_bytes());
    assert_eq!(trace.setup.conns, Some(1 << 14));
    let said = trace.blocks.iter().flat_map(|block| &block.answers).flat_map(|said| &said.lines);
    let (mut told, mut gone) = (0, 0);
    for line in said {
        told += usize::from(line.starts_with("new "));
        gone += usize::from(line.starts_with("gone "));
    }
    assert_eq!((told, gone), (17_001, 1 << 14));
}

#[test]
fn time_passes_between_stamps_and_not_twice_where_a_clock_was_set_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/tools");
    let first = |name: &str, with: &str| {
        let text = fs::read_to_string(folder.join(name)).expect("our own");
        text.lines().find(|line| line.contains(with)).expect("an event").to_owned()
    };
    let text = first("events-timestamp.txt", "[NEW]");
    let (stamp, _) = text.split_once(']').expect("a stamp");
    let at =
        |second: u32| text.replacen(stamp, &format!("[{}.{:<6}", 1_795_560_000 + second, 0), 1);
    let xml = first("events-timestamp.xml", "type=\"new\"");
    let (_, now) = xml.split_once("<min>").expect("a minute");
    let (now, _) = now.split_once("<wday>").expect("a second");
    let when = |second: u32| {
        let (minute, second) = (10 + second / 60, second % 60);
        xml.replacen(now, &format!("{minute}</min><sec>{second}</sec>"), 1)
    };
    let passed = |lines_of: &dyn Fn(u32) -> String| {
        let mut importer = LogImporter::new("a log", Revision::LINUX_6_18);
        let text: Vec<_> = [0, 70, 50, 60, 71].map(lines_of).into();
        for line in lines(text.join("\n").as_bytes()) {
            importer.take(&line.expect("a tool's line").1).expect("there is room");
        }
        let trace = importer.finish().expect("the trace plays").to_string();
        let advances = trace.lines().filter(|line| line.starts_with("advance "));
        advances.map(str::to_owned).collect::<Vec<_>>()
    };
    // 70 s and 1 s.
    assert_eq!(passed(&at), ["advance 17500j", "advance 250j"]);
    assert_eq!(passed(&when), passed(&at));
}

/// Of two that end one behind the other neither waits for a successor.
#[test]
fn whoever_a_log_says_is_gone_goes() {
    let events = [("    [NEW] ", 1), ("    [NEW] ", 2), ("[DESTROY] ", 1), ("[DESTROY] ", 2)];
    let line = |(event, number)| format!("{event}300 {}\n", expected(&format!("10.1.0.{number}")));
    let text: String = events.map(line).concat();
    let trace = imported("a log", text.as_bytes()).to_string();
    for said in ["destroy e1 unexpect", "destroy e2 unexpect"] {
        assert!(trace.lines().any(|line| line == said), "{said} in {trace}");
    }
}
