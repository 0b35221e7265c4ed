# SPDX-License-Identifier: GPL-2.0-only
"""What is recorded of IRC, SANE, Amanda, PPTP and of broadcasts: servers from Debian's packages, clients too where
there is one that runs without a terminal. What speaks by itself here says so in `software`: `own-client`."""
import contextlib
import os
import pwd
import socket
import struct
import subprocess
import time

import sniff
from lab import wait_until
from scenarios import scenario

IRC, SANE, AMANDA, PPTP = ("irc", "tcp", 6667), ("sane", "tcp", 6566), ("amanda", "udp", 10080), ("pptp", "tcp", 1723)
NBNS, SNMP = ("netbios-ns", "udp", 137), ("snmp", "udp", 161)


def write(root, name, text):
    path = os.path.realpath(os.path.join(root, "..", name))
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return path


# IRC: ngircd, and a client that offers files and chats (DCC) over it.

def ngircd(lab, root):
    conf = write(root, "ngircd.conf", "[Global]\nName = irc.nfexp.test\nInfo = nfexp\nListen = %s\nServerUID = nobody\n"
                 "ServerGID = nogroup\nMotdPhrase = nfexp\n[Options]\nDNS = no\nIdent = no\nPAM = no\nMorePrivacy = yes\n"
                 "[Limits]\nConnectRetry = 60\nMaxConnectionsIP = 0\n" % lab.addr("server"))
    lab.spawn("server", ["ngircd", "--nodaemon", "--config", conf])
    lab.wait_port("server", "tcp", 6667)


class Irc:
    """A client of an IRC server: says lines, waits for lines."""

    def __init__(self, lab, node, nick):
        self.lab, self.node, self.nick = lab, node, nick
        family = socket.AF_INET if lab.family == 4 else socket.AF_INET6
        with lab.inside(node):
            self.s = socket.socket(family, socket.SOCK_STREAM)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.settimeout(20)
        self.s.connect((lab.addr("server"), 6667))
        self.f = self.s.makefile("rb")
        self.send("NICK %s\r\nUSER %s 0 * :%s\r\n" % (nick, nick, nick))
        self.until(" 376 ", " 422 ")

    def send(self, text):
        self.s.sendall(text.encode("latin-1"))

    def until(self, *words):
        """The next line that has one of some words."""
        while True:
            line = self.f.readline().decode("latin-1")
            if not line:
                raise EOFError("the server closed the connection")
            if line.startswith("PING"):
                self.send(line.replace("PING", "PONG", 1))
            if any(w in line for w in words):
                return line

    def ctcp(self, to, text):
        self.send("PRIVMSG %s :\1%s\1\r\n" % (to, text))

    def listen(self):
        with self.lab.inside(self.node):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.bind((self.lab.addr(self.node), 0))
        s.listen()
        s.settimeout(20)
        return s

    def quit(self):
        self.send("QUIT :bye\r\n")
        with contextlib.suppress(OSError):
            while self.s.recv(4096):
                pass
        self.f.close()
        self.s.close()


def number(addr):
    return struct.unpack(">I", socket.inet_aton(addr))[0]


def connect(lab, node, listener, data=b""):
    """Another node connects to a listener, is sent some bytes and acknowledges them as DCC does."""
    with lab.inside(node):
        s = socket.create_connection(listener.getsockname()[:2], 20)
    a, _ = listener.accept()
    if data:
        a.sendall(data)
        got = b""
        while len(got) < len(data):
            got += s.recv(4096)
        s.sendall(struct.pack(">I", len(got)))
        a.recv(4)
    s.close()
    a.close()
    listener.close()


@scenario("irc", "ngircd own-client", helpers=(IRC,))
def irc_dcc_send(lab, root):
    """DCC SEND: a file is offered and fetched"""
    ngircd(lab, root)
    yield
    alice, bob = Irc(lab, "client", "alice"), Irc(lab, "other", "bob")
    d = alice.listen()
    alice.ctcp("bob", "DCC SEND hello.txt %d %d 100" % (number(lab.addr("client")), d.getsockname()[1]))
    bob.until("DCC SEND")
    connect(lab, "other", d, b"Hello from a small file.\n" * 4)
    alice.quit()
    bob.quit()


@scenario("irc", "ngircd own-client", helpers=(IRC,))
def irc_dcc_chat(lab, root):
    """DCC CHAT, in both directions of the conversation: only what goes to the server announces"""
    ngircd(lab, root)
    yield
    alice, bob = Irc(lab, "client", "alice"), Irc(lab, "other", "bob")
    for a, b, node, peer in ((alice, bob, "client", "other"), (bob, alice, "other", "client")):
        d = a.listen()
        a.ctcp(b.nick, "DCC CHAT chat %d %d" % (number(lab.addr(node)), d.getsockname()[1]))
        b.until("DCC CHAT")
        connect(lab, peer, d, b"hello\n")
    alice.quit()
    bob.quit()


@scenario("irc", "ngircd own-client", helpers=(IRC,))
def irc_dcc_nine(lab, root):
    """nine offers that nobody takes, the tenth repeats the last: eight may be open, the oldest goes"""
    ngircd(lab, root)
    yield
    alice, bob = Irc(lab, "client", "alice"), Irc(lab, "other", "bob")
    for port in [*range(5001, 5010), 5009]:
        alice.ctcp("bob", "DCC SEND f%d %d %d 1" % (port, number(lab.addr("client")), port))
        bob.until("DCC SEND")
    alice.quit()
    bob.quit()


@scenario("irc", "ngircd own-client", helpers=(IRC,))
def irc_dcc_variants(lab, root):
    """offers in other words: TSEND, MOVE, SCHAT, a channel, lower case, blanks before, another's address, a text before,
    port 0, no address, two in one packet"""
    ngircd(lab, root)
    yield
    alice, bob = Irc(lab, "client", "alice"), Irc(lab, "other", "bob")
    for c in (alice, bob):
        c.send("JOIN #nfexp\r\n")
        c.until(" 366 ")
    me, other = number(lab.addr("client")), number(lab.addr("other"))
    for text in ("PRIVMSG bob :\1DCC TSEND a %d 6001 1\1\r\n" % me, "PRIVMSG bob :\1DCC MOVE b %d 6002 1\1\r\n" % me,
                 "PRIVMSG bob :\1DCC SCHAT chat %d 6003\1\r\n" % me, "PRIVMSG #nfexp :\1DCC SEND c %d 6004 1\1\r\n" % me,
                 "privmsg bob :\1dcc send d %d 6005 1\1\r\n" % me, "  PRIVMSG bob :\1DCC SEND e %d 6006 1\1\r\n" % me,
                 "PRIVMSG bob :\1DCC SEND f %d 6007 1\1\r\n" % other, "PRIVMSG bob :see \1DCC SEND g %d 6008 1\1\r\n" % me,
                 "PRIVMSG bob :\1DCC SEND h %d 0 1\1\r\n" % me, "PRIVMSG bob :\1DCC SEND i\1\r\n",
                 "PRIVMSG bob :\1DCC RESUME j 6009 1\1\r\n", "NOTICE bob :\1DCC SEND k %d 6010 1\1\r\n" % me,
                 "PRIVMSG bob :\1DCC SEND l %d 6011 1\1\r\nPRIVMSG bob :\1DCC CHAT chat %d 6012\1\r\n" % (me, me),
                 "PRIVMSG bob :\1DCC SEND \"m n\" %d 6013 1\1\r\n" % me):
        alice.send(text)
        alice.send("PING x\r\n")
        alice.until(" PONG ")
    alice.quit()
    bob.quit()


@scenario("irc", "ngircd own-client", family=6, helpers=(IRC,))
def irc_v6(lab, root):
    """DCC over IPv6, which this helper does not know: no expectation"""
    ngircd(lab, root)
    yield
    alice, bob = Irc(lab, "client", "alice"), Irc(lab, "other", "bob")
    alice.ctcp("bob", "DCC CHAT chat %s 5001" % lab.addr("client"))
    bob.until("DCC CHAT")
    alice.quit()
    bob.quit()


# SANE: saned with its test device, scanimage.

def saned(lab, root):
    conf = os.path.realpath(os.path.join(root, "..", "sane-server"))
    os.makedirs(conf, exist_ok=True)
    for name, text in (("saned.conf", "10.91.1.0/24\n[fd91:1::]/64\n"), ("dll.conf", "test\n"), ("test.conf", "")):
        with open(os.path.join(conf, name), "w") as f:
            f.write(text)
    lab.spawn("server", ["saned", "-l", "-d", "1", "-b", lab.addr("server")], env={**os.environ, "SANE_CONFIG_DIR": conf},
              stderr=subprocess.DEVNULL)
    lab.wait_port("server", "tcp", 6566)


def scanimage(lab, root, *args):
    conf = os.path.realpath(os.path.join(root, "..", "sane-client"))
    os.makedirs(conf, exist_ok=True)
    for name, text in (("dll.conf", "net\n"), ("net.conf", "")):
        with open(os.path.join(conf, name), "w") as f:
            f.write(text)
    host = lab.addr("server") if lab.family == 4 else "[%s]" % lab.addr("server")
    lab.run("client", ["env", "SANE_CONFIG_DIR=" + conf, "scanimage", "-d", "net:%s:test" % host, "-x", "2", "-y", "2",
                       "--resolution", "50", *(args or ("-o", os.path.join(root, "..", "scan.pnm")))])


@scenario("sane", "saned scanimage", helpers=(SANE,))
def sane_scan_v4(lab, root):
    """a page scanned over IPv4"""
    saned(lab, root)
    yield
    scanimage(lab, root)


@scenario("sane", "saned scanimage", family=6, helpers=(SANE,))
def sane_scan_v6(lab, root):
    """a page scanned over IPv6"""
    saned(lab, root)
    yield
    scanimage(lab, root)


@scenario("sane", "saned scanimage", helpers=(SANE,))
def sane_batch(lab, root):
    """three pages in one session: one data connection each"""
    saned(lab, root)
    yield
    scanimage(lab, root, "--batch=" + os.path.realpath(os.path.join(root, "..", "p%d.pnm")), "--batch-count=3")


# Amanda: the server asks a client's amandad for a backup, whose streams come over TCP.

def amandad(lab, root, node="server"):
    """An inetd with amandad, in a mount namespace where everybody has a name."""
    home = os.path.realpath(os.path.join(root, "..", "amanda"))
    os.makedirs(os.path.join(home, "data"), exist_ok=True)
    with open(os.path.join(home, "data", "file"), "w") as f:
        f.write("to be kept\n" * 30)
    hosts = "127.0.0.1 localhost\n::1 localhost\n" + "".join(
        "%s %s\n" % (lab.addr(n), n) for n in ("client", "server", "other"))
    write(root, "amanda/hosts", hosts)
    write(root, "amanda/services", "amanda 10080/tcp\namanda 10080/udp\n")    # Debian's has no udp
    write(root, "amanda/amandahosts", "client root amdump\nclient backup amdump\n")
    write(root, "amanda/inetd.conf", "10080 dgram udp%s wait backup /usr/lib/amanda/amandad amandad -auth=bsd amdump\n"
          % ("6" if lab.family == 6 else ""))
    user = pwd.getpwnam("backup")
    os.chown(os.path.join(home, "amandahosts"), user.pw_uid, user.pw_gid)
    os.chmod(os.path.join(home, "amandahosts"), 0o600)
    os.chmod(home, 0o755)
    lab.spawn(node, ["unshare", "-m", "sh", "-c",
                     "mount --bind %s/hosts /etc/hosts && mount --bind %s/services /etc/services && mount -t tmpfs none %s && cp -p %s/amandahosts %s/.amandahosts && "
                     "chown backup %s && exec inetd -i %s/inetd.conf" % (home, home, user.pw_dir, home, user.pw_dir, user.pw_dir, home)])
    lab.wait_port(node, "udp", 10080)
    return home


def amservice(lab, home, service, text, *args):
    path = os.path.join(home, "request")
    with open(path, "w") as f:
        f.write(text)
    return lab.run("client", ["unshare", "-m", "sh", "-c",
                              "mount --bind %s/hosts /etc/hosts && mount --bind %s/services /etc/services && "
                              "exec amservice -f %s %s server bsd %s" % (home, home, path, " ".join(args), service)], ok=(0, 1, 2))


REQUEST = ("<dle>\n  <program>GNUTAR</program>\n  <disk>%s/data</disk>\n  <level>0</level>\n  <auth>bsd</auth>\n"
           "  <record>NO</record>\n  <index>YES</index>\n</dle>\n")


@scenario("amanda", "amandad amservice", helpers=(AMANDA,))
def amanda_backup_v4(lab, root):
    """a backup asked for over IPv4: the reply names the ports of its streams"""
    home = amandad(lab, root)
    yield
    amservice(lab, home, "sendbackup", REQUEST % home, "-s")


@scenario("amanda", "amandad amservice", helpers=(AMANDA,))
def amanda_noop(lab, root):
    """a service without streams: nothing is announced"""
    home = amandad(lab, root)
    yield
    amservice(lab, home, "noop", "")


def amanda_script(lab, replies):
    """Client and server of an Amanda exchange as plain sockets: the request, then what the server says. Streams that
    are named and meant are connected."""
    family = socket.AF_INET if lab.family == 4 else socket.AF_INET6
    head = "Amanda 2.6 %s HANDLE 000-00000001 SEQ 1\n"
    with lab.inside("server"):
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((lab.addr("server"), 10080))
    with lab.inside("client"):
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.bind((lab.addr("client"), 850))
    client.connect((lab.addr("server"), 10080))
    client.settimeout(20)
    client.send((head % "REQ" + "SECURITY USER backup\nSERVICE sendbackup\nOPTIONS hostname=server;\n").encode())
    _, back = server.recvfrom(4096)
    for kind, text, streams in (("ACK", "", ()), *replies):
        listeners = []
        for port in streams:
            with lab.inside("server"):
                listeners.append(socket.create_server((lab.addr("server"), port), family=family))
        server.sendto((head % kind + text).encode(), back)
        client.recv(4096)
        if kind == "REP":
            client.send((head % "ACK").encode())
        for d in listeners:
            connect(lab, "client", d, b"to be kept\n")
    client.close()
    server.close()


@scenario("amanda", "own-client own-server", family=6, helpers=(AMANDA,))
def amanda_backup_v6(lab, root):
    """a backup over IPv6, as a script: Debian's amandad does not answer there"""
    yield
    amanda_script(lab, [("REP", "CONNECT DATA 50001 MESG 50002 INDEX 50003\nOPTIONS features=ff;\n",
                         (50001, 50002, 50003))])


@scenario("amanda", "own-client own-server", helpers=(AMANDA,))
def amanda_variants(lab, root):
    """replies in other words, as a script: STATE too, CONNECT in a later line, in lower case, twice, without an end of
    line, numbers too large, no number, five streams"""
    yield
    amanda_script(lab, [("REP", text, ()) for text in (
        "CONNECT DATA 51001 MESG 51002 INDEX 51003 STATE 51004\nOPTIONS ;\n",
        "OPTIONS features=ff;\nCONNECT DATA 51005 MESG 51006\n", "connect data 51007\n",
        "CONNECT DATA 51008\nCONNECT MESG 51009\n", "CONNECT DATA 51010", "CONNECT DATA 70000 MESG 51011\n",
        "CONNECT DATA x MESG 51012\n", "CONNECT INDEX 51013 DATA 51014 MESG 51015\n",
        "CONNECT DATA 51016 DATA 51017 MESG 51018 INDEX 51019 STATE 51020\n", "CONNECT DATA 0 MESG -5\n",
        "CONNECT DATA 051021 MESG 0x51\n")])


# Broadcasts: what the router itself asks its whole subnet, and hosts that answer.

@scenario("netbios-ns", "nmblookup nmbd", helpers=(NBNS,), form=("c0", "udp"), options="local=10.91.1.1/24")
def netbios_name_query(lab, root):
    """a name asked for by broadcast from the router itself; the host of that name answers"""
    nmbd(lab, root)
    yield
    lab.run("router", ["nmblookup", "-s", "/dev/null", "-B", "10.91.1.255", "NFEXPHOST"])


@scenario("netbios-ns", "nmblookup nmbd", helpers=(NBNS,), form=("c0", "udp"), options="local=10.91.1.1/24")
def netbios_names(lab, root):
    """several names asked for, one of them twice, one that nobody has"""
    nmbd(lab, root)
    yield
    for name in ("NFEXPHOST", "NFEXPHOST", "NOBODY", "NFEXP"):
        lab.run("router", ["nmblookup", "-s", "/dev/null", "-B", "10.91.1.255", name], ok=(0, 1))


def nmbd(lab, root):
    top = os.path.realpath(os.path.join(root, "..", "samba"))
    os.makedirs(top, exist_ok=True)
    conf = write(root, "smb.conf", "[global]\nnetbios name = NFEXPHOST\nworkgroup = NFEXP\nserver role = standalone\n"
                 "disable netbios = no\nlocal master = no\ndomain master = no\npreferred master = no\n"
                 "server min protocol = NT1\n" +
                 "".join("%s = %s\n" % (d, top) for d in ("lock directory", "state directory", "cache directory",
                                                            "pid directory", "private dir", "ncalrpc dir")) +
                 "log file = %s/log\n" % top)
    lab.spawn("client", ["nmbd", "-F", "-s", conf, "--no-process-group"], stderr=subprocess.DEVNULL)
    lab.wait_port("client", "udp", 137)
    time.sleep(10)                                                     # it tells its names first


def snmpd(lab, root, node, at="udp:161"):
    conf = write(root, "snmpd.conf", "rocommunity public\nsysLocation nfexp\nagentAddress %s\n" % at)
    lab.spawn(node, ["snmpd", "-f", "-C", "-c", conf, "-Lf", "/dev/null", "-p", os.path.join(root, "..", "snmpd.pid")])
    lab.wait_port(node, "udp", int(at.split(":")[-1]))


# SNMPv1 get-request of sysLocation.0, community public.
SNMP_GET = bytes.fromhex("302602010004067075626c6963a01902010702010002010030"
                         "0e300c06082b060102010106000500")


@scenario("snmp", "own-client snmpd", helpers=(SNMP,), form=("c0", "udp"), options="local=10.91.1.1/24")
def snmp_broadcast(lab, root):
    """a request sent by broadcast from the router itself, twice, then from another port; an agent answers"""
    # Debian's agent does not answer what was broadcast: it is asked behind a socket that does.
    snmpd(lab, root, "client", "udp:127.0.0.1:1161")
    with lab.inside("client"):
        front, behind = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    front.bind(("", 161))
    behind.connect(("127.0.0.1", 1161))
    yield
    for times in (2, 1):
        with lab.inside("router"):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.bind(("10.91.1.1", 0))
        for x in (s, front, behind):
            x.settimeout(5)
        for _ in range(times):
            s.sendto(SNMP_GET, ("10.91.1.255", 161))
            request, back = front.recvfrom(4096)
            behind.send(request)
            front.sendto(behind.recv(4096), back)
            s.recv(4096)
        s.close()


@scenario("snmp", "snmpget snmpd", helpers=(SNMP,))
def snmp_unicast(lab, root):
    """a request to one agent, forwarded: nothing is announced"""
    snmpd(lab, root, "server")
    yield
    lab.run("client", ["snmpget", "-v1", "-c", "public", "-Oq", lab.addr("server"), ".1.3.6.1.2.1.1.6.0"])


# PPTP: pptpd and pptp, without PPP: what stands for it writes and reads a few frames.

PPP = """#!/usr/bin/python3
import os, sys, time
frame = b"\\x7e\\xff\\x7d\\x23\\xc0\\x21\\x7d\\x21\\x7d\\x21\\x7d\\x20\\x7d\\x24\\xd1\\xb5\\x7e"
for _ in range(3):
    os.write(1, frame)
    time.sleep(0.1)
time.sleep(%s)
"""


def pptpd(lab, root):
    # It begins its options with those of pppd, which this does not read.
    ppp = write(root, "ppp-server", PPP % 30)
    os.chmod(ppp, 0o755)
    conf = write(root, "pptpd.conf", "ppp %s\noption /dev/null\nlocalip 10.92.0.1\nremoteip 10.92.0.2-9\nnoipparam\n" % ppp)
    lab.spawn("server", ["pptpd", "--fg", "--conf", conf, "--pidfile", os.path.realpath(os.path.join(root, "..", "pptpd.pid"))],
              stderr=subprocess.DEVNULL)
    lab.wait_port("server", "tcp", 1723)


@scenario("pptp", "pptpd pptp-linux", helpers=(PPTP,))
def pptp_call(lab, root):
    """a call: control connection, outgoing call, GRE both ways"""
    pptpd(lab, root)
    yield
    ppp = write(root, "ppp-client", PPP % 0)
    with lab.inside("client"):
        feed = subprocess.Popen(["/usr/bin/python3", ppp], stdout=subprocess.PIPE)
        client = subprocess.Popen(["pptp", lab.addr("server"), "--nolaunchpppd", "--nobuffer"], stdin=feed.stdout,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    lab.procs.append(client)
    time.sleep(3)
    lab.stop(client)
    feed.wait()
