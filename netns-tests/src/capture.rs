//! What really crossed the WAN.
//!
//! Owns one tcpdump per WAN link of the router and the sorting of their frames. Promises that every
//! frame is counted once per link: as WireGuard, as neighbour discovery, or as a violation.
//! Refuses to trust ports alone: a WireGuard datagram must look like one (WireGuard paper, 5.4).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice, UdpSlice};
use nix::sys::signal::Signal;
use pcap_file::pcap::PcapReader;

use crate::lab::{Lab, Zone};
use crate::process::Process;
use crate::wait::{Look, until};

/// Enough for all headers and WireGuard's own.
const SNAP_BYTES: &str = "128";
const PATIENCE: Duration = Duration::from_secs(30);
const UDP_HEADER: u16 = 8;
const LISTED_VIOLATIONS: usize = 20;

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
    match LaxSlicedPacket::from_ethernet(frame) {
        Ok(packet) => classify_packet(&packet, ports),
        Err(error) => Frame::Violation(format!("unreadable frame: {error}")),
    }
}

fn classify_packet(packet: &LaxSlicedPacket<'_>, ports: &[u16]) -> Frame {
    let verdict = match (&packet.net, &packet.transport) {
        (Some(LaxNetSlice::Arp(_)), _) => Some(Frame::Neighbour),
        (_, Some(TransportSlice::Udp(udp))) => wireguard(udp, ports).map(Frame::WireGuard),
        (_, Some(TransportSlice::Icmpv6(icmp))) => match icmp.type_u8() {
            133..=137 => Some(Frame::Neighbour),
            1..=4 => bounce(icmp.payload(), ports),
            _ => None,
        },
        (_, Some(TransportSlice::Icmpv4(icmp))) => match icmp.type_u8() {
            3 | 11 | 12 => bounce(icmp.payload(), ports),
            _ => None,
        },
        _ => None,
    };
    verdict.unwrap_or_else(|| Frame::Violation(describe(packet)))
}

fn wireguard(udp: &UdpSlice<'_>, ports: &[u16]) -> Option<Message> {
    let ours = |port: u16| ports.contains(&port);
    let [kind, 0, 0, 0, ..] = udp.payload() else {
        return None;
    };
    if !ours(udp.source_port()) && !ours(udp.destination_port()) {
        return None;
    }
    // The header's length, not the captured bytes: frames are cut after their headers.
    match (kind, udp.length().saturating_sub(UDP_HEADER)) {
        (1, 148) => Some(Message::Initiation),
        (2, 92) => Some(Message::Response),
        (3, 64) => Some(Message::CookieReply),
        (4, 32..) => Some(Message::Data),
        _ => None,
    }
}

/// `quoted` is the start of the packet that an ICMP error is about.
fn bounce(quoted: &[u8], ports: &[u16]) -> Option<Frame> {
    let packet = LaxSlicedPacket::from_ip(quoted).ok()?;
    match &packet.transport {
        Some(TransportSlice::Udp(udp)) => wireguard(udp, ports).map(|_| Frame::Bounce),
        _ => None,
    }
}

fn describe(packet: &LaxSlicedPacket<'_>) -> String {
    let addresses = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            format!("{} -> {}", header.source_addr(), header.destination_addr())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            format!("{} -> {}", header.source_addr(), header.destination_addr())
        }
        _ => "not IP".to_owned(),
    };
    let what = match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            format!("UDP {} -> {}, not WireGuard", udp.source_port(), udp.destination_port())
        }
        Some(TransportSlice::Tcp(tcp)) => {
            format!("TCP {} -> {}", tcp.source_port(), tcp.destination_port())
        }
        Some(TransportSlice::Icmpv4(icmp)) => format!("ICMP type {}", icmp.type_u8()),
        Some(TransportSlice::Icmpv6(icmp)) => format!("ICMPv6 type {}", icmp.type_u8()),
        Some(TransportSlice::Igmp(_)) => "IGMP".to_owned(),
        None => "no transport header".to_owned(),
    };
    format!("{addresses}: {what}")
}

/// How many frames, and how many bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u32) {
        self.frames += 1;
        self.bytes += u64::from(bytes);
    }
}

/// What one or more links carried.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// WireGuard datagrams by message.
    pub wireguard: BTreeMap<Message, Count>,
    /// ICMP errors about WireGuard datagrams.
    pub bounces: Count,
    /// ARP and neighbour discovery.
    pub neighbour: Count,
    /// Everything that should not have been there.
    pub violations: Count,
    /// The first violations, described.
    pub examples: Vec<String>,
    /// Frames that the kernel dropped before tcpdump saw them: unproven.
    pub unseen: u64,
}

impl Report {
    fn add(&mut self, frame: Frame, bytes: u32) {
        match frame {
            Frame::WireGuard(message) => self.wireguard.entry(message).or_default().add(bytes),
            Frame::Bounce => self.bounces.add(bytes),
            Frame::Neighbour => self.neighbour.add(bytes),
            Frame::Violation(text) => {
                self.violations.add(bytes);
                if self.examples.len() < LISTED_VIOLATIONS {
                    self.examples.push(text);
                }
            }
        }
    }

    /// True when every frame was seen, some were WireGuard data, and none was a violation.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let data = self.wireguard.get(&Message::Data).copied().unwrap_or_default();
        data.frames > 0 && self.violations.frames == 0 && self.unseen == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (message, count) in &self.wireguard {
            let name = format!("WireGuard {message:?}").to_lowercase();
            writeln!(f, "{name:<24} {:>8} frames {:>12} bytes", count.frames, count.bytes)?;
        }
        for (name, count) in [
            ("icmp about wireguard", self.bounces),
            ("arp and neighbours", self.neighbour),
            ("anything else", self.violations),
        ] {
            writeln!(f, "{name:<24} {:>8} frames {:>12} bytes", count.frames, count.bytes)?;
        }
        for example in &self.examples {
            writeln!(f, "  VIOLATION {example}")?;
        }
        if self.unseen > 0 {
            writeln!(f, "  UNPROVEN: the kernel dropped {} frames", self.unseen)?;
        }
        Ok(())
    }
}

/// Sent over a link when its capture is to end: what came before it is in the file by then.
const MARKER: &[u8] = b"zonemesh lab: the capture ends here";
/// The discard service (RFC 863).
const MARKER_PORT: u16 = 9;

#[derive(Debug)]
struct Link {
    file: PathBuf,
    tcpdump: Process,
    gateway: Ipv4Addr,
}

impl Link {
    fn start(lab: &Lab, zone: &Zone, name: &str) -> Result<Self> {
        let file = lab.folder().join(format!("{name}-{}.pcap", zone.name));
        let mut command = lab.router().command("tcpdump");
        command
            .args(["-i", &zone.name, "-n", "-U", "--immediate-mode"])
            .args(["-s", SNAP_BYTES, "-B", "16384", "-Z", "root", "-w"])
            .arg(&file);
        let log = format!("{name}-{}-tcpdump", zone.name);
        let mut tcpdump = Process::spawn(&log, command, lab.folder())?;
        tcpdump.wait_for("listening on", PATIENCE)?;
        Ok(Self { file, tcpdump, gateway: zone.wan_address })
    }

    fn finish(mut self, lab: &Lab, ports: &[u16], report: &mut Report) -> Result<()> {
        lab.router().inside(|| {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            Ok(socket.send_to(MARKER, (self.gateway, MARKER_PORT))?)
        })?;
        until("the end of the capture", PATIENCE, || {
            let bytes = std::fs::read(&self.file)?;
            let marked = bytes.windows(MARKER.len()).any(|window| window == MARKER);
            Ok(Look::<()>::when(marked, "no marker in the file"))
        })?;
        self.tcpdump.signal(Signal::SIGINT)?;
        let (code, output) = self.tcpdump.wait_for_end(PATIENCE)?;
        if code != 0 {
            bail!("tcpdump ended with {code}: {output}");
        }
        report.unseen += dropped_by_kernel(&output)?;
        read(&self.file, ports, report)
    }
}

/// Running captures, one per WAN link.
#[derive(Debug)]
pub struct Capture {
    links: Vec<Link>,
    ports: Vec<u16>,
}

impl Capture {
    /// Starts tcpdump on every WAN link of the router and waits until all listen.
    ///
    /// # Errors
    /// When tcpdump cannot capture.
    pub fn start(lab: &Lab, name: &str, wireguard_ports: &[u16]) -> Result<Self> {
        let links = lab.zones().iter().map(|zone| Link::start(lab, zone, name));
        Ok(Self { links: links.collect::<Result<_>>()?, ports: wireguard_ports.to_vec() })
    }

    /// Stops the captures and sorts their frames.
    ///
    /// # Errors
    /// When a capture does not end or its file cannot be read.
    pub fn finish(self, lab: &Lab) -> Result<Report> {
        let mut report = Report::default();
        for link in self.links {
            link.finish(lab, &self.ports, &mut report)?;
        }
        Ok(report)
    }
}

/// The "N packets dropped by kernel" that tcpdump ends with.
fn dropped_by_kernel(output: &str) -> Result<u64> {
    let line = output.lines().find(|line| line.contains("dropped by kernel"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("tcpdump did not say what the kernel dropped:\n{output}"))
}

fn read(path: &Path, ports: &[u16], report: &mut Report) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = PcapReader::new(BufReader::new(file))
        .with_context(|| format!("{} is no pcap file", path.display()))?;
    // Raw: the crate's own conversion refuses frames that were longer than the snap length.
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.with_context(|| format!("bad packet in {}", path.display()))?;
        if packet.data.ends_with(MARKER) {
            break;
        }
        report.add(classify(&packet.data, ports), packet.orig_len);
    }
    Ok(())
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

    #[test]
    fn a_report_without_data_or_with_unseen_frames_is_not_clean() {
        let mut report = Report::default();
        report.add(Frame::WireGuard(Message::Initiation), 190);
        assert!(!report.is_clean());
        report.add(Frame::WireGuard(Message::Data), 190);
        assert!(report.is_clean());
        report.unseen = 1;
        assert!(!report.is_clean());
    }

    #[test]
    fn the_kernels_own_count_of_lost_frames_is_read() {
        let output =
            "12 packets captured\n12 packets received by filter\n3 packets dropped by kernel\n";
        assert_eq!(dropped_by_kernel(output).expect("a number"), 3);
        assert!(dropped_by_kernel("").is_err());
    }
}
