//! MTU and state of the TUN device, wherever the device is.
//!
//! A TUN can be moved to another network namespace while this process stays behind. Its descriptor
//! leads there: a socket opened in that namespace by a short-lived thread answers for it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use super::sys;

/// Answers for the device of a TUN descriptor.
pub(crate) struct DeviceLink(Mutex<Option<RememberedLink>>);

/// A socket in the namespace with this inode.
struct RememberedLink {
    namespace: u64,
    socket: OwnedFd,
}

impl DeviceLink {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The MTU of the device in bytes.
    pub(crate) fn mtu(&self, tun: &File) -> io::Result<usize> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.socket_beside(tun, &mut remembered)?;
        let mut request = sys::interface_request("");
        // The name may have changed with the namespace.
        sys::interface_ioctl(tun.as_raw_fd(), libc::TUNGETIFF, &mut request)?;
        sys::interface_ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request)?;
        usize::try_from(sys::requested_mtu(&request)).map_err(io::Error::other)
    }

    /// True if the device is up.
    pub(crate) fn is_up(&self, tun: &File) -> io::Result<bool> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.socket_beside(tun, &mut remembered)?;
        let mut request = sys::interface_request("");
        sys::interface_ioctl(tun.as_raw_fd(), libc::TUNGETIFF, &mut request)?;
        sys::interface_ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request)?;
        Ok(sys::requested_flags(&request) & libc::IFF_UP != 0)
    }

    fn socket_beside<'a>(
        &self,
        tun: &File,
        remembered: &'a mut Option<RememberedLink>,
    ) -> io::Result<&'a OwnedFd> {
        // SAFETY: this ioctl takes no argument.
        let found = sys::own(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNGETDEVNETNS, 0) })?;
        let namespace = File::from(found);
        let inode = namespace.metadata()?.ino();
        let known = remembered.take().filter(|known| known.namespace == inode);
        let known = match known {
            Some(known) => known,
            None => RememberedLink { namespace: inode, socket: socket_in(namespace)? },
        };
        Ok(&remembered.insert(known).socket)
    }
}

/// Opens a socket in another namespace. A thread that ends at once enters it, so that no thread
/// that lives on does.
fn socket_in(namespace: File) -> io::Result<OwnedFd> {
    let enter = move || {
        // SAFETY: no pointers are passed; only this thread changes its namespace.
        sys::check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
        sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
    };
    let thread = std::thread::Builder::new().name("zm-link".to_owned()).spawn(enter)?;
    thread.join().unwrap_or_else(|_panic| Err(io::ErrorKind::Other.into()))
}
