// SPDX-License-Identifier: GPL-2.0-only
//! What other programs read, and write again.

use std::fs;
use std::path::Path;

use super::{EVICTION, file, one_that_parts, root, run};

/// The head of a recording tells with which options it was made.
#[test]
fn a_recording_is_made_again_by_its_head() {
    for options in [
        "",
        "only=tcp/21",
        "only=tcp/21,udp;until=0.0025",
        "pace=2",
        "tail=400",
        "pace=1;tail=0.25",
        "lean;local=10.91.2.2/24",
        "port=tftp:udp/6969;param=nf_conntrack_ftp/loose:1;sysctl=nf_conntrack_expect_max:7",
    ] {
        let made = ["replay", "--format", "kernel-jsonl", "--options", options, EVICTION];
        let (code, recording, told) = run(&made);
        assert_eq!(code, 0, "{options}: {told}");
        let golden = file("made.golden.jsonl", recording.as_bytes());
        let (code, told, why) = run(&["conform-capture", EVICTION, &golden]);
        assert_eq!(code, 0, "{options}: {told}{why}");
    }
}

/// Where nothing was announced, the columns are told all the same.
#[test]
fn columns_have_names_without_rows() {
    let silent = "traces/captures/ftp/ftp-split.pcap";
    for verb in [&["replay"][..], &["fit"]] {
        let csv = |capture| run(&[verb, &["--format", "csv", capture]].concat()).1;
        let (full, empty) = (csv(EVICTION), csv(silent));
        assert_eq!(empty.lines().count(), 1, "{empty}");
        assert_eq!(empty.lines().next(), full.lines().next());
        let fields = |line: &str| line.split(',').count();
        assert!(full.lines().all(|line| fields(line) >= fields(&empty)), "{full}");
    }
    let names = run(&["replay", "--format", "json", EVICTION]).1;
    let row: serde_json::Value = names.lines().next().expect("a row").parse().expect("JSON");
    let csv = run(&["replay", "--format", "csv", silent]).1;
    assert!(csv.trim_end().split(',').all(|name| row.get(name).is_some()), "{csv}");
}

#[test]
fn stories_of_several_captures_name_them() {
    let (code, told, _) = run(&["replay", "--format", "story", EVICTION, EVICTION]);
    assert_eq!(code, 0);
    assert_eq!(told.lines().filter(|line| *line == EVICTION).count(), 2, "{told}");
}

#[test]
fn what_is_read_is_not_written_over() {
    let bytes = fs::read(root().join(EVICTION)).expect("it is there");
    let capture = file("itself.pcap", &bytes);
    let study = file("itself.toml", b"scenario = \"ftp\"\n");
    for (verb, read) in [("import", capture), ("report", study)] {
        let before = fs::read(&read).expect("it is there");
        let (code, _, told) = run(&[verb, &read, "--out", &read]);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains("expected another file to write"), "{told}");
        assert_eq!(fs::read(&read).expect("it is there"), before);
    }
}

/// A helper out of the kernel's tree expects, but nobody here knows as what.
#[test]
fn a_helper_that_is_lost_is_told() {
    let log = "    [NEW] 300 proto=6 src=10.0.0.2 dst=10.0.0.1 sport=0 dport=7 \
               mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 \
               master-src=10.0.0.2 master-dst=10.0.0.1 sport=40000 dport=111 class=0 helper=rpc\n";
    let (code, trace, told) = run(&["import", &file("rpc.log", log.as_bytes())]);
    assert_eq!(code, 0, "{told}");
    assert!(trace.contains("expect ") && told.contains("rpc is no helper"), "{told}");
}

/// Nor does a place that cannot be written.
#[test]
fn a_divergence_that_finds_no_place_does_not_hide_the_others() {
    let agrees = "traces/transcripts/core-1.jsonl";
    let parts = one_that_parts("parts.jsonl", agrees);
    let out = format!("{}/beneath", file("no-folder", b""));
    let (code, told, why) = run(&["conform", "--out", &out, &parts, agrees]);
    assert_eq!(code, 1, "{told}{why}");
    assert!(told.contains("operations agree") && told.contains("2 transcripts"), "{told}");
    assert!(why.contains("cannot write"), "{why}");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("divergences");
    let _ = fs::remove_dir_all(&place);
    run(&["conform", "--out", place.to_str().expect("a name in UTF-8"), &parts]);
    let small = fs::read_dir(&place).expect("it is made").flatten().map(|file| file.path());
    let small = small.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let small = fs::read_to_string(small.last().expect("one")).expect("text");
    let head: serde_json::Value = small.lines().next().expect("a head").parse().expect("JSON");
    assert_eq!(head["n"], small.lines().count() as u64 - 1, "{small}");
}

/// A program is told of the running kernel what a person is: where it parts from a model with a
/// knob turned, and which; and what both were asked.
#[test]
fn what_the_running_kernel_says_is_told_as_json() {
    let place = format!("{}/asked", env!("CARGO_TARGET_TMPDIR"));
    let asked = ["--format", "json", "--save", &place];
    let sequence = ["oracle", "compare", "--profile", "clash", "--seed", "5"];
    let turned = [&sequence[..], &["--inject", "clash_scope"], &asked].concat();
    let (code, told, why) = run(&turned);
    if [3, 4].contains(&code) {
        println!("skipped: {why}");
        return;
    }
    assert_eq!(code, 1, "{told}{why}");
    let row: serde_json::Value = told.parse().expect("one line of JSON");
    let diverges = &row["diverges"];
    assert_eq!(diverges["knob"], "clash_scope", "{told}");
    let kept = diverges["transcript"].as_str().expect("it was kept");
    let lines = fs::read_to_string(kept).expect("it was kept").lines().count() as u64;
    assert_eq!(diverges["steps"], lines - 1, "{told}");
    let (code, told, why) = run(&[&["oracle", "compare", kept], &asked[..]].concat());
    assert_eq!(code, 0, "{told}{why}");
    let row: serde_json::Value = told.parse().expect("one line of JSON");
    assert!(row["diverges"].is_null() && row["agree"] == lines - 1, "{told}");
    let soak = ["oracle", "soak", "--minutes", "0", "-n", "40", "--waiting", "0"];
    let (code, told, why) = run(&[&soak[..], &asked].concat());
    assert_eq!(code, 0, "{told}{why}");
    let row: serde_json::Value = told.parse().expect("one line of JSON");
    assert!(row["operations"] == 40 && row["cells"][0]["times"].is_u64(), "{told}");
}
