//! The state of a link under its lock: sessions, schedule, present path.
//!
//! Takes datagrams, packets and `now`, writes into the caller's buffer and says how many bytes are
//! to be sent. Promises that the path changes only for datagrams that prove to come from the gateway,
//! and that no input can make boringtun panic over a short buffer.
//! Protocol: WireGuard paper, sections 5 and 6.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use boringtun::noise::TunnResult;
use boringtun::noise::errors::WireGuardError;

use super::LinkSettings;
use super::course::{Course, PortNews};
use super::noise::{
    OwnIdentity, RemoteKeys, TYPE_DATA, TYPE_INITIATION, has_room, has_session, receiver_index,
    sender_index,
};
use super::sessions::{FormerWish, NoiseSessions, OpenedData};
use crate::dropped::Dropped;
use crate::edge::UdpPath;
use crate::peer::ClockReading;
use crate::schedule::{DueMessage, Schedule};

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

/// The state of a link, under its lock.
pub(crate) struct LinkState {
    sessions: NoiseSessions,
    schedule: Schedule,
    /// As configured, which may differ from where the gateway was last heard.
    endpoint: Option<SocketAddr>,
    course: Course,
    /// Endpoint or preshared key were set anew and the gateway was not called since.
    set_anew: bool,
    /// Handshakes answered in a row of which the gateway has used none.
    answered: u32,
    /// Index of the session that we answered and the gateway has not used yet.
    unconfirmed: Option<u32>,
    latest_handshake: Option<SystemTime>,
    completed: bool,
    /// Another link of the lane is sought and used: this one answers and never asks.
    resting: bool,
}

impl LinkState {
    pub(super) fn new(identity: Arc<OwnIdentity>, settings: LinkSettings, index: u32) -> Self {
        let LinkSettings { public_key, preshared_key, endpoint, keepalive } = settings;
        let mut schedule = Schedule::new(identity.key < public_key, index);
        schedule.set_keepalive(keepalive);
        // At once, before there is a packet: behind a NAT we cannot be called, only call.
        if endpoint.is_some() && keepalive.is_some() {
            schedule.want_handshake();
        }
        let remote = RemoteKeys { public_key, preshared: preshared_key };
        Self {
            sessions: NoiseSessions::new(identity, remote, index),
            schedule,
            endpoint,
            course: Course::to(endpoint),
            set_anew: false,
            answered: 0,
            unconfirmed: None,
            latest_handshake: None,
            completed: false,
            resting: false,
        }
    }

    /// Where datagrams to the gateway go now.
    pub(crate) fn path(&self) -> Option<UdpPath> {
        self.course.path()
    }

    /// The way beside [`Self::path`] that an initiation is to take as well now.
    pub(crate) fn detour(&self) -> Option<UdpPath> {
        self.course.detour().filter(|_| !self.resting)
    }

    /// What there is to tell of the ports that handshakes leave from, once.
    pub(crate) fn port_news(&mut self) -> Option<PortNews> {
        self.course.news()
    }

    pub(crate) fn latest_handshake(&self) -> Option<SystemTime> {
        self.latest_handshake
    }

    /// Initiations sent since the last session came up.
    pub(crate) fn unanswered(&self) -> u64 {
        self.schedule.unanswered()
    }

    /// Initiations answered since the gateway has used a session.
    pub(crate) fn unused(&self) -> u64 {
        self.answered.into()
    }

    /// True once after each handshake that was completed.
    pub(crate) fn take_completed(&mut self) -> bool {
        std::mem::take(&mut self.completed)
    }

    /// Takes new settings, and sends nothing for it ([`Self::call_if_set_anew`]). The session stays,
    /// under a new preshared key until the next one is up; the path stays, except if the configured
    /// endpoint changed.
    pub(crate) fn reconfigure(&mut self, settings: LinkSettings) {
        if self.sessions.set_preshared(settings.preshared_key) {
            (self.unconfirmed, self.answered) = (None, 0);
            self.set_anew = true;
        }
        self.schedule.set_keepalive(settings.keepalive);
        // The same endpoint told again is no reason to leave the one that the gateway roamed to.
        if let Some(endpoint) = settings.endpoint
            && settings.endpoint != self.endpoint
        {
            self.set_anew |= self.course.set_endpoint(endpoint);
        }
        self.endpoint = settings.endpoint;
    }

    /// Sends to `endpoint` from now on, beginning with a handshake: it tells the gateway our address,
    /// and us whether the gateway is there.
    pub(crate) fn set_endpoint(&mut self, endpoint: SocketAddr) {
        if self.course.set_endpoint(endpoint) {
            self.schedule.want_handshake();
        }
    }

    /// Begins a handshake if settings that were taken ask for one: it shows whether they are good.
    pub(crate) fn call_if_set_anew(&mut self) {
        if std::mem::take(&mut self.set_anew) {
            self.schedule.want_handshake();
        }
    }

    /// Lets this link rest, or take part again with the gateway's keepalive.
    pub(crate) fn rest(&mut self, resting: bool, keepalive: Option<Duration>) {
        self.resting = resting;
        self.schedule.set_keepalive(keepalive.filter(|_| !resting));
    }

    /// A handshake is wanted, if none is on its way.
    pub(crate) fn seek(&mut self) {
        if !self.schedule.is_trying() {
            self.schedule.want_handshake();
        }
    }

    /// True if a packet would be sealed at once.
    pub(crate) fn session_is_up(&self) -> bool {
        self.sessions.is_up()
    }

    /// True while a session that was made on this link may still carry packets, ours or the
    /// gateway's.
    pub(crate) fn has_living_session(&self, now: Instant) -> bool {
        self.schedule.session_lives(now)
    }

    /// Goes where another link to the same gateway goes.
    pub(crate) fn follow_path(&mut self, path: Option<UdpPath>) {
        self.course.follow(path);
    }

    /// Takes what the routes choose as our address towards `remote` now. If they lead elsewhere than
    /// before, the gateway hears so at once, also where nothing else is to be said.
    pub(crate) fn follow_route(&mut self, remote: SocketAddr, chosen: IpAddr, now: Instant) {
        if self.course.follow_route(remote, chosen, now) {
            self.schedule.want_to_be_heard();
        }
    }

    fn set_aside(&mut self) {
        self.sessions.set_aside();
        // Both were about handshakes of the state that went.
        (self.unconfirmed, self.answered) = (None, 0);
    }

    /// A clock that was put forward has left the stamps of our initiations behind.
    fn follow_clock(&mut self, now: ClockReading) {
        if let Some(lag) = self.sessions.lag(now) {
            tracing::debug!(peer = ?self.sessions.remote_key(), ?lag, "handshakes get the new time");
            let is_in_use = self.session_is_up() || self.schedule.is_trying();
            self.set_aside();
            if is_in_use {
                self.schedule.want_handshake();
            }
        }
    }

    /// Seals `packet`, which is padded already, into `out`, which must have room for it and
    /// [`super::DATA_OVERHEAD`] and for an [`super::INITIATION`].
    pub(crate) fn seal(
        &mut self,
        packet: &[u8],
        out: &mut [u8],
        now: ClockReading,
    ) -> Result<Sealed, Dropped> {
        // boringtun panics over a short buffer deep inside; here the defect names its caller.
        assert!(has_room(packet.len(), out), "callers size their buffers");
        match self.sessions.sealing(now)?.encapsulate(packet, out) {
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
        path: UdpPath,
        now: ClockReading,
    ) -> Result<usize, Dropped> {
        assert!(out.len() >= message.len(), "callers size their buffers");
        let OpenedData { len, by_present } = self.sessions.open(message, out, now)?;
        // Only now: roaming follows what proved to come from the peer (WireGuard paper, section 2.1).
        self.course.heard(path, now.instant);
        self.course.answered();
        self.schedule.received(now.instant);
        // The first data in a session is the initiator's proof that it holds the keys, without which
        // nothing is sent in it (section 5.1).
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
        path: UdpPath,
        now: ClockReading,
    ) -> Result<usize, Dropped> {
        assert!(has_room(0, out), "callers size their buffers");
        let from: Option<IpAddr> = Some(path.remote.ip());
        if message[0] == TYPE_INITIATION {
            self.spare_session_in_use(now);
        }
        let len = match self.sessions.present(now)?.decapsulate(from, message, out) {
            TunnResult::WriteToNetwork(answer) => answer.len(),
            // A cookie was taken. It proves nothing about the path.
            TunnResult::Done => {
                self.schedule.cookie_taken(now.instant);
                return Ok(0);
            }
            // Authentic but old: a replay, or a gateway whose clock went back. It takes no answer
            // from us, but it takes our own initiation.
            TunnResult::Err(WireGuardError::WrongTai64nTimestamp) => {
                self.schedule.heard_of_old(now.instant);
                return Err(Dropped::HandshakeInvalid);
            }
            _ => return Err(Dropped::HandshakeInvalid),
        };
        self.course.heard(path, now.instant);
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
    fn spare_session_in_use(&mut self, now: ClockReading) {
        let has_many = self.answered >= MOST_UNUSED;
        if has_many && !self.sessions.former_seals() && !self.sessions.is_behind(now) {
            self.set_aside();
        }
    }

    /// The next packet that waited for a session, sealed into `out`, which must have room for the
    /// largest packet.
    pub(crate) fn next_waiting(&mut self, out: &mut [u8], now: ClockReading) -> Option<usize> {
        let present = self.sessions.present_if_made().filter(|tunn| has_session(tunn))?;
        match present.decapsulate(None, &[], out) {
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
    pub(crate) fn poll(&mut self, out: &mut [u8], now: ClockReading) -> Option<usize> {
        assert!(has_room(0, out), "callers size their buffers");
        match self.sessions.end_former(out) {
            FormerWish::Nothing => {}
            FormerWish::Keepalive(len) => {
                self.note_sent(TYPE_DATA, now);
                return Some(len);
            }
            FormerWish::Handshake => self.seek(),
        }
        self.follow_clock(now);
        // Passive keepalives and the rekey of an initiator are boringtun's, and its clock stands still
        // without this call.
        let message = match self.sessions.update_timers(out) {
            Some(TunnResult::WriteToNetwork(message)) => Some((message[0], message.len())),
            // It has given up, after 90 s of trying (Rekey-Attempt-Time) or 540 s without a session, and
            // would begin again only for a packet: the schedule does by itself.
            Some(TunnResult::Err(_expired)) => {
                self.schedule.expired();
                None
            }
            _ => None,
        };
        self.course.path()?;
        let resting = self.resting;
        // A link that rests must not renew its session by boringtun's own wish.
        let message = message.filter(|(kind, _)| !resting || *kind != TYPE_INITIATION);
        let (kind, len) = match resting {
            true => message?,
            false => message.or_else(|| self.poll_schedule(out, now))?,
        };
        self.note_sent(kind, now);
        Some(len)
    }

    fn poll_schedule(&mut self, out: &mut [u8], now: ClockReading) -> Option<(u8, usize)> {
        let session_is_up = self.session_is_up();
        self.schedule.set_yielding(self.sessions.is_behind(now));
        let result = match self.schedule.poll(now.instant, session_is_up) {
            DueMessage::Nothing => return None,
            DueMessage::Initiate => {
                self.sessions.present(now).ok()?.format_handshake_initiation(out, true)
            }
            DueMessage::Keepalive => self.sessions.sealing(now).ok()?.encapsulate(&[], out),
        };
        match result {
            TunnResult::WriteToNetwork(message) => Some((message[0], message.len())),
            _ => None,
        }
    }

    fn note_sent(&mut self, kind: u8, now: ClockReading) {
        if kind == TYPE_INITIATION {
            self.course.asked();
            self.schedule.initiated(now.instant);
            self.sessions.note_initiation(now);
        } else {
            self.schedule.sent(now.instant);
        }
    }

    fn established(&mut self, now: ClockReading) {
        self.sessions.established();
        self.course.answered();
        (self.unconfirmed, self.answered) = (None, 0);
        self.latest_handshake = Some(now.wall);
        self.completed = true;
        self.schedule.established(now.instant);
    }
}
