//! A new WireGuard key for this gateway, under running connections.
//!
//! The next key lies beside the present one from the first moment on, so that a restart goes on where
//! it was. It is announced only after the tunnel answers to it, and takes the present one's place when
//! every peer whose tunnel is kept up has used it and no session of the old one is left. Nothing is
//! given up for lack of time: who waits for a zone that is gone for good says so.
//! docs/design/key-rotation.md.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zonemesh_tunnel::ZoneStatus;

use crate::administration::{Office, Refusal};
use crate::facts::disk::keys;
use crate::facts::observer::Observer;
use crate::plan::announcement::{self, WireGuardKeys};

/// How often it is looked whether the old key can go.
const LOOK: Duration = Duration::from_secs(1);

/// The change of this gateway's key.
pub(crate) struct Rotation {
    observer: Observer,
    office: Arc<Office>,
    change: Mutex<()>,
}

/// How far it is.
pub(crate) struct Progress {
    pub(crate) keys: WireGuardKeys,
    /// Zones whose tunnel is kept up and that have not used the next key yet.
    pub(crate) waiting_for: Vec<String>,
    /// Zones with a session of the present key.
    pub(crate) old_sessions: Vec<String>,
}

impl Rotation {
    pub(crate) fn new(observer: Observer, office: Arc<Office>) -> Self {
        Self { observer, office, change: Mutex::new(()) }
    }

    /// Makes a new key and begins to change to it; one that is on its way stays.
    pub(crate) fn begin(&self) -> Result<Progress, Refusal> {
        let _one_at_a_time = self.lock();
        if self.observer.wireguard_keys().next.is_none() {
            let file = keys::next_file(&self.observer.config.tunnel.private_key_file);
            let next =
                keys::wireguard(&file).map_err(|failure| Refusal::Disk(failure.into_error()))?;
            let begun = self.observer.tunnel.begin_rotation(&next);
            begun.map_err(|error| Refusal::Key(error.to_string()))?;
            self.publish();
            tracing::info!(next = %next.public_key(), "this gateway changes its WireGuard key");
        }
        Ok(self.progress())
    }

    /// Gives the old key up.
    pub(crate) fn finish(&self) -> Result<Progress, Refusal> {
        let _one_at_a_time = self.lock();
        let keys = self.observer.wireguard_keys();
        let Some(next) = keys.next else {
            return Err(Refusal::Key("no other one is on its way".to_owned()));
        };
        keys::promote_next(&self.observer.config.tunnel.private_key_file)
            .map_err(|error| Refusal::Disk(error.into()))?;
        let finished = self.observer.tunnel.finish_rotation();
        finished.map_err(|error| Refusal::Key(error.to_string()))?;
        self.publish();
        tracing::info!(key = %next, before = %keys.current, "this gateway has a new WireGuard key");
        Ok(self.progress())
    }

    /// How far it is now.
    pub(crate) fn progress(&self) -> Progress {
        let status = self.observer.tunnel.status();
        let keys = WireGuardKeys { current: status.public_key, next: status.next_key };
        let peers = self.observer.peers.borrow().clone();
        let tunnel = &self.observer.tunnel;
        let knows = |key| tunnel.peer_status(key).is_some_and(|peer| peer.knows_next_key);
        let waiting = peers.iter().filter(|peer| peer.keeps_alive && !knows(&peer.wireguard_key));
        let zones = tunnel.zones();
        let uses_old = |zone: &&ZoneStatus| zone.gateways.iter().any(|peer| peer.uses_current_key);
        let old = zones.iter().filter(uses_old);
        match keys.next {
            None => Progress { keys, waiting_for: Vec::new(), old_sessions: Vec::new() },
            Some(_) => Progress {
                keys,
                waiting_for: waiting.map(|peer| peer.zone.to_string()).collect(),
                old_sessions: old.map(|zone| zone.name.clone()).collect(),
            },
        }
    }

    /// Gives the old key up as soon as nobody needs it, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(LOOK).await;
            let Progress { keys, waiting_for, old_sessions } = self.progress();
            let is_over = waiting_for.is_empty() && old_sessions.is_empty();
            if keys.next.is_some()
                && is_over
                && let Err(refusal) = self.finish()
            {
                tracing::error!(error = refusal.to_line(), "the old WireGuard key stays");
            }
        }
    }

    /// Tells everyone which keys this gateway answers to now.
    fn publish(&self) {
        let keys = self.observer.wireguard_keys();
        self.office.identity().set_wireguard(keys);
        let lanes = self.observer.lanes();
        let Observer { config, cas, ledger, .. } = &self.observer;
        if let Err(failure) = announcement::publish(config, keys, Some(lanes), cas, ledger) {
            let error = format!("{:#}", failure.into_error());
            tracing::error!(error, "this zone's record stays as it was");
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
