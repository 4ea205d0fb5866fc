//! The headers of a captured frame: Ethernet, IP, and what is inside.
//!
//! Promises to read any bytes without a panic, and not to guess: where a header is cut off or
//! unknown, the packet ends. Refuses options, tunnels and VLANs, which the Lab's links do not carry.
//! Formats: RFC 791 (IPv4), 8200 (IPv6), 768 (UDP), 9293 (TCP), 792 and 4443 (ICMP).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;

/// The network layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Address resolution.
    Arp,
    /// IPv4, from and to.
    V4([Ipv4Addr; 2]),
    /// IPv6, from and to.
    V6([Ipv6Addr; 2]),
    /// Anything else, or nothing.
    Other,
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpDatagram<'p> {
    /// Source port.
    pub from: u16,
    /// Destination port.
    pub to: u16,
    /// The payload's length as its header says, also where less of it is there.
    pub length: u16,
    /// What is there of the payload.
    pub payload: &'p [u8],
}

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketTransport<'p> {
    /// UDP.
    Udp(UdpDatagram<'p>),
    /// TCP, its two ports.
    Tcp([u16; 2]),
    /// ICMP for IPv4.
    Icmpv4 {
        /// Its type.
        kind: u8,
        /// What follows its header: in an error, the packet that it is about.
        quoted: &'p [u8],
    },
    /// ICMP for IPv6.
    Icmpv6 {
        /// Its type.
        kind: u8,
        /// What follows its header: in an error, the packet that it is about.
        quoted: &'p [u8],
    },
    /// Another protocol, a later fragment, or a header that is cut off.
    Other,
}

/// The headers of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'p> {
    /// The network layer.
    pub net: Net,
    /// What it carries.
    pub transport: PacketTransport<'p>,
}

impl<'p> Packet<'p> {
    const UNREADABLE: Self = Self { net: Net::Other, transport: PacketTransport::Other };

    /// Reads an Ethernet frame.
    #[must_use]
    pub fn of_frame(frame: &'p [u8]) -> Self {
        let Some((header, rest)) = frame.split_at_checked(ETHERNET_HEADER) else {
            return Self::UNREADABLE;
        };
        match header[12..] {
            [0x08, 0x06] => Self { net: Net::Arp, transport: PacketTransport::Other },
            [0x08, 0x00] | [0x86, 0xdd] => Self::of_ip(rest),
            _ => Self::UNREADABLE,
        }
    }

    /// Reads an IP packet.
    #[must_use]
    pub fn of_ip(packet: &'p [u8]) -> Self {
        let read = match packet.first().map(|first| first >> 4) {
            Some(4) => Self::of_ipv4(packet),
            Some(6) => Self::of_ipv6(packet),
            _ => None,
        };
        read.unwrap_or(Self::UNREADABLE)
    }

    fn of_ipv4(packet: &'p [u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        let length = usize::from(header[0] & 0x0f) * 4;
        let address =
            |at: usize| header[at..].first_chunk().map(|bytes: &[u8; 4]| Ipv4Addr::from(*bytes));
        let net = Net::V4([address(12)?, address(16)?]);
        let is_first = short(header, 6)? & 0x1fff == 0;
        let inside = packet.get(length.max(header.len())..).filter(|_| is_first);
        Some(Self { net, transport: PacketTransport::of(header[9], inside.unwrap_or_default()) })
    }

    fn of_ipv6(packet: &'p [u8]) -> Option<Self> {
        let (header, mut rest) = packet.split_at_checked(IPV6_HEADER)?;
        let address =
            |at: usize| header[at..].first_chunk().map(|bytes: &[u8; 16]| Ipv6Addr::from(*bytes));
        let net = Net::V6([address(8)?, address(24)?]);
        let mut next = header[6];
        // Hop-by-hop options stand before the reports of multicast listeners.
        while next == 0 {
            let Some([following, eights]) = rest.first_chunk().copied() else { break };
            next = following;
            rest = rest.get((usize::from(eights) + 1) * 8..).unwrap_or_default();
        }
        Some(Self { net, transport: PacketTransport::of(next, rest) })
    }
}

impl<'p> PacketTransport<'p> {
    fn of(protocol: u8, bytes: &'p [u8]) -> Self {
        let read = match protocol {
            1 => icmp(bytes).map(|(kind, quoted)| Self::Icmpv4 { kind, quoted }),
            6 => ports(bytes).map(Self::Tcp),
            17 => udp(bytes).map(Self::Udp),
            58 => icmp(bytes).map(|(kind, quoted)| Self::Icmpv6 { kind, quoted }),
            _ => None,
        };
        read.unwrap_or(Self::Other)
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn ports(bytes: &[u8]) -> Option<[u16; 2]> {
    Some([short(bytes, 0)?, short(bytes, 2)?])
}

fn udp(bytes: &[u8]) -> Option<UdpDatagram<'_>> {
    let [from, to] = ports(bytes)?;
    let length = short(bytes, 4)?.checked_sub(8)?;
    let payload = bytes.get(UDP_HEADER..)?;
    let payload = payload.get(..usize::from(length)).unwrap_or(payload);
    Some(UdpDatagram { from, to, length, payload })
}

fn icmp(bytes: &[u8]) -> Option<(u8, &[u8])> {
    Some((*bytes.first()?, bytes.get(ICMP_HEADER..)?))
}

impl fmt::Display for Packet<'_> {
    /// `10.10.11.5 -> 10.10.10.5: TCP 40000 -> 9092`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.net {
            Net::Arp => f.write_str("ARP")?,
            Net::V4([from, to]) => write!(f, "{from} -> {to}")?,
            Net::V6([from, to]) => write!(f, "{from} -> {to}")?,
            Net::Other => f.write_str("not IP")?,
        }
        match self.transport {
            PacketTransport::Udp(udp) => {
                write!(f, ": UDP {} -> {}, not WireGuard", udp.from, udp.to)
            }
            PacketTransport::Tcp([from, to]) => write!(f, ": TCP {from} -> {to}"),
            PacketTransport::Icmpv4 { kind, .. } => write!(f, ": ICMP type {kind}"),
            PacketTransport::Icmpv6 { kind, .. } => write!(f, ": ICMPv6 type {kind}"),
            PacketTransport::Other => f.write_str(": no transport header"),
        }
    }
}
