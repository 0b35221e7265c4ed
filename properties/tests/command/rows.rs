// SPDX-License-Identifier: GPL-2.0-only
//! Rows for programs: JSON and CSV say the same, whatever a person sees is in both, and how a verb
//! ends is the same for all three.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{EVICTION, file, nfexp, one_that_parts, root, run};

/// Exit code and lines of JSON.
fn json(arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, printed, _) = run(&[arguments, &["--format", "json"]].concat());
    let line = |line: &str| line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    (code, printed.lines().map(line).collect())
}

/// What a person is shown.
fn text(arguments: &[&str]) -> String {
    run(arguments).1
}

/// The fields of a line of CSV.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is one").push(c),
        }
    }
    fields
}

/// Every way ends with this code and tells the same beside; CSV has what JSON has, to the last digit.
fn told_alike(arguments: &[&str], expected: i32) -> Vec<Value> {
    let [(_, _, told), of_json, of_csv] =
        ["text", "json", "csv"].map(|format| run(&[arguments, &["--format", format]].concat()));
    for (code, _, beside) in [&of_json, &of_csv] {
        assert_eq!((*code, beside), (expected, &told), "{arguments:?}");
    }
    assert_eq!(run(arguments).0, expected, "{arguments:?}");
    let (json, csv) = (of_json.1, of_csv.1);
    let names = fields(csv.lines().next().expect("a header"));
    assert_eq!(csv.lines().count(), json.lines().count() + 1, "{csv}{json}");
    let row = |(json, csv): (&str, &str)| {
        let row: Value = json.parse().expect("a line of JSON");
        assert_eq!(row.as_object().expect("an object").len(), names.len(), "{json}: {names:?}");
        for (name, field) in names.iter().zip(fields(csv)) {
            let field = match &row[name.as_str()] {
                Value::Null if field.is_empty() => "null".to_owned(),
                Value::String(_) => format!("\"{field}\""),
                _ => field,
            };
            assert!(json.contains(&format!("\"{name}\":{field}")), "{name}: {json}\n{csv}");
        }
        row
    };
    json.lines().zip(csv.lines().skip(1)).map(row).collect()
}

const SHORT: [&str; 2] = ["--set", "run.lasts=3000s"];

#[test]
fn an_attack_is_told_alike() {
    let attack = ["attack", "--until-recall", "0.3", "--most", "3", "--replications"];
    let asked = [&attack[..], &["3"], &SHORT].concat();
    let rows = told_alike(&asked, 0);
    assert!(rows.iter().all(|row| row["schema"] == "nfexp.attack.1" && row["answer"] == "lost"));
    for verdict in ["withstands", "lost"] {
        assert!(rows.iter().any(|row| row["verdict"] == verdict), "{verdict}");
    }
    let table = text(&asked);
    for (row, line) in rows.iter().zip(table.lines().skip(2)) {
        let number = |name: &str| format!("{:.4}", row[name].as_f64().expect("a number"));
        let shown = ["holds_full_per_second", "withstood_per_second", "lost_from_per_second"];
        for name in shown.into_iter().chain(["tried_per_second", "recall", "recall_half"]) {
            assert!(line.contains(&number(name)), "{name} of {row} in {line}");
        }
        assert!(line.ends_with(row["verdict"].as_str().expect("a word")), "{row}: {line}");
    }

    // One run has no interval, and a short one never settles.
    let alone = told_alike(&[&attack[..], &["1"], &SHORT].concat(), 3);
    let open = |row: &Value| row["answer"] == "inconclusive" && row["verdict"] == "inconclusive";
    assert!(
        alone.iter().all(|row| open(row) && row["recall_half"].is_null() && row["steady"] == true)
    );
    let brief = told_alike(&[&attack[..], &["3", "--set", "run.lasts=300s"]].concat(), 3);
    assert!(brief.iter().any(|row| row["steady"] == false && row["verdict"] == "inconclusive"));
}

#[test]
fn advice_is_told_alike() {
    let size = ["size", "--scenario", "prototype", "--replications", "3", "--target"];
    let asked = [&size[..], &["0.5"], &SHORT].concat();
    let rows = told_alike(&asked, 0);
    let shown = text(&asked);
    let advised = |row: &&Value| row["advised"] == "yes";
    assert_eq!(rows.iter().filter(advised).count(), shown.matches("ct expectation ").count() - 1);
    for row in rows.iter().filter(advised) {
        let (kind, protocol) = (row["kind"].as_str(), row["protocol"].as_str());
        let object = format!(
            "  ct expectation {} {{\n    protocol {}; dport {};\n    timeout {}s; size {}; ",
            kind.expect("a name"),
            protocol.expect("a word"),
            row["dport"],
            row["timeout_secs"],
            row["max_expected"],
        );
        assert!(shown.contains(&object), "{object} in {shown}");
        assert!(shown.contains(&format!("expect_max={}\n", row["expect_max"])), "{shown}");
        assert!(shown.starts_with("# verified") && row["verdict"] == "verified", "{shown}");
    }
    let attacker = rows.iter().find(|row| row["advised"] == "attacker").expect("there is one");
    let nothing = format!("# {}: an attacker's", attacker["kind"].as_str().expect("a name"));
    assert!(shown.contains(&nothing), "{shown}");

    // Of what cannot be verified, that is told in every row.
    let rate = ["--set", "class.attack.arrivals.per_second=5", "--set", "run.lasts=300s"];
    let rows = told_alike(&[&size[..], &["0.9"], &rate].concat(), 3);
    assert!(rows.iter().all(|row| row["verdict"] == "inconclusive" && row["steady"] == false));
}

#[test]
fn knobs_are_told_alike() {
    let asked = |lasts| {
        let knobs = ["--knob", "timeout=0.5..1", "--knob", "class.ftp.delay.median=10ms..90ms"];
        let brief = ["--replications", "1", "--rows", "2", "--set", lasts];
        [&["sensitivity", "--scenario", "ftp"][..], &knobs, &brief].concat()
    };
    let screened = asked("run.lasts=2000s");
    let rows = told_alike(&screened, 0);
    let knob = |row: &Value| (row["knob"].clone(), row["from"].as_f64(), row["unit"].clone());
    let second = ("class.ftp.delay.median".into(), Some(10.0), "ms".into());
    assert!(rows.len() == 2 && knob(&rows[1]) == second, "{rows:?}");
    for (row, line) in rows.iter().zip(text(&screened).lines().skip(2)) {
        for name in ["effect", "effect_half", "spread"] {
            let number = format!("{:.4}", row[name].as_f64().expect("a number"));
            assert!(line.contains(&number), "{name} of {row} in {line}");
        }
    }
    let indexed = [&screened[..], &["--method", "sobol"]].concat();
    let rows = told_alike(&indexed, 0);
    assert!(rows.iter().all(|row| row["total_half"].is_f64() && row["steady"] == true), "{rows:?}");
    let unsettled = asked("run.lasts=300s");
    assert!(told_alike(&unsettled, 3).iter().all(|row| row["steady"] == false));
    assert!(text(&unsettled).contains("inconclusive: not steady"));
}

/// Times differ from run to run; what they are of does not.
#[test]
fn a_bench_is_told_alike() {
    let bench = ["bench", "--millis", "1", "hit/1k", "snapshot/16"];
    let (code, rows) = json(&bench);
    assert_eq!((code, rows.len()), (0, 3));
    let (_, csv, _) = run(&[&bench[..], &["--format", "csv"]].concat());
    let names = fields(csv.lines().next().expect("a header"));
    for (row, line) in rows.iter().zip(csv.lines().skip(1)) {
        let row = row.as_object().expect("an object");
        assert!(row.len() == names.len() && names.iter().all(|name| row.contains_key(name)));
        assert_eq!(
            fields(line)[..4].join(","),
            format!(
                "nfexp.bench.1,{},{},{}",
                row["row"].as_str().expect("a name"),
                row["expectations"],
                row["per_bucket"]
            )
        );
        for name in names.iter().filter(|name| name.starts_with("times") || name.starts_with("ns"))
        {
            assert!(row[name].as_f64().is_some_and(|times| times > 0.0), "{name}: {row:?}");
        }
        assert!(row["times_kernel_layout_p10"].as_f64() <= row["times_kernel_layout_p90"].as_f64());
    }
    let [hit, .., snapshot] = &rows[..] else { panic!("three rows") };
    assert!(hit["of_dependent_access"].is_f64() && hit["kernel_layout_is"].is_null());
    assert!(snapshot["of_dependent_access"].is_null());
    assert_eq!(snapshot["kernel_layout_is"], "the same history once more");
    let (code, _, told) = run(&["bench", "hit/1k", "--once", "engine", "--format", "json"]);
    assert!(code == 2 && told.contains("cannot be used with"), "{told}");
}

#[test]
fn policies_are_told_alike() {
    let rows = told_alike(&["policies"], 0);
    let named = nfexp_sim::research::policy::names::NAMED;
    assert_eq!(rows.len(), named.len());
    for (row, named) in rows.iter().zip(named) {
        let told = [&row["policy"], &row["composition"], &row["does"]];
        assert_eq!(told, [named.name, named.composition, named.does]);
    }
}

/// A line for each of the file's, in its order; what a replay tells of it as well it calls the same.
#[test]
fn a_listing_is_told_alike() {
    let call = "traces/captures/sip/sip-registered-call.pcap";
    let trace = file("listed.trace", run(&["import", call]).1.as_bytes());
    for (source, at) in [(EVICTION, "12"), (call, "4"), (call, "9"), (&trace, "3s")] {
        for kernel in ["3.9", "6.18"] {
            let asked = ["show", "--at", at, "--revision", kernel, source];
            let (shown, (code, rows)) = (text(&asked), json(&asked));
            assert_eq!((code, rows.len()), (0, shown.lines().count()), "{shown}");
            let lives = json(&["replay", "--revision", kernel, source]).1;
            for (row, line) in rows.iter().zip(shown.lines()) {
                assert_eq!(line.split(' ').next(), Some(row["left_secs"].to_string().as_str()));
                assert!(line.contains(row["helper"].as_str().expect("a name")), "{row}: {line}");
                assert_eq!(line.contains("PERMANENT"), row["flags"] == "PERMANENT", "{line}");
                let same = ["capture", "master", "expects", "class", "class_name", "helper"];
                let is_same = |life: &&Value| same.iter().all(|name| life[*name] == row[*name]);
                assert!(lives.iter().any(|life| is_same(&life)), "{row}");
            }
        }
    }
    assert_eq!(json(&["show", "--at", "10m", EVICTION]), (0, Vec::new()));
}

/// One seed, the same bytes.
#[test]
fn threads_change_no_byte() {
    let asked: [&[&str]; 3] = [
        &["attack", "--most", "2", "--until-recall", "0.4"],
        &["sensitivity", "--rows", "2", "--knob", "timeout=0.5..1"],
        &["size", "--scenario", "prototype", "--target", "0.5"],
    ];
    for arguments in asked {
        let [one, three] = ["1", "3"].map(|threads| {
            let mut command = nfexp(arguments);
            command.args(["--replications", "3", "--format", "json"]).args(SHORT);
            // A size asks for no number.
            if arguments[0] != "size" {
                command.args(["--jobs", threads]);
            }
            let output = command.env("RAYON_NUM_THREADS", threads).stdin(Stdio::null()).output();
            output.expect("the command is built").stdout
        });
        assert!(!one.is_empty() && one == three, "{arguments:?}");
    }
}

/// What a transcript comes to, in a line each: what agrees, and of what does not all that is told.
#[test]
fn a_comparison_is_a_line() {
    let agrees = "traces/transcripts/core-1.jsonl";
    let parts = one_that_parts("parts-from.jsonl", agrees);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small");
    let out = place.to_str().expect("a name in UTF-8");
    let (code, rows) = json(&["conform", "--out", out, agrees, &parts]);
    assert_eq!((code, rows.len()), (1, 2));
    assert_eq!((&rows[0]["agree"], &rows[0]["diverges"]), (&220.into(), &Value::Null));
    assert_eq!((&rows[0]["file"], &rows[1]["agree"]), (&agrees.into(), &0.into()));
    let told = text(&["conform", "--out", out, agrees, &parts]);
    let found = &rows[1]["diverges"];
    assert_eq!((&found["i"], &found["operation"]["op"]), (&7.into(), &"exp_flush".into()));
    assert_eq!((&found["kernel"]["ret"], &found["model"]["ret"]), (&"EINVAL".into(), &"OK".into()));
    assert!(told.contains(found["difference"].as_str().expect("text")), "{told}");
    let small = &found["small"];
    assert_eq!((&small["steps"], &small["is_least"]), (&1.into(), &true.into()));
    for place in [&small["transcript"], &small["trace"]] {
        let place = place.as_str().expect("a place");
        assert!(Path::new(place).is_file() && told.contains(place), "{told}");
    }
    // Where nothing can be written, that is told as well.
    let beneath = format!("{}/beneath", file("no-folder-at-all", b""));
    let (code, rows) = json(&["conform", "--out", &beneath, &parts]);
    assert_eq!((code, &rows[0]["diverges"]["small"]["trace"]), (1, &Value::Null));
}

/// And what a capture comes to.
#[test]
fn a_capture_held_against_a_kernel_is_a_line() {
    let golden = EVICTION.replace(".pcap", ".golden.jsonl");
    let (code, rows) = json(&["conform-capture", EVICTION, &golden]);
    assert_eq!((code, rows.len()), (0, 1));
    assert_eq!((&rows[0]["capture"], &rows[0]["revision"]), (&EVICTION.into(), &"6.18".into()));
    let grades = ["expectations_agree", "events_agree"].map(|grade| rows[0][grade] == true);
    assert_eq!((grades, &rows[0]["other_fates"]), ([true; 2], &Value::Array(vec![])));
    assert_eq!(rows[0]["first_difference"], Value::Null);
    let text = fs::read_to_string(root().join(&golden)).expect("it is there");
    let other = file("other-port.golden.jsonl", text.replace("15814", "15815").as_bytes());
    let (code, rows) = json(&["conform-capture", EVICTION, &other]);
    assert_eq!((code, &rows[0]["expectations_agree"]), (1, &false.into()));
    let [kernel, model] = ["kernel", "model"].map(|side| &rows[0]["first_difference"][side]);
    assert_eq!(kernel["place"], model["place"]);
    assert_ne!(kernel["event"], model["event"]);
}

/// A scenario of one class, in a file of this name.
fn one_class(name: &str, answered: f64, timeout: &str) -> String {
    let text = format!(
        r#"
name = "one"
[run]
lasts = "600s"
source = "the test"
[[class]]
name = "only"
helper = "irc"
arrivals = {{ law = "poisson", per_second = 2, source = "the test" }}
delay = {{ law = "exponential", mean = "200ms", source = "the test" }}
answered = {{ share = {answered:?}, source = "the test" }}
policy = {{ timeout = "{timeout}", source = "the test" }}
"#
    );
    file(name, text.as_bytes())
}

/// No share is told of nothing; a timeout shorter than what is advised usually is kept.
#[test]
fn research_tells_nothing_of_nothing() {
    let nobody = one_class("nobody.toml", 0.0, "3s");
    let (code, told, why) = run(&["sweep", "--scenario", &nobody, "--replications", "3"]);
    let row = told.lines().find(|line| line.starts_with(" kernel")).expect("a row");
    let recall = row.split_whitespace().nth(2);
    assert_eq!((code, recall), (0, Some("-")), "{told}{why}");
    let soon = one_class("soon.toml", 1.0, "1s");
    let (code, told, why) = run(&["size", "--scenario", &soon, "--target", "0.9"]);
    assert!([0, 1, 3].contains(&code) && told.contains("timeout 1s"), "{code} {told}{why}");
}

/// Where a table of so many is full depends on how long one stays.
#[test]
fn a_table_is_full_as_soon_as_the_policys_own_timeout_says() {
    let attack = ["attack", "--replications", "3", "--most", "0.01", "--set", "run.lasts=100s"];
    let full = |policy: &str| {
        let (_, rows) = json(&[&attack[..], &["--policy", policy]].concat());
        rows[0]["holds_full_per_second"].as_f64().expect("a rate")
    };
    let (kernel, short) = (full("kernel"), full("short-timeout"));
    assert!((kernel * 300.0 - 256.0).abs() < 1e-9 && (short * 30.0 - 256.0).abs() < 1e-9);
}

/// What would change nothing is refused, whichever way it is said.
#[test]
fn a_size_is_said_once() {
    let set = ["--set", "run.expect_max=5"];
    for verb in [
        &["sweep", "--scenario", "ftp", "--expect-max", "8"][..],
        &["size", "--scenario", "ftp"],
        &["sweep", "sim/studies/quick.toml"],
        &["sensitivity", "--scenario", "ftp", "--knob", "expect_max=64..128"],
        &["sensitivity", "--scenario", "ftp", "--knob", "run.expect_max=64..128"],
    ] {
        let (code, _, why) = run(&[verb, &set].concat());
        let code_of_file = if verb[1].starts_with("--") { 2 } else { 65 };
        assert_eq!(code, code_of_file, "{verb:?}: {why}");
        assert!(why.contains("run.expect_max would change nothing"), "{why}");
    }
    let knob = "class.attack.arrivals.per_second=1";
    let (code, _, why) = run(&["attack", "--set", knob]);
    assert!(code == 2 && why.contains("it is what is tried"), "{why}");
    let twice = ["--knob", "expect_max=64..128", "--knob", "run.expect_max=64..128"];
    let (code, _, why) = run(&[&["sensitivity", "--scenario", "ftp"], &twice[..]].concat());
    assert!(code == 2 && why.contains("expected one knob"), "{why}");
}
