# SPDX-License-Identifier: GPL-2.0-only
"""Grown sessions (`grow.py`): of some hundred of a kind those that reach most of what reads them, or announce most."""
import random

import grow
from found import RAW, made
from mixed import gatekeeper, mixed, registrar
from scenarios import scenario

KINDS = {"gatekeeper": gatekeeper, "h323": grow.h323, "mixed": mixed, "registrar": registrar, "sctp": grow.sctp, "tcp": grow.tcp}
# Timeouts that may end in a slow capture. What masters take along, when a worker comes by seconds late, is not asked: no UDP
# connection is as old as thirty seconds, and no registration of H.323, which gives its master another time, is in it.
ENDS = ["nf_conntrack_tcp_timeout_" + state for state in (
    "syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "unacknowledged", "max_retrans")]


def slow(kind, r, n):
    """When each of `n` packets comes, in microseconds, and the options of such a replay."""
    begins, now, times = set(r.choices(range(n), k=6)), 0, []
    for i in range(n):
        now += 3_000_000 - now % 1_000_000 if i in begins else 1000
        times.append(now)
    short = r.sample(ENDS, r.randrange(len(ENDS))) if kind == "tcp" else []
    return times, ";".join(["pace=1;tail=3"] + ["sysctl=%s:%d" % (name, r.choice((1, 2, 4, 5, 7, 8))) for name in short])


def over_time(kind, n):
    """A session in which time passes, and the options of its replay."""
    frames = KINDS[kind](grow.read_types(), random.Random(n))
    times, options = slow(kind, random.Random(n), len(frames))
    return [(at * 1000, frame) for at, frame in zip(times, frames)], options


def sessions(kind, *numbers):
    """These sessions, one behind the other."""
    types = grow.read_types()
    return made([frame for n in numbers for frame in KINDS[kind](types, random.Random(n))])


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_h323():
    """H.323 grown from the decoder's types: registrations, calls, control channels, with every field that may be there"""
    return sessions("h323", 200, 224, 91, 198, 155, 106, 134, 19, 150, 187)


@scenario("grown", "own-packets", link=RAW, made=True, also={"host": "local=10.6.0.100/24"})
def grown_mixed():
    """all helpers among four hosts and a few ports: what one connection announces is announced by others, and comes to them"""
    return sessions("mixed", 143, 71, 63, 12, 137, 69, 45, 32, 85)


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_tcp():
    """TCP: any packet after any, with numbers that are waited for, or lie beside, across or far from the window"""
    return sessions("tcp", 132, 110, 68, 3, 7)


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_sctp():
    """SCTP: any chunk after any, under the right tag, none, or another's"""
    return sessions("sctp", 87, 147, 33, 1, 9, 11)


PHONES, SLOWLY = over_time("registrar", 266)
CONNECTIONS, SHORT = over_time("tcp", 349)


@scenario("grown", "own-packets", link=RAW, made=True, options=SLOWLY)
def grown_registrations():
    """SIP over time: phones register for seconds, are called, and what was announced ends"""
    return PHONES


@scenario("grown", "own-packets", link=RAW, made=True, options=SHORT)
def grown_tcp_over_time():
    """TCP over time: any packet after any, with timeouts of seconds"""
    return CONNECTIONS
