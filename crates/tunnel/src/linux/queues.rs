//! The queues of a TUN device: one, or one for each lane.
//!
//! The kernel chooses the queue of a packet by a hash of its flow, and would move a flow to the queue
//! that the other direction was last written to. Two gateways that both do so can toss a flow from lane
//! to lane for ever, each time out of order. So packets are written by a second descriptor of each lane
//! that is detached from its queue: the kernel learns nothing from it, and a flow's queue is its hash's.
//! Interface: Documentation/networking/tuntap.rst of the Linux kernel, "Multiqueue tuntap interface".

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::sys;

const DEVICE: &str = "/dev/net/tun";
const PLAIN: libc::c_int = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// What one lane reads packets from, and what it writes them to.
pub(super) struct TunQueue {
    pub(super) reader: File,
    writer: Option<File>,
}

impl TunQueue {
    pub(super) fn writer(&self) -> &File {
        self.writer.as_ref().unwrap_or(&self.reader)
    }

    /// From now on these descriptors are those of another device's queue.
    pub(super) fn take_over(&self, fresh: &Self) -> io::Result<()> {
        sys::replace(&self.reader, &fresh.reader)?;
        match (&self.writer, &fresh.writer) {
            (Some(old), Some(new)) => sys::replace(old, new),
            _ => Ok(()),
        }
    }
}

/// Why there is no queue.
pub(super) enum OpenError {
    /// The device node cannot be opened.
    Device(io::Error),
    /// The kernel refuses the interface.
    Interface(io::Error),
}

/// Opens the interface with so many queues; one that was left as it is may have another number.
pub(super) fn open(name: &str, lanes: usize) -> Result<Vec<TunQueue>, OpenError> {
    if lanes > 1 {
        match open_many(name, lanes) {
            Err(OpenError::Interface(error)) if error.raw_os_error() == Some(libc::EINVAL) => {
                let queues = open_one(name, 0)?;
                tracing::warn!(
                    interface = name,
                    "the device was left with one queue: one lane until it is made anew"
                );
                return Ok(queues);
            }
            queues => return queues,
        }
    }
    match open_one(name, 0) {
        // It was left with many.
        Err(OpenError::Interface(error)) if error.raw_os_error() == Some(libc::EINVAL) => {
            check_free(name)?;
            open_one(name, libc::IFF_MULTI_QUEUE).map_err(|_as_before| OpenError::Interface(error))
        }
        queues => queues,
    }
}

fn open_one(name: &str, flags: libc::c_int) -> Result<Vec<TunQueue>, OpenError> {
    Ok(vec![TunQueue { reader: attach(name, flags)?, writer: None }])
}

/// The writers come first, so that their numbers are those of queues that exist.
fn open_many(name: &str, lanes: usize) -> Result<Vec<TunQueue>, OpenError> {
    check_free(name)?;
    let all =
        || (0..lanes).map(|_| attach(name, libc::IFF_MULTI_QUEUE)).collect::<Result<Vec<_>, _>>();
    let writers = all()?;
    for writer in writers.iter().rev() {
        detach(writer).map_err(OpenError::Interface)?;
    }
    let readers = all()?;
    let pair = |(reader, writer)| TunQueue { reader, writer: Some(writer) };
    Ok(readers.into_iter().zip(writers).map(pair).collect())
}

fn attach(name: &str, flags: libc::c_int) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(DEVICE).map_err(OpenError::Device)?;
    let mut request = sys::interface_request(name);
    request.ifr_ifru.ifru_flags = (PLAIN | flags) as libc::c_short;
    sys::interface_ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request)
        .map_err(OpenError::Interface)?;
    Ok(file)
}

fn detach(file: &File) -> io::Result<()> {
    let mut request = sys::interface_request("");
    request.ifr_ifru.ifru_flags = libc::IFF_DETACH_QUEUE as libc::c_short;
    sys::interface_ioctl(file.as_raw_fd(), libc::TUNSETQUEUE, &mut request)
}

/// Of a device with many queues the kernel gives some to whoever asks: one that another process holds is
/// left to it.
fn check_free(name: &str) -> Result<(), OpenError> {
    if sys::interface_index(name) != 0 && sys::has_carrier(name).map_err(OpenError::Interface)? {
        return Err(OpenError::Interface(io::Error::from_raw_os_error(libc::EBUSY)));
    }
    Ok(())
}
