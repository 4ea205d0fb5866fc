//! Answers `zonemesh` where it changes the mesh. What is done is the administration's; who may ask is
//! decided here: root and the daemon's own user, by the socket's peer credentials.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream as streams};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};
use zonemesh_api::v1::mesh_server::Mesh;
use zonemesh_api::v1::{
    Authority, AuthorityChangeReply, AuthorityChangeRequest, AuthorityListReply,
    AuthorityListRequest, AuthorityPinRequest, KeyRotateReply, KeyRotateRequest, KeyRotation,
    MeshFoundRequest, MeshInitReply, MeshInitRequest, ReloadReply, ReloadRequest, TokenListReply,
    TokenListRequest, TokenRemoveRequest, TrustExportReply, TrustExportRequest, TrustImportRequest,
    TrustReply, ZoneApproveRequest, ZoneBlockReply, ZoneBlockRequest, ZoneGrantRequest,
    ZoneInviteReply, ZoneInviteRequest, ZoneJoinProgress, ZoneJoinRequest, ZoneLeaveReply,
    ZoneLeaveRequest, ZoneListReply, ZoneListRequest, ZoneRevokeRequest,
};
use zonemesh_api::wire::mesh::{self as wire};
use zonemesh_core::key::KeyError;
use zonemesh_core::membership::SignedTrustItem;
use zonemesh_core::token::TokenHashError;

use super::forms::{authority_edit, disputed_keys, drafted_change, each, reply, trust_items, zone};
use super::zone_list::{texts, zone_list};
use super::{reload, tokens};
use crate::act::reachability::Reachability;
use crate::administration::join::{JoinProgress, Joining};
use crate::administration::listening::Listening;
use crate::administration::reload::Reloading;
use crate::administration::rotation::Rotation;
use crate::administration::{
    Administration, AttestedGrant, AuthoritiesInForce, Founder, InvitationRequest, Refusal,
};
use crate::facts::disk::head::set_hash;
use crate::facts::etcd::EtcdBoard;
use crate::facts::ledger::Ledger;
use crate::facts::paths::PathBoard;
use crate::facts::reach::carries_stream;
use crate::facts::streams::StreamBoard;

/// Steps that may wait for a slow terminal.
const STEPS: usize = 16;
/// How long the join service may take to listen.
const LISTEN: Duration = Duration::from_secs(2);

pub(super) struct MeshService {
    pub(super) administration: Arc<Administration>,
    pub(super) reloading: Arc<Reloading>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) rotation: Arc<Rotation>,
    pub(super) joining: Arc<Joining>,
    pub(super) reachability: Reachability,
    pub(super) streams: Arc<StreamBoard>,
    pub(super) paths: Arc<PathBoard>,
    pub(super) etcd: Arc<EtcdBoard>,
}

type Steps = Pin<Box<dyn Stream<Item = Result<ZoneJoinProgress, Status>> + Send>>;

/// The steps of `joining` as they come, and how it ended behind all of them. It goes on only while
/// somebody waits for it; it may be asked for again.
fn in_order(
    steps: mpsc::Receiver<String>,
    joining: impl Future<Output = Result<(), Refusal>> + Send + 'static,
) -> Steps {
    let (end, ended) = oneshot::channel();
    let joining = async move {
        let joined = joining.await.map_err(Status::from);
        let member = "this zone is a member".to_owned();
        // The engineer has gone away.
        let _ = end.send(joined.map(|()| ZoneJoinProgress { step: member, done: true }));
        None
    };
    let end =
        async { ended.await.unwrap_or_else(|_| Err(Status::aborted("joining was broken off"))) };
    let steps = ReceiverStream::new(steps).map(|step| Ok(ZoneJoinProgress { step, done: false }));
    let told = steps.chain(streams::once(end));
    let working = streams::once(joining).filter_map(std::future::ready);
    Box::pin(streams::select(told, working))
}

#[tonic::async_trait]
impl Mesh for MeshService {
    async fn mesh_init(
        &self,
        request: Request<MeshInitRequest>,
    ) -> Result<Response<MeshInitReply>, Status> {
        allowed(&request)?;
        let MeshInitRequest { authority_keys, threshold, grant_configured, owner_keys } =
            request.into_inner();
        let keys = each("authority_keys", &authority_keys)?.into_iter().collect();
        let owners = each("owner_keys", &owner_keys)?.into_iter().collect();
        let founding = self.administration.found(owners, keys, threshold, grant_configured);
        let (key, zones) = founding.await?;
        let mesh = self.ledger.read(|registry| registry.mesh().to_string());
        Ok(Response::new(MeshInitReply {
            mesh,
            authority_key: key.to_string(),
            zones: texts(&zones),
        }))
    }

    async fn mesh_found(
        &self,
        request: Request<MeshFoundRequest>,
    ) -> Result<Response<MeshInitReply>, Status> {
        allowed(&request)?;
        let text = zeroize::Zeroizing::new(request.into_inner().bundle);
        let Founder { mesh, signing_key, zones } = self.administration.found_from(&text).await?;
        self.wait_until_listening().await?;
        Ok(Response::new(MeshInitReply {
            mesh: mesh.to_string(),
            authority_key: signing_key.to_string(),
            zones: texts(&zones),
        }))
    }

    async fn zone_invite(
        &self,
        request: Request<ZoneInviteRequest>,
    ) -> Result<Response<ZoneInviteReply>, Status> {
        allowed(&request)?;
        let request = request.into_inner();
        let wanted = InvitationRequest {
            zone: zone(&request.zone)?,
            prefixes: each("prefixes", &request.prefixes)?,
            tunnel_ips: each("tunnel_ips", &request.tunnel_ips)?,
            federations: each("federations", &request.federations)?,
            tokens: each("tokens", &request.tokens)?,
            valid_for_ms: request.valid_for_ms,
        };
        let notes = self.administration.notes_of(&wanted).await?;
        let invitation = self.administration.invite(wanted).await?;
        self.wait_until_listening().await?;
        Ok(Response::new(ZoneInviteReply {
            invitation: invitation.to_text().to_string(),
            expires_at_unix_ms: invitation.expires_at.0,
            tunnel_ips: texts(&invitation.tunnel_ips),
            notes,
        }))
    }

    async fn zone_grant(
        &self,
        request: Request<ZoneGrantRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        allowed(&request)?;
        let request = request.into_inner();
        let invalid = |error: KeyError| Status::invalid_argument(format!("zone_key: {error}"));
        let signed = self.administration.grant(AttestedGrant {
            zone: zone(&request.zone)?,
            zone_key: request.zone_key.parse().map_err(invalid)?,
            prefixes: each("prefixes", &request.prefixes)?,
            tunnel_ips: each("tunnel_ips", &request.tunnel_ips)?,
            federations: each("federations", &request.federations)?,
        });
        Ok(Response::new(reply(signed.await?)))
    }

    async fn token_list(
        &self,
        _: Request<TokenListRequest>,
    ) -> Result<Response<TokenListReply>, Status> {
        Ok(Response::new(tokens::taken(&self.administration)))
    }

    async fn token_remove(
        &self,
        request: Request<TokenRemoveRequest>,
    ) -> Result<Response<TokenListReply>, Status> {
        allowed(&request)?;
        let text = request.into_inner().sha256;
        let hash = text.parse().map_err(|error: TokenHashError| {
            Status::invalid_argument(format!("sha256: {error}"))
        })?;
        match self.administration.remove_token(&hash).await? {
            true => Ok(Response::new(tokens::taken(&self.administration))),
            false => Err(tokens::not_kept()),
        }
    }

    async fn authority_list(
        &self,
        _: Request<AuthorityListRequest>,
    ) -> Result<Response<AuthorityListReply>, Status> {
        let AuthoritiesInForce { mesh, hash, set, is_pinned, here, conflicts } =
            self.administration.authorities()?;
        let authority = |key: &_| Authority { key: format!("{key}"), here: here == Some(*key) };
        Ok(Response::new(AuthorityListReply {
            mesh: mesh.to_string(),
            authorities: set.keys.iter().map(authority).collect(),
            threshold: set.threshold,
            epoch: set.epoch,
            issued_at_unix_ms: set.issued_at.0,
            owner_keys: set.owners().iter().map(ToString::to_string).collect(),
            set: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            pinned: is_pinned,
            conflicts,
        }))
    }

    async fn authority_change(
        &self,
        request: Request<AuthorityChangeRequest>,
    ) -> Result<Response<AuthorityChangeReply>, Status> {
        allowed(&request)?;
        let edit = authority_edit(request.into_inner())?;
        let drafted =
            self.administration.draft_change(&edit, |zone| self.reachability.reaches(zone))?;
        Ok(Response::new(drafted_change(&drafted)))
    }

    async fn authority_pin(
        &self,
        request: Request<AuthorityPinRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        allowed(&request)?;
        let AuthorityPinRequest { set, items } = request.into_inner();
        let hash = set_hash(&set).ok_or_else(|| {
            Status::invalid_argument(format!("set: {set:?}: 64 hexadecimal digits are expected"))
        })?;
        let signed = self.administration.pin(&hash, &trust_items(items)?).await?;
        Ok(Response::new(reply(signed)))
    }

    async fn reload(
        &self,
        request: Request<ReloadRequest>,
    ) -> Result<Response<ReloadReply>, Status> {
        allowed(&request)?;
        Ok(Response::new(reload::reply(reload::reload(&self.reloading).await)))
    }

    async fn key_rotate(
        &self,
        request: Request<KeyRotateRequest>,
    ) -> Result<Response<KeyRotateReply>, Status> {
        if request.get_ref().action() != KeyRotation::Show {
            allowed(&request)?;
        }
        let progress = match request.into_inner().action() {
            KeyRotation::Show => self.rotation.progress(),
            KeyRotation::Begin => self.rotation.begin().await?,
            KeyRotation::Finish => self.rotation.finish().await?,
        };
        Ok(Response::new(KeyRotateReply {
            public_key: progress.keys.current.to_string(),
            next_key: progress.keys.next.map(|key| key.to_string()).unwrap_or_default(),
            waiting_for: progress.waiting_for,
            old_sessions: progress.old_sessions,
        }))
    }

    type ZoneJoinStream = Steps;

    async fn zone_join(
        &self,
        request: Request<ZoneJoinRequest>,
    ) -> Result<Response<Steps>, Status> {
        allowed(&request)?;
        let (sender, steps) = mpsc::channel(STEPS);
        let joining = self.joining.clone();
        let text = zeroize::Zeroizing::new(request.into_inner().invitation);
        let joining = async move { joining.join(&text, &JoinProgress::new(sender)).await };
        Ok(Response::new(in_order(steps, joining)))
    }

    async fn zone_list(
        &self,
        _: Request<ZoneListRequest>,
    ) -> Result<Response<ZoneListReply>, Status> {
        let invited = self.administration.invited().await;
        Ok(Response::new(zone_list(self.ledger.read(wire::zones), &invited)))
    }

    async fn zone_revoke(
        &self,
        request: Request<ZoneRevokeRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        allowed(&request)?;
        let ZoneRevokeRequest { zone: name, reason } = request.into_inner();
        let signed = self.administration.revoke(&zone(&name)?, &reason).await?;
        Ok(Response::new(reply(signed)))
    }

    async fn zone_leave(
        &self,
        request: Request<ZoneLeaveRequest>,
    ) -> Result<Response<ZoneLeaveReply>, Status> {
        allowed(&request)?;
        let own = zone(&request.get_ref().zone)?;
        let hears = |gateway: &_| carries_stream(self.paths.path(gateway));
        let told: Vec<_> = self.streams.open_to_where(hears).into_iter().collect();
        let left_at = self.administration.leave(&own).await?;
        Ok(Response::new(ZoneLeaveReply {
            left_at_unix_ms: left_at.0,
            told: texts(&told),
            etcd: self.etcd.is_reached(),
        }))
    }

    async fn zone_block(
        &self,
        request: Request<ZoneBlockRequest>,
    ) -> Result<Response<ZoneBlockReply>, Status> {
        allowed(&request)?;
        let ZoneBlockRequest { zone: name, blocked } = request.into_inner();
        let (blocked, changed) = self.administration.block(&zone(&name)?, blocked).await?;
        let blocked = blocked.iter().map(ToString::to_string).collect();
        Ok(Response::new(ZoneBlockReply { blocked, unchanged: !changed }))
    }

    async fn zone_approve(
        &self,
        request: Request<ZoneApproveRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        allowed(&request)?;
        let ZoneApproveRequest { zone: name, zone_key, revokes_key } = request.into_inner();
        let confirmed = disputed_keys(&zone_key, &revokes_key)?;
        let signed = self.administration.approve(&zone(&name)?, confirmed).await?;
        Ok(Response::new(reply(signed)))
    }

    async fn trust_export(
        &self,
        request: Request<TrustExportRequest>,
    ) -> Result<Response<TrustExportReply>, Status> {
        let items = match request.get_ref().pending_zone.as_str() {
            "" => self.administration.export()?,
            pending => self.administration.export_pending(&zone(pending)?).await?,
        };
        let items = items.iter().map(SignedTrustItem::to_file_bytes).collect();
        Ok(Response::new(TrustExportReply { items }))
    }

    async fn trust_import(
        &self,
        request: Request<TrustImportRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        allowed(&request)?;
        let items = trust_items(request.into_inner().items)?;
        let signed = self.administration.import(items).await?;
        Ok(Response::new(reply(signed)))
    }
}

/// Changes are for root and for the user that runs this daemon; others in the group may look.
fn allowed<T>(request: &Request<T>) -> Result<(), Status> {
    let info = request.extensions().get::<UdsConnectInfo>();
    let uid = info.and_then(|info| info.peer_cred).map(|cred| cred.uid());
    let own = nix::unistd::geteuid().as_raw();
    match uid {
        Some(uid) if uid == 0 || uid == own => Ok(()),
        _ => Err(Status::permission_denied("changing the mesh takes root")),
    }
}

impl MeshService {
    /// An invitation that nobody could redeem is not handed out in silence.
    async fn wait_until_listening(&self) -> Result<(), Refusal> {
        let mut listening = self.administration.listening.subscribe();
        let settled =
            listening.wait_for(|state| matches!(state, Listening::On | Listening::Failed(_)));
        match tokio::time::timeout(LISTEN, settled).await {
            Ok(Ok(state)) => match &*state {
                Listening::Failed(reason) => Err(Refusal::Listen(reason.clone())),
                _ => Ok(()),
            },
            Ok(Err(_)) | Err(_) => Err(Refusal::Listen("it does not answer".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(outcome: Result<(), Refusal>) -> Vec<(String, bool)> {
        let (sender, steps) = mpsc::channel(STEPS);
        // Everything is ready at once: the order is not that of arrival.
        for step in ["redeemed", "kept on disk", "the tunnel is up"] {
            sender.send(step.to_owned()).await.unwrap();
        }
        drop(sender);
        let all = in_order(steps, std::future::ready(outcome));
        let shown = all.map(|one| match one {
            Ok(progress) => (progress.step, progress.done),
            Err(status) => (status.message().to_owned(), true),
        });
        shown.collect().await
    }

    #[tokio::test]
    async fn the_end_of_a_join_is_told_behind_all_its_steps() {
        let steps = ["redeemed", "kept on disk", "the tunnel is up"].map(str::to_owned);
        let joined = told(Ok(())).await;
        assert_eq!(joined[..3], steps.clone().map(|step| (step, false)));
        assert_eq!(joined[3..], [("this zone is a member".to_owned(), true)]);
        let refused = told(Err(Refusal::Join("no".to_owned()))).await;
        assert_eq!(refused[..3], steps.map(|step| (step, false)));
        assert!(refused[3].0.contains("no") && refused.len() == 4, "{refused:?}");
    }
}
