//! The Linux edge: TUN device, UDP sockets, waiting.
//!
//! The only module with `unsafe`: each block calls one libc function whose arguments live on this
//! side of the call. Promises that no descriptor leaks into child processes and that nothing here
//! blocks except [`wake::Poller::wait`]. Refuses to know WireGuard.
#![allow(unsafe_code)]

pub(crate) mod control;
mod datagram;
mod fresh;
pub(crate) mod link;
pub(crate) mod priority;
mod queues;
mod socket;
pub(crate) mod sys;
pub(crate) mod time;
pub(crate) mod tun;
pub(crate) mod udp;
pub(crate) mod wake;
