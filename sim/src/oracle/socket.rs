// SPDX-License-Identifier: GPL-2.0-only
//! A netlink socket: one asks and hears the answer, another listens.
//!
//! *Link*: requests go out, answers come back, in order. *Listener*: subscribed to groups; what
//! the kernel tells everybody queues there, in the order in which it happened.
//!
//! The rule that matters: ctnetlink queues an event before the call that caused it returns, so
//! draining the listener after each operation is a barrier and needs no waiting.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname,
    recv, send, setsockopt, socket, sockopt,
};

use super::netlink::{DONE, ERROR, Message, Messages};

/// Room for what the kernel says while nobody reads.
const QUEUE_BYTES: usize = 64 << 20;
const BUFFER_BYTES: usize = 1 << 18;

/// A socket that asks.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Link {
    /// A socket of a netlink protocol, in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel has no such protocol.
    pub fn new(protocol: SockProtocol) -> Result<Self, Errno> {
        let (socket, port) = open(protocol, 0)?;
        Ok(Self { socket, port, sequence: 0, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Which port the kernel gave it: an event that carries it was caused by a request of ours.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// The number of the next request.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends a request that asks for an acknowledgement or a dump, and hands each message of
    /// the answer on.
    ///
    /// # Errors
    /// What the kernel answers, and what the socket says.
    pub fn ask(
        &mut self,
        request: &[u8],
        mut heard: impl FnMut(&Message<'_>),
    ) -> Result<(), Errno> {
        send(self.socket.as_raw_fd(), request, MsgFlags::empty())?;
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            for message in Messages(&self.buffer[..length]) {
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    ERROR | DONE => {
                        return match message.errno() {
                            0 => Ok(()),
                            errno => Err(Errno::from_raw(errno)),
                        };
                    }
                    _ => heard(&message),
                }
            }
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Listener {
    /// Listens to groups (a mask) of netfilter, in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel has no such protocol.
    pub fn new(groups: u32) -> Result<Self, Errno> {
        let (socket, _) = open(SockProtocol::NetlinkNetFilter, groups)?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Hands on all that has been said since the last time.
    ///
    /// # Errors
    /// `ENOBUFS` if something was lost.
    pub fn drain(&mut self, mut heard: impl FnMut(&Message<'_>)) -> Result<(), Errno> {
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => Messages(&self.buffer[..length]).for_each(|message| heard(&message)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

fn open(protocol: SockProtocol, groups: u32) -> Result<(OwnedFd, u32), Errno> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&socket, sockopt::RcvBufForce, &QUEUE_BYTES)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    let address: NetlinkAddr = getsockname(socket.as_raw_fd())?;
    Ok((socket, address.pid()))
}
