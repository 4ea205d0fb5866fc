//! The daemon's answers about its mesh's members: the same for ever, refusals by the zone's name.

use std::collections::BTreeSet;
use std::pin::Pin;

use tokio_stream::{Stream, iter};
use tonic::{Request, Response, Status};
use zonemesh_api::v1::mesh_server::Mesh;
use zonemesh_api::v1::{
    Authority, AuthorityChangeReply, AuthorityChangeRequest, AuthorityListReply,
    AuthorityListRequest, AuthorityPinRequest, ConfigMistake, Counter, DisputedZone,
    KeyRotateReply, KeyRotateRequest, KeyRotation, LackingItem, LackingReason, MeshFoundRequest,
    MeshInitReply, MeshInitRequest, OpenInvitation, PendingZone, ReloadReply, ReloadRequest,
    TakenToken, TokenListReply, TokenListRequest, TokenRemoveRequest, TrustExportReply,
    TrustExportRequest, TrustImportRequest, TrustReply, ZoneApproveRequest, ZoneBlockReply,
    ZoneBlockRequest, ZoneGrantRequest, ZoneInviteReply, ZoneInviteRequest, ZoneJoinProgress,
    ZoneJoinRequest, ZoneLeaveReply, ZoneLeaveRequest, ZoneListReply, ZoneListRequest,
    ZoneRevokeRequest, ZoneState, ZoneView,
};
use zonemesh_api::wire::finding::with_code;
use zonemesh_core::finding::Code;
use zonemesh_core::founding::{FoundingBundle, FoundingBundleError};
use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, Grant, Membership, Revocation, SignedTrustItem, TrustItem,
    TrustKind,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::time::UnixMillis;

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000_000;
pub(crate) const INVITATION: &str = "c2VjcmV0IGludml0YXRpb24=";
pub(crate) const ZONE_KEY: &str = "ed25519:guYSczKt7MsP7YCaVvhvSIJeKvzJ+ocK652ukz99+zc=";

pub(crate) const OTHER_KEY: &str = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

pub(crate) struct Members;

/// A revocation that nobody has signed.
pub(crate) fn draft() -> SignedTrustItem {
    SignedTrustItem::unsigned(&TrustItem::Revocation(Revocation {
        mesh: MeshId::new("ab".repeat(32)),
        zone: "paris".parse().expect("a name"),
        zone_key: ZONE_KEY.parse().expect("a key"),
        set: None,
        serial: 7,
        reason: "stolen".to_owned(),
        issued_at: UnixMillis(NOW),
    }))
}

/// The only owner of the mesh, and the key that a change adds.
pub(crate) fn owner() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[5; 32])
}

pub(crate) fn added() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[6; 32])
}

/// The first set and one that adds a key, not signed yet.
fn change() -> [SignedTrustItem; 2] {
    let keys = |key: AuthorityIdentity| BTreeSet::from([key.public_key()]);
    let first = AuthorityIdentity::from_seed(&[7; 32]);
    let set = Membership::draft_first(keys(owner()), keys(first), 1, UnixMillis(NOW));
    let base = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set.expect("a first set")));
    let mesh = Membership::new(base.clone()).expect("a mesh");
    let edit = AuthorityEdit { add: keys(added()), ..AuthorityEdit::default() };
    let draft = mesh.draft_change(&edit, UnixMillis(NOW)).expect("a change");
    [base, SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next))]
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn check(zone: &str) -> Result<(), Status> {
    match zone {
        "nowhere" => Err(with_code(
            Status::not_found("zone nowhere is not known in this mesh"),
            Code::ChangeRefused,
        )),
        "greedy" => Err(Status::already_exists(
            "zone greedy cannot be granted 10.10.10.0/24: it overlaps zone berlin's 10.10.10.0/24",
        )),
        "static" => Err(Status::failed_precondition("the members are written by hand")),
        _ => Ok(()),
    }
}

/// A grant that a later one has overtaken.
pub(crate) fn old_grant() -> SignedTrustItem {
    let mut item = SignedTrustItem::unsigned(&TrustItem::Grant(Grant {
        mesh: MeshId::new("ab".repeat(32)),
        zone: "rome".parse().expect("a name"),
        zone_key: ZONE_KEY.parse().expect("a key"),
        prefixes: vec!["10.10.13.0/24".parse().expect("a prefix")],
        tunnel_ips: vec!["10.255.0.4".parse().expect("an address")],
        federations: vec!["health-eu=train".parse().expect("a right")],
        set: None,
        serial: 7,
        since: 7,
        issued_at: UnixMillis(NOW),
    }));
    item.sign(&owner());
    item
}

fn lacking(sentence: &str, reason: LackingReason) -> LackingItem {
    LackingItem { sentence: sentence.to_owned(), reason: reason.into() }
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
            notes: texts(&["no zone hosts the federation health-us yet"]),
        }))
    }

    async fn token_list(
        &self,
        _: Request<TokenListRequest>,
    ) -> Result<Response<TokenListReply>, Status> {
        let token = |source: &str, inviter: &str, expires_at_unix_ms| TakenToken {
            name: "supernode-health-eu".into(),
            role: "supernode".into(),
            federation: "health-eu".into(),
            expires_at_unix_ms,
            sha256: format!("zmt1:{}", "ab".repeat(32)),
            source: source.into(),
            inviter: inviter.into(),
        };
        let tokens = vec![token("configuration", "", NOW), token("invitation", "berlin", 0)];
        Ok(Response::new(TokenListReply { tokens, served: true }))
    }

    async fn token_remove(
        &self,
        request: Request<TokenRemoveRequest>,
    ) -> Result<Response<TokenListReply>, Status> {
        match request.into_inner().sha256.starts_with("zmt1:") {
            true => Ok(Response::new(TokenListReply::default())),
            false => Err(Status::not_found("no token with this hash")),
        }
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
            federations: Vec::new(),
            serial: 1,
            issued_at_unix_ms: NOW,
            reason: String::new(),
            own: true,
            revoked_by: Vec::new(),
        };
        let paris = ZoneView {
            zone: "paris".into(),
            state: ZoneState::Revoked.into(),
            reason: "stolen".into(),
            own: false,
            revoked_by: texts(&["authority:dRvv"]),
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
                federations: texts(&["health-eu=train"]),
            }],
            disputed: vec![DisputedZone {
                zone: "kiel".into(),
                zone_key: OTHER_KEY.into(),
                granted_key: ZONE_KEY.into(),
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
        if zone == "oslo" {
            let notes = texts(&["zone oslo is no member: its invitation holds no more"]);
            return Ok(Response::new(TrustReply { notes, ..TrustReply::default() }));
        }
        Ok(Response::new(changed(&zone)))
    }

    async fn zone_leave(
        &self,
        request: Request<ZoneLeaveRequest>,
    ) -> Result<Response<ZoneLeaveReply>, Status> {
        check(&request.get_ref().zone)?;
        let (left_at_unix_ms, told) = (1_800_000_000_000, texts(&["madrid", "paris"]));
        Ok(Response::new(ZoneLeaveReply { left_at_unix_ms, told, etcd: false }))
    }

    async fn zone_block(
        &self,
        request: Request<ZoneBlockRequest>,
    ) -> Result<Response<ZoneBlockReply>, Status> {
        let ZoneBlockRequest { zone, blocked } = request.into_inner();
        check(&zone)?;
        let unchanged = zone == "rome";
        let blocked = if blocked { vec![zone] } else { Vec::new() };
        Ok(Response::new(ZoneBlockReply { blocked, unchanged }))
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
        let lost = request.federations.iter().map(|right| format!("rome hosts another: {right}"));
        Ok(Response::new(TrustReply { warnings: lost.collect(), ..changed(&request.zone) }))
    }

    async fn zone_approve(
        &self,
        request: Request<ZoneApproveRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        let ZoneApproveRequest { zone, zone_key, revokes_key } = request.into_inner();
        check(&zone)?;
        if zone == "kiel" && (zone_key.as_str(), revokes_key.as_str()) != (OTHER_KEY, ZONE_KEY) {
            return Err(Status::failed_precondition("zone kiel is granted with another key"));
        }
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
        let items: Vec<_> = items.collect();
        let is_grant = items.iter().any(|item| item.kind() == TrustKind::Grant);
        let signed =
            items.into_iter().filter(|item| item.signers().is_some_and(|keys| !keys.is_empty()));
        let stored = u32::try_from(signed.count()).unwrap_or(u32::MAX);
        let rejected = Counter { name: "not_authorised".into(), count: u64::from(stored == 0) };
        let lacking = match stored {
            0 => vec![lacking(
                "the revocation of paris lacks 1 of 1 signatures",
                LackingReason::Unsigned,
            )],
            // A grant: what this daemon is told about rome is overtaken.
            _ if is_grant => vec![
                lacking(
                    "the grant of rome is overtaken by a later decision",
                    LackingReason::Overtaken,
                ),
                lacking("change 2 of the authorities is not followed", LackingReason::NotFollowed),
            ],
            _ => Vec::new(),
        };
        Ok(Response::new(TrustReply {
            stored,
            rejected: if stored == 0 { vec![rejected] } else { Vec::new() },
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
            owner_keys: texts(&["authority:o", "authority:p"]),
            set: "cd".repeat(32),
            pinned: true,
            conflicts: texts(&["sets ab and cd follow the same one"]),
        }))
    }

    async fn authority_change(
        &self,
        request: Request<AuthorityChangeRequest>,
    ) -> Result<Response<AuthorityChangeReply>, Status> {
        let AuthorityChangeRequest { remove, .. } = request.into_inner();
        if remove == ["authority:last"] {
            return Err(Status::failed_precondition(
                "that is the last authority: add another one before it is removed",
            ));
        }
        Ok(Response::new(AuthorityChangeReply {
            items: change().iter().map(SignedTrustItem::to_file_bytes).collect(),
            stay: texts(&["berlin", "madrid"]),
            by_removed: texts(&["madrid"]),
            since_last: texts(&["madrid"]),
            not_compared: texts(&["paris"]),
            ..AuthorityChangeReply::default()
        }))
    }

    async fn authority_pin(
        &self,
        request: Request<AuthorityPinRequest>,
    ) -> Result<Response<TrustReply>, Status> {
        match request.into_inner().set.as_str() {
            "unknown" => Err(Status::failed_precondition("no authority set of this hash is here")),
            _ => Ok(Response::new(TrustReply::default())),
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

    /// A file with one mistake.
    async fn reload(&self, _: Request<ReloadRequest>) -> Result<Response<ReloadReply>, Status> {
        let mistake = ConfigMistake {
            code: "C113".into(),
            file: "/etc/zonemesh/zonemesh.toml".into(),
            line: 7,
            column: 9,
            key: "log.level".into(),
            found: "found \"loud\"".into(),
            expected: "one of error, warn, info, debug, trace".into(),
            fix: "did you mean \"info\"?".into(),
        };
        let (reason, mistakes) = ("log.level".into(), vec![mistake]);
        Ok(Response::new(ReloadReply { reason, mistakes, ..ReloadReply::default() }))
    }
}
