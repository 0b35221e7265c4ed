#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Record the captures of this folder again, with what the running kernel made of them.

    sudo ./record.py record [NAME...]            captures and the kernel's log; `--slow` for those that wait minutes
    sudo RIG=path/to/rig.py ./record.py golden [NAME...]    goldens: each capture three times through the kernel
    ./record.py check                            do the log of the recording and the golden tell the same story?
    ./record.py index                            write INDEX.tsv
    ./record.py list

Linux, root, Python 3.11. Debian packages (`--install` fetches them): see PACKAGES.
"""
import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile

import edges  # noqa: F401 (these register their scenarios)
import found  # noqa: F401
import grown  # noqa: F401
import h323  # noqa: F401
import hosts  # noqa: F401
import kernels  # noqa: F401
import lies  # noqa: F401
import peers
import scenarios
import services  # noqa: F401
import sip  # noqa: F401
import sniff
from lab import Lab, sysctl

PACKAGES = ("iproute2 nftables conntrack tcpdump ethtool vsftpd tftpd-hpa tftp-hpa atftp curl lftp tnftp "
            "ngircd sane-utils amanda-server amanda-client openbsd-inetd samba samba-common-bin snmpd snmp "
            "pptpd pptp-linux sip-tester").split()
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPECT_MAX = "net/netfilter/nf_conntrack_expect_max"
RUNS = 3


@contextlib.contextmanager
def machine_wide(settings):
    """Set files of /proc/sys or /sys for a while."""
    old = []
    try:
        for path, value in settings:
            with open(path) as f:
                old.append((path, f.read().strip()))
            with open(path, "w") as f:
                f.write(value)
        yield
    finally:
        for path, value in old:
            with open(path, "w") as f:
                f.write(value)


def expect_max(s):
    return [("/proc/sys/" + EXPECT_MAX, str(s.expect_max))] if s.expect_max else []


def record(s):
    path = os.path.join(HERE, s.capture)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if s.made_from:
        sniff.ethernet_to_null(os.path.join(HERE, scenarios.ALL[s.made_from].capture), path)
        return
    if s.made:
        with open(path, "wb") as f:
            f.write(sniff.pcap(s.run(), link=s.link))
        return
    settings = expect_max(s) + [("/sys/module/" + p, v) for p, v in s.params]
    with machine_wide(settings), tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        root = os.path.join(top, "files")
        os.mkdir(root)
        peers.content(root)
        lab = Lab(s.family, s.link, s.helpers)
        try:
            with lab.inside("router"):
                for k, v in s.sysctls:
                    sysctl(k, v)
            steps = s.run(lab, root)
            next(steps)                                                # servers are up
            events = sniff.Events(lab, log_path(s))
            rec = (sniff.Arrivals(lab, path, s.form) if isinstance(s.form, str) else
                   sniff.Tcpdump(lab, path, s.form[0], *s.form[1:]))
            for _ in steps:
                pass
            rec.stop()
            events.stop()
        finally:
            lab.close()


def log_path(s):
    return os.path.join(HERE, s.folder, s.name + ".expect.log")


def goldens(s):
    """(path without HERE, options) of each golden of a capture."""
    for suffix, options in {"": s.options, **s.also}.items():
        yield "%s/%s%s.golden.jsonl" % (s.folder, s.name, "+" + suffix if suffix else ""), options


def golden(s, rig):
    for target, options in goldens(s):
        with machine_wide(expect_max(s)), tempfile.TemporaryDirectory() as top:
            jobs = os.path.join(top, "jobs.tsv")
            with open(jobs, "w") as f:
                f.write("golden\t%s\t%s\n" % (os.path.join(HERE, s.capture), options))
            r = subprocess.run([sys.executable, rig, "golden", "--jobs", jobs, "--golden", top, "--runs", str(1 if s.slow else RUNS)],
                               text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if r.returncode:
                raise RuntimeError(r.stdout.strip())
            with open(os.path.join(top, "golden.jsonl")) as src, open(os.path.join(HERE, target), "w") as dst:
                dst.write(with_expect_max(s, src.read()))
            print("%-28s %s" % (s.name, r.stdout.strip()[7:].strip()))


def with_expect_max(s, recorded):
    """The rig does not know what is machine-wide; a reader of the head has to."""
    if not s.expect_max:
        return recorded
    head, rest = recorded.split("\n", 1)
    head = json.loads(head)
    head["head"].setdefault("sysctl", {})["nf_conntrack_expect_max"] = str(s.expect_max)
    return json.dumps(head, separators=(",", ":")) + "\n" + rest


LOG = re.compile(r"\[(\d+\.\d+)\s*\]\s+\[(NEW|DESTROY)\] \d+ (.*)")


def told_live(s):
    """The events of the kernel's log: kind, tuple, mask, master, class, helper."""
    with open(log_path(s)) as f:
        for line in f:
            m = LOG.match(line)
            if not m:
                raise ValueError("%s: unknown line %r" % (s.name, line))
            d = {}
            for k, v in (w.split("=", 1) for w in m[3].split() if "=" in w):
                if k in ("srckey", "dstkey"):                          # of GRE
                    k, v = {"srckey": "sport", "dstkey": "dport"}[k], str(int(v, 16))
                d.setdefault(k, []).append(v)                          # ports: of tuple, mask and master
            one = {k: v[0] for k, v in d.items()}
            yield (m[2], one["src"], one["dst"], one["proto"], d["sport"][0], d["dport"][0], one["mask-src"],
                   one["master-src"], one["master-dst"], d["sport"][2], d["dport"][2], one["class"],
                   one.get("helper"))


def told_golden(path):
    with open(os.path.join(HERE, path)) as f:
        for line in f:
            for e in json.loads(line).get("ev", ()):
                if e["e"] in ("exp_new", "exp_destroy"):
                    t, m = e["tuple"], e["master"]
                    yield ("NEW" if e["e"] == "exp_new" else "DESTROY",
                           *(str(x) for x in (t["src"], t["dst"], t["l4"], t["sport"], t["dport"], e["mask"]["src"],
                                              m["src"], m["dst"], m["sport"], m["dport"], e["class"],
                                              e.get("helper"))))


def check(s):
    target, _ = next(goldens(s))
    if not os.path.exists(os.path.join(HERE, target)):
        print("%-28s has no golden yet" % s.name)
        return True
    live, gold = (list(told_golden(target)) if s.made_from or s.made else list(told_live(s))), list(told_golden(target))
    if live != gold:
        print("%-28s DIFFERS: live %d events, golden %d" % (s.name, len(live), len(gold)))
        for a in live:
            print("    live  ", *a)
        for a in gold:
            print("    golden", *a)
    return live == gold


def index():
    rows = ["golden\tcapture\toptions\texpect_max\tlog\thelper\texp_new\texp_destroy\trelated\tpackets\tdescription"]
    for s in scenarios.ALL.values():
        log = "-" if s.made_from or s.made else os.path.relpath(log_path(s), HERE)
        for n, (target, options) in enumerate(goldens(s)):
            if not os.path.exists(os.path.join(HERE, target)):
                continue                                               # not recorded yet
            with open(os.path.join(HERE, target)) as f:
                lines = [json.loads(x) for x in f]
            head = lines[0]["head"]
            helpers = sorted({e["helper"] for x in lines for e in x.get("ev", ()) if "helper" in e})
            c = head["counts"]
            suffix = " (this golden: %s)" % list(s.also)[n - 1] if n else ""
            rows.append("\t".join(map(str, (
                target, s.capture, options or "-", s.expect_max or "-", log if not n else "-", ",".join(helpers) or "-",
                c["exp_new"], c["exp_destroy"], head["related"], head["packets"], s.about + suffix))))
    with open(os.path.join(HERE, "INDEX.tsv"), "w") as f:
        f.write("\n".join(rows) + "\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("do", choices=("record", "golden", "check", "index", "list"))
    ap.add_argument("names", nargs="*")
    ap.add_argument("--slow", action="store_true", help="also those that wait for minutes")
    ap.add_argument("--install", action="store_true", help="install the Debian packages first")
    a = ap.parse_args()
    chosen = [scenarios.ALL[n] for n in a.names] or [
        s for s in scenarios.ALL.values() if a.slow or not s.slow or a.do in ("check", "list")]
    if a.install:
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], check=True)
    if a.do == "list":
        for s in chosen:
            print("%-24s %s" % (s.name, s.about))
    elif a.do == "index":
        index()
    elif a.do == "check":
        return int(not all([check(s) for s in chosen]))
    else:
        if a.do == "golden" and "RIG" not in os.environ:
            ap.error("RIG=path/to/rig.py is not set")
        # One CPU, so that packets are recorded in the order in which conntrack sees them.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        bad = 0
        for s in chosen:
            try:
                golden(s, os.environ["RIG"]) if a.do == "golden" else record(s)
                if a.do == "record":
                    print("%-28s %d bytes" % (s.name, os.path.getsize(os.path.join(HERE, s.capture))), flush=True)
            except Exception as e:
                bad += 1
                print("%-28s FAIL %s: %s" % (s.name, type(e).__name__, e), flush=True)
        return int(bad > 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
