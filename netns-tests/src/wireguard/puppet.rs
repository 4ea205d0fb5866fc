//! A WireGuard peer inside the test: it speaks the protocol and can be told to misbehave.
//!
//! Owns a noise session (boringtun) and one UDP socket in a namespace. Promises that every datagram
//! passes through the caller's hands: it can be kept, changed, repeated or sent from elsewhere.
//! Refuses timers: nothing is sent unasked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::PublicKey;
use etherparse::PacketBuilder;

use super::key::TunnelKey;
use zonemesh_lab::namespace::Namespace;

/// Lengths of the messages (WireGuard paper, section 5.4).
pub const INITIATION: usize = 148;
/// A cookie reply.
pub const COOKIE_REPLY: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(2);

/// A peer under the test's control.
pub struct Puppet {
    tunn: Tunn,
    socket: UdpSocket,
    remote: SocketAddr,
}

/// Who a puppet is, and whom it speaks with.
pub struct PuppetKeys<'k> {
    /// Its own key.
    pub own: &'k TunnelKey,
    /// The other end's public key.
    pub peer: PublicKey,
}

impl Puppet {
    /// A peer with these keys that speaks from `local` in `namespace` to `remote`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn new(
        namespace: &Namespace,
        local: IpAddr,
        remote: SocketAddr,
        keys: &PuppetKeys<'_>,
    ) -> Result<Self> {
        let socket = socket(namespace, local)?;
        // Its own limiter would refuse the test's hundreds of handshakes.
        let limiter = Arc::new(RateLimiter::new(&keys.own.public(), u64::MAX));
        let tunn = Tunn::new(keys.own.secret(), keys.peer, None, None, 1, Some(limiter));
        Ok(Self { tunn, socket, remote })
    }

    /// Speaks from another address or port from now on.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn move_to(&mut self, namespace: &Namespace, local: IpAddr) -> Result<()> {
        self.socket = socket(namespace, local)?;
        Ok(())
    }

    /// The address it speaks from.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// A new handshake initiation, not sent yet.
    ///
    /// # Errors
    /// When the noise layer makes none.
    pub fn initiation(&mut self) -> Result<Vec<u8>> {
        let mut buffer = [0; INITIATION];
        match self.tunn.format_handshake_initiation(&mut buffer, true) {
            TunnResult::WriteToNetwork(message) => Ok(message.to_vec()),
            _ => bail!("no initiation was made"),
        }
    }

    /// An inner packet, sealed for the session, not sent yet. Any bytes will do.
    ///
    /// # Errors
    /// Without a session.
    pub fn seal(&mut self, packet: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = vec![0; packet.len() + INITIATION];
        match self.tunn.encapsulate(packet, &mut buffer) {
            TunnResult::WriteToNetwork(message) if message[0] == 4 => Ok(message.to_vec()),
            _ => bail!("there is no session"),
        }
    }

    /// Sends a datagram as it is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send(&self, datagram: &[u8]) -> Result<()> {
        self.socket.send_to(datagram, self.remote).map(drop).context("the puppet cannot send")
    }

    /// The next datagram from the gateway; `None` when none comes in time.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 65_536];
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) if from == self.remote => return Ok(Some(buffer[..len].to_vec())),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock
                            | std::io::ErrorKind::TimedOut
                            | std::io::ErrorKind::Interrupted
                            | std::io::ErrorKind::ConnectionRefused
                    ) => {}
                Err(error) => return Err(error).context("the puppet cannot receive"),
            }
        }
    }

    /// Takes a datagram of the gateway: what to send back, or the inner packet, if any.
    pub fn take(&mut self, datagram: &[u8]) -> Taken {
        let mut buffer = vec![0; datagram.len() + INITIATION];
        match self.tunn.decapsulate(None, datagram, &mut buffer) {
            TunnResult::WriteToNetwork(message) => Taken::Reply(message.to_vec()),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Taken::Packet(packet.to_vec())
            }
            TunnResult::Done => Taken::Nothing,
            TunnResult::Err(_) => Taken::Refused,
        }
    }

    /// Makes a session: initiation, answer, and the empty packet that confirms it.
    ///
    /// # Errors
    /// When the gateway does not answer as it should.
    pub fn connect(&mut self) -> Result<()> {
        let initiation = self.initiation()?;
        self.send(&initiation)?;
        let response = self.receive(TIMEOUT)?.context("no answer to the initiation")?;
        match self.take(&response) {
            Taken::Reply(confirmation) => self.send(&confirmation),
            _ => bail!("the answer of {} bytes makes no session", response.len()),
        }
    }

    /// Pings through the session; true if the answer came back.
    ///
    /// # Errors
    /// Without a session, or when the socket fails.
    pub fn ping(&mut self, source: Ipv4Addr, target: Ipv4Addr) -> Result<bool> {
        let sealed = self.seal(&echo_request(source, target, 7)?)?;
        self.send(&sealed)?;
        let end = Instant::now() + TIMEOUT;
        while let Some(datagram) = self.receive(end.saturating_duration_since(Instant::now()))? {
            if let Taken::Packet(packet) = self.take(&datagram)
                && is_echo_reply(&packet, target)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a datagram was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It has to be answered with this.
    Reply(Vec<u8>),
    /// It held this inner packet.
    Packet(Vec<u8>),
    /// A keepalive or a cookie.
    Nothing,
    /// It was not acceptable.
    Refused,
}

/// An IPv4 ping.
///
/// # Errors
/// When it cannot be written.
pub fn echo_request(source: Ipv4Addr, target: Ipv4Addr, sequence: u16) -> Result<Vec<u8>> {
    let payload = [0xa5; 32];
    let builder = PacketBuilder::ipv4(source.octets(), target.octets(), 64)
        .icmpv4_echo_request(0x5a4d, sequence);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut packet, &payload)?;
    Ok(packet)
}

fn is_echo_reply(packet: &[u8], from: Ipv4Addr) -> bool {
    packet.len() >= 28 && packet[9] == 1 && packet[12..16] == from.octets() && packet[20] == 0
}

fn socket(namespace: &Namespace, local: IpAddr) -> Result<UdpSocket> {
    namespace.inside(|| {
        UdpSocket::bind((local, 0)).with_context(|| format!("the puppet cannot bind {local}"))
    })
}
