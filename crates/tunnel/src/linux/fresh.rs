//! The socket of a fresh source port: beside the listening one, of one family.
//!
//! Changed for another under the same descriptor, so that whoever waits for it or sends by it goes
//! on. When it is opened, changed and given up is not decided here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};

use super::socket::{bind, local_port, open};
use super::sys;
use crate::edge::SocketFamily;
use crate::error::StartError;
use crate::offload::WantedOffloads;

/// A socket that has a port of the kernel's choice, or none.
pub(super) struct FreshSocket {
    pub(super) family: SocketFamily,
    pub(super) fd: OwnedFd,
    /// 0 while there is none.
    port: AtomicU16,
    wanted: WantedOffloads,
}

impl FreshSocket {
    /// Without a port.
    pub(super) fn new(
        family: SocketFamily,
        mark: Option<u32>,
        wanted: WantedOffloads,
    ) -> Result<Self, StartError> {
        let fd = open(number_of(family), mark, wanted)?;
        Ok(Self { family, fd, port: AtomicU16::new(0), wanted })
    }

    pub(super) fn port(&self) -> Option<u16> {
        // Whoever sees the port finds the socket that has it behind the descriptor.
        Some(self.port.load(Ordering::Acquire)).filter(|port| *port != 0)
    }

    /// Takes another port and gives up that of before. With an error all stays as it was.
    pub(super) fn change(&self, mark: Option<u32>) -> Result<(), StartError> {
        let any: SocketAddr = match self.family {
            SocketFamily::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketFamily::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let next = open(number_of(self.family), mark, self.wanted)?;
        // Before the other one goes: the kernel might choose its port again.
        bind(&next, any)?;
        let port = local_port(&next)?;
        self.replace(&next)?;
        self.port.store(port, Ordering::Release);
        Ok(())
    }

    /// Gives its port up.
    pub(super) fn close(&self, mark: Option<u32>) -> Result<(), StartError> {
        self.port.store(0, Ordering::Release);
        self.replace(&open(number_of(self.family), mark, self.wanted)?)
    }

    fn replace(&self, next: &OwnedFd) -> Result<(), StartError> {
        let action = "take a fresh UDP port";
        sys::replace(&self.fd, next).map_err(|source| StartError::System { action, source })
    }
}

fn number_of(family: SocketFamily) -> libc::c_int {
    match family {
        SocketFamily::V4 => libc::AF_INET,
        SocketFamily::V6 => libc::AF_INET6,
    }
}
