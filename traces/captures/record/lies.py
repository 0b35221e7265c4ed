# SPDX-License-Identifier: GPL-2.0-only
"""Packets whose headers lie, made by hand, one case each; what counts in their goldens is `ctinfo`, the running kernel's
verdict on each packet."""
import itertools
import socket
import struct

from scenarios import scenario

RAW = 101
TFTP = b"\0\1x\0octet\0"


def ip4(proto, body, n, place=0, ihl=5, total=None, version=4, options=b"", ident=7, dst=2):
    total = 20 + len(options) + len(body) if total is None else total
    src = bytes([10, 1, n >> 8, n & 255])
    return struct.pack(">BBHHHBBH4s4s", version << 4 | ihl, 0, total, ident, place, 64, proto, 0, src,
                       bytes([10, 2, 0, dst])) + options + body


def ip6(proto, body, n, length=None):
    length = len(body) if length is None else length
    return struct.pack(">IHBB", 6 << 28, length, proto, 64) + socket.inet_pton(socket.AF_INET6, "fd01::%x" % n) + \
        socket.inet_pton(socket.AF_INET6, "fd02::2") + body


def udp(payload=TFTP, length=None, dport=69):
    return struct.pack(">HHHH", 40000, dport, 8 + len(payload) if length is None else length, 0) + payload


def tcp(flags, payload=b"", offset=5, options=b"", dport=21):
    return struct.pack(">HHIIBBHHH", 40000, dport, 1, 0, offset << 4, flags, 65535, 0, 0) + options + payload


def icmp(kind, code=0, rest=b"\0\1\0\1", body=b""):
    return struct.pack(">BBH", kind, code, 0) + rest + body


def made(*cases):
    """Frames, one case after the other; a case is a packet or several."""
    out = []
    for c in cases:
        out += c if isinstance(c, list) else [c]
    return [(i * 1_000_000, f) for i, f in enumerate(out)]


@scenario("lies", "own-packets", link=RAW, made=True)
def lies_ports():
    """TCP, UDP, UDP-Lite, GRE and others whose headers lie: data offsets, lengths, flags, what is missing"""
    n = itertools.count(1)

    def of(proto, body, **kw):
        return ip4(proto, body, next(n), **kw)
    syn = 2
    return made(
        *(of(17, udp(length=k)) for k in (None, 0, 7, 8, 9, 16, 17, 18, 19, 20, 65535)), *(of(17, udp()[:k]) for k in range(0, 9)),
        of(17, udp(b"")), of(17, udp(dport=0)), of(6, tcp(syn)), *(of(6, tcp(syn, offset=k)) for k in (0, 1, 4, 6, 15)),
        *(of(6, tcp(syn)[:k]) for k in (0, 1, 4, 13, 14, 19)), of(6, tcp(syn, offset=6, options=b"\1\1\1\0")),
        *(of(6, tcp(syn, offset=6, options=o)) for o in (b"\2\4\5", b"\2\4\5\xb4", b"\3\0\0\0", b"\5\xff\0\0", b"\x08\x0a\0\0",
                                                         b"\3\3\xff\0", b"\0\0\0\0")),
        *(of(6, tcp(f)) for f in (0, 1, 4, 5, 0x10, 0x11, 0x12, 0x14, 0x18, 0x29, 0x3F, 0x06, 0x03, 0x07, 0xC2, 0x42, 0x20,
                                  0x22, 0x0A, 0x1A, 0x08, 0x28, 0x30, 0x31, 0x34)),
        of(6, tcp(syn, dport=0)), *(of(136, udp(length=k)) for k in (None, 0, 7, 8, 9, 19, 20)), of(136, udp()[:7]),
        *(of(47, g) for g in (b"", b"\0\0", b"\0\0\x08\0", b"\x30\1\x88\x0b", b"\x30\1\x88\x0b\0\0\0\7", b"\x30\1\x88\x0b\0\0\0\7\0\0\0\1",
                              b"\x20\0\x65\x58\0\0\0\1", b"\x30\2\x88\x0b\0\0\0\7")),
        of(4, ip4(17, udp(), 1)), of(41, ip6(17, udp(), 1)), of(50, bytes(8)), of(255, b""), of(89, bytes(24)), of(0, b""))


@scenario("lies", "own-packets", link=RAW, made=True)
def lies_chunks():
    """SCTP whose chunks lie, and DCCP, which this kernel does not know"""
    n = itertools.count(1)

    def of(proto, body):
        return ip4(proto, body, next(n))
    return made(
        *(of(132, struct.pack(">HHII", 5000, 5001, 0, 0) + c) for c in (
            b"", b"\1\0\0\x14" + bytes(16), b"\1\0\0\0", b"\1\0\xff\xff", b"\0\0\0\3", b"\x0a\0\0\4", b"\1\0\0\x14")),
        of(132, b"\0\1\0\2"), of(33, struct.pack(">HHBBHI", 5000, 5001, 4, 0, 0, 0) + bytes(8)), of(33, b"\0\1\0\2"))


@scenario("lies", "own-packets", link=RAW, made=True)
def lies_ip():
    """IPv4 headers that lie, and ICMP with what it quotes"""
    n = itertools.count(1)

    def of(proto, body, **kw):
        return ip4(proto, body, next(n), **kw)
    known = ip4(17, udp(dport=4000), 900)

    def error(quoted, kind=3, code=3):
        return ip4(1, icmp(kind, code, bytes(4), quoted), 2, dst=9)[:12] + b"\x0a\2\0\2" + known[12:16] + icmp(kind, code, bytes(4), quoted)
    return made(
        *(of(17, udp(), ihl=k) for k in (0, 4, 6, 8)), *(of(17, udp(), total=k) for k in (0, 20, 27, 28, 29, 38, 39, 65535)),
        of(17, udp(), version=5), of(17, udp(), version=6), of(17, udp(), options=b"\1\1\1\0", ihl=6),
        of(17, udp(), options=b"\x44\xff\1\0", ihl=6), of(17, udp(), options=b"\x83\x03\4\0", ihl=6),
        *(of(17, udp(), place=p) for p in (0x8000, 0x4000, 0xC000)), of(17, udp()) + b"trailer",
        *(of(1, icmp(k)) for k in (0, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 40, 255)), *(of(1, icmp(8)[:k]) for k in (0, 4, 7)),
        known, error(known[:28]), error(known[:27]), error(known[:24]), error(known[:23]), error(known[:20]), error(known[:19]), error(b""),
        error(known[:28], 11, 0), error(known[:28], 3, 200), error(known[:28], 5, 1), error(known[:28], 12, 0), error(known[:28], 4, 0),
        error(b"\x4f" + known[1:28]), error(b"\x44" + known[1:28]), error(b"\x65" + known[1:28]),
        error(known[:6] + b"\x20\x10" + known[8:28]), error(ip4(17, udp(dport=4001), 900)[:28]), error(ip4(6, tcp(2), 901)[:28]),
        error(ip4(1, icmp(8), 902)[:28]), error(ip4(1, icmp(3, body=known[:28]), 902)[:60]), error(ip4(99, bytes(8), 903)))


@scenario("lies", "own-packets", link=RAW, family=6, made=True)
def lies_ip6():
    """IPv6 headers that lie: lengths, chains of extension headers, ICMPv6"""
    n = itertools.count(1)

    def of(proto, body, **kw):
        return ip6(proto, body, next(n), **kw)

    def ext(nxt, units=0, fill=b"\1\4\0\0\0\0"):
        return bytes([nxt, units]) + fill + bytes(8 * units)
    u = udp()
    frag = struct.pack(">BBHI", 17, 0, 0, 7)
    chain = b"".join(ext(60) for _ in range(39))
    known = ip6(17, udp(dport=4000), 0x900)

    def error(quoted, kind=1):
        return struct.pack(">IHBB", 6 << 28, 8 + len(quoted), 58, 64) + known[24:40] + known[8:24] + icmp(kind, 4, bytes(4), quoted)
    return made(
        of(17, u), of(17, u, length=0), of(17, u, length=10), of(17, u, length=7), of(17, u, length=65535), of(17, u) + b"trailer",
        of(59, b""), of(59, bytes(16)), of(0, ext(17) + u), of(60, ext(17) + u), of(60, ext(17, 1) + u), of(60, ext(17)[:4]),
        of(60, bytes([17, 255]) + bytes(6) + u), of(60, ext(17)), of(60, ext(60) + ext(17) + u), of(60, chain + ext(17) + u),
        of(60, ext(0) + ext(17) + u), of(0, ext(60) + ext(17) + u), of(51, bytes([17, 1]) + bytes(10) + udp(dport=4000)),
        of(51, bytes([17, 255]) + bytes(10) + u), of(51, bytes([17, 0]) + bytes(6) + udp(dport=4000)), of(43, bytes([17, 0, 0, 0]) + bytes(4) + u),
        of(43, bytes([17, 2, 0, 1]) + bytes(20) + u), of(44, frag + u), of(44, frag[:4]), of(44, frag), of(50, bytes(16)), of(135, ext(17) + u),
        of(139, ext(17) + u), of(253, bytes(16)), of(60, ext(253) + bytes(8)), of(6, tcp(2)), of(6, tcp(2, offset=4)), of(6, tcp(2, offset=15)),
        of(6, tcp(2)[:19]), *(of(17, udp(length=k)) for k in (0, 7, 17, 20)), *(of(58, icmp(k, rest=bytes(4))) for k in (
            0, 1, 4, 100, 128, 129, 130, 131, 132, 133, 135, 136, 139, 140, 143, 200, 255)), of(58, b"\x80"), of(58, b""), of(1, icmp(8)),
        known, error(known[:48]), error(known[:47]), error(known[:44]), error(known[:40]), error(known[:39]), error(b""), error(known[:48], 2),
        error(known[:48], 3), error(known[:48], 4), error(known[:48], 100), error(ip6(60, ext(17) + udp(dport=4000), 0x900)[:56]))


@scenario("lies", "own-packets", link=RAW, made=True)
def lies_fragments():
    """fragments: in order and not, twice, overlapping, beyond the end, empty, of nothing, too long, with another protocol"""
    n = itertools.count(1)
    body = udp(bytes(24))                                              # 32 bytes

    def of(*parts, proto=17):
        k, out = next(n), []
        for start, end, more, *data in parts:
            place = (0x2000 if more else 0) | start // 8
            out.append(ip4(proto, data[0] if data else body[start:end], k, place=place, ident=k))
        return out
    return made(
        of((0, 16, 1), (16, 32, 0)), of((16, 32, 0), (0, 16, 1)), of((0, 8, 1), (8, 16, 1), (16, 32, 0)), of((24, 32, 0), (8, 24, 1), (0, 8, 1)),
        of((0, 16, 1), (0, 16, 1), (16, 32, 0)), of((0, 16, 1), (16, 32, 0), (16, 32, 0)), of((0, 16, 1), (8, 32, 0)),
        of((8, 32, 0), (0, 16, 1)), of((0, 24, 1), (8, 16, 1), (24, 32, 0)), of((0, 16, 1), (16, 32, 0, bytes(15))),
        of((0, 16, 1, body[:15]), (16, 32, 0)), of((0, 0, 1), (0, 32, 0)), of((0, 32, 1), (32, 32, 0)), of((0, 32, 1), (32, 40, 0, b"")),
        of((16, 32, 0), (0, 16, 1), (0, 16, 1)), of((16, 24, 0), (16, 32, 0), (0, 16, 1)), of((16, 32, 0), (16, 24, 0, body[16:24]), (0, 16, 1)),
        of((0, 16, 1), (65528, 65536, 0, bytes(8))), of((0, 16, 1), (65504, 65535, 0, bytes(31))), of((65528, 0, 0, b"")),
        of((0, 8, 1), (8, 32, 0), proto=6), of((0, 8, 1), (16, 32, 0), (8, 16, 1)), of((8, 16, 1), (24, 32, 0), (0, 8, 1), (16, 24, 1)),
        of((0, 16, 1), (8, 16, 1), (16, 32, 0)), of((0, 16, 1), (16, 32, 1), (32, 40, 0, bytes(8))), of((0, 32, 0)),
        [ip4(17, body[:16], 990, place=0x2000, ident=1), ip4(6, body[16:], 990, place=2, ident=1), ip4(17, body[16:], 990, place=2, ident=2),
         ip4(17, body[16:], 990, place=2, ident=1)])


@scenario("lies", "own-packets", link=RAW, family=6, made=True)
def lies_fragments6():
    """fragments over IPv6: in order and not, overlapping, beyond the end, empty, atomic, behind and before other headers"""
    n = itertools.count(1)
    body = udp(bytes(24))

    def part(start, end, more, data=None, nxt=17, ident=7):
        return struct.pack(">BBHI", nxt, 0, start & 0xFFF8 | more, ident) + (body[start:end] if data is None else data)

    def of(*parts, before=None, **kw):
        k = next(n)
        if before:
            return [ip6(before[0], before[1] + part(*p, **kw), k) for p in parts]
        return [ip6(44, part(*p, **kw), k) for p in parts]
    hop = bytes([44, 0, 1, 4, 0, 0, 0, 0])
    opt = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    return made(
        of((0, 16, 1), (16, 32, 0)), of((16, 32, 0), (0, 16, 1)), of((0, 8, 1), (8, 16, 1), (16, 32, 0)), of((24, 32, 0), (8, 24, 1), (0, 8, 1)),
        of((0, 16, 1), (0, 16, 1), (16, 32, 0)), of((0, 16, 1), (8, 32, 0)), of((8, 32, 0), (0, 16, 1)), of((0, 24, 1), (8, 16, 1), (24, 32, 0)),
        of((0, 16, 1, body[:15]), (16, 32, 0)), of((0, 0, 1), (0, 32, 0)), of((0, 32, 1), (32, 32, 0)), of((0, 32, 0)), of((16, 24, 0), (16, 32, 0), (0, 16, 1)),
        of((0, 16, 1), (65528, 0, 0, bytes(8))), of((0, 16, 1), (65504, 0, 0, bytes(32))), of((0, 16, 1), (16, 32, 0), before=(0, hop)),
        of((0, 16, 1), (16, 32, 0), before=(60, hop)), of((0, 16, 1, opt + body[:8]), (16, 40, 0, body[8:]), nxt=60),
        of((0, 16, 1, b"\x11\0\1\4\0\0"), (16, 32, 0), nxt=60), of((0, 16, 1), (16, 32, 0), nxt=44), of((0, 16, 1), (16, 32, 0), nxt=59))
