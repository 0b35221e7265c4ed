// SPDX-License-Identifier: GPL-2.0-only
//! What is larger than anybody would write is refused before it costs memory, and told briefly.

use std::fs;

use super::{EVICTION, file, root, run};

const SCENARIO: &str = r#"
name = "one"
run = { lasts = "100s", source = "the test" }
[[class]]
name = "only"
helper = "ftp"
arrivals = { law = "poisson", per_second = 1.5, source = "the test" }
delay = { law = "log-normal", median = "60ms", sigma = 1.0, source = "the test" }
answered = { share = 0.9, source = "the test" }
"#;

/// It is bad data, and this is said of it.
fn refused(arguments: &[&str], message: &str) {
    let (code, _, told) = run(arguments);
    assert_eq!(code, 65, "{arguments:?}: {told}");
    assert!(told.contains(message) && told.len() < 3000, "{arguments:?}: {told}");
}

/// Every step takes memory, however short it is written.
#[test]
fn a_trace_is_of_a_million_lines_at_most() {
    let trace = file("long.trace", "memory\n".repeat((1 << 20) + 1).as_bytes());
    for verb in ["replay", "show", "diff-revisions"] {
        refused(&[verb, &trace], "long.trace: line 1048577: expected a trace of at most 1048576");
    }
}

/// A table of thousands of lines, listed a thousand times; what is listed at the end is listed once.
#[test]
fn a_table_may_be_listed_again_and_again() {
    let expect = |port| format!("expect e{port} master=m tcp 10.0.0.2:* > 10.0.0.1:{port}\n");
    let table = "config expectations=65536 expect-max=65536\nhelper-policy ftp max=65535 timeout=300s\n\
                 conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 helper=ftp\n";
    let table = table.to_owned() + &(1..4000).map(expect).collect::<String>();
    let listed = format!("{table}{}", "show\n".repeat(1000));
    let listed = file("listed.trace", listed.as_bytes());
    for verb in ["replay", "diff-revisions"] {
        refused(&[verb, &listed], ": expected at most 128 MiB of answers in all");
    }
    let (code, shown, told) = run(&["show", &file("table.trace", table.as_bytes())]);
    assert_eq!((code, shown.lines().count()), (0, 3999), "{told}");
}

/// The file is at fault, not the system.
#[test]
fn a_capture_of_more_than_a_trace_holds_is_named() {
    let head = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, 101].map(u32::to_be_bytes);
    let mut capture = head.concat();
    for client in 0..=u16::MAX as u32 + 1 {
        let source = 0x0a00_0000 + client;
        let words = [0x4500_001c, 0, 0x4011_0000, source, 0x0b00_0001];
        let sum: u32 = words.iter().map(|word| (word >> 16) + (word & 0xffff)).sum();
        let check = !((sum >> 16) + (sum & 0xffff)) & 0xffff;
        let words = [0, 0, 28, 28, words[0], words[1], words[2] | check, words[3], words[4]];
        // An empty datagram to TFTP's port, without a checksum.
        let words = words.into_iter().chain([0x9c40_0045, 0x0008_0000]);
        capture.extend(words.flat_map(u32::to_be_bytes));
    }
    let capture = file("crowd.pcap", &capture);
    refused(&["import", &capture], "crowd.pcap: the trace does not play: it has memory for 65536");
}

/// Nobody could read it again.
#[test]
fn an_imported_trace_is_no_longer_than_one_that_is_read() {
    let head = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, 101].map(u32::to_be_bytes);
    // A client asks for the same file again and again, and each time there are seven lines of it.
    let words = [0_u32, 0, 40, 40, 0x4500_0028, 0, 0x4011_65c4, 0x0a00_0001, 0x0b00_0001];
    let words = words.into_iter().chain([0x9c40_0045, 0x0014_0000]);
    let request = [words.flat_map(u32::to_be_bytes).collect(), b"\0\x01ab\0octet\0\0".to_vec()];
    let request = request.concat();
    let capture = file("again.pcap", &[head.concat(), request.repeat(150_000)].concat());
    let out = file("again.trace", b"mine");
    let told = "again.pcap: the trace cannot be read again: it has 1050004 lines, expected at most \
                1048576; import less of it";
    refused(&["import", &capture, "--out", &out], told);
    assert_eq!(fs::read(out).expect("it is there"), b"mine");
}

/// It is kept as a whole, to be shrunk.
#[test]
fn a_transcript_is_bounded() {
    let known = root().join("traces/transcripts/core-1.jsonl");
    let known = fs::read_to_string(known).expect("our own");
    let header = known.lines().next().expect("a header");
    let line =
        |bytes: usize| format!("{{\"i\":1,\"op\":\"exp_flush\",\"x\":\"{}\"}}", "x".repeat(bytes));
    let many = [header, &vec![line(4_000_000); 17].join("\n")].join("\n");
    let many = file("many.jsonl", many.as_bytes());
    refused(&["conform", &many], "many.jsonl: line 18: expected a transcript of at most 1048576");
    let fill = "{\"i\":1,\"op\":\"fill\",\"a\":{\"masters\":255,\"per\":255}}";
    let full = file("full.jsonl", [header, &vec![fill; 200].join("\n")].join("\n").as_bytes());
    refused(&["conform", &full], "full.jsonl: line 130: expected at most 8388608 to be filled in");
    let wide = file("wide.jsonl", [header, &line(4 << 20)].join("\n").as_bytes());
    refused(&["conform", &wide], "wide.jsonl: line 2: expected at most 4194304 bytes");
}

/// Its options are told by its head, which has a place, too.
#[test]
fn a_recording_is_bounded_and_its_head_has_a_place() {
    let large = format!("{{\"head\":{{}},\"x\":[{}0]}}", "{\"\":0},".repeat(3 << 20));
    let large = file("large.golden.jsonl", large.as_bytes());
    refused(&["conform-capture", EVICTION, &large], "expected a recording of at most 16 MiB");
    let head = b"{\"head\":{\"helpers\":{\"sip\":[\"tcp/65536\"]}}}\n{\"flush\":{}}";
    let head = file("head.golden.jsonl", head);
    let told = "head.golden.jsonl: line 1: expected a helper and a port, as in";
    refused(&["conform-capture", EVICTION, &head], told);
}

/// Scenarios and studies, and what a scenario takes from another file.
#[test]
fn what_people_write_is_no_longer_than_they_would() {
    let numbers = file("numbers.toml", format!("x = [{}0]", "0,".repeat(3 << 20)).as_bytes());
    refused(&["sweep", &numbers], "numbers.toml: offset 4194304: expected the end of a study");
    let endless = file("endless.toml", b"name = \"endless\"\nfits = \"/dev/zero\"\n");
    let told = "fits: /dev/zero: offset 4194304: expected the end of fitted laws";
    refused(&["sweep", "--scenario", &endless], told);
}

/// What is found instead may be anything.
#[test]
fn a_long_word_is_told_without_its_middle() {
    let word = "é".repeat(1 << 20);
    let trace = file("word.trace", format!("conn m {word}\n").as_bytes());
    let told = "word.trace: line 1, column 8: expected a protocol, by name or number, found `éé";
    refused(&["replay", &trace], told);
    let study = file("word.toml", format!("scenario = \"{word}\"").as_bytes());
    refused(&["sweep", &study], "éé: expected a file or one of ftp, sip-office");
}

/// Each of thousands of lines may be needed, and whether it is takes all the others.
#[test]
fn a_divergence_is_made_small_for_a_while() {
    let known = root().join("traces/transcripts/core-1.jsonl");
    let known = fs::read_to_string(known).expect("our own");
    let mut lines = vec![known.lines().next().expect("a header").to_owned()];
    let event = r#"{"ev":"ct_new","rep":true,"l3":"ip","orig":@orig,"expected":false,"zone":0}"#;
    let orig = r#"{"src":"10.0.0.1","dst":"10.0.0.2","proto":6,"sport":@i,"dport":21}"#;
    let line = r#"{"i":@i,"op":"ct_new","a":{"l3":"ip","orig":@orig,"timeout":3600},"ret":"OK","ev":[@event]}"#;
    let line = line.replace("@event", event).replace("@orig", orig);
    lines.extend((0..1500).map(|i| line.replace("@i", &i.to_string())));
    let stats = r#"{"expect_new":0,"expect_create":0,"expect_delete":0,"entries":7}"#;
    lines.push(format!("{{\"i\":1500,\"op\":\"stats\",\"stats\":{stats},\"ev\":[]}}"));
    let many = file("masters.jsonl", lines.join("\n").as_bytes());
    let out = concat!(env!("CARGO_TARGET_TMPDIR"), "/divergences");
    let (code, told, why) = run(&["conform", "--out", out, &many]);
    assert_eq!(code, 1, "{why}");
    assert!(
        told.contains(" steps show it as well, perhaps fewer (not all was tried), in"),
        "{told}"
    );
}

/// What no machine could run, or what is no number, is refused at once, and says what would do.
#[test]
fn research_refuses_what_nobody_can_run() {
    let numbers = |to: usize| (1..=to).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let lists = |count: usize, values: usize| {
        let (path, values) = ("class.ftp.arrivals.per_second", numbers(values));
        let vary = format!("[[vary]]\npath = \"{path}\"\nvalues = [{values}]\n");
        format!("scenario = \"ftp\"\n{}", vary.repeat(count))
    };
    let study = |name: &str, text: &str| file(&format!("{name}.toml"), text.as_bytes());
    let scenario = |name: &str, from: &str, to: &str| {
        assert!(SCENARIO.contains(from), "{from}");
        study(name, &SCENARIO.replace(from, to))
    };
    let rate = "class.ftp.arrivals.per_second=1e7";
    let deep = format!("table=min({}age)", "age+".repeat(300));
    let long_one = format!("table=min({}age)", "age+".repeat(20_000));
    let points = study("points", &lists(5, 1000));
    let uncounted = study("uncounted", &lists(8, 1000));
    let sizes = numbers(2000);
    let cells = study(
        "cells",
        &format!("scenario = \"ftp\"\nreplications = 10000\nexpect_max = [{sizes}]\n"),
    );
    let fast = scenario("fast", "per_second = 1.5", "per_second = 1e7");
    let renewal =
        "law = \"renewal\", gap = { law = \"constant\", is = \"0s\", source = \"the test\" }";
    let endless = scenario("endless", "law = \"poisson\", per_second = 1.5", renewal);
    let endless = study(
        "longer",
        &fs::read_to_string(endless).expect("just written").replace("100s", "1000000s"),
    );
    let batch =
        "law = \"batch\", count = 4294967295, within = \"1s\", first = \"0s\", every = \"1s\"";
    let batch = scenario("batch", "law = \"poisson\", per_second = 1.5", batch);
    let stay = "{ law = \"constant\", is = \"1us\", source = \"the test\" }";
    let turns = format!("law = \"on-off\", on = {stay}, off = {stay}, per_second = 1e-13");
    let turns = scenario("turns", "law = \"poisson\", per_second = 1.5", &turns);
    let all = "masters = { count = 1048576, source = \"the test\" }\n";
    let classes = SCENARIO.split_once("[[class]]").expect("it has one").1.replace("only", "other");
    let crowd = study("crowd", &format!("{SCENARIO}{all}[[class]]{classes}{all}"));
    let about = format!("name = \"one\"\nabout = \"{}\"", "x".repeat(2 << 20));
    let page = scenario("page", "name = \"one\"", &about);
    let pages = format!("class.only.arrivals.per_second={}", numbers(65));
    let helper = scenario("helper", "helper = \"ftp\"", "helper = \"fpt\"");
    let class = scenario("class", "helper = \"ftp\"", "helper = \"ftp\"\nclass = \"3\"");
    let nan = scenario("nan", "per_second = 1.5", "per_second = nan");
    let share = scenario("share", "share = 0.9", "share = inf");
    let sigma = scenario("sigma", "sigma = 1.0", "sigma = -inf");
    let forever = scenario("forever", "lasts = \"100s\"", "lasts = \"100000000000d\"");
    let limit = "answered = { share = 0.9, source = \"the test\" }";
    let long =
        format!("{limit}\npolicy = {{ timeout = \"100000000000d\", source = \"the test\" }}");
    let long = scenario("long", limit, &long);
    let zero = study("zero", "scenario = \"ftp\"\nreplications = 0\n");
    let less = study("less", "scenario = \"ftp\"\nseed = -1\n");
    let bytes = file("bytes.toml", b"name\xff");
    let pool = format!("{SCENARIO}masters = {{ count = 10, source = \"the test\" }}\n");
    let pool = study("pool", &pool);
    let above = study("above", "scenario = \"pool.toml\"\nmost_happenings = 290\n");
    let gap = "law = \"renewal\", gap = { law = \"constant\", is = \"1s\", source = \"the test\" }";
    let gap = scenario("gap", "law = \"poisson\", per_second = 1.5", gap);
    // Few where both are low and where both are high: most where one is and the other is not.
    let (short, long_run) = ("class.only.arrivals.gap.is=0.001s..1s", "run.lasts=100s..1000000s");
    let corner = vec!["sensitivity", "--scenario", &gap, "--knob", short, "--knob", long_run];
    let (less_share, more_share) = ("class.ftp.answered.share=0.1", "class.ftp.answered.share=0.9");
    let twice = |word| vec!["sweep", "--scenario", "ftp", word, less_share, word, more_share];
    let both = vec!["sweep", "--scenario", "ftp", "--set", less_share, "--vary", more_share];
    let policy = |text| vec!["sweep", "--scenario", "ftp", "--policy", text];
    let knob = |text| vec!["sensitivity", "--knob", text];
    for (arguments, code, message) in [
        (vec!["sweep", &points], 65, "1000000000000000 points: expected at most 20000; vary"),
        (vec!["report", &uncounted], 65, "uncountably many points: expected at most 20000"),
        (vec!["sweep", "plan", &cells], 65, "20000000 cells: expected at most 2000000; ask"),
        (vec!["sweep", "--scenario", &fast], 65, "about 3.9e9 happenings in a run, where 33554432"),
        (vec!["report", "--scenario", &endless], 65, "e12 happenings in a run, where 33554432"),
        (vec!["sweep", "--scenario", "ftp", "--set", rate], 2, "let it be shorter (run.lasts)"),
        (vec!["size", "--scenario", "ftp", "--set", rate], 2, "allow more (most_happenings"),
        (vec!["sweep", "--scenario", "ftp", "--most-happenings", "9"], 2, "where 9 are allowed"),
        (vec!["sweep", "--scenario", &batch], 65, "expected at most 10000000 in a batch"),
        (vec!["sweep", "--scenario", &turns], 65, "e8 happenings in a run, where"),
        (vec!["sweep", "--scenario", &crowd], 65, "at most 1048576 masters in all classes, found"),
        (vec!["sweep", "--scenario", &page, "--vary", &pages], 2, "65 points of a scenario of 209"),
        (vec!["sweep", "--scenario", &helper], 65, "class.only: helper fpt: expected one of"),
        (vec!["sweep", "--scenario", &class], 65, "class.only: expected a class of helper ftp"),
        (vec!["sweep", "--scenario", &nan], 65, "expected a rate from 0 to 10000000 per second"),
        (vec!["sweep", "--scenario", &share], 65, "expected a share from 0 to 1, not inf"),
        (vec!["sweep", "--scenario", &sigma], 65, "expected a positive sigma, not -inf"),
        (vec!["sweep", "--scenario", &forever], 65, "run.lasts: expected from 1ms to 10^9 s"),
        (vec!["sweep", "--scenario", &long], 65, "expected a timeout of at most 10^9 s"),
        (vec!["sweep", "--scenario", "/dev/zero"], 65, "offset 0: expected a pcap"),
        (vec!["sweep", "/dev/zero"], 65, "offset 4194304: expected the end of a study in UTF-8"),
        (vec!["sweep", &bytes], 65, "offset 4: expected a study in UTF-8"),
        (vec!["sweep", &zero], 65, "replications: expected from 1 to 10000"),
        (vec!["sweep", &less], 65, "line 2, column 8: "),
        (vec!["size", "--hz", "0"], 2, "expected a number from 1 to 10000"),
        (vec!["size", "--replications", "4000000000"], 2, "a number from 1 to 10000"),
        (vec!["size", "--target", "nan"], 2, "--target: expected a share from 0 to below 1"),
        (vec!["attack", "--until-recall", "nan"], 2, "expected a recall from 0 to below 1"),
        (vec!["attack", "--most", "inf"], 2, "--most: expected a rate from 0.000001 to 1000000"),
        (vec!["sweep", "--expect-max", "4294967295"], 2, "a number from 1 to 4194304"),
        (vec!["sweep", "--jobs", "1000000"], 2, "expected a number from 0 to 1024"),
        (vec!["sweep", "script", &zero, "--for", "ray", "--shards", "0"], 2, "from 1 to 1000000"),
        // The estimate is 285, and chance brings a few more.
        (vec!["sweep", "--scenario", &pool, "--most-happenings", "290"], 65, "more happenings in"),
        (vec!["report", &above], 65, "scenario pool.toml: more happenings in a run, where 290"),
        (vec!["sensitivity", "--replications", "100", "--rows", "9999"], 2, "make 5999400: expec"),
        (corner.clone(), 65, "happenings in a run, where 33554432 are allowed"),
        (twice("--vary"), 2, "class.ftp.answered.share is varied twice"),
        (twice("--set"), 2, "--set class.ftp.answered.share: expected once"),
        (both, 2, "class.ftp.answered.share is set and varied"),
        (vec!["sensitivity", "--rows", "0"], 2, "expected a number from 2 to 100000"),
        (vec!["sensitivity", "--rows", "4294967295"], 2, "expected a number from 2 to 100000"),
        (knob("expect_max=1024..64"), 2, "expect_max: expected a lower number below a higher one"),
        (knob("expect_max=0..1e99"), 2, "expect_max: expected from 1 to 4194304, not 0"),
        (knob("timeout=nan..1"), 2, "timeout: expected a lower number below a higher one"),
        (knob("class.sip.answered.share=0..2"), 2, "expected a share from 0 to 1"),
        (policy("table=min(nan)"), 2, "`nan`, character 1: expected a number"),
        (policy("table=min(1e999)"), 2, "`1e999`, character 1: expected a finite number"),
        (policy("table=min(age / 0)"), 2, "character 7: expected a divisor that is not always"),
        (policy("table=min(age / (2 - 2))"), 2, "character 7: expected a divisor that is not"),
        (policy(&deep), 2, "expected at most 256 operands"),
        (policy(&long_one), 2, "policy of 80014 bytes: expected at most 4096"),
        (policy("timeout=100000000000d"), 2, "timeout: expected at most 10^9 s"),
    ] {
        let (ended, printed, told) = run(&arguments);
        let asked = arguments.join(" ");
        let asked = asked.get(..200).unwrap_or(&asked);
        assert_eq!(ended, code, "{asked}: {told}");
        assert!(told.contains(message), "{asked}: {told}");
        assert!(!told.contains("panicked") && printed.is_empty(), "{asked}: {told}");
    }
    // The longest that is allowed is no reason to fail.
    let timeouts = "timeout=1000000000s,timeout=x1000000";
    let asked = ["--expect-max", "64", "--hz", "10000", "--replications", "2"];
    let (code, _, told) =
        run(&[&policy(timeouts)[..], &asked, &["--set", "run.lasts=2000s"]].concat());
    assert!([0, 3].contains(&code) && !told.contains("panicked"), "{code}: {told}");
}
