# SPDX-License-Identifier: GPL-2.0-only
"""Sessions of every helper at once, among few hosts and few ports (`mutate.py --grow mixed`).

In recorded sessions each announcement has a destination of its own. Here two connections announce the same port, a port is
announced again while it is expected, and what comes to it may be somebody else's: what one connection expects meets what
another does.
"""
import socket
import struct

import per
from found import Talk, datagram, pptp, udp
from grow import Grower, call_message


class Session:
    """Some connections among four hosts, then deed after deed. A method that is named as a kind of connection says one thing."""
    PORTS = 5000, 5001, 5002, 5060, 6000
    STREAMS = {"calls": 1720, "ftp": 21, "irc": 6667, "sip-tcp": 5060, "pptp": 1723, "sane": 6566}
    DATAGRAMS = {"ras": 1719, "sip": 5060, "tftp": 69, "amanda": 10080}
    PHONES, LASTING = (5060, 5061), 0.4
    DEEDS = "stream", "stream", "datagram", "datagram", "arrival", "broadcast"
    METHODS = b"INVITE", b"INVITE", b"REGISTER", b"REGISTER", b"BYE", b"ACK", b"CANCEL", b"UPDATE", b"PRACK", b"OPTIONS"

    def __init__(self, types, r):
        self.types, self.r = types, r
        self.six = r.random() < 0.3
        form = "fd00:6::%d" if self.six else "10.6.0.%d"
        self.clients, self.servers = [form % n for n in (2, 3)], [form % n for n in (100, 101)]
        self.frames, self.streams, self.asked = [], [], {}
        for _ in range(r.choice((2, 3, 5))):
            kind = r.choice([k for k in self.STREAMS if not (self.six and k in ("irc", "pptp"))])
            talk = Talk(self.STREAMS[kind], (r.choice(self.clients), r.choice(self.servers)), self.frames, opened=False)
            talk.ports = (r.choice((40000, 40001, 40002)), self.STREAMS[kind])
            talk.open()
            self.streams.append((kind, talk))
        for _ in range(r.choice((10, 25, 60))):
            getattr(self, r.choice(self.DEEDS))()

    def host(self, mine, other):
        """Mostly the speaker's own address."""
        return self.r.choice((mine,) * 8 + (other,) + tuple(self.clients + self.servers))

    def port(self):
        return self.r.choice(self.PORTS) if self.r.random() < 0.97 else self.r.choice((0, 1, 1023, 1024, 65535))

    def stream(self):
        kind, talk = self.r.choice(self.streams)
        side = self.r.randrange(2)
        data = self.said(kind, side, talk.ends)
        (talk.server if side else talk.client)(data)

    def datagram(self):
        kind, side = self.r.choice(list(self.DATAGRAMS)), self.r.randrange(2)
        ends = self.r.choice(self.clients), self.r.choice(self.servers)
        mine = self.r.choice(self.PHONES) if kind == "sip" else self.r.choice((41000, 41001))
        ports, way, data = (mine, self.DATAGRAMS[kind]), 1 - 2 * side, self.said(kind, side, ends)
        self.frames.append(datagram(17, udp(*ports[::way], data), ends[::way]))

    def broadcast(self):
        """A request to all, and perhaps an answer of one."""
        r = self.r
        if self.six:
            return
        asker, other = r.sample(self.clients + self.servers, 2)
        dport, sport = r.choice((137, 161)), r.choice((137, 45000, 45001))
        everybody = r.choice(("10.6.0.255", "10.6.0.255", "255.255.255.255", other))
        self.frames.append(datagram(17, udp(sport, dport, b"\0\1who?"), (asker, everybody)))
        for _ in range(r.choice((0, 1, 2))):
            answers = r.choice(((dport, sport), (dport, sport), (45002, sport)))
            self.frames.append(datagram(17, udp(*answers, b"\0\1me"), (r.choice((other, "10.6.1.9")), asker)))

    def arrival(self):
        """What somebody may expect, or nobody."""
        r = self.r
        a, b = r.choice(((r.choice(self.servers), r.choice(self.clients)), (r.choice(self.clients), r.choice(self.servers)),
                         tuple(r.sample(self.clients, 2))))
        sport, dport = r.choice((20, 45000, 45001, 5060) + self.PORTS), r.choice(self.PORTS)
        kind = r.randrange(4)
        if kind == 0:
            talk = Talk(dport, (a, b), self.frames, opened=False)
            talk.ports = (sport, dport)
            talk.open()
            if r.random() < 0.7:
                # It may have been given a helper.
                self.streams.append((r.choice(("sip-tcp", "media", "calls")), talk))
        elif kind == 1 and not self.six:
            body = struct.pack(">HHHHI", 0x3001, 0x880B, 4, r.choice((7, 8, 9)), 1) + b"ppp!"
            self.frames.append(datagram(47, body, (a, b)))
        else:
            data = self.said("sip", 0, (a, b)) if dport == 5060 else b"\x80\x08\0\1" + bytes(12)
            self.frames.append(datagram(17, udp(sport, dport, data), (a, b)))
            if r.random() < 0.5:
                self.frames.append(datagram(17, udp(dport, sport, data), (b, a)))

    def said(self, kind, side, ends):
        """What this side of a connection says; `ends` are client and server."""
        mine, other = ends[side], ends[1 - side]
        return getattr(self, kind.split("-")[0])(side, mine, other, kind.endswith("tcp"))

    def ftp(self, side, mine, other, _):
        r = self.r
        host, port = self.host(mine, other), self.port()
        if self.six:
            return (b"EPRT |2|%s|%d|\r\n" % (host.encode(), port), b"229 Entering Extended Passive Mode (|||%d|)\r\n" % port)[side]
        numbers = host.replace(".", ",").encode() + b",%d,%d" % (port >> 8, port & 255)
        if side == 0:
            return r.choice((b"PORT " + numbers + b"\r\n", b"EPRT |1|%s|%d|\r\n" % (host.encode(), port), b"NOOP\r\n"))
        return r.choice((b"227 Entering Passive Mode (" + numbers + b")\r\n", b"229 ok (|||%d|)\r\n" % port, b"226 ok\r\n"))

    def grown(self, mine, other, message):
        family = socket.AF_INET6 if self.six else socket.AF_INET
        mine, other = (socket.inet_pton(family, a) for a in (mine, other))
        for _ in range(20):
            data = Grower(self.types, self.r, mine, [other], self.PORTS).message(message)
            if len(data) < 1200:
                return data
        return b""

    def calls(self, _, mine, other, __):
        return call_message(self.grown(mine, other, "H323-UserInformation"), self.r)

    def media(self, _, mine, other, __):
        return per.tpkt(self.grown(mine, other, "MultimediaSystemControlMessage"))

    def ras(self, _, mine, other, __):
        return self.grown(mine, other, "RasMessage")

    def irc(self, side, mine, other, _):
        host = struct.unpack(">I", socket.inet_aton(self.host(mine, other)))[0]
        return b"PRIVMSG bob :\1DCC SEND f %d %d 9\1\r\n" % (host, self.port())

    def tftp(self, side, *_):
        return b"\0" + bytes([self.r.choice((1, 2, 3, 4))]) + b"f\0octet\0"

    def amanda(self, *_):
        return b"Amanda 2.4 REP HANDLE 000\nCONNECT DATA %d MESG %d INDEX %d\n" % (self.port(), self.port(), self.port())

    def sane(self, side, *_):
        return (b"\0\0\0\7\0\0\0\1", struct.pack(">II", 0, self.port()) + b"\0\0\0\0")[side]

    def pptp(self, side, *_):
        r = self.r
        a, b = r.choice((7, 8, 9)), r.choice((7, 8, 9))
        return r.choice((
            pptp(1, b"\1\0\0\0" + bytes(140)), pptp(2, b"\1\0\1\0" + bytes(140)), pptp(7, struct.pack(">H", a) + bytes(154)),
            pptp(8, struct.pack(">HHBB", a, b, 1, 0) + bytes(14)), pptp(9, struct.pack(">HHII", a, 1, 3, 0) + bytes(196)),
            pptp(10, struct.pack(">HHBBHH", a, b, 1, 0, 64, 0) + bytes(4)), pptp(11, struct.pack(">HHIHHI", a, 0, 9600, 64, 0, 1)),
            pptp(12, struct.pack(">HH", a, 0)), pptp(13, struct.pack(">HHHHI", a, 0, 0, 0, 0) + bytes(128)), pptp(3, b"\1\0\0\0")))

    def sip(self, side, mine, other, tcp):
        r = self.r

        def named(host):
            return b"[%s]" % host.encode() if ":" in host else host.encode()

        answers = r.random() < 0.5
        if answers and (other, tcp) in self.asked and r.random() < 0.8:
            # An answer says again what was asked.
            method, cseq, contacts = self.asked[other, tcp]
        else:
            method = r.choice(self.METHODS)
            cseq = r.randrange(1, 9)
            contacts = [(self.host(mine, other), self.port()) for _ in range(r.choice((0, 1, 1, 1, 2)))]
        if not answers:
            self.asked[mine, tcp] = method, cseq, contacts
        lines = b"Via: SIP/2.0/UDP %s:%d\r\nCSeq: %d %s\r\n" % (named(mine), self.port(), cseq, method)
        for host, port in contacts:
            more = r.choice((b"", b"", b"", b";expires=60", b";expires=4", b";expires=2", b";expires=0", b";expires=x",
                             b";transport=tcp", b";transport=udp", b";transport=sctp"))
            lines += b"Contact: <sip:me@%s:%d>%s\r\n" % (named(host), port, more)
        if r.random() < self.LASTING:
            lines += b"Expires: %d\r\n" % r.choice((0, 1, 2, 4, 5, 60, 3600))
        body = b""
        if method in (b"INVITE", b"ACK", b"UPDATE", b"PRACK") and r.random() < 0.8:
            family = b"IP6" if self.six else b"IP4"

            def place():
                return b"c=IN %s %s\r\n" % (family, self.host(mine, other).encode())
            body = b"v=0\r\no=- 1 1 IN %s %s\r\ns=-\r\n" % (family, mine.encode()) + (place() if r.random() < 0.8 else b"")
            for _ in range(r.choice((0, 1, 1, 2, 3))):
                body += b"m=%s %d RTP/AVP 0\r\n" % (r.choice((b"audio", b"video", b"image", b"text")), self.port()) + \
                    (place() if r.random() < 0.3 else b"")
        if body or tcp or r.random() < 0.5:
            lines += b"Content-Length: %d\r\n" % len(body)
        if answers:
            first = b"SIP/2.0 %d word\r\n" % r.choice((100, 180, 183, 200, 200, 200, 200, 200, 202, 404, 487))
        else:
            first = b"%s sip:you@%s:%d SIP/2.0\r\n" % (method, named(other), self.port())
        return first + lines + b"\r\n" + body


class Registrar(Session):
    """Phones that register for seconds, and calls to them."""
    PORTS, STREAMS, DATAGRAMS = (5060, 5062), {"sip-tcp": 5060}, {"sip": 5060}
    PHONES, LASTING = (5060,), 0.95
    DEEDS = ("datagram",) * 6 + ("stream", "arrival")
    METHODS = (b"REGISTER",) * 8 + (b"INVITE", b"OPTIONS")


class Gatekeeper(Session):
    """Endpoints that register for seconds, and calls to them."""
    PORTS, STREAMS, DATAGRAMS = (1720, 5000), {"calls": 1720}, {"gate": 1719}
    DEEDS = ("datagram",) * 6 + ("stream", "arrival")

    def gate(self, side, mine, other, _):
        r, seq = self.r, self.r.randrange(1, 9)
        lasts = r.choice((None, (1, False), (2, False), (4, False), (5, False), (60, False), (60, True)))
        if side == 0:
            return r.choice((per.rrq(seq, self.host(mine, other), self.port(), 1719, lasts),) * 4 + (per.urq(seq, mine, 1720), ))
        return r.choice((per.rcf(seq, other, self.port(), lasts),) * 4 + (per.ucf(seq), per.acf(seq, self.host(mine, other), self.port())))


def mixed(types, r):
    """Frames of one such session."""
    return Session(types, r).frames


def registrar(types, r):
    """The same of SIP alone."""
    return Registrar(types, r).frames


def gatekeeper(types, r):
    """The same of H.323's registrations."""
    return Gatekeeper(types, r).frames
