//! Asks other members what has become of this zone, when nobody in the mesh talks to it any more.
//!
//! A revoked zone loses its peers before it can hear why. It asks the join ports of those that it
//! knows, outside of the tunnels. Promises: what it is told is checked like any trust item, by the
//! authorities that it knows; it changes what is said, never tunnels or routes. Few calls, and fewer
//! the longer it lasts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use zonemesh_api::clients::join::JoinAddress;
use zonemesh_api::clients::standing;
use zonemesh_config::Endpoint;
use zonemesh_core::membership::SignedTrustItem;
use zonemesh_core::path::PathState;
use zonemesh_core::registry::Standing;
use zonemesh_pki::{ZoneTrust, zone_client_config};

use super::lookout::Lookout;
use crate::facts::certificates::OwnLeaf;
use crate::facts::ledger::{Ledger, now};
use crate::facts::reach::passes;
use crate::plan::PeerPlan;

/// Where members are asked: the join port as it is by default.
const PORT: u16 = 51_823;
/// Pause before the first question, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(320);
/// Members that are asked in one go, and the time for each.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);

/// Who asks, about itself.
pub(crate) struct Inquiry {
    pub(crate) lookout: Arc<Lookout>,
    pub(crate) leaf: Arc<OwnLeaf>,
}

impl Inquiry {
    /// Asks again and again while it is alone, until it is dropped.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (mut wait, mut asked) = (FIRST_WAIT, 0);
        loop {
            tokio::time::sleep(wait).await;
            if !self.is_alone() {
                (wait, asked) = (FIRST_WAIT, 0);
                continue;
            }
            let peers = self.lookout.peers.borrow().clone();
            // A plain peer knows nothing of any mesh.
            let peers: Vec<_> = peers.iter().filter(|peer| !peer.is_plain()).collect();
            for peer in peers.iter().copied().cycle().skip(asked).take(AT_ONCE.min(peers.len())) {
                asked = (asked + 1) % peers.len();
                match ask(&self.lookout.ledger, &self.leaf, peer).await {
                    Ok(items) if !items.is_empty() => self.take(peer, items).await,
                    Ok(_) => {}
                    Err(error) => {
                        let (zone, error) = (&peer.id.zone, format!("{error:#}"));
                        tracing::debug!(%zone, error, "cannot ask what this zone is");
                    }
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// True if this zone is a member as far as it knows, and no other lets it know more.
    fn is_alone(&self) -> bool {
        let ledger = &self.lookout.ledger;
        let is_member = ledger.read(|registry| {
            registry.membership().is_some() && registry.standing() == Standing::Member
        });
        let look = self.lookout.refresh(0);
        let seen = look.peers.iter().zip(&look.states);
        let zones: Vec<_> = seen.filter(|(peer, _)| !peer.is_plain()).collect();
        let is_silent = |(_, state): &(&PeerPlan, &PathState)| !passes(**state);
        let is_refused =
            |(peer, _): &(&PeerPlan, _)| self.lookout.streams.entry(&peer.id).is_refused();
        let is_cut = zones.iter().all(is_silent) || zones.iter().any(is_refused);
        is_member && !zones.is_empty() && is_cut
    }

    /// Takes what is signed by the authorities of this mesh, and says so if this zone is out.
    async fn take(&self, from: &PeerPlan, items: Vec<SignedTrustItem>) {
        let ledger = &self.lookout.ledger;
        let taken = ledger.accept_trust::<std::io::Error>(items, |_, _| Ok(())).await;
        let zone = &from.id.zone;
        if let Err(error) = taken {
            tracing::error!(%zone, %error, "cannot store what another zone has told of this one");
        }
        let standing = ledger.read(|registry| registry.standing());
        if standing == Standing::Revoked {
            tracing::warn!(told_by = %zone, at = %now(), "this zone's key was revoked");
        }
    }
}

/// Asks a member's gateways, at the endpoints that are known of this one, what has become of this zone.
pub(crate) async fn ask(
    ledger: &Ledger,
    leaf: &OwnLeaf,
    peer: &PeerPlan,
) -> anyhow::Result<Vec<SignedTrustItem>> {
    let zone = &peer.id.zone;
    let key = ledger.admitted().borrow().zones.get(zone).copied().context("not a member")?;
    let own = ledger.read(|registry| {
        let own = registry.all_members().find(|member| member.zone == *registry.zone());
        own.map(|own| own.key)
    });
    let own = own.context("this zone is not a member")?;
    let trust = ZoneTrust::new(&[(zone.to_string(), *key.as_bytes())])?;
    let tls = zone_client_config(&trust, leaf.current(), zone.as_str())?;
    let tunnel_ip = *peer.tunnel_ips.first().context("no tunnel address")?;
    let mut last = anyhow::anyhow!("no endpoint is known");
    for endpoint in &peer.endpoints {
        let asking = async {
            let outer = address(endpoint).await?;
            Ok(standing::ask(JoinAddress { outer, tunnel_ip }, tls.clone(), &own).await?)
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(items)) => return Ok(items),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}

/// Where the join port of an endpoint is.
async fn address(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    Ok(match endpoint {
        Endpoint::Address(address) => SocketAddr::new(address.ip(), PORT),
        Endpoint::Name { host, .. } => {
            let mut found = tokio::net::lookup_host((host.as_str(), PORT)).await?;
            found.next().with_context(|| format!("{host} has no address"))?
        }
    })
}
