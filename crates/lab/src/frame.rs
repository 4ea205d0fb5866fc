//! What one frame on the WAN is.
//!
//! Owns the sorting into WireGuard, ICMP about WireGuard, neighbour discovery and violations.
//! Promises a verdict for any bytes. Refuses to trust ports alone: a WireGuard datagram must look
//! like one. Specification: the WireGuard paper, section 5.4 (messages and their lengths).

use crate::packet::{Net, Packet, PacketTransport, UdpDatagram};

/// The four WireGuard messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// Type 1, 148 bytes.
    Initiation,
    /// Type 2, 92 bytes.
    Response,
    /// Type 3, 64 bytes.
    CookieReply,
    /// Type 4, at least 32 bytes.
    Data,
}

/// What a frame on the WAN is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A WireGuard datagram.
    WireGuard(Message),
    /// An ICMP error that quotes a WireGuard datagram (say, of a gateway that is not up yet).
    Bounce,
    /// ARP, or IPv6 neighbour and router discovery.
    Neighbour,
    /// Anything else, described.
    Violation(String),
}

/// Says what a frame is. `ports` are the UDP ports of the tunnels (and of relays).
#[must_use]
pub fn classify(frame: &[u8], ports: &[u16]) -> Frame {
    let packet = Packet::of_frame(frame);
    let verdict = match (&packet.net, &packet.transport) {
        (Net::Arp, _) => Some(Frame::Neighbour),
        (_, PacketTransport::Udp(udp)) => wireguard(udp, ports).map(Frame::WireGuard),
        (_, PacketTransport::Icmpv6 { kind, quoted }) => match kind {
            133..=137 => Some(Frame::Neighbour),
            1..=4 => bounce(quoted, ports),
            _ => None,
        },
        (_, PacketTransport::Icmpv4 { kind: 3 | 11 | 12, quoted }) => bounce(quoted, ports),
        _ => None,
    };
    verdict.unwrap_or_else(|| Frame::Violation(packet.to_string()))
}

fn wireguard(udp: &UdpDatagram<'_>, ports: &[u16]) -> Option<Message> {
    let [kind, 0, 0, 0, ..] = udp.payload else {
        return None;
    };
    if !ports.contains(&udp.from) && !ports.contains(&udp.to) {
        return None;
    }
    // The header's length, not the captured bytes: frames are cut after their headers.
    match (kind, udp.length) {
        (1, 148) => Some(Message::Initiation),
        (2, 92) => Some(Message::Response),
        (3, 64) => Some(Message::CookieReply),
        (4, 32..) => Some(Message::Data),
        _ => None,
    }
}

/// `quoted` is the start of the packet that an ICMP error is about.
fn bounce(quoted: &[u8], ports: &[u16]) -> Option<Frame> {
    match Packet::of_ip(quoted).transport {
        PacketTransport::Udp(udp) => wireguard(&udp, ports).map(|_| Frame::Bounce),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const PORTS: [u16; 1] = [51_820];

    fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([198, 51, 100, 1], [203, 0, 113, 1], 64)
            .udp(from, to)
            .write(&mut frame, payload)
            .expect("a vector takes everything");
        frame
    }

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut payload = vec![0; length];
        payload[0] = kind;
        payload
    }

    #[test]
    fn each_wireguard_message_is_known_by_port_type_and_length() {
        for (kind, length, expected) in [
            (1, 148, Message::Initiation),
            (2, 92, Message::Response),
            (3, 64, Message::CookieReply),
            (4, 32, Message::Data),
            (4, 1452, Message::Data),
        ] {
            let frame = udp(51_820, 40_000, &message(kind, length));
            assert_eq!(classify(&frame, &PORTS), Frame::WireGuard(expected));
        }
    }

    #[test]
    fn frames_cut_by_the_snap_length_are_still_known() {
        let frame = udp(51_820, 51_820, &message(4, 1452));
        assert_eq!(classify(&frame[..128], &PORTS), Frame::WireGuard(Message::Data));
    }

    #[test]
    fn what_only_looks_like_wireguard_is_a_violation() {
        for frame in [
            udp(40_000, 40_001, &message(4, 80)),
            udp(51_820, 51_820, &message(5, 80)),
            udp(51_820, 51_820, &message(1, 149)),
            udp(51_820, 51_820, &message(4, 31)),
            udp(51_820, 51_820, b"GET / HTTP/1.1\r\n\r\nand more than 32 bytes of it"),
            udp(51_820, 51_820, &[]),
        ] {
            assert!(matches!(classify(&frame, &PORTS), Frame::Violation(_)));
        }
    }

    #[test]
    fn tcp_on_the_wan_is_a_violation_that_names_both_ends() {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 10, 11, 5], [10, 10, 10, 5], 63)
            .tcp(40_000, 9092, 0, 1024)
            .write(&mut frame, b"PRI * HTTP/2.0")
            .expect("a vector takes everything");
        let Frame::Violation(text) = classify(&frame, &PORTS) else { panic!("must be one") };
        assert_eq!(text, "10.10.11.5 -> 10.10.10.5: TCP 40000 -> 9092");
    }

    #[test]
    fn an_icmp_error_is_fine_only_when_it_is_about_wireguard() {
        let bounced = |quoted: &[u8]| {
            let mut frame = Vec::new();
            PacketBuilder::ethernet2([2; 6], [4; 6])
                .ipv4([203, 0, 113, 1], [198, 51, 100, 1], 64)
                .icmpv4_raw(3, 3, [0; 4])
                .write(&mut frame, quoted)
                .expect("a vector takes everything");
            classify(&frame, &PORTS)
        };
        let ethernet = 14;
        assert_eq!(bounced(&udp(51_820, 51_820, &message(1, 148))[ethernet..]), Frame::Bounce);
        let other = udp(53, 53, &message(1, 148));
        assert!(matches!(bounced(&other[ethernet..]), Frame::Violation(_)));
    }

    #[test]
    fn ipv6_neighbours_and_errors_about_wireguard_are_known() {
        let ipv6 = || PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [2; 16], 64);
        let icmp = |kind, quoted: &[u8]| {
            let mut frame = Vec::new();
            let builder = ipv6().icmpv6_raw(kind, 0, [0; 4]);
            builder.write(&mut frame, quoted).expect("a vector takes everything");
            classify(&frame, &PORTS)
        };
        assert_eq!(icmp(135, &[0; 20]), Frame::Neighbour);
        let mut quoted = Vec::new();
        let datagram = ipv6().udp(51_820, 51_820);
        datagram.write(&mut quoted, &message(2, 92)).expect("a vector takes everything");
        assert_eq!(icmp(1, &quoted[14..]), Frame::Bounce);
        assert!(
            matches!(icmp(128, &[0; 20]), Frame::Violation(text) if text.ends_with("type 128"))
        );
        for length in 0..quoted.len() {
            let _verdict = classify(&quoted[..length], &PORTS);
        }
    }

    #[test]
    fn arp_is_counted_apart_and_no_frame_panics() {
        let mut arp = vec![0xff; 12];
        arp.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend([0; 20]);
        assert_eq!(classify(&arp, &PORTS), Frame::Neighbour);
        let frame = udp(51_820, 51_820, &message(4, 64));
        for length in 0..frame.len() {
            let _verdict = classify(&frame[..length], &PORTS);
        }
    }
}
