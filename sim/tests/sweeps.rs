// SPDX-License-Identifier: GPL-2.0-only
//! Sweeps and pages: the bytes depend on the study alone.
//!
//! * Any number of jobs and shards, in any order, merges to the same bytes.
//! * Half a file, as a crash might leave it, is not taken for a block; the run mends it.
//! * Nor is a file whose rows say that they are others, nor what is no file.
//! * What a study names twice it does not run twice.
//! * A page has no script and no address, holds its intervals, and is the same twice.
//! * Every shipped scenario reaches a steady state as it stands.
//! * In a real Chromium it shows its verdict and pictures at two widths (skipped without one).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nfexp_sim::research::cell::Stopped;
use nfexp_sim::research::measure::Recording;
use nfexp_sim::research::picture::chart::escape;
use nfexp_sim::research::picture::page;
use nfexp_sim::research::sweep::plan::Plan;
use nfexp_sim::research::sweep::shard::{self, Shard};
use nfexp_sim::research::sweep::study::{SHIPPED, Study};
use nfexp_sim::research::sweep::summary::{self, METRICS};

const STUDY: &str = r#"
name = "small"
scenario = "prototype"
policies = ["kernel", "random-global", "hazard"]
expect_max = [64, 128]
replications = 2
walks = true
set = [{ path = "run.lasts", value = "1200s" }]
vary = [{ path = "class.attack.arrivals.per_second", values = [0, 2] }]
"#;

fn plan() -> Plan {
    Plan::of(Study::parse(STUDY).expect("it reads"), None).expect("it can be planned")
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

#[test]
fn any_jobs_shards_and_order_merge_to_the_same_bytes() {
    let plan = plan();
    let quiet = |_: u64, _: u64| {};
    let whole = shard::bytes(&shard::run_in_memory(&plan, 1, &quiet).expect("it runs"));
    for (of, jobs) in [(1, 2), (2, 1), (3, 2), (7, 1)] {
        let folders: Vec<PathBuf> =
            (0..of).map(|index| folder(&format!("shards-{of}-{index}"))).collect();
        // The last shard first.
        for index in (1..=of).rev() {
            let shard = Shard { index, of };
            shard::run(&plan, shard, jobs, &folders[index - 1], &quiet).expect("it runs");
        }
        let merged = shard::merge(&plan, &folders).expect("all are there");
        assert!(shard::bytes(&merged) == whole, "{of} shards, {jobs} jobs");
    }
    assert_eq!(
        shard::bytes(&shard::parse(std::str::from_utf8(&whole).expect("text")).expect("reads")),
        whole
    );
}

#[test]
fn a_shipped_scenario_settles_as_it_stands() {
    for (name, _) in SHIPPED {
        // Where a run was too short, chance decided.
        let seeds = match *name {
            "ftp" => 1..=4,
            "mixed-isp-nat" => 5..=5,
            _ => 1..=1,
        };
        for seed in seeds {
            let plan = Plan::of(Study { seed, ..Study::of(name) }, None).expect("it is shipped");
            let rows = shard::run_in_memory(&plan, 0, &|_, _| {}).expect("it runs");
            for line in summary::lines(&plan, &rows) {
                assert!(line.steady, "{name}, seed {seed}, {}", line.policy);
            }
        }
    }
}

#[test]
fn half_a_file_is_no_block() {
    let plan = plan();
    let quiet = |_: u64, _: u64| {};
    let place = folder("half");
    let ran = shard::run(&plan, Shard::ALL, 0, &place, &quiet).expect("it runs");
    assert_eq!(ran, plan.blocks.len());
    let all = shard::merge(&plan, std::slice::from_ref(&place)).expect("all are there");
    let victim = place.join(format!("{}.csv", plan.blocks[1].name));
    let text = fs::read(&victim).expect("it is there");
    fs::write(&victim, &text[..text.len() / 2]).expect("it can be written");
    fs::remove_file(place.join(format!("{}.csv", plan.blocks[0].name))).expect("it is there");
    let status = shard::status(&plan, std::slice::from_ref(&place));
    assert_eq!((status.missing.len(), status.corrupt.len()), (2, 1));
    assert!(shard::merge(&plan, std::slice::from_ref(&place)).is_err());
    assert_eq!(shard::run(&plan, Shard::ALL, 0, &place, &quiet), Ok(2));
    let again = shard::merge(&plan, std::slice::from_ref(&place)).expect("all are there");
    assert!(again == all);
}

#[test]
fn rows_stand_where_the_plan_has_them() {
    let plan = Plan { blocks: plan().blocks[..1].to_vec(), ..plan() };
    let place = folder("rows");
    shard::run(&plan, Shard::ALL, 0, &place, &|_, _| {}).expect("it runs");
    let path = place.join(format!("{}.csv", plan.blocks[0].name));
    let text = fs::read_to_string(&path).expect("it is there");
    // Whoever changes a row may seal it, too.
    let (text, _) = text.split_once("# SHA-256").expect("it is sealed");
    let lines: Vec<&str> = text.lines().collect();
    let swapped = [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat().join("\n") + "\n";
    let others = [
        swapped,
        text.replace(",kernel,64,", ",hazard,64,"),
        text.replace(",kernel,64,", ",kernel,128,"),
        text.replace(",kernel,64,0,", ",kernel,64,1,"),
        text.replace(",prototype,", ",ftp,"),
        text.replace(",6.18,", ",3.9,"),
        text.replace("per_second=0,", "per_second=2,"),
    ];
    for other in others {
        assert_ne!(other, text);
        fs::write(&path, shard::sealed(other.as_bytes())).expect("it can be written");
        assert!(shard::merge(&plan, std::slice::from_ref(&place)).is_err(), "{other}");
    }
    // As blocks were written once.
    fs::write(&path, text).expect("it can be written");
    assert!(shard::merge(&plan, std::slice::from_ref(&place)).is_ok());
}

#[test]
fn a_digit_that_changed_is_noticed() {
    let plan = Plan { blocks: plan().blocks[..1].to_vec(), ..plan() };
    let place = folder("digit");
    shard::run(&plan, Shard::ALL, 0, &place, &|_, _| {}).expect("it runs");
    let path = place.join(format!("{}.csv", plan.blocks[0].name));
    let text = fs::read_to_string(&path).expect("it is there");
    let places: Vec<usize> = text.match_indices(char::is_numeric).map(|(at, _)| at).collect();
    for at in places.into_iter().step_by(7) {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'9' { b'8' } else { other[at] + 1 };
        fs::write(&path, other).expect("it can be written");
        let why = shard::merge(&plan, std::slice::from_ref(&place)).expect_err("it changed");
        assert!(why.to_string().contains("expected"), "{at}: {why}");
    }
    assert_eq!(shard::run(&plan, Shard::ALL, 0, &place, &|_, _| {}), Ok(1));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
}

/// It is told before a block is run.
#[test]
fn a_folder_does_not_give_way_to_a_block() {
    let plan = Plan { blocks: plan().blocks[..1].to_vec(), ..plan() };
    let place = folder("in-its-place");
    let name = &plan.blocks[0].name;
    fs::create_dir_all(place.join(format!("{name}.csv"))).expect("it can be made");
    let ran = shard::run(&plan, Shard::ALL, 0, &place, &|_, _| {});
    let Err(Stopped::Here(why)) = ran else { panic!("a folder stands there") };
    let expected = format!("{name}.csv: expected a block's file, or none: this is a folder");
    assert!(why.contains(&expected), "{why}");
}

#[cfg(unix)]
#[test]
fn a_device_is_no_block_and_gives_way_to_one() {
    let plan = Plan { blocks: plan().blocks[..1].to_vec(), ..plan() };
    let place = folder("device");
    fs::create_dir_all(&place).expect("it can be made");
    let path = place.join(format!("{}.csv", plan.blocks[0].name));
    std::os::unix::fs::symlink("/dev/null", &path).expect("it can be made");
    let why =
        shard::merge(&plan, std::slice::from_ref(&place)).expect_err("it is none").to_string();
    assert!(why.contains("expected a file as a run writes it"), "{why}");
    assert_eq!(shard::run(&plan, Shard::ALL, 0, &place, &|_, _| {}), Ok(1));
    assert!(shard::merge(&plan, std::slice::from_ref(&place)).is_ok());
    // Longer than any block: not a byte of it is read.
    let file = fs::File::options().write(true).open(&path).expect("it is a file now");
    file.set_len(1 << 30).expect("it takes no room");
    let why =
        shard::merge(&plan, std::slice::from_ref(&place)).expect_err("it is none").to_string();
    assert!(why.contains("expected a file as a run writes it"), "{why}");
}

#[test]
fn what_a_study_names_twice_it_does_not_run_twice() {
    for (list, twice) in [
        ("[64, 128]", "[64, 64]"),
        ("[0, 2]", "[2, 2]"),
        ("\"hazard\"", "\"kernel\""),
        ("replications = 2", "revisions = [\"7.2\", \"7.2\"]"),
        ("\"1200s\" }", "\"1200s\" }, { path = \"run.lasts\", value = \"9s\" }"),
    ] {
        let text = STUDY.replacen(list, twice, 1);
        assert_ne!(text, STUDY);
        let why = Study::parse(&text).expect_err(twice);
        assert!(why.ends_with("stands twice: expected each once"), "{why}");
    }
}

fn small_page() -> (String, usize) {
    let plan = plan();
    let rows = shard::run_in_memory(&plan, 0, &|_, _| {}).expect("it runs");
    let lines = summary::lines(&plan, &rows);
    // Whoever throws others out refuses nobody, and so few runs do not prove that.
    let throws_out = lines.iter().filter(|line| line.policy == "random-global");
    for refused in throws_out.map(|line| line.refused_table) {
        assert!(refused.mean == 0.0 && refused.half > 0.0, "{refused:?}");
    }
    let recording = Recording { lifelines: 40, walks: true };
    let details = plan.detail(&plan.blocks[2], recording).expect("it runs");
    let pictures = page::pictures(&plan, &lines, &details, "a point");
    (page::page(&plan, &lines, &pictures, "nfexp report small.toml"), pictures.len())
}

#[test]
fn a_page_needs_nothing_and_is_the_same_twice() {
    let (html, pictures) = small_page();
    assert!(pictures >= 6);
    for forbidden in ["<script", "http://", "https://", "src=", "@import", "url("] {
        let allowed = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!allowed.contains(forbidden), "{forbidden}");
    }
    assert!(
        html.contains(" ± ") && html.contains("the prototype&#39;s")
            || html.contains("the prototype's")
    );
    let metrics = html.split("id=\"metrics\"").nth(1).expect("a second table");
    let metrics = metrics.split("</table>").next().expect("it ends");
    assert_eq!(metrics.matches(" ± ").count(), 12 * 9, "an interval for all that is a mean");
    // Two rates, two sizes, and two policies beside the first.
    assert_eq!(html.contains("paired difference"), html.contains(", the largest of 8, with the"));
    assert!(html.contains("of the announced connections that came in time, an optimum"));
    assert!(html.contains("these are of the whole run"));
    let longest = metrics.split("/").filter_map(|part| part.split('<').next()?.parse::<u32>().ok());
    assert!(longest.max().expect("p50/p99/max") > 2, "somebody walked");
    for (name, means) in METRICS {
        assert!(html.matches(&escape(name)).count() > 1 && html.contains(&escape(means)), "{name}");
    }
    assert!(html == small_page().0);
}

/// Told by the page itself once it is laid out; only the test's copy has it.
const PROBE: &str = r#"<script>addEventListener("load", () => {
  const box = element => element.getBoundingClientRect();
  const one = id => document.getElementById(id);
  const verdict = box(one("verdict"));
  const top = document.elementFromPoint(verdict.left + 20, verdict.top + verdict.height / 2);
  const seen = ["width=" + innerWidth,
    "overflow=" + (document.documentElement.scrollWidth - document.documentElement.clientWidth),
    "verdict=" + (top === one("verdict") && verdict.height > 20 && verdict.right <= innerWidth)];
  let charts = 0, clipped = 0, lines = 0;
  for (const figure of document.querySelectorAll("figure")) {
    const svg = figure.querySelector("svg"), frame = box(svg);
    charts += frame.width > 300 && frame.height > 100 && box(figure).right <= innerWidth;
    for (const text of svg.querySelectorAll("text")) {
      const at = box(text);
      clipped += at.left < frame.left - 1 || at.right > frame.right + 1
        || at.top < frame.top - 1 || at.bottom > frame.bottom + 1;
    }
    for (const line of svg.querySelectorAll(".line"))
      lines += getComputedStyle(line).stroke !== "none" && getComputedStyle(line).strokeWidth !== "0px";
  }
  const metrics = one("metrics"), means = one("metrics-mean");
  seen.push("metrics=" + metrics.rows.length,
    "wide=" + (box(metrics.parentElement).right <= innerWidth && box(metrics).height > 100),
    "means=" + [...means.querySelectorAll("dt")].filter(term => box(term).height > 10).length);
  const ink = getComputedStyle(document.body), rows = one("policies").rows.length;
  seen.push("charts=" + charts, "clipped=" + clipped, "lines=" + (lines > 20), "rows=" + rows,
    "contrast=" + (ink.color !== ink.backgroundColor));
  document.body.dataset.seen = seen.join(" ");
})</script>"#;

#[test]
fn chromium_shows_verdict_and_pictures_at_two_widths() {
    let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|told| told.status.success())
    });
    let Some(chromium) = chromium else {
        eprintln!("skipped: no chromium on this machine");
        return;
    };
    let place = folder("chromium");
    fs::create_dir_all(&place).expect("it can be made");
    let (html, pictures) = small_page();
    let (page, probed) = (place.join("page.html"), place.join("probed.html"));
    fs::write(&page, &html).expect("it can be written");
    fs::write(&probed, html.replace("</body>", &format!("{PROBE}</body>"))).expect("likewise");
    let browse = |width: u32, arguments: &[String], page: &Path| {
        Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", place.join("profile").display()))
            .arg(format!("--window-size={width},1600"))
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .output()
            .expect("it starts")
    };
    // Chromium's windows are 500 wide at least.
    for width in [1100, 500] {
        let shot = place.join(format!("shot-{width}.png"));
        let told = browse(width, &[format!("--screenshot={}", shot.display())], &page);
        let Ok(png) = fs::read(&shot) else {
            eprintln!("skipped: {chromium} takes no pictures here: {}", told.status);
            return;
        };
        assert!(png.starts_with(b"\x89PNG"), "{width}");
        let size = u32::from_be_bytes(png[16..20].try_into().expect("four bytes"));
        assert_eq!(size, width);
        // An empty page compresses to next to nothing; this one has curves and words.
        assert!(png.len() > 20_000, "{width}: {} bytes", png.len());
        let told = browse(width, &["--dump-dom".into()], &probed);
        let dom = String::from_utf8_lossy(&told.stdout).into_owned();
        let seen = dom.split("data-seen=\"").nth(1).and_then(|rest| rest.split('"').next());
        let seen = seen.unwrap_or_else(|| panic!("the page was not laid out: {}", told.status));
        for visible in ["overflow=0", "verdict=true", "clipped=0", "lines=true", "contrast=true"] {
            assert!(seen.contains(visible), "{width}: {visible} expected, {seen}");
        }
        assert!(seen.contains(&format!("width={width} ")), "{seen}");
        assert!(seen.contains(&format!("charts={pictures} ")), "{seen}");
        // Two points of two headings and six cells each.
        assert!(seen.contains("rows=16") && seen.contains("metrics=16"), "{seen}");
        assert!(seen.contains("wide=true") && seen.contains("means=10"), "{seen}");
    }
}

#[test]
fn every_shipped_scenario_reads_and_names_its_sources() {
    for (name, _) in SHIPPED {
        let study = Study { policies: vec!["kernel".into()], ..Study::of(name) };
        let plan = Plan::of(study, None).unwrap_or_else(|why| panic!("{why}"));
        let provenance = plan.points[0].document.provenance();
        assert!(provenance.len() >= 4, "{name}");
        assert!(provenance.iter().all(|one| one.source.len() > 3), "{name}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("studies");
    for file in fs::read_dir(&folder).expect("it is there") {
        let path = file.expect("it can be read").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let study = Study::parse(&text).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        Plan::of(study, Some(&folder)).unwrap_or_else(|why| panic!("{path:?}: {why}"));
    }
}
