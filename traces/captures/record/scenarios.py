# SPDX-License-Identifier: GPL-2.0-only
"""What is recorded. One function for each capture: its docstring is the capture's description in `INDEX.tsv`."""
import os
import time
from dataclasses import dataclass, field

import peers
from peers import Control

FTP, TFTP = ("ftp", "tcp", 21), ("tftp", "udp", 69)


@dataclass
class Scenario:
    name: str
    run: object
    folder: str
    software: str
    family: int = 4
    link: str = "veth"
    form: str = "pcap"             # for `Arrivals`; or the tuple (device, options...) for tcpdump
    ext: str = "pcap"
    options: str = ""              # of the replay, as `rig.py` knows them
    also: dict = field(default_factory=dict)   # more goldens of the same capture: suffix -> options
    expect_max: int = 0            # machine-wide, lowered while recording and replaying
    params: tuple = ()             # module parameters (path, value), while recording
    sysctls: tuple = ()            # in the router
    helpers: tuple = (FTP, TFTP)
    slow: bool = False             # waits for minutes
    made_from: str = ""            # not recorded: converted from this capture
    made: bool = False             # not recorded: `run` answers the packets, `link` is their link type

    @property
    def about(self):
        return " ".join(self.run.__doc__.split())

    @property
    def capture(self):
        return "%s/%s.%s" % (self.folder, self.name, self.ext)


ALL = {}


def scenario(folder, software, **kw):
    def add(fn):
        name = fn.__name__.replace("_", "-")
        ALL[name] = Scenario(name, fn, folder, software, **kw)
        return fn
    return add


def curl(lab, *args, name="hello.txt", scheme="ftp", node="client"):
    host = lab.addr("server") if lab.family == 4 else "[%s]" % lab.addr("server")
    return lab.run(node, ["curl", "-sS", "-g", "-o", "/dev/null", *args, "%s://%s/%s" % (scheme, host, name)])


# FTP, common clients.

@scenario("ftp", "vsftpd curl")
def ftp_active_v4(lab, root):
    """active over IPv4: PORT, one file"""
    peers.vsftpd(lab, root)
    yield
    curl(lab, "--ftp-port", "-", "--disable-eprt")


@scenario("ftp", "vsftpd curl")
def ftp_passive_v4(lab, root):
    """passive over IPv4: PASV and 227, one file"""
    peers.vsftpd(lab, root)
    yield
    curl(lab, "--disable-epsv")


@scenario("ftp", "vsftpd curl", family=6)
def ftp_active_v6(lab, root):
    """active over IPv6: EPRT, one file"""
    peers.vsftpd(lab, root)
    yield
    curl(lab, "--ftp-port", "-")


@scenario("ftp", "vsftpd curl", family=6)
def ftp_passive_v6(lab, root):
    """passive over IPv6: EPSV and 229, one file"""
    peers.vsftpd(lab, root)
    yield
    curl(lab)


@scenario("ftp", "vsftpd curl")
def ftp_eprt_v4(lab, root):
    """active over IPv4 with EPRT |1|"""
    peers.vsftpd(lab, root)
    yield
    curl(lab, "--ftp-port", "-")


@scenario("ftp", "vsftpd curl")
def ftp_epsv_v4(lab, root):
    """passive over IPv4 with EPSV and 229"""
    peers.vsftpd(lab, root)
    yield
    curl(lab)


@scenario("ftp", "vsftpd curl")
def ftp_upload_v4(lab, root):
    """passive over IPv4, a file is stored"""
    peers.vsftpd(lab, root)
    yield
    curl(lab, "--disable-epsv", "-T", os.path.join(root, "second.txt"), name="incoming/up.txt")


@scenario("ftp", "vsftpd tnftp")
def ftp_several_active(lab, root):
    """several active transfers in one session: a listing, two files out and one in"""
    peers.vsftpd(lab, root)
    yield
    lab.run("client", ["tnftp", "-A", "-n", "-v", lab.addr("server")], stdin="user anonymous x\nepsv4 off\nls\n"
            "get hello.txt /dev/null\nget third.bin /dev/null\nput %s/second.txt incoming/two.txt\nquit\n" % root)


@scenario("ftp", "vsftpd curl", helpers=(("ftp", "tcp", 2121),), options="port=ftp:tcp/2121")
def ftp_port_2121(lab, root):
    """a server on port 2121, to which the helper is assigned too: PASV"""
    peers.vsftpd(lab, root, port=2121)
    yield
    lab.run("client", ["curl", "-sS", "-o", "/dev/null", "--disable-epsv",
                       "ftp://%s:2121/hello.txt" % lab.addr("server")])


# FTP, one word at a time.

@scenario("ftp", "vsftpd own-client")
def ftp_eviction(lab, root):
    """two PASV in a row: the class holds one expectation, the second evicts the first, then matches"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    c.pasv()
    c.fetch_passive(c.pasv())
    c.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_refresh(lab, root):
    """the same PORT twice: the second refreshes the expectation, then the transfer matches it"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    d = c.listen()
    c.cmd(c.port(d), "200")
    c.cmd(c.port(d), "200")
    c.fetch_active(d)
    c.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_never_comes(lab, root):
    """PASV, no data connection, QUIT: the expectation outlives the session's last packet"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    c.pasv()
    c.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_master_gone(lab, root):
    """PASV, reset, new session from the same source port: conntrack deletes the old master, and with it the
    expectation"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab, source=40021)
    c.pasv()
    c.reset()
    time.sleep(0.1)
    c = Control(lab, source=40021)
    c.fetch_passive(c.pasv())
    c.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_two_clients(lab, root):
    """two clients, their sessions interleaved: each has one expectation at the same time"""
    peers.vsftpd(lab, root)
    yield
    a, b = Control(lab), Control(lab, node="other")
    pa = a.pasv()
    db = b.listen()
    b.cmd(b.port(db), "200")
    a.fetch_passive(pa)
    da = a.listen()
    a.cmd(a.port(da), "200")
    b.fetch_active(db)
    pb = b.pasv()
    b.fetch_passive(pb, "second.txt")
    a.fetch_active(da, "second.txt")
    a.quit()
    b.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_clash(lab, root):
    """two sessions of one client announce the same port: the second PORT clashes and is lost, its retransmission
    passes after the first expectation was matched"""
    peers.vsftpd(lab, root)
    yield
    a, b = Control(lab), Control(lab)
    d = a.listen()
    a.cmd(a.port(d), "200")
    b.send(b.port(d) + "\r\n")
    time.sleep(0.3)
    a.fetch_active(d)
    b.reply("200")
    b.fetch_active(d, "second.txt")
    a.quit()
    b.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_split(lab, root):
    """PORT split over two segments, the first one NOOP CRLF PO: not reassembled, so nothing is expected and the data
    connection is new, not related"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    d = c.listen()
    text = c.port(d) + "\r\n"
    c.send("NOOP\r\n" + text[:2])
    c.reply("200")
    c.send(text[2:])
    c.reply("200")
    c.fetch_active(d)
    c.quit()


@scenario("ftp", "vsftpd own-client")
def ftp_partial_dropped(lab, root):
    """PORT 1234: a partial match, dropped with every retransmission, until the client resets"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    c.send("PORT 1234\r\n")
    time.sleep(1.0)
    c.reset()


@scenario("ftp", "vsftpd own-client")
def ftp_lower_case(lab, root):
    """`port` in lower case is understood"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    d = c.listen()
    c.cmd(c.port(d).lower(), "200")
    c.fetch_active(d)
    c.quit()


@scenario("ftp", "vsftpd own-client", expect_max=2)
def ftp_table_full(lab, root):
    """expect_max is 2, three sessions announce: the third PORT is lost (table full), its retransmission passes after
    the first expectation was matched"""
    peers.vsftpd(lab, root)
    yield
    cs = [Control(lab) for _ in range(3)]
    ds = [c.listen() for c in cs]
    for c, d in list(zip(cs, ds))[:2]:
        c.cmd(c.port(d), "200")
    cs[2].send(cs[2].port(ds[2]) + "\r\n")
    time.sleep(0.3)
    cs[0].fetch_active(ds[0])
    cs[2].reply("200")
    for c, d in list(zip(cs, ds))[1:]:
        c.fetch_active(d)
    for c in cs:
        c.quit()


# TFTP.

def tftp_hpa(lab, words):
    return lab.run("client", ["tftp", "-%d" % lab.family, lab.addr("server")], stdin=words + "quit\n")


@scenario("tftp", "tftpd-hpa tftp-hpa")
def tftp_read_v4(lab, root):
    """read request over IPv4"""
    peers.tftpd(lab, root)
    yield
    tftp_hpa(lab, "mode octet\nget third.bin /dev/null\n")


@scenario("tftp", "tftpd-hpa atftp")
def tftp_write_v4(lab, root):
    """write request over IPv4"""
    peers.tftpd(lab, root)
    yield
    lab.run("client", ["atftp", "--put", "-l", os.path.join(root, "second.txt"), "-r", "incoming/up.txt",
                       lab.addr("server"), "69"])


@scenario("tftp", "tftpd-hpa curl", family=6)
def tftp_read_v6(lab, root):
    """read request over IPv6"""
    peers.tftpd(lab, root)
    yield
    curl(lab, name="third.bin", scheme="tftp")


# What time does. These keep real time in their goldens.

@scenario("timeouts", "vsftpd own-client", options="pace=1;tail=2", slow=True)
def ftp_expiry(lab, root):
    """PASV, and the data connection comes after 325 s: the expectation has expired, the connection is new"""
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    port = c.pasv()
    time.sleep(325)
    c.fetch_passive(port)
    c.quit()


# Link types and file formats, each with an eviction and a match.

def evict_and_match(lab, root):
    peers.vsftpd(lab, root)
    yield
    c = Control(lab)
    c.pasv()
    c.fetch_passive(c.pasv())
    d = c.listen()
    c.cmd(c.port(d), "200")
    c.fetch_active(d)
    c.quit()


@scenario("links", "vsftpd own-client", form="pcapng", ext="pcapng")
def pcapng_ns(lab, root):
    """pcapng, nanoseconds, one interface description per device"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client", form="pcap-ns")
def pcap_ns(lab, root):
    """pcap with nanoseconds"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client", form="pcap-be")
def pcap_big_endian(lab, root):
    """pcap in big-endian byte order"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client", form="pcap", ext="pcap.gz")
def pcap_gz(lab, root):
    """pcap, compressed with gzip"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client tcpdump", form=("any", "-Q", "in", "-y", "LINUX_SLL2"))
def any_cooked_v2(lab, root):
    """tcpdump on `any`: Linux cooked v2"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client tcpdump", form=("any", "-Q", "in", "-y", "LINUX_SLL"))
def any_cooked_v1(lab, root):
    """tcpdump on `any`: Linux cooked v1"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client tcpdump", link="vlan", form=("trunk0",))
def vlan(lab, root):
    """tcpdump on a trunk: Ethernet with an 802.1Q tag"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd own-client tcpdump", link="qinq", form=("trunk0",), family=6)
def qinq_v6(lab, root):
    """tcpdump on a trunk: Ethernet with an 802.1ad and an 802.1Q tag, IPv6, EPSV"""
    peers.vsftpd(lab, root)
    yield
    curl(lab)


@scenario("links", "vsftpd own-client tcpdump", link="tun", form=("c0",))
def raw_ip(lab, root):
    """tcpdump on a tun device: raw IP"""
    return evict_and_match(lab, root)


@scenario("links", "vsftpd curl tcpdump", link="tun", form=("c0",), family=6)
def raw_ip_v6(lab, root):
    """tcpdump on a tun device: raw IP, IPv6, EPSV"""
    peers.vsftpd(lab, root)
    yield
    curl(lab)


@scenario("links", "vsftpd curl tcpdump", form=("lo",))
def loopback(lab, root):
    """tcpdump on lo: client and server are the router itself, 127.0.0.1, PASV"""
    peers.vsftpd(lab, root, node="router")
    yield
    lab.run("router", ["curl", "-sS", "-o", "/dev/null", "--disable-epsv", "ftp://127.0.0.1/hello.txt"])


@scenario("links", "-", made_from="loopback")
def loopback_null(lab, root):
    """the capture `loopback`, its link layer rewritten as BSD loopback (DLT_NULL)"""
