# SPDX-License-Identifier: GPL-2.0-only
"""Servers from Debian's packages, and an FTP client that says exactly what a scenario needs.

curl, lftp and tnftp never announce twice, split a command or reset a session. `Control` does, over a plain socket,
against the real vsftpd.
"""
import os
import socket
import struct

FILES = {"hello.txt": b"Hello from a small file.\n" * 4, "second.txt": b"second\n" * 40, "third.bin": bytes(range(256)) * 8}


def content(root):
    """Files to fetch, and a folder to put files into."""
    os.chmod(root, 0o755)
    for name, data in FILES.items():
        with open(os.path.join(root, name), "wb") as f:
            f.write(data)
    os.makedirs(os.path.join(root, "incoming"), exist_ok=True)
    os.chmod(os.path.join(root, "incoming"), 0o777)


def vsftpd(lab, root, port=21, node="server", **extra):
    os.makedirs("/run/vsftpd/empty", exist_ok=True)
    conf = {"listen": "YES" if lab.family == 4 else "NO", "listen_ipv6": "NO" if lab.family == 4 else "YES",
            "listen_port": port, "background": "NO", "anonymous_enable": "YES", "no_anon_password": "YES",
            "anon_root": root, "write_enable": "YES", "anon_upload_enable": "YES", "anon_umask": "022",
            "connect_from_port_20": "YES", "seccomp_sandbox": "NO", "isolate_network": "NO",
            "idle_session_timeout": 900, "data_connection_timeout": 900, "xferlog_enable": "NO",
            "secure_chroot_dir": "/run/vsftpd/empty", "ftpd_banner": "nfexp", **extra}
    path = os.path.join(root, "..", "vsftpd-%s.conf" % node)
    with open(path, "w") as f:
        f.writelines("%s=%s\n" % kv for kv in conf.items())
    lab.spawn(node, ["vsftpd", os.path.realpath(path)])
    lab.wait_port(node, "tcp", port)


def tftpd(lab, root):
    lab.spawn("server", ["in.tftpd", "--listen", "--foreground", "--ipv%d" % lab.family, "--create", "--secure",
                         "--permissive", "--user", "nobody", "--address", ":69" if lab.family == 4 else "[::]:69",
                         root])
    lab.wait_port("server", "udp", 69)


class Control:
    """A control connection."""

    def __init__(self, lab, server="server", node="client", port=21, source=0):
        self.lab, self.node, self.family = lab, node, socket.AF_INET if lab.family == 4 else socket.AF_INET6
        with lab.inside(node):
            self.s = socket.socket(self.family, socket.SOCK_STREAM)
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.settimeout(20)
        if source:
            self.s.bind(("", source))
        self.s.connect((lab.addr(server), port))
        self.f = self.s.makefile("rb")
        self.reply("220")
        self.cmd("USER anonymous", "230")

    def send(self, text):
        self.s.sendall(text.encode())

    def reply(self, expected):
        """The next reply's last line; it must begin with `expected`."""
        while True:
            line = self.f.readline().decode()
            if line[3:4] == " " and line[:3].isdigit():
                break
            if not line:
                raise EOFError("control connection closed")
        if not line.startswith(expected):
            raise RuntimeError("expected %s, got %r" % (expected, line))
        return line

    def cmd(self, text, expected):
        self.send(text + "\r\n")
        return self.reply(expected)

    def pasv(self):
        """Ask for a passive port and return it."""
        n = self.cmd("PASV", "227").split("(")[1].split(")")[0].split(",")
        return int(n[4]) * 256 + int(n[5])

    def listen(self, node=None, port=0):
        with self.lab.inside(node or self.node):
            s = socket.socket(self.family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((self.lab.addr(node or self.node), port))
        s.listen()
        s.settimeout(20)
        return s

    def port(self, listener):
        """The text of the PORT command that announces a listener."""
        host, port = listener.getsockname()
        return "PORT %s,%d,%d" % (host.replace(".", ","), port >> 8, port & 255)

    def fetch_active(self, listener, name="hello.txt"):
        """Fetch over an announced listener."""
        self.cmd("RETR " + name, "150")
        self._drain(listener.accept()[0])
        self.reply("226")

    def fetch_passive(self, port, name="hello.txt"):
        """Fetch over a passive port."""
        with self.lab.inside(self.node):
            d = socket.create_connection((self.s.getpeername()[0], port), 20)
        self.cmd("RETR " + name, "150")
        self._drain(d)
        self.reply("226")

    @staticmethod
    def _drain(s):
        with s:
            while s.recv(65536):
                pass

    def quit(self):
        self.cmd("QUIT", "221")
        self.close()

    def close(self):
        self.f.close()
        self.s.close()

    def reset(self):
        """End the session with a RST."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
