# SPDX-License-Identifier: GPL-2.0-only
"""Recorders: what comes into the router, into a capture file.

`Arrivals` listens on all interfaces of the router at once and keeps only arriving frames, each once, before conntrack
sees it. It writes pcap (either byte order, µs or ns) or pcapng with one interface description per device (ns).
`Tcpdump` runs tcpdump, for link types that a packet socket cannot give.
"""
import gzip
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from lab import wait_until

ETH_P_ALL, SO_TIMESTAMPNS, SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 3, 35, 33, 263, 6
EN10MB, NULL = 1, 0


class Arrivals:
    def __init__(self, lab, path, form="pcap"):
        self.path, self.form, self.seen, self.stopping = path, form, [], False
        with lab.inside("router"):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.settimeout(0.1)
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while not self.stopping:
            try:
                frame, anc, _, who = self.sock.recvmsg(1 << 16, 64)
            except TimeoutError:
                continue
            # Left out: what the router sends, and multicast, which it neither forwards nor tracks.
            if who[2] == socket.PACKET_OUTGOING or who[0] == "lo" or frame[:2] == b"\x33\x33":
                continue
            sec, nsec = struct.unpack("=qq", anc[0][2])
            self.seen.append((sec * 10**9 + nsec, who[0], frame))

    def stop(self):
        time.sleep(0.3)
        self.stopping = True
        self.thread.join()
        lost = struct.unpack("=II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        self.sock.close()
        if lost:
            raise RuntimeError("%d packets lost while recording" % lost)
        data = pcapng(self.seen) if self.form == "pcapng" else pcap([(t, f) for t, _, f in self.seen], self.form)
        with open(self.path, "wb") as f:
            f.write(gzip.compress(data, 9, mtime=0) if self.path.endswith(".gz") else data)


class Tcpdump:
    def __init__(self, lab, path, device, *options):
        self.proc = lab.spawn("router", ["tcpdump", "-q", "-U", "-n", "-Z", "root", "--immediate-mode", "-s", "0",
                                         "-i", device, "-w", path, *options], stderr=subprocess.PIPE)
        self.lab = lab
        os.set_blocking(self.proc.stderr.fileno(), False)
        said = b""

        def listening():
            nonlocal said
            said += self.proc.stderr.read() or b""
            return b"listening on" in said
        wait_until(listening, "tcpdump")

    def stop(self):
        time.sleep(0.5)
        self.proc.send_signal(signal.SIGINT)
        self.proc.wait(5)
        self.lab.procs.remove(self.proc)


class Events:
    """The running kernel's own report: `conntrack -E expect -o timestamp` in the router."""

    def __init__(self, lab, path):
        self.lab, self.out = lab, open(path, "w")
        self.proc = lab.spawn("router", ["conntrack", "-E", "expect", "-o", "timestamp"], stdout=self.out,
                              stderr=subprocess.DEVNULL)

        def subscribed():
            with lab.inside("router"), open("/proc/thread-self/net/netlink") as f:
                return any(x[1] == "12" and int(x[3], 16) for x in map(str.split, f.readlines()[1:]))
        wait_until(subscribed, "conntrack -E")

    def stop(self):
        self.proc.send_signal(signal.SIGINT)
        self.proc.wait(5)
        self.lab.procs.remove(self.proc)
        self.out.close()


def pcap(packets, form="pcap", link=EN10MB):
    """`form`: pcap, with `-ns` for nanoseconds, `-be` for big-endian."""
    e, ns = (">" if "-be" in form else "<"), "-ns" in form
    out = [struct.pack(e + "IHHiIII", 0xA1B23C4D if ns else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)]
    for t, frame in packets:
        sec, nsec = divmod(t, 10**9)
        out.append(struct.pack(e + "IIII", sec, nsec if ns else nsec // 1000, len(frame), len(frame)) + frame)
    return b"".join(out)


def pcapng(packets):
    def block(kind, body):
        n = len(body) + 12
        return struct.pack("<II", kind, n) + body + struct.pack("<I", n)

    def option(code, value):
        return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
    devices = sorted({d for _, d, _ in packets})
    out = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for d in devices:
        # if_name, if_tsresol: ten to the minus ninth.
        out.append(block(1, struct.pack("<HHI", EN10MB, 0, 262144) + option(2, d.encode()) + option(9, b"\x09") +
                         option(0, b"")))
    for t, d, frame in packets:
        out.append(block(6, struct.pack("<IIIII", devices.index(d), t >> 32, t & 0xFFFFFFFF, len(frame), len(frame)) +
                         frame + bytes(-len(frame) % 4)))
    return b"".join(out)


def ethernet_to_null(source, target):
    """Rewrite a little-endian µs Ethernet pcap as BSD loopback: four bytes of address family instead of a header."""
    with open(source, "rb") as f:
        d = f.read()
    if d[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack_from("<I", d, 20)[0] != EN10MB:
        raise ValueError("%s: expected a little-endian Ethernet pcap" % source)
    off, packets = 24, []
    while off + 16 <= len(d):
        sec, usec, n, _ = struct.unpack_from("<IIII", d, off)
        frame = d[off + 16:off + 16 + n]
        family = {0x0800: 2, 0x86DD: 30}[struct.unpack_from(">H", frame, 12)[0]]
        packets.append((sec * 10**9 + usec * 1000, struct.pack("<I", family) + frame[14:]))
        off += 16 + n
    with open(target, "wb") as f:
        f.write(pcap(packets, link=NULL))
