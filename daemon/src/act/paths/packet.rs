//! What a probe looks like: a UDP datagram between the tunnel addresses of two gateways.
//!
//! 20 bytes: `zmP1`, kind (1 request, 2 answer), three zeros, the asker's run (8), the number (4). Then
//! come fields, each a tag, a length and so many bytes (docs/design/formats.md); tag 0 ends them, and
//! zeros fill up to the length that is asked for. Nobody sends fields yet: what comes behind the 20
//! bytes, or in place of the three zeros, is passed over. An answer has no padding, so that it is
//! never longer than its request. Authenticity is the tunnel's. Parsing takes any bytes.

use std::net::IpAddr;

const MAGIC: &[u8; 4] = b"zmP1";
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
/// The bytes that say something.
const LEN: usize = 20;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const HOP_LIMIT: u8 = 64;

/// Lengths of a small probe as a whole packet, full blocks of WireGuard's padding.
const SMALL_V4: u16 = 64;
const SMALL_V6: u16 = 80;

/// A request, or the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbePacket {
    pub(super) is_answer: bool,
    /// Drawn at random at each start of the asker: answers to an earlier one mean nothing.
    pub(super) run: u64,
    pub(super) number: u32,
}

impl ProbePacket {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, _padding) = bytes.split_first_chunk::<LEN>()?;
        let [a, b, c, d, kind, _, _, _, run @ .., n0, n1, n2, n3] = head;
        let is_answer = match *kind {
            REQUEST => false,
            ANSWER => true,
            _ => return None,
        };
        let run = u64::from_be_bytes(run.first_chunk().copied()?);
        let number = u32::from_be_bytes([*n0, *n1, *n2, *n3]);
        ([*a, *b, *c, *d] == *MAGIC).then_some(Self { is_answer, run, number })
    }

    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = if self.is_answer { ANSWER } else { REQUEST };
        bytes[8..16].copy_from_slice(&self.run.to_be_bytes());
        bytes[16..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// The answer to this request.
    pub(super) fn answer(self) -> Self {
        Self { is_answer: true, ..self }
    }
}

/// The whole IP packet of a request, of `size` bytes or as small as they are; `None` if the
/// addresses are of two families.
pub(super) fn request(
    probe: ProbePacket,
    (source, destination): (IpAddr, IpAddr),
    (source_port, port): (u16, u16),
    size: Option<u16>,
) -> Option<Vec<u8>> {
    let small = if source.is_ipv4() { SMALL_V4 } else { SMALL_V6 };
    let len = size.unwrap_or(small).max(small);
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
    packet.extend(probe.to_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: ProbePacket =
        ProbePacket { is_answer: false, run: 0x1122_3344_5566_7788, number: 77 };

    #[test]
    fn a_probe_survives_packing_and_padding() {
        let mut bytes = PROBE.to_bytes().to_vec();
        assert_eq!(ProbePacket::parse(&bytes), Some(PROBE));
        bytes.resize(1400, 0);
        assert_eq!(ProbePacket::parse(&bytes), Some(PROBE));
        let answer = PROBE.answer().to_bytes();
        assert_eq!(ProbePacket::parse(&answer), Some(PROBE.answer()));
        assert!(answer.len() < usize::from(SMALL_V4) - 28, "answers are shorter than requests");
    }

    #[test]
    fn what_a_later_release_adds_to_a_probe_is_passed_over() {
        let mut later = PROBE.to_bytes().to_vec();
        (later[5], later[7]) = (1, 9);
        // A goodbye, a field that nobody knows, and a cut one.
        later.extend([1, 0, 200, 3, 7, 7, 7, 6, 18, 1]);
        assert_eq!(ProbePacket::parse(&later), Some(PROBE));
    }

    #[test]
    fn anything_else_is_no_probe() {
        let good = PROBE.to_bytes();
        for len in 0..LEN {
            assert_eq!(ProbePacket::parse(&good[..len]), None);
        }
        for (at, value) in [(0, b'x'), (3, b'2'), (4, 0), (4, 3)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(ProbePacket::parse(&bad), None, "byte {at} is {value}");
        }
    }

    #[test]
    fn the_packet_is_as_long_as_asked_and_its_checksums_are_right() {
        let v4 = ("10.255.0.1".parse().unwrap(), "10.255.0.2".parse().unwrap());
        let v6 = ("fd00:ff::1".parse().unwrap(), "fd00:ff::2".parse().unwrap());
        for (addresses, header, small) in [(v4, 20, SMALL_V4), (v6, 40, SMALL_V6)] {
            for size in [None, Some(576), Some(1237), Some(1420)] {
                let packet = request(PROBE, addresses, (51821, 51831), size).unwrap();
                assert_eq!(packet.len(), usize::from(size.unwrap_or(small)));
                if header == 20 {
                    assert_eq!(checksum(&packet[..20], 0), [0, 0]);
                }
                let udp = &packet[header..];
                assert_eq!(usize::from(u16::from_be_bytes([udp[4], udp[5]])), udp.len());
                let pseudo = sum(&packet[header - if header == 20 { 8 } else { 32 }..header]);
                assert_eq!(checksum(udp, pseudo + u64::from(UDP) + udp.len() as u64), [0, 0]);
                assert_eq!(ProbePacket::parse(&udp[8..]), Some(PROBE));
            }
        }
        assert_eq!(request(PROBE, (v4.0, v6.1), (51821, 51831), None), None);
    }
}
