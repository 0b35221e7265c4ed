// SPDX-License-Identifier: GPL-2.0-only
//! A sweep over processes: killed, resumed, and spread by GNU parallel, the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const STUDY: &str = r#"
name = "small"
scenario = "prototype"
policies = ["kernel", "hazard"]
expect_max = [64]
replications = 4
set = [{ path = "run.lasts", value = "1000s" }]
vary = [{ path = "class.attack.arrivals.per_second", values = [0, 2] }]
"#;

fn nfexp() -> Command {
    Command::new(env!("CARGO_BIN_EXE_nfexp"))
}

fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("it can be made");
    fs::write(place.join("study.toml"), STUDY).expect("it can be written");
    place
}

/// What one process answers; the study is not steady in so short a time, and says so (3).
fn whole(place: &Path) -> Vec<u8> {
    let told = nfexp()
        .current_dir(place)
        .args(["sweep", "study.toml", "--format", "csv", "--jobs", "1"])
        .output()
        .expect("it starts");
    assert!(matches!(told.status.code(), Some(0 | 3)), "{told:?}");
    told.stdout
}

fn merged(place: &Path, out: &str) -> Vec<u8> {
    let told = nfexp().current_dir(place).args(["sweep", "merge", "study.toml", out]).output();
    let told = told.expect("it starts");
    assert!(told.status.success(), "{told:?}");
    told.stdout
}

#[test]
fn killed_anywhere_it_goes_on() {
    let place = place("killed");
    let run = || {
        let mut command = nfexp();
        command.current_dir(&place).args(["sweep", "run", "study.toml", "--out", "out"]);
        command.stderr(Stdio::null());
        command
    };
    for wait in [5, 30, 60, 100, 160, 250] {
        let mut child = run().spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(wait));
        // SIGKILL; it may be done already.
        let _ = child.kill();
        child.wait().expect("it ends");
    }
    assert!(run().status().expect("it starts").success());
    assert!(merged(&place, "out") == whole(&place));
}

#[test]
fn gnu_parallel_spreads_it() {
    let there = Command::new("parallel").arg("--version").output();
    if !there.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains("GNU parallel")) {
        eprintln!("skipped: no GNU parallel on this machine");
        return;
    }
    let place = place("parallel");
    let script = nfexp()
        .current_dir(&place)
        .args(["sweep", "script", "study.toml", "--for", "parallel", "--shards", "3"])
        .args(["--out", "out"])
        .output()
        .expect("it starts");
    fs::write(place.join("run.sh"), &script.stdout).expect("it can be written");
    let told = Command::new("sh")
        .current_dir(&place)
        .arg("run.sh")
        .env("NFEXP", env!("CARGO_BIN_EXE_nfexp"))
        .env("PARALLEL_HOME", place.join("home"))
        .output()
        .expect("it starts");
    assert!(told.status.success(), "{told:?}");
    let results = fs::read(place.join("out/results.csv")).expect("it was written");
    assert!(results == whole(&place));
}
