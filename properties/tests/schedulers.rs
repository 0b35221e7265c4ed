// SPDX-License-Identifier: GPL-2.0-only
//! The scripts for schedulers, run by the schedulers themselves.
//!
//! * GNU parallel, a Slurm of one node, and Ray each run every shard of a study by the script that
//!   `nfexp sweep script` prints; what is merged afterwards is what one process makes, byte for
//!   byte. Names have spaces and quotes: each goes through one shell, or two.
//!
//! Where a tool is missing (or, for Slurm, the right to start its daemons), the test says so and
//! is skipped. Ray is looked for in the Python that `NFEXP_RAY_PYTHON` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const STUDY: &str = r#"
name = "schedulers"
scenario = "ftp"
policies = ["kernel", "random-global"]
expect_max = [8, 64]
replications = 3
set = [{ path = "run.lasts", value = "2000s" }]
vary = [{ path = "class.ftp.arrivals.per_second", values = [0.5, 1] }]
"#;

const NAME: &str = "a study.toml";

const OUT: &str = "what's out";

fn nfexp() -> Command {
    Command::new(env!("CARGO_BIN_EXE_nfexp"))
}

/// A folder with the study, and what one process makes of it.
fn prepared(name: &str) -> (PathBuf, Vec<u8>) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("it can be made");
    fs::write(place.join(NAME), STUDY).expect("it can be written");
    let whole = nfexp()
        .current_dir(&place)
        .args(["sweep", NAME, "--format", "csv", "--jobs", "1"])
        .output()
        .expect("it starts");
    assert!(whole.stdout.len() > 1000, "{}", said(&whole));
    (place, whole.stdout)
}

fn script(place: &Path, scheduler: &str) -> PathBuf {
    let told = nfexp()
        .current_dir(place)
        .args(["sweep", "script", NAME, "--for", scheduler, "--shards", "3"])
        .args(["--out", OUT])
        .output()
        .expect("it starts");
    assert!(told.status.success(), "{}", said(&told));
    let path = place.join(format!("run-{scheduler}"));
    fs::write(&path, told.stdout).expect("it can be written");
    path
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

fn is_here(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|told| told.status.success())
}

fn merged(place: &Path) -> Vec<u8> {
    let merged =
        nfexp().current_dir(place).args(["sweep", "merge", NAME, OUT]).output().expect("it starts");
    assert!(merged.status.success(), "{}", said(&merged));
    merged.stdout
}

#[test]
fn gnu_parallel_makes_the_same_bytes() {
    if !is_here("parallel") {
        eprintln!("skipped: GNU parallel is not on this machine");
        return;
    }
    let (place, whole) = prepared("by-parallel");
    let ran = Command::new("sh")
        .arg(script(&place, "parallel"))
        .current_dir(&place)
        .env("NFEXP", env!("CARGO_BIN_EXE_nfexp"))
        .output()
        .expect("it starts");
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(fs::read(place.join(OUT).join("results.csv")).expect("it merged") == whole);
    let joblog = fs::read_to_string(place.join(OUT).join("joblog")).expect("it logs its jobs");
    assert_eq!(joblog.lines().count(), 4, "a heading and three shards: {joblog}");
}

#[test]
fn a_slurm_of_one_node_makes_the_same_bytes() {
    let (place, whole) = prepared("by-slurm");
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/one-node-slurm");
    let ran = Command::new(driver)
        .args(["sbatch", "--wait", "--output=/dev/null"])
        .arg(script(&place, "slurm"))
        .current_dir(&place)
        .env("NFEXP", env!("CARGO_BIN_EXE_nfexp"))
        .output()
        .expect("it starts");
    if ran.status.code() == Some(4) {
        eprintln!("skipped: no Slurm of one's own here: {}", said(&ran));
        return;
    }
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(merged(&place) == whole);
}

#[test]
fn ray_makes_the_same_bytes() {
    let python = std::env::var("NFEXP_RAY_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_ray = Command::new(&python).args(["-c", "import ray"]).output();
    if !has_ray.is_ok_and(|told| told.status.success()) {
        eprintln!("skipped: {python} has no ray");
        return;
    }
    let (place, whole) = prepared("by-ray");
    let ran = Command::new(&python)
        .arg(script(&place, "ray"))
        .current_dir(&place)
        .env("NFEXP", env!("CARGO_BIN_EXE_nfexp"))
        .env("RAY_USAGE_STATS_ENABLED", "0")
        .output()
        .expect("it starts");
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(fs::read(place.join(OUT).join("results.csv")).expect("it merged") == whole);
}
