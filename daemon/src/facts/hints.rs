//! How gateways are reached whose zone record has not arrived yet.
//!
//! A joiner knows its inviter from the invitation. As soon as the zone's record is held it counts, and
//! the hint is only kept for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use zonemesh_core::invitation::{GatewayHint, Invitation};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::record::Gateway;

/// Hints by zone key, one for each gateway; all clones see each change.
#[derive(Clone)]
pub(crate) struct Hints(Arc<watch::Sender<BTreeMap<ZonePublicKey, Vec<GatewayHint>>>>);

impl Hints {
    /// What the invitation says that this gateway has used.
    pub(crate) fn new(inviter: Option<&Invitation>) -> Self {
        let hints = Self(Arc::new(watch::Sender::new(BTreeMap::new())));
        inviter.into_iter().for_each(|invitation| hints.learn_inviter(invitation));
        hints
    }

    /// Takes what an invitation says of the inviter.
    pub(crate) fn learn_inviter(&self, invitation: &Invitation) {
        let inviter = &invitation.inviter;
        let hint = |gateway: &Gateway| GatewayHint {
            gateway: gateway.name.clone(),
            tunnel_ips: gateway.tunnel_ips.clone(),
            wireguard_key: gateway.wireguard_key,
            endpoints: gateway.endpoints.clone(),
        };
        let hints: Vec<_> = inviter.gateways.iter().map(hint).collect();
        if let Some(key) = inviter.zone_key.filter(|_| !hints.is_empty()) {
            self.learn(key, hints);
        }
    }

    fn learn(&self, zone: ZonePublicKey, gateways: Vec<GatewayHint>) {
        self.0.send_if_modified(|hints| hints.insert(zone, gateways.clone()) != Some(gateways));
    }

    /// All hints now.
    pub(crate) fn all(&self) -> BTreeMap<ZonePublicKey, Vec<GatewayHint>> {
        self.0.borrow().clone()
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<ZonePublicKey, Vec<GatewayHint>>> {
        self.0.subscribe()
    }
}
