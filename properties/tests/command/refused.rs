// SPDX-License-Identifier: GPL-2.0-only
//! What is asked or written wrongly is refused, with its place and with what was expected there.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{file, root, run};

/// Each ends with this code and says this.
fn refused(cases: &[(&[&str], i32, &str)]) {
    for (arguments, code, message) in cases {
        let (ended, _, told) = run(arguments);
        assert_eq!(ended, *code, "{arguments:?}: {told}");
        assert!(told.contains(message), "{arguments:?}: {told}");
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
}

/// Of two, the last would win in silence.
#[test]
fn an_axis_of_a_policy_stands_once() {
    let twice = "table=oldest+table=newest";
    let knob = ["--knob", "timeout=0.1..1", "--policy", "learned-timeout"];
    let study =
        file("axis.toml", format!("policies = [\"{twice}\"]\nscenario = \"ftp\"").as_bytes());
    let place = "character 14: expected `table` once, not `table=newest`";
    refused(&[
        (&["sweep", "--scenario", "ftp", "--policy", twice], 2, place),
        (&["sweep", &study], 65, place),
        (&[&["sensitivity"], &knob[..]].concat(), 2, "that a factor can be of"),
    ]);
}

/// What it does not know it would compare with nothing.
#[test]
fn a_recording_is_read_to_its_last_line() {
    let capture = "traces/captures/ftp/ftp-refresh.pcap";
    let golden = root().join("traces/captures/ftp/ftp-refresh.golden.jsonl");
    let golden = fs::read_to_string(golden).expect("our own recording");
    let lines: Vec<&str> = golden.lines().collect();
    let last = lines.len();
    let with = |name, line: &str, at| {
        let mut lines = lines.clone();
        lines.insert(at, line);
        file(name, lines.join("\n").as_bytes())
    };
    let (other, early) = (with("other.jsonl", "{\"j\":1}", 1), with("early.jsonl", "0", last));
    let short = file("short.jsonl", lines[..last - 1].join("\n").as_bytes());
    let known = "expected what a packet did (i or after, and ev), final or flush";
    refused(&[
        (&["conform-capture", capture, &other], 65, &format!("other.jsonl: line 2: {known}")),
        (&["conform-capture", capture, &early], 65, &format!("line {}: {known}", last + 1)),
        (&["conform-capture", capture, &short], 65, &format!("line {last}: expected flush, found")),
    ]);
}

/// Whether a file is a trace is told by its name first.
#[test]
fn text_under_another_name_is_told_where_it_belongs() {
    let trace = "traces/corpus/evict/oldest_goes.trace";
    let text = fs::read(root().join(trace)).expect("our own trace");
    let misnamed = file("oldest_goes.trc", &text);
    let told = "oldest_goes.trc: offset 0: expected a pcap, pcapng or snoop header; it begins as \
                text: a trace's name ends in .trace";
    refused(&[
        (&["replay", &misnamed], 65, told),
        (&["show", &misnamed], 65, told),
        (&["import", &misnamed], 65, "import reads what conntrack printed"),
        (&["replay", "--format", "story", trace], 2, "a trace has no packets to tell of"),
    ]);
    let golden = "traces/captures/ftp/ftp-refresh.golden.jsonl";
    for verb in [&["import"][..], &["fit"], &["fit", "--format", "toml"], &["conform-capture"]] {
        let second = if verb == ["conform-capture"] { &[golden][..] } else { &[] };
        let (code, _, told) = run(&[verb, &[trace], second].concat());
        assert!(
            code == 65 && told.contains("it begins as text: this verb takes no trace"),
            "{told}"
        );
        assert!(!told.contains("name ends in"), "{told}");
    }
    let log = "traces/tools/events-timestamp.txt";
    let transcripts =
        "it begins as text: conform reads transcripts, and conform-capture recordings";
    refused(&[
        (&["fit", log], 65, "import reads what conntrack printed, and so does fit --format toml"),
        (&["diff-revisions", "traces/transcripts/core-1.jsonl"], 65, transcripts),
        (&["replay", golden], 65, transcripts),
    ]);
}

/// It was listed all the same, and as text.
#[test]
fn a_list_of_races_is_of_all() {
    let why = "the argument '--list' cannot be used with one or more of the other";
    refused(&[
        (&["race", "--list", "B01"], 2, why),
        (&["race", "--list", "--format", "json"], 2, why),
        (&["race", "match-1:much"], 2, "no variant `much`; see --list"),
    ]);
    let (code, list, _) = run(&["race", "--list"]);
    let parts = ["bugs\n", "operations (", "variants (", "mutants\n"].map(|part| list.find(part));
    assert!(code == 0 && parts.is_sorted() && parts[0] == Some(0), "{list}");
    for row in ["  B01 ", "  match-1 ", "  late ", "  creator-reference-kept "] {
        assert!(list.contains(row), "{row}: {list}");
    }
}

/// A namespace and a thread each.
#[test]
fn a_soak_waits_in_so_many_namespaces_at_most() {
    let soak = ["oracle", "soak", "--minutes", "0", "--waiting", "99999999"];
    refused(&[(&soak, 2, "expected a number from 0 to 256")]);
}

#[test]
fn blocks_stand_in_a_folder() {
    let study = file("folder.toml", b"scenario = \"ftp\"\n");
    let why = "folder.toml: expected a folder of blocks";
    refused(&[
        (&["sweep", "merge", &study, &study], 65, why),
        (&["sweep", "status", &study, &study], 65, why),
        (&["sweep", "merge", &study, "/nowhere"], 65, "/nowhere: expected a folder of blocks: No"),
        (&["sweep", "status", &study, "/nowhere"], 3, "missing: sweep run makes what is missing"),
    ]);
}

/// What is asked for is what is run.
#[test]
fn a_size_is_verified_by_three_replications_or_more() {
    let study = file("few.toml", b"scenario = \"ftp\"\nreplications = 1\n");
    let size = ["size", "--scenario", "ftp", "--replications", "2"];
    refused(&[
        (&size, 2, "replications: expected at least 3, not 2"),
        (&["size", &study], 65, "few.toml: replications: expected at least 3, not 1"),
    ]);
}

/// A rate that was not tried, a run that never settles, one without an interval, and a handful of
/// arrivals that all went well are no verdict.
#[test]
fn what_is_not_known_is_not_claimed() {
    let (three, short) = (["--replications", "3"], ["--set", "run.lasts=300s"]);
    let attack = ["attack", "--until-recall", "0.3", "--most", "3", "--replications"];
    let (code, _, told) = run(&[&attack[..], &["3", "--set", "run.lasts=3000s"]].concat());
    assert!(code == 0 && told.contains("kernel at 256: recall 0.3 is lost between"), "{told}");
    let (code, _, told) = run(&[&attack[..], &["1", "--set", "run.lasts=3000s"]].concat());
    assert!(code == 3 && told.contains("recall 0.3 may be lost at any rate up to 3"), "{told}");
    let (code, _, told) = run(&[&attack[..], &["3"], &short].concat());
    assert!(code == 3 && told.contains("a second and ") && !told.contains("withstands"), "{told}");

    let rate = ["--set", "class.attack.arrivals.per_second=5"];
    let size = ["size", "--scenario", "prototype", "--target", "0.9"];
    let (code, printed, told) = run(&[&size[..], &three, &short, &rate].concat());
    assert!(code == 3 && printed.starts_with("# not verified by simulation"), "{printed}{told}");
    assert!(told.contains("replication 0 at expect_max ") && told.contains("steady"), "{told}");
    // A class that lasts shorter is settled sooner, and all of a hundred arrivals are no 0.999.
    let text = fs::read_to_string(root().join("sim/scenarios/ftp.toml")).expect("ours");
    let policy = "policy = { timeout = \"3s\", source = \"the test\" }\n\n[class.burst]";
    let brief = file("brief.toml", text.replace("[class.burst]", policy).as_bytes());
    let size = ["size", "--scenario", &brief, "--set", "run.lasts=40s", "--target"];
    let (code, printed, told) = run(&[&size[..], &["0.999"], &three].concat());
    assert!(code == 3 && printed.starts_with("# not verified"), "{printed}{told}");
    let (code, printed, told) = run(&[&size[..], &["0.8"], &three].concat());
    assert!(code == 0 && printed.starts_with("# verified"), "{printed}{told}");
    let unanswered = ["--set", "class.ftp.answered.share=0"];
    let (code, printed, told) = run(&[&size[..], &["0.8"], &three, &unanswered].concat());
    assert!(code == 3 && printed.starts_with("# not verified"), "{printed}{told}");

    let knob = ["--knob", "timeout=0.5..1", "--replications", "1", "--rows", "2"];
    let (code, printed, told) =
        run(&[&["sensitivity", "--scenario", "ftp"], &knob[..], &short].concat());
    assert!(code == 3 && printed.contains(" timeout "), "{printed}{told}");
    assert!(told.contains("timeout=0.5") && told.contains("no steady state"), "{told}");
}

/// No kernel prints a fifth class: it was taken for another.
#[test]
fn a_class_that_no_kernel_prints_is_refused() {
    let log = fs::read_to_string(root().join("traces/tools/events-timestamp.txt")).expect("ours");
    let log = |name, class: &str| {
        let log = log.replacen("class=0", class, 1);
        let line = log.lines().position(|line| line.contains(class)).expect("changed") + 1;
        (file(name, log.as_bytes()), format!(".log: line {line}, column "))
    };
    for (name, class) in [("class-300.log", "class=300"), ("class-5.log", "class=5")] {
        let (log, place) = log(name, class);
        refused(&[
            (&["import", &log], 65, &place),
            (&["import", &log], 65, ": expected a class from 0 to 3"),
            (&["fit", "--format", "toml", &log], 65, ": expected a class from 0 to 3"),
        ]);
    }
}

/// Blank lines are left out, and counted.
#[test]
fn a_line_of_a_log_is_named_by_its_number_in_the_file() {
    let event = fs::read_to_string(root().join("traces/tools/events.txt")).expect("ours");
    let unstamped = file("unstamped.log", format!("\n\n\n{event}").as_bytes());
    let proc = fs::read_to_string(root().join("traces/tools/proc.txt")).expect("ours");
    let proc = file("proc-below.log", format!("\n\n{event}\n{proc}").as_bytes());
    let below = format!("proc-below.log: line {}: expected what", event.lines().count() + 4);
    refused(&[
        (&["fit", "--format", "toml", &unstamped], 65, "line 4: expected a time stamp"),
        (&["import", &proc], 65, &below),
    ]);
}

/// What is missing can still be made; what is damaged is bad data.
#[test]
fn a_damaged_block_is_bad_data() {
    let short = "set = [{ path = \"run.lasts\", value = \"100s\" }]";
    let study = format!("scenario = \"ftp\"\nreplications = 2\n{short}\n");
    let study = file("damaged.toml", study.as_bytes());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged");
    let _ = fs::remove_dir_all(&folder);
    let out = folder.to_str().expect("a name in UTF-8");
    assert_eq!(run(&["sweep", "run", &study, "--out", out]).0, 0);
    let merge = ["sweep", "merge", &study, out];
    // So short a run is not steady: the sweep claims nothing, and what brings rows together tells.
    let [merged, whole] = [run(&merge), run(&["sweep", &study, "--format", "csv"])];
    assert_eq!((merged.0, &merged.1, whole.0), (0, &whole.1, 3));
    assert!(merged.2.contains("reached no steady state"), "{}", merged.2);
    // One that is misspelt, beside one that has all blocks.
    refused(&[(&["sweep", "merge", &study, out, "nowhere"], 65, "nowhere: expected a folder of")]);
    let blocks: Vec<_> = fs::read_dir(&folder).expect("it was made").flatten().collect();
    let block = blocks[0].path();
    let whole = fs::read(&block).expect("a block");
    fs::write(&block, &whole[..whole.len() / 2]).expect("it can be written");
    let name = block.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    refused(&[
        (&merge, 65, name),
        (&merge, 65, ": sweep run into its folder makes the block anew"),
    ]);
    fs::remove_file(&block).expect("it is there");
    refused(&[(&merge, 3, " is missing: sweep run makes it")]);
}

/// What a trace says twice, the last of it would win.
#[test]
fn what_a_trace_says_it_says_once() {
    let step = "conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 helper=ftp helper=ftp";
    let trace = file("twice.trace", format!("# Twice.\n{step}\n").as_bytes());
    refused(&[(&["replay", &trace], 65, "twice.trace: line 2, column 52: expected helper once")]);
}

/// Whoever misspells one is told which there are.
#[test]
fn a_helper_that_there_is_not_is_told_beside_those_there_are() {
    let trace = file("nobody.trace", b"conn m tcp 1.1.1.1:5 > 1.1.1.2:21 helper=fpt\n");
    let told = "line 1: there is no helper fpt: expected one of ftp, tftp, irc";
    refused(&[(&["replay", &trace], 65, told)]);
}

/// Nobody counts three hundred digits.
#[test]
fn a_number_out_of_bounds_is_told_briefly() {
    let rate = "class.ftp.arrivals.per_second";
    let (set, knob) = (format!("{rate}=1e300"), format!("{rate}=0..1e300"));
    let ftp = ["--scenario", "ftp"];
    for arguments in [
        &["sweep", "--set", &set][..],
        &["sensitivity", "--knob", &knob],
        &["sensitivity", "--knob", "timeout=1..1e300"],
        &["attack", "--most", "1e300"],
        &["attack", "--until-recall", "1e300"],
        &["size", "--target", "1e300"],
    ] {
        let (code, _, told) = run(&[arguments, &ftp[..]].concat());
        assert_eq!(code, 2, "{arguments:?}: {told}");
        assert!(told.contains(", not 1e300") && told.len() < 200, "{arguments:?}: {told}");
    }
}

/// What is below zero is a number, not an option that there is not.
#[test]
fn a_number_below_zero_is_told_what_was_expected() {
    let capture = super::EVICTION;
    let number = "expected a number from ";
    let span = "expected whole seconds up to 1000000000, or a time with its unit below that";
    let moment = "expected the number of a packet or step, from 1, or a time";
    let asked = ["--expect-max", "--replications", "--seed", "--hz", "--most-happenings", "--jobs"];
    for option in asked {
        for verb in ["sweep", "report", "attack", "sensitivity", "size"] {
            if (verb, option) != ("size", "--jobs") {
                refused(&[(&[verb, option, "-1"], 2, number)]);
            }
        }
        if option != "--jobs" {
            refused(&[(&["sweep", "plan", option, "-1"], 2, number)]);
        }
        refused(&[(&["sweep", "run", "--out", "nowhere", option, "-1"], 2, number)]);
    }
    for option in ["--hz", "--hash-size", "--expect-max"] {
        for verb in ["replay", "show", "import", "fit"] {
            refused(&[
                (&[verb, option, "-1", capture], 2, number),
                (&[verb, option, "x", capture], 2, number),
            ]);
        }
    }
    let script = ["sweep", "script", "s.toml", "--for", "ray", "--shards", "-1"];
    let shard = ["sweep", "run", "--out", "nowhere", "--shard"];
    refused(&[
        (&["sweep", "--expect-max", "-1,2"], 2, number),
        (&["sweep", "--expect-max", "1,-2"], 2, number),
        (&script, 2, number),
        (&[&shard[..], &["-1/3"]].concat(), 2, "expected a shard as in 3/8, not `-1/3`"),
        (&["replay", "--tail", "-1", capture], 2, span),
        (&["replay", "--tail", "-5s", capture], 2, span),
        (&["show", "--at", "-1", capture], 2, moment),
        (&["show", "--at", "-5s", capture], 2, moment),
        (&["size", "--target", "-1"], 2, "--target: expected a share from 0 to below 1, not -1"),
        (&["size", "--target", "-inf"], 2, "expected a share from 0 to below 1, not -inf"),
        (&["attack", "--until-recall", "-0.5"], 2, "expected a recall from 0 to below 1, not -0.5"),
        (&["attack", "--most", "-1e3"], 2, "--most: expected a rate from 0.000001 to 1000000"),
        (&["sensitivity", "--rows", "-1"], 2, number),
        (&["bench", "--millis", "-1"], 2, number),
        (&["race", "B01", "--budget", "-1"], 2, number),
        (&["race", "B01", "--bound", "-1"], 2, "--bound: expected a number of preemptions or"),
        (&["oracle", "record", "--times", "-1"], 2, number),
        (&["oracle", "record", "--seed", "-1"], 2, number),
        (&["oracle", "compare", "-n", "-1"], 2, number),
        (&["oracle", "soak", "--minutes", "-1"], 2, "expected from 0 to 10000 minutes"),
        (&["oracle", "soak", "-n", "-1"], 2, number),
        (&["oracle", "soak", "--seed", "-1"], 2, number),
        (&["oracle", "soak", "--waiting", "-1"], 2, number),
    ]);
}

/// Each number that is allowed is one that is read.
#[test]
fn a_number_at_its_bound_is_taken() {
    for (option, number) in [
        ("--hz", "1"),
        ("--hz", "10000"),
        ("--hash-size", "1"),
        ("--hash-size", "1048576"),
        ("--expect-max", "0"),
        ("--tail", "0"),
    ] {
        let (code, _, told) = run(&["replay", option, number, super::EVICTION]);
        assert_eq!(code, 0, "{option} {number}: {told}");
    }
    // Whether a kernel can be asked or not.
    for asked in [
        &["oracle", "record", "--times", "1", "-n", "1", "--seed", "2"][..],
        &["oracle", "soak", "--minutes", "0", "-n", "1", "--seed", "2", "--waiting", "0"],
        &["race", "expire-1+match-1", "--bound", "0", "--budget", "1"],
    ] {
        let (code, _, told) = run(asked);
        assert!([0, 3, 4].contains(&code), "{asked:?}: {code}: {told}");
    }
}

/// Packed data that ends too early was cut, and any other that does not unpack is damaged, whoever
/// reads it.
#[test]
fn a_capture_that_was_cut_is_told_from_one_that_is_damaged() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let capture = fs::read(root().join(super::EVICTION)).expect("our own capture");
    packer.write_all(&capture).expect("memory takes all");
    let whole = packer.finish().expect("memory takes all");
    let cut = file("packed-cut.pcap.gz", &whole[..whole.len() - 3]);
    let mut other = whole.clone();
    other[whole.len() - 6] ^= 1;
    let damaged = file("packed-damaged.pcap.gz", &other);
    let verbs = [
        &["replay"][..],
        &["replay", "--format", "story"],
        &["replay", "--format", "kernel-jsonl"],
        &["show"],
        &["import"],
        &["fit"],
        &["fit", "--format", "toml"],
        &["sweep", "--scenario"],
    ];
    for verb in verbs {
        let unpacked = "expected whole data in gzip's format, of which this is unpacked";
        refused(&[
            (&[verb, &[&cut]].concat(), 65, &format!("{unpacked}: the file ends inside it")),
            (&[verb, &[&damaged]].concat(), 65, &format!("{unpacked}: it is damaged")),
        ]);
    }
}

/// A module that does not load helps nobody.
#[test]
fn a_parameter_is_what_its_module_takes() {
    let chat = "traces/captures/irc/irc-dcc-chat.pcap";
    let with = |value: &str| {
        run(&[
            "replay",
            "--options",
            &format!("param=nf_conntrack_irc/max_dcc_channels:{value}"),
            chat,
        ])
    };
    for value in ["0", "256", "300"] {
        let (code, _, told) = with(value);
        let expected = format!("expected a number from 1 to 255, found `{value}`");
        assert!(code == 2 && told.contains(&expected), "{code}: {told}");
    }
    assert_eq!([with("1").0, with("255").0], [0, 0]);
    refused(&[
        (
            &["replay", "--options", "sysctl=nf_conntrack_udp_timeout:-1", chat],
            2,
            "expected another",
        ),
        (
            &["replay", "--options", "sysctl=nf_conntrack_tcp_max_retrans:256", chat],
            2,
            "another number",
        ),
        (
            &["replay", "--options", "sysctl=nf_conntrack_udp:1", chat],
            2,
            "no such sysctl is modelled",
        ),
        (
            &["replay", "--options", "sysctl=nf_conntrack_tcp_timeout_none:1", chat],
            2,
            "tcp_loose, tcp_ignore_invalid_rst",
        ),
        (&["replay", "--options", "sysctl=nf_conntrack_checksum:1", chat], 2, "only 0 is modelled"),
        (
            &["replay", "--options", "sysctl=nf_conntrack_expect_max:2147483648", chat],
            2,
            "from 0 to 2147483647",
        ),
        (&["replay", "--options", "lean=foo", chat], 2, "option `lean=foo`: expected port"),
    ]);
}

#[test]
fn answers_are_written_nowhere() {
    let answer = ["conform", "--answer", "--out", "target"];
    refused(&[(&answer, 2, "the argument '--answer' cannot be used with '--out <OUT>'")]);
}

/// Of two that say otherwise one would win in silence.
#[test]
fn what_contradicts_is_refused() {
    let capture = "traces/captures/timeouts/ftp-expiry.pcap";
    let limit = "sysctl=nf_conntrack_expect_max:1";
    let frozen = "--clock frozen, but --options say `pace=1`: expected one of them";
    let limits = "--expect-max 9, but --options say `sysctl=nf_conntrack_expect_max:1`";
    for verb in [&["replay"][..], &["replay", "--format", "kernel-jsonl"], &["show"], &["fit"]] {
        let asked = [verb, &[capture]].concat();
        let with = |more: &[&'static str]| [&asked[..], more].concat();
        refused(&[
            (&with(&["--clock", "frozen", "--options", "pace=1"]), 2, frozen),
            (&with(&["--clock", "frozen", "--options", "tail=400"]), 2, "say `tail=400`"),
            (
                &with(&["--clock", "capture", "--tail", "5m", "--options", "tail=400"]),
                2,
                "--tail 300s, but --options",
            ),
            (&with(&["--expect-max", "9", "--options", limit]), 2, limits),
            (&with(&["--options", "tail=1;tail=2"]), 2, "options `tail=1` and `tail=2`: expected"),
        ]);
        let (code, _, told) = run(&with(&["--expect-max", "1", "--options", limit]));
        assert_eq!(code, 0, "{told}");
        let (code, _, told) = run(&with(&["--options", "tail=1;tail=1.0;port=ftp:tcp/2121"]));
        assert_eq!(code, 0, "{told}");
    }
    let options = |options| run(&["replay", "--options", options, capture]);
    for twice in [
        "sysctl=nf_conntrack_udp_timeout:1;sysctl=nf_conntrack_udp_timeout:2",
        "param=nf_conntrack_ftp/loose:1;param=ftp/loose:0",
        "until=1;until=2",
    ] {
        let (code, _, told) = options(twice);
        assert!(code == 2 && told.contains("`: expected one of them"), "{twice}: {told}");
    }
    for (wrong, expected) in [
        ("pace=0", "option `pace=0`: expected a factor from 0.001 to below 1000000"),
        ("tail=1e9", "expected seconds, from 0 to below 1000000000"),
    ] {
        let (code, _, told) = options(wrong);
        assert!(code == 2 && told.contains(expected), "{told}");
    }
}

/// Nor does a recording's head win over an argument.
#[test]
fn a_recordings_head_contradicts_nobody() {
    let full = "traces/captures/ftp/ftp-table-full";
    let expiry = "traces/captures/timeouts/ftp-expiry";
    let compared = |of: &str, more: &[&str]| {
        let (capture, golden) = (format!("{of}.pcap"), format!("{of}.golden.jsonl"));
        let (code, _, told) = run(&[&["conform-capture", &capture, &golden], more].concat());
        (code, told)
    };
    for (of, argument, head) in [
        (full, &["--expect-max", "4096"][..], "sysctl=nf_conntrack_expect_max:2"),
        (expiry, &["--clock", "frozen"], "pace="),
        (expiry, &["--tail", "7s", "--clock", "capture"], "tail="),
    ] {
        let (code, told) = compared(of, argument);
        let both = format!("says `{head}");
        assert!(code == 2 && told.contains(&both) && told.contains(argument[0]), "{told}");
        assert!(told.contains(&format!("the head of {of}.golden.jsonl")), "{told}");
        assert_eq!(compared(of, &[]).0, 0);
    }
    assert_eq!(compared(full, &["--expect-max", "2"]).0, 0);
}

/// What is written is read again.
#[test]
fn a_trace_has_so_many_buckets_at_most() {
    let import = ["import", super::EVICTION, "--hash-size"];
    let (code, trace, told) = run(&[&import[..], &["65536"]].concat());
    assert_eq!(code, 0, "{told}");
    let (code, _, told) = run(&["replay", &file("most-buckets.trace", trace.as_bytes())]);
    assert_eq!(code, 0, "{told}");
    let why = "--hash-size 65537: expected at most 65536, which a trace may ask for";
    refused(&[(&[&import[..], &["65537"]].concat(), 2, why)]);
}

/// A terminal would obey them.
#[test]
fn control_characters_of_a_name_are_told() {
    let name = "nowhere\u{1b}[31m\r\u{9b}2J";
    for verb in ["replay", "import", "conform", "sweep"] {
        let (code, _, told) = run(&[verb, name]);
        assert_eq!(code, 65, "{told}");
        assert!(told.contains(r"nowhere\u{1b}[31m\r\u{9b}2J: "), "{told}");
        assert!(!told.trim_end().contains(char::is_control), "{told:?}");
    }
}

/// Ticks are a unit of time: how long one is, `--hz` or a trace says.
#[test]
fn a_time_may_be_in_ticks() {
    let capture = "traces/captures/timeouts/ftp-expiry.pcap";
    let at = |arguments: &[&str]| run(&[&["show", capture, "--at"], arguments].concat());
    let seconds = at(&["10.5s"]);
    assert_eq!(seconds.0, 0, "{}", seconds.2);
    assert!(seconds.1.contains("dport=28959"), "{}", seconds.1);
    assert_eq!(at(&["2625j"]), seconds);
    assert_eq!(at(&["1050j", "--hz", "100"]).1, at(&["10.5s", "--hz", "100"]).1);
    let tail = |span| run(&["replay", "--tail", span, super::EVICTION]);
    assert_eq!(tail("75000j"), tail("300s"));
    let trace = "traces/corpus/evict/oldest_goes.trace";
    assert_eq!(run(&["show", "--at", "90j", trace]).0, 0);
    refused(&[
        (
            &["show", "--at", "90 j", capture],
            2,
            "or a time below 1000000000s, as in `2.5s`, found `90 j`",
        ),
        (
            &["replay", "--hz", "3", "--tail", "1j", capture],
            2,
            "--tail: expected whole milliseconds",
        ),
    ]);
}

/// A mean over more than was said is told.
#[test]
fn sensitivity_says_what_it_averages() {
    let rate = "class.ftp.arrivals.per_second=1,2";
    let short = ["--set", "run.lasts=2000s", "--replications", "1", "--rows", "2"];
    let knob = ["sensitivity", "--scenario", "ftp", "--knob", "timeout=0.5..1"];
    let asked = |more: &[&str]| run(&[&knob[..], &short, more].concat());
    let (code, _, told) = asked(&["--vary", rate, "--revision", "3.9,6.18"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("the mean over 4 points: all values of --vary, sizes"), "{told}");
    assert!(!asked(&[]).2.contains("the mean over"));
    let (_, help, _) = run(&["sensitivity", "--help"]);
    assert!(help.contains("recall is the mean over all of them"), "{help}");
}
