//! What really crossed the WAN.
//!
//! Owns one tcpdump per WAN link of the router and the report about their frames. Promises that every
//! frame is counted once per link, and that frames the kernel dropped are owned up to.
//! Refuses to judge a frame: [`crate::frame`] does.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::frame::{Frame, Message, classify};
use crate::lab::{Lab, LabZone};
use crate::pcap::Frames;
use crate::process::Process;
use crate::wait::{Look, until};

/// Enough for all headers and WireGuard's own.
const SNAP_BYTES: &str = "128";
const PATIENCE: Duration = Duration::from_secs(30);
const LISTED_VIOLATIONS: usize = 20;

/// How many frames, and how many bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCount {
    /// Frames.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
}

impl FrameCount {
    fn add(&mut self, bytes: u32) {
        self.frames += 1;
        self.bytes += u64::from(bytes);
    }
}

/// What one or more links carried.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// WireGuard datagrams by message.
    pub wireguard: BTreeMap<Message, FrameCount>,
    /// ICMP errors about WireGuard datagrams.
    pub bounces: FrameCount,
    /// ARP and neighbour discovery.
    pub neighbour: FrameCount,
    /// Everything that should not have been there.
    pub violations: FrameCount,
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
struct LinkCapture {
    file: PathBuf,
    tcpdump: Process,
    gateway: Ipv4Addr,
}

impl LinkCapture {
    fn start(lab: &Lab, zone: &LabZone, name: &str) -> Result<Self> {
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
    links: Vec<LinkCapture>,
    ports: Vec<u16>,
}

impl Capture {
    /// Starts tcpdump on every WAN link of the router and waits until all listen.
    ///
    /// # Errors
    /// When tcpdump cannot capture.
    pub fn start(lab: &Lab, name: &str, wireguard_ports: &[u16]) -> Result<Self> {
        let links = lab.zones().iter().map(|zone| LinkCapture::start(lab, zone, name));
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
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let frames = Frames::of(&file).with_context(|| format!("{} is no capture", path.display()))?;
    for frame in frames.take_while(|frame| !frame.bytes.ends_with(MARKER)) {
        report.add(classify(frame.bytes, ports), frame.length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
