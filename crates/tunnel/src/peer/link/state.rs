//! The state of a peer under its lock: sessions, schedule, present path.
//!
//! Takes datagrams, packets and `now`, writes into the caller's buffer and says how many bytes are
//! to be sent. Promises that the path changes only for datagrams that prove to come from the peer,
//! and that no input can make boringtun panic over a short buffer.
//! Protocol: WireGuard paper, sections 5 and 6.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Tunn, TunnResult};

use super::noise::{
    Identity, TYPE_DATA, TYPE_INITIATION, has_room, has_session, new_tunn, opened, receiver_index,
    sender_index,
};
use crate::config::Peer;
use crate::dropped::Dropped;
use crate::edge::Path;
use crate::peer::Moment;
use crate::schedule::{Duty, Schedule};

/// A clock that is this far ahead of the stamps of our initiations was put forward. Less is what
/// time servers correct bit by bit.
const CLOCK_JUMP: Duration = Duration::from_secs(5);
/// Handshakes answered and not used before the session in use is brought to safety: the ring has
/// eight places, and the one before the session in use may be needed too.
const MOST_UNUSED: u32 = 5;

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
pub(crate) struct LinkState {
    identity: Arc<Identity>,
    index: u32,
    pub(in crate::peer) config: Peer,
    pub(in crate::peer) path: Option<Path>,
    /// Made when first needed: a thousand idle peers cost nothing.
    tunn: Option<Box<Tunn>>,
    /// When that was: its initiations bear the wall time of then, plus what has passed since.
    made_at: Option<Moment>,
    /// The sessions from before a new preshared key, a clock that was put forward, or a row of
    /// handshakes that came to nothing. They carry packets until the first session of the present
    /// noise state is up, and are understood until they end.
    former: Option<Box<Tunn>>,
    /// No session of the present noise state is up yet.
    former_seals: bool,
    /// Handshakes answered in a row of which the peer has used none.
    answered: u32,
    pub(in crate::peer) schedule: Schedule,
    /// Index of the session that we answered and the peer has not used yet.
    unconfirmed: Option<u32>,
    pub(in crate::peer) latest_handshake: Option<SystemTime>,
    completed: bool,
    /// Another link to the same peer is sought and used: this one answers and never asks.
    resting: bool,
    /// What the routes chose as our address towards this endpoint when last asked.
    route: Option<(SocketAddr, IpAddr)>,
}

impl LinkState {
    pub(in crate::peer) fn new(identity: Arc<Identity>, config: Peer, index: u32) -> Self {
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
            made_at: None,
            former: None,
            former_seals: false,
            answered: 0,
            route: None,
            schedule,
            unconfirmed: None,
            latest_handshake: None,
            completed: false,
            resting: false,
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
            self.set_aside();
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

    /// Lets this link rest, or take part again with the peer's keepalive.
    pub(in crate::peer) fn rest(&mut self, resting: bool, keepalive: Option<Duration>) {
        self.resting = resting;
        self.schedule.set_keepalive(keepalive.filter(|_| !resting));
    }

    /// A handshake is wanted, if none is on its way.
    pub(in crate::peer) fn seek(&mut self) {
        if !self.schedule.is_trying() {
            self.schedule.want_handshake();
        }
    }

    /// True while a session that was made on this link may still carry packets, ours or the peer's.
    pub(in crate::peer) fn has_living_session(&self, now: Instant) -> bool {
        self.schedule.session_lives(now)
    }

    /// Goes where another link to the same peer goes.
    pub(in crate::peer) fn follow_path(&mut self, path: Option<Path>) {
        self.path = path.or(self.path);
    }

    /// Takes what the routes choose as our address towards `remote` now. Another choice than before
    /// means that they lead elsewhere: the address that the peer spoke to is given up for it.
    pub(crate) fn follow_route(&mut self, remote: SocketAddr, chosen: IpAddr) {
        let before = self.route.replace((remote, chosen));
        let changed = before.is_some_and(|(to, source)| to == remote && source != chosen);
        if let Some(path) = self.path.as_mut().filter(|path| changed && path.remote == remote) {
            path.local = None;
        }
    }

    fn tunn(&mut self, now: Moment) -> Result<&mut Tunn, Dropped> {
        let Self { identity, config, tunn, made_at, .. } = self;
        if tunn.is_none() {
            *tunn = Some(new_tunn(identity, self.index, config)?);
            *made_at = Some(now);
        }
        tunn.as_deref_mut().ok_or(Dropped::ClockUnset)
    }

    /// The sessions to seal with.
    fn sealing(&mut self, now: Moment) -> Result<&mut Tunn, Dropped> {
        if self.former_seals && self.former.is_some() {
            return self.former.as_deref_mut().ok_or(Dropped::ClockUnset);
        }
        self.tunn(now)
    }

    /// Begins anew with handshakes, while packets go on in the sessions that are there.
    fn set_aside(&mut self) {
        let present = self.tunn.take();
        if !self.former_seals {
            self.former = present.filter(|tunn| has_session(tunn));
            self.former_seals = self.former.is_some();
        }
        (self.unconfirmed, self.answered) = (None, 0);
    }

    /// The time that an initiation of now would bear.
    fn stamp(&self, now: Moment) -> Option<SystemTime> {
        let made_at = self.made_at.filter(|_| self.tunn.is_some())?;
        Some(made_at.wall + now.instant.saturating_duration_since(made_at.instant))
    }

    /// A clock that was put forward has left the stamps of our initiations behind: a peer that
    /// knows later ones from before would refuse them for ever.
    fn follow_clock(&mut self, now: Moment) {
        let lag = self.stamp(now).and_then(|stamp| now.wall.duration_since(stamp).ok());
        if lag.is_some_and(|lag| lag >= CLOCK_JUMP) {
            tracing::debug!(peer = ?self.config.public_key, ?lag, "handshakes get the new time");
            let is_in_use = self.session_is_up() || self.schedule.is_trying();
            self.set_aside();
            if is_in_use {
                self.schedule.want_handshake();
            }
        }
    }

    /// True if a packet would be sealed at once.
    pub(crate) fn session_is_up(&self) -> bool {
        let sealing = if self.former_seals { &self.former } else { &self.tunn };
        sealing.as_ref().is_some_and(|tunn| has_session(tunn))
    }

    /// Seals `packet`, which is padded already, into `out`, which must have room for it and
    /// [`super::DATA_OVERHEAD`] and for an [`super::INITIATION`].
    pub(crate) fn seal(
        &mut self,
        packet: &[u8],
        out: &mut [u8],
        now: Moment,
    ) -> Result<Sealed, Dropped> {
        assert!(has_room(packet.len(), out), "callers size their buffers");
        match self.sealing(now)?.encapsulate(packet, out) {
            TunnResult::WriteToNetwork(message) => {
                let (kind, len) = (message[0], message.len());
                self.note_sent(kind, now);
                Ok(if kind == TYPE_DATA { Sealed::Data(len) } else { Sealed::Initiation })
            }
            _ => Ok(Sealed::Waiting),
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
        let mut result = opened(self.tunn(now)?.decapsulate(None, message, out));
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
        if message[0] == TYPE_INITIATION {
            self.spare_session_in_use(now);
        }
        let len = match self.tunn(now)?.decapsulate(from, message, out) {
            TunnResult::WriteToNetwork(answer) => answer.len(),
            // A cookie was taken. It proves nothing about the path.
            TunnResult::Done => {
                self.schedule.cookie_taken(now.instant);
                return Ok(0);
            }
            // Authentic but old: a replay, or a peer whose clock went back. It takes no answer from
            // us, but it takes our own initiation.
            TunnResult::Err(WireGuardError::WrongTai64nTimestamp) => {
                self.schedule.heard_of_old(now.instant);
                return Err(Dropped::HandshakeInvalid);
            }
            _ => return Err(Dropped::HandshakeInvalid),
        };
        self.path = Some(path);
        self.schedule.received(now.instant);
        self.schedule.sent(now.instant);
        if message[0] == TYPE_INITIATION {
            self.unconfirmed = sender_index(out);
            self.answered += 1;
            self.schedule.answered(now.instant);
        } else {
            self.established(now);
        }
        Ok(len)
    }

    /// boringtun holds eight sessions in a ring, and each initiation that is answered takes a place,
    /// whether the answer arrives or not. The session in use is taken out before it is its turn.
    fn spare_session_in_use(&mut self, now: Moment) {
        let is_behind = self.identity.clock.behind(now.wall).is_some();
        if self.answered >= MOST_UNUSED && !self.former_seals && !is_behind {
            self.set_aside();
        }
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
        self.follow_clock(now);
        let message = match self.tunn.as_mut().map(|tunn| tunn.update_timers(out)) {
            Some(TunnResult::WriteToNetwork(message)) => Some((message[0], message.len())),
            Some(TunnResult::Err(_expired)) => {
                self.schedule.expired();
                None
            }
            _ => None,
        };
        self.path?;
        let resting = self.resting;
        let message = message.filter(|(kind, _)| !resting || *kind != TYPE_INITIATION);
        let (kind, len) = match resting {
            true => message?,
            false => message.or_else(|| self.poll_schedule(out, now))?,
        };
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
        self.schedule.set_yielding(self.identity.clock.behind(now.wall).is_some());
        let result = match self.schedule.poll(now.instant, session_is_up) {
            Duty::Nothing => return None,
            Duty::Initiate => self.tunn(now).ok()?.format_handshake_initiation(out, true),
            Duty::Keepalive => self.sealing(now).ok()?.encapsulate(&[], out),
        };
        match result {
            TunnResult::WriteToNetwork(message) => Some((message[0], message.len())),
            _ => None,
        }
    }

    fn note_sent(&mut self, kind: u8, now: Moment) {
        if kind == TYPE_INITIATION {
            self.schedule.initiated(now.instant);
            if let Some(stamp) = self.stamp(now) {
                self.identity.clock.note(stamp);
            }
        } else {
            self.schedule.sent(now.instant);
        }
    }

    fn established(&mut self, now: Moment) {
        self.former_seals = false;
        (self.unconfirmed, self.answered) = (None, 0);
        self.latest_handshake = Some(now.wall);
        self.completed = true;
        self.schedule.established(now.instant);
    }
}

fn unbound_path(remote: SocketAddr) -> Path {
    Path { remote, local: None }
}
