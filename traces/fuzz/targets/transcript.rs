// SPDX-License-Identifier: GPL-2.0-only
//! A transcript: each line read, and what was read written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_traces::transcript::read::Reader;

const HEADER: &[u8] = br#"{"oracle":1}"#;

fuzz_target!(|bytes: &[u8]| {
    if let [b'{', ..] = bytes {
        drop(Reader::new(bytes).header());
    }
    let mut reader = Reader::new(bytes);
    // Without its header: mutations of a line are what matters.
    while let Ok(Some(line)) = reader.next_line() {
        let written = serde_json_line(&line);
        let text = [HEADER, b"\n", written.as_bytes()].concat();
        let mut again = Reader::new(text.as_slice());
        again.header().expect("our own");
        let again = again.next_line().expect("what was written can be read").expect("one line");
        assert_eq!(again, line);
    }
});

fn serde_json_line(line: &nfexp_traces::transcript::Line) -> String {
    serde_json::to_string(line).expect("lines can be written")
}
