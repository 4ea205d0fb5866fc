//! The TUN device: packets of the local network, each behind a virtio-net header.
//!
//! `gso_max_size` stays as it is: lowered to what one UDP send takes, it gains 10 % for connections
//! of the gateway itself, but the kernel cuts every larger super-packet that it forwards, and
//! connections of other hosts lose 25 %.
//! Creates the device, reads and writes it without blocking; it vanishes with the last descriptor,
//! unless it is to wait for the next one. Addresses, routes and MTU are the tunnel's owner's.
//! Interface: Documentation/networking/tuntap.rst of the Linux kernel.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::link::DeviceLink;
use super::queues::{self, TunQueue};
use super::sys;
use crate::edge::TunEdge;
use crate::error::StartError;
use crate::offload::Mergeable;
use crate::offload::{Offload, WantedOffloads};

/// Packets that wait in the kernel while the reader waits for the CPU. With the default of 500 all
/// loss of a burst of small packets is here; more than this only adds delay.
const QUEUE_LENGTH: libc::c_int = 2000;

/// A queue of an open TUN device.
pub(crate) struct Tun {
    queue: TunQueue,
    index: AtomicU32,
    takes_merged: Mergeable,
    wanted: WantedOffloads,
    granted: libc::c_uint,
    link: DeviceLink,
}

impl Tun {
    /// Creates the device `name`, or takes over a persistent one that nobody holds, with a queue for
    /// each of so many lanes. One that was left with a single queue keeps it.
    pub(crate) fn open(
        name: &str,
        wanted: WantedOffloads,
        lanes: usize,
    ) -> Result<Vec<Self>, StartError> {
        check_name(name)?;
        let queues = queues::open(name, lanes).map_err(|error| match error {
            queues::OpenError::Device(source) => match source.raw_os_error() {
                Some(libc::EACCES | libc::EPERM) => not_permitted(name, source),
                _ => StartError::NoTunDevice(source),
            },
            queues::OpenError::Interface(source) => refused(name, source),
        })?;
        let file = &queues[0].reader;
        sys::set_vnet_header_size(file, crate::edge::VNET_HEADER).map_err(|source| {
            StartError::System { action: "set the header size of the TUN device", source }
        })?;
        let index = sys::interface_index(name);
        if let Err(error) = set_queue_length(name) {
            tracing::info!(interface = name, %error, "the TUN device keeps its short queue");
        }
        let granted = ask_for_offloads(file, wanted);
        let none = Mergeable { tcp: false, udp: false };
        let udp = granted & libc::TUN_F_USO4 != 0;
        let takes_merged = if wanted.merge { Mergeable { tcp: true, udp } } else { none };
        tracing::info!(
            interface = name,
            queues = queues.len(),
            tso4 = granted & libc::TUN_F_TSO4 != 0,
            tso6 = granted & libc::TUN_F_TSO6 != 0,
            uso = udp,
            "TUN device is open"
        );
        let of = |queue| Self {
            queue,
            index: AtomicU32::new(index),
            takes_merged,
            wanted,
            granted,
            link: DeviceLink::new(),
        };
        Ok(queues.into_iter().map(of).collect())
    }

    /// The interface index in the namespace in which the device was created.
    pub(crate) fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    /// Makes the device of these queues anew, under the descriptors that its threads read and write
    /// already: to them it is as if it had been down.
    pub(crate) fn renew(tuns: &[Arc<Self>], name: &str) -> Result<(), StartError> {
        if sys::interface_index(name) != 0 {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(StartError::InterfaceExists { name: name.to_owned(), source });
        }
        let system = |source| StartError::System { action: "make the TUN device anew", source };
        let fresh = Self::open(name, tuns[0].wanted, tuns.len())?;
        for (tun, fresh) in tuns.iter().zip(&fresh) {
            tun.queue.take_over(&fresh.queue).map_err(system)?;
            tun.index.store(fresh.index(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// What the kernel does of the bulk work at this edge, by kind.
    pub(crate) fn offloads(&self) -> [(&'static str, Offload); 3] {
        let tso = libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        let all = |kinds| self.granted & kinds == kinds;
        [
            ("tso", Offload::of(self.wanted.tso, all(tso))),
            ("uso", Offload::of(self.wanted.uso, all(libc::TUN_F_USO4 | libc::TUN_F_USO6))),
            ("merge", Offload::of(self.wanted.merge, true)),
        ]
    }

    /// Whether the device, with its addresses and routes, stays when nobody holds it.
    pub(crate) fn set_persistent(&self, persistent: bool) -> io::Result<()> {
        let value = libc::c_ulong::from(persistent);
        // SAFETY: this ioctl takes its argument by value.
        sys::check(unsafe {
            libc::ioctl(self.queue.reader.as_raw_fd(), libc::TUNSETPERSIST, value)
        })
        .map(drop)
    }
}

/// Asks for each kind of super-packet by itself and does without what the kernel refuses. A
/// persistent device has had the offloads of its last owner until then.
fn ask_for_offloads(file: &File, wanted: WantedOffloads) -> libc::c_uint {
    let kinds = [
        (true, 0),
        (true, libc::TUN_F_CSUM),
        (wanted.tso, libc::TUN_F_TSO4),
        (wanted.tso, libc::TUN_F_TSO6),
        (wanted.tso, libc::TUN_F_TSO_ECN),
        // The kernel knows these two together only.
        (wanted.uso, libc::TUN_F_USO4 | libc::TUN_F_USO6),
    ];
    let mut granted = 0;
    for (_, kind) in kinds.into_iter().filter(|(wanted, _)| *wanted) {
        match set_offloads(file, granted | kind) {
            Ok(()) => granted |= kind,
            Err(error) => tracing::info!(kind, %error, "the kernel refuses a TUN offload"),
        }
    }
    granted
}

fn set_queue_length(name: &str) -> io::Result<()> {
    let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = sys::interface_request(name);
    request.ifr_ifru.ifru_metric = QUEUE_LENGTH;
    sys::interface_ioctl(socket.as_raw_fd(), libc::SIOCSIFTXQLEN, &mut request)
}

fn set_offloads(file: &File, mask: libc::c_uint) -> io::Result<()> {
    let mask = libc::c_ulong::from(mask);
    // SAFETY: this ioctl takes its argument by value.
    sys::check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, mask) }).map(drop)
}

impl AsRawFd for Tun {
    fn as_raw_fd(&self) -> RawFd {
        self.queue.reader.as_raw_fd()
    }
}

impl TunEdge for Tun {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.queue.reader).read(buffer)
    }

    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.queue.writer().write_vectored(parts).map(drop)
    }

    fn mtu(&self) -> io::Result<usize> {
        self.link.mtu(&self.queue.reader)
    }

    fn is_up(&self) -> io::Result<bool> {
        self.link.is_up(&self.queue.reader)
    }

    fn takes_merged(&self) -> Mergeable {
        self.takes_merged
    }
}

fn check_name(name: &str) -> Result<(), StartError> {
    let bad = |b: u8| b == b'/' || b == b':' || b == b'%' || b.is_ascii_whitespace() || b == 0;
    let reserved = matches!(name, "." | "..");
    if name.is_empty() || name.len() > 15 || name.bytes().any(bad) || reserved {
        return Err(StartError::InterfaceName { name: name.to_owned() });
    }
    Ok(())
}

fn not_permitted(name: &str, source: io::Error) -> StartError {
    StartError::NotPermitted { name: name.to_owned(), source }
}

/// What a refused TUNSETIFF means: EBUSY is a TUN that another process holds, EINVAL an interface
/// of another kind.
fn refused(name: &str, source: io::Error) -> StartError {
    let taken = sys::interface_index(name) != 0;
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => not_permitted(name, source),
        Some(libc::EBUSY) => StartError::InterfaceExists { name: name.to_owned(), source },
        Some(libc::EINVAL) if taken => {
            StartError::InterfaceExists { name: name.to_owned(), source }
        }
        _ => StartError::System { action: "create the TUN device", source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_interface_can_have_is_refused_before_anything_is_opened() {
        for name in ["", "a-name-of-16-bytes", "a/b", "a b", "..", "zm0:1", "zm%d"] {
            let refused = Tun::open(name, WantedOffloads::ALL, 1).err();
            assert!(matches!(refused, Some(StartError::InterfaceName { .. })), "{name:?}");
        }
        assert!(check_name("zm0").is_ok());
        assert!(check_name("fifteen-bytes-x").is_ok());
    }
}
