// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel's tools print: a line that is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nfexp_traces::tools::{Shown, lines};

fuzz_target!(|bytes: &[u8]| {
    for (_, shown) in lines(bytes).map_while(Result::ok) {
        let text = shown.to_string();
        let again = Shown::parse(&text).expect("what was written can be read");
        assert_eq!(again, shown);
    }
});
