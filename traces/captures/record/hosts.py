# SPDX-License-Identifier: GPL-2.0-only
"""Edges of a router that is a host itself: what it sends to itself, to all, and in parts; and where what it reads of would go."""
import per
from edges import SERVER
from found import BY_WAY, RAW, Talk, datagram, fragment, invite, made, udp
from scenarios import scenario


@scenario("edges", "own-packets", link=RAW, made=True, options=BY_WAY + ";local=10.0.0.1/24")
def edge_media_stays():
    """SIP: media of what a host sends to itself, and of what is for a group of IPv6, to where it goes and elsewhere"""
    frames, ports = [], iter(range(6000, 7000, 2))
    for ends in ((SERVER, SERVER), (SERVER, "0.0.0.0"), (SERVER, "10.0.0.9"), ("10.0.0.9", SERVER), ("fd91::1", "ff02::1")):
        for addr in ("::1", "ff02::1", "ff0e::1", "fd00::1") if ":" in ends[0] else (SERVER, "0.0.0.0", "10.0.0.9", "10.0.0.255"):
            port = next(ports)
            frames.append(datagram(17, udp(port, 5060, invite(addr, port)), ends))
    return made(frames)


@scenario("edges", "own-packets", link=RAW, made=True, options="local=127.0.0.1/8", also={"other": "local=10.0.0.1/24"})
def edge_q931_loopback():
    """H.323: calls forwarded to 0.0.0.0 and to what it stands for, of a host that has the loopback address and of another"""
    frames = []
    for caller in ("127.0.0.1", SERVER, "10.0.0.2"):
        for n, addr in enumerate(("0.0.0.0", "127.0.0.1", "127.0.0.2", SERVER)):
            t = Talk(1720, (caller, "10.0.1.%d" % n), frames)
            t.client(per.setup())
            t.server(per.facility((addr, 1720)))
    return made(frames)


@scenario("edges", "own-packets", link=RAW, made=True, options="local=10.0.0.1/0",
          also={"last": "local=10.0.0.255/24", "usual": "local=10.0.0.1/24"})
def edge_host_broadcasts():
    """Questions to all, and fragments without a number: of a host whose network is everything, is as usual, or ends with its address"""
    frames = []
    for src in (SERVER, "10.0.0.255", "10.0.0.9"):
        for n, dst in enumerate(("10.0.0.255", "255.255.255.255", "10.0.0.9", SERVER)):
            frames += [datagram(17, udp(4000 + n, port, b"q"), (src, dst)) for port in (137, 161)]
            frames += [datagram(17, udp(port, 4000 + n, b"a"), (dst, src)) for port in (137, 161)]
        for number, kept in ((0, 0), (0, 0x40), (9, 0)):
            whole = udp(5000 + number + kept, 69, b"\0\1some-name\0octet\0")
            for part in (fragment(number, 0, True, whole[:16], (src, "10.0.0.8")), fragment(number, 16, False, whole[16:], (src, "10.0.0.8"))):
                frames.append(part[:6] + bytes([part[6] | kept]) + part[7:])
    return made(frames)
