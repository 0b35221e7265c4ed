# SPDX-License-Identifier: GPL-2.0-only
"""Sessions that nobody spoke: `mutate.py --grow KIND` takes them for seeds.

*h323*: messages grown at random from the decoder's own types. Scripts (`per.py`) write the few messages that a call needs; the
kernel walks through hundreds of fields that stand before an address. Here each field that may be there is there sometimes,
each alternative is chosen sometimes, addresses are mostly the speaker's own, and now and then something is written that does
not fit.

*tcp*, *sctp*: packets of a few connections, any after any, whose numbers and tags are mostly those that the other side waits
for: what a tracker makes of them, packet by packet, is what counts.

*mixed*: `mixed.py`.
"""
import os
import re
import socket
import struct

from found import Talk, datagram, udp
from per import Per, tpkt

TYPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/helpers/h323")
CALLS, RAS = 1720, 1719
PORTS = (0, 1, 1719, 1720, 1721, 5000, 5001, 5002, 5003, 40000, 65535)


class Field:
    """A line of the types (`schema.rs` says what its words mean)."""

    def __init__(self, words):
        self.name, marks, self.kind = next(words), next(words), next(words)
        self.kept, self.optional, self.extensible, self.open, self.stop = (mark in marks for mark in "!?+~#")
        if self.kind == "of":
            self.size, self.most, self.item = next(words), int(next(words)), Field(words)
        elif self.kind in ("seq", "choice"):
            self.bits, self.root, self.known, self.of = int(next(words)), int(next(words)), int(next(words)), next(words)
        elif self.kind not in ("null", "bool", "oid"):
            self.size, self.low = next(words), int(next(words))


def read_types():
    types = {}
    for name in ("h225.rs", "h245.rs"):
        with open(os.path.join(TYPES, name)) as f:
            text = re.search(r'"\\\n(.*?)^";', f.read(), re.S | re.M)[1]
        for line in text.splitlines():
            words = line.split()
            if not line.startswith(" "):
                fields = types.setdefault(words[0], [])
            elif words[0] == "skip":
                fields += [Field(iter(("skip", ".", "null")))] * int(words[1])
            else:
                fields.append(Field(iter(words)))
    return types


class Grower:
    """Writes values of the types. `own` and `others` are addresses, packed; one that is kept is the speaker's own mostly."""

    def __init__(self, types, r, own, others, ports=PORTS):
        self.types, self.r, self.own, self.others, self.ports = types, r, own, others, ports
        self.address = False

    def message(self, name):
        field = next(f for f in self.types["Messages"] if f.name == name)
        p = Per()
        self.write(p, field, 0)
        return p.bytes()

    def some(self, n):
        return self.r.randbytes(n)

    def chance(self, one_in):
        return self.r.randrange(one_in) == 0

    def few(self):
        return self.r.choice((0, 1, 1, 1, 2, 2, 3, 5))

    def write(self, p, f, depth):
        r = self.r
        if f.kind == "bool":
            p.put(r.randrange(2), 1)
        elif f.kind == "oid":
            n = self.few()
            p.octets(bytes([n]) + self.some(n))
        elif f.kind == "int":
            self.integer(p, f)
        elif f.kind == "bits":
            self.bit_string(p, f)
        elif f.kind == "num":
            n = r.randrange(min(1 << int(f.size), 12))
            p.put(n, int(f.size)).octets(b"")
            p.put(r.getrandbits((n + f.low) * 4), (n + f.low) * 4)
        elif f.kind == "oct":
            self.octets(p, f)
        elif f.kind == "bmp":
            self.octets(p, f, 2)
        elif f.kind == "of":
            self.items(p, f, depth)
        elif f.kind == "seq":
            self.sequence(p, f, depth)
        elif f.kind == "choice":
            self.choice(p, f, depth)

    def integer(self, p, f):
        r = self.r
        if f.size == "byte":
            p.octets(self.some(1))
        elif f.size == "word":
            # The word behind an address is a port.
            word = r.choice(self.ports) if self.address and r.random() < 0.9 else r.randrange(1 << 16)
            self.address = False
            p.octets(struct.pack(">H", word))
        elif f.size == "cons":
            p.number(r.choice((0, 1, 9, 59, 299, 65535, 65536, r.getrandbits(24), 0xFFFFFFFE, 0xFFFFFFFF)))
            if f.kept and r.random() < 0.7:
                p.octets(self.some(r.choice((1, 2, 4))))               # which the kernel steps over, too
        elif f.size == "len":
            n = self.few()
            p.length(n).octets(self.some(n))
        elif f.size != "fixed":
            p.put(r.getrandbits(int(f.size)), int(f.size))

    def bit_string(self, p, f):
        n = f.low if f.size == "fixed" else self.r.choice((0, 1, 7, 8, 9, 31, 64))
        p.octets(b"")
        if f.size == "word":
            p.octets(struct.pack(">H", n))
            n += f.low
        elif f.size == "len":
            p.length(n)
        p.put(self.r.getrandbits(n) if n else 0, n)

    def octets(self, p, f, width=1):
        r = self.r
        if f.size == "fixed":
            if f.kept and f.low in (4, 16):
                # One that is not of the connection's family says nothing.
                address = self.own if r.random() < 0.75 else r.choice(self.others)
                p.octets(address if len(address) == f.low else self.some(f.low))
                self.address = True
            elif f.low > 2:
                p.octets(self.some(f.low))
            else:
                p.put(r.getrandbits(8 * f.low), 8 * f.low)
            return
        n = self.few()
        if f.size == "len":
            p.length(n)
        elif f.size == "byte":
            p.octets(bytes([n]))
        else:
            n = min(n, (1 << int(f.size)) - 1)
            p.put(n, int(f.size)).octets(b"")
        p.octets(self.some((n + f.low) * width))

    def items(self, p, f, depth):
        r = self.r
        n = r.choice((1, 1, 1, 2, 3, 5, 12)) if f.kept else self.few()
        if depth > 6:
            n = min(n, 1)
        if f.size == "len":
            p.length(n)
        else:
            p.put(n, int(f.size))
        for _ in range(n):
            if f.item.open:
                self.opened(p, f.item, depth)
            else:
                self.write(p, f.item, depth + 1)

    def opened(self, p, f, depth):
        """With its own length, which is sometimes another one, as long as it is whole."""
        inner = Per()
        if f.kept and not self.chance(30):
            self.write(inner, f, depth + 1)
            data = inner.bytes() if inner.bits else b""
        else:
            data = self.some(self.few())
        data += self.some(self.r.choice((0, 0, 0, 1, 3)))
        p.length(len(data)).octets(data)

    def is_there(self, f, depth):
        return self.r.random() < ((0.6 if f.kept else 0.25) if depth < 6 else 0.1)

    def sequence(self, p, f, depth):
        r, sons = self.r, self.types[f.of]
        root = sons[:f.root]
        stop = next((i for i, son in enumerate(root) if son.stop), None)
        there = [not son.optional or (i != stop and self.is_there(son, depth)) for i, son in enumerate(root)]
        count = 0
        if f.extensible:
            behind = sons[f.root:]
            wanted = [i for i, son in enumerate(behind) if not son.stop and self.is_there(son, depth + (0 if son.kept else 3))]
            count = 0 if not wanted or r.random() < 0.2 else wanted[-1] + 1
            if self.chance(12):
                count = r.choice((1, f.known - f.root, f.known - f.root + 2, 31, 32, 33))
            p.put(count > 0, 1)
        marks = [bit for bit, son in zip(there, root) if son.optional]
        p.bits += (list(map(int, marks)) + [0] * f.bits)[:f.bits]
        for present, son in zip(there, root):
            if son.stop:
                p.octets(self.some(r.choice((0, 2, 9))))
                return
            if present:
                self.write(p, son, depth + 1)
        if count <= 0:
            return
        present = [i in wanted if i < f.known - f.root else r.randrange(2) == 1 for i in range(count)]
        p.put(count - 1, 7)
        p.bits += map(int, present)
        for i, bit in enumerate(present):
            if f.root + i >= f.known:
                p.octets(b"").length(2).octets(self.some(2))
            elif bit:
                self.opened(p.octets(b""), behind[i] if i < len(behind) else Field(iter(("skip", ".", "null"))), depth)

    def choice(self, p, f, depth):
        r, sons = self.r, self.types[f.of]
        kept = [i for i, son in enumerate(sons) if son.kept]
        known = [i for i, son in enumerate(sons[:f.root]) if not son.stop]
        which = r.choice(kept) if kept and r.random() < 0.85 else r.choice(known or [0])
        if depth > 8 and not kept:
            which = next((i for i in known if sons[i].kind in ("null", "int", "bool")), which)
        if self.chance(60):
            which = r.randrange(f.known + 2)
        extended = which >= f.root and f.extensible
        if f.extensible:
            p.put(extended, 1)
        if extended:
            p.put(which - f.root, 7)
        else:
            p.put(which, f.bits) if which < 1 << f.bits else p.put(0, f.bits)
            which = which if which < 1 << f.bits else 0
        son = sons[which] if which < len(sons) else Field(iter(("skip", ".", "null")))
        if extended or son.open:
            self.opened(p.octets(b""), son, depth)
        else:
            self.write(p, son, depth + 1)


def call_message(body, r):
    """Q.931: a call reference, a kind, elements, and what H.225.0 says in the user-user element."""
    out = b"\x08" + r.choice((b"\2\0\1", b"\2\0\1", b"\1\1", b"\0")) + bytes([r.choice((1, 2, 5, 7, 0x62, 0x5A, 0x85))])
    for _ in range(r.choice((0, 0, 1, 2))):
        n = r.randrange(6)
        out += bytes([r.choice((4, 0x28, 0x6C, 0x70, 0xA1)), n]) + r.randbytes(n)
    return tpkt(out + b"\x7e" + struct.pack(">H", len(body) + 1) + b"\5" + body)


def h323(types, r):
    """Frames of a session: registration and admission, a call, its control channel, media."""
    six = r.random() < 0.3
    family, form = (socket.AF_INET6, "fd00:4::%d" ) if six else (socket.AF_INET, "10.7.0.%d")
    ends = [form % (2 + r.randrange(3)), form % (10 + r.randrange(2))]
    others = [socket.inet_pton(family, form % n) for n in (2, 3, 10, 11, 99)] + [bytes(16 if six else 4)]
    growers = [Grower(types, r, socket.inet_pton(family, end), others) for end in ends]
    frames = []

    def send(side, sport, dport, data):
        frames.append(datagram(17, udp(sport, dport, data), ends if side == 0 else ends[::-1]))

    def gate(n):
        for _ in range(n):
            side = r.randrange(2)
            ports = (r.choice((1719, 40001)), RAS)
            send(side, *(ports if side == 0 else ports[::-1]), growers[side].message("RasMessage"))

    def talk(port, message, n):
        t = Talk(port, tuple(ends), frames)
        for _ in range(n):
            side = r.randrange(2)
            data = b"".join(message(growers[side]) for _ in range(r.choice((1, 1, 1, 2, 3))))
            if len(data) < 1400:
                (t.client if side == 0 else t.server)(data)

    if r.random() < 0.5:
        gate(r.randrange(1, 12))
    if r.random() < 0.8:
        talk(CALLS, lambda g: call_message(g.message("H323-UserInformation"), r), r.randrange(1, 12))
    for port in (5000, 5001, 5002):
        if r.random() < 0.4:
            talk(port, lambda g: tpkt(g.message("MultimediaSystemControlMessage")), r.randrange(1, 10))
    for _ in range(r.randrange(6)):
        side = r.randrange(2)
        send(side, 40002, r.choice(PORTS), b"\x80\x08\0\1" + bytes(20))
    return frames


def tcp_options(r):
    out = b""
    for option in r.sample((b"\2\4\5\xb4", b"\3\3" + bytes([r.choice((0, 1, 7, 14, 15, 255))]), b"\4\2", b"\1", b"\x08\x0a" + bytes(8)),
                           r.choice((0, 0, 1, 2, 3))):
        out += option
    return out


def tcp(_, r):
    """Frames of one to three connections, opened by either side, by both, or seen amid."""
    frames = []
    talks = []
    for n in range(r.choice((1, 1, 2, 3))):
        ends = ("10.8.0.%d" % (2 + n), "10.8.0.100")
        talks.append({"ends": ends, "ports": (40000, r.choice((80, 21))), "next": [r.getrandbits(32), r.getrandbits(32)], "acked": [0, 0]})
    SYN, FIN, RST, PUSH, ACK = 2, 1, 4, 8, 16
    usual = (SYN, SYN | ACK, ACK, ACK, ACK, ACK | PUSH, ACK | PUSH, ACK | FIN, RST, RST | ACK)
    for _ in range(r.choice((8, 20, 60))):
        t, side = r.choice(talks), r.randrange(2)
        flags = r.choice(usual) if r.random() < 0.9 else r.getrandbits(6)
        # The first packets are mostly those of an opening.
        opened = t.setdefault("opening", 0 if r.random() < 0.8 else 3)
        if opened < 3 and r.random() < 0.9:
            side, flags = ((0, SYN), (1, SYN | ACK), (0, ACK))[opened]
            t["opening"] += 1
        data = r.randbytes(r.choice((0, 0, 1, 10, 100))) if not flags & (SYN | RST) or r.random() < 0.05 else b""
        off = r.choice((0, 0, 0, 0, 0, -1, 1, -100, 100, 30000, -70000, 1 << 31))
        seq = (t["next"][side] + off) & 0xFFFFFFFF
        if r.random() < 0.03:
            seq = 0
        ack = (t["next"][1 - side] + r.choice((0, 0, 0, 0, 0, 0, -1, 1, -50, 50, 70000, -70000))) & 0xFFFFFFFF
        options = tcp_options(r) if flags & SYN or r.random() < 0.2 else b""
        if flags & ACK and not flags & SYN and r.random() < 0.2:
            start = ack + r.choice((1, 50, 1000, -1000))
            options += b"\1\1\5\x0a" + struct.pack(">II", start & 0xFFFFFFFF, (start + r.choice((10, 500))) & 0xFFFFFFFF)
        options += bytes(-len(options) % 4)
        window = r.choice((0, 1, 100, 1000, 60000, 65535))
        body = struct.pack(">HHIIBBHHH", t["ports"][side], t["ports"][1 - side], seq, ack if flags & ACK or r.random() < 0.1 else 0,
                           (20 + len(options)) // 4 << 4, flags, window, 0, 0) + options + data
        frames.append(datagram(6, body, t["ends"][::1 - 2 * side]))
        if off in (0, 1, 100):
            t["next"][side] = (seq + len(data) + bin(flags & 3).count("1")) & 0xFFFFFFFF
        if flags == SYN and r.random() < 0.1:
            t["next"][side] = r.getrandbits(32)
    return frames


def sctp(_, r):
    """Frames of one or two associations."""
    frames = []
    talks = [{"ends": ("10.9.0.%d" % (2 + n), "10.9.0.100"), "tags": [0, 0]} for n in range(r.choice((1, 1, 2)))]
    tags = (0, 1, 0x1111, 0x2222, 0xFFFFFFFF)

    def chunk(kind, side, t):
        body = b""
        if kind in (1, 2):
            asked = r.choice(tags[1:] + (t["tags"][1 - side],))
            body = struct.pack(">IIHHI", asked, 65535, 1, 1, 1)
            if r.random() < 0.9:
                t["tags"][1 - side] = asked
        elif kind in (0, 4, 5, 10):
            body = r.randbytes(r.choice((0, 4, 8, 13)))
        length = 4 + len(body)
        if r.random() < 0.03:
            length = r.choice((0, 1, 3, 5, 200))
        return struct.pack(">BBH", kind, r.choice((0, 0, 0, 1)), length) + body + bytes(-len(body) % 4)

    opening = ((0, 1), (1, 2), (0, 10), (1, 11))
    for _ in range(r.choice((6, 12, 40))):
        t, side = r.choice(talks), r.randrange(2)
        kinds = [r.choice((0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11, 14, 14 + r.randrange(240)))]
        opened = t.setdefault("opening", 0 if r.random() < 0.8 else 4)
        if opened < 4 and r.random() < 0.85:
            side, kind = opening[opened]
            kinds = [kind]
            t["opening"] += 1
        elif r.random() < 0.2:
            kinds += [r.choice((0, 3, 4, 5, 6, 10, 11)) for _ in range(r.choice((1, 2)))]
        tag = 0 if kinds[0] == 1 and r.random() < 0.9 else t["tags"][side]
        if r.random() < 0.2:
            tag = r.choice(tags + (t["tags"][1 - side],))
        body = struct.pack(">HHII", *((5000, 5001)[::1 - 2 * side]), tag, 0)
        frames.append(datagram(132, body + b"".join(chunk(kind, side, t) for kind in kinds), t["ends"][::1 - 2 * side]))
    return frames
