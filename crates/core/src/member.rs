//! Who belongs to the mesh: the zones, their keys, and what each of them may claim.
//!
//! Members come from the gateway's configuration or from grants that the mesh's authorities have
//! signed; both are the same [`Member`]. Promises: no two members share a name, a key or an address,
//! so that a record within its bounds can never take another zone's traffic. It lies below
//! `membership` and `registry`, which both speak of members, and knows neither.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::key::ZonePublicKey;
use crate::name::ZoneName;
use crate::prefix::{self, Overlap};
use crate::record::ZoneRecord;

/// A zone of the mesh and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub zone: ZoneName,
    /// The key that its records must be signed with.
    pub key: ZonePublicKey,
    /// The prefixes that it may announce.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that its gateways may use.
    pub tunnel_ips: Vec<IpAddr>,
}

/// Why a set of members is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// One name twice.
    #[error("zone {0} stands twice in the mesh")]
    DuplicateZone(ZoneName),
    /// One key twice.
    #[error("zones {first} and {second} have the same zone key")]
    DuplicateKey {
        /// The zone that had the key first.
        first: ZoneName,
        /// The other one.
        second: ZoneName,
    },
    /// Two members claim an address.
    #[error("two claims to the same addresses")]
    Overlap(#[source] Overlap),
    /// The own zone is not among the members.
    #[error("zone {0}, this gateway's own, is not among the members")]
    OwnZoneMissing(ZoneName),
    /// The identity is not the one that the members expect.
    #[error("this gateway's zone key is not the one that zone {0} is known by")]
    OtherIdentity(ZoneName),
}

/// What a record claims beyond its zone's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// An announced prefix.
    #[error("prefix {0} lies in none of the zone's prefixes")]
    Prefix(IpNet),
    /// A gateway's tunnel IP.
    #[error("tunnel IP {0} is none of the zone's tunnel IPs")]
    TunnelIp(IpAddr),
    /// A SuperLink's address.
    #[error(
        "SuperLink address {0} lies in none of the zone's prefixes and is none of its tunnel IPs"
    )]
    SuperLinkAddress(IpAddr),
}

impl Member {
    /// Checks that a record claims nothing beyond this member's bounds.
    ///
    /// # Errors
    /// The first claim [`OutOfBounds`].
    pub fn check_bounds(&self, record: &ZoneRecord) -> Result<(), OutOfBounds> {
        let content = &record.content;
        let announced = &mut content.prefixes.iter();
        if let Some(net) = announced.find(|net| !prefix::covered(net, &self.prefixes)) {
            return Err(OutOfBounds::Prefix(*net));
        }
        let tunnel_ips = &mut content.gateways.iter().flat_map(|g| &g.tunnel_ips);
        if let Some(ip) = tunnel_ips.find(|ip| !self.tunnel_ips.contains(ip)) {
            return Err(OutOfBounds::TunnelIp(*ip));
        }
        let addresses = &mut content.superlinks.iter().flat_map(|s| &s.addresses);
        match addresses.find(|ip| !self.holds(ip)) {
            Some(ip) => Err(OutOfBounds::SuperLinkAddress(*ip)),
            None => Ok(()),
        }
    }

    /// True if the address is one of the zone's.
    pub(crate) fn holds(&self, ip: &IpAddr) -> bool {
        prefix::contains(&self.prefixes, ip) || self.tunnel_ips.contains(ip)
    }
}

/// Checks a set of members as a whole and sorts it by zone.
pub(crate) fn check(members: Vec<Member>) -> Result<BTreeMap<ZoneName, Member>, MembershipError> {
    let mut keys: BTreeMap<ZonePublicKey, &ZoneName> = BTreeMap::new();
    let mut zones = BTreeSet::new();
    for member in &members {
        if !zones.insert(&member.zone) {
            return Err(MembershipError::DuplicateZone(member.zone.clone()));
        }
        if let Some(first) = keys.insert(member.key, &member.zone) {
            return Err(MembershipError::DuplicateKey {
                first: first.clone(),
                second: member.zone.clone(),
            });
        }
    }
    let claims = members.iter().flat_map(|member| {
        let nets = prefix::claims(&member.prefixes, &member.tunnel_ips);
        nets.map(|net| (member.zone.as_str(), net))
    });
    prefix::check_disjoint(claims).map_err(MembershipError::Overlap)?;
    let by_zone = |member: Member| (member.zone.clone(), member);
    Ok(members.into_iter().map(by_zone).collect())
}
