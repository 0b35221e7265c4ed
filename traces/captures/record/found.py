# SPDX-License-Identifier: GPL-2.0-only
"""What `mutate.py` and random sessions found: sessions, made by hand, in which the model once parted from the kernel, one each."""
import socket
import struct

import per
from scenarios import scenario

RAW = 101
SYN, RST, ACK, PUSH = 2, 4, 16, 8


def made(frames):
    """Frames and when each comes: a millisecond apart."""
    return [(i * 1_000_000, f) for i, f in enumerate(frames)]


class Talk:
    """A TCP connection; `client` and `server` say things in turn."""

    def __init__(self, port, ends=("10.0.0.2", "10.0.0.1"), frames=None, opened=True):
        self.ends, self.ports, self.seqs = ends, (40000, port), [1000, 5000]
        self.frames = [] if frames is None else frames
        if opened:
            self.open()

    def open(self, seqs=(1000, 5000)):
        self.seqs = list(seqs)
        self.segment(0, SYN)
        self.segment(1, SYN | ACK)
        self.segment(0, ACK)

    def segment(self, side, flags, data=b"", seq=None, ack=None):
        mine, theirs = (self.seqs[side], self.seqs[1 - side])
        seq, ack = mine if seq is None else seq, theirs if ack is None else ack
        body = struct.pack(">HHIIBBHHH", self.ports[side], self.ports[1 - side], seq, ack if flags & ACK else 0, 5 << 4, flags,
                           60000, 0, 0) + data
        a, b = self.ends[side], self.ends[1 - side]
        if ":" in a:
            head = struct.pack(">IHBB", 6 << 28, len(body), 6, 64) + b"".join(socket.inet_pton(socket.AF_INET6, x) for x in (a, b))
        else:
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, 6, 0) + socket.inet_aton(a) + socket.inet_aton(b)
        self.frames.append(head + body)
        self.seqs[side] = seq + len(data) + (flags & 3 != 0)

    def client(self, data):
        self.segment(0, ACK | PUSH, data)

    def server(self, data):
        self.segment(1, ACK | PUSH, data)

    def made(self):
        return made(self.frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_ftp_older_newline():
    """FTP begun again with lower numbers inside one connection: a newline before those remembered is not remembered"""
    t = Talk(21)
    for seqs in ((1000, 5000), (1000, 5000), (9000, 9000)):
        t.open(seqs)
        for line, answer in ((b"USER me\r\n", b"331 who\r\n"), (b"PASS me\r\n", b"230 in\r\n"),
                             (b"PASV\r\n", b"227 (10,0,0,1,20,%d)\r\n" % (seqs[0] // 1000)), (b"NOOP\r\n", b"200 longer than before\r\n")):
            t.client(line)
            t.server(answer)
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True)
def found_irc_forged_first():
    """IRC: a forged announcement ends the search, one in other words does not"""
    t = Talk(6667)
    t.server(b":irc NOTICE * :hello\r\n")
    for first in (b"SEND f 1 5", b"SEND f 167772162 0", b"CHAT 167772162 5", b"SENT f 1 5", b"RESUME f 1 5", b"SEND x y"):
        t.client(b"PRIVMSG bob :\1DCC " + first + b"\1 :\1DCC SEND f 167772162 5001 17\1\r\n")
    t.client(b"PRIVMSG bob :\1DCC SEND f 167772162 70000\1\r\n")
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True)
def found_tcp_picked_up_and_opened():
    """A connection picked up on its way and then opened: the bounds of the answering side stay open, the other's do not"""
    frames = []
    for n, (side, seq, ack) in enumerate(((1, 700, 600), (1, 900000, 101), (0, 900000, 501), (1, 501, 101))):
        t = Talk(21, ("10.0.%d.2" % n, "10.0.0.1"), frames, opened=False)
        t.segment(0, ACK, seq=101, ack=501)
        t.segment(0, SYN, seq=100)
        t.segment(1, SYN | ACK, seq=500, ack=101)
        t.segment(side, ACK, seq=seq, ack=ack)
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True)
def found_reset_announces():
    """A reset with data before any answer ends its connection; its helper reads it all the same, and what it announces ends too"""
    t = Talk(1720)
    t.client(per.setup(addr=("10.0.0.1", 1720)))
    t.server(per.connect(h245=("10.0.0.1", 5200)))
    h = Talk(5200, frames=t.frames, opened=False)
    h.segment(0, ACK)
    h.segment(1, RST | ACK, per.open_channel(1, 1, control=("10.0.0.1", 6001)))
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True)
def found_atomic_fragments():
    """IPv6 with a fragment header that says nothing is missing, dropped by a helper; and one behind another header"""
    t = Talk(21, ("fd91:1::2", "fd91:2::2"))
    t.server(b"220 hello\r\n")
    t.client(b"USER me\r\n")
    t.client(b"PORT 1234\r\n")
    whole = t.frames.pop()
    for nexts, extra in ((44, b"\x06\0\0\0\0\0\0\x07"), (60, b"\x2c\0\1\4\0\0\0\0\x06\0\0\0\0\0\0\x08"), (60, b"\x2c\0\1\4\0\0\0\0\x06\0\0\1\0\0\0\x09")):
        t.frames.append(whole[:4] + struct.pack(">HB", len(whole) - 40 + len(extra), nexts) + whole[7:40] + extra + whole[40:])
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True)
def found_ras_many_extensions():
    """A registration with 32 extensions, all absent, and one with 33, which is more than the decoder has room for"""
    frames = []
    for n, count in enumerate((32, 33, 64, 128)):
        ends = "10.0.%d.2" % n, "10.0.0.1"
        message = bytearray(per.rrq(7, ends[0], 1720, 1719))
        message[0] |= 2
        message += bytes([count - 1 << 1]) + bytes(40)
        body = struct.pack(">HHHH", 1719, 1719, 8 + len(message), 0) + message
        frames.append(struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, 17, 0) + b"".join(map(socket.inet_aton, ends)) + body)
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_reset_of_whose_syn():
    """A reset outside the window that acknowledges the last SYN: the other side's ends the connection, the sender's own does not"""
    frames = []
    far, opening = 0x41000000, ((0, SYN, 0x12000000, 0), (1, SYN | ACK, 0x1000000, 0x12000001), (0, SYN, 0x12000000, 0))
    answers = ((1, RST | ACK, far, 0x12000001), (0, RST | ACK, far, 0x12000001))
    both = (0, SYN, 0x12000000, 0), (1, SYN, 0x1000000, 0)
    unasked = (0, SYN, 0x12000000, 0), (1, SYN | ACK, 0x1000000, 0x1000000), (0, RST, 0x1000000, 0)
    cases = [opening + (answer,) for answer in answers] + [both + ((side, RST, far, 0),) for side in (0, 1)] + [unasked]
    for n, case in enumerate(cases):
        t = Talk(80, ("10.0.%d.2" % n, "10.0.0.1"), frames, opened=False)
        for side, flags, seq, ack in case + ((0, SYN, 0x12000000, 0),):
            t.segment(side, flags, seq=seq, ack=ack)
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_options_of_ip():
    """Hop-by-hop options that a router heeds, ignores, and throws a packet away for; CIPSO, of which it knows no domain"""
    hops = [b"\1\4" + bytes(4), b"\1\4\0\0\1\0", bytes(6), bytes(14), b"\1\2\0\0\1\0", b"\1\4\0\0\0\0\1\4\0\0\0\0\1\0", b"\5\2\0\0\1\0", b"\5\1\0\0\1\0",
            b"\x1e\2\0\0\1\0", b"\x5e\2\0\0\1\0", b"\x9e\2\0\0\1\0", b"\xde\2\0\0\1\0", b"\xc2\4\0\1\0\0", b"\7\x08\0\0\0\5" + bytes(8),
            b"\x31\2\0\0\1\0", b"\1\0\x31\2\0\0", b"\x1e\x20\0\0\1\0", b"\x1e\0" * 7, b"\x1e\0" * 11]
    frames, udp = [], lambda n: struct.pack(">HHHHQ", 4000 + n, 5000, 16, 0, n)
    ends = b"".join(socket.inet_pton(socket.AF_INET6, x) for x in ("fd91:1::2", "fd91:2::2"))
    for n, options in enumerate(hops):
        for cut in (99, 4, 0) if n == 0 else (99,):
            body = (bytes([17, (len(options) - 6) // 8]) + options + udp(n))[:cut]
            frames.append(struct.pack(">IHBB", 6 << 28, len(body), 0, 64) + ends + body)
    for n, options in enumerate((b"", b"\x86\6\0\0\0\2\0\0", b"\x86\x08\0\0\0\2\1\2", b"\x82\4\0\0")):
        head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 36 + len(options), 7, 0, 64, 17, 0)
        frames.append(head + socket.inet_aton("10.0.0.2") + socket.inet_aton("10.0.1.2") + options + udp(n))
    return made(frames)


def datagram(proto, body, ends=("10.0.0.2", "10.0.0.1")):
    if ":" in ends[0]:
        return struct.pack(">IHBB", 6 << 28, len(body), proto, 64) + b"".join(socket.inet_pton(socket.AF_INET6, x) for x in ends) + body
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, proto, 0) + b"".join(map(socket.inet_aton, ends)) + body


SIX = "fd91:1::2", "fd91:2::2"


def udp(sport, dport, data):
    return struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data


@scenario("found", "own-packets", link=RAW, family=6, made=True)
def found_addresses_in_full():
    """IPv6 addresses with more zeros than anybody writes, with four bytes at the end, and ended by a colon or a zero byte"""
    t = Talk(21, ("fd91:1::a02:304", "fd91:2::2"))
    t.server(b"220 hello\r\n")
    t.client(b"USER me\r\n")
    written = (b"fd91:1::00a02:0000304", b"0fd91:1::a02:304", b"fd91:1::10.2.3.4", b"fd91:0001::010.2.03.004", b"fd91:1::a02:304\0", b"fd91:1::10.2.3.4:",
               b"fd91:1:0:0:0:0:10.2.3.4", b"fd91:1:0:0:0:0:a02:304", b"fd91:1::0:0:0:a02:304", b"fd91:1::10304", b"fd91:1::a02:304:", b"fd91:1:::a02:304")
    for n, text in enumerate(written):
        t.client(b"EPRT |2|" + text + (b"" if text[-1:] in b"\0:" else b"|") + b"%d|\r\n" % (5000 + n))
    for n, text in enumerate(written):
        sdp = b"v=0\r\nc=IN IP6 " + text + b"\r\nm=audio %d RTP/AVP 0\r\n" % (6000 + 2 * n)
        contact = b"REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\nExpires: 60\r\nContact: <sip:me@[" + text + b"]:5062>\r\n\r\n"
        for m, message in enumerate((b"INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n" + sdp, contact)):
            t.frames.append(datagram(17, udp(1024 + 2 * n + m, 5060, message), t.ends))
    return t.made()


def invite(addr, port):
    family = b"IP6 " if ":" in addr else b"IP4 "
    sdp = b"v=0\r\nc=IN " + family + addr.encode() + b"\r\nm=audio %d RTP/AVP 0\r\n" % port
    return b"INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n" + sdp


BY_WAY = "param=nf_conntrack_sip/sip_external_media:1;param=nf_conntrack_sip/sip_direct_media:0"


@scenario("found", "own-packets", link=RAW, made=True, options=BY_WAY, also={"host": BY_WAY + ";local=10.0.5.233/23"})
def found_media_by_way():
    """SIP: media that would go the way of their signalling are not announced; to a host itself and to groups of IPv6 is another"""
    frames = []
    four = "10.0.1.9", "10.0.5.233", "10.0.5.255", "0.0.0.0", "0.0.0.1", "127.0.0.1", "255.255.255.255", "224.0.0.1"
    for m, (src, dst) in enumerate((("10.0.5.7", "10.0.9.9"), ("10.0.5.7", "10.0.5.233"), ("10.0.5.233", "10.0.5.7"), ("10.0.5.233", "10.0.5.255"))):
        for n, addr in enumerate(four):
            frames.append(datagram(17, udp(1024 + n, 5060, invite(addr, 6000 + 100 * m + 2 * n)), (src, dst)))
    for n, addr in enumerate(("fd91::9", "::", "::1", "fe80::1", "ff02::1", "ff0e::1")):
        frames.append(datagram(17, udp(1024 + n, 5060, invite(addr, 7000 + 2 * n)), SIX))
    return made(frames)


@scenario("found", "own-packets", link=RAW, family=6, made=True)
def found_atomic_among_fragments():
    """IPv6: a fragment that is the whole datagram, alone, and where another of its name waits, which it overlaps; two such headers"""
    whole = udp(4000, 5000, bytes(24))

    def part(start, data, more=0, nexts=17):
        return struct.pack(">BBHI", nexts, 0, start | more, 9) + data
    end, only, first = part(16, whole[16:]), part(0, whole), part(0, whole[:16], 1)
    option, later = bytes([44, 0, 1, 4, 0, 0, 0, 0]), part(8, whole[8:])
    frames = [datagram(44, p, SIX) for p in (only, end, only, first, only, end, only, only)]
    frames += [datagram(60, option + p, SIX) for p in (only, end, only, only)]
    frames += [datagram(44, part(0, inner, nexts=44), SIX) for inner in (only, later, first)]
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_sctp_two_chunks():
    """SCTP begun with two chunks: which of them say what the answer, and the next packet, are tagged with"""
    frames, known = [], (4, 5, 7, 8, 9, 10)
    for n, kinds in enumerate([(kind,) for kind in known] + [(a, b) for a in known for b in known[:5]]):
        for m, (side, tag) in enumerate(((1, 0), (1, 5), (0, 0), (0, 5))):
            ends = "10.%d.%d.2" % (m, n), "10.0.0.1"
            for from_side, its_tag, chunks in ((0, 5, kinds), (side, tag, (3,))):
                ports = (3000, 5000) if from_side == 0 else (5000, 3000)
                body = struct.pack(">HHII", *ports, its_tag, 0) + b"".join(struct.pack(">BBHI", kind, 0, 8, 0) for kind in chunks)
                frames.append(datagram(132, body, ends if from_side == 0 else ends[::-1]))
    return made(frames)


def pptp(kind, body):
    return struct.pack(">HHIHH", 12 + len(body), 1, 0x1A2B3C4D, kind, 0) + body


@scenario("found", "own-packets", link=RAW, made=True)
def found_pptp_call_without_number():
    """PPTP: a call whose numbers are 2 and none, streams that name none, of PPTP and not, and errors about each"""
    t = Talk(1723)
    back = t.ends[::-1]
    streams = [datagram(47, struct.pack(">HHHH", *head, 4, 0) + b"ppp!", back) for head in ((0x3001, 0x880B), (0, 0x800))]

    def errors():
        t.frames += [datagram(1, b"\3\1" + bytes(6) + stream[:28]) for stream in streams]
    t.frames += streams
    errors()
    t.client(pptp(1, b"\1\0\0\0" + bytes(140)))
    t.server(pptp(2, b"\1\0\1\0" + bytes(140)))
    t.client(pptp(7, struct.pack(">H", 0) + bytes(154)))
    t.server(pptp(8, struct.pack(">HHBB", 2, 0, 1, 0) + bytes(14)))
    t.frames += [datagram(47, struct.pack(">HHHH", 0x3001, 0x880B, 4, 2) + b"ppp!"), *streams]
    errors()
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True)
def found_registered_for_ever():
    """RAS: registrations for 99 days less a second, after which the connection goes on, and for 99 days, after which it is over"""
    frames = []
    for n, ttl in enumerate((8_589_934, 8_589_935)):
        ends = "10.0.%d.2" % n, "10.0.0.1"
        asks = [datagram(17, udp(1719, 1719, per.rrq(seq, ends[0], 1720, 1719, (300, False))), ends) for seq in (1, 2)]
        # A number of three bytes is stepped over twice, so more must follow.
        granted = datagram(17, udp(1719, 1719, per.rcf(1, ends[0], 1720, (ttl, False)) + bytes(4)), ends[::-1])
        frames += [asks[0], granted, asks[1], granted]
        error = datagram(1, b"\3\3" + bytes(6) + asks[1][:28], ends[::-1])
        frames += [error, asks[1]]
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True,
          options="pace=1;tail=1;sysctl=nf_conntrack_udp_timeout:5;sysctl=nf_conntrack_icmp_timeout:2;sysctl=nf_conntrack_icmpv6_timeout:4")
def found_just_past_its_timeout():
    """UDP connections that speak again 40 to 240 ms after their timeout: each is a new one, which a timer would be late for; and
    questions of ICMP, whose two timeouts differ"""
    frames = []
    for n in range(6):
        frame = datagram(17, udp(4000 + n, 5000, b"hello"))
        frames += [((at + 13 * n) * 1_000_000, frame) for at in (0, 5040 + 40 * n)]
    for proto, kind, ends in ((1, 8, ("10.0.0.2", "10.0.0.1")), (58, 128, SIX)):
        question = datagram(proto, bytes([kind, 0, 0, 0, 0, 7, 0, 1]), ends)
        frames += [(at * 1_000_000, question) for at in (500, 3500)]
    return sorted(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_little_more_than_ports():
    """What answers TFTP or FTP and ends in the midst of its header, or says the wrong length: its expectation is consumed, unless
    not even the ports are there"""
    frames = []
    whole = struct.pack(">HHIIBBHHH", 20, 40003, 1, 0, 5 << 4, SYN, 60000, 0, 0)
    for n, ends in enumerate((("10.0.1.2", "10.0.0.1"), ("fd91:1::2", "fd91:2::2"))):
        answers = [udp(3000, 4000, b"\0\3\0\1")[:length] for length in (3, 4, 7)]
        answers += [struct.pack(">HHHH", 3000, 4000, length, 0) + b"\0\3\0\1" for length in (7, 13, 12)]
        for answer in answers:
            frames.append(datagram(17, udp(4000, 69, b"\0\1f\0octet\0"), ends))
            frames.append(datagram(17, answer, ends[::-1]))
        t = Talk(21, ends, frames)
        t.server(b"220 hello\r\n")
        t.client(b"USER me\r\n")
        for syn in (whole[:3], whole[:4], whole[:19], whole[:12] + b"\x40" + whole[13:], whole[:12] + b"\x60" + whole[13:], whole):
            t.client(b"EPRT |%d|%s|40003|\r\n" % (n + 1, ends[0].encode()))
            frames.append(datagram(6, syn, ends[::-1]))
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True,
          options="port=RAS:udp/5060;port=tftp:udp/5060;port=sip:udp/69;port=pptp:tcp/21;port=ftp:tcp/1723;port=irc:tcp/1723")
def found_two_helpers_one_port():
    """Ports that several helpers are attached to: the first of them has it, whatever is said first"""
    frames = [datagram(17, udp(4000 + port, port, b"\0\1f\0octet\0")) for port in (69, 5060)]
    for low, port in enumerate((21, 1723)):
        t = Talk(port, frames=frames)
        t.server(b"220 hello\r\n")
        t.client(b"USER me\r\n")
        t.client(b"PORT 10,0,0,2,20,%d\r\n" % low)
    return made(frames)


@scenario("found", "own-packets", link=RAW, family=6, made=True)
def found_fragment_header_cut():
    """IPv6 that ends within the header of a fragment, at once or behind other headers: where that tells that it begins with no
    extension it goes on, else nowhere"""
    frames = []

    def add(kind, body):
        ends = "fd91:1::%x" % (len(frames) + 2), SIX[1]
        frames.append(datagram(kind, body, ends))
    begins, later = struct.pack(">BBHI", 17, 0, 1, 9), struct.pack(">BBHI", 17, 0, 8, 9)
    for length in range(9):
        add(44, begins[:length])
        add(44, later[:length])
    for kind in (0, 6, 43, 44, 51, 59, 60):
        add(44, bytes([kind, 0, 0, 0, 0, 0]))
    for kind in (0, 43, 51, 60):
        for longer in (0, 1):
            # An authentication header counts in fours.
            first = bytes([44, longer]) + (bytes(6) if kind == 51 else b"\1\4\0\0\0\0")
            for length in (0, 1, 3, 4, 7):
                add(kind, first + begins[:length])
    for length in (0, 3, 4, 7):
        add(44, struct.pack(">BBHI", 44, 0, 0, 7) + begins[:length])
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_errors_quote_little():
    """Errors that quote fewer and fewer bytes of a question of ICMP, or of a datagram of UDP: of the first the whole header counts,
    of the other its ports"""
    frames = []
    for v6, ends in enumerate((("10.0.0.2", "10.0.0.1"), SIX)):
        error, head = (58, b"\1\4" + bytes(6)) if v6 else (1, b"\3\1" + bytes(6))
        question = bytes([128 if v6 else 8, 0, 0, 0, 0, 7, 0, 1])
        for sent in (datagram(58 if v6 else 1, question, ends), datagram(17, udp(4000, 5000, b"hello"), ends)):
            frames.append(sent)
            ip = 40 if v6 else 20
            frames += [datagram(error, head + sent[:ip + length], ends[::-1]) for length in range(9)]
    return made(frames)


def fragment(ident, place, more, body, ends=("10.0.0.2", "10.0.0.1")):
    whole = datagram(17, body, ends)
    return whole[:4] + struct.pack(">HH", ident, (0x2000 if more else 0) | place // 8) + whole[8:]


@scenario("found", "own-packets", link=RAW, made=True)
def found_fragments_far_apart():
    """Fragments with up to 66 others of their source between them, of which those before are forgotten or not; and a last one
    that is there already: nothing is put together then"""
    frames = []
    whole = udp(4000, 5000, bytes(range(24)))
    for n, between in enumerate((0, 62, 63, 64, 65, 66)):
        ends = "10.0.%d.2" % n, "10.0.0.1"
        frames.append(fragment(1, 16, False, whole[16:], ends))
        frames += [fragment(100 + i, 8, True, bytes(8), ends) for i in range(between)]
        frames.append(fragment(1, 0, True, whole[:16], ends))
    ends = "10.0.9.2", "10.0.0.1"
    for place, end, more in ((0, 16, True), (16, 32, True), (24, 32, False), (24, 32, False)):
        frames.append(fragment(2, place, more, whole[place:end], ends))
    return made(frames)


@scenario("found", "own-packets", link=RAW, family=6, made=True, options="param=nf_conntrack_sip/sip_direct_media:0")
def found_addresses_not_taken_in():
    """IPv6 from or to ::1, from a group, to a group of scope 0 or 1: nobody sees it, and what expects it waits on; to others it is
    tracked, wherever it goes then"""
    frames = []
    there = SIX[1]
    for n, to in enumerate(("::1", "ff01::1", "ff01::2", "ff00::5", "ff10::1", "ff11::1", "ff02::1", "ff12::1", "ff0e::5", "fe80::1", "::", "::2")):
        frames.append(datagram(17, udp(1024 + n, 5060, invite(to, 6000 + 10 * n)), SIX))
        frames.append(datagram(17, udp(7000, 6000 + 10 * n, b"hello"), (there, to)))
    frames.append(datagram(17, udp(2000, 5060, invite("fd91:3::3", 9000)), SIX))
    frames += [datagram(17, udp(7000, 9000, b"hello"), (by, "fd91:3::3")) for by in ("::1", "ff02::1", "ff0e::1", "::", "fe80::2", there)]
    return made(frames)


@scenario("found", "own-packets", link=RAW, family=6, made=True,
          options="pace=1;sysctl=nf_conntrack_udp_timeout:3;sysctl=nf_conntrack_udp_timeout_stream:30")
def found_group_answers():
    """IPv6: what comes from a group is no answer of it; the connection stays one that nobody answered"""
    here, group = SIX[0], "ff02::1"
    asks, answers = datagram(17, udp(1, 2, b"hello"), (here, group)), datagram(17, udp(2, 1, b"hello"), (group, here))
    return [(int(at * 1_000_000_000), frame) for at, frame in ((0, asks), (.1, answers), (2.3, asks), (2.4, asks), (5.9, asks))]


def with_options(options, proto, body, ends=("10.0.0.2", "10.0.0.1"), ident=7, place=0):
    """IPv4 with options; a `place` as the header has it makes it a fragment."""
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), ident, place, 64, proto, 0)
    return head + b"".join(map(socket.inet_aton, ends)) + options + body


SOURCE_ROUTE, NO_LENGTH, ROUTER_ALERT = b"\x83\7\4\0\0\0\0\0", b"\xff\1\0\0", b"\x94\4\0\0"


@scenario("found", "own-packets", link=RAW, made=True, options="local=10.0.5.233/23")
def found_host_sends_options():
    """Options of what a host itself sends are not looked at: it goes out, and announces; those of a copy that comes back are"""
    frames, host = [], "10.0.5.233"
    for n, options in enumerate((NO_LENGTH, SOURCE_ROUTE, ROUTER_ALERT)):
        for sport, dport, ends in ((2000, 161, (host, "10.0.5.255")), (3000, 1, (host, "10.0.9.9")), (3010, 1, ("10.0.9.9", host))):
            frames.append(with_options(options, 17, udp(sport + n, dport, b"a request of SNMP"), ends))
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_fragments_with_options():
    """Fragments of IPv4 with options, good and bad: those of the first one are the datagram's, in whichever order they come"""
    frames, whole = [], udp(4000, 5000, bytes(24))
    none = b""
    for n, (first, last) in enumerate(((none, none), (SOURCE_ROUTE, none), (none, SOURCE_ROUTE), (NO_LENGTH, none), (none, NO_LENGTH),
                                       (ROUTER_ALERT, ROUTER_ALERT), (SOURCE_ROUTE, SOURCE_ROUTE))):
        ends = "10.0.%d.2" % n, "10.0.0.1"
        for ident, step in ((1, 1), (2, -1)):
            frames += [with_options(first, 17, whole[:16], ends, ident, 0x2000), with_options(last, 17, whole[16:], ends, ident, 2)][::step]
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_ends_in_its_header():
    """IPv4 that says it ends within its header: nobody sees it, neither as a fragment of what is put together nor as an answer"""
    whole = udp(4000, 5000, bytes(24))
    cut = with_options(b"", 17, b"\1\1\1\1", ident=3, place=0x2000)
    frames = [fragment(3, 0, True, whole[:16]), b"\x47" + cut[1:], fragment(3, 16, False, whole[16:])]
    asks, answer = datagram(50, bytes(8)), bytearray(datagram(50, b"", ("10.0.0.1", "10.0.0.2")))
    # A length of zero would be filled in.
    answer[:4] = b"\x46\0\0\x14"
    return made(frames + [asks, bytes(answer), asks])


@scenario("found", "own-packets", link=RAW, made=True)
def found_time_stamp_options():
    """Time stamps of IPv4, of three kinds, with room and without: one that missed fifteen hosts may miss no more, unless it names them"""
    frames = []
    for n, options in enumerate((b"\x44\4\5\xf0", b"\x44\4\5\xe0", b"\x44\4\5\xf1", b"\x44\4\5\xf3", b"\x44\4\5\xe3", b"\x44\x0c\x0d\xf3" + bytes(8),
                                 b"\x44\x0c\x0d\xf1" + bytes(8), b"\x44\x0c\5\3" + bytes(8), b"\x44\x0c\6\3" + bytes(8), b"\x44\x08\5\2" + bytes(4),
                                 b"\x44\x08\x09\xf2" + bytes(4), b"\x44\x08\x09\xe2" + bytes(4))):
        frames.append(with_options(options, 17, udp(4000 + n, 5000, b"hello")))
    return made(frames)


def at(times, frames):
    return [(int(secs * 1_000_000_000), frame) for secs, frame in zip(times, frames, strict=True)]


@scenario("found", "own-packets", link=RAW, made=True, options="pace=1;sysctl=nf_conntrack_tcp_timeout_unacknowledged:5")
def found_two_ends_outside():
    """FTP: an end outside the window lets a connection live on; one of the other side after it does so for five seconds, here, and its
    expectation with it"""
    frames, times = [], []
    for n, sides in enumerate(((0,), (0, 0), (0, 1), (1, 0))):
        t = Talk(21, ("10.0.%d.2" % n, "10.0.0.1"), frames)
        for line, answer in ((b"USER me\r\n", b"331 who\r\n"), (b"PASV\r\n", b"227 (10,0,0,1,20,%d)\r\n" % n)):
            t.client(line)
            t.server(answer)
        t.segment(0, ACK)
        for side in sides:
            t.segment(side, ACK | 1, seq=t.seqs[side] + 900_000)
            t.seqs[side] -= 900_001
        times += [.01 * (n * 20 + i) for i in range(len(frames) - len(times))]
        t.client(b"NOOP\r\n")
        # Just past it: whoever finds it ends it.
        times.append(5.78 if n == 3 else 5.54)
    return sorted(at(times, frames))


@scenario("found", "own-packets", link=RAW, made=True)
def found_sctp_collision():
    """SCTP: both sides begin, with tags that are known or not, and either answers: who repeats what is known did not begin anew"""
    frames = []

    def packet(n, side, tag, chunk):
        ends, ports = ("10.%d.%d.2" % (1 + n // 200, n % 200), "10.0.0.1"), (3000, 5000)
        body = struct.pack(">HHII", *ports[::1 - 2 * side], tag, 0) + chunk
        frames.append(datagram(132, body, ends[::1 - 2 * side]))

    def init(kind, tag):
        return struct.pack(">BBHIIHHI", kind, 0, 20, tag, 1000, 1, 1, 1)
    n = 0
    for beside, first, asked in ((b, f, a) for b in (0, 9) for f in (0, 7) for a in (0, 7, 8, 9)):
        for side in (1, 0):
            n += 1
            packet(n, 0, 0, init(1, first))
            packet(n, 1, 0, init(1, beside))
            packet(n, side, (beside, first)[side], init(2, asked))
            packet(n, 1 - side, asked, b"\3\0\0\4")
            packet(n, 1 - side, (first, beside)[side], b"\3\0\0\4")
    return made(frames)


def called(ends=("10.0.0.2", "10.0.0.1")):
    """A session of PPTP with a call between 5 and 9."""
    t = Talk(1723, ends)
    t.client(pptp(1, b"\1\0\0\0" + bytes(140)))
    t.server(pptp(2, b"\1\0\1\0" + bytes(140)))
    t.client(pptp(7, struct.pack(">H", 5) + bytes(154)))
    t.server(pptp(8, struct.pack(">HHBB", 9, 5, 1, 0) + bytes(14)))
    return t


def stream(t, side, key, options=b""):
    return with_options(options, 47, struct.pack(">HHHH", 0x3001, 0x880B, 4, key) + b"ppp!", t.ends[::1 - 2 * side])


@scenario("found", "own-packets", link=RAW, made=True,
          options="pace=1;sysctl=nf_conntrack_gre_timeout:9;sysctl=nf_conntrack_gre_timeout_stream:5")
def found_pptp_stream_life():
    """PPTP: a stream that was announced lives no longer than any other of GRE, unanswered and answered"""
    one, other = called(), called(("10.0.1.2", "10.0.0.1"))
    frames = at([.01 * n for n in range(14)], one.frames + other.frames)
    # Each again just past its timeout: whoever finds it ends it.
    frames += at((.2, 9.3), [stream(one, 0, 9)] * 2)
    frames += at((.3, .4, .5, 5.55), [stream(other, side, (9, 5)[side]) for side in (0, 1, 0, 0)])
    return sorted(frames)


@scenario("found", "own-packets", link=RAW, made=True)
def found_pptp_stream_goes_nowhere():
    """PPTP: a stream whose first packet goes nowhere takes both keys of its call with it; those behind it have none"""
    t = called()
    return made(t.frames + [stream(t, 0, 9, SOURCE_ROUTE), stream(t, 0, 9), stream(t, 1, 5)])


@scenario("found", "own-packets", link=RAW, made=True,
          options="pace=1;sysctl=nf_conntrack_udp_timeout:2;sysctl=nf_conntrack_udp_timeout_stream:30")
def found_udplite_stream():
    """UDP-Lite is a stream as soon as it was answered, UDP after two seconds"""
    frames, times = [], []
    for n, proto in enumerate((136, 17)):
        ends = ("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.0.2")
        ask, answer = (datagram(proto, struct.pack(">HHHH", *ports, 0 if proto == 136 else 13, 1) + b"hello", way)
                       for ports, way in zip(((1, 2), (2, 1)), ends))
        frames += [ask, answer, ask, ask]
        times += [.1 * n + secs for secs in (0, .1, .2, 4.5)]
    return sorted(at(times, frames))


@scenario("found", "own-packets", link=RAW, made=True)
def found_icmp_of_other_family():
    """ICMP over IPv6 and ICMPv6 over IPv4, errors and questions: whatever they say, they are invalid"""
    four, six = ("10.0.0.2", "10.0.0.1"), SIX
    asks = [datagram(17, udp(4000, 5000, b"hello"), ends) for ends in (four, six)]
    frames = list(asks)
    for proto, head, kinds in ((1, b"\3\1", (0, 3, 8, 13, 128, 133, 139)), (58, b"\1\4", (1, 8, 128, 129, 133, 139))):
        for ends, ask in zip((four, six), asks):
            frames.append(datagram(proto, head + bytes(6) + ask, ends[::-1]))
            frames += [datagram(proto, bytes([kind]) + bytes(5) + bytes([kind, 1]), ends[::-1]) for kind in kinds]
    return made(frames)


@scenario("found", "own-packets", link=RAW, family=6, made=True)
def found_icmpv6_types():
    """ICMPv6 of every type: what neighbours say, and routers of groups, is not tracked"""
    return made([datagram(58, bytes([kind]) + bytes(7), SIX) for kind in range(256)])


@scenario("found", "own-packets", link=RAW, made=True)
def found_sip_other_transport():
    """SIP: who announces a medium that another call announced, of whose control a packet has come, announces nothing, but over another transport the control"""
    t = Talk(5060)
    message = invite(t.ends[0], 6000)
    t.frames.append(datagram(17, udp(5060, 5060, message), t.ends))
    t.frames.append(datagram(17, udp(7001, 6001, b"\x80\xc8\0\1"), t.ends[::-1]))
    t.frames.append(datagram(17, udp(5070, 5060, message), t.ends))
    t.client(message.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(message.partition(b"\r\n\r\n")[2])))
    t.frames.append(datagram(17, udp(7001, 6001, b"\x80\xc8\0\1"), ("10.0.0.1", "10.0.0.2")))
    return t.made()


@scenario("found", "own-packets", link=RAW, made=True,
          options="pace=1;tail=1;sysctl=nf_conntrack_gre_timeout:5;sysctl=nf_conntrack_gre_timeout_stream:5")
def found_pptp_hung_up_past_a_timeout():
    """PPTP: a call answered twice and hung up just past its stream's timeout: what the second answer announced goes in its place"""
    t = Talk(1723)
    answer = pptp(8, struct.pack(">HHBB", 7, 8, 1, 0) + bytes(14))
    t.client(pptp(1, b"\1\0\0\0" + bytes(140)))
    t.server(pptp(2, b"\1\0\1\0" + bytes(140)))
    t.client(pptp(7, struct.pack(">H", 8) + bytes(154)))
    t.server(answer)
    t.frames.append(datagram(47, struct.pack(">HHHHI", 0x3001, 0x880B, 4, 7, 1) + b"ppp!"))
    t.server(answer)
    t.server(pptp(13, struct.pack(">HB", 7, 4) + bytes(133)))
    return sorted(at([.001 * n for n in range(8)] + [5.067, 5.068], t.frames))


@scenario("found", "own-packets", link=RAW, made=True)
def found_sip_transport_cut_short():
    """SIP over TCP: a registration that ends within its transport's name, which the next message completes, or does not"""
    frames = []
    for n, (end, following) in enumerate(((b"t", b"cp"), (b"tc", b"p"), (b"T", b"CP"), (b"t", b"cq"), (b"u", b"dp"))):
        t = Talk(5060, ("10.0.%d.2" % n, "10.0.0.1"), frames)
        body = b"x\r\nContact: <sip:me@10.0.%d.2:5062>;expires=60;transport=" % n + end
        head = b"REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\nExpires: 60\r\nContent-Length: %d\r\n\r\n" % len(body)
        t.client(head + body + following + b" sip:x SIP/2.0\r\n\r\n")
    return made(frames)


TO_ITSELF = BY_WAY + ";local=10.0.0.%s"


@scenario("found", "own-packets", link=RAW, made=True, options=TO_ITSELF % "1/24",
          also={"no-net": TO_ITSELF % "1/0", "last": TO_ITSELF % "255/24"})
def found_sends_to_itself():
    """What a host sends to itself, to 0.0.0.0 and to all, answers, where its net is a usual one, has no mask, and ends in its address;
    what is for groups of IPv6: which media go the same way"""
    frames = []
    for n, (src, dst) in enumerate((src, dst) for src in ("10.0.0.1", "10.0.0.255") for dst in (src, "0.0.0.0", "10.0.0.77")):
        for m, addr in enumerate(("10.0.0.1", "10.0.0.255", "10.0.0.9", "0.0.0.0")):
            frames.append(datagram(17, udp(1024 + m, 5060, invite(addr, 6000 + 20 * n + 2 * m)), (src, dst)))
    for n, (src, dst) in enumerate((src, dst) for src in ("10.0.0.1", "10.0.0.255") for dst in ("255.255.255.255", "10.0.0.255")):
        for port in 137, 161:
            frames.append(datagram(17, udp(4000 + n, port, b"question"), (src, dst)))
            frames.append(datagram(17, udp(port, 4000 + n, b"answer"), ("10.0.0.9", src)))
    for n, dst in enumerate(("ff02::1", "ff02::2", "ff05::2")):
        for m, addr in enumerate(("::1", "ff02::1", "ff0e::1", "fd00::1")):
            frames.append(datagram(17, udp(1024 + m, 5060, invite(addr, 7000 + 20 * n + 2 * m)), ("fd91::1", dst)))
    return made(frames)


@scenario("found", "own-packets", link=RAW, made=True, options="local=127.0.0.1/8", also={"other": "local=10.0.0.1/24"})
def found_forwarded_to_nobody():
    """H.323: a call that is forwarded to 0.0.0.0, by a host whose own address that stands for, and by another"""
    frames = []
    for caller in ("127.0.0.1", "10.0.0.1"):
        for n, addr in enumerate(("0.0.0.0", caller, "10.0.0.77")):
            t = Talk(1720, (caller, "10.0.0.%d" % (9 + n)), frames)
            t.client(per.setup())
            t.server(per.facility((addr, 1720)))
    return made(frames)
