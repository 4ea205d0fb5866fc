//! The noise states of one link: the present one, and one that is on its way out.
//!
//! boringtun keeps sessions and handshakes in one value that can take no new preshared key, no new
//! clock, and only so many handshakes. So a new one is begun beside the old, which seals until the
//! first session of the new one is up and is understood until its sessions end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use boringtun::noise::{Tunn, TunnResult};
use zonemesh_core::key::{PresharedKey, WireGuardPublicKey};

use super::noise::{
    OwnIdentity, RemoteKeys, TYPE_DATA, has_session, has_usable_counter, new_tunn, opened,
};
use crate::dropped::Dropped;
use crate::peer::ClockReading;

/// A clock that is this far ahead of the stamps of our initiations was put forward. Less is what
/// time servers correct bit by bit.
const CLOCK_JUMP: Duration = Duration::from_secs(5);

/// The noise states between one own key and one key of a gateway's.
pub(super) struct NoiseSessions {
    identity: Arc<OwnIdentity>,
    remote: RemoteKeys,
    index: u32,
    /// Made when first needed: a thousand idle peers cost nothing.
    present: Option<Box<Tunn>>,
    /// When that was: its initiations bear the wall time of then, plus what has passed since.
    made_at: Option<ClockReading>,
    /// The sessions from before a new preshared key, a clock that was put forward, or a row of
    /// handshakes that came to nothing.
    former: Option<Box<Tunn>>,
    /// No session of the present noise state is up yet.
    former_seals: bool,
}

/// What became of a data message.
pub(super) struct OpenedData {
    /// Bytes of the inner packet, 0 for a keepalive.
    pub(super) len: usize,
    /// By a session of the present noise state.
    pub(super) by_present: bool,
}

/// What the former sessions want of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormerWish {
    Nothing,
    /// A message of this length is in the buffer: what came is to be answered with something.
    Keepalive(usize),
    /// They are old.
    Handshake,
}

impl NoiseSessions {
    pub(super) fn new(identity: Arc<OwnIdentity>, remote: RemoteKeys, index: u32) -> Self {
        Self {
            identity,
            remote,
            index,
            present: None,
            made_at: None,
            former: None,
            former_seals: false,
        }
    }

    pub(super) fn remote_key(&self) -> WireGuardPublicKey {
        self.remote.public_key
    }

    /// Handshakes are made with this secret from now on. True if they were not before.
    pub(super) fn set_preshared(&mut self, key: Option<PresharedKey>) -> bool {
        let bytes = |key: &Option<PresharedKey>| key.as_ref().map(PresharedKey::to_bytes);
        if bytes(&self.remote.preshared) == bytes(&key) {
            return false;
        }
        self.remote.preshared = key;
        self.set_aside();
        true
    }

    /// The noise state for handshakes.
    pub(super) fn present(&mut self, now: ClockReading) -> Result<&mut Tunn, Dropped> {
        let Self { identity, remote, present, made_at, .. } = self;
        if present.is_none() {
            *present = Some(new_tunn(identity, self.index, remote)?);
            *made_at = Some(now);
        }
        present.as_deref_mut().ok_or(Dropped::ClockUnset)
    }

    pub(super) fn present_if_made(&mut self) -> Option<&mut Tunn> {
        self.present.as_deref_mut()
    }

    /// The sessions to seal with.
    pub(super) fn sealing(&mut self, now: ClockReading) -> Result<&mut Tunn, Dropped> {
        if self.former_seals && self.former.is_some() {
            return self.former.as_deref_mut().ok_or(Dropped::ClockUnset);
        }
        self.present(now)
    }

    /// Opens a data message into `out`, which must be as long.
    pub(super) fn open(
        &mut self,
        message: &[u8],
        out: &mut [u8],
        now: ClockReading,
    ) -> Result<OpenedData, Dropped> {
        // boringtun knows no last one.
        if !has_usable_counter(message) {
            return Err(Dropped::CounterSpent);
        }
        let result = opened(self.present(now)?.decapsulate(None, message, out));
        match (result, &mut self.former) {
            // boringtun has written nothing into `out` that anybody reads: it is written anew.
            (Err(_), Some(former)) => opened(former.decapsulate(None, message, out))
                .map(|len| OpenedData { len, by_present: false }),
            (result, _) => result.map(|len| OpenedData { len, by_present: true }),
        }
    }

    /// True if a packet would be sealed at once.
    pub(super) fn is_up(&self) -> bool {
        let sealing = if self.former_seals { &self.former } else { &self.present };
        sealing.as_ref().is_some_and(|tunn| has_session(tunn))
    }

    pub(super) fn former_seals(&self) -> bool {
        self.former_seals
    }

    /// Begins anew with handshakes, while packets go on in the sessions that are there.
    pub(super) fn set_aside(&mut self) {
        let present = self.present.take();
        if !self.former_seals {
            self.former = present.filter(|tunn| has_session(tunn));
            self.former_seals = self.former.is_some();
        }
    }

    /// A session of the present noise state is up.
    pub(super) fn established(&mut self) {
        self.former_seals = false;
    }

    /// Lets time pass for the former sessions. Their handshakes are for a key that is no longer
    /// wanted; while they seal, what they wish for is for the present ones to do.
    pub(super) fn end_former(&mut self, out: &mut [u8]) -> FormerWish {
        let Some(former) = &mut self.former else { return FormerWish::Nothing };
        let wish = match former.update_timers(out) {
            TunnResult::WriteToNetwork(message) if message[0] == TYPE_DATA => {
                FormerWish::Keepalive(message.len())
            }
            TunnResult::WriteToNetwork(_) => FormerWish::Handshake,
            _ => FormerWish::Nothing,
        };
        let wish = if self.former_seals { wish } else { FormerWish::Nothing };
        if !has_session(former) {
            self.former = None;
            self.former_seals = false;
        }
        wish
    }

    /// Lets time pass for the present ones. What they send by themselves is in `out`.
    pub(super) fn update_timers<'o>(&mut self, out: &'o mut [u8]) -> Option<TunnResult<'o>> {
        self.present.as_mut().map(|tunn| tunn.update_timers(out))
    }

    /// How far the wall clock is ahead of the stamp that an initiation of now would bear, if that is
    /// more than time servers correct: a peer that knows later ones from before would refuse it for
    /// ever.
    pub(super) fn lag(&self, now: ClockReading) -> Option<Duration> {
        let lag = self.stamp(now).and_then(|stamp| now.wall.duration_since(stamp).ok());
        lag.filter(|lag| *lag >= CLOCK_JUMP)
    }

    fn stamp(&self, now: ClockReading) -> Option<SystemTime> {
        let made_at = self.made_at.filter(|_| self.present.is_some())?;
        Some(made_at.wall + now.instant.saturating_duration_since(made_at.instant))
    }

    /// An initiation was sent.
    pub(super) fn note_initiation(&self, now: ClockReading) {
        if let Some(stamp) = self.stamp(now) {
            self.identity.clock.note(stamp);
        }
    }

    /// Our initiations are likely to be refused: the clock went back.
    pub(super) fn is_behind(&self, now: ClockReading) -> bool {
        self.identity.clock.behind(now.wall).is_some()
    }
}
