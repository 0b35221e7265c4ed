#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Captures that nobody recorded: the recorded ones, changed at random, through the running kernel and through the model.

    sudo RIG=path/to/rig.py ./mutate.py NFEXP [--seeds FOLDER] [--from N] [--count N] [--only WORD] [--grow KIND [--slow]]
                          [--keep FOLDER]

NFEXP is the built command. Each number makes one capture: two or three sessions of the seeds, woven into each other, with
payloads, segments, flags, numbers, fragments and order changed. The kernel's events are recorded with the rig and compared
with `nfexp conform-capture`, both grades; what differs is kept. The same number makes the same capture. With `--grow` the
sessions are not recorded ones but grown (`grown.py`), and few of them are changed; with `--slow` time passes in them: packets
come in bursts, three seconds apart, and what ends does so a second before or behind one. Run many side by side.

Module parameters (`param=`) are the whole machine's: killed amid a capture that turns one, it leaves it turned. Look at
/sys/module/nf_conntrack_*/parameters then. (Asked to end, it turns it back.)
"""
import argparse
import glob
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import grow
import grown

RAW = 101
WORDS = {
    21: [b"PORT ", b"EPRT ", b"227 ", b"229 ", b"227-", b"PASV\r\n", b"EPSV\r\n", b"|||", b"|1|", b"|2|", b"(", b")", b",",
         b"\r\n", b"\n", b"\r", b"226 ok\r\n", b"257 ", b"Entering Passive Mode (", b"port ", b"10,1,0,2,4,1", b"0,0", b"256"],
    69: [b"\0\1", b"\0\2", b"\0\3", b"\0\0octet\0"],
    6667: [b"PRIVMSG ", b"privmsg ", b" :", b"\1DCC ", b"\1dcc ", b"SEND ", b"CHAT ", b"MOVE ", b"TSEND ", b"SCHAT ", b"\1\n",
           b"\r\n", b" ", b"  ", b"0", b"4294967296", b"65536", b"NOTICE ", b"RESUME "],
    5060: [b"INVITE ", b"REGISTER ", b"BYE ", b"ACK ", b"CANCEL ", b"UPDATE ", b"PRACK ", b"SIP/2.0 200 OK\r\n", b"SIP/2.0 183 ",
           b"CSeq: ", b"CSeq : 1 INVITE\r\n", b"Contact: ", b"m: ", b"l: 0\r\n", b"Content-Length: ", b"Via: ", b"v: ", b"expires=0",
           b"Expires: 0\r\n", b";expires=60", b"sip:", b"sips:", b"@", b"m=audio ", b"m=video ", b"m=image ", b"c=IN IP4 ", b"c=IN IP6 ",
           b"c=", b"m=", b"\r\n", b"\n", b"\r\n ", b"\r\n\t", b"\r\n\r\n", b" ", b"<", b">", b"*", b"o=", b"transport=tcp", b"maddr=",
           b"rport=", b"received=", b"1023", b"65535", b"65536", b"0"],
    10080: [b"CONNECT ", b"DATA ", b"MESG ", b"INDEX ", b"STATE ", b"\n", b" ", b"0", b"65536", b"OPTIONS "],
    6566: [bytes(8), bytes(4), b"\0\0\0\7", b"\0\0\0\2"],
    1723: [b"\0\7", b"\0\x08", b"\0\x0a", b"\0\x0b", b"\0\x0c", b"\0\x0d", b"\0\x0f", b"\x1a\x2b\x3c\x4d", b"\0\1", b"\0\2"],
    1720: [b"\3\0", b"\x7e", b"\5\x20", b"\x18", b"\x98", b"\0", b"\xff"],
    1719: [b"\0", b"\xff", b"\x06\xb8", b"\x40"],
    137: [b"\1\x10", b"\0\0"],
    161: [b"\x30", b"public"],
}
HELPERS = set(WORDS)
OPTIONS = ["", "", "", "sysctl=nf_conntrack_tcp_be_liberal:1", "sysctl=nf_conntrack_tcp_loose:0", "param=nf_conntrack_ftp/loose:1",
           "param=nf_conntrack_sip/sip_direct_media:0", "param=nf_conntrack_sip/sip_direct_signalling:0",
           "param=nf_conntrack_h323/gkrouted_only:0", "param=nf_conntrack_h323/callforward_filter:0",
           "sysctl=nf_conntrack_tcp_ignore_invalid_rst:1", "port=sip:udp/5061;port=ftp:tcp/2121"]


class Packet:
    """An IP datagram taken apart: `ip` up to the transport header, `l4` without payload, `data`."""

    def __init__(self, raw):
        if raw[0] >> 4 == 4:
            self.v, self.proto, n = 4, raw[9], (raw[0] & 15) * 4
            self.fragment = struct.unpack(">H", raw[6:8])[0] & 0x3FFF != 0
        else:
            self.v, self.proto, n, self.fragment = 6, raw[6], 40, raw[6] == 44
        rest = raw[n:]
        k = {6: (rest[12] >> 4) * 4 if len(rest) >= 20 else 0, 17: 8}.get(self.proto, 0) if not self.fragment else 0
        if self.fragment or len(rest) < k:
            k = 0
        self.ip, self.l4, self.data = raw[:n], rest[:k], rest[k:]

    def is_tcp(self):
        return self.proto == 6 and len(self.l4) >= 20

    def is_udp(self):
        return self.proto == 17 and len(self.l4) == 8

    def ports(self):
        return struct.unpack(">HH", self.l4[:4]) if len(self.l4) >= 8 else (0, 0)

    def ends(self):
        a = self.ip[12:16], self.ip[16:20]
        if self.v == 6:
            a = self.ip[8:24], self.ip[24:40]
        s, d = self.ports()
        return (a[0], s), (a[1], d)

    def flow(self):
        return (self.proto, *sorted(self.ends()))

    def set_ends(self, a, b):
        at, n = (12, 4) if self.v == 4 else (8, 16)
        self.ip = self.ip[:at] + a[0] + b[0] + self.ip[at + 2 * n:]
        if len(self.l4) >= 8:
            self.l4 = struct.pack(">HH", a[1], b[1]) + self.l4[4:]

    def word(self, at):
        return struct.unpack(">I", self.l4[at:at + 4])[0]

    def set_word(self, at, value):
        self.l4 = self.l4[:at] + struct.pack(">I", value & 0xFFFFFFFF) + self.l4[at + 4:]

    def flags(self):
        return self.l4[13] if self.is_tcp() else 0

    def set_flags(self, flags):
        self.l4 = self.l4[:13] + bytes([flags & 255]) + self.l4[14:]

    def length(self):
        return len(self.data) + bin(self.flags() & 3).count("1")

    def copy(self):
        new = object.__new__(Packet)
        new.__dict__.update(self.__dict__)
        return new

    def bytes(self):
        l4 = self.l4
        if self.is_udp():
            l4 = l4[:4] + struct.pack(">H", min(8 + len(self.data), 65535)) + l4[6:]
        body = l4 + self.data
        if self.v == 4:
            return self.ip[:2] + struct.pack(">H", len(self.ip) + len(body)) + self.ip[4:] + body
        return self.ip[:4] + struct.pack(">H", len(body)) + self.ip[6:] + body


# Changes. Each takes the list and a generator, and changes the list in place.

def some(packets, r, test):
    fitting = [i for i, p in enumerate(packets) if test(p)]
    return r.choice(fitting) if fitting else None


def helped(p):
    return bool(p.data) and bool(HELPERS.intersection(p.ports()))


def port_of(p):
    s, d = p.ports()
    return d if d in HELPERS else s


def shift_later(packets, at, by):
    """The sender's later bytes move when a segment grew or shrank, and so do acknowledgements."""
    p = packets[at]
    if not p.is_tcp() or not by:
        return
    a, b = p.ends()
    seq = p.word(4)
    for q in packets[at + 1:]:
        if not q.is_tcp() or q.flow() != p.flow():
            continue
        if q.ends() == (a, b) and (q.word(4) - seq) & 0xFFFFFFFF < 1 << 30 and q.word(4) != seq:
            q.set_word(4, q.word(4) + by)
        elif q.ends() == (b, a) and (q.word(8) - seq) & 0xFFFFFFFF < 1 << 30 and q.word(8) != seq:
            q.set_word(8, q.word(8) + by)


def edit(change):
    def apply(packets, r):
        at = some(packets, r, helped)
        if at is None:
            return
        p = packets[at]
        old = len(p.data)
        p.data = change(p, r)[:1400]
        if r.random() < 0.85:
            shift_later(packets, at, len(p.data) - old)
    apply.__name__ = change.__name__
    return apply


@edit
def flip(p, r):
    d = bytearray(p.data)
    for _ in range(r.choice((1, 1, 1, 2, 4))):
        d[r.randrange(len(d))] = r.choice((0, 1, 9, 10, 13, 32, 48, 57, 255, r.randrange(256)))
    return bytes(d)


@edit
def bit(p, r):
    d = bytearray(p.data)
    d[r.randrange(len(d))] ^= 1 << r.randrange(8)
    return bytes(d)


@edit
def case(p, r):
    words = list(re.finditer(rb"[A-Za-z]+", p.data)) or [re.match(rb"", p.data)]
    m = r.choice(words)
    word = r.choice((bytes.lower, bytes.upper, bytes.swapcase, bytes.title))(m[0])
    return p.data[:m.start()] + word + p.data[m.end():]


@edit
def number(p, r):
    found = list(re.finditer(rb"\d+", p.data)) or [re.match(rb"", p.data)]
    m = r.choice(found)
    n = int(m[0] or b"0") % 10 ** 12
    new = r.choice((b"0", b"00", b"1", b"255", b"256", b"1023", b"1024", b"65535", b"65536", b"4294967295", b"4294967296", b"-1", b"",
                    b"0" + m[0], b" " + m[0], m[0] + b" ", m[0] + b"x", b"%d" % (n + 1), b"%d" % max(n - 1, 0), m[0] * 2, b"+" + m[0]))
    return p.data[:m.start()] + new + p.data[m.end():]


@edit
def insert(p, r):
    at = r.randrange(len(p.data) + 1)
    return p.data[:at] + r.choice(WORDS[port_of(p)]) + p.data[at:]


@edit
def overwrite(p, r):
    at, word = r.randrange(len(p.data)), r.choice(WORDS[port_of(p)])
    return p.data[:at] + word + p.data[at + len(word):]


@edit
def blanks(p, r):
    found = list(re.finditer(rb"[ \r\n\t:;,|]", p.data)) or [re.match(rb"", p.data)]
    m = r.choice(found)
    new = r.choice((b"", m[0] * 2, b" ", b"\t", b"\r", b"\n", b"\r\n", b" " + m[0], m[0] + b" ", b"\r\n "))
    return p.data[:m.start()] + new + p.data[m.end():]


@edit
def cut(p, r):
    a = r.randrange(len(p.data) + 1)
    return r.choice((p.data[:a], p.data[a:], p.data[:a] + p.data[a + r.choice((1, 2, 4, 8)):]))


@edit
def repeat(p, r):
    a, b = sorted(r.randrange(len(p.data) + 1) for _ in range(2))
    return p.data[:b] + p.data[a:b] + p.data[b:]


@edit
def lines(p, r):
    found = p.data.splitlines(keepends=True)
    if len(found) < 2:
        return p.data + p.data
    i = r.randrange(len(found))
    line = found.pop(i)
    if r.random() < 0.5:
        found.insert(r.randrange(len(found) + 1), line)
    elif r.random() < 0.5:
        found[i:i] = [line, line]
    return b"".join(found)


def splice(packets, r):
    at = some(packets, r, helped)
    if at is None:
        return
    p = packets[at]
    other = some(packets, r, lambda q: helped(q) and port_of(q) == port_of(p) and q is not p)
    if other is None:
        return
    a, q = r.randrange(len(p.data) + 1), packets[other]
    b = a if r.random() < 0.7 else r.randrange(len(q.data) + 1)
    old = len(p.data)
    p.data = r.choice((p.data[:a] + q.data[b:], q.data, p.data + q.data))[:1400]
    shift_later(packets, at, len(p.data) - old)


def split(packets, r):
    at = some(packets, r, lambda p: helped(p) and p.is_tcp() and len(p.data) > 1)
    if at is None:
        return
    p, q = packets[at], packets[at].copy()
    d = p.data
    k = r.randrange(1, len(d)) if r.random() < 0.7 else max(1, len(d) - r.choice((1, 2)))
    p.data, q.data = d[:k], d[k:]
    q.set_word(4, p.word(4) + k)
    p.set_flags(p.flags() & ~1)
    new = [p, q]
    if r.random() < 0.3:
        new.reverse()
    packets[at:at + 1] = new


def merge(packets, r):
    at = some(packets, r, lambda p: helped(p) and p.is_tcp())
    if at is None:
        return
    p = packets[at]
    for j in range(at + 1, min(at + 12, len(packets))):
        q = packets[j]
        if q.is_tcp() and q.ends() == p.ends() and q.data and q.word(4) == (p.word(4) + len(p.data)) & 0xFFFFFFFF:
            p.data = (p.data + q.data)[:1400]
            del packets[j]
            return


def again(packets, r):
    at = r.randrange(len(packets))
    where = min(len(packets), at + r.choice((1, 1, 2, 3, 10, 40)))
    packets.insert(where, packets[at].copy())


def again_helped(packets, r):
    at = some(packets, r, helped)
    if at is not None:
        for _ in range(r.choice((1, 1, 2, 5))):
            packets.insert(min(len(packets), at + r.choice((1, 2, 3, 10, 40))), packets[at].copy())


def swap(packets, r):
    at = r.randrange(len(packets))
    p = packets.pop(at)
    packets.insert(max(0, min(len(packets), at + r.choice((-3, -2, -1, 1, 1, 2, 3, 8)))), p)


def lose(packets, r):
    at = r.randrange(len(packets))
    del packets[at:at + r.choice((1, 1, 1, 2, 3))]


def late(packets, r):
    """A flow is picked up on its way."""
    p = r.choice(packets)
    flow, n = p.flow(), r.choice((1, 2, 3, 4, 6))
    for i in [i for i, q in enumerate(packets) if q.flow() == flow][:n][::-1]:
        del packets[i]


def one_way(packets, r):
    p = r.choice(packets)
    ends, n = p.ends(), r.choice((2, 5, 1000))
    for i in [i for i, q in enumerate(packets) if q.ends() == ends][:n][::-1]:
        del packets[i]


def flags(packets, r):
    at = some(packets, r, Packet.is_tcp)
    if at is not None:
        p = packets[at]
        p.set_flags(r.choice((p.flags() ^ 1, p.flags() ^ 2, p.flags() ^ 4, p.flags() ^ 16, 2, 4, 0x12, 0x14, 0x11, 0x10, 0)))


def numbers(packets, r):
    at = some(packets, r, Packet.is_tcp)
    if at is not None:
        p, where = packets[at], r.choice((4, 8))
        p.set_word(where, p.word(where) + r.choice((-1, 1, -1, 1, -2, 2, -1000, 1000, 70000, -70000, 1 << 31)))


def window(packets, r):
    at = some(packets, r, Packet.is_tcp)
    if at is not None:
        p = packets[at]
        p.l4 = p.l4[:14] + struct.pack(">H", r.choice((0, 1, 100, 65535))) + p.l4[16:]


def wrap(packets, r):
    """All numbers of a flow move, so that they wrap somewhere."""
    at = some(packets, r, lambda p: p.is_tcp() and len(p.data) > 0)
    if at is None:
        return
    p = packets[at]
    a, by = p.ends(), -p.word(4) - r.randrange(len(p.data) + 1)
    for q in packets:
        if q.is_tcp() and q.flow() == p.flow():
            where = 4 if q.ends() == a else 8
            if where == 4 or q.flags() & 16:
                q.set_word(where, q.word(where) + by)


def reuse(packets, r):
    """A flow's packets once more behind all, with other numbers."""
    p = r.choice(packets)
    by = r.choice((0, 1, 100000, 1 << 31, r.randrange(1 << 32)))
    more = [q.copy() for q in packets if q.flow() == p.flow()][:60]
    for q in more:
        if q.is_tcp():
            q.set_word(4, q.word(4) + by)
            if q.flags() & 16:
                q.set_word(8, q.word(8) + by)
    packets += more


def turn(packets, r):
    at = some(packets, r, helped)
    if at is not None:
        q = packets[at].copy()
        q.set_ends(*reversed(q.ends()))
        packets.insert(at + r.choice((0, 1)), q)


def reset(packets, r):
    at = some(packets, r, Packet.is_tcp)
    if at is not None:
        p, q = packets[at], packets[at].copy()
        q.data = b""
        q.set_word(4, p.word(4) + r.choice((0, p.length(), 1, -1)))
        q.set_flags(r.choice((4, 0x14, 0x11, 2)))
        if r.random() < 0.5:
            q.set_ends(*reversed(p.ends()))
            q.set_word(4, p.word(8))
            q.set_word(8, p.word(4) + p.length())
        packets.insert(at + 1, q)


def other_port(packets, r):
    """A flow goes to a port next to the announced one, or the other way round."""
    at = some(packets, r, lambda p: (p.is_tcp() or p.is_udp()) and not HELPERS.intersection(p.ports()))
    if at is None:
        return
    a, b = packets[at].ends()
    by = r.choice((-1, 1, 2, 0))
    for q in packets:
        if q.flow() == (packets[at].proto, *sorted((a, b))):
            if q.ends() == (a, b):
                q.set_ends(b, a) if by == 0 else q.set_ends(a, (b[0], (b[1] + by) & 0xFFFF))
            elif by:
                q.set_ends((b[0], (b[1] + by) & 0xFFFF), a)
            else:
                q.set_ends(a, b)
            if by:
                break


def fragments(packets, r):
    at = some(packets, r, lambda p: len(p.l4) + len(p.data) > 24 and not p.fragment)
    if at is None:
        return
    p = packets[at]
    body, step, ident = p.bytes()[len(p.ip):], 8 * r.randrange(1, 40), r.randrange(1 << 16)
    parts = []
    for off in range(0, len(body), step):
        part, more = body[off:off + step], off + step < len(body)
        q = p.copy()
        q.l4, q.data, q.fragment = b"", part, True
        if p.v == 4:
            q.ip = p.ip[:4] + struct.pack(">HH", ident, (0x2000 if more else 0) | off >> 3) + p.ip[8:]
        else:
            q.data = struct.pack(">BBHI", p.ip[6], 0, off | more, ident) + part
            q.ip = p.ip[:6] + b"\x2c" + p.ip[7:]
        parts.append(q)
    if len(parts) > 30:
        return
    for _ in range(r.choice((0, 0, 1, 2))):
        i = r.randrange(len(parts))
        r.choice((lambda: parts.append(parts.pop(i)), lambda: parts.insert(i, parts[i].copy()), parts.reverse))()
    packets[at:at + 1] = parts


def unreachable(packets, r):
    """An ICMP error about a packet, and sometimes with more than that in it."""
    at = some(packets, r, lambda p: len(p.l4) > 0)
    if at is None:
        return
    p = packets[at]
    whole, q = p.bytes(), p.copy()
    (a, _), (b, _) = p.ends()
    back = r.random() < 0.8
    quoted = whole[:r.choice((len(p.ip) + 8, len(p.ip) + 4, len(whole), 548))]
    if p.v == 4:
        q.ip = bytes([0x45]) + p.ip[1:9] + b"\1" + p.ip[10:12] + (b + a if back else a + b)
        kind = r.choice(((3, 3), (3, 1), (11, 0), (5, 1), (4, 0), (12, 0)))
    else:
        q.ip = p.ip[:6] + b"\x3a" + p.ip[7:8] + (b + a if back else a + b)
        kind = r.choice(((1, 4), (1, 0), (3, 0), (2, 0), (4, 0)))
    q.proto, q.l4, q.data, q.fragment = q.ip[9] if p.v == 4 else 58, b"", struct.pack(">BBHI", *kind, 0, 0) + quoted, False
    packets.insert(at + 1, q)


def options(packets, r):
    """IP options or extension headers."""
    at = some(packets, r, lambda p: not p.fragment and len(p.l4) > 0)
    if at is None:
        return
    p = packets[at]
    if p.v == 4:
        more = r.choice((b"\1\1\1\0", b"\x94\4\0\0", b"\x07\x07\4\0\0\0\0\0", b"\x44\x08\5\0\0\0\0\0"))
        if len(p.ip) + len(more) <= 60:
            p.ip = bytes([p.ip[0] + len(more) // 4]) + p.ip[1:] + more
    else:
        kind, body = r.choice(((60, b"\1\4\0\0\0\0"), (0, b"\1\4\0\0\0\0"), (43, bytes(6))))
        p.ip, p.data, p.l4 = p.ip[:6] + bytes([kind]) + p.ip[7:], bytes([p.ip[6], 0]) + body + p.l4 + p.data, b""


def to_six(packets, r):
    """IPv4 becomes IPv6, addresses in the text too."""
    if any(p.v == 6 or p.fragment for p in packets):
        return

    def long(a):
        return b"\xfd\0\0\4" + bytes(8) + a
    ends = sorted({a for p in packets for a in (p.ip[12:16], p.ip[16:20])}, key=lambda a: -len(socket.inet_ntoa(a)))
    for p in packets:
        if p.proto == 1:
            continue
        a = p.ip[12:16], p.ip[16:20]
        p.ip = struct.pack(">IHBB", 6 << 28, 0, p.proto, 64) + long(a[0]) + long(a[1])
        p.v = 6
        if not helped(p):
            continue
        p.data = re.sub(rb"(?i)^PORT (\d+),(\d+),(\d+),(\d+),(\d+),(\d+)", lambda m: b"EPRT |2|%s|%d|" % (
            socket.inet_ntop(socket.AF_INET6, long(bytes(min(int(x), 255) for x in m.groups()[:4]))).encode(),
            int(m[5]) * 256 + int(m[6])), p.data)
        p.data = re.sub(rb"(?i)^227 .*?(\d+),(\d+)\)", lambda m: b"229 Entering (|||%d|)" % (int(m[1]) * 256 + int(m[2])), p.data)
        if port_of(p) == 5060:
            p.data = p.data.replace(b"IN IP4", b"IN IP6")
            for e in ends:
                text = socket.inet_ntop(socket.AF_INET6, long(e)).encode()
                old = socket.inet_ntoa(e).encode()
                p.data = re.sub(rb"(IN IP6 )" + re.escape(old), rb"\g<1>" + text, p.data)
                p.data = p.data.replace(old, b"[" + text + b"]")
    packets[:] = [p for p in packets if p.v == 6]


TEXT = [flip, bit, case, number, insert, overwrite, blanks, cut, repeat, lines, splice]
TCP = [split, merge, flags, numbers, window, wrap, reset]
ORDER = [again, again_helped, swap, lose, late, one_way, reuse, turn, other_port, fragments, unreachable, options]


def hosts(folders):
    """The captures in which the router itself is a host, by path, and as which (`local=`): the broadcast helpers need that."""
    found = {}
    for folder in folders:
        with open(os.path.join(folder, "INDEX.tsv")) as f:
            names = f.readline().rstrip("\n").split("\t")
            for row in (dict(zip(names, line.rstrip("\n").split("\t"))) for line in f):
                local = [o for o in row["options"].split(";") if o.startswith("local=")]
                if local:
                    found[os.path.normpath(os.path.join(folder, row["capture"]))] = local[0]
    return found


def disturb(packets, r, counts, kinds):
    """Changes the packets as often as one of `counts`, each time by one of `kinds`; answers what was done."""
    names = []
    for _ in range(r.choice(counts)):
        change = r.choice(r.choice(kinds))
        if packets:
            change(packets, r)
            names.append(change.__name__)
    return names


def made(seeds, local, n, only):
    """Capture `n`: its packets, the options of its replay, and a word on what it is."""
    r = random.Random(n)
    chosen = [s for s in seeds if not only or only in s]
    packets, story = [], []
    names = r.sample(chosen, r.choice((1, 1, 2, 3)) if len(chosen) > 2 else 1)
    here = {local[name] for name in names if name in local}
    if here:
        names = names[:1] if names[0] in local else [name for name in names if name in local][:1]
    for name in names:
        session = [p.copy() for p in seeds[name]]
        if len(session) > 160:
            # A window that has a helper's words in it.
            at = some(session, r, helped) or 0
            session = (session[:8] if r.random() < 0.5 else []) + session[max(0, at - 40):at + 120]
        story.append(os.path.basename(name))
        if r.random() < 0.12 and name not in local:
            to_six(session, r)
        story += disturb(session, r, (1, 2, 3, 5, 8, 12), (TEXT, TEXT, TCP, ORDER))
        woven, i, j = [], 0, 0
        while i < len(packets) or j < len(session):
            take = r.choice((1, 3, 10))
            if j >= len(session) or (i < len(packets) and r.random() < 0.5):
                woven, i = woven + packets[i:i + take], i + take
            else:
                woven, j = woven + session[j:j + take], j + take
        packets = woven
    options = r.choice(OPTIONS)
    return packets, ";".join(filter(None, (options, local.get(names[0])))), " ".join(story)


def sessions(kind, types, n):
    """Capture `n` of sessions that nobody recorded."""
    r = random.Random(n)
    packets = [Packet(frame) for frame in grown.KINDS[kind](types, r)]
    story = [kind] + disturb(packets, r, (0, 0, 0, 1, 2, 4), (TEXT, TCP, ORDER))
    # The router itself may be one of the hosts.
    here = "local=10.6.0.100/24" if kind == "mixed" and r.random() < 0.3 and all(p.v == 4 for p in packets) else ""
    return packets, ";".join(filter(None, (r.choice(OPTIONS), here))), " ".join(story)


def write(path, packets, times=None):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, RAW))
        for i, p in enumerate(packets):
            b, at = p.bytes(), times[i] if times else i * 1000
            f.write(struct.pack("<IIII", 1000 + at // 1000000, at % 1000000, len(b), len(b)) + b)


def read(pcapio, path):
    out = []
    for p in pcapio.packets(path):
        if p.ip and "trunc" not in p.notes and len(p.ip) < 9000:
            try:
                out.append(Packet(p.ip))
            except IndexError:
                pass
        if len(out) >= 4000:
            break
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("nfexp")
    ap.add_argument("--seeds", action="append", help="folders of captures (default: this one's)")
    ap.add_argument("--from", dest="first", type=int, default=0)
    ap.add_argument("--count", type=int, default=100)
    ap.add_argument("--only", default="", help="only seeds whose path has this in it")
    ap.add_argument("--grow", choices=sorted(grown.KINDS), help="sessions of this kind instead of recorded ones")
    ap.add_argument("--slow", action="store_true", help="time passes in them")
    ap.add_argument("--keep", default="mutants", help="where captures that differ go")
    a = ap.parse_args()
    if a.slow and not a.grow:
        ap.error("--slow: expected --grow KIND beside it")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.path.insert(0, os.path.dirname(os.environ["RIG"]))
    import pcapio
    import rig
    folders = [] if a.grow else a.seeds or [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    seeds, types = {}, grow.read_types()
    for path in sorted(os.path.normpath(p) for f in folders for p in glob.glob(f + "/**/*.*cap*", recursive=True)):
        if "/lies/" not in path and (found := read(pcapio, path)):
            seeds[path] = found
    local = hosts(folders)
    os.makedirs(a.keep, exist_ok=True)
    differ, packets_seen, events, began = 0, 0, 0, time.monotonic()
    for n in range(a.first, a.first + a.count):
        packets, opts, story = sessions(a.grow, types, n) if a.grow else made(seeds, local, n, a.only)
        if not packets:
            continue
        path = os.path.join(a.keep, "%06d.pcap" % n)
        golden = path[:-5] + ".golden.jsonl"
        times = None
        if a.slow:
            packets = [p for p in packets if 1719 not in p.ports()]
            times, opts = grown.slow(a.grow, random.Random(n), len(packets))
        write(path, packets, times)
        r = None
        # A timeout reads a second less when a second ends between two lines: then once more. A busy machine is late often.
        for _ in range(10):
            try:
                head, recs, _ = rig.run_job({"path": path, "options": opts}, 1)
            except (RuntimeError, ValueError, OSError) as e:
                print(n, "the rig:", e, flush=True)
                continue
            with open(golden, "w") as f:
                rig.dump(head, recs, f)
            r = subprocess.run([a.nfexp, "conform-capture", path, golden], text=True, capture_output=True)
            if r.returncode == 0:
                break
        if not r:
            continue
        packets_seen += len(packets)
        events += head["head"]["counts"]["exp_new"]
        if r.returncode == 0:
            os.remove(path)
            os.remove(golden)
            continue
        differ += 1
        grade = "LOWER" if "connections differ" in r.stdout else "higher"
        print("%06d %s rc=%d [%s] %s\n   %s" % (n, grade, r.returncode, opts, story, r.stderr.strip().replace("\n", "\n   ")), flush=True)
    print("%d captures, %d packets, %d expectations, %d differ, %.0f s" % (
        a.count, packets_seen, events, differ, time.monotonic() - began), flush=True)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
