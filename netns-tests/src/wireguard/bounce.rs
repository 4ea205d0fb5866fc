//! ICMP errors about datagrams that passed: anybody who knows both ends can forge them.
//!
//! Owns the words "fragmentation needed" (RFC 1191) and "packet too big" (RFC 4443), and the count of
//! the fragments that come of being believed. Refuses to be sent outside a namespace of the lab.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};

use zonemesh_lab::namespace::Namespace;

const UDP: u8 = 17;
/// How many are sent: the kernel takes only so many errors in a second.
const COPIES: u32 = 5;

/// A UDP datagram that is said to have been too long.
#[derive(Debug, Clone, Copy)]
pub struct Blamed {
    /// Who sent it, and is to believe it.
    pub from: SocketAddr,
    /// Where it went.
    pub to: SocketAddr,
}

/// Tells the sender of a datagram, from somewhere in `namespace`, that nothing above `mtu` passes.
///
/// # Errors
/// When the two ends are of different families, or without the right to send raw packets.
pub fn forge(namespace: &Namespace, blamed: Blamed, mtu: u16) -> Result<()> {
    let (family, protocol, message) = match (blamed.from, blamed.to) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => {
            (AddressFamily::Inet, SockProtocol::Icmp, fragmentation_needed(blamed, mtu))
        }
        (SocketAddr::V6(_), SocketAddr::V6(_)) => {
            (AddressFamily::Inet6, SockProtocol::IcmpV6, packet_too_big(blamed, mtu))
        }
        _ => anyhow::bail!("two families: {blamed:?}"),
    };
    let victim = SockaddrStorage::from(SocketAddr::new(blamed.from.ip(), 0));
    namespace.inside(|| {
        let raw = socket(family, SockType::Raw, SockFlag::empty(), protocol)
            .context("cannot open a raw socket: this needs CAP_NET_RAW")?;
        for _ in 0..COPIES {
            let sent = sendto(raw.as_raw_fd(), &message, &victim, MsgFlags::empty())?;
            ensure!(sent == message.len(), "{sent} bytes were sent");
        }
        Ok(())
    })
}

/// The datagram's UDP header, without a checksum.
fn udp(blamed: Blamed) -> [u8; 8] {
    let ([a, b], [c, d]) = (blamed.from.port().to_be_bytes(), blamed.to.port().to_be_bytes());
    [a, b, c, d, 5, 0xc4, 0, 0]
}

fn fragmentation_needed(blamed: Blamed, mtu: u16) -> Vec<u8> {
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend_from_slice(&mtu.to_be_bytes());
    message.extend_from_slice(&[0x45, 0, 5, 0xd8, 0, 0, 0x40, 0, 63, UDP, 0, 0]);
    for end in [blamed.from, blamed.to] {
        if let SocketAddr::V4(end) = end {
            message.extend_from_slice(&end.ip().octets());
        }
    }
    message.extend_from_slice(&udp(blamed));
    let sum = message.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// The kernel writes the checksum: it covers addresses that only it knows.
fn packet_too_big(blamed: Blamed, mtu: u16) -> Vec<u8> {
    let mut message = vec![2, 0, 0, 0];
    message.extend_from_slice(&u32::from(mtu).to_be_bytes());
    message.extend_from_slice(&[0x60, 0, 0, 0, 5, 0xc4, UDP, 63]);
    for end in [blamed.from, blamed.to] {
        if let SocketAddr::V6(end) = end {
            message.extend_from_slice(&end.ip().octets());
        }
    }
    message.extend_from_slice(&udp(blamed));
    message
}

/// A counter in a namespace for the fragments that it forwards.
#[derive(Debug)]
pub struct Fragments<'a> {
    router: &'a Namespace,
}

impl<'a> Fragments<'a> {
    /// Begins to count.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn count(router: &'a Namespace) -> Result<Self> {
        super::storm::load(
            router,
            "table inet zm_cut {\n  counter zm_fragments {\n  }\n  chain cut {\n\
             \x20   type filter hook prerouting priority -450; policy accept;\n\
             \x20   ip frag-off & 0x3fff != 0 counter name zm_fragments\n\
             \x20   exthdr frag exists counter name zm_fragments\n  }\n}\n",
        )?;
        Ok(Self { router })
    }

    /// The count so far.
    ///
    /// # Errors
    /// When nft shows none.
    pub fn read(&self) -> Result<u64> {
        super::storm::counter(self.router, "zm_fragments")
    }
}
