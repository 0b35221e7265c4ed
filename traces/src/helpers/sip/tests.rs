// SPDX-License-Identifier: GPL-2.0-only
//! What the scanner finds, and where messages of a stream end; the rest, the captures test.

use nfexp_model::conntrack::Direction;
use nfexp_model::revision::Revision;
use nfexp_model::tuple::{L3, Tuple};

use super::super::asked::Asked;
use super::scan::{Line, Walk};
use super::*;

const fn scan(text: &str) -> Scan<'_> {
    let text = text.as_bytes();
    Scan { text, packet: text, l3: L3::Ipv4, way: SipScan::Strict }
}

/// The same as v3.10 reads it.
const fn old(text: &str) -> Scan<'_> {
    Scan { way: SipScan::Lenient, ..scan(text) }
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
fn a_contact_ends_behind_its_port() {
    let text = "X\r\nContact: <sip:me@10.0.0.2:5062;transport=tcp>\r\n\r\n";
    for scan in [scan(text), old(text)] {
        let found = scan.walk(&Header::CONTACT, &mut Walk::default());
        let Ok(Some((span, ..))) = found else { panic!("it is there: {:?}", scan.way) };
        assert!(text[..span.at + span.len].ends_with(":5062"), "{:?}: {span:?}", scan.way);
    }
}

#[test]
fn old_kernels_read_numbers_as_c_does() {
    assert_eq!(old("4294967297 ").number(0), (1, 10), "in 32 bits");
    assert_eq!(old("18446744073709551621").number(0), (5, 20), "in 64 before");
    for (text, new_kernel, old_kernel) in
        [("0x3C", (0, 1), (60, 4)), ("074", (74, 3), (60, 3)), ("0x", (0, 1), (0, 1))]
    {
        assert_eq!(scan(text).parameter_number(0), new_kernel, "{text}");
        assert_eq!(old(text).parameter_number(0), old_kernel, "{text}");
    }
    assert_eq!(old(":5062").port(0), Some((5062, 5)), "nothing need follow");
    assert_eq!(old(":70598 ").port(0), None);
    assert_eq!(old(":005062 ").port(0), Some((5062, 7)), "however many digits");
    assert_eq!(old("").port(0), Some((5060, 0)));
}

#[test]
fn old_kernels_walk_otherwise() {
    let found = |text: &str| {
        let found = old(text).walk(&Header::CONTACT, &mut Walk::default())?;
        Ok::<_, scan::Unparsable>(found.map(|(_, _, port)| port))
    };
    let low = "X\r\nContact: <sip:10.0.0.2:80>\r\n\r\n";
    assert!(found(low).is_err(), "a low port drops the packet");
    assert_eq!(found("X\r\nContact:\t<sip:10.0.0.2:5062>\r\n\r\n"), Ok(Some(5062)), "it searches");
    assert_eq!(
        found("X\r\nContact \t: <sip:10.0.0.2:5062>\r\n\r\n"),
        Ok(None),
        "a tab is no blank"
    );
    // Behind the second that does not parse, the search goes on by far too late.
    for (names, old_kernel) in [(1, Ok(Some(5062))), (2, Ok(None))] {
        let names = "Contact: <sip:example.org>\r\n".repeat(names);
        let text = format!("REGISTER\r\n{names}m: sip:10.0.0.2:5062\r\n\r\n");
        assert_eq!(contact(&text), Ok(Some("10.0.0.2:5062".to_owned())));
        assert_eq!(found(&text), old_kernel, "{text:?}");
    }
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
    let early = "BYE sip:x SIP/2.0\r\nl: 4\r\nTo: somebody\r\nFrom: me\r\n\r\nbody";
    assert_eq!(message_length(scan(&format!("{early}{one}"))), Some(early.len()));
    let two = format!("{one}{one}");
    assert_eq!(message_length(scan(&two)), Some(one.len()));
    assert_eq!(message_length(scan("BYE sip:x SIP/2.0\r\n\r\n")), None, "no length");
}

/// `ct_sip_parse_transport()`: in a stream, what follows the message is the next one, or its rest.
#[test]
fn a_transport_is_read_on_behind_the_end_of_its_message() {
    let ip = |text: &str| text.parse().expect("a literal address");
    let original = Tuple::new(Proto::TCP, ip("10.0.0.2"), 40000, ip("10.0.0.1"), 5060);
    let tuples = [original, original.inverse().expect("TCP answers")];
    let (direction, established, expected, seq) = (Direction::Original, true, false, 0);
    for (named, cut, announced) in
        [("tcp", 0, 1), ("tcp", 1, 1), ("tcp", 2, 1), ("udp", 0, 0), ("udp", 2, 0), ("udp", 3, 1)]
    {
        let body = format!("Contact: <sip:me@10.0.0.2:5062>;transport={named}\r\n");
        let length = body.len() - 2 - cut;
        let head = "REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\nExpires: 60\r\n";
        let text = format!("{head}l: {length}\r\n\r\n{body}");
        let payload = text.as_bytes();
        let seen = Seen { direction, established, expected, tuples, payload, seq };
        let mut tracker = Asked::of(Revision::LINUX_6_18);
        let verdict = State::default().help(&Parameters::default(), &seen, &mut tracker);
        let told = (verdict, tracker.announced);
        assert_eq!(told, (Verdict::Accept, announced), "{named}, {cut} bytes less");
    }
}
