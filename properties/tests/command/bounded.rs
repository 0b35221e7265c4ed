// SPDX-License-Identifier: GPL-2.0-only
//! What is larger than anybody would write is refused before it costs memory, and told briefly.

use std::fs;

use super::{EVICTION, file, root, run};

/// It is bad data, and this is said of it.
fn refused(arguments: &[&str], message: &str) {
    let (code, _, told) = run(arguments);
    assert_eq!(code, 65, "{arguments:?}: {told}");
    assert!(told.contains(message) && told.len() < 3000, "{arguments:?}: {told}");
}

/// Every step takes memory, however short it is written.
#[test]
fn a_trace_is_of_a_million_lines_at_most() {
    let trace = file("long.trace", "memory\n".repeat((1 << 20) + 1).as_bytes());
    for verb in ["replay", "show", "diff-revisions"] {
        refused(&[verb, &trace], "long.trace: line 1048577: expected a trace of at most 1048576");
    }
}

/// A table of thousands of lines, listed a thousand times; what is listed at the end is listed once.
#[test]
fn a_table_may_be_listed_again_and_again() {
    let expect = |port| format!("expect e{port} master=m tcp 10.0.0.2:* > 10.0.0.1:{port}\n");
    let table = "config expectations=65536 expect-max=65536\nhelper-policy ftp max=65535 timeout=300s\n\
                 conn m tcp 10.0.0.2:40000 > 10.0.0.1:21 helper=ftp\n";
    let table = table.to_owned() + &(1..4000).map(expect).collect::<String>();
    let listed = format!("{table}{}", "show\n".repeat(1000));
    let listed = file("listed.trace", listed.as_bytes());
    for verb in ["replay", "diff-revisions"] {
        refused(&[verb, &listed], ": expected at most 128 MiB of answers in all");
    }
    let (code, shown, told) = run(&["show", &file("table.trace", table.as_bytes())]);
    assert_eq!((code, shown.lines().count()), (0, 3999), "{told}");
}

/// The file is at fault, not the system.
#[test]
fn a_capture_of_more_than_a_trace_holds_is_named() {
    let head = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, 101].map(u32::to_be_bytes);
    let mut capture = head.concat();
    for client in 0..=u16::MAX as u32 + 1 {
        let source = 0x0a00_0000 + client;
        let words = [0x4500_001c, 0, 0x4011_0000, source, 0x0b00_0001];
        let sum: u32 = words.iter().map(|word| (word >> 16) + (word & 0xffff)).sum();
        let check = !((sum >> 16) + (sum & 0xffff)) & 0xffff;
        let words = [0, 0, 28, 28, words[0], words[1], words[2] | check, words[3], words[4]];
        // An empty datagram to TFTP's port, without a checksum.
        let words = words.into_iter().chain([0x9c40_0045, 0x0008_0000]);
        capture.extend(words.flat_map(u32::to_be_bytes));
    }
    let capture = file("crowd.pcap", &capture);
    refused(&["import", &capture], "crowd.pcap: the trace does not play: it has memory for 65536");
}

/// Nobody could read it again.
#[test]
fn an_imported_trace_is_no_longer_than_one_that_is_read() {
    let head = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, 101].map(u32::to_be_bytes);
    // A client asks for the same file again and again, and each time there are seven lines of it.
    let words = [0_u32, 0, 40, 40, 0x4500_0028, 0, 0x4011_65c4, 0x0a00_0001, 0x0b00_0001];
    let words = words.into_iter().chain([0x9c40_0045, 0x0014_0000]);
    let request = [words.flat_map(u32::to_be_bytes).collect(), b"\0\x01ab\0octet\0\0".to_vec()];
    let request = request.concat();
    let capture = file("again.pcap", &[head.concat(), request.repeat(150_000)].concat());
    let out = file("again.trace", b"mine");
    let told = "again.pcap: the trace cannot be read again: it has 1050004 lines, expected at most \
                1048576; import less of it";
    refused(&["import", &capture, "--out", &out], told);
    assert_eq!(fs::read(out).expect("it is there"), b"mine");
}

/// It is kept as a whole, to be shrunk.
#[test]
fn a_transcript_is_bounded() {
    let known = root().join("traces/transcripts/core-1.jsonl");
    let known = fs::read_to_string(known).expect("our own");
    let header = known.lines().next().expect("a header");
    let line =
        |bytes: usize| format!("{{\"i\":1,\"op\":\"exp_flush\",\"x\":\"{}\"}}", "x".repeat(bytes));
    let many = [header, &vec![line(4_000_000); 17].join("\n")].join("\n");
    let many = file("many.jsonl", many.as_bytes());
    refused(&["conform", &many], "many.jsonl: line 18: expected a transcript of at most 1048576");
    let wide = file("wide.jsonl", [header, &line(4 << 20)].join("\n").as_bytes());
    refused(&["conform", &wide], "wide.jsonl: line 2: expected at most 4194304 bytes");
}

/// Its options are told by its head, which has a place, too.
#[test]
fn a_recording_is_bounded_and_its_head_has_a_place() {
    let large = format!("{{\"head\":{{}},\"x\":[{}0]}}", "{\"\":0},".repeat(3 << 20));
    let large = file("large.golden.jsonl", large.as_bytes());
    refused(&["conform-capture", EVICTION, &large], "expected a recording of at most 16 MiB");
    let head = b"{\"head\":{\"helpers\":{\"sip\":[\"tcp/65536\"]}}}\n{\"flush\":{}}";
    let head = file("head.golden.jsonl", head);
    let told = "head.golden.jsonl: line 1: expected a helper and a port, as in";
    refused(&["conform-capture", EVICTION, &head], told);
}

/// Scenarios and studies, and what a scenario takes from another file.
#[test]
fn what_people_write_is_no_longer_than_they_would() {
    let numbers = file("numbers.toml", format!("x = [{}0]", "0,".repeat(3 << 20)).as_bytes());
    refused(&["sweep", &numbers], "numbers.toml: offset 4194304: expected the end of a study");
    let endless = file("endless.toml", b"name = \"endless\"\nfits = \"/dev/zero\"\n");
    let told = "fits: /dev/zero: offset 4194304: expected the end of fitted laws";
    refused(&["sweep", "--scenario", &endless], told);
}

/// What is found instead may be anything.
#[test]
fn a_long_word_is_told_without_its_middle() {
    let word = "é".repeat(1 << 20);
    let trace = file("word.trace", format!("conn m {word}\n").as_bytes());
    let told = "word.trace: line 1, column 8: expected a protocol, by name or number, found `éé";
    refused(&["replay", &trace], told);
    let study = file("word.toml", format!("scenario = \"{word}\"").as_bytes());
    refused(&["sweep", &study], "éé: expected a file or one of ftp, sip-office");
}
