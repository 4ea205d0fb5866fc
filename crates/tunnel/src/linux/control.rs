//! ReceivedControl messages (RFC 3542, section 20) and socket addresses, packed and parsed as bytes.
//!
//! Carries the five things a datagram needs beside its bytes: our own address, the outer ECN
//! field, the segment size both ways. Whatever else the kernel adds is skipped. All of it is safe
//! code over byte slices; the layout comes from libc's own structs.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const ALIGN: usize = size_of::<usize>();
const HEADER: usize = size_of::<libc::cmsghdr>().next_multiple_of(ALIGN);
const LEN_AT: usize = offset_of!(libc::cmsghdr, cmsg_len);
const LEVEL_AT: usize = offset_of!(libc::cmsghdr, cmsg_level);
const KIND_AT: usize = offset_of!(libc::cmsghdr, cmsg_type);

/// Room for every control message that one datagram carries here.
#[repr(align(8))]
pub(crate) struct ControlBuffer {
    pub(crate) bytes: [u8; 192],
    pub(crate) used: usize,
}

impl ControlBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 192], used: 0 }
    }

    fn push(&mut self, level: libc::c_int, kind: libc::c_int, value: &[u8]) {
        let len = HEADER + value.len();
        let message = &mut self.bytes[self.used..self.used + len.next_multiple_of(ALIGN)];
        message[LEN_AT..LEN_AT + ALIGN].copy_from_slice(&len.to_ne_bytes());
        message[LEVEL_AT..LEVEL_AT + 4].copy_from_slice(&level.to_ne_bytes());
        message[KIND_AT..KIND_AT + 4].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..len].copy_from_slice(value);
        self.used += len.next_multiple_of(ALIGN);
    }

    /// The datagram leaves from this address of ours.
    pub(crate) fn push_source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(ip) => {
                let mut info = [0; size_of::<libc::in_pktinfo>()];
                let at = offset_of!(libc::in_pktinfo, ipi_spec_dst);
                info[at..at + 4].copy_from_slice(&ip.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(ip) => {
                let mut info = [0; size_of::<libc::in6_pktinfo>()];
                let at = offset_of!(libc::in6_pktinfo, ipi6_addr);
                info[at..at + 16].copy_from_slice(&ip.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// The kernel cuts the bytes into datagrams of this size.
    pub(crate) fn push_segment(&mut self, size: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }

    /// The traffic class of the outer header.
    pub(crate) fn push_traffic_class(&mut self, remote: &SocketAddr, class: u8) {
        let value = libc::c_int::from(class).to_ne_bytes();
        match remote {
            SocketAddr::V4(_) => self.push(libc::IPPROTO_IP, libc::IP_TOS, &value),
            SocketAddr::V6(_) => self.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value),
        }
    }

    /// What the kernel said about a received datagram; `used` is what it filled in.
    pub(crate) fn parse(&self) -> ReceivedControl {
        let mut control = ReceivedControl::default();
        let mut rest = &self.bytes[..self.used.min(self.bytes.len())];
        while let Some((level, kind, value, after)) = next_message(rest) {
            control.take(level, kind, value);
            rest = after;
        }
        control
    }
}

fn next_message(bytes: &[u8]) -> Option<(libc::c_int, libc::c_int, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(array(bytes, LEN_AT)?);
    let level = libc::c_int::from_ne_bytes(array(bytes, LEVEL_AT)?);
    let kind = libc::c_int::from_ne_bytes(array(bytes, KIND_AT)?);
    let value = bytes.get(HEADER..len)?;
    let after = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((level, kind, value, after))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.first_chunk().copied()
}

/// What the kernel said about a received datagram.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceivedControl {
    /// The address of ours that it was sent to.
    pub(crate) local: Option<IpAddr>,
    /// The size of the datagrams that were merged into one.
    pub(crate) segment: Option<usize>,
    /// The traffic class of its outer header.
    pub(crate) traffic_class: u8,
}

impl ReceivedControl {
    fn take(&mut self, level: libc::c_int, kind: libc::c_int, value: &[u8]) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                self.local = array::<4>(value, offset_of!(libc::in_pktinfo, ipi_spec_dst))
                    .map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.local = array::<16>(value, offset_of!(libc::in6_pktinfo, ipi6_addr))
                    .map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = array(value, 0).map(libc::c_int::from_ne_bytes);
                self.segment = size.and_then(|size| usize::try_from(size).ok());
            }
            // IP_TOS comes as one byte, IPV6_TCLASS as an int.
            (libc::IPPROTO_IP, libc::IP_TOS) => {
                self.traffic_class = value.first().copied().unwrap_or_default();
            }
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                let class = array(value, 0).map(libc::c_int::from_ne_bytes);
                self.traffic_class = class.and_then(|c| u8::try_from(c).ok()).unwrap_or_default();
            }
            _ => {}
        }
    }
}

/// A socket address as the kernel reads and writes it.
#[repr(align(8))]
pub(crate) struct AddressBuffer {
    pub(crate) bytes: [u8; size_of::<libc::sockaddr_in6>()],
    pub(crate) used: usize,
}

impl AddressBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; size_of::<libc::sockaddr_in6>()], used: size_of::<libc::sockaddr_in6>() }
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    pub(crate) fn pack(address: &SocketAddr) -> Self {
        let mut packed = Self::new();
        match address {
            SocketAddr::V4(v4) => {
                packed.put(0, &(libc::AF_INET as libc::sa_family_t).to_ne_bytes());
                packed.put(offset_of!(libc::sockaddr_in, sin_port), &v4.port().to_be_bytes());
                packed.put(offset_of!(libc::sockaddr_in, sin_addr), &v4.ip().octets());
                packed.used = size_of::<libc::sockaddr_in>();
            }
            SocketAddr::V6(v6) => {
                packed.put(0, &(libc::AF_INET6 as libc::sa_family_t).to_ne_bytes());
                packed.put(offset_of!(libc::sockaddr_in6, sin6_port), &v6.port().to_be_bytes());
                packed.put(offset_of!(libc::sockaddr_in6, sin6_addr), &v6.ip().octets());
                let scope = v6.scope_id().to_ne_bytes();
                packed.put(offset_of!(libc::sockaddr_in6, sin6_scope_id), &scope);
            }
        }
        packed
    }

    pub(crate) fn parse(&self) -> Option<SocketAddr> {
        let bytes = self.bytes.get(..self.used)?;
        let family = libc::sa_family_t::from_ne_bytes(array(bytes, 0)?);
        match libc::c_int::from(family) {
            libc::AF_INET => {
                let port = array(bytes, offset_of!(libc::sockaddr_in, sin_port))?;
                let ip = array::<4>(bytes, offset_of!(libc::sockaddr_in, sin_addr))?;
                Some(SocketAddrV4::new(ip.into(), u16::from_be_bytes(port)).into())
            }
            libc::AF_INET6 => {
                let port = array(bytes, offset_of!(libc::sockaddr_in6, sin6_port))?;
                let ip = array::<16>(bytes, offset_of!(libc::sockaddr_in6, sin6_addr))?;
                let scope = array(bytes, offset_of!(libc::sockaddr_in6, sin6_scope_id))?;
                let scope = u32::from_ne_bytes(scope);
                Some(SocketAddrV6::new(ip.into(), u16::from_be_bytes(port), 0, scope).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_packing() {
        for text in ["192.0.2.1:51820", "[2001:db8::7]:1", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(AddressBuffer::pack(&address).parse(), Some(address));
        }
    }

    #[test]
    fn control_messages_survive_packing() {
        let mut buffer = ControlBuffer::new();
        buffer.push_source("2001:db8::1".parse().unwrap());
        buffer.push_segment(1452);
        buffer.push_traffic_class(&"[::1]:1".parse().unwrap(), 0b10);
        let control = buffer.parse();
        assert_eq!(control.local, "2001:db8::1".parse().ok());
        assert_eq!(control.traffic_class, 0b10);
        assert_eq!(control.segment, None, "a segment size is sent, never received");
    }

    #[test]
    fn a_cut_off_control_message_is_skipped() {
        let mut buffer = ControlBuffer::new();
        buffer.push_source("192.0.2.9".parse().unwrap());
        for used in 0..buffer.used - 4 {
            buffer.used = used;
            assert_eq!(buffer.parse().local, None);
        }
    }
}
