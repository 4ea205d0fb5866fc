//! Makes known what this zone says about itself.

use std::sync::{Arc, Mutex, PoisonError};

use zonemesh_config::Config;
use zonemesh_core::key::{WireGuardKeys, WireGuardPrivateKey, ZonePublicKey};
use zonemesh_core::member::Member;
use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::{KeyProof, Lane, MAX_PROOFS};
use zonemesh_tunnel::MOST_LANES;

use super::Administration;
use crate::facts::certificates::FederationCas;
use crate::facts::in_force::ConfigInForce;
use crate::facts::ledger::{Ledger, NotPublished};
use crate::plan::announcement::{Announcement, bounds};

/// What this zone says follows from these, and goes into that.
pub(crate) struct Announcer {
    pub(crate) config: ConfigInForce,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) proofs: OwnProofs,
}

/// That this gateway has its WireGuard keys. Holds no secret.
pub(crate) struct OwnProofs {
    zone_key: ZonePublicKey,
    gateway: String,
    made: Mutex<Vec<KeyProof>>,
}

impl OwnProofs {
    pub(crate) fn new(zone_key: ZonePublicKey, gateway: String) -> Self {
        Self { zone_key, gateway, made: Mutex::default() }
    }

    /// Proves a key, and those that follow from it on further lanes.
    pub(crate) fn add(&self, key: &WireGuardPrivateKey) {
        let further = (1..MOST_LANES).map(|lane| key.of_lane(lane));
        let proof = |key| KeyProof::make(&key, &self.zone_key, &self.gateway);
        let proofs: Vec<_> = std::iter::once(key.clone()).chain(further).map(proof).collect();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|before| !proofs.contains(before));
        made.extend(proofs);
        // Those of the present and the next key.
        let excess = made.len().saturating_sub(MAX_PROOFS);
        made.drain(..excess);
    }

    fn all(&self) -> Vec<KeyProof> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Announcer {
    /// Publishes this zone's record with these keys. Without lanes they stay what they were.
    pub(crate) async fn announce(
        &self,
        keys: WireGuardKeys,
        lanes: Option<Vec<Lane>>,
    ) -> Result<(), NotPublished> {
        let (config, bounds) = (self.config.now(), self.bounds());
        let announcement = self.announcement(&config, keys, lanes, bounds.as_ref());
        self.ledger.edit(RecordChange::Urgent, |draft| announcement.apply(draft)).await
    }

    /// Publishes this zone's record also if the zone had left: it is a member from now on.
    pub(crate) async fn join(
        &self,
        keys: WireGuardKeys,
        lanes: Vec<Lane>,
    ) -> Result<(), NotPublished> {
        let (config, bounds) = (self.config.now(), self.bounds());
        let announcement = self.announcement(&config, keys, Some(lanes), bounds.as_ref());
        self.ledger.come_back(|draft| announcement.apply(draft)).await
    }

    /// Says again what this zone is, whenever it is granted something else, until it is dropped.
    pub(crate) async fn follow_grant(
        self: Arc<Self>,
        administration: Arc<Administration>,
    ) -> anyhow::Result<()> {
        let mut revision = self.ledger.revision();
        let mut before = self.bounds();
        loop {
            revision.changed().await?;
            let granted = self.bounds();
            if granted == before || self.ledger.left_since().is_some() {
                continue;
            }
            match self.announce(administration.own_keys().wireguard(), None).await {
                Ok(()) => before = granted,
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::error!(error, "this zone's record does not follow its grant yet");
                }
            }
        }
    }

    fn bounds(&self) -> Option<Member> {
        self.ledger.read(|registry| bounds(registry).cloned())
    }

    fn announcement<'a>(
        &self,
        config: &'a Config,
        keys: WireGuardKeys,
        lanes: Option<Vec<Lane>>,
        bounds: Option<&'a Member>,
    ) -> Announcement<'a> {
        let ca_sets = self.cas.ca_sets();
        let proofs = self.proofs.all();
        Announcement { config, keys, lanes, proofs, ca_sets, bounds }
    }
}
