// SPDX-License-Identifier: GPL-2.0-only
//! What comes through a pipe is read as a file is: looked at first, and once.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{EVICTION, nfexp, root, run};

/// How it ends, what it prints and what it tells, with this piped in under these names.
fn piped(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = nfexp(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command is built");
    // Who refuses the question does not listen.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// `<(…)` gives a pipe a name; what is behind it is looked at as `-` is.
#[test]
fn a_pipe_with_a_name_is_a_trace_a_log_or_a_capture() {
    let bytes = |path: &str| fs::read(root().join(path)).expect("our own");
    let trace = bytes("traces/corpus/evict/oldest_goes.trace");
    let (capture, log) = (bytes(EVICTION), bytes("traces/tools/events-timestamp.txt"));
    for (verb, input, shown) in [
        (&["replay"][..], &trace, "born, ended: step"),
        (&["replay"], &capture, "born, ended: packet"),
        (&["show"], &trace, "dport=3 ftp"),
        (&["import"], &capture, "new e2"),
        (&["import"], &log, "expect e1"),
        (&["replay", "--format", "kernel-jsonl"], &capture, "{\"head\":"),
    ] {
        let (code, printed, told) = piped(&[verb, &["/dev/fd/0"]].concat(), input);
        assert_eq!((code, told.as_str()), (0, ""), "{verb:?}");
        assert!(printed.contains(shown), "{verb:?}: {printed}");
    }
}

/// A FIFO is opened once: whoever writes into it writes once.
#[test]
fn a_fifo_is_opened_once() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a-fifo");
    let _ = fs::remove_file(&place);
    let made = Command::new("mkfifo").arg(&place).status();
    assert!(made.is_ok_and(|made| made.success()), "mkfifo is on every system with such pipes");
    let trace = fs::read(root().join("traces/corpus/evict/oldest_goes.trace")).expect("our own");
    let to = place.clone();
    let writer = std::thread::spawn(move || fs::write(to, trace));
    let (code, printed, told) = run(&["show", place.to_str().expect("a name in UTF-8")]);
    assert_eq!((code, told.as_str()), (0, ""));
    assert!(printed.contains("dport=3 ftp"), "{printed}");
    writer.join().expect("it ends").expect("it was read");
}

#[test]
fn standard_input_is_named_once() {
    let chat = "traces/captures/irc/irc-dcc-chat.golden.jsonl";
    for arguments in [
        &["replay", "-", "-"][..],
        &["replay", "--against", "-", "-"],
        &["fit", "-", EVICTION, "-"],
        &["conform-capture", "-", "-"],
        &["conform", "-", chat, "-"],
    ] {
        let (code, printed, told) = piped(arguments, b"");
        assert_eq!((code, printed.as_str()), (2, ""), "{arguments:?}");
        assert!(told.contains("-: expected standard input once"), "{arguments:?}: {told}");
    }
}

/// A law and a study come from standard input as well as from a file.
#[test]
fn research_reads_standard_input() {
    let capture = fs::read(root().join(EVICTION)).expect("our own capture");
    let fit = |path: &str| piped(&["fit", "--format", "toml", path], &capture);
    let (code, printed, told) = run(&["fit", "--format", "toml", EVICTION]);
    assert_eq!((code, told.as_str()), (0, ""));
    for path in ["-", "/dev/fd/0"] {
        let (code, of_pipe, told) = fit(path);
        assert_eq!((code, told.as_str()), (0, ""), "{path}");
        let name = path.rsplit('/').next().expect("a name");
        assert_eq!(of_pipe, printed.replace("ftp-eviction.pcap", name));
    }
    let study =
        b"scenario = \"ftp\"\nreplications = 2\nset = [{ path = \"run.lasts\", value = \"100s\" }]";
    for path in ["-", "/dev/fd/0"] {
        let (code, printed, told) = piped(&["sweep", "plan", path], study);
        assert_eq!((code, told.as_str()), (0, ""), "{path}");
        assert_eq!(printed.lines().count(), 3, "{printed}");
        let (code, printed, told) = piped(&["sweep", "plan", "--scenario", path], &capture);
        let expected = if path == "-" { 2 } else { 0 };
        assert_eq!(code, expected, "{path}: {told}{printed}");
    }
    let (code, _, told) = piped(&["sweep", "script", "-", "--for", "ray"], study);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("which every shard reads for itself"), "{told}");
}

/// Whoever reads the first line alone, or none, is told by the exit code how it ended.
#[test]
fn a_reader_who_leaves_changes_no_verdict() {
    let transcripts =
        ["core-1", "core-2", "zones-1"].map(|name| format!("traces/transcripts/{name}.jsonl"));
    let transcripts = transcripts.each_ref().map(String::as_str);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unread");
    let conform = ["conform", "--revision", "3.9", "--out", out.to_str().expect("a name in UTF-8")];
    let unlike = super::file("unlike-unread.trace", b"# Wrong.\nmemory\n----\nnothing\n");
    let other = "traces/captures/ftp/ftp-refresh.golden.jsonl";
    for (arguments, code) in [
        (&[&conform[..], &transcripts].concat()[..], 1),
        (&[&["conform"], &transcripts[..]].concat(), 0),
        (&["conform-capture", EVICTION, other], 1),
        (&["race", "B01"], 1),
        (&["race", "B01", "--format", "json"], 1),
        (&["race", "expire-1+match-1", "--budget", "0"], 3),
        (&["race", "--list"], 0),
        (&["replay", EVICTION, &unlike], 1),
        (&["diff-revisions", "traces/corpus/clash/zones.trace", "nowhere"], 65),
        (&["fit", EVICTION, "nowhere"], 65),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = nfexp(arguments).stdout(writer).stderr(Stdio::piped()).output();
        let output = output.expect("the command is built");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    }
}
