//! The way into a mesh, from the joiner's end: one invitation, step by step.
//!
//! Promises: nothing is kept before both ends have proved the invitation's secret and the answer
//! grants this zone's own key; the same invitation may be tried again at any time. Says each step.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use zonemesh_api::clients::ConnectError;
use zonemesh_api::clients::join::{self, JoinAddress, RedeemCallError};
use zonemesh_config::Endpoint;
use zonemesh_core::exit::error_line;
use zonemesh_core::invitation::{self, Invitation, RedemptionAnswer};
use zonemesh_core::membership::Membership;
use zonemesh_core::prefix;
use zonemesh_core::registry::Standing;
use zonemesh_pki::{ZoneTrust, zone_client_config};

use crate::administration::announcer::Announcer;
use crate::administration::{Administration, Refusal};
use crate::facts::certificates::OwnLeaf;
use crate::facts::tunnel::{DataPlane, is_up};
use crate::plan::PeerPlan;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// How long an inviter that cannot be reached is tried.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the first tunnel and the first record are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Where the steps are told; a listener that went away stops nothing.
pub(crate) struct JoinProgress(pub(crate) mpsc::Sender<String>);

impl JoinProgress {
    async fn say(&self, step: impl Into<String>) {
        let step = step.into();
        tracing::info!(step, "joining");
        // The engineer has gone away: joining goes on to its end.
        let _ = self.0.send(step).await;
    }
}

/// A gateway that joins.
pub(crate) struct Joining {
    pub(crate) administration: Arc<Administration>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) leaf: Arc<OwnLeaf>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    /// The peers in service.
    pub(crate) peers: watch::Receiver<Arc<Vec<PeerPlan>>>,
}

impl Joining {
    /// Joins the mesh that the invitation is for.
    pub(crate) async fn join(&self, text: &str, progress: &JoinProgress) -> Result<(), Refusal> {
        let invitation =
            Invitation::from_text(text).map_err(|error| Refusal::Join(error_line(&error)))?;
        self.check(&invitation)?;
        progress
            .say(format!(
                "the invitation is for zone {} by zone {}",
                invitation.zone, invitation.inviter.zone
            ))
            .await;
        let answer = self.redeem(&invitation, progress).await?;
        let membership = self.mesh(&invitation, answer)?;
        let members = membership.members().count();
        self.administration.join(&invitation, membership).await?;
        self.announce().await?;
        progress.say(format!("member of the mesh of {members} zones, kept on disk")).await;
        self.wait_for_inviter(&invitation, progress).await
    }

    /// The invitation is for this gateway as it is configured.
    fn check(&self, invitation: &Invitation) -> Result<(), Refusal> {
        let config = &self.administration.config;
        if invitation.zone != config.zone.name {
            return Err(Refusal::Join(format!(
                "the invitation is for zone {}, this is zone {} (zone.name)",
                invitation.zone, config.zone.name
            )));
        }
        if let Some(net) =
            config.zone.prefixes.iter().find(|net| !prefix::covered(net, &invitation.prefixes))
        {
            return Err(Refusal::Join(format!(
                "the invitation does not cover {net} (zone.prefixes): ask for another, or set zone.prefixes to {:?}",
                texts(&invitation.prefixes)
            )));
        }
        if let Some(ip) =
            config.tunnel.addresses.iter().find(|ip| !invitation.tunnel_ips.contains(ip))
        {
            return Err(Refusal::Join(format!(
                "the invitation does not grant {ip} (tunnel.addresses): set tunnel.addresses to {:?} and restart",
                texts(&invitation.tunnel_ips)
            )));
        }
        let (mesh, standing) =
            self.administration.ledger.read(|registry| (registry.mesh(), registry.standing()));
        if !mesh.is_static() && mesh != invitation.mesh {
            return Err(Refusal::Managed(mesh));
        }
        match standing {
            Standing::Revoked => Err(Refusal::Join(
                "this gateway's zone key was revoked: move zone.key away, restart, and ask for a new invitation".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Redeems, and waits for approval if the inviter asks for it.
    async fn redeem(
        &self,
        invitation: &Invitation,
        progress: &JoinProgress,
    ) -> Result<RedemptionAnswer, Refusal> {
        let mut silent_since = Instant::now();
        let mut told = String::new();
        loop {
            let (answer, step) = match self.try_redeem(invitation).await {
                Ok(answer) if !answer.pending => return Ok(answer),
                Ok(_) => {
                    silent_since = Instant::now();
                    (None, "redeemed; waiting until an authority approves this zone".to_owned())
                }
                Err(Attempt::Refused(message)) => return Err(Refusal::Join(message)),
                Err(Attempt::Unreached(message)) => {
                    (Some(message.clone()), format!("trying again: {message}"))
                }
            };
            if let Some(message) = answer.filter(|_| silent_since.elapsed() > PATIENCE) {
                return Err(Refusal::Join(format!(
                    "{message}; is its TCP port open? The invitation may be used again"
                )));
            }
            if step != told {
                told.clone_from(&step);
                progress.say(step).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One try at each endpoint of the inviter.
    async fn try_redeem(&self, invitation: &Invitation) -> Result<RedemptionAnswer, Attempt> {
        let own = &self.administration.own_keys();
        let joiner = invitation::JoinerKeys {
            zone_key: own.zone_key,
            wireguard_key: own.wireguard().newest(),
        };
        let inviter = &invitation.inviter;
        // Any gateway of the zone may answer; its certificate says which by a tunnel IP.
        let tunnel_ips: Vec<IpAddr> =
            inviter.gateways.iter().flat_map(|g| g.tunnel_ips.iter().take(1)).copied().collect();
        if tunnel_ips.is_empty() {
            return Err(Attempt::Refused("the invitation names no gateway".to_owned()));
        }
        let trust = ZoneTrust::new(&[(inviter.zone.to_string(), *inviter.zone_key.as_bytes())]);
        let trust = trust.map_err(|error| Attempt::Refused(error.to_string()))?;
        let leaf = self.leaf.current();
        let tls = zone_client_config(&trust, leaf, inviter.zone.as_str())
            .map_err(|error| Attempt::Refused(error.to_string()))?;
        let endpoints =
            self.administration.config.gateway.endpoints.iter().map(Endpoint::to_string).collect();
        let asked = invitation.redemption(&joiner, endpoints);
        let mut last = Attempt::Unreached("the invitation names no join endpoint".to_owned());
        let mut calls = Vec::new();
        for outer in addresses(&inviter.join_endpoints).await {
            calls.extend(tunnel_ips.iter().map(|ip| JoinAddress { outer, tunnel_ip: *ip }));
        }
        for at in calls {
            let outer = at.outer;
            match join::redeem(at, tls.clone(), asked.clone()).await {
                Ok(answer) if invitation.verify_answer(&joiner, &answer) => return Ok(answer),
                Ok(_) => {
                    return Err(Attempt::Refused(
                        "the answer does not prove the invitation's secret: nothing was changed"
                            .to_owned(),
                    ));
                }
                Err(RedeemCallError::Connect(error)) => last = not_connected(&inviter.zone, &error),
                Err(RedeemCallError::Later(text)) => {
                    last = Attempt::Unreached(format!("{outer}: {text}"));
                }
                Err(error) => return Err(Attempt::Refused(error_line(&error))),
            }
        }
        Err(last)
    }

    /// The mesh of the invitation, which has granted this zone's key.
    fn mesh(
        &self,
        invitation: &Invitation,
        answer: RedemptionAnswer,
    ) -> Result<Membership, Refusal> {
        let pin = Some(invitation.authority_set);
        let membership = Membership::from_items(&invitation.mesh, pin, answer.trust)?;
        match self.administration.is_granted(&membership) {
            true => Ok(membership),
            false => Err(Refusal::NotGranted),
        }
    }

    /// Says about this zone what it says now that it is a member.
    async fn announce(&self) -> Result<(), Refusal> {
        let keys = self.administration.own_keys().wireguard();
        Ok(self.announcer.join(keys, self.tunnel.lanes()).await?)
    }

    async fn wait_for_inviter(
        &self,
        invitation: &Invitation,
        progress: &JoinProgress,
    ) -> Result<(), Refusal> {
        let inviter = &invitation.inviter.zone;
        let start = Instant::now();
        let mut tunnel_told = false;
        loop {
            let peers = self.peers.borrow().clone();
            let now = std::time::SystemTime::now();
            let mut of_inviter = peers.iter().filter(|peer| peer.id.zone == *inviter);
            let up = of_inviter.any(|peer| {
                let status = self.tunnel.peer_status(&peer.wireguard_key);
                status.is_some_and(|status| is_up(&status, now))
            });
            if up && !tunnel_told {
                tunnel_told = true;
                progress.say(format!("the tunnel to zone {inviter} is up")).await;
            }
            let has_record =
                self.administration.ledger.read(|registry| registry.get(inviter).is_some());
            if up && has_record {
                progress.say(format!("in step with the registry of zone {inviter}")).await;
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(Refusal::Join(format!(
                    "this zone is a member, but its gateway cannot reach zone {inviter} yet; it goes on trying: zonemesh peers"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Why a try has failed.
enum Attempt {
    /// For good.
    Refused(String),
    /// For now.
    Unreached(String),
}

fn not_connected(zone: &zonemesh_core::name::ZoneName, error: &ConnectError) -> Attempt {
    let line = error_line(error);
    match error {
        ConnectError::Tls { .. } => Attempt::Refused(format!(
            "{line}: this is not the gateway of zone {zone} that has invited, or a clock is off by more than a day"
        )),
        _ => Attempt::Unreached(line),
    }
}

/// The addresses of the endpoints, names resolved by the system, best first.
async fn addresses(endpoints: &[String]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for endpoint in endpoints {
        match tokio::net::lookup_host(endpoint.as_str()).await {
            Ok(found) => addresses.extend(found),
            Err(error) => tracing::warn!(endpoint, %error, "cannot resolve the inviter's endpoint"),
        }
    }
    addresses
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
