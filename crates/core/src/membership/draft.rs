//! What an authority is about to sign, checked against what the mesh knows already.
//!
//! Promises: what would raise an alarm when it is applied is refused here, with both owners named.
//! Drafts become items by [`SignedTrustItem::unsigned`] and signatures, here or offline.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::item::{AuthoritySet, FederationRight, Grant, MAX_AUTHORITIES, Revocation, TrustItem};
use super::key::AuthorityPublicKey;
use super::signed::SignedTrustItem;
use super::{ItemError, MAX_LISTED, Membership};
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
    /// What it may do for which federation; none named: what it may now, at first all of both.
    pub federations: Vec<FederationRight>,
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
    /// Serial numbers or room under this set are used up.
    #[error("under the present authority set there is no {0} left for it: make the set anew")]
    UsedUp(&'static str),
    /// More zones than a list of grants has room for.
    #[error("a mesh has at most {MAX_LISTED} zones, and 16 MiB of grants")]
    TooManyZones,
    /// No owner, or too many.
    #[error("a mesh has 1 to 16 owner keys, not {0}: `zonemesh mesh init` makes one")]
    Owners(usize),
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
    #[error("that is the last key of its kind: add another one before it is removed")]
    LastAuthority,
    /// A zone that was to be left out of the list and does not stand in it.
    #[error("zone {0} is not among those that would stay")]
    NotAmongThem(ZoneName),
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
        owner_keys: BTreeSet<AuthorityPublicKey>,
        keys: BTreeSet<AuthorityPublicKey>,
        threshold: u32,
        now: UnixMillis,
    ) -> Result<AuthoritySet, DraftError> {
        checked(AuthoritySet {
            epoch: 0,
            previous: None,
            owner_keys: Some(owner_keys),
            keys,
            threshold,
            pages: Vec::new(),
            stolen: BTreeSet::new(),
            issued_at: now,
        })
    }

    /// A grant, for a new zone or for one whose key, prefixes or tunnel IPs change.
    ///
    /// # Errors
    /// [`DraftError`]: an overlap names both owners.
    pub fn draft_grant(&self, request: GrantRequest, now: UnixMillis) -> Result<Grant, DraftError> {
        let GrantRequest { zone, zone_key, prefixes, tunnel_ips, federations } = request;
        if self.is_revoked(&zone_key) {
            return Err(DraftError::RevokedKey(zone));
        }
        self.check_free(&zone, &prefixes, &tunnel_ips)?;
        let mut others = self.members().filter(|member| member.zone != zone);
        if let Some(other) = others.find(|other| other.key == zone_key) {
            return Err(DraftError::KeyOfOther(other.zone.clone()));
        }
        // What a zone was bounded to stays until other bounds are named: nothing widens by the way.
        let present = self.grant(&zone).filter(|_| federations.is_empty());
        let federations = present.map_or(federations, |present| present.federations.clone());
        let grant = Grant {
            mesh: self.mesh.clone(),
            serial: self.next_serial(&zone)?,
            since: self.since_when(&zone, &prefixes, &tunnel_ips).unwrap_or(now.0),
            set: Some(self.authority_set().0),
            zone,
            zone_key,
            prefixes,
            tunnel_ips,
            federations,
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
        // Members only: a grant that is not applied, as a thief signs them, keeps nobody from anything.
        for member in self.members().filter(|member| member.zone != *zone) {
            let nets: Vec<_> = claims(&member.prefixes, &member.tunnel_ips).collect();
            // Members are disjoint.
            let _claimed = taken.claim_all(&member.zone, &nets);
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
            set: Some(self.authority_set().0),
            serial: self.revocations().map(|r| r.serial).max().unwrap_or(0).saturating_add(1),
            reason: reason.to_owned(),
            issued_at: now,
        };
        let item = SignedTrustItem::unsigned(&TrustItem::Revocation(revocation.clone()));
        item.decode().map_err(DraftError::Item)?;
        Ok(revocation)
    }

    /// Above all that this zone was granted under the head.
    fn next_serial(&self, zone: &ZoneName) -> Result<u64, DraftError> {
        let head = Some(self.authority_set().0);
        let of_zone = self.shelf.items().filter_map(|held| match &held.item {
            TrustItem::Grant(grant) if grant.zone == *zone && grant.set == head => {
                Some(grant.serial)
            }
            _ => None,
        });
        of_zone.max().unwrap_or(0).checked_add(1).ok_or(DraftError::UsedUp("serial number"))
    }

    /// Since when the zone has all of these addresses; `None` if some are new to it.
    fn since_when(&self, zone: &ZoneName, prefixes: &[IpNet], ips: &[IpAddr]) -> Option<u64> {
        let present = self.grant(zone)?;
        let held: Vec<_> = claims(&present.prefixes, &present.tunnel_ips).collect();
        let is_held = |net: IpNet| held.iter().any(|earlier| earlier.contains(&net));
        claims(prefixes, ips).all(is_held).then_some(present.since)
    }

    /// How many more items naming the head this signing key may sign.
    #[must_use]
    pub fn room_of(&self, key: &AuthorityPublicKey) -> usize {
        self.shelf.room_of(&self.chain, key)
    }
}

pub(super) fn checked(set: AuthoritySet) -> Result<AuthoritySet, DraftError> {
    let count = set.keys.len();
    let least = usize::try_from(set.threshold).unwrap_or(usize::MAX);
    let possible = 1..=MAX_AUTHORITIES;
    if !possible.contains(&set.owners().len()) {
        return Err(DraftError::Owners(set.owners().len()));
    }
    let is_sane = possible.contains(&count) && (1..=count).contains(&least);
    if is_sane { Ok(set) } else { Err(DraftError::Authorities(set.threshold, count)) }
}
