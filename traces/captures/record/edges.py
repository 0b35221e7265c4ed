# SPDX-License-Identifier: GPL-2.0-only
"""Edges: sessions, made by hand, in which what a helper compares falls to either side. One comparison of a helper, turned round, and some
capture of these replays otherwise than the kernel did."""
import random
import socket
import struct

import per
from found import ACK, PUSH, RAW, RST, SIX, Talk, datagram, fragment, made, pptp, udp
from scenarios import scenario

SERVER = "10.0.0.1"


def talks(port):
    """Connections, each of another client, whose packets stand one behind the other."""
    frames, n = [], 0
    while True:
        n += 1
        yield Talk(port, ("1.0.%d.2" % n, SERVER), frames)


def picked_up(port, frames):
    """A connection whose beginning nobody saw."""
    return Talk(port, ("1.0.199.2", SERVER), frames, opened=False)


def number(addr):
    return b"%d" % struct.unpack(">I", socket.inet_aton(addr))


# PPTP.

def session(t, answer=1):
    t.client(pptp(1, b"\1\0\0\0" + bytes(140)))
    t.server(pptp(2, b"\1\0" + bytes([answer, 0]) + bytes(140)))


def streams(t, call, peer):
    """GRE either way: to the server it carries the server's number."""
    for ends, key in ((t.ends, call), (t.ends[::-1], peer)):
        t.frames.append(datagram(47, struct.pack(">HHHHI", 0x3001, 0x880B, 4, key, 1) + b"ppp!", ends))


def incoming(t, call=7, peer=8, answered=None, answer=1, connected=None):
    """The server calls: it asks, is answered, is connected."""
    t.server(pptp(9, struct.pack(">HHII", call, 1, 3, 0) + bytes(196)))
    t.client(pptp(10, struct.pack(">HHBBHH", peer, call if answered is None else answered, answer, 0, 64, 0) + bytes(4)))
    t.server(pptp(11, struct.pack(">HHIHHI", peer if connected is None else connected, 0, 9600, 64, 0, 1)))


def outgoing(t, call=7, peer=8, named=None, answer=1, asked=True):
    if asked:
        t.client(pptp(7, struct.pack(">H", peer) + bytes(154)))
    t.server(pptp(8, struct.pack(">HHBB", call, peer if named is None else named, answer, 0) + bytes(14)))


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_pptp_calls():
    """PPTP: calls from the server and from the client, refused, connected under a wrong number, before there is a session, twice"""
    all_of = talks(1723)
    ways = ({}, {"answered": 9}, {"answer": 2}, {"connected": 9}, {"call": 0}, {"peer": 0})
    for how in ways:
        t = next(all_of)
        session(t)
        incoming(t, **how)
        streams(t, how.get("call", 7), how.get("peer", 8))
    for how in ({}, {"named": 9}, {"answer": 2}, {"asked": False}, {"call": 0}):
        t = next(all_of)
        session(t)
        outgoing(t, **how)
        streams(t, how.get("call", 7), how.get("peer", 8))
    for call in (incoming, outgoing):
        # Nobody asked for a session; it was refused, and then was not.
        t = next(all_of)
        call(t)
        session(t, 2)
        call(t)
        session(t)
        call(t)
        # A session that was to stop, and did, and did not.
        for answer in (2, 1):
            t = next(all_of)
            session(t)
            t.client(pptp(3, bytes([1, 0, 0, 0])))
            call(t)
            t.server(pptp(4, bytes([answer, 0, 0, 0])))
            call(t, 17, 18)
        # Twice under one number, under others, and after the first was hung up, by either side.
        for hung_up, again in ((None, (7, 8)), (None, (17, 18)), (13, (7, 8)), (13, (17, 18)), (12, (17, 18))):
            t = next(all_of)
            session(t)
            call(t)
            if hung_up == 13:
                t.server(pptp(13, struct.pack(">HBBHH", 7, 4, 0, 0, 0) + bytes(128)))
            elif hung_up == 12:
                t.client(pptp(12, struct.pack(">HH", 8, 0)))
            call(t, *again)
            streams(t, *again)
        # Connected, and refused at last.
        t = next(all_of)
        session(t)
        call(t)
        call(t, answer=2)
        t.server(pptp(11, struct.pack(">HHIHHI", 8, 0, 9600, 64, 0, 1)))
    # What no call is: no longer, in a session that is to stop, under no number, answered once more under another.
    connected = pptp(11, struct.pack(">HHIHHI", 8, 0, 9600, 64, 0, 1))
    for call, last in ((incoming, connected), (outgoing, pptp(8, struct.pack(">HHBB", 7, 8, 1, 0) + bytes(14)))):
        for between in (pptp(13, struct.pack(">HBBHH", 7, 4, 0, 0, 0) + bytes(128)), pptp(10, struct.pack(">HHBBHH", 28, 7, 1, 0, 64, 0) + bytes(4))):
            t = next(all_of)
            session(t)
            call(t)
            t.segment(0 if between[9] == 10 else 1, ACK | PUSH, between)
            t.server(last)
            t.server(connected.replace(b"\0\x08", b"\0\x1c", 1))
            streams(t, 7, 8)
        for stopped in (False, True):
            t = next(all_of)
            if stopped:
                session(t)
                call(t, answer=2)
                t.client(pptp(7, struct.pack(">H", 8) + bytes(154)))
                t.server(pptp(9, struct.pack(">HHII", 7, 1, 3, 0) + bytes(196)))
                t.client(pptp(10, struct.pack(">HHBBHH", 8, 7, 1, 0, 64, 0) + bytes(4)))
                t.client(pptp(3, bytes([1, 0, 0, 0])))
            t.server(last)
        t = next(all_of)
        session(t)
        call(t, peer=0, **({"asked": False} if call is outgoing else {}))
        streams(t, 7, 0)
    # A message of another magic, of management, of no length, and each longer than it says.
    for message in (pptp(1, b"\1\0\0\0" + bytes(140)), pptp(7, struct.pack(">H", 8) + bytes(154))):
        for at, byte in ((3, 2), (4, 0), (1, 0), (1, 11), (9, 0)):
            t = next(all_of)
            if message[9] == 7:
                session(t)
            t.client(message[:at] + bytes([byte]) + message[at + 1:])
            if message[9] == 1:
                t.server(pptp(2, b"\1\0\1\0" + bytes(140)))
                outgoing(t)
            else:
                outgoing(t, asked=False)
    return made(t.frames)


@scenario("edges", "own-packets", link=RAW, made=True, expect_max=1)
def edge_pptp_one_stream():
    """PPTP: one stream may be expected, the other is refused, and so neither is"""
    t = Talk(1723)
    session(t)
    outgoing(t)
    streams(t, 7, 8)
    return made(t.frames)


# IRC.

@scenario("edges", "own-packets", link=RAW, made=True)
def edge_irc_lengths():
    """IRC: announcements that just fit and just do not, before anybody answered, and by the server"""
    all_of = talks(6667)
    frames = next(all_of).frames
    for opened in (False, True):
        # Picked up on its way, it is no connection until the other side has spoken.
        t = next(all_of) if opened else picked_up(6667, frames)
        line = b"PRIVMSG b :\1DCC SEND f " + number(t.ends[0]) + b" 5001 1\1\r\n"
        t.client(line)
        t.client(line.replace(b"5001", b"5002"))
        t.segment(1, ACK)
        t.client(line.replace(b"5001", b"5003"))
    for whose, side in (("2", 0), ("2", 1), ("1", 1)):
        t = next(all_of)
        own = number(t.ends[0] if whose == "2" else t.ends[1])
        t.segment(side, ACK | PUSH, b"PRIVMSG b :\1DCC SEND f " + own + b" 5004 1\1\r\n")
    for protocol in (b"SEND", b"CHAT"):
        for name in (b"", b"f", b"ff"):
            for end in (b" 5\1\n", b" 5\n", b" 5\1\r\n", b" 50\1\n", b"  5\n", b" 5", b" \n", b"\n"):
                t = next(all_of)
                t.client(b"PRIVMSG b :\1DCC " + protocol + b" " + name + b" " + number(t.ends[0]) + end)
    # Too short for PRIVMSG, and just long enough; blanks before it.
    for begin in (b"", b"\r\n ", b" " * 9, b" " * 10, b"\n" * 40):
        for rest in (b"PRIVMSG b", b"PRIVMSG bo", b"PRIVMSG bob", b"PRIVMSG", b""):
            for end in (b"", b" :\1DCC SEND f %s 5005\1\n"):
                t = next(all_of)
                t.client(begin + rest + (end % number(t.ends[0]) if end else b"") or b"\n")
    # Only the beginning is searched, and what begins there may end behind.
    for pad in range(4040, 4100, 3):
        t = next(all_of)
        t.client(b"PRIVMSG " + b"b" * pad + b" :\1DCC SEND f " + number(t.ends[0]) + b" 5006 1\1\r\n")
    return made(frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_irc_short():
    """IRC: announcements of the least length, behind names that just leave room for one, and what stands between their numbers"""
    all_of = talks(6667)
    for name in (0, 3, 4, 5):
        for between in (b" ", b"  ", b"", b" x"):
            for port in (b"5", b"50", b"65537", b""):
                for end in (b"\n", b"\1\n", b""):
                    t = next(all_of)
                    t.client(b"PRIVMSG b :\1DCC CHAT " + b"c" * name + b" " + number(t.ends[0]) + between + port + end)
    for protocol in (b"SEND", b"CHAT", b"MOVE", b"TSEND", b"SCHAT"):
        for begin in (b"PRIVMSG b :\1DCC ", b"privmsg b :\1DCC ", b"PRIVMSG b : \1DCC ", b"PRIVMSG b :x\1DCC ", b"PRIVMSG b :\1dcc ", b"NOTICE b :\1DCC ",
                      b"PRIVMSG :\1DCC ", b"PRIVMSG b c d :\1DCC ", b"PRIVMSG b:\1DCC ", b"PRIVMSG b :\1DCC x :\1DCC "):
            t = next(all_of)
            t.client(begin + protocol + b" f " + number(t.ends[0]) + b" 5000 1\1\r\n")
    return made(t.frames)


# FTP.

@scenario("edges", "own-packets", link=RAW, made=True)
def edge_ftp_delimiters():
    """FTP: delimiters that are none, that change, that nothing follows, and numbers that nothing ends"""
    all_of = talks(21)
    for delimiter in (b"|", b"!", b"~", b" ", b"\x7f", b"0", b"9", b"/", b":", b"\t", b"\xff"):
        t = next(all_of)
        addr = t.ends[0].encode()
        t.client(b"USER me\r\n")
        t.server(b"220 hello\r\n")
        t.client(b"EPRT " + delimiter + b"1" + delimiter + addr + delimiter + b"5001" + delimiter + b"\r\n")
        t.server(b"229 ok (" + delimiter * 3 + b"5002" + delimiter + b")\r\n")
    for last in (b"EPRT |1!A|5001|\r\n", b"EPRT |1|A!5001|\r\n", b"EPRT |1|A|5001!\r\n", b"EPRT |1|A|5001\r\n", b"EPRT |1|A|", b"EPRT |1|",
                 b"EPRT |1", b"EPRT |", b"EPRT |3|A|5001|\r\n", b"EPRT |1|A||\r\n", b"EPRT |1|A|50x1|\r\n", b"PORT 1,0,0", b"PORT 1,0,0,2,4,1",
                 b"PORT 1,0,0,2,4,1\r", b"PORT 1,0,0,2,4,1,9\r\n", b"PORT 1,0,0,2,4\r\n", b"PORT ,,,,,\r\n", b"port 1,0,0,2,4,1 \r\n"):
        t = next(all_of)
        t.client(b"USER me\r\n")
        t.client(last.replace(b"A", t.ends[0].encode()).replace(b"1,0,0,2", t.ends[0].replace(".", ",").encode()))
    for last in (b"229 (||!5002|)\r\n", b"229 (|!|5002|)\r\n", b"229 (!||5002|)\r\n", b"229 (|||", b"229 (||", b"229 (|", b"229 (", b"229 |||5002|\r\n",
                 b"229 (|||5002!)\r\n", b"229 (|||5002", b"229 (|||0|)\r\n", b"229 (|||x|)\r\n", b"227 (", b"227 10,0,0,1,4,1\r\n", b"227 =10,0,0,1,4,1\r\n",
                 b"227 (10,0,0,1,4,1", b"227 (10,0,0,1,4)\r\n", b"227 (x10,0,0,1,4,1)\r\n", b"227 ()\r\n"):
        t = next(all_of)
        t.server(b"220 hello\r\n")
        t.server(last)
    return made(t.frames)


# SANE.

@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sane_in_between():
    """SANE: what comes between a request and its answer, and answers that are a byte too short or refuse"""
    all_of = talks(6566)
    asks, answer = b"\0\0\0\7\0\0\0\1", b"\0\0\0\0\0\0\x13\x88\0"
    for between in (None, (1, b""), (0, b""), (1, b"x"), (0, b"x"), (0, b"\0\0\0\7"), (0, b"\0\0\0\5\0\0\0\1"), (0, asks + b"x")):
        t = next(all_of)
        t.client(asks)
        if between:
            t.segment(between[0], ACK, between[1])
        t.server(answer)
    for before in (asks + b"x", asks[:7], asks[:4]):
        t = next(all_of)
        t.client(before)
        t.server(answer)
    for n in (4, 7, 8):
        t = next(all_of)
        t.client(asks)
        t.server(answer[:n])
    for at in range(6):
        t = next(all_of)
        t.client(asks)
        t.server(answer[:at] + b"\1" + answer[at + 1:])
    t = picked_up(6566, t.frames)
    for _ in range(2):
        t.client(asks)
    t.server(answer)
    return made(t.frames)


# Amanda.

@scenario("edges", "own-packets", link=RAW, made=True)
def edge_amanda_streams():
    """Amanda: streams without a number, with too many digits, in another order, expected already, asked for by the wrong side"""
    frames = []
    lines = (b"DATA 1000 MESG 1001 INDEX 1002", b"DATA 0 MESG 1001", b"DATA x MESG 1001", b"MESG 1001 DATA 1000", b"DATA 123456", b"DATA 65535 MESG 65536 INDEX 7",
             b"DATA 1000 DATA 1001", b"data 1000", b"DATA1000", b"DATA  1000", b"STATE 1003", b"xDATA 1000", b"INDEX 1002 MESG 1002", b"")
    for n, line in enumerate(lines):
        ends = "1.0.%d.2" % n, SERVER
        for end in (b"\nOPTIONS ;\n", b"\n", b""):
            for head in (b"SEQ 1\nCONNECT ", b"CONNECT"):
                frames.append(datagram(17, udp(1000, 10080, head + line + end), ends))
                frames.append(datagram(17, udp(10080, 1000, head + line + end), ends[::-1]))
        # Another connection of both expects the same: it is refused, and the packet is dropped.
        frames.append(datagram(17, udp(1001, 10080, b"x"), ends))
        frames.append(datagram(17, udp(10080, 1001, b"CONNECT " + line + b"\n"), ends[::-1]))
    return made(frames)


# SIP.

def message(first, *headers, sdp=b"", cseq=b"CSeq: 1 INVITE"):
    head = b"\r\n".join((first, *(h for h in (cseq, *headers) if h)))
    return head + b"\r\n\r\n" + sdp


def offer(addr, *media, first=b"INVITE sip:x SIP/2.0", cseq=b"CSeq: 1 INVITE"):
    family = b"IP6 " if ":" in addr else b"IP4 "
    lines = (b"v=0", b"c=IN " + family + addr.encode(), *media)
    return message(first, sdp=b"\r\n".join(lines) + b"\r\n", cseq=cseq)


AUDIO = b"m=audio 6000 RTP/AVP 0"


class Phones:
    """Datagrams of SIP, each client with an address of its own."""

    def __init__(self):
        self.frames, self.n = [], 0

    def next(self):
        self.n += 1
        return "1.0.%d.2" % self.n

    def say(self, addr, text, back=False, port=5060):
        ends = (addr, SERVER) if "." in addr else (addr, SIX[1])
        self.frames.append(datagram(17, udp(5060, port, text) if not back else udp(port, 5060, text), ends[::-1] if back else ends))

    def both(self, ask, answer):
        """A call, in each of whose two messages something stands."""
        addr = self.next()
        self.say(addr, ask(addr))
        self.say(addr, answer(addr), back=True)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_answers():
    """SIP: answers that announce and that do not, by code, method and number; messages of the least length"""
    p = Phones()
    for code in (b"000", b"099", b"100", b"183", b"200", b"299", b"300", b"486"):
        for cseq in (b"1 INVITE", b"2 INVITE", b"1 UPDATE", b"1 PRACK", b"1 ACK", b"1 BYE", b"1 CANCEL", b"1INVITE", b"1", b"x INVITE"):
            first = b"SIP/2.0 " + code + b" what"
            p.both(lambda a: offer(a, AUDIO), lambda a, first=first, cseq=cseq: offer(
                SERVER, b"m=audio 7000 RTP/AVP 0", first=first, cseq=b"CSeq: " + cseq))
    for first in (b"INVITE", b"UPDATE", b"ACK", b"PRACK", b"BYE", b"CANCEL", b"REGISTER", b"invite", b"INVITED"):
        for space in (b" sip:x SIP/2.0", b"  sip:x SIP/2.0", b"\tsip:x SIP/2.0", b" 1 SIP/2.0", b" \xe4 SIP/2.0"):
            p.say(p.next(), offer("1.0.%d.2" % p.n, AUDIO, first=first + space))
    for n in range(8, 14):
        p.say(p.next(), b"SIP/2.0 200 OK"[:n])
        p.say(p.next(), b"SIP/2.0 000 OK"[:n])
        p.say(p.next(), b"INVITE s:x SIP"[:n])
        p.say(p.next(), b"REGISTER s SIP"[:n])
    return made(p.frames)


def register(addr, contact, *more, first=b"REGISTER sip:x SIP/2.0", cseq=b"CSeq: 1 REGISTER"):
    return message(first, *more, contact.replace(b"A", addr.encode()), cseq=cseq)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_registrations():
    """SIP: registrations with ports at their ends, times here and there, and answers of every kind"""
    p = Phones()
    ports = (b"", b":", b":1", b":1023", b":1024", b":1025", b":5062", b":65535", b":65536", b":99999", b":100000", b":012345", b":001024", b":x")
    for port in ports:
        for end in (b">", b";transport=udp>", b""):
            p.both(lambda a, e=port + end: register(a, b"Contact: <sip:me@A" + e, b"Expires: 60"),
                   lambda a, e=port + end: register(a, b"Contact: <sip:me@A" + e, b"Expires: 60", first=b"SIP/2.0 200 OK"))
    times = (b"", b";expires=0", b";expires=", b";expires=x", b";expires=700", b";expires=4294967295", b";expires=4294967296", b";transport=tcp",
             b";transport=udp;expires=900", b", <sip:me@A:5063>;expires=0")
    for time in times:
        for header in (b"", b"Expires: 0", b"Expires: 60", b"Expires:", b"Expires: x"):
            p.both(lambda a, t=time, h=header: register(a, b"Contact: <sip:me@A:5062>" + t, h),
                   lambda a, t=time, h=header: register(a, b"Contact: <sip:me@A:5062>" + t, h, first=b"SIP/2.0 200 OK"))
    for code in (b"100", b"199", b"200", b"299", b"300", b"401"):
        for cseq in (b"1 REGISTER", b"2 REGISTER", b"1 register", b"1 INVITE"):
            for contact in (b"Contact: <sip:me@A:5062>;expires=90", b"Contact: <sip:me@10.9.9.9:5062>;expires=90", b"Contact: *", b""):
                p.both(lambda a: register(a, b"Contact: <sip:me@A:5062>", b"Expires: 60"),
                       lambda a, c=code, s=cseq, t=contact: register(a, t, first=b"SIP/2.0 " + c + b" OK", cseq=b"CSeq: " + s))
    return made(p.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_parameters():
    """SIP: transports and times of a registration before, within and behind its contact, in what asks and in what answers"""
    p = Phones()
    plain = b"Contact: <sip:me@A:5062>"
    places = (b"Contact: <sip:meP@A:5062>", b"Contact: \"meP\" <sip:me@A:5062>", b"Contact: P <sip:me@A:5062>", b"Contact: <sip:me@A:5062P>",
              b"Contact: <sip:me@A:5062>P", b"Contact: <sip:me@A:5062>, <sip:me@A:5063>P", b"Contact: <sip:me@A:5063>P, <sip:me@A:5062>",
              b"Contact: <sip:me@9.9.9.9:5062>P, <sip:me@A:5062>", b"Contact: <sip:me@A:5062>\r\nX: P", b"X: P\r\nContact: <sip:me@A:5062>")
    for of in (b";transport=udp", b";transport=tcp", b";TRANSPORT=TCP", b";transport=ud", b";transport=sctp", b"transport=tcp", b";expires=0",
               b";expires=90", b";expires=x", b"expires=0"):
        for place in places:
            there = place.replace(b"P", of)
            p.both(lambda a: register(a, there, b"Expires: 60"), lambda a: register(a, plain, b"Expires: 60", first=b"SIP/2.0 200 OK"))
            p.both(lambda a: register(a, plain, b"Expires: 60"), lambda a: register(a, there, b"Expires: 60", first=b"SIP/2.0 200 OK"))
    return made(p.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_lines():
    """SIP: headers that go on in the next line, end with the packet, are written short, and stand where none is looked for"""
    p = Phones()
    head, tail = b"REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\nExpires: 60\r\n", b"\r\nTo: x\r\n\r\n"
    for contact in (b"Contact: sip:A:5062", b"Contact:sip:A:5062", b"Contact : sip:A:5062", b"Contact\t:\tsip:A:5062", b"Contact:\r\n sip:A:5062",
                    b"Contact\r\n : sip:A:5062", b"Contact:\r\n\t \t sip:A:5062", b"Contact:\r\nsip:A:5062", b"Contact:\n sip:A:5062",
                    b"Contact:\r sip:A:5062", b"Contact: <\r\n sip:A:5062", b"Contact: <\r\n  sip:A:5062", b"m: sip:A:5062", b"M:sip:A:5062",
                    b"m : sip:A:5062", b"m; sip:A:5062", b"mx: sip:A:5062", b"m\xe4: sip:A:5062", b"contact: SIP:A:5062", b"Contacts: sip:A:5062",
                    b"Contact: sips:A:5062", b"Contact: tel:1", b"Contact: sip:a@b@A:5062", b"Contact: sip:me@A", b"Contact: sip:@A:5062",
                    b"To: Contact: sip:A:5062", b"\tContact: sip:A:5062", b"To: <sip:1.2.3.4:1>\r\n Contact: sip:A:5062",
                    b"Contact: sip:9.9.9.9:5060, sip:A:5062", b"Contact: sip:9.9.9.9:5060\r\nContact: sip:A:5062", b"Contact: sip:x, sip:A:5062",
                    b"Contact: sip:9.9.9.9:1,\r\n sip:A:5062", b"Contact: sip:9.9.9.9:5060,sip:A:5062", b"Contact: sip:9.9.9.9:5060 , \t sip:A:5062"):
        addr = p.next()
        p.say(addr, head + contact.replace(b"A", addr.encode()) + tail)
    whole = head + b"Contact: <sip:me@A:5062>" + tail
    for cut in range(1, 30):
        addr = p.next()
        p.say(addr, whole.replace(b"A", addr.encode())[:-cut])
    for end in (b"\r\nm", b"\r\nm:", b"\r\nm: ", b"\r\nm\r", b"\r\nContact", b"\r\nContact:", b"\r\nContact: ", b"\r\nContact:\r\n", b"\r\nContact:\r\n ",
                b"\r\nContact:\r", b"\r\nContact: sip:", b"\r\nContact: sip", b"\r", b"\n", b"\r\n", b"\r\n\r"):
        p.say(p.next(), head[:-2] + end)
    for cseq in (b"CSeq: 1 INVITE", b"CSeq:1 INVITE", b"CSeq :1 INVITE", b"CSeq:\r\n 1 INVITE", b"cseq: 1 INVITE", b"CSeq: INVITE", b"CSeq: 4294967295 INVITE",
                 b"CSeq: 4294967296 INVITE", b"CSeq: 00000000001 INVITE", b"CSeq: 000000000001 INVITE", b"CSeq 1 INVITE", b"X: 1"):
        p.both(lambda a, c=cseq: offer(a, AUDIO, cseq=c), lambda a, c=cseq: offer(SERVER, b"m=audio 7000 RTP/AVP 0", first=b"SIP/2.0 486 no", cseq=c))
    return made(p.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_media():
    """SIP: kinds of media and ports at their ends, addresses here and there, media announced twice and ones that clash"""
    p = Phones()
    for port in (b"0", b"1", b"1023", b"1024", b"1025", b"6001", b"65534", b"65535", b"65536", b"", b"x"):
        p.say(p.next(), offer("1.0.%d.2" % p.n, b"m=audio " + port + b" RTP/AVP 0"))
    for kind in (b"audio", b"video", b"image", b"text", b"AUDIO", b"audio2", b"audi", b"", b"audio\t", b"audio "):
        p.say(p.next(), offer("1.0.%d.2" % p.n, b"m=" + kind + b" 6000 RTP/AVP 0"))
    for lines in ((b"m=audio6000",), (b" m=audio 6000 x",), (b"M=audio 6000 x",), (AUDIO, b"c=IN IP4 A"), (AUDIO, b"c=IN IP4 9.9.9.9"),
                  (AUDIO, b"c=IN IP6 ::1"), (AUDIO, b"c=xx IN IP4 A"), (AUDIO, b"c=IN IP4  A"), (AUDIO, b"c=IN IP4 A/24"), (AUDIO, b"m=video 6000 x"),
                  (AUDIO, b"m=video 6002 x"), (AUDIO, b"m=image 6002 x", b"m=audio 6004 x"), (AUDIO, b"m=application 6002 x"), (b"v=1", AUDIO),
                  (b"m=audio 0 x", AUDIO), (AUDIO, b"m=audio 0 x"), (b"c=IN IP4 9.9.9.9", AUDIO)):
        addr = p.next()
        p.say(addr, offer(addr, *(line.replace(b"A", addr.encode()) for line in lines)))
    # The same once more, by the one, by the other, for a third; then hung up.
    for again in (b"INVITE", b"UPDATE", b"PRACK", b"ACK", b"BYE"):
        addr = p.next()
        p.say(addr, offer(addr, AUDIO))
        p.say(addr, offer(addr, AUDIO), back=True)
        p.say(p.next(), offer(addr, AUDIO))
        p.say(addr, offer(addr, AUDIO, first=again + b" sip:x SIP/2.0"))
    # A registration has the port of the second, or of the first.
    for port in (b"6001", b"6000"):
        addr = p.next()
        p.say(addr, register(addr, b"Contact: <sip:me@A:" + port + b">", b"Expires: 60"))
        p.say(addr, offer(addr, AUDIO))
        p.say(addr, offer(addr, b"m=audio 6004 RTP/AVP 0", b"m=video 6000 x"))
    # The address before the first line of media is missing, or is another family's.
    for text in (message(b"INVITE sip:x SIP/2.0", sdp=b"v=0\r\n" + AUDIO + b"\r\n"), message(b"INVITE sip:x SIP/2.0", sdp=AUDIO + b"\r\nc=IN IP4 A\r\n"),
                 message(b"INVITE sip:x SIP/2.0", sdp=b"v=0\r\nc=IN IP4 A"), message(b"INVITE sip:x SIP/2.0", sdp=b"v=0\r\nc=IN IP4 A\r\nm=audio 6000"),
                 message(b"INVITE sip:x SIP/2.0", sdp=b"v=\r\nc=IN IP4 A\r\n" + AUDIO)):
        addr = p.next()
        p.say(addr, text.replace(b"A", addr.encode()))
    return made(p.frames)


@scenario("edges", "own-packets", link=RAW, made=True, options="param=nf_conntrack_sip/sip_direct_media:0")
def edge_sip_clash():
    """SIP: media from anybody whose first or second port a registration has from its registrar only: neither is expected"""
    p = Phones()
    for port in (b"5999", b"6000", b"6001", b"6002"):
        addr = p.next()
        p.say(addr, register(addr, b"Contact: <sip:me@A:" + port + b">", b"Expires: 60"))
        p.say(addr, offer(addr, AUDIO))
        p.say(addr, offer(addr, b"m=audio 6004 RTP/AVP 0", b"m=video 6000 x", first=b"UPDATE sip:x SIP/2.0"))
        p.say(p.next(), offer(addr, b"m=audio 6004 RTP/AVP 0"))
    return made(p.frames)


@scenario("edges", "own-packets", link=RAW, family=6, made=True)
def edge_addresses():
    """IPv6 addresses with every number of groups before four bytes, with and without a gap"""
    frames, groups = [], b"fd91:1:2:3:4:5".split(b":")
    for n in range(7):
        for tail in (b"10.2.3.4", b":10.2.3.4", b"a02:304", b":a02:304", b"a02:10.2.3.4", b"10.2.3", b"10.2.3.4.5", b"10.2.3.256", b"10.2.3.04", b"10.2.3."):
            # The client is whoever this would be, so far as anybody can say.
            client = ":".join(["fd91", "1", "2", "3", "4", "5"][:n] + [""] * (n < 6) + ["a02:304"]) if n else "::a02:304"
            t = Talk(21, (client, SIX[1]), frames, opened=False)
            t.ports = (40000 + len(frames), 21)
            t.open()
            t.client(b"USER me\r\n")
            t.client(b"EPRT |2|" + b"".join(group + b":" for group in groups[:n]) + tail + b"|%d|\r\n" % t.ports[0])
    return made(frames)


@scenario("edges", "own-packets", link=RAW, family=6, made=True)
def edge_sip_brackets():
    """SIP over IPv6: brackets where they belong, are missing, open only, close only"""
    p = Phones()
    for n, form in enumerate((b"[A]:5062", b"A:5062", b"[A:5062", b"A]:5062", b"[A]", b"[A] :5062", b"[[A]]:5062", b"[A]x:5062", b"<[A]:5062>", b"[A]:1023")):
        addr = "fd91:1::%x" % (16 + n)
        p.say(addr, register(addr, b"Contact: <sip:me@" + form + b">", b"Expires: 60"))
        sdp = b"v=0\r\nc=IN IP6 " + form.partition(b":50")[0].replace(b"A", addr.encode()) + b"\r\n" + AUDIO + b"\r\n"
        p.say(addr, message(b"INVITE sip:x SIP/2.0", sdp=sdp))
        p.say(addr, offer(addr, b"m=audio 7000 x", b"c=IN IP4 10.0.0.1"))
    return made(p.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_streams():
    """SIP over TCP: messages before anybody answered, several in a segment, cut at every place, with lengths that lie"""
    all_of = talks(5060)

    def whole(addr, length=None, port=6000, name=b"Content-Length: "):
        sdp = b"v=0\r\nc=IN IP4 " + addr.encode() + b"\r\nm=audio %d x\r\n" % port
        return b"INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\n" + name + b"%d\r\n\r\n" % (len(sdp) if length is None else length) + sdp

    frames = next(all_of).frames
    t = picked_up(5060, frames)
    for port in (6000, 6002):
        t.client(whole(t.ends[0], port=port))
    t.segment(1, ACK)
    t.client(whole(t.ends[0], port=6004))

    for by in (-2, -1, 0, 1, 2, 1000, 4294967295 - 60):
        t = next(all_of)
        size = len(whole(t.ends[0])) - whole(t.ends[0]).index(b"v=0")
        t.client(whole(t.ends[0], size + by) + whole(t.ends[0], port=6010))
    for n in (1, 4, 30, 42, 60, 61, 62, 63, 64, 66, 90):
        t = next(all_of)
        text = whole(t.ends[0])
        t.client(text[:-n])
        t.client(text[-n:] + whole(t.ends[0], port=6020))
    for name in (b"l: ", b"L:", b"Content-Length:", b"content-length : ", b"Content-Length: x", b"Content-Lengths: ", b"X: "):
        t = next(all_of)
        t.client(whole(t.ends[0], name=name))
    t = next(all_of)
    t.client(b"".join(whole(t.ends[0], port=6030 + 2 * n) for n in range(4)) + b"INVITE sip:x SIP/2.0\r\n")
    t = next(all_of)
    t.client(whole(t.ends[0]).replace(b"CSeq: 1", b"CSeq: x"))
    return made(frames)


# H.323.

def spoilt(message, at):
    """A message cut before a byte, and with a bit of it turned, each eighth byte the same."""
    return message[:at], message[:at] + bytes([message[at] ^ 0x80 >> at % 8]) + message[at + 1:]


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_ras_bits():
    """RAS: requests and answers cut before each byte, and with a bit of each byte turned"""
    frames, n = [], 0

    def pairs(me):
        return ((per.grq(1, me, 1719), per.gcf(1, SERVER, 1819)), (per.rrq(2, me, 1720, 1719, (9000, False)), per.rcf(2, me, 1720, (9000, False))),
                (per.arq(3, me, 1720), per.acf(3, SERVER, 1721)), (per.urq(4, me, 1720), per.lcf(4, SERVER, 1722, 1723)))
    for place, which in ((1, 0), (1, 1), (2, 1), (0, 1), (3, 1)):
        for at in range(len(pairs("1.0.0.2")[place][which])):
            for how in (0, 1):
                n += 1
                me = "1.%d.%d.2" % (n >> 8, n & 255)
                both = list(pairs(me)[place])
                both[which] = spoilt(both[which], at)[how]
                frames.append(datagram(17, udp(1719, 1719, both[0]), (me, SERVER)))
                frames.append(datagram(17, udp(1719, 1719, both[1]), (SERVER, me)))
    return made(frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_q931_bits():
    """Q.931: what a call says, cut before each byte, and with a bit of each byte turned; lengths that lie, and packets in parts"""
    all_of = talks(1720)
    kinds = (lambda a, n: per.setup(h245=(a, n), channels=[per.channel(1, 1, (a, n + 1), (a, n + 2)).bytes()]),
             lambda a, n: per.call_proceeding((a, n)), lambda a, n: per.connect((a, n), [per.channel(1, 1, (a, n + 1), (a, n + 2)).bytes()]),
             lambda a, n: per.facility((a, n)))
    for kind in kinds:
        for at in range(len(kind("1.0.0.2", 5000)) - 4):
            t = next(all_of)
            for how in (0, 1):
                message = kind(t.ends[0], 5000 + 10 * how)[4:]
                t.client(per.tpkt(spoilt(message, at)[how]))
    whole = kinds[1]
    for by in (-100, -5, -4, -1, 0, 1, 4, 1000):
        t = next(all_of)
        m = whole(t.ends[0], 5000)
        length = max(0, len(m) + by)
        t.client(struct.pack(">BBH", 3, 0, length) + m[4:])
        t.client(whole(t.ends[0], 5010) + struct.pack(">BBH", 3, 0, length) + m[4:] + whole(t.ends[0], 5020))
    for n in (1, 3, 4, 5, 9):
        t = next(all_of)
        m = whole(t.ends[0], 5000)
        for part in (m[:n], m[n:], m[:4], m[4:], m[:4], m[4:-1], m[-1:], m + m[:n], m[n:] + m, m[:4], m[4:] + m, m):
            t.client(part)
    return made(t.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_q931_lists():
    """Q.931: call references of every length, kinds of two bytes, elements in front, and lists as long as they may be, and longer"""
    all_of = talks(1720)
    body = lambda a, n: per.call_proceeding((a, n))[4 + 5:]
    heads = [b"\x08" + bytes([n]) + bytes(range(0x7d, 0x7d + m)) for n in range(5) for m in (n, n + 1, max(n - 1, 0))]
    for head in heads:
        for kind in (b"\x02", b"\x82\x00", b"\x82", b"\x7e", b"\xfe\x7e"):
            t = next(all_of)
            t.client(per.tpkt(head + kind + body(t.ends[0], 5000)))
    for front in (b"\x04\x03abc", b"\x04\x00", b"\x04", b"\xa1", b"\xa1\x00", b"\x7d\x01\x7e", b"\x7e\x00\x00", b"\x7e\x00\x01", b"\x04\xff"):
        t = next(all_of)
        t.client(per.tpkt(b"\x08\x02\x00\x01\x02" + front + body(t.ends[0], 5000)))
    channels = lambda a, count: [per.channel(1, 1, (a, 6000 + 2 * n), (a, 6001 + 2 * n)).bytes() for n in range(count)]
    for count in (29, 30, 31):
        t = next(all_of)
        t.client(per.setup(channels=channels(t.ends[0], count)))
    return made(t.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_h245_bits():
    """H.245: channels opened and acknowledged, cut before each byte, and with a bit of each byte turned"""
    frames = next(talks(1720)).frames
    for n, kind in enumerate((per.open_channel, per.open_channel_ack)):
        me = "1.0.%d.2" % (10 + n)
        signal, control = Talk(1720, (me, SERVER), frames), Talk(5200, (me, SERVER), frames, opened=False)
        signal.server(per.connect((SERVER, 5200)))
        control.open()
        for at in range(len(kind(1, 1, (me, 7000), (me, 7001))) - 4):
            for how in (0, 1):
                port = 7000 + 4 * at + 2 * how
                message = kind(1, 1, (me, port), (me, port + 1))[4:]
                control.client(per.tpkt(spoilt(message, at)[how]))
    return made(frames)


# Fragments.

PARTS = ((0, 16, True), (16, 16, True), (32, 8, False), (8, 16, True), (16, 24, False), (0, 8, True), (24, 16, False), (16, 8, True), (32, 13, True),
         (16, 0, True), (16, 0, False), (40, 8, False), (0, 40, False), (32, 5, False), (8, 3, True), (65520, 8, True), (65528, 8, False))


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_fragments():
    """Fragments of requests of TFTP: overlapping, repeated, empty, of no whole eight bytes, beyond the end, over both families"""
    r, frames = random.Random(1), []
    whole = udp(4000, 69, b"\0\1some-name\0octet\0".ljust(32, b"\0"))
    for n in range(320):
        parts = r.sample(PARTS[:4], r.choice((2, 3, 4))) if n % 4 == 0 else r.choices(PARTS, k=r.choice((2, 3, 4, 5)))
        if n % 2:
            parts = [*parts[:2], *r.sample(((0, 16, True), (16, 16, True), (32, 8, False)), 3), *parts[2:]]
        for place, length, more in parts:
            body = whole[place:place + length].ljust(length, b"\0")
            if n % 3:
                frames.append(fragment(n, place, more, body, ("1.0.%d.2" % (n % 250), "10.0.%d.1" % (n // 250))))
            else:
                kind = 17 if r.random() < 0.9 else 6
                frames.append(datagram(44, struct.pack(">BBHI", kind, 0, place | more, n) + body, ("fd91:1::%x" % (n + 2), SIX[1])))
    return made(frames)


# Too late, and too far.

NO_TIME = "sysctl=nf_conntrack_gre_timeout:0;sysctl=nf_conntrack_gre_timeout_stream:0"


@scenario("edges", "own-packets", link=RAW, made=True, options=NO_TIME)
def edge_pptp_late():
    """PPTP: a call hung up, or its session begun anew, when its streams are past their timeout and others are expected or not"""
    all_of = talks(1723)
    for hung_up, again in ((True, False), (True, True), (False, False), (False, True)):
        t = next(all_of)
        session(t)
        outgoing(t)
        streams(t, 7, 8)
        if again:
            t.server(pptp(8, struct.pack(">HHBB", 7, 8, 1, 0) + bytes(14)))
        if hung_up:
            t.server(pptp(13, struct.pack(">HBBHH", 7, 4, 0, 0, 0) + bytes(128)))
        else:
            t.segment(0, RST | ACK)
            t.open((90000, 95000))
    return made(t.frames)


@scenario("edges", "own-packets", link=RAW, made=True)
def edge_sip_behind():
    """SIP over TCP: a transport's name that goes on behind the end of its message"""
    all_of = talks(5060)
    for name, cut in ((name, cut) for name in (b"tcp", b"TCP", b"udp", b"tcq") for cut in range(4)):
        t = next(all_of)
        contact = b"Contact: <sip:me@%s:5062>;transport=%s" % (t.ends[0].encode(), name)
        head = b"REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\nExpires: 60\r\nContent-Length: %d\r\n\r\n" % (len(contact) - cut)
        t.client(head + contact + b" and more\r\n")
    return made(t.frames)
