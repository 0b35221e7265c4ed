# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: sessions, made by hand, in which helpers of one kernel read what those of another do not. `nfexp diff-revisions` tells where."""
from edges import number, outgoing, session, streams, talks
from found import RAW, made
from scenarios import scenario


@scenario("kernels", "own-packets", link=RAW, made=True)
def kernels_ftp_numbers():
    """FTP: numbers beyond a byte and ports beyond sixteen bits, which wrap into others, until 7.2 refuses them"""
    all_of = talks(21)
    for command in (b"PORT 1,0,A,2,4,1\r\n", b"PORT 257,0,A,2,4,1\r\n", b"PORT 0,256,A,2,4,1\r\n", b"PORT 1,0,A,258,4,1\r\n", b"PORT 1,0,A,2,4,257\r\n",
                    b"PORT 1,0,A,2,260,1\r\n", b"PORT 1,0,A,2,4,4294967297\r\n", b"EPRT |1|1.0.A.2|5001|\r\n", b"EPRT |1|1.0.A.2|65535|\r\n",
                    b"EPRT |1|1.0.A.2|65536|\r\n", b"EPRT |1|1.0.A.2|70537|\r\n", b"EPRT |1|257.0.A.2|5001|\r\n", b"EPRT |1|0.256.A.2|5001|\r\n"):
        t = next(all_of)
        t.client(b"USER me\r\n")
        t.client(command.replace(b"A", t.ends[0].split(".")[2].encode()))
    for reply in (b"229 (|||5002|)\r\n", b"229 (|||65535|)\r\n", b"229 (|||65536|)\r\n", b"229 (|||70538|)\r\n", b"227 (10,0,0,1,4,255)\r\n",
                  b"227 (10,0,0,1,4,256)\r\n", b"227 (10,0,0,257,4,1)\r\n", b"227 (8,512,0,1,4,1)\r\n"):
        t = next(all_of)
        t.server(b"220 hello\r\n")
        t.server(reply)
    return made(t.frames)


@scenario("kernels", "own-packets", link=RAW, made=True)
def kernels_irc_places():
    """IRC: commands within a message, behind another's, of the server's address, of no port, far behind; old kernels find them all"""
    all_of = talks(6667)
    for text in (b"PRIVMSG b :\1DCC SEND f A 5001 1\1\r\n", b"PRIVMSG b :look \1DCC SEND f A 5001 1\1\r\n", b"\1DCC SEND f A 5001 1\1\r\n",
                 b"NOTICE b :\1DCC SEND f A 5001 1\1\r\n", b"PRIVMSG b :\1DCC SEND f 9 5001 1\1 \1DCC SEND f A 5002 1\1\r\n",
                 b"PRIVMSG b :\1DCC SEND f B 5001 1\1\r\n", b"PRIVMSG b :\1DCC SEND f A 0 1\1\r\n", b"PRIVMSG b :\1DCC SEND f A 65536 1\1\r\n",
                 b"PRIVMSG b :\1DCC WHAT f A 5001 1\1 \1DCC CHAT f A 5002\1\r\n", b"x" * 4200 + b" \1DCC SEND f A 5001 1\1\r\n"):
        t = next(all_of)
        t.client(text.replace(b"A", number(t.ends[0])).replace(b"B", number(t.ends[1])))
    return made(t.frames)


@scenario("kernels", "own-packets", link=RAW, made=True)
def kernels_pptp_keys():
    """PPTP: a second call in one session under numbers that differ, both, the server's, the client's, asked for twice; then GRE"""
    all_of = talks(1723)
    for call, peer in ((7, 8), (17, 18), (17, 8), (7, 18)):
        t = next(all_of)
        session(t)
        outgoing(t)
        outgoing(t, call, peer)
        outgoing(t, call, peer)
        streams(t, 7, 8)
        streams(t, call, peer)
    return made(t.frames)
