# SPDX-License-Identifier: GPL-2.0-only
"""What is recorded of SIP: sipp on both sides, with messages of our own and three packets of voice each way."""
import os
import socket
import struct
import time

import sniff
from scenarios import scenario

SIP = (("sip", "udp", 5060), ("sip", "tcp", 5060))

HEAD = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: a <sip:a@[local_ip]:[local_port]>;tag=[call_number]
To: b <sip:b@[remote_ip]:[remote_port]>%s
Call-ID: [call_id]
CSeq: %d %s
Contact: <sip:a@[local_ip]:%s>
Max-Forwards: 70
"""
NO_BODY = "Content-Length: 0\n\n"
SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=nfexp 1 1 IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
"""
AUDIO = "m=audio [media_port] RTP/AVP 8\na=rtpmap:8 PCMA/8000\n"
VIDEO = "m=video [media_port+2] RTP/AVP 34\na=rtpmap:34 H263/90000\n"
IMAGE = "m=image [media_port+4] udptl t38\n"


def request(method, cseq, body=NO_BODY, to="", contact="[local_port]", more=""):
    return "send", "%s sip:b@[remote_ip]:[remote_port] SIP/2.0\n" % method + HEAD % (to, cseq, method, contact) + more + body


def in_dialogue(method, cseq, body=NO_BODY, more=""):
    return request(method, cseq, body, "[peer_tag_param]", more=more)


def answer(status, body=NO_BODY, more=""):
    return "send", ("SIP/2.0 %s\n[last_Via:]\n[last_From:]\n[last_To:];tag=s[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
                    "Contact: <sip:b@[local_ip]:[local_port]>\n" % status) + more + body


def scenario_file(root, name, steps):
    """A file for sipp: what is sent and awaited, in order."""
    out = ['<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="%s">\n' % name]
    for kind, text in steps:
        if kind == "send":
            out.append("<send><![CDATA[\n\n%s\n]]></send>\n" % text)
        elif kind == "await":
            what = "response" if text.rstrip("?").isdigit() else "request"
            optional = ' optional="true"' if text.endswith("?") else ""
            out.append('<recv %s="%s"%s rrs="true"></recv>\n' % (what, text.rstrip("?"), optional))
        elif kind == "play":
            out.append('<nop><action><exec play_pcap_audio="%s"/></action></nop>\n<pause milliseconds="200"/>\n' % text)
        else:
            out.append('<pause milliseconds="%s"/>\n' % text)
    path = os.path.realpath(os.path.join(root, "..", name + ".xml"))
    with open(path, "w") as f:
        f.write("".join(out) + "</scenario>\n")
    return path


def voice(root):
    """Three RTP packets of silence, for sipp to play."""
    path = os.path.realpath(os.path.join(root, "..", "voice.pcap"))
    frames = []
    for n in range(3):
        rtp = struct.pack(">BBHII", 0x80, 8, n + 1, 160 * n, 0x6E666578) + b"\xd5" * 32
        udp = struct.pack(">HHHH", 7000, 6000, 8 + len(rtp), 0) + rtp
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), n, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + udp
        frames.append((n * 20_000_000, bytes(12) + b"\x08\x00" + ip))
    with open(path, "wb") as f:
        f.write(sniff.pcap(frames))
    return path


def host(lab, node):
    return lab.addr(node) if lab.family == 4 else "[%s]" % lab.addr(node)


def sipp(lab, root, node, name, steps, *args, port=5060, media=6000, peer=None, transport="udp"):
    """The arguments of one side; with a peer it calls, without it waits."""
    argv = ["sipp", "-sf", scenario_file(root, name, steps), "-i", host(lab, node), "-p", str(port), "-mi", lab.addr(node),
            "-mp", str(media), "-m", "1", "-nostdin", "-t", "t1" if transport == "tcp" else "u1", "-timeout", "20s", *args]
    if peer:
        return lab.run(node, argv + ["%s:5060" % host(lab, peer)], timeout=12)
    p = lab.spawn(node, argv + ["-rtp_echo"])
    lab.wait_port(node, transport, port)
    return p


CALLED = [("await", "INVITE"), answer("100 Trying"), answer("180 Ringing"), answer("200 OK", SDP + AUDIO), ("await", "ACK"),
          ("await", "BYE"), answer("200 OK")]
RINGING = [("await", "100?"), ("await", "180?"), ("await", "183?")]


def call(lab, root, transport="udp"):
    sipp(lab, root, "server", "called", CALLED, transport=transport)
    yield
    sipp(lab, root, "client", "caller", [
        request("INVITE", 1, SDP + AUDIO), *RINGING, ("await", "200"), in_dialogue("ACK", 1), ("play", voice(root)),
        in_dialogue("BYE", 2), ("await", "200")], peer="server", media=7000, transport=transport)


@scenario("sip", "sipp", helpers=SIP, also={"any-media": "param=nf_conntrack_sip/sip_direct_media:0"})
def sip_call_udp_v4(lab, root):
    """a call over UDP and IPv4: INVITE, voice both ways, BYE"""
    return call(lab, root)


@scenario("sip", "sipp", family=6, helpers=SIP)
def sip_call_udp_v6(lab, root):
    """a call over UDP and IPv6"""
    return call(lab, root)


@scenario("sip", "sipp", helpers=SIP)
def sip_call_tcp_v4(lab, root):
    """a call over TCP and IPv4"""
    return call(lab, root, "tcp")


@scenario("sip", "sipp", family=6, helpers=SIP)
def sip_call_tcp_v6(lab, root):
    """a call over TCP and IPv6"""
    return call(lab, root, "tcp")


@scenario("sip", "sipp", helpers=SIP)
def sip_cancel(lab, root):
    """a call that is cancelled while it rings"""
    sipp(lab, root, "server", "called", [
        ("await", "INVITE"), answer("180 Ringing"), ("await", "CANCEL"), answer("200 OK"),
        ("send", answer("487 Request Terminated")[1].replace("[last_CSeq:]", "CSeq: 1 INVITE")), ("await", "ACK")])
    yield
    sipp(lab, root, "client", "caller", [
        request("INVITE", 1, SDP + AUDIO), ("await", "180"), request("CANCEL", 1), ("await", "200"), ("await", "487"),
        in_dialogue("ACK", 1)], peer="server", media=7000)


@scenario("sip", "sipp", helpers=SIP)
def sip_busy(lab, root):
    """a call that is refused: what it announced is taken back"""
    sipp(lab, root, "server", "called", [("await", "INVITE"), answer("100 Trying"), answer("486 Busy Here"), ("await", "ACK")])
    yield
    sipp(lab, root, "client", "caller", [request("INVITE", 1, SDP + AUDIO), ("await", "100?"), ("await", "486"),
                                          in_dialogue("ACK", 1)], peer="server", media=7000)


@scenario("sip", "sipp", helpers=SIP)
def sip_video(lab, root):
    """voice, pictures and fax in one call, which then moves to other ports, and one stream off, one on an odd port"""
    again = (AUDIO + VIDEO + IMAGE).replace("[media_port", "[media_port+10")
    again = again.replace("+10+2]", "+12]").replace("+10+4]", "+14]")
    off = "m=audio 0 RTP/AVP 8\nm=audio [media_port+21] RTP/AVP 8\n"
    sipp(lab, root, "server", "called", [
        ("await", "INVITE"), answer("200 OK", SDP + AUDIO + VIDEO + IMAGE), ("await", "ACK"), ("await", "INVITE"),
        answer("200 OK", SDP + again), ("await", "ACK"), ("await", "INVITE"), answer("200 OK", SDP + off), ("await", "ACK"),
        ("await", "BYE"), answer("200 OK")])
    yield
    steps = []
    for cseq, body in ((1, AUDIO + VIDEO + IMAGE), (2, again), (3, off)):
        to = request if cseq == 1 else in_dialogue
        steps += [to("INVITE", cseq, SDP + body), ("await", "200"), in_dialogue("ACK", cseq)]
    sipp(lab, root, "client", "caller", [*steps, in_dialogue("BYE", 4), ("await", "200")], peer="server", media=7000)


@scenario("sip", "sipp", helpers=SIP, also={"any-media": "param=nf_conntrack_sip/sip_direct_media:0"})
def sip_early(lab, root):
    """media before the answer: 183 with SDP, PRACK and UPDATE with SDP"""
    sipp(lab, root, "server", "called", [
        ("await", "INVITE"), answer("183 Session Progress", SDP + AUDIO, "Require: 100rel\nRSeq: 1\n"),
        ("await", "PRACK"), answer("200 OK", SDP + AUDIO), ("await", "UPDATE"), answer("200 OK", SDP + AUDIO),
        ("send", answer("200 OK", SDP + AUDIO)[1].replace("[last_CSeq:]", "CSeq: 1 INVITE")), ("await", "ACK"),
        ("await", "BYE"), answer("200 OK")])
    yield
    sipp(lab, root, "client", "caller", [
        request("INVITE", 1, SDP + AUDIO), ("await", "183"), in_dialogue("PRACK", 2, SDP + AUDIO, "RAck: 1 1 INVITE\n"),
        ("await", "200"), in_dialogue("UPDATE", 3, SDP + AUDIO), ("await", "200"), ("await", "200"), in_dialogue("ACK", 1),
        ("play", voice(root)), in_dialogue("BYE", 4), ("await", "200")], peer="server", media=7000)


def accepted():
    """A registrar's answer, which repeats the contact."""
    return "send", answer("200 OK", more="Expires: 90\n")[1].replace("Contact: <sip:b@[local_ip]:[local_port]>", "[last_Contact:]")


def register(lab, root):
    """A registration with a challenge, a message from the registrar to the announced port, and the end of it."""
    registrar = [("await", "REGISTER"),
                 answer("401 Unauthorized", more='WWW-Authenticate: Digest realm="nfexp", nonce="0"\n'), ("await", "REGISTER"),
                 accepted(),
                 ("await", "REGISTER"), answer("200 OK", more="Expires: 0\n")]
    p = sipp(lab, root, "server", "registrar", registrar)
    told = sipp(lab, root, "client", "told", [("await", "MESSAGE"), answer("200 OK")], port=5062, media=6100)
    yield
    to = dict(contact="5062")
    sipp(lab, root, "client", "user", [
        request("REGISTER", 1, more="Expires: 90\n", **to), ("await", "401"), request("REGISTER", 2, more="Expires: 90\n", **to),
        ("await", "200"), ("pause", "1500"), request("REGISTER", 3, more="Expires: 0\n", **to), ("await", "200")],
        port=5070, media=6200, peer="server")
    p.wait(10)
    # What was taken back no longer helps; the message is a connection of its own.
    lab.run("server", ["sipp", "-sf", scenario_file(root, "teller", [request("MESSAGE", 1), ("await", "200")]), "-i",
                       host(lab, "server"), "-p", "5060", "-m", "1", "-nostdin", "-timeout", "20s",
                       "%s:5062" % host(lab, "client")])
    told.wait(10)
    lab.procs.remove(p)
    lab.procs.remove(told)


@scenario("sip", "sipp", helpers=SIP)
def sip_register_v4(lab, root):
    """registered after a challenge, then taken back, then a message to the port that was announced"""
    return register(lab, root)


@scenario("sip", "sipp", family=6, helpers=SIP)
def sip_register_v6(lab, root):
    """the same over IPv6"""
    return register(lab, root)


@scenario("sip", "sipp", helpers=SIP, also={"any-caller": "param=nf_conntrack_sip/sip_direct_signalling:0"})
def sip_registered_call(lab, root):
    """registered, and the registrar then sends a message to the announced port: it is related, and its flow is helped"""
    registrar = [("await", "REGISTER"),
                 accepted()]
    p = sipp(lab, root, "server", "registrar", registrar)
    called = sipp(lab, root, "client", "called", CALLED, port=5062, media=6000)
    yield
    sipp(lab, root, "client", "user", [request("REGISTER", 1, more="Expires: 90\n", contact="5062"), ("await", "200")],
         port=5070, media=6200, peer="server")
    p.wait(10)
    lab.run("server", ["sipp", "-sf", scenario_file(root, "caller", [
        request("INVITE", 1, SDP + AUDIO), *RINGING, ("await", "200"), in_dialogue("ACK", 1), ("play", voice(root)),
        in_dialogue("BYE", 2), ("await", "200")]), "-i", host(lab, "server"), "-p", "5060", "-mi", lab.addr("server"), "-mp",
        "7000", "-m", "1", "-nostdin", "-timeout", "20s", "%s:5062" % host(lab, "client")])
    called.wait(10)
    lab.procs.remove(p)
    lab.procs.remove(called)


@scenario("sip", "own-client", helpers=SIP, also={"any-media": "param=nf_conntrack_sip/sip_direct_media:0"})
def sip_refused(lab, root):
    """messages that the helper drops, as single datagrams of a script: a media port below 1024, one beyond 65535, no CSeq, a
    request line without version; and ones that it lets pass: another method, a body of another type, compact header names"""
    me, peer = lab.addr("client"), lab.addr("server")
    head = "Via: SIP/2.0/UDP %s:5060\r\nFrom: <sip:a@%s>;tag=1\r\nTo: <sip:b@%s>\r\nCall-ID: x\r\n" % (me, me, peer)
    sdp = "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s"
    body = "v=0\r\no=- 1 1 IN IP4 " + me + "\r\ns=-\r\nc=IN IP4 " + me + "\r\nt=0 0\r\nm=audio %d RTP/AVP 8\r\n"

    def invite(port, first="INVITE sip:b@%s SIP/2.0\r\n" % peer, cseq="CSeq: 1 INVITE\r\n"):
        text = body % port
        return first + head + cseq + sdp % (len(text), text)
    with lab.inside("client"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((me, 5060))
    with lab.inside("server"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((peer, 5060))
    yield
    for text in (invite(500), invite(70000), invite(7000, cseq=""), invite(7000, first="INVITE sip:b@%s\r\n" % peer),
                 invite(7000, first="OPTIONS sip:b@%s SIP/2.0\r\n" % peer, cseq="CSeq: 2 OPTIONS\r\n"),
                 invite(7000).replace("application/sdp", "text/plain"),
                 invite(7010).replace("Content-Length", "l").replace("Content-Type", "c").replace("Via", "v"),
                 invite(7020).replace("\r\n", "\n"), invite(7030)[:-40], invite(7041), invite(7050, cseq="CSEQ : 3  INVITE\r\n"),
                 invite(7060, cseq="cseq: INVITE\r\n"), invite(7070).replace("c=IN IP4 %s" % me, "c=IN IP4 10.91.3.2"),
                 "REGISTER sip:b SIP/2.0\r\n" + head + "Contact: <sip:a@%s>\r\nContent-Length: 0\r\n\r\n" % me, "\r\n\r\n"):
        s.sendto(text.encode(), (peer, 5060))
        time.sleep(0.02)
    s.close()
    server.close()
