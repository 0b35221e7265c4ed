# SPDX-License-Identifier: GPL-2.0-only
"""A small network of real kernels' namespaces, made for one recording and gone after it.

    client  eth0 --- c0  router  s0 --- eth0  server
    other   eth0 --- c1

Conntrack runs in the router, helpers are assigned there by nft. A namespace is an open file and has no name, so
nothing is left behind, however a run ends. `inside(node)` moves the calling thread: sockets opened and processes
started meanwhile belong to that node.

Everything runs on one CPU. Packets of two interfaces then reach conntrack in the order in which they are recorded.
"""
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI = 0x400454CA, 1, 2, 0x1000
SOL_PACKET, PACKET_AUXDATA = 263, 8
ETH_P_ALL, ETH_P_8021Q, ETH_P_8021AD = 3, 0x8100, 0x88A8
NODES = ("client", "other", "router", "server")
# (node, its device, the router's device, subnet number)
LINKS = (("client", "eth0", "c0", 1), ("server", "eth0", "s0", 2), ("other", "eth0", "c1", 3))
V4, V6 = "10.91.%d.%d", "fd91:%d::%d"
OFFLOADS = "rx tx sg tso gso gro".split()


def _check(ret, what):
    if ret:
        raise OSError(ctypes.get_errno(), what)


def _here():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def sysctl(key, value):
    with open("/proc/sys/" + key, "w") as f:
        f.write(str(value))


def sh(*cmd, stdin=None):
    subprocess.run(cmd, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)


def wait_until(test, what, seconds=5.0):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


class Lab:
    """The network of one recording. `link` says what joins the client to the router:
    `veth`, `tun` (raw IP), `vlan` or `qinq` (an Ethernet trunk whose frames carry tags)."""

    def __init__(self, family=4, link="veth", helpers=(("ftp", "tcp", 21), ("tftp", "udp", 69))):
        self.family, self.ns, self.procs, self.fds, self.pumps = family, {}, [], [], []
        self.stopping = threading.Event()
        for node in NODES:
            self._make_namespace(node)
        for node, dev, rdev, net in LINKS:
            kind = link if node == "client" else "veth"
            if kind == "veth":
                self._veth(node, dev, "router", rdev)
            elif kind == "tun":
                self._wire(self._tun(node, dev, IFF_TUN), self._tun("router", rdev, IFF_TUN))
            else:
                self._trunk(node, dev, rdev, [ETH_P_8021Q] if kind == "vlan" else [ETH_P_8021AD, ETH_P_8021Q])
            self._address(node, dev, rdev, net, flat=kind == "tun")
        with self.inside("router"):
            sysctl("net/netfilter/nf_conntrack_events", 1)
            sh("nft", "-f", "-", stdin=ruleset(helpers))

    def addr(self, node, host=None):
        """The address of a node in this lab's family."""
        net = {n: net for n, _, _, net in LINKS}[node]
        return (V4 if self.family == 4 else V6) % (net, host or 2)

    @contextlib.contextmanager
    def inside(self, node):
        back = _here()
        _check(LIBC.setns(self.ns[node], CLONE_NEWNET), "setns")
        try:
            yield
        finally:
            _check(LIBC.setns(back, CLONE_NEWNET), "setns")
            os.close(back)

    def spawn(self, node, argv, **kw):
        """Start a process that lives until the lab closes (or `stop`)."""
        with self.inside(node):
            p = subprocess.Popen(argv, start_new_session=True, **{"stdout": subprocess.DEVNULL, **kw})
        self.procs.append(p)
        return p

    def run(self, node, argv, stdin=None, timeout=60, ok=(0,)):
        """Run a client to its end; its exit status must be in `ok`."""
        with self.inside(node):
            r = subprocess.run(argv, input=stdin, text=True, timeout=timeout, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
        if r.returncode not in ok:
            raise RuntimeError("%s: exit %d\n%s" % (" ".join(argv), r.returncode, r.stdout))
        return r.stdout

    def wait_port(self, node, proto, port):
        """Wait until a server listens, without sending it a packet."""
        def bound():
            for name in (proto, proto + "6"):
                with self.inside(node), open("/proc/thread-self/net/" + name) as f:
                    for line in f.readlines()[1:]:
                        local, state = line.split()[1], line.split()[3]
                        if int(local.split(":")[1], 16) == port and state in ("0A", "07"):
                            return True
        wait_until(bound, "%s/%d in %s" % (proto, port, node))

    def drop(self, node, rule):
        """Make a node lose what matches an nft expression; returns the function that ends it."""
        with self.inside(node):
            sh("nft", "-f", "-", stdin="table inet loss { chain in { type filter hook input priority 0; %s drop\n}\n}\n"
               % rule)

        def end():
            with self.inside(node):
                sh("nft", "delete", "table", "inet", "loss")
        return end

    def stop(self, proc):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(proc.pid, signal.SIGTERM)
        try:
            proc.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
        self.procs.remove(proc)

    def close(self):
        for p in list(self.procs):
            self.stop(p)
        self.stopping.set()
        for t in self.pumps:
            t.join()
        for fd in list(self.ns.values()) + self.fds:
            fd.close() if hasattr(fd, "close") else os.close(fd)

    # Links.

    def _make_namespace(self, node):
        back = _here()
        _check(LIBC.unshare(CLONE_NEWNET), "unshare")
        self.ns[node] = _here()
        router = node == "router"
        for d in ("all", "default"):
            for k, v in (("rp_filter", 0), ("forwarding", int(router)), ("send_redirects", 0)):
                sysctl("net/ipv4/conf/%s/%s" % (d, k), v)
            for k, v in (("accept_ra", 0), ("accept_dad", 0), ("router_solicitations", 0), ("addr_gen_mode", 1),
                         ("forwarding", int(router)), ("disable_ipv6", int(self.family == 4))):
                sysctl("net/ipv6/conf/%s/%s" % (d, k), v)
        sysctl("net/ipv4/ping_group_range", "1 0")
        sh("ip", "link", "set", "lo", "up")
        _check(LIBC.setns(back, CLONE_NEWNET), "setns")
        os.close(back)

    def _veth(self, a, dev_a, b, dev_b):
        with self.inside(a):
            sh("ip", "link", "add", dev_a, "type", "veth", "peer", "name", dev_b,
               "netns", "/proc/%d/fd/%d" % (os.getpid(), self.ns[b]))
        for node, dev in ((a, dev_a), (b, dev_b)):
            with self.inside(node):
                # Segments and checksums as on a wire.
                for f in OFFLOADS:
                    sh("ethtool", "-K", dev, f, "off")
                sh("ip", "link", "set", dev, "up")

    def _tun(self, node, dev, kind):
        with self.inside(node):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", dev.encode(), kind | IFF_NO_PI))
        self.fds.append(fd)
        return fd

    def _wire(self, a, b):
        """Carry datagrams between two tun devices."""
        def pump():
            while not self.stopping.is_set():
                for fd in select.select([a, b], [], [], 0.1)[0]:
                    with contextlib.suppress(OSError):
                        os.write(b if fd == a else a, os.read(fd, 1 << 16))
        self._start(pump)

    def _trunk(self, node, dev, rdev, tags):
        """A tap device on either side of a veth cable, on which frames carry VLAN tags. The tags are put on and
        taken off here, so that the kernel needs no 8021q module. The cable's router end is `trunk0`."""
        self._veth(node, "trunk1", "router", "trunk0")
        for side, tap, cable in ((node, dev, "trunk1"), ("router", rdev, "trunk0")):
            self._tagger(self._tun(side, tap, IFF_TAP), side, cable, tags)

    def _tagger(self, tap, node, cable, tags):
        with self.inside(node):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            s.bind((cable, ETH_P_ALL))
        self.fds.append(s)
        head = b"".join(struct.pack(">HH", tpid, 91 + i) for i, tpid in enumerate(tags))

        def pump():
            while not self.stopping.is_set():
                ready = select.select([tap, s], [], [], 0.1)[0]
                with contextlib.suppress(OSError):
                    if tap in ready:
                        f = os.read(tap, 1 << 16)
                        s.send(f[:12] + head + f[12:])
                    if s in ready:
                        f, aux, _, who = s.recvmsg(1 << 16, 64)
                        # The kernel has taken the outer tag off and tells of it beside the frame.
                        if who[2] != socket.PACKET_OUTGOING and aux and struct.unpack("=IIIHHHH", aux[0][2])[0] & 16:
                            os.write(tap, f[:12] + f[12 + 4 * (len(tags) - 1):])
        self._start(pump)

    def _start(self, fn):
        t = threading.Thread(target=fn, daemon=True)
        t.start()
        self.pumps.append(t)

    def _address(self, node, dev, rdev, net, flat):
        fam, plen = ("-4", 24) if self.family == 4 else ("-6", 64)
        form = V4 if self.family == 4 else V6
        macs = {}
        for side, d, host in ((node, dev, 2), ("router", rdev, 1)):
            with self.inside(side):
                if not flat:
                    macs[host] = "02:00:5e:00:%02x:%02x" % (net, host)
                    sh("ip", "link", "set", d, "down")
                    sh("ip", "link", "set", d, "address", macs[host])
                sh("ip", "link", "set", d, "up")
                broadcast = ("brd", "+") if self.family == 4 and not flat else ()
                sh("ip", fam, "addr", "add", "%s/%d" % (form % (net, host), plen), *broadcast, "dev", d)
        with self.inside(node):
            sh("ip", fam, "route", "add", "default", "via", form % (net, 1), "dev", dev)
        if self.family == 6 and not flat:
            # Neighbour discovery is not what is recorded here.
            for side, d, host in ((node, dev, 1), ("router", rdev, 2)):
                with self.inside(side):
                    sh("ip", "-6", "neigh", "replace", form % (net, host), "lladdr", macs[host], "dev", d,
                       "nud", "permanent")


def ruleset(helpers):
    objs, rules = [], []
    for helper, proto, port in helpers:
        obj = "h_%s_%s_%d" % (helper.replace("-", "_").replace(".", "_"), proto, port)
        objs.append('  ct helper %s { type "%s" protocol %s; }' % (obj, helper, proto))
        rules.append('    %s dport %d ct helper set "%s"' % (proto, port, obj))
    chain = "  chain %s { type filter hook %s priority 0;\n%s\n  }"
    return "\n".join(["table inet helpers {"] + objs +
                     [chain % (h, h, "\n".join(rules)) for h in ("prerouting", "output")] + ["}", ""])
