//! Thin safe wrappers round the libc calls that both edges use.
//!
//! Turns -1 into [`io::Error`] and sizes into the types of the C interface; decides nothing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// The result of a libc call that says -1 for "see errno".
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The result of a libc call that returns a length, or -1 for "see errno".
pub(crate) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// Takes ownership of the descriptor that a libc call returned.
pub(crate) fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just handed out this descriptor, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the descriptor of `old` lead to what that of `new` leads to, in one step for all threads.
pub(crate) fn replace(old: &impl AsFd, new: &impl AsFd) -> io::Result<()> {
    let (old, new) = (old.as_fd().as_raw_fd(), new.as_fd().as_raw_fd());
    // SAFETY: no pointers are passed; both descriptors are open as long as their owners.
    check(unsafe { libc::dup3(new, old, libc::O_CLOEXEC) }).map(drop)
}

/// A socket that does not block and is closed on exec.
pub(crate) fn socket(
    family: libc::c_int,
    kind: libc::c_int,
    protocol: libc::c_int,
) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    own(unsafe { libc::socket(family, kind, protocol) })
}

/// Sets a socket option of type `int`.
pub(crate) fn set_option(
    fd: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let pointer = (&raw const value).cast();
    // SAFETY: `pointer` leads to `size` bytes that live until the call returns.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer, size) }).map(drop)
}

/// Reads a socket option of type `int`.
pub(crate) fn option(
    fd: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    let pointer = (&raw mut value).cast();
    // SAFETY: `pointer` leads to `size` writable bytes, and both live until the call returns.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, pointer, &raw mut size) })?;
    Ok(value)
}

/// The user at the other end of a unix socket, as it was when that connected.
pub(crate) fn peer_user(socket: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name, pointer) = (libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast());
    // SAFETY: `pointer` leads to `size` writable bytes, and both live until the call returns.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, pointer, &raw mut size) })?;
    Ok(peer.uid)
}

/// The index of an interface in this network namespace, 0 if there is none of that name.
pub(crate) fn interface_index(name: &str) -> u32 {
    let Ok(name) = std::ffi::CString::new(name) else {
        return 0;
    };
    // SAFETY: `name` is a C string that lives until the call returns.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// An `ifreq` that carries `name`, which has at most 15 bytes.
pub(crate) fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is a C struct of integers and unions of integers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// An ioctl whose argument is an `ifreq`.
pub(crate) fn interface_ioctl(
    fd: RawFd,
    request: libc::Ioctl,
    argument: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: all ioctls used with this function read and write one `ifreq` and nothing else.
    check(unsafe { libc::ioctl(fd, request, std::ptr::from_mut(argument)) }).map(drop)
}

/// Sets how long the header before each packet of a TUN is: a persistent device keeps the size
/// that its last owner wanted.
pub(crate) fn set_vnet_header_size(tun: &File, size: usize) -> io::Result<()> {
    let size = libc::c_int::try_from(size).map_err(io::Error::other)?;
    // SAFETY: this ioctl reads one int, which lives until the call returns.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) }).map(drop)
}

/// The answer to SIOCGIFMTU.
pub(crate) fn requested_mtu(request: &libc::ifreq) -> libc::c_int {
    // SAFETY: every bit pattern is an integer, and the union is initialised as a whole.
    unsafe { request.ifr_ifru.ifru_mtu }
}

/// The answer to SIOCGIFFLAGS.
pub(crate) fn requested_flags(request: &libc::ifreq) -> libc::c_int {
    // SAFETY: every bit pattern is an integer, and the union is initialised as a whole.
    libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags })
}

/// True if an interface has carrier: a TUN device has as long as somebody holds it.
pub(crate) fn has_carrier(name: &str) -> io::Result<bool> {
    /// `struct ethtool_value` of linux/ethtool.h.
    #[repr(C)]
    struct EthtoolValue {
        command: u32,
        data: u32,
    }
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    const ETHTOOL_GLINK: u32 = 0xa;
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut value = EthtoolValue { command: ETHTOOL_GLINK, data: 0 };
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let argument = std::ptr::from_mut(&mut request);
    // SAFETY: this ioctl reads one `ifreq` and writes the `EthtoolValue` that it points to; both live until
    // the call returns.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, argument) })?;
    Ok(value.data != 0)
}
