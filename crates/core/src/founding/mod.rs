//! A mesh that is made before any of its gateways runs, on a machine without a network.
//!
//! Promises: what is planned can be granted: no two zones share a name or an address, none has what no
//! zone may have. The founder's gateway gets a [`FoundingBundle`]: the first authority set, the key that
//! signs each day, what the founder is granted, the hashes of its VMs' tokens, and what an inviter
//! keeps of the other zones' invitations. Whoever reads it may grant and revoke. Refuses to make randomness and to write files.

mod wire;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::invitation::{Invitation, InvitationId, InvitationSecret, Inviter, IssuedInvitation};
use crate::key::ZonePublicKey;
use crate::membership::{
    AuthorityIdentity, AuthorityPublicKey, DraftError, FederationRight, GrantRequest, MAX_CLAIMS,
    Membership, SignedTrustItem, TrustItem, TrustRejected,
};
use crate::mesh::MeshId;
use crate::name::ZoneName;
use crate::prefix::{Overlap, ReservedPrefix, check_all_ordinary, check_disjoint, claims};
use crate::time::UnixMillis;
use crate::token::{KnownToken, MAX_KNOWN};

pub use wire::FoundingBundleError;

/// Most zones of a mesh that is founded so, the founder's among them; others are invited later.
pub const MAX_ZONES: usize = 256;

/// A zone as it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedZone {
    /// Its name.
    pub zone: ZoneName,
    /// The prefixes that it is granted.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that it is granted.
    pub tunnel_ips: Vec<IpAddr>,
    /// What it is granted to do for which federation; none named: all of both.
    pub federations: Vec<FederationRight>,
    /// The tokens of its VMs.
    pub tokens: Vec<KnownToken>,
}

/// A planned zone with the randomness of its invitation.
pub struct InvitedZone {
    /// The zone.
    pub planned: PlannedZone,
    /// The invitation's name: random.
    pub id: InvitationId,
    /// The invitation's secret: random.
    pub secret: InvitationSecret,
}

/// A mesh as it is planned.
pub struct FoundingPlan {
    /// The zone whose gateway the others call.
    pub founder: PlannedZone,
    /// Where: `IP:port` or `name:port` of its join service, best first.
    pub join_endpoints: Vec<String>,
    /// The others.
    pub others: Vec<InvitedZone>,
    /// When the invitations expire, by the founder's clock.
    pub expires_at: UnixMillis,
}

/// A mesh that was made.
pub struct FoundedMesh {
    /// Its id.
    pub mesh: MeshId,
    /// For the founder's gateway. Secret.
    pub bundle: FoundingBundle,
    /// For the other zones' gateways, in the order of the plan. Secret.
    pub invitations: Vec<Invitation>,
}

/// What the founder's gateway makes the mesh of.
pub struct FoundingBundle {
    /// The first authority set.
    pub first: SignedTrustItem,
    /// The key that signs grants and revocations.
    pub signing_key: AuthorityIdentity,
    /// The founder's zone.
    pub founder: PlannedZone,
    /// The invitations of the others, without their secrets.
    pub invitations: Vec<IssuedInvitation>,
}

/// Why a mesh is not founded as planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FoundingError {
    /// A name twice.
    #[error("zone {0} is named twice: name it once, with all its prefixes")]
    Twice(ZoneName),
    /// Nothing to grant.
    #[error("zone {0} has no prefix: name its subnets")]
    NoPrefix(ZoneName),
    /// Too many.
    #[error("a mesh is founded with at most {MAX_ZONES} zones, not {0}: invite the others later")]
    TooMany(usize),
    /// More than an invitation has room for.
    #[error(
        "zone {0} has too many federations or tokens: at most {MAX_CLAIMS} and {MAX_KNOWN} when a mesh is founded"
    )]
    TooMuch(ZoneName),
    /// A prefix that is an address with a length.
    #[error("{} has bits set behind its length: write {}", .0, .0.trunc())]
    HostBits(IpNet),
    /// Two zones share addresses.
    #[error("two zones share addresses")]
    Overlap(#[source] Overlap),
    /// No zone may have it.
    #[error("zone {0} cannot be granted that")]
    Reserved(ZoneName, #[source] ReservedPrefix),
    /// Nobody could call the founder.
    #[error("the founder has no endpoint: --founder NAME=PREFIX@IP:PORT")]
    NoEndpoint,
    /// The first set cannot be made.
    #[error("the first authority set cannot be made")]
    FirstSet(#[source] DraftError),
    /// The first set is none.
    #[error("the first authority set is none")]
    NoFirstSet(#[source] TrustRejected),
}

/// The set that names the mesh: here alone it is decided who may sign in a mesh that is founded so.
///
/// # Errors
/// [`FoundingError::FirstSet`].
pub fn first_set(
    owners: BTreeSet<AuthorityPublicKey>,
    signing: AuthorityPublicKey,
    now: UnixMillis,
) -> Result<SignedTrustItem, FoundingError> {
    let set = Membership::draft_first(owners, BTreeSet::from([signing]), 1, now);
    set.map(|set| SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set)))
        .map_err(FoundingError::FirstSet)
}

/// The mesh of a first set, before there is anything else of it: what tokens of its zones pin.
///
/// # Errors
/// [`FoundingError::NoFirstSet`].
pub fn mesh_of(first: &SignedTrustItem) -> Result<MeshId, FoundingError> {
    let membership = Membership::new(first.clone()).map_err(FoundingError::NoFirstSet)?;
    Ok(membership.mesh().clone())
}

impl FoundingPlan {
    /// Makes the mesh under a first set that `signing_key` belongs to.
    ///
    /// # Errors
    /// [`FoundingError`] names what cannot be granted.
    pub fn found(
        self,
        first: SignedTrustItem,
        signing_key: AuthorityIdentity,
    ) -> Result<FoundedMesh, FoundingError> {
        self.check()?;
        let membership = Membership::new(first.clone()).map_err(FoundingError::NoFirstSet)?;
        let inviter = Inviter {
            zone: self.founder.zone.clone(),
            // Its gateway makes the key when it starts: the mesh and the name stand for it.
            zone_key: None,
            join_endpoints: self.join_endpoints,
            gateways: Vec::new(),
            prefixes: self.founder.prefixes.clone(),
        };
        let invitation = |InvitedZone { planned, id, secret }: InvitedZone| Invitation {
            id,
            mesh: membership.mesh().clone(),
            authority_set: membership.authority_set().0,
            inviter: inviter.clone(),
            zone: planned.zone,
            prefixes: planned.prefixes,
            tunnel_ips: planned.tunnel_ips,
            federations: planned.federations,
            tokens: planned.tokens,
            expires_at: self.expires_at,
            secret,
            read_from: None,
        };
        let invitations: Vec<_> = self.others.into_iter().map(invitation).collect();
        let issued = invitations.iter().map(IssuedInvitation::new).collect();
        let founder = self.founder;
        let bundle = FoundingBundle { first, signing_key, founder, invitations: issued };
        Ok(FoundedMesh { mesh: membership.mesh().clone(), bundle, invitations })
    }

    fn check(&self) -> Result<(), FoundingError> {
        let others = self.others.iter().map(|invited| &invited.planned);
        let zones: Vec<_> = std::iter::once(&self.founder).chain(others).collect();
        if zones.len() > MAX_ZONES {
            return Err(FoundingError::TooMany(zones.len()));
        }
        if self.join_endpoints.is_empty() {
            return Err(FoundingError::NoEndpoint);
        }
        let mut names = BTreeSet::new();
        for planned in &zones {
            if !names.insert(&planned.zone) {
                return Err(FoundingError::Twice(planned.zone.clone()));
            }
            planned.check()?;
        }
        let owned = zones.iter().flat_map(|planned| {
            let nets = claims(&planned.prefixes, &planned.tunnel_ips);
            nets.map(|net| (planned.zone.as_str(), net))
        });
        check_disjoint(owned).map_err(FoundingError::Overlap)
    }
}

impl PlannedZone {
    fn check(&self) -> Result<(), FoundingError> {
        if self.prefixes.is_empty() {
            return Err(FoundingError::NoPrefix(self.zone.clone()));
        }
        if self.federations.len() > MAX_CLAIMS || self.tokens.len() > MAX_KNOWN {
            return Err(FoundingError::TooMuch(self.zone.clone()));
        }
        if let Some(net) = self.prefixes.iter().find(|net| net.trunc() != **net) {
            return Err(FoundingError::HostBits(*net));
        }
        check_all_ordinary(&self.prefixes, &self.tunnel_ips)
            .map_err(|reserved| FoundingError::Reserved(self.zone.clone(), reserved))
    }
}

impl FoundingBundle {
    /// What the founder is granted once its gateway has a key.
    #[must_use]
    pub fn grant_request(&self, zone_key: ZonePublicKey) -> GrantRequest {
        let PlannedZone { zone, prefixes, tunnel_ips, federations, .. } = self.founder.clone();
        GrantRequest { zone, zone_key, prefixes, tunnel_ips, federations }
    }

    /// One line of base64: a file's content, or a CONTEXT value. It holds the signing key.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        wire::to_text(self)
    }

    /// Reads it back; white space around it and line breaks in it do no harm.
    ///
    /// # Errors
    /// [`FoundingBundleError`] says whether it is something else, cut off or damaged.
    pub fn from_text(text: &str) -> Result<Self, FoundingBundleError> {
        wire::from_text(text)
    }
}

#[cfg(test)]
mod tests;
