//! A new WireGuard key for this gateway, under running connections.
//!
//! The next key lies beside the present one from the first moment on, so that a restart goes on where
//! it was. It is announced only after the tunnel answers to it, and takes the present one's place when
//! every peer whose tunnel is kept up has used it and no session of the old one is left. Nothing is
//! given up for lack of time: who waits for a zone that is gone for good says so.
//! docs/design/key-rotation.md.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::journal::AuditAct;
use zonemesh_core::key::{WireGuardKeys, WireGuardPrivateKey};
use zonemesh_core::record::Lane;
use zonemesh_tunnel::ZoneStatus;

use crate::administration::announcer::Announcer;
use crate::administration::{Administration, Refusal};
use crate::facts::disk::keys;
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;

/// How often it is looked whether the old key can go.
const LOOK: Duration = Duration::from_secs(1);

/// The change of this gateway's key.
pub(crate) struct Rotation {
    pub(crate) administration: Arc<Administration>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    /// The peers in service.
    pub(crate) peers: watch::Receiver<Arc<Vec<PeerPlan>>>,
    /// Held by whoever changes something.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// How far it is.
pub(crate) struct RotationProgress {
    pub(crate) keys: WireGuardKeys,
    /// Zones whose tunnel is kept up, and plain peers, that have not used the next key yet.
    pub(crate) waiting_for: Vec<String>,
    /// Zones with a session of the present key.
    pub(crate) old_sessions: Vec<String>,
}

impl Rotation {
    /// Makes a new key and begins to change to it; one that is on its way stays. Asked again, it says
    /// again what it may have failed to say.
    pub(crate) async fn begin(&self) -> Result<RotationProgress, Refusal> {
        let _one_at_a_time = self.turn.lock().await;
        if self.tunnel.keys().next.is_none() {
            let file = keys::next_file(&self.administration.config().tunnel.private_key_file);
            let next = self.next_key(file).await?;
            self.announcer.proofs.add(&next);
            let begun = self.tunnel.begin_rotation(&next);
            begun.map_err(|error| Refusal::Key(error.to_string()))?;
            tracing::info!(next = %next.public_key(), "this gateway changes its WireGuard key");
        }
        self.publish(self.tunnel.keys(), self.tunnel.lanes()).await?;
        Ok(self.progress())
    }

    /// The key that lies there, or a new one.
    async fn next_key(&self, file: PathBuf) -> Result<WireGuardPrivateKey, Refusal> {
        if file.exists() {
            let key = keys::wireguard(&file);
            return key.map_err(|failure| Refusal::KeyFile(failure.into_error()));
        }
        let (key, write) = keys::new_wireguard(file)?;
        let audit =
            self.administration.ledger.audit(AuditAct::Rotate, &key.public_key(), "begun".into());
        self.administration.disk.write(vec![write, audit]).await?;
        Ok(key)
    }

    /// Gives the old key up: says so first, so that nobody is left with a key that is gone.
    pub(crate) async fn finish(&self) -> Result<RotationProgress, Refusal> {
        let _one_at_a_time = self.turn.lock().await;
        let keys = self.tunnel.keys();
        let Some(next) = keys.next else {
            return Err(Refusal::Key("no other one is on its way".to_owned()));
        };
        let lanes = self.tunnel.lanes().into_iter().map(|lane| Lane {
            wireguard_key: lane.next_wireguard_key.unwrap_or(lane.wireguard_key),
            next_wireguard_key: None,
            ..lane
        });
        self.publish(WireGuardKeys { current: next, next: None }, lanes.collect()).await?;
        let promoted = keys::promote_next(&self.administration.config().tunnel.private_key_file);
        let audit = self.administration.ledger.audit(AuditAct::Rotate, &next, "finished".into());
        self.administration.disk.write(vec![promoted, audit]).await?;
        let finished = self.tunnel.finish_rotation();
        finished.map_err(|error| Refusal::Key(error.to_string()))?;
        tracing::info!(key = %next, before = %keys.current, "this gateway has a new WireGuard key");
        Ok(self.progress())
    }

    /// How far it is now.
    pub(crate) fn progress(&self) -> RotationProgress {
        let keys = self.tunnel.keys();
        let peers = self.peers.borrow().clone();
        let tunnel = &self.tunnel;
        let knows = |key| tunnel.peer_status(key).is_some_and(|peer| peer.knows_next_key);
        // Nobody tells a plain peer but people: it is waited for even while it is not used.
        let is_awaited = |peer: &&PeerPlan| peer.keeps_alive || peer.is_plain();
        let waiting = peers.iter().filter(is_awaited).filter(|peer| !knows(&peer.wireguard_key));
        let zones = tunnel.zones();
        let uses_old = |zone: &&ZoneStatus| zone.gateways.iter().any(|peer| peer.uses_current_key);
        let old = zones.iter().filter(uses_old);
        match keys.next {
            None => RotationProgress { keys, waiting_for: Vec::new(), old_sessions: Vec::new() },
            Some(_) => RotationProgress {
                keys,
                waiting_for: waiting.map(PeerPlan::owner).collect(),
                old_sessions: old.map(|zone| zone.name.clone()).collect(),
            },
        }
    }

    /// Gives the old key up as soon as nobody needs it, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(LOOK).await;
            let RotationProgress { keys, waiting_for, old_sessions } = self.progress();
            let is_over = waiting_for.is_empty() && old_sessions.is_empty();
            if keys.next.is_none() || !is_over {
                continue;
            }
            let findings = self.administration.ledger.findings();
            match self.finish().await {
                Ok(_) => findings.clear(Code::RotationStuck, &Subject::Here),
                Err(refusal) => {
                    tracing::error!(error = refusal.to_line(), "the old WireGuard key stays");
                    let reason = Evidence::Reason(refusal.to_line());
                    findings.raise(Finding::new(Code::RotationStuck, Subject::Here).with(reason));
                }
            }
        }
    }

    /// Tells everyone which keys this gateway answers to.
    async fn publish(&self, keys: WireGuardKeys, lanes: Vec<Lane>) -> Result<(), Refusal> {
        self.announcer.announce(keys, Some(lanes)).await?;
        self.administration.own_keys().set_wireguard(keys);
        Ok(())
    }
}
