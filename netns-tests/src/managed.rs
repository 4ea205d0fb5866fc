//! What changes a managed mesh, asked of a gateway's admin socket.
//!
//! Owns the way from a scenario to the service `Mesh`; what the tool prints about it is tested with the
//! tool. Promises that a step ends within a minute, with the daemon's own message if it is refused.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tonic::transport::Channel;
use zonemesh_api::clients::admin;
use zonemesh_api::v1::mesh_client::MeshClient;
use zonemesh_api::v1::{
    MeshInitReply, MeshInitRequest, TrustReply, ZoneBlockRequest, ZoneInviteRequest,
    ZoneJoinRequest, ZoneListReply, ZoneListRequest, ZoneRevokeRequest,
};

use zonemesh_core::membership::AuthorityIdentity;
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};

const PATIENCE: Duration = Duration::from_secs(60);

/// The owner of the meshes that are founded here.
#[must_use]
pub fn owner() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[41; 32])
}

/// The steps of a mesh whose zones join by invitation.
pub trait ManagedMesh: Sized {
    /// Gateways that run and know nobody.
    ///
    /// # Errors
    /// When one does not start.
    fn strangers(lab: &Lab) -> Result<Self>;

    /// The first zone's managed mesh, which the other zones of the Lab have joined.
    ///
    /// # Errors
    /// When founding or joining is refused, or they do not all meet.
    fn joined(lab: &Lab) -> Result<Self>;

    /// Has the first zone invite another one, which joins; returns the invitation.
    ///
    /// # Errors
    /// When one of them refuses.
    fn invite_and_join(&mut self, lab: &Lab, zone: &str) -> Result<String>;
}

impl ManagedMesh for Mesh {
    fn strangers(lab: &Lab) -> Result<Self> {
        let mut mesh = Self::prepare(lab)?;
        for zone in lab.zones() {
            mesh.gateway(&zone.name)?.set_peers(Vec::new());
        }
        mesh.start(lab)?;
        for zone in lab.zones() {
            mesh.gateway(&zone.name)?.wait_until_ready(patience())?;
        }
        Ok(mesh)
    }

    fn joined(lab: &Lab) -> Result<Self> {
        let mut mesh = Self::strangers(lab)?;
        let (first, others) = lab.zones().split_first().context("a Lab without a zone")?;
        mesh.gateway(&first.name)?.init_mesh(false)?;
        for zone in others {
            mesh.invite_and_join(lab, &zone.name)?;
        }
        mesh.wait_until_connected(patience())?;
        Ok(mesh)
    }

    fn invite_and_join(&mut self, lab: &Lab, zone: &str) -> Result<String> {
        let (first, place) = (lab.zones().first().context("no zone")?, lab.zone(zone)?);
        let (prefix, ip) = (place.prefix(), place.tunnel_address.to_string());
        let invitation = self.gateway(&first.name)?.invite(zone, &prefix, &ip)?;
        let steps = self.gateway(zone)?.join(&invitation)?;
        let up = format!("the tunnel to zone {} is up", first.name);
        ensure!(steps.iter().any(|step| step.contains(&up)), "{steps:?}");
        Ok(invitation)
    }
}

/// What an administrator asks of one gateway.
pub trait ManagedGateway {
    /// Makes a managed mesh of this zone; with `grant_configured` of its peers too.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn init_mesh(&self, grant_configured: bool) -> Result<MeshInitReply>;

    /// Invites a zone with these prefixes and tunnel IPs; the invitation is one line of text.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn invite(&self, zone: &str, prefix: &str, tunnel_ip: &str) -> Result<String>;

    /// Joins the mesh that an invitation is for; returns the steps that it was told.
    ///
    /// # Errors
    /// What the daemon or the inviter refuses.
    fn join(&self, invitation: &str) -> Result<Vec<String>>;

    /// The zones as this gateway knows them.
    ///
    /// # Errors
    /// When the daemon does not answer.
    fn zones(&self) -> Result<ZoneListReply>;

    /// Revokes a zone in the whole mesh.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn revoke(&self, zone: &str) -> Result<TrustReply>;

    /// Blocks a zone here, or lets it in again.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn block(&self, zone: &str, blocked: bool) -> Result<Vec<String>>;
}

impl ManagedGateway for LabGateway {
    fn init_mesh(&self, grant_configured: bool) -> Result<MeshInitReply> {
        let owner_keys = vec![owner().public_key().to_string()];
        let request =
            MeshInitRequest { grant_configured, owner_keys, ..MeshInitRequest::default() };
        change(self, async |mut mesh| Ok(mesh.mesh_init(request).await?.into_inner()))
    }

    fn invite(&self, zone: &str, prefix: &str, tunnel_ip: &str) -> Result<String> {
        let request = ZoneInviteRequest {
            zone: zone.to_owned(),
            prefixes: vec![prefix.to_owned()],
            tunnel_ips: vec![tunnel_ip.to_owned()],
            ..ZoneInviteRequest::default()
        };
        change(self, async |mut mesh| Ok(mesh.zone_invite(request).await?.into_inner().invitation))
    }

    fn join(&self, invitation: &str) -> Result<Vec<String>> {
        let request = ZoneJoinRequest { invitation: invitation.to_owned() };
        change(self, async |mut mesh| {
            let mut steps = mesh.zone_join(request).await?.into_inner();
            let mut said = Vec::new();
            while let Some(progress) = steps.message().await? {
                said.push(progress.step);
                if progress.done {
                    return Ok(said);
                }
            }
            anyhow::bail!("joining ended without a word after {said:?}")
        })
    }

    fn zones(&self) -> Result<ZoneListReply> {
        change(self, async |mut mesh| Ok(mesh.zone_list(ZoneListRequest {}).await?.into_inner()))
    }

    fn revoke(&self, zone: &str) -> Result<TrustReply> {
        let request = ZoneRevokeRequest { zone: zone.to_owned(), reason: "scenario".to_owned() };
        change(self, async |mut mesh| Ok(mesh.zone_revoke(request).await?.into_inner()))
    }

    fn block(&self, zone: &str, blocked: bool) -> Result<Vec<String>> {
        let request = ZoneBlockRequest { zone: zone.to_owned(), blocked };
        change(self, async |mut mesh| Ok(mesh.zone_block(request).await?.into_inner().blocked))
    }
}

fn change<T, F>(gateway: &LabGateway, ask: impl FnOnce(MeshClient<Channel>) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let socket = gateway.socket();
    let asked = async {
        let mesh = admin::connect_mesh(&socket).await?;
        ask(mesh).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    answer.with_context(|| format!("zone {} did not answer in time", gateway.zone()))?
}
