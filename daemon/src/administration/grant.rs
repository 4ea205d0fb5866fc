//! Granting a zone whose key somebody else attests: it was read out, or came with a record of its own.
//!
//! Promises: nothing that another zone has or was promised is granted, and no key takes the place of
//! another; what was issued to invite the zone holds no more. Refuses to know how the key was learned.

use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{FederationRight, GrantRequest};
use zonemesh_core::name::{FederationName, ZoneName};

use super::invite::{reserved, revoked};
use super::{Administration, Refusal, SignedChange};
use crate::facts::ledger::now;

/// A zone that is to be granted as it stands here.
pub(crate) struct AttestedGrant {
    pub(crate) zone: ZoneName,
    pub(crate) zone_key: ZonePublicKey,
    pub(crate) prefixes: Vec<IpNet>,
    /// Empty: those that the zone is granted, or the next free one.
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// Empty: what it may now.
    pub(crate) federations: Vec<FederationRight>,
}

impl Administration {
    /// Grants a zone, or grants it anew with other prefixes or tunnel IPs.
    pub(crate) async fn grant(&self, attested: AttestedGrant) -> Result<SignedChange, Refusal> {
        let mut state = self.state.lock().await;
        let AttestedGrant { zone, zone_key, prefixes, mut tunnel_ips, federations } = attested;
        if prefixes.is_empty() {
            return Err(Refusal::NoPrefix);
        }
        let granted = self.ledger.read(|registry| {
            let grant = registry.membership().and_then(|membership| membership.grant(&zone));
            grant.map(|grant| grant.zone_key)
        });
        if granted.is_some_and(|granted| granted != zone_key) {
            return Err(Refusal::OtherKey(zone));
        }
        let book = state.book.as_ref().ok_or(Refusal::Unmanaged)?;
        let reserved = self.ledger.read(|registry| reserved(book, &zone, now(), revoked(registry)));
        if tunnel_ips.is_empty() {
            tunnel_ips = self.tunnel_ips_for(&zone, &reserved)?;
        }
        self.check_free(&zone, &prefixes, &tunnel_ips, &reserved)?;
        let warnings = self.hosting_lost(&zone, &federations);
        let items = self.draft_grant(GrantRequest {
            zone: zone.clone(),
            zone_key,
            prefixes,
            tunnel_ips,
            federations,
        })?;
        // With one of them somebody else would take the zone's place, or has tried to.
        let book = state.book.as_mut().ok_or(Refusal::Unmanaged)?;
        let struck = book.keep_only(&zone, &zone_key);
        self.strike_out(book, struck).await?;
        let signed = self.sign_and_apply(&items).await?;
        Ok(SignedChange { warnings, ..signed })
    }

    /// What a grant with these rights takes from a zone that hosts it now, one sentence each.
    fn hosting_lost(&self, zone: &ZoneName, rights: &[FederationRight]) -> Vec<String> {
        if rights.is_empty() {
            // It may what it may now.
            return Vec::new();
        }
        self.ledger.read(|registry| {
            let may = |federation: &FederationName| {
                rights.iter().any(|right| right.federation == *federation && right.host)
            };
            let hosted = registry.hosted_by(zone).into_iter();
            let lost = hosted.filter(|one| registry.may_host(zone, one) && !may(one));
            let sentence = |federation| {
                format!(
                    "{zone} hosts {federation} now, and this grant takes that away: no zone will find its SuperLink, and its gateway will certify none; to leave it there, grant {federation}=host too"
                )
            };
            lost.map(sentence).collect()
        })
    }
}
