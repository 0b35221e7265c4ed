// SPDX-License-Identifier: GPL-2.0-only
//! Where results go, whatever that is called, and what stays behind where they cannot.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{EVICTION, file, nfexp, root, run};

const REPORT: [&str; 11] = [
    "report",
    "--scenario",
    "ftp",
    "--policy",
    "kernel",
    "--expect-max",
    "4",
    "--replications",
    "1",
    "--set",
    "run.lasts=300s",
];

fn ended(output: &Output) -> (i32, String) {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("no signal"), told)
}

#[test]
fn a_page_may_be_called_anything() {
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join(OsStr::from_bytes(b"page-\xff.html"));
    let output = nfexp(&REPORT).arg("--out").arg(&page).output().expect("the command is built");
    let (code, told) = ended(&output);
    // Not steady, but there.
    assert_eq!(code, 3, "{told}");
    assert!(
        fs::read_to_string(&page).expect("it is there").contains("nfexp report --scenario ftp")
    );
}

/// A name stands in comments, which end with their line.
#[test]
fn a_capture_may_be_called_anything() {
    let capture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("two\nlines.pcap");
    fs::copy(root().join(EVICTION), &capture).expect("it can be written");
    let capture = capture.to_str().expect("a name in UTF-8");
    let (code, trace, told) = run(&["import", capture]);
    assert_eq!(code, 0, "{told}");
    let (code, _, told) = run(&["replay", &file("two-lines.trace", trace.as_bytes())]);
    assert_eq!(code, 0, "{told}");
    let (code, laws, told) = run(&["fit", "--format", "toml", capture]);
    assert_eq!(code, 0, "{told}");
    assert!(laws.starts_with("# nfexp fit --format toml two?lines.pcap\n\n["), "{laws}");
}

#[test]
fn a_script_holds_names_in_utf_8_alone() {
    let study = Path::new(env!("CARGO_TARGET_TMPDIR")).join(OsStr::from_bytes(b"study-\xff.toml"));
    fs::write(&study, "scenario = \"ftp\"\n").expect("it can be written");
    let mut script = nfexp(&["sweep", "script", "--for", "slurm"]);
    let (code, told) = ended(&script.arg(&study).output().expect("the command is built"));
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("expected a name in UTF-8"), "{told}");
}

/// A study may take hours.
#[test]
fn a_page_that_can_be_nowhere_is_refused_before_it_is_made() {
    let folder = root().join("traces").to_str().expect("ours").to_owned();
    let below = root().join("README.md/page.html").to_str().expect("ours").to_owned();
    // Not even root makes a file there.
    let nowhere = "/proc/nfexp/page.html".to_owned();
    for (place, why) in [
        (["--out", &folder], "traces: cannot write: is a directory"),
        (["--out", &below], "README.md/page.html: cannot write: not a directory"),
        (["--charts", &below], "page.html/chart.svg: cannot write: not a directory"),
        (["--out", &nowhere], "page.html: cannot write: "),
        (["--charts", &nowhere], "chart.svg: cannot write: "),
    ] {
        let (code, _, told) = run(&[&REPORT[..], &place].concat());
        assert_eq!(code, 74, "{told}");
        assert!(told.contains(why) && !told.contains("seed"), "{told}");
    }
    for verb in [&["import", EVICTION][..], &["oracle", "record"]] {
        for (place, why) in [(&folder, "is a directory"), (&below, "not a directory")] {
            let (code, _, told) = run(&[verb, &["--out", place]].concat());
            assert_eq!(code, 74, "{told}");
            assert!(told.contains(why) && !told.contains("seed"), "{told}");
        }
    }
}

/// Nor may it take the place of what the study is read from, near or far.
#[test]
fn a_page_takes_the_place_of_nothing_that_is_read() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("read-by-a-report");
    fs::create_dir_all(&folder).expect("it can be made");
    let place = |name: &str| folder.join(name).to_str().expect("a name in UTF-8").to_owned();
    let (page, capture, laws) = (place("page.html"), place("its.pcap"), place("its-laws.toml"));
    let (study, scenario) = (place("study.toml"), place("scenario.toml"));
    fs::copy(root().join(EVICTION), &capture).expect("it can be written");
    fs::write(&laws, run(&["fit", "--format", "toml", EVICTION]).1).expect("it can be written");
    let text = "name = \"x\"\nabout = \"y\"\nfits = \"its-laws.toml\"\n\
                run = { lasts = \"2s\", transient = true, source = \"the test\" }\n\
                [[recording]]\nname = \"r\"\nfile = \"its.pcap\"\nsource = \"the test\"\n";
    fs::write(&scenario, text).expect("it can be written");
    fs::write(&study, "scenario = \"scenario.toml\"\nreplications = 1\n").expect("the same");
    let (code, _, told) = run(&["report", &study, "--out", &page]);
    assert_eq!(code, 0, "{told}");
    for (asked, read) in [
        (&[study.as_str()][..], &study),
        (&[&study], &scenario),
        (&[&study], &capture),
        (&[&study], &laws),
        (&["--scenario", &scenario], &scenario),
        (&["--scenario", &scenario], &laws),
        (&["--scenario", &capture], &capture),
    ] {
        let before = fs::read(read).expect("it is there");
        let (code, _, told) = run(&[&["report"], asked, &["--out", read]].concat());
        assert_eq!(code, 2, "{asked:?} {read}: {told}");
        assert!(told.contains(&format!("{read}: it is read here")), "{told}");
        assert_eq!(fs::read(read).expect("it is there"), before);
    }
}

#[test]
fn blocks_go_into_a_folder() {
    for verb in [&["sweep", "--out", "-"][..], &["sweep", "run", "--out", "-"]] {
        let (code, _, told) = run(verb);
        assert_eq!(code, 2, "{told}");
        assert!(
            told.contains("-: expected a folder for blocks") && !told.contains("seed"),
            "{told}"
        );
    }
}

#[test]
fn help_that_finds_no_room_is_no_success() {
    for words in [&["--help"][..], &["--version"], &["sweep", "--help"]] {
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = nfexp(words).stdout(Stdio::from(full)).stderr(Stdio::piped()).output();
        let (code, told) = ended(&output.expect("the command is built"));
        assert_eq!(code, 74, "{words:?}: {told}");
        assert!(told.contains("cannot write the result"), "{told}");
    }
}

/// Whoever has a file of that name already keeps it.
#[test]
fn what_stands_beside_stays() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("beside");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("it can be made");
    let beside = ["a.trace.new", "a.trace.1.new", "a.trace"].map(|name| place.join(name));
    for path in &beside {
        fs::write(path, "mine").expect("it can be written");
    }
    let out = beside[2].to_str().expect("a name in UTF-8");
    let (code, _, told) = run(&["import", EVICTION, "--out", out]);
    assert_eq!(code, 0, "{told}");
    let text = |path: &Path| fs::read_to_string(path).expect("it is there");
    assert_eq!([text(&beside[0]), text(&beside[1])], ["mine", "mine"]);
    assert_eq!(text(&beside[2]), run(&["import", EVICTION]).1);
    assert_eq!(fs::read_dir(&place).expect("it is there").count(), 3);
}

/// No file may grow, as on a disk that is full.
#[test]
fn what_finds_no_room_leaves_nothing_behind() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-room");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("it can be made");
    let limited = |arguments: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]);
        shell.arg(env!("CARGO_BIN_EXE_nfexp")).args(arguments).current_dir(root());
        shell.stdin(Stdio::null()).output().expect("there is a shell")
    };
    let trace = place.join("a.trace").to_str().expect("a name in UTF-8").to_owned();
    let blocks = place.to_str().expect("a name in UTF-8");
    let study = file("no-room.toml", b"scenario = \"ftp\"\nexpect_max = [4]\nreplications = 1\n");
    let short = ["--set", "run.lasts=300s"];
    for arguments in [
        vec!["import", EVICTION, "--out", &trace],
        [&["sweep", "run", &study, "--out", blocks], &short[..]].concat(),
    ] {
        let (code, told) = ended(&limited(&arguments));
        assert_eq!(code, 74, "{arguments:?}: {told}");
        let left: Vec<_> = fs::read_dir(&place).expect("it is there").collect();
        assert!(left.is_empty(), "{arguments:?}: {left:?}");
    }
}

/// What a link stands for is not known where it leads nowhere, and the link is somebody's.
#[test]
fn a_link_that_leads_nowhere_stays() {
    let link = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nowhere.trace");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink("nothing/is/here", &link).expect("a link can be made");
    let place = link.to_str().expect("a name in UTF-8");
    let (code, _, told) = run(&["import", EVICTION, "--out", place]);
    assert_eq!(code, 74, "{told}");
    assert!(
        told.contains("nowhere.trace: cannot write: it is a link that leads nowhere"),
        "{told}"
    );
    assert!(fs::read_link(&link).is_ok());
}
