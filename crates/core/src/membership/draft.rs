//! What an authority is about to sign, checked against what the mesh knows already.
//!
//! Promises: what would raise an alarm when it is applied is refused here, with both owners named.
//! Drafts become items by [`SignedTrustItem::unsigned`] and signatures, here or offline.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::applied;
use super::item::{AuthoritySet, Grant, MAX_AUTHORITIES, Revocation, SignedTrustItem, TrustItem};
use super::key::{AuthorityIdentity, AuthorityPublicKey};
use super::{ItemError, Membership};
use crate::key::ZonePublicKey;
use crate::name::ZoneName;
use crate::prefix::{Claims, Overlap, ReservedPrefix, check_all_ordinary, check_disjoint, claims};
use crate::time::UnixMillis;

/// What a zone asks for, or is invited with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRequest {
    /// The zone's name.
    pub zone: ZoneName,
    /// The zone's key.
    pub zone_key: ZonePublicKey,
    /// The prefixes that it may announce.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that its gateways may use.
    pub tunnel_ips: Vec<IpAddr>,
}

/// Why something is not to be signed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DraftError {
    /// Another zone has some of the addresses.
    #[error("zone {0} cannot be granted these addresses")]
    Overlap(ZoneName, #[source] Overlap),
    /// A prefix that is an address with a length.
    #[error("{} has bits set behind its length: write {}", .0, .0.trunc())]
    HostBits(IpNet),
    /// No zone may have some of the addresses.
    #[error("zone {0} cannot be granted these addresses")]
    Reserved(ZoneName, #[source] ReservedPrefix),
    /// The key was revoked.
    #[error("this zone key was revoked: make a new one in the gateway of zone {0}")]
    RevokedKey(ZoneName),
    /// The key is another zone's.
    #[error("this zone key belongs to zone {0}")]
    KeyOfOther(ZoneName),
    /// No such zone.
    #[error("zone {0} is not granted in this mesh")]
    UnknownZone(ZoneName),
    /// Not a valid item.
    #[error("not a valid trust item")]
    Item(#[source] ItemError),
    /// Too few, too many, or too high a threshold.
    #[error("a mesh has 1 to 16 authority keys and a threshold of 1 to as many, not {0} of {1}")]
    Authorities(u32, usize),
    /// To be removed, and no authority.
    #[error("{0} is no authority of this mesh")]
    UnknownAuthority(AuthorityPublicKey),
    /// To be added, and one already.
    #[error("{0} is an authority already")]
    KnownAuthority(AuthorityPublicKey),
    /// Nobody would be left.
    #[error("that is the last authority: add another one before it is removed")]
    LastAuthority,
    /// Fewer would be left than must sign.
    #[error("{left} would be left and {threshold} must sign: lower the threshold too")]
    TooFewLeft {
        /// Keys that would be left.
        left: usize,
        /// How many must sign.
        threshold: u32,
    },
    /// Nothing would change.
    #[error("that is what is in force already")]
    SameAuthorities,
}

impl Membership {
    /// The first authority set of a mesh. Its hash is the mesh id.
    ///
    /// # Errors
    /// [`DraftError::Authorities`].
    pub fn draft_first(
        keys: BTreeSet<AuthorityPublicKey>,
        threshold: u32,
        now: UnixMillis,
    ) -> Result<AuthoritySet, DraftError> {
        let set = AuthoritySet { epoch: 0, previous: None, keys, threshold, issued_at: now };
        checked(set)
    }

    /// The authority set after the one in force.
    ///
    /// # Errors
    /// [`DraftError::Authorities`].
    pub fn draft_authorities(
        &self,
        keys: BTreeSet<AuthorityPublicKey>,
        threshold: u32,
        now: UnixMillis,
    ) -> Result<AuthoritySet, DraftError> {
        let (hash, current) = self.authority_set();
        let epoch = current.epoch.saturating_add(1);
        checked(AuthoritySet { epoch, previous: Some(hash), keys, threshold, issued_at: now })
    }

    /// A grant, for a new zone or for one whose key, prefixes or tunnel IPs change.
    ///
    /// # Errors
    /// [`DraftError`]: an overlap names both owners.
    pub fn draft_grant(&self, request: GrantRequest, now: UnixMillis) -> Result<Grant, DraftError> {
        let GrantRequest { zone, zone_key, prefixes, tunnel_ips } = request;
        if self.is_revoked(&zone_key) {
            return Err(DraftError::RevokedKey(zone));
        }
        let holders = applied::newest(self.grants_in_force(), &self.revoked);
        let mut others =
            holders.into_iter().map(|(_, grant)| grant).filter(|grant| grant.zone != zone);
        self.check_free(&zone, &prefixes, &tunnel_ips)?;
        if let Some(other) = others.find(|other| other.zone_key == zone_key) {
            return Err(DraftError::KeyOfOther(other.zone.clone()));
        }
        let grant = Grant {
            mesh: self.mesh.clone(),
            zone,
            zone_key,
            prefixes,
            tunnel_ips,
            serial: self.next_serial(),
            issued_at: now,
        };
        let item = SignedTrustItem::unsigned(&TrustItem::Grant(grant.clone()));
        item.decode().map_err(DraftError::Item)?;
        Ok(grant)
    }

    /// Checks that a zone may have these addresses, and that no other was granted any of them.
    ///
    /// # Errors
    /// [`DraftError::HostBits`], [`DraftError::Item`] and [`DraftError::Reserved`] if nobody may have
    /// them; [`DraftError::Overlap`] names both owners.
    pub fn check_free(
        &self,
        zone: &ZoneName,
        prefixes: &[IpNet],
        tunnel_ips: &[IpAddr],
    ) -> Result<(), DraftError> {
        let mut taken = Claims::default();
        for (_, grant) in applied::newest(self.grants_in_force(), &self.revoked) {
            let nets: Vec<_> = claims(&grant.prefixes, &grant.tunnel_ips).collect();
            if grant.zone != *zone {
                // Two that overlap already have raised their own alarm.
                let _first_or_not = taken.claim_all(&grant.zone, &nets);
            }
        }
        let nets: Vec<_> = claims(prefixes, tunnel_ips).collect();
        if let Some(net) = prefixes.iter().find(|net| net.trunc() != **net) {
            return Err(DraftError::HostBits(*net));
        }
        check_disjoint(nets.iter().map(|net| (zone.as_str(), *net)))
            .map_err(|overlap| DraftError::Item(ItemError::Overlap(overlap)))?;
        check_all_ordinary(prefixes, tunnel_ips)
            .map_err(|reserved| DraftError::Reserved(zone.clone(), reserved))?;
        taken.claim_all(zone, &nets).map_err(|overlap| DraftError::Overlap(zone.clone(), overlap))
    }

    /// The revocation of a zone's present key.
    ///
    /// # Errors
    /// [`DraftError::UnknownZone`]; [`DraftError::Item`] if the reason is too long.
    pub fn draft_revocation(
        &self,
        zone: &ZoneName,
        reason: &str,
        now: UnixMillis,
    ) -> Result<Revocation, DraftError> {
        let grant = self.grant(zone).ok_or_else(|| DraftError::UnknownZone(zone.clone()))?;
        let revocation = Revocation {
            mesh: self.mesh.clone(),
            zone: zone.clone(),
            zone_key: grant.zone_key,
            serial: self.next_serial(),
            reason: reason.to_owned(),
            issued_at: now,
        };
        let item = SignedTrustItem::unsigned(&TrustItem::Revocation(revocation.clone()));
        item.decode().map_err(DraftError::Item)?;
        Ok(revocation)
    }

    fn next_serial(&self) -> u64 {
        let serials = self.items.values().map(|held| match &held.item {
            TrustItem::Grant(grant) => grant.serial,
            TrustItem::Revocation(revocation) => revocation.serial,
            TrustItem::AuthoritySet(_) => 0,
        });
        serials.max().unwrap_or(0).saturating_add(1)
    }
}

fn checked(set: AuthoritySet) -> Result<AuthoritySet, DraftError> {
    let count = set.keys.len();
    let least = usize::try_from(set.threshold).unwrap_or(usize::MAX);
    match (1..=MAX_AUTHORITIES).contains(&count) && (1..=count).contains(&least) {
        true => Ok(set),
        false => Err(DraftError::Authorities(set.threshold, count)),
    }
}

/// How many signatures an item still needs under `set`: the one in force, for an authority set the
/// one before it. The first set needs none.
#[must_use]
pub fn signatures_missing(set: &AuthoritySet, item: &SignedTrustItem) -> u32 {
    let signers = item.signers().unwrap_or_default();
    let present = signers.intersection(&set.keys).count();
    set.threshold.saturating_sub(u32::try_from(present).unwrap_or(u32::MAX))
}

/// Signs `item` with as many of `identities` as `set` asks for. With fewer it stays incomplete
/// ([`signatures_missing`]), to be signed elsewhere.
#[must_use]
pub fn sign(
    set: &AuthoritySet,
    item: &TrustItem,
    identities: &[&AuthorityIdentity],
) -> SignedTrustItem {
    let mut signed = SignedTrustItem::unsigned(item);
    add_signatures(set, &mut signed, identities);
    signed
}

/// Adds signatures of keys of `set` to an item until it has as many as it takes.
pub fn add_signatures(
    set: &AuthoritySet,
    item: &mut SignedTrustItem,
    identities: &[&AuthorityIdentity],
) {
    for identity in identities {
        let entitled = set.keys.contains(&identity.public_key());
        if entitled && signatures_missing(set, item) > 0 {
            item.sign(identity);
        }
    }
}
