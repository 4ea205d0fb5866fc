//! How gateways are reached whose zone record has not arrived yet.
//!
//! A joiner knows its inviter from the invitation, an inviter knows a joiner from its redemption.
//! As soon as the zone's record is held it counts, and the hint is only kept for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use zonemesh_config::Endpoint;
use zonemesh_core::invitation::{Invitation, Issued};
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::record::Version;

/// How a gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) wireguard_key: WireGuardPublicKey,
    pub(crate) endpoints: Vec<Endpoint>,
    /// A record that is older than the hint: the gateway was set up again since.
    pub(crate) newer_than: Option<Version>,
}

/// Hints by zone key; all clones see each change.
#[derive(Clone)]
pub(crate) struct Hints(Arc<watch::Sender<BTreeMap<ZonePublicKey, Hint>>>);

impl Hints {
    /// What invitations say: those issued here, and the one that this gateway has used.
    pub(crate) fn new(issued: &[Issued], inviter: Option<&Invitation>) -> Self {
        let hints = Self(Arc::new(watch::Sender::new(BTreeMap::new())));
        issued.iter().for_each(|issued| hints.learn_joiner(issued, None));
        inviter.into_iter().for_each(|invitation| hints.learn_inviter(invitation));
        hints
    }

    /// Takes what a joiner has said.
    pub(crate) fn learn_joiner(&self, issued: &Issued, newer_than: Option<Version>) {
        let Some(joiner) = issued.used_by else { return };
        self.learn(
            joiner.zone_key,
            Hint {
                wireguard_key: joiner.wireguard_key,
                endpoints: endpoints(&issued.endpoints),
                newer_than,
            },
        );
    }

    /// Takes what an invitation says of the inviter.
    pub(crate) fn learn_inviter(&self, invitation: &Invitation) {
        let inviter = &invitation.inviter;
        let Some(gateway) = inviter.gateways.first() else { return };
        let hint = Hint {
            wireguard_key: gateway.wireguard_key,
            endpoints: endpoints(&gateway.endpoints),
            newer_than: None,
        };
        self.learn(inviter.zone_key, hint);
    }

    fn learn(&self, zone: ZonePublicKey, hint: Hint) {
        self.0.send_if_modified(|hints| hints.insert(zone, hint.clone()) != Some(hint));
    }

    /// All hints now.
    pub(crate) fn all(&self) -> BTreeMap<ZonePublicKey, Hint> {
        self.0.borrow().clone()
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<ZonePublicKey, Hint>> {
        self.0.subscribe()
    }
}

/// Those that are valid: what another zone says is not believed, only tried.
pub(crate) fn endpoints(texts: &[String]) -> Vec<Endpoint> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
