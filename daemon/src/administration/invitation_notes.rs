//! What whoever invites a zone should know beside the invitation.
//!
//! Promises: none of it keeps anybody from inviting; each note is a sentence that says what to do.
//! Refuses to know how it is shown.

use std::collections::BTreeSet;

use zonemesh_core::membership::Membership;
use zonemesh_core::name::FederationName;

use super::{Administration, InvitationRequest, Refusal};
use crate::facts::ledger::now;

impl Administration {
    /// What is to be known of an invitation that is about to be issued.
    pub(crate) async fn notes_of(
        &self,
        wanted: &InvitationRequest,
    ) -> Result<Vec<String>, Refusal> {
        let state = self.state.lock().await;
        let issued = state.book.iter().flat_map(|book| book.issued());
        let now = now();
        let mut open = issued.filter(|issued| {
            issued.zone == wanted.zone && issued.used_by.is_none() && issued.expires_at > now
        });
        let zone = &wanted.zone;
        let earlier = open.next().map(|_| {
            format!("the invitation that {zone} was given before holds no more: this one takes its place")
        });
        Ok(earlier.into_iter().chain(self.no_host(wanted)).chain(self.approval(wanted)?).collect())
    }

    /// Federations that the zone is to train in and that nobody hosts.
    fn no_host(&self, wanted: &InvitationRequest) -> Vec<String> {
        let hosted = self.hosted();
        let known: Vec<_> = hosted.iter().map(FederationName::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let rights = wanted.federations.iter();
        let lost = rights
            .filter(|right| right.train && !right.host && !hosted.contains(&right.federation));
        let note = |name: &FederationName| {
            format!(
                "no zone hosts the federation {name} yet; hosted: {known}. If the name is wrong, invite {} again",
                wanted.zone
            )
        };
        lost.map(|right| note(&right.federation)).collect()
    }

    /// Those of which a SuperLink is registered, which this gateway is configured for, or which a
    /// zone was granted by name.
    fn hosted(&self) -> BTreeSet<FederationName> {
        let config = self.config();
        let own = config.federations.iter().map(|federation| federation.name.clone());
        self.ledger.read(|registry| {
            let registered = registry.federations().into_iter().cloned();
            let members = registry.membership().into_iter().flat_map(Membership::members);
            let grants = members.filter_map(|one| registry.membership()?.grant(&one.zone));
            let granted = grants.flat_map(|grant| &grant.federations);
            let granted = granted.filter(|right| right.host).map(|right| right.federation.clone());
            own.chain(registered).chain(granted).collect()
        })
    }

    /// Whose signatures the grant will need beside this gateway's.
    fn approval(&self, wanted: &InvitationRequest) -> Result<Option<String>, Refusal> {
        let own = self.authority()?.map(|identity| identity.public_key());
        let missing = self.ledger.read(|registry| {
            let (_, set) = registry.membership()?.authority_set();
            let signs = own.is_some_and(|own| set.keys.contains(&own));
            Some(set.threshold.saturating_sub(u32::from(signs)))
        });
        Ok(missing.filter(|missing| *missing > 0).map(|missing| {
            let zone = &wanted.zone;
            format!(
                "this gateway does not sign grants alone: when {zone} has called, it waits for {missing} more signatures. Then here: zonemesh zone approve {zone} --out FILE; where an authority's key lies: zonemesh trust sign FILE --key KEY --out SIGNED; and here: zonemesh trust import SIGNED"
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::administration::tests::berlin;

    fn wanted(federations: &[&str]) -> InvitationRequest {
        InvitationRequest {
            zone: "madrid".parse().unwrap(),
            prefixes: vec!["10.10.2.0/24".parse().unwrap()],
            tunnel_ips: Vec::new(),
            federations: federations.iter().map(|right| right.parse().unwrap()).collect(),
            tokens: Vec::new(),
            valid_for_ms: 0,
        }
    }

    #[tokio::test]
    async fn an_invitation_with_nothing_to_say_of_has_no_note_and_a_second_one_voids_the_first() {
        let berlin = berlin().await;
        let notes = async || berlin.administration.notes_of(&wanted(&[])).await.unwrap();
        assert_eq!(notes().await, Vec::<String>::new());
        berlin.invite_madrid().await.unwrap();
        let told = notes().await;
        assert!(told.len() == 1 && told[0].contains("was given before holds no more"), "{told:?}");
    }

    #[tokio::test]
    async fn a_federation_that_nobody_hosts_is_told_and_one_that_the_zone_is_to_host_is_not() {
        let berlin = berlin().await;
        let notes = async |federations: &[&str]| {
            berlin.administration.notes_of(&wanted(federations)).await.unwrap()
        };
        let told = notes(&["health-us=train"]).await;
        assert!(
            told.len() == 1 && told[0].contains("hosts the federation health-us yet"),
            "{told:?}"
        );
        assert_eq!(notes(&["health-us=host,train"]).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn who_must_approve_is_told_where_the_gateway_does_not_sign_alone() {
        let berlin = berlin().await;
        std::fs::remove_file(berlin.folder.path().join("authority.key")).unwrap();
        let told = berlin.administration.notes_of(&wanted(&[])).await.unwrap();
        assert!(told.len() == 1 && told[0].contains("waits for 1 more signatures"), "{told:?}");
        assert!(told[0].contains("here: zonemesh zone approve madrid --out FILE;"), "{told:?}");
    }
}
