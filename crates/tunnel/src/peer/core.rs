//! The state of a peer under its lock: sessions, schedule, present path.
//!
//! Takes datagrams, packets and `now`, writes into the caller's buffer and says how many bytes are
//! to be sent. Promises that the path changes only for datagrams that prove to come from the peer,
//! and that no input can make boringtun panic over a short buffer.
//! Protocol: WireGuard paper, sections 5 and 6.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use boringtun::noise::{Tunn, TunnResult};

use super::Moment;
use super::noise::{
    Identity, TYPE_DATA, TYPE_INITIATION, has_room, has_session, new_tunn, opened, receiver_index,
    sender_index,
};
use crate::config::Peer;
use crate::dropped::Dropped;
use crate::edge::Path;
use crate::schedule::{Duty, Schedule};

/// What became of a packet that was to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// A data message of this length is in the buffer.
    Data(usize),
    /// The packet waits for a session; a handshake [`super::INITIATION`] is in the buffer.
    Initiation,
    /// The packet waits for a session that is being sought already.
    Waiting,
}

/// The state of a peer, under its lock.
pub(crate) struct PeerCore {
    identity: Arc<Identity>,
    index: u32,
    pub(super) config: Peer,
    pub(super) path: Option<Path>,
    /// Made when first needed: a thousand idle peers cost nothing.
    tunn: Option<Box<Tunn>>,
    /// The sessions from before a new preshared key. They carry packets until the first session
    /// under the new key is up, and are understood until they end.
    former: Option<Box<Tunn>>,
    /// No session under the present preshared key is up yet.
    former_seals: bool,
    pub(super) schedule: Schedule,
    /// Index of the session that we answered and the peer has not used yet.
    unconfirmed: Option<u32>,
    pub(super) latest_handshake: Option<SystemTime>,
    completed: bool,
}

impl PeerCore {
    pub(super) fn new(identity: Arc<Identity>, config: Peer, index: u32) -> Self {
        let mut schedule = Schedule::new(identity.key < config.public_key, index);
        schedule.set_keepalive(config.keepalive);
        if config.endpoint.is_some() && config.keepalive.is_some() {
            schedule.want_handshake();
        }
        Self {
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
        }
    }

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
    /// [`super::DATA_OVERHEAD`] and for an [`super::INITIATION`].
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

fn unbound_path(remote: SocketAddr) -> Path {
    Path { remote, local: None }
}
