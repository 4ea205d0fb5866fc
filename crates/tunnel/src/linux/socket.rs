//! One UDP socket: its options, and the addresses it is bound or connected to.
//!
//! Promises that a socket that is returned reports where datagrams were addressed and how they were
//! marked, and that what the kernel lacks of bulk work is done without. Knows nothing of peers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::control::AddressBuffer;
use super::sys;
use crate::edge::SocketFamily;
use crate::error::StartError;
use crate::offload::WantedOffloads;

/// Socket buffers: one merged receive counts its true size, and a handshake may hold up the reader.
const SOCKET_BUFFER: libc::c_int = 8 << 20;

/// The socket of one family.
pub(super) struct FamilySocket {
    pub(super) fd: OwnedFd,
    /// The errno that a send meets while the socket has no port; 0 when it has one.
    refuses: AtomicI32,
}

impl FamilySocket {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, refuses: AtomicI32::new(libc::EADDRINUSE) }
    }

    /// Takes the port, if it has none yet. True if it has one then: this machine has the family.
    pub(super) fn listen(&self, address: SocketAddr) -> Result<bool, StartError> {
        if self.refuses.load(Ordering::Relaxed) == 0 {
            return Ok(true);
        }
        match bind(&self.fd, address) {
            // With disable_ipv6=1 the family exists, but its addresses do not.
            Err(StartError::System { source, .. })
                if source.raw_os_error() == Some(libc::EADDRNOTAVAIL) =>
            {
                self.refuses.store(libc::EAFNOSUPPORT, Ordering::Relaxed);
                Ok(false)
            }
            bound => {
                bound?;
                self.refuses.store(0, Ordering::Relaxed);
                Ok(true)
            }
        }
    }

    /// Why nothing can be sent, if it has no port: without one the kernel would choose another.
    pub(super) fn refusal(&self) -> Option<io::Error> {
        let errno = self.refuses.load(Ordering::Relaxed);
        (errno != 0).then(|| io::Error::from_raw_os_error(errno))
    }
}

/// A UDP socket of this family with all that the engine needs set.
pub(super) fn open(
    family: libc::c_int,
    mark: Option<u32>,
    wanted: WantedOffloads,
) -> Result<OwnedFd, StartError> {
    let system = |action| move |source| StartError::System { action, source };
    let fd = sys::socket(family, libc::SOCK_DGRAM, 0).map_err(system("open a UDP socket"))?;
    if mark.is_some() {
        set_mark(&fd, mark)?;
    }
    let option = |level, name, value| {
        sys::set_option(&fd, level, name, value).map_err(system("set an option of a UDP socket"))
    };
    let kind = if family == libc::AF_INET {
        option(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        option(libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        SocketFamily::V4
    } else {
        option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        option(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        option(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        SocketFamily::V6
    };
    // A smaller MTU on the way means fragments, not a black hole, and no word of ICMP counts: anybody
    // can say it, and one such message would cut our datagrams into pieces for ten minutes.
    fragments(&fd, kind, true).map_err(system("set an option of a UDP socket"))?;
    if wanted.gro
        && let Err(error) = sys::set_option(&fd, libc::SOL_UDP, libc::UDP_GRO, 1)
    {
        tracing::info!(%error, "the kernel refuses UDP GRO");
    }
    enlarge_buffers(&fd).map_err(system("enlarge the buffers of a UDP socket"))?;
    Ok(fd)
}

/// True if the socket returns datagrams that follow each other in one receive.
pub(super) fn merges_receives(fd: &OwnedFd) -> bool {
    sys::option(fd, libc::SOL_UDP, libc::UDP_GRO).is_ok_and(|value| value != 0)
}

/// Allows or forbids that datagrams of this socket are cut into fragments, here or on the way. Neither
/// takes heed of what the kernel was told of the path (ip(7), `IP_MTU_DISCOVER`): we probe it.
pub(super) fn fragments(fd: &OwnedFd, family: SocketFamily, allowed: bool) -> io::Result<()> {
    match family {
        SocketFamily::V4 => {
            let mode = if allowed { libc::IP_PMTUDISC_OMIT } else { libc::IP_PMTUDISC_PROBE };
            sys::set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, mode)
        }
        SocketFamily::V6 => {
            let mode = if allowed { libc::IPV6_PMTUDISC_OMIT } else { libc::IPV6_PMTUDISC_PROBE };
            let whole = libc::c_int::from(!allowed);
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode)?;
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, whole)
        }
    }
}

/// Without a mark there was none to need a capability for: a refusal to set 0 is no failure.
pub(super) fn set_mark(fd: &OwnedFd, mark: Option<u32>) -> Result<(), StartError> {
    let value = mark.unwrap_or(0);
    let result = sys::set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, value.cast_signed());
    match (result, mark) {
        (Err(source), Some(mark)) => Err(StartError::FirewallMark { mark, source }),
        _ => Ok(()),
    }
}

/// Beyond the system's limit where that is allowed, up to it elsewhere.
pub(super) fn enlarge_buffers(fd: &OwnedFd) -> io::Result<()> {
    for (force, plain) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        sys::set_option(fd, libc::SOL_SOCKET, force, SOCKET_BUFFER).or_else(|_no_capability| {
            sys::set_option(fd, libc::SOL_SOCKET, plain, SOCKET_BUFFER)
        })?;
    }
    Ok(())
}

pub(super) fn bind(fd: &OwnedFd, address: SocketAddr) -> Result<(), StartError> {
    let packed = AddressBuffer::pack(&address);
    // SAFETY: pointer and length describe `packed`, which lives until the call returns.
    let result = sys::check(unsafe {
        let pointer = packed.bytes.as_ptr().cast();
        libc::bind(fd.as_raw_fd(), pointer, packed.used as libc::socklen_t)
    });
    result.map(drop).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => StartError::PortInUse { port: address.port(), source },
        _ => StartError::System { action: "bind the UDP port", source },
    })
}

pub(super) fn connect(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let packed = AddressBuffer::pack(&address);
    // SAFETY: pointer and length describe `packed`, which lives until the call returns.
    let result = sys::check(unsafe {
        let pointer = packed.bytes.as_ptr().cast();
        libc::connect(fd.as_raw_fd(), pointer, packed.used as libc::socklen_t)
    });
    result.map(drop)
}

pub(super) fn local_port(fd: &OwnedFd) -> Result<u16, StartError> {
    local_address(fd)
        .map(|address| address.port())
        .map_err(|source| StartError::System { action: "read the bound UDP port", source })
}

pub(super) fn local_address(fd: &OwnedFd) -> io::Result<SocketAddr> {
    let mut address = AddressBuffer::new();
    let mut len = address.used as libc::socklen_t;
    // SAFETY: both pointers lead to values that live until the call returns; `len` is the room.
    sys::check(unsafe {
        let pointer = address.bytes.as_mut_ptr().cast();
        libc::getsockname(fd.as_raw_fd(), pointer, &raw mut len)
    })?;
    address.used = len as usize;
    address.parse().ok_or_else(|| io::ErrorKind::InvalidData.into())
}
