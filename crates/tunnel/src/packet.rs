//! Inner IP packets, as far as a tunnel looks at them: version, length, source, destination.
//!
//! Parsing never panics and never trusts a length field. Specification: RFC 791, RFC 8200.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// The addresses and length of an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InnerPacket {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// What the header says; never more than the bytes that are there.
    pub(crate) len: usize,
}

impl InnerPacket {
    /// Reads the header of the packet at the start of `bytes`; what follows it is padding.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let inner = match bytes.first()? >> 4 {
            4 => Self::parse_v4(bytes.first_chunk()?)?,
            6 => Self::parse_v6(bytes.first_chunk()?),
            _ => return None,
        };
        (inner.len <= bytes.len()).then_some(inner)
    }

    fn parse_v4(header: &[u8; IPV4_HEADER]) -> Option<Self> {
        let header_len = usize::from(header[0] & 0xf) * 4;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
        (header_len >= IPV4_HEADER && len >= header_len).then_some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            len,
        })
    }

    fn parse_v6(header: &[u8; IPV6_HEADER]) -> Self {
        let (mut source, mut destination) = ([0; 16], [0; 16]);
        source.copy_from_slice(&header[8..24]);
        destination.copy_from_slice(&header[24..40]);
        Self {
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            len: IPV6_HEADER + usize::from(u16::from_be_bytes([header[4], header[5]])),
        }
    }
}

/// The length to which a packet is padded before it is sealed: the next multiple of 16, but never
/// beyond the MTU of the tunnel (WireGuard paper, section 5.4.6).
pub(crate) fn padded_len(len: usize, mtu: usize) -> usize {
    len.next_multiple_of(16).min(mtu).max(len)
}

#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, clippy::panic, dead_code)]
pub(crate) mod samples {
    //! Small valid packets for tests.

    use super::*;

    /// A UDP-less packet of protocol 253 (RFC 3692, experiments) with `payload`.
    pub(crate) fn ip_packet(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
        let mut packet = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let len = (IPV4_HEADER + payload.len()) as u16;
                let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 253, 0, 0];
                packet[2..4].copy_from_slice(&len.to_be_bytes());
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut packet = vec![0x60, 0, 0, 0, 0, 0, 253, 64];
                packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet
            }
            _ => panic!("two families in one packet"),
        };
        packet.extend(payload);
        packet
    }

    /// Addresses of two hosts.
    pub(crate) fn hosts(v6: bool) -> (IpAddr, IpAddr) {
        let (source, destination) =
            if v6 { ("2001:db8:1::7", "2001:db8:2::7") } else { ("10.1.0.7", "10.2.0.7") };
        (source.parse().unwrap(), destination.parse().unwrap())
    }

    /// A TCP segment with a right checksum; options are a multiple of four.
    pub(crate) fn tcp_packet(
        v6: bool,
        flags: u8,
        sequence: u32,
        options: &[u8],
        payload: &[u8],
    ) -> Vec<u8> {
        let offset = (20 + options.len()) as u8 / 4;
        let mut tcp = vec![0x12, 0x34, 0, 80];
        tcp.extend(sequence.to_be_bytes());
        tcp.extend([0, 0, 0, 9, offset << 4, flags, 1, 0, 0, 0, 0, 0]);
        tcp.extend(options);
        tcp.extend(payload);
        with_checksum(v6, 6, 16, &tcp)
    }

    /// A UDP datagram with a right checksum.
    pub(crate) fn udp_packet(v6: bool, port: u8, payload: &[u8]) -> Vec<u8> {
        let mut udp = vec![0x12, 0x34, 0, port];
        udp.extend((8 + payload.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        with_checksum(v6, 17, 6, &udp)
    }

    fn with_checksum(v6: bool, protocol: u8, at: usize, transport: &[u8]) -> Vec<u8> {
        let (source, destination) = hosts(v6);
        let mut packet = ip_packet(source, destination, transport);
        let start = packet.len() - transport.len();
        if v6 {
            packet[6] = protocol;
        } else {
            packet[9] = protocol;
            packet[6] = 0x40;
            crate::transport::refresh_ipv4_checksum(&mut packet[..20]);
        }
        let sum = crate::checksum::sum(transport)
            + crate::checksum::pseudo_header(
                crate::transport::addresses(&packet),
                protocol,
                transport.len(),
            );
        let mut checksum = crate::checksum::finish(sum);
        // RFC 768: a UDP checksum of zero is sent as all ones.
        if protocol == 17 && checksum == [0, 0] {
            checksum = [0xff, 0xff];
        }
        packet[start + at..start + at + 2].copy_from_slice(&checksum);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_after_the_packet_is_not_part_of_it() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let mut packet = samples::ip_packet(source, destination, b"12345");
            let len = packet.len();
            packet.resize(len + 11, 0);
            let inner = InnerPacket::parse(&packet).unwrap();
            assert_eq!(inner, InnerPacket { source, destination, len });
            assert_eq!(InnerPacket::parse(&packet[..len - 1]), None);
        }
    }

    #[test]
    fn an_ipv4_length_below_its_header_is_refused() {
        let (source, destination) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut packet = samples::ip_packet(source, destination, b"12345");
        packet[2..4].copy_from_slice(&19u16.to_be_bytes());
        assert_eq!(InnerPacket::parse(&packet), None);
    }

    #[test]
    fn padding_stops_at_the_mtu() {
        assert_eq!(padded_len(0, 1420), 0);
        assert_eq!(padded_len(1, 1420), 16);
        assert_eq!(padded_len(1408, 1420), 1408);
        assert_eq!(padded_len(1409, 1420), 1420);
        assert_eq!(padded_len(1420, 1420), 1420);
        assert_eq!(padded_len(1421, 1420), 1421, "a packet is never cut");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(inner) = InnerPacket::parse(&bytes) {
                prop_assert!(inner.len >= 20 && inner.len <= bytes.len());
            }
        }
    }
}
