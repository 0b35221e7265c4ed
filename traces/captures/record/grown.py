# SPDX-License-Identifier: GPL-2.0-only
"""Grown sessions (`grow.py`): of some hundred of a kind those that reach most of what reads them, or announce most."""
import random

import grow
from found import RAW, made
from mixed import mixed
from scenarios import scenario

KINDS = {"h323": grow.h323, "mixed": mixed, "sctp": grow.sctp, "tcp": grow.tcp}


def sessions(kind, *numbers):
    """These sessions, one behind the other."""
    types = grow.read_types()
    return made([frame for n in numbers for frame in KINDS[kind](types, random.Random(n))])


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_h323():
    """H.323 grown from the decoder's types: registrations, calls, control channels, with every field that may be there"""
    return sessions("h323", 200, 224, 91, 198, 155, 106, 134, 19, 150, 187)


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_mixed():
    """all helpers among four hosts and a few ports: what one connection announces is announced by others, and comes to them"""
    return sessions("mixed", 46, 93, 71, 16, 1, 31, 60)


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_tcp():
    """TCP: any packet after any, with numbers that are waited for, or lie beside, across or far from the window"""
    return sessions("tcp", 132, 110, 68, 3, 7)


@scenario("grown", "own-packets", link=RAW, made=True)
def grown_sctp():
    """SCTP: any chunk after any, under the right tag, none, or another's"""
    return sessions("sctp", 87, 147, 33, 1, 9, 11)
