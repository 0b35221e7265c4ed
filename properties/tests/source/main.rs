// SPDX-License-Identifier: GPL-2.0-only
//! The engine beside the kernel's own C, compiled for user space.
//!
//! ```text
//!   seed ─▶ script ─┬─▶ shim.h + the source + driver.c ─▶ cc ─▶ answers ─┐
//!                   └─▶ the engine, as that revision      ─▶ answers ─┴─▶ the same?
//! ```
//!
//! *Source*: `nf_conntrack_expect.c` of some kernel; nothing of it is kept. `NFEXP_LINUX` names the
//! folder of a kernel's source, as patched as you like, and `NFEXP_REVISION` what it should behave
//! as (7.2 if not given); the text of v3.9 is looked for beside the repository.
//!
//! The rule that matters: results, events in their order, lists and counters agree, deed by deed.
//! One CPU, one bucket: what a race or a hash decides, others show.

use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nfexp_model::revision::Revision;

use script::{Can, Deed, POLICIES, script};
use world::World;

mod script;
mod world;

/// A kernel's file, and how it is to be compiled.
struct Source {
    name: String,
    revision: Revision,
    /// Its header, if it has one, and the file itself, up to its listing.
    header: Option<String>,
    text: String,
}

impl Source {
    /// Of a kernel's folder.
    fn of_tree(tree: &Path, revision: Revision) -> Self {
        let read = |name: &str| {
            let path = tree.join(name);
            let text = fs::read_to_string(&path);
            text.unwrap_or_else(|error| panic!("{}: expected a kernel's: {error}", path.display()))
        };
        Self {
            name: tree.display().to_string(),
            revision,
            header: Some(bare(&read("include/net/netfilter/nf_conntrack_expect.h"))),
            text: bare(&read("net/netfilter/nf_conntrack_expect.c")),
        }
    }

    /// The text of v3.9, whose lines are numbered.
    fn of_seed(path: &Path) -> Option<Self> {
        let numbered = fs::read_to_string(path).ok()?;
        let mut lines = Vec::new();
        for line in numbered.lines().map(str::trim_start) {
            let number = (lines.len() + 1).to_string();
            lines.extend(line.strip_prefix(&number));
        }
        let (name, revision) = (path.display().to_string(), Revision::LINUX_3_9);
        Some(Self { name, revision, header: None, text: bare(&lines.join("\n")) })
    }

    fn can(&self) -> Can {
        let has = |word: &str| self.text.contains(word);
        Can { both: has("nf_ct_expect_related_pair("), look: has("bool unlink") }
    }

    /// What the compiler is told of it.
    fn options(&self) -> Vec<String> {
        let has = |word: &str| self.text.contains(word);
        let policies = POLICIES.map(|(most, secs)| format!("{{{most},{secs}}}")).join(",");
        let mut options = vec![format!("POLICIES={{{policies}}}")];
        for (option, is_so) in [
            ("HEADER", self.header.is_some()),
            ("ZONES_ARE_OBJECTS", has("const struct nf_conntrack_zone *zone")),
            ("ONE_TABLE", has("struct hlist_head *nf_ct_expect_hash")),
            ("WITH_SKIP_MASTER", has("NF_CT_EXP_F_SKIP_MASTER")),
            ("WITH_UNLINK", self.can().look),
            ("WITH_PAIR", self.can().both),
            ("WITH_GC", has("void nf_ct_expectation_gc(")),
            // Since v4.8 timers are rounded up, and the last in fires first.
            ("LATE", has("struct hlist_head *nf_ct_expect_hash")),
        ] {
            if is_so {
                options.push(option.to_owned());
            }
        }
        options.into_iter().map(|option| format!("-D{option}")).collect()
    }

    /// Compiles it in a folder of this name; `None` where there is no compiler.
    fn compile(&self, folder: &str) -> Option<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("source").join(folder);
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let helper =
            "struct nf_conntrack_helper { struct nf_conntrack_expect_policy *expect_policy; };";
        let parts = [
            include_str!("shim.h"),
            self.header.as_deref().unwrap_or_default(),
            helper,
            &self.text,
            include_str!("driver.c"),
        ];
        let (file, program) = (folder.join("source.c"), folder.join("source"));
        fs::write(&file, parts.join("\n")).expect("the target folder can be written");
        let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        let compiler = compiler.args(["-O1", "-g", "-w", "-std=gnu11"]).args(self.options());
        let output = compiler.arg("-o").arg(&program).arg(&file).output().ok()?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} does not compile:\n{told}", self.name);
        Some(program)
    }
}

/// A text without what it includes, and without its listing.
fn bare(text: &str) -> String {
    let wanted = text.split("#ifdef CONFIG_NF_CONNTRACK_PROCFS").next().unwrap_or_default();
    let lines = wanted.lines().filter(|line| !line.trim_start().starts_with("#include"));
    lines.fold(String::new(), |mut bare, line| {
        let _ = writeln!(bare, "{line}");
        bare
    })
}

/// What the compiled source answers, a line a deed.
fn answers(program: &Path, table: u32, script: &[Deed]) -> Vec<String> {
    let mut running = Command::new(program);
    running.arg(table.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = running.spawn().expect("it was compiled");
    let text = script.iter().map(|deed| format!("{deed}\n")).collect::<String>();
    let mut input = running.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = running.wait_with_output().expect("it ends");
    // One that broke does not read to the end.
    let _ = writer.join();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Where the two part.
struct Parting<'a> {
    place: usize,
    before: &'a [Deed],
    deed: &'a Deed,
    said: [String; 2],
}

impl fmt::Display for Parting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for deed in self.before {
            writeln!(f, "        {deed}")?;
        }
        writeln!(f, "  here: {}\n  source: {}\n  engine: {}", self.deed, self.said[0], self.said[1])
    }
}

/// Plays a script on the engine; the first difference to what the source answered, if there is one.
fn compare<'a>(
    theirs: &[String],
    (revision, table): (Revision, u32),
    script: &'a [Deed],
) -> Option<Parting<'a>> {
    let mut world = World::new(revision, table);
    for (at, deed) in script.iter().enumerate() {
        let ours = world.play(deed);
        let their = theirs.get(at).map_or("nothing: it ended", String::as_str);
        if ours != their {
            let before = &script[at.saturating_sub(12)..at];
            return Some(Parting { place: at, before, deed, said: [their.to_owned(), ours] });
        }
    }
    None
}

/// The knobs, each turned alone, with which the engine goes on beyond a place.
fn explained(
    theirs: &[String],
    (of, table): (Revision, u32),
    script: &[Deed],
    place: usize,
) -> String {
    let mut knobs = Vec::new();
    for other in Revision::ALL {
        for knob in of.differing_knobs(&other) {
            let turned = of.with_knob_of(knob, &other).expect("it differs");
            let parting = compare(theirs, (turned, table), script);
            if parting.is_none_or(|parting| parting.place > place) {
                knobs.push(format!("  with {knob} as in {} it goes on\n", other.name));
            }
        }
    }
    knobs.concat()
}

fn holds(source: &Source, folder: &str) {
    let Some(program) = source.compile(folder) else {
        eprintln!("skipped: no C compiler");
        return;
    };
    let scripts = env::var("NFEXP_SCRIPTS").ok().and_then(|most| most.parse().ok()).unwrap_or(8);
    let first = env::var("NFEXP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (mut deeds, mut events) = (0, 0);
    for seed in first..first + scripts {
        let script = script(seed, &source.revision, source.can());
        for table in [3, 8, 1000] {
            let (theirs, of) = (answers(&program, table, &script), (source.revision, table));
            if let Some(parting) = compare(&theirs, of, &script) {
                let knobs = explained(&theirs, of, &script, parting.place);
                panic!("{}, seed {seed}, a table of {table}:\n{parting}{knobs}", source.name);
            }
            deeds += script.len();
            events += theirs.iter().filter(|it| it.contains('+')).count();
        }
    }
    eprintln!("{}: {deeds} deeds, {events} announcements, no difference", source.name);
    assert!(events as u64 > 100 * scripts, "only {events} of {deeds} deeds announced anything");
}

/// The text of v3.9, where it is.
fn seed() -> Option<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = ["../shared", "../../shared"].map(|shared| root.join(shared));
    places
        .iter()
        .find_map(|place| Source::of_seed(&place.join("seed/nf_conntrack_expect-v3.9.txt")))
}

#[test]
fn the_engine_answers_as_the_c_of_3_9() {
    match seed() {
        Some(source) => holds(&source, "seed"),
        None => eprintln!("skipped: the text of v3.9 is not beside the repository"),
    }
}

#[test]
fn the_engine_answers_as_the_c_of_a_tree() {
    let Some(tree) = env::var_os("NFEXP_LINUX") else {
        eprintln!("skipped: NFEXP_LINUX names no kernel's source");
        return;
    };
    let name = env::var("NFEXP_REVISION").unwrap_or_else(|_| "7.2".to_owned());
    let revision = Revision::named(&name).expect("NFEXP_REVISION: expected 3.9, 6.18 or 7.2");
    holds(&Source::of_tree(Path::new(&tree), revision), "tree");
}

/// What one CPU and one bucket show of the changes since 3.9: an engine with one of them turned does
/// not pass.
#[test]
fn a_turned_knob_is_noticed() {
    let Some(source) = seed() else { return };
    let Some(program) = source.compile("turned") else { return };
    let right = source.revision;
    let table = 8;
    let played = (1..4).map(|seed| {
        let script = script(seed, &right, source.can());
        (answers(&program, table, &script), script)
    });
    let played: Vec<_> = played.collect();
    let parts = |knob: &str| {
        let revision = right.with_knob_of(knob, &Revision::LINUX_7_2).expect("it differs");
        played.iter().any(|(theirs, script)| compare(theirs, (revision, table), script).is_some())
    };
    let mut noticed = right.differing_knobs(&Revision::LINUX_7_2);
    noticed.retain(|knob| parts(knob));
    assert_eq!(noticed, ["clash_scope", "duplicate", "wheel", "expiry"]);
}
