# SPDX-License-Identifier: GPL-2.0-only
"""Messages of H.225 (RAS and call signalling) and H.245, in the aligned packed encoding (X.691), as far as a call needs
them. Each function writes one type of the recommendations; what is optional there and not needed here is left out."""
import socket
import struct

H225 = bytes.fromhex("0008914a0004")                                   # itu-t recommendation h 2250 version 4


class Per:
    """Bits, then octets: what is aligned begins on a full octet."""

    def __init__(self):
        self.bits = []

    def put(self, value, width):
        self.bits += [value >> i & 1 for i in reversed(range(width))]
        return self

    def flags(self, text):
        """The extension mark and the marks of what is optional, as they stand."""
        return self.put(int(text, 2), len(text))

    def octets(self, data):
        self.bits += [0] * (-len(self.bits) % 8)
        for b in data:
            self.put(b, 8)
        return self

    def length(self, n):
        """A length without bounds."""
        return self.octets(bytes([n]) if n < 128 else struct.pack(">H", 0x8000 | n))

    def number(self, value):
        """An integer of up to four octets, as many as it needs."""
        data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
        return self.put(len(data) - 1, 2).octets(data)

    def open(self, inner):
        """A value that whoever does not know its type can pass over."""
        data = inner.bytes()
        return self.length(len(data)).octets(data)

    def bytes(self):
        bits = self.bits + [0] * (-len(self.bits) % 8)
        return bytes(int("".join(map(str, bits[i:i + 8])), 2) for i in range(0, len(bits), 8)) or b"\0"


def short(p, value):
    return p.octets(struct.pack(">H", value))


def identifier(p):
    return p.length(len(H225)).octets(H225)


def h225_address(p, addr, port):
    if ":" in addr:
        p.put(0, 1).put(3, 3).put(0, 1).octets(socket.inet_pton(socket.AF_INET6, addr))
    else:
        p.put(0, 1).put(0, 3).octets(socket.inet_aton(addr))
    return short(p, port)


def h225_addresses(p, addr, port):
    return h225_address(p.length(1), addr, port)


def h245_address(p, addr, port):
    p.flags("00")                                                      # unicast
    if ":" in addr:
        p.put(0, 1).put(2, 3).put(0, 1).octets(socket.inet_pton(socket.AF_INET6, addr))
    else:
        p.put(0, 1).put(0, 3).put(0, 1).octets(socket.inet_aton(addr))
    return short(p, port)


def terminal(p):
    """EndpointType: a terminal."""
    return p.flags("0000001").flags("00").flags("00")


def vendor(p):
    return p.flags("000").flags("0").octets(b"\xb5\0").octets(b"\0\x12")


def endpoint(p):
    """EndpointIdentifier: one letter."""
    return p.put(0, 7).octets(b"\0E")


def time_to_live(p, ttl):
    """The second extension of a registration, alone or, as endpoints send it, before the sixth (a boolean)."""
    value, alone = ttl
    if alone:
        return p.put(0, 1).put(1, 6).flags("01").open(Per().number(value - 1))
    return p.put(0, 1).put(5, 6).flags("010001").open(Per().number(value - 1)).open(Per().flags("1"))


# RAS.

def ras(choice, seq):
    """The message's choice; the sequence number follows the marks of the message itself."""
    p = Per().put(0, 1).put(choice, 5)
    return p, lambda: short(p, seq - 1)


def grq(seq, addr, port):
    p, number = ras(0, seq)
    p.flags("00000")
    number()
    return terminal(h225_address(identifier(p), addr, port)).bytes()


def gcf(seq, addr, port):
    p, number = ras(1, seq)
    p.flags("000")
    number()
    return h225_address(identifier(p), addr, port).bytes()


def rrq(seq, addr, port, ras_port, ttl=None):
    p, number = ras(3, seq)
    p.flags("1000" if ttl else "0000")
    number()
    identifier(p).put(1, 1)
    h225_addresses(p, addr, port)
    h225_addresses(p, addr, ras_port)
    vendor(terminal(p))
    if ttl:
        time_to_live(p, ttl)
    return p.bytes()


def rcf(seq, addr, port, ttl=None):
    p, number = ras(4, seq)
    p.flags("1000" if ttl else "0000")
    number()
    endpoint(h225_addresses(identifier(p), addr, port))
    if ttl:
        time_to_live(p, ttl)
    return p.bytes()


def urq(seq, addr, port):
    p, number = ras(6, seq)
    p.flags("0000")
    number()
    return h225_addresses(p, addr, port).bytes()


def ucf(seq):
    p, number = ras(7, seq)
    p.flags("00")
    number()
    return p.bytes()


def arq(seq, addr, port, answer=False):
    p, number = ras(9, seq)
    p.flags("00000100")
    number()
    endpoint(p.flags("000"))
    p.length(0)
    short(h225_address(p, addr, port).number(1280), 5)
    return p.octets(bytes(range(16))).put(0, 1).put(int(answer), 1).bytes()


def acf(seq, addr, port):
    p, number = ras(10, seq)
    p.flags("000")
    number()
    return h225_address(p.number(1280).flags("00"), addr, port).bytes()


def lcf(seq, addr, port, ras_port):
    p, number = ras(19, seq)
    p.flags("00")
    number()
    return h225_address(h225_address(p, addr, port), addr, ras_port).bytes()


# Call signalling: Q.931, whose user information is H.225.

def q931(kind, body):
    uu = b"\x05" + body
    message = b"\x08\x02\x00\x01" + bytes([kind]) + (b"\x04\x03\x88\x93\xa5" if kind == 5 else b"")
    message += b"\x7e" + struct.pack(">H", len(uu)) + uu
    return tpkt(message)


def tpkt(message):
    return struct.pack(">BBH", 3, 0, 4 + len(message)) + message


def user_information(choice):
    return Per().flags("00").flags("00").put(0, 1).put(choice, 3)


def fast_start(p, last, channels):
    """The extensions up to `last`, of which only this one is there."""
    p.put(0, 1).put(last - 1, 6).put(1, last)
    inner = Per().length(len(channels))
    for c in channels:
        inner.length(len(c)).octets(c)
    return p.open(inner)


def setup(addr=None, h245=None, channels=()):
    p = user_information(0).flags("1" if channels else "0")
    p.flags("%d00%d000" % (h245 is not None, addr is not None))
    identifier(p)
    if h245:
        h225_address(p, *h245)
    terminal(p)
    if addr:
        h225_address(p, *addr)
    p.put(0, 1).octets(bytes(range(16))).flags("000").flags("000")
    if channels:
        fast_start(p, 7, channels)
    return q931(5, p.bytes())


def call_proceeding(h245=None):
    p = user_information(1).flags("0%d" % (h245 is not None))
    terminal(identifier(p))
    if h245:
        h225_address(p, *h245)
    return q931(2, p.bytes())


def alerting(h245=None):
    p = user_information(3).flags("0%d" % (h245 is not None))
    terminal(identifier(p))
    if h245:
        h225_address(p, *h245)
    return q931(1, p.bytes())


def connect(h245=None, channels=()):
    p = user_information(2).flags("%d%d" % (bool(channels), h245 is not None))
    identifier(p)
    if h245:
        h225_address(p, *h245)
    terminal(p).octets(bytes(range(16)))
    if channels:
        fast_start(p, 5, channels)                                     # callIdentifier, security, tokens, cryptoTokens
    return q931(7, p.bytes())


def facility(addr):
    """The call goes elsewhere."""
    p = user_information(6).flags("0100")
    h225_address(identifier(p), *addr)
    return q931(0x62, p.flags("0").put(1, 2).bytes())


def release_complete():
    return q931(0x5A, identifier(user_information(5).flags("00")).bytes())


# H.245.

def channel(number, session, media=None, control=None):
    """OpenLogicalChannel: G.711 as H.225 carries it."""
    p = Per().flags("00")
    short(p, number - 1).flags("00").put(0, 1).put(3, 3).put(0, 1).put(1, 4).octets(b"\x13")
    h2250 = Per().flags("0").flags("00%d0%d00000" % (media is not None, control is not None)).octets(bytes([session]))
    if media:
        h245_address(h2250, *media)
    if control:
        h245_address(h2250, *control)
    return p.put(1, 1).put(0, 7).open(h2250)


def open_channel(number, session, media=None, control=None):
    p = Per().put(0, 1).put(0, 2).put(0, 1).put(3, 4)
    p.bits += channel(number, session, media, control).bits if not len(p.bits) % 8 else []
    return tpkt(p.bytes())


def open_channel_ack(number, session, media, control):
    p = Per().put(0, 1).put(1, 2).put(0, 1).put(5, 5)
    p.flags("10")
    short(p, number - 1).put(0, 1).put(1, 6).flags("01")
    ack = Per().put(0, 1).flags("0").flags("01110").put(session, 8)
    h245_address(h245_address(ack, *media), *control)
    return tpkt(p.open(ack).bytes())
