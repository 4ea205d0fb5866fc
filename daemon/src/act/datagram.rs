//! A whole IP packet with a UDP datagram in it, as the tunnel or the kernel is handed it.
//!
//! Promises right lengths and checksums, and "don't fragment" where there is such a flag. Refuses to
//! know what it carries.

use std::net::IpAddr;

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const HOP_LIMIT: u8 = 64;

/// From the first of each to the second, filled up with zeros to `len` bytes of packet; `None` if the
/// addresses are of two families, or there is no room.
pub(crate) fn whole(
    payload: &[u8],
    (source, destination): (IpAddr, IpAddr),
    (source_port, port): (u16, u16),
    len: u16,
) -> Option<Vec<u8>> {
    let headers = UDP_HEADER + if source.is_ipv4() { 20 } else { 40 };
    if usize::from(len) < headers + payload.len() {
        return None;
    }
    let (mut packet, addresses) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, HOP_LIMIT, UDP, 0, 0];
            header[2..4].copy_from_slice(&len.to_be_bytes());
            header.extend([source.octets(), destination.octets()].concat());
            let checksum = checksum(&header, 0);
            header[10..12].copy_from_slice(&checksum);
            (header, [source.octets(), destination.octets()].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, UDP, HOP_LIMIT];
            header[4..6].copy_from_slice(&(len - 40).to_be_bytes());
            header.extend([source.octets(), destination.octets()].concat());
            (header, [source.octets(), destination.octets()].concat())
        }
        _ => return None,
    };
    let udp_at = packet.len();
    let udp_len = len - u16::try_from(udp_at).ok()?;
    packet.extend(source_port.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(udp_len.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet.resize(usize::from(len), 0);
    let pseudo_header = sum(&addresses) + u64::from(UDP) + u64::from(udp_len);
    let checksum = match checksum(&packet[udp_at..], pseudo_header) {
        // Zero would say that there is none (RFC 768).
        [0, 0] => [0xff, 0xff],
        checksum => checksum,
    };
    packet[udp_at + UDP_HEADER - 2..udp_at + UDP_HEADER].copy_from_slice(&checksum);
    Some(packet)
}

fn sum(bytes: &[u8]) -> u64 {
    let words =
        bytes.chunks(2).map(|word| u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]));
    words.map(u64::from).sum()
}

/// RFC 1071.
fn checksum(bytes: &[u8], start: u64) -> [u8; 2] {
    let mut total = start + sum(bytes);
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    (!u16::try_from(total).unwrap_or(u16::MAX)).to_be_bytes()
}

/// The source of a packet, and the payload of the UDP datagram in it.
pub(crate) fn read(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (source, udp) = match packet.first()? >> 4 {
        4 => {
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (source.into(), packet.get(usize::from(packet[0] & 0xf) * 4..)?)
        }
        6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            (source.into(), packet.get(40..)?)
        }
        _ => return None,
    };
    Some((source, udp.get(UDP_HEADER..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_checksums_are_right_and_it_is_read_as_it_was_written() {
        let v4 = ("10.255.0.1".parse().unwrap(), "10.255.0.2".parse().unwrap());
        let v6 = ("fd00:ff::1".parse().unwrap(), "fd00:ff::2".parse().unwrap());
        for (ends, header) in [(v4, 20), (v6, 40)] {
            for len in [80, 577, 1420] {
                let packet = whole(b"asked", ends, (51821, 51831), len).unwrap();
                assert_eq!(packet.len(), usize::from(len));
                if header == 20 {
                    assert_eq!(checksum(&packet[..20], 0), [0, 0]);
                }
                let udp = &packet[header..];
                assert_eq!(usize::from(u16::from_be_bytes([udp[4], udp[5]])), udp.len());
                let pseudo = sum(&packet[header - if header == 20 { 8 } else { 32 }..header]);
                assert_eq!(checksum(udp, pseudo + u64::from(UDP) + udp.len() as u64), [0, 0]);
                let (source, payload) = read(&packet).unwrap();
                assert_eq!((source, &payload[..5]), (ends.0, &b"asked"[..]));
            }
        }
        assert_eq!(whole(b"", (v4.0, v6.1), (51821, 51831), 100), None);
        assert_eq!(whole(b"1", v4, (1, 2), 28), None, "no room");
        for cut in 0..28 {
            assert_eq!(read(&whole(b"", v4, (1, 2), 28).unwrap()[..cut]), None, "{cut}");
        }
    }
}
