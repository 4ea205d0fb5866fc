//! Packets of the daemon's own on the side of the local network: out by the TUN as if they had come
//! through a tunnel, and back from it without going into one.
//!
//! What comes back is known by the cookie that its payload begins with. What is asked so, and what
//! follows, is the caller's.

use std::io::{self, IoSlice};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Engine;
use crate::edge::VNET_HEADER;
use crate::transport::{IPV6_HEADER, UDP, is_v6};

/// What a payload of the daemon's own begins with.
pub(crate) const COOKIE_LENGTH: usize = 16;
/// What waits for the daemon; more is let go.
const WAITING: usize = 256;
const UDP_HEADER: usize = 8;

/// Where packets go that come back.
pub(super) struct ReturnTap {
    cookie: [u8; COOKIE_LENGTH],
    back: SyncSender<Vec<u8>>,
}

impl ReturnTap {
    /// True if `packet` was the daemon's own: it is taken, and goes nowhere else.
    pub(super) fn takes(&self, packet: &[u8]) -> bool {
        let is_own = payload(packet).is_some_and(|payload| payload.starts_with(&self.cookie));
        if is_own {
            // A daemon that does not keep up has not heard of it.
            let _full = self.back.try_send(packet.to_vec());
        }
        is_own
    }
}

/// What a UDP datagram carries.
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (protocol, transport) = if is_v6(packet) {
        (packet[6], IPV6_HEADER)
    } else {
        (packet[9], usize::from(packet[0] & 0xf) * 4)
    };
    packet.get(transport + UDP_HEADER..).filter(|_| protocol == UDP)
}

impl Engine {
    /// Hands `packet` to the kernel as if it had come through a tunnel.
    pub(crate) fn to_lan(&self, packet: &[u8]) -> io::Result<()> {
        let parts = [IoSlice::new(&[0; VNET_HEADER]), IoSlice::new(packet)];
        self.first().tun.write(&parts)
    }

    /// UDP datagrams for other zones that begin with `cookie` are handed out from now on, and not
    /// sent; once.
    pub(crate) fn take_back(&self, cookie: [u8; COOKIE_LENGTH]) -> Option<Receiver<Vec<u8>>> {
        let (back, receiver) = sync_channel(WAITING);
        self.tap.set(ReturnTap { cookie, back }).is_ok().then_some(receiver)
    }
}
