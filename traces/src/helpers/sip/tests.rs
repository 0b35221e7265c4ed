// SPDX-License-Identifier: GPL-2.0-only
//! What the scanner finds, and where messages of a stream end; the rest, the captures test.

use nfexp_model::tuple::L3;

use super::scan::{Line, Walk};
use super::*;

const fn scan(text: &str) -> Scan<'_> {
    Scan { text: text.as_bytes(), l3: L3::Ipv4 }
}

fn contact(text: &str) -> Result<Option<String>, scan::Unparsable> {
    let found = scan(text).walk(&Header::CONTACT, &mut Walk::default())?;
    Ok(found.map(|(_, addr, port)| format!("{}:{port}", addr.ip(L3::Ipv4))))
}

#[test]
fn contacts_long_short_and_folded() {
    let place = Ok(Some("10.0.0.2:5062".to_owned()));
    for text in [
        "REGISTER sip:r SIP/2.0\r\nContact: <sip:joe@10.0.0.2:5062>\r\n\r\n",
        "REGISTER sip:r SIP/2.0\r\nm: sip:10.0.0.2:5062\r\n\r\n",
        "REGISTER sip:r SIP/2.0\nCONTACT \t: \"Joe\" <sip:joe@10.0.0.2:5062>;q=1\n\n",
        "REGISTER sip:r SIP/2.0\r\nContact:\r\n  <sip:joe@10.0.0.2:5062>\r\n\r\n",
        "REGISTER sip:r SIP/2.0\r\nContact: <sip:example.org>\r\nm: sip:10.0.0.2:5062\r\n\r\n",
    ] {
        assert_eq!(contact(text), place, "{text:?}");
    }
    let default = contact("X\r\nContact: <sip:10.0.0.2>\r\n\r\n");
    assert_eq!(default, Ok(Some("10.0.0.2:5060".to_owned())));
    assert_eq!(contact("X\r\nMax-Forwards: 70\r\n\r\n"), Ok(None), "no `m` header");
    assert_eq!(contact("X\r\nContact: *\r\n\r\n"), Ok(None));
    assert_eq!(contact("X\r\nContact: <sip:10.0.0.2:80>\r\n\r\n"), Ok(None), "a low port");
}

#[test]
fn a_walk_visits_every_value() {
    let text = "X\r\nContact: <sip:10.0.0.2:5062>, <sip:10.0.0.3:5063>\r\nm: sip:10.0.0.4\r\n\r\n";
    let (scan, mut walk, mut ports) = (scan(text), Walk::default(), Vec::new());
    while let Ok(Some((.., port))) = scan.walk(&Header::CONTACT, &mut walk) {
        ports.push(port);
    }
    assert_eq!(ports, [5062, 5063, 5060]);
}

#[test]
fn numbers_end_where_they_are_too_large() {
    let scan = scan("060 4294967295 4294967296 000000000001 x");
    assert_eq!(scan.number(0), (60, 3));
    assert_eq!(scan.number(4), (u32::MAX, 14));
    assert_eq!(scan.number(15), (0, 15));
    assert_eq!(scan.number(26), (0, 26), "twelve digits");
    assert_eq!(scan.number(39), (0, 39));
}

#[test]
fn sdp_lines_end_where_media_begin() {
    let text =
        "INVITE\r\n\r\nv=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 10.0.0.3\r\n";
    let scan = scan(text);
    let version = scan.sdp(Line::Version, None, 0).expect("it is there");
    let session = scan.connection(version.at).expect("it is there");
    assert_eq!(session.ip(L3::Ipv4).to_string(), "10.0.0.2");
    let media = scan.sdp(Line::Media, None, version.at).expect("it is there");
    assert_eq!(&text[media.at..media.at + media.len], "audio 5000");
    let own = scan.connection(media.at).expect("it is there");
    assert_eq!(own.ip(L3::Ipv4).to_string(), "10.0.0.3");
}

#[test]
fn a_stream_is_cut_where_its_lengths_say() {
    let one = "BYE sip:x SIP/2.0\r\nl: 4\r\n\r\nbody";
    assert_eq!(message_length(scan(one)), Some(one.len()));
    assert_eq!(message_length(scan(&one[..one.len() - 1])), None);
    let two = format!("{one}{one}");
    assert_eq!(message_length(scan(&two)), Some(one.len()));
    assert_eq!(message_length(scan("BYE sip:x SIP/2.0\r\n\r\n")), None, "no length");
}
