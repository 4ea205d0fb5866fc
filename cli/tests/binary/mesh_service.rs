//! The daemon's answers about its mesh's members: the same for ever, refusals by the zone's name.

use std::pin::Pin;

use tokio_stream::{Stream, iter};
use tonic::{Request, Response, Status};
use zonemesh_api::v1::mesh_server::Mesh;
use zonemesh_api::v1::{
    Authority, AuthorityChangeRequest, AuthorityListReply, AuthorityListRequest, Counter,
    KeyRotateReply, KeyRotateRequest, KeyRotation, MeshFoundRequest, MeshInitReply,
    MeshInitRequest, OpenInvitation, PendingZone, TrustExportReply, TrustExportRequest,
    TrustImportRequest, TrustReply, ZoneApproveRequest, ZoneBlockReply, ZoneBlockRequest,
    ZoneGrantRequest, ZoneInviteReply, ZoneInviteRequest, ZoneJoinProgress, ZoneJoinRequest,
    ZoneListReply, ZoneListRequest, ZoneRevokeRequest, ZoneState, ZoneView,
};
use zonemesh_api::wire::finding::with_code;
use zonemesh_core::finding::Code;
use zonemesh_core::founding::{FoundingBundle, FoundingBundleError};
use zonemesh_core::membership::{Revocation, SignedTrustItem, TrustItem};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::time::UnixMillis;

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000_000;
pub(crate) const INVITATION: &str = "c2VjcmV0IGludml0YXRpb24=";
const ZONE_KEY: &str = "ed25519:guYSczKt7MsP7YCaVvhvSIJeKvzJ+ocK652ukz99+zc=";

pub(crate) struct Members;

/// A revocation that nobody has signed.
pub(crate) fn draft() -> SignedTrustItem {
    SignedTrustItem::unsigned(&TrustItem::Revocation(Revocation {
        mesh: MeshId::new("ab".repeat(32)),
        zone: "paris".parse().expect("a name"),
        zone_key: ZONE_KEY.parse().expect("a key"),
        serial: 7,
        reason: "stolen".to_owned(),
        issued_at: UnixMillis(NOW),
    }))
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn check(zone: &str) -> Result<(), Status> {
    match zone {
        "nowhere" => Err(Status::not_found("zone nowhere is not known in this mesh")),
        "greedy" => Err(Status::already_exists(
            "zone greedy cannot be granted 10.10.10.0/24: it overlaps zone berlin's 10.10.10.0/24",
        )),
        "static" => Err(Status::failed_precondition("the members are written by hand")),
        _ => Ok(()),
    }
}

fn changed(zone: &str) -> TrustReply {
    let unfinished = if zone == "offline" { vec![draft().to_file_bytes()] } else { Vec::new() };
    TrustReply {
        stored: u32::from(unfinished.is_empty()),
        removed: if unfinished.is_empty() { texts(&[zone]) } else { Vec::new() },
        signatures_missing: u32::from(!unfinished.is_empty()),
        unfinished,
        ..TrustReply::default()
    }
}

#[tonic::async_trait]
impl Mesh for Members {
    async fn mesh_init(
        &self,
        request: Request<MeshInitRequest>,
    ) -> Result<Response<MeshInitReply>, Status> {
        let zones = if request.into_inner().grant_configured { 3 } else { 1 };
        Ok(Response::new(MeshInitReply {
            mesh: "ab".repeat(32),
            authority_key: "authority:guYSczKt7MsP7YCaVvhvSIJeKvzJ+ocK652ukz99+zc=".into(),
            zones: texts(&["berlin", "madrid", "paris"][..zones]),
        }))
    }

    async fn zone_invite(
        &self,
        request: Request<ZoneInviteRequest>,
    ) -> Result<Response<ZoneInviteReply>, Status> {
        let request = request.into_inner();
        check(&request.zone)?;
        Ok(Response::new(ZoneInviteReply {
            invitation: INVITATION.into(),
            expires_at_unix_ms: NOW + request.valid_for_ms,
            tunnel_ips: texts(&["10.255.0.4"]),
        }))
    }

    type ZoneJoinStream = Pin<Box<dyn Stream<Item = Result<ZoneJoinProgress, Status>> + Send>>;

    async fn zone_join(
        &self,
        request: Request<ZoneJoinRequest>,
    ) -> Result<Response<Self::ZoneJoinStream>, Status> {
        if request.into_inner().invitation != INVITATION {
            let unusable = Status::unauthenticated("this is no invitation");
            return Err(with_code(unusable, Code::Unusable));
        }
        let step = |step: &str, done| Ok(ZoneJoinProgress { step: step.into(), done });
        let steps = [step("redeemed", false), step("this zone is a member", true)];
        Ok(Response::new(Box::pin(iter(steps))))
    }

    async fn zone_list(
        &self,
        _: Request<ZoneListRequest>,
    ) -> Result<Response<ZoneListReply>, Status> {
        let berlin = ZoneView {
            zone: "berlin".into(),
            state: ZoneState::Member.into(),
            zone_key: ZONE_KEY.into(),
            prefixes: texts(&["10.10.10.0/24"]),
            tunnel_ips: texts(&["10.255.0.1"]),
            serial: 1,
            issued_at_unix_ms: NOW,
            reason: String::new(),
            own: true,
        };
        let paris = ZoneView {
            zone: "paris".into(),
            state: ZoneState::Revoked.into(),
            reason: "stolen".into(),
            own: false,
            ..berlin.clone()
        };
        Ok(Response::new(ZoneListReply {
            mesh: "ab".repeat(32),
            zones: vec![berlin, paris],
            pending: vec![PendingZone {
                zone: "rome".into(),
                zone_key: ZONE_KEY.into(),
                prefixes: texts(&["10.10.13.0/24"]),
                tunnel_ips: texts(&["10.255.0.4"]),
            }],
            invitations: vec![OpenInvitation { zone: "oslo".into(), expires_at_unix_ms: NOW }],
            alarms: texts(&["zone x is not admitted, as its grant overlaps zone y's"]),
            authority_keys: texts(&["authority:a", "authority:b"]),
            threshold: 2,
            accepted: vec![Counter { name: "stored".into(), count: 3 }],
            rejected: vec![Counter { name: "not_authorised".into(), count: 0 }],
        }))
    }

    async fn zone_revoke(
        &self,
        request: Request<ZoneRevokeRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        let zone = request.into_inner().zone;
        check(&zone)?;
        Ok(Response::new(changed(&zone)))
    }

    async fn zone_block(
        &self,
        request: Request<ZoneBlockRequest>,
    ) -> Result<Response<ZoneBlockReply>, Status> {
        let ZoneBlockRequest { zone, blocked } = request.into_inner();
        check(&zone)?;
        let blocked = if blocked { vec![zone] } else { Vec::new() };
        Ok(Response::new(ZoneBlockReply { blocked }))
    }

    async fn mesh_found(
        &self,
        request: Request<MeshFoundRequest>,
    ) -> Result<Response<MeshInitReply>, Status> {
        let bundle = request.into_inner().bundle;
        let unusable = |error: FoundingBundleError| {
            with_code(Status::unauthenticated(error.to_string()), Code::Unusable)
        };
        FoundingBundle::from_text(&bundle).map_err(unusable)?;
        self.mesh_init(Request::new(MeshInitRequest::default())).await
    }

    async fn zone_grant(
        &self,
        request: Request<ZoneGrantRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        let request = request.into_inner();
        if request.zone_key != ZONE_KEY {
            return Err(Status::already_exists("zone rome is granted with another key"));
        }
        Ok(Response::new(changed(&request.zone)))
    }

    async fn zone_approve(
        &self,
        request: Request<ZoneApproveRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        let zone = request.into_inner().zone;
        check(&zone)?;
        Ok(Response::new(changed(&zone)))
    }

    async fn trust_export(
        &self,
        _: Request<TrustExportRequest>,
    ) -> Result<Response<TrustExportReply>, Status> {
        Ok(Response::new(TrustExportReply { items: vec![draft().to_file_bytes()] }))
    }

    async fn trust_import(
        &self,
        request: Request<TrustImportRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        let items = request.into_inner().items;
        let items = items.iter().filter_map(|item| SignedTrustItem::from_file_bytes(item).ok());
        let signed = items.filter(|item| item.signers().is_some_and(|keys| !keys.is_empty()));
        let stored = u32::try_from(signed.count()).unwrap_or(u32::MAX);
        let rejected = Counter { name: "not_authorised".into(), count: u64::from(stored == 0) };
        let lacking = match stored {
            0 => texts(&["the revocation of paris lacks 1 of 1 signatures"]),
            _ => Vec::new(),
        };
        Ok(Response::new(TrustReply {
            stored,
            rejected: vec![rejected],
            lacking,
            ..TrustReply::default()
        }))
    }

    async fn authority_list(
        &self,
        _: Request<AuthorityListRequest>,
    ) -> Result<Response<AuthorityListReply>, Status> {
        let authority = |key: &str, here| Authority { key: key.into(), here };
        Ok(Response::new(AuthorityListReply {
            mesh: "ab".repeat(32),
            authorities: vec![authority("authority:a", true), authority("authority:b", false)],
            threshold: 1,
            epoch: 3,
            issued_at_unix_ms: NOW,
            lost_changes: 1,
        }))
    }

    async fn authority_change(
        &self,
        request: Request<AuthorityChangeRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        let AuthorityChangeRequest { add, remove, threshold } = request.into_inner();
        match (add.len(), remove.as_slice(), threshold) {
            (0, [last], 0) if last == "authority:last" => Err(Status::failed_precondition(
                "that is the last authority: add another one before it is removed",
            )),
            (0, [_], 0) | (1, [], 0) => {
                Ok(Response::new(TrustReply { stored: 2, ..TrustReply::default() }))
            }
            _ => Ok(Response::new(TrustReply {
                unfinished: vec![draft().to_file_bytes(), draft().to_file_bytes()],
                signatures_missing: 1,
                ..TrustReply::default()
            })),
        }
    }

    async fn key_rotate(
        &self,
        request: Request<KeyRotateRequest>,
    ) -> Result<Response<KeyRotateReply>, Status> {
        let begins = request.into_inner().action() == KeyRotation::Begin;
        Ok(Response::new(KeyRotateReply {
            public_key: "present".into(),
            next_key: if begins { "next".into() } else { String::new() },
            waiting_for: if begins { texts(&["paris"]) } else { Vec::new() },
            old_sessions: Vec::new(),
        }))
    }
}
