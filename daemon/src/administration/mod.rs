//! What changes the mesh: founding it, inviting, granting, revoking, blocking, importing.
//!
//! Promises: everything is on disk before anyone hears of it; what an authority must sign is signed
//! here only with the key in this gateway's state folder, or handed out to be signed elsewhere. A
//! refusal says what to do next. Refuses to know who may ask: that is the admin socket's.

pub(crate) mod addresses;
pub(crate) mod announcer;
mod approval;
mod authorities;
mod founding;
mod given;
mod grant;
mod ineffective;
mod invitation_notes;
mod invite;
pub(crate) mod join;
mod leave;
pub(crate) mod left_out;
pub(crate) mod listening;
pub(crate) mod opened;
mod redeem;
mod refusal;
pub(crate) mod reload;
pub(crate) mod rotation;
mod standing;
mod tokens;
mod zones;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::invitation::{Invitation, Redemptions};
use zonemesh_core::journal::AuditAct;
use zonemesh_core::key::{WireGuardKeys, ZonePublicKey};
use zonemesh_core::member::Member;
use zonemesh_core::membership::{
    AuthorityIdentity, AuthorityPublicKey, GrantRequest, Membership, SignedTrustItem, TrustItem,
    sign, signatures_missing,
};
use zonemesh_core::name::ZoneName;
use zonemesh_core::registry::{Registry, Standing};
use zonemesh_core::time::UnixMillis;

use crate::facts::disk::blocked::BlockedFile;
use crate::facts::disk::invitations::InvitationFiles;
use crate::facts::disk::tokens::TokensFile;
use crate::facts::disk::{DiskWriter, keys};
use crate::facts::hints::Hints;
use crate::facts::in_force::ConfigInForce;
use crate::facts::ledger::{Ledger, TrustChange, now};
use crate::facts::tokens::TokenBoard;

pub(crate) use approval::{DisputedKeys, DisputedZone, Joiners};
pub(crate) use authorities::{AuthoritiesInForce, DraftedChange};
pub(crate) use founding::Founder;
pub(crate) use grant::AttestedGrant;
pub(crate) use ineffective::{IneffectiveItem, Ineffectiveness};
pub(crate) use invite::InvitationRequest;
use listening::Listening;
pub(crate) use redeem::NotRedeemed;
pub(crate) use refusal::Refusal;
pub(crate) use zones::InvitedZones;

/// The name of the authority key's file in the state folder.
const AUTHORITY_KEY: &str = "authority.key";

/// Who this gateway is in its mesh.
pub(crate) struct OwnKeys {
    pub(crate) zone_key: ZonePublicKey,
    wireguard: Mutex<WireGuardKeys>,
}

impl OwnKeys {
    pub(crate) fn new(zone_key: ZonePublicKey, wireguard: WireGuardKeys) -> Self {
        Self { zone_key, wireguard: Mutex::new(wireguard) }
    }

    /// The WireGuard keys, as they are now.
    pub(crate) fn wireguard(&self) -> WireGuardKeys {
        *self.wireguard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_wireguard(&self, keys: WireGuardKeys) {
        *self.wireguard.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// What changes the mesh.
pub(crate) struct Administration {
    pub(super) config: ConfigInForce,
    pub(super) ledger: Arc<Ledger>,
    pub(super) own_keys: OwnKeys,
    pub(super) hints: Hints,
    invitations: InvitationFiles,
    blocked: BlockedFile,
    tokens: TokenBoard,
    tokens_file: TokensFile,
    authority_file: PathBuf,
    disk: DiskWriter,
    /// Held by whoever changes something, one after the other, also while the disk is written.
    state: tokio::sync::Mutex<BookState>,
    /// Zones that waited for approval when a screen was made last.
    last_waiting: Mutex<Vec<ZoneName>>,
    /// Held by each join while it is under way.
    pub(crate) joins: tokio::sync::RwLock<()>,
    /// Tells the join service whether it is wanted, and hears how it fares.
    pub(crate) listening: watch::Sender<Listening>,
}

struct BookState {
    /// The book of invitations, in a managed mesh.
    book: Option<Redemptions>,
}

/// A change of trust: what it has brought, and what is left to be signed elsewhere.
#[derive(Default)]
pub(crate) struct SignedChange {
    pub(crate) change: TrustChange,
    /// Items with too few signatures, and how many are missing at most.
    pub(crate) unfinished: Vec<SignedTrustItem>,
    pub(crate) missing: u32,
    /// What was offered and has no effect.
    pub(crate) lacking: Vec<IneffectiveItem>,
    /// What the change takes from somebody, one sentence each.
    pub(crate) warnings: Vec<String>,
    /// What is to be known beside it, one sentence each.
    pub(crate) notes: Vec<String>,
}

impl Administration {
    /// Opens the administration with what the disk says.
    pub(crate) fn open(
        config: ConfigInForce,
        ledger: Arc<Ledger>,
        own_keys: OwnKeys,
        disk: DiskWriter,
    ) -> anyhow::Result<Self> {
        let folder = &config.now().gateway.state_dir;
        let invitations = InvitationFiles::open(folder)?;
        let blocked = BlockedFile::new(folder);
        let authority_file = folder.join(AUTHORITY_KEY);
        if authority_file.exists() {
            // A damaged one is told now and not when it is needed.
            drop(keys::authority(&authority_file).map_err(crate::failure::Failure::into_error)?);
        }
        let read = blocked.read();
        blocked.trouble(&read.unusable).into_iter().for_each(|one| ledger.findings().raise(one));
        ledger.set_blocked(&read.zones);
        let tokens_file = TokensFile::new(folder);
        let tokens = TokenBoard::new(tokens_file.read()?);
        let issued = invitations.read_all()?;
        let hints = Hints::new(invitations.inviter().as_ref());
        let managed = ledger.read(|registry| registry.membership().map(|m| m.mesh().clone()));
        let wanted = managed.is_some();
        let book = managed.map(|mesh| Redemptions::new(mesh, issued));
        Ok(Self {
            config,
            ledger,
            own_keys,
            hints,
            invitations,
            blocked,
            tokens,
            tokens_file,
            authority_file,
            disk,
            state: tokio::sync::Mutex::new(BookState { book }),
            last_waiting: Mutex::default(),
            joins: tokio::sync::RwLock::default(),
            listening: watch::Sender::new(if wanted { Listening::Wanted } else { Listening::Off }),
        })
    }

    /// Refuses to a zone whose key was revoked what only a member may do.
    fn fail_if_revoked(&self) -> Result<(), Refusal> {
        match self.ledger.read(Registry::standing) {
            Standing::Revoked => Err(Refusal::Revoked),
            Standing::Member | Standing::Stranger | Standing::OtherKey => Ok(()),
        }
    }

    /// The settings of this gateway that are in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.now()
    }

    /// Tells when other settings are in force.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Config>> {
        self.config.changes()
    }

    /// The public keys of this gateway.
    pub(crate) fn own_keys(&self) -> &OwnKeys {
        &self.own_keys
    }

    /// How gateways are reached whose record is not here yet.
    pub(crate) fn hints(&self) -> Hints {
        self.hints.clone()
    }

    /// Founds a mesh with an authority key of its own and this zone as the first member;
    /// `grant_configured` makes members of the configured peers too. Under a threshold the first
    /// grants wait for the other authorities, among what [`Self::export`] hands out.
    pub(crate) async fn found(
        &self,
        owners: BTreeSet<AuthorityPublicKey>,
        mut authorities: BTreeSet<AuthorityPublicKey>,
        threshold: u32,
        grant_configured: bool,
    ) -> Result<(AuthorityPublicKey, Vec<ZoneName>), Refusal> {
        let mut state = self.state.lock().await;
        self.fail_if_managed()?;
        if self.config().tunnel.addresses.is_empty() {
            return Err(Refusal::NoOwnTunnelIp);
        }
        let authority = self.authority_or_new().await?;
        let key = authority.public_key();
        authorities.insert(key);
        let now = now();
        // All keys and the threshold stand in the set that names the mesh: no fewer can make another.
        let first = Membership::draft_first(owners, authorities, threshold.max(1), now)?;
        let first = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(first));
        let mut membership = Membership::new(first)?;
        let drafts = self.grant_known(&mut membership, &authority, grant_configured, now)?;
        self.ledger.store_drafts(&drafts).await?;
        let zones = membership.members().map(|member| member.zone.clone()).collect();
        self.adopt(&mut state, membership).await?;
        Ok((key, zones))
    }

    /// Grants what is known now. Returns the grants that others have to sign too.
    fn grant_known(
        &self,
        membership: &mut Membership,
        authority: &AuthorityIdentity,
        grant_configured: bool,
        now: UnixMillis,
    ) -> Result<Vec<SignedTrustItem>, Refusal> {
        let mut drafts = Vec::new();
        let known = crate::plan::announcement::members(&self.config(), self.own_keys.zone_key);
        let count = if grant_configured { known.len() } else { 1 };
        for member in known.into_iter().take(count) {
            let grant = membership.draft_grant(request_of(member), now)?;
            let (_, set) = membership.authority_set();
            let grant = sign(set, &TrustItem::Grant(grant), &[authority]);
            if signatures_missing(set, &grant) > 0 {
                drafts.push(grant);
            } else {
                membership.accept(grant)?;
            }
        }
        Ok(drafts)
    }

    /// Takes a mesh as this gateway's own: on disk, then in force.
    async fn adopt(&self, state: &mut BookState, membership: Membership) -> Result<(), Refusal> {
        let mesh = membership.mesh().clone();
        self.ledger.manage(membership).await?;
        state.book = Some(Redemptions::new(mesh.clone(), Vec::new()));
        self.want_to_listen();
        tracing::info!(%mesh, "this gateway belongs to a managed mesh");
        Ok(())
    }

    /// Becomes a member of a mesh that has granted this zone.
    pub(crate) async fn join(
        &self,
        invitation: &Invitation,
        membership: Membership,
    ) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        let brought = self.brought(invitation);
        let mut writes: Vec<_> = self.keep_tokens(brought.as_ref()).into_iter().collect();
        writes.push(self.invitations.write_inviter(invitation));
        if self.ledger.left_since().is_some() {
            let back = "came back after it had left".to_owned();
            writes.push(self.ledger.audit(AuditAct::Join, membership.mesh(), back));
        }
        self.disk.write(writes).await?;
        if let Some(kept) = brought {
            self.tokens.set(kept);
        }
        self.hints.learn_inviter(invitation);
        if self.ledger.read(|registry| registry.mesh() == *membership.mesh()) {
            self.accept(membership.items()).await?;
            return Ok(());
        }
        self.adopt(&mut state, membership).await
    }

    /// Signs items as far as this gateway can. Says how many signatures are missing, at most.
    fn sign(&self, items: &[TrustItem]) -> Result<(Vec<SignedTrustItem>, u32), Refusal> {
        let own = self.authority()?;
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            let (_, set) = membership.authority_set();
            let keys: Vec<_> = own.iter().collect();
            let signed: Vec<_> = items.iter().map(|item| sign(set, item, &keys)).collect();
            let missing = signed.iter().map(|item| signatures_missing(set, item)).max();
            Ok((signed, missing.unwrap_or_default()))
        })
    }

    /// Signs and applies items, or hands them out to be signed elsewhere.
    async fn sign_and_apply(&self, items: &[TrustItem]) -> Result<SignedChange, Refusal> {
        let (signed, missing) = self.sign(items)?;
        if missing > 0 {
            return Ok(SignedChange { unfinished: signed, missing, ..SignedChange::default() });
        }
        let change = self.accept(signed).await?;
        Ok(SignedChange { change, ..SignedChange::default() })
    }

    /// Takes items, whatever they do.
    async fn accept(&self, items: Vec<SignedTrustItem>) -> Result<TrustChange, Refusal> {
        self.ledger.accept_trust(items, |_, _| Ok(())).await
    }

    /// A grant. A zone that was granted with another key changes its identity: that key is revoked,
    /// in the same step.
    fn draft_grant(&self, request: GrantRequest) -> Result<Vec<TrustItem>, Refusal> {
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            let former = membership.grant(&request.zone).map(|grant| grant.zone_key);
            let grant = membership.draft_grant(request, now())?;
            let mut items = Vec::new();
            if former.is_some_and(|former| former != grant.zone_key) {
                let reason = "the zone has a new key";
                let revocation = membership.draft_revocation(&grant.zone, reason, now())?;
                items.push(TrustItem::Revocation(revocation));
            }
            items.push(TrustItem::Grant(grant));
            Ok(items)
        })
    }

    /// Has the join service listen, now if it could not before.
    fn want_to_listen(&self) {
        self.listening.send_if_modified(|listening| {
            let off = matches!(listening, Listening::Off | Listening::Failed(_));
            if off {
                *listening = Listening::Wanted;
            }
            off
        });
    }

    fn fail_if_managed(&self) -> Result<(), Refusal> {
        let mesh = self.ledger.read(|registry| registry.membership().map(|m| m.mesh().clone()));
        mesh.map_or(Ok(()), |mesh| Err(Refusal::Managed(mesh)))
    }
}

#[cfg(test)]
pub(crate) mod tests;

fn request_of(member: Member) -> GrantRequest {
    GrantRequest {
        zone: member.zone,
        zone_key: member.key,
        prefixes: member.prefixes,
        tunnel_ips: member.tunnel_ips,
        federations: Vec::new(),
    }
}
