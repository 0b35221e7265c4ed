// SPDX-License-Identifier: GPL-2.0-only
//! Text traces, transcripts and what the kernel's tools print, cut and flipped.

use std::fs;
use std::path::{Path, PathBuf};

use nfexp_traces::text;
use nfexp_traces::tools::{Shown, lines};
use nfexp_traces::transcript::read::Reader;

/// What a byte is flipped to: other letters, no letters, no UTF-8.
const FLIPS: [u8; 4] = [0x01, 0x04, 0x20, 0x80];

/// Every truncation and every flip of some bytes.
fn mangled(good: &[u8], mut each: impl FnMut(&[u8])) {
    let mut bytes = good.to_vec();
    for at in 0..good.len() {
        each(&good[..at]);
        for flip in FLIPS {
            bytes[at] ^= flip;
            each(&bytes);
            bytes[at] ^= flip;
        }
    }
}

fn traces(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            traces(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "trace") {
            found.push(path);
        }
    }
}

/// The corpus has every word of the language, so each of its lines is mangled; whole files are
/// too long for that in seconds.
#[test]
fn mangled_text_traces_are_answered() {
    let mut paths = Vec::new();
    traces(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus"), &mut paths);
    let mut lines = std::collections::BTreeSet::new();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a trace");
        lines.extend(text.lines().map(str::to_owned));
    }
    assert!(lines.len() > 300, "only {} lines", lines.len());
    let mut answered = 0;
    for line in &lines {
        mangled(line.as_bytes(), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            // Whatever can be read prints so that it reads the same.
            if let Ok(trace) = text::parse(&text) {
                let again = text::parse(&trace.to_string()).expect("what was printed is a trace");
                let steps = |trace: &text::Trace| -> Vec<_> {
                    let of = |block: &text::Block| block.steps.clone();
                    trace.blocks.iter().flat_map(of).map(|(_, step)| step).collect()
                };
                assert_eq!(steps(&again), steps(&trace), "{text}");
                answered += 1;
            }
        });
    }
    assert!(answered > 0);
}

#[test]
fn mangled_transcripts_are_answered() {
    let head = r#"{"oracle":1,"kernel":"6.18","hz":250,"expect_max":64,"nft":[{"udp_dport":4321,"l4":17,"dport":2000,"seconds":5,"size":2}],"tol":1,"profile":"mix","seed":"7","n":3}"#;
    let lines = [
        r#"{"i":0,"t":0,"op":"ct_new","a":{"l3":"ip","orig":{"src":"10.0.0.1","dst":"10.0.0.2","proto":17,"sport":1,"dport":69},"zone":1,"helper":"tftp","timeout":9},"ret":"OK","ev":[]}"#,
        r#"{"i":1,"t":0,"op":"exp_new","a":{"l3":"ip6","tuple":{"src":"fd00::3","dst":"::1","proto":58,"id":5,"type":128,"code":0},"mask":{"src":"::","proto":58},"master":{"src":"::1","dst":"::2","proto":6,"sport":7,"dport":21},"flags":3,"timeout":4294967295,"excl":true},"ret":"EBUSY","ev":[{"ev":"exp_new","rep":true,"e":1,"l3":"ip","to":300,"fl":0,"cl":0}]}"#,
        r#"{"i":2,"t":0,"op":"pkt","a":{"l3":"ip","p":{"src":"10.0.0.1","dst":"10.0.0.2","proto":17,"sport":1,"dport":69},"hex":"0001"},"fwd":1,"order":"bucket","ev":[]}"#,
        r#"{"i":3,"t":0,"op":"proc","a":{},"proc":[[3,"l3proto = 2 proto=17"]],"ev":[]}"#,
        r#"{"i":4,"t":0,"op":"advance","a":{"to":2000},"order":"none","ev":[]}"#,
    ];
    let mut answered = [0; 2];
    let mut read = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        if reader.header().is_err() {
            answered[0] += 1;
            return;
        }
        // Each line is one step, so it ends.
        while let Ok(Some(_)) = reader.next_line() {
            answered[1] += 1;
        }
    };
    mangled(head.as_bytes(), &mut read);
    for line in lines {
        mangled(line.as_bytes(), |bytes| read(&[head.as_bytes(), b"\n", bytes].concat()));
    }
    assert!(answered.iter().all(|&count| count > 100), "{answered:?}");
}

#[test]
fn mangled_logs_of_tools_are_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/tools");
    let (mut read, mut refused) = (0, 0);
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a log");
        for line in text.lines() {
            mangled(line.as_bytes(), |bytes| {
                for shown in lines(bytes) {
                    // What is read is written the same; what is not has a place in its line.
                    match shown {
                        Ok((_, shown)) => {
                            let again = Shown::parse(&shown.to_string()).expect("our own");
                            assert_eq!(again, shown);
                            read += 1;
                        }
                        Err(error) => {
                            assert!(error.to_string().starts_with("line "), "{error}");
                            refused += 1;
                        }
                    }
                }
            });
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}
