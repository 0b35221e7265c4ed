// SPDX-License-Identifier: GPL-2.0-only
//! The rules of the house, where a program can check them.

use std::collections::BTreeSet;
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
        if path.is_dir() {
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

fn between<'a>(text: &'a str, open: &str, close: &str) -> BTreeSet<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split(close).next()).collect()
}

/// Every function of the seed, and every C name that an item carries, is on the page; every
/// name on the page is carried by an item.
#[test]
fn names_and_aliases_agree() {
    let page = read(root().join("model/docs/names.md"));
    let listed: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut files = sources(&root().join("model/src"));
    files.extend(sources(&root().join("traces/src")));
    let texts: Vec<String> = files.iter().map(read).collect();
    let carried: BTreeSet<&str> =
        texts.iter().flat_map(|text| between(text, "#[doc(alias = \"", "\")]")).collect();
    assert_eq!(listed, carried);
    let seed = "nf_ct_unlink_expect_report nf_ct_expectation_timed_out nf_ct_expect_dst_hash \
        __nf_ct_expect_find nf_ct_expect_find_get nf_ct_find_expectation \
        nf_ct_remove_expectations expect_clash expect_matches nf_ct_unexpect_related \
        nf_ct_expect_alloc nf_ct_expect_init nf_ct_expect_free_rcu nf_ct_expect_put \
        nf_ct_expect_insert evict_oldest_expect __nf_ct_expect_check \
        nf_ct_expect_related_report ct_expect_get_first ct_expect_get_next ct_expect_get_idx \
        exp_seq_start exp_seq_next exp_seq_stop exp_seq_show exp_open exp_proc_init \
        exp_proc_remove nf_conntrack_expect_pernet_init nf_conntrack_expect_pernet_fini \
        nf_conntrack_expect_init nf_conntrack_expect_fini";
    for name in seed.split_whitespace() {
        assert!(listed.contains(name), "{name} has no counterpart");
    }
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
            assert!(!own.contains("[dependencies]"), "the model depends on something");
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
