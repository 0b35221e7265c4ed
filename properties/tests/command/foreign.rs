// SPDX-License-Identifier: GPL-2.0-only
//! What another tracker's author writes: transcripts and recordings of one's own, judged here.

use std::fs;

use serde_json::Value;

use super::{EVICTION, file, nfexp, root, run};

const HEAD: &str = r#"{"oracle":1,"n":3}"#;
const FTP: &str = r#""src":"10.0.0.1","dst":"10.0.0.2","proto":6,"sport":1,"dport":21"#;

fn golden() -> String {
    let golden = root().join(EVICTION.replace(".pcap", ".golden.jsonl"));
    fs::read_to_string(golden).expect("it is there")
}

/// What these lines are answered.
fn asked(name: &str, arguments: &[&str], lines: &str) -> (i32, String, String) {
    let file = fs::File::open(file(name, lines.as_bytes())).expect("it was written");
    let output = nfexp(arguments).stdin(file).output().expect("the command is built");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// An FTP connection and an expectation of 300 seconds, as the model answers.
fn announced(revision: &str, rest: &[&str]) -> Vec<Value> {
    let tuple = r#""src":"10.0.0.1","dst":"10.0.0.2","proto":6,"sport":0,"dport":2000"#;
    let mask =
        r#""src":"255.255.255.255","dst":"255.255.255.255","proto":6,"sport":0,"dport":65535"#;
    let conn = format!(
        r#"{{"i":0,"op":"ct_new","a":{{"orig":{{{FTP}}},"helper":"ftp","timeout":3600}}}}"#
    );
    let expect = format!(
        r#"{{"i":1,"op":"exp_new","a":{{"master":{{{FTP}}},"tuple":{{{tuple}}},"mask":{{{mask}}}}}}}"#
    );
    let lines = [&[HEAD, &conn, &expect], rest].concat().join("\n") + "\n";
    let (code, told, why) =
        asked("asked.jsonl", &["conform", "--answer", "--revision", revision], &lines);
    assert_eq!(code, 0, "{why}");
    told.lines().map(|line| line.parse().expect("JSON")).collect()
}

/// In 7.2 nothing fires, but its worker comes by every minute.
#[test]
fn what_is_over_is_collected_within_a_minute() {
    let rest = [
        r#"{"i":2,"op":"advance","a":{"to":299000}}"#,
        r#"{"i":3,"op":"advance","a":{"to":301000}}"#,
        r#"{"i":4,"op":"advance","a":{"to":361000}}"#,
        r#"{"i":5,"op":"stats"}"#,
    ];
    let answers = announced("7.2", &rest);
    let ends: Vec<bool> =
        answers[2..5].iter().map(|line| line["ev"][0]["ev"] == "exp_destroy").collect();
    assert_eq!(ends, [false, true, false], "{answers:?}");
    assert_eq!(answers[5]["stats"]["expect_delete"], 1);
    let capture = "traces/captures/timeouts/ftp-expiry.pcap";
    let long = ["--options", "until=10", "--clock", "capture", "--tail", "20m"];
    let told = run(&[&["replay", "--revision", "7.2", capture], &long[..]].concat()).1;
    assert!(told.contains("360.000   expiry"), "{told}");
}

#[test]
fn packets_that_are_none_are_refused() {
    for (more, expected) in [
        (r#""hex":"zz""#, "a payload in hexadecimal, two digits a byte"),
        (r#""hex":"000""#, "a payload in hexadecimal, two digits a byte"),
        (r#""tcp":"Q""#, "flags of TCP: letters of FSRPAU, in either case"),
    ] {
        let lines =
            format!("{HEAD}\n{{\"i\":0,\"op\":\"pkt\",\"a\":{{\"p\":{{{FTP},{more}}}}}}}\n");
        let (code, _, why) = asked("pkt.jsonl", &["conform", "--answer"], &lines);
        assert_eq!(code, 65, "{why}");
        assert!(why.contains(&format!("line 2: expected {expected}")), "{why}");
    }
}

/// Whoever forgets an `advance`, or loses lines, is told, whatever agrees.
#[test]
fn what_is_odd_about_a_transcript_is_told() {
    let lines = |rest: &str| {
        let odd = format!("{HEAD}\n\n{{\"i\":3,\"op\":\"exp_flush\",\"ret\":\"OK\"}}\n{rest}\n");
        let odd = file("odd.jsonl", odd.as_bytes());
        let (code, told, why) = run(&["conform", "--format", "json", &odd]);
        assert_eq!(code, 0, "{why}");
        let row: Value = told.parse().expect("a row");
        let remarks = row["remarks"].as_array().expect("a list").clone();
        assert!(remarks.iter().all(|what| why.contains(what.as_str().expect("text"))), "{why}");
        remarks.iter().map(|what| what.as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let short = "2 operations here, the header says 3";
    let flush = r#""op":"exp_flush","ret":"OK""#;
    assert_eq!(lines(&format!("{{\"i\":3,{flush}}}")), ["line 4: i is 3 and does not rise", short]);
    assert_eq!(
        lines(&format!("{{\"i\":4,\"t\":7,{flush}}}")),
        ["line 4: t is 7 where the last advance led to 0", short]
    );
    let misspelt = format!("{{\"i\":4,\"a\":{{\"zone\":1}},{flush}}}");
    assert_eq!(lines(&misspelt), [short, "line 4: exp_flush has no argument `zone`"]);
    let back = |to: u64| format!(r#"{{"i":{to},"op":"advance","a":{{"to":{}}}}}"#, 9000 - to);
    assert_eq!(
        lines(&[back(4), back(5)].join("\n")),
        ["line 5: an advance from 8996 back to 8995"]
    );
}

/// A divergence says where it stands: in the file, and in the answer.
#[test]
fn a_divergence_has_a_place() {
    let wrong = format!("{HEAD}\n\n{{\"i\":7,\"op\":\"exp_flush\",\"ret\":\"EBUSY\"}}\n");
    let wrong = file("wrong.jsonl", wrong.as_bytes());
    let out = file("wrong", b"");
    let out = format!("{out}-out");
    let (code, told, _) = run(&["conform", "--out", &out, "--format", "json", &wrong]);
    assert_eq!(code, 1);
    let row: Value = told.parse().expect("a row");
    assert_eq!(row["diverges"]["line"], 3);
    assert_eq!(row["diverges"]["at"], "ret");
    let (_, told, _) = run(&["conform", "--out", &out, &wrong]);
    assert!(told.contains("wrong.jsonl: line 3: diverges at exp_flush 7\n"), "{told}");
}

/// A recording of one's own: blank lines are none, an event of no kind is refused, and a field that
/// is not as it should be is named.
#[test]
fn recordings_of_others() {
    let golden = golden();
    let judge = |text: String| {
        let golden = file("foreign.golden.jsonl", text.as_bytes());
        let (code, _, why) = run(&["conform-capture", EVICTION, &golden]);
        (code, why)
    };
    assert_eq!(judge(golden.replace('\n', "\n\n")).0, 0);
    for other in [r#"{"e":"exp_chnage","id":1}"#, r#"{"e":"exp_new"}"#, "5"] {
        let (code, why) = judge(golden.replacen("\"ev\":[", &format!("\"ev\":[{other},"), 1));
        assert_eq!(code, 65, "{why}");
        assert!(why.contains("expected exp_new, exp_destroy, exp_change, ct_new or"), "{why}");
    }
    let (code, why) =
        judge(golden.replacen("\"src\":\"255.255.255.255\"", "\"src\":\"255.255.255.0\"", 1));
    assert_eq!(code, 1);
    assert!(why.contains(", in mask.src\n"), "{why}");
}

/// Who has a helper less, or has it elsewhere, says so in the head.
#[test]
fn a_head_names_all_helpers_there_are() {
    let golden = golden();
    let (head, rest) = golden.split_once('\n').expect("a head");
    let mut head: Value = head.parse().expect("JSON");
    let chat = "traces/captures/irc/irc-dcc-chat.pcap";
    for (helpers, capture, agrees) in [
        (r#"{"ftp":["tcp/21"]}"#, EVICTION, true),
        (r#"{"ftp":["tcp/2121"]}"#, EVICTION, false),
        (r#"{"irc":["tcp/6667"]}"#, EVICTION, false),
    ] {
        head["head"]["helpers"] = helpers.parse().expect("JSON");
        let golden = file("less.golden.jsonl", format!("{head}\n{rest}").as_bytes());
        let (code, told, _) = run(&["conform-capture", capture, &golden]);
        assert_eq!(code, if agrees { 0 } else { 1 }, "{helpers}: {told}");
    }
    let none = run(&["replay", "--options", "no-ports;port=ftp:tcp/21", chat]).1;
    assert!(none.contains("0 expectations"), "{none}");
}

/// Since there is one table of all namespaces, it ends with the first, and that last.
#[test]
fn the_first_namespace_ends_last() {
    let text = "config netns=2\n\nnetns-init 1\nconn m tcp 10.0.0.2:1 > 10.0.0.1:21 net=1 helper=ftp\n\
          confirm m\nnetns-exit 0\nexpect e1 master=m tcp 10.0.0.2:* > 10.0.0.1:5\nput e1\n----\nnew e1 use=3\n";
    let played = |revision| {
        let trace = format!("revisions {revision}\n{text}");
        run(&["replay", "--revision", revision, &file("first-last.trace", trace.as_bytes())])
    };
    assert_eq!(played("3.9").0, 0);
    for revision in ["6.18", "7.2"] {
        let (code, _, why) = played(revision);
        assert_eq!(code, 65, "{why}");
        assert!(why.contains("the first namespace has the table of all"), "{why}");
    }
}
