//! The UDP sockets: one for IPv4 and one for IPv6 on the same port and, if wanted, for each of them
//! one on a fresh source port beside it.
//!
//! Never connected, so that ICMP errors of one peer are not reported to another. Answers leave
//! from the address that was spoken to; an address that has gone is given up at once. A host
//! without IPv6 gets IPv4 alone. A port that is somebody else's can be had later, under the same
//! descriptors; until then nothing leaves by that family, from no other port either.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::control::{AddressBuffer, ControlBuffer};
use super::datagram::{receive_message, send_message};
use super::fresh::FreshSocket;
use super::socket::{
    FamilySocket, connect, fragments, local_address, local_port, merges_receives, open, set_mark,
};
use super::sys;
use super::wake::WakeBell;
use crate::edge::{OwnPort, ReceivedRun, SocketFamily, SocketName, Transmit, UdpEdge, UdpPath};
use crate::error::StartError;
use crate::offload::{Offload, WantedOffloads};

/// How often a free port is sought for both families when the kernel chooses it: it chooses for IPv4, and
/// somebody may have the same one for IPv6.
const PORT_TRIES: u32 = 16;

/// The sockets of a tunnel.
pub(crate) struct Udp {
    v4: FamilySocket,
    v6: Option<FamilySocket>,
    /// For fresh source ports; none if all is to leave from the listen port.
    fresh: Vec<FreshSocket>,
    port: u16,
    wanted: WantedOffloads,
    offloads: [(&'static str, Offload); 2],
    /// The mark of the sockets, 0 for none: routes depend on it.
    mark: AtomicU32,
    /// Held while a socket forbids fragments.
    whole: Mutex<()>,
    bell: WakeBell,
}

/// A socket that datagrams come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadableSocket {
    pub(crate) name: SocketName,
    pub(crate) fd: RawFd,
}

impl Udp {
    /// Binds `port` for both families; 0 lets the kernel choose.
    pub(crate) fn bind(
        port: u16,
        mark: Option<u32>,
        wanted: WantedOffloads,
    ) -> Result<Self, StartError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::bind_once(port, mark, wanted) {
                Err(StartError::PortInUse { .. }) if port == 0 && tries < PORT_TRIES => {}
                result => return result,
            }
        }
    }

    fn bind_once(port: u16, mark: Option<u32>, wanted: WantedOffloads) -> Result<Self, StartError> {
        let mut udp = Self::open(port, mark, wanted)?;
        udp.v4.listen((Ipv4Addr::UNSPECIFIED, port).into())?;
        udp.port = local_port(&udp.v4.fd)?;
        udp.listen().map(|()| udp)
    }

    /// As [`Self::bind`] with a port of one's own choice; one that is somebody else's is had when
    /// [`Self::listen`] finds it free.
    pub(crate) fn bind_soon(
        port: u16,
        mark: Option<u32>,
        wanted: WantedOffloads,
    ) -> Result<Self, StartError> {
        let udp = Self::open(port, mark, wanted)?;
        match udp.listen() {
            Err(StartError::PortInUse { .. }) | Ok(()) => Ok(udp),
            Err(error) => Err(error),
        }
    }

    /// Sockets without a port.
    fn open(port: u16, mark: Option<u32>, wanted: WantedOffloads) -> Result<Self, StartError> {
        // Two sockets and not one of both families: ECN, the source address and IP_MTU_DISCOVER are
        // options of one family each, and IPv4 addresses would show as mapped ones.
        let v4 = FamilySocket::new(open(libc::AF_INET, mark, wanted)?);
        let v6 = match open(libc::AF_INET6, mark, wanted) {
            Err(StartError::System { source, .. })
                if source.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
            {
                None
            }
            socket => Some(FamilySocket::new(socket?)),
        };
        let mark = AtomicU32::new(mark.unwrap_or(0));
        let gro = Offload::of(wanted.gro, merges_receives(&v4.fd));
        let offloads = [("gso", Offload::of(wanted.gso, true)), ("gro", gro)];
        let action = "create an eventfd";
        let bell = WakeBell::new().map_err(|source| StartError::System { action, source })?;
        let (fresh, whole) = (Vec::new(), Mutex::new(()));
        Ok(Self { v4, v6, fresh, port, wanted, offloads, mark, whole, bell })
    }

    /// The same with room for a fresh source port of each family.
    pub(crate) fn with_fresh_ports(mut self) -> Result<Self, StartError> {
        let families = SocketFamily::ALL.into_iter().filter(|family| self.of(*family).is_ok());
        let fresh = families.map(|family| FreshSocket::new(family, self.mark(), self.wanted));
        self.fresh = fresh.collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Takes the port for the families that do not have it yet.
    ///
    /// # Errors
    /// [`StartError::PortInUse`] while somebody else has it for one of them; the other works.
    pub(crate) fn listen(&self) -> Result<(), StartError> {
        let v6 = self.v6.as_ref().map(|v6| v6.listen((Ipv6Addr::UNSPECIFIED, self.port).into()));
        self.v4.listen((Ipv4Addr::UNSPECIFIED, self.port).into())?;
        if !v6.transpose()?.unwrap_or(false) {
            tracing::info!(self.port, "this host has no IPv6: tunnels use IPv4 only");
        }
        Ok(())
    }

    /// Marks what is sent from now on; `None` takes a mark away.
    pub(crate) fn set_mark(&self, mark: Option<u32>) -> Result<(), StartError> {
        self.mark.store(mark.unwrap_or(0), Ordering::Relaxed);
        self.descriptors().try_for_each(|fd| set_mark(fd, mark))
    }

    fn mark(&self) -> Option<u32> {
        Some(self.mark.load(Ordering::Relaxed)).filter(|mark| *mark != 0)
    }

    fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        let listening = [Some(&self.v4), self.v6.as_ref()].into_iter().flatten();
        let fresh = self.fresh.iter().map(|fresh| &fresh.fd);
        listening.map(|socket| &socket.fd).chain(fresh)
    }

    /// What the kernel does of the bulk work at this edge, by kind.
    pub(crate) fn offloads(&self) -> [(&'static str, Offload); 2] {
        self.offloads
    }

    /// The sockets to wait for while [`Self::has_port`] says so; always the same.
    pub(crate) fn readable(&self) -> Vec<ReadableSocket> {
        let of = |family, port, fd: &OwnedFd| {
            let name = SocketName { family, port };
            ReadableSocket { name, fd: fd.as_raw_fd() }
        };
        let v4 = of(SocketFamily::V4, OwnPort::Listen, &self.v4.fd);
        let v6 = self.v6.as_ref().map(|v6| of(SocketFamily::V6, OwnPort::Listen, &v6.fd));
        let fresh = self.fresh.iter().map(|fresh| of(fresh.family, OwnPort::Fresh, &fresh.fd));
        std::iter::once(v4).chain(v6).chain(fresh).collect()
    }

    /// True if something can come from that socket: a fresh one has a port only now and then.
    pub(crate) fn has_port(&self, socket: SocketName) -> bool {
        socket.port == OwnPort::Listen || self.fresh_port(socket.family).is_some()
    }

    /// Rung when [`Self::has_port`] says something else than before. Others may ring it as well.
    pub(crate) fn bell(&self) -> &WakeBell {
        &self.bell
    }

    fn fresh_of(&self, family: SocketFamily) -> Option<&FreshSocket> {
        self.fresh.iter().find(|fresh| fresh.family == family)
    }

    fn of(&self, family: SocketFamily) -> io::Result<&FamilySocket> {
        match family {
            SocketFamily::V4 => Ok(&self.v4),
            SocketFamily::V6 => self.v6.as_ref().ok_or_else(no_such_family),
        }
    }

    /// Where to send by, if it has a port: without one the kernel would choose another.
    fn sender(&self, name: SocketName) -> io::Result<&OwnedFd> {
        if name.port == OwnPort::Fresh
            && let Some(fresh) = self.fresh_of(name.family)
            && fresh.port().is_some()
        {
            return Ok(&fresh.fd);
        }
        let socket = self.of(name.family)?;
        socket.refusal().map_or(Ok(&socket.fd), Err)
    }

    fn send_from(&self, transmit: &Transmit<'_>, local: Option<IpAddr>) -> io::Result<()> {
        let remote = transmit.path.remote;
        let fd = self.sender(transmit.path.socket())?;
        let mut control = ControlBuffer::new();
        if let Some(local) = local {
            control.push_source(local);
        }
        // For this datagram only: the socket serves all peers.
        if transmit.ecn != 0 {
            control.push_traffic_class(&remote, transmit.ecn);
        }
        if transmit.bytes.len() > transmit.stride {
            let stride = u16::try_from(transmit.stride).map_err(io::Error::other)?;
            control.push_segment(stride);
        }
        let mut address = AddressBuffer::pack(&remote);
        send_message(fd, transmit.bytes, &mut address, &mut control)
    }
}

fn no_such_family() -> io::Error {
    io::Error::from_raw_os_error(libc::EAFNOSUPPORT)
}

/// Errors of a send that name the source address: it was removed, or the route to it went.
fn source_is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL)
    )
}

impl UdpEdge for Udp {
    fn receive(&self, socket: SocketName, buffer: &mut [u8]) -> io::Result<ReceivedRun> {
        let fd = match socket.port {
            OwnPort::Listen => &self.of(socket.family)?.fd,
            OwnPort::Fresh => &self.fresh_of(socket.family).ok_or_else(no_such_family)?.fd,
        };
        let mut address = AddressBuffer::new();
        let mut control = ControlBuffer::new();
        let len = receive_message(fd, buffer, &mut address, &mut control)?;
        let remote = address.parse().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let control = control.parse();
        Ok(ReceivedRun {
            path: UdpPath { remote, local: control.local, from: socket.port },
            len,
            // Without UDP_GRO's message it is one datagram, however long.
            stride: control.segment.filter(|size| *size > 0).unwrap_or(len),
            ecn: control.traffic_class & 0b11,
        })
    }

    fn send(&self, transmit: Transmit<'_>) -> io::Result<()> {
        match self.send_from(&transmit, transmit.path.local) {
            // The peer learns our new address from what it can authenticate; waiting for the routes to
            // be asked again would lose up to a second.
            Err(error) if transmit.path.local.is_some() && source_is_gone(&error) => {
                self.send_from(&transmit, None)
            }
            result => result,
        }
    }

    /// Connecting a UDP socket sends nothing; it looks the route up.
    fn source_towards(&self, remote: SocketAddr) -> Option<IpAddr> {
        let family = if remote.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let probe = sys::socket(family, libc::SOCK_DGRAM, 0).ok()?;
        set_mark(&probe, self.mark()).ok()?;
        connect(&probe, remote).ok()?;
        local_address(&probe).ok().map(|local| local.ip())
    }

    /// Linux has no such flag for a single IPv4 datagram, only for a socket: it is set for the
    /// moment of this send. What the other threads send in that moment is not cut either; it fits
    /// the first link all the same.
    fn send_whole(&self, transmit: Transmit<'_>) -> io::Result<()> {
        let socket = transmit.path.socket();
        let fd = self.sender(socket)?;
        let _one_at_a_time = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let result = fragments(fd, socket.family, false).and_then(|()| self.send(transmit));
        fragments(fd, socket.family, true).and(result)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn fresh_port(&self, family: SocketFamily) -> Option<u16> {
        self.fresh_of(family).and_then(FreshSocket::port)
    }

    fn open_fresh(&self, family: SocketFamily) -> Result<(), StartError> {
        let Some(fresh) = self.fresh_of(family) else { return Ok(()) };
        // Nothing leaves from any port while the listen port is somebody else's.
        let listen = SocketName { family, port: OwnPort::Listen };
        let action = "send from the listen port";
        self.sender(listen).map_err(|source| StartError::System { action, source })?;
        fresh.change(self.mark())?;
        self.bell.ring();
        Ok(())
    }

    fn close_fresh(&self, family: SocketFamily) {
        let Some(fresh) = self.fresh_of(family) else { return };
        if let Err(error) = fresh.close(self.mark()) {
            tracing::debug!(%error, "a fresh UDP port stays bound and is not used");
        }
        // Who waits for the socket of before keeps its port bound.
        self.bell.ring();
    }

    fn takes_runs(&self) -> bool {
        self.wanted.gso
    }
}

#[cfg(test)]
mod tests;
