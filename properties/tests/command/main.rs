// SPDX-License-Identifier: GPL-2.0-only
//! The command, as a user meets it: what it prints, where, and how it ends.

mod bounded;
mod foreign;
mod piped;
mod programs;
mod raced;
mod refused;
mod rows;
#[cfg(target_os = "linux")]
mod unwritten;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nfexp_model::revision::Revision;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn nfexp(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nfexp"));
    command.args(arguments).current_dir(root());
    command
}

/// Exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = nfexp(arguments).stdin(Stdio::null()).output().expect("the command is built");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// A file of this name and content, somewhere below the target folder.
fn file(name: &str, content: &[u8]) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(name);
    fs::write(&path, content).expect("the target folder can be written");
    path.to_str().expect("a name in UTF-8").to_owned()
}

const EVICTION: &str = "traces/captures/ftp/ftp-eviction.pcap";

/// A transcript beside another, with the head of that, whose only operation no kernel answers so.
fn one_that_parts(name: &str, beside: &str) -> String {
    let text = fs::read_to_string(root().join(beside)).expect("it is there");
    let head = text.lines().next().expect("a head");
    let line = r#"{"i":7,"t":0,"op":"exp_flush","a":{},"ret":"EINVAL","ev":[]}"#;
    file(name, format!("{head}\n{line}\n").as_bytes())
}

/// Every output that README.md shows below a command is that command's, byte for byte.
/// `UPDATE_README=1` writes them anew.
#[test]
fn the_readme_shows_what_the_command_prints() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("there is a README");
    let (mut shown, mut written) = (0, readme.clone());
    for part in readme.split("```console\n").skip(1) {
        let (commands, rest) = part.split_once("```\n").expect("the block ends");
        let Some(output) = rest.trim_start().strip_prefix("```text\n") else { continue };
        let output = output.split("```\n").next().expect("the block ends");
        let command = commands.lines().last().expect("a command");
        let Some((_, arguments)) = command.split_once("nfexp -- ") else { continue };
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let (_, printed, _) = run(&arguments);
        if std::env::var_os("UPDATE_README").is_some() {
            written = written.replace(output, &printed);
        } else {
            assert_eq!(printed, output, "`nfexp {}` (UPDATE_README=1)", arguments.join(" "));
        }
        shown += 1;
    }
    assert!(shown >= 2, "README.md shows only {shown} outputs");
    if written != readme {
        fs::write(path, written).expect("the README can be written");
    }
}

#[test]
fn how_it_ends_is_the_exit_code() {
    let cut = fs::read(root().join(EVICTION)).expect("our own capture");
    let cut = file("cut.pcap", &cut[..cut.len() - 10]);
    let garbage = file("garbage.pcap", b"neither one nor the other");
    let trace = |name: &str, text: &str| file(name, text.as_bytes());
    let unlike = trace("unlike.trace", "# Wrong.\nmemory\n----\nnothing\n");
    let column = trace("column.trace", "# Wrong.\nconn m tcp 1.1.1.1:5 21\n");
    let nobody = trace("nobody.trace", "# Wrong.\nmemory\nconfirm m\n");
    let bytes = file("bytes.trace", b"# Wrong.\nmem\xff\n");
    let folder = env!("CARGO_TARGET_TMPDIR");
    for (arguments, code, message) in [
        (vec!["replay", EVICTION], 0, ""),
        (vec!["replay", &unlike], 1, "behind line 2, expected:\n  nothing\nanswered:\n  memory"),
        (vec!["replay"], 2, "required arguments"),
        (vec!["replay", "--revision", "2.4", EVICTION], 2, "expected one of 3.9, 6.18, 7.2"),
        (vec!["replay", "--helper", "ftp", EVICTION], 2, "as in `ftp:tcp/2121`"),
        (vec!["replay", "--helper", "ftp:udp/21", EVICTION], 2, "`ftp` listens to tcp only"),
        (vec!["replay", "--tail", "5 m", EVICTION], 2, "as in `5m`, found `5 m`"),
        (vec!["show", "--at", "99", EVICTION], 2, "the capture has 31 packets"),
        (vec!["import", "--out", folder, EVICTION], 74, "tmp: cannot write: "),
        (vec!["replay", "--format", "kernel-jsonl", &unlike], 2, "a trace has no packets"),
        (vec!["replay", "nowhere.pcap"], 65, "nowhere.pcap: cannot read: "),
        (vec!["replay", folder], 65, "cannot read: "),
        (vec!["replay", &garbage], 65, "garbage.pcap: offset 0: expected "),
        (vec!["replay", &cut], 65, "cut.pcap: offset "),
        (vec!["replay", "--format", "story", &cut], 65, "cut.pcap: offset "),
        (vec!["replay", "--format", "kernel-jsonl", &cut], 65, "cut.pcap: offset "),
        (vec!["show", &cut], 65, "cut.pcap: offset "),
        (vec!["import", &cut], 65, "cut.pcap: offset "),
        (vec!["replay", &column], 65, "line 2, column 22: expected `>` between source and dest"),
        (vec!["replay", &nobody], 65, "line 3: no connection m is held"),
        (vec!["show", &nobody], 65, "line 3: no connection m is held"),
        (vec!["diff-revisions", &nobody], 65, "line 3: no connection m is held"),
        (
            vec!["import", "traces/tools/proc.txt"],
            65,
            "proc.txt: line 1: expected what `conntrack`",
        ),
        (vec!["replay", &bytes], 65, "line 2, column 4: expected text in UTF-8"),
        (vec!["replay", "--format", "json", "-"], 65, "offset 0: expected "),
    ] {
        let (ended, printed, told) = run(&arguments);
        assert_eq!(ended, code, "{arguments:?}: {told}");
        assert!(told.contains(message), "{arguments:?}: {told}");
        assert_eq!(told.is_empty(), code == 0, "{arguments:?}: {told}");
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        assert!(code != 2 || printed.is_empty(), "{arguments:?}: {printed}");
    }
}

/// A list given in parts is the list; a page goes where it is told to, whatever has to be made.
#[test]
fn lists_are_joined_and_folders_made() {
    let short = ["--scenario", "ftp", "--set", "run.lasts=100s", "--replications", "2"];
    let sizes = ["--format", "csv", "--expect-max", "1,2", "--expect-max", "3"];
    let (_, rows, told) = run(&[&["sweep"], &short[..], &sizes].concat());
    let column =
        rows.lines().next().and_then(|names| names.split(',').position(|n| n == "expect_max"));
    let column = column.expect("a column of sizes");
    let size = |row: &str| row.split(',').nth(column).map(str::to_owned);
    let sizes: Vec<String> = rows.lines().skip(1).filter_map(size).collect();
    assert_eq!(sizes, ["1", "2", "3", "1", "2", "3"], "{told}");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made");
    let _ = fs::remove_dir_all(&place);
    let (page, charts) = (place.join("for/page.html"), place.join("charts"));
    let text = |path: &Path| path.to_str().expect("a name in UTF-8").to_owned();
    let (out, folder) = (text(&page), text(&charts));
    let (code, _, told) =
        run(&[&["report"], &short[..], &["--out", &out, "--charts", &folder]].concat());
    // So short a run is not steady: nothing is claimed, and the page is there all the same.
    assert!(code == 3 && told.contains("reached no steady state"), "{told}");
    assert!(fs::read_to_string(page).is_ok_and(|page| page.contains("</html>")));
    assert!(fs::read_dir(charts).is_ok_and(|files| files.count() > 0));
    let (_, help, _) = run(&["report", "--help"]);
    assert!(help.contains("folders that are not there are made"), "{help}");
}

/// Who suffers, what stands open and what is walked are told where people look.
#[test]
fn a_sweep_tells_its_metrics_and_what_they_mean() {
    let asked = ["sweep", "--scenario", "pxe-boot-storm", "--replications", "2", "--metrics"];
    let (code, printed, told) = run(&asked);
    assert_eq!(code, 0, "{told}");
    let (_, table) = printed.split_once("even masters").expect("a second table");
    let row = table.lines().find(|line| line.trim_start().starts_with("kernel")).expect("a row");
    let walked = row.split_whitespace().last().expect("the last column");
    let longest: u32 = walked.rsplit('/').next().and_then(|n| n.parse().ok()).expect("p50/p99/max");
    assert!(longest > 0, "{row}");
    // Its table is never full: nobody came to a full one.
    assert_eq!(row.matches(" ± ").count() + row.matches(" - ").count(), 9, "{row}");
    for name in ["even sources", "even classes", "open holes", "walked p50/p99/max"] {
        assert!(table.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name}");
    }
}

#[test]
fn policies_are_told_by_name() {
    let (code, printed, told) = run(&["policies"]);
    assert_eq!((code, told.as_str()), (0, ""));
    for named in nfexp_sim::research::policy::names::NAMED {
        assert!(
            printed.contains(&format!("\n{}  ", named.name)) || printed.starts_with(named.name)
        );
        assert!(printed.contains(named.composition) && printed.contains(named.does));
    }
    let (_, help, _) = run(&["sweep", "--help"]);
    assert!(help.contains("nfexp policies"), "{help}");
}

/// What is piped in is looked at: a trace and a capture need no name to be told apart.
#[test]
fn standard_input_is_a_trace_or_a_capture() {
    let trace = fs::read(root().join("traces/corpus/evict/oldest_goes.trace")).expect("our own");
    let capture = fs::read(root().join(EVICTION)).expect("our own capture");
    for (verb, input, shown) in [
        ("replay", &trace, "born, ended: step"),
        ("replay", &capture, "born, ended: packet"),
        ("show", &trace, "dport=3 ftp"),
        ("import", &capture, "new e2"),
    ] {
        let mut child = nfexp(&[verb, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command is built");
        // It is gone, and everything written, before the other end is waited for.
        child.stdin.take().expect("piped").write_all(input).expect("it listens");
        let output = child.wait_with_output().expect("it ends");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{verb}");
        assert!(printed.contains(shown), "{verb}: {printed}");
    }
}

/// What could be read of a damaged capture is told; the other files are replayed.
#[test]
fn one_bad_file_does_not_hide_the_others() {
    let whole = fs::read(root().join(EVICTION)).expect("our own capture");
    let cut = file("cut-too.pcap", &whole[..whole.len() - 10]);
    for (format, lines) in [("csv", 1 + 2 + 2), ("kernel-jsonl", 7 + 7)] {
        let arguments = ["replay", "--format", format, &cut, "nowhere.pcap", EVICTION];
        let (code, printed, told) = run(&arguments);
        assert_eq!(code, 65);
        assert_eq!(printed.lines().count(), lines, "{printed}");
        assert!(told.contains("cut-too.pcap: offset") && told.contains("nowhere.pcap"), "{told}");
    }
}

#[test]
fn json_lines_name_their_schema() {
    let (code, printed, told) = run(&["replay", "--format", "json", EVICTION]);
    assert_eq!((code, told.as_str()), (0, ""));
    let causes = printed.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(line["schema"], "nfexp.expectation.1");
        line["cause"].as_str().expect("both ended").to_owned()
    });
    assert_eq!(causes.collect::<Vec<_>>(), ["eviction", "match"]);
    let sweep = "--set run.lasts=100s --replications 1 --format json";
    for (arguments, schemas) in [
        (format!("fit --format json {EVICTION}"), &["nfexp.delays.1"][..]),
        (
            "diff-revisions --format json traces/corpus/clash/zones.trace".into(),
            &["nfexp.revisions.1"],
        ),
        (format!("sweep --scenario ftp {sweep}"), &["nfexp.sweep-line.1"]),
        ("race B01 --format json".into(), &["nfexp.race.1", "nfexp.race-step.1"]),
        ("race expire-1+match-1 --format json".into(), &["nfexp.race.1"]),
    ] {
        let (_, printed, told) = run(&arguments.split(' ').collect::<Vec<_>>());
        let schema = |line| match serde_json::from_str::<serde_json::Value>(line) {
            Ok(line) => line["schema"].as_str().expect("a name").to_owned(),
            Err(error) => panic!("{arguments}: {line}: {error}"),
        };
        let mut named: Vec<String> = printed.lines().map(schema).collect();
        named.dedup();
        assert_eq!(named, schemas, "{arguments}: {told}");
    }
}

/// The file as each kernel prints it: see `docs/revisions.md`, `class_text` and `wheel`.
#[test]
fn the_listing_is_the_kernels_byte_for_byte() {
    let line = "l3proto = 2 proto=6 src=10.91.1.2 dst=10.91.2.2 sport=0 dport=15814 ftp";
    // Timers of 3.9 had slack: a 256th of five minutes is more than a second.
    for (kernel, line) in [("3.9", format!("301 {line}/\n")), ("6.18", format!("300 {line}\n"))] {
        let (code, printed, _) = run(&["show", "--at", "12", "--revision", kernel, EVICTION]);
        assert_eq!((code, printed), (0, line));
    }
    // Between packets time passes, too: after an hour it has expired.
    let expiry = "traces/captures/timeouts/ftp-expiry.pcap";
    for (at, secs) in [("12", Some("300 ")), ("10.5s", Some("289 ")), ("10m", None)] {
        let (code, printed, _) = run(&["show", "--at", at, expiry]);
        assert_eq!((code, printed.is_empty()), (0, secs.is_none()), "{at}");
        assert!(printed.starts_with(secs.unwrap_or_default()), "{at}: {printed}");
    }
    // So does it in a trace, whose first step is its beginning.
    let trace = file("shown.trace", b"");
    assert_eq!(run(&["import", expiry, "--out", &trace]).0, 0);
    for at in ["0s", "1s", "10.5s", "11s", "10m", "2h"] {
        let [of_capture, of_trace] = [expiry, &trace].map(|path| run(&["show", "--at", at, path]));
        assert_eq!(of_trace, of_capture, "{at}");
    }
    let shown = "traces/corpus/proc/no_helper.trace";
    let (code, printed, _) = run(&["show", "--at", "3", "--revision", "3.9", shown]);
    assert_eq!(code, 0);
    assert!(printed.ends_with("dport=50000 \n"), "{printed}");
}

/// A capture becomes a trace, and the trace plays as it says, on every revision.
#[test]
fn what_is_imported_plays() {
    for revision in Revision::ALL {
        for (capture, comes) in [
            (EVICTION, true),
            ("traces/captures/tftp/tftp-read-v6.pcap", true),
            // Nobody comes, and nobody but the clock ends it.
            ("traces/captures/timeouts/ftp-expiry.pcap", false),
            // A registrar activates, a call takes back, a master goes with its streams.
            ("traces/captures/sip/sip-registered-call.pcap", true),
            ("traces/captures/pptp/pptp-call.pcap", true),
            // What was announced announces in its first packet.
            ("traces/captures/h323/h323-ras-v4.pcap", true),
            // What ends a connection announces, and that ends with it.
            ("traces/captures/found/found-reset-announces.pcap", true),
        ] {
            let out = file(&format!("imported-{}.trace", revision.name), b"");
            let kernel = ["--revision", revision.name];
            let (code, _, told) = run(&[&["import", capture, "--out", &out], &kernel[..]].concat());
            assert_eq!((code, told.as_str()), (0, ""));
            let of_capture = run(&[&["replay", "--format", "json", capture], &kernel[..]].concat());
            let of_trace = run(&[&["replay", "--format", "json", &out], &kernel[..]].concat());
            assert_eq!(of_trace.0, 0, "{}", of_trace.2);
            let ends = |text: &str| {
                let line = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
                let lines = text.lines().map(line);
                lines.map(|l| (l["expects"].clone(), l["cause"].clone())).collect::<Vec<_>>()
            };
            assert_eq!(ends(&of_trace.1), ends(&of_capture.1), "{capture} on {}", revision.name);
            assert_eq!(of_trace.1.contains("match"), comes, "{capture} on {}", revision.name);
        }
    }
}

/// A call whose first packet is dropped where the table is full: nothing but its expectations tells
/// that it is gone, and they kept the places of later ones.
#[test]
fn a_first_packet_that_is_dropped_is_imported() {
    let full = ["--expect-max", "2", "traces/captures/sip/sip-video.pcap"];
    let (code, imported, told) = run(&[&["import"], &full[..]].concat());
    assert_eq!(code, 0, "{told}");
    let (code, played, told) =
        run(&["replay", "--format", "csv", &file("dropped.trace", imported.as_bytes())]);
    assert_eq!(code, 0, "{told}");
    let (_, replayed, _) = run(&[&["replay", "--format", "csv"], &full[..]].concat());
    let causes = |rows: &str| -> Vec<String> {
        rows.lines().filter_map(|row| row.rsplit(',').next()).map(str::to_owned).collect()
    };
    assert_eq!(causes(&played), causes(&replayed));
    assert_eq!(causes(&played).len(), 9);
}

/// A kernel that crashes in a golden trace is an answer, and told nowhere else.
#[test]
fn a_crash_that_is_expected_is_quiet() {
    let crash = "traces/corpus/master/dies_under_a_firing_timer.trace";
    let (code, _, told) = run(&["replay", "--revision", "3.9", crash]);
    assert_eq!((code, told.as_str()), (0, ""));
}

/// What is told to change something and would not is refused, not passed over.
#[test]
fn what_would_change_nothing_is_refused() {
    let trace = "traces/corpus/evict/oldest_goes.trace";
    let log = "traces/captures/ftp/ftp-eviction.expect.log";
    let itself = "a trace says itself how its kernel is set up: ";
    for (arguments, message) in [
        (vec!["replay", "--expect-max", "1", trace], "--expect-max would change nothing"),
        (vec!["replay", "--options", "nonsense", trace], itself),
        (vec!["show", "--hz", "100", trace], "--hz would change nothing"),
        (vec!["import", "--tail", "5m", log], "--tail would change nothing"),
        (vec!["fit", "--format", "toml", "--clock", "frozen", EVICTION], "--clock would change"),
        (vec!["fit", "--format", "toml", "--revision", "3.9", EVICTION], "--revision would change"),
        (vec!["replay", "--format", "kernel-jsonl", "--tail", "5m", EVICTION], "--clock capture"),
        (vec!["replay", "--against", log, "--format", "csv", EVICTION], "--format: "),
        (vec!["oracle", "compare", "--seed", "3", "x.jsonl"], "cannot be used with"),
        (vec!["size", "--policy", "lru"], "--policy would change nothing"),
        (vec!["size", "--expect-max", "3"], "--expect-max would change nothing"),
        (vec!["attack", "--vary", "run.lasts=1s,2s"], "--vary would change nothing"),
        (vec!["attack", "--revision", "3.9,7.2"], "a second --revision would change nothing"),
        (vec!["attack", "sim/studies/quick.toml", "--walks"], "--walks would change nothing"),
        (vec!["sensitivity", "--policy", "kernel,lru"], "--policy: expected one"),
        (vec!["bench", "hit/1k", "hit/2k"], "no row `hit/2k`: expected one of churn/1k, "),
    ] {
        let (code, printed, told) = run(&arguments);
        assert_eq!((code, printed.as_str()), (2, ""), "{arguments:?}: {told}");
        assert!(told.contains(message), "{arguments:?}: {told}");
    }
}

/// A trace is held against the kernels whose answers it has, and says which those are.
#[test]
fn a_trace_answers_for_its_own_revisions() {
    let trace = "traces/corpus/proc/several_buckets.trace";
    assert_eq!(run(&["replay", "--revision", "3.9", trace]).0, 0);
    let (code, printed, told) = run(&["replay", trace]);
    assert_eq!(code, 3, "{told}");
    assert!(printed.contains("5 expectations"), "{printed}");
    assert!(told.contains("behind line 25 6.18 answers otherwise"), "{told}");
    assert!(told.contains("are of 3.9: hold it against them with --revision 3.9"), "{told}");
    let usual = "traces/corpus/master/firing_is_skipped.trace";
    let (code, _, told) = run(&["replay", "--revision", "7.2", usual]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("are of 3.9 and 6.18: hold it"), "{told}");
}

/// A pipe and whatever else is no file is written into; a link still leads where it led.
#[test]
#[cfg(unix)]
fn what_is_no_file_is_not_replaced_by_one() {
    let (code, printed, _) = run(&["import", EVICTION]);
    assert_eq!(code, 0);
    let (code, told, _) = run(&["import", EVICTION, "--out", "/dev/stdout"]);
    assert_eq!((code, told), (0, printed.clone()));
    let (code, told, _) = run(&["import", EVICTION, "--out", "-"]);
    assert_eq!((code, told), (0, printed.clone()));
    // What is in it already stays there.
    let log = file("holds-more.trace", b"more\n");
    let appended = fs::OpenOptions::new().append(true).open(&log).expect("just written");
    let import = nfexp(&["import", EVICTION, "--out", "/dev/stdout"]).stdout(appended).status();
    assert!(import.expect("the command is built").success());
    assert_eq!(fs::read_to_string(&log).expect("it is there"), format!("more\n{printed}"));
    let place = PathBuf::from(file("led-to.trace", b"old"));
    let link = place.with_file_name("leads.trace");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&place, &link).expect("the target folder can be written");
    let out = link.to_str().expect("a name in UTF-8");
    assert_eq!(run(&["import", EVICTION, "--out", out]).0, 0);
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(place).expect("it is there"), printed);
}

/// Wherever a file is read it may be standard input, and one that cannot be read says so.
#[test]
fn files_are_read_alike() {
    let capture = "traces/captures/ftp/ftp-refresh.pcap";
    let golden = "traces/captures/ftp/ftp-refresh.golden.jsonl";
    let log = "traces/captures/ftp/ftp-refresh.expect.log";
    let transcript = "traces/transcripts/core-1.jsonl";
    let zones = "traces/corpus/clash/zones.trace";
    for (arguments, input, shown) in [
        (vec!["diff-revisions", "-"], zones, "knob: clash_scope"),
        (vec!["conform", "-"], transcript, "1 transcript, 220 operations, 0 divergences"),
        (vec!["conform-capture", "-", golden], capture, "all events agree"),
        (vec!["conform-capture", capture, "-"], golden, "all events agree"),
        (vec!["replay", "--against", "-", capture], log, "4 events, as logged"),
    ] {
        let input = fs::File::open(root().join(input)).expect("our own");
        let output = nfexp(&arguments).stdin(input).output().expect("the command is built");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(printed.contains(shown), "{arguments:?}: {printed}");
    }
    for (arguments, message) in [
        (vec!["conform", "nowhere"], "nowhere: cannot read: "),
        (vec!["conform", "traces"], "traces: cannot read: "),
        (vec!["diff-revisions", "nowhere"], "nowhere: cannot read: "),
        (vec!["conform-capture", EVICTION, EVICTION], "line 1, column 1: expected text in UTF-8"),
        (vec!["replay", "--against", "nowhere", EVICTION], "nowhere: cannot read: "),
        (vec!["replay", "--against", "traces", EVICTION], "traces: cannot read: "),
        (vec!["fit", "nowhere"], "nowhere: cannot read: "),
        (vec!["fit", "--format", "toml", "traces"], "traces: cannot read: "),
        (vec!["sweep", "traces"], "traces: cannot read: "),
        (vec!["sweep", "--scenario", "traces"], "traces: cannot read: "),
    ] {
        let (code, printed, told) = run(&arguments);
        assert_eq!((code, printed.as_str()), (65, ""), "{arguments:?}: {told}");
        assert!(told.contains(message), "{arguments:?}: {told}");
    }
    let transcripts = ["nowhere", transcript, "traces"];
    let (code, printed, told) = run(&[&["conform"], &transcripts[..]].concat());
    assert_eq!(code, 65);
    assert!(printed.contains("core-1.jsonl: 220 operations agree"), "{printed}");
    assert!(told.contains("nowhere: ") && told.contains("traces: "), "{told}");
    let (_, _, told) = run(&["replay", "nowhere", "/nowhere", "nowhere-else"]);
    let told: Vec<&str> = told.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(told, ["nowhere", "/nowhere", "nowhere-else"]);
    let (code, printed, told) = run(&["diff-revisions", "nowhere", zones]);
    assert!(code == 65 && printed.contains("knob: clash_scope"), "{printed}{told}");
    // A capture is read more than once.
    let output = nfexp(&["diff-revisions", "-"]);
    let output = { output }.stdin(fs::File::open(root().join(capture)).expect("our own")).output();
    let output = output.expect("the command is built");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("-: expected a file: a capture is played on one kernel after"), "{told}");
}

/// What is advised says which port an nft object wants, and who obeys it.
#[test]
fn advice_says_what_obeys_it() {
    let short = ["--set", "run.lasts=1000s", "--replications", "3"];
    let asked = ["size", "--scenario", "ftp", "--target", "0.9"];
    let (code, printed, told) = run(&[&asked[..], &short].concat());
    assert_eq!(code, 0, "{told}");
    let (objects, beside) = printed.split_once("\n}\n").expect("a table ends");
    assert!(objects.contains("  ct expectation ftp {") && objects.contains("dport 21;"));
    assert!(beside.lines().all(|line| line.starts_with("# ")), "{beside}");
    assert!(beside.contains("dport is the announced connection's port"), "{beside}");
}

/// Where a recording differs because it is of another capture, that is told first.
#[test]
fn another_captures_recording_is_told() {
    let golden = "traces/captures/ftp/ftp-refresh.golden.jsonl";
    let (code, _, told) = run(&["conform-capture", EVICTION, golden]);
    assert_eq!(code, 1);
    assert!(told.contains("golden.jsonl was made of another capture than traces/"), "{told}");
}

/// A second transcript of one name does not take the place of what the first one showed.
#[test]
fn divergences_of_one_name_are_both_kept() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("namesakes");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("it can be made");
    let parts = one_that_parts("parts-twice.jsonl", "traces/transcripts/core-1.jsonl");
    let other = place.join("parts-twice.jsonl");
    fs::copy(&parts, &other).expect("it can be written");
    let (other, out) = (other.to_str().expect("a name in UTF-8"), place.join("out"));
    let out = out.to_str().expect("a name in UTF-8");
    let (code, printed, told) = run(&["conform", "--out", out, &parts, other]);
    assert_eq!(code, 1, "{told}");
    for name in ["parts-twice.6.18", "parts-twice-2.6.18"] {
        for end in ["jsonl", "trace"] {
            let path = format!("{out}/{name}.{end}");
            assert!(printed.contains(&path) && Path::new(&path).exists(), "{path}: {printed}");
        }
    }
    let again = format!("again: nfexp conform --revision 6.18 --out {out} {parts}");
    assert!(told.trim_end().ends_with(&again), "{told}");
}

/// A recording says with which limit it was made, however that was said.
#[test]
fn a_recording_of_a_small_table_is_read_as_one() {
    let capture = "traces/captures/ftp/ftp-table-full.pcap";
    for kernel in [["--expect-max", "2"], ["--hash-size", "1"]] {
        let record = ["replay", "--format", "kernel-jsonl", capture];
        let (code, recorded, told) = run(&[&record[..], &kernel].concat());
        assert_eq!(code, 0, "{told}");
        assert!(recorded.contains("\"nf_conntrack_expect_max\":"), "{recorded}");
        let golden = file("small-table.golden.jsonl", recorded.as_bytes());
        let (code, _, told) = run(&["conform-capture", capture, &golden]);
        assert_eq!(code, 0, "{kernel:?}: {told}");
    }
}

/// `nfexp … | head -1` is no reason to complain.
#[test]
fn a_reader_may_leave() {
    let many: Vec<&str> =
        std::iter::repeat_n("traces/captures/ftp/ftp-two-clients.pcap", 40).collect();
    let arguments = [&["replay", "--format", "kernel-jsonl"], &many[..]].concat();
    let mut child = nfexp(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command is built");
    let mut first = [0; 8];
    child.stdout.take().expect("piped").read_exact(&mut first).expect("there is a line");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(&first, b"{\"head\":");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// Nor is it for those who say little.
#[test]
fn a_reader_may_have_left_before() {
    let capture = "traces/captures/irc/irc-dcc-chat.pcap";
    let golden = "traces/captures/irc/irc-dcc-chat.golden.jsonl";
    for arguments in
        [&["conform-capture", capture, golden][..], &["fit", capture], &["show", capture]]
            .into_iter()
            .chain([&["policies", "--format", "csv"][..]])
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = nfexp(arguments).stdout(writer).stderr(Stdio::piped()).output();
        let output = output.expect("the command is built");
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(0), &b""[..]),
            "{arguments:?}"
        );
    }
}

/// Every verb and every argument says what it is for.
#[test]
fn help_leaves_nothing_out() {
    let (code, printed, _) = run(&["--help"]);
    assert_eq!(code, 0);
    let verbs = printed.split("Commands:").nth(1).expect("it lists them");
    for verb in verbs.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        if verb.is_empty() || verb.starts_with('-') || verb == "help" {
            continue;
        }
        let (code, printed, _) = run(&[verb, "-h"]);
        assert_eq!(code, 0, "{verb}");
        for line in printed.lines().filter(|line| line.starts_with("      --")) {
            let told = line.trim().split("  ").nth(1).is_some();
            assert!(told, "{verb}: `{}` does not say what it is for", line.trim());
        }
    }
}
