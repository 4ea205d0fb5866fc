//! One datagram, or one run of them, in one system call: `sendmsg` and `recvmsg`.
//!
//! Knows no more than a descriptor, bytes, an address and control messages.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use super::control::{AddressBuffer, ControlBuffer};
use super::{sys, wake};

/// How long a send waits for room in a full socket buffer before it tries again.
const PATIENCE: Duration = Duration::from_millis(20);

pub(super) fn send_message(
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

pub(super) fn receive_message(
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
