# SPDX-License-Identifier: GPL-2.0-only
"""What is recorded of H.323. No server of Debian's speaks it any more, so both sides are scripts; their messages are in
the protocol's own encoding (`per.py`), their connections and datagrams are real."""
import socket
import time

import per
from scenarios import scenario

Q931, RAS = ("Q.931", "tcp", 1720), ("RAS", "udp", 1719)
HELPERS = (Q931, RAS)
ANY = {"any-caller": "param=nf_conntrack_h323/gkrouted_only:0"}


def family(lab):
    return socket.AF_INET if lab.family == 4 else socket.AF_INET6


def listen(lab, node, port):
    with lab.inside(node):
        s = socket.create_server((lab.addr(node), port), family=family(lab))
    s.settimeout(10)
    return s


def call_to(lab, node, addr, port):
    with lab.inside(node):
        s = socket.create_connection((addr, port), 10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def say(a, b, *messages):
    """Messages from one side to the other, each heard before the next."""
    for m in messages:
        a.sendall(m)
        got = b""
        while len(got) < len(m):
            got += b.recv(4096)


def datagram(lab, node, port):
    with lab.inside(node):
        s = socket.socket(family(lab), socket.SOCK_DGRAM)
    s.bind((lab.addr(node), port))
    s.settimeout(10)
    return s


def media(lab, port_a, port_b):
    """A packet of voice and one of its control each way."""
    for n in (0, 1):
        a, b = datagram(lab, "client", port_a + n), datagram(lab, "server", port_b + n)
        for x, y in ((a, b), (b, a)):
            x.sendto(b"\x80\x08\0\1" + bytes(20), y.getsockname()[:2])
            y.recv(4096)
        a.close()
        b.close()


def h245(lab, control):
    """The control channel: one channel each way, then voice."""
    me, peer = lab.addr("client"), lab.addr("server")
    a = call_to(lab, "client", peer, control.getsockname()[1])
    b, _ = control.accept()
    say(a, b, per.open_channel(1, 1, control=(me, 7001)))
    say(b, a, per.open_channel_ack(1, 1, (peer, 6000), (peer, 6001)), per.open_channel(1, 1, control=(peer, 6001)))
    say(a, b, per.open_channel_ack(1, 1, (me, 7000), (me, 7001)))
    media(lab, 7000, 6000)
    a.close()
    b.close()


def call(lab, root):
    server = listen(lab, "server", 1720)
    control = listen(lab, "server", 5200)
    yield
    peer = lab.addr("server")
    a = call_to(lab, "client", peer, 1720)
    b, _ = server.accept()
    say(a, b, per.setup(addr=(peer, 1720)))
    say(b, a, per.call_proceeding(), per.alerting(), per.connect(h245=(peer, 5200)))
    h245(lab, control)
    say(a, b, per.release_complete())
    a.close()
    b.close()


@scenario("h323", "own-client own-server", helpers=HELPERS)
def h323_call_v4(lab, root):
    """a call over IPv4: Setup, Connect with an H.245 address, a channel each way, voice"""
    return call(lab, root)


@scenario("h323", "own-client own-server", family=6, helpers=HELPERS)
def h323_call_v6(lab, root):
    """a call over IPv6"""
    return call(lab, root)


@scenario("h323", "own-client own-server", helpers=HELPERS)
def h323_fast_start(lab, root):
    """a call whose channels are named in Setup and Connect; no H.245"""
    server = listen(lab, "server", 1720)
    yield
    me, peer = lab.addr("client"), lab.addr("server")
    a = call_to(lab, "client", peer, 1720)
    b, _ = server.accept()
    say(a, b, per.setup(addr=(peer, 1720), channels=[per.channel(1, 1, (me, 7000), (me, 7001)).bytes()]))
    say(b, a, per.connect(channels=[per.channel(1, 1, (peer, 6000), (peer, 6001)).bytes()]))
    media(lab, 7000, 6000)
    say(a, b, per.release_complete())
    a.close()
    b.close()


@scenario("h323", "own-client own-server", helpers=HELPERS)
def h323_addresses(lab, root):
    """H.245 addresses in Setup, CallProceeding, Alerting and Connect, the last one again, and one of another host; two
    messages in one segment, and one in two"""
    server = listen(lab, "server", 1720)
    yield
    me, peer, other = lab.addr("client"), lab.addr("server"), lab.addr("other")
    a = call_to(lab, "client", peer, 1720)
    b, _ = server.accept()
    say(a, b, per.setup(h245=(me, 5100)))
    say(b, a, per.call_proceeding((peer, 5201)), per.alerting((peer, 5202)), per.connect((peer, 5203)),
        per.connect((peer, 5203)), per.connect((other, 5204)), per.alerting((peer, 5205)) + per.connect((peer, 5206)))
    m = per.connect((peer, 5207))
    say(b, a, m[:9], m[9:], m[:4], m[4:])
    a.close()
    b.close()


@scenario("h323", "own-client own-server", helpers=HELPERS, also={"unfiltered": "param=nf_conntrack_h323/callforward_filter:0"})
def h323_forwarded(lab, root):
    """a call that is forwarded to a third host"""
    server, third = listen(lab, "server", 1720), listen(lab, "other", 1720)
    yield
    a = call_to(lab, "client", lab.addr("server"), 1720)
    b, _ = server.accept()
    say(a, b, per.setup(addr=(lab.addr("server"), 1720)))
    say(b, a, per.facility((lab.addr("other"), 1720)))
    a.close()
    b.close()
    a = call_to(lab, "client", lab.addr("other"), 1720)
    b, _ = third.accept()
    say(a, b, per.setup(addr=(lab.addr("other"), 1720)), per.release_complete())
    a.close()
    b.close()


def registered(lab, root):
    """Discovery, registration, admission of a call in and one out, the end."""
    me, peer, other = lab.addr("client"), lab.addr("server"), lab.addr("other")
    a, b, c = datagram(lab, "client", 1719), datagram(lab, "server", 1719), datagram(lab, "server", 1819)
    inward, outward = listen(lab, "client", 1720), listen(lab, "other", 1720)
    yield

    def ask(question, answer, gate=b):
        a.sendto(question, gate.getsockname()[:2])
        gate.recv(4096)
        gate.sendto(answer, a.getsockname()[:2])
        a.recv(4096)
    ask(per.grq(1, me, 1719), per.gcf(1, peer, 1819))
    ask(per.rrq(2, me, 1720, 1719, (300, False)), per.rcf(2, me, 1720, (60, False)), c)
    x = call_to(lab, "server", me, 1720)
    y, _ = inward.accept()
    say(x, y, per.setup(addr=(me, 1720)), per.release_complete())
    x.close()
    y.close()
    ask(per.arq(3, me, 1720), per.acf(3, other, 1720), c)
    x = call_to(lab, "client", other, 1720)
    y, _ = outward.accept()
    say(x, y, per.setup(addr=(other, 1720)), per.release_complete())
    x.close()
    y.close()
    ask(per.rrq(4, me, 1720, 1719), per.rcf(4, me, 1720), c)
    ask(per.urq(5, me, 1720), per.ucf(5), c)
    time.sleep(0.1)


@scenario("h323", "own-client own-server", helpers=HELPERS, also=ANY)
def h323_ras_v4(lab, root):
    """a gatekeeper over IPv4: found at another port, registered with a time to live, calls in and out, unregistered"""
    return registered(lab, root)


@scenario("h323", "own-client own-server", family=6, helpers=HELPERS)
def h323_ras_v6(lab, root):
    """the same over IPv6"""
    return registered(lab, root)


@scenario("h323", "own-client own-server", helpers=HELPERS, also=ANY)
def h323_ras_ttl_last(lab, root):
    """registrations whose time to live is the last thing in the message, which the kernel's decoder does not survive: the
    request announces nothing, the confirmation changes nothing"""
    me = lab.addr("client")
    a, b = datagram(lab, "client", 1719), datagram(lab, "server", 1719)
    yield
    for seq, mine, its in ((1, (300, True), (60, True)), (2, None, (60, True)), (3, None, (90, False)), (4, None, None)):
        a.sendto(per.rrq(seq, me, 1720, 1719, mine), b.getsockname()[:2])
        b.recv(4096)
        b.sendto(per.rcf(seq, me, 1720, its), a.getsockname()[:2])
        a.recv(4096)
