// SPDX-License-Identifier: GPL-2.0-only
//! The rules of the house, where a program can check them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use nfexp_model::revision::Revision;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name == "target") {
            // What the fuzz targets were built into is not ours.
        } else if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

/// The functions of the seed, in its own order.
const SEED: &str = "nf_ct_unlink_expect_report nf_ct_unlink_expect nf_ct_expectation_timed_out \
    nf_ct_expect_dst_hash __nf_ct_expect_find nf_ct_expect_find_get nf_ct_find_expectation \
    nf_ct_remove_expectations expect_clash expect_matches nf_ct_unexpect_related \
    nf_ct_expect_alloc nf_ct_expect_init nf_ct_expect_free_rcu nf_ct_expect_put \
    nf_ct_expect_insert evict_oldest_expect __nf_ct_expect_check nf_ct_expect_related_report \
    ct_expect_iter_state ct_expect_get_first ct_expect_get_next ct_expect_get_idx exp_seq_start \
    exp_seq_next exp_seq_stop exp_seq_show exp_open exp_proc_init exp_proc_remove \
    expect_hashsize nf_conntrack_expect_pernet_init nf_conntrack_expect_pernet_fini \
    nf_conntrack_expect_init nf_conntrack_expect_fini";

/// An item that carries a C name: what it is called, and its file.
type Carrier = (String, String);

/// The name that a line of Rust declares.
fn declared(line: &str) -> Option<&str> {
    let mut words =
        line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    let kinds = ["fn", "struct", "enum", "trait", "type", "static"];
    let first = words.clone().next()?;
    if let Some(at) = words.clone().position(|word| kinds.contains(&word)) {
        return words.nth(at + 1);
    }
    match words.clone().position(|word| word == "const") {
        Some(at) => words.nth(at + 1),
        // A field or a variant.
        None => {
            if first == "pub" {
                words.find(|word| !["pub", "crate", "super"].contains(word))
            } else {
                Some(first)
            }
        }
    }
}

/// The type that the block around a line is about, if the line is indented.
fn owner(before: &[&str]) -> Option<String> {
    let head = before.iter().rev().find(|line| {
        let starts = [
            "impl",
            "pub enum",
            "pub struct",
            "pub trait",
            "pub(crate) struct",
            "enum",
            "struct",
            "trait",
        ];
        starts.iter().any(|start| line.starts_with(start))
    })?;
    let Some(rest) = head.strip_prefix("impl") else { return declared(head).map(str::to_owned) };
    let mut depth = 0;
    let generics = rest.find(|c: char| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0 && c == ' '
    })?;
    let rest = rest[generics..].trim_start();
    let of = rest.split(" for ").last().unwrap_or(rest);
    let name = of.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some(name.to_owned())
}

/// Every C name that an item carries as a doc alias, with its items.
fn carried() -> BTreeMap<String, Vec<Carrier>> {
    let mut names: BTreeMap<String, Vec<Carrier>> = BTreeMap::new();
    let mut files = sources(&root().join("model/src"));
    files.extend(sources(&root().join("traces/src")));
    files.sort();
    for file in files {
        let text = read(&file);
        let lines: Vec<&str> = text.lines().collect();
        let shown = file.strip_prefix(root()).expect("below the root").display().to_string();
        for (at, line) in lines.iter().enumerate() {
            let alias = line.trim_start().strip_prefix("#[doc(alias = \"");
            let Some(alias) = alias.and_then(|rest| rest.strip_suffix("\")]")) else { continue };
            let skipped = |line: &&&str| {
                let line = line.trim_start();
                !(line.starts_with("#[") || line.starts_with("//"))
            };
            let declaration = lines[at..].iter().find(skipped).expect("an alias is of something");
            let name = declared(declaration).expect("it has a name");
            let indented = declaration.starts_with(' ');
            let owner = if indented { owner(&lines[..at]) } else { None };
            let item = owner.map_or_else(|| name.to_owned(), |owner| format!("{owner}::{name}"));
            names.entry(alias.to_owned()).or_default().push((item, shown.clone()));
        }
    }
    names
}

fn row(name: &str, items: &[Carrier]) -> String {
    let list = |pick: fn(&Carrier) -> &String| {
        let mut all: Vec<&String> = Vec::new();
        for one in items.iter().map(pick) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
    };
    format!("| `{name}` | {} | {} |\n", list(|item| &item.0), list(|item| &item.1))
}

/// `docs/names.md` is what the sources say: each C name, its items, their files, and each
/// function of the seed among them. `UPDATE_NAMES=1` writes it anew.
#[test]
fn names_and_aliases_agree() {
    let names = carried();
    let mut page = "# C names and ours\n\nEvery Rust item that mirrors a C one carries its name as a doc \
        alias: the search box of the documentation speaks C. A test\nkeeps this page and the aliases the \
        same; `UPDATE_NAMES=1 cargo test -p nfexp-properties --test house` writes it.\n\n\
        ## `nf_conntrack_expect.c`, v3.9, in its own order\n\n| C | Rust | file |\n| --- | --- | --- |\n"
        .to_owned();
    for name in SEED.split_whitespace() {
        let items = names.get(name).unwrap_or_else(|| panic!("{name} has no counterpart"));
        page += &row(name, items);
    }
    page += "\n## Around it\n\n| C | Rust | file |\n| --- | --- | --- |\n";
    for (name, items) in &names {
        if !SEED.split_whitespace().any(|seed| seed == name) {
            page += &row(name, items);
        }
    }
    let path = root().join("model/docs/names.md");
    let written = read(&path);
    if written != page && std::env::var_os("UPDATE_NAMES").is_some() {
        fs::write(&path, &page).expect("the page can be written");
        return;
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (written.lines().collect(), page.lines().collect());
    let differ: Vec<_> = old.symmetric_difference(&new).collect();
    assert!(
        written == page,
        "docs/names.md is not what the sources say (UPDATE_NAMES=1): {differ:#?}"
    );
}

/// Every function that the seed's own text defines is in the list above, where the text is there.
#[test]
fn the_list_of_the_seed_is_complete() {
    let seed = ["../shared", "../../shared"]
        .map(|shared| root().join(shared).join("seed/nf_conntrack_expect-v3.9.txt"));
    let text = seed.iter().find_map(|path| fs::read_to_string(path).ok());
    let Some(text) = text else { return };
    // A definition begins at the margin, behind the line number, and its name stands before `(`.
    let bare =
        |line: &str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    for line in text.lines().map(bare) {
        let definition = line.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && !line.starts_with("module_param")
            && line.contains('(')
            && !line.contains(';')
            && !line.contains('=');
        if definition {
            let before = line.split('(').next().expect("there is one");
            let name = before.rsplit([' ', '*']).next().expect("a name");
            assert!(
                SEED.split_whitespace().any(|known| known == name),
                "{name} is missing: {line}"
            );
        }
    }
}

/// A document names files that are there; what was decided once may name what is gone.
#[test]
fn documents_name_files_that_exist() {
    let rooms = ["", "model", "traces", "sim", "properties"];
    let documents = [
        "README.md",
        "properties/README.md",
        "traces/corpus/README.md",
        "traces/captures/SOURCES.md",
        "model/docs/lifetimes.md",
        "model/docs/locking.md",
        "model/docs/omissions.md",
        "model/docs/oracle.md",
        "model/docs/revisions.md",
    ];
    let mut named = 0;
    for document in documents {
        let text = read(root().join(document));
        let home = Path::new(document).parent().expect("a file has a folder");
        for word in text.split('`').skip(1).step_by(2).filter(|word| word.contains('/')) {
            let endings = [".rs", ".md", ".toml", ".sh", ".py", ".trace", ".pcap", ".jsonl"];
            let whole = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if !whole || !endings.iter().any(|ending| word.ends_with(ending)) {
                continue;
            }
            let mut places = rooms.map(|room| root().join(room).join(word)).to_vec();
            places.push(root().join(home).join(word));
            assert!(places.iter().any(|path| path.exists()), "{document}: `{word}` is not there");
            named += 1;
        }
    }
    assert!(named >= 30, "only {named} files are named");
}

#[test]
fn every_knob_has_a_row() {
    let page = read(root().join("model/docs/revisions.md"));
    for knob in Revision::KNOBS {
        assert!(page.contains(&format!("| `{knob}` |")), "{knob} has no row");
    }
}

/// Arrows point left only.
#[test]
fn no_room_imports_from_its_right() {
    let rooms = ["model", "traces", "sim", "properties"];
    for (at, room) in rooms.iter().enumerate() {
        let manifest = read(root().join(room).join("Cargo.toml"));
        let own = manifest.split("[dev-dependencies]").next().expect("there is a beginning");
        for right in &rooms[at + 1..] {
            assert!(!own.contains(&format!("nfexp-{right}")), "{room} depends on {right}");
        }
        if *room == "model" {
            let needs = own.split("[dependencies]").nth(1).unwrap_or_default();
            let named = needs.lines().filter(|line| line.contains('='));
            assert!(
                named.eq(["prefetch-index = \"0.2\""]),
                "the model depends on more than a hint"
            );
        }
        if *room != "properties" {
            let front = read(root().join(room).join("src/lib.rs"));
            assert!(front.contains("#![forbid(unsafe_code)]"), "{room} may be unsafe");
        }
    }
}

#[test]
fn every_file_names_its_licence_and_stays_readable() {
    for room in ["model", "traces", "sim", "properties"] {
        for path in sources(&root().join(room)) {
            let text = read(&path);
            assert!(text.starts_with("// SPDX-License-Identifier: GPL-2.0-only\n"), "{path:?}");
            assert!(text.lines().count() <= 700, "{path:?} is more than one idea");
        }
    }
}
