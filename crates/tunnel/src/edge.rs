//! The two edges of the data plane, as the engine sees them: packets on one side, datagrams on the
//! other.
//!
//! The engine moves bytes between these traits and knows nothing below them: in production they
//! are the Linux TUN device and UDP sockets (`linux/`), in tests they are queues in memory.
//! Neither blocks; waiting is the business of the threads.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use crate::error::StartError;
use crate::offload::Mergeable;

/// The size of the header before each packet of a TUN device: `struct virtio_net_hdr`
/// (virtio 1.2, section 5.1.6).
pub(crate) const VNET_HEADER: usize = 10;

/// The largest IP packet, and the largest run of datagrams that one receive can return.
pub(crate) const MAX_PACKET: usize = 65_535;

/// Which of the two kinds of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketFamily {
    V4,
    V6,
}

impl SocketFamily {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Which of our ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnPort {
    /// The one that peers are told of.
    Listen,
    /// One of the kernel's choice beside it, which no NAT on the way has seen; the listen port while
    /// there is none.
    Fresh,
}

impl OwnPort {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Listen => Self::Fresh,
            Self::Fresh => Self::Listen,
        }
    }
}

/// Which of the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketName {
    pub(crate) family: SocketFamily,
    pub(crate) port: OwnPort,
}

/// Where datagrams go, and from which of our addresses and ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpPath {
    pub(crate) remote: SocketAddr,
    /// The address the peer spoke to: answers come from it. `None` leaves the choice to the routes.
    pub(crate) local: Option<IpAddr>,
    /// The port the peer spoke to.
    pub(crate) from: OwnPort,
}

impl UdpPath {
    /// The socket to send by.
    pub(crate) fn socket(&self) -> SocketName {
        SocketName { family: SocketFamily::of(self.remote), port: self.from }
    }
}

/// What one receive returned: one datagram, or several of `stride` bytes (the last may be shorter)
/// from one sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceivedRun {
    pub(crate) path: UdpPath,
    pub(crate) len: usize,
    pub(crate) stride: usize,
    /// The outer ECN field (RFC 3168).
    pub(crate) ecn: u8,
}

/// A run of datagrams to one peer: each of `stride` bytes, the last may be shorter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transmit<'a> {
    pub(crate) path: UdpPath,
    pub(crate) bytes: &'a [u8],
    pub(crate) stride: usize,
    /// The outer ECN field (RFC 3168).
    pub(crate) ecn: u8,
}

/// The side of the local network.
pub(crate) trait TunEdge: Send + Sync {
    /// Reads one packet behind its [`VNET_HEADER`]; `WouldBlock` when there is none.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes one packet; the parts begin with its [`VNET_HEADER`].
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()>;
    /// The MTU that is set now, in bytes.
    fn mtu(&self) -> io::Result<usize>;
    /// True if the device is up: packets can come from it and go to it.
    fn is_up(&self) -> io::Result<bool>;
    /// Which packets it takes merged.
    fn takes_merged(&self) -> Mergeable;
}

/// The side of the Internet.
pub(crate) trait UdpEdge: Send + Sync {
    /// Receives one run; `WouldBlock` when there is none.
    fn receive(&self, socket: SocketName, buffer: &mut [u8]) -> io::Result<ReceivedRun>;
    /// Sends one run.
    fn send(&self, transmit: Transmit<'_>) -> io::Result<()>;
    /// Sends one datagram that nobody on the way may cut into fragments; `EMSGSIZE` if it does not
    /// even fit the first link.
    fn send_whole(&self, transmit: Transmit<'_>) -> io::Result<()>;
    /// Our address towards `remote`, as the routes choose it now; `None` without a route.
    fn source_towards(&self, remote: SocketAddr) -> Option<IpAddr>;
    /// The listen port.
    fn port(&self) -> u16;
    /// True if datagrams leave from this port.
    fn sends_from(&self, port: u16) -> bool {
        let fresh = |family| self.fresh_port(family) == Some(port);
        self.port() == port || SocketFamily::ALL.into_iter().any(fresh)
    }
    /// The fresh port of this family; `None` while there is none.
    fn fresh_port(&self, family: SocketFamily) -> Option<u16>;
    /// Opens a fresh port of this family, in place of the one that was. Where none is wanted none
    /// is opened.
    fn open_fresh(&self, family: SocketFamily) -> Result<(), StartError>;
    /// Gives up the fresh port of this family.
    fn close_fresh(&self, family: SocketFamily);
    /// True if it sends many datagrams at once.
    fn takes_runs(&self) -> bool;
}
