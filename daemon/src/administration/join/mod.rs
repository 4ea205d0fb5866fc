//! The way into a mesh, from the joiner's end: one invitation, step by step.
//!
//! Promises: nothing is kept before both ends have proved the invitation's secret and the answer
//! grants this zone's own key; the same invitation may be tried again at any time. Says each step, and
//! within seconds what it waits for.

mod inviter;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zonemesh_core::finding;
use zonemesh_core::invitation::Invitation;
use zonemesh_core::membership::Membership;
use zonemesh_core::name::ZoneName;
use zonemesh_core::prefix;
use zonemesh_core::registry::Standing;

use crate::administration::announcer::Announcer;
use crate::administration::{Administration, Refusal, given};
use crate::facts::certificates::OwnLeaf;
use crate::facts::ledger::FAREWELL;
use crate::facts::ledger::now;
use crate::facts::tunnel::{DataPlane, is_up};
use crate::plan::PeerPlan;

use inviter::Believed;
pub(crate) use inviter::{Asking, Attempt};
pub(crate) use progress::JoinProgress;

/// Pause between two tries: the first, doubled each time, and the longest.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long a tunnel to the inviter is waited for, and an invitation that is over is tried.
const PATIENCE: Duration = Duration::from_secs(60);
/// When it is said what is waited for.
const SOON: Duration = Duration::from_secs(5);
/// What to do about a key that is out for ever.
const REVOKED: &str = "this gateway's zone key was revoked: move zone.key away, restart, and ask for a new invitation";
/// How often the first tunnel and the first record are looked for.
const LOOK: Duration = Duration::from_millis(100);

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
        let _under_way = self.administration.joins.read().await;
        let invitation = given::invitation(text)?;
        self.check(&invitation)?;
        progress
            .say(format!(
                "the invitation is for zone {} by zone {}",
                invitation.zone, invitation.inviter.zone
            ))
            .await;
        // What the inviter is shown: nothing is said anew unless it has changed.
        let had_left = self.administration.ledger.left_since().is_some();
        let announced = self.announce().await;
        if !self.has_record() {
            announced?;
        }
        let redeemed = self.redeem(&invitation, progress).await;
        if had_left && redeemed.is_err() {
            // It is where it was: outside.
            self.administration.ledger.leave().await?;
            tokio::time::sleep(FAREWELL).await;
            self.administration.ledger.look_again();
        }
        let Believed { membership, record, .. } = redeemed?;
        self.check_granted(&membership)?;
        let members = membership.members().count();
        self.administration.join(&invitation, membership).await?;
        self.announce().await?;
        if let Some(record) = record {
            let inviter = invitation.inviter.zone.as_str();
            // Judged, counted and told like any other.
            let _ = self.administration.ledger.offer_record(inviter, Ok(record)).await;
        }
        progress.say(format!("member of the mesh of {members} zones, kept on disk")).await;
        self.wait_for_inviter(&invitation, progress).await
    }

    /// The invitation is for this gateway as it is configured.
    fn check(&self, invitation: &Invitation) -> Result<(), Refusal> {
        let config = self.administration.config();
        if invitation.zone != config.zone.name {
            let (theirs, own) = (&invitation.zone, &config.zone.name);
            return Err(given::of_another_zone("the invitation", theirs, own));
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
            Standing::Revoked => Err(Refusal::Join(REVOKED.to_owned())),
            _ => Ok(()),
        }
    }

    /// Redeems: asks again, less and less often, until the inviter can be reached, an authority has
    /// approved this zone, or the invitation is over.
    async fn redeem(
        &self,
        invitation: &Invitation,
        progress: &JoinProgress,
    ) -> Result<Believed, Refusal> {
        let (start, mut pause) = (Instant::now(), PAUSE);
        let Self { administration, leaf, .. } = self;
        let asking = Asking { administration, leaf, invitation, progress };
        loop {
            let step = match asking.try_redeem().await {
                Ok(believed) if !believed.is_pending => return Ok(believed),
                Ok(_) => "redeemed; waiting until an authority approves this zone".to_owned(),
                Err(Attempt::Refused(refusal)) => return Err(refusal),
                // A clock that is wrong may say that it is over from the start.
                Err(Attempt::Unreached(message))
                    if start.elapsed() > PATIENCE && invitation.expires_at <= now() =>
                {
                    let over = "and the invitation has expired: ask for a new one";
                    return Err(Refusal::Invitation(format!("{message}; {over}")));
                }
                Err(Attempt::Unreached(message)) => format!("{message}; trying again"),
            };
            progress.say_once(step).await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// True if this zone says something under its present key.
    fn has_record(&self) -> bool {
        let zone = &self.administration.config().zone.name;
        self.administration.ledger.read(|registry| {
            let own = registry.get(zone);
            own.is_some_and(|held| held.signed.verify(&self.administration.own_keys.zone_key))
        })
    }

    /// The mesh has granted this zone's key.
    fn check_granted(&self, membership: &Membership) -> Result<(), Refusal> {
        let key = self.administration.own_keys.zone_key;
        match self.administration.is_granted(membership) {
            true => Ok(()),
            false if membership.is_revoked(&key) => Err(Refusal::Join(REVOKED.to_owned())),
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
        let (start, mut was_up) = (Instant::now(), false);
        loop {
            let (is_up, endpoints) = self.tunnel_to(inviter);
            if is_up && !was_up {
                was_up = true;
                progress.say(format!("the tunnel to zone {inviter} is up")).await;
            }
            let has_record =
                self.administration.ledger.read(|registry| registry.get(inviter).is_some());
            if is_up && has_record {
                progress.say(format!("in step with the registry of zone {inviter}")).await;
                return Ok(());
            }
            if !was_up && start.elapsed() > SOON {
                progress.say_once(silent(inviter, &endpoints)).await;
            }
            if start.elapsed() > PATIENCE {
                let (code, what) = match was_up {
                    true => (finding::Code::StreamBroken, "it is not in step yet".to_owned()),
                    false => (finding::Code::HandshakesUnanswered, silent(inviter, &endpoints)),
                };
                let line = format!(
                    "this zone is a member; {what}; its gateway goes on trying: zonemesh peers"
                );
                return Err(Refusal::Unreached(code, line));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether a tunnel to a gateway of the zone is up, and where those gateways are called.
    fn tunnel_to(&self, zone: &ZoneName) -> (bool, Vec<String>) {
        let (peers, now) = (self.peers.borrow().clone(), std::time::SystemTime::now());
        let of_zone: Vec<_> =
            peers.iter().filter(|peer| !peer.is_plain() && peer.id.zone == *zone).collect();
        let is_up = of_zone.iter().any(|peer| {
            let status = self.tunnel.peer_status(&peer.wireguard_key);
            status.is_some_and(|status| is_up(&status, now))
        });
        (is_up, of_zone.iter().flat_map(|peer| texts(&peer.endpoints)).collect())
    }
}

/// That the gateways of a zone do not answer at their endpoints.
fn silent(zone: &ZoneName, endpoints: &[String]) -> String {
    match endpoints {
        [] => format!("no endpoint of zone {zone} is known yet"),
        known => format!(
            "no answer from zone {zone} at {} yet: is that UDP port open on the way there?",
            known.join(", ")
        ),
    }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
