//! When a peer is to hear from us without having been asked: handshakes and keepalives.
//!
//! Pure: `now` comes in, a [`DueMessage`] goes out. Promises that a peer with keepalive is sought for
//! ever, about every five seconds with jitter, while no session is up, and that one side is elected
//! to renew a session before it ends. boringtun's own persistent keepalive stays off: it gives up
//! after 90 seconds. Refuses to know sessions and sockets.
//! Numbers: WireGuard paper, section 6.1; data handshakes and passive keepalives stay boringtun's.

use std::time::{Duration, Instant};

/// A session is renewed at this age by the elected side (Rekey-After-Time).
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// The other side steps in at this age, should the elected one not have renewed it.
const REKEY_AFTER_UNELECTED: Duration = Duration::from_secs(135);
/// At this age a session is used no more, by nobody (Reject-After-Time).
const REJECT_AFTER: Duration = Duration::from_secs(180);
/// At this age a gateway whose own initiations are likely to be refused tries all the same.
const REKEY_AFTER_YIELDING: Duration = Duration::from_secs(150);
/// A peer that is heard with an old initiation and was silent for so long is called back.
const LOST_TOUCH: Duration = Duration::from_secs(2);
/// An unanswered initiation is repeated after this time at the latest. boringtun would repeat it
/// after five seconds sharp: staying below leaves the jitter to us.
const RETRY_LATEST: Duration = Duration::from_millis(4900);
/// How much earlier it may be repeated, so that two sides do not stay in step.
const RETRY_JITTER: Duration = Duration::from_millis(400);
/// A cookie is put to use after this time: the peer is under load, but lets us in now.
const COOKIE_PAUSE: Duration = Duration::from_millis(50);
/// How long beyond two keepalive intervals a peer may be silent before it is asked for a sign.
const SILENCE_GRACE: Duration = Duration::from_secs(10);

/// What is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DueMessage {
    Nothing,
    Initiate,
    /// An empty data packet in the present session.
    Keepalive,
}

/// The timers of one peer.
#[derive(Debug)]
pub(crate) struct Schedule {
    keepalive: Option<Duration>,
    elected: bool,
    /// Our clock went back: renewals are left to the other side.
    yielding: bool,
    wanted: bool,
    /// Whoever is there is to hear from us at once.
    unheard: bool,
    /// An interval was set, and nothing sent since: silence until now is no news.
    keepalive_is_new: bool,
    /// When the first message with an interval was sent.
    keepalive_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// When a cookie last brought a retry forward.
    hastened: Option<Instant>,
    session_since: Option<Instant>,
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    unanswered: u64,
    jitter: u32,
}

impl Schedule {
    /// `elected` says which of the two sides renews sessions; `seed` makes jitters differ.
    pub(crate) fn new(elected: bool, seed: u32) -> Self {
        Self {
            keepalive: None,
            elected,
            yielding: false,
            wanted: false,
            unheard: false,
            keepalive_is_new: false,
            keepalive_since: None,
            retry_at: None,
            hastened: None,
            session_since: None,
            last_sent: None,
            last_received: None,
            unanswered: 0,
            jitter: seed | 1,
        }
    }

    pub(crate) fn set_keepalive(&mut self, interval: Option<Duration>) {
        let before = self.keepalive;
        self.keepalive = interval.filter(|interval| !interval.is_zero());
        self.keepalive_is_new = match (before, self.keepalive) {
            (None, Some(_)) => true,
            (_, None) => false,
            (Some(_), Some(_)) => self.keepalive_is_new,
        };
    }

    /// The peer is to hear from us at once, as far as there is a session to speak in.
    pub(crate) fn want_to_be_heard(&mut self) {
        self.unheard = true;
    }

    /// A handshake is wanted at once, whatever else is known.
    pub(crate) fn want_handshake(&mut self) {
        self.wanted = true;
    }

    /// While set, the other side is left to renew sessions.
    pub(crate) fn set_yielding(&mut self, yielding: bool) {
        self.yielding = yielding;
    }

    /// True while an initiation waits for its answer.
    pub(crate) fn is_trying(&self) -> bool {
        self.retry_at.is_some()
    }

    /// An authentic initiation came that is older than one before it. If the peer says nothing else
    /// it may have lost its sessions and its clock, and can only be called. A replay costs one
    /// handshake at most, for the peer is heard then.
    pub(crate) fn heard_of_old(&mut self, now: Instant) {
        if self.retry_at.is_none() && older_than(self.last_received, LOST_TOUCH, now) {
            self.wanted = true;
        }
    }

    /// An authenticated packet was sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.unheard = false;
        self.begin_keepalive(now);
    }

    fn begin_keepalive(&mut self, now: Instant) {
        if std::mem::take(&mut self.keepalive_is_new) {
            self.keepalive_since = Some(now);
        }
    }

    /// An authentic packet came from the peer.
    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received = Some(now);
    }

    /// A handshake initiation was sent, by whoever's wish.
    pub(crate) fn initiated(&mut self, now: Instant) {
        self.wanted = false;
        self.unanswered += 1;
        // Two sides that begin at the same moment may each lose their attempt to the other's; in step
        // they would go on so.
        let early = RETRY_JITTER.mul_f64(self.next_random());
        self.retry_at = Some(now + RETRY_LATEST - early);
    }

    /// The peer answered with a cookie: the next initiation is let in, and need not wait for its
    /// turn. Once per turn, so that a peer that sends nothing but cookies is not asked more often.
    pub(crate) fn cookie_taken(&mut self, now: Instant) {
        if self.retry_at.is_some() && older_than(self.hastened, RETRY_LATEST, now) {
            self.hastened = Some(now);
            self.retry_at = Some(now + COOKIE_PAUSE);
        }
    }

    /// The peer's initiation was answered; it is for the peer to prove that it got the answer.
    pub(crate) fn answered(&mut self, now: Instant) {
        // An answer that was lost leaves a session that only we believe in.
        if self.keepalive.is_some() {
            self.retry_at.get_or_insert(now + RETRY_LATEST);
        }
    }

    /// A session is up: both sides have proved that they hold its keys.
    pub(crate) fn established(&mut self, now: Instant) {
        self.wanted = false;
        self.retry_at = None;
        self.unanswered = 0;
        self.session_since = Some(now);
        self.last_received = Some(now);
        self.begin_keepalive(now);
    }

    /// The noise layer has given up its handshake and forgotten its sessions.
    pub(crate) fn expired(&mut self) {
        self.retry_at = None;
        self.session_since = None;
    }

    /// True while the last session may still be in use, at either end.
    pub(crate) fn session_lives(&self, now: Instant) -> bool {
        !older_than(self.session_since, REJECT_AFTER, now)
    }

    /// Initiations sent since the last session came up.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// What is due. The caller reports what it then sends with [`Self::initiated`] or
    /// [`Self::sent`].
    pub(crate) fn poll(&self, now: Instant, session_is_up: bool) -> DueMessage {
        if self.wanted {
            return DueMessage::Initiate;
        }
        if let Some(at) = self.retry_at {
            if now >= at {
                return DueMessage::Initiate;
            }
        } else if self.renewal_is_due(now, session_is_up) {
            return DueMessage::Initiate;
        }
        let interval_is_over = |interval| older_than(self.last_sent, interval, now);
        if session_is_up && (self.unheard || self.keepalive.is_some_and(interval_is_over)) {
            return DueMessage::Keepalive;
        }
        DueMessage::Nothing
    }

    fn renewal_is_due(&self, now: Instant, session_is_up: bool) -> bool {
        let Some(interval) = self.keepalive else {
            return false;
        };
        // One side renews and the other waits 15 s longer: renewing from both ends at once makes two
        // sessions and a race for which is newer.
        let most = match (self.yielding, self.elected) {
            (true, _) => REKEY_AFTER_YIELDING,
            (false, true) => REKEY_AFTER,
            (false, false) => REKEY_AFTER_UNELECTED,
        };
        // The last is for a peer that lost its sessions: it hears us in one that it cannot open, and
        // WireGuard has no message that says so.
        !session_is_up
            || older_than(self.session_since, most, now)
            || self.is_silent(interval * 2 + SILENCE_GRACE, now)
    }

    /// Nobody has to speak before there is an interval to keep.
    fn is_silent(&self, period: Duration, now: Instant) -> bool {
        let heard_or_begun = self.last_received.max(self.keepalive_since);
        !self.keepalive_is_new && older_than(heard_or_begun, period, now)
    }

    /// Uniform in 0..1 (xorshift32: jitter needs no secrecy).
    fn next_random(&mut self) -> f64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 17;
        self.jitter ^= self.jitter << 5;
        f64::from(self.jitter) / (f64::from(u32::MAX) + 1.0)
    }
}

/// True if `event` never happened or is at least `age` ago.
fn older_than(event: Option<Instant>, age: Duration, now: Instant) -> bool {
    event.is_none_or(|at| now.saturating_duration_since(at) >= age)
}

#[cfg(test)]
mod tests;
