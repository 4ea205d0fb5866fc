//! One peer: its session (boringtun), its schedule, its present path.
//!
//! Pure: takes datagrams, packets and `now`, writes into the caller's buffer and says how many
//! bytes are to be sent; owns no socket and no thread. Promises that the path changes only for
//! datagrams that prove to come from the peer, and that no input can make boringtun panic over a
//! short buffer. Protocol: WireGuard paper, sections 5 and 6.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use x25519_dalek::{PublicKey, StaticSecret};
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};

use crate::config::Peer;
use crate::dropped::Dropped;
use crate::edge::Path;
use crate::offload::Pause;
use crate::schedule::{Duty, Schedule};
use crate::status::PeerStatus;

/// What sealing adds to a packet: header and authentication tag.
pub(crate) const DATA_OVERHEAD: usize = 32;
/// The longest message that is not data. Every buffer to write into has at least this room.
pub(crate) const INITIATION: usize = 148;
/// Message types (WireGuard paper, section 5.4).
pub(crate) const TYPE_INITIATION: u8 = 1;
pub(crate) const TYPE_DATA: u8 = 4;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// This gateway's keys, as the noise layer wants them.
pub(crate) struct Identity {
    pub(crate) secret: StaticSecret,
    pub(crate) public: PublicKey,
    pub(crate) key: WireGuardPublicKey,
    /// Handshakes are limited where they arrive; inside a session they would be counted twice.
    unlimited: Arc<RateLimiter>,
}

impl Identity {
    pub(crate) fn new(private: &WireGuardPrivateKey) -> Self {
        let secret = StaticSecret::from(*private.to_bytes());
        let public = PublicKey::from(&secret);
        Self {
            secret,
            public,
            key: private.public_key(),
            unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)),
        }
    }
}

/// A peer in service.
pub(crate) struct ActivePeer {
    pub(crate) key: WireGuardPublicKey,
    /// 24 bits; sessions of this peer have it in the upper bits of their index.
    pub(crate) index: u32,
    pub(crate) rx_bytes: AtomicU64,
    pub(crate) tx_bytes: AtomicU64,
    /// Sends of many datagrams at once, which the path to this peer may not take.
    pub(crate) segmentation: Pause,
    core: Mutex<PeerCore>,
}

impl ActivePeer {
    pub(crate) fn new(identity: Arc<Identity>, config: Peer, index: u32) -> Self {
        let key = config.public_key;
        let mut schedule = Schedule::new(identity.key < key, index);
        schedule.set_keepalive(config.keepalive);
        if config.endpoint.is_some() && config.keepalive.is_some() {
            schedule.want_handshake();
        }
        let core = PeerCore {
            path: config.endpoint.map(unbound_path),
            identity,
            index,
            config,
            tunn: None,
            former: None,
            former_seals: false,
            schedule,
            unconfirmed: None,
            latest_handshake: None,
            completed: false,
        };
        Self {
            key,
            index,
            rx_bytes: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
            segmentation: Pause::new(Instant::now()),
            core: Mutex::new(core),
        }
    }

    /// True if the session of this index, as a data message names it, is one of this peer.
    pub(crate) fn has_session(&self, session_index: Option<u32>) -> bool {
        session_index.is_some_and(|session| session >> 8 == self.index)
    }

    /// The peer's state. A thread that panicked under the lock leaves a session that can only
    /// fail to open packets, so the lock stays usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, PeerCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let core = self.lock();
        PeerStatus {
            public_key: self.key,
            name: core.config.name.clone(),
            endpoint: core.path.map(|path| path.remote),
            latest_handshake: core.latest_handshake,
            rx_bytes: self.rx_bytes.load(Ordering::Relaxed),
            tx_bytes: self.tx_bytes.load(Ordering::Relaxed),
            allowed_ips: core.config.allowed_ips.clone(),
            handshake_attempts_unanswered: core.schedule.unanswered(),
            segmentation_refused: self.segmentation.refusals(),
        }
    }
}

/// What became of a packet that was to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// A data message of this length is in the buffer.
    Data(usize),
    /// The packet waits for a session; a handshake [`INITIATION`] is in the buffer.
    Initiation,
    /// The packet waits for a session that is being sought already.
    Waiting,
}

/// The state of a peer, under its lock.
pub(crate) struct PeerCore {
    identity: Arc<Identity>,
    index: u32,
    config: Peer,
    path: Option<Path>,
    /// Made when first needed: a thousand idle peers cost nothing.
    tunn: Option<Box<Tunn>>,
    /// The sessions from before a new preshared key. They carry packets until the first session
    /// under the new key is up, and are understood until they end.
    former: Option<Box<Tunn>>,
    /// No session under the present preshared key is up yet.
    former_seals: bool,
    schedule: Schedule,
    /// Index of the session that we answered and the peer has not used yet.
    unconfirmed: Option<u32>,
    latest_handshake: Option<SystemTime>,
    completed: bool,
}

impl PeerCore {
    /// Where datagrams to the peer go now.
    pub(crate) fn path(&self) -> Option<Path> {
        self.path
    }

    #[cfg(test)]
    pub(crate) fn config(&self) -> &Peer {
        &self.config
    }

    /// True once after each handshake that was completed.
    pub(crate) fn take_completed(&mut self) -> bool {
        std::mem::take(&mut self.completed)
    }

    /// Takes new settings. The session stays, under a new preshared key until the next one is up;
    /// the path stays, except if the configured endpoint changed.
    pub(crate) fn reconfigure(&mut self, config: Peer) {
        let secret = |peer: &Peer| peer.preshared_key.as_ref().map(|key| key.to_bytes());
        if secret(&self.config) != secret(&config) {
            let present = self.tunn.take();
            if !self.former_seals {
                self.former = present.filter(|tunn| has_session(tunn));
                self.former_seals = self.former.is_some();
            }
            self.unconfirmed = None;
            self.schedule.want_handshake();
        }
        self.schedule.set_keepalive(config.keepalive);
        if let Some(endpoint) = config.endpoint
            && config.endpoint != self.config.endpoint
        {
            self.set_endpoint(endpoint);
        }
        self.config = config;
    }

    /// Sends to `endpoint` from now on, beginning with a handshake: it tells the peer our address,
    /// and us whether the peer is there.
    pub(crate) fn set_endpoint(&mut self, endpoint: SocketAddr) {
        if self.path.is_some_and(|path| path.remote == endpoint) {
            return;
        }
        self.path = Some(unbound_path(endpoint));
        self.schedule.want_handshake();
    }

    fn tunn(&mut self) -> &mut Tunn {
        let Self { identity, config, tunn, .. } = self;
        tunn.get_or_insert_with(|| new_tunn(identity, self.index, config))
    }

    /// The sessions to seal with.
    fn sealing(&mut self) -> &mut Tunn {
        let Self { identity, config, tunn, former, .. } = self;
        match former {
            Some(former) if self.former_seals => former,
            _ => tunn.get_or_insert_with(|| new_tunn(identity, self.index, config)),
        }
    }

    fn session_is_up(&self) -> bool {
        let sealing = if self.former_seals { &self.former } else { &self.tunn };
        sealing.as_ref().is_some_and(|tunn| has_session(tunn))
    }

    /// Seals `packet`, which is padded already, into `out`, which must have room for it and
    /// [`DATA_OVERHEAD`] and for an [`INITIATION`].
    pub(crate) fn seal(&mut self, packet: &[u8], out: &mut [u8], now: Moment) -> Sealed {
        assert!(has_room(packet.len(), out), "callers size their buffers");
        match self.sealing().encapsulate(packet, out) {
            TunnResult::WriteToNetwork(message) => {
                let (kind, len) = (message[0], message.len());
                self.note_sent(kind, now);
                if kind == TYPE_DATA { Sealed::Data(len) } else { Sealed::Initiation }
            }
            _ => Sealed::Waiting,
        }
    }

    /// Opens a data message into `out`, which must be as long. Returns the length of the inner
    /// packet at its start, 0 for a keepalive.
    pub(crate) fn open(
        &mut self,
        message: &[u8],
        out: &mut [u8],
        path: Path,
        now: Moment,
    ) -> Result<usize, Dropped> {
        assert!(out.len() >= message.len(), "callers size their buffers");
        let mut result = opened(self.tunn().decapsulate(None, message, out));
        let by_present = result.is_ok();
        if let (Err(_), Some(former)) = (&result, &mut self.former) {
            result = opened(former.decapsulate(None, message, out));
        }
        let len = result?;
        self.path = Some(path);
        self.schedule.received(now.instant);
        let confirms = self.unconfirmed.is_some() && self.unconfirmed == receiver_index(message);
        if by_present && confirms {
            self.established(now);
        }
        Ok(len)
    }

    /// Takes a handshake message whose MACs were checked. Returns the length of the answer in
    /// `out`, 0 if there is none to send.
    pub(crate) fn handshake(
        &mut self,
        message: &[u8],
        out: &mut [u8],
        path: Path,
        now: Moment,
    ) -> Result<usize, Dropped> {
        assert!(has_room(0, out), "callers size their buffers");
        let from: Option<IpAddr> = Some(path.remote.ip());
        let len = match self.tunn().decapsulate(from, message, out) {
            TunnResult::WriteToNetwork(answer) => answer.len(),
            // A cookie was taken. It proves nothing about the path.
            TunnResult::Done => {
                self.schedule.cookie_taken(now.instant);
                return Ok(0);
            }
            _ => return Err(Dropped::HandshakeInvalid),
        };
        self.path = Some(path);
        self.schedule.received(now.instant);
        self.schedule.sent(now.instant);
        if message[0] == TYPE_INITIATION {
            self.unconfirmed = sender_index(out);
            self.schedule.answered(now.instant);
        } else {
            self.established(now);
        }
        Ok(len)
    }

    /// The next packet that waited for a session, sealed into `out`, which must have room for the
    /// largest packet.
    pub(crate) fn next_waiting(&mut self, out: &mut [u8], now: Moment) -> Option<usize> {
        let tunn = self.tunn.as_mut().filter(|tunn| has_session(tunn))?;
        match tunn.decapsulate(None, &[], out) {
            TunnResult::WriteToNetwork(message) => {
                let (kind, len) = (message[0], message.len());
                self.note_sent(kind, now);
                Some(len)
            }
            _ => None,
        }
    }

    /// What is due by time: the length of the message in `out`. Call about every 100 ms, each
    /// time until it returns `None`.
    pub(crate) fn poll(&mut self, out: &mut [u8], now: Moment) -> Option<usize> {
        assert!(has_room(0, out), "callers size their buffers");
        self.end_former(out);
        let message = match self.tunn.as_mut().map(|tunn| tunn.update_timers(out)) {
            Some(TunnResult::WriteToNetwork(message)) => Some((message[0], message.len())),
            Some(TunnResult::Err(_expired)) => {
                self.schedule.expired();
                None
            }
            _ => None,
        };
        self.path?;
        let (kind, len) = message.or_else(|| self.poll_schedule(out, now))?;
        self.note_sent(kind, now);
        Some(len)
    }

    /// Lets time pass for the former sessions. What they would send by themselves is for a key
    /// that is no longer wanted.
    fn end_former(&mut self, out: &mut [u8]) {
        if let Some(former) = &mut self.former {
            former.update_timers(out);
            if !has_session(former) {
                self.former = None;
                self.former_seals = false;
            }
        }
    }

    fn poll_schedule(&mut self, out: &mut [u8], now: Moment) -> Option<(u8, usize)> {
        let session_is_up = self.session_is_up();
        let result = match self.schedule.poll(now.instant, session_is_up) {
            Duty::Nothing => return None,
            Duty::Initiate => self.tunn().format_handshake_initiation(out, true),
            Duty::Keepalive => self.sealing().encapsulate(&[], out),
        };
        match result {
            TunnResult::WriteToNetwork(message) => Some((message[0], message.len())),
            _ => None,
        }
    }

    fn note_sent(&mut self, kind: u8, now: Moment) {
        if kind == TYPE_INITIATION {
            self.schedule.initiated(now.instant);
        } else {
            self.schedule.sent(now.instant);
        }
    }

    fn established(&mut self, now: Moment) {
        self.former_seals = false;
        self.unconfirmed = None;
        self.latest_handshake = Some(now.wall);
        self.completed = true;
        self.schedule.established(now.instant);
    }
}

fn new_tunn(identity: &Identity, index: u32, config: &Peer) -> Box<Tunn> {
    Box::new(Tunn::new(
        identity.secret.clone(),
        PublicKey::from(config.public_key.0),
        config.preshared_key.as_ref().map(|key| *key.to_bytes()),
        None,
        index,
        Some(Arc::clone(&identity.unlimited)),
    ))
}

fn has_session(tunn: &Tunn) -> bool {
    tunn.time_since_last_handshake().is_some()
}

/// The length of what a data message held.
fn opened(result: TunnResult<'_>) -> Result<usize, Dropped> {
    match result {
        TunnResult::Done => Ok(0),
        TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
            Ok(packet.len())
        }
        TunnResult::Err(error) => Err(reason_for_data(&error)),
        TunnResult::WriteToNetwork(_) => Err(Dropped::NotWireGuard),
    }
}

fn unbound_path(remote: SocketAddr) -> Path {
    Path { remote, local: None }
}

fn has_room(packet: usize, out: &[u8]) -> bool {
    out.len() >= INITIATION.max(packet + DATA_OVERHEAD)
}

/// The index by which the sender of a handshake message calls its session.
fn sender_index(message: &[u8]) -> Option<u32> {
    message.get(4..8)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The index of ours that a data message is for.
pub(crate) fn receiver_index(message: &[u8]) -> Option<u32> {
    sender_index(message)
}

fn reason_for_data(error: &WireGuardError) -> Dropped {
    match error {
        WireGuardError::InvalidPacket => Dropped::InnerMalformed,
        WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => Dropped::Replayed,
        WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => Dropped::UnknownSession,
        _ => Dropped::Unauthentic,
    }
}
