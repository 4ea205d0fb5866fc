//! The UDP sockets: one for IPv4 and one for IPv6 on the same port.
//!
//! Never connected, so that ICMP errors of one peer are not reported to another. Answers leave
//! from the address that was spoken to; an address that has gone is given up at once. A host
//! without IPv6 gets IPv4 alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::control::{AddressBuffer, ControlBuffer};
use super::socket::{
    bind, connect, fragments, local_address, local_port, merges_receives, open, set_mark,
};
use super::{sys, wake};
use crate::edge::{ReceivedRun, SocketFamily, Transmit, UdpEdge, UdpPath};
use crate::error::StartError;
use crate::offload::{Offload, WantedOffloads};

/// How long a send waits for room in a full socket buffer before it tries again.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often a free port is sought for both families when the kernel chooses it: it chooses for IPv4, and
/// somebody may have the same one for IPv6.
const PORT_TRIES: u32 = 16;

/// The sockets of a tunnel.
pub(crate) struct Udp {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
    port: u16,
    takes_runs: bool,
    offloads: [(&'static str, Offload); 2],
    /// The mark of the sockets, 0 for none: routes depend on it.
    mark: AtomicU32,
    /// Held while a socket forbids fragments.
    whole: Mutex<()>,
}

/// A socket that datagrams come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadableSocket {
    pub(crate) family: SocketFamily,
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
        let v4 = open(libc::AF_INET, mark, wanted)?;
        // Two sockets and not one of both families: ECN, the source address and IP_MTU_DISCOVER are
        // options of one family each, and IPv4 addresses would show as mapped ones.
        bind(&v4, (Ipv4Addr::UNSPECIFIED, port).into())?;
        let port = local_port(&v4)?;
        let v6 = match open(libc::AF_INET6, mark, wanted) {
            Err(StartError::System { source, .. })
                if source.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
            {
                None
            }
            socket => Some(socket?),
        };
        // With disable_ipv6=1 the family exists, but its addresses do not.
        let v6 = match v6.map(|v6| bind(&v6, (Ipv6Addr::UNSPECIFIED, port).into()).map(|()| v6)) {
            Some(Err(StartError::System { source, .. }))
                if source.raw_os_error() == Some(libc::EADDRNOTAVAIL) =>
            {
                None
            }
            socket => socket.transpose()?,
        };
        if v6.is_none() {
            tracing::info!(port, "this host has no IPv6: tunnels use IPv4 only");
        }
        let mark = AtomicU32::new(mark.unwrap_or(0));
        let gro = Offload::of(wanted.gro, merges_receives(&v4));
        let offloads = [("gso", Offload::of(wanted.gso, true)), ("gro", gro)];
        Ok(Self { v4, v6, port, takes_runs: wanted.gso, offloads, mark, whole: Mutex::new(()) })
    }

    /// Marks what is sent from now on; `None` takes a mark away.
    pub(crate) fn set_mark(&self, mark: Option<u32>) -> Result<(), StartError> {
        self.mark.store(mark.unwrap_or(0), Ordering::Relaxed);
        [Some(&self.v4), self.v6.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|fd| set_mark(fd, mark))
    }

    /// What the kernel does of the bulk work at this edge, by kind.
    pub(crate) fn offloads(&self) -> [(&'static str, Offload); 2] {
        self.offloads
    }

    /// The sockets to wait for.
    pub(crate) fn readable(&self) -> Vec<ReadableSocket> {
        let of = |family, fd: &OwnedFd| ReadableSocket { family, fd: fd.as_raw_fd() };
        let v6 = self.v6.as_ref().map(|fd| of(SocketFamily::V6, fd));
        std::iter::once(of(SocketFamily::V4, &self.v4)).chain(v6).collect()
    }

    fn socket(&self, family: SocketFamily) -> io::Result<&OwnedFd> {
        match family {
            SocketFamily::V4 => Ok(&self.v4),
            SocketFamily::V6 => {
                self.v6.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
            }
        }
    }

    fn send_from(&self, transmit: &Transmit<'_>, local: Option<IpAddr>) -> io::Result<()> {
        let remote = transmit.path.remote;
        let family = if remote.is_ipv4() { SocketFamily::V4 } else { SocketFamily::V6 };
        let fd = self.socket(family)?;
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

/// Errors of a send that name the source address: it was removed, or the route to it went.
fn source_is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL)
    )
}

impl UdpEdge for Udp {
    fn receive(&self, family: SocketFamily, buffer: &mut [u8]) -> io::Result<ReceivedRun> {
        let fd = self.socket(family)?;
        let mut address = AddressBuffer::new();
        let mut control = ControlBuffer::new();
        let len = receive_message(fd, buffer, &mut address, &mut control)?;
        let remote = address.parse().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let control = control.parse();
        Ok(ReceivedRun {
            path: UdpPath { remote, local: control.local },
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
        let mark = self.mark.load(Ordering::Relaxed);
        set_mark(&probe, (mark != 0).then_some(mark)).ok()?;
        connect(&probe, remote).ok()?;
        local_address(&probe).ok().map(|local| local.ip())
    }

    /// Linux has no such flag for a single IPv4 datagram, only for a socket: it is set for the
    /// moment of this send. What the other threads send in that moment is not cut either; it fits
    /// the first link all the same.
    fn send_whole(&self, transmit: Transmit<'_>) -> io::Result<()> {
        let family =
            if transmit.path.remote.is_ipv4() { SocketFamily::V4 } else { SocketFamily::V6 };
        let fd = self.socket(family)?;
        let _one_at_a_time = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let result = fragments(fd, family, false).and_then(|()| self.send(transmit));
        fragments(fd, family, true).and(result)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn takes_runs(&self) -> bool {
        self.takes_runs
    }
}

fn send_message(
    fd: &OwnedFd,
    bytes: &[u8],
    address: &mut AddressBuffer,
    control: &mut ControlBuffer,
) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let message = message(&mut part, address, control);
    let mut patience = 3;
    loop {
        // SAFETY: all that `message` points to lives until the call returns; sendmsg only reads.
        let result =
            sys::check_len(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, 0) });
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A full buffer is the device's queue: dropping here would drop whole runs. Bounded, for the
            // other direction of the thread waits as well.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                wake::wait_writable(fd, PATIENCE)?;
            }
            result => return result.map(drop),
        }
    }
}

fn receive_message(
    fd: &OwnedFd,
    buffer: &mut [u8],
    address: &mut AddressBuffer,
    control: &mut ControlBuffer,
) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    control.used = control.bytes.len();
    let mut message = message(&mut part, address, control);
    // SAFETY: all that `message` points to is writable, as long as it says, and lives until the
    // call returns.
    let len = sys::check_len(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0) })?;
    address.used = (message.msg_namelen as usize).min(address.bytes.len());
    control.used = message.msg_controllen.min(control.bytes.len());
    Ok(len)
}

fn message(
    part: &mut libc::iovec,
    address: &mut AddressBuffer,
    control: &mut ControlBuffer,
) -> libc::msghdr {
    // SAFETY: `msghdr` is a C struct of pointers and integers, for which zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.bytes.as_mut_ptr().cast();
    message.msg_namelen = address.used as libc::socklen_t;
    message.msg_iov = part;
    message.msg_iovlen = 1;
    if control.used > 0 {
        message.msg_control = control.bytes.as_mut_ptr().cast();
        message.msg_controllen = control.used;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_now(udp: &Udp, family: SocketFamily, buffer: &mut [u8]) -> ReceivedRun {
        for _ in 0..1000 {
            match udp.receive(family, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                result => return result.unwrap(),
            }
        }
        panic!("nothing arrived on the loopback interface");
    }

    #[test]
    fn a_datagram_arrives_with_both_addresses_and_its_ecn_field() {
        let (a, b) = (
            Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
            Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        );
        let path = UdpPath {
            remote: (Ipv4Addr::LOCALHOST, b.port()).into(),
            local: Some("127.0.0.9".parse().unwrap()),
        };
        let bytes = b"hello";
        let transmit = Transmit { path, bytes, stride: bytes.len(), ecn: 0b10 };
        a.send(transmit).unwrap();
        let mut buffer = [0; 100];
        let received = receive_now(&b, SocketFamily::V4, &mut buffer);
        assert_eq!(&buffer[..received.len], bytes);
        assert_eq!(received.path.remote, ([127, 0, 0, 9], a.port()).into());
        assert_eq!(received.path.local, "127.0.0.1".parse().ok());
        assert_eq!((received.stride, received.ecn), (5, 0b10));
    }

    #[test]
    fn a_source_address_that_is_gone_is_given_up() {
        let (a, b) = (
            Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
            Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        );
        let path = UdpPath {
            remote: (Ipv4Addr::LOCALHOST, b.port()).into(),
            local: Some("192.0.2.200".parse().unwrap()),
        };
        let transmit = Transmit { path, bytes: b"x", stride: 1, ecn: 0 };
        a.send(transmit).unwrap();
        let received = receive_now(&b, SocketFamily::V4, &mut [0; 10]);
        assert_eq!(received.path.remote.ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn a_whole_datagram_arrives_and_data_may_be_cut_again_after_it() {
        let (a, b) = (
            Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
            Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        );
        let path = UdpPath { remote: (Ipv4Addr::LOCALHOST, b.port()).into(), local: None };
        let bytes = vec![7; 1400];
        a.send_whole(Transmit { path, bytes: &bytes, stride: 1400, ecn: 0 }).unwrap();
        let mut buffer = [0; 1500];
        assert_eq!(receive_now(&b, SocketFamily::V4, &mut buffer).len, 1400);
        let mut mode: libc::c_int = -1;
        let mut len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: both pointers lead to values that live until the call returns.
        let result = unsafe {
            let (level, name) = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
            let value = (&raw mut mode).cast();
            libc::getsockopt(a.v4.as_raw_fd(), level, name, value, &raw mut len)
        };
        assert_eq!((result, mode), (0, libc::IP_PMTUDISC_OMIT));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let first = Udp::bind(0, None, WantedOffloads::ALL).unwrap();
        let second = Udp::bind(first.port(), None, WantedOffloads::ALL).err();
        assert!(matches!(second, Some(StartError::PortInUse { port, .. }) if port == first.port()));
    }
}
